//! What will be created, changed and removed.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Capability, ResourceAddr, ResourceKind};

use super::{Block, Cell, Section, Tone, cost};
use crate::plan::{Action, Change, Dip, LeftWhy, Pattern, Plan, Rollout, Surge};

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
    lines.extend(plan.surge.as_ref().map(surge));
    lines.extend(waves(plan));
    lines.extend(left(plan));
    lines.extend(export_only(&plan.changes, ADAPTERS));
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

/// What it costs while it is applied.
fn surge(surge: &Surge) -> Cell {
    let at_least = if surge.unpriced > 0 { "at least " } else { "" };
    let text = format!(
        "While old and new machines are there at once they cost {at_least}{} USD an hour ({} before, {} after).",
        surge.during, surge.before, surge.after
    );
    Cell::tone(text, Tone::Dim)
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
    let mut told: BTreeMap<(Vec<String>, u32), Vec<&str>> = BTreeMap::new();
    for Rollout { workload, health_timeout_s, waves, .. } in &plan.rollouts {
        let here = |wave: &Vec<String>| -> Vec<String> {
            wave.iter().filter(|place| changed(workload, place)).cloned().collect()
        };
        let waves = waves.iter().map(here).filter(|wave| !wave.is_empty());
        let waves: Vec<String> = waves.map(|wave| wave.join(", ")).collect();
        if waves.len() > 1 {
            told.entry((waves, *health_timeout_s)).or_default().push(workload);
        }
    }
    let line = |((waves, timeout), workloads): ((Vec<String>, u32), Vec<&str>)| {
        let text = format!(
            "{}: {} waves, each once the machines of the one before are healthy (within {timeout} s): {}.",
            workloads.join(", "),
            waves.len(),
            waves.join("; then ")
        );
        Cell::tone(text, Tone::Dim)
    };
    told.into_iter().map(line).chain(going_back(plan)).collect()
}

/// Of which workloads what was made goes again.
fn going_back(plan: &Plan) -> Option<Cell> {
    let does = |workload: &str| plan.steps.iter().any(|step| step.addr.workload() == workload);
    let all = plan.rollouts.iter().filter(|rollout| rollout.roll_back && does(&rollout.workload));
    let all: Vec<&str> = all.map(|rollout| rollout.workload.as_str()).collect();
    (!all.is_empty()).then(|| {
        let text = format!(
            "{}: when machines are refused and nothing that may stand in is left, what was made goes again, and what served so far serves as before.",
            all.join(", ")
        );
        Cell::tone(text, Tone::Dim)
    })
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

/// What the adapters of this build can deploy: the rows of all of them. No real cloud has one yet; a simulated one brings its own rows.
pub(super) const ADAPTERS: &[Capability] = &[];

/// What a table of adapters does not cover of a plan's changes, each with the reason.
pub(super) fn uncovered<'a>(
    changes: &'a [Change],
    table: &[Capability],
) -> BTreeMap<&'a ResourceAddr, String> {
    let resources = changes.iter().filter_map(|c| Some((&c.addr, c.after.as_ref().or(c.before.as_ref())?)));
    rhumb_api::uncovered(table, resources)
}

