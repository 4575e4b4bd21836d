//! `rhumb pareto`.

use rhumb::explore::{self, Front, Sweep};
use rhumb::placement::{Metric, World};
use rhumb::spec::Spec;
use serde_json::Value;

use super::small;
use crate::cli::{rhumb, run};
use crate::extent::pick;
use crate::line;

fn front(spec: &Spec, world: &World, step: f64) -> (Sweep, Front) {
    let sweep = Sweep::of("a", &spec.services["a"], step);
    let found = explore::front(spec, world, &sweep, &|_| {}).unwrap();
    (sweep, found)
}

#[test]
fn each_point_is_the_optimum_of_its_limit_and_none_beats_another() {
    let (spec, world) = small("");
    let (sweep, found) = front(&spec, &world, 0.1);
    assert_eq!(
        (sweep.metric, sweep.quantile, sweep.declared(&spec)),
        (Metric::Ttft, Some(0.95), Some(2000.0))
    );
    assert!(found.points.len() > 1, "{found:?}");
    for pair in found.points.windows(2) {
        assert!(pair[0].promised_ms < pair[1].promised_ms && pair[0].cost > pair[1].cost, "{pair:?}");
    }
    let at = |limit_ms: f64| {
        let mut spec = spec.clone();
        spec.services.get_mut("a").unwrap().slo.ttft[0].limit_ms = limit_ms;
        line::place(&spec, &world)
    };
    for p in &found.points {
        // The placement itself keeps a limit of just what it promises, and nothing cheaper does.
        let again = at(p.promised_ms).unwrap();
        assert_eq!(explore::cost(&again), p.cost, "{p:?}");
        assert!(p.limit_ms.is_none_or(|limit| p.promised_ms <= limit));
    }
    let (limit, why) = found.refused.as_ref().unwrap();
    assert!(at(*limit).is_err() && why.contains("services.a") && why.contains("ttft"), "{why}");
    assert!(found.points[0].promised_ms <= limit * 1.1);
    // The present plan costs no more than the point within its limit, and no less than the next slower one.
    let now = explore::cost(&line::place(&spec, &world).unwrap());
    let within = found.points.iter().rposition(|p| p.promised_ms <= 2000.0).unwrap();
    assert!(now <= found.points[within].cost);
    assert!(found.points.get(within + 1).is_none_or(|p| now > p.cost));
}

#[test]
fn a_finer_step_loses_no_point_and_threads_change_none() {
    let (spec, world) = small("");
    let (_, coarse) = front(&spec, &world, 0.5);
    let (_, fine) = front(&spec, &world, 0.1);
    for p in &coarse.points {
        let at_least = |q: &explore::FrontPoint| q.promised_ms <= p.promised_ms && q.cost <= p.cost;
        // The tightest limit is known to within a step: the fine front may end beyond the coarse one, never before it.
        assert!(fine.points.iter().any(at_least), "{p:?}");
    }
    for threads in [1, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| front(&spec, &world, 0.5)).1, coarse);
    }
}

#[test]
fn what_nothing_keeps_has_no_front() {
    let (mut spec, world) = small("");
    spec.services.get_mut("a").unwrap().slo.tpot[0].limit_ms = 0.1;
    let sweep = Sweep::of("a", &spec.services["a"], 0.1);
    let why = explore::front(&spec, &world, &sweep, &|_| {}).unwrap_err();
    assert!(why.proven && why.why.contains("tpot"), "{why:?}");
    // Where nothing is promised, the first token is swept.
    let slo = &mut spec.services.get_mut("a").unwrap().slo;
    slo.ttft.clear();
    assert_eq!(Sweep::of("a", &spec.services["a"], 0.1).metric, Metric::Tpot);
    spec.services.get_mut("a").unwrap().slo.tpot.clear();
    let sweep = Sweep::of("a", &spec.services["a"], 0.5);
    assert_eq!((sweep.metric, sweep.declared(&spec)), (Metric::Ttft, None));
    assert!(!explore::front(&spec, &world, &sweep, &|_| {}).unwrap().points.is_empty());
}

const CHAT: &str = "examples/support-chat";

#[test]
fn the_front_is_told_as_table_plot_and_json() {
    // What is measured is soon planned.
    let chat = (CHAT, "ttft p95", "services.chat", "900 ms");
    let soon = ("examples/visual-inspection", "e2e p99", "services.inspect", "80.0 ms");
    let (spec, what, service, asked) = pick(soon, chat, chat);
    let args = ["pareto", spec, "--step", "50%"];
    let (out, err, code) = run(rhumb().args(args).arg("--json"));
    assert_eq!((err.as_str(), code), ("", 0));
    let value: Value = serde_json::from_str(&out).unwrap();
    let schema = serde_json::from_str(include_str!("../../../src/cli/commands/pareto/schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert_eq!(faults, [""; 0]);
    let points = value["points"].as_array().unwrap();
    assert!(points.iter().filter(|p| p["present"] == true).count() <= 1);
    let mut wrong = value.clone();
    wrong["points"][0]["evidence"] = "guessed".into();
    assert!(!validator.is_valid(&wrong));
    let (out, err, code) = run(rhumb().args(args));
    assert_eq!((err.as_str(), code), ("", 0));
    for part in [format!("What {what} of {service} costs"), format!("The spec asks for {asked}")] {
        assert!(out.contains(&part), "{part}: {out}");
    }
    // One point has no plot.
    assert!(out.contains(&format!("{what} promised, ms")) || points.len() == 1, "{out}");
    for (path, args, says) in [
        (CHAT, ["--objective", "ttft"], "ttft.p95, tpot.p99.9, e2e.mean"),
        (CHAT, ["--objective", "ttft.p0"], "write ttft"),
        (CHAT, ["--step", "0"], "0.1% to 100%"),
        (CHAT, ["--workload", "chatt"], "did you mean `chat`?"),
        ("examples/two-models", ["--step", "9"], "which service?"),
        ("examples/nightly-embedding", ["--step", "9"], "has no service"),
    ] {
        let (out, err, code) = run(rhumb().args(["pareto", path]).args(args));
        assert_eq!((out.as_str(), code), ("", 1), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}
