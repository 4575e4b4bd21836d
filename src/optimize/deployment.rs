//! All workloads of a deployment: each by itself, and together where they share too little.

mod limits;
mod refusal;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::job::{Job, Kind};
use super::mixed::Mixed;
use super::service::{ENDED, Search};
use super::sought::Sought;
use super::table::Table;
use super::together::{self, Effort, ONE, Plan, Planned, Rows, Shared, Together, Workload};
use super::watch::{Asking, Watch};
use super::{
    NoPlacement, alone, batch, build, chains, commitments, emission, fallbacks, federation, losers, relax,
    unknown_model,
};
use super::{sharing, stability};
use crate::placement::{
    BatchRun, Certificate, Coupling, Infeasible, InfeasibleWorkload, Loser, MixProof, Placement, Rejection,
    SharedLimit, WorkloadPlacement, World,
};
use crate::spec::{BudgetScope, EVERYWHERE, HELD, Spec};
use limits::figure;
pub(super) use limits::{joint, limited};

/// The name that a refusal of all workloads together goes by.
pub(super) const DEPLOYMENT: &str = "deployment";

/// What is told besides the placement.
#[derive(Clone, Copy)]
pub(super) struct Telling {
    /// What may stand in for each pool, and what lost.
    pub fallbacks: bool,
    /// Why there is none together, and what would help.
    pub refusal: bool,
}

