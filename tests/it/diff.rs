//! The difference between what exists and what is wanted: properties over random deployments.

use std::collections::BTreeMap;
use std::sync::Arc;

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
        budgets: Vec::new(),
        year: None,
        standbys: Vec::new(),
        rollouts: Vec::new(),
        warnings: Vec::new(),
    }
}

pub fn between(prior: Option<&State>, desired: &Desired) -> Plan {
    let nothing = Placement {
        divided: None,
        workloads: BTreeMap::new(),
        fleets: Vec::new(),
        joint_violations: Vec::new(),
        emissions: Default::default(),
        chains: Vec::new(),
        kept: None,
        commitments: Vec::new(),
        held: Vec::new(),
        savings: Vec::new(),
        coupling: None,
    };
    plan::between(header(), prior, desired, nothing, Vec::new())
}

/// The state that apply leaves when it has done everything that was wanted.
pub fn state_of(desired: &Desired) -> State {
    let made = |(addr, (resource, needs)): (&ResourceAddr, &(Resource, Vec<ResourceAddr>))| {
        let recorded = StateResource::of(resource.clone(), needs.clone());
        (addr.clone(), Arc::new(recorded))
    };
    State { serial: 1, resources: desired.iter().map(made).collect(), ..State::new("l".into(), false) }
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
            prop::collection::btree_map("[xy]", inner, 0..3).prop_map(|map| Attr::Map(map.into())),
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
        attributes: attributes.into(),
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
                    resource.attributes.insert("count", Attr::Int(7));
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

fn fixture(name: &str) -> State {
    let path = format!("{}/tests/it/fixtures/diff/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    rhumb::state::file::decode(name, &text).unwrap_or_else(|e| panic!("{e:?}"))
}

fn wanted() -> Desired {
    let made = fixture("wanted").resources;
    made.into_iter().map(|(addr, s)| (addr, (s.resource.clone(), s.depends_on.clone()))).collect()
}

/// Steps as `action address`, and what each change says.
fn told(plan: &Plan) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let steps = plan.steps.iter().map(|s| format!("{:?} {}", s.action, s.addr)).collect();
    let changes = plan.changes.iter().filter(|c| c.action != Action::Keep);
    (steps, changes.map(|c| (c.addr.to_string(), c.reasons.clone())).collect())
}

#[test]
fn a_change_that_failed_is_made_again() {
    let mut state = state_of(&wanted());
    assert!(between(Some(&state), &wanted()).steps.is_empty());
    let fleet: ResourceAddr =
        "services.chat/aws/eu-west-1/g6e.xlarge/on_demand".to_owned().try_into().unwrap();
    Arc::make_mut(state.resources.get_mut(&fleet).unwrap()).doubtful = Some("quota: no more vCPUs".into());
    let (steps, why) = told(&between(Some(&state), &wanted()));
    assert_eq!(steps, [format!("Update {fleet}")]);
    assert_eq!(why[fleet.as_str()], ["its last change failed: quota: no more vCPUs"]);
}

/// An apply was cut off after the new network and before what stands in it: the address is that of the new one already.
#[test]
fn what_still_stands_in_a_replaced_network_follows_it() {
    let mut state = state_of(&wanted());
    let network: ResourceAddr = "services.chat/aws/eu-west-1/network".to_owned().try_into().unwrap();
    for (addr, thing) in &mut state.resources {
        let thing = Arc::make_mut(thing);
        thing.id = Some(if *addr == network { "new".to_owned() } else { addr.to_string() });
        let stands_on = thing.depends_on.iter().map(|need| (need.clone(), need.to_string()));
        thing.stands_on = stands_on.collect();
        if thing.resource.attributes.contains_key("network") {
            thing.stands_on.insert(network.clone(), "old".to_owned());
        }
    }
    let (steps, why) = told(&between(Some(&state), &wanted()));
    let here = "services.chat/aws/eu-west-1";
    let expected = [
        format!("Replace {here}/firewall"),
        format!("Update {here}/g6e.xlarge/launch_template"),
        format!("Replace {here}/load_balancer"),
        format!("Replace {here}/g6e.xlarge/on_demand"),
    ];
    assert_eq!(steps, expected);
    let last = why[&format!("{here}/firewall")].last().unwrap();
    assert_eq!(*last, format!("{network} was replaced and it still needs the old one"));
}

#[test]
fn from_nothing_everything_is_created() {
    let steps = [
        "Create services.chat/aws/eu-west-1/network",
        "Create services.chat/aws/eu-west-1/firewall",
        "Create services.chat/aws/eu-west-1/g6e.xlarge/launch_template",
        "Create services.chat/aws/eu-west-1/load_balancer",
        "Create services.chat/aws/eu-west-1/g6e.xlarge/on_demand",
    ];
    let empty = fixture("create");
    for prior in [None, Some(&empty)] {
        let (done, why) = told(&between(prior, &wanted()));
        assert_eq!(done, steps);
        assert!(why.values().all(|w| *w == ["nothing exists yet"]), "{why:?}");
    }
}

#[test]
fn counts_and_settings_change_in_place() {
    let plan = between(Some(&fixture("update")), &wanted());
    let (steps, why) = told(&plan);
    let (template, fleet) = (
        "services.chat/aws/eu-west-1/g6e.xlarge/launch_template",
        "services.chat/aws/eu-west-1/g6e.xlarge/on_demand",
    );
    assert_eq!(steps, [format!("Update {template}"), format!("Update {fleet}")]);
    assert_eq!(why[template], ["api_keys secret:keys is gone", "engine.max_num_seqs 256 -> 64"]);
    assert_eq!(why[fleet], ["count 3 -> 4"]);
    assert_eq!(plan.changes.len(), 5, "what stays is listed too");
}

#[test]
fn a_changed_start_script_rolls_the_fleet() {
    let wanted = fixture("script-wanted").resources;
    let wanted: Desired =
        wanted.into_iter().map(|(a, s)| (a, (s.resource.clone(), s.depends_on.clone()))).collect();
    let (steps, why) = told(&between(Some(&fixture("script")), &wanted));
    let (template, fleet) = (
        "services.chat/aws/eu-west-1/g6e.xlarge/launch_template",
        "services.chat/aws/eu-west-1/g6e.xlarge/on_demand",
    );
    assert_eq!(steps, [format!("Update {template}"), format!("Update {fleet}")]);
    assert_eq!(why[template], ["start_script_sha256 changed"]);
    assert_eq!(why[fleet], ["its launch template changed, so its machines are made anew"]);
}

#[test]
fn another_address_range_replaces_the_network_and_what_stands_in_it() {
    let (steps, why) = told(&between(Some(&fixture("replace")), &wanted()));
    let replaced = [
        "services.chat/aws/eu-west-1/network",
        "services.chat/aws/eu-west-1/firewall",
        "services.chat/aws/eu-west-1/load_balancer",
        "services.chat/aws/eu-west-1/g6e.xlarge/on_demand",
    ];
    let mut expected: Vec<String> = replaced.iter().map(|a| format!("Replace {a}")).collect();
    // The launch template is in no network until a machine starts from it: it stays, and is pointed to the new one.
    let template = "services.chat/aws/eu-west-1/g6e.xlarge/launch_template";
    expected.insert(2, format!("Update {template}"));
    assert_eq!(steps, expected);
    assert_eq!(
        why[template],
        ["services.chat/aws/eu-west-1/firewall is replaced: it is pointed to the new one"]
    );
    assert_eq!(
        why[replaced[0]],
        ["address_range 10.0.0.0/16 -> 10.64.0.0/16 cannot be changed in place: the new one is made before \
          the old one is removed"]
    );
    assert!(why[replaced[3]][0].starts_with("services.chat/aws/eu-west-1/network is replaced"));
}

#[test]
fn what_is_not_wanted_is_removed_last_and_in_reverse() {
    let (steps, why) = told(&between(Some(&fixture("remove")), &wanted()));
    let expected = [
        "services.chat/aws/eu-west-2/g6e.xlarge/on_demand",
        "services.chat/aws/eu-west-2/load_balancer",
        "services.chat/aws/eu-west-2/g6e.xlarge/launch_template",
        "services.chat/aws/eu-west-2/firewall",
        "services.chat/aws/eu-west-2/network",
        "batches.nightly/aws/eu-west-1/network",
    ];
    assert_eq!(steps, expected.map(|a| format!("Remove {a}")));
    assert_eq!(
        why[expected[0]],
        ["not wanted any more: services.chat leaves aws/eu-west-2 and stays in aws/eu-west-1"]
    );
    assert_eq!(why[expected[5]], ["not wanted any more: batches.nightly is not in the spec"]);
}

#[test]
fn what_moves_says_where_to() {
    let mut prior = fixture("remove");
    prior.resources.retain(|a, _| a.as_str().contains("eu-west-2"));
    let (_, why) = told(&between(Some(&prior), &wanted()));
    assert_eq!(
        why["services.chat/aws/eu-west-2/network"],
        ["not wanted any more: services.chat moved to aws/eu-west-1"]
    );
    assert_eq!(
        why["services.chat/aws/eu-west-1/network"],
        ["services.chat has nothing in aws/eu-west-1 yet"]
    );
}

#[test]
fn nothing_to_do_is_no_step() {
    let plan = between(Some(&fixture("nothing")), &wanted());
    assert!(plan.steps.is_empty() && plan.changes.iter().all(|c| c.action == Action::Keep));
}

#[test]
fn a_plan_goes_stale_when_what_it_rests_on_moves() {
    let prior = fixture("update");
    let (spec, catalog) = ("a".repeat(64), "b".repeat(64));
    let plan = between(Some(&prior), &wanted());
    assert!(plan.stale_against(Some(&prior), &spec, &catalog).is_empty());
    let stale = |now: Option<&State>| plan.stale_against(now, &spec, &catalog).join("; ");
    assert!(stale(None).contains("now there is none"));
    assert!(stale(Some(&fixture("replace"))).contains("serial 5 then, 6 now"));
    let other = State { lineage: "other".into(), ..prior.clone() };
    assert!(stale(Some(&other)).contains("another deployment"));
    let mut edited = prior.clone();
    edited.resources.pop_first();
    assert!(stale(Some(&edited)).contains("although its serial is still 5"));
    let fresh = between(None, &wanted());
    assert!(fresh.stale_against(None, &spec, &catalog).is_empty());
    assert!(fresh.stale_against(Some(&prior), &spec, &catalog)[0].contains("nothing existed"));
    let both = plan.stale_against(Some(&prior), "x", "y");
    assert!(both.len() == 2 && both[0].contains("spec") && both[1].contains("catalogue"), "{both:?}");
}
