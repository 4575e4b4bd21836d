//! The cheapest placement that keeps every promise of `src/decisions/0002-what-a-placement-promises.md`,
//! or why there is none.
//!
//! A curve per (variant, accelerator, layout, engine setting) is worked out once and shared by all
//! workloads that run a model alike (`ways`), and by all regions, prices and blocks of each (`table`). A region enters by price, round trip, zones and
//! quota only. For a curve and a network time the replicas that a load needs are found by bisection
//! (`load`); from there on everything is integers (`pool`). Candidates are looked at in the order of a
//! lower bound of their cost, until the bound passes the best cost found: what is left over cannot be
//! cheaper, which is the proof (`service`, `batch`). Rules over several pools are searched in depth
//! only where the optimum without them breaks them (`couple`). Where the optima of several workloads break a budget or a
//! quota that they share, all are placed at once, by prices on what is shared and a branch and bound over the plans within the gap
//! (`together`, `src/decisions/0008-workloads-are-placed-together.md`). So are services that share machines: at first each pays for the
//! accelerators that it takes of a machine, then machines are whole (`sharing`, `src/decisions/0012-machines-that-services-share.md`).
//!
//! Services that may be served in parts are placed in the division whose parts cost the least (`divide`,
//! `src/decisions/0025-parts-of-a-service.md`).
//!
//! Equal inputs give the equal placement on any number of threads: only the curves are worked out in
//! parallel, and they are collected in order.

mod base;
mod batch;
mod build;
mod chains;
mod changes;
mod commitments;
mod couple;
mod day;
mod degrade;
mod deployment;
mod divide;
mod emission;
mod fallbacks;
mod fates;
mod federation;
mod floors;
mod held_to;
mod impossible;
mod job;
mod load;
mod losers;
mod measured;
mod mixed;
mod needs;
mod pipeline;
mod played;
mod pool;
mod prices;
mod refuted;
mod relax;
mod seasons;
mod service;
mod sharing;
mod sought;
mod stability;
mod stream;
mod table;
mod terms;
mod together;
mod training;
mod watch;
mod ways;
mod why_not;

pub use batch::LOST_WORK;
pub use chains::split_chains;
pub use held_to::{held_to, shares};
pub use seasons::ahead;
pub use terms::UNKNOWN_INTERRUPTION;
use watch::Ends;
pub use watch::{Question, Standing, Step, Watch};

use std::collections::BTreeMap;

use rhumb_api::Money;

use crate::placement::{
    Certificate, Infeasible, InfeasibleWorkload, Loser, Placement, Rejection, Relaxation, Unfinished, WhyNot,
    WorkloadPlacement, World,
};
use crate::spec::{BudgetBinds, BudgetLimit, BudgetScope, Spec};
use couple::Wanted;
use federation::Rounds;
use job::{Job, Kind, Task};
use mixed::Mixed;
use service::Search;
use sought::Sought;
use table::Table;

/// Chooses the cheapest placement of all workloads together, and what may stand in for each of its pools.
///
/// Where their separate optima keep every limit that they share, those are it; otherwise they are searched at once
/// ([`Placement::coupling`]).
///
/// # Errors
/// The workloads that cannot be placed, each with what stands in the way; or the shared limits that cannot hold.
pub fn place(spec: &Spec, world: &World) -> Result<Placement, Infeasible> {
    decided(divide::place(spec, world, true, Watch::default()))
}

/// As [`place`], as far as `watch` lets it: with fewer nodes or ended early, the placement keeps every promise all the same, and its
/// [`Coupling::lower_bound`](crate::placement::Coupling::lower_bound) is true; only what lies between the two is wider.
///
/// # Errors
/// As of [`place`], or that it was ended before any placement was known.
pub fn place_watched(spec: &Spec, world: &World, watch: Watch<'_>) -> Result<Placement, NoPlacement> {
    divide::place(spec, world, true, watch)
}

/// The number of candidates of all workloads, with all of them worked out that no objective and no load can change: what a search
/// begins with. A workload whose model is not known has none.
pub fn candidates(spec: &Spec, world: &World) -> u64 {
    let jobs: Vec<Job<'_>> = spec.addresses().iter().filter_map(|a| Job::of(spec, world, a)).collect();
    Table::all(&jobs, &|| false).iter().flatten().map(|table| table.candidates).sum()
}

