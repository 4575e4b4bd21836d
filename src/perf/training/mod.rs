//! Training: tokens a second, and memory.
//!
//! The time of a token on one accelerator is a sum of physical terms, each times a fitted constant
//! ([`terms`]): matrix products and attention over their peak rates, activations over the memory
//! bandwidth, weights over the link, and stragglers with the number of machines. The constants are fitted
//! on published runs (`data/training.tsv`): decoders of 125 million to 70 billion parameters in PyTorch
//! FSDP on A100 and H100; other accelerators, experts and LoRA are predicted from them, with the bands of
//! what was left out.
//!
//! Memory is counted from the mixed-precision scheme (ZeRO, arXiv 1910.02054, section 3) and from the
//! activations that a backward pass needs (arXiv 2205.05198, section 4, without dropout and with
//! attention that keeps no scores).

pub mod facts;
mod interruptions;
mod memory;
#[cfg(test)]
mod tests;
mod types;

use super::kernel::{Rates, family};
use super::types::{Band, DoesNotFit};
use crate::catalog::{Accelerator, Evidence, ModelArch};
use crate::math;
use facts::Constants;
pub use interruptions::{Duration, FAILURES_PER_ACCELERATOR_HOUR, Pace, lost_per_hour};
pub use memory::memory;
use memory::{NF4, frozen_bytes, packed};
pub use types::{Checkpointing, Framework, Method, Run, Sharding, TrainingMemory, TrainingPrecision};

const GIB: f64 = 1_073_741_824.0;

/// What stands behind a prediction of training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Dense decoders on Ampere of the data centre.
    Ampere,
    /// Dense decoders on Hopper, 16 bits.
    Hopper,
    /// Dense decoders on Hopper, 8 bits.
    HopperFp8,
    /// Other accelerators, by the constants of a left-out family.
    Other,
    /// Experts and LoRA.
    Variant,
}

impl Class {
    /// All, in the order of [`Constants::bands`].
    pub const ALL: [Class; 5] =
        [Class::Ampere, Class::Hopper, Class::HopperFp8, Class::Other, Class::Variant];

    /// Its name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Ampere => "ampere",
            Class::Hopper => "hopper",
            Class::HopperFp8 => "hopper-fp8",
            Class::Other => "other",
            Class::Variant => "variant",
        }
    }

    /// The class of a run.
    pub fn of(run: &Run<'_>) -> Self {
        let measured = measured_family(run.accelerator);
        match (run.arch.moe.is_some() || run.method != Method::Full, measured, run.precision) {
            (_, None, _) => Class::Other,
            _ if run.framework != Framework::PyTorch => Class::Other,
            (true, Some(_), _) => Class::Variant,
            (false, Some("ampere"), _) => Class::Ampere,
            (false, Some(_), TrainingPrecision::Bf16) => Class::Hopper,
            (false, Some(_), TrainingPrecision::Fp8) => Class::HopperFp8,
        }
    }
}

/// The family if runs on its data-centre cards with a fast link were measured.
fn measured_family(accelerator: &Accelerator) -> Option<&'static str> {
    let sxm = accelerator.id.contains("-sxm-");
    Some(family(accelerator)).filter(|f| sxm && matches!(*f, "ampere" | "hopper"))
}

/// Number of fitted terms.
pub const N: usize = 10;
/// Names of the fitted terms: for each family its matrix products, attention and activations, then what is
/// common to all.
pub const NAMES: [&str; N] = [
    "ampere:products",
    "ampere:attention",
    "ampere:activations",
    "hopper:products",
    "hopper:products-fp8",
    "hopper:attention",
    "hopper:activations",
    "scores",
    "weights",
    "machines",
];
/// What each term is, for explanations.
const WORDS: [&str; N] = [
    "matrix products",
    "attention",
    "activations read and written",
    "matrix products",
    "matrix products",
    "attention",
    "activations read and written",
    "scores over the vocabulary",
    "weights gathered and gradients scattered",
    "waiting for other machines",
];

/// Seconds of a token on one accelerator by cause, in the order of [`NAMES`], before the fitted constants.
pub type Terms = [f64; N];

