//! What others did behind its back: it is seen, recorded, planned back, and nothing else is.

use std::collections::BTreeMap;

use rhumb::apply::{Drift, Effect, Engine as _, Event, Found, Survey};
use rhumb::plan::Desired;
use rhumb::state::{Record, Spared, State, What};
use rhumb_api::{Attr, ErrorKind, Handle, Observed, ProviderError, ResourceKind, Status, Tags, Token};
use rhumb_sim::{Rule, Verb, What as Does, World};

use super::deployment::{Region, run};
use super::world::{End, Plan, Theatre};

/// Looks once, on virtual time.
fn look(theatre: &mut Theatre, state: &State) -> Drift {
    let mut survey = Survey::new(state, theatre.options.clone());
    let mut events = std::collections::VecDeque::from([Event::Start]);
    let (mut calls, mut timers) = (BTreeMap::new(), std::collections::BTreeSet::new());
    loop {
        while let Some(event) = events.pop_front() {
            for effect in survey.on(event) {
                match effect {
                    Effect::Send { number, call } => {
                        assert!(!call.changes(), "a look changes nothing: {call:?}");
                        calls.insert(theatre.cloud.submit(theatre.now, *call), number);
                    }
                    Effect::Wait { number, ms } => {
                        timers.insert((theatre.now + ms, number));
                    }
                    Effect::Finish(_) => return survey.drift(),
                    Effect::Write { .. } | Effect::Tell(_) => panic!("a look records nothing"),
                }
            }
        }
        let ring = timers.first().map(|(at, _)| *at);
        let next = [ring, theatre.cloud.next_ms()].into_iter().flatten().min();
        theatre.now = theatre.now.max(next.expect("something is under way"));
        for (n, answer) in theatre.cloud.advance(theatre.now) {
            events.extend(calls.remove(&n).map(|number| Event::Answered(number, answer)));
        }
        while let Some((at, number)) = timers.first().copied().filter(|(at, _)| *at <= theatre.now) {
            timers.remove(&(at, number));
            events.push_back(Event::Rang(number));
        }
    }
}

fn record(theatre: &mut Theatre, drift: &Drift) {
    for record in drift.records("a@b", "2026-11-25T00:00:00Z") {
        theatre.durable.take(&record).expect("a record that fits");
        theatre.history.push(record);
    }
}

/// A small deployment that exists as it was planned.
fn standing(world: World) -> (Theatre, Desired) {
    let wanted: Desired = Region::new("services.chat", "eu-west-1")
        .wanted()
        .into_iter()
        .chain(run("nightly", "g2-standard-4", 1))
        .collect();
    let mut theatre = Theatre::new(world);
    let plan = Plan::new("first", None, &wanted);
    theatre.converge(&plan);
    (theatre, wanted)
}

fn quick() -> World {
    World { seed: 3, ..World::default() }
}

fn handle(theatre: &Theatre, address: &str) -> Handle {
    let (_, thing) = theatre
        .durable
        .resources
        .iter()
        .find(|(addr, _)| addr.as_str().ends_with(address))
        .expect("it is there");
    thing.handle().expect("an id")
}

fn found(drift: &Drift) -> Vec<(String, &Found)> {
    drift.found.iter().map(|((addr, _), found)| (addr.to_string(), found)).collect()
}

#[test]
fn what_is_as_recorded_is_found_so_by_one_call_a_region() {
    let (mut theatre, wanted) = standing(World { list_lag_ms: 0, ..quick() });
    theatre.rest();
    let before = theatre.cloud.log().len();
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    let only_the_run = found(&drift)
        .iter()
        .all(|(addr, found)| addr.starts_with("batches.") && matches!(found, Found::Completed));
    assert!(only_the_run && drift.unseen.is_empty(), "{drift:?}");
    assert_eq!(drift.seen.len(), wanted.len(), "everything was shown");
    assert!(theatre.cloud.log().len() > before);
    record(&mut theatre, &drift);
    // What is known by now is not found again, and nothing is planned.
    let state = theatre.durable.clone();
    assert_eq!(found(&look(&mut theatre, &state)), []);
    assert_eq!(theatre.durable.serial, state.serial, "nothing new is nothing to record");
    let plan = Plan::new("again", Some(&theatre.durable), &wanted);
    assert!(plan.order.is_empty(), "{:?}", plan.order);
    assert!(
        theatre.durable.resources.values().any(|thing| thing.complete),
        "the run has ended and is not run again"
    );
}

