//! Models that are trained at several sites, whose data stay there.

use std::collections::BTreeMap;

use rhumb_api::Purchase;

use super::{AllowDeny, PlacementRules, Processors, PurchaseRules, Schedule};
use crate::diagnostic::Pointer;

/// Rounds of training at sites, put together at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Federation {
    /// Name in the spec; its address is `federations.NAME`.
    pub name: String,
    /// `labels` of the deployment and the federation's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `framework`.
    pub framework: FederationFramework,
    /// `image`: the container image of every member.
    pub image: String,
    /// `command`: what starts the run on the aggregator.
    pub command: Vec<String>,
    /// `sites`: each may have a client; names in [`super::Spec::sites`], each once, never empty.
    pub sites: Vec<String>,
    /// `min_sites`, from 1 to the number of sites.
    pub min_sites: u32,
    /// `rounds` of a run, from 1 to 100,000.
    pub rounds: u32,
    /// `update`: weights that are sent to and from a client in a round, GiB, above 0.
    pub update_gib: f64,
    /// `local`: accelerator id to the seconds that a client trains in a round; never empty.
    pub local_s: BTreeMap<String, f64>,
    /// `aggregate`: seconds that the aggregator takes for an update; never empty.
    pub aggregate_s: BTreeMap<Processors, f64>,
    /// `aggregator_memory`, bytes, above 0.
    pub memory_bytes: f64,
    /// `round_deadline`, seconds.
    pub round_deadline_s: f64,
    /// `schedule`: five cron fields, UTC; `None` = run once.
    pub schedule: Option<Schedule>,
    /// `deadline` of one run, seconds; `None` = as long as its rounds may take.
    pub deadline_s: Option<f64>,
    /// `placement` of the aggregator.
    pub placement: PlacementRules,
    /// That of the clients: the sites, and nothing else.
    pub at_sites: PlacementRules,
    /// How all machines are paid for: on demand.
    pub purchase: PurchaseRules,
    /// `after`: workloads whose run must be complete before this one starts, each with its place.
    pub after: Vec<(String, Pointer)>,
    /// Where it was written.
    pub at: Pointer,
}

/// What starts and connects the members of a federation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FederationFramework {
    /// Flower.
    Flower,
}

impl FederationFramework {
    /// The name used in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            FederationFramework::Flower => "flower",
        }
    }
}

impl PlacementRules {
    /// These sites and no cloud.
    pub fn of_sites(sites: Vec<String>, at: Pointer) -> Self {
        PlacementRules {
            residency: Vec::new(),
            clouds: AllowDeny::Only(Vec::new()),
            regions: AllowDeny::Any,
            accelerators: AllowDeny::Any,
            instance_types: AllowDeny::Any,
            sites,
            spread_regions: 1,
            at,
        }
    }
}

impl PurchaseRules {
    /// On demand and nothing else.
    pub fn on_demand(at: Pointer) -> Self {
        PurchaseRules {
            options: vec![Purchase::OnDemand],
            spot_max_share: 0.0,
            on_demand_base: 0,
            held: false,
            at,
        }
    }
}
