//! GuideLLM's `benchmarks.json`: one report with several benchmarks. Version 1 of its metadata names a
//! strategy `type_`, version 2 `kind`.

use super::held::{self, Held};
use super::json::At;
use super::{Fault, Measurement, Part, day_of, figure};
use crate::perf::Load;

pub(super) fn runs(report: &At<'_>) -> Result<Vec<Part>, Fault> {
    let benchmarks = report.key("benchmarks").items();
    if benchmarks.is_empty() {
        return Err(Fault::new("`benchmarks` is empty", "run the benchmark again and let it end"));
    }
    benchmarks.iter().map(|b| run(report, b)).collect()
}

fn run(report: &At<'_>, benchmark: &At<'_>) -> Result<Part, Fault> {
    let metrics = benchmark.key("metrics");
    let again = "find out why they failed, and run the benchmark again until none does";
    let totals = metrics.key("request_totals");
    let answered = totals.key("successful").count("requests answered")?;
    let made = benchmark.at(&["scheduler_metrics", "requests_made", "errored"]).number().unwrap_or(0.0);
    let errored = totals.key("errored").count("requests that failed")?.max(made as u64);
    if errored > 0 {
        return Err(Fault::new(
            format!("{errored} of {} requests failed", errored.saturating_add(answered)),
            again,
        ));
    }
    if answered == 0 {
        return Err(Fault::new("no request was answered", again));
    }
    let strategy = benchmark.at(&["config", "strategy"]);
    let name = strategy.key("type_").text().or_else(|| strategy.key("kind").text()).unwrap_or_default();
    let of = |metric: &str| metrics.at(&[metric, "successful"]);
    let observed = of("request_concurrency").key("mean");
    let closed = |asked: f64| {
        // Requests that the end of the time cut off were in flight as well, so that the total is the greater.
        let total = metrics.at(&["request_concurrency", "total", "mean"]).number().unwrap_or(0.0);
        let mean = |metric: &str| of(metric).key("mean").number();
        let counted = observed.number().map(|mean| Held::Counted(mean.max(total)));
        let law = || Held::by_law(mean("requests_per_second"), mean("request_latency"));
        held::closed(asked, answered, counted.or_else(law))
    };
    let load = match name {
        "synchronous" => closed(1.0),
        "concurrent" => closed(strategy.key("streams").positive("requests in flight")?),
        "constant" | "poisson" => Ok(Load::Open {
            rate: strategy.key("rate").positive("requests a second")?,
            in_flight: observed.positive("requests in flight")?.max(1.0),
            poisson: name == "poisson",
        }),
        "throughput" => match strategy.key("max_concurrency").number() {
            Some(concurrency) if concurrency >= 1.0 => closed(concurrency),
            _ => return Ok(Part::unsteady("strategy throughput: all requests are sent at once")),
        },
        "" => return Err(Fault::new("`config.strategy` does not say how requests were sent", RECENT)),
        other => return Ok(Part::unsteady(format!("strategy {other} holds no steady load"))),
    };
    let load = match load {
        Ok(load) => load,
        Err(why) => return Ok(Part::LeftOut(why)),
    };
    let (input, output) = (of("prompt_token_count"), of("output_token_count"));
    let (ttft, tpot) = (of("time_to_first_token_ms"), of("inter_token_latency_ms"));
    let equal = |lengths: &At<'_>| Some(lengths.key("min").number()? == lengths.key("max").number()?);
    // GuideLLM counts a token's latency once for each token; the mean is over all, the error over requests.
    let mean = |at: &At<'_>, what: &str| at.key("mean").positive(what);
    let model = [
        benchmark.at(&["config", "backend", "model"]),
        report.at(&["args", "model"]),
        report.at(&["config", "spec", "backend", "model"]),
    ];
    Ok(Part::Run(Box::new(Measurement {
        part: 0,
        model: model.iter().find_map(At::text).unwrap_or_default().to_owned(),
        date: [benchmark.at(&["scheduler_metrics", "start_time"]), benchmark.key("start_time")]
            .iter()
            .find_map(At::number)
            .map(day_of)
            .unwrap_or_default(),
        load,
        input: mean(&input, "prompt tokens")?,
        output: mean(&output, "generated tokens")?,
        fixed_lengths: equal(&input).zip(equal(&output)).map(|(a, b)| a && b),
        requests: answered,
        ttft: figure(mean(&ttft, "mean time to first token, ms")?, ttft.key("std_dev").number(), answered),
        tpot: figure(mean(&tpot, "mean time per output token, ms")?, tpot.key("std_dev").number(), answered),
        metadata: report.at(&["config", "metadata", "labels"]).texts().into_iter().collect(),
    })))
}

const RECENT: &str = "write the report with guidellm 0.5 or newer";
