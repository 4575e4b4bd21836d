//! What exists, as last recorded. Format version 1 is defined in `file`; this is the working type.

use std::collections::BTreeMap;

use rhumb_api::{Resource, ResourceAddr};

/// Everything that a deployment owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Made once per deployment; two states of one lineage are comparable.
    pub lineage: String,
    /// Grows by one with every change.
    pub serial: u64,
    /// What exists.
    pub resources: BTreeMap<ResourceAddr, StateResource>,
}

/// One thing that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateResource {
    /// As it was made.
    pub resource: Resource,
    /// The cloud's own id for it.
    pub id: Option<String>,
    /// What must exist as long as it does.
    pub depends_on: Vec<ResourceAddr>,
}
