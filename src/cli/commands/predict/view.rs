//! Predictions as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Predicted, Question, Row, edges, extras, loads, precision_name};
use crate::cli::Settings;
use crate::cli::view::terminal;
use crate::math::round_to;
use crate::perf::{Band, Latency, MemoryFit, Percentiles, Term, resolved};
use crate::report::Cell;

const GIB: f64 = 1_073_741_824.0;
const CONFIDENCE: f64 = 0.8;

fn gib(bytes: f64) -> String {
    format!("{:.2}", bytes / GIB)
}

pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        x if x >= 1000.0 => format!("{:.2} s", x / 1000.0),
        x if x >= 100.0 => format!("{x:.0} ms"),
        x if x >= 10.0 => format!("{x:.1} ms"),
        x => format!("{x:.2} ms"),
    }
}

pub(super) fn per_second(x: f64) -> String {
    match x {
        x if x >= 1000.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

/// Tokens/s of a replica at its capacity: generated, or read where nothing is generated.
fn tokens_per_second(q: &Question<'_>, p: &Predicted) -> f64 {
    let tokens = if q.shape.output.mean > 0.0 { q.shape.output.mean } else { q.shape.input.mean };
    p.curve.saturation_rate() * tokens
}

fn terms(out: &mut String, title: &str, terms: &[Term]) {
    if terms.is_empty() {
        return;
    }
    let sum: f64 = terms.iter().map(|t| t.ms).sum();
    let _ = writeln!(out, "\n{title}: {}", milliseconds(sum));
    for term in terms {
        let _ =
            writeln!(out, "  {:>9}  {:4.0} %  {}", milliseconds(term.ms), term.ms / sum * 100.0, term.name);
    }
}

fn band(b: &Band) -> String {
    let basis = if b.groups > 0 { format!("{} measured groups", b.groups) } else { "assumed".to_owned() };
    format!("x {:.2} ({basis})", b.factor(CONFIDENCE))
}

fn memory(out: &mut String, m: &MemoryFit) {
    let _ = writeln!(out, "\nmemory of one accelerator, GiB");
    let mut line = |value: String, what: &str| {
        let _ = writeln!(out, "  {value:>9}  {what}");
    };
    line(gib(m.device), "device");
    line(gib(m.usable), "that the engine may use");
    line(gib(m.weights), "weights");
    line(gib(m.overhead), "engine: activations, sampling, communication");
    line(gib(m.kv_cache), "left for the KV cache");
    if m.kv_per_token > 0.0 {
        let _ = writeln!(
            out,
            "  {:.0} bytes a token; the replica holds {:.0} tokens",
            m.kv_per_token, m.kv_tokens
        );
    }
    let _ = writeln!(out, "  at most {} sequences at once", m.max_sequences);
}

fn percentile_table(
    q: &Question<'_>,
    predicted: &Predicted,
    latency: &Latency,
    settings: &Settings,
) -> String {
    let columns = [
        ("", false),
        ("mean", true),
        ("p50", true),
        ("p95", true),
        ("p99", true),
        ("80 % band of p95", true),
    ];
    let (ttft, tpot) = (&predicted.curve.ttft_band, &predicted.curve.tpot_band);
    // First token and tokens may be off together.
    let wider = if ttft.sigma > tpot.sigma { ttft } else { tpot };
    let row = |name: &str, p: &Percentiles, band: &Band| {
        let mut cells = vec![Cell::plain(name)];
        cells.extend([None, Some(0.5), Some(0.95), Some(0.99)].map(|x| Cell::plain(milliseconds(p.at(x)))));
        let (lo, hi) = edges(p.at(Some(0.95)), band);
        cells.push(Cell::plain(format!("{} to {}", milliseconds(lo), milliseconds(hi))));
        cells
    };
    let mut rows = vec![row("TTFT", &latency.ttft, ttft)];
    if q.shape.output.mean > 1.0 {
        rows.push(row("TPOT", &latency.tpot, tpot));
        rows.push(row("E2E", &latency.e2e, wider));
    }
    // Five short columns fit any window.
    terminal::grid(&columns, &rows, settings)
}

/// One configuration in full.
pub fn single(q: &Question<'_>, rows: &[Row<'_>], settings: &Settings) -> String {
    let mut out = terminal::fold(&full(q, rows, settings), settings.width);
    if let Some(Row { outcome: Ok(p), .. }) = rows.first() {
        if p.loads.is_empty() {
            out.push_str("\nby requests in flight: not predicted with adapters\n");
        } else {
            out.push_str(&loads::text(&p.loads, &p.curve.notes, settings));
        }
    }
    out
}

fn full(q: &Question<'_>, rows: &[Row<'_>], settings: &Settings) -> String {
    let mut out = String::new();
    let Some(row) = rows.first() else { return out };
    let c = &row.configuration;
    let (major, minor) = c.engine.version;
    let _ = writeln!(
        out,
        "{} {} on {} x {} ({}), {} {major}.{minor}, {:.0} tokens in, {:.0} out",
        q.arch.id,
        precision_name(resolved(q.arch, c.quantization)),
        c.layout.accelerators(),
        c.accelerator.id,
        c.layout,
        c.engine.name.as_str(),
        q.shape.input.mean,
        q.shape.output.mean,
    );
    let p = match &row.outcome {
        Ok(p) => p,
        Err(reason) => {
            let _ = writeln!(out, "does not run ({}): {reason}", reason.rule());
            return out;
        }
    };
    let _ = writeln!(out, "class: {}", p.curve.evidence.as_str());
    let ttft = band(&p.curve.ttft_band);
    let bands = if q.shape.output.mean > 0.0 {
        format!("TPOT {} and TTFT {ttft}", band(&p.curve.tpot_band))
    } else {
        format!("answer {ttft}")
    };
    let _ = writeln!(out, "band: the truth is below {bands} with {:.0} % confidence", CONFIDENCE * 100.0);
    for note in &p.curve.notes {
        let _ = writeln!(out, "note: {note}");
    }
    memory(&mut out, &p.curve.memory);
    terms(&mut out, &format!("a step that decodes {} sequences", p.curve.max_batch), &p.curve.decode_terms);
    terms(&mut out, "one prompt alone, to its first token", &p.curve.prefill_terms);
    let _ = writeln!(
        out,
        "\none replica carries at most {} requests/s ({} tokens/s); step {} + {:.1} us a sequence, prompt {}",
        per_second(p.curve.saturation_rate()),
        per_second(tokens_per_second(q, p)),
        milliseconds(p.curve.alpha_s * 1e3),
        p.curve.beta_s * 1e6,
        milliseconds(p.curve.w_s * 1e3),
    );
    let extras = extras::text(q, c, p);
    if let Some((load, batch)) = &p.closed {
        let _ = writeln!(out, "\n{}", load.told(f64::from(q.replicas), *batch, &p.curve.notes));
        out.push_str(&extras);
        return out;
    }
    let (rate, latency) = &p.load;
    let replicas = q.replicas;
    let total = rate * f64::from(replicas);
    match latency {
        Some(l) => {
            let asked = if q.rate.is_some() { "" } else { " (80 % of the capacity; ask with --rate)" };
            let _ = writeln!(
                out,
                "\nat {} requests/s over {replicas} replica(s){asked}, Poisson arrivals: {:.0} % used, {:.1} in flight",
                per_second(total),
                l.utilization * 100.0,
                l.batch
            );
            match &p.replayed {
                Some(replayed) => out.push_str(&replayed.text(settings)),
                None => out.push_str(&percentile_table(q, p, l, settings)),
            }
        }
        None => {
            let _ = writeln!(
                out,
                "\nat {} requests/s over {replicas} replica(s): over the capacity of {} requests/s",
                per_second(total),
                per_second(p.curve.saturation_rate() * f64::from(replicas))
            );
        }
    }
    out.push_str(&extras);
    out
}

