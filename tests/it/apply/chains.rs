//! Machines that are refused again and again: the apply moves down the plan's own list, whatever one of its entries left to the next.

use std::collections::BTreeMap;

use rhumb::placement::Placement;
use rhumb::plan::{self, Action, Asked, Change, Desired, Header, Rollout, Standby};
use rhumb::state::State;
use rhumb_api::{Attr, Money, ResourceAddr, ResourceKind};
use rhumb_sim::{Stock, World};

use super::deployment::{Region, run};
use super::examples::{plans, standing, took, wanted, without, work};
use super::world::{End, Plan, Theatre};
use crate::diff::{between, header};

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

/// A standby as it is planned by itself: what the one wants and the other does not, against what exists.
fn alone(
    pool: &ResourceAddr,
    by: &ResourceAddr,
    (planned, with): (&Desired, &Desired),
    state: &State,
) -> Standby {
    let other = |(addr, of): (&ResourceAddr, &(rhumb_api::Resource, Vec<ResourceAddr>))| {
        let change = Change {
            addr: addr.clone(),
            action: Action::Create,
            reasons: vec!["machines of the plan were refused".into()],
            before: None,
            after: Some(of.0.clone()),
            fields: Vec::new(),
            depends_on: of.1.clone(),
        };
        (planned.get(addr) != Some(of)).then(|| plan::against(&change, state.resources.get(addr)))
    };
    let gone = |addr: &&ResourceAddr| !with.contains_key(*addr);
    let removed = planned.keys().filter(gone).filter_map(|addr| {
        let change = between(Some(state), with).changes.into_iter().find(|change| change.addr == *addr)?;
        (change.action == Action::Remove).then_some(change)
    });
    let mut changes: Vec<Change> = with.iter().filter_map(other).chain(removed).collect();
    changes.sort_by(|a, b| a.addr.cmp(&b.addr));
    Standby {
        pool: pool.clone(),
        by: by.clone(),
        spot: false,
        more_per_month: Money::from_micros(1),
        changes,
        without: planned.keys().filter(gone).cloned().collect(),
        artifacts: Vec::new(),
    }
}

/// The plan from a state, with a fallback that was planned by itself.
fn with_fallback(state: &State, planned: &Desired, with: &Desired) -> plan::Plan {
    let standby = alone(&pool(POOL), &pool(OTHERS[0]), (planned, with), state);
    let header = Header { standbys: vec![standby], ..header() };
    plan::between(header, Some(state), planned, Placement::default(), Vec::new())
}

fn actions(changes: &[Change]) -> Vec<(&str, Action)> {
    changes
        .iter()
        .map(|change| (change.addr.as_str().rsplit('/').next().expect("a part"), change.action))
        .collect()
}

/// A service in a network of this range, on one type or what stands in for it, with this share of the clients.
fn in_range(range: u8, instance_type: &str, share: i64) -> Desired {
    let mut region = Region { range, share, ..Region::new("services.chat", "eu-west-1") };
    region.pools = BTreeMap::from([(instance_type.to_owned(), (2, 1))]);
    region.wanted()
}

/// What stands on a network that the plan replaces, or makes in the place of what is gone, is made anew whoever stands in.
#[test]
fn a_fallback_follows_what_the_plan_replaces() {
    for lost in [false, true] {
        let mut theatre = Theatre::new(short(0));
        theatre.converge(&Plan::new("first", None, &in_range(64, POOL, 1_000_000)));
        let mut range = 65;
        if lost {
            range = 64;
            let address = pool(POOL).parent().expect("a region").child("network");
            let handle = theatre.durable.resources[&address].handle().expect("an id");
            let gone = rhumb::state::Record::Gone { address, id: handle.id };
            theatre.durable.take(&gone).expect("it fits");
            theatre.history.push(gone);
        }
        let planned = in_range(range, POOL, 1_000_000);
        let with = in_range(range, OTHERS[0], 400_000);
        let saved = with_fallback(&theatre.durable, &planned, &with);
        let [standby] = &saved.standbys[..] else { panic!("{:?}", saved.standbys) };
        let balancer = actions(&standby.changes).into_iter().find(|(what, _)| *what == "load_balancer");
        assert_eq!(balancer, Some(("load_balancer", Action::Replace)), "lost: {lost}");
        if lost {
            continue;
        }
        let second = Plan { from: Some(theatre.durable.serial), ..work("second", &saved) };
        theatre.cloud.set_world(short(1));
        let End::Finished(summary) = theatre.apply(&second, None) else { panic!("nobody killed it") };
        theatre.rest();
        assert!(summary.complete() && took(&theatre).len() == 1, "{summary:?}");
        assert_eq!(theatre.faults(&with), Vec::<String>::new());
        let again = between(Some(&theatre.durable), &with);
        assert!(again.steps.is_empty() && again.leftovers.is_empty(), "{:?}", again.steps);
    }
}

