//! Services: traffic reaches capacity, and capacity keeps its objectives, also during a failure.

use std::collections::BTreeSet;

use crate::placement::{FailureCheck, Metric, ObjectiveCheck, WorkloadPlacement, World};
use crate::spec::{Connections, Load, MeasuredAt, Objective, Origin, Place, Service};

use super::following::Hours;
use super::subject::{self, Checked, Engined, Work};
use super::{Ledger, day, degrade, sites};

/// Figures that two bisections find may differ by this share.
const SEARCHED: f64 = 2e-3;
/// Slack on a limit, ms: a thousandth of the rounding of a prediction.
const SLACK_MS: f64 = 1e-6;

/// An origin as one pool sees it.
#[derive(Clone)]
pub(super) struct Seen<'a> {
    pub origin: &'a Origin,
    /// Network time in an objective, ms: displayed and at confidence.
    network: (f64, f64),
}

/// A pool with its load.
pub(super) struct Loaded<'a> {
    pub c: &'a Checked<'a>,
    pub seen: Vec<Seen<'a>>,
    /// Regions that share the traffic of the pool's block.
    pub regions: u32,
    /// Share of the whole service's traffic.
    pub share: f64,
    /// Requests/s.
    pub peak: f64,
}

pub(super) fn check(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    service: &Service,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    routes(log, world, work, service, placed, pools);
    let mut loaded: Vec<Loaded<'_>> = Vec::new();
    for c in pools.iter().filter(|c| c.pool.stands_in.is_none()) {
        let seen: Vec<Seen<'_>> = sees(world, service, placed, c);
        log.hold(!seen.is_empty(), "route", c.pool.addr.as_str(), || {
            ("no traffic comes here".into(), "an origin".into(), "none".into())
        });
        let served = placed.routes.iter().find(|r| r.to.iter().any(|(i, _)| *i == c.index));
        let regions = served.map_or(1, |r| r.to.len().max(1) as u32);
        let share = share(service, placed, c);
        let peak = c.engine.as_ref().map_or(0.0, |e| peak(e, service, share, c.pool.replicas));
        loaded.push(Loaded { c, seen, regions, share, peak });
    }
    for pool in &loaded {
        load(log, service, pool);
        failures(log, service, placed, pool);
    }
    objectives(log, work, service, placed, &loaded);
    degrade::check(log, world, (work, service), placed, pools, &loaded);
    let survive = service.survive.region;
    if survive > 0 {
        for route in &placed.routes {
            log.hold(route.to.len() > survive as usize, "failure", &work.address, || {
                let expected = format!("more than {survive} regions for {}", route.origin);
                ("a failed region takes the service down".into(), expected, route.to.len().to_string())
            });
        }
        let told = placed.failures.iter().any(|f| f.scope == "region");
        log.hold(told, "failure-missing", &work.address, || {
            ("no figures for a failed region".into(), "a failure of scope region".into(), "none".into())
        });
    }
    for failure in &placed.failures {
        log.hold(failure.capacity + 1e-3 >= failure.required_rate, "failure", &failure.at, || {
            let expected = format!("at least {}", failure.required_rate);
            (
                format!("too little is left when a {} fails", failure.scope),
                expected,
                failure.capacity.to_string(),
            )
        });
    }
}

/// Rate of a pool that gets `share` of the service's traffic, requests/s.
fn peak(engine: &Engined, service: &Service, share: f64, replicas: u32) -> f64 {
    let n = f64::from(replicas);
    match service.traffic.load {
        Load::Rate(rate) => rate * share,
        Load::Concurrency(clients) => {
            // A conversation's user reads and thinks before the next turn.
            let think_s = service.traffic.sessions.map_or(0.0, |s| s.think_s);
            let below = |rate: f64| {
                engine
                    .curve
                    .latency(rate / n, replicas, service.traffic.arrivals)
                    .is_some_and(|l| rate * (l.e2e.mean / 1e3 + think_s) <= clients * share)
            };
            subject::largest(engine.curve.saturation_rate() * n, below)
        }
    }
}

