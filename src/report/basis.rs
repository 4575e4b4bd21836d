//! What the figures rest on.

use std::collections::BTreeMap;

use super::{Block, Cell, Section, Table, Tone, number, percent};
use crate::catalog::{SOURCE_OF_HELD, SOURCE_OF_SITES};
use crate::check::Fact;
use crate::plan::Plan;
use crate::spec::EngineName;
use crate::spec::HELD;

pub(super) fn basis(plan: &Plan) -> Section {
    let mut lines = Vec::new();
    let mut prices: BTreeMap<(String, String), usize> = BTreeMap::new();
    for placed in plan.placement.workloads.values() {
        for line in &placed.cost.lines {
            if let Some(p) = &line.provenance {
                *prices.entry((p.source.to_string(), p.as_of.to_string())).or_default() += 1;
            }
        }
    }
    for ((source, date), n) in &prices {
        let own = source.starts_with("user:");
        let when = if date.is_empty() { "undated".to_owned() } else { format!("of {date}") };
        let text = if source == SOURCE_OF_SITES {
            format!("{n} prices of machines at your sites, as the spec states them")
        } else if source == SOURCE_OF_HELD {
            format!("{n} prices of held machines: nothing, as the spec states them")
        } else if own {
            format!("{n} prices from your own file {}, {when}", source.trim_start_matches("user:"))
        } else {
            format!("{n} prices listed by {source}, {when}")
        };
        lines.push(Cell::tone(text, if own { Tone::Warn } else { Tone::Plain }));
    }
    for (address, placed) in &plan.placement.workloads {
        for pool in &placed.pools {
            let edge = match placed.run.as_ref().and_then(|run| Some((run, run.training.as_ref()?))) {
                Some((run, t)) => format!(
                    "it were {} slower than its {} tokens/s",
                    percent(1.0 - run.items_per_s / t.predicted_tokens_per_s.max(1e-9)),
                    number(t.predicted_tokens_per_s)
                ),
                None if pool.engine.name == EngineName::Own => {
                    // A profile is of whole machines.
                    let accelerator = pool.accelerator.as_deref().filter(|_| placed.mix.is_none());
                    let on = accelerator.unwrap_or(&pool.instance_type);
                    let stated = pool.notes.join("; ");
                    lines.push(Cell::plain(format!(
                        "{address} on {on}: {}, {stated}; confidence widens nothing",
                        pool.evidence.as_str()
                    )));
                    continue;
                }
                None => format!(
                    "tokens took {} longer and first tokens {}",
                    percent(pool.tpot_factor - 1.0),
                    percent(pool.ttft_factor * pool.tpot_factor - 1.0)
                ),
            };
            lines.push(Cell::plain(format!(
                "{address} on {}: prediction {}; planned as if {edge}",
                pool.accelerator.as_deref().unwrap_or("CPU"),
                pool.evidence.as_str(),
            )));
            for note in &pool.notes {
                lines.push(Cell::tone(format!("  {note}"), Tone::Dim));
            }
        }
        if placed.run.as_ref().is_some_and(|run| run.pipeline.is_none() && run.federation.is_none()) {
            lines.push(Cell::plain(format!("{address}: {}", crate::perf::start_up::STATED)));
        }
        for route in placed.routes.iter().filter(|r| r.network_ms.iter().any(|n| *n > 0.0)) {
            lines.push(Cell::plain(format!(
                "{address}: network time from {} is {}",
                route.origin,
                route.evidence.as_str()
            )));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| seen.insert(line.text.clone()));
    for file in &plan.user_files {
        lines.push(Cell::tone(format!("your own file {file} was applied"), Tone::Warn));
    }
    lines.push(Cell::tone(
        format!(
            "catalogue {}, spec {}, rhumb {}",
            plan.catalog_digest.get(..12).unwrap_or(&plan.catalog_digest),
            plan.spec_digest.get(..12).unwrap_or(&plan.spec_digest),
            plan.tool_version
        ),
        Tone::Dim,
    ));
    Section { name: "basis", heading: "What this rests on".to_owned(), blocks: vec![Block::Lines(lines)] }
}

pub(super) fn quotas(plan: &Plan) -> Option<Section> {
    /// Unit, amount, declared, a new account's.
    type Need<'a> = (&'a str, f64, Option<f64>, Option<f64>);
    let mut needs: BTreeMap<(String, String, String), Need<'_>> = BTreeMap::new();
    let of_workloads = plan.placement.workloads.values().flat_map(|w| &w.quotas);
    for q in of_workloads.chain(plan.placement.fleets.iter().flat_map(|f| &f.quotas)) {
        let key = (q.cloud.to_string(), q.region.clone(), q.code.clone());
        let entry = needs.entry(key).or_insert((q.unit, 0.0, q.declared, q.default_new_account));
        entry.1 += q.amount;
    }
    if needs.is_empty() {
        return None;
    }
    let mut table = Table {
        columns: vec![("where", false), ("code", false), ("needs", true), ("account has", false)],
        rows: Vec::new(),
    };
    for ((cloud, region, code), (unit, amount, declared, default)) in &needs {
        let status = match (declared, default) {
            (Some(d), _) if *unit == "machines" => {
                let tone = if d >= amount { Tone::Good } else { Tone::Bad };
                let words = if code.starts_with(HELD) { "are held" } else { "stand there" };
                Cell::tone(format!("{d:.0} {words}"), tone)
            }
            (Some(d), _) if *unit == "usd_per_hour" => {
                let tone = if d >= amount { Tone::Good } else { Tone::Bad };
                Cell::tone(format!("a savings plan of {} USD/h", number(*d)), tone)
            }
            (Some(d), _) if *unit == "watts" => {
                let tone = if d >= amount { Tone::Good } else { Tone::Bad };
                Cell::tone(format!("a cap of {d:.0}; at full load, modelled"), tone)
            }
            (None, _) if *unit == "watts" => Cell::plain("no cap; at full load, modelled"),
            (Some(d), _) if d >= amount => Cell::tone(format!("{} declared", number(*d)), Tone::Good),
            (Some(d), _) => Cell::tone(format!("{} declared: too little", number(*d)), Tone::Bad),
            (None, Some(d)) if d < amount => {
                Cell::tone(format!("not verified; a new account has {d:.0}: ask for more first"), Tone::Warn)
            }
            (None, Some(d)) => Cell::plain(format!("not verified; a new account has {d:.0}")),
            (None, None) => Cell::plain("not verified; what a new account has is unknown"),
        };
        table.rows.push(vec![
            Cell::plain(format!("{cloud}/{region}")),
            Cell::plain(code),
            Cell::plain(format!("{} {unit}", number(*amount))),
            status,
        ]);
    }
    Some(Section { name: "quotas", heading: "Quotas needed".to_owned(), blocks: vec![Block::Table(table)] })
}

