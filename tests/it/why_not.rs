//! `explain --why-not`: on a small world derived by hand, and on the command line.

use rhumb::optimize;
use rhumb::placement::{Asked, Outcome, WhyNot, World};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};
use serde_json::Value;

use crate::cli::{rhumb, run};
use crate::line;

const SCHEMA: &str = include_str!("../../templates/report/why-not.schema.json");

const NORTH: usize = 0;
const IRELAND: usize = 1;
const VIRGINIA: usize = 2;
const SPAIN: usize = 3;

/// Services of a 70B model in the Union. Types in the catalogue stand before p5en, and regions within them in its order.
fn case(more: &str) -> (Spec, World, [usize; 4]) {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 63_900_000),
        ("p5.48xlarge", "us-east-1", Purchase::OnDemand, 31_000_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
    ]);
    let spec = line::spec(&line::two_services(more), &catalog);
    let world = line::world(&spec, &catalog);
    let at = |region: &str| {
        world.catalog.offerings.iter().position(|o| world.catalog.regions[o.region].id == region).unwrap()
    };
    let offers = [at("eu-north-1"), at("eu-west-1"), at("us-east-1"), at("eu-south-2")];
    (spec, world, offers)
}

fn asked(spec: &Spec, world: &World, offer: usize) -> WhyNot {
    optimize::why_not(spec, world, "services.a", &[offer]).unwrap()
}

fn constraints(w: &WhyNot) -> Vec<&'static str> {
    let of = |c: &Asked| match &c.outcome {
        Outcome::Rejected(r) => r.constraint,
        Outcome::Does { .. } => "does",
    };
    let mut all: Vec<&str> = w.candidates.iter().map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn what_was_chosen_is_told_as_such() {
    let (spec, world, offers) = case("");
    let w = asked(&spec, &world, offers[NORTH]);
    assert_eq!(
        w.chosen.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
        ["services.a/aws/eu-north-1/p5.48xlarge"]
    );
    // Its cheapest candidate is the optimum.
    let Outcome::Does { cost, .. } = w.candidates[0].outcome else { panic!("{w:?}") };
    assert_eq!(Some(cost), w.optimum);
    assert!(w.loosened.is_empty());
}

#[test]
fn what_is_dearer_is_told_with_its_cost() {
    let (spec, world, offers) = case("");
    let (north, w) = (asked(&spec, &world, offers[NORTH]), asked(&spec, &world, offers[IRELAND]));
    let Outcome::Does { machines, cost } = w.candidates[0].outcome else { panic!("{w:?}") };
    // As many machines, each 5 USD an hour dearer; transfers cost nearly the same.
    let more = (cost - north.optimum.unwrap()).usd();
    assert!((more - 5.0 * f64::from(machines)).abs() < 0.05, "{more} {machines}");
    assert!(w.chosen.is_empty());
}

#[test]
fn a_rule_that_forbids_it_is_named_and_loosened() {
    let (spec, world, offers) = case("");
    let w = asked(&spec, &world, offers[VIRGINIA]);
    assert_eq!(constraints(&w), ["residency"]);
    let Outcome::Rejected(why) = &w.candidates[0].outcome else { panic!("{w:?}") };
    assert!(why.at.as_ref().is_some_and(|at| at.dotted().ends_with("placement.residency")), "{why:?}");
    // At about half the price it is taken as soon as it may be: solved again by hand.
    let first = &w.loosened[0];
    assert!(first.chosen && first.change.constraint == "residency", "{:?}", w.loosened);
    let mut looser = spec.clone();
    looser.services.get_mut("a").unwrap().placement.residency.clear();
    let placed = optimize::cheapest(&looser, &world, "services.a").unwrap();
    assert_eq!(
        (placed.pools[0].region.as_str(), placed.cost.expected_per_month),
        ("us-east-1", first.change.cost_per_month)
    );
}

#[test]
fn a_budget_and_a_quota_are_told_with_numbers() {
    let (spec, world, offers) = case("budget: { binds: expected, per: { services.a: 44000 USD } }\n");
    // 58.9 USD/h are 42,997 USD a month, 68.4 are 49,932.
    let w = asked(&spec, &world, offers[SPAIN]);
    assert!(constraints(&w).contains(&"budget"), "{w:?}");
    assert!(w.loosened.iter().all(|l| l.change.constraint != "quota"));
    assert!(w.loosened.iter().any(|l| l.change.constraint == "budget" && !l.chosen), "{:?}", w.loosened);
    let quotas = "providers: { aws: { quotas: { eu-west-1: { L-417A185B: 191 } } } }\n";
    let (spec, world, offers) = case(quotas);
    let w = asked(&spec, &world, offers[IRELAND]);
    assert!(constraints(&w).contains(&"quota") && !constraints(&w).contains(&"does"), "{w:?}");
    // A machine has 192.
    assert!(
        w.loosened.iter().any(|l| l.change.change.contains("192 vcpus of L-417A185B")),
        "{:?}",
        w.loosened
    );
}

