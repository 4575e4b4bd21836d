//! Services that may be served in parts: how they are, what the gateway does, and what other divisions would cost.

use rhumb_api::Money;
use serde_json::{Value, json};

use super::json::usd;
use super::{Block, Cell, Section, Table, Tone};
use crate::placement::{DividedService, DivisionOption, Placement, ServicePart};
use crate::plan::Plan;
use crate::spec::By;
use crate::spec::divide::percent as of_the_peak;

/// `at 2048 and 8192 tokens`, `at 30 % of the peak`.
fn at(by: By, division: &[u32]) -> String {
    let (unit, mark): (_, fn(&u32) -> String) = match by {
        By::Prompts => ("tokens", u32::to_string),
        By::Load => ("% of the peak", |mark| of_the_peak(*mark)),
    };
    match division {
        [] => "undivided".to_owned(),
        [one] => format!("at {} {unit}", mark(one)),
        [all @ .., last] => {
            let all: Vec<String> = all.iter().map(mark).collect();
            format!("at {} and {} {unit}", all.join(", "), mark(last))
        }
    }
}

/// `57.3 %`.
fn percent(share: f64) -> String {
    format!("{} %", crate::math::round_to(share * 100.0, 2))
}

/// What the parts of a service cost a month, all together.
fn cost(placement: &Placement, of: &DividedService) -> Money {
    let placed = of.parts.iter().filter_map(|p| placement.workloads.get(&p.address));
    placed.map(|w| w.cost.expected_per_month).sum()
}

fn rows(placement: &Placement, address: &str, of: &DividedService) -> Vec<Vec<Cell>> {
    let row = |part: &ServicePart| {
        let placed = placement.workloads.get(&part.address);
        let month = placed.map_or_else(String::new, |w| w.cost.expected_per_month.to_string());
        vec![
            Cell::plain(address),
            Cell::plain(match part.hours.as_slice() {
                [] => part.slice(of.by).to_string(),
                hours => format!("{}: {}", part.slice(of.by), hours.join(", ")),
            }),
            Cell::plain(percent(part.share)),
            Cell::plain(&part.address),
            Cell::plain(month),
        ]
    };
    of.parts.iter().map(row).collect()
}

/// What other divisions would cost.
fn others(placement: &Placement, address: &str, of: &DividedService) -> String {
    let coupled = placement.coupling.is_some();
    let other = |o: &&DivisionOption| o.at != of.at;
    let told = of.options.iter().filter(other).map(|o| match o.sum() {
        Some(sum) if coupled => format!("{} at least {sum} USD/month by itself", at(of.by, &o.at)),
        Some(sum) => format!("{} {sum}", at(of.by, &o.at)),
        None => format!("{} nothing keeps the promises", at(of.by, &o.at)),
    });
    let told: Vec<String> = told.collect();
    let own =
        if of.at.is_empty() { "not divided".to_owned() } else { format!("divided {}", at(of.by, &of.at)) };
    let rest = if told.is_empty() { String::new() } else { format!("; {}", told.join(", ")) };
    let cost = cost(placement, of);
    let whole = of.options.iter().find(|o| o.at.is_empty() && !of.at.is_empty() && !coupled);
    let less =
        whole.and_then(DivisionOption::sum).map(|whole| format!(", {} less than undivided", whole - cost));
    format!("{address}: {own}, {cost} USD/month{}{rest}.", less.unwrap_or_default())
}

pub(super) fn divided(plan: &Plan) -> Option<Section> {
    let divided = plan.placement.divided.as_ref()?;
    let services = || divided.services.iter();
    let table = Table {
        columns: vec![
            ("service", false),
            ("requests", false),
            ("of the requests", true),
            ("are served by", false),
            ("USD/month", true),
        ],
        rows: services().flat_map(|(address, of)| rows(&plan.placement, address, of)).collect(),
    };
    let mut lines: Vec<Cell> =
        services().map(|(address, of)| Cell::plain(others(&plan.placement, address, of))).collect();
    let divides = |by: By| services().any(|(_, of)| of.by == by && !of.at.is_empty());
    if divides(By::Load) {
        lines.push(Cell::plain(
            "When the hours of one part end and those of another begin, the gateway changes where it sends requests; nothing here does \
             that. Machines are started in time, and those of both parts are paid until then.",
        ));
        let lower =
            services().filter(|(_, of)| of.by == By::Load).filter_map(|(_, of)| of.parts.split_last());
        let mut lower = lower.flat_map(|(_, lower)| lower);
        let nothing = lower.all(|part| {
            let cost = plan.placement.workloads.get(&part.address).map(|w| &w.cost);
            cost.is_none_or(|c| c.ceiling_per_month == Money::ZERO)
        });
        lines.push(Cell::plain(if nothing {
            "A month that is all peak, and the ceiling, have no lower hours."
        } else {
            "The ceiling counts each part at its largest, all month: it may have spot machines, or some besides."
        }));
    }
    if divides(By::Prompts) {
        lines.push(Cell::plain(
            "The gateway counts the tokens of a prompt with the model's tokenizer, before it chooses, and sends the request where the \
             table says; nothing here does that. Each part keeps all objectives by itself, and has what may fail by itself.",
        ));
    }
    let cost = plan.placement.coupling.as_ref().map_or_else(
        || plan.placement.workloads.values().map(|w| w.cost.expected_per_month).sum(),
        |c| c.optimum,
    );
    let proof = if divided.lower_bound >= cost {
        "No other division costs less.".to_owned()
    } else {
        format!("No placement of any division costs less than {} USD/month.", divided.lower_bound)
    };
    let tried = match divided.dearer.len() {
        0 => String::new(),
        1 => " One other was placed within what is shared, and is dearer or does not go.".to_owned(),
        n => format!(" {n} others were placed within what is shared, and are dearer or do not go."),
    };
    let left = if divided.gave_up {
        " That was enough of them: others may cost less, as far as the bound goes."
    } else {
        ""
    };
    lines.push(Cell::tone(format!("{proof}{tried}{left}"), Tone::Dim));
    let blocks = vec![Block::Table(table), Block::Lines(lines)];
    Some(Section { name: "divided", heading: "Parts of services".to_owned(), blocks })
}

pub(super) fn json(plan: &Plan) -> Value {
    let Some(divided) = &plan.placement.divided else { return Value::Null };
    let service = |(address, of): (&String, &DividedService)| {
        let part = |p: &ServicePart| {
            let (above, to) = match of.by {
                By::Prompts => ("prompt_tokens_above", "prompt_tokens_to"),
                By::Load => ("peak_ppm_above", "peak_ppm_to"),
            };
            let mut part = json!({ "workload": p.address, above: p.above, to: p.to, "share": p.share });
            if of.by == By::Load {
                part["hours"] = json!(p.hours);
            }
            part
        };
        let option = |o: &DivisionOption| json!({ "at": o.at, "least_usd_per_month": o.sum().map(usd) });
        json!({
            "service": address,
            "by": match of.by {
                By::Prompts => "prompts",
                By::Load => "load",
            },
            "at": of.at,
            "parts": of.parts.iter().map(part).collect::<Vec<_>>(),
            "options": of.options.iter().map(option).collect::<Vec<_>>(),
        })
    };
    json!({
        "services": divided.services.iter().map(service).collect::<Vec<_>>(),
        "lower_bound_usd_per_month": usd(divided.lower_bound),
        "gave_up": divided.gave_up,
        "dearer": divided.dearer.iter().map(|d| json!({
            "at": d.at,
            "lower_bound_usd_per_month": d.lower_bound.map(usd),
        })).collect::<Vec<_>>(),
    })
}
