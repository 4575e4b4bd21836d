//! Choices that a replay confirms.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use rayon::prelude::*;

use super::problem::{Choice, whole};
use super::{Bound, Planned, Row, Search, Shared, fleets, tree};

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
    ///
    /// Without any choice that is known to hold, one is looked for in a few nodes: what a replay contradicts next is not worth a proof.
    /// The least of a workload rises with what is contradicted, and the bound with it.
    pub(super) fn confirmed(
        &mut self,
        bound: &mut Bound,
        known: Option<Vec<usize>>,
        reach: Option<i128>,
        nodes: u64,
    ) -> (tree::Solved, bool) {
        let mut known = known;
        let (mut complete, mut proven) = (true, i64::MIN);
        let tries = known.is_none() && self.rows.fleets.is_empty();
        let mut few = tries;
        loop {
            let most = if few { nodes.min(FEW) } else { nodes };
            let begun = self.nodes;
            let mut solved = self.tree(bound, known.take(), most);
            // Plans that a replay contradicts only raise what was proven with them.
            proven = proven.max(solved.bound).min(solved.best.as_ref().map_or(i64::MAX, |best| best.cost));
            solved.bound = proven;
            let before: Option<Vec<Planned>> = solved.best.as_ref().map(|best| self.of(best));
            let before_replay = bound.scaled;
            let replayed = solved.best.as_ref().map(|best| self.replayed(bound, reach, best));
            if let Some(theta) = reach.filter(|_| bound.scaled > before_replay) {
                // Lists reach further out from now on: what lies there was in no tree that has proven anything.
                proven = proven.min(whole(before_replay + theta));
            }
            // Where machines are shared, much of it is as good a start as ever.
            if !self.rows.fleets.is_empty() {
                known = before.and_then(|plans| self.nearest(&plans));
            }
            match replayed {
                None if few && most < nodes && self.asking.stopped().is_none() => few = false,
                None => return (solved, complete),
                Some(Replayed::Confirmed) => {
                    if let Some(best) = &solved.best {
                        self.hold(best);
                    }
                    let ended = self.nodes - begun < most || self.asking.stopped().is_some();
                    if ended || !few || most == nodes {
                        return (solved, complete);
                    }
                    few = false;
                    known = solved.best.map(|best| best.plans);
                }
                Some(Replayed::ListedAgain) => few = tries,
                Some(Replayed::Lost) => (few, complete) = (tries, false),
            }
        }
    }

    /// Prices at which every workload spares what is scarce. What is not scarce yet has the price of the quota that is most so: all that
    /// is spared elsewhere would go there.
    pub(super) fn sparing(&self, prices: &[i128]) -> Vec<i128> {
        let quota = |row: &Row| matches!(row.what, Shared::Quota { .. });
        let rows = || self.rows.list.iter().zip(prices);
        let most = rows().filter(|(row, _)| quota(row)).map(|(_, price)| *price).max().unwrap_or(0);
        rows()
            .map(|(row, price)| match row.what {
                Shared::Quota { .. } if *price == 0 => most,
                Shared::Quota { .. } | Shared::Carbon => price.saturating_mul(SPARING),
                _ => *price,
            })
            .collect()
    }

    /// Replays a choice. A plan that is contradicted is known no more; what it beat is not gone with it: the plans of its workload
    /// are listed again, or, without a reach, the next cheapest joins the known ones.
    fn replayed(&mut self, bound: &mut Bound, reach: Option<i128>, choice: &Choice) -> Replayed {
        let (rows, prices, effort) = (self.rows, &bound.prices, self.effort);
        let limited = !self.active.is_empty();
        let sparing = self.sparing(prices);
        let ended = self.asking.stopped().is_some();
        let again: Vec<Option<(Vec<Planned>, Replayed, i128)>> = self
            .workloads
            .par_iter()
            .zip(&self.pool)
            .zip(choice.plans.par_iter().zip(&bound.least))
            .map(|((w, own), (p, least))| {
                let w = w.lock().unwrap_or_else(PoisonError::into_inner);
                w.contradicted(&own[*p].plan).then(|| {
                    let answer = w.cheapest(rows, prices, None).ok();
                    let least = answer.as_ref().map_or(*least, |answer| answer.least.max(*least));
                    let listed = reach
                        .filter(|_| !ended)
                        .and_then(|theta| w.within(rows, (prices, limited), least + theta, effort));
                    if let Some(listed) = listed {
                        return (listed, Replayed::ListedAgain, least);
                    }
                    let others = own.iter().enumerate().filter(|(i, _)| i != p);
                    let mut left: Vec<Planned> = others.filter_map(|(_, own)| w.renewed(rows, own)).collect();
                    if reach.is_some() {
                        return (left, Replayed::Lost, least);
                    }
                    // What was contradicted may have been its only plan that leaves others what is scarce.
                    for answer in answer.into_iter().chain(w.cheapest(rows, &sparing, None).ok()) {
                        if left.iter().all(|known| known.column != answer.found.column) {
                            left.push(answer.found);
                        }
                    }
                    (left, Replayed::ListedAgain, least)
                })
            })
            .collect();
        if again.iter().any(Option::is_some) {
            self.answered.fill_with(|| None);
        }
        let keep = self.fleets_of(Some(choice));
        let mut replayed = Replayed::Confirmed;
        for ((own, least), again) in self.pool.iter_mut().zip(&mut bound.least).zip(again) {
            if let Some((list, how, now)) = again {
                *own = list;
                bound.scaled += now - *least;
                *least = now;
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

/// Nodes in which a first choice is looked for.
const FEW: u64 = 8;

/// What quotas and emissions are priced at, as a multiple of their prices, for a plan that spares them.
const SPARING: i128 = 16;
