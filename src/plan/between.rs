//! The difference between what exists and what is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Attr, Owner, Resource, ResourceAddr};

use super::reasons::Reasons;
use super::{Action, Asked, BudgetLine, Change, Leftover, Plan, Prior, Rollout, Standby, Step, Year};
use super::{diff, file, order, replace};
use crate::placement::Placement;
use crate::render::Artifact;
use crate::state::{Spare, State, StateResource};

/// What is wanted: each resource with the addresses that it needs.
pub type Desired = BTreeMap<ResourceAddr, (Resource, Vec<ResourceAddr>)>;

/// What a plan says about itself; see the fields of the same names in [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// `name` of the spec.
    pub name: String,
    /// The planning time.
    pub created: String,
    /// Version of rhumb.
    pub tool_version: String,
    /// Digest of the spec.
    pub spec_digest: String,
    /// Digest of the catalogue.
    pub catalog_digest: String,
    /// The confidence planned for.
    pub confidence: f64,
    /// The user's own catalogue files.
    pub user_files: Vec<String>,
    /// The budgets.
    pub budgets: Vec<BudgetLine>,
    /// The coming year.
    pub year: Option<Year>,
    /// What may be done in the place of what is refused.
    pub standbys: Vec<Standby>,
    /// How machines come and go.
    pub rollouts: Vec<Rollout>,
    /// Warnings, in order.
    pub warnings: Vec<String>,
}

impl Header {
    /// Of a plan that follows from recorded states alone: `name` is the deployment's, `created` the planning time.
    pub(super) fn of_states(name: &str, created: &str, warnings: Vec<String>) -> Self {
        let nothing = file::sha256(b"");
        Header {
            name: name.to_owned(),
            created: created.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            spec_digest: nothing.clone(),
            catalog_digest: nothing,
            confidence: 0.0,
            user_files: Vec::new(),
            budgets: Vec::new(),
            year: None,
            standbys: Vec::new(),
            rollouts: Vec::new(),
            warnings,
        }
    }
}

/// The plan that leads from `prior` to `desired`.
///
/// A resource of the same address is kept if it is equal, changed in place if no attribute that differs
/// forces a replacement, and replaced otherwise; what stands in a replaced network is replaced with it.
/// Steps make, change and replace in dependency order, then remove in the reverse of the order that the
/// state recorded. Ties go to the smaller address.
pub fn between(
    header: Header,
    prior: Option<&State>,
    desired: &Desired,
    placement: Placement,
    artifacts: Vec<Artifact>,
) -> Plan {
    let none = BTreeMap::new();
    let existing = prior.map_or(&none, |s| &s.resources);
    let reasons = Reasons::new(prior, desired);
    let mut changes: BTreeMap<&ResourceAddr, Change> = BTreeMap::new();
    for (addr, (after, needs)) in desired {
        changes.insert(addr, wanted(&reasons, addr, existing.get(addr), after, needs));
    }
    let order = follow(&mut changes, prior);
    for (addr, recorded) in existing.iter().filter(|(a, _)| !desired.contains_key(*a)) {
        changes.insert(
            addr,
            Change {
                addr: addr.clone(),
                action: Action::Remove,
                reasons: vec![reasons.removal(addr, &recorded.resource)],
                before: Some(recorded.resource.clone()),
                after: None,
                fields: Vec::new(),
                depends_on: sorted(recorded.depends_on.iter().filter(|n| existing.contains_key(*n))),
            },
        );
    }
    let steps = steps(&changes, &order, existing);
    let changes: Vec<Change> = changes.into_values().collect();
    let standbys = super::standby::following(header.standbys, &changes, prior);
    Plan {
        name: header.name,
        created: header.created,
        tool_version: header.tool_version,
        spec_digest: header.spec_digest,
        catalog_digest: header.catalog_digest,
        valid_until: None,
        destroy: false,
        rollback: None,
        asked: Asked::default(),
        left: Vec::new(),
        prior: prior.map(Prior::of),
        confidence: header.confidence,
        user_files: header.user_files,
        changes,
        steps,
        leftovers: prior.map_or_else(Vec::new, leftovers),
        placement,
        artifacts,
        budgets: header.budgets,
        year: header.year,
        standbys,
        rollouts: header.rollouts,
        dips: Vec::new(),
        surge: None,
        warnings: header.warnings,
    }
}

/// Follows through what a replacement means for others; gives what is wanted, each after what it needs.
pub(super) fn follow(
    changes: &mut BTreeMap<&ResourceAddr, Change>,
    prior: Option<&State>,
) -> Vec<ResourceAddr> {
    let nothing = (BTreeMap::new(), Vec::new());
    let (existing, spares) =
        prior.map_or((&nothing.0, &nothing.1), |state| (&state.resources, &state.spares));
    let needs: Vec<(ResourceAddr, Vec<ResourceAddr>)> = changes
        .values()
        .filter(|c| c.after.is_some())
        .map(|c| (c.addr.clone(), c.depends_on.clone()))
        .collect();
    let order = order::dependencies_first(&needs.iter().map(|(a, n)| (a, n.as_slice())).collect());
    for addr in &order {
        replace_with_network(changes, addr, existing);
        // A run that has ended needs nothing any more.
        if existing.get(*addr).is_none_or(|thing| !thing.complete) {
            point_to_new(changes, addr, existing);
        }
        move_off_old(changes, addr, (existing, spares));
    }
    order.into_iter().cloned().collect()
}

