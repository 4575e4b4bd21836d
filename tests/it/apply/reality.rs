//! What others did behind its back: it is seen, recorded, planned back, and nothing else is.

use std::collections::BTreeMap;

use rhumb::apply::{Drift, Effect, Engine as _, Event, Found, Survey};
use rhumb::plan::{Action, Change, Desired, Rollout};
use rhumb::state::{Record, Spared, State, What};
use rhumb_api::{Attr, ErrorKind, Handle, Observed, ProviderError, ResourceKind, Status, Tags, Token};
use rhumb_sim::{Rule, Stock, Verb, What as Does, World};

use super::deployment::{Region, run};
use super::life::Desk;
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
        tags: Some(tags),
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
    let tags = other.tags.as_mut().expect("tagged");
    tags.lineage = "other".into();
    tags.token = Token::parse("1123456789abcdef0123456789abcdef").expect("a token");
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
    // A number beyond the bounds that was recorded does not stay for ever.
    let of = |theatre: &Theatre| {
        let thing = theatre.durable.resources.values().find(|t| t.handle().as_ref() == Some(&fleet));
        thing.expect("recorded").resource.attributes["count"].clone()
    };
    let planned = of(&theatre);
    for (count, recorded) in [(5, Attr::Int(5)), (3, Attr::Int(3)), (4, Attr::Int(3))] {
        theatre.cloud.set_attribute(&fleet, "count", Some(Attr::Int(count))).expect("changed");
        let state = theatre.durable.clone();
        let drift = look(&mut theatre, &state);
        record(&mut theatre, &drift);
        assert_eq!(of(&theatre), recorded, "{count}");
    }
    // What is otherwise besides does not take the number along.
    theatre.cloud.set_attribute(&fleet, "image", Some("other".into())).expect("changed");
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    record(&mut theatre, &drift);
    assert_eq!(of(&theatre), Attr::Int(3));
    assert!(planned != Attr::Int(5));
}

/// Where names are ids, an old record may name what others have made since; what was taken over from others stays ours.
#[test]
fn what_others_made_under_our_ids_is_not_ours() {
    let (mut theatre, _) = standing(quick());
    theatre.rest();
    let mut state = State { lineage: "old-1".into(), ..theatre.durable.clone() };
    let drift = look(&mut theatre, &state);
    let others = drift.found.values().filter(|found| **found == Found::Others("demo-1".into())).count();
    assert_eq!((others, drift.seen.len()), (state.resources.len(), 0), "{drift:?}");
    for record in drift.records("a@b", "2026-11-25T00:00:00Z") {
        state.take(&record).expect("a record that fits");
    }
    assert!(state.resources.is_empty(), "nothing of theirs is ever removed by us");
    let mut state = State { lineage: "old-1".into(), ..theatre.durable.clone() };
    for thing in state.resources.values_mut() {
        std::sync::Arc::make_mut(thing).token = None;
    }
    let drift = look(&mut theatre, &state);
    assert!(
        !drift.found.values().any(|found| matches!(found, Found::Others(_) | Found::Vanished)),
        "{drift:?}"
    );
    assert_eq!(drift.seen.len(), state.resources.len());
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
        owner: None,
        known_as: BTreeMap::new(),
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
        let again = Plan::new("again", Some(&theatre.durable), &wanted);
        assert!(again.order.is_empty(), "{seed}: {:?} {drift:?}", again.order);
    }
    assert!(changed > 40 && gone > 20, "{changed} {gone}");
}

/// What is gone is made anew, and the plan that says so tells all that this means for what stood on it: afterwards nothing is left to do.
#[test]
fn what_stood_on_what_is_gone_is_told_with_it() {
    let chat = "services.chat/aws/eu-west-1";
    let (pool, fleet) = ("g6e.xlarge/launch_template", "g6e.xlarge/on_demand");
    let told: [(&[&str], &[(&str, Action)]); 6] = [
        (&["load_balancer"], &[("load_balancer", Action::Create), (fleet, Action::Update)]),
        (
            &["firewall"],
            &[("firewall", Action::Create), (pool, Action::Update), ("load_balancer", Action::Update)],
        ),
        (&[pool], &[(pool, Action::Create), (fleet, Action::Update)]),
        (&[fleet], &[(fleet, Action::Create)]),
        (
            &["network"],
            &[
                ("network", Action::Create),
                ("firewall", Action::Replace),
                (pool, Action::Update),
                ("load_balancer", Action::Replace),
                (fleet, Action::Replace),
            ],
        ),
        (
            &["network", "firewall", "load_balancer"],
            &[
                ("network", Action::Create),
                ("firewall", Action::Create),
                (pool, Action::Update),
                ("load_balancer", Action::Create),
                (fleet, Action::Replace),
            ],
        ),
    ];
    let pointed = format!("{chat}/firewall is replaced: it is pointed to the new one");
    for (gone, told) in told {
        let (mut theatre, wanted) = standing(quick());
        theatre.rest();
        for name in gone {
            let handle = handle(&theatre, &format!("{chat}/{name}"));
            theatre.cloud.vanish(&handle).expect("it was there");
        }
        let state = theatre.durable.clone();
        let drift = look(&mut theatre, &state);
        record(&mut theatre, &drift);
        let plan = Plan::new("back", Some(&theatre.durable), &wanted);
        let changes = plan.changes.iter().filter(|change| change.action != Action::Keep);
        let is: BTreeMap<&str, Action> =
            changes.map(|change| (change.addr.as_str(), change.action)).collect();
        let expected: BTreeMap<String, Action> =
            told.iter().map(|(name, action)| (format!("{chat}/{name}"), *action)).collect();
        assert_eq!(is, expected.iter().map(|(addr, action)| (addr.as_str(), *action)).collect(), "{gone:?}");
        let why = |c: &Change| c.action == Action::Create || c.reasons[0].contains("is not there any more");
        let told = |c: &&Change| c.action != Action::Keep && c.reasons[0] != pointed;
        assert!(plan.changes.iter().filter(told).all(why), "{gone:?}: {:?}", plan.changes);
        theatre.converge(&plan);
        theatre.rest();
        assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{gone:?}");
        let again = Plan::new("again", Some(&theatre.durable), &wanted);
        assert!(again.order.is_empty(), "{gone:?}: {:?}", again.order);
        let ids = |at: &str| {
            theatre
                .durable
                .resources
                .iter()
                .filter(|(addr, _)| addr.as_str().ends_with(at))
                .find_map(|(_, thing)| thing.id.clone())
        };
        let chat_fleet = theatre
            .durable
            .resources
            .iter()
            .find(|(addr, _)| addr.as_str().ends_with(fleet))
            .expect("a fleet")
            .1;
        let balancer = chat_fleet.stands_on.iter().find(|(addr, _)| addr.as_str().ends_with("load_balancer"));
        assert_eq!(
            balancer.map(|(_, id)| id.clone()),
            ids("load_balancer"),
            "{gone:?}: machines are behind what answers"
        );
    }
}

