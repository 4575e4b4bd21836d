//! Pools that answer for what has failed of another one (`src/decisions/0024-a-smaller-model-stands-in.md`).

use rhumb_api::ResourceAddr;

use super::{Pool, WorkloadPlacement};

/// What makes a pool a stand-in. While nothing fails nothing is sent to it: [`Pool::peak_rate`] is 0, and its capacity and latency are those of
/// the failure, its limits included.
#[derive(Clone, Debug, PartialEq)]
pub struct StandsIn {
    /// Address of the pool for whose failures it is there.
    pub pool: ResourceAddr,
    /// Name of its model in the spec.
    pub model: String,
    /// The share of the score of the service's model that it keeps, as the spec states it.
    pub quality: f64,
    /// Of that pool's requests in a failure, those that it answers: 1 to 100.
    pub percent: u32,
    /// These, requests/s.
    pub rate: f64,
}

impl WorkloadPlacement {
    /// The stand-in of a pool.
    pub fn stand_in_of(&self, pool: &Pool) -> Option<(&Pool, &StandsIn)> {
        let all = self.pools.iter().filter_map(|p| Some((p, p.stands_in.as_ref()?)));
        all.into_iter().find(|(_, stands_in)| stands_in.pool == pool.addr)
    }
}
