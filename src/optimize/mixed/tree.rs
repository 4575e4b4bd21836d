//! Branch and bound over whole numbers of machines of each kind, with the proof as it goes.
//!
//! A node is a span of numbers for each kind. Prices of machines bound it from below in integers; they come from the linear relaxation
//! of the node (`lp`), are kept, and are tried on every later node before that is relaxed. Nodes are taken by their bound; of a node that is not
//! closed by it the kind whose number is the least whole is divided. A number of machines does if a routing says so, in integers, and prices
//! that say that it does not are kept like all others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::lp::{self, Curve, Row};
use super::problem::{Problem, Span, Verdict};
use crate::placement::{MixBranch, MixProof};
use crate::spec::profile::PARTS;

/// Prices in a proof are whole multiples of this.
pub const UNIT: i128 = 1 << 14;

/// Nodes that are looked at; beyond, the least bound of what is left is what is proven.
const EFFORT: usize = 20_000;

/// Kept prices that a node is held against before it is relaxed: the latest.
const TRIED: usize = 48;

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
}

struct Open {
    span: Span,
    bound: i128,
    prices: usize,
    /// Index into the proof's tree.
    place: usize,
    /// Where the relaxation begins.
    warm: Vec<f64>,
}

struct Search<'a> {
    problem: &'a Problem,
    /// All costs are multiples of it.
    gcd: i128,
    pool: Vec<Prices>,
    tree: Vec<Draft>,
    best: Option<(Vec<u32>, i128)>,
    scale: f64,
}

/// A branch of the tree while it grows.
#[derive(Clone, Copy)]
enum Draft {
    Leaf(usize),
    Split { kind: usize, at: u32, below: usize, above: usize },
}

