//! The whole plan: that its changes, steps, files and figures follow from its own parts, from the state
//! that it was made against, and from what was placed.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Attributes, Money, Resource, ResourceKind};
use sha2::{Digest, Sha256};

use crate::placement::{Following, Placement, SharedFleet, World};
use crate::plan::{Action, Change, Plan};
use crate::spec::{BudgetBinds, BudgetScope, Spec};
use crate::state::{State, StateResource};

use super::ledger::dollars;
use super::{Ledger, Report, asked, dip, rollout, season, shared};

/// Re-derives every promise of a plan. `prior` is the state that it was made against, if there was one.
///
/// Which of the spec's seasons the plan is for is derived from its own day, whatever loads `spec` comes with.
pub fn plan(spec: &Spec, world: &World, prior: Option<&State>, plan: &Plan) -> Report {
    if plan.destroy {
        return destruction(prior, plan);
    }
    if plan.rollback.is_some() {
        return rollback(prior, None, plan);
    }
    let whole = &asked::whole(plan);
    let spec = &season::of_time(spec, &plan.created);
    let mut log = Ledger::default();
    log.same("plan", "plan", "the name", &spec.name, &plan.name);
    log.same("plan", "plan", "the confidence", &spec.confidence, &plan.confidence);
    log.same_debug("plan", "plan", "the user's files", &world.user_files(), &plan.user_files);
    for (what, digest) in [("spec", &plan.spec_digest), ("catalogue", &plan.catalog_digest)] {
        log.hold(is_sha256(digest), "plan", "plan", || {
            (format!("the digest of the {what} is none"), "64 hexadecimal digits".into(), digest.clone())
        });
    }
    against(&mut log, prior, plan);
    for change in &plan.changes {
        let again = changed_again(prior, plan, change);
        let held = stands_in_a_replaced_network(prior, plan, change);
        one_change(&mut log, change, (held, plan.asked.replace.contains(&change.addr)), again);
    }
    let sorted = plan.changes.windows(2).all(|w| w[0].addr < w[1].addr);
    log.hold(sorted, "plan", "plan", || {
        ("changes are not in the order of their addresses".into(), "each once".into(), "another order".into())
    });
    steps(&mut log, plan);
    asked::check(&mut log, prior, plan);
    bill(&mut log, whole);
    machines(&mut log, whole);
    artifacts(&mut log, plan);
    let placed = &plan.placement.spec_of(spec);
    budgets(&mut log, placed, plan);
    rollout::check(&mut log, placed, plan, &whole.changes);
    dip::check(&mut log, spec, world, plan);
    season::check(&mut log, spec, plan);
    let own = log.report();
    super::inspect(spec, world, &plan.placement).and(own)
}

/// A plan by which everything goes promises nothing else, whatever the spec says.
fn destruction(prior: Option<&State>, plan: &Plan) -> Report {
    let mut log = Ledger::default();
    against(&mut log, prior, plan);
    for change in &plan.changes {
        one_change(&mut log, change, (false, false), false);
    }
    for change in &asked::whole(plan).changes {
        log.same("plan", change.addr.as_str(), "what happens to it", &"Remove", &action(change));
    }
    asked::check(&mut log, prior, plan);
    steps(&mut log, plan);
    nothing_but_changes(&mut log, plan);
    log.hold(plan.artifacts.is_empty(), "plan", "plan", || {
        ("something is rendered although everything goes".into(), "nothing".into(), "something".into())
    });
    log.report()
}

/// What follows from recorded states alone places nothing and promises nothing.
fn nothing_but_changes(log: &mut Ledger, plan: &Plan) {
    let rest = [
        ("placed", plan.placement != Placement::default()),
        ("budgeted", !plan.budgets.is_empty() || plan.year.is_some()),
        ("ready to stand in", !plan.standbys.is_empty()),
    ];
    for (what, there) in rest {
        log.hold(!there, "plan", "plan", || {
            let text = format!("something is {what} although no spec is planned");
            (text, "nothing".into(), "something".into())
        });
    }
}

