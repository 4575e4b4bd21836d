//! Services with a profile in the other commands: each works, or says why not.

use rhumb::catalog::Offering;
use rhumb::explore::{self, Change, Stressing, What};
use rhumb::placement::{Outcome, World};
use rhumb::spec::Spec;
use rhumb::{optimize, replay};
use rhumb_api::{Cloud, Money, Purchase};

use super::{CSV, load, machines, on_sale, proven, text, textbook};
use crate::cli::{rhumb, run};
use crate::faults;

#[test]
fn what_runs_is_kept_unless_the_mix_saves_enough() {
    let catalog = on_sale(800_000, 1_900_000);
    for (saving, expected) in
        [("10%", vec![("g6.xlarge", 2), ("g6e.xlarge", 2)]), ("80%", vec![("g6e.xlarge", 4)])]
    {
        let text = format!("{}stability: {{ saving: {saving} }}\n", text(""));
        let spec = load(&text, CSV, &catalog).unwrap().spec;
        let mut world = crate::line::world(&spec, &catalog);
        world.running.add("services.s", Cloud::Aws, "us-east-1", "g6e.xlarge");
        let placement = crate::line::place(&spec, &world).unwrap();
        let proof = rhumb::check::prove(&spec, &world, &placement);
        assert!(proof.report.findings.is_empty(), "{}", faults::told(&proof.report.findings));
        assert!(rhumb::check::placement(&spec, &world, &placement).is_empty(), "{saving}");
        assert_eq!(proof.all.gap(), Some(0.0), "{saving}: {proof:?}");
        let found = machines(&placement, "services.s");
        let found: Vec<(&str, u32)> = found.iter().map(|(kind, n)| (kind.as_str(), *n)).collect();
        // A machine of the small counts for 0.80 / (1 - saving): 0.89, and 5.58 for two of each against 7.60; or 4.00, and 11.80.
        assert_eq!(found, expected, "{saving}");
        let kept = &placement.kept.unwrap().workloads["services.s"];
        assert_eq!(kept.free.as_ref().map(|f| f.cost), Some(Money::from_micros(5_400_000 * 730)));
        assert_eq!(kept.is_kept(), saving == "80%");
    }
}

#[test]
fn emissions_count_as_of_any_workload() {
    // Both types are in one region, and emit by their watts: the dearer the tonne, the more the frugal type takes.
    let catalog = on_sale(800_000, 1_900_000);
    for objective in ["{ carbon_price: 90 USD/t }", "carbon"] {
        let text = format!("{}objective: {objective}\n", text(""));
        let (_, _, placement) = proven(&text, CSV, &catalog);
        assert!(placement.emissions.complete() && placement.coupling.is_some(), "{objective}");
    }
    // What it emits as it is, less a kilogram, is a cap that moves it or refuses it, and never one that is broken.
    let (_, _, free) = proven(&text(""), CSV, &catalog);
    let kg = free.emissions.known() / 1_000_000;
    let capped = format!("{}budget: {{ carbon: {} kg/month }}\n", text(""), kg - 1);
    let spec = load(&capped, CSV, &catalog).unwrap().spec;
    let world = crate::line::world(&spec, &catalog);
    match crate::line::place(&spec, &world) {
        Ok(placement) => assert!(placement.emissions.known() <= (kg - 1) * 1_000_000),
        Err(why) => assert!(why.proven, "{why:?}"),
    }
}

/// Nothing is drawn of what was measured, and a budget counts what it costs.
#[test]
fn stress_counts_its_cost() {
    let limited = format!("{}budget: {{ monthly: 4000 USD }}\n", text(""));
    let (spec, world, placement) = proven(&limited, CSV, &on_sale(800_000, 1_900_000));
    let asked = Stressing { worlds: 20, seed: 3, requests: 0, correlation: 0.0 };
    let found = explore::stress(&spec, &world, &placement, &asked).unwrap();
    let budget = found.promises.iter().find(|p| p.what == What::Budget { label: None }).unwrap();
    // 5.40 USD an hour, 730 hours.
    assert_eq!((budget.median, budget.limit, budget.held.held), (3942.0, 4000.0, 20));
    assert_eq!((found.measured, found.drawn), (vec!["services.s".to_owned()], Vec::new()));
}

#[test]
fn nothing_of_it_is_replayed_and_that_is_said() {
    let (spec, world, placement) = textbook();
    let none = Default::default();
    let options = replay::Options { requests: 1000, seed: 1, traces: &none, progress: &|_, _| {} };
    let found = replay::verify(&spec, &world, &placement, &options).unwrap();
    assert_eq!(found.measured, [("services.s".to_owned(), "./p.csv".to_owned())]);
    assert!(found.services.is_empty());
}

#[test]
fn twice_the_traffic_is_another_world() {
    let (mut spec, mut world, _) = textbook();
    let catalog = world.catalog.clone();
    let change = Change::parse("traffic:s=x2", &spec, &catalog).unwrap();
    change.apply(&mut spec, &mut world).unwrap();
    let placement = crate::line::place(&spec, &world).unwrap();
    assert_eq!(machines(&placement, "services.s"), [("g6.xlarge".into(), 4), ("g6e.xlarge".into(), 4)]);
    let refused = Change::parse("s.precision=int4", &spec, &catalog).unwrap_err();
    assert!(refused.contains("a service with a profile has no model"), "{refused}");
}

const PRICES: &str =
    "cloud,instance_type,region,price,currency,date\naws,g6.xlarge,us-east-1,0.30,USD,2026-11-01\n";

