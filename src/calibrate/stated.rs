//! What result files do not say about a deployment: from the command line, or from the metadata that
//! their owner put into the file.

use std::collections::BTreeMap;

use super::{Measurement, Refusal, Results};
use crate::catalog::{Accelerator, Catalog, ModelArch, Resolved};
use crate::perf::{Deployment, Layout, Run, resolved};
use crate::spec::{EngineName, KvCacheDtype, Quantization};

/// What was typed; metadata of the file fills what is `None` and must not say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    /// Model, for a file that knows it by another name.
    pub model: Option<String>,
    /// Accelerator.
    pub gpu: Option<String>,
    /// Tensor parallel size.
    pub tp: Option<String>,
    /// Pipeline parallel size.
    pub pp: Option<String>,
    /// Attention data parallel size inside a replica.
    pub dp: Option<String>,
    /// Expert parallel size.
    pub ep: Option<String>,
    /// Engine.
    pub engine: Option<String>,
    /// Its version.
    pub engine_version: Option<String>,
    /// Precision of the weights.
    pub precision: Option<String>,
    /// Precision of the KV cache.
    pub kv_cache: Option<String>,
}

/// A fact by the names that it has in metadata; the first is that of the flag.
const NAMES: [&[&str]; 10] = [
    &["model"],
    &["gpu", "accelerator", "gpu_type"],
    &["tp", "tensor_parallel_size", "tp_size"],
    &["pp", "pipeline_parallel_size", "pp_size"],
    &["dp", "data_parallel_size", "dp_size"],
    &["ep", "expert_parallel_size", "ep_size"],
    &["engine"],
    &["engine_version", "vllm_version", "sglang_version"],
    &["precision", "quantization", "dtype"],
    &["kv_cache", "kv_cache_dtype"],
];

const PRECISIONS: [Quantization; 8] = [
    Quantization::Native,
    Quantization::Bf16,
    Quantization::Fp8,
    Quantization::Fp8Block,
    Quantization::Int8,
    Quantization::Int4,
    Quantization::Mxfp4,
    Quantization::Nvfp4,
];

type Why = (String, String);

fn why<T>(reason: impl Into<String>, fix: impl Into<String>) -> Result<T, Why> {
    Err((reason.into(), fix.into()))
}

impl Stated {
    /// The file's measurements as runs of the deployment that was stated. `own` stands in for a model that
    /// the catalogue does not know.
    ///
    /// # Errors
    /// Something is missing, unknown, or said twice and differently.
    pub fn attach(
        &self,
        results: &Results,
        catalog: &Catalog,
        own: Option<&ModelArch>,
    ) -> Result<Vec<Run>, Refusal> {
        results
            .measurements
            .iter()
            .map(|m| {
                let deployment = self.deployment(m, catalog, own).map_err(|(reason, fix)| Refusal {
                    file: results.file.clone(),
                    reason,
                    fix,
                })?;
                Ok(Run {
                    file: results.file.clone(),
                    sha256: results.sha256.clone(),
                    part: m.part,
                    tool: results.tool.to_owned(),
                    date: m.date.clone(),
                    deployment,
                    load: m.load,
                    input: m.input,
                    output: m.output,
                    fixed_lengths: m.fixed_lengths,
                    requests: m.requests,
                    ttft: m.ttft,
                    tpot: m.tpot,
                    accepted: false,
                })
            })
            .collect()
    }

    fn typed(&self) -> [&Option<String>; 10] {
        [
            &self.model,
            &self.gpu,
            &self.tp,
            &self.pp,
            &self.dp,
            &self.ep,
            &self.engine,
            &self.engine_version,
            &self.precision,
            &self.kv_cache,
        ]
    }

    /// A fact from the command line and the file, which must agree where both say it.
    fn one<T: PartialEq>(
        &self,
        fact: usize,
        metadata: &BTreeMap<String, String>,
        read: impl Fn(&str) -> Result<T, Why>,
    ) -> Result<Option<T>, Why> {
        let flag = NAMES[fact][0].replace('_', "-");
        let typed = self.typed()[fact].as_deref();
        let from_flag = typed.map(&read).transpose()?;
        let noted = NAMES[fact].iter().find_map(|name| Some((*name, metadata.get(*name)?)));
        let from_file = match noted {
            Some((name, text)) => Some(read(text).map_err(|(r, _)| {
                (format!("its metadata `{name}`: {r}"), "correct it in the benchmark's command".to_owned())
            })?),
            None => None,
        };
        match (from_flag, from_file) {
            (Some(a), Some(b)) if a != b => why(
                format!(
                    "--{flag} says {}, its metadata {}",
                    typed.unwrap_or_default(),
                    noted.map_or("", |n| n.1)
                ),
                format!("leave --{flag} away, or give each deployment's files in a call of their own"),
            ),
            (a, b) => Ok(a.or(b)),
        }
    }

