//! LoRA adapters on a shared base: memory, slowdown, arguments.
//!
//! vLLM allocates at start, for every slot and every projection, the two matrices of the largest rank
//! (`vllm/lora/layers/base_linear.py`, `create_lora_weights`): `A` whole over the inputs of a rank, `B` over
//! its part of the outputs, in 16 bits. SGLang's pool (`max_loras_per_batch`) has the same shapes. Adapters
//! then add two small products to each projection; nothing measured stands behind their time here.

use super::memory::device_bytes;
use super::types::{Configuration, DoesNotFit, MemoryFit, RequestShape, ServiceCurve, Term};
use crate::catalog::{Evidence, ModelArch};
use crate::math;
use crate::spec::{EngineName, LORA_RANKS, LoraAdapters, Model, Quantization};

/// Seconds of a launch under graphs (assumed), and launches of a projection: shrink and expand.
const LAUNCH_S: f64 = 3e-6;
const LAUNCHES: f64 = 2.0;
/// Share of bandwidth and of the 16-bit peak that such thin products reach (assumed).
const BANDWIDTH: f64 = 0.5;
const ARITHMETIC: f64 = 0.2;
/// Added to the width of the band in quadrature (assumed).
const WIDTH: f64 = 0.2;

/// Adapters that a replica holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapters {
    /// How many.
    pub count: u32,
    /// The largest rank among them.
    pub max_rank: u32,
}

impl Adapters {
    /// Those that every replica of a model holds.
    pub fn of(model: &Model) -> Option<Self> {
        let held = model.adapters.as_ref()?;
        Some(Adapters { count: held.sources.len() as u32, max_rank: held.max_rank })
    }
}

/// Inputs and outputs of a layer's projections on one tensor-parallel rank, summed: what a slot of rank 1 holds, and
/// how many kernels' worth of projections there are.
fn layer(a: &ModelArch, tp: f64) -> (f64, f64) {
    let [h, heads, kv, d, f] = [a.hidden, a.heads, a.kv_heads, a.head_dim, a.ffn].map(f64::from);
    let kv = (kv / tp).max(1.0);
    let qkv = 3.0 * h + heads * d / tp + 2.0 * kv * d;
    let out = heads * d / tp + h;
    let up = if a.gated { 2.0 } else { 1.0 };
    let ffn = up * (h + f / tp) + (f / tp + h);
    (qkv + out + ffn, 4.0)
}

/// Parameters of one slot of rank 1 on one rank: every projection, the embedding and the output matrix.
fn slot(a: &ModelArch, tp: f64) -> f64 {
    let ends = 2.0 * (f64::from(a.vocab) + f64::from(a.hidden));
    f64::from(a.layers) * layer(a, tp).0 + ends
}

/// The rank that the engine allocates for.
///
/// # Errors
/// A rank that the engine does not take.
pub fn allocated_rank(engine: EngineName, rank: u32) -> Result<u32, DoesNotFit> {
    let most = LORA_RANKS[LORA_RANKS.len() - 1];
    LoraAdapters::allocated(engine, rank)
        .ok_or_else(|| DoesNotFit::Engine { reason: format!("adapters of rank {rank}: from 1 to {most}") })
}

/// Bytes that the slots take on one accelerator.
///
/// # Errors
/// What engine, model or precision does not do with adapters.
pub fn bytes(c: &Configuration<'_>, adapters: Adapters) -> Result<f64, DoesNotFit> {
    let no = |reason: String| Err(DoesNotFit::Engine { reason });
    if adapters.count == 0 {
        return no("0 adapters".into());
    }
    if c.engine.name == EngineName::Trtllm {
        return no(
            "adapters with TensorRT-LLM: the size of its cache is part of a file of its own, not modelled"
                .into(),
        );
    }
    if c.arch.moe.is_some() || c.arch.mla.is_some() || c.arch.linear_layers > 0 || !c.arch.is_generative() {
        return no(format!(
            "adapters on {}: what engines allocate is modelled for dense decoders with plain attention",
            c.arch.id
        ));
    }
    let q = super::resolved(c.arch, c.quantization);
    if matches!(q, Quantization::Nvfp4 | Quantization::Mxfp4) {
        return no(format!(
            "adapters on {} weights are not supported by {}",
            q.as_str(),
            c.engine.name.as_str()
        ));
    }
    if c.layout.pp > 1 {
        return no("adapters with pipeline parallelism are not modelled".into());
    }
    let rank = allocated_rank(c.engine.name, adapters.max_rank)?;
    Ok(f64::from(adapters.count) * f64::from(rank) * slot(c.arch, f64::from(c.layout.tp.max(1))) * 2.0)
}

