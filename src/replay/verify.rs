//! A plan's promises under replayed traffic.

mod kept;
mod scenarios;

use rayon::prelude::*;
use rhumb_api::Money;

pub use kept::Kept;

use super::placed::{METRICS, Placed, Played, PoolUse, Setting};
use super::statistics::{Interval, Sample};
use crate::placement::{Following, Metric, Placement, WorkloadPlacement, World};
use crate::spec::{By, Load, Objective, Recorded, RecordedRequest, Service, Spec};

/// Independent runs of a scenario; blocks of a recorded hour.
pub const RUNS: usize = 8;

/// How to verify.
pub struct Options<'a> {
    /// Requests of a scenario, over all its runs.
    pub requests: usize,
    /// First seed.
    pub seed: u64,
    /// Played in place of a service's traffic, by the name of the service.
    pub traces: &'a std::collections::BTreeMap<String, Recorded>,
    /// Told of each run that is done, and how many there are.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What the replay says of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// One for each service, in the order of their addresses.
    pub services: Vec<Verified>,
    /// One for each batch, in the order of their addresses.
    pub batches: Vec<VerifiedBatch>,
    /// One for each training, in the order of their addresses.
    pub trainings: Vec<VerifiedTraining>,
    /// Services with a profile, with the file: it says nothing of single requests that could be replayed.
    pub measured: Vec<(String, String)>,
}

/// What the replay says of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// `services.NAME`.
    pub address: String,
    /// How its traffic was made, in words.
    pub traffic: String,
    /// Whether a recorded hour was played.
    pub recorded: bool,
    /// Requests of each scenario.
    pub requests: usize,
    /// Recorded requests that an engine refuses, which are not played: longer than the plan's `max_model_len`, which stands beside
    /// them.
    pub refused: (usize, u32),
    /// In reading order.
    pub scenarios: Vec<Scenario>,
    /// Pools by address with what one machine fewer would do.
    pub fewer: Vec<Fewer>,
}

/// What the replay says of a batch's run.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedBatch {
    /// `batches.NAME`.
    pub address: String,
    /// Items that one replica was given at once.
    pub items: usize,
    /// Items a second of all machines at the planned confidence: by the plan, and replayed.
    pub items_per_s: (f64, f64),
    /// Hours of a run at the planned confidence: by the plan, and replayed.
    pub hours: (f64, f64),
    /// The deadline, hours.
    pub deadline_hours: f64,
    /// Sequences that preemption made a replica compute again, as a share of the items.
    pub preempted: f64,
}

impl VerifiedBatch {
    /// Whether the run ends in time.
    pub fn kept(&self) -> bool {
        self.hours.1 <= self.deadline_hours
    }
}

/// What the replay says of a training's runs.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedTraining {
    /// `trainings.NAME`.
    pub address: String,
    /// Runs that were played at the planned speed, each with interruptions of its own.
    pub runs: usize,
    /// The share of runs that must end in time.
    pub confidence: f64,
    /// The share that does, and its 95 % interval.
    pub within: f64,
    /// See [`VerifiedTraining::within`].
    pub within_interval: (f64, f64),
    /// Hours of a run that are expected: by the plan, and the mean of the replay.
    pub hours: (f64, f64),
    /// Hours that are not exceeded at the confidence: by the plan, and replayed.
    pub late_hours: (f64, f64),
    /// Interruptions of a run: by the plan, and the mean of the replay.
    pub interruptions: (f64, f64),
    /// The deadline, hours.
    pub deadline_hours: f64,
    /// Whether enough runs end in time.
    pub kept: Kept,
}

/// What is asked of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is shown only.
    Nothing,
    /// Its objectives must hold.
    MustHold,
}

/// A state of the world that was replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Stable name: `expected`, `planned`, `replica-lost`, or the scope of a declared failure.
    pub name: String,
    /// In words.
    pub what: String,
    /// What is asked of it.
    pub asked: Asked,
    /// Every objective.
    pub objectives: Vec<Attainment>,
    /// By pool, in the plan's order.
    pub pools: Vec<PoolUse>,
    /// Share of the requests that found no replica at all.
    pub lost: f64,
    /// Milliseconds at each percent from 0 to 100, by origin and metric.
    pub quantiles: Vec<Quantiles>,
}

