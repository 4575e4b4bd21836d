//! `rhumb predict --training`: throughput and memory of a training run.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Args, OF_ENGINES, accelerators, model, positive, unknown};
use crate::catalog::{Catalog, Evidence};
use crate::cli::stdout::print;
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::math::round_to;
use crate::perf::DoesNotFit;
use crate::perf::training::{
    Checkpointing, Framework, Free, MOST_MICRO_BATCH, Method, Run, Sharding, Training, TrainingMemory,
    TrainingPrecision, fastest, predict,
};

const GIB: f64 = 1_073_741_824.0;
/// Ends of the interval that holds four of five.
const ENDS: (f64, f64) = (0.1, 0.9);

/// Arguments of a training run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArgs {
    /// Predict training instead of serving: full, lora or qlora
    #[arg(
        long,
        value_name = "METHOD",
        conflicts_with_all = OF_ENGINES,
        conflicts_with_all = ["points", "isl", "osl", "rate", "concurrency", "calibration"]
    )]
    training: Option<String>,
    /// Accelerators that train together
    #[arg(long, value_name = "N", requires = "training", default_value_t = 8)]
    gpus: u32,
    /// Tokens of a training sequence
    #[arg(long, value_name = "TOKENS", requires = "training", default_value_t = 2048)]
    seq_len: u32,
    /// Sequences that an accelerator computes at a time; the fastest that fits unless stated
    #[arg(long, value_name = "N", requires = "training")]
    micro_batch: Option<u32>,
    /// What is spread over the accelerators: none, gradients (ZeRO-2), full (ZeRO-3, FSDP)
    #[arg(long, value_name = "WHAT", requires = "training")]
    sharding: Option<String>,
    /// Activations that are computed again: none, full; the faster that fits unless stated
    #[arg(long, value_name = "WHAT", requires = "training")]
    checkpointing: Option<String>,
    /// Rank of the adapters of LoRA
    #[arg(long, value_name = "R", requires = "training", default_value_t = 16)]
    rank: u32,
    /// Tokens to train on, all epochs together, for the hours
    #[arg(long, value_name = "TOKENS", requires = "training")]
    tokens: Option<f64>,
}

impl TrainingArgs {
    /// Whether training is asked for.
    pub fn asked(&self) -> bool {
        self.training.is_some()
    }
}

/// A run as asked for, with what was left to choose.
struct Chosen<'a> {
    run: Run<'a>,
    outcome: Result<Training, DoesNotFit>,
    /// What was not stated.
    chosen: Vec<&'static str>,
    tokens: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let t = &args.training;
    let catalog = Catalog::embedded();
    let (arch, _) = model(args, settings, &catalog)?;
    let gpus = accelerators(args, &catalog)?;
    let [accelerator] = gpus[..] else {
        return Err(Failure::usage("--training needs one accelerator: name it with --gpu"));
    };
    let asked = t.training.as_deref().unwrap_or_default();
    let method = Method::parse(asked, t.rank)
        .ok_or_else(|| unknown("training method", asked, ["full", "lora", "qlora"]))?;
    let precision = match args.precision.as_deref() {
        None => TrainingPrecision::Bf16,
        Some(text) => TrainingPrecision::parse(&text.to_lowercase())
            .ok_or_else(|| unknown("training precision", text, ["bf16", "fp8"]))?,
    };
    let sharding = match t.sharding.as_deref() {
        None if t.gpus > 1 => Sharding::Full,
        None => Sharding::None,
        Some(text) => Sharding::parse(text)
            .ok_or_else(|| unknown("sharding", text, Sharding::ALL.map(Sharding::as_str)))?,
    };
    let checkpointing = match t.checkpointing.as_deref() {
        None => None,
        Some(text) => {
            Some(Checkpointing::parse(text).ok_or_else(|| unknown("checkpointing", text, ["none", "full"]))?)
        }
    };
    for (name, value) in [("tokens", t.tokens), ("rdma-gbps", args.rdma_gbps)] {
        if let Some(value) = value {
            positive(name, value, false)?;
        }
    }
    let base = Run {
        arch: &arch,
        accelerator,
        accelerators: t.gpus,
        accelerators_per_node: args.per_machine,
        network: args.rdma_gbps.map(|g| g * 1e9 / 8.0),
        method,
        framework: Framework::PyTorch,
        precision,
        sequence: t.seq_len,
        micro_batch: t.micro_batch.unwrap_or(1),
        sharding,
        checkpointing: checkpointing.unwrap_or(Checkpointing::Full),
    };
    let (run, outcome) = best(&base, t.micro_batch, checkpointing);
    let mut chosen = Vec::new();
    for (name, missing) in [
        ("micro_batch", t.micro_batch.is_none()),
        ("sharding", t.sharding.is_none()),
        ("checkpointing", checkpointing.is_none()),
    ] {
        if missing {
            chosen.push(name);
        }
    }
    let found = Chosen { run, outcome, chosen, tokens: t.tokens };
    let text = if settings.json {
        format!("{}\n", json(&found))
    } else {
        terminal::fold(&text(&found), settings.width)
    };
    print(&text)?;
    Ok(if found.outcome.is_ok() { Exit::Done } else { Exit::Infeasible })
}

