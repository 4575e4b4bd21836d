//! Nothing that serves goes before what takes its place serves.

use std::collections::BTreeMap;

use rhumb::apply::{Summary, Verb as Does};
use rhumb::plan::{Desired, Rollout};
use rhumb_api::{Handle, Observed, ResourceKind};
use rhumb_sim::{Event, Rule, Span, Verb, What, World};

use super::deployment::Region;
use super::world::{End, Plan, Theatre};

fn rule(verb: Verb, what: What, times: Option<u64>) -> Rule {
    Rule { verb: Some(verb), kind: Some(ResourceKind::Fleet), address: None, nth: None, times, what }
}

fn world(rules: Vec<Rule>) -> World {
    World { seed: 5, rules, ..World::default() }
}

/// A service that stands, and the same on machines of another type.
fn moved(world: World) -> (Theatre, Desired) {
    let small = Region::new("services.chat", "eu-west-1");
    let mut theatre =
        Theatre::new(World { rules: Vec::new(), warm_ms: Span { min: 0, max: 0 }, ..world.clone() });
    theatre.converge(&Plan::new("first", None, &small.wanted()));
    theatre.cloud.set_world(world);
    let mut moved = small;
    moved.pools = BTreeMap::from([("p5.48xlarge".to_owned(), (2, 1))]);
    (theatre, moved.wanted())
}

fn finished(theatre: &mut Theatre, plan: &Plan) -> Summary {
    match theatre.apply(plan, None) {
        End::Finished(summary) => summary,
        End::Died => panic!("nobody killed it"),
    }
}

fn fleets(theatre: &Theatre) -> Vec<Observed> {
    let all = theatre.cloud.inventory();
    all.into_iter().filter(|seen| seen.handle.kind == ResourceKind::Fleet).collect()
}

fn healthy(theatre: &Theatre) -> Vec<(String, u32)> {
    let of = |seen: Observed| (seen.address().expect("tagged").to_string(), seen.healthy.expect("told"));
    fleets(theatre).into_iter().map(of).collect()
}

#[test]
fn what_serves_stays_until_what_takes_its_place_does() {
    let (mut theatre, wanted) = moved(world(vec![rule(Verb::Create, What::Sick, Some(1))]));
    let plan = Plan::new("second", Some(&theatre.durable.clone()), &wanted);
    let summary = finished(&mut theatre, &plan);
    assert!(!summary.complete());
    let (verb, addr, why) = &summary.failed[0];
    assert_eq!((*verb, summary.failed.len()), (Does::Check, 1), "{summary:?}");
    assert!(addr.as_str().contains("p5.48xlarge"), "{addr}");
    assert_eq!(why, "0 of 2 machines are healthy after 1800 s: what serves so far stays");
    assert!(summary.skipped.iter().all(|(verb, ..)| *verb == Does::Delete) && !summary.skipped.is_empty());
    let both = healthy(&theatre);
    assert_eq!(both.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 0], "the old one serves: {both:?}");
    // Neither a second try nor a new plan takes it away.
    assert!(!finished(&mut theatre, &plan).complete());
    let state = theatre.durable.clone();
    let third = Plan::new("third", Some(&state), &wanted);
    let summary = finished(&mut theatre, &third);
    assert!(!summary.complete() && fleets(&theatre).len() == 2, "{summary:?}");
    // Once they serve, it goes.
    let new: Handle = fleets(&theatre).pop().expect("two").handle;
    theatre.cloud.set_healthy(&new, None).expect("there");
    assert_eq!(theatre.converge(&third), 1);
    assert_eq!(theatre.faults(&wanted), Vec::<String>::new());
}

#[test]
fn who_says_so_goes_on_without_health() {
    let (mut theatre, wanted) = moved(world(vec![rule(Verb::Create, What::Sick, Some(1))]));
    theatre.options.ignore_health = true;
    let plan = Plan::new("second", Some(&theatre.durable.clone()), &wanted);
    assert_eq!(theatre.converge(&plan), 1);
    assert_eq!(theatre.faults(&wanted), Vec::<String>::new());
    assert_eq!(theatre.healthy(), 0);
}

/// At no time do fewer machines serve than were promised before and after; without the look they do, which this sees.
#[test]
fn capacity_never_falls_below_the_promise() {
    for seed in 0..40 {
        let warm_ms = Span { min: 60_000, max: 900_000 };
        let of = World { seed, warm_ms, ..World::default() };
        for ignore in [false, true] {
            let (mut theatre, wanted) = moved(of.clone());
            theatre.options.ignore_health = ignore;
            theatre.least_healthy = Some(u32::MAX);
            let plan = Plan::new("second", Some(&theatre.durable.clone()), &wanted);
            assert_eq!(theatre.converge(&plan), 1);
            let least = theatre.least_healthy.expect("watched");
            if ignore {
                assert!(least < 2, "seed {seed}: without a look it would fall");
            } else {
                assert_eq!(least, 2, "seed {seed}");
            }
        }
    }
}

