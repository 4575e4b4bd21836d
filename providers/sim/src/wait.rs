//! Runs that come after others.
//!
//! A run whose `after` names a workload of its deployment, on whichever cloud, that has a run which is not complete is taken and `Ready`, and
//! has no machines: none are held and none are paid for. It starts by itself once the last run that it waits for is complete, as far as there
//! are machines then. Its order is asked for room for all its machines at once all the same, as plan and preflight count them.
//!
//! Of several runs of one address the one that was made last counts: one that failed, or that is being replaced, is not waited for beside the
//! one in its place. A workload without any run is not waited for by what is ordered then, since runs that have ended may have been cleared
//! away; one whose runs all go before they are complete is waited for until another of its runs is. Of a run with a schedule it is the run
//! under way that is waited for, or its first one.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attributes, Handle, ResourceKind, Status};

use crate::cloud::{Happening, SimCloud};
use crate::course::{LEAST_MS, pool_of};
use crate::thing::{Thing, after};

impl SimCloud {
    /// The workloads among these attributes' `after` that have runs in a deployment which are not complete.
    pub(crate) fn awaited(&self, lineage: Option<&str>, attributes: &Attributes) -> BTreeSet<String> {
        let waits = |name: &&str| lineage.is_some_and(|lineage| self.have_run(lineage, name) == Some(false));
        after(attributes).into_iter().filter(waits).map(str::to_owned).collect()
    }

    /// The same of what becomes this while it waits: what it waited for it goes on waiting for.
    pub(crate) fn awaited_still(&self, thing: &Thing, to: &Attributes) -> Option<BTreeSet<String>> {
        let awaits = thing.awaits.as_ref()?;
        let before = after(&thing.attributes);
        let mut new = self.awaited(thing.lineage(), to);
        new.retain(|name| !before.contains(name.as_str()));
        let named = after(to);
        Some(awaits.iter().filter(|name| named.contains(name.as_str())).cloned().chain(new).collect())
    }

    /// Whether all runs of a workload have ended; `None` if it has none.
    fn have_run(&self, lineage: &str, workload: &str) -> Option<bool> {
        let of = |thing: &&Thing| thing.is_run_of(lineage, workload);
        let mut last: BTreeMap<_, &Thing> = BTreeMap::new();
        for thing in self.things.values().filter(of) {
            let address = thing.tags.as_ref().map(|tags| &tags.address);
            let at = |thing: &Thing| (thing.made_ms, thing.handle.clone());
            if last.get(&address).is_none_or(|other| at(other) < at(thing)) {
                last.insert(address, thing);
            }
        }
        (!last.is_empty()).then(|| last.values().all(|thing| thing.has_run()))
    }

    /// A run has ended or is gone: what waited for nothing but its workload starts.
    pub(crate) fn release_after(&mut self, run: &Thing) {
        let Some(tags) = run.tags.as_ref().filter(|_| run.handle.kind == ResourceKind::JobRun) else {
            return;
        };
        let (lineage, workload) = (tags.lineage.as_str(), tags.address.workload());
        if self.have_run(lineage, workload) != Some(true) {
            return;
        }
        let mut free = Vec::new();
        for thing in self.things.values_mut().filter(|thing| thing.lineage() == Some(lineage)) {
            let Some(awaits) = &mut thing.awaits else { continue };
            if awaits.remove(workload) && awaits.is_empty() {
                free.push(thing.handle.clone());
            }
        }
        free.iter().for_each(|handle| self.begin(handle));
    }

    /// A run whose start is due starts, if it is `Ready`, waits for no other and there are machines for it.
    pub(crate) fn begin(&mut self, handle: &Handle) {
        let Some(thing) = self.things.get(handle) else { return };
        let due = thing.awaits.as_ref().is_some_and(BTreeSet::is_empty);
        if !due || thing.complete || thing.status != Status::Ready {
            return;
        }
        let (pool, count, scheduled) = (pool_of(thing), thing.count(), thing.scheduled());
        let room = count <= self.quota_left(&pool).min(self.stock_left(&pool));
        let Some(thing) = self.things.get_mut(handle) else { return };
        if room {
            (thing.awaits, thing.between_runs, thing.running) = (None, false, count);
            self.set_machines(handle, count);
            self.start_run(handle);
        } else if scheduled {
            // Left out, as any other start that finds no machines.
            (thing.awaits, thing.between_runs) = (None, true);
            let period = self.world.runs.period_ms.max(LEAST_MS);
            self.after(period, Happening::RunStarts(handle.clone()));
        } else {
            let again = self.world.spot.replace_ms.max(LEAST_MS);
            self.after(again, Happening::RunStarts(handle.clone()));
        }
    }
}

impl Thing {
    fn is_run_of(&self, lineage: &str, workload: &str) -> bool {
        let of = |tags: &rhumb_api::Tags| tags.lineage == lineage && tags.address.workload() == workload;
        self.handle.kind == ResourceKind::JobRun && self.tags.as_ref().is_some_and(of)
    }
}
