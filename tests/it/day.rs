//! Pools that follow the load of the day: a maker that looks at every second and every count, the optimizer and the checker
//! agree, and the checker finds every planted fault.

use std::sync::OnceLock;

use rhumb::catalog::Catalog;
use rhumb::check::{self, Finding};
use rhumb::placement::{Cost, Following, Placement, Pool, WorkloadPlacement, World};
use rhumb::spec::{BudgetBinds, BudgetLimit, BudgetScope, ScalingMode, Spec};
use rhumb_api::{Cloud, Money, Purchase};

use crate::extent::one_in;
use crate::faults::{self, Case, Fault, told};
use crate::line;
use crate::maker::{self, Wanted};

/// A service of office hours, with keys of the day and more behind them.
pub fn text(daily: &str, load: &str, more: &str) -> String {
    format!(
        "rhumb: 1
name: day
models:
  chat: {{ source: Qwen/Qwen3-8B, variants: {{ bf16: {{}} }} }}
services:
  chat:
    model: chat
    traffic:
      {load}
      input_tokens: {{ mean: 600 }}
      output_tokens: {{ mean: 200 }}
      {daily}
      origins: {{ eu: {{ at: DE, share: 100% }} }}
    slo: {{ ttft: {{ p95: 2s }}, tpot: {{ p95: 80ms }} }}
    engine: {{ args: {{ max_num_seqs: 256, max_num_batched_tokens: 8192, max_model_len: 8192 }} }}
{more}"
    )
}

pub const OFFICE: &str = "daily: office-hours
      time_zone: Europe/Berlin";
const SURVIVES: &str = "    survive: { machine: 1 }
    scaling: { mode: horizontal }
    purchase: { spot_max_share: 50%, on_demand_base: 1 }
";
pub const ZERO: &str = "    scaling: { mode: horizontal, scale_to_zero: true }
";
pub const SPOT: &str = "    survive: { machine: 1 }
    purchase: { spot_max_share: 50%, on_demand_base: 1 }
";
/// Office hours with a weekend.
pub fn week(weekend: &str) -> String {
    format!("{OFFICE}\n      weekend: {weekend}")
}

pub const PLAIN: &str = "    scaling: { mode: horizontal }
";

fn catalog() -> Catalog {
    line::on_sale(&[
        ("g6e.xlarge", "eu-west-1", Purchase::OnDemand, 2_071_111),
        ("g6e.xlarge", "eu-west-1", Purchase::Spot, 901_113),
    ])
}

pub const WANTED: Wanted<'_> = Wanted {
    cloud: Cloud::Aws,
    region: "eu-west-1",
    instance_type: "g6e.xlarge",
    variant: "bf16",
    machines: (0, 0),
};

pub fn world(text: &str) -> (Spec, World) {
    let catalog = catalog();
    let spec = line::spec(text, &catalog);
    let world = line::world(&spec, &catalog);
    (spec, world)
}

fn made(text: &str) -> Case {
    let (spec, world) = world(text);
    let chat = maker::service(&spec, &world, "chat", &WANTED);
    let workloads = [(chat.address.clone(), chat)].into();
    {
        let made = maker::placement(&world, workloads, Vec::new(), None);
        (spec, world, made)
    }
}

/// By the maker.
fn base() -> &'static Case {
    static BASE: OnceLock<Case> = OnceLock::new();
    BASE.get_or_init(|| made(&text(OFFICE, "peak: 30 req/s", SURVIVES)))
}

fn chat(p: &mut Placement) -> &mut WorkloadPlacement {
    p.workloads.get_mut("services.chat").unwrap()
}

pub fn pool(p: &mut Placement) -> &mut Pool {
    &mut chat(p).pools[0]
}

fn day(p: &mut Placement) -> &mut Following {
    pool(p).following.as_mut().unwrap()
}

fn cost(p: &mut Placement) -> &mut Cost {
    &mut chat(p).cost
}

fn service(s: &mut Spec) -> &mut rhumb::spec::Service {
    s.services.get_mut("chat").unwrap()
}

