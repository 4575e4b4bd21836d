//! `rhumb predict`.

mod extras;
mod loads;
mod points;
mod replayed;
mod training;
mod view;

use std::path::PathBuf;

use crate::calibrate::file;
use crate::catalog::{Accelerator, Catalog, ModelArch, ModelKind, Resolved};
use crate::cli::load::{read_named, read_text_named};
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};
use crate::diagnostic::did_you_mean;
use crate::perf::adapters::{self, Adapters};
use crate::perf::{
    Band, Calibrator, Configuration, DoesNotFit, EngineSettings, Latency, Layout, RequestShape, ServiceCurve,
    closed_loop, curve, default_version, layouts,
};
use crate::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};

/// Predict how a model runs on an accelerator: one configuration, or a table of them
///
/// With --gpu and --tp (or --precision) one configuration is shown in full: its memory, the terms of a
/// step and a prefill, latency and throughput, and how sure that is. Otherwise a table over
/// precisions and layouts, and without --gpu over all accelerators. --adapters puts LoRA adapters on the
/// model, --training predicts a training run, --cpu-bandwidth decoding on a processor.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model: an id or alias of the catalogue
    #[arg(long, value_name = "MODEL", required_unless_present_any = ["model_config", "points"])]
    model: Option<String>,
    /// Table of benchmark points (CSV, columns of the calibration file); each row is answered in order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "gpu"])]
    points: Option<String>,
    /// Model: a local Hugging Face config.json; with --points a folder of them is taken as well
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    model_config: Option<PathBuf>,
    /// Accelerator: an id or alias of the catalogue
    #[arg(long, value_name = "GPU")]
    gpu: Option<String>,
    /// Tensor parallel size
    #[arg(long, value_name = "N")]
    tp: Option<u32>,
    /// Pipeline parallel size
    #[arg(long, value_name = "N", default_value_t = 1)]
    pp: u32,
    /// Attention data parallel size inside a replica
    #[arg(long, value_name = "N", default_value_t = 1)]
    dp: u32,
    /// Expert parallel size
    #[arg(long, value_name = "N", default_value_t = 1)]
    ep: u32,
    /// Precision of the weights: native, bf16, fp8, fp8_block, int8, int4, mxfp4, nvfp4
    #[arg(long, value_name = "P")]
    precision: Option<String>,
    /// Precision of the KV cache: auto, bf16, fp8
    #[arg(long, value_name = "P", default_value = "auto")]
    kv_cache: String,
    /// Engine: vllm, sglang, trtllm
    #[arg(long, value_name = "NAME", default_value = "vllm")]
    engine: String,
    /// Version of the engine, for example 0.19
    #[arg(long, value_name = "X.Y")]
    engine_version: Option<String>,
    /// Prompt tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1024.0)]
    isl: f64,
    /// Generated tokens; 0 for an embedding model
    #[arg(long, value_name = "TOKENS")]
    osl: Option<f64>,
    /// Share of prompt tokens found in the prefix cache
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    prefix_cached: f64,
    /// Requests a second over all replicas
    #[arg(long, value_name = "R", conflicts_with = "concurrency")]
    rate: Option<f64>,
    /// Requests in flight over all replicas, instead of a rate
    #[arg(long, value_name = "C")]
    concurrency: Option<f64>,
    /// Replicas that share the load
    #[arg(long, value_name = "N", default_value_t = 1)]
    replicas: u32,
    /// Most sequences decoded at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_num_seqs: u32,
    /// Longest sequence; as long as the lengths ask for unless stated
    #[arg(long, value_name = "TOKENS")]
    max_model_len: Option<u32>,
    /// Accelerators that the fast link of a machine joins
    #[arg(long, value_name = "N", default_value_t = 8)]
    per_machine: u32,
    /// RDMA between machines, Gbit/s for each accelerator
    #[arg(long, value_name = "GBPS")]
    rdma_gbps: Option<f64>,
    /// Correct predictions by your own runs, as `rhumb calibrate` recorded them
    #[arg(long, value_name = "FILE", conflicts_with = "points")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    training: training::TrainingArgs,
    #[command(flatten)]
    extra: extras::ExtraArgs,
}

/// Arguments that only the engine of a replica on accelerators can follow.
const OF_ENGINES: [&str; 11] = [
    "tp",
    "pp",
    "dp",
    "ep",
    "kv_cache",
    "engine",
    "engine_version",
    "prefix_cached",
    "replicas",
    "max_num_seqs",
    "max_model_len",
];

/// A configuration and what became of it.
struct Row<'a> {
    configuration: Configuration<'a>,
    outcome: Result<Predicted, DoesNotFit>,
}

