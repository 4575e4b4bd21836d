//! The state file: what it holds, what it refuses and where.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use rhumb::state::{
    Applying, Deed, Intent, Outcome, Record, RecordError, Refusal, Spare, Spared, State, StateError,
    StateResource, Taken, What, file,
};
use rhumb_api::{
    Attr, Attributes, Call, Cloud, ErrorKind, Handle, Order, Owner, Resource, ResourceAddr, ResourceKind,
    Tags, Token,
};

/// Version 1.
const ONE: &str = include_str!("fixtures/state/one.json");
/// Version 2.
const TWO: &str = include_str!("fixtures/state/two.json");
/// Version 3.
const THREE: &str = include_str!("fixtures/state/three.json");
/// Version 4.
const FOUR: &str = include_str!("fixtures/state/four.json");
/// Version 5.
const FIVE: &str = include_str!("fixtures/state/five.json");
/// Version 6.
const SIX: &str = include_str!("fixtures/state/six.json");
/// Version 7.
const SEVEN: &str = include_str!("fixtures/state/seven.json");

fn refused(text: &str) -> StateError {
    match file::decode("s.json", text) {
        Err(error) => error,
        Ok(state) => panic!("accepted: {state:?}"),
    }
}

/// The file of version 1 with one piece of text exchanged, which must be there.
fn changed(from: &str, to: &str) -> String {
    exchanged(ONE, from, to)
}

