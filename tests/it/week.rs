//! Weeks whose days differ, and pools of which nothing runs without load: the checker finds planted faults, and what must hold of any.

use std::sync::OnceLock;

use rhumb::check;
use rhumb::placement::{Placement, Pool, World};
use rhumb::plan::Plan;
use rhumb::replay::{Options, verify};
use rhumb::spec::Service;
use rhumb_api::{Attr, Cloud, Money, ResourceKind};

use crate::day::{
    OFFICE, PLAIN, SPOT, WANTED, ZERO, charge, charge_machines, clean, pool, text, week, world,
};
use crate::faults::{self, Case, Fault};
use crate::{line, maker};

const DAY_S: u32 = 86_400;

/// The peak at midnight and at noon, and hours without any load; on Saturday and Sunday 20 % from 10 to 12.
fn border() -> String {
    let day = "100%, 60%, 10%, 0%, 0%, 0%, 0%, 10%, 60%, 60%, 60%, 60%, 100%, 60%, 60%, 60%, 60%, 60%, 10%, 10%, 10%, 0%, 0%, 10%";
    let weekend =
        "0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 20%, 20%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%, 0%";
    format!("daily: [{day}]\n      weekend: [{weekend}]\n      time_zone: Europe/Berlin")
}

/// Ireland with the grid of Frankfurt: of its own none is known.
fn emits(world: &mut World) {
    let region = |id| world.catalog.region(Cloud::Aws, id).unwrap();
    let (ireland, frankfurt) = (region("eu-west-1"), region("eu-central-1"));
    world.catalog.regions[ireland].grid = world.catalog.regions[frankfurt].grid.clone();
}

fn base() -> &'static Case {
    static BASE: OnceLock<Case> = OnceLock::new();
    BASE.get_or_init(|| {
        let (spec, mut world) = world(&text(&border(), "peak: 30 req/s", &format!("{ZERO}{SPOT}")));
        emits(&mut world);
        let chat = maker::service(&spec, &world, "chat", &WANTED);
        let placement = maker::placement(&world, [(chat.address.clone(), chat)].into(), Vec::new(), None);
        (spec, world, placement)
    })
}

fn following(p: &mut Placement) -> &mut rhumb::placement::Following {
    pool(p).following.as_mut().unwrap()
}

fn chat(s: &mut rhumb::spec::Spec) -> &mut Service {
    s.services.get_mut("chat").unwrap()
}

#[rustfmt::skip]
const FAULTS: &[Fault] = &[
    ("seconds moved between classes", "following", "the classes of the day", |_, _, p| { let f = following(p); f.classes[1].seconds += 1; f.classes[2].seconds -= 1; }),
    ("a second more", "following", "the classes of the day", |_, _, p| following(p).classes[0].seconds += 1),
    ("told as a day", "following", "the classes of the day", |_, _, p| for c in &mut following(p).classes { c.seconds /= 7; }),
    ("every day alike", "following", "the classes of the day", |s, _, _| chat(s).traffic.daily.as_mut().unwrap().weekend = None),
    ("another weekend", "following", "the classes of the day", |s, _, _| chat(s).traffic.daily.as_mut().unwrap().weekend.as_mut().unwrap()[20] = 200_000),
    ("a weekend that is later", "following", "the schedule", |s, _, _| chat(s).traffic.daily.as_mut().unwrap().weekend.as_mut().unwrap().rotate_right(1)),
    ("a start on Monday for Monday", "following", "the schedule", |_, _, p| { let f = following(p); let mut last = f.schedule.pop().unwrap(); last.at_s = 0; f.schedule.insert(0, last); }),
    ("a second too late for Monday", "following", "the schedule", |_, _, p| following(p).schedule.last_mut().unwrap().at_s += 1),
    ("the weekend begins a day late", "following", "the schedule", |_, _, p| for s in &mut following(p).schedule { if s.at_s / DAY_S == 5 { s.at_s += DAY_S; } }),
    ("a machine without load", "replicas", "machines run in hours without any load", |_, _, p| { let c = &mut following(p).classes[0]; c.machines[0] = 1; c.replicas = 1; charge_machines(p); }),
    ("a machine that is no replica", "replicas", "machines run in hours without any load", |_, _, p| { following(p).classes[0].machines[0] = 1; charge_machines(p); }),
    ("nothing with load", "replicas", "another number of replicas, in the hours of 10 %", |_, _, p| { let c = &mut following(p).classes[1]; c.machines.fill(0); c.replicas = 0; charge_machines(p); }),
    ("nothing where nobody allowed it", "replicas", "part of `min_replicas`, in the hours of 0 %", |s, _, _| chat(s).scaling.to_zero = false),
    ("fewer than are asked for with load", "replicas", "part of `min_replicas`, in the hours of 10 %", |s, _, _| chat(s).scaling.min_replicas = 9),
    ("the hours of a day charged", "cost-line", "the cost of the machines", |_, _, p| { let is = p.workloads["services.chat"].cost.lines[0].per_hour.unwrap(); charge(p, "/on_demand", is.times(7)); }),
    ("a micro-dollar less", "cost-line", "the cost of the machines", |_, _, p| { let is = p.workloads["services.chat"].cost.lines[0].per_hour.unwrap(); charge(p, "/on_demand", is - Money::from_micros(1)); }),
    ("responses of working days alone", "cost-line", "the cost of moving data", |_, _, p| { let lines = &p.workloads["services.chat"].cost.lines; let is = lines.iter().find(|l| l.addr.contains("/transfer")).unwrap().per_hour.unwrap(); charge(p, "/transfer", is.scale(7.0 / 5.0)); }),
    ("emissions of a week in a day", "carbon", "milligrams a month", |_, _, p| for e in p.emissions.machines.values_mut() { e.mg_per_month = e.mg_per_month.map(|mg| 7 * mg); }),
];

