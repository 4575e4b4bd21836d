//! Facts that a plan needs and that are missing or too old: which count, how they are told.

use rhumb::catalog::{Catalog, Offered};
use rhumb::check::{Lack, facts};
use rhumb::placement::CostLine;
use serde_json::Value;

use crate::check::base;
use crate::cli::{rhumb, run};

const CHAT: &str = "examples/support-chat/deploy.yaml";

#[test]
fn nothing_is_too_old_without_a_limit() {
    let (_, world, placement) = base();
    assert_eq!(facts(world, placement, None), []);
    assert_eq!(facts(world, placement, Some(100_000)), []);
    let old = facts(world, placement, Some(0));
    let fleets: usize =
        placement.workloads.values().flat_map(|w| &w.pools).map(|pool| pool.machines.len()).sum();
    assert_eq!(old.len(), fleets, "{old:#?}");
    for fact in &old {
        assert_eq!((fact.fact, fact.lack), ("price", Lack::TooOld));
        assert!(fact.source.is_some() && fact.as_of.is_some() && fact.age_days > Some(0), "{fact:?}");
        assert!(fact.fix.contains("p4d.24xlarge"), "{fact:?}");
    }
}

#[test]
fn a_machine_that_nobody_saw_for_sale_is_a_missing_fact() {
    let (_, mut world, placement) = base().clone();
    for offering in &mut world.catalog.offerings {
        offering.offered = Offered::Unknown;
    }
    let found = facts(&world, &placement, None);
    assert!(!found.is_empty());
    assert!(found.iter().all(|f| (f.fact, f.lack) == ("offered", Lack::Missing)), "{found:#?}");
    assert!(found.iter().all(|f| f.fix.contains("offered: yes")), "{found:#?}");
}

#[test]
fn only_lines_that_the_choice_rests_on_are_missing_facts() {
    let (_, world, mut placement) = base().clone();
    let cost = &mut placement.workloads.get_mut("services.chat").unwrap().cost;
    let blank = |addr: &str| CostLine { addr: addr.into(), per_hour: None, ..cost.lines[0].clone() };
    let lines =
        ["network", "p4d.24xlarge/load-balancer"].map(|at| blank(&format!("services.chat/aws/x/{at}")));
    let transfer = blank("services.chat/transfer/responses/aws/eu-west-1");
    cost.lines.extend(lines);
    assert_eq!(facts(&world, &placement, None), []);
    placement.workloads.get_mut("services.chat").unwrap().cost.lines.push(transfer);
    let found = facts(&world, &placement, None);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].fact, found[0].lack), ("transfer-price", Lack::Missing));
}

/// A spec that can only go where no source says that the machine can be had.
const UNSEEN: &str = "
rhumb: 1
name: unseen
models: { chat: { source: Qwen/Qwen3-8B } }
services:
  chat:
    model: chat
    traffic: { peak: 1 req/s, input_tokens: 500, output_tokens: 100, origins: { all: { at: vpc, share: 100% } } }
    slo: { ttft: { p95: 5s }, tpot: { p95: 200ms } }
    placement: { clouds: [azure], instance_types: [TYPE], regions: [REGION] }
    endpoint: { exposure: private }
";

#[test]
fn check_tells_a_missing_fact_and_a_file_of_the_user_supplies_it() {
    let catalog = Catalog::embedded();
    let unseen = catalog.offerings.iter().find(|o| {
        let machine = &catalog.instance_types[o.instance_type];
        o.offered == Offered::Unknown && machine.name.contains("H100") && o.purchase.as_str() == "on_demand"
    });
    let unseen = unseen.expect("an offering that no source confirms");
    let kind = &catalog.instance_types[unseen.instance_type].name;
    let region = &catalog.regions[unseen.region].id;
    let folder = tempfile::tempdir().unwrap();
    let spec = UNSEEN.replace("TYPE", kind).replace("REGION", region);
    std::fs::write(folder.path().join("deploy.yaml"), spec).unwrap();
    let at =
        |args: &[&str]| run(rhumb().arg("-C").arg(folder.path()).args(["--at", "2026-11-25"]).args(args));

    let (out, err, code) = at(&["plan", "deploy.yaml"]);
    assert_eq!(code, 0, "a plan is for reading: {out}{err}");
    let (out, err, code) = at(&["check", "deploy.yaml"]);
    assert_eq!(code, 5, "{out}{err}");
    assert!(out.contains("[offered missing]") && out.contains(kind.as_str()), "{out}");
    assert!(out.contains("  fix "), "{out}");

    let own = format!(
        "as_of: 2026-11-20\nprices:\n  - {{ cloud: azure, instance_type: {kind}, region: {region}, \
         usd_per_hour: 7.5, offered: yes }}\n"
    );
    std::fs::write(folder.path().join("own.yaml"), own).unwrap();
    let args = ["check", "deploy.yaml", "--catalog", "own.yaml", "--max-age", "30"];
    let (out, err, code) = at(&args);
    assert_eq!(code, 0, "{out}{err}");
    let undated = std::fs::read_to_string(folder.path().join("own.yaml")).unwrap();
    std::fs::write(folder.path().join("own.yaml"), undated.replace("as_of: 2026-11-20\n", "")).unwrap();
    let (out, _, code) = at(&args);
    assert_eq!(code, 5, "{out}");
    assert!(out.contains("[price undated]") && out.contains("`as_of` in your file"), "{out}");
}

#[test]
fn the_plan_lists_each_fact_for_people_and_machines() {
    let args = ["plan", CHAT, "--at", "2026-11-25", "--max-age", "1"];
    let (out, _, code) = run(rhumb().args(args));
    assert_eq!(code, 5);
    assert!(out.contains("Inconclusive: facts that are missing or too old"), "{out}");
    let (out, _, code) = run(rhumb().args(args).arg("--json"));
    assert_eq!(code, 5);
    let value: Value = serde_json::from_str(&out).unwrap();
    let schema = serde_json::from_str(rhumb::report::json::PLAN_SCHEMA).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&value));
    let facts = value["inconclusive"].as_array().unwrap();
    assert!(!facts.is_empty());
    for fact in facts {
        assert_eq!(fact["lack"], "too-old");
        assert!(fact["age_days"].as_i64() > Some(1) && fact["source"].is_string(), "{fact}");
    }
    for wrong in ["", "-1", "+3", "1.5", "d", "180 days", "99999999999"] {
        let (_, err, code) = run(rhumb().args(["check", CHAT]).arg(format!("--max-age={wrong}")));
        assert_eq!(code, 1, "{wrong:?}");
        assert!(err.contains("--max-age") && err.contains("number of days"), "{err}");
    }
}
