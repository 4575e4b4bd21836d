//! The checker on how machines come and go: waves and dips, each with planted faults.

use std::collections::BTreeMap;

use rhumb::check;
use rhumb::plan::{self, Action, Change, Desired, Dip, Plan, Rollout};
use rhumb::spec::{self, Spec};
use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};

use crate::check::base;

fn fleet(region: &str, instance_type: &str, count: i64) -> Resource {
    let attributes = [
        ("instance_type", instance_type.into()),
        ("purchase", "on_demand".into()),
        ("count", Attr::Int(count)),
    ];
    let attributes = attributes.map(|(name, value): (&str, Attr)| (name.to_owned(), value)).into();
    Resource { kind: ResourceKind::Fleet, cloud: Cloud::Aws, region: region.into(), attributes }
}

fn addr(region: &str, instance_type: &str) -> ResourceAddr {
    ResourceAddr::parse(format!("services.chat/aws/{region}/{instance_type}/on_demand")).unwrap()
}

fn change(addr: ResourceAddr, action: Action, before: Option<Resource>, after: Option<Resource>) -> Change {
    let (reasons, fields) = (vec!["because".into()], Vec::new());
    Change { addr, action, reasons, before, after, fields, depends_on: Vec::new() }
}

/// A plan with these changes and nothing else that fits; what else is found is not asked here.
fn plan_of(changes: Vec<Change>) -> Plan {
    let state = rhumb::state::State::new("l".into(), false);
    let mut plan = plan::destroy("demo", "2026-11-25T00:00:00Z", &state, Vec::new());
    plan.destroy = false;
    plan.changes = changes;
    plan
}

/// What is found of these words.
fn found(spec: &Spec, plan: &Plan, words: &str) -> Vec<String> {
    let (_, world, _) = base();
    let findings = check::plan(spec, world, None, plan).findings;
    findings.into_iter().map(|f| f.message).filter(|m| m.contains(words)).collect()
}

#[test]
fn each_planted_fault_of_waves_is_found() {
    let (spec, ..) = base();
    let mut spec = spec.clone();
    let stated =
        spec::Rollout { waves: vec![1, 2], health_timeout_s: 600, at: rhumb::diagnostic::Pointer::root() };
    spec.rollouts.insert("services.chat".into(), stated);
    let places = [("eu-west-1", 5), ("eu-west-2", 2), ("eu-west-3", 9), ("eu-north-1", 2)];
    let desired: Desired = places
        .iter()
        .map(|(region, n)| (addr(region, "g6e.xlarge"), (fleet(region, "g6e.xlarge", *n), Vec::new())))
        .collect();
    let made = |(addr, (of, _)): (&ResourceAddr, &(Resource, Vec<ResourceAddr>))| {
        change(addr.clone(), Action::Create, None, Some(of.clone()))
    };
    let mut right = plan_of(desired.iter().map(made).collect());
    right.rollouts = plan::rollouts(&spec, &desired);
    let place = |region: &str| format!("aws/{region}");
    // By hand: the smallest first, of two the smaller name; one, one more, then the rest.
    let waves = vec![
        vec![place("eu-north-1")],
        vec![place("eu-west-2")],
        vec![place("eu-west-1"), place("eu-west-3")],
    ];
    let workload = "services.chat".to_owned();
    assert_eq!(right.rollouts, [Rollout { workload, health_timeout_s: 600, waves }]);
    #[rustfmt::skip]
    let faults: &[(&str, fn(&mut Plan))] = &[
        ("the services that say how they are rolled out", |p| p.rollouts.clear()),
        ("the services that say how they are rolled out", |p| p.rollouts[0].workload = "services.other".into()),
        ("the time until machines are healthy", |p| p.rollouts[0].health_timeout_s += 1),
        ("a wave with more machines comes first", |p| p.rollouts[0].waves.swap(0, 2)),
        ("the places of all waves", |p| { p.rollouts[0].waves[2].pop(); }),
        ("the places of all waves", |p| p.rollouts[0].waves[2].push("aws/eu-west-9".into())),
        ("the places after each wave", |p| { let wave = p.rollouts[0].waves.remove(0); p.rollouts[0].waves[0].extend(wave); }),
    ];
    for (words, plant) in faults {
        assert_eq!(found(&spec, &right, words), Vec::<String>::new());
        let mut wrong = right.clone();
        plant(&mut wrong);
        assert!(!found(&spec, &wrong, words).is_empty(), "{words}");
    }
}