fn exchanged(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_file_of_version_1_reads_as_one_of_a_real_cloud_in_which_nothing_is_under_way() {
    let state = file::decode("one.json", ONE).unwrap();
    assert_eq!((state.serial, state.resources.len(), state.simulated), (7, 2, false));
    assert!(state.spares.is_empty() && state.open.is_empty() && state.applying.is_none());
    let firewall = &state.resources[&ResourceAddr::parse("services.chat/aws/eu-west-1/firewall").unwrap()];
    assert_eq!(firewall.id.as_deref(), Some("sg-0123"));
    assert_eq!(firewall.resource.kind, ResourceKind::Firewall);
    assert_eq!((&firewall.token, firewall.since, &firewall.doubtful), (&None, 7, &None));
    assert_eq!(state.regions, [(Cloud::Aws, "eu-west-1".to_owned())].into());
    // It is written as version 7, which is the same state.
    assert_eq!(file::decode("one.json", &file::encode(&state)).unwrap(), state);
}

#[test]
fn the_canonical_text_reads_back_to_itself() {
    let state = file::decode("seven.json", SEVEN).unwrap();
    assert_eq!((state.serial, state.resources.len(), state.simulated), (12, 2, true));
    assert_eq!(file::encode(&state), SEVEN);
    let things: Vec<&StateResource> = state.resources.values().map(Arc::as_ref).collect();
    let known: Vec<&str> = things[0].known_as.values().map(ResourceAddr::as_str).collect();
    assert_eq!((known, things[1].known_as.len()), (vec!["services.bot/aws/eu-west-1/firewall"], 0));
    let theirs = Owner::Lineage("5e6d7c8b-0000-4000-8000-1f2a3b4c5d6e".to_owned());
    assert_eq!((things[0].owner.as_ref(), things[1].owner.as_ref()), (Some(&theirs), Some(&Owner::Nobody)));
    assert_eq!(things[0].outputs["address"], "lb-1.eu-west-1.example.com");
    assert_eq!(things[1].files["start.sh"], "#!/bin/sh\nexec serve\n");
    assert_eq!((state.refusals.len(), state.refusals[0].instance_type.as_str()), (1, "g6.xlarge"));
    assert_eq!(state.spares[0].why, Spared::Replaced);
    assert_eq!(state.applying.as_ref().unwrap().from, Some(9));
    let verbs: Vec<&str> = state.open.values().map(|i| i.call.verb()).collect();
    assert_eq!(verbs, ["create", "delete"]);
    assert_eq!((state.forgotten.len(), state.history.len()), (1, 1));
    assert_eq!(state.history[0].what, What::Apply);
    // Nothing is in the second any more, and something may still appear there.
    let regions: Vec<&str> = state.regions.iter().map(|(_, region)| region.as_str()).collect();
    assert_eq!(regions, ["eu-west-1", "us-east-1"]);
    assert!(state.places().contains(&(Cloud::Aws, "us-east-1".to_owned())));
}

#[test]
fn a_file_of_version_6_reads_as_one_in_which_nothing_is_to_be_taken_over() {
    let (old, mut of) = (file::decode("six.json", SIX).unwrap(), file::decode("seven.json", SEVEN).unwrap());
    for thing in of.resources.values_mut() {
        Arc::make_mut(thing).owner = None;
    }
    assert_eq!(old, of);
    let error = refused(&exchanged(SIX, "\"since\": 3,", "\"since\": 3, \"owner\": null,"));
    assert!(error.to_string().contains("unknown field `owner` in version 6"), "{error}");
    let error = refused(&exchanged(SIX, "\"rhumb_state\": 6", "\"rhumb_state\": 7"));
    assert!(error.to_string().contains("missing field `owner`"), "{error}");
    let error = refused(&exchanged(SEVEN, "\"rhumb_state\": 7", "\"rhumb_state\": 6"));
    assert!(error.to_string().contains("unknown field `owner` in version 6"), "{error}");
}

#[test]
fn a_file_of_version_5_reads_as_one_in_which_nothing_was_renamed() {
    let (old, mut of) = (file::decode("five.json", FIVE).unwrap(), file::decode("six.json", SIX).unwrap());
    for thing in of.resources.values_mut() {
        Arc::make_mut(thing).known_as.clear();
    }
    assert_eq!(old, of);
    let error = refused(&exchanged(FIVE, "\"since\": 3,", "\"since\": 3, \"known_as\": {},"));
    assert!(error.to_string().contains("unknown field `known_as` in version 5"), "{error}");
    let error = refused(&exchanged(FIVE, "\"rhumb_state\": 5", "\"rhumb_state\": 6"));
    assert!(error.to_string().contains("missing field `known_as`"), "{error}");
    let error = refused(&exchanged(SIX, "\"rhumb_state\": 6", "\"rhumb_state\": 5"));
    assert!(error.to_string().contains("unknown field `known_as` in version 5"), "{error}");
}

#[test]
fn a_file_of_version_4_reads_as_one_in_which_nothing_was_given_and_nothing_refused() {
    let (old, new) = (file::decode("four.json", FOUR).unwrap(), file::decode("five.json", FIVE).unwrap());
    let mut of = State { refusals: Vec::new(), ..new };
    for thing in of.resources.values_mut() {
        let thing = Arc::make_mut(thing);
        (thing.outputs, thing.files) = (BTreeMap::new(), BTreeMap::new());
    }
    assert_eq!(old, of);
    for (key, text) in
        [("outputs", "\"outputs\": {},"), ("files", "\"files\": {},"), ("refusals", "\"refusals\": [],")]
    {
        let entry = if key == "refusals" { "\"simulated\": true," } else { "\"since\": 3," };
        let error = refused(&exchanged(FOUR, entry, &format!("{entry} {text}")));
        assert!(error.to_string().contains(&format!("unknown field `{key}` in version 4")), "{error}");
    }
    let error = refused(&exchanged(FIVE, "\"rhumb_state\": 5", "\"rhumb_state\": 4"));
    assert!(error.to_string().contains("unknown field `outputs` in version 4"), "{error}");
    let error = refused(&exchanged(FOUR, "\"rhumb_state\": 4", "\"rhumb_state\": 5"));
    assert!(error.to_string().contains("missing field `outputs`"), "{error}");
    // What is in use is not to go, and the other way round.
    let error =
        refused(&exchanged(FIVE, "\"kind\": \"firewall\"", "\"why\": \"replaced\", \"kind\": \"firewall\""));
    assert!(error.to_string().contains("unknown field `why`"), "{error}");
    let error = refused(&exchanged(FIVE, "\"why\": \"replaced\",", ""));
    assert!(error.to_string().contains("missing field `why`"), "{error}");
}

#[test]
fn a_file_of_version_3_reads_as_one_that_was_only_where_it_is() {
    let (old, new) = (file::decode("three.json", THREE).unwrap(), file::decode("four.json", FOUR).unwrap());
    let only = [(Cloud::Aws, "eu-west-1".to_owned())].into();
    assert_eq!(old, State { regions: only, ..new });
    let error = refused(&exchanged(THREE, "\"simulated\": true,", "\"simulated\": true, \"regions\": [],"));
    assert!(error.to_string().contains("unknown field `regions` in version 3"), "{error}");
    let error = refused(&exchanged(FOUR, "\"rhumb_state\": 4", "\"rhumb_state\": 3"));
    assert!(error.to_string().contains("unknown field `regions` in version 3"), "{error}");
    let error = refused(&exchanged(THREE, "\"rhumb_state\": 3", "\"rhumb_state\": 4"));
    assert!(error.to_string().contains("missing field `regions`"), "{error}");
}

#[test]
fn a_file_of_version_2_reads_as_one_that_remembers_nothing() {
    let (old, new) = (file::decode("two.json", TWO).unwrap(), file::decode("three.json", THREE).unwrap());
    let of = State { forgotten: Vec::new(), history: Vec::new(), ..new };
    assert_eq!(old, of);
    assert!(old.resources.values().all(|thing| !thing.complete));
    assert_eq!(file::decode("three.json", &file::encode(&old)).unwrap(), old);
    // What version 2 did not know is no part of it, and version 3 says all of it.
    let error = refused(&exchanged(TWO, "\"since\": 3", "\"since\": 3, \"complete\": true"));
    assert!(error.to_string().contains("unknown field `complete` in version 2"), "{error}");
    assert!(error.place.is_some_and(|(line, _)| line > 2), "{error}");
    let error = refused(&exchanged(TWO, "\"simulated\": true,", "\"simulated\": true, \"history\": [],"));
    assert!(error.to_string().contains("unknown field `history` in version 2"), "{error}");
    let error = refused(&exchanged(THREE, "\"complete\": false,", ""));
    assert!(error.to_string().contains("missing field `complete`"), "{error}");
    let error = refused(&exchanged(THREE, "\"what\": \"apply\"", "\"what\": \"edit\""));
    assert!(error.to_string().contains("unknown variant `edit`"), "{error}");
}

#[test]
fn the_digest_is_of_the_meaning_not_of_the_spelling() {
    let state = file::decode("one.json", ONE).unwrap();
    let squeezed: serde_json::Value = serde_json::from_str(ONE).unwrap();
    let same = file::decode("one.json", &squeezed.to_string()).unwrap();
    assert_eq!(state.digest(), same.digest());
    assert_eq!(state.digest().len(), 64);
    let other = file::decode("one.json", &changed("\"zones\": 3", "\"zones\": 2")).unwrap();
    assert_ne!(state.digest(), other.digest());
    let later = State { serial: 8, ..state.clone() };
    assert_ne!(state.digest(), later.digest());
}

#[test]
fn every_fault_is_refused_at_its_place() {
    let second = "services.chat/aws/eu-west-1/network\",\n      \"kind\": \"network\"";
    #[rustfmt::skip]
    let faults = [
        (changed("\"serial\": 7", "\"serial\": 7, \"note\": 1"), (4, 21), "unknown field `note`"),
        (changed("\"rhumb_state\": 1", "\"rhumb_state\": 8"), (2, 3), "it has version 8, this rhumb reads versions 1 to 7"),
        (changed("\"serial\": 7", "\"serial\": -7"), (4, 14), "invalid value: integer `-7`, expected u64"),
        (changed("\"zones\": 3", "\"zones\": 3.5"), (0, 0), "did not match"),
        (changed("\"kind\": \"firewall\"", "\"kind\": \"fire\\u001bwall\""), (8, 30), "unknown variant `fire?wall`"),
        (changed("eu-west-1/firewall", "eu-west-1//firewall"), (0, 0), "a segment is empty"),
        (changed(second, &second.replacen("network\"", "firewall\"", 1)), (27, 18), "is in it twice"),
        (changed("[\n        \"services.chat/aws/eu-west-1/network\"", "[\n        \"services.chat/aws/eu-west-1/gone\""), (23, 9), "depends on `services.chat/aws/eu-west-1/gone`, which is not in it"),
        (changed("\"depends_on\": []", "\"depends_on\": [\"services.chat/aws/eu-west-1/firewall\"]"), (7, 18), "depends on itself"),
        (ONE[..ONE.len() - 3].to_owned(), (37, 3), "EOF"),
        (String::new(), (0, 0), "EOF"),
        ("[]".to_owned(), (0, 0), ""),
    ];
    for (text, place, message) in faults {
        let error = refused(&text);
        assert!(error.to_string().contains(message), "{error} should say {message}");
        if place != (0, 0) {
            assert_eq!(error.place, Some(place), "{error}");
        }
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[test]
fn every_fault_of_the_last_version_is_refused_at_its_place() {
    let create = "\"token\": \"0123456789abcdef0123456789abcdef\",\n      \"address\"";
    let delete = "\"token\": \"fedcba9876543210fedcba9876543210\",\n      \"address\"";
    let lineage = "\"lineage\": \"0f9d2c1e-5a77-4f0e-9c55-1f2a3b4c5d6e\",\n";
    let needed = "\"services.chat/aws/eu-west-1/network\"\n      ]";
    let at = |text: &str, wanted: &str, nth: usize| -> (usize, usize) {
        let (at, _) = text.match_indices(wanted).nth(nth).unwrap();
        let before = &text[..at];
        (before.matches('\n').count() + 1, at - before.rfind('\n').unwrap())
    };
    let other = exchanged(FIVE, lineage, "\"lineage\": \"other\",\n");
    let twice = exchanged(FIVE, delete, create);
    let swapped = exchanged(FIVE, create, &create.replace("0123", "0124"));
    let cyclic =
        exchanged(FIVE, "\"depends_on\": []", "\"depends_on\": [\"services.chat/aws/eu-west-1/firewall\"]");
    let accepted = exchanged(
        FIVE,
        "\"depends_on\": []\n    }\n  ],\n  \"applying",
        "\"depends_on\": [], \"accepted\": \"x\"\n    }\n  ],\n  \"applying",
    );
    let read = exchanged(FIVE, "\"delete\": {", "\"read\": {");
    #[rustfmt::skip]
    let faults = [
        (exchanged(FIVE, "\"since\": 3", "\"since\": 3, \"note\": 1"), (0, 0), "unknown field `note`"),
        (exchanged(FIVE, "\"why\": \"replaced\"", "\"why\": \"old\""), (0, 0), "unknown variant `old`"),
        (exchanged(FIVE, "\"simulated\": true,", ""), (0, 0), "missing field `simulated`"),
        (exchanged(FIVE, "\"from\": 9", "\"from\": 9, \"to\": 10"), (0, 0), "unknown field `to`"),
        (exchanged(FIVE, "\"token\": \"0123", "\"token\": \"012G"), (0, 0), "a token is 32 lower-case hexadecimal digits"),
        (other.clone(), at(&other, &create[9..], 0), "is of another deployment"),
        (twice.clone(), at(&twice, "\"0123456789abcdef0123456789abcdef\"", 2), "is in it twice"),
        (swapped.clone(), at(&swapped, "\"0124", 0), "would be tagged with another token"),
        (cyclic.clone(), at(&cyclic, "\"services.chat", 0), "depends on itself"),
        (accepted.clone(), at(&accepted, "\"fedc", 0), "makes nothing that could be accepted"),
        (read.clone(), at(&read, "\"fedc", 0), "changes nothing"),
    ];
    for (text, place, message) in faults {
        let error = refused(&text);
        assert!(error.to_string().contains(message), "{error} should say {message}");
        assert!(error.help.is_some(), "{error}");
        match place {
            (0, 0) => assert!(error.place.is_some(), "{error}"),
            place => assert_eq!(error.place, Some(place), "{error}"),
        }
    }
    // That something is gone is a fact, whoever depends on it.
    let gone = exchanged(SEVEN, needed, "\"services.chat/aws/eu-west-1/gone\"\n      ]");
    assert_eq!(file::encode(&file::decode("seven.json", &gone).unwrap()), gone);
}

/// Records of one address: a thing made, and the call that is made next.
fn made(state: &mut State, i: usize, id: &str) -> Handle {
    let resource = Resource {
        kind: ResourceKind::Fleet,
        cloud: Cloud::Aws,
        region: "r".to_owned(),
        attributes: Attributes::default(),
    };
    let tags = Tags { lineage: state.lineage.clone(), address: addr(0), token: token(i) };
    let order = Order { tags, resource, needs: [].into(), files: [].into(), takes_over: None };
    intend(state, i, Call::Create(order), &[]).unwrap();
    let outcome = Outcome::Done { id: Some(id.to_owned()), outputs: [].into() };
    state.take(&Record::Ended { token: token(i), outcome }).unwrap();
    state.resources[&addr(0)].handle().unwrap()
}

fn intend(state: &mut State, i: usize, call: Call, depends_on: &[usize]) -> Result<(), RecordError> {
    let depends_on = depends_on.iter().map(|d| addr(*d)).collect();
    state.take(&Record::Intend(Intent {
        token: token(i),
        address: addr(0),
        call,
        depends_on,
        accepted: None,
    }))
}

#[test]
fn what_took_the_place_of_something_is_not_forgotten_with_it() {
    let mut state = State::new("l".to_owned(), false);
    let old = made(&mut state, 1, "old");
    intend(&mut state, 2, Call::Delete(old.clone()), &[]).unwrap();
    intend(&mut state, 3, Call::Delete(old), &[]).unwrap();
    let new = made(&mut state, 4, "new");
    assert_eq!(state.spares.len(), 1);
    for i in [2, 3] {
        state.take(&Record::Ended { token: token(i), outcome: Outcome::done() }).unwrap();
    }
    assert!(state.spares.is_empty());
    assert_eq!(state.resources[&addr(0)].handle(), Some(new));
}

#[test]
fn a_record_that_does_not_fit_changes_nothing() {
    let mut state = State::new("l".to_owned(), false);
    let handle = made(&mut state, 1, "x");
    let before = state.clone();
    for (call, depends_on) in [(Call::Read(handle.clone()), vec![]), (Call::Delete(handle.clone()), vec![0])]
    {
        intend(&mut state, 2, call, &depends_on).unwrap_err();
    }
    let stranger = Handle { id: "y".to_owned(), ..handle };
    intend(&mut state, 2, Call::Delete(stranger), &[]).unwrap_err();
    assert_eq!(state, before);
    // There is no serial after the last.
    let mut last = State { serial: u64::MAX, ..before };
    last.take(&Record::End { complete: true }).unwrap_err();
}

fn attribute() -> impl Strategy<Value = Attr> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Attr::Bool),
        any::<i64>().prop_map(Attr::Int),
        ".*".prop_map(Attr::Text)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Attr::List),
            prop::collection::btree_map(".*", inner, 0..4).prop_map(|map| Attr::Map(map.into()))
        ]
    })
}

