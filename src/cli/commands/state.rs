//! `rhumb state`.

mod rename;
mod restore;

use std::path::PathBuf;
use std::sync::Arc;

use rhumb_api::ResourceAddr;
use serde_json::{Value, json};

use crate::cli::held::{Held, store_failure, who};
use crate::cli::load::SpecArgs;
use crate::cli::state::{PlaceKind, StateArgs, StatePlace, address, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::report::Cell;
use crate::state::disk::RealDisk;
use crate::state::local::{self, MOST_VERSIONS};
use crate::state::{Deed, Record, Refusal, State, What, file};

/// Look at what is recorded, and leave things to others
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Mv(rename::Args),
    #[command(alias = "forget")]
    Rm(Rm),
    Restore(restore::Args),
    Retry(Retry),
    Move(Move),
    Pull(Pull),
    Versions(Versions),
}

/// List everything that is recorded: addresses, clouds' ids, and what is known of them
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    state: StateArgs,
}

/// Show one thing as it is recorded, JSON
#[derive(Debug, clap::Args)]
struct Show {
    /// Its address
    #[arg(value_name = "ADDRESS", value_parser = address)]
    address: ResourceAddr,
    #[command(flatten)]
    here: Here,
}

/// Leave things to others: they go on existing, and are not recorded any more
///
/// The next plan would make them anew. What other things stand on is not left while these are recorded.
#[derive(Debug, clap::Args)]
pub struct Rm {
    /// Their addresses
    #[arg(value_name = "ADDRESS", required = true, value_parser = address)]
    addresses: Vec<ResourceAddr>,
    #[command(flatten)]
    here: Here,
}

/// Record a deployment somewhere else from now on: from a file into a bucket, or into another file
///
/// Everything that is recorded goes, with its serial; the old file is kept as FILE.moved and says nothing any more. Then let the spec name
/// the new place (`state`).
#[derive(Debug, clap::Args)]
struct Move {
    /// The new place: a file, or an address (s3://BUCKET/KEY, az://CONTAINER/KEY, gs://BUCKET/KEY)
    #[arg(long, value_name = "PLACE")]
    to: PathBuf,
    #[command(flatten)]
    state: StateArgs,
}

/// Let machines that were refused be planned on again at once
///
/// What a cloud refused to an apply (no capacity, a quota) is not planned on for a day. This ends it, of all of them.
#[derive(Debug, clap::Args)]
struct Retry {
    #[command(flatten)]
    state: StateArgs,
}

/// Print the whole state, as its file would have it
#[derive(Debug, clap::Args)]
struct Pull {
    #[command(flatten)]
    state: StateArgs,
    /// As it was at this serial (`rhumb state versions`)
    #[arg(long, value_name = "SERIAL")]
    serial: Option<u64>,
}

/// List the versions that are kept of a state, for `rhumb rollback --to`
///
/// A version is made at the end of each apply. In a bucket they are kept until somebody removes them, beside a file the last 20.
#[derive(Debug, clap::Args)]
struct Versions {
    #[command(flatten)]
    state: StateArgs,
}

