//! What prediction takes and gives.

use crate::catalog::{Accelerator, Evidence, ModelArch};
use crate::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

/// Bytes of a GiB.
const GIB: f64 = 1_073_741_824.0;

/// How a replica is cut over accelerators. `tp * pp * dp` accelerators make one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layout {
    /// Tensor parallel size.
    pub tp: u32,
    /// Pipeline parallel size.
    pub pp: u32,
    /// Attention data parallel size.
    pub dp: u32,
    /// Expert parallel size (1 = experts are cut by tensor parallelism).
    pub ep: u32,
}

impl Layout {
    /// Accelerators of one replica.
    pub const fn accelerators(&self) -> u32 {
        self.tp.saturating_mul(self.pp).saturating_mul(self.dp)
    }
}

impl std::fmt::Display for Layout {
    /// The parts that are not 1: `tp4`, `tp8 pp2`, `dp8 ep8`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tp{}", self.tp)?;
        for (name, value) in [("pp", self.pp), ("dp", self.dp), ("ep", self.ep)] {
            if value > 1 {
                write!(f, " {name}{value}")?;
            }
        }
        Ok(())
    }
}

/// Engine settings that change memory or speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineSettings {
    /// Which engine.
    pub name: EngineName,
    /// Its version as (major, minor).
    pub version: (u32, u32),
    /// Most sequences decoded at once.
    pub max_num_seqs: u32,
    /// Most tokens in one step.
    pub max_num_batched_tokens: u32,
    /// Longest sequence, tokens.
    pub max_model_len: u32,
    /// Share of memory that the engine may use.
    pub gpu_memory_utilization: f64,
}

/// Everything that decides how fast one replica is. No price, no place.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'a> {
    /// The model.
    pub arch: &'a ModelArch,
    /// How its weights are stored.
    pub quantization: Quantization,
    /// How its KV cache is stored.
    pub kv_cache: KvCacheDtype,
    /// What it runs on.
    pub accelerator: &'a Accelerator,
    /// Share of one accelerator that the machine has (1 unless it is a partition).
    pub fraction: f64,
    /// How it is cut.
    pub layout: Layout,
    /// Accelerators of the machine that talk over the fast link.
    pub accelerators_per_node: u32,
    /// Network between machines, bytes/s per accelerator; needed if the replica spans machines.
    pub inter_node_bandwidth: Option<f64>,
    /// Engine settings.
    pub engine: EngineSettings,
}

/// The shape of the requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequestShape {
    /// Prompt tokens.
    pub input: Lengths,
    /// Generated tokens (0 for an encoder).
    pub output: Lengths,
    /// Share of prompt tokens found in the prefix cache.
    pub prefix_cached: f64,
}

/// Where the memory of one accelerator goes, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryFit {
    /// What the device has.
    pub device: f64,
    /// What the engine may use.
    pub usable: f64,
    /// Weights.
    pub weights: f64,
    /// Activations, graphs and the rest that is not cache.
    pub overhead: f64,
    /// Left for the KV cache.
    pub kv_cache: f64,
    /// KV bytes of one token on one accelerator.
    pub kv_per_token: f64,
    /// Tokens that the KV cache of the whole replica holds.
    pub kv_tokens: f64,
    /// Most sequences at once, by memory and `max_num_seqs`, for the whole replica.
    pub max_sequences: u32,
}

/// Why a configuration cannot run.
#[derive(Clone, Debug, PartialEq)]
pub enum DoesNotFit {
    /// Neither accelerator nor engine computes in this precision.
    Precision {
        /// The reason in words, naming the rule's source.
        reason: String,
    },
    /// The layout does not divide the model.
    Layout {
        /// The reason in words.
        reason: String,
    },
    /// Too little memory for weights and one longest sequence.
    Memory {
        /// Bytes needed on one accelerator.
        needed: f64,
        /// Bytes there are.
        available: f64,
        /// What takes them, in words.
        reason: String,
    },
    /// The engine does not run this model or accelerator.
    Engine {
        /// The reason in words.
        reason: String,
    },
    /// A figure that the prediction needs is unknown for this accelerator.
    Unknown {
        /// Which one.
        reason: String,
    },
    /// The longest request is longer than the model's context.
    Context {
        /// Tokens asked for.
        needed: f64,
        /// Tokens there are.
        available: f64,
    },
}

