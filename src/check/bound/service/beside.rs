//! Pools with a stand-in (decision 24): what is missing of a pool in a failure, and the cheapest pool of a smaller model that answers for it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::super::day;
use super::super::field::{Field, Site, Way};
use super::super::need::{Need, Part};
use super::super::pool::{Asked, Bill, Pool, within_quotas};
use super::super::prices::Costs;
use super::{Search, lock};

/// A stand-in of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Beside {
    /// Index into the spec's list.
    pub of: usize,
    /// Index into the sites of the service's own field.
    pub site: usize,
    /// Index into the ways of the stand-in's field.
    pub way: usize,
    pub machines: u32,
    pub replicas: u32,
    /// Of the requests in a failure, those that it answers.
    pub percent: u32,
}

/// The fewest replicas at each speed of each model.
type Fewest = Vec<Vec<Option<u32>>>;

/// Region, rate, network time, price, and whether replays were asked.
type Asking = (usize, u64, u64, usize, bool);

/// Model, speed, rate, network time and replicas.
type Playing = (usize, usize, u64, u64, u32);

/// What is remembered of them.
#[derive(Default)]
pub(super) struct Known {
    /// By rate and network time.
    fewest: Mutex<BTreeMap<(u64, u64), Fewest>>,
    cheapest: Mutex<BTreeMap<Asking, Option<(Beside, i128)>>>,
    /// What a replay said.
    played: Mutex<BTreeMap<Playing, bool>>,
}

