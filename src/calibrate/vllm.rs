//! `vllm bench serve --save-result` (`vllm/benchmarks/serve.py`): one object, or several when appended.

use std::collections::BTreeMap;

use super::held::{self, Held};
use super::json::At;
use super::{Fault, Measurement, Part, day, figure};
use crate::perf::Load;

/// The keys that the benchmark itself writes; all else is its owner's metadata.
const OWN: &[&str] = &["date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "model"];

/// Relative difference of two figures that should be one.
const APART: f64 = 0.02;

pub(super) fn run(at: &At<'_>) -> Result<Part, Fault> {
    let again = "find out why they failed, and run the benchmark again until none does";
    let completed = at.key("completed").count("requests answered")?;
    let failed = match at.key("failed") {
        failed if failed.is_some() => failed.count("requests that failed")?,
        // Older versions do not say it.
        _ => {
            let errors = at.key("errors").items().iter().filter(|e| e.says_something()).count() as u64;
            let asked = at.key("num_prompts").number().unwrap_or(0.0) as u64;
            errors.max(asked.saturating_sub(completed))
        }
    };
    if failed > 0 {
        return Err(Fault::new(
            format!("{failed} of {} requests failed", failed.saturating_add(completed)),
            again,
        ));
    }
    if completed == 0 {
        return Err(Fault::new("no request was answered", again));
    }
    if at.key("num_conversations").is_some() || at.key("mode").text() == Some("multi_turn") {
        return Ok(Part::unsteady("a run of several turns: its prompts grow from turn to turn"));
    }
    if at.key("spec_decode_num_drafts").says_something()
        || at.key("spec_decode_draft_tokens").says_something()
    {
        return Ok(Part::LeftOut(Fault::new(
            "tokens were drafted (speculative decoding), which is not predicted",
            "run the engine without it",
        )));
    }
    if at.key("ramp_up_strategy").is_some() {
        return Ok(Part::unsteady("the rate was ramped up, so there is no one load"));
    }
    let input = at.key("total_input_tokens").positive("prompt tokens")? / completed as f64;
    let output = at.key("total_output_tokens").positive("generated tokens")? / completed as f64;
    let duration = at.key("duration").positive("seconds")?;
    for (key, total) in [
        ("request_throughput", completed as f64),
        ("output_throughput", at.key("total_output_tokens").number().unwrap_or(0.0)),
    ] {
        if let Some(rate) = at.key(key).number()
            && (rate * duration - total).abs() > APART * total
        {
            return Err(Fault::new(
                format!("`{key}` times `duration` is {:.1}, but {total} were counted", rate * duration),
                "the parts of the file are not of one run: take the file as the benchmark wrote it",
            ));
        }
    }
    let lengths = |key: &str| -> Vec<f64> { at.key(key).items().iter().filter_map(At::number).collect() };
    let (inputs, outputs) = (lengths("input_lens"), lengths("output_lens"));
    for (list, total, what) in [(&inputs, input, "input_lens"), (&outputs, output, "output_lens")] {
        let sum: f64 = list.iter().sum();
        if !list.is_empty() && (sum - total * completed as f64).abs() > APART * sum {
            return Err(Fault::new(
                format!("`{what}` adds up to {sum}, the total is {:.0}", total * completed as f64),
                "the parts of the file are not of one run: take the file as the benchmark wrote it",
            ));
        }
    }
    let ttft = at.key("mean_ttft_ms").positive("mean time to first token, ms")?;
    let tpot = at.key("mean_tpot_ms").positive("mean time per output token, ms")?;
    let mut metadata: BTreeMap<String, String> =
        at.texts().into_iter().filter(|(key, _)| !OWN.contains(&key.as_str())).collect();
    let equal = |list: &[f64]| list.iter().all(|x| Some(x) == list.first());
    let noted = metadata.remove("lengths");
    let fixed_lengths = match (noted.as_deref(), inputs.is_empty() || outputs.is_empty()) {
        (_, false) => Some(equal(&inputs) && equal(&outputs)),
        (Some("fixed"), true) => Some(true),
        (Some("spread"), true) => Some(false),
        _ => None,
    };
    let concurrency = at.key("max_concurrency").number().filter(|c| *c >= 1.0);
    let rate = at.key("request_rate").number().filter(|r| *r > 0.0);
    let answered = completed as f64 / duration;
    let each = (ttft + (output - 1.0).max(0.0) * tpot) / 1e3;
    let load = match (concurrency, rate) {
        (Some(concurrency), None) => {
            let whole = at.key("mean_e2el_ms").number().map(|ms| ms / 1e3).filter(|s| *s > 0.0);
            let held = Held::by_law(Some(answered), whole.or(Some(each)));
            match held::closed(concurrency, completed, held) {
                Ok(load) => load,
                Err(why) => return Ok(Part::LeftOut(why)),
            }
        }
        (limit, Some(rate)) => {
            // Little's law; a limit of requests in flight may have held arrivals back.
            let in_flight = (answered * each).max(1.0);
            let poisson = limit.is_none() && at.key("burstiness").number().unwrap_or(1.0) == 1.0;
            Load::Open { rate, in_flight, poisson }
        }
        (None, None) => {
            return Ok(Part::unsteady("all requests were sent at once, so there is no steady load"));
        }
    };
    let model = at.key("model_id").text().unwrap_or_default().to_owned();
    Ok(Part::Run(Box::new(Measurement {
        part: 0,
        model,
        date: at.key("date").text().map(day).unwrap_or_default(),
        load,
        input,
        output,
        fixed_lengths,
        requests: completed,
        ttft: figure(ttft, at.key("std_ttft_ms").number(), completed),
        tpot: figure(tpot, at.key("std_tpot_ms").number(), completed),
        metadata,
    })))
}
