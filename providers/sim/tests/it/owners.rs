//! Whose things are: those of others, those of nobody, and machines that a hand adds.

use rhumb_api::{Attr, Call, ErrorKind, Observed, Owner, Purchase, ResourceKind, Status};
use rhumb_sim::{Span, World};

use crate::bench::Bench;
use crate::courses::price;

/// What was made without rhumb names what it stands on by ids, which is no difference to what an order says of the same.
#[test]
fn a_fleet_that_nobody_ordered_is_taken_over_with_the_network_it_stands_on() {
    let mut bench =
        Bench::new(World { prices: vec![price(Purchase::OnDemand, 3_600_000)], ..World::default() });
    bench.before(ResourceKind::Fleet);
    let order = bench.order(ResourceKind::Fleet);
    let mut attributes = order.resource.attributes.clone();
    for (address, id) in &order.needs {
        for name in ["network", "launch_template", "load_balancer"] {
            if attributes.get(name) == Some(&address.as_str().into()) {
                attributes.insert(name, id.as_str().into());
            }
        }
    }
    let network = bench.ids[&ResourceKind::Network].clone();
    assert_eq!(attributes["network"], Attr::from(network));
    let handle = rhumb_api::Handle {
        cloud: bench.place.cloud,
        region: bench.place.region.clone(),
        kind: ResourceKind::Fleet,
        id: "asg-by-hand".to_owned(),
    };
    let planted = Observed {
        handle: handle.clone(),
        tags: None,
        attributes,
        status: Status::Ready,
        running: Some(2),
        healthy: Some(2),
        outputs: [].into(),
    };
    bench.cloud.plant(planted.clone()).unwrap();
    assert_eq!(bench.one(Call::Read(handle.clone())), Some(planted));
    assert!(!bench.list(None).iter().any(|seen| seen.handle == handle));
    bench.wait(3_600_000);
    let bill = bench.cloud.bill(bench.now);
    assert!(bill.total.micros() >= 7_200_000 && bill.by_address.is_empty(), "{bill:?}");
    assert_eq!(bench.error(Call::Update(handle.clone(), order.clone())), ErrorKind::Invalid);
    let mut takes = order;
    takes.takes_over = Some(Owner::Nobody);
    assert_eq!(bench.error(Call::Create(takes.clone())), ErrorKind::Invalid, "a create takes nothing over");
    bench.one(Call::Update(handle.clone(), takes.clone()));
    let seen = bench.settled(&handle).unwrap();
    assert_eq!((seen.tags.as_ref(), &seen.attributes), (Some(&takes.tags), &takes.resource.attributes));
    assert!(bench.list(Some(takes.tags.token.clone())).iter().any(|seen| seen.handle == handle));
    bench.one(Call::Update(handle.clone(), takes.clone()));
    assert_eq!(bench.settled(&handle).unwrap().tags, Some(takes.tags));
}

#[test]
fn what_stands_on_anothers_thing_is_refused_until_that_is_taken_over() {
    let mut bench = Bench::new(World::default());
    let mut network = bench.order(ResourceKind::Network);
    network.tags.lineage = "another".to_owned();
    let seen = bench.make(network);
    let firewall = bench.order(ResourceKind::Firewall);
    assert_eq!(bench.error(Call::Create(firewall.clone())), ErrorKind::Invalid);
    let mut takes = bench.order(ResourceKind::Network);
    takes.takes_over = Some(Owner::Lineage("another".to_owned()));
    bench.one(Call::Update(seen.handle.clone(), takes));
    bench.settled(&seen.handle);
    bench.make(firewall);
}

/// An order is read as it was written before there was anything to take over, and is written so where it takes nothing.
#[test]
fn the_wire_has_the_words_only_where_they_are_said() {
    let mut bench = Bench::new(World::default());
    let mut order = bench.order(ResourceKind::Network);
    let text = serde_json::to_string(&order).unwrap();
    assert!(!text.contains("takes_over"), "{text}");
    assert_eq!(serde_json::from_str::<rhumb_api::Order>(&text).unwrap(), order);
    for (owner, words) in [
        (Owner::Nobody, r#""takes_over":"nobody""#),
        (Owner::Lineage("a-1".to_owned()), r#""takes_over":{"lineage":"a-1"}"#),
    ] {
        order.takes_over = Some(owner);
        let text = serde_json::to_string(&order).unwrap();
        assert!(text.contains(words), "{text}");
        assert_eq!(serde_json::from_str::<rhumb_api::Order>(&text).unwrap(), order);
    }
}

#[test]
fn machines_that_a_hand_adds_load_their_engines_as_all_others_do() {
    let warm_ms = Span { min: 60_000, max: 60_000 };
    let mut bench = Bench::new(World { warm_ms, ..World::default() });
    let fleet = bench.sample(ResourceKind::Fleet);
    let is = |bench: &mut Bench| {
        let seen = bench.one(Call::Read(fleet.handle.clone())).unwrap();
        (seen.running, seen.healthy)
    };
    bench.wait(60_000);
    assert_eq!(is(&mut bench), (Some(2), Some(2)));
    for (count, meanwhile) in [(5, 2), (9, 5), (1, 1), (4, 1)] {
        bench.cloud.set_attribute(&fleet.handle, "count", Some(Attr::Int(count.into()))).unwrap();
        assert_eq!(is(&mut bench), (Some(count), Some(meanwhile)));
        bench.wait(60_000);
        assert_eq!(is(&mut bench), (Some(count), Some(count)));
    }
    // Those that may not answer do not, whoever adds them.
    bench.cloud.set_healthy(&fleet.handle, Some(3)).unwrap();
    bench.cloud.set_attribute(&fleet.handle, "count", Some(Attr::Int(6))).unwrap();
    bench.wait(60_000);
    assert_eq!(is(&mut bench), (Some(6), Some(3)));
}
