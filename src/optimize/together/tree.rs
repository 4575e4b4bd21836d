//! The cheapest choice among the plans of a [`Problem`]: branch and bound over the relaxation.
//!
//! A node allows each workload some of its plans. It is bounded in integers at the prices of its own relaxation; plans that
//! cost more than the gap at those prices are dropped from it. It is split on what one mixed workload takes of one row: no
//! more than a number, or more.

use std::borrow::Cow;

use super::master::{self, Basis, Relaxed};
use super::problem::{Choice, ONE, Problem, whole};
use super::repair;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Solved {
    pub best: Option<Choice>,
    /// No choice costs less; of the whole micro-dollars.
    pub bound: i64,
    pub nodes: u64,
}

struct Node {
    allowed: Vec<Vec<usize>>,
    /// Least and most machines of each class.
    classes: Vec<(i64, i64)>,
    bound: i64,
    basis: Basis,
}

/// A price of what is missing that no plan is worth, in units of the dearest plan.
const MISSING: f64 = 1e3;

/// What a choice of plans really is, where the rows of a problem say less than all; and what it costs at least, also with other plans that
/// it stands for, if that fits.
pub type Truth<'a> = &'a dyn Fn(&[usize]) -> (Option<Choice>, Option<i64>);

/// Searches all of `problem`; `known` is a choice that fits. `nodes` at most are looked at, and none after the root once `stops`
/// says so of the nodes so far. With a `truth`, what it says of a choice is its cost, and whether there is one.
pub fn solve(
    problem: &Problem,
    start: Option<&Basis>,
    known: Option<Choice>,
    nodes: u64,
    stops: &dyn Fn(u64) -> bool,
    truth: Option<Truth<'_>>,
) -> Solved {
    let all = problem.plans.iter().map(|own| (0..own.len()).collect()).collect();
    among(problem, all, start, known, nodes, stops, truth)
}

/// The same among the plans that are `allowed`, each list in ascending order.
pub fn among(
    problem: &Problem,
    allowed: Vec<Vec<usize>>,
    start: Option<&Basis>,
    known: Option<Choice>,
    nodes: u64,
    stops: &dyn Fn(u64) -> bool,
    truth: Option<Truth<'_>>,
) -> Solved {
    let best = known.filter(|c| problem.fits(&c.plans));
    let mut search = Tree { problem: Cow::Borrowed(problem), truth, best, floor: i64::MAX, nodes: 0 };
    let mut open = Vec::new();
    if allowed.iter().all(|list| !list.is_empty()) {
        let classes = vec![(0, MOST_MACHINES); problem.classes.len()];
        open.push(Node { allowed, classes, bound: i64::MIN, basis: start.cloned().unwrap_or_default() });
    }
    let mut left = i64::MAX;
    // Where bounds are weak: the least bound first, and from there down, which is where choices are found.
    let mut down = problem.fleets.is_none();
    while let Some(node) = next(&mut open, down) {
        if search.useless(node.bound) {
            down = problem.fleets.is_none();
            continue;
        }
        if search.nodes >= nodes || (search.nodes > 0 && stops(search.nodes)) {
            left = left.min(node.bound);
            continue;
        }
        search.nodes += 1;
        let root = search.nodes == 1;
        let children = search.look(node, root);
        down = problem.fleets.is_none() || !children.is_empty();
        open.extend(children);
    }
    let cost = search.best.as_ref().map_or(i64::MAX, |b| b.cost);
    let left = left.min(search.floor);
    Solved { best: search.best, bound: left.min(cost), nodes: search.nodes }
}

/// The last node, or the one with the least bound.
fn next(open: &mut Vec<Node>, last: bool) -> Option<Node> {
    if last {
        return open.pop();
    }
    let least = open.iter().enumerate().rev().min_by_key(|(_, node)| node.bound).map(|(i, _)| i)?;
    Some(open.swap_remove(least))
}

/// What a node allows: plans, and machines of each class.
type Part = (Vec<Vec<usize>>, Vec<(i64, i64)>);

/// What a number of machines may be off a whole one for want of digits.
const NEARLY_WHOLE: f64 = 1e-6;

/// Machines of a fleet in a relaxation.
fn machines(relaxed: &Relaxed, fleet: usize) -> f64 {
    relaxed.shares[fleet].iter().map(|(n, x)| *n as f64 * x).sum()
}

struct Tree<'p> {
    /// With the limits of classes at one node, while that is looked at.
    problem: Cow<'p, Problem>,
    truth: Option<Truth<'p>>,
    best: Option<Choice>,
    /// What choices cost at least that were decided to the end, where that is less than what they really cost.
    floor: i64,
    nodes: u64,
}

/// More machines than any class has.
pub const MOST_MACHINES: i64 = 1 << 40;

