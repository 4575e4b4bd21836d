//! `rhumb state mv`.

use std::collections::BTreeSet;

use rhumb_api::{ResourceAddr, ResourceKind};
use serde_json::json;

use super::Here;
use crate::cli::held::{Held, store_failure, who};
use crate::cli::state::{address, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::plan;
use crate::spec::{NAMES, is_name};
use crate::state::{Record, State, StateResource};

/// Give what is recorded another address, so that a workload can be renamed in the spec without being made anew
///
/// `services.chat services.assistant` renames everything of the service chat. Nothing is asked of any cloud: the next plan changes in place
/// what says the old name. Machines that the service shares with others, and a run that has not ended, have the name in what cannot change:
/// these are made anew.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The workload as it is recorded, such as services.chat
    #[arg(value_name = "FROM", value_parser = address)]
    from: ResourceAddr,
    /// Its name from now on, such as services.assistant
    #[arg(value_name = "TO", value_parser = address)]
    to: ResourceAddr,
    #[command(flatten)]
    here: Here,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let place = args.here.args().place(settings)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    if args.from == args.to {
        return Err(Failure::usage(format!("{}: it has this address already", args.from)));
    }
    alike(&args.from, &args.to)?;
    let renamed: Vec<(ResourceAddr, ResourceAddr)> = state
        .resources
        .keys()
        .filter_map(|old| Some((old.clone(), old.moved(&args.from, &args.to)?)))
        .collect();
    if renamed.is_empty() {
        return Err(unknown(args, &held.name, state));
    }
    let anew = made_anew(args, state);
    let simulated = state.simulated;
    let (by, at) = (who(), settings.clock.to_string());
    let record = Record::Rename { from: args.from.clone(), to: args.to.clone(), by, at };
    held.store(simulated)?.append(&[record]).map_err(store_failure)?;
    if settings.json {
        let pair = |(from, to): &(ResourceAddr, ResourceAddr)| json!({ "from": from, "to": to });
        let renamed: Vec<_> = renamed.iter().map(pair).collect();
        let told = json!({ "schema": "rhumb.state_mv/1", "renamed": renamed, "made_anew": anew });
        terminal::print(&format!("{told}\n"))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for (from, to) in &renamed {
        text.push_str(&format!("{} -> {}\n", clean(from.as_str()), clean(to.as_str())));
    }
    let things = if renamed.len() == 1 { "1 thing".to_owned() } else { format!("{} things", renamed.len()) };
    text.push_str(&format!(
        "{things} renamed in the record. Let the spec say the new name; the next plan tells the clouds.\n"
    ));
    if !anew.is_empty() {
        let anew: Vec<&str> = anew.iter().map(ResourceAddr::as_str).collect();
        text.push_str(&format!(
            "What has the name in what cannot change is made anew: {}.\n",
            clean(&anew.join(", "))
        ));
    }
    terminal::print(&text)?;
    Ok(Exit::Done)
}

/// Whether both are names of workloads of one kind: whatever else is renamed, no plan would want it so.
fn alike(from: &ResourceAddr, to: &ResourceAddr) -> Result<(), Failure> {
    let kind = |addr: &ResourceAddr| {
        let (kind, name) = addr.as_str().split_once('.')?;
        let whole = !name.is_empty() && !name.contains(['/', '.']) && addr.as_str() != plan::SHARED;
        whole.then(|| kind.to_owned())
    };
    for addr in [from, to] {
        if kind(addr).is_none() {
            let help = "name a whole workload, such as services.chat";
            return Err(Failure::usage(format!("{addr}: it is no workload; {help}")));
        }
    }
    let name = to.as_str().split_once('.').map_or("", |(_, name)| name);
    if !is_name(name) {
        return Err(Failure::usage(format!("{to}: no spec can have a workload of this name; {NAMES}")));
    }
    if kind(from) != kind(to) {
        return Err(Failure::usage(format!("{to}: it is of another kind than {from}")));
    }
    Ok(())
}

/// What cannot be renamed where it stands: a run that has not ended, and machines that several services share.
fn made_anew(args: &Args, state: &State) -> Vec<ResourceAddr> {
    let name = args.from.as_str().split_once('.').map_or("", |(_, name)| name);
    let shares = |addr: &ResourceAddr| {
        let parts =
            addr.as_str().split(['/', '+']).map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
        addr.workload() == plan::SHARED && parts.into_iter().any(|part| part.strip_prefix('x') == Some(name))
    };
    let runs = |addr: &ResourceAddr, thing: &StateResource| {
        let run = thing.resource.kind == ResourceKind::JobRun && !thing.complete;
        run && addr.moved(&args.from, &args.to).is_some()
    };
    let all = state.resources.iter().filter(|(addr, thing)| shares(addr) || runs(addr, thing));
    all.map(|(addr, _)| addr.moved(&args.from, &args.to).unwrap_or_else(|| addr.clone())).collect()
}

fn unknown(args: &Args, name: &str, state: &State) -> Failure {
    let above = state.resources.keys().flat_map(|addr| {
        let above = std::iter::successors(addr.parent(), ResourceAddr::parent);
        above.chain([addr.clone()])
    });
    let all: BTreeSet<ResourceAddr> = above.collect();
    let near = |addr: &&ResourceAddr| strsim::damerau_levenshtein(addr.as_str(), args.from.as_str());
    let help = all.iter().min_by_key(near).map_or_else(
        || "nothing is".to_owned(),
        |addr| format!("did you mean {addr}? `rhumb state list` lists all"),
    );
    Failure::error(format!("{name}: nothing is recorded at or below {}; {help}", args.from))
}
