//! Budgets of labels: what they decide, how they are refused, what is told of them, and planted faults.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::explore::{self, Stressing, What};
use rhumb::placement::{Coupling, Infeasible, Placement, SharedLimit, World};
use rhumb::spec::{BudgetScope, Spec};
use rhumb_api::{Money, Purchase};
use serde_json::json;

use crate::line;

/// Machines of 192 vCPUs in one region, dearer ones in another.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
    ])
}

/// Services `a` and `c`, of one machine each, and `b` of two; of the cheap machines a quota allows three.
fn text(labels: [&str; 3], budget: &str) -> String {
    let [a, b, c] = labels;
    let third = format!(
        "  c:
    model: large
    labels: {{ {c} }}
    traffic:
      peak: 2 req/s
      input_tokens: {{ p50: 1200, p95: 5000 }}
      output_tokens: {{ p50: 400, p95: 1200 }}
      origins: {{ nl: {{ at: NL, share: 100% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 60ms }} }}
providers:
  aws: {{ quotas: {{ eu-north-1: {{ L-417A185B: 576 }} }} }}
budget: {budget}
"
    );
    let two = line::two_services(&third);
    let labelled = |name: &str, labels: &str, text: &str| {
        let head = format!("  {name}:\n    model: large\n");
        text.replacen(&head, &format!("{head}    labels: {{ {labels} }}\n"), 1)
    };
    labelled("b", b, &labelled("a", a, &two))
}

fn solved(labels: [&str; 3], budget: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(&text(labels, budget), &catalog);
    let world = line::world(&spec, &catalog);
    let found = line::place(&spec, &world);
    (spec, world, found)
}

const TEAMS: [&str; 3] = ["team: x, env: prod", "team: y, env: prod", "team: x, env: test"];

/// What `a` costs by itself, a month.
fn alone() -> Money {
    static ALONE: OnceLock<Money> = OnceLock::new();
    *ALONE.get_or_init(|| {
        let (mut spec, world, _) = solved(TEAMS, "{ binds: expected }");
        spec.services.retain(|name, _| name == "a");
        line::place(&spec, &world).unwrap().workloads["services.a"].cost.ceiling_per_month
    })
}

fn dollars(amount: Money) -> i64 {
    amount.micros().div_euclid(1_000_000)
}

/// The placement under a budget for team x that both of its services keep on cheap machines alone, to the dollar.
fn tight() -> &'static (Spec, World, Placement) {
    static TIGHT: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    TIGHT.get_or_init(|| {
        let limit = dollars(alone().times(2)) + 1;
        let (spec, world, found) =
            solved(TEAMS, &format!("{{ by_label: {{ team: {{ x: {limit} USD }} }} }}"));
        (spec, world, found.unwrap())
    })
}

fn regions<'p>(placement: &'p Placement, address: &str) -> Vec<&'p str> {
    placement.workloads[address].pools.iter().map(|p| p.region.as_str()).collect()
}

#[test]
fn a_team_with_a_budget_gets_the_cheap_machines() {
    // One machine of the cheap ones is 58.9 USD an hour, 42,997 a month of 730 hours.
    assert!(alone() >= Money::from_micros(42_997_000_000), "{}", alone());
    let (_, _, free) = solved(TEAMS, "{ binds: ceiling }");
    let free = free.unwrap();
    let dear = |p: &Placement, a: &str| regions(p, a).contains(&"eu-south-2");
    // Four machines are wanted and three are there: without the budget one service of one machine is crowded out.
    assert!(dear(&free, "services.a") || dear(&free, "services.c"));
    let (spec, world, placement) = tight();
    assert!(!dear(placement, "services.a") && !dear(placement, "services.c"));
    assert!(dear(placement, "services.b"));
    let c = placement.coupling.as_ref().unwrap();
    assert_eq!(c.lower_bound, c.optimum);
    let limit = of_team(c);
    assert_eq!((limit.limit, limit.taken), ((dollars(alone().times(2)) + 1) as f64, alone().usd() * 2.0));
    assert_eq!(limit.at.as_ref().unwrap().dotted(), "budget.by_label.team.x");
    assert_eq!(check::placement(spec, world, placement), vec![]);
    assert_eq!(check::prove(spec, world, placement).report.findings, vec![]);
}

