//! Every example, planned as users plan it, applied to the simulated cloud: what exists then is what was planned, and nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};

use rhumb::plan::{self, Action, Desired};
use rhumb::state::{Record, State, Taken};
use rhumb_api::{ResourceAddr, ResourceKind};
use rhumb_sim::{Stock, World};

use super::deployment::Region;
use super::world::{End, Plan, Theatre};
use crate::diff::between;
use crate::planned::{Planned, planned};

/// The saved plans of all examples that can be planned, by name.
pub fn plans() -> Vec<(String, plan::Plan)> {
    let mut all = Vec::new();
    for Planned { name, exit, saved, .. } in planned() {
        // One of them cannot be, and in a reduced catalogue three more.
        if *exit == 0 {
            let text = saved.as_ref().expect("saved");
            all.push((name.clone(), plan::file::decode("saved", text).expect("a plan")));
        } else {
            assert_eq!(*exit, 6, "{name}");
        }
    }
    all
}

pub fn wanted(plan: &plan::Plan) -> Desired {
    let of = |change: &plan::Change| {
        Some((change.addr.clone(), (change.after.clone()?, change.depends_on.clone())))
    };
    plan.changes.iter().filter_map(of).collect()
}

pub fn work(name: &str, plan: &plan::Plan) -> Plan {
    Plan {
        name: name.into(),
        from: None,
        changes: plan.changes.clone(),
        standbys: plan.standbys.clone(),
        order: plan.steps.iter().map(|step| step.addr.clone()).collect(),
        rollouts: plan.rollouts.clone(),
        dips: plan.dips.clone(),
    }
}

/// Applies a plan and tells what is wrong then.
pub fn applied(theatre: &mut Theatre, plan: &Plan) -> Vec<String> {
    match theatre.apply(plan, None) {
        End::Finished(summary) if summary.complete() => Vec::new(),
        end => vec![format!("{end:?}")],
    }
}

#[test]
fn every_example_is_applied_as_planned_and_once() {
    let plans = plans();
    assert!(plans.len() >= 24, "{}", plans.len());
    for (name, plan) in plans {
        let (work, wanted) = (work(&name, &plan), wanted(&plan));
        let mut theatre = Theatre::new(World { seed: 5, ..World::default() });
        assert_eq!(applied(&mut theatre, &work), Vec::<String>::new(), "{name}");
        assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{name}");
        assert_eq!(theatre.unplanned(&[&work]), Vec::<String>::new(), "{name}");
        let again = between(Some(&theatre.durable), &wanted);
        assert!(again.steps.is_empty() && again.leftovers.is_empty(), "{name}: {:?}", again.steps);
        // And all of it goes, in an order that the cloud lets it go.
        let none = Plan::new("destroy", Some(&theatre.durable), &Desired::new());
        assert_eq!(applied(&mut theatre, &none), Vec::<String>::new(), "{name}");
        theatre.rest();
        assert_eq!(theatre.cloud.inventory().len(), 0, "{name}");
    }
}

/// The simulated cloud, the planner and so the engine agree on what a thing cannot change.
#[test]
fn what_forces_a_replacement_is_the_same_to_planner_and_cloud() {
    let (mut names, mut forcing) = (BTreeSet::new(), 0);
    for (_, plan) in plans() {
        for after in plan.changes.iter().filter_map(|change| change.after.as_ref()) {
            names.extend(after.attributes.keys().map(|name| (after.kind, name.to_owned())));
        }
    }
    for (kind, name) in &names {
        let planned = plan::forces_replacement(*kind, name);
        assert_eq!(planned, rhumb_sim::forces_replacement(*kind, name), "{kind} {name}");
        forcing += usize::from(planned);
    }
    assert!(names.len() > 60 && forcing > 10, "{} {forcing}", names.len());
}

/// A world without the machines of these pools.
pub fn without<'p>(pools: impl IntoIterator<Item = &'p ResourceAddr>) -> World {
    let mut world = World { seed: 5, ..World::default() };
    for gone in pools {
        let mut parts = gone.as_str().split('/').skip(1);
        let mut part = || parts.next().expect("cloud, region, type").to_owned();
        let (cloud, region, instance_type) = (part().parse().expect("a cloud"), part(), part());
        for spot in [false, true] {
            let (region, instance_type) = (region.clone(), instance_type.clone());
            world.stock.push(Stock { cloud, region, instance_type, spot, machines: Some(0) });
        }
    }
    world
}

