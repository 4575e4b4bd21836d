//! The lease, and what becomes of a holder that was paused and goes on after another one has taken over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb::state::StoreError;
use rhumb::state::remote::{
    Objects, Opened, Options, Patience, Remote, RemoteStore, Term, prune, read, versions,
};

use super::shelf::{Between, Fault, Ignores, Shelf, Watched};
use super::{NAME, at, change, holder, open, opened, options};
use crate::journal::LINEAGE;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn overtaken() -> StoreError {
    StoreError::Overtaken { name: NAME.to_owned() }
}

fn watched(shelf: &Shelf, between: Between) -> (Remote, Arc<Between>) {
    let between = Arc::new(between);
    (at(Arc::new(Watched(Arc::new(shelf.clone()), Arc::clone(&between)))), between)
}

/// A lease that is soon over.
fn short(ttl_ms: u64) -> Options {
    let (ttl, poll) = (Duration::from_millis(ttl_ms), Duration::from_millis(5));
    Options { lease: Some(Term { ttl, allowance: Duration::ZERO, poll }) }
}

fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One holds the lease and is paused; another takes over and records something; the first goes on.
fn zombie(between: Between) -> Result<(), String> {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let mut first = opened(&remote)?;
    first.append(&change(1)).map_err(|e| e.to_string())?;
    shelf.pass(HOUR);
    let (other, _) = watched(&shelf, between);
    let mut second = opened(&other)?;
    // Before the second has recorded anything.
    if first.append(&change(2)) != Err(overtaken()) {
        return Err("the first still writes".to_owned());
    }
    second.append(&change(3)).map_err(|e| e.to_string())?;
    assert_eq!(first.append(&change(2)), Err(overtaken()));
    assert_eq!(first.compact(), Err(overtaken()));
    assert_eq!(first.state().serial, 2, "what it believes is what was promised to it");
    drop(first);
    second.append(&change(4)).map_err(|e| e.to_string())?;
    let state = read(&remote).map_err(|e| e.to_string())?.ok_or("nothing is there")?;
    assert_eq!((&state, state.serial), (second.state(), 6));
    Ok(())
}

#[test]
fn a_paused_holder_that_wakes_up_writes_nothing() {
    zombie(Between::default()).unwrap();
}

#[test]
fn without_a_fence_it_would() {
    let error = zombie(Between { swallows_fences: true, ..Between::default() }).unwrap_err();
    assert_eq!(error, "the first still writes");
}

#[test]
fn a_write_that_is_on_its_way_when_the_lease_is_taken_over_arrives_too_late() {
    let shelf = Shelf::new();
    let (remote, between) = watched(&shelf, Between::default());
    let mut first = opened(&remote).unwrap();
    between.stop("log/");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| first.append(&change(1)));
        eventually("it waits", || between.waiting());
        shelf.pass(HOUR);
        let mut second = opened(&at(Arc::new(shelf.clone()))).unwrap();
        second.append(&change(2)).unwrap();
        between.go_on();
        assert_eq!(writing.join().unwrap(), Err(overtaken()));
        second.append(&change(3)).unwrap();
    });
    let state = read(&remote).unwrap().unwrap();
    assert_eq!((state.serial, state.resources.len()), (4, 2));
}

#[test]
fn one_that_is_paused_before_its_fence_does_not_stand_in_the_way() {
    let shelf = Shelf::new();
    drop(opened(&at(Arc::new(shelf.clone()))).unwrap());
    let (remote, between) = watched(&shelf, Between::default());
    // It has the lease, and cannot put its fence.
    between.stop("put p/log/");
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| open(&remote, &options()).err());
        eventually("it waits", || between.waiting());
        shelf.pass(HOUR);
        let mut second = opened(&at(Arc::new(shelf.clone()))).unwrap();
        second.append(&change(1)).unwrap();
        between.go_on();
        assert_eq!(opening.join().unwrap(), Some(overtaken()));
        second.append(&change(2)).unwrap();
    });
    assert_eq!(read(&remote).unwrap().unwrap().serial, 4);
}

