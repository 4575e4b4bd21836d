//! Savings plans, and what of them is used.

use rhumb_api::Money;
use serde_json::{Value, json};

use super::json::usd;
use super::{Cell, Table, Tone};
use crate::placement::SavingsUse;
use crate::plan::Plan;
use crate::spec::{EVERYWHERE, HELD};

/// Hours of the planned month.
const MONTH: u32 = rhumb_api::HOURS_PER_MONTH as u32;

fn dollars(of: Money) -> String {
    format!("{:.2}", of.usd())
}

fn row(of: &SavingsUse) -> Vec<Cell> {
    let tone = if of.unused() > Money::ZERO { Tone::Warn } else { Tone::Plain };
    vec![
        Cell::plain(&of.name),
        Cell::plain(format!("savings plan of {}", of.cloud)),
        Cell::plain(of.machines().to_string()),
        Cell::plain(dollars(of.spend)),
        Cell::plain(dollars(of.used())),
        Cell::plain(dollars(of.mean)),
        Cell::tone(dollars(of.unused()), tone),
        Cell::plain(&of.until),
        Cell::plain(of.sunk_per_month().to_string()),
    ]
}

pub(super) fn table(all: &[SavingsUse]) -> Table {
    Table {
        columns: vec![
            ("commitment", false),
            ("what", false),
            ("covers", true),
            ("USD/h", true),
            ("used", true),
            ("on the mean", true),
            ("unused", true),
            ("until", false),
            ("USD/month", true),
        ],
        rows: all.iter().map(row).collect(),
    }
}

/// What has to be said of a plan besides its row.
pub(super) fn remarks(of: &SavingsUse) -> Vec<String> {
    let name = &of.name;
    let mut said = Vec::new();
    if of.hours == 0 {
        return vec![format!("{name} is over: it ended on {}, and covers nothing.", of.until)];
    }
    for covered in &of.covered {
        said.push(format!(
            "{name} covers {} x {} in {}/{}, of which each takes {} USD/h of it.",
            covered.machines,
            covered.instance_type,
            of.cloud,
            covered.region,
            dollars(covered.rate)
        ));
    }
    let used = !of.covered.is_empty();
    if of.hours < MONTH {
        let rises = if used {
            format!(
                " On demand all month, what it covers would cost {} USD more than planned.",
                of.rises_per_month
            )
        } else {
            String::new()
        };
        said.push(format!(
            "{name} ends {} h into the planned month: what it covers is counted as on demand for the other {} h.{rises}",
            of.hours,
            MONTH - of.hours
        ));
    } else if used {
        said.push(format!(
            "{name} ends on {}: on demand what it covers costs {} USD a month.",
            of.until, of.rises_per_month
        ));
    }
    if of.unused() > Money::ZERO {
        said.push(format!(
            "{name} leaves {} USD of each hour unused: {} USD of the {} h in which it is there.",
            dollars(of.unused()),
            of.unused().times(i64::from(of.hours)),
            of.hours
        ));
    }
    if used {
        said.push(format!(
            "`rhumb what-if quota:{}/{EVERYWHERE}/{HELD}{name}=+1` says what 1 USD/h more of it would save; it would cost {MONTH} USD a month.",
            of.cloud
        ));
    }
    said
}

pub(super) fn json(plan: &Plan) -> Value {
    let covered = |of: &SavingsUse| -> Vec<Value> {
        let one = |c: &crate::placement::Covered| {
            json!({
                "region": c.region,
                "instance_type": c.instance_type,
                "machines": c.machines,
                "rate_usd_per_hour": usd(c.rate),
            })
        };
        of.covered.iter().map(one).collect()
    };
    let of = |s: &SavingsUse| {
        json!({
            "name": s.name,
            "cloud": s.cloud,
            "spend_usd_per_hour": usd(s.spend),
            "used_usd_per_hour": usd(s.used()),
            "mean_usd_per_hour": usd(s.mean),
            "unused_usd_per_hour": usd(s.unused()),
            "covered": covered(s),
            "until": s.until,
            "hours_of_month": s.hours,
            "sunk_usd_per_month": usd(s.sunk_per_month()),
            "rises_usd_per_month": usd(s.rises_per_month),
            "id": s.id,
        })
    };
    plan.placement.savings.iter().map(of).collect()
}
