//! Static batches of 2024 against the closed loop: older engines and other accelerators.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::Catalog;
use rhumb::perf::points::{Case, Columns, Row};
use rhumb::perf::vintage;
use rhumb::spec::EngineName;

use super::points::number;
use super::{Outcome, quantile, report, rows};

/// Normal quantile of 0.9.
const Z90: f64 = 1.281_551_565_544_6;
/// Accelerators of the file that the catalogue holds.
const ACCELERATORS: [(&str, &str); 5] = [
    ("A100", "a100-sxm-80gb"),
    ("GH200-96GB", "gh200-96gb"),
    ("H100-80GB", "h100-sxm-80gb"),
    ("H100-80GB-SXM", "h100-sxm-80gb"),
    ("MI300X", "mi300x"),
];

/// What one kind of rows has: the logarithm of measured over predicted, and whether it is inside the 80 % interval.
#[derive(Default)]
struct Found {
    by_model: BTreeMap<String, Vec<f64>>,
    inside: usize,
    refused: usize,
    class: &'static str,
}

fn answer(found: &mut Found, row: &super::Row, case: &Case<'_>) {
    let Ok(b) = case.predict() else {
        found.refused += 1;
        return;
    };
    if b.notes.iter().any(|n| n.contains("although it should not run")) {
        found.refused += 1;
        return;
    }
    let more = number(row, "osl") - 1.0;
    // Both may be off together.
    let at = |z: f64| {
        let end = |s: f64, band: &rhumb::perf::Band| s * (band.mu + z * band.sigma).exp();
        end(b.ttft_s, &b.ttft_band) + more * end(b.tpot_s, &b.tpot_band)
    };
    let (measured, predicted) = (number(row, "batch_latency_s"), b.ttft_s + more * b.tpot_s);
    found.inside += usize::from((at(-Z90)..=at(Z90)).contains(&measured));
    found.class = b.evidence.as_str();
    found.by_model.entry(row["model"].clone()).or_default().push((measured / predicted).ln());
}

/// The section of the report.
pub fn write(out: &mut String, dir: &Path, catalog: &Catalog) -> Outcome<()> {
    let mut all: BTreeMap<(String, String), Found> = BTreeMap::new();
    let names = [
        "model",
        "system",
        "backend",
        "backend_version",
        "dtype",
        "mode",
        "isl",
        "osl",
        "random_range_ratio",
        "concurrency",
        "num_gpus",
        "attn_tp",
        "attn_dp",
        "pp",
        "moe_ep",
    ];
    let columns = Columns::new(names.into_iter());
    for row in rows(dir, "other_gpus.csv")? {
        let gpu = ACCELERATORS.iter().find(|(name, _)| *name == row["gpu"]);
        // Builds are not named; these are older than any that the fit saw.
        let engine = match row["framework"].as_str() {
            "vLLM" | "vllm" => ("vllm", "0.5.0"),
            "TensorRT-LLM" => ("trtllm", "0.10.0"),
            _ => continue,
        };
        let (Some((_, system)), "static_batch") = (gpu, row["load_kind"].as_str()) else { continue };
        if !(number(&row, "batch_latency_s") > 0.0 && number(&row, "osl") >= 1.0) {
            continue;
        }
        let dtype = if row["dtype"].contains("16") { "bf16" } else { row["dtype"].as_str() };
        let gpus = row["num_gpus"].as_str();
        let cells: csv::StringRecord = [
            row["model"].as_str(),
            system,
            engine.0,
            engine.1,
            dtype,
            "agg",
            &row["isl"],
            &row["osl"],
            "1.0",
            &row["load_value"],
            gpus,
            gpus,
            "1",
            "1",
            "1",
        ]
        .into_iter()
        .collect();
        let found = all.entry((row["gpu"].clone(), engine.0.to_owned())).or_default();
        match Case::read(&Row::new(&columns, &cells), catalog, None) {
            Ok(case) => answer(found, &row, &case),
            Err(_) => found.refused += 1,
        }
    }
    writeln!(out, "\n## Static batches of 2024: older engines, and AMD\n")?;
    writeln!(
        out,
        "Published times of whole batches (`other_gpus.csv`: Argonne's LLM-Inference-Bench, dstack), predicted as a closed loop of"
    )?;
    writeln!(
        out,
        "that many requests, its time to first token and that of the other tokens together. The builds are not named; of vLLM before 0.8"
    )?;
    writeln!(
        out,
        "and TensorRT-LLM before 1.0 a factor each (1.37 and 1.20) was taken from the NVIDIA rows, as the mean over models and"
    )?;
    writeln!(
        out,
        "accelerators: nothing else. `factor of others` predicts each pair of them with that of the others.\n"
    )?;
    writeln!(
        out,
        "| accelerator, engine | rows | models | measured / predicted, median | error % | error % without the factor | factor of others | inside 80 % | class | not answered |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    // Medians of model and accelerator of NVIDIA's, before the factor, by engine.
    let factor = |engine: &str| vintage(if engine == "vllm" { EngineName::Vllm } else { EngineName::Trtllm });
    let nvidia = |gpu: &str| gpu != "MI300X" && gpu != "H100-80GB-SXM";
    let mut centres: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((_, engine), found) in all.iter().filter(|((gpu, _), _)| nvidia(gpu)) {
        let medians = found.by_model.values().map(|x| quantile(x.clone(), 0.5) + factor(engine));
        centres.entry(engine).or_default().extend(medians);
    }
    for ((gpu, engine), found) in &all {
        let residuals: Vec<f64> = found.by_model.values().flatten().copied().collect();
        let n = residuals.len();
        if n == 0 {
            continue;
        }
        let others: Vec<f64> = if nvidia(gpu) {
            let of = &centres[engine.as_str()];
            let sum: f64 = of.iter().sum();
            let left = |x: &Vec<f64>| {
                let own = quantile(x.clone(), 0.5) + factor(engine);
                let others = (sum - own) / (of.len() as f64 - 1.0);
                x.iter().map(move |r| r + factor(engine) - others).collect::<Vec<_>>()
            };
            found.by_model.values().flat_map(left).collect()
        } else {
            Vec::new()
        };
        writeln!(
            out,
            "| {gpu}, {engine} | {n} | {} | {:.2} | {} | {} | {} | {:.0} % | {} | {} |",
            found.by_model.len(),
            quantile(residuals.clone(), 0.5).exp(),
            report::error(residuals.clone()),
            report::error(residuals.iter().map(|r| r + factor(engine)).collect()),
            report::error(others),
            found.inside as f64 / n as f64 * 100.0,
            found.class,
            found.refused
        )?;
    }
    for (engine, of) in centres {
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        writeln!(
            out,
            "\n{engine}: {} pairs of model and accelerator, geometric mean of their medians {:.3}.",
            of.len(),
            mean.exp()
        )?;
    }
    Ok(())
}
