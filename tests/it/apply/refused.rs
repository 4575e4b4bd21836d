//! What becomes of what an apply has made when machines are refused and nothing that may stand in is left.

use std::collections::BTreeMap;

use rhumb::plan::{Desired, Rollout};
use rhumb_api::{ErrorKind, ProviderError, ResourceKind};
use rhumb_sim::{Rule, Stock, Verb, What, World};

use super::deployment::{Region, standby};
use super::world::{Death, End, Plan, Theatre};

/// From what, to what; which machines are refused.
struct Story {
    name: &'static str,
    before: Desired,
    after: Desired,
    refused: Vec<&'static str>,
    /// What stands in, which is refused too.
    other: Option<(Region, &'static str, &'static str)>,
}

fn stories() -> Vec<Story> {
    let small = Region::new("services.chat", "eu-west-1");
    let mut moved = small.clone();
    moved.pools = BTreeMap::from([("p5.48xlarge".to_owned(), (2, 1))]);
    let mut grown = small.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 2));
    grown.pools.insert("p5.48xlarge".into(), (2, 1));
    let mut ranged = small.clone();
    ranged.range = 65;
    let of = |name, before: Desired, after: Desired, refused: &[&'static str]| Story {
        name,
        before,
        after,
        refused: refused.to_vec(),
        other: None,
    };
    vec![
        of("create", Desired::new(), small.wanted(), &["g6e.xlarge"]),
        of("another type", small.wanted(), moved.wanted(), &["p5.48xlarge"]),
        of("grown and another type", small.wanted(), grown.wanted(), &["p5.48xlarge"]),
        of("another type and not grown", small.wanted(), grown.wanted(), &["g6e.xlarge"]),
        of("replace", small.wanted(), ranged.wanted(), &["g6e.xlarge"]),
        Story {
            other: Some((small.clone(), "g6e.xlarge", "p5.48xlarge")),
            ..of("fallback", Desired::new(), small.wanted(), &["g6e.xlarge", "p5.48xlarge"])
        },
    ]
}

fn staged(story: &Story, roll_back: bool, world: World) -> (Theatre, Plan) {
    let mut theatre = Theatre::new(World { rules: Vec::new(), ..world.clone() });
    if !story.before.is_empty() {
        theatre.converge(&Plan::new("first", None, &story.before));
    }
    let plan = beside(&mut theatre, story, roll_back, world);
    (theatre, plan)
}

/// The plan of a story beside what is there, and no more machines of what is refused than there are.
fn beside(theatre: &mut Theatre, story: &Story, roll_back: bool, world: World) -> Plan {
    let stock = |name: &&'static str| {
        let region = Region::new("services.chat", "eu-west-1");
        let there = theatre.cloud.inventory().into_iter();
        let own = there.filter(|seen| seen.attributes.get("instance_type") == Some(&(*name).into()));
        let machines = own.filter_map(|seen| seen.running).sum();
        Stock {
            cloud: region.cloud,
            region: region.region,
            instance_type: (*name).to_owned(),
            spot: false,
            machines: Some(machines),
        }
    };
    let stock = story.refused.iter().map(stock).collect();
    theatre.cloud.set_world(World { stock, ..world });
    let mut plan = Plan::new("second", Some(&theatre.durable.clone()), &story.after);
    plan.standbys.extend(story.other.iter().map(|(region, refused, other)| standby(region, refused, other)));
    plan.rollouts.push(Rollout {
        workload: "services.chat".into(),
        health_timeout_s: 600,
        roll_back,
        waves: vec![vec!["aws/eu-west-1".into()]],
    });
    plan
}

/// What is wrong, but for that the apply is not complete.
fn faults(theatre: &Theatre, wanted: &Desired) -> Vec<String> {
    let wrong = theatre.faults(wanted).into_iter();
    wrong.filter(|what| !what.starts_with("not at an end: 0 open, 0 spare, applying")).collect()
}

#[test]
fn what_was_made_goes_again_where_the_plan_says_so() {
    for story in stories() {
        for roll_back in [true, false] {
            let (mut theatre, plan) = staged(&story, roll_back, World { seed: 3, ..World::default() });
            theatre.least_healthy = Some(u32::MAX);
            let before = theatre.healthy();
            let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
            assert!(!summary.complete() && summary.failed.len() == 1, "{}: {summary:?}", story.name);
            let wrong = faults(&theatre, &story.before);
            assert_eq!(wrong.is_empty(), roll_back, "{}: {wrong:?}", story.name);
            assert!(theatre.least_healthy.expect("watched") >= before, "{}: what served goes on", story.name);
            // The next plan starts from the truth, whichever it is.
            let third = Plan::new("third", Some(&theatre.durable.clone()), &story.before);
            assert_eq!(third.order.is_empty(), roll_back, "{}: {:?}", story.name, third.order);
            theatre.cloud.set_world(World { seed: 3, ..World::default() });
            theatre.converge(&third);
            assert_eq!(theatre.faults(&story.before), Vec::<String>::new(), "{}", story.name);
        }
    }
}

