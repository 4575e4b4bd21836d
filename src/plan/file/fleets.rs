//! That machines which services share fit together with the pools on them.

use std::collections::BTreeSet;

use rhumb_api::{Purchase, ResourceAddr};

use super::sound::{MOST, pool_sizes};
use crate::graph::attributes::{ENGINE_PORT, SHARED};
use crate::placement::{FleetFallback, OnShared, Placement, Pool, SharedFleet, SharedPool};

/// # Errors
/// The first part that does not fit, in words.
pub fn check(placement: &Placement) -> Result<(), String> {
    if !placement.fleets.windows(2).all(|w| w[0].addr < w[1].addr) {
        return Err("the shared machines are not in the order of their addresses, each once".into());
    }
    for fleet in &placement.fleets {
        one(placement, fleet).map_err(|what| format!("{}: {what}", fleet.addr))?;
        for fallback in &fleet.fallbacks {
            stands_in(placement, fleet, fallback)
                .map_err(|what| format!("a fallback of {}, {}: {what}", fleet.addr, fallback.fleet.addr))?;
        }
    }
    for pool in placement.workloads.values().flat_map(|w| &w.pools) {
        let Some(on) = &pool.shared else { continue };
        let fleet = placement.fleets.iter().find(|f| f.addr == on.fleet);
        match fleet.map(|f| f.position(&pool.addr)) {
            None => {
                return Err(format!("{}: on shared machines that are not there, {}", pool.addr, on.fleet));
            }
            Some(None) => return Err(format!("{}: {} does not have it", pool.addr, on.fleet)),
            Some(Some(_)) => {}
        }
    }
    Ok(())
}

/// With the pools of a fleet in the places that a fallback names for them, its machines are as sound as any.
fn stands_in(placement: &Placement, fleet: &SharedFleet, fallback: &FleetFallback) -> Result<(), String> {
    if !fallback.fleet.fallbacks.is_empty() {
        return Err("it has fallbacks of its own".into());
    }
    let own = fleet.pools.iter().map(|p| (&p.workload, &p.addr));
    if !own.eq(fallback.moved.iter().map(|m| (&m.workload, &m.from))) {
        return Err("what moves is not what is on the machines".into());
    }
    let mut there = placement.clone();
    for m in &fallback.moved {
        pool_sizes(&m.pool).map_err(|what| format!("{}: {what}", m.pool.addr))?;
        let pools = there.workloads.get_mut(&m.workload).map(|w| &mut w.pools);
        let pool = pools.and_then(|pools| pools.iter_mut().find(|p| p.addr == m.from));
        *pool.ok_or_else(|| format!("{} is not there", m.from))? = m.pool.clone();
    }
    one(&there, &fallback.fleet)
}

fn one(placement: &Placement, fleet: &SharedFleet) -> Result<(), String> {
    let parts = [fleet.cloud.as_str(), &fleet.region, &fleet.instance_type, fleet.purchase.as_str()];
    let named =
        ResourceAddr::parse(SHARED).map(|root| parts.iter().fold(root, |addr, part| addr.child(part)));
    if named.ok().as_ref() != Some(&fleet.addr) {
        return Err("its address is not that of its place, type and purchase option".into());
    }
    if fleet.purchase == Purchase::Spot {
        return Err("shared machines are never spot".into());
    }
    if fleet.count == 0 || fleet.count > MOST {
        return Err(format!("{} machines: there must be 1 to {MOST}", fleet.count));
    }
    if fleet.zones == 0 || fleet.zones > fleet.count {
        return Err(format!("{} machines are not spread over {} zones", fleet.count, fleet.zones));
    }
    if fleet.accelerators_per_machine < 2 || fleet.accelerators_per_machine > MOST {
        return Err(format!(
            "machines with {} accelerators cannot be shared",
            fleet.accelerators_per_machine
        ));
    }
    let mut seen = BTreeSet::new();
    let mut pools = Vec::new();
    for shared in &fleet.pools {
        if !seen.insert(&shared.addr) {
            return Err(format!("{} is there twice", shared.addr));
        }
        pools.push(pool(placement, fleet, shared).map_err(|what| format!("{}: {what}", shared.addr))?);
    }
    let ports: u64 = pools.iter().map(|(_, on)| u64::from(on.most_per_machine)).sum();
    if ports > (65_536 - ENGINE_PORT) as u64 {
        return Err(format!("{ports} engines of a machine have no port each"));
    }
    mixes(fleet, &pools)?;
    let paid = fleet.pools.iter().map(|p| i128::from(p.per_hour.micros())).sum::<i128>();
    let price = i128::from(fleet.price.micros()) * i128::from(fleet.count);
    if paid != price {
        return Err("what the pools pay is not what the machines cost".into());
    }
    Ok(())
}

