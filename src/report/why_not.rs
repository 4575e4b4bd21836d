//! Why an offer was not chosen, for people and for machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::choice::candidate;
use super::json::{relaxation, usd};
use super::placements::layout;
use super::{Block, Cell, Report, Section, Table, Tone, percent};
use crate::diagnostic::{Pointer, SourceMap};
use crate::placement::{Among, Asked, Loosened, Outcome, WhyNot};

/// Rows shown of a workload; JSON holds all.
const SHOWN: usize = 12;

/// `deploy.yaml:12:5`, or nothing.
fn place(map: &SourceMap, at: Option<&Pointer>) -> String {
    at.and_then(|p| map.locate(&map.span(p, true)?))
        .map_or_else(String::new, |l| format!("{}:{}:{}", l.file, l.line, l.column))
}

fn offer(c: &Asked) -> String {
    format!("{}/{} {}", c.cloud, c.region, c.purchase)
}

fn runs(w: &WhyNot, c: &Asked) -> String {
    if w.among == Among::Members {
        let role = if c.cloud == rhumb_api::Cloud::Site { "client" } else { "aggregator" };
        return role.to_owned();
    }
    let cut = c.layout.map_or_else(|| "any layout".to_owned(), layout);
    format!("{}, {cut}", c.variant.as_deref().unwrap_or("any variant"))
}

/// `2.31 USD an hour, 12 % dearer`.
fn cost(w: &WhyNot, cost: rhumb_api::Money) -> String {
    let unit = format!("USD {}", w.each);
    let over = w.optimum.map(|o| (cost - o, cost.usd() / o.usd().max(1e-9) - 1.0));
    match over {
        None => format!("{cost} {unit}"),
        Some((more, _)) if more <= rhumb_api::Money::ZERO => {
            format!("{cost} {unit}, as much as what was chosen")
        }
        Some(_) if w.optimum == Some(rhumb_api::Money::ZERO) => {
            format!("{cost} {unit}, where what was chosen costs nothing more")
        }
        Some((_, over)) if over < 0.01 => format!("{cost} {unit}, {:.2} % dearer", over * 100.0),
        Some((_, over)) => format!("{cost} {unit}, {} dearer", percent(over)),
    }
}

/// Rows of equal outcome are one row, with the first offer and way of it.
fn rows(w: &WhyNot, map: &SourceMap) -> (Vec<Vec<Cell>>, usize) {
    let mut groups: Vec<(&Asked, Vec<&Asked>)> = Vec::new();
    for c in &w.candidates {
        match groups.iter_mut().find(|(first, _)| first.outcome == c.outcome) {
            Some((_, all)) => all.push(c),
            None => groups.push((c, vec![c])),
        }
    }
    let left = groups.len().saturating_sub(SHOWN);
    let more = |one: String, all: &[&Asked], text: &dyn Fn(&Asked) -> String| {
        let mut distinct: Vec<String> = all.iter().map(|c| text(c)).collect();
        distinct.sort();
        distinct.dedup();
        match distinct.len() {
            0 | 1 => one,
            n => format!("{one} and {} more", n - 1),
        }
    };
    let row = |(first, all): (&Asked, Vec<&Asked>)| {
        let (machines, why, at) = match &first.outcome {
            Outcome::Does { machines, cost: c } => (machines.to_string(), cost(w, *c), String::new()),
            Outcome::Rejected(r) => {
                ("-".to_owned(), format!("{}: {}", r.constraint, r.reason), place(map, r.at.as_ref()))
            }
        };
        vec![
            Cell::plain(more(offer(first), &all, &offer)),
            Cell::plain(more(runs(w, first), &all, &|c| runs(w, c))),
            Cell::plain(machines),
            Cell::plain(why),
            Cell::plain(at),
        ]
    };
    (groups.into_iter().take(SHOWN).map(row).collect(), left)
}

fn verdict(w: &WhyNot) -> String {
    let address = &w.address;
    if let Some(pool) = w.chosen.first() {
        return format!("{address}: chosen, as {pool}.");
    }
    let does = w.candidates.iter().find_map(|c| match &c.outcome {
        Outcome::Does { machines, cost: least } => Some((c, *machines, *least)),
        Outcome::Rejected(_) => None,
    });
    match does {
        Some((c, _, least)) if w.among == Among::Members => format!(
            "{address}: with {}/{}/{} as {} it would do for at least {}.",
            c.cloud,
            c.region,
            c.instance_type,
            if c.cloud == rhumb_api::Cloud::Site { "the client there" } else { "its aggregator" },
            cost(w, least)
        ),
        Some((c, machines, least)) if w.among == Among::Mix => format!(
            "{address}: a mix with at least one machine of {} would do, of {machines} in all, for at least {}.",
            offer(c),
            cost(w, least)
        ),
        Some((c, machines, least)) => format!(
            "{address}: it would do with {machines} machine{} of {} ({}) for at least {}.",
            if machines == 1 { "" } else { "s" },
            offer(c),
            runs(w, c),
            cost(w, least)
        ),
        None => {
            let mut names: Vec<&str> = Vec::new();
            for c in &w.candidates {
                if let Outcome::Rejected(r) = &c.outcome
                    && !names.contains(&r.constraint)
                {
                    names.push(r.constraint);
                }
            }
            format!("{address}: impossible; every candidate is rejected, by {}.", names.join(", "))
        }
    }
}