/// A distribution, for drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles {
    /// Origin name.
    pub origin: String,
    /// Which latency.
    pub metric: Metric,
    /// Milliseconds at 0, 1, ..., 100 %; empty if the metric does not apply.
    pub ms: Vec<f64>,
}

/// An objective against the replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Attainment {
    /// Origin name.
    pub origin: String,
    /// Which latency.
    pub metric: Metric,
    /// The quantile; `None` is the mean.
    pub quantile: Option<f64>,
    /// The limit of this scenario, ms.
    pub limit_ms: f64,
    /// The figure, ms.
    pub ms: Interval,
    /// Share of the requests within the limit.
    pub within: Interval,
    /// Whether it was kept.
    pub kept: Kept,
}

/// What one machine fewer in a pool would do; on machines that services share, one replica fewer.
#[derive(Clone, Debug, PartialEq)]
pub struct Fewer {
    /// The pool's address.
    pub pool: String,
    /// Replicas that would be left in it.
    pub replicas: u32,
    /// The objectives with so many; empty if none would be left.
    pub objectives: Vec<Attainment>,
    /// What comes of it.
    pub verdict: Buys,
    /// What the dearest machine of the pool costs a month; `None` on machines that services share: a replica less frees
    /// accelerators there, which is no money by itself.
    pub per_month: Option<Money>,
}

/// What the last machine of a pool buys.
#[derive(Clone, Debug, PartialEq)]
pub enum Buys {
    /// An objective, which breaks without it.
    Objective {
        /// In words.
        what: String,
    },
    /// A constraint of the spec, which breaks without it while every objective holds.
    Constraint {
        /// Its name as in the spec.
        name: String,
        /// In words.
        why: String,
    },
    /// Nothing that the replay can see: the plan buys more than is needed.
    Nothing,
}

impl Scenario {
    /// Whether a promise of it is broken.
    pub fn broken(&self) -> bool {
        self.asked == Asked::MustHold
            && (self.lost > 0.0 || self.objectives.iter().any(|o| o.kept == Kept::No))
    }
}

impl Verification {
    /// Whether every promise held.
    pub fn passed(&self) -> bool {
        self.services.iter().all(|s| s.refused.0 == 0 && !s.scenarios.iter().any(Scenario::broken))
            && self.batches.iter().all(VerifiedBatch::kept)
            && self.trainings.iter().all(|t| t.kept != Kept::No)
    }
}

