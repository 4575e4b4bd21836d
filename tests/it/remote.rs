//! The store of a state in a bucket: what is appended is there again, for one process at a time, however long one was paused.

mod emulators;
mod faults;
mod headless;
pub mod shelf;
mod takeover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rhumb::state::remote::{
    Backend, Objects, Opened, Options, Patience, Place, Remote, RemoteStore, Term, Version, prune, read,
    read_version, versions,
};
use rhumb::state::{Holder, Intent, Outcome, Record, State, StoreError};
use rhumb_api::{Attributes, Call, Cloud, Order, Resource, ResourceAddr, ResourceKind, Tags, Token};

use crate::journal::{LINEAGE, history, states};
pub use emulators::{at_address, vacant_address};
use shelf::{Between, Fault, Ignores, Shelf, Watched};

const NAME: &str = "s3://bucket/p";

fn at(objects: Arc<dyn Objects>) -> Remote {
    Remote::new(objects, "p", NAME).with_patience(Patience {
        all: Duration::from_secs(20),
        each: Duration::from_secs(10),
        pause: Duration::from_millis(2),
    })
}

fn holder() -> Holder {
    Holder { by: "me@here".to_owned(), at: "2026-01-01T00:00:00Z".to_owned() }
}

fn options() -> Options {
    Options { lease: Some(Term { poll: Duration::from_millis(5), ..Term::default() }) }
}

fn open(remote: &Remote, options: &Options) -> Result<RemoteStore, StoreError> {
    match RemoteStore::open(remote, &holder(), options)? {
        Opened::Recorded(store) => Ok(store),
        Opened::Nothing(vacant) => vacant.create(LINEAGE.to_owned(), false),
    }
}

/// The state that is there, or a new one.
fn opened(remote: &Remote) -> Result<RemoteStore, String> {
    open(remote, &options()).map_err(|e| e.to_string())
}

/// Records that make one thing, which nobody else makes.
fn change(i: usize) -> [Record; 2] {
    let token = Token::parse(format!("{i:032x}")).unwrap();
    let address = ResourceAddr::parse(format!("services.s/w{i}")).unwrap();
    let order = Order {
        tags: Tags { lineage: LINEAGE.to_owned(), address: address.clone(), token: token.clone() },
        resource: Resource {
            kind: ResourceKind::Fleet,
            cloud: Cloud::Aws,
            region: "eu-west-1".to_owned(),
            attributes: Attributes::default(),
        },
        needs: [].into(),
        files: [].into(),
        takes_over: None,
    };
    let call = Call::Create(order);
    let intent = Intent { token: token.clone(), address, call, depends_on: Vec::new(), accepted: None };
    let outcome = Outcome::Done { id: Some(format!("i-{i}")), outputs: [].into() };
    [Record::Intend(intent), Record::Ended { token, outcome }]
}

