//! Machines that services share, where what runs is kept and where emissions count: by hand, laws, and planted faults.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::diagnostic::Pointer;
use rhumb::placement::{MachinesAt, Placement, Running, World};
use rhumb::spec::{CarbonCap, Goal, Spec, Stability};
use rhumb_api::{Cloud, Money, Purchase};

use crate::extent::{is_many, one_in};
use crate::faults::{self, Case, Fault, Planted};
use crate::oracle::worlds::{self, Random};
use crate::sharing::{SHARED, text};
use crate::{diff, line, shared_machines};

const NORTH: &str = "machines.shared/aws/eu-north-1/p5.48xlarge/on_demand";

fn at(region: &str, kind: &str, shared: bool) -> MachinesAt {
    MachinesAt { cloud: Cloud::Aws, region: region.into(), instance_type: kind.into(), shared }
}

/// Machines of eight in Ireland at 57.00 USD an hour, others in Stockholm at `north`; a move must save `saving`.
fn world(north: i64, saving: &str) -> (Spec, World) {
    let catalog = line::on_sale(&[
        ("p4d.24xlarge", "eu-west-1", Purchase::OnDemand, 57_000_000),
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, north),
    ]);
    let spec = line::spec(&text(SHARED, "", &format!("stability: {{ saving: {saving} }}\n")), &catalog);
    let world = line::world(&spec, &catalog);
    (spec, world)
}

/// What is placed where `a`, `b` and `c` run so, soundly.
fn kept(north: i64, saving: &str, running: [Option<MachinesAt>; 3]) -> Case {
    let (spec, mut world) = world(north, saving);
    for (name, place) in ["a", "b", "c"].iter().zip(running) {
        place.into_iter().for_each(|place| world.running.put(&format!("services.{name}"), place));
    }
    let placement = line::place(&spec, &world).unwrap();
    assert_eq!(check::placement(&spec, &world, &placement), vec![], "{north} {saving}");
    let proof = check::prove(&spec, &world, &placement);
    assert_eq!(proof.report.findings, vec![], "{north} {saving}");
    (spec, world, placement)
}

fn west(shared: bool) -> Option<MachinesAt> {
    Some(at("eu-west-1", "p4d.24xlarge", shared))
}

fn hourly(placement: &Placement) -> i64 {
    placement.workloads.values().map(|w| w.cost.expected_per_hour.micros()).sum()
}

fn fleets(placement: &Placement) -> Vec<(&str, u32, usize)> {
    placement.fleets.iter().map(|f| (f.addr.as_str(), f.count, f.pools.len())).collect()
}

/// All three are on one machine at 57.00. Another fleet must cost less than 51.30 for its one machine, however few of its accelerators
/// are taken.
#[test]
fn a_shared_machine_is_left_once_that_saves_enough() {
    for (north, moves) in [(51_299_999, true), (51_300_000, false), (56_430_000, false)] {
        let (_, _, placement) = kept(north, "10%", [west(true), west(true), west(true)]);
        let told = placement.kept.as_ref().unwrap();
        let planned = if moves { at("eu-north-1", "p5.48xlarge", true) } else { west(true).unwrap() };
        assert_eq!(hourly(&placement), if moves { north } else { 57_000_000 }, "{north}");
        assert_eq!(told.free, Some(Money::from_micros(north).times(730)), "{north}");
        for of in told.workloads.values() {
            assert_eq!((of.planned.clone(), of.is_kept()), (vec![planned.clone()], !moves), "{north}");
            assert_eq!(of.free.as_ref().unwrap().places, vec![at("eu-north-1", "p5.48xlarge", true)]);
        }
        let c = placement.coupling.as_ref().unwrap();
        assert_eq!(c.lower_bound, c.optimum, "{north}");
        // A ninth of the price, and the least above it.
        let more = if moves { north / 9 + 1 } else { 0 };
        assert_eq!(c.optimum, Money::from_micros(hourly(&placement) + more).times(730), "{north}");
    }
    assert_eq!(west(true).unwrap().to_string(), "aws/eu-west-1/p4d.24xlarge (shared)");
}

