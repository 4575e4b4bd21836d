//! The closed forms of a service curve against the replay, on a grid of replicas, traffic and load.

use std::fmt::Write as _;

use rhumb::catalog::Catalog;
use rhumb::perf::{
    Configuration, EngineSettings, Layout, RequestShape, ServiceCurve, curve, default_version,
};
use rhumb::placement::Metric;
use rhumb::replay::{Loaded, Stream, limits_of};
use rhumb::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};

use super::{Outcome, quantile};

/// Requests of a case, over its eight runs.
const REQUESTS: u32 = 40_000;
const LOADS: [f64; 5] = [0.3, 0.6, 0.8, 0.9, 0.95];
const REPLICAS: [u32; 2] = [1, 4];
const ASKED: [(Metric, Option<f64>); 9] = [
    (Metric::Ttft, Some(0.5)),
    (Metric::Ttft, Some(0.95)),
    (Metric::Ttft, Some(0.99)),
    (Metric::Tpot, Some(0.5)),
    (Metric::Tpot, Some(0.95)),
    (Metric::Tpot, Some(0.99)),
    (Metric::E2e, Some(0.5)),
    (Metric::E2e, Some(0.95)),
    (Metric::E2e, Some(0.99)),
];

/// A lognormal as the spec makes it of a mean and a squared coefficient of variation.
fn lengths(mean: f64, cv2: f64) -> Lengths {
    let sigma = (1.0 + cv2).ln().sqrt();
    let at = |z: f64| mean * (sigma * z - sigma * sigma / 2.0).exp();
    Lengths { mean, cv2, p95: at(1.645), max: at(3.09).ceil() }
}

fn curves(catalog: &Catalog) -> Vec<(String, ServiceCurve, Configuration<'_>, RequestShape)> {
    let shapes = [
        ("chat", lengths(800.0, 1.5), lengths(250.0, 1.0)),
        ("documents", lengths(6000.0, 0.5), lengths(200.0, 1.0)),
        ("fixed", lengths(1024.0, 0.0), lengths(256.0, 0.0)),
        ("code", lengths(2000.0, 1.0), lengths(20.0, 1.5)),
        ("reasoning", lengths(400.0, 1.0), lengths(3000.0, 1.0)),
    ];
    let replicas = [
        ("Qwen/Qwen3-8B", "h100-sxm-80gb", 1, 256),
        ("Qwen/Qwen3-32B", "h100-sxm-80gb", 2, 256),
        ("Qwen/Qwen3-8B", "l4-24gb", 1, 64),
        ("openai/gpt-oss-120b", "h100-sxm-80gb", 1, 256),
        ("Qwen/Qwen3-8B", "h100-sxm-80gb", 1, 16),
    ];
    let mut found = Vec::new();
    for (model, gpu, tp, sequences) in replicas {
        let (Some(arch), Some(index)) = (catalog.model(model), catalog.accelerator(gpu)) else { continue };
        for (name, input, output) in shapes {
            let configuration = Configuration {
                arch,
                quantization: Quantization::Native,
                kv_cache: KvCacheDtype::Auto,
                accelerator: &catalog.accelerators[index],
                fraction: 1.0,
                layout: Layout { tp, pp: 1, dp: 1, ep: 1 },
                accelerators_per_node: 8,
                inter_node_bandwidth: None,
                engine: EngineSettings {
                    name: EngineName::Vllm,
                    version: default_version(EngineName::Vllm),
                    max_num_seqs: sequences,
                    max_num_batched_tokens: 8192,
                    max_model_len: ((input.max + output.max) as u32).min(arch.max_context),
                    gpu_memory_utilization: 0.9,
                },
            };
            let shape = RequestShape { input, output, prefix_cached: 0.0 };
            if let Ok(mut service) = curve(&configuration, &shape) {
                // The queueing is checked here, so the line of the closed form is the replay's timing too.
                service.steps = None;
                let label = format!("{model} on {gpu} tp{tp}, {sequences} sequences, {name}");
                found.push((label, service, configuration, shape));
            }
        }
    }
    found
}

