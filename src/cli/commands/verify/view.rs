//! What people and machines read of a replay.

use serde_json::{Value, json};

use crate::cli::Settings;
use crate::cli::view::plot::{Axis, Series, plot};
use crate::cli::view::terminal;
use crate::placement::Metric;
use crate::replay::{
    Asked, Attainment, Buys, Fewer, Interval, Kept, RUNS, Scenario, Verification, Verified, VerifiedTraining,
    percentile,
};
use crate::report::{Block, Cell, Report, Section, Table, Tone};
use crate::spec::Spec;

fn ms(i: &Interval, tpot: bool) -> String {
    let places = if tpot { 1 } else { 0 };
    let digits = |v: f64| format!("{v:.places$}");
    if i.half.is_finite() {
        format!("{} ± {} ms", digits(i.mean), digits(i.half))
    } else {
        format!("{} ms", digits(i.mean))
    }
}

fn share(i: &Interval) -> String {
    if i.half.is_finite() && i.half > 0.0 {
        format!("{:.2} ± {:.2} %", i.mean * 100.0, i.half * 100.0)
    } else {
        format!("{:.2} %", i.mean * 100.0)
    }
}

fn kept(o: &Attainment, asked: Asked) -> Cell {
    match (o.kept, asked) {
        (Kept::Yes, _) => Cell::tone("kept", Tone::Good),
        (Kept::Unsure, _) => Cell::tone("at the limit", Tone::Warn),
        (Kept::No, Asked::MustHold) => Cell::tone("BROKEN", Tone::Bad),
        (Kept::No, Asked::Nothing) => Cell::tone("not kept", Tone::Warn),
    }
}

fn objectives(scenario: &Scenario) -> Block {
    let columns = vec![
        ("origin", false),
        ("objective", false),
        ("limit", true),
        ("replayed", true),
        ("within the limit", true),
        ("", false),
    ];
    let rows = scenario
        .objectives
        .iter()
        .map(|o| {
            vec![
                Cell::plain(&o.origin),
                Cell::plain(format!("{} {}", o.metric.as_str(), percentile(o.quantile))),
                Cell::plain(format!("{} ms", crate::math::round_to(o.limit_ms, 1))),
                Cell::plain(ms(&o.ms, o.metric == Metric::Tpot)),
                Cell::plain(share(&o.within)),
                kept(o, scenario.asked),
            ]
        })
        .collect();
    Block::Table(Table { columns, rows })
}

fn used(service: &Verified, pools: &[String]) -> Block {
    let columns = vec![
        ("scenario", false),
        ("pool", false),
        ("replicas", true),
        ("req/s", true),
        ("busy", true),
        ("batch", true),
        ("KV in use", true),
        ("found", true),
        ("queued", true),
        ("preempted", true),
    ];
    let mut rows = Vec::new();
    for s in service.scenarios.iter().filter(|s| s.name == "expected" || s.name == "planned") {
        for (pool, name) in s.pools.iter().zip(pools) {
            rows.push(vec![
                Cell::plain(&s.name),
                Cell::plain(name),
                Cell::plain(pool.replicas.to_string()),
                Cell::plain(format!("{:.2}", pool.rate)),
                Cell::plain(format!("{:.0} %", pool.busy * 100.0)),
                Cell::plain(format!("{:.1}", pool.batch)),
                Cell::plain(format!("{:.0} %", pool.kv * 100.0)),
                Cell::plain(format!("{:.0} %", pool.hit * 100.0)),
                Cell::plain(format!("{:.1} ms", pool.queued_ms)),
                Cell::plain(format!("{:.2} %", pool.preempted * 100.0)),
            ]);
        }
    }
    Block::Table(Table { columns, rows })
}

fn fewer(f: &Fewer) -> Cell {
    let unit = if f.per_month.is_some() { "machine" } else { "replica" };
    let head = format!("{}: with one {unit} fewer ({} replicas)", f.pool, f.replicas);
    match &f.verdict {
        Buys::Objective { what } if f.replicas == 0 => Cell::plain(format!("{}: {what}", f.pool)),
        Buys::Objective { what } => Cell::plain(format!("{head} an objective is not safe: {what}")),
        Buys::Constraint { name, why } => {
            let price = f.per_month.map_or(String::new(), |m| format!(" ({m}/month)"));
            Cell::plain(format!("{head} every objective holds; `{name}` buys it: {why}{price}"))
        }
        Buys::Nothing => {
            let spare = match f.per_month {
                Some(m) => format!("{m}/month more than it needs"),
                None => "its accelerators would be free on shared machines, which is no money by itself"
                    .to_owned(),
            };
            Cell::tone(
                format!("{head} every objective and declared failure still holds in the replay: {spare}"),
                Tone::Warn,
            )
        }
    }
}

