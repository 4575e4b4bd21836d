//! Models whose times the team measured: plans by hand, by enumeration and by laws, the closed form against the replay,
//! planted faults, and what starts the servers.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;
use rhumb::catalog::{Catalog, Evidence};
use rhumb::check;
use rhumb::graph;
use rhumb::perf::{self, ServiceCurve};
use rhumb::placement::*;
use rhumb::render;
use rhumb::replay::{self, Loaded, Stream, limits_of};
use rhumb::spec::{Arrivals, EngineName, Launch, Lengths, ModelSource, Spec};
use rhumb_api::{Purchase, ResourceKind};

use crate::extent::{is_many, one_in};
use crate::faults::{self, Case, Fault, told};
use crate::line;
use crate::processors::server_on;

const MODEL: &str = "
rhumb: 1
name: vision
models:
  defect:
    measured:
      unit: frame
      image: registry.example.com/defect:7
      command: [serve, \"--name=a b\"]
      variants:
        fp16: { quality: 94.1%, memory: 3GiB, time: { l4: 6.1ms, l40s: 2.6ms } }
        int8: { quality: 93.7%, memory: 2GiB, time: { l4: 3.3ms, l40s: { batch: 4, takes: 5.2ms } } }
        pruned: { quality: 92.9%, memory: 2GiB, time: { l4: 2.4ms } }
    quality: { floor: 93.5%, benchmark: map50 }
services:
  inspect:
    model: defect
    traffic: { peak: 640 req/s }
    slo: { e2e: { p99: 80ms } }
";

/// One L4, four, one L40S, a T4 that nobody measured, and an eighth of an L4.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("g6.xlarge", "eu-central-1", Purchase::OnDemand, 800_000),
        ("g6.12xlarge", "eu-central-1", Purchase::OnDemand, 4_600_000),
        ("g6e.xlarge", "eu-central-1", Purchase::OnDemand, 1_860_000),
        ("g4dn.xlarge", "eu-central-1", Purchase::OnDemand, 100_000),
        ("g6f.large", "eu-central-1", Purchase::OnDemand, 90_000),
    ])
}

fn planned(text: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    line::placed(text, &catalog())
}

/// Type, machines, replicas, variant, and micro-dollars an hour.
fn choice(placement: &Placement) -> (String, u32, u32, String, i64) {
    let placed = &placement.workloads["services.inspect"];
    let pool = &placed.pools[0];
    let machines = pool.machines.iter().map(|m| m.count).sum();
    let cost = placed.cost.expected_per_hour.micros();
    (pool.instance_type.clone(), machines, pool.replicas, pool.variant.clone(), cost)
}

/// By hand. An L4 does 1 / 3.3 ms = 303 frames a second in int8, so that 640 need three (2.40); an L40S does 4 / 5.2 ms = 769 in
/// launches of four: one is enough (1.86). If one may fail two L40S (3.72) or, since two L4 do 606, four L4 (3.20).
#[test]
fn the_cheapest_by_hand() {
    let (spec, world, placement) = planned(MODEL);
    let placement = placement.unwrap();
    assert_eq!(choice(&placement), ("g6e.xlarge".into(), 1, 1, "int8".into(), 1_860_000));
    let pool = &placement.workloads["services.inspect"].pools[0];
    assert_eq!((pool.evidence, pool.tpot_factor, pool.ttft_factor), (Evidence::Measured, 1.0, 1.0));
    assert_eq!((pool.engine.name, pool.engine.max_num_seqs), (EngineName::Own, 4));
    // Less than full launches one after the other would do, which is what 80 ms leave of it.
    assert!((700.0..4.0 / 0.0052).contains(&pool.capacity), "{}", pool.capacity);
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.passed(), "\n{}", told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal");

    let (_, _, survives) = planned(&format!("{MODEL}    survive: {{ replica: 1 }}\n"));
    assert_eq!(choice(&survives.unwrap()), ("g6.xlarge".into(), 4, 4, "int8".into(), 3_200_000));
    // Four servers to a machine: more machines are needed only where one of them may fail.
    let only = |more: &str| {
        let text = format!("{MODEL}    placement: {{ instance_types: [g6.12xlarge] }}\n{more}");
        choice(&planned(&text).2.unwrap())
    };
    assert_eq!(only("").1, 1);
    assert_eq!(only("    survive: { machine: 1 }\n").1, 2);
    // Without the floor a pruned one does 417 frames: two L4.
    let loose = MODEL.replace("floor: 93.5%", "floor: 92%");
    assert_eq!(choice(&planned(&loose).2.unwrap()), ("g6.xlarge".into(), 2, 2, "pruned".into(), 1_600_000));
    // What is not good enough is not used, however cheap.
    let strict = MODEL.replace("floor: 93.5%", "floor: 94%");
    assert_eq!(choice(&planned(&strict).2.unwrap()).3, "fp16");
}