/// What is known about a configuration that runs.
struct Predicted {
    curve: ServiceCurve,
    /// Requests/s of one replica, and latency there; `None` where it is over the capacity.
    load: (f64, Option<Latency>),
    /// The percentiles there as a replay has them, where the closed form was not checked.
    replayed: Option<replayed::Replayed>,
    /// The closed loop, if one was asked for: what a benchmark measures, and the batch of a rank.
    closed: Option<(loads::Load, Option<f64>)>,
    /// By requests in flight, of a single configuration.
    loads: Vec<loads::Load>,
}

/// The question, resolved.
struct Question<'a> {
    arch: &'a ModelArch,
    shape: RequestShape,
    replicas: u32,
    rate: Option<f64>,
    concurrency: Option<f64>,
    single: bool,
    calibrator: Calibrator,
    adapters: Option<Adapters>,
}

const PRECISIONS: [(&str, Quantization); 8] = [
    ("native", Quantization::Native),
    ("bf16", Quantization::Bf16),
    ("fp8", Quantization::Fp8),
    ("fp8_block", Quantization::Fp8Block),
    ("int8", Quantization::Int8),
    ("int4", Quantization::Int4),
    ("mxfp4", Quantization::Mxfp4),
    ("nvfp4", Quantization::Nvfp4),
];

/// The name of a precision.
fn precision_name(q: Quantization) -> &'static str {
    PRECISIONS.iter().find(|p| p.1 == q).map_or("native", |p| p.0)
}

/// Normal quantile of 0.9: the ends of an interval that holds four of five.
const Z90: f64 = 1.281_551_565_544_600_4;

/// The 10th and the 90th percentile of where the truth lies; the figure itself is never outside of them.
fn edges(value: f64, band: &Band) -> (f64, f64) {
    let at = |z: f64| value * crate::math::exp(band.mu + z * band.sigma);
    (at(-Z90).min(value), at(Z90).max(value))
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let hint = did_you_mean(name, known).map(|k| format!("; did you mean {k}?")).unwrap_or_default();
    Failure::usage(format!("no {what} named {name}{hint}"))
}

fn engine(args: &Args) -> Result<EngineName, Failure> {
    let all = [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm];
    all.into_iter()
        .find(|e| e.as_str() == args.engine)
        .ok_or_else(|| unknown("engine", &args.engine, all.map(EngineName::as_str)))
}

fn version(text: &str) -> Result<(u32, u32), Failure> {
    let mut parts = text.split('.').map(|p| p.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => Err(Failure::usage(format!("--engine-version {text}: write it as 0.19"))),
    }
}

/// A count that must not be zero.
fn at_least_one(name: &str, value: u32) -> Result<u32, Failure> {
    if value > 0 { Ok(value) } else { Err(Failure::usage(format!("--{name} 0: a number of at least 1"))) }
}

fn positive(name: &str, value: f64, zero: bool) -> Result<f64, Failure> {
    if value.is_finite() && (value > 0.0 || (zero && value == 0.0)) {
        Ok(value)
    } else {
        Err(Failure::usage(format!(
            "--{name} {value}: a number {} 0",
            if zero { "of at least" } else { "above" }
        )))
    }
}

/// The model, and how the named checkpoint is compressed.
fn model(args: &Args, settings: &Settings, catalog: &Catalog) -> Result<(ModelArch, Quantization), Failure> {
    if let Some(path) = &args.model_config {
        let name = path.display().to_string();
        let arch = read_named(&settings.dir, &name)
            .and_then(|text| ModelArch::from_hf_config(&name, &text))
            .map_err(|e| Failure::error(format!("--model-config {name}: {e}")))?;
        return Ok((arch, Quantization::Native));
    }
    let name = args.model.as_deref().unwrap_or_default();
    match catalog.resolve_checkpoint(name) {
        Some((arch, quantization)) => Ok((arch.clone(), quantization)),
        None => Err(unknown("model", name, catalog.vocabulary().models.keys().map(String::as_str))),
    }
}

/// The precision asked for.
fn precision(args: &Args, catalog: &Catalog) -> Result<Option<Quantization>, Failure> {
    let Some(text) = &args.precision else { return Ok(None) };
    PRECISIONS
        .iter()
        .find(|p| p.0 == text.to_lowercase())
        .map(|p| p.1)
        .or_else(|| catalog.resolve_precision(text))
        .map(Some)
        .ok_or_else(|| unknown("precision", text, PRECISIONS.map(|p| p.0)))
}