#[test]
fn machines_that_take_too_long_are_waited_for_as_long_as_the_plan_says() {
    let of = World { warm_ms: Span { min: 100_000, max: 100_000 }, ..world(Vec::new()) };
    let rollout = |health_timeout_s| Rollout {
        workload: "services.chat".into(),
        health_timeout_s,
        roll_back: false,
        waves: vec![vec!["aws/eu-west-1".into()]],
    };
    for (timeout, done) in [(60, false), (200, true)] {
        let (mut theatre, wanted) = moved(of.clone());
        let mut plan = Plan::new("second", Some(&theatre.durable.clone()), &wanted);
        plan.rollouts.push(rollout(timeout));
        assert_eq!(finished(&mut theatre, &plan).complete(), done, "{timeout} s");
    }
}

/// Three places with one, two and three machines, which all start another program.
fn three(world: World) -> (Theatre, Desired) {
    let places = [("eu-west-1", 1), ("eu-west-2", 2), ("eu-west-3", 3)];
    let all = |version| -> Desired {
        let of = |(region, count)| {
            let mut region = Region::new("services.chat", region);
            region.pools.insert("g6e.xlarge".into(), (count, version));
            region.wanted()
        };
        places.into_iter().flat_map(of).collect()
    };
    let mut theatre = Theatre::new(World { rules: Vec::new(), ..world.clone() });
    theatre.converge(&Plan::new("first", None, &all(1)));
    theatre.cloud.set_world(world);
    (theatre, all(2))
}

fn in_waves(theatre: &Theatre, wanted: &Desired) -> Plan {
    let mut plan = Plan::new("second", Some(&theatre.durable), wanted);
    let place = |n: u32| format!("aws/eu-west-{n}");
    plan.rollouts.push(Rollout {
        workload: "services.chat".into(),
        health_timeout_s: 600,
        roll_back: false,
        waves: vec![vec![place(1)], vec![place(2)], vec![place(3)]],
    });
    plan
}

/// When changes of fleets were sent and had ended, by region.
fn changes(theatre: &Theatre, from: usize) -> Vec<(String, u64, u64)> {
    let mut sent: BTreeMap<Handle, u64> = BTreeMap::new();
    let mut all = Vec::new();
    for entry in &theatre.cloud.log()[from..] {
        let Some(handle) = entry.handle.clone().filter(|h| h.kind == ResourceKind::Fleet) else { continue };
        match &entry.event {
            Event::Sent if entry.verb == Some(Verb::Update) => {
                sent.entry(handle).or_insert(entry.at_ms);
            }
            Event::Became(_) => {
                if let Some(at) = sent.get(&handle) {
                    all.push((handle.region, *at, entry.at_ms));
                }
            }
            _ => {}
        }
    }
    all
}

#[test]
fn places_change_in_waves_each_once_the_one_before_serves() {
    let (mut theatre, wanted) = three(world(Vec::new()));
    let plan = in_waves(&theatre, &wanted);
    let from = theatre.cloud.log().len();
    assert_eq!(theatre.converge(&plan), 1);
    assert_eq!(theatre.faults(&wanted), Vec::<String>::new());
    let told = changes(&theatre, from);
    let regions: Vec<&str> = told.iter().map(|(region, ..)| region.as_str()).collect();
    assert_eq!(regions, ["eu-west-1", "eu-west-2", "eu-west-3"]);
    assert!(told.windows(2).all(|w| w[0].2 <= w[1].1), "one after the other: {told:?}");
    // All at once without waves.
    let (mut theatre, wanted) = three(world(Vec::new()));
    let plan = Plan::new("second", Some(&theatre.durable), &wanted);
    let from = theatre.cloud.log().len();
    assert_eq!(theatre.converge(&plan), 1);
    let told = changes(&theatre, from);
    assert!(told.windows(2).any(|w| w[0].2 > w[1].1), "{told:?}");
}

#[test]
fn a_wave_that_is_not_healthy_is_the_last() {
    let (mut theatre, wanted) = three(world(vec![rule(Verb::Update, What::Sick, Some(1))]));
    let plan = in_waves(&theatre, &wanted);
    theatre.least_healthy = Some(u32::MAX);
    let summary = finished(&mut theatre, &plan);
    assert!(!summary.complete());
    assert_eq!(theatre.least_healthy, Some(6), "all that served goes on serving");
    let hash = |seen: &Observed| seen.attributes["launch_template_sha256"].clone();
    let (all, new) = (fleets(&theatre), format!("{:064}", 2));
    assert!(all.iter().all(|seen| hash(seen) != new.as_str().into()), "{all:?}");
    assert!(
        summary.skipped.iter().filter(|(_, a, _)| a.as_str().ends_with("on_demand")).count() >= 2,
        "{summary:?}"
    );
    // With a program that works the same plan goes on.
    assert_eq!(theatre.converge(&plan), 1);
    assert_eq!(theatre.faults(&wanted), Vec::<String>::new());
}
