//! How a state changes.

mod ended;
mod imported;
mod renamed;
mod returned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{
    Attributes, Call, Cloud, ErrorKind, Handle, Owner, ProviderError, Resource, ResourceAddr, Token,
};
use serde::{Deserialize, Serialize};

pub(super) use renamed::{Names, exchanged, told};
pub use returned::Returned;

use super::{Applying, Deed, MOST_DEEDS, Spare, Spared, State, StateResource, Taken, What};

/// One change of a state. Each lets the serial grow by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// An apply begins.
    Begin {
        /// SHA-256 of the plan file.
        plan: String,
        /// The serial that the plan was made against; none if nothing was recorded then.
        from: Option<u64>,
        /// Who applies: user and host, as the environment says.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// Machines were refused: what the plan has decided for that is made instead.
    Took(Taken),
    /// Something is about to be asked of a cloud.
    Intend(Intent),
    /// The cloud has accepted to make something: the id that it will have.
    Accepted {
        /// The intent.
        token: Token,
        /// The cloud's id.
        id: String,
    },
    /// A second thing that one intent made is there: of a cloud that does not know tokens.
    Extra {
        /// The intent.
        token: Token,
        /// The cloud's id of the one that is too many.
        id: String,
    },
    /// What became of an intent.
    Ended {
        /// The intent.
        token: Token,
        /// Its outcome.
        outcome: Outcome,
    },
    /// The apply has ended.
    End {
        /// Whether everything of the plan was done.
        complete: bool,
    },
    /// What exists was looked at, and is otherwise than recorded: the records behind this one say how.
    Refresh {
        /// Who looked.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// Something is as its cloud describes it, whoever made it so.
    Saw {
        /// Its address.
        address: ResourceAddr,
        /// The cloud's id.
        id: String,
        /// As it is.
        attributes: Attributes,
        /// What its cloud has given it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
    },
    /// Something is as it is recorded, which was not known after a change that failed.
    Settled {
        /// Its address.
        address: ResourceAddr,
        /// The cloud's id.
        id: String,
    },
    /// Something is not there any more, in use or not.
    Gone {
        /// Its address.
        address: ResourceAddr,
        /// The cloud's id.
        id: String,
    },
    /// A run has ended by itself.
    Completed {
        /// Its address.
        address: ResourceAddr,
        /// The cloud's id.
        id: String,
    },
    /// Something has failed by itself: it is changed again.
    Doubt {
        /// Its address.
        address: ResourceAddr,
        /// The cloud's id.
        id: String,
        /// In the cloud's words.
        why: String,
    },
    /// Something has our tags and was not recorded: it is to be removed.
    Stray {
        /// The address that it is tagged with.
        address: ResourceAddr,
        /// What and where.
        handle: Handle,
        /// The intent that it is tagged with.
        token: Token,
        /// As it is.
        attributes: Attributes,
    },
    /// Something that exists is ours from now on.
    Import {
        /// The address that it has from now on.
        address: ResourceAddr,
        /// As it is, in our words.
        resource: Resource,
        /// The cloud's id.
        id: String,
        /// What must exist as long as it does.
        depends_on: Vec<ResourceAddr>,
        /// What its cloud has given it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
        /// Whose it is, until it is changed; none of what is this deployment's already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Owner>,
        /// Addresses by which its cloud knows it and what it names, as that other deployment has said them.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        known_as: BTreeMap<ResourceAddr, ResourceAddr>,
        /// Who took it over.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// Machines that were refused are planned on again at once.
    Retry {
        /// Who wants it.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// Things have other addresses from now on.
    Rename {
        /// The address of one of them, or one above theirs.
        from: ResourceAddr,
        /// What takes its place in each of their addresses.
        to: ResourceAddr,
        /// Who wants it.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// What was lost from the record is recorded again: the records behind this one say what.
    Restore {
        /// The serial of the version that has it.
        to: u64,
        /// Who wants it.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
    /// What was replaced is in use again, and what took its place is to be removed.
    Undo {
        /// The address of both.
        address: ResourceAddr,
        /// The cloud's id of what was replaced; the last one, if it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Something that exists and was in no record, or was to be removed, is in use again; what has its address by now was replaced by it.
    Return {
        /// Its address.
        address: ResourceAddr,
        /// As it is.
        thing: Box<Returned>,
    },
    /// Something is not ours any more; it goes on existing.
    Forget {
        /// Its address.
        address: ResourceAddr,
        /// Who left it to others.
        by: String,
        /// When, RFC 3339, UTC.
        at: String,
    },
}

/// A call that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Its name.
    pub token: Token,
    /// The address that it works on.
    pub address: ResourceAddr,
    /// A create, an update or a delete.
    pub call: Call,
    /// What must exist as long as what is made does.
    pub depends_on: Vec<ResourceAddr>,
    /// The cloud's id, once it has accepted to make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was made, with this id, or changed, or removed: what was intended is so.
    Done {
        /// The cloud's id of what was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What its cloud has given it ([`rhumb_api::outputs`]).
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
    },
    /// It was not.
    Failed(Failed),
}

/// A failure of which it is known what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// Why.
    pub kind: ErrorKind,
    /// In the cloud's words.
    pub message: String,
    /// Of something that was to be made: the id of what is there all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Of a change: the thing is not there (any more).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

impl Outcome {
    /// What was intended is so; there is nothing to say of it.
    pub fn done() -> Self {
        Outcome::Done { id: None, outputs: BTreeMap::new() }
    }
}

impl Failed {
    /// Without effect.
    pub fn of(error: &ProviderError) -> Self {
        Failed { kind: error.kind, message: error.message.clone(), left: None, gone: false }
    }
}

/// A record that does not fit the state before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(pub String);

impl State {
    /// The state after a record.
    ///
    /// # Errors
    /// The record does not fit: an intent that is open already, calls nothing that changes anything or would let something depend on
    /// itself, the end of one that is not open, something made without an id, something that is changed or seen and not there, something
    /// imported, renamed or given back to where something is. The state is as before then.
    pub fn take(&mut self, record: &Record) -> Result<(), RecordError> {
        let serial = self.serial.checked_add(1);
        let serial = serial.ok_or_else(|| RecordError("there is no serial after this one".to_owned()))?;
        match record {
            Record::Begin { plan, from, by, at } => {
                let taken = match self.applying.take() {
                    Some(same) if same.plan == *plan && same.from == *from => same.taken,
                    _ => Vec::new(),
                };
                self.applying = Some(Applying { plan: plan.clone(), from: *from, taken });
                self.did(serial, What::Apply, (by, at), Some(plan.clone()), None);
            }
            Record::Took(taken) => {
                let applying = self.applying.as_mut();
                let applying = applying.ok_or_else(|| RecordError("nothing is being applied".to_owned()))?;
                applying.taken.push(taken.clone());
            }
            Record::Intend(intent) => self.intend(intent)?,
            Record::Accepted { token, id } => {
                let intent = self.open.get_mut(token).ok_or_else(|| not_open(token))?;
                if !matches!(intent.call, Call::Create(_)) {
                    return Err(RecordError(format!("{token} makes nothing")));
                }
                intent.accepted = Some(id.clone());
            }
            Record::Extra { token, id } => {
                let intent = self.open.get(token).ok_or_else(|| not_open(token))?;
                let Call::Create(order) = &intent.call else {
                    return Err(RecordError(format!("{token} makes nothing")));
                };
                let thing = made(intent, order, id.clone(), serial);
                let address = intent.address.clone();
                self.spares.push(Spare { address, thing: Arc::new(thing), why: Spared::Duplicate });
            }
            Record::Ended { token, outcome } => {
                let intent = self.open.get(token).ok_or_else(|| not_open(token))?.clone();
                self.ended(&intent, outcome, serial)?;
                self.open.remove(token);
            }
            Record::End { complete } => {
                // An apply that was not completed can go on with the same plan.
                if *complete {
                    self.applying = None;
                }
                if let Some(deed) = self.history.last_mut().filter(|deed| deed.what == What::Apply) {
                    deed.complete = Some(*complete);
                }
            }
            Record::Refresh { by, at } => {
                // A plan that was cut off started from what is known to be otherwise now.
                self.applying = None;
                self.did(serial, What::Refresh, (by, at), None, None);
            }
            Record::Saw { address, id, attributes, outputs } => {
                let thing = self.seen(address, id)?;
                thing.resource.attributes.clone_from(attributes);
                thing.outputs.clone_from(outputs);
                thing.doubtful = None;
            }
            Record::Settled { address, id } => self.seen(address, id)?.doubtful = None,
            Record::Gone { address, id } => {
                let spare = |s: &Spare| s.address == *address && s.thing.id.as_ref() == Some(id);
                if let Some(at) = self.spares.iter().position(spare) {
                    self.spares.remove(at);
                } else {
                    self.seen(address, id)?;
                    self.resources.remove(address);
                }
            }
            Record::Completed { address, id } => self.seen(address, id)?.complete = true,
            Record::Doubt { address, id, why } => self.seen(address, id)?.doubtful = Some(why.clone()),
            Record::Stray { address, handle, token, attributes } => {
                if self.knows(handle) {
                    return Err(RecordError(format!("{handle} is recorded already")));
                }
                let Handle { cloud, region, kind, id } = handle.clone();
                let resource = Resource { kind, cloud, region, attributes: attributes.clone() };
                let thing = StateResource {
                    id: Some(id),
                    token: Some(token.clone()),
                    since: serial,
                    ..StateResource::of(resource, Vec::new())
                };
                self.spares.push(Spare {
                    address: address.clone(),
                    thing: Arc::new(thing),
                    why: Spared::Stray,
                });
            }
            Record::Import { address, by, at, .. } => {
                self.import(record, serial)?;
                self.did(serial, What::Import, (by, at), None, Some(address.clone()));
            }
            Record::Retry { by, at } => {
                self.refusals.clear();
                self.did(serial, What::Retry, (by, at), None, None);
            }
            Record::Rename { from, to, by, at } => {
                self.rename(from, to)?;
                self.applying = None;
                self.did(serial, What::Rename, (by, at), None, Some(to.clone()));
            }
            Record::Restore { by, at, .. } => {
                self.applying = None;
                self.did(serial, What::Restore, (by, at), None, None);
            }
            Record::Undo { address, id } => self.undo(address, id.as_deref())?,
            Record::Return { address, thing } => self.give_back(address, thing, serial)?,
            Record::Forget { address, by, at } => {
                if self.open.values().any(|intent| intent.address == *address) {
                    return Err(RecordError(format!("what became of {address} is not known")));
                }
                let left = self.resources.remove(address);
                let left = left.ok_or_else(|| RecordError(format!("{address} is not there")))?;
                if let Some(handle) = left.handle()
                    && let Err(at) = self.forgotten.binary_search(&handle)
                {
                    self.forgotten.insert(at, handle);
                }
                self.applying = None;
                self.did(serial, What::Forget, (by, at), None, Some(address.clone()));
            }
        }
        self.serial = serial;
        Ok(())
    }

    fn did(
        &mut self,
        serial: u64,
        what: What,
        (by, at): (&str, &str),
        plan: Option<String>,
        address: Option<ResourceAddr>,
    ) {
        if self.history.len() >= MOST_DEEDS {
            self.history.remove(0);
        }
        let (by, at) = (by.to_owned(), at.to_owned());
        self.history.push(Deed {
            serial,
            what,
            by,
            at,
            plan,
            address,
            created: 0,
            changed: 0,
            removed: 0,
            complete: None,
        });
    }

    /// Counts what an apply has done.
    fn count(&mut self, call: &Call) {
        let Some(deed) = self.history.last_mut().filter(|deed| deed.what == What::Apply) else { return };
        let number = match call {
            Call::Create(_) => &mut deed.created,
            Call::Update(..) => &mut deed.changed,
            Call::Delete(_) => &mut deed.removed,
            Call::Read(_) | Call::List(_) => return,
        };
        *number = number.saturating_add(1);
    }

    /// The thing of an address that has this id.
    fn seen(&mut self, address: &ResourceAddr, id: &str) -> Result<&mut StateResource, RecordError> {
        let thing = self.resources.get_mut(address).filter(|thing| thing.id.as_deref() == Some(id));
        thing
            .map(Arc::make_mut)
            .ok_or_else(|| RecordError(format!("{address} with the id {id} is not recorded")))
    }

    /// Whether something is recorded, in use or not.
    pub fn knows(&self, handle: &Handle) -> bool {
        let things = self.resources.values().chain(self.spares.iter().map(|spare| &spare.thing));
        things.into_iter().any(|thing| thing.handle().as_ref() == Some(handle))
    }

    fn intend(&mut self, intent: &Intent) -> Result<(), RecordError> {
        let token = &intent.token;
        if self.open.contains_key(token) {
            return Err(RecordError(format!("{token} is open already")));
        }
        let fits = match &intent.call {
            Call::Create(order) => order.tags.token == *token && order.tags.lineage == self.lineage,
            Call::Update(handle, _) => self.holds(&intent.address, handle),
            Call::Delete(handle) => {
                self.holds(&intent.address, handle) || self.spare(&intent.address, handle).is_some()
            }
            Call::Read(_) | Call::List(_) => false,
        };
        if !fits {
            let verb = intent.call.verb();
            return Err(RecordError(format!("{verb} of {} does not fit what is recorded", intent.address)));
        }
        if intent.accepted.is_some() {
            return Err(RecordError(format!("{token} is accepted before it was asked")));
        }
        if self.closes_a_cycle(intent) {
            return Err(RecordError(format!("{} would depend on itself", intent.address)));
        }
        if let Call::Create(order) = &intent.call {
            self.regions.insert((order.resource.cloud, order.resource.region.clone()));
        }
        self.open.insert(token.clone(), intent.clone());
        Ok(())
    }

    fn ended(&mut self, intent: &Intent, outcome: &Outcome, serial: u64) -> Result<(), RecordError> {
        self.change(intent, outcome, serial)?;
        self.answered_for(intent, outcome);
        if matches!(outcome, Outcome::Done { .. }) {
            self.count(&intent.call);
        }
        Ok(())
    }

    /// A thing does not exist (any more). What has taken its place meanwhile does: it is told apart by its id.
    fn forget(&mut self, address: &ResourceAddr, handle: &Handle) {
        if let Some(at) = self.spare(address, handle) {
            self.spares.remove(at);
        } else if self.holds(address, handle) {
            self.resources.remove(address);
        }
    }

    /// Whether an address would depend on itself if this intent and all that are open were done. A file of such a state would be
    /// refused.
    fn closes_a_cycle(&self, intent: &Intent) -> bool {
        self.needs(&intent.depends_on, &intent.address)
    }

    /// Whether one of some addresses, or what they need, is `address`.
    fn needs(&self, these: &[ResourceAddr], address: &ResourceAddr) -> bool {
        let mut seen: BTreeSet<&ResourceAddr> = BTreeSet::new();
        let mut left: Vec<&ResourceAddr> = these.iter().collect();
        while let Some(needed) = left.pop() {
            if needed == address {
                return true;
            }
            if seen.insert(needed) {
                left.extend(self.resources.get(needed).into_iter().flat_map(|t| &t.depends_on));
                // Few are open at a time: as many as calls are made at once.
                let open = self.open.values().filter(|i| i.address == *needed);
                left.extend(open.flat_map(|i| &i.depends_on));
            }
        }
        false
    }

    /// Whether the thing of an address is this one.
    fn holds(&self, address: &ResourceAddr, handle: &Handle) -> bool {
        self.resources.get(address).and_then(|thing| thing.handle()).as_ref() == Some(handle)
    }

    /// The place among the spares of a thing.
    fn spare(&self, address: &ResourceAddr, handle: &Handle) -> Option<usize> {
        let is = |spare: &Spare| spare.address == *address && spare.thing.handle().as_ref() == Some(handle);
        self.spares.iter().position(is)
    }

    /// Every cloud and region that something of it is in, is intended for or ever was.
    pub fn places(&self) -> BTreeSet<(Cloud, String)> {
        let things = self.resources.values().chain(self.spares.iter().map(|s| &s.thing));
        let of = |(cloud, region): (Cloud, &String)| (cloud, region.clone());
        let known = things.map(|t| (t.resource.cloud, &t.resource.region));
        let intended = self.open.values().filter_map(|i| match &i.call {
            Call::Create(order) => Some((order.resource.cloud, &order.resource.region)),
            _ => None,
        });
        known.chain(intended).map(of).chain(self.regions.iter().cloned()).collect()
    }
}

fn not_open(token: &Token) -> RecordError {
    RecordError(format!("{token} is not open"))
}

fn made(intent: &Intent, order: &rhumb_api::Order, id: String, serial: u64) -> StateResource {
    StateResource {
        id: Some(id),
        token: Some(intent.token.clone()),
        since: serial,
        stands_on: order.needs.clone(),
        files: order.files.clone(),
        ..StateResource::of(order.resource.clone(), each_once(&intent.depends_on))
    }
}

/// Sorted, each once: as files have them, so that what is read back is equal to what was recorded.
fn each_once(addresses: &[ResourceAddr]) -> Vec<ResourceAddr> {
    let sorted: BTreeSet<&ResourceAddr> = addresses.iter().collect();
    sorted.into_iter().cloned().collect()
}
