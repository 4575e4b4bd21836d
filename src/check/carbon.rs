//! What machines emit, from raw rows: watts, PUE and grid of each pool and fleet, its month, and the cap.

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use crate::perf::carbon::{WATTS_PER_GIB, WATTS_PER_VCPU};
use crate::placement::{Emission, Placement, Pool, SharedFleet, WorkloadPlacement, World};
use crate::spec::{Goal, Spec};

use super::Ledger;

/// Board power at work, as a share (decision 14).
const AT_WORK: f64 = 0.15 + 0.40 * 0.7 + 0.90 * 0.2;
const WEEK_S: i128 = super::day::WEEK as i128;
const HOUR_S: i128 = 3_600;
/// Milligrams of a tonne.
const TONNE: i128 = 1_000_000_000;

/// Whether emissions count for anything that a plan promises.
pub(super) fn counts(spec: &Spec) -> bool {
    spec.budget.carbon.is_some() || spec.objective != Goal::Cost
}

/// What a milligram counts for in what is minimised, micro-dollars times `scale`.
pub(super) fn price(spec: &Spec, scale: i128) -> i128 {
    let tonne = match spec.objective {
        Goal::Cost => Money::ZERO,
        Goal::Priced { per_tonne } => per_tonne,
        // 100 dollars for a gram.
        Goal::Carbon => Money::from_micros(100_000_000_000_000),
    };
    i128::from(tonne.micros()) * scale / TONNE
}

/// Milligrams an hour of a machine of a type in a region, by index; `None` if something is not known.
pub(super) fn of_machine(world: &World, kind: usize, region: usize) -> Option<i64> {
    let (kind, region) = (world.catalog.instance_types.get(kind)?, world.catalog.regions.get(region)?);
    let mut watts = 0.0;
    if kind.accelerator_count > 0.0 {
        let accelerator = world.catalog.accelerators.get(kind.accelerator?)?;
        watts += accelerator.tdp_watts.filter(|w| *w > 0.0)? * kind.accelerator_count * AT_WORK;
    }
    if kind.vcpus <= 0.0 {
        return None;
    }
    watts += kind.vcpus * WATTS_PER_VCPU + kind.memory_gib.filter(|gib| *gib > 0.0)? * WATTS_PER_GIB;
    Some((watts * region.pue.as_ref()?.ratio * region.grid.as_ref()?.g_per_kwh).round() as i64)
}

fn machine(world: &World, (cloud, region, kind): (Cloud, &str, &str)) -> Option<(usize, usize)> {
    let kind = world.catalog.instance_types.iter().position(|t| t.cloud == cloud && t.name == kind)?;
    let region = world.catalog.regions.iter().position(|r| r.cloud == cloud && r.id == region)?;
    Some((kind, region))
}

fn up(of: i128, by: i128) -> i64 {
    i64::try_from(of / by + i128::from(of % by > 0)).unwrap_or(i64::MAX)
}

/// Milligrams of a month with so many machine-seconds in a week.
fn of_week(mg: i64, seconds: i128) -> i64 {
    up(i128::from(mg) * seconds * i128::from(HOURS_PER_MONTH), WEEK_S)
}

fn of_pool(mg: i64, pool: &Pool, placed: &WorkloadPlacement) -> i64 {
    let all: i128 = pool.machines.iter().map(|m| i128::from(m.count)).sum();
    if let Some(run) = &placed.run {
        let machines = u32::try_from(all).unwrap_or(u32::MAX);
        let month = of_runs(mg, machines, run.hours, run.runs_per_month, true);
        return i64::try_from(month).unwrap_or(i64::MAX);
    }
    let mut seconds = all * WEEK_S;
    if let Some(following) = &pool.following {
        seconds = 0;
        for class in &following.classes {
            let there: i128 = class.machines.iter().map(|n| i128::from(*n)).sum();
            seconds += i128::from(class.seconds) * there;
        }
        seconds *= i128::from(super::day::times_a_week(following));
    }
    of_week(mg, seconds)
}

