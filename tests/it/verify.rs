//! `rhumb verify`: promises under replayed traffic, the machine that a constraint buys, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::cli::{rhumb, run};

const SPEC: &str = r#"
rhumb: 1
name: small
models:
  chat: { source: Qwen/Qwen3-8B }
services:
  chat:
    model: chat
    traffic:
      peak: 3 req/s
      input_tokens: { mean: 600 }
      output_tokens: { mean: 200, cv2: 1 }
    slo: { ttft: { p95: 900ms }, tpot: { p95: 60ms } }
    placement: { clouds: [aws], regions: [us-east-1], instance_types: [g6e.xlarge] }
"#;

fn spec(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), format!("{SPEC}{more}")).unwrap();
    folder
}

fn verify(folder: &Path, args: &[&str]) -> (String, String, i32) {
    run(rhumb().current_dir(folder).arg("verify").args(args).args(["--at", "2026-11-25"]))
}

fn json(folder: &Path, args: &[&str]) -> (Value, i32) {
    let (out, err, code) = verify(folder, &[args, &["--json"]].concat());
    (serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")), code)
}

fn named<'a>(service: &'a Value, name: &str) -> Vec<&'a Value> {
    service["scenarios"].as_array().unwrap().iter().filter(|s| s["name"] == name).collect()
}

/// Requests evenly over `seconds`, all alike.
fn trace(folder: &Path, per_second: u32, seconds: u32, input: u32, output: u32) {
    let mut text = String::from("time,input_tokens,output_tokens\n");
    for i in 0..per_second * seconds {
        text += &format!("{},{input},{output}\n", f64::from(i) / f64::from(per_second));
    }
    std::fs::write(folder.join("trace.csv"), text).unwrap();
}

#[test]
fn a_plan_keeps_its_promises_and_says_what_the_last_machine_buys() {
    let folder = spec("");
    let (found, code) = json(folder.path(), &["--requests", "16000"]);
    assert_eq!((code, &found["schema"], &found["passed"]), (0, &"rhumb.verify/1".into(), &true.into()));
    let service = &found["services"][0];
    for name in ["expected", "planned", "replica-lost"] {
        assert!(!named(service, name).is_empty(), "{name}");
    }
    let planned = named(service, "planned")[0];
    assert_eq!(planned["must_hold"], true);
    for o in planned["objectives"].as_array().unwrap() {
        let (ms, limit) = (o["replayed_ms"]["value"].as_f64().unwrap(), o["limit_ms"].as_f64().unwrap());
        assert!(ms > 0.0 && ms <= limit, "{o}");
        assert!(o["within_limit"]["value"].as_f64().unwrap() >= 0.95, "{o}");
    }
    let expected = named(service, "expected")[0];
    let ttft = |s: &Value| s["objectives"][0]["replayed_ms"]["value"].as_f64().unwrap();
    assert!(ttft(expected) < ttft(planned), "the pessimistic edge is slower");
    // 3 requests/s arrive, whatever the pools.
    let rate: f64 =
        planned["pools"].as_array().unwrap().iter().map(|p| p["requests_per_s"].as_f64().unwrap()).sum();
    assert!((rate / 3.0 - 1.0).abs() < 0.05, "{rate}");
    let distribution = planned["distributions"][0]["ms_by_percent"].as_array().unwrap();
    assert_eq!(distribution.len(), 101);
    assert!(distribution.windows(2).all(|w| w[0].as_f64() <= w[1].as_f64()));
}