/// Why there is no placement.
#[derive(Clone, Debug, PartialEq)]
pub enum NoPlacement {
    /// None keeps the promises.
    Infeasible(Infeasible),
    /// The search was ended first.
    Unfinished(Unfinished),
}

/// The answer of a search that nobody ends.
fn decided(found: Result<Placement, NoPlacement>) -> Result<Placement, Infeasible> {
    found.map_err(|why| match why {
        NoPlacement::Infeasible(why) => why,
        NoPlacement::Unfinished(_) => unreachable!("nobody is asked whether to end"),
    })
}

/// As [`place`] for placements that nobody will apply: without fallbacks.
///
/// # Errors
/// As of [`place`].
pub fn outline(spec: &Spec, world: &World) -> Result<Placement, Infeasible> {
    decided(divide::place(spec, world, false, Watch::default()))
}

fn unknown_model(address: &str) -> InfeasibleWorkload {
    InfeasibleWorkload {
        address: address.to_owned(),
        conflict: vec![Rejection {
            constraint: "unknown",
            reason: "the architecture of its model is not known".into(),
            at: None,
            distance: None,
        }],
        relaxations: Vec::new(),
        ended: None,
        nearest: None,
        rejected: BTreeMap::new(),
        candidates: 0,
    }
}

/// What one loosened constraint of a placed workload would save, dearest first: one solution for each
/// loosened constraint, so it is not part of [`place`]. Empty if the workload is not there or not
/// feasible.
pub fn relaxations(spec: &Spec, world: &World, address: &str) -> Vec<Relaxation> {
    let Some(job) = Job::of(spec, world, address) else { return Vec::new() };
    let Ok(placed) = solve(spec, world, address) else { return Vec::new() };
    relax::savings(&job, placed.cost.expected_per_month)
}

/// Why offers (indexes of the catalogue's, ascending) were not chosen for a workload by itself: every candidate of them, and which
/// single constraint would let them in. `None` if the workload is not there.
pub fn why_not(spec: &Spec, world: &World, address: &str, offers: &[usize]) -> Option<WhyNot> {
    why_not::of(spec, world, address, offers)
}

/// The cheapest placement of one workload, without losers and relaxations; `None` if nothing keeps its
/// promises.
pub fn cheapest(spec: &Spec, world: &World, address: &str) -> Option<WorkloadPlacement> {
    solve(spec, world, address).ok()
}

/// A workload without explanations.
fn solve(spec: &Spec, world: &World, address: &str) -> Result<WorkloadPlacement, Box<InfeasibleWorkload>> {
    workload(spec, world, address, false, None)
}

/// The same, unless it is ended: then nothing is known.
fn solve_until(spec: &Spec, world: &World, address: &str, ends: Ends<'_>) -> Option<WorkloadPlacement> {
    workload(spec, world, address, false, Some(ends)).ok()
}

/// Whether a workload can be placed at all, without the search for the cheapest of its placements where
/// rules over several pools make that one dear to find. Nothing is known once `ends` says so.
fn feasible(spec: &Spec, world: &World, address: &str, ends: Ends<'_>) -> bool {
    let Some(job) = Job::of(spec, world, address) else { return false };
    let table = Table::new(&job);
    match job.kind {
        Kind::Service(service) => {
            let search = Search { ends: Some(ends), ..Search::new(&job, &table, service) };
            search.run(Wanted::Any).is_ok()
        }
        Kind::Mixed(profiled) => Mixed::new(&job, &table, profiled).alone().is_ok(),
        Kind::Run(task) => batch::search(&job, &table, task).best.is_some(),
        Kind::Federation(asked, _) => {
            Rounds::of(&job, &table, asked).is_some_and(|rounds| rounds.within_budget(&job).is_ok())
        }
    }
}