/// Share of the service's traffic that a pool gets.
pub(super) fn share(service: &Service, placed: &WorkloadPlacement, c: &Checked<'_>) -> f64 {
    let part = |origin: &Origin| -> f64 {
        let routes = placed.routes.iter().filter(|r| r.origin == origin.name);
        routes.flat_map(|r| &r.to).filter(|(i, _)| *i == c.index).map(|(_, share)| share).sum()
    };
    service.traffic.origins.iter().map(|o| part(o) * o.share).sum()
}

/// Rate of such a pool in a class of the day, requests/s.
pub(super) fn at(engine: &Engined, service: &Service, share: f64, hours: &Hours) -> f64 {
    peak(engine, service, share * hours.class.part(), hours.replicas)
}

/// Network time from an origin to a region, ms (displayed, at confidence), handshakes and last mile
/// included; `None` if unknown.
fn network(world: &World, service: &Service, origin: &Origin, region: usize) -> Option<(f64, f64)> {
    if origin.place == Place::Vpc {
        return Some((0.0, 0.0));
    }
    let trip = world.catalog.round_trip(&origin.place, region)?;
    let trips = match service.slo.connections {
        Connections::Warm => 1.0,
        Connections::New => 3.0,
    };
    let whole = |ms: f64| (ms + service.slo.last_mile_ms) * trips;
    Some((whole(trip.ms), whole(trip.ms_p90)))
}

/// Gives a placement's routes the network time that they have.
pub(super) fn routed_again(world: &World, service: &Service, placed: &mut WorkloadPlacement) {
    let pools = &placed.pools;
    for route in &mut placed.routes {
        let Some(origin) = service.traffic.origins.iter().find(|o| o.name == route.origin) else { continue };
        let ms = |(index, _): &(usize, f64)| {
            let pool = pools.get(*index)?;
            let region = world.catalog.region(pool.cloud, &pool.region)?;
            Some(network(world, service, origin, region)?.0)
        };
        route.network_ms = route.to.iter().map(|to| ms(to).unwrap_or(f64::NAN)).collect();
    }
}

fn counts(service: &Service) -> bool {
    service.slo.measured_at == MeasuredAt::Client
}

fn sees<'a>(
    world: &World,
    service: &'a Service,
    placed: &WorkloadPlacement,
    c: &Checked<'_>,
) -> Vec<Seen<'a>> {
    let mut seen = Vec::new();
    for origin in &service.traffic.origins {
        let routes = placed.routes.iter().filter(|r| r.origin == origin.name);
        let part: f64 = routes.flat_map(|r| &r.to).filter(|(i, _)| *i == c.index).map(|(_, s)| s).sum();
        if part > 0.0 {
            let network = match network(world, service, origin, c.region_index) {
                Some(network) if counts(service) => network,
                Some(_) => (0.0, 0.0),
                // Already a finding of the route; no objective can hold.
                None => (f64::INFINITY, f64::INFINITY),
            };
            seen.push(Seen { origin, network });
        }
    }
    seen
}

