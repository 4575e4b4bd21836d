//! Machines that services share (decision 12): what may be on them, how many there are, what is on each, and who pays which part.

use std::collections::BTreeMap;

use rhumb_api::{Money, Purchase, ResourceAddr};

use crate::catalog::{InstanceType, Offered, Provenance, Region};
use crate::placement::{Mix, OnShared, Placement, Pool, SharedFleet, SharedPool, World};
use crate::spec::{BudgetLimit, BudgetScope, Spec};

use super::packing::{self, Item, Machines};
use super::subject::{self, Kind, Work};
use super::{Ledger, day, rules, shared};

/// What a pool on shared machines pays of them.
pub(super) struct Part<'a> {
    /// Dollars an hour.
    pub per_hour: Money,
    /// Where the machines' price comes from.
    pub provenance: &'a Provenance,
}

/// Address of a pool to its part of the machines that it is on.
pub(super) type Parts<'a> = BTreeMap<&'a str, Part<'a>>;

/// The pool that an entry of a fleet is about.
fn pool<'a>(placement: &'a Placement, of: &SharedPool) -> Option<&'a Pool> {
    let placed = placement.workloads.get(&of.workload)?;
    placed.pools.iter().find(|p| p.addr == of.addr)
}

/// Accelerators that a pool takes.
fn taken(pool: &Pool) -> u64 {
    u64::from(pool.layout.accelerators()) * u64::from(pool.replicas)
}

/// The parts of a fleet's price, in the order of its entries: by the accelerators of each, rounded down; the rest is the first's by address.
fn divided(placement: &Placement, fleet: &SharedFleet) -> Vec<Money> {
    let slots: Vec<u64> = fleet.pools.iter().map(|entry| pool(placement, entry).map_or(0, taken)).collect();
    let all: u64 = slots.iter().sum();
    let price = fleet.price.times(i64::from(fleet.count));
    let part = |slots: &u64| {
        let micros = i128::from(price.micros()) * i128::from(*slots) / i128::from(all.max(1));
        Money::from_micros(micros as i64)
    };
    let mut parts: Vec<Money> = slots.iter().map(part).collect();
    let rest = price - parts.iter().copied().sum::<Money>();
    let first = (0..parts.len()).min_by_key(|i| &fleet.pools[*i].addr);
    if let Some(first) = first {
        parts[first] += rest;
    }
    parts
}

/// What every pool on shared machines pays, by the fleets' own sizes and prices.
pub(super) fn parts(placement: &Placement) -> Parts<'_> {
    let mut all = Parts::new();
    for fleet in &placement.fleets {
        for (entry, per_hour) in fleet.pools.iter().zip(divided(placement, fleet)) {
            all.insert(entry.addr.as_str(), Part { per_hour, provenance: &fleet.provenance });
        }
    }
    all
}

/// How much of what one machine takes of a limit a workload pays for in a fleet, as accelerators over all that are taken.
pub(super) fn share(placement: &Placement, fleet: &SharedFleet, workload: &str) -> (u64, u64) {
    let slots = |entry: &SharedPool| pool(placement, entry).map_or(0, taken);
    let own = fleet.pools.iter().filter(|entry| entry.workload == workload).map(slots).sum();
    (own, fleet.pools.iter().map(slots).sum())
}

/// How many services of a spec may share machines.
pub(super) fn sharing(spec: &Spec) -> usize {
    spec.services.values().filter(|s| s.shares).count()
}

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let coupled = placement.coupling.is_some();
    log.hold(
        coupled || (sharing(spec) < 2 && placement.fleets.is_empty()),
        "certificate",
        "deployment",
        || {
            (
                "services may share machines and are not proven together".into(),
                "a coupling".into(),
                "none".into(),
            )
        },
    );
    let sorted = placement.fleets.windows(2).all(|w| w[0].addr < w[1].addr);
    log.hold(sorted, "fleet", "deployment", || {
        ("the shared fleets are not in order, each once".into(), "by address".into(), "another order".into())
    });
    for (address, placed) in &placement.workloads {
        let Some(work) = Work::of(spec, world, address) else { continue };
        for pool in &placed.pools {
            if let Some(on) = &pool.shared {
                member(log, spec, world, &work, pool, on);
                at_home(log, placement, address, pool, on);
            }
        }
    }
    for fleet in &placement.fleets {
        one(log, spec, world, placement, fleet);
    }
}