/// Milligrams that the machines of a batch or a training emit in a month: what a plan says, or no more than that.
pub(super) fn of_runs(mg: i64, machines: u32, hours: f64, runs: f64, whole: bool) -> i128 {
    let seconds = hours * 3600.0 * runs;
    let seconds = if whole { seconds.ceil() } else { (seconds - 1.0).max(0.0).floor() };
    let emitted = i128::from(mg) * i128::from(machines) * (seconds as i128);
    if whole { i128::from(up(emitted, HOUR_S)) } else { emitted / HOUR_S }
}

/// Milligrams a month of a workload on machines of its own; `None` if those of one of its pools are not known.
pub(super) fn month(world: &World, placed: &WorkloadPlacement) -> Option<i64> {
    let mut sum = 0_i64;
    for pool in placed.pools.iter().filter(|p| p.shared.is_none()) {
        let (kind, region) = machine(world, (pool.cloud, &pool.region, &pool.instance_type))?;
        sum = sum.saturating_add(of_pool(of_machine(world, kind, region)?, pool, placed));
    }
    Some(sum)
}

/// Milligrams a month of a machine of a fleet; `None` if they are not known.
pub(super) fn of_shared(world: &World, fleet: &SharedFleet) -> Option<i64> {
    let (kind, region) = machine(world, (fleet.cloud, &fleet.region, &fleet.instance_type))?;
    Some(of_week(of_machine(world, kind, region)?, WEEK_S))
}

/// Milligrams a month of everything, as far as it is known, and whether all of it is.
fn total(world: &World, placement: &Placement) -> (i64, bool) {
    let mut all = (0_i64, true);
    let mut add = |mg: Option<i64>| match mg {
        Some(mg) => all.0 = all.0.saturating_add(mg),
        None => all.1 = false,
    };
    for placed in placement.workloads.values() {
        for pool in placed.pools.iter().filter(|p| p.shared.is_none()) {
            let at = machine(world, (pool.cloud, &pool.region, &pool.instance_type));
            let mg = at.and_then(|(kind, region)| of_machine(world, kind, region));
            add(mg.map(|mg| of_pool(mg, pool, placed)));
        }
    }
    for fleet in &placement.fleets {
        add(of_shared(world, fleet).map(|mg| mg.saturating_mul(i64::from(fleet.count))));
    }
    all
}

/// A placement that stands for another one keeps the cap, of machines whose emissions are known.
pub(super) fn keeps(log: &mut Ledger, spec: &Spec, world: &World, other: &Placement, at: &str) {
    if !counts(spec) {
        return;
    }
    let (mg, complete) = total(world, other);
    let cap = spec.budget.carbon.as_ref().map(|cap| cap.mg);
    log.hold(complete && cap.is_none_or(|cap| mg <= cap), "carbon", at, || {
        let found = if complete { mg.to_string() } else { "unknown".into() };
        let most = cap.map_or("known".to_owned(), |cap| format!("at most {cap}"));
        ("more than the cap of carbon, milligrams a month".into(), most, found)
    });
}