#[test]
fn the_constraint_that_buys_a_machine_is_named() {
    let folder = spec("    scaling: { min_replicas: 6 }\n");
    let (found, code) = json(folder.path(), &["--requests", "8000"]);
    assert_eq!(code, 0);
    let fewer = &found["services"][0]["one_machine_fewer"][0];
    assert_eq!(
        (&fewer["buys"], &fewer["constraint"]),
        (&"constraint".into(), &"scaling.min_replicas".into())
    );
    assert_eq!(fewer["replicas"], 5);

    let folder = spec("    survive: { machine: 2 }\n    during_failure: { capacity: 100% }\n");
    let (found, code) = json(folder.path(), &["--requests", "8000"]);
    assert_eq!(code, 0);
    let service = &found["services"][0];
    assert_eq!(service["one_machine_fewer"][0]["constraint"], "survive.machine", "{service}");
    let failure = named(service, "machine");
    assert_eq!(failure.len(), 1);
    assert_eq!(failure[0]["must_hold"], true);
    assert!(failure[0]["objectives"].as_array().unwrap().iter().all(|o| o["kept"] != "no"));
}

/// Two requests have no interval, and are judged as they are.
#[test]
fn a_trace_too_short_for_an_interval_is_judged_by_itself() {
    let folder = spec("");
    let write = |rows: &str| {
        std::fs::write(folder.path().join("trace.csv"), format!("time,input_tokens,output_tokens\n{rows}"))
            .unwrap();
    };
    let kept = |found: &Value| -> Vec<String> {
        let all = named(&found["services"][0], "planned")[0]["objectives"].as_array().unwrap().clone();
        all.iter().map(|o| o["kept"].as_str().unwrap().to_owned()).collect()
    };
    write("0,50,5\n1,60,5\n");
    let (found, code) = json(folder.path(), &["--trace", "trace.csv"]);
    assert!(code == 0 && kept(&found).iter().all(|k| k == "yes"), "{found}");
}

/// What is longer than an engine takes is refused by it: a promise that cannot be kept.
#[test]
fn requests_that_an_engine_refuses_break_the_promise() {
    let folder = spec("");
    let rows: String =
        (0..400).map(|i| format!("{i},{},5\n", if i % 100 == 7 { 40_000 } else { 60 })).collect();
    std::fs::write(folder.path().join("trace.csv"), format!("time,input_tokens,output_tokens\n{rows}"))
        .unwrap();
    let (found, code) = json(folder.path(), &["--trace", "trace.csv"]);
    let service = &found["services"][0];
    assert_eq!((code, &service["refused"], &service["requests"]), (3, &4.into(), &396.into()), "{found}");
    let (text, ..) = verify(folder.path(), &["--trace", "trace.csv"]);
    assert!(text.contains("4 of 400 recorded requests are longer than") && text.contains("BROKEN"), "{text}");
}