/// Whether a pool may be on shared machines at all, and how many of its replicas on one and in one zone.
fn member(log: &mut Ledger, spec: &Spec, world: &World, work: &Work<'_>, pool: &Pool, on: &OnShared) {
    let address = pool.addr.as_str();
    let Kind::Service(service) = work.kind else {
        log.finding("sharing", address, "a run has machines of its own", "no shared machines", "some");
        return;
    };
    log.hold(service.shares, "sharing", address, || {
        ("the service shares no machines".into(), "machines of its own".into(), "shared ones".into())
    });
    log.hold(day::followed(service).is_none(), "sharing", address, || {
        let what = "what follows the load of the day has machines of its own";
        (what.into(), "machines of its own".into(), "shared ones".into())
    });
    let apart = |(scope, _): &(&BudgetScope, &BudgetLimit)| **scope != BudgetScope::All;
    log.hold(!shared::budgets_on(spec, &work.address).iter().any(apart), "sharing", address, || {
        let what = "a workload with a budget of its own, or of its label, has machines of its own";
        (what.into(), "machines of its own".into(), "shared ones".into())
    });
    log.hold(pool.machines.is_empty(), "sharing", address, || {
        let found = format!("{} entries", pool.machines.len());
        ("a pool on shared machines has some of its own".into(), "none".into(), found)
    });
    let each = pool.layout.accelerators();
    log.same("sharing", address, "the accelerators of a replica", &each, &on.accelerators);
    log.same("sharing", address, "the machines of a replica", &1, &pool.machines_per_replica);
    log.same(
        "sharing",
        address,
        "the most replicas on one machine",
        &pool.replicas_per_machine,
        &on.most_per_machine,
    );
    let kind = world.catalog.instance_type(pool.cloud, &pool.instance_type);
    let Some(kind) = kind.map(|i| &world.catalog.instance_types[i]) else { return };
    let whole = slots(kind).unwrap_or(0);
    log.hold(whole >= 2, "sharing", address, || {
        let found = kind.accelerator_count.to_string();
        ("its machines cannot be shared".into(), "2 accelerators or more, all whole".into(), found)
    });
    log.hold(each < whole, "sharing", address, || {
        (
            "a replica takes a whole machine".into(),
            format!("fewer than {whole} accelerators"),
            each.to_string(),
        )
    });
    let most = whole / each.max(1);
    let c = on.most_per_machine;
    log.hold((1..=most).contains(&c), "sharing", address, || {
        ("so many replicas are on no machine".into(), format!("1 to {most}"), c.to_string())
    });
    if service.survive.machine == 0 {
        log.same("sharing", address, "the most replicas on a machine that may not fail", &most, &c);
    }
    let region = world.catalog.region(pool.cloud, &pool.region).map(|i| &world.catalog.regions[i]);
    let d = (service.survive.zone > 0).then(|| per_zone(region, pool.replicas));
    log.same_debug("sharing", address, "the most replicas in one zone", &d, &on.most_per_zone);
}

/// Accelerators of a machine, if they are whole.
fn slots(kind: &InstanceType) -> Option<u32> {
    let count = kind.accelerator_count;
    (count.fract() == 0.0 && (1.0..=1024.0).contains(&count)).then_some(count as u32)
}

/// The most of `replicas` in one zone.
fn per_zone(region: Option<&Region>, replicas: u32) -> u32 {
    let zones = region.and_then(|r| r.zones).unwrap_or(1);
    replicas.div_ceil(zones.min(replicas).max(1))
}

