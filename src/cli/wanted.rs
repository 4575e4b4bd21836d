//! What the last apply left, whatever a look has recorded since.
//!
//! A look makes the record say what exists, so that the next plan leads back. Whether what exists is as it should be cannot be told by the
//! record alone then: the version that was kept at the end of the last apply says how that left it.

use std::sync::Arc;

use rhumb_api::{Attributes, ResourceAddr};

use super::Failure;
use super::state::StatePlace;
use crate::apply::differing;
use crate::state::{Deed, MOST_DEEDS, State, StateResource, What};

/// What things are measured by.
pub enum Wanted {
    /// The record: no look has found anything since the last apply.
    Recorded,
    /// What the last apply left, by the addresses of now.
    Left(Box<State>),
    /// What the last apply left is not kept, and a look has recorded something since.
    Lost,
}

impl Wanted {
    /// What a recorded deployment is measured by. Nothing is read unless a look has found something since the last apply.
    ///
    /// # Errors
    /// Versions are kept and cannot be read.
    pub fn of(place: &StatePlace, state: &State) -> Result<Self, Failure> {
        let Some(at) = state.history.iter().rposition(|deed| deed.what == What::Apply) else {
            let forgotten = state.history.len() >= MOST_DEEDS;
            return Ok(if forgotten { Wanted::Lost } else { Wanted::Recorded });
        };
        let (deed, since) = (&state.history[at], &state.history[at + 1..]);
        // One that was not complete is told by itself, and has left nothing that anybody wanted.
        if deed.complete != Some(true) || since.iter().all(|deed| deed.what != What::Refresh) {
            return Ok(Wanted::Recorded);
        }
        Ok(match left_by(place, state, at)? {
            Some(left) => Wanted::Left(Box::new(left.in_names_of(state))),
            None => Wanted::Lost,
        })
    }

    /// How something that is recorded should be.
    pub fn attributes<'a>(&'a self, addr: &ResourceAddr, thing: &'a StateResource) -> &'a Attributes {
        let left = match self {
            Wanted::Left(left) => left.resources.get(addr),
            Wanted::Recorded | Wanted::Lost => None,
        };
        // Another one has taken its place: a person took it over or brought it back.
        let same = left.filter(|left| left.handle() == thing.handle());
        &same.map_or(thing, |left| left).resource.attributes
    }

    /// What the last apply left and is not recorded any more, though nobody has left it to others.
    pub fn gone<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (&'a ResourceAddr, &'a Arc<StateResource>)> {
        let left = match self {
            Wanted::Left(left) => Some(&left.resources),
            Wanted::Recorded | Wanted::Lost => None,
        };
        let forgotten = |thing: &StateResource| {
            thing.handle().is_some_and(|handle| state.forgotten.binary_search(&handle).is_ok())
        };
        left.into_iter()
            .flatten()
            .filter(move |(addr, thing)| !state.resources.contains_key(*addr) && !forgotten(thing))
    }

    /// Whether what is recorded is what the last apply left, as far as anybody wants it otherwise.
    pub fn is_recorded(&self, state: &State) -> bool {
        let same = |(addr, thing): (&ResourceAddr, &Arc<StateResource>)| {
            differing(self.attributes(addr, thing), &thing.resource.attributes).is_empty()
        };
        !matches!(self, Wanted::Lost) && self.gone(state).next().is_none() && state.resources.iter().all(same)
    }
}

/// The last apply, if it has not done all of its plan: also when a look has put an end to it since.
pub fn not_complete(state: &State) -> Option<&Deed> {
    let last = state.history.iter().rev().find(|deed| deed.what == What::Apply)?;
    (last.complete != Some(true)).then_some(last)
}

/// The state that the apply of a place in the history has left; `None` if that is not kept.
///
/// # Errors
/// Versions are kept and cannot be read.
pub fn left_by(place: &StatePlace, state: &State, at: usize) -> Result<Option<State>, Failure> {
    let Some(deed) = state.history.get(at) else { return Ok(None) };
    // What comes between two deeds belongs to the first one.
    let Some(next) = state.history.get(at + 1) else { return Ok(Some(state.clone())) };
    let Some(serial) = next.serial.checked_sub(1).filter(|_| next.serial > deed.serial) else {
        return Ok(None);
    };
    if !place.versions()?.contains(&serial) {
        return Ok(None);
    }
    let left = place.version(serial)?;
    Ok((left.lineage == state.lineage && left.history.last() == Some(deed)).then_some(left))
}
