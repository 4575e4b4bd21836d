//! Processes that die at every step, and what the next one makes of it.

use std::collections::BTreeMap;

use rhumb_sim::World;

use rhumb::plan::Desired as Wanted;

use crate::extent::one_in;

use super::deployment::{Region, run, standby};
use super::world::{Death, End, Plan, Theatre};

fn quiet() -> World {
    World { seed: 1, ..World::default() }
}

fn both(a: &Region, more: Wanted) -> Wanted {
    let mut all = a.wanted();
    all.extend(more);
    all
}

/// From what, to what.
struct Story {
    name: &'static str,
    before: Wanted,
    after: Wanted,
    /// Machines that are out of stock, and what stands in for them.
    refused: Option<(Region, &'static str, &'static str)>,
}

fn stories() -> Vec<Story> {
    let small = Region::new("services.chat", "eu-west-1");
    let mut grown = small.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 2));
    let mut moved = small.clone();
    moved.pools = BTreeMap::from([("p5.48xlarge".to_owned(), (2, 1))]);
    let mut ranged = small.clone();
    ranged.range = 65;
    let nothing = Wanted::new();
    let of = |name, before: &Wanted, after: &Wanted| Story {
        name,
        before: before.clone(),
        after: after.clone(),
        refused: None,
    };
    vec![
        of("create", &nothing, &small.wanted()),
        of("update", &small.wanted(), &grown.wanted()),
        of("replace", &small.wanted(), &ranged.wanted()),
        of("another type", &small.wanted(), &moved.wanted()),
        of("destroy", &small.wanted(), &nothing),
        of("batch", &small.wanted(), &both(&small, run("nightly", "a2-highgpu-1g", 2))),
        Story {
            name: "fallback",
            before: nothing.clone(),
            after: moved.wanted(),
            refused: Some((small.clone(), "g6e.xlarge", "p5.48xlarge")),
        },
    ]
}

fn at_start(story: &Story, world: World) -> Theatre {
    let mut theatre = Theatre::new(world);
    if !story.before.is_empty() {
        let first = Plan::new("first", None, &story.before);
        theatre.converge(&first);
        assert_eq!(theatre.faults(&story.before), Vec::<String>::new(), "{}", story.name);
    }
    theatre
}

fn plan_of(story: &Story, theatre: &Theatre) -> Plan {
    let state = &theatre.durable;
    match &story.refused {
        None => Plan::new("second", Some(state), &story.after),
        Some((region, refused, other)) => {
            let mut plan = Plan::new("second", Some(state), &region.wanted());
            plan.standbys.push(standby(region, refused, other));
            plan
        }
    }
}

fn world_of(story: &Story, world: World) -> World {
    let mut world = world;
    if let Some((region, refused, _)) = &story.refused {
        world.stock.push(rhumb_sim::Stock {
            cloud: region.cloud,
            region: region.region.clone(),
            instance_type: (*refused).to_owned(),
            spot: false,
            machines: Some(0),
        });
    }
    world
}

/// What is wrong after a plan was cut off at a step and applied again.
fn cut(story: &Story, world: World, death: Death) -> Option<Vec<String>> {
    let mut theatre = at_start(story, world_of(story, world));
    let plan = plan_of(story, &theatre);
    if let End::Finished(_) = theatre.apply(&plan, Some(death)) {
        return None;
    }
    theatre.converge(&plan);
    theatre.rest();
    let mut wrong = theatre.faults(&story.after);
    wrong.extend(theatre.unplanned(&[&Plan::new("first", None, &story.before), &plan]));
    wrong.extend(theatre.made_twice());
    Some(wrong)
}

#[test]
fn without_a_fault_every_story_ends_as_planned() {
    for story in stories() {
        let mut theatre = at_start(&story, world_of(&story, quiet()));
        let plan = plan_of(&story, &theatre);
        let times = theatre.converge(&plan);
        theatre.rest();
        assert_eq!(theatre.faults(&story.after), Vec::<String>::new(), "{}", story.name);
        assert_eq!(times, 1, "{}", story.name);
    }
}

#[test]
fn a_death_at_any_step_loses_nothing() {
    let (mut points, mut row, part) = (0, 0, one_in(8, 1));
    for story in stories() {
        for deduplicates in [true, false] {
            for after in [false, true] {
                row += 1;
                for at in part.numbers(row).map(|number| number - 1) {
                    let world = World { deduplicates, ..quiet() };
                    let Some(wrong) = cut(&story, world, Death { at, after }) else { break };
                    let what = format!("{} at {at}, after {after}, {deduplicates}", story.name);
                    assert_eq!(wrong, Vec::<String>::new(), "{what}");
                    points += 1;
                }
            }
        }
    }
    println!("{points} points");
    assert!(points > part.of(500), "{points}");
}