/// A run that has ended is not run again for what it needed being gone.
#[test]
fn a_run_that_has_ended_misses_nothing() {
    let (mut theatre, wanted) = standing(quick());
    theatre.rest();
    let state = theatre.durable.clone();
    let ended = look(&mut theatre, &state);
    record(&mut theatre, &ended);
    assert!(theatre.durable.resources.values().any(|thing| thing.complete));
    for name in ["network", "launch_template"] {
        let all = theatre.durable.resources.iter();
        let of_it =
            all.filter(|(addr, _)| addr.workload() == "batches.nightly" && addr.as_str().ends_with(name));
        let handles: Vec<Handle> = of_it.filter_map(|(_, thing)| thing.handle()).collect();
        handles.iter().for_each(|handle| theatre.cloud.vanish(handle).expect("it was there"));
    }
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    record(&mut theatre, &drift);
    let plan = Plan::new("back", Some(&theatre.durable), &wanted);
    let run = plan.changes.iter().find(|change| change.addr.as_str().ends_with("g2-standard-4/on_demand"));
    assert_eq!(run.map(|change| change.action), Some(Action::Keep));
    theatre.converge(&plan);
    let again = Plan::new("again", Some(&theatre.durable), &wanted);
    assert!(again.order.is_empty(), "{:?}", again.order);
}

/// On the way back of machines that were refused, what was made in the place of something that is gone stays where what serves stands on
/// it by now.
#[test]
fn what_serves_keeps_what_was_made_for_it() {
    let (mut theatre, wanted) = standing(quick());
    theatre.rest();
    let balancer = handle(&theatre, "eu-west-1/load_balancer");
    theatre.cloud.vanish(&balancer).expect("it was there");
    let state = theatre.durable.clone();
    let drift = look(&mut theatre, &state);
    record(&mut theatre, &drift);
    let mut more = wanted.clone();
    let mut grown = Region::new("services.chat", "eu-west-1");
    grown.pools.insert("p5.48xlarge".into(), (2, 1));
    more.extend(grown.wanted());
    let (cloud, region, instance_type) = (grown.cloud, grown.region, "p5.48xlarge".into());
    let stock = vec![Stock { cloud, region, instance_type, spot: false, machines: Some(0) }];
    theatre.cloud.set_world(World { stock, ..quick() });
    let mut plan = Plan::new("more", Some(&theatre.durable), &more);
    plan.rollouts.push(Rollout {
        workload: "services.chat".into(),
        health_timeout_s: 600,
        roll_back: true,
        waves: vec![vec!["aws/eu-west-1".into()]],
    });
    let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
    assert!(!summary.complete() && summary.went_back == ["services.chat"], "{summary:?}");
    let again = Plan::new("again", Some(&theatre.durable), &wanted);
    assert!(again.order.is_empty(), "{:?}", again.order);
}

/// By the commands that people type: the plan that makes anew what is gone is checked, and nothing is left to do after it.
#[test]
fn what_is_gone_is_planned_checked_and_made_by_one_apply() {
    for (kind, told) in [
        (ResourceKind::LoadBalancer, "1 to create, 1 to change, 0 to remove"),
        (ResourceKind::Network, "4 to create, 1 to change, 3 to remove"),
    ] {
        let desk = Desk::new();
        desk.ok(&["apply", ".", "--yes", "--quiet"]);
        let there = desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == kind);
        desk.sim.vanish(&there.expect("it was made").handle);
        let out = desk.ok(&["plan", ".", "--refresh", "--out", "back.plan"]);
        assert!(out.contains(told), "{kind}: {out}");
        let (out, err, code) = desk.here(&["check", "--plan", "back.plan"]);
        assert_eq!(code, 0, "{kind}: {out}{err}");
        desk.ok(&["apply", "back.plan", "--quiet"]);
        let (out, err, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
        assert_eq!(code, 0, "{kind}: {out}{err}");
    }
}
