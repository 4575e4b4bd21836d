//! Turns the collected performance data into the tables that the build carries, fits the bands and
//! writes the accuracy report. A tool for maintainers; needs the feature `convert`.
//!
//! `perf_convert tables DIR`, `fit|nearness|training|report|ablate DIR DATE REVISION`, `grid DATE REVISION`, `bench`; DIR holds the
//! collected files.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod ablation;
mod bands;
mod batches;
mod bench;
mod decisions;
mod fit;
mod grid;
mod linear;
mod memory;
mod model;
mod nearness;
mod open_loop;
mod others;
mod points;
mod report;
mod training;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rhumb::perf::VARIABLES;

type Row = BTreeMap<String, String>;
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The date on which the data files were collected.
const DATE: &str = "2026-11-23";

fn rows(dir: &Path, file: &str) -> Outcome<Vec<Row>> {
    let mut reader = csv::Reader::from_path(dir.join(file))?;
    let header = reader.headers()?.clone();
    let mut all = Vec::new();
    for record in reader.records() {
        let record = record?;
        all.push(header.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect());
    }
    Ok(all)
}

fn table(file: &str, columns: &[&str], mut lines: Vec<Vec<String>>) -> Outcome<()> {
    lines.sort();
    lines.dedup();
    let mut text = columns.join("\t");
    text.push('\n');
    for line in &lines {
        writeln!(text, "{}", line.join("\t"))?;
    }
    let path = Path::new("src/perf/data").join(file);
    std::fs::write(&path, text)?;
    println!("{}: {} rows", path.display(), lines.len());
    Ok(())
}

fn tables(dir: &Path) -> Outcome<()> {
    let kernels = rows(dir, "gpu_kernel_fit.csv")?
        .iter()
        .filter(|r| r["usable"] == "True")
        .map(|r| {
            let source = if r["framework"] == "vidur-profile" {
                "fit-of-microsoft-vidur-profiles"
            } else {
                "fit-of-aiconfigurator-core-0.12.0-op-tables"
            };
            let mut line: Vec<String> = [
                "gpu",
                "framework",
                "op",
                "dtype",
                "version",
                "compute_eff",
                "bw_eff",
                "t0_us",
                "p_norm",
                "fit_err_p50",
                "n",
            ]
            .iter()
            .map(|c| r[*c].clone())
            .collect();
            line.extend([source.to_owned(), DATE.to_owned()]);
            line
        })
        .collect();
    table(
        "kernels.tsv",
        &[
            "gpu",
            "framework",
            "op",
            "dtype",
            "version",
            "compute_eff",
            "bw_eff",
            "t0_us",
            "p_norm",
            "fit_err_p50",
            "n",
            "source",
            "as_of",
        ],
        kernels,
    )?;
    let collectives = rows(dir, "collectives_fit.csv")?
        .iter()
        .filter(|r| {
            r["op"] == "all_reduce"
                && matches!(r["n_gpus"].as_str(), "2" | "4" | "8")
                && matches!(r["impl"].as_str(), "vllm_graph" | "sglang_graph" | "TRTLLM" | "nccl")
        })
        .map(|r| {
            let mut line: Vec<String> =
                ["gpu", "library", "op", "n_gpus", "latency_us", "alg_bw_gbps", "fit_err_p50"]
                    .iter()
                    .map(|c| r[*c].clone())
                    .collect();
            line.extend(["fit-of-aiconfigurator-core-0.12.0-collectives".to_owned(), DATE.to_owned()]);
            line
        })
        .collect();
    table(
        "collectives.tsv",
        &["gpu", "library", "op", "n_gpus", "latency_us", "alg_bw_gbps", "fit_err_p50", "source", "as_of"],
        collectives,
    )?;
    let gpus = rows(dir, "gpu_specs.csv")?
        .iter()
        .map(|r| {
            let mut line: Vec<String> = [
                "gpu",
                "vendor",
                "mem_gb",
                "mem_bw_gbps",
                "bf16_dense_tflops",
                "fp8_dense_tflops",
                "int8_dense_tops",
                "fp4_dense_tflops",
                "intra_node_gbps_per_dir",
                "verified",
            ]
            .iter()
            .map(|c| r[*c].clone())
            .collect();
            line.extend([r["source"].replace(' ', "-"), DATE.to_owned()]);
            line
        })
        .collect();
    table(
        "gpus.tsv",
        &[
            "gpu",
            "vendor",
            "mem_gb",
            "mem_bw_gbps",
            "bf16_tflops",
            "fp8_tflops",
            "int8_tops",
            "fp4_tflops",
            "link_gbps_per_dir",
            "verified",
            "source",
            "as_of",
        ],
        gpus,
    )
}