/// Nothing is uncertain about a time that was measured: confidence changes nothing.
#[test]
fn confidence_widens_nothing() {
    let at = |c: &str| planned(&format!("{MODEL}confidence: {c}\n")).2.unwrap();
    assert_eq!(at("50%").workloads, at("99%").workloads);
}

#[test]
fn what_cannot_be_gets_its_reason_and_the_least_that_works() {
    let (_, _, none) = planned(&MODEL.replace("p99: 80ms", "p99: 2ms"));
    let why = none.unwrap_err();
    let service = &why.workloads[0];
    assert!(service.conflict.iter().all(|r| r.constraint == "e2e"), "{service:?}");
    let told = format!("{service:?}");
    // The fastest item takes 2.6 ms: kept where fewer than one in a hundred wait at all.
    assert!(told.contains("e2e p99 2.6 ms instead of 2 ms"), "{told}");
    // Devices without a time, and parts of one that was measured whole, are no candidates, however cheap.
    let (_, _, placement) = planned(MODEL);
    let losers = &placement.unwrap().workloads["services.inspect"].losers;
    for (kind, reason) in [
        ("g4dn.xlarge", "no time of `fp16` was measured on t4-16gb"),
        ("g6f.large", "measured on a whole l4-24gb, not on a part"),
    ] {
        let why = losers.iter().find(|l| l.candidate.instance_type == kind).map(|l| &l.rejection);
        assert!(why.is_some_and(|w| w.constraint == "measured-time" && w.reason.contains(reason)), "{why:?}");
    }
    let large = MODEL.replace("memory: 3GiB", "memory: 30GiB").replace("memory: 2GiB", "memory: 30GiB");
    let (_, _, placement) = planned(&large);
    let losers = &placement.unwrap().workloads["services.inspect"].losers;
    let why = losers.iter().find(|l| l.candidate.instance_type == "g6.xlarge").map(|l| &l.rejection);
    assert!(why.is_some_and(|w| w.constraint == "memory" && w.reason.contains("needs 30.0 GiB")), "{why:?}");
}

fn micros(text: &str) -> Option<i64> {
    planned(text).2.ok().map(|p| choice(&p).4)
}

/// The rest of a service's keys mean what they mean for any: pools that follow the day, clients that wait, a budget that two
/// services share, a language model beside them.
#[test]
fn everything_else_is_as_of_any_service() {
    let proven = |text: &str| {
        let (spec, world, placement) = planned(text);
        let placement = placement.unwrap_or_else(|why| panic!("{why:?}\n{text}"));
        let proof = check::prove(&spec, &world, &placement);
        assert!(proof.report.passed(), "\n{}\n{text}", told(&proof.report.findings));
        assert_eq!(proof.all.verdict(), "optimal", "{text}");
        placement
    };
    let l4 = format!("{MODEL}    placement: {{ instance_types: [g6.xlarge] }}\n");
    let daily = l4.replace("peak: 640 req/s", "peak: 640 req/s, daily: office-hours");
    let fixed = choice(&proven(&daily));
    let follows = proven(&format!("{daily}    scaling: {{ mode: horizontal }}\n"));
    // 640 frames need three, 60 % two, 30 and 10 % one: office hours are 8 of 24.
    let pool = &follows.workloads["services.inspect"].pools[0];
    let most = pool.following.as_ref().unwrap().classes.iter().map(|c| c.replicas).max();
    assert_eq!((most, fixed.2), (Some(3), 3));
    assert!(choice(&follows).4 < fixed.4 * 3 / 4, "{:?}", choice(&follows));
    assert!(!follows.workloads["services.inspect"].fallbacks.is_empty());

    // Two clients, and nothing to wait for but the item: 606 frames a second in int8 on two L4.
    let clients = l4.replace("peak: 640 req/s", "concurrency: 2").replace("p99: 80ms", "p99: 7ms");
    let two = proven(&clients);
    let pool = &two.workloads["services.inspect"].pools[0];
    assert!(pool.peak_rate > 200.0 && pool.peak_rate <= 2.0 / 0.0033 + 1e-6, "{pool:?}");

    let second = "
  assess:
    model: defect
    labels: { team: quality }
    traffic: { peak: 100 req/s }
    slo: { e2e: { p95: 20ms } }
    survive: { replica: 1 }
  chat:
    model: chat
    traffic: { peak: 1 req/s, input_tokens: 500, output_tokens: 100 }
    slo: { ttft: { p95: 3s }, tpot: { p95: 80ms } }
budget: { monthly: 5700 USD }
";
    let with_chat = MODEL.replace("models:\n", "models:\n  chat: { source: Qwen/Qwen3-8B }\n");
    let all = proven(&format!("{with_chat}    survive: {{ replica: 1 }}{second}"));
    assert_eq!(all.workloads.len(), 3);
}