/// See [`super::place`].
pub(super) fn place(
    spec: &Spec,
    world: &World,
    Telling { fallbacks: with_fallbacks, refusal: refusal_told }: Telling,
    watch: Watch<'_>,
) -> Result<Placement, NoPlacement> {
    let refusal = |workloads, proven| NoPlacement::Infeasible(Infeasible { workloads, proven });
    let infeasible = |workloads| refusal(workloads, true);
    let mut refused = Vec::new();
    let mut jobs = Vec::new();
    for address in spec.addresses() {
        match Job::of(spec, world, &address) {
            Some(job) => jobs.push(job),
            None => refused.push(unknown_model(&address)),
        }
    }
    let asking = Asking::new(watch, jobs.len());
    let unfinished = |otherwise: Vec<InfeasibleWorkload>| {
        asking.unfinished().map_or_else(|| infeasible(otherwise), NoPlacement::Unfinished)
    };
    let stops = || asking.stops_apart();
    let Some(tables) = Table::all(&jobs, &stops) else { return Err(unfinished(refused)) };
    type Alone<'s> = (Result<(WorkloadPlacement, Plan), Box<InfeasibleWorkload>>, Sought<'s>);
    let placed: Vec<Option<Alone<'_>>> = jobs
        .par_iter()
        .zip(&tables)
        .map(|(job, table)| {
            if asking.stops_apart() {
                return None;
            }
            let mut sought = Sought::of(job, table);
            if let Sought::Service(search) = &mut sought {
                search.ends = Some(&stops);
            }
            let mut placed = alone(job, table, &sought, true);
            if let Err(why) = &mut placed {
                if why.conflict.iter().any(|r| r.constraint == ENDED) {
                    return None;
                }
                if refusal_told {
                    relax::refusal(job, why, &asking);
                }
            }
            asking.placed_apart();
            Some((placed, sought))
        })
        .collect();
    let missing = placed.iter().any(Option::is_none);
    let mut apart = BTreeMap::new();
    let mut all_sought = Vec::with_capacity(jobs.len());
    let mut plans = Vec::with_capacity(jobs.len());
    let mut proven = true;
    for (result, sought) in placed.into_iter().flatten() {
        proven &= result.is_ok() || !sought.unproven();
        all_sought.push(sought);
        match result {
            Ok((placement, plan)) => {
                apart.insert(placement.address.clone(), placement);
                plans.push(plan);
            }
            Err(why) => refused.push(*why),
        }
    }
    if !refused.is_empty() {
        refused.sort_by(|a, b| a.address.cmp(&b.address));
        return Err(refusal(refused, proven));
    }
    if missing {
        return Err(unfinished(refused));
    }
    let emissions = emission::all(spec, world, &apart, &[]);
    let broken = joint(spec, &apart, &[], &emissions);
    let sharing = |job: &Job<'_>| matches!(job.kind, Kind::Service(service) if service.shares);
    let shared = jobs.iter().filter(|job| sharing(job)).count() > 1;
    let moves = apart.values().any(|placed| stability::sum(spec, world, placed) > Money::ZERO);
    // The separate optima are those of the bill.
    if broken.is_empty() && !shared && emission::price(spec) == 0 && !moves {
        let bare =
            Placement { workloads: apart, joint_violations: broken, emissions, ..Placement::default() };
        let mut placement = told_of(spec, world, bare);
        // Nothing is kept that a free choice would give up.
        let own = (spec, &placement.workloads);
        placement.kept = stability::kept(own, world, Some(own));
        if with_fallbacks {
            let found: Vec<(fallbacks::Found, Vec<Loser>)> = jobs
                .par_iter()
                .zip(&tables)
                .zip(all_sought.into_par_iter().zip(plans))
                .map(|(of, (sought, plan))| {
                    let placed = placement.workloads.get(&of.0.address);
                    let lost = placed.zip(sought.search()).map(|(placed, search)| losers::of(search, placed));
                    (fallbacks::of(&placement, of, sought.search(), &plan), lost.unwrap_or_default())
                })
                .collect();
            let (found, lost): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            for (job, lost) in jobs.iter().zip(lost).filter(|(_, lost)| !lost.is_empty()) {
                if let Some(placed) = placement.workloads.get_mut(&job.address) {
                    placed.losers = lost;
                }
            }
            told(&jobs, &mut placement, found);
        }
        return Ok(placement);
    }
    let wide: Vec<Option<Table>> = jobs
        .iter()
        .zip(&tables)
        .map(|(job, table)| match job.kind {
            Kind::Service(service) if shared && service.shares => {
                Some(table.with_shared(job, service.survive.machine > 0))
            }
            _ => None,
        })
        .collect();
    let mut plain = Vec::with_capacity(jobs.len());
    let mut all_sought: Vec<Option<Sought<'_>>> = all_sought.into_iter().map(Some).collect();
    for (sought, wide) in all_sought.iter_mut().zip(&wide) {
        plain.push(Mutex::new(sought.take_if(|_| wide.is_some())));
    }
    let all_sought = jobs.iter().zip(&wide).zip(all_sought);
    let all_sought = all_sought.filter_map(|((job, wide), sought)| match wide {
        Some(wide) => Some(Sought::of(job, wide)),
        None => sought,
    });
    let wider: Vec<&Table> = tables.iter().zip(&wide).map(|(t, wide)| wide.as_ref().unwrap_or(t)).collect();
    let all = All {
        spec,
        world,
        jobs: &jobs,
        tables: &tables,
        wider,
        plain,
        apart: &apart,
        with_fallbacks,
        asking: &asking,
    };
    let (workloads, rows) =
        all.workloads(all_sought.collect(), plans).map_err(|why| infeasible(vec![*why]))?;
    let effort = Effort { nodes: watch.nodes.get(), ..Effort::default() };
    match together::solve(&workloads, &rows, effort, &asking) {
        Ok(found) => match &found.chosen {
            Some(chosen) => {
                let placed = all.placement(&workloads, &rows, &found, chosen);
                let mut placed = placed.map_err(NoPlacement::Infeasible)?;
                if with_fallbacks && rows.surcharges {
                    let apart_is_free = broken.is_empty() && !shared && emission::price(spec) == 0;
                    let free = (!apart_is_free).then(|| stability::free_choice(spec, world, watch));
                    let free = free.as_ref().map_or(Some(&apart), |f| f.as_ref().map(|f| &f.workloads));
                    let free = free.map(|all| (spec, all));
                    placed.kept = stability::kept((spec, &placed.workloads), world, free);
                }
                Ok(placed)
            }
            None if asking.stopped().is_some() => Err(unfinished(Vec::new())),
            None if !refusal_told => Err(NoPlacement::Infeasible(Infeasible {
                workloads: Vec::new(),
                proven: all.is_refused(&workloads, &rows, &found),
            })),
            None => Err(NoPlacement::Infeasible(all.refusal(&workloads, &rows, &found))),
        },
        Err((i, why)) => Err(unfinished(vec![all.lost(i, why)])),
    }
}

