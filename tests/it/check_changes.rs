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
fn a_rollout_is_read_as_it_is_written() {
    let catalog = rhumb::catalog::Catalog::embedded();
    let text = std::fs::read_to_string("examples/fraud-scoring/deploy.yaml").unwrap();
    let spec = crate::line::spec(&text, &catalog);
    let read = |name: &str| spec.rollouts.get(name).map(|r| (r.waves.clone(), r.health_timeout_s));
    assert_eq!(read("services.trees"), Some((vec![1], 600)));
    assert_eq!(read("services.sequence"), None);
    let rolling = |said: &str| {
        let text = text.replace("health_timeout: 10m", &format!("health_timeout: 10m, {said}"));
        let spec = crate::line::spec(&text, &catalog);
        spec.rollout("services.trees").unwrap().rolling.map(|r| (r.surge, r.unavailable))
    };
    assert_eq!(rolling("max_surge: 2"), Some((2, 0)));
    assert_eq!(rolling("max_unavailable: 2"), Some((1, 2)));
    assert_eq!(rolling("max_surge: 0, max_unavailable: 1, strategy: rolling"), Some((0, 1)));
    assert_eq!(rolling("strategy: rolling"), None);
    // Of all services, where `defaults` says it.
    let only = text.replace("\ndefaults:\n", "\ndefaults:\n  rollout: { health_timeout: 1h }\n");
    let spec = crate::line::spec(&only, &catalog);
    let read = |name: &str| spec.rollouts.get(name).map(|r| (r.waves.clone(), r.health_timeout_s));
    assert_eq!(read("services.trees"), Some((vec![1], 600)));
    assert_eq!(read("services.sequence"), Some((vec![], 3_600)));
    let only = text.replace("waves: [1], health_timeout: 10m", "waves: [2, 5]");
    let spec = crate::line::spec(&only, &catalog);
    let read = |name: &str| spec.rollouts.get(name).map(|r| (r.waves.clone(), r.health_timeout_s));
    assert_eq!(read("services.trees"), Some((vec![2, 5], 1_800)));
}

