//! What may stand in for pools: on a small world derived by hand, and faults that the checker must find.

use std::sync::OnceLock;

use rhumb::check;
use rhumb::placement::{Fallback, Placement, WorkloadPlacement, World};
use rhumb::spec::{BudgetLimit, BudgetScope, Spec};
use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};

use crate::faults::{self, Planted};
use crate::line;

const TEXT: &str = "rhumb: 1
name: refused
models:
  large:
    source: meta-llama/Llama-3.3-70B-Instruct
    variants: { bf16: { quantization: bf16 } }
defaults:
  placement: { residency: [eu] }
services:
  b:
    model: large
    traffic:
      peak: 4 req/s
      input_tokens: { p50: 1200, p95: 7000 }
      output_tokens: { p50: 200, p95: 700 }
      origins: { ie: { at: IE, share: 100% } }
    slo: { ttft: { p95: 2s }, tpot: { p95: 60ms } }
    survive: { machine: 1 }
    purchase: { spot_max_share: 50% }
batches:
  night:
    model: large
    items: 400k
    input_tokens: 350
    output_tokens: 20
    schedule: \"0 1 * * *\"
    deadline: 6h
providers:
  aws: { quotas: { eu-west-1: { L-417A185B: 10000 } } }
";

const P5: i64 = 58_900_000;
const P5_SPOT: i64 = 25_000_000;
const P5EN: i64 = 68_400_000;

/// One type with spot in the north, and the same and another elsewhere; what is cheapest of all lies outside of the Union.
fn planned(offers: &[(&str, &str, Purchase, i64)]) -> (Spec, World, Placement) {
    let catalog = line::on_sale(offers);
    let spec = line::spec(TEXT, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    (spec, world, placement)
}

fn case() -> &'static (Spec, World, Placement) {
    static CASE: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    CASE.get_or_init(|| {
        planned(&[
            ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, P5),
            ("p5.48xlarge", "eu-north-1", Purchase::Spot, P5_SPOT),
            ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, P5 + 5_000_000),
            ("p5.48xlarge", "us-east-1", Purchase::OnDemand, 31_000_000),
            ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, P5EN),
        ])
    })
}

fn b(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("services.b").unwrap()
}

fn told(w: &WorkloadPlacement) -> Vec<(String, String, bool)> {
    let of = |f: &Fallback| (f.pool.region.clone(), f.pool.instance_type.clone(), f.spot());
    w.fallbacks[0].list.iter().map(of).collect()
}

#[test]
fn a_pool_of_spot_falls_back_on_itself_and_then_on_other_offers() {
    let (spec, world, placement) = case();
    assert_eq!(check::placement(spec, world, placement), vec![]);
    let placed = &placement.workloads["services.b"];
    assert_eq!(placed.pools[0].region, "eu-north-1");
    assert!(placed.pools[0].uses_spot(), "{:?}", placed.pools[0].machines);
    let names = |region: &str, kind: &str| (region.to_owned(), kind.to_owned(), false);
    let wanted = [
        names("eu-north-1", "p5.48xlarge"),
        names("eu-west-1", "p5.48xlarge"),
        names("eu-south-2", "p5en.48xlarge"),
    ];
    assert_eq!(told(placed), wanted, "not the United States, where data may not be");
    // Two machines do where one may fail, spot or not: the same transfers, another price for one of them.
    let first = &placed.fallbacks[0].list[0];
    assert_eq!(first.pool.machines.len(), 1);
    assert_eq!(first.pool.machines[0].count, placed.pools[0].machines.iter().map(|m| m.count).sum::<u32>());
    let spot = i64::from(placed.pools[0].machines[1].count);
    assert_eq!(first.more_per_month.micros(), spot * (P5 - P5_SPOT) * 730);
    // With all spot bought on demand it was as dear before.
    assert_eq!(first.ceiling_per_month, placed.cost.ceiling_per_month);
    // A batch that may not use spot: where its type is out of stock, spot of it is as well.
    let night = &placement.workloads["batches.night"];
    assert!(night.fallbacks[0].list.iter().all(|f| f.pool.offers() != night.pools[0].offers()));
    assert!(night.fallbacks[0].list.iter().all(|f| f.run.as_ref().is_some_and(|r| r.hours <= 6.0)));
}

