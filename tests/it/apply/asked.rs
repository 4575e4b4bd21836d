//! Parts of plans, replacements, what is kept, who approved, and runs that have ended, by the commands that people type.

use std::path::Path;

use rhumb_api::{ErrorKind, ProviderError, ResourceKind};
use rhumb_sim::{Rule, Runs, Verb, What, World};
use serde_json::Value;

use super::life::Desk;
use super::process::quick;
use crate::cli::{rhumb, run};
use crate::extent::is_many;

const FLEET: &str = "services.chat/aws/eu-south-2/g7e.2xlarge/on_demand";
const SCHEMA: &str = include_str!("../../../templates/report/plan.schema.json");

fn summary(out: &str) -> &str {
    out.lines().rev().find(|line| line.starts_with("Plan: ")).unwrap_or(out)
}

/// Plans, checks what was planned, and gives its summary; the figures of the JSON are by the schema.
fn planned(desk: &Desk, more: &[&str]) -> String {
    let args = ["plan", ".", "--quiet", "--out", "a.plan"];
    let (out, err, code) = desk.here(&[&args[..], more].concat());
    assert_eq!(code, 0, "{more:?}: {out}{err}");
    // As long as the plan itself; of the parts that are asked for by an address one is enough in few tests.
    if is_many() || more.contains(&FLEET) && more.contains(&"--target") {
        let (found, err, code) = desk.here(&["check", ".", "--plan", "a.plan", "--fast"]);
        assert_eq!(code, 0, "{more:?}: {found}{err}");
    }
    let (json, _, _) = desk.here(&["show", "a.plan", "--json"]);
    let validator =
        jsonschema::validator_for(&serde_json::from_str(SCHEMA).expect("JSON")).expect("a schema");
    let value: Value = serde_json::from_str(&json).expect("JSON");
    let faults: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}");
    let asked = value["asked"]["targets"].as_array().map_or(0, Vec::len)
        + value["asked"]["excludes"].as_array().map_or(0, Vec::len);
    assert!(asked > 0 || value["left_out"].as_array().is_some_and(|l| l.iter().all(|l| l["why"] == "ended")));
    summary(&out).to_owned()
}

fn ids(desk: &Desk) -> Vec<(ResourceKind, String)> {
    let mut ids: Vec<_> =
        desk.sim.inventory().into_iter().map(|seen| (seen.handle.kind, seen.handle.id)).collect();
    ids.sort();
    ids
}

fn write(desk: &Desk, spec: &str) {
    std::fs::write(desk.path().join("deploy.yaml"), spec).expect("written");
}

fn spec(desk: &Desk) -> String {
    std::fs::read_to_string(desk.path().join("deploy.yaml")).expect("a spec")
}