/// The least that a budget would have to allow a workload, a month; `None` if it cannot be placed.
fn least_limited(spec: &Spec, world: &World, address: &str) -> Option<Money> {
    let job = Job::of(spec, world, address)?;
    let table = Table::new(&job);
    match job.kind {
        Kind::Service(service) => {
            let search = Search::new(&job, &table, service);
            let search = match spec.budget.binds {
                BudgetBinds::Expected => search,
                binds => search.at_bound(binds),
            };
            let blocks = search.run(Wanted::Cheapest).ok()?;
            Some(service::weight(&blocks).0.per_month())
        }
        // None of its machines is spot: every figure is the cost.
        Kind::Mixed(profiled) => {
            Mixed::new(&job, &table, profiled).alone().ok().map(|(fleet, ..)| fleet.month)
        }
        Kind::Federation(asked, _) => {
            let month = Rounds::of(&job, &table, asked)?.cheapest()?.month;
            Money::from_usd((month.usd() - 1e-6).ceil()).ok()
        }
        Kind::Run(_) => {
            let mut high = deployment::limited(spec, &solve(spec, world, address).ok()?).usd().ceil();
            let mut low = 0.0;
            while high - low > 1.0 {
                let middle = (low + (high - low) / 2.0).floor();
                let mut under = spec.clone();
                let limit = Money::from_usd(middle).ok()?;
                let own = BudgetScope::Workload(address.to_owned());
                let known = under.budget.limits.get(&own).map_or(limit, |known| known.limit.min(limit));
                under.budget.limits.insert(own, BudgetLimit { limit: known, at: job.at.clone() });
                if feasible(&under, world, address, &|| false) { high = middle } else { low = middle }
            }
            Money::from_usd(high).ok()
        }
    }
}

/// What a workload on machines of its own takes of budgets at the least, a month, whatever it costs: rounded down where only the dollar
/// is known. `None` if it cannot be placed.
fn least_taken(spec: &Spec, world: &World, address: &str) -> Option<Money> {
    let mut free = spec.clone();
    free.budget.limits.clear();
    let job = Job::of(&free, world, address)?;
    if matches!(job.kind, Kind::Mixed(_)) {
        return least_limited(&free, world, address);
    }
    let Kind::Service(service) = job.kind else {
        return Some(least_limited(&free, world, address)? - Money::from_usd(1.0).ok()?);
    };
    let table = Table::new(&job);
    let mut search = Search::new(&job, &table, service);
    if free.budget.binds != BudgetBinds::Expected {
        search = search.at_bound(free.budget.binds);
    }
    let blocks = search.run(Wanted::Cheapest).ok()?;
    let hour = if search.unproven.get() { search.relaxed.get() } else { service::weight(&blocks).0 };
    Some(hour.per_month())
}

fn workload(
    spec: &Spec,
    world: &World,
    address: &str,
    explain: bool,
    ends: Option<Ends<'_>>,
) -> Result<WorkloadPlacement, Box<InfeasibleWorkload>> {
    let Some(job) = Job::of(spec, world, address) else { return Err(Box::new(unknown_model(address))) };
    let table = Table::new(&job);
    let mut sought = Sought::of(&job, &table);
    if let Sought::Service(search) = &mut sought {
        search.ends = ends;
    }
    alone(&job, &table, &sought, explain).map(|(placed, _)| placed)
}