/// The deployment of the folder.
#[derive(Clone, Debug, clap::Args)]
pub struct Here {
    /// The state file, instead of the one that the spec in the folder names (-C chooses the folder)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

impl Here {
    fn args(&self) -> StateArgs {
        let spec = SpecArgs { path: PathBuf::from("."), var: Vec::new(), var_file: Vec::new() };
        StateArgs { spec, state: self.state.clone() }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(list) => {
            let (_, state) = list.state.read(settings)?;
            terminal::print(&listed(&state, settings))?;
        }
        Command::Show(show) => {
            let (place, state) = show.here.args().read(settings)?;
            terminal::print(&shown(&show.address, &place, &state)?)?;
        }
        Command::Mv(renamed) => return rename::run(renamed, settings),
        Command::Rm(rm) => return remove(rm, settings),
        Command::Restore(restored) => return restore::run(restored, settings),
        Command::Move(moved) => return elsewhere(moved, settings),
        Command::Retry(retry) => return planned_again(&retry.state, settings),
        Command::Pull(pull) => {
            let state = match pull.serial {
                None => pull.state.read(settings)?.1,
                Some(serial) => pull.state.place(settings)?.version(serial)?,
            };
            terminal::print(&file::encode(&state))?;
        }
        Command::Versions(all) => terminal::print(&versions(&all.state.place(settings)?, settings)?)?,
    }
    Ok(Exit::Done)
}

fn versions(place: &StatePlace, settings: &Settings) -> Result<String, Failure> {
    let all = place.versions()?;
    // Each is read: of a bucket with hundreds, the latest say enough.
    let (older, latest) = all.split_at(all.len().saturating_sub(MOST_VERSIONS));
    let mut rows = Vec::new();
    for serial in latest.iter().copied() {
        let state = place.version(serial)?;
        // The apply that it is the end of.
        let deed = state.history.iter().rev().find(|deed| deed.what == What::Apply).cloned();
        rows.push((serial, state.resources.len(), deed));
    }
    if settings.json {
        let row = |(serial, resources, deed): &(u64, usize, Option<Deed>)| {
            let of = |part: fn(&Deed) -> &str| deed.as_ref().map(part);
            json!({
                "serial": serial, "resources": resources, "at": of(|d| &d.at), "by": of(|d| &d.by),
                "plan": deed.as_ref().and_then(|d| d.plan.as_deref()),
                "complete": deed.as_ref().and_then(|d| d.complete),
            })
        };
        let rows: Vec<Value> = rows.iter().map(row).collect();
        return Ok(format!(
            "{}\n",
            json!({ "schema": "rhumb.state_versions/2", "older": older, "versions": rows })
        ));
    }
    if rows.is_empty() {
        return Ok("There is no version yet.\n".to_owned());
    }
    let row = |(serial, resources, deed): &(u64, usize, Option<Deed>)| {
        let of = |part: fn(&Deed) -> &str| deed.as_ref().map_or("", part);
        let plan = deed.as_ref().and_then(|d| d.plan.as_deref()).unwrap_or("");
        let at = of(|d| d.at.get(..19).unwrap_or(&d.at));
        let cells = [
            serial.to_string(),
            at.to_owned(),
            clean(of(|d| &d.by)),
            clean(plan.get(..12).unwrap_or(plan)),
            resources.to_string(),
            complete(deed.as_ref()).to_owned(),
        ];
        cells.map(Cell::plain).to_vec()
    };
    let rows: Vec<Vec<Cell>> = rows.iter().map(row).collect();
    let columns = [
        ("SERIAL", true),
        ("APPLY BEGUN", false),
        ("BY", false),
        ("PLAN", false),
        ("RESOURCES", true),
        ("NOTE", false),
    ];
    let before = match older {
        [] => String::new(),
        [first, ..] => format!("{} older ones are kept, from serial {first} on.\n", older.len()),
    };
    Ok(terminal::grid(&columns, &rows, &settings.for_lists()) + &before)
}

/// Of the apply that a version is the end of.
fn complete(deed: Option<&Deed>) -> &'static str {
    if deed.is_none_or(|deed| deed.complete == Some(true)) { "" } else { "not complete" }
}

/// Name and version of the list: `src/cli/commands/state/schema.json`.
const SCHEMA: &str = "rhumb.state_list/1";