/// `None`, that nothing will do, is dearer than everything.
fn at_most(a: Option<i64>, b: Option<i64>) -> bool {
    b.is_none() || a.is_some_and(|a| Some(a) <= b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// More frames are never cheaper, a tighter limit neither; a faster device is never dearer; names and order mean nothing.
    #[test]
    fn laws(rate in 5u32..3000, more in 1u32..1000, limit in 4u32..60, survive in 0u32..2, faster in 10u32..62, burst in any::<bool>()) {
        let of = |rate: u32, limit: u32, l4: f64, names: [&str; 3]| {
            let arrivals = if burst { ", arrivals: { bursty: { cv2: 4 } }" } else { "" };
            let text = MODEL
                .replace("peak: 640 req/s", &format!("peak: {rate} req/s{arrivals}"))
                .replace("p99: 80ms", &format!("p99: {limit}ms"))
                .replace("l4: 6.1ms", &format!("l4: {l4}ms"))
                .replace("fp16:", names[0]).replace("int8:", names[1]).replace("pruned:", names[2]);
            micros(&format!("{text}    survive: {{ replica: {survive} }}\n"))
        };
        let names = ["fp16:", "int8:", "pruned:"];
        let base = of(rate, limit, 6.1, names);
        prop_assert!(at_most(base, of(rate + more, limit, 6.1, names)));
        prop_assert!(at_most(of(rate, limit + 7, 6.1, names), base));
        prop_assert!(at_most(of(rate, limit, f64::from(faster) / 10.0, names), base));
        prop_assert_eq!(of(rate, limit, 6.1, ["z:", "m:", "a:"]), base);
    }
}

/// By enumeration of types, regions, numbers of machines, and of spot among them; traffic is divided evenly over any number of
/// regions. It shares the closed form with the planner and nothing else.
pub fn enumerated(spec: &Spec, world: &World) -> Option<i64> {
    let service = &spec.services["inspect"];
    let model = &spec.models["defect"];
    let ModelSource::Measured(measured) = &model.source else { return None };
    let rhumb::spec::Load::Rate(rate) = service.traffic.load else { return None };
    let floor = model.quality.as_ref().map_or(0.0, |q| q.keep);
    let catalog = &world.catalog;
    let keeps = |curve: &ServiceCurve, rate: f64, n: u32| {
        n > 0
            && curve
                .latency(rate / f64::from(n), n, service.traffic.arrivals)
                .is_some_and(|l| service.slo.e2e.iter().all(|o| l.e2e.at(o.quantile) <= o.limit_ms))
    };
    let in_region = |region: usize, k: usize| -> Option<i64> {
        let k = k as f64;
        let rate = rate / k;
        let share = service.during_failure.capacity;
        // The others take over what a failed region had.
        let over =
            (service.survive.region > 0).then(|| rate * share * k / (k - f64::from(service.survive.region)));
        let mut best: Option<i64> = None;
        for (t, kind) in catalog.instance_types.iter().enumerate() {
            let price = |purchase| {
                let of = |o: &&rhumb::catalog::Offering| {
                    (o.instance_type, o.region, o.purchase) == (t, region, purchase)
                };
                catalog.offerings.iter().find(of)
            };
            let Some(base) = price(Purchase::OnDemand).map(|o| o.price.micros()) else { continue };
            let spot = price(Purchase::Spot);
            for (name, variant) in &measured.variants {
                let score = model.quality.as_ref().and_then(|q| q.measured.get(name)).copied();
                let Some((curve, each)) = server_on(catalog, kind, variant) else { continue };
                if score.unwrap_or(0.0) < floor {
                    continue;
                }
                for machines in 1..=48_u32 {
                    let n = machines * each;
                    if !keeps(&curve, rate, n) || over.is_some_and(|over| !keeps(&curve, over, n)) {
                        continue;
                    }
                    let most = (service.purchase.spot_max_share * f64::from(machines) + 1e-9) as u32;
                    for spots in 0..=if spot.is_some() { most } else { 0 } {
                        let gone = if spots > 0 {
                            (0.05 * f64::from(spots) - 1e-9).ceil().max(1.0) as u32
                        } else {
                            0
                        };
                        let lost = [gone * each, service.survive.replica, service.survive.machine * each];
                        let lost = lost.into_iter().max().unwrap_or(0);
                        if lost > 0 && (lost >= n || !keeps(&curve, rate * share, n - lost)) {
                            continue;
                        }
                        let cheap = spot.map_or(0, |o| o.price.micros());
                        let cost = base * i64::from(machines - spots) + cheap * i64::from(spots);
                        best = Some(best.map_or(cost, |b| b.min(cost)));
                    }
                }
            }
        }
        best
    };
    let mut regions: Vec<usize> = catalog.offerings.iter().map(|o| o.region).collect();
    regions.sort_unstable();
    regions.dedup();
    let mut best: Option<i64> = None;
    for k in service.survive.region as usize + 1..=regions.len() {
        let mut costs: Vec<i64> = regions.iter().filter_map(|r| in_region(*r, k)).collect();
        costs.sort_unstable();
        if costs.len() >= k {
            let cost = costs[..k].iter().sum();
            best = Some(best.map_or(cost, |b| b.min(cost)));
        }
    }
    best
}

#[test]
fn enumeration_finds_nothing_cheaper() {
    let mut random = replay::Random::new(7, "measured worlds");
    let mut below = |n: f64| (random.uniform() * n) as i64;
    let (mut feasible, mut with_spot, mut split) = (0, 0, 0);
    let part = one_in(6, 1);
    for world in 0..120_u64 {
        let mut offers = Vec::new();
        for (kind, usual) in [
            ("g6.xlarge", 800_000),
            ("g6.12xlarge", 3_000_000),
            ("g6e.xlarge", 1_860_000),
            ("g5.xlarge", 1_000_000),
        ] {
            for region in ["eu-central-1", "eu-west-1"] {
                if below(4.0) == 0 {
                    continue;
                }
                let price = usual / 2 + below(usual as f64);
                offers.push((kind, region, Purchase::OnDemand, price));
                if below(2.0) == 0 {
                    offers.push((kind, region, Purchase::Spot, price / 4 + below(price as f64)));
                }
            }
        }
        if offers.is_empty() {
            continue;
        }
        let catalog = line::on_sale(&offers);
        let ms =
            |least: i64, more: f64, below: &mut dyn FnMut(f64) -> i64| format!("{}ms", least + below(more));
        let time = |below: &mut dyn FnMut(f64) -> i64| {
            let takes = ms(2, 30.0, below);
            if below(2.0) == 0 { takes } else { format!("{{ batch: {}, takes: {takes} }}", 1 + below(9.0)) }
        };
        let text = format!(
            "rhumb: 1
name: vision
models:
  defect:
    measured:
      image: x
      variants:
        a: {{ quality: 95%, memory: {}GiB, time: {{ l4: {}, l40s: {} }} }}
        b: {{ quality: {}%, memory: 2GiB, time: {{ a10g: {}, l4: {} }} }}
    quality: {{ floor: 93%, benchmark: map50 }}
services:
  inspect:
    model: defect
    traffic: {{ peak: {} req/s, arrivals: {} }}
    slo: {{ e2e: {{ p{}: {}ms }} }}
    survive: {{ replica: {}, machine: {}, region: {} }}
    during_failure: {{ capacity: {}% }}
    purchase: {{ spot_max_share: {}% }}
",
            2 + below(30.0),
            time(&mut below),
            time(&mut below),
            92 + below(3.0),
            time(&mut below),
            time(&mut below),
            20 + below(700.0),
            ["poisson", "constant", "{ bursty: { cv2: 3 } }"][below(3.0) as usize],
            [50, 95, 99][below(3.0) as usize],
            8 + below(80.0),
            below(2.0),
            below(2.0),
            (below(4.0) == 0) as u32,
            50 + below(51.0),
            [0, 30, 100][below(3.0) as usize],
        );
        if !part.has(world) {
            continue;
        }
        let spec = line::spec(&text, &catalog);
        let there = line::world(&spec, &catalog);
        let found = line::place(&spec, &there);
        let cost =
            found.as_ref().ok().map(|p| p.workloads["services.inspect"].cost.expected_per_hour.micros());
        assert_eq!(cost, enumerated(&spec, &there), "world {world}:\n{text}\n{offers:?}");
        if let Ok(placement) = found {
            feasible += 1;
            let pools = &placement.workloads["services.inspect"].pools;
            with_spot += u64::from(pools.iter().any(Pool::uses_spot));
            split += u64::from(pools.len() > 1);
            let proof = check::prove(&spec, &there, &placement);
            assert!(proof.report.passed(), "world {world}:\n{}\n{text}", told(&proof.report.findings));
            assert_eq!(proof.all.verdict(), "optimal", "world {world}");
        }
    }
    let seen = format!("{feasible} {with_spot} {split}");
    assert!(feasible > part.of(80) && (with_spot > 15 && split > 10 || !is_many()), "{seen}");
}

fn server(batch: u32, takes_s: f64) -> ServiceCurve {
    let catalog = Catalog::embedded();
    let on = &catalog.accelerators[catalog.accelerator("l4-24gb").unwrap()];
    perf::measured::curve(&Launch { batch, takes_s }, 1e9, on).unwrap()
}

/// The grid of `src/perf/measured/CHECKED.md`; `--nocapture` prints it.
#[test]
fn the_closed_form_is_near_the_replay() {
    let asked = [(Metric::E2e, None), (Metric::E2e, Some(0.95)), (Metric::E2e, Some(0.99))];
    let one = Lengths { mean: 1.0, cv2: 0.0, p95: 1.0, max: 1.0 };
    let none = Lengths { mean: 0.0, cv2: 0.0, p95: 0.0, max: 0.0 };
    let mut worst: BTreeMap<(u32, usize), (f64, f64)> = BTreeMap::new();
    let (all_replicas, loads) = ([1, 2, 4, 16, 64, 256], [0.1, 0.3, 0.5, 0.7, 0.85, 0.95]);
    let cases = (0..4 * 6 * 6).map(|i| (i / 36, i / 6 % 6, i % 6));
    let tried =
        one_in(18, 1).cases(cases, |(batch, replicas, load)| [(0, *batch), (1, *replicas), (2, *load)]);
    for (b, batch) in [1, 2, 8, 32].into_iter().enumerate() {
        let curve = server(batch, 0.01);
        let limits =
            limits_of(&curve, &perf::measured::settings(batch), perf::Layout { tp: 1, pp: 1, dp: 1, ep: 1 });
        for (r, replicas) in all_replicas.into_iter().enumerate() {
            for (l, load) in loads.into_iter().enumerate() {
                if !tried.contains(&(b, r, l)) {
                    continue;
                }
                let rate = load * curve.saturation_rate();
                let stream = Stream {
                    rate: rate * f64::from(replicas),
                    arrivals: Arrivals::Poisson,
                    input: one,
                    output: none,
                    prefix_cached: 0.0,
                    recorded: None,
                };
                let loaded =
                    Loaded { curve: &curve, limits, replicas, stream, sessions: None, requests: 60_000 };
                let played = loaded.figures(&asked);
                let closed = curve.latency(rate, replicas, Arrivals::Poisson).unwrap();
                for (k, ((_, q), played)) in asked.iter().zip(&played).enumerate() {
                    let off = closed.e2e.at(*q) / played.mean - 1.0;
                    let noise = played.half / played.mean;
                    let band = worst.entry((batch, k)).or_insert((0.0, 0.0));
                    *band = (band.0.min(off + noise), band.1.max(off - noise));
                    let (low, high) = if k == 0 { (-0.23, 0.05) } else { (-0.15, 0.17) };
                    assert!(
                        off + noise > low && off - noise < high,
                        "launches of {batch}, {replicas} servers, load {load}, {q:?}: {} against {played:?}",
                        closed.e2e.at(*q)
                    );
                }
            }
        }
    }
    for ((batch, k), (low, high)) in worst {
        println!(
            "| {batch} | {} | {:+.0} % to {:+.0} % |",
            ["mean", "p95", "p99"][k],
            low * 100.0,
            high * 100.0
        );
    }
}

/// What is planned with the replay as the judge is kept when it is played again with other numbers.
#[test]
fn replays_keep_what_was_promised() {
    for (rate, limit) in [(640, 80), (900, 9), (2000, 12)] {
        let text =
            MODEL.replace("640 req/s", &format!("{rate} req/s")).replace("80ms", &format!("{limit}ms"));
        let catalog = catalog();
        let spec = line::spec(&text, &catalog);
        let world = World { replay: 20_000, ..line::world(&spec, &catalog) };
        let placement = line::place(&spec, &world).unwrap();
        let none = Default::default();
        let options = replay::Options { requests: 20_000, seed: 99, traces: &none, progress: &|_, _| {} };
        let found = replay::verify(&spec, &world, &placement, &options).unwrap();
        assert!(found.passed() && !found.services.is_empty(), "{rate} {limit}: {found:?}");
    }
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let (spec, world, placement) = planned(&format!("{MODEL}    survive: {{ replica: 1 }}\n"));
        (spec, world, placement.unwrap())
    })
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("services.inspect").unwrap().pools[0]
}

