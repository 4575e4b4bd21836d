//! `rhumb state mv`.

use std::collections::BTreeSet;

use rhumb_api::ResourceAddr;
use serde_json::json;

use super::Here;
use crate::cli::held::{Held, store_failure, who};
use crate::cli::state::{address, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::state::{Record, State};

/// Give what is recorded another address, so that a workload can be renamed in the spec without being made anew
///
/// `services.chat services.assistant` renames everything of the service chat; an address of one thing renames that thing and what is below
/// it. Nothing is asked of any cloud: the next plan changes in place what says the old name.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The old address, or one above the old ones
    #[arg(value_name = "FROM", value_parser = address)]
    from: ResourceAddr,
    /// What takes its place
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
    let renamed: Vec<(ResourceAddr, ResourceAddr)> = state
        .resources
        .keys()
        .filter_map(|old| Some((old.clone(), old.moved(&args.from, &args.to)?)))
        .collect();
    if renamed.is_empty() {
        return Err(unknown(args, &held.name, state));
    }
    let simulated = state.simulated;
    let (by, at) = (who(), settings.clock.to_string());
    let record = Record::Rename { from: args.from.clone(), to: args.to.clone(), by, at };
    held.store(simulated)?.append(&[record]).map_err(store_failure)?;
    if settings.json {
        let pair = |(from, to): &(ResourceAddr, ResourceAddr)| json!({ "from": from, "to": to });
        let renamed: Vec<_> = renamed.iter().map(pair).collect();
        terminal::print(&format!("{}\n", json!({ "schema": "rhumb.state_mv/1", "renamed": renamed })))?;
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
    terminal::print(&text)?;
    Ok(Exit::Done)
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
