//! Laws of pools that follow the day, and the fleets that a plan makes of them.

use rhumb::check;
use rhumb::placement::{Placement, World};
use rhumb::plan::Plan;
use rhumb::replay::{Options, verify};
use rhumb::spec::{PEAK_SHARE, ScalingMode, Spec};
use rhumb_api::{Attr, Money, Purchase, ResourceKind};

use crate::line;

const TEXT: &str = "rhumb: 1
name: laws
models:
  chat: { source: Qwen/Qwen3-8B, variants: { bf16: {} } }
services:
  chat:
    model: chat
    traffic:
      peak: 60 req/s
      input_tokens: { mean: 600 }
      output_tokens: { mean: 200 }
      daily: office-hours
      time_zone: Europe/Berlin
      origins: { eu: { at: DE } }
    slo: { ttft: { p95: 2s }, tpot: { p95: 80ms } }
    survive: { machine: 1 }
    scaling: { mode: horizontal }
    purchase: { spot_max_share: 50% }
    engine: { args: { max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192 } }
";

/// A small type, with or without spot, and a large one of four accelerators at a price.
fn world_of(spot: bool, large: Option<i64>) -> (Spec, World) {
    let mut offers = vec![("g6e.xlarge", "eu-west-1", Purchase::OnDemand, 2_071_111)];
    if spot {
        offers.push(("g6e.xlarge", "eu-west-1", Purchase::Spot, 1_601_113));
    }
    offers.extend(large.map(|price| ("g6e.12xlarge", "eu-west-1", Purchase::OnDemand, price)));
    let catalog = line::on_sale(&offers);
    let spec = line::spec(TEXT, &catalog);
    let world = line::world(&spec, &catalog);
    (spec, world)
}

fn world() -> (Spec, World) {
    world_of(true, Some(7_904_000))
}

fn place(spec: &Spec, world: &World) -> Placement {
    line::place(spec, world).expect("a placement")
}

fn cost(placement: &Placement) -> Money {
    placement.workloads["services.chat"].cost.expected_per_month
}

fn shares(spec: &mut Spec) -> &mut [u32; 24] {
    &mut spec.services.get_mut("chat").unwrap().traffic.daily.as_mut().unwrap().shares
}

#[test]
fn the_type_that_is_cheapest_at_the_peak_is_not_cheapest_over_the_day() {
    let pool = |p: &Placement| {
        let pool = &p.workloads["services.chat"].pools[0];
        (pool.instance_type.clone(), pool.machines[0].count)
    };
    let kind = |p: &Placement| pool(p).0;
    let fix = |spec: &mut Spec| spec.services.get_mut("chat").unwrap().scaling.mode = ScalingMode::Fixed;
    // The large ones are 2 % cheaper at the peak.
    let (mut small, of_small) = world_of(false, None);
    let (mut large, of_large) = world_of(false, Some(1_000_000));
    fix(&mut small);
    fix(&mut large);
    let paid = 2_071_111 * i64::from(pool(&place(&small, &of_small)).1);
    let price = paid * 98 / 100 / i64::from(pool(&place(&large, &of_large)).1);
    let (mut spec, world) = world_of(false, Some(price));
    let following = place(&spec, &world);
    fix(&mut spec);
    let fixed = place(&spec, &world);
    assert_eq!((kind(&fixed).as_str(), kind(&following).as_str()), ("g6e.12xlarge", "g6e.xlarge"));
    assert!(cost(&following) < cost(&fixed));
}

#[test]
fn a_day_that_is_all_peak_costs_what_the_peak_does() {
    let (mut spec, world) = world();
    *shares(&mut spec) = [PEAK_SHARE; 24];
    let following = place(&spec, &world);
    let pool = &following.workloads["services.chat"].pools[0];
    let day = pool.following.as_ref().expect("it follows the day");
    assert_eq!((day.classes.len(), day.schedule.len(), day.classes[0].seconds), (1, 0, 86_400));
    let chat = spec.services.get_mut("chat").unwrap();
    chat.scaling.mode = ScalingMode::Fixed;
    chat.traffic.daily = None;
    let fixed = place(&spec, &world);
    assert_eq!(cost(&following), cost(&fixed));
    assert!(fixed.workloads["services.chat"].pools[0].following.is_none());
}

#[test]
fn less_load_in_any_hour_never_costs_more() {
    let (spec, world) = world();
    let before = cost(&place(&spec, &world));
    let mut saved = 0;
    for hour in [0, 8, 12, 18, 23] {
        let mut less = spec.clone();
        let share = &mut shares(&mut less)[hour];
        *share /= 2;
        let after = cost(&place(&less, &world));
        assert!(after <= before, "hour {hour}: {after} after {before}");
        saved += u32::from(after < before);
    }
    assert!(saved > 0, "no hour felt it");
}

