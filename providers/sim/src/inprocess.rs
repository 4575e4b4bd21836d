//! A provider without a network, on virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rhumb_api::{
    Answer, Answering, Call, Capability, Cloud, Guarantees, Preflight, Provider, Resource, preflight,
};

use crate::cloud::SimCloud;
use crate::kinds::{capabilities, check_resource};
use crate::log::CallNo;
use crate::world::World;

/// All clouds and the sites: what a simulation answers for.
pub(crate) const CLOUDS: [Cloud; 4] = [Cloud::Aws, Cloud::Azure, Cloud::Gcp, Cloud::Site];

/// A [`Provider`] over a [`SimCloud`] that lets virtual time go on whenever everybody waits.
///
/// Time goes on one happening at a time, and only by polling: what is polled first sends its call and lets all
/// others send theirs, what is polled again makes time go on. On an executor of one thread that polls in a fixed
/// order, all is the same each time. A call that is held by a rule waits until it is released or dropped, which is
/// how a test kills its caller.
#[derive(Clone, Debug)]
pub struct InProcess(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    cloud: SimCloud,
    answers: BTreeMap<CallNo, Answer>,
    /// When sleepers wake up, told apart by a number.
    sleepers: BTreeSet<(u64, u64)>,
    sleeps: u64,
    parked: Vec<Waker>,
}

impl Shared {
    /// Lets the next thing happen; whether anything does.
    fn step(&mut self) -> bool {
        let wakes = self.sleepers.first().map(|(at, _)| *at);
        let next = match (self.cloud.next_ms(), wakes) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => match a.or(b) {
                Some(at) => at,
                None => return false,
            },
        };
        let answers = self.cloud.advance(next.max(self.cloud.now_ms()));
        self.answers.extend(answers);
        for waker in self.parked.drain(..) {
            waker.wake();
        }
        true
    }

    /// Waits for somebody else if nothing happens by itself.
    fn wait(&mut self, cx: &Context<'_>, held: bool) {
        if !held && self.step() {
            cx.waker().wake_by_ref();
        } else {
            self.parked.push(cx.waker().clone());
        }
    }
}

impl InProcess {
    /// Over a new cloud.
    pub fn new(world: World) -> Self {
        InProcess(Arc::new(Mutex::new(Shared {
            cloud: SimCloud::new(world),
            answers: BTreeMap::new(),
            sleepers: BTreeSet::new(),
            sleeps: 0,
            parked: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic elsewhere is that test's failure; the cloud itself is whole between calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the cloud, changes it by hand, or releases calls.
    pub fn with<T>(&self, look: impl FnOnce(&mut SimCloud) -> T) -> T {
        let mut shared = self.lock();
        let seen = look(&mut shared.cloud);
        for waker in shared.parked.drain(..) {
            waker.wake();
        }
        seen
    }

    /// The virtual time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.lock().cloud.now_ms()
    }

    /// Lets time go on by so many milliseconds at once.
    pub fn advance_ms(&self, ms: u64) {
        let mut shared = self.lock();
        let until = shared.cloud.now_ms().saturating_add(ms);
        let answers = shared.cloud.advance(until);
        shared.answers.extend(answers);
        for waker in shared.parked.drain(..) {
            waker.wake();
        }
    }

    /// Waits for so many milliseconds of virtual time, together with whatever else waits.
    pub fn sleep(&self, ms: u64) -> Sleep {
        let mut shared = self.lock();
        shared.sleeps += 1;
        let until = (shared.cloud.now_ms().saturating_add(ms), shared.sleeps);
        shared.sleepers.insert(until);
        Sleep { sim: self.clone(), until, polled: false }
    }
}

impl Provider for InProcess {
    fn clouds(&self) -> &[Cloud] {
        &CLOUDS
    }

    fn simulated(&self) -> bool {
        true
    }

    fn guarantees(&self) -> Guarantees {
        self.lock().cloud.guarantees()
    }

    fn capabilities(&self) -> &[Capability] {
        capabilities()
    }

    fn can(&self, resource: &Resource) -> Result<(), String> {
        check_resource(resource, self.lock().cloud.world()).map_err(|error| error.message)
    }

    fn preflight<'a>(&'a self, asked: &'a Preflight) -> preflight::Answering<'a> {
        Box::pin(Asking { sim: self, asked, number: None })
    }

    fn call<'a>(&'a self, call: &'a Call) -> Answering<'a> {
        Box::pin(Calling { sim: self, call, number: None })
    }
}

/// A preflight in process.
struct Asking<'a> {
    sim: &'a InProcess,
    asked: &'a Preflight,
    number: Option<CallNo>,
}

impl Future for Asking<'_> {
    type Output = preflight::Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<preflight::Answer> {
        let sim = self.sim;
        let mut shared = sim.lock();
        let Some(number) = self.number else {
            let now = shared.cloud.now_ms();
            self.number = Some(shared.cloud.ask(now, self.asked.clone()));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        if let Some(answer) = shared.cloud.found(number) {
            self.number = None;
            return Poll::Ready(answer);
        }
        shared.wait(cx, false);
        Poll::Pending
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.sim.lock().cloud.abandon(number);
        }
    }
}

/// A call in process.
struct Calling<'a> {
    sim: &'a InProcess,
    call: &'a Call,
    number: Option<CallNo>,
}

impl Future for Calling<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let sim = self.sim;
        let mut shared = sim.lock();
        let Some(number) = self.number else {
            let now = shared.cloud.now_ms();
            self.number = Some(shared.cloud.submit(now, self.call.clone()));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        };
        if let Some(answer) = shared.answers.remove(&number) {
            self.number = None;
            shared.cloud.abandon(number);
            return Poll::Ready(answer);
        }
        let held = shared.cloud.held().iter().any(|held| held.number == number);
        shared.wait(cx, held);
        Poll::Pending
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut shared = self.sim.lock();
            shared.answers.remove(&number);
            shared.cloud.abandon(number);
        }
    }
}

/// A wait on virtual time.
#[derive(Debug)]
pub struct Sleep {
    sim: InProcess,
    until: (u64, u64),
    polled: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sim = self.sim.clone();
        let mut shared = sim.lock();
        if shared.cloud.now_ms() >= self.until.0 {
            shared.sleepers.remove(&self.until);
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut self.polled, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        shared.wait(cx, false);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.sim.lock().sleepers.remove(&self.until);
    }
}
