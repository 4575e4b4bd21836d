//! Training and fine-tuning of a model.

use std::collections::BTreeMap;

use super::{PlacementRules, PurchaseRules, Quantization, RegionRef, Schedule};
use crate::diagnostic::Pointer;

/// A training or fine-tuning run with a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Name in the spec; its address is `trainings.NAME`.
    pub name: String,
    /// Key into [`super::Spec::models`]: what is trained.
    pub model: String,
    /// `labels` of the deployment and the training's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `method`, with `rank`.
    pub method: Method,
    /// `framework`.
    pub framework: Framework,
    /// `precision`.
    pub precision: TrainingPrecision,
    /// Tokens of one pass over the dataset.
    pub dataset_tokens: f64,
    /// `epochs`: passes over the dataset.
    pub epochs: f64,
    /// Tokens of a sequence.
    pub sequence_tokens: u32,
    /// `batch_size`: sequences of an optimizer step. It decides what is learnt, so that it is never changed.
    pub batch_size: u32,
    /// `micro_batch`; `None` = the fastest that fits.
    pub micro_batch: Option<u32>,
    /// `strategy`; `None` = the fastest that fits.
    pub sharding: Option<Sharding>,
    /// `activation_checkpointing`; `None` = the faster that fits.
    pub checkpointing: Option<Checkpointing>,
    /// `checkpoint_every`, seconds of training; `None` = by the rate of interruptions.
    pub checkpoint_every_s: Option<f64>,
    /// `dataset`.
    pub dataset: Option<Dataset>,
    /// `command`: the training script and its arguments, for `torchrun`.
    pub command: Vec<String>,
    /// `schedule`: five cron fields, UTC; `None` = run once.
    pub schedule: Option<Schedule>,
    /// `deadline` of one run, seconds.
    pub deadline_s: f64,
    /// `placement`.
    pub placement: PlacementRules,
    /// `purchase`.
    pub purchase: PurchaseRules,
    /// `after`: workloads whose run must be complete before this one starts, each with its place.
    pub after: Vec<(String, Pointer)>,
    /// Where it was written.
    pub at: Pointer,
}

impl Training {
    /// Optimizer steps of a run: the last one is whole.
    pub fn steps(&self) -> f64 {
        let step = f64::from(self.batch_size.max(1)) * f64::from(self.sequence_tokens.max(1));
        (self.dataset_tokens * self.epochs / step).ceil().max(1.0)
    }

    /// Tokens of a run: those of whole steps.
    pub fn tokens(&self) -> f64 {
        self.steps() * f64::from(self.batch_size.max(1)) * f64::from(self.sequence_tokens.max(1))
    }
}

/// What is read while training.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// `at`: the region that it is copied from.
    pub from: RegionRef,
    /// `size`, GiB.
    pub gib: f64,
    /// Where it was written.
    pub at: Pointer,
}

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
    /// The same on a base whose linear layers are held in 4 bits (NF4 with double quantization, arXiv 2305.14314).
    QLora {
        /// Their rank.
        rank: u32,
    },
}

/// What trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framework {
    /// One process for each accelerator, started by `torchrun`.
    #[default]
    PyTorch,
    /// One process for each machine (`MultiWorkerMirroredStrategy`); every accelerator has the whole state.
    TensorFlow,
}

impl Framework {
    /// `pytorch` or `tensorflow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Framework::PyTorch => "pytorch",
            Framework::TensorFlow => "tensorflow",
        }
    }

    /// What spreading state so is called in it.
    pub const fn strategy(self, sharding: Sharding) -> &'static str {
        match self {
            Framework::PyTorch => sharding.strategy(),
            Framework::TensorFlow => "multi-worker",
        }
    }
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

impl Method {
    /// `full`, `lora` or `qlora`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Full => "full",
            Method::Lora { .. } => "lora",
            Method::QLora { .. } => "qlora",
        }
    }

    /// By its name, with the rank of the adapters.
    pub fn parse(text: &str, rank: u32) -> Option<Self> {
        [Method::Full, Method::Lora { rank }, Method::QLora { rank }].into_iter().find(|m| m.as_str() == text)
    }

    /// How the parameters that it starts from are held while it trains.
    pub const fn stored(self) -> Quantization {
        match self {
            Method::Full | Method::Lora { .. } => Quantization::Bf16,
            Method::QLora { .. } => Quantization::Int4,
        }
    }

    /// The rank of its adapters.
    pub const fn rank(self) -> Option<u32> {
        match self {
            Method::Full => None,
            Method::Lora { rank } | Method::QLora { rank } => Some(rank),
        }
    }
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

    /// What it is called in a spec: `ddp`, `zero2` or `fsdp`.
    pub const fn strategy(self) -> &'static str {
        match self {
            Sharding::None => "ddp",
            Sharding::Gradients => "zero2",
            Sharding::Full => "fsdp",
        }
    }

    /// By what it is called in a spec.
    pub fn of_strategy(text: &str) -> Option<Self> {
        Sharding::ALL.into_iter().find(|s| s.strategy() == text)
    }

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
    /// All, with the least memory last.
    pub const ALL: [Checkpointing; 2] = [Checkpointing::None, Checkpointing::Full];

    /// `none` or `full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Checkpointing::None => "none",
            Checkpointing::Full => "full",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        Checkpointing::ALL.into_iter().find(|c| c.as_str() == text)
    }
}
