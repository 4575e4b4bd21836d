//! Runs that come after others, on whichever cloud.

use rhumb_api::{Attr, Call, Cloud, Handle, Observed, Order, Purchase, ResourceAddr, ResourceKind, Status};
use rhumb_sim::{Durations, Runs, Span, Stock, World};

use crate::bench::{Bench, place};
use crate::courses::price;

const RUN_MS: u64 = 600_000;

fn bench(world: World) -> Bench {
    let runs = Runs { run_ms: Some(RUN_MS), ..Runs::default() };
    let mut bench = Bench::new(World { runs, ..world });
    bench.before(ResourceKind::JobRun);
    bench
}

/// A run of a workload of its own that comes after others.
fn run(bench: &mut Bench, name: &str, after: &[&str], more: &[(&str, Attr)]) -> Order {
    let mut order = bench.with(ResourceKind::JobRun, more);
    order.tags.address = ResourceAddr::parse(format!("batches.{name}/run")).unwrap();
    let after: Vec<Attr> = after.iter().map(|name| format!("batches.{name}").into()).collect();
    if !after.is_empty() {
        order.resource.attributes.insert("after", Attr::List(after));
    }
    order
}

fn made(bench: &mut Bench, name: &str, after: &[&str]) -> Observed {
    let order = run(bench, name, after, &[]);
    bench.make(order)
}

fn is(bench: &mut Bench, handle: &Handle) -> (Status, Option<u32>) {
    let seen = bench.one(Call::Read(handle.clone())).expect("it is there");
    (seen.status, seen.running)
}

const WAITS: (Status, Option<u32>) = (Status::Ready, Some(0));
const RUNS: (Status, Option<u32>) = (Status::Ready, Some(1));
const ENDED: (Status, Option<u32>) = (Status::Complete, Some(0));

#[test]
fn a_run_waits_unpaid_for_those_it_comes_after_and_starts_by_itself() {
    let mut bench = bench(World { prices: vec![price(Purchase::OnDemand, 3_600_000)], ..World::default() });
    let first = made(&mut bench, "first", &[]);
    // The second cloud is another one, which knows nothing of the first.
    let on_aws = (bench.place.clone(), bench.ids.clone());
    bench.place.cloud = Cloud::Gcp;
    bench.ids.clear();
    bench.before(ResourceKind::JobRun);
    let second = made(&mut bench, "second", &[]);
    (bench.place, bench.ids) = on_aws;
    let third = made(&mut bench, "third", &["first", "second"]);
    let fourth = made(&mut bench, "fourth", &["third"]);
    let fifth = made(&mut bench, "fifth", &["never-made"]);
    assert_eq!(is(&mut bench, &fifth.handle), RUNS, "a run that is not there is not waited for");
    for (run, state) in [(&first, RUNS), (&second, RUNS), (&third, WAITS), (&fourth, WAITS)] {
        assert_eq!(is(&mut bench, &run.handle), state);
    }
    bench.wait(RUN_MS - 10_000);
    assert_eq!(is(&mut bench, &third.handle), WAITS);
    bench.wait(20_000);
    assert_eq!((is(&mut bench, &first.handle), is(&mut bench, &second.handle)), (ENDED, ENDED));
    assert_eq!((is(&mut bench, &third.handle), is(&mut bench, &fourth.handle)), (RUNS, WAITS));
    bench.wait(RUN_MS);
    assert_eq!((is(&mut bench, &third.handle), is(&mut bench, &fourth.handle)), (ENDED, RUNS));
    bench.wait(RUN_MS);
    assert_eq!(is(&mut bench, &fourth.handle), ENDED);
    // Each is paid for its own run alone, and not for its waiting.
    let bill = bench.cloud.bill(bench.now);
    for run in [&third, &fourth] {
        // 3.60 USD an hour are a micro-dollar a millisecond.
        let micros = bill.by_address[run.address().unwrap()].micros();
        assert_eq!(micros, i64::try_from(RUN_MS).unwrap(), "{:?}", run.address());
    }
}

