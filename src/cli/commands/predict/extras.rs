//! What `predict` says besides memory and speed: the start of a machine, energy, adapters, processors.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Args, OF_ENGINES, Predicted, Question, model, positive};
use crate::catalog::{Catalog, Evidence};
use crate::cli::stdout::print;
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::math::round_to;
use crate::perf::adapters::{self, Adapters};
use crate::perf::energy::{Energy, FACTOR, energy};
use crate::perf::start_up::{Phase, start_up};
use crate::perf::{Configuration, DoesNotFit, cpu};

/// Arguments of adapters and of processors.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Adapters and processors")]
pub struct ExtraArgs {
    /// LoRA adapters that a replica holds, all requests using one
    #[arg(long, value_name = "N", requires = "max_rank", conflicts_with_all = ["points", "concurrency", "training"])]
    adapters: Option<u32>,
    /// Largest rank of the adapters
    #[arg(long, value_name = "R", requires = "adapters")]
    max_rank: Option<u32>,
    /// Decode on a processor whose main memory has this bandwidth (channels x rate), instead of an accelerator
    #[arg(
        long,
        value_name = "GB/S",
        conflicts_with_all = OF_ENGINES,
        conflicts_with_all = [
            "points", "gpu", "training", "rate", "concurrency", "adapters", "calibration", "per_machine", "rdma_gbps",
        ]
    )]
    cpu_bandwidth: Option<f64>,
}

impl ExtraArgs {
    /// The adapters asked for.
    pub fn adapters(&self) -> Option<Adapters> {
        Some(Adapters { count: self.adapters?, max_rank: self.max_rank? })
    }

    /// Whether a processor is asked for.
    pub fn on_processor(&self) -> bool {
        self.cpu_bandwidth.is_some()
    }
}

/// Decoding on a processor.
///
/// # Errors
/// See [`Failure`].
pub fn on_processor(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let catalog = Catalog::embedded();
    let (arch, _) = model(args, settings, &catalog)?;
    let bandwidth = positive("cpu-bandwidth", args.extra.cpu_bandwidth.unwrap_or(f64::NAN), false)?;
    let input = positive("isl", args.isl, false)?;
    let output = positive("osl", args.osl.unwrap_or(256.0), false)?;
    let quantization = super::precision(args, &catalog)?.unwrap_or(crate::spec::Quantization::Int4);
    let name = quantization.as_str();
    // Figures are of the middle of the answer, but all of it has to fit.
    let longest = input + output;
    let most = f64::from(arch.max_context);
    let found = if longest > most {
        Err(DoesNotFit::Context { needed: longest, available: most })
    } else {
        cpu::decode(&arch, quantization, input + output / 2.0, bandwidth * 1e9)
    };
    let low = |x: f64| x * cpu::BAND.factor(0.1);
    let high = |x: f64| x * cpu::BAND.factor(0.9);
    let text = if settings.json {
        let mut value = json!({
            "schema": "rhumb.predict-cpu/1", "model": arch.id, "quantization": name,
            "memory_bandwidth_gbps": bandwidth, "input_tokens": input, "output_tokens": output, "runs": found.is_ok(),
        });
        let more = match &found {
            Err(reason) => json!({ "refused": { "rule": reason.rule(), "reason": reason.to_string() } }),
            Ok(d) => json!({
                "class": Evidence::Modelled.as_str(), "weights_bytes": d.weights.round(), "bytes_per_token": d.read.round(),
                "tokens_per_s": round_to(d.tokens_per_s, 6), "tokens_per_s_low": round_to(low(d.tokens_per_s), 6),
                "tokens_per_s_high": round_to(high(d.tokens_per_s), 6),
            }),
        };
        if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
            object.extend(more);
        }
        format!("{value}\n")
    } else {
        let mut out = format!(
            "{} {name} on a processor with {bandwidth:.1} GB/s of main memory, {input:.0} tokens in, {output:.0} out\n",
            arch.id
        );
        match &found {
            Err(reason) => {
                let _ = writeln!(out, "does not run ({}): {reason}", reason.rule());
            }
            Ok(d) => {
                let _ = writeln!(out, "class: modelled");
                let _ = writeln!(
                    out,
                    "note: measured on one processor (EPYC 9554) with one model, llama.cpp; prefill and batches are not predicted"
                );
                let _ = writeln!(
                    out,
                    "{:.1} tokens/s of one sequence, {:.1} to {:.1} with 80 % confidence (assumed)",
                    d.tokens_per_s,
                    low(d.tokens_per_s),
                    high(d.tokens_per_s)
                );
                let _ = writeln!(
                    out,
                    "{:.2} GB of weights must fit into memory, {:.2} GB are read for a token",
                    d.weights / 1e9,
                    d.read / 1e9
                );
            }
        }
        terminal::fold(&out, settings.width)
    };
    print(&text)?;
    Ok(if found.is_ok() { Exit::Done } else { Exit::Infeasible })
}