/// What is asked for and does is never cheaper than the optimum.
#[test]
fn nothing_that_does_costs_less_than_the_optimum() {
    let (spec, world, offers) = case("");
    for address in ["services.a", "services.b"] {
        let w = optimize::why_not(&spec, &world, address, &offers).unwrap();
        let costs: Vec<Money> = w
            .candidates
            .iter()
            .filter_map(|c| match c.outcome {
                Outcome::Does { cost, .. } => Some(cost),
                Outcome::Rejected(_) => None,
            })
            .collect();
        assert!(costs.len() > 3 && costs.is_sorted(), "{w:?}");
        assert_eq!(costs.first().copied(), w.optimum);
    }
}

const CHAT: &str = "examples/support-chat";

fn explained(args: &[&str]) -> (String, String, i32) {
    run(rhumb().args(["explain", "--at", "2026-11-25", "--why-not"]).args(args))
}

#[test]
fn the_command_answers_for_people_and_machines() {
    // A build without some sources may not know the offer.
    if option_env!("RHUMB_CATALOG_EXCLUDE").is_some() {
        return;
    }
    let (out, err, code) = explained(&["aws/p5.48xlarge/on_demand", CHAT, "--json"]);
    assert_eq!(code, 0, "{err}");
    let value: Value = serde_json::from_str(&out).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let mut wrong = value.clone();
    wrong["workloads"][0]["candidates"][0]["outcome"] = serde_json::json!({ "does": true });
    assert!(!validator.is_valid(&wrong));
    let (out, err, code) = explained(&["aws/p5.48xlarge/spot", "services.chat", CHAT]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("purchase: spot") && out.contains("spot_max_share 100 %"), "{out}");
    assert!(!out.contains('\u{1b}'), "no colour without a terminal");
}

#[test]
fn a_federation_tells_of_its_members() {
    if option_env!("RHUMB_CATALOG_EXCLUDE").is_some() {
        return;
    }
    let args = ["aws/eu-north-1/m7i.xlarge", "federations.seg-rounds", "examples/hospital-federation"];
    let (out, err, code) = explained(&args);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("aggregator"), "{out}");
    assert!(out.contains("With federations.seg-rounds on nothing else"), "{out}");
    let (out, err, code) = explained(&[&args[..], &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    let validator = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let problems: Vec<String> =
        validator.iter_errors(&serde_json::from_str(&out).unwrap()).map(|e| e.to_string()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_wrong_name_is_told_with_the_nearest() {
    if option_env!("RHUMB_CATALOG_EXCLUDE").is_some() {
        return;
    }
    for (args, part) in [
        (&["aws/p5.48xlrge", CHAT][..], "did you mean"),
        (&["aws/af-south-1/p5.48xlarge", CHAT], "nothing on sale is all of"),
        (&["h100", CHAT], "instance types"),
        (&["p5.48xlarge", "services.nobody", CHAT], "is no workload of"),
    ] {
        let (_, err, code) = explained(args);
        assert!(code == 1 && err.contains(part), "{args:?}: {code} {err}");
    }
    let (_, err, code) = run(rhumb().args(["explain"]));
    assert!(code == 1 && err.contains("ADDRESS"), "{err}");
}

/// Where a quota is shared, the whole is solved again with the workload on the offer: by hand, its rules changed so that nothing else
/// is left to it.
#[test]
fn the_whole_deployment_is_told_where_limits_are_shared() {
    // Two machines of the cheap region, of which the services need three.
    let quotas = "providers: { aws: { quotas: { eu-north-1: { L-417A185B: 384 } } } }\n";
    let (spec, world, offers) = case(quotas);
    assert!(optimize::shares(&spec) && !optimize::shares(&case("").0));
    let cost = |placement: &rhumb::placement::Placement| rhumb::explore::cost(placement);
    let planned = cost(&optimize::place(&spec, &world).unwrap());
    for address in ["services.a", "services.b"] {
        for offer in [offers[NORTH], offers[IRELAND], offers[SPAIN]] {
            let region = &world.catalog.regions[world.catalog.offerings[offer].region].id;
            let mut by_hand = spec.clone();
            let name = address.trim_start_matches("services.");
            let rules = &mut by_hand.services.get_mut(name).unwrap().placement;
            rules.regions = rhumb::spec::AllowDeny::Only(vec![region.clone()]);
            let kind =
                world.catalog.instance_types[world.catalog.offerings[offer].instance_type].name.clone();
            rules.instance_types = rhumb::spec::AllowDeny::Only(vec![kind]);
            let held = optimize::held_to(&spec, &world, address, &[offer]).expect("its rules allow it");
            let by_hand = optimize::place(&by_hand, &world);
            assert_eq!(held.as_ref().ok().map(cost), by_hand.as_ref().ok().map(cost), "{address} {region}");
            assert!(held.is_err() || cost(&held.unwrap()) >= planned, "{address} {region}");
        }
        // Residency leaves nothing of it.
        assert_eq!(
            optimize::held_to(&spec, &world, address, &[offers[VIRGINIA]]).map(|held| held.is_err()),
            Some(true)
        );
        let mut out = spec.clone();
        out.services.get_mut(address.trim_start_matches("services.")).unwrap().placement.regions =
            rhumb::spec::AllowDeny::Not(vec!["aws/us-east-1".into()]);
        assert!(optimize::held_to(&out, &world, address, &[offers[VIRGINIA]]).is_none());
    }
}
