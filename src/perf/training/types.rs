//! A training run, and where its memory goes.

use crate::catalog::{Accelerator, ModelArch};
pub use crate::spec::{Checkpointing, Framework, Method, Sharding, TrainingPrecision};

/// A training run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The model.
    pub arch: &'a ModelArch,
    /// What it runs on.
    pub accelerator: &'a Accelerator,
    /// Accelerators, all data parallel.
    pub accelerators: u32,
    /// Accelerators of a machine, joined by its link.
    pub accelerators_per_node: u32,
    /// Network between machines, bytes/s for each accelerator.
    pub network: Option<f64>,
    /// What is trained.
    pub method: Method,
    /// What trains.
    pub framework: Framework,
    /// What it computes in.
    pub precision: TrainingPrecision,
    /// Tokens of a sequence.
    pub sequence: u32,
    /// Sequences that one accelerator computes at a time.
    pub micro_batch: u32,
    /// How state is spread.
    pub sharding: Sharding,
    /// What is computed again.
    pub checkpointing: Checkpointing,
}

/// Where the memory of one accelerator goes, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingMemory {
    /// What the device has.
    pub device: f64,
    /// Parameters at rest.
    pub weights: f64,
    /// Gradients.
    pub gradients: f64,
    /// Adam's moments, and the master copy where weights are 16 bits.
    pub optimizer: f64,
    /// Whole layers that sharded training gathers.
    pub gathered: f64,
    /// Activations of a micro-batch.
    pub activations: f64,
    /// Scores over the vocabulary, in 16 and in 32 bits.
    pub logits: f64,
    /// Driver, framework, communication (assumed).
    pub runtime: f64,
}

impl TrainingMemory {
    /// What is needed of the device.
    pub fn needed(&self) -> f64 {
        self.weights
            + self.gradients
            + self.optimizer
            + self.gathered
            + self.activations
            + self.logits
            + self.runtime
    }
}
