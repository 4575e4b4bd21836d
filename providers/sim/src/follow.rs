//! Fleets that follow a schedule.
//!
//! As long as one is `Ready` it has at each time as many machines as its schedule says, and that is its `count` as others see it. What is too
//! many goes at once; what is missing is had as far as stock and quotas let it, and is tried again for. An order asks for room for the
//! `count` that it says, which is that of the peak: what could never grow to that is refused at once.

use rhumb_api::{Attributes, Handle, ResourceKind, Status};

use crate::calendar::{Moment, Schedule};
use crate::cloud::{Happening, SimCloud};
use crate::thing::count;

/// Machines that the schedule among these attributes says; `None` without one that can be followed.
pub(crate) fn said(kind: ResourceKind, of: &Attributes, begins: Moment, now_ms: u64) -> Option<u32> {
    Some(Schedule::of(kind, of).ok()??.at(begins, now_ms)?.count)
}

impl SimCloud {
    /// Machines that these attributes ask for at this time.
    pub(crate) fn due(&self, kind: ResourceKind, attributes: &Attributes) -> u32 {
        said(kind, attributes, self.world.begins, self.now).unwrap_or_else(|| count(attributes))
    }

    /// A thing has the machines of its schedule from now on, and is looked at again when that says others.
    pub(crate) fn follow(&mut self, handle: &Handle) {
        let (begins, now) = (self.world.begins, self.now);
        let Some(thing) = self.things.get_mut(handle) else { return };
        // What was in view by the schedule of before is void.
        thing.switches += 1;
        let n = thing.switches;
        let Ok(Some(schedule)) = Schedule::of(handle.kind, &thing.attributes) else { return };
        let Some(said) = schedule.at(begins, now) else { return };
        let ready = thing.status == Status::Ready;
        if ready {
            thing.moved = Some(said.count);
        }
        let (wanted, machines) = (thing.wanted(), thing.machines);
        if ready && wanted < machines {
            thing.running = thing.running.min(wanted);
            thing.healthy = thing.healthy.min(wanted);
            self.set_machines(handle, wanted);
        } else if ready && wanted > machines {
            self.grow(handle);
        }
        if let Some(next_ms) = said.next_ms {
            self.after(next_ms.saturating_sub(now), Happening::Switch(handle.clone(), n));
        }
    }

    /// Another entry of a schedule begins, if it was not changed since.
    pub(crate) fn switch(&mut self, handle: &Handle, n: u64) {
        if self.things.get(handle).is_some_and(|thing| thing.switches == n) {
            self.follow(handle);
        }
    }

    /// More machines start.
    fn grow(&mut self, handle: &Handle) {
        let Some(generation) = self.things.get(handle).map(|thing| thing.generation) else { return };
        if self.fill(handle, generation) > 0 {
            self.warm_up(handle, generation);
        }
    }
}