/// The fastest of what is left open; where nothing runs, why its smallest run does not.
fn best<'a>(
    base: &Run<'a>,
    micro_batch: Option<u32>,
    checkpointing: Option<Checkpointing>,
) -> (Run<'a>, Result<Training, DoesNotFit>) {
    // Nobody says how many sequences a step has: one that is split into every power of two.
    let batch = base.accelerators.saturating_mul(micro_batch.unwrap_or(MOST_MICRO_BATCH));
    let free = Free { micro_batch, sharding: Some(base.sharding), checkpointing };
    let run = fastest(base, batch, free).unwrap_or(*base);
    (run, predict(&run))
}

/// The 80 % interval of a rate.
fn interval(rate: f64, training: &Training) -> (f64, f64) {
    (rate * training.band.factor(ENDS.0), rate * training.band.factor(ENDS.1))
}

fn method(run: &Run<'_>) -> String {
    match run.method {
        Method::Full => "full training".into(),
        Method::Lora { rank } => format!("LoRA of rank {rank}"),
        Method::QLora { rank } => format!("QLoRA of rank {rank}"),
    }
}

fn parts(m: &TrainingMemory) -> [(&'static str, &'static str, f64); 8] {
    [
        ("device_bytes", "device", m.device),
        ("weights_bytes", "weights", m.weights),
        ("gradients_bytes", "gradients", m.gradients),
        ("optimizer_bytes", "optimizer", m.optimizer),
        ("gathered_bytes", "layers gathered from other accelerators", m.gathered),
        ("activations_bytes", "activations of a micro-batch", m.activations),
        ("logits_bytes", "scores over the vocabulary", m.logits),
        ("runtime_bytes", "driver, framework, communication (assumed)", m.runtime),
    ]
}

