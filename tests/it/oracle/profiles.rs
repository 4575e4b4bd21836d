//! Worlds in which one of several workloads has a profile, against brute force.

use std::collections::{BTreeMap, BTreeSet};

use rhumb::catalog::{Catalog, Offering};
use rhumb::diagnostic::Pointer;
use rhumb::placement::World;
use rhumb::spec::profile::{Measurement, PARTS};
use rhumb::spec::*;
use rhumb_api::{Cloud, Money};

use super::worlds::Random;
use super::{Several, brute, options, worlds};
use crate::extent::{is_many, one_in};

/// Worlds with a service of a profile alone, and beside others.
const ALONE: u64 = 250;
const TOGETHER: u64 = 900;

#[test]
fn a_service_with_a_profile_is_never_beaten() {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let mut mixes = 0;
    for seed in 0..ALONE {
        let (mut spec, mut world) = worlds::together(seed, &base);
        spec.services.clear();
        spec.batches.clear();
        if seed % 3 == 0 {
            everywhere(&mut world);
            spec.providers.clear();
        }
        let Some(address) = profile(seed, &mut spec, &world) else { continue };
        let all = brute::several::options(&spec, &world, &address);
        let found = tried.compare(seed, (&spec, &world), std::slice::from_ref(&address), &[all]);
        mixes += u64::from(found.is_some_and(|p| p.workloads[&address].pools.len() > 1));
    }
    let Several { faults, refused, undecided, all, exact, .. } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0);
    // Two types that share a quota are priced by it, and then machines are whole.
    assert!(exact * 100 > all * 95, "{exact} of {all}");
    assert!(
        all > 80 && refused > 10 && mixes > 20,
        "{all} placed, {refused} refused, {mixes} of several types"
    );
}

#[test]
fn a_profile_beside_others_is_never_beaten() {
    let base = Catalog::embedded();
    let mut tried = Several::default();
    let (mut binds, mut mixes, mut priced) = (0, 0, 0);
    let part = one_in(50, 3);
    for seed in part.seeds(0..TOGETHER) {
        let (mut spec, world) = worlds::together(seed, &base);
        // Two of the others are enough, and three are long to enumerate.
        while spec.services.len() + spec.batches.len() > 2 {
            spec.services.pop_last().map(drop).or_else(|| spec.batches.pop_last().map(drop));
        }
        let Some((mut addresses, mut all)) = one_or_more(&spec, &world) else { continue };
        let Some(address) = profile(seed, &mut spec, &world) else { continue };
        let own = brute::several::options(&spec, &world, &address);
        if own.is_empty() {
            continue;
        }
        addresses.push(address.clone());
        all.push(own);
        let Some(found) = tried.compare(seed, (&spec, &world), &addresses, &all) else { continue };
        let placed = &found.workloads[&address];
        mixes += u64::from(placed.pools.len() > 1);
        binds += u64::from(placed.mix.as_ref().is_some_and(|m| m.proofs.len() > 1));
        priced += u64::from(found.coupling.is_some_and(|c| c.limits.iter().any(|l| l.multiplier > 0)));
    }
    let Several { faults, coupled, dearer, batches, refused, undecided, all, exact } = tried;
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{exact} of {all} exact, {coupled} coupled, {dearer} dearer, {batches} with a batch, {refused} refused, {undecided} undecided, \
         {mixes} of several types, {binds} with two proofs, {priced} priced"
    );
    assert_eq!(undecided, 0, "{seen}");
    assert!(all > part.of(30), "{seen}");
    let rare = dearer > 7 && refused > 13 && mixes > 4 && binds > 7 && priced > 7;
    assert!(coupled > 7 && rare && exact * 10 > all * 7 || !is_many(), "{seen}");
}

