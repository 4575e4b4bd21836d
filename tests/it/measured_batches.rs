//! Batches of models whose times were measured: by hand, and by enumeration.

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::perf;
use rhumb::placement::{Placement, Pool, WorkloadPlacement, World};
use rhumb::replay;
use rhumb::spec::{ModelSource, Spec};
use rhumb_api::Purchase;

use crate::extent::{is_many, one_in};
use crate::faults::told;
use crate::line;

const TEXT: &str = "rhumb: 1
name: nightly
models:
  defect:
    measured:
      unit: frame
      image: registry.example.com/defect:7
      variants:
        fp16: { quality: 94.1%, memory: 2GiB, time: { l4: { batch: 8, takes: 20ms } } }
        pruned: { quality: 92.9%, memory: 1GiB, time: { l4: 1ms } }
    quality: { floor: 93.5%, benchmark: map50 }
batches:
  night: { model: defect, items: 10M, schedule: \"0 1 * * *\", deadline: 2h }
";

fn planned(text: &str, offers: &[(&str, &str, Purchase, i64)]) -> (Spec, World, Placement) {
    let catalog = line::on_sale(offers);
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

/// 8 frames in 20 ms are 400 a second. 10 million take one machine 25,000 s and three 8,333 s, of which two hours have 7,200: four take 6,250 s and the
/// start. The pruned one would be faster and is not good enough.
#[test]
fn frames_of_a_night_are_done_by_morning() {
    let (spec, world, placement) = planned(TEXT, &[("g6.xlarge", "eu-west-1", Purchase::OnDemand, 800_000)]);
    let placed = &placement.workloads["batches.night"];
    let (pool, run) = (&placed.pools[0], placed.run.as_ref().unwrap());
    assert_eq!((pool.machines[0].count, pool.replicas, pool.variant.as_str()), (4, 4, "fp16"));
    assert!((run.items_per_s - 1600.0).abs() < 1e-6, "{}", run.items_per_s);
    let kind = world.catalog.instance_type(pool.cloud, "g6.xlarge").unwrap();
    let start = perf::start_up_s(2.0 * 1_073_741_824.0, world.catalog.instance_types[kind].network_gbps);
    let hours = (start + 6250.0) / 3600.0;
    assert!((run.hours - hours).abs() < 1e-6, "{} {hours}", run.hours);
    let usd = 4.0 * 0.8 * run.hours;
    assert!((run.cost_per_run.usd() - usd).abs() < 1e-5, "{} {usd}", run.cost_per_run);
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.passed(), "\n{}", told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal");
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
}

#[test]
fn faults_of_such_a_batch_are_found() {
    let (spec, world, placement) = planned(TEXT, &[("g6.xlarge", "eu-west-1", Purchase::OnDemand, 800_000)]);
    let codes = |spec: &Spec, placement: &Placement| -> Vec<&str> {
        check::placement(spec, &world, placement).iter().map(|f| f.code).collect()
    };
    let planted = |fault: fn(&mut Placement)| {
        let mut other = placement.clone();
        fault(&mut other);
        codes(&spec, &other)
    };
    fn night(p: &mut Placement) -> &mut WorkloadPlacement {
        p.workloads.get_mut("batches.night").unwrap()
    }
    assert!(planted(|p| night(p).run.as_mut().unwrap().items_per_s *= 2.0).contains(&"run"));
    assert!(planted(|p| night(p).pools[0].variant = "pruned".into()).contains(&"quality"));
    let mut slower = spec.clone();
    slower.batches.get_mut("night").unwrap().deadline_s = 6000.0;
    assert!(codes(&slower, &placement).contains(&"deadline"));
}

/// Most machines that are tried.
const MOST: u32 = 600;

/// By enumeration of types, regions, variants, numbers of machines, and of spot among them; micro-dollars of a run.
fn enumerated(spec: &Spec, world: &World) -> Option<i64> {
    let batch = &spec.batches["night"];
    let model = &spec.models["defect"];
    let ModelSource::Measured(measured) = &model.source else { return None };
    let floor = model.quality.as_ref().map_or(0.0, |q| q.keep);
    let catalog = &world.catalog;
    let mut best: Option<i64> = None;
    for (t, kind) in catalog.instance_types.iter().enumerate() {
        let Some(on) = kind.accelerator.map(|i| &catalog.accelerators[i]) else { continue };
        for base in
            catalog.offerings.iter().filter(|o| o.instance_type == t && o.purchase == Purchase::OnDemand)
        {
            let of_spot = catalog
                .offerings
                .iter()
                .find(|o| (o.instance_type, o.region, o.purchase) == (t, base.region, Purchase::Spot));
            for (name, variant) in &measured.variants {
                let score = model.quality.as_ref().and_then(|q| q.measured.get(name)).copied();
                let Some(launch) = variant.times.get(&on.id) else { continue };
                if score.unwrap_or(0.0) < floor {
                    continue;
                }
                let each = kind.accelerator_count as u32;
                let rate = f64::from(launch.batch) / launch.takes_s;
                let start = perf::start_up_s(variant.memory_bytes, kind.network_gbps);
                for machines in 1..=MOST {
                    let most = (batch.purchase.spot_max_share * f64::from(machines) + 1e-9) as u32;
                    for spots in 0..=if of_spot.is_some() { most } else { 0 } {
                        let work = batch.items / (rate * f64::from(machines * each));
                        let s = if spots > 0 { 2.0 * start + 1.1 * work } else { start + work };
                        if s > batch.deadline_s {
                            continue;
                        }
                        let hour = base.price.micros() * i64::from(machines - spots)
                            + of_spot.map_or(0, |o| o.price.micros()) * i64::from(spots);
                        let cost = (hour as f64 * s / 3600.0).round() as i64;
                        best = Some(best.map_or(cost, |b| b.min(cost)));
                    }
                }
            }
        }
    }
    best
}

#[test]
fn enumeration_finds_nothing_cheaper() {
    let types = ["g6.xlarge", "g6.12xlarge", "g5.xlarge", "g6e.xlarge"];
    let known = Catalog::embedded();
    let types: Vec<&str> =
        types.into_iter().filter(|t| known.instance_type(rhumb_api::Cloud::Aws, t).is_some()).collect();
    let mut random = replay::Random::new(31, "worlds of batches");
    let mut below = |n: f64| (random.uniform() * n) as i64;
    let (mut feasible, mut refused, mut with_spot) = (0, 0, 0);
    let part = one_in(10, 1);
    for world in 0..200_u64 {
        let mut offers = Vec::new();
        for kind in &types {
            for region in ["eu-west-1", "us-east-1"] {
                if below(3.0) > 0 {
                    let price = 300_000 + below(4e6);
                    offers.push((*kind, region, Purchase::OnDemand, price));
                    if below(2.0) == 0 {
                        offers.push((*kind, region, Purchase::Spot, price * (2 + below(8.0)) / 10));
                    }
                }
            }
        }
        let time = |below: &mut dyn FnMut(f64) -> i64| {
            format!("{{ batch: {}, takes: {}ms }}", 4 + below(16.0), 2 + below(60.0))
        };
        let text = format!(
            "rhumb: 1
name: nightly
models:
  defect:
    measured:
      image: x
      variants:
        a: {{ quality: 95%, memory: 3GiB, time: {{ l4: {}, l40s: {} }} }}
        b: {{ quality: {}%, memory: 2GiB, time: {{ a10g: {}, l4: {} }} }}
    quality: {{ floor: 93%, benchmark: map50 }}
batches:
  night: {{ model: defect, items: {}k, deadline: {}min, purchase: {{ spot_max_share: {}% }} }}
",
            time(&mut below),
            time(&mut below),
            92 + below(3.0),
            time(&mut below),
            time(&mut below),
            10 + below(900.0),
            2 + below(60.0),
            [0, 40, 100][below(3.0) as usize],
        );
        if !part.has(world) {
            continue;
        }
        let catalog = line::on_sale(&offers);
        let spec = line::spec(&text, &catalog);
        let there = line::world(&spec, &catalog);
        let truth = enumerated(&spec, &there);
        let found = line::place(&spec, &there);
        let pools = found.iter().flat_map(|p| &p.workloads["batches.night"].pools);
        if pools.flat_map(|p| &p.machines).any(|m| m.count > MOST) {
            continue;
        }
        let cost = found
            .as_ref()
            .ok()
            .map(|p| p.workloads["batches.night"].run.as_ref().unwrap().cost_per_run.micros());
        let same = match (cost, truth) {
            (Some(a), Some(b)) => (a - b).abs() <= 60,
            (a, b) => a.is_none() == b.is_none(),
        };
        assert!(same, "world {world}: {cost:?}, by enumeration {truth:?}\n{text}\n{offers:?}");
        refused += u64::from(found.is_err());
        if let Ok(placement) = found {
            feasible += 1;
            with_spot += u64::from(placement.workloads["batches.night"].pools.iter().any(Pool::uses_spot));
            let proof = check::prove(&spec, &there, &placement);
            assert!(proof.report.passed(), "world {world}:\n{}\n{text}", told(&proof.report.findings));
            assert_eq!(proof.all.verdict(), "optimal", "world {world}");
            assert_eq!(check::placement(&spec, &there, &placement), vec![], "world {world}");
        }
    }
    let seen = format!("{feasible} {with_spot} {refused}");
    assert!(feasible > part.of(80) && with_spot > part.of(25) && (refused > 2 || !is_many()), "{seen}");
}
