//! All workloads at once, where their separate optima break a limit that they share.
//!
//! Dantzig and Wolfe's decomposition: the master problem chooses among plans that are known and prices what is shared; each
//! workload answers with its cheapest plan at those prices, exactly and in integers, until no answer is new. What the prices
//! prove bounds every placement from below (Lagrange). A workload whose plan new prices make no dearer, and no other cheaper, is not asked
//! again; one that is asked need not look at what costs more than a plan that is known. Then every plan is listed that costs its workload
//! no more than the gap beyond its least: nothing cheaper than the best choice known uses another. Branch and bound over these closes the
//! proof.
//! As most of a first gap is for want of a good choice, plans are listed within a part of it first, then further out.
//!
//! Where machines are shared (`fleets`), what is priced pays for its part of a machine, which bounds weakly: plans are listed out to the
//! whole gap at once, a descent (`descent`) makes the first choice, parts of it are chosen anew (`choose`), and the tree splits on
//! machines that are not whole: those of a kind in all regions together, then those of a fleet. It goes down from the least bound. A choice
//! costs what the rule says by which machines are filled; rows that it breaks are added.
//!
//! All of this goes by the closed form of capacity. A choice is replayed before anything is measured by it; a plan that the replay
//! contradicts is left out from then on, and its workload's plans are listed again, with those that it had beaten. The
//! prices stay: leaving plans out only raises what they bound.
//!
//! Limits are looked at when something breaks them: leaving one out only lowers the bound.

mod choose;
mod confirm;
mod descent;
mod fleets;
mod master;
mod plans;
mod problem;
mod quotas;
mod repair;
mod rows;
#[cfg(test)]
mod tests;
mod tree;
mod within;
mod workload;

pub(super) use plans::{Plan, Planned};
pub(super) use problem::ONE;
pub(super) use rows::{Row, Rows, Shared, UNLIMITED, millionths};
pub(super) use workload::Workload;

use master::Basis;
use problem::{Choice, Column, Problem, whole};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::watch::{Asking, Standing, Step};
use crate::placement::Rejection;
use rhumb_api::Money;

/// What was found.
pub(super) struct Together {
    /// The plan of each workload; `None` if no choice within the limits is known.
    pub chosen: Option<Vec<Planned>>,
    /// Cost of it, micro-dollars a month.
    pub cost: i64,
    /// Nothing costs less.
    pub bound: i64,
    /// Price of each row, over [`ONE`].
    pub prices: Vec<i128>,
    /// What a little more of each row is worth, over [`ONE`]: where prices are not unique, the lowest.
    pub worth: Vec<i128>,
    /// The least of each workload at these prices, times [`ONE`].
    pub least: Vec<i128>,
    /// The least of each workload where no limit is priced, times [`ONE`].
    pub unlimited: Vec<i128>,
    /// Rows that are short at any price.
    pub short: Vec<usize>,
    /// Rows that something broke.
    pub active: Vec<usize>,
    /// What of budgets and quotas is taken by the choice.
    pub taken: Vec<i128>,
    /// What shared machines count for beside what is paid for them, micro-dollars a month.
    pub counted: i64,
    pub plans: u64,
    pub nodes: u64,
}

/// How much is done before the gap is told instead of closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Nodes of a tree.
    pub nodes: u64,
    /// Plans of a workload.
    pub plans: usize,
    /// Pools that are looked at for them.
    pub pools: u64,
    /// Times that plans are listed further out.
    pub reaches: u32,
}

impl Effort {
    /// For any choice within the limits, cheap or not.
    pub fn any() -> Self {
        Effort { nodes: 200, plans: 400, pools: 60_000, reaches: 2 }
    }
}

impl Default for Effort {
    fn default() -> Self {
        Effort { nodes: 2_000, plans: 4_000, pools: 400_000, reaches: 6 }
    }
}

/// A price of what is missing that no plan is worth, in units of the dearest plan.
const MISSING: f64 = 1e6;

