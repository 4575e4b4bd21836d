//! The least that a month of a batch's runs can cost, over every candidate and count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::batch::LOST_WORK;
use super::super::subject::{self, Work};
use super::closing::{self, Front, Gauge, LOOKS, Of, Plan, Settled, Time};
use super::field::{Field, Site, Speed, Way};
use super::pool::{Pool, least_hour, lossy, spots, within_quotas};
use super::prices::{Costs, Prices, SCALE};
use crate::perf;
use crate::placement::World;
use crate::replay::{MOST_ITEMS, Worker, items_of};
use crate::spec::Batch;

/// More groups of machines than the fewest that are looked at, if the bound does not end it before.
const MOST_MORE: u32 = 1 << 16;

struct Asked<'a> {
    prices: &'a Prices,
    work: &'a Work<'a>,
    batch: &'a Batch,
    site: &'a Site,
    way: &'a Way,
    /// Items/s of a replica at confidence by the closed form; a replay makes none faster.
    closed: f64,
    /// Whether runs are replayed.
    replayed: bool,
    /// What was played of this speed: items of a replica to its items/s.
    played: &'a BTreeMap<u32, f64>,
    start_s: f64,
    runs: f64,
    tolls: (i128, i128),
}

/// The least of a batch: the pool that has it, and what a budget counts of its month; `None` if nothing ends in time. Budgets are left out.
pub(super) fn least(
    world: &World,
    work: &Work<'_>,
    batch: &Batch,
    field: &Field,
    prices: &Prices,
) -> Option<(Pool, Money)> {
    let all: Vec<(usize, usize)> = (0..field.sites.len())
        .flat_map(|s| (0..field.ways(&field.sites[s]).len()).map(move |w| (s, w)))
        .collect();
    let mut played: BTreeMap<usize, BTreeMap<u32, f64>> = BTreeMap::new();
    let none = BTreeMap::new();
    loop {
        let found = all.par_iter().filter_map(|(s, w)| {
            let known = played.get(&field.ways(&field.sites[*s])[*w].speed).unwrap_or(&none);
            let asked = Asked::new(world, work, batch, (field, *s, *w), prices, known);
            let (machines, spot, priced) = asked.cheapest()?;
            let replicas = machines / asked.way.span.max(1) * asked.way.replicas;
            let month = asked.month(machines, spot, asked.hours(replicas, lossy(asked.site, spot) > 0));
            let (site, way, lower) = (*s, *w, Vec::new());
            let pool =
                Pool { site, way, machines, spot, replicas, priced, shared: None, stand_in: None, lower };
            Some((pool, month.bound(prices.binds)))
        });
        let least = found.min_by_key(|(p, _)| (p.priced, p.machines, p.site, p.way))?;
        // Only what would be the least is played: what others cost by the closed form bounds them.
        let pool = &least.0;
        let speed = field.ways(&field.sites[pool.site])[pool.way].speed;
        let items = items_of(batch, pool.replicas);
        let known = played.entry(speed).or_default();
        if world.replay == 0 || known.contains_key(&items) {
            return Some(least);
        }
        let Speed { engine, limits, .. } = &field.speeds[speed];
        let worker = Worker { curve: &engine.slowed, limits: *limits, batch };
        known.insert(items, worker.played(items).unwrap_or(f64::MIN_POSITIVE));
    }
}

