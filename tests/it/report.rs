//! Reports of plans: JSON against its published schema, unknown amounts, plain text.

use rhumb::report::Block;
use rhumb::report::json::PLAN_SCHEMA;
use serde_json::{Value, json};

use super::cli::{rhumb, run};

const EXAMPLES: [&str; 6] = [
    "examples/support-chat",
    "examples/nightly-embedding",
    "examples/moe-reasoning",
    "examples/shared-quota",
    "examples/two-models",
    "examples/weekday-assistant",
];

fn plan(example: &str) -> Value {
    let (code, out) = &crate::planned::of(example.trim_start_matches("examples/")).json;
    assert_eq!(*code, 0, "{example}");
    serde_json::from_str(out).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(PLAN_SCHEMA).unwrap()).unwrap()
}

/// A saved plan is somebody's file: counts that no sum holds are shown, not a panic.
#[test]
fn counts_beyond_any_sum_are_shown() {
    let mut plan = super::planfile::sample::plan();
    plan.rollback = None;
    for placed in plan.placement.workloads.values_mut() {
        placed.certificate.rejected = [("memory".to_owned(), u64::MAX), ("ttft".to_owned(), 1)].into();
    }
    let text = format!("{:?}", rhumb::report::report(&plan).sections);
    assert!(text.contains(&u64::MAX.to_string()));
}

/// An apply takes any of them without asking again: whoever approves a plan sees each, or that there are more.
#[test]
fn fallbacks_are_shown_or_counted() {
    let mut plan = super::planfile::sample::plan();
    plan.rollback = None;
    for list in plan.placement.workloads.values_mut().flat_map(|w| &mut w.fallbacks).map(|of| &mut of.list) {
        *list = list.iter().cycle().take(5 * list.len()).cloned().collect();
    }
    let pools = plan.placement.workloads.values().flat_map(|w| &w.fallbacks);
    let filled = pools.filter(|of| !of.list.is_empty()).count();
    let fleets: usize = plan.placement.fleets.iter().map(|fleet| fleet.fallbacks.len()).sum();
    assert!(filled > 0);
    let told = |report: rhumb::report::Report| {
        let section = report.sections.into_iter().find(|s| s.name == "fallbacks").expect("fallbacks");
        let (mut rows, mut lines) = (0, String::new());
        for block in section.blocks {
            match block {
                Block::Table(table) => rows += table.rows.len(),
                Block::Lines(all) => lines.extend(all.into_iter().map(|line| line.text)),
            }
        }
        (rows, lines)
    };
    let more = format!("and {} more: rhumb show PLAN --view fallbacks", 2 * filled);
    assert_eq!(told(rhumb::report::report(&plan)), (3 * filled + fleets, more));
    assert_eq!(told(rhumb::report::all_fallbacks(&plan)), (5 * filled + fleets, String::new()));
}

#[test]
fn a_shared_limit_is_in_the_schema() {
    let plan = rhumb::report::json::plan(&super::planfile::sample::plan());
    assert_eq!(plan["coupling"]["limits"][0]["taken"], json!(192.0));
    let mut wrong = plan.clone();
    wrong["coupling"]["limits"][0]["taken"] = json!("384");
    let faults =
        |v: &Value| validator().iter_errors(v).map(|e| format!("{}", e.instance_path())).collect::<Vec<_>>();
    assert_eq!(faults(&plan), Vec::<String>::new());
    assert_eq!(faults(&wrong), ["/coupling"]);
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
    for example in crate::extent::one_in(3, 1).cases(EXAMPLES, |_| [()]) {
        let value = plan(example);
        for (address, workload) in value["workloads"].as_object().unwrap() {
            let lines = workload["cost"]["lines"].as_array().unwrap();
            let missing: Vec<&Value> = lines.iter().filter(|l| l["usd_per_hour"].is_null()).collect();
            unpriced += missing.len();
            assert_eq!(workload["cost"]["incomplete"], !missing.is_empty(), "{example} {address}");
            assert!(missing.iter().all(|l| l["evidence"] == "unknown"), "{example} {address}");
        }
        let free = amounts(&value).filter(|usd| *usd < 0.005).count();
        let missing = value["totals"]["unpriced_lines"].as_u64().unwrap();
        let (text, _, _) = run(rhumb().args(["plan", example, "--at", "2026-11-25"]).env("COLUMNS", "40"));
        let hourly: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("  USD/h:")).map(str::trim).collect();
        assert!(!hourly.is_empty(), "{example}: {text}");
        assert_eq!(hourly.iter().filter(|h| h.parse() == Ok(0.0)).count(), free, "{example}: {hourly:?}");
        assert_eq!(hourly.contains(&"not priced"), missing > 0, "{example}");
        assert_eq!(text.contains("at least"), missing > 0, "{example}: {text}");
    }
    assert!(unpriced > 0, "no example has a line without a price, so nothing was tested");
}

#[test]
fn text_in_a_pipe_is_ascii() {
    for planned in crate::planned::planned() {
        let odd: Vec<&str> = planned.text.lines().filter(|l| !l.is_ascii()).collect();
        assert!(odd.is_empty(), "{}: {odd:#?}", planned.name);
    }
}

/// The amounts of all lines that are priced, dollars an hour.
fn amounts(plan: &Value) -> impl Iterator<Item = f64> + '_ {
    let workloads = plan["workloads"].as_object().into_iter().flat_map(|w| w.values());
    let lines = workloads.flat_map(|w| w["cost"]["lines"].as_array().into_iter().flatten());
    lines.filter_map(|l| l["usd_per_hour"].as_str()).map(|usd| usd.parse().unwrap())
}
