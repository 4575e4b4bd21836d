//! Calls that are repeated, and lists that lag.

use rhumb_api::{Attr, Call, ErrorKind, Handle, Observed, ResourceKind, Status, Tags};
use rhumb_sim::{Event, HandError, World};

use crate::bench::Bench;

#[test]
fn a_token_makes_one_thing() {
    let mut bench = Bench::new(World::default());
    let order = bench.order(ResourceKind::Network);
    let first = bench.one(Call::Create(order.clone())).unwrap();
    let again = bench.one(Call::Create(order.clone())).unwrap();
    assert_eq!((first.handle.clone(), Status::Pending), (again.handle, again.status));
    bench.settled(&first.handle);
    let again = bench.one(Call::Create(order.clone())).unwrap();
    assert_eq!(again.status, Status::Ready);
    assert_eq!(bench.cloud.inventory().len(), 1);

    let mut other = order.clone();
    other.resource.attributes.insert("zones", Attr::Int(7));
    assert_eq!(bench.error(Call::Create(other)), ErrorKind::Invalid);
    let mut other = order.clone();
    other.files.insert("start.sh".to_owned(), "exit 1".to_owned());
    assert_eq!(bench.error(Call::Create(other)), ErrorKind::Invalid);

    bench.remove(&first.handle);
    assert_eq!(bench.one(Call::Create(order)), None, "it was made and is gone");
    assert!(bench.cloud.inventory().is_empty());
}

#[test]
fn a_refused_create_uses_no_token() {
    let mut bench = Bench::new(World::default());
    bench.before(ResourceKind::Fleet);
    let place = bench.place.clone();
    bench.cloud.set_stock(place.cloud, &place.region, &place.instance_type, false, Some(1));
    let order = bench.order(ResourceKind::Fleet);
    assert_eq!(bench.error(Call::Create(order.clone())), ErrorKind::Capacity);
    bench.cloud.set_stock(place.cloud, &place.region, &place.instance_type, false, Some(2));
    bench.make(order);
}

#[test]
fn without_tokens_everything_is_made_twice() {
    let mut bench = Bench::new(World { deduplicates: false, ..World::default() });
    assert!(!bench.cloud.guarantees().deduplicates);
    let order = bench.order(ResourceKind::Network);
    let first = bench.make(order.clone());
    let second = bench.make(order.clone());
    assert_ne!(first.handle, second.handle);
    assert_eq!(first.tags, second.tags);
    bench.now += 10_000;
    assert_eq!(bench.list(Some(order.tags.token)).len(), 2);
}

#[test]
fn a_second_of_one_address_stands_beside_the_first() {
    let mut bench = Bench::new(World::default());
    let first = bench.sample(ResourceKind::Network);
    let second = bench.sample(ResourceKind::Network);
    assert_ne!(first.handle.id, second.handle.id);
    assert_eq!(first.address(), second.address());
}

#[test]
fn lists_lag() {
    let mut bench = Bench::new(World::default());
    let order = bench.order(ResourceKind::Network);
    let seen = bench.one(Call::Create(order.clone())).unwrap();
    assert!(bench.list(None).is_empty());
    assert!(bench.one(Call::Read(seen.handle.clone())).is_some(), "reads do not");
    bench.wait(5_000);
    assert_eq!(bench.list(None).len(), 1);
    assert_eq!(bench.list(Some(order.tags.token.clone())).len(), 1);
    let other = bench.token();
    assert!(bench.list(Some(other)).is_empty());
    bench.remove(&seen.handle);
    let listed = bench.list(None);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].status, Status::Deleting);
    bench.wait(5_000);
    assert!(bench.list(None).is_empty());
}

#[test]
fn ids_are_counted_per_region_and_kind() {
    let mut bench = Bench::new(World::default());
    let here = bench.sample(ResourceKind::Network);
    bench.place.region = "us-east-1".to_owned();
    let there = bench.sample(ResourceKind::Network);
    assert_eq!(here.handle.id, there.handle.id);
    assert_ne!(here.handle, there.handle);
    bench.remove(&there.handle);
    let next = bench.sample(ResourceKind::Network);
    assert_ne!(next.handle.id, there.handle.id, "never used again");
}

#[test]
fn hands_change_remove_and_plant() {
    let mut bench = Bench::new(World::default());
    let seen = bench.sample(ResourceKind::Fleet);
    bench.cloud.set_attribute(&seen.handle, "count", Some(Attr::Int(5))).unwrap();
    bench.cloud.set_attribute(&seen.handle, "zones", None).unwrap();
    let now = bench.one(Call::Read(seen.handle.clone())).unwrap();
    assert_eq!(now.running, Some(5));
    assert_eq!(now.attributes.get("zones"), None);
    // What was ordered last is a change now.
    let order = bench.order(ResourceKind::Fleet);
    assert_eq!(bench.one(Call::Update(seen.handle.clone(), order)).unwrap().status, Status::Pending);
    assert_eq!(bench.settled(&seen.handle).unwrap().attributes, seen.attributes);

    bench.cloud.vanish(&seen.handle).unwrap();
    assert_eq!(bench.one(Call::Read(seen.handle.clone())), None);
    assert_eq!(bench.cloud.vanish(&seen.handle), Err(HandError::Missing(seen.handle.clone())));

    let token = bench.token();
    let planted = Observed {
        handle: Handle { id: "net-00000002".to_owned(), kind: ResourceKind::Network, ..seen.handle },
        tags: seen.tags.map(|tags| Tags { token: token.clone(), ..tags }),
        attributes: seen.attributes,
        status: Status::Ready,
        running: None,
        healthy: None,
        outputs: std::collections::BTreeMap::new(),
    };
    bench.cloud.plant(planted.clone()).unwrap();
    assert_eq!(bench.cloud.plant(planted.clone()), Err(HandError::Taken(planted.handle.clone())));
    assert_eq!(bench.list(Some(token)), vec![planted.clone()]);
    let next = bench.sample(ResourceKind::Network);
    assert_ne!(next.handle, planted.handle, "a planted id is not given again");
    assert_eq!(bench.events(|event| *event == Event::ByHand), 4);
}
