//! What rejects every candidate when no rule of the spec is left to loosen: the model does not run on
//! anything on sale as it is asked for.

use std::collections::BTreeMap;

use super::job::{Job, Kind};
use super::table::Table;
use crate::diagnostic::Pointer;
use crate::placement::{InfeasibleWorkload, Rejection};
use crate::spec::Spec;

/// Reasons that are told.
const MOST: usize = 3;

/// Names in the conflict what rejects the candidates of `loosened`, most first, where none of them runs
/// the model at all.
pub(super) fn explain(loosened: &Spec, job: &Job<'_>, why: &mut InfeasibleWorkload) {
    let Some(loose) = Job::of(loosened, job.world, &job.address) else { return };
    let table = Table::new(&loose);
    let mut reasons: BTreeMap<&'static str, (usize, Rejection)> = BTreeMap::new();
    for way in table.sites.iter().flat_map(|s| table.machines[s.machine].ways.iter()) {
        let Err(rejection) = &way.speed else { return };
        // It only says that a smaller setting already failed.
        if rejection.constraint == "engine-setting" {
            continue;
        }
        let far = |r: &Rejection| r.distance.unwrap_or(f64::INFINITY);
        let entry = reasons.entry(rejection.constraint).or_insert_with(|| (0, rejection.clone()));
        entry.0 += 1;
        if far(rejection) < far(&entry.1) {
            entry.1 = rejection.clone();
        }
    }
    let mut list: Vec<(usize, Rejection)> = reasons.into_values().collect();
    list.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.constraint.cmp(b.1.constraint)));
    let conflict: Vec<Rejection> = list.into_iter().take(MOST).map(|(_, r)| placed(job, r)).collect();
    if !conflict.is_empty() {
        why.conflict = conflict;
    }
}

/// A rejection with the place in the spec that asks for too much.
fn placed(job: &Job<'_>, mut why: Rejection) -> Rejection {
    let (at, words): (Pointer, String) = match (why.constraint, job.engine.max_model_len) {
        ("context", Some(n)) => {
            (job.engine.at.join("args").join("max_model_len"), format!("max_model_len {n}: {}", why.reason))
        }
        ("context", None) => {
            let traffic = match job.kind {
                Kind::Service(s) => &s.traffic.at,
                Kind::Mixed(_) => job.at,
                Kind::Run(task) => task.at(),
                Kind::Federation(asked, _) => &asked.at,
            };
            let words = format!("the longest request of the traffic: {}", why.reason);
            (traffic.join("input_tokens"), words)
        }
        ("launcher", _) => (job.engine.at.join("name"), why.reason.clone()),
        ("memory", _) => (job.model.at.clone(), format!("the nearest that is on sale {}", why.reason)),
        _ => (job.model.at.clone(), why.reason.clone()),
    };
    why.reason = words;
    why.at.get_or_insert(at);
    why
}