/// The accelerators asked for.
fn accelerators<'a>(args: &Args, catalog: &'a Catalog) -> Result<Vec<&'a Accelerator>, Failure> {
    let Some(name) = &args.gpu else { return Ok(catalog.accelerators.iter().collect()) };
    let by_id = |id: &str| catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i));
    if let Some(found) = by_id(name).or_else(|| catalog.resolve_accelerator(name).and_then(by_id)) {
        return Ok(vec![found]);
    }
    match catalog.names.accelerator(name) {
        Some(Resolved::Family(ids)) => Ok(ids.iter().filter_map(|id| by_id(id)).collect()),
        Some(Resolved::NotInCatalogue(id)) => {
            Err(Failure::usage(format!("{name} ({id}) is known by name, but the catalogue does not hold it")))
        }
        _ => Err(unknown("accelerator", name, catalog.vocabulary().accelerators.keys().map(String::as_str))),
    }
}

fn shape(args: &Args, arch: &ModelArch) -> Result<RequestShape, Failure> {
    let reads_only = matches!(arch.kind, ModelKind::Embedding | ModelKind::Encoder);
    let input = positive("isl", args.isl, false)?;
    let output = positive("osl", args.osl.unwrap_or(if reads_only { 0.0 } else { 256.0 }), true)?;
    if reads_only && output > 0.0 {
        return Err(Failure::usage(format!("--osl {output}: {} writes no text; leave it out", arch.id)));
    }
    if !reads_only && output < 1.0 {
        return Err(Failure::usage(format!("--osl {output}: {} writes at least one token", arch.id)));
    }
    if input < 1.0 {
        return Err(Failure::usage(format!("--isl {input}: a prompt has at least one token")));
    }
    let cached = positive("prefix-cached", args.prefix_cached, true)?;
    if cached >= 1.0 {
        return Err(Failure::usage(format!("--prefix-cached {cached}: a share below 1")));
    }
    let fixed = |tokens: f64| Lengths { mean: tokens, cv2: 0.0, p95: tokens, max: tokens };
    Ok(RequestShape { input: fixed(input), output: fixed(output), prefix_cached: cached })
}

/// The user's own runs, if they are named.
fn calibrator(
    args: &Args,
    settings: &Settings,
    catalog: &Catalog,
    arch: &ModelArch,
) -> Result<Calibrator, Failure> {
    let Some(path) = &args.calibration else { return Ok(Calibrator::default()) };
    let name = path.display().to_string();
    let text = read_text_named(&settings.dir, &name)
        .map_err(|error| Failure::error(format!("--calibration {name}: {error}")))?;
    let runs =
        file::decode(&name, &text).map_err(|refusal| Failure::error(format!("--calibration {refusal}")))?;
    Ok(Calibrator::new(
        runs.runs(),
        |id| Some(arch).filter(|a| a.id == id).or_else(|| catalog.model(id)),
        |id| catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i)),
    ))
}

