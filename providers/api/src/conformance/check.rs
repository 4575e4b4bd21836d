//! What a check is.

use std::fmt;

use super::arrange::Later;
use super::trial::Trial;

/// Why a check ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A law is broken.
    Failed(String),
    /// The double cannot bring about what it needs.
    NotArranged(String),
}

pub(super) type Done = Result<(), Stop>;

/// One law, asked of every kind of resource that it holds for.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, which stays: lists of what cannot be arranged hold it.
    pub name: &'static str,
    /// What it asks, in a sentence.
    pub asks: &'static str,
    pub(super) run: for<'t> fn(&'t Trial<'_>) -> Later<'t, Done>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("asks", &self.asks).finish_non_exhaustive()
    }
}

/// A check over an async function of a [`Trial`].
macro_rules! check {
    ($name:literal, $asks:literal, $run:expr) => {
        $crate::conformance::Check { name: $name, asks: $asks, run: |trial| Box::pin($run(trial)) }
    };
}

/// Ends a check unless something is so.
macro_rules! ensure {
    ($so:expr, $($why:tt)+) => {
        if !$so {
            return Err($crate::conformance::check::Stop::Failed(format!($($why)+)));
        }
    };
}

pub(super) use {check, ensure};
