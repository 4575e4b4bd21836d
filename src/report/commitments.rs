//! Commitments that would pay.

use rhumb_api::Purchase;
use serde_json::{Value, json};

use super::{Block, Cell, Section, Table, Tone, percent};
use crate::placement::Commitment;
use crate::plan::Plan;

/// Most rows; the rest is told as a number.
const MOST: usize = 6;

/// The words of a term.
fn term(purchase: Purchase) -> &'static str {
    match purchase {
        Purchase::Reserved1y => "1 year",
        Purchase::Reserved3y => "3 years",
        Purchase::OnDemand | Purchase::Spot | Purchase::Held => "",
    }
}

pub(super) fn commitments(plan: &Plan) -> Option<Section> {
    let mut all: Vec<&Commitment> = plan.placement.commitments.iter().collect();
    all.sort_by(|a, b| b.saves_per_month.cmp(&a.saves_per_month).then_with(|| a.addr.cmp(&b.addr)));
    let row = |c: &&Commitment| {
        vec![
            Cell::plain(c.addr.trim_end_matches("/on_demand")),
            Cell::plain(term(c.purchase)),
            Cell::plain(c.machines.to_string()),
            Cell::plain(format!("{:.2}", c.price.usd())),
            Cell::plain(format!("{:.2}", c.instead_of.usd())),
            Cell::plain(c.saves_per_month.to_string()),
            Cell::plain(percent(c.pays_from())),
        ]
    };
    let table = Table {
        columns: vec![
            ("machines", false),
            ("for", false),
            ("how many", true),
            ("USD/h each", true),
            ("instead of", true),
            ("saves USD/month", true),
            ("pays from", true),
        ],
        rows: all.iter().take(MOST).map(row).collect(),
    };
    let more = match all.len().saturating_sub(MOST) {
        0 => String::new(),
        n => format!(" {n} more are in the JSON."),
    };
    let words = format!(
        "Nothing of it is bought: a commitment is paid in every hour of its term, used or not, and pays from that share of the hours on. \
         `purchase.options` lets the planner choose it, but for what follows the load.{more}"
    );
    let blocks = vec![Block::Table(table), Block::Lines(vec![Cell::tone(words, Tone::Dim)])];
    let heading = "Commitments that would pay".to_owned();
    (!all.is_empty()).then_some(Section { name: "commitments", heading, blocks })
}

pub(super) fn json(plan: &Plan) -> Value {
    let of = |c: &Commitment| {
        json!({
            "address": c.addr,
            "purchase": c.purchase,
            "machines": c.machines,
            "usd_per_hour": super::json::usd(c.price),
            "instead_of_usd_per_hour": super::json::usd(c.instead_of),
            "saves_usd_per_month": super::json::usd(c.saves_per_month),
            "pays_from": crate::math::round_to(c.pays_from(), 4),
            "source": c.provenance.source.as_ref(),
            "as_of": c.provenance.as_of.as_ref(),
        })
    };
    plan.placement.commitments.iter().map(of).collect()
}