/// Whether a pool is in its fleet, once and in no other.
fn at_home(log: &mut Ledger, placement: &Placement, workload: &str, pool: &Pool, on: &OnShared) {
    let address = pool.addr.as_str();
    let home = placement.fleets.iter().find(|f| f.addr == on.fleet);
    log.hold(home.is_some(), "fleet", address, || {
        ("there are no such shared machines".into(), on.fleet.to_string(), "no such fleet".into())
    });
    let listed =
        |f: &SharedFleet| f.pools.iter().filter(|p| p.addr == pool.addr && p.workload == workload).count();
    let there: usize = placement.fleets.iter().map(listed).sum();
    log.hold(there == 1 && home.is_none_or(|f| listed(f) == 1), "fleet", address, || {
        let at = placement.fleets.iter().filter(|f| listed(f) > 0).map(|f| f.addr.as_str());
        let found = format!("{there} times, in {:?}", at.collect::<Vec<_>>());
        ("the pool is not on its shared machines once".into(), format!("once, in {}", on.fleet), found)
    });
    let Some(home) = home else { return };
    let place = |cloud: rhumb_api::Cloud, region: &str, kind: &str| format!("{cloud}/{region}/{kind}");
    log.same(
        "fleet",
        address,
        "the place and type of its shared machines",
        &place(pool.cloud, &pool.region, &pool.instance_type),
        &place(home.cloud, &home.region, &home.instance_type),
    );
}

fn one(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement, fleet: &SharedFleet) {
    let (catalog, address) = (&world.catalog, fleet.addr.as_str());
    let SharedFleet { cloud, region, instance_type, purchase, .. } = fleet;
    let expected = format!("machines.shared/{cloud}/{region}/{instance_type}/{purchase}");
    log.same("address", address, "the address of shared machines", expected.as_str(), address);
    let type_index = catalog.instance_type(fleet.cloud, &fleet.instance_type);
    let region_index = catalog.region(fleet.cloud, &fleet.region);
    let (Some(of), Some(at)) = (type_index, region_index) else {
        let (code, what) = if type_index.is_none() {
            ("instance-type", "no such type")
        } else {
            ("region", "no such region")
        };
        log.finding(
            code,
            address,
            what,
            "a catalogue row",
            format!("{}/{}", fleet.region, fleet.instance_type),
        );
        return;
    };
    let (kind, region) = (&catalog.instance_types[of], &catalog.regions[at]);
    let accelerator = kind.accelerator.and_then(|i| catalog.accelerators.get(i)).map(|a| a.id.clone());
    log.same_debug("instance-type", address, "the accelerator", &accelerator, &fleet.accelerator);
    let whole = slots(kind).unwrap_or(0);
    log.same("instance-type", address, "the number of accelerators", &whole, &fleet.accelerators_per_machine);
    bought(log, spec, world, fleet, (of, at));
    log.hold(!fleet.pools.is_empty() && fleet.count > 0, "fleet", address, || {
        let found = format!("{} machines for {} pools", fleet.count, fleet.pools.len());
        ("shared machines that nobody is on".into(), "at least one pool".into(), found)
    });
    let derived = packing::zones(region.zones, fleet.count);
    log.same("zones", address, "the number of zones", &derived, &fleet.zones);
    for entry in &fleet.pools {
        let there = pool(placement, entry);
        let here = there.is_some_and(|p| p.shared.as_ref().is_some_and(|on| on.fleet == fleet.addr));
        log.hold(here, "fleet", address, || {
            let what = format!("{} is said to be here", entry.addr);
            (what, "a pool on these machines".into(), "no such pool".into())
        });
        if let Some(there) = there {
            let what = format!("the number of replicas of {}", entry.addr);
            log.same("fleet", address, &what, &there.replicas, &entry.replicas);
        }
    }
    packed(log, spec, world, placement, fleet, whole);
    for (entry, part) in fleet.pools.iter().zip(divided(placement, fleet)) {
        let what = format!("the part of the price of {}", entry.addr);
        log.amount("fleet", address, &what, part, entry.per_hour, 0);
    }
}

