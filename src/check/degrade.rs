//! What stands in for pools that have failed in part (decision 24): who may, for how much, and whether it carries that.

use crate::placement::{Pool, StandsIn, WorkloadPlacement, World};
use crate::spec::{Degrade, Service};

use super::Ledger;
use super::serving::{self, Loaded};
use super::subject::{Checked, Work};

/// Figures that two bisections find may differ by this share.
const SEARCHED: f64 = 2e-3;

/// Of what must be answered in a failure of a pool, the part that is left to it: all, unless something stands in.
pub(super) fn left_to(placed: &WorkloadPlacement, address: &str) -> f64 {
    let stands_in = placed.pools.iter().filter_map(|p| p.stands_in.as_ref());
    let percent = stands_in.filter(|s| s.pool.as_str() == address).map(|s| s.percent).max().unwrap_or(0);
    f64::from(100_u32.saturating_sub(percent)) / 100.0
}

pub(super) fn check(
    log: &mut Ledger,
    world: &World,
    (work, service): (&Work<'_>, &Service),
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
    loaded: &[Loaded<'_>],
) {
    let mut any = false;
    for c in pools {
        let Some(said) = &c.pool.stands_in else { continue };
        any = true;
        let address = c.pool.addr.as_str();
        let Some(degrade) = &service.degrade else {
            log.finding("degrade", address, "nothing may stand in here", "no stand-in", &said.model);
            continue;
        };
        may(log, degrade, address, said);
        alone(log, placed, c, said);
        let of = loaded.iter().find(|l| l.c.pool.addr == said.pool);
        let Some(of) = of else {
            log.finding("degrade", address, "it stands in for no pool", "a pool of the service", &said.pool);
            continue;
        };
        let there = |p: &Pool| format!("{}/{}", p.cloud, p.region);
        log.same("degrade", address, "where it stands in", &there(of.c.pool), &there(c.pool));
        amount(log, world, service, of, c, said);
        let below = |p: &Pool| p.addr.as_str().split_once('/').map_or("", |(_, below)| below).to_owned();
        let (own, theirs) = (below(c.pool), below(of.c.pool));
        let told = |caveat: &String| {
            caveat.starts_with(&format!("{theirs}: "))
                && caveat.contains(&own)
                && caveat.contains("load balancer")
        };
        log.hold(placed.caveats.iter().any(told), "degrade", address, || {
            let what = "that somebody must move the requests in a failure is not told";
            (what.into(), format!("a caveat of {theirs} that names {own}"), "none".into())
        });
    }
    if service.degrade.is_some() && !any {
        let told = placed.caveats.iter().any(|caveat| caveat.starts_with("`degrade`"));
        log.hold(told, "degrade", &work.address, || {
            ("nothing stands in, and the plan does not say so".into(), "a caveat".into(), "none".into())
        });
    }
}

/// Whether the spec names the model, with this figure, and it is good enough.
fn may(log: &mut Ledger, degrade: &Degrade, address: &str, said: &StandsIn) {
    let Some(named) = degrade.to.iter().find(|to| to.model == said.model) else {
        let names: Vec<&str> = degrade.to.iter().map(|to| to.model.as_str()).collect();
        log.finding("degrade", address, "a model that may not stand in", names.join(" or "), &said.model);
        return;
    };
    log.near("degrade", address, "the quality as stated", named.quality, said.quality, 0.0);
    log.hold(named.quality >= degrade.keep, "degrade", address, || {
        let what = format!("`{}` keeps too little", said.model);
        (what, format!("at least {}", degrade.keep), named.quality.to_string())
    });
}

/// Whether it has machines of its own that are there at all times, nothing else is sent to it, and no second one stands in for the same.
fn alone(log: &mut Ledger, placed: &WorkloadPlacement, c: &Checked<'_>, said: &StandsIn) {
    let address = c.pool.addr.as_str();
    let others = placed.pools.iter().filter_map(|p| p.stands_in.as_ref()).filter(|s| s.pool == said.pool);
    let n = others.count();
    log.hold(n == 1, "degrade", address, || {
        (format!("several stand in for {}", said.pool), "one".into(), n.to_string())
    });
    let steady = c.pool.shared.is_none() && c.pool.following.is_none() && c.spot == 0 && c.machines > 0;
    log.hold(steady, "degrade", address, || {
        let what = "it is not on machines of its own that are there at all times";
        (what.into(), "machines of its own, none of them spot".into(), format!("{:?}", c.pool.machines.len()))
    });
    let routed = placed.routes.iter().flat_map(|r| &r.to).any(|(i, _)| *i == c.index);
    log.hold(!routed && c.pool.peak_rate == 0.0, "degrade", address, || {
        let what = "something is sent to it while nothing fails";
        (what.into(), "no route, and a peak of 0".into(), c.pool.peak_rate.to_string())
    });
}

/// Whether it answers as little as can be, and carries that.
fn amount(
    log: &mut Ledger,
    world: &World,
    service: &Service,
    of: &Loaded<'_>,
    c: &Checked<'_>,
    said: &StandsIn,
) {
    let (address, during) = (c.pool.addr.as_str(), service.during_failure);
    let Some(hours) = of.c.hours.last() else { return };
    let required = of.peak * during.capacity;
    // The largest loss decides for all of them.
    let lost = serving::losses(of.c, service, of.regions, hours, of.peak, &of.seen);
    let left = lost.iter().map(|(_, _, left, _)| left.unwrap_or(0)).min();
    log.hold(left.is_some(), "degrade", address, || {
        ("nothing may fail that it stands in for".into(), "a declared failure".into(), "none".into())
    });
    let left = left.unwrap_or(of.c.pool.replicas);
    let does = |percent: u32| {
        let rest = f64::from(100 - percent.min(100)) / 100.0;
        percent >= 100 || left > 0 && serving::carries(of, service, required * rest, left, during.slo_factor)
    };
    let least = (0..=100).find(|p| does(*p)).unwrap_or(100);
    // A replay may ask for more.
    let right = if world.replay == 0 { said.percent == least } else { (least..=100).contains(&said.percent) };
    log.hold(right && said.percent > 0, "degrade", address, || {
        let what = "it answers another part than what is missing";
        (what.into(), format!("{least} %"), format!("{} %", said.percent))
    });
    let rate = required * f64::from(said.percent) / 100.0;
    log.near("degrade", address, "the rate in a failure", rate, said.rate, 1e-6);
    let Some(engine) = &c.engine else { return };
    let n = c.pool.replicas;
    let beside = Loaded { c, seen: of.seen.clone(), regions: of.regions, share: 0.0, peak: 0.0 };
    log.hold(serving::carries(&beside, service, rate, n, during.slo_factor), "degrade", address, || {
        let derived = serving::capacity(&beside, service, n, during.slo_factor);
        ("it does not carry what is missing".into(), format!("at least {rate}"), derived.to_string())
    });
    let derived = serving::capacity(&beside, service, n, during.slo_factor);
    let close = (derived - c.pool.capacity).abs() <= derived * SEARCHED + 2e-3;
    log.hold(close, "degrade", address, || {
        ("its capacity is wrong".into(), derived.to_string(), c.pool.capacity.to_string())
    });
    let predicted = engine.curve.latency(rate / f64::from(n.max(1)), n, service.traffic.arrivals);
    let known = predicted.zip(c.pool.latency.as_ref());
    log.hold(known.is_some(), "degrade", address, || {
        ("its latency in a failure is not told".into(), "a prediction".into(), "none".into())
    });
    if let Some((derived, told)) = known {
        let figures = [
            ("its mean TTFT", derived.ttft.mean, told.ttft.mean),
            ("its mean TPOT", derived.tpot.mean, told.tpot.mean),
            ("its mean end to end time", derived.e2e.mean, told.e2e.mean),
            ("its utilization", derived.utilization, told.utilization),
        ];
        for (what, derived, told) in figures {
            log.near("degrade", address, what, derived, told, 1e-6);
        }
    }
}