/// The cheapest choice of one plan for each workload within all rows, as far as the effort goes.
///
/// When `asking` ends it, that is the cheapest known; none may be.
///
/// # Errors
/// The workload that has no plan at all, and why.
pub(super) fn solve(
    workloads: &[Mutex<Workload<'_>>],
    rows: &Rows,
    effort: Effort,
    asking: &Asking<'_>,
) -> Result<Together, (usize, Rejection)> {
    let mut search = Search {
        workloads,
        rows,
        effort,
        asking,
        held: None,
        bound: None,
        proven: None,
        active: Vec::new(),
        pool: workloads.iter().map(|_| Vec::new()).collect(),
        nodes: 0,
        begun: 0,
        needed: Vec::new(),
        by_address: Vec::new(),
        answered: workloads.iter().map(|_| None).collect(),
    };
    let address = |s: &usize| {
        let workload = workloads[*s].lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}/", workload.job.address)
    };
    search.by_address = (0..workloads.len()).collect();
    search.by_address.sort_by_cached_key(address);
    // There is no choice within the limits among the cheapest plans of each.
    let (first, _) =
        search.answers(&search.all(&[]), Step::Prices { round: 0 })?.ok_or_else(|| (0, never()))?;
    for (own, w) in search.pool.iter_mut().zip(workloads) {
        let alone = w.lock().unwrap_or_else(PoisonError::into_inner).alone(rows);
        own.extend(alone.filter(|alone| own.iter().all(|p| p.column != alone.column)));
    }
    loop {
        let found = search.round()?;
        if !search.activate(&found) {
            return Ok(Together { unlimited: first, ..found });
        }
    }
}

struct Search<'s, 'a> {
    workloads: &'s [Mutex<Workload<'a>>],
    rows: &'s Rows,
    effort: Effort,
    asking: &'s Asking<'s>,
    /// The cheapest choice within all rows that a replay has confirmed.
    held: Option<Held>,
    /// What is proven so far, micro-dollars a month.
    bound: Option<i64>,
    /// What the prices of the last round proved.
    proven: Option<Bound>,
    /// Rows that something broke, in order.
    active: Vec<usize>,
    /// Plans that are known of each workload.
    pool: Vec<Vec<Planned>>,
    nodes: u64,
    /// Nodes that do not count against the effort: those before this round, and those of parts that were chosen anew.
    begun: u64,
    /// Fleets and workloads whose machines are counted by a row of their own, where not all are: as they were added.
    needed: Vec<(usize, usize)>,
    /// Workloads in the order in which their pools are put on machines of a fleet, among those of the same size.
    by_address: Vec<usize>,
    /// What each workload answered last, until a replay contradicts anything.
    answered: Vec<Option<Answered>>,
}

/// The answer of a workload.
struct Answered {
    /// The prices of all rows that it was asked at.
    prices: Vec<i128>,
    least: i128,
    column: Column,
}

/// A choice by its plans.
#[derive(Clone)]
struct Held {
    cost: i64,
    chosen: Vec<Planned>,
}

/// A bound with what it follows from.
#[derive(Clone)]
struct Bound {
    scaled: i128,
    prices: Vec<i128>,
    least: Vec<i128>,
    short: Vec<usize>,
    basis: Basis,
}

/// The least of each workload, and whether a plan is new.
type Answers = (Vec<i128>, bool);

impl Search<'_, '_> {
    /// The known plans over the active rows, with parts of shared machines.
    fn problem(&self) -> Problem {
        let short = |c: &Column| {
            let folded = fleets::folded(c, &self.rows.fleets);
            let place = |(r, u): (usize, i64)| Some((self.active.binary_search(&r).ok()?, u));
            Column { uses: folded.uses.iter().copied().filter_map(place).collect(), ..folded }
        };
        Problem {
            limits: self.active.iter().map(|r| self.rows.list[*r].limit).collect(),
            machine: self.rows.machine,
            plans: self.pool.iter().map(|own| own.iter().map(|p| short(&p.column)).collect()).collect(),
            ..Problem::default()
        }
    }

    /// Prices of the active rows as prices of all.
    fn all(&self, prices: &[i64]) -> Vec<i128> {
        let mut all = vec![0; self.rows.list.len()];
        for (row, price) in self.active.iter().zip(prices) {
            all[*row] = i128::from(*price);
        }
        self.rows.with_slots(all)
    }

    /// Asks whether to end.
    fn stops(&self, step: Step) -> bool {
        let found = self.held.as_ref().map(|h| Money::from_micros(h.cost));
        self.asking.stops(Standing { step, found, bound: self.bound.map(Money::from_micros) })
    }