/// Cut off anywhere, also on the way back, the same plan goes on to the same end.
#[test]
fn a_death_on_the_way_back_loses_nothing() {
    let mut points = 0;
    for story in stories() {
        for deduplicates in [true, false] {
            for at in 0.. {
                let world = World { seed: 4, deduplicates, ..World::default() };
                let (mut theatre, plan) = staged(&story, true, world);
                if let End::Finished(_) = theatre.apply(&plan, Some(Death { at, after: at % 2 == 0 })) {
                    break;
                }
                let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
                theatre.rest();
                let what = format!("{} at {at}, {deduplicates}", story.name);
                assert!(!summary.complete(), "{what}");
                let what = format!("{what}: {summary:?}");
                assert_eq!(faults(&theatre, &story.before), Vec::<String>::new(), "{what}");
                assert_eq!(theatre.made_twice(), Vec::<String>::new(), "{what}");
                points += 1;
            }
        }
    }
    assert!(points > 150, "{points}");
}

/// Machines that come back into stock: the same plan goes on from what was before it.
#[test]
fn the_same_plan_may_be_tried_again() {
    for story in stories() {
        let (mut theatre, plan) = staged(&story, true, World { seed: 5, ..World::default() });
        assert!(matches!(theatre.apply(&plan, None), End::Finished(summary) if !summary.complete()));
        theatre.cloud.set_world(World { seed: 5, ..World::default() });
        let end = theatre.apply(&plan, None);
        assert!(matches!(&end, End::Finished(summary) if summary.complete()), "{}: {end:?}", story.name);
        theatre.rest();
        if story.other.is_none() {
            assert_eq!(theatre.faults(&story.after), Vec::<String>::new(), "{}", story.name);
        }
    }
}

/// What an earlier plan replaced and could not remove does not come back into use in the place of what serves.
#[test]
fn what_an_earlier_plan_replaced_stays_so() {
    let small = Region::new("services.chat", "eu-west-1");
    let mut ranged = small.clone();
    ranged.range = 65;
    let mut theatre = Theatre::new(World { seed: 6, ..World::default() });
    theatre.converge(&Plan::new("first", None, &small.wanted()));
    let kept = Rule {
        verb: Some(Verb::Delete),
        kind: Some(ResourceKind::Fleet),
        address: None,
        nth: None,
        times: None,
        what: What::Error(ProviderError::new(ErrorKind::Denied, "not yours")),
    };
    theatre.cloud.set_world(World { seed: 6, rules: vec![kept], ..World::default() });
    let second = Plan::new("second", Some(&theatre.durable.clone()), &ranged.wanted());
    assert!(matches!(theatre.apply(&second, None), End::Finished(summary) if !summary.complete()));
    let fleet = ranged.pool("g6e.xlarge").child("on_demand");
    let in_use = |theatre: &Theatre| theatre.durable.resources[&fleet].id.clone();
    let serves = in_use(&theatre);
    assert!(
        theatre.durable.spares.iter().any(|spare| spare.address == fleet),
        "{:?}",
        theatre.durable.spares
    );
    // Only its number is changed then, and refused.
    let mut grown = ranged.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 1));
    let story = Story {
        name: "leftover",
        before: Desired::new(),
        after: grown.wanted(),
        refused: vec!["g6e.xlarge"],
        other: None,
    };
    let plan = beside(&mut theatre, &story, true, World { seed: 6, ..World::default() });
    let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
    assert!(!summary.complete() && summary.went_back == ["services.chat"], "{summary:?}");
    assert_eq!(in_use(&theatre), serves);
    assert_eq!(faults(&theatre, &ranged.wanted()), Vec::<String>::new());
}

/// What cannot go again is not said to be gone.
#[test]
fn what_stays_is_told() {
    let story = stories().remove(3);
    assert_eq!(story.name, "another type and not grown");
    let kept = Rule {
        verb: Some(Verb::Delete),
        kind: None,
        address: None,
        nth: None,
        times: None,
        what: What::Error(ProviderError::new(ErrorKind::Denied, "not yours")),
    };
    let (mut theatre, plan) = staged(&story, true, World { seed: 7, rules: vec![kept], ..World::default() });
    let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
    assert!(summary.went_back.is_empty() && summary.not_back == ["services.chat"], "{summary:?}");
}