/// By accelerator and rule: how many configurations, and one of them.
type Refused<'a> = BTreeMap<(&'a str, &'a str), (u32, String)>;

/// A table of what runs, best throughput for each accelerator first, and a summary of what does not.
pub fn table(q: &Question<'_>, rows: &[Row<'_>], settings: &Settings) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}, {:.0} tokens in, {:.0} out; one replica each, without the band",
        q.arch.id, q.shape.input.mean, q.shape.output.mean
    );
    let loaded = q.rate.is_some();
    let latency = match (q.shape.output.mean > 0.0, loaded) {
        (true, true) => "TTFT / TPOT p95",
        (true, false) => "TTFT / TPOT alone",
        (false, true) => "answer p95",
        (false, false) => "answer alone",
    };
    let columns = [
        ("accelerator", false),
        ("precision", false),
        ("layout", false),
        ("GPUs", true),
        ("weights GiB", true),
        ("sequences", true),
        (latency, true),
        ("requests/s", true),
        ("class", false),
    ];
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    let mut refused = Refused::new();
    for row in rows {
        let c = &row.configuration;
        match &row.outcome {
            Ok(p) => {
                let alone = p.curve.latency(0.0, 1, crate::spec::Arrivals::Poisson);
                let (latency, quantile) = if loaded { (&p.load.1, Some(0.95)) } else { (&alone, None) };
                let times = latency.as_ref().map_or_else(
                    || "over capacity".to_owned(),
                    |l| {
                        format!(
                            "{} / {}",
                            milliseconds(l.ttft.at(quantile)),
                            milliseconds(l.tpot.at(quantile))
                        )
                    },
                );
                let row = [
                    c.accelerator.id.clone(),
                    precision_name(c.quantization).to_owned(),
                    c.layout.to_string(),
                    c.layout.accelerators().to_string(),
                    gib(p.curve.memory.weights),
                    p.curve.max_batch.to_string(),
                    times,
                    per_second(p.curve.saturation_rate()),
                    format!("{} x{:.2}", p.curve.evidence.as_str(), p.curve.tpot_band.factor(CONFIDENCE)),
                ];
                cells.push(row.map(Cell::plain).to_vec());
            }
            Err(reason) => {
                let entry = refused.entry((&c.accelerator.id, reason.rule())).or_default();
                entry.0 += 1;
                if entry.1.is_empty() {
                    entry.1 = format!("{} {}: {reason}", precision_name(c.quantization), c.layout);
                }
            }
        }
    }
    let mut out = terminal::fold(&out, settings.width);
    if !cells.is_empty() {
        out.push_str(&terminal::table(&columns, &cells, &settings.for_lists()));
    }
    out.push_str(&terminal::fold(&refusals(&refused, settings), settings.width));
    out
}

