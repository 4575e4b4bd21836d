//! What runs is kept unless a move saves enough: what a machine that does not run counts for, and what the plan says of it.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{HOURS_PER_MONTH, Money, Purchase};

use super::{Ledger, fleet};
use crate::placement::{Kept, MachinesAt, Placement, Pool, SharedFleet, WorkloadPlacement, World};
use crate::spec::Spec;

const WEEK_S: i128 = super::day::WEEK as i128;
/// A whole in millionths.
const WHOLE: i128 = 1_000_000;

/// Whether a workload's machines are there all the time.
fn stays(spec: &Spec, address: &str) -> bool {
    match address.split_once('.') {
        Some(("services", _)) => true,
        Some(("pipelines", name)) => spec.pipelines.get(name).is_some_and(|p| p.stream.is_some()),
        _ => false,
    }
}

/// Whether something of a workload runs, and nothing of it on machines of a type in a region, of its own or shared.
fn moves(spec: &Spec, world: &World, address: &str, (kind, region): (usize, usize), shared: bool) -> bool {
    let (of, at) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    let (region, instance_type) = (at.id.clone(), of.name.clone());
    let place = MachinesAt { cloud: at.cloud, region, instance_type, shared };
    stays(spec, address) && world.running.0.get(address).is_some_and(|places| !places.contains(&place))
}

/// Whether services share machines of a type in a region, by index, that run.
fn shared_run(world: &World, (kind, region): (usize, usize)) -> bool {
    let (of, at) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    let here =
        |p: &&MachinesAt| p.shared && p.cloud == at.cloud && p.region == at.id && p.instance_type == of.name;
    world.running.0.values().flatten().find(here).is_some()
}

/// Micro-dollars that an hour of a machine of a type in a region, by index, counts for more for a workload: above the part `s / (1 - s)`
/// of its price on demand (the least, where it has none), nothing where the kind runs or nothing of the workload does.
pub(super) fn of_machine(spec: &Spec, world: &World, address: &str, at: (usize, usize)) -> i64 {
    if moves(spec, world, address, at, false) { surcharge(spec, world, at) } else { 0 }
}

/// The same of a machine that services share: what the workload's accelerators are a part of, at the least.
pub(super) fn of_shared(spec: &Spec, world: &World, address: &str, at: (usize, usize)) -> i64 {
    if moves(spec, world, address, at, true) { surcharge(spec, world, at) } else { 0 }
}

/// Micro-dollars a month that a fleet counts for more, by those who move to it: the accelerators of each, and what all of them count for.
pub(super) fn of_fleet<'p>(
    spec: &Spec,
    world: &World,
    placement: &'p Placement,
    fleet: &'p SharedFleet,
) -> (BTreeMap<&'p str, u64>, i64) {
    let mut movers = BTreeMap::new();
    let kind = world
        .catalog
        .instance_types
        .iter()
        .position(|t| t.cloud == fleet.cloud && t.name == fleet.instance_type);
    let region = world.catalog.regions.iter().position(|r| r.cloud == fleet.cloud && r.id == fleet.region);
    let Some(at) = kind.zip(region).filter(|_| spec.stability.is_some()) else { return (movers, 0) };
    for entry in &fleet.pools {
        if moves(spec, world, &entry.workload, at, true) {
            movers.insert(entry.workload.as_str(), fleet::share(placement, fleet, &entry.workload).0);
        }
    }
    let each = i128::from(surcharge(spec, world, at));
    let hour = if movers.is_empty() {
        0
    } else if shared_run(world, at) {
        // Machines are there already: whoever comes counts by the accelerator.
        let whole = i128::from(fleet.accelerators_per_machine.max(1));
        let part = each / whole + i128::from(each % whole > 0);
        part * movers.values().map(|slots| i128::from(*slots)).sum::<i128>()
    } else {
        let machines =
            fleet::machines_of(spec, world, placement, fleet, |address| movers.contains_key(address));
        each * machines.map_or(0, i128::from)
    };
    (movers, i64::try_from(hour * i128::from(HOURS_PER_MONTH)).unwrap_or(i64::MAX / 1024))
}

/// What an hour of a machine counts for more if it does not run.
fn surcharge(spec: &Spec, world: &World, (kind, region): (usize, usize)) -> i64 {
    let Some(stability) = &spec.stability else { return 0 };
    let mut on_demand = None;
    let mut least: Option<Money> = None;
    for offering in &world.catalog.offerings {
        if (offering.instance_type, offering.region) != (kind, region) {
            continue;
        }
        match offering.purchase {
            // A kind that the team holds there is as good as running.
            Purchase::Held if offering.held.as_ref().is_none_or(|of| of.machines) => return 0,
            Purchase::Held => continue,
            Purchase::OnDemand => on_demand = Some(offering.price),
            _ => {}
        }
        least = Some(least.map_or(offering.price, |least| least.min(offering.price)));
    }
    let Some(price) = on_demand.or(least) else { return 0 };
    let saving = i128::from(stability.saving_ppm);
    i64::try_from(i128::from(price.micros()) * saving / (WHOLE - saving).max(1) + 1)
        .unwrap_or(i64::MAX / 1024)
}

