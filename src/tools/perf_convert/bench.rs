//! How long prediction takes.

use std::hint::black_box;
use std::time::Instant;

use rhumb::catalog::Catalog;
use rhumb::perf::{Configuration, EngineSettings, Layout, RequestShape, curve, default_version};
use rhumb::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};

/// Prints times of the first use (the tables are parsed), of a curve and of a latency.
pub fn run() {
    let catalog = Catalog::embedded();
    let lengths = |mean: f64, cv2: f64| Lengths { mean, cv2, p95: 2.0 * mean, max: 4.0 * mean };
    let shape = RequestShape { input: lengths(1024.0, 1.0), output: lengths(256.0, 0.5), prefix_cached: 0.0 };
    for (model, gpu, tp) in [
        ("Qwen/Qwen3-32B", "h100-sxm-80gb", 2),
        ("deepseek-ai/DeepSeek-V3", "b200-sxm-180gb", 8),
        ("openai/gpt-oss-120b", "h100-sxm-80gb", 1),
    ] {
        let (Some(arch), Some(index)) = (catalog.model(model), catalog.accelerator(gpu)) else { continue };
        let configuration = Configuration {
            arch,
            quantization: Quantization::Native,
            kv_cache: KvCacheDtype::Auto,
            accelerator: &catalog.accelerators[index],
            fraction: 1.0,
            layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
            accelerators_per_node: 8,
            inter_node_bandwidth: None,
            engine: EngineSettings {
                name: EngineName::Vllm,
                version: default_version(EngineName::Vllm),
                max_num_seqs: 256,
                max_num_batched_tokens: 8192,
                max_model_len: 8192,
                gpu_memory_utilization: 0.9,
            },
        };
        let first = Instant::now();
        let found = curve(&configuration, &shape);
        println!("{model}: first curve {:?}", first.elapsed());
        let Ok(found) = found else {
            println!("  {found:?}");
            continue;
        };
        let n = 20_000u32;
        let start = Instant::now();
        for _ in 0..n {
            let _ = black_box(curve(black_box(&configuration), black_box(&shape)));
        }
        println!("  curve {:?}", start.elapsed() / n);
        let n = 1_000_000u32;
        let top = found.saturation_rate();
        let start = Instant::now();
        for i in 0..n {
            let rate = top * f64::from(i % 1000) / 1000.0;
            black_box(found.latency(black_box(rate), 4, Arrivals::Poisson));
        }
        println!("  latency {:?}", start.elapsed() / n);
    }
}