    /// Asks every workload for its cheapest plan; those that are new are known from then on. `None` if the search was ended
    /// before all had answered.
    fn answers(&mut self, prices: &[i128], step: Step) -> Result<Option<Answers>, (usize, Rejection)> {
        let (rows, workloads) = (self.rows, self.workloads);
        let answers: Option<Vec<_>> = workloads
            .par_iter()
            .zip(&self.pool)
            .zip(&self.answered)
            .map(|((w, own), before)| {
                if self.stops(step) {
                    return None;
                }
                let w = w.lock().unwrap_or_else(PoisonError::into_inner);
                let known = |before: &&Answered| own.iter().any(|p| p.column == before.column);
                let same = |before: &&Answered| w.answers_alike(&before.column, &before.prices, prices);
                if let Some(before) = before.as_ref().filter(same).filter(known) {
                    return Some(Ok((before.least, None)));
                }
                let known = own.iter().map(|p| p.column.priced(prices)).min();
                Some(w.cheapest(rows, prices, known).map(|answer| (answer.least, Some(answer))))
            })
            .collect();
        let Some(answers) = answers else { return Ok(None) };
        let (mut least, mut new) = (Vec::with_capacity(answers.len()), false);
        for (i, answer) in answers.into_iter().enumerate() {
            let (bound, answer) = answer.map_err(|why| (i, why))?;
            least.push(bound);
            let Some(answer) = answer else { continue };
            let column = answer.found.column.clone();
            self.answered[i] = Some(Answered { prices: prices.to_vec(), least: bound, column });
            if !self.pool[i].iter().any(|p| p.column == answer.found.column) {
                let known = self.pool[i].iter().map(|p| p.column.priced(prices)).min();
                new |= known.is_none_or(|k| answer.found.column.priced(prices) < k);
                self.pool[i].push(answer.found);
            }
        }
        Ok(Some((least, new)))
    }

    /// Prices of what is shared at which no workload has a better answer, and what they prove.
    fn prices(&mut self) -> Result<Bound, (usize, Rejection)> {
        let mut best: Option<Bound> = None;
        let mut basis: Option<Basis> = None;
        let mut short = Vec::new();
        for round in 0..MOST_ROUNDS {
            let problem = self.problem();
            let allowed: Vec<Vec<usize>> = problem.plans.iter().map(|own| (0..own.len()).collect()).collect();
            let relaxed = master::relax(&problem, &allowed, basis.as_ref(), MISSING);
            let prices = self.all(&relaxed.prices);
            let Some((least, new)) = self.answers(&prices, Step::Prices { round })? else { break };
            let scaled = least.iter().sum::<i128>() - problem.paid(&relaxed.prices);
            basis = Some(relaxed.basis.clone());
            if best.as_ref().is_none_or(|b| scaled >= b.scaled) {
                best = Some(Bound { scaled, prices, least, short: Vec::new(), basis: relaxed.basis.clone() });
            }
            let broken = self.broken(&relaxed.shares);
            if broken.is_empty() && !new {
                // Only now no plan is left that would take less.
                short = relaxed.short;
                break;
            }
            for row in broken {
                self.active.push(row);
                // A basis names rows by their place among the active ones.
                basis = None;
            }
            self.active.sort_unstable();
        }
        // Rows that something broke since then only raise what was proven without them.
        let best = best.or_else(|| self.proven.take()).map(|b| Bound { short, ..b });
        self.proven = best.clone().map(|b| Bound { basis: Basis::default(), short: Vec::new(), ..b });
        best.ok_or_else(|| (0, never()))
    }

    /// Rows that mixed plans break and that are not looked at yet.
    fn broken(&self, shares: &[Vec<(usize, f64)>]) -> Vec<usize> {
        let mut taken = vec![0.0; self.rows.list.len()];
        for (own, list) in self.pool.iter().zip(shares) {
            for (p, x) in list {
                let Some(planned) = own.get(*p) else { continue };
                for (r, u) in fleets::folded(&planned.column, &self.rows.fleets).uses {
                    taken[r] += u as f64 * x;
                }
            }
        }
        let over = |r: &usize| taken[*r] > self.rows.list[*r].limit as f64 * (1.0 + 1e-9);
        (0..taken.len()).filter(|r| self.active.binary_search(r).is_err()).filter(over).collect()
    }