/// The optimum of one workload by itself, and the choice that it was built from. What lost to a service is not told yet: it takes as long
/// as the search, and where workloads are placed together it is asked of another choice.
fn alone(
    job: &Job<'_>,
    table: &Table,
    sought: &Sought<'_>,
    explain: bool,
) -> Result<(WorkloadPlacement, together::Plan), Box<InfeasibleWorkload>> {
    let address = job.address.as_str();
    match sought {
        Sought::Service(search) => {
            let found = search.run(Wanted::Cheapest);
            let (mut rejected, bounded, evaluated) = tally(table, fates::tally(search));
            match found {
                Ok(blocks) => {
                    let optimum = service::weight(&blocks).0;
                    let certificate = Certificate {
                        family: match search.service.degrade {
                            Some(_) => format!("{FAMILY_OF_SERVICE}{FAMILY_OF_STAND_INS}"),
                            None => FAMILY_OF_SERVICE.into(),
                        },
                        candidates: table.candidates,
                        rejected,
                        bounded,
                        evaluated,
                        optimum,
                        lower_bound: if search.unproven.get() { search.relaxed.get() } else { optimum },
                        together: false,
                    };
                    let placed = build::service(search, &blocks, certificate);
                    Ok((placed, together::Plan::Service(blocks)))
                }
                Err(why) => {
                    if bounded + evaluated > 0 {
                        *rejected.entry(why.constraint.to_owned()).or_insert(0) += bounded + evaluated;
                    }
                    let nearest = if explain { losers::nearest(search) } else { None };
                    Err(Box::new(refusal(table, address, why, rejected, nearest)))
                }
            }
        }
        Sought::Mixed(mixed) => match mixed.alone() {
            Ok((fleet, least, proof)) => {
                let certificate = mixed_certificate(table, fleet.hour(mixed), least);
                let placed = build::mixed(mixed, &fleet, vec![proof], certificate);
                let Some(mut placed) = placed else {
                    return Err(Box::new(refusal(
                        table,
                        address,
                        no_candidate(job),
                        table.rejected.clone(),
                        None,
                    )));
                };
                if explain {
                    placed.losers = mixed.losers(&fleet);
                }
                Ok((placed, together::Plan::Mixed(fleet)))
            }
            Err(why) => {
                let mut rejected = table.rejected.clone();
                let left: u64 = table.sites.iter().map(|s| s.rows + s.dearer).sum();
                if left > 0 {
                    *rejected.entry(why.constraint.to_owned()).or_insert(0) += left;
                }
                Err(Box::new(refusal(table, address, why, rejected, None)))
            }
        },
        Sought::Federation(Some(rounds)) => federated(job, table, rounds),
        Sought::Federation(None) => {
            Err(Box::new(refusal(table, address, no_candidate(job), table.rejected.clone(), None)))
        }
        Sought::Run(task) => {
            let mut found = batch::search(job, table, *task);
            let certificate = |run: &batch::Run| Certificate {
                family: match task {
                    Task::Batch(_) => FAMILY_OF_BATCH.into(),
                    Task::Training(_) => FAMILY_OF_TRAINING.into(),
                    Task::Pipeline(p) if p.stream.is_some() => FAMILY_OF_STREAM.into(),
                    Task::Pipeline(_) => FAMILY_OF_PIPELINE.into(),
                },
                candidates: table.candidates,
                rejected: found.rejected.clone(),
                bounded: found.bounded,
                evaluated: found.evaluated_candidates,
                optimum: run.objective,
                lower_bound: run.objective,
                together: false,
            };
            let placed = found
                .best
                .and_then(|run| Some((build::run(job, table, *task, &run, certificate(&run))?, run)));
            if let Some((mut placed, run)) = placed {
                if explain {
                    let chosen = relax::choices(&placed);
                    placed.losers = losers::of_batch(job, table, &found, placed.certificate.optimum, &chosen);
                }
                return Ok((placed, together::Plan::Run(run)));
            }
            {
                let why = found.rejection.take().unwrap_or_else(|| no_candidate(job));
                let nearest = if explain { losers::nearest_of_batch(job, table) } else { None };
                Err(Box::new(refusal(table, address, why, found.rejected.clone(), nearest)))
            }
        }
    }
}

/// Of a service with a profile: machines that were measured are all looked at, by the cheapest way to pay.
fn mixed_certificate(table: &Table, optimum: Money, lower_bound: Money) -> Certificate {
    let measured = |s: &&table::Site| table.machines[s.machine].ways.iter().any(|way| way.speed.is_ok());
    let sites = || table.sites.iter().filter(measured);
    Certificate {
        family: FAMILY_OF_MIXED.into(),
        candidates: table.candidates,
        rejected: table.rejected.clone(),
        bounded: sites().map(|s| s.dearer).sum(),
        evaluated: sites().map(|s| s.rows).sum(),
        optimum,
        lower_bound: lower_bound.min(optimum),
        together: false,
    }
}

