//! Branch and bound over whole numbers of machines of each kind, with the proof as it goes.
//!
//! A node is a span of numbers for each kind. Prices of machines bound it from below in integers; they come from the linear relaxation
//! of the node (`lp`), are kept, and are tried on every later node before that is relaxed. Nodes are taken by their bound; of a node that is not
//! closed by it the kind whose number is the least whole is divided. A number of machines does if a routing says so, in integers, and prices
//! that say that it does not are kept like all others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use super::lp::{self, Curve, Solution, Start};
use super::problem::{Offer, Problem, Span, Verdict};
use crate::placement::{MixBranch, MixProof};
use crate::spec::profile::PARTS;

/// Prices in a proof are whole multiples of this.
pub const UNIT: i128 = 1 << 14;

/// Nodes that are looked at, times kinds and classes; beyond, the least bound of what is left is what is proven.
const EFFORT: usize = 64_000_000;

/// Fewest and most nodes.
const NODES: (usize, usize) = (1_000, 20_000);

/// Nodes of which the whole numbers are made fewer: the first, and of as many one.
const FIRST: usize = 32;

/// Kept prices that a node is held against before it is relaxed: the latest.
const TRIED: usize = 200;

/// What was found, and what is proven.
#[derive(Clone, Debug)]
pub struct Found {
    /// Machines of each kind.
    pub counts: Vec<u32>,
    #[cfg(test)]
    pub cost: i128,
    /// Nothing that does costs less.
    pub least: i128,
    pub proof: MixProof,
    #[cfg(test)]
    pub nodes: usize,
}

/// Prices with what all classes are worth at them, which no span changes.
struct Prices {
    stored: Vec<i64>,
    full: Vec<i128>,
    /// As it is, and in a failure.
    worth: (i128, i128),
}

struct Open {
    span: Span,
    bound: i128,
    prices: usize,
    /// Index into the proof's tree.
    place: usize,
    /// Where the relaxation begins.
    start: Rc<Start>,
}

struct Search<'a> {
    problem: &'a Problem,
    /// All costs are multiples of it.
    gcd: i128,
    pool: Vec<Prices>,
    tree: Vec<Draft>,
    best: Option<(Vec<u32>, i128)>,
    scale: f64,
    /// Relaxations, and those that were rounded up.
    relaxed: usize,
    rounded: usize,
}

/// How a node is divided: up to `at` machines of a kind, and more.
struct Split {
    prices: usize,
    kind: usize,
    at: u32,
    start: Rc<Start>,
}

/// A branch of the tree while it grows.
#[derive(Clone, Copy)]
enum Draft {
    Leaf(usize),
    Split { kind: usize, at: u32, below: usize, above: usize },
}

/// Why there are no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// No number does: prices say so of all of them.
    Does,
    /// None was found, and it is not known that none does.
    Found,
}

/// The cheapest numbers of machines.
///
/// # Errors
/// There are none, or none was found.
pub fn cheapest(problem: &Problem) -> Result<Found, Nothing> {
    cheapest_from(problem, vec![0; problem.kinds()])
}

/// The cheapest of those with at least so many of each kind. Errors are those of [`cheapest`].
pub fn cheapest_from(problem: &Problem, low: Vec<u32>) -> Result<Found, Nothing> {
    let size = problem.kinds() * problem.demands.len();
    cheapest_of(problem, low, (EFFORT / size.max(1)).clamp(NODES.0, NODES.1))
}