/// A folder with the example, and a price list of its own.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own-profile");
    for file in ["deploy.yaml", "profile.csv"] {
        std::fs::copy(example.join(file), folder.path().join(file)).unwrap();
    }
    let spec = folder.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).unwrap() + "catalog: [./prices.csv]\n";
    std::fs::write(&spec, text).unwrap();
    std::fs::write(folder.path().join("prices.csv"), PRICES).unwrap();
    folder
}

fn told(folder: &tempfile::TempDir, args: &[&str]) -> (String, String, i32) {
    let (out, err, code) = run(rhumb().arg("-C").arg(folder.path()).args(args));
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    (words(out), words(err), code)
}

#[test]
fn a_profile_or_a_price_that_is_edited_makes_a_saved_plan_stale() {
    let folder = folder();
    let (out, err, code) = told(&folder, &["plan", "deploy.yaml", "--out", "saved.json"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("1 prices from your own file ./prices.csv, of 2026-11-01"), "{out}");
    assert!(out.contains("stated 2026-11-01"), "{out}");
    let check = ["check", "--plan", "saved.json", "deploy.yaml"];
    assert_eq!(told(&folder, &check).2, 0);
    for (file, from, to, reason) in [
        ("profile.csv", "g6.xlarge,6\n", "g6.xlarge,7\n", "a file that it names"),
        ("prices.csv", "0.30", "0.31", "a file of your own rows"),
    ] {
        let path = folder.path().join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, before.replace(from, to)).unwrap();
        let (_, err, code) = told(&folder, &check);
        assert!(code == 4 && err.contains(reason), "{file}: {code} {err}");
        std::fs::write(&path, before).unwrap();
        assert_eq!(told(&folder, &check).2, 0, "{file}");
    }
}

/// What the cheapest mix costs if one machine of an offer is in it.
#[test]
fn why_a_type_is_not_in_the_mix() {
    let catalog = on_sale(800_000, 500_000);
    let (spec, world, placement) = proven(&text(""), CSV, &catalog);
    assert_eq!(machines(&placement, "services.s"), [("g6e.xlarge".into(), 4)]);
    let at = |world: &World, kind: &str, region: &str| {
        let c = &world.catalog;
        let is =
            |o: &Offering| c.instance_types[o.instance_type].name == kind && c.regions[o.region].id == region;
        c.offerings.iter().position(is).unwrap()
    };
    let ask = |spec: &Spec, world: &World, kind: &str, region: &str| {
        optimize::why_not(spec, world, "services.s", &[at(world, kind, region)]).unwrap()
    };
    // One of the small takes 10 of the 20 short ones; 10/12 + 20/10 of the large are left, so three: 0.80 + 1.50.
    let small = ask(&spec, &world, "g6.xlarge", "us-east-1");
    assert_eq!(
        (small.optimum, small.among),
        (Some(Money::from_micros(2_000_000)), rhumb::placement::Among::Mix)
    );
    let does = Outcome::Does { machines: 4, cost: Money::from_micros(2_300_000) };
    assert_eq!(small.candidates.iter().map(|c| &c.outcome).collect::<Vec<_>>(), [&does]);
    assert!(!ask(&spec, &world, "g6e.xlarge", "us-east-1").chosen.is_empty());

    // 25 requests a second take five machines; one of them where it is dearer costs 30 cents more. A type without a row serves nothing.
    let csv = "size_class,cloud,instance_type,requests_per_s\nall,aws,g6.xlarge,6\n";
    let one =
        text("").replace("peak: 40 req/s", "peak: 25 req/s").replace("short: 50%, long: 50%", "all: 100%");
    let catalog = crate::line::on_sale(&[
        ("g6.xlarge", "us-east-1", Purchase::OnDemand, 1_000_000),
        ("g6.xlarge", "us-east-2", Purchase::OnDemand, 1_300_000),
        ("g6e.xlarge", "us-east-2", Purchase::OnDemand, 100_000),
    ]);
    let (spec, world, _) = proven(&one, csv, &catalog);
    let does = Outcome::Does { machines: 5, cost: Money::from_micros(5_300_000) };
    assert_eq!(ask(&spec, &world, "g6.xlarge", "us-east-2").candidates[0].outcome, does);
    let unmeasured = ask(&spec, &world, "g6e.xlarge", "us-east-2");
    let Outcome::Rejected(why) = &unmeasured.candidates[0].outcome else { panic!("{unmeasured:?}") };
    assert_eq!(why.constraint, "measured-time");
}

#[test]
fn commands_that_cannot_judge_it_say_so() {
    let folder = folder();
    let calls: [(&[&str], &str); 3] = [
        (&["pareto", "deploy.yaml"], "have profiles, which say nothing of latencies"),
        (&["verify", "--trace", "assistant=x.csv", "deploy.yaml"], "nothing of it is replayed"),
        (&["what-if", "deploy.yaml", "assistant.precision=int4"], "has no model, and so no precision"),
    ];
    for (args, says) in calls {
        let (out, err, code) = told(&folder, args);
        assert!(code == 1 && err.contains(says), "{args:?}: {code} {out}\n{err}");
    }
    let (out, err, code) = told(&folder, &["verify", "deploy.yaml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Not replayed: ./profile.csv says what machines sustain"), "{out}");
    let (out, err, code) = told(&folder, &["stress", "deploy.yaml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("services.assistant: its machines were measured by you"), "{out}");
    let (out, err, code) = told(&folder, &["scale", "--traffic", "0.5..2", "--steps", "3", "deploy.yaml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("g6e.xlarge"), "{out}");
}
