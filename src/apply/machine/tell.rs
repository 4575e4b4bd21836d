//! New addresses and a new owner, told before they are used.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Call, Handle, Order, ResourceAddr, ResourceKind, Tags};

use super::Machine;
use crate::apply::{Verb, token::token};
use crate::state::{Intent, StateResource};

impl Machine<'_> {
    /// Lets something be tagged with the address that it is recorded with, and be as it is otherwise.
    pub(super) fn tell_name(&mut self, task: usize, change: usize) {
        let Some(address) = self.changes.get(change).map(|change| change.addr.clone()) else {
            return self.end(task, None);
        };
        // Its cloud may have been told by an apply of this plan that was cut off.
        match self.to_be_told(&address) {
            Some((thing, handle)) => self.tell_of(task, address, &thing, handle),
            None => self.end(task, None),
        }
    }

    /// What is to be taken over before anything is ordered that needs these. What comes later in the plan, as a load balancer behind its
    /// machines, is named by an order all the same, and no cloud lets an order name what is another's.
    pub(super) fn foreign(&self, needs: &[ResourceAddr]) -> Option<ResourceAddr> {
        let is = |need: &&ResourceAddr| {
            let thing = self.state.resources.get(*need);
            // What is being changed is being taken over.
            let is = |thing: &Arc<StateResource>| thing.owner.is_some() && !thing.complete;
            // Which files a template of others gives its machines is known only to its own change, which is in front of them.
            thing.is_some_and(|thing| is(thing) && thing.resource.kind != ResourceKind::LaunchTemplate)
                && !self.given_up.contains(*need)
                && !self.state.open.values().any(|intent| intent.address == **need)
        };
        let mut found = needs.iter().find(is)?;
        while let Some(below) = self.state.resources.get(found).and_then(|t| t.depends_on.iter().find(is)) {
            found = below;
        }
        Some(found.clone())
    }

    /// Lets something be this deployment's, and be as it is otherwise; the task goes on with its own work then.
    pub(super) fn take_over(&mut self, task: usize, address: ResourceAddr) {
        match self.to_be_told(&address) {
            Some((thing, handle)) => self.tell_of(task, address, &thing, handle),
            None => self.fail(task, format!("{address}, which it needs, has no id in the state")),
        }
    }

    fn to_be_told(&self, address: &ResourceAddr) -> Option<(Arc<StateResource>, Handle)> {
        let thing = self.state.resources.get(address).filter(|thing| thing.is_to_be_told())?;
        Some((Arc::clone(thing), thing.handle()?))
    }

    fn tell_of(&mut self, task: usize, address: ResourceAddr, thing: &StateResource, handle: Handle) {
        let plan = self.work.as_ref().map_or("", |work| work.plan.as_str());
        let token = token(&self.state.lineage, self.state.serial, plan, Verb::Update, &address);
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
            takes_over: thing.owner.clone(),
        };
        let depends_on = thing.depends_on.clone();
        let call = Call::Update(handle, order);
        self.intend(task, Intent { token, address, call, depends_on, accepted: None });
    }
}
