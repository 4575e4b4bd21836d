//! `rhumb import`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rhumb_api::{Call, Handle, Observed, Owner, Reply, Resource, ResourceAddr, Status};
use serde_json::json;

use crate::apply::differing;
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::held::{Held, store_failure, who};
use crate::cli::load::SpecArgs;
use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::state::address;
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::plan::{Change, Plan};
use crate::state::{Record, StateResource};

/// Take over something that exists: from now on it is recorded, planned and removed as if it had been made here
///
/// The address is one that the plan has and nothing is recorded for; kind, cloud and region follow from it. What is imported is otherwise
/// than planned as far as the next plan says so. What has the tags of another deployment, or none, gets ours with the next apply. The spec is
/// that of the folder (-C chooses it).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The address that it gets
    #[arg(value_name = "ADDRESS", value_parser = address)]
    address: ResourceAddr,
    /// The cloud's id of it
    #[arg(value_name = "ID")]
    id: String,
    /// It was made by another deployment, of this lineage, which is gone or has left it to others
    #[arg(long, value_name = "LINEAGE")]
    lineage: Option<String>,
    /// It was made by no deployment, by hand or by another tool, which will not change or remove it any more
    #[arg(long, conflicts_with = "lineage")]
    untagged: bool,
    /// Where it is.
    #[command(flatten)]
    clouds: CloudArgs,
    /// The state file, instead of the one that the spec names
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Set a variable; wins over --var-file and RHUMB_VAR_NAME
    #[arg(long = "var", value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Read variables from a YAML, JSON or HCL file; wins over RHUMB_VAR_NAME
    #[arg(long = "var-file", value_name = "FILE")]
    var_file: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let spec = SpecArgs { path: PathBuf::from("."), var: args.var.clone(), var_file: args.var_file.clone() };
    let planning =
        PlanArgs { spec, catalog: Vec::new(), state: args.state.clone(), running: None, renamed_from: None };
    let mut gathered = planning::gather_unheld(&planning, settings)?;
    let clouds = Clouds::of(&args.clouds)?;
    let mut held = Held::open(&gathered.store, settings)?;
    if let Some(state) = held.state() {
        clouds.fits(state, &held.name)?;
    }
    gathered.hold(held.state().cloned(), &planning)?;
    let plan = planning::think_of_day(&gathered).map_err(|why: NoPlan| Failure::from(why))?;
    let (change, wanted) = wanted(&plan, &args.address)?;
    let handle =
        Handle { cloud: wanted.cloud, region: wanted.region.clone(), kind: wanted.kind, id: args.id.clone() };
    let seen = seen(&handle, &clouds)?;
    let owner = owner(&seen, args, &held)?;
    let state = held.state();
    let missing = |need: &&ResourceAddr| state.is_none_or(|state| !state.resources.contains_key(*need));
    if let Some(need) = change.depends_on.iter().find(missing) {
        return Err(Failure::error(format!(
            "{}: it stands on {need}, which is not recorded; import that first",
            args.address
        )));
    }
    let resources = state.map(|state| &state.resources);
    let thing = in_our_words(&seen, (change, wanted), owner, resources.unwrap_or(&BTreeMap::new()));
    let record = Record::Import {
        address: args.address.clone(),
        resource: thing.resource.clone(),
        id: args.id.clone(),
        depends_on: thing.depends_on,
        outputs: thing.outputs,
        owner: thing.owner,
        known_as: thing.known_as,
        by: who(),
        at: settings.clock.to_string(),
    };
    held.store(clouds.simulated)?.append(&[record]).map_err(store_failure)?;
    let differs: Vec<String> =
        differing(&wanted.attributes, &thing.resource.attributes).into_iter().collect();
    let text = if settings.json {
        let value =
            json!({ "schema": "rhumb.import/1", "address": args.address, "id": args.id, "differs": differs });
        format!("{value}\n")
    } else if differs.is_empty() {
        format!("{}: {handle} is recorded, and is as planned.\n", args.address)
    } else {
        format!(
            "{}: {handle} is recorded. It is otherwise than planned ({}): the next plan says what is done about it.\n",
            args.address,
            differs.join(", ")
        )
    };
    terminal::print(&text)?;
    Ok(Exit::Done)
}