#[test]
fn a_part_is_planned_and_applied_with_what_it_requires() {
    let desk = Desk::new();
    let said = planned(&desk, &["--target", "services.*/*/*/network"]);
    assert!(
        said.starts_with(
            "Plan: 1 to create, 0 to change, 0 to remove, 4 left out as asked; the whole costs at least "
        ),
        "{said}"
    );
    let said = planned(&desk, &["--target", FLEET]);
    assert!(said.starts_with("Plan: 5 to create, "), "a fleet requires all of it: {said}");
    let said = planned(&desk, &["--exclude", FLEET]);
    assert!(said.starts_with("Plan: 4 to create, 0 to change, 0 to remove, 1 left out as asked"), "{said}");
    let said = planned(&desk, &["--exclude", "services.chat/*/*/load_balancer"]);
    assert!(said.starts_with("Plan: 3 to create"), "the fleet stands behind it: {said}");
    let (_, err, code) = desk.here(&["plan", ".", "--target", "services.chta"]);
    assert!(code == 1 && err.contains("no resource of the plan has such an address"), "{err}");
    let (_, err, code) = desk.here(&["plan", ".", "--target", "a", "--exclude", "b"]);
    assert!(code == 1 && err.contains("cannot be used with"), "{err}");
    // Part by part, until nothing is left to do.
    let out = desk.ok(&["apply", ".", "--yes", "--quiet", "--exclude", FLEET]);
    assert!(out.contains("4 created") && out.contains("Left out of the whole, as asked: 1"), "{out}");
    assert_eq!(desk.sim.inventory().len(), 4);
    let said = planned(&desk, &["--target", "services.chat/aws"]);
    assert!(said.starts_with("Plan: 1 to create, 0 to change, 0 to remove; "), "{said}");
    let (out, err, code) = desk.there(&["apply", "a.plan", "--target", "services.chat"]);
    assert!(code == 1 && err.contains("a saved plan is applied as it is"), "{out}{err}");
    desk.ok(&["apply", "a.plan", "--quiet"]);
    assert_eq!(desk.here(&["plan", ".", "--quiet", "--detailed-exitcode"]).2, 0);
    // What is taken away in part: the load balancer cannot go while the fleet is behind it.
    let out = desk.ok(&["destroy", ".", "--yes", "--quiet", "--target", "services.chat/*/*/load_balancer"]);
    assert!(out.contains("2 removed. Left out of the whole, as asked: 3"), "{out}");
    assert_eq!(desk.sim.inventory().len(), 3);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let out = desk.ok(&["destroy", ".", "--yes", "--quiet", "--exclude", "services.chat/*/*/network"]);
    assert!(out.contains("4 removed. Left out of the whole, as asked: 1"), "{out}");
    assert!(desk.ok(&["destroy", ".", "--yes", "--quiet"]).contains("1 removed. Nothing is left."));
}

