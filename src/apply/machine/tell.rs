//! New addresses, told before they are used.

use std::collections::BTreeMap;

use rhumb_api::{Call, Order, Tags};

use super::Machine;
use crate::apply::{Verb, token::token};
use crate::state::Intent;

impl Machine<'_> {
    /// Lets something be tagged with the address that it is recorded with, and be as it is otherwise.
    pub(super) fn tell_name(&mut self, task: usize, change: usize) {
        let (Some(work), Some(change)) = (&self.work, self.changes.get(change)) else {
            return self.end(task, None);
        };
        let there = self.state.resources.get(&change.addr).filter(|thing| !thing.known_as.is_empty());
        // Its cloud may have been told by an apply of this plan that was cut off.
        let Some((thing, handle)) = there.and_then(|thing| Some((thing, thing.handle()?))) else {
            return self.end(task, None);
        };
        let address = change.addr.clone();
        let token = token(&self.state.lineage, self.state.serial, &work.plan, Verb::Update, &address);
        let id = |need| Some((need, self.state.resources.get(need)?.id.clone()?));
        let needs: BTreeMap<_, _> =
            thing.depends_on.iter().filter_map(id).map(|(need, id)| (need.clone(), id)).collect();
        let order = Order {
            tags: Tags {
                lineage: self.state.lineage.clone(),
                address: address.clone(),
                token: token.clone(),
            },
            resource: thing.resource.clone(),
            needs,
            files: thing.files.clone(),
            takes_over: None,
        };
        let depends_on = thing.depends_on.clone();
        let call = Call::Update(handle, order);
        self.intend(task, Intent { token, address, call, depends_on, accepted: None });
    }
}
