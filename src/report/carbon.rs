//! What the machines emit, and what is left of a cap.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Block, Cell, Section, Table, Tone, number};
use crate::catalog::SOURCE_OF_SITES;
use crate::perf::carbon::FACTOR;
use crate::placement::{Coupling, Emission};
use crate::plan::Plan;

/// Milligrams of a kilogram, and of a tonne.
const KG: f64 = 1e6;
const TONNE: f64 = 1e9;

/// `1.23 t`, `45.6 kg` or `6.20 g` of CO2e.
pub(super) fn mass(mg: i64) -> String {
    let mg = mg as f64;
    if mg.abs() >= 0.1 * TONNE {
        format!("{} t", number(mg / TONNE))
    } else if mg != 0.0 && mg.abs() < 0.01 * KG {
        format!("{} g", number(mg / 1e3))
    } else {
        format!("{} kg", number(mg / KG))
    }
}

/// Dollars that a tonne counts for in what was minimised, to the hundredth of a cent: what a milligram does was rounded down by less.
pub(super) fn per_tonne(c: &Coupling) -> f64 {
    let dollars = c.carbon_price as f64 * TONNE / f64::from(1 << 24) / 1e6;
    (dollars * 1e4 - 1e-6).ceil() / 1e4
}

/// Whether what was minimised is emissions, and dollars among equals alone.
pub(super) fn only(c: &Coupling) -> bool {
    per_tonne(c) >= 5e7
}

/// Place, and how its emissions are known, to what is emitted there.
#[derive(Default)]
struct Sum {
    mg: i64,
    unknown: BTreeSet<String>,
}

pub(super) fn carbon(plan: &Plan) -> Option<Section> {
    let all = &plan.placement.emissions;
    if all.machines.is_empty() {
        return None;
    }
    // A workload is two parts of the address, its place the two after them.
    let mut sums: BTreeMap<(&str, String), (Sum, &Emission)> = BTreeMap::new();
    for (address, emission) in &all.machines {
        let (workload, rest) = address.split_once('/').unwrap_or((address, ""));
        let place = rest.split('/').take(2).collect::<Vec<_>>().join("/");
        let entry = sums.entry((workload, place)).or_insert((Sum::default(), emission));
        entry.0.mg = entry.0.mg.saturating_add(emission.mg_per_month.unwrap_or(0));
        entry.0.unknown.extend(emission.unknown.clone());
    }
    let unknown = |sum: &Sum| sum.unknown.iter().cloned().collect::<Vec<_>>().join("; ");
    let table = Table {
        columns: vec![
            ("workload", false),
            ("region", false),
            ("CO2e/month", true),
            ("grid", false),
            ("PUE", false),
        ],
        rows: sums
            .iter()
            .map(|((workload, place), (sum, e))| {
                let emitted = match (sum.unknown.is_empty(), sum.mg) {
                    (true, mg) => Cell::plain(mass(mg)),
                    (false, 0) => Cell::tone("unknown", Tone::Warn),
                    (false, mg) => Cell::tone(format!("at least {}", mass(mg)), Tone::Warn),
                };
                let year = e.year.map_or(String::new(), |year| format!(" of {year}"));
                let grid = e
                    .g_per_kwh
                    .map_or_else(|| "unknown".to_owned(), |g| format!("{} g/kWh{year}", number(g)));
                let kind = if e.pue_of_region { "" } else { ", assumed" };
                let pue = e.pue.map_or_else(|| "unknown".to_owned(), |pue| format!("{pue}{kind}"));
                vec![Cell::plain(*workload), Cell::plain(place), emitted, Cell::plain(grid), Cell::plain(pue)]
            })
            .collect(),
    };
    let at_least = if all.complete() { "" } else { "at least " };
    let mut lines = vec![Cell::plain(format!(
        "Expected: {at_least}{} of CO2e a month, modelled, a factor of {FACTOR} either way; machines alone, by location.",
        mass(all.known())
    ))];
    lines.extend(
        sums.values()
            .filter(|(sum, _)| !sum.unknown.is_empty())
            .map(|(sum, _)| Cell::tone(format!("Unknown: {}.", unknown(sum)), Tone::Warn)),
    );
    if let Some(cap) = all.cap_mg {
        let (line, emitted) = (format!("Cap: {} a month", mass(cap)), all.known());
        lines.push(if emitted > cap {
            Cell::tone(format!("{line} is exceeded by {}.", mass(emitted.saturating_sub(cap))), Tone::Bad)
        } else {
            Cell::tone(format!("{line}; {} are left.", mass(cap.saturating_sub(emitted))), Tone::Good)
        });
    }
    if let Some(c) = plan.placement.coupling.as_ref().filter(|c| c.carbon_price > 0 && !only(c)) {
        lines.push(Cell::plain(format!(
            "A tonne counts for {} USD in what was minimised; it is in no bill.",
            per_tonne(c)
        )));
    }
    let blocks = vec![Block::Table(table), Block::Lines(lines)];
    Some(Section { name: "carbon", heading: "Carbon".to_owned(), blocks })
}

/// Whether it is of a site, of which the spec states both grid and PUE.
fn is_stated(e: &Emission) -> bool {
    e.provenance.as_ref().is_some_and(|p| &*p.source == SOURCE_OF_SITES)
}

pub(super) fn json(plan: &Plan) -> Value {
    let all = &plan.placement.emissions;
    let one = |e: &Emission| {
        json!({
            "kg_per_month": e.mg_per_month.map(|mg| mg as f64 / KG),
            "g_per_machine_hour": e.mg_per_hour.map(|mg| mg as f64 / 1e3),
            "watts_per_machine": e.watts,
            "pue": e.pue,
            "pue_class": e.pue.map(|_| match e.pue_of_region {
                true if is_stated(e) => "stated",
                true => "listed",
                false => "assumed",
            }),
            "grid_g_per_kwh": e.g_per_kwh,
            "grid_year": e.year,
            "grid_source": e.provenance.as_ref().map(|p| p.source.to_string()),
            "grid_as_of": e.provenance.as_ref().map(|p| p.as_of.to_string()),
            "unknown": e.unknown,
        })
    };
    let machines: Map<String, Value> = all.machines.iter().map(|(a, e)| (a.clone(), one(e))).collect();
    json!({
        "kg_per_month": all.known() as f64 / KG,
        "incomplete": !all.complete(),
        "class": "modelled",
        "factor": FACTOR,
        "cap_kg_per_month": all.cap_mg.map(|mg| mg as f64 / KG),
        "machines": machines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_are_short() {
        assert_eq!(mass(1_234_000_000), "1.23 t");
        assert_eq!(mass(45_600_000), "45.6 kg");
        assert_eq!(mass(0), "0.00 kg");
        assert_eq!(mass(6_200), "6.20 g");
        assert_eq!(mass(123_456_789_000), "123 t");
    }
}
