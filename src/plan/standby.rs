//! What an apply may do in the place of what a cloud refuses, decided with the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Money, Resource, ResourceAddr, ResourceKind};

use super::between::{Desired, change, follow};
use super::{Action, Change, prevented};
use crate::graph::{Graph, Unplaced};
use crate::placement::{Fallback, Placement, WorkloadPlacement};
use crate::render::{self, Artifact, RenderError};
use crate::spec::Spec;
use crate::state::{State, StateResource};

/// What is planned of a workload, with what it needs.
type Planned<'d> = BTreeMap<&'d ResourceAddr, &'d (Resource, Vec<ResourceAddr>)>;

/// A fallback of a pool, as resources.
#[derive(Clone, Debug, PartialEq)]
pub struct Standby {
    /// The pool whose place it takes.
    pub pool: ResourceAddr,
    /// The pool that it makes.
    pub by: ResourceAddr,
    /// Whether it needs spot machines.
    pub spot: bool,
    /// Dollars a month that it costs more.
    pub more_per_month: Money,
    /// Its changes, in the place of those of the plan: whatever is not among them is as in the plan; ordered by address.
    pub changes: Vec<Change>,
    /// What the plan makes and it does not need, ordered by address.
    pub without: Vec<ResourceAddr>,
    /// The files that its machines get and those of the plan do not.
    pub artifacts: Vec<Artifact>,
}

/// The standbys of a placement, pools in the order of their addresses, those of a pool in the order in which they are taken.
///
/// Each is what its fallback leads to, with everything else as planned. A workload that has a pool on shared machines has none: what
/// is behind its load balancer is not its own.
///
/// # Errors
/// A file cannot be made.
pub fn standbys(
    graph: &Graph<Unplaced>,
    (spec, placement): (&Spec, &Placement),
    desired: &Desired,
    artifacts: &[Artifact],
    prior: Option<&State>,
) -> Result<Vec<Standby>, RenderError> {
    let mut alone = placement.clone();
    alone.workloads.clear();
    alone.fleets.clear();
    let files: BTreeMap<(&ResourceAddr, &str), &Artifact> =
        artifacts.iter().map(|a| ((&a.addr, a.name.as_str()), a)).collect();
    let mut of_workload: BTreeMap<&str, Planned<'_>> = BTreeMap::new();
    let mut behind: BTreeMap<&str, BTreeSet<&ResourceAddr>> = BTreeMap::new();
    for (addr, wanted) in desired {
        of_workload.entry(addr.workload()).or_default().insert(addr, wanted);
        for need in wanted.1.iter().filter(|need| need.workload() != addr.workload()) {
            behind.entry(need.workload()).or_default().insert(addr);
        }
    }
    let (nothing, nobody) = (Planned::new(), BTreeSet::new());
    let mut found = Vec::new();
    for (address, chosen) in &placement.workloads {
        if chosen.pools.iter().any(|pool| pool.shared.is_some()) {
            continue;
        }
        let planned = of_workload.get(address.as_str()).unwrap_or(&nothing);
        let behind = behind.get(address.as_str()).unwrap_or(&nobody);
        for fallbacks in &chosen.fallbacks {
            for fallback in &fallbacks.list {
                let Some(other) = with(chosen, &fallbacks.pool, fallback) else { continue };
                alone.workloads = BTreeMap::from([(address.clone(), other)]);
                let bound = graph.bind(spec, &alone);
                let made = render::artifacts(&bound)?;
                let mut wanted = super::desired(&render::with_hashes(bound, &made));
                follow_others(&fallbacks.pool, planned, &mut wanted);
                let moved = lead_others(address, behind, desired, &wanted);
                let standby = Standby {
                    pool: fallbacks.pool.clone(),
                    by: fallback.pool.addr.clone(),
                    spot: fallback.spot(),
                    more_per_month: fallback.more_per_month,
                    changes: changes(planned, &wanted, &moved, prior),
                    without: planned
                        .keys()
                        .filter(|a| !wanted.contains_key(**a))
                        .map(|a| (*a).clone())
                        .collect(),
                    artifacts: made
                        .into_iter()
                        .filter(|a| files.get(&(&a.addr, a.name.as_str())) != Some(&a))
                        .collect(),
                };
                found.push(standby);
            }
        }
    }
    Ok(found)
}

