//! Fallbacks of shared machines: the plan with all pools of a fleet moved, checked as a placement of its own would be.

use std::collections::BTreeSet;

use rhumb_api::Money;

use super::super::subject::{self, Kind, Work};
use super::super::{Finding, Ledger, bill, carbon, fleet, rules, serving, shared};
use super::NOT_TOLD;
use crate::placement::{FleetFallback, Placement, SharedFleet, WANTED_FALLBACKS, World};
use crate::spec::Spec;

/// The cheapest, and where all of these have the fleet's own accelerator the cheapest with another.
const MOST: usize = WANTED_FALLBACKS + 1;

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    for fleet in &placement.fleets {
        list(log, fleet);
        for (k, fallback) in fleet.fallbacks.iter().enumerate() {
            let at = format!("{}, fallback {}", fleet.addr, k + 1);
            if let Some(moved) = moved(log, placement, fleet, fallback, &at) {
                one(log, (spec, world), placement, moved, fallback, &at);
            }
        }
    }
}

/// Whether the offers of a list are other ones, in order, and as many as wanted. A fleet that is another one's fallback has none.
fn list(log: &mut Ledger, fleet: &SharedFleet) {
    let (address, list) = (fleet.addr.as_str(), &fleet.fallbacks);
    log.hold(list.len() <= MOST, "fallback", address, || {
        ("too many fallbacks".into(), format!("at most {MOST}"), list.len().to_string())
    });
    let told = |c: &String| c.contains("fallback");
    log.hold(list.len() >= WANTED_FALLBACKS || fleet.caveats.iter().any(told), "fallback", address, || {
        let expected = format!("{WANTED_FALLBACKS}, or a caveat that says why");
        ("too few fallbacks, and the plan does not say so".into(), expected, list.len().to_string())
    });
    let place = |f: &SharedFleet| (f.cloud, f.region.clone(), f.instance_type.clone());
    for (k, f) in list.iter().enumerate() {
        let mut before = list[..k].iter().map(|other| place(&other.fleet)).chain([place(fleet)]);
        log.hold(before.all(|other| other != place(&f.fleet)), "fallback", address, || {
            let what = format!("fallback {} needs what was refused, or what one before it does", k + 1);
            (what, "another region or type".into(), f.fleet.addr.to_string())
        });
        log.hold(f.fleet.fallbacks.is_empty(), "fallback", address, || {
            ("a fallback of a fallback".into(), "none".into(), f.fleet.fallbacks.len().to_string())
        });
    }
    let key = |f: &FleetFallback| (f.more_per_month, f.fleet.count, place(&f.fleet));
    // Where the cheapest were taken first, one with another accelerator is dearer than they are.
    log.hold(list.windows(2).all(|w| key(&w[0]) < key(&w[1])), "fallback", address, || {
        let found: Vec<String> = list.iter().map(|f| f.more_per_month.to_string()).collect();
        ("the fallbacks are not in order".into(), "cheapest first".into(), found.join(", "))
    });
}

/// The placement with the pools of a fleet in other places; `None` if that is not what is told.
fn moved(
    log: &mut Ledger,
    placement: &Placement,
    fleet: &SharedFleet,
    fallback: &FleetFallback,
    at: &str,
) -> Option<Placement> {
    let told: Vec<(&str, &str)> =
        fallback.moved.iter().map(|m| (m.workload.as_str(), m.from.as_str())).collect();
    let own: Vec<(&str, &str)> = fleet.pools.iter().map(|p| (p.workload.as_str(), p.addr.as_str())).collect();
    log.same_debug("fallback", at, "the pools that move", &own, &told);
    let mut other = placement.clone();
    other.fleets.retain(|f| f.addr != fleet.addr && f.addr != fallback.fleet.addr);
    other.fleets.push(fallback.fleet.clone());
    other.fleets.sort_by(|a, b| a.addr.cmp(&b.addr));
    for m in &fallback.moved {
        let placed = other.workloads.get_mut(&m.workload)?;
        let index = placed.pools.iter().position(|p| p.addr == m.from)?;
        placed.pools[index] = m.pool.clone();
    }
    Some(other)
}

/// Checks every workload that has a pool on the fleet, or on the machines that they move to.
fn one(
    log: &mut Ledger,
    (spec, world): (&Spec, &World),
    planned: &Placement,
    mut other: Placement,
    fallback: &FleetFallback,
    at: &str,
) {
    let mut own = Ledger::default();
    let moved: BTreeSet<&str> = fallback.moved.iter().map(|m| m.workload.as_str()).collect();
    for address in &moved {
        let Some(placed) = other.workloads.get_mut(*address) else { continue };
        placed.objectives.clear();
        placed.failures.clear();
        placed.caveats.extend(fallback.caveats.iter().cloned());
        if let Some(service) = address.strip_prefix("services.").and_then(|name| spec.services.get(name)) {
            serving::routed_again(world, service, placed);
        }
    }
    let parts = fleet::parts(&other);
    let there = fallback.fleet.pools.iter().map(|p| p.workload.as_str());
    let all: BTreeSet<&str> = moved.iter().copied().chain(there).collect();
    let (mut more, mut roundings) = (Money::ZERO, 0);
    let mut bills = Vec::new();
    for address in all {
        let (Some(placed), Some(before)) = (other.workloads.get(address), planned.workloads.get(address))
        else {
            own.finding("fallback", address, "nothing of it was planned", "a workload", "none");
            continue;
        };
        let Some(work) = Work::of(spec, world, address) else { continue };
        let pools = subject::pools(&mut own, world, &work, placed, &parts);
        if moved.contains(address) {
            rules::check(&mut own, spec, world, &work, placed, &pools);
            if let Kind::Service(service) = work.kind {
                serving::check(&mut own, world, &work, service, placed, &pools);
            }
        }
        let bill = bill::derived(world, &work, placed, &pools);
        more += bill.expected - before.cost.expected_per_month;
        roundings += bill.roundings;
        bills.push((address.to_owned(), bill));
    }
    for (address, bill) in bills {
        if let Some(placed) = other.workloads.get_mut(&address) {
            placed.cost.expected_per_month = bill.expected;
            placed.cost.peak_per_month = bill.peak;
            placed.cost.ceiling_per_month = bill.ceiling;
        }
    }
    fleet::check(&mut own, spec, world, &other);
    shared::limits(&mut own, spec, world, &other);
    carbon::keeps(&mut own, spec, world, &other, at);
    log.absorb(own, |f| {
        let message = if f.address == at { f.message } else { format!("{}: {}", f.address, f.message) };
        (!NOT_TOLD.contains(&f.code)).then(|| Finding { address: at.to_owned(), message, ..f })
    });
    log.amount("fallback", at, "what it costs more in a month", more, fallback.more_per_month, roundings);
}
