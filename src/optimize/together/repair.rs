//! From mixed plans to a choice: rounded, repaired where it breaks limits, then improved while anything improves.

use super::master::Relaxed;
use super::problem::Problem;

/// How hard a choice is improved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// One workload at a time.
    Singles,
    /// Also two at a time.
    Pairs,
}

/// A choice among `allowed` near a relaxation; `None` if the repair ends in a dead end.
pub fn nearest(
    problem: &Problem,
    allowed: &[Vec<usize>],
    relaxed: &Relaxed,
    effort: Effort,
) -> Option<Vec<usize>> {
    let mut plans = Vec::with_capacity(allowed.len());
    for (s, list) in allowed.iter().enumerate() {
        let most = relaxed.shares[s].iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        plans.push(most.map(|(p, _)| *p).or_else(|| list.first().copied())?);
    }
    repaired(problem, allowed, plans, &relaxed.prices, effort)
}

/// The same from any choice.
pub fn repaired(
    problem: &Problem,
    allowed: &[Vec<usize>],
    plans: Vec<usize>,
    prices: &[i64],
    effort: Effort,
) -> Option<Vec<usize>> {
    let taken = problem.taken(&plans);
    let broken = taken.iter().zip(&problem.limits).filter(|(t, l)| **t > i128::from(**l)).count();
    let mut state = State { problem, allowed, taken, plans, broken };
    state.repair(prices).then(|| {
        state.improve(effort);
        state.plans
    })
}

struct State<'p> {
    problem: &'p Problem,
    allowed: &'p [Vec<usize>],
    plans: Vec<usize>,
    taken: Vec<i128>,
    /// Limits that are broken.
    broken: usize,
}

impl State<'_> {
    /// How far a row is taken beyond its limit, as a share of that.
    fn over(&self, row: usize, taken: i128) -> f64 {
        let limit = self.problem.limits[row];
        let over = i64::try_from(taken - i128::from(limit)).unwrap_or(i64::MAX).max(0);
        over as f64 / limit.max(1) as f64
    }

    /// The rows of which a workload takes another amount after it changes its plan, with what is taken of them then.
    fn after(&self, s: usize, p: usize) -> impl Iterator<Item = (usize, i128)> {
        let own = &self.problem.plans[s];
        let (mut from, mut to) = (own[self.plans[s]].uses.as_slice(), own[p].uses.as_slice());
        std::iter::from_fn(move || {
            let row = [from, to].iter().filter_map(|uses| Some(uses.first()?.0)).min()?;
            let next = |uses: &mut &[(usize, i64)]| match uses.split_first() {
                Some(((r, amount), rest)) if *r == row => {
                    *uses = rest;
                    i128::from(*amount)
                }
                _ => 0,
            };
            let change = -next(&mut from) + next(&mut to);
            Some((row, self.taken[row] + change))
        })
        .filter(|(row, then)| self.taken[*row] != *then)
    }

    fn change(&mut self, s: usize, p: usize) {
        let after: Vec<(usize, i128)> = self.after(s, p).collect();
        for (row, taken) in after {
            let breaks = |taken: i128| usize::from(taken > i128::from(self.problem.limits[row]));
            self.broken = self.broken + breaks(taken) - breaks(self.taken[row]);
            self.taken[row] = taken;
        }
        self.plans[s] = p;
    }

    /// Whether all limits are kept after a change.
    fn fits_after(&self, s: usize, p: usize) -> bool {
        let mut broken = self.broken;
        for (row, taken) in self.after(s, p) {
            let limit = i128::from(self.problem.limits[row]);
            if taken > limit {
                return false;
            }
            broken -= usize::from(self.taken[row] > limit);
        }
        broken == 0
    }

    /// Changes the plan that costs least for what it takes off the excess, until there is none.
    fn repair(&mut self, prices: &[i64]) -> bool {
        while self.broken > 0 {
            let mut best: Option<(f64, usize, usize)> = None;
            for (s, list) in self.allowed.iter().enumerate() {
                let own = &self.problem.plans[s];
                let here = own[self.plans[s]].priced(prices);
                for p in list.iter().filter(|p| **p != self.plans[s]) {
                    let less = |(row, then)| self.over(row, self.taken[row]) - self.over(row, then);
                    let less: f64 = self.after(s, *p).map(less).sum();
                    if less <= LEAST {
                        continue;
                    }
                    let dearer = (own[*p].priced(prices) - here).max(0) as f64 + 1.0;
                    if best.is_none_or(|(least, ..)| dearer / less < least) {
                        best = Some((dearer / less, s, *p));
                    }
                }
            }
            let Some((_, s, p)) = best else { return false };
            self.change(s, p);
        }
        true
    }

    /// Cheaper plans one workload at a time, then two: one to a cheaper plan that does not fit, another out of its way.
    fn improve(&mut self, effort: Effort) {
        let mut rounds = 0;
        while rounds < MOST_ROUNDS && (self.one() || (effort == Effort::Pairs && self.two())) {
            rounds += 1;
        }
    }

    fn one(&mut self) -> bool {
        let mut any = false;
        for s in 0..self.plans.len() {
            let own = &self.problem.plans[s];
            let here = own[self.plans[s]].cost;
            let better = self.allowed[s].iter().filter(|p| own[**p].cost < here && self.fits_after(s, **p));
            if let Some(p) = better.min_by_key(|p| (own[**p].cost, **p)) {
                self.change(s, *p);
                any = true;
            }
        }
        any
    }

    fn two(&mut self) -> bool {
        let mut effort = MOST_PAIRS;
        for s in 0..self.plans.len() {
            let own = &self.problem.plans[s];
            let (from, here) = (self.plans[s], own[self.plans[s]].cost);
            for p in self.allowed[s].iter().filter(|p| own[**p].cost < here) {
                let gain = here - own[*p].cost;
                self.change(s, *p);
                let mut best: Option<(i64, usize, usize)> = None;
                for (other, list) in self.allowed.iter().enumerate().filter(|(o, _)| *o != s) {
                    let theirs = &self.problem.plans[other];
                    let now = theirs[self.plans[other]].cost;
                    for q in list {
                        let more = theirs[*q].cost - now;
                        effort = effort.saturating_sub(1);
                        if more < gain
                            && best.is_none_or(|(least, ..)| more < least)
                            && self.fits_after(other, *q)
                        {
                            best = Some((more, other, *q));
                        }
                    }
                }
                if let Some((_, other, q)) = best {
                    self.change(other, q);
                    return true;
                }
                self.change(s, from);
                if effort == 0 {
                    return false;
                }
            }
        }
        false
    }
}

/// Less is no progress: sums of shares of limits may differ by so much for want of digits.
const LEAST: f64 = 1e-12;
/// Rounds of improvement.
const MOST_ROUNDS: u32 = 200;
/// Pairs of changes looked at in a round.
const MOST_PAIRS: u64 = 2_000_000;
