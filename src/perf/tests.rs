use super::testing::*;
use super::*;
use crate::catalog::Evidence;
use crate::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs()
}

#[test]
fn weights_of_llama_70b_by_hand() {
    let (arch, gpu) = (arch("llama-3.1-70b"), gpu("h100"));
    let m = fit(&configuration(&arch, &gpu, 8), &shape(1024.0, 256.0)).unwrap();
    // Per layer: q, o 2*8192*64*128; k, v 2*8192*8*128; feed-forward 3*8192*28672; then two embeddings.
    let layer = 2.0 * 8192.0 * 8192.0 + 2.0 * 8192.0 * 1024.0 + 3.0 * 8192.0 * 28672.0;
    let params = 80.0 * layer + 2.0 * 128_256.0 * 8192.0;
    assert!(near(params, 70.55e9, 0.001));
    assert_eq!(m.weights, params * 2.0 / 8.0);
    assert_eq!(m.kv_per_token, 80.0 * 2.0 * 128.0 * 2.0);
}

#[test]
fn kv_bytes_by_hand() {
    let h100 = gpu("h100");
    let qwen = arch("qwen3-32b");
    let m = fit(&configuration(&qwen, &h100, 1), &shape(512.0, 128.0));
    // 61 GiB of weights leave no room for a sequence of 8192 tokens on one card under 0.9 with 2 GiB of engine.
    let m = m.unwrap_or_else(|_| fit(&configuration(&qwen, &h100, 2), &shape(512.0, 128.0)).unwrap());
    assert_eq!(m.kv_per_token * if m.weights > 40e9 { 1.0 } else { 2.0 }, 262_144.0);
    let deepseek = arch("deepseek-v3");
    let b200 = gpu("b200");
    let m = fit(&configuration(&deepseek, &b200, 8), &shape(1024.0, 1024.0)).unwrap();
    // Latent attention is not cut by tensor parallelism.
    assert_eq!(m.kv_per_token, 61.0 * (512.0 + 64.0) * 2.0);
}

#[test]
fn windows_cap_the_cache() {
    let (gemma, b200) = (arch("gemma-3-27b"), gpu("b200"));
    let mut c = configuration(&gemma, &b200, 1);
    c.engine.max_model_len = 65_536;
    let long = fit(&c, &shape(32_768.0, 2.0)).unwrap();
    let layer = 2.0 * 16.0 * 128.0 * 2.0;
    let held = 32_769.0;
    assert!(near(long.kv_per_token, (10.0 * held + 52.0 * 1024.0) * layer / held, 1e-9));
}

#[test]
fn refusals_say_why() {
    let (llama, h100, t4) = (arch("llama-3.1-70b"), gpu("h100"), gpu("t4"));
    let s = shape(512.0, 128.0);
    assert!(matches!(fit(&configuration(&llama, &h100, 1), &s), Err(DoesNotFit::Memory { .. })));
    assert!(matches!(fit(&configuration(&llama, &h100, 16), &s), Err(DoesNotFit::Layout { .. })));
    assert!(matches!(fit(&configuration(&llama, &gpu("tpu-v5e"), 1), &s), Err(DoesNotFit::Engine { .. })));
    let mut c = configuration(&llama, &t4, 8);
    c.quantization = Quantization::Nvfp4;
    assert!(matches!(fit(&c, &s), Err(DoesNotFit::Precision { .. })));
    let mut c = configuration(&llama, &h100, 8);
    c.engine.max_model_len = 600;
    assert!(matches!(fit(&c, &s), Err(DoesNotFit::Context { .. })));
    let mut c = configuration(&llama, &h100, 8);
    c.layout.pp = 2;
    assert!(matches!(fit(&c, &s), Err(DoesNotFit::Layout { .. })));
    c.inter_node_bandwidth = Some(50e9);
    assert!(fit(&c, &s).is_ok());
}

