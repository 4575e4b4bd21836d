//! What training takes, and where its memory goes.

use crate::catalog::{Accelerator, ModelArch};

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every parameter.
    Full,
    /// Low-rank adapters on all projections outside of routed experts (arXiv 2106.09685).
    Lora {
        /// Their rank.
        rank: u32,
    },
}

/// What matrix products compute in; master weights and optimizer are 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingPrecision {
    /// 16 bits.
    Bf16,
    /// 8 bits inside of layers, 16 elsewhere.
    Fp8,
}

/// How parameters, gradients and optimizer state are spread over accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharding {
    /// Everywhere whole: plain data parallelism.
    None,
    /// Gradients and optimizer spread (ZeRO-2, FSDP `SHARD_GRAD_OP`).
    Gradients,
    /// All spread (ZeRO-3, FSDP `FULL_SHARD`).
    Full,
}

/// Which activations are computed again in the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpointing {
    /// None.
    None,
    /// All of each layer, from its input.
    Full,
}

impl TrainingPrecision {
    /// `bf16` or `fp8`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TrainingPrecision::Bf16 => "bf16",
            TrainingPrecision::Fp8 => "fp8",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        [TrainingPrecision::Bf16, TrainingPrecision::Fp8].into_iter().find(|p| p.as_str() == text)
    }
}

impl Sharding {
    /// All, with the least memory last.
    pub const ALL: [Sharding; 3] = [Sharding::None, Sharding::Gradients, Sharding::Full];

    /// `none`, `gradients` or `full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Sharding::None => "none",
            Sharding::Gradients => "gradients",
            Sharding::Full => "full",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        Sharding::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

impl Checkpointing {
    /// `none` or `full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Checkpointing::None => "none",
            Checkpointing::Full => "full",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Checkpointing::None, Checkpointing::Full].into_iter().find(|c| c.as_str() == text)
    }
}

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