/// What does not run, and why.
fn refusals(refused: &Refused<'_>, settings: &Settings) -> String {
    let mut out = String::new();
    if !refused.is_empty() {
        let count: u32 = refused.values().map(|r| r.0).sum();
        let _ = writeln!(out, "\n{count} configurations do not run:");
        for ((accelerator, rule), (count, example)) in refused {
            if settings.verbose > 0 || refused.len() <= 12 {
                let _ = writeln!(out, "  {accelerator}: {count} by {rule}; {example}");
            }
        }
        if settings.verbose == 0 && refused.len() > 12 {
            let mut rules: BTreeMap<&str, u32> = BTreeMap::new();
            for ((_, rule), (count, _)) in refused {
                *rules.entry(rule).or_default() += count;
            }
            let list: Vec<String> = rules.iter().map(|(rule, n)| format!("{n} by {rule}")).collect();
            let _ = writeln!(out, "  {} (-v lists them)", list.join(", "));
        }
    }
    out
}

pub(super) fn rounded(x: f64) -> Value {
    json!(round_to(x, 6))
}

fn band_json(b: &Band) -> Value {
    json!({ "mu": rounded(b.mu), "sigma": rounded(b.sigma), "groups": b.groups })
}

fn percentiles_json(p: &Percentiles) -> Value {
    json!({
        "mean_ms": p.at(None), "p50_ms": p.at(Some(0.5)), "p90_ms": p.at(Some(0.9)),
        "p95_ms": p.at(Some(0.95)), "p99_ms": p.at(Some(0.99)),
    })
}