fn listed(state: &State, settings: &Settings) -> String {
    let used = state.resources.iter().map(|(addr, thing)| (addr, thing, note(addr, thing)));
    let spare = |spare: &crate::state::Spare| format!("to be removed: {}", spare.why.as_str());
    let spares = state.spares.iter().map(|s| (&s.address, &s.thing, spare(s)));
    let all = used.chain(spares);
    if settings.json {
        let row = |(addr, thing, note): (&ResourceAddr, &Arc<crate::state::StateResource>, String)| {
            json!({
                "address": addr, "kind": thing.resource.kind, "cloud": thing.resource.cloud,
                "region": thing.resource.region, "id": thing.id, "note": note,
            })
        };
        let rows: Vec<Value> = all.map(row).collect();
        let head = json!({
            "schema": SCHEMA, "lineage": state.lineage, "serial": state.serial, "simulated": state.simulated,
            "resources": rows, "open": state.open.len(),
        });
        return format!("{head}\n");
    }
    let columns = [("ADDRESS", false), ("KIND", false), ("ID", false), ("NOTE", false)];
    let row = |(addr, thing, note): (&ResourceAddr, &Arc<crate::state::StateResource>, String)| {
        let id = thing.id.as_deref().unwrap_or("not known");
        [addr.as_str(), thing.resource.kind.as_str(), &clean(id), &clean(&note)].map(Cell::plain).to_vec()
    };
    let rows: Vec<Vec<Cell>> = all.map(row).collect();
    let table = if rows.is_empty() {
        "Nothing exists.\n".to_owned()
    } else {
        terminal::grid(&columns, &rows, &settings.for_lists())
    };
    let simulated = if state.simulated { ", SIMULATED" } else { "" };
    let open = match state.open.len() {
        0 => String::new(),
        n => format!(", {n} calls of unknown end"),
    };
    format!("{table}Lineage {}, serial {}{simulated}{open}.\n", clean(&state.lineage), state.serial)
}

fn note(address: &ResourceAddr, thing: &crate::state::StateResource) -> String {
    match &thing.doubtful {
        Some(why) => format!("not known to be as recorded: {why}"),
        None if thing.complete => "has run to its end".to_owned(),
        None => {
            thing.known_as.get(address).map_or_else(String::new, |old| format!("its cloud knows it as {old}"))
        }
    }
}

fn shown(address: &ResourceAddr, place: &StatePlace, state: &State) -> Result<String, Failure> {
    let whole: Value = serde_json::from_str(&file::encode(state)).unwrap_or_default();
    let of = |key: &str| whole[key].as_array().cloned().unwrap_or_default();
    let is = |entry: &&Value| entry["address"].as_str() == Some(address.as_str());
    let found: Vec<Value> = of("resources").iter().chain(&of("spares")).filter(is).cloned().collect();
    match found.len() {
        0 => Err(unknown(address, place, state)),
        1 => Ok(format!("{:#}\n", found[0])),
        _ => Ok(format!("{:#}\n", Value::Array(found))),
    }
}

pub(super) fn unknown(address: &ResourceAddr, place: &StatePlace, state: &State) -> Failure {
    let near = |addr: &&ResourceAddr| strsim::damerau_levenshtein(addr.as_str(), address.as_str());
    let help = match state.resources.keys().min_by_key(near) {
        Some(addr) => format!("did you mean {addr}? `rhumb state list` lists all"),
        None => "nothing is".to_owned(),
    };
    Failure::error(format!("{}: {address} is not recorded; {help}", place.name))
}

