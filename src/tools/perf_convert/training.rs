//! Training: the table of measured runs, the fit of the constants, and their part of the accuracy report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::{Accelerator, Catalog};
use rhumb::perf::training::facts::{self, Constants, Fact};
use rhumb::perf::training::{Class, Method, N, NAMES, memory, terms};
use rhumb::perf::{Band, DoesNotFit};

use super::{DATE, Outcome, Row, quantile, report, rows, table};

/// Normal quantile of 0.9.
const Z90: f64 = 1.281_551_565_544_600_4;
/// Relative error beyond which a row counts by its size alone.
const ROBUST: f64 = 0.05;
/// Gbit/s between machines: of the A100 tables by their titles, of DGX H100 by its datasheet (eight of
/// 400).
const NETWORK: [(&str, f64); 3] = [("a100_40gb", 200.0), ("a100_80gb", 200.0), ("h100_80gb", 400.0)];

/// Layers, hidden size and heads of `mosaicml/llm-foundry scripts/train/yamls/pretrain/mpt-*.yaml`; 50368 words.
const MPT: [(&str, u32, u32, u32); 9] = [
    ("MPT-125m", 12, 768, 12),
    ("MPT-350m", 24, 1024, 16),
    ("MPT-760m", 24, 1536, 12),
    ("MPT-1b", 24, 2048, 16),
    ("MPT-3b", 32, 2560, 20),
    ("MPT-7b", 32, 4096, 32),
    ("MPT-13b", 40, 5120, 40),
    ("MPT-30b", 48, 7168, 56),
    ("MPT-70b", 80, 8192, 64),
];

/// The catalogue's names of the models of NeMo Automodel's summary.
const CATALOGUED: [(&str, &str); 6] = [
    ("DeepSeek V3 671B", "deepseek-ai/DeepSeek-V3"),
    ("Kimi K2", "moonshotai/Kimi-K2-Instruct"),
    ("Qwen3 MoE 30B", "Qwen/Qwen3-30B-A3B"),
    ("GPT-OSS 20B", "openai/gpt-oss-20b"),
    ("GPT-OSS 120B", "openai/gpt-oss-120b"),
    ("Llama3 70B", "meta-llama/Meta-Llama-3-70B"),
];

const ACCELERATORS: [(&str, &str); 3] =
    [("a100_40gb", "a100-sxm-40gb"), ("a100_80gb", "a100-sxm-80gb"), ("h100_80gb", "h100-sxm-80gb")];

fn line(r: &Row) -> Outcome<Vec<String>> {
    let name = r["model"].as_str();
    let shape = MPT.iter().find(|m| m.0 == name);
    let id = CATALOGUED.iter().find(|m| m.0 == name).map_or("", |m| m.1);
    if shape.is_none() && id.is_empty() {
        return Err(format!("training.csv: no architecture for {name}").into());
    }
    if let Some((_, layers, hidden, _)) = shape {
        // The dimensions must give the parameters that the source states, up to learned positions.
        let (l, h) = (f64::from(*layers), f64::from(*hidden));
        let positions: f64 = r["seq_len"].parse()?;
        let count = 12.0 * l * h * h + 50368.0 * h + positions * h;
        let stated: f64 = r["params_b"].parse::<f64>()? * 1e9;
        if (count / stated - 1.0).abs() > 0.01 {
            return Err(format!("training.csv: {name} has {stated} parameters, its shape {count}").into());
        }
    }
    let number =
        |pick: fn(&(&str, u32, u32, u32)) -> u32| shape.map_or_else(String::new, |s| pick(s).to_string());
    let gpu = ACCELERATORS.iter().find(|a| a.0 == r["gpu"]).ok_or("training.csv: unknown gpu")?.1;
    let network = NETWORK.iter().find(|a| a.0 == r["gpu"]).ok_or("training.csv: unknown gpu")?.1;
    let sharding = match r["sharding"].as_str() {
        "FULL_SHARD" => "full",
        "SHARD_GRAD_OP" => "gradients",
        _ => "",
    };
    let checkpoint = match r["act_checkpoint"].as_str() {
        "True" => "full",
        "False" => "none",
        _ => "",
    };
    Ok(vec![
        name.to_owned(),
        id.to_owned(),
        number(|s| s.1),
        number(|s| s.2),
        number(|s| s.3),
        shape.map_or_else(String::new, |_| "50368".to_owned()),
        gpu.to_owned(),
        r["gpus"].clone(),
        if r["task"] == "lora" { "lora" } else { "full" }.to_owned(),
        if r["precision"].contains("fp8") { "fp8" } else { "bf16" }.to_owned(),
        r["seq_len"].clone(),
        r["micro_batch"].clone(),
        sharding.to_owned(),
        checkpoint.to_owned(),
        network.to_string(),
        r["tokens_per_s_per_gpu"].clone(),
        r["source"].replace(' ', "-"),
        r["date"].clone(),
    ])
}

