//! The store of a state on a disk: what is appended is there again, for one process at a time.

mod faults;
mod memory;
mod moved;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rhumb::state::disk::{Disk, RealDisk};
use rhumb::state::faulty::{Fault, FaultyDisk, Moment};
use rhumb::state::journal::{encode_grouped, encode_header, encode_record};
use rhumb::state::local::{Holder, LocalStore, Opened, StoreError, read};
use rhumb::state::{Outcome, Record, State, StateError, file};
use rhumb_api::Token;

use crate::journal::{LINEAGE, history, states};
use memory::Folder;

const PATH: &str = "s.json";

fn open(disk: Box<dyn Disk>, path: &Path) -> Result<Opened, StoreError> {
    let holder = Holder { by: "me@here".to_owned(), at: "2026-01-01T00:00:00Z".to_owned() };
    LocalStore::open(disk, path, PATH, &holder)
}

/// The state that is there, or a new one.
fn opened(disk: Box<dyn Disk>, path: &Path) -> Result<LocalStore, String> {
    match open(disk, path).map_err(|e| e.to_string())? {
        Opened::Recorded(store) => Ok(store),
        Opened::Nothing(vacant) => vacant.create(LINEAGE.to_owned(), false).map_err(|e| e.to_string()),
    }
}

fn real(path: &Path) -> LocalStore {
    opened(Box::new(RealDisk::new()), path).unwrap()
}

fn refused(path: &Path) -> StoreError {
    match open(Box::new(RealDisk::new()), path) {
        Err(error) => error,
        Ok(_) => panic!("it opens"),
    }
}

#[test]
fn a_place_is_vacant_until_a_state_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    assert_eq!(read(&mut RealDisk::new(), &path, PATH), Ok(None));
    assert!(matches!(open(Box::new(RealDisk::new()), &path), Ok(Opened::Nothing(_))));
    // To have looked is not to have recorded.
    assert_eq!(read(&mut RealDisk::new(), &path, PATH), Ok(None));
    let Ok(Opened::Nothing(vacant)) = open(Box::new(RealDisk::new()), &path) else { panic!("it is vacant") };
    let store = vacant.create("l".to_owned(), true).unwrap();
    assert_eq!(store.state(), &State::new("l".to_owned(), true));
    assert_eq!(read(&mut RealDisk::new(), &path, PATH), Ok(Some(store.state().clone())));
    drop(store);
    assert_eq!(real(&path).state(), &State::new("l".to_owned(), true));
}

#[test]
fn a_state_file_of_version_1_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    std::fs::write(&path, include_str!("fixtures/state/one.json")).unwrap();
    let begin =
        Record::Begin { plan: "9f86".to_owned(), from: Some(7), by: "a@b".to_owned(), at: String::new() };
    let mut expected = real(&path).state().clone();
    real(&path).append(std::slice::from_ref(&begin)).unwrap();
    expected.take(&begin).unwrap();
    assert_eq!((real(&path).state(), expected.serial), (&expected, 8));
    real(&path).compact().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), file::encode(&expected));
    assert_eq!(real(&path).state(), &expected);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let store = real(&path);
    let error = refused(&path);
    let holder = format!("me@here, process {}, since 2026-01-01T00:00:00Z", std::process::id());
    assert_eq!(error, StoreError::Locked { name: PATH.to_owned(), holder: holder.clone() });
    assert_eq!(error.to_string(), format!("s.json: it is in use by {holder}; wait until that has ended"));
    // To read needs no lock.
    assert_eq!(read(&mut RealDisk::new(), &path, PATH), Ok(Some(store.state().clone())));
    drop(store);
    drop(real(&path));
    // What a lock file says may not reach a terminal as a command to it.
    let _held = real(&path);
    std::fs::write(path.with_extension("json.lock"), "\u{1b}[2Jx\ny").unwrap();
    assert_eq!(refused(&path), StoreError::Locked { name: PATH.to_owned(), holder: "[2Jx".to_owned() });
}

