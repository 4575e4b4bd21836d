//! What a machine counts for more where none of its kind runs.

use rhumb::placement::{MachinesAt, Placement, Running};
use rhumb_api::{Cloud, Purchase};

use super::*;

/// Stands for the region of what a move counts for.
pub const MOVED: usize = usize::MAX - 2;

fn key() -> (usize, String) {
    (MOVED, "moved".to_owned())
}

fn runs(running: &Running, address: &str, at: (Cloud, &str, &str), shared: bool) -> Option<bool> {
    let all = running.0.get(address)?;
    let here = |p: &MachinesAt| (p.cloud, p.region.as_str(), p.instance_type.as_str()) == at;
    Some(all.iter().any(|p| p.shared == shared && here(p)))
}

/// Micro-dollars of a machine's hour, by the text of `src/decisions/0021-stability.md`.
fn each((spec, world): (&Spec, &World), address: &str, (kind, region): (usize, usize)) -> i64 {
    let (of, at) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    if runs(&world.running, address, (at.cloud, &at.id, &of.name), false) != Some(false) {
        return 0;
    }
    machine(spec, world, (kind, region))
}

/// Micro-dollars of an hour of any machine that is moved to.
fn machine(spec: &Spec, world: &World, (kind, region): (usize, usize)) -> i64 {
    let Some(stability) = &spec.stability else { return 0 };
    let offers = world.catalog.offerings.iter().filter(|o| (o.instance_type, o.region) == (kind, region));
    let (of, at) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    let holds = |h: &Held| {
        let there = (h.cloud, &h.region, &h.instance_type) == (at.cloud, &at.id, &of.name) && h.count > 0;
        there && h.until > world.today
    };
    if offers.clone().any(|o| o.purchase == Purchase::Held) && spec.held.values().any(holds) {
        return 0;
    }
    let price = offers
        .filter(|o| o.purchase != Purchase::Held)
        .min_by_key(|o| (o.purchase != Purchase::OnDemand, o.price))
        .unwrap()
        .price
        .micros();
    let kept = 1_000_000 - i64::from(stability.saving_ppm);
    // The least whole number above price * s / (1 - s).
    (price * i64::from(stability.saving_ppm)).div_euclid(kept) + 1
}

/// A choice with what it counts for more in a month.
pub fn with(
    of: (&Spec, &World),
    address: &str,
    at: (usize, usize),
    month: impl Fn(i64) -> i64,
    mut choice: Choice,
) -> Choice {
    let each = each(of, address, at);
    if each > 0 {
        choice.quotas.insert(key(), month(each) as f64);
    }
    choice
}

/// What the pools on a shared fleet count for more in a month, micro-dollars, by the text of `src/decisions/0012-machines-that-services-share.md`.
pub fn of_fleet(spec: &Spec, world: &World, at: (usize, usize), pools: &[&sharing::On]) -> i64 {
    let (kind, region) = (&world.catalog.instance_types[at.0], &world.catalog.regions[at.1]);
    let place = (region.cloud, region.id.as_str(), kind.name.as_str());
    let there = |address: &str| runs(&world.running, address, place, true);
    let movers: Vec<&sharing::On> =
        pools.iter().copied().filter(|p| there(p.addr.trim_end_matches('/')) == Some(false)).collect();
    if movers.is_empty() || spec.stability.is_none() {
        return 0;
    }
    let each = machine(spec, world, at);
    if world.running.0.keys().any(|address| there(address) == Some(true)) {
        let slots = kind.accelerator_count as i64;
        let taken: i64 = movers.iter().map(|p| i64::from(p.g * p.n)).sum();
        return (each + slots - 1) / slots * taken * 730;
    }
    each * i64::from(sharing::machines(world, &movers)) * 730
}

/// What all shared fleets of a placement count for more in a month, micro-dollars.
pub fn of_fleets(spec: &Spec, world: &World, placement: &Placement) -> i64 {
    let of = |f: &rhumb::placement::SharedFleet| {
        let kind = world.catalog.instance_type(f.cloud, &f.instance_type).unwrap();
        let region = world.catalog.region(f.cloud, &f.region).unwrap();
        let pools = sharing::on(world, placement, f);
        of_fleet(spec, world, (kind, region), &pools.iter().collect::<Vec<_>>())
    };
    placement.fleets.iter().map(of).sum()
}

/// Micro-dollars of a month.
pub fn surcharge(choice: &Choice) -> i64 {
    choice.quotas.get(&key()).map_or(0, |micros| *micros as i64)
}

/// What a placement counts for more in a month, micro-dollars.
pub fn of(spec: &Spec, world: &World, placement: &Placement) -> i64 {
    let mut sum = 0;
    for (address, placed) in placement.workloads.iter().filter(|(_, placed)| placed.run.is_none()) {
        for pool in placed.pools.iter().filter(|p| p.shared.is_none()) {
            let kind = world.catalog.instance_type(pool.cloud, &pool.instance_type).unwrap();
            let region = world.catalog.region(pool.cloud, &pool.region).unwrap();
            let seconds: i64 = match &pool.following {
                None => pool.machines.iter().map(|m| 604_800 * i64::from(m.count)).sum(),
                Some(following) => {
                    let of = |c: &rhumb::placement::HourClass| -> i64 {
                        c.machines.iter().map(|n| i64::from(c.seconds) * i64::from(*n)).sum()
                    };
                    let long: u32 = following.classes.iter().map(|c| c.seconds).sum();
                    following.classes.iter().map(of).sum::<i64>() * i64::from(604_800 / long)
                }
            };
            sum += perf::carbon::of_weeks(each((spec, world), address, (kind, region)), seconds);
        }
    }
    sum
}