/// What is done, in an order that respects what needs what: makes, changes and replaces as `order` says, then removes in the reverse of
/// what is recorded.
pub(super) fn steps(
    changes: &BTreeMap<&ResourceAddr, Change>,
    order: &[ResourceAddr],
    existing: &BTreeMap<ResourceAddr, Arc<StateResource>>,
) -> Vec<Step> {
    let recorded = existing.iter().map(|(a, s)| (a, s.depends_on.as_slice())).collect();
    let removals = order::dependencies_first(&recorded).into_iter().rev();
    let removed = |addr: &&ResourceAddr| changes.get(addr).is_some_and(|c| c.action == Action::Remove);
    order
        .iter()
        .chain(removals.filter(removed))
        .filter_map(|addr| changes.get(addr))
        .filter(|c| c.action != Action::Keep)
        .map(|c| Step { addr: c.addr.clone(), action: c.action })
        .collect()
}

fn sorted<'a>(addrs: impl Iterator<Item = &'a ResourceAddr>) -> Vec<ResourceAddr> {
    let set: std::collections::BTreeSet<&ResourceAddr> = addrs.collect();
    set.into_iter().cloned().collect()
}

/// The change of something that is wanted, looked at alone.
fn wanted(
    reasons: &Reasons<'_>,
    addr: &ResourceAddr,
    recorded: Option<&Arc<StateResource>>,
    after: &Resource,
    needs: &[ResourceAddr],
) -> Change {
    let before = recorded.map(|thing| &thing.resource);
    let doubtful = recorded.and_then(|thing| thing.doubtful.as_ref());
    let fields = before.map_or_else(Vec::new, |b| diff::fields(b, after));
    let forced = fields.iter().any(|f| f.forces_replacement);
    let (action, why) = match before {
        None => (Action::Create, vec![reasons.creation(addr, after)]),
        Some(_) if fields.is_empty() => {
            let failed = doubtful.map(|why| format!("its last change failed: {why}"));
            let why: Vec<String> = failed.into_iter().chain(recorded.map_or_else(Vec::new, told)).collect();
            (if why.is_empty() { Action::Keep } else { Action::Update }, why)
        }
        Some(_) if forced => {
            let mut why: Vec<String> = Vec::new();
            for field in &fields {
                let words = diff::in_words(field);
                let words =
                    if field.name == "launch_template_sha256" { "its launch template" } else { &words };
                why.push(if field.forces_replacement { cannot_change(words) } else { words.to_owned() });
            }
            (Action::Replace, why)
        }
        Some(_) => {
            let why = fields.iter().map(diff::in_words).chain(recorded.map_or_else(Vec::new, told));
            (Action::Update, why.collect())
        }
    };
    let mut change = Change {
        addr: addr.clone(),
        action,
        reasons: why,
        before: before.cloned(),
        after: Some(after.clone()),
        fields,
        depends_on: sorted(needs.iter()),
    };
    change.share();
    change
}

/// What its cloud is told though nothing differs: whose it is by now, and addresses that were renamed. A run that has ended is left alone.
fn told(thing: &Arc<StateResource>) -> Vec<String> {
    if thing.complete {
        return Vec::new();
    }
    let owner = thing.owner.as_ref().map(|owner| match owner {
        Owner::Nobody => "it is taken over from nobody".to_owned(),
        Owner::Lineage(lineage) => format!("it is taken over from {lineage}"),
    });
    // The addresses of another deployment were never ours: nobody renamed them.
    let renamed = thing.known_as.first_key_value().filter(|_| owner.is_none());
    let renamed = renamed.map(|(now, known)| format!("{now} was renamed: its cloud knows it as {known}"));
    owner.into_iter().chain(renamed).collect()
}

/// The change of something, looked at alone, for somebody who knows why.
pub(super) fn change(
    addr: &ResourceAddr,
    recorded: Option<&Arc<StateResource>>,
    after: Option<&Resource>,
    needs: &[ResourceAddr],
) -> Change {
    let before = recorded.map(|thing| &thing.resource);
    let fields = before.zip(after).map_or_else(Vec::new, |(b, a)| diff::fields(b, a));
    let (action, reason) = match (before, after) {
        (_, None) => (Action::Remove, "nothing needs it then"),
        (None, Some(_)) => (Action::Create, "machines of the plan were refused"),
        (Some(_), Some(_)) if fields.is_empty() => (Action::Keep, ""),
        (Some(_), Some(_)) if fields.iter().any(|f| f.forces_replacement) => {
            (Action::Replace, "machines of the plan were refused")
        }
        (Some(_), Some(_)) => (Action::Update, "machines of the plan were refused"),
    };
    let reasons = if reason.is_empty() { Vec::new() } else { vec![reason.to_owned()] };
    Change {
        addr: addr.clone(),
        action,
        reasons,
        before: before.cloned(),
        after: after.cloned(),
        fields,
        depends_on: sorted(needs.iter()),
    }
}