#[test]
fn precision_follows_accelerator_and_engine() {
    let qwen = arch("qwen2.5-7b");
    let s = shape(512.0, 128.0);
    let try_on = |id: &str, q: Quantization| {
        let g = gpu(id);
        let mut c = configuration(&qwen, &g, 1);
        c.quantization = q;
        curve(&c, &s)
    };
    assert!(try_on("h100", Quantization::Fp8).is_ok());
    let a100 = try_on("a100", Quantization::Fp8).unwrap();
    assert!(a100.notes.iter().any(|n| n.contains("weight-only")));
    assert!(try_on("b200", Quantization::Nvfp4).is_ok());
    assert!(try_on("b200", Quantization::Int8).is_err());
    assert!(try_on("mi300x", Quantization::Fp8).is_ok());
    assert!(try_on("mi300x", Quantization::Int4).is_err());
    let t4 = try_on("t4", Quantization::Int4).unwrap();
    assert_eq!(t4.evidence, Evidence::Modelled);
    // Eight-bit weights halve what a decode step reads.
    let (wide, narrow) =
        (try_on("h100", Quantization::Bf16).unwrap(), try_on("h100", Quantization::Fp8).unwrap());
    assert!(narrow.alpha_s < 0.75 * wide.alpha_s);
    let trtllm = |q| {
        let g = gpu("h100");
        let mut c = configuration(&qwen, &g, 1);
        c.engine.name = EngineName::Trtllm;
        c.engine.version = (1, 2);
        c.quantization = q;
        fit(&c, &s).unwrap().kv_per_token
    };
    assert_eq!(trtllm(Quantization::Fp8) * 2.0, trtllm(Quantization::Bf16));
}

/// vLLM and SGLang divide their share of the device; TensorRT-LLM takes its share of what the model leaves free, and so more in all.
#[test]
fn what_an_engine_takes_is_what_it_may_use() {
    let (qwen, h100, s) = (arch("qwen2.5-7b"), gpu("h100"), shape(512.0, 128.0));
    for name in [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm] {
        let mut c = configuration(&qwen, &h100, 1);
        c.engine.name = name;
        c.engine.gpu_memory_utilization = 0.9;
        let m = fit(&c, &s).unwrap();
        let taken = m.weights + m.overhead + m.kv_cache;
        assert!((taken / m.usable - 1.0).abs() < 1e-9 && m.usable <= m.device, "{name:?}: {m:?}");
        let free = m.device - m.weights - m.overhead;
        match name {
            EngineName::Trtllm => assert!((m.device - m.usable - 0.1 * free).abs() < 1.0, "{m:?}"),
            _ => assert!((m.usable / m.device - 0.9).abs() < 1e-9, "{name:?}: {m:?}"),
        }
    }
}

#[test]
fn a_decode_step_is_near_the_bandwidth_roof() {
    let (qwen, h100) = (arch("qwen2.5-7b"), gpu("h100"));
    let k = curve(&configuration(&qwen, &h100, 1), &shape(512.0, 128.0)).unwrap();
    let weights = k.memory.weights / 3350e9;
    assert!(k.alpha_s > weights && k.alpha_s < 2.0 * weights, "{} against {weights}", k.alpha_s);
    assert!(k.max_batch == 256 && k.w_s > 0.0 && k.ttft_floor_s >= k.w_s);
}

#[test]
fn more_bandwidth_is_never_slower_and_tensor_parallelism_divides_weights() {
    let llama = arch("llama-3.1-70b");
    let h100 = gpu("h100");
    let mut fast = h100.clone();
    fast.memory_bandwidth = Some(4800e9);
    let s = shape(2000.0, 300.0);
    let (a, b) = (
        curve(&configuration(&llama, &h100, 4), &s).unwrap(),
        curve(&configuration(&llama, &fast, 4), &s).unwrap(),
    );
    assert!(b.alpha_s < a.alpha_s && b.saturation_rate() > a.saturation_rate());
    let four = fit(&configuration(&llama, &h100, 4), &s).unwrap().weights;
    let eight = fit(&configuration(&llama, &h100, 8), &s).unwrap().weights;
    assert_eq!(four, 2.0 * eight);
}