/// What is asked to be made anew takes along what stands in it, whoever stands in; what the fallback makes anew takes along what it
/// leaves as it is, and may not take what is to be kept.
#[test]
fn a_fallback_follows_what_is_asked_and_what_it_replaces() {
    let mut theatre = Theatre::new(short(0));
    let kept = |mut wanted: Desired, kept: bool| {
        let balancers = wanted.values_mut().filter(|(of, _)| of.kind == ResourceKind::LoadBalancer);
        for (balancer, _) in balancers.filter(|_| kept) {
            balancer.attributes.insert("prevent_destroy", Attr::Bool(true));
        }
        wanted
    };
    for keep in [false, true] {
        let planned = kept(in_range(64, POOL, 1_000_000), keep);
        theatre.converge(&Plan::new(
            if keep { "kept" } else { "first" },
            Some(&theatre.durable.clone()),
            &planned,
        ));
        let state = &theatre.durable;
        let saved = with_fallback(state, &planned, &kept(in_range(66, OTHERS[0], 1_000_000), keep));
        let all = saved.standbys.iter().map(|standby| actions(&standby.changes)).collect::<Vec<_>>();
        if keep {
            assert_eq!(all, Vec::<Vec<_>>::new(), "its load balancer would go");
            continue;
        }
        let anew = [("firewall", Action::Replace), ("launch_template", Action::Remove)];
        assert!(anew.iter().all(|change| all[0].contains(change)), "{all:?}");
        assert!(all[0].contains(&("load_balancer", Action::Replace)), "{all:?}");
        let other = with_fallback(state, &planned, &in_range(64, OTHERS[0], 400_000));
        let balancer = |plan: &plan::Plan| {
            let changes = plan.standbys.iter().flat_map(|standby| actions(&standby.changes));
            changes.filter(|(what, _)| *what == "load_balancer").map(|(_, action)| action).collect::<Vec<_>>()
        };
        assert_eq!(balancer(&other), [Action::Update]);
        let network = pool(POOL).parent().expect("a region").child("network");
        let asked = Asked { replace: vec![network], ..Asked::default() };
        let asked = other.asked(asked, Some(state)).expect("it is there");
        assert_eq!(balancer(&asked), [Action::Replace]);
    }
}

/// A run and one that comes after it, on these types.
fn one_after_another(first: &str, second: &str) -> Desired {
    let (leads, mut follows) = (run("domain", first, 1), run("label", second, 1));
    let runs = leads.iter().filter(|(_, (of, _))| of.kind == ResourceKind::JobRun);
    let runs: Vec<ResourceAddr> = runs.map(|(addr, _)| addr.clone()).collect();
    for (of, needs) in follows.values_mut().filter(|(of, _)| of.kind == ResourceKind::JobRun) {
        of.attributes.insert("after", Attr::List(vec!["batches.domain".into()]));
        needs.extend(runs.clone());
    }
    leads.into_iter().chain(follows).collect()
}

/// Both of two runs are refused, one of which comes after the other: what stands in for that one comes after what stands in for this.
#[test]
fn both_of_two_runs_are_made_up_for() {
    let own = ["g2-standard-4", "g2-standard-8"];
    let others = ["a2-highgpu-1g", "a2-highgpu-2g"];
    let planned = one_after_another(own[0], own[1]);
    let of = |workload: &str, instance_type: &str| {
        super::deployment::addr(workload).child("gcp").child("europe-west4").child(instance_type)
    };
    let pools = ["batches.domain", "batches.label"];
    let refused = |types: &[&str]| {
        let stock = types.iter().map(|name| Stock {
            cloud: rhumb_api::Cloud::Gcp,
            region: "europe-west4".into(),
            instance_type: (*name).into(),
            spot: false,
            machines: Some(0),
        });
        World { seed: 9, stock: stock.collect(), ..World::default() }
    };
    for (stood, spent) in [(false, false), (true, false), (false, true)] {
        let what = format!("stood before: {stood}, nothing is left: {spent}");
        let mut theatre = Theatre::new(refused(&[]));
        let before = one_after_another("g2-standard-12", "g2-standard-16");
        if stood {
            theatre.converge(&Plan::new("first", None, &before));
        }
        let state = theatre.durable.clone();
        let mut plan = Plan::new("second", (state.serial > 0).then_some(&state), &planned);
        for i in 0..2 {
            let mut types = own;
            types[i] = others[i];
            let with = one_after_another(types[0], types[1]);
            let (pool, by) = (of(pools[i], own[i]), of(pools[i], others[i]));
            plan.standbys.push(alone(&pool, &by, (&planned, &with), &state));
        }
        let all: Vec<&str> = own.into_iter().chain(others.into_iter().filter(|_| spent)).collect();
        theatre.cloud.set_world(refused(&all));
        let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("nobody killed it") };
        theatre.rest();
        assert_eq!(
            theatre.unplanned(&[&Plan::new("first", None, &before), &plan]),
            Vec::<String>::new(),
            "{what}"
        );
        if spent {
            let refusal = |(_, addr, why): &(_, ResourceAddr, String)| {
                addr.workload() == "batches.domain" && why.starts_with("capacity")
            };
            assert!(summary.failed.len() == 1 && summary.failed.iter().all(refusal), "{what}: {summary:?}");
            continue;
        }
        assert!(summary.complete() && took(&theatre).len() == 2, "{what}: {summary:?}");
        let wanted = one_after_another(others[0], others[1]);
        assert_eq!(theatre.faults(&wanted), Vec::<String>::new(), "{what}");
        let again = between(Some(&theatre.durable), &wanted);
        assert!(again.steps.is_empty() && again.leftovers.is_empty(), "{what}: {:?}", again.steps);
    }
}
