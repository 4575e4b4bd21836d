//! That the parts of a plan file fit together, as far as those who show it rely on it.

use rhumb_api::ResourceAddr;

use super::fleets;
use crate::placement::Pool;
use crate::plan::{Action, Change, LeftWhy, Plan};

/// Largest number of machines, replicas or accelerators of a replica: far above any plan, and products of
/// two of them with a price stay in range.
pub(super) const MOST: u32 = 1_000_000;

/// # Errors
/// The first part that does not fit, in words.
pub fn check(plan: &Plan) -> Result<(), String> {
    if !plan.changes.windows(2).all(|w| w[0].addr < w[1].addr) {
        return Err("the changes are not in the order of their addresses, each once".into());
    }
    if !plan.left.windows(2).all(|w| w[0].change.addr < w[1].change.addr) {
        return Err("what is left out is not in the order of its addresses, each once".into());
    }
    if plan.left.iter().any(|l| l.why == LeftWhy::Asked)
        && plan.asked.targets.is_empty()
        && plan.asked.excludes.is_empty()
    {
        return Err("something is left out, and nobody asked for it".into());
    }
    let standing_by = plan.standbys.iter().flat_map(|standby| &standby.changes);
    for change in plan.changes.iter().chain(standing_by).chain(plan.left.iter().map(|l| &l.change)) {
        let fits = match change.action {
            Action::Create => change.before.is_none() && change.after.is_some(),
            Action::Remove => change.before.is_some() && change.after.is_none(),
            Action::Update | Action::Replace | Action::Keep => {
                change.before.is_some() && change.after.is_some()
            }
        };
        if !fits {
            return Err(format!("{}: before and after do not fit the action", change.addr));
        }
    }
    for step in &plan.steps {
        if change(plan, &step.addr).is_none_or(|c| c.action != step.action) {
            return Err(format!("{}: a step that no change asks for", step.addr));
        }
    }
    for standby in &plan.standbys {
        if !standby.changes.windows(2).all(|w| w[0].addr < w[1].addr) {
            return Err(format!("{}: the changes of what stands in for it are in no order", standby.pool));
        }
        let lists = plan.placement.workloads.values().flat_map(|w| &w.fallbacks);
        let mut of_pool = lists.filter(|f| f.pool == standby.pool).flat_map(|f| &f.list);
        let known = of_pool.any(|f| {
            f.pool.addr == standby.by
                && f.spot() == standby.spot
                && f.more_per_month == standby.more_per_month
        });
        if !known {
            return Err(format!(
                "{}: what stands in for {} is none of its fallbacks",
                standby.by, standby.pool
            ));
        }
    }
    fleets::check(&plan.placement)?;
    for (address, workload) in &plan.placement.workloads {
        if *address != workload.address {
            return Err(format!("{address}: its choice is of {}", workload.address));
        }
        for pool in &workload.pools {
            pool_sizes(pool).map_err(|what| format!("{}: {what}", pool.addr))?;
            let Some(stands_in) = &pool.stands_in else { continue };
            if !workload.pools.iter().any(|p| p.addr == stands_in.pool && p.stands_in.is_none()) {
                return Err(format!("{}: it stands in for a pool that is not there", pool.addr));
            }
            if !(1..=100).contains(&stands_in.percent) {
                return Err(format!("{}: it answers {} % in a failure", pool.addr, stands_in.percent));
            }
        }
        if !workload.fallbacks.iter().all(|f| workload.pools.iter().any(|p| p.addr == f.pool)) {
            return Err(format!("{address}: fallbacks of a pool that is not there"));
        }
        for fallback in workload.fallbacks.iter().flat_map(|f| &f.list) {
            if fallback.pool.shared.is_some() {
                return Err(format!("a fallback, {}: on shared machines", fallback.pool.addr));
            }
            pool_sizes(&fallback.pool)
                .map_err(|what| format!("a fallback, {}: {what}", fallback.pool.addr))?;
        }
        for route in &workload.routes {
            if route.to.iter().any(|(pool, _)| *pool >= workload.pools.len()) {
                return Err(format!("{address}: origin {} goes to a pool that is not there", route.origin));
            }
            if route.to.len() != route.network_ms.len() {
                return Err(format!("{address}: origin {} lacks a round trip for a pool", route.origin));
            }
        }
    }
    Ok(())
}

pub(super) fn pool_sizes(pool: &Pool) -> Result<(), String> {
    let l = pool.layout;
    let parts = [l.tp, l.pp, l.dp, l.ep];
    let product: u64 = parts.iter().fold(1, |product, n| product.saturating_mul(u64::from(*n)));
    if product == 0 || product > u64::from(MOST) {
        return Err("a layout that no machine has".into());
    }
    let machines: u64 = pool.machines.iter().map(|m| u64::from(m.count)).sum();
    let sizes = [pool.replicas, pool.replicas_per_machine, pool.machines_per_replica, pool.zones];
    if machines > u64::from(MOST) || sizes.iter().any(|n| *n > MOST) {
        return Err(format!("more than {MOST} machines or replicas"));
    }
    Ok(())
}

fn change<'a>(plan: &'a Plan, addr: &ResourceAddr) -> Option<&'a Change> {
    plan.changes.binary_search_by(|c| c.addr.cmp(addr)).ok().and_then(|i| plan.changes.get(i))
}