fn terms_json(terms: &[Term]) -> Value {
    terms.iter().map(|t| json!({ "name": t.name, "ms": rounded(t.ms) })).collect()
}

fn row_json(q: &Question<'_>, row: &Row<'_>) -> Value {
    let c = &row.configuration;
    let mut value = json!({
        "accelerator": c.accelerator.id,
        "accelerators": c.layout.accelerators(),
        "layout": { "tp": c.layout.tp, "pp": c.layout.pp, "dp": c.layout.dp, "ep": c.layout.ep },
        "quantization": precision_name(resolved(q.arch, c.quantization)),
        "engine": c.engine.name.as_str(),
        "engine_version": format!("{}.{}", c.engine.version.0, c.engine.version.1),
        "runs": row.outcome.is_ok(),
    });
    let more = match &row.outcome {
        Err(reason) => json!({ "refused": { "rule": reason.rule(), "reason": reason.to_string() } }),
        Ok(p) => {
            let m = &p.curve.memory;
            let mut more = json!({
                "class": p.curve.evidence.as_str(),
                "notes": p.curve.notes,
                "band": { "ttft": band_json(&p.curve.ttft_band), "tpot": band_json(&p.curve.tpot_band) },
                "memory": {
                    "device_bytes": m.device.round(), "usable_bytes": m.usable.round(),
                    "weights_bytes": m.weights.round(), "overhead_bytes": m.overhead.round(),
                    "kv_cache_bytes": m.kv_cache.round(), "kv_bytes_per_token": rounded(m.kv_per_token),
                    "kv_tokens": m.kv_tokens.round(), "max_sequences": m.max_sequences,
                },
                "step_ms": rounded(p.curve.alpha_s * 1e3),
                "step_ms_per_sequence": rounded(p.curve.beta_s * 1e3),
                "prefill_ms": rounded(p.curve.w_s * 1e3),
                "max_batch": p.curve.max_batch,
                "max_requests_per_s": rounded(p.curve.saturation_rate()),
                "decode_terms": terms_json(&p.curve.decode_terms),
                "prefill_terms": terms_json(&p.curve.prefill_terms),
            });
            let load = match (&p.closed, &p.load) {
                (Some((load, batch)), _) => load.told_json(f64::from(q.replicas), *batch),
                (None, (rate, Some(l))) => json!({
                    "requests_per_s": rounded(rate * f64::from(q.replicas)), "replicas": q.replicas,
                    "utilization": rounded(l.utilization), "in_flight": rounded(l.batch),
                    "ttft": percentiles_json(&l.ttft), "tpot": percentiles_json(&l.tpot), "e2e": percentiles_json(&l.e2e),
                }),
                (None, (rate, None)) => json!({
                    "requests_per_s": rounded(rate * f64::from(q.replicas)), "replicas": q.replicas,
                    "over_capacity": true,
                }),
            };
            if let Some(object) = more.as_object_mut() {
                object.insert("load".into(), load);
                if let Some(replayed) = &p.replayed {
                    object.insert("replayed".into(), replayed.json());
                }
                if !p.loads.is_empty() {
                    object.insert("loads".into(), loads::json(&p.loads));
                }
                object.extend(extras::json(q, c, p));
            }
            more
        }
    };
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

/// All rows, schema `rhumb.predict/1`.
pub fn json(q: &Question<'_>, rows: &[Row<'_>]) -> Value {
    json!({
        "schema": "rhumb.predict/1",
        "model": q.arch.id,
        "input_tokens": q.shape.input.mean,
        "output_tokens": q.shape.output.mean,
        "prefix_cached": q.shape.prefix_cached,
        "rows": rows.iter().map(|r| row_json(q, r)).collect::<Vec<_>>(),
    })
}