/// A line of the bill set to another amount, and the totals with it.
pub fn charge(p: &mut Placement, line: &str, amount: Money) {
    let of = cost(p).lines.iter_mut().find(|l| l.addr.contains(line)).unwrap();
    let more = amount - of.per_hour.unwrap();
    of.per_hour = Some(amount);
    let c = chat(p);
    c.cost.expected_per_hour += more;
    c.cost.expected_per_month = c.cost.expected_per_hour.per_month();
    c.certificate.optimum = c.cost.expected_per_hour;
    c.certificate.lower_bound = c.cost.expected_per_hour;
}

/// The bill of the machines, by the classes as they are said.
pub fn charge_machines(p: &mut Placement) {
    let day_s: u32 = day(p).classes.iter().map(|c| c.seconds).sum();
    for (i, m) in pool(p).machines.clone().iter().enumerate() {
        let day: i64 = day(p).classes.iter().map(|c| i64::from(c.seconds) * i64::from(c.machines[i])).sum();
        let long = i64::from(day_s);
        let micros = (m.price.micros() * day * 2 + long) / (2 * long);
        charge(p, &format!("/{}", m.purchase), Money::from_micros(micros));
    }
}

fn dollar() -> Money {
    Money::from_micros(1_000_000)
}

fn budget(s: &mut Spec, binds: BudgetBinds, limit: Money) {
    s.budget.binds = binds;
    s.budget
        .limits
        .insert(BudgetScope::Workload("services.chat".into()), BudgetLimit { limit, at: Default::default() });
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    // What the day is.
    ("no day", "following", "does not follow the day", |_, _, p| pool(p).following = None),
    ("a day that nobody asked for", "following", "nobody asked it to", |s, _, _| service(s).scaling.mode = ScalingMode::Fixed),
    ("a day without a profile", "following", "nobody asked it to", |s, _, _| service(s).traffic.daily = None),
    ("another time zone", "following", "the time zone", |_, _, p| day(p).time_zone = "UTC".into()),
    ("a second less to start", "following", "the start-up time", |_, _, p| day(p).start_up_s -= 1),
    ("seconds moved between classes", "following", "the classes of the day", |_, _, p| { let d = day(p); d.classes[0].seconds += 1; d.classes[1].seconds -= 1; }),
    ("another share", "following", "the classes of the day", |_, _, p| day(p).classes[1].share += 1),
    ("a class left out", "following", "the classes of the day", |_, _, p| { day(p).classes.remove(1); }),
    ("classes in another order", "following", "the classes of the day", |_, _, p| day(p).classes.swap(0, 1)),
    ("another profile", "following", "the classes of the day", |s, _, _| service(s).traffic.daily.as_mut().unwrap().shares[3] = 250_000),
    ("an hour moved", "following", "the schedule", |s, _, _| service(s).traffic.daily.as_mut().unwrap().shares.rotate_right(1)),
    ("a switch one second late", "following", "the schedule", |_, _, p| day(p).schedule[1].at_s += 1),
    ("a switch to another class", "following", "the schedule", |_, _, p| day(p).schedule[1].class -= 1),
    ("a switch left out", "following", "the schedule", |_, _, p| { day(p).schedule.pop(); }),
    ("a larger machine starts no sooner", "following", "the start-up time", |_, w, _| for t in &mut w.catalog.instance_types { t.network_gbps = Some(1.0); }),
    // What it has in each class.
    ("the last class is not the peak", "following", "the class of the peak", |_, _, p| day(p).classes.last_mut().unwrap().machines[0] += 1),
    ("and its replicas", "following", "the class of the peak", |_, _, p| day(p).classes.last_mut().unwrap().replicas += 1),
    ("a fleet that is not counted", "following", "does not count all", |_, _, p| { day(p).classes[0].machines.pop(); }),
    ("replicas of nothing", "replicas", "in the hours of 60 %", |_, _, p| day(p).classes[2].replicas += 1),
    ("one machine too few", "failure", "(machine), in the hours of 60 %", |_, _, p| { let c = &mut day(p).classes[2]; c.machines[0] -= 1; c.replicas -= 1; charge_machines(p); }),
    ("no machine to lose", "failure", "(machine), in the hours of 10 %", |_, _, p| { let c = &mut day(p).classes[0]; c.machines = vec![1, 0]; c.replicas = 1; charge_machines(p); }),
    ("more in the low hours", "capacity", "in the hours of 60 %", |s, _, _| service(s).traffic.load = rhumb::spec::Load::Rate(60.0)),
    ("only spot in the low hours", "spot-share", "in the hours of 10 %", |_, _, p| { let c = &mut day(p).classes[0]; let n = c.replicas; c.machines = vec![0, n]; }),
    ("no base in the low hours", "on-demand-base", "in the hours of 10 %", |_, _, p| { let c = &mut day(p).classes[0]; let n = c.replicas; c.machines = vec![0, n]; }),
    ("more replicas at any time", "replicas", "part of `min_replicas`, in the hours of 10 %", |s, _, _| service(s).scaling.min_replicas = 3),
    ("more in a low hour than ever", "replicas", "most replicas are too many", |s, _, p| { let n = pool(p).replicas; service(s).scaling.max_replicas = Some(n); let c = &mut day(p).classes[1]; c.machines[0] += 40; c.replicas += 40; }),
    // What it costs.
    ("machines charged as of the peak", "cost-line", "the cost of the machines", |_, _, p| { let m = pool(p).machines[0].clone(); charge(p, "/on_demand", m.price.times(i64::from(m.count))); }),
    ("a micro-dollar less", "cost-line", "the cost of the machines", |_, _, p| { let is = cost(p).lines[0].per_hour.unwrap(); charge(p, "/on_demand", is - Money::from_micros(1)); }),
    ("responses charged as of the peak", "cost-line", "the cost of moving data", |_, _, p| { let is = cost(p).lines.iter().find(|l| l.addr.contains("/transfer")).unwrap().per_hour.unwrap(); charge(p, "/transfer", is.scale(1.5)); }),
    ("a month of the peak that is not", "peak-month", "all peak", |_, _, p| { let c = cost(p); c.peak_per_month = c.expected_per_month; }),
    ("a dollar less", "peak-month", "all peak", |_, _, p| { let c = cost(p); c.peak_per_month = c.peak_per_month - dollar(); }),
    ("a ceiling of the day", "ceiling", "the ceiling", |_, _, p| { let c = cost(p); c.ceiling_per_month = c.peak_per_month; }),
    ("a ceiling a dollar too high", "ceiling", "the ceiling", |_, _, p| { let c = cost(p); c.ceiling_per_month += dollar(); }),
    ("a budget for a month of the peak", "budget", "over its budget", |s, _, p| { let limit = cost(p).peak_per_month - Money::from_micros(1); budget(s, BudgetBinds::PeakMonth, limit); }),
    ("a budget for what is expected", "budget", "over its budget", |s, _, p| { let limit = cost(p).expected_per_month - Money::from_micros(1); budget(s, BudgetBinds::Expected, limit); }),
    ("quotas counted in the low hours", "quota", "the amount of", |_, _, p| { let (low, all) = (f64::from(day(p).classes[0].machines[0]), f64::from(pool(p).machines[0].count)); for q in &mut chat(p).quotas { q.amount *= low / all; } }),
    ("more in a low hour than a quota counts", "quota", "the amount of", |_, _, p| { let c = &mut day(p).classes[1]; c.machines[0] += 40; c.replicas += 40; }),
];

