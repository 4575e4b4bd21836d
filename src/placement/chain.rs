//! Chains: what the services of one may take, and what they promise together.

use super::{Metric, Placement, WorkloadPlacement};

/// A chain with the limits of its services.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainSplit {
    /// Name in the spec.
    pub name: String,
    /// The quantile of its objective, a fraction.
    pub quantile: f64,
    /// Its limit, ms.
    pub limit_ms: f64,
    /// What passes between and beside the steps, ms.
    pub between_ms: f64,
    /// The quantile that each service keeps its limit at.
    pub part_quantile: f64,
    /// The services of each step.
    pub steps: Vec<Vec<ChainPart>>,
}

/// A service of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainPart {
    /// Its address.
    pub address: String,
    /// Its limit, ms.
    pub limit_ms: f64,
}

impl ChainSplit {
    /// What the chain takes at the planned confidence, ms, if its services are placed: of each step the slowest service from its worst
    /// origin.
    pub fn promised_ms(&self, placement: &Placement) -> Option<f64> {
        let of = |part: &ChainPart| self.promised_by(placement.workloads.get(&part.address)?);
        let steps = self.steps.iter().map(|step| {
            let all: Option<Vec<f64>> = step.iter().map(of).collect();
            all.map(|all| all.into_iter().fold(0.0, f64::max))
        });
        Some(steps.sum::<Option<f64>>()? + self.between_ms)
    }

    /// What one of its services takes at the planned confidence from its worst origin, ms.
    pub fn promised_by(&self, placed: &WorkloadPlacement) -> Option<f64> {
        let own = placed.objectives.iter().filter(|o| o.metric == Metric::E2e);
        let own = own.filter(|o| o.quantile == Some(self.part_quantile));
        own.map(|o| o.at_confidence_ms).reduce(f64::max)
    }
}
