//! Worlds in which machines are held or covered, against brute force.

use rhumb::catalog::Catalog;
use rhumb::placement::{Placement, Pool, SavingsUse, World};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};

use super::{Several, agree, ask, brute, findings, options, proven, worlds};
use crate::extent::{OneIn, is_many, one_in};

/// Worlds with one workload, and with several.
const WORLDS: u64 = 300;
const TOGETHER: u64 = 500;
/// The same with savings plans.
const COVERED: u64 = 200;

/// The pools of a placement in which something is wrong.
fn told(placement: &Placement) -> String {
    let of = |p: &Pool| {
        let machines: Vec<(Purchase, u32)> = p.machines.iter().map(|m| (m.purchase, m.count)).collect();
        let hours: Option<Vec<_>> =
            p.following.as_ref().map(|f| f.classes.iter().map(|c| (c.share, c.machines.clone())).collect());
        format!("    {} {} {machines:?} {hours:?}\n", p.addr, p.variant)
    };
    placement.workloads.values().flat_map(|w| &w.pools).map(of).collect()
}

/// What makes a world hold something.
type Holding = fn(u64, &mut Spec, &mut World);

/// Savings plans; in every third world beside reservations and blocks.
fn save(seed: u64, spec: &mut Spec, world: &mut World) {
    if seed.is_multiple_of(3) {
        worlds::hold(seed, spec, world);
    }
    worlds::save(seed, spec, world);
}

/// What was seen in worlds with one workload.
#[derive(Debug, Default)]
struct Seen {
    used: u64,
    mixed: u64,
    follows: u64,
    refused: u64,
    ending: u64,
    /// Pools that a savings plan covers, and plans of which a part of a machine's rate is left.
    covered: u64,
    parts: u64,
}

fn alone(worlds: u64, part: OneIn, hold: Holding) -> Seen {
    let base = Catalog::embedded();
    let (mut faults, mut seen) = (String::new(), Seen::default());
    let (mut exact, mut feasible) = (0, 0);
    for seed in part.seeds(0..worlds) {
        let (mut spec, mut world) = worlds::case(seed, &base);
        hold(seed, &mut spec, &mut world);
        let Some(name) = spec.services.keys().next() else { continue };
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = brute::service(&spec, &world, name);
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, brute force {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement else {
            seen.refused += 1;
            continue;
        };
        let before = faults.len();
        feasible += 1;
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &findings(seed, &spec, &world, &placement);
        if faults.len() > before {
            faults += &told(&placement);
        }
        for pool in placement.workloads.values().flat_map(|w| &w.pools).filter(|p| p.most_held() > 0) {
            seen.used += 1;
            seen.mixed += u64::from(pool.machines.len() > 1);
            seen.follows += u64::from(pool.following.is_some());
            let of = |m: &&rhumb::placement::PoolMachines| m.purchase == Purchase::Held;
            let machines = pool.machines.iter().find(of).unwrap();
            seen.ending += u64::from(machines.price.micros() > 0);
            seen.covered += u64::from(spec.savings.contains_key(machines.commitment.as_ref().unwrap()));
        }
        let part = |s: &&SavingsUse| s.machines() > 0 && s.unused() > Money::ZERO;
        seen.parts += placement.savings.iter().filter(part).count() as u64;
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(exact * 100 > feasible * 90, "the bound was exact in {exact} of {feasible}");
    seen
}

#[test]
fn what_is_held_is_used_where_nothing_is_cheaper() {
    let part = one_in(6, 1);
    let seen = alone(WORLDS, part, worlds::hold);
    let Seen { used, mixed, follows, refused, ending, .. } = seen;
    assert!(used > part.of(50), "{seen:?}");
    assert!(mixed > 8 && follows > 10 && refused > 10 && ending > 8 || !is_many(), "{seen:?}");
}

#[test]
fn what_savings_plans_cover_is_used_where_nothing_is_cheaper() {
    let part = one_in(5, 1);
    let seen = alone(COVERED, part, save);
    let Seen { covered, used, mixed, follows, parts, ending, .. } = seen;
    assert!(covered > part.of(25) && parts > part.of(15), "{seen:?}");
    assert!(used > covered && mixed > 2 && follows > 6 && ending > 2 || !is_many(), "{seen:?}");
}

/// Worlds with several workloads: those in which something held is used, and is by several.
fn together(worlds: u64, part: OneIn, hold: Holding) -> (u64, u64) {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let (mut used, mut both, mut all_tried) = (0, 0, 0);
    for seed in part.seeds(0..worlds) {
        all_tried += 1;
        let (mut spec, mut world) = worlds::together(seed, &base);
        hold(seed, &mut spec, &mut world);
        let Some((addresses, options)) = options(&spec, &world) else { continue };
        let before = tried.faults.len();
        if let Some(placement) = tried.compare(seed, (&spec, &world), &addresses, &options) {
            if tried.faults.len() > before {
                tried.faults += &told(&placement);
            }
            let holds = |w: &&rhumb::placement::WorkloadPlacement| w.pools.iter().any(|p| p.most_held() > 0);
            let n = placement.workloads.values().filter(holds).count();
            used += u64::from(n > 0);
            both += u64::from(n > 1);
        }
    }
    let Several { faults, coupled, dearer, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against brute force");
    assert!(exact * 100 > all * 90, "the bound was exact in {exact} of {all}");
    let seen = format!("{coupled} coupled, {dearer} dearer, {refused} refused of {all_tried}");
    let often = coupled * 20 > all_tried && dearer * 20 > all_tried;
    assert!(often && refused * 50 > all_tried || !is_many(), "{seen}");
    (used, both)
}

#[test]
fn services_share_what_is_held() {
    let part = one_in(30, 2);
    let (used, both) = together(TOGETHER, part, worlds::hold);
    assert!(used > part.of(25) && (both > 5 || !is_many()), "{used} use what is held, {both} by several");
}

#[test]
fn services_share_what_savings_plans_cover() {
    let part = one_in(12, 1);
    let (used, both) = together(COVERED, part, save);
    assert!(used > part.of(20) && (both > 4 || !is_many()), "{used} use what is held, {both} by several");
}
