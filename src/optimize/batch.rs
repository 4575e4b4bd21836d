//! The cheapest run of a batch, a training or a pipeline: one pool, over all candidates, counts and shares of spot.

mod least;
mod within;

use std::collections::BTreeMap;

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::job::{Job, Task};
use super::pipeline::Executor;
use super::pool::Count;
use super::pool::{Terms, weights_gib};
use super::service::Chosen;
use super::stream::Flow;
use super::table::{Speed, Table, Way};
use super::training::Trainer;
use crate::perf::{self, training::Duration};
use crate::placement::Rejection;
use crate::replay::{MOST_ITEMS, Worker, items_of};
use crate::spec::units::hours;
use crate::spec::{Batch, BudgetBinds, Pipeline, Stream, Training};
pub(super) use within::{Priced, Within};

/// Work of a batch with what is done twice because a spot machine went away, as a factor (assumed).
pub const LOST_WORK: f64 = 1.10;

/// A run of a batch or a training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub chosen: Chosen,
    /// Hours that are paid.
    pub hours: f64,
    /// Hours that the deadline is held against.
    pub late: f64,
    /// Items or tokens.
    pub items_per_s: f64,
    /// How a training goes on.
    pub training: Option<Duration>,
    /// The run's machines, and what is copied for it.
    pub run: Money,
    /// Weights copied in a month.
    pub copying: Money,
    /// A run with its part of what is paid once a month.
    pub objective: Money,
}

/// What a search found.
pub(super) struct Found {
    pub best: Option<Run>,
    /// Site and way to the best count, for those that were evaluated.
    pub evaluated: BTreeMap<(usize, usize), Run>,
    pub rejected: BTreeMap<String, u64>,
    pub bounded: u64,
    pub evaluated_candidates: u64,
    /// A limit that only the budget sets, if it alone rejects the optimum.
    pub rejection: Option<Rejection>,
}

/// The objective of a run: its machines, and its part of the copies of a month.
fn objective(run: Money, copying: Money, runs: f64) -> Money {
    if runs > 0.0 { run + copying.scale(1.0 / runs) } else { run + copying }
}

/// What does the work.
#[derive(Clone, Copy)]
enum Pace<'a> {
    /// Replicas of an engine: the more, the faster.
    Items { batch: &'a Batch, speed: &'a Speed },
    /// A training on just the machines of its way.
    Tokens { training: &'a Training, trainer: &'a Trainer },
    /// A pipeline's shards, in waves.
    Shards { pipeline: &'a Pipeline, executor: &'a Executor },
    /// A stream, all month.
    Events(Flow<'a>),
}

struct Asked<'a> {
    job: &'a Job<'a>,
    task: Task<'a>,
    terms: &'a Terms,
    pace: Pace<'a>,
    way: &'a Way,
    network_gbps: Option<f64>,
}

/// Hours of a run.
#[derive(Clone, Copy)]
struct Hours {
    expected: f64,
    late: f64,
    training: Option<Duration>,
}

impl<'a> Asked<'a> {
    /// For a site and a way; `None` if that does not run.
    fn of(
        job: &'a Job<'a>,
        table: &'a Table,
        task: Task<'a>,
        terms: &'a [Terms],
        (i, w): (usize, usize),
    ) -> Option<Self> {
        let machine = &table.machines[table.sites[i].machine];
        let way = &machine.ways[w];
        let speed = *way.speed.as_ref().ok()?;
        let pace = match task {
            Task::Batch(batch) => Pace::Items { batch, speed: &table.speeds[speed] },
            Task::Training(training) => Pace::Tokens { training, trainer: &table.trainers[speed] },
            Task::Pipeline(pipeline) => {
                let executor = &table.executors[speed];
                match &pipeline.stream {
                    Some(stream) => Pace::Events(Flow { pipeline, stream, executor }),
                    None => Pace::Shards { pipeline, executor },
                }
            }
        };
        let network_gbps = job.world.catalog.instance_types[machine.index].network_gbps;
        Some(Asked { job, task, terms: &terms[i], pace, way, network_gbps })
    }