#[test]
fn every_fault_of_a_week_is_found() {
    let (_, _, placement) = base();
    let pool = &placement.workloads["services.chat"].pools[0];
    let f = pool.following.as_ref().unwrap();
    let machines: Vec<u32> = f.classes.iter().map(|c| c.machines.iter().sum()).collect();
    assert_eq!(f.classes.iter().map(|c| c.share / 10_000).collect::<Vec<_>>(), [0, 10, 20, 60, 100]);
    assert!(machines[0] == 0 && machines[1] > 0 && machines.is_sorted(), "{machines:?}");
    let last = f.schedule.last().unwrap();
    assert_eq!((last.at_s, last.class), (7 * DAY_S - f.start_up_s, 4), "Monday's first hour is the peak");
    assert_eq!(f.cycle_s(), 7 * DAY_S);
    clean("a week", base());
    faults::all_are_found(base(), FAULTS);
}

fn cost(p: &Placement) -> Money {
    p.workloads["services.chat"].cost.expected_per_month
}

/// Written as a week, seven equal days cost what a day does, and say the same seven times.
#[test]
fn a_week_of_equal_days_is_a_day_seven_times() {
    let (spec, mut world) = world(&text(OFFICE, "peak: 30 req/s", &format!("{PLAIN}{SPOT}")));
    emits(&mut world);
    let mut weekly = spec.clone();
    let daily = chat(&mut weekly).traffic.daily.as_mut().unwrap();
    daily.weekend = Some(daily.shares);
    let (of_day, of_week) = (line::place(&spec, &world).unwrap(), line::place(&weekly, &world).unwrap());
    clean("a day", &(spec, world.clone(), of_day.clone()));
    clean("a week", &(weekly, world, of_week.clone()));
    let pool = |p: &Placement| p.workloads["services.chat"].pools[0].clone();
    let lines = |p: &Placement| -> Vec<_> {
        p.workloads["services.chat"].cost.lines.iter().map(|l| l.per_hour).collect()
    };
    assert_eq!(lines(&of_day), lines(&of_week));
    assert!(of_day.emissions.machines.values().all(|e| e.mg_per_month.is_some_and(|mg| mg > 0)));
    assert_eq!(of_day.emissions.machines, of_week.emissions.machines);
    assert_eq!(of_day.commitments, of_week.commitments);
    let (day, week) = (pool(&of_day).following.unwrap(), pool(&of_week).following.unwrap());
    for (day, week) in day.classes.iter().zip(&week.classes) {
        assert_eq!((day.share, 7 * day.seconds, &day.machines), (week.share, week.seconds, &week.machines));
    }
    let times = (0..7).flat_map(|n| day.schedule.iter().map(move |s| (s.at_s + n * DAY_S, s.class)));
    assert!(times.eq(week.schedule.iter().map(|s| (s.at_s, s.class))), "{:?}", week.schedule);
}

#[test]
fn rest_saves_and_takes_nothing_from_hours_with_load() {
    let of = |more: &str| {
        let (spec, world) = world(&text(&border(), "peak: 30 req/s", more));
        let placement = line::place(&spec, &world).unwrap();
        clean(more, &(spec, world, placement.clone()));
        placement
    };
    let (rests, stays) = (of(ZERO), of(PLAIN));
    assert!(cost(&rests) < cost(&stays));
    let classes = |p: &Placement| p.workloads["services.chat"].pools[0].following.clone().unwrap().classes;
    assert_eq!((classes(&rests)[0].replicas, classes(&stays)[0].replicas), (0, 1));
    assert_eq!(classes(&rests)[1..], classes(&stays)[1..]);
}

