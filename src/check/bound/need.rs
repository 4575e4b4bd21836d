//! What a pool must have to carry its share: the checker's own search on the curve of a replica.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::field::Speed;
use crate::placement::Metric;
use crate::replay::{Interval, Loaded, NEAR, Stream};
use crate::spec::{Load, Service};

/// No pool has more replicas.
pub(super) const MOST_REPLICAS: u32 = 1 << 20;
/// Slack on a limit, ms: a bound may be too low by it, never too high.
const SLACK_MS: f64 = 1e-6;

/// A part of a service's load in one of `regions` that share it.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub service: &'a Service,
    /// Share of the service that all of them carry.
    pub share: f64,
    pub regions: u32,
    /// Network time that counts, ms at confidence: the longest of its origins.
    pub network_ms: f64,
    /// Requests of a replay; 0 for none.
    pub replay: u32,
}

/// What it needs at one speed.
pub(super) struct Need<'a> {
    part: Part<'a>,
    speed: &'a Speed,
    /// The fewest replicas that do while nothing fails; `None` if no number does.
    pub fewest: Option<u32>,
    rates: RefCell<BTreeMap<u32, f64>>,
    left: RefCell<BTreeMap<u64, Option<u32>>>,
    /// Replicas, and how many of them fail, to what a replay said.
    replays: RefCell<BTreeMap<(u32, u32), bool>>,
    /// What limits are multiplied by (bits) to whether requests with a replica each keep them.
    alone: RefCell<BTreeMap<u64, bool>>,
}

impl<'a> Part<'a> {
    /// Requests/s, or requests in flight, of one region.
    fn own(&self) -> f64 {
        let share = self.share / f64::from(self.regions);
        match self.service.traffic.load {
            Load::Rate(rate) => rate * share,
            Load::Concurrency(clients) => clients * share,
        }
    }

    fn is_rate(&self) -> bool {
        matches!(self.service.traffic.load, Load::Rate(_))
    }

    fn think_s(&self) -> f64 {
        self.service.traffic.sessions.map_or(0.0, |s| s.think_s)
    }

    fn limits(&self) -> impl Iterator<Item = (Metric, Option<f64>, f64)> + use<'a> {
        let slo = &self.service.slo;
        [(Metric::Ttft, &slo.ttft), (Metric::Tpot, &slo.tpot), (Metric::E2e, &slo.e2e)]
            .into_iter()
            .flat_map(|(metric, list)| list.iter().map(move |o| (metric, o.quantile, o.limit_ms)))
    }

    /// Whether `n` replicas keep every limit times `factor` at `total` requests/s.
    fn keeps(&self, speed: &Speed, total: f64, n: u32, factor: f64) -> bool {
        let e = &speed.engine;
        let Some(l) = e.slowed.latency(total / f64::from(n), n, self.service.traffic.arrivals) else {
            return false;
        };
        self.limits().all(|(metric, quantile, limit)| {
            let ms = match metric {
                Metric::Ttft => l.ttft.at(quantile) * e.g + self.network_ms,
                Metric::Tpot => l.tpot.at(quantile),
                Metric::E2e => l.e2e.at(quantile) * e.g + self.network_ms,
            };
            ms <= limit * factor + SLACK_MS
        })
    }

    /// What a failed region makes of the load of those that are left.
    fn taken_over(&self) -> Option<f64> {
        let failed = self.service.survive.region;
        let others = self.regions.saturating_sub(failed);
        (failed > 0 && others > 0)
            .then(|| self.service.during_failure.capacity * f64::from(self.regions) / f64::from(others))
    }

    /// Requests/s that reach `n` replicas.
    fn rate(&self, speed: &Speed, n: u32) -> f64 {
        if self.is_rate() {
            return self.own();
        }
        let (curve, clients) = (&speed.engine.curve, self.own());
        let below = |rate: f64| {
            let arrivals = self.service.traffic.arrivals;
            curve
                .mean_e2e(rate / f64::from(n), n, arrivals)
                .is_some_and(|ms| rate * (ms / 1e3 + self.think_s()) <= clients)
        };
        super::super::subject::largest(curve.saturation_rate() * f64::from(n), below)
    }

    /// No replica carries more of the load than this, in however large a pool: requests/s, or requests in flight; 0 if the
    /// limits are broken without any load.
    pub fn most_of_a_replica(&self, speed: &Speed) -> f64 {
        let e = &speed.engine;
        let top = e.slowed.saturation_rate();
        let holds = |rate: f64| {
            // As if each of very many replicas had this rate.
            self.keeps(speed, rate * f64::from(MOST_REPLICAS), MOST_REPLICAS, 1.0)
        };
        if !holds(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, top);
        while high - low > 1e-3 * high {
            let middle = f64::midpoint(low, high);
            if holds(middle) { low = middle } else { high = middle }
        }
        if self.is_rate() {
            return high;
        }
        // A replica alone keeps requests longest.
        let rate = high.min(e.curve.saturation_rate() * (1.0 - 1e-9));
        let arrivals = self.service.traffic.arrivals;
        e.curve.mean_e2e(rate, 1, arrivals).map_or(f64::INFINITY, |ms| rate * (ms / 1e3 + self.think_s()))
    }

    /// Replicas that no pool does with fewer of, given [`Part::most_of_a_replica`].
    pub fn at_least(&self, most: f64) -> u32 {
        (self.own() / most * (1.0 - 1e-6)).ceil().clamp(1.0, f64::from(u32::MAX)) as u32
    }
}

