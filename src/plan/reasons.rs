//! Why something is made or removed, in words.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};

use super::between::Desired;
use crate::graph::attributes::SHARED;
use crate::state::State;

type Spot<'a> = (Cloud, &'a str);

/// Where each workload is and will be.
pub struct Reasons<'a> {
    anything: bool,
    was: BTreeMap<&'a str, BTreeSet<Spot<'a>>>,
    will: BTreeMap<&'a str, BTreeSet<Spot<'a>>>,
    /// Machine types of a workload in a place, wanted.
    types: BTreeMap<(&'a str, Spot<'a>), BTreeSet<&'a str>>,
}

impl<'a> Reasons<'a> {
    /// Looks both sides over once.
    pub fn new(prior: Option<&'a State>, desired: &'a Desired) -> Self {
        let mut reasons = Reasons {
            anything: prior.is_some_and(|s| !s.resources.is_empty()),
            was: BTreeMap::new(),
            will: BTreeMap::new(),
            types: BTreeMap::new(),
        };
        for (addr, recorded) in prior.iter().flat_map(|s| &s.resources) {
            reasons.was.entry(addr.workload()).or_default().insert(spot(&recorded.resource));
        }
        for (addr, (resource, _)) in desired {
            let (workload, place) = (addr.workload(), spot(resource));
            reasons.will.entry(workload).or_default().insert(place);
            if let Some(machine) = machine(addr, resource) {
                reasons.types.entry((workload, place)).or_default().insert(machine);
            }
        }
        reasons
    }

    /// Why something new is made.
    pub fn creation(&self, addr: &ResourceAddr, resource: &Resource) -> String {
        let workload = addr.workload();
        let (cloud, region) = spot(resource);
        match self.was.get(workload) {
            _ if !self.anything => "nothing exists yet".to_owned(),
            None if workload == SHARED => "no machines were shared before".to_owned(),
            None => format!("{workload} is new"),
            Some(was) if !was.contains(&(cloud, region)) => {
                format!("{workload} has nothing in {cloud}/{region} yet")
            }
            Some(_) => format!("nothing like it exists in {cloud}/{region}"),
        }
    }

    /// Why something is removed.
    pub fn removal(&self, addr: &ResourceAddr, resource: &Resource) -> String {
        let workload = addr.workload();
        let here = spot(resource);
        let (cloud, region) = here;
        let why = match self.will.get(workload) {
            None if workload == SHARED => "no services share machines any more".to_owned(),
            None => format!("{workload} is not in the spec"),
            Some(will) if !will.contains(&here) => {
                let was = self.was.get(workload);
                let fresh: Vec<String> = will
                    .iter()
                    .filter(|p| was.is_none_or(|was| !was.contains(p)))
                    .map(|(c, r)| format!("{c}/{r}"))
                    .collect();
                if fresh.is_empty() {
                    let stays: Vec<String> = will.iter().map(|(c, r)| format!("{c}/{r}")).collect();
                    format!("{workload} leaves {cloud}/{region} and stays in {}", stays.join(", "))
                } else {
                    format!("{workload} moved to {}", fresh.join(", "))
                }
            }
            Some(_) => match (machine(addr, resource), self.types.get(&(workload, here))) {
                (Some(machine), Some(types)) if types.contains(machine) && workload == SHARED => {
                    format!("no {machine} in {cloud}/{region} has these replicas on it any more")
                }
                (Some(machine), Some(types)) if types.contains(machine) => {
                    format!("{workload} uses {machine} in {cloud}/{region} in another way")
                }
                (Some(machine), Some(types)) => {
                    let types: Vec<&str> = types.iter().copied().collect();
                    format!(
                        "{workload} runs on {} instead of {machine} in {cloud}/{region}",
                        types.join(", ")
                    )
                }
                _ => format!("nothing of {workload} in {cloud}/{region} needs it"),
            },
        };
        format!("not wanted any more: {why}")
    }
}

fn spot(resource: &Resource) -> Spot<'_> {
    (resource.cloud, &resource.region)
}

/// The machine type of what has one: its attribute, or the fourth segment of its address.
fn machine<'a>(addr: &'a ResourceAddr, resource: &'a Resource) -> Option<&'a str> {
    if !matches!(
        resource.kind,
        ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit | ResourceKind::LaunchTemplate
    ) {
        return None;
    }
    match resource.attributes.get("instance_type") {
        Some(Attr::Text(name)) => Some(name),
        _ => addr.as_str().split('/').nth(3),
    }
}
