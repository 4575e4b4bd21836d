//! The tree against plain enumeration, and laws of the bound.

use super::problem::{Choice, Class, Column, Problem, whole};
use super::{master, tree};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A problem whose cheapest plans take `tight` percent more than there is.
fn problem(seed: u64, workloads: u64, plans: u64, rows: u64, tight: i64) -> Problem {
    let mut r = Random(seed);
    let own = |r: &mut Random| {
        let base = 1_000 + r.below(100_000) as i64;
        (0..plans)
            .map(|_| {
                let uses: Vec<(usize, i64)> = (0..rows as usize)
                    .map(|row| (row, if r.below(100) < 40 { 1 + r.below(64) as i64 } else { 0 }))
                    .filter(|(_, u)| *u > 0)
                    .collect();
                let taken: i64 = uses.iter().map(|u| u.1).sum();
                let cost = base + r.below(2_000) as i64 + (200 - taken).max(0) * base / 300;
                Column { cost, machines: 1 + r.below(5), uses }
            })
            .collect::<Vec<_>>()
    };
    let plans: Vec<Vec<Column>> = (0..workloads).map(|_| own(&mut r)).collect();
    let least = |row| plans.iter().map(|o| o.iter().min_by_key(|c| c.cost).unwrap().of(row)).sum::<i64>();
    let limits = (0..rows as usize).map(|row| least(row) * (100 - tight) / 100).collect();
    Problem { limits, plans, ..Problem::default() }
}

fn brute(p: &Problem) -> Option<i64> {
    let mut best: Option<i64> = None;
    let mut at = vec![0; p.plans.len()];
    loop {
        if p.fits(&at) {
            let cost = p.choice(at.clone()).unwrap().cost;
            best = Some(best.map_or(cost, |b| b.min(cost)));
        }
        let mut i = 0;
        loop {
            if i == at.len() {
                return best;
            }
            at[i] += 1;
            if at[i] < p.plans[i].len() {
                break;
            }
            at[i] = 0;
            i += 1;
        }
    }
}

fn small(seed: u64) -> Problem {
    let mut r = Random(seed ^ 0xABCD);
    let (workloads, plans, rows) = (2 + r.below(4), 2 + r.below(5), 1 + r.below(4));
    problem(seed, workloads, plans, rows, r.below(75) as i64)
}

/// Nobody stops it.
fn never(_: u64) -> bool {
    false
}

#[test]
fn the_tree_is_never_beaten_and_never_wrong() {
    let (mut none, mut split) = (0, 0);
    for seed in 0..2_000 {
        let p = small(seed);
        let truth = brute(&p);
        let solved = tree::solve(&p, None, None, u64::MAX, &never, None);
        assert_eq!(solved.best.as_ref().map(|b| b.cost), truth, "seed {seed}");
        if let Some(best) = solved.best {
            assert!(p.fits(&best.plans), "seed {seed}");
            assert_eq!(solved.bound, best.cost, "seed {seed}");
        }
        none += u32::from(truth.is_none());
        split += u32::from(solved.nodes > 1);
    }
    // Problems that are all feasible or all solved at the root would prove nothing.
    assert!(none > 100 && split > 500, "{none} infeasible, {split} split");
}

#[test]
fn a_tree_that_stops_early_tells_a_valid_bound() {
    let mut open = 0;
    for seed in 0..400 {
        let p = small(seed);
        let Some(truth) = brute(&p) else { continue };
        for nodes in 1..6 {
            let solved = tree::solve(&p, None, None, nodes, &never, None);
            assert!(solved.bound <= truth, "seed {seed}: {} above {truth}", solved.bound);
            assert!(solved.best.is_none_or(|b| b.cost >= truth), "seed {seed}");
            open += u32::from(solved.bound < truth);
        }
    }
    assert!(open > 20, "{open} were cut short");
}