fn cannot_change(words: &str) -> String {
    format!("{words} cannot be changed in place: the new one is made before the old one is removed")
}

/// What a state knows besides what is in use; what never had an id is not known to be there.
fn leftovers(state: &State) -> Vec<Leftover> {
    let of = |spare: &crate::state::Spare| {
        let (addr, why) = (spare.address.clone(), spare.why.as_str().to_owned());
        spare.thing.id.clone().map(|id| Leftover { addr, id, why })
    };
    state.spares.iter().filter_map(of).collect()
}

/// Whether something that exists stands on what is not there any more and is made anew by one of these changes. A run that has ended needs
/// nothing.
fn lost(
    changes: &BTreeMap<&ResourceAddr, Change>,
    thing: Option<&Arc<StateResource>>,
    need: &ResourceAddr,
) -> bool {
    let Some(thing) = thing.filter(|thing| !thing.complete) else { return false };
    // What was given back to the record is known to need only what was there then; its attributes name the rest.
    let names = |value: &Attr| matches!(value, Attr::Text(text) if text == need.as_str());
    changes.get(need).is_some_and(|other| other.action == Action::Create)
        && (thing.depends_on.contains(need) || thing.resource.attributes.values().any(names))
}

/// What stays and needs something that is replaced, or made in the place of what is gone, must be told of the new one.
fn point_to_new(
    changes: &mut BTreeMap<&ResourceAddr, Change>,
    addr: &ResourceAddr,
    existing: &BTreeMap<ResourceAddr, Arc<StateResource>>,
) {
    let Some(change) = changes.get(addr).filter(|change| change.action == Action::Keep) else { return };
    let replaced = |need: &ResourceAddr| changes.get(need).is_some_and(|c| c.action == Action::Replace);
    let lost = |need: &ResourceAddr| lost(changes, existing.get(addr), need);
    let why = change.depends_on.iter().find_map(|need| match need {
        need if replaced(need) => Some(format!("{need} is replaced: it is pointed to the new one")),
        need if lost(need) => Some(format!("{need} is not there any more: it is pointed to the new one")),
        _ => None,
    });
    let (Some(why), Some(change)) = (why, changes.get_mut(addr)) else { return };
    change.action = Action::Update;
    change.reasons.push(why);
}

/// What still stands on something whose place another one has taken, since an apply ended in between, goes to the new one as well.
fn move_off_old(
    changes: &mut BTreeMap<&ResourceAddr, Change>,
    addr: &ResourceAddr,
    (existing, spares): (&BTreeMap<ResourceAddr, Arc<StateResource>>, &[Spare]),
) {
    let Some(thing) = existing.get(addr) else { return };
    let Some(old) = thing.stands_on_old(existing) else { return };
    // A run that has ended only has to make way for the removal of what is still there.
    let id = thing.stands_on.get(old.0);
    let there = || spares.iter().any(|s| s.address == *old.0 && s.thing.id.as_ref() == id);
    if thing.complete && !there() {
        return;
    }
    let Some(change) = changes.get_mut(addr) else { return };
    let follows = change.after.as_ref().is_some_and(|after| replace::follows(old.1, after.kind));
    let action = if follows { Action::Replace } else { Action::Update };
    if change.action == Action::Keep || (change.action == Action::Update && follows) {
        change.action = action;
        change.reasons.push(format!("{} was replaced and it still needs the old one", old.0));
    }
}

/// Replaces what stands in a network that is replaced or gone.
fn replace_with_network(
    changes: &mut BTreeMap<&ResourceAddr, Change>,
    addr: &ResourceAddr,
    existing: &BTreeMap<ResourceAddr, Arc<StateResource>>,
) {
    let Some(change) = changes.get(addr) else { return };
    let (Some(after), Some(_)) = (&change.after, &change.before) else { return };
    let named = match after.attributes.get("network") {
        Some(Attr::Text(name)) => ResourceAddr::parse(name.as_str()).ok(),
        _ => None,
    };
    let held = change.depends_on.iter().chain(&named).find_map(|need| {
        let other = changes.get(need)?;
        let what = match other.action {
            Action::Replace => "replaced",
            Action::Create if lost(changes, existing.get(addr), need) => "not there any more",
            _ => return None,
        };
        replace::follows(other.after.as_ref()?.kind, after.kind).then(|| {
            format!(
                "{need} is {what} and it cannot be moved out of it: the new one is made before the old one is removed"
            )
        })
    });
    let (Some(why), Some(change)) = (held, changes.get_mut(addr)) else { return };
    change.action = Action::Replace;
    if !change.reasons.contains(&why) {
        change.reasons.push(why);
    }
}
