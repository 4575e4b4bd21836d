//! Worlds side by side, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::Money;
use serde_json::{Map, Value, json};

use super::World;
use crate::diagnostic::SourceMap;
use crate::explore::{self, Aspect, Choice, choice, compare};
use crate::placement::{ObjectiveCheck, WorkloadPlacement};
use crate::plan::Plan;
use crate::report::{self, Block, Cell, Report, Section, Table, Tone, machines, ms, precision, quantile};

/// What the present world is called.
const PRESENT: &str = "present";

impl World {
    fn name(&self) -> &str {
        self.change.as_deref().unwrap_or(PRESENT)
    }

    fn plan(&self) -> Option<&Plan> {
        self.outcome.as_deref().ok()
    }

    fn cost(&self) -> Option<Money> {
        self.plan().map(|p| explore::cost(&p.placement))
    }
}

/// What differs between the plans of two worlds, by workload; only workloads of which something does.
fn differences(now: &Plan, then: &Plan) -> Vec<(String, BTreeSet<Aspect>)> {
    let [now, then] = [now, then].map(|plan| explore::choices(&plan.placement));
    let addresses: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    let of = |all: &BTreeMap<String, Vec<Choice>>, a: &String| all.get(a).cloned().unwrap_or_default();
    addresses
        .into_iter()
        .map(|a| (a.clone(), compare(&of(&now, a), &of(&then, a))))
        .filter(|(_, aspects)| !aspects.is_empty())
        .collect()
}

/// `region, sites (without far), count`.
fn words(aspects: &BTreeSet<Aspect>, [now, then]: [Option<&WorkloadPlacement>; 2]) -> String {
    let of = |placed: Option<&WorkloadPlacement>| placed.map(choice).unwrap_or_default();
    let lost = explore::sites_lost(&of(now), &of(then));
    let word = |a: &Aspect| match (a, &lost) {
        (Aspect::Sites, Some(lost)) => format!("{} (without {lost})", a.as_str()),
        _ => a.as_str().to_owned(),
    };
    aspects.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// `+2,086.32 (+10.0 %)`.
fn change(now: Money, then: Money) -> String {
    let by = then - now;
    let sign = if by >= Money::ZERO { "+" } else { "" };
    if now == Money::ZERO {
        return format!("{sign}{by}");
    }
    let percent = (then.usd() / now.usd() - 1.0) * 100.0;
    format!("{sign}{by} ({percent:+.1} %)")
}

fn worlds(all: &[World]) -> Table {
    let columns =
        vec![("world", false), ("USD/month", true), ("against present", true), ("what differs", false)];
    let present = all.first();
    let rows = all.iter().map(|w| {
        let now = present.filter(|_| w.change.is_some());
        let cost = w.cost().map_or_else(|| Cell::tone("refused", Tone::Bad), |c| Cell::plain(c.to_string()));
        let against = match (now.and_then(World::cost), w.cost()) {
            (Some(now), Some(then)) => Cell::tone(
                change(now, then),
                match then.cmp(&now) {
                    std::cmp::Ordering::Less => Tone::Good,
                    std::cmp::Ordering::Equal => Tone::Dim,
                    std::cmp::Ordering::Greater => Tone::Warn,
                },
            ),
            _ => Cell::plain(""),
        };
        let differs = match (now.and_then(World::plan), &w.outcome) {
            (_, Err(why)) => explore::refusal(why),
            (None, Ok(_)) => String::new(),
            (Some(now), Ok(then)) => {
                let found = differences(now, then);
                let of = |address: &str| [now, then].map(|p| p.placement.workloads.get(address));
                let told: Vec<String> =
                    found.iter().map(|(a, d)| format!("{a}: {}", words(d, of(a)))).collect();
                match (told.is_empty(), explore::cost(&now.placement) == explore::cost(&then.placement)) {
                    (false, _) => told.join("; "),
                    (true, true) => "nothing".into(),
                    (true, false) => "the same choice at another price".into(),
                }
            }
        };
        vec![Cell::plain(w.name()), cost, against, Cell::plain(differs)]
    });
    Table { rows: rows.collect(), columns }
}

/// The workloads of a world that are placed in another way than at present; all of the present one.
fn shown<'w>(all: &'w [World], w: &'w World) -> Vec<(&'w String, &'w WorkloadPlacement)> {
    let Some(plan) = w.plan() else { return Vec::new() };
    let now = all.first().and_then(World::plan).filter(|_| w.change.is_some());
    let differ: Option<BTreeSet<String>> =
        now.map(|n| differences(n, plan).into_iter().map(|d| d.0).collect());
    plan.placement
        .workloads
        .iter()
        .filter(|(a, _)| differ.as_ref().is_none_or(|d| d.contains(plan.placement.whole_of(a))))
        .collect()
}

