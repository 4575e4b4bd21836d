//! Open-loop runs of vLLM against the service curve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::Catalog;
use rhumb::perf::{Configuration, EngineSettings, Layout, RequestShape, curve};
use rhumb::placement::Metric;
use rhumb::replay::{Loaded, Stream, limits_of};
use rhumb::spec::{Arrivals, EngineName, KvCacheDtype, Lengths};

use super::points::number;
use super::report::error;
use super::{Outcome, quantile, rows};

fn lengths(mean: f64, max: f64) -> Lengths {
    Lengths { mean, cv2: 0.0, p95: max, max }
}

/// vLLM under a constant rate: TPOT and end to end of a service curve; nothing was fitted on these.
pub fn write(out: &mut String, dir: &Path, catalog: &Catalog) -> Outcome<()> {
    let mut by_gpu: BTreeMap<String, [Vec<f64>; 8]> = BTreeMap::new();
    let mut refused = 0;
    let mut overload = (0, 0);
    for row in &rows(dir, "llmd_measured_calibration.csv")? {
        let gpu = match row["gpu"].split('-').next() {
            Some("H100") => "h100-sxm-80gb",
            Some("A100") => "a100-sxm-80gb",
            Some("L40S") => "l40s-48gb",
            _ => continue,
        };
        let Some((arch, quantization)) = catalog.resolve_checkpoint(&row["model"]) else { continue };
        let Some(index) = catalog.accelerator(gpu) else { continue };
        let quantization =
            if row["precision"].contains("fp8") { rhumb::spec::Quantization::Fp8 } else { quantization };
        let (input, output, rate) =
            (number(row, "input_tokens_mean"), number(row, "output_tokens"), number(row, "rate_rps"));
        if !(input > 0.0 && output > 0.0 && rate > 0.0) {
            continue;
        }
        let configuration = Configuration {
            arch,
            quantization,
            kv_cache: KvCacheDtype::Auto,
            accelerator: &catalog.accelerators[index],
            fraction: 1.0,
            layout: Layout { tp: number(row, "tp") as u32, pp: 1, dp: 1, ep: 1 },
            accelerators_per_node: 8,
            inter_node_bandwidth: None,
            engine: EngineSettings {
                name: EngineName::Vllm,
                version: (0, 15),
                max_num_seqs: 128,
                max_num_batched_tokens: number(row, "max_num_batched_tokens") as u32,
                max_model_len: 4096.min(arch.max_context),
                gpu_memory_utilization: number(row, "gpu_memory_utilization"),
            },
        };
        // The prompts are few and repeated: all but the last block comes from the prefix cache.
        let shape = RequestShape {
            input: lengths(input, input),
            output: lengths(output, output),
            prefix_cached: 0.95,
        };
        let Ok(service) = curve(&configuration, &shape) else {
            refused += 1;
            continue;
        };
        let latency = service.latency(rate, 1, Arrivals::Constant);
        if row["saturated"] == "yes" {
            overload.0 += 1;
            overload.1 += usize::from(latency.is_none());
            continue;
        }
        let Some(latency) = latency else {
            refused += 1;
            continue;
        };
        let loaded = Loaded {
            curve: &service,
            limits: limits_of(&service, &configuration.engine, configuration.layout),
            replicas: 1,
            stream: Stream {
                rate,
                arrivals: Arrivals::Constant,
                input: shape.input,
                output: shape.output,
                prefix_cached: shape.prefix_cached,
                recorded: None,
            },
            sessions: None,
            requests: 8_000,
        };
        let tails = [("e2e_p90_ms", 0.9), ("e2e_p99_ms", 0.99)];
        let asked = [(Metric::Tpot, None), (Metric::E2e, None)].into_iter();
        let asked: Vec<_> = asked.chain(tails.map(|(_, q)| (Metric::E2e, Some(q)))).collect();
        let replayed = loaded.figures(&asked);
        let entry = by_gpu.entry(gpu.to_owned()).or_default();
        entry[2].push((number(row, "tpot_mean_ms") / replayed[0].mean).ln());
        entry[3].push((number(row, "e2e_mean_ms") / replayed[1].mean).ln());
        for (i, (column, q)) in tails.into_iter().enumerate() {
            let measured = number(row, column);
            if measured > 0.0 {
                entry[4 + 2 * i].push((measured / latency.e2e.at(Some(q))).ln());
                entry[5 + 2 * i].push((measured / replayed[2 + i].mean).ln());
            }
        }
        entry[0].push((number(row, "tpot_mean_ms") / latency.tpot.mean).ln());
        entry[1].push((number(row, "e2e_mean_ms") / latency.e2e.mean).ln());
    }
    writeln!(out, "\n## Open loop, not fitted: vLLM 0.15 under a constant rate\n")?;
    writeln!(
        out,
        "Published load tests of the llm-d simulator's authors (`llmd_measured_calibration`). Prompts are served from the"
    )?;
    writeln!(
        out,
        "prefix cache there, so TTFT says nothing; median / p90 error of the means in percent, then the median bias.\n"
    )?;
    writeln!(
        out,
        "| accelerator | rows | TPOT % | E2E % | TPOT bias | replayed TPOT % | replayed E2E % |\n|---|---|---|---|---|---|---|"
    )?;
    for (gpu, [tpot, e2e, tpot_replayed, e2e_replayed, ..]) in &by_gpu {
        let (tpot, e2e) = (tpot.clone(), e2e.clone());
        let (tpot_replayed, e2e_replayed) = (tpot_replayed.clone(), e2e_replayed.clone());
        let bias = (quantile(tpot.clone(), 0.5).exp() - 1.0) * 100.0;
        writeln!(
            out,
            "| {gpu} | {} | {} | {} | measured is {bias:+.0} % | {} | {} |",
            tpot.len(),
            error(tpot),
            error(e2e),
            error(tpot_replayed),
            error(e2e_replayed)
        )?;
    }
    writeln!(
        out,
        "\nPercentiles end to end, of rows that state them. Lengths are equal and arrivals even there, so that the spread is of"
    )?;
    writeln!(out, "the engine and the client alone.\n")?;
    writeln!(
        out,
        "| accelerator | rows | E2E p90 % | replayed | measured p90 / replayed | rows | E2E p99 % | replayed | measured p99 / replayed |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    for (gpu, [.., p90, p90_replayed, p99, p99_replayed]) in &by_gpu {
        let ratio = |x: &[f64]| {
            if x.is_empty() { "-".into() } else { format!("{:.2}", quantile(x.to_vec(), 0.5).exp()) }
        };
        writeln!(
            out,
            "| {gpu} | {} | {} | {} | {} | {} | {} | {} | {} |",
            p90.len(),
            error(p90.clone()),
            error(p90_replayed.clone()),
            ratio(p90_replayed),
            p99.len(),
            error(p99.clone()),
            error(p99_replayed.clone()),
            ratio(p99_replayed)
        )?;
    }
    writeln!(
        out,
        "\n{refused} rows were refused. Of {} overloaded rows {} are over the predicted capacity.",
        overload.0, overload.1
    )?;
    Ok(())
}