/// What all workloads together cost, where they share a limit.
fn whole(w: &WhyNot) -> Option<String> {
    let whole = w.whole.as_ref()?;
    let address = &w.address;
    Some(match (&whole.held, whole.planned) {
        (Ok(held), Some(planned)) if *held > planned => format!(
            "With {address} on nothing else, all workloads together cost {held} USD a month, {} more than planned; what they share is kept.",
            *held - planned
        ),
        (Ok(held), Some(_)) => format!(
            "With {address} on nothing else, all workloads together cost {held} USD a month, no more than planned; what they share is kept."
        ),
        (Ok(held), None) => {
            format!("With {address} on nothing else, all workloads together cost {held} USD a month.")
        }
        (Err(why), _) => {
            format!("With {address} on nothing else, not all workloads can be placed together: {why}.")
        }
    })
}

fn change(l: &Loosened, map: &SourceMap) -> Vec<Cell> {
    let r = &l.change;
    vec![
        Cell::plain(&r.change),
        Cell::plain(place(map, r.at.as_ref())),
        Cell::tone(
            if l.chosen { "chosen" } else { "possible" },
            if l.chosen { Tone::Good } else { Tone::Plain },
        ),
        Cell::plain(r.cost_per_month.to_string()),
        Cell::plain(r.choice.as_ref().map_or_else(String::new, candidate)),
    ]
}

/// Why `what` was not chosen by each of some workloads. `parts`: the whole service of each that is a part of one.
pub fn why_not(what: &str, all: &[WhyNot], parts: &BTreeMap<String, String>, map: &SourceMap) -> Report {
    let mut sections = Vec::new();
    for w in all {
        let (rows, left) = rows(w, map);
        let mut lines = vec![Cell::plain(verdict(w))];
        if let Some(whole) = whole(w) {
            lines.push(Cell::plain(whole));
        }
        if let Some(whole) = parts.get(&w.address) {
            lines.push(Cell::plain(format!(
                "It is a part of {whole}, divided as it is planned: parts of other divisions are not asked."
            )));
        }
        lines.push(Cell::tone(
            "Figures of the table are of this workload by itself: what others take of shared limits is not in them.",
            Tone::Dim,
        ));
        let mut blocks = vec![Block::Lines(lines)];
        blocks.push(Block::Table(Table {
            columns: vec![
                ("offer", false),
                ("runs as", false),
                ("machines", true),
                ("outcome", false),
                ("written at", false),
            ],
            rows,
        }));
        if left > 0 {
            let text = format!("and {left} more outcomes; --json has all {} candidates.", w.candidates.len());
            blocks.push(Block::Lines(vec![Cell::tone(text, Tone::Dim)]));
        }
        if w.chosen.is_empty() {
            if w.loosened.is_empty() {
                let text = "No single rule of the spec, if it were looser, would make a difference.";
                blocks.push(Block::Lines(vec![Cell::plain(text)]));
            } else {
                blocks.push(Block::Table(Table {
                    columns: vec![
                        ("if there were", false),
                        ("written at", false),
                        ("it would be", false),
                        ("USD/month", true),
                        ("choice", false),
                    ],
                    rows: w.loosened.iter().map(|l| change(l, map)).collect(),
                }));
            }
        }
        sections.push(Section { name: "why-not", heading: w.address.clone(), blocks });
    }
    let chosen = all.iter().filter(|w| !w.chosen.is_empty()).count();
    let does = |w: &&WhyNot| w.candidates.iter().any(|c| matches!(c.outcome, Outcome::Does { .. }));
    let able = all.iter().filter(|w| w.chosen.is_empty()).filter(does).count();
    Report {
        title: format!("Why not {what}"),
        sections,
        summary: format!(
            "{what}: chosen by {chosen}, possible and dearer for {able}, impossible for {} of {} workloads.",
            all.len() - chosen - able,
            all.len()
        ),
    }
}

/// The same for machines: schema `rhumb.why-not/1`, `templates/report/why-not.schema.json`.
pub fn json(what: &str, all: &[WhyNot], map: &SourceMap) -> Value {
    let at = |at: Option<&Pointer>| at.map(|p| json!({ "key": p.dotted(), "place": place(map, Some(p)) }));
    let outcome = |o: &Outcome| match o {
        Outcome::Does { machines, cost } => json!({ "does": true, "machines": machines, "usd": usd(*cost) }),
        Outcome::Rejected(r) => json!({
            "does": false,
            "constraint": r.constraint,
            "reason": r.reason,
            "at": at(r.at.as_ref()),
            "distance": r.distance,
        }),
    };
    let asked = |c: &Asked| {
        json!({
            "cloud": c.cloud.as_str(),
            "region": c.region,
            "instance_type": c.instance_type,
            "purchase": c.purchase.as_str(),
            "variant": c.variant,
            "layout": c.layout.map(super::json::layout),
            "outcome": outcome(&c.outcome),
        })
    };
    let workload = |w: &WhyNot| {
        json!({
            "address": w.address,
            "unit": w.each.split_once(' ').map_or(w.each, |(_, unit)| unit),
            "chosen": w.chosen.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
            "optimum_usd": w.optimum.map(usd),
            "candidates": w.candidates.iter().map(asked).collect::<Vec<_>>(),
            "whole": w.whole.as_ref().map(|whole| json!({
                "planned_usd_per_month": whole.planned.map(usd),
                "held_usd_per_month": whole.held.as_ref().ok().map(|held| usd(*held)),
                "refused": whole.held.as_ref().err(),
            })),
            "loosened": w.loosened.iter().map(|l| json!({
                "change": relaxation(&l.change),
                "place": place(map, l.change.at.as_ref()),
                "chosen": l.chosen,
            })).collect::<Vec<_>>(),
        })
    };
    json!({ "schema": "rhumb.why-not/1", "what": what, "workloads": all.iter().map(workload).collect::<Vec<_>>() })
}