/// A prediction of training.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// Tokens/s of one accelerator.
    pub tokens_per_s_per_accelerator: f64,
    /// Tokens/s of all.
    pub tokens_per_s: f64,
    /// Model flops (without what is computed again) over the peak of the precision.
    pub utilization: f64,
    /// Of `ln(measured / predicted)` throughput.
    pub band: Band,
    /// Calibrated or modelled.
    pub evidence: Evidence,
    /// What to read it with.
    pub notes: Vec<String>,
    /// Memory of one accelerator.
    pub memory: TrainingMemory,
    /// Share of the time by cause, largest first.
    pub shares: Vec<(&'static str, f64)>,
}

/// Parameters of the model by what training does with them.
struct Size {
    /// In matrix products of a token, without embeddings.
    active: f64,
    /// The output matrix.
    head: f64,
    /// That sharded training gathers: all but routed experts, which stay where they are.
    gathered: f64,
    /// One layer of those, on average.
    layer: f64,
    /// Embeddings.
    embeddings: f64,
    /// Trained.
    trained: f64,
}

impl Size {
    fn of(run: &Run<'_>) -> Self {
        let a = run.arch;
        let [h, vocab, layers] = [a.hidden, a.vocab, a.layers].map(f64::from);
        let head = vocab * h;
        let embeddings = if a.tied_embeddings { head } else { 2.0 * head };
        let routed = a
            .moe
            .map_or(0.0, |m| f64::from(a.moe_layers()) * f64::from(m.experts) * a.ffn_params(m.intermediate));
        let trained = trained(a, run.method);
        Size {
            active: (a.params_active - embeddings).max(0.0),
            head,
            gathered: a.params - routed,
            layer: (a.params - routed - embeddings).max(0.0) / layers.max(1.0),
            embeddings,
            trained,
        }
    }
}

/// Parameters that are trained.
fn trained(a: &ModelArch, method: Method) -> f64 {
    method.rank().map_or(a.params, |rank| f64::from(rank) * projections(a))
}

/// Inputs and outputs, summed over the projections outside of routed experts: parameters of an adapter of
/// rank 1.
fn projections(a: &ModelArch) -> f64 {
    let [h, heads, kv, d, layers] = [a.hidden, a.heads, a.kv_heads, a.head_dim, a.layers].map(f64::from);
    let attention = match a.mla {
        None => (h + heads * d) + 2.0 * (h + kv * d) + (heads * d + h),
        Some(m) => {
            let [c, q, r, n, v] =
                [m.kv_lora_rank, m.q_lora_rank, m.qk_rope_head_dim, m.qk_nope_head_dim, m.v_head_dim]
                    .map(f64::from);
            let query = if q > 0.0 { h + q + q + heads * (n + r) } else { h + heads * (n + r) };
            query + (h + c + r) + (c + heads * (n + v)) + (heads * v + h)
        }
    };
    let matrices = if a.gated { 3.0 } else { 2.0 };
    let shared = a.moe.map_or(0.0, |m| {
        f64::from(a.moe_layers()) * f64::from(m.shared) * matrices * (h + f64::from(m.intermediate))
    });
    let dense = layers - f64::from(a.moe_layers());
    layers * attention + dense * matrices * (h + f64::from(a.ffn)) + shared
}

