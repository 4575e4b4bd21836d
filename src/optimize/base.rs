//! Blocks of origins: what of them holds for any number of regions and any prices.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::floors::Floor;
use super::job::{self, resides};
use super::service::Search;
use crate::spec::Place;

/// Origins to their block.
pub(super) type Bases<'a> = Arc<Mutex<BTreeMap<Vec<usize>, Arc<Base<'a>>>>>;

/// A block before the number of its regions is known.
pub(super) struct Base<'a> {
    pub origins: Vec<usize>,
    pub share: f64,
    /// Share of the service that comes from outside of the cloud.
    pub outside: f64,
    /// Region to the largest network time at confidence, if it may serve the block.
    pub network: Vec<Option<f64>>,
    /// The least of them; infinite if no region may serve it.
    pub nearest: f64,
    /// Speed to requests/s that no replica exceeds: 0 where the limits are missed without any load.
    pub tops: Vec<f64>,
    /// Speed to the most requests/s per replica within the limits, where it was asked for.
    pub bounds: Vec<OnceLock<f64>>,
    pub limits: Vec<job::Limit<'a>>,
    /// See [`Search::floors`].
    pub floors: Floors,
}

/// Regions that share a block, and whether every hour is like the peak, to the fewest machines of each way.
pub(super) type Floors = Mutex<BTreeMap<(u32, bool), Arc<Vec<Vec<Floor>>>>>;

impl<'a> Search<'a> {
    /// The block of these origins.
    pub fn base(&self, origins: &[usize]) -> Arc<Base<'a>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = known.get(origins) {
            return Arc::clone(base);
        }
        let base = Arc::new(self.new_base(origins));
        known.insert(origins.to_vec(), Arc::clone(&base));
        base
    }

    fn new_base(&self, origins: &[usize]) -> Base<'a> {
        let all = &self.service.traffic.origins;
        let picked = || origins.iter().filter_map(|o| all.get(*o).map(|origin| (*o, origin)));
        let network: Vec<Option<f64>> = self
            .job
            .world
            .catalog
            .regions
            .iter()
            .enumerate()
            .map(|(r, region)| {
                let mut most: f64 = 0.0;
                for (o, origin) in picked() {
                    let reaches = self.service.reaches(origin, region.cloud, &region.id);
                    if !reaches || !resides(&origin.residency, region) {
                        return None;
                    }
                    most = most.max(self.hops[o][r]?.edge);
                }
                Some(most)
            })
            .collect();
        let nearest = network.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let mut base = Base {
            origins: origins.to_vec(),
            share: picked().map(|(_, o)| o.share).sum(),
            outside: picked().filter(|(_, o)| o.place != Place::Vpc).map(|(_, o)| o.share).sum(),
            network,
            nearest,
            tops: Vec::new(),
            bounds: Vec::new(),
            limits: job::limits(self.service),
            floors: Floors::default(),
        };
        if nearest.is_finite() {
            let demand = self.demand(&base, 1, nearest);
            base.tops = self.table.speeds.iter().map(|s| demand.top_per_replica(s)).collect();
            base.bounds = base.tops.iter().map(|_| OnceLock::new()).collect();
        }
        base
    }
}
