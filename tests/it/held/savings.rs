//! Savings plans: plans by hand, laws, planted faults, and what is said of them.

use rhumb::catalog::Catalog;
use rhumb::explore;
use rhumb::placement::{Placement, Pool, SavingsUse, World};
use rhumb::spec::{AllowDeny, Held, HeldKind, PlanRate, SavingsPlan, Spec};
use rhumb_api::{Money, Purchase};

use super::{FRANKFURT, MORE, cost, planned, pools, proven};
use crate::extent::{one_in, pick};
use crate::faults::{self, Fault};
use crate::line;
use crate::oracle::worlds;
use Purchase::{Held as Covered, OnDemand};

/// 28 % less than 0.5 USD/h are 0.36: of 0.9 two machines, and 0.18 is left.
const PLAN: &str = "compute: { kind: savings-plan, cloud: aws, spend: 0.9 USD/h, until: 2027-06-30, rates: [{ discount: 28%, regions: [eu-central-1] }] }";

/// [`super::TEXT`] with that in place of its reservation.
fn text() -> String {
    let line = super::TEXT.lines().find(|l| l.contains("kind: reservation")).unwrap();
    super::TEXT.replace(line, &format!("  {PLAN}"))
}

fn plan(placement: &Placement) -> &SavingsUse {
    &placement.savings[0]
}

fn micros(of: Money) -> i64 {
    of.micros()
}

#[test]
fn whole_machines_are_covered_up_to_what_is_promised() {
    let (_, _, placement) = proven(&text());
    // The third costs 0.5, which is less than three of 0.3 in Ireland.
    assert_eq!(pools(&placement, "inspect"), [(FRANKFURT.to_owned(), vec![(OnDemand, 1), (Covered, 2)])]);
    assert_eq!(cost(&placement), 500_000);
    let of = plan(&placement);
    assert_eq!(
        (of.machines(), micros(of.used()), micros(of.unused()), micros(of.mean)),
        (2, 720_000, 180_000, 720_000)
    );
    assert_eq!(micros(of.covered[0].rate), 360_000);
    // Used or not 0.9 x 730; two at 0.5 on demand.
    assert_eq!((micros(of.sunk_per_month()), micros(of.rises_per_month)), (657_000_000, 730_000_000));
    // Three of 0.36 are 1.08, and not a micro-dollar less.
    let spend = |usd: &str| proven(&text().replace("0.9 USD/h", usd)).2;
    let full = spend("1.08 USD/h");
    assert_eq!((cost(&full), micros(plan(&full).unused())), (0, 0));
    let short = spend("1.079999 USD/h");
    assert_eq!((cost(&short), micros(plan(&short).unused())), (500_000, 359_999));
    // One alone and two of 0.5 are no cheaper than three of 0.3.
    let little = spend("0.4 USD/h");
    assert_eq!(pools(&little, "inspect"), [("eu-west-1".to_owned(), vec![(OnDemand, 3)])]);
    assert_eq!(
        (cost(&little), plan(&little).machines(), micros(plan(&little).unused())),
        (900_000, 0, 400_000)
    );
}

#[test]
fn a_machine_takes_less_where_it_costs_less() {
    // In Ireland 28 % less than 0.3 is 0.216: three are 0.648.
    let both = proven(&text().replace(", regions: [eu-central-1]", "")).2;
    assert_eq!(pools(&both, "inspect"), [("eu-west-1".to_owned(), vec![(Covered, 3)])]);
    assert_eq!((cost(&both), micros(plan(&both).used())), (0, 648_000));
    // The first rate that fits counts: at 10 % less it is 0.27, of which 0.9 pays for three; at none 0.3.
    let first =
        text().replace("{ discount: 28%", "{ discount: 10%, regions: [aws/eu-west-1] }, { discount: 28%");
    assert_eq!(micros(plan(&proven(&first).2).used()), 810_000);
    let none = first.replace("10%", "0%");
    assert_eq!(
        (micros(plan(&proven(&none).2).used()), micros(plan(&proven(&none).2).unused())),
        (900_000, 0)
    );
}