/// Replays every service of a placement.
///
/// # Errors
/// In words: what the placement names and the world does not have.
pub fn verify(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    options: &Options<'_>,
) -> Result<Verification, String> {
    let spec = &*placement.spec_of(spec);
    let mut found = Verification {
        services: Vec::new(),
        batches: Vec::new(),
        trainings: Vec::new(),
        measured: Vec::new(),
    };
    let mut all = Vec::new();
    for (address, placed) in &placement.workloads {
        let service = address.strip_prefix("services.").and_then(|name| spec.services.get(name));
        let Some(service) = service else {
            let batch = address.strip_prefix("batches.").and_then(|name| spec.batches.get(name));
            if let Some(batch) = batch {
                found.batches.extend(super::batch::verify(world, spec, batch, placed, options.seed)?);
            }
            let training = address.strip_prefix("trainings.").and_then(|name| spec.trainings.get(name));
            let played =
                training.and_then(|t| super::training::verify(t, placed, spec.confidence, options.seed));
            found.trainings.extend(played);
            let profiled = address.strip_prefix("services.").and_then(|name| spec.profiled.get(name));
            found.measured.extend(profiled.map(|p| (address.clone(), p.profile.file.path.clone())));
            continue;
        };
        let mut play = Placed::new(world, spec, service, placed)?;
        let part = service.part_of.as_ref();
        // A request may come to any of the pools.
        let pools = placed.pools.iter().filter(|p| p.stands_in.is_none());
        let longest = pools.map(|p| p.engine.max_model_len).min().unwrap_or(u32::MAX);
        let mut refused = 0;
        if let Some(trace) = options.traces.get(part.map_or(&service.name, |of| &of.service.name)) {
            let own = |r: &&RecordedRequest| part.is_none_or(|of| of.slice.takes(r.input as u32));
            let (requests, long): (Vec<RecordedRequest>, Vec<RecordedRequest>) =
                trace.requests.iter().filter(own).partition(|r| r.input + r.output <= f64::from(longest));
            refused = long.len();
            if requests.len() < 2 {
                let long = if refused > 0 {
                    format!(" of {longest} tokens or less, the plan's max_model_len")
                } else {
                    String::new()
                };
                return Err(format!("the recorded traffic has fewer than two requests{long} for {address}"));
            }
            play.record(&requests);
        }
        all.push((play, placed, address, (refused, longest)));
    }
    let settings: Vec<Vec<Planned>> =
        all.iter().map(|(play, placed, ..)| scenarios::scenarios(play, placed)).collect();
    let fewer: Vec<Vec<(usize, Setting)>> = all.iter().map(|(play, ..)| one_fewer(play)).collect();
    let total: usize =
        settings.iter().map(Vec::len).sum::<usize>() + fewer.iter().map(Vec::len).sum::<usize>();
    let done = std::sync::atomic::AtomicU64::new(0);
    let step = || {
        let n = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        (options.progress)(n, total as u64);
    };
    for (((play, placed, address, refused), planned), fewer) in all.iter().zip(settings).zip(fewer) {
        let scenarios: Vec<Scenario> = planned
            .into_par_iter()
            .map(|p| {
                let scenario = p.play(play, options);
                step();
                scenario
            })
            .collect();
        let fewer: Vec<Fewer> = fewer
            .into_par_iter()
            .map(|(pool, setting)| {
                let found = judge_fewer(play, placed, pool, &setting, options);
                step();
                found
            })
            .collect();
        found.services.push(Verified {
            address: (*address).clone(),
            traffic: traffic(play),
            recorded: play.recorded.is_some(),
            requests: count(play, options),
            refused: *refused,
            scenarios,
            fewer,
        });
    }
    Ok(found)
}

/// Requests of a scenario: a recorded hour is played once.
fn count(play: &Placed<'_>, options: &Options<'_>) -> usize {
    play.recorded.as_ref().map_or(options.requests, |hour| hour.len())
}

/// Whether it is the part of a service that has prompts of some lengths.
fn of_lengths(service: &Service) -> bool {
    service.part_of.as_ref().is_some_and(|of| of.slice.by == By::Prompts)
}

fn traffic(play: &Placed<'_>) -> String {
    use crate::spec::Arrivals;
    if let Some(hour) = &play.recorded {
        let rate = match (play.own_rate, &play.service.traffic.load) {
            (Some(own), _) => format!("at their own times, {:.2} req/s", own),
            (None, Load::Rate(rate)) => format!("at {rate:.2} req/s"),
            (None, Load::Concurrency(clients)) => format!("by {clients} clients"),
        };
        return format!("{} recorded requests {rate}", hour.len());
    }
    let t = &play.service.traffic;
    if let (Load::Concurrency(users), Some(s)) = (&t.load, t.sessions) {
        return format!(
            "{users} conversations at a time of {} turns, {} s between an answer and the next turn",
            s.turns, s.think_s
        );
    }
    match (&t.load, t.arrivals) {
        (Load::Concurrency(clients), _) => format!("{clients} clients, each sending when answered"),
        (Load::Rate(rate), _) if of_lengths(play.service) => {
            format!("{rate:.3} req/s, those of the whole service that have its lengths")
        }
        (Load::Rate(rate), Arrivals::Poisson) => format!("{rate} req/s, independent arrivals"),
        (Load::Rate(rate), Arrivals::Constant) => format!("{rate} req/s, evenly spaced"),
        (Load::Rate(rate), Arrivals::Bursty { cv2 }) => {
            format!("{rate} req/s in bursts (cv2 of the gaps {cv2})")
        }
    }
}

/// A scenario before it is played.
struct Planned {
    name: String,
    what: String,
    asked: Asked,
    setting: Setting,
    /// What limits are multiplied by.
    factor: f64,
}

impl Planned {
    fn play(&self, play: &Placed<'_>, options: &Options<'_>) -> Scenario {
        let runs = runs(play, &self.setting, options);
        let (objectives, quantiles) = measure(play, &runs, self.factor);
        let requests: usize = count(play, options);
        let lost = runs.iter().map(|r| r.lost).sum::<usize>() as f64 / requests.max(1) as f64;
        Scenario {
            name: self.name.clone(),
            what: self.what.clone(),
            asked: self.asked,
            objectives,
            pools: averaged(&runs),
            lost,
            quantiles,
        }
    }
}

