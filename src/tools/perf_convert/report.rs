//! Writes `src/perf/ACCURACY.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::Catalog;
use rhumb::perf::{Configuration, EngineSettings, Layout, RequestShape, curve};
use rhumb::spec::{Arrivals, EngineName, KvCacheDtype};

use super::bands::{classes, coverage, residual};
use super::points::{self, Point, lengths, number};
use super::{Outcome, quantile, rows};

/// Median and 90th percentile of `|predicted / measured - 1|`, percent.
fn error(residuals: Vec<f64>) -> String {
    let absolute: Vec<f64> = residuals.into_iter().map(|r| ((-r).exp() - 1.0).abs() * 100.0).collect();
    format!("{:.1} / {:.0}", quantile(absolute.clone(), 0.5), quantile(absolute, 0.9))
}

fn line(out: &mut String, name: &str, points: &[&Point], covered: bool) -> std::fmt::Result {
    let groups: BTreeSet<&str> = points.iter().map(|p| p.group.as_str()).collect();
    let of =
        |ttft: bool| error(points.iter().map(|p| if ttft { residual(p).0 } else { residual(p).1 }).collect());
    write!(out, "| {name} | {} | {} | {} | {} |", points.len(), groups.len(), of(false), of(true))?;
    if covered {
        let percent = |ttft| format!("{:.0} %", coverage(points, ttft) * 100.0);
        let few = groups.len() < 3;
        let cell = |ttft| if few { "-".to_owned() } else { percent(ttft) };
        write!(out, " {} | {} |", cell(false), cell(true))?;
    }
    writeln!(out)
}

/// Errors of the baselines on the same points.
fn baselines(out: &mut String, dir: &Path, points: &[Point]) -> Outcome<()> {
    let by_id: BTreeMap<&str, &Point> = points.iter().map(|p| (p.id.as_str(), p)).collect();
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut ours: (Vec<f64>, Vec<f64>) = Default::default();
    for row in rows(dir, "calibration_baselines.csv")? {
        let Some(point) = by_id.get(row["id"].as_str()) else { continue };
        let read = |key: &str| row[key].parse::<f64>().ok().filter(|x| *x > 0.0);
        for (key, measured) in [
            ("aic_tpot_ms", point.tpot_s),
            ("aic_ttft_ms", point.ttft_s),
            ("naive_roofline_tpot_ms", point.tpot_s),
            ("naive_roofline_ttft_ms", point.ttft_s),
        ] {
            if let Some(x) = read(key) {
                found.entry(key).or_default().push((measured * 1e3 / x).ln());
            }
        }
        if read("aic_tpot_ms").is_some() {
            ours.0.push(residual(point).1);
            ours.1.push(residual(point).0);
        }
    }
    let mut take = |key: &str| error(found.remove(key).unwrap_or_default());
    writeln!(out, "\n## The same points, other methods\n")?;
    writeln!(out, "| method | TPOT % | TTFT % |\n|---|---|---|")?;
    writeln!(
        out,
        "| naive roofline | {} | {} |",
        take("naive_roofline_tpot_ms"),
        take("naive_roofline_ttft_ms")
    )?;
    writeln!(
        out,
        "| AIConfigurator 0.12, labels as they are | {} | {} |",
        take("aic_tpot_ms"),
        take("aic_ttft_ms")
    )?;
    writeln!(out, "| this method, where AIConfigurator answers | {} | {} |", error(ours.0), error(ours.1))?;
    Ok(())
}

/// vLLM under a constant rate: TPOT and end to end of a service curve; nothing was fitted on these.
fn open_loop(out: &mut String, dir: &Path, catalog: &Catalog) -> Outcome<()> {
    let mut by_gpu: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
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
        let entry = by_gpu.entry(gpu.to_owned()).or_default();
        entry.0.push((number(row, "tpot_mean_ms") / latency.tpot.mean).ln());
        entry.1.push((number(row, "e2e_mean_ms") / latency.e2e.mean).ln());
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
    writeln!(out, "| accelerator | rows | TPOT % | E2E % | TPOT bias |\n|---|---|---|---|---|")?;
    for (gpu, (tpot, e2e)) in by_gpu {
        let bias = (quantile(tpot.clone(), 0.5).exp() - 1.0) * 100.0;
        writeln!(
            out,
            "| {gpu} | {} | {} | {} | measured is {bias:+.0} % |",
            tpot.len(),
            error(tpot),
            error(e2e)
        )?;
    }
    writeln!(
        out,
        "\n{refused} rows were refused. Of {} overloaded rows {} are over the predicted capacity.",
        overload.0, overload.1
    )?;
    Ok(())
}