/// Holds the lock until it is killed, if a parent process asks for it.
#[test]
fn child_that_holds_the_lock() {
    let Ok(path) = std::env::var("RHUMB_TEST_HOLD") else { return };
    let _store = real(Path::new(&path));
    println!("\nheld");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_process_that_was_killed_holds_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::child_that_holds_the_lock", "--nocapture"])
        .env("RHUMB_TEST_HOLD", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line == "held"));
    assert!(refused(&path).to_string().contains(&format!("process {}", child.id())));
    child.kill().unwrap();
    child.wait().unwrap();
    real(&path).append(&history(1, 3)).unwrap();
}

#[cfg(unix)]
#[test]
fn every_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    // One that others may read is replaced by one that they may not.
    std::fs::write(&path, include_str!("fixtures/state/one.json")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut names = std::collections::BTreeSet::new();
    let mut at = 0;
    loop {
        at += 1;
        let faulty = FaultyDisk::new(RealDisk::new(), at, Fault::Crash(Moment::After));
        let watch = faulty.watch();
        let done = opened(Box::new(faulty), &path).and_then(|mut store| {
            store.compact().map_err(|e| e.to_string())?;
            store.append(&[Record::End { complete: true }]).map_err(|e| e.to_string())
        });
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let replaced =
                std::fs::read_to_string(entry.path()).is_ok_and(|t| !t.contains("\"rhumb_state\": 1"));
            assert!(mode == 0o600 || !replaced, "{mode:o} {}", entry.path().display());
            names.insert(entry.file_name().into_string().unwrap());
        }
        if !watch.fired() {
            done.unwrap();
            break;
        }
    }
    let all = ["s.json", "s.json.journal", "s.json.journal.tmp", "s.json.lock", "s.json.tmp"];
    assert!(names.iter().map(String::as_str).eq(all), "{names:?}");
}

#[test]
fn what_is_written_grows_with_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let disk = FaultyDisk::new(RealDisk::new(), 0, Fault::Device);
    let watch = disk.watch();
    let mut store = opened(Box::new(disk), &path).unwrap();
    let begin = |n: usize| Record::Begin {
        plan: format!("{n:064x}"),
        from: Some(n as u64),
        by: "a@b".to_owned(),
        at: "2026-01-01T00:00:00Z".to_owned(),
    };
    let records: Vec<Record> = history(1, 500).into_iter().chain((0..9_500).map(begin)).collect();
    let mut sum = encode_header(LINEAGE, false, 0).len();
    for (group, first) in records.chunks(50).zip((1..).step_by(50)) {
        let operations = watch.operations();
        store.append(group).unwrap();
        let opening = if first == 1 { 1 } else { 0 };
        assert_eq!(watch.operations() - operations, 3 + opening, "a look at the length, a write, a sync");
        sum += group
            .iter()
            .zip(first..)
            .map(|(r, serial)| encode_grouped(first, serial, r).len())
            .sum::<usize>();
    }
    assert_eq!(watch.written(), sum as u64);
    assert_eq!(std::fs::metadata(path.with_extension("json.journal")).unwrap().len(), sum as u64);
    drop(store);
    assert_eq!(real(&path).state().serial, 10_000);
}

#[test]
fn a_journal_does_not_grow_beyond_what_can_be_read() {
    let folder = Folder::default();
    let long = |mib: usize| Record::Begin {
        plan: String::new(),
        from: None,
        by: "x".repeat(mib * 1024 * 1024),
        at: String::new(),
    };
    let length = |name: &str| folder.content().get(Path::new(name)).map_or(0, Vec::len);
    let mut store = opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
    store.append(&[long(60)]).unwrap();
    store.append(&[long(6)]).unwrap();
    assert!(length("s.json") == 0 && length("s.json.journal") > 66 * 1024 * 1024);
    store.append(&[long(1)]).unwrap();
    assert!(length("s.json") > 0 && length("s.json.journal") < 2 * 1024 * 1024);
    let error = store.append(&[long(200)]).unwrap_err().to_string();
    assert!(error.contains("it would be larger than 256 MiB"), "{error}");
    store.append(&[long(0)]).unwrap();
    drop(store);
    assert_eq!(opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().state().serial, 4);
}

