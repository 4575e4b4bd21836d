//! What will be created, changed and removed.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, ResourceAddr, ResourceKind, Support, capabilities};

use super::{Block, Cell, Section, Tone, cost};
use crate::plan::{Action, Change, Dip, LeftWhy, Pattern, Plan, Rollout};

/// Changed attributes shown for a resource.
const FIELDS: usize = 8;

fn count(plan: &Plan, action: Action) -> usize {
    plan.changes.iter().filter(|c| c.action == action).count()
}

fn text(value: &Option<Attr>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Attr::Bool(b)) => b.to_string(),
        Some(Attr::Int(n)) => n.to_string(),
        Some(Attr::Text(t)) => format!("\"{t}\""),
        Some(Attr::List(list)) => format!("{} items", list.len()),
        Some(Attr::Map(map)) => format!("{} entries", map.len()),
    }
}

fn mark(action: Action) -> (&'static str, Tone) {
    match action {
        Action::Create => ("+", Tone::Good),
        Action::Update => ("~", Tone::Warn),
        Action::Replace => ("+/-", Tone::Warn),
        Action::Remove => ("-", Tone::Bad),
        Action::Keep => (" ", Tone::Dim),
    }
}

fn change(c: &Change) -> Vec<Cell> {
    let (mark, tone) = mark(c.action);
    let mut lines = vec![Cell::tone(format!("{mark} {}  ({})", c.addr, c.reasons.join("; ")), tone)];
    for field in c.fields.iter().take(FIELDS) {
        let forced = if field.forces_replacement { ", forces replacement" } else { "" };
        lines.push(Cell::plain(format!(
            "    {}: {} -> {}{forced}",
            field.name,
            text(&field.before),
            text(&field.after)
        )));
    }
    if c.fields.len() > FIELDS {
        lines.push(Cell::tone(format!("    and {} more", c.fields.len() - FIELDS), Tone::Dim));
    }
    lines
}

pub(super) fn changes(plan: &Plan) -> Section {
    let mut lines = Vec::new();
    let only_creates = plan.changes.iter().all(|c| c.action == Action::Create);
    for c in plan.changes.iter().filter(|c| c.action != Action::Keep) {
        if only_creates {
            let kind = c.after.as_ref().map_or("", |r| r.kind.as_str());
            lines.push(Cell::tone(format!("+ {}  ({kind})", c.addr), Tone::Good));
        } else {
            lines.extend(change(c));
        }
    }
    if only_creates && !plan.changes.is_empty() {
        lines.push(Cell::tone("Nothing exists yet: everything is created.", Tone::Dim));
    }
    let kept = count(plan, Action::Keep);
    if kept > 0 {
        lines.push(Cell::tone(format!("{kept} resources stay as they are."), Tone::Dim));
    }
    for left in &plan.leftovers {
        let why = match left.why.as_str() {
            "replaced" => "another one has taken its place",
            "failed" => "it could not be made as ordered",
            "stray" => "it has the tags of this deployment and was in no record",
            _ => "it is there twice",
        };
        lines.push(Cell::tone(format!("- {}  ({}: {why})", left.addr, left.id), Tone::Bad));
    }
    if plan.steps.is_empty() && plan.leftovers.is_empty() {
        lines.push(Cell::plain(match asked_out(plan) {
            0 if plan.destroy => "No changes: nothing exists.",
            0 if plan.rollback.is_some() => "No changes: what exists is what was.",
            0 => "No changes: what exists is what the spec asks for.",
            _ => "No changes of what was asked for.",
        }));
    }
    lines.extend(dips(plan));
    lines.extend(waves(plan));
    lines.extend(left(plan));
    lines.extend(export_only(plan));
    Section { name: "changes", heading: "Changes".to_owned(), blocks: vec![Block::Lines(lines)] }
}

/// Where fewer machines serve for a while.
fn dips(plan: &Plan) -> Vec<Cell> {
    let line = |dip: &Dip| {
        let first: Vec<&str> = dip.first.iter().map(ResourceAddr::as_str).collect();
        let text = format!(
            "A DIP: quota {} of {}/{} is {} {} and does not hold old and new machines at once ({}): {} goes first, and until what comes after it serves {} of its {} machines are left.",
            dip.code,
            dip.cloud,
            dip.place,
            dip.limit,
            dip.unit,
            dip.needed,
            first.join(", "),
            dip.left,
            dip.machines
        );
        Cell::tone(text, Tone::Bad)
    };
    plan.dips.iter().map(line).collect()
}

/// In which waves machines change.
fn waves(plan: &Plan) -> Vec<Cell> {
    let changed = |workload: &str, place: &str| {
        plan.changes.iter().filter(|c| c.addr.workload() == workload && c.action != Action::Keep).any(|c| {
            c.after.as_ref().is_some_and(|r| {
                matches!(r.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit)
                    && place.split_once('/') == Some((r.cloud.as_str(), r.region.as_str()))
            })
        })
    };
    let line = |rollout: &Rollout| {
        let waves: Vec<String> = rollout
            .waves
            .iter()
            .map(|wave| wave.iter().filter(|place| changed(&rollout.workload, place)).cloned().collect())
            .filter(|wave: &Vec<String>| !wave.is_empty())
            .map(|wave| wave.join(", "))
            .collect();
        (waves.len() > 1).then(|| {
            let text = format!(
                "{}: {} waves, each once the machines of the one before are healthy (within {} s): {}.",
                rollout.workload,
                waves.len(),
                rollout.health_timeout_s,
                waves.join("; then ")
            );
            Cell::tone(text, Tone::Dim)
        })
    };
    plan.rollouts.iter().filter_map(line).collect()
}