/// The plan was made for 3 requests/s; played with 40/s it cannot hold.
#[test]
fn a_broken_promise_is_exit_3() {
    let folder = spec("");
    trace(folder.path(), 40, 120, 600, 200);
    let (found, code) = json(folder.path(), &["--trace", "trace.csv"]);
    assert_eq!((code, &found["passed"]), (3, &false.into()));
    let service = &found["services"][0];
    assert_eq!(service["requests"], 4800);
    let planned = named(service, "planned")[0];
    assert_eq!(planned["broken"], true);
    let (text, _, code) = verify(folder.path(), &["--trace", "chat=trace.csv"]);
    assert_eq!(code, 3);
    assert!(text.contains("BROKEN"), "{text}");
    assert!(text.contains("4800 recorded requests at their own times"), "{text}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = spec("");
    let with = |threads: &str, seed: &str| {
        let mut command = rhumb();
        command.env("RAYON_NUM_THREADS", threads).current_dir(folder.path());
        run(command.args(["verify", "--requests", "8000", "--seed", seed, "--at", "2026-11-25", "--json"])).0
    };
    let one = with("1", "7");
    assert_eq!(one, with("3", "7"));
    assert_ne!(one, with("1", "8"));
}

#[test]
fn a_saved_plan_is_verified_against_its_spec() {
    let folder = spec("");
    let plan =
        |args: &[&str]| run(rhumb().current_dir(folder.path()).args(args).args(["--at", "2026-11-25"]));
    assert_eq!(plan(&["plan", "--out", "p.json"]).2, 0);
    assert_eq!(plan(&["verify", "p.json", "--requests", "4000"]).2, 0);
    assert_eq!(plan(&["verify", "--plan", "p.json", "--requests", "4000"]).2, 0);
    let changed =
        std::fs::read_to_string(folder.path().join("deploy.yaml")).unwrap().replace("3 req/s", "4 req/s");
    std::fs::write(folder.path().join("deploy.yaml"), changed).unwrap();
    let (_, err, code) = plan(&["verify", "p.json"]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("stale"), "{err}");
}

#[test]
fn what_cannot_be_played_is_refused_with_the_reason() {
    let folder = spec("");
    trace(folder.path(), 1, 3, 10, 10);
    std::fs::write(folder.path().join("bad.csv"), "time,input_tokens,output_tokens\n0,5,x\n1,5,5\n").unwrap();
    for (args, reason) in [
        (vec!["--trace", "other=trace.csv"], "there is no service `other`; there are chat"),
        (vec!["--trace", "absent.csv"], "absent.csv"),
        (vec!["--trace", "bad.csv"], "line 2"),
        (vec!["--trace", "trace.csv", "--trace", "chat=trace.csv"], "two files for chat"),
        (vec!["--requests", "10"], "from 1000"),
        (vec!["--requests", "many"], "number of requests"),
    ] {
        let (out, err, code) = verify(folder.path(), &args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains(reason), "{args:?}: {err}");
    }
}

#[test]
fn a_batch_is_replayed_against_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
rhumb: 1
name: night
models: { m: { source: Qwen/Qwen3-8B } }
batches:
  night:
    model: m
    items: 200k
    input_tokens: 500
    output_tokens: 50
    deadline: 5h
    placement: { clouds: [aws], regions: [us-east-1] }
"#;
    std::fs::write(folder.path().join("deploy.yaml"), text).unwrap();
    let (found, code) = json(folder.path(), &[]);
    let batch = &found["batches"][0];
    let (planned, replayed) = (
        batch["items_per_s"]["planned"].as_f64().unwrap(),
        batch["items_per_s"]["replayed"].as_f64().unwrap(),
    );
    assert!((replayed / planned - 1.0).abs() < 0.25, "{batch}");
    let late = batch["hours"]["replayed"].as_f64().unwrap() > 5.0;
    assert_eq!((code == 3, &batch["kept"]), (late, &(!late).into()));
}

/// The trace of the example breaks what the closed form would buy; the plan says that the replay decided or
/// that it stands outside of the checked range.
#[test]
fn recorded_traffic_is_planned_by_its_replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (text, err, code) =
        run(rhumb().current_dir(root).args(["plan", "examples/recorded-traffic", "--at", "2026-11-25"]));
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("replay"), "{text}");
    let (_, _, code) = run(rhumb().current_dir(root).args([
        "verify",
        "examples/recorded-traffic",
        "--at",
        "2026-11-25",
        "-q",
    ]));
    assert_eq!(code, 0);
}

/// 60 conversations, answers of 150 tokens at no more than 60 ms: over 60 / (20 + 10) requests/s. What the caches hold
/// follows from their size: a turn finds all of the history, or less.
#[test]
fn conversations_are_planned_and_replayed() {
    let text = SPEC
        .replace("peak: 3 req/s", "sessions: { concurrent: 60, turns: 5, think_time: 20s }")
        .replace("input_tokens: { mean: 600 }", "input_tokens: { mean: 200 }")
        .replace("output_tokens: { mean: 200, cv2: 1 }", "output_tokens: { mean: 150 }");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deploy.yaml"), &text).unwrap();
    let (found, code) = json(folder.path(), &["--requests", "4000"]);
    assert_eq!(code, 0, "{found}");
    let service = &found["services"][0];
    let pool = &named(service, "planned")[0]["pools"][0];
    let rate = pool["requests_per_s"].as_f64().unwrap();
    assert!((60.0 / 30.0..60.0 / 20.0).contains(&rate), "{rate}");
    // Prompts of 200, 550, 900, 1250 and 1600 tokens, of which all but 200 was said before.
    let said = 1.0 - 200.0 / 900.0;
    let hit = pool["prefix_found"].as_f64().unwrap();
    assert!(hit > 0.5 * said && hit <= said, "{hit} of {said}");
    for (key, value) in [("peak", "3 req/s"), ("prefix_cached", "30%"), ("arrivals", "poisson")] {
        let both = text.replace("      sessions:", &format!("      {key}: {value}\n      sessions:"));
        std::fs::write(folder.path().join("deploy.yaml"), both).unwrap();
        let (_, err, code) = verify(folder.path(), &[]);
        assert_eq!(code, 1);
        assert!(err.contains("follows from `sessions`"), "{err}");
    }
}