impl<'a> Asked<'a> {
    /// A way of a site of the field, by indexes.
    fn new(
        world: &World,
        work: &'a Work<'a>,
        batch: &'a Batch,
        (field, s, w): (&'a Field, usize, usize),
        prices: &'a Prices,
        played: &'a BTreeMap<u32, f64>,
    ) -> Self {
        let site = &field.sites[s];
        let way = &field.ways(site)[w];
        let engine = &field.speeds[way.speed].engine;
        let network = world.catalog.instance_types[site.instance_type].network_gbps;
        Asked {
            prices,
            work,
            batch,
            site,
            way,
            replayed: world.replay > 0,
            closed: engine.curve.batch_rate() / engine.f,
            played,
            start_s: perf::start_up_s(way.weights_gib * subject::GIB, network),
            runs: batch.schedule.as_ref().map_or(1.0, |s| s.runs_per_month),
            tolls: prices.tolls(world, site),
        }
    }
}

impl Asked<'_> {
    /// The fewest groups of machines that may be in time, and as many as have something to do; `None` if none can be had, or none are.
    fn units(&self) -> Option<(u32, u32)> {
        let (low, high) = spots(self.site, self.work.purchase, u32::MAX);
        // Where nothing is bought there are as many as are held.
        if low > high && self.site.held.is_none() {
            return None;
        }
        let left = self.batch.deadline_s * (1.0 + 1e-12) - self.start_s;
        if left <= 0.0 || self.closed <= 0.0 {
            return None;
        }
        let per = f64::from(self.way.replicas.max(1));
        let fewest = self.batch.items / (self.closed * left) / per * (1.0 - 1e-9);
        if fewest > 1e6 {
            return None;
        }
        // Where each replica has one item, more of them have none.
        let enough = (self.batch.items / per).ceil().clamp(1.0, 1e9) as u32;
        Some((fewest.ceil().max(1.0) as u32, enough))
    }

    fn hours(&self, replicas: u32, spot: bool) -> f64 {
        let items = items_of(self.batch, replicas);
        let played = self.played.range(..=items).next_back();
        let closed = self.closed * f64::from(replicas);
        // Of another share that was played nothing is done later than of one with more items.
        let rate = match played {
            Some((n, played)) if *n == items => Worker::of_all(self.batch, replicas, *played).min(closed),
            Some((n, played)) if *n <= MOST_ITEMS => (self.batch.items * played / f64::from(*n)).min(closed),
            _ => closed,
        };
        let (starts, work) = if spot { (2.0, LOST_WORK) } else { (1.0, 1.0) };
        (starts * self.start_s + work * self.batch.items / rate) / 3600.0
    }

    /// Hours without spot that no replay makes fewer.
    fn least_hours(&self, replicas: u32) -> f64 {
        (self.start_s + self.batch.items / (self.closed * f64::from(replicas))) / 3600.0
    }

    fn month(&self, machines: u32, spot: u32, hours: f64) -> Costs {
        let base = self.site.base.unwrap_or(Money::ZERO).times(i64::from(machines - spot));
        let cheap = self.site.spot.unwrap_or(Money::ZERO);
        let dear = self.site.on_demand.unwrap_or(cheap);
        let hourly = base + cheap.times(i64::from(spot));
        let gib = self.way.weights_gib * f64::from(machines) / HOURS_PER_MONTH as f64;
        let month =
            hourly.scale(hours).scale(self.runs) + self.site.weights.scale(gib).times(HOURS_PER_MONTH);
        let ceiling = month + (dear - cheap).times(i64::from(spot)).scale(hours * self.runs);
        Costs { ceiling, ..Costs::same(month) }
    }

    /// A month at the prices.
    fn cost(&self, machines: u32, spot: u32, hours: f64) -> i128 {
        let tolls = self.tolls.0 * i128::from(machines - spot) + self.tolls.1 * i128::from(spot);
        self.prices.month(self.month(machines, spot, hours)) + tolls + self.emitted(machines, hours, true)
    }

    fn emitted(&self, machines: u32, hours: f64, whole: bool) -> i128 {
        self.prices.runs(self.site, machines, hours, self.runs, whole)
    }

