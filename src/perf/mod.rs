//! Does it fit, how fast is it: model architecture x accelerator -> service curve.
//!
//! [`fit`] answers the first, [`curve()`] the second: forward passes from fitted kernel curves
//! (`pass`, `kernel`), linearised over the batch (`curve`), then closed forms under traffic
//! (`service`). What may run where is the sourced table of `precision`; how far off it may be is
//! `bands`, and what users' own runs say beyond all that is `calibration`. All figures come from the tables in `data/`, with source and date on each row.

pub mod adapters;
mod bands;
mod calibration;
pub mod carbon;
mod closed_loop;
mod constants;
pub mod cpu;
mod curve;
mod data;
pub mod energy;
pub mod federated;
mod kernel;
mod layouts;
mod ledger;
pub mod measured;
mod memory;
mod pass;
pub mod points;
mod precision;
#[cfg(test)]
mod props;
mod rank;
mod service;
pub mod start_up;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod training;
mod types;

pub use bands::{MeasuredRange, vintage};
pub use calibration::{
    Against, CONTRADICTED, Calibration, Calibrator, Compared, Deployment, Disagreement, Figure, Load, Run,
    batch_within,
};
pub use closed_loop::Benchmark;
pub use constants::{ENGINES, EngineConstants, FORMATS, Harness};
pub use ledger::{Conditions, Key, Residual, VARIABLES, keys, variables};
pub use pass::Parts;
pub use types::*;

use crate::catalog::ModelArch;
use crate::spec::{EngineName, Quantization};

/// Whether a configuration runs, and where its memory goes.
///
/// # Errors
/// The first rule that it breaks.
pub fn fit(configuration: &Configuration<'_>, shape: &RequestShape) -> Result<MemoryFit, DoesNotFit> {
    memory::fit(configuration, shape).map(|found| found.0)
}

/// The service curve of one replica.
///
/// # Errors
/// The first rule that the configuration breaks.
pub fn curve(configuration: &Configuration<'_>, shape: &RequestShape) -> Result<ServiceCurve, DoesNotFit> {
    curve::curve(configuration, shape)
}

/// The engine version that is planned for when none is stated: the newest that the calibration
/// data covers.
pub const fn default_version(engine: EngineName) -> (u32, u32) {
    match engine {
        EngineName::Vllm => (0, 19),
        EngineName::Sglang => (0, 5),
        EngineName::Trtllm => (1, 3),
        EngineName::Own => (0, 0),
    }
}

/// A quantization with `native` resolved to the checkpoint's own.
pub const fn resolved(arch: &ModelArch, quantization: Quantization) -> Quantization {
    precision::resolve_native(arch, quantization)
}

/// The class that a model's errors are measured in, and the family of an accelerator.
pub fn error_class(configuration: &Configuration<'_>) -> (&'static str, &'static str) {
    (bands::class(configuration.arch), kernel::family(configuration.accelerator))
}

/// The steady state with `concurrency` requests in flight on one replica, by the kernel curves.
///
/// # Errors
/// The first rule that the configuration breaks.
pub fn closed_loop(
    configuration: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
) -> Result<ClosedLoop, DoesNotFit> {
    closed_loop::closed_loop(configuration, shape, concurrency).map(|found| found.0)
}

/// What a benchmark with `concurrency` clients would measure on one replica, with its band.
///
/// # Errors
/// The first rule that the configuration breaks.
pub fn benchmark(
    configuration: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    conditions: &Conditions<'_>,
) -> Result<Benchmark, DoesNotFit> {
    closed_loop::benchmark(configuration, shape, concurrency, conditions)
}

/// The layouts of a replica worth trying on machines with `accelerators` equal accelerators, at
/// most `machines` of them together, in a fixed order.
pub fn layouts(arch: &ModelArch, accelerators: u32, machines: u32) -> Vec<Layout> {
    layouts::layouts(arch, accelerators, machines)
}

/// Seconds from an order for a machine to the first token: all phases of [`start_up::start_up`].
pub fn start_up_s(weights_bytes: f64, network_gbps: Option<f64>) -> f64 {
    start_up::start_up(weights_bytes, network_gbps).iter().map(|phase| phase.seconds).sum()
}

impl Percentiles {
    /// The value at a quantile in (0, 1), or the mean, rounded to microseconds.
    pub fn at(&self, quantile: Option<f64>) -> f64 {
        let value = match (quantile, &self.wait) {
            (None, _) => self.mean,
            (Some(q), Some(wait)) => self.shift + wait.at(q),
            (Some(_), None) if self.sigma == 0.0 => self.mean,
            (Some(q), None) => {
                self.shift + crate::math::exp(self.mu + self.sigma * crate::math::known_normal_quantile(q))
            }
        };
        (value * 1e3).round() / 1e3
    }
}

impl Band {
    /// The factor that the truth stays below with probability `confidence` in (0, 1).
    pub fn factor(&self, confidence: f64) -> f64 {
        crate::math::exp(self.mu + self.sigma * crate::math::known_normal_quantile(confidence))
    }
}
