//! Chains of services: how their limits are split.

use serde_json::{Value, json};

use super::{Block, Cell, Section, Table, Tone, ms, quantile};
use crate::placement::{ChainPart, ChainSplit};
use crate::plan::Plan;

/// Rows of a chain: itself, then its services.
fn rows(plan: &Plan, chain: &ChainSplit) -> Vec<Vec<Cell>> {
    let promised = |ms_: Option<f64>| ms_.map_or_else(|| "unknown".to_owned(), ms);
    let whole = format!("{} e2e {}", chain.name, quantile(Some(chain.quantile)));
    let mut rows = vec![vec![
        Cell::plain(whole),
        Cell::plain(""),
        Cell::plain(ms(chain.limit_ms)),
        Cell::plain(promised(chain.promised_ms(&plan.placement))),
    ]];
    for (i, step) in chain.steps.iter().enumerate() {
        for ChainPart { address, limit_ms } in step {
            let placed = plan.placement.workloads.get(address);
            rows.push(vec![
                Cell::plain(format!("  {}. {address}", i + 1)),
                Cell::plain(quantile(Some(chain.part_quantile))),
                Cell::plain(ms(*limit_ms)),
                Cell::plain(promised(placed.and_then(|placed| chain.promised_by(placed)))),
            ]);
        }
    }
    if chain.between_ms > 0.0 {
        rows.push(vec![
            Cell::plain("  between"),
            Cell::plain(""),
            Cell::plain(ms(chain.between_ms)),
            Cell::plain(ms(chain.between_ms)),
        ]);
    }
    rows
}

pub(super) fn chains(plan: &Plan) -> Option<Section> {
    let chains = &plan.placement.chains;
    let table = Table {
        columns: vec![("chain", false), ("at", false), ("limit", true), ("planned for", true)],
        rows: chains.iter().flat_map(|chain| rows(plan, chain)).collect(),
    };
    let words = "The limit is split where each service by itself costs least (steps of 2 %). Each keeps its part so often that \
                 together they break the chain's no more often than it may; each call goes from where the request enters.";
    let lines = Block::Lines(vec![Cell::tone(words, Tone::Dim)]);
    let blocks = vec![Block::Table(table), lines];
    (!chains.is_empty()).then(|| Section { name: "chains", heading: "Chains".to_owned(), blocks })
}

pub(super) fn json(plan: &Plan) -> Value {
    let of = |chain: &ChainSplit| {
        let part = |ChainPart { address, limit_ms }: &ChainPart| {
            let placed = plan.placement.workloads.get(address);
            json!({
                "service": address,
                "limit_ms": limit_ms,
                "at_confidence_ms": placed.and_then(|placed| chain.promised_by(placed)),
            })
        };
        let steps: Vec<Vec<Value>> = chain.steps.iter().map(|step| step.iter().map(part).collect()).collect();
        json!({
            "name": chain.name,
            "quantile": chain.quantile,
            "limit_ms": chain.limit_ms,
            "between_ms": chain.between_ms,
            "part_quantile": chain.part_quantile,
            "at_confidence_ms": chain.promised_ms(&plan.placement),
            "steps": steps,
        })
    };
    plan.placement.chains.iter().map(of).collect()
}
