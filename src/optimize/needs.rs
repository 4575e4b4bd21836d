//! The replicas that a load needs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::load::{Demand, PoolLoad};
use super::pool::GIB;
use super::table::{Speed, Way};

/// GiB of weights on one machine of a way.
pub(super) fn weights_gib(speed: &Speed, way: &Way) -> f64 {
    speed.curve.memory.weights * f64::from(way.layout.accelerators()) / f64::from(way.span.max(1)) / GIB
}

/// Replicas that a load needs, remembered for one speed and one network time.
pub(super) struct Needs<'a> {
    demand: Demand<'a>,
    speed: &'a Speed,
    /// The fewest with nothing failed.
    pub replicas: Option<u32>,
    rates: Mutex<BTreeMap<u32, f64>>,
    left: Mutex<BTreeMap<u32, Option<u32>>>,
}

impl<'a> Needs<'a> {
    pub fn new(demand: Demand<'a>, speed: &'a Speed) -> Self {
        let rates = Mutex::default();
        let replicas = demand.replicas(speed, |n| remembered(&rates, &demand, speed, n));
        Needs { demand, speed, replicas, rates, left: Mutex::default() }
    }

    /// Requests/s that reach a pool of `replicas`.
    pub fn rate(&self, replicas: u32) -> f64 {
        remembered(&self.rates, &self.demand, self.speed, replicas)
    }

    /// Whether the replay of `replicas`, and of those left when `lost` fail, contradicts nothing.
    pub fn replays(&self, replicas: u32, lost: u32) -> bool {
        self.demand.all_replays(self.speed, self.rate(replicas), replicas, lost)
    }

    /// Whether [`Needs::replays`] is known to say no.
    pub fn known_not_to(&self, replicas: u32, lost: u32) -> bool {
        self.demand.known_not_to(self.speed, self.rate(replicas), replicas, lost)
    }

    /// Whether a request by itself is known to break a limit: then any number of replicas does.
    pub fn hopeless(&self) -> bool {
        self.speed.refuted.never_keeps(1.0, self.demand.network_ms)
    }

    /// Network time that counts, ms at confidence.
    pub fn network_ms(&self) -> f64 {
        self.demand.network_ms
    }

    /// Whether `replicas` do while nothing fails.
    pub fn carries_peak(&self, replicas: u32) -> bool {
        let holds = self.replicas.is_some_and(|least| replicas >= least);
        holds && !self.demand.peak_is_refuted(self.speed, self.rate(replicas), replicas)
    }

    /// The least percent of the requests in a failure that a stand-in must answer when `lost` of `replicas` fail.
    pub fn overflow(&self, replicas: u32, lost: u32) -> u32 {
        self.demand.overflow(self.speed, self.rate(replicas), replicas.saturating_sub(lost))
    }

    /// So many of them, requests/s.
    pub fn elsewhere(&self, replicas: u32, percent: u32) -> f64 {
        self.rate(replicas) * self.demand.elsewhere(percent)
    }

    /// Whether the replay contradicts nothing of a pool with a stand-in.
    pub fn replays_beside(&self, replicas: u32, lost: u32, percent: u32) -> bool {
        self.demand.replays_beside(self.speed, self.rate(replicas), replicas, lost, percent)
    }

    /// The fewest that must be left of `replicas`.
    pub fn left(&self, replicas: u32) -> Option<u32> {
        // A rate does not depend on who serves it.
        let key = if matches!(self.demand.load, PoolLoad::Rate(_)) { 0 } else { replicas };
        *self
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_insert_with(|| self.demand.left(self.speed, self.rate(replicas)))
    }
}

fn remembered(rates: &Mutex<BTreeMap<u32, f64>>, demand: &Demand<'_>, speed: &Speed, replicas: u32) -> f64 {
    match demand.load {
        PoolLoad::Rate(rate) => rate,
        PoolLoad::Clients(_) => {
            let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
            *rates.entry(replicas).or_insert_with(|| demand.rate(speed, replicas))
        }
    }
}
