//! What exists and is ours from now on.

use std::sync::Arc;

use super::{Record, RecordError, each_once};
use crate::state::{State, StateResource};

impl State {
    /// What [`Record::Import`] says.
    pub(super) fn import(&mut self, record: &Record, serial: u64) -> Result<(), RecordError> {
        let Record::Import { address, resource, id, depends_on, outputs, owner, known_as, .. } = record
        else {
            return Ok(());
        };
        if self.resources.contains_key(address) || self.open.values().any(|i| i.address == *address) {
            return Err(RecordError(format!("{address} is recorded already")));
        }
        if self.needs(depends_on, address) {
            return Err(RecordError(format!("{address} would depend on itself")));
        }
        let depends_on = each_once(depends_on);
        let id_of = |need| Some((need, self.resources.get(need)?.id.clone()?));
        let stands_on = depends_on.iter().filter_map(id_of).map(|(need, id)| (need.clone(), id)).collect();
        let thing = StateResource {
            id: Some(id.clone()),
            since: serial,
            stands_on,
            outputs: outputs.clone(),
            known_as: known_as.clone(),
            owner: owner.clone(),
            ..StateResource::of(resource.clone(), depends_on)
        };
        if thing.handle().is_some_and(|handle| self.knows(&handle)) {
            return Err(RecordError(format!("{id} is recorded already, with another address")));
        }
        self.applying = None;
        self.forgotten.retain(|handle| thing.handle().as_ref() != Some(handle));
        self.regions.insert((resource.cloud, resource.region.clone()));
        self.resources.insert(address.clone(), Arc::new(thing));
        Ok(())
    }
}
