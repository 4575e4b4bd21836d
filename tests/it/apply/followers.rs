//! Runs that come after others, and fleets that follow their load, as an apply leaves and finds them.

use rhumb::plan::Desired;
use rhumb_api::{Attr, Observed, ResourceKind, Status};
use rhumb_sim::{Runs, Span, World};

use super::deployment::{Region, run};
use super::world::{End, Plan, Theatre};

const RUN_MS: u64 = 6 * 3_600_000;

/// What runs, of each run by its workload.
fn runs(theatre: &Theatre) -> Vec<(String, Status, u32)> {
    let all = theatre.cloud.inventory().into_iter().filter(|seen| seen.handle.kind == ResourceKind::JobRun);
    let of = |seen: Observed| {
        let workload = seen.address().expect("tagged").workload().to_owned();
        (workload, seen.status, seen.running.expect("told"))
    };
    all.map(of).collect()
}

/// An apply waits for no run to end; the run that comes after it has no machines until then, and starts with nobody there.
#[test]
fn a_run_that_comes_after_another_one_begins_when_that_is_complete() {
    let (first, mut second) = (run("domain", "g2-standard-4", 1), run("label", "g2-standard-8", 2));
    let leads = first.keys().find(|addr| first[*addr].0.kind == ResourceKind::JobRun).expect("a run").clone();
    for (resource, needs) in second.values_mut().filter(|(resource, _)| resource.kind == ResourceKind::JobRun)
    {
        resource.attributes.insert("after", Attr::List(vec!["batches.domain".into()]));
        needs.push(leads.clone());
    }
    let wanted: Desired = first.into_iter().chain(second).collect();
    let of_a_run = Runs { run_ms: Some(RUN_MS), ..Runs::default() };
    let mut theatre = Theatre::new(World { seed: 9, runs: of_a_run, ..World::default() });
    theatre.converge(&Plan::new("first", None, &wanted));
    assert!(theatre.now < RUN_MS / 6, "{}", theatre.now);
    let is = |name: &str, status: Status, running: u32| (format!("batches.{name}"), status, running);
    let at_first = [is("domain", Status::Ready, 1), is("label", Status::Ready, 0)];
    assert_eq!(runs(&theatre), at_first);
    let machine_ms = theatre.cloud.bill(theatre.now).machine_ms;
    assert!(machine_ms <= theatre.now, "one machine is paid for: {machine_ms} by {}", theatre.now);
    let plan = Plan::new("again", Some(&theatre.durable), &wanted);
    assert!(plan.order.is_empty(), "{:?}", plan.order);
    theatre.now += RUN_MS;
    theatre.cloud.advance(theatre.now);
    assert_eq!(runs(&theatre), [is("domain", Status::Complete, 0), is("label", Status::Ready, 2)]);
    theatre.now += RUN_MS;
    theatre.cloud.advance(theatre.now);
    assert_eq!(runs(&theatre), [is("domain", Status::Complete, 0), is("label", Status::Complete, 0)]);
}

/// Machines that were added by hand to a fleet that follows its load come up, and an apply that looks at them goes on.
#[test]
fn machines_that_a_hand_added_hold_no_apply_up() {
    let mut region = Region::new("services.chat", "eu-west-1");
    let fleet = region.pool("g6e.xlarge").child("on_demand");
    let wanted = |region: &Region| {
        let mut wanted = region.wanted();
        let (resource, _) = wanted.get_mut(&fleet).expect("the fleet");
        resource.attributes.insert("min_count", Attr::Int(1));
        resource.attributes.insert("max_count", Attr::Int(6));
        wanted
    };
    region.pools.insert("p5.48xlarge".to_owned(), (1, 1));
    let warm_ms = Span { min: 90_000, max: 120_000 };
    let mut theatre = Theatre::new(World { seed: 2, warm_ms, ..World::default() });
    theatre.converge(&Plan::new("first", None, &wanted(&region)));
    theatre.rest();
    let handle = theatre.durable.resources[&fleet].handle().expect("an id");
    theatre.cloud.set_attribute(&handle, "count", Some(Attr::Int(5))).expect("it is there");
    // What goes is what a check comes before.
    region.pools.remove("p5.48xlarge");
    let (begun, state) = (theatre.now, theatre.durable.clone());
    let End::Finished(summary) = theatre.apply(&Plan::new("second", Some(&state), &wanted(&region)), None)
    else {
        panic!("nobody killed it")
    };
    assert!(summary.complete(), "{summary:?}");
    let took = theatre.now - begun;
    assert!((60_000..400_000).contains(&took), "it waited for their engines and not for ever: {took}");
}
