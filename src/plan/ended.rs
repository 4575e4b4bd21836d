//! Runs that have ended and are not run again.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{ResourceAddr, ResourceKind};

use super::{Action, Change, Left, LeftWhy, Plan};
use crate::graph::INPUT;
use crate::state::{State, StateResource};

impl Plan {
    /// The same plan without what it would do for runs that have ended and would do the same again, elsewhere or otherwise.
    ///
    /// What is recorded of such a workload stays as it is recorded, and what was to come after its run comes after that one. Runs
    /// that were recorded before runs had an identity are taken for the same.
    #[must_use]
    pub fn without_ended(mut self, prior: Option<&State>) -> Plan {
        let Some(state) = prior else { return self };
        let ended = self.ended(state);
        if ended.is_empty() {
            return self;
        }
        let over = |addr: &ResourceAddr| ended.contains_key(addr.workload());
        self.standbys.retain(|standby| !over(&standby.pool));
        let mut made: BTreeSet<ResourceAddr> = BTreeSet::new();
        let mut left: Vec<Left> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            if !over(&change.addr) || change.action == Action::Keep {
                changes.push(change);
                continue;
            }
            changes.extend(state.resources.get(&change.addr).map(|thing| Change::kept(&change.addr, thing)));
            made.insert(change.addr.clone());
            left.push(Left { change, why: LeftWhy::Ended });
        }
        for change in changes.iter_mut().filter(|c| c.action != Action::Remove && !over(&c.addr)) {
            change.depends_on = after(&change.depends_on, &ended);
        }
        self.changes = changes;
        self.left.extend(left);
        self.left.sort_by(|a, b| a.change.addr.cmp(&b.change.addr));
        self.steps.retain(|step| !made.contains(&step.addr));
        self.artifacts.retain(|artifact| !over(&artifact.addr));
        self
    }

    /// The workloads whose runs have ended and would do the same again, with the addresses of these runs.
    fn ended(&self, state: &State) -> BTreeMap<String, Vec<ResourceAddr>> {
        let mut recorded: BTreeMap<&str, Vec<(&ResourceAddr, &StateResource)>> = BTreeMap::new();
        for (addr, thing) in &state.resources {
            if thing.resource.kind == ResourceKind::JobRun {
                recorded.entry(addr.workload()).or_default().push((addr, thing));
            }
        }
        recorded.retain(|_, runs| runs.iter().all(|(_, thing)| thing.complete));
        let mut ended = BTreeMap::new();
        for (workload, runs) in recorded {
            let of_it = self.changes.iter().filter(|c| c.addr.workload() == workload);
            let wanted: Vec<_> = of_it
                .filter_map(|c| c.after.as_ref())
                .filter(|after| after.kind == ResourceKind::JobRun)
                .collect();
            let input =
                |run: &&(&ResourceAddr, &StateResource)| run.1.resource.attributes.get(INPUT).cloned();
            let known: BTreeSet<_> = runs.iter().filter_map(|run| input(&run)).collect();
            let same = |after: &&rhumb_api::Resource| {
                let input = after.attributes.get(INPUT);
                input.is_some_and(|input| known.is_empty() || known.contains(input))
                    && !after.attributes.contains_key("schedule")
            };
            if !wanted.is_empty() && wanted.iter().all(same) {
                ended.insert(workload.to_owned(), runs.iter().map(|(addr, _)| (*addr).clone()).collect());
            }
        }
        ended
    }
}

/// Needs with the runs that have ended in the place of those that are not run.
fn after(needs: &[ResourceAddr], ended: &BTreeMap<String, Vec<ResourceAddr>>) -> Vec<ResourceAddr> {
    let runs = |need: &ResourceAddr| match ended.get(need.workload()) {
        Some(runs) => runs.clone(),
        None => vec![need.clone()],
    };
    let set: BTreeSet<ResourceAddr> = needs.iter().flat_map(runs).collect();
    set.into_iter().collect()
}