#[test]
fn fewer_than_wanted_are_told_with_the_reason() {
    let (spec, world, placement) = planned(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, P5),
        ("p5.48xlarge", "us-east-1", Purchase::OnDemand, 31_000_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, P5EN),
    ]);
    assert_eq!(check::placement(&spec, &world, &placement), vec![]);
    let placed = &placement.workloads["services.b"];
    assert_eq!(told(placed), [("eu-south-2".to_owned(), "p5en.48xlarge".to_owned(), false)]);
    let caveat = placed.caveats.iter().find(|c| c.contains("fallback")).unwrap();
    assert_eq!(
        caveat,
        "aws/eu-north-1/p5.48xlarge: 1 of 3 fallbacks; other offers: 1 forbidden by a rule of the spec"
    );
}

/// With a budget that the plan just keeps, what costs more is no fallback.
#[test]
fn what_breaks_a_budget_or_a_quota_is_no_fallback() {
    let (spec, world, placement) = case();
    let now = placement.workloads.values().map(|w| w.cost.expected_per_month).sum::<Money>();
    let list = |spec: &Spec| {
        let placement = line::place(spec, world).unwrap();
        assert_eq!(check::placement(spec, world, &placement), vec![]);
        (told(&placement.workloads["services.b"]), placement.workloads["services.b"].caveats.clone())
    };
    let mut tight = spec.clone();
    let second = placement.workloads["services.b"].fallbacks[0].list[1].more_per_month;
    tight.budget.binds = rhumb::spec::BudgetBinds::Expected;
    tight.budget.limits.insert(BudgetScope::All, BudgetLimit { limit: now + second, at: Default::default() });
    assert_eq!(list(&tight).0, told(&placement.workloads["services.b"])[..2]);
    tight.budget.limits.insert(BudgetScope::All, BudgetLimit { limit: now, at: Default::default() });
    let (none, caveats) = list(&tight);
    assert_eq!(none, []);
    assert!(
        caveats.iter().any(|c| c.contains("no fallback; other offers: ") && c.contains("over the budget"))
    );
    // 192 vCPUs a machine: room for none.
    let mut short = spec.clone();
    let quotas = &mut short.providers.get_mut(&Cloud::Aws).unwrap().quotas;
    quotas.get_mut("eu-west-1").unwrap().insert("L-417A185B".into(), 191.0);
    assert!(list(&short).0.iter().all(|(region, ..)| region != "eu-west-1"));
}

fn dollar() -> Money {
    Money::from_micros(1_000_000)
}

fn first(p: &mut Placement) -> &mut Fallback {
    &mut b(p).fallbacks[0].list[0]
}

const POOL: &str = "services.b/aws/eu-north-1/p5.48xlarge";
const FIRST: &str = "services.b/aws/eu-north-1/p5.48xlarge, fallback 1";
const SECOND: &str = "services.b/aws/eu-north-1/p5.48xlarge, fallback 2";

