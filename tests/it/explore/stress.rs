//! `rhumb stress`.

use rhumb::explore::{self, Held, Stress, Stressing, What};
use rhumb::placement::{Metric, Placement, World};
use rhumb::spec::{Purchase, Spec};
use serde_json::Value;

use super::small;
use crate::cli::{rhumb, run};
use crate::line;

const ASKED: Stressing = Stressing { worlds: 1000, seed: 1, requests: 0, correlation: 1.0 };

/// One service whose objectives are measured at the engine: nothing but the prediction can be off.
fn engine(more: &str) -> (Spec, World, Placement) {
    let (mut spec, world) = small(more);
    spec.services.remove("b");
    if let Some(a) = spec.services.get_mut("a") {
        a.slo.measured_at = rhumb::spec::MeasuredAt::Engine;
    }
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

fn stress(spec: &Spec, world: &World, placement: &Placement, asked: &Stressing) -> Stress {
    explore::stress(spec, world, placement, asked).unwrap()
}

fn held(stress: &Stress, metric: Metric) -> Held {
    let of = |w: &What| matches!(w, What::Objective { metric: m, .. } if *m == metric);
    stress.promises.iter().find(|p| of(&p.what)).unwrap().held
}

/// Both edges of the plan are passed by at most one world in five, and by the same ones where the errors go together.
#[test]
fn what_is_planned_at_a_confidence_holds_that_often() {
    for confidence in [0.5, 0.8, 0.95] {
        let (mut spec, world, _) = engine("");
        spec.confidence = confidence;
        let placement = line::place(&spec, &world).unwrap();
        let found = stress(&spec, &world, &placement, &ASKED);
        assert_eq!(found.all.worlds, 1000);
        assert!(found.all.interval().1 >= confidence, "{confidence}: {:?}", found.all);
        let least = found.promises.iter().map(|p| p.held.held).min().unwrap();
        assert!(found.all.held <= least);
    }
}

#[test]
fn more_confidence_and_more_machines_hold_no_less_often() {
    let (spec, world, placement) = engine("");
    let mut last = 0;
    let mut cost = rhumb_api::Money::ZERO;
    for confidence in [0.5, 0.7, 0.9, 0.97] {
        let at = explore::at_confidence(&spec, &world, confidence, &ASKED).unwrap();
        let (paid, found) = at.outcome.unwrap();
        assert!(found.all.held >= last && paid >= cost, "{confidence}: {} after {last}", found.all.held);
        (last, cost) = (found.all.held, paid);
    }
    // The same worlds, a pool of half the replicas and of twice as many.
    let with = |replicas: fn(u32) -> u32| {
        let mut other = placement.clone();
        let pool = &mut other.workloads.get_mut("services.a").unwrap().pools[0];
        pool.replicas = replicas(pool.replicas).max(1);
        stress(&spec, &world, &other, &ASKED).all.held
    };
    let (half, same, double) = (with(|n| n / 2), with(|n| n), with(|n| n * 2));
    assert!(half <= same && same <= double && half < double, "{half} {same} {double}");
    assert_eq!(with(|_| 0), with(|_| 1), "at least one here");
}

/// Errors that go together pass both edges at once; apart, each has worlds of its own.
#[test]
fn errors_apart_break_more_worlds_than_errors_together() {
    let (spec, world, placement) = engine("");
    let together = stress(&spec, &world, &placement, &ASKED);
    let apart = stress(&spec, &world, &placement, &Stressing { correlation: 0.0, ..ASKED });
    assert_eq!(held(&together, Metric::Tpot), held(&apart, Metric::Tpot), "tokens are drawn alike");
    assert!(apart.all.held <= together.all.held + 20, "{:?} {:?}", apart.all, together.all);
}

#[test]
fn every_draw_is_the_seeds_and_more_worlds_move_none() {
    let (spec, world, placement) = engine("");
    let at = |worlds, seed| {
        stress(&spec, &world, &placement, &Stressing { worlds, seed, correlation: 0.0, ..ASKED })
    };
    assert_eq!(at(200, 7), at(200, 7));
    assert_ne!(at(200, 7).promises, at(200, 8).promises);
    // The first 200 of 201 worlds are the same: at most one more holds.
    let (less, more) = (at(200, 7).all.held, at(201, 7).all.held);
    assert!(more == less || more == less + 1, "{less} {more}");
    let threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let asked = Stressing { worlds: 50, requests: 1000, ..ASKED };
        pool.install(|| stress(&spec, &world, &placement, &asked))
    };
    assert_eq!(threads(1), threads(2));
    assert_eq!(threads(1), threads(8));
}

