//! Properties for arbitrary configurations and service curves.

use proptest::prelude::*;

use super::testing::{arch, configuration, gpu};
use super::*;
use crate::catalog::Evidence;
use crate::spec::{Arrivals, KvCacheDtype, Lengths};

const MODELS: [&str; 8] = [
    "llama-3.1-70b",
    "llama-3.1-8b",
    "qwen3-32b",
    "qwen2.5-7b",
    "deepseek-v3",
    "qwen3-30b-a3b",
    "gemma-3-27b",
    "bge-large",
];
const GPUS: [&str; 6] = ["h100", "a100", "b200", "t4", "mi300x", "tpu-v5e"];

fn quantizations() -> impl Strategy<Value = Quantization> {
    prop::sample::select(vec![
        Quantization::Native,
        Quantization::Bf16,
        Quantization::Fp8,
        Quantization::Fp8Block,
        Quantization::Int8,
        Quantization::Int4,
        Quantization::Mxfp4,
        Quantization::Nvfp4,
    ])
}

fn lengths(most: f64) -> impl Strategy<Value = Lengths> {
    (0.0..most, 0.0..4.0, 1.0..5.0).prop_map(|(mean, cv2, over)| Lengths {
        mean,
        cv2,
        p95: mean * over,
        max: mean * over,
    })
}

fn odd() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(-1.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(1e300),
        1e-3..1e3,
    ]
}