/// A run with its terms.
struct Point {
    fact: Fact,
    class: Class,
    terms: [f64; N],
}

fn points(catalog: &Catalog) -> Outcome<Vec<Point>> {
    let mut all = Vec::new();
    for fact in facts::facts(catalog) {
        let accelerator = accelerator(catalog, &fact)?;
        let run = fact.run(accelerator);
        let terms = terms(&run).map_err(|e: DoesNotFit| e.to_string())?.0;
        let class = Class::of(&run);
        all.push(Point { class, terms, fact });
    }
    Ok(all)
}

fn accelerator<'c>(catalog: &'c Catalog, fact: &Fact) -> Outcome<&'c Accelerator> {
    let at = catalog.accelerator(&fact.accelerator).ok_or("unknown accelerator")?;
    Ok(catalog.accelerators.get(at).ok_or("unknown accelerator")?)
}

fn variant(p: &Point) -> bool {
    p.class == Class::Variant
}

/// Non-negative least squares of relative errors, by coordinate descent, with soft absolute loss.
fn fit(points: &[&Point]) -> [f64; N] {
    let rows: Vec<[f64; N]> = points.iter().map(|p| p.terms.map(|t| t * p.fact.tokens_per_s)).collect();
    let mut weights = vec![1.0; rows.len()];
    let mut x = [0.0; N];
    for _ in 0..8 {
        let mut gram = [[0.0; N]; N];
        let mut target = [0.0; N];
        for (row, w) in rows.iter().zip(&weights) {
            for i in 0..N {
                target[i] += w * row[i];
                for j in 0..N {
                    gram[i][j] += w * row[i] * row[j];
                }
            }
        }
        for _ in 0..20_000 {
            let before = x;
            for i in 0..N {
                if gram[i][i] > 0.0 {
                    let others: f64 = (0..N).filter(|j| *j != i).map(|j| gram[i][j] * x[j]).sum();
                    x[i] = ((target[i] - others) / gram[i][i]).max(0.0);
                }
            }
            if x.iter().zip(before).all(|(a, b)| (a - b).abs() <= 1e-10 * a.abs()) {
                break;
            }
        }
        for (row, w) in rows.iter().zip(weights.iter_mut()) {
            let error: f64 = row.iter().zip(x).map(|(a, b)| a * b).sum::<f64>() - 1.0;
            *w = 1.0 / (1.0 + (error / ROBUST).powi(2)).sqrt();
        }
    }
    x
}

/// `ln(measured / predicted)` throughput.
fn residual(p: &Point, values: &[f64; N]) -> f64 {
    let time: f64 = p.terms.iter().zip(values).map(|(t, c)| t * c).sum();
    (p.fact.tokens_per_s * time).ln()
}

/// A run that a fit did not see.
struct LeftOut<'p> {
    point: &'p Point,
    residual: f64,
}

/// Residuals of dense full training by what was left out.
fn leave_out(points: &[Point], name: impl Fn(&Point) -> String) -> Vec<LeftOut<'_>> {
    let dense: Vec<&Point> = points.iter().filter(|p| !variant(p)).collect();
    let folds: BTreeSet<String> = dense.iter().map(|p| name(p)).collect();
    let mut out = Vec::new();
    for fold in folds {
        let (own, others): (Vec<&Point>, Vec<&Point>) = dense.iter().partition(|p| name(p) == fold);
        let values = fit(&others);
        out.extend(own.into_iter().map(|point| LeftOut { point, residual: residual(point, &values) }));
    }
    out
}

