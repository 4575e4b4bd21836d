//! What is wanted with all that stands in at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{ResourceAddr, ResourceKind};

use crate::plan::{Action, Change, Standby};

/// Changes by the addresses that they are of.
pub(super) type Wanted<'c> = BTreeMap<&'c ResourceAddr, Cow<'c, Change>>;

/// The changes of a plan with those of what stands in, each of which was planned with everything else as in the plan.
///
/// What one says of its own workload holds against what others say of that one: what it is without comes back for nobody, and who came
/// after a run that it is without comes after its own.
pub(super) fn together<'c>(changes: &'c [Change], standing_in: &[&'c Standby]) -> Wanted<'c> {
    let mut wanted: Wanted<'c> = changes.iter().map(|change| (&change.addr, Cow::Borrowed(change))).collect();
    let planned: BTreeSet<&ResourceAddr> =
        changes.iter().filter(|change| change.after.is_some()).map(|change| &change.addr).collect();
    let all = |own: bool, removed: bool| {
        let changes = standing_in.iter().flat_map(|standby| standby.changes.iter().map(|c| (*standby, c)));
        let of = changes.filter(move |(standby, change)| {
            (of_its_own(standby, change), change.action == Action::Remove) == (own, removed)
        });
        of.map(|(_, change)| (&change.addr, Cow::Borrowed(change)))
    };
    wanted.extend(all(false, false));
    for addr in standing_in.iter().flat_map(|standby| &standby.without) {
        wanted.remove(addr);
    }
    wanted.extend(all(true, true));
    wanted.extend(all(true, false));
    let runs: Vec<(&Standby, Vec<&ResourceAddr>)> = standing_in
        .iter()
        .map(|standby| {
            let made = standby.changes.iter().filter(|change| of_its_own(standby, change));
            let run = |after: &rhumb_api::Resource| after.kind == ResourceKind::JobRun;
            let made = made.filter(|change| change.after.as_ref().is_some_and(run));
            (*standby, made.map(|c| &c.addr).filter(|addr| !planned.contains(addr)).collect())
        })
        .collect();
    for change in wanted.values_mut().filter(|change| change.after.is_some()) {
        for (standby, runs) in &runs {
            let gone = |need: &ResourceAddr| standby.without.contains(need);
            if of_its_own(standby, change) || !change.depends_on.iter().any(gone) {
                continue;
            }
            let needs = &mut change.to_mut().depends_on;
            needs.retain(|need| !gone(need));
            needs.extend(runs.iter().map(|run| (*run).clone()));
            needs.sort();
            needs.dedup();
        }
    }
    wanted
}

fn of_its_own(standby: &Standby, change: &Change) -> bool {
    standby.pool.workload() == change.addr.workload()
}