#[test]
fn what_has_run_is_not_waited_for_and_one_that_goes_before_it_has_run_is() {
    let mut bench = bench(World::default());
    let first = made(&mut bench, "first", &[]);
    bench.wait(RUN_MS);
    let second = made(&mut bench, "second", &["first"]);
    assert_eq!((is(&mut bench, &first.handle), is(&mut bench, &second.handle)), (ENDED, RUNS));
    // Another one for the same address counts in its place.
    let again = made(&mut bench, "first", &[]);
    let third = made(&mut bench, "third", &["first"]);
    assert_eq!(is(&mut bench, &third.handle), WAITS);
    bench.remove(&first.handle);
    bench.remove(&again.handle);
    bench.wait(2 * RUN_MS);
    assert_eq!(is(&mut bench, &third.handle), WAITS, "what it waited for never was complete");
    made(&mut bench, "first", &[]);
    bench.wait(RUN_MS);
    assert_eq!(is(&mut bench, &third.handle), RUNS);
    // Another deployment's run of the same name is none of its business.
    let mut fourth = run(&mut bench, "fourth", &["third"], &[]);
    fourth.tags.lineage = "another".to_owned();
    let ids = std::mem::take(&mut bench.ids);
    for kind in [ResourceKind::Network, ResourceKind::Firewall, ResourceKind::LaunchTemplate] {
        let mut ground = bench.order(kind);
        ground.tags.lineage = "another".to_owned();
        let seen = bench.make(ground);
        let address = rhumb_api::conformance::address(&place(), kind);
        fourth.needs.entry(address).and_modify(|id| *id = seen.handle.id);
    }
    bench.ids = ids;
    let fourth = bench.make(fourth);
    assert_eq!(is(&mut bench, &fourth.handle), RUNS);
}

#[test]
fn a_waiting_run_can_be_changed_and_misses_nothing_meanwhile() {
    let minute = Span { min: 60_000, max: 60_000 };
    let durations = [(ResourceKind::JobRun, Durations { change: minute, ..Durations::default() })].into();
    let mut bench = bench(World { durations, ..World::default() });
    let first = made(&mut bench, "first", &[]);
    let second = made(&mut bench, "second", &["first"]);
    let change = |bench: &mut Bench, after: &[&str], count: i64| {
        let order = run(bench, "second", after, &[("count", Attr::Int(count))]);
        bench.one(Call::Update(second.handle.clone(), order));
    };
    change(&mut bench, &["first"], 2);
    bench.settled(&second.handle);
    assert_eq!(is(&mut bench, &second.handle), WAITS);
    bench.wait(RUN_MS - 90_000);
    change(&mut bench, &["first"], 3);
    bench.wait(40_000);
    assert_eq!(is(&mut bench, &first.handle), ENDED);
    assert_eq!(is(&mut bench, &second.handle), (Status::Pending, Some(0)));
    bench.settled(&second.handle);
    assert_eq!(is(&mut bench, &second.handle), (Status::Ready, Some(3)));
}

#[test]
fn a_run_that_no_longer_names_what_it_waits_for_starts() {
    let mut bench = bench(World::default());
    made(&mut bench, "first", &[]);
    let second = made(&mut bench, "second", &["first"]);
    let order = run(&mut bench, "second", &[], &[]);
    bench.one(Call::Update(second.handle.clone(), order));
    bench.settled(&second.handle);
    assert_eq!(is(&mut bench, &second.handle), RUNS);
}

#[test]
fn a_run_that_may_start_and_finds_no_machines_starts_when_there_are_some() {
    let place = place();
    let stock = Stock {
        cloud: place.cloud,
        region: place.region.clone(),
        instance_type: place.instance_type.clone(),
        spot: false,
        machines: Some(2),
    };
    let mut bench = bench(World { stock: vec![stock], ..World::default() });
    made(&mut bench, "first", &[]);
    let second = made(&mut bench, "second", &["first"]);
    let set = |bench: &mut Bench, machines| {
        bench.cloud.set_stock(place.cloud, &place.region, &place.instance_type, false, machines);
    };
    set(&mut bench, Some(0));
    bench.wait(2 * RUN_MS);
    assert_eq!(is(&mut bench, &second.handle), WAITS);
    set(&mut bench, None);
    bench.wait(120_000);
    assert_eq!(is(&mut bench, &second.handle), RUNS);
    bench.wait(RUN_MS);
    assert_eq!(is(&mut bench, &second.handle), ENDED);
}

#[test]
fn each_run_of_a_schedule_waits_for_the_one_under_way_before_it() {
    let mut bench = bench(World::default());
    let nightly = [("schedule", Attr::from("0 2 * * *"))];
    let first = run(&mut bench, "first", &[], &nightly);
    let first = bench.make(first);
    let second = run(&mut bench, "second", &["first"], &nightly);
    let second = bench.make(second);
    assert_eq!(is(&mut bench, &second.handle), WAITS);
    let (mut starts, mut worked) = (0, false);
    let until = bench.now + 3 * 86_400_000;
    while bench.now < until {
        bench.wait(60_000);
        let (leads, follows) = (is(&mut bench, &first.handle), is(&mut bench, &second.handle));
        assert!(leads.1 == Some(0) || follows.1 == Some(0), "both run");
        let works = follows.1 == Some(1);
        starts += usize::from(works && !worked);
        worked = works;
    }
    assert_eq!(starts, 3);
}