fn text(c: &Chosen<'_>) -> String {
    let run = &c.run;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {} in {} on {} x {}, {} sequence(s) of {} tokens at a time, sharding {}, checkpointing {}",
        run.arch.id,
        method(run),
        run.precision.as_str(),
        run.accelerators,
        run.accelerator.id,
        run.micro_batch,
        run.sequence,
        run.sharding.as_str(),
        run.checkpointing.as_str(),
    );
    if !c.chosen.is_empty() {
        let names: Vec<String> = c.chosen.iter().map(|n| n.replace('_', " ")).collect();
        let _ = writeln!(out, "not stated, so chosen: {}", names.join(", "));
    }
    let t = match &c.outcome {
        Ok(t) => t,
        Err(reason) => {
            let _ = writeln!(out, "does not run ({}): {reason}", reason.rule());
            return out;
        }
    };
    let _ = writeln!(out, "class: {}", t.evidence.as_str());
    for note in &t.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let (low, high) = interval(t.tokens_per_s, t);
    let _ = writeln!(
        out,
        "\n{:.0} tokens/s, {low:.0} to {high:.0} with 80 % confidence ({} left-out groups); {:.0} on each; {:.1} % of the peak",
        t.tokens_per_s,
        t.band.groups,
        t.tokens_per_s_per_accelerator,
        t.utilization * 100.0
    );
    if let Some(tokens) = c.tokens {
        let hours = |rate: f64| tokens / rate / 3600.0;
        let _ = writeln!(
            out,
            "{tokens:.0} tokens take {:.1} hours, {:.1} to {:.1}; {:.1} accelerator-hours",
            hours(t.tokens_per_s),
            hours(high),
            hours(low),
            hours(t.tokens_per_s) * f64::from(run.accelerators)
        );
    }
    let _ = writeln!(out, "\ntime");
    for (name, share) in &t.shares {
        let _ = writeln!(out, "  {:4.0} %  {name}", share * 100.0);
    }
    let _ = writeln!(out, "\nmemory of one accelerator, GiB");
    for (_, name, bytes) in parts(&t.memory) {
        let _ = writeln!(out, "  {:>7.2}  {name}", bytes / GIB);
    }
    let _ = writeln!(out, "  {:>7.2}  needed", t.memory.needed() / GIB);
    out
}

fn rounded(x: f64) -> Value {
    json!(round_to(x, 6))
}

/// Schema `rhumb.predict-training/1`.
fn json(c: &Chosen<'_>) -> Value {
    let run = &c.run;
    let mut value = json!({
        "schema": "rhumb.predict-training/1",
        "model": run.arch.id,
        "accelerator": run.accelerator.id,
        "accelerators": run.accelerators,
        "method": run.method.as_str(),
        "precision": run.precision.as_str(),
        "sequence_tokens": run.sequence,
        "micro_batch": run.micro_batch,
        "sharding": run.sharding.as_str(),
        "checkpointing": run.checkpointing.as_str(),
        "chosen": c.chosen,
        "runs": c.outcome.is_ok(),
    });
    let more = match &c.outcome {
        Err(reason) => json!({ "refused": { "rule": reason.rule(), "reason": reason.to_string() } }),
        Ok(t) => {
            let (low, high) = interval(t.tokens_per_s, t);
            let memory: serde_json::Map<String, Value> = parts(&t.memory)
                .iter()
                .map(|(key, _, bytes)| ((*key).to_owned(), json!(bytes.round())))
                .collect();
            let mut more = json!({
                "class": Evidence::as_str(t.evidence),
                "notes": t.notes,
                "band": { "mu": rounded(t.band.mu), "sigma": rounded(t.band.sigma), "groups": t.band.groups },
                "tokens_per_s": rounded(t.tokens_per_s),
                "tokens_per_s_low": rounded(low),
                "tokens_per_s_high": rounded(high),
                "tokens_per_s_per_accelerator": rounded(t.tokens_per_s_per_accelerator),
                "flops_utilization": rounded(t.utilization),
                "memory": memory,
                "time_shares": t.shares.iter().map(|(name, share)| json!({ "name": name, "share": rounded(*share) })).collect::<Vec<_>>(),
            });
            if let (Some(tokens), Some(object)) = (c.tokens, more.as_object_mut()) {
                let hours = |rate: f64| rounded(tokens / rate / 3600.0);
                object.insert("tokens".into(), json!(tokens));
                object.insert("hours".into(), hours(t.tokens_per_s));
                object.insert("hours_low".into(), hours(high));
                object.insert("hours_high".into(), hours(low));
            }
            more
        }
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        if let Some(rank) = run.method.rank() {
            object.insert("rank".into(), json!(rank));
        }
        object.extend(more);
    }
    value
}
