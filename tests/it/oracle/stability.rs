//! What runs is kept unless a move saves enough, against brute force.

use rhumb::catalog::Catalog;
use rhumb::diagnostic::Pointer;
use rhumb::placement::World;
use rhumb::spec::{Spec, Stability};

use super::worlds::{self, Random};
use super::{Several, brute, options};
use crate::extent::{is_many, one_in};

/// Worlds that are tried.
const WORLDS: u64 = 500;

/// A world in which machines of some services run, of one kind or two.
fn running(seed: u64, base: &Catalog) -> (Spec, World) {
    let (mut spec, mut world) = worlds::together(seed, base);
    let mut r = Random::new(seed ^ 0x72_756e_7321);
    if r.chance(60) {
        spec.budget.limits.clear();
    }
    if r.chance(50) {
        spec.providers.clear();
    }
    let ppm = [1, 10_000, 100_000, 300_000, 700_000, 999_000];
    spec.stability = Some(Stability { saving_ppm: r.pick(&ppm), at: Pointer::root().join("stability") });
    for name in spec.services.keys() {
        // Of a catalogue of fewer sources nothing may be left on sale.
        for _ in 0..if world.catalog.offerings.is_empty() { 0 } else { r.below(3) } {
            let offer = r.pick(&world.catalog.offerings);
            let (kind, region) =
                (&world.catalog.instance_types[offer.instance_type], &world.catalog.regions[offer.region]);
            world.running.add(&format!("services.{name}"), region.cloud, &region.id, &kind.name);
        }
    }
    (spec, world)
}

#[test]
fn what_runs_is_kept_as_brute_force_keeps_it() {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let (mut kept, mut moved, mut by_the_rule) = (0, 0, 0);
    let part = one_in(18, 2);
    for seed in part.seeds(0..WORLDS) {
        let (spec, world) = running(seed, &base);
        let Some((addresses, options)) = options(&spec, &world) else { continue };
        let Some(placement) = tried.compare(seed, (&spec, &world), &addresses, &options) else { continue };
        let nothing = Spec { stability: None, ..spec.clone() };
        let Some(told) = &placement.kept else {
            assert!(world.running.0.is_empty(), "world {seed}");
            continue;
        };
        let (addresses, options) = super::options(&nothing, &world).unwrap();
        let free = brute::several::together(&nothing, &world, &addresses, &options).unwrap();
        let off = (told.free.unwrap().micros() - free).abs();
        assert!(off <= 8 * 730, "world {seed}: a free choice costs {free}, told {:?}", told.free);
        for of in told.workloads.values() {
            kept += u64::from(of.is_kept());
            moved += u64::from(!of.is_kept());
            by_the_rule +=
                u64::from(of.is_kept() && of.free.as_ref().is_some_and(|free| free.cost < of.cost));
        }
    }
    let Several { faults, coupled, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{exact} of {all} exact, {coupled} coupled, {refused} refused, {undecided} undecided, {kept} kept, {moved} moved, {by_the_rule} \
         kept though something else is cheaper"
    );
    assert!(exact * 100 > all * 90, "{seen}");
    assert!(
        coupled > part.of(30) && all > part.of(80) && kept > part.of(30) && moved > part.of(30),
        "{seen}"
    );
    assert!(by_the_rule > 5 || !is_many(), "{seen}");
}
