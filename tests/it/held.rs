//! Machines that are held: plans by hand, laws, planted faults, and what is said of them.

pub mod faults;
mod runs;
pub mod savings;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::explore;
use rhumb::placement::{HeldUse, Infeasible, Placement, Pool, World};
use rhumb::spec::Spec;
use rhumb_api::{Attr, Purchase};

use crate::extent::{is_many, one_in};
use crate::faults::told;
use crate::line;
use crate::oracle::worlds;

/// A detector that needs three machines of an L4 (1 / 3.3 ms = 303 a second each; two would be busier than all the time), of which four
/// are held.
pub const TEXT: &str = "
rhumb: 1
name: held
models:
  defect:
    measured:
      image: registry.example.com/defect:7
      variants:
        int8: { memory: 2GiB, time: { l4: 3.3ms } }
commitments:
  l4: { kind: reservation, cloud: aws, region: eu-central-1, instance_type: g6.xlarge, count: 4, until: 2027-06-30, cost: 0.4 USD/h }
services:
  inspect:
    model: defect
    traffic: { peak: 640 req/s, origins: { line: { at: DE } } }
    slo: { e2e: { p99: 120ms } }
";

/// The same again, of which two machines do.
const MORE: &str = "  grade:
    model: defect
    traffic: { peak: 350 req/s, origins: { line: { at: DE } } }
    slo: { e2e: { p99: 120ms } }
";

/// Machines of one L4: 0.5 USD/h in Frankfurt, 0.3 in Ireland.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("g6.xlarge", "eu-central-1", Purchase::OnDemand, 500_000),
        ("g6.xlarge", "eu-central-1", Purchase::Reserved1y, 450_000),
        ("g6.xlarge", "eu-central-1", Purchase::Spot, 200_000),
        ("g6.xlarge", "eu-west-1", Purchase::OnDemand, 300_000),
    ])
}

fn planned(text: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world);
    (spec, world, placement)
}

/// As [`planned`], with the proof that nothing is cheaper.
pub fn proven(text: &str) -> (Spec, World, Placement) {
    let (spec, world, placement) = planned(text);
    let placement = placement.unwrap_or_else(|why| panic!("{why:?}\n{text}"));
    let findings = check::placement(&spec, &world, &placement);
    assert!(findings.is_empty(), "\n{}\n{text}", told(&findings));
    let proof = check::prove(&spec, &world, &placement);
    assert!(proof.report.passed(), "\n{}\n{text}", told(&proof.report.findings));
    assert_eq!(proof.all.verdict(), "optimal", "{text}");
    (spec, world, placement)
}

/// Region, and machines by purchase.
fn pools(placement: &Placement, service: &str) -> Vec<(String, Vec<(Purchase, u32)>)> {
    let of = |p: &Pool| (p.region.clone(), p.machines.iter().map(|m| (m.purchase, m.count)).collect());
    placement.workloads[&format!("services.{service}")].pools.iter().map(of).collect()
}

fn cost(placement: &Placement) -> i64 {
    placement.workloads.values().map(|w| w.cost.expected_per_hour.micros()).sum()
}

fn held(placement: &Placement) -> &HeldUse {
    &placement.held[0]
}

const FRANKFURT: &str = "eu-central-1";
use Purchase::{Held, OnDemand};

#[test]
fn what_is_held_is_used_first_and_costs_nothing_more() {
    let (_, _, placement) = proven(TEXT);
    assert_eq!(pools(&placement, "inspect"), [(FRANKFURT.to_owned(), vec![(Held, 3)])]);
    let cost = &placement.workloads["services.inspect"].cost;
    assert_eq!(
        [cost.expected_per_month, cost.peak_per_month, cost.ceiling_per_month].map(|m| m.micros()),
        [0; 3]
    );
    let held = held(&placement);
    assert_eq!((held.count, held.used, held.hours, held.usable), (4, 3, 730, true));
    // 4 x 0.4 x 730, used or not; three at 0.5 on demand.
    assert_eq!(held.sunk_per_month().unwrap().micros(), 1_168_000_000);
    assert_eq!(held.rises_per_month.unwrap().micros(), 1_095_000_000);
    let unknown = proven(&TEXT.replace(", cost: 0.4 USD/h", "")).2;
    assert_eq!(unknown.held[0].sunk_per_month(), None, "what is not stated is not nothing");
}

