//! Carbon: a cap, a price and least emissions, what is told of them, and planted faults.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::explore;
use rhumb::placement::{Infeasible, Placement, SharedLimit, World};
use rhumb::spec::Spec;
use rhumb_api::{Money, Purchase};

use crate::line;

/// One type of machine: cheapest where the grid is unknown, then in Frankfurt, dearest in Stockholm.
fn catalog() -> Catalog {
    line::on_sale(&[
        ("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 50_000_000),
        ("p5.48xlarge", "eu-central-1", Purchase::OnDemand, 55_000_000),
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
    ])
}

/// Service `a` has one machine, `b` two.
fn solved(more: &str) -> (Spec, World, Result<Placement, Infeasible>) {
    let catalog = catalog();
    let spec = line::spec(&line::two_services(more), &catalog);
    let world = line::world(&spec, &catalog);
    let found = line::place(&spec, &world);
    (spec, world, found)
}

fn sound(more: &str) -> (Spec, World, Placement) {
    let (spec, world, found) = solved(more);
    let found = found.unwrap();
    assert_eq!(check::placement(&spec, &world, &found), vec![], "{more}");
    assert_eq!(check::prove(&spec, &world, &found).report.findings, vec![], "{more}");
    (spec, world, found)
}

fn region<'p>(placement: &'p Placement, address: &str) -> &'p str {
    &placement.workloads[address].pools[0].region
}

/// By hand: 8 x 700 W x 0.61 + 192 vCPUs x 2.12 W + 2048 GiB x 0.392 W = 4625.856 W; at the mean PUE of AWS, 1.135, and 275.82 g/kWh
/// in Frankfurt 1,448,151 mg an hour, at 2.73 in Stockholm 14,333. A month has 730 hours.
const FRANKFURT: i64 = 1_448_151 * 730;
const STOCKHOLM: i64 = 14_333 * 730;

#[test]
fn without_a_cap_unknown_is_allowed_and_told() {
    let (_, _, placement) = sound("");
    assert_eq!(
        (region(&placement, "services.a"), region(&placement, "services.b")),
        ("eu-west-1", "eu-west-1")
    );
    assert_eq!((placement.emissions.known(), placement.emissions.complete()), (0, false));
    for emission in placement.emissions.machines.values() {
        assert_eq!((emission.mg_per_hour, emission.mg_per_month), (None, None));
        assert!(emission.unknown.as_ref().unwrap().contains("eu-west-1"), "{emission:?}");
    }
}

#[test]
fn a_slack_cap_lets_in_only_what_is_known() {
    let (spec, _, placement) = sound("budget: { carbon: 20 t/month }\n");
    assert_eq!(spec.budget.carbon.as_ref().unwrap().at.dotted(), "budget.carbon");
    assert!(placement.coupling.is_none());
    for (address, machines) in [("services.a", 1), ("services.b", 2)] {
        assert_eq!(region(&placement, address), "eu-central-1");
        let w = &placement.workloads[address];
        let emission = &placement.emissions.machines[w.pools[0].addr.as_str()];
        assert_eq!(emission.mg_per_month, Some(machines * FRANKFURT));
        assert_eq!((emission.g_per_kwh, emission.year), (Some(275.82), Some(2024)));
        assert!(w.certificate.rejected["carbon"] > 0);
    }
    assert_eq!(placement.emissions.cap_mg, Some(20_000_000_000));
}

/// The placement under a cap that two machines in Frankfurt and one in Stockholm keep, and three in Frankfurt do not.
fn tight() -> &'static (Spec, World, Placement) {
    static TIGHT: OnceLock<(Spec, World, Placement)> = OnceLock::new();
    TIGHT.get_or_init(|| sound("budget: { carbon: 2200 kg/month }\n"))
}

fn limit(placement: &Placement) -> &SharedLimit {
    placement.coupling.as_ref().unwrap().limits.iter().find(|l| l.constraint == "carbon").unwrap()
}