/// From machines of their own (171.00 together) to one that they share, of the same type in the same region: a move like any other, which
/// must save its part of what the shared one costs. `57 / (1 - s)` is 171 at two thirds.
#[test]
fn machines_of_its_own_and_shared_ones_are_two_places() {
    for (saving, shares) in [("66%", true), ("67%", false)] {
        let (_, _, placement) = kept(90_000_000, saving, [west(false), west(false), west(false)]);
        assert_eq!(hourly(&placement), if shares { 57_000_000 } else { 171_000_000 }, "{saving}");
        assert!(placement.kept.as_ref().unwrap().workloads.values().all(|w| w.is_kept() != shares));
    }
}

/// Who comes to machines that run counts by the accelerator: an eighth of 57 * s / (1 - s), which is what a machine of its own costs at
/// eight ninths.
#[test]
fn who_joins_counts_by_the_accelerator() {
    for (saving, joins) in [("88%", true), ("89%", false)] {
        let (_, _, placement) = kept(90_000_000, saving, [west(true), west(true), west(false)]);
        let all = [("machines.shared/aws/eu-west-1/p4d.24xlarge/on_demand", 1, if joins { 3 } else { 2 })];
        assert_eq!(fleets(&placement), all, "{saving}");
        assert_eq!(hourly(&placement), if joins { 57_000_000 } else { 114_000_000 }, "{saving}");
        assert_eq!(placement.kept.unwrap().workloads["services.c"].is_kept(), !joins, "{saving}");
    }
}

/// Of what runs nowhere nothing is kept; who moves beside it counts as if alone.
#[test]
fn who_is_new_is_free() {
    let (_, _, placement) = kept(51_400_000, "10%", [None, None, None]);
    assert_eq!((hourly(&placement), placement.kept), (51_400_000, None));
    // One machine for those who move, whoever else is on it: 51.20 and a ninth are less than 57.00, 51.40 and a ninth are not.
    for (north, moves) in [(51_200_000, true), (51_400_000, false)] {
        let (_, _, placement) = kept(north, "10%", [west(true), west(true), None]);
        assert_eq!(hourly(&placement), if moves { north } else { 57_000_000 }, "{north}");
        assert_eq!(placement.kept.unwrap().workloads.len(), 2);
    }
}

#[test]
fn a_state_says_who_is_on_shared_machines() {
    let (spec, _, placement) = shared_machines::together();
    let state = diff::state_of(&rhumb::plan::desired(&shared_machines::bound(&spec, &placement)));
    let running = rhumb::plan::running(&state);
    assert_eq!(running, Running::of_placement(&placement));
    let there = at("eu-west-1", "p4d.24xlarge", true);
    assert_eq!(running.0["services.rank"], [there.clone()].into());
    assert_eq!(running.0["services.chat"], [at("eu-west-1", "p4d.24xlarge", false), there].into());
}

/// The placement and its fleets without what differs by nothing: what costs as much.
fn places(placement: &Placement) -> (Running, Vec<(String, u32)>) {
    let fleets = placement.fleets.iter().map(|f| (f.addr.to_string(), f.count)).collect();
    (Running::of_placement(placement), fleets)
}

fn proven(placement: &Placement) -> bool {
    placement.coupling.as_ref().is_none_or(|c| c.lower_bound == c.optimum)
}

