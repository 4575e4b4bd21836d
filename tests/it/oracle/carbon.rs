//! A cap of carbon, a price of it and least emissions, against brute force.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::diagnostic::Pointer;
use rhumb::placement::World;
use rhumb::spec::{CarbonCap, Goal, Spec};
use rhumb_api::Money;

use super::worlds::{self, Random};
use super::{Several, brute, options};
use crate::extent::{is_many, one_in};
use crate::{line, plans};

/// Worlds that are tried.
const WORLDS: u64 = 500;

/// A world in which emissions count: by a cap that says nothing yet, by a price, or by nothing else.
fn emitting(seed: u64, base: &Catalog) -> (Spec, World) {
    let (mut spec, world) = worlds::together(seed, base);
    let mut r = Random::new(seed ^ 0x6361_7262_6f6e);
    if r.chance(70) {
        spec.providers.clear();
    }
    if r.chance(60) {
        spec.budget.limits.clear();
    }
    let cap = CarbonCap { mg: i64::MAX / 2048, at: Pointer::root().join("budget").join("carbon") };
    let dollars = r.range(10.0, 4_000.0);
    (spec.budget.carbon, spec.objective) = match r.below(10) {
        0..=4 => (Some(cap), Goal::Cost),
        5 | 6 => (Some(cap), Goal::Priced { per_tonne: Money::from_usd(dollars).unwrap() }),
        7 | 8 => (None, Goal::Priced { per_tonne: Money::from_usd(dollars).unwrap() }),
        _ => (None, Goal::Carbon),
    };
    (spec, world)
}

/// Sets the cap between the least that brute force knows and what the cheapest emit, or near to either.
fn tighten(seed: u64, spec: &mut Spec, options: &[Vec<brute::Choice>]) {
    let Some(cap) = &mut spec.budget.carbon else { return };
    let mut r = Random::new(seed ^ 0x74_6967_6874);
    let emitted = brute::carbon::emitted;
    let least: i64 = options.iter().map(|own| own.iter().map(emitted).min().unwrap()).sum();
    let apart: i64 = options.iter().map(|own| emitted(own.iter().min_by_key(|c| c.cost).unwrap())).sum();
    let between = (apart - least) as f64 * r.range(-0.05, 1.1);
    cap.mg = (least as f64 * r.range(0.995, 1.02) + between).max(1.0) as i64;
}

#[test]
fn carbon_is_never_beaten_and_never_wrong() {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let (mut binding, mut priced, mut least, mut unproven, mut relaxed) = (0, 0, 0, 0, 0);
    let part = one_in(40, 3);
    for seed in part.seeds(0..WORLDS) {
        let (mut spec, world) = emitting(seed, &base);
        let Some((addresses, options)) = options(&spec, &world) else { continue };
        tighten(seed, &mut spec, &options);
        let before = tried.refused;
        let placement = tried.compare(seed, (&spec, &world), &addresses, &options);
        if tried.refused > before {
            let why = line::place(&spec, &world).unwrap_err();
            unproven += u64::from(!why.proven);
            relaxed += check_relaxations(seed, &spec, &world, &why, &mut tried.faults);
        }
        let Some(placement) = placement else { continue };
        assert!(placement.emissions.complete(), "world {seed}");
        let coupling = placement.coupling.as_ref();
        let binds = |l: &rhumb::placement::SharedLimit| l.constraint == "carbon" && l.multiplier > 0;
        binding += u64::from(coupling.is_some_and(|c| c.limits.iter().any(binds)));
        priced += u64::from(matches!(spec.objective, Goal::Priced { .. }));
        least += u64::from(spec.objective == Goal::Carbon);
    }
    let Several { faults, coupled, dearer, batches, refused, undecided, all, exact } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{exact} of {all} exact, {coupled} coupled, {dearer} dearer, {batches} with a batch, {refused} refused, {undecided} undecided, \
         {unproven} not proven, {binding} bind, {priced} priced, {least} with the least, {relaxed} caps told that work"
    );
    assert!(undecided <= u64::from(plans::REDUCED), "{seen}");
    assert!(all > part.of(20), "{seen}");
    let rare =
        dearer > 3 && refused > 2 && batches > 1 && binding > 2 && priced > 2 && least > 0 && relaxed > 0;
    assert!(coupled > 10 && rare && unproven * 4 < refused && exact * 100 > all * 92 || !is_many(), "{seen}");
}

/// What a refusal says would do, does; and a kilogram less does not, where that was proven.
pub fn check_relaxations(
    seed: u64,
    spec: &Spec,
    world: &World,
    why: &rhumb::placement::Infeasible,
    faults: &mut String,
) -> u64 {
    let mut told = 0;
    for relaxation in why.workloads.iter().flat_map(|w| &w.relaxations) {
        let Some(rest) = relaxation.change.strip_prefix("a cap of carbon of ") else { continue };
        let kg: i64 = rest.split_once(" kg").unwrap().0.parse().unwrap();
        let with = |kg: i64| {
            let mut other = spec.clone();
            other.budget.carbon.as_mut().unwrap().mg = kg * 1_000_000;
            line::place(&other, world).is_ok()
        };
        told += 1;
        if !with(kg) {
            *faults += &format!("world {seed}: {} does not do\n", relaxation.change);
        }
        if !rest.contains("not decided") && kg > 1 && with(kg - 1) {
            *faults += &format!("world {seed}: less than {} does\n", relaxation.change);
        }
    }
    told
}

#[test]
fn a_slack_cap_changes_nothing_but_what_is_unknown() {
    let base = Catalog::embedded();
    let (mut same, mut elsewhere) = (0, 0);
    let part = one_in(10, 2);
    for seed in part.seeds(0..200) {
        let (free, mut world) = worlds::together(seed, &base);
        let mut spec = free.clone();
        spec.budget.carbon = Some(CarbonCap { mg: i64::MAX / 2048, at: Pointer::root() });
        let cost = |found: &rhumb::placement::Placement| -> Money {
            found.workloads.values().map(|w| w.cost.expected_per_month).sum()
        };
        let without = line::place(&free, &world).ok();
        let unknown = without.as_ref().is_some_and(|p| !p.emissions.complete());
        let with = line::place(&spec, &world).ok();
        elsewhere += u64::from(unknown);
        if unknown {
            assert!(with.is_none_or(|p| p.emissions.complete()), "world {seed}");
            continue;
        }
        // Without offers where nothing is known, a cap that nobody reaches says nothing at all.
        let dark: BTreeMap<usize, bool> =
            (0..world.catalog.regions.len()).map(|r| (r, world.catalog.regions[r].grid.is_none())).collect();
        world.catalog.offerings.retain(|o| !dark[&o.region]);
        let (a, b) = (line::place(&free, &world).ok(), line::place(&spec, &world).ok());
        assert_eq!(a.as_ref().map(cost), b.as_ref().map(cost), "world {seed}");
        same += u64::from(a.is_some());
    }
    assert!(
        same > part.of(15) && (elsewhere > 0 || !is_many()),
        "{same} the same, {elsewhere} where nobody knows"
    );
}