fn of_team(c: &Coupling) -> &SharedLimit {
    c.limits.iter().find(|l| l.label == Some(("team".into(), "x".into()))).unwrap()
}

#[test]
fn every_budget_is_told_with_what_is_left() {
    let limit = dollars(alone().times(2)) + 100;
    let budget = format!(
        "{{ monthly: 1000000 USD, per: {{ services.b: 500000 USD }}, by_label: {{ team: {{ x: {limit} USD }} }} }}"
    );
    let (spec, _, found) = solved(TEAMS, &budget);
    let found = found.unwrap();
    let lines = rhumb::plan::budgets(&spec, &found);
    let told: Vec<_> = lines.iter().map(|l| (l.workload.as_deref(), l.label.clone())).collect();
    let x = Some(("team".to_owned(), "x".to_owned()));
    assert_eq!(told, [(None, None), (Some("services.b"), None), (None, x)]);
    let ceiling = |a: &str| found.workloads[a].cost.ceiling_per_month;
    assert_eq!(lines[0].figure, ceiling("services.a") + ceiling("services.b") + ceiling("services.c"));
    assert_eq!(lines[1].figure, ceiling("services.b"));
    assert_eq!(lines[2].figure, ceiling("services.a") + ceiling("services.c"));
}

/// A deployment of one workload: the budget of its label is as its own.
#[test]
fn one_workload_with_a_label_is_as_with_a_budget_of_its_own() {
    let one = |budget: &str| {
        let (mut spec, world, _) = solved(TEAMS, "{ binds: ceiling }");
        spec.services.retain(|name, _| name == "a");
        let limits = line::spec(&text(TEAMS, budget), &catalog()).budget;
        spec.budget = limits;
        line::place(&spec, &world)
    };
    let limit = dollars(alone());
    for limit in [limit, limit + 1, limit + 20_000] {
        let own = one(&format!("{{ per: {{ services.a: {limit} USD }} }}"));
        let label = one(&format!("{{ by_label: {{ env: {{ prod: {limit} USD }} }} }}"));
        match (own, label) {
            (Ok(own), Ok(label)) => {
                assert!(limit > dollars(alone()));
                assert_eq!(own.workloads["services.a"].pools, label.workloads["services.a"].pools);
                assert_eq!(own.workloads["services.a"].fallbacks, label.workloads["services.a"].fallbacks);
            }
            (Err(own), Err(label)) => {
                assert_eq!(limit, dollars(alone()));
                let (own, label) = (&own.workloads[0], &label.workloads[0]);
                assert_eq!(own.address, "services.a");
                assert_eq!(own.conflict.len(), label.conflict.len());
                let at = |r: &rhumb::placement::Rejection| r.at.as_ref().unwrap().dotted();
                assert_eq!(at(&own.conflict[0]), "budget.per.services.a");
                assert_eq!(at(&label.conflict[0]), "budget.by_label.env.prod");
                let least = limit + 1;
                assert_eq!(
                    label.relaxations[0].change,
                    format!(
                        "a budget of {} USD a month (at most {} USD a month for env=prod)",
                        Money::from_micros(least * 1_000_000),
                        Money::from_micros(limit * 1_000_000)
                    )
                );
                assert_eq!(own.relaxations[0].cost_per_month, label.relaxations[0].cost_per_month);
            }
            (own, label) => panic!("{limit}: {:?} {:?}", own.is_ok(), label.is_ok()),
        }
    }
}

#[test]
fn a_budget_that_nothing_keeps_is_refused_with_the_least_that_works() {
    // A dollar less than two cheap machines cost; the other team has more than enough.
    let limit = dollars(alone().times(2));
    let budget = |x: i64| {
        format!("{{ by_label: {{ team: {{ x: {x} USD, y: 500000 USD }}, env: {{ test: 400000 USD }} }} }}")
    };
    let (_, _, refused) = solved(TEAMS, &budget(limit));
    let why = refused.unwrap_err();
    assert!(why.proven, "the teams count every workload");
    let why = &why.workloads[0];
    assert_eq!(why.address, "deployment");
    let conflict: Vec<String> = why.conflict.iter().map(|r| r.at.as_ref().unwrap().dotted()).collect();
    assert_eq!(conflict, ["budget.by_label.team.x"], "{:?}", why.conflict);
    assert!(
        why.conflict[0].reason.starts_with(&format!("a monthly budget for team=x of {limit} USD: ")),
        "{why:?}"
    );
    let changes: Vec<&str> = why.relaxations.iter().map(|r| r.change.as_str()).collect();
    assert_eq!(changes, [format!("a monthly budget for team=x of {} USD instead of {limit} USD", limit + 1)]);
    assert!(solved(TEAMS, &budget(limit + 1)).2.is_ok());
}

