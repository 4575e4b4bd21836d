//! What the team holds, and what of it is used.

use serde_json::{Value, json};

use super::json::usd;
use super::{Block, Cell, Section, Table, Tone, savings};
use crate::placement::HeldUse;
use crate::plan::Plan;
use crate::spec::HELD;

/// Hours of the planned month.
const MONTH: u32 = rhumb_api::HOURS_PER_MONTH as u32;

fn row(held: &HeldUse) -> Vec<Cell> {
    let unused = held.count.saturating_sub(held.used);
    let tone = if unused > 0 { Tone::Warn } else { Tone::Plain };
    let each = held.cost.map_or_else(|| "unknown".to_owned(), |cost| format!("{:.2}", cost.usd()));
    let sunk = held.sunk_per_month().map_or_else(|| "unknown".to_owned(), |m| m.to_string());
    vec![
        Cell::plain(&held.name),
        Cell::plain(format!(
            "{} {} in {}/{}",
            held.kind.as_str(),
            held.instance_type,
            held.cloud,
            held.region
        )),
        Cell::plain(held.count.to_string()),
        Cell::plain(held.used.to_string()),
        Cell::tone(unused.to_string(), tone),
        Cell::plain(&held.until),
        Cell::plain(each),
        Cell::plain(sunk),
    ]
}

/// What has to be said of a commitment besides its row.
fn remarks(held: &HeldUse) -> Vec<String> {
    let name = &held.name;
    let mut said = Vec::new();
    if held.hours == 0 {
        said.push(format!("{name} is over: it ended on {}, and nothing of it is used.", held.until));
    } else if !held.usable {
        said.push(format!(
            "{name} ends {} h into the planned month, and what its machines cost afterwards is not known: it is not used.",
            held.hours
        ));
    } else if held.hours < MONTH {
        let rises = held.rises_per_month.filter(|_| held.used > 0).map_or_else(String::new, |more| {
            format!(" On demand all month, the {} in use would cost {more} USD more than planned.", held.used)
        });
        said.push(format!(
            "{name} ends {} h into the planned month: its machines are counted as on demand for the other {} h.{rises}",
            held.hours,
            MONTH - held.hours
        ));
    } else if held.used > 0 {
        let more = held.rises_per_month.map_or_else(
            || "what they cost afterwards is not known".to_owned(),
            |more| format!("on demand what is used costs {more} USD a month"),
        );
        said.push(format!("{name} ends on {}: {more}.", held.until));
    }
    if held.usable && held.count > 0 && held.used == held.count {
        said.push(format!(
            "All of {name} is in use: `rhumb what-if quota:{}/{}/{HELD}{}=+1` says what one more is worth.",
            held.cloud, held.region, held.instance_type
        ));
    }
    said
}

pub(super) fn held(plan: &Plan) -> Option<Section> {
    let (all, plans) = (&plan.placement.held, &plan.placement.savings);
    let table = Table {
        columns: vec![
            ("commitment", false),
            ("what", false),
            ("held", true),
            ("used", true),
            ("unused", true),
            ("until", false),
            ("USD/h each", true),
            ("USD/month", true),
        ],
        rows: all.iter().map(row).collect(),
    };
    let said = all.iter().flat_map(remarks).chain(plans.iter().flat_map(savings::remarks));
    let mut lines: Vec<Cell> = said.map(Cell::plain).collect();
    let words = "What is held is paid, used or not: it is in no total above, and no budget counts it. A run counts what it uses of it at every hour.";
    lines.push(Cell::tone(words, Tone::Dim));
    if !plans.is_empty() {
        let words = "A savings plan covers whole machines here. The cloud covers parts as well, and whatever else runs: what \
                     that makes the bill is less, never more.";
        lines.push(Cell::tone(words, Tone::Dim));
    }
    let machines = (!all.is_empty()).then_some(Block::Table(table));
    let plans = (!plans.is_empty()).then(|| Block::Table(savings::table(plans)));
    let blocks: Vec<Block> = machines.into_iter().chain(plans).chain([Block::Lines(lines)]).collect();
    let heading = "Held capacity".to_owned();
    (!plan.placement.held.is_empty() || !plan.placement.savings.is_empty()).then_some(Section {
        name: "held",
        heading,
        blocks,
    })
}

pub(super) fn json(plan: &Plan) -> Value {
    let of = |h: &HeldUse| {
        json!({
            "name": h.name,
            "kind": h.kind.as_str(),
            "cloud": h.cloud,
            "region": h.region,
            "instance_type": h.instance_type,
            "count": h.count,
            "used": h.used,
            "unused": h.count.saturating_sub(h.used),
            "until": h.until,
            "hours_of_month": h.hours,
            "usable": h.usable,
            "cost_usd_per_hour": h.cost.map(usd),
            "sunk_usd_per_month": h.sunk_per_month().map(usd),
            "rises_usd_per_month": h.rises_per_month.map(usd),
            "id": h.id,
        })
    };
    plan.placement.held.iter().map(of).collect()
}
