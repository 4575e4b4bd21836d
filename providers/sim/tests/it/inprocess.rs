//! The provider without a network.

use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_api::conformance::{LINEAGE, kinds, order, token};
use rhumb_api::{Call, Provider, Reply, ResourceKind, Scope, Status};
use rhumb_sim::{Entry, Event, Faults, InProcess, Rule, Verb, What, World};

use crate::bench::place;

fn network(n: u64) -> Call {
    Call::Create(order(&place(), ResourceKind::Network, token(n), &std::collections::BTreeMap::new()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn calls_are_under_way_together_on_virtual_time() {
    let run = || {
        let sim = InProcess::new(World::default());
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime(), async {
            let tasks: Vec<_> = (1..=20)
                .map(|n| {
                    let sim = sim.clone();
                    tokio::task::spawn_local(async move { sim.call(&network(n)).await })
                })
                .collect();
            for task in tasks {
                assert!(task.await.unwrap().is_ok());
            }
            // Twenty at once take as long as the slowest.
            assert!(sim.now_ms() <= 100, "{}", sim.now_ms());
            sim.sleep(10_000).await;
            assert!(sim.now_ms() >= 10_000);
        });
        sim.with(|cloud| serde_json::to_string(cloud.log()).unwrap())
    };
    assert_eq!(run(), run());
}

#[test]
fn every_kind_goes_through() {
    let sim = InProcess::new(World::default());
    assert!(sim.simulated() && sim.clouds().len() == 4);
    runtime().block_on(async {
        let mut ids = std::collections::BTreeMap::new();
        for (n, kind) in kinds(&place()).iter().enumerate() {
            let call = Call::Create(order(&place(), *kind, token(n as u64), &ids));
            let Ok(Reply::One(Some(seen))) = sim.call(&call).await else { panic!("{kind}") };
            ids.insert(*kind, seen.handle.id.clone());
            sim.sleep(5_000).await;
            let Ok(Reply::One(Some(seen))) = sim.call(&Call::Read(seen.handle)).await else {
                panic!("{kind}")
            };
            assert_eq!(seen.status, Status::Ready);
        }
        let scope =
            Scope { cloud: place().cloud, region: place().region, lineage: LINEAGE.to_owned(), token: None };
        sim.advance_ms(10_000);
        let Ok(Reply::Many(all)) = sim.call(&Call::List(scope)).await else { panic!() };
        assert_eq!(all.len(), kinds(&place()).len());
    });
}

/// Who has an answer waits for no other: the second one of a doubled reply comes to nobody.
#[test]
fn a_call_is_answered_once() {
    let faults = Faults { reply_duplicated_ppm: 1_000_000, ..Faults::default() };
    let sim = InProcess::new(World { faults, ..World::default() });
    runtime().block_on(async {
        for n in 1..=20 {
            assert!(sim.call(&network(n)).await.is_ok());
        }
        sim.sleep(60_000).await;
    });
    let again = |entry: &&Entry| entry.event == Event::AnsweredAgain;
    assert_eq!(sim.with(|cloud| cloud.log().iter().filter(again).count()), 0);
    // One that drives the cloud by itself sees both.
    let second = sim.with(|cloud| {
        cloud.submit(cloud.now_ms(), network(21));
        cloud.advance(cloud.now_ms() + 1_000).len()
    });
    assert_eq!(second, 2);
}

#[test]
fn a_held_call_waits_for_its_release_or_its_end() {
    let rule = Rule {
        nth: None,
        verb: Some(Verb::Create),
        kind: None,
        address: None,
        times: None,
        what: What::HoldBefore,
    };
    let sim = InProcess::new(World { rules: vec![rule], ..World::default() });
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime(), async {
        let answered = std::rc::Rc::new(AtomicUsize::new(0));
        let spawn = |n| {
            let (sim, answered) = (sim.clone(), answered.clone());
            tokio::task::spawn_local(async move {
                let answer = sim.call(&network(n)).await;
                answered.fetch_add(1, Ordering::Relaxed);
                answer
            })
        };
        let (first, second) = (spawn(1), spawn(2));
        sim.sleep(100_000).await;
        let held = sim.with(|cloud| cloud.held());
        assert_eq!((held.len(), answered.load(Ordering::Relaxed)), (2, 0));
        first.abort();
        assert!(first.await.is_err());
        assert_eq!(sim.with(|cloud| cloud.held().len()), 1);
        assert!(sim.with(|cloud| cloud.release(held[1].number)));
        assert!(second.await.unwrap().is_ok());
        assert_eq!(sim.with(|cloud| cloud.inventory().len()), 1);
    });
}
