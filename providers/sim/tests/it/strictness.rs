//! What the cloud refuses, each beside what it takes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rhumb_api::{Attr, Attributes, Call, Cloud, ErrorKind, Handle, ResourceKind, Status};
use rhumb_sim::{Denial, Rate, Verb, World, forces_replacement, required};

use crate::bench::{Bench, place, site};

fn fine() -> Bench {
    Bench::new(World::default())
}

#[test]
fn every_kind_is_made_read_changed_and_removed() {
    for where_ in [place(), site()] {
        for kind in rhumb_api::conformance::kinds(&where_) {
            let mut bench = Bench::at(where_.clone(), World::default());
            let seen = bench.sample(*kind);
            assert_eq!(seen.attributes, rhumb_api::conformance::attributes(&where_, *kind));
            let order = bench.with(*kind, &[("labels", Attr::Map(Attributes::default()))]);
            let changed = bench.one(Call::Update(seen.handle.clone(), order.clone())).unwrap();
            assert_eq!(changed.status, Status::Pending);
            let changed = bench.settled(&seen.handle).unwrap();
            assert_eq!(changed.attributes, order.resource.attributes);
            assert_eq!(changed.tags, seen.tags, "tags stay");
            bench.remove(&seen.handle);
            assert_eq!(bench.one(Call::Delete(seen.handle.clone())), None);
        }
    }
}

#[test]
fn what_the_world_does_not_list_is_refused() {
    let mut world = World::default();
    world.regions.insert(Cloud::Aws, BTreeSet::from(["us-east-1".to_owned()]));
    let mut bench = Bench::new(world.clone());
    let order = bench.order(ResourceKind::Network);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid);

    let mut world = World::default();
    world.instance_types.insert(Cloud::Aws, BTreeSet::from(["p5.48xlarge".to_owned()]));
    let mut bench = Bench::new(world);
    bench.before(ResourceKind::LaunchTemplate);
    let order = bench.order(ResourceKind::LaunchTemplate);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid);
    let order = bench.with(ResourceKind::LaunchTemplate, &[("instance_type", "p5.48xlarge".into())]);
    bench.make(order);
}

#[test]
fn every_required_attribute_is_required() {
    for where_ in [place(), site()] {
        for kind in rhumb_api::conformance::kinds(&where_) {
            let mut bench = Bench::at(where_.clone(), World::default());
            bench.before(*kind);
            for name in required(*kind).iter().chain(&["deployment", "labels", "workload"]) {
                let mut order = bench.order(*kind);
                if order.resource.attributes.remove(name).is_some() {
                    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "{kind} {name}");
                }
            }
            let order = bench.order(*kind);
            bench.make(order);
        }
    }
}

#[test]
fn one_of_several_attributes_is_required() {
    let mut bench = fine();
    bench.before(ResourceKind::Fleet);
    let mut order = bench.order(ResourceKind::Fleet);
    order.resource.attributes.remove("load_balancer");
    assert_eq!(bench.error(Call::Create(order.clone())), ErrorKind::Invalid);
    let balancer = rhumb_api::conformance::address(&place(), ResourceKind::LoadBalancer);
    let targets = Attributes::from([(balancer.to_string(), Attr::List(vec![Attr::Int(8000)]))]);
    order.resource.attributes.insert("targets", Attr::Map(targets));
    bench.make(order);
    let mut order = bench.order(ResourceKind::JobRun);
    order.resource.attributes.remove("deadline_s");
    assert_eq!(bench.error(Call::Create(order.clone())), ErrorKind::Invalid);
    order.resource.attributes.insert("restart", "always".into());
    bench.make(order);
}

#[test]
fn what_is_named_has_to_be_there_and_to_be_given() {
    let mut bench = fine();
    bench.before(ResourceKind::Fleet);
    for break_it in 0..6 {
        let mut order = bench.order(ResourceKind::Fleet);
        let network = rhumb_api::conformance::address(&place(), ResourceKind::Network);
        match break_it {
            0 => drop(order.needs.remove(&network)),
            1 => drop(order.needs.insert(network, "net-0000ffff".to_owned())),
            // An id of another kind, and of another region.
            2 => drop(order.needs.insert(network, bench.ids[&ResourceKind::Firewall].clone())),
            3 => order.resource.region = "us-east-1".to_owned(),
            // An id for an address that no attribute names.
            4 => drop(order.needs.insert(network.child("other"), "net-00000001".to_owned())),
            _ => order.tags.lineage = "another".to_owned(),
        }
        assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "{break_it}");
    }
    let order = bench.with(ResourceKind::Fleet, &[("instance_type", "m7i.2xlarge".into())]);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "not the type of its template");
    let order = bench.order(ResourceKind::Fleet);
    bench.make(order);
}

