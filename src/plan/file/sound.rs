//! That the parts of a plan file fit together, as far as those who show it rely on it.

use rhumb_api::ResourceAddr;

use crate::plan::{Action, Change, Plan};

/// # Errors
/// The first part that does not fit, in words.
pub fn check(plan: &Plan) -> Result<(), String> {
    if !plan.changes.windows(2).all(|w| w[0].addr < w[1].addr) {
        return Err("the changes are not in the order of their addresses, each once".into());
    }
    for change in &plan.changes {
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
    for (address, workload) in &plan.placement.workloads {
        if *address != workload.address {
            return Err(format!("{address}: its choice is of {}", workload.address));
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

fn change<'a>(plan: &'a Plan, addr: &ResourceAddr) -> Option<&'a Change> {
    plan.changes.binary_search_by(|c| c.addr.cmp(addr)).ok().and_then(|i| plan.changes.get(i))
}