impl Tree<'_> {
    /// Whether nothing under a bound is wanted. Equal costs with fewer machines are not looked for: the first found in a
    /// fixed order is taken.
    fn useless(&self, bound: i64) -> bool {
        self.best.as_ref().is_some_and(|b| bound >= b.cost)
    }

    fn offer(&mut self, plans: Vec<usize>) {
        let choice = match self.truth {
            Some(truth) => truth(&plans).0,
            None => self.problem.choice(plans),
        };
        if let Some(choice) = choice
            && self.best.as_ref().is_none_or(|b| choice.rank() < b.rank())
        {
            self.best = Some(choice);
        }
    }

    /// Limits of classes as at a node.
    fn limited(&mut self, classes: &[(i64, i64)]) {
        if classes.is_empty() {
            return;
        }
        let problem = self.problem.to_mut();
        for (class, (least, most)) in problem.classes.iter().zip(classes) {
            problem.limits[class.rows.0] = *most;
            problem.limits[class.rows.1] = -least;
        }
    }

    /// Bounds a node, looks for a choice near its relaxation and splits it.
    fn look(&mut self, mut node: Node, root: bool) -> Vec<Node> {
        if let Some(fleets) = self.problem.fleets
            && node.allowed[..fleets].iter().all(|list| list.len() == 1)
        {
            // All is chosen; how many machines that takes is no choice.
            let plans: Vec<usize> = node.allowed.iter().map(|list| list[0]).collect();
            if let Some(floor) = self.truth.and_then(|truth| truth(&plans).1) {
                self.floor = self.floor.min(floor.max(node.bound));
            }
            self.offer(plans);
            return Vec::new();
        }
        self.limited(&node.classes);
        let relaxed = master::relax(&self.problem, &node.allowed, Some(&node.basis), MISSING);
        let bound = self.problem.bound(&node.allowed, &relaxed.prices);
        self.limited(&vec![(0, MOST_MACHINES); node.classes.len()]);
        let Some(scaled) = bound else { return Vec::new() };
        node.bound = node.bound.max(whole(scaled));
        if self.useless(node.bound) {
            return Vec::new();
        }
        if relaxed.short.is_empty() {
            let effort = if root { repair::Effort::Pairs } else { repair::Effort::Singles };
            let rounded = repair::nearest(&self.problem, &node.allowed, &relaxed, effort);
            if let Some(plans) = rounded {
                self.offer(plans);
            }
        }
        if self.useless(node.bound) {
            return Vec::new();
        }
        if let Some(best) = &self.best {
            // What the best allows a plan to cost beyond the least of its workload.
            let gap = i128::from(best.cost) * ONE - ONE - scaled;
            for (own, list) in self.problem.plans.iter().zip(&mut node.allowed) {
                let priced: Vec<i128> = list.iter().map(|p| own[*p].priced(&relaxed.prices)).collect();
                let least = priced.iter().copied().min().unwrap_or(0);
                let mut kept = priced.iter().map(|c| c - least <= gap);
                list.retain(|_| kept.next().unwrap_or(true));
            }
            if node.allowed.iter().any(Vec::is_empty) {
                return Vec::new();
            }
        }
        let children = self.split(&node, &relaxed);
        let mut nodes = Vec::with_capacity(children.len());
        for (allowed, classes) in children {
            if allowed.iter().all(|list| !list.is_empty()) && self.possible(&allowed, &classes) {
                nodes.push(Node { allowed, classes, bound: node.bound, basis: relaxed.basis.clone() });
            }
        }
        nodes
    }

    /// Whether the least that is taken of each row is within its limit.
    fn possible(&mut self, allowed: &[Vec<usize>], classes: &[(i64, i64)]) -> bool {
        self.limited(classes);
        let possible = self.least_fits(allowed);
        self.limited(&vec![(0, MOST_MACHINES); classes.len()]);
        possible
    }

    fn least_fits(&self, allowed: &[Vec<usize>]) -> bool {
        let k = self.problem.limits.len();
        let mut least = vec![0_i128; k];
        // Of one workload: the least of each row, and how many plans take anything of it.
        let (mut of_one, mut taking) = (vec![0_i64; k], vec![0_usize; k]);
        for (own, list) in self.problem.plans.iter().zip(allowed) {
            for (r, amount) in list.iter().flat_map(|p| &own[*p].uses) {
                of_one[*r] = if taking[*r] == 0 { *amount } else { of_one[*r].min(*amount) };
                taking[*r] += 1;
            }
            for (r, _) in list.iter().flat_map(|p| &own[*p].uses) {
                if taking[*r] > 0 {
                    let idle = taking[*r] < list.len();
                    least[*r] += i128::from(if idle { of_one[*r].min(0) } else { of_one[*r] });
                    taking[*r] = 0;
                }
            }
        }
        least.iter().zip(&self.problem.limits).all(|(a, b)| *a <= i128::from(*b))
    }

    /// Splits on the number of machines of a class that is not whole, the one with most money between its whole numbers.
    fn split_class(&self, node: &Node, relaxed: &Relaxed) -> Option<Vec<Part>> {
        let mut best: Option<(f64, usize, i64)> = None;
        for (c, class) in self.problem.classes.iter().enumerate() {
            let mean: f64 = class.fleets.iter().map(|s| machines(relaxed, *s)).sum();
            let part = mean - mean.floor();
            // What is short keeps no limit.
            let (least, most) = node.classes[c];
            if mean < least as f64 || mean > most as f64 {
                continue;
            }
            let between = class.machine as f64 * part.min(1.0 - part);
            if part > NEARLY_WHOLE
                && part < 1.0 - NEARLY_WHOLE
                && best.is_none_or(|(most, ..)| between > most)
            {
                best = Some((between, c, mean.floor() as i64));
            }
        }
        let (_, c, down) = best?;
        let child = |at: (i64, i64)| {
            let mut classes = node.classes.clone();
            classes[c] = at;
            (node.allowed.clone(), classes)
        };
        let (least, most) = node.classes[c];
        Some(vec![child((least, down)), child((down + 1, most))])
    }

    /// Splits on the number of machines of a fleet that is not whole, the one with most money between its whole numbers.
    fn split_fleet(&self, node: &Node, relaxed: &Relaxed) -> Option<Vec<Part>> {
        let mut best: Option<(f64, usize, usize)> = None;
        for s in self.problem.fleets?..self.problem.plans.len() {
            let mean = machines(relaxed, s);
            let part = mean - mean.floor();
            let (Some(none), Some(one)) = (self.problem.plans[s].first(), self.problem.plans[s].get(1))
            else {
                continue;
            };
            let between = (one.cost - none.cost) as f64 * part.min(1.0 - part);
            let down = mean.floor() as usize;
            let splits =
                node.allowed[s].iter().any(|p| *p <= down) && node.allowed[s].iter().any(|p| *p > down);
            if part > NEARLY_WHOLE
                && part < 1.0 - NEARLY_WHOLE
                && splits
                && best.is_none_or(|(most, ..)| between > most)
            {
                best = Some((between, s, down));
            }
        }
        let (_, s, down) = best?;
        let child = |up: bool| {
            let mut allowed = node.allowed.clone();
            allowed[s].retain(|p| (*p > down) == up);
            (allowed, node.classes.clone())
        };
        Some(vec![child(false), child(true)])
    }

    /// Two nodes that together hold all choices of this one, the likelier last; none if one choice is left.
    fn split(&self, node: &Node, relaxed: &Relaxed) -> Vec<Part> {
        let machines = self.split_class(node, relaxed).or_else(|| self.split_fleet(node, relaxed));
        if let Some(children) = machines {
            return children;
        }
        let mixed = relaxed
            .shares
            .iter()
            .enumerate()
            .filter(|(s, list)| list.len() > 1 && node.allowed[*s].len() > 1)
            .map(|(s, list)| (list.iter().map(|(_, x)| *x).fold(0.0, f64::max), s))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // A relaxation without mixed plans that is not a choice, or whose plans were dropped: any workload with a choice.
        let s = match mixed {
            Some((_, s)) => s,
            None => {
                let widest = node.allowed.iter().enumerate().filter(|(_, list)| list.len() > 1);
                let Some((s, _)) = widest.max_by_key(|(s, list)| (list.len(), usize::MAX - s)) else {
                    return Vec::new();
                };
                s
            }
        };
        let (list, own) = (&node.allowed[s], &self.problem.plans[s]);
        let shares: Vec<(usize, f64)> =
            relaxed.shares[s].iter().copied().filter(|(p, _)| list.contains(p)).collect();
        let mut best: Option<(f64, usize, i64)> = None;
        for r in 0..self.problem.limits.len() {
            let uses = || shares.iter().map(|(p, x)| (own[*p].of(r), *x));
            let (Some(low), Some(high)) = (uses().map(|u| u.0).min(), uses().map(|u| u.0).max()) else {
                continue;
            };
            if low == high {
                continue;
            }
            let mean: f64 = uses().map(|(u, x)| u as f64 * x).sum();
            let at = (mean.floor() as i64).clamp(low, high - 1);
            let spread = (high - low) as f64 / (self.problem.limits[r].max(1)) as f64;
            if best.is_none_or(|(most, ..)| spread > most) {
                best = Some((spread, r, at));
            }
        }
        let (less, more): (Vec<usize>, Vec<usize>) = match best {
            Some((_, r, at)) => list.iter().partition(|p| own[**p].of(r) <= at),
            None => {
                let first = shares.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(p, _)| *p);
                let first = first.filter(|p| list.contains(p)).unwrap_or(list[0]);
                list.iter().partition(|p| **p == first)
            }
        };
        let weight =
            |part: &[usize]| shares.iter().filter(|(p, _)| part.contains(p)).map(|(_, x)| *x).sum::<f64>();
        let likelier_less = weight(&less) >= weight(&more);
        let child = |part: Vec<usize>| {
            let mut allowed = node.allowed.clone();
            allowed[s] = part;
            (allowed, node.classes.clone())
        };
        if likelier_less { vec![child(more), child(less)] } else { vec![child(less), child(more)] }
    }
}
