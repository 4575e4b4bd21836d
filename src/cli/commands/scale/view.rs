//! A curve of cost as table, plot and JSON.

use rhumb_api::Money;
use serde_json::{Map, Value, json};

use crate::cli::Settings;
use crate::cli::view::plot::{Axis, Series, plot};
use crate::cli::view::terminal;
use crate::explore::{Choice, Flip, Scale, ScalePoint as Point, Scaled, Scaling, Unseen};
use crate::math::round_to;
use crate::report::{Block, Cell, Report, Section, Table, Tone, json as report_json, layout};

/// `x0.3162`.
fn times(factor: f64) -> String {
    format!("x{}", round_to(factor, if factor < 1.0 { 4 } else { 3 }))
}

/// `8 on_demand g7e.2xlarge in aws/eu-south-2, fp8 tp1`; `3 replicas on shared p5.48xlarge in ...`.
pub(crate) fn words(choice: &[Choice]) -> String {
    let pools: Vec<String> = choice
        .iter()
        .map(|c| {
            let machines: Vec<String> = c.machines.iter().map(|(p, n)| format!("{n} {p}")).collect();
            let machines = match c.shared {
                Some((_, 1)) => "1 replica on shared".to_owned(),
                Some((_, n)) => format!("{n} replicas on shared"),
                None => machines.join(" + "),
            };
            let predicted = || format!("{} {}", c.quantization.as_str(), layout(c.layout));
            let runs = c.variant.clone().unwrap_or_else(predicted);
            format!("{machines} {} in {}/{}, {runs}", c.instance_type, c.cloud, c.region)
        })
        .collect();
    pools.join("; ")
}

/// All workloads of a point; their names where there are several.
fn all(scaled: &Scaled) -> String {
    let one = scaled.choices.len() == 1;
    let told = scaled.choices.iter().map(|(a, c)| if one { words(c) } else { format!("{a}: {}", words(c)) });
    told.collect::<Vec<_>>().join("; ")
}

/// Dollars a month for each time the present traffic.
fn each(scaled: &Scaled, factor: f64) -> Money {
    scaled.cost.scale(1.0 / factor)
}

fn points(asked: &Scaling, found: &Scale) -> Table {
    let whole = asked.workload.is_none();
    let mut columns = vec![("traffic", true), ("USD/month", true)];
    if whole {
        columns.push(("per x1", true));
    }
    columns.extend([("machines", true), ("choice", false)]);
    let mut last: Option<String> = None;
    let rows = found.points.iter().map(|p| {
        let mut row = vec![Cell::plain(times(p.factor))];
        match &p.outcome {
            Ok(scaled) => {
                row.push(Cell::plain(scaled.cost.to_string()));
                if whole {
                    row.push(Cell::plain(each(scaled, p.factor).to_string()));
                }
                row.push(Cell::plain(scaled.machines().to_string()));
                let words = all(scaled);
                let same = last.as_ref() == Some(&words);
                row.push(if same { Cell::tone("as above", Tone::Dim) } else { Cell::plain(&words) });
                last = Some(words);
            }
            Err(why) => {
                row.push(Cell::tone("refused", Tone::Bad));
                if whole {
                    row.push(Cell::plain(""));
                }
                row.extend([Cell::plain(""), Cell::plain(why)]);
                last = None;
            }
        }
        row
    });
    Table { rows: rows.collect(), columns }
}

fn side(flip: &Flip, point: &Point) -> String {
    match (&point.outcome, &flip.workload) {
        (Err(why), _) => format!("refused: {why}"),
        (Ok(scaled), Some(workload)) => scaled.choices.get(workload).map_or_else(String::new, |c| words(c)),
        (Ok(scaled), None) => all(scaled),
    }
}

fn aspects(flip: &Flip) -> String {
    if flip.workload.is_none() {
        return "feasible or not".into();
    }
    flip.aspects.iter().map(|a| a.as_str()).collect::<Vec<_>>().join(", ")
}