#[test]
fn a_record_that_does_not_fit_writes_nothing_and_harms_nothing() {
    let folder = Folder::default();
    let records = history(5, 10);
    let states = states(&records);
    let mut store = opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
    store.append(&records[..4]).unwrap();
    let before = folder.content();
    let stranger = Token::parse("f".repeat(32)).unwrap();
    let bad = Record::Ended { token: stranger, outcome: Outcome::done() };
    let error = store.append(&[records[4].clone(), bad]).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    store.append(&[]).unwrap();
    assert_eq!((store.state(), folder.content()), (&states[4], before));
    store.append(&records[4..]).unwrap();
    drop(store);
    assert_eq!(opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().state(), &states[10]);
}

#[test]
fn a_torn_write_is_cut_off_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let journal = path.with_extension("json.journal");
    let records = history(6, 10);
    real(&path).append(&records[..5]).unwrap();
    for tail in [&b"0123"[..], b"\0\0\0", b"ab\0\n"] {
        let good = std::fs::read(&journal).unwrap();
        let torn = [&good, tail].concat();
        std::fs::write(&journal, &torn).unwrap();
        let mut store = real(&path);
        assert_eq!(store.torn_bytes(), tail.len() as u64);
        // Nothing is repaired by looking.
        assert_eq!(std::fs::read(&journal).unwrap(), torn);
        let at = store.state().serial as usize;
        store.append(&records[at..=at]).unwrap();
        let line = encode_record(at as u64 + 1, &records[at]);
        assert_eq!(std::fs::read(&journal).unwrap(), [&good, line.as_bytes()].concat());
    }
}

#[test]
fn what_was_not_synced_is_taken_back() {
    let records = history(6, 10);
    for fault in [Fault::Device, Fault::Late, Fault::Short] {
        // The sixth operation writes: lock, two reads, open, sync, append, sync.
        for at in [6, 7] {
            let folder = Folder::default();
            opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().append(&records[..5]).unwrap();
            let before = folder.content();
            let faulty = FaultyDisk::new(folder.disk(), at, fault);
            let watch = faulty.watch();
            let mut store = opened(Box::new(faulty), Path::new(PATH)).unwrap();
            let appended = store.append(&records[5..]);
            assert_eq!((appended.is_err(), watch.fired()), (watch.fired(), fault != Fault::Short || at == 6));
            assert_eq!(folder.content() == before, watch.fired(), "{fault:?} {at}");
        }
    }
}

#[test]
fn a_newer_snapshot_goes_on_behind_an_older_journal() {
    let folder = Folder::default();
    let records = history(6, 10);
    let states = states(&records);
    opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().append(&records[..3]).unwrap();
    folder.disk().make(Path::new(PATH), file::encode(&states[7]).as_bytes()).unwrap();
    let mut store = opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
    assert_eq!(store.state(), &states[7]);
    store.append(&records[7..]).unwrap();
    drop(store);
    assert_eq!(opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().state(), &states[10]);
}

#[cfg(unix)]
#[test]
fn what_lies_where_a_new_file_is_made_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, "mine").unwrap();
    std::os::unix::fs::symlink(&elsewhere, path.with_extension("json.tmp")).unwrap();
    real(&path).compact().unwrap();
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert!(!path.is_symlink());
}

#[test]
fn damage_is_refused_at_its_place_and_nothing_is_changed() {
    let records = history(8, 10);
    let prepared = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PATH);
        let mut store = real(&path);
        store.append(&records[..5]).unwrap();
        store.compact().unwrap();
        store.append(&records[5..]).unwrap();
        (folder, path)
    };
    let flip = |bytes: &mut Vec<u8>| bytes[400] ^= 1;
    let no_text = |bytes: &mut Vec<u8>| bytes[20] = 0xff;
    let older = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"serial\": 5", "\"serial\": 4").into_bytes();
    };
    let other = |bytes: &mut Vec<u8>| {
        let state = State { serial: 5, ..State::new("other".to_owned(), false) };
        *bytes = file::encode(&state).into_bytes();
    };
    let cases: [(&str, &dyn Fn(&mut Vec<u8>), &str); 4] = [
        (
            "s.json.journal",
            &flip,
            "s.json.journal:2:1: its checksum does not match the line; the file was changed",
        ),
        ("s.json", &no_text, "s.json:2:19: it is not UTF-8 text; restore"),
        (
            "s.json",
            &older,
            "s.json.journal:1:18: the journal continues serial 5, and the state file has serial 4; restore",
        ),
        (
            "s.json",
            &other,
            "s.json.journal:1:18: the journal is of another deployment than the state file; put",
        ),
    ];
    for (name, damage, message) in cases {
        let (folder, path) = prepared();
        let damaged = folder.path().join(name);
        let mut bytes = std::fs::read(&damaged).unwrap();
        damage(&mut bytes);
        std::fs::write(&damaged, &bytes).unwrap();
        let all = || -> Vec<Vec<u8>> {
            ["json", "json.journal"].iter().map(|e| std::fs::read(path.with_extension(e)).unwrap()).collect()
        };
        let before = all();
        let error = refused(&path);
        assert!(error.to_string().starts_with(message), "{error} should say {message}");
        assert_eq!(Err(error), read(&mut RealDisk::new(), &path, PATH).map_err(StoreError::Unreadable));
        assert_eq!(all(), before);
    }
    let (_folder, path) = prepared();
    std::fs::remove_file(&path).unwrap();
    let error = refused(&path).to_string();
    assert!(error.contains("continues serial 5, and the state file is not there; restore"), "{error}");
}

