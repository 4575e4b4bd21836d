//! What may stand in for pools whose machines are refused.

use std::collections::BTreeMap;

use rhumb_api::{Money, ResourceAddr};
use serde_json::{Value, json};

use super::json::usd;
use super::placements::{machines, precision};
use super::{Block, Cell, Report, Section, Table, Tone, number};
use crate::placement::{Fallback, Fallbacks, FleetFallback, WorkloadPlacement};
use crate::plan::Plan;

/// Fallbacks shown of a pool among all else that a plan says; [`all_fallbacks`] shows every one.
const SHOWN: usize = 3;

fn row(first: Option<&str>, f: &Fallback) -> Vec<Cell> {
    let p = &f.pool;
    let carries = match &f.run {
        Some(run) if run.pipeline.as_ref().is_none_or(|p| p.stream.is_none()) => {
            format!("a run in {} h", number(run.hours))
        }
        _ => format!("{}/s", number(p.capacity)),
    };
    vec![
        Cell::plain(first.unwrap_or_default()),
        Cell::plain(format!("{}/{}", p.cloud, p.region)),
        Cell::plain(machines(p, &[])),
        Cell::plain(format!("{} x {}", p.replicas, precision(p))),
        Cell::plain(carries),
        Cell::plain(signed(f.more_per_month)),
    ]
}

fn signed(more: Money) -> String {
    let sign = if more >= Money::ZERO { "+" } else { "" };
    format!("{sign}{more}")
}

/// All pools of shared machines on others.
fn fleet_row(first: Option<&str>, f: &FleetFallback) -> Vec<Cell> {
    let fleet = &f.fleet;
    let runs = f.moved.iter().map(|m| {
        let name = m.workload.split_once('.').map_or(m.workload.as_str(), |(_, name)| name);
        format!("{name} {} x {}", m.pool.replicas, precision(&m.pool))
    });
    let planned = fleet.pools.len() - f.moved.len().min(fleet.pools.len());
    let others = match planned {
        0 => String::new(),
        n => format!(", with {n} planned there"),
    };
    vec![
        Cell::plain(first.unwrap_or_default()),
        Cell::plain(format!("{}/{}", fleet.cloud, fleet.region)),
        Cell::plain(format!("{} {} {}, shared{others}", fleet.count, fleet.purchase, fleet.instance_type)),
        Cell::plain(runs.collect::<Vec<_>>().join(", ")),
        Cell::plain("all of theirs"),
        Cell::plain(signed(f.more_per_month)),
    ]
}

/// The cheapest, and the last: that is the one of another kind, where the cheapest are all alike.
fn shown<T>(list: &[T], most: usize) -> impl Iterator<Item = &T> {
    let (head, tail) = if list.len() > most { list.split_at(most - 1) } else { (list, &list[..0]) };
    head.iter().chain(tail.last())
}

/// A plan's fallbacks alone, and each of them: an apply takes any without asking again, so whoever approves it has to see it.
pub fn all_fallbacks(plan: &Plan) -> Report {
    let sections = section(plan, usize::MAX).into_iter().collect();
    Report { sections: super::equal::told_once(plan, sections), ..super::report(plan) }
}

/// What is done where machines are refused; nothing if no pool has a fallback.
pub(super) fn fallbacks(plan: &Plan) -> Option<Section> {
    section(plan, SHOWN)
}

fn section(plan: &Plan, most: usize) -> Option<Section> {
    let mut hidden = 0;
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
        hidden += of.list.len().saturating_sub(most);
        for (k, fallback) in shown(&of.list, most).enumerate() {
            table.rows.push(row((k == 0).then_some(of.pool.as_str()), fallback));
        }
    }
    for fleet in &plan.placement.fleets {
        hidden += fleet.fallbacks.len().saturating_sub(most);
        for (k, fallback) in shown(&fleet.fallbacks, most).enumerate() {
            // Spaces, where a line may end: the address has none.
            let place = format!("shared {} in {}/{}", fleet.instance_type, fleet.cloud, fleet.region);
            table.rows.push(fleet_row((k == 0).then_some(place.as_str()), fallback));
        }
    }
    let more = (hidden > 0).then(|| {
        let text = format!("and {hidden} more: rhumb show PLAN --view fallbacks");
        Block::Lines(vec![Cell::tone(text, Tone::Dim)])
    });
    (!table.rows.is_empty()).then(|| Section {
        name: "fallbacks",
        heading: format!("If machines are refused{}", at_most(plan).unwrap_or_default()),
        blocks: [Block::Table(table)].into_iter().chain(more).collect(),
    })
}

/// What the ceiling of all that has a price is when the dearest stand in: of every pool, where nothing binds them together, and else of one.
fn at_most(plan: &Plan) -> Option<String> {
    let mut dearest: BTreeMap<&ResourceAddr, Money> = BTreeMap::new();
    for standby in &plan.standbys {
        let most = dearest.entry(&standby.pool).or_insert(Money::ZERO);
        *most = (*most).max(standby.more_per_month);
    }
    let more: Money = match plan.apart() {
        true => dearest.values().copied().sum(),
        false => dearest.values().copied().max()?,
    };
    let totals = super::cost::totals(plan);
    (more > Money::ZERO).then(|| format!(": the ceiling is up to {} USD/month then", totals.ceiling + more))
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

/// A fallback of shared machines for machines.
pub(super) fn of_fleet(f: &FleetFallback) -> Value {
    let fleet = &f.fleet;
    let moved = f.moved.iter().map(
        |m| json!({ "workload": m.workload, "from": m.from.as_str(), "pool": super::json::pool(&m.pool) }),
    );
    json!({
        "address": fleet.addr.as_str(),
        "cloud": fleet.cloud.as_str(),
        "region": fleet.region,
        "instance_type": fleet.instance_type,
        "accelerator": fleet.accelerator,
        "purchase": fleet.purchase.as_str(),
        "count": fleet.count,
        "usd_per_hour_each": usd(fleet.price),
        "moved": moved.collect::<Vec<_>>(),
        "more_usd_per_month": usd(f.more_per_month),
        "caveats": f.caveats,
    })
}
