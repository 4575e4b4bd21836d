//! Where quotas do not hold old and new machines at once, the old ones go first, and whoever reads the plan is told.

use std::collections::BTreeMap;

use rhumb::plan::{Desired, Dip};
use rhumb_api::{Cloud, ResourceAddr, ResourceKind};
use rhumb_sim::{Quota, World};
use serde_json::Value;

use super::deployment::{Region, addr};
use super::life::{Desk, follows};
use super::world::{Death, End, Plan, Theatre};

/// An account that may have so many machines in a region.
fn few(machines: u32) -> World {
    let quota =
        Quota { cloud: Cloud::Aws, region: "eu-west-1".into(), type_prefix: None, spot: None, machines };
    World { seed: 9, quotas: vec![quota], ..World::default() }
}

fn dip(first: &[ResourceAddr], then: &[ResourceAddr]) -> Dip {
    Dip {
        cloud: Cloud::Aws,
        place: "eu-west-1".into(),
        code: "L-1".into(),
        unit: "machines".into(),
        limit: 2.0,
        needed: 4.0,
        first: first.to_vec(),
        then: then.to_vec(),
        machines: 2,
        left: 0,
    }
}

/// What stands, what is to be, and what has to go for it: another type, another network, and from one type to the other.
fn stories() -> Vec<(&'static str, Region, Region, Dip)> {
    let small = Region::new("services.chat", "eu-west-1");
    let fleet = |of: &Region, name: &str| of.pool(name).child("on_demand");
    let mut moved = small.clone();
    moved.pools = BTreeMap::from([("p5.48xlarge".to_owned(), (2, 1))]);
    let mut ranged = small.clone();
    ranged.range = 65;
    let (old, new) = (fleet(&small, "g6e.xlarge"), fleet(&small, "p5.48xlarge"));
    let (mut less, mut more) = (small.clone(), small.clone());
    less.pools = BTreeMap::from([("g6e.xlarge".to_owned(), (1, 1)), ("p5.48xlarge".to_owned(), (1, 1))]);
    more.pools = BTreeMap::from([("g6e.xlarge".to_owned(), (2, 1))]);
    vec![
        ("another type", small.clone(), moved, dip(std::slice::from_ref(&old), std::slice::from_ref(&new))),
        ("another network", small, ranged, dip(std::slice::from_ref(&old), std::slice::from_ref(&old))),
        ("shifted", more, less, dip(&[old], &[new])),
    ]
}

fn standing(before: &Desired) -> Theatre {
    let mut theatre = Theatre::new(few(2));
    theatre.converge(&Plan::new("first", None, before));
    theatre
}

#[test]
fn old_machines_go_first_where_there_is_no_room_for_both() {
    for (name, before, after, dip) in stories() {
        let (before, after) = (before.wanted(), after.wanted());
        let mut theatre = standing(&before);
        let mut plan = Plan::new("second", Some(&theatre.durable.clone()), &after);
        // Without it the account has no room, and what stands stays.
        let End::Finished(summary) = theatre.apply(&plan, None) else { panic!("it ended") };
        assert!(!summary.complete(), "{name}");
        assert!(summary.failed.iter().any(|(.., why)| why.contains("quota")), "{name}: {summary:?}");
        assert_eq!(theatre.healthy(), 2, "{name}");
        let mut theatre = standing(&before);
        plan.dips.push(dip);
        assert_eq!(theatre.converge(&plan), 1, "{name}");
        assert_eq!(theatre.faults(&after), Vec::<String>::new(), "{name}");
        let first = Plan::new("first", None, &before);
        assert_eq!(theatre.unplanned(&[&first, &plan]), Vec::<String>::new(), "{name}");
        // What is replaced goes first because the plan says so.
        let silent = Plan { dips: Vec::new(), ..plan };
        let beside = theatre.unplanned(&[&first, &silent]);
        assert_eq!(beside.is_empty(), name != "another network", "{name}: {beside:?}");
    }
}

#[test]
fn a_death_in_a_dip_loses_nothing() {
    let mut points = 0;
    for (name, before, after, dip) in stories() {
        let (before, after) = (before.wanted(), after.wanted());
        for at in 0.. {
            let mut died = false;
            for late in [false, true] {
                let mut theatre = standing(&before);
                let mut plan = Plan::new("second", Some(&theatre.durable.clone()), &after);
                plan.dips.push(dip.clone());
                died |= matches!(theatre.apply(&plan, Some(Death { at, after: late })), End::Died);
                theatre.rest();
                theatre.converge(&plan);
                theatre.rest();
                assert_eq!(theatre.faults(&after), Vec::<String>::new(), "{name}, {at}, {late}");
                points += 1;
            }
            if !died {
                break;
            }
        }
    }
    assert!(points > 100, "{points}");
}