/// The cheapest of those that so many nodes show. Errors are those of [`cheapest`].
pub fn cheapest_of(problem: &Problem, low: Vec<u32>, effort: usize) -> Result<Found, Nothing> {
    let sold =
        |class: usize| problem.rates.iter().zip(&problem.offers).any(|(r, o)| r[class] > 0 && !o.is_empty());
    if !(0..problem.demands.len()).all(sold) {
        return Err(Nothing::Does);
    }
    let prices = || problem.offers.iter().flatten().map(|o| o.price);
    let gcd = prices().fold(0, gcd);
    let scale = prices().max().unwrap_or(1).max(1) as f64;
    let mut search = Search {
        problem,
        gcd: gcd.max(1),
        pool: Vec::new(),
        tree: Vec::new(),
        best: None,
        scale,
        relaxed: 0,
        rounded: 0,
    };
    search.run(low, effort)
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Search<'_> {
    fn run(&mut self, low: Vec<u32>, effort: usize) -> Result<Found, Nothing> {
        let p = self.problem;
        let high = (0..p.kinds()).map(|kind| p.supply(kind)).collect();
        let Some(span) = self.tightened(Span { low, high }) else {
            return Err(Nothing::Does);
        };
        let zero = self.keep(vec![0; p.kinds()]);
        self.tree.push(Draft::Leaf(zero));
        let cheapest = |offers: &Vec<Offer>| offers.first().map_or(1.0, |o| o.price as f64 / self.scale);
        let start = Rc::new(Start::at(p.offers.iter().map(cheapest).collect()));
        let mut open: Vec<Option<Open>> = vec![Some(Open { span, bound: 0, prices: zero, place: 0, start })];
        let mut queue = BinaryHeap::from([Reverse((0_i128, Reverse(0_usize), 0_usize))]);
        let mut nodes = 0;
        let mut left = Vec::new();
        while let Some(Reverse((bound, _, index))) = queue.pop() {
            let Some(node) = open[index].take() else { continue };
            if self.closes(bound) || nodes >= effort {
                left.push(bound);
                continue;
            }
            nodes += 1;
            let (bound, split) = self.node(&node);
            let Some(Split { prices, kind, at, start }) = split else {
                left.push(bound);
                continue;
            };
            let (span, place) = self.narrowed(node.span, node.place, prices);
            let Some(mut span) = self.tightened(span) else { continue };
            let mut parts = Vec::new();
            if span.low[kind] == span.high[kind] {
                // What is left of this kind is one number: another one is looked for.
                parts.push((place, span));
            } else {
                let at = at.clamp(span.low[kind], span.high[kind] - 1);
                let (below, above) = self.divide(place, kind, at, prices);
                let mut lower = span.clone();
                (lower.high[kind], span.low[kind]) = (at, at + 1);
                parts.extend([(below, lower), (above, span)]);
            }
            for (place, span) in parts {
                let Some(span) = self.tightened(span) else { continue };
                let (own, by) = self.by_kept(&span).unwrap_or((bound, prices));
                let by = if own > bound { by } else { prices };
                let own = own.max(bound).max(p.bound_by_number(&span));
                self.tree[place] = Draft::Leaf(by);
                queue.push(Reverse((own, Reverse(nodes), open.len())));
                open.push(Some(Open { span, bound: own, prices: by, place, start: Rc::clone(&start) }));
            }
        }
        let Some((counts, cost)) = self.best.clone() else {
            let none = left.iter().all(|bound| *bound == i128::MAX);
            return Err(if none { Nothing::Does } else { Nothing::Found });
        };
        let least = left.into_iter().min().unwrap_or(cost).min(cost);
        let least = (least.div_euclid(self.gcd) + i128::from(least.rem_euclid(self.gcd) > 0)) * self.gcd;
        Ok(Found {
            counts,
            #[cfg(test)]
            cost,
            least: least.min(cost),
            proof: self.proof(),
            #[cfg(test)]
            nodes,
        })
    }

    fn divide(&mut self, place: usize, kind: usize, at: u32, prices: usize) -> (usize, usize) {
        let (below, above) = (self.tree.len(), self.tree.len() + 1);
        self.tree[place] = Draft::Split { kind, at, below, above };
        self.tree.extend([Draft::Leaf(prices), Draft::Leaf(prices)]);
        (below, above)
    }

    /// A span without the numbers of single kinds that the same prices already show to be too dear, each cut a leaf of its own; and where
    /// in the tree the rest is.
    fn narrowed(&mut self, mut span: Span, mut place: usize, prices: usize) -> (Span, usize) {
        for kind in 0..self.problem.kinds() {
            let (low, high) = (span.low[kind], span.high[kind]);
            if low == high {
                continue;
            }
            let too_dear = |s: &Self, from: u32, to: u32| {
                let mut cut = span.clone();
                (cut.low[kind], cut.high[kind]) = (from, to);
                s.bound_by(prices, &cut).is_some_and(|bound| s.closes(bound))
            };
            // The fewest that are too many: more of them cost no less.
            let enough = low.saturating_add(MANY).min(high);
            if too_dear(self, enough, high) {
                let (mut does, mut not) = (low, enough);
                while not - does > 1 {
                    let middle = does.midpoint(not);
                    if too_dear(self, middle, high) { not = middle } else { does = middle }
                }
                let (below, _) = self.divide(place, kind, not - 1, prices);
                (place, span.high[kind]) = (below, not - 1);
            }
            let high = span.high[kind];
            let too_dear = |s: &Self, to: u32| {
                let mut cut = span.clone();
                cut.high[kind] = to;
                s.bound_by(prices, &cut).is_some_and(|bound| s.closes(bound))
            };
            if high < MANY && high > low && too_dear(self, low) {
                let (mut not, mut does) = (low, high);
                while does - not > 1 {
                    let middle = not.midpoint(does);
                    if too_dear(self, middle) { not = middle } else { does = middle }
                }
                let (_, above) = self.divide(place, kind, not, prices);
                (place, span.low[kind]) = (above, not + 1);
            }
        }
        (span, place)
    }

    fn bound_by(&self, prices: usize, span: &Span) -> Option<i128> {
        let by = &self.pool[prices];
        self.problem.bound_at(by.worth, &by.full, span)
    }

    fn refuted_by(&self, prices: usize, span: &Span) -> bool {
        let by = &self.pool[prices];
        self.problem.refuted_at(by.worth, &by.full, span)
    }

    /// Whether nothing under such a bound is cheaper than what is known, as far as prices tell apart.
    fn closes(&self, bound: i128) -> bool {
        let Some((_, cost)) = &self.best else { return false };
        let up = bound.saturating_add(self.gcd - 1).div_euclid(self.gcd).saturating_mul(self.gcd);
        // Where prices are of any size, the rounding of bounds is not told from a gain.
        up >= *cost || (self.gcd < UNIT && bound.saturating_add(cost >> 38) >= *cost)
    }

    /// Looks at a node: its bound, and unless that closes it the prices, the kind and the number at which it is divided.
    fn node(&mut self, node: &Open) -> (i128, Option<Split>) {
        let p = self.problem;
        let span = &node.span;
        let by_number = p.bound_by_number(span);
        if self.closes(by_number) || by_number == i128::MAX {
            return (by_number, None);
        }
        // Where nothing was found for long, it is asked whether the most that there may be would do.
        if self.best.is_none() && p.survive > 0 && self.relaxed > FIRST {
            let counts: Vec<u32> = span.high.iter().map(|high| (*high).min(MANY)).collect();
            let mut against = Vec::new();
            p.survives(&counts, &mut against);
            for raw in against {
                let by = self.keep_raw(&raw);
                if self.refuted_by(by, span) {
                    self.tree[node.place] = Draft::Leaf(by);
                    return (i128::MAX, None);
                }
            }
        }
        let curves: Vec<Curve> = (0..p.kinds()).map(|kind| self.curve(kind, span)).collect();
        let found = lp::solve(&p.loads(PARTS), curves, &node.start);
        let machines: Vec<f64> =
            found.loads.iter().zip(&span.low).map(|(load, low)| load.max(f64::from(*low))).collect();
        let over = machines.iter().zip(&span.high).any(|(n, high)| *n > f64::from(*high) + 1e-6);
        let by = self.priced(&found);
        let mut bound = node.bound.max(by_number).max(self.bound_by(by, span).unwrap_or(0));
        let prices = if bound > node.bound.max(by_number) { by } else { node.prices };
        if over {
            let counts: Vec<u32> = span.high.iter().map(|high| (*high).min(MANY)).collect();
            if let Verdict::DoesNot(against) = p.carry_from(&counts, PARTS, &mut found.end.clone()) {
                let against = self.keep_raw(&against);
                if self.refuted_by(against, span) {
                    self.tree[node.place] = Draft::Leaf(against);
                    return (i128::MAX, None);
                }
            }
        } else {
            self.round(&machines, span, &found.end);
            self.relaxed += 1;
            if self.relaxed <= FIRST || self.relaxed.is_multiple_of(FIRST / 2) {
                self.dive(span.clone(), found.end.clone());
            }
        }
        self.tree[node.place] = Draft::Leaf(prices);
        if self.closes(bound) {
            return (bound, None);
        }
        let start = Rc::new(found.end);
        let part = |n: f64| (n - (n + 1e-6).floor()).max(0.0);
        let price = |kind: usize| p.offers[kind].first().map_or(0.0, |o| o.price as f64);
        let weight = |kind: usize| part(machines[kind]).min(1.0 - part(machines[kind])) * price(kind);
        let divisible = |kind: &usize| span.low[*kind] < span.high[*kind];
        let uneven = (0..p.kinds())
            .filter(|kind| divisible(kind) && part(machines[*kind]) > 1e-6)
            .max_by(|a, b| weight(*a).total_cmp(&weight(*b)).then(b.cmp(a)));
        if let Some(kind) = uneven.filter(|_| !over) {
            let at = (machines[kind] + 1e-6).floor() as u32;
            return (bound, Some(Split { prices, kind, at, start }));
        }
        // Whole numbers that do not do for another reason: a failure, the fewest or most machines, what is sold.
        let whole: Vec<u32> = (0..p.kinds())
            .map(|kind| {
                (machines[kind].round().min(f64::from(MANY)) as u32).clamp(span.low[kind], span.high[kind])
            })
            .collect();
        let widest = (0..p.kinds()).filter(divisible).max_by(|a, b| {
            let used = |kind: &usize| (whole[*kind] > 0, whole[*kind] == span.low[*kind]);
            used(a).cmp(&used(b)).then(price(*a).total_cmp(&price(*b))).then(b.cmp(a))
        });
        match widest {
            Some(kind) => (bound, Some(Split { prices, kind, at: whole[kind], start })),
            None => {
                // All numbers are fixed: they do, or prices say that they do not.
                let mut against = Vec::new();
                let does = self.does(&span.low, &mut against, &mut Start::clone(&start));
                let found = against.iter().map(|raw| self.keep_raw(raw)).collect::<Vec<_>>();
                let cost = p.cost(&span.low).unwrap_or(i128::MAX);
                if does {
                    self.take(&span.low, cost);
                }
                let says_no = found.into_iter().chain([by]).find(|by| self.refuted_by(*by, span));
                match says_no {
                    Some(by) if !does => {
                        self.tree[node.place] = Draft::Leaf(by);
                        bound = i128::MAX;
                    }
                    _ => bound = bound.max(cost),
                }
                (bound, None)
            }
        }
    }

    /// What load of a kind costs within a span: nothing up to its fewest machines, then what the offers cost, then far too much.
    fn curve(&self, kind: usize, span: &Span) -> Curve {
        let (low, high) = (span.low[kind], span.high[kind]);
        let mut curve = Curve { ends: Vec::new(), slopes: Vec::new() };
        let mut push = |end: f64, slope: f64| {
            let start = curve.ends.last().copied().unwrap_or(0.0);
            if end > start {
                curve.ends.push(end);
                curve.slopes.push(slope);
            }
        };
        push(f64::from(low), 0.0);
        let mut before = 0_u32;
        for offer in &self.problem.offers[kind] {
            let after = before.saturating_add(offer.most).min(high);
            let end = if after == u32::MAX { f64::INFINITY } else { f64::from(after) };
            push(end, offer.price as f64 / self.scale);
            before = after;
        }
        push(f64::INFINITY, FAR_TOO_MUCH);
        curve
    }

    /// Prices of a relaxation as integers: of a kind within an offer the very price of that.
    fn priced(&mut self, found: &Solution) -> usize {
        let of = |kind: usize| {
            let guess = (found.prices[kind] * self.scale).max(0.0);
            let near = |price: &i128| (*price as f64 - guess).abs() <= 1e-9 * guess;
            let on = self.problem.offers[kind].iter().map(|o| o.price).find(near);
            on.filter(|_| found.slopes[kind].is_some()).unwrap_or(guess as i128)
        };
        let full = (0..found.prices.len()).map(of).collect();
        self.keep(full)
    }

    fn keep(&mut self, full: Vec<i128>) -> usize {
        let stored: Vec<i64> =
            full.iter().map(|price| i64::try_from(price.div_euclid(UNIT)).unwrap_or(i64::MAX)).collect();
        if let Some(known) = self.pool.iter().rposition(|p| p.stored == stored) {
            return known;
        }
        let full: Vec<i128> = stored.iter().map(|price| i128::from(*price) * UNIT).collect();
        let worth = (self.problem.worth(&full, false), self.problem.worth(&full, true));
        self.pool.push(Prices { stored, full, worth });
        self.pool.len() - 1
    }

    /// Keeps prices that say what does not do: only their proportions count.
    fn keep_raw(&mut self, raw: &[i128]) -> usize {
        self.keep(raw.iter().map(|price| price * UNIT).collect())
    }

    /// The best bound by the latest of the kept prices.
    fn by_kept(&self, span: &Span) -> Option<(i128, usize)> {
        let latest = self.pool.len().saturating_sub(TRIED)..self.pool.len();
        let of = |i: usize| {
            if self.refuted_by(i, span) {
                Some((i128::MAX, i))
            } else {
                self.bound_by(i, span).map(|b| (b, i))
            }
        };
        latest.filter_map(of).max_by_key(|(bound, i)| (*bound, Reverse(*i)))
    }

    /// The span without numbers that the most machines of all forbid; `None` if nothing is left.
    fn tightened(&self, mut span: Span) -> Option<Span> {
        if let Some(most) = self.problem.most {
            let sure = span.low.iter().try_fold(0_u32, |sum, n| sum.checked_add(*n))?;
            let spare = most.checked_sub(sure)?;
            span.high
                .iter_mut()
                .zip(&span.low)
                .for_each(|(high, low)| *high = (*high).min(low.saturating_add(spare)));
        }
        span.low.iter().zip(&span.high).all(|(low, high)| low <= high).then_some(span)
    }

    /// Whether so many machines of each kind do.
    fn does(&self, counts: &[u32], against: &mut Vec<Vec<i128>>, start: &mut Start) -> bool {
        let total = counts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        if total < self.problem.least || self.problem.most.is_some_and(|most| total > most) {
            return false;
        }
        match self.problem.carry_from(counts, PARTS, start) {
            Verdict::Does(_) => self.problem.survives(counts, against),
            Verdict::DoesNot(prices) => {
                against.push(prices);
                false
            }
            Verdict::Unclear => false,
        }
    }

    fn take(&mut self, counts: &[u32], cost: i128) {
        let key = |n: &[u32]| n.iter().fold(0_u64, |sum, n| sum + u64::from(*n));
        let better = self.best.as_ref().is_none_or(|(known, least)| {
            (cost, key(counts), Reverse(counts)) < (*least, key(known), Reverse(known.as_slice()))
        });
        if better {
            self.best = Some((counts.to_vec(), cost));
        }
    }

    /// Makes whole machines of a relaxation: all rounded up, with what may fail, and then as many fewer as still do.
    fn round(&mut self, machines: &[f64], span: &Span, end: &Start) {
        let p = self.problem;
        let up = |n: &f64| (n - 1e-7).ceil().clamp(0.0, f64::from(MANY)) as u32;
        let mut counts: Vec<u32> =
            machines.iter().zip(&span.high).map(|(n, high)| up(n).min(*high)).collect();
        let total = |counts: &[u32]| counts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        let dear = |kind: &usize| p.offers[*kind].first().map_or(i128::MAX, |o| o.price);
        let mut order: Vec<usize> = (0..p.kinds()).collect();
        order.sort_by_key(|kind| (dear(kind), *kind));
        for kind in &order {
            let missing = p.least.saturating_sub(total(&counts));
            counts[*kind] += missing.min(p.supply(*kind).saturating_sub(counts[*kind]));
        }
        let (mut against, mut start) = (Vec::new(), end.clone());
        if p.survive > 0 && !self.does(&counts, &mut against, &mut start) {
            for (kind, n) in counts.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
                *n = n.saturating_add(p.survive).min(p.supply(kind));
            }
        }
        let known = |s: &Self, counts: &[u32]| {
            let fixed = Span { low: counts.to_vec(), high: counts.to_vec() };
            (s.pool.len().saturating_sub(TRIED)..s.pool.len()).any(|by| s.refuted_by(by, &fixed))
        };
        let Some(mut cost) = p.cost(&counts) else { return };
        let least = self.best.as_ref().map_or(i128::MAX, |(_, cost)| *cost);
        // What is far from the best by more than a machine of each kind does not come below it.
        let spare: i128 = (0..p.kinds()).filter(|k| counts[*k] > 0).map(|k| dear(&k)).sum();
        if cost.saturating_sub(spare.saturating_mul(1 + i128::from(p.survive))) >= least
            || !self.does(&counts, &mut against, &mut start)
        {
            return;
        }
        self.take(&counts, cost);
        // To try with fewer of each kind takes longer than to relax a node.
        self.rounded += 1;
        if self.rounded > FIRST && !self.rounded.is_multiple_of(FIRST) {
            return;
        }
        for kind in order.into_iter().rev() {
            while counts[kind] > 0 {
                counts[kind] -= 1;
                if known(self, &counts) || !self.does(&counts, &mut against, &mut start.clone()) {
                    counts[kind] += 1;
                    break;
                }
                cost = p.cost(&counts).unwrap_or(cost);
                self.take(&counts, cost);
            }
        }
        against.truncate(TRIED / 2);
        for raw in against {
            self.keep_raw(&raw);
        }
    }

    /// Makes one number after the other whole, that nearest to it first, and relaxes the rest anew each time.
    fn dive(&mut self, mut span: Span, mut start: Start) {
        let p = self.problem;
        let all = p.loads(PARTS);
        for _ in 0..p.kinds() {
            let curves = (0..p.kinds()).map(|kind| self.curve(kind, &span)).collect();
            let found = lp::solve(&all, curves, &start);
            let machines: Vec<f64> =
                found.loads.iter().zip(&span.low).map(|(load, low)| load.max(f64::from(*low))).collect();
            if machines.iter().zip(&span.high).any(|(n, high)| *n > f64::from(*high) + 1e-6) {
                return;
            }
            let down = |n: f64| (n + 1e-6).floor();
            let part = |kind: &usize| machines[*kind] - down(machines[*kind]);
            let uneven = (0..p.kinds()).filter(|kind| part(kind) > 1e-6);
            let nearest = uneven.min_by(|a, b| {
                let far = |kind: &usize| part(kind).min(1.0 - part(kind));
                far(a).total_cmp(&far(b)).then(a.cmp(b))
            });
            let Some(kind) = nearest else {
                let counts: Vec<u32> =
                    machines.iter().map(|n| down(*n).clamp(0.0, f64::from(MANY)) as u32).collect();
                let cost = p.cost(&counts).unwrap_or(i128::MAX);
                let better = self.best.as_ref().is_none_or(|(_, known)| cost < *known);
                if better && self.does(&counts, &mut Vec::new(), &mut found.end.clone()) {
                    self.take(&counts, cost);
                }
                return;
            };
            let whole = (down(machines[kind]) as u32).saturating_add(u32::from(part(&kind) > 0.5));
            let whole = whole.clamp(span.low[kind], span.high[kind]);
            (span.low[kind], span.high[kind]) = (whole, whole);
            start = found.end;
        }
    }

    /// The tree in the order below, above; of the prices those that it names.
    fn proof(&self) -> MixProof {
        let mut proof = MixProof { prices: Vec::new(), tree: Vec::new() };
        let mut places: Vec<Option<u32>> = vec![None; self.pool.len()];
        let mut stack = vec![0_usize];
        while let Some(at) = stack.pop() {
            match self.tree[at] {
                Draft::Split { kind, at, below, above } => {
                    proof.tree.push(MixBranch { kind: Some(kind as u32), at });
                    stack.push(above);
                    stack.push(below);
                }
                Draft::Leaf(prices) => {
                    let place = *places[prices].get_or_insert_with(|| {
                        proof.prices.push(self.pool[prices].stored.clone());
                        proof.prices.len() as u32 - 1
                    });
                    proof.tree.push(MixBranch { kind: None, at: place });
                }
            }
        }
        proof
    }
}

/// More machines of a kind than that are not told apart.
const MANY: u32 = 1_000_000;

/// What load costs that no machine can take, in the dearest machine's price.
const FAR_TOO_MUCH: f64 = 1e4;