pub fn clean(name: &str, (spec, world, placement): &Case) {
    let findings = check::placement(spec, world, placement);
    assert!(findings.is_empty(), "{name}:\n{}", told(&findings));
}

#[test]
fn a_pool_that_is_made_second_by_second_is_clean() {
    let (_, _, placement) = base();
    let pool = &placement.workloads["services.chat"].pools[0];
    let day = pool.following.as_ref().unwrap();
    let all = |c: &rhumb::placement::HourClass| c.machines.iter().sum::<u32>();
    assert_eq!(day.classes.iter().map(|c| c.share / 10_000).collect::<Vec<_>>(), [10, 30, 60, 100]);
    assert!(all(&day.classes[0]) < all(&day.classes[2]) && all(&day.classes[2]) < all(&day.classes[3]));
    clean("office hours", base());
}

#[test]
fn every_fault_of_a_day_is_found() {
    faults::all_are_found(base(), FAULTS);
}

#[test]
fn what_a_budget_does_not_bind_it_does_not_limit() {
    let (mut spec, world, mut placement) = base().clone();
    let (expected, peak) = (cost(&mut placement).expected_per_month, cost(&mut placement).peak_per_month);
    assert!(expected < peak && peak < cost(&mut placement).ceiling_per_month);
    budget(&mut spec, BudgetBinds::Expected, expected);
    clean("expected", &(spec.clone(), world.clone(), placement.clone()));
    budget(&mut spec, BudgetBinds::PeakMonth, peak);
    clean("a month of the peak", &(spec, world, placement));
}

