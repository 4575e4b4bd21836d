//! Stores for tests: one in memory, and what goes wrong between one and whoever uses it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rhumb::state::remote::{Doing, Listed, Object, Objects, Only, Tag, Trouble, TroubleKind};

/// Conditions that a [`Shelf`] does not look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignores {
    /// It looks at all.
    #[default]
    Nothing,
    /// That nothing is there.
    Absent,
    /// That what is there is as it was.
    Unchanged,
    /// Every fifth of the puts under a condition: it says that they are done.
    Puts,
}

/// Objects in memory, with a clock of their own.
#[derive(Clone)]
pub struct Shelf(Arc<Mutex<Shelved>>);

struct Shelved {
    objects: BTreeMap<String, (Vec<u8>, u64, i64)>,
    generation: u64,
    began: Instant,
    clock: i64,
    ignores: Ignores,
}

impl Shelf {
    pub fn new() -> Self {
        Shelf::that(Ignores::Nothing)
    }

    pub fn that(ignores: Ignores) -> Self {
        let (objects, began, clock) = (BTreeMap::new(), Instant::now(), 1_700_000_000_000);
        Shelf(Arc::new(Mutex::new(Shelved { objects, generation: 0, began, clock, ignores })))
    }

    /// Lets time pass by its clock alone.
    pub fn pass(&self, time: Duration) {
        self.0.lock().unwrap().clock += time.as_millis() as i64;
    }

    /// Sets its clock back, or forth.
    pub fn shift(&self, ms: i64) {
        self.0.lock().unwrap().clock += ms;
    }

    /// What is in it.
    pub fn content(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().objects.iter().map(|(k, (bytes, ..))| (k.clone(), bytes.clone())).collect()
    }

    /// Changes an object behind everybody's back; `None` removes it.
    pub fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        let mut shelved = self.0.lock().unwrap();
        let mut object = shelved.objects.remove(key).unwrap_or_default();
        if change(&mut object.0).is_some() {
            shelved.objects.insert(key.to_owned(), object);
        }
    }
}

fn tag(generation: u64) -> Tag {
    Tag { e_tag: None, version: Some(generation.to_string()) }
}

impl Objects for Shelf {
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Object>> {
        let object = self.0.lock().unwrap().objects.get(key).cloned();
        let object = object.map(|(bytes, generation, at)| Object { bytes, tag: tag(generation), at });
        Box::pin(async move { Ok(object) })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> Doing<'a, Option<Tag>> {
        // When it is asked, rather than when it is made: a request that nobody waits for does nothing.
        Box::pin(async move {
            let mut shelved = self.0.lock().unwrap();
            let there = shelved.objects.get(key).map(|(_, generation, _)| tag(*generation));
            let holds = match (&only, shelved.ignores) {
                (Only::Absent, Ignores::Absent) | (Only::Unchanged(_), Ignores::Unchanged) => true,
                (Only::Absent, _) => there.is_none(),
                (Only::Unchanged(expected), _) => there.as_ref() == Some(expected),
                (Only::Always, _) => true,
            };
            if !holds {
                return Ok(None);
            }
            shelved.generation += 1;
            let (generation, now) = (shelved.generation, shelved.began.elapsed().as_millis() as i64);
            let at = shelved.clock + now;
            if shelved.ignores == Ignores::Puts && only != Only::Always && generation.is_multiple_of(5) {
                return Ok(Some(tag(generation)));
            }
            shelved.objects.insert(key.to_owned(), (bytes, generation, at));
            Ok(Some(tag(generation)))
        })
    }

