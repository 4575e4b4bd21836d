//! Which precision an engine computes in on an accelerator, by the sourced table `data/support.tsv`.

use super::data::{Capabilities, Format, Mode, What, tables, version};
use super::types::{Configuration, DoesNotFit};
use crate::catalog::{Accelerator, ModelArch};
use crate::spec::{EngineName, KvCacheDtype, Quantization};

/// Which of the accelerator's rates a kernel is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peak {
    Sixteen,
    Fp8,
    Int8,
    Fp4,
}

/// The resolved precision of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Precision {
    /// The quantization with `Native` resolved.
    pub quantization: Quantization,
    /// Bytes of a weight of the feed-forward layers.
    pub weight_bytes: f64,
    /// Bytes of a weight of the attention layers.
    pub attention_bytes: f64,
    /// Bytes of a KV cache element.
    pub kv_bytes: f64,
    /// Kernels of the feed-forward, in order of preference.
    pub gemm: &'static [(Format, Peak)],
    /// Kernels of the attention projections.
    pub attention_gemm: &'static [(Format, Peak)],
    /// Kernels of the experts.
    pub moe: &'static [(Format, Peak)],
    /// Kernels of attention itself in prefill.
    pub prefill: &'static [(Format, Peak)],
    /// Kernels of attention itself in decode.
    pub decode: &'static [(Format, Peak)],
    /// Whether fp16 stands in for bf16.
    pub fp16: bool,
    /// What a reader should know.
    pub note: Option<&'static str>,
}

type Kernels = &'static [(Format, Peak)];
const BF16: Kernels = &[(Format::Bf16, Peak::Sixteen)];
const FP8: Kernels = &[(Format::Fp8, Peak::Fp8), (Format::Fp8Block, Peak::Fp8), (Format::Bf16, Peak::Fp8)];
const FP8_BLOCK: Kernels =
    &[(Format::Fp8Block, Peak::Fp8), (Format::Fp8, Peak::Fp8), (Format::Bf16, Peak::Fp8)];
const INT8: Kernels = &[(Format::Fp8, Peak::Int8), (Format::Bf16, Peak::Int8)];
const NVFP4: Kernels = &[(Format::Nvfp4, Peak::Fp4), (Format::Fp8, Peak::Fp8)];
const WEIGHTS8: Kernels = &[(Format::Int8Weights, Peak::Sixteen), (Format::Bf16, Peak::Sixteen)];
const WEIGHTS4: Kernels = &[(Format::Int4Weights, Peak::Sixteen), (Format::Bf16, Peak::Sixteen)];
const MXFP4: Kernels = &[
    (Format::Mxfp4A8, Peak::Fp8),
    (Format::Mxfp4A16, Peak::Sixteen),
    (Format::Nvfp4, Peak::Fp4),
    (Format::Bf16, Peak::Sixteen),
];
const MXFP4_WEIGHTS: Kernels =
    &[(Format::Mxfp4A16, Peak::Sixteen), (Format::Int4Weights, Peak::Sixteen), (Format::Bf16, Peak::Sixteen)];
const KV16: Kernels = &[(Format::Kv16, Peak::Sixteen)];
const KV8: Kernels =
    &[(Format::Kv8, Peak::Sixteen), (Format::Kv8Compute8, Peak::Fp8), (Format::Kv16, Peak::Sixteen)];
const KV8_COMPUTE8: Kernels =
    &[(Format::Kv8Compute8, Peak::Fp8), (Format::Kv8, Peak::Sixteen), (Format::Kv16, Peak::Sixteen)];

/// Bytes of a parameter, block scales included (int4: groups of 128 with 16-bit scale and 8-bit zero
/// point; mxfp4: 8-bit scale per 32; nvfp4: 8-bit scale per 16).
pub(crate) const fn bytes_per_parameter(q: Quantization) -> f64 {
    match q {
        Quantization::Native | Quantization::Bf16 => 2.0,
        Quantization::Fp8 | Quantization::Fp8Block | Quantization::Int8 => 1.0,
        Quantization::Int4 => 0.53,
        Quantization::Mxfp4 => 0.53,
        Quantization::Nvfp4 => 0.5625,
    }
}

