//! What is written today is what the first versions of journals and of logs in a bucket said: files of them, with every kind of record,
//! are read as they were meant. `RHUMB_BLESS=1` writes them where they are not there; one that is there is never written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb::state::journal::{encode_header, encode_record, replay};
use rhumb::state::remote::{self, Remote};
use rhumb::state::{Failed, Intent, Outcome, Record, Returned, Spared, State, StateResource, Taken};
use rhumb_api::{
    Attr, Attributes, Call, Cloud, ErrorKind, Handle, Order, Owner, Purchase, Resource, ResourceAddr,
    ResourceKind, Tags, Token,
};

use crate::remote::shelf::Shelf;

const LINEAGE: &str = "0f9d2c1e-5a77-4f0e-9c55-1f2a3b4c5d6e";
const FOLDER: &str = "tests/it/fixtures/state";

fn addr(text: &str) -> ResourceAddr {
    ResourceAddr::parse(text).unwrap()
}

fn token(n: u64) -> Token {
    Token::parse(format!("{n:032x}")).unwrap()
}

fn resource(kind: ResourceKind) -> Resource {
    let mut attributes = Attributes::from([("workload", Attr::from("services.chat"))]);
    if kind == ResourceKind::Fleet {
        attributes.extend([
            ("network", "services.chat/network".into()),
            ("count", Attr::Int(2)),
            ("instance_type", "g6.xlarge".into()),
            ("purchase", Purchase::OnDemand.as_str().into()),
        ]);
    }
    Resource { kind, cloud: Cloud::Aws, region: "eu-west-1".into(), attributes }
}

fn handle(kind: ResourceKind, id: &str) -> Handle {
    Handle { cloud: Cloud::Aws, region: "eu-west-1".into(), kind, id: id.into() }
}

fn intend(n: u64, address: &str, call: Call, depends_on: &[&str]) -> Record {
    let depends_on = depends_on.iter().map(|need| addr(need)).collect();
    Record::Intend(Intent { token: token(n), address: addr(address), call, depends_on, accepted: None })
}

fn order(n: u64, address: &str, kind: ResourceKind, needs: &[(&str, &str)]) -> Order {
    Order {
        tags: Tags { lineage: LINEAGE.into(), address: addr(address), token: token(n) },
        resource: resource(kind),
        needs: needs.iter().map(|(need, id)| (addr(need), (*id).to_owned())).collect(),
        files: [("start.sh".to_owned(), "#!/bin/sh\n".to_owned())].into(),
        takes_over: None,
    }
}

fn done(n: u64, id: Option<&str>) -> Record {
    let outputs = [("address".to_owned(), "lb-1.example.com".to_owned())].into();
    Record::Ended { token: token(n), outcome: Outcome::Done { id: id.map(Into::into), outputs } }
}

/// A record of every kind, each after those that it needs.
fn every() -> Vec<Record> {
    let (by, at) = ("ann@laptop".to_owned(), "2026-11-30T06:00:00Z".to_owned());
    let (net, fleet, run) =
        ("services.chat/network", "services.chat/g6.xlarge/on_demand", "batches.night/run");
    let (here, machines) = (ResourceKind::Network, ResourceKind::Fleet);
    let needs = [(net, "net-1")];
    let id = |id: &str| id.to_owned();
    let desk = "services.desk/g6.xlarge/on_demand";
    let stray = handle(ResourceKind::LaunchTemplate, "lt-9");
    let back = StateResource {
        id: Some("lt-9".into()),
        token: Some(token(77)),
        ..StateResource::of(resource(ResourceKind::LaunchTemplate), Vec::new())
    };
    let failed = Failed { kind: ErrorKind::Throttled, message: "slow down".into(), left: None, gone: false };
    vec![
        Record::Begin { plan: "9f86".into(), from: None, by: by.clone(), at: at.clone() },
        intend(1, net, Call::Create(order(1, net, here, &[])), &[]),
        Record::Accepted { token: token(1), id: id("net-1") },
        done(1, None),
        Record::Took(Taken {
            pool: addr("services.chat/p5"),
            by: addr("services.chat/g6.xlarge"),
            spot: false,
        }),
        intend(2, fleet, Call::Create(order(2, fleet, machines, &needs)), &[net]),
        Record::Extra { token: token(2), id: id("fleet-2") },
        done(2, Some("fleet-1")),
        intend(
            3,
            fleet,
            Call::Update(handle(machines, "fleet-1"), order(3, fleet, machines, &needs)),
            &[net],
        ),
        Record::Ended { token: token(3), outcome: Outcome::Failed(failed) },
        Record::Settled { address: addr(fleet), id: id("fleet-1") },
        intend(4, fleet, Call::Delete(handle(machines, "fleet-2")), &[net]),
        done(4, None),
        Record::End { complete: true },
        Record::Refresh { by: by.clone(), at: at.clone() },
        Record::Saw {
            address: addr(fleet),
            id: id("fleet-1"),
            attributes: resource(machines).attributes,
            outputs: BTreeMap::new(),
        },
        Record::Doubt { address: addr(fleet), id: id("fleet-1"), why: "capacity: none".into() },
        Record::Stray {
            address: addr("services.chat/template"),
            handle: stray,
            token: token(77),
            attributes: resource(ResourceKind::LaunchTemplate).attributes,
        },
        Record::Import {
            address: addr(run),
            resource: resource(ResourceKind::JobRun),
            id: id("run-1"),
            depends_on: vec![addr(net)],
            outputs: BTreeMap::new(),
            owner: None,
            known_as: BTreeMap::new(),
            by: by.clone(),
            at: at.clone(),
        },
        Record::Completed { address: addr(run), id: id("run-1") },
        Record::Retry { by: by.clone(), at: at.clone() },
        Record::Forget { address: addr(run), by: by.clone(), at: at.clone() },
        Record::Rename {
            from: addr("services.chat"),
            to: addr("services.desk"),
            by: by.clone(),
            at: at.clone(),
        },
        Record::Restore { to: 4, by, at },
        Record::Return {
            address: addr("services.desk/template"),
            thing: Box::new(Returned::of(&back).expect("it has an id")),
        },
        intend(5, desk, Call::Create(order(5, desk, machines, &[("services.desk/network", "net-1")])), &[]),
        done(5, Some("fleet-3")),
        Record::Undo { address: addr(desk), id: None },
        Record::Gone { address: addr(desk), id: id("fleet-3") },
    ]
}

