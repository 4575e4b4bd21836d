//! What everything on shared machines moves to where these are refused: by hand, and faults that the checker must find.

use std::sync::OnceLock;

use rhumb::check;
use rhumb::placement::{FleetFallback, Placement, SharedFleet, World};
use rhumb::spec::{BudgetBinds, BudgetLimit, BudgetScope, Spec};
use rhumb_api::{Cloud, Money, ResourceAddr};

use crate::faults::{self, Planted};
use crate::sharing::{SHARED, placed, text};

const FLEET: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand";
const NORTH: &str = "machines.shared/aws/eu-north-1/p5.48xlarge/on_demand";

fn case() -> &'static (Spec, World, Placement) {
    static CASE: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    CASE.get_or_init(|| {
        let more = "providers:\n  aws: { quotas: { eu-west-1: { L-417A185B: 1000 }, eu-north-1: { L-417A185B: 1000 } } }\n";
        let (spec, world, found) = placed(&text(SHARED, ", survive: { machine: 1 }", more));
        (spec, world, found.unwrap())
    })
}

fn told(fleet: &SharedFleet) -> Vec<(&str, u32, i64)> {
    let of = |f: &'_ FleetFallback| (f.fleet.count, f.more_per_month.micros() / 730);
    fleet.fallbacks.iter().map(|f| (f.fleet.addr.as_str(), of(f).0, of(f).1)).collect()
}

/// Two machines at 57.00 USD an hour, as `c` outlives one. Of the others two do as well: 58.90 in the north, 61.00 beside.
#[test]
fn everything_on_shared_machines_moves_together() {
    let (spec, world, placement) = case();
    assert_eq!(check::placement(spec, world, placement), vec![]);
    let [fleet] = &placement.fleets[..] else { panic!("{:?}", placement.fleets) };
    let west = "machines.shared/aws/eu-west-1/p5.48xlarge/on_demand";
    assert_eq!(told(fleet), [(NORTH, 2, 2 * 1_900_000), (west, 2, 2 * 4_000_000)]);
    for fallback in &fleet.fallbacks {
        let moved: Vec<&str> = fallback.moved.iter().map(|m| m.workload.as_str()).collect();
        assert_eq!(moved, fleet.pools.iter().map(|p| p.workload.as_str()).collect::<Vec<_>>());
        assert!(fallback.moved.iter().all(|m| m.pool.accelerator.as_deref() == Some("h100-sxm-80gb")));
    }
    let caveat = fleet.caveats.iter().find(|c| c.contains("fallback")).unwrap();
    assert_eq!(
        caveat,
        "2 of 3 fallbacks that all its pools can move to; other offers: nothing else is on sale"
    );
    // No workload has a list for what is not its own.
    assert!(placement.workloads.values().all(|w| w.fallbacks.is_empty()));
}

/// What a budget or a quota leaves no room for is none, and what runs on machines of its own has its own list.
#[test]
fn limits_hold_for_what_moves() {
    // 57.00 x 2 x 730 = 83,220 USD a month; the north is 2,774 more.
    let (_, _, found) =
        placed(&text(SHARED, ", survive: { machine: 1 }", "budget: { monthly: 85993 USD }\n"));
    let fleet = &found.unwrap().fleets[0];
    assert!(fleet.fallbacks.is_empty(), "{:?}", told(fleet));
    assert!(fleet.caveats.iter().any(|c| c.contains("no fallback") && c.contains("2 over the budget")));
    // 192 vCPUs a machine, two of them.
    let short = "providers:\n  aws: { quotas: { eu-west-1: { L-417A185B: 1000 }, eu-north-1: { L-417A185B: 383 } } }\n";
    let (spec, world, found) = placed(&text(SHARED, ", survive: { machine: 1 }", short));
    let found = found.unwrap();
    assert_eq!(told(&found.fleets[0]).len(), 1);
    assert!(found.fleets[0].caveats.iter().any(|c| c.contains("1 over a declared quota")));
    assert_eq!(check::placement(&spec, &world, &found), vec![]);
    let (spec, world, found) = placed(&text(SHARED, ", share_machines: never", ""));
    let found = found.unwrap();
    assert_eq!(found.workloads["services.c"].fallbacks.len(), 1);
    assert_eq!(found.workloads["services.c"].fallbacks[0].list.len(), 2);
    assert_eq!(check::placement(&spec, &world, &found), vec![]);
}