impl Precision {
    /// What engines add to experts in mxfp4 to fill their tiles: gpt-oss took 13.47 and 64.38 GiB in
    /// vLLM, 12.78 and 60.5 without.
    pub fn expert_padding(&self) -> f64 {
        if self.quantization == Quantization::Mxfp4 { 1.065 } else { 1.0 }
    }
}

/// `Native` resolved to the checkpoint's own precision.
pub(crate) const fn resolve_native(arch: &ModelArch, q: Quantization) -> Quantization {
    match (q, arch.native) {
        (Quantization::Native, Quantization::Native) => Quantization::Bf16,
        (Quantization::Native, native) => native,
        (q, _) => q,
    }
}

/// The capability of an accelerator, read once.
struct Capability<'a> {
    nvidia: bool,
    name: &'a str,
    number: Option<(u32, u32)>,
}

impl Capability<'_> {
    fn within(&self, range: &Capabilities) -> bool {
        match range {
            Capabilities::Numbers(min, max) => {
                let inside = |cc| min.is_none_or(|m| cc >= m) && max.is_none_or(|m| cc <= m);
                self.nvidia && self.number.is_some_and(inside)
            }
            Capabilities::Name(name) => !self.nvidia && self.name == name,
        }
    }
}

/// How `engine` at `engine_version` treats `what` on an accelerator, with the rule's source.
fn rule(
    engine: EngineName,
    engine_version: (u32, u32),
    capability: &Capability<'_>,
    what: What,
) -> Option<(Mode, &'static str)> {
    tables()
        .support()
        .iter()
        .find(|r| {
            r.engine == engine
                && r.what == what
                && capability.within(&r.capabilities)
                && r.min_version.is_none_or(|m| engine_version >= m)
                && r.max_version.is_none_or(|m| engine_version <= m)
        })
        .map(|r| (r.mode, r.source.as_str()))
}

/// A source that speaks of `what` for this engine, for refusals.
fn source_of(engine: EngineName, what: What) -> &'static str {
    tables()
        .support()
        .iter()
        .find(|r| r.engine == engine && r.what == what)
        .map_or("none", |r| r.source.as_str())
}

fn capability(accelerator: &Accelerator) -> Result<Capability<'_>, DoesNotFit> {
    match (accelerator.vendor.as_str(), accelerator.compute_capability.as_deref()) {
        (vendor @ ("nvidia" | "amd"), Some(cc)) if !cc.is_empty() => {
            Ok(Capability { nvidia: vendor == "nvidia", name: cc, number: version(cc) })
        }
        ("nvidia" | "amd", _) => Err(DoesNotFit::Unknown {
            reason: format!("the compute capability of {} is unknown", accelerator.id),
        }),
        (vendor, _) => Err(DoesNotFit::Engine {
            reason: format!("{} ({vendor}): only NVIDIA and AMD accelerators are predicted", accelerator.id),
        }),
    }
}