/// Three lines for each: a table of two choices side by side is too narrow for either.
fn flips(found: &Scale) -> Vec<Cell> {
    let lines = found.flips.iter().flat_map(|f| {
        let whose = f.workload.as_ref().map_or_else(String::new, |w| format!("{w}: "));
        [
            Cell::plain(format!(
                "{} to {}  {whose}{}",
                times(f.below.factor),
                times(f.above.factor),
                aspects(f)
            )),
            Cell::tone(format!("  from {}", side(f, &f.below)), Tone::Dim),
            Cell::tone(format!("  to   {}", side(f, &f.above)), Tone::Dim),
        ]
    });
    lines.collect()
}

/// What may be unseen between the traffics that were planned: neighbours of the same kind are one line.
fn unseen(found: &Scale) -> Vec<Cell> {
    let mut lines: Vec<Unseen> = Vec::new();
    for span in found.spans.iter().filter(|span| !span.flips) {
        let kind = |s: &Unseen| s.most.map(|most| most > Money::ZERO);
        match lines.last_mut().filter(|last| last.to == span.from && kind(last) == kind(span)) {
            Some(last) => (last.to, last.most) = (span.to, last.most.max(span.most)),
            None => lines.push(span.clone()),
        }
    }
    let line = |s: &Unseen| {
        let range = format!("{} to {}", times(s.from), times(s.to));
        match s.most {
            Some(Money::ZERO) => {
                Cell::tone(format!("{range}  proven: nothing else is cheaper anywhere between"), Tone::Good)
            }
            Some(most) => {
                Cell::plain(format!("{range}  sampled: whatever is unseen saves at most {most} USD a month"))
            }
            None => Cell::tone(format!("{range}  sampled: what is unseen is not bounded"), Tone::Warn),
        }
    };
    lines.iter().map(line).collect()
}

fn curve(found: &Scale, settings: &Settings) -> String {
    let costs: Vec<(f64, f64)> = found
        .points
        .iter()
        .chain(found.flips.iter().flat_map(|f| [&f.below, &f.above]))
        .filter_map(|p| Some((p.factor, p.outcome.as_ref().ok()?.cost.usd())))
        .collect();
    let mut costs = costs;
    costs.sort_by(|a, b| a.0.total_cmp(&b.0));
    // As if every request cost what it costs today.
    let now = found.points.iter().find(|p| p.factor == 1.0).and_then(|p| p.outcome.as_ref().ok());
    let (low, high) = costs.first().zip(costs.last()).map_or((1.0, 1.0), |(a, b)| (a.0, b.0));
    let straight: Vec<(f64, f64)> =
        now.iter().flat_map(|n| [low, high].map(|f| (f, n.cost.usd() * f))).collect();
    let series = [
        Series { name: "cost", points: &costs, faint: false },
        Series { name: "in proportion to today's", points: &straight, faint: true },
    ];
    // A logarithmic axis of less than a decade has too few round values.
    let most = costs.iter().map(|p| p.1).fold(0.0, f64::max);
    let least = costs.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let x = Axis { name: "times the present traffic", log: true };
    let y = Axis { name: "USD a month", log: most >= 10.0 * least };
    plot(x, y, &series, settings)
}

