//! What runs, and what is kept of it.

use rhumb_api::Money;
use serde_json::{Value, json};

use super::{Block, Cell, Section, Table, Tone};
use crate::placement::{Kept, KeptWorkload, MachinesAt};
use crate::plan::Plan;

fn words(places: &[MachinesAt]) -> String {
    let all: Vec<String> = places.iter().map(ToString::to_string).collect();
    if all.is_empty() { "nowhere".to_owned() } else { all.join(", ") }
}

/// The part of its cost that a move must save, for people.
fn saving(kept: &Kept) -> String {
    format!("{} %", crate::math::round_to(f64::from(kept.saving_ppm) / 1e4, 4))
}

fn row((address, of): (&String, &KeptWorkload)) -> Vec<Cell> {
    let planned = if of.planned == of.running {
        Cell::plain("stays")
    } else if of.is_kept() {
        Cell::plain(words(&of.planned))
    } else {
        Cell::tone(words(&of.planned), Tone::Warn)
    };
    let free = match &of.free {
        None => ["not known".to_owned(), String::new()],
        Some(free) if free.places == of.planned && free.cost == of.cost => {
            ["the same".to_owned(), String::new()]
        }
        Some(free) => [words(&free.places), free.cost.to_string()],
    };
    let [free, cost] = free.map(Cell::plain);
    vec![
        Cell::plain(address),
        Cell::plain(words(&of.running)),
        planned,
        Cell::plain(of.cost.to_string()),
        free,
        cost,
    ]
}

/// What a free choice would save, in words.
fn free(kept: &Kept) -> String {
    let Some(free) = kept.free else {
        return "The search for the cheapest placement if nothing ran was ended before it was known."
            .to_owned();
    };
    let less = kept.cost - free;
    if less > Money::ZERO {
        let share = less.usd() / kept.cost.usd().max(1e-9) * 100.0;
        format!(
            "If nothing ran, the cheapest of everything would cost {free} USD a month: {less} ({share:.1} %) less."
        )
    } else if kept.workloads.values().all(|w| w.free.as_ref().is_some_and(|free| free.places == w.planned)) {
        "If nothing ran, the same would be chosen.".to_owned()
    } else {
        "If nothing ran, another choice would count for less; it would not cost less.".to_owned()
    }
}

pub(super) fn stability(plan: &Plan) -> Option<Section> {
    let kept = plan.placement.kept.as_ref()?;
    let table = Table {
        columns: vec![
            ("service", false),
            ("runs on", false),
            ("planned", false),
            ("USD/month", true),
            ("if nothing ran", false),
            ("USD/month", true),
        ],
        rows: kept.workloads.iter().map(row).collect(),
    };
    let rule = format!(
        "Machines of another type or region replace what runs once they save more than {} of what they cost on demand (`stability`).",
        saving(kept)
    );
    let lines = Block::Lines(vec![Cell::plain(free(kept)), Cell::tone(rule, Tone::Dim)]);
    let blocks = vec![Block::Table(table), lines];
    Some(Section { name: "stability", heading: "What runs".to_owned(), blocks })
}

pub(super) fn json(plan: &Plan) -> Value {
    let usd = super::json::usd;
    let places = |all: &[MachinesAt]| -> Value {
        let of = |p: &MachinesAt| json!({ "cloud": p.cloud, "region": p.region, "instance_type": p.instance_type, "shared": p.shared });
        all.iter().map(of).collect()
    };
    let Some(kept) = &plan.placement.kept else { return Value::Null };
    let of = |(address, w): (&String, &KeptWorkload)| {
        json!({
            "workload": address,
            "running": places(&w.running),
            "planned": places(&w.planned),
            "kept": w.is_kept(),
            "usd_per_month": usd(w.cost),
            "free_choice": w.free.as_ref().map(|free| json!({
                "places": places(&free.places), "usd_per_month": usd(free.cost),
            })),
        })
    };
    json!({
        "saving": f64::from(kept.saving_ppm) / 1e6,
        "usd_per_month": usd(kept.cost),
        "free_usd_per_month": kept.free.map(usd),
        "workloads": kept.workloads.iter().map(of).collect::<Vec<_>>(),
    })
}
