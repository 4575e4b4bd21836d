//! What a loosened constraint would bring: nearest changes that work, savings, sets in conflict.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use rhumb_api::Money;

use super::changes::{Change, Step, changes};
use super::job::Job;
use super::watch::{Asking, Ends};
use crate::placement::{CandidateId, InfeasibleWorkload, Loser, Rejection, Relaxation, WorkloadPlacement};
use crate::spec::Spec;

fn choice(placed: &WorkloadPlacement) -> Option<CandidateId> {
    Some(placed.pools.first()?.candidate())
}

/// The choices of a placement, for telling losers apart.
pub(super) fn choices(placed: &WorkloadPlacement) -> Vec<CandidateId> {
    let mut list = Vec::new();
    for pool in &placed.pools {
        for m in &pool.machines {
            list.push(CandidateId {
                cloud: pool.cloud,
                region: pool.region.clone(),
                instance_type: pool.instance_type.clone(),
                purchase: m.purchase,
                variant: pool.variant.clone(),
                layout: pool.layout,
            });
        }
    }
    list
}

/// What one loosened constraint would save, dearest first.
pub(super) fn savings(job: &Job<'_>, now: Money) -> Vec<Relaxation> {
    let mut found = Vec::new();
    for change in changes(job) {
        for step in &change.coarse {
            let spec = change.applied(job.spec, &job.address, step);
            let Some(works) = works(job, &spec, &|| false) else { continue };
            if works.cost < now {
                found.push(Relaxation {
                    constraint: change.constraint,
                    at: Some(change.at.clone()),
                    change: step.words.clone(),
                    cost_per_month: works.cost,
                    saves_per_month: Some(now - works.cost),
                    choice: Some(works.choice),
                });
                break;
            }
        }
    }
    found.sort_by(|a, b| b.saves_per_month.cmp(&a.saves_per_month).then_with(|| a.change.cmp(&b.change)));
    found
}

/// What a looser spec leads to.
pub(super) struct Works {
    pub choice: CandidateId,
    machines: u32,
    /// Dollars a month.
    pub cost: Money,
    per_hour: Money,
}

fn works(job: &Job<'_>, spec: &Spec, ends: Ends<'_>) -> Option<Works> {
    let placed = super::solve_until(spec, job.world, &job.address, ends)?;
    Some(Works {
        choice: choice(&placed)?,
        machines: placed.pools.iter().flat_map(|p| &p.machines).map(|m| m.count).sum(),
        cost: placed.cost.expected_per_month,
        per_hour: placed.cost.expected_per_hour,
    })
}

/// The nearest step of a change that works, by bisection: a looser step never fails where one before works.
///
/// Nothing is known once `ends` says so.
pub(super) fn nearest_step<'c>(
    job: &Job<'_>,
    change: &'c Change,
    ends: Ends<'_>,
) -> Option<(Cow<'c, Step>, Works)> {
    if change.constraint == "budget" {
        let (step, works) = least_budget(job, change, ends)?;
        return Some((Cow::Owned(step), works));
    }
    let steps = &change.fine;
    let does = |step: &Step| {
        super::feasible(&change.applied(job.spec, &job.address, step), job.world, &job.address, ends)
    };
    let (mut low, mut high) = (0, steps.len().checked_sub(1)?);
    if !does(steps.get(high)?) {
        return None;
    }
    while low < high {
        if ends() {
            return None;
        }
        let middle = low + (high - low) / 2;
        if does(steps.get(middle)?) { high = middle } else { low = middle + 1 }
    }
    let step = steps.get(high)?;
    let spec = change.applied(job.spec, &job.address, step);
    let works = works(job, &spec, ends)?;
    if ends() {
        return None;
    }
    if change.constraint == "quota"
        && let Some(words) = raised(job, &spec)
    {
        return Some((Cow::Owned(step.worded(words)), works));
    }
    Some((Cow::Borrowed(step), works))
}

/// The declared quotas that the cheapest placement without any takes more of, with what it takes: declared
/// so, that placement is allowed.
fn raised(job: &Job<'_>, free: &Spec) -> Option<String> {
    let placed = super::solve(free, job.world, &job.address).ok()?;
    let over: Vec<String> = placed
        .quotas
        .iter()
        .filter_map(|q| {
            let declared = job.declared(q.cloud, &q.region, &q.code).filter(|d| q.amount > d + 1e-9)?;
            Some(format!(
                "{} {} of {} in {}/{} instead of {declared}",
                q.amount, q.unit, q.code, q.cloud, q.region
            ))
        })
        .collect();
    (!over.is_empty()).then(|| format!("a quota of {}", over.join(" and ")))
}