    fn round(&mut self) -> Result<Together, (usize, Rejection)> {
        self.begun = self.nodes;
        let mut bound = self.prices()?;
        let mut best = None;
        let mut listed = 0;
        self.bound = self.bound.max(Some(whole(bound.scaled)));
        // Shared machines are good for a weak bound: all that counts is what is listed out to the whole gap.
        let alone = self.rows.fleets.is_empty();
        let (first, nodes) = if alone { (FIRST_REACH, (self.effort.nodes / 8).max(1)) } else { (1, 1) };
        if alone && bound.short.is_empty() {
            // With a plan of each that spares what is scarce, most of what is rounded can be repaired.
            let sparing = self.sparing(&bound.prices);
            self.answers(&sparing, Step::Plans)?;
        }
        for _ in 0..MOST_AGAIN {
            if !bound.short.is_empty() {
                break;
            }
            let before = bound.scaled;
            best = self.confirmed(&mut bound, None, None, nodes).0.best;
            self.bound = self.bound.max(Some(whole(bound.scaled)));
            // What a replay contradicted may have been all that leaves room for others: what they have besides is asked for again.
            if best.is_some() || !alone || bound.scaled == before || self.asking.stopped().is_some() {
                break;
            }
            bound = self.prices()?;
        }
        let mut lower = whole(bound.scaled);
        if bound.short.is_empty() {
            // Without a choice to measure by, plans are listed further and further out.
            let sum: i128 =
                bound.least.iter().sum::<i128>().max(ONE).max(i128::from(self.rows.machine) * ONE);
            // Most of a first gap is for want of a good choice, and lists within a part of it hold a better one.
            let each = sum / self.workloads.len().max(1) as i128;
            let mut reach = best.as_ref().map(|b| {
                let gap = i128::from(b.cost) * ONE - bound.scaled;
                // A thousandth of a mean workload's cost holds hardly more plans than nothing does.
                gap.min((gap / first).max(each / 1000))
            });
            // Nothing that is worth a look lies further out than what budgets allow.
            let most = self.rows.most().map(|m| (i128::from(m) + 1) * ONE - bound.scaled);
            let nearer = |out: i128| most.unwrap_or(i128::MAX).min(out);
            // A list out to a mean workload's cost holds nearly all that there is.
            let mut out = nearer(sum / 500.max(self.workloads.len() as i128));
            for _ in 0..self.effort.reaches {
                let keep = self.fleets_of(best.as_ref());
                let (theta, pool) = self.listed(&bound, reach.unwrap_or(out), &keep);
                if self.asking.stopped().is_some() {
                    break;
                }
                listed = pool.iter().map(|own| own.len() as u64).sum();
                let known = best.take().and_then(|choice| self.moved(&choice, &pool));
                let before = std::mem::replace(&mut self.pool, pool);
                let (solved, complete) = self.confirmed(&mut bound, known, Some(theta), self.effort.nodes);
                let listed_to = if complete { theta } else { 0 };
                lower = lower.max(solved.bound.min(whole(bound.scaled + listed_to)));
                self.bound = self.bound.max(Some(lower));
                best = solved.best;
                if best.is_none() {
                    self.pool = before;
                }
                let wanted = best.as_ref().map(|b| i128::from(b.cost) * ONE - bound.scaled);
                match wanted {
                    // All that could be cheaper was listed, or no more can be.
                    Some(gap) if gap <= theta || theta < reach.unwrap_or(out) => break,
                    Some(gap) => reach = Some(gap.min(theta.max(ONE) * FURTHER)),
                    None if theta < reach.unwrap_or(out) || most.is_some_and(|m| theta >= m) => break,
                    None => {
                        reach = None;
                        out = nearer(out.max(theta) * FURTHER);
                    }
                }
            }
        }
        let worth = self.worth();
        let last = best.map(|b| Held { cost: b.cost, chosen: self.of(&b) });
        let cut = last.is_none() || self.asking.stopped().is_some();
        let held = self.held.take_if(|_| cut).filter(|h| self.holds(h));
        let best = last.into_iter().chain(held).min_by_key(|h| h.cost);
        let cost = best.as_ref().map_or(i64::MAX, |b| b.cost);
        let chosen = best.map(|b| b.chosen);
        Ok(Together {
            taken: chosen.as_ref().map_or_else(Vec::new, |chosen| self.taken(chosen)),
            counted: chosen.as_ref().map_or(0, |chosen| self.beside_the_bill(chosen)),
            chosen,
            cost,
            bound: lower.min(cost),
            prices: bound.prices,
            worth,
            least: bound.least,
            unlimited: Vec::new(),
            short: bound.short.iter().filter_map(|r| self.active.get(*r).copied()).collect(),
            active: self.active.clone(),
            plans: listed,
            nodes: self.nodes,
        })
    }

    /// Prices of the relaxation with a millionth more of each limit. At the limits themselves they may be those of a little less,
    /// of which there may be no placement at all.
    fn worth(&self) -> Vec<i128> {
        let mut more = self.problem();
        more.limits.iter_mut().for_each(|l| *l = l.saturating_add((*l / 1_000_000).max(1)));
        let allowed: Vec<Vec<usize>> = more.plans.iter().map(|own| (0..own.len()).collect()).collect();
        self.all(&master::relax(&more, &allowed, None, MISSING).prices)
    }