/// A plan that leads back promises that what was is again. `to` is the state that it leads back to, if that is at hand.
pub fn rollback(prior: Option<&State>, to: Option<&State>, plan: &Plan) -> Report {
    let mut log = Ledger::default();
    against(&mut log, prior, plan);
    for change in &plan.changes {
        let again = changed_again(prior, plan, change);
        one_change(&mut log, change, (stands_in_a_replaced_network(prior, plan, change), false), again);
    }
    asked::check(&mut log, prior, plan);
    steps(&mut log, plan);
    nothing_but_changes(&mut log, plan);
    artifacts(&mut log, plan);
    if let (Some(to), Some(back)) = (to, &plan.rollback) {
        log.same("plan", "plan", "the serial that it leads back to", &to.serial, &back.to);
        log.same("plan", "plan", "the state that it leads back to", &to.digest(), &back.digest);
        if let Some(prior) = prior {
            log.same("plan", "plan", "the lineage of what it leads back to", &prior.lineage, &to.lineage);
            led_back(&mut log, prior, to, plan);
        }
    }
    log.report()
}

/// Everything is as it was then; of runs that end by themselves, as it is now.
fn led_back(log: &mut Ledger, prior: &State, to: &State, plan: &Plan) {
    let ends = |thing: &StateResource| {
        let stays = ["schedule", "restart"].iter().any(|key| thing.resource.attributes.contains_key(key));
        thing.resource.kind == ResourceKind::JobRun && !stays
    };
    let mut of_runs: BTreeSet<&str> = BTreeSet::new();
    for (addr, thing) in prior.resources.iter().chain(&to.resources) {
        if ends(thing) {
            of_runs.insert(addr.workload());
        }
    }
    let whole = asked::whole(plan);
    for addr in prior.resources.keys().chain(to.resources.keys()) {
        let state = if of_runs.contains(addr.workload()) { prior } else { to };
        let was = state.resources.get(addr).map(|thing| &thing.resource);
        let change = whole.changes.iter().find(|change| change.addr == *addr);
        let will = change.and_then(|change| change.after.as_ref());
        log.hold(was == will, "plan", addr.as_str(), || {
            ("it is not led back to what it was".into(), format!("{was:?}"), format!("{will:?}"))
        });
    }
    for artifact in &plan.artifacts {
        let state = if of_runs.contains(artifact.addr.workload()) { prior } else { to };
        let was = state.resources.get(&artifact.addr).and_then(|thing| thing.files.get(&artifact.name));
        log.hold(was == Some(&artifact.content), "plan", artifact.addr.as_str(), || {
            let found = format!("another {}", artifact.name);
            ("its machines get another file than they had".into(), "the file of then".into(), found)
        });
    }
}

fn action(change: &Change) -> &'static str {
    match change.action {
        Action::Create => "Create",
        Action::Update => "Update",
        Action::Replace => "Replace",
        Action::Remove => "Remove",
        Action::Keep => "Keep",
    }
}

fn is_sha256(text: &str) -> bool {
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(hexadecimal)
}

/// What existed is what the changes start from, no more and no less.
fn against(log: &mut Ledger, prior: Option<&State>, plan: &Plan) {
    log.same("plan", "plan", "whether something existed", &prior.is_some(), &plan.prior.is_some());
    if let (Some(state), Some(said)) = (prior, &plan.prior) {
        log.same("plan", "plan", "the lineage", &state.lineage, &said.lineage);
        log.same("plan", "plan", "the serial", &state.serial, &said.serial);
    }
    if let (Some(state), Some(said)) = (prior, &plan.prior) {
        log.same("plan", "plan", "whether the cloud is simulated", &state.simulated, &said.simulated);
    }
    let spares = prior.iter().flat_map(|state| &state.spares);
    let there: Vec<String> = spares
        .filter_map(|s| Some(format!("{} {} {}", s.address, s.thing.id.as_ref()?, s.why.as_str())))
        .collect();
    let said: Vec<String> = plan.leftovers.iter().map(|l| format!("{} {} {}", l.addr, l.id, l.why)).collect();
    log.same_debug("plan", "plan", "what is left over", &there, &said);
    let none = BTreeMap::new();
    let existing = prior.map_or(&none, |s| &s.resources);
    for change in &plan.changes {
        let before = existing.get(&change.addr).map(|s| &s.resource);
        log.hold(before == change.before.as_ref(), "plan", change.addr.as_str(), || {
            ("it existed otherwise".into(), format!("{before:?}"), format!("{:?}", change.before))
        });
    }
    for addr in existing.keys() {
        let told = plan.changes.iter().any(|c| c.addr == *addr);
        log.hold(told, "plan", addr.as_str(), || {
            ("it exists and the plan does not mention it".into(), "a change".into(), "none".into())
        });
    }
}

