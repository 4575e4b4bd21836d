//! Machines that are refused again and again: the apply moves down the plan's own list, whatever one of its entries left to the next.

use std::collections::BTreeMap;

use rhumb::plan::{self, Desired, Rollout, Standby};
use rhumb_api::{Attr, Money, ResourceAddr};
use rhumb_sim::{Stock, World};

use super::deployment::Region;
use super::examples::{plans, standing, took, wanted, without, work};
use super::world::{End, Plan, Theatre};
use crate::diff::between;

const POOL: &str = "g6e.xlarge";
/// What may stand in, in this order. The second and the fourth want more of what is around them.
const OTHERS: [&str; 4] = ["g5.12xlarge", "p4d.24xlarge", "p5.48xlarge", "p5e.48xlarge"];

/// One pool; on some types it is in two zones, with another way out and another share.
fn on(instance_type: &str) -> Desired {
    let mut region = Region::new("services.chat", "eu-west-1");
    region.pools = BTreeMap::from([(instance_type.to_owned(), (2, 1))]);
    let wide = [OTHERS[1], OTHERS[3]].contains(&instance_type);
    region.share = if wide { 400_000 } else { 1_000_000 };
    let mut all = region.wanted();
    for (addr, (resource, _)) in all.iter_mut().filter(|_| wide) {
        match addr.as_str().rsplit('/').next() {
            Some("network") => drop(resource.attributes.insert("zones", Attr::Int(2))),
            Some("firewall") => drop(resource.attributes.insert("outbound", "none".into())),
            _ => {}
        }
    }
    all
}

fn pool(instance_type: &str) -> ResourceAddr {
    Region::new("services.chat", "eu-west-1").pool(instance_type)
}

/// The plan beside what is recorded, with all that may stand in.
fn beside(theatre: &Theatre, roll_back: bool) -> Plan {
    let state = (theatre.durable.serial > 0).then_some(&theatre.durable);
    let mut plan = Plan::new("chain", state, &on(POOL));
    for other in OTHERS {
        let with = on(other);
        let mut changes = between(state, &with).changes;
        changes.retain(|change| {
            let planned = plan.changes.iter().find(|planned| planned.addr == change.addr);
            planned.is_none_or(|p| (&p.after, &p.depends_on) != (&change.after, &change.depends_on))
        });
        let planned = plan.changes.iter().filter(|change| change.after.is_some());
        plan.standbys.push(Standby {
            pool: pool(POOL),
            by: pool(other),
            spot: false,
            more_per_month: Money::from_micros(1),
            without: planned.map(|c| c.addr.clone()).filter(|addr| !with.contains_key(addr)).collect(),
            changes,
            artifacts: Vec::new(),
        });
    }
    plan.rollouts.push(Rollout {
        workload: "services.chat".into(),
        health_timeout_s: 600,
        roll_back,
        waves: vec![vec!["aws/eu-west-1".into()]],
    });
    plan
}

/// A world without these machines.
fn short(refused: usize) -> World {
    let types = [POOL].into_iter().chain(OTHERS).take(refused);
    let Region { cloud, region, .. } = Region::new("services.chat", "eu-west-1");
    let stock = types.map(|name| Stock {
        cloud,
        region: region.clone(),
        instance_type: name.into(),
        spot: false,
        machines: Some(0),
    });
    World { seed: 9, stock: stock.collect(), ..World::default() }
}

/// The fleet that was there is gone, and that is recorded.
fn lose_the_fleet(theatre: &mut Theatre) {
    let address = pool(POOL).child("on_demand");
    let handle = theatre.durable.resources[&address].handle().expect("an id");
    theatre.cloud.vanish(&handle).expect("it was there");
    let gone = rhumb::state::Record::Gone { address, id: handle.id };
    theatre.durable.take(&gone).expect("it fits");
    theatre.history.push(gone);
}

#[test]
fn the_list_is_gone_down_to_its_end() {
    for (refused, stood, roll_back) in
        (1..=5).flat_map(|n| [(n, false, false), (n, true, false), (n, false, true), (n, true, true)])
    {
        let what = format!("{refused} refused, stood before: {stood}, back: {roll_back}");
        let (mut theatre, first) = (Theatre::new(short(0)), Plan::new("first", None, &on(POOL)));
        if stood {
            theatre.converge(&first);
            lose_the_fleet(&mut theatre);
        }
        let before: Desired =
            on(POOL).into_iter().filter(|(addr, _)| theatre.durable.resources.contains_key(addr)).collect();
        theatre.cloud.set_world(short(refused));
        let plan = beside(&theatre, roll_back);
        let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
        theatre.rest();
        let tried = took(&theatre).len();
        assert_eq!(tried, refused.min(OTHERS.len()), "{what}: {summary:?}");
        assert_eq!(theatre.unplanned(&[&first, &plan]), Vec::<String>::new(), "{what}");
        let wanted = match OTHERS.get(refused - 1) {
            Some(by) => {
                assert!(summary.complete(), "{what}: {summary:?}");
                on(by)
            }
            // Nothing is left: it has failed by the refusal and by nothing else.
            None => {
                let by_refusal = |(_, addr, why): &(_, ResourceAddr, String)| {
                    addr.as_str().ends_with("on_demand") && why.starts_with("capacity")
                };
                assert!(
                    summary.failed.len() == 1 && summary.failed.iter().all(by_refusal),
                    "{what}: {summary:?}"
                );
                if !roll_back {
                    continue;
                }
                assert_eq!(summary.went_back, ["services.chat"], "{what}");
                before
            }
        };
        let applying = |fault: &String| fault.starts_with("not at an end: 0 open, 0 spare, applying");
        let faults: Vec<String> =
            theatre.faults(&wanted).into_iter().filter(|f| summary.complete() || !applying(f)).collect();
        assert_eq!(faults, Vec::<String>::new(), "{what}");
        let again = between(Some(&theatre.durable), &wanted);
        assert!(again.steps.is_empty() && again.leftovers.is_empty(), "{what}: {:?}", again.steps);
    }
}