#[test]
fn a_late_compaction_names_what_was_recorded_and_no_more() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let mut first = opened(&remote).unwrap();
    first.append(&change(1)).unwrap();
    shelf.pass(HOUR);
    let mut second = opened(&remote).unwrap();
    second.append(&change(2)).unwrap();
    // It has not found out yet, and what it says is true.
    first.compact().unwrap();
    assert_eq!(read(&remote).unwrap().as_ref(), Some(second.state()));
    // The second had read another head.
    second.compact().unwrap();
    second.append(&change(3)).unwrap();
    assert_eq!(read(&remote).unwrap().as_ref(), Some(second.state()));
    assert_eq!(versions(&remote).unwrap().len(), 2);
    assert_eq!(first.append(&change(4)), Err(overtaken()));
}

/// A head does not go back in front of what was removed.
fn compaction_after_pruning(ignores: Ignores) -> Result<(), String> {
    let shelf = Shelf::that(ignores);
    let remote = at(Arc::new(shelf.clone()));
    let mut first = opened(&remote)?;
    first.append(&change(1)).map_err(|e| e.to_string())?;
    shelf.pass(HOUR);
    let mut second = opened(&remote)?;
    second.append(&change(2)).map_err(|e| e.to_string())?;
    second.append(&change(3)).map_err(|e| e.to_string())?;
    second.compact().map_err(|e| e.to_string())?;
    shelf.pass(25 * HOUR);
    let pruned = prune(&remote, 1).map_err(|e| e.to_string())?;
    assert_eq!(pruned.entries, 3);
    let compacted = first.compact();
    let state = read(&remote).map_err(|e| e.to_string())?.ok_or("nothing is there")?;
    if state.serial != 6 {
        return Err(format!("serial {} is what is left", state.serial));
    }
    assert_eq!(compacted, Err(overtaken()));
    // Its number was recorded and removed, but for the fence: however long it was paused, it writes nothing.
    assert_eq!(first.append(&change(4)), Err(overtaken()));
    second.append(&change(4)).map_err(|e| e.to_string())
}

#[test]
fn whoever_was_paused_for_longer_than_anything_is_kept_writes_nothing() {
    compaction_after_pruning(Ignores::Nothing).unwrap();
    let error = compaction_after_pruning(Ignores::Unchanged).unwrap_err();
    assert_eq!(error, "serial 2 is what is left");
}

#[test]
fn one_that_read_before_pruning_begins_again() {
    // Paused before it reads the log, and before it puts its fence where the log ended: the number is free again then.
    for paused in ["log/", "put p/log/"] {
        let shelf = Shelf::new();
        let none = Options { lease: None };
        let mut before = open(&at(Arc::new(shelf.clone())), &none).unwrap();
        before.append(&change(1)).unwrap();
        let (remote, between) = watched(&shelf, Between::default());
        between.stop(paused);
        std::thread::scope(|scope| {
            let opening = scope.spawn(|| open(&remote, &none));
            eventually("it waits", || between.waiting());
            for i in 2..5 {
                before.append(&change(i)).unwrap();
            }
            before.compact().unwrap();
            shelf.pass(25 * HOUR);
            assert_eq!(prune(&at(Arc::new(shelf.clone())), 1).unwrap().entries, 4);
            between.go_on();
            let mut opened = opening.join().unwrap().unwrap();
            assert_eq!(opened.state().serial, 8, "{paused}");
            opened.append(&change(9)).unwrap();
        });
        assert_eq!(read(&remote).unwrap().unwrap().serial, 10, "{paused}");
    }
}

#[test]
fn a_holder_that_lives_is_named_and_left_alone() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    // Several terms long, so that it is kept by signs of life alone.
    let mut store = open(&remote, &short(300)).unwrap();
    let refused = open(&remote, &short(300)).err();
    let holder = format!("me@here, process {}, since 2026-01-01T00:00:00Z", std::process::id());
    assert_eq!(refused, Some(StoreError::Locked { name: NAME.to_owned(), holder }));
    std::thread::sleep(Duration::from_millis(700));
    assert!(matches!(open(&remote, &short(300)).err(), Some(StoreError::Locked { .. })));
    store.append(&change(1)).unwrap();
    // To read needs no lease.
    assert_eq!(read(&remote).unwrap().as_ref(), Some(store.state()));
    drop(store);
    let began = Instant::now();
    drop(open(&remote, &options()).unwrap());
    assert!(began.elapsed() < Duration::from_secs(5), "it was released");
}

