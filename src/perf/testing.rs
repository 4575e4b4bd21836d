//! Hand-made architectures and accelerators for the unit tests of this module.

use super::types::{Configuration, EngineSettings, Layout, RequestShape};
use crate::catalog::{Accelerator, Mla, ModelArch, ModelKind, Moe, Provenance};
use crate::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

pub fn provenance() -> Provenance {
    Provenance { source: "test".into(), as_of: "2026-11-25".into() }
}

pub fn arch(id: &str) -> ModelArch {
    let base = ModelArch {
        id: id.into(),
        kind: ModelKind::Dense,
        params: 0.0,
        params_active: 0.0,
        layers: 80,
        hidden: 8192,
        ffn: 28672,
        gated: true,
        heads: 64,
        kv_heads: 8,
        head_dim: 128,
        mla: None,
        moe: None,
        vocab: 128_256,
        max_context: 131_072,
        native: Quantization::Bf16,
        sliding: None,
        linear_layers: 0,
        sparse_topk: None,
        tied_embeddings: false,
        licence: None,
        provenance: provenance(),
    };
    match id {
        "llama-3.1-70b" => base,
        "llama-3.1-8b" => ModelArch { layers: 32, hidden: 4096, ffn: 14336, heads: 32, ..base },
        "qwen3-32b" => {
            ModelArch { layers: 64, hidden: 5120, ffn: 25600, vocab: 151_936, max_context: 40_960, ..base }
        }
        "qwen2.5-7b" => ModelArch {
            layers: 28,
            hidden: 3584,
            ffn: 18944,
            heads: 28,
            kv_heads: 4,
            vocab: 152_064,
            max_context: 32_768,
            ..base
        },
        "deepseek-v3" => ModelArch {
            kind: ModelKind::Moe,
            layers: 61,
            hidden: 7168,
            ffn: 18432,
            heads: 128,
            kv_heads: 128,
            head_dim: 192,
            mla: Some(Mla {
                kv_lora_rank: 512,
                q_lora_rank: 1536,
                qk_rope_head_dim: 64,
                qk_nope_head_dim: 128,
                v_head_dim: 128,
            }),
            moe: Some(Moe { experts: 256, per_token: 8, shared: 1, intermediate: 2048, dense_layers: 3 }),
            vocab: 129_280,
            max_context: 163_840,
            native: Quantization::Fp8Block,
            ..base
        },
        "qwen3-30b-a3b" => ModelArch {
            kind: ModelKind::Moe,
            layers: 48,
            hidden: 2048,
            ffn: 0,
            heads: 32,
            kv_heads: 4,
            moe: Some(Moe { experts: 128, per_token: 8, shared: 0, intermediate: 768, dense_layers: 0 }),
            vocab: 151_936,
            max_context: 40_960,
            ..base
        },
        "gemma-3-27b" => ModelArch {
            layers: 62,
            hidden: 5376,
            ffn: 21504,
            heads: 32,
            kv_heads: 16,
            vocab: 262_208,
            sliding: Some((1024, 52)),
            tied_embeddings: true,
            ..base
        },
        "bge-large" => ModelArch {
            kind: ModelKind::Embedding,
            layers: 24,
            hidden: 1024,
            ffn: 4096,
            gated: false,
            heads: 16,
            kv_heads: 16,
            head_dim: 64,
            vocab: 30_522,
            max_context: 512,
            tied_embeddings: true,
            ..base
        },
        other => unreachable!("no such test model: {other}"),
    }
}

pub fn gpu(id: &str) -> Accelerator {
    let base = Accelerator {
        id: id.into(),
        vendor: "nvidia".into(),
        model: id.into(),
        memory_gib: 80.0,
        memory_reported_bytes: None,
        memory_bandwidth: Some(3350e9),
        bf16: Some(989e12),
        fp16: Some(989e12),
        fp32: None,
        fp8: Some(1978e12),
        int8: Some(1978e12),
        fp4: None,
        interconnect: Some("nvlink4".into()),
        interconnect_bandwidth: Some(900e9),
        tdp_watts: None,
        compute_capability: Some("9.0".into()),
        perf_id: Some("h100_sxm".into()),
        notes: String::new(),
        provenance: provenance(),
    };
    match id {
        "h100" => base,
        "a100" => Accelerator {
            memory_bandwidth: Some(2039e9),
            bf16: Some(312e12),
            fp16: Some(312e12),
            fp8: None,
            int8: Some(624e12),
            interconnect_bandwidth: Some(600e9),
            compute_capability: Some("8.0".into()),
            perf_id: Some("a100_sxm".into()),
            ..base
        },
        "b200" => Accelerator {
            memory_gib: 180.0,
            memory_bandwidth: Some(7700e9),
            bf16: Some(2250e12),
            fp16: Some(2250e12),
            fp8: Some(4500e12),
            int8: Some(4500e12),
            fp4: Some(9000e12),
            interconnect_bandwidth: Some(1800e9),
            compute_capability: Some("10.0".into()),
            perf_id: Some("b200_sxm".into()),
            ..base
        },
        "t4" => Accelerator {
            memory_gib: 16.0,
            memory_bandwidth: Some(320e9),
            bf16: None,
            fp16: Some(65e12),
            fp8: None,
            int8: Some(130e12),
            interconnect: None,
            interconnect_bandwidth: None,
            compute_capability: Some("7.5".into()),
            perf_id: None,
            ..base
        },
        "mi300x" => Accelerator {
            vendor: "amd".into(),
            memory_gib: 192.0,
            memory_bandwidth: Some(5300e9),
            bf16: Some(1307e12),
            fp16: Some(1307e12),
            fp8: Some(2615e12),
            compute_capability: Some("gfx942".into()),
            perf_id: Some("mi300x".into()),
            ..base
        },
        "tpu-v5e" => Accelerator { vendor: "google".into(), compute_capability: None, perf_id: None, ..base },
        other => unreachable!("no such test accelerator: {other}"),
    }
}

pub fn settings() -> EngineSettings {
    EngineSettings {
        name: EngineName::Vllm,
        version: (0, 19),
        max_num_seqs: 256,
        max_num_batched_tokens: 8192,
        max_model_len: 8192,
        gpu_memory_utilization: 0.90,
    }
}

pub fn configuration<'a>(arch: &'a ModelArch, gpu: &'a Accelerator, tp: u32) -> Configuration<'a> {
    Configuration {
        arch,
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        accelerator: gpu,
        fraction: 1.0,
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        accelerators_per_node: 8,
        inter_node_bandwidth: None,
        engine: settings(),
    }
}

pub fn fixed(tokens: f64) -> Lengths {
    Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens }
}

pub fn shape(input: f64, output: f64) -> RequestShape {
    RequestShape { input: fixed(input), output: fixed(output), prefix_cached: 0.0 }
}