    /// The fewest groups of machines that may end within `deadline` hours: no replay makes any faster than the closed form.
    fn first(&self, deadline: f64) -> Option<u32> {
        // Without spot is faster: what is too slow even so never ends in time. Where there is nothing else, all is spot.
        let deadline = deadline * (1.0 + 1e-12);
        if let Pace::Shards { pipeline, executor } = self.pace {
            let (starts, work) = if self.is_only_spot() { (2.0, LOST_WORK) } else { (1.0, 1.0) };
            let left = deadline * 3600.0 - starts * executor.start_s;
            return executor.fewest(pipeline, left / work);
        }
        if let Pace::Events(flow) = self.pace {
            return flow.fewest(self.terms);
        }
        let Pace::Items { .. } = self.pace else {
            // With more interruptions checkpoints are nearer to each other, so that the same number of them may cost less: only
            // what is expected grows with spot, and what is late is no shorter.
            return self.hours(1, 0).filter(|hours| hours.expected <= deadline).map(|_| 1);
        };
        let spot = u32::from(self.is_only_spot());
        let start = self.of_items(f64::INFINITY, spot);
        let left = deadline - start;
        // No number of machines is done before one item is.
        if self.alone_s() * if spot > 0 { LOST_WORK } else { 1.0 } > left * 3600.0 {
            return None;
        }
        let work = self.of_items(self.closed(1), spot) - start;
        let possible = left > 0.0 && work / left < 1e6;
        let per = f64::from(self.way.replicas.max(1));
        possible.then(|| (work / left / per * (1.0 - 1e-9)).ceil().max(1.0) as u32)
    }

    /// Hours of a run on any number of groups, or seconds that what a stream makes is old, at the best; `None` if that is not what
    /// stands in the way.
    fn soonest(&self) -> Option<f64> {
        match self.pace {
            Pace::Events(flow) if flow.losses(self.terms, MOST_MORE, 0).is_none() => None,
            Pace::Events(flow) => Some(flow.freshest_s().unwrap_or(f64::INFINITY)),
            _ => Some(self.least_hours(MOST_MORE).unwrap_or(f64::INFINITY)),
        }
    }

    /// Seconds that an item takes by itself, if that was played.
    fn alone_s(&self) -> f64 {
        let Pace::Items { speed, .. } = self.pace else { return 0.0 };
        speed.played.of(1).map_or(0.0, |rate| 1.0 / rate)
    }

    /// The most groups that are worth a look, if the fewest are `first` and `more` of them are looked at.
    fn most(&self, first: u32, more: u32) -> u32 {
        match self.pace {
            // Where each replica has one item, more of them have none.
            Pace::Items { batch, .. } => {
                let enough = (batch.items / f64::from(self.way.replicas.max(1))).ceil();
                first.saturating_add(more).min(enough.clamp(1.0, f64::from(u32::MAX)) as u32).max(first)
            }
            Pace::Tokens { .. } => 1,
            // Another wave less may be cheaper, however many machines it takes.
            Pace::Shards { pipeline, executor } => executor.enough(pipeline).max(first),
            // More of them may be spot among more.
            Pace::Events(flow) => flow.enough(self.terms).max(first),
        }
    }

    /// GiB of weights that each machine copies.
    fn weights_gib(&self) -> f64 {
        match self.pace {
            Pace::Items { speed, .. } => weights_gib(speed, self.way),
            Pace::Tokens { trainer, .. } => trainer.weights_gib,
            Pace::Shards { .. } | Pace::Events(_) => 0.0,
        }
    }

    /// Whether nothing but spot is to be had: what is held is never lost.
    fn is_only_spot(&self) -> bool {
        self.terms.base.is_none() && self.terms.held.is_none()
    }

