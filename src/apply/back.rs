//! The way back of a workload whose machines were refused.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Resource, ResourceAddr};

use super::Work;
use super::work::is;
use crate::plan::{Action, Change};
use crate::state::{Record, Spared, State, StateResource};

const WHY: &str = "machines of the plan were refused, and nothing that may stand in is left";

impl Work<'_> {
    /// Whether nothing is left to be led back of a workload that went back.
    pub(super) fn is_back(&self, workload: &str, state: &State) -> bool {
        let from = self.from.unwrap_or(0);
        let mut spares = state.spares.iter().filter(|s| s.address.workload() == workload);
        spares.all(|s| s.thing.since <= from) && back(self, workload, state).is_empty()
    }

    /// What puts that in use again which the plan has replaced of some workloads and which is still there.
    pub(super) fn undoing(&self, workloads: &BTreeSet<String>, state: &State) -> Vec<Record> {
        let all = workloads.iter().flat_map(|workload| self.replaced(workload, state));
        all.map(|(address, id)| Record::Undo { address, id: Some(id) }).collect()
    }

    /// What the plan has replaced of a workload and is still there: the addresses at which something new stands, and the ids of the old.
    fn replaced(&self, workload: &str, state: &State) -> BTreeMap<ResourceAddr, String> {
        let from = self.from.unwrap_or(0);
        let taken = state.applying.iter().flat_map(|applying| &applying.taken);
        let other = taken.filter_map(|taken| self.standbys.iter().find(|s| is(s, taken)));
        // What an earlier plan replaced and could not remove is none of this one's.
        let anew: BTreeSet<&ResourceAddr> = (self.changes.iter())
            .chain(other.flat_map(|standby| &standby.changes))
            .filter(|change| change.action == Action::Replace && change.addr.workload() == workload)
            .map(|change| &change.addr)
            .collect();
        let new = |addr: &ResourceAddr| state.resources.get(addr).is_some_and(|thing| thing.since > from);
        let old = state.spares.iter().filter(|s| s.why == Spared::Replaced && s.thing.since <= from);
        let of_it = old.filter(|s| anew.contains(&s.address) && new(&s.address));
        // Of several the last one was in use before this plan.
        of_it.filter_map(|s| Some((s.address.clone(), s.thing.id.clone()?))).collect()
    }
}

/// What leads a workload back to what it was before a plan, by address: what was made goes, what was changed is changed back. What was
/// replaced is in its place again by then ([`crate::state::Record::Undo`]). What was made in the place of what others had lost stays where
/// what serves stands on it by now.
pub(super) fn back<'s>(
    work: &'s Work<'_>,
    workload: &str,
    state: &'s State,
) -> Vec<(&'s ResourceAddr, Change)> {
    let from = work.from.unwrap_or(0);
    let before: BTreeMap<&ResourceAddr, &Resource> =
        work.changes.iter().filter_map(|change| Some((&change.addr, change.before.as_ref()?))).collect();
    let own = state.resources.iter().filter(|(addr, _)| addr.workload() == workload);
    let touched: Vec<_> = own.filter(|(_, thing)| thing.since > from).collect();
    let stay = touched.iter().filter_map(|(addr, _)| Some(needs(before.get(addr)?, addr, state)));
    let mut left: Vec<ResourceAddr> = stay.flatten().collect();
    let mut stood_on: BTreeSet<ResourceAddr> = BTreeSet::new();
    while let Some(addr) = left.pop() {
        if !before.contains_key(&addr) && !stood_on.contains(&addr) {
            left.extend(state.resources.get(&addr).into_iter().flat_map(|thing| &thing.depends_on).cloned());
            stood_on.insert(addr);
        }
    }
    let led = touched.into_iter().filter_map(|(addr, thing)| {
        let before = before.get(addr).copied();
        let (action, depends_on) = match before {
            None if stood_on.contains(addr) => return None,
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