fn routes(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    service: &Service,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let address = &work.address;
    for route in &placed.routes {
        let known = service.traffic.origins.iter().any(|o| o.name == route.origin);
        log.hold(known, "route", address, || {
            ("traffic from an unknown origin".into(), "an origin of the spec".into(), route.origin.clone())
        });
    }
    for origin in &service.traffic.origins {
        let mut routes = placed.routes.iter().filter(|r| r.origin == origin.name);
        let (Some(route), None) = (routes.next(), routes.next()) else {
            let found = placed.routes.iter().filter(|r| r.origin == origin.name).count();
            log.finding("route", address, format!("origin `{}` is not routed once", origin.name), 1, found);
            continue;
        };
        let total: f64 = route.to.iter().map(|(_, share)| share).sum();
        log.near(
            "route",
            address,
            &format!("the traffic of `{}` that is routed", origin.name),
            1.0,
            total,
            1e-9,
        );
        let even = 1.0 / route.to.len().max(1) as f64;
        log.hold(route.to.iter().all(|(_, s)| (s - even).abs() < 1e-9), "route", address, || {
            (format!("`{}` is not shared evenly", origin.name), even.to_string(), format!("{:?}", route.to))
        });
        let regions: BTreeSet<_> = route
            .to
            .iter()
            .filter_map(|(i, _)| placed.pools.get(*i))
            .map(|p| (p.cloud, p.region.as_str()))
            .collect();
        log.hold(regions.len() == route.to.len(), "route", address, || {
            let expected = "a pool in each of its regions".to_owned();
            (
                format!("`{}` goes to a pool twice or to none", origin.name),
                expected,
                format!("{:?}", route.to),
            )
        });
        // A block's origins share its pools: whoever uses one of them uses all of them.
        let own: BTreeSet<usize> = route.to.iter().map(|(i, _)| *i).collect();
        for other in &placed.routes {
            let theirs: BTreeSet<usize> = other.to.iter().map(|(i, _)| *i).collect();
            log.hold(own == theirs || own.is_disjoint(&theirs), "route", address, || {
                let what = format!("`{}` and `{}` share some pools but not all", origin.name, other.origin);
                (what, "the same pools or none".into(), format!("{own:?} and {theirs:?}"))
            });
        }
        for (k, (index, _)) in route.to.iter().enumerate() {
            let Some(c) = pools.iter().find(|c| c.index == *index) else { continue };
            log.hold(
                subject::resides(&origin.residency, c.region),
                "residency",
                c.pool.addr.as_str(),
                || {
                    let what = format!("data of `{}` may not be there", origin.name);
                    (what, origin.residency.join(" or "), c.pool.region.clone())
                },
            );
            log.hold(!sites::cut_off(service, origin, c.region), "wan", c.pool.addr.as_str(), || {
                let what = format!("`{}` is served elsewhere than at its site", origin.name);
                (what, "its site, whose connection may fail".into(), c.pool.region.clone())
            });
            match network(world, service, origin, c.region_index) {
                Some((ms, _)) => {
                    let said = route.network_ms.get(k).copied().unwrap_or(f64::NAN);
                    let what = format!("the network time of `{}`", origin.name);
                    log.near("route", c.pool.addr.as_str(), &what, ms, said, 1e-6);
                }
                None => {
                    let what = format!("the network time of `{}` is unknown", origin.name);
                    log.finding("route", c.pool.addr.as_str(), what, "a known round trip", "unknown");
                }
            }
        }
    }
}

fn limits(service: &Service) -> impl Iterator<Item = (Metric, &Objective)> {
    let slo = &service.slo;
    let ttft = slo.ttft.iter().map(|o| (Metric::Ttft, o));
    ttft.chain(slo.tpot.iter().map(|o| (Metric::Tpot, o))).chain(slo.e2e.iter().map(|o| (Metric::E2e, o)))
}

/// An objective's figure at confidence, ms; `None` beyond saturation.
fn at_confidence(
    engine: &Engined,
    service: &Service,
    metric: Metric,
    quantile: Option<f64>,
    rate: f64,
    replicas: u32,
    network_ms: f64,
) -> Option<f64> {
    let l = engine.slowed.latency(rate, replicas, service.traffic.arrivals)?;
    Some(match metric {
        Metric::Ttft => l.ttft.at(quantile) * engine.g + network_ms,
        Metric::Tpot => l.tpot.at(quantile),
        Metric::E2e => l.e2e.at(quantile) * engine.g + network_ms,
    })
}

