//! The way back of a workload whose machines were refused.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Resource, ResourceAddr};

use super::Work;
use crate::plan::{Action, Change};
use crate::state::{State, StateResource};

const WHY: &str = "machines of the plan were refused, and nothing that may stand in is left";

/// What leads a workload back to what it was before a plan, by address: what was made goes, what was changed is changed back. What was
/// replaced is in its place again by then ([`crate::state::Record::Undo`]).
pub(super) fn back<'s>(
    work: &'s Work<'_>,
    workload: &str,
    state: &'s State,
) -> Vec<(&'s ResourceAddr, Change)> {
    let from = work.from.unwrap_or(0);
    let own = state.resources.iter().filter(|(addr, _)| addr.workload() == workload);
    let touched = own.filter(|(_, thing)| thing.since > from);
    let led = touched.filter_map(|(addr, thing)| {
        let before = work.changes.iter().find(|change| change.addr == *addr).and_then(|c| c.before.as_ref());
        let (action, depends_on) = match before {
            None => (Action::Remove, thing.depends_on.clone()),
            // What it was pointed to is on its way out.
            Some(before) if *before == thing.resource && stands(thing, state) => return None,
            Some(before) => (Action::Update, needs(before, addr, state)),
        };
        let change = Change {
            addr: addr.clone(),
            action,
            reasons: vec![WHY.to_owned()],
            before: Some(thing.resource.clone()),
            after: before.cloned(),
            fields: Vec::new(),
            depends_on,
        };
        Some((addr, change))
    });
    led.collect()
}

/// Whether something is known to be as recorded, and to stand on what is in use.
fn stands(thing: &StateResource, state: &State) -> bool {
    thing.doubtful.is_none() && thing.stands_on_old(&state.resources).is_none()
}

/// What something names that is there: a record of what it needed then is kept no longer than until it is changed.
fn needs(resource: &Resource, own: &ResourceAddr, state: &State) -> Vec<ResourceAddr> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&Attr> = resource.attributes.values().collect();
    while let Some(value) = left.pop() {
        match value {
            Attr::Text(text) => found.extend(ResourceAddr::parse(text.as_str()).ok()),
            Attr::List(all) => left.extend(all),
            Attr::Map(all) => left.extend(all.values()),
            Attr::Bool(_) | Attr::Int(_) => {}
        }
    }
    found.into_iter().filter(|addr| addr != own && state.resources.contains_key(addr)).collect()
}
