//! Models, their measured quality under compression, and the accelerators' names in the
//! performance tables.

use std::collections::{BTreeMap, BTreeSet};

use super::names::Aliases;
use super::{Record, field};

/// Kinds that the planner can serve.
const SERVED: [&str; 4] = ["llm-dense", "llm-moe", "embedding", "encoder"];

/// Models of their own (their quality under compression differs) with the architecture of another:
/// id, base, licence, longest context if other than the base's.
const SAME_ARCHITECTURE: [[&str; 4]; 23] = [
    ["deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "meta-llama/Meta-Llama-3.1-70B", "MIT", ""],
    ["deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "meta-llama/Meta-Llama-3.1-8B", "MIT", ""],
    ["deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "Qwen/Qwen2.5-14B-Instruct", "MIT", "131072"],
    ["deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "Qwen/Qwen2.5-32B-Instruct", "MIT", "131072"],
    ["Qwen/QwQ-32B", "Qwen/Qwen2.5-32B-Instruct", "Apache-2.0", "40960"],
    ["moonshotai/Kimi-Dev-72B", "Qwen/Qwen2.5-72B-Instruct", "MIT", "131072"],
    ["nvidia/AceMath-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "", "4096"],
    ["nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", "meta-llama/Meta-Llama-3.1-70B", "Llama 3.1 Community", ""],
    ["deepseek-ai/DeepSeek-R1-0528", "deepseek-ai/DeepSeek-R1", "MIT", ""],
    [
        "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        "mistralai/Mistral-Small-24B-Instruct-2501",
        "Apache-2.0",
        "131072",
    ],
    ["Qwen/Qwen2.5-Coder-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct", "Apache-2.0", ""],
    ["Qwen/Qwen2.5-Coder-1.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct", "Apache-2.0", ""],
    ["Qwen/Qwen2.5-Coder-3B-Instruct", "Qwen/Qwen2.5-3B-Instruct", "Qwen Research", ""],
    ["Qwen/Qwen2.5-Coder-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct", "Apache-2.0", ""],
    ["Qwen/Qwen2.5-Coder-14B-Instruct", "Qwen/Qwen2.5-14B-Instruct", "Apache-2.0", ""],
    ["Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen/Qwen2.5-32B-Instruct", "Apache-2.0", ""],
    ["Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-4B-Thinking-2507", "Qwen/Qwen3-4B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-30B-A3B-Instruct-2507", "Qwen/Qwen3-30B-A3B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-30B-A3B-Thinking-2507", "Qwen/Qwen3-30B-A3B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-Coder-30B-A3B-Instruct", "Qwen/Qwen3-30B-A3B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B", "Apache-2.0", "262144"],
    ["Qwen/Qwen3-235B-A22B-Thinking-2507", "Qwen/Qwen3-235B-A22B", "Apache-2.0", "262144"],
];

/// The models that the planner can serve, and the kinds that were left out.
pub fn models(rows: &[Record]) -> Result<(Vec<Record>, BTreeSet<String>), String> {
    let mut result: Vec<Record> = Vec::new();
    let mut left_out = BTreeSet::new();
    for row in rows {
        let kind = field(row, "kind");
        if !SERVED.contains(&kind) {
            left_out.insert(kind.to_owned());
            continue;
        }
        let mut row = row.clone();
        let (source, as_of) = match field(&row, "source") {
            s if s.starts_with("config.json bundled in aiconfigurator") => {
                ("aiconfigurator-config", "2026-08-21")
            }
            s if s.starts_with("hf config.json (recalled)") => ("hf-config", "2026-11-23"),
            s => return Err(format!("models.csv: source `{s}` has no id")),
        };
        let stated = field(&row, "params_total_b").to_owned();
        for (key, value) in [("source", source), ("as_of", as_of), ("params_stated_b", &stated)] {
            row.insert(key.to_owned(), value.to_owned());
        }
        result.push(row);
    }
    for [id, base, licence, max_context] in SAME_ARCHITECTURE {
        let mut row = result
            .iter()
            .find(|r| field(r, "hf_id") == base)
            .ok_or_else(|| format!("{id}: no model {base}"))?
            .clone();
        let notes = format!("architecture of {base}");
        for (key, value) in [
            ("hf_id", id),
            ("licence", licence),
            ("notes", &notes),
            ("source", "same-architecture"),
            ("as_of", "2026-11-23"),
        ] {
            row.insert(key.to_owned(), value.to_owned());
        }
        if !max_context.is_empty() {
            row.insert("max_context".to_owned(), max_context.to_owned());
        }
        result.push(row);
    }
    Ok((result, left_out))
}

/// Enters the name that the performance tables have for each accelerator.
pub fn perf_ids(accelerators: &mut [Record], specs: &[Record], aliases: &Aliases) {
    for spec in specs {
        let name = field(spec, "gpu");
        let Some(id) = aliases.resolve("accelerator", name) else { continue };
        for row in accelerators.iter_mut().filter(|r| field(r, "accelerator_id") == id) {
            row.insert("perf_id".to_owned(), name.to_owned());
        }
    }
}

/// Recoveries of models and compressions that the catalogue knows. Where a source states several
/// for one key, the lowest.
pub fn quality(rows: &[Record], models: &[Record], aliases: &Aliases) -> Vec<Record> {
    let known: BTreeMap<String, &str> = models
        .iter()
        .flat_map(|m| {
            let id = field(m, "hf_id");
            let short = id.split_once('/').map_or(id, |(_, short)| short);
            [(id.to_lowercase(), id), (short.to_lowercase(), id)]
        })
        .collect();
    let mut result: BTreeMap<[String; 4], Record> = BTreeMap::new();
    for row in rows {
        let written = field(row, "model");
        let model = known.get(&written.to_lowercase()).copied().or_else(|| aliases.resolve("model", written));
        let quantization = aliases.resolve("precision", field(row, "precision"));
        let (Some(model), Some(quantization)) = (model, quantization) else { continue };
        let recovery = field(row, "recovery_pct");
        if quantization == "bf16" || recovery.is_empty() {
            continue;
        }
        let (source, as_of) = match field(row, "source") {
            "AngelSlim" => ("angelslim", "2026-08-07"),
            _ => ("redhat-model-cards", "2026-11-23"),
        };
        let benchmark = field(row, "benchmark").to_lowercase();
        let precision = field(row, "precision");
        let key = [model, quantization, &benchmark, precision].map(str::to_owned);
        let mut new: Record = row.clone();
        for (name, value) in [
            ("model", model),
            ("quantization", quantization),
            ("benchmark", &benchmark),
            ("source", source),
            ("as_of", as_of),
        ] {
            new.insert(name.to_owned(), value.to_owned());
        }
        let figure = |r: &Record| field(r, "recovery_pct").parse().unwrap_or(f64::INFINITY);
        match result.get(&key) {
            Some(old) if figure(old) <= figure(&new) => {}
            _ => {
                result.insert(key, new);
            }
        }
    }
    result.into_values().collect()
}
