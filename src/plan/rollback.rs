//! The plan by which a deployment becomes what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Attr, ResourceAddr, ResourceKind};

use super::{Action, Desired, Header, Plan, between, file};
use crate::placement::Placement;
use crate::render::Artifact;
use crate::state::{State, StateResource};

/// What a plan leads back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The serial of that state.
    pub to: u64,
    /// SHA-256 of its canonical form.
    pub digest: String,
}

/// Why there is no way back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// The two states are of two deployments.
    #[error("the version is of another deployment: its lineage is {0}, that of the state {1}")]
    Elsewhere(String, String),
    /// One of them is of a simulated cloud.
    #[error("one of the two states is of a simulated cloud, the other is not")]
    Simulated,
    /// Its machines cannot be started as they were.
    #[error(
        "{0}: the version does not say which files its machines got (an older rhumb recorded it); leave it out with --exclude, or change the spec back and apply that"
    )]
    NoFiles(ResourceAddr),
}

/// The plan that leads from `prior` to what was recorded in `to`; `name` is the deployment's, `created` the planning time.
///
/// It follows from the two states alone; what was renamed since keeps the address that it has now. Runs that end by themselves are left as they are: what has run is not run again, and what
/// runs is not ended.
///
/// # Errors
/// The states do not belong together, or what a launch template starts is not known.
pub fn rollback(
    name: &str,
    created: &str,
    prior: &State,
    to: &State,
    warnings: Vec<String>,
) -> Result<Plan, RollbackError> {
    if prior.lineage != to.lineage {
        return Err(RollbackError::Elsewhere(to.lineage.clone(), prior.lineage.clone()));
    }
    if prior.simulated != to.simulated {
        return Err(RollbackError::Simulated);
    }
    let (digest, to) = (to.digest(), &to.in_names_of(prior));
    let runs = runs(prior, to);
    let of = |state: &State, stays: bool| -> BTreeMap<ResourceAddr, Arc<StateResource>> {
        let things = state.resources.iter().filter(|(addr, _)| runs.contains(addr.workload()) == stays);
        things.map(|(addr, thing)| (addr.clone(), thing.clone())).collect()
    };
    let mut wanted = of(to, false);
    wanted.extend(of(prior, true));
    let needs = |thing: &StateResource| {
        thing.depends_on.iter().filter(|need| wanted.contains_key(*need)).cloned().collect::<Vec<_>>()
    };
    let desired: Desired =
        wanted.iter().map(|(addr, thing)| (addr.clone(), (thing.resource.clone(), needs(thing)))).collect();
    let header = Header::of_states(name, created, warnings);
    let artifacts = artifacts(&wanted);
    let mut plan = between(header, Some(prior), &desired, Placement::default(), artifacts);
    plan.rollback = Some(Rollback { to: to.serial, digest });
    for change in &mut plan.changes {
        match change.action {
            Action::Create => change.reasons = vec![format!("it was there at serial {}", to.serial)],
            Action::Remove => change.reasons = vec![format!("it was not there at serial {}", to.serial)],
            Action::Update | Action::Replace | Action::Keep => {}
        }
        let starts = change.after.as_ref().is_some_and(|after| after.kind == ResourceKind::LaunchTemplate);
        let files = wanted.get(&change.addr).is_none_or(|thing| !thing.files.is_empty());
        if change.action != Action::Keep && starts && !files {
            return Err(RollbackError::NoFiles(change.addr.clone()));
        }
    }
    Ok(plan)
}

/// The workloads that have runs, of then or of now, which end by themselves.
fn runs<'a>(prior: &'a State, to: &'a State) -> BTreeSet<&'a str> {
    let once = |thing: &StateResource| {
        let says = |name: &str| thing.resource.attributes.contains_key(name);
        thing.resource.kind == ResourceKind::JobRun && !says("schedule") && !says("restart")
    };
    let all = prior.resources.iter().chain(&to.resources);
    all.filter(|(_, thing)| once(thing)).map(|(addr, _)| addr.workload()).collect()
}

fn artifacts(wanted: &BTreeMap<ResourceAddr, Arc<StateResource>>) -> Vec<Artifact> {
    let of = |(addr, thing): (&ResourceAddr, &Arc<StateResource>)| {
        let addr = addr.clone();
        let each = thing.files.clone().into_iter();
        each.map(move |(name, content)| {
            let sha256 = file::sha256(content.as_bytes());
            Artifact { addr: addr.clone(), name, content, sha256 }
        })
    };
    wanted.iter().flat_map(of).collect()
}

/// The deployment that a state is of, as its resources say.
pub fn name_of(state: &State) -> &str {
    names_of(state).next().unwrap_or("what is recorded")
}

/// The deployments that resources of a state say that they are of.
pub fn names_of(state: &State) -> impl Iterator<Item = &str> {
    let all = state.resources.values().chain(state.spares.iter().map(|spare| &spare.thing));
    all.filter_map(|thing| match thing.resource.attributes.get("deployment") {
        Some(Attr::Text(name)) => Some(name.as_str()),
        _ => None,
    })
}
