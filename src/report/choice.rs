//! Why this and not another.

use super::placements::layout;
use super::{Block, Cell, Report, Section, Table, Tone, percent};
use crate::placement::{CandidateId, Loser, Relaxation, WorkloadPlacement};
use crate::plan::Plan;

/// Losing options shown for a workload in the plan itself; `explain` shows all that are kept.
const SHOWN: usize = 5;

/// `aws/us-east-1 p5.48xlarge on_demand, fp8, tp4`.
pub(crate) fn candidate(c: &CandidateId) -> String {
    format!(
        "{}/{} {} {}, {}, {}",
        c.cloud,
        c.region,
        c.instance_type,
        c.purchase,
        c.variant,
        layout(c.layout)
    )
}

/// Options that lost to `placed`: of a stream a run is a month.
fn losers_table(placed: &WorkloadPlacement, rows: impl Iterator<Item = Vec<Cell>>) -> Table {
    let cost = match &placed.run {
        None => "USD/h",
        Some(_) if placed.stays() => "USD a month",
        Some(_) => "USD a run",
    };
    Table {
        columns: vec![("option", false), ("machines", true), (cost, true), ("rejected by", false)],
        rows: rows.collect(),
    }
}

fn loser(l: &Loser) -> Vec<Cell> {
    vec![
        Cell::plain(candidate(&l.candidate)),
        Cell::plain(l.machines.map_or_else(|| "-".to_owned(), |m| m.to_string())),
        Cell::plain(if l.machines.is_some() {
            l.per_hour.to_string()
        } else {
            format!("{}/h each", l.per_hour)
        }),
        Cell::plain(format!("{}: {}", l.rejection.constraint, l.rejection.reason)),
    ]
}

fn proof(placed: &WorkloadPlacement) -> String {
    let c = &placed.certificate;
    let each = if placed.run.is_some() { "a run" } else { "an hour" };
    let rejected = c.rejected.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let gap = if c.together {
        format!("Chosen together with the others (by itself {} USD {each})", c.lower_bound)
    } else if c.lower_bound == c.optimum {
        "Proven cheapest".to_owned()
    } else {
        format!("Not proven cheapest (lower bound {} USD {each})", c.lower_bound)
    };
    format!(
        "{gap} of {} candidates: {rejected} rejected by a rule, {} cannot be cheaper, {} evaluated in full.",
        c.candidates, c.bounded, c.evaluated
    )
}

/// Rules of the hardware itself: an option that they reject is no near miss.
const HARD: [&str; 7] = ["memory", "engine", "launcher", "precision", "accelerator", "unknown", "retired"];

/// The options that came nearest: first those that a promise or a rule of the spec rejected or that are
/// only dearer, then the cheapest of the impossible.
fn interesting(losers: &[Loser]) -> Vec<&Loser> {
    let hard = |l: &&Loser| HARD.contains(&l.rejection.constraint);
    let mut shown: Vec<&Loser> = losers.iter().filter(|l| !hard(l)).take(SHOWN).collect();
    let room = SHOWN.saturating_sub(shown.len()).min(2);
    shown.extend(losers.iter().filter(hard).take(room));
    shown
}

pub(super) fn losers(plan: &Plan) -> Section {
    let mut blocks = Vec::new();
    for (address, placed) in &plan.placement.workloads {
        blocks.push(Block::Lines(vec![Cell::plain(format!("{address}: {}", proof(placed)))]));
        if !placed.losers.is_empty() {
            blocks
                .push(Block::Table(losers_table(placed, interesting(&placed.losers).into_iter().map(loser))));
        }
    }
    Section { name: "losers", heading: "Best options that lost".to_owned(), blocks }
}

fn relaxation(r: &Relaxation) -> Vec<Cell> {
    vec![
        Cell::plain(r.constraint),
        Cell::plain(&r.change),
        Cell::plain(r.saves_per_month.map_or_else(|| "-".to_owned(), |m| m.to_string())),
        Cell::plain(r.cost_per_month.to_string()),
        Cell::plain(r.choice.as_ref().map_or_else(|| "several change".to_owned(), candidate)),
    ]
}

/// A table of loosened constraints.
pub(super) fn relaxations(list: &[Relaxation]) -> Table {
    Table {
        columns: vec![
            ("constraint", false),
            ("change", false),
            ("saves USD/month", true),
            ("costs USD/month", true),
            ("choice", false),
        ],
        rows: list.iter().map(relaxation).collect(),
    }
}

