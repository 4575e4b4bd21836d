//! `rhumb state`.

use std::path::PathBuf;

use rhumb_api::ResourceAddr;
use serde_json::{Value, json};

use crate::cli::held::{Held, store_failure, who};
use crate::cli::load::SpecArgs;
use crate::cli::state::{StateArgs, StatePlace, address, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::report::Cell;
use crate::state::{Record, State, file, remote};

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
    Rm(Rm),
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
#[command(alias = "forget")]
struct Rm {
    /// Their addresses
    #[arg(value_name = "ADDRESS", required = true, value_parser = address)]
    addresses: Vec<ResourceAddr>,
    #[command(flatten)]
    here: Here,
}

/// Print the whole state, as its file would have it
#[derive(Debug, clap::Args)]
struct Pull {
    #[command(flatten)]
    state: StateArgs,
    /// As it was at this serial, of a state in a bucket (`rhumb state versions`)
    #[arg(long, value_name = "SERIAL")]
    serial: Option<u64>,
}

/// List the versions of a state in a bucket
///
/// A version is made at the end of each apply. They are kept until somebody removes them.
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
        Command::Rm(rm) => return remove(rm, settings),
        Command::Pull(pull) => {
            let state = match pull.serial {
                None => pull.state.read(settings)?.1,
                Some(serial) => version(serial, &pull.state.place(settings)?)?,
            };
            terminal::print(&file::encode(&state))?;
        }
        Command::Versions(all) => terminal::print(&versions(&all.state.place(settings)?, settings)?)?,
    }
    Ok(Exit::Done)
}

fn version(serial: u64, place: &StatePlace) -> Result<State, Failure> {
    let found = remote::read_version(&place.bucket()?, serial).map_err(store_failure)?;
    found.ok_or_else(|| {
        let help = "`rhumb state versions` lists them";
        Failure::error(format!("{}: there is no version of serial {serial}; {help}", place.name))
    })
}

fn versions(place: &StatePlace, settings: &Settings) -> Result<String, Failure> {
    let all = remote::versions(&place.bucket()?).map_err(store_failure)?;
    let at = |ms: i64| {
        jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "not known".to_owned(), |t| t.to_string())
    };
    if settings.json {
        let row = |v: &remote::Version| json!({ "serial": v.serial, "at": at(v.at), "bytes": v.bytes });
        let rows: Vec<Value> = all.iter().map(row).collect();
        return Ok(format!("{}\n", json!({ "schema": "rhumb.state_versions/1", "versions": rows })));
    }
    if all.is_empty() {
        return Ok("There is no version yet.\n".to_owned());
    }
    let row =
        |v: &remote::Version| [v.serial.to_string(), at(v.at), v.bytes.to_string()].map(Cell::plain).to_vec();
    let rows: Vec<Vec<Cell>> = all.iter().map(row).collect();
    Ok(terminal::grid(&[("SERIAL", true), ("WHEN", false), ("BYTES", true)], &rows, &settings.for_lists()))
}

/// Name and version of the list: `src/cli/commands/state/schema.json`.
const SCHEMA: &str = "rhumb.state_list/1";

fn listed(state: &State, settings: &Settings) -> String {
    let used = state.resources.iter().map(|(addr, thing)| (addr, thing, note(thing)));
    let spare = |spare: &crate::state::Spare| format!("to be removed: {}", spare.why.as_str());
    let spares = state.spares.iter().map(|s| (&s.address, &*s.thing, spare(s)));
    let all = used.chain(spares);
    if settings.json {
        let row = |(addr, thing, note): (&ResourceAddr, &crate::state::StateResource, String)| {
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
    let row = |(addr, thing, note): (&ResourceAddr, &crate::state::StateResource, String)| {
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

fn note(thing: &crate::state::StateResource) -> String {
    match &thing.doubtful {
        Some(why) => format!("not known to be as recorded: {why}"),
        None if thing.complete => "has run to its end".to_owned(),
        None => String::new(),
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

fn unknown(address: &ResourceAddr, place: &StatePlace, state: &State) -> Failure {
    let near = |addr: &&ResourceAddr| strsim::damerau_levenshtein(addr.as_str(), address.as_str());
    let help = match state.resources.keys().min_by_key(near) {
        Some(addr) => format!("did you mean {addr}? `rhumb state list` lists all"),
        None => "nothing is".to_owned(),
    };
    Failure::error(format!("{}: {address} is not recorded; {help}", place.name))
}

fn remove(rm: &Rm, settings: &Settings) -> Result<Exit, Failure> {
    let place = rm.here.args().place(settings)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    for address in &rm.addresses {
        if !state.resources.contains_key(address) {
            return Err(unknown(address, &place, state));
        }
        let stands_on = |(other, thing): &(&ResourceAddr, &crate::state::StateResource)| {
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
        at: settings.now.to_string(),
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