/// What the plan wants at an address where nothing is.
fn wanted<'p>(plan: &'p Plan, address: &ResourceAddr) -> Result<(&'p Change, &'p Resource), Failure> {
    let change = plan.changes.iter().find(|change| change.addr == *address);
    let found = change.and_then(|change| Some((change, change.after.as_ref()?)));
    let Some((change, after)) = found else {
        let open = plan.changes.iter().filter(|c| c.before.is_none() && c.after.is_some());
        let list: Vec<&str> = open.map(|c| c.addr.as_str()).take(8).collect();
        let help = match list.is_empty() {
            true => "everything of it is recorded".to_owned(),
            false => format!("not recorded yet are {}", list.join(", ")),
        };
        return Err(Failure::error(format!("the plan has no {address}; {help}")));
    };
    if change.before.is_some() {
        return Err(Failure::error(format!(
            "{address} is recorded already; `rhumb state rm` leaves what is recorded to others"
        )));
    }
    Ok((change, after))
}

/// The thing as its cloud describes it.
fn seen(handle: &Handle, clouds: &Clouds) -> Result<Observed, Failure> {
    let Some(provider) = clouds.providers.get(&handle.cloud) else {
        return Err(Failure::error(format!(
            "this build has no adapter for {}; a simulated cloud is named with --simulate URL",
            handle.cloud
        )));
    };
    let answer = clouds.runtime.block_on(provider.call(&Call::Read(handle.clone())));
    match answer {
        Ok(Reply::One(Some(seen))) => match &seen.status {
            Status::Ready | Status::Complete => Ok(seen),
            Status::Pending => {
                Err(Failure::error(format!("{handle} is being made or changed; wait until it is ready")))
            }
            Status::Deleting => Err(Failure::error(format!("{handle} is being removed"))),
            Status::Failed(why) => Err(Failure::error(format!("{handle} has failed: {why}"))),
        },
        Ok(Reply::One(None)) => {
            let (cloud, region) = (handle.cloud, &handle.region);
            Err(Failure::error(format!("there is no {} {} in {cloud}/{region}", handle.kind, handle.id)))
        }
        Ok(Reply::Many(_)) => Err(Failure::error(format!("{handle}: the reply has the wrong form"))),
        Err(error) => Err(Failure::error(format!("{handle}: {error}"))),
    }
}

/// Whose it is; none if it is ours. Two deployments may not own one thing: each would remove it in its own time.
fn owner(seen: &Observed, args: &Args, held: &Held) -> Result<Option<Owner>, Failure> {
    let Some(theirs) = seen.tags.as_ref().map(|tags| &tags.lineage) else {
        return match args.untagged {
            true => Ok(Some(Owner::Nobody)),
            false => Err(Failure::error(format!(
                "{}: it was made by no deployment: it has no tags; if nothing else changes or removes it any more, say --untagged",
                args.id
            ))),
        };
    };
    if held.state().is_some_and(|state| state.lineage == *theirs) {
        return Ok(None);
    }
    if args.lineage.as_ref() == Some(theirs) {
        return Ok(Some(Owner::Lineage(theirs.clone())));
    }
    Err(Failure::error(format!(
        "{}: it was made by another deployment; if that is gone, or has left it to others (`rhumb state rm`), say --lineage {theirs}",
        args.id
    )))
}

/// The thing as it is recorded: with our addresses of what it names, by the addresses that the other deployment gave to that, or by ids.
fn in_our_words(
    seen: &Observed,
    (change, wanted): (&Change, &Resource),
    owner: Option<Owner>,
    recorded: &BTreeMap<ResourceAddr, Arc<StateResource>>,
) -> StateResource {
    let mut thing = StateResource::of(wanted.clone(), change.depends_on.clone());
    thing.outputs.clone_from(&seen.outputs);
    let needs = change.depends_on.iter().filter_map(|need| Some((need, recorded.get(need)?)));
    for (need, needed) in needs {
        thing.stands_on.extend(needed.id.clone().map(|id| (need.clone(), id)));
        thing.known_as.extend(needed.known_as.get(need).map(|theirs| (need.clone(), theirs.clone())));
    }
    let theirs = seen.address().filter(|theirs| **theirs != change.addr);
    thing.known_as.extend(theirs.map(|theirs| (change.addr.clone(), theirs.clone())));
    thing.owner = owner;
    thing.resource.attributes = thing.in_our_words(seen.attributes.clone());
    thing
}