/// The offering that the machines are bought by: as the services would buy them, at its price.
fn bought(log: &mut Ledger, spec: &Spec, world: &World, fleet: &SharedFleet, (of, at): (usize, usize)) {
    let address = fleet.addr.as_str();
    log.hold(fleet.purchase != Purchase::Spot, "purchase", address, || {
        ("spot machines are not shared".into(), "another option".into(), fleet.purchase.to_string())
    });
    for entry in &fleet.pools {
        let Some(work) = Work::of(spec, world, &entry.workload) else { continue };
        let cheapest = subject::cheapest(&world.catalog, of, at, &work.purchase.options).map(|(_, p)| p);
        log.hold(cheapest == Some(fleet.purchase), "purchase", address, || {
            let what = format!("{} would buy these machines in another way", entry.addr);
            let derived = cheapest.map_or("not at all".to_owned(), |p| p.to_string());
            (what, derived, fleet.purchase.to_string())
        });
    }
    let Some(row) = subject::offering(&world.catalog, of, at, fleet.purchase) else {
        log.finding("purchase", address, "not offered there", "an offering", "none");
        return;
    };
    let said = (fleet.price, fleet.list_price, &fleet.provenance);
    rules::listed(log, spec, world, address, (fleet.cloud, row), said);
    // What is told of its fallbacks names it as well.
    let mut others = fleet.caveats.iter().filter(|caveat| !caveat.contains("fallback"));
    let named = others.any(|caveat| caveat.contains(&fleet.instance_type));
    log.hold(row.offered != Offered::Unknown || named, "caveat", address, || {
        let what = format!("a caveat that names {}", fleet.instance_type);
        (
            "nobody knows whether the type can be had there, and the fleet does not say so".into(),
            what,
            "none".into(),
        )
    });
}

fn item(spec: &Spec, world: &World, entry: &SharedPool, pool: &Pool, region: Option<&Region>) -> Item {
    let zone_fails = Work::of(spec, world, &entry.workload)
        .is_some_and(|w| matches!(w.kind, Kind::Service(s) if s.survive.zone > 0));
    Item {
        each: pool.layout.accelerators(),
        replicas: pool.replicas,
        per_machine: pool.shared.as_ref().map_or(0, |on| on.most_per_machine),
        per_zone: zone_fails.then(|| per_zone(region, pool.replicas)),
    }
}

/// Machines that the pools of some workloads on a fleet need by the rule, as if they were alone on it; `None` if no number does.
pub(super) fn machines_of(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    fleet: &SharedFleet,
    of: impl Fn(&str) -> bool,
) -> Option<u32> {
    let region = world.catalog.region(fleet.cloud, &fleet.region).map(|i| &world.catalog.regions[i]);
    let mut pools: Vec<(&Pool, Item)> = Vec::new();
    for entry in fleet.pools.iter().filter(|entry| of(&entry.workload)) {
        let pool = pool(placement, entry)?;
        pools.push((pool, item(spec, world, entry, pool, region)));
    }
    pools.sort_by_key(|(pool, item)| (std::cmp::Reverse(item.each), pool.addr.clone()));
    let items: Vec<Item> = pools.into_iter().map(|(_, item)| item).collect();
    let on = packing::least(&items, fleet.accelerators_per_machine, region.and_then(|r| r.zones))?;
    u32::try_from(on.len()).ok()
}