fn choices(all: &[World]) -> Table {
    let columns = vec![
        ("world", false),
        ("workload", false),
        ("region", false),
        ("machines", false),
        ("runs as", false),
        ("load", true),
    ];
    let mut rows = Vec::new();
    for w in all {
        let fleets = w.plan().map_or(&[][..], |p| &p.placement.fleets);
        for (address, placed) in shown(all, w) {
            for pool in &placed.pools {
                let load = match placed.run.as_ref().filter(|_| !placed.stays()) {
                    None if pool.stands_in.is_some() => "in a failure".to_owned(),
                    None => {
                        format!("{} of {}/s", report::number(pool.peak_rate), report::number(pool.capacity))
                    }
                    Some(r) => {
                        format!("{} of {} h", report::number(r.hours), report::number(r.deadline_hours))
                    }
                };
                let s = if pool.replicas == 1 { "" } else { "s" };
                let model = pool.stands_in.as_ref().map_or(String::new(), |s| format!("{}: ", s.model));
                let runs = format!("{model}{} replica{s}, {}", pool.replicas, precision(pool));
                rows.push(vec![
                    Cell::plain(w.name()),
                    Cell::plain(address),
                    Cell::plain(format!("{}/{}", pool.cloud, pool.region)),
                    Cell::plain(machines(pool, fleets)),
                    Cell::plain(runs),
                    Cell::plain(load),
                ]);
            }
        }
    }
    Table { columns, rows }
}

/// An objective as it is shown: limit, prediction and planned figure.
fn figures(o: &ObjectiveCheck) -> [String; 3] {
    [ms(o.limit_ms), ms(o.predicted_ms), ms(o.at_confidence_ms)]
}

fn objectives(all: &[World]) -> Table {
    let columns = vec![
        ("world", false),
        ("workload", false),
        ("origin", false),
        ("objective", false),
        ("limit", true),
        ("predicted", true),
        ("planned for", true),
        ("class", false),
    ];
    let present = all.first().and_then(World::plan);
    let mut rows = Vec::new();
    for w in all {
        let Some(plan) = w.plan() else { continue };
        for (address, placed) in &plan.placement.workloads {
            for o in &placed.objectives {
                let before = present
                    .filter(|_| w.change.is_some())
                    .and_then(|p| p.placement.workloads.get(address))
                    .and_then(|p| {
                        let same = |b: &&ObjectiveCheck| {
                            (&b.origin, b.metric, b.quantile) == (&o.origin, o.metric, o.quantile)
                        };
                        p.objectives.iter().find(same)
                    });
                let figures = figures(o);
                if before.is_some_and(|b| self::figures(b) == figures) {
                    continue;
                }
                let mut row = vec![
                    Cell::plain(w.name()),
                    Cell::plain(address),
                    Cell::plain(&o.origin),
                    Cell::plain(format!("{} {}", o.metric.as_str(), quantile(o.quantile))),
                ];
                row.extend(figures.map(Cell::plain));
                row.push(Cell::plain(o.evidence.as_str()));
                rows.push(row);
            }
        }
    }
    Table { columns, rows }
}

