//! `services.NAME.rollout`: how a change is rolled out.

use crate::diagnostic::Pointer;

/// `services.NAME.rollout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// `waves`: places that have changed after each wave, ascending, each above 0; all that are left change after the last. Empty: all at
    /// once.
    pub waves: Vec<u32>,
    /// `health_timeout`: how long machines may take until they answer their health checks, seconds, 1 to [`Rollout::LONGEST_S`].
    pub health_timeout_s: u32,
    /// Where it was written.
    pub at: Pointer,
}

impl Rollout {
    /// Without `health_timeout`, seconds. Weights of hundreds of gigabytes take minutes to fetch and minutes to load; assumed.
    pub const HEALTH_TIMEOUT_S: u32 = 1_800;
    /// The longest `health_timeout`, seconds.
    pub const LONGEST_S: u32 = 86_400;
}