    fn list<'a>(&'a self, under: &'a str) -> Doing<'a, Vec<Listed>> {
        let under = format!("{under}/");
        let shelved = self.0.lock().unwrap();
        let under = shelved.objects.iter().filter(|(key, _)| key.starts_with(&under));
        let of = |(key, (bytes, _, at)): (&String, &(Vec<u8>, u64, i64))| Listed {
            key: key.clone(),
            size: bytes.len() as u64,
            at: *at,
        };
        let listed = under.map(of).collect();
        Box::pin(async move { Ok(listed) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Doing<'a, ()> {
        self.0.lock().unwrap().objects.remove(key);
        Box::pin(async move { Ok(()) })
    }
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and said to have failed.
    Refused,
    /// It is not done, and said to be forbidden.
    Denied,
    /// It is done, and said to have failed.
    Lost,
    /// It is not done, and not answered.
    Hangs,
    /// It is done, and not answered.
    HangsLate,
    /// The process ends before it: this request and every later one fails.
    CrashBefore,
    /// The process ends after it.
    CrashAfter,
}

impl Fault {
    pub const ALL: [Fault; 7] = [
        Fault::Refused,
        Fault::Denied,
        Fault::Lost,
        Fault::Hangs,
        Fault::HangsLate,
        Fault::CrashBefore,
        Fault::CrashAfter,
    ];

    pub fn crashes(self) -> bool {
        matches!(self, Fault::CrashBefore | Fault::CrashAfter)
    }
}

/// What stands between a store and a process, seen from outside.
#[derive(Default)]
pub struct Between {
    /// Requests so far.
    pub requests: AtomicU64,
    /// The request that the fault is of, counted from 1.
    pub at: u64,
    /// Every so many requests there is one.
    pub every: u64,
    pub fault: Option<Fault>,
    pub fired: AtomicBool,
    pub dead: AtomicBool,
    /// Puts of entries without records are reported as done, and are not.
    pub swallows_fences: bool,
    /// Requests about keys with this in them wait for as long as it is there; those of puts have `put ` in front.
    pub stopped: Mutex<Option<String>>,
    /// Whether one waits.
    pub waits: AtomicBool,
}

impl Between {
    pub fn fault(at: u64, fault: Fault) -> Self {
        Between { at, fault: Some(fault), ..Between::default() }
    }

    pub fn stop(&self, keys: &str) {
        *self.stopped.lock().unwrap() = Some(keys.to_owned());
    }

    pub fn go_on(&self) {
        *self.stopped.lock().unwrap() = None;
    }

    pub fn waiting(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    async fn around<T>(&self, key: &str, request: Doing<'_, T>) -> Result<T, Trouble> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            let stopped = self.stopped.lock().unwrap().as_ref().is_some_and(|s| key.contains(s.as_str()));
            if !stopped {
                break;
            }
            self.waits.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let failed = |kind| Err(Trouble { reason: "it was to fail".to_owned(), kind });
        if self.dead.load(Ordering::SeqCst) {
            return failed(TroubleKind::Other);
        }
        let due = number == self.at || self.every > 0 && number.is_multiple_of(self.every);
        let Some(fault) = self.fault.filter(|_| due) else { return request.await };
        self.fired.store(true, Ordering::SeqCst);
        match fault {
            Fault::Refused => return failed(TroubleKind::Unreachable),
            Fault::Denied => return failed(TroubleKind::Denied),
            Fault::Lost => drop(request.await),
            Fault::Hangs => std::future::pending::<()>().await,
            Fault::HangsLate => {
                drop(request.await);
                std::future::pending::<()>().await;
            }
            Fault::CrashBefore => self.dead.store(true, Ordering::SeqCst),
            Fault::CrashAfter => {
                drop(request.await);
                self.dead.store(true, Ordering::SeqCst);
            }
        }
        failed(if fault.crashes() { TroubleKind::Other } else { TroubleKind::Unreachable })
    }
}

/// A store with something between.
pub struct Watched(pub Arc<dyn Objects>, pub Arc<Between>);

impl Objects for Watched {
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Object>> {
        // Asked when it is waited for.
        Box::pin(self.1.around(key, Box::pin(async move { self.0.get(key).await })))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> Doing<'a, Option<Tag>> {
        let fence = key.contains("log/") && bytes.iter().filter(|b| **b == b'\n').count() == 1;
        if self.1.swallows_fences && fence {
            return Box::pin(async move { Ok(Some(Tag::default())) });
        }
        Box::pin(async move {
            let put = Box::pin(async move { self.0.put(key, bytes, only).await });
            self.1.around(&format!("put {key}"), put).await
        })
    }

    fn list<'a>(&'a self, under: &'a str) -> Doing<'a, Vec<Listed>> {
        Box::pin(self.1.around(under, Box::pin(async move { self.0.list(under).await })))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(self.1.around(key, Box::pin(async move { self.0.delete(key).await })))
    }
}