/// What stands in a network goes with it, although nothing of its own differs.
fn stands_in_a_replaced_network(prior: Option<&State>, plan: &Plan, change: &Change) -> bool {
    let Some(after) = &change.after else { return false };
    let named = after.attributes.get("network");
    let anew = |c: &&Change| c.action == Action::Replace || made_again(prior, c, change);
    let network = plan.changes.iter().filter(anew).find(|c| {
        let is_network = c.after.as_ref().is_some_and(|r| r.kind == ResourceKind::Network);
        let named = named == Some(&Attr::Text(c.addr.to_string()));
        is_network && c.addr != change.addr && (named || change.depends_on.contains(&c.addr))
    });
    network.is_some() && !matches!(after.kind, ResourceKind::Network | ResourceKind::LaunchTemplate)
}

/// Whether something is made in whose place something was that another one, which exists, stood on.
fn made_again(prior: Option<&State>, made: &Change, change: &Change) -> bool {
    if made.action != Action::Create {
        return false;
    }
    let Some(thing) = prior.and_then(|state| state.resources.get(&change.addr)) else { return false };
    let name = Attr::Text(made.addr.to_string());
    let named = || thing.resource.attributes.values().any(|value| *value == name);
    !thing.complete && (thing.depends_on.contains(&made.addr) || named())
}

/// What is changed although nothing of it differs: what it needs is replaced or made again, or its last change failed.
fn changed_again(prior: Option<&State>, plan: &Plan, change: &Change) -> bool {
    let anew = |c: &Change| c.action == Action::Replace || made_again(prior, c, change);
    let replaced = |c: &&Change| change.depends_on.contains(&c.addr) && anew(c);
    let recorded = prior.and_then(|state| state.resources.get(&change.addr));
    if recorded.is_some_and(|thing| thing.complete) {
        return false;
    }
    plan.changes.iter().any(|c| replaced(&c))
        || recorded.is_some_and(|thing| thing.doubtful.is_some() || on_old(prior, thing))
}

/// Whether something stands on a thing in whose place another one is recorded.
fn on_old(prior: Option<&State>, thing: &StateResource) -> bool {
    let now = |addr| prior.and_then(|state| state.resources.get(addr)).map(|now| now.id.as_ref());
    thing.stands_on.iter().any(|(addr, id)| now(addr).is_some_and(|now| now != Some(id)))
}

