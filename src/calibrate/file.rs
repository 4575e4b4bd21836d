//! The calibration file: measured runs, no corrections, so that it never goes stale.
//!
//! ```text
//! { "rhumb_calibration": 1, "runs": [ { "file": "...", "sha256": "...", "gpu": "h100-sxm-80gb", ... } ] }
//! ```
//!
//! Runs are ordered by deployment and load; equal runs give equal bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Refusal;
use crate::perf::{Calibration, Deployment, Figure, Layout, Load, Run};
use crate::spec::{EngineName, KvCacheDtype, Quantization};

/// The version that this program writes and reads.
pub const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    rhumb_calibration: u64,
    runs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    sha256: String,
    part: u32,
    tool: String,
    date: String,
    model: String,
    gpu: String,
    engine: String,
    engine_version: (u32, u32),
    tp: u32,
    pp: u32,
    dp: u32,
    ep: u32,
    precision: String,
    kv_cache: String,
    input_tokens: f64,
    output_tokens: f64,
    fixed_lengths: Option<bool>,
    in_flight: f64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    poisson: Option<bool>,
    requests: u64,
    ttft_ms: f64,
    ttft_error: f64,
    tpot_ms: f64,
    tpot_error: f64,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    accepted: bool,
}

const ENGINES: [EngineName; 3] = [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm];
const PRECISIONS: [Quantization; 7] = [
    Quantization::Bf16,
    Quantization::Fp8,
    Quantization::Fp8Block,
    Quantization::Int8,
    Quantization::Int4,
    Quantization::Mxfp4,
    Quantization::Nvfp4,
];
const CACHES: [KvCacheDtype; 2] = [KvCacheDtype::Bf16, KvCacheDtype::Fp8];

impl Entry {
    fn of(run: &Run) -> Self {
        let d = &run.deployment;
        let (rate, poisson) = match run.load {
            Load::Closed { .. } => (None, None),
            Load::Open { rate, poisson, .. } => (Some(rate), Some(poisson)),
        };
        Entry {
            file: run.file.clone(),
            sha256: run.sha256.clone(),
            part: run.part,
            tool: run.tool.clone(),
            date: run.date.clone(),
            model: d.model.clone(),
            gpu: d.accelerator.clone(),
            engine: d.engine.as_str().to_owned(),
            engine_version: d.version,
            tp: d.layout.tp,
            pp: d.layout.pp,
            dp: d.layout.dp,
            ep: d.layout.ep,
            precision: d.precision.as_str().to_owned(),
            kv_cache: d.kv_cache.as_str().to_owned(),
            input_tokens: run.input,
            output_tokens: run.output,
            fixed_lengths: run.fixed_lengths,
            in_flight: run.load.in_flight(),
            rate,
            poisson,
            requests: run.requests,
            ttft_ms: run.ttft.ms,
            ttft_error: run.ttft.error,
            tpot_ms: run.tpot.ms,
            tpot_error: run.tpot.error,
            accepted: run.accepted,
        }
    }

