//! How a training runs.

use crate::perf::training::TrainingMemory;
use crate::spec::{Checkpointing, Framework, Sharding, TrainingPrecision};

/// How a training runs, and what interrupts it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRun {
    /// What trains.
    pub framework: Framework,
    /// Rank of the adapters that are trained; `None` = every parameter is.
    pub rank: Option<u32>,
    /// What matrix products compute in.
    pub precision: TrainingPrecision,
    /// Accelerators that train, all data parallel.
    pub accelerators: u32,
    /// How state is spread over them.
    pub sharding: Sharding,
    /// Which activations are computed again.
    pub checkpointing: Checkpointing,
    /// Tokens of a sequence.
    pub sequence_tokens: u32,
    /// Sequences that an accelerator computes at a time.
    pub micro_batch: u32,
    /// Micro-batches of an accelerator in a step.
    pub accumulation: u32,
    /// Optimizer steps of a run.
    pub steps: f64,
    /// Tokens a second as predicted, without the band.
    pub predicted_tokens_per_s: f64,
    /// Memory of one accelerator.
    pub memory: TrainingMemory,
    /// Seconds from an order for machines to the first step (assumed), and again after an interruption.
    pub start_up_s: f64,
    /// GiB of a checkpoint.
    pub checkpoint_gib: f64,
    /// Seconds to write one (assumed), or to read it.
    pub checkpoint_s: f64,
    /// Seconds of training between two.
    pub checkpoint_every_s: f64,
    /// Interruptions that are expected: lost spot machines and failures (assumed).
    pub interruptions: f64,
    /// Interruptions that are not exceeded at the planned confidence.
    pub most_interruptions: u32,
    /// Hours of a run with that many: held against the deadline.
    pub late_hours: f64,
}