/// Fits constants, ledger and bands, and writes their tables.
fn fitted(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = rhumb::catalog::Catalog::embedded();
    let points = points::load(dir, &catalog)?;
    let all: Vec<&points::Point> = points.iter().collect();
    let model = model::Model::fit(&all);
    let from = ["aiconfigurator-silicon-sample".to_owned(), date.to_owned(), revision.to_owned()];
    let with = |lines: Vec<Vec<String>>| lines.into_iter().map(|l| [l, from.to_vec()].concat()).collect();
    let columns = |own: &[&'static str]| [own, &["source", "as_of", "revision"]].concat();
    table(
        "constants.tsv",
        &columns(&["engine", "group", "name", "value", "n_rows"]),
        with(model.physics.lines(&all)),
    )?;
    let mut terms = Vec::new();
    for (key, (residual, n)) in &model.ledger {
        for (metric, side) in [("tpot", residual.tpot), ("ttft", residual.ttft)] {
            let slots = if key.slopes { 1..7 } else { 0..1 };
            for (variable, x) in VARIABLES.iter().zip(side).take(slots.end).skip(slots.start) {
                terms.push(vec![
                    key.name.to_owned(),
                    key.values.clone(),
                    metric.to_owned(),
                    (*variable).to_owned(),
                    format!("{x:.5}"),
                    n.to_string(),
                ]);
            }
        }
    }
    table(
        "ledger.tsv",
        &columns(&["term", "values", "metric", "variable", "coefficient", "n_rows"]),
        with(terms),
    )?;
    let by_group = model::leave_out(&all, model::tenth);
    let by_model = model::leave_out(&all, |p| p.model.clone());
    let by_system = model::leave_out(&all, |p| p.system.clone());
    let bands = bands::fit(&by_group, &by_model, &by_system);
    for (name, left) in [("group", &by_group), ("model", &by_model), ("system", &by_system)] {
        let of = |pick: fn(&model::LeftOut<'_>) -> f64| report::error(left.iter().map(pick).collect());
        println!("left-out {name}: TPOT {} TTFT {}", of(|l| l.tpot), of(|l| l.ttft));
    }
    table(
        "bands.tsv",
        &columns(&["kind", "class", "engine", "family", "metric", "mu", "sigma", "n_rows", "n_groups"]),
        with(bands::lines(&bands)),
    )
}

/// Fits what errors have in common, and writes its table.
fn nearness(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = rhumb::catalog::Catalog::embedded();
    let points = points::load(dir, &catalog)?;
    let points: Vec<&points::Point> = points.iter().collect();
    let from = ["aiconfigurator-silicon-sample".to_owned(), date.to_owned(), revision.to_owned()];
    let mut lines = nearness::lines(model::Kind::Seen, &model::leave_out(&points, model::tenth));
    let by_model = model::leave_out(&points, |p| p.model.clone());
    lines.extend(nearness::lines(model::Kind::NewModel, &by_model));
    let by_system = model::leave_out(&points, |p| p.system.clone());
    lines.extend(nearness::lines(model::Kind::NewAccelerator, &by_system));
    table(
        "nearness.tsv",
        &["metric", "kind", "shared", "share", "n_pairs", "source", "as_of", "revision"],
        lines.into_iter().map(|l| [l, from.to_vec()].concat()).collect(),
    )
}

fn quantile(mut xs: Vec<f64>, q: f64) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs.get(((xs.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(f64::NAN)
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "tables", dir] => tables(Path::new(dir)),
        [_, "fit", dir, date, revision] => fitted(Path::new(dir), date, revision),
        [_, "nearness", dir, date, revision] => nearness(Path::new(dir), date, revision),
        [_, "bench"] => {
            bench::run();
            Ok(())
        }
        [_, "grid", date, revision] => {
            std::fs::write("src/replay/CHECKED.md", grid::write(date, revision)?)?;
            println!("src/replay/CHECKED.md");
            Ok(())
        }
        [_, "training", dir, date, revision] => {
            training::tables(Path::new(dir))?;
            // The constants are fitted on the table that the build carries: after a change of it, build
            // and call again.
            training::constants(date, revision)
        }
        [_, "ablate", dir, date, revision] => ablation::write(Path::new(dir), date, revision),
        [_, "report", dir, date, revision] => report::write(Path::new(dir), date, revision),
        _ => Err("usage: perf_convert tables DIR, fit|nearness|training|report|ablate DIR DATE REVISION, grid DATE REVISION, bench".into()),
    }
}
