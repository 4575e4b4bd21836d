//! Against enumeration, with a simplex in fractions of its own in place of the search's.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::problem::{Offer, Problem};
use super::tree::{self, Found, UNIT};
use crate::placement::MixProof;
use crate::spec::profile::PARTS;

/// A fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction(i128, i128);

impl Fraction {
    fn new(n: i128, d: i128) -> Self {
        let (mut a, mut b) = (n.abs(), d.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let sign = if d < 0 { -1 } else { 1 };
        Fraction(sign * n / a.max(1), sign * d / a.max(1))
    }
    fn minus(self, o: Self) -> Self {
        Fraction::new(self.0 * o.1 - o.0 * self.1, self.1 * o.1)
    }
    fn times(self, o: Self) -> Self {
        Fraction::new(self.0 * o.0, self.1 * o.1)
    }
    fn over(self, o: Self) -> Self {
        Fraction::new(self.0 * o.1, self.1 * o.0)
    }
    fn less(self, o: Self) -> bool {
        self.0 * o.1 < o.0 * self.1
    }
}

/// Whether machines carry all demands: the most of one more class in all (each class by its own slack) is found by a full tableau with
/// Bland's rule. Maximises the sum of what is served, in units of each class's demand.
fn carries(demands: &[i128], rates: &[Vec<i128>], counts: &[i128]) -> bool {
    // Variables: share of class c on kind t. Rows: each class at most whole, each kind at most its machines.
    let (kinds, classes) = (rates.len(), demands.len());
    let pairs: Vec<(usize, usize)> = (0..kinds)
        .flat_map(|t| (0..classes).map(move |c| (t, c)))
        .filter(|(t, c)| rates[*t][*c] > 0)
        .collect();
    let rows = kinds + classes;
    let width = pairs.len() + rows + 1;
    let zero = Fraction(0, 1);
    let mut table = vec![vec![zero; width]; rows + 1];
    for (j, (t, c)) in pairs.iter().enumerate() {
        table[*t][j] = Fraction::new(demands[*c], rates[*t][*c]);
        table[kinds + c][j] = Fraction(1, 1);
        table[rows][j] = Fraction(-1, 1);
    }
    for r in 0..rows {
        table[r][pairs.len() + r] = Fraction(1, 1);
        table[r][width - 1] = Fraction(if r < kinds { counts[r] } else { 1 }, 1);
    }
    let mut basis: Vec<usize> = (pairs.len()..pairs.len() + rows).collect();
    while let Some(j) = (0..width - 1).find(|j| table[rows][*j].0 < 0) {
        let ratio = |r: usize| table[r][width - 1].over(table[r][j]);
        let leaving = (0..rows).filter(|r| table[*r][j].0 > 0).min_by(|a, b| {
            if ratio(*a).less(ratio(*b)) {
                std::cmp::Ordering::Less
            } else if ratio(*b).less(ratio(*a)) {
                std::cmp::Ordering::Greater
            } else {
                basis[*a].cmp(&basis[*b])
            }
        });
        let r = leaving.expect("bounded by the rows of the classes");
        let pivot = table[r][j];
        table[r].iter_mut().for_each(|cell| *cell = cell.over(pivot));
        let row = table[r].clone();
        for (i, other) in table.iter_mut().enumerate().filter(|(i, _)| *i != r) {
            let factor = other[j];
            if factor.0 != 0 {
                other.iter_mut().zip(&row).for_each(|(cell, own)| *cell = cell.minus(factor.times(*own)));
            }
            let _ = i;
        }
        basis[r] = j;
    }
    table[rows][width - 1] == Fraction::new(classes as i128, 1)
}

fn whole(problem: &Problem) -> (Vec<i128>, Vec<Vec<i128>>) {
    let demands = problem.demands.iter().map(|d| i128::from(*d)).collect();
    let rates = problem.rates.iter().map(|of| of.iter().map(|r| i128::from(*r)).collect()).collect();
    (demands, rates)
}

/// Whether numbers of machines keep every rule, by the fractions.
fn does(problem: &Problem, counts: &[u32]) -> bool {
    let (demands, rates) = whole(problem);
    let total: u32 = counts.iter().sum();
    if total < problem.least || problem.most.is_some_and(|most| total > most) {
        return false;
    }
    let as_they_are: Vec<i128> = counts.iter().map(|n| i128::from(*n)).collect();
    if !carries(&demands, &rates, &as_they_are) {
        return false;
    }
    let part: Vec<i128> =
        demands.iter().map(|d| (d * i128::from(problem.capacity)).div_ceil_by(i128::from(PARTS))).collect();
    fn losses(
        problem: &Problem,
        left: &mut Vec<i128>,
        from: usize,
        k: u32,
        part: &[i128],
        rates: &[Vec<i128>],
    ) -> bool {
        if k == 0 {
            return carries(part, rates, left);
        }
        (from..left.len()).all(|t| {
            if left[t] == 0 {
                return true;
            }
            left[t] -= 1;
            let does = losses(problem, left, t, k - 1, part, rates);
            left[t] += 1;
            does
        })
    }
    let enough = total > problem.survive || problem.survive == 0;
    enough
        && (problem.survive == 0
            || losses(problem, &mut as_they_are.clone(), 0, problem.survive, &part, &rates))
}

trait DivCeil {
    fn div_ceil_by(self, by: Self) -> Self;
}

impl DivCeil for i128 {
    fn div_ceil_by(self, by: i128) -> i128 {
        (self + by - 1) / by
    }
}

/// The least cost over all numbers of machines up to `most` of each.
fn enumerated(problem: &Problem, most: u32) -> Option<i128> {
    let mut counts = vec![0_u32; problem.kinds()];
    let mut best: Option<i128> = None;
    loop {
        if let Some(cost) = problem.cost(&counts)
            && best.is_none_or(|b| cost < b)
            && does(problem, &counts)
        {
            best = Some(cost);
        }
        let Some(next) = counts.iter().position(|n| *n < most) else { return best };
        counts[next] += 1;
        counts[..next].fill(0);
    }
}

fn draw(rng: &mut Xoshiro256PlusPlus, below: u64) -> u64 {
    rng.next_u64() % below
}

fn small(rng: &mut Xoshiro256PlusPlus) -> Problem {
    let (kinds, classes) = (1 + draw(rng, 4) as usize, 1 + draw(rng, 4) as usize);
    let rate =
        |rng: &mut Xoshiro256PlusPlus| if draw(rng, 4) == 0 { 0 } else { (1 + draw(rng, 12)) * 500_000 };
    let rates: Vec<Vec<u64>> = (0..kinds).map(|_| (0..classes).map(|_| rate(rng)).collect()).collect();
    let demands: Vec<u64> = (0..classes).map(|_| (1 + draw(rng, 14)) * 250_000).collect();
    let offers = |rng: &mut Xoshiro256PlusPlus| -> Vec<Offer> {
        let price = i128::from(1 + draw(rng, 9)) * 100_000 * UNIT;
        match draw(rng, 4) {
            0 => vec![
                Offer { price, most: draw(rng, 3) as u32, site: 0 },
                Offer { price: price + 150_000 * UNIT, most: u32::MAX, site: 1 },
            ],
            1 => vec![Offer { price, most: 1 + draw(rng, 3) as u32, site: 0 }],
            _ => vec![Offer { price, most: u32::MAX, site: 0 }],
        }
    };
    let offers = (0..kinds).map(|_| offers(rng)).collect();
    let survive = [0, 0, 0, 1, 2][draw(rng, 5) as usize];
    let capacity = [PARTS, PARTS / 2, 700_000_000][draw(rng, 3) as usize];
    let least = [1, 1, 1, 4][draw(rng, 4) as usize];
    let most = [None, None, None, Some(4)][draw(rng, 4) as usize];
    Problem { demands, rates, offers, survive, capacity, least, most }
}

/// No leaf of a proof is below what it proves: every number of machines that does is in a leaf whose bound is no higher than its cost.
fn holds(problem: &Problem, proof: &MixProof, counts: &[u32], cost: i128) {
    let mut span =
        super::problem::Span { low: vec![0; problem.kinds()], high: vec![u32::MAX; problem.kinds()] };
    let mut at = 0_usize;
    loop {
        let branch = proof.tree[at];
        let Some(kind) = branch.kind.map(|k| k as usize) else {
            let prices: Vec<i128> =
                proof.prices[branch.at as usize].iter().map(|p| i128::from(*p) * UNIT).collect();
            assert!(!problem.refuted(&prices, &span), "{counts:?} does and is refuted: {problem:?}");
            if let Some(bound) = problem.bound(&prices, &span) {
                assert!(bound <= cost, "{counts:?} costs {cost}, bound {bound}: {problem:?}");
            }
            return;
        };
        if counts[kind] <= branch.at {
            span.high[kind] = span.high[kind].min(branch.at);
            at += 1;
        } else {
            span.low[kind] = branch.at + 1;
            // Behind all that is below the first half.
            let (mut open, mut next) = (1_usize, at + 1);
            while open > 0 {
                open = if proof.tree[next].kind.is_some() { open + 1 } else { open - 1 };
                next += 1;
            }
            at = next;
        }
    }
}

#[test]
fn enumeration_finds_nothing_cheaper() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(20);
    let (mut solved, mut impossible, mut mixes) = (0, 0, 0);
    for case in 0..1500 {
        let problem = small(&mut rng);
        let expected = enumerated(&problem, 6);
        let found = tree::cheapest(&problem);
        let big = found.as_ref().is_some_and(|f| f.counts.iter().any(|n| *n > 6));
        if big {
            // The enumeration does not look so far: the search may not be dearer than what that found.
            assert!(
                expected.is_none_or(|e| found.as_ref().is_some_and(|f| f.cost <= e)),
                "case {case}: {problem:?}"
            );
            continue;
        }
        assert_eq!(found.as_ref().map(|f| f.cost), expected, "case {case}: {problem:?} {found:?}");
        let Some(found) = found else {
            impossible += 1;
            continue;
        };
        assert!(does(&problem, &found.counts), "case {case}: {found:?}");
        assert_eq!(found.least, found.cost, "case {case}: not proven {problem:?} {found:?}");
        holds(&problem, &found.proof, &found.counts, found.cost);
        mixes += usize::from(found.counts.iter().filter(|n| **n > 0).count() > 1);
        solved += 1;
    }
    assert!(solved > 700 && impossible > 60 && mixes > 200, "{solved} {impossible} {mixes}");
}