/// Writes the page.
pub fn write(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = Catalog::embedded();
    let (points, refused) = points::load(dir, &catalog)?;
    let mut out = String::new();
    writeln!(out, "# How accurate the predictions are\n")?;
    writeln!(
        out,
        "Written by `perf_convert report` on {date} at revision {revision}. Do not edit by hand.\n"
    )?;
    writeln!(
        out,
        "Measured points: the aggregated rows of `calibration.csv` (InferenceX and NVIDIA runs of 2025-10 to 2026-04, as"
    )?;
    writeln!(
        out,
        "collected in AIConfigurator's silicon sample) without the rows marked suspect. Each is a closed loop of a fixed"
    )?;
    writeln!(
        out,
        "number of clients, compared with `perf::closed_loop`. Figures are the median / 90th percentile of the absolute error"
    )?;
    writeln!(
        out,
        "in percent. The constants of the forward pass and of the harness were fitted on this very file, so these are not"
    )?;
    writeln!(
        out,
        "errors on unseen points; the right-hand columns are nearer to that: the share of points below the 80 % edge of a"
    )?;
    writeln!(out, "band that was fitted without their group of configurations (80 % would be perfect).\n")?;
    writeln!(
        out,
        "The TTFT of a closed loop is largely the behaviour of the benchmark's client. The TTFT of users is another formula"
    )?;
    writeln!(
        out,
        "(`ServiceCurve::latency`), which no open-loop measurement with honest prompts was at hand to check.\n"
    )?;
    writeln!(out, "| class | rows | groups | TPOT % | TTFT % | TPOT below edge | TTFT below edge |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let all: Vec<&Point> = points.iter().collect();
    line(&mut out, "all", &all, true)?;
    for ((class, engine, family), points) in classes(&points) {
        line(&mut out, &format!("{class}, {}, {family}", engine.as_str()), &points, true)?;
    }
    writeln!(out, "\n| model, system | rows | groups | TPOT % | TTFT % |\n|---|---|---|---|---|")?;
    let mut by: BTreeMap<String, Vec<&Point>> = BTreeMap::new();
    for p in &points {
        by.entry(format!("{}, {}", p.model, p.system)).or_default().push(p);
    }
    for (name, points) in &by {
        line(&mut out, name, points, false)?;
    }
    writeln!(out, "\n{} rows are refused though they ran:\n", refused.len())?;
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    for reason in &refused {
        let rule = ["Memory", "Precision", "Layout", "Engine", "Unknown", "Context", "no such"]
            .into_iter()
            .find(|r| reason.contains(r))
            .unwrap_or("other");
        let group = reason.split(' ').nth(1).unwrap_or("");
        *reasons.entry(format!("{group}: {rule}")).or_default() += 1;
    }
    for (reason, n) in reasons {
        writeln!(out, "- {n} x {reason}")?;
    }
    baselines(&mut out, dir, &points)?;
    open_loop(&mut out, dir, &catalog)?;
    writeln!(out, "\n## Memory\n")?;
    writeln!(out, "33 start-up reports of vLLM 0.11 and 0.19 on H100 (`data/vllm_memory.tsv`); the test")?;
    writeln!(
        out,
        "`memory_agrees_with_what_vllm_reported_at_start` asserts it for the models of the catalogue: median error of weights"
    )?;
    writeln!(
        out,
        "0.5 %, of the KV cache 0.2 % (overhead terms were fitted on these rows); all that started are accepted. The two runs"
    )?;
    writeln!(
        out,
        "that failed (gpt-oss-20b at 0.95, out of memory in the sampler's warm-up) are accepted too: what they lacked is"
    )?;
    writeln!(out, "outside of the share that vLLM divides, and rows with as little of it did start.")?;
    std::fs::write("src/perf/ACCURACY.md", &out)?;
    println!("{out}");
    Ok(())
}
