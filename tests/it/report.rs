//! Reports of plans: JSON against its published schema, unknown amounts, plain text.

use rhumb::report::json::PLAN_SCHEMA;
use serde_json::{Value, json};

use super::cli::{rhumb, run};

const EXAMPLES: [&str; 4] = [
    "examples/support-chat",
    "examples/nightly-embedding",
    "examples/moe-reasoning",
    "examples/two-models",
];

fn plan(example: &str) -> Value {
    let (out, err, code) = run(rhumb().args(["plan", example, "--json", "--at", "2026-11-25"]));
    assert_eq!(code, 0, "{example}: {err}");
    serde_json::from_str(&out).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(PLAN_SCHEMA).unwrap()).unwrap()
}

#[test]
fn plans_keep_their_schema() {
    let validator = validator();
    for example in EXAMPLES {
        let problems: Vec<String> =
            validator.iter_errors(&plan(example)).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(problems.is_empty(), "{example}: {problems:#?}");
    }
}

#[test]
fn the_schema_finds_planted_faults() {
    let validator = validator();
    let good = plan("examples/support-chat");
    assert!(validator.is_valid(&good));
    let pool = "/workloads/services.chat/pools/0";
    let faults: &[(&str, Value)] = &[
        ("/schema", json!("rhumb.plan/2")),
        ("/name", json!(7)),
        ("/spec_digest", json!("abc")),
        ("/confidence", json!("high")),
        ("/totals/expected_usd_per_month", json!(12.5)),
        ("/totals/expected_usd_per_month", json!("12.5")),
        ("/totals/incomplete", json!("no")),
        ("/changes/0/action", json!("destroy")),
        ("/steps/0/action", json!("explode")),
        (&format!("{pool}/replicas"), json!(-1)),
        (&format!("{pool}/cloud"), json!("cloudy")),
        (&format!("{pool}/machines/0/purchase"), json!("gift")),
        (&format!("{pool}/machines/0/usd_per_hour_each"), json!("free")),
        (&format!("{pool}/evidence"), json!("felt")),
        ("/workloads/services.chat/cost/lines/0/usd_per_hour", json!(0)),
    ];
    for (at, wrong) in faults {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap_or_else(|| panic!("there is no {at}")) = wrong.clone();
        assert!(!validator.is_valid(&bad), "{at} = {wrong} passes");
    }
    for key in ["schema", "created", "totals", "workloads", "changes", "steps"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(key).unwrap_or_else(|| panic!("there is no {key}"));
        assert!(!validator.is_valid(&bad), "a plan without {key} passes");
    }
}

#[test]
fn what_is_not_priced_is_null_and_said() {
    let mut unpriced = 0;
    for example in EXAMPLES {
        let value = plan(example);
        for (address, workload) in value["workloads"].as_object().unwrap() {
            let lines = workload["cost"]["lines"].as_array().unwrap();
            let missing: Vec<&Value> = lines.iter().filter(|l| l["usd_per_hour"].is_null()).collect();
            unpriced += missing.len();
            assert_eq!(workload["cost"]["incomplete"], !missing.is_empty(), "{example} {address}");
            assert!(missing.iter().all(|l| l["evidence"] == "unknown"), "{example} {address}");
            let cost = run(rhumb().args(["plan", example, "--at", "2026-11-25"])).0;
            for line in missing {
                let what = line["what"].as_str().unwrap();
                // Words of the line may be wrapped; its first one is where the row starts.
                let first = what.split(' ').next().unwrap();
                assert!(cost.contains(first), "{example}: `{what}` is not in the report");
                assert!(
                    !cost.lines().any(|l| l.contains(what) && l.trim_end().ends_with(" 0.00")),
                    "{example}: `{what}` shows as 0"
                );
            }
        }
    }
    assert!(unpriced > 0, "no example has a line without a price, so nothing was tested");
}

#[test]
fn text_in_a_pipe_is_ascii() {
    for example in EXAMPLES.iter().chain(&["examples/impossible-latency"]) {
        let (out, _, _) = run(rhumb().args(["plan", example, "--at", "2026-11-25"]));
        let odd: Vec<&str> = out.lines().filter(|l| !l.is_ascii()).collect();
        assert!(odd.is_empty(), "{example}: {odd:#?}");
    }
}
