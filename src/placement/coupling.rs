//! What workloads share, how it was divided, and a search that ended before that was known.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use crate::diagnostic::Pointer;

/// Workloads that were placed together, because their separate optima break a limit that they share.
///
/// For any multipliers `m >= 0` of the limits, no placement costs less than the sum over workloads of the least of
/// `cost + sum(m * use)`, less `sum(m * limit)` (Lagrange): that is what `least` and the multipliers prove. What lies between it
/// and [`Coupling::lower_bound`] was closed by listing every plan in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    /// The limits that the separate optima break, and those that the search then ran into.
    pub limits: Vec<SharedLimit>,
    /// What a milligram of CO2e counts for in what is minimised, micro-dollars times 2^24; 0 where that is the bill alone. All amounts
    /// here have it in them.
    pub carbon_price: i64,
    /// Dollars a month of all workloads.
    pub optimum: Money,
    /// No placement within the limits costs less; equal to the optimum when the proof is complete.
    pub lower_bound: Money,
    /// What the separate optima would cost together.
    pub apart: Money,
    /// Workload to the least of its cost a month with what it takes of limits paid at their multipliers.
    pub least: BTreeMap<String, Money>,
    /// Plans that were compared at last.
    pub plans: u64,
    /// Nodes of the trees.
    pub nodes: u64,
    /// Who ended the search before the proof was complete: another run may end with another placement.
    pub stopped: Option<Stop>,
}

/// Who ended a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time was over.
    TimeLimit,
    /// A person.
    ByHand,
}

impl Stop {
    /// `time-limit`, `by-hand`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stop::TimeLimit => "time-limit",
            Stop::ByHand => "by-hand",
        }
    }

    /// In words, after "stopped".
    pub const fn words(self) -> &'static str {
        match self {
            Stop::TimeLimit => "by the time limit",
            Stop::ByHand => "by hand",
        }
    }
}

/// A search that was ended before any placement was known. Whether there is one was not decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Who ended it.
    pub by: Stop,
    /// Workloads that were placed by themselves.
    pub apart: u64,
    /// All workloads.
    pub all: u64,
}

impl std::fmt::Display for Unfinished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Unfinished { by, apart, all } = self;
        let far = if apart < all {
            format!("{apart} of {all} workloads were placed by themselves")
        } else {
            "every workload was placed by itself, but no choice for all of them within what they share was known"
                .to_owned()
        };
        write!(f, "the search was stopped {} before any placement was found: {far}", by.words())
    }
}

impl std::error::Error for Unfinished {}

/// A limit that workloads share.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedLimit {
    /// `budget`, `quota` or `carbon`.
    pub constraint: &'static str,
    /// The workload of a budget of its own.
    pub workload: Option<String>,
    /// Name and value of the label whose workloads a budget limits.
    pub label: Option<(String, String)>,
    /// The cloud of a quota.
    pub cloud: Option<Cloud>,
    /// The region of a quota, or `global`.
    pub region: Option<String>,
    /// The cloud's code for a quota.
    pub code: Option<String>,
    /// Dollars a month, units of the quota, or kilograms of CO2e a month.
    pub limit: f64,
    /// What is taken of it.
    pub taken: f64,
    /// Micro-dollars a month for a millionth of a unit (or a micro-dollar of a budget), times 2^24.
    pub multiplier: i64,
    /// What a unit more (a dollar more of a budget) is worth at the margin, dollars a month; of whole machines it may be less.
    pub worth: Money,
    /// Where it was written.
    pub at: Option<Pointer>,
}
