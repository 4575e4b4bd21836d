//! Versions beside a state, and a state that moves: whatever fails, what was recorded is there, as a whole, in one place.

use std::path::{Path, PathBuf};

use rhumb::state::faulty::{Fault, FaultyDisk, Left, LeftBytes, Moment};
use rhumb::state::local::{LocalStore, Opened, read, read_version, versions};
use rhumb::state::{State, file};

use super::memory::Folder;
use super::{PATH, open, opened};
use crate::journal::history;

fn faults() -> Vec<Fault> {
    let mut all = vec![Fault::NoSpace, Fault::Device, Fault::Late, Fault::Short, Fault::Rename];
    for moment in [Moment::Before, Moment::Half, Moment::After] {
        all.push(Fault::Crash(moment));
        for names in [false, true] {
            all.push(Fault::PowerCut(moment, Left { bytes: LeftBytes::Half, names }));
            all.push(Fault::PowerCut(moment, Left { bytes: LeftBytes::Lost, names }));
        }
    }
    all
}

/// A folder with a state that has a journal, and that state.
fn standing() -> (Folder, State) {
    let folder = Folder::default();
    let mut store = opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
    store.append(&history(1, 8)).unwrap();
    let state = store.state().clone();
    (folder, state)
}

/// Does something on a disk whose operation number `at` fails; whether the fault came.
fn failing(folder: &Folder, at: u64, fault: Fault, what: impl FnOnce(LocalStore)) -> bool {
    let disk = FaultyDisk::new(folder.disk(), at, fault);
    let watch = disk.watch();
    if let Ok(Opened::Recorded(store)) = open(Box::new(disk), Path::new(PATH)) {
        what(store);
    }
    watch.fired() || watch.operations() >= at
}

/// Every fault at every operation; how many there were.
fn sweep(what: impl Fn(LocalStore), holds: impl Fn(&Folder, &State, &str)) -> u32 {
    let mut points = 0;
    for fault in faults() {
        for at in 1.. {
            let (folder, state) = standing();
            if !failing(&folder, at, fault, &what) {
                break;
            }
            holds(&folder, &state, &format!("{fault:?} at operation {at}"));
            points += 1;
        }
    }
    points
}

fn recorded(folder: &Folder) -> Option<State> {
    read(&mut folder.disk(), Path::new(PATH), PATH).expect("readable")
}

#[test]
fn a_version_is_there_as_a_whole_or_not_at_all() {
    let keep = |mut store: LocalStore| drop(store.compact().and_then(|()| store.keep()));
    let points = sweep(keep, |folder, state, told| {
        assert_eq!(recorded(folder).as_ref(), Some(state), "{told}");
        let path = Path::new(PATH);
        for serial in versions(&mut folder.disk(), path, PATH).expect("listed") {
            let kept = read_version(&mut folder.disk(), path, PATH, serial).expect("readable");
            assert_eq!(kept.as_ref(), Some(state), "{told}");
        }
    });
    assert!(points > 100, "{points}");
    let (folder, state) = standing();
    assert!(!failing(&folder, u64::MAX, Fault::Device, keep));
    assert_eq!(versions(&mut folder.disk(), Path::new(PATH), PATH), Ok(vec![state.serial]));
}

#[test]
fn what_is_retired_is_in_one_place() {
    let moved = |folder: &Folder| -> Option<State> {
        let text = folder.content().remove(&PathBuf::from(format!("{PATH}.moved")))?;
        Some(file::decode("moved", std::str::from_utf8(&text).expect("text")).expect("whole"))
    };
    let points = sweep(
        |store| drop(store.retire()),
        |folder, state, told| match recorded(folder) {
            Some(here) => assert_eq!(here, *state, "{told}"),
            None => assert_eq!(moved(folder).as_ref(), Some(state), "{told}"),
        },
    );
    assert!(points > 100, "{points}");
    let (folder, state) = standing();
    assert!(!failing(&folder, u64::MAX, Fault::Device, |store| store.retire().expect("retired")));
    assert_eq!((recorded(&folder), moved(&folder)), (None, Some(state)));
}

#[test]
fn what_comes_from_elsewhere_is_recorded_as_it_was() {
    let (_, state) = standing();
    let folder = Folder::default();
    let Ok(Opened::Nothing(vacant)) = open(Box::new(folder.disk()), Path::new(PATH)) else {
        panic!("vacant")
    };
    let store = vacant.put(state.clone()).expect("recorded");
    assert_eq!(store.state(), &state);
    drop(store);
    assert_eq!(recorded(&folder), Some(state.clone()));
    // And goes on.
    let mut store = opened(Box::new(folder.disk()), Path::new(PATH)).unwrap();
    let retry = rhumb::state::Record::Retry { by: "a@b".into(), at: "2026-01-01T00:00:00Z".into() };
    store.append(&[retry]).expect("appended");
    assert_eq!(store.state().serial, state.serial + 1);
}