/// Why a workload is placed as it is: what binds, what lost, what one loosened constraint would save.
pub fn explain(placed: &WorkloadPlacement, loosened: &[Relaxation]) -> Report {
    let mut chosen = Vec::new();
    for pool in &placed.pools {
        let pipeline = placed.run.as_ref().and_then(|run| run.pipeline.as_ref());
        let what = pipeline.map_or_else(
            || format!("{} replicas of {}", pool.replicas, layout(pool.layout)),
            |p| super::pipeline::runs_as(p, pool),
        );
        let federation = placed.run.as_ref().and_then(|run| run.federation.as_ref());
        let what = federation.map_or(what, |f| super::federation::runs_as(f, pool));
        chosen.push(Cell::plain(format!("{}: {what} in {}/{}", pool.addr, pool.cloud, pool.region)));
        if let Some(t) = placed.run.as_ref().and_then(|run| run.training.as_ref()) {
            chosen.push(Cell::plain(format!("  {}", super::training::runs_as(&pool.variant, t))));
        }
        if let Some(s) = &pool.stands_in {
            let what = format!(
                "  {} stands in for {} % of what {} has while it has failed in part",
                s.model, s.percent, s.pool
            );
            chosen.push(Cell::plain(what));
        }
        if let Some(on) = &pool.shared {
            let zone = on.most_per_zone.map_or(String::new(), |n| format!(" and {n} in one zone"));
            chosen.push(Cell::plain(format!(
                "  on shared machines, {}: {} accelerators each, at most {} on one machine{zone}",
                on.fleet, on.accelerators, on.most_per_machine
            )));
        }
        for note in &pool.notes {
            chosen.push(Cell::tone(format!("  {note}"), Tone::Dim));
        }
    }
    chosen.push(Cell::plain(proof(placed)));
    chosen.push(Cell::tone(placed.certificate.family.clone(), Tone::Dim));
    let mut sections =
        vec![Section { name: "choice", heading: "Chosen".to_owned(), blocks: vec![Block::Lines(chosen)] }];

    let mut tight: Vec<_> =
        placed.objectives.iter().map(|o| (1.0 - o.at_confidence_ms / o.limit_ms, o)).collect();
    tight.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut binding: Vec<Cell> = tight
        .first()
        .map(|(margin, o)| {
            Cell::plain(format!(
                "Tightest objective: {} {} of origin {}, {} left.",
                o.metric.as_str(),
                super::quantile(o.quantile),
                o.origin,
                percent(*margin)
            ))
        })
        .into_iter()
        .collect();
    for f in &placed.failures {
        let spare = if f.required_rate > 0.0 { f.capacity / f.required_rate - 1.0 } else { 0.0 };
        binding.push(Cell::plain(format!(
            "Loss of {} {} at {}: {} spare.",
            f.count,
            f.scope,
            f.at,
            percent(spare)
        )));
    }
    let events = if placed.run.is_some() { "events" } else { "requests" };
    for pool in placed.pools.iter().filter(|p| placed.stays() && p.capacity > 0.0) {
        if let Some(s) = &pool.stands_in {
            binding.push(Cell::plain(format!(
                "{} carries {} of the {} requests/s that it could while {} has failed in part.",
                pool.addr,
                super::number(s.rate),
                super::number(pool.capacity),
                s.pool
            )));
            continue;
        }
        binding.push(Cell::plain(format!(
            "{} carries {} of the {} {events}/s that it could.",
            pool.addr,
            super::number(pool.peak_rate),
            super::number(pool.capacity)
        )));
    }
    let stream = placed.run.as_ref().and_then(|run| run.pipeline.as_ref()?.stream.as_ref());
    if let Some(s) = stream {
        binding.push(Cell::plain(format!(
            "What is made of an event is at most {} of the {} s old that are allowed.",
            super::number(s.fresh_s),
            super::number(s.freshness_s)
        )));
    }
    if let Some(run) = placed.run.as_ref().filter(|_| stream.is_none()) {
        // Held against the deadline is a training's run with the interruptions that are planned for.
        let hours = run.training.as_ref().map_or(run.hours, |t| t.late_hours);
        binding.push(Cell::plain(format!(
            "A run takes {} of the {} hours allowed.",
            super::number(hours),
            super::number(run.deadline_hours)
        )));
    }
    sections.push(Section {
        name: "binding",
        heading: "What binds".to_owned(),
        blocks: vec![Block::Lines(binding)],
    });
    let mut lost = Vec::new();
    if !placed.losers.is_empty() {
        lost.push(Block::Table(losers_table(placed, placed.losers.iter().map(loser))));
    }
    let counts: Vec<String> =
        placed.certificate.rejected.iter().map(|(why, n)| format!("{why} {n}")).collect();
    if !counts.is_empty() {
        lost.push(Block::Lines(vec![Cell::tone(
            format!("Rejected in all: {}.", counts.join(", ")),
            Tone::Dim,
        )]));
    }
    sections.push(Section {
        name: "losers",
        heading: "What lost, and to which rule".to_owned(),
        blocks: lost,
    });
    let saves = if loosened.is_empty() {
        Block::Lines(vec![Cell::plain("No single loosened constraint makes it cheaper.")])
    } else {
        Block::Table(relaxations(loosened))
    };
    sections.push(Section {
        name: "relaxations",
        heading: if placed.certificate.together {
            "What one loosened constraint would save this workload by itself, were nothing shared".to_owned()
        } else {
            "What one loosened constraint would save".to_owned()
        },
        blocks: vec![saves],
    });
    Report {
        title: format!("Why {} is placed as it is", placed.address),
        sections,
        summary: format!(
            "{}: {} USD a month{}",
            placed.address,
            placed.cost.expected_per_month,
            if placed.cost.incomplete { " at least" } else { "" }
        ),
    }
}