/// Writers that race, each with its own change, which it tries again until it lands; what of it went wrong.
fn race(remotes: &[Remote], options: &Options) -> Result<(), String> {
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let write = |i: usize, remote: &Remote| -> Result<(), String> {
            for attempt in 0..2000_u64 {
                let mut store = match open(remote, options) {
                    Ok(store) => store,
                    Err(StoreError::Overtaken { .. } | StoreError::Locked { .. }) => continue,
                    Err(e) => return Err(e.to_string()),
                };
                match store.append(&change(i)) {
                    Ok(()) => return if i.is_multiple_of(3) { harmless(store.compact()) } else { Ok(()) },
                    Err(StoreError::Overtaken { .. }) => {}
                    Err(e) => return Err(e.to_string()),
                }
                drop(store);
                // Not all at the same pace.
                std::thread::sleep(Duration::from_millis((attempt * 7 + i as u64 * 3) % 20));
            }
            Err(format!("writer {i} has never come through"))
        };
        let handles: Vec<_> =
            remotes.iter().enumerate().map(|(i, remote)| scope.spawn(move || write(i, remote))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    let state = read(&remotes[0]).map_err(|e| e.to_string())?.ok_or("nothing is there")?;
    let lost: Vec<usize> = (0..remotes.len())
        .filter(|i| !state.resources.keys().any(|a| a.as_str() == format!("services.s/w{i}")))
        .collect();
    if lost.is_empty() && state.serial == 2 * remotes.len() as u64 && state.spares.is_empty() {
        Ok(())
    } else {
        Err(format!("the changes of {lost:?} are lost; serial {}", state.serial))
    }
}

/// To be overtaken while a version is made is no harm.
fn harmless(compacted: Result<(), StoreError>) -> Result<(), String> {
    match compacted {
        Ok(()) | Err(StoreError::Overtaken { .. }) => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

#[test]
fn a_place_is_vacant_until_a_state_is_recorded() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    assert_eq!(read(&remote), Ok(None));
    assert!(matches!(RemoteStore::open(&remote, &holder(), &options()), Ok(Opened::Nothing(_))));
    // To have looked is not to have recorded.
    assert_eq!(read(&remote), Ok(None));
    let Ok(Opened::Nothing(vacant)) = RemoteStore::open(&remote, &holder(), &options()) else {
        panic!("it is vacant")
    };
    let store = vacant.create("l".to_owned(), true).unwrap();
    assert_eq!(store.state(), &State::new("l".to_owned(), true));
    assert_eq!(read(&remote), Ok(Some(store.state().clone())));
    drop(store);
    assert_eq!(opened(&remote).unwrap().state(), &State::new("l".to_owned(), true));
    let keys: Vec<String> = shelf.content().into_keys().collect();
    let log = |n: u64| format!("p/log/{n:020}");
    assert_eq!(keys, ["p/head".to_owned(), "p/lease".to_owned(), log(1), log(2)]);
}

#[test]
fn a_store_is_the_state_in_memory_and_each_batch_is_one_request() {
    let shelf = Shelf::new();
    let between = Arc::new(Between::default());
    let remote = at(Arc::new(Watched(Arc::new(shelf.clone()), Arc::clone(&between))));
    let records = history(3, 300);
    let states = states(&records);
    let mut store = opened(&remote).unwrap();
    let mut done = 0;
    for (i, n) in [1, 5, 40, 2, 100, 9, 1, 1, 1, 50, 90].into_iter().enumerate() {
        let before = between.requests();
        store.append(&records[done..done + n]).unwrap();
        assert_eq!(between.requests() - before, 1);
        done += n;
        assert_eq!((store.state(), read(&remote)), (&states[done], Ok(Some(states[done].clone()))));
        match i % 4 {
            1 => store.compact().unwrap(),
            3 => {
                drop(store);
                store = opened(&remote).unwrap();
            }
            _ => {}
        }
        assert_eq!(store.state(), &states[done]);
    }
    store.append(&[]).unwrap();
    store.compact().unwrap();
    let requests = between.requests();
    store.compact().unwrap();
    assert_eq!(between.requests(), requests, "there is nothing to compact");
}

#[test]
fn versions_are_kept_until_they_are_pruned() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let records = history(4, 50);
    let states = states(&records);
    let mut store = opened(&remote).unwrap();
    for group in records.chunks(10) {
        store.append(group).unwrap();
        store.compact().unwrap();
    }
    let serials =
        |remote: &Remote| -> Vec<u64> { versions(remote).unwrap().iter().map(|v| v.serial).collect() };
    assert_eq!(serials(&remote), [10, 20, 30, 40, 50]);
    let Version { bytes, at, .. } = versions(&remote).unwrap()[1].clone();
    assert!(bytes > 100 && at >= 1_700_000_000_000);
    assert_eq!(read_version(&remote, 20), Ok(Some(states[20].clone())));
    assert_eq!(read_version(&remote, 21), Ok(None));
    // What is young is kept.
    assert_eq!(prune(&remote, 2).unwrap(), Default::default());
    shelf.pass(Duration::from_secs(25 * 60 * 60));
    let pruned = prune(&remote, 2).unwrap();
    assert_eq!((pruned.versions, pruned.entries), (3, 5));
    assert_eq!(serials(&remote), [40, 50]);
    // The one that is in use is kept in any case, and all goes on.
    prune(&remote, 0).unwrap();
    assert_eq!((serials(&remote), read(&remote)), (vec![50], Ok(states.last().cloned())));
    drop(store);
    shelf.pass(Duration::from_secs(60));
    let mut store = opened(&remote).unwrap();
    store.append(&change(1)).unwrap();
    assert_eq!(store.state().serial, 52);
}

#[test]
fn a_long_log_is_compacted_by_itself() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let mut store = opened(&remote).unwrap();
    let end = Record::End { complete: true };
    for _ in 0..1005 {
        store.append(std::slice::from_ref(&end)).unwrap();
    }
    assert_eq!(versions(&remote).unwrap().len(), 1);
    assert_eq!(read(&remote).unwrap().unwrap().serial, 1005);
}