/// The terms of a run, and its model flops a token over the peak.
///
/// # Errors
/// A rate of the accelerator, or the network between machines, is unknown.
pub fn terms(run: &Run<'_>) -> Result<(Terms, f64), DoesNotFit> {
    let unknown = |reason: String| DoesNotFit::Unknown { reason };
    let rates = Rates::of(run.accelerator, 1.0, false).map_err(unknown)?;
    let bf16 = run.accelerator.bf16.ok_or_else(|| DoesNotFit::Precision {
        reason: format!("{} does not compute in bf16, which training needs", run.accelerator.id),
    })?;
    let peak = match run.precision {
        TrainingPrecision::Bf16 => bf16,
        TrainingPrecision::Fp8 => run.accelerator.fp8.ok_or_else(|| DoesNotFit::Precision {
            reason: format!("{} does not compute in fp8", run.accelerator.id),
        })?,
    };
    let a = run.arch;
    let size = Size::of(run);
    let again = run.checkpointing == Checkpointing::Full;
    let full = run.method == Method::Full;
    let [h, layers, heads] = [a.hidden, a.layers, a.heads].map(f64::from);
    let s = f64::from(run.sequence);
    let tokens = f64::from(run.micro_batch.max(1)) * s;
    // Forward 2, gradient of the inputs 2, of the weights 2, computed again 2.
    let passes = 4.0 + if full { 2.0 } else { 0.0 };
    let products = (passes + if again { 2.0 } else { 0.0 }) * size.active / peak + passes * size.head / bf16;
    // Forward over half of the square (causal), backward 2.5 times that (it computes the scores again).
    let head = match a.mla {
        None => 2.0 * f64::from(a.head_dim),
        Some(m) => f64::from(m.qk_rope_head_dim + m.qk_nope_head_dim + m.v_head_dim),
    };
    let (window, windowed) = a.sliding.map_or((s, 0.0), |(w, n)| (f64::from(w), f64::from(n)));
    let span = (layers - windowed) * s + windowed * s.min(2.0 * window);
    let attention = (3.5 + if again { 1.0 } else { 0.0 }) * heads * head * span / bf16;
    // A base in 4 bits is unpacked for every pass of a micro-batch: read, and written in 16 bits.
    let times = if packed(run) { if again { 3.0 } else { 2.0 } } else { 0.0 };
    let unpacked = times * (NF4 + 2.0) * (a.params - size.embeddings) / tokens;
    let kept = if again { 4.0 / 3.0 } else { 1.0 } * 100.0 * layers * h;
    let activations = (kept + unpacked) / rates.bandwidth;
    let n = run.accelerators.max(1);
    let node = run.accelerators_per_node.max(1);
    let machines = (f64::from(n) / f64::from(node)).max(1.0);
    // Bytes a micro-batch: weights gathered for each pass in 16 bits, gradients scattered once.
    let moves = match (run.sharding, full) {
        _ if n == 1 => 0.0,
        (Sharding::Full, true) => 6.0,
        (Sharding::Full, false) => 2.0 * frozen_bytes(run.method),
        (_, true) => 4.0,
        (_, false) => 0.0,
    } * size.gathered
        / tokens;
    let network = if n > node {
        run.network.map(|each| 1.0 / (each * f64::from(node))).ok_or_else(|| DoesNotFit::Unknown {
            reason: format!(
                "{n} accelerators span machines of {node}, and the network between them is not stated"
            ),
        })?
    } else {
        0.0
    };
    let weights = moves * (1.0 / rates.link + network);
    let scores = 10.0 * f64::from(a.vocab) / rates.bandwidth;
    let waiting = (products + attention) * math::log2(machines);
    let hopper = measured_family(run.accelerator) != Some("ampere");
    let fp8 = run.precision == TrainingPrecision::Fp8;
    let on = |yes: bool, x: f64| if yes { x } else { 0.0 };
    let useful = passes * (size.active + size.head) + 3.0 * heads * head * span * 2.0;
    Ok((
        [
            on(!hopper, products),
            on(!hopper, attention),
            on(!hopper, activations),
            on(hopper && !fp8, products),
            on(hopper && fp8, products),
            on(hopper, attention),
            on(hopper, activations),
            scores,
            weights,
            waiting,
        ],
        useful / peak,
    ))
}

/// What is asked for makes no run.
fn refuse(run: &Run<'_>) -> Result<(), DoesNotFit> {
    let a = run.arch;
    if !matches!(run.accelerator.vendor.as_str(), "nvidia" | "amd") {
        let reason = format!(
            "{} ({}): only NVIDIA and AMD accelerators are predicted",
            run.accelerator.id, run.accelerator.vendor
        );
        return Err(DoesNotFit::Engine { reason });
    }
    if !a.is_generative() {
        let reason = format!("{}: only decoders are predicted in training", a.id);
        return Err(DoesNotFit::Engine { reason });
    }
    if a.linear_layers > 0 {
        let reason = format!("{}: training of linear attention was never measured", a.id);
        return Err(DoesNotFit::Engine { reason });
    }
    if run.sequence > a.max_context {
        return Err(DoesNotFit::Context {
            needed: f64::from(run.sequence),
            available: f64::from(a.max_context),
        });
    }
    let zero = [
        ("accelerators", run.accelerators),
        ("accelerators of a machine", run.accelerators_per_node),
        ("tokens of a sequence", run.sequence),
        ("sequences of a micro-batch", run.micro_batch),
    ];
    if let Some((what, _)) = zero.iter().find(|z| z.1 == 0) {
        return Err(DoesNotFit::Layout { reason: format!("0 {what}") });
    }
    if run.accelerators > run.accelerators_per_node
        && !run.accelerators.is_multiple_of(run.accelerators_per_node)
    {
        let reason = format!(
            "{} accelerators do not fill machines of {}",
            run.accelerators, run.accelerators_per_node
        );
        return Err(DoesNotFit::Layout { reason });
    }
    if run.network.is_some_and(|n| n.is_nan() || n <= 0.0) {
        let reason = "the network between machines must be faster than nothing".into();
        return Err(DoesNotFit::Layout { reason });
    }
    if packed(run) && a.moe.is_some() {
        let reason = format!("{}: a base with experts is not predicted in 4 bits", a.id);
        return Err(DoesNotFit::Engine { reason });
    }
    if packed(run) && run.precision == TrainingPrecision::Fp8 {
        let reason = "a base in 4 bits is computed in 16".into();
        return Err(DoesNotFit::Precision { reason });
    }
    if let Some(rank) = run.method.rank()
        && (rank == 0 || rank > a.hidden)
    {
        let reason = format!("adapters of rank {rank}: from 1 to the hidden size, {}", a.hidden);
        return Err(DoesNotFit::Layout { reason });
    }
    Ok(())
}

