//! The table of sources, and the notice made from it.

use std::fmt::Write as _;
use std::path::Path;

use super::{Record, field};

/// Sources of figures that the program carries outside the catalogue's tables (the performance
/// tables and traces).
pub const OUTSIDE_THE_CATALOGUE: [&str; 7] = [
    "aiconfigurator",
    "vidur",
    "perf-fit",
    "llm-d-planner",
    "engine-documentation",
    "llm-foundry",
    "nemo-automodel",
];

/// Sources of the performance data: id, parts, description, copy, licence.
const PERFORMANCE: [[&str; 5]; 17] = [
    [
        "aiconfigurator",
        "",
        "github ai-dynamo/aiconfigurator: config.json facts, measured op and collective tables, silicon samples",
        "095f58a, 2026-08-21",
        "Apache-2.0",
    ],
    [
        "aiconfigurator-config",
        "",
        "config.json of the model, as bundled in github ai-dynamo/aiconfigurator; stated totals from the model card",
        "095f58a, 2026-08-21",
        "model facts; AIC Apache-2.0",
    ],
    [
        "hf-config",
        "",
        "config.json of the model as published on the Hugging Face hub, entered from knowledge, not re-read here",
        "2026-11-23",
        "model facts",
    ],
    [
        "same-architecture",
        "",
        "a fine-tune whose config.json has the base model's architecture; entered from knowledge, not re-read here",
        "2026-11-23",
        "model facts",
    ],
    ["vidur", "", "github microsoft/vidur profiles (A40, A100, H100)", "copy of 2026-11-23", "MIT"],
    [
        "perf-fit",
        "aiconfigurator vidur",
        "our fits and medians of the measured op and collective tables of the two sources",
        "2026-11-23",
        "ours; data Apache-2.0, MIT",
    ],
    [
        "angelslim",
        "",
        "github Tencent/AngelSlim, quantization benchmark page",
        "67394ce, 2026-08-07",
        "Apache-2.0",
    ],
    [
        "redhat-model-cards",
        "",
        "recovery figures stated on Neural Magic / Red Hat model cards, seen through copies in a document index",
        "2026-11-23",
        "not stated; facts from model cards",
    ],
    ["gpustack", "", "github gpustack/gpustack, performance lab pages", "47277d7, 2026-08-21", "Apache-2.0"],
    [
        "engine-documentation",
        "",
        "which precision an engine supports on which hardware: documentation and issues of vLLM, SGLang, TensorRT-LLM and TransformerEngine; each row names its page",
        "2026-11-25",
        "facts; the pages are their projects'",
    ],
    [
        "llm-d-planner",
        "",
        "github llm-d-incubation/llm-d-planner, vLLM start-up memory reports",
        "d3121e0 and 3c876c8, 2026-04-22; docs e50305a",
        "Apache-2.0",
    ],
    [
        "inference-sim",
        "",
        "github inference-sim/training and sim-to-real-accuracy-validation, measured load tests",
        "ed5c1d2, 2026-03-18; 7f3b270, 2026-05-08; dcec3fd, 2026-06-17",
        "none found; only numbers were taken",
    ],
    [
        "llm-foundry",
        "",
        "github mosaicml/llm-foundry, training benchmark tables of 2023-2024, and our fit of them",
        "copy of 2026-11-23",
        "Apache-2.0",
    ],
    [
        "nemo-automodel",
        "",
        "github NVIDIA-NeMo/Automodel, performance summary of 2025-10-02",
        "copy of 2026-11-23",
        "Apache-2.0",
    ],
    ["llm-inference-bench", "", "github argonne-lcf/LLM-Inference-Bench", "4211f5d", "BSD-3"],
    ["iog-benchmarks", "", "github IOG-Foundation/llm-inference-benchmarks", "4990a80", "Apache-2.0"],
    ["dstack-benchmarks", "", "github dstackai/benchmarks", "06c957a", "Apache-2.0"],
];