struct All<'s> {
    spec: &'s Spec,
    world: &'s World,
    jobs: &'s [Job<'s>],
    tables: &'s [Table],
    /// The same with shared machines, where those may be used.
    wider: Vec<&'s Table>,
    /// What was looked for on own machines alone, where shared ones may be used.
    plain: Vec<Mutex<Option<Sought<'s>>>>,
    /// The separate optima.
    apart: &'s BTreeMap<String, WorkloadPlacement>,
    with_fallbacks: bool,
    asking: &'s Asking<'s>,
}

/// With what follows from its machines and the spec: chains, commitments that would pay, and what became of those that are held.
fn told_of(spec: &Spec, world: &World, mut bare: Placement) -> Placement {
    for placed in bare.workloads.values_mut() {
        placed.caveats.extend(placed.run.as_ref().and_then(overlap));
    }
    let chains = chains::splits(spec);
    let commitments = commitments::all(world, bare.workloads.values(), &bare.fleets);
    let (held, savings) = (bare.held(spec, world), bare.savings(spec, world));
    Placement { chains, commitments, held, savings, ..bare }
}

/// That runs are longer than the time from one to the next. A deadline may allow that, and limits on machines count one run.
fn overlap(run: &BatchRun) -> Option<String> {
    let at_once = run.hours * run.runs_per_month / HOURS_PER_MONTH as f64;
    (at_once > 1.0 + 1e-9).then(|| {
        format!(
            "about {} runs at once: one takes {} h, and {} start in a month. Quotas, stock and power count the machines of one",
            crate::math::round_to(at_once, 1),
            crate::math::round_to(run.hours, 2),
            crate::math::round_to(run.runs_per_month, 1),
        )
    })
}