#[test]
fn what_others_did_is_found_and_planned_back() {
    let (mut theatre, wanted) = standing(quick());
    theatre.rest();
    let fleet = handle(&theatre, "g6e.xlarge/on_demand");
    let balancer = handle(&theatre, "load_balancer");
    let network = handle(&theatre, "eu-west-1/network");
    theatre.cloud.set_attribute(&fleet, "count", Some(Attr::Int(7))).expect("changed");
    theatre.cloud.vanish(&balancer).expect("gone");
    let token = Token::parse("0123456789abcdef0123456789abcdef").expect("a token");
    let stray = Handle { id: "vpc-99".into(), ..network.clone() };
    let tags = Tags { lineage: "demo-1".into(), address: super::deployment::addr("services.old/x"), token };
    let planted = Observed {
        handle: stray.clone(),
        tags,
        attributes: [("zones", Attr::Int(1))].into(),
        status: Status::Ready,
        running: None,
        healthy: None,
        outputs: BTreeMap::new(),
    };
    theatre.cloud.plant(planted.clone()).expect("planted");
    // Of another deployment: none of our business.
    let mut other = planted;
    other.handle.id = "vpc-98".into();
    other.tags.lineage = "other".into();
    other.tags.token = Token::parse("1123456789abcdef0123456789abcdef").expect("a token");
    theatre.cloud.plant(other.clone()).expect("planted");
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    let of = |address: &str| {
        drift.found.iter().find(|((addr, _), _)| addr.as_str().ends_with(address)).map(|(_, f)| f)
    };
    match of("g6e.xlarge/on_demand") {
        Some(Found::Changed(now, _)) => assert_eq!(now["count"], Attr::Int(7)),
        other => panic!("{other:?}"),
    }
    assert_eq!(of("load_balancer"), Some(&Found::Vanished));
    assert!(matches!(of("services.old/x"), Some(Found::Stray(..))), "{drift:?}");
    assert_eq!(
        drift.found.len(),
        3 + usize::from(of("batches.nightly/gcp/europe-west4/g2-standard-4/on_demand").is_some())
    );
    record(&mut theatre, &drift);
    assert_eq!(theatre.durable.spares[0].why, Spared::Stray);
    assert_eq!(theatre.durable.history.last().map(|deed| deed.what), Some(What::Refresh));
    // The next plan leads back to what was wanted, and to nothing else.
    let back = Plan::new("back", Some(&theatre.durable), &wanted);
    let told: Vec<&str> = back.order.iter().map(rhumb_api::ResourceAddr::as_str).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    theatre.converge(&back);
    theatre.cloud.vanish(&other.handle).expect("the other one was left alone");
    assert_eq!(theatre.faults(&wanted), Vec::<String>::new());
}

#[test]
fn machines_that_a_fleet_has_by_its_load_are_no_difference() {
    let (mut theatre, mut wanted) = standing(quick());
    let fleet = handle(&theatre, "g6e.xlarge/on_demand");
    for (addr, (resource, _)) in &mut wanted {
        if addr.as_str().ends_with("g6e.xlarge/on_demand") {
            resource.attributes.insert("min_count", Attr::Int(1));
            resource.attributes.insert("max_count", Attr::Int(4));
        }
    }
    let follows = Plan::new("follows", Some(&theatre.durable), &wanted);
    theatre.converge(&follows);
    theatre.rest();
    for (count, differs) in [(1, false), (4, false), (0, true), (5, true)] {
        theatre.cloud.set_attribute(&fleet, "count", Some(Attr::Int(count))).expect("changed");
        let state = theatre.durable.clone();
        let drift = look(&mut theatre, &state);
        let told = drift.found.keys().any(|(_, of)| *of == fleet);
        assert_eq!(told, differs, "{count}: {drift:?}");
    }
}

/// A list that lags shows what is gone and does not show what is there: neither is taken for the truth.
#[test]
fn a_lagging_list_is_no_proof() {
    let (mut theatre, _) = standing(World { list_lag_ms: 600_000, ..quick() });
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    let strange = found(&drift).into_iter().filter(|(_, found)| !matches!(found, Found::Completed));
    assert_eq!(strange.collect::<Vec<_>>(), []);
    assert!(drift.unseen.is_empty(), "{:?}", drift.unseen);
    assert_eq!(drift.seen.len(), state.resources.len(), "each was asked for by itself");
}

