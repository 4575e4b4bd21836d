//! What happens after a call was accepted: failures, runs, spot machines, stock, quotas and money.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Call, ErrorKind, Money, ProviderError, Purchase, ResourceKind, Status};
use rhumb_sim::{Event, Interruptions, Price, Quota, Rule, Runs, Stock, Verb, What, World};

use crate::bench::{Bench, place};

fn later(verb: Verb, kind: ResourceKind) -> World {
    let what = What::FailLater(ProviderError::new(ErrorKind::Capacity, "sold out"));
    let rule = Rule { nth: None, verb: Some(verb), kind: Some(kind), address: None, times: Some(1), what };
    World { rules: vec![rule], ..World::default() }
}

fn stock(machines: u32, spot: bool) -> Vec<Stock> {
    let place = place();
    let (cloud, region, instance_type) = (place.cloud, place.region, place.instance_type);
    vec![Stock { cloud, region, instance_type, spot, machines: Some(machines) }]
}

pub fn price(purchase: Purchase, micros: i64) -> Price {
    let place = place();
    let (cloud, region, instance_type) = (place.cloud, place.region, place.instance_type);
    Price { cloud, region, instance_type, purchase, per_hour: Money::from_micros(micros) }
}

#[test]
fn what_was_accepted_may_fail() {
    let mut bench = Bench::new(later(Verb::Create, ResourceKind::Fleet));
    bench.before(ResourceKind::Fleet);
    let order = bench.order(ResourceKind::Fleet);
    let seen = bench.one(Call::Create(order)).unwrap();
    assert_eq!((seen.status, seen.running), (Status::Pending, Some(0)));
    let seen = bench.settled(&seen.handle).unwrap();
    assert!(matches!(&seen.status, Status::Failed(error) if error.kind == ErrorKind::Capacity));
    assert_eq!(seen.running, Some(1), "half of it is there");
    // The same order again tries again.
    let order = bench.order(ResourceKind::Fleet);
    bench.one(Call::Update(seen.handle.clone(), order));
    let seen = bench.settled(&seen.handle).unwrap();
    assert_eq!((seen.status, seen.running), (Status::Ready, Some(2)));
}

#[test]
fn a_failed_change_leaves_what_was_and_a_failed_removal_leaves_it_all() {
    let mut bench = Bench::new(later(Verb::Update, ResourceKind::Fleet));
    let before = bench.sample(ResourceKind::Fleet);
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(9))]);
    bench.one(Call::Update(before.handle.clone(), order));
    let seen = bench.settled(&before.handle).unwrap();
    assert!(matches!(seen.status, Status::Failed(_)));
    assert_eq!((seen.running, &seen.attributes), (Some(2), &before.attributes));

    let mut bench = Bench::new(later(Verb::Delete, ResourceKind::Network));
    let seen = bench.sample(ResourceKind::Network);
    bench.one(Call::Delete(seen.handle.clone()));
    assert!(matches!(bench.settled(&seen.handle).unwrap().status, Status::Failed(_)));
    bench.remove(&seen.handle);
}

#[test]
fn a_failed_thing_carries_nothing_and_can_be_removed() {
    let mut bench = Bench::new(later(Verb::Create, ResourceKind::Network));
    let order = bench.order(ResourceKind::Network);
    let seen = bench.one(Call::Create(order)).unwrap();
    bench.ids.insert(ResourceKind::Network, seen.handle.id.clone());
    assert!(matches!(bench.settled(&seen.handle).unwrap().status, Status::Failed(_)));
    let order = bench.order(ResourceKind::Firewall);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid);
    bench.remove(&seen.handle);
}

#[test]
fn machines_are_taken_and_given_back() {
    let mut bench = Bench::new(World { stock: stock(3, false), ..World::default() });
    let fleet = bench.sample(ResourceKind::Fleet);
    let order = bench.order(ResourceKind::Fleet);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Capacity);
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(4))]);
    assert_eq!(bench.error(Call::Update(fleet.handle.clone(), order)), ErrorKind::Capacity);
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(3))]);
    bench.one(Call::Update(fleet.handle.clone(), order));
    assert_eq!(bench.settled(&fleet.handle).unwrap().running, Some(3));
    // Spot machines are another stock.
    let order = bench.with(ResourceKind::Fleet, &[("purchase", "spot".into())]);
    bench.make(order);
    bench.remove(&fleet.handle);
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(3))]);
    bench.make(order);
}