/// Prices of what does not run move by a hundredth, or three tenths: nothing that runs is given up for it, on shared machines or not.
#[test]
fn a_price_tick_moves_nothing_that_is_shared() {
    let base = Catalog::embedded();
    let (mut same, mut shared, mut would_move) = (0, 0, 0);
    let part = one_in(8, 1);
    for seed in part.seeds(0..300) {
        let (tick, saving_ppm) = if seed % 2 == 0 { (0.01, 20_000) } else { (0.3, 400_000) };
        let (mut spec, mut world) = worlds::sharing(seed, &base);
        spec.budget.limits.clear();
        if spec.services.values().filter(|s| s.shares).count() < 2 {
            continue;
        }
        let Ok(first) = line::place(&spec, &world) else { continue };
        if !proven(&first) {
            continue;
        }
        world.running = Running::of_placement(&first);
        let mut r = Random::new(seed ^ 0x7469_636b);
        let catalog = &mut world.catalog;
        for offering in &mut catalog.offerings {
            let (kind, region) =
                (&catalog.instance_types[offering.instance_type], &catalog.regions[offering.region]);
            let here = (region.cloud, region.id.as_str(), kind.name.as_str());
            let runs = |w: &String| world.running.has(w, here) || world.running.shares(w, here);
            if !world.running.0.keys().any(runs) {
                offering.price = offering.price.scale(r.range(1.0 - tick, 1.0 + tick));
            }
        }
        let free = line::place(&spec, &world).unwrap();
        would_move += u64::from(places(&free) != places(&first));
        spec.stability = Some(Stability { saving_ppm, at: Pointer::root() });
        let second = line::place(&spec, &world).unwrap();
        if proven(&second) {
            assert_eq!(places(&second), places(&first), "world {seed}");
            same += 1;
            shared += u64::from(!first.fleets.is_empty());
        }
    }
    assert!(
        same > part.of(40) && shared > part.of(15) && (would_move > 1 || !is_many()),
        "{same} the same, {shared} shared, {would_move} would move"
    );
}

/// Machines of eight in Frankfurt at 55.00 USD an hour, and in Stockholm at 58.90.
fn emitting(more: &str) -> (Spec, World, Placement) {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-central-1", Purchase::OnDemand, 55_000_000),
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
    ]);
    let spec = line::spec(&text(SHARED, "", more), &catalog);
    let world = line::world(&spec, &catalog);
    let placement = line::place(&spec, &world).unwrap();
    assert_eq!(check::placement(&spec, &world, &placement), vec![], "{more}");
    assert_eq!(check::prove(&spec, &world, &placement).report.findings, vec![], "{more}");
    (spec, world, placement)
}

/// Milligrams of a month of the machine, as `carbon.rs` derives them by hand.
const FRANKFURT: i64 = 1_448_151 * 730;
const STOCKHOLM: i64 = 14_333 * 730;

/// Three services on one machine emit what the machine does, once.
#[test]
fn a_cap_counts_a_shared_machine_once() {
    let (_, _, free) = emitting("");
    assert_eq!((hourly(&free), free.emissions.known()), (55_000_000, FRANKFURT));
    // 1057.15 kg a month in Frankfurt.
    let (_, _, slack) = emitting("budget: { carbon: 1058 kg/month }\n");
    assert_eq!(hourly(&slack), 55_000_000);
    let (_, _, tight) = emitting("budget: { carbon: 1057 kg/month }\n");
    assert_eq!((hourly(&tight), tight.emissions.known()), (58_900_000, STOCKHOLM));
    assert_eq!(fleets(&tight), [(NORTH, 1, 3)]);
    assert_eq!(tight.emissions.machines.len(), 1);
    let c = tight.coupling.as_ref().unwrap();
    assert_eq!((c.lower_bound, c.optimum), (c.optimum, Money::from_micros(58_900_000).times(730)));
    let limit = c.limits.iter().find(|l| l.constraint == "carbon").unwrap();
    assert_eq!((limit.limit, limit.taken), (1057.0, STOCKHOLM as f64 / 1e6));
    let [fleet] = &tight.fleets[..] else { panic!("{:?}", tight.fleets) };
    assert!(fleet.fallbacks.is_empty(), "{:?}", fleet.fallbacks);
    assert!(fleet.caveats.iter().any(|c| c.contains("1 over the cap of carbon")), "{:?}", fleet.caveats);
}