fn predict(c: &Configuration<'_>, q: &Question<'_>) -> Result<Predicted, DoesNotFit> {
    let alone = |c: &Configuration<'_>| Ok(q.calibrator.apply(curve(c, &q.shape)?, c, None));
    let curve = match q.adapters {
        Some(held) => adapters::curve(c, held, alone)?,
        None => alone(c)?,
    };
    let replicas = f64::from(q.replicas.max(1));
    let closed = match q.concurrency {
        Some(all) => {
            let each = (all / replicas).max(1.0);
            let generates = q.shape.output.mean > 0.0;
            let batch = if generates { Some(closed_loop(c, &q.shape, each)?.batch) } else { None };
            Some((loads::at(c, q, &curve, each)?, batch))
        }
        None => None,
    };
    let rate = q.rate.map_or(0.8 * curve.saturation_rate(), |r| r / replicas);
    let latency = curve.latency(rate, q.replicas, Arrivals::Poisson);
    let asked = q.single && q.rate.is_some() && latency.is_some();
    let replayed = if asked { replayed::of(c, q, &curve, rate) } else { None };
    // What a benchmark measures of a replica with adapters is not predicted.
    let loads = if q.single && q.adapters.is_none() { loads::of(c, q, &curve)? } else { Vec::new() };
    Ok(Predicted { load: (rate, latency), replayed, curve, closed, loads })
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    if let Some(table) = &args.points {
        return points::run(settings, table, args.model_config.as_deref());
    }
    if args.training.asked() {
        return training::run(args, settings);
    }
    if args.extra.on_processor() {
        return extras::on_processor(args, settings);
    }
    let catalog = Catalog::embedded();
    let (arch, checkpoint) = model(args, settings, &catalog)?;
    let gpus = accelerators(args, &catalog)?;
    let name = engine(args)?;
    let shape = shape(args, &arch)?;
    let kv_cache = match args.kv_cache.as_str() {
        "auto" => KvCacheDtype::Auto,
        "bf16" => KvCacheDtype::Bf16,
        "fp8" => KvCacheDtype::Fp8,
        other => return Err(unknown("KV cache precision", other, ["auto", "bf16", "fp8"])),
    };
    let precision =
        precision(args, &catalog)?.map(|q| if q == Quantization::Native { checkpoint } else { q });
    for (name, value) in
        [("rate", args.rate), ("concurrency", args.concurrency), ("rdma-gbps", args.rdma_gbps)]
    {
        if let Some(value) = value {
            positive(name, value, false)?;
        }
    }
    let replicas = f64::from(args.replicas);
    if let Some(clients) = args.concurrency.filter(|clients| *clients < replicas) {
        return Err(Failure::usage(format!(
            "--concurrency {clients}: at least one request for each replica"
        )));
    }
    let single = gpus.len() == 1 && args.gpu.is_some() && (args.tp.is_some() || args.precision.is_some());
    if args.concurrency.is_some() && !single {
        let several = gpus.len() > 1 && args.gpu.is_some();
        let all: Vec<&str> = gpus.iter().map(|g| g.id.as_str()).filter(|_| several).collect();
        let which = if several { format!(" (one of {})", all.join(", ")) } else { String::new() };
        return Err(Failure::usage(format!(
            "--concurrency is of one configuration: name an accelerator with --gpu{which} and a layout with --tp"
        )));
    }
    for (name, value) in [
        ("pp", args.pp),
        ("dp", args.dp),
        ("ep", args.ep),
        ("tp", args.tp.unwrap_or(1)),
        ("replicas", args.replicas),
        ("max-num-seqs", args.max_num_seqs),
        ("max-model-len", args.max_model_len.unwrap_or(1)),
        ("per-machine", args.per_machine),
    ] {
        at_least_one(name, value)?;
    }
    let longest = shape.input.max + shape.output.max;
    if args.max_model_len.is_some_and(|most| f64::from(most) < longest) {
        return Err(Failure::usage(format!(
            "--max-model-len {}: less than the {longest:.0} tokens of --isl and --osl together",
            args.max_model_len.unwrap_or_default()
        )));
    }
    let engine = EngineSettings {
        name,
        version: args.engine_version.as_deref().map_or(Ok(default_version(name)), version)?,
        max_num_seqs: args.max_num_seqs,
        max_num_batched_tokens: 8192,
        max_model_len: args.max_model_len.unwrap_or(longest.ceil().min(f64::from(u32::MAX)) as u32),
        gpu_memory_utilization: 0.90,
    };
    let question = Question {
        arch: &arch,
        shape,
        replicas: args.replicas,
        rate: args.rate,
        concurrency: args.concurrency,
        single,
        calibrator: calibrator(args, settings, &catalog, &arch)?,
        adapters: args.extra.adapters(),
    };
    let base = |accelerator, quantization, layout| Configuration {
        arch: question.arch,
        quantization,
        kv_cache,
        accelerator,
        fraction: 1.0,
        layout,
        accelerators_per_node: args.per_machine,
        inter_node_bandwidth: args.rdma_gbps.map(|g| g * 1e9 / 8.0),
        engine,
    };
    let asked = Layout { tp: args.tp.unwrap_or(1), pp: args.pp, dp: args.dp, ep: args.ep };
    let mut configurations = Vec::new();
    if single {
        let gpu = gpus.first().copied().ok_or_else(|| Failure::error("no accelerator"))?;
        configurations.push(base(gpu, precision.unwrap_or(checkpoint), asked));
    } else {
        let cuts = match args.tp {
            Some(_) => vec![asked],
            None => layouts(&arch, args.per_machine, 1),
        };
        let native = crate::perf::resolved(&arch, checkpoint);
        let precisions: Vec<Quantization> = match precision {
            Some(q) => vec![q],
            None => PRECISIONS
                .iter()
                .map(|p| p.1)
                .filter(|q| *q != Quantization::Native && (*q != Quantization::Mxfp4 || native == *q))
                .filter(|q| *q != Quantization::Fp8Block || native == *q)
                .collect(),
        };
        for gpu in gpus {
            for q in &precisions {
                configurations.extend(cuts.iter().map(|layout| base(gpu, *q, *layout)));
            }
        }
    }
    let rows: Vec<Row<'_>> = configurations
        .into_iter()
        .map(|configuration| Row { outcome: predict(&configuration, &question), configuration })
        .collect();
    let text = if settings.json {
        format!("{}\n", view::json(&question, &rows))
    } else if question.single {
        view::single(&question, &rows, settings)
    } else {
        view::table(&question, &rows, settings)
    };
    print(&text)?;
    let runs = rows.iter().any(|r| r.outcome.is_ok());
    Ok(if runs { Exit::Done } else { Exit::Infeasible })
}