/// Weights of a replica, bytes: what a start brings.
fn phases(c: &Configuration<'_>, p: &Predicted) -> [Phase; 4] {
    start_up(p.curve.memory.weights * f64::from(c.layout.accelerators()), None)
}

/// Energy at the batch of the load that was asked for.
fn joules(c: &Configuration<'_>, p: &Predicted) -> Option<(f64, Energy)> {
    let batch = match (&p.closed, &p.load.1) {
        (Some((_, Some(batch))), _) => batch * f64::from(c.layout.dp),
        (Some((load, None)), _) => load.in_flight,
        (None, Some(latency)) => latency.batch,
        (None, None) => f64::from(p.curve.max_batch),
    };
    energy(c, &p.curve, batch).map(|e| (batch.max(1.0), e))
}

/// The lines of one configuration.
pub fn text(q: &Question<'_>, c: &Configuration<'_>, p: &Predicted) -> String {
    let mut out = String::new();
    if let Some(words) = q.adapters.and_then(|a| adapters::arguments(c, a).ok()) {
        let _ = writeln!(out, "\nengine arguments for the adapters: {}", words.join(" "));
    }
    let phases = phases(c, p);
    let sum: f64 = phases.iter().map(|phase| phase.seconds).sum();
    let _ = writeln!(out, "\nfrom an order for a machine with 10 Gbit/s to its first token: {sum:.0} s");
    for phase in phases {
        let _ = writeln!(
            out,
            "  {:>5.0} s  {:<8} {:<9} {}",
            phase.seconds,
            phase.name,
            phase.evidence.as_str(),
            phase.basis
        );
    }
    match joules(c, p) {
        Some((batch, e)) => {
            let _ = writeln!(
                out,
                "\nenergy of the accelerators alone at a batch of {batch:.0}, class modelled, a factor of {FACTOR} either way (assumed)"
            );
            if e.decode_j_per_token > 0.0 {
                let _ = writeln!(
                    out,
                    "  {:.3} J a generated token, {:.0} of {:.0} W each while decoding",
                    e.decode_j_per_token, e.decode_watts, e.tdp_watts
                );
            }
            let _ = writeln!(
                out,
                "  {:.3} J a prompt's token, {:.0} of {:.0} W each in a prefill",
                e.prefill_j_per_token, e.prefill_watts, e.tdp_watts
            );
        }
        None => {
            let _ = writeln!(out, "\nenergy: unknown, the board power of {} is not listed", c.accelerator.id);
        }
    }
    out
}

/// The same as members of a row.
pub fn json(q: &Question<'_>, c: &Configuration<'_>, p: &Predicted) -> serde_json::Map<String, Value> {
    let mut out = serde_json::Map::new();
    let phases: Vec<Value> = phases(c, p)
        .iter()
        .map(|phase| {
            json!({
                "name": phase.name, "seconds": round_to(phase.seconds, 3), "class": phase.evidence.as_str(),
                "basis": phase.basis,
            })
        })
        .collect();
    out.insert("start_up".into(), json!(phases));
    if let Some((batch, e)) = joules(c, p) {
        out.insert(
            "energy".into(),
            json!({
                "class": Evidence::Modelled.as_str(), "factor_80": FACTOR, "batch": round_to(batch, 6),
                "decode_j_per_token": round_to(e.decode_j_per_token, 6),
                "prefill_j_per_token": round_to(e.prefill_j_per_token, 6),
                "decode_watts": round_to(e.decode_watts, 3), "prefill_watts": round_to(e.prefill_watts, 3),
                "tdp_watts": e.tdp_watts,
            }),
        );
    }
    if let Some((a, words)) = q.adapters.and_then(|a| Some((a, adapters::arguments(c, a).ok()?))) {
        let bytes = adapters::bytes(c, a).unwrap_or(0.0).round();
        out.insert(
            "adapters".into(),
            json!({ "count": a.count, "max_rank": a.max_rank, "bytes": bytes, "arguments": words }),
        );
    }
    out
}
