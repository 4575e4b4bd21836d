//! What may stand in for machines that a cloud refuses.

use rhumb_api::{Money, Purchase, ResourceAddr};

use super::{BatchRun, CandidateId, Pool};

/// The cheapest fallbacks that are told of a pool; fewer are told with the reason.
pub const WANTED_FALLBACKS: usize = 3;

/// Most fallbacks of a pool: the cheapest; where these are all spot, the cheapest that is not; and where all have the pool's own
/// accelerator, the cheapest with another.
pub const MOST_FALLBACKS: usize = WANTED_FALLBACKS + 2;

/// What a pool may be replaced by when its machines are refused: out of stock, over a quota, no spot.
///
/// Whoever applies a plan takes the first one that uses nothing of what was refused. Each keeps every promise and limit with
/// all other pools as planned; where two pools are replaced, the limits that they share have to be looked at again.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallbacks {
    /// The pool's address.
    pub pool: ResourceAddr,
    /// Cheapest first; of equal cost by machines, cloud, region, type, and spot last. No two, and none and the pool, have
    /// region, type and [`Fallback::spot`] in common.
    pub list: Vec<Fallback>,
}

/// A pool that carries what another one was to carry, within the same promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The machines, under the address that they would have.
    pub pool: Pool,
    /// Dollars a month that the workload costs more with it; negative if it costs less.
    pub more_per_month: Money,
    /// Dollars a month of the workload with it and with all spot bought on demand.
    pub ceiling_per_month: Money,
    /// A batch's run on it; `None` for a service.
    pub run: Option<BatchRun>,
    /// What it rests on that is not certain, besides the caveats of the plan.
    pub caveats: Vec<String>,
}

impl Fallback {
    /// Whether it needs spot machines.
    pub fn spot(&self) -> bool {
        self.pool.uses_spot()
    }

    /// See [`Pool::candidate`].
    pub fn candidate(&self) -> CandidateId {
        self.pool.candidate()
    }
}

impl Pool {
    /// The candidate behind it: by the machines that are not spot, if it has any.
    pub fn candidate(&self) -> CandidateId {
        let mut purchases = self.machines.iter().map(|m| m.purchase);
        let other = purchases.find(|p| *p != Purchase::Spot).or_else(|| self.shared.as_ref()?.purchase());
        CandidateId {
            cloud: self.cloud,
            region: self.region.clone(),
            instance_type: self.instance_type.clone(),
            purchase: other.unwrap_or(Purchase::Spot),
            variant: self.variant.clone(),
            layout: self.layout,
        }
    }

    /// Whether some of its machines are spot.
    pub fn uses_spot(&self) -> bool {
        self.machines
            .iter()
            .any(|m| m.purchase == Purchase::Spot && (m.count > 0 || self.following.is_some()))
    }

    /// The offers that it needs, and what they are decided by: cloud, region, type, and whether spot is among them.
    pub fn offers(&self) -> (rhumb_api::Cloud, &str, &str, bool) {
        (self.cloud, &self.region, &self.instance_type, self.uses_spot())
    }
}