/// Types whose price follows their speed, nearly: as hard as it gets.
fn large(seed: u64, kinds: usize, classes: usize) -> Problem {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let speeds: Vec<f64> = (0..kinds).map(|_| 1.0 + draw(&mut rng, 1000) as f64 / 100.0).collect();
    let sizes: Vec<f64> = (0..classes).map(|_| 0.2 + draw(&mut rng, 1000) as f64 / 250.0).collect();
    let rates = speeds
        .iter()
        .map(|speed| {
            let of = |size: &f64| {
                let noise = 0.7 + draw(&mut rng, 600) as f64 / 1000.0;
                let fits = size * 1.5 < speed + 2.5;
                if fits { (speed / size * noise * 1e6) as u64 } else { 0 }
            };
            sizes.iter().map(of).collect()
        })
        .collect();
    let demands = (0..classes).map(|_| (1 + draw(&mut rng, 1000)) * 20_000 * 40 / classes as u64).collect();
    let mut price = |speed: &f64| {
        ((speed * (0.9 + draw(&mut rng, 200) as f64 / 1000.0)) * 1e4).round() as i128 * 100 * UNIT
    };
    let offers = speeds.iter().map(|s| vec![Offer { price: price(s), most: u32::MAX, site: 0 }]).collect();
    Problem { demands, rates, offers, survive: 0, capacity: PARTS, least: 1, most: None }
}

#[test]
fn forty_kinds_and_four_hundred_classes() {
    for (seed, kinds, classes) in [(1, 10, 20), (2, 20, 100), (3, 40, 400)] {
        let problem = large(seed, kinds, classes);
        let Some(Found { cost, least, nodes, counts, .. }) = tree::cheapest(&problem) else {
            panic!("{seed}")
        };
        eprintln!("{kinds} x {classes}: {cost} {least} nodes {nodes} {counts:?}");
        assert_eq!(cost, least);
    }
}