#[test]
fn a_cap_moves_what_is_cheapest_to_move() {
    let (_, _, placement) = tight();
    assert_eq!(
        (region(placement, "services.a"), region(placement, "services.b")),
        ("eu-north-1", "eu-central-1")
    );
    assert_eq!(placement.emissions.known(), 2 * FRANKFURT + STOCKHOLM);
    let c = placement.coupling.as_ref().unwrap();
    assert_eq!((c.lower_bound, c.carbon_price), (c.optimum, 0));
    // One machine of 3.90 USD more an hour.
    assert_eq!(c.optimum - c.apart, Money::from_micros(3_900_000 * 730));
    let limit = limit(placement);
    assert_eq!((limit.limit, limit.taken), (2200.0, (2 * FRANKFURT + STOCKHOLM) as f64 / 1e6));
    assert_eq!(limit.at.as_ref().unwrap().dotted(), "budget.carbon");
    // A kilogram less costs 3.90 / 1.433818 USD at the margin.
    assert!((limit.worth.usd() - 3.9 / 1.433_818).abs() < 0.01, "{limit:?}");
}

#[test]
fn fallbacks_keep_the_cap() {
    let (_, _, placement) = tight();
    // Where one of Stockholm's is refused, another machine in Frankfurt is too much.
    let of = |address: &str| &placement.workloads[address].fallbacks[0].list;
    assert!(of("services.a").is_empty(), "{:?}", of("services.a"));
    let told = placement.workloads["services.a"].caveats.iter().any(|c| c.contains("over the cap of carbon"));
    assert!(told, "{:?}", placement.workloads["services.a"].caveats);
    assert!(of("services.b").iter().all(|f| f.pool.region == "eu-north-1"));
    assert_eq!(of("services.b").len(), 1);
}

#[test]
fn a_cap_that_nothing_keeps_is_refused_with_the_least_that_works() {
    let (_, _, found) = solved("budget: { carbon: 20 kg/month }\n");
    let why = found.unwrap_err();
    assert!(why.proven);
    let [workload] = why.workloads.as_slice() else { panic!("{why:?}") };
    let conflict: Vec<&str> = workload.conflict.iter().map(|r| r.constraint).collect();
    assert_eq!(conflict, ["carbon"]);
    assert_eq!(workload.conflict[0].at.as_ref().unwrap().dotted(), "budget.carbon");
    // Three machines in Stockholm: 31.4 kg.
    let changes: Vec<&str> = workload.relaxations.iter().map(|r| r.change.as_str()).collect();
    assert_eq!(changes, ["a cap of carbon of 32 kg a month instead of 20 kg a month"]);
    const { assert!(3 * STOCKHOLM > 31_000_000 && 3 * STOCKHOLM < 32_000_000) };
    // Where only the unknown is on sale, nothing is left.
    let catalog = line::on_sale(&[("p5.48xlarge", "eu-west-1", Purchase::OnDemand, 50_000_000)]);
    let spec = line::spec(&line::two_services("budget: { carbon: 20 t }\n"), &catalog);
    let why = line::place(&spec, &line::world(&spec, &catalog)).unwrap_err();
    assert!(why.workloads.iter().all(|w| w.rejected.contains_key("carbon")), "{why:?}");
}