/// All sources: the table of the catalogue's `SOURCES.md`, the performance data's, and ours.
pub fn sources(catalog: &Path) -> Result<Vec<Record>, String> {
    let path = catalog.join("SOURCES.md");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let section =
        text.split("\n## ").find(|s| s.starts_with("Source ids")).ok_or("no section `Source ids`")?;
    let mut rows: Vec<Record> = Vec::new();
    for line in section.lines().filter(|l| l.starts_with("| ")).skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [ids, what, copy, licence, taken] = cells.as_slice() else {
            return Err(format!("{}: not five cells: {line}", path.display()));
        };
        for id in ids.split(", ") {
            let base = id.split_once('+').map(|(base, _)| base);
            let licence = match (base, licence.is_empty()) {
                (Some(base), true) => {
                    let of_base = rows.iter().find(|r| field(r, "id") == base);
                    of_base.map(|r| field(r, "licence").to_owned()).unwrap_or_default()
                }
                _ => (*licence).to_owned(),
            };
            let copy = match (base, copy.is_empty()) {
                (Some(base), true) => {
                    let of_base = rows.iter().find(|r| field(r, "id") == base);
                    of_base.map(|r| field(r, "copy").to_owned()).unwrap_or_default()
                }
                _ => (*copy).to_owned(),
            };
            rows.push(row(id, &parts(id), what, &copy, &licence, taken));
        }
    }
    if let Some(fit) = rows.iter_mut().find(|r| field(r, "id") == "skyplane-latency-fit") {
        fit.insert("parts".to_owned(), "skyplane-latency".to_owned());
        fit.insert("copy".to_owned(), "945dca27, 2022-04-16".to_owned());
        fit.insert("licence".to_owned(), "Apache-2.0".to_owned());
    }
    let both = "k8s-autoscaler-azure+azure-compute-docs";
    rows.push(row(
        both,
        "k8s-autoscaler-azure azure-compute-docs",
        "vCPU and memory of the first, network, NVMe and InfiniBand of the second",
        "see the two",
        "Apache-2.0; CC-BY-4.0 (docs)",
        "Azure GPU types",
    ));
    for [id, parts, what, copy, licence] in PERFORMANCE {
        rows.push(row(id, parts, what, copy, licence, ""));
    }
    rows.push(row(
        super::carbon::PUE_SOURCE[0],
        "",
        "github cloud-carbon-footprint/cloud-carbon-footprint, packages/{aws,azure,gcp}/src/domain/*FootprintEstimationConstants.ts: PUE_AVG of each cloud, PUE_TRAILING_TWELVE_MONTH of Google's regions",
        "0656d555 (aws, gcp), 0602dde8 (azure), read 2026-11-27",
        "Apache-2.0",
        "PUE",
    ));
    rows.push(row(
        "rhumb",
        "",
        "names matched by hand by the authors of rhumb",
        "2026-11-25",
        "MIT OR Apache-2.0",
        "aliases",
    ));
    Ok(rows)
}

fn row(id: &str, parts: &str, what: &str, copy: &str, licence: &str, taken: &str) -> Record {
    [
        ("id", id),
        ("parts", parts),
        ("description", what),
        ("copy", copy),
        ("licence", licence),
        ("taken", taken),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into()
}

/// `a+b` is made from `a`; `vendor-datasheet+aiconfigurator` from both.
fn parts(id: &str) -> String {
    match id.split_once('+') {
        Some((base, "aiconfigurator")) => format!("{base} aiconfigurator"),
        Some((base, _)) => base.to_owned(),
        None => String::new(),
    }
}

/// The text of `NOTICE`.
pub fn notice(sources: &[Record]) -> String {
    let mut text = String::from(
        "rhumb carries figures from the sources below. Each row of its catalogue names its source and its\n\
         date. Licences are given as they were found; \"none found\" means that the source states none, and\n\
         only facts (numbers and names) were taken. `RHUMB_CATALOG_EXCLUDE=none-found cargo build` leaves\n\
         those sources out.\n",
    );
    let mut sorted: Vec<&Record> = sources.iter().filter(|s| field(s, "carried") == "yes").collect();
    sorted.sort_by_key(|s| field(s, "id"));
    for source in sorted {
        let _ = write!(
            text,
            "\n{}\n  {}\n  copy: {}\n  licence: {}\n",
            field(source, "id"),
            field(source, "description"),
            field(source, "copy"),
            field(source, "licence")
        );
    }
    text
}