#[test]
fn quotas_are_by_prefix_and_purchase() {
    let place = place();
    let quota = |type_prefix: Option<&str>, spot, machines| Quota {
        cloud: place.cloud,
        region: place.region.clone(),
        type_prefix: type_prefix.map(str::to_owned),
        spot,
        machines,
    };
    let quotas = vec![quota(Some("p5"), None, 0), quota(Some("m7i"), Some(false), 2), quota(None, None, 3)];
    let mut bench = Bench::new(World { quotas, ..World::default() });
    let first = bench.sample(ResourceKind::Fleet);
    let one = |purchase: &str| [("count", Attr::Int(1)), ("purchase", Attr::from(purchase))];
    let order = bench.with(ResourceKind::Fleet, &one("on_demand"));
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Quota);
    let order = bench.with(ResourceKind::Fleet, &one("spot"));
    bench.make(order);
    let order = bench.with(ResourceKind::Fleet, &one("spot"));
    assert_eq!(bench.error(Call::Create(order.clone())), ErrorKind::Quota, "three of all");
    bench.remove(&first.handle);
    bench.make(order);
}

#[test]
fn a_run_ends_and_its_machines_are_gone() {
    let world = World {
        stock: stock(1, false),
        prices: vec![price(Purchase::OnDemand, 3_600_000)],
        ..World::default()
    };
    let mut bench = Bench::new(world);
    let run = bench.sample(ResourceKind::JobRun);
    let made_ms = bench.now;
    bench.wait(1_800_000);
    let seen = bench.one(Call::Read(run.handle.clone())).unwrap();
    assert_eq!((seen.status, seen.running), (Status::Complete, Some(0)));
    let cost = bench.cloud.bill(bench.now).total.micros();
    assert!((1_800_000..1_800_000 + i64::try_from(made_ms).unwrap()).contains(&cost), "{cost}");
    // Its machines are there for the next one, and what it was ordered with can still be changed.
    bench.sample(ResourceKind::JobRun);
    let order = bench.with(ResourceKind::JobRun, &[("count", Attr::Int(50))]);
    bench.one(Call::Update(run.handle.clone(), order));
    let seen = bench.settled(&run.handle).unwrap();
    assert_eq!((seen.status, seen.running), (Status::Complete, Some(0)));
}

#[test]
fn runs_with_a_schedule_come_again_and_streams_never_end() {
    let runs = Runs { run_ms: Some(60_000), period_ms: 600_000, ..Runs::default() };
    let mut bench = Bench::new(World { runs, ..World::default() });
    bench.before(ResourceKind::JobRun);
    let order = bench.with(ResourceKind::JobRun, &[("schedule", "0 2 * * *".into())]);
    let nightly = bench.make(order);
    let order = bench.with(ResourceKind::JobRun, &[("restart", "always".into())]);
    let made_ms = bench.now;
    let stream = bench.make(order);
    let (mut starts, mut working) = (0, true);
    let until = bench.now + 3 * 600_000;
    while bench.now < until {
        bench.wait(5_000);
        let seen = bench.one(Call::Read(nightly.handle.clone())).unwrap();
        assert_eq!(seen.status, Status::Ready);
        let works = seen.running == Some(1);
        starts += usize::from(works && !working);
        working = works;
        let seen = bench.one(Call::Read(stream.handle.clone())).unwrap();
        assert_eq!((seen.status, seen.running), (Status::Ready, Some(1)));
    }
    assert_eq!(starts, 3);
    let ms = bench.cloud.bill(bench.now).machine_ms - (bench.now - made_ms);
    assert!((180_000..260_000).contains(&ms), "three runs and the start of a fourth: {ms}");
    assert_eq!(bench.events(|event| *event == Event::Became(Status::Complete)), 0);
}

#[test]
fn spot_machines_are_lost_and_made_up_for() {
    let spot = Interruptions { per_hour_ppm: 1_000_000, replace_ms: 90_000 };
    let mut bench = Bench::new(World { spot, stock: stock(40, true), ..World::default() });
    bench.before(ResourceKind::Fleet);
    let order = bench.with(ResourceKind::Fleet, &[("purchase", "spot".into()), ("count", Attr::Int(40))]);
    let fleet = bench.make(order);
    let mut seen = Vec::new();
    for _ in 0..60 {
        bench.wait(60_000);
        seen.push(bench.one(Call::Read(fleet.handle.clone())).unwrap().running.unwrap());
    }
    assert!(seen.iter().any(|n| *n < 40), "{seen:?}");
    assert!(seen.windows(2).any(|pair| pair[1] > pair[0]), "{seen:?}");
    assert!(seen.iter().all(|n| *n <= 40));
    // What nobody sells any more is not made up for.
    let place = bench.place.clone();
    bench.cloud.set_stock(place.cloud, &place.region, &place.instance_type, true, Some(0));
    bench.wait(20 * 3_600_000);
    assert_eq!(bench.one(Call::Read(fleet.handle.clone())).unwrap().running, Some(0));
    bench.cloud.set_stock(place.cloud, &place.region, &place.instance_type, true, None);
    bench.wait(90_000);
    assert!(bench.one(Call::Read(fleet.handle)).unwrap().running > Some(30));
}