/// A machine more in Stockholm costs 3.90 USD an hour and saves 1.433818 kg: worth it from 2,720 USD a tonne on.
#[test]
fn a_price_decides_and_is_in_no_bill() {
    let (_, _, free) = sound("budget: { carbon: 20 t }\n");
    let bill = |p: &Placement| -> Money { p.workloads.values().map(|w| w.cost.expected_per_month).sum() };
    let (_, _, low) = sound("objective: { carbon_price: 2700 USD/t }\n");
    assert_eq!((region(&low, "services.a"), region(&low, "services.b")), ("eu-central-1", "eu-central-1"));
    assert_eq!(bill(&low), bill(&free));
    let c = low.coupling.as_ref().unwrap();
    assert_eq!(c.lower_bound, c.optimum);
    let counted = (c.optimum - bill(&low)).usd();
    assert!((counted - 3.0 * FRANKFURT as f64 / 1e9 * 2700.0).abs() < 0.01, "{counted}");
    let (_, _, high) = sound("objective: { carbon_price: 2740 USD/t }\n");
    assert_eq!((region(&high, "services.a"), region(&high, "services.b")), ("eu-north-1", "eu-north-1"));
    assert_eq!(bill(&high) - bill(&free), Money::from_micros(3 * 3_900_000 * 730));
}

#[test]
fn the_objective_of_least_carbon_takes_the_cleanest_grid() {
    let (_, _, placement) = sound("objective: carbon\n");
    assert_eq!(
        (region(&placement, "services.a"), region(&placement, "services.b")),
        ("eu-north-1", "eu-north-1")
    );
    assert_eq!(placement.emissions.known(), 3 * STOCKHOLM);
    let c = placement.coupling.as_ref().unwrap();
    assert_eq!(c.lower_bound, c.optimum);
    // With a budget that does not allow all of them in Stockholm, only the service of one machine is there.
    let most = (2.0 * 55.0 + 58.9) * 730.0 + 2_000.0;
    let (_, _, both) =
        sound(&format!("objective: carbon\nbudget: {{ monthly: {most:.0} USD, binds: expected }}\n"));
    assert_eq!((region(&both, "services.a"), region(&both, "services.b")), ("eu-north-1", "eu-central-1"));
}

#[test]
fn another_cap_is_a_what_if() {
    let (spec, world, _) = tight();
    let text = "budget.carbon=20 t/month";
    let changes = explore::changes(text, spec, &world.catalog).unwrap();
    assert!(changes.iter().all(explore::Change::is_key));
    let mut tree = rhumb::spec::tree_of(&rhumb::diagnostic::SourceFile {
        name: "a.yaml".into(),
        text: line::two_services("budget: { carbon: 2200 kg/month }\n"),
    })
    .unwrap();
    for change in &changes {
        change.edit(&mut tree).unwrap();
    }
    assert_eq!(tree["budget"]["carbon"], "20 t/month");
}

type Plant = fn(&mut Spec, &mut World, &mut Placement);

fn first(p: &mut Placement) -> &mut rhumb::placement::Emission {
    p.emissions.machines.values_mut().next().unwrap()
}

fn of(p: &mut Placement) -> &mut SharedLimit {
    p.coupling.as_mut().unwrap().limits.iter_mut().find(|l| l.constraint == "carbon").unwrap()
}

fn frankfurt(w: &mut World) -> &mut rhumb::catalog::Region {
    let index = w.catalog.region(rhumb_api::Cloud::Aws, "eu-central-1").unwrap();
    &mut w.catalog.regions[index]
}