/// Each type is on sale in every region of its cloud that anything is, dearer by a part of its own in each: prices divide each other less
/// there than where each has one.
fn everywhere(world: &mut World) {
    let of = |o: &Offering| (world.catalog.regions[o.region].cloud, o.region);
    let regions: BTreeSet<(Cloud, usize)> = world.catalog.offerings.iter().map(of).collect();
    let mut all = Vec::new();
    for offer in &world.catalog.offerings {
        let cloud = world.catalog.regions[offer.region].cloud;
        for (i, (_, region)) in regions.iter().filter(|(of, _)| *of == cloud).enumerate() {
            let price = Money::from_micros(offer.price.micros() * (100 + 7 * i as i64) / 100);
            all.push(Offering { region: *region, price, list_price: price, ..offer.clone() });
        }
    }
    all.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
    all.dedup_by_key(|o| (o.instance_type, o.region, o.purchase));
    world.catalog.offerings = all;
}

/// Adds a service with a profile of one to three types that are on sale; `None` if there are none.
fn profile(seed: u64, spec: &mut Spec, world: &World) -> Option<String> {
    let mut r = Random::new(seed ^ 0x7072_6f66);
    let mut types: Vec<usize> = world.catalog.offerings.iter().map(|o| o.instance_type).collect();
    types.dedup();
    let n = 1 + r.below(3);
    let types = r.some(&types, n);
    let names: Vec<String> = ["a", "b", "c"][..1 + r.below(3)].iter().map(|n| (*n).to_owned()).collect();
    let mut classes: BTreeMap<String, u64> = BTreeMap::new();
    let mut left = PARTS;
    for (i, name) in names.iter().enumerate() {
        let part = if i + 1 == names.len() { left } else { left / 2 / 1000 * (1 + r.below(900) as u64) };
        classes.insert(name.clone(), part.max(1));
        left -= part;
    }
    let mut rates: BTreeMap<(Cloud, String), BTreeMap<String, Measurement>> = BTreeMap::new();
    for kind in &types {
        let kind = &world.catalog.instance_types[*kind];
        for name in &names {
            if r.chance(80) {
                let micro = (1 + r.below(16)) as u64 * 250_000;
                let of = rates.entry((kind.cloud, kind.name.clone())).or_default();
                of.insert(name.clone(), Measurement { micro, line: 2 });
            }
        }
    }
    let mut placement =
        PlacementRules { spread_regions: 1, at: Pointer::root(), ..PlacementRules::default() };
    let region = world.catalog.regions[world.catalog.offerings.first()?.region].id.clone();
    match r.below(8) {
        0 => placement.regions = AllowDeny::Only(vec![region]),
        1 => placement.regions = AllowDeny::Not(vec![region]),
        _ => {}
    }
    let peak = (1 + r.below(12)) as u64 * 500_000;
    let profiled = Profiled {
        name: "p".into(),
        labels: BTreeMap::new(),
        profile: Profile {
            file: FileRef { path: "./p.csv".into(), at: Pointer::root() },
            sha256: "0".repeat(64),
            rates,
        },
        image: "r/p:1".into(),
        command: Vec::new(),
        peak,
        usual: peak,
        seasons: Vec::new(),
        classes,
        survive: r.pick(&[0, 0, 0, 1, 2]),
        capacity: r.pick(&[1.0, 0.5, 0.8]),
        least_machines: r.pick(&[1, 1, 1, 3]),
        most_machines: r.pick(&[None, None, None, Some(4)]),
        placement,
        purchase: PurchaseRules {
            options: r.pick(&[vec![Purchase::OnDemand], vec![Purchase::OnDemand, Purchase::Reserved1y]]),
            spot_max_share: 0.0,
            on_demand_base: 0,
            held: false,
            at: Pointer::root(),
        },
        endpoint: Endpoint {
            exposure: Exposure::Private,
            tls_certificate: None,
            api_keys: None,
            prevent_destroy: false,
            at: Pointer::root(),
        },
        at: Pointer::root(),
    };
    spec.profiled.insert("p".into(), profiled);
    Some("services.p".into())
}

type Options = (Vec<String>, Vec<Vec<brute::Choice>>);

/// As [`options`], of one or more.
fn one_or_more(spec: &Spec, world: &World) -> Option<Options> {
    if spec.services.len() + spec.batches.len() > 1 {
        return options(spec, world);
    }
    let addresses: Vec<String> = spec.addresses();
    let all: Vec<Vec<brute::Choice>> =
        addresses.iter().map(|a| brute::several::options(spec, world, a)).collect();
    (!all.iter().any(Vec::is_empty)).then_some((addresses, all))
}