#[test]
fn a_record_that_does_not_fit_writes_nothing_and_harms_nothing() {
    let shelf = Shelf::new();
    let mut store = opened(&at(Arc::new(shelf.clone()))).unwrap();
    store.append(&change(1)).unwrap();
    let before = shelf.content();
    let [intend, ended] = change(2);
    let error = store.append(&[intend, ended.clone(), ended]).unwrap_err();
    assert!(matches!(&error, StoreError::Refused { .. }), "{error}");
    assert_eq!((store.state().serial, shelf.content()), (2, before));
    store.append(&change(2)).unwrap();
}

#[test]
fn twenty_writers_without_a_lease_lose_nothing() {
    let none = Options { lease: None };
    for faults in [None, Some(Fault::Lost), Some(Fault::Refused)] {
        let shelf = Shelf::new();
        let remote = |_| {
            let between = Arc::new(Between { every: 5, fault: faults, ..Between::default() });
            at(Arc::new(Watched(Arc::new(shelf.clone()), between)))
        };
        let remotes: Vec<Remote> = (0..20).map(remote).collect();
        race(&remotes, &none).unwrap();
    }
}

#[test]
fn the_race_sees_a_store_that_ignores_what_is_there() {
    let remotes = vec![at(Arc::new(Shelf::that(Ignores::Absent))); 20];
    let error = race(&remotes, &Options { lease: None }).unwrap_err();
    assert!(error.contains("lost") || error.contains("p/log/") || error.contains("head"), "{error}");
}

#[test]
fn damage_is_refused_at_its_place() {
    let prepared = || {
        let shelf = Shelf::new();
        let mut store = opened(&at(Arc::new(shelf.clone()))).unwrap();
        store.append(&change(1)).unwrap();
        store.compact().unwrap();
        store.append(&change(2)).unwrap();
        drop(store);
        shelf
    };
    let version = "p/versions/00000000000000000002";
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Some(())
    };
    let gone = |_: &mut Vec<u8>| None;
    let cut = |bytes: &mut Vec<u8>| {
        bytes.pop();
        Some(())
    };
    let empty = |bytes: &mut Vec<u8>| {
        bytes.clear();
        Some(())
    };
    let cases: [(&str, &dyn Fn(&mut Vec<u8>) -> Option<()>, &str); 7] = [
        ("p/log/00000000000000000003", &flip, "log/00000000000000000003:2:1: its checksum does not match"),
        ("p/log/00000000000000000003", &cut, "log/00000000000000000003:3:1: the line has no end"),
        ("p/log/00000000000000000003", &empty, "log/00000000000000000003:1:1: it is empty"),
        ("p/head", &flip, "head:1:1: its checksum does not match"),
        ("p/head", &gone, "head: it is not there, and a log or versions beside it are"),
        (version, &gone, "head: it names a version or an entry of the log that is not there"),
        (version, &flip, "versions/00000000000000000002: it is not the one that the head names"),
    ];
    for (key, damage, message) in cases {
        let shelf = prepared();
        shelf.change(key, damage);
        let before = shelf.content();
        let remote = at(Arc::new(shelf.clone()));
        let error = read(&remote).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{NAME}/{message}")), "{error} should say {message}");
        assert!(error.to_string().contains("; the object was changed"), "{error}");
        assert_eq!(open(&remote, &Options { lease: None }).err(), Some(error));
        assert_eq!(shelf.content(), before);
    }
    // An entry of another deployment, and one in the wrong place.
    let shelf = prepared();
    let entry = shelf.content()["p/log/00000000000000000003"].clone();
    shelf.change("p/log/00000000000000000004", |bytes| {
        *bytes = entry;
        Some(())
    });
    let error = read(&at(Arc::new(shelf))).unwrap_err().to_string();
    assert!(error.contains("4:1:1: it is entry 3 in the place of entry 4"), "{error}");
}

