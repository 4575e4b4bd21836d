//! What it costs, line by line.

use rhumb_api::Money;

use super::{Block, Cell, Section, Table, Tone};
use crate::plan::Plan;

/// The totals of a plan.
pub(crate) struct Totals {
    /// Dollars an hour as planned.
    pub per_hour: Money,
    /// Dollars a month as planned.
    pub per_month: Money,
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
        ceiling: costs().map(|c| c.ceiling_per_month).sum(),
        at_least: if costs().any(|c| c.incomplete) { "at least " } else { "" },
        unpriced,
    }
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
    for placed in plan.placement.workloads.values() {
        for line in &placed.cost.lines {
            let class = match &line.provenance {
                Some(p) if !p.as_of.is_empty() => format!("{} {}", line.evidence.as_str(), p.as_of),
                _ if line.per_hour.is_none() => "unknown".to_owned(),
                _ => line.evidence.as_str().to_owned(),
            };
            let (hour, month) = match line.per_hour {
                Some(money) => (Cell::plain(money.to_string()), Cell::plain(money.per_month().to_string())),
                None => (Cell::tone("not priced", Tone::Warn), Cell::tone("not priced", Tone::Warn)),
            };
            table.rows.push(vec![
                Cell::plain(&line.addr),
                Cell::plain(&line.what),
                hour,
                month,
                Cell::plain(class),
            ]);
        }
    }
    let t = totals(plan);
    let mut lines = vec![
        Cell::plain(format!(
            "Expected: {}{} USD/h, {0}{} USD a month of 730 h.",
            t.at_least, t.per_hour, t.per_month
        )),
        Cell::plain(format!(
            "Ceiling: {}{} USD a month (every spot machine bought on demand).",
            t.at_least, t.ceiling
        )),
    ];
    match &plan.budget {
        Some(b) if b.figure > b.limit => lines.push(Cell::tone(
            format!(
                "Budget: {} USD a month on the {} cost is exceeded by {} USD.",
                b.limit,
                b.binds.replace('_', " "),
                b.figure - b.limit
            ),
            Tone::Bad,
        )),
        Some(b) => lines.push(Cell::tone(
            format!(
                "Budget: {} USD a month on the {} cost; {} USD are left.",
                b.limit,
                b.binds.replace('_', " "),
                b.limit - b.figure
            ),
            Tone::Good,
        )),
        None => lines.push(Cell::tone("Budget: none is declared.", Tone::Dim)),
    }
    Section {
        name: "cost",
        heading: "Cost".to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    }
}