/// The engine's arguments for these adapters.
///
/// # Errors
/// As [`bytes`].
pub fn arguments(c: &Configuration<'_>, adapters: Adapters) -> Result<Vec<String>, DoesNotFit> {
    bytes(c, adapters)?;
    let rank = allocated_rank(c.engine.name, adapters.max_rank)?;
    let slots = if c.engine.name == EngineName::Sglang { "--max-loras-per-batch" } else { "--max-loras" };
    Ok(["--enable-lora", slots, &adapters.count.to_string(), "--max-lora-rank", &rank.to_string()]
        .map(str::to_owned)
        .to_vec())
}

/// What a replica's adapters leave to the model, and the bytes that they take on one accelerator.
fn beside<'a>(c: &Configuration<'a>, adapters: Adapters) -> Result<(Configuration<'a>, f64), DoesNotFit> {
    let slots = bytes(c, adapters)?;
    let share = slots / device_bytes(c);
    let mut less = *c;
    less.engine.gpu_memory_utilization -= share;
    if less.engine.gpu_memory_utilization <= 0.0 {
        let reason = format!("{} adapters of rank {} alone", adapters.count, adapters.max_rank);
        return Err(DoesNotFit::Memory { needed: slots, available: device_bytes(c), reason });
    }
    Ok((less, slots))
}

/// The memory of a replica with the adapters that it holds, if it holds any: they count as overhead.
///
/// # Errors
/// As of [`super::fit`], and as [`bytes`].
pub fn fit(
    c: &Configuration<'_>,
    adapters: Option<Adapters>,
    shape: &RequestShape,
) -> Result<MemoryFit, DoesNotFit> {
    let Some(held) = adapters else { return super::fit(c, shape) };
    let (less, slots) = beside(c, held)?;
    let fit = super::fit(&less, shape)?;
    Ok(MemoryFit { usable: fit.usable + slots, overhead: fit.overhead + slots, ..fit })
}