/// Leaves things to others.
///
/// # Errors
/// See [`Failure`].
pub fn remove(rm: &Rm, settings: &Settings) -> Result<Exit, Failure> {
    let place = rm.here.args().place(settings)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    for address in &rm.addresses {
        if !state.resources.contains_key(address) {
            return Err(unknown(address, &place, state));
        }
        let stands_on = |(other, thing): &(&ResourceAddr, &Arc<crate::state::StateResource>)| {
            thing.depends_on.contains(address) && !rm.addresses.contains(other)
        };
        if let Some((other, _)) = state.resources.iter().find(stands_on) {
            return Err(Failure::error(format!("{address}: {other} stands on it; leave both, or neither")));
        }
    }
    let simulated = state.simulated;
    let forget = |address: &ResourceAddr| Record::Forget {
        address: address.clone(),
        by: who(),
        at: settings.clock.to_string(),
    };
    let records: Vec<Record> = rm.addresses.iter().map(forget).collect();
    held.store(simulated)?.append(&records).map_err(store_failure)?;
    let count = records.len();
    let what = if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") };
    if settings.json {
        terminal::print(&format!(
            "{}\n",
            json!({ "schema": "rhumb.state_rm/1", "forgotten": rm.addresses })
        ))?;
    } else {
        terminal::print(&format!(
            "{what} not recorded any more, and goes on existing. The next plan would make it anew.\n"
        ))?;
    }
    Ok(Exit::Done)
}

fn planned_again(args: &StateArgs, settings: &Settings) -> Result<Exit, Failure> {
    let mut held = Held::open(&args.place(settings)?, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    let (refusals, simulated) = (state.refusals.clone(), state.simulated);
    if !refusals.is_empty() {
        let retry = Record::Retry { by: who(), at: settings.clock.to_string() };
        held.store(simulated)?.append(&[retry]).map_err(store_failure)?;
    }
    if settings.json {
        terminal::print(&format!("{}\n", json!({ "schema": "rhumb.state_retry/1", "refusals": refusals })))?;
        return Ok(Exit::Done);
    }
    let mut text = String::new();
    for Refusal { cloud, region, instance_type, spot, kind, at } in &refusals {
        let bought = if *spot { "as spot" } else { "on demand" };
        let what = format!("{instance_type} {bought} in {cloud}/{region}: refused ({kind}) at {at}");
        text.push_str(&format!("{}, is planned on again\n", clean(&what)));
    }
    if refusals.is_empty() {
        text.push_str("Nothing is recorded that was refused.\n");
    }
    terminal::print(&text)?;
    Ok(Exit::Done)
}

fn elsewhere(args: &Move, settings: &Settings) -> Result<Exit, Failure> {
    let from = args.state.place(settings)?;
    let to = StatePlace::named(&args.to, settings)?;
    if from.kind == to.kind {
        return Err(Failure::usage(format!("--to {}: it is there already", to.name)));
    }
    if matches!(from.kind, PlaceKind::Bucket(..)) {
        let help = "who else uses it would not notice; only what is in a file is moved";
        return Err(Failure::error(format!("{}: it is in a bucket: {help}", from.name)));
    }
    let held = Held::open(&from, settings)?;
    let Some(state) = held.state().cloned() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    if !state.open.is_empty() {
        let help = "an apply was cut off: apply again or `rhumb refresh` first";
        return Err(Failure::error(format!(
            "{}: what {} calls did is not known; {help}",
            from.name,
            state.open.len()
        )));
    }
    let mut there = Held::open_anywhere(&to, settings)?;
    // A move that was cut off goes on.
    if !there.put(state.clone())? && there.state().map(State::digest) != Some(state.digest()) {
        return Err(Failure::error(format!("{}: something else is recorded there", to.name)));
    }
    if let PlaceKind::File(path) = &to.kind {
        let back = local::moved_back(&mut RealDisk::new(), path, state.serial);
        back.map_err(|e| Failure::error(format!("{}: {e}", to.name)))?;
    }
    held.retire()?;
    let (things, serial) = (state.resources.len() + state.spares.len(), state.serial);
    if settings.json {
        let told =
            json!({ "schema": "rhumb.state_move/1", "from": from.name, "to": to.name, "serial": serial });
        terminal::print(&format!("{told}\n"))?;
    } else {
        terminal::print(&format!(
            "{things} things, serial {serial}, are recorded in {} from now on; the old file is kept as {}.moved.\nLet the spec name the new place: `state`.\n",
            clean(&to.name),
            clean(&from.name)
        ))?;
    }
    Ok(Exit::Done)
}