    /// The run, or what is wrong with it.
    fn run(self) -> Result<Run, String> {
        let known = |what: &str, value: &str| format!("no {what} `{value}`");
        let engine = ENGINES
            .into_iter()
            .find(|e| e.as_str() == self.engine)
            .ok_or_else(|| known("engine", &self.engine))?;
        let precision = PRECISIONS
            .into_iter()
            .find(|q| q.as_str() == self.precision)
            .ok_or_else(|| known("precision", &self.precision))?;
        let kv_cache = CACHES
            .into_iter()
            .find(|k| k.as_str() == self.kv_cache)
            .ok_or_else(|| known("precision of the KV cache", &self.kv_cache))?;
        for (name, x) in [
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("in_flight", self.in_flight),
            ("rate", self.rate.unwrap_or(1.0)),
            ("ttft_ms", self.ttft_ms),
            ("tpot_ms", self.tpot_ms),
        ] {
            if !(x > 0.0 && x < 1e12) {
                return Err(format!("`{name}` is {x}"));
            }
        }
        for (name, x) in [("ttft_error", self.ttft_error), ("tpot_error", self.tpot_error)] {
            if !(0.0..1e6).contains(&x) {
                return Err(format!("`{name}` is {x}"));
            }
        }
        let layout = Layout { tp: self.tp, pp: self.pp, dp: self.dp, ep: self.ep };
        if [layout.tp, layout.pp, layout.dp, layout.ep].iter().any(|n| !(1..=4096).contains(n)) {
            return Err("a parallel size is not between 1 and 4096".to_owned());
        }
        let hexadecimal = self.sha256.len() == 64 && self.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !hexadecimal {
            return Err("`sha256` is no SHA-256".to_owned());
        }
        let date: Result<jiff::civil::Date, _> = self.date.parse();
        if !(self.date.is_empty() || self.date.len() == 10 && date.is_ok()) {
            return Err(format!("`date` is `{}`, not YYYY-MM-DD", self.date));
        }
        let load = match self.rate {
            None => Load::Closed { concurrency: self.in_flight },
            Some(rate) => {
                Load::Open { rate, in_flight: self.in_flight, poisson: self.poisson.unwrap_or(false) }
            }
        };
        Ok(Run {
            file: self.file,
            sha256: self.sha256,
            part: self.part,
            tool: self.tool,
            date: self.date,
            deployment: Deployment {
                model: self.model,
                accelerator: self.gpu,
                engine,
                version: self.engine_version,
                layout,
                precision,
                kv_cache,
            },
            load,
            input: self.input_tokens,
            output: self.output_tokens,
            fixed_lengths: self.fixed_lengths,
            requests: self.requests,
            ttft: Figure { ms: self.ttft_ms, error: self.ttft_error },
            tpot: Figure { ms: self.tpot_ms, error: self.tpot_error },
            accepted: self.accepted,
        })
    }
}

/// Writes runs; the text ends with a newline.
pub fn encode(runs: &[Run]) -> String {
    let ordered = Calibration::new("", "", runs.to_vec());
    let file = Envelope { rhumb_calibration: VERSION, runs: ordered.runs().iter().map(Entry::of).collect() };
    // Serialising plain structs with text keys cannot fail.
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

/// SHA-256 of runs in their written form, lower-case hexadecimal.
pub fn digest(runs: &[Run]) -> String {
    Sha256::digest(encode(runs).as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a calibration file; `name` is its name for people. Runs that repeat others under another digest, as
/// files of older versions may have them, count once.
///
/// # Errors
/// It is no calibration file of this version, or a run in it means nothing.
pub fn decode(name: &str, text: &str) -> Result<Calibration, Refusal> {
    let refuse = |reason: String| Refusal {
        file: name.to_owned(),
        reason,
        fix: "make it with `rhumb calibrate`; it is not meant to be written by hand".to_owned(),
    };
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| refuse(format!("not JSON: {e}")))?;
    match value.get("rhumb_calibration") {
        None => return Err(refuse("no calibration file: it has no `rhumb_calibration`".to_owned())),
        Some(version) if version.as_u64() != Some(VERSION) => {
            return Err(refuse(format!(
                "a calibration file of version {version}; this rhumb reads version {VERSION}"
            )));
        }
        Some(_) => {}
    }
    let file: Envelope = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
    let mut runs = Vec::new();
    for (i, entry) in file.runs.into_iter().enumerate() {
        runs.push(entry.run().map_err(|why| refuse(format!("runs[{i}]: {why}")))?);
    }
    let ids: std::collections::BTreeSet<(&str, u32)> = runs.iter().map(Run::id).collect();
    if ids.len() < runs.len() {
        return Err(refuse("a run is in it twice".to_owned()));
    }
    let digest = digest(&runs);
    Ok(Calibration::new(name, digest, runs))
}