    fn cheapest(&self) -> Option<(u32, u32, i128)> {
        let deadline = self.batch.deadline_s / 3600.0 * (1.0 + 1e-12);
        let (first, enough) = self.units()?;
        let high_of_any = spots(self.site, self.work.purchase, u32::MAX).1;
        let per = self.way.replicas.max(1);
        let cheaper = match (self.site.base, self.site.spot) {
            (Some(base), Some(spot)) if high_of_any > 0 => base.min(spot),
            (Some(base), _) => base,
            (None, spot) => spot?,
        };
        let toll = if self.site.base.is_none() {
            self.tolls.1
        } else if high_of_any > 0 {
            self.tolls.0.min(self.tolls.1)
        } else {
            self.tolls.0
        };
        let mut best: Option<(u32, u32, i128)> = None;
        for units in first..=first.saturating_add(MOST_MORE).min(enough).max(first) {
            let (Some(machines), Some(n)) = (units.checked_mul(self.way.span), units.checked_mul(per)) else {
                break;
            };
            // Rounded down, so that the sum that rounds otherwise is no lower.
            let hour = match self.site.held {
                Some(_) => least_hour(self.site, machines),
                None => Some(cheaper.times(i64::from(machines))),
            };
            let Some(hour) = hour else { break };
            let floor = hour.scale(self.least_hours(n) * self.runs);
            let emitted = self.emitted(machines, self.least_hours(n), false);
            let floor = (i128::from(floor.micros()) - 4) * SCALE + toll * i128::from(machines) + emitted;
            if best.is_some_and(|(_, _, b)| floor >= b) {
                break;
            }
            let (low, high) = spots(self.site, self.work.purchase, machines);
            let Some((low, high)) = within_quotas(self.site, machines, low, high) else { break };
            // With and without spot a run takes unlike times; among counts of spot the cost is linear.
            for spot in [low, low.max(1), high] {
                let hours = self.hours(n, lossy(self.site, spot) > 0);
                if spot > high || hours > deadline {
                    continue;
                }
                let cost = self.cost(machines, spot, hours);
                if best.is_none_or(|(_, _, b)| cost < b) {
                    best = Some((machines, spot, cost));
                }
            }
            // Where no spot may be bought and nothing is replayed, more machines only start more often.
            if high_of_any == 0 && best.is_some() && !self.replayed {
                break;
            }
        }
        best
    }
}

/// What is kept between lists.
#[derive(Default)]
pub(super) struct State {
    /// What was listed up to.
    up_to: i128,
    /// Site, way, machines and spot machines of plans that a replay contradicted: they beat nothing.
    gone: BTreeSet<(usize, usize, u32, u32)>,
}

/// The plans of a batch.
pub(super) struct Wholes<'a> {
    pub work: &'a Work<'a>,
    pub batch: &'a Batch,
    pub field: &'a Field,
    pub gauge: Gauge<'a>,
    pub state: Mutex<State>,
}