/// What stands for a workload's other placement keeps the cap with all others as planned.
pub(super) fn fits(
    log: &mut Ledger,
    (spec, world, placement): (&Spec, &World, &Placement),
    other: &WorkloadPlacement,
    at: &str,
) {
    let Some(cap) = &spec.budget.carbon else { return };
    let rest = placement.workloads.values().filter(|w| w.address != other.address).chain([other]);
    let shared = placement.fleets.iter();
    let shared = shared.map(|f| Some(of_shared(world, f)?.saturating_mul(i64::from(f.count))));
    let months: Option<Vec<i64>> = rest.map(|w| month(world, w)).chain(shared).collect();
    let emitted: Option<i64> = months.map(|months| months.into_iter().fold(0, i64::saturating_add));
    log.hold(emitted.is_some_and(|mg| mg <= cap.mg), "carbon", at, || {
        let found = emitted.map_or("unknown".into(), |mg| mg.to_string());
        ("more than the cap of carbon, milligrams a month".into(), format!("at most {}", cap.mg), found)
    });
}

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let said = &placement.emissions;
    let mut addresses: Vec<String> = Vec::new();
    for placed in placement.workloads.values() {
        for pool in placed.pools.iter().filter(|p| p.shared.is_none()) {
            let at = machine(world, (pool.cloud, &pool.region, &pool.instance_type));
            one(log, spec, world, at, said.machines.get(pool.addr.as_str()), pool.addr.as_str(), &|mg| {
                of_pool(mg, pool, placed)
            });
            addresses.push(pool.addr.to_string());
        }
    }
    for fleet in &placement.fleets {
        let at = machine(world, (fleet.cloud, &fleet.region, &fleet.instance_type));
        let month = |mg: i64| of_week(mg, i128::from(fleet.count) * WEEK_S);
        one(log, spec, world, at, said.machines.get(fleet.addr.as_str()), fleet.addr.as_str(), &month);
        addresses.push(fleet.addr.to_string());
    }
    for address in said.machines.keys().filter(|a| !addresses.contains(a)) {
        log.finding("carbon", address, "emissions of no machines", "a pool or a fleet", "none");
    }
    let cap = spec.budget.carbon.as_ref().map(|cap| cap.mg);
    log.same_debug("carbon", "budget", "the cap, milligrams a month", &cap, &said.cap_mg);
    let (emitted, complete) = total(world, placement);
    let told = placement.joint_violations.iter().any(|v| v.constraint == "carbon");
    let over = cap.is_some_and(|cap| emitted > cap || !complete);
    log.hold(!over || told, "joint", "budget", || {
        let found = format!("{emitted}{}, not reported", if complete { "" } else { " or more" });
        let at_most = cap.map_or(String::new(), |cap| format!("at most {cap}"));
        ("the cap of carbon of all workloads together, milligrams a month".into(), at_most, found)
    });
    log.hold(over || !told, "joint", "budget", || {
        ("the cap of carbon is kept".into(), "no report".into(), "reported as broken".into())
    });
}

#[allow(clippy::too_many_arguments)]
fn one(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    at: Option<(usize, usize)>,
    said: Option<&Emission>,
    address: &str,
    month: &dyn Fn(i64) -> i64,
) {
    let Some(said) = said else {
        log.finding("carbon", address, "nothing is said of what its machines emit", "emissions", "none");
        return;
    };
    let derived = at.and_then(|(kind, region)| of_machine(world, kind, region));
    log.same_debug("carbon", address, "milligrams an hour of a machine", &derived, &said.mg_per_hour);
    log.same_debug("carbon", address, "milligrams a month", &derived.map(month), &said.mg_per_month);
    log.hold(derived.is_none() == said.unknown.is_some(), "carbon", address, || {
        let word = |unknown: bool| if unknown { "unknown, and why" } else { "known" };
        ("whether it is known".into(), word(derived.is_none()).into(), word(said.unknown.is_some()).into())
    });
    log.hold(derived.is_some() || !counts(spec), "carbon", address, || {
        let why = said.unknown.clone().unwrap_or_default();
        ("emissions count, and those of its machines are not known".into(), "known emissions".into(), why)
    });
    let Some(region) = at.and_then(|(_, region)| world.catalog.regions.get(region)) else { return };
    let grid = region.grid.as_ref();
    log.same_debug("carbon", address, "grams of a kWh", &grid.map(|g| g.g_per_kwh), &said.g_per_kwh);
    log.same_debug("carbon", address, "the year of the grid", &grid.and_then(|g| g.year), &said.year);
    let from = grid.map(|g| g.provenance.clone());
    log.same_debug("carbon", address, "the source of the grid", &from, &said.provenance);
    let pue = region.pue.as_ref();
    log.same_debug("carbon", address, "the PUE", &pue.map(|p| p.ratio), &said.pue);
    let own = pue.is_some_and(|p| p.of_region);
    log.same("carbon", address, "whether the PUE is the region's own", &own, &said.pue_of_region);
}