/// Resolves the precision of a configuration.
///
/// # Errors
/// The engine does not run on the accelerator, or not in that precision.
pub(crate) fn resolve(c: &Configuration<'_>) -> Result<Precision, DoesNotFit> {
    let engine = c.engine.name;
    if engine == EngineName::Own {
        let reason = "the times of a team's own server are measured, not predicted".into();
        return Err(DoesNotFit::Engine { reason });
    }
    let capability = capability(c.accelerator)?;
    let cc = capability.name;
    let rule = |what| rule(engine, c.engine.version, &capability, what);
    let label = || format!("{} {}.{}", engine.as_str(), c.engine.version.0, c.engine.version.1);
    if rule(What::Run).is_none() {
        return Err(DoesNotFit::Engine {
            reason: format!(
                "{} does not run on {} (compute capability {cc}); source: {}",
                label(),
                c.accelerator.id,
                source_of(engine, What::Run)
            ),
        });
    }
    let q = resolve_native(c.arch, c.quantization);
    let name = q.as_str();
    let Some((mode, _)) = rule(What::Weights(q)) else {
        return Err(DoesNotFit::Precision {
            reason: format!(
                "{} has no {name} kernels for {} (compute capability {cc}); source: {}",
                label(),
                c.accelerator.id,
                source_of(engine, What::Weights(q))
            ),
        });
    };
    let sixteen = rule(What::Weights(Quantization::Bf16)).map(|r| r.0);
    let fp16 = sixteen == Some(Mode::Fp16);
    let weight_bytes = bytes_per_parameter(q);
    let four_bit = matches!(q, Quantization::Int4 | Quantization::Mxfp4 | Quantization::Nvfp4);
    // Published 4-bit checkpoints of mixture models leave attention alone; DeepSeek's NVFP4 keeps its fp8.
    let attention = match (c.arch.moe.is_some() && four_bit, c.arch.mla.is_some() && q == Quantization::Nvfp4)
    {
        (true, true) => Quantization::Fp8,
        (true, false) => Quantization::Bf16,
        (false, _) => q,
    };
    let kernels = |q: Quantization, mode: Mode| -> Kernels {
        match (q, mode) {
            (Quantization::Native | Quantization::Bf16, _) => BF16,
            (Quantization::Fp8, Mode::Native) => FP8,
            (Quantization::Fp8Block, Mode::Native) => FP8_BLOCK,
            (
                Quantization::Fp8 | Quantization::Fp8Block | Quantization::Int8,
                Mode::WeightOnly | Mode::Fp16,
            ) => WEIGHTS8,
            (Quantization::Int8, Mode::Native) => INT8,
            (Quantization::Int4, _) => WEIGHTS4,
            (Quantization::Nvfp4, Mode::Native) => NVFP4,
            (Quantization::Mxfp4, Mode::Native) => MXFP4,
            (Quantization::Nvfp4 | Quantization::Mxfp4, _) => MXFP4_WEIGHTS,
        }
    };
    let attention_mode =
        if attention == q { mode } else { rule(What::Weights(attention)).map_or(Mode::WeightOnly, |r| r.0) };
    let eight_bit_kv = match c.kv_cache {
        KvCacheDtype::Bf16 => false,
        KvCacheDtype::Fp8 => true,
        KvCacheDtype::Auto => {
            engine == EngineName::Trtllm
                && matches!(q, Quantization::Fp8 | Quantization::Fp8Block | Quantization::Nvfp4)
        }
    };
    if eight_bit_kv && rule(What::KvFp8).is_none() {
        return Err(DoesNotFit::Precision {
            reason: format!(
                "{} has no fp8 KV cache on {} (compute capability {cc}); source: {}",
                label(),
                c.accelerator.id,
                source_of(engine, What::KvFp8)
            ),
        });
    }
    let note = match mode {
        Mode::WeightOnly if q != Quantization::Int4 => {
            Some("weight-only here: weights are stored small and widened to 16 bits before each product")
        }
        Mode::Fp16 => Some("fp16 instead of bf16: the accelerator has no bf16"),
        _ => None,
    };
    Ok(Precision {
        quantization: q,
        weight_bytes,
        attention_bytes: bytes_per_parameter(attention),
        kv_bytes: if eight_bit_kv { 1.0 } else { 2.0 },
        gemm: kernels(q, mode),
        attention_gemm: kernels(attention, attention_mode),
        moe: kernels(q, mode),
        prefill: match (eight_bit_kv, engine) {
            (false, _) => KV16,
            (true, EngineName::Vllm) => KV8,
            (true, _) => KV8_COMPUTE8,
        },
        decode: if eight_bit_kv { KV8 } else { KV16 },
        fp16,
        note,
    })
}