/// On-demand machines of G families, 192 vCPUs in a region: 48 of `g6e.xlarge` (4 vCPUs), 24 of `g6e.2xlarge` (8 vCPUs).
fn with_quota(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    let settings = spec::ProviderSettings {
        account: None,
        discount: 0.0,
        quotas: BTreeMap::from([("eu-west-1".into(), BTreeMap::from([("L-DB2E81BA".into(), 192.0)]))]),
        at: rhumb::diagnostic::Pointer::root(),
    };
    spec.providers.insert(Cloud::Aws, settings);
    spec
}

#[test]
fn each_planted_fault_of_a_dip_is_found() {
    let (spec, world, _) = base();
    let spec = with_quota(spec);
    let (small, large) = ("g6e.xlarge", "g6e.2xlarge");
    let moved = |n: i64, m: i64| {
        vec![
            change(addr("eu-west-1", large), Action::Create, None, Some(fleet("eu-west-1", large, m))),
            change(addr("eu-west-1", small), Action::Remove, Some(fleet("eu-west-1", small, n)), None),
        ]
    };
    let planned = |changes: Vec<Change>| {
        let mut plan = plan_of(changes);
        plan.dips = plan::dips(&plan.changes, &spec, &world.catalog);
        plan
    };
    let wrong_words = "where quotas do not hold old and new machines at once";
    // 4 × 20 + 8 × 14 = 192: just room for both.
    let fits = planned(moved(20, 14));
    assert_eq!(fits.dips, []);
    assert_eq!(found(&spec, &fits, wrong_words), Vec::<String>::new());
    // One more is too many.
    let right = planned(moved(21, 14));
    let expected = Dip {
        cloud: Cloud::Aws,
        place: "eu-west-1".into(),
        code: "L-DB2E81BA".into(),
        unit: "vcpus".into(),
        limit: 192.0,
        needed: 196.0,
        first: vec![addr("eu-west-1", small)],
        then: vec![addr("eu-west-1", large)],
        machines: 21,
        left: 0,
    };
    assert_eq!(right.dips, [expected]);
    // What does not fit even alone is no dip: the planner does not plan it.
    assert_eq!(planned(moved(21, 25)).dips, []);
    // Elsewhere nothing is declared.
    let mut elsewhere = moved(21, 14);
    for of in &mut elsewhere {
        of.before.iter_mut().chain(&mut of.after).for_each(|r| r.region = "eu-west-2".into());
    }
    assert_eq!(planned(elsewhere).dips, []);
    #[rustfmt::skip]
    let faults: &[(&str, fn(&mut Plan))] = &[
        (wrong_words, |p| p.dips.clear()),
        (wrong_words, |p| { p.dips[0].first.pop(); }),
        (wrong_words, |p| { let more = p.dips[0].first[0].clone(); p.dips[0].then.push(more); }),
        (wrong_words, |p| p.dips[0].code = "L-0".into()),
        ("what is declared", |p| p.dips[0].limit = 100.0),
        ("take something else together", |p| p.dips[0].needed = 195.0),
        ("the machines that go or shrink", |p| p.dips[0].machines = 20),
        ("the machines that are left meanwhile", |p| p.dips[0].left = 20),
    ];
    for (words, plant) in faults {
        assert_eq!(found(&spec, &right, words), Vec::<String>::new(), "{words}");
        let mut wrong = right.clone();
        plant(&mut wrong);
        assert!(!found(&spec, &wrong, words).is_empty(), "{words}");
    }
    let mut invented = fits;
    invented.dips.clone_from(&right.dips);
    assert!(!found(&spec, &invented, wrong_words).is_empty());
}
