//! What workloads share, how it was divided, and what more of it would be worth.

use super::{Block, Cell, Section, Table, Tone, carbon, number};
use crate::placement::{Coupling, SharedLimit};
use crate::plan::Plan;
use crate::spec::{EVERYWHERE, HELD};
use rhumb_api::{HOURS_PER_MONTH, Money};

fn name(limit: &SharedLimit) -> String {
    if limit.constraint == "carbon" {
        return "carbon of all workloads".to_owned();
    }
    match (&limit.workload, limit.cloud, &limit.region, &limit.code) {
        (None, Some(cloud), Some(region), Some(code)) => match code.strip_prefix(HELD) {
            Some(plan) if region == EVERYWHERE => format!("savings plan {plan} of {cloud}"),
            Some(kind) => format!("{kind} held in {cloud}/{region}"),
            None => format!("quota {code} in {cloud}/{region}"),
        },
        (workload, ..) => {
            let label = limit.label.as_ref().map(|(key, value)| format!("{key}={value}"));
            format!("budget of {}", workload.clone().or(label).unwrap_or_else(|| "all workloads".to_owned()))
        }
    }
}

fn is_savings(limit: &SharedLimit) -> bool {
    let code = limit.code.as_deref().unwrap_or_default();
    limit.constraint == "quota" && code.starts_with(HELD) && limit.region.as_deref() == Some(EVERYWHERE)
}

fn full(limit: &SharedLimit) -> bool {
    limit.taken >= limit.limit * (1.0 - 1e-9)
}

fn row(limit: &SharedLimit) -> Vec<Cell> {
    let unit = match limit.constraint {
        "budget" => " USD/month",
        "carbon" => " kg/month",
        _ if is_savings(limit) => " USD/h",
        _ => "",
    };
    let tone = if full(limit) { Tone::Warn } else { Tone::Plain };
    let used = Cell::tone(format!("{}{unit}", number(limit.taken)), tone);
    let worth = if limit.worth <= Money::ZERO {
        "nothing".to_owned()
    } else if limit.constraint == "budget" {
        format!("{} USD for a dollar", limit.worth)
    } else if limit.constraint == "carbon" {
        format!("about {} USD for a tonne", limit.worth.times(1000))
    } else if is_savings(limit) {
        format!("about {} USD/month for 1 USD/h, which is {HOURS_PER_MONTH}", limit.worth)
    } else {
        format!("about {} USD/month each", limit.worth)
    };
    vec![
        Cell::plain(name(limit)),
        used,
        Cell::plain(format!("{}{unit}", number(limit.limit))),
        Cell::plain(worth),
    ]
}

/// How far the proof got, in words.
pub(super) fn proof(c: &Coupling, keeps: bool) -> String {
    if carbon::only(c) {
        return least_carbon(c);
    }
    let more = c.optimum - c.apart;
    let stopped = c.stopped.map_or_else(String::new, |by| {
        format!(" The search was stopped {}: another run may give another plan.", by.words())
    });
    let proven = if c.lower_bound >= c.optimum {
        let within = if c.limits.is_empty() { "" } else { " within the shared limits" };
        format!("proven cheapest{within}")
    } else {
        let gap = (c.optimum - c.lower_bound).usd() / c.optimum.usd().max(1e-9) * 100.0;
        let gap = if gap < 0.001 { "less than 0.001".to_owned() } else { format!("at most {gap:.3}") };
        format!("{gap} % above the cheapest (nothing costs less than {} USD)", c.lower_bound)
    };
    let against = match super::fleets::saved(c, keeps) {
        _ if c.carbon_price > 0 => {
            format!("the separate optima of the bills alone come to {} USD/month so", c.apart)
        }
        Some(words) => words,
        None if keeps => format!("what is cheapest by itself would count for {} USD/month", c.apart),
        None if c.limits.is_empty() => "shared machines would save nothing".to_owned(),
        None => format!("the limits cost {more} USD/month over the separate optima"),
    };
    let mut counted = match c.carbon_price {
        0 => String::new(),
        _ => format!(", a tonne of CO2e at {} USD among them", carbon::per_tonne(c)),
    };
    if keeps {
        counted += ", machines that do not run yet counted as dearer";
    }
    format!(
        "All workloads together {} USD/month{counted}: {proven}; {against}. {} plans compared, {} nodes.{stopped}",
        c.optimum, c.plans, c.nodes
    )
}

/// The same where emissions were minimised, and dollars among equals.
fn least_carbon(c: &Coupling) -> String {
    let stopped = c.stopped.map_or_else(String::new, |by| format!(" The search was stopped {}.", by.words()));
    let within = if c.limits.is_empty() { "" } else { " within the shared limits" };
    let proven = if c.lower_bound >= c.optimum {
        format!("Proven to emit the least{within}")
    } else {
        let gap = (c.optimum - c.lower_bound).usd() / c.optimum.usd().max(1e-9) * 100.0;
        let gap = if gap < 0.001 { "less than 0.001".to_owned() } else { format!("at most {gap:.3}") };
        format!("{gap} % above the least that can be emitted{within}")
    };
    let less = match (c.apart - c.optimum).usd() / c.apart.usd().max(1e-9) * 100.0 {
        less if less > 0.05 => format!(", {less:.1} % less than the cheapest"),
        _ => String::new(),
    };
    format!(
        "{proven}{less}, a gram counted as 100 USD: where saving one costs more, cost decides. {} plans compared, {} nodes.{stopped}",
        c.plans, c.nodes
    )
}

pub(super) fn shared(plan: &Plan) -> Option<Section> {
    let c = plan.placement.coupling.as_ref()?;
    // Of the division that was chosen it is proven; of all of them no more than is said of them.
    let of_all = plan.placement.divided.as_ref().map(|d| d.lower_bound.min(c.lower_bound));
    let c = &Coupling { lower_bound: of_all.unwrap_or(c.lower_bound), ..c.clone() };
    let table = Table {
        columns: vec![("limit", false), ("taken", true), ("of", true), ("more is worth", false)],
        rows: c.limits.iter().map(row).collect(),
    };
    let mut lines = vec![Cell::plain(proof(c, plan.placement.kept.is_some()))];
    if c.limits.iter().any(|l| !full(l) && l.worth > Money::ZERO) {
        let words = "What more of a limit is worth is that of mixed plans. Where some of it is left, it lets in nothing before a whole \
                     machine fits.";
        lines.push(Cell::tone(words, Tone::Dim));
    }
    let federated = plan.placement.workloads.values().any(|w| {
        w.run.as_ref().is_some_and(|run| run.federation.as_ref().is_some_and(|f| f.clients.len() > 1))
    });
    if federated && c.limits.iter().any(|l| l.worth > Money::ZERO) {
        let words = "A round lasts as long as its slowest client: where several sites are as slow, more of what one of them lacks is worth \
                     nothing before all of them have it.";
        lines.push(Cell::tone(words, Tone::Dim));
    }
    let lines = Block::Lines(lines);
    // Machines alone may be shared, and no limit.
    let (heading, blocks) = if c.limits.is_empty() {
        ("Placed together", vec![lines])
    } else {
        ("Shared limits", vec![Block::Table(table), lines])
    };
    Some(Section { name: "shared", heading: heading.to_owned(), blocks })
}
