//! Choices that a replay confirms.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::problem::Choice;
use super::{Bound, Planned, Search, fleets, tree};

/// What a replay said of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Replayed {
    Confirmed,
    /// A plan was contradicted; those of its workload were listed again without it.
    ListedAgain,
    /// They are too many to list again: what it beat is lost.
    Lost,
}

impl Search<'_, '_> {
    /// The best choice among the known plans that the replay confirms, and whether every plan within `reach` of its workload's
    /// least was among them. Without a reach the known plans are all there is.
    pub(super) fn confirmed(
        &mut self,
        bound: &Bound,
        known: Option<Vec<usize>>,
        reach: Option<i128>,
        nodes: u64,
    ) -> (tree::Solved, bool) {
        let mut known = known;
        let (mut complete, mut proven) = (true, i64::MIN);
        loop {
            let mut solved = self.tree(bound, known.take(), nodes);
            // Plans that a replay contradicts only raise what was proven with them.
            proven = proven.max(solved.bound).min(solved.best.as_ref().map_or(i64::MAX, |best| best.cost));
            solved.bound = proven;
            let before: Option<Vec<Planned>> = solved.best.as_ref().map(|best| self.of(best));
            let replayed = solved.best.as_ref().map(|best| self.replayed(bound, reach, best));
            // Where machines are shared, much of it is as good a start as ever.
            if !self.rows.fleets.is_empty() {
                known = before.and_then(|plans| self.nearest(&plans));
            }
            match replayed {
                None => return (solved, complete),
                Some(Replayed::Confirmed) => {
                    if let Some(best) = &solved.best {
                        self.hold(best);
                    }
                    return (solved, complete);
                }
                Some(Replayed::ListedAgain) => {}
                Some(Replayed::Lost) => complete = false,
            }
        }
    }

    /// Replays a choice. A plan that is contradicted is known no more; what it beat is not gone with it: the plans of its workload
    /// are listed again, or, without a reach, the next cheapest joins the known ones.
    fn replayed(&mut self, bound: &Bound, reach: Option<i128>, choice: &Choice) -> Replayed {
        let (rows, prices, effort) = (self.rows, &bound.prices, self.effort);
        let limited = !self.active.is_empty();
        let ended = self.asking.stopped().is_some();
        let again: Vec<Option<(Vec<Planned>, Replayed)>> = self
            .workloads
            .par_iter()
            .zip(&self.pool)
            .zip(choice.plans.par_iter().zip(&bound.least))
            .map(|((w, own), (p, least))| {
                let w = w.lock().unwrap_or_else(PoisonError::into_inner);
                w.contradicted(&own[*p].plan).then(|| {
                    let listed = reach
                        .filter(|_| !ended)
                        .and_then(|theta| w.within(rows, (prices, limited), least + theta, effort));
                    if let Some(listed) = listed {
                        return (listed, Replayed::ListedAgain);
                    }
                    let others = own.iter().enumerate().filter(|(i, _)| i != p);
                    let mut left: Vec<Planned> = others.filter_map(|(_, own)| w.renewed(rows, own)).collect();
                    if reach.is_some() {
                        return (left, Replayed::Lost);
                    }
                    left.extend(w.cheapest(rows, prices).ok().map(|answer| answer.found));
                    (left, Replayed::ListedAgain)
                })
            })
            .collect();
        let keep = self.fleets_of(Some(choice));
        let mut replayed = Replayed::Confirmed;
        for (own, again) in self.pool.iter_mut().zip(again) {
            if let Some((list, how)) = again {
                *own = list;
                replayed = replayed.max(how);
            }
        }
        if replayed != Replayed::Confirmed && !self.rows.fleets.is_empty() {
            let mut pool = std::mem::take(&mut self.pool);
            self.without_replaced(&mut pool, &keep);
            self.pool = pool;
        }
        replayed
    }

    /// A choice of the known plans that is nearest to other plans: the same, one as good, or the cheapest, on the same fleets if it can.
    fn nearest(&self, plans: &[Planned]) -> Option<Vec<usize>> {
        let on = |plan: &Planned| -> BTreeSet<usize> { plan.shared.iter().map(|s| s.fleet).collect() };
        let of = |(own, plan): (&Vec<Planned>, &Planned)| {
            let same = own.iter().position(|p| p.beats(plan));
            let fleets = on(plan);
            let cost = |p: &usize| {
                let cost = fleets::folded(&own[*p].column, &self.rows.fleets).cost;
                (on(&own[*p]) != fleets, cost, *p)
            };
            same.or_else(|| (0..own.len()).min_by_key(cost))
        };
        self.pool.iter().zip(plans).map(of).collect()
    }

    /// A choice in terms of another list of plans, each replaced by one that is as good.
    pub(super) fn moved(&self, choice: &Choice, to: &[Vec<Planned>]) -> Option<Vec<usize>> {
        let all = self.pool.iter().zip(to).zip(&choice.plans);
        all.map(|((own, list), p)| list.iter().position(|q| q.beats(&own[*p]))).collect()
    }
}
