//! What vLLM reported about memory when it started, beside what is predicted.

use std::fmt::Write as _;

use rhumb::catalog::Catalog;
use rhumb::perf::{Configuration, DoesNotFit, EngineSettings, Layout, MemoryFit, RequestShape, fit};
use rhumb::spec::{EngineName, KvCacheDtype, Lengths, Quantization};

use super::quantile;

const GIB: f64 = 1_073_741_824.0;
const REPORTS: &str = include_str!("../../perf/data/vllm_memory.tsv");

/// A start-up report; sizes in GiB on one accelerator.
struct Report<'a> {
    cells: Vec<&'a str>,
    weights: Option<f64>,
    cache: Option<f64>,
    /// `None`: the catalogue does not hold the model.
    predicted: Option<Result<MemoryFit, DoesNotFit>>,
}

impl Report<'_> {
    fn started(&self) -> bool {
        self.cells[8] == "yes"
    }

    fn fits(&self) -> Option<&MemoryFit> {
        self.predicted.as_ref()?.as_ref().ok()
    }
}

fn precision(name: &str) -> Quantization {
    match name {
        "fp8" => Quantization::Fp8,
        "int8" => Quantization::Int8,
        "mxfp4" => Quantization::Mxfp4,
        _ => Quantization::Bf16,
    }
}

/// The reports, each as vLLM ran it on an H100: 1,024 sequences and 8,192 tokens in a step are its defaults there.
fn reports(catalog: &Catalog) -> Vec<Report<'_>> {
    let h100 = catalog.accelerator("h100-sxm-80gb").map(|i| &catalog.accelerators[i]);
    let fixed = |tokens: f64| Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens };
    let shape = RequestShape { input: fixed(1024.0), output: fixed(256.0), prefix_cached: 0.0 };
    REPORTS
        .lines()
        .skip(1)
        .map(|line| {
            let c: Vec<&'static str> = line.split('\t').collect();
            let number = |i: usize| c[i].parse::<f64>().ok();
            let whole = |i: usize| c[i].parse::<u32>().unwrap_or(0);
            let (major, minor) = c[4].split_once('.').unwrap_or(("0", "0"));
            let engine = EngineSettings {
                name: EngineName::Vllm,
                version: (major.parse().unwrap_or(0), minor.parse().unwrap_or(0)),
                max_num_seqs: 1024,
                max_num_batched_tokens: 8192,
                max_model_len: whole(6),
                gpu_memory_utilization: number(7).unwrap_or(0.9),
            };
            let arch = catalog.resolve_checkpoint(c[1]).map(|found| found.0);
            let predicted = arch.zip(h100).map(|(arch, accelerator)| {
                let configuration = Configuration {
                    arch,
                    quantization: precision(c[2]),
                    kv_cache: if c[3] == "fp8" { KvCacheDtype::Fp8 } else { KvCacheDtype::Auto },
                    accelerator,
                    fraction: 1.0,
                    layout: Layout { tp: whole(5), pp: 1, dp: 1, ep: 1 },
                    accelerators_per_node: 8,
                    inter_node_bandwidth: None,
                    engine,
                };
                fit(&configuration, &shape)
            });
            Report { weights: number(10), cache: number(13), cells: c, predicted }
        })
        .collect()
}

/// The section of the accuracy report.
pub fn write(out: &mut String, catalog: &Catalog) -> std::fmt::Result {
    let reports = reports(catalog);
    let known: Vec<&Report<'_>> = reports.iter().filter(|r| r.predicted.is_some()).collect();
    writeln!(out, "\n## Memory\n")?;
    writeln!(
        out,
        "{} start-up reports of vLLM on H100 (`data/vllm_memory.tsv`), {} of them of models that the catalogue holds. GiB on one",
        reports.len(),
        known.len()
    )?;
    writeln!(
        out,
        "accelerator. The terms of the engine's overhead were fitted on these rows, so the errors are of the fit.\n"
    )?;
    writeln!(
        out,
        "| checkpoint | precision | vLLM | TP | share | weights | predicted | KV cache | predicted | error % | it | we say |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    let gib = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{x:.2}"));
    for r in &reports {
        let c = &r.cells;
        let cache = r.fits().map(|m| m.kv_cache / GIB);
        let error = cache.zip(r.cache).map_or("-".into(), |(p, m)| format!("{:+.1}", (p / m - 1.0) * 100.0));
        let said = match &r.predicted {
            None => "not in the catalogue".to_owned(),
            Some(Ok(_)) => "starts".to_owned(),
            Some(Err(why)) => format!("refused ({})", why.rule()),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {error} | {} | {said} |",
            c[0],
            c[2],
            c[4],
            c[5],
            c[7],
            gib(r.weights),
            gib(r.fits().map(|m| m.weights / GIB)),
            gib(r.cache),
            gib(cache),
            if r.started() { "started" } else { "failed" },
        )?;
    }
    let errors = |pick: fn(&Report<'_>) -> Option<(f64, f64)>| -> Vec<f64> {
        known.iter().filter_map(|r| pick(r)).map(|(p, m)| (p / m - 1.0).abs() * 100.0).collect()
    };
    let weights = errors(|r| Some((r.fits()?.weights / GIB, r.weights?)));
    let cache = errors(|r| Some((r.fits()?.kv_cache / GIB, r.cache?)));
    writeln!(out, "\n| figure | rows | median error % | p90 % |\n|---|---|---|---|")?;
    for (name, errors) in [("weights", weights), ("KV cache", cache)] {
        let n = errors.len();
        let (median, high) = (quantile(errors.clone(), 0.5), quantile(errors, 0.9));
        writeln!(out, "| {name} | {n} | {median:.1} | {high:.1} |")?;
    }
    let count = |started: bool, accepted: bool| {
        known.iter().filter(|r| r.started() == started && r.fits().is_some() == accepted).count()
    };
    writeln!(
        out,
        "\n{} started and are accepted, {} started and are refused; {} failed and are refused, {} failed and are accepted.",
        count(true, true),
        count(true, false),
        count(false, false),
        count(false, true)
    )
}
