//! `rhumb scale`.

use rhumb::explore::{self, Scaling};
use rhumb_api::Money;
use serde_json::Value;

use super::{placed, small};
use crate::cli::{rhumb, run};
use crate::extent::pick;

fn asked(workload: Option<&str>, range: (f64, f64), steps: usize) -> Scaling {
    Scaling { workload: workload.map(str::to_owned), range, steps, tolerance: 0.02, counts: false, refine: 0 }
}

#[test]
fn cost_never_falls_and_each_flip_is_one() {
    let (spec, world) = small("");
    // Four of p5 cost 235.6, three of p5en 198.3: which is cheaper depends on how many are needed.
    let found = explore::scale(&spec, &world, &asked(None, (0.25, 16.0), 7), &|_| {});
    assert_eq!(
        found.points.iter().map(|p| p.factor).collect::<Vec<_>>(),
        [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    );
    let costs: Vec<Money> = found.points.iter().map(|p| p.outcome.as_ref().unwrap().cost).collect();
    assert!(costs.is_sorted(), "{costs:?}");
    for p in &found.points {
        let again = placed(&spec, &world, &format!("traffic=x{}", p.factor)).unwrap();
        assert_eq!(p.outcome.as_ref().unwrap().cost, explore::cost(&again), "{}", p.factor);
    }
    assert!(!found.flips.is_empty(), "a world in which nothing flips shows nothing");
    for flip in &found.flips {
        assert!(flip.above.factor > flip.below.factor && flip.above.factor <= flip.below.factor * 1.02);
        let workload = flip.workload.as_ref().unwrap();
        for side in [&flip.below, &flip.above] {
            let again = placed(&spec, &world, &format!("traffic=x{}", side.factor)).unwrap();
            let told = &side.outcome.as_ref().unwrap().choices[workload];
            assert_eq!(told, &explore::choice(&again.workloads[workload]), "{}", side.factor);
        }
        let of = |p: &explore::ScalePoint| p.outcome.as_ref().unwrap().choices[workload].clone();
        assert_eq!(explore::compare(&of(&flip.below), &of(&flip.above)), flip.aspects);
    }
}

#[test]
fn the_traffic_of_one_workload_moves_no_other_and_a_budget_ends_it() {
    let (spec, world) = small("budget: { per: { services.a: 90000 USD } }\n");
    let found = explore::scale(&spec, &world, &asked(Some("services.a"), (1.0, 16.0), 3), &|_| {});
    let b = |i: usize| found.points[i].outcome.as_ref().unwrap().choices["services.b"].clone();
    assert_eq!(b(0), b(1));
    let last = found.points.last().unwrap();
    assert!(
        last.outcome.as_ref().is_err_and(|why| why.contains("services.a") && why.contains("budget")),
        "{last:?}"
    );
    let end = found.flips.iter().find(|f| f.workload.is_none()).expect("where it ends is told");
    assert!(end.below.outcome.is_ok() && end.above.outcome.is_err());
    assert!(end.above.factor <= end.below.factor * 1.02);
}

/// What is told of the spans holds at traffics that were not planned: the optimum is no more than the stated amount below what is
/// chosen at the upper end, and where nothing is unseen it costs the same.
#[test]
fn what_is_unseen_is_bounded() {
    let (spec, world) = small("");
    let asked = Scaling { refine: 10, ..asked(None, (0.5, 8.0), 3) };
    let found = explore::scale(&spec, &world, &asked, &|_| {});
    let rough = explore::scale(&spec, &world, &Scaling { refine: 0, ..asked }, &|_| {});
    assert!(found.planned > rough.planned, "{} {}", found.planned, rough.planned);
    let widest = |s: &explore::Scale| s.spans.iter().filter_map(|s| s.most).max().unwrap();
    assert!(widest(&found) < widest(&rough));
    assert_eq!((found.spans[0].from, found.spans.last().unwrap().to), (0.5, 8.0));
    assert!(found.spans.windows(2).all(|pair| pair[0].to == pair[1].from));
    let cost = |factor: f64| explore::cost(&placed(&spec, &world, &format!("traffic=x{factor}")).unwrap());
    for span in found.spans.iter().step_by(3) {
        let (between, above) = (cost((span.from * span.to).sqrt()), cost(span.to));
        assert!(between <= above && above - between <= span.most.unwrap(), "{span:?}: {between} {above}");
    }
}

#[test]
fn equal_on_any_number_of_threads() {
    let (spec, world) = small("");
    let asked = Scaling { counts: true, refine: 5, ..asked(None, (0.5, 8.0), 4) };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| explore::scale(&spec, &world, &asked, &|_| {}))
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
}

const CHAT: &str = "examples/two-models";

#[test]
fn the_curve_is_told_as_table_plot_and_json() {
    // What is measured is soon planned.
    let spec = pick("examples/visual-inspection", CHAT, CHAT);
    let args = ["scale", spec, "--traffic", "0.5..2", "--steps", "3", "--tolerance", "10%", "--refine", "2"];
    let (out, err, code) = run(rhumb().args(args).arg("--json"));
    assert_eq!((err.as_str(), code), ("", 0));
    let value: Value = serde_json::from_str(&out).unwrap();
    let schema = serde_json::from_str(include_str!("../../../src/cli/commands/scale/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(faults, [""; 0]);
    assert_eq!(value["points"].as_array().unwrap().len(), 3);
    let mut wrong = value.clone();
    wrong["points"][0].as_object_mut().unwrap().remove("choices");
    assert!(!validator.is_valid(&wrong));
    let (out, err, code) = run(rhumb().args(args));
    assert_eq!((err.as_str(), code), ("", 0));
    for part in [
        "Traffic of ",
        "x0.5 ",
        "x2 ",
        "USD a month",
        "in proportion to today's",
        pick("flip within 10 %", "flips within 10 %", "flips within 10 %"),
        "Between the traffics that were planned",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    for (args, says) in [
        (["--traffic", "2..1"], "0.001 to 1000"),
        (["--traffic", "2"], "LOW..HIGH"),
        (["--steps", "1"], "2 to 1000"),
        (["--tolerance", "0"], "0.01% to 50%"),
        (["--workload", "nobody"], "there is no workload `nobody`"),
    ] {
        let (out, err, code) = run(rhumb().args(["scale", CHAT]).args(args));
        assert_eq!((out.as_str(), code), ("", 1), "{args:?}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