/// The number of machines and what is on each, by the rule.
fn packed(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    placement: &Placement,
    fleet: &SharedFleet,
    whole: u32,
) {
    let address = fleet.addr.as_str();
    let order: Vec<&ResourceAddr> = fleet.pools.iter().map(|p| &p.addr).collect();
    let pools: Option<Vec<&Pool>> = fleet.pools.iter().map(|entry| pool(placement, entry)).collect();
    let Some(pools) = pools else { return };
    let taken_first = |p: &&Pool| (std::cmp::Reverse(p.layout.accelerators()), p.addr.clone());
    let mut sorted = pools.clone();
    sorted.sort_by_key(taken_first);
    let derived: Vec<&ResourceAddr> = sorted.iter().map(|p| &p.addr).collect();
    log.same_debug("packing", address, "the order in which the pools are taken", &derived, &order);
    let region = world.catalog.region(fleet.cloud, &fleet.region).map(|i| &world.catalog.regions[i]);
    let items: Vec<Item> =
        fleet.pools.iter().zip(&pools).map(|(entry, p)| item(spec, world, entry, p, region)).collect();
    kept(log, fleet, &items, whole);
    let Some(on) = packing::least(&items, whole, region.and_then(|r| r.zones)) else {
        log.finding("packing", address, "the pools fit no number of machines", "a number", fleet.count);
        return;
    };
    let n = on.len() as u32;
    log.same("packing", address, "the least number of machines", &n, &fleet.count);
    log.same_debug("packing", address, "what is on each of the machines", &mixes(on), &fleet.mixes);
}

/// Machines with the same on them, by the first of each.
fn mixes(on: Machines) -> Vec<Mix> {
    let mut mixes: Vec<Mix> = Vec::new();
    for (i, replicas) in (0..).zip(on) {
        match mixes.iter_mut().find(|m| m.replicas == replicas) {
            Some(mix) => mix.machines.push(i),
            None => mixes.push(Mix { machines: vec![i], replicas }),
        }
    }
    mixes
}

/// What is said to be on the machines, whatever put it there: each machine once, none overfull, no pool more than its failures
/// allow on one machine and in one zone, and every replica somewhere.
fn kept(log: &mut Ledger, fleet: &SharedFleet, items: &[Item], whole: u32) {
    let address = fleet.addr.as_str();
    let mut said: Vec<u32> = fleet.mixes.iter().flat_map(|m| m.machines.iter().copied()).collect();
    said.sort_unstable();
    log.hold(said.iter().copied().eq(0..fleet.count), "packing", address, || {
        (
            "not every machine is said to hold something once".into(),
            format!("0 to {}", fleet.count),
            format!("{said:?}"),
        )
    });
    let counted = fleet.mixes.iter().all(|m| m.replicas.len() == items.len());
    log.hold(counted, "packing", address, || {
        let found = format!("{:?}", fleet.mixes.iter().map(|m| m.replicas.len()).collect::<Vec<_>>());
        ("not every pool is counted on each machine".into(), items.len().to_string(), found)
    });
    if !counted {
        return;
    }
    for mix in &fleet.mixes {
        let full: u64 = mix.replicas.iter().zip(items).map(|(n, i)| u64::from(*n) * u64::from(i.each)).sum();
        log.hold(full <= u64::from(whole), "packing", address, || {
            let what = format!("more accelerators are taken than there are on machines {:?}", mix.machines);
            (what, format!("at most {whole}"), full.to_string())
        });
    }
    let zones = fleet.zones.max(1);
    for (k, (entry, item)) in fleet.pools.iter().zip(items).enumerate() {
        let most = fleet.mixes.iter().map(|m| m.replicas[k]).max().unwrap_or(0);
        log.hold(most <= item.per_machine, "packing", address, || {
            let what = format!("too many replicas of {} on one machine", entry.addr);
            (what, format!("at most {}", item.per_machine), most.to_string())
        });
        let mut in_zone: BTreeMap<u32, u64> = BTreeMap::new();
        for mix in &fleet.mixes {
            for machine in &mix.machines {
                *in_zone.entry(machine % zones).or_insert(0) += u64::from(mix.replicas[k]);
            }
        }
        if let Some(per_zone) = item.per_zone {
            let most = in_zone.values().copied().max().unwrap_or(0);
            log.hold(most <= u64::from(per_zone), "packing", address, || {
                let what = format!("too many replicas of {} in one zone", entry.addr);
                (what, format!("at most {per_zone}"), most.to_string())
            });
        }
        let all: u64 = in_zone.values().sum();
        let what = format!("the replicas of {} on all machines", entry.addr);
        log.same("packing", address, &what, &u64::from(item.replicas), &all);
    }
}