#[test]
fn what_is_missing_is_bought_beside_it() {
    // Two held and one of 0.5 in Frankfurt are cheaper than three of 0.3 in Ireland; one held and two of 0.5 are not.
    let of = |count: &str| proven(&TEXT.replace("count: 4", count)).2;
    assert_eq!(pools(&of("count: 2"), "inspect"), [(FRANKFURT.to_owned(), vec![(OnDemand, 1), (Held, 2)])]);
    assert_eq!(cost(&of("count: 2")), 500_000);
    let one = of("count: 1");
    assert_eq!(pools(&one, "inspect"), [("eu-west-1".to_owned(), vec![(OnDemand, 3)])]);
    assert_eq!((held(&one).used, cost(&one)), (0, 900_000));
    // What is cheapest beside it is bought: a reservation, where one may be.
    let options = "    purchase: { options: [on_demand, reserved_1y] }\n";
    let beside = proven(&format!("{}{options}", TEXT.replace("count: 4", "count: 2"))).2;
    assert_eq!(
        pools(&beside, "inspect"),
        [(FRANKFURT.to_owned(), vec![(Purchase::Reserved1y, 1), (Held, 2)])]
    );
    // Where spot may be: three of 0.2, and one that may be lost, cost less than the missing one on demand.
    let spot = "    purchase: { spot_max_share: 100% }\n";
    let spot = proven(&format!("{}{spot}", TEXT.replace("count: 4", "count: 1"))).2;
    assert_eq!(pools(&spot, "inspect"), [(FRANKFURT.to_owned(), vec![(Purchase::Spot, 4)])]);
}

#[test]
fn it_is_worth_what_is_left_of_it() {
    // From 2026-11-25 to 2026-12-05 are 240 h; the other 490 of the month cost 0.5: 0.335617 an hour, rounded up. Three are 1.006851:
    // Ireland is cheaper. On 2026-12-15, after 480 h, 250 are left: 0.171233.
    let until = |day: &str| proven(&TEXT.replace("2027-06-30", day)).2;
    let early = until("2026-12-05");
    assert_eq!(pools(&early, "inspect"), [("eu-west-1".to_owned(), vec![(OnDemand, 3)])]);
    let later = until("2026-12-15");
    assert_eq!(pools(&later, "inspect"), [(FRANKFURT.to_owned(), vec![(Held, 3)])]);
    assert_eq!(cost(&later), 3 * 171_233);
    assert_eq!((held(&later).hours, held(&later).usable), (480, true));
    // Of three at 0.5 for the 480 h that it is held.
    assert_eq!(held(&later).rises_per_month.unwrap().micros(), 720_000_000);
    // 31 days are more than a month; 30 are ten hours less.
    assert_eq!(cost(&until("2026-12-26")), 0);
    assert_eq!(cost(&until("2026-12-25")), 3 * 6_850);
    for day in ["2026-11-25", "2025-01-01"] {
        let over = until(day);
        assert_eq!(cost(&over), 900_000);
        assert_eq!((held(&over).used, held(&over).hours, held(&over).usable), (0, 0, false));
    }
}

#[test]
fn where_nothing_is_sold_it_is_used_alone() {
    let without = |text: &str| {
        let mut catalog = catalog();
        let region = catalog.region(rhumb_api::Cloud::Aws, FRANKFURT).unwrap();
        catalog.offerings.retain(|o| o.region != region);
        let spec = line::spec(text, &catalog);
        let world = line::world(&spec, &catalog);
        let placement = line::place(&spec, &world).unwrap();
        let findings = check::placement(&spec, &world, &placement);
        assert!(findings.is_empty(), "\n{}", told(&findings));
        let proof = check::prove(&spec, &world, &placement);
        assert_eq!(proof.all.verdict(), "optimal", "{}", told(&proof.report.findings));
        placement
    };
    let alone = without(TEXT);
    assert_eq!(pools(&alone, "inspect"), [(FRANKFURT.to_owned(), vec![(Held, 3)])]);
    assert_eq!(held(&alone).rises_per_month, None, "what follows is not known");
    // Two are too few for all: they carry a half, and two of 0.3 in Ireland the other. What ends within the month is followed by nothing that
    // has a price.
    assert_eq!(cost(&without(&TEXT.replace("count: 4", "count: 2"))), 600_000);
    let ending = without(&TEXT.replace("2027-06-30", "2026-12-15"));
    assert_eq!((cost(&ending), held(&ending).usable), (900_000, false));
}

