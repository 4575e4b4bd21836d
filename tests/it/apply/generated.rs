//! Specs that nobody wrote, through the whole line: planned, applied, planned again, changed, planned and applied once more.

use rhumb::catalog::Catalog;
use rhumb::placement;
use rhumb::plan::{self, Desired};
use rhumb::spec::Spec;
use rhumb::{PlanError, PlanningInput};
use rhumb_sim::World;

use super::examples::{applied, work};
use super::world::{Plan, Theatre};
use crate::extent::one_in;
use crate::oracle::worlds;

fn planned(spec: &Spec, world: &placement::World, theatre: &Theatre) -> Result<plan::Plan, PlanError> {
    rhumb::plan(&PlanningInput {
        spec: spec.clone(),
        spec_digest: "0".repeat(64),
        world: world.clone(),
        prior: (theatre.durable.serial > 0).then(|| theatre.durable.clone()),
        now: "2026-11-25T00:00:00Z".into(),
        warnings: Vec::new(),
    })
}

fn wanted(plan: &plan::Plan) -> Desired {
    let of = |change: &plan::Change| {
        Some((change.addr.clone(), (change.after.clone()?, change.depends_on.clone())))
    };
    plan.changes.iter().filter_map(of).collect()
}

/// Applies what a spec is planned as; what is wrong then, or that nothing can be planned.
fn through(
    spec: &Spec,
    world: &placement::World,
    theatre: &mut Theatre,
    plans: &mut Vec<Plan>,
    name: &str,
) -> Option<Vec<String>> {
    let plan = match planned(spec, world, theatre) {
        Ok(plan) => plan,
        Err(PlanError::Infeasible(_) | PlanError::Unfinished(_)) => return None,
        Err(other) => return Some(vec![other.to_string()]),
    };
    let mut work = work(name, &plan);
    work.from = plan.prior.as_ref().map(|prior| prior.serial);
    let mut wrong = applied(theatre, &work);
    wrong.extend(theatre.faults(&wanted(&plan)));
    plans.push(work);
    wrong.extend(theatre.unplanned(&plans.iter().collect::<Vec<_>>()));
    let again = planned(spec, world, theatre);
    match again {
        Ok(again) if again.steps.is_empty() && again.leftovers.is_empty() => {}
        Ok(again) => wrong.push(format!("the second plan has steps: {:?}", again.steps)),
        Err(error) => wrong.push(error.to_string()),
    }
    Some(wrong)
}

#[test]
fn the_second_plan_of_a_generated_spec_is_empty() {
    let base = Catalog::embedded();
    let makers: [(&str, fn(u64, &Catalog) -> (Spec, placement::World)); 3] =
        [("alone", worlds::case), ("together", worlds::together), ("sharing", worlds::sharing)];
    let (mut applied, mut changed, part) = (0, 0, one_in(8, 1));
    for (kind, make) in makers {
        for seed in part.seeds(0..70) {
            let name = format!("{kind} {seed}");
            let (mut spec, world) = make(seed, &base);
            let (mut theatre, mut plans) = (Theatre::new(World { seed, ..World::default() }), Vec::new());
            let Some(wrong) = through(&spec, &world, &mut theatre, &mut plans, &name) else { continue };
            assert_eq!(wrong, Vec::<String>::new(), "{name}");
            applied += 1;
            // More comes to every service than before.
            for service in spec.services.values_mut() {
                service.traffic.load = service.traffic.load.scaled(1.7);
            }
            let name = format!("{name}, more");
            let Some(wrong) = through(&spec, &world, &mut theatre, &mut plans, &name) else { continue };
            assert_eq!(wrong, Vec::<String>::new(), "{name}, with more traffic");
            changed += 1;
        }
    }
    println!("{applied} generated specs were applied, {changed} once more");
    assert!(applied > part.of(59) && changed > part.of(49), "{applied} {changed}");
}

/// What is wrong in what exists is seen, or the above would say nothing.
#[test]
fn a_thing_that_is_otherwise_than_planned_is_seen() {
    let base = Catalog::embedded();
    let mut theatre = Theatre::new(World { seed: 3, ..World::default() });
    let mut made = (0..).map(|seed| worlds::together(seed, &base));
    let (spec, world, plan) = made
        .find_map(|(spec, world)| planned(&spec, &world, &theatre).ok().map(|plan| (spec, world, plan)))
        .expect("one that can be planned");
    let work = work("planted", &plan);
    assert_eq!(applied(&mut theatre, &work), Vec::<String>::new());
    // The record of one thing is lost, as if the engine had not kept it.
    let address = theatre.durable.resources.keys().next_back().expect("something").clone();
    theatre.durable.resources.remove(&address);
    assert!(!theatre.faults(&wanted(&plan)).is_empty());
    let again = planned(&spec, &world, &theatre).expect("a plan");
    assert!(!again.steps.is_empty());
}