/// What no adapter can make: of a cloud without any how much, else which pools and what else, and why.
fn export_only(changes: &[Change], table: &[Capability]) -> Vec<Cell> {
    let uncovered = uncovered(changes, table);
    let mut per_cloud: BTreeMap<&str, usize> = BTreeMap::new();
    let mut per_reason: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for c in changes.iter().filter(|c| c.action != Action::Keep) {
        let (Some(resource), Some(why)) = (c.after.as_ref().or(c.before.as_ref()), uncovered.get(&c.addr))
        else {
            continue;
        };
        if table.iter().any(|row| row.cloud == resource.cloud) {
            let of_pool = resource.kind == ResourceKind::LaunchTemplate
                || resource.attributes.contains_key("launch_template");
            let pool = c.addr.parent().filter(|_| of_pool);
            per_reason.entry(why).or_default().insert(pool.as_ref().unwrap_or(&c.addr).to_string());
        } else {
            *per_cloud.entry(resource.cloud.as_str()).or_default() += 1;
        }
    }
    let mut lines = Vec::new();
    if !per_cloud.is_empty() {
        let parts: Vec<String> = per_cloud.iter().map(|(cloud, n)| format!("{n} on {cloud}")).collect();
        let parts = parts.join(", ");
        lines.push(format!(
            "This build has no adapter for {parts} of these resources; they can only be exported."
        ));
    }
    let told = |(why, what): (&str, BTreeSet<String>)| {
        let what: Vec<String> = what.into_iter().collect();
        format!("{}: {why}: can only be exported.", what.join(", "))
    };
    lines.extend(per_reason.into_iter().map(told));
    lines.into_iter().map(|line| Cell::tone(line, Tone::Warn)).collect()
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

#[cfg(test)]
mod tests {
    use rhumb_api::{Among, Attributes, Cloud, Resource};

    use super::*;

    fn change(addr: &str, kind: ResourceKind, attributes: &[(&str, Attr)]) -> Change {
        let attributes: Attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        let region = "eu-west-1".to_owned();
        Change {
            addr: ResourceAddr::parse(addr).expect("an address"),
            action: Action::Create,
            reasons: vec!["new".into()],
            before: None,
            after: Some(Resource { kind, cloud: Cloud::Aws, region, attributes }),
            fields: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    fn pool(name: &str, engine: &str) -> [Change; 2] {
        let engine = Attr::Map([("name".to_owned(), Attr::from(engine))].into());
        let template = format!("{name}/launch_template");
        let of_template = ("launch_template", Attr::from(template.as_str()));
        [
            change(&template, ResourceKind::LaunchTemplate, &[("engine", engine)]),
            change(&format!("{name}/on_demand"), ResourceKind::Fleet, &[of_template]),
        ]
    }

    fn lines(changes: &[Change], table: &[Capability]) -> Vec<String> {
        export_only(changes, table).into_iter().map(|cell| cell.text).collect()
    }

    #[test]
    fn exactly_what_is_outside_the_table_can_only_be_exported_and_it_says_why() {
        let mut changes = vec![change("services.a/aws/eu-west-1/network", ResourceKind::Network, &[])];
        changes.extend(pool("services.a/aws/eu-west-1/p5", "vllm"));
        changes.extend(pool("services.b/aws/eu-west-1/p5", "vllm"));
        changes.extend(pool("services.a/aws/eu-west-1/g6e", "sglang"));
        let rows = [ResourceKind::Network, ResourceKind::LaunchTemplate, ResourceKind::Fleet];
        let all = rows.map(|kind| Capability::all(Cloud::Aws, kind));
        assert_eq!(lines(&changes, &all), Vec::<String>::new());
        let mut narrower = all.clone();
        narrower[1].engines = Among::only(["sglang"]);
        assert_eq!(
            lines(&changes, &narrower),
            [
                "services.a/aws/eu-west-1/p5, services.b/aws/eu-west-1/p5: no adapter of this build can deploy engine `vllm` on aws: can only be exported."
            ]
        );
        assert_eq!(uncovered(&changes, &narrower).len(), 4);
        let why = "services.a/aws/eu-west-1/network: no adapter of this build can deploy a network on aws: can only be exported.";
        assert_eq!(lines(&changes, &all[1..]), [why]);
        let other = [Capability::all(Cloud::Gcp, ResourceKind::Network)];
        let none = "This build has no adapter for 7 on aws of these resources; they can only be exported.";
        assert_eq!(
            (lines(&changes, &[]), lines(&changes, &other)),
            (vec![none.to_owned()], vec![none.to_owned()])
        );
        // What stays is not told.
        changes.iter_mut().for_each(|change| change.action = Action::Keep);
        assert_eq!(lines(&changes, &[]), Vec::<String>::new());
    }
}
