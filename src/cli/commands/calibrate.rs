//! `rhumb calibrate`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::calibrate::{self, Results, Stated, file};
use crate::catalog::{Catalog, ModelArch};
use crate::cli::load::{read_named, read_text_named};
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings, files, progress};
use crate::perf::{Against, Calibration, Calibrator, Compared, Disagreement, Run};

/// Record your own benchmark runs, so that predictions near them are corrected
///
/// Reads result files of `vllm bench serve --save-result`, guidellm (benchmarks.json), genai-perf and aiperf
/// (profile_export_*.json), compares each run with its prediction, and keeps the measurements in a file that
/// a spec names under `calibration`. What the files do not say comes from the options, or from their own
/// metadata (vllm: --metadata gpu=... tp=...; guidellm: labels). A file with a fault is refused and nothing
/// is written. A run that held clearly fewer requests in flight than it was asked for is left out, and one
/// that repeats another in a second file or writing is recorded once. A run that contradicts its prediction
/// or another run is refused with exit 3, unless --accept records it as it is: it then counts for its own
/// configuration alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Result files
    #[arg(value_name = "RESULTS", required = true)]
    results: Vec<PathBuf>,
    /// The calibration file, which is made or added to
    #[arg(long, value_name = "FILE", default_value = "calibration.json")]
    out: PathBuf,
    /// Model, where the files know it by a name of their own
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Model: a local Hugging Face config.json
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    model_config: Option<PathBuf>,
    /// Accelerator that the runs were made on
    #[arg(long, value_name = "GPU")]
    gpu: Option<String>,
    /// Tensor parallel size
    #[arg(long, value_name = "N")]
    tp: Option<String>,
    /// Pipeline parallel size; 1 unless stated
    #[arg(long, value_name = "N")]
    pp: Option<String>,
    /// Attention data parallel size inside a replica; 1 unless stated
    #[arg(long, value_name = "N")]
    dp: Option<String>,
    /// Expert parallel size; 1 unless stated
    #[arg(long, value_name = "N")]
    ep: Option<String>,
    /// Engine: vllm, sglang, trtllm
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,
    /// Version of the engine, for example 0.19
    #[arg(long, value_name = "X.Y")]
    engine_version: Option<String>,
    /// Precision of the weights; that of the named checkpoint unless stated
    #[arg(long, value_name = "P")]
    precision: Option<String>,
    /// Precision of the KV cache: auto, bf16, fp8
    #[arg(long, value_name = "P")]
    kv_cache: Option<String>,
    /// Record runs that contradict their prediction or each other, marked as such
    #[arg(long)]
    accept: bool,
}

/// What came of it.
struct Outcome<'a> {
    calibrator: &'a Calibrator,
    /// Ids of the runs of this call that were not known before.
    new: BTreeSet<(String, u32)>,
    known: usize,
    /// Runs that say once more what another says, and how often: file, and the other's file and date.
    repeats: BTreeMap<(String, String, String), usize>,
    /// Those of the calibration file itself.
    repeated: usize,
    left_out: Vec<String>,
    disagreements: Vec<Disagreement>,
    written: bool,
    name: String,
    total: usize,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let catalog = Catalog::embedded();
    let own = args.model_config.as_deref().map(|path| model_config(path, settings)).transpose()?;
    let progress = progress::start("reading results", settings);
    let read = read_all(args, settings, &catalog, own.as_ref());
    progress.finish();
    let (results, runs) = read?;
    let name = args.out.display().to_string();
    let before = existing(&args.out, settings)?;
    let mut all: Vec<Run> = before.runs().to_vec();
    let mut new = BTreeSet::new();
    let mut known = 0;
    let mut repeats = BTreeMap::new();
    for run in runs {
        let alike = all.iter().filter(|r| r.repeats(&run));
        match alike.max_by_key(|r| r.deployment == run.deployment) {
            Some(other) if other.deployment == run.deployment => {
                known += usize::from(!new.contains(&(other.sha256.clone(), other.part)));
                if other.id() != run.id() {
                    *repeats.entry((run.file, other.file.clone(), other.date.clone())).or_default() += 1;
                }
            }
            Some(other) => {
                let whose = match &other.file {
                    file if *file == run.file => String::new(),
                    file => format!("the run in {file}, "),
                };
                return Err(Failure::error(format!(
                    "{}: {whose}already recorded in {name} as {}, now stated as {}\n  fix: correct the options, or take \
                     its entry out of {name}",
                    run.file, other.deployment, run.deployment
                )));
            }
            None => {
                new.insert((run.sha256.clone(), run.part));
                all.push(run);
            }
        }
    }
    let mut calibrator = calibrator(&all, &catalog, own.as_ref());
    let is_new = |run: &Run| new.contains(&(run.sha256.clone(), run.part));
    let at_odds = contradicting(&calibrator, &is_new);
    let refused = !at_odds.is_empty() && !args.accept;
    let disagreements: Vec<Disagreement> = relevant(&calibrator, &is_new);
    if !refused {
        for run in all.iter_mut().filter(|r| at_odds.contains(&(r.sha256.clone(), r.part))) {
            run.accepted = true;
        }
        calibrator = self::calibrator(&all, &catalog, own.as_ref());
        if !new.is_empty() {
            files::write_atomically(&settings.dir.join(&args.out), file::encode(&all).as_bytes(), 0o644)?;
        }
    }
    let outcome = Outcome {
        calibrator: &calibrator,
        left_out: results
            .iter()
            .flat_map(|r| r.left_out.iter().map(|why| format!("{}: {why}", r.file)))
            .collect(),
        disagreements,
        written: !refused && !new.is_empty(),
        known,
        repeats,
        repeated: before.repeated,
        total: all.len(),
        new,
        name,
    };
    if settings.json {
        print(&format!("{:#}\n", outcome.json()))?;
    } else {
        print(&outcome.text(settings.quiet))?;
    }
    Ok(if refused { Exit::CheckFailed } else { Exit::Done })
}

