//! How changes of machines are rolled out.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Cloud, Resource, ResourceKind};

use super::{Desired, SHARED};
use crate::spec::{self, Spec};

/// How the machines of a workload change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The workload.
    pub workload: String,
    /// How long machines may take until they answer their health checks, seconds.
    pub health_timeout_s: u32,
    /// Whether what was made for it goes again when machines are refused and nothing that may stand in is left.
    pub roll_back: bool,
    /// Its places (`cloud/region`) by wave, none of them empty; each place once.
    pub waves: Vec<Vec<String>>,
}

impl Rollout {
    /// Of a workload that says nothing of it, seconds.
    pub const HEALTH_TIMEOUT_S: u32 = spec::Rollout::HEALTH_TIMEOUT_S;

    /// The wave of a place, counted from 0; what nobody planned, such as the place of machines that stand in for refused ones, comes last.
    pub fn wave(&self, (cloud, region): (Cloud, &str)) -> Option<usize> {
        let is = |place: &String| place.split_once('/') == Some((cloud.as_str(), region));
        let planned = self.waves.iter().position(|wave| wave.iter().any(is));
        planned.or(self.waves.len().checked_sub(1))
    }
}

/// The rollouts of everything that serves and says how, ordered by workload.
///
/// Places with fewer machines come first: what goes wrong there hurts fewer. Ties go to the smaller name.
pub fn rollouts(spec: &Spec, desired: &Desired) -> Vec<Rollout> {
    let mut machines: BTreeMap<&str, BTreeMap<String, i64>> = BTreeMap::new();
    for (addr, (resource, _)) in desired {
        if matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
            let place = format!("{}/{}", resource.cloud, resource.region);
            *machines.entry(addr.workload()).or_default().entry(place).or_default() += count(resource);
        }
    }
    let of = |(workload, places): (&str, BTreeMap<String, i64>)| {
        let stated = stated(spec, workload)?;
        let mut places: Vec<(i64, String)> = places.into_iter().map(|(place, n)| (n, place)).collect();
        places.sort();
        let places: Vec<String> = places.into_iter().map(|(_, place)| place).collect();
        let ends = stated.waves.iter().map(|n| (*n as usize).min(places.len())).chain([places.len()]);
        let mut waves: Vec<Vec<String>> = Vec::new();
        let mut from = 0;
        for to in ends.filter(|_| !places.is_empty()) {
            if to > from {
                waves.push(places[from..to].to_vec());
                from = to;
            }
        }
        let (health_timeout_s, roll_back) = (stated.health_timeout_s, stated.roll_back);
        Some(Rollout { workload: workload.to_owned(), health_timeout_s, roll_back, waves })
    };
    machines.into_iter().filter_map(of).collect()
}

/// What is stated of a workload: of a part of a service, by the whole; of machines that services share, the longest time.
fn stated(spec: &Spec, workload: &str) -> Option<spec::Rollout> {
    if workload == SHARED {
        let sharing = spec.services.values().filter(|service| service.shares);
        let each = sharing.filter_map(|service| spec.rollouts.get(&format!("services.{}", service.name)));
        return each.max_by_key(|rollout| rollout.health_timeout_s).cloned();
    }
    spec.rollout(workload).cloned()
}

fn count(resource: &Resource) -> i64 {
    match resource.attributes.get("count") {
        Some(Attr::Int(n)) => *n,
        _ => 0,
    }
}