    /// Hours of a run on so many groups of machines; `None` if it may not end.
    fn hours(&self, units: u32, spot: u32) -> Option<Hours> {
        let spot = if self.terms.held.is_some() { 0 } else { spot };
        match self.pace {
            Pace::Items { .. } => {
                let hours = self.of_items(self.rate(units.checked_mul(self.way.replicas)?), spot);
                Some(Hours { expected: hours, late: hours, training: None })
            }
            Pace::Tokens { training, trainer } => {
                let confidence = self.job.spec.confidence;
                let lost = perf::training::lost_per_hour(self.terms.interruption);
                let duration = trainer.pace(training, lost * f64::from(spot)).duration(confidence)?;
                let (expected, late) = (duration.expected_s / 3600.0, duration.late_s / 3600.0);
                Some(Hours { expected, late, training: Some(duration) })
            }
            Pace::Shards { pipeline, executor } => {
                let work = executor.work_s(pipeline, units)?;
                let lost = 2.0 * executor.start_s + LOST_WORK * work;
                let seconds = if spot > 0 { lost } else { executor.start_s + work };
                Some(Hours { expected: seconds / 3600.0, late: seconds / 3600.0, training: None })
            }
            Pace::Events(flow) => {
                let hours = self.task.deadline();
                let there = Hours { expected: hours, late: hours, training: None };
                flow.trigger(self.terms, units, spot).map(|_| there)
            }
        }
    }

    /// Whether a run on so many groups may end in time with any number of spot machines: what is expected grows with them (what is late of a
    /// training need not: checkpoints are nearer to each other).
    fn may_end(&self, units: u32, deadline: f64) -> bool {
        self.hours(units, 0).is_some_and(|hours| hours.expected <= deadline * (1.0 + 1e-12))
    }

    /// Hours of a run without spot of which no more groups have fewer, times their number, and that no replay makes shorter.
    fn least_hours(&self, units: u32) -> Option<f64> {
        match self.pace {
            Pace::Items { .. } => Some(self.of_items(self.closed(units.checked_mul(self.way.replicas)?), 0)),
            Pace::Shards { pipeline, executor } => {
                Some((executor.start_s + executor.least_s(pipeline, units)) / 3600.0)
            }
            Pace::Tokens { .. } => self.hours(units, 0).map(|hours| hours.expected),
            Pace::Events(_) => Some(self.task.deadline()),
        }
    }

    /// Whether another number of groups may be cheaper than the first that ends in time, without any spot: the last wave may be fuller, and
    /// what a replay makes of other shares differs.
    fn in_waves(&self) -> bool {
        match self.pace {
            Pace::Shards { .. } => true,
            Pace::Items { .. } => self.job.world.replay > 0,
            Pace::Tokens { .. } | Pace::Events(_) => false,
        }
    }

    /// The next number of groups that is worth a look: of those that work in as many waves the first one has no more of anything.
    fn next(&self, units: u32) -> u32 {
        match self.pace {
            Pace::Shards { pipeline, executor } => executor.next(pipeline, units),
            Pace::Items { .. } | Pace::Tokens { .. } | Pace::Events(_) => units.saturating_add(1),
        }
    }