impl<'a> Need<'a> {
    pub fn new(part: Part<'a>, speed: &'a Speed) -> Self {
        let mut need = Need {
            part,
            speed,
            fewest: None,
            rates: RefCell::default(),
            left: RefCell::default(),
            replays: RefCell::default(),
            alone: RefCell::default(),
        };
        let factor = part.service.during_failure.slo_factor;
        let top = speed.engine.slowed.saturation_rate().max(f64::MIN_POSITIVE);
        let from = if part.is_rate() { part.own() / top } else { 1.0 };
        need.fewest = fewest(from, |n| {
            let rate = need.rate(n);
            part.keeps(speed, rate, n, 1.0)
                && part.taken_over().is_none_or(|times| part.keeps(speed, rate * times, n, factor))
        });
        need
    }

    /// Requests/s that reach `n` replicas.
    pub fn rate(&self, n: u32) -> f64 {
        if self.part.is_rate() {
            return self.part.own();
        }
        *self.rates.borrow_mut().entry(n).or_insert_with(|| self.part.rate(self.speed, n))
    }

    /// The fewest that must be left when some of `n` fail.
    pub fn left(&self, n: u32) -> Option<u32> {
        let during = self.part.service.during_failure;
        let rate = self.rate(n) * during.capacity;
        *self.left.borrow_mut().entry(rate.to_bits()).or_insert_with(|| {
            let top = self.speed.engine.slowed.saturation_rate().max(f64::MIN_POSITIVE);
            fewest(rate / top, |m| self.part.keeps(self.speed, rate, m, during.slo_factor))
        })
    }

    /// Whether `n` replicas do, by the closed form, although `lost` of them fail.
    pub fn does(&self, n: u32, lost: u32) -> bool {
        self.fewest.is_some_and(|fewest| n >= fewest)
            && (lost == 0 || (n > lost && self.left(n).is_some_and(|left| n - lost >= left)))
    }

    /// Whether the replay lets them: as planned, with `lost` of them failed, and with a region failed.
    pub fn replays(&self, n: u32, lost: u32) -> bool {
        let known = self.replays.borrow().get(&(n, lost)).copied();
        let replays = known.unwrap_or_else(|| self.survives(n, lost));
        self.replays.borrow_mut().insert((n, lost), replays);
        replays
    }

    fn survives(&self, n: u32, lost: u32) -> bool {
        let during = self.part.service.during_failure;
        let rate = self.rate(n);
        // What fewer do with no less load and no looser limits, all of them do.
        let covers = |times: f64| times >= 1.0 && during.slo_factor <= 1.0;
        let over = self.part.taken_over();
        let planned = (lost > 0 && covers(during.capacity)) || over.is_some_and(covers);
        (lost == 0 || self.played(rate, during.capacity, n.saturating_sub(lost), during.slo_factor))
            && over.is_none_or(|times| self.played(rate, times, n, during.slo_factor))
            && (planned || self.played(rate, 1.0, n, 1.0))
    }

    /// Whether a request by itself breaks a limit in a replay: then so do any number of replicas.
    pub fn hopeless(&self) -> bool {
        !self.alone(1.0)
    }

    /// Whether requests that have a replica each are within the limits times `factor` by a replay.
    fn alone(&self, factor: f64) -> bool {
        let known = self.alone.borrow().get(&factor.to_bits()).copied();
        let alone = known.unwrap_or_else(|| self.part.played(self.speed, (self.rate(1), 1.0), None, factor));
        self.alone.borrow_mut().insert(factor.to_bits(), alone);
        alone
    }

    fn played(&self, rate: f64, times: f64, n: u32, factor: f64) -> bool {
        rate * times <= 0.0
            || (n > 0 && self.alone(factor) && self.part.played(self.speed, (rate, times), Some(n), factor))
    }