/// The report for people.
pub(super) fn text(found: &Verification, spec: &Spec, settings: &Settings) -> String {
    let mut sections = Vec::new();
    for s in &found.services {
        let pools: Vec<String> = s.fewer.iter().map(|f| f.pool.clone()).collect();
        let mut blocks = vec![Block::Lines(vec![Cell::plain(format!(
            "{}; {} requests a scenario in {RUNS} {}, intervals of 95 %",
            s.traffic,
            s.requests,
            if s.recorded { "blocks" } else { "runs" }
        ))])];
        for scenario in &s.scenarios {
            let tone = if scenario.broken() { Tone::Bad } else { Tone::Plain };
            let asked = if scenario.asked == Asked::MustHold { "" } else { " (nothing is promised)" };
            blocks.push(Block::Lines(vec![Cell::tone(format!("{}{asked}:", scenario.what), tone)]));
            if !scenario.objectives.is_empty() {
                blocks.push(objectives(scenario));
            }
        }
        blocks.push(Block::Lines(vec![Cell::plain(
            "how the machines are used (found: prompt tokens in the prefix cache):",
        )]));
        blocks.push(used(s, &pools));
        let lost = s.scenarios.iter().filter(|c| c.lost > 0.0);
        if s.refused.0 > 0 {
            let (n, longest) = s.refused;
            let all = n + s.requests;
            let line = format!(
                "{n} of {all} recorded requests are longer than the {longest} tokens of the plan's max_model_len: an engine \
                 refuses them, and they are not played"
            );
            blocks.push(Block::Lines(vec![Cell::tone(line, Tone::Bad)]));
        }
        blocks.push(Block::Lines(
            lost.map(|c| {
                Cell::tone(
                    format!("{}: {:.1} % of the requests find no replica", c.what, c.lost * 100.0),
                    Tone::Bad,
                )
            })
            .chain(s.fewer.iter().map(fewer))
            .collect(),
        ));
        sections.push(Section { name: "replay", heading: s.address.clone(), blocks });
    }
    for b in &found.batches {
        let line = format!(
            "{:.2} of {:.2} h at the planned confidence (the plan says {:.2} h): {:.1} items/s replayed, {:.1} planned",
            b.hours.1, b.deadline_hours, b.hours.0, b.items_per_s.1, b.items_per_s.0
        );
        let line =
            if b.kept() { Cell::plain(line) } else { Cell::tone(format!("BROKEN: {line}"), Tone::Bad) };
        sections.push(Section {
            name: "replay",
            heading: b.address.clone(),
            blocks: vec![Block::Lines(vec![line])],
        });
    }
    for t in &found.trainings {
        sections.push(Section {
            name: "replay",
            heading: t.address.clone(),
            blocks: vec![Block::Lines(training(t))],
        });
    }
    for (address, file) in &found.measured {
        let line = format!(
            "Not replayed: {file} says what machines sustain, and nothing of how long a request takes. Whether you measured within your \
             objectives is yours to know."
        );
        sections.push(Section {
            name: "replay",
            heading: address.clone(),
            blocks: vec![Block::Lines(vec![Cell::tone(line, Tone::Warn)])],
        });
    }
    let report = Report { title: format!("Replay of {}", spec.name), sections, summary: summary(found) };
    let mut out = terminal::text(&report, settings, None);
    if !settings.quiet {
        for s in &found.services {
            out.push_str(&curves(s, settings));
        }
    }
    out
}