#[test]
fn each_planted_fault_of_waves_is_found() {
    let (spec, ..) = base();
    let mut spec = spec.clone();
    let stated = spec::Rollout {
        waves: vec![1, 2],
        health_timeout_s: 600,
        rolling: Some(spec::Rolling { surge: 2, unavailable: 1 }),
        roll_back: true,
        at: rhumb::diagnostic::Pointer::root(),
    };
    spec.rollouts.insert("services.chat".into(), stated);
    let rolled = |region: &str, n: i64| {
        let mut fleet = fleet(region, "g6e.xlarge", n);
        fleet.attributes.extend([("max_surge", Attr::Int(2)), ("max_unavailable", Attr::Int(1))]);
        fleet
    };
    let places = [("eu-west-1", 5), ("eu-west-2", 2), ("eu-west-3", 9), ("eu-north-1", 2)];
    let desired: Desired = places
        .iter()
        .map(|(region, n)| (addr(region, "g6e.xlarge"), (rolled(region, *n), Vec::new())))
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
    assert_eq!(right.rollouts, [Rollout { workload, health_timeout_s: 600, roll_back: true, waves }]);
    fn first(plan: &mut Plan) -> &mut rhumb_api::Attributes {
        &mut plan.changes[0].after.as_mut().unwrap().attributes
    }
    #[rustfmt::skip]
    let faults: &[(&str, fn(&mut Plan))] = &[
        ("may be there besides or be missing", |p| drop(first(p).insert("max_surge", Attr::Int(3)))),
        ("may be there besides or be missing", |p| drop(first(p).remove("max_surge"))),
        ("may be there besides or be missing", |p| drop(first(p).insert("max_unavailable", Attr::Int(0)))),
        ("the services that say how they are rolled out", |p| p.rollouts.clear()),
        ("the services that say how they are rolled out", |p| p.rollouts[0].workload = "services.other".into()),
        ("the time until machines are healthy", |p| p.rollouts[0].health_timeout_s += 1),
        ("whether what was made goes again", |p| p.rollouts[0].roll_back = false),
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

/// By hand from two prices: while both are there they cost the sum.
#[test]
fn each_planted_fault_of_a_surge_is_found() {
    let (spec, world, _) = base();
    let (small, large) = ("g6e.xlarge", "g6e.2xlarge");
    let catalog = &world.catalog;
    let micros = |name: &str| {
        let region = catalog.region(Cloud::Aws, "us-east-1").unwrap();
        let kind = catalog.instance_type(Cloud::Aws, name).unwrap();
        catalog.offering(kind, region, spec::Purchase::OnDemand).unwrap().price.micros()
    };
    let moved = vec![
        change(addr("us-east-1", large), Action::Create, None, Some(fleet("us-east-1", large, 2))),
        change(addr("us-east-1", small), Action::Remove, Some(fleet("us-east-1", small, 3)), None),
    ];
    let mut right = plan_of(moved);
    right.surge = plan::surge(&right.changes, &[], catalog);
    let surge = right.surge.clone().expect("both at once");
    let told = [surge.before, surge.during, surge.after].map(|money| money.micros());
    let (old, new) = (3 * micros(small), 2 * micros(large));
    assert_eq!((told, surge.unpriced), ([old, old + new, new], 0));
    // Where the old ones go first there is never more.
    let mut spec_with = with_quota(spec);
    spec_with.providers.values_mut().for_each(|p| {
        let quota = BTreeMap::from([("L-DB2E81BA".into(), 16.0)]);
        p.quotas = BTreeMap::from([("us-east-1".into(), quota)]);
    });
    let dips = plan::dips(&right.changes, &spec_with, catalog);
    assert_eq!((dips.len(), plan::surge(&right.changes, &dips, catalog)), (1, None));
    let words = "what machines cost while old and new ones are there at once";
    #[rustfmt::skip]
    let faults: &[fn(&mut Plan)] = &[
        |p| p.surge = None,
        |p| p.surge.as_mut().unwrap().during = p.surge.as_ref().unwrap().after,
        |p| p.surge.as_mut().unwrap().before = rhumb_api::Money::ZERO,
        |p| p.surge.as_mut().unwrap().after = rhumb_api::Money::ZERO,
        |p| p.surge.as_mut().unwrap().unpriced = 1,
    ];
    assert_eq!(found(spec, &right, words), Vec::<String>::new());
    for plant in faults {
        let mut wrong = right.clone();
        plant(&mut wrong);
        assert!(!found(spec, &wrong, words).is_empty());
    }
}

/// By hand: of a fleet that is made anew there are some more for a while, no more than there are.
#[test]
fn machines_besides_are_counted_while_they_are_made_anew() {
    let (spec, world, _) = base();
    let rolled = |count: i64, surge: i64| {
        let with = |template: &str| {
            let mut fleet = fleet("us-east-1", "g6e.2xlarge", count);
            fleet.attributes.insert("max_surge", Attr::Int(surge));
            fleet.attributes.insert("max_unavailable", Attr::Int(0));
            fleet.attributes.insert("launch_template_sha256", template.into());
            Some(fleet)
        };
        let address = addr("us-east-1", "g6e.2xlarge");
        let mut plan = plan_of(vec![change(address, Action::Update, with("a"), with("b"))]);
        plan.surge = plan::surge(&plan.changes, &[], &world.catalog);
        plan
    };
    let words = "what machines cost while old and new ones are there at once";
    let region = world.catalog.region(Cloud::Aws, "us-east-1").unwrap();
    let kind = world.catalog.instance_type(Cloud::Aws, "g6e.2xlarge").unwrap();
    let each = world.catalog.offering(kind, region, spec::Purchase::OnDemand).unwrap().price;
    for (count, surge, besides) in [(3, 1, 1), (3, 9, 3), (3, 0, 0)] {
        let plan = rolled(count, surge);
        let told = plan.surge.clone().map(|s| (s.before, s.during, s.after));
        let all = each.times(count);
        let expected = (all, each.times(count + besides), all);
        assert_eq!(told, (besides > 0).then_some(expected), "{count} {surge}");
        assert_eq!(found(spec, &plan, words), Vec::<String>::new());
        let mut wrong = plan;
        wrong.surge = match wrong.surge {
            Some(_) => None,
            None => rolled(3, 1).surge,
        };
        assert!(!found(spec, &wrong, words).is_empty(), "{count} {surge}");
    }
    // From five to two, with one besides: what is too many goes before.
    let mut plan = rolled(2, 1);
    plan.changes[0].before.as_mut().unwrap().attributes.insert("count", Attr::Int(5));
    assert_eq!(plan::surge(&plan.changes, &[], &world.catalog), None);
}