/// A replica as prediction makes them: every part non-negative, moments consistent.
fn replica() -> impl Strategy<Value = ServiceCurve> {
    (1e-3..0.1, 0.0..2e-3, 1e-4..2.0, 0.0..4.0, 1u32..1024, 1.0..4000.0, 0.0..4.0).prop_map(
        |(alpha_s, beta_s, w_s, cv2, max_batch, out, out_cv2)| {
            let l = |mean, cv2| Lengths { mean, cv2, p95: mean, max: mean };
            ServiceCurve {
                alpha_s,
                beta_s,
                w_s,
                w2_s2: w_s * w_s * (1.0 + cv2),
                prompt: super::PromptTime { per_token_s: 0.0, per_pair_s: 0.0, before_s: 0.0 },
                ttft_floor_s: w_s + 0.0134,
                steps: None,
                max_batch,
                shape: RequestShape { input: l(1000.0, cv2), output: l(out, out_cv2), prefix_cached: 0.0 },
                memory: MemoryFit {
                    device: 0.0,
                    usable: 0.0,
                    weights: 0.0,
                    overhead: 0.0,
                    kv_cache: 0.0,
                    kv_per_token: 0.0,
                    kv_tokens: 0.0,
                    max_sequences: max_batch,
                },
                ttft_band: Band { mu: 0.0, sigma: 0.1, groups: 1 },
                tpot_band: Band { mu: 0.0, sigma: 0.1, groups: 1 },
                evidence: Evidence::Modelled,
                notes: Vec::new(),
                decode_terms: Vec::new(),
                launches: false,
                prefill_terms: Vec::new(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_runs_has_sane_figures(
        model in 0..MODELS.len(),
        card in 0..GPUS.len(),
        quantization in quantizations(),
        kv8 in any::<bool>(),
        parts in (0u32..20, 0u32..20, 0u32..20, 0u32..300),
        engine in 0..3usize,
        numbers in (any::<u32>(), any::<u32>(), 0u32..200_000, odd(), odd(), odd()),
        input in lengths(20_000.0),
        output in lengths(4000.0),
        cached in odd(),
    ) {
        let (a, g) = (arch(MODELS[model]), gpu(GPUS[card]));
        let mut c = configuration(&a, &g, 1);
        c.quantization = quantization;
        c.kv_cache = if kv8 { KvCacheDtype::Fp8 } else { KvCacheDtype::Auto };
        c.layout = Layout { tp: parts.0, pp: parts.1, dp: parts.2, ep: parts.3 };
        c.engine.name = [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm][engine];
        c.engine.version = default_version(c.engine.name);
        c.engine.max_num_seqs = numbers.0;
        c.engine.max_num_batched_tokens = numbers.1;
        c.engine.max_model_len = numbers.2;
        c.engine.gpu_memory_utilization = numbers.3;
        c.fraction = numbers.4;
        c.inter_node_bandwidth = Some(numbers.5);
        let shape = RequestShape { input, output, prefix_cached: cached };
        if let Ok(k) = curve(&c, &shape) {
            for x in [k.alpha_s, k.w_s, k.w2_s2, k.ttft_floor_s] {
                prop_assert!(x.is_finite() && x > 0.0, "{k:?}");
            }
            prop_assert!(k.beta_s.is_finite() && k.beta_s >= 0.0 && k.max_batch >= 1);
            prop_assert!(k.saturation_rate().is_finite() && k.saturation_rate() > 0.0);
            prop_assert!(k.memory.weights + k.memory.overhead + k.memory.kv_cache <= k.memory.usable * (1.0 + 1e-9));
            prop_assert!(k.latency(k.saturation_rate() * 0.7, 2, Arrivals::Poisson).is_some());
        }
        let _ = closed_loop(&c, &shape, numbers.3);
    }

    #[test]
    fn every_layout_on_every_card_obeys_the_monotone_rules(
        model in 0..MODELS.len() - 1,
        card in 0..3usize,
        quantization in quantizations(),
        pick in any::<prop::sample::Index>(),
        input in 16.0..4000.0f64,
        output in 2.0..2000.0f64,
    ) {
        let (a, g) = (arch(MODELS[model]), gpu(GPUS[card]));
        let all = layouts(&a, 8, 1);
        let mut c = configuration(&a, &g, 1);
        c.layout = *pick.get(&all);
        c.quantization = quantization;
        let shape = super::testing::shape(input, output);
        if let Ok((_, rank, precision)) = memory::fit(&c, &shape) {
            let step = |g: &crate::catalog::Accelerator, n: f64, context: f64| {
                let pass = pass::Pass::new(&Configuration { accelerator: g, ..c }, rank, precision.clone()).unwrap();
                pass.decode(n, context).total()
            };
            let mut wider = g.clone();
            wider.memory_bandwidth = g.memory_bandwidth.map(|b| b * 1.5);
            let now = step(&g, 16.0, input);
            prop_assert!(step(&wider, 16.0, input) <= now);
            prop_assert!(step(&g, 17.0, input) >= now);
            prop_assert!(step(&g, 16.0, input + 100.0) >= now);
            let pass = pass::Pass::new(&c, rank, precision.clone()).unwrap();
            let prompt = |tokens: f64, new: f64| pass.prefill(1.0, tokens, new).total();
            prop_assert!(prompt(input + 64.0, input + 64.0) >= prompt(input, input));
            prop_assert!(prompt(input, input / 2.0) <= prompt(input, input));
        }
    }

    #[test]
    fn higher_load_is_never_quicker(k in replica(), n in 1u32..9, cv2 in 1.0..4.0f64) {
        let top = k.saturation_rate();
        for arrivals in [Arrivals::Poisson, Arrivals::Constant, Arrivals::Bursty { cv2 }] {
            let mut last: Option<Latency> = None;
            for i in 0..100 {
                let l = k.latency(top * f64::from(i) / 100.0, n, arrivals).unwrap();
                if let Some(b) = &last {
                    for q in [None, Some(0.5), Some(0.8), Some(0.9), Some(0.95), Some(0.99)] {
                        for (name, x, y) in [("ttft", b.ttft, l.ttft), ("tpot", b.tpot, l.tpot), ("e2e", b.e2e, l.e2e)] {
                            prop_assert!(
                                y.at(q) >= x.at(q) * (1.0 - 1e-9) - 0.002,
                                "{name} {q:?} at {i} %: {} then {}",
                                x.at(q),
                                y.at(q)
                            );
                        }
                    }
                    prop_assert!(l.utilization >= b.utilization && l.batch >= b.batch);
                }
                last = Some(l);
            }
        }
    }

    #[test]
    fn more_replicas_never_hurt(k in replica(), load in 0.0..0.99f64) {
        let at = |n| k.latency(k.saturation_rate() * load, n, Arrivals::Poisson).unwrap();
        let (one, eight) = (at(1), at(8));
        for q in [None, Some(0.9), Some(0.95), Some(0.99)] {
            prop_assert!(eight.ttft.at(q) <= one.ttft.at(q) + 0.002);
            prop_assert!(eight.tpot.at(q) <= one.tpot.at(q) + 0.002);
        }
    }
}