/// Each pool with one machine fewer.
fn one_fewer(play: &Placed<'_>) -> Vec<(usize, Setting)> {
    let fewer = |(i, pool): (usize, &super::placed::PlayedPool)| {
        let mut setting = play.as_planned();
        setting.replicas[i] = pool.replicas.saturating_sub(pool.on_a_machine);
        (i, setting)
    };
    play.pools.iter().enumerate().map(fewer).collect()
}

fn judge_fewer(
    play: &Placed<'_>,
    placed: &WorkloadPlacement,
    pool: usize,
    setting: &Setting,
    options: &Options<'_>,
) -> Fewer {
    let (addr, left) = (placed.pools[pool].addr.as_str().to_owned(), setting.replicas[pool]);
    let planned = &placed.pools[pool];
    let dearest = planned.machines.iter().map(|m| m.price).max().unwrap_or(Money::ZERO);
    let part = planned.following.as_ref().map_or(1.0, Following::at_the_most);
    let per_month = planned.shared.is_none().then(|| dearest.per_month().scale(part));
    if left == 0 && planned.stands_in.is_some() {
        let why = "nothing would answer for what has failed".to_owned();
        let verdict = Buys::Constraint { name: "degrade".into(), why };
        return Fewer { pool: addr, replicas: 0, objectives: Vec::new(), verdict, per_month };
    }
    let only = if planned.shared.is_some() { "replica" } else { "machine" };
    let mut found = Fewer {
        pool: addr,
        replicas: left,
        objectives: Vec::new(),
        verdict: Buys::Objective { what: format!("the pool's only {only}") },
        per_month,
    };
    if left == 0 {
        return found;
    }
    let runs = runs(play, setting, options);
    found.objectives = measure(play, &runs, 1.0).0;
    if let Some(broken) = found.objectives.iter().find(|o| o.kept != Kept::Yes) {
        found.verdict = Buys::Objective { what: named(broken) };
        return found;
    }
    found.verdict = constraint(play, placed, pool, setting, options).unwrap_or(Buys::Nothing);
    found
}

/// The constraint that breaks with fewer replicas in a pool while the objectives hold.
fn constraint(
    play: &Placed<'_>,
    placed: &WorkloadPlacement,
    pool: usize,
    setting: &Setting,
    options: &Options<'_>,
) -> Option<Buys> {
    let service = play.service;
    let all: u32 = setting.replicas.iter().sum();
    if all < service.scaling.min_replicas {
        return Some(Buys::Constraint {
            name: "scaling.min_replicas".into(),
            why: format!("at least {} replicas are asked for", service.scaling.min_replicas),
        });
    }
    let lost = play.pools[pool].replicas - setting.replicas[pool];
    let addr = placed.pools[pool].addr.as_str();
    for failure in &placed.failures {
        let here = failure.at == addr;
        let stands_in = planned_for(placed, pool).is_some_and(|of| of == failure.at);
        if failure.at != "all" && !here && !stands_in {
            continue;
        }
        let name = format!("survive.{}", failure.scope);
        let covered = placed.stand_in_of(&placed.pools[pool]).is_some();
        if here && failure.replicas_left <= lost && !covered {
            return Some(Buys::Constraint {
                name,
                why: format!("nothing would be left with {} {} lost", failure.count, failure.scope),
            });
        }
        for mut planned in scenarios::failed(play, placed, failure) {
            planned.setting.replicas[pool] = planned.setting.replicas[pool].saturating_sub(lost);
            let runs = runs(play, &planned.setting, options);
            let broken = measure(play, &runs, planned.factor).0.into_iter().find(|o| o.kept != Kept::Yes);
            if let Some(broken) = broken {
                return Some(Buys::Constraint { name, why: format!("{}: {}", planned.what, named(&broken)) });
            }
        }
    }
    None
}

/// What a pool stands in for.
fn planned_for(placed: &WorkloadPlacement, pool: usize) -> Option<&str> {
    Some(placed.pools[pool].stands_in.as_ref()?.pool.as_str())
}