/// Lost and throttled questions are put again; what cannot be asked is not said to be gone.
#[test]
fn a_look_goes_on_through_faults_and_says_what_it_could_not_see() {
    let (mut theatre, _) = standing(quick());
    theatre.rest();
    let error = |kind| Does::Error(ProviderError::new(kind, "planted"));
    let rule =
        |times, what| Rule { nth: None, verb: Some(Verb::List), kind: None, address: None, times, what };
    let mut world = theatre.cloud.world().clone();
    world.rules = vec![rule(Some(3), error(ErrorKind::Throttled)), rule(Some(2), Does::DropReply)];
    theatre.cloud.set_world(world.clone());
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    assert!(drift.unseen.is_empty(), "{drift:?}");
    world.rules = vec![rule(None, error(ErrorKind::Denied))];
    theatre.cloud.set_world(world);
    let drift = look(&mut theatre, &state);
    assert!(drift.found.is_empty() && drift.seen.is_empty(), "{drift:?}");
    assert_eq!(drift.unseen.len(), state.places().len(), "{drift:?}");
    assert!(drift.unseen.iter().all(|(_, why)| why.contains("denied: planted")));
}

#[test]
fn what_is_forgotten_is_left_alone_and_can_be_taken_over_again() {
    let (mut theatre, wanted) = standing(quick());
    theatre.rest();
    let fleet = handle(&theatre, "g6e.xlarge/on_demand");
    let (by, at) = ("a@b".to_owned(), "2026-11-25T00:00:00Z".to_owned());
    let address = super::deployment::addr("services.chat/aws/eu-west-1/g6e.xlarge/on_demand");
    let forget = Record::Forget { address: address.clone(), by: by.clone(), at: at.clone() };
    theatre.durable.take(&forget).expect("forgotten");
    assert_eq!(theatre.durable.forgotten, std::slice::from_ref(&fleet));
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    assert!(!drift.found.keys().any(|(_, of)| *of == fleet), "it is no stray: {drift:?}");
    let (resource, depends_on) = wanted[&address].clone();
    let import = |id: &str| Record::Import {
        address: address.clone(),
        resource: resource.clone(),
        id: id.into(),
        depends_on: depends_on.clone(),
        outputs: BTreeMap::new(),
        by: by.clone(),
        at: at.clone(),
    };
    theatre.durable.take(&import(&fleet.id)).expect("taken over");
    assert!(theatre.durable.forgotten.is_empty());
    assert!(theatre.durable.take(&import("asg-2")).is_err(), "something is there");
    let plan = Plan::new("again", Some(&theatre.durable), &wanted);
    assert!(plan.order.is_empty(), "{:?}", plan.order);
    let whats: Vec<What> = theatre.durable.history.iter().map(|deed| deed.what).collect();
    assert_eq!(whats[whats.len() - 2..], [What::Forget, What::Import]);
}

/// Any attribute of any thing changed, any thing gone, in any order: one refresh and one apply lead back.
#[test]
fn whatever_others_do_one_refresh_and_one_apply_lead_back() {
    let (mut changed, mut gone) = (0, 0);
    for seed in 0..60_u64 {
        let (mut theatre, wanted) = standing(World { seed, ..World::default() });
        theatre.rest();
        let things = theatre.cloud.inventory();
        let mut random = seed;
        let mut next = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % n
        };
        for _ in 0..=next(4) {
            let thing = &things[next(things.len())];
            if thing.handle.kind == ResourceKind::JobRun {
                continue;
            }
            if next(3) == 0 {
                gone += usize::from(theatre.cloud.vanish(&thing.handle).is_ok());
                continue;
            }
            let names: Vec<&str> = thing.attributes.keys().collect();
            let name = names[next(names.len())];
            let value = match &thing.attributes[name] {
                Attr::Int(n) => Some(Attr::Int(n + 1)),
                Attr::Text(_) if !name.contains("network") => Some(Attr::Text("other".into())),
                _ => None,
            };
            if let Some(value) = value {
                changed += usize::from(theatre.cloud.set_attribute(&thing.handle, name, Some(value)).is_ok());
            }
        }
        let state = theatre.durable.clone();
        let drift = look(&mut theatre, &state);
        assert!(drift.unseen.is_empty(), "{seed}: {drift:?}");
        record(&mut theatre, &drift);
        let back = Plan::new("back", Some(&theatre.durable), &wanted);
        let end = theatre.apply(&back, None);
        let complete = matches!(&end, End::Finished(summary) if summary.complete());
        assert!(complete, "{seed}: {end:?} {drift:?}");
        theatre.rest();
        assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{seed}");
    }
    assert!(changed > 40 && gone > 20, "{changed} {gone}");
}