/// The service curve of a replica with the adapters that it holds, if it holds any.
///
/// # Errors
/// As [`curve`].
pub fn with(
    c: &Configuration<'_>,
    adapters: Option<Adapters>,
    base: impl FnOnce(&Configuration<'_>) -> Result<ServiceCurve, DoesNotFit>,
) -> Result<ServiceCurve, DoesNotFit> {
    match adapters {
        Some(held) => curve(c, held, base),
        None => base(c),
    }
}

/// The service curve of a replica that holds adapters, all requests using one.
///
/// `base` predicts the model alone with what memory the slots leave: [`super::curve()`], corrected by
/// the user's runs where there are any. Such runs measured the base without adapters, so they say nothing
/// about what adapters add: that comes on top of their correction and widens the band behind it.
///
/// # Errors
/// As of `base`, and as [`bytes`].
pub fn curve(
    c: &Configuration<'_>,
    adapters: Adapters,
    base: impl FnOnce(&Configuration<'_>) -> Result<ServiceCurve, DoesNotFit>,
) -> Result<ServiceCurve, DoesNotFit> {
    let (less, slots) = beside(c, adapters)?;
    let mut curve = base(&less)?;
    let shape = curve.shape;
    curve.memory.usable += slots;
    curve.memory.overhead += slots;
    let bandwidth = c.accelerator.memory_bandwidth.unwrap_or(f64::INFINITY) * c.fraction * BANDWIDTH;
    let sixteen = c.accelerator.bf16.or(c.accelerator.fp16).unwrap_or(f64::INFINITY);
    let peak = sixteen * c.fraction * ARITHMETIC;
    let layers = f64::from(c.arch.layers);
    let (one, projections) = layer(c.arch, f64::from(c.layout.tp.max(1)));
    let launches = layers * projections * LAUNCHES * LAUNCH_S;
    let rank = f64::from(adapters.max_rank);
    let active = f64::from(adapters.count.min(curve.max_batch.max(1)));
    let read = active * layers * one * rank * 2.0 / bandwidth;
    let token = layers * one * rank * 2.0 / peak;
    let new = shape.input.mean * (1.0 - shape.prefix_cached);
    let prompt = launches + layers * one * rank * 2.0 / bandwidth + token * new;
    curve.alpha_s += launches + read;
    curve.beta_s += token;
    let slower = (curve.w_s + prompt) / curve.w_s.max(f64::MIN_POSITIVE);
    curve.w_s += prompt;
    curve.w2_s2 *= slower * slower;
    curve.ttft_floor_s += prompt;
    let batch = f64::from(curve.max_batch);
    curve.decode_terms.push(Term { name: "adapters", ms: (launches + read + token * batch) * 1e3 });
    curve.prefill_terms.push(Term { name: "adapters", ms: prompt * 1e3 });
    for band in [&mut curve.tpot_band, &mut curve.ttft_band] {
        band.sigma = math::sqrt(band.sigma * band.sigma + WIDTH * WIDTH);
        // What was measured no longer stands behind the width.
        band.groups = 0;
    }
    curve.evidence = Evidence::Modelled;
    curve.notes.push(
        "adapters: their memory is counted from the engine's source, their time was never measured, \
         not by runs of the model alone either"
            .into(),
    );
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::perf::RequestShape;
    use crate::perf::testing::{configuration, shape};

    fn arch(id: &str) -> ModelArch {
        crate::catalog::Catalog::embedded().resolve_checkpoint(id).unwrap().0.clone()
    }

    fn h100() -> crate::catalog::Accelerator {
        let catalog = crate::catalog::Catalog::embedded();
        catalog.accelerators[catalog.accelerator("h100-sxm-80gb").unwrap()].clone()
    }

    fn curve(c: &Configuration<'_>, shape: &RequestShape, a: Adapters) -> Result<ServiceCurve, DoesNotFit> {
        super::curve(c, a, |less| crate::perf::curve(less, shape))
    }

    fn on(count: u32, max_rank: u32) -> Adapters {
        Adapters { count, max_rank }
    }

    /// By hand for Llama-3.1-8B: a layer's projections take 3 x 4096 + 4096 + 2 x 1024 in q, k, v, 8192 in the output,
    /// 2 x (4096 + 14336) up, 14336 + 4096 down; 128256 words.
    #[test]
    fn slots_by_hand() {
        let (llama, gpu) = (arch("meta-llama/Meta-Llama-3.1-8B"), h100());
        let c = configuration(&llama, &gpu, 1);
        let layer = 3.0 * 4096.0 + 4096.0 + 2048.0 + 8192.0 + 2.0 * 18432.0 + 18432.0;
        let slot = 32.0 * layer + 2.0 * (128_256.0 + 4096.0);
        assert_eq!(bytes(&c, on(4, 32)).unwrap(), 4.0 * 32.0 * slot * 2.0);
        // vLLM allocates for the next rank that it knows.
        assert_eq!(bytes(&c, on(4, 17)), bytes(&c, on(4, 32)));
        let words = arguments(&c, on(4, 17)).unwrap().join(" ");
        assert_eq!(words, "--enable-lora --max-loras 4 --max-lora-rank 32");
        let mut sglang = c;
        sglang.engine.name = EngineName::Sglang;
        let words = arguments(&sglang, on(4, 17)).unwrap().join(" ");
        assert_eq!(words, "--enable-lora --max-loras-per-batch 4 --max-lora-rank 17");
    }

    #[test]
    fn what_cannot_be_gets_a_reason() {
        let (llama, gpu) = (arch("meta-llama/Meta-Llama-3.1-8B"), h100());
        let c = configuration(&llama, &gpu, 1);
        let lengths = shape(1000.0, 200.0);
        for (count, rank) in [(0, 8), (1, 0), (1, 513)] {
            assert_eq!(curve(&c, &lengths, on(count, rank)).unwrap_err().rule(), "engine");
        }
        assert_eq!(curve(&c, &lengths, on(100_000, 512)).unwrap_err().rule(), "memory");
        assert_eq!(curve(&c, &lengths, on(60, 512)).unwrap_err().rule(), "memory");
        let mut trt = c;
        trt.engine.name = EngineName::Trtllm;
        assert_eq!(bytes(&trt, on(1, 8)).unwrap_err().rule(), "engine");
        let experts = arch("Qwen/Qwen3-30B-A3B");
        assert_eq!(bytes(&configuration(&experts, &gpu, 1), on(1, 8)).unwrap_err().rule(), "engine");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// More adapters or a higher rank never take less memory, leave more cache or run faster; the cache loses what
        /// the slots take.
        #[test]
        fn laws(count in 1_u32..12, rank in 1_u32..64) {
            let (llama, gpu) = (arch("meta-llama/Meta-Llama-3.1-8B"), h100());
            let c = configuration(&llama, &gpu, 1);
            let lengths = shape(1000.0, 200.0);
            let of = |count, rank| curve(&c, &lengths, on(count, rank)).unwrap();
            let (base, one) = (crate::perf::curve(&c, &lengths).unwrap(), of(count, rank));
            let lost = base.memory.kv_cache - one.memory.kv_cache;
            prop_assert!((lost / bytes(&c, on(count, rank)).unwrap() - 1.0).abs() < 1e-6);
            prop_assert!((one.memory.usable / base.memory.usable - 1.0).abs() < 1e-9);
            prop_assert!(one.alpha_s > base.alpha_s && one.w_s > base.w_s);
            prop_assert!(one.tpot_band.sigma > base.tpot_band.sigma && one.tpot_band.groups == 0);
            for more in [of(count + 1, rank), of(count, rank + 1)] {
                prop_assert!(more.memory.kv_cache <= one.memory.kv_cache);
                prop_assert!(more.saturation_rate() <= one.saturation_rate());
            }
        }
    }
}