type Part = (ResourceKind, Cloud, String, Option<String>, Attributes, u8);

fn part() -> impl Strategy<Value = Part> {
    (
        prop::sample::select(ResourceKind::ALL.to_vec()),
        prop::sample::select(Cloud::ALL.to_vec()),
        ".*",
        prop::option::of(".*"),
        prop::collection::btree_map(".*", attribute(), 0..4).prop_map(Attributes::from),
        any::<u8>(),
    )
}

fn addr(i: usize) -> ResourceAddr {
    ResourceAddr::parse(format!("services.s/r{i}")).unwrap()
}

fn token(i: usize) -> Token {
    Token::parse(format!("{i:032x}")).unwrap()
}

fn thing(i: usize, part: Part) -> StateResource {
    let (kind, cloud, region, id, attributes, bits) = part;
    StateResource {
        resource: Resource { kind, cloud, region, attributes },
        id,
        token: (bits & 1 == 1).then(|| token(i)),
        since: u64::from(bits),
        doubtful: (bits & 2 == 2).then(|| "capacity: none".to_owned()),
        complete: bits & 4 == 4,
        depends_on: (0..i).filter(|d| bits >> d & 1 == 1).map(addr).collect(),
        stands_on: (0..i).filter(|d| bits >> d & 3 == 1).map(|d| (addr(d), format!("id {d}"))).collect(),
        outputs: (0..i).filter(|d| bits >> d & 3 == 2).map(|d| (format!("o{d}"), "x".to_owned())).collect(),
        files: (0..i).filter(|d| bits >> d & 3 == 3).map(|d| (format!("f{d}"), "a\nb".to_owned())).collect(),
        known_as: (0..i).filter(|d| bits >> d & 5 == 5).map(|d| (addr(d), addr(d + 9))).collect(),
        owner: [None, Some(Owner::Nobody), Some(Owner::Lineage("\u{e9}".to_owned()))][usize::from(bits) % 3]
            .clone(),
    }
}