const PLAN: &str = include_str!("../../../templates/report/plan.schema.json");

/// From a spec with a declared quota to the end of an apply.
#[test]
fn a_dip_is_in_the_plan_and_the_account_is_never_over_its_quota() {
    let desk = Desk::new();
    let json = |desk: &Desk| -> Value { follows(PLAN, &desk.here(&["plan", ".", "--json"]).0) };
    let fleet = |plan: &Value| -> Value {
        let changes = plan["changes"].as_array().expect("a list");
        changes.iter().find(|c| c["kind"] == "fleet").expect("a fleet").clone()
    };
    let first = fleet(&json(&desk));
    let address = addr(first["address"].as_str().expect("an address"));
    let parts: Vec<&str> = address.as_str().split('/').collect();
    assert_eq!((parts[1], parts[3]), ("aws", "g7e.2xlarge"), "8 vCPUs, which the quota counts");
    let count = first["after"]["count"].as_u64().expect("a number");
    let spec = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).expect("read");
    let with = |more: &str| {
        let quota = format!("quotas: {{ {}: {{ L-DB2E81BA: {} }} }}", parts[2], count * 8);
        let providers = format!("providers: {{ aws: {{ {quota}{more} }} }}\n\nbudget:");
        std::fs::write(&spec, text.replacen("budget:", &providers, 1)).expect("written");
    };
    with("");
    let quota = Quota {
        cloud: Cloud::Aws,
        region: parts[2].into(),
        type_prefix: Some("g7e".into()),
        spot: None,
        machines: u32::try_from(count).expect("few"),
    };
    desk.sim.set_world(&World { quotas: vec![quota], ..super::process::quick() });
    assert!(json(&desk)["dips"].as_array().is_some_and(Vec::is_empty), "nothing goes");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    // What is made anew because somebody asked has no more room than any other.
    let anew = follows(PLAN, &desk.here(&["plan", ".", "--json", "--replace", address.as_str()]).0);
    assert_eq!(anew["dips"][0]["first"][0], first["address"]);
    // Another account makes everything anew; a part without the machines needs no room.
    with(", profile: other");
    let part = follows(PLAN, &desk.here(&["plan", ".", "--json", "--exclude", address.as_str()]).0);
    assert!(part["dips"].as_array().is_some_and(Vec::is_empty), "{}", part["dips"]);
    let plan = json(&desk);
    assert_eq!(fleet(&plan)["address"], first["address"], "the same machines");
    let dip = &plan["dips"][0];
    assert_eq!(
        (dip["limit"].as_f64(), dip["needed"].as_f64()),
        (Some(count as f64 * 8.0), Some(count as f64 * 16.0))
    );
    assert_eq!((dip["machines"].as_u64(), dip["left"].as_u64()), (Some(count), Some(0)));
    assert_eq!((&dip["first"][0], &dip["then"][0]), (&first["address"], &first["address"]));
    let (out, _, _) = desk.here(&["plan", ".", "--out", "dip.plan"]);
    let told = format!("A DIP: quota L-DB2E81BA of aws/{} is {} vcpus", parts[2], count * 8);
    assert!(out.contains(&told) && out.contains(&format!("0 of its {count} machines are left")), "{out}");
    let (out, err, code) = desk.here(&["check", "--plan", "dip.plan", "--fast"]);
    assert!(code == 0 && out.contains("all hold"), "{out}{err}");
    let out = desk.ok(&["apply", "dip.plan", "--quiet"]);
    assert!(out.contains("Applied in"), "{out}");
    let fleets = desk.sim.inventory().into_iter().filter(|seen| seen.handle.kind == ResourceKind::Fleet);
    assert_eq!(fleets.count(), 1);
    // A quota for both, and nothing goes before its successor is there.
    std::fs::write(
        &spec,
        std::fs::read_to_string(&spec)
            .expect("read")
            .replace(&format!(": {} }}", count * 8), ": 4000 }")
            .replace("other", "third"),
    )
    .expect("written");
    let plan = json(&desk);
    assert!(plan["dips"].as_array().is_some_and(Vec::is_empty), "{}", plan["dips"]);
}