fn list(of: [u32; 24]) -> String {
    let list: Vec<String> = of.iter().map(|p| format!("{p}%")).collect();
    format!("[{}]", list.join(", "))
}

/// A profile of 24 percentages.
fn profile(of: [u32; 24]) -> String {
    format!("daily: {}", list(of))
}

/// What is looked at besides office hours.
fn days() -> Vec<(&'static str, String)> {
    let two = [20, 20, 0, 0, 0, 5, 30, 60, 100, 100, 70, 50, 100, 70, 40, 40, 55, 65, 80, 90, 60, 40, 30, 25];
    let peaks = profile(two);
    vec![
        ("office hours", text(OFFICE, "peak: 30 req/s", SURVIVES)),
        ("two peaks and hours without load", text(&peaks, "peak: 41 req/s", PLAIN)),
        ("the same, surviving", text(&peaks, "peak: 41 req/s", SURVIVES)),
        ("all day the peak", text(&profile([100; 24]), "peak: 17 req/s", PLAIN)),
        (
            "at least and at most so many",
            text(
                &peaks,
                "peak: 41 req/s",
                "    scaling: { mode: horizontal, min_replicas: 3, max_replicas: 30 }\n",
            ),
        ),
        ("a weekend of a fifth", text(&week("20%"), "peak: 30 req/s", SURVIVES)),
        ("a busy weekend", text(&week(&list(two)), "peak: 41 req/s", PLAIN)),
        (
            "a weekend by name",
            text(&format!("{peaks}\n      weekend: office-hours"), "peak: 41 req/s", PLAIN),
        ),
        ("to zero", text(&peaks, "peak: 41 req/s", ZERO)),
        ("a weekend of nothing", text(&week("0%"), "peak: 30 req/s", ZERO)),
        ("a weekend of nothing, surviving", text(&week("0%"), "peak: 30 req/s", &format!("{ZERO}{SPOT}"))),
        ("a weekend of one replica", text(&week("0%"), "peak: 30 req/s", PLAIN)),
        ("a fixed week", text(&week("20%"), "peak: 30 req/s", "    scaling: { mode: fixed }\n")),
        ("as large as the peak all day", text(OFFICE, "peak: 30 req/s", "    scaling: { mode: fixed }\n")),
    ]
}

#[test]
fn the_optimizer_and_the_maker_agree_and_the_checker_with_both() {
    for (name, text) in one_in(4, 1).cases(days(), |_| [()]) {
        let (spec, world, by_hand) = made(&text);
        let planned = line::place(&spec, &world).unwrap();
        let (chosen, mine) = (&planned.workloads["services.chat"], &by_hand.workloads["services.chat"]);
        assert_eq!(chosen.pools[0].following, mine.pools[0].following, "{name}");
        let counts = |w: &WorkloadPlacement| -> Vec<_> {
            w.pools[0].machines.iter().map(|m| (m.purchase, m.count)).collect()
        };
        assert_eq!(counts(chosen), counts(mine), "{name}");
        assert_eq!(chosen.cost.expected_per_hour, mine.cost.expected_per_hour, "{name}");
        assert_eq!(chosen.cost.peak_per_month, mine.cost.peak_per_month, "{name}");
        assert_eq!(chosen.cost.ceiling_per_month, mine.cost.ceiling_per_month, "{name}");
        clean(name, &(spec.clone(), world.clone(), by_hand));
        clean(name, &(spec.clone(), world.clone(), planned.clone()));
        let proof = check::prove(&spec, &world, &planned);
        assert!(proof.report.findings.is_empty(), "{name}:\n{}", told(&proof.report.findings));
        assert_eq!((proof.all.verdict().as_str(), proof.all.left_out.len()), ("optimal", 0), "{name}");
    }
}

