//! The difference between what exists and what is wanted: properties over random deployments.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb::placement::Placement;
use rhumb::plan::{self, Action, Desired, Header, Plan};
use rhumb::state::{State, StateResource};
use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};

pub fn header() -> Header {
    Header {
        name: "demo".into(),
        created: "2026-11-25T08:00:00Z".into(),
        tool_version: "0.1.0".into(),
        spec_digest: "a".repeat(64),
        catalog_digest: "b".repeat(64),
        confidence: 0.8,
        user_files: Vec::new(),
        budget: None,
        warnings: Vec::new(),
    }
}

pub fn between(prior: Option<&State>, desired: &Desired) -> Plan {
    let nothing = Placement { workloads: BTreeMap::new(), joint_violations: Vec::new() };
    plan::between(header(), prior, desired, nothing, Vec::new())
}

/// The state that apply leaves when it has done everything that was wanted.
pub fn state_of(desired: &Desired) -> State {
    let made = |(addr, (resource, needs)): (&ResourceAddr, &(Resource, Vec<ResourceAddr>))| {
        let recorded = StateResource { resource: resource.clone(), id: None, depends_on: needs.clone() };
        (addr.clone(), recorded)
    };
    State { lineage: "l".into(), serial: 1, resources: desired.iter().map(made).collect() }
}

/// Does the steps one by one; panics where a step finds what it must not find.
pub fn apply(prior: Option<&State>, plan: &Plan) -> BTreeMap<ResourceAddr, Resource> {
    let mut exists: BTreeMap<ResourceAddr, Resource> =
        prior.iter().flat_map(|s| &s.resources).map(|(a, s)| (a.clone(), s.resource.clone())).collect();
    for step in &plan.steps {
        let change = plan.changes.iter().find(|c| c.addr == step.addr).expect("a step has a change");
        assert_eq!(exists.get(&step.addr), change.before.as_ref(), "{}", step.addr);
        match step.action {
            Action::Create | Action::Update | Action::Replace => {
                for need in &change.depends_on {
                    let other = plan.changes.iter().find(|c| c.addr == *need);
                    let wanted = other.and_then(|c| c.after.as_ref());
                    assert_eq!(exists.get(need), wanted, "{} before {need}", step.addr);
                }
                exists.insert(step.addr.clone(), change.after.clone().expect("it is wanted"));
            }
            Action::Remove => {
                let needs_it = prior.iter().flat_map(|s| &s.resources).find(|(a, s)| {
                    s.depends_on.contains(&step.addr)
                        && exists.contains_key(*a)
                        && plan.changes.iter().any(|c| c.addr == **a && c.after.is_none())
                });
                assert!(needs_it.is_none(), "{} is removed under {needs_it:?}", step.addr);
                exists.remove(&step.addr);
            }
            Action::Keep => panic!("{}: a step that does nothing", step.addr),
        }
    }
    exists
}

fn resource() -> impl Strategy<Value = Resource> {
    let kind = prop::sample::select(ResourceKind::ALL.to_vec());
    let cloud = prop::sample::select(Cloud::ALL.to_vec());
    let region = prop::sample::select(vec!["north", "south"]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Attr::Bool),
        (0_i64..3).prop_map(Attr::Int),
        "[ab]{0,2}".prop_map(Attr::Text),
    ];
    let attr = leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Attr::List),
            prop::collection::btree_map("[xy]", inner, 0..3).prop_map(Attr::Map),
        ]
    });
    let name = prop::sample::select(vec![
        "count",
        "address_range",
        "instance_type",
        "purchase",
        "labels",
        "network",
    ]);
    let attributes = prop::collection::btree_map(name.prop_map(str::to_owned), attr, 0..4);
    (kind, cloud, region, attributes).prop_map(|(kind, cloud, region, attributes)| Resource {
        kind,
        cloud,
        region: region.into(),
        attributes,
    })
}