/// Whether `replicas` carry `total` requests/s within every objective times `factor`.
pub(super) fn carries(pool: &Loaded<'_>, service: &Service, total: f64, replicas: u32, factor: f64) -> bool {
    let Some(engine) = &pool.c.engine else { return false };
    if replicas == 0 {
        return total <= 0.0;
    }
    let rate = total / f64::from(replicas);
    if engine.slowed.latency(rate, replicas, service.traffic.arrivals).is_none() {
        return false;
    }
    pool.seen.iter().all(|s| {
        limits(service).all(|(metric, o)| {
            at_confidence(engine, service, metric, o.quantile, rate, replicas, s.network.1)
                .is_some_and(|ms| ms <= o.limit_ms * factor + SLACK_MS)
        })
    })
}

/// The largest total rate that `replicas` carry, requests/s.
pub(super) fn capacity(pool: &Loaded<'_>, service: &Service, replicas: u32, factor: f64) -> f64 {
    let Some(engine) = &pool.c.engine else { return 0.0 };
    let top = engine.slowed.saturation_rate() * f64::from(replicas);
    subject::largest(top, |total| carries(pool, service, total, replicas, factor))
}

fn load(log: &mut Ledger, service: &Service, pool: &Loaded<'_>) {
    let (p, address) = (pool.c.pool, pool.c.pool.addr.as_str());
    let Some(engine) = &pool.c.engine else { return };
    let tolerance = match service.traffic.load {
        Load::Rate(_) => 1e-9,
        Load::Concurrency(_) => SEARCHED,
    };
    log.near("route", address, "the rate at the peak", pool.peak, p.peak_rate, tolerance.max(1e-6));
    log.hold(carries(pool, service, pool.peak, p.replicas, 1.0), "capacity", address, || {
        let derived = subject::thousandth(capacity(pool, service, p.replicas, 1.0));
        ("the pool does not carry its peak".into(), format!("at least {}", pool.peak), derived.to_string())
    });
    let derived = capacity(pool, service, p.replicas, 1.0);
    let close = (derived - p.capacity).abs() <= derived * SEARCHED + 2e-3;
    log.hold(close, "capacity", address, || {
        ("the capacity is wrong".into(), derived.to_string(), p.capacity.to_string())
    });
    let rate = p.peak_rate / f64::from(p.replicas.max(1));
    let derived = engine.curve.latency(rate, p.replicas, service.traffic.arrivals);
    match (&derived, &p.latency) {
        (Some(d), Some(s)) => {
            for (what, d, s) in [
                ("mean TTFT", d.ttft.mean, s.ttft.mean),
                ("p95 TTFT", d.ttft.at(Some(0.95)), s.ttft.at(Some(0.95))),
                ("mean TPOT", d.tpot.mean, s.tpot.mean),
                ("p95 TPOT", d.tpot.at(Some(0.95)), s.tpot.at(Some(0.95))),
                ("mean end to end time", d.e2e.mean, s.e2e.mean),
                ("p95 end to end time", d.e2e.at(Some(0.95)), s.e2e.at(Some(0.95))),
                ("utilization", d.utilization, s.utilization),
            ] {
                log.near("figure", address, what, d, s, 1e-6);
            }
        }
        (d, s) => log.hold(d.is_none() && s.is_none(), "figure", address, || {
            let word = |known: bool| if known { "a prediction" } else { "none" }.to_owned();
            ("the predicted latency is wrong".into(), word(d.is_some()), word(s.is_some()))
        }),
    }
}