/// The optimum of a federation by itself.
fn federated(
    job: &Job<'_>,
    table: &Table,
    rounds: &Rounds<'_>,
) -> Result<(WorkloadPlacement, together::Plan), Box<InfeasibleWorkload>> {
    let mut rejected = table.rejected.clone();
    for (why, n) in &rounds.rejected {
        *rejected.entry(why.clone()).or_insert(0) += n;
    }
    match rounds.within_budget(job) {
        Ok(members) => {
            let certificate = Certificate {
                family: FAMILY_OF_FEDERATION.into(),
                candidates: table.candidates,
                rejected,
                bounded: 0,
                evaluated: rounds.evaluated,
                optimum: members.run,
                lower_bound: members.run,
                together: false,
            };
            match build::federation(job, rounds, &members, certificate) {
                Some(placed) => Ok((placed, together::Plan::Federation(members))),
                None => Err(Box::new(refusal(table, &job.address, no_candidate(job), BTreeMap::new(), None))),
            }
        }
        Err(why) => {
            if rounds.evaluated > 0 {
                *rejected.entry(why.constraint.to_owned()).or_insert(0) += rounds.evaluated;
            }
            Err(Box::new(refusal(table, &job.address, why, rejected, None)))
        }
    }
}

fn no_candidate(job: &Job<'_>) -> Rejection {
    Rejection {
        constraint: "infeasible",
        reason: "no candidate does".into(),
        at: Some(job.at.clone()),
        distance: None,
    }
}

fn refusal(
    table: &Table,
    address: &str,
    why: Rejection,
    rejected: BTreeMap<String, u64>,
    nearest: Option<Loser>,
) -> InfeasibleWorkload {
    InfeasibleWorkload {
        address: address.to_owned(),
        conflict: vec![why],
        relaxations: Vec::new(),
        ended: None,
        nearest,
        rejected,
        candidates: table.candidates,
    }
}

/// The family of placements over which a service's optimum is proven.
const FAMILY_OF_SERVICE: &str = "every partition of the origins into blocks; every number of regions that \
    share a block evenly, one pool of equal machines in each; every offering, variant, layout (replicas \
    over at most 4 machines) and max_num_seqs of 64, 256, 1024 unless stated; every count and share of spot";

/// What `degrade` adds to it.
const FAMILY_OF_STAND_INS: &str = "; each pool with any number that carries the peak, and with every pool in its region of a model that may stand in";

/// The same for a service with a profile.
const FAMILY_OF_MIXED: &str = "every number of machines of every measured type in every region; every division of the size classes among \
    them";

/// The same for a batch.
const FAMILY_OF_BATCH: &str = "one pool of equal machines; every offering, variant, layout (replicas over at \
    most 4 machines) and max_num_seqs of 64, 256, 1024 unless stated; every count and share of spot";

/// The same for a training.
const FAMILY_OF_TRAINING: &str = "one pool of at most 64 equal machines, whose accelerators divide a step (of a single machine any number \
    of them), all data parallel; of each the fastest that fits of the strategies, with and without activation checkpointing, and of the \
    micro-batches that divide an accelerator's part of a step; every offering and share of spot";

/// The same for a pipeline.
const FAMILY_OF_PIPELINE: &str = "one pool of equal machines without accelerators, of each as many vCPUs as have their memory, one of \
    them all for the driver; every offering, count and share of spot";

/// The same for a stream.
const FAMILY_OF_STREAM: &str = "one pool of equal machines without accelerators, of each as many vCPUs as have their memory, one of \
    them all for the driver, with the longest trigger that is fresh; every offering, count and share of spot";

/// The same for a federation.
const FAMILY_OF_FEDERATION: &str = "one aggregator on demand and, of every site that keeps the deadline, one of its machines that does; with \
    aggregators with which as many sites keep it as with any; every offering as either";

/// Rejected by reason, left out by a bound, evaluated.
fn tally(table: &Table, fates: BTreeMap<String, u64>) -> (BTreeMap<String, u64>, u64, u64) {
    let mut rejected = table.rejected.clone();
    let (mut bounded, mut evaluated) = (0, 0);
    for (why, n) in fates.into_iter().filter(|(_, n)| *n > 0) {
        match why.as_str() {
            "" => bounded += n,
            "evaluated" => evaluated += n,
            _ => *rejected.entry(why).or_insert(0) += n,
        }
    }
    (rejected, bounded, evaluated)
}
