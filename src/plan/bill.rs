//! The bill of a placement, completed by what the plan makes besides machines.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Cloud, Resource, ResourceKind};

use super::Desired;
use crate::catalog::Evidence;
use crate::graph::attributes::SHARED;
use crate::placement::{CostLine, Placement};

/// Adds a line that is not priced for every resource without one, and one for the disks of every fleet:
/// the catalogue holds no price of these, and what is unknown is never zero. What belongs to machines that services share is
/// a line of each of these services: its part.
pub fn complete(placement: &mut Placement, desired: &Desired) {
    for (addr, (resource, _)) in desired {
        let Some(placed) = placement.workloads.get_mut(addr.workload()) else { continue };
        // What the user says that a machine at a site costs in use is all that is made there.
        if resource.cloud == Cloud::Site {
            continue;
        }
        let lines = &mut placed.cost.lines;
        let known = lines.iter().any(|l| l.addr == addr.as_str());
        if !known {
            lines.push(unpriced(addr.to_string(), words(resource)));
        }
        if matches!(resource.kind, ResourceKind::Fleet | ResourceKind::JobRun) {
            let machines = match resource.attributes.get("count") {
                Some(Attr::Int(1)) => "system disks of 1 machine".to_owned(),
                Some(Attr::Int(n)) => format!("system disks of {n} machines"),
                _ => "system disks".to_owned(),
            };
            lines.push(unpriced(addr.child("disks").to_string(), machines));
        }
        placed.cost.incomplete = placed.cost.lines.iter().any(|l| l.per_hour.is_none());
    }
    let of_shared = desired.iter().filter(|(addr, _)| addr.workload() == SHARED);
    let there: BTreeSet<(Cloud, &str)> = of_shared.map(|(_, (r, _))| (r.cloud, r.region.as_str())).collect();
    for (address, placed) in &mut placement.workloads {
        let pools = placed.pools.iter().filter(|p| p.shared.is_some());
        let places: BTreeSet<(Cloud, &str)> = pools.map(|p| (p.cloud, p.region.as_str())).collect();
        for (cloud, region) in places.intersection(&there) {
            let addr = format!("{address}/{cloud}/{region}/shared_parts");
            if !placed.cost.lines.iter().any(|l| l.addr == addr) {
                let what =
                    "its part of the shared firewall, launch templates, network, system disks".to_owned();
                placed.cost.lines.push(unpriced(addr, what));
                placed.cost.incomplete = true;
            }
        }
    }
}

fn unpriced(addr: String, what: String) -> CostLine {
    CostLine { addr, what, per_hour: None, evidence: Evidence::Assumed, provenance: None }
}

fn words(resource: &Resource) -> String {
    resource.kind.as_str().replace('_', " ")
}
