//! Where the memory of an accelerator that trains goes.

use super::types::{Checkpointing, Method, Run, Sharding, TrainingMemory};
use super::{GIB, Size};
use crate::catalog::{Accelerator, ModelArch};

/// What the driver, the framework and communication buffers take, bytes (assumed).
const RUNTIME: f64 = GIB;

/// Bytes of a parameter in 4 bits: values of a block of 64 share a constant of 8 bits, and 256 of those one of 32 (arXiv 2305.14314,
/// section 3: 8/64 + 32/(64 * 256) bits).
pub(super) const NF4: f64 = (4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0)) / 8.0;

/// Bytes of a frozen parameter of a linear layer at rest; embeddings and the output matrix stay in 16 bits.
pub(super) fn frozen_bytes(method: Method) -> f64 {
    if matches!(method, Method::QLora { .. }) { NF4 } else { 2.0 }
}

/// Whether what is frozen is held in 4 bits.
pub(super) fn packed(run: &Run<'_>) -> bool {
    matches!(run.method, Method::QLora { .. })
}

/// Bytes of activations that one token leaves in one layer for the backward pass: 16-bit inputs of the norms,
/// of all matrix products, of attention and of the feed-forward's nonlinearity.
fn activation_bytes(a: &ModelArch) -> f64 {
    let [h, heads, kv, d] = [a.hidden, a.heads, a.kv_heads, a.head_dim].map(f64::from);
    let attention = match a.mla {
        None => 2.0 * (heads * d + 2.0 * kv * d) + 2.0 * heads * d,
        Some(m) => {
            let [r, n, v] = [m.qk_rope_head_dim, m.qk_nope_head_dim, m.v_head_dim].map(f64::from);
            2.0 * heads * (2.0 * (n + r) + 2.0 * v)
        }
    };
    // Input of the nonlinearity and of the output product; with a gate the other factor as well.
    let kept = if a.gated { 6.0 } else { 4.0 };
    let feed_forward = match a.moe {
        None => kept * f64::from(a.ffn),
        Some(m) => {
            let experts = f64::from(m.per_token) * (kept * f64::from(m.intermediate) + 2.0 * h);
            experts + f64::from(m.shared) * kept * f64::from(m.intermediate)
        }
    };
    // Two norms and the inputs of the two blocks.
    8.0 * h + attention + feed_forward
}

/// Bytes of the device. Cards with 0.9 TB/s and more have stacked memory, whose nominal gigabytes are
/// binary, less 1 % that the driver keeps (an H100 of 80 reports 79.2); others decimal, error correction
/// takes the rest.
fn device_bytes(a: &Accelerator) -> f64 {
    let stacked = a.memory_bandwidth.is_some_and(|b| b >= 0.9e12);
    let nominal = if stacked { 0.99 * a.memory_gib * GIB } else { a.memory_gib * 1e9 };
    a.memory_reported_bytes.unwrap_or(nominal)
}

/// Where the memory of one accelerator goes. It is counted whether or not it fits.
pub fn memory(run: &Run<'_>) -> TrainingMemory {
    let size = Size::of(run);
    let a = run.arch;
    let n = f64::from(run.accelerators.max(1));
    let tokens = f64::from(run.micro_batch) * f64::from(run.sequence);
    let frozen = run.method != Method::Full;
    let packed = packed(run);
    let share = |whole: bool| if whole { 1.0 } else { 1.0 / n };
    // Trained parameters: 32-bit weights, 32-bit gradients, two 32-bit moments; frozen ones 16 bits.
    let at_rest = share(run.sharding != Sharding::Full);
    let spread = share(run.sharding == Sharding::None);
    let weights = match (frozen, run.sharding) {
        (true, _) => {
            let linear = frozen_bytes(run.method) * (a.params - size.embeddings);
            (linear + 2.0 * size.embeddings) * at_rest + 4.0 * size.trained * spread
        }
        // A 16-bit copy stays whole.
        (false, Sharding::Gradients) => 2.0 * a.params + 4.0 * a.params * spread,
        (false, _) => 4.0 * a.params * at_rest,
    };
    let gathered = match run.sharding {
        // This layer and the next one in 16 bits, the embeddings, and this layer's gradient.
        Sharding::Full if n > 1.0 => {
            let gradient = if frozen { 0.0 } else { 2.0 * size.layer };
            // Of a base in 4 bits two layers come packed, and one is unpacked.
            let layers = if packed { 2.0 + 2.0 * NF4 } else { 4.0 };
            layers * size.layer + 2.0 * size.embeddings + gradient
        }
        _ if packed => 2.0 * size.layer,
        _ => 0.0,
    };
    let layer = activation_bytes(a);
    let layers = f64::from(a.layers);
    let activations = match run.checkpointing {
        Checkpointing::None => layers * layer,
        Checkpointing::Full => layers * 2.0 * f64::from(a.hidden) + layer,
    };
    TrainingMemory {
        device: device_bytes(run.accelerator),
        weights,
        gradients: 4.0 * size.trained * spread,
        optimizer: 8.0 * size.trained * spread,
        gathered,
        activations: tokens * activations,
        logits: tokens * 6.0 * f64::from(a.vocab),
        runtime: RUNTIME,
    }
}
