//! Random sequences of calls against what can be said of all of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb_api::{Attr, Call, ErrorKind, Handle, Purchase, ResourceKind, Token};
use rhumb_sim::{CallNo, Event, Faults, Interruptions, Rate, SimCloud, Stock, World};

use crate::bench::{Bench, place};
use crate::courses::price;

/// One step of a sequence.
#[derive(Clone, Debug)]
enum Step {
    Create(u32, bool),
    Repeat(usize),
    Update(usize, u32),
    Delete(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u32, any::<bool>()).prop_map(|(n, spot)| Step::Create(n, spot)),
        1 => any::<usize>().prop_map(Step::Repeat),
        2 => (any::<usize>(), 0..8_u32).prop_map(|(which, n)| Step::Update(which, n)),
        2 => any::<usize>().prop_map(Step::Delete),
        3 => (0..20_000_u64).prop_map(Step::Wait),
        1 => (0..400_000_u64).prop_map(Step::Wait),
    ]
}

fn world(seed: u64, deduplicates: bool) -> World {
    let place = place();
    let stock = |spot, machines| Stock {
        cloud: place.cloud,
        region: place.region.clone(),
        instance_type: place.instance_type.clone(),
        spot,
        machines: Some(machines),
    };
    World {
        seed,
        deduplicates,
        stock: vec![stock(false, 9), stock(true, 4)],
        prices: vec![price(Purchase::OnDemand, 3_333_333), price(Purchase::Spot, 1_000_001)],
        calls: BTreeMap::from([(place.cloud, Rate { per_second: 20, burst: 10 })]),
        spot: Interruptions { per_hour_ppm: 900_000, replace_ms: 30_000 },
        ..World::default()
    }
}

const FAULTS: Faults = Faults {
    request_lost_ppm: 50_000,
    reply_lost_ppm: 50_000,
    request_late_ppm: 50_000,
    request_duplicated_ppm: 50_000,
    errors_ppm: BTreeMap::new(),
    fails_later_ppm: 100_000,
    reply_late_ppm: 50_000,
    reply_duplicated_ppm: 50_000,
};

/// Runs a sequence without waiting for answers; what is never true is looked for after every step.
fn run(seed: u64, deduplicates: bool, steps: &[Step]) -> (SimCloud, u64, BTreeMap<Token, bool>) {
    let mut bench = Bench::new(world(seed, deduplicates));
    bench.before(ResourceKind::Fleet);
    let mut world = bench.cloud.world().clone();
    world.faults = FAULTS;
    bench.cloud.set_world(world);
    let mut orders = Vec::new();
    let mut spots = BTreeMap::new();
    for step in steps {
        let handles: Vec<Handle> = bench
            .cloud
            .inventory()
            .into_iter()
            .map(|seen| seen.handle)
            .filter(|handle| handle.kind == ResourceKind::Fleet)
            .collect();
        let pick = |n: usize| handles.get(n % handles.len().max(1)).cloned();
        match step {
            Step::Create(count, spot) => {
                let purchase = if *spot { "spot" } else { "on_demand" };
                let changes = [("count", Attr::Int(i64::from(*count))), ("purchase", purchase.into())];
                let order = bench.with(ResourceKind::Fleet, &changes);
                orders.push(order.clone());
                spots.insert(order.tags.token.clone(), *spot);
                bench.cloud.submit(bench.now, Call::Create(order));
            }
            Step::Repeat(which) if !orders.is_empty() => {
                let order = orders[which % orders.len()].clone();
                bench.cloud.submit(bench.now, Call::Create(order));
            }
            Step::Update(which, count) => {
                if let Some(handle) = pick(*which) {
                    let purchase = purchase_of(&bench.cloud, &handle);
                    let changes = [("count", Attr::Int(i64::from(*count))), ("purchase", purchase)];
                    let order = bench.with(ResourceKind::Fleet, &changes);
                    bench.cloud.submit(bench.now, Call::Update(handle, order));
                }
            }
            Step::Delete(which) => {
                if let Some(handle) = pick(*which) {
                    bench.cloud.submit(bench.now, Call::Delete(handle));
                }
            }
            Step::Wait(ms) => {
                bench.now += ms;
                bench.cloud.advance(bench.now);
            }
            Step::Repeat(_) => {}
        }
        holds(&bench.cloud);
    }
    (bench.cloud, bench.now, spots)
}

fn purchase_of(cloud: &SimCloud, handle: &Handle) -> Attr {
    let all = cloud.inventory();
    let seen = all.iter().find(|seen| seen.handle == *handle).unwrap();
    seen.attributes["purchase"].clone()
}

/// Machines that each thing holds, by what the log says of them.
fn machines(cloud: &SimCloud) -> BTreeMap<Handle, u32> {
    let mut all = BTreeMap::new();
    for entry in cloud.log() {
        if let (Some(handle), Event::Machines(n)) = (&entry.handle, &entry.event) {
            all.insert(handle.clone(), *n);
        }
    }
    all
}