#[test]
fn rates_are_of_list_prices_and_what_follows_is_not() {
    // Half off on demand: 0.25 in Frankfurt. The plan takes 0.36 of it all the same.
    let half = format!("{}providers: {{ aws: {{ discount: 50% }} }}\n", text());
    let (_, _, placement) = proven(&half);
    assert_eq!(pools(&placement, "inspect"), [(FRANKFURT.to_owned(), vec![(OnDemand, 1), (Covered, 2)])]);
    assert_eq!((cost(&placement), micros(plan(&placement).used())), (250_000, 720_000));
    assert_eq!(micros(plan(&placement).rises_per_month), 365_000_000);
}

#[test]
fn it_is_worth_what_is_left_of_it() {
    // 480 h of 730: the other 250 at 0.5 are 0.171233, rounded up. Two and one of 0.5 are 0.842466, three of 0.3 more.
    let later = proven(&text().replace("2027-06-30", "2026-12-15")).2;
    assert_eq!((cost(&later), plan(&later).hours), (2 * 171_233 + 500_000, 480));
    assert_eq!(micros(plan(&later).rises_per_month), 480_000_000);
    for day in ["2026-11-25", "2025-01-01"] {
        let over = proven(&text().replace("2027-06-30", day)).2;
        assert_eq!((cost(&over), plan(&over).machines(), plan(&over).hours), (900_000, 0, 0));
    }
}

#[test]
fn services_share_it_and_what_more_is_worth_is_told() {
    // Five machines for both, of which two are covered: the second service has them, and three of 0.3 are in Ireland.
    let (spec, world, both) = planned(&format!("{}{MORE}", text()));
    let both = both.unwrap();
    let findings = rhumb::check::placement(&spec, &world, &both);
    assert!(findings.is_empty(), "{}", faults::told(&findings));
    assert_eq!(cost(&both), 900_000);
    let limits = &both.coupling.as_ref().expect("both would have all").limits;
    let of = limits.iter().find(|l| l.code.as_deref() == Some("held:compute")).unwrap();
    assert_eq!((of.region.as_deref(), of.limit, of.taken), (Some("global"), 0.9, 0.72));
    assert!(of.worth > Money::ZERO);
    // Five of 0.36.
    assert_eq!(cost(&proven(&format!("{}{MORE}", text()).replace("0.9 USD/h", "1.8 USD/h")).2), 0);
}

#[test]
fn a_reservation_and_two_plans_of_one_type_are_used_side_by_side() {
    // Two are reserved, and a second plan covers one machine: three and two of one type, each pool of one commitment.
    let second = PLAN.replace("compute:", "second:").replace("0.9 USD/h", "1.2 USD/h");
    let reserved = "l4: { kind: reservation, cloud: aws, region: eu-central-1, instance_type: g6.xlarge, count: 2, until: 2027-06-30 }";
    let text = format!("{}{MORE}", text()).replace(PLAN, &format!("{reserved}\n  {second}"));
    let (_, _, placement) = proven(&text);
    assert_eq!(cost(&placement), 0);
    let of = |name: &str| placement.workloads[name].pools[0].commitment().map(str::to_owned);
    assert_eq!(
        (of("services.grade").as_deref(), of("services.inspect").as_deref()),
        (Some("l4"), Some("second"))
    );
    assert_eq!((placement.held[0].used, plan(&placement).machines()), (2, 3));
}

#[test]
fn pools_that_follow_the_day_are_covered_in_every_hour() {
    let daily = "daily: [100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 100%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%, 15%], time_zone: UTC";
    let text = text().replace("peak: 640 req/s", &format!("peak: 640 req/s, {daily}"));
    let (_, _, placement) = proven(&format!("{text}    scaling: {{ mode: horizontal }}\n"));
    let pool = &placement.workloads["services.inspect"].pools[0];
    let following = pool.following.as_ref().unwrap();
    let counts: Vec<(u32, Vec<u32>)> =
        following.classes.iter().map(|c| (c.share, c.machines.clone())).collect();
    assert_eq!(counts, [(150_000, vec![0, 1]), (1_000_000, vec![1, 2])]);
    // One in every second, and the other at the peak.
    let peak = i64::from(following.classes[1].seconds);
    assert_eq!(micros(plan(&placement).mean), 360_000 * (86_400 + peak) / 86_400);
    assert_eq!(micros(plan(&placement).used()), 720_000);
}