    /// Numbers of groups from `first` on.
    fn counts(&self, first: u32, most: u32) -> impl Iterator<Item = u32> + use<'_> {
        std::iter::successors(Some(first), |units| Some(self.next(*units)).filter(|next| next > units))
            .take_while(move |units| *units <= most)
    }

    /// Numbers of spot machines that are worth a look: where a run takes as long with one as with many, cost and everything else is linear
    /// in it. Where quotas are declared, or what is not spot costs less than the ceiling counts for spot, others may need what is between.
    fn spots(&self, machines: u32) -> Vec<u32> {
        let low = if self.terms.base.is_none() { machines } else { 0 };
        let high = self.terms.most_spot(machines);
        if self.terms.held.is_some() && matches!(self.pace, Pace::Tokens { .. }) {
            // A training has all of its machines of one commitment, or none.
            return if high == machines { vec![machines] } else { Vec::new() };
        }
        let linear =
            self.terms.quotas.is_empty() && self.terms.base.is_none_or(|b| Some(b) == self.terms.on_demand);
        if let Pace::Events(flow) = self.pace {
            let Some(most) = flow.most_spot(self.terms, machines, low, high) else { return Vec::new() };
            return if linear && low < most { vec![low, most] } else { (low..=most).collect() };
        }
        if !matches!(self.pace, Pace::Shards { .. }) || !linear {
            return (low..=high).collect();
        }
        let mut all: Vec<u32> = [low, low.max(1), high].into_iter().filter(|n| *n <= high).collect();
        all.dedup();
        all
    }

    /// Hours of a batch's run at so many items a second.
    fn of_items(&self, rate: f64, spot: u32) -> f64 {
        let Pace::Items { batch, .. } = self.pace else { return f64::INFINITY };
        let start = perf::start_up_s(self.weights_gib() * super::pool::GIB, self.network_gbps);
        let seconds =
            if spot > 0 { 2.0 * start + LOST_WORK * batch.items / rate } else { start + batch.items / rate };
        seconds / 3600.0
    }

    /// Items, tokens or shards a second by the closed form; of a stream the events that come in.
    fn closed(&self, replicas: u32) -> f64 {
        match self.pace {
            Pace::Items { speed, .. } => speed.curve.batch_rate() / speed.f * f64::from(replicas),
            Pace::Tokens { trainer, .. } => trainer.tokens_per_s,
            Pace::Shards { executor, .. } => executor.rate(replicas),
            Pace::Events(flow) => flow.stream.events_per_s,
        }
    }

    /// It, or what was played if that is less; where a replica's share was not, no share of fewer items that was is done later.
    fn rate(&self, replicas: u32) -> f64 {
        let closed = self.closed(replicas);
        let Pace::Items { batch, speed } = self.pace else { return closed };
        let items = items_of(batch, replicas);
        match speed.played.most_up_to(items) {
            Some((n, played)) if n == items => closed.min(Worker::of_all(batch, replicas, played)),
            Some((n, played)) if n <= MOST_ITEMS => closed.min(batch.items * played / f64::from(n)),
            _ => closed,
        }
    }

    /// Plays the items of a replica where that is not known yet.
    fn play(&self, replicas: u32) {
        let Pace::Items { batch, speed } = self.pace else { return };
        let worker = Worker { curve: &speed.slowed, limits: speed.limits, batch };
        for items in [items_of(batch, replicas), 1] {
            if self.job.world.replay > 0 && speed.played.of(items).is_none() {
                // What never ends is no choice.
                speed.played.note(items, worker.played(items).unwrap_or(f64::MIN_POSITIVE));
            }
        }
    }

    /// Plays ahead from a number of groups that ends too late to the fewest that do not, so that the search need not try each.
    fn play_on(&self, units: u32, deadline: f64, spot: u32) {
        let late = |units: u32| {
            self.play(units.saturating_mul(self.way.replicas));
            self.hours(units, spot).is_none_or(|hours| hours.late > deadline * (1.0 + 1e-12))
        };
        let most = self.most(units, MOST_MORE);
        let (mut low, mut stride) = (units, 1);
        let mut high = most;
        while low < most && stride < most {
            let next = low.saturating_add(stride).min(most);
            if !late(next) {
                high = next;
                break;
            }
            (low, stride) = (next, stride.saturating_mul(2));
        }
        while high > low + 1 {
            let middle = low.midpoint(high);
            if late(middle) { low = middle } else { high = middle }
        }
    }

    fn run(&self, chosen: (usize, usize), units: u32, machines: u32, spot: u32) -> Option<(Run, Money)> {
        let replicas = units.checked_mul(self.way.replicas)?;
        let Hours { expected: hours, late, training } = self.hours(units, spot)?;
        let (hourly, ceiling) = self.terms.price(machines, spot)?;
        let runs = self.task.runs();
        let run = hourly.scale(hours) + self.terms.dataset.unwrap_or(Money::ZERO);
        // Priced by the hour, as the bill has it: a month is 730 of them.
        let copying = self.terms.copying(self.weights_gib(), machines).times(HOURS_PER_MONTH);
        let objective = objective(run, copying, runs);
        let month = run.scale(runs) + copying + (ceiling - hourly).scale(hours * runs);
        let count = Count {
            machines,
            spot,
            replicas,
            most_base: machines - spot,
            most_spot: spot,
            most_replicas: replicas,
            beside_base: 0,
            beside_spot: 0,
            seconds: 0,
            cost: objective,
            peak: objective,
            ceiling: month,
            stand_in: None,
        };
        let expected = run.scale(runs) + copying;
        let bound = match self.job.spec.budget.binds {
            BudgetBinds::Ceiling => month,
            BudgetBinds::Expected | BudgetBinds::PeakMonth => expected,
        };
        let chosen = Chosen { site: chosen.0, way: chosen.1, count };
        let items_per_s = self.rate(replicas);
        Some((Run { chosen, hours, late, items_per_s, training, run, copying, objective }, bound))
    }
}

