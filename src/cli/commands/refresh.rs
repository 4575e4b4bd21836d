//! `rhumb refresh`.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Attributes, ResourceAddr};
use serde_json::{Value, json};

use crate::apply::{Drift, Found, differing};
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::held::Held;
use crate::cli::state::{StateArgs, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, reality};
use crate::state::State;

/// Name and version of the output: `src/cli/commands/refresh/schema.json`.
const SCHEMA: &str = "rhumb.drift/1";

/// Look at what exists, and record what is otherwise than recorded
///
/// Nothing that exists is changed, but what an earlier apply was cut off in is finished first. What others have changed is planned back by the
/// next plan, what is gone is made anew, what has our tags and is in no record is removed, and a run that has ended is recorded as such.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
    /// Where to look.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Show what is otherwise, and record nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Exit with 2 when something is otherwise than recorded
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let place = args.state.place(settings)?;
    let clouds = Clouds::of(&args.clouds)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    clouds.fits(state, &held.name)?;
    let silent = reality::silent(settings);
    if !args.dry_run {
        reality::settle(&mut held, &silent, &clouds)?;
    }
    let before = held.state().cloned();
    let drift = reality::look(&mut held, &silent, &clouds)?;
    if !args.dry_run {
        reality::record(&drift, &mut held, settings, &clouds)?;
    }
    if let Some(before) = &before {
        show(&drift, before, !args.dry_run, settings)?;
    }
    reality::complete(&drift)?;
    let otherwise = args.detailed_exitcode && !drift.found.is_empty();
    Ok(if otherwise { Exit::Changes } else { Exit::Done })
}

/// Shows what was found; `recorded` tells whether the state says so now.
///
/// # Errors
/// Standard output is closed.
pub fn show(drift: &Drift, before: &State, recorded: bool, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        return terminal::print(&format!("{}\n", json(drift, before, recorded)));
    }
    let mut text = String::new();
    for ((addr, handle), found) in &drift.found {
        let (mark, what) = words(addr, found, before);
        text.push_str(&format!("{mark} {addr}  ({}): {what}\n", handle.id));
    }
    for (what, why) in &drift.unseen {
        text.push_str(&format!("? {what}: {why}\n"));
    }
    let things = before.resources.len() + before.spares.len();
    let otherwise = drift.found.len();
    text.push_str(&match (otherwise, recorded) {
        (0, _) if drift.unseen.is_empty() => format!("{things} things looked at: all are as recorded.\n"),
        (0, _) => format!("{things} things looked at.\n"),
        (1, true) => {
            format!("{things} things looked at: 1 was otherwise than recorded, and is recorded now.\n")
        }
        (n, true) => {
            format!("{things} things looked at: {n} were otherwise than recorded, and are recorded now.\n")
        }
        (1, false) => {
            format!("{things} things looked at: 1 is otherwise than recorded; nothing was recorded.\n")
        }
        (n, false) => {
            format!("{things} things looked at: {n} are otherwise than recorded; nothing was recorded.\n")
        }
    });
    terminal::print(&text)
}

fn words(addr: &ResourceAddr, found: &Found, before: &State) -> (char, String) {
    match found {
        Found::Changed(now, outputs) => {
            let thing = before.resources.get(addr);
            let (none, nothing) = (Attributes::default(), BTreeMap::new());
            let (then, gave) = thing.map_or((&none, &nothing), |t| (&t.resource.attributes, &t.outputs));
            let each: Vec<String> = differing(then, now)
                .into_iter()
                .map(|name| format!("{name} {} -> {}", value(then.get(&name)), value(now.get(&name))))
                .collect();
            let given = |name: &&String| gave.get(*name) != outputs.get(*name);
            let names: BTreeSet<&String> = gave.keys().chain(outputs.keys()).collect();
            let word = |name: &String| match gave.contains_key(name) {
                true => format!("its {name} is another"),
                false => format!("its {name} was not recorded yet"),
            };
            let given: Vec<String> = names.into_iter().filter(given).map(word).collect();
            let what = if each.is_empty() { "what its cloud gave it" } else { "it was changed by others" };
            ('~', format!("{what}: {}", [each, given].concat().join("; ")))
        }
        Found::Settled => ('=', "its last change failed and left it as it was".to_owned()),
        Found::Vanished => ('-', "it is not there any more".to_owned()),
        Found::Others(lineage) => ('-', of_others(lineage)),
        Found::Completed => ('=', "it has run to its end".to_owned()),
        Found::Failed(why) => ('!', format!("it has failed: {why}")),
        Found::Stray(..) => (
            '+',
            "it has the tags of this deployment and is in no record: the next apply removes it".to_owned(),
        ),
    }
}

/// What is said of a thing whose id is another one's by now.
pub fn of_others(lineage: &str) -> String {
    // A cloud says it, of whoever wrote it there.
    format!(
        "what has its id is of another deployment (lineage {}): ours is not there any more",
        clean(lineage)
    )
}

fn value(attr: Option<&Attr>) -> String {
    match attr {
        None => "nothing".to_owned(),
        Some(Attr::Bool(b)) => b.to_string(),
        Some(Attr::Int(n)) => n.to_string(),
        // What a cloud answers may not reach a terminal as a command to it.
        Some(Attr::Text(t)) => format!("{t:?}"),
        Some(Attr::List(list)) => format!("{} items", list.len()),
        Some(Attr::Map(map)) => format!("{} entries", map.len()),
    }
}

fn json(drift: &Drift, before: &State, recorded: bool) -> Value {
    let found = drift.found.iter().map(|((addr, handle), found)| {
        let (kind, more) = match found {
            Found::Changed(now, _) => {
                let then = before.resources.get(addr).map(|thing| &thing.resource.attributes);
                let none = Attributes::default();
                let then = then.unwrap_or(&none);
                let each = differing(then, now)
                    .into_iter()
                    .map(|name| json!({ "name": name, "recorded": then.get(&name), "now": now.get(&name) }));
                ("changed", json!(each.collect::<Vec<_>>()))
            }
            Found::Settled => ("settled", Value::Null),
            Found::Vanished => ("gone", Value::Null),
            Found::Others(lineage) => ("gone", json!(of_others(lineage))),
            Found::Completed => ("completed", Value::Null),
            Found::Failed(why) => ("failed", json!(why)),
            Found::Stray(..) => ("stray", Value::Null),
        };
        let mut row = json!({ "address": addr, "id": handle.id, "found": kind });
        match found {
            Found::Changed(..) => row["attributes"] = more,
            Found::Failed(_) | Found::Others(_) => row["why"] = more,
            _ => {}
        }
        row
    });
    let unseen = drift.unseen.iter().map(|(what, why)| json!({ "what": what, "why": why }));
    json!({
        "schema": SCHEMA,
        "looked_at": before.resources.len() + before.spares.len(),
        "recorded": recorded,
        "drift": found.collect::<Vec<_>>(),
        "unseen": unseen.collect::<Vec<_>>(),
    })
}
