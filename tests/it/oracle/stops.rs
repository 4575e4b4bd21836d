//! Searches that are ended at every step, or that may do little: what they give is valid, and brute force is never above its bound.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::optimize::{NoPlacement, Standing, Watch, place_watched};
use rhumb::placement::{Placement, Stop, World};
use rhumb::spec::Spec;
use rhumb_api::Purchase;

use super::{brute, options, worlds};
use crate::extent::{is_many, one_in, pick};
use crate::line;

/// Eight products rounded by the hour, of a month.
const ROUNDED: i64 = 8 * 730;

/// A world whose workloads share too little, and the least that a placement of them costs a month.
fn coupled(seed: u64, base: &Catalog) -> Option<(Spec, World, Option<i64>)> {
    let (spec, world) = worlds::together(seed, base);
    let free = place_watched(&spec, &world, Watch::default());
    if matches!(&free, Ok(placement) if placement.coupling.is_none()) {
        return None;
    }
    let (addresses, options) = options(&spec, &world)?;
    let truth = brute::several::together(&spec, &world, &addresses, &options);
    // What brute force does not try is beyond it.
    let large = |p: &Placement| {
        let services = p.workloads.values().filter(|w| w.run.is_none());
        services
            .flat_map(|w| &w.pools)
            .any(|p| p.machines.iter().map(|m| m.count).sum::<u32>() > brute::MOST_MACHINES)
    };
    (!free.is_ok_and(|p| large(&p))).then_some((spec, world, truth))
}

/// What is wrong with a placement that a search was kept from improving.
fn faults(spec: &Spec, world: &World, placement: &Placement, truth: Option<i64>) -> Vec<String> {
    let mut found: Vec<String> = check::placement(spec, world, placement)
        .iter()
        .map(|f| format!("{}: {}", f.code, f.message))
        .collect();
    let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
    let Some(c) = &placement.coupling else { return found };
    let (bound, truth) = (c.lower_bound.micros(), truth.unwrap_or(i64::MIN));
    if bound > truth.saturating_add(ROUNDED)
        || cost < truth - ROUNDED
        || (cost - c.optimum.micros()).abs() > ROUNDED
    {
        found.push(format!("bound {bound}, truth {truth}, cost {cost}"));
    }
    if c.stopped.is_some() && c.lower_bound >= c.optimum {
        found.push("a proof that is complete was not stopped".into());
    }
    found
}

#[test]
fn a_search_may_be_ended_at_every_step() {
    let base = Catalog::embedded();
    let (mut worlds_tried, mut unfinished, mut cut, mut whole) = (0, 0, 0, 0);
    let part = one_in(12, 1);
    for seed in part.seeds(0..400) {
        let Some((spec, world, truth)) = coupled(seed, &base) else { continue };
        worlds_tried += 1;
        let asked = AtomicU64::new(0);
        let end_at = |at: u64| {
            asked.store(0, Ordering::Relaxed);
            let ask = |_: &Standing| (asked.fetch_add(1, Ordering::Relaxed) == at).then_some(Stop::ByHand);
            place_watched(&spec, &world, Watch { ask: Some(&ask), ..Watch::default() })
        };
        let full = end_at(u64::MAX);
        let questions = asked.load(Ordering::Relaxed);
        assert_eq!(
            full,
            place_watched(&spec, &world, Watch::default()),
            "world {seed}: to look on changes it"
        );
        let refused = full.is_err();
        let step = (questions / 24).max(1);
        for at in (0..=questions).step_by(step as usize) {
            match end_at(at) {
                Ok(placement) => {
                    let wrong = faults(&spec, &world, &placement, truth);
                    assert!(wrong.is_empty(), "world {seed}, question {at} of {questions}: {wrong:?}");
                    match placement.coupling.as_ref().and_then(|c| c.stopped) {
                        Some(by) => {
                            assert_eq!(by, Stop::ByHand);
                            cut += 1;
                        }
                        None => whole += 1,
                    }
                }
                Err(NoPlacement::Unfinished(why)) => {
                    assert!(at < questions, "world {seed}: there was no such question");
                    assert_eq!(why.by, Stop::ByHand);
                    assert_eq!(why.all, (spec.services.len() + spec.batches.len()) as u64);
                    unfinished += 1;
                }
                Err(NoPlacement::Infeasible(why)) => {
                    assert!(refused && truth.is_none(), "world {seed}, question {at}: {why:?}");
                }
            }
        }
    }
    assert!(worlds_tried > part.of(25), "{worlds_tried} worlds shared too little");
    assert!(
        unfinished > part.of(100) && cut > part.of(100) && (whole > 10 || !is_many()),
        "{unfinished} unfinished, {cut} cut short, {whole} whole"
    );
}

