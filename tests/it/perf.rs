//! Prediction against the catalogue and against what engines reported.

use rhumb::catalog::{Accelerator, Catalog, ModelArch};
use rhumb::perf::{Configuration, DoesNotFit, EngineSettings, Layout, MemoryFit, RequestShape, fit};
use rhumb::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

const GIB: f64 = 1_073_741_824.0;

fn fixed(tokens: f64) -> Lengths {
    Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens }
}

fn configuration<'a>(arch: &'a ModelArch, accelerator: &'a Accelerator, tp: u32) -> Configuration<'a> {
    Configuration {
        arch,
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        accelerator,
        fraction: 1.0,
        layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
        accelerators_per_node: 8,
        inter_node_bandwidth: None,
        engine: EngineSettings {
            name: EngineName::Vllm,
            version: (0, 19),
            max_num_seqs: 256,
            max_num_batched_tokens: 8192,
            max_model_len: 8192,
            gpu_memory_utilization: 0.90,
        },
    }
}

fn accelerator<'a>(catalog: &'a Catalog, id: &str) -> &'a Accelerator {
    &catalog.accelerators[catalog.accelerator(id).unwrap()]
}

fn quantization(name: &str) -> Quantization {
    match name {
        "bf16" => Quantization::Bf16,
        "fp8" => Quantization::Fp8,
        "int8" => Quantization::Int8,
        "mxfp4" => Quantization::Mxfp4,
        other => unreachable!("{other}"),
    }
}

struct Report<'a> {
    model: &'a str,
    started: bool,
    weights: Option<f64>,
    cache: Option<f64>,
    predicted: Result<MemoryFit, DoesNotFit>,
}

fn reports(catalog: &Catalog) -> Vec<Report<'_>> {
    let vocabulary = catalog.vocabulary();
    let h100 = accelerator(catalog, "h100-sxm-80gb");
    include_str!("../../src/perf/data/vllm_memory.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let c: Vec<&'static str> = line.split('\t').collect();
            let arch = catalog.model(vocabulary.models.get(&c[1].to_lowercase())?)?;
            let number = |i: usize| c[i].parse::<f64>().ok();
            let mut configuration = configuration(arch, h100, c[5].parse().unwrap());
            configuration.quantization = quantization(c[2]);
            configuration.kv_cache = if c[3] == "fp8" { KvCacheDtype::Fp8 } else { KvCacheDtype::Auto };
            configuration.engine.version = if c[4] == "0.11" { (0, 11) } else { (0, 19) };
            // vLLM's default on this card.
            configuration.engine.max_num_seqs = 1024;
            configuration.engine.max_model_len = c[6].parse().unwrap();
            configuration.engine.gpu_memory_utilization = c[7].parse().unwrap();
            let shape = RequestShape { input: fixed(1024.0), output: fixed(256.0), prefix_cached: 0.0 };
            Some(Report {
                model: c[0],
                started: c[8] == "yes",
                weights: number(10),
                cache: number(13),
                predicted: fit(&configuration, &shape),
            })
        })
        .collect()
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

#[test]
fn memory_agrees_with_what_vllm_reported_at_start() {
    let catalog = Catalog::embedded();
    let reports = reports(&catalog);
    for r in &reports {
        eprintln!(
            "{} {:?} {:?} {:?}",
            r.model,
            r.weights,
            r.cache,
            r.predicted.as_ref().map(|m| (m.weights / GIB, m.overhead / GIB, m.kv_cache / GIB))
        );
    }
    assert!(reports.len() >= 28, "{}", reports.len());
    let started: Vec<&Report<'_>> = reports.iter().filter(|r| r.started).collect();
    for r in &started {
        assert!(r.predicted.is_ok(), "{} started, but: {:?}", r.model, r.predicted);
    }
    let error = |pick: fn(&Report<'_>) -> Option<(f64, f64)>| -> Vec<f64> {
        started.iter().filter_map(|r| pick(r)).map(|(p, m)| (p / m - 1.0).abs()).collect()
    };
    let weights = median(error(|r| Some((r.predicted.as_ref().ok()?.weights / GIB, r.weights?))));
    let cache = median(error(|r| Some((r.predicted.as_ref().ok()?.kv_cache / GIB, r.cache?))));
    eprintln!("median error: weights {:.1} %, cache {:.1} %", weights * 100.0, cache * 100.0);
    assert!(weights < 0.02, "weights {weights}");
    assert!(cache < 0.03, "cache {cache}");
}