#[test]
fn a_quota_and_a_budget_in_conflict_are_both_named() {
    // The quota leaves a cheap machine to each of two; both teams want two for what two cheap ones cost.
    let both = ["team: x", "team: y", "team: x"];
    let (mut spec, world, _) = solved(both, "{ binds: ceiling }");
    let b = {
        let mut only = spec.clone();
        only.services.retain(|name, _| name == "b");
        line::place(&only, &world).unwrap().workloads["services.b"].cost.ceiling_per_month
    };
    let budget = format!(
        "{{ by_label: {{ team: {{ x: {} USD, y: {} USD }} }} }}",
        dollars(alone().times(2)) + 1,
        dollars(b) + 1
    );
    spec.budget = line::spec(&text(both, &budget), &catalog()).budget;
    let why = line::place(&spec, &world).unwrap_err();
    assert!(why.proven);
    let mut named: Vec<String> =
        why.workloads[0].conflict.iter().map(|r| r.at.as_ref().unwrap().dotted()).collect();
    named.sort();
    assert_eq!(named, ["budget.by_label.team.x", "budget.by_label.team.y", "providers.aws.quotas"]);
    let changes: Vec<&str> = why.workloads[0].relaxations.iter().map(|r| r.change.as_str()).collect();
    assert!(changes.iter().any(|c| c.contains("of 768 instead of 576")), "{changes:?}");
    assert_eq!(
        changes.iter().filter(|c| c.starts_with("a monthly budget for team=")).count(),
        2,
        "{changes:?}"
    );
}

#[test]
fn stress_judges_what_those_with_a_label_cost_together() {
    let (spec, world, placement) = tight();
    let asked = Stressing { worlds: 50, seed: 1, requests: 0, correlation: 1.0 };
    let found = explore::stress(spec, world, placement, &asked).unwrap();
    let label = Some(("team".to_owned(), "x".to_owned()));
    let budget = found.promises.iter().find(|p| p.what == What::Budget { label: label.clone() }).unwrap();
    assert_eq!((budget.workload.clone(), budget.held.held), (None, 50));
    assert!((budget.median - alone().usd() * 2.0).abs() < 1e-6, "{}", budget.median);
}

#[test]
fn another_budget_of_a_label_is_a_change_of_a_key() {
    let (spec, world, _) = tight();
    let edited = |text: &str| {
        let mut tree =
            json!({ "budget": { "by_label": { "team": { "x": "9 USD" }, "a.b/c": { "d.e": "9 USD" } } } });
        let changes = explore::changes(text, spec, &world.catalog).unwrap();
        changes.iter().for_each(|c| c.edit(&mut tree).unwrap());
        tree["budget"]["by_label"].clone()
    };
    assert_eq!(edited("budget.by_label.team.x=8 USD")["team"], json!({ "x": "8 USD" }));
    assert_eq!(edited("budget.by_label.team.y=8 USD")["team"], json!({ "x": "9 USD", "y": "8 USD" }));
    assert_eq!(edited("budget.by_label.a.b/c.d.e=8 USD")["a.b/c"], json!({ "d.e": "8 USD" }));
    assert_eq!(edited("budget.by_label.team.x=null")["team"], json!({}));
}

/// Two services of one team that spot machines are cheapest for. Its budget, on what they would cost on demand, lets one of the two have
/// them.
fn spot() -> &'static (Spec, World, Placement) {
    static SPOT: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    SPOT.get_or_init(|| {
        let catalog = line::on_sale(&[
            ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
            ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
            ("p5en.48xlarge", "eu-south-2", Purchase::Spot, 20_000_000),
        ]);
        let place = |budget: &str| {
            let text = text(["team: x", "team: y", "team: x"], budget).replace(
                "placement: { residency: [eu] }",
                "placement: { residency: [eu] }\n  purchase: { options: [on_demand], spot_max_share: 100% }",
            );
            let spec = line::spec(&text, &catalog);
            let world = line::world(&spec, &catalog);
            let placement = line::place(&spec, &world).unwrap();
            (spec, world, placement)
        };
        let free = place("{ binds: ceiling }").2.workloads["services.a"].cost.clone();
        assert!(free.expected_per_month < alone() && free.ceiling_per_month > alone());
        let limit = dollars(alone() + free.ceiling_per_month) + 1;
        place(&format!("{{ by_label: {{ team: {{ x: {limit} USD }} }} }}"))
    })
}

