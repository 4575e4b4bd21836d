//! What runs already, and what it counted for.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Cloud, Money};

use super::{Placement, Pool};
use crate::spec::Spec;

/// A type of machine in a region, with others on it or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachinesAt {
    /// The cloud.
    pub cloud: Cloud,
    /// Its region.
    pub region: String,
    /// The type, as the cloud writes it.
    pub instance_type: String,
    /// Whether they are machines that services share: those are another place than machines of its own.
    pub shared: bool,
}

impl MachinesAt {
    /// Where the machines of a pool are.
    pub fn of(pool: &Pool) -> Self {
        let (region, instance_type) = (pool.region.clone(), pool.instance_type.clone());
        MachinesAt { cloud: pool.cloud, region, instance_type, shared: pool.shared.is_some() }
    }

    fn is(&self, (cloud, region, instance_type): (Cloud, &str, &str)) -> bool {
        self.cloud == cloud && self.region == region && self.instance_type == instance_type
    }
}

impl std::fmt::Display for MachinesAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = if self.shared { " (shared)" } else { "" };
        write!(f, "{}/{}/{}{shared}", self.cloud, self.region, self.instance_type)
    }
}

/// Address of a workload to where machines of it run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running(pub BTreeMap<String, BTreeSet<MachinesAt>>);

impl Running {
    /// What runs once a placement has been applied.
    pub fn of_placement(placement: &Placement) -> Self {
        let mut running = Running::default();
        for placed in placement.workloads.values().filter(|w| w.stays()) {
            for pool in &placed.pools {
                running.put(&placed.address, MachinesAt::of(pool));
            }
        }
        running
    }

    /// The same, with what runs of a service, whole or in any parts, as what runs of the whole and of each part that it may have: machines of
    /// another part are no move.
    #[must_use]
    pub fn of_parts(mut self, spec: &Spec) -> Self {
        for service in spec.services.values() {
            let addresses = spec.addresses_of_parts(service);
            let is = |address: &String| addresses.contains(address) || spec.was_part_of(address, service);
            let runs: Vec<String> = self.0.keys().filter(|address| is(address)).cloned().collect();
            let all: BTreeSet<MachinesAt> =
                runs.iter().filter_map(|address| self.0.remove(address)).flatten().collect();
            if all.is_empty() {
                continue;
            }
            self.0.extend(addresses.into_iter().map(|address| (address, all.clone())));
        }
        self
    }

    /// Machines of a workload's own run there.
    pub fn add(&mut self, workload: &str, cloud: Cloud, region: &str, instance_type: &str) {
        let (region, instance_type) = (region.to_owned(), instance_type.to_owned());
        self.put(workload, MachinesAt { cloud, region, instance_type, shared: false });
    }

    /// A workload is on machines there.
    pub fn put(&mut self, workload: &str, place: MachinesAt) {
        self.0.entry(workload.to_owned()).or_default().insert(place);
    }

    /// Where machines of a workload run.
    pub fn of(&self, address: &str) -> Option<&BTreeSet<MachinesAt>> {
        self.0.get(address)
    }

    /// Whether machines of a workload's own run there.
    pub fn has(&self, address: &str, at: (Cloud, &str, &str)) -> bool {
        self.of(address).is_some_and(|all| all.iter().any(|place| !place.shared && place.is(at)))
    }

    /// Whether a workload is on machines there that services share.
    pub fn shares(&self, address: &str, at: (Cloud, &str, &str)) -> bool {
        self.of(address).is_some_and(|all| all.iter().any(|place| place.shared && place.is(at)))
    }

    /// Whether any workload is on machines there that services share.
    pub fn shared(&self, at: (Cloud, &str, &str)) -> bool {
        self.0.keys().any(|address| self.shares(address, at))
    }
}

/// What keeping what runs decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The part of its cost that a move must save, in millionths.
    pub saving_ppm: u32,
    /// Each service of which machines run already, whole or in parts.
    pub workloads: BTreeMap<String, KeptWorkload>,
    /// Dollars a month of everything, as planned.
    pub cost: Money,
    /// The same of the cheapest placement if nothing ran; `None` if the search was ended before it was known.
    pub free: Option<Money>,
}

/// The same of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptWorkload {
    /// Where machines of it run.
    pub running: Vec<MachinesAt>,
    /// Where they will.
    pub planned: Vec<MachinesAt>,
    /// Dollars a month, as planned.
    pub cost: Money,
    /// In the cheapest placement if nothing ran.
    pub free: Option<FreeChoice>,
}

/// A service in the cheapest placement if nothing ran.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeChoice {
    /// Where its machines would be.
    pub places: Vec<MachinesAt>,
    /// Dollars a month.
    pub cost: Money,
}

impl KeptWorkload {
    /// Whether only machines of kinds that run are planned.
    pub fn is_kept(&self) -> bool {
        self.planned.iter().all(|place| self.running.contains(place))
    }
}