/// Profiles, loads and rules at random, over machines of one and of four accelerators in two regions: the optimizer chooses what
/// costs least of all that the maker makes, and the checker passes both and derives the same bound.
#[test]
fn nothing_that_the_maker_makes_is_cheaper() {
    let mut state = 20_261_127_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let kinds = [("g6e.xlarge", 2_071_111, 901_113), ("g6e.12xlarge", 7_903_005, 2_700_009)];
    let regions = [("eu-west-1", 1_000), ("eu-north-1", 991)];
    let part = one_in(12, 2);
    for round in 0..12_u64 {
        let mut list = [0; 24];
        for share in &mut list {
            *share = (next(11) * 10) as u32;
        }
        let first = next(24) as usize;
        list[first] = 100;
        // Every third of these pools rests when nobody asks anything.
        let rests = round % 3 == 0;
        if rests {
            list[(first + 12) % 24] = 0;
            list[(first + 13) % 24] = 0;
        }
        let mut weekend = String::new();
        if round % 2 == 1 {
            let part = [0, 20, 50][next(3) as usize];
            weekend = format!("\n      weekend: {part}%");
        }
        let spot = [0, 40, 70][next(3) as usize];
        let more = format!(
            "    survive: {{ {}: 1 }}
    during_failure: {{ capacity: {}% }}
    scaling: {{ mode: horizontal, scale_to_zero: {}, min_replicas: {} }}
    purchase: {{ spot_max_share: {spot}%, on_demand_base: {} }}
",
            ["machine", "replica", "zone"][next(3) as usize],
            60 + 10 * next(5),
            rests,
            1 + next(5),
            next(3)
        );
        let text =
            text(&format!("{}{weekend}", profile(list)), &format!("peak: {} req/s", 5 + next(70)), &more)
                .replace(
                    "args: {",
                    "args: { tensor_parallel_size: 1, pipeline_parallel_size: 1, data_parallel_size: 1,",
                );
        if !part.has(round) {
            continue;
        }
        let mut offers = Vec::new();
        for (kind, on_demand, spot) in kinds {
            for (region, of) in regions {
                offers.push((kind, region, Purchase::OnDemand, on_demand * of / 1_000));
                offers.push((kind, region, Purchase::Spot, spot * of / 1_000));
            }
        }
        let catalog = line::on_sale(&offers);
        let spec = line::spec(&text, &catalog);
        let world = line::world(&spec, &catalog);
        let mut least: Option<WorkloadPlacement> = None;
        for (kind, ..) in kinds {
            for (region, _) in regions {
                let made =
                    maker::service(&spec, &world, "chat", &Wanted { region, instance_type: kind, ..WANTED });
                let workloads = [(made.address.clone(), made.clone())].into();
                let alone = maker::placement(&world, workloads, Vec::new(), None);
                clean(&text, &(spec.clone(), world.clone(), alone));
                if least.as_ref().is_none_or(|l| made.cost.expected_per_hour < l.cost.expected_per_hour) {
                    least = Some(made);
                }
            }
        }
        let least = least.unwrap();
        let planned = line::place(&spec, &world).unwrap();
        let chosen = &planned.workloads["services.chat"];
        assert_eq!(chosen.cost.expected_per_hour, least.cost.expected_per_hour, "{round}\n{text}");
        assert_eq!(chosen.pools[0].following, least.pools[0].following, "{round}\n{text}");
        clean(&text, &(spec.clone(), world.clone(), planned.clone()));
        let proof = check::prove(&spec, &world, &planned);
        assert!(proof.report.findings.is_empty(), "{text}\n{}", told(&proof.report.findings));
        assert_eq!(proof.all.verdict(), "optimal", "{text}");
    }
}

/// With requests played through every class: what the closed form holds for enough is asked about count by count.
#[test]
fn the_bound_asks_the_replay_for_every_class() {
    let (spec, mut world) = world(&text(OFFICE, "peak: 30 req/s", SURVIVES));
    let by_form = line::place(&spec, &world).unwrap();
    world.replay = 2_000;
    let planned = line::place(&spec, &world).unwrap();
    clean("played", &(spec.clone(), world.clone(), planned.clone()));
    assert_eq!(proven(&spec, &world, &planned), vec![]);
    let month = |p: &Placement| p.workloads["services.chat"].cost.expected_per_month;
    assert!(month(&planned) >= month(&by_form));
    let mut more = planned.clone();
    let c = &mut day(&mut more).classes[1];
    c.machines[0] += 1;
    c.replicas += 1;
    charge_machines(&mut more);
    assert!(dearer(&proven(&spec, &world, &more)));
}

fn proven(spec: &Spec, world: &World, placement: &Placement) -> Vec<Finding> {
    check::prove(spec, world, placement).report.findings
}