/// The least budget that works, in whole dollars, given all other rules.
fn least_budget(job: &Job<'_>, change: &Change, ends: Ends<'_>) -> Option<(Step, Works)> {
    let mut free = job.spec.clone();
    change.take(&mut free, &job.address);
    let least = super::least_limited(&free, job.world, &job.address)?;
    // Rounded up, and one more for what the rounding of a bill's lines may add.
    let usd = (least.usd() - 1e-6).ceil();
    [usd, usd + 1.0].into_iter().find_map(|usd| {
        let step = change.budget_of(usd);
        let works = works(job, &change.applied(job.spec, &job.address, &step), ends)?;
        Some((step, works))
    })
}

/// Completes a refusal: a smallest set of constraints in conflict, the nearest change of each single one
/// that works, and the candidate that the least of these changes lets in. Where it is ended, what is known by then.
pub(super) fn refusal(job: &Job<'_>, why: &mut InfeasibleWorkload, asking: &Asking<'_>) {
    let cut = AtomicBool::new(false);
    complete(job, why, &|| {
        let ends = asking.stops_apart();
        cut.fetch_or(ends, Ordering::Relaxed);
        ends
    });
    why.ended = asking.stopped().filter(|_| cut.into_inner());
}

fn complete(job: &Job<'_>, why: &mut InfeasibleWorkload, ends: Ends<'_>) {
    if ends() {
        return;
    }
    let all = changes(job);
    let without = |keep: &[bool]| {
        let mut spec = job.spec.clone();
        for (change, _) in all.iter().zip(keep).filter(|(_, keep)| !**keep) {
            change.take(&mut spec, &job.address);
        }
        spec
    };
    let dropped = |keep: &[bool]| super::feasible(&without(keep), job.world, &job.address, ends);
    let mut keep = vec![true; all.len()];
    let none = vec![false; all.len()];
    if !dropped(&none) {
        if ends() {
            return;
        }
        // No constraint of ours stands in the way: what rejected the candidates says it.
        super::impossible::explain(&without(&none), job, why);
        return;
    }
    for i in 0..all.len() {
        if ends() {
            return;
        }
        keep[i] = false;
        if dropped(&keep) {
            keep[i] = true;
        }
    }
    if ends() {
        return;
    }
    let in_conflict: Vec<&Change> =
        all.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(c, _)| c).collect();
    // Who is too late for a federation, and why, is told also where nothing but the time stands in the way.
    let who = why.conflict.iter().find(|r| r.constraint == "min-sites");
    let who = who.filter(|_| in_conflict.iter().all(|c| c.constraint != "min-sites"));
    let conflict: Vec<Rejection> = in_conflict
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let same = why.conflict.iter().find(|r| r.constraint == c.constraint);
            let same = same.or(who.filter(|_| i == 0));
            Rejection {
                constraint: c.constraint,
                reason: same.map_or_else(|| c.says.clone(), |r| format!("{}: {}", c.says, r.reason)),
                at: Some(c.at.clone()),
                distance: same.filter(|r| r.constraint == c.constraint).and_then(|r| r.distance),
            }
        })
        .collect();
    if !conflict.is_empty() {
        why.conflict = conflict;
    }
    let found: Vec<Option<(Cow<'_, Step>, Works)>> = in_conflict
        .par_iter()
        .map(|change| (!ends()).then(|| nearest_step(job, change, ends)).flatten())
        .collect();
    let mut nearest: Option<((f64, Money), Loser)> = None;
    for (change, found) in in_conflict.iter().zip(found) {
        let Some((step, works)) = found else { continue };
        let distance = change.distance(&step);
        let key = (distance.unwrap_or(f64::INFINITY), works.cost);
        if nearest.as_ref().is_none_or(|(best, _)| key < *best) {
            let rejection = Rejection {
                constraint: change.constraint,
                reason: match step.words.starts_with("without") {
                    true => format!("it would do {}", step.words),
                    false => format!("it would do with {}", step.words),
                },
                at: Some(change.at.clone()),
                distance,
            };
            let loser = Loser {
                candidate: works.choice.clone(),
                machines: Some(works.machines),
                per_hour: works.per_hour,
                rejection,
            };
            nearest = Some((key, loser));
        }
        why.relaxations.push(Relaxation {
            constraint: change.constraint,
            at: Some(change.at.clone()),
            change: step.words.clone(),
            cost_per_month: works.cost,
            saves_per_month: None,
            choice: Some(works.choice),
        });
    }
    if let Some((_, loser)) = nearest {
        why.nearest = Some(loser);
    }
    why.relaxations
        .sort_by(|a, b| a.cost_per_month.cmp(&b.cost_per_month).then_with(|| a.change.cmp(&b.change)));
}