#[rustfmt::skip]
const FAULTS: &[Planted] = &[
    ("another price", |_, p| first(p).pool.machines[0].price += dollar(), "price", FIRST, "the price is wrong"),
    ("a machine fewer", |_, p| { let pool = &mut first(p).pool; pool.machines[0].count -= 1; pool.replicas -= pool.replicas_per_machine; }, "failure", FIRST, "does not survive"),
    ("a machine fewer, with its replicas", |_, p| first(p).pool.machines[0].count -= 1, "replicas", FIRST, "machines make up another number"),
    ("data outside of its residency", |_, p| {
        let f = &mut b(p).fallbacks[0].list[1];
        f.pool.region = "us-east-1".into();
        f.pool.addr = ResourceAddr::parse("services.b/aws/us-east-1/p5.48xlarge").unwrap();
    }, "residency", SECOND, "data may not be there"),
    ("no room", |_, p| first(p).pool.memory.weights *= 0.5, "memory", FIRST, "memory for weights is wrong"),
    ("a stricter objective", |s, _| s.services.get_mut("b").unwrap().slo.tpot[0].limit_ms = 5.0, "capacity", SECOND, "does not carry its peak"),
    ("another capacity", |_, p| first(p).pool.capacity *= 2.0, "capacity", FIRST, "the capacity is wrong"),
    ("the pool itself", |_, p| first(p).pool = b(p).pools[0].clone(), "fallback", POOL, "needs what was refused"),
    ("the same twice", |_, p| { let f = first(p).clone(); b(p).fallbacks[0].list.insert(0, f); }, "fallback", POOL, "needs the same offers"),
    ("out of order", |_, p| b(p).fallbacks[0].list.swap(0, 1), "fallback", POOL, "not in order"),
    ("another difference", |_, p| first(p).more_per_month += dollar(), "fallback", FIRST, "what it costs more"),
    ("another ceiling", |_, p| first(p).ceiling_per_month += dollar(), "ceiling", FIRST, "the ceiling of a month"),
    ("over the workload's budget", |s, p| {
        let w = b(p);
        let limit = w.cost.expected_per_month + w.fallbacks[0].list[1].more_per_month - dollar();
        s.budget.binds = rhumb::spec::BudgetBinds::Expected;
        s.budget.limits.insert(BudgetScope::Workload("services.b".into()), BudgetLimit { limit, at: Default::default() });
    }, "budget", SECOND, "over its workload's budget"),
    ("over the budget", |s, p| {
        let now: Money = p.workloads.values().map(|w| w.cost.expected_per_month).sum();
        let limit = now + b(p).fallbacks[0].list[1].more_per_month - dollar();
        s.budget.binds = rhumb::spec::BudgetBinds::Expected;
        s.budget.limits.insert(BudgetScope::All, BudgetLimit { limit, at: Default::default() });
    }, "budget", SECOND, "over the budget"),
    ("over its label's budget", |s, p| {
        s.services.get_mut("b").unwrap().labels.insert("team".into(), "x".into());
        let w = b(p);
        let limit = w.cost.expected_per_month + w.fallbacks[0].list[1].more_per_month - dollar();
        s.budget.binds = rhumb::spec::BudgetBinds::Expected;
        let scope = BudgetScope::Label { key: "team".into(), value: "x".into() };
        s.budget.limits.insert(scope, BudgetLimit { limit, at: Default::default() });
    }, "budget", SECOND, "over the budget of team=x"),
    ("over a quota", |s, _| {
        let quotas = &mut s.providers.get_mut(&Cloud::Aws).unwrap().quotas;
        quotas.get_mut("eu-west-1").unwrap().insert("L-417A185B".into(), 200.0);
    }, "quota", SECOND, "over quota L-417A185B"),
    ("more replicas than allowed", |s, p| {
        let most = b(p).pools[0].replicas;
        s.services.get_mut("b").unwrap().scaling.max_replicas = Some(most);
        let pool = &mut first(p).pool;
        pool.machines[0].count += 1;
        pool.replicas += pool.replicas_per_machine;
    }, "replicas", FIRST, "out of bounds"),
    ("none, without a word", |_, p| b(p).fallbacks[0].list.clear(), "fallback", POOL, "too few fallbacks"),
    ("nothing of a pool", |_, p| b(p).fallbacks.clear(), "fallback", "services.b", "the pools that fallbacks are told for"),
    ("a batch that ends too late", |_, p| {
        let f = &mut p.workloads.get_mut("batches.night").unwrap().fallbacks[0].list[0];
        f.run.as_mut().unwrap().hours /= 2.0;
    }, "run", "batches.night/aws/eu-south-2/p5en.48xlarge, fallback 1", "the hours of a run"),
];

#[test]
fn every_fault_of_a_fallback_is_found() {
    faults::all_are_found_at(case(), FAULTS);
}