#[test]
fn services_share_the_stock() {
    // Five machines for both and four held. The fifth is one of 0.3 in Ireland: of the 350 a second half is there, and half on one that is
    // held. (In Frankfurt it is 0.5.)
    let (_, _, both) = proven(&format!("{TEXT}{MORE}"));
    assert_eq!(cost(&both), 300_000);
    assert_eq!(held(&both).used, 4);
    let coupling = both.coupling.as_ref().expect("both would have all");
    assert_eq!(coupling.limits[0].code.as_deref(), Some("held:g6.xlarge"));
    // One more saves what that costs, by solving again.
    let more = proven(&format!("{TEXT}{MORE}").replace("count: 4", "count: 5")).2;
    assert_eq!(cost(&more), 0);
    // Whoever may not use it leaves it to the other.
    let not = format!("{TEXT}    purchase: {{ commitments: none }}\n{MORE}");
    let (_, _, not) = proven(&not);
    assert_eq!(pools(&not, "inspect"), [("eu-west-1".to_owned(), vec![(OnDemand, 3)])]);
    assert_eq!(pools(&not, "grade"), [(FRANKFURT.to_owned(), vec![(Held, 2)])]);
}

#[test]
fn a_budget_counts_what_is_bought_alone() {
    // One machine of 0.5 for 730 hours.
    let budget =
        |usd: &str| format!("{}budget: {{ monthly: {usd} USD }}\n", TEXT.replace("count: 4", "count: 2"));
    assert_eq!(cost(&proven(&budget("365")).2), 500_000);
    assert!(planned(&budget("364")).2.is_err());
}

#[test]
fn quotas_count_it_as_a_machine_on_demand() {
    // Four vCPUs each: twelve are three.
    let quota = |n: u32| {
        format!("{TEXT}providers: {{ aws: {{ quotas: {{ eu-central-1: {{ L-DB2E81BA: {n} }} }} }} }}\n")
    };
    assert_eq!(pools(&proven(&quota(12)).2, "inspect"), [(FRANKFURT.to_owned(), vec![(Held, 3)])]);
    // Two held carry a half, and two of 0.3 in Ireland the other: 0.6, where three there are 0.9.
    let two = |p: Purchase, region: &str| (region.to_owned(), vec![(p, 2)]);
    assert_eq!(pools(&proven(&quota(11)).2, "inspect"), [two(Held, FRANKFURT), two(OnDemand, "eu-west-1")]);
}

#[test]
fn pools_that_follow_the_day_use_it_in_every_hour() {
    // At night 100 a second are one machine. With two held the third runs for the twelve hours of the peak, and as long as it takes to start.
    let daily = "daily: [100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%], time_zone: UTC";
    let text = TEXT.replace("peak: 640 req/s", &format!("peak: 640 req/s, {daily}"));
    let text = format!("{}    scaling: {{ mode: horizontal }}\n", text.replace("count: 4", "count: 2"));
    let (_, _, placement) = proven(&text);
    let pool = &placement.workloads["services.inspect"].pools[0];
    let following = pool.following.as_ref().unwrap();
    let counts: Vec<(u32, Vec<u32>)> =
        following.classes.iter().map(|c| (c.share, c.machines.clone())).collect();
    assert_eq!(counts, [(150_000, vec![0, 1]), (1_000_000, vec![1, 2])]);
    let peak = i64::from(following.classes[1].seconds);
    assert_eq!(peak, 12 * 3600 + i64::from(following.start_up_s));
    assert_eq!(cost(&placement), (500_000 * peak + 43_200) / 86_400);
    assert_eq!(pool.held_seconds(), 7 * (86_400 + peak));
}

/// What what-if makes of a change: the cost, and how many are held.
fn changed(change: &str) -> (i64, u32) {
    let (mut spec, mut world, _) = planned(&format!("{TEXT}{MORE}"));
    let changes = explore::changes(change, &spec, &world.catalog).unwrap_or_else(|why| panic!("{why}"));
    changes.iter().for_each(|c| c.apply(&mut spec, &mut world).unwrap());
    let placement = line::place(&spec, &world).unwrap();
    (cost(&placement), spec.held["l4"].count)
}