/// Up to eight of twelve addresses, in a random order in which each may need some of those before it.
fn desired() -> impl Strategy<Value = Desired> {
    let places = prop::sample::subsequence((0..12_usize).collect::<Vec<_>>(), 0..9).prop_shuffle();
    (places, prop::collection::vec((resource(), any::<u8>()), 9)).prop_map(|(places, made)| {
        let addrs: Vec<ResourceAddr> = places
            .iter()
            .map(|i| ResourceAddr::parse(format!("services.s{}/part{i}", i % 3)).expect("an address"))
            .collect();
        let needs = |i: usize, mask: u8| {
            addrs[..i]
                .iter()
                .enumerate()
                .filter(move |(j, _)| mask >> (j % 8) & 1 == 1)
                .map(|(_, a)| a.clone())
        };
        addrs
            .iter()
            .zip(made)
            .enumerate()
            .map(|(i, (addr, (resource, mask)))| (addr.clone(), (resource, needs(i, mask).collect())))
            .collect()
    })
}

/// A deployment and another that shares some of its resources, as they are or slightly changed.
fn pair() -> impl Strategy<Value = (Desired, Desired)> {
    (desired(), desired(), any::<u16>(), any::<u16>()).prop_map(|(old, mut new, same, grown)| {
        let pairs = new.values_mut().zip(old.values()).enumerate();
        for (i, ((resource, _), (other, _))) in pairs {
            if same >> i & 1 == 1 {
                *resource = other.clone();
                if grown >> i & 1 == 1 {
                    resource.attributes.insert("count".into(), Attr::Int(7));
                }
            }
        }
        for (addr, (resource, _)) in &mut new {
            if let Some((other, _)) = old.get(addr).filter(|_| same & 1 == 1) {
                *resource = other.clone();
            }
        }
        (old, new)
    })
}

proptest! {
    #[test]
    fn what_is_as_wanted_stays(desired in desired()) {
        let plan = between(Some(&state_of(&desired)), &desired);
        prop_assert!(plan.steps.is_empty(), "{:?}", plan.steps);
        prop_assert!(plan.changes.iter().all(|c| c.action == Action::Keep && c.fields.is_empty()));
        prop_assert_eq!(plan.changes.len(), desired.len());
    }

    #[test]
    fn the_steps_lead_from_what_exists_to_what_is_wanted((old, new) in pair()) {
        let prior = state_of(&old);
        let wanted: BTreeMap<ResourceAddr, Resource> =
            new.iter().map(|(a, (r, _))| (a.clone(), r.clone())).collect();
        for prior in [None, Some(&prior)] {
            let plan = between(prior, &new);
            prop_assert_eq!(apply(prior, &plan), wanted.clone());
            for change in &plan.changes {
                prop_assert_eq!(change.action == Action::Keep, change.reasons.is_empty(), "{}", change.addr);
                let forced = change.fields.iter().any(|f| f.forces_replacement);
                prop_assert!(!forced || change.action == Action::Replace, "{}", change.addr);
            }
            let first_removal = plan.steps.iter().position(|s| s.action == Action::Remove);
            let after = first_removal.map_or(&[][..], |i| &plan.steps[i..]);
            prop_assert!(after.iter().all(|s| s.action == Action::Remove), "removals come last");
        }
    }

    #[test]
    fn what_stands_in_a_replaced_network_is_replaced((old, new) in pair()) {
        let plan = between(Some(&state_of(&old)), &new);
        let of = |addr: &ResourceAddr| plan.changes.iter().find(|c| c.addr == *addr).expect("a change");
        for change in plan.changes.iter().filter(|c| c.before.is_some() && c.after.is_some()) {
            let kind = change.after.as_ref().expect("wanted").kind;
            let held = !matches!(kind, ResourceKind::Network | ResourceKind::LaunchTemplate);
            let lost = change.depends_on.iter().any(|need| {
                let need = of(need);
                need.action == Action::Replace
                    && need.after.as_ref().is_some_and(|r| r.kind == ResourceKind::Network)
            });
            prop_assert!(!(held && lost) || change.action == Action::Replace, "{}", change.addr);
        }
    }

    #[test]
    fn equal_inputs_give_equal_plans((old, new) in pair()) {
        let prior = state_of(&old);
        prop_assert_eq!(between(Some(&prior), &new), between(Some(&prior), &new));
    }
}