/// Machine-seconds of a week.
fn seconds(pool: &Pool) -> i128 {
    let Some(following) = &pool.following else {
        return WEEK_S * pool.machines.iter().map(|m| i128::from(m.count)).sum::<i128>();
    };
    let mut all = 0;
    for class in &following.classes {
        for there in &class.machines {
            all += i128::from(class.seconds) * i128::from(*there);
        }
    }
    all * i128::from(super::day::times_a_week(following))
}

/// What a placed workload counts for more in a month on machines of its own.
pub(super) fn month(spec: &Spec, world: &World, placed: &WorkloadPlacement) -> Money {
    let mut sum = 0_i128;
    for pool in placed.pools.iter().filter(|p| stays(spec, &placed.address) && p.shared.is_none()) {
        let kinds = &world.catalog.instance_types;
        let kind = kinds.iter().position(|t| t.cloud == pool.cloud && t.name == pool.instance_type);
        let regions = &world.catalog.regions;
        let region = regions.iter().position(|r| r.cloud == pool.cloud && r.id == pool.region);
        let Some(at) = kind.zip(region) else { continue };
        let each = i128::from(of_machine(spec, world, &placed.address, at));
        let scaled = each * seconds(pool) * i128::from(HOURS_PER_MONTH);
        sum += scaled / WEEK_S + i128::from(scaled % WEEK_S > 0);
    }
    Money::from_micros(i64::try_from(sum).unwrap_or(i64::MAX / 1024))
}

fn planned(parts: &[&WorkloadPlacement]) -> Vec<MachinesAt> {
    let mut places = BTreeSet::new();
    for pool in parts.iter().flat_map(|placed| &placed.pools) {
        let (region, instance_type) = (pool.region.clone(), pool.instance_type.clone());
        places.insert(MachinesAt { cloud: pool.cloud, region, instance_type, shared: pool.shared.is_some() });
    }
    places.into_iter().collect()
}

/// What a plan says of what it keeps.
pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let at = "deployment";
    // The parts of a service are told as one.
    let asked: BTreeSet<&str> = match spec.stability {
        Some(_) => placement
            .workloads
            .keys()
            .filter(|address| stays(spec, address) && world.running.0.contains_key(*address))
            .map(|address| placement.whole_of(address))
            .collect(),
        None => BTreeSet::new(),
    };
    let Some(kept) = &placement.kept else {
        // A placement that nobody will apply does not tell.
        let outlined = placement.workloads.values().all(|w| w.fallbacks.is_empty());
        log.hold(asked.is_empty() || outlined, "stability", at, || {
            ("nothing is said of what runs".into(), format!("{} services", asked.len()), "nothing".into())
        });
        return;
    };
    let saving = spec.stability.as_ref().map(|s| s.saving_ppm);
    log.same_debug("stability", at, "the part that a move must save", &saving, &Some(kept.saving_ppm));
    let said: BTreeSet<&str> = kept.workloads.keys().map(String::as_str).collect();
    log.same_debug("stability", at, "the services of which machines run", &asked, &said);
    for (address, of) in &kept.workloads {
        let parts: Vec<&WorkloadPlacement> =
            placement.workloads.values().filter(|w| placement.whole_of(&w.address) == address).collect();
        let runs: Vec<MachinesAt> = world.running.0.get(address).into_iter().flatten().cloned().collect();
        log.same_debug("stability", address, "where its machines run", &runs, &of.running);
        log.same_debug("stability", address, "where they will", &planned(&parts), &of.planned);
        let cost: Money = parts.iter().map(|w| w.cost.expected_per_month).sum();
        log.same_debug("stability", address, "its cost a month", &cost, &of.cost);
    }
    let all: Money = placement.workloads.values().map(|w| w.cost.expected_per_month).sum();
    log.same_debug("stability", at, "the cost of everything a month", &all, &kept.cost);
    freedom(log, spec, (placement, kept), at);
}

/// The cheapest placement if nothing ran costs no more, unless something else than the bill is minimised; what stays as it is costs the same.
fn freedom(log: &mut Ledger, spec: &Spec, (placement, kept): (&Placement, &Kept), at: &str) {
    let Some(free) = kept.free else { return };
    if !super::carbon::counts(spec) {
        log.hold(free <= kept.cost, "stability", at, || {
            let (most, found) = (super::ledger::dollars(kept.cost), super::ledger::dollars(free));
            ("a free choice costs more than what was planned".into(), format!("at most {most}"), found)
        });
    }
    let others = placement
        .workloads
        .iter()
        .filter(|(address, _)| !kept.workloads.contains_key(placement.whole_of(address)));
    let others: Money = others.map(|(_, w)| w.cost.expected_per_month).sum();
    let own: Option<Money> = kept.workloads.values().map(|w| Some(w.free.as_ref()?.cost)).sum();
    log.hold(own.is_some(), "stability", at, || {
        ("a service without its free choice".into(), "one for each".into(), "none".into())
    });
    // A limit that nothing breaks as planned may bind a free choice.
    let limited = !spec.budget.limits.is_empty()
        || spec.providers.values().any(|p| !p.quotas.is_empty())
        || fleet::sharing(spec) > 1;
    if !limited && !super::carbon::counts(spec) {
        // Nothing can be shared: what does not run is as it would be.
        let sum = own.map(|own| own + others);
        log.same_debug("stability", at, "what a free choice costs", &sum, &Some(free));
    }
}