/// Seconds of a token on one accelerator, before the factor of experts and LoRA.
fn seconds(terms: &Terms, constants: &Constants) -> f64 {
    terms.iter().zip(constants.values).map(|(t, c)| t * c).sum()
}

/// Predicts a training run.
///
/// # Errors
/// What does not run, or which figure is unknown.
pub fn predict(run: &Run<'_>) -> Result<Training, DoesNotFit> {
    predict_with(run, facts::constants())
}

/// [`predict`] with these constants.
///
/// # Errors
/// As [`predict`].
pub fn predict_with(run: &Run<'_>, constants: &Constants) -> Result<Training, DoesNotFit> {
    refuse(run)?;
    let memory = memory(run);
    let (terms, useful) = terms(run)?;
    if memory.needed() > memory.device {
        return Err(DoesNotFit::Memory {
            needed: memory.needed(),
            available: memory.device,
            reason: format!(
                "weights, gradients and optimizer {:.1} GiB + gathered layers {:.1} GiB + activations {:.1} GiB + scores {:.1} GiB + runtime {:.1} GiB on each {}",
                (memory.weights + memory.gradients + memory.optimizer) / GIB,
                memory.gathered / GIB,
                memory.activations / GIB,
                memory.logits / GIB,
                memory.runtime / GIB,
                run.accelerator.id
            ),
        });
    }
    let factor = variant(run, constants);
    let parts: Vec<f64> = terms.iter().zip(constants.values).map(|(t, c)| t * c).collect();
    let sum = seconds(&terms, constants);
    let each = 1.0 / (sum * factor);
    let class = Class::of(run);
    let at = Class::ALL.iter().position(|c| *c == class).unwrap_or(0);
    let evidence = match class {
        Class::Ampere | Class::Hopper | Class::HopperFp8 => Evidence::Calibrated,
        Class::Other | Class::Variant => Evidence::Modelled,
    };
    let mut shares: Vec<(&'static str, f64)> =
        parts.iter().zip(WORDS).filter(|p| *p.0 > 0.0).map(|(x, word)| (word, x / sum)).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(Training {
        tokens_per_s_per_accelerator: each,
        tokens_per_s: each * f64::from(run.accelerators),
        utilization: useful * each,
        band: constants.bands[at],
        evidence,
        notes: notes(run),
        memory,
        shares,
    })
}

/// What is open in a run: `None` is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Free {
    /// Sequences that an accelerator computes at a time.
    pub micro_batch: Option<u32>,
    /// How state is spread.
    pub sharding: Option<Sharding>,
    /// What is computed again.
    pub checkpointing: Option<Checkpointing>,
}