fn model_config(path: &Path, settings: &Settings) -> Result<ModelArch, Failure> {
    let name = path.display().to_string();
    read_named(&settings.dir, &name)
        .and_then(|text| ModelArch::from_hf_config(&name, &text))
        .map_err(|e| Failure::error(format!("--model-config {name}: {e}")))
}

/// Reads every file, or tells of all that are refused.
fn read_all(
    args: &Args,
    settings: &Settings,
    catalog: &Catalog,
    own: Option<&ModelArch>,
) -> Result<(Vec<Results>, Vec<Run>), Failure> {
    let stated = Stated {
        model: args.model.clone(),
        gpu: args.gpu.clone(),
        tp: args.tp.clone(),
        pp: args.pp.clone(),
        dp: args.dp.clone(),
        ep: args.ep.clone(),
        engine: args.engine.clone(),
        engine_version: args.engine_version.clone(),
        precision: args.precision.clone(),
        kv_cache: args.kv_cache.clone(),
    };
    let (mut results, mut runs, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.results {
        let name = path.display().to_string();
        let bytes = match read_named(&settings.dir, &name) {
            Ok(bytes) => bytes,
            Err(error) => {
                refused.push(format!("{name}: {error}"));
                continue;
            }
        };
        let read = calibrate::read(&name, &bytes)
            .and_then(|found| Ok((stated.attach(&found, catalog, own)?, found)));
        match read {
            Ok((attached, found)) => {
                runs.extend(attached);
                results.push(found);
            }
            Err(refusal) => refused.push(refusal.to_string()),
        }
    }
    if refused.is_empty() {
        return Ok((results, runs));
    }
    refused.push("nothing was written".to_owned());
    Err(Failure::error(refused.join("\n")))
}

fn existing(path: &Path, settings: &Settings) -> Result<Calibration, Failure> {
    let name = path.display().to_string();
    if !settings.dir.join(path).exists() {
        return Ok(Calibration::default());
    }
    let text =
        read_text_named(&settings.dir, &name).map_err(|e| Failure::error(format!("--out {name}: {e}")))?;
    file::decode(&name, &text).map_err(|refusal| Failure::error(format!("--out {refusal}")))
}

fn calibrator(runs: &[Run], catalog: &Catalog, own: Option<&ModelArch>) -> Calibrator {
    let ordered = Calibration::new("", "", runs.to_vec());
    Calibrator::new(
        ordered.runs(),
        |id| own.filter(|a| a.id == id).or_else(|| catalog.model(id)),
        |id| catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i)),
    )
}

/// Disagreements that a new run has part in.
fn relevant(calibrator: &Calibrator, is_new: &impl Fn(&Run) -> bool) -> Vec<Disagreement> {
    let run = |i: usize| &calibrator.compared()[i].run;
    calibrator.disagreements().into_iter().filter(|d| is_new(run(d.first)) || is_new(run(d.second))).collect()
}

/// Ids of the new runs that contradict their prediction or another run.
fn contradicting(calibrator: &Calibrator, is_new: &impl Fn(&Run) -> bool) -> BTreeSet<(String, u32)> {
    let outside = calibrator.compared().iter().filter(|c| contradicts(c)).map(|c| &c.run);
    let pairs = relevant(calibrator, is_new);
    let apart = pairs.iter().flat_map(|d| [d.first, d.second]).map(|i| &calibrator.compared()[i].run);
    outside.chain(apart).filter(|r| is_new(r)).map(|r| (r.sha256.clone(), r.part)).collect()
}

fn contradicts(c: &Compared) -> bool {
    [c.tpot, c.ttft].into_iter().flatten().any(|a| a.contradicts())
}