fn one_change(log: &mut Ledger, change: &Change, (held, anew): (bool, bool), again: bool) {
    let address = change.addr.as_str();
    let derived = match (&change.before, &change.after) {
        (None, Some(_)) => Some(vec![Action::Create]),
        (Some(_), None) => Some(vec![Action::Remove]),
        (Some(_), Some(_)) if held || anew => Some(vec![Action::Replace]),
        (Some(b), Some(a)) if a == b && again => Some(vec![Action::Update]),
        (Some(b), Some(a)) if a == b => Some(vec![Action::Keep]),
        (Some(b), Some(a)) if (b.kind, b.cloud, &b.region) != (a.kind, a.cloud, &a.region) => {
            Some(vec![Action::Replace])
        }
        (Some(_), Some(_)) => Some(vec![Action::Update, Action::Replace]),
        (None, None) => None,
    };
    let agrees = derived.as_ref().is_some_and(|d| d.contains(&change.action));
    log.hold(agrees, "plan", address, || {
        let expected = derived.map_or("something to change".into(), |d| format!("{d:?}"));
        ("the action does not follow from before and after".into(), expected, format!("{:?}", change.action))
    });
    let told = change.action == Action::Keep || change.reasons.iter().any(|r| !r.trim().is_empty());
    log.hold(told, "plan", address, || {
        ("a change without a reason".into(), "a reason".into(), "none".into())
    });
    if let (Some(before), Some(after)) = (&change.before, &change.after) {
        let derived = differences(before, after);
        let said: BTreeSet<&str> = change.fields.iter().map(|f| f.name.as_str()).collect();
        let missed: Vec<&String> = derived.iter().filter(|name| !covered(name, &said)).collect();
        log.hold(missed.is_empty(), "plan", address, || {
            ("attributes differ and are not named".into(), format!("{missed:?}"), format!("{said:?}"))
        });
        let forced = change.fields.iter().any(|f| f.forces_replacement);
        log.hold(!forced || change.action == Action::Replace, "plan", address, || {
            let found = format!("{:?}", change.action);
            ("an attribute forces a replacement that does not happen".into(), "Replace".into(), found)
        });
        for field in &change.fields {
            log.hold(field.before != field.after, "plan", address, || {
                let text = format!("{:?}", field.after);
                (format!("`{}` is named and does not differ", field.name), "a difference".into(), text)
            });
        }
    }
}

/// Whether an attribute, or one that it is part of, or a part of it, is named.
fn covered(name: &str, said: &BTreeSet<&str>) -> bool {
    let part = |of: &str, whole: &str| {
        of == whole || of.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'))
    };
    said.iter().any(|s| part(name, s) || part(s, name))
}

/// The attributes that differ at the top level.
fn differences(before: &Resource, after: &Resource) -> Vec<String> {
    before.attributes.differing(&after.attributes).map(str::to_owned).collect()
}

fn steps(log: &mut Ledger, plan: &Plan) {
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let address = step.addr.as_str();
        let change = plan.changes.iter().find(|c| c.addr == step.addr);
        log.hold(change.is_some_and(|c| c.action == step.action), "plan", address, || {
            let expected = change.map_or("no step".into(), |c| format!("{:?}", c.action));
            ("a step that no change asks for".into(), expected, format!("{:?}", step.action))
        });
        log.hold(place.insert(address, i).is_none(), "plan", address, || {
            ("two steps for one resource".into(), "one".into(), "two".into())
        });
    }
    for change in plan.changes.iter().filter(|c| c.action != Action::Keep) {
        let address = change.addr.as_str();
        let Some(own) = place.get(address) else {
            log.finding("plan", address, "a change without a step", "a step", "none");
            continue;
        };
        for needed in &change.depends_on {
            let other = plan.changes.iter().find(|c| c.addr == *needed);
            log.hold(other.is_some(), "plan", address, || {
                ("it needs what is nowhere".into(), needed.to_string(), "no such resource".into())
            });
            let (Some(theirs), Some(other)) = (place.get(needed.as_str()), other) else { continue };
            // What is made is made after what it needs; what is removed is removed before what it needed.
            let removed = change.action == Action::Remove;
            let right = match (removed, other.action == Action::Remove) {
                (false, false) => theirs < own,
                (true, true) => own < theirs,
                (true, false) => true,
                (false, true) => false,
            };
            log.hold(right, "plan", address, || {
                let found = format!("step {own}, and step {theirs} for {needed}");
                ("the order does not respect what it needs".into(), "the other way round".into(), found)
            });
        }
    }
}