#[test]
fn other_worlds_have_more_or_less_of_it() {
    let changed = |change: &str| {
        let (mut spec, mut world, _) = planned(&format!("{}{MORE}", text()));
        let changes = explore::changes(change, &spec, &world.catalog).unwrap_or_else(|why| panic!("{why}"));
        changes.iter().for_each(|c| c.apply(&mut spec, &mut world).unwrap());
        let placement = line::place(&spec, &world).unwrap();
        (cost(&placement), micros(plan(&placement).spend))
    };
    assert_eq!(changed("quota:aws/global/held:compute=+0.9"), (0, 1_800_000));
    assert_eq!(changed("quota:aws/global/held:compute=0"), (1_500_000, 0));
    assert_eq!(changed("without:held"), (1_500_000, 900_000));
    // At half the price a machine takes half of it: all five are covered.
    assert_eq!(changed("price:aws=x0.5"), (0, 900_000));
    let (mut spec, mut world, _) = planned(&text());
    let less = explore::changes("quota:aws/global/held:compute=-9", &spec, &world.catalog).unwrap();
    assert!(less[0].apply(&mut spec, &mut world).unwrap_err().contains("would be -8.1 USD/h"));
}

#[test]
fn fleets_name_the_plan_that_covers_them() {
    let (spec, _, placement) = proven(&text().replace("until: 2027-06-30,", "until: 2027-06-30, id: sp-1,"));
    let graph = rhumb::graph::compile(&spec).unwrap().bind(&spec, &placement);
    let fleet = graph.get("services.inspect/aws/eu-central-1/g6.xlarge/held").unwrap();
    let told = |key: &str| match fleet.attributes.get(key) {
        Some(rhumb_api::Attr::Text(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(
        [told("commitment"), told("commitment_kind"), told("commitment_id")],
        ["compute", "savings-plan", "sp-1"]
    );
}

#[test]
fn every_key_arrives_in_the_typed_spec() {
    let spec = crate::diagnostics::load("deploy.yaml", crate::spec::FULL).unwrap().spec;
    let plan = &spec.savings["compute"];
    assert_eq!((micros(plan.spend), plan.id.as_deref()), (40_000_000, Some("sp-0a1b2c3d")));
    assert_eq!(plan.discount_ppm("p5.48xlarge", "us-east-1"), Some(440_000));
    assert_eq!(plan.discount_ppm("g5.xlarge", "us-east-1"), Some(275_000));
    assert_eq!(plan.discount_ppm("p5.48xlarge", "eu-west-1"), None);
    assert_eq!(spec.providers[&rhumb_api::Cloud::Aws].quotas["global"]["held:compute"], 40.0);
}

/// A machine on demand of a world with an amount of it that a savings plan covers.
fn covering(world: &World, at: usize, spend: impl Fn(Money) -> Money) -> SavingsPlan {
    let mut offers = world.catalog.offerings.iter().filter(|o| o.purchase == OnDemand);
    let offer = offers.nth(at % offers.clone().count()).unwrap();
    let (kind, region) =
        (&world.catalog.instance_types[offer.instance_type], &world.catalog.regions[offer.region]);
    let rate = PlanRate {
        discount_ppm: 271_828,
        instance_types: AllowDeny::Only(vec![kind.name.clone()]),
        regions: AllowDeny::Only(vec![region.id.clone()]),
        at: Default::default(),
    };
    let mut plan = SavingsPlan {
        name: "own".into(),
        cloud: kind.cloud,
        spend: Money::ZERO,
        until: "2028-01-01".into(),
        rates: vec![rate],
        id: None,
        at: Default::default(),
    };
    plan.spend = spend(plan.rate(&kind.name, &region.id, offer.list_price).unwrap());
    plan
}

/// Random worlds: what covers `n` machines of one type and nothing else is as good as a reservation of them, more of a plan never costs
/// more, and one that covers nothing on sale changes nothing.
#[test]
fn laws_of_savings_plans() {
    let base = Catalog::embedded();
    let (mut placed, mut less) = (0, 0);
    let part = one_in(8, 1);
    for seed in part.seeds(3_000..3_090) {
        let (spec, world) = worlds::case(seed, &base);
        if spec.services.is_empty() {
            continue;
        }
        let with = |change: &dyn Fn(&mut Spec)| {
            let (mut spec, mut world) = (spec.clone(), world.clone());
            spec.services.values_mut().for_each(|s| s.purchase.held = true);
            change(&mut spec);
            spec.lower_held();
            world.hold(&spec).unwrap();
            line::place(&spec, &world).ok()
        };
        let plan_of = |spend: &dyn Fn(Money) -> Money| {
            let plan = covering(&world, seed as usize, spend);
            with(&move |spec: &mut Spec| drop(spec.savings.insert(plan.name.clone(), plan.clone())))
        };
        let one = covering(&world, seed as usize, |rate| rate);
        let (AllowDeny::Only(kinds), AllowDeny::Only(regions)) =
            (&one.rates[0].instance_types, &one.rates[0].regions)
        else {
            panic!("{one:?}")
        };
        let reserved = |count: u32| {
            let held = Held {
                name: "own".into(),
                kind: HeldKind::Reservation,
                cloud: one.cloud,
                region: regions[0].clone(),
                instance_type: kinds[0].clone(),
                count,
                until: "2028-01-01".into(),
                cost: None,
                id: None,
                at: Default::default(),
            };
            with(&move |spec: &mut Spec| drop(spec.held.insert(held.name.clone(), held.clone())))
        };
        let cost = |p: &Option<Placement>| p.as_ref().map(cost);
        let none = with(&|_| ());
        let mut before = cost(&none);
        for n in 1..4_u32 {
            let own = plan_of(&|rate| rate.times(i64::from(n)));
            let as_machines = reserved(n);
            assert_eq!(cost(&own), cost(&as_machines), "world {seed}: {n} reserved");
            let short = plan_of(&|rate| Money::from_micros(rate.times(i64::from(n)).micros() - 1));
            assert_eq!(cost(&short), before, "world {seed}: a micro-dollar less than {n}");
            assert!(
                before.is_none_or(|b| cost(&own).is_some_and(|now| now <= b)),
                "world {seed}: {n} cost more"
            );
            placed += u64::from(own.is_some());
            less += u64::from(cost(&own) < before);
            before = cost(&own);
        }
        let elsewhere = |spec: &mut Spec| {
            let nothing =
                PlanRate { regions: AllowDeny::Only(vec!["nowhere".into()]), ..one.rates[0].clone() };
            let plan =
                SavingsPlan { rates: vec![nothing], spend: Money::from_micros(9_000_000), ..one.clone() };
            spec.savings.insert(plan.name.clone(), plan);
        };
        let workloads = |p: &Option<Placement>| p.as_ref().map(|p| p.workloads.clone());
        assert_eq!(workloads(&with(&elsewhere)), workloads(&none), "world {seed}: of nothing on sale");
    }
    // In the catalogue of fewer sources less is on sale.
    let enough = if crate::plans::REDUCED { 60 } else { 100 };
    assert!(placed > pick(enough / 30, enough, enough) && less > part.of(15), "{placed} {less}");
}

fn pool(p: &mut Placement) -> &mut Pool {
    &mut p.workloads.get_mut("services.inspect").unwrap().pools[0]
}

fn stated(s: &mut Spec) -> &mut SavingsPlan {
    s.savings.get_mut("compute").unwrap()
}

fn row(w: &mut World) -> &mut rhumb::catalog::Offering {
    let frankfurt = w.catalog.region(rhumb_api::Cloud::Aws, FRANKFURT).unwrap();
    w.catalog.offerings.iter_mut().find(|o| o.purchase == Covered && o.region == frankfurt).unwrap()
}

#[rustfmt::skip]
pub const FAULTS: &[Fault] = &[
    ("more covered than promised", "savings", "more is covered", |s, _, _| { stated(s).spend = Money::from_micros(719_999); s.lower_held(); }),
    ("more covered than promised, as a quota", "quota", "", |s, _, _| { stated(s).spend = Money::from_micros(719_999); s.lower_held(); }),
    ("a rate of another discount", "savings", "the rate and the price", |s, _, _| stated(s).rates[0].discount_ppm = 281_000),
    ("a rate that is a micro-dollar less", "savings", "the rate and the price", |_, w, _| {
        let held = row(w).held.as_ref().unwrap().as_ref().clone();
        row(w).held = Some(std::sync::Arc::new(rhumb::catalog::Committed { each: 0.359_999, ..held }));
    }),
    ("a machine of a type that has no rate", "savings", "does not cover", |s, _, _| stated(s).rates[0].instance_types = AllowDeny::Not(vec!["g6.xlarge".into()])),
    ("a machine of a region that has no rate", "savings", "does not cover", |s, _, _| stated(s).rates[0].regions = AllowDeny::Only(vec!["us-east-1".into()])),
    ("of one that is over", "savings", "does not cover", |s, _, _| stated(s).until = "2026-11-25".into()),
    ("of one that ends within the month, for nothing", "savings", "the rate and the price", |s, _, _| stated(s).until = "2026-12-15".into()),
    ("of another cloud", "savings", "does not cover", |s, _, _| stated(s).cloud = rhumb_api::Cloud::Gcp),
    ("of nobody's", "held", "more held machines", |s, _, _| s.savings.clear()),
    ("named by nobody", "held", "name a commitment", |_, _, p| pool(p).machines[1].commitment = None),
    ("on demand by its name", "held", "name a commitment", |_, _, p| pool(p).machines[0].commitment = Some("compute".into())),
    ("a price that is not nothing", "price", "the price", |_, _, p| pool(p).machines[1].price = Money::from_micros(1)),
    ("rows of what nobody covers", "held", "the number of prices", |_, w, _| { let row = row(w).clone(); w.catalog.offerings.push(row); }),
    ("a promise that does not bind", "held", "what limits", |s, _, _| s.providers.clear()),
    ("a machine fewer told", "savings", "what is told", |_, _, p| p.savings[0].covered[0].machines -= 1),
    ("another rate told", "savings", "what is told", |_, _, p| p.savings[0].covered[0].rate = Money::from_micros(359_999)),
    ("another mean told", "savings", "what is told", |_, _, p| p.savings[0].mean = Money::ZERO),
    ("another rise of the bill", "savings", "what is told", |_, _, p| p.savings[0].rises_per_month = Money::ZERO),
    ("nothing told", "savings", "the savings plans", |_, _, p| p.savings.clear()),
    ("used where none may be", "held", "none may be used", |s, _, _| s.services.get_mut("inspect").unwrap().purchase.held = false),
    ("beside spot", "purchase", "beside spot", |_, _, p| pool(p).machines[0].purchase = Purchase::Spot),
    ("an amount of the promise", "quota", "amount of held", |_, _, p| {
        let quotas = &mut p.workloads.get_mut("services.inspect").unwrap().quotas;
        quotas.iter_mut().find(|q| q.code == "held:compute").unwrap().amount -= 0.000_1;
    }),
    ("another unit of it", "quota", "the unit of held", |_, _, p| {
        let quotas = &mut p.workloads.get_mut("services.inspect").unwrap().quotas;
        quotas.iter_mut().find(|q| q.code == "held:compute").unwrap().unit = "machines";
    }),
];

#[test]
fn every_fault_is_found() {
    faults::all_are_found_on_sound(&proven(&text()), FAULTS);
}

#[test]
fn what_is_bought_while_a_plan_would_cover_it_is_told() {
    faults::dearer_is_told(&proven(&text()), |o| o.purchase != Covered);
}
