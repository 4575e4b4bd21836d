//! What a preflight says, beside what the cloud then does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rhumb_api::preflight::{About, Answer, Change, Preflight, Verdict, Wanted, passes};
use rhumb_api::{Attr, Call, ErrorKind, Order, ProviderError, ResourceAddr, ResourceKind};
use rhumb_sim::{Denial, Event, Faults, Quota, Rule, Verb, What, World};

use crate::bench::{Bench, place};

const TYPES: [&str; 2] = ["m7i.xlarge", "g6.xlarge"];

fn ask(bench: &mut Bench, wanted: &[Wanted]) -> Answer {
    let asked = Preflight { cloud: bench.place.cloud, lineage: None, wanted: wanted.to_vec() };
    let number = bench.cloud.ask(bench.now, asked);
    loop {
        bench.now = bench.cloud.next_ms().expect("it is answered");
        assert!(bench.cloud.advance(bench.now).is_empty(), "it is answered apart from calls");
        if let Some(answer) = bench.cloud.found(number) {
            assert!(bench.cloud.found(number).is_none(), "once");
            return answer;
        }
    }
}

fn create(order: &Order) -> Wanted {
    let (address, resource) = (order.tags.address.clone(), order.resource.clone());
    Wanted { address, change: Change::Create, resource, id: None, first: false }
}

/// A fleet: type, whether it is of spot machines, how many.
type Pool = (usize, bool, i64);

/// A service with several pools, each thing after what it stands on; ids are filled in once there are any.
fn service(bench: &mut Bench, pools: &[Pool]) -> Vec<Order> {
    let mut all: Vec<Order> =
        [ResourceKind::Network, ResourceKind::Firewall].into_iter().map(|kind| bench.order(kind)).collect();
    all.push(bench.with(ResourceKind::LoadBalancer, &[("tls_certificate", "env:B".into())]));
    for (n, (name, spot, count)) in pools.iter().enumerate() {
        let own = |addr: &ResourceAddr| addr.child(&n.to_string());
        let typed = ("instance_type", Attr::from(TYPES[*name]));
        let mut template =
            bench.with(ResourceKind::LaunchTemplate, &[typed.clone(), ("api_keys", "env:A".into())]);
        template.tags.address = own(&template.tags.address);
        let by = ("launch_template", Attr::from(template.tags.address.as_str()));
        let purchase = ("purchase", if *spot { "spot" } else { "on_demand" }.into());
        let mut fleet = bench.with(ResourceKind::Fleet, &[typed, by, purchase, ("count", Attr::Int(*count))]);
        fleet.tags.address = own(&fleet.tags.address);
        all.extend([template, fleet]);
    }
    all
}

/// Orders everything in turn; the first error.
fn make(bench: &mut Bench, orders: &[Order]) -> Result<(), ProviderError> {
    let mut ids: BTreeMap<ResourceAddr, String> = BTreeMap::new();
    for order in orders {
        let mut order = order.clone();
        let named = |addr: &&ResourceAddr| {
            order.resource.attributes.values().any(|value| *value == Attr::from(addr.as_str()))
        };
        let needs: Vec<ResourceAddr> = ids.keys().filter(named).cloned().collect();
        order.needs = needs.into_iter().map(|addr| (addr.clone(), ids[&addr].clone())).collect();
        match bench.call(Call::Create(order.clone()))? {
            rhumb_api::Reply::One(Some(seen)) => ids.insert(order.tags.address, seen.handle.id),
            other => panic!("{other:?}"),
        };
        bench.wait(10_000);
    }
    Ok(())
}