fn states() -> State {
    let mut state = State::new(LINEAGE.to_owned(), true);
    for (n, record) in every().iter().enumerate() {
        state.take(record).unwrap_or_else(|e| panic!("record {n}: {e}"));
    }
    state
}

/// The file of a name; written if it is not there and somebody says so.
fn fixture(name: &str, made: &dyn Fn() -> String) -> String {
    let path = format!("{FOLDER}/{name}");
    if !std::path::Path::new(&path).exists() && std::env::var_os("RHUMB_BLESS").is_some() {
        std::fs::write(&path, made()).expect("written");
    }
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The kinds of records that a text has, by the names in files.
fn kinds(text: &str) -> BTreeSet<String> {
    let all = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    all.flatten()
        .filter_map(|value| value["record"].as_object().and_then(|r| r.keys().next().cloned()))
        .collect()
}

/// All of them, as they are written; a new one belongs here and into the fixtures of a new version.
const KINDS: [&str; 21] = [
    "accepted",
    "begin",
    "completed",
    "doubt",
    "end",
    "ended",
    "extra",
    "forget",
    "gone",
    "import",
    "intend",
    "refresh",
    "rename",
    "restore",
    "retry",
    "return",
    "saw",
    "settled",
    "stray",
    "took",
    "undo",
];

#[test]
fn a_journal_of_version_1_with_every_record_is_read_as_it_was_meant() {
    let made = || {
        let lines =
            every().iter().zip(1..).map(|(record, serial)| encode_record(serial, record)).collect::<String>();
        encode_header(LINEAGE, true, 0) + &lines
    };
    let text = fixture("journal-1.txt", &made);
    let replayed = replay("journal-1.txt", text.as_bytes(), None).expect("readable");
    let state = replayed.state.expect("a state");
    assert_eq!((replayed.records, state.clone()), (every().len(), states()));
    // By hand: what is left after all of that.
    let there: Vec<&str> = state.resources.keys().map(ResourceAddr::as_str).collect();
    assert_eq!(
        there,
        ["services.desk/g6.xlarge/on_demand", "services.desk/network", "services.desk/template"]
    );
    let fleet = &state.resources[&addr("services.desk/g6.xlarge/on_demand")];
    assert_eq!((fleet.id.as_deref(), state.spares.len(), state.forgotten.len()), (Some("fleet-1"), 0, 1));
    assert_eq!(fleet.known_as[&addr("services.desk/network")], addr("services.chat/network"));
    assert_eq!(fleet.doubtful.as_deref(), Some("capacity: none"));
    assert!(state.spares.iter().all(|spare| spare.why == Spared::Replaced));
    assert_eq!((state.serial, state.history.len()), (29, 7));
    let json: String = text.lines().map(|line| line.split_once(' ').map_or("", |(_, json)| json)).collect();
    let said = kinds(&json);
    let all: BTreeSet<String> = KINDS.map(str::to_owned).into();
    assert_eq!(said, all);
    // A record that no version knows is told with its line, and what to do.
    let unknown = made().replace("\"undo\"", "\"undone\"");
    let error = replay("journal-1.txt", unknown.as_bytes(), None).expect_err("refused");
    assert!(error.place.is_some() && error.help.is_some(), "{error}");
}

/// What is taken over says whose it was, only where it is; a reader of before has no words for it, and refuses it.
#[test]
fn a_journal_with_something_that_is_taken_over_is_read_as_it_was_meant() {
    let (by, at) = ("ann@laptop".to_owned(), "2026-11-30T06:00:00Z".to_owned());
    let (net, there) = ("services.chat/network", ResourceKind::Network);
    let owner = Owner::Lineage("5e6d7c8b".to_owned());
    let import = Record::Import {
        address: addr(net),
        resource: resource(there),
        id: "net-1".to_owned(),
        depends_on: Vec::new(),
        outputs: BTreeMap::new(),
        owner: Some(owner.clone()),
        known_as: [(addr(net), addr("services.desk/network"))].into(),
        by,
        at,
    };
    let takes = Order { takes_over: Some(owner.clone()), ..order(1, net, there, &[]) };
    let failed = Failed { kind: ErrorKind::Invalid, message: "no".into(), left: None, gone: false };
    let update = |n, order| intend(n, net, Call::Update(handle(there, "net-1"), order), &[]);
    let records = [
        import,
        update(1, takes.clone()),
        Record::Ended { token: token(1), outcome: Outcome::Failed(failed) },
        update(2, takes),
        done(2, None),
        update(3, order(3, net, there, &[])),
        done(3, None),
    ];
    let made = || {
        let lines = records.iter().zip(1..).map(|(record, serial)| encode_record(serial, record));
        encode_header(LINEAGE, true, 0) + &lines.collect::<String>()
    };
    let text = fixture("journal-1-taken-over.txt", &made);
    assert_eq!(text, made());
    // By hand: it is theirs until an update that takes it over is done, and has the token of that from then on.
    let after = |n: usize| {
        let lines: String = text.split_inclusive('\n').take(n + 1).collect();
        let state = replay("journal", lines.as_bytes(), None).expect("readable").state.expect("a state");
        let thing = &state.resources[&addr(net)];
        (thing.owner.clone(), thing.token.clone(), thing.known_as.len())
    };
    assert_eq!(after(1), (Some(owner.clone()), None, 1));
    assert_eq!(after(3), (Some(owner), None, 1));
    assert_eq!(after(5), (None, Some(token(2)), 0));
    assert_eq!(after(7), (None, Some(token(2)), 0));
    assert!(every().iter().all(|record| !encode_record(1, record).contains("owner")));
}

#[test]
fn a_log_of_version_1_in_a_bucket_is_read_as_it_was_meant() {
    let remote = |shelf: &Shelf| Remote::new(Arc::new(shelf.clone()), "p", "s3://acme/state");
    let made = || {
        let shelf = Shelf::new();
        let holder = rhumb::state::Holder { by: "ann@laptop".into(), at: "2026-11-30T06:00:00Z".into() };
        let opened = remote::RemoteStore::open(&remote(&shelf), &holder, &remote::Options::default());
        let remote::Opened::Nothing(vacant) = opened.expect("opened") else { panic!("nothing is there") };
        let mut store = vacant.create(LINEAGE.into(), true).expect("made");
        let all = every();
        store.append(&all[..10]).expect("recorded");
        store.compact().expect("a version");
        store.append(&all[10..20]).expect("recorded");
        store.append(&all[20..]).expect("recorded");
        drop(store);
        let text = |(key, bytes): (String, Vec<u8>)| (key, String::from_utf8(bytes).expect("text"));
        let content: BTreeMap<String, String> = shelf.content().into_iter().map(text).collect();
        format!("{:#}\n", serde_json::json!(content))
    };
    let text = fixture("bucket-1.json", &made);
    let content: BTreeMap<String, String> = serde_json::from_str(&text).expect("JSON");
    let shelf = Shelf::new();
    for (key, text) in &content {
        shelf.change(key, |bytes| {
            *bytes = text.as_bytes().to_vec();
            Some(())
        });
    }
    assert_eq!(remote::read(&remote(&shelf)).expect("readable"), Some(states()));
    let keys: Vec<&str> =
        content.keys().map(|key| key.split('/').nth(1).expect("below the prefix")).collect();
    for kind in ["head", "lease", "log", "versions"] {
        assert!(keys.contains(&kind), "{kind}: {keys:?}");
    }
    // It can be written on.
    let holder = rhumb::state::Holder { by: "bob@desk".into(), at: "2026-12-01T06:00:00Z".into() };
    let opened =
        remote::RemoteStore::open(&remote(&shelf), &holder, &remote::Options::default()).expect("opened");
    let remote::Opened::Recorded(mut store) = opened else { panic!("it is recorded") };
    let retry = Record::Retry { by: "bob@desk".into(), at: "2026-12-01T06:00:00Z".into() };
    store.append(&[retry]).expect("recorded");
    assert_eq!(store.state().serial, states().serial + 1);
}