/// How the runs of a training end.
fn training(t: &VerifiedTraining) -> Vec<Cell> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let line = format!(
        "{} of {} runs end within {:.2} h ({} to {} at 95 %); {} are asked for",
        percent(t.within),
        t.runs,
        t.deadline_hours,
        percent(t.within_interval.0),
        percent(t.within_interval.1),
        percent(t.confidence)
    );
    let line = match t.kept {
        Kept::Yes => Cell::plain(line),
        Kept::Unsure => Cell::tone(format!("at the limit: {line}"), Tone::Warn),
        Kept::No => Cell::tone(format!("BROKEN: {line}"), Tone::Bad),
    };
    let hours = format!(
        "a run takes {:.2} h on the mean (the plan says {:.2} h) with {:.2} interruptions ({:.2}), and {:.2} h at \
         the planned confidence (at most {:.2} h)",
        t.hours.1, t.hours.0, t.interruptions.1, t.interruptions.0, t.late_hours.1, t.late_hours.0
    );
    vec![line, Cell::plain(hours)]
}

fn summary(found: &Verification) -> String {
    let all = || found.services.iter().flat_map(|s| &s.scenarios).filter(|s| s.asked == Asked::MustHold);
    let runs = found.batches.len() + found.trainings.len();
    let promises = all().map(|s| s.objectives.len()).sum::<usize>() + runs;
    let count = |k: Kept| {
        all().flat_map(|s| &s.objectives).filter(|o| o.kept == k).count()
            + found.trainings.iter().filter(|t| t.kept == k).count()
    };
    let (no, unsure) = (count(Kept::No), count(Kept::Unsure));
    let refused = found.services.iter().filter(|s| s.refused.0 > 0).count();
    let lost =
        all().filter(|s| s.lost > 0.0).count() + found.batches.iter().filter(|b| !b.kept()).count() + refused;
    let spare = |shared: bool| {
        let all = found.services.iter().flat_map(|s| &s.fewer).filter(|f| f.verdict == Buys::Nothing);
        all.filter(|f| f.per_month.is_none() == shared).count()
    };
    let mut text = if promises == 0 {
        "nothing was promised that a replay can see".to_owned()
    } else if no + lost == 0 {
        format!("{promises} promises replayed, none broken")
    } else {
        format!("{promises} promises replayed, {} BROKEN", no + lost)
    };
    if unsure > 0 {
        text += &format!("; {unsure} at the limit, within the noise of the replay");
    }
    if let n @ 1.. = found.measured.len() {
        let (s, have) = if n == 1 { ("", "has") } else { ("s", "have") };
        text += &format!("; {n} service{s} with a profile {have} nothing to replay");
    }
    for (n, unit) in [(spare(false), "machine"), (spare(true), "replica on shared machines")] {
        if n > 0 {
            text += &format!("; {n} pools could do with a {unit} fewer");
        }
    }
    text
}

/// Distribution functions of the planned scenario and of its expectation.
fn curves(s: &Verified, settings: &Settings) -> String {
    let mut out = String::new();
    let Some(planned) = s.scenarios.iter().find(|c| c.name == "planned") else { return out };
    let expected = s.scenarios.iter().find(|c| c.name == "expected");
    for metric in [Metric::Ttft, Metric::Tpot] {
        let points = |c: &Scenario| -> Vec<(String, Vec<(f64, f64)>)> {
            c.quantiles
                .iter()
                .filter(|q| q.metric == metric && q.ms.len() == 101)
                .map(|q| {
                    let at = |(p, ms): (usize, &f64)| (*ms, p as f64);
                    (format!("{} {}", q.origin, c.name), q.ms.iter().enumerate().map(at).take(100).collect())
                })
                .collect()
        };
        let mut all = points(planned);
        let firm = all.len();
        all.extend(expected.map(points).unwrap_or_default());
        if all.is_empty() {
            continue;
        }
        let series: Vec<Series<'_>> = all
            .iter()
            .enumerate()
            .map(|(i, (name, points))| Series { name, points, faint: i >= firm })
            .collect();
        let x = format!("{} {} ms", s.address, metric.as_str());
        out.push('\n');
        out.push_str(&plot(
            Axis { name: &x, log: true },
            Axis { name: "% of requests", log: false },
            &series,
            settings,
        ));
    }
    out
}

fn interval(i: &Interval) -> Value {
    json!({ "value": i.mean, "half_width_95": if i.half.is_finite() { json!(i.half) } else { Value::Null } })
}

fn kept_word(kept: Kept) -> &'static str {
    match kept {
        Kept::Yes => "yes",
        Kept::Unsure => "unsure",
        Kept::No => "no",
    }
}

/// Nothing where a run does not end.
fn finite(hours: f64) -> Option<f64> {
    Some(hours).filter(|h| h.is_finite())
}

