//! What a machine of a pool that does not run yet counts for more (decision 21).

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Money, Purchase};

use super::job::{Job, Kind};
use super::table::{Site, Table};
use super::watch::Watch;
use super::{deployment, emission};
use crate::perf::carbon;
use crate::placement::{
    FreeChoice, Kept, KeptWorkload, MachinesAt, Placement, Pool, WorkloadPlacement, World,
};
use crate::spec::Spec;

/// Whether something of a workload runs that is kept.
pub(super) fn keeps(job: &Job<'_>) -> bool {
    let stays = match job.kind {
        Kind::Service(_) | Kind::Mixed(_) => true,
        Kind::Run(task) => task.stream().is_some(),
        Kind::Federation(..) => false,
    };
    stays && job.spec.stability.is_some() && job.world.running.of(&job.address).is_some()
}

/// What an hour of a machine of each site counts for more, micro-dollars; empty where nothing does. At a site of shared machines that run
/// it is that of an accelerator; where they do not, they count for themselves ([`machine`]).
pub(super) fn surcharges(job: &Job<'_>, table: &Table) -> Vec<i64> {
    let Some(stability) = job.spec.stability.as_ref().filter(|_| keeps(job)) else { return Vec::new() };
    let catalog = &job.world.catalog;
    let of = |(i, site): (usize, &Site)| {
        let region = &catalog.regions[site.region];
        let kind = table.machines[site.machine].index;
        let at = (region.cloud, region.id.as_str(), catalog.instance_types[kind].name.as_str());
        let price = || reference(job.world, kind, site.region);
        let machine = || price().map_or(0, |price| stability.surcharge(price).micros());
        match table.slots(i) {
            None if job.world.running.has(&job.address, at) => 0,
            None => machine(),
            Some(_) if job.world.running.shares(&job.address, at) || !job.world.running.shared(at) => 0,
            Some(slots) => of_accelerator(machine(), slots),
        }
    };
    table.sites.iter().enumerate().map(of).collect()
}

/// What an hour of an accelerator counts for of one of a machine: its part, rounded up.
fn of_accelerator(machine: i64, slots: u32) -> i64 {
    let slots = i64::from(slots.max(1));
    machine.div_euclid(slots) + i64::from(machine.rem_euclid(slots) > 0)
}

/// What shared machines of a type in a region, both by index, count for more where none run: micro-dollars an hour for each that those
/// who move there need. `None` where some run, or where nothing is kept.
pub(super) fn machine(spec: &Spec, world: &World, (kind, region): (usize, usize)) -> Option<i64> {
    let stability = spec.stability.as_ref()?;
    let (of, at) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    if world.running.shared((at.cloud, &at.id, &of.name)) {
        return None;
    }
    Some(stability.surcharge(reference(world, kind, region)?).micros()).filter(|each| *each > 0)
}

/// The price of a machine of a type in a region, both by index, that its surcharge is a part of: on demand, or the least where nobody
/// sells it so.
fn reference(world: &World, kind: usize, region: usize) -> Option<Money> {
    let catalog = &world.catalog;
    // Machines that the team holds are as good as running; what a savings plan covers is not there yet.
    let here = catalog.offerings_of(kind).iter().filter(|o| o.region == region);
    if here.filter_map(|o| o.held.as_ref()).any(|held| held.machines) {
        return None;
    }
    let on_demand = catalog.offering(kind, region, Purchase::OnDemand).map(|o| o.price);
    let sold = catalog.offerings_of(kind).iter().filter(|o| o.region == region);
    on_demand.or_else(|| sold.map(|o| o.price).min())
}

/// What machines that are there for so many seconds of a week count for more in a month, micro-dollars.
pub(super) fn month(surcharge: i64, machine_seconds: i64) -> i64 {
    carbon::of_weeks(surcharge, machine_seconds)
}

/// What a placed workload on machines of its own counts for more in a month.
pub(super) fn sum(spec: &Spec, world: &World, placed: &WorkloadPlacement) -> Money {
    let Some(stability) = spec.stability.as_ref().filter(|_| placed.stays()) else {
        return Money::ZERO;
    };
    if world.running.of(&placed.address).is_none() {
        return Money::ZERO;
    }
    let of = |pool: &Pool| {
        if world.running.has(&placed.address, (pool.cloud, &pool.region, &pool.instance_type)) {
            return 0;
        }
        let catalog = &world.catalog;
        let kind = catalog.instance_type(pool.cloud, &pool.instance_type);
        let price =
            kind.zip(catalog.region(pool.cloud, &pool.region)).and_then(|(k, r)| reference(world, k, r));
        price.map_or(0, |price| month(stability.surcharge(price).micros(), emission::seconds(pool)))
    };
    Money::from_micros(placed.pools.iter().map(of).sum())
}

/// Where each service that stays has its machines, its parts together, and what they cost a month.
fn by_whole(
    spec: &Spec,
    workloads: &BTreeMap<String, WorkloadPlacement>,
) -> BTreeMap<String, (BTreeSet<MachinesAt>, Money)> {
    let mut all: BTreeMap<String, (BTreeSet<MachinesAt>, Money)> = BTreeMap::new();
    for (address, placed) in workloads.iter().filter(|(_, placed)| placed.stays()) {
        let (places, cost) = all.entry(spec.whole_of(address).into_owned()).or_default();
        places.extend(placed.pools.iter().map(MachinesAt::of));
        *cost += placed.cost.expected_per_month;
    }
    all
}

/// What of `planned` was kept, beside the cheapest placement if nothing ran, each with the spec that has its parts. `None` where nothing runs
/// or the spec keeps nothing.
pub(super) fn kept(
    (spec, planned): (&Spec, &BTreeMap<String, WorkloadPlacement>),
    world: &World,
    free: Option<(&Spec, &BTreeMap<String, WorkloadPlacement>)>,
) -> Option<Kept> {
    let stability = spec.stability.as_ref()?;
    let freely = free.map(|(spec, all)| by_whole(spec, all));
    let workloads: BTreeMap<String, KeptWorkload> = by_whole(spec, planned)
        .into_iter()
        .filter_map(|(address, (places, cost))| {
            let free = freely.as_ref().and_then(|all| all.get(&address));
            let kept = KeptWorkload {
                running: world.running.of(&address)?.iter().cloned().collect(),
                planned: places.into_iter().collect(),
                cost,
                free: free.map(|(places, cost)| FreeChoice {
                    places: places.iter().cloned().collect(),
                    cost: *cost,
                }),
            };
            Some((address, kept))
        })
        .collect();
    let sum =
        |all: &BTreeMap<String, WorkloadPlacement>| all.values().map(|w| w.cost.expected_per_month).sum();
    let free = free.map(|(_, all)| sum(all));
    let kept = Kept { saving_ppm: stability.saving_ppm, workloads, cost: sum(planned), free };
    (!kept.workloads.is_empty()).then_some(kept)
}

/// The cheapest placement if nothing ran; `None` if the search for it was ended.
pub(super) fn free_choice(spec: &Spec, world: &World, watch: Watch<'_>) -> Option<Placement> {
    let free = Spec { stability: None, ..spec.clone() };
    deployment::place(&free, world, deployment::Telling { fallbacks: false, refusal: true }, watch).ok()
}
