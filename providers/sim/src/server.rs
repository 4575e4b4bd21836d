//! The simulated cloud behind HTTP, for processes that are killed.
//!
//! Everything is under `/v1`, on a loopback address, in JSON, without TLS and without credentials. What is wrong with
//! a request is told as `{"error": "..."}` with a status of 4xx.
//!
//! What is asked of it is listed in [`ROUTES`].
//!
//! A caller that closes its connection goes away as with [`SimCloud::abandon`].

// The one place that looks at a clock.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};
use rhumb_api::{Answer, Call, Preflight, preflight};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cloud::{Held, SimCloud};
use crate::log::CallNo;
use crate::routes;
use crate::world::World;

/// The largest body that is taken, bytes.
const MOST_BYTES: usize = 4 << 20;

/// The same of what asks about all the changes of a plan.
const MOST_BYTES_OF_A_PLAN: usize = 64 << 20;

/// How virtual time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// With real time, so many times as fast.
    Real {
        /// Virtual milliseconds per real one; 0 counts as 1.
        speed: u32,
    },
    /// Only by `POST /v1/clock`.
    Manual,
}

/// Something that the server is asked.
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Below `/v1`.
    pub path: &'static str,
    /// What is sent; empty if nothing is.
    pub body: &'static str,
    /// What it does, and what is replied.
    pub what: &'static str,
    answer: fn() -> MethodRouter<Arc<Hall>>,
}

/// Everything that the server is asked.
pub const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/call",
        body: "a call of the seam between rhumb and its adapters",
        what: "sends it; {\"Ok\": reply} or {\"Err\": error}, when the cloud answers",
        answer: || post(routes::call),
    },
    Route {
        method: "POST",
        path: "/preflight",
        body: "{\"cloud\", \"lineage\", \"wanted\"}",
        what: "would changes be refused; {\"Ok\": [finding]} or {\"Err\": error}, when the cloud answers",
        answer: || post(routes::preflight).layer(DefaultBodyLimit::max(MOST_BYTES_OF_A_PLAN)),
    },
    Route {
        method: "GET",
        path: "/guarantees",
        body: "",
        what: "what the cloud promises: {\"deduplicates\", \"list_lag_ms\", \"call_lag_ms\", \"regions\", \"instance_types\"}",
        answer: || get(routes::guarantees),
    },
    Route {
        method: "GET",
        path: "/health",
        body: "",
        what: "it runs; the simulated time: {\"now_ms\"}",
        answer: || get(routes::now),
    },
    Route {
        method: "GET",
        path: "/inventory",
        body: "",
        what: "what there is in truth, whatever lists show; ?lineage=L of one deployment",
        answer: || get(routes::inventory),
    },
    Route {
        method: "GET",
        path: "/log",
        body: "",
        what: "every call and everything that happened, in order",
        answer: || get(routes::log),
    },
    Route {
        method: "GET",
        path: "/bill",
        body: "",
        what: "what machines have cost until now, in micro-dollars: {\"total\", \"by_address\", \"machine_ms\", \"unpriced_machine_ms\"}",
        answer: || get(routes::bill),
    },
    Route {
        method: "GET",
        path: "/world",
        body: "",
        what: "the world as it is configured",
        answer: || get(routes::world),
    },
    Route {
        method: "POST",
        path: "/world",
        body: "top-level keys of a world, which take the place of the present ones",
        what: "puts another world around what there is; the world",
        answer: || post(routes::set_world),
    },
    Route {
        method: "POST",
        path: "/reset",
        body: "a world, or nothing for the present one",
        what: "starts anew: nothing is left of what was made, and time starts at 0",
        answer: || post(routes::reset),
    },
    Route {
        method: "POST",
        path: "/set",
        body: "{\"handle\", \"name\", \"value\"}; a value of null removes it",
        what: "changes an attribute by hand; another count changes the machines too",
        answer: || post(routes::set),
    },
    Route {
        method: "POST",
        path: "/untag",
        body: "{\"handle\"}",
        what: "takes all tags off a thing by hand: it is nobody's then",
        answer: || post(routes::untag),
    },
    Route {
        method: "POST",
        path: "/vanish",
        body: "{\"handle\"}",
        what: "removes a thing by hand, whatever stands on it",
        answer: || post(routes::vanish),
    },
    Route {
        method: "POST",
        path: "/healthy",
        body: "{\"handle\", \"most\"}; null for all",
        what: "lets at most so many machines of a thing answer their health check",
        answer: || post(routes::healthy),
    },
    Route {
        method: "POST",
        path: "/plant",
        body: "a thing as the inventory shows it",
        what: "puts a thing there that was not ordered; without \"tags\", one that was made without rhumb",
        answer: || post(routes::plant),
    },
    Route {
        method: "GET",
        path: "/held",
        body: "",
        what: "waits until a rule holds calls; ?timeout_ms=T at most so long (30000): [{\"number\", \"when\", \"call\"}]",
        answer: || get(routes::held),
    },
    Route {
        method: "POST",
        path: "/release",
        body: "{\"number\"}",
        what: "lets a held call go on",
        answer: || post(routes::release),
    },
    Route {
        method: "POST",
        path: "/clock",
        body: "{\"advance_ms\"}",
        what: "moves a clock that is moved by hand, which that of `rhumb sim serve` is not; {\"now_ms\"}",
        answer: || post(routes::clock),
    },
];

