//! A bucket whose head was removed.

use std::sync::Arc;
use std::time::Duration;

use rhumb::state::StoreError;
use rhumb::state::remote::{Opened, Remote, RemoteStore, prune, read};

use super::shelf::{Between, Fault, Shelf, Watched};
use super::{NAME, at, change, holder, opened, options};
use crate::extent::one_in;
use crate::oracle::worlds::Random;

/// A history by a seed: records, versions, other writers and what is removed after days; whoever was overtaken is still there.
fn story(seed: u64) -> (Shelf, Vec<RemoteStore>, RemoteStore) {
    let shelf = Shelf::new();
    let remote = at(Arc::new(shelf.clone()));
    let mut random = Random::new(seed);
    let (mut overtaken, mut now) = (Vec::new(), opened(&remote).unwrap());
    for i in 0..random.below(12) {
        match random.below(5) {
            0 | 1 => now.append(&change(i + 1)).unwrap(),
            2 => now.compact().unwrap(),
            3 => {
                shelf.pass(Duration::from_secs(60 * 60));
                let next = opened(&remote).unwrap();
                overtaken.push(std::mem::replace(&mut now, next));
            }
            _ => {
                shelf.pass(Duration::from_secs(25 * 60 * 60));
                prune(&remote, 1).unwrap();
            }
        }
    }
    (shelf, overtaken, now)
}

#[test]
fn it_is_put_back_and_nothing_is_lost() {
    let (mut continued, mut pruned) = (0, 0);
    for seed in 0..150 {
        let (shelf, mut overtaken, last) = story(seed);
        let remote = at(Arc::new(shelf.clone()));
        let state = last.state().clone();
        overtaken.push(last);
        shelf.change("p/head", |_| None);
        let error = read(&remote).unwrap_err().to_string();
        assert!(error.contains("head") && error.contains("`rhumb state restore` puts it back"), "{error}");
        shelf.pass(Duration::from_secs(60 * 60));
        let logged = || shelf.content().keys().filter(|key| key.starts_with("p/log/")).count();
        let before = logged();
        let (now, put_back) = RemoteStore::open_without_head(&remote, &holder(), &options()).unwrap();
        let Opened::Recorded(mut now) = now else { panic!("{seed}: nothing is recorded") };
        assert!(put_back, "{seed}");
        // Its own fence, and those in the places of what was removed.
        pruned += u64::from(logged() > before + 2);
        assert_eq!((&state, Some(&state)), (now.state(), read(&remote).unwrap().as_ref()), "{seed}");
        // However long they were paused.
        for store in &mut overtaken {
            let refused = store.append(&change(99)).unwrap_err();
            assert_eq!(refused, StoreError::Overtaken { name: NAME.to_owned() }, "{seed}");
        }
        now.append(&change(100)).unwrap();
        now.compact().unwrap();
        assert_eq!(read(&remote).unwrap().as_ref(), Some(now.state()), "{seed}");
        drop(now);
        let (again, put_back) = RemoteStore::open_without_head(&remote, &holder(), &options()).unwrap();
        assert!(!put_back && matches!(again, Opened::Recorded(_)), "{seed}");
        continued += u64::from(state.serial > 0);
    }
    assert!(
        continued > 50 && pruned > 5,
        "{continued} with records, {pruned} with an end of the log that was removed"
    );
}

/// Cut off at any request, it is done again; and as often as the head goes.
#[test]
fn a_death_at_any_request_loses_nothing() {
    let mut points = 0;
    let part = one_in(4, 1);
    for seed in part.seeds(0..12) {
        for at in 1.. {
            let (shelf, mut overtaken, last) = story(seed);
            let (clean, state) = (at_once(&shelf), last.state().clone());
            overtaken.push(last);
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                shelf.change("p/head", |_| None);
                shelf.pass(Duration::from_secs(60 * 60));
                let between = Arc::new(Between::fault(at, fault));
                let dying = super::at(Arc::new(Watched(Arc::new(shelf.clone()), Arc::clone(&between))));
                drop(RemoteStore::open_without_head(&dying, &holder(), &options()));
                points += u64::from(between.fired());
                shelf.pass(Duration::from_secs(60 * 60));
                let (now, _) = RemoteStore::open_without_head(&clean, &holder(), &options()).unwrap();
                let Opened::Recorded(now) = now else { panic!("{seed}, {at}: nothing is recorded") };
                assert_eq!(
                    (now.state(), read(&clean).unwrap().as_ref()),
                    (&state, Some(&state)),
                    "{seed}, {at}"
                );
                overtaken.push(now);
            }
            let mut now = overtaken.pop().unwrap();
            for store in &mut overtaken {
                let refused = store.append(&change(99)).unwrap_err();
                assert_eq!(refused, StoreError::Overtaken { name: NAME.to_owned() }, "{seed}, {at}");
            }
            now.append(&change(100)).unwrap();
            assert_eq!(read(&clean).unwrap().as_ref(), Some(now.state()), "{seed}, {at}");
            if at > 60 {
                break;
            }
        }
    }
    assert!(points > part.of(150), "{points}");
}

fn at_once(shelf: &Shelf) -> Remote {
    at(Arc::new(shelf.clone()))
}

/// One that was paused and wakes up before its number has a fence: what it wrote is recorded.
#[test]
fn what_the_last_writer_was_quicker_with_is_kept() {
    let shelf = Shelf::new();
    let remote = at_once(&shelf);
    let mut paused = opened(&remote).unwrap();
    paused.append(&change(1)).unwrap();
    paused.compact().unwrap();
    shelf.pass(Duration::from_secs(25 * 60 * 60));
    assert!(prune(&remote, 1).unwrap().entries > 0);
    shelf.change("p/head", |_| None);
    let between = Arc::new(Between::default());
    between.stop("put p/log/");
    let watched = at(Arc::new(Watched(Arc::new(shelf.clone()), Arc::clone(&between))));
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| RemoteStore::open_without_head(&watched, &holder(), &options()));
        while !between.waiting() {
            std::thread::sleep(Duration::from_millis(2));
        }
        paused.append(&change(2)).unwrap();
        between.go_on();
        let Ok((Opened::Recorded(now), true)) = opening.join().unwrap() else {
            panic!("nothing is recorded")
        };
        assert_eq!(now.state(), paused.state());
        assert_eq!(paused.append(&change(3)), Err(StoreError::Overtaken { name: NAME.to_owned() }));
    });
}

#[test]
fn where_nothing_ever_was_there_is_nothing_to_put_back() {
    let remote = at(Arc::new(Shelf::new()));
    let (opened, put_back) = RemoteStore::open_without_head(&remote, &holder(), &options()).unwrap();
    assert!(!put_back && matches!(opened, Opened::Nothing(_)));
}