/// Writes down the fallbacks of each job.
fn told(jobs: &[Job<'_>], placement: &mut Placement, found: Vec<fallbacks::Found>) {
    for (job, (list, caveats)) in jobs.iter().zip(found) {
        if let Some(placed) = placement.workloads.get_mut(&job.address) {
            placed.fallbacks = list;
            placed.caveats.extend(caveats);
        }
    }
}

type Workloads<'s> = Vec<Mutex<Workload<'s>>>;

impl<'s> All<'s> {
    fn workloads(
        &self,
        sought: Vec<Sought<'s>>,
        plans: Vec<Plan>,
    ) -> Result<(Workloads<'s>, Rows), Box<InfeasibleWorkload>> {
        let apart = self.apart.iter().map(|(address, w)| (address.clone(), month(w).micros()));
        let mut rows = Rows::of(self.spec, apart.collect());
        let sharers = || self.jobs.iter().filter(|job| matches!(job.kind, Kind::Service(s) if s.shares));
        rows.some_move = sharers().any(stability::keeps);
        rows.all_move = sharers().all(stability::keeps);
        let mut workloads = Vec::with_capacity(self.jobs.len());
        let all = self.jobs.iter().zip(&self.wider).zip(sought.into_iter().zip(plans));
        for (i, ((job, table), (sought, plan))) in all.enumerate() {
            let alone = match plan {
                Plan::Service(blocks) if !std::ptr::eq(*table, &self.tables[i]) => Some(blocks),
                _ => None,
            };
            let workload = Workload::new(self.spec, job, table, sought, alone, &mut rows)
                .map_err(|why| Box::new(self.lost(i, why)))?;
            workloads.push(Mutex::new(workload));
        }
        Ok((workloads, rows))
    }

    /// What the separate optima count for in what is minimised, a month.
    fn apart_month(&self) -> Money {
        let price = emission::price(self.spec);
        let emitted =
            |w| if price > 0 { emission::priced(emission::sum(self.world, w), price) } else { Money::ZERO };
        let more = |w| stability::sum(self.spec, self.world, w);
        self.apart.values().map(|w| month(w) + emitted(w) + more(w)).sum()
    }

    fn lost(&self, i: usize, why: Rejection) -> InfeasibleWorkload {
        InfeasibleWorkload {
            address: self.jobs.get(i).map_or_else(|| DEPLOYMENT.to_owned(), |j| j.address.clone()),
            conflict: vec![why],
            relaxations: Vec::new(),
            ended: None,
            nearest: None,
            rejected: BTreeMap::new(),
            candidates: self.tables.get(i).map_or(0, |t| t.candidates),
        }
    }

    fn placement(
        &self,
        all: &Workloads<'s>,
        rows: &Rows,
        found: &Together,
        chosen: &[Planned],
    ) -> Result<Placement, Infeasible> {
        let built: Vec<Option<WorkloadPlacement>> = self
            .jobs
            .par_iter()
            .zip(self.tables)
            .zip(all.par_iter().zip(&self.plain).zip(chosen))
            .map(|((job, table), ((workload, plain), planned))| {
                let workload = workload.lock().unwrap_or_else(PoisonError::into_inner);
                let plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                let mixed = workload.mixed().map(|mixed| {
                    let at = |site| workload.machine(mixed, rows, site, &found.prices);
                    (mixed, mixed.cheapest(&at).ok().map(|(_, _, proof)| proof))
                });
                let plain = plain.as_ref().and_then(Sought::search);
                self.built((job, table), (workload.search(), plain), mixed, planned)
            })
            .collect();
        let mut workloads = BTreeMap::new();
        for (i, placed) in built.into_iter().enumerate() {
            // A plan without one of its workloads is no plan.
            let lost = || {
                let workloads = vec![self.lost(i, super::no_candidate(&self.jobs[i]))];
                Infeasible { workloads, proven: true }
            };
            let placed = placed.ok_or_else(lost)?;
            workloads.insert(placed.address.clone(), placed);
        }
        let unshared: BTreeMap<String, WorkloadPlacement> = workloads
            .iter()
            .filter(|(_, w)| self.with_fallbacks && w.pools.iter().any(|pool| pool.shared.is_some()))
            .map(|(address, w)| (address.clone(), w.clone()))
            .collect();
        let fleets = sharing::fleets(self.jobs, &mut workloads);
        let counts = rows.surcharges || rows.carbon_price > 0;
        let least =
            self.jobs.par_iter().zip(all.par_iter().zip(&found.unlimited)).map(|(job, (of, least))| {
                if !matches!(job.kind, Kind::Service(service) if service.shares) {
                    return None;
                }
                if counts {
                    return of.lock().unwrap_or_else(PoisonError::into_inner).least_bill(rows);
                }
                Some(Money::from_micros(least.div_euclid(i128::from(HOURS_PER_MONTH) * ONE) as i64))
            });
        let least: Vec<Option<Money>> = least.collect();
        for (job, least) in self.jobs.iter().zip(least) {
            let Some(placed) = workloads.get_mut(&job.address) else { continue };
            losers::against_shared(placed);
            if let Some(least) = least {
                placed.certificate.lower_bound = least.min(placed.certificate.optimum);
            }
        }
        let emissions = emission::all(self.spec, self.world, &workloads, &fleets);
        let joint_violations = joint(self.spec, &workloads, &fleets, &emissions);
        let coupling = Some(self.coupling(rows, found));
        let bare =
            Placement { workloads, fleets, joint_violations, emissions, coupling, ..Placement::default() };
        let mut placement = told_of(self.spec, self.world, bare);
        if self.with_fallbacks {
            let found = self
                .jobs
                .par_iter()
                .zip(self.tables)
                .zip(all.par_iter().zip(&self.plain).zip(chosen))
                .map(|(of, ((workload, plain), planned))| {
                    let workload = workload.lock().unwrap_or_else(PoisonError::into_inner);
                    let plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
                    // Places of shared machines are known to the wider table alone.
                    let shares = unshared.contains_key(&of.0.address);
                    let plain = plain.as_ref().filter(|_| !shares);
                    let search = plain.map_or_else(|| workload.search(), Sought::search);
                    fallbacks::of(&placement, of, search, &planned.plan)
                })
                .collect();
            told(self.jobs, &mut placement, found);
            self.fleets_told(&mut placement, &unshared, all, chosen);
        }
        Ok(placement)
    }

    /// Writes down what may stand in for each shared fleet, given the workloads without their parts of them.
    fn fleets_told(
        &self,
        placement: &mut Placement,
        unshared: &BTreeMap<String, WorkloadPlacement>,
        all: &Workloads<'s>,
        chosen: &[Planned],
    ) {
        let locked: Vec<_> =
            all.iter().map(|workload| workload.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let sharers = self.jobs.iter().zip(&locked).zip(chosen).filter_map(|((job, workload), planned)| {
            let Plan::Service(blocks) = &planned.plan else { return None };
            Some(fallbacks::Sharer { search: workload.search()?, blocks, bare: unshared.get(&job.address)? })
        });
        let sharers: Vec<fallbacks::Sharer<'_, '_>> = sharers.collect();
        let found: Vec<_> = placement
            .fleets
            .iter()
            .map(|fleet| fallbacks::of_fleet(fleet, &sharers, self.jobs, placement))
            .collect();
        for (fleet, (list, told)) in placement.fleets.iter_mut().zip(found) {
            fleet.fallbacks = list;
            fleet.caveats.extend(told);
        }
    }

    fn built(
        &self,
        (job, table): (&Job<'_>, &Table),
        (search, plain): (Option<&Search<'_>>, Option<&Search<'_>>),
        mixed: Option<(&Mixed<'_>, Option<MixProof>)>,
        planned: &Planned,
    ) -> Option<WorkloadPlacement> {
        let apart = self.apart.get(&job.address)?;
        let proof = |optimum: Money| Certificate {
            optimum,
            lower_bound: apart.certificate.lower_bound.min(optimum),
            together: true,
            ..apart.certificate.clone()
        };
        let mut placed = match (&planned.plan, job.kind) {
            (Plan::Service(blocks), Kind::Service(_)) => {
                let search = search?;
                let optimum: Money = blocks.iter().map(super::service::Block::cost).sum();
                let mut placed = build::service(search, blocks, proof(optimum));
                // Its part of shared machines is not known yet: what else lost did so to the best on machines of its own.
                let shares = placed.pools.iter().any(|pool| pool.shared.is_some());
                if self.with_fallbacks {
                    let of = if shares { apart } else { &placed };
                    placed.losers = match plain {
                        Some(plain) => losers::of(plain, of),
                        None => losers::of(search, of),
                    };
                }
                placed
            }
            (Plan::Mixed(fleet), Kind::Mixed(_)) => {
                let (mixed, at_multipliers) = mixed?;
                let own = apart.mix.iter().flat_map(|mix| mix.proofs.first().cloned());
                let proofs = own.chain(at_multipliers).collect();
                let mut placed = build::mixed(mixed, fleet, proofs, proof(fleet.hour(mixed)))?;
                placed.losers = mixed.losers(fleet);
                placed
            }
            (Plan::Run(run), Kind::Run(own)) => {
                let mut placed = build::run(job, table, own, run, proof(run.objective))?;
                if self.with_fallbacks {
                    let found = batch::search(job, table, own);
                    let choices = relax::choices(&placed);
                    placed.losers = losers::of_batch(job, table, &found, run.objective, &choices);
                }
                placed
            }
            (Plan::Federation(members), Kind::Federation(asked, _)) => {
                let rounds = federation::Rounds::of(job, table, asked)?;
                build::federation(job, &rounds, members, proof(members.run))?
            }
            _ => return None,
        };
        if placed.pools != apart.pools {
            let priced = emission::price(self.spec) > 0;
            let keeps = self.spec.stability.as_ref();
            let keeps = keeps.filter(|_| self.world.running.of(&job.address).is_some() && placed.stays());
            if let Some(stability) = keeps {
                losers::against_kept(&mut placed, stability);
            }
            placed.losers.splice(0..0, losers::crowded_out(apart, &placed, priced, keeps));
        }
        Some(placed)
    }

    fn coupling(&self, rows: &Rows, found: &Together) -> Coupling {
        let limits = (0..rows.list.len())
            .filter(|r| found.active.contains(r))
            .map(|r| {
                let row = &rows.list[r];
                let taken = found.taken.get(r).map_or(0, |t| i64::try_from(*t).unwrap_or(i64::MAX));
                // Only the prices of shared machines, which no certificate has, are of more than 64 bits.
                let price = |of: i128| i64::try_from(of).unwrap_or(i64::MAX);
                limit(row, taken, price(found.prices[r]), price(found.worth[r]))
            })
            .collect();
        let down = |scaled: i128| Money::from_micros(scaled.div_euclid(ONE) as i64);
        Coupling {
            limits,
            carbon_price: rows.carbon_price,
            optimum: Money::from_micros(found.cost),
            lower_bound: Money::from_micros(found.bound),
            apart: self.apart_month(),
            least: self.jobs.iter().zip(&found.least).map(|(j, l)| (j.address.clone(), down(*l))).collect(),
            plans: found.plans,
            nodes: found.nodes,
            stopped: self.asking.stopped().filter(|_| found.bound < found.cost),
        }
    }
}

/// What a row is called, and its unit with a space before it.
fn words(row: &together::Row) -> (String, &'static str) {
    match &row.what {
        Shared::Budget(BudgetScope::All) => ("a monthly budget".into(), " USD"),
        Shared::Budget(scope) => (format!("a monthly budget for {scope}"), " USD"),
        Shared::Quota { cloud, place, code } => match code.strip_prefix(HELD) {
            Some(plan) if place == EVERYWHERE => (format!("the savings plan {plan} of {cloud}"), " USD/h"),
            Some(kind) => (format!("a commitment of {kind} in {cloud}/{place}"), ""),
            None => (format!("a quota {code} in {cloud}/{place}"), ""),
        },
        Shared::Carbon => ("a cap of carbon".into(), " kg a month"),
        Shared::Slots => ("accelerators of shared machines".into(), ""),
    }
}

fn limit(row: &together::Row, taken: i64, price: i64, worth: i64) -> SharedLimit {
    let (constraint, budget, quota) = match &row.what {
        Shared::Budget(scope) => ("budget", Some(scope), None),
        Shared::Quota { cloud, place, code } => ("quota", None, Some((*cloud, place.clone(), code.clone()))),
        Shared::Carbon => ("carbon", None, None),
        Shared::Slots => ("shared", None, None),
    };
    let (cloud, region, code) = quota.map_or((None, None, None), |(c, p, q)| (Some(c), Some(p), Some(q)));
    // Micro-dollars a month for a million millionths, or a kilogram.
    let worth = i128::from(worth) * 1_000_000 / ONE;
    SharedLimit {
        constraint,
        workload: budget.and_then(BudgetScope::workload).map(str::to_owned),
        label: budget.and_then(BudgetScope::label),
        cloud,
        region,
        code,
        limit: row.limit as f64 / 1e6,
        taken: taken as f64 / 1e6,
        multiplier: price,
        worth: Money::from_micros(worth.clamp(0, i128::from(i64::MAX)) as i64),
        at: row.at.clone(),
    }
}

/// What a workload is counted with in the common objective, a month.
fn month(placed: &WorkloadPlacement) -> Money {
    match placed.run {
        Some(_) => placed.cost.expected_per_month,
        None => placed.cost.expected_per_hour.times(HOURS_PER_MONTH),
    }
}