fn stated(s: &mut Spec) -> &mut rhumb::spec::Measured {
    match &mut s.models.get_mut("defect").unwrap().source {
        ModelSource::Measured(measured) => measured,
        other => panic!("{other:?}"),
    }
}

fn variant<'s>(s: &'s mut Spec, name: &str) -> &'s mut rhumb::spec::MeasuredVariant {
    stated(s).variants.get_mut(name).unwrap()
}

fn scores(s: &mut Spec) -> &mut BTreeMap<String, f64> {
    &mut s.models.get_mut("defect").unwrap().quality.as_mut().unwrap().measured
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("a device without a time", "measured-time", "nobody measured this", |s, _, _| { variant(s, "int8").times.remove("l4-24gb"); }),
    ("a variant that is not stated", "measured-time", "nobody measured this", |_, _, p| pool(p).variant = "int4".into()),
    ("a part of an accelerator", "measured-time", "the time is of a whole accelerator", |_, w, _| { let i = w.catalog.instance_type(rhumb_api::Cloud::Aws, "g6.xlarge").unwrap(); w.catalog.instance_types[i].accelerator_count = 0.5; }),
    ("a slower launch than planned for", "capacity", "the pool does not carry its peak", |s, _, _| variant(s, "int8").times.get_mut("l4-24gb").unwrap().takes_s = 0.01),
    ("a little slower launch", "capacity", "the capacity is wrong", |s, _, _| variant(s, "int8").times.get_mut("l4-24gb").unwrap().takes_s *= 1.02),
    ("a figure of a faster one", "figure", "p95 end to end time is wrong", |_, _, p| { let l = pool(p).latency.as_mut().unwrap(); l.e2e.shift *= 0.9; }),
    ("a wait that fewer have", "figure", "p95 end to end time is wrong", |_, _, p| { let l = pool(p).latency.as_mut().unwrap(); l.e2e.wait.as_mut().unwrap().share /= 2.0; }),
    ("more items at once", "engine", "the server's settings is wrong", |_, _, p| pool(p).engine.max_num_seqs = 8),
    ("another program", "engine", "the server's settings is wrong", |_, _, p| pool(p).engine.name = EngineName::Vllm),
    ("a server of two accelerators", "layout", "the accelerators of a server is wrong", |_, _, p| pool(p).layout.tp = 2),
    ("more servers than accelerators", "layout", "do not fit the machine", |_, _, p| pool(p).replicas_per_machine = 2),
    ("less memory", "memory", "memory for the server is wrong", |_, _, p| pool(p).memory.weights /= 2.0),
    ("a server that does not fit", "measured-time", "nobody measured this", |s, _, _| variant(s, "int8").memory_bytes = 40e9),
    ("a prediction in place of a measurement", "figure", "the class of the times is wrong", |_, _, p| pool(p).evidence = Evidence::Calibrated),
    ("a band", "figure", "the factor on TPOT is wrong", |_, _, p| pool(p).tpot_factor = 1.1),
    ("a variant that scores too little", "quality", "keeps too little of map50", |s, _, _| { scores(s).insert("int8".into(), 0.93); }),
    ("a variant without a score", "quality", "keeps too little of map50", |s, _, _| { scores(s).remove("int8"); }),
    ("a limit that is missed", "objective", "does not hold", |s, _, p| { let o = &mut s.services.get_mut("inspect").unwrap().slo.e2e[0]; o.limit_ms = 3.2; p.workloads.get_mut("services.inspect").unwrap().objectives[0].limit_ms = 3.2; }),
    ("one machine fewer", "failure", "does not survive the loss of 1", |_, _, p| { let pool = pool(p); pool.machines[0].count -= 1; pool.replicas -= 1; }),
];