#[test]
fn other_worlds_have_more_or_less_of_it() {
    assert_eq!(changed("quota:aws/eu-central-1/held:g6.xlarge=+1"), (0, 5));
    assert_eq!(changed("quota:aws/eu-central-1/held:g6.xlarge=0"), (1_500_000, 0));
    assert_eq!(changed("without:held"), (1_500_000, 4));
    let (mut spec, mut world, _) = planned(TEXT);
    let less = explore::changes("quota:aws/eu-central-1/held:g6.xlarge=-9", &spec, &world.catalog).unwrap();
    assert!(less[0].apply(&mut spec, &mut world).unwrap_err().contains("would hold -5"));
}

#[test]
fn fallbacks_leave_it_to_the_plan() {
    let (_, _, placement) = proven(TEXT);
    let list = &placement.workloads["services.inspect"].fallbacks[0].list;
    assert!(!list.is_empty());
    let held = |p: &Pool| p.machines.iter().any(|m| m.purchase == Held);
    assert!(list.iter().all(|f| !held(&f.pool) && f.pool.region != FRANKFURT), "{list:?}");
}

#[test]
fn fleets_name_what_they_are_started_in() {
    let text = TEXT.replace("cost: 0.4 USD/h", "id: cr-0a1b2c3d4e5f67890").replace("count: 4", "count: 2");
    let (spec, _, placement) = proven(&text);
    let graph = rhumb::graph::compile(&spec).unwrap().bind(&spec, &placement);
    let fleet = |purchase: &str| {
        let addr = format!("services.inspect/aws/eu-central-1/g6.xlarge/{purchase}");
        graph.get(&addr).unwrap_or_else(|| panic!("no {addr}")).attributes.clone()
    };
    let told = |purchase: &str, key: &str| match fleet(purchase).get(key) {
        Some(Attr::Text(text)) => Some(text.clone()),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(told("held", "commitment").as_deref(), Some("l4"));
    assert_eq!(told("held", "commitment_kind").as_deref(), Some("reservation"));
    assert_eq!(told("held", "commitment_id").as_deref(), Some("cr-0a1b2c3d4e5f67890"));
    assert_eq!(told("on_demand", "commitment"), None);
    let unnamed = proven(TEXT).2;
    let graph = rhumb::graph::compile(&spec).unwrap().bind(&proven(TEXT).0, &unnamed);
    let held = graph.get("services.inspect/aws/eu-central-1/g6.xlarge/held").unwrap();
    assert!(!held.attributes.contains_key("commitment_id"), "no id is made up");
}

/// Random worlds with one service: one more held never costs more, none is as if nothing were stated, and what nobody may use changes
/// nothing.
#[test]
fn laws_of_what_is_held() {
    let base = Catalog::embedded();
    let (mut placed, mut less) = (0, 0);
    let part = one_in(10, 1);
    for seed in part.seeds(1_000..1_120) {
        let (spec, world) = worlds::case(seed, &base);
        if spec.services.is_empty() {
            continue;
        }
        let with = |change: &dyn Fn(&mut Spec)| {
            let (mut spec, mut world) = (spec.clone(), world.clone());
            worlds::hold(seed, &mut spec, &mut world);
            change(&mut spec);
            spec.lower_held();
            world.hold(&spec).unwrap();
            (line::place(&spec, &world).ok(), world)
        };
        let all = |n: u32| move |spec: &mut Spec| spec.held.values_mut().for_each(|h| h.count = n);
        let (none, bare) = with(&all(0));
        let stated = line::place(&spec, &World { catalog: bare.catalog.clone(), ..world.clone() }).ok();
        let workloads = |p: &Option<Placement>| p.as_ref().map(|p| p.workloads.clone());
        assert_eq!(workloads(&none), workloads(&stated), "world {seed}: none held");
        let unused = |spec: &mut Spec| spec.services.values_mut().for_each(|s| s.purchase.held = false);
        assert_eq!(workloads(&with(&unused).0), workloads(&stated), "world {seed}: none may be used");
        let mut before = none.as_ref().map(cost);
        for n in 1..4 {
            let now = with(&all(n)).0.as_ref().map(cost);
            // Rounding of a few products.
            assert!(
                before.is_none_or(|before| now.is_some_and(|now| now <= before + 8)),
                "world {seed}: {n} held cost {now:?}, fewer {before:?}"
            );
            less += u64::from(now < before);
            placed += u64::from(now.is_some());
            before = now;
        }
    }
    assert!(placed > part.of(100) && (less > 15 || !is_many()), "{placed} {less}");
}
