//! Writes `src/perf/ACCURACY.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::Catalog;
use rhumb::perf::points::Case;

use super::bands::{self, Fitted, Judged, groups};
use super::model::{LeftOut, leave_out, tenth};
use super::points::{self, Point, number};
use super::{Outcome, batches, decisions, memory, open_loop, others, quantile, training};

/// Median and 90th percentile of `|predicted / measured - 1|`, percent.
pub fn error(residuals: Vec<f64>) -> String {
    let absolute: Vec<f64> = residuals.into_iter().map(|r| ((-r).exp() - 1.0).abs() * 100.0).collect();
    if absolute.is_empty() {
        return "-".into();
    }
    format!("{:.1} / {:.0}", quantile(absolute.clone(), 0.5), quantile(absolute, 0.9))
}

fn of(left: &[&LeftOut<'_>], ttft: bool) -> String {
    error(left.iter().map(|l| if ttft { l.ttft } else { l.tpot }).collect())
}

/// Error of another method on the same points, and how many of them it answers.
fn others(left: &[&LeftOut<'_>], pick: fn(&Point) -> (Option<f64>, Option<f64>), ttft: bool) -> String {
    let found: Vec<f64> = left
        .iter()
        .filter_map(|l| {
            let (a, b) = pick(l.point);
            let (said, measured) = if ttft { (a?, l.point.ttft_s) } else { (b?, l.point.tpot_s) };
            Some((measured / said).ln())
        })
        .collect();
    let n = found.len();
    if n == left.len() { error(found) } else { format!("{} (n {n})", error(found)) }
}

fn aic(p: &Point) -> (Option<f64>, Option<f64>) {
    p.aic
}

fn roofline(p: &Point) -> (Option<f64>, Option<f64>) {
    p.roofline
}

/// One table by a property of the points.
fn table(
    out: &mut String,
    title: &str,
    left: &[LeftOut<'_>],
    key: impl Fn(&Point) -> String,
) -> std::fmt::Result {
    let mut by: BTreeMap<String, Vec<&LeftOut<'_>>> = BTreeMap::new();
    for l in left {
        by.entry(key(l.point)).or_default().push(l);
    }
    writeln!(out, "\n| {title} | rows | groups | TPOT % | AIConfigurator | TTFT % | AIConfigurator |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (name, l) in by {
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} |",
            l.len(),
            groups(&l),
            of(&l, false),
            others(&l, aic, false),
            of(&l, true),
            others(&l, aic, true)
        )?;
    }
    Ok(())
}

/// Ends of the 95 % interval of a share `k / n` (Wilson).
fn wilson(k: f64, n: f64) -> (f64, f64) {
    let z = 1.96;
    let p = k / n;
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Coverage of the 80 % interval in every class: the share of each group's points inside, averaged over groups.
fn coverage(out: &mut String, judged: &[Judged<'_>], classes: fn(&Point) -> Vec<String>) -> std::fmt::Result {
    let mut by: BTreeMap<String, Vec<&Judged<'_>>> = BTreeMap::new();
    for j in judged {
        for class in classes(j.left.point) {
            by.entry(class).or_default().push(j);
        }
        by.entry(" all".into()).or_default().push(j);
    }
    writeln!(out, "\n| class | rows | groups | TPOT inside | width | TTFT inside | width |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for (name, judged) in by {
        let n = groups(&judged.iter().map(|j| &j.left).collect::<Vec<_>>());
        write!(out, "| {} | {} | {n} |", name.trim(), judged.len())?;
        for ttft in [false, true] {
            let mut shares: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            let mut widths = Vec::new();
            for j in &judged {
                let Some((inside, width)) = (if ttft { j.ttft } else { j.tpot }) else { continue };
                let share = shares.entry(&j.left.point.group).or_default();
                share.0 += f64::from(u8::from(inside));
                share.1 += 1.0;
                widths.push(width);
            }
            let (n, inside) = (shares.len() as f64, shares.values().map(|s| s.0 / s.1).sum::<f64>());
            let (low, high) = wilson(inside, n);
            write!(
                out,
                " {:.0} % ({:.0} to {:.0}) | x{:.2} |",
                inside / n * 100.0,
                low * 100.0,
                high * 100.0,
                quantile(widths, 0.5)
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The tables of coverage.
fn covered(
    out: &mut String,
    points: &[&Point],
    [by_group, by_model, by_system]: [&[LeftOut<'_>]; 3],
) -> std::fmt::Result {
    writeln!(out, "\n## Bands\n")?;
    writeln!(
        out,
        "Share of points between the 10th and the 90th percentile of their band, averaged over groups, with its 95 % interval;"
    )?;
    writeln!(
        out,
        "width is the ratio of the band's ends (median). Nothing that a band is judged on was used for it: the residuals that it"
    )?;
    writeln!(
        out,
        "was fitted on are left-out residuals of models that saw nothing of the judged fold, model or system.\n\nGroups:"
    )?;
    coverage(out, &bands::nested(points, by_group, tenth), |p| {
        vec![
            format!("{}, {}, {}", p.class, p.engine.as_str(), p.family),
            format!("class {}", p.class),
            format!("engine {}", p.engine.as_str()),
            format!("system {}", p.system),
            format!("precision {}", p.precision),
        ]
    })?;
    let engine = |p: &Point| vec![format!("engine {}", p.engine.as_str())];
    writeln!(out, "\nModels:")?;
    coverage(out, &bands::nested(points, by_model, |p| p.model.clone()), engine)?;
    writeln!(out, "\nSystems:")?;
    coverage(out, &bands::nested(points, by_system, |p| p.system.clone()), engine)
}

/// Disaggregated rows, of which nothing was fitted.
fn disaggregated(out: &mut String, dir: &Path, catalog: &Catalog) -> Outcome<()> {
    let (mut complete, mut partial) = ((vec![], vec![]), (vec![], vec![]));
    let mut unanswered = 0;
    for (row, cells) in points::Cases::read(dir, "disagg")?.iter() {
        let answer = Case::read(&cells, catalog, None).ok().and_then(|c| c.predict().ok());
        let Some(b) = answer else {
            unanswered += 1;
            continue;
        };
        let into = if cells.number("prefill_num_workers").is_some() { &mut complete } else { &mut partial };
        into.0.push((number(row, "tpot_ms") / 1e3 / b.tpot_s).ln());
        into.1.push((number(row, "ttft_ms") / 1e3 / b.ttft_s).ln());
    }
    writeln!(out, "\n## Disaggregated serving, not fitted\n")?;
    writeln!(
        out,
        "Most rows lack the number of workers (one of each is assumed) and the prefill batch, and do not say which ran with"
    )?;
    writeln!(
        out,
        "speculative tokens: their figures are of the class modelled and widely banded. {unanswered} rows were not answered.\n"
    )?;
    writeln!(out, "| rows | n | TPOT % | TTFT % |\n|---|---|---|---|")?;
    for (name, (tpot, ttft)) in [("with the number of workers", complete), ("without", partial)] {
        writeln!(out, "| {name} | {} | {} | {} |", tpot.len(), error(tpot), error(ttft))?;
    }
    Ok(())
}

fn decided(out: &mut String, left: &[LeftOut<'_>], bands: &[Fitted], catalog: &Catalog) -> std::fmt::Result {
    let prices = decisions::prices(catalog);
    writeln!(out, "\n## Decisions\n")?;
    writeln!(
        out,
        "For every model and lengths with five measured points or more, and eight pairs of objectives on mean TTFT and TPOT: the"
    )?;
    writeln!(
        out,
        "method picks, among the measured configurations, the cheapest for a generated token by its own figures (left-out"
    )?;
    writeln!(
        out,
        "groups; cheapest on-demand price of each accelerator in the catalogue) of those that it thinks will do. A question"
    )?;
    writeln!(
        out,
        "counts if a measured configuration does it. `dearer` is the measured cost of choices that held over the cheapest that does.\n"
    )?;
    writeln!(out, "| method | questions | answered | held | dearer, median | dearer, p90 |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for confidence in [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99] {
        let s = decisions::score(left, &prices, |l| decisions::ours(l, bands, confidence));
        writeln!(out, "| this, confidence {:.0} % | {}", confidence * 100.0, s.cells())?;
    }
    for margin in [1.0, 1.2, 1.5] {
        let s = decisions::score(left, &prices, |l| decisions::other(l.point.aic, margin));
        writeln!(out, "| AIConfigurator 0.12 x {margin} | {}", s.cells())?;
    }
    for margin in [1.0, 3.0] {
        let s = decisions::score(left, &prices, |l| decisions::other(l.point.roofline, margin));
        writeln!(out, "| naive roofline x {margin} | {}", s.cells())?;
    }
    Ok(())
}

const HEAD: &str = "\
Measured points: the aggregated rows of `calibration.csv` (InferenceX and NVIDIA runs of 2025-10 to 2026-04, as
collected in AIConfigurator's silicon sample) without those marked suspect. Each is a closed loop of a fixed number of
clients, predicted by `rhumb predict --points`. Figures are the median / 90th percentile of the absolute error in
percent, each on points that the fit did not see. Four choices were made with all rows in view: the strengths of prior and
ridge, the conditions of the benchmarks (cache precision, share of memory, drafted tokens, steps that a prompt is held back),
which mechanisms there are beside the kernels, and the scale of the bands. AIConfigurator 0.12 and a naive roofline are compared
on the same rows (`calibration_baselines.csv`, labels as they are).

The TTFT of a closed loop is largely the behaviour of the benchmark's client: it judges the method, and is not what
users see. The TTFT of users is another formula (`ServiceCurve::latency`).
";

/// Writes the page.
pub fn write(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = Catalog::embedded();
    let points = points::load(dir, &catalog)?;
    let all: Vec<&Point> = points.iter().collect();
    let by_group = leave_out(&all, tenth);
    let by_model = leave_out(&all, |p| p.model.clone());
    let by_system = leave_out(&all, |p| p.system.clone());
    let bands = bands::fit(&by_group, &by_model, &by_system);
    let mut out = String::new();
    writeln!(out, "# How accurate the predictions are\n")?;
    writeln!(
        out,
        "Written by `perf_convert report` on {date} at revision {revision}. Do not edit by hand.\n\n{HEAD}"
    )?;
    writeln!(out, "| left out | rows | groups | TPOT % | TTFT % |\n|---|---|---|---|---|")?;
    let mut row = |name: &str, left: &[&LeftOut<'_>]| {
        writeln!(
            out,
            "| {name} | {} | {} | {} | {} |",
            left.len(),
            groups(left),
            of(left, false),
            of(left, true)
        )
    };
    let everything: Vec<&LeftOut<'_>> = by_group.iter().collect();
    row("groups of configurations (ten folds)", &everything)?;
    row("one model at a time", &by_model.iter().collect::<Vec<_>>())?;
    row("one system at a time", &by_system.iter().collect::<Vec<_>>())?;
    let physics: Vec<LeftOut<'_>> =
        by_group.iter().map(|l| LeftOut { ttft: l.physics.0, tpot: l.physics.1, ..*l }).collect();
    row("groups, physics without the ledger", &physics.iter().collect::<Vec<_>>())?;
    writeln!(
        out,
        "| AIConfigurator 0.12, same rows | | | {} | {} |",
        others(&everything, aic, false),
        others(&everything, aic, true)
    )?;
    writeln!(
        out,
        "| naive roofline, same rows | | | {} | {} |",
        others(&everything, roofline, false),
        others(&everything, roofline, true)
    )?;
    writeln!(out, "\n## By left-out groups")?;
    table(&mut out, "class, engine, family", &by_group, |p| {
        format!("{}, {}, {}", p.class, p.engine.as_str(), p.family)
    })?;
    table(&mut out, "system", &by_group, |p| p.system.clone())?;
    table(&mut out, "engine", &by_group, |p| p.engine.as_str().to_owned())?;
    table(&mut out, "model class", &by_group, |p| p.class.to_owned())?;
    table(&mut out, "precision", &by_group, |p| p.precision.to_owned())?;
    table(&mut out, "model", &by_group, |p| p.model.clone())?;
    writeln!(out, "\n## By left-out models")?;
    table(&mut out, "model, engine", &by_model, |p| format!("{}, {}", p.model, p.engine.as_str()))?;
    writeln!(out, "\n## By left-out systems")?;
    table(&mut out, "system, engine", &by_system, |p| format!("{}, {}", p.system, p.engine.as_str()))?;
    covered(&mut out, &all, [&by_group, &by_model, &by_system])?;
    decided(&mut out, &by_group, &bands, &catalog)?;
    let refused: BTreeMap<String, usize> = points
        .iter()
        .filter_map(|p| p.refused.as_ref().map(|why| format!("{}: {why}", p.group)))
        .fold(BTreeMap::new(), |mut all, name| {
            *all.entry(name).or_default() += 1;
            all
        });
    writeln!(out, "\n## Rules that measured rows break\n")?;
    writeln!(
        out,
        "Rows that ran though the rules of a plan would refuse them; they are predicted all the same.\n"
    )?;
    for (name, n) in refused {
        writeln!(out, "- {n} x {name}")?;
    }
    disaggregated(&mut out, dir, &catalog)?;
    open_loop::write(&mut out, dir, &catalog)?;
    batches::write(&mut out, dir, &catalog)?;
    memory::write(&mut out, &catalog)?;
    training::write(&mut out, &catalog)?;
    others::write(&mut out, dir)?;
    std::fs::write("src/perf/ACCURACY.md", &out)?;
    println!("{out}");
    Ok(())
}
