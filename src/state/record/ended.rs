//! What the end of an intent means.

use std::sync::Arc;

use rhumb_api::{Call, ErrorKind};

use super::{Intent, Outcome, RecordError, each_once, made};
use crate::state::{Refusal, Spare, Spared, State, StateResource, What, offer};

impl State {
    /// What a cloud said of machines that it was asked for.
    pub(super) fn answered_for(&mut self, intent: &Intent, outcome: &Outcome) {
        let (Call::Create(order) | Call::Update(_, order)) = &intent.call else { return };
        let Some((instance_type, spot)) = offer(&order.resource) else { return };
        let (cloud, region) = (order.resource.cloud, &order.resource.region);
        let key = |r: &Refusal| (r.cloud, r.region.clone(), r.instance_type.clone(), r.spot);
        let at =
            self.refusals.binary_search_by_key(&(cloud, region.clone(), instance_type.to_owned(), spot), key);
        match (outcome, at) {
            (Outcome::Done { .. }, Ok(at)) => {
                self.refusals.remove(at);
            }
            (Outcome::Failed(failed), at)
                if matches!(failed.kind, ErrorKind::Capacity | ErrorKind::Quota) =>
            {
                let applies = self.history.iter().rev().find(|deed| deed.what == What::Apply);
                let refusal = Refusal {
                    cloud,
                    region: region.clone(),
                    instance_type: instance_type.to_owned(),
                    spot,
                    kind: failed.kind,
                    at: applies.map_or_else(String::new, |deed| deed.at.clone()),
                };
                match at {
                    Ok(at) => self.refusals[at] = refusal,
                    Err(at) => self.refusals.insert(at, refusal),
                }
            }
            _ => {}
        }
    }

    pub(super) fn change(
        &mut self,
        intent: &Intent,
        outcome: &Outcome,
        serial: u64,
    ) -> Result<(), RecordError> {
        let address = &intent.address;
        match (&intent.call, outcome) {
            (Call::Create(order), Outcome::Done { id, outputs }) => {
                let id = id.clone().or_else(|| intent.accepted.clone());
                let id = id.ok_or_else(|| RecordError(format!("{address} was made without an id")))?;
                let thing = StateResource { outputs: outputs.clone(), ..made(intent, order, id, serial) };
                if let Some(old) = self.resources.insert(address.clone(), Arc::new(thing)) {
                    self.spares.push(Spare { address: address.clone(), thing: old, why: Spared::Replaced });
                }
            }
            (Call::Create(order), Outcome::Failed(failed)) => {
                if let Some(id) = &failed.left {
                    let thing = made(intent, order, id.clone(), serial);
                    self.spares.push(Spare {
                        address: address.clone(),
                        thing: Arc::new(thing),
                        why: Spared::Failed,
                    });
                }
            }
            (Call::Update(handle, order), Outcome::Done { outputs, .. }) => {
                let thing = self.resources.get_mut(address).filter(|t| t.handle().as_ref() == Some(handle));
                let thing =
                    thing.map(Arc::make_mut).ok_or_else(|| RecordError(format!("{address} is not there")))?;
                thing.resource = order.resource.clone();
                thing.depends_on = each_once(&intent.depends_on);
                thing.stands_on.clone_from(&order.needs);
                thing.outputs.clone_from(outputs);
                thing.files.clone_from(&order.files);
                thing.since = serial;
                thing.doubtful = None;
                thing.complete = false;
                thing.known_as.clear();
                // It is tagged with the whole of an order that takes it over.
                if order.takes_over.is_some() {
                    thing.token = Some(intent.token.clone());
                    thing.owner = None;
                }
            }
            (Call::Update(handle, _), Outcome::Failed(failed)) if failed.gone => self.forget(address, handle),
            (Call::Update(handle, _), Outcome::Failed(failed)) => {
                if let Some(thing) = self
                    .resources
                    .get_mut(address)
                    .filter(|t| t.handle().as_ref() == Some(handle))
                    .map(Arc::make_mut)
                {
                    thing.since = serial;
                    thing.doubtful = Some(format!("{}: {}", failed.kind, failed.message));
                }
            }
            (Call::Delete(handle), Outcome::Done { .. }) => self.forget(address, handle),
            // It may be half removed.
            (Call::Delete(handle), Outcome::Failed(failed)) if self.holds(address, handle) => {
                if let Some(thing) = self.resources.get_mut(address).map(Arc::make_mut) {
                    thing.since = serial;
                    thing.doubtful = Some(format!("{}: {}", failed.kind, failed.message));
                }
            }
            (Call::Delete(_), Outcome::Failed(_)) => {}
            (Call::Read(_) | Call::List(_), _) => {
                return Err(RecordError(format!("{} asks only", intent.token)));
            }
        }
        Ok(())
    }
}