impl Wholes<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked<'p>(&'p self, (s, w): (usize, usize), played: &'p BTreeMap<u32, f64>) -> Asked<'p> {
        let prices = &self.gauge.prices[0];
        Asked::new(self.gauge.world, self.work, self.batch, (self.field, s, w), prices, played)
    }

    /// A plan, if it is in time and in budgets.
    fn plan(&self, asked: &Asked<'_>, at: (usize, usize), (machines, spot): (u32, u32)) -> Option<Plan> {
        let replicas = machines / asked.way.span.max(1) * asked.way.replicas;
        let hours = asked.hours(replicas, lossy(asked.site, spot) > 0);
        if hours > self.batch.deadline_s / 3600.0 * (1.0 + 1e-12) {
            return None;
        }
        let month = asked.month(machines, spot, hours);
        let time = Time { hours, runs: asked.runs, all_month: false };
        self.gauge.plan(asked.site, at, (machines, spot), time, month)
    }

    /// The plans of a candidate that cost at most so much, of at least `first` groups of machines, and what was looked at for them,
    /// [`LOOKS`] for a plan; it ends once that is too much.
    fn of(&self, at: (usize, usize), first: Option<u32>, up_to: i128, plans: usize) -> (Vec<Plan>, usize) {
        let gone = self.state().gone.clone();
        let none = BTreeMap::new();
        let asked = self.asked(at, &none);
        let Some((fewest, enough)) = asked.units() else { return (Vec::new(), 0) };
        let first = first.unwrap_or(fewest);
        let buys_one_way = spots(asked.site, self.work.purchase, u32::MAX).1 == 0;
        let (mut found, mut looks) = (Front::default(), 0);
        for units in first..=first.saturating_add(MOST_MORE).min(enough).max(first) {
            let (span, per) = (asked.way.span, asked.way.replicas.max(1));
            let counts = units.checked_mul(span).zip(units.checked_mul(per));
            let Some((machines, n)) = counts else { break };
            let Some(hour) = least_hour(asked.site, machines) else { break };
            let floor = hour.scale(asked.least_hours(n) * asked.runs);
            if (i128::from(floor.micros()) - 4) * SCALE > up_to || found.len() + looks / LOOKS > plans {
                break;
            }
            let (low, high) = spots(asked.site, self.work.purchase, machines);
            let Some((low, high)) = within_quotas(asked.site, machines, low, high) else { break };
            looks += (high - low) as usize + 1;
            let left = (low..=high).filter(|spot| !gone.contains(&(at.0, at.1, machines, *spot)));
            let plans = left.filter_map(|spot| self.plan(&asked, at, (machines, spot)));
            plans.filter(|plan| plan.within(up_to)).for_each(|plan| found.add(plan));
            // Without spot more of them start more often, and take more of everything.
            if buys_one_way && found.len() > 0 {
                break;
            }
        }
        let spent = found.len() + looks / LOOKS;
        (found.into_plans(), spent)
    }
}

impl closing::Wholes for Wholes<'_> {
    fn list(&self, up_to: i128, plans: usize) -> Option<Vec<Plan>> {
        let sites = self.field.sites.iter().enumerate();
        let all: Vec<(usize, usize)> =
            sites.flat_map(|(s, site)| (0..self.field.ways(site).len()).map(move |w| (s, w))).collect();
        self.state().up_to = up_to;
        // Whoever finds them too many, they are too many.
        let count = AtomicUsize::new(0);
        let of = |at: &(usize, usize)| {
            let (found, spent) =
                self.of(*at, None, up_to, plans.saturating_sub(count.load(Ordering::Relaxed)));
            count.fetch_add(spent, Ordering::Relaxed);
            found
        };
        let found: Vec<Plan> = all.par_iter().flat_map_iter(of).collect();
        (count.into_inner() <= plans).then_some(found)
    }

    /// A replay may say that it takes longer: it is then a plan that costs more, or none, and more machines may be one.
    fn settle(&self, plan: &Plan) -> Settled {
        let Of::Run { site, way, machines, spot } = plan.of else { return Settled::Gone(Vec::new()) };
        if self.gauge.world.replay == 0 {
            return Settled::Holds;
        }
        let (at, none) = ((site, way), BTreeMap::new());
        let asked = self.asked(at, &none);
        let units = machines / asked.way.span.max(1);
        let items = items_of(self.batch, units * asked.way.replicas);
        let Speed { engine, limits, .. } = &self.field.speeds[asked.way.speed];
        let worker = Worker { curve: &engine.slowed, limits: *limits, batch: self.batch };
        let played = BTreeMap::from([(items, worker.played(items).unwrap_or(f64::MIN_POSITIVE))]);
        let played = self.plan(&self.asked(at, &played), at, (machines, spot));
        if played.as_ref().is_some_and(|played| played.gauged == plan.gauged) {
            return Settled::Holds;
        }
        let up_to = {
            let mut state = self.state();
            state.gone.insert((site, way, machines, spot));
            state.up_to
        };
        // What it had beaten counts now.
        let (more, spent) = self.of(at, Some(units), up_to, closing::MOST_PLANS);
        if spent > closing::MOST_PLANS {
            return Settled::Open;
        }
        Settled::Gone(played.into_iter().chain(more).collect())
    }
}