#[test]
fn little_effort_gives_a_gap_that_is_true_and_the_same_on_any_number_of_threads() {
    let base = Catalog::embedded();
    let (mut gaps, mut alike) = (0, 0);
    // A gap is rare: of the worlds in their order, as many as it takes.
    let most = pick(2, 12, 12);
    for seed in 0..1_200 {
        let Some((spec, world, truth)) = coupled(seed, &base) else { continue };
        let one = || place_watched(&spec, &world, Watch { nodes: NonZeroU64::MIN, ask: None });
        let Ok(placement) = one() else {
            continue;
        };
        let wrong = faults(&spec, &world, &placement, truth);
        assert!(wrong.is_empty(), "world {seed}: {wrong:?}");
        let Some(c) = placement.coupling.as_ref().filter(|c| c.lower_bound < c.optimum) else { continue };
        assert_eq!(c.stopped, None, "world {seed}: nobody ended it");
        gaps += 1;
        let proof = check::prove(&spec, &world, &placement);
        assert!(proof.report.passed(), "world {seed}: {:?}", proof.report.findings);
        assert!(proof.all.bound.is_some_and(|b| b.micros() <= truth.unwrap() + ROUNDED), "world {seed}");
        // The checker closes what the search left open: what is dearer than need be is said to be, and nothing else.
        let dearer = c.optimum.micros() > truth.unwrap() + ROUNDED;
        let verdict = proof.all.verdict();
        assert!(
            if dearer { verdict.starts_with("within") } else { verdict == "optimal" },
            "world {seed}: {verdict}"
        );
        if alike < most.min(5) {
            for threads in [1, 2, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(one).as_ref(), Ok(&placement), "world {seed}, {threads} threads");
            }
            alike += 1;
        }
        if gaps == most {
            break;
        }
    }
    assert!(gaps > 0 && alike > 0, "one node closed every proof");
}

/// With replays, which take plans away while bounds are worked out: what a search of little effort says that nothing costs less than,
/// no placement of any other search costs less than.
#[test]
fn little_effort_claims_no_bound_that_another_search_refutes() {
    let base = Catalog::embedded();
    let (mut compared, mut gaps, mut moved) = (0, 0, 0);
    let part = one_in(10, 1);
    for seed in part.seeds(0..700) {
        let (spec, mut world) = worlds::together(seed, &base);
        let closed = place_watched(&spec, &world, Watch::default());
        if closed.as_ref().map_or(true, |closed| closed.coupling.is_none()) {
            continue;
        }
        world.replay = 400;
        let found: Vec<Placement> = [1, 3, 9, 2_000]
            .into_iter()
            .filter_map(|n| {
                place_watched(&spec, &world, Watch { nodes: NonZeroU64::new(n)?, ask: None }).ok()
            })
            .collect();
        let cost =
            |p: &Placement| -> i64 { p.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum() };
        let Some(least) = found.iter().map(cost).min() else { continue };
        moved += u32::from(closed.is_ok_and(|closed| cost(&closed) < least));
        for (i, placement) in found.iter().enumerate() {
            let Some(c) = &placement.coupling else { continue };
            let bound = c.lower_bound.micros();
            assert!(bound <= least + ROUNDED, "world {seed}, effort {i}: {bound} above {least}");
            gaps += u32::from(c.lower_bound < c.optimum);
            compared += 1;
        }
    }
    assert!(
        compared > part.of(60) && (gaps > 10 && moved > 0 || !is_many()),
        "{compared} compared, {gaps} gaps, the replay decided in {moved}"
    );
}

/// A refusal tells changes that would work. Ended while these are looked for, it tells what is known by then, and that it was ended.
#[test]
fn a_refusal_may_be_ended_at_every_step() {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5.48xlarge", "us-east-1", Purchase::OnDemand, 31_000_000),
    ]);
    let text = line::two_services("").replacen("ttft: { p95: 2s }", "ttft: { p95: 30ms }", 1);
    let spec = line::spec(&text, &catalog);
    let world = line::world(&spec, &catalog);
    let asked = AtomicU64::new(0);
    let end_at = |at: u64| {
        asked.store(0, Ordering::Relaxed);
        let ask = |_: &Standing| (asked.fetch_add(1, Ordering::Relaxed) == at).then_some(Stop::TimeLimit);
        place_watched(&spec, &world, Watch { ask: Some(&ask), ..Watch::default() })
    };
    let Err(NoPlacement::Infeasible(full)) = end_at(u64::MAX) else { panic!("30 ms were kept") };
    let questions = asked.load(Ordering::Relaxed);
    assert!(full.proven && full.workloads.len() == 1 && full.workloads[0].ended.is_none(), "{full:?}");
    let changes = &full.workloads[0].relaxations;
    assert!(!changes.is_empty() && questions > 12, "{questions} questions: {full:?}");
    let (mut unfinished, mut cut) = (0, 0);
    for at in 0..=questions {
        match end_at(at) {
            Err(NoPlacement::Unfinished(why)) => {
                assert_eq!((why.by, why.all), (Stop::TimeLimit, 2));
                unfinished += 1;
            }
            Err(NoPlacement::Infeasible(why)) => {
                let told = &why.workloads[0];
                assert!(why.proven && !told.conflict.is_empty(), "question {at}: {told:?}");
                assert!(told.relaxations.iter().all(|r| changes.contains(r)), "question {at}: {told:?}");
                match told.ended {
                    Some(by) => {
                        assert_eq!(by, Stop::TimeLimit);
                        cut += 1;
                    }
                    None => assert_eq!(&told.relaxations, changes, "question {at}"),
                }
            }
            Ok(_) => panic!("question {at}: 30 ms were kept"),
        }
    }
    assert!(unfinished > 0 && cut > 5, "{unfinished} unfinished, {cut} cut short");
}