impl DoesNotFit {
    /// Stable name of the rule: `precision`, `layout`, `memory`, `engine`, `unknown`, `context`.
    pub const fn rule(&self) -> &'static str {
        match self {
            DoesNotFit::Precision { .. } => "precision",
            DoesNotFit::Layout { .. } => "layout",
            DoesNotFit::Memory { .. } => "memory",
            DoesNotFit::Engine { .. } => "engine",
            DoesNotFit::Unknown { .. } => "unknown",
            DoesNotFit::Context { .. } => "context",
        }
    }
}

impl std::fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DoesNotFit::Precision { reason }
            | DoesNotFit::Layout { reason }
            | DoesNotFit::Engine { reason }
            | DoesNotFit::Unknown { reason } => f.write_str(reason),
            DoesNotFit::Memory { needed, available, reason } => {
                write!(f, "needs {:.1} GiB, has {:.1} GiB: {reason}", needed / GIB, available / GIB)
            }
            DoesNotFit::Context { needed, available } => {
                write!(f, "{needed:.0} tokens are more than the context of {available:.0}")
            }
        }
    }
}

/// How good a prediction is: multipliers on its own figure.
///
/// For confidence `c`, the truth is at most `figure * upper(c)` with probability `c`: bands are
/// lognormal, so `upper(c) = exp(mu + sigma * z(c))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Mean of `ln(measured / predicted)`.
    pub mu: f64,
    /// Standard deviation of `ln(measured / predicted)`.
    pub sigma: f64,
    /// Groups of measured configurations behind it; 0 = none, the width is assumed.
    pub groups: u32,
}

/// Latency percentiles of a service at a given load, milliseconds, rounded to microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Time to first token at the engine.
    pub ttft: Percentiles,
    /// Time per output token.
    pub tpot: Percentiles,
    /// End to end.
    pub e2e: Percentiles,
    /// Share of the capacity that is used, in [0, 1).
    pub utilization: f64,
    /// Sequences in flight per replica.
    pub batch: f64,
}

/// A distribution, as shifted lognormal: `shift + exp(mu + sigma z)`, or, where there is one, as the shift and a wait.
/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// Mean.
    pub mean: f64,
    /// Smallest value.
    pub shift: f64,
    /// Mean of the logarithm above the shift.
    pub mu: f64,
    /// Standard deviation of the logarithm above the shift; 0 = a constant.
    pub sigma: f64,
    /// What is waited above the shift, in place of the lognormal.
    pub wait: Option<Wait>,
}

/// A wait that a share of all requests has: up to `whole_ms`, evenly, and for a share of them an exponential time more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait {
    /// Share of the requests that wait, in [0, 1].
    pub share: f64,
    /// The longest of the even part, ms.
    pub whole_ms: f64,
    /// Share of those that wait whose wait is longer still, in [0, 1].
    pub longer: f64,
    /// Mean of what they wait longer, ms.
    pub longer_ms: f64,
}

/// A named part of a prediction, for explanations.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What it is, for example `weights read per step`.
    pub name: &'static str,
    /// Milliseconds.
    pub ms: f64,
}

/// Engine time of a prompt: `per_token * n + per_pair * (t^2 - (t - n)^2)` seconds for the last `n` of its
/// `t` tokens, in steps that others share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PromptTime {
    /// Seconds for each token that is computed.
    pub per_token_s: f64,
    /// Seconds for each pair of tokens that attention looks at, counted twice.
    pub per_pair_s: f64,
    /// Seconds before a prompt reaches the engine.
    pub before_s: f64,
}