/// The same standbys, followed through as a plan is: what stands on what the plan or they replace or make again is replaced, or pointed to
/// the new one. One by which something would go that is to be kept is left out. `changes` are those of the plan, ordered by address.
pub(super) fn following(standbys: Vec<Standby>, changes: &[Change], prior: Option<&State>) -> Vec<Standby> {
    let mut of_workload: BTreeMap<&str, BTreeMap<&ResourceAddr, &Change>> = BTreeMap::new();
    for change in changes {
        of_workload.entry(change.addr.workload()).or_default().insert(&change.addr, change);
    }
    let recorded: BTreeSet<&str> =
        prior.iter().flat_map(|state| state.resources.keys()).map(ResourceAddr::workload).collect();
    let planned = |addr: &ResourceAddr| of_workload.get(addr.workload())?.get(addr).copied();
    let followed = |mut standby: Standby| {
        let workload = standby.pool.workload();
        // What does not exist stands on nothing.
        if standby.changes.iter().all(|change| !recorded.contains(change.addr.workload())) {
            return standby;
        }
        let own = std::mem::take(&mut standby.changes);
        let rest = of_workload.get(workload).into_iter().flatten();
        let rest = rest.filter(|(addr, _)| !standby.without.contains(addr));
        let mut changes: BTreeMap<&ResourceAddr, Change> =
            rest.map(|(addr, change)| (*addr, (*change).clone())).collect();
        changes.extend(own.iter().map(|change| (&change.addr, beside(change, planned(&change.addr)))));
        let needed = changes.values().flat_map(|change| &change.depends_on);
        let foreign = needed.filter(|need| !changes.contains_key(*need)).filter_map(planned);
        let foreign: BTreeMap<&ResourceAddr, Change> =
            foreign.map(|change| (&change.addr, change.clone())).collect();
        let others: BTreeSet<&ResourceAddr> = foreign.keys().copied().collect();
        changes.extend(foreign);
        follow(&mut changes, prior);
        changes.retain(|addr, change| {
            let otherwise = planned(addr).is_none_or(|planned| planned.action != change.action);
            let is_own = own.binary_search_by(|own| own.addr.cmp(addr)).is_ok();
            is_own || (otherwise && !others.contains(addr))
        });
        standby.changes = changes.into_values().collect();
        standby
    };
    let standbys = standbys.into_iter().map(followed);
    standbys.filter(|standby| prevented(&standby.changes, changes).is_empty()).collect()
}

/// A change of a standby beside that of the plan: where it only needs something else, the plan says what happens to it.
fn beside(change: &Change, planned: Option<&Change>) -> Change {
    match planned {
        Some(planned) if change.after.is_some() && planned.after == change.after => {
            Change { depends_on: change.depends_on.clone(), ..planned.clone() }
        }
        _ => change.clone(),
    }
}

/// A change of a standby as it is once something of it may exist.
pub fn against(planned: &Change, recorded: Option<&Arc<StateResource>>) -> Change {
    match recorded {
        Some(_) => change(&planned.addr, recorded, planned.after.as_ref(), &planned.depends_on),
        None => planned.clone(),
    }
}

/// A workload with a fallback in the place of a pool.
fn with(chosen: &WorkloadPlacement, pool: &ResourceAddr, fallback: &Fallback) -> Option<WorkloadPlacement> {
    let mut other = chosen.clone();
    let place = other.pools.iter().position(|p| p.addr == *pool)?;
    if chosen.pools.iter().any(|p| p.addr == fallback.pool.addr && p.addr != *pool) {
        return None;
    }
    // It keeps the place of the pool, so that routes, which name places, lead to it.
    *other.pools.get_mut(place)? = fallback.pool.clone();
    for stands_in in other.pools.iter_mut().filter_map(|p| p.stands_in.as_mut()) {
        if stands_in.pool == *pool {
            stands_in.pool = fallback.pool.addr.clone();
        }
    }
    if fallback.run.is_some() {
        other.run.clone_from(&fallback.run);
    }
    Some(other)
}

