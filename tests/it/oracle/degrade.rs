//! Smaller models that stand in, against enumeration, and the laws that hold of them.

use rhumb::catalog::{Catalog, ModelKind};
use rhumb::check;
use rhumb::diagnostic::Pointer;
use rhumb::placement::{Placement, World};
use rhumb::spec::*;

use super::worlds::{self, Random};
use super::{Several, agree, ask, brute, options, proven};
use crate::extent::{is_many, one_in};
use crate::line;

/// Worlds with one service.
const ALONE: u64 = 600;

/// Worlds with several.
const TOGETHER: u64 = 700;

/// Lets one or two smaller models stand in for each service, of which replicas or machines may fail.
fn degraded(seed: u64, mut spec: Spec, mut world: World) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x0064_6567_7261_6465);
    let own = world.archs["m"].params;
    let smaller: Vec<_> = world
        .catalog
        .models
        .iter()
        .filter(|m| m.kind == ModelKind::Dense && m.params < 0.8 * own && m.max_context >= 4096)
        .cloned()
        .collect();
    let n = 1 + r.below(2);
    let named: Vec<String> = (0..n.min(smaller.len())).map(|i| format!("small{i}")).collect();
    for name in &named {
        let arch = r.pick(&smaller);
        let native = spec.models["m"].variants["native"].clone();
        let model = Model {
            name: name.clone(),
            source: ModelSource::Known { written: arch.id.clone(), id: arch.id.clone() },
            variants: [("native".to_owned(), native)].into(),
            quality: None,
            ..spec.models["m"].clone()
        };
        spec.models.insert(name.clone(), model);
        world.archs.insert(name.clone(), arch);
    }
    if spec.services.len() == 1 && r.chance(70) {
        spec.budget.limits.clear();
        spec.providers.clear();
    }
    for service in spec.services.values_mut() {
        if let Load::Concurrency(clients) = service.traffic.load {
            service.traffic.load = Load::Rate(clients / 10.0);
        }
        if let Load::Rate(rate) = &mut service.traffic.load {
            *rate *= r.pick(&[1.0, 3.0, 6.0]);
        }
        service.traffic.daily = None;
        service.scaling.mode = ScalingMode::Fixed;
        (service.purchase.spot_max_share, service.purchase.on_demand_base) = (0.0, 0);
        service.survive = r.pick(&[
            Survive { machine: 1, ..Survive::default() },
            Survive { machine: 1, ..Survive::default() },
            Survive { machine: 2, replica: 1, ..Survive::default() },
            Survive { replica: 1, ..Survive::default() },
            Survive { replica: 3, ..Survive::default() },
        ]);
        let to = |model: &String| Smaller { model: model.clone(), quality: 0.9, at: Pointer::root() };
        service.degrade = Some(Degrade {
            to: named.iter().map(to).collect(),
            keep: 0.9,
            at: Pointer::root().join("degrade"),
        });
    }
    (spec, world)
}

/// What the checker says of a placement.
fn told(seed: u64, spec: &Spec, world: &World, placement: &Placement) -> String {
    let findings = check::placement(spec, world, placement);
    let line = |f: &check::Finding| {
        format!("world {seed}: {} {}: {} ({} / {})\n", f.address, f.code, f.message, f.expected, f.found)
    };
    findings.iter().map(line).collect()
}

fn stand_ins(placement: &Placement) -> usize {
    placement.workloads.values().flat_map(|w| &w.pools).filter(|p| p.stands_in.is_some()).count()
}