#[test]
fn a_thing_that_is_not_ready_carries_nothing() {
    let mut bench = fine();
    let order = bench.order(ResourceKind::Network);
    let network = bench.one(Call::Create(order)).unwrap();
    bench.ids.insert(ResourceKind::Network, network.handle.id.clone());
    let order = bench.order(ResourceKind::Firewall);
    assert_eq!(bench.error(Call::Create(order.clone())), ErrorKind::Conflict);
    bench.settled(&network.handle);
    bench.make(order);
}

#[test]
fn values_are_looked_at() {
    let mut bench = fine();
    bench.before(ResourceKind::Fleet);
    let bad: &[(&str, Attr)] = &[
        ("count", Attr::Int(-1)),
        ("count", "2".into()),
        ("purchase", "barter".into()),
        ("network", Attr::Int(1)),
    ];
    for change in bad {
        let order = bench.with(ResourceKind::Fleet, std::slice::from_ref(change));
        assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid, "{change:?}");
    }
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(0)), ("purchase", "held".into())]);
    bench.make(order);
}

#[test]
fn clouds_have_no_edge_units_and_sites_no_networks() {
    let mut bench = Bench::at(site(), World::default());
    bench.before(ResourceKind::EdgeUnit);
    let mut order = bench.order(ResourceKind::EdgeUnit);
    order.resource.cloud = Cloud::Aws;
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid);
    let mut bench = fine();
    let mut order = bench.order(ResourceKind::Network);
    order.resource.cloud = Cloud::Site;
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Invalid);
}

#[test]
fn what_forces_a_replacement_cannot_be_changed() {
    for where_ in [place(), site()] {
        for kind in rhumb_api::conformance::kinds(&where_) {
            let mut bench = Bench::at(where_.clone(), World::default());
            let seen = bench.sample(*kind);
            for name in seen.attributes.keys().chain(["account"]) {
                if !forces_replacement(*kind, name) || ["network", "launch_template"].contains(&name) {
                    continue;
                }
                let value = if name == "purchase" { "spot" } else { "other" };
                let order = bench.with(*kind, &[(name, value.into())]);
                let got = bench.error(Call::Update(seen.handle.clone(), order));
                assert_eq!(got, ErrorKind::Invalid, "{kind} {name}");
            }
        }
    }
}

#[test]
fn an_order_of_another_deployment_or_for_another_thing_is_refused() {
    let mut bench = fine();
    let seen = bench.sample(ResourceKind::Network);
    let mut order = bench.with(ResourceKind::Network, &[("zones", Attr::Int(3))]);
    order.tags.lineage = "another".to_owned();
    assert_eq!(bench.error(Call::Update(seen.handle.clone(), order)), ErrorKind::Invalid);
    let mut order = bench.with(ResourceKind::Network, &[("zones", Attr::Int(3))]);
    order.resource.region = "us-east-1".to_owned();
    assert_eq!(bench.error(Call::Update(seen.handle.clone(), order)), ErrorKind::Invalid);
    let order = bench.with(ResourceKind::Network, &[("zones", Attr::Int(3))]);
    bench.one(Call::Update(seen.handle, order));
}

#[test]
fn what_is_gone_is_not_found() {
    let mut bench = fine();
    let seen = bench.sample(ResourceKind::Network);
    bench.remove(&seen.handle);
    let order = bench.order(ResourceKind::Network);
    assert_eq!(bench.error(Call::Update(seen.handle.clone(), order)), ErrorKind::NotFound);
    assert_eq!(bench.one(Call::Read(seen.handle.clone())), None);
    assert_eq!(bench.one(Call::Delete(seen.handle.clone())), None);
    let unknown = Handle { id: "net-nobody".to_owned(), ..seen.handle };
    assert_eq!(bench.one(Call::Read(unknown)), None);
}

