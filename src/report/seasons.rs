//! The coming year by its seasons.

use serde_json::{Map, Value, json};

use super::json::usd;
use super::{Block, Cell, Section, Table, Tone};
use crate::placement::Stop;
use crate::plan::{BudgetLine, Outlook, Period, Plan, Year};
use crate::spec::season::{SpanPeak, USUAL};

/// What a period costs, or why that is not known.
fn cost(outlook: &Outlook, at_least: &str) -> [Cell; 3] {
    let nothing = || Cell::plain("");
    match (&outlook.cost, outlook.ended) {
        (Some(cost), _) => [
            Cell::plain(cost.machines.to_string()),
            Cell::plain(format!("{at_least}{}", cost.expected)),
            match outlook.proven {
                true => nothing(),
                false => Cell::plain("not proven the cheapest"),
            },
        ],
        (None, Some(by)) => [nothing(), Cell::plain("not known"), Cell::tone(ended(by), Tone::Warn)],
        (None, None) => [
            nothing(),
            Cell::plain("none"),
            match outlook.proven {
                true => Cell::tone("cannot be placed", Tone::Bad),
                false => Cell::tone("was not placed; that nothing does was not proven", Tone::Bad),
            },
        ],
    }
}

fn ended(by: Stop) -> &'static str {
    match by {
        Stop::TimeLimit => "the time limit ended the search before",
        Stop::ByHand => "the search was ended by hand before",
    }
}

fn budget((line, year): (&BudgetLine, &crate::plan::YearBudget)) -> Option<Cell> {
    let label = line.label.as_ref().map(|(key, value)| format!("{key}={value}"));
    let of = line.workload.clone().or(label).map_or_else(String::new, |of| format!(" of {of}"));
    let text = format!("Budget{of} over these days: {} USD", year.limit);
    let figure = year.figure?;
    Some(if figure > year.limit {
        Cell::tone(
            format!(
                "{text}; the {} cost exceeds it by {}.",
                line.binds.replace('_', " "),
                figure - year.limit
            ),
            Tone::Bad,
        )
    } else {
        Cell::plain(format!(
            "{text}; the {} cost leaves {} of it.",
            line.binds.replace('_', " "),
            year.limit - figure
        ))
    })
}

/// Each season that is prepared for with its lead, in words.
fn leads(year: &Year) -> Option<String> {
    let more = |before: Option<&Period>, (address, peak): (&String, &SpanPeak)| {
        let than = before.and_then(|p| p.peaks.get(address)).map_or(USUAL, |peak| peak.times);
        (peak.lead > 0 && peak.times > than)
            .then_some(peak.season.as_deref())
            .flatten()
            .map(|s| (s.to_owned(), peak.lead))
    };
    let before = std::iter::once(None).chain(year.periods.iter().map(Some));
    let all: std::collections::BTreeSet<(String, u32)> = before
        .zip(&year.periods)
        .flat_map(|(before, p)| p.peaks.iter().filter_map(move |of| more(before, of)))
        .collect();
    let words: Vec<String> = all
        .iter()
        .map(|(name, days)| format!("{name} {days} {}", if *days == 1 { "day" } else { "days" }))
        .collect();
    (!words.is_empty()).then(|| {
        format!(
            "Plans are for a season with more traffic before its first day already (`lead`): {}.",
            words.join(", ")
        )
    })
}

pub(super) fn seasons(plan: &Plan) -> Option<Section> {
    let year = plan.year.as_ref()?;
    let at_least = super::cost::totals(plan).at_least;
    let row = |(i, period): (usize, &Period)| {
        let [machines, money, note] = cost(&period.outlook, at_least);
        let note = if i == 0 { Cell::plain("this plan") } else { note };
        vec![
            Cell::plain(&period.from),
            Cell::plain(&period.to),
            Cell::plain(period.name()),
            machines,
            money,
            note,
        ]
    };
    let table = Table {
        columns: vec![
            ("from", false),
            ("to", false),
            ("peak", false),
            ("machines", true),
            ("USD/month", true),
            ("", false),
        ],
        rows: year.periods.iter().enumerate().map(row).collect(),
    };
    let holds = match (year.periods.first(), year.expires()) {
        (Some(own), Some(next)) => {
            format!("This plan holds to {}; from {next} on it has expired: plan again by then.", own.to)
        }
        _ => "No other season begins within a year: this plan does not expire.".to_owned(),
    };
    let sum = match year.expected {
        Some(expected) => Cell::plain(format!(
            "The {} days cost {at_least}{expected} USD, at the prices of today.",
            year.days
        )),
        None => Cell::tone(
            format!("What the {} days cost is not known: not all of them could be placed.", year.days),
            Tone::Warn,
        ),
    };
    let mut lines = vec![Cell::plain(holds), sum];
    lines.extend(plan.budgets.iter().zip(&year.budgets).filter_map(budget));
    lines.extend(leads(year).map(|text| Cell::tone(text, Tone::Dim)));
    Some(Section {
        name: "seasons",
        heading: "Seasons of the coming year".to_owned(),
        blocks: vec![Block::Table(table), Block::Lines(lines)],
    })
}

fn period(p: &Period) -> Value {
    let peaks: Map<String, Value> = p
        .peaks
        .iter()
        .map(|(address, peak)| {
            let times = f64::from(peak.times) / f64::from(USUAL);
            (address.clone(), json!({ "season": peak.season, "times": times, "lead_days": peak.lead }))
        })
        .collect();
    let o = &p.outlook;
    json!({
        "from": p.from,
        "to": p.to,
        "days": p.days,
        "peaks": peaks,
        "cost": o.cost.as_ref().map(|cost| json!({
            "expected_usd_per_month": usd(cost.expected),
            "peak_usd_per_month": usd(cost.peak),
            "ceiling_usd_per_month": usd(cost.ceiling),
            "machines": cost.machines,
        })),
        "refused": o.refused,
        "would_do": o.would_do,
        "proven": o.proven,
        "ended": o.ended.map(Stop::as_str),
        "warnings": o.warnings,
    })
}

pub(super) fn json(plan: &Plan) -> Value {
    let Some(year) = &plan.year else { return Value::Null };
    let budgets = plan.budgets.iter().zip(&year.budgets).map(|(line, of)| {
        json!({
            "workload": line.workload,
            "label": super::json::label(line.label.as_ref()),
            "limit_usd": usd(of.limit),
            "binds": line.binds,
            "figure_usd": of.figure.map(usd),
        })
    });
    json!({
        "days": year.days,
        "expires": year.expires(),
        "periods": year.periods.iter().map(period).collect::<Vec<_>>(),
        "expected_usd": year.expected.map(usd),
        "budgets": budgets.collect::<Vec<_>>(),
    })
}