/// The report for people.
pub(super) fn text(name: &str, asked: &Scaling, found: &Scale, settings: &Settings) -> String {
    let blocks = vec![Block::Table(points(asked, found))];
    let mut sections = vec![Section { name: "points", heading: "Cost by traffic".into(), blocks }];
    let within = round_to(asked.tolerance * 100.0, 2);
    if !found.flips.is_empty() {
        let heading = format!("Where the choice flips (each within {within} %)");
        sections.push(Section { name: "flips", heading, blocks: vec![Block::Lines(flips(found))] });
    }
    let seen = unseen(found);
    if !seen.is_empty() {
        let heading = "Between the traffics that were planned".to_owned();
        sections.push(Section { name: "unseen", heading, blocks: vec![Block::Lines(seen)] });
    }
    let what = asked.workload.as_ref().map_or_else(|| name.to_owned(), |w| format!("{w} of {name}"));
    let report = Report { title: format!("Traffic of {what}"), sections, summary: summary(asked, found) };
    let mut out = terminal::text(&report, settings, None);
    if !settings.quiet {
        let drawn = curve(found, settings);
        if !drawn.is_empty() {
            out.push('\n');
            out.push_str(&drawn);
        }
    }
    out
}

fn summary(asked: &Scaling, found: &Scale) -> String {
    let placed: Vec<(f64, &Scaled)> =
        found.points.iter().filter_map(|p| Some((p.factor, p.outcome.as_ref().ok()?))).collect();
    let Some(((low, least), (high, most))) = placed.first().zip(placed.last()) else {
        return format!("Nothing keeps the promises at any of {} traffics.", found.points.len());
    };
    let refused = found.points.len() - placed.len();
    let refused = if refused > 0 { format!("; {refused} traffics refused") } else { String::new() };
    let flips = found.flips.len();
    format!(
        "From {} to {} the month goes from {} to {} USD; {flips} flip{} within {} %, {} deployments planned{refused}.",
        times(*low),
        times(*high),
        least.cost,
        most.cost,
        if flips == 1 { "" } else { "s" },
        round_to(asked.tolerance * 100.0, 2),
        found.planned,
    )
}

/// A choice for machines.
pub(crate) fn choice_json(choice: &[Choice]) -> Value {
    choice
        .iter()
        .map(|c| {
            let machines: Map<String, Value> =
                c.machines.iter().map(|(p, n)| (p.as_str().to_owned(), json!(n))).collect();
            json!({
                "cloud": c.cloud.as_str(),
                "region": c.region,
                "instance_type": c.instance_type,
                "quantization": c.quantization.as_str(),
                "layout": { "tp": c.layout.tp, "pp": c.layout.pp, "dp": c.layout.dp, "ep": c.layout.ep },
                "machines": machines,
                "replicas_on_shared_machines": c.shared.map_or(0, |s| s.1),
            })
        })
        .collect()
}

fn point(p: &Point) -> Value {
    match &p.outcome {
        Ok(scaled) => {
            let workloads: Map<String, Value> =
                scaled.choices.iter().map(|(a, c)| (a.clone(), choice_json(c))).collect();
            json!({
                "factor": p.factor,
                "feasible": true,
                "expected_usd_per_month": report_json::usd(scaled.cost),
                "machines": scaled.machines(),
                "choices": workloads,
            })
        }
        Err(why) => json!({ "factor": p.factor, "feasible": false, "refused_by": why }),
    }
}

/// Schema `rhumb.scale/1`: `src/cli/commands/scale/schema.json`.
pub(super) fn json(name: &str, asked: &Scaling, found: &Scale) -> Value {
    json!({
        "schema": "rhumb.scale/1",
        "name": name,
        "workload": asked.workload,
        "tolerance": asked.tolerance,
        "counts": asked.counts,
        "points": found.points.iter().map(point).collect::<Vec<_>>(),
        "flips": found.flips.iter().map(|f| json!({
            "workload": f.workload,
            "aspects": f.aspects.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
            "below": point(&f.below),
            "above": point(&f.above),
        })).collect::<Vec<_>>(),
        "spans": found.spans.iter().map(|s| json!({
            "from": s.from,
            "to": s.to,
            "flips": s.flips,
            "proven": s.most == Some(Money::ZERO),
            "unseen_saves_at_most_usd_per_month": s.most.map(report_json::usd),
        })).collect::<Vec<_>>(),
        "refine": asked.refine,
        "planned": found.planned,
    })
}