/// A run that takes the place of another one comes after the same runs of other workloads, which are not bound here.
fn follow_others(pool: &ResourceAddr, planned: &Planned<'_>, wanted: &mut Desired) {
    let foreign = |needs: &[ResourceAddr]| -> BTreeSet<ResourceAddr> {
        needs.iter().filter(|need| need.workload() != pool.workload()).cloned().collect()
    };
    let of_pool = planned.iter().filter(|(addr, _)| addr.parent().as_ref() == Some(pool));
    let of_pool: BTreeSet<ResourceAddr> = of_pool.flat_map(|(_, (_, needs))| foreign(needs)).collect();
    for (addr, (resource, needs)) in wanted.iter_mut() {
        let more = match planned.get(addr) {
            Some((_, needs)) => foreign(needs),
            None if resource.kind == ResourceKind::JobRun => of_pool.clone(),
            None => continue,
        };
        needs.extend(more);
        needs.sort();
        needs.dedup();
    }
}

/// What comes after a run of other workloads comes after the one that takes its place.
fn lead_others(
    address: &str,
    behind: &BTreeSet<&ResourceAddr>,
    desired: &Desired,
    wanted: &Desired,
) -> Desired {
    let gone = |need: &ResourceAddr| need.workload() == address && !wanted.contains_key(need);
    let runs = wanted.iter().filter(|(addr, (resource, _))| {
        resource.kind == ResourceKind::JobRun && !desired.contains_key(*addr)
    });
    let runs: Vec<&ResourceAddr> = runs.map(|(addr, _)| addr).collect();
    let behind = behind.iter().filter_map(|addr| desired.get_key_value(*addr));
    let behind = behind.filter(|(_, (_, needs))| needs.iter().any(gone));
    let moved = behind.map(|(addr, (resource, needs))| {
        let mut needs: Vec<ResourceAddr> = needs.iter().filter(|need| !gone(need)).cloned().collect();
        needs.extend(runs.iter().map(|run| (*run).clone()));
        needs.sort();
        (addr.clone(), (resource.clone(), needs))
    });
    moved.collect()
}

/// What is wanted otherwise than in the plan, against what exists; `moved` is of other workloads.
fn changes(planned: &Planned<'_>, wanted: &Desired, moved: &Desired, prior: Option<&State>) -> Vec<Change> {
    let existing = |addr: &ResourceAddr| prior.and_then(|state| state.resources.get(addr));
    let differs = wanted.iter().filter(|(addr, is)| planned.get(addr).is_none_or(|was| was != is));
    let made = differs.chain(moved).map(|(addr, (after, needs))| {
        let mut made = change(addr, existing(addr), Some(after), needs);
        let as_told = |thing: &Arc<StateResource>| thing.doubtful.is_none() && thing.known_as.is_empty();
        let told = existing(addr).filter(|thing| !thing.complete && !as_told(thing));
        if let Some(told) = told.filter(|_| made.action == Action::Keep) {
            made.action = Action::Update;
            made.reasons.push(match &told.doubtful {
                Some(why) => format!("its last change failed: {why}"),
                None => "its cloud knows it by another address".to_owned(),
            });
        }
        made
    });
    // What exists and neither it nor the other has is removed by both.
    let gone = planned.keys().filter(|addr| !wanted.contains_key(**addr)).filter_map(|addr| {
        let there = existing(addr)?;
        Some(change(addr, Some(there), None, &there.depends_on))
    });
    let mut all: Vec<Change> = made.chain(gone).collect();
    all.sort_by(|a, b| a.addr.cmp(&b.addr));
    all
}
