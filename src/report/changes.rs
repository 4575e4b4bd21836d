//! What will be created, changed and removed.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Support, capabilities};

use super::{Block, Cell, Section, Tone, cost};
use crate::plan::{Action, Change, Plan};

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

fn change(c: &Change) -> Vec<Cell> {
    let (mark, tone) = match c.action {
        Action::Create => ("+", Tone::Good),
        Action::Update => ("~", Tone::Warn),
        Action::Replace => ("+/-", Tone::Warn),
        Action::Remove => ("-", Tone::Bad),
        Action::Keep => (" ", Tone::Dim),
    };
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
        lines.push(Cell::plain(match plan.destroy {
            true => "No changes: nothing exists.",
            false => "No changes: what exists is what the spec asks for.",
        }));
    }
    lines.extend(export_only(plan));
    Section { name: "changes", heading: "Changes".to_owned(), blocks: vec![Block::Lines(lines)] }
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
        return format!("Plan: 0 to create, 0 to change, {all} to remove; nothing is left.");
    }
    let t = cost::totals(plan);
    let replaced = count(plan, Action::Replace);
    let create = count(plan, Action::Create) + replaced;
    let remove = count(plan, Action::Remove) + replaced + plan.leftovers.len();
    let broken = if plan.placement.joint_violations.is_empty() { "" } else { "; a shared limit is BROKEN" };
    let unpriced = if t.unpriced > 0 { format!(", {} lines not priced", t.unpriced) } else { String::new() };
    format!(
        "Plan: {create} to create, {} to change, {remove} to remove; {}{} USD/month, ceiling {}{unpriced}{broken}.",
        count(plan, Action::Update),
        t.at_least,
        t.per_month,
        t.ceiling
    )
}