/// A run takes the planned hours where the truth is at the planned edge: a budget of just that month, and the deadline, hold in four
/// worlds of five.
#[test]
fn a_batch_at_its_edge_holds_as_often_as_it_is_planned_for() {
    let batch = |budget: &str| {
        format!(
            "confidence: 80%
batches:
  night:
    model: large
    items: 400000
    input_tokens: 1000
    output_tokens: 200
    deadline: 8h
    schedule: \"0 1 * * *\"
budget: {{ {budget}binds: expected }}
"
        )
    };
    let plan = |budget: &str| {
        let (mut spec, world) = small(&batch(budget));
        spec.services.clear();
        let placement = line::place(&spec, &world).unwrap();
        (spec, world, placement)
    };
    let (_, _, free) = plan("");
    let month = free.workloads["batches.night"].cost.expected_per_month.usd().ceil();
    let (spec, world, placement) = plan(&format!("monthly: {month} USD, "));
    assert_eq!(placement.workloads["batches.night"].pools, free.workloads["batches.night"].pools);
    let found = stress(&spec, &world, &placement, &Stressing { worlds: 4000, ..ASKED });
    let of = |what: &What| found.promises.iter().find(|p| p.what == *what).unwrap();
    let budget = of(&What::Budget { label: None }).held.interval();
    assert!(budget.0 <= 0.8 && budget.1 >= 0.8, "{budget:?}");
    assert!(of(&What::Deadline).held.interval().1 >= 0.8);
    assert!(found.interrupted.is_empty());
    // With spot every world has what is planned for it, a second start and a part of the work again: nothing is drawn.
    let mut other = placement.clone();
    let pool = &mut other.workloads.get_mut("batches.night").unwrap().pools[0];
    pool.machines.iter_mut().for_each(|m| m.purchase = Purchase::Spot);
    let address = pool.addr.to_string();
    let spot = stress(&spec, &world, &other, &ASKED);
    assert_eq!((spot.interrupted, spot.spot), (vec![address], vec![]));
    let late = spot.promises.iter().find(|p| p.what == What::Deadline).unwrap();
    assert!(
        late.median >= 1.1 * of(&What::Deadline).median * 0.99,
        "{} {}",
        late.median,
        of(&What::Deadline).median
    );
    // A limit on the ceiling would be another figure; nothing in these worlds changes how many machines a service has.
    let (mut service, world) = small("budget: { monthly: 900000 USD }\n");
    service.batches.clear();
    let placement = line::place(&service, &world).unwrap();
    let fixed = stress(&service, &world, &placement, &ASKED);
    let fixed = fixed.promises.iter().find(|p| p.what == What::Budget { label: None }).unwrap();
    assert_eq!((fixed.held.held, fixed.median), (1000, fixed.high));
}

#[test]
fn lost_spot_machines_are_counted_by_their_rate() {
    let (spec, world, placement) = engine("");
    let bought = |interruption: Option<f64>| {
        let mut other = placement.clone();
        let pool = &mut other.workloads.get_mut("services.a").unwrap().pools[0];
        for m in &mut pool.machines {
            m.purchase = Purchase::Spot;
            m.interruption = interruption;
        }
        stress(&spec, &world, &other, &ASKED)
    };
    let lost = |s: &Stress| -> Vec<u32> {
        let of = s.promises.iter().filter(|p| matches!(p.what, What::SpotLost { .. }));
        of.map(|p| p.held.held).collect()
    };
    let whole = |s: &Stress| -> Vec<u32> {
        let of = s.promises.iter().filter(|p| matches!(p.what, What::Objective { .. }));
        of.map(|p| p.held.held).collect()
    };
    let plain = stress(&spec, &world, &placement, &ASKED);
    assert!(plain.spot.is_empty() && lost(&plain).is_empty());
    // All of a pool is spot: certain loss leaves nothing, none leaves everything, with the limits of a failure.
    let (never, always, unknown) = (bought(Some(0.0)), bought(Some(1.0)), bought(None));
    assert_eq!(whole(&never), whole(&plain));
    assert_eq!(spec.services["a"].during_failure.slo_factor, 1.0);
    assert!(
        lost(&never).iter().zip(whole(&plain)).all(|(a, b)| *a >= b),
        "less load than at the peak, or as much"
    );
    assert!(lost(&always).iter().all(|n| *n == 0));
    assert_eq!((unknown.spot[0].interruption, unknown.spot[0].assumed), (0.2, true));
    assert!(!always.spot[0].assumed);
    let rate = f64::from(*lost(&unknown).iter().max().unwrap()) / 1000.0;
    assert!(rate > 0.0 && rate < 1.0 && lost(&unknown).iter().zip(lost(&never)).all(|(a, b)| *a <= b));
}

