//! How many replicas a load needs, at the planned confidence.

use super::job::{Job, Limit};
use super::table::Speed;
use crate::perf::Latency;
use crate::placement::{Metric, Rejection};
use crate::replay::{Interval, Loaded, NEAR, Stream};
use crate::spec::{Arrivals, Load, Service, Traffic};

/// More replicas than any pool has: what they cannot do, no number can.
pub(super) const MOST_REPLICAS: u32 = 1 << 20;

/// What a pool has to carry, and how well.
pub(super) struct Demand<'a> {
    pub arrivals: Arrivals,
    pub limits: Vec<Limit<'a>>,
    /// Largest network time among the origins that it serves, ms at confidence.
    pub network_ms: f64,
    /// What arrives.
    pub load: PoolLoad,
    /// Share of it that must be carried during a failure.
    pub capacity: f64,
    /// What limits are multiplied by during a failure.
    pub slo_factor: f64,
    /// What the load is multiplied by when a region fails, if regions may fail: the declared share,
    /// taken over by the others.
    pub region_loss: Option<f64>,
    /// Prompt and answer lengths, the prefix cache and what was recorded; its rate is not read.
    pub traffic: &'a Traffic,
    /// Requests of a replay; 0 = none.
    pub replay: u32,
}

/// What arrives at a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PoolLoad {
    /// Requests/s.
    Rate(f64),
    /// Requests in flight.
    Clients(f64),
}

/// The load of a pool with `share` of a service's traffic.
pub(super) fn pool_load(service: &Service, share: f64) -> PoolLoad {
    match service.traffic.load {
        Load::Rate(rate) => PoolLoad::Rate(rate * share),
        Load::Concurrency(clients) => PoolLoad::Clients(clients * share),
    }
}

/// A latency at confidence, ms, without network time.
fn edge(speed: &Speed, l: &Latency, limit: &Limit<'_>) -> f64 {
    match limit.metric {
        Metric::Ttft => l.ttft.at(limit.quantile) * speed.g,
        Metric::Tpot => l.tpot.at(limit.quantile),
        Metric::E2e => l.e2e.at(limit.quantile) * speed.g,
    }
}

/// The same with the network time that counts in it.
pub(super) fn at_confidence(speed: &Speed, l: &Latency, limit: &Limit<'_>, network_ms: f64) -> f64 {
    let network = if limit.metric == Metric::Tpot { 0.0 } else { network_ms };
    edge(speed, l, limit) + network
}