/// Between the points of the table a step lies between them, beyond them it goes on; a batch of one is the first.
#[test]
fn steps_are_tabulated_by_batch_and_context() {
    let table = StepTable {
        batches: [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
        contexts: [100.0, 200.0, 400.0],
        seconds: [1.0, 2.0, 6.0].map(|c| [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0].map(|b| b + c)),
    };
    for (batch, context, seconds) in [
        (1.0, 100.0, 2.0),
        (3.0, 100.0, 2.5),
        (4.0, 300.0, 6.0),
        (256.0, 400.0, 11.0),
        (384.0, 400.0, 12.0),
        (2.0, 50.0, 1.5),
        (2.0, 500.0, 9.0),
    ] {
        assert!(near(table.at(batch, context), seconds, 1e-12), "{batch} {context}");
    }
    // One sequence at once: the points fall together.
    let one = StepTable { batches: [1.0; StepTable::BATCHES], ..table };
    assert!(one.at(1.0, 100.0).is_finite());
    let (qwen, h100) = (arch("qwen2.5-7b"), gpu("h100"));
    let k = curve(&configuration(&qwen, &h100, 1), &shape(512.0, 128.0)).unwrap();
    let steps = k.steps.unwrap();
    for b in [1.0, 3.0, 20.0, f64::from(k.max_batch)] {
        let (short, usual, long) = (steps.at(b, 100.0), steps.at(b, 576.0), steps.at(b, 3000.0));
        assert!(short <= usual && usual < long, "{b}: {short} {usual} {long}");
        // The line is at most a tenth too quick at the points that it was drawn through.
        assert!(k.alpha_s + k.beta_s * b >= usual / 1.15, "{b}: {usual}");
    }
    assert!(near(k.slowed(2.0).steps.unwrap().at(7.0, 600.0), 2.0 * steps.at(7.0, 600.0), 1e-12));
}

#[test]
fn latency_ends_at_saturation() {
    let (qwen, h100) = (arch("qwen2.5-7b"), gpu("h100"));
    let k = curve(&configuration(&qwen, &h100, 1), &shape(512.0, 128.0)).unwrap();
    let top = k.saturation_rate();
    assert!(k.latency(top, 1, Arrivals::Poisson).is_none());
    assert!(k.latency(f64::NAN, 1, Arrivals::Poisson).is_none());
    let near_top = k.latency(top * 0.999, 1, Arrivals::Poisson).unwrap();
    assert!(near_top.utilization < 1.0 && near_top.batch <= f64::from(k.max_batch));
    let idle = k.latency(0.0, 1, Arrivals::Poisson).unwrap();
    assert!(near(idle.tpot.mean, k.alpha_s * 1e3, 1e-3));
    assert!(near(idle.ttft.mean, k.ttft_floor_s * 1e3, 1e-3));
    // Twice as slow at half the rate is the same load.
    let slow = k.slowed(2.0);
    assert!(near(slow.saturation_rate(), top / 2.0, 1e-9));
    let (one, two) = (
        k.latency(top * 0.5, 1, Arrivals::Poisson).unwrap(),
        slow.latency(top * 0.25, 1, Arrivals::Poisson).unwrap(),
    );
    assert!(near(two.tpot.at(Some(0.95)), 2.0 * one.tpot.at(Some(0.95)), 1e-3));
    assert!(near(two.ttft.at(Some(0.95)), 2.0 * one.ttft.at(Some(0.95)), 1e-3));
}

#[test]
fn encoders_answer_in_one_step() {
    let (bge, h100) = (arch("bge-large"), gpu("h100"));
    let mut c = configuration(&bge, &h100, 1);
    c.engine.max_model_len = 512;
    let k = curve(&c, &shape(256.0, 0.0)).unwrap();
    assert!(k.memory.kv_per_token == 0.0 && k.max_batch > 1);
    let l = k.latency(k.batch_rate() * 0.5, 1, Arrivals::Poisson).unwrap();
    assert_eq!(l.tpot.mean, 0.0);
    assert_eq!(l.ttft, l.e2e);
    // 24 layers of 12 h^2 parameters at 16 bits: 2 flops a parameter a token cannot beat the peak rate.
    let flops = 256.0 * 2.0 * 24.0 * 12.0 * 1024.0 * 1024.0;
    assert!(k.batch_rate() < 989e12 / flops);
}

/// Users wait for the launches of a prompt of few tokens, and of one of many tokens only for its kernels.
#[test]
fn a_users_prompt_alone_waits_for_its_launches() {
    let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
    let mut c = configuration(&a, &g, 8);
    c.engine.name = EngineName::Trtllm;
    c.engine.version = default_version(EngineName::Trtllm);
    let launches = 80.0 * EngineConstants::of(c.engine.name, Quantization::Bf16).layer_s;
    let waited = |tokens: f64| {
        let k = curve(&c, &shape(tokens, 16.0)).unwrap();
        let kernels = k.prefill_terms.iter().map(|t| t.ms).sum::<f64>() / 1e3;
        let before = k.prompt.before_s;
        assert!(k.ttft_floor_s >= kernels && k.ttft_floor_s - before >= launches.min(kernels));
        (k.ttft_floor_s - before, k.ttft_floor_s - kernels)
    };
    assert!(waited(16.0).0 >= launches && waited(16.0).1 > 0.3 * launches);
    assert!(waited(7000.0).1 < 0.01 * launches);
}

#[test]
fn layouts_are_sorted_and_pass_their_own_check() {
    let b200 = gpu("b200");
    for id in ["llama-3.1-70b", "qwen2.5-7b", "deepseek-v3", "qwen3-30b-a3b", "gemma-3-27b"] {
        let a = arch(id);
        let all = layouts(&a, 8, 2);
        assert!(!all.is_empty() && all.is_sorted());
        for layout in all {
            let mut c = configuration(&a, &b200, 1);
            c.layout = layout;
            c.inter_node_bandwidth = Some(50e9);
            let refused = matches!(fit(&c, &shape(512.0, 128.0)), Err(DoesNotFit::Layout { .. }));
            assert!(!refused, "{id} {layout:?}");
        }
    }
}

fn curves() -> Vec<ServiceCurve> {
    let mut all = Vec::new();
    for (model, tp) in [("qwen2.5-7b", 1), ("llama-3.1-70b", 4), ("deepseek-v3", 8)] {
        for (isl, osl) in [(128.0, 1024.0), (1024.0, 256.0), (6000.0, 20.0), (7000.0, 1000.0)] {
            for cv2 in [0.0, 1.0] {
                let (a, g) = (arch(model), gpu("b200"));
                let lengths = |mean: f64, max: f64| Lengths { mean, cv2, p95: 2.0 * mean, max };
                let mut c = configuration(&a, &g, tp);
                c.engine.max_model_len = 20_000;
                c.kv_cache = KvCacheDtype::Auto;
                let s = RequestShape {
                    input: lengths(isl, 12_000.0),
                    output: lengths(osl, 3000.0),
                    prefix_cached: 0.0,
                };
                all.push(curve(&c, &s).unwrap());
            }
        }
    }
    all
}

#[test]
fn latency_never_falls_with_the_rate() {
    for k in curves() {
        for n in [1, 8] {
            let mut last: Option<Latency> = None;
            for i in 0..200 {
                let rate = k.saturation_rate() * f64::from(i) / 200.0;
                let l = k.latency(rate, n, Arrivals::Poisson).unwrap();
                if let Some(before) = &last {
                    for q in [None, Some(0.5), Some(0.9), Some(0.95), Some(0.99)] {
                        for (name, a, b) in [
                            ("ttft", before.ttft.at(q), l.ttft.at(q)),
                            ("tpot", before.tpot.at(q), l.tpot.at(q)),
                            ("e2e", before.e2e.at(q), l.e2e.at(q)),
                        ] {
                            assert!(b >= a - 0.002, "{name} {q:?} at {i}: {a} then {b} of {:?}", k.shape);
                        }
                    }
                }
                last = Some(l);
            }
        }
    }
}

#[test]
fn experts_dealt_out_within_a_tensor_parallel_group_send_no_tokens() {
    let (qwen, h100) = (arch("qwen3-30b-a3b"), gpu("h100"));
    let communication = |layout: Layout| {
        let mut c = configuration(&qwen, &h100, 1);
        c.layout = layout;
        let (_, rank, precision) = memory::fit(&c, &shape(1024.0, 256.0)).unwrap();
        pass::Pass::new(&c, rank, precision).unwrap().decode_kernels(64.0, 1024.0).communication
    };
    let cut = communication(Layout { tp: 4, pp: 1, dp: 1, ep: 1 });
    let dealt = communication(Layout { tp: 4, pp: 1, dp: 1, ep: 4 });
    // Two all-reduces a layer in both: of what every rank holds, none is sent.
    assert!(cut > 0.0);
    assert_eq!(dealt, cut);
    // Attention ranks with requests of their own send each token to eight experts and back.
    let ranks = communication(Layout { tp: 1, pp: 1, dp: 4, ep: 4 });
    let least = 48.0 * 2.0 * 4.8e-6;
    assert!(ranks > least, "{ranks} of at least {least}");
}
