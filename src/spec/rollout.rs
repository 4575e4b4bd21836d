//! `services.NAME.rollout`: how a change is rolled out.

use super::Spec;
use crate::diagnostic::Pointer;

/// `services.NAME.rollout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// `waves`: places that have changed after each wave, ascending, each above 0; all that are left change after the last. Empty: all at
    /// once.
    pub waves: Vec<u32>,
    /// `health_timeout`: how long machines may take until they answer their health checks, seconds, 1 to [`Rollout::LONGEST_S`].
    pub health_timeout_s: u32,
    /// `max_surge` and `max_unavailable`; `None` if neither is stated: then it is as its cloud does it.
    pub rolling: Option<Rolling>,
    /// `on_refusal: roll_back`: when machines are refused and nothing that may stand in is left, what the apply has made for the service goes
    /// again; without it, it stays for the next plan.
    pub roll_back: bool,
    /// Where it was written.
    pub at: Pointer,
}

/// How the machines of a fleet are made anew, some at a time; one of both is above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// `max_surge`: machines that there may be beside those that are kept up.
    pub surge: u32,
    /// `max_unavailable`: machines that may be missing.
    pub unavailable: u32,
}

impl Rolling {
    /// What is meant by the key that is left out where the other one is stated: a new machine comes before an old one goes.
    pub const DEFAULT: Rolling = Rolling { surge: 1, unavailable: 0 };
}

impl Rollout {
    /// Without `health_timeout`, seconds. Weights of hundreds of gigabytes take minutes to fetch and minutes to load; assumed.
    pub const HEALTH_TIMEOUT_S: u32 = 1_800;
    /// The longest `health_timeout`, seconds.
    pub const LONGEST_S: u32 = 86_400;
}

impl Spec {
    /// The rollout that is stated for a service, by its address; of a part of a service, that of the whole.
    pub fn rollout(&self, address: &str) -> Option<&Rollout> {
        let service = address.strip_prefix("services.").and_then(|name| self.services.get(name));
        let whole =
            service.and_then(|s| s.part_of.as_ref()).map(|part| format!("services.{}", part.service.name));
        self.rollouts.get(whole.as_deref().unwrap_or(address))
    }
}