/// What stands in once these have been taken: of each pool, the last counts.
pub fn stand<'p>(standbys: &'p [plan::Standby], took: &[Taken]) -> Vec<&'p plan::Standby> {
    let last: BTreeMap<_, _> = took.iter().map(|taken| (&taken.pool, taken)).collect();
    let is =
        |s: &plan::Standby, taken: &Taken| (&s.pool, &s.by, s.spot) == (&taken.pool, &taken.by, taken.spot);
    let of = |taken| standbys.iter().find(|s| is(s, taken));
    last.into_values().filter_map(of).collect()
}

/// What something of a workload needs once these stand in: the runs that took the place of those that came before it.
pub fn needs_beside(own: &str, needs: &[ResourceAddr], stand: &[&plan::Standby]) -> BTreeSet<ResourceAddr> {
    let now = |need: &ResourceAddr| {
        let mut of = stand.iter().filter(|s| s.pool.workload() == need.workload() && need.workload() != own);
        let Some(standby) = of.rfind(|s| s.without.contains(need)) else { return vec![need.clone()] };
        let runs = standby.changes.iter().filter(|c| c.addr.parent().as_ref() == Some(&standby.by));
        let run = |c: &&plan::Change| c.after.as_ref().is_some_and(|a| a.kind == ResourceKind::JobRun);
        runs.filter(run).map(|c| c.addr.clone()).collect()
    };
    needs.iter().flat_map(now).collect()
}

/// What a plan leads to once these have been taken: of each pool, the last counts.
pub fn standing(plan: &plan::Plan, took: &[Taken]) -> Desired {
    let mut wanted = wanted(plan);
    let stand = stand(&plan.standbys, took);
    wanted.retain(|addr, _| !stand.iter().any(|standby| standby.without.contains(addr)));
    for standby in &stand {
        let own = |c: &&plan::Change| c.addr.workload() == standby.pool.workload();
        for change in standby.changes.iter().filter(|c| c.action != Action::Remove).filter(own) {
            let after = change.after.clone().expect("made or changed");
            wanted.insert(change.addr.clone(), (after, change.depends_on.clone()));
        }
    }
    for (addr, (_, needs)) in &mut wanted {
        *needs = needs_beside(addr.workload(), needs, &stand).into_iter().collect();
    }
    wanted
}

/// What was taken, in this order.
pub fn took(theatre: &Theatre) -> Vec<Taken> {
    let taken = theatre.history.iter().filter_map(|record| match record {
        Record::Took(taken) => Some(taken.clone()),
        _ => None,
    });
    taken.collect()
}

/// What is wrong after an apply that was refused everything which may stand in for a pool: what there is must be recorded, and a plan
/// that begins there must lead to what was wanted once there are machines again.
fn left_by(theatre: &mut Theatre, work: &Plan, wanted: &Desired) -> Vec<String> {
    theatre.rest();
    let mut wrong = theatre.strays();
    let State { open, spares, .. } = &theatre.durable;
    if !open.is_empty() || !spares.is_empty() {
        wrong.push(format!("what became of it is not known: {open:?} {spares:?}"));
    }
    wrong.extend(theatre.unplanned(&[work]));
    let next = Plan::new("next", Some(&theatre.durable), wanted);
    theatre.cloud.set_world(World { stock: Vec::new(), ..theatre.cloud.world().clone() });
    wrong.extend(applied(theatre, &next));
    theatre.rest();
    wrong.extend(theatre.faults(wanted));
    wrong.extend(theatre.unplanned(&[work, &next]));
    let again = between(Some(&theatre.durable), wanted);
    wrong.extend(again.steps.iter().map(|step| format!("the plan after it is not empty: {}", step.addr)));
    wrong
}