fn attainment(o: &Attainment) -> Value {
    json!({
        "origin": o.origin,
        "metric": o.metric.as_str(),
        "quantile": o.quantile,
        "limit_ms": o.limit_ms,
        "replayed_ms": interval(&o.ms),
        "within_limit": interval(&o.within),
        "kept": kept_word(o.kept),
    })
}

/// Schema `rhumb.verify/1`.
pub(super) fn json(found: &Verification, spec: &Spec, seed: u64) -> Value {
    let services: Vec<Value> = found
        .services
        .iter()
        .map(|s| {
            let scenarios: Vec<Value> = s
                .scenarios
                .iter()
                .map(|c| {
                    let pools: Vec<Value> = c
                        .pools
                        .iter()
                        .zip(&s.fewer)
                        .map(|(p, f)| {
                            json!({
                                "pool": f.pool, "replicas": p.replicas, "requests_per_s": p.rate, "busy": p.busy,
                                "batch": p.batch, "queued_ms": p.queued_ms, "preempted": p.preempted,
                                "kv_in_use": p.kv, "prefix_found": p.hit,
                            })
                        })
                        .collect();
                    let quantiles: Vec<Value> = c
                        .quantiles
                        .iter()
                        .filter(|q| !q.ms.is_empty())
                        .map(|q| json!({ "origin": q.origin, "metric": q.metric.as_str(), "ms_by_percent": q.ms }))
                        .collect();
                    json!({
                        "name": c.name,
                        "what": c.what,
                        "must_hold": c.asked == Asked::MustHold,
                        "broken": c.broken(),
                        "lost": c.lost,
                        "objectives": c.objectives.iter().map(attainment).collect::<Vec<_>>(),
                        "pools": pools,
                        "distributions": quantiles,
                    })
                })
                .collect();
            let fewer: Vec<Value> = s
                .fewer
                .iter()
                .map(|f| {
                    let (verdict, name, why) = match &f.verdict {
                        Buys::Objective { what } => ("objective", None, Some(what)),
                        Buys::Constraint { name, why } => ("constraint", Some(name), Some(why)),
                        Buys::Nothing => ("nothing", None, None),
                    };
                    json!({
                        "pool": f.pool,
                        "replicas": f.replicas,
                        "buys": verdict,
                        "constraint": name,
                        "why": why,
                        "fewer": if f.per_month.is_some() { "machine" } else { "replica" },
                        "usd_per_month": f.per_month.map(|m| m.to_string()),
                        "objectives": f.objectives.iter().map(attainment).collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({
                "address": s.address,
                "traffic": s.traffic,
                "requests": s.requests,
                "refused": s.refused.0,
                "scenarios": scenarios,
                "one_machine_fewer": fewer,
            })
        })
        .collect();
    let batches: Vec<Value> = found
        .batches
        .iter()
        .map(|b| {
            json!({
                "address": b.address,
                "items_replayed": b.items,
                "items_per_s": { "planned": b.items_per_s.0, "replayed": b.items_per_s.1 },
                "hours": { "planned": b.hours.0, "replayed": b.hours.1 },
                "deadline_hours": b.deadline_hours,
                "preempted": b.preempted,
                "kept": b.kept(),
            })
        })
        .collect();
    let trainings: Vec<Value> = found
        .trainings
        .iter()
        .map(|t| {
            json!({
                "address": t.address,
                "runs": t.runs,
                "confidence": t.confidence,
                "within_deadline": t.within,
                "within_deadline_95": [t.within_interval.0, t.within_interval.1],
                "hours": { "planned": t.hours.0, "replayed": finite(t.hours.1) },
                "hours_at_confidence": { "planned": t.late_hours.0, "replayed": finite(t.late_hours.1) },
                "interruptions": { "planned": t.interruptions.0, "replayed": t.interruptions.1 },
                "deadline_hours": t.deadline_hours,
                "kept": kept_word(t.kept),
            })
        })
        .collect();
    json!({
        "schema": "rhumb.verify/1",
        "deployment": spec.name,
        "seed": seed,
        "evidence": "modelled",
        "passed": found.passed(),
        "services": services,
        "batches": batches,
        "trainings": trainings,
        "not_replayed": found.measured.iter().map(|(a, file)| json!({ "address": a, "profile": file })).collect::<Vec<_>>(),
    })
}