fn dearer(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.code == "optimum" && f.message == "something cheaper keeps every promise")
}

/// Every class by itself, the peak included, with a machine more than it needs: the bill is right and the plan too dear.
#[test]
fn a_class_that_is_dearer_than_needed_is_seen_by_the_bound() {
    let (spec, world) = world(&text(OFFICE, "peak: 30 req/s", PLAIN));
    let planned = line::place(&spec, &world).unwrap();
    assert_eq!(proven(&spec, &world, &planned), vec![]);
    for class in 0..3 {
        let mut more = planned.clone();
        let c = &mut day(&mut more).classes[class];
        c.machines[0] += 1;
        c.replicas += 1;
        charge_machines(&mut more);
        clean("a machine more", &(spec.clone(), world.clone(), more.clone()));
        let findings = proven(&spec, &world, &more);
        assert!(dearer(&findings), "class {class}: {}", told(&findings));
    }
    // A plan of a day that is not this one: what a shorter start or a lower profile would save is not to be had.
    let mut less = planned.clone();
    charge(&mut less, "/on_demand", cost(&mut planned.clone()).lines[0].per_hour.unwrap() - dollar());
    let findings = proven(&spec, &world, &less);
    assert!(findings.iter().any(|f| f.message.contains("less than anything")), "{}", told(&findings));
}

#[test]
fn a_plan_for_another_day_is_dearer_than_needed() {
    let (spec, world) = world(&text(OFFICE, "peak: 30 req/s", PLAIN));
    let mut other = spec.clone();
    service(&mut other).traffic.daily.as_mut().unwrap().shares[20] = 1_000_000;
    let findings = proven(&spec, &world, &line::place(&other, &world).unwrap());
    assert!(dearer(&findings), "{}", told(&findings));
    service(&mut other).scaling.mode = ScalingMode::Fixed;
    let fixed = line::place(&other, &world).unwrap();
    assert!(dearer(&proven(&spec, &world, &fixed)));
}

/// Requests in flight: fewer machines answer more slowly, so that fewer requests arrive.
#[test]
fn clients_that_wait_are_followed_too() {
    let more = "    survive: { machine: 1 }\n    scaling: { mode: horizontal }\n";
    let (spec, world) = world(&text(OFFICE, "concurrency: 220", more));
    let planned = line::place(&spec, &world).unwrap();
    let classes = &planned.workloads["services.chat"].pools[0].following.as_ref().unwrap().classes;
    assert!(classes[0].machines < classes[3].machines, "{classes:?}");
    clean("clients", &(spec.clone(), world.clone(), planned.clone()));
    assert_eq!(proven(&spec, &world, &planned), vec![]);
}

/// A quota of machines that both services want in their hours: the bound of all together is derived by the multipliers.
#[test]
fn a_quota_is_shared_by_pools_that_follow_the_day() {
    let catalog = line::on_sale(&[
        ("p5.48xlarge", "eu-north-1", Purchase::OnDemand, 58_900_000),
        ("p5en.48xlarge", "eu-south-2", Purchase::OnDemand, 68_400_000),
    ]);
    for more in [
        "",
        "budget: { monthly: 400000 USD, binds: expected }\n",
        "budget: { monthly: 400000 USD, binds: peak_month }\n",
    ] {
        let quota = "providers:\n  aws: { quotas: { eu-north-1: { L-417A185B: 400 } } }\n";
        let mut spec = line::spec(&line::two_services(&format!("{quota}{more}")), &catalog);
        let daily = line::spec(&text(OFFICE, "peak: 1 req/s", PLAIN), &Catalog::embedded());
        for service in spec.services.values_mut() {
            service.traffic.daily = daily.services["chat"].traffic.daily.clone();
            service.scaling.mode = ScalingMode::Horizontal;
        }
        let world = line::world(&spec, &catalog);
        let planned = line::place(&spec, &world).unwrap();
        assert!(planned.coupling.is_some(), "{more}");
        let findings = check::placement(&spec, &world, &planned);
        assert!(findings.is_empty(), "{more}\n{}", told(&findings));
        let proof = check::prove(&spec, &world, &planned);
        assert!(proof.report.findings.is_empty(), "{more}\n{}", told(&proof.report.findings));
        assert!(proof.all.gap().is_some_and(|gap| gap < 0.3), "{more} {proof:?}");
    }
}