    /// Whether the replay lets `n` replicas while nothing fails.
    pub fn plays_peak(&self, n: u32) -> bool {
        self.played(self.rate(n), 1.0, n, 1.0)
    }

    /// The same of the `left` of them that answer all but `percent` of what must be answered in a failure.
    pub fn plays_the_rest(&self, n: u32, left: u32, percent: u32) -> bool {
        let factor = self.part.service.during_failure.slo_factor;
        percent >= 100 || self.played(self.rate(n), self.rest(percent), left, factor)
    }

    /// Of the load, what is left to the pool in a failure.
    fn rest(&self, percent: u32) -> f64 {
        let capacity = self.part.service.during_failure.capacity;
        if percent == 0 { capacity } else { capacity * f64::from(100 - percent) / 100.0 }
    }

    /// The least percent of what must be answered in a failure that the `left` of `n` replicas cannot answer: 0 if they can all of it, 100
    /// if there are none.
    pub fn missing(&self, n: u32, left: u32, replayed: bool) -> u32 {
        let factor = self.part.service.during_failure.slo_factor;
        let does = |percent: &u32| {
            let total = self.rate(n) * self.rest(*percent);
            self.part.keeps(self.speed, total, left, factor)
                && (!replayed || self.plays_the_rest(n, left, *percent))
        };
        if left == 0 { 100 } else { (0..100).find(does).unwrap_or(100) }
    }

    /// So many of them, requests/s.
    pub fn answered_elsewhere(&self, n: u32, percent: u32) -> f64 {
        self.rate(n) * (self.part.service.during_failure.capacity * f64::from(percent) / 100.0)
    }
}

impl Part<'_> {
    /// Whether the replay of `times` a rate on `n` replicas keeps every limit times `factor`; without a number, whether that of requests
    /// that have a replica each does.
    pub fn played(&self, speed: &Speed, (rate, times): (f64, f64), n: Option<u32>, factor: f64) -> bool {
        let part = self;
        let limits: Vec<(Metric, Option<f64>, f64)> = part.limits().collect();
        if part.replay == 0 || limits.is_empty() || rate * times <= 0.0 {
            return true;
        }
        if n == Some(0) {
            return false;
        }
        let (t, e) = (&part.service.traffic, &speed.engine);
        let users = if part.is_rate() { 1.0 } else { (part.own() * times).ceil().clamp(1.0, 1e6) };
        let loaded = Loaded {
            curve: &e.slowed,
            limits: speed.limits,
            replicas: n.unwrap_or(1),
            stream: Stream {
                rate: rate * times,
                arrivals: t.arrivals,
                input: t.input,
                output: t.output,
                prefix_cached: t.prefix_cached,
                recorded: t.recorded.as_deref(),
            },
            sessions: t.sessions.map(|s| (s, users as u32)),
            requests: part.replay,
        };
        let asked: Vec<(Metric, Option<f64>)> = limits.iter().map(|(m, q, _)| (*m, *q)).collect();
        let share = |found: &[Interval], halves: f64| {
            let of = |(interval, (metric, _, limit)): (&Interval, &(Metric, Option<f64>, f64))| {
                let ms = interval.mean + halves * interval.half;
                let whole = if *metric == Metric::Tpot { ms } else { ms * e.g + part.network_ms };
                whole / (limit * factor)
            };
            found.iter().zip(&limits).map(of).fold(0.0, f64::max)
        };
        let near = !part.keeps(speed, 0.0, 1 << 20, factor * NEAR);
        (!near || loaded.alone().within(&asked, share)) && (n.is_none() || loaded.within(&asked, share))
    }

    /// The fewest replicas that answer a rate in a failure.
    pub fn fewest_in_failure(&self, speed: &Speed, rate: f64) -> Option<u32> {
        let factor = self.service.during_failure.slo_factor;
        let top = speed.engine.slowed.saturation_rate().max(f64::MIN_POSITIVE);
        fewest(rate / top, |n| self.keeps(speed, rate, n, factor))
    }
}

/// The least number from 1 to [`MOST_REPLICAS`] for which `holds`, which once true stays true; looked for from `from` on.
fn fewest(from: f64, holds: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut below, mut at) = (0, from.ceil().clamp(1.0, f64::from(MOST_REPLICAS)) as u32);
    let mut further = 1_u32;
    while !holds(at) {
        if at >= MOST_REPLICAS {
            return None;
        }
        below = at;
        at = at.saturating_add(further).min(MOST_REPLICAS);
        further = further.saturating_mul(2);
    }
    while at - below > 1 {
        let middle = below + (at - below) / 2;
        if holds(middle) { at = middle } else { below = middle }
    }
    Some(at)
}