/// The report for people.
pub(super) fn report(name: &str, all: &[World], map: &SourceMap) -> Report {
    let table = |name, heading: &str, table: Table, note: Option<&str>| {
        let mut blocks = vec![Block::Table(table)];
        blocks.extend(note.map(|n| Block::Lines(vec![Cell::tone(n, Tone::Dim)])));
        Section { name, heading: heading.to_owned(), blocks }
    };
    let incomplete =
        all.iter().filter_map(World::plan).any(|p| p.placement.workloads.values().any(|w| w.cost.incomplete));
    let least = incomplete.then_some("Amounts are at least that much: not every resource is priced.");
    let mut sections = vec![table("worlds", "Worlds", worlds(all), least)];
    let choices = choices(all);
    if !choices.rows.is_empty() {
        let note = "Workloads that a world does not list are placed as at present.";
        sections.push(table("choices", "What is chosen", choices, Some(note)));
    }
    let figures = objectives(all);
    if !figures.rows.is_empty() {
        let note = "Objectives that a world does not list have the figures of the present one.";
        sections.push(table("objectives", "Objectives", figures, Some(note)));
    }
    for w in all {
        match &w.outcome {
            Err(why) => {
                let refusal = report::infeasible(name, why, map);
                sections.extend(refusal.sections.into_iter().map(|mut s| {
                    s.heading = format!("{}: {}", w.name(), s.heading);
                    s
                }));
            }
            Ok(plan) if !plan.placement.joint_violations.is_empty() => {
                let lines = plan.placement.joint_violations.iter();
                let lines = lines.map(|v| Cell::tone(v.reason.clone(), Tone::Bad)).collect();
                let heading = format!("{}: limits that are broken", w.name());
                sections.push(Section { name: "joint", heading, blocks: vec![Block::Lines(lines)] });
            }
            Ok(_) => {}
        }
    }
    Report { title: format!("What if: {name}"), sections, summary: summary(all) }
}

fn summary(all: &[World]) -> String {
    let changed: Vec<&World> = all.iter().filter(|w| w.change.is_some()).collect();
    let refused = changed.iter().filter(|w| w.outcome.is_err()).count();
    let now = all.first().and_then(World::cost);
    let mut parts: Vec<String> = changed
        .iter()
        .filter_map(|w| {
            let then = w.cost()?;
            Some(match now {
                Some(now) => format!("{}: {} USD/month", w.name(), change(now, then)),
                None => format!("{}: {then} USD/month", w.name()),
            })
        })
        .collect();
    if refused > 0 {
        parts.push(format!("{refused} of {} worlds refused", changed.len()));
    }
    format!("{}.", parts.join("; "))
}

/// Schema `rhumb.what-if/1`: `src/cli/commands/what_if/schema.json`.
pub(super) fn json(name: &str, all: &[World], map: &SourceMap) -> Value {
    let present = all.first();
    let world = |w: &World| {
        let mut value = match &w.outcome {
            Ok(plan) => {
                let workloads: Map<String, Value> = plan
                    .placement
                    .workloads
                    .iter()
                    .map(|(address, w)| (address.clone(), report::json::workload(w)))
                    .collect();
                let sum = |of: fn(&WorkloadPlacement) -> Money| {
                    report::json::usd(plan.placement.workloads.values().map(of).sum())
                };
                json!({
                    "feasible": true,
                    "expected_usd_per_month": sum(|w| w.cost.expected_per_month),
                    "ceiling_usd_per_month": sum(|w| w.cost.ceiling_per_month),
                    "incomplete": plan.placement.workloads.values().any(|w| w.cost.incomplete),
                    "joint_violations": plan.placement.joint_violations.iter().map(|v| &v.reason).collect::<Vec<_>>(),
                    "workloads": workloads,
                })
            }
            Err(why) => json!({ "feasible": false, "infeasible": report::json::infeasible(name, why, map) }),
        };
        let Some(change) = &w.change else { return value };
        value["change"] = json!(change);
        if let (Some(now), Some(then)) = (present.and_then(World::plan), w.plan()) {
            let by = explore::cost(&then.placement) - explore::cost(&now.placement);
            value["against_present"] = json!({
                "usd_per_month": report::json::usd(by),
                "differs": differences(now, then).iter().map(|(address, aspects)| json!({
                    "workload": address,
                    "aspects": aspects.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            });
        }
        value
    };
    json!({
        "schema": "rhumb.what-if/1",
        "name": name,
        "present": present.map(world),
        "worlds": all.iter().filter(|w| w.change.is_some()).map(world).collect::<Vec<_>>(),
    })
}