#[test]
fn addresses() {
    let place = Place::parse("s3://my-bucket/team/chat/").unwrap();
    assert_eq!(
        (place.backend, place.bucket.as_str(), place.prefix.as_str()),
        (Backend::S3, "my-bucket", "team/chat")
    );
    assert_eq!(place.to_string(), "s3://my-bucket/team/chat");
    assert_eq!(Place::parse("az://c/p").unwrap().backend, Backend::Azure);
    assert_eq!(Place::parse("gs://b").unwrap().to_string(), "gs://b");
    let wrong = [
        ("chat.json", "it is no address of a remote state: write s3://BUCKET/PREFIX, az:"),
        ("ftp://b/p", "it is no address"),
        ("s3://", "a bucket has a name of lower-case letters"),
        ("s3://Bucket/p", "a bucket has a name of lower-case letters"),
        ("s3://b/p?sig=SECRET", "an address has no `?` and no `#`"),
        ("s3://key:SECRET@b/p", "an address has no credentials: they are read from the environment"),
        ("s3://b/a//c", "a prefix has names of letters"),
        ("s3://b/../c", "a prefix has names of letters"),
        ("s3://b/\u{1b}", "a prefix has names of letters"),
    ];
    for (address, message) in wrong {
        let error = Place::parse(address).unwrap_err();
        assert!(error.starts_with(message) && !error.contains("SECRET"), "{address}: {error}");
    }
    assert!(Place::is_meant("s3://b/p") && !Place::is_meant("a/b.json"));
    let other = BTreeMap::from([("account".to_owned(), "SECRET".to_owned())]);
    let error = place.connect(&other).err().unwrap().to_string();
    assert!(error.contains("it has no option `account`, but endpoint and region"), "{error}");
}

/// What a spec says of a bucket, and where it says something wrong.
#[test]
fn a_spec_names_a_bucket_or_is_told_why_not() {
    let text = std::fs::read_to_string("examples/support-chat/deploy.yaml").unwrap();
    let told = |state: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("deploy.yaml"), format!("{text}\nstate: {state}\n")).unwrap();
        crate::cli::run(crate::cli::rhumb().current_dir(folder.path()).args(["validate", "."]))
    };
    for good in [
        "{ backend: s3, bucket: acme-rhumb, key: support.state }",
        "{ backend: s3, bucket: acme.rhumb, key: team/support, region: eu-west-1, endpoint: 'http://127.0.0.1:9' }",
        "{ backend: gcs, bucket: acme_rhumb, key: support }",
        "{ backend: azblob, bucket: states, key: support, account: acme }",
        "{ backend: local, path: state.json }",
    ] {
        let (out, err, code) = told(good);
        assert_eq!(code, 0, "{good}: {out}{err}");
    }
    #[rustfmt::skip]
    let bad = [
        ("{ backend: s3, key: x }", "`state` has no `bucket`"),
        ("{ backend: gcs, bucket: x }", "`state` has no `key`"),
        ("{ backend: s3, bucket: Acme, key: x }", "`state.bucket` is no name in a bucket's address"),
        ("{ backend: s3, bucket: acme, key: 'a//b' }", "`state.key` is no name in a bucket's address"),
        ("{ backend: s3, bucket: acme, key: 'a?sig=1' }", "`state.key` is no name in a bucket's address"),
        ("{ backend: s3, bucket: acme, key: x, account: y }", "`state.account` with `backend: s3`"),
        ("{ backend: gcs, bucket: acme, key: x, region: y }", "`state.region` with `backend: gcs`"),
        ("{ bucket: acme }", "`state.bucket` with `backend: local`"),
        ("{ backend: s3, path: x.json, bucket: acme, key: x }", "`state.path` with `backend: s3`"),
        ("{ backend: http }", "`http`"),
    ];
    for (state, wanted) in bad {
        let (out, err, code) = told(state);
        let said = format!("{out}{err}");
        assert!(code == 1 && said.contains(wanted), "{state}: {said}");
        assert!(said.contains("deploy.yaml:"), "it has a place: {said}");
    }
}

/// A bucket that is not there to be asked is an error with its name, and no credential in it.
#[cfg(feature = "s3")]
#[test]
fn a_bucket_that_cannot_be_reached_is_told_without_credentials() {
    let mut command = crate::cli::rhumb();
    command.args(["state", "list", "--state", "s3://acme/support"]);
    command.env("AWS_ACCESS_KEY_ID", "AKIACANARY").env("AWS_SECRET_ACCESS_KEY", "canary-of-a-secret");
    command.env("AWS_REGION", "eu-west-1").env("AWS_ENDPOINT_URL", "http://canary:canary@127.0.0.1:1");
    // It is asked for 20 seconds.
    if crate::extent::is_many() {
        let (out, err, code) = crate::cli::run(&mut command);
        assert!(code == 1 && err.contains("s3://acme/support"), "{out}{err}");
        assert!(!err.to_lowercase().contains("canary"), "{err}");
    }
    for bad in ["s3://user:secret@acme/x", "ftp://acme/x", "s3://Acme/x"] {
        let (_, err, code) = crate::cli::run(crate::cli::rhumb().args(["state", "list", "--state", bad]));
        assert!(code == 1 && err.contains("--state: ") && !err.contains("secret"), "{bad}: {err}");
    }
}