/// `ttft p95 612 ms of 500 ms for eu`.
fn named(o: &Attainment) -> String {
    format!(
        "{} {} {:.0} ms against {:.0} ms for {}",
        o.metric.as_str(),
        super::percentile(o.quantile),
        o.ms.mean,
        o.limit_ms,
        o.origin
    )
}

/// The runs of a setting: as many seeds, or a recorded hour in as many blocks.
fn runs(play: &Placed<'_>, setting: &Setting, options: &Options<'_>) -> Vec<Played> {
    if let Some(hour) = &play.recorded {
        let whole = play.play(setting, hour.len(), options.seed);
        return blocks(&whole);
    }
    let each = options.requests.div_ceil(RUNS).max(1);
    (0..RUNS as u64).into_par_iter().map(|i| play.play(setting, each, options.seed.wrapping_add(i))).collect()
}

fn blocks(whole: &Played) -> Vec<Played> {
    let part = |i: usize| {
        let cut = |values: &Vec<f64>| {
            let at = |k: usize| values.len() * k / RUNS;
            values[at(i)..at(i + 1)].to_vec()
        };
        Played {
            origins: whole.origins.iter().map(|o| [cut(&o[0]), cut(&o[1]), cut(&o[2])]).collect(),
            pools: whole.pools.clone(),
            lost: if i == 0 { whole.lost } else { 0 },
        }
    };
    (0..RUNS).map(part).collect()
}

fn objectives(service: &Service) -> [(&[Objective], usize); 3] {
    [(&service.slo.ttft, 0), (&service.slo.tpot, 1), (&service.slo.e2e, 2)]
}

fn measure(play: &Placed<'_>, runs: &[Played], factor: f64) -> (Vec<Attainment>, Vec<Quantiles>) {
    let mut attained = Vec::new();
    let mut quantiles = Vec::new();
    for (o, origin) in play.service.traffic.origins.iter().enumerate() {
        for (asked, m) in objectives(play.service) {
            let each: Vec<Sample> =
                runs.iter().map(|r| Sample::new(r.origins[o][m].iter().copied())).collect();
            let pooled = Sample::new(each.iter().flat_map(|s| s.values().iter().copied()));
            for objective in asked {
                let figure = |s: &Sample| match objective.quantile {
                    None => s.mean(),
                    Some(q) => s.quantile(q),
                };
                let limit_ms = objective.limit_ms * factor;
                let Some(whole) = figure(&pooled) else { continue };
                let ms = Interval {
                    mean: whole,
                    ..Interval::of(&each.iter().filter_map(figure).collect::<Vec<_>>())
                };
                let within = Interval {
                    mean: pooled.within(limit_ms).unwrap_or(0.0),
                    ..Interval::of(&each.iter().filter_map(|s| s.within(limit_ms)).collect::<Vec<_>>())
                };
                let kept = Kept::of(&ms, limit_ms);
                attained.push(Attainment {
                    origin: origin.name.clone(),
                    metric: METRICS[m],
                    quantile: objective.quantile,
                    limit_ms,
                    ms,
                    within,
                    kept,
                });
            }
            let at = |p: usize| pooled.quantile((p as f64 / 100.0).max(1e-9));
            quantiles.push(Quantiles {
                origin: origin.name.clone(),
                metric: METRICS[m],
                ms: (0..=100).filter_map(at).collect(),
            });
        }
    }
    (attained, quantiles)
}

fn averaged(runs: &[Played]) -> Vec<PoolUse> {
    let n = runs.len().max(1) as f64;
    let pools = runs.first().map_or(0, |r| r.pools.len());
    let mean = |i: usize, f: fn(&PoolUse) -> f64| runs.iter().map(|r| f(&r.pools[i])).sum::<f64>() / n;
    (0..pools)
        .map(|i| PoolUse {
            replicas: runs[0].pools[i].replicas,
            rate: mean(i, |p| p.rate),
            busy: mean(i, |p| p.busy),
            batch: mean(i, |p| p.batch),
            queued_ms: mean(i, |p| p.queued_ms),
            preempted: mean(i, |p| p.preempted),
            hit: mean(i, |p| p.hit),
            kv: runs.iter().map(|r| r.pools[i].kv).fold(0.0, f64::max),
        })
        .collect()
}
