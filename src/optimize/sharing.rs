//! What is on machines that services share (decision 12).

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Cloud, Money, ResourceAddr};

use super::build;
use super::job::{self, Job, Kind};
use super::service::{Chosen, Search};
use crate::catalog::{Catalog, Evidence};
use crate::placement::{CostLine, Mix, OnShared, Pool, SharedFleet, SharedPool, WorkloadPlacement};

/// A pool on shared machines, as they see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Accelerators of a replica.
    pub size: u32,
    pub replicas: u32,
    /// Most replicas on one machine.
    pub most: u32,
    /// Most replicas in one zone, where zones may fail.
    pub in_zone: Option<u32>,
}

impl Item {
    /// A chosen pool, if it is on shared machines.
    pub fn of(search: &Search<'_>, chosen: &Chosen) -> Option<Self> {
        let site = search.table.sites.get(chosen.site)?;
        let way = search.table.machines.get(site.machine)?.ways.get(chosen.way)?;
        let replicas = chosen.count.replicas;
        let in_zone = in_zone(search.job, search.terms[chosen.site].zones, replicas);
        Some(Item { size: way.span, replicas, most: way.most_on_one?, in_zone })
    }

    pub fn slots(&self) -> u64 {
        u64::from(self.size) * u64::from(self.replicas)
    }

    /// Machines that it needs, whatever else is on them.
    pub fn needs(&self) -> u32 {
        let zones = self.in_zone.map_or(0, |most| self.replicas.div_ceil(most.max(1)));
        self.replicas.div_ceil(self.most.max(1)).max(zones)
    }
}

/// Machines by what is on each: replicas of every item.
pub(super) type Packed = Vec<Vec<u32>>;

/// The fewest machines of `slots` accelerators that hold `items`, in their order, by the rule; `None` if no number does.
pub(super) fn packed(items: &[Item], slots: u32, zones: Option<u32>) -> Option<Packed> {
    let all: u64 = items.iter().map(Item::slots).sum();
    let spread = items.iter().map(Item::needs).max().unwrap_or(0);
    let least = all.div_ceil(u64::from(slots.max(1))).max(u64::from(spread)).max(1);
    let most: u64 = items.iter().map(|i| u64::from(i.replicas)).sum();
    (least..=most.max(least)).find_map(|n| on(items, slots, zones, usize::try_from(n).ok()?))
}

fn on(items: &[Item], slots: u32, zones: Option<u32>, machines: usize) -> Option<Packed> {
    let zones = zones.map_or(1, |z| z as usize).min(machines).max(1);
    let mut free = vec![slots; machines];
    let mut packed = vec![vec![0; items.len()]; machines];
    for (k, item) in items.iter().enumerate() {
        let mut in_zone = vec![0; zones];
        for _ in 0..item.replicas {
            let room = |m: &usize| {
                free[*m] >= item.size
                    && packed[*m][k] < item.most
                    && item.in_zone.is_none_or(|most| in_zone[*m % zones] < most)
            };
            let machine = (0..machines).filter(room).min_by_key(|m| (free[*m], *m))?;
            free[machine] -= item.size;
            packed[machine][k] += 1;
            in_zone[machine % zones] += 1;
        }
    }
    Some(packed)
}

/// The order in which pools are put on machines: the largest replicas first, then by address.
pub(super) fn order<T>(pools: &mut [(Item, String, T)]) {
    pools.sort_by(|a, b| b.0.size.cmp(&a.0.size).then_with(|| a.1.cmp(&b.1)));
}

/// Most replicas of a pool of so many in one zone of a region, if a zone may fail.
pub(super) fn in_zone(job: &Job<'_>, zones: Option<u32>, replicas: u32) -> Option<u32> {
    let Kind::Service(service) = job.kind else { return None };
    let zones = zones.map_or(1, |z| z.min(replicas).max(1));
    (service.survive.zone > 0).then(|| replicas.div_ceil(zones))
}

/// The address of the fleet of an offering.
pub(super) fn address(catalog: &Catalog, offering: usize) -> Option<ResourceAddr> {
    let offering = catalog.offerings.get(offering)?;
    let region = &catalog.regions[offering.region];
    let kind = &catalog.instance_types[offering.instance_type];
    let root = ResourceAddr::parse("machines.shared").ok()?;
    let parts = [region.cloud.as_str(), &region.id, &kind.name, offering.purchase.as_str()];
    Some(parts.iter().fold(root, |addr, part| addr.child(part)))
}