/// An intent to make, change or remove a thing.
fn intent(i: usize, lineage: &str, part: Part) -> Intent {
    let thing = thing(i, part);
    let Resource { kind, cloud, region, .. } = thing.resource.clone();
    let handle = Handle { cloud, region, kind, id: "x".to_owned() };
    let tags = Tags { lineage: lineage.to_owned(), address: addr(i), token: token(i) };
    let needs = [(addr(9), "y".to_owned())].into();
    let order = Order { tags, resource: thing.resource, needs, files: [].into(), takes_over: None };
    let call = match thing.since % 3 {
        0 => Call::Create(order),
        1 => Call::Update(handle, order),
        _ => Call::Delete(handle),
    };
    let accepted = thing.id.filter(|_| matches!(call, Call::Create(_)));
    Intent { token: token(i), address: addr(i), call, depends_on: thing.depends_on, accepted }
}

prop_compose! {
    /// A state whose resources depend on some of those before them.
    fn state()(
        lineage in ".*",
        serial in any::<u64>(),
        simulated in any::<bool>(),
        things in prop::collection::vec(part(), 0..7),
        spares in prop::collection::vec((part(), any::<bool>()), 0..3),
        intents in prop::collection::vec(part(), 0..4),
        applying in prop::option::of(("[0-9a-f]{4}", prop::option::of(any::<u64>()))),
        forgotten in prop::collection::btree_set(".*", 0..3),
        deeds in prop::collection::vec((any::<u64>(), ".*", 0..7_usize), 0..3),
        refused in prop::collection::btree_set((".*", any::<bool>()), 0..3),
    ) -> State {
        let resources = things.into_iter().enumerate().map(|(i, part)| (addr(i), Arc::new(thing(i, part)))).collect();
        let spares = spares.into_iter().enumerate().map(|(i, (part, replaced))| Spare {
            address: addr(i),
            thing: Arc::new(thing(i, part)),
            why: if replaced { Spared::Replaced } else { Spared::Failed },
        });
        let open = intents.into_iter().enumerate().map(|(i, part)| (token(i), intent(i, &lineage, part))).collect();
        let applying = applying.map(|(plan, from)| Applying { plan, from, taken: from.map(|n| Taken { pool: addr(1), by: addr(2), spot: n % 2 == 0 }).into_iter().collect() });
        let handle = |id| Handle { cloud: Cloud::Aws, region: "r".into(), kind: ResourceKind::Fleet, id };
        let forgotten = forgotten.into_iter().map(handle).collect();
        let history = deeds.into_iter().map(|(serial, by, n)| Deed {
            serial,
            what: [What::Apply, What::Refresh, What::Import, What::Forget, What::Retry, What::Rename, What::Restore][n],
            at: by.clone(),
            by,
            plan: (n == 0).then(|| "9f86".into()),
            address: (n > 1).then(|| addr(n)),
            created: n as u32,
            changed: 0,
            removed: u32::MAX,
            complete: [None, Some(true), Some(false)].get(n).copied().flatten(),
        });
        let refusals = refused.into_iter().map(|(instance_type, spot)| Refusal {
            cloud: Cloud::Gcp, region: "r".into(), instance_type, spot, kind: ErrorKind::Quota, at: "x".into(),
        }).collect();
        State { refusals, serial, resources, spares: spares.collect(), open, applying, forgotten, history: history.collect(), ..State::new(lineage.clone(), simulated) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(state in state()) {
        let text = file::encode(&state);
        let read = file::decode("s", &text).unwrap();
        prop_assert_eq!(&read, &state);
        prop_assert_eq!(read.digest(), state.digest());
        prop_assert_eq!(file::encode(&read), text);
    }

    #[test]
    fn no_damage_is_a_panic(which in prop::sample::select(vec![ONE, TWO]), cut in 0..TWO.len(), byte in any::<char>()) {
        let at = (0..=cut.min(which.len())).rev().find(|i| which.is_char_boundary(*i)).unwrap_or(0);
        let mut text = which.to_owned();
        text.insert(at, byte);
        let _ = file::decode("s", &text).map(|s| s.digest());
        let _ = file::decode("s", &which[..at]).map_err(|e| e.to_string());
    }

    #[test]
    fn no_text_is_a_panic(text in ".*", tail in ".*") {
        let _ = file::decode("s", &text).map_err(|e| e.to_string());
        let _ = file::decode("s", &format!("{{\"rhumb_state\": 2, {tail}")).map_err(|e| e.to_string());
    }
}