    fn deployment(
        &self,
        m: &Measurement,
        catalog: &Catalog,
        own: Option<&ModelArch>,
    ) -> Result<Deployment, Why> {
        let metadata = &m.metadata;
        let (arch, checkpoint) = self.model(m, catalog, own)?;
        let missing = |fact: usize, what: &str| -> Why {
            let flag = NAMES[fact][0];
            (
                format!("it does not say {what}"),
                format!("add --{} (or, for vllm, run with --metadata {flag}=...)", flag.replace('_', "-")),
            )
        };
        let gpu = self
            .one(1, metadata, |text| match (accelerator(catalog, text), catalog.names.accelerator(text)) {
                (Some(found), _) => Ok(found.id.clone()),
                (None, Some(Resolved::Family(ids))) => why(
                    format!("`{text}` is several accelerators: {}", ids.join(", ")),
                    "name the one that the runs were made on",
                ),
                (None, _) => why(
                    format!("no accelerator `{text}` in the catalogue"),
                    "`rhumb catalog accelerators` lists them",
                ),
            })?
            .ok_or_else(|| missing(1, "which accelerator it ran on"))?;
        let size = |fact: usize| self.one(fact, metadata, count);
        let tp = size(2)?.ok_or_else(|| missing(2, "its tensor parallel size"))?;
        let layout =
            Layout { tp, pp: size(3)?.unwrap_or(1), dp: size(4)?.unwrap_or(1), ep: size(5)?.unwrap_or(1) };
        let engine = self.one(6, metadata, engine)?.ok_or_else(|| missing(6, "which engine served it"))?;
        let version = self.one(7, metadata, version)?.ok_or_else(|| missing(7, "the engine's version"))?;
        let precision = self
            .one(8, metadata, |text| match precision(catalog, text) {
                Some(Quantization::Native) => Ok(resolved(arch, checkpoint)),
                Some(q) => Ok(resolved(arch, q)),
                None => why(
                    format!("no precision `{text}`"),
                    "bf16, fp8, fp8_block, int8, int4, mxfp4, nvfp4 or native",
                ),
            })?
            .unwrap_or_else(|| resolved(arch, checkpoint));
        let kv_cache = self.one(9, metadata, kv_cache)?.unwrap_or(KvCacheDtype::Bf16);
        Ok(Deployment {
            model: arch.id.clone(),
            accelerator: gpu,
            engine,
            version,
            layout,
            precision,
            kv_cache,
        })
    }

    /// The model by the file's own name for it if the catalogue knows that, else by what was stated.
    fn model<'a>(
        &self,
        m: &Measurement,
        catalog: &'a Catalog,
        own: Option<&'a ModelArch>,
    ) -> Result<(&'a ModelArch, Quantization), Why> {
        let known = |name: &str| catalog.resolve_checkpoint(name);
        let stated = self.model.as_deref().or_else(|| m.metadata.get("model").map(String::as_str));
        let named = known(&m.model);
        let chosen = match stated {
            Some(name) => match known(name) {
                Some(found) => Some(found),
                None => {
                    return why(
                        format!("no model `{name}` in the catalogue"),
                        "give its config.json with --model-config",
                    );
                }
            },
            None => None,
        };
        match (named, chosen, own) {
            (Some(a), Some(b), _) if a.0.id != b.0.id => why(
                format!("it ran {}, and {} was stated", m.model, b.0.id),
                "leave --model away, or give each deployment's files in a call of their own",
            ),
            (Some(a), Some(b), _) if a.1 != b.1 => Ok(b),
            (_, Some(b), _) => Ok(b),
            (Some(a), None, _) => Ok(a),
            (None, None, Some(own)) => Ok((own, own.native)),
            (None, None, None) => {
                let hint = m.metadata.get("tokenizer").filter(|t| known(t).is_some());
                let hint = hint.map_or(String::new(), |t| format!(" (its tokenizer is that of {t})"));
                why(
                    format!("it calls the model `{}`, which the catalogue does not know", m.model),
                    format!(
                        "add --model with the checkpoint's name{hint}, or --model-config with its config.json"
                    ),
                )
            }
        }
    }
}

fn accelerator<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Accelerator> {
    let by_id = |id: &str| catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i));
    by_id(name)
        .or_else(|| catalog.resolve_accelerator(name).and_then(by_id))
        .or_else(|| catalog.accelerators.iter().find(|a| a.perf_id.as_deref() == Some(name)))
}

fn precision(catalog: &Catalog, name: &str) -> Option<Quantization> {
    let lower = name.to_lowercase();
    PRECISIONS.into_iter().find(|q| q.as_str() == lower).or_else(|| catalog.resolve_precision(name))
}

fn count(text: &str) -> Result<u32, Why> {
    match text.trim().parse::<u32>() {
        Ok(n) if (1..=4096).contains(&n) => Ok(n),
        _ => why(format!("`{text}` is not a parallel size"), "write a whole number from 1"),
    }
}

fn engine(text: &str) -> Result<EngineName, Why> {
    match text.to_lowercase().as_str() {
        "vllm" => Ok(EngineName::Vllm),
        "sglang" => Ok(EngineName::Sglang),
        "trtllm" | "tensorrt-llm" | "tensorrt_llm" => Ok(EngineName::Trtllm),
        _ => why(format!("no engine `{text}`"), "vllm, sglang or trtllm"),
    }
}

/// `0.19`, `0.19.1`, `v0.19.1rc2` as (0, 19).
fn version(text: &str) -> Result<(u32, u32), Why> {
    let mut parts = text.trim().trim_start_matches('v').split('.');
    let mut number = || {
        let part = parts.next().unwrap_or_default();
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    match (number(), number()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => why(format!("`{text}` is not a version"), "write it as 0.19"),
    }
}

fn kv_cache(text: &str) -> Result<KvCacheDtype, Why> {
    match text.to_lowercase().as_str() {
        "auto" | "bf16" | "fp16" | "bfloat16" | "float16" => Ok(KvCacheDtype::Bf16),
        "fp8" | "fp8_e4m3" | "fp8_e5m2" => Ok(KvCacheDtype::Fp8),
        _ => why(format!("no precision of the KV cache `{text}`"), "auto, bf16 or fp8"),
    }
}
