//! genai-perf's `profile_export_genai_perf.json` and AIPerf's `profile_export_aiperf.json`: statistics by
//! metric, each with its unit, beside the input configuration, whose form differs between versions.

use std::collections::BTreeMap;

use super::held::{self, Held};
use super::json::At;
use super::{Fault, Measurement, Part, day, figure};
use crate::perf::Load;

/// Milliseconds in a unit.
fn unit(at: &At<'_>) -> Result<f64, Fault> {
    match at.key("unit").text().unwrap_or("ms") {
        "ms" | "milliseconds" => Ok(1.0),
        "s" | "sec" | "seconds" => Ok(1e3),
        "us" | "microseconds" => Ok(1e-3),
        "ns" | "nanoseconds" => Ok(1e-6),
        other => Err(Fault::new(
            format!("a latency is in `{other}`"),
            "write the file with its default units (ms)",
        )),
    }
}

pub(super) fn run(at: &At<'_>) -> Result<Part, Fault> {
    let again = "find out why they failed, and run the benchmark again until none does";
    if at.key("was_cancelled").bool() == Some(true) {
        return Err(Fault::new("the run was cancelled", "run the benchmark again and let it end"));
    }
    let average = |name: &str| at.at(&[name, "avg"]);
    let failed = average("error_request_count").number().unwrap_or(0.0);
    let listed = at.key("error_summary").items().len();
    if failed > 0.0 || listed > 0 {
        let n = if failed > 0.0 { format!("{failed:.0} requests") } else { "some requests".to_owned() };
        return Err(Fault::new(format!("{n} failed"), again));
    }
    let config = at.key("input_config");
    let ttft = at.key("time_to_first_token");
    if !ttft.is_some() {
        return Err(Fault::new(
            "`time_to_first_token` is missing",
            "run the benchmark with --streaming: without it no first token is seen",
        ));
    }
    let tpot = at.key("inter_token_latency");
    let requests = match average("request_count").number().or_else(|| ttft.key("count").number()) {
        Some(n) if n >= 1.0 => n as u64,
        Some(_) => return Err(Fault::new("no request was answered", again)),
        // genai-perf before 0.0.12 counts nothing.
        None => config.key("request_count").number().map_or(0, |n| n.max(0.0) as u64),
    };
    if config
        .key("phases")
        .items()
        .iter()
        .any(|p| p.key("name").text() == Some("profiling") && p.has("rate_ramp"))
    {
        return Ok(Part::unsteady("the rate was ramped, so there is no one load"));
    }
    let (concurrency, rate, poisson) = stimulus(&config);
    let latency = average("request_latency").number().unwrap_or(0.0) * unit(&at.key("request_latency"))?;
    let (input, output) = (at.key("input_sequence_length"), at.key("output_sequence_length"));
    let equal = |lengths: &At<'_>| Some(lengths.key("min").number()? == lengths.key("max").number()?);
    let ms = |at: &At<'_>, what: &str| -> Result<(f64, Option<f64>), Fault> {
        let unit = unit(at)?;
        Ok((at.key("avg").positive(what)? * unit, at.key("std").number().map(|s| s * unit)))
    };
    let (ttft_ms, ttft_std) = ms(&ttft, "mean time to first token")?;
    let (tpot_ms, tpot_std) = ms(&tpot, "mean time between tokens")?;
    let load = match (concurrency, rate) {
        (_, Some(rate)) => {
            let achieved = average("request_throughput").positive("requests a second")?;
            if latency <= 0.0 {
                return Err(Fault::new("`request_latency` is missing", again));
            }
            Load::Open { rate, in_flight: (achieved * latency / 1e3).max(1.0), poisson }
        }
        (Some(concurrency), None) => {
            let parts = output.key("avg").number().map(|n| ttft_ms + (n - 1.0).max(0.0) * tpot_ms);
            let each = Some(latency).filter(|ms| *ms > 0.0).or(parts);
            let held = Held::by_law(average("request_throughput").number(), each.map(|ms| ms / 1e3));
            match held::closed(concurrency, requests, held) {
                Ok(load) => load,
                Err(why) => return Ok(Part::LeftOut(why)),
            }
        }
        (None, None) => {
            return Ok(Part::unsteady("neither a concurrency nor a request rate is in `input_config`"));
        }
    };
    let models = config.at(&["models", "items"]).items();
    let names = [config.key("model_names"), config.at(&["endpoint", "model_names"]), config.key("model")];
    let named = names.iter().find_map(|n| n.items().first().and_then(At::text).or_else(|| n.text()));
    let several = models.len().max(names.iter().map(|n| n.items().len()).max().unwrap_or(0)) > 1;
    if several {
        return Ok(Part::LeftOut(Fault::new("requests went to several models", "measure each model alone")));
    }
    let model = models.first().and_then(|m| m.key("name").text()).or(named).unwrap_or_default();
    let mut metadata = BTreeMap::new();
    if let Some(tokenizer) = config.at(&["tokenizer", "name"]).text() {
        metadata.insert("tokenizer".to_owned(), tokenizer.to_owned());
    }
    Ok(Part::Run(Box::new(Measurement {
        part: 0,
        model: model.to_owned(),
        date: at.key("start_time").text().map(day).unwrap_or_default(),
        load,
        input: input.key("avg").positive("prompt tokens")?,
        output: output.key("avg").positive("generated tokens")?,
        fixed_lengths: equal(&input).zip(equal(&output)).map(|(a, b)| a && b),
        requests,
        ttft: figure(ttft_ms, ttft_std, requests),
        tpot: figure(tpot_ms, tpot_std, requests),
        metadata,
    })))
}

/// Concurrency, rate, and whether arrivals are Poisson, from every form that the configuration had.
fn stimulus(config: &At<'_>) -> (Option<f64>, Option<f64>, bool) {
    let phases = config.key("phases").items();
    let phase = phases
        .iter()
        .find(|p| p.key("name").text() == Some("profiling"))
        .or_else(|| phases.iter().rfind(|p| p.key("exclude_from_results").bool() != Some(true)));
    let places: Vec<At<'_>> = phase
        .into_iter()
        .cloned()
        .chain([config.key("loadgen"), config.at(&["perf_analyzer", "stimulus"]), config.clone()])
        .collect();
    for at in &places {
        let number = |key: &str| at.key(key).number().filter(|x| *x > 0.0);
        let rate = number("request_rate").or_else(|| number("rate"));
        let concurrency = number("concurrency");
        if rate.is_some() || concurrency.is_some() {
            let kind = ["type", "request_rate_mode", "arrival_pattern"].iter().find_map(|k| at.key(k).text());
            // A limit of requests in flight may have held arrivals back.
            return (concurrency, rate, concurrency.is_none() && kind.is_none_or(|k| k == "poisson"));
        }
    }
    (None, None, false)
}