fn first(p: &mut Placement) -> &mut FleetFallback {
    &mut p.fleets[0].fallbacks[0]
}

fn dollar() -> Money {
    Money::from_micros(1_000_000)
}

const FIRST: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand, fallback 1";
const SECOND: &str = "machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand, fallback 2";

#[rustfmt::skip]
const FAULTS: &[Planted] = &[
    ("another difference", |_, p| first(p).more_per_month += dollar(), "fallback", FIRST, "what it costs more"),
    ("another price", |_, p| first(p).fleet.price += dollar(), "price", FIRST, "price"),
    ("a machine fewer", |_, p| { let f = first(p); f.fleet.count = 1; f.fleet.zones = 1; }, "packing", FIRST, "number of machines"),
    ("a pool that stays", |_, p| { first(p).moved.pop(); }, "fallback", FIRST, "the pools that move"),
    ("a replica fewer", |_, p| {
        let f = first(p);
        let k = f.moved.iter().position(|m| m.workload == "services.c").unwrap();
        f.moved[k].pool.replicas -= 1;
    }, "failure", FIRST, "does not survive"),
    ("half of the memory", |_, p| first(p).moved[0].pool.memory.weights *= 0.5, "memory", FIRST, "memory for weights is wrong"),
    ("another way to buy", |_, p| first(p).fleet.purchase = rhumb_api::Purchase::Spot, "purchase", FIRST, "spot machines are not shared"),
    ("the machines themselves", |_, p| first(p).fleet = SharedFleet { fallbacks: Vec::new(), ..p.fleets[0].clone() }, "fallback", FLEET, "needs what was refused"),
    ("the same twice", |_, p| { let f = first(p).clone(); p.fleets[0].fallbacks.insert(0, f); }, "fallback", FLEET, "needs what was refused"),
    ("out of order", |_, p| p.fleets[0].fallbacks.swap(0, 1), "fallback", FLEET, "not in order"),
    ("five of them", |_, p| { let f = first(p).clone(); p.fleets[0].fallbacks.extend([f.clone(), f.clone(), f]); }, "fallback", FLEET, "too many"),
    ("one of its own", |_, p| { let f = first(p).clone(); p.fleets[0].fallbacks[1].fleet.fallbacks.push(f); }, "fallback", FLEET, "a fallback of a fallback"),
    ("none, without a word", |_, p| { p.fleets[0].fallbacks.clear(); p.fleets[0].caveats.clear(); }, "fallback", FLEET, "too few fallbacks"),
    ("data outside of its residency", |s, _| {
        s.services.get_mut("a").unwrap().placement.residency = vec!["ie".into()];
    }, "residency", FIRST, "data may not be there"),
    ("over the budget", |s, p| {
        let now: Money = p.workloads.values().map(|w| w.cost.expected_per_month).sum();
        let limit = now + p.fleets[0].fallbacks[1].more_per_month - dollar();
        s.budget.binds = BudgetBinds::Expected;
        s.budget.limits.insert(BudgetScope::All, BudgetLimit { limit, at: Default::default() });
    }, "joint", SECOND, "the budget of all workloads together"),
    ("over a quota", |s, _| {
        let quotas = &mut s.providers.get_mut(&Cloud::Aws).unwrap().quotas;
        quotas.get_mut("eu-north-1").unwrap().insert("L-417A185B".into(), 383.0);
    }, "quota", FIRST, "over quota L-417A185B"),
    ("a name that is not its place", |_, p| first(p).fleet.addr = ResourceAddr::parse("machines.shared/aws/eu-north-1/p5.48xlarge/spot").unwrap(), "address", FIRST, "the address of shared machines"),
];

#[test]
fn every_fault_of_moved_machines_is_found() {
    faults::all_are_found_at(case(), FAULTS);
}