/// The terms of a family by the constants of the other one.
fn other_family(points: &[Point]) -> Vec<LeftOut<'_>> {
    let dense: Vec<&Point> = points.iter().filter(|p| !variant(p)).collect();
    let mut out = Vec::new();
    for ampere in [false, true] {
        let (own, others): (Vec<&Point>, Vec<&Point>) =
            dense.iter().partition(|p| (p.class == Class::Ampere) == ampere);
        let values = fit(&others);
        let [ap, aa, ae, hp, h8, ha, he, scores, weights, machines] = values;
        let moved = if ampere {
            [hp, ha, he, hp, h8, ha, he, scores, weights, machines]
        } else {
            // No 8-bit run on Ampere: what its products reach stands in.
            [ap, aa, ae, ap, ap, aa, ae, scores, weights, machines]
        };
        out.extend(own.into_iter().map(|point| LeftOut { point, residual: residual(point, &moved) }));
    }
    out
}

/// Centre and width of the 80 % interval of these residuals, each group counting by the root of its size, wider
/// for few `units`.
fn band(left: &[&LeftOut<'_>], units: usize) -> Band {
    let mut sizes: BTreeMap<String, f64> = BTreeMap::new();
    for l in left {
        *sizes.entry(l.point.fact.group()).or_default() += 1.0;
    }
    let mut sorted: Vec<(f64, f64)> =
        left.iter().map(|l| (l.residual, 1.0 / sizes[&l.point.fact.group()].sqrt())).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sorted.iter().map(|x| x.1).sum();
    let at = |q: f64| {
        let mut sum = 0.0;
        sorted
            .iter()
            .find(|x| {
                sum += x.1;
                sum >= q * total
            })
            .map_or(0.0, |x| x.0)
    };
    let (low, high) = (at(0.1), at(0.9));
    Band {
        mu: (low + high) / 2.0,
        sigma: ((high - low) / 2.0 / Z90).max(0.03) * (1.0 + 1.0 / units.max(1) as f64),
        groups: units as u32,
    }
}

fn groups(left: &[&LeftOut<'_>]) -> usize {
    left.iter().map(|l| l.point.fact.group()).collect::<BTreeSet<_>>().len()
}

/// Everything that was fitted.
struct Fitted<'p> {
    constants: Constants,
    by_group: Vec<LeftOut<'p>>,
    by_model: Vec<LeftOut<'p>>,
    other: Vec<LeftOut<'p>>,
    variants: Vec<LeftOut<'p>>,
}

fn fitted(points: &[Point]) -> Fitted<'_> {
    let dense: Vec<&Point> = points.iter().filter(|p| !variant(p)).collect();
    let values = fit(&dense);
    let by_group = leave_out(points, |p| p.fact.group());
    let by_model = leave_out(points, |p| p.fact.model.clone());
    let other = other_family(points);
    let of = |lora: bool| -> Vec<&Point> {
        points.iter().filter(|p| variant(p) && (p.fact.method != Method::Full) == lora).collect()
    };
    let middle = |points: &[&Point]| {
        let xs: Vec<f64> = points.iter().map(|p| residual(p, &values)).collect();
        (xs.iter().sum::<f64>() / xs.len().max(1) as f64).exp()
    };
    // Measured over predicted throughput below 1 is time above 1.
    let (experts, lora) = (1.0 / middle(&of(false)), 1.0 / middle(&of(true)));
    let variants: Vec<LeftOut<'_>> = of(false)
        .into_iter()
        .map(|point| {
            let rest: Vec<&Point> =
                of(false).into_iter().filter(|p| p.fact.model != point.fact.model).collect();
            LeftOut { point, residual: residual(point, &values) - middle(&rest).ln() }
        })
        .collect();
    let bands = Class::ALL.map(|class| {
        let own: Vec<&LeftOut<'_>> = match class {
            Class::Other => other.iter().collect(),
            Class::Variant => variants.iter().collect(),
            _ => by_group.iter().filter(|l| l.point.class == class).collect(),
        };
        let units = match class {
            Class::Other => 2,
            Class::Variant => own.iter().map(|l| &l.point.fact.model).collect::<BTreeSet<_>>().len(),
            _ => groups(&own),
        };
        band(&own, units)
    });
    Fitted { constants: Constants { values, experts, lora, bands }, by_group, by_model, other, variants }
}