impl Demand<'_> {
    /// Whether `replicas` carry `total` requests/s within every limit times `factor`.
    pub fn carries(&self, speed: &Speed, total: f64, replicas: u32, factor: f64) -> bool {
        if replicas == 0 {
            return total <= 0.0;
        }
        let rate = total / f64::from(replicas);
        let Some(l) = speed.slowed.latency(rate, replicas, self.arrivals) else { return false };
        self.limits
            .iter()
            .all(|limit| at_confidence(speed, &l, limit, self.network_ms) <= limit.limit_ms * factor)
    }

    /// Whether the replay of `times` the load on `replicas` contradicts none of the limits times `factor`,
    /// beyond its own noise; `rate` is the load in requests/s. What it contradicts is noted with the speed.
    fn replays(&self, speed: &Speed, (rate, times): (f64, f64), replicas: u32, factor: f64) -> bool {
        if self.replay == 0 || self.limits.is_empty() || rate * times <= 0.0 {
            return true;
        }
        if replicas == 0 || speed.refuted.never_keeps(factor, self.network_ms) {
            return false;
        }
        let asked = self.asked();
        let loaded = self.loaded(speed, (rate, times), replicas);
        let share = |found: &[Interval], halves: f64| self.share(speed, found, factor, halves);
        let near = !self.carries(speed, 0.0, MOST_REPLICAS, factor * NEAR);
        if near && !loaded.alone().within(&asked, share) {
            // Else each number of replicas would be chosen, replayed and left out, one after the other.
            speed.refuted.note_never(factor, self.network_ms);
            return false;
        }
        let holds = loaded.within(&asked, share);
        if !holds {
            speed.refuted.note(rate * times, replicas, factor, self.network_ms);
        }
        holds
    }

    fn asked(&self) -> Vec<(Metric, Option<f64>)> {
        self.limits.iter().map(|l| (l.metric, l.quantile)).collect()
    }

    fn loaded<'s>(&'s self, speed: &'s Speed, (rate, times): (f64, f64), replicas: u32) -> Loaded<'s> {
        let t = self.traffic;
        let users = match self.load {
            PoolLoad::Clients(clients) => (clients * times).ceil().clamp(1.0, 1e6) as u32,
            PoolLoad::Rate(_) => 1,
        };
        Loaded {
            curve: &speed.slowed,
            limits: speed.limits,
            replicas,
            stream: Stream {
                rate: rate * times,
                arrivals: self.arrivals,
                input: t.input,
                output: t.output,
                prefix_cached: t.prefix_cached,
                recorded: t.recorded.as_deref(),
            },
            sessions: t.sessions.map(|s| (s, users)),
            requests: self.replay,
        }
    }

    /// The limit that the replay of the undisturbed load on `replicas` comes nearest to, with the replayed figure and the
    /// half of its interval, ms at confidence, network included.
    pub fn tightest(&self, speed: &Speed, rate: f64, replicas: u32) -> Option<(&Limit<'_>, f64, f64)> {
        let share = |found: &[Interval], halves: f64| self.share(speed, found, 1.0, halves);
        let (_, found) = self.loaded(speed, (rate, 1.0), replicas).decided(&self.asked(), share);
        let figures = self.limits.iter().zip(found).map(|(limit, f)| match limit.metric {
            Metric::Tpot => (limit, f.mean, f.half),
            Metric::Ttft | Metric::E2e => (limit, f.mean * speed.g + self.network_ms, f.half * speed.g),
        });
        figures.max_by(|a, b| (a.1 / a.0.limit_ms).total_cmp(&(b.1 / b.0.limit_ms)))
    }

    /// Whether the undisturbed load has to be looked at by itself: what fewer replicas do with no less load and no looser
    /// limits, more of them do with the rest.
    pub fn plays_undisturbed(&self, lost: u32) -> bool {
        let implied = |times: f64| times >= 1.0 && self.slo_factor <= 1.0;
        !(lost > 0 && implied(self.capacity) || self.region_loss.is_some_and(implied))
    }

    /// Whether a replay of it is known to have contradicted a limit.
    fn refuted(&self, speed: &Speed, (rate, times): (f64, f64), replicas: u32, factor: f64) -> bool {
        speed.refuted.knows(rate * times, replicas, factor, self.network_ms)
    }

    /// Replayed figures and so many of their half-widths as shares of their limits times `factor`: the greatest.
    fn share(&self, speed: &Speed, found: &[Interval], factor: f64, halves: f64) -> f64 {
        let share = |(f, limit): (&Interval, &Limit<'_>)| {
            let ms = f.mean + halves * f.half;
            let whole = match limit.metric {
                Metric::Tpot => ms,
                Metric::Ttft | Metric::E2e => ms * speed.g + self.network_ms,
            };
            whole / (limit.limit_ms * factor)
        };
        found.iter().zip(&self.limits).map(share).fold(0.0, f64::max)
    }

    /// The same with nothing failed, with a region failed, and with `lost` replicas failed.
    pub fn all_replays(&self, speed: &Speed, rate: f64, replicas: u32, lost: u32) -> bool {
        self.all(rate, replicas, lost, |load, replicas, factor| self.replays(speed, load, replicas, factor))
    }

    /// Whether [`Demand::all_replays`] is known to say no.
    pub fn known_not_to(&self, speed: &Speed, rate: f64, replicas: u32, lost: u32) -> bool {
        speed.refuted.any()
            && !self.all(rate, replicas, lost, |load, replicas, factor| {
                !self.refuted(speed, load, replicas, factor)
            })
    }

    /// Whether all that must be carried is: a rate with what it is multiplied by, on so many replicas, within so many times
    /// the limits.
    fn all(
        &self,
        rate: f64,
        replicas: u32,
        lost: u32,
        carried: impl Fn((f64, f64), u32, f64) -> bool,
    ) -> bool {
        let left = replicas.saturating_sub(lost);
        (lost == 0 || carried((rate, self.capacity), left, self.slo_factor))
            && self.region_loss.is_none_or(|x| carried((rate, x), replicas, self.slo_factor))
            && (!self.plays_undisturbed(lost) || carried((rate, 1.0), replicas, 1.0))
    }

    /// What the load is multiplied by for what is left of a pool in a failure in which `percent` of the requests are answered elsewhere.
    pub fn kept(&self, percent: u32) -> f64 {
        if percent == 0 { self.capacity } else { self.capacity * f64::from(100 - percent.min(100)) / 100.0 }
    }

    /// The same for those that are answered elsewhere.
    pub fn elsewhere(&self, percent: u32) -> f64 {
        self.capacity * f64::from(percent) / 100.0
    }

    /// The least percent of the requests in a failure that must be answered elsewhere where so many replicas are left: all, if none is.
    pub fn overflow(&self, speed: &Speed, rate: f64, left: u32) -> u32 {
        let carries = |p: u32| self.carries(speed, rate * self.kept(p), left, self.slo_factor);
        let refuted = |p: u32| self.refuted(speed, (rate, self.kept(p)), left, self.slo_factor);
        if left == 0 {
            return 100;
        }
        let (mut low, mut high) = (0, 100);
        while low < high {
            let middle = (low + high) / 2;
            if carries(middle) { high = middle } else { low = middle + 1 }
        }
        (high..100).find(|p| !refuted(*p)).unwrap_or(100)
    }

    /// Whether `replicas` are known to break a limit by themselves while nothing fails.
    pub fn peak_is_refuted(&self, speed: &Speed, rate: f64, replicas: u32) -> bool {
        self.refuted(speed, (rate, 1.0), replicas, 1.0)
    }

    /// Whether the replay contradicts neither the peak nor, with `percent` of the requests answered elsewhere, what is left when `lost` fail.
    pub fn replays_beside(&self, speed: &Speed, rate: f64, replicas: u32, lost: u32, percent: u32) -> bool {
        let left = replicas.saturating_sub(lost);
        let peak = self.replays(speed, (rate, 1.0), replicas, 1.0);
        let rest = percent >= 100 || self.replays(speed, (rate, self.kept(percent)), left, self.slo_factor);
        peak && rest
    }

    /// Requests/s that reach a pool of `replicas`, by the displayed prediction.
    pub fn rate(&self, speed: &Speed, replicas: u32) -> f64 {
        match self.load {
            PoolLoad::Rate(rate) => rate,
            PoolLoad::Clients(clients) => {
                let n = f64::from(replicas.max(1));
                largest(speed.curve.saturation_rate() * n, |rate| {
                    speed
                        .curve
                        .mean_e2e(rate / n, replicas, self.arrivals)
                        .is_some_and(|ms| rate * (ms / 1e3 + self.think_s()) <= clients)
                })
            }
        }
    }

    /// Seconds that a client waits before it sends again.
    fn think_s(&self) -> f64 {
        self.traffic.sessions.map_or(0.0, |s| s.think_s)
    }

    /// Whether `replicas` do with nothing failed, and with a region failed, at [`Demand::rate`].
    fn holds(&self, speed: &Speed, replicas: u32, rate: f64) -> bool {
        self.carries(speed, rate, replicas, 1.0)
            && self.region_loss.is_none_or(|x| self.carries(speed, rate * x, replicas, self.slo_factor))
    }

    /// The fewest replicas that do, given the rate that reaches each number; `None` if no number does.
    pub fn replicas(&self, speed: &Speed, rate: impl Fn(u32) -> f64) -> Option<u32> {
        let hint = match self.load {
            PoolLoad::Rate(rate) => rate / speed.slowed.saturation_rate().max(f64::MIN_POSITIVE),
            PoolLoad::Clients(_) => 0.0,
        };
        fewest(hint, |n| self.holds(speed, n, rate(n)))
    }

    /// The fewest replicas that must be left when some fail of those that `rate` reaches.
    pub fn left(&self, speed: &Speed, rate: f64) -> Option<u32> {
        let rate = rate * self.capacity;
        fewest(rate / speed.slowed.saturation_rate().max(f64::MIN_POSITIVE), |n| {
            self.carries(speed, rate, n, self.slo_factor)
        })
    }

    /// Requests/s that `replicas` carry within every limit times `factor`.
    pub fn most(&self, speed: &Speed, replicas: u32, factor: f64) -> f64 {
        largest(speed.slowed.saturation_rate() * f64::from(replicas), |total| {
            self.carries(speed, total, replicas, factor)
        })
    }

    /// The rate at which a replica saturates, requests/s, which bounds [`Demand::bound_per_replica`] from above; 0 if the limits
    /// cannot be kept without any load.
    pub fn top_per_replica(&self, speed: &Speed) -> f64 {
        if self.holds_each(speed, 0.0) { speed.slowed.saturation_rate() } else { 0.0 }
    }

    /// Whether replicas within a pool of any size keep the limits at `rate` requests/s each.
    fn holds_each(&self, speed: &Speed, rate: f64) -> bool {
        speed.slowed.latency(rate, MOST_REPLICAS, self.arrivals).is_some_and(|l| {
            self.limits.iter().all(|x| at_confidence(speed, &l, x, self.network_ms) <= x.limit_ms)
        })
    }

    /// No pool of this speed carries more than this per replica, however many share the load; 0 if
    /// the limits cannot be kept without any load. An upper bound within 0.1 %.
    pub fn bound_per_replica(&self, speed: &Speed) -> f64 {
        let (mut low, mut high) = (0.0, self.top_per_replica(speed));
        for _ in 0..12 {
            if high - low <= 1e-3 * high {
                break;
            }
            let middle = low + (high - low) / 2.0;
            if self.holds_each(speed, middle) { low = middle } else { high = middle }
        }
        high
    }

    /// Replicas that are needed at least, given [`Demand::bound_per_replica`]: a share of it for a share of the load, see [`whole`].
    pub fn at_least(&self, speed: &Speed, bound: f64) -> f64 {
        match self.load {
            PoolLoad::Rate(rate) => rate / bound,
            PoolLoad::Clients(clients) => {
                // Requests in flight on a replica at the bound, alone: in a pool they are fewer.
                let rate = bound.min(speed.curve.saturation_rate() * (1.0 - 1e-9));
                speed.curve.latency(rate, 1, self.arrivals).map_or(1.0, |l| {
                    clients / (rate * (l.e2e.mean / 1e3 + self.think_s())).max(f64::MIN_POSITIVE)
                })
            }
        }
    }

    /// The limit that is missed most when nothing loads the replica, and by how much.
    pub fn missed(&self, speed: &Speed) -> Option<Rejection> {
        let l = speed.slowed.latency(0.0, MOST_REPLICAS, self.arrivals)?;
        let mut worst: Option<(f64, Rejection)> = None;
        for limit in &self.limits {
            let ms = at_confidence(speed, &l, limit, self.network_ms);
            let over = ms / limit.limit_ms - 1.0;
            if over > 0.0 && worst.as_ref().is_none_or(|(most, _)| over > *most) {
                let network = if limit.metric == Metric::Tpot || self.network_ms <= 0.0 {
                    String::new()
                } else {
                    format!(", {:.0} ms of it network", self.network_ms)
                };
                let reason = format!(
                    "{} {} is {:.1} ms without any load at the planned confidence{network}; the limit is {} ms",
                    limit.metric.as_str(),
                    quantile(limit.quantile),
                    ms,
                    limit.limit_ms
                );
                let rejection = Rejection {
                    constraint: limit.metric.as_str(),
                    reason,
                    at: Some(limit.at.clone()),
                    distance: Some(over),
                };
                worst = Some((over, rejection));
            }
        }
        worst.map(|(_, why)| why)
    }
}

