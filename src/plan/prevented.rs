//! What a plan may not do, as was recorded with what exists.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Resource, ResourceAddr, ResourceKind};

use super::{Action, Change};

/// The attribute that keeps something from being removed; see `crate::graph::attributes`.
const KEPT: &str = "prevent_destroy";

/// What some changes would remove or replace although it is to be kept; `wanted` are all changes of the plan, these among them.
///
/// A load balancer is kept itself, and with it that something answers behind it: not all fleets of its place go. Of machines at sites, which
/// change with what runs on them, the last is kept. A workload that is still wanted and says no more that it is to be kept is not.
pub fn prevented<'a>(changes: &'a [Change], wanted: &'a [Change]) -> Vec<&'a ResourceAddr> {
    let kept = |resource: &Resource| resource.attributes.get(KEPT) == Some(&Attr::Bool(true));
    let reached = |kind: ResourceKind| matches!(kind, ResourceKind::LoadBalancer | ResourceKind::EdgeUnit);
    let stays = |workload: &str| {
        let of_it = wanted.iter().filter(move |c| c.addr.workload() == workload);
        of_it.filter_map(|c| c.after.as_ref()).filter(|after| reached(after.kind)).collect::<Vec<_>>()
    };
    let lost = |change: &&Change| {
        let Some(before) = change.before.as_ref().filter(|before| kept(before)) else { return false };
        if !matches!(change.action, Action::Remove | Action::Replace) {
            return false;
        }
        let stays = stays(change.addr.workload());
        match stays.iter().any(|after| kept(after)) {
            true => before.kind == ResourceKind::LoadBalancer,
            false => stays.is_empty(),
        }
    };
    // A kept load balancer with nothing behind it is an address that answers nobody.
    let place = |resource: &Resource| (resource.cloud, resource.region.clone());
    let serves = |resource: &Resource| {
        resource.kind == ResourceKind::Fleet && resource.attributes.contains_key("load_balancer")
    };
    let stay: BTreeSet<_> = wanted
        .iter()
        .filter_map(|c| Some((c.addr.workload(), c.after.as_ref()?)))
        .filter(|(_, after)| after.kind == ResourceKind::LoadBalancer && kept(after))
        .map(|(workload, after)| (workload, place(after)))
        .collect();
    let served: BTreeSet<_> = wanted
        .iter()
        .filter_map(|c| Some((c.addr.workload(), c.after.as_ref()?)))
        .filter(|(_, after)| serves(after))
        .map(|(workload, after)| (workload, place(after)))
        .collect();
    let left_alone = |change: &&Change| {
        let Some(before) = change.before.as_ref().filter(|before| serves(before)) else { return false };
        let here = (change.addr.workload(), place(before));
        change.action == Action::Remove && stay.contains(&here) && !served.contains(&here)
    };
    changes.iter().filter(|change| lost(change) || left_alone(change)).map(|change| &change.addr).collect()
}