/// Writes `training.tsv`.
pub fn tables(dir: &Path) -> Outcome<()> {
    let lines = rows(dir, "training.csv")?.iter().map(line).collect::<Outcome<Vec<_>>>()?;
    table(
        "training.tsv",
        &[
            "model",
            "catalogue_id",
            "layers",
            "hidden",
            "heads",
            "vocab",
            "accelerator",
            "accelerators",
            "method",
            "precision",
            "seq_len",
            "micro_batch",
            "sharding",
            "checkpointing",
            "network_gbps",
            "tokens_per_s_per_accelerator",
            "source",
            "as_of",
        ],
        lines,
    )
}

/// Writes `training_fit.tsv`.
pub fn constants(date: &str, revision: &str) -> Outcome<()> {
    let catalog = Catalog::embedded();
    let points = points(&catalog)?;
    let f = fitted(&points);
    let c = &f.constants;
    let count = |yes: &dyn Fn(&Point) -> bool| points.iter().filter(|p| yes(p)).count().to_string();
    let mut lines: Vec<[String; 4]> = NAMES
        .iter()
        .zip(c.values)
        .enumerate()
        .map(|(i, (name, value))| {
            let n = count(&|p| !variant(p) && p.terms[i] > 0.0);
            [(*name).to_owned(), format!("{value:.5}"), String::new(), n]
        })
        .collect();
    for (name, value, lora) in [("experts", c.experts, false), ("lora", c.lora, true)] {
        let n = count(&|p| variant(p) && (p.fact.method != Method::Full) == lora);
        lines.push([name.to_owned(), format!("{value:.5}"), String::new(), n]);
    }
    for (class, b) in Class::ALL.iter().zip(c.bands) {
        lines.push([
            format!("band:{}", class.as_str()),
            format!("{:.4}", b.mu),
            format!("{:.4}", b.sigma),
            b.groups.to_string(),
        ]);
    }
    let from = ["llm-foundry+nemo-automodel", date, revision].map(str::to_owned);
    table(
        "training_fit.tsv",
        &["name", "value", "sigma", "n", "source", "as_of", "revision"],
        lines.into_iter().map(|l| [l.to_vec(), from.to_vec()].concat()).collect(),
    )?;
    println!("collected {DATE}; {} runs", points.len());
    Ok(())
}

