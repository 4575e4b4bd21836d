//! What it costs, line by line.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Money};

use super::{Block, Cell, Section, Table, Tone};
use crate::placement::CostLine;
use crate::plan::{BudgetLine, Plan};

/// The totals of a plan.
pub(crate) struct Totals {
    /// Dollars an hour as planned.
    pub per_hour: Money,
    /// Dollars a month as planned.
    pub per_month: Money,
    /// Dollars a month if every hour has the load of the peak.
    pub peak: Money,
    /// Dollars a month at the ceiling.
    pub ceiling: Money,
    /// `at least ` when a line is not priced, else empty.
    pub at_least: &'static str,
    /// Lines without a price.
    pub unpriced: usize,
}

pub(crate) fn totals(plan: &Plan) -> Totals {
    let costs = || plan.placement.workloads.values().map(|w| &w.cost);
    let unpriced = costs().flat_map(|c| &c.lines).filter(|l| l.per_hour.is_none()).count();
    Totals {
        per_hour: costs().map(|c| c.expected_per_hour).sum(),
        per_month: costs().map(|c| c.expected_per_month).sum(),
        peak: costs().map(|c| c.peak_per_month).sum(),
        ceiling: costs().map(|c| c.ceiling_per_month).sum(),
        at_least: if costs().any(|c| c.incomplete) { "at least " } else { "" },
        unpriced,
    }
}

/// Each text once, in the order in which they come first: `firewall, 2 x launch template`.
fn counted(texts: &[&str]) -> String {
    let mut all: Vec<(&str, usize)> = Vec::new();
    for text in texts {
        match all.iter_mut().find(|(known, _)| known == text) {
            Some((_, n)) => *n += 1,
            None => all.push((text, 1)),
        }
    }
    let told = |(text, n): (&str, usize)| if n == 1 { text.to_owned() } else { format!("{n} x {text}") };
    all.into_iter().map(told).collect::<Vec<_>>().join(", ")
}

/// The lines without a price, a row per place: `aws/eu-west-1: firewall, load balancer, network`.
fn unpriced(address: &str, lines: &[CostLine]) -> Vec<Vec<Cell>> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in lines.iter().filter(|l| l.per_hour.is_none()) {
        let rest = line.addr.strip_prefix(address).unwrap_or(&line.addr);
        let place: Vec<&str> = rest.split('/').filter(|s| !s.is_empty()).take(2).collect();
        places.entry(format!("{address}/{}", place.join("/"))).or_default().push(&line.what);
    }
    places
        .into_iter()
        .map(|(place, what)| {
            vec![
                Cell::plain(place),
                Cell::plain(counted(&what)),
                Cell::tone("not priced", Tone::Warn),
                Cell::tone("not priced", Tone::Warn),
                Cell::plain("unknown"),
            ]
        })
        .collect()
}

/// Whether some fleet may have machines besides while they are made anew.
fn surges(plan: &Plan) -> bool {
    let after = plan.changes.iter().filter_map(|change| change.after.as_ref());
    after.into_iter().any(|r| matches!(r.attributes.get("max_surge"), Some(Attr::Int(n)) if *n > 0))
}

pub(super) fn cost(plan: &Plan) -> Section {
    let mut table = Table {
        columns: vec![
            ("resource", false),
            ("what", false),
            ("USD/h", true),
            ("USD/month", true),
            ("class", false),
        ],
        rows: Vec::new(),
    };
    for (address, placed) in &plan.placement.workloads {
        for line in placed.cost.lines.iter() {
            let Some(money) = line.per_hour else { continue };
            let class = match &line.provenance {
                Some(p) if !p.as_of.is_empty() => format!("{} {}", line.evidence.as_str(), p.as_of),
                _ => line.evidence.as_str().to_owned(),
            };
            table.rows.push(vec![
                Cell::plain(&line.addr),
                Cell::plain(&line.what),
                Cell::plain(money.to_string()),
                Cell::plain(money.per_month().to_string()),
                Cell::plain(class),
            ]);
        }
        table.rows.extend(unpriced(address, &placed.cost.lines));
    }
    let t = totals(plan);
    let mut lines = vec![
        Cell::plain(format!(
            "Expected: {}{} USD/h, {0}{} USD a month of 730 h.",
            t.at_least, t.per_hour, t.per_month
        )),
        Cell::plain(format!(
            "Ceiling: {}{} USD a month (every spot machine bought on demand{}).",
            t.at_least,
            t.ceiling,
            if surges(plan) { ", with machines besides while a change is rolled out" } else { "" }
        )),
    ];
    if t.peak != t.per_month {
        let text = format!("A month that is all peak: {}{} USD.", t.at_least, t.peak);
        lines.insert(1, Cell::plain(text));
    }
    lines.extend(plan.budgets.iter().map(budget));
    if plan.budgets.is_empty() {
        lines.push(Cell::tone("Budget: none is declared.", Tone::Dim));
    }
    Section {
        name: "cost",
        heading: "Cost".to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    }
}

fn budget(b: &BudgetLine) -> Cell {
    let label = b.label.as_ref().map(|(key, value)| format!("{key}={value}"));
    let of = b.workload.clone().or(label).map_or_else(String::new, |of| format!(" of {of}"));
    let line = format!("Budget{of}: {} USD a month on the {} cost", b.limit, b.binds.replace('_', " "));
    if b.figure > b.limit {
        Cell::tone(format!("{line} is exceeded by {} USD.", b.figure - b.limit), Tone::Bad)
    } else {
        Cell::tone(format!("{line}; {} USD are left.", b.limit - b.figure), Tone::Good)
    }
}