pub(super) fn caveats(plan: &Plan) -> Option<Section> {
    // Quotas have a table of their own.
    let mut lines: Vec<Cell> = plan
        .warnings
        .iter()
        .filter(|w| !w.starts_with("quota "))
        .map(|w| Cell::tone(w.clone(), Tone::Warn))
        .collect();
    for (address, placed) in &plan.placement.workloads {
        let caveats = placed.caveats.iter().filter(|c| !c.starts_with("quota "));
        lines.extend(caveats.map(|c| Cell::tone(format!("{address}: {c}"), Tone::Warn)));
    }
    for fleet in &plan.placement.fleets {
        lines.extend(fleet.caveats.iter().map(|c| Cell::tone(format!("{}: {c}", fleet.addr), Tone::Warn)));
    }
    (!lines.is_empty()).then(|| Section {
        name: "caveats",
        heading: "Read before you approve".to_owned(),
        blocks: vec![Block::Lines(lines)],
    })
}

/// The facts that are missing or too old, each with what to do; nothing if there is none.
pub fn facts(facts: &[Fact]) -> Option<Section> {
    let mut lines = Vec::new();
    for f in facts {
        let from = match (&f.source, &f.as_of) {
            (None, _) => String::new(),
            (Some(source), None) => format!(" ({source}, undated)"),
            (Some(source), Some(date)) => format!(" ({source}, {date})"),
        };
        lines.push(Cell::tone(format!("{}: {}{from}", f.address, f.message), Tone::Bad));
        lines.push(Cell::plain(format!("  {}", f.fix)));
    }
    let heading = "Inconclusive: facts that are missing or too old".to_owned();
    (!lines.is_empty()).then(|| Section { name: "facts", heading, blocks: vec![Block::Lines(lines)] })
}