/// The fleets of all pools on shared machines. Each pool's part of their price is put on its workload's bill.
pub(super) fn fleets(
    jobs: &[Job<'_>],
    workloads: &mut BTreeMap<String, WorkloadPlacement>,
) -> Vec<SharedFleet> {
    let Some(first) = jobs.first() else { return Vec::new() };
    let catalog = &first.world.catalog;
    let mut found = Vec::new();
    let pools = workloads.values().flat_map(|w| &w.pools).filter(|pool| pool.shared.is_some());
    let used: BTreeSet<(Cloud, String, String)> =
        pools.map(|p| (p.cloud, p.region.clone(), p.instance_type.clone())).collect();
    for (i, offering) in catalog.offerings.iter().enumerate() {
        let (kind, region) =
            (&catalog.instance_types[offering.instance_type], &catalog.regions[offering.region]);
        let here = |(cloud, at, of): &(Cloud, String, String)| {
            *cloud == region.cloud && *at == region.id && *of == kind.name
        };
        if !used.iter().any(here) {
            continue;
        }
        let Some(addr) = address(catalog, i) else { continue };
        let on = |pool: &Pool| pool.shared.clone().filter(|on| on.fleet == addr);
        let mut pools: Vec<(Item, String, String)> = Vec::new();
        for (workload, placed) in workloads.iter() {
            for pool in &placed.pools {
                let Some(on) = on(pool) else { continue };
                pools.push((item(pool, &on), pool.addr.to_string(), workload.clone()));
            }
        }
        if pools.is_empty() {
            continue;
        }
        order(&mut pools);
        let slots = kind.accelerator_count as u32;
        let items: Vec<Item> = pools.iter().map(|(item, ..)| *item).collect();
        let Some(packed) = packed(&items, slots, region.zones) else { continue };
        let count = packed.len() as u32;
        let parts = parts(offering.price.times(i64::from(count)), &pools);
        let mut shared = Vec::new();
        for ((item, addr, workload), part) in pools.iter().zip(parts) {
            let Some(placed) = workloads.get_mut(workload) else { continue };
            let Ok(addr) = ResourceAddr::parse(addr.clone()) else { continue };
            let line = CostLine {
                addr: format!("{addr}/shared"),
                what: format!(
                    "{} of {} accelerators of {count} x {} {}",
                    item.slots(),
                    u64::from(slots) * u64::from(count),
                    kind.name,
                    offering.purchase
                ),
                per_hour: Some(part),
                evidence: if offering.is_own() { Evidence::Stated } else { Evidence::Listed },
                provenance: Some(offering.provenance.clone()),
            };
            charge(placed, line, part);
            shared.push(SharedPool {
                workload: workload.clone(),
                addr,
                replicas: item.replicas,
                per_hour: part,
            });
        }
        let at = (region.cloud, region.id.as_str());
        let mut quotas = build::quotas(first, offering, at, count);
        quotas.sort_by(|a, b| (a.cloud, &a.region, &a.code).cmp(&(b.cloud, &b.region, &b.code)));
        found.push(SharedFleet {
            addr,
            cloud: region.cloud,
            region: region.id.clone(),
            instance_type: kind.name.clone(),
            accelerator: kind.accelerator.and_then(|a| catalog.accelerators.get(a)).map(|a| a.id.clone()),
            accelerators_per_machine: slots,
            purchase: offering.purchase,
            count,
            zones: region.zones.map_or(1, |z| z.min(count).max(1)),
            price: offering.price,
            list_price: offering.list_price,
            provenance: offering.provenance.clone(),
            pools: shared,
            mixes: mixes(&packed),
            quotas,
            caveats: job::unsure(kind, region, offering.offered).into_iter().collect(),
            fallbacks: Vec::new(),
        });
    }
    found.sort_by(|a, b| a.addr.cmp(&b.addr));
    found
}

fn item(pool: &Pool, on: &OnShared) -> Item {
    Item {
        size: on.accelerators,
        replicas: pool.replicas,
        most: on.most_per_machine,
        in_zone: on.most_per_zone,
    }
}

/// Each pool's part of a price by its accelerators, rounded down; the first by address pays what is left.
fn parts(all: Money, pools: &[(Item, String, String)]) -> Vec<Money> {
    let taken: u64 = pools.iter().map(|(item, ..)| item.slots()).sum();
    let of = |item: &Item| i128::from(all.micros()) * i128::from(item.slots()) / i128::from(taken.max(1));
    let mut parts: Vec<Money> = pools.iter().map(|(item, ..)| Money::from_micros(of(item) as i64)).collect();
    let left = all - parts.iter().copied().sum();
    let first = pools.iter().enumerate().min_by(|a, b| a.1.1.cmp(&b.1.1)).map_or(0, |(i, _)| i);
    parts[first] += left;
    parts
}

/// Puts a workload's parts of fleets that stay as they are on a bill without them.
pub(super) fn charge_as_planned(placed: &mut WorkloadPlacement, fleets: &[SharedFleet]) {
    let own = fleets.iter().flat_map(|fleet| &fleet.pools).filter(|p| p.workload == placed.address);
    let part = own.map(|p| p.per_hour).sum();
    add(placed, part);
}

fn charge(placed: &mut WorkloadPlacement, line: CostLine, part: Money) {
    placed.cost.lines.insert(0, line);
    add(placed, part);
}

fn add(placed: &mut WorkloadPlacement, part: Money) {
    let cost = &mut placed.cost;
    cost.expected_per_hour += part;
    cost.expected_per_month = cost.expected_per_hour.per_month();
    cost.peak_per_month += part.per_month();
    cost.ceiling_per_month += part.per_month();
    placed.certificate.optimum += part;
}

fn mixes(packed: &Packed) -> Vec<Mix> {
    let mut mixes: Vec<Mix> = Vec::new();
    for (machine, replicas) in packed.iter().enumerate() {
        match mixes.iter_mut().find(|m| m.replicas == *replicas) {
            Some(mix) => mix.machines.push(machine as u32),
            None => mixes.push(Mix { machines: vec![machine as u32], replicas: replicas.clone() }),
        }
    }
    mixes
}
