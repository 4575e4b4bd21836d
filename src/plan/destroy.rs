//! The plan by which everything goes.

use super::{Action, Desired, Header, Plan, between};
use crate::placement::Placement;
use crate::state::State;

/// The plan that removes everything of a state; `name` is the deployment's, `created` the planning time.
///
/// It follows from the state alone: what a spec or a catalogue says by then does not keep anything from being removed.
pub fn destroy(name: &str, created: &str, prior: &State, warnings: Vec<String>) -> Plan {
    let header = Header::of_states(name, created, warnings);
    let mut plan = between(header, Some(prior), &Desired::new(), Placement::default(), Vec::new());
    plan.destroy = true;
    for change in &mut plan.changes {
        debug_assert_eq!(change.action, Action::Remove);
        change.reasons = vec!["everything is to go".to_owned()];
    }
    plan
}