/// Error of the closed form, percent: 5th percentile, median and 95th of the cases.
fn cell(errors: &[f64]) -> String {
    if errors.is_empty() {
        return "-".into();
    }
    let at = |q: f64| quantile(errors.to_vec(), q);
    format!("{:+.0}/{:+.0}/{:+.0}", at(0.05), at(0.5), at(0.95))
}

/// Writes the tables.
pub fn write(date: &str, revision: &str) -> Outcome<String> {
    let catalog = Catalog::embedded();
    let curves = curves(&catalog);
    let arrivals = [
        ("Poisson", Arrivals::Poisson),
        ("evenly spaced", Arrivals::Constant),
        ("bursts, cv2 4", Arrivals::Bursty { cv2: 4.0 }),
        ("bursts, cv2 16", Arrivals::Bursty { cv2: 16.0 }),
    ];
    let mut out = String::new();
    writeln!(out, "# The closed forms against the replay\n")?;
    writeln!(
        out,
        "Made by `perf_convert grid {date} {revision}`: {} replicas (models, accelerators, lengths) x {} pool sizes x {} loads x {} ways",
        curves.len(),
        REPLICAS.len(),
        LOADS.len(),
        arrivals.len()
    )?;
    writeln!(
        out,
        "of arriving, {REQUESTS} requests each, with the same timing in both. A cell is the error of the closed form in percent:"
    )?;
    writeln!(
        out,
        "5th percentile, median and 95th of the cases. *Inside* is the range in which the closed form is called checked"
    )?;
    writeln!(
        out,
        "(`ServiceCurve::unchecked`); outside it is only an upper bound on what a plan may promise, for every placement is replayed.\n"
    )?;
    let header =
        "| arrivals | load | cases | TTFT p50 | p95 | p99 | TPOT p50 | p95 | p99 | E2E p50 | p95 | p99 |";
    let rule = "|---|---|---|---|---|---|---|---|---|---|---|---|";
    let mut tables = [String::new(), String::new()];
    for (name, way) in arrivals {
        for load in LOADS {
            let mut errors = [vec![Vec::new(); ASKED.len()], vec![Vec::new(); ASKED.len()]];
            for (_, service, configuration, shape) in &curves {
                for replicas in REPLICAS {
                    let rate = service.saturation_rate() * load;
                    let Some(closed) = service.latency(rate, replicas, way) else { continue };
                    let loaded = Loaded {
                        curve: service,
                        limits: limits_of(service, &configuration.engine, configuration.layout),
                        replicas,
                        stream: Stream {
                            rate: rate * f64::from(replicas),
                            arrivals: way,
                            input: shape.input,
                            output: shape.output,
                            prefix_cached: 0.0,
                            recorded: None,
                        },
                        sessions: None,
                        requests: REQUESTS,
                    };
                    let inside = usize::from(service.unchecked(rate, replicas, way).is_some());
                    for (i, ((metric, q), replayed)) in ASKED.iter().zip(loaded.figures(&ASKED)).enumerate() {
                        let of = match metric {
                            Metric::Ttft => closed.ttft,
                            Metric::Tpot => closed.tpot,
                            Metric::E2e => closed.e2e,
                        };
                        errors[inside][i].push(100.0 * (of.at(*q) / replayed.mean - 1.0));
                    }
                }
            }
            for (table, errors) in tables.iter_mut().zip(&errors) {
                if !errors[0].is_empty() {
                    let cells: Vec<String> = errors.iter().map(|e| cell(e)).collect();
                    writeln!(table, "| {name} | {load} | {} | {} |", errors[0].len(), cells.join(" | "))?;
                }
            }
        }
    }
    for (heading, table) in ["Inside of the checked range", "Outside"].iter().zip(&tables) {
        writeln!(out, "## {heading}\n\n{header}\n{rule}\n{table}")?;
    }
    Ok(out)
}