#[test]
fn a_tree_that_is_stopped_is_one_with_so_many_nodes() {
    for seed in 0..200 {
        let p = small(seed);
        for after in 1..6 {
            let stopped = tree::solve(&p, None, None, u64::MAX, &|nodes| nodes >= after, None);
            let fewer = tree::solve(&p, None, None, after, &never, None);
            let told = |s: &tree::Solved| (s.best.clone(), s.bound, s.nodes);
            assert_eq!(told(&stopped), told(&fewer), "seed {seed}");
        }
    }
}

#[test]
fn any_prices_bound_from_below() {
    for seed in 0..400 {
        let p = small(seed);
        let Some(truth) = brute(&p) else { continue };
        let all: Vec<Vec<usize>> = p.plans.iter().map(|o| (0..o.len()).collect()).collect();
        let mut r = Random(seed);
        let best = master::relax(&p, &all, None, 1e3).prices;
        let at_best = p.bound(&all, &best).unwrap();
        assert!(whole(at_best) <= truth, "seed {seed}");
        for _ in 0..10 {
            let prices: Vec<i64> = p.limits.iter().map(|_| r.below(1 << 40) as i64).collect();
            assert!(whole(p.bound(&all, &prices).unwrap()) <= truth, "seed {seed}");
            // The relaxation's prices are those that bound best, but for their rounding.
            assert!(
                p.bound(&all, &prices).unwrap() <= at_best + (1 << 20) * i128::from(truth),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn amounts_near_the_limits_do_not_overflow() {
    // A hundred thousand machines of ten dollars an hour for ten years, in each of two thousand workloads.
    let most = 10_i64 * 1_000_000 * 730 * 120 * 1_000;
    let plan = |cost: i64, taken: i64| Column { cost, machines: 100_000, uses: vec![(0, taken)] };
    let plans = (0..2_000).map(|i| vec![plan(most, 100_000_000_000 + i), plan(most + 7, 1)]).collect();
    let p = Problem { limits: vec![100_000_000_000 * 1_000], plans, ..Problem::default() };
    let solved = tree::solve(&p, None, None, 50, &never, None);
    let best = solved.best.unwrap();
    assert!(p.fits(&best.plans) && best.cost >= solved.bound && solved.bound >= most * 2_000);
    assert!(p.choice(vec![0; 2_000]).is_some());
    let huge = Problem {
        limits: vec![1],
        plans: vec![vec![plan(i64::MAX, 0)], vec![plan(i64::MAX, 0)]],
        ..Problem::default()
    };
    assert!(huge.choice(vec![0, 0]).is_none(), "a sum that no number holds is no choice");
}

/// Fleet, accelerators taken of it, machines needed there.
type Take = (usize, i64, i64);

/// Workloads that take accelerators of fleets of eight, or machines of their own: with the rows of the fleets, those of machines that
/// a workload needs, and a class of all fleets.
fn shared(seed: u64) -> (Problem, Vec<Vec<Take>>) {
    let mut r = Random(seed ^ 0x5A5A);
    let (workloads, fleets) = (2 + r.below(3) as usize, 2 + r.below(2) as usize);
    let own = |r: &mut Random, s: usize| {
        let mut plans = vec![(plan(20_000 + r.below(60_000) as i64), (0, 0, 0))];
        for f in 0..fleets {
            let (slots, needs) = (1 + r.below(6) as i64, 1 + r.below(2) as i64);
            let mut column = plan(r.below(500) as i64);
            column.uses = vec![(f, slots), (fleets + s, needs)];
            plans.push((column, (f, slots, needs)));
        }
        plans
    };
    let all: Vec<Vec<(Column, Take)>> = (0..workloads).map(|s| own(&mut r, s)).collect();
    // A row for each workload says what it needs on whichever fleet: machines of all fleets together are as many at least.
    let class = Class {
        fleets: (workloads..workloads + fleets).collect(),
        rows: (fleets + workloads, fleets + workloads + 1),
        machine: 30_000,
    };
    let mut plans: Vec<Vec<Column>> = all.iter().map(|o| o.iter().map(|p| p.0.clone()).collect()).collect();
    for f in 0..fleets {
        let month = 30_000 + r.below(30_000) as i64;
        plans.push(
            (0..=workloads as i64 * 2)
                .map(|n| {
                    let needed = (0..workloads).map(|s| (fleets + s, -n));
                    let of_class = [(class.rows.0, n), (class.rows.1, -n)];
                    let uses = [(f, -8 * n)]
                        .into_iter()
                        .chain(needed)
                        .chain(of_class)
                        .filter(|u| u.1 != 0)
                        .collect();
                    Column { cost: month * n, machines: n as u64, uses }
                })
                .collect(),
        );
    }
    let mut limits = vec![0; fleets + workloads];
    limits.extend([tree::MOST_MACHINES, 0]);
    let takes = all.iter().map(|own| own.iter().map(|p| p.1).collect()).collect();
    (Problem { limits, machine: 0, plans, fleets: Some(workloads), classes: vec![class] }, takes)
}

fn plan(cost: i64) -> Column {
    Column { cost, machines: 1, uses: Vec::new() }
}

/// What plans of workloads cost with the machines that they take: of each fleet so many that the accelerators are there, one more where
/// three workloads meet, which no row says, and what each needs.
fn with_machines(p: &Problem, takes: &[Vec<Take>], plans: &[usize]) -> Option<Choice> {
    let mut plans = plans[..takes.len()].to_vec();
    for f in 0..p.plans.len() - takes.len() {
        let here = || takes.iter().zip(&plans).map(|(own, q)| own[*q]).filter(|t| t.0 == f && t.1 > 0);
        let slots: i64 = here().map(|t| t.1).sum();
        let needs = here().map(|t| t.2).max().unwrap_or(0);
        let more = i64::from(here().count() > 2);
        let n = ((slots + 7) / 8).max(needs) + more;
        plans.push(usize::try_from(n).ok().filter(|n| *n < p.plans[takes.len() + f].len())?);
    }
    p.choice(plans)
}

#[test]
fn whole_machines_are_split_to_the_end() {
    let (mut split, mut met, mut empty) = (0, 0, 0);
    for seed in 0..1_500 {
        let (p, takes) = shared(seed);
        let truth = |plans: &[usize]| {
            let choice = with_machines(&p, &takes, plans);
            let cost = choice.as_ref().map(|choice| choice.cost);
            (choice, cost)
        };
        let mut least: Option<i64> = None;
        let mut at = vec![0; takes.len()];
        'all: loop {
            least = least.into_iter().chain(truth(&at).1).min();
            for i in 0..at.len() {
                at[i] += 1;
                if at[i] < takes[i].len() {
                    continue 'all;
                }
                at[i] = 0;
            }
            break;
        }
        let least = least.unwrap();
        let solved = tree::solve(&p, None, None, u64::MAX, &never, Some(&truth));
        let best = solved.best.unwrap();
        assert_eq!((best.cost, solved.bound), (least, least), "seed {seed}");
        for nodes in [1, 2, 4] {
            let early = tree::solve(&p, None, None, nodes, &never, Some(&truth));
            assert!(early.bound <= least, "seed {seed}: {} above {least}", early.bound);
        }
        split += u32::from(solved.nodes > 1);
        let on = |f: usize| {
            best.plans[..takes.len()]
                .iter()
                .zip(&takes)
                .filter(|(q, own)| own[**q].1 > 0 && own[**q].0 == f)
                .count()
        };
        met += u32::from((0..2).any(|f| on(f) > 1));
        empty += u32::from((0..2).all(|f| on(f) == 0));
    }
    assert!(split > 500 && met > 300 && empty < 700, "{split} split, {met} share, {empty} do not");
}
