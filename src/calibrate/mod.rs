//! Result files of benchmarks, read into runs that predictions can be compared with.
//!
//! [`read`] takes what vLLM's serving benchmark, GuideLLM, genai-perf or AIPerf wrote; [`Stated::attach`]
//! adds what their files do not say (accelerator, layout, engine), from the command line or from the
//! file's own metadata; [`mod@file`] keeps the runs. A file with a fault is refused whole: a mean over
//! requests of which some failed is a mean over the easy ones. A run whose load is none that is predicted,
//! or not the one that was asked for (`held`), is left out.

mod aiperf;
pub mod file;
mod guidellm;
mod held;
mod json;
mod stated;
mod vllm;

pub use stated::Stated;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::perf::{Figure, Load};
use json::At;

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {reason}\n  fix: {fix}")]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// What is wrong, in words.
    pub reason: String,
    /// What to do.
    pub fix: String,
}

/// One run as its file tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Which run of the file, from 0.
    pub part: u32,
    /// The model's name as it was asked for.
    pub model: String,
    /// `YYYY-MM-DD`; empty if not stated.
    pub date: String,
    /// How requests were sent.
    pub load: Load,
    /// Mean prompt, tokens.
    pub input: f64,
    /// Mean answer, tokens.
    pub output: f64,
    /// Whether all requests had equal lengths.
    pub fixed_lengths: Option<bool>,
    /// Requests answered.
    pub requests: u64,
    /// Mean time to first token.
    pub ttft: Figure,
    /// Mean time per output token after the first.
    pub tpot: Figure,
    /// What its owner noted in the file: key to value.
    pub metadata: BTreeMap<String, String>,
}

/// A result file.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// Its name.
    pub file: String,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// What wrote it.
    pub tool: &'static str,
    /// Its runs; at least one.
    pub measurements: Vec<Measurement>,
    /// Runs of it that no prediction can be compared with, each with the reason.
    pub left_out: Vec<String>,
}

/// What went wrong inside of a file, before its name is known.
struct Fault {
    reason: String,
    fix: String,
}

impl Fault {
    fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Fault { reason: reason.into(), fix: fix.into() }
    }
}

/// What a reader makes of one run: a measurement, or why none can be compared with it.
enum Part {
    Run(Box<Measurement>),
    LeftOut(Fault),
}

impl Part {
    /// No steady load, or one of another kind.
    fn unsteady(reason: impl Into<String>) -> Self {
        Part::LeftOut(Fault::new(
            reason,
            "hold a fixed number of requests in flight (vllm: --max-concurrency; guidellm: concurrent; \
             aiperf: --concurrency), or send them at a stated rate",
        ))
    }
}

const RUN_AGAIN: &str = "run the benchmark again and let it end; nothing of this file was taken";

/// Reads a result file; `name` is its name for people.
///
/// # Errors
/// It is no result file of a known benchmark, or it has any fault.
pub fn read(name: &str, bytes: &[u8]) -> Result<Results, Refusal> {
    let refuse = |fault: Fault| Refusal { file: name.to_owned(), reason: fault.reason, fix: fault.fix };
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = std::str::from_utf8(bytes).map_err(|e| {
        refuse(Fault::new(
            format!("not UTF-8 text: byte {}", e.valid_up_to()),
            "name the JSON file that the benchmark wrote",
        ))
    })?;
    let (tool, parts) = parts(text).map_err(refuse)?;
    let mut results =
        Results { file: name.to_owned(), sha256, tool, measurements: Vec::new(), left_out: Vec::new() };
    let mut first = None;
    for (i, part) in parts.into_iter().enumerate() {
        match part {
            Part::Run(mut m) => {
                m.part = i as u32;
                results.measurements.push(*m);
            }
            Part::LeftOut(fault) => {
                results.left_out.push(format!("run {}: {}; {}", i + 1, fault.reason, fault.fix));
                first.get_or_insert(fault);
            }
        }
    }
    if results.measurements.is_empty() {
        let why = first.unwrap_or_else(|| Fault::new("it holds no run", RUN_AGAIN));
        let reason = format!("no run in it can be compared with a prediction: {}", why.reason);
        return Err(refuse(Fault::new(reason, why.fix)));
    }
    Ok(results)
}

fn parts(text: &str) -> Result<(&'static str, Vec<Part>), Fault> {
    let documents = json::documents(text)?;
    let first = At::root(&documents[0]);
    if first.has("benchmarks") && documents.len() == 1 {
        return Ok(("guidellm", guidellm::runs(&first)?));
    }
    if first.has("input_config") && documents.len() == 1 {
        let tool =
            if first.has("aiperf_version") || first.has("schema_version") { "aiperf" } else { "genai-perf" };
        return Ok((tool, vec![aiperf::run(&first)?]));
    }
    if ["model_id", "request_rate", "mean_ttft_ms"].iter().any(|key| first.has(key)) {
        let runs = documents.iter().map(|d| vllm::run(&At::root(d))).collect::<Result<_, _>>()?;
        return Ok(("vllm bench serve", runs));
    }
    Err(Fault::new(
        "not a result file of vllm bench serve, guidellm, genai-perf or aiperf",
        "name the file of `vllm bench serve --save-result`, guidellm's benchmarks.json, or \
         profile_export_genai_perf.json / profile_export_aiperf.json",
    ))
}

/// A day in the file's own writing: `20260816-160853`, `2026-07-03T04:23:09`, seconds since 1970.
fn day(text: &str) -> String {
    let digits: String = text.chars().take(8).filter(char::is_ascii_digit).collect();
    if digits.len() == 8 {
        return format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]);
    }
    let iso: Option<jiff::civil::Date> = text.get(..10).and_then(|d| d.parse().ok());
    iso.map_or_else(String::new, |d| d.to_string())
}

/// The day of a time in seconds since 1970, UTC.
fn day_of(seconds: f64) -> String {
    let known = seconds.is_finite() && seconds > 0.0 && seconds < 1e11;
    let time = known.then(|| jiff::Timestamp::from_second(seconds as i64).ok()).flatten();
    time.map_or_else(String::new, |t| t.to_string().get(..10).unwrap_or_default().to_owned())
}

/// A mean with the standard error of the requests that it is over.
fn figure(mean_ms: f64, deviation_ms: Option<f64>, requests: u64) -> Figure {
    let error = deviation_ms.unwrap_or(0.0).max(0.0) / mean_ms / crate::math::sqrt(requests.max(1) as f64);
    Figure { ms: mean_ms, error: if error.is_finite() { error } else { 0.0 } }
}