#[test]
fn a_dollar_more_of_a_team_s_budget_is_worth_what_spot_machines_save() {
    let (spec, world, placement) = spot();
    let on_spot = |a: &&&str| placement.workloads[**a].pools.iter().any(|p| p.uses_spot());
    assert_eq!(["services.a", "services.c"].iter().filter(on_spot).count(), 1);
    let c = placement.coupling.as_ref().unwrap();
    assert_eq!(c.lower_bound, c.optimum);
    let limit = of_team(c);
    assert!(limit.multiplier > 0 && limit.worth > Money::ZERO, "{limit:?}");
    assert_eq!(check::placement(spec, world, placement), vec![]);
    assert_eq!(check::prove(spec, world, placement).report.findings, vec![]);
    // What is paid for cannot be left out: the least of each would be more than it costs.
    let mut planted = placement.clone();
    planted.coupling.as_mut().unwrap().limits.retain(|l| l.label.is_none());
    let found = check::placement(spec, world, &planted);
    assert!(found.iter().any(|f| f.code == "certificate"), "{found:?}");
}

type Plant = fn(&mut Spec, &mut Placement);

fn limit(p: &mut Placement) -> &mut SharedLimit {
    let limits = &mut p.coupling.as_mut().unwrap().limits;
    limits.iter_mut().find(|l| l.label.is_some()).unwrap()
}

fn scope(value: &str) -> BudgetScope {
    BudgetScope::Label { key: "team".into(), value: value.into() }
}

/// Name, what is planted, and code and a part of the message of what must be found.
#[rustfmt::skip]
const FAULTS: &[(&str, Plant, &str, &str)] = &[
    ("less taken", |_, p| limit(p).taken -= 1.0, "joint", "what is taken of budget of team=x"),
    ("a member forgotten", |_, p| { let c = p.workloads["services.c"].cost.ceiling_per_month.usd(); limit(p).taken -= c; }, "joint", "what is taken of budget of team=x"),
    ("another limit", |_, p| limit(p).limit += 1.0, "joint", "the limit of budget of team=x"),
    ("the label of another team", |_, p| limit(p).label = Some(("team".into(), "y".into())), "joint", "budget of team=y is not limited by the spec"),
    ("the workload beside the label", |_, p| limit(p).workload = Some("services.a".into()), "joint", "is not limited by the spec"),
    ("who carries the label as well", |s, _| drop(s.services.get_mut("b").unwrap().labels.insert("team".into(), "x".into())), "joint", "the budget of team=x"),
    ("who carries it no more", |s, _| drop(s.services.get_mut("c").unwrap().labels.remove("team")), "joint", "what is taken of budget of team=x"),
    ("a lower budget", |s, _| s.budget.limits.get_mut(&scope("x")).unwrap().limit = Money::from_micros(1_000_000), "joint", "the budget of team=x"),
    ("a budget of the other team", |s, _| { let b = s.budget.limits[&scope("x")].clone(); s.budget.limits.insert(scope("y"), rhumb::spec::BudgetLimit { limit: Money::from_micros(1_000_000), ..b }); }, "joint", "the budget of team=y"),
    ("a dearer member", |_, p| p.workloads.get_mut("services.c").unwrap().cost.ceiling_per_month += Money::from_micros(2_000_000), "joint", "the budget of team=x"),
    ("a negative multiplier", |_, p| limit(p).multiplier = -1, "certificate", "the multiplier of budget of team=x"),
];

#[test]
fn each_planted_fault_is_found() {
    let (spec, world, placement) = tight();
    for (what, plant, code, message) in FAULTS {
        let (mut spec, mut planted) = (spec.clone(), placement.clone());
        plant(&mut spec, &mut planted);
        let found = check::placement(&spec, world, &planted);
        assert!(found.iter().any(|f| f.code == *code && f.message.contains(message)), "{what}: {found:#?}");
    }
}