/// `p95`, `p99.9`, `mean`.
pub(super) fn quantile(q: Option<f64>) -> String {
    q.map_or("mean".into(), |q| format!("p{}", crate::math::round_to(q * 100.0, 4)))
}

/// Whole replicas, at least one.
pub(super) fn whole(replicas: f64) -> u32 {
    (replicas * (1.0 - 1e-9)).ceil().clamp(1.0, f64::from(u32::MAX)) as u32
}

/// The largest `x` in `[0, high]` that holds, to a relative 1e-9, for a property that is lost as `x` grows.
pub(super) fn largest(high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if !(high > 0.0 && high.is_finite()) {
        return 0.0;
    }
    if holds(high) {
        return high;
    }
    let (mut low, mut high) = (0.0, high);
    for _ in 0..100 {
        if high - low <= high * 1e-9 {
            break;
        }
        let middle = low + (high - low) / 2.0;
        if holds(middle) { low = middle } else { high = middle }
    }
    low
}

/// The smallest number from 1 to [`MOST_REPLICAS`] that holds, for a property that is kept once gained;
/// the search starts at `hint`.
fn fewest(hint: f64, holds: impl Fn(u32) -> bool) -> Option<u32> {
    let mut high = hint.ceil().clamp(1.0, f64::from(MOST_REPLICAS)) as u32;
    let mut low = 0;
    let mut step = 1;
    while !holds(high) {
        if high == MOST_REPLICAS {
            return None;
        }
        low = high;
        high = high.saturating_add(step).min(MOST_REPLICAS);
        step = step.saturating_mul(2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Network time from an origin to a region as it counts in an objective, ms: displayed and at
/// confidence; and the whole of it with its class. `None` if it is unknown.
pub(super) fn network(
    job: &Job<'_>,
    service: &Service,
    origin: usize,
    region: usize,
) -> Option<super::service::Hop> {
    use crate::catalog::Evidence;
    use crate::spec::{Connections, MeasuredAt, Place};
    let origin = service.traffic.origins.get(origin)?;
    if origin.place == Place::Vpc {
        return Some(super::service::Hop { shown: 0.0, edge: 0.0, whole: 0.0, evidence: Evidence::Assumed });
    }
    let trip = job.world.catalog.round_trip(&origin.place, region)?;
    let trips = match service.slo.connections {
        Connections::Warm => 1.0,
        Connections::New => 3.0,
    };
    let whole = |ms: f64| (ms + service.slo.last_mile_ms) * trips;
    let counts = service.slo.measured_at == MeasuredAt::Client;
    let counted = |ms: f64| if counts { whole(ms) } else { 0.0 };
    Some(super::service::Hop {
        shown: counted(trip.ms),
        edge: counted(trip.ms_p90),
        whole: whole(trip.ms),
        evidence: trip.evidence,
    })
}
