//! Machines that services share (decision 12).

use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};

use super::{Pool, QuotaNeed};
use crate::catalog::Provenance;

/// Where a pool on shared machines is, and how it may be spread there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnShared {
    /// Address of its [`SharedFleet`].
    pub fleet: ResourceAddr,
    /// Accelerators of one replica.
    pub accelerators: u32,
    /// Most of its replicas on one machine.
    pub most_per_machine: u32,
    /// Most of its replicas in one zone, where a zone of the service may fail.
    pub most_per_zone: Option<u32>,
}

impl OnShared {
    /// How the machines are paid for: the last part of the fleet's address.
    pub fn purchase(&self) -> Option<Purchase> {
        let (_, last) = self.fleet.as_str().rsplit_once('/')?;
        last.parse().ok()
    }
}

/// Equal machines that hold replicas of several services.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedFleet {
    /// `machines.shared/aws/eu-west-1/p5.48xlarge/on_demand`.
    pub addr: ResourceAddr,
    /// The cloud.
    pub cloud: Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// Accelerator id.
    pub accelerator: Option<String>,
    /// Accelerators of one machine.
    pub accelerators_per_machine: u32,
    /// How the machines are paid for; never spot.
    pub purchase: Purchase,
    /// Machines.
    pub count: u32,
    /// Zones that they are spread over: machine `i` is in zone `i % zones`.
    pub zones: u32,
    /// Dollars an hour for one, after discounts.
    pub price: Money,
    /// Dollars an hour for one as listed.
    pub list_price: Money,
    /// Where the price comes from.
    pub provenance: Provenance,
    /// The pools on them, in the order in which they were put there.
    pub pools: Vec<SharedPool>,
    /// What is on the machines, by the first machine of each.
    pub mixes: Vec<Mix>,
    /// Every quota that the machines count against, ordered by cloud, region and code; no workload's own list has them.
    pub quotas: Vec<QuotaNeed>,
    /// What the fleet rests on that is not certain.
    pub caveats: Vec<String>,
    /// What all pools on it move to, should its machines be refused: cheapest first, then by machines, cloud, region and type.
    pub fallbacks: Vec<FleetFallback>,
}

/// Shared machines of another type or in another region that carry all pools of a refused fleet, within the same promises and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetFallback {
    /// The machines with everything on them, also what is planned there already; without fallbacks of their own.
    pub fleet: SharedFleet,
    /// The pools that move, in the order of the refused fleet's.
    pub moved: Vec<MovedPool>,
    /// Dollars a month that the deployment costs more; negative if it costs less.
    pub more_per_month: Money,
    /// What it rests on that is not certain, besides the caveats of the plan.
    pub caveats: Vec<String>,
}

/// A pool that takes the place of another one on shared machines.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedPool {
    /// The workload: `services.chat`.
    pub workload: String,
    /// Address of the pool as planned.
    pub from: ResourceAddr,
    /// The pool as it would be.
    pub pool: Pool,
}

/// A pool on shared machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPool {
    /// The workload: `services.chat`.
    pub workload: String,
    /// Address of the [`super::Pool`].
    pub addr: ResourceAddr,
    /// Its replicas on all machines.
    pub replicas: u32,
    /// Its part of the machines' price, dollars an hour.
    pub per_hour: Money,
}

/// Machines with the same replicas on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Indexes of the machines, from 0, ascending.
    pub machines: Vec<u32>,
    /// Replicas of each of [`SharedFleet::pools`] on each of these machines.
    pub replicas: Vec<u32>,
}

impl SharedFleet {
    /// Where a pool is in [`SharedFleet::pools`].
    pub fn position(&self, pool: &ResourceAddr) -> Option<usize> {
        self.pools.iter().position(|p| p.addr == *pool)
    }

    /// Machines with a replica of the pool at `position`.
    pub fn machines_of(&self, position: usize) -> usize {
        let with = self.mixes.iter().filter(|m| m.replicas.get(position).is_some_and(|n| *n > 0));
        with.map(|m| m.machines.len()).sum()
    }
}