/// How fast one replica of a configuration is, under any load.
///
/// One step that decodes `b` sequences takes `alpha + beta * b` seconds; a request's prompt costs
/// `w` seconds of engine time (second moment `w2`).
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceCurve {
    /// Seconds of a step with an empty batch.
    pub alpha_s: f64,
    /// Seconds per decoded sequence in a step.
    pub beta_s: f64,
    /// Mean prefill time of a request, seconds.
    pub w_s: f64,
    /// Second moment of the prefill time, seconds squared.
    pub w2_s2: f64,
    /// Time of one request's prefill alone, from arrival to first token, seconds.
    pub ttft_floor_s: f64,
    /// What the prefill time is made of.
    pub prompt: PromptTime,
    /// Decode steps by the kernels, where the line of `alpha_s` and `beta_s` stands for them; encoders have none.
    pub steps: Option<StepTable>,
    /// Most sequences at once.
    pub max_batch: u32,
    /// The shape that the curve was made for.
    pub shape: RequestShape,
    /// Memory.
    pub memory: MemoryFit,
    /// Band of TTFT.
    pub ttft_band: Band,
    /// Band of TPOT and of throughput.
    pub tpot_band: Band,
    /// Calibrated or modelled.
    pub evidence: Evidence,
    /// Why it is not calibrated, extrapolated, or otherwise to be read with care.
    pub notes: Vec<String>,
    /// What a step and a prefill are made of.
    pub decode_terms: Vec<Term>,
    /// What a prefill is made of.
    pub prefill_terms: Vec<Term>,
    /// Whether somebody measured a launch of up to `max_batch` items, which takes `alpha_s` however many they are.
    pub launches: bool,
}

/// Seconds of a decode step, by the kernels, at some batch sizes and mean contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTable {
    /// Sequences, rising, from 1 to the most at once.
    pub batches: [f64; StepTable::BATCHES],
    /// Tokens that a sequence holds on average, rising.
    pub contexts: [f64; StepTable::CONTEXTS],
    /// Context, then batch, to seconds.
    pub seconds: [[f64; StepTable::BATCHES]; StepTable::CONTEXTS],
}

impl StepTable {
    /// How many batch sizes.
    pub const BATCHES: usize = 9;
    /// How many contexts.
    pub const CONTEXTS: usize = 3;

    /// Seconds of a step that decodes `batch` sequences of `context` tokens each: linear between the table's
    /// points and on beyond the last ones, and never below a microsecond.
    pub fn at(&self, batch: f64, context: f64) -> f64 {
        let (b, along) = between(&self.batches, batch);
        let (c, across) = between(&self.contexts, context);
        let row = |row: &[f64; Self::BATCHES]| row[b] + (row[b + 1] - row[b]) * along;
        let (low, high) = (row(&self.seconds[c]), row(&self.seconds[c + 1]));
        (low + (high - low) * across).max(1e-6)
    }

    /// Every time `factor` times as long.
    pub(crate) fn stretch(&mut self, factor: f64) {
        self.seconds.iter_mut().flatten().for_each(|s| *s *= factor);
    }
}

/// The interval of rising knots for `x`, by the index of its lower end, and how far in it.
fn between<const N: usize>(knots: &[f64; N], x: f64) -> (usize, f64) {
    let i = knots.partition_point(|k| *k <= x).clamp(1, N - 1) - 1;
    let width = knots[i + 1] - knots[i];
    (i, if width > 0.0 { (x - knots[i]) / width } else { 0.0 })
}

/// The steady state of a replica with a fixed number of requests in flight, per attention rank, by the
/// kernel curves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClosedLoop {
    /// Sequences decoded together.
    pub batch: f64,
    /// Requests in flight over those that memory and `max_num_seqs` let run, less 1.
    pub excess: f64,
    /// A decode step.
    pub step: super::Parts,
    /// A step that prefills as many prompts as share one.
    pub prefill: super::Parts,
    /// A prompt that is alone.
    pub alone: super::Parts,
    /// Prompts that share a step.
    pub together: f64,
    /// Mean output, tokens.
    pub output: f64,
    /// Attention ranks.
    pub ranks: f64,
    /// Layers of the model.
    pub layers: f64,
    /// Whether it has experts.
    pub experts: bool,
    /// Whether its attention is latent.
    pub mla: bool,
    /// Whether the benchmark drafts tokens. User traffic never does.
    pub drafted: bool,
    /// Steps that the benchmark's scheduler holds a prompt back by its published settings; 0 of user traffic.
    pub hold: f64,
}