/// A plan by which machines are refused so often that something of it stands in, against what is recorded.
fn onto(theatre: &Theatre, name: &str, saved: &plan::Plan) -> Plan {
    let mut plan = work(name, saved);
    let state = &theatre.durable;
    if state.serial > 0 {
        let now = Plan::new(name, Some(state), &wanted(saved));
        (plan.from, plan.changes, plan.order) = (now.from, now.changes, now.order);
        for standby in &mut plan.standbys {
            for change in &mut standby.changes {
                *change = plan::against(change, state.resources.get(&change.addr));
            }
            let planned = saved.changes.iter().filter(|change| standby.without.contains(&change.addr));
            let gone = planned.filter_map(|change| {
                let there = state.resources.get(&change.addr)?;
                Some(plan::against(&plan::Change { after: None, ..change.clone() }, Some(there)))
            });
            standby.changes.extend(gone);
        }
    }
    plan
}

/// The first pool of each example and so many of what may stand in for it are refused, with nothing there before and with all but the
/// machines there, and all that was made goes again where the list ends and the plan says so.
#[test]
fn chains_of_every_example_end_as_planned() {
    let (mut done, mut exhausted) = (0, 0);
    for (name, saved) in plans() {
        let Some(first) = saved.standbys.first() else { continue };
        let list: Vec<&ResourceAddr> = saved
            .standbys
            .iter()
            .filter(|standby| standby.pool == first.pool)
            .map(|standby| &standby.by)
            .collect();
        for (refused, stood) in (2..=4).flat_map(|n| [(n, false), (n, true)]) {
            let what = format!("{name}: {refused} refused, stood before: {stood}");
            let (mut theatre, before) = (Theatre::new(without([])), work("before", &saved));
            if stood {
                theatre.converge(&before);
                let fleets: Vec<_> = (theatre.durable.resources.iter())
                    .filter(|(addr, _)| addr.parent().as_ref() == Some(&first.pool))
                    .filter(|(_, thing)| thing.resource.attributes.contains_key("count"))
                    .map(|(addr, thing)| (addr.clone(), thing.handle().expect("an id")))
                    .collect();
                for (address, handle) in fleets {
                    // A run may have ended and be gone already.
                    let _ = theatre.cloud.vanish(&handle);
                    let gone = rhumb::state::Record::Gone { address, id: handle.id };
                    theatre.durable.take(&gone).expect("it fits");
                    theatre.history.push(gone);
                }
            }
            let gone = [&first.pool].into_iter().chain(list.iter().copied()).take(refused);
            theatre.cloud.set_world(without(gone));
            let mut plan = onto(&theatre, &name, &saved);
            for rollout in &mut plan.rollouts {
                rollout.roll_back = true;
            }
            let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
            theatre.rest();
            assert_eq!(theatre.unplanned(&[&before, &plan]), Vec::<String>::new(), "{what}");
            // Where machines of several workloads are refused, what stands in for one may need what another one does not have any more.
            let alone = |taken: &rhumb::state::Taken| taken.pool.workload() == first.pool.workload();
            if !took(&theatre).iter().all(alone) {
                continue;
            }
            if !summary.complete() {
                let refusal = |why: &String| why.starts_with("capacity") || why.starts_with("quota");
                assert!(summary.failed.iter().all(|(_, _, why)| refusal(why)), "{what}: {summary:?}");
                assert!(summary.not_back.is_empty(), "{what}: {summary:?}");
                exhausted += 1;
                continue;
            }
            let mut now = saved.clone();
            now.changes.clone_from(&plan.changes);
            now.standbys.clone_from(&plan.standbys);
            let wanted = standing(&now, &took(&theatre));
            assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{what}");
            let again = between(Some(&theatre.durable), &wanted);
            assert!(again.steps.is_empty() && again.leftovers.is_empty(), "{what}: {:?}", again.steps);
            done += 1;
        }
    }
    println!("{done} chains were done, {exhausted} exhausted");
    assert!(done > 20 && exhausted > 0, "{done} {exhausted}");
}