#[test]
fn what_a_lease_says_reaches_no_terminal_as_a_command() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let mut who = holder();
    who.by = "\u{1b}[2Jx".to_owned();
    let _held = RemoteStore::open(&remote, &who, &short(300)).unwrap();
    let error = open(&remote, &short(300)).err().unwrap().to_string();
    assert!(error.starts_with(&format!("{NAME}: it is in use by [2Jx, process ")), "{error}");
}

#[test]
fn clocks_do_not_matter() {
    for skew in [0, -20 * 365 * 86_400_000, 20 * 365 * 86_400_000] {
        let shelf = Shelf::new();
        shelf.shift(skew);
        let remote = at(Arc::new(shelf.clone()));
        let (gone, between) = watched(&shelf, Between::default());
        let held = open(&gone, &short(250)).unwrap();
        assert!(matches!(open(&remote, &short(250)).err(), Some(StoreError::Locked { .. })));
        between.stop("lease");
        let began = Instant::now();
        drop(open(&remote, &short(250)).unwrap());
        let took = began.elapsed();
        assert!(took > Duration::from_millis(100) && took < Duration::from_secs(10), "{took:?}");
        // Or it would wait for its lease to be let go of.
        between.go_on();
        drop(held);
    }
    // A clock that goes back lets nobody in early, and nobody wait for ever.
    let shelf = Shelf::new();
    let (gone, between) = watched(&shelf, Between::default());
    let held = open(&gone, &short(100)).unwrap();
    between.stop("lease");
    shelf.shift(-500);
    let began = Instant::now();
    drop(open(&at(Arc::new(shelf.clone())), &short(100)).unwrap());
    assert!(began.elapsed() > Duration::from_millis(300));
    between.go_on();
    drop(held);
}

#[test]
fn a_holder_that_reaches_nothing_stops_by_itself_and_so_does_one_that_was_taken_over() {
    let shelf = Shelf::new();
    let (remote, between) = watched(&shelf, Between::default());
    let mut store = open(&remote, &short(200)).unwrap();
    between.stop("lease");
    eventually("it stops", || store.append(&[]).is_err());
    let error = store.append(&change(1)).unwrap_err();
    assert!(matches!(&error, StoreError::Remote { what: "keep it", .. }), "{error}");
    assert_eq!(store.compact(), Err(error));
    between.go_on();
    drop(store);
    // The next one finds the lease released or run out.
    let mut store = open(&remote, &short(200)).unwrap();
    shelf.change("p/lease", |bytes| {
        *bytes = b"another".to_vec();
        None
    });
    eventually("it stops", || store.append(&[]).is_err());
    assert_eq!(store.append(&change(1)), Err(overtaken()));
    drop(store);
    // A lease that was removed begins anew, with a fence that is greater than all in the log.
    let mut store = opened(&remote).unwrap();
    store.append(&change(1)).unwrap();
}

#[test]
fn of_two_that_find_nothing_one_makes_it() {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let vacant = || match RemoteStore::open(&remote, &holder(), &Options { lease: None }) {
        Ok(Opened::Nothing(vacant)) => vacant,
        _ => panic!("it is vacant"),
    };
    let (first, second) = (vacant(), vacant());
    let mut store = first.create(LINEAGE.to_owned(), false).unwrap();
    assert_eq!(second.create("other".to_owned(), true).err(), Some(overtaken()));
    store.append(&change(1)).unwrap();
    assert_eq!(read(&remote).unwrap().as_ref(), Some(store.state()));
}

#[test]
fn it_may_be_used_within_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut store = opened(&at(Arc::new(Shelf::new()))).unwrap();
        store.append(&change(1)).unwrap();
    });
}

#[test]
fn failures_name_the_object_and_what_to_do() {
    let shelf = Shelf::new();
    let patience =
        Patience { all: Duration::ZERO, each: Duration::from_millis(20), pause: Duration::from_millis(1) };
    let failing = |fault| {
        let (remote, _) = watched(&shelf, Between { every: 1, fault: Some(fault), ..Between::default() });
        read(&remote.with_patience(patience)).unwrap_err().to_string()
    };
    assert_eq!(
        failing(Fault::Denied),
        "s3://bucket/p/head: cannot read it: it was to fail; check the credentials in the environment, and that they may read, write and \
         list there"
    );
    assert_eq!(
        failing(Fault::Hangs),
        "s3://bucket/p/head: cannot read it: no answer within 20 ms; check the network and the endpoint, and start again"
    );
    let _: &dyn Objects = &shelf;
}