/// 3.90 USD an hour for 1,433,818 mg: 2,720 USD a tonne.
#[test]
fn a_price_counts_a_shared_machine_once() {
    for (price, north) in [(2_700, false), (2_740, true)] {
        let (_, _, found) = emitting(&format!("objective: {{ carbon_price: {price} USD/t }}\n"));
        assert_eq!(hourly(&found), if north { 58_900_000 } else { 55_000_000 }, "{price}");
        let c = found.coupling.as_ref().unwrap();
        let emitted = i128::from(if north { STOCKHOLM } else { FRANKFURT });
        let counted = emitted * (i128::from(price) * 1_000_000 * (1 << 24) / 1_000_000_000) / (1 << 24);
        let all = i128::from(hourly(&found)) * 730 + counted;
        assert_eq!((i128::from(c.optimum.micros()), c.lower_bound), (all, c.optimum), "{price}");
    }
    let (_, _, least) = emitting("objective: carbon\n");
    assert_eq!(least.emissions.known(), STOCKHOLM);
}

#[test]
fn a_higher_price_of_carbon_never_emits_more() {
    let base = Catalog::embedded();
    let (mut pairs, mut less) = (0, 0);
    for seed in 0..120 {
        let (mut spec, world) = worlds::sharing(seed, &base);
        let mut before: Option<i64> = None;
        for dollars in [0.0, 300.0, 3_000.0, 100_000.0] {
            spec.objective = match dollars {
                0.0 => Goal::Cost,
                _ => Goal::Priced { per_tonne: Money::from_usd(dollars).unwrap() },
            };
            // What is unknown is allowed where nothing counts: a cap that nobody reaches shuts it out.
            spec.budget.carbon = Some(CarbonCap { mg: i64::MAX / 2048, at: Pointer::root() });
            let Ok(found) = line::place(&spec, &world) else { break };
            if !proven(&found) {
                continue;
            }
            let emitted = found.emissions.known();
            // What is rounded is a micro-dollar of each machine and workload.
            assert!(
                before.is_none_or(|b| emitted <= b + 10_000_000),
                "world {seed}: {emitted} above {before:?}"
            );
            less += u64::from(before.is_some_and(|b| emitted < b));
            pairs += u64::from(before.is_some() && !found.fleets.is_empty());
            before = Some(emitted);
        }
    }
    assert!(pairs > 10 && less > 3, "{pairs} pairs with shared machines, {less} emit less");
}

fn coupling(p: &mut Placement) -> &mut rhumb::placement::Coupling {
    p.coupling.as_mut().unwrap()
}

fn one(p: &mut Placement) -> &mut rhumb::placement::KeptWorkload {
    p.kept.as_mut().unwrap().workloads.values_mut().next().unwrap()
}

#[rustfmt::skip]
const KEPT: &[Fault] = &[
    ("a move that counts for nothing", "certificate", "the cost of all workloads", |_, _, p| coupling(p).optimum = Money::from_micros(51_200_000 * 730)),
    ("a move that counts by the accelerator", "certificate", "the cost of all workloads", |_, w, _| w.running.put("services.d", at("eu-north-1", "p5.48xlarge", true))),
    ("a move of what runs there", "certificate", "the cost of all workloads", |_, w, _| for name in ["a", "b", "c"] { w.running.put(&format!("services.{name}"), at("eu-north-1", "p5.48xlarge", true)); }),
    ("another part to save", "certificate", "the cost of all workloads", |s, _, _| s.stability.as_mut().unwrap().saving_ppm = 110_000),
    ("a least above what it counts for", "certificate", "the least cost is above", |_, _, p| { let all = coupling(p).optimum; *coupling(p).least.get_mut("services.a").unwrap() = all; }),
    ("planned on machines of its own", "stability", "where they will", |_, _, p| one(p).planned[0].shared = false),
    ("ran on machines of its own", "stability", "where its machines run", |_, _, p| one(p).running[0].shared = false),
    ("ran on shared ones", "stability", "where its machines run", |_, w, _| { let own = west(false).unwrap(); w.running.0.insert("services.a".into(), [own].into()); }),
];