/// Name, what is planted, and code and a part of the message of what must be found.
#[rustfmt::skip]
const FAULTS: &[(&str, Plant, &str, &str)] = &[
    ("another intensity", |_, _, p| first(p).g_per_kwh = Some(1.0), "carbon", "grams of a kWh"),
    ("another year", |_, _, p| first(p).year = Some(2019), "carbon", "the year of the grid"),
    ("another PUE", |_, _, p| first(p).pue = Some(1.0), "carbon", "the PUE"),
    ("a PUE that is said to be measured", |_, _, p| first(p).pue_of_region = true, "carbon", "the region's own"),
    ("a cleaner machine", |_, _, p| first(p).mg_per_hour = Some(1), "carbon", "milligrams an hour"),
    ("a wrong month", |_, _, p| *first(p).mg_per_month.as_mut().unwrap() -= 1, "carbon", "milligrams a month"),
    ("unknown as zero", |_, w, p| { frankfurt(w).grid = None; first(p).mg_per_hour = Some(0); first(p).mg_per_month = Some(0); }, "carbon", "whether it is known"),
    ("unknown where it counts", |_, w, _| frankfurt(w).grid = None, "carbon", "emissions count, and those of its machines are not known"),
    ("a pool forgotten", |_, _, p| drop(p.emissions.machines.pop_first()), "carbon", "nothing is said"),
    ("a pool that is not there", |_, _, p| { let e = first(p).clone(); p.emissions.machines.insert("services.x/aws/y/z".into(), e); }, "carbon", "emissions of no machines"),
    ("another cap", |_, _, p| p.emissions.cap_mg = Some(1), "carbon", "the cap, milligrams a month"),
    ("a broken cap", |s, _, _| s.budget.carbon.as_mut().unwrap().mg = 2_000_000_000, "joint", "the cap of carbon of all workloads together"),
    ("a cap said to be broken", |_, _, p| p.joint_violations.push(rhumb::placement::JointViolation { constraint: "carbon", reason: "x".into(), at: None }), "joint", "the cap of carbon is kept"),
    ("less taken", |_, _, p| of(p).taken -= 1.0, "joint", "what is taken of carbon"),
    ("another limit", |_, _, p| of(p).limit += 1.0, "joint", "the limit of carbon"),
    ("a negative multiplier", |_, _, p| of(p).multiplier = -1, "certificate", "the multiplier of carbon"),
    ("a price that nobody asked for", |_, _, p| p.coupling.as_mut().unwrap().carbon_price = 5, "certificate", "the price of emissions"),
    ("a bound above the optimum", |_, _, p| { let c = p.coupling.as_mut().unwrap(); c.lower_bound = c.optimum + Money::from_micros(1); }, "certificate", "the bound is above the cost"),
];

#[test]
fn each_planted_fault_is_found() {
    let (spec, world, placement) = tight();
    for (what, plant, code, message) in FAULTS {
        let (mut spec, mut world, mut planted) = (spec.clone(), world.clone(), placement.clone());
        plant(&mut spec, &mut world, &mut planted);
        let found = check::placement(&spec, &world, &planted);
        assert!(found.iter().any(|f| f.code == *code && f.message.contains(message)), "{what}: {found:#?}");
    }
}

/// The bound of what was minimised is derived again: a dearer or dirtier choice than the optimum is not proven, and a least that is
/// claimed too high is found.
#[test]
fn a_bound_too_high_is_found() {
    for more in ["objective: { carbon_price: 2740 USD/t }\n", "budget: { carbon: 2200 kg/month }\n"] {
        let (spec, world, mut placement) = sound(more);
        let c = placement.coupling.as_mut().unwrap();
        let least = c.least.get_mut("services.a").unwrap();
        *least += Money::from_micros(500_000_000);
        let proof = check::prove(&spec, &world, &placement);
        let found = proof.report.findings.iter().any(|f| f.message.contains("least cost at the multipliers"));
        assert!(found, "{more}: {:#?}", proof.report.findings);
    }
    // The cheapest by the bill is no optimum where a tonne costs as much.
    let (spec, world, cheap) = sound("objective: { carbon_price: 2700 USD/t }\n");
    let dear = line::spec(&line::two_services("objective: { carbon_price: 2740 USD/t }\n"), &world.catalog);
    assert_ne!(spec.objective, dear.objective);
    let found = check::placement(&dear, &world, &cheap);
    assert!(found.iter().any(|f| f.message.contains("the price of emissions")), "{found:#?}");
    // Nor is one whose proof knows of no price at all.
    let (_, world, free) = sound("");
    assert!(free.coupling.is_none());
    let found = check::placement(&dear, &world, &free);
    assert!(found.iter().any(|f| f.message.contains("emissions are priced")), "{found:#?}");
}
