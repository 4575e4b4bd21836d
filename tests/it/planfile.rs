//! Saved plans: nothing is lost, nothing is ignored, nothing damaged is accepted.

mod changes;
pub mod sample;

use rhumb::plan::Plan;
use rhumb::plan::file::{PlanFileError, WORDS, decode, encode};
use rhumb_api::Attr;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::extent::one_in;

/// JSON without white space, keys sorted: written anew here, so that the format is checked and not copied.
fn canonical(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Object(entries) => {
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.sort();
            let member =
                |k: &&String| format!("{}:{}", Value::from(k.as_str()), canonical(&entries[k.as_str()]));
            format!("{{{}}}", keys.iter().map(member).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

/// The text with a digest that fits.
pub fn signed(mut value: Value) -> String {
    let parts = value.as_object_mut().unwrap();
    parts.shift_remove("digest");
    let digest: String = Sha256::digest(canonical(&value)).iter().map(|byte| format!("{byte:02x}")).collect();
    value["digest"] = digest.into();
    value.to_string()
}

/// Pointers to everything without members.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, v)| leaves(v, &format!("{at}/{i}"), found));
        }
        Value::Object(entries) if !entries.is_empty() => {
            for (key, v) in entries {
                leaves(v, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

/// Other values for a leaf: some of its own type, some of another.
fn others(leaf: &Value) -> Vec<Value> {
    match leaf {
        Value::Null => vec![1.into(), Value::from(1.5), "x".into(), true.into()],
        Value::Bool(b) => vec![(!b).into(), Value::Null, "true".into()],
        Value::Number(n) if n.is_f64() => {
            let x = n.as_f64().unwrap();
            vec![Value::from(x + 1.0), Value::from(f64::from_bits(x.to_bits() ^ 1)), Value::Null]
        }
        Value::Number(n) => vec![Value::from(n.as_i64().unwrap() + 1), "1".into(), Value::Null],
        Value::String(text) => vec![format!("{text}x").into(), "".into(), 1.into()],
        Value::Array(_) => vec![Value::Array(vec!["x".into()]), Value::Null],
        Value::Object(_) => vec![serde_json::json!({ "x": 1 }), Value::Null],
    }
}

fn round_trip(plan: &Plan) {
    let text = encode(plan);
    let back = decode("p.json", &text).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(back, *plan);
    assert_eq!(encode(&back), text);
}

#[test]
fn a_saved_plan_reads_back_equal() {
    let plan = sample::plan();
    round_trip(&plan);
    let text = encode(&plan);
    assert!(text.starts_with("{\n  \"rhumb_plan\": 1,\n") && text.ends_with("}\n"));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&signed(value.clone())).unwrap(),
        value,
        "the digest is as documented"
    );
}

/// Every leaf counts: changed alone it is refused; changed with a new digest it is refused or is another plan.
#[test]
fn no_leaf_can_be_changed_unnoticed() {
    let plan = sample::plan();
    let value: Value = serde_json::from_str(&encode(&plan)).unwrap();
    let mut found = Vec::new();
    leaves(&value, "", &mut found);
    assert!(found.len() > 250, "{}", found.len());
    let all = found.iter().filter(|at| *at != "/digest");
    let all = all.flat_map(|at| others(value.pointer(at).unwrap()).into_iter().map(move |other| (at, other)));
    // Of every part of a plan.
    let part = |(at, _): &(&String, Value)| {
        let names = at.split('/').filter(|name| name.parse::<usize>().is_err());
        [names.take(3).map(str::to_owned).collect::<Vec<String>>()]
    };
    for (at, other) in one_in(16, 1).cases(all, part) {
        let mut changed = value.clone();
        *changed.pointer_mut(at).unwrap() = other.clone();
        let refused = decode("p.json", &changed.to_string());
        let by_digest = matches!(refused, Err(PlanFileError::Digest { .. }));
        let by_version = at == "/rhumb_plan" && matches!(refused, Err(PlanFileError::Version { .. }));
        assert!(by_digest || by_version, "{at} = {other}: {refused:?}");
        if let Ok(read) = decode("p.json", &signed(changed)) {
            assert_ne!(read, plan, "{at} = {other} is not looked at");
        }
    }
}

#[test]
fn unknown_and_missing_members_are_refused_with_their_place() {
    let value: Value = serde_json::from_str(&encode(&sample::plan())).unwrap();
    let objects = ["", "/plan", "/plan/placement/workloads/services.chat/pools/0/engine", "/plan/changes/0"];
    for at in objects {
        let mut changed = value.clone();
        changed.pointer_mut(at).unwrap()["stranger"] = 1.into();
        let error = decode("p.json", &signed(changed)).unwrap_err();
        assert!(matches!(&error, PlanFileError::Content { line: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("unknown field `stranger`"), "{error}");
    }
    let mut changed = value.clone();
    changed["plan"].as_object_mut().unwrap().shift_remove("steps");
    let error = decode("p.json", &signed(changed)).unwrap_err().to_string();
    assert!(error.starts_with("p.json:1:") && error.contains("missing field `steps`"), "{error}");
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let faults: &[(&str, fn(&mut Plan))] = &[
        ("order of their addresses", |p| p.changes.swap(0, 1)),
        ("before and after do not fit", |p| p.changes[2].before = None),
        ("before and after do not fit", |p| p.standbys[0].changes[0].before = None),
        ("are in no order", |p| {
            let again = p.standbys[0].changes[0].clone();
            p.standbys[0].changes.push(again);
        }),
        ("is none of its fallbacks", |p| p.standbys[0].by = p.standbys[0].by.child("x")),
        ("is none of its fallbacks", |p| p.standbys[0].spot = !p.standbys[0].spot),
        ("is none of its fallbacks", |p| p.standbys[0].more_per_month = rhumb_api::Money::MAX),
        ("a step that no change asks for", |p| p.steps[0].action = rhumb::plan::Action::Create),
        ("its choice is of", |p| {
            p.placement.workloads.get_mut("services.chat").unwrap().address = "services.x".into();
        }),
        ("a pool that is not there", |p| {
            p.placement.workloads.get_mut("services.chat").unwrap().routes[0].to[0].0 = 9;
        }),
        ("a layout that no machine has", |p| {
            let pool = &mut p.placement.workloads.get_mut("services.chat").unwrap().pools[0];
            (pool.layout.tp, pool.layout.pp) = (65_536, 65_536);
        }),
        ("more than 1000000 machines", |p| {
            p.placement.workloads.get_mut("services.chat").unwrap().pools[0].machines[0].count = u32::MAX;
        }),
        ("lacks a round trip", |p| {
            p.placement.workloads.get_mut("services.chat").unwrap().routes[0].network_ms.clear();
        }),
        ("knows no constraint", |p| p.placement.joint_violations[0].constraint = "gravity"),
    ];
    for (message, fault) in faults {
        let mut plan = sample::plan();
        fault(&mut plan);
        let error = decode("p.json", &encode(&plan)).expect_err(message);
        assert!(matches!(error, PlanFileError::Inconsistent { .. }), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// A figure that is not finite is written as `null`, which is no figure.
#[test]
fn figures_that_are_not_finite_are_refused() {
    for wrong in [f64::NAN, f64::INFINITY] {
        let mut plan = sample::plan();
        plan.confidence = wrong;
        let error = decode("p.json", &encode(&plan)).unwrap_err().to_string();
        assert!(error.contains("null") && error.contains("f64"), "{error}");
    }
}

/// Every word in the optimizer's and the prediction's source that names a constraint can be read back.
#[test]
fn the_vocabulary_has_every_word_of_the_optimizer() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/optimize");
    let mut words = std::collections::BTreeSet::new();
    let folders = [root.clone(), root.join("together")];
    for path in folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap()).map(|entry| entry.unwrap().path())
    {
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for opening in ["constraint: \"", "no(\"", "fail(\"", "scope: \"", "unit: \"", "no(\n"] {
            for rest in text.split(opening).skip(1) {
                let rest = rest.trim_start().trim_start_matches('"');
                let word: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
                if rest[word.len()..].starts_with('"') {
                    words.insert(word);
                }
            }
        }
    }
    assert!(words.len() > 15, "{words:?}");
    let unknown: Vec<&String> = words.iter().filter(|w| !WORDS.contains(&w.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A real plan of the embedded catalogue: it reads back, it is sound, and once it has been applied there is
/// nothing left to do.
#[test]
fn a_real_plan_reads_back_and_leads_to_rest() {
    let catalog = rhumb::catalog::Catalog::embedded();
    let text = "
rhumb: 1
name: demo
models:
  chat: { source: Qwen/Qwen3-32B, variants: { bf16: { quantization: bf16 } } }
services:
  chat:
    model: chat
    traffic:
      peak: 2 req/s
      input_tokens: { p50: 600, p95: 2800 }
      output_tokens: { p50: 180, p95: 700 }
      origins:
        eu: { at: DE, share: 100%, residency: [eu] }
    slo:
      ttft: { p95: 2s }
      tpot: { p95: 80ms }
    endpoint: { exposure: private }
budget: { monthly: 90000 USD }
";
    let spec = crate::line::spec(text, &catalog);
    let world = crate::line::world(&spec, &catalog);
    let tree = serde_json::json!({ "name": "demo" });
    let mut input = rhumb::PlanningInput {
        spec,
        spec_digest: rhumb::plan::spec_digest(&tree, &Default::default()),
        world,
        prior: None,
        now: "2026-11-25T08:00:00Z".into(),
        warnings: vec!["said before".into()],
    };
    let plan = rhumb::plan(&input).unwrap_or_else(|e| panic!("{e}"));
    round_trip(&plan);
    assert!(!plan.steps.is_empty() && !plan.artifacts.is_empty());
    assert_eq!(plan.warnings[0], "said before");
    let desired = plan
        .changes
        .iter()
        .map(|c| (c.addr.clone(), (c.after.clone().expect("everything is created"), c.depends_on.clone())));
    input.prior = Some(crate::diff::state_of(&desired.collect()));
    let second = rhumb::plan(&input).unwrap_or_else(|e| panic!("{e}"));
    assert!(second.steps.is_empty(), "{:?}", second.steps);
    round_trip(&second);
    let report = rhumb::check::plan(&input.spec, &input.world, input.prior.as_ref(), &second);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    for plan in [&plan, &second] {
        let report = rhumb::made_otherwise(&input, plan).unwrap();
        assert!(report.findings.is_empty() && report.promises > 30, "{:#?}", report.findings);
    }
    // Each attribute of each thing, its region, and each file, edited in the plan.
    let found = |edited: &Plan| rhumb::made_otherwise(&input, edited).unwrap().findings;
    let mut edits = 0;
    for (i, change) in plan.changes.iter().enumerate() {
        let after = change.after.as_ref().expect("everything is created");
        let expects = |edit: &dyn Fn(&mut rhumb_api::Resource), what: &str| {
            let mut edited = plan.clone();
            edit(edited.changes[i].after.as_mut().unwrap());
            let told = found(&edited);
            assert!(
                told.len() == 1 && told[0].address == change.addr.as_str(),
                "{}: {what}: {told:#?}",
                change.addr
            );
        };
        for name in after.attributes.keys() {
            let other = |r: &mut rhumb_api::Resource| {
                r.attributes.insert(name, Attr::Text("edited".into()));
            };
            expects(&other, name);
            edits += 1;
        }
        expects(&|r| r.region = "mars-1".into(), "region");
        let more = |r: &mut rhumb_api::Resource| {
            r.attributes.insert("more", Attr::Bool(true));
        };
        expects(&more, "more");
    }
    assert!(edits > 20, "{edits}");
    let mut edited = plan.clone();
    edited.artifacts[0].content.push('x');
    assert_eq!(found(&edited)[0].address, plan.artifacts[0].addr.as_str());
}
