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
    let mut state = State { problem, allowed, taken: problem.taken(&plans), plans };
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
}

impl State<'_> {
    /// How far beyond the limits, as a sum of shares of them.
    fn excess(&self, taken: impl Fn(usize) -> i128) -> f64 {
        let over = |(r, l): (usize, &i64)| (taken(r) - i128::from(*l)).max(0) as f64 / (*l).max(1) as f64;
        self.problem.limits.iter().enumerate().map(over).sum()
    }

    /// What is taken of a row after a workload changes its plan.
    fn after(&self, s: usize, p: usize, r: usize) -> i128 {
        let own = &self.problem.plans[s];
        self.taken[r] - i128::from(own[self.plans[s]].of(r)) + i128::from(own[p].of(r))
    }

    fn change(&mut self, s: usize, p: usize) {
        for r in 0..self.taken.len() {
            self.taken[r] = self.after(s, p, r);
        }
        self.plans[s] = p;
    }

    fn fits_after(&self, s: usize, p: usize) -> bool {
        self.problem.limits.iter().enumerate().all(|(r, l)| self.after(s, p, r) <= i128::from(*l))
    }

    /// Changes the plan that costs least for what it takes off the excess, until there is none.
    fn repair(&mut self, prices: &[i64]) -> bool {
        let mut now = self.excess(|r| self.taken[r]);
        while now > 0.0 {
            let mut best: Option<(f64, usize, usize, f64)> = None;
            for (s, list) in self.allowed.iter().enumerate() {
                let own = &self.problem.plans[s];
                let here = own[self.plans[s]].priced(prices);
                for p in list.iter().filter(|p| **p != self.plans[s]) {
                    let then = self.excess(|r| self.after(s, *p, r));
                    if then >= now {
                        continue;
                    }
                    let dearer = (own[*p].priced(prices) - here).max(0) as f64 + 1.0;
                    let each = dearer / (now - then);
                    if best.is_none_or(|(least, ..)| each < least) {
                        best = Some((each, s, *p, then));
                    }
                }
            }
            let Some((_, s, p, then)) = best else { return false };
            self.change(s, p);
            now = then;
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

/// Rounds of improvement.
const MOST_ROUNDS: u32 = 200;
/// Pairs of changes looked at in a round.
const MOST_PAIRS: u64 = 2_000_000;