/// What a plan does not do because of what was asked, or because a run has ended.
fn left(plan: &Plan) -> Vec<Cell> {
    let of_kind =
        |why: LeftWhy| plan.left.iter().filter(move |left| left.why == why).map(|left| &left.change);
    let mut lines = Vec::new();
    let over: BTreeSet<&str> = of_kind(LeftWhy::Ended).map(|c| c.addr.workload()).collect();
    lines.extend(over.into_iter().map(|workload| {
        let text = format!(
            "{workload}: its run has ended and is not run again, here or elsewhere; its cost above is that of another run."
        );
        Cell::tone(text, Tone::Dim)
    }));
    if asked_out(plan) == 0 {
        return lines;
    }
    let of = |what: &str, patterns: &[Pattern]| -> Vec<String> {
        patterns.iter().map(|pattern| format!("--{what} {pattern}")).collect()
    };
    let asked = [of("target", &plan.asked.targets), of("exclude", &plan.asked.excludes)].concat();
    let whole = if plan.of_states() { "" } else { " Cost and promises above are those of the whole." };
    let text = format!("A part of the whole ({}): what follows is left out.{whole}", asked.join(" "));
    lines.push(Cell::tone(text, Tone::Warn));
    let told = of_kind(LeftWhy::Asked);
    lines.extend(told.map(|c| Cell::tone(format!("  {} {}", mark(c.action).0, c.addr), Tone::Dim)));
    lines
}

/// Changes that are left out because a part alone was asked for.
fn asked_out(plan: &Plan) -> usize {
    plan.left.iter().filter(|left| left.why == LeftWhy::Asked).count()
}

/// What no adapter of this build can make.
fn export_only(plan: &Plan) -> Option<Cell> {
    let table = capabilities(&[]);
    let mut per_cloud: BTreeMap<&str, usize> = BTreeMap::new();
    for c in plan.changes.iter().filter(|c| c.action != Action::Keep) {
        let Some(resource) = c.after.as_ref().or(c.before.as_ref()) else { continue };
        let row = table.iter().find(|row| row.cloud == resource.cloud && row.kind == resource.kind);
        if row.is_none_or(|row| row.support == Support::ExportOnly) {
            *per_cloud.entry(resource.cloud.as_str()).or_default() += 1;
        }
    }
    if per_cloud.is_empty() {
        return None;
    }
    let parts: Vec<String> = per_cloud.iter().map(|(cloud, n)| format!("{n} on {cloud}")).collect();
    Some(Cell::tone(
        format!(
            "This build has no adapter for {} of these resources; they can only be exported.",
            parts.join(", ")
        ),
        Tone::Warn,
    ))
}

/// Bounds that several workloads break together.
pub(super) fn joint(plan: &Plan) -> Option<Section> {
    let list = &plan.placement.joint_violations;
    (!list.is_empty()).then(|| Section {
        name: "joint",
        heading: "Broken together".to_owned(),
        blocks: vec![Block::Lines(
            list.iter()
                .map(|v| {
                    let at = v.at.as_ref().map(|p| format!(" ({})", p.dotted())).unwrap_or_default();
                    Cell::tone(format!("{}{at}: {}", v.constraint, v.reason), Tone::Bad)
                })
                .collect(),
        )],
    })
}

/// The line that a person must read.
pub(super) fn summary(plan: &Plan) -> String {
    if plan.destroy {
        let all = count(plan, Action::Remove) + plan.leftovers.len();
        let rest = match asked_out(plan) {
            0 => "nothing is left".to_owned(),
            n => format!("{n} more are left out, as asked"),
        };
        return format!("Plan: 0 to create, 0 to change, {all} to remove; {rest}.");
    }
    let replaced = count(plan, Action::Replace);
    let create = count(plan, Action::Create) + replaced;
    let remove = count(plan, Action::Remove) + replaced + plan.leftovers.len();
    if plan.rollback.is_some() {
        let part = match asked_out(plan) {
            0 => String::new(),
            n => format!("; {n} left out as asked"),
        };
        let update = count(plan, Action::Update);
        return format!("Plan: {create} to create, {update} to change, {remove} to remove{part}.");
    }
    let t = cost::totals(plan);
    let broken = if plan.placement.joint_violations.is_empty() { "" } else { "; a shared limit is BROKEN" };
    let unpriced = if t.unpriced > 0 { format!(", {} lines not priced", t.unpriced) } else { String::new() };
    let (part, whole) = match asked_out(plan) {
        0 => (String::new(), ""),
        n => (format!(", {n} left out as asked"), "the whole costs "),
    };
    format!(
        "Plan: {create} to create, {} to change, {remove} to remove{part}; {whole}{}{} USD/month, ceiling {}{unpriced}{broken}.",
        count(plan, Action::Update),
        t.at_least,
        t.per_month,
        t.ceiling
    )
}