#[test]
fn every_fault_of_what_is_kept_on_shared_machines_is_found() {
    faults::all_are_found_on_sound(&kept(51_200_000, "10%", [west(true), west(true), west(true)]), KEPT);
}

/// Planned by another rule than the one that it is checked by: the bound knows what a move counts for.
#[test]
fn the_bound_of_a_move_is_that_of_its_accelerators() {
    let (spec, world, placement) = kept(51_299_999, "10%", [west(true), west(true), west(true)]);
    let proof = check::prove(&spec, &world, &placement);
    // Three accelerators of eight at the part of a machine that counts for 56,999,999 an hour; on the fleet that runs it is one micro-dollar more.
    let least = 3 * ((51_299_999 + 51_299_999 / 9 + 1) * 730 / 8);
    let bound = proof.all.bound.unwrap().micros();
    assert!((bound - least).abs() <= 3 * 730, "{bound} and {least}");
    assert_eq!(proof.all.counted, ["machines that do not run yet as dearer"]);
    let free = Spec { stability: None, ..spec.clone() };
    let bound = check::prove(&free, &world, &line::place(&free, &world).unwrap()).all.bound.unwrap().micros();
    assert!((bound - 3 * (51_299_999 * 730 / 8)).abs() <= 3 * 730, "{bound}");
}

fn emission(p: &mut Placement) -> &mut rhumb::placement::Emission {
    p.emissions.machines.get_mut(NORTH).unwrap()
}

#[rustfmt::skip]
const EMITTED: &[Fault] = &[
    ("a milligram more", "carbon", "milligrams a month", |_, _, p| *emission(p).mg_per_month.as_mut().unwrap() += 1),
    ("two machines", "carbon", "milligrams a month", |_, _, p| *emission(p).mg_per_month.as_mut().unwrap() *= 2),
    ("nothing", "carbon", "nothing is said of what its machines emit", |_, _, p| p.emissions.machines.clear()),
    ("of a pool as well", "carbon", "emissions of no machines", |_, _, p| { let (of, addr) = (emission(p).clone(), p.fleets[0].pools[0].addr.to_string()); p.emissions.machines.insert(addr, of); }),
    ("unknown", "carbon", "those of its machines are not known", |_, w, _| for r in &mut w.catalog.regions { r.grid = None; }),
    ("a cap that is not kept", "joint", "the cap of carbon of all workloads", |s, _, _| s.budget.carbon.as_mut().unwrap().mg = STOCKHOLM - 1),
    ("a cap without the fleet", "joint", "what is taken of carbon", |_, _, p| coupling(p).limits[0].taken = 0.0),
    ("a cap that counts it for each", "joint", "what is taken of carbon", |_, _, p| coupling(p).limits[0].taken *= 3.0),
];

#[test]
fn every_fault_of_what_shared_machines_emit_is_found() {
    faults::all_are_found_on_sound(&emitting("budget: { carbon: 1057 kg/month }\n"), EMITTED);
}

const FIRST: &str = "machines.shared/aws/eu-north-1/p5.48xlarge/on_demand, fallback 1";

#[rustfmt::skip]
const PRICED: &[Planted] = &[
    ("emissions that count for nothing", |_, p| coupling(p).optimum = Money::from_micros(58_900_000 * 730), "certificate", "deployment", "the cost of all workloads"),
    ("another price", |s, _| s.objective = Goal::Priced { per_tonne: Money::from_micros(2_741_000_000) }, "certificate", "deployment", "the price of emissions"),
    ("a cap that what is moved breaks", |s, _| s.budget.carbon = Some(CarbonCap { mg: FRANKFURT - 1, at: Pointer::root() }), "carbon", FIRST, "more than the cap of carbon"),
];

#[test]
fn every_fault_of_what_their_emissions_count_for_is_found() {
    static CASE: OnceLock<Case> = OnceLock::new();
    let case = CASE.get_or_init(|| emitting("objective: { carbon_price: 2740 USD/t }\n"));
    assert_eq!(case.2.fleets[0].fallbacks.len(), 1);
    faults::all_are_found_at(case, PRICED);
}