/// A plan with a third of its replicas and a batch that must be done in no time: both are found, each by name.
#[test]
fn planted_faults_are_found() {
    use crate::line;
    use rhumb::catalog::Catalog;
    use rhumb::replay::{Kept, Options, verify};

    let text = SPEC.replace("peak: 3 req/s", "peak: 12 req/s")
        + "batches:\n  night: { model: chat, items: 200k, input_tokens: 500, output_tokens: 50, deadline: 5h, placement: { clouds: [aws] } }\n";
    let catalog = Catalog::embedded();
    let spec = line::spec(&text, &catalog);
    let world = line::world(&spec, &catalog);
    let sound = line::place(&spec, &world).unwrap();
    let traces = std::collections::BTreeMap::new();
    let options = Options { requests: 16_000, seed: 1, traces: &traces, progress: &|_, _| {} };
    let mut faulty = sound.clone();
    for placed in faulty.workloads.values_mut() {
        if let Some(run) = &mut placed.run {
            run.deadline_hours /= 100.0;
        } else {
            let pool = &mut placed.pools[0];
            assert!(pool.replicas >= 2, "{}", pool.replicas);
            pool.replicas = pool.replicas.div_ceil(3);
        }
    }
    let found = verify(&spec, &world, &faulty, &options).unwrap();
    assert!(!found.passed() && !found.batches[0].kept());
    let planned = found.services[0].scenarios.iter().find(|s| s.name == "planned").unwrap();
    assert!(planned.broken() && planned.objectives.iter().any(|o| o.kept == Kept::No), "{planned:?}");
    let found = verify(&spec, &world, &sound, &options).unwrap();
    assert!(found.batches[0].hours.1 < 1.25 * found.batches[0].hours.0, "{:?}", found.batches);
}

#[test]
fn the_runs_of_a_training_are_interrupted_at_random() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
rhumb: 1
name: tune
models: { m: { source: Qwen/Qwen3-8B } }
trainings:
  tune:
    model: m
    method: lora
    dataset_tokens: 200M
    batch_size: 64
    command: [train.py]
    deadline: 200h
    placement: { clouds: [aws], regions: [us-east-1], instance_types: [g6e.xlarge] }
"#;
    std::fs::write(folder.path().join("deploy.yaml"), text).unwrap();
    let (found, code) = json(folder.path(), &[]);
    assert_eq!((code, &found["passed"]), (0, &true.into()), "{found}");
    let t = &found["trainings"][0];
    assert_eq!(
        (&t["address"], &t["runs"], &t["kept"]),
        (&"trainings.tune".into(), &1000.into(), &"yes".into())
    );
    let number = |key: &str, of: &str| t[key][of].as_f64().unwrap();
    assert!((number("hours", "replayed") / number("hours", "planned") - 1.0).abs() < 0.03, "{t}");
    let interval = t["within_deadline_95"].as_array().unwrap();
    let within = t["within_deadline"].as_f64().unwrap();
    assert!(interval[0].as_f64().unwrap() <= within && within <= interval[1].as_f64().unwrap(), "{t}");
    let (text, _, code) = verify(folder.path(), &[]);
    assert_eq!(code, 0);
    assert!(text.contains("of 1000 runs end within 200.00 h") && text.contains("a run takes"), "{text}");
    assert!(text.contains("1 promises replayed, none broken"), "{text}");
}