/// One row of a table: errors, coverage and width of the band.
fn cells(left: &[&LeftOut<'_>], band: Option<&Band>) -> String {
    let error = report::error(left.iter().map(|l| l.residual).collect());
    let covered = band.map_or_else(String::new, |b| {
        let mut shares: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for l in left {
            let share = shares.entry(l.point.fact.group()).or_default();
            share.0 += f64::from(u8::from((l.residual - b.mu).abs() <= Z90 * b.sigma));
            share.1 += 1.0;
        }
        let mean = shares.values().map(|s| s.0 / s.1).sum::<f64>() / shares.len() as f64;
        let rows = shares.values().map(|s| s.0).sum::<f64>() / left.len() as f64;
        format!(
            "{:.0} % of rows, {:.0} % by groups, x{:.2}",
            rows * 100.0,
            mean * 100.0,
            (2.0 * Z90 * b.sigma).exp()
        )
    });
    format!("{} | {} | {error} | {covered} |", left.len(), groups(left))
}

/// The section of the report.
pub fn write(out: &mut String, catalog: &Catalog) -> Outcome<()> {
    let points = points(catalog)?;
    let f = fitted(&points);
    writeln!(out, "\n## Training\n")?;
    writeln!(
        out,
        "{} published runs (`data/training.tsv`: llm-foundry's tables of 2023-2024, NeMo Automodel's of 2025-10). Tokens/s of one",
        points.len()
    )?;
    writeln!(
        out,
        "accelerator, median / 90th percentile of the absolute error in percent on runs that the fit did not see; then the"
    )?;
    writeln!(
        out,
        "share inside of the 80 % interval and its width. Fitted: ten constants for dense models, one factor for"
    )?;
    writeln!(out, "experts, one for LoRA (a single run, which cannot be left out).\n")?;
    writeln!(
        out,
        "| left out | class | rows | groups | error % | inside, width |\n|---|---|---|---|---|---|"
    )?;
    let all: Vec<&LeftOut<'_>> = f.by_group.iter().collect();
    writeln!(out, "| model x accelerator x precision | all | {}", cells(&all, None))?;
    for (class, band) in Class::ALL.iter().zip(&f.constants.bands).take(3) {
        let own: Vec<&LeftOut<'_>> = f.by_group.iter().filter(|l| l.point.class == *class).collect();
        writeln!(
            out,
            "| model x accelerator x precision | {} | {}",
            class.as_str(),
            cells(&own, Some(band))
        )?;
    }
    for (class, band) in Class::ALL.iter().zip(&f.constants.bands).take(3) {
        let own: Vec<&LeftOut<'_>> = f.by_model.iter().filter(|l| l.point.class == *class).collect();
        writeln!(out, "| model | {} | {}", class.as_str(), cells(&own, Some(band)))?;
    }
    for (name, left, band) in
        [("family of accelerators", &f.other, 3), ("model with experts", &f.variants, 4)]
    {
        let own: Vec<&LeftOut<'_>> = left.iter().collect();
        writeln!(
            out,
            "| {name} | {} | {}",
            Class::ALL[band].as_str(),
            cells(&own, Some(&f.constants.bands[band]))
        )?;
    }
    writeln!(out, "\n| by | rows | groups | error % | |\n|---|---|---|---|---|")?;
    let mut by: BTreeMap<String, Vec<&LeftOut<'_>>> = BTreeMap::new();
    for l in &f.by_group {
        let fact = &l.point.fact;
        by.entry(format!("1 {}, {}", fact.accelerator, fact.precision.as_str())).or_default().push(l);
        let length = match fact.sequence {
            0..=1024 => "2 up to 1024 tokens",
            1025..=4096 => "3 2048 and 4096 tokens",
            4097..=16384 => "4 8192 and 16384 tokens",
            _ => "5 32768 and 65536 tokens",
        };
        by.entry(length.to_owned()).or_default().push(l);
        let size = match fact.arch.params {
            p if p < 1e9 => "6 below a billion parameters",
            p if p < 10e9 => "7 1 to 10 billion parameters",
            _ => "8 10 to 70 billion parameters",
        };
        by.entry(size.to_owned()).or_default().push(l);
        let machines = if fact.accelerators > 8 { "9b several machines" } else { "9a one machine" };
        by.entry(machines.to_owned()).or_default().push(l);
    }
    for (name, left) in by {
        let name = name.split_once(' ').map_or(name.as_str(), |n| n.1);
        writeln!(out, "| {name} | {}", cells(&left, None))?;
    }
    let mut used = Vec::new();
    let mut over = 0;
    for p in &points {
        let m = memory(&p.fact.run(accelerator(catalog, &p.fact)?));
        over += usize::from(m.needed() > m.device);
        if p.fact.micro_batch.is_some() {
            used.push(m.needed() / m.device);
        }
    }
    writeln!(
        out,
        "\nMemory: {over} of {} runs that ran would be refused. Where the micro-batch is stated, the predicted need is {:.0} %",
        points.len(),
        quantile(used.clone(), 0.5) * 100.0
    )?;
    writeln!(
        out,
        "of the device in the median and {:.0} % at most (the sources chose it to fill the device).",
        quantile(used, 1.0) * 100.0
    )?;
    Ok(())
}