/// The fastest run of steps of `batch` sequences that fits: among the ways to spread state and to recompute that are open, with
/// micro-batches that divide an accelerator's part of a step. What `base` says of these is not looked at.
///
/// A larger micro-batch moves the same weights for more tokens, so that of one way the largest that fits is the fastest. Of equally
/// fast ways the one that spreads, then recomputes, less.
///
/// # Errors
/// `batch` cannot be split so; or what does not run, of the run with the least memory.
pub fn fastest<'a>(base: &Run<'a>, batch: u32, free: Free) -> Result<Run<'a>, DoesNotFit> {
    let each = batch.checked_div(base.accelerators).unwrap_or(0);
    if each == 0 || !batch.is_multiple_of(base.accelerators) {
        let reason =
            format!("steps of {batch} sequences cannot be split over {} accelerators", base.accelerators);
        return Err(DoesNotFit::Layout { reason });
    }
    let mut sizes: Vec<u32> = match free.micro_batch {
        Some(size) => vec![size],
        None => (1..=each.min(MOST_MICRO_BATCH)).collect(),
    };
    sizes.retain(|m| *m > 0 && each.is_multiple_of(*m));
    let Some(least) = sizes.first().copied() else {
        let size = free.micro_batch.unwrap_or_default();
        let reason = format!("{each} sequences of a step on each accelerator are no multiple of {size}");
        return Err(DoesNotFit::Layout { reason });
    };
    let shardings = free.sharding.map_or(Sharding::ALL.to_vec(), |s| vec![s]);
    let recomputed = free.checkpointing.map_or(Checkpointing::ALL.to_vec(), |c| vec![c]);
    let constants = facts::constants();
    let mut smallest = Run { micro_batch: least, ..*base };
    let mut best: Option<(f64, Run<'a>)> = None;
    for sharding in &shardings {
        for checkpointing in &recomputed {
            let of = |micro_batch| Run {
                micro_batch,
                sharding: *sharding,
                checkpointing: *checkpointing,
                ..*base
            };
            smallest = of(least);
            refuse(&smallest)?;
            let fits = |run: &Run<'_>| {
                let memory = memory(run);
                memory.needed() <= memory.device
            };
            let Some(run) = sizes.iter().rev().map(|m| of(*m)).find(|run| fits(run)) else { continue };
            let seconds = seconds(&terms(&run)?.0, constants);
            if best.as_ref().is_none_or(|(s, _)| seconds < *s) {
                best = Some((seconds, run));
            }
        }
    }
    match best {
        Some((_, run)) => Ok(run),
        None => predict_with(&smallest, constants).map(|_| smallest),
    }
}

/// Largest micro-batch that is chosen.
pub const MOST_MICRO_BATCH: u32 = 1024;

/// Bytes of a checkpoint: 32-bit weights and the two moments of what is trained (arXiv 1910.02054, section 3.1).
pub fn checkpoint_bytes(arch: &ModelArch, method: Method) -> f64 {
    12.0 * trained(arch, method)
}

/// How much longer than a dense model in full training a run takes.
pub(crate) fn variant(run: &Run<'_>, constants: &Constants) -> f64 {
    let experts = if run.arch.moe.is_some() { constants.experts } else { 1.0 };
    let lora = if run.method == Method::Full { 1.0 } else { constants.lora };
    experts * lora
}

fn notes(run: &Run<'_>) -> Vec<String> {
    let mut notes = vec!["fitted on MPT models in llm-foundry (PyTorch FSDP, 2023-2024)".to_owned()];
    if run.framework == Framework::TensorFlow {
        notes.push(
            "no training with TensorFlow was measured: as in PyTorch, in the error of a left-out family"
                .into(),
        );
    }
    if measured_family(run.accelerator).is_none() {
        notes.push(format!(
            "no training was measured on {}: the constants of H100, in the error of a left-out family",
            run.accelerator.id
        ));
    }
    if run.arch.moe.is_some() {
        notes.push("experts: one factor from six published runs on H100 (NeMo Automodel, 2025-10)".into());
        notes.push("routed experts are taken to stay on their accelerators".into());
    }
    if run.method != Method::Full {
        notes.push("LoRA: one factor from a single published run (70B on 8 H100, 2025-10); the interval is that of models with experts".into());
    }
    if packed(run) {
        notes.push("QLoRA: never measured; besides what LoRA does, the base is unpacked for every pass at the rate that activations reach".into());
    }
    if run.sequence > 65536 {
        notes.push("sequences of more than 65536 tokens were not measured: extrapolated".into());
    }
    if run.accelerators > 512 && run.arch.moe.is_none() {
        notes.push("more than 512 accelerators were not measured: extrapolated".into());
    }
    if run.arch.params > 75e9 && run.arch.moe.is_none() {
        notes.push("dense models of more than 70 billion parameters were not measured: extrapolated".into());
    }
    notes
}