/// Searches for the cheapest run; one that a replay makes slower is looked for again.
pub(super) fn search(job: &Job<'_>, table: &Table, task: Task<'_>) -> Found {
    loop {
        let found = by_known_rates(job, table, task);
        let within = Within { job, table, task, terms: &table.terms };
        if found.best.is_none_or(|run| within.slower(&run).is_none()) {
            return found;
        }
    }
}

fn by_known_rates(job: &Job<'_>, table: &Table, task: Task<'_>) -> Found {
    let deadline = task.deadline();
    let budget = job.budgets().into_iter().min_by_key(|(l, _)| *l);
    let mut found = Found {
        best: None,
        evaluated: BTreeMap::new(),
        rejected: table.rejected.clone(),
        bounded: 0,
        evaluated_candidates: 0,
        rejection: None,
    };
    let reject = |found: &mut Found, why: &str, n: u64| {
        *found.rejected.entry(why.to_owned()).or_insert(0) += n;
    };
    let mut order: Vec<(Money, usize, usize, u32)> = Vec::new();
    // When a run ends at the soonest, unless something else than time stands in the way of a candidate.
    let mut soonest = Some(f64::INFINITY);
    let terms = &table.terms;
    for (i, site) in table.sites.iter().enumerate() {
        for w in 0..table.machines[site.machine].ways.len() {
            let Some(asked) = Asked::of(job, table, task, terms, (i, w)) else { continue };
            found.bounded += site.dearer;
            let Some(units) = asked.first(deadline) else {
                // A stream may be late for want of zones as well.
                let soonest_here = asked.soonest();
                soonest = soonest.zip(soonest_here).map(|(soonest, hours)| soonest.min(hours));
                reject(&mut found, if soonest_here.is_some() { task.limit() } else { "survive" }, site.rows);
                continue;
            };
            let Some(least) = asked.least(units) else {
                reject(&mut found, "purchase", site.rows);
                soonest = None;
                continue;
            };
            order.push((least, i, w, units));
        }
    }
    order.sort_unstable();
    let never = found.rejected.contains_key("freshness");
    let soonest = soonest.filter(|hours| order.is_empty() && (hours.is_finite() || never));
    let mut over_budget: Option<(Money, Money)> = None;
    for (least, i, w, first) in order {
        let site = &table.sites[i];
        if found.best.as_ref().is_some_and(|b| least > b.objective) {
            found.bounded += site.rows;
            continue;
        }
        let Some(asked) = Asked::of(job, table, task, terms, (i, w)) else { continue };
        let mut best: Option<Run> = None;
        let (mut quota, mut budgeted) = (false, None);
        let mut late = true;
        let bar = found.best.as_ref().map(|b| b.objective);
        // Some number always ends in time; the more machines, the more start-ups are paid.
        for units in asked.counts(first, asked.most(first, MOST_MORE)) {
            let machines = units.saturating_mul(asked.way.span.max(1));
            let Some(floor) = asked.least(units) else { break };
            if best.is_some_and(|b| floor >= b.objective)
                || (best.is_none() && bar.is_some_and(|b| floor > b))
            {
                late = false;
                break;
            }
            let mut any = false;
            let in_time = asked.may_end(units, deadline);
            for spot in if in_time { asked.spots(machines) } else { Vec::new() } {
                let Some((run, month)) = asked.run((i, w), units, machines, spot) else { continue };
                if run.late > deadline * (1.0 + 1e-12) {
                    continue;
                }
                late = false;
                if !terms[i].within_quotas(machines, spot) {
                    quota = true;
                    continue;
                }
                any = true;
                if budget.is_some_and(|(l, _)| month > l) {
                    budgeted = Some(budgeted.map_or(month, |b: Money| b.min(month)));
                    continue;
                }
                if best.is_none_or(|b| (run.objective, machines) < (b.objective, b.chosen.count.machines)) {
                    best = Some(run);
                }
            }
            // More machines need more of the same quota; with spot only, or a budget, they do not help either.
            let hopeless = if matches!(asked.pace, Pace::Shards { .. } | Pace::Events(_)) {
                let over = |limit: Money| floor.scale(task.runs()) > limit;
                !terms[i].any_within_quotas(machines) || budget.is_some_and(|(limit, _)| over(limit))
            } else {
                units > first.saturating_mul(2).saturating_add(64) && (any || quota)
            };
            if best.is_none() && hopeless {
                break;
            }
        }
        match best {
            Some(run) => {
                found.evaluated_candidates += site.rows;
                found.evaluated.insert((i, w), run);
                let better = found.best.as_ref().is_none_or(|b| key(table, &run) < key(table, b));
                if better {
                    found.best = Some(run);
                }
            }
            None if quota => reject(&mut found, "quota", site.rows),
            None if budgeted.is_some() => {
                if let (Some(month), Some((limit, _))) = (budgeted, budget) {
                    over_budget = Some(over_budget.map_or((month, limit), |(m, l)| (m.min(month), l)));
                }
                reject(&mut found, "budget", site.rows);
            }
            None if late => reject(&mut found, task.limit(), site.rows),
            None => found.bounded += site.rows,
        }
    }
    if found.best.is_none() {
        found.rejection = Some(match (over_budget, budget, soonest) {
            (Some((month, limit)), Some((_, at)), _) => Rejection {
                constraint: "budget",
                reason: format!("{month} USD a month, the budget is {limit}"),
                at: Some(at.clone()),
                distance: Some(month.usd() / limit.usd().max(1e-9) - 1.0),
            },
            (_, _, Some(soonest)) => match task.stream() {
                Some(stream) => stale(task, stream, soonest),
                None => Rejection {
                    constraint: "deadline",
                    reason: format!(
                        "no number of machines of any type ends a run before {}, the deadline is {}",
                        hours(soonest),
                        hours(deadline)
                    ),
                    at: Some(task.at().join("deadline")),
                    distance: Some(soonest / deadline - 1.0),
                },
            },
            _ => Rejection {
                constraint: "infeasible",
                reason: "no candidate does".into(),
                at: Some(task.at().clone()),
                distance: None,
            },
        });
    }
    found
}

