//! What `rhumb status` shows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Cost, Health, Row, Shown};
use crate::cli::state::clean;
use crate::cli::view::terminal;
use crate::cli::{Failure, Settings};
use crate::report::{Cell, Tone};

/// Name and version of the output: `src/cli/commands/status/schema.json`.
const SCHEMA: &str = "rhumb.status/1";

/// Why nobody can tell.
const LOST: &str = "A look has recorded something since the last apply, and what that left is not kept: by the record alone nobody can tell whether all is as it should be. Apply again: also an apply that has nothing to do is recorded then.\n";

pub fn show(shown: &Shown<'_>, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        return terminal::print(&format!("{}\n", json(shown)));
    }
    let columns = [
        ("RESOURCE", false),
        ("HEALTH", false),
        ("MACHINES", true),
        ("HEALTHY", true),
        ("PLANNED", true),
        ("USD/H", true),
    ];
    let rows: Vec<Vec<Cell>> = shown.rows.iter().map(cells).collect();
    let mut text = terminal::grid(&columns, &rows, &settings.for_lists());
    for row in &shown.rows {
        if let Some(why) = &row.why {
            text.push_str(&format!("{}: {}\n", row.addr, clean(why)));
        }
    }
    for (what, why) in &shown.unseen {
        text.push_str(&format!("{}: it could not be looked at: {}\n", clean(what), clean(why)));
    }
    if !shown.state.open.is_empty() {
        let open = shown.state.open.len();
        text.push_str(&format!("An apply is under way or was cut off: {open} calls have an unknown end.\n"));
    }
    if let Some(plan) = unfinished(shown).filter(|_| shown.state.open.is_empty()) {
        let plan = plan.get(..12).unwrap_or(plan);
        text.push_str(&format!(
            "The apply of the plan {} is not complete: not all of it is there. Apply again.\n",
            clean(plan)
        ));
    }
    if shown.lost {
        text.push_str(LOST);
    }
    text.push_str(&summary(shown));
    terminal::print(&text)
}

/// The plan whose apply is under way or was not complete.
fn unfinished<'a>(shown: &'a Shown<'_>) -> Option<&'a str> {
    let applying = shown.state.applying.as_ref().map(|applying| applying.plan.as_str());
    applying.or(shown.unfinished.map(|deed| deed.plan.as_deref().unwrap_or_default()))
}

fn cells(row: &Row) -> Vec<Cell> {
    let tone = match row.health {
        Health::Ready | Health::Complete => Tone::Good,
        Health::Recorded | Health::Waiting => Tone::Plain,
        Health::Changing
        | Health::Short
        | Health::Over
        | Health::Unhealthy
        | Health::Changed
        | Health::Superfluous
        | Health::Unseen => Tone::Warn,
        Health::Failed | Health::Gone => Tone::Bad,
    };
    let machines = match (row.machines, row.planned) {
        (Some(n), _) => n.to_string(),
        (None, Some(_)) => "?".to_owned(),
        (None, None) => String::new(),
    };
    let planned = row.planned.map_or(String::new(), |(least, most)| match least == most {
        true => least.to_string(),
        false => format!("{least} to {most}"),
    });
    let cost = match &row.cost {
        Cost::Nothing => String::new(),
        Cost::Listed { usd, .. } => format!("{:.2}", usd.usd()),
        Cost::Unknown(_) => "?".to_owned(),
    };
    vec![
        Cell::plain(clean(row.addr.as_str())),
        Cell::tone(row.health.as_str(), tone),
        Cell::plain(machines),
        Cell::plain(row.healthy.map_or(String::new(), |n| n.to_string())),
        Cell::plain(planned),
        Cell::plain(cost),
    ]
}

fn summary(shown: &Shown<'_>) -> String {
    let well = shown.rows.iter().filter(|row| row.health.is_well()).count();
    let things = shown.rows.len();
    let what = if shown.looked { "as they should be" } else { "recorded so; nothing was looked at" };
    let mut text = format!("{well} of {things} things are {what}. ");
    let listed: BTreeSet<(&str, &str)> = shown
        .rows
        .iter()
        .filter_map(|row| match &row.cost {
            Cost::Listed { source, as_of, .. } => Some((source.as_str(), as_of.as_str())),
            _ => None,
        })
        .collect();
    let unpriced = match shown.unpriced() {
        0 => String::new(),
        1 => "; 1 more has no known price".to_owned(),
        n => format!("; {n} more have no known price"),
    };
    let at_least = if unpriced.is_empty() { "" } else { "at least " };
    let of: Vec<String> = listed
        .into_iter()
        .map(|(source, day)| if day.is_empty() { source.to_owned() } else { format!("{source} of {day}") })
        .collect();
    let of = if of.is_empty() { String::new() } else { format!(" (listed: {})", of.join(", ")) };
    let simulated = if shown.state.simulated { "SIMULATED: would cost" } else { "Costs" };
    // What is recorded says what was ordered, not what its cloud makes of that at this hour.
    let peak = if shown.looked { "" } else { " at its peak, with every run under way" };
    text.push_str(&format!(
        "{simulated} {at_least}{:.2} USD an hour{peak}{of}{unpriced}.\n",
        shown.per_hour().usd()
    ));
    text
}

fn json(shown: &Shown<'_>) -> Value {
    let resources: Vec<Value> = shown
        .rows
        .iter()
        .map(|row| {
            let cost = match &row.cost {
                Cost::Nothing => Value::Null,
                Cost::Listed { usd, source, as_of } => {
                    json!({ "class": "listed", "usd_per_hour": usd.usd(), "source": source, "as_of": as_of })
                }
                Cost::Unknown(why) => json!({ "class": "unknown", "why": why }),
            };
            json!({
                "address": row.addr,
                "id": row.id,
                "kind": row.kind.as_str(),
                "health": row.health.as_str(),
                "why": row.why,
                "machines": row.machines,
                "healthy": row.healthy,
                "planned_machines": row.planned.map(|(least, most)| json!({ "least": least, "most": most })),
                "cost": cost,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "lineage": shown.state.lineage,
        "serial": shown.state.serial,
        "simulated": shown.state.simulated,
        "looked": shown.looked,
        "well": shown.is_well(),
        "open_calls": shown.state.open.len(),
        "applying": unfinished(shown),
        "last_apply_lost": shown.lost,
        "resources": resources,
        "unseen": shown.unseen.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect::<Vec<_>>(),
        "usd_per_hour": shown.per_hour().usd(),
        "unpriced": shown.unpriced(),
    })
}