#[test]
fn a_day_that_is_turned_costs_the_same() {
    let (mut spec, world) = world();
    let before = cost(&place(&spec, &world));
    shares(&mut spec).rotate_right(7);
    assert_eq!(cost(&place(&spec, &world)), before);
}

fn plan(spec: &Spec, world: &World) -> Plan {
    let input = rhumb::PlanningInput {
        spec: spec.clone(),
        spec_digest: "0".repeat(64),
        world: world.clone(),
        prior: None,
        now: "2026-11-25T00:00:00Z".into(),
        warnings: Vec::new(),
    };
    rhumb::plan(&input).expect("a plan")
}

#[test]
fn fleets_say_the_hours_and_the_checker_reads_them() {
    let (spec, world) = world();
    let plan = plan(&spec, &world);
    let clean = check::plan(&spec, &world, None, &plan);
    assert!(clean.findings.is_empty(), "{:?}", clean.findings);
    let fleet = plan
        .changes
        .iter()
        .position(|c| c.after.as_ref().is_some_and(|r| r.kind == ResourceKind::Fleet))
        .expect("a fleet");
    let attributes = |plan: &mut Plan| plan.changes[fleet].after.as_mut().unwrap().attributes.clone();
    let of = attributes(&mut plan.clone());
    let Some(Attr::List(schedule)) = of.get("schedule") else { panic!("{of:?}") };
    // Up before 8 and before 9, down at 17, 19 and 22.
    assert_eq!(schedule.len(), 5, "{schedule:?}");
    assert_eq!(of.get("time_zone"), Some(&Attr::from("Europe/Berlin")));
    let mut later = schedule.clone();
    let Attr::Map(first) = &mut later[0] else { panic!("{later:?}") };
    let Some(Attr::Int(at_s)) = first.get_mut("at_s") else { panic!("{first:?}") };
    *at_s += 60;
    let faults = [
        ("schedule", Attr::List(later)),
        ("schedule", Attr::List(schedule[1..].to_vec())),
        ("time_zone", Attr::from("UTC")),
        ("min_count", Attr::Int(0)),
        ("max_count", Attr::Int(1)),
    ];
    for (key, value) in faults {
        let mut bad = plan.clone();
        let after = bad.changes[fleet].after.as_mut().unwrap();
        after.attributes.insert(key, value);
        let found = check::plan(&spec, &world, None, &bad).findings;
        assert!(found.iter().any(|f| f.message.contains("other hours")), "{key}: {found:?}");
    }
    let mut silent = plan.clone();
    silent.changes[fleet].after.as_mut().unwrap().attributes.remove("schedule");
    let found = check::plan(&spec, &world, None, &silent).findings;
    assert!(found.iter().any(|f| f.message.contains("other hours")), "{found:?}");
}

#[test]
fn the_hours_below_the_peak_are_played_and_one_that_is_too_small_is_noticed() {
    let (mut spec, mut world) = world_of(false, None);
    spec.services.get_mut("chat").unwrap().survive = Default::default();
    world.replay = 2_000;
    let placement = place(&spec, &world);
    let traces = Default::default();
    let options = Options { requests: 8_000, seed: 1, traces: &traces, progress: &|_, _| {} };
    let hours = |placement: &Placement| -> Vec<(f64, u32, bool)> {
        let found = verify(&spec, &world, placement, &options).expect("all is known");
        let scenarios = found.services[0].scenarios.iter().filter(|s| s.name == "hours");
        scenarios.map(|s| (s.pools[0].rate, s.pools[0].replicas, s.broken())).collect()
    };
    let told = hours(&placement);
    // 10, 30 and 60 % of 60 requests/s.
    for ((rate, _, broken), wanted) in told.iter().zip([6.0, 18.0, 36.0]) {
        assert!((rate / wanted - 1.0).abs() < 0.05 && !broken, "{told:?}");
    }
    let peak = placement.workloads["services.chat"].pools[0].replicas;
    assert!(told.len() == 3 && told.windows(2).all(|w| w[0].1 < w[1].1) && told[2].1 < peak, "{told:?}");
    let mut small = placement.clone();
    let pool = &mut small.workloads.get_mut("services.chat").unwrap().pools[0];
    pool.following.as_mut().unwrap().classes[2].replicas /= 2;
    let told = hours(&small);
    assert_eq!(told.iter().map(|h| h.2).collect::<Vec<_>>(), [false, false, true], "{told:?}");
}