/// Why a stream is on no machines, none of which make anything fresher than `freshest` seconds.
fn stale(task: Task<'_>, stream: &Stream, freshest: f64) -> Rejection {
    let limit = stream.freshness_s;
    let (reason, distance) = if freshest == f64::INFINITY {
        ("no vCPU keeps up with a shard, however many there are: cut it into more `shards`".to_owned(), None)
    } else if freshest > limit {
        let reason = format!(
            "nothing is fresher than {freshest:.3} s on any number of machines, the freshness is {limit:.3} s"
        );
        (reason, Some(freshest / limit - 1.0))
    } else {
        let reason = format!(
            "on what a failure leaves, no whole number of milliseconds keeps up and is fresher than {limit:.3} s"
        );
        (reason, None)
    };
    Rejection { constraint: "freshness", reason, at: Some(task.at().join("freshness")), distance }
}

/// What a reader must know of a batch's rate, if it is not that of the closed form.
pub(super) fn replayed(job: &Job<'_>, table: &Table, task: Task<'_>, run: &Run) -> Option<String> {
    let asked = Asked::of(job, table, task, &table.terms, (run.chosen.site, run.chosen.way))?;
    let (Pace::Items { batch, .. }, replicas) = (asked.pace, run.chosen.count.replicas) else { return None };
    let closed = asked.closed(replicas);
    let percent = crate::math::round_to((1.0 - run.items_per_s / closed) * 100.0, 1);
    (run.items_per_s < closed).then(|| {
        let items = items_of(batch, replicas).min(MOST_ITEMS);
        format!(
            "a replay of {items} items on each replica does {percent} % fewer of them a second than the closed form; the \
             replay decided"
        )
    })
}

/// More machines than the fewest that are looked at.
const MOST_MORE: u32 = 1 << 16;

fn key(table: &Table, run: &Run) -> (Money, u32, usize, usize, usize) {
    let site = &table.sites[run.chosen.site];
    (run.objective, run.chosen.count.machines, site.region, run.chosen.site, run.chosen.way)
}
