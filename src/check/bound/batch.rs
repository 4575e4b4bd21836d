//! The least that a month of a batch's runs can cost, over every candidate and count.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::batch::LOST_WORK;
use super::super::subject::{self, Work};
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
    let runs = batch.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    let all: Vec<(usize, usize)> = (0..field.sites.len())
        .flat_map(|s| (0..field.ways(&field.sites[s]).len()).map(move |w| (s, w)))
        .collect();
    let mut played: BTreeMap<usize, BTreeMap<u32, f64>> = BTreeMap::new();
    let none = BTreeMap::new();
    loop {
        let found = all.par_iter().filter_map(|(s, w)| {
            let site = &field.sites[*s];
            let way = &field.ways(site)[*w];
            let engine = &field.speeds[way.speed].engine;
            let network = world.catalog.instance_types[site.instance_type].network_gbps;
            let asked = Asked {
                prices,
                work,
                batch,
                site,
                way,
                replayed: world.replay > 0,
                closed: engine.curve.batch_rate() / engine.f,
                played: played.get(&way.speed).unwrap_or(&none),
                start_s: perf::start_up_s(way.weights_gib * subject::GIB, network),
                runs,
                tolls: prices.tolls(world, site),
            };
            let (machines, spot, priced) = asked.cheapest()?;
            let replicas = machines / way.span.max(1) * way.replicas;
            let month = asked.month(machines, spot, asked.hours(replicas, lossy(site, spot) > 0));
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

impl Asked<'_> {
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
        let (low, high_of_any) = spots(self.site, self.work.purchase, u32::MAX);
        let left = deadline * 3600.0 - self.start_s;
        if (low > high_of_any && self.site.held.is_none()) || left <= 0.0 || self.closed <= 0.0 {
            return None;
        }
        let per = self.way.replicas.max(1);
        let fewest = self.batch.items / (self.closed * left) / f64::from(per) * (1.0 - 1e-9);
        if fewest > 1e6 {
            return None;
        }
        let first = fewest.ceil().max(1.0) as u32;
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
        // Where each replica has one item, more of them have none.
        let enough = (self.batch.items / f64::from(per)).ceil().clamp(1.0, 1e9) as u32;
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