#[test]
fn what_is_no_state_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let error = |error: Result<Option<State>, StateError>| error.unwrap_err().to_string();
    let look = || read(&mut RealDisk::new(), &path, PATH);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        error(look()),
        "s.json: it cannot be read: it is not a file; name a state file, and check its permissions"
    );
    std::fs::remove_dir(&path).unwrap();
    std::fs::File::create(&path).unwrap().set_len(256 * 1024 * 1024 + 1).unwrap();
    assert!(error(look()).contains("it is larger than 256 MiB"));
    let error = refused(&folder.path().join("no/s.json")).to_string();
    assert!(error.contains("s.json.lock: cannot take the lock"), "{error}");
}

#[test]
fn who_writes_in_spite_of_the_lock_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let records = history(9, 10);
    let states = states(&records);
    let mut first = real(&path);
    first.append(&records[..2]).unwrap();
    std::fs::remove_file(path.with_extension("json.lock")).unwrap();
    real(&path).append(&records[2..4]).unwrap();
    let error = first.append(&records[2..3]).unwrap_err();
    assert_eq!(error, StoreError::Overtaken { name: "s.json.journal".to_owned() });
    assert_eq!(first.compact(), Err(error.clone()));
    assert_eq!(first.append(&records[2..3]), Err(error));
    assert_eq!(first.state(), &states[2]);
    drop(first);
    assert_eq!(real(&path).state(), &states[4]);
}

#[test]
fn readers_and_a_writer_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PATH);
    let records = history(10, 300);
    let states = states(&records);
    let mut store = real(&path);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for (i, group) in records.chunks(2).enumerate() {
                store.append(group).unwrap();
                if i % 5 == 0 {
                    store.compact().unwrap();
                }
            }
        });
        let mut before = 0;
        while !writer.is_finished() {
            let state = read(&mut RealDisk::new(), &path, PATH).unwrap().unwrap();
            assert_eq!(state, states[state.serial as usize]);
            assert!(state.serial >= before);
            before = state.serial;
        }
    });
    assert_eq!(read(&mut RealDisk::new(), &path, PATH), Ok(states.last().cloned()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_the_state_in_memory(
        seed in any::<u64>(),
        steps in prop::collection::vec((0..6_usize, 0..9_usize), 0..20),
    ) {
        let records = history(seed, 160);
        let states = states(&records);
        let folders = [Folder::default(), Folder::default()];
        for folder in &folders {
            let again = || opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
            let mut store = again();
            let mut at = 0;
            for (what, n) in &steps {
                match what {
                    0 => {
                        drop(store);
                        store = again();
                    }
                    1 => store.compact().unwrap(),
                    _ => {
                        store.append(&records[at..at + n]).unwrap();
                        at += n;
                    }
                }
                prop_assert_eq!(store.state(), &states[at]);
                let read = read(&mut folder.disk(), Path::new(PATH), PATH).unwrap();
                prop_assert_eq!(read.as_ref(), Some(&states[at]));
            }
        }
        prop_assert_eq!(folders[0].content(), folders[1].content());
    }
}
