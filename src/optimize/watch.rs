//! How far a search goes, and who looks on and may end it. A clock or a signal is the caller's: a search only asks.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rhumb_api::Money;

use crate::placement::{Stop, Unfinished};

/// Asked again and again, from several threads, whether to end.
pub type Question<'a> = &'a (dyn Fn(&Standing) -> Option<Stop> + Sync);

/// How much is searched, and who is asked whether to end before that.
///
/// Equal effort gives the equal placement on any machine. A stop gives a valid one that depends on when it came.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Nodes of the branch and bound over all workloads together; what is then left between cost and bound is told. When a limit
    /// turns out to be broken or a replay contradicts a choice, there are more of them for the next; where machines are shared, what
    /// is chosen anew in parts (each time a part for each twenty nodes of the effort, 40 at most, of up to 80 nodes) comes on top.
    pub nodes: NonZeroU64,
    /// Between two steps of the search; the first answer that ends it stays. `None` = nobody ends it.
    pub ask: Option<Question<'a>>,
}

impl Watch<'_> {
    /// Nodes unless stated.
    pub const NODES: NonZeroU64 = NonZeroU64::new(2_000).unwrap();
}

impl Default for Watch<'_> {
    fn default() -> Self {
        Watch { nodes: Watch::NODES, ask: None }
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it does.
    pub step: Step,
    /// Dollars a month of the cheapest placement of all workloads that is known and was replayed.
    pub found: Option<Money>,
    /// No placement costs less, dollars a month.
    pub bound: Option<Money>,
}

/// A step of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Workloads are placed by themselves.
    Apart {
        /// So many are.
        done: u64,
        /// Of so many.
        all: u64,
    },
    /// What is shared is priced.
    Prices {
        /// From 0.
        round: u32,
    },
    /// Plans are listed.
    Plans,
    /// Choices among the plans are looked at.
    Choices {
        /// Nodes so far.
        nodes: u64,
    },
    /// Nothing will do: which limits contradict each other, and what would.
    Refusal,
    /// The placement is known; those of the seasons to come are looked for.
    Seasons {
        /// So many are known.
        done: u32,
        /// Of so many.
        all: u32,
    },
}

/// Asked between two steps, from several threads; once it was yes it stays so.
pub(super) type Ends<'a> = &'a (dyn Fn() -> bool + Sync);

/// A [`Watch`] during one search.
pub(super) struct Asking<'w> {
    pub watch: Watch<'w>,
    stop: OnceLock<Stop>,
    apart: AtomicU64,
    all: u64,
    refusing: AtomicBool,
}

impl<'w> Asking<'w> {
    /// Of a search for `all` workloads.
    pub fn new(watch: Watch<'w>, all: usize) -> Self {
        Asking {
            watch,
            stop: OnceLock::new(),
            apart: AtomicU64::new(0),
            all: all as u64,
            refusing: AtomicBool::new(false),
        }
    }

    /// Asks; once the answer was to end, it stays so.
    pub fn stops(&self, standing: Standing) -> bool {
        let refusal = Standing { step: Step::Refusal, found: None, bound: None };
        let standing = if self.refusing.load(Ordering::Relaxed) { refusal } else { standing };
        if self.stop.get().is_none()
            && let Some(stop) = self.watch.ask.and_then(|ask| ask(&standing))
        {
            let _ = self.stop.set(stop);
        }
        self.stopped().is_some()
    }

    /// Asks before the next workload is looked at by itself.
    pub fn stops_apart(&self) -> bool {
        let done = self.apart.load(Ordering::Relaxed);
        self.stops(Standing { step: Step::Apart { done, all: self.all }, found: None, bound: None })
    }

    /// One more workload was placed by itself.
    pub fn placed_apart(&self) {
        self.apart.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on other limits than those of the spec are tried: what that finds is no placement of it.
    pub fn refuses(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Who ended the search.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.get().copied()
    }

    /// That it ended with nothing to show; `None` if it was not ended.
    pub fn unfinished(&self) -> Option<Unfinished> {
        let apart = self.apart.load(Ordering::Relaxed);
        self.stopped().map(|by| Unfinished { by, apart, all: self.all })
    }
}
