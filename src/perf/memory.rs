//! Does it fit: weights, engine overhead, KV cache.

use super::data::tables;
use super::precision::{self, Precision};
use super::rank::{Rank, check_layout};
use super::types::{Configuration, DoesNotFit, MemoryFit, RequestShape};
use crate::catalog::Accelerator;
use crate::spec::{EngineName, Quantization};

const GIB: f64 = 1_073_741_824.0;

/// Bytes of the device as the driver reports them.
///
/// The catalogue's reported figure; else the performance tables' nominal figure less 1 % (an H100
/// of 85.9e9 reports 85.03e9); else decimal gigabytes of the nominal figure, which is low for HBM and
/// right for GDDR with error correction on.
pub(crate) fn device_bytes(c: &Configuration<'_>) -> f64 {
    reported_bytes(c.accelerator) * c.fraction
}

/// Of the whole accelerator.
pub(super) fn reported_bytes(a: &Accelerator) -> f64 {
    let t = tables();
    let spec = a.perf_id.as_deref().and_then(|id| t.gpu(id)).and_then(|g| t.spec(g));
    let nominal = a.memory_gib * 1e9;
    a.memory_reported_bytes.unwrap_or_else(|| spec.map_or(nominal, |s| s.memory * 0.99))
}

/// What an engine takes besides weights and cache, bytes on one accelerator.
///
/// vLLM: fitted to 31 start-up reports on H100 (`vllm_memory_measured_calibration`): sampling buffers
/// of 3.74 fp32 logits for each sequence slot, 8192 tokens in flight through the chosen experts, and
/// 0.25 GiB outside of the framework (2.1 GiB with tensor parallelism). Before 0.17 activations were
/// 2.57 times as large. CUDA graphs lie outside of the share that vLLM divides, so they are no part
/// of it. Other engines: 4 GB, as the method was calibrated with.
pub(crate) fn overhead_bytes(c: &Configuration<'_>, rank: &Rank, precision: &Precision) -> f64 {
    match c.engine.name {
        EngineName::Trtllm => return 8.5e9,
        EngineName::Sglang => return 4e9,
        EngineName::Vllm | EngineName::Own => {}
    }
    let tokens = f64::from(c.engine.max_num_batched_tokens);
    let sampler = if rank.encoder { 0.0 } else { sampling_bytes(c) };
    // The kernels of gpt-oss keep no such buffers: both reports are its sampling buffers alone.
    let grouped = precision.quantization != Quantization::Mxfp4;
    let experts = c.arch.moe.as_ref().filter(|_| grouped).map_or(0.0, |m| {
        tokens * f64::from(m.per_token) * (2.0 * f64::from(m.intermediate) / rank.moe_tp + rank.hidden) * 2.0
    });
    let forward = tokens * (4.0 * rank.hidden + rank.ffn / rank.hidden.max(1.0)) * 2.0;
    let vintage = if c.engine.version < (0, 17) { 2.57 } else { 1.0 };
    let outside = if rank.tp > 1.0 || rank.dp > 1.0 { 2.1 } else { 0.25 };
    vintage * (sampler + experts).max(forward) + outside * GIB
}

/// Bytes left for the KV cache. vLLM and SGLang divide their share of the whole device; TensorRT-LLM
/// takes its share of what is free once the model is loaded (`free_gpu_memory_fraction`), which two
/// saturated rows of Llama-3.1-70B on one B200 fix to 8.5 GB besides the weights.
fn cache_bytes(c: &Configuration<'_>, device: f64, weights: f64, overhead: f64) -> f64 {
    let share = c.engine.gpu_memory_utilization.clamp(0.0, 1.0);
    match c.engine.name {
        EngineName::Trtllm => share * (device - weights - overhead),
        EngineName::Vllm | EngineName::Sglang | EngineName::Own => device * share - weights - overhead,
    }
}

/// Bytes that the engine may take of the device in all, given what it needs besides the cache.
fn usable_bytes(c: &Configuration<'_>, device: f64, besides: f64) -> f64 {
    let share = c.engine.gpu_memory_utilization.clamp(0.0, 1.0);
    match c.engine.name {
        EngineName::Trtllm => (besides + share * (device - besides)).min(device),
        EngineName::Vllm | EngineName::Sglang | EngineName::Own => device * share,
    }
}

/// The longest sequence the engine must hold.
fn longest(c: &Configuration<'_>) -> f64 {
    f64::from(c.engine.max_model_len)
}