#[test]
fn every_planted_fault_is_found() {
    faults::all_are_found_on_sound(case(), FAULTS);
}

#[test]
fn what_is_not_the_cheapest_is_told() {
    faults::dearer_is_told(case(), |o| o.price.micros() != 800_000);
}

/// The start script with a `docker` that notes its words: each server with its accelerator and its port.
#[test]
fn servers_are_started_as_planned() {
    let text =
        format!("{MODEL}    placement: {{ instance_types: [g6.12xlarge] }}\n    survive: {{ machine: 1 }}\n");
    let (spec, _, placement) = planned(&text);
    let desired = graph::compile(&spec).unwrap().bind(&spec, &placement.unwrap());
    let artifacts = render::artifacts(&desired).unwrap();
    let template =
        desired.keys().find(|k| desired.get(k).unwrap().kind == ResourceKind::LaunchTemplate).unwrap();
    assert!(desired.get(template).unwrap().attributes.contains_key("server"));
    let folder = tempfile::tempdir().unwrap();
    for artifact in &artifacts {
        std::fs::write(folder.path().join(&artifact.name), &artifact.content).unwrap();
        assert!(!artifact.content.contains("\n\n\n"), "{}", artifact.content);
    }
    let docker = folder.path().join("docker");
    // Ends only when all have begun, since one that ends takes the others with it.
    let noted = "#!/bin/bash\nif test \"$1\" = rm; then echo \"$3\" >> \"$OUT/removed\"; exit 1; fi\nprintf '%s\\n' \"$@\" \"variant $RHUMB_VARIANT $RHUMB_BATCH\" > \"$OUT/part.$RHUMB_PORT\"\n\
                 mv \"$OUT/part.$RHUMB_PORT\" \"$OUT/out.$RHUMB_PORT\"\n\
                 while test \"$(ls \"$OUT\" | grep -c '^out')\" -lt 4; do sleep 0.05; done\n";
    std::fs::write(&docker, noted).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .arg(folder.path().join("start.sh"))
        .env("PATH", path)
        .env("OUT", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "one that ends takes the machine with it: {output:?}");
    for i in 0..4 {
        let words = std::fs::read_to_string(folder.path().join(format!("out.{}", 8000 + i))).unwrap();
        let words: Vec<&str> = words.lines().collect();
        assert_eq!(words[..2], ["run", "--rm"]);
        assert!(words.contains(&format!("device={i}").as_str()), "{words:?}");
        assert!(words.contains(&format!("rhumb-{}", 8000 + i).as_str()), "{words:?}");
        let removed = std::fs::read_to_string(folder.path().join("removed")).unwrap();
        assert!(removed.lines().any(|name| name == format!("rhumb-{}", 8000 + i)), "{removed}");
        assert!(
            words.ends_with(&["registry.example.com/defect:7", "serve", "--name=a b", "variant int8 1"]),
            "{words:?}"
        );
    }
}

/// Another time is another plan, another image another launch template.
#[test]
fn an_image_is_part_of_the_launch_template() {
    let hash = |text: &str| {
        let (spec, _, placement) = planned(text);
        let desired = graph::compile(&spec).unwrap().bind(&spec, &placement.unwrap());
        let artifacts = render::artifacts(&desired).unwrap();
        artifacts.iter().find(|a| a.name == "start.sh").unwrap().sha256.clone()
    };
    assert_ne!(hash(MODEL), hash(&MODEL.replace("defect:7", "defect:8")));
    assert_eq!(hash(MODEL), hash(&MODEL.replace("640 req/s", "641 req/s")));
}