fn holds(cloud: &SimCloud) {
    let machines = machines(cloud);
    for (spot, stock) in [("on_demand", 9), ("spot", 4)] {
        let of = |seen: &rhumb_api::Observed| seen.attributes.get("purchase") == Some(&Attr::from(spot));
        let held: u32 = cloud
            .inventory()
            .iter()
            .filter(|seen| of(seen))
            .map(|seen| machines.get(&seen.handle).copied().unwrap_or(0))
            .sum();
        assert!(held <= stock, "{held} of {stock} {spot}");
    }
    for seen in cloud.inventory() {
        if let Some(running) = seen.running {
            assert!(running <= machines.get(&seen.handle).copied().unwrap_or(0), "{seen:?}");
        }
    }
    if cloud.guarantees().deduplicates {
        let mut tokens: Vec<_> = cloud.inventory().into_iter().map(|seen| seen.tags.unwrap().token).collect();
        tokens.sort();
        assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]), "two things of one token");
    }
}

/// The bill by the log alone: every interval of every thing, one by one.
fn naive_bill(cloud: &SimCloud, until: u64, spot: &BTreeMap<Token, bool>) -> i64 {
    let mut since: BTreeMap<Handle, (u64, u32, Token)> = BTreeMap::new();
    let mut sum: i128 = 0;
    let mut add = |from: u64, to: u64, n: u32, token: &Token| {
        let price: i128 = if spot[token] { 1_000_001 } else { 3_333_333 };
        sum += i128::from(to - from) * i128::from(n) * price;
    };
    for entry in cloud.log() {
        if let (Some(handle), Event::Machines(n), Some(token)) = (&entry.handle, &entry.event, &entry.token)
            && let Some((from, had, token)) = since.insert(handle.clone(), (entry.at_ms, *n, token.clone()))
        {
            add(from, entry.at_ms, had, &token);
        }
    }
    for (from, n, token) in since.values() {
        add(*from, until, *n, token);
    }
    i64::try_from((sum + 1_800_000).div_euclid(3_600_000)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn stock_is_never_overdrawn_and_all_of_it_comes_back(
        seed in any::<u64>(),
        deduplicates in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut cloud, mut now, _) = run(seed, deduplicates, &steps);
        let mut world = cloud.world().clone();
        world.faults = Faults::default();
        world.calls = BTreeMap::new();
        cloud.set_world(world);
        // Whatever is left is removed; then the stock can be had in full again.
        loop {
            now += 60_000;
            cloud.advance(now);
            holds(&cloud);
            let left: Vec<Handle> = cloud.inventory().into_iter().map(|seen| seen.handle).collect();
            if left.is_empty() {
                break;
            }
            for handle in left {
                cloud.submit(now, Call::Delete(handle));
            }
        }
        prop_assert!(machines(&cloud).values().all(|n| *n == 0));
    }

    #[test]
    fn the_bill_is_what_the_log_comes_to(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut cloud, now, spot) = run(seed, true, &steps);
        let bill = cloud.bill(now);
        prop_assert_eq!(bill.total.micros(), naive_bill(&cloud, now, &spot));
        prop_assert_eq!(bill.unpriced_machine_ms, 0);
    }

    #[test]
    fn the_same_seed_leaves_the_same_log(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let log = |cloud: &SimCloud| serde_json::to_string(cloud.log()).unwrap();
        let (first, now, _) = run(seed, true, &steps);
        let (second, ..) = run(seed, true, &steps);
        prop_assert_eq!(log(&first), log(&second));
        prop_assert_eq!(first.now_ms(), now.max(first.now_ms()));
    }

    #[test]
    fn every_call_is_answered_once_and_in_time(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut cloud, now, _) = run(seed, false, &steps);
        cloud.advance(now + 100_000);
        let mut sent: BTreeMap<CallNo, u64> = BTreeMap::new();
        let mut answered: BTreeMap<CallNo, u32> = BTreeMap::new();
        for entry in cloud.log() {
            let Some(call) = entry.call else { continue };
            match &entry.event {
                Event::Sent => drop(sent.insert(call, entry.at_ms)),
                Event::AnsweredAgain => prop_assert_eq!(answered.get(&call), Some(&1), "again"),
                Event::Answered(kind) => {
                    *answered.entry(call).or_default() += 1;
                    let took = entry.at_ms - sent[&call];
                    prop_assert!(took <= 30_000);
                    prop_assert!(*kind != Some(ErrorKind::UnknownOutcome) || took == 30_000);
                }
                _ => {}
            }
        }
        prop_assert_eq!(sent.len(), answered.len());
        prop_assert!(answered.values().all(|n| *n == 1));
    }

    #[test]
    fn how_often_time_is_told_does_not_matter(
        seed in any::<u64>(),
        ticks in prop::collection::vec(1..3_000_u64, 0..40),
    ) {
        let log = |ticks: &[u64]| {
            let mut bench = Bench::new(World { seed, faults: FAULTS, ..World::default() });
            for _ in 0..10 {
                let order = bench.order(ResourceKind::Network);
                bench.cloud.submit(0, Call::Create(order));
            }
            let mut now = 0;
            for tick in ticks {
                now += tick;
                bench.cloud.advance(now);
            }
            bench.cloud.advance(1_000_000);
            serde_json::to_string(bench.cloud.log()).unwrap()
        };
        prop_assert_eq!(log(&ticks), log(&[]));
    }
}
