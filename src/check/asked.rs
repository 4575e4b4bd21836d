//! What a plan leaves out: that it is what was named and what goes with it, or of runs that have ended, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Resource, ResourceAddr, ResourceKind};

use super::Ledger;
use crate::plan::{Action, Change, LeftWhy, Pattern, Plan};
use crate::state::State;

/// The plan with everything that it leaves out.
pub fn whole(plan: &Plan) -> Plan {
    let mut whole = plan.clone();
    let mut changes: BTreeMap<ResourceAddr, Change> =
        plan.changes.iter().map(|change| (change.addr.clone(), change.clone())).collect();
    changes.extend(plan.left.iter().map(|left| (left.change.addr.clone(), left.change.clone())));
    whole.changes = changes.into_values().collect();
    whole
}

pub fn check(log: &mut Ledger, prior: Option<&State>, plan: &Plan) {
    let asked = &plan.asked;
    let left: BTreeMap<&ResourceAddr, &Change> =
        plan.left.iter().map(|left| (&left.change.addr, &left.change)).collect();
    let over: BTreeSet<&ResourceAddr> =
        plan.left.iter().filter(|left| left.why == LeftWhy::Ended).map(|left| &left.change.addr).collect();
    let done: BTreeMap<&ResourceAddr, &Change> =
        plan.changes.iter().filter(|c| c.action != Action::Keep).map(|c| (&c.addr, c)).collect();
    let stood_on = |addr: &ResourceAddr| {
        let recorded = prior.and_then(|state| state.resources.get(addr));
        recorded.map_or(&[][..], |thing| &thing.depends_on)
    };
    // Whether the first cannot be done without the second.
    let requires = |one: &Change, other: &Change| {
        let makes = one.action != Action::Remove && other.action != Action::Remove;
        let frees = matches!(one.action, Action::Remove | Action::Replace);
        (makes && one.depends_on.contains(&other.addr))
            || (frees && stood_on(&other.addr).contains(&one.addr))
    };
    let narrowed = !asked.targets.is_empty() || !asked.excludes.is_empty();
    log.hold(narrowed || left.len() == over.len(), "plan", "plan", || {
        ("changes are left out and nobody asked for it".into(), "none".into(), left.len().to_string())
    });
    for (addr, change) in &left {
        let address = addr.as_str();
        let recorded = prior.and_then(|state| state.resources.get(*addr)).map(|thing| &thing.resource);
        log.hold(recorded == change.before.as_ref(), "plan", address, || {
            (
                "what is left out existed otherwise".into(),
                format!("{recorded:?}"),
                format!("{:?}", change.before),
            )
        });
        let stays = plan.changes.iter().find(|c| c.addr == **addr);
        let stays_so = stays.is_none_or(|c| c.action == Action::Keep && c.before == c.after);
        log.hold(stays_so && stays.is_some() == recorded.is_some(), "plan", address, || {
            let found = stays.map_or("no change".to_owned(), |c| format!("{:?}", c.action));
            ("what is left out does not stay as it is".into(), "Keep, if it exists".into(), found)
        });
        if over.contains(addr) {
            let same = has_ended(prior, plan, addr.workload());
            log.hold(same, "plan", address, || {
                ("it is left out although its run has not ended".into(), "a step".into(), "none".into())
            });
            continue;
        }
        log.hold(!among(&asked.targets, addr), "plan", address, || {
            ("it is left out although it was asked for".into(), "a step".into(), "none".into())
        });
        let excluded = among(&asked.excludes, addr) || left.values().any(|other| requires(change, other));
        log.hold(!asked.targets.is_empty() || excluded, "plan", address, || {
            ("it is left out for no reason".into(), "a step".into(), "none".into())
        });
    }
    for (addr, change) in &done {
        let address = addr.as_str();
        log.hold(!among(&asked.excludes, addr), "plan", address, || {
            ("it is done although it was excluded".into(), "no step".into(), format!("{:?}", change.action))
        });
        let wanted = among(&asked.targets, addr) || done.values().any(|other| requires(other, change));
        log.hold(asked.targets.is_empty() || wanted, "plan", address, || {
            ("it is done and nobody asked for it".into(), "no step".into(), format!("{:?}", change.action))
        });
        let missing = left.values().find(|other| requires(change, other));
        log.hold(missing.is_none(), "plan", address, || {
            let missing = missing.map_or("", |c| c.addr.as_str());
            ("what it requires is left out".into(), format!("a step for {missing}"), "none".into())
        });
    }
}

/// Whether what a workload would run has run to its end.
fn has_ended(prior: Option<&State>, plan: &Plan, workload: &str) -> bool {
    let runs = prior.iter().flat_map(|state| &state.resources);
    let runs: Vec<_> = runs
        .filter(|(addr, thing)| addr.workload() == workload && thing.resource.kind == ResourceKind::JobRun)
        .map(|(_, thing)| thing)
        .collect();
    let input = |resource: &Resource| resource.attributes.get("input_sha256").cloned();
    let then: BTreeSet<_> = runs.iter().filter_map(|thing| input(&thing.resource)).collect();
    let wanted = plan.left.iter().filter(|left| left.change.addr.workload() == workload);
    let mut wanted = wanted.filter_map(|left| left.change.after.as_ref());
    let again = wanted.all(|after| {
        after.kind != ResourceKind::JobRun
            || (!after.attributes.contains_key("schedule")
                && input(after).is_some_and(|now| then.is_empty() || then.contains(&now)))
    });
    !runs.is_empty() && runs.iter().all(|thing| thing.complete) && again
}

fn among(patterns: &[Pattern], addr: &ResourceAddr) -> bool {
    patterns.iter().any(|pattern| {
        let wanted: Vec<&str> = pattern.as_str().split('/').collect();
        let segments: Vec<&str> = addr.as_str().split('/').take(wanted.len()).collect();
        let fit = |(w, s): (&&str, &&str)| fits(w.as_bytes(), s.as_bytes());
        segments.len() == wanted.len() && wanted.iter().zip(&segments).all(fit)
    })
}

/// Whether a text is as wanted; `*` stands for any text.
fn fits(wanted: &[u8], text: &[u8]) -> bool {
    match (wanted.split_first(), text.split_first()) {
        (Some((b'*', rest)), _) => {
            fits(rest, text) || text.split_first().is_some_and(|(_, text)| fits(wanted, text))
        }
        (Some((a, wanted)), Some((b, text))) => a == b && fits(wanted, text),
        (None, None) => true,
        _ => false,
    }
}