fn worlds() -> impl Strategy<Value = World> {
    let prefix = prop_oneof![Just(None), Just(Some("m7")), Just(Some("g"))];
    let quota = (prefix, any::<Option<bool>>(), 0_u32..9).prop_map(|(prefix, spot, machines)| Quota {
        cloud: place().cloud,
        region: place().region,
        type_prefix: prefix.map(str::to_owned),
        spot,
        machines,
    });
    let kind = prop_oneof![
        Just(None),
        Just(Some(ResourceKind::Fleet)),
        Just(Some(ResourceKind::Network)),
        Just(Some(ResourceKind::JobRun))
    ];
    let verb = prop_oneof![
        4 => Just(Verb::Create),
        1 => Just(Verb::Update),
        1 => Just(Verb::Read),
        1 => Just(Verb::List)
    ];
    let denial = (kind, verb).prop_map(|(kind, verb)| Denial { cloud: None, kind, verb: Some(verb) });
    let secrets = prop::option::weighted(0.4, prop::collection::btree_set("env:[AB]", 1..3));
    let types = prop::option::weighted(0.3, prop::sample::subsequence(&TYPES[..], 1..3));
    let denied = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(denial, 1..3)];
    (prop::collection::vec(quota, 0..3), denied, secrets, types).prop_map(
        |(quotas, denied, secrets, types)| {
            let names = |types: Vec<&str>| types.into_iter().map(str::to_owned).collect();
            let instance_types = types.map(|types| (place().cloud, names(types))).into_iter().collect();
            World { quotas, denied, secrets, instance_types, ..World::default() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Both ways: what is let pass is made, and what is not is refused, or could not be looked after.
    #[test]
    fn what_is_let_pass_is_made_and_what_is_not_is_refused(
        world in worlds(),
        there in prop::option::of((0_usize..2, any::<bool>(), 1_i64..4)),
        pools in prop::collection::vec((0_usize..2, any::<bool>(), 0_i64..4), 1..4),
    ) {
        let mut bench = Bench::new(World::default());
        // Something of another service that uses up what it uses up.
        if let Some(pool) = there {
            let orders = service(&mut bench, &[pool]);
            make(&mut bench, &orders).expect("nothing is refused");
        }
        bench.cloud.set_world(world.clone());
        let orders = service(&mut bench, &pools);
        let wanted: Vec<Wanted> = orders.iter().map(create).collect();
        let found = ask(&mut bench, &wanted).expect("it is answered");
        let made = make(&mut bench, &orders);
        if let Err(error) = &made {
            let kinds = [ErrorKind::Denied, ErrorKind::Invalid, ErrorKind::Quota];
            prop_assert!(kinds.contains(&error.kind), "{error}");
        }
        let looks = |denial: &Denial| {
            let ours = denial.kind != Some(ResourceKind::JobRun);
            (denial.verb == Some(Verb::Read) && ours) || (denial.verb == Some(Verb::List) && denial.kind.is_none())
        };
        let blind = world.denied.iter().any(looks);
        prop_assert_eq!(passes(&found), made.is_ok() && !blind, "{:?} and {:?}", made, found);
    }
}

#[test]
fn what_grows_is_counted_from_what_is_there_by_now() {
    let mut bench = Bench::new(World::default());
    let seen = bench.sample(ResourceKind::Fleet);
    // By itself or by hand, it has one machine less than was ordered.
    bench.cloud.set_attribute(&seen.handle, "count", Some(Attr::Int(1))).unwrap();
    let of_region =
        Quota { cloud: place().cloud, region: place().region, type_prefix: None, spot: None, machines: 3 };
    bench.cloud.set_world(World { quotas: vec![of_region], ..World::default() });
    let order = bench.with(ResourceKind::Fleet, &[("count", Attr::Int(4))]);
    let update = Wanted { change: Change::Update, id: Some(seen.handle.id), ..create(&order) };
    let amounts = |bench: &mut Bench, wanted: &Wanted| {
        let found = ask(bench, std::slice::from_ref(wanted)).unwrap();
        let quota = found.into_iter().find(|finding| finding.about == About::Quota).expect("a finding");
        let amount = quota.amount.expect("numbers");
        (quota.verdict, amount.needed, amount.available)
    };
    assert_eq!(amounts(&mut bench, &update), (Verdict::Failed, 3, Some(2)));
    let unknown = Wanted { id: None, ..update };
    assert_eq!(amounts(&mut bench, &unknown), (Verdict::Failed, 4, Some(2)), "from nothing");
}

#[test]
fn it_is_a_request_like_others_and_leaves_nothing_but_a_line_in_the_log() {
    let mut bench = Bench::new(World::default());
    let wanted = [create(&bench.order(ResourceKind::Network))];
    assert!(passes(&ask(&mut bench, &wanted).unwrap()));
    assert!(bench.cloud.inventory().is_empty());
    let verbs: Vec<_> = bench.cloud.log().iter().map(|entry| entry.verb).collect();
    assert_eq!(verbs, [Some(Verb::Preflight); 3], "sent, arrived, answered");
    assert_eq!(bench.events(|event| *event == Event::Unchanged), 1);
    let rule =
        |what| Rule { nth: None, verb: Some(Verb::Preflight), kind: None, address: None, times: None, what };
    for what in [What::DropRequest, What::DropReply] {
        bench.cloud.set_rules(vec![rule(what)]);
        assert_eq!(ask(&mut bench, &wanted).unwrap_err().kind, ErrorKind::UnknownOutcome);
    }
    for what in [What::HoldBefore, What::HoldAfter, What::Duplicate, What::Delay(5)] {
        bench.cloud.set_rules(vec![rule(what)]);
        assert!(ask(&mut bench, &wanted).is_ok());
    }
    bench.cloud.set_rules(vec![rule(What::Error(ProviderError::new(ErrorKind::Conflict, "later")))]);
    assert_eq!(ask(&mut bench, &wanted).unwrap_err().kind, ErrorKind::Conflict);
    bench.cloud.set_rules(Vec::new());
    // Whoever goes away gets no answer.
    let asked = Preflight { cloud: place().cloud, lineage: None, wanted: wanted.to_vec() };
    let number = bench.cloud.ask(bench.now, asked);
    bench.cloud.abandon(number);
    bench.wait(100_000);
    assert!(bench.cloud.found(number).is_none());
    let lost = Faults { reply_lost_ppm: 1_000_000, ..Faults::default() };
    bench.cloud.set_world(World { faults: lost, ..World::default() });
    assert_eq!(ask(&mut bench, &wanted).unwrap_err().kind, ErrorKind::UnknownOutcome);
}

#[test]
fn the_right_to_ask_is_withheld_by_its_name_alone() {
    let mut bench = Bench::new(World::default());
    let wanted = [create(&bench.order(ResourceKind::Network))];
    let denied = |verb| World { denied: vec![Denial { verb, ..Denial::default() }], ..World::default() };
    bench.cloud.set_world(denied(Some(Verb::Preflight)));
    assert_eq!(ask(&mut bench, &wanted).unwrap_err().kind, ErrorKind::Denied);
    bench.cloud.set_world(denied(None));
    let found = ask(&mut bench, &wanted).unwrap();
    let refused: Vec<&str> = found
        .iter()
        .filter(|finding| finding.verdict == Verdict::Failed)
        .map(|finding| finding.message.as_str())
        .collect();
    let may_not = |what: &str| format!("these credentials may not {what} on aws");
    assert_eq!(refused, [may_not("list things"), may_not("create network"), may_not("read network")]);
}