/// Serves a new cloud until the future is dropped.
///
/// # Errors
/// The listener is not on a loopback address, or fails.
pub async fn serve(listener: TcpListener, world: World, clock: Clock) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the simulated cloud is for loopback only"));
    }
    axum::serve(listener, router(world, clock)).await
}

/// The routes of a new cloud, for a server of one's own.
pub fn router(world: World, clock: Clock) -> Router {
    let hall = Arc::new(Hall::new(world, clock));
    let to = |v1: Router<Arc<Hall>>, route: &Route| v1.route(route.path, (route.answer)());
    let v1 = ROUTES.iter().fold(Router::new(), to);
    Router::new()
        .nest("/v1", v1)
        .fallback(routes::unknown)
        .method_not_allowed_fallback(routes::not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(hall)
}

/// The cloud and who waits for it.
pub(crate) struct Hall {
    inside: Mutex<Inside>,
    /// Grows whenever something happened.
    changed: watch::Sender<u64>,
    clock: Clock,
}

struct Inside {
    cloud: SimCloud,
    answers: BTreeMap<CallNo, Answer>,
    /// Grows with every reset: numbers of calls before it mean nothing after it.
    epoch: u64,
    started: Instant,
    by_hand_ms: u64,
}

/// Why a call is not answered: the cloud was reset meanwhile.
pub(crate) struct WasReset;

impl Hall {
    fn new(world: World, clock: Clock) -> Self {
        Hall {
            inside: Mutex::new(Inside {
                cloud: SimCloud::new(world),
                answers: BTreeMap::new(),
                epoch: 0,
                started: Instant::now(),
                by_hand_ms: 0,
            }),
            changed: watch::Sender::new(0),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self, inside: &Inside) -> u64 {
        match self.clock {
            Clock::Manual => inside.by_hand_ms,
            Clock::Real { speed } => {
                let micros = inside.started.elapsed().as_micros().saturating_mul(u128::from(speed.max(1)));
                u64::try_from(micros / 1_000).unwrap_or(u64::MAX)
            }
        }
    }

    /// Lets virtual time catch up, and wakes up those who wait if anything happened.
    fn tick(&self, inside: &mut Inside) {
        let before = inside.cloud.log().len();
        let now = self.now_ms(inside);
        let answers = inside.cloud.advance(now);
        let answered = !answers.is_empty();
        inside.answers.extend(answers);
        if answered || inside.cloud.log().len() != before {
            self.notify();
        }
    }

    fn notify(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Looks at the cloud as it is now, or changes it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut SimCloud) -> T) -> T {
        let mut inside = self.lock();
        self.tick(&mut inside);
        let seen = look(&mut inside.cloud);
        drop(inside);
        self.notify();
        seen
    }

    /// Puts a new cloud in the place of the old one.
    pub(crate) fn reset(&self, world: Option<World>) {
        let mut inside = self.lock();
        let world = world.unwrap_or_else(|| inside.cloud.world().clone());
        inside.cloud = SimCloud::new(world);
        inside.answers.clear();
        inside.epoch += 1;
        inside.started = Instant::now();
        inside.by_hand_ms = 0;
        drop(inside);
        self.notify();
    }

    /// Moves a clock that is moved by hand; `None` for another one.
    pub(crate) fn advance(&self, ms: u64) -> Option<u64> {
        if self.clock != Clock::Manual {
            return None;
        }
        let mut inside = self.lock();
        inside.by_hand_ms = inside.by_hand_ms.saturating_add(ms);
        self.tick(&mut inside);
        Some(inside.by_hand_ms)
    }

    /// Sends a call and waits for its answer.
    pub(crate) async fn call(self: Arc<Self>, call: Call) -> Result<Answer, WasReset> {
        let send = |cloud: &mut SimCloud, now| cloud.submit(now, call);
        self.exchange(send, |inside, number| inside.answers.remove(&number)).await
    }

    /// Asks for a preflight and waits for its answer.
    pub(crate) async fn preflight(self: Arc<Self>, asked: Preflight) -> Result<preflight::Answer, WasReset> {
        let send = |cloud: &mut SimCloud, now| cloud.ask(now, asked);
        self.exchange(send, |inside, number| inside.cloud.found(number)).await
    }

    /// Sends something and waits until its answer can be taken.
    async fn exchange<T>(
        self: Arc<Self>,
        send: impl FnOnce(&mut SimCloud, u64) -> CallNo,
        take: impl Fn(&mut Inside, CallNo) -> Option<T>,
    ) -> Result<T, WasReset> {
        let mut changes = self.changed.subscribe();
        let mut caller = {
            let mut inside = self.lock();
            let now = self.now_ms(&inside);
            let number = send(&mut inside.cloud, now);
            Caller { hall: Arc::clone(&self), number: Some(number), epoch: inside.epoch }
        };
        loop {
            changes.mark_unchanged();
            let next = {
                let mut inside = self.lock();
                if inside.epoch != caller.epoch {
                    return Err(WasReset);
                }
                self.tick(&mut inside);
                if let Some(number) = caller.number
                    && let Some(answer) = take(&mut inside, number)
                {
                    caller.number = None;
                    inside.cloud.abandon(number);
                    return Ok(answer);
                }
                inside.cloud.next_ms().map(|next| next.saturating_sub(self.now_ms(&inside)))
            };
            self.wait(&mut changes, next).await;
        }
    }

    /// Waits until something happened or the next thing is due, so many virtual milliseconds from now.
    async fn wait(&self, changes: &mut watch::Receiver<u64>, next: Option<u64>) {
        match (self.clock, next) {
            (Clock::Real { speed }, Some(ms)) => {
                let micros = ms.saturating_mul(1_000) / u64::from(speed.max(1));
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(Duration::from_micros(micros)) => {}
                }
            }
            // The sender lives as long as the hall does.
            _ => drop(changes.changed().await),
        }
    }

    /// Waits until calls are held, and at most for this time.
    pub(crate) async fn held(&self, at_most: Duration) -> Vec<Held> {
        let until = tokio::time::Instant::now() + at_most;
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let (held, next) = {
                let mut inside = self.lock();
                self.tick(&mut inside);
                let next = inside.cloud.next_ms();
                (inside.cloud.held(), next.map(|next| next.saturating_sub(self.now_ms(&inside))))
            };
            if !held.is_empty() {
                return held;
            }
            if tokio::time::timeout_at(until, self.wait(&mut changes, next)).await.is_err() {
                return Vec::new();
            }
        }
    }
}

/// Somebody who waits for an answer; whoever drops it before there is one has gone away.
struct Caller {
    hall: Arc<Hall>,
    number: Option<CallNo>,
    epoch: u64,
}

impl Drop for Caller {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut inside = self.hall.lock();
        if inside.epoch == self.epoch {
            self.hall.tick(&mut inside);
            inside.answers.remove(&number);
            inside.cloud.abandon(number);
        }
        drop(inside);
        self.hall.notify();
    }
}
