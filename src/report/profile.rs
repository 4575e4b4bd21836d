//! Which size classes go where, of services with a profile.

use serde_json::{Value, json};

use super::{Block, Cell, Section, Table, number, percent};
use crate::math::round_to;
use crate::placement::{MixPart, MixProof, SizeMix, WorkloadPlacement};
use crate::plan::Plan;
use crate::spec::profile::{MICRO, PARTS};

/// `33.3 %`: parts of a class are not whole percents.
fn part(billionths: u64) -> String {
    format!("{} %", round_to(billionths as f64 / PARTS as f64 * 100.0, 1))
}

/// Requests of a class at the peak, a second.
fn rate(micro: u64) -> f64 {
    micro as f64 / MICRO as f64
}

/// How much of its machines' time a kind needs at the peak.
fn load(placed: &WorkloadPlacement, mix: &SizeMix, kind: usize) -> Option<f64> {
    let of = mix.kinds.get(kind)?;
    let pool = placed.pools.iter().find(|p| (p.cloud, &p.instance_type) == (of.cloud, &of.instance_type))?;
    (pool.capacity > 0.0).then(|| pool.peak_rate / pool.capacity)
}

/// The classes of all services with a profile.
pub(super) fn classes(plan: &Plan) -> Option<Section> {
    let mut table = Table {
        columns: vec![
            ("workload", false),
            ("size class", false),
            ("requests", true),
            ("machines", false),
            ("part", true),
            ("their load", true),
        ],
        rows: Vec::new(),
    };
    let mut lines = Vec::new();
    for (address, placed) in &plan.placement.workloads {
        let Some(mix) = &placed.mix else { continue };
        for class in &mix.classes {
            for to in &class.to {
                let Some(kind) = mix.kinds.get(to.kind as usize) else { continue };
                let load = load(placed, mix, to.kind as usize);
                table.rows.push(vec![
                    Cell::plain(address),
                    Cell::plain(&class.name),
                    Cell::plain(format!("{}/s", number(rate(class.demand)))),
                    Cell::plain(format!("{} x {}/{}", kind.machines, kind.cloud, kind.instance_type)),
                    Cell::plain(part(to.billionths)),
                    Cell::plain(load.map_or_else(|| "unknown".to_owned(), percent)),
                ]);
            }
        }
        let sha256 = mix.sha256.get(..12).unwrap_or(&mix.sha256);
        lines.push(Cell::plain(format!(
            "{address}: how fast machines are was measured by you ({}, sha256 {sha256}); nothing is predicted.",
            mix.file
        )));
        if !mix.losses.is_empty() {
            let (s, have) = if mix.losses.len() == 1 { ("", "has") } else { ("es", "have") };
            lines.push(Cell::plain(format!(
                "{address}: {} loss{s} of machines {have} parts of their own, which the JSON has.",
                mix.losses.len()
            )));
        }
    }
    (!table.rows.is_empty()).then(|| Section {
        name: "classes",
        heading: "Size classes".to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    })
}

fn parts(to: &[MixPart]) -> Vec<Value> {
    to.iter().map(|p| json!({ "kind": p.kind, "share": p.billionths as f64 / PARTS as f64 })).collect()
}

fn proof(proof: &MixProof) -> Value {
    let leaves = proof.tree.iter().filter(|branch| branch.kind.is_none()).count();
    json!({ "leaves": leaves, "prices": proof.prices.len() })
}

/// The mix for machines.
pub(super) fn json(mix: &SizeMix) -> Value {
    let kinds: Vec<Value> = mix
        .kinds
        .iter()
        .map(|k| {
            json!({ "cloud": k.cloud.as_str(), "instance_type": k.instance_type, "machines": k.machines })
        })
        .collect();
    let classes: Vec<Value> = mix
        .classes
        .iter()
        .map(|c| json!({ "name": c.name, "requests_per_s": rate(c.demand), "to": parts(&c.to) }))
        .collect();
    let losses: Vec<Value> = mix
        .losses
        .iter()
        .map(|loss| {
            let to: Vec<Vec<Value>> = loss.routes.iter().map(|route| parts(&route.to)).collect();
            json!({ "lost": loss.lost, "to": to })
        })
        .collect();
    json!({
        "file": mix.file,
        "sha256": mix.sha256,
        "kinds": kinds,
        "classes": classes,
        "losses": losses,
        "proofs": mix.proofs.iter().map(proof).collect::<Vec<_>>(),
    })
}