#[test]
fn what_others_stand_on_stays() {
    let mut bench = fine();
    let fleet = bench.sample(ResourceKind::Fleet);
    let kinds = [
        ResourceKind::Network,
        ResourceKind::Firewall,
        ResourceKind::LaunchTemplate,
        ResourceKind::LoadBalancer,
    ];
    let of = |bench: &Bench, kind| Handle { kind, id: bench.ids[&kind].clone(), ..fleet.handle.clone() };
    for kind in kinds {
        let handle = of(&bench, kind);
        assert_eq!(bench.error(Call::Delete(handle)), ErrorKind::Conflict, "{kind}");
    }
    bench.remove(&fleet.handle);
    for kind in kinds.into_iter().rev() {
        let handle = of(&bench, kind);
        bench.remove(&handle);
    }
    assert!(bench.cloud.inventory().is_empty());
}

#[test]
fn one_change_at_a_time() {
    let mut bench = fine();
    let order = bench.order(ResourceKind::Network);
    let seen = bench.one(Call::Create(order.clone())).unwrap();
    let other = bench.with(ResourceKind::Network, &[("zones", Attr::Int(3))]);
    assert_eq!(bench.error(Call::Update(seen.handle.clone(), other.clone())), ErrorKind::Conflict);
    assert_eq!(bench.error(Call::Delete(seen.handle.clone())), ErrorKind::Conflict);
    // What it is being made into anyway is no other change.
    assert!(bench.one(Call::Update(seen.handle.clone(), order)).is_some());
    bench.settled(&seen.handle);
    bench.one(Call::Update(seen.handle.clone(), other));
    bench.settled(&seen.handle);
    bench.one(Call::Delete(seen.handle.clone()));
    let other = bench.with(ResourceKind::Network, &[("zones", Attr::Int(4))]);
    assert_eq!(bench.error(Call::Update(seen.handle.clone(), other)), ErrorKind::Conflict);
    let again = bench.one(Call::Delete(seen.handle)).unwrap();
    assert_eq!(again.status, Status::Deleting);
}

#[test]
fn rights_are_per_cloud_kind_and_verb() {
    let denial =
        Denial { cloud: Some(Cloud::Aws), kind: Some(ResourceKind::Network), verb: Some(Verb::Create) };
    let mut bench = Bench::new(World { denied: vec![denial], ..World::default() });
    let order = bench.order(ResourceKind::Network);
    assert_eq!(bench.error(Call::Create(order)), ErrorKind::Denied);
    bench.place.cloud = Cloud::Gcp;
    bench.sample(ResourceKind::Firewall);
}

#[test]
fn a_cloud_takes_so_many_calls() {
    let rate = Rate { per_second: 2, burst: 3 };
    let mut bench = Bench::new(World { calls: BTreeMap::from([(Cloud::Aws, rate)]), ..World::default() });
    let read = Call::Read(Handle {
        cloud: Cloud::Aws,
        region: "eu-west-1".to_owned(),
        kind: ResourceKind::Network,
        id: "net-nobody".to_owned(),
    });
    let numbers: Vec<_> = (0..5).map(|_| bench.cloud.submit(0, read.clone())).collect();
    let answers = bench.cloud.advance(1_000);
    let throttled: Vec<_> = answers.iter().filter_map(|(_, a)| a.as_ref().err()).collect();
    assert_eq!((numbers.len(), throttled.len()), (5, 2));
    for error in throttled {
        assert_eq!(error.kind, ErrorKind::Throttled);
        let wait = error.retry_after_ms.unwrap();
        assert!(wait > 0 && wait <= 500, "{wait}");
    }
    bench.now = 1_500;
    assert_eq!(bench.one(read), None);
}

proptest! {
    #[test]
    fn worlds_with_unknown_keys_are_refused(key in "[a-z_]{1,12}") {
        let known = serde_json::to_value(World::default()).unwrap();
        let text = format!("{{\"{key}\": null}}");
        if known.get(&key).is_none() {
            prop_assert!(World::from_json(text.as_bytes()).is_err());
            prop_assert!(World::default().patched(text.as_bytes()).is_err());
        }
    }
}

#[test]
fn worlds_are_read_as_they_are_written() {
    let world = World { seed: 7, ..World::default() };
    let text = serde_json::to_vec(&world).unwrap();
    assert_eq!(World::from_json(&text).unwrap(), world);
    assert_eq!(World::default().patched(br#"{"seed": 7}"#).unwrap(), world);
    assert!(World::from_json(br#"{"rules": [{"what": "hold_before", "unknown": 1}]}"#).is_err());
    assert!(World::from_json(br#"{"rules": [{"what": "hold_before", "verb": "create"}]}"#).is_ok());
}
