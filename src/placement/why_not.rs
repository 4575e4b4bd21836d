//! Why an offer was not chosen.

use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};

use super::{Rejection, Relaxation};
use crate::perf::Layout;

/// What became of the candidates of some offers in one workload, were it alone.
#[derive(Clone, Debug, PartialEq)]
pub struct WhyNot {
    /// The workload.
    pub address: String,
    /// Its pools that use one of the offers.
    pub chosen: Vec<ResourceAddr>,
    /// What its costs are dollars of: `an hour`, `a run` or, of a stream, `a month`.
    pub each: &'static str,
    /// What else the workload has beside a machine of the offer.
    pub among: Among,
    /// Dollars of its optimum; `None` if nothing keeps its promises.
    pub optimum: Option<Money>,
    /// Every candidate: those that would do first, cheapest first; then by offer, variant and layout.
    pub candidates: Vec<Asked>,
    /// Changes of one constraint that would make the offers possible, or chosen; each was solved again.
    pub loosened: Vec<Loosened>,
    /// The whole deployment with the workload on nothing else; `None` if that was not asked, or its rules leave none of the offers.
    pub whole: Option<Whole>,
}

/// What a workload has beside a machine of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// Machines of the same kind, and what the optimum has elsewhere.
    Alike,
    /// A mix of types with at least one of it, all of it told.
    Mix,
    /// The other members of a federation, all of it told.
    Members,
}

/// A deployment in which one workload is on some offers alone, and everything that workloads share is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// Dollars a month of everything as it is planned; `None` if nothing keeps all promises.
    pub planned: Option<Money>,
    /// The same so.
    ///
    /// # Errors
    /// The workloads that cannot be placed then, each with the constraints that refuse it; in words.
    pub held: Result<Money, String>,
}

/// A candidate that was asked for, over all settings of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The cloud.
    pub cloud: Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// Purchase option.
    pub purchase: Purchase,
    /// Variant name; `None` where the offer is rejected whatever it runs.
    pub variant: Option<String>,
    /// How a replica is cut; `None` likewise.
    pub layout: Option<Layout>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A constraint rejects it.
    Rejected(Rejection),
    /// It would do, by the closed form: a replay may ask for more.
    Does {
        /// Machines that it needs.
        machines: u32,
        /// Dollars of the workload with it, in the cheapest of the places that it could take: an hour of a service, a run of a
        /// batch.
        cost: Money,
    },
}

/// A loosened constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct Loosened {
    /// The change, with what the workload then costs.
    pub change: Relaxation,
    /// Whether one of the offers is then chosen; otherwise it is only possible.
    pub chosen: bool,
}