impl Outcome<'_> {
    fn news(&self) -> impl Iterator<Item = &Compared> {
        self.calibrator.compared().iter().filter(|c| self.new.contains(&(c.run.sha256.clone(), c.run.part)))
    }

    fn text(&self, quiet: bool) -> String {
        let mut text = String::new();
        let mut bad = 0;
        for c in self.news().filter(|c| !quiet || contradicts(c)) {
            let r = &c.run;
            text += &format!("{} ({})\n  {}\n", r.file, r.tool, r.deployment);
            let date = if r.date.is_empty() { "undated" } else { &r.date };
            let (input, output) = (r.input, r.output);
            text +=
                &format!("  {}, {input:.0} + {output:.0} tokens, {} requests, {date}\n", r.load, r.requests);
            for (name, against) in [("TPOT", c.tpot), ("TTFT", c.ttft)] {
                let Some(a) = against else { continue };
                let mark = if a.contradicts() { "  CONTRADICTION" } else { "" };
                text += &format!(
                    "  {name} {:>9.2} ms measured, {:>9.2} ms predicted (98 %: {:.2} to {:.2}){mark}\n",
                    a.measured_ms, a.predicted_ms, a.low_ms, a.high_ms
                );
                bad += usize::from(a.contradicts());
            }
            for note in &c.notes {
                text += &format!("    {note}\n");
            }
        }
        for d in &self.disagreements {
            let run = |i: usize| &self.calibrator.compared()[i].run;
            let (a, b) = (run(d.first), run(d.second));
            text += &format!(
                "CONTRADICTION: {} and {} measured one configuration under one load, and their {} differ by a factor \
                 of {:.2}; repeats stay within {:.2} in 98 % of cases\n",
                a.file, b.file, d.metric, d.ratio, d.limit
            );
            bad += 1;
        }
        for why in self.left_out.iter().filter(|_| !quiet) {
            text += &format!("left out: {why}\n");
        }
        for ((file, other, date), n) in self.repeats.iter().filter(|_| !quiet) {
            let of = if date.is_empty() { String::new() } else { format!(" of {date}") };
            let times = if *n == 1 { String::new() } else { format!(" {n} times") };
            text += &format!("recorded once: {file} repeats the run{of} in {other}{times}\n");
        }
        if self.repeated > 0 && !quiet {
            text +=
                &format!("{}: {} of its entries repeat others and do not count\n", self.name, self.repeated);
        }
        if bad > 0 && !self.written {
            text += "nothing was written: measurement and prediction, or two measurements, cannot both be right.\n  \
                     fix: check what was stated (accelerator, layout, precision, version) and whether the run was \
                     disturbed; --accept records it as it is, and it then counts for its own configuration alone\n";
        } else if !quiet {
            let runs = if self.total == 1 { "run" } else { "runs" };
            text += &format!(
                "{}: {} {runs}, {} new, {} known before\n",
                self.name,
                self.total,
                self.new.len(),
                self.known
            );
        }
        text
    }

    /// Schema `rhumb.calibrate/1`.
    fn json(&self) -> Value {
        let figure = |a: Option<Against>| {
            a.map(|a| {
                json!({
                    "measured_ms": a.measured_ms,
                    "predicted_ms": a.predicted_ms,
                    "low_ms": a.low_ms,
                    "high_ms": a.high_ms,
                    "contradiction": a.contradicts(),
                })
            })
        };
        let runs: Vec<Value> = self
            .news()
            .map(|c| {
                json!({
                    "file": c.run.file,
                    "part": c.run.part,
                    "tool": c.run.tool,
                    "date": c.run.date,
                    "deployment": c.run.deployment.to_string(),
                    "in_flight": c.run.load.in_flight(),
                    "input_tokens": c.run.input,
                    "output_tokens": c.run.output,
                    "requests": c.run.requests,
                    "tpot": figure(c.tpot),
                    "ttft": figure(c.ttft),
                    "accepted": c.run.accepted,
                    "notes": c.notes,
                })
            })
            .collect();
        let disagreements: Vec<Value> = self
            .disagreements
            .iter()
            .map(|d| {
                let run = |i: usize| &self.calibrator.compared()[i].run;
                let files = [&run(d.first).file, &run(d.second).file];
                json!({ "metric": d.metric, "ratio": d.ratio, "limit": d.limit, "files": files })
            })
            .collect();
        let repeats: Vec<Value> = self
            .repeats
            .iter()
            .map(|((file, other, date), n)| json!({ "file": file, "of": other, "date": date, "times": n }))
            .collect();
        json!({
            "schema": "rhumb.calibrate/1",
            "file": self.name,
            "written": self.written,
            "runs_in_file": self.total,
            "known_before": self.known,
            "repeats": repeats,
            "repeated_in_file": self.repeated,
            "runs": runs,
            "disagreements": disagreements,
            "left_out": self.left_out,
        })
    }
}