/// As [`super::fit`], with what was worked out on the way.
pub(crate) fn fit(
    c: &Configuration<'_>,
    shape: &RequestShape,
) -> Result<(MemoryFit, Rank, Precision), DoesNotFit> {
    let precision = precision::resolve(c)?;
    check_layout(c)?;
    let needed = shape.input.max + shape.output.max;
    let context = f64::from(c.arch.max_context);
    if longest(c) > context {
        // Engines refuse to start with it.
        return Err(DoesNotFit::Context { needed: longest(c), available: context });
    }
    let limit = f64::from(c.arch.max_context).min(longest(c));
    if needed > limit {
        return Err(DoesNotFit::Context { needed, available: limit });
    }
    let (fit, rank, precision, refused) = divide(c, shape, precision);
    match refused.or_else(|| warm_up(c, &fit, &precision)) {
        Some(refused) => Err(refused),
        None => Ok((fit, rank, precision)),
    }
}

/// GiB of CUDA graphs that vLLM 0.19 reported for gpt-oss-20b.
const GRAPHS_GIB: f64 = 1.55;

/// Whether vLLM runs out of memory in the warm-up of its sampler though its share is enough.
///
/// Of mxfp4 experts the report of activations is the sampling buffers alone. At 0.95 of an H100 they did not fit beside the
/// CUDA graphs in what vLLM leaves free, and two of two starts of gpt-oss-20b failed in that warm-up; at 0.90, where nothing of the
/// kind was seen, they do on that card, and smaller ones start by the same default.
fn warm_up(c: &Configuration<'_>, fit: &MemoryFit, precision: &Precision) -> Option<DoesNotFit> {
    let seen = c.engine.name == EngineName::Vllm
        && c.engine.version >= (0, 17)
        && c.engine.gpu_memory_utilization > 0.9;
    if !seen || precision.quantization != Quantization::Mxfp4 {
        return None;
    }
    let free = fit.device * (1.0 - c.engine.gpu_memory_utilization);
    let needed = sampling_bytes(c) + GRAPHS_GIB * GIB;
    (needed > free).then(|| DoesNotFit::Memory {
        needed: fit.usable + needed,
        available: fit.device,
        reason: format!(
            "sampling buffers of {} sequences and CUDA graphs, {:.1} GiB, do not fit into the {:.1} GiB that {:.0} % utilization leaves: 90 % does, or \
             fewer sequences",
            c.engine.max_num_seqs,
            needed / GIB,
            free / GIB,
            c.engine.gpu_memory_utilization * 100.0
        ),
    })
}

/// Buffers of vLLM's sampler: 3.74 fp32 logits for each sequence slot, fitted.
fn sampling_bytes(c: &Configuration<'_>) -> f64 {
    3.74 * 4.0 * f64::from(c.arch.vocab) * f64::from(c.engine.max_num_seqs)
}

/// Where the memory goes, and the refusal if it is too little; as many sequences as there are slots then.
pub(crate) fn divide(
    c: &Configuration<'_>,
    shape: &RequestShape,
    precision: Precision,
) -> (MemoryFit, Rank, Precision, Option<DoesNotFit>) {
    let rank = Rank::of(c.arch, c.layout);
    let device = device_bytes(c);
    let weights = rank.weight_bytes(&precision);
    let overhead = overhead_bytes(c, &rank, &precision);
    let usable = usable_bytes(c, device, weights + overhead);
    let kv_cache = cache_bytes(c, device, weights, overhead);
    let one = rank.kv_bytes(&precision, longest(c));
    let fits = kv_cache > 0.0 && kv_cache >= one;
    let refused = (!fits).then(|| {
        DoesNotFit::Memory {
            needed: weights + overhead + one,
            available: usable,
            reason: format!(
                "weights {:.1} GiB + engine {:.1} GiB + one sequence of {} tokens {:.1} GiB on each {}, which has {:.1} GiB at {:.0} % utilization",
                weights / GIB,
                overhead / GIB,
                c.engine.max_model_len,
                one / GIB,
                c.accelerator.id,
                usable / GIB,
                c.engine.gpu_memory_utilization * 100.0
            ),
        }
    });
    // On average a running sequence has its prompt and half of its output in the cache.
    let held = (shape.input.mean + shape.output.mean / 2.0).max(1.0);
    let sequence = rank.kv_bytes(&precision, held);
    let by_memory = if fits && sequence > 0.0 { rank.dp * kv_cache / sequence } else { f64::INFINITY };
    let slots = f64::from(c.engine.max_num_seqs) * rank.dp;
    let max_sequences = by_memory.min(slots).clamp(1.0, 1e6) as u32;
    let kv_per_token = sequence / held;
    let fit = MemoryFit {
        device,
        usable,
        weights,
        overhead,
        kv_cache,
        kv_per_token,
        kv_tokens: if kv_per_token > 0.0 { rank.dp * kv_cache / kv_per_token } else { 0.0 },
        max_sequences,
    };
    (fit, rank, precision, refused)
}