/// The cheapest numbers of machines; `None` if no number does.
pub fn cheapest(problem: &Problem) -> Option<Found> {
    let prices = || problem.offers.iter().flatten().map(|o| o.price);
    let gcd = prices().fold(0, gcd);
    let scale = prices().max().unwrap_or(1).max(1) as f64;
    let mut search =
        Search { problem, gcd: gcd.max(1), pool: Vec::new(), tree: Vec::new(), best: None, scale };
    search.run()
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Search<'_> {
    fn run(&mut self) -> Option<Found> {
        let p = self.problem;
        let high = (0..p.kinds()).map(|kind| p.supply(kind)).collect();
        let span = self.tightened(Span { low: vec![0; p.kinds()], high })?;
        let zero = self.keep(vec![0; p.kinds()]);
        self.tree.push(Draft::Leaf(zero));
        let warm = p.offers.iter().map(|o| o.first().map_or(1.0, |o| o.price as f64 / self.scale)).collect();
        let mut open: Vec<Option<Open>> = vec![Some(Open { span, bound: 0, prices: zero, place: 0, warm })];
        let mut queue = BinaryHeap::from([Reverse((0_i128, Reverse(0_usize), 0_usize))]);
        let mut nodes = 0;
        let mut left = Vec::new();
        while let Some(Reverse((bound, _, index))) = queue.pop() {
            let Some(node) = open[index].take() else { continue };
            if self.closes(bound) || nodes == EFFORT {
                left.push(bound);
                continue;
            }
            nodes += 1;
            let (bound, split) = self.node(&node);
            let Some((prices, kind, at, warm)) = split else {
                left.push(bound);
                continue;
            };
            let (below, above) = (self.tree.len(), self.tree.len() + 1);
            self.tree[node.place] = Draft::Split { kind, at, below, above };
            for (place, higher) in [(below, false), (above, true)] {
                self.tree.push(Draft::Leaf(prices));
                let mut span = node.span.clone();
                if higher {
                    span.low[kind] = at + 1;
                } else {
                    span.high[kind] = at;
                }
                let Some(span) = self.tightened(span) else { continue };
                let (own, by) = self.by_kept(&span).unwrap_or((bound, prices));
                let own = own.max(bound).max(p.bound_by_number(&span));
                let by = if own > bound { by } else { prices };
                self.tree[place] = Draft::Leaf(by);
                queue.push(Reverse((own, Reverse(nodes), open.len())));
                open.push(Some(Open { span, bound: own, prices: by, place, warm: warm.clone() }));
            }
        }
        let (counts, cost) = self.best.clone()?;
        let least = left.into_iter().min().unwrap_or(cost).min(cost);
        let least = (least.div_euclid(self.gcd) + i128::from(least.rem_euclid(self.gcd) > 0)) * self.gcd;
        Some(Found {
            counts,
            #[cfg(test)]
            cost,
            least: least.min(cost),
            proof: self.proof(),
            #[cfg(test)]
            nodes,
        })
    }

    /// Whether nothing under such a bound is cheaper than what is known, as far as prices tell apart.
    fn closes(&self, bound: i128) -> bool {
        let Some((_, cost)) = &self.best else { return false };
        let up = bound.saturating_add(self.gcd - 1).div_euclid(self.gcd).saturating_mul(self.gcd);
        // Where prices are of any size, the rounding of bounds is not told from a gain.
        up >= *cost || (self.gcd < UNIT && bound.saturating_add(cost >> 38) >= *cost)
    }

    /// Looks at a node: its bound, and unless that closes it the prices, the kind and the number at which it is divided.
    #[allow(clippy::type_complexity)]
    fn node(&mut self, node: &Open) -> (i128, Option<(usize, usize, u32, Vec<f64>)>) {
        let p = self.problem;
        let span = &node.span;
        let curves: Vec<Curve> = (0..p.kinds()).map(|kind| self.curve(kind, span)).collect();
        let found = lp::solve(&p.loads(PARTS), &curves, &node.warm);
        let machines: Vec<f64> =
            found.loads.iter().zip(&span.low).map(|(load, low)| load.max(f64::from(*low))).collect();
        let over = machines.iter().zip(&span.high).any(|(n, high)| *n > f64::from(*high) + 1e-6);
        let by = self.priced(&found.prices, &found.rows, &curves);
        let mut bound = node.bound.max(p.bound(&self.pool[by].full, span).unwrap_or(0));
        let prices = if bound > node.bound { by } else { node.prices };
        if over {
            let counts: Vec<u32> = span.high.iter().map(|high| (*high).min(MANY)).collect();
            if let Verdict::DoesNot(against) = p.carry(&counts, PARTS) {
                let against = self.keep_raw(&against);
                if p.refuted(&self.pool[against].full, span) {
                    self.tree[node.place] = Draft::Leaf(against);
                    return (i128::MAX, None);
                }
            }
        } else {
            self.round(&machines, span);
        }
        self.tree[node.place] = Draft::Leaf(prices);
        if self.closes(bound) {
            return (bound, None);
        }
        let warm = found.prices.clone();
        let part = |n: f64| (n - (n + 1e-6).floor()).max(0.0);
        let price = |kind: usize| p.offers[kind].first().map_or(0.0, |o| o.price as f64);
        let weight = |kind: usize| part(machines[kind]).min(1.0 - part(machines[kind])) * price(kind);
        let divisible = |kind: &usize| span.low[*kind] < span.high[*kind];
        let uneven = (0..p.kinds())
            .filter(|kind| divisible(kind) && part(machines[*kind]) > 1e-6)
            .max_by(|a, b| weight(*a).total_cmp(&weight(*b)).then(b.cmp(a)));
        if let Some(kind) = uneven.filter(|_| !over) {
            let at = (machines[kind] + 1e-6).floor() as u32;
            return (bound, Some((prices, kind, at.clamp(span.low[kind], span.high[kind] - 1), warm)));
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
            Some(kind) => {
                let at = whole[kind].clamp(span.low[kind], span.high[kind] - 1);
                (bound, Some((prices, kind, at, warm)))
            }
            None => {
                // All numbers are fixed: they do, or prices say that they do not.
                let mut against = Vec::new();
                let does = self.does(&span.low, &mut against);
                let found = against.iter().map(|raw| self.keep_raw(raw)).collect::<Vec<_>>();
                let cost = p.cost(&span.low).unwrap_or(i128::MAX);
                if does {
                    self.take(&span.low, cost);
                }
                let says_no = found.into_iter().find(|by| p.refuted(&self.pool[*by].full, span));
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
    fn priced(&mut self, prices: &[f64], rows: &[Row], curves: &[Curve]) -> usize {
        let of = |kind: usize| {
            let guess = (prices[kind] * self.scale).max(0.0);
            let on = match rows[kind] {
                Row::Within(segment) => curves[kind].slopes.get(segment).map(|slope| slope * self.scale),
                Row::Corner(_) => None,
            };
            let near = self.problem.offers[kind].iter().map(|o| o.price);
            let exact = on
                .and_then(|on| near.min_by(|a, b| (*a as f64 - on).abs().total_cmp(&(*b as f64 - on).abs())));
            let exact = exact.filter(|price| (*price as f64 - guess).abs() <= 1e-9 * guess.max(1.0));
            exact.unwrap_or(guess as i128)
        };
        let full = (0..prices.len()).map(of).collect();
        self.keep(full)
    }

    fn keep(&mut self, full: Vec<i128>) -> usize {
        let stored: Vec<i64> =
            full.iter().map(|price| i64::try_from(price.div_euclid(UNIT)).unwrap_or(i64::MAX)).collect();
        if let Some(known) = self.pool.iter().rposition(|p| p.stored == stored) {
            return known;
        }
        let full = stored.iter().map(|price| i128::from(*price) * UNIT).collect();
        self.pool.push(Prices { stored, full });
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
            let prices = &self.pool[i].full;
            let bound = self.problem.bound(prices, span);
            let refuted = self.problem.refuted(prices, span);
            if refuted { Some((i128::MAX, i)) } else { bound.map(|b| (b, i)) }
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
    fn does(&self, counts: &[u32], against: &mut Vec<Vec<i128>>) -> bool {
        let total = counts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        if total < self.problem.least || self.problem.most.is_some_and(|most| total > most) {
            return false;
        }
        match self.problem.carry(counts, PARTS) {
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
    fn round(&mut self, machines: &[f64], span: &Span) {
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
        let mut against = Vec::new();
        if p.survive > 0 && !self.does(&counts, &mut against) {
            for (kind, n) in counts.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
                *n = n.saturating_add(p.survive).min(p.supply(kind));
            }
        }
        let known = |s: &Self, counts: &[u32]| {
            let fixed = Span { low: counts.to_vec(), high: counts.to_vec() };
            let latest = s.pool.len().saturating_sub(TRIED)..s.pool.len();
            s.pool[latest].iter().any(|prices| p.refuted(&prices.full, &fixed))
        };
        let Some(mut cost) = p.cost(&counts) else { return };
        let least = self.best.as_ref().map_or(i128::MAX, |(_, cost)| *cost);
        // What is far from the best by more than a machine of each kind does not come below it.
        let spare: i128 = (0..p.kinds()).filter(|k| counts[*k] > 0).map(|k| dear(&k)).sum();
        if cost.saturating_sub(spare.saturating_mul(1 + i128::from(p.survive))) >= least
            || !self.does(&counts, &mut against)
        {
            return;
        }
        self.take(&counts, cost);
        for kind in order.into_iter().rev() {
            while counts[kind] > 0 {
                counts[kind] -= 1;
                if known(self, &counts) || !self.does(&counts, &mut against) {
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