impl<'a> Search<'a> {
    /// The cheapest count of a candidate's machines that carries the peak and does not survive by itself, with its stand-in; `None` if none
    /// does for less than `than`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn with_stand_in(
        &self,
        (asked, bill): (&Asked<'_>, &Bill<'_>),
        part: &Part<'a>,
        need: &Need<'_>,
        (s, w): (usize, usize),
        price: usize,
        than: Option<i128>,
    ) -> Option<Pool> {
        let (site, way) = (asked.site, asked.way);
        let each = bill.machine.base.filter(|_| !self.stand_ins.is_empty())?;
        let per = way.replicas.max(1);
        let first = need.fewest?.max(asked.least_replicas).div_ceil(per).max(1);
        let mut best: Option<Pool> = None;
        for units in first..=u32::MAX {
            let (machines, n) = (units.checked_mul(way.span)?, units.checked_mul(per)?);
            let own = each * i128::from(machines) + (bill.more)(machines, n);
            let bar = best.as_ref().map(|b| b.priced).into_iter().chain(than).min();
            let too_many = asked.most_replicas.is_some_and(|most| n > most);
            if bar.is_some_and(|bar| own >= bar) || too_many || within_quotas(site, machines, 0, 0).is_none()
            {
                break;
            }
            let replayed =
                asked.doubted && own < bill.bar && units <= first.saturating_mul(8).saturating_add(64);
            if replayed && !need.plays_peak(n) {
                continue;
            }
            let percent =
                need.missing(n, asked.lost(units, 0).map_or(0, |lost| n.saturating_sub(lost)), replayed);
            if percent == 0 {
                break;
            }
            let rate = need.answered_elsewhere(n, percent);
            let Some((beside, more)) = self.stand_in(site.region, part, rate, price, replayed) else {
                continue;
            };
            let priced = own + more;
            if bar.is_none_or(|bar| priced < bar) {
                let stand_in = Some(Beside { percent, ..beside });
                let (shared, lower) = (None, Vec::new());
                best = Some(Pool {
                    site: s,
                    way: w,
                    machines,
                    spot: 0,
                    replicas: n,
                    priced,
                    shared,
                    stand_in,
                    lower,
                });
            }
        }
        best
    }

    /// The cheapest pool in a region that answers so much within the limits of a failure.
    fn stand_in(
        &self,
        region: usize,
        part: &Part<'a>,
        rate: f64,
        price: usize,
        replayed: bool,
    ) -> Option<(Beside, i128)> {
        let key = (region, rate.to_bits(), part.network_ms.to_bits(), price, replayed);
        if let Some(known) = lock(&self.beside.cheapest).get(&key) {
            return known.clone();
        }
        let found = self.new_stand_in(region, part, rate, price, replayed);
        lock(&self.beside.cheapest).insert(key, found.clone());
        found
    }

    fn new_stand_in(
        &self,
        region: usize,
        part: &Part<'a>,
        rate: f64,
        price: usize,
        replayed: bool,
    ) -> Option<(Beside, i128)> {
        let fewest = self.fewest(part, rate);
        let mut offers: Vec<(i128, Beside)> = Vec::new();
        let here = |(_, site): &(usize, &Site)| site.region == region && site.held.is_none();
        for (i, site) in self.field.sites.iter().enumerate().filter(here) {
            for (of, field) in self.stand_ins.iter().enumerate() {
                for (w, way) in field.ways(site).iter().enumerate() {
                    let Some(least) = fewest[of][way.speed] else { continue };
                    let first = least.div_ceil(way.replicas.max(1)).max(1);
                    // More machines only where a replay asks for them.
                    offers.extend(self.offer((of, i, w), (site, way), first, price));
                }
            }
        }
        loop {
            let at = (0..offers.len()).min_by_key(|k| (offers[*k].0, offers[*k].1.of))?;
            let (cost, beside) = offers.swap_remove(at);
            let field = &self.stand_ins[beside.of];
            let way = &field.ways(&self.field.sites[beside.site])[beside.way];
            if !replayed
                || cost >= self.bars[price]
                || self.answers(part, beside.of, way.speed, rate, beside.replicas)
            {
                return Some((beside, cost));
            }
            let units = beside.replicas / way.replicas.max(1) + 1;
            let first = fewest[beside.of][way.speed].map_or(1, |n| n.div_ceil(way.replicas.max(1)).max(1));
            if units <= first.saturating_mul(8) {
                let site = &self.field.sites[beside.site];
                offers.extend(self.offer((beside.of, beside.site, beside.way), (site, way), units, price));
            }
        }
    }

    fn offer(
        &self,
        (of, site, way): (usize, usize, usize),
        (at, as_way): (&Site, &Way),
        units: u32,
        price: usize,
    ) -> Option<(i128, Beside)> {
        let machines = units.checked_mul(as_way.span.max(1))?;
        within_quotas(at, machines, 0, 0)?;
        let prices = &self.prices[price];
        let each = prices.machine(at, self.tolls[price][site], day::WEEK).base?;
        let copied = prices.hourly(Costs::same(copied(at, as_way, machines)));
        let replicas = units * as_way.replicas;
        Some((each * i128::from(machines) + copied, Beside { of, site, way, machines, replicas, percent: 0 }))
    }

    fn fewest(&self, part: &Part<'a>, rate: f64) -> Fewest {
        let key = (rate.to_bits(), part.network_ms.to_bits());
        if let Some(known) = lock(&self.beside.fewest).get(&key) {
            return known.clone();
        }
        let of =
            |field: &Field| field.speeds.iter().map(|speed| part.fewest_in_failure(speed, rate)).collect();
        let found: Fewest = self.stand_ins.iter().map(of).collect();
        lock(&self.beside.fewest).insert(key, found.clone());
        found
    }

    /// Whether the replay of a stand-in contradicts nothing.
    fn answers(&self, part: &Part<'a>, of: usize, speed: usize, rate: f64, replicas: u32) -> bool {
        let key = (of, speed, rate.to_bits(), part.network_ms.to_bits(), replicas);
        if let Some(known) = lock(&self.beside.played).get(&key) {
            return *known;
        }
        let factor = self.service.during_failure.slo_factor;
        let found = part.played(&self.stand_ins[of].speeds[speed], (rate, 1.0), Some(replicas), factor);
        lock(&self.beside.played).insert(key, found);
        found
    }

    /// Whether the replay lets a pool and its stand-in be.
    pub(super) fn both_replay(
        &self,
        part: &Part<'a>,
        need: &Need<'_>,
        pool: &Pool,
        beside: &Beside,
        lost: u32,
    ) -> bool {
        let left = pool.replicas.saturating_sub(lost);
        let rate = need.answered_elsewhere(pool.replicas, beside.percent);
        let way = &self.stand_ins[beside.of].ways(&self.field.sites[beside.site])[beside.way];
        need.plays_peak(pool.replicas)
            && need.plays_the_rest(pool.replicas, left, beside.percent)
            && self.answers(part, beside.of, way.speed, rate, beside.replicas)
    }

    /// What a stand-in costs an hour, whatever figure budgets limit.
    pub(super) fn cost_of(&self, beside: &Beside) -> Money {
        let site = &self.field.sites[beside.site];
        let way = &self.stand_ins[beside.of].ways(site)[beside.way];
        site.base.unwrap_or(Money::ZERO).times(i64::from(beside.machines))
            + copied(site, way, beside.machines)
    }
}

/// Dollars an hour for the weights that are copied to machines once a month.
fn copied(site: &Site, way: &Way, machines: u32) -> Money {
    site.weights.scale(way.weights_gib * f64::from(machines) / HOURS_PER_MONTH as f64)
}