/// What is lost at once of a pool: the scope, how many of it, the replicas that are left, and the rate they must carry.
pub(super) fn losses(
    c: &Checked<'_>,
    service: &Service,
    regions: u32,
    hours: &Hours,
    rate: f64,
    seen: &[Seen<'_>],
) -> Vec<(&'static str, u32, Option<u32>, f64)> {
    let n = hours.replicas;
    let span = c.pool.machines_per_replica > 1;
    let on_machine = if span { 1 } else { c.pool.replicas_per_machine };
    let shared = c.pool.shared.is_some();
    let units = if span || shared { n } else { hours.machines };
    // On shared machines a zone has its part of the replicas, wherever they are in it.
    let of_unit = if shared { 1 } else { on_machine };
    let survive = service.survive;
    let required = rate * service.during_failure.capacity;
    let mut lost = Vec::new();
    if survive.replica > 0 {
        lost.push(("replica", survive.replica, n.checked_sub(survive.replica), required));
    }
    if survive.machine > 0 {
        let gone = survive.machine.saturating_mul(on_machine);
        lost.push(("machine", survive.machine, n.checked_sub(gone), required));
    }
    if survive.zone > 0 {
        let zones = c.region.zones.map(|z| z.min(units).max(1));
        let left = zones.filter(|z| *z > survive.zone).and_then(|z| {
            n.checked_sub(units.div_ceil(z).saturating_mul(of_unit).saturating_mul(survive.zone))
        });
        lost.push(("zone", survive.zone, left, required));
    }
    if survive.region > 0 {
        let others = regions.saturating_sub(survive.region);
        let more = if others == 0 { f64::INFINITY } else { f64::from(regions) / f64::from(others) };
        lost.push(("region", survive.region, Some(n), required * more));
    }
    if survive.wan > 0 && sites::is_home(c.region, seen) {
        // Whoever is at the site goes on as before.
        lost.push(("wan", survive.wan, Some(n), required));
    }
    if hours.spot > 0 {
        let spot = c.pool.machines.iter().find(|m| m.purchase == rhumb_api::Purchase::Spot);
        let band = spot.and_then(|m| m.interruption).unwrap_or(0.20);
        let gone = subject::part_up(band, hours.spot).max(1);
        lost.push(("spot", gone, n.checked_sub(gone.saturating_mul(on_machine)), required));
    }
    lost
}

/// Every class of the week survives what was declared; the figures that are shown are those of the peak.
fn failures(log: &mut Ledger, service: &Service, placed: &WorkloadPlacement, pool: &Loaded<'_>) {
    let c = pool.c;
    let address = c.pool.addr.as_str();
    let factor = service.during_failure.slo_factor;
    for hours in &c.hours {
        let Some(engine) = &c.engine else { return };
        // What does not run loses nothing, and nothing is promised of it.
        if day::rests(service, &hours.class) {
            continue;
        }
        let is_peak = hours.class.share == day::PEAK;
        let rate = if is_peak { pool.peak } else { at(engine, service, pool.share, hours) };
        let when = c.when(hours);
        if !is_peak {
            log.hold(carries(pool, service, rate, hours.replicas, 1.0), "capacity", address, || {
                let derived = subject::thousandth(capacity(pool, service, hours.replicas, 1.0));
                let what = format!("the pool does not carry its load{when}");
                (what, format!("at least {rate}"), derived.to_string())
            });
        }
        for (scope, count, left, required) in losses(c, service, pool.regions, hours, rate, &pool.seen) {
            let rest = degrade::left_to(placed, address);
            let required = required * rest;
            // Something must be left although nothing may arrive, unless all of it is answered elsewhere.
            let holds =
                rest <= 0.0 || left.is_some_and(|n| n > 0 && carries(pool, service, required, n, factor));
            log.hold(holds, "failure", address, || {
                let kept = left.map_or(0.0, |n| capacity(pool, service, n, factor));
                let what = format!("the pool does not survive the loss of {count} ({scope}){when}");
                (what, format!("at least {required}"), kept.to_string())
            });
            if scope == "region" || !is_peak {
                continue;
            }
            let told = placed.failures.iter().find(|f| f.scope == scope && f.at == address);
            let Some(told) = told else {
                let expected = format!("a failure of scope {scope}");
                log.finding(
                    "failure-missing",
                    address,
                    "no figures for a declared failure",
                    expected,
                    "none",
                );
                continue;
            };
            figures(log, service, pool, told, count, left.unwrap_or(0), required);
        }
    }
}

fn figures(
    log: &mut Ledger,
    service: &Service,
    pool: &Loaded<'_>,
    told: &FailureCheck,
    count: u32,
    left: u32,
    required: f64,
) {
    let address = pool.c.pool.addr.as_str();
    let what = |figure: &str| format!("{figure} of scope {}", told.scope);
    log.same("failure", address, &what("the number"), &count, &told.count);
    log.same("failure", address, &what("what is left"), &left, &told.replicas_left);
    log.near("failure", address, &what("the required rate"), required, told.required_rate, SEARCHED);
    let derived = capacity(pool, service, left, service.during_failure.slo_factor);
    let close = (derived - told.capacity).abs() <= derived * SEARCHED + 2e-3;
    log.hold(close, "failure", address, || {
        (what("the capacity is wrong, that is the one"), derived.to_string(), told.capacity.to_string())
    });
}

fn objectives(
    log: &mut Ledger,
    work: &Work<'_>,
    service: &Service,
    placed: &WorkloadPlacement,
    pools: &[Loaded<'_>],
) {
    let address = &work.address;
    let asked = service.traffic.origins.len() * limits(service).count();
    log.hold(placed.objectives.len() <= asked, "objective", address, || {
        ("more objectives than asked for".into(), asked.to_string(), placed.objectives.len().to_string())
    });
    for origin in &service.traffic.origins {
        for (metric, o) in limits(service) {
            let told = placed.objectives.iter().find(|t| {
                t.origin == origin.name
                    && t.metric == metric
                    && t.quantile == o.quantile
                    && t.limit_ms == o.limit_ms
            });
            let Some(told) = told else {
                let expected = format!("{} of `{}` at most {} ms", metric.as_str(), origin.name, o.limit_ms);
                log.finding("objective-missing", address, "an objective is not promised", expected, "none");
                continue;
            };
            objective(log, address, service, told, origin, pools);
        }
    }
}

fn objective(
    log: &mut Ledger,
    address: &str,
    service: &Service,
    told: &ObjectiveCheck,
    origin: &Origin,
    pools: &[Loaded<'_>],
) {
    let name = format!("{} of `{}`", told.metric.as_str(), origin.name);
    let mut worst = f64::NEG_INFINITY;
    let (mut shown, mut slowest) = (Vec::new(), f64::NEG_INFINITY);
    for pool in pools {
        let Some(seen) = pool.seen.iter().find(|s| s.origin.name == origin.name) else { continue };
        let Some(engine) = &pool.c.engine else { continue };
        let n = pool.c.pool.replicas;
        let rate = pool.peak / f64::from(n.max(1));
        let (metric, quantile) = (told.metric, told.quantile);
        let edge = at_confidence(engine, service, metric, quantile, rate, n, seen.network.1);
        worst = worst.max(edge.unwrap_or(f64::INFINITY));
        if let Some(l) = engine.curve.latency(rate, n, service.traffic.arrivals) {
            let (figure, network) = match metric {
                Metric::Ttft => (l.ttft.at(quantile), seen.network.0),
                Metric::Tpot => (l.tpot.at(quantile), 0.0),
                Metric::E2e => (l.e2e.at(quantile), seen.network.0),
            };
            slowest = slowest.max(figure + network);
            shown.push((figure + network, network));
        }
    }
    log.hold(worst <= told.limit_ms + SLACK_MS, "objective", address, || {
        (format!("{name} does not hold"), format!("at most {} ms", told.limit_ms), format!("{worst} ms"))
    });
    log.near("objective", address, &format!("{name} at confidence"), worst, told.at_confidence_ms, 1e-6);
    let close = |a: f64, b: f64| (a - b).abs() <= a.abs() * 1e-6 + 1e-6;
    let agrees =
        shown.iter().any(|(ms, network)| close(*ms, told.predicted_ms) && close(*network, told.network_ms));
    log.hold(agrees, "objective", address, || {
        let found = format!("{} ms, network {} ms", told.predicted_ms, told.network_ms);
        (format!("the displayed {name} is wrong"), format!("{slowest} ms"), found)
    });
}