    /// The plans of a choice.
    fn of(&self, choice: &Choice) -> Vec<Planned> {
        choice.plans.iter().zip(&self.pool).map(|(p, own)| own[*p].clone()).collect()
    }

    /// Keeps a confirmed choice if it is the cheapest within all rows.
    fn hold(&mut self, choice: &Choice) {
        if self.held.as_ref().is_none_or(|h| choice.cost < h.cost) {
            let chosen = self.of(choice);
            if self.broken_by(&chosen).is_empty() {
                self.held = Some(Held { cost: choice.cost, chosen });
            }
        }
    }

    /// Whether what was confirmed is still so after later replays.
    fn holds(&self, held: &Held) -> bool {
        held.chosen.iter().zip(self.workloads).all(|(planned, w)| {
            let w = w.lock().unwrap_or_else(PoisonError::into_inner);
            w.renewed(self.rows, planned).is_some_and(|now| now.column == planned.column)
        })
    }

    /// Every plan within `theta` of its workload's least at the bound's prices, together with those known that are no
    /// further; and how far it really went. A workload whose plans are too many is listed nearer, the others no less far: what they have
    /// there makes better choices, and with them a smaller gap.
    fn listed(&self, bound: &Bound, theta: i128, keep: &BTreeSet<usize>) -> (i128, Vec<Vec<Planned>>) {
        let theta = theta.max(0);
        let limited = !self.active.is_empty();
        let list = |(w, least): (&Mutex<Workload<'_>>, &i128)| {
            let w = w.lock().unwrap_or_else(PoisonError::into_inner);
            let reaches = (0..MOST_NEARER).map(|nearer| theta >> (2 * nearer));
            let mut reaches = reaches.take_while(|_| !self.stops(Step::Plans));
            reaches.find_map(|reach| {
                let list = w.within(self.rows, (&bound.prices, limited), least + reach, self.effort)?;
                Some((reach, list))
            })
        };
        let lists: Vec<Option<(i128, Vec<Planned>)>> =
            self.workloads.par_iter().zip(&bound.least).map(list).collect();
        let Some(lists) = lists.into_iter().collect::<Option<Vec<_>>>() else {
            return (0, self.pool.clone());
        };
        let nearest = lists.iter().map(|(reach, _)| *reach).min().unwrap_or(theta);
        let mut lists: Vec<Vec<Planned>> = lists.into_iter().map(|(_, list)| list).collect();
        for ((list, known), w) in lists.iter_mut().zip(&self.pool).zip(self.workloads) {
            let w = w.lock().unwrap_or_else(PoisonError::into_inner);
            for planned in known.iter().filter_map(|known| w.renewed(self.rows, known)) {
                if !list.iter().any(|p| p.beats(&planned)) {
                    list.push(planned);
                }
            }
        }
        self.without_replaced(&mut lists, keep);
        (nearest, lists)
    }

    /// Looks at the rows that a choice breaks from now on; whether there are any.
    fn activate(&mut self, found: &Together) -> bool {
        let Some(chosen) = &found.chosen else { return false };
        let before = self.active.len();
        for r in self.broken_by(chosen) {
            if self.active.binary_search(&r).is_err() {
                self.active.push(r);
                self.active.sort_unstable();
            }
        }
        self.active.len() > before
    }

    /// Rows of which plans take more than there is.
    fn broken_by(&self, chosen: &[Planned]) -> Vec<usize> {
        let taken = self.taken(chosen);
        let over = |(r, row): (usize, &Row)| {
            (row.what != Shared::Slots && taken[r] > i128::from(row.limit)).then_some(r)
        };
        self.rows.list.iter().enumerate().filter_map(over).collect()
    }
}

fn never() -> Rejection {
    Rejection { constraint: "infeasible", reason: "no prices were tried".into(), at: None, distance: None }
}

/// The part of the gap within which plans are listed first: its inverse.
const FIRST_REACH: i128 = 64;
/// By which it grows.
const FURTHER: i128 = 8;
/// Times that what is shared is priced anew for want of any choice that a replay confirms.
const MOST_AGAIN: u32 = 4;
/// Rounds of prices before the best bound so far is taken.
const MOST_ROUNDS: u32 = 60;
/// Times that a list that is too long is asked for again, nearer.
const MOST_NEARER: u32 = 5;
