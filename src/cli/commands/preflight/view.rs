//! What `rhumb preflight` shows.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::Cloud;
use rhumb_api::preflight::Verdict;
use serde_json::{Value, json};

use super::{Row, Shown, exit};
use crate::cli::state::clean;
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::report::{Block, Cell, Report, Section, Table, Tone};

/// Name and version of the output: `src/cli/commands/preflight/schema.json`.
const SCHEMA: &str = "rhumb.preflight/1";

/// What is told in one line for all of it, where nothing is wrong with it and no figures go with it, with what is counted.
const FOLDED: [(&str, &str); 3] =
    [("permission", "rights"), ("offering", "resources"), ("secret", "secrets")];

pub fn show(shown: &Shown<'_>, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        return terminal::print(&format!("{:#}\n", json(shown)));
    }
    terminal::print(&terminal::text(&report(shown, settings.verbose > 0), settings, None))
}

fn report(shown: &Shown<'_>, everything: bool) -> Report {
    let where_to = if shown.simulated { " on the simulated cloud" } else { "" };
    let clouds: BTreeSet<Option<Cloud>> =
        shown.rows.iter().filter(|row| row.standby.is_none()).map(|row| row.cloud).collect();
    let mut sections: Vec<Section> =
        clouds.into_iter().map(|cloud| of_cloud(shown, cloud, everything)).collect();
    sections.extend(standing_by(shown, everything));
    Report { title: format!("Preflight of {}{where_to}", shown.plan.name), sections, summary: summary(shown) }
}

fn summary(shown: &Shown<'_>) -> String {
    let result = match exit(&shown.rows) {
        Exit::Done => "nothing is in the way of the plan at this moment",
        Exit::Stale => "the plan is stale",
        Exit::Inconclusive => "not everything could be found out",
        _ => "the plan would be refused in part",
    };
    let [failed, unknown, warnings, ok] = [Verdict::Failed, Verdict::Unknown, Verdict::Warning, Verdict::Ok]
        .map(|verdict| shown.count(verdict));
    let s = if warnings == 1 { "" } else { "s" };
    format!(
        "Preflight: {result}: {failed} failed, {unknown} unknown, {warnings} warning{s}, {ok} ok; nothing was changed."
    )
}

/// What was found of one cloud, or of the plan itself.
fn of_cloud(shown: &Shown<'_>, cloud: Option<Cloud>, everything: bool) -> Section {
    let own = |row: &&Row<'_>| row.standby.is_none() && row.cloud == cloud;
    let rows: Vec<&Row<'_>> = shown.rows.iter().filter(own).collect();
    let mut folded = BTreeSet::new();
    let mut cells: Vec<Vec<Cell>> = Vec::new();
    for row in &rows {
        let fine = |other: &&&Row<'_>| other.about == row.about && other.verdict == Verdict::Ok;
        let (place, what) = match FOLDED.iter().find(|(about, _)| *about == row.about) {
            Some((about, what)) if !everything && row.verdict == Verdict::Ok => {
                if !folded.insert(about) {
                    continue;
                }
                let n = rows.iter().filter(fine).count();
                let what = if n == 1 { what.trim_end_matches('s') } else { what };
                (String::new(), Cell::plain(format!("{n} {what}")))
            }
            _ => (place(row), message(row)),
        };
        cells.push(vec![verdict(row.verdict), Cell::plain(row.about), Cell::plain(clean(&place)), what]);
    }
    let columns = vec![("result", false), ("about", false), ("where", false), ("what", false)];
    let heading = cloud.map_or("Plan".to_owned(), |cloud| cloud.to_string());
    Section { name: "cloud", heading, blocks: vec![Block::Table(Table { columns, rows: cells })] }
}

/// What is wrong with what may stand in; a line for each with which nothing is.
fn standing_by(shown: &Shown<'_>, everything: bool) -> Option<Section> {
    let mut by_standby: BTreeMap<(String, String), Vec<&Row<'_>>> = BTreeMap::new();
    for row in &shown.rows {
        if let Some(standby) = row.standby {
            let spot = if standby.spot { " on spot" } else { "" };
            let key = (standby.pool.to_string(), format!("{}{spot}", standby.by));
            by_standby.entry(key).or_default().push(row);
        }
    }
    let mut cells = Vec::new();
    for ((pool, by), rows) in by_standby {
        let name = || [Cell::plain(clean(&pool)), Cell::plain(clean(&by))];
        let line = |own: Cell, about: &str, what: Cell| {
            let [pool, by] = name();
            vec![own, pool, by, Cell::plain(about), what]
        };
        let told: Vec<&Row<'_>> =
            rows.into_iter().filter(|row| everything || row.verdict != Verdict::Ok).collect();
        if told.is_empty() {
            cells.push(line(verdict(Verdict::Ok), "", Cell::plain("nothing is in its way")));
        }
        cells.extend(told.into_iter().map(|row| line(verdict(row.verdict), row.about, message(row))));
    }
    if cells.is_empty() {
        return None;
    }
    let columns = vec![
        ("result", false),
        ("instead of", false),
        ("stands in", false),
        ("about", false),
        ("what", false),
    ];
    let heading = "If machines are refused".to_owned();
    Some(Section { name: "standby", heading, blocks: vec![Block::Table(Table { columns, rows: cells })] })
}

fn verdict(verdict: Verdict) -> Cell {
    let (word, tone) = match verdict {
        Verdict::Ok => ("ok", Tone::Good),
        Verdict::Warning => ("warning", Tone::Warn),
        Verdict::Unknown => ("UNKNOWN", Tone::Warn),
        Verdict::Failed => ("FAILED", Tone::Bad),
    };
    Cell::tone(word, tone)
}

/// The resource if it is one, else the region.
fn place(row: &Row<'_>) -> String {
    let address = row.address.as_ref().map(ToString::to_string);
    address.or_else(|| row.region.clone()).unwrap_or_default()
}

fn message(row: &Row<'_>) -> Cell {
    Cell::plain(clean(&row.message))
}

fn json(shown: &Shown<'_>) -> Value {
    let findings: Vec<Value> = shown
        .rows
        .iter()
        .map(|row| {
            json!({
                "cloud": row.cloud.map(Cloud::as_str),
                "stands_in": row.standby.map(|standby| json!({
                    "pool": standby.pool, "by": standby.by, "spot": standby.spot,
                })),
                "about": row.about,
                "verdict": row.verdict.as_str(),
                "address": row.address,
                "region": row.region,
                "message": row.message,
                "amount": row.amount.as_ref().map(|amount| json!({
                    "unit": amount.unit, "needed": amount.needed, "available": amount.available,
                })),
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "name": shown.plan.name,
        "plan": shown.digest,
        "file": shown.file,
        "simulated": shown.simulated,
        "passed": exit(&shown.rows) == Exit::Done,
        "findings": findings,
    })
}
