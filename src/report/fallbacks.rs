//! What may stand in for pools whose machines are refused.

use serde_json::{Value, json};

use super::json::usd;
use super::placements::{machines, precision};
use super::{Block, Cell, Section, Table, number};
use crate::placement::{Fallback, Fallbacks, WorkloadPlacement};
use crate::plan::Plan;

/// Fallbacks shown of a pool in the plan itself; its file and JSON hold all.
const SHOWN: usize = 3;

fn row(first: Option<&str>, f: &Fallback) -> Vec<Cell> {
    let p = &f.pool;
    let carries = match &f.run {
        Some(run) if run.pipeline.as_ref().is_none_or(|p| p.stream.is_none()) => {
            format!("a run in {} h", number(run.hours))
        }
        _ => format!("{}/s", number(p.capacity)),
    };
    let more = f.more_per_month;
    let sign = if more >= rhumb_api::Money::ZERO { "+" } else { "" };
    vec![
        Cell::plain(first.unwrap_or_default()),
        Cell::plain(format!("{}/{}", p.cloud, p.region)),
        Cell::plain(machines(p, &[])),
        Cell::plain(format!("{} x {}", p.replicas, precision(p))),
        Cell::plain(carries),
        Cell::plain(format!("{sign}{more}")),
    ]
}

/// The cheapest, and the last: that is the one of another kind, where the cheapest are all alike.
fn shown(list: &[Fallback]) -> impl Iterator<Item = &Fallback> {
    let (head, tail) = if list.len() > SHOWN { list.split_at(SHOWN - 1) } else { (list, &list[..0]) };
    head.iter().chain(tail.last())
}

/// What is done where machines are refused; nothing if no pool has a fallback.
pub(super) fn fallbacks(plan: &Plan) -> Option<Section> {
    let mut table = Table {
        columns: vec![
            ("instead of", false),
            ("region", false),
            ("machines", false),
            ("runs as", false),
            ("can do", true),
            ("USD/month", true),
        ],
        rows: Vec::new(),
    };
    for of in plan.placement.workloads.values().flat_map(|w| &w.fallbacks) {
        for (k, fallback) in shown(&of.list).enumerate() {
            table.rows.push(row((k == 0).then_some(of.pool.as_str()), fallback));
        }
    }
    (!table.rows.is_empty()).then(|| Section {
        name: "fallbacks",
        heading: "If machines are refused".to_owned(),
        blocks: vec![Block::Table(table)],
    })
}

/// The fallbacks of a workload for machines.
pub(super) fn of_workload(w: &WorkloadPlacement) -> Value {
    let fallback = |f: &Fallback| {
        json!({
            "candidate": super::json::candidate(&f.candidate()),
            "pool": super::json::pool(&f.pool),
            "spot": f.spot(),
            "more_usd_per_month": usd(f.more_per_month),
            "ceiling_usd_per_month": usd(f.ceiling_per_month),
            "run": f.run.as_ref().map(super::json::run),
            "caveats": f.caveats,
        })
    };
    let of = |f: &Fallbacks| json!({ "pool": f.pool.as_str(), "fallbacks": f.list.iter().map(fallback).collect::<Vec<_>>() });
    w.fallbacks.iter().map(of).collect()
}