/// Machines that take longer to start than any span without load lasts are always there.
#[test]
fn a_start_that_is_longer_than_the_rest_leaves_no_rest() {
    let once = OFFICE.replace("office-hours", &format!("[{}0%, 0%]", "100%, 20%, ".repeat(11)));
    let (spec, mut world) = world(&text(&once, "peak: 30 req/s", ZERO));
    let least = |p: &Placement| {
        let pool: &Pool = &p.workloads["services.chat"].pools[0];
        let f = pool.following.clone().unwrap();
        (f.start_up_s > 2 * 3_600, f.classes[0].share, f.classes[0].replicas)
    };
    assert_eq!(least(&line::place(&spec, &world).unwrap()), (false, 0, 0));
    for kind in &mut world.catalog.instance_types {
        kind.network_gbps = Some(0.01);
    }
    let slow = line::place(&spec, &world).unwrap();
    let (long, share, replicas) = least(&slow);
    assert!(long && share > 0 && replicas > 0, "{share} {replicas}");
    clean("slow", &(spec, world, slow));
}

fn plan(spec: &rhumb::spec::Spec, world: &rhumb::placement::World) -> Plan {
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

/// What a fleet says of its days, which no two clouds number alike, and the checker reads.
#[test]
fn fleets_name_the_days_of_their_hours() {
    let (spec, world) = world(&text(&week("0%"), "peak: 30 req/s", ZERO));
    let plan = plan(&spec, &world);
    let clean = check::plan(&spec, &world, None, &plan);
    assert!(clean.findings.is_empty(), "{:?}", clean.findings);
    let is_fleet = |c: &rhumb::plan::Change| c.after.as_ref().is_some_and(|r| r.kind == ResourceKind::Fleet);
    let fleet = plan.changes.iter().position(is_fleet).expect("a fleet");
    let of = plan.changes[fleet].after.as_ref().unwrap().attributes.clone();
    assert_eq!(of.get("min_count"), Some(&Attr::Int(0)));
    let Some(Attr::List(schedule)) = of.get("schedule") else { panic!("{of:?}") };
    let days = |entry: &Attr| -> Vec<String> {
        let Attr::Map(entry) = entry else { panic!("{entry:?}") };
        let Some(Attr::List(days)) = entry.get("days") else { panic!("{entry:?}") };
        days.iter()
            .map(|day| if let Attr::Text(day) = day { day.clone() } else { panic!("{day:?}") })
            .collect()
    };
    let all: Vec<Vec<String>> = schedule.iter().map(days).collect();
    let working = ["monday", "tuesday", "wednesday", "thursday", "friday"];
    // Every change within a working day is on all five; nothing is left of Friday's machines on Saturday, and Monday's start on Sunday.
    assert!(all.iter().any(|days| days == &working), "{all:?}");
    assert!(
        all.contains(&vec!["saturday".to_owned()]) && all.contains(&vec!["sunday".to_owned()]),
        "{all:?}"
    );
    let broken = |edit: &dyn Fn(&mut Vec<Attr>)| {
        let mut bad = plan.clone();
        let mut list = schedule.clone();
        edit(&mut list);
        bad.changes[fleet].after.as_mut().unwrap().attributes.insert("schedule", Attr::List(list));
        check::plan(&spec, &world, None, &bad).findings.iter().any(|f| f.message.contains("other hours"))
    };
    fn days_of(entry: &mut Attr) -> &mut Vec<Attr> {
        let Attr::Map(entry) = entry else { panic!() };
        let Some(Attr::List(days)) = entry.get_mut("days") else { panic!() };
        days
    }
    assert!(!broken(&|_| {}), "as planned");
    assert!(broken(&|list| days_of(&mut list[0])[0] = Attr::from("sunday")), "another day");
    assert!(broken(&|list| days_of(&mut list[0])[0] = Attr::from("Montag")), "no day");
    assert!(broken(&|list| drop(days_of(&mut list[1]).pop())), "a day less");
    assert!(broken(&|list| drop(list.pop())), "an entry less");
}

/// A load that only the weekend has is played.
#[test]
fn the_hours_of_the_weekend_are_played() {
    let (spec, mut world) = world(&text(&week("50%"), "peak: 30 req/s", PLAIN));
    world.replay = 2_000;
    let placement = line::place(&spec, &world).unwrap();
    let traces = Default::default();
    let options = Options { requests: 8_000, seed: 1, traces: &traces, progress: &|_, _| {} };
    let found = verify(&spec, &world, &placement, &options).expect("all is known");
    let hours = found.services[0].scenarios.iter().filter(|s| s.name == "hours");
    let told: Vec<(f64, bool)> = hours.map(|s| (s.pools[0].rate / 30.0, s.broken())).collect();
    // 5, 15, 30 and 50 % of the weekend with 10, 30 and 60 % of the other days.
    assert_eq!(told.len(), 6, "{told:?}");
    for ((rate, broken), wanted) in told.iter().zip([0.05, 0.10, 0.15, 0.30, 0.50, 0.60]) {
        assert!((rate / wanted - 1.0).abs() < 0.1 && !broken, "{told:?}");
    }
}