/// The pool behind an entry of a fleet.
fn pool<'a>(
    placement: &'a Placement,
    fleet: &SharedFleet,
    shared: &SharedPool,
) -> Result<(&'a Pool, &'a OnShared), String> {
    let workload = placement.workloads.get(&shared.workload).ok_or("its workload is not there")?;
    let pool =
        workload.pools.iter().find(|p| p.addr == shared.addr).ok_or("its workload does not have it")?;
    let on = pool.shared.as_ref().ok_or("it is not on shared machines")?;
    if on.fleet != fleet.addr {
        return Err(format!("it is on other machines, {}", on.fleet));
    }
    let same = (pool.cloud, &pool.region, &pool.instance_type, &pool.accelerator)
        == (fleet.cloud, &fleet.region, &fleet.instance_type, &fleet.accelerator)
        && pool.accelerators_per_machine == f64::from(fleet.accelerators_per_machine);
    if !same {
        return Err("it is of another place or on another type".into());
    }
    if !pool.machines.is_empty() || pool.following.is_some() {
        return Err("it has machines of its own".into());
    }
    if shared.replicas != pool.replicas || pool.replicas == 0 {
        return Err(format!("{} replicas are on the machines, it has {}", shared.replicas, pool.replicas));
    }
    if on.accelerators != pool.layout.accelerators() || on.accelerators >= fleet.accelerators_per_machine {
        return Err(format!("{} accelerators for a replica do not fit", on.accelerators));
    }
    let room = fleet.accelerators_per_machine / on.accelerators.max(1);
    if pool.machines_per_replica != 1
        || pool.replicas_per_machine == 0
        || pool.replicas_per_machine > on.most_per_machine
        || on.most_per_machine > room
    {
        return Err(format!("at most {} replicas to a machine do not fit", on.most_per_machine));
    }
    Ok((pool, on))
}

fn mixes(fleet: &SharedFleet, pools: &[(&Pool, &OnShared)]) -> Result<(), String> {
    let mut machines = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let mut replicas = vec![0_u64; pools.len()];
    for mix in &fleet.mixes {
        if mix.replicas.len() != pools.len() {
            return Err("a mix does not say of every pool how many replicas it has".into());
        }
        if !kinds.insert(&mix.replicas) {
            return Err("two mixes are the same".into());
        }
        if !mix.machines.windows(2).all(|w| w[0] < w[1]) || mix.machines.is_empty() {
            return Err("the machines of a mix are not in their order, each once".into());
        }
        if mix.machines.iter().any(|m| *m >= fleet.count || !machines.insert(*m)) {
            return Err("a machine is in two mixes, or beyond their number".into());
        }
        let mut taken = 0_u64;
        for (k, ((pool, on), n)) in pools.iter().zip(&mix.replicas).enumerate() {
            if *n > pool.replicas_per_machine {
                let most = pool.replicas_per_machine;
                return Err(format!(
                    "{n} replicas of {} are on one machine, at most {most} may be",
                    pool.addr
                ));
            }
            taken += u64::from(*n) * u64::from(on.accelerators);
            replicas[k] += u64::from(*n) * mix.machines.len() as u64;
        }
        if taken > u64::from(fleet.accelerators_per_machine) {
            let whole = fleet.accelerators_per_machine;
            return Err(format!("{taken} accelerators of a machine are taken, it has {whole}"));
        }
    }
    if machines.len() != fleet.count as usize {
        return Err(format!("{} machines are in a mix, there are {}", machines.len(), fleet.count));
    }
    if !fleet.mixes.windows(2).all(|w| w[0].machines.first() < w[1].machines.first()) {
        return Err("the mixes are not in the order of their first machines".into());
    }
    for ((pool, _), n) in pools.iter().zip(replicas) {
        if n != u64::from(pool.replicas) {
            return Err(format!("{n} replicas of {} are in the mixes, it has {}", pool.addr, pool.replicas));
        }
    }
    Ok(())
}
