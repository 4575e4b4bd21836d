//! What machines that are bought on demand would cost for a term, and which of them run long enough for it.

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money, Purchase};

use crate::placement::{Commitment, Pool, SharedFleet, WorkloadPlacement, World};

/// Machines of one type in one region that are bought on demand.
struct Bought<'a> {
    addr: String,
    place: (Cloud, &'a str),
    instance_type: &'a str,
    price: Money,
    /// The share of hours in which each runs.
    runs: Vec<f64>,
}

/// Every commitment that would pay, ordered by address and term.
pub(super) fn all<'a>(
    world: &World,
    workloads: impl Iterator<Item = &'a WorkloadPlacement>,
    fleets: &[SharedFleet],
) -> Vec<Commitment> {
    let mut bought = Vec::new();
    for placed in workloads {
        let month = HOURS_PER_MONTH as f64;
        let share = placed.run.as_ref().map_or(1.0, |run| (run.hours * run.runs_per_month / month).min(1.0));
        bought.extend(placed.pools.iter().filter_map(|pool| of_pool(pool, share)));
    }
    bought.extend(fleets.iter().filter(|f| f.purchase == Purchase::OnDemand).map(|fleet| Bought {
        addr: fleet.addr.to_string(),
        place: (fleet.cloud, &fleet.region),
        instance_type: &fleet.instance_type,
        price: fleet.price,
        runs: vec![1.0; fleet.count as usize],
    }));
    let mut found: Vec<Commitment> = bought.iter().flat_map(|bought| of(world, bought)).collect();
    found.sort_by(|a, b| (&a.addr, a.purchase).cmp(&(&b.addr, b.purchase)));
    found
}

fn of_pool(pool: &Pool, share: f64) -> Option<Bought<'_>> {
    let (k, machines) = pool.machines.iter().enumerate().find(|(_, m)| m.purchase == Purchase::OnDemand)?;
    let classes = pool.following.iter().flat_map(|f| &f.classes);
    let most = classes.clone().filter_map(|c| c.machines.get(k).copied()).max().unwrap_or(machines.count);
    // The first machine runs in every hour that has any, the last one only in those that need all.
    let runs = (0..most).map(|i| match &pool.following {
        None => share,
        Some(following) => {
            let with = classes.clone().filter(|c| c.machines.get(k).is_some_and(|n| *n > i));
            with.map(|c| f64::from(c.seconds)).sum::<f64>() / f64::from(following.cycle_s())
        }
    });
    Some(Bought {
        addr: format!("{}/{}", pool.addr, machines.purchase),
        place: (pool.cloud, &pool.region),
        instance_type: &pool.instance_type,
        price: machines.price,
        runs: runs.collect(),
    })
}

fn of(world: &World, bought: &Bought<'_>) -> Vec<Commitment> {
    let catalog = &world.catalog;
    let kind = catalog.instance_type(bought.place.0, bought.instance_type);
    let region = catalog.region(bought.place.0, bought.place.1);
    let (Some(kind), Some(region)) = (kind, region) else { return Vec::new() };
    let term = |purchase| {
        let offer = catalog.offering(kind, region, purchase)?;
        let saved = |share: &f64| bought.price.scale(*share) - offer.price;
        let paying: Vec<Money> = bought.runs.iter().map(saved).filter(|m| *m > Money::ZERO).collect();
        let machines = u32::try_from(paying.len()).ok().filter(|n| *n > 0)?;
        Some(Commitment {
            addr: bought.addr.clone(),
            purchase,
            machines,
            price: offer.price,
            instead_of: bought.price,
            saves_per_month: paying.into_iter().sum::<Money>().times(HOURS_PER_MONTH),
            provenance: offer.provenance.clone(),
        })
    };
    [Purchase::Reserved1y, Purchase::Reserved3y].into_iter().filter_map(term).collect()
}
