//! What a plan may not do, as was recorded with what exists.

use rhumb_api::{Attr, ResourceAddr, ResourceKind};

use super::{Action, Change};

/// The attribute that keeps something from being removed; see `crate::graph::attributes`.
const KEPT: &str = "prevent_destroy";

/// What some changes would remove or replace although it is to be kept; `wanted` are all changes of the plan, these among them.
///
/// A load balancer is kept itself; of machines at sites, which change with what runs on them, the last. A workload that is still
/// wanted and says no more that it is to be kept is not.
pub fn prevented<'a>(changes: &'a [Change], wanted: &'a [Change]) -> Vec<&'a ResourceAddr> {
    let kept = |resource: &rhumb_api::Resource| resource.attributes.get(KEPT) == Some(&Attr::Bool(true));
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
    changes.iter().filter(lost).map(|change| &change.addr).collect()
}