/// A lost spot machine is bought on demand: one that is not sold so costs nobody knows what.
#[test]
fn a_month_with_lost_spot_machines_has_a_price_or_is_not_judged() {
    let (spec, mut world, mut placement) = engine("budget: { monthly: 900000 USD, binds: expected }\n");
    let pool = &mut placement.workloads.get_mut("services.a").unwrap().pools[0];
    for m in &mut pool.machines {
        m.purchase = Purchase::Spot;
        m.interruption = Some(1.0);
        // 10 USD an hour below on demand.
        m.price = m.price - rhumb_api::Money::from_micros(10_000_000);
    }
    let machines: u32 = pool.machines.iter().map(|m| m.count).sum();
    let found = stress(&spec, &world, &placement, &ASKED);
    let budget = found.promises.iter().find(|p| p.what == What::Budget { label: None }).unwrap();
    let planned = placement.workloads["services.a"].cost.expected_per_month.usd();
    assert!((budget.median - planned - f64::from(machines) * 7300.0).abs() < 0.01, "{}", budget.median);
    world.catalog.offerings.retain(|o| o.purchase != Purchase::OnDemand);
    let why = explore::stress(&spec, &world, &placement, &ASKED).unwrap_err();
    assert!(why.contains("unknown") && why.contains("not sold on demand"), "{why}");
    // Where no budget asks, nothing is unknown.
    let mut free = spec.clone();
    free.budget.limits.clear();
    assert!(explore::stress(&free, &world, &placement, &ASKED).is_ok());
}

/// By hand: p = 0.8, n = 1000, z = 1.959964: (0.80192 - or + 0.024866) / 1.0038415, rounded.
#[test]
fn intervals_are_those_of_wilson() {
    let (low, high) = Held { held: 800, worlds: 1000 }.interval();
    assert!((low - 0.774_081).abs() < 2e-5 && (high - 0.823_623).abs() < 2e-5, "{low} {high}");
    let (low, high) = Held { held: 10, worlds: 10 }.interval();
    // n / (n + z^2) = 10 / 13.8415.
    assert!((low - 0.722_467).abs() < 1e-5 && high == 1.0, "{low} {high}");
}

/// What the README shows is what the command prints, up to the columns that it leaves out.
#[test]
fn the_readme_shows_the_curve_as_it_is() {
    if !rhumb::catalog::Catalog::embedded().excluded_sources.is_empty() {
        return;
    }
    let readme = include_str!("../../../README.md");
    let shown: Vec<&str> = readme
        .lines()
        .skip_while(|l| !l.starts_with("  confidence  USD/month"))
        .take_while(|l| !l.starts_with("```"))
        .collect();
    let (out, err, _) = run(rhumb().args(["stress", "examples/support-chat", "--requests", "0", "--curve"]));
    assert_eq!(shown.len(), 8);
    for line in shown {
        assert!(out.lines().any(|l| l.starts_with(line)), "{line}\n{out}{err}");
    }
}

#[test]
fn a_plan_is_stressed_from_its_file_or_its_spec() {
    let folder = tempfile::tempdir().unwrap();
    let example = "examples/support-chat/deploy.yaml";
    std::fs::copy(example, folder.path().join("deploy.yaml")).unwrap();
    let at = |args: &[&str]| run(rhumb().arg("-C").arg(folder.path()).args(args));
    let (_, err, code) = at(&["plan", "--out", "chat.plan"]);
    assert_eq!(code, 0, "{err}");
    let args = ["--worlds", "200", "--requests", "0", "--json"];
    let (saved, err, code) = at(&[&["stress", "chat.plan"], &args[..]].concat());
    assert_eq!((err.as_str(), code), ("", 0));
    let (new, _, _) = at(&[&["stress"], &args[..], &["--curve"]].concat());
    let (saved, new): (Value, Value) =
        (serde_json::from_str(&saved).unwrap(), serde_json::from_str(&new).unwrap());
    assert_eq!(saved["promises"], new["promises"]);
    assert_eq!(new["curve"].as_array().unwrap().len(), 7);
    let schema = serde_json::from_str(include_str!("../../../src/cli/commands/stress/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for value in [&saved, &new] {
        let faults: Vec<String> =
            validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert_eq!(faults, [""; 0]);
    }
    let mut wrong = saved.clone();
    wrong["all"]["share"] = serde_json::json!(1.5);
    assert!(!validator.is_valid(&wrong));
    let (out, err, code) = at(&["stress", "chat.plan", "--worlds", "200", "--requests", "0", "--curve"]);
    assert_eq!((err.as_str(), code), ("", 0));
    for part in [
        "everything at once",
        "95 % interval",
        "No spot machines",
        "Planned at other confidences",
        "the confidence itself",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    for (args, says) in [(["--worlds", "5"], "10"), (["--correlation", "2"], "-1 to 1")] {
        let (_, err, code) = at(&[&["stress"], &args[..]].concat());
        assert!(code == 1 && err.contains(says), "{err}");
    }
    // Another spec is another plan.
    let text = std::fs::read_to_string(example).unwrap().replace("tpot: { p95: 70ms", "tpot: { p95: 71ms");
    std::fs::write(folder.path().join("deploy.yaml"), text).unwrap();
    assert_eq!(at(&["stress", "chat.plan"]).2, 4, "stale");
}
