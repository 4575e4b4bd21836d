//! The best choice among the known plans: the tree, with shared machines around it what makes it worth while: a good choice to begin
//! with, rows for what is broken, and parts of a choice that are chosen anew.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::problem::Choice;
use super::{Bound, MISSING, Search, Step, fleets, master, tree};

impl Search<'_, '_> {
    pub(super) fn tree(&mut self, bound: &Bound, known: Option<Vec<usize>>, nodes: u64) -> tree::Solved {
        let mut full = self.full();
        let known =
            known.and_then(|plans| self.completed(&full, &plans)).filter(|c| full.problem.fits(&c.plans));
        if full.fleets.is_empty() {
            let before = self.nodes;
            let stops = |nodes| self.stops(Step::Choices { nodes: before + nodes });
            let solved = tree::solve(&full.problem, Some(&bound.basis), known, nodes, &stops, None);
            self.nodes += solved.nodes;
            return solved;
        }
        // No row of shared machines is active, and the prices of all others are of 64 bits.
        let price = |row: &usize| i64::try_from(bound.prices[*row]).unwrap_or(i64::MAX);
        let prices: Vec<i64> = self.active.iter().map(price).collect();
        let mut known = self.descended(&full, known.as_ref(), &prices);
        let mut basis = None;
        for _ in 0..MOST_SEPARATIONS {
            let all: Vec<Vec<usize>> =
                full.problem.plans.iter().map(|own| (0..own.len()).collect()).collect();
            if all.iter().any(Vec::is_empty) {
                break;
            }
            let relaxed = master::relax(&full.problem, &all, basis.as_ref(), MISSING);
            basis = Some(relaxed.basis.clone());
            if !self.separates(&full, &relaxed.shares) {
                break;
            }
            full = self.full();
        }
        let mut polished = None;
        if nodes > 1 {
            known = self.polished(&full, known, nodes);
            polished = known.as_ref().map(|choice| choice.cost);
        }
        // The rule may ask for more machines than the rows do: a choice costs what it says. What breaks rows that are not there
        // adds them, and the tree begins again, before it is large.
        let (mut most, mut proven) = (FIRST_NODES, i64::MIN);
        loop {
            // A replay that contradicts a choice does not end the search for the next.
            let left = self.effort.nodes.saturating_sub(self.nodes - self.begun).max(self.effort.nodes / 8);
            let left = nodes.min(left).max(1);
            let broken: RefCell<BTreeSet<(usize, usize)>> = RefCell::default();
            let truth = |plans: &[usize]| {
                broken.borrow_mut().extend(self.breaks(&full, plans));
                self.truth(&full, plans)
            };
            let before = self.nodes;
            let stops = |nodes| self.stops(Step::Choices { nodes: before + nodes });
            let mut solved =
                tree::solve(&full.problem, basis.as_ref(), known, left.min(most), &stops, Some(&truth));
            self.nodes += solved.nodes;
            let cost = solved.best.as_ref().map_or(i64::MAX, |best| best.cost);
            proven = proven.max(solved.bound).min(cost);
            solved.bound = proven;
            let broken = broken.into_inner();
            let ended = solved.nodes < left.min(most) && broken.is_empty();
            if cost <= proven || ended || left <= most || self.asking.stopped().is_some() {
                return solved;
            }
            self.needs_rows(broken);
            most = most.saturating_mul(4);
            full = self.full();
            known = solved.best.and_then(|best| self.completed(&full, &best.plans));
            known = self.descended(&full, known.as_ref(), &prices);
            if known.as_ref().map(|choice| choice.cost) != polished {
                known = self.polished(&full, known, nodes);
                polished = known.as_ref().map(|choice| choice.cost);
            }
        }
    }

    /// What a choice is by the rule that fills machines, if that fits; and what it costs at least. Plans that others beat are not known,
    /// and the rule may do better with one of those: so that is the cost of the machines that no rule can do without.
    fn truth(&self, full: &fleets::Full, plans: &[usize]) -> (Option<Choice>, Option<i64>) {
        let fits = |choice: &Choice| full.problem.fits(&choice.plans);
        let floor = self.least(full, plans).filter(fits).map(|choice| choice.cost);
        (self.completed(full, plans).filter(fits), floor)
    }

    /// A better choice near a known one: what is on two fleets, and on machines of its own, is chosen anew, all else stays, as long as
    /// that makes it cheaper.
    fn polished(&mut self, full: &fleets::Full, known: Option<Choice>, nodes: u64) -> Option<Choice> {
        let mut best = known?;
        let first = self.pool.len();
        let mut asked = 0;
        loop {
            let before = best.cost;
            let used: Vec<usize> = (0..full.fleets.len()).filter(|j| best.plans[first + j] > 0).collect();
            let pairs = used.iter().flat_map(|j| used.iter().filter(move |i| *i >= j).map(move |i| (*j, *i)));
            for (j, i) in pairs {
                if asked >= MOST_POLISHED.min(nodes / 20) || self.asking.stopped().is_some() {
                    return Some(best);
                }
                asked += 1;
                let free = |s: usize| {
                    let on = &self.pool[s][best.plans[s]].shared;
                    on.is_empty() || on.iter().any(|on| [full.fleets[j], full.fleets[i]].contains(&on.fleet))
                };
                let one = |s: usize| match s >= first || free(s) {
                    true => (0..full.problem.plans[s].len()).collect(),
                    false => vec![best.plans[s]],
                };
                let allowed = (0..full.problem.plans.len()).map(one).collect();
                let truth = |plans: &[usize]| self.truth(full, plans);
                let before = self.nodes;
                let stops = |nodes| self.stops(Step::Choices { nodes: before + nodes });
                let known = Some(best.clone());
                let solved =
                    tree::among(&full.problem, allowed, None, known, NODES_POLISHED, &stops, Some(&truth));
                self.nodes += solved.nodes;
                self.begun += solved.nodes;
                best = solved.best.unwrap_or(best);
            }
            if best.cost >= before {
                return Some(best);
            }
        }
    }
}

/// Parts of a choice that are chosen anew, and one for each twenty nodes of the effort at most.
const MOST_POLISHED: u64 = 40;
/// Nodes for each.
const NODES_POLISHED: u64 = 80;
/// Nodes before the tree begins again with rows that were broken.
const FIRST_NODES: u64 = 50;
/// Rounds in which rows are added for what the relaxation breaks.
const MOST_SEPARATIONS: usize = 20;
