//! The state file: what it holds, what it refuses and where.

use proptest::prelude::*;
use rhumb::state::{State, StateError, StateResource, file};
use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};

const ONE: &str = include_str!("fixtures/state/one.json");

fn refused(text: &str) -> StateError {
    match file::decode("s.json", text) {
        Err(error) => error,
        Ok(state) => panic!("accepted: {state:?}"),
    }
}

/// The file with one piece of text exchanged, which must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(ONE.contains(from), "{from}");
    ONE.replacen(from, to, 1)
}

#[test]
fn the_canonical_text_reads_back_to_itself() {
    let state = file::decode("one.json", ONE).unwrap();
    assert_eq!((state.serial, state.resources.len()), (7, 2));
    assert_eq!(file::encode(&state), ONE);
    let firewall = &state.resources[&ResourceAddr::parse("services.chat/aws/eu-west-1/firewall").unwrap()];
    assert_eq!(firewall.id.as_deref(), Some("sg-0123"));
    assert_eq!(firewall.resource.kind, ResourceKind::Firewall);
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
        (changed("\"rhumb_state\": 1", "\"rhumb_state\": 2"), (2, 3), "it has version 2, this rhumb reads version 1"),
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

fn attribute() -> impl Strategy<Value = Attr> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Attr::Bool),
        any::<i64>().prop_map(Attr::Int),
        ".*".prop_map(Attr::Text)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Attr::List),
            prop::collection::btree_map(".*", inner, 0..4).prop_map(Attr::Map)
        ]
    })
}

prop_compose! {
    /// A state whose resources depend on some of those before them.
    fn state()(
        lineage in ".*",
        serial in any::<u64>(),
        parts in prop::collection::vec(
            (
                prop::sample::select(ResourceKind::ALL.to_vec()),
                prop::sample::select(Cloud::ALL.to_vec()),
                ".*",
                prop::option::of(".*"),
                prop::collection::btree_map(".*", attribute(), 0..4),
                any::<u8>(),
            ),
            0..7,
        ),
    ) -> State {
        let addr = |i: usize| ResourceAddr::parse(format!("services.s/r{i}")).unwrap();
        let resources = parts.into_iter().enumerate().map(|(i, (kind, cloud, region, id, attributes, bits))| {
            let depends_on = (0..i).filter(|d| bits >> d & 1 == 1).map(addr).collect();
            let resource = Resource { kind, cloud, region, attributes };
            (addr(i), StateResource { resource, id, depends_on })
        });
        State { lineage, serial, resources: resources.collect() }
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
    }

    #[test]
    fn no_damage_is_a_panic(cut in 0..ONE.len(), byte in any::<char>()) {
        let at = (0..=cut).rev().find(|i| ONE.is_char_boundary(*i)).unwrap_or(0);
        let mut text = ONE.to_owned();
        text.insert(at, byte);
        let _ = file::decode("s", &text).map(|s| s.digest());
        let _ = file::decode("s", &ONE[..at]).map_err(|e| e.to_string());
    }
}