/// Every resource that costs or could cost is a line of the bill, if only as "not priced"; shared machines are a line of each pool.
fn bill(log: &mut Ledger, plan: &Plan) {
    let lines: BTreeSet<&str> =
        plan.placement.workloads.values().flat_map(|w| &w.cost.lines).map(|l| l.addr.as_str()).collect();
    let paid =
        |f: &&SharedFleet| f.pools.iter().all(|p| lines.contains(format!("{}/shared", p.addr).as_str()));
    let shared: Vec<&str> = plan.placement.fleets.iter().filter(paid).map(|f| f.addr.as_str()).collect();
    for change in &plan.changes {
        let Some(after) = &change.after else { continue };
        let billed = matches!(
            after.kind,
            ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::LoadBalancer | ResourceKind::EdgeUnit
        );
        let address = change.addr.as_str();
        let of_fleet = shared.iter().any(|fleet| below(address, fleet));
        log.hold(!billed || of_fleet || lines.contains(address), "cost-line", address, || {
            ("it is made and is no line of the bill".into(), "a line".into(), "none".into())
        });
    }
}

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The hours of a fleet: how few and how many machines it has, and when their number changes.
#[derive(Debug, PartialEq)]
struct Day {
    time_zone: String,
    least_and_most: (i64, i64),
    /// Second, of the day or from Monday on, and number, wherever the number before was another; ascending.
    changes: Vec<(i64, i64)>,
}

impl Day {
    fn of(following: &Following, entry: usize) -> Self {
        let count = |class: usize| {
            let machines = following.classes.get(class).and_then(|c| c.machines.get(entry));
            i64::from(machines.copied().unwrap_or(0))
        };
        let all: Vec<i64> = (0..following.classes.len()).map(count).collect();
        let steps: Vec<(i64, i64)> =
            following.schedule.iter().map(|s| (i64::from(s.at_s), count(s.class))).collect();
        let before = steps.iter().cycle().skip(steps.len().saturating_sub(1));
        let changes = steps.iter().zip(before).filter(|(now, before)| now.1 != before.1).map(|(now, _)| *now);
        Day {
            time_zone: following.time_zone.clone(),
            least_and_most: (all.iter().copied().min().unwrap_or(0), all.iter().copied().max().unwrap_or(0)),
            changes: changes.collect(),
        }
    }

    /// What a fleet says; `None` if it says nothing of hours.
    fn said(attributes: &Attributes) -> Option<Self> {
        let number = |key: &str| match attributes.get(key) {
            Some(Attr::Int(n)) => Some(*n),
            _ => None,
        };
        let entry = |entry: &Attr| {
            let Attr::Map(map) = entry else { return None };
            let (Attr::Int(at_s), Attr::Int(count)) = (map.get("at_s")?, map.get("count")?) else {
                return None;
            };
            let Some(days) = map.get("days") else { return Some(vec![(*at_s, *count)]) };
            let Attr::List(days) = days else { return None };
            let on = |day: &Attr| {
                let Attr::Text(day) = day else { return None };
                let index = WEEKDAYS.iter().position(|name| name == day)?;
                Some((index as i64 * 86_400 + at_s, *count))
            };
            days.iter().map(on).collect::<Option<Vec<_>>>()
        };
        let mut changes = match attributes.get("schedule")? {
            Attr::List(list) => list.iter().map(entry).collect::<Option<Vec<_>>>()?.concat(),
            _ => return None,
        };
        changes.sort_unstable();
        let time_zone = match attributes.get("time_zone") {
            Some(Attr::Text(zone)) => zone.clone(),
            _ => String::new(),
        };
        Some(Day {
            time_zone,
            least_and_most: (number("min_count").unwrap_or(-1), number("max_count").unwrap_or(-1)),
            changes,
        })
    }
}