#[test]
fn a_price_that_is_not_known_is_told() {
    let mut bench = Bench::new(World { prices: vec![price(Purchase::Spot, 1)], ..World::default() });
    let fleet = bench.sample(ResourceKind::Fleet);
    bench.wait(3_600_000);
    let bill = bench.cloud.bill(bench.now);
    assert_eq!((bill.total, bill.by_address), (Money::ZERO, BTreeMap::new()));
    assert!(bill.machine_ms >= 2 * 3_600_000);
    assert_eq!(bill.machine_ms, bill.unpriced_machine_ms);
    // From now on it has one.
    let world = World { prices: vec![price(Purchase::OnDemand, 1_000_000)], ..World::default() };
    bench.cloud.set_world(world);
    bench.wait(3_600_000);
    let bill = bench.cloud.bill(bench.now);
    assert_eq!(bill.total.micros(), 2_000_000);
    assert_eq!(bill.by_address[fleet.address().unwrap()].micros(), 2_000_000);
}

/// Machines that are made anew come as the fleet says: some more for a while, or some fewer.
#[test]
fn machines_are_made_anew_some_at_a_time() {
    let place = place();
    let quota = |machines| Quota {
        cloud: place.cloud,
        region: place.region.clone(),
        type_prefix: None,
        spot: None,
        machines,
    };
    let rolled = |bench: &mut Bench, surge: i64, missing: i64, template: &str| {
        let numbers = [("count", 4), ("max_surge", surge), ("max_unavailable", missing)];
        let numbers = numbers.map(|(name, n)| (name, Attr::Int(n)));
        let template = ("launch_template_sha256", Attr::from(template));
        bench.with(ResourceKind::Fleet, &[&numbers[..], &[template]].concat())
    };
    // (surge, missing, quota) to what is healthy meanwhile, or none where the quota does not have so many.
    let cases = [
        ((1, 0, 5), Some(4)),
        ((9, 0, 8), Some(4)),
        ((1, 0, 4), None),
        ((9, 0, 7), None),
        ((0, 1, 4), Some(3)),
        ((2, 3, 6), Some(1)),
    ];
    for ((surge, missing, machines), healthy) in cases {
        let mut bench = Bench::new(World { quotas: vec![quota(machines)], ..World::default() });
        bench.before(ResourceKind::Fleet);
        let first = rolled(&mut bench, surge, missing, "a");
        let made = bench.make(first);
        assert_eq!((made.running, made.healthy), (Some(4), Some(4)));
        let second = rolled(&mut bench, surge, missing, "b");
        let change = Call::Update(made.handle.clone(), second);
        let Some(healthy) = healthy else {
            assert_eq!(bench.error(change), ErrorKind::Quota, "{surge} {missing} {machines}");
            continue;
        };
        let seen = bench.one(change).unwrap();
        assert_eq!((seen.status, seen.healthy), (Status::Pending, Some(healthy)), "{surge} {missing}");
        // What is there besides counts as long as it is there, and no longer.
        let more = |bench: &mut Bench, n: i64| {
            let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(n))]);
            bench.call(Call::Create(order)).map_err(|error| error.kind)
        };
        let left = i64::from(machines) - 4 - surge.min(4);
        assert_eq!(more(&mut bench, left + 1).err(), Some(ErrorKind::Quota), "{surge} {missing}");
        let seen = bench.settled(&made.handle).unwrap();
        assert_eq!((seen.status, seen.running, seen.healthy), (Status::Ready, Some(4), Some(4)));
        if machines > 4 {
            assert!(more(&mut bench, i64::from(machines) - 4).is_ok(), "{surge} {missing}");
        }
    }
    // What is too many goes before the others are made anew.
    let mut bench = Bench::new(World { quotas: vec![quota(4)], ..World::default() });
    bench.before(ResourceKind::Fleet);
    let first = rolled(&mut bench, 2, 0, "a");
    let made = bench.make(first);
    let mut fewer = rolled(&mut bench, 2, 0, "b");
    fewer.resource.attributes.insert("count", Attr::Int(1));
    bench.one(Call::Update(made.handle.clone(), fewer));
    assert_eq!(bench.settled(&made.handle).unwrap().running, Some(1));
    let mut bench = Bench::new(World::default());
    bench.before(ResourceKind::Fleet);
    for (surge, missing) in [(0, 0), (-1, 1)] {
        let order = rolled(&mut bench, surge, missing, "a");
        assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "{surge} {missing}");
    }
    let mut order = rolled(&mut bench, 1, 0, "a");
    order.resource.attributes.remove("max_unavailable");
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "one without the other");
}