/// Each pool of each example in turn is out of stock: the plan has decided what is made instead.
#[test]
fn every_pool_that_is_refused_is_made_up_for_as_planned() {
    let (mut tried, mut second, mut exhausted, mut spent) = (0, 0, 0, 0);
    for (name, plan) in plans() {
        let pools: BTreeSet<_> = plan.standbys.iter().map(|standby| &standby.pool).collect();
        for pool in pools.into_iter().take(4) {
            let first = plan.standbys.iter().find(|standby| standby.pool == *pool).expect("a standby");
            // The pool's own machines, and in every other case those of the first that would stand in as well.
            tried += 1;
            let both = tried % 2 == 0 && plan.standbys.iter().filter(|s| s.pool == *pool).count() > 1;
            let gone = [Some(pool), Some(&first.by).filter(|_| both)].into_iter().flatten();
            let mut theatre = Theatre::new(without(gone));
            let work = work(&name, &plan);
            let end = theatre.apply(&work, None);
            let took = took(&theatre);
            let End::Finished(summary) = end else { panic!("{name}: it ends") };
            if !summary.complete() {
                // All that the plan has for a pool may be of machines that are gone.
                let failed: Vec<_> = summary.failed.iter().filter_map(|(_, addr, _)| addr.parent()).collect();
                let last = failed.iter().all(|by| {
                    let of = took.iter().rev().find(|taken| taken.by == *by).map_or(by, |taken| &taken.pool);
                    let tried = |s: &&plan::Standby| !took.iter().any(|t| (&t.by, t.spot) == (&s.by, s.spot));
                    plan.standbys.iter().filter(|s| s.pool == *of).filter(tried).all(|s| s.by == *by)
                });
                assert!(!failed.is_empty() && last, "{name} {pool}: {took:?} {:?}", summary.failed);
                exhausted += 1;
                let wrong = left_by(&mut theatre, &work, &wanted(&plan));
                assert_eq!(wrong, Vec::<String>::new(), "{name} {pool}: the next plan");
                continue;
            }
            second += usize::from(took.len() > 1);
            // What the same machines were refused to as well is made up for too. Of each pool, the last counts.
            let last: BTreeMap<_, _> = took.iter().map(|taken| (&taken.pool, taken)).collect();
            assert!(last.contains_key(pool), "{name} {pool}: {took:?}");
            let wanted = standing(&plan, &took);
            assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{name} {pool}");
            assert_eq!(theatre.unplanned(&[&work]), Vec::<String>::new(), "{name} {pool}");
        }
        // And all that may stand in for one of them.
        let Some(first) = plan.standbys.first() else { continue };
        let all = plan.standbys.iter().filter(|standby| standby.pool == first.pool);
        let gone = all.map(|standby| &standby.by).chain([&first.pool]);
        let (mut theatre, work) = (Theatre::new(without(gone)), work(&name, &plan));
        let End::Finished(summary) = theatre.apply(&work, None) else { panic!("{name}: it ends") };
        assert!(!summary.complete(), "{name}: nothing is left for {}", first.pool);
        let wrong = left_by(&mut theatre, &work, &wanted(&plan));
        assert_eq!(wrong, Vec::<String>::new(), "{name} {}: the next plan", first.pool);
        spent += 1;
    }
    println!(
        "{tried} pools, {second} with a second refusal, {exhausted} with nothing left, and {spent} with nothing at all"
    );
    assert!(
        tried > 20 && second > 5 && exhausted < tried / 4 && spent > 5,
        "{tried} {second} {exhausted} {spent}"
    );
}

/// What an exhausted list leaves is looked at: what is there and not recorded, and a plan that does not begin there.
#[test]
fn what_is_left_behind_is_seen() {
    let region = Region::new("services.chat", "eu-west-1");
    let (wanted, pool) = (region.wanted(), region.pool("g6e.xlarge"));
    let left = |meddle: &dyn Fn(&mut Theatre)| {
        let (mut theatre, work) = (Theatre::new(without([&pool])), Plan::new("first", None, &wanted));
        let End::Finished(summary) = theatre.apply(&work, None) else { panic!("it ends") };
        assert!(!summary.complete());
        meddle(&mut theatre);
        left_by(&mut theatre, &work, &wanted)
    };
    assert_eq!(left(&|_| {}), Vec::<String>::new());
    let found = |meddle: &dyn Fn(&mut Theatre), what: &str| {
        let wrong = left(meddle);
        assert!(wrong.iter().any(|wrong| wrong.contains(what)), "{what}: {wrong:?}");
    };
    let stray = |theatre: &mut Theatre| {
        let mut seen = theatre.cloud.inventory().pop().expect("something");
        seen.handle.id.push('2');
        theatre.cloud.plant(seen).expect("planted");
    };
    found(&stray, "leaked");
    let gone = |theatre: &mut Theatre| {
        let seen = theatre.cloud.inventory().pop().expect("something");
        theatre.cloud.vanish(&seen.handle).expect("it is there");
    };
    found(&gone, "forgotten");
    // An engine that has made something and recorded it as something else.
    let other = |theatre: &mut Theatre| {
        let seen = theatre.cloud.inventory().pop().expect("something");
        theatre.cloud.set_attribute(&seen.handle, "workload", Some("services.other".into())).expect("there");
    };
    found(&other, "is not as it was wanted");
}