/// Every pool's machines are a fleet of that size with those hours, and every fleet is of a pool.
fn machines(log: &mut Ledger, plan: &Plan) {
    let mut wanted: BTreeMap<String, (i64, Option<Day>)> = BTreeMap::new();
    for pool in plan.placement.workloads.values().flat_map(|w| &w.pools) {
        for (entry, m) in pool.machines.iter().enumerate() {
            let day = pool.following.as_ref().map(|f| Day::of(f, entry));
            wanted.insert(format!("{}/{}", pool.addr, m.purchase), (i64::from(m.count), day));
        }
    }
    // Shared machines are a resource for each mix of what is on them.
    let mut mixed: BTreeMap<&str, (i64, i64)> =
        plan.placement.fleets.iter().map(|f| (f.addr.as_str(), (i64::from(f.count), 0))).collect();
    let mut made: BTreeSet<&str> = BTreeSet::new();
    for change in &plan.changes {
        let Some(after) = &change.after else { continue };
        if !matches!(after.kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit) {
            continue;
        }
        let address = change.addr.as_str();
        made.insert(address);
        let said = ["count", "machines", "size", "desired"].iter().find_map(|k| after.attributes.get(k));
        if let Some((_, there)) =
            mixed.iter_mut().find_map(|(fleet, n)| below(address, fleet).then_some((fleet, n)))
        {
            if let Some(Attr::Int(n)) = said {
                there.1 += n;
            }
            continue;
        }
        let Some((count, day)) = wanted.get(address) else {
            log.finding("plan", address, "machines that nobody placed", "a pool", "none");
            continue;
        };
        log.hold(said == Some(&Attr::Int(*count)), "plan", address, || {
            ("the fleet has another size than the pool".into(), count.to_string(), format!("{said:?}"))
        });
        let said = Day::said(&after.attributes);
        log.hold(said == *day, "plan", address, || {
            ("the fleet has other hours than the pool".into(), format!("{day:?}"), format!("{said:?}"))
        });
    }
    for address in wanted.keys().filter(|a| !made.contains(a.as_str())) {
        log.finding("plan", address, "placed machines that are not made", "a fleet", "none");
    }
    for (fleet, (count, there)) in mixed {
        log.same("plan", fleet, "the machines of all its mixes", &count, &there);
    }
}

/// Whether a resource is below another one.
fn below(address: &str, other: &str) -> bool {
    address.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
}

fn artifacts(log: &mut Ledger, plan: &Plan) {
    for artifact in &plan.artifacts {
        let address = format!("{}/{}", artifact.addr, artifact.name);
        let derived: String =
            Sha256::digest(artifact.content.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        log.same("plan", &address, "the hash of the file", &derived, &artifact.sha256);
        let carried = plan.changes.iter().any(|c| c.addr == artifact.addr && c.after.is_some());
        log.hold(carried, "plan", &address, || {
            ("a file for nothing that is made".into(), "a resource".into(), "none".into())
        });
    }
}

fn budgets(log: &mut Ledger, spec: &Spec, plan: &Plan) {
    let asked: Vec<String> = spec.budget.limits.iter().map(|(scope, b)| said(scope, b.limit)).collect();
    let told: Vec<String> = plan
        .budgets
        .iter()
        .map(|line| match (&line.workload, &line.label) {
            (Some(of), None) => said(&BudgetScope::Workload(of.clone()), line.limit),
            (None, Some((key, value))) => {
                said(&BudgetScope::Label { key: key.clone(), value: value.clone() }, line.limit)
            }
            (None, None) => said(&BudgetScope::All, line.limit),
            (Some(_), Some(_)) => "a budget of two".to_owned(),
        })
        .collect();
    log.same_debug("plan", "budget", "the budgets", &asked, &told);
    for (line, (scope, _)) in plan.budgets.iter().zip(&spec.budget.limits) {
        let figure = shared::figure(spec, scope, &plan.placement);
        let name = match spec.budget.binds {
            BudgetBinds::Expected => "expected",
            BudgetBinds::PeakMonth => "peak_month",
            BudgetBinds::Ceiling => "ceiling",
        };
        log.same("plan", "budget", "what the budget binds", name, line.binds.as_str());
        let what = format!("the figure that the budget of {scope} limits");
        log.same("plan", "budget", &what, &dollars(figure), &dollars(line.figure));
    }
}

fn said(scope: &BudgetScope, limit: Money) -> String {
    format!("{scope}: {}", dollars(limit))
}
