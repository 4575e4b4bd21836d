//! What is in use again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Owner, Resource, ResourceAddr, Token};
use serde::{Deserialize, Serialize};

use super::{RecordError, each_once};
use crate::state::{Spare, Spared, State, StateResource};

/// A thing that is recorded again, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// As its cloud describes it.
    pub resource: Resource,
    /// The cloud's id.
    pub id: String,
    /// The intent that it was made by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Of a run: it has ended by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
    /// What must exist as long as it does.
    pub depends_on: Vec<ResourceAddr>,
    /// The cloud's ids of what it was made with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stands_on: BTreeMap<ResourceAddr, String>,
    /// What its cloud has given it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Files that its machines get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Addresses by which its cloud still knows others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub known_as: BTreeMap<ResourceAddr, ResourceAddr>,
    /// Whose it is, if it is not this deployment's yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

impl Returned {
    /// A thing as it is recorded somewhere else; `None` of one without an id.
    pub fn of(thing: &StateResource) -> Option<Self> {
        Some(Returned {
            resource: thing.resource.clone(),
            id: thing.id.clone()?,
            token: thing.token.clone(),
            complete: thing.complete,
            depends_on: thing.depends_on.clone(),
            stands_on: thing.stands_on.clone(),
            outputs: thing.outputs.clone(),
            files: thing.files.clone(),
            known_as: thing.known_as.clone(),
            owner: thing.owner.clone(),
        })
    }
}

impl State {
    /// What was replaced is in use again, that of an id or the last one, and the one in its place is to be removed as it would have been.
    pub(super) fn undo(&mut self, address: &ResourceAddr, id: Option<&str>) -> Result<(), RecordError> {
        let replaced = |spare: &Spare| {
            let meant = id.is_none() || spare.thing.id.as_deref() == id;
            spare.address == *address && spare.why == Spared::Replaced && meant
        };
        let at = self.spares.iter().rposition(replaced);
        let at = at.ok_or_else(|| RecordError(format!("nothing at {address} was replaced")))?;
        let open = self.open.values().any(|intent| intent.address == *address);
        let (false, Some(new)) = (open, self.resources.get_mut(address)) else {
            return Err(RecordError(format!("what is at {address} is not known")));
        };
        std::mem::swap(new, &mut self.spares[at].thing);
        Ok(())
    }

    pub(super) fn give_back(
        &mut self,
        address: &ResourceAddr,
        back: &Returned,
        serial: u64,
    ) -> Result<(), RecordError> {
        if self.open.values().any(|i| i.address == *address) {
            return Err(RecordError(format!("what becomes of {address} is not known")));
        }
        if self.needs(&back.depends_on, address) {
            return Err(RecordError(format!("{address} would depend on itself")));
        }
        let thing = StateResource {
            id: Some(back.id.clone()),
            token: back.token.clone(),
            since: serial,
            complete: back.complete,
            stands_on: back.stands_on.clone(),
            outputs: back.outputs.clone(),
            files: back.files.clone(),
            known_as: back.known_as.clone(),
            owner: back.owner.clone(),
            ..StateResource::of(back.resource.clone(), each_once(&back.depends_on))
        };
        let handle = thing.handle();
        if self.resources.values().any(|other| other.handle() == handle) {
            return Err(RecordError(format!("{} is recorded already, with another address", back.id)));
        }
        self.spares.retain(|spare| spare.thing.handle() != handle);
        self.forgotten.retain(|other| Some(other) != handle.as_ref());
        self.regions.insert((back.resource.cloud, back.resource.region.clone()));
        // Whatever has its address was replaced by it.
        if let Some(old) = self.resources.insert(address.clone(), Arc::new(thing)) {
            self.spares.push(Spare { address: address.clone(), thing: old, why: Spared::Replaced });
        }
        Ok(())
    }
}