#[test]
fn what_could_stay_is_made_anew_when_asked() {
    let desk = Desk::new();
    let (_, err, code) = desk.here(&["plan", ".", "--replace", FLEET]);
    assert!(code == 1 && err.contains("there is nothing to replace"), "{err}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let before = ids(&desk);
    let (_, err, code) = desk.here(&["plan", ".", "--replace", &format!("{FLEET}s")]);
    assert!(code == 1 && err.contains(&format!("did you mean `{FLEET}`?")), "{err}");
    let (out, err, code) = desk.here(&["plan", ".", "--replace", FLEET, "--out", "a.plan"]);
    assert_eq!(code, 0, "{err}");
    let words: Vec<&str> = out.split_whitespace().collect();
    assert!(words.join(" ").contains("its replacement was asked for"), "{out}");
    assert!(summary(&out).starts_with("Plan: 1 to create, 0 to change, 1 to remove; "), "{out}");
    assert_eq!(desk.here(&["check", ".", "--plan", "a.plan", "--fast"]).2, 0);
    desk.ok(&["apply", "a.plan", "--quiet"]);
    let after = ids(&desk);
    let fresh: Vec<_> = after.iter().filter(|id| !before.contains(id)).collect();
    assert!(
        fresh.len() == 1 && fresh[0].0 == ResourceKind::Fleet && after.len() == before.len(),
        "{after:?}"
    );
    assert_eq!(desk.here(&["plan", ".", "--quiet", "--detailed-exitcode"]).2, 0, "it is done once");
    // What stands in a network goes with it; its launch template is pointed to the new one.
    let out =
        desk.ok(&["apply", ".", "--yes", "--quiet", "--replace", "services.chat/aws/eu-south-2/network"]);
    assert!(out.contains("4 created, 1 changed, 4 removed"), "{out}");
    assert_eq!(desk.here(&["plan", ".", "--quiet", "--detailed-exitcode"]).2, 0);
    let (_, err, code) = desk.here(&["plan", ".", "--replace", FLEET, "--exclude", FLEET]);
    assert!(code == 1 && err.contains("not part of what the plan is for"), "{err}");
}

#[test]
fn what_is_to_be_kept_goes_only_once_somebody_says_so() {
    let desk = Desk::new();
    let free = spec(&desk);
    let kept = free
        .replace("endpoint: { exposure: private }", "endpoint: { exposure: private, prevent_destroy: true }");
    assert_ne!(free, kept);
    write(&desk, &kept);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let refused = |args: &[&str]| {
        let (out, err, code) = desk.there(args);
        assert!(
            code == 1 && err.contains("services.chat/aws/eu-south-2/load_balancer: the plan would remove"),
            "{args:?} {out}{err}"
        );
        assert_eq!(desk.sim.inventory().len(), 5, "{args:?}");
    };
    refused(&["destroy", ".", "--yes"]);
    refused(&["apply", ".", "--yes", "--replace", "services.chat/aws/eu-south-2/network"]);
    // Nor is it left with nothing behind it.
    let balancer = "services.chat/aws/eu-south-2/load_balancer";
    let (out, err, code) = desk.there(&["destroy", ".", "--yes", "--exclude", balancer]);
    assert!(code == 1 && err.contains("on_demand: the plan would remove"), "{out}{err}");
    assert_eq!(desk.sim.inventory().len(), 5);
    // A spec that does not know it any more does not set it free; nor does moving it.
    write(&desk, &free.replace("services:\n  chat:", "services:\n  talk:"));
    refused(&["apply", ".", "--yes"]);
    let (_, err, code) = desk.here(&["plan", ".", "--out", "no.plan"]);
    assert!(code == 1 && err.contains("prevent_destroy") && !desk.path().join("no.plan").exists(), "{err}");
    write(
        &desk,
        &kept
            .replace("    survive:", "    placement: { clouds: [azure] }\n    survive:")
            .replace("60000", "160000"),
    );
    refused(&["apply", ".", "--yes"]);
    // Its machines are not what clients reach it by.
    write(&desk, &kept);
    desk.ok(&["apply", ".", "--yes", "--quiet", "--replace", FLEET]);
    // Set free by the spec, it moves; then everything may go.
    write(
        &desk,
        &free
            .replace("    survive:", "    placement: { clouds: [azure] }\n    survive:")
            .replace("60000", "160000"),
    );
    let (out, err, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory().len(), 0);
}

/// The keys of RFC 8410, and of another one whose public half it gives.
pub const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
pub const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
/// A key of nobody: the seed is 32 bytes of `a`.
const OTHER: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh\n-----END PRIVATE KEY-----\n";

fn put(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
}

#[test]
fn only_what_was_signed_is_applied_where_that_is_required() {
    let desk = Desk::new();
    for (name, text) in [("key.pem", PRIVATE), ("key.pub", PUBLIC), ("other.pem", OTHER)] {
        put(desk.path(), name, text);
    }
    let refused = |args: &[&str], words: &str| {
        let (out, err, code) = desk.there(args);
        assert!(code == 4 && err.contains(words), "{args:?}: {code} {out}{err}");
        assert_eq!(desk.sim.inventory().len(), 0);
        assert!(!err.contains("INTuctv5E1hK"), "{err}");
    };
    let required = ["--require-signature", "key.pub"];
    let apply = |what: &'static str| [&["apply", what, "--quiet", "--yes"][..], &required].concat();
    desk.here(&["plan", ".", "--quiet", "--out", "a.plan"]);
    refused(&apply("a.plan"), "nobody has signed it");
    let ahead = |words: &str, exit: i32| {
        let (out, err, code) = desk.there(&["preflight", "a.plan", "--require-signature", "key.pub"]);
        assert!(code == exit && out.contains(words), "{code} {out}{err}");
    };
    ahead("FAILED  plan          no valid signature by key.pub", 4);
    refused(&apply("."), "nobody has signed this: nothing was changed");
    let (out, err, code) = desk.here(&["sign", "a.plan", "--key", "other.pem"]);
    assert!(code == 0 && out.contains("signed by"), "{out}{err}");
    refused(&apply("a.plan"), "it says that it is signed by ");
    // A signature of another plan is none of this one.
    let (_, err, code) = desk.here(&[
        "plan",
        ".",
        "--quiet",
        "--target",
        "services.chat/*/*/network",
        "--out",
        "b.plan",
        "--sign",
        "key.pem",
    ]);
    assert_eq!(code, 0, "{err}");
    let read = |name: &str| std::fs::read_to_string(desk.path().join(name)).expect("a plan");
    let signatures =
        |text: &str| -> Value { serde_json::from_str::<Value>(text).expect("JSON")["signatures"].take() };
    let mut moved: Value = serde_json::from_str(&read("a.plan")).expect("JSON");
    moved["signatures"] = signatures(&read("b.plan"));
    put(desk.path(), "c.plan", &moved.to_string());
    refused(&apply("c.plan"), "no valid signature by key.pub (19bf44096984cdfe");
    // An edited plan is none any more, whoever signed it.
    put(desk.path(), "c.plan", &read("b.plan").replace("\"confidence\": 0.8", "\"confidence\": 0.7"));
    let (_, err, code) = desk.there(&apply("c.plan"));
    assert!(code == 1 && err.contains("was changed after it was saved"), "{err}");
    // What is no key is told of before anything is searched.
    let (_, err, code) = desk.here(&["plan", ".", "--out", "d.plan", "--sign", "key.pub"]);
    assert!(code == 1 && err.contains("key.pub: it is no private Ed25519 key"), "{err}");
    let (_, err, code) = desk.here(&["plan", ".", "--sign", "key.pem"]);
    assert!(code == 1 && err.contains("--out"), "{err}");
    // The second signature is added to the first, from the environment.
    let mut sign = rhumb();
    sign.current_dir(desk.path()).env("APPROVER", PRIVATE).args([
        "sign",
        "a.plan",
        "--key",
        "env:APPROVER",
        "--json",
    ]);
    let (out, err, code) = run(&mut sign);
    assert_eq!(code, 0, "{err}");
    let schema = include_str!("../../../src/cli/commands/sign/schema.json");
    let validator =
        jsonschema::validator_for(&serde_json::from_str(schema).expect("JSON")).expect("a schema");
    let mut told: Value = serde_json::from_str(&out).expect("JSON");
    assert!(validator.is_valid(&told), "{told}");
    told["key"] = "".into();
    assert!(!validator.is_valid(&told));
    assert_eq!(signatures(&read("a.plan")).as_array().map(Vec::len), Some(2));
    ahead("all who must have signed it have", 0);
    let shown = |plan: &str| desk.here(&["show", plan, "--view", "summary"]).0;
    assert_eq!(shown("a.plan").matches("\nSigned by ").count(), 2, "{}", shown("a.plan"));
    // Signatures of another plan, which nobody has to have made.
    let mut wrong: Value = serde_json::from_str(&read("a.plan")).expect("JSON");
    wrong["signatures"] = signatures(&read("b.plan"));
    put(desk.path(), "c.plan", &wrong.to_string());
    let said = shown("c.plan");
    assert!(said.contains("NOT signed by 19bf44096984cdfe") && !said.contains("\nSigned by"), "{said}");
    let mut apply = rhumb();
    apply.current_dir(desk.path()).env("RHUMB_REQUIRE_SIGNATURE", "key.pub");
    let (out, err, code) = run(apply.args(["apply", "a.plan", "--quiet", "--simulate", &desk.sim.url]));
    assert_eq!(code, 0, "{out}{err}");
    // Destroying is no way around it.
    let mut destroy = rhumb();
    destroy.current_dir(desk.path()).env("RHUMB_REQUIRE_SIGNATURE", "key.pub");
    let (out, err, code) = run(destroy.args(["destroy", ".", "--yes", "--simulate", &desk.sim.url]));
    assert!(code == 4 && err.contains("`rhumb plan --destroy --out`"), "{out}{err}");
    assert_eq!(desk.sim.inventory().len(), 5);
}

/// Whatever a cloud says is shown and recorded without the secrets of the environment and without commands to a terminal.
#[test]
fn what_clouds_say_is_fit_to_be_shown() {
    const SECRET: &str = "c4nary-0123456789";
    let desk = Desk::new();
    let message = format!("the \u{1b}[2Jkey {SECRET} is not known");
    let rule = |kind, times, what: fn(ProviderError) -> What| Rule {
        nth: None,
        verb: Some(Verb::Create),
        kind: Some(kind),
        address: None,
        times: Some(times),
        what: what(ProviderError {
            retry_after_ms: Some(1),
            ..ProviderError::new(ErrorKind::Throttled, &*message)
        }),
    };
    let rules = vec![
        rule(ResourceKind::Network, 2, What::Error),
        rule(ResourceKind::Fleet, 9, |why| {
            What::FailLater(ProviderError { kind: ErrorKind::Invalid, ..why })
        }),
    ];
    desk.sim.reset(&World { rules, ..quick() });
    let mut said = String::new();
    for args in [
        &["apply", ".", "--yes"][..],
        &["apply", ".", "--yes", "--json", "--no-refresh"],
        &["state", "list"],
        &["status"],
        &["refresh", "."],
        &["plan", "."],
    ] {
        let mut command = rhumb();
        command.current_dir(desk.path()).env("MY_TOKEN", SECRET).args(args);
        if !["state", "plan"].contains(&args[0]) {
            command.args(["--simulate", &desk.sim.url]);
        }
        let (out, err, _) = run(&mut command);
        said.push_str(&(out + &err));
    }
    for entry in std::fs::read_dir(desk.path()).expect("a folder").flatten() {
        said.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
    }
    let told = said.matches("the ?[2Jkey (the value of MY_TOKEN) is not known").count();
    assert!(told > 5, "{told}: {said}");
    assert!(!said.contains(SECRET) && !said.contains('\u{1b}') && !said.contains("u001b"), "{said}");
}

const RUN: &str = "rhumb: 1
name: once
models:
  embed: { source: Qwen/Qwen3-Embedding-0.6B }
batches:
  first:
    model: embed
    items: 2M
    input_tokens: { mean: 350 }
    deadline: 6h
    placement: { clouds: [aws] }
  then:
    model: embed
    items: 1M
    input_tokens: { mean: 350 }
    deadline: 6h
    after: [batches.first]
    placement: { clouds: [aws] }
";

#[test]
fn a_run_that_has_ended_is_not_run_again_wherever_it_would_be_cheaper() {
    let desk = Desk::new();
    desk.sim.reset(&World { runs: Runs { run_ms: Some(1), ..quick().runs }, ..quick() });
    write(&desk, RUN);
    desk.ok(&["apply", ".", "--yes", "--quiet", "--target", "batches.first"]);
    desk.ok(&["refresh", "."]);
    let moved = RUN.replacen("clouds: [aws]", "clouds: [gcp]", 1);
    write(&desk, &moved);
    let out = desk.here(&["plan", ".", "--target", "batches.first"]).0;
    assert!(out.contains("batches.first: its run has ended and is not run again"), "{out}");
    assert!(out.contains("Plan: 0 to create, 0 to change, 0 to remove, 4 left out as asked"), "{out}");
    // What comes after it comes after the run that has ended.
    let said = planned(&desk, &[]);
    assert!(said.starts_with("Plan: 4 to create, 0 to change, 0 to remove; "), "{said}");
    let before = ids(&desk);
    desk.ok(&["apply", "a.plan", "--quiet"]);
    assert!(
        before
            .iter()
            .all(|(kind, id)| *kind == ResourceKind::JobRun || ids(&desk).contains(&(*kind, id.clone())))
    );
    desk.ok(&["refresh", "."]);
    assert_eq!(desk.here(&["plan", ".", "--quiet", "--detailed-exitcode"]).2, 0);
    // Another input is another run; so is one that is asked for.
    write(&desk, &moved.replacen("items: 2M", "items: 3M", 1));
    let (out, _, _) = desk.here(&["plan", ".", "--quiet"]);
    assert!(!summary(&out).starts_with("Plan: 0 to create"), "{out}");
    write(&desk, RUN);
    let state: Value = serde_json::from_str(&desk.here(&["state", "list", "--json"]).0).expect("JSON");
    let first = state["resources"].as_array().expect("a list").iter().filter_map(|r| r["address"].as_str());
    let first: Vec<&str> = first
        .filter(|a| a.starts_with("batches.first") && (a.ends_with("spot") || a.ends_with("on_demand")))
        .collect();
    let (out, err, code) = desk.here(&["plan", ".", "--quiet", "--replace", first[0]]);
    assert_eq!(code, 0, "{err}");
    assert!(summary(&out).starts_with("Plan: 1 to create, 0 to change, 1 to remove"), "{out}");
}

const STATUS: &str = include_str!("../../../src/cli/commands/status/schema.json");

#[test]
fn the_status_tells_what_is_wrong_what_runs_and_what_it_costs() {
    let desk = Desk::new();
    let (_, err, code) = desk.there(&["status"]);
    assert!(code == 1 && err.contains("nothing was ever recorded there"), "{err}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let told = |code: i32| {
        let (out, err, found) = desk.there(&["status", "--json"]);
        assert_eq!(found, code, "{out}{err}");
        let value: Value = serde_json::from_str(&out).expect("JSON");
        let validator =
            jsonschema::validator_for(&serde_json::from_str(STATUS).expect("JSON")).expect("a schema");
        let faults: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        value
    };
    let of = |value: &Value, what: &str| -> Value {
        let rows = value["resources"].as_array().expect("rows").clone();
        rows.into_iter()
            .find(|row| row["address"].as_str().is_some_and(|a| a.ends_with(what)))
            .expect("a row")
    };
    let well = told(0);
    let fleet = of(&well, "on_demand");
    assert_eq!((&fleet["health"], &well["looked"]), (&"ready".into(), &Value::Bool(true)));
    // Machines by their listed price, and nothing else; what a load balancer costs is not known.
    let running = fleet["machines"].as_f64().expect("a number");
    let (out, _, _) = desk.here(&["catalog", "prices", "--json"]);
    let prices: Value = serde_json::from_str(&out).expect("JSON");
    let price = find(&prices, &|row| {
        row["instance_type"] == "g7e.2xlarge"
            && row["region"] == "eu-south-2"
            && row["purchase"] == "on_demand"
    });
    let price = price["usd_per_hour"].as_f64().expect("a price");
    let cost = well["usd_per_hour"].as_f64().expect("a sum");
    assert!((cost - running * price).abs() < 1e-6 && cost > 0.0, "{cost} {running} {price}");
    assert_eq!(
        (&well["unpriced"], &of(&well, "load_balancer")["cost"]["class"]),
        (&1.into(), &"unknown".into())
    );
    let (out, _, _) = desk.there(&["status"]);
    assert!(out.contains("5 of 5 things are as they should be. SIMULATED: would cost at least"), "{out}");
    assert!(out.contains("1 more has no known price"), "{out}");
    // No adapter is needed for what is recorded.
    let (out, _, code) = desk.here(&["status", "--recorded"]);
    assert!(code == 0 && out.contains("5 of 5 things are recorded so; nothing was looked at"), "{out}");
    let (_, err, code) = desk.here(&["status"]);
    assert!(code == 1 && err.contains("simulated"), "{err}");
    // It takes no lock.
    let thing =
        |kind| desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == kind).expect("it is there");
    desk.sim.set_attribute(&thing(ResourceKind::Fleet).handle, "count", Some(rhumb_api::Attr::Int(19)));
    desk.sim.vanish(&thing(ResourceKind::LoadBalancer).handle);
    let wrong = told(3);
    assert_eq!(of(&wrong, "load_balancer")["health"], "gone");
    assert_eq!(of(&wrong, "on_demand")["health"], "changed");
    assert!(of(&wrong, "on_demand")["why"].as_str().is_some_and(|why| why.contains("count")));
    let serial = |value: &Value| value["serial"].clone();
    assert_eq!(serial(&well), serial(&wrong), "looking records nothing");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(told(0)["well"], Value::Bool(true));
}

/// The first object of a document of which something is true.
fn find(value: &Value, is: &dyn Fn(&Value) -> bool) -> Value {
    match value {
        Value::Object(_) if is(value) => value.clone(),
        Value::Object(map) => map.values().map(|v| find(v, is)).find(|v| !v.is_null()).unwrap_or(Value::Null),
        Value::Array(list) => list.iter().map(|v| find(v, is)).find(|v| !v.is_null()).unwrap_or(Value::Null),
        _ => Value::Null,
    }
}