#[test]
fn what_stands_in_is_the_cheapest_by_enumeration() {
    let base = Catalog::embedded();
    let (mut faults, mut used, mut spare, mut refused, mut all, mut exact) = (String::new(), 0, 0, 0, 0, 0);
    let (mut cheaper, mut second, mut partly) = (0, 0, 0);
    let part = one_in(16, 1);
    for seed in part.seeds(0..ALONE) {
        let (spec, world) = worlds::case(seed, &base);
        if spec.services.is_empty() {
            continue;
        }
        let (spec, world) = degraded(seed, spec, world);
        let (answer, placement) = ask(&spec, &world);
        if answer.beyond {
            continue;
        }
        let truth = brute::service(&spec, &world, "s");
        if !agree(answer.cost, truth) {
            faults += &format!("world {seed}: the optimizer says {:?}, enumeration {truth:?}\n", answer.cost);
            continue;
        }
        let Some(placement) = placement else {
            refused += 1;
            continue;
        };
        all += 1;
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &told(seed, &spec, &world, &placement);
        let stand_in = stand_ins(&placement) > 0;
        used += u64::from(stand_in);
        spare += u64::from(!stand_in);
        let percents = placement.workloads["services.s"].pools.iter().filter_map(|p| p.stands_in.as_ref());
        partly += u64::from(percents.clone().any(|s| s.percent < 100));
        second += u64::from(percents.clone().any(|s| s.model == "small1"));
        // Whoever may degrade pays no more, and a further model costs nothing.
        let (mut without, mut first) = (spec.clone(), spec.clone());
        without.services.values_mut().for_each(|s| s.degrade = None);
        first.services.values_mut().flat_map(|s| &mut s.degrade).for_each(|d| d.to.truncate(1));
        let cost = |spec: &Spec| ask(spec, &world).0.cost.unwrap_or(i64::MAX);
        let (without, first, with) = (cost(&without), cost(&first), answer.cost.unwrap_or(i64::MAX));
        if with > first || first > without {
            faults += &format!("world {seed}: {with} with two, {first} with one, {without} with none\n");
        }
        // Something stands in only where that costs less.
        if stand_in != (with < without) {
            faults += &format!("world {seed}: {with} with {stand_in}, {without} without\n");
        }
        cheaper += u64::from(with < without);
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{used} with a stand-in ({partly} for a part, {second} the second model), {spare} with a spare, {refused} refused, {cheaper} \
         cheaper, {exact} of {all} exact"
    );
    assert!(used > part.of(50) && spare > part.of(50) && refused > part.of(20), "{seen}");
    assert!(partly > 8 && second > 8 || !is_many(), "{seen}");
    assert!(exact * 10 > all * 8, "{seen}");
}

#[test]
fn with_shared_limits_it_is_the_cheapest_as_well() {
    let base = Catalog::embedded();
    let (mut tried, mut used) = (Several::default(), 0);
    let part = one_in(10, 1);
    for seed in part.seeds(0..TOGETHER) {
        let (mut spec, world) = worlds::together(seed, &base);
        spec.batches.clear();
        let (spec, world) = degraded(seed, spec, world);
        let Some((addresses, options)) = options(&spec, &world) else { continue };
        let placement = tried.compare(seed, (&spec, &world), &addresses, &options);
        used += placement.map_or(0, |p| if p.coupling.is_some() { stand_ins(&p) } else { 0 });
    }
    let Several { faults, coupled, dearer, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against enumeration");
    let seen = format!(
        "{exact} of {all} exact, {coupled} coupled with {used} stand-ins, {dearer} dearer, {refused} refused"
    );
    // Where it is not, what the search closed by listing plans is left.
    assert!(exact * 2 > all, "{seen}");
    assert!(all > part.of(50), "{seen}");
    assert!(coupled > 15 && dearer > 12 && refused > 10 && used > 12 || !is_many(), "{seen}");
}

#[test]
fn what_a_replay_contradicts_is_not_promised() {
    let base = Catalog::embedded();
    let (mut faults, mut used, mut moved) = (String::new(), 0, 0);
    let part = one_in(5, 1);
    for seed in part.seeds(0..ALONE / 6) {
        let (spec, world) = worlds::case(seed, &base);
        if spec.services.is_empty() {
            continue;
        }
        let (spec, mut world) = degraded(seed, spec, world);
        let Ok(closed) = line::place(&spec, &world) else { continue };
        world.replay = 400;
        let Ok(placement) = line::place(&spec, &world) else { continue };
        used += u64::from(stand_ins(&placement) > 0);
        let cost = |p: &Placement| p.workloads["services.s"].cost.expected_per_hour;
        moved += u64::from(cost(&placement) != cost(&closed));
        if cost(&placement) < cost(&closed) {
            faults += &format!("world {seed}: a replay makes it cheaper\n");
        }
        faults += &told(seed, &spec, &world, &placement);
        proven(seed, &spec, &world, &placement, &mut faults);
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(
        used > part.of(8) && (moved > 0 || !is_many()),
        "{used} with a stand-in, the replay moved {moved}"
    );
}
