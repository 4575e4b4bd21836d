//! `rhumb history`.

use serde_json::json;

use crate::cli::state::{StateArgs, StatePlace, clean};
use crate::cli::view::terminal;
use crate::cli::wanted::left_by;
use crate::cli::{Exit, Failure, Settings};
use crate::report::Cell;
use crate::state::{Deed, State, What};

/// Name and version of the output: `src/cli/commands/history/schema.json`.
const SCHEMA: &str = "rhumb.history/1";

/// The word for an apply after which nothing is left.
const DESTROY: &str = "destroy";

/// Show what was done to a deployment, when, and by whom
///
/// The latest is last. A plan is named by the beginning of its digest, which is in its file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (place, state) = args.state.read(settings)?;
    let what =
        |at: usize| if destroyed(&place, &state, at) { DESTROY } else { state.history[at].what.as_str() };
    if settings.json {
        let mut value = json!({ "schema": SCHEMA, "lineage": state.lineage, "serial": state.serial, "history": state.history });
        for at in 0..state.history.len() {
            value["history"][at]["what"] = what(at).into();
        }
        terminal::print(&format!("{value}\n"))?;
        return Ok(Exit::Done);
    }
    if state.history.is_empty() {
        terminal::print("Nothing was done yet that is remembered.\n")?;
        return Ok(Exit::Done);
    }
    let columns = [
        ("SERIAL", true),
        ("WHEN", false),
        ("BY", false),
        ("WHAT", false),
        ("PLAN", false),
        ("RESULT", false),
    ];
    let rows: Vec<Vec<Cell>> =
        state.history.iter().enumerate().map(|(at, deed)| row(deed, what(at))).collect();
    terminal::print(&terminal::grid(&columns, &rows, &settings.for_lists()))?;
    Ok(Exit::Done)
}

/// Whether an apply has removed everything and made nothing. What was kept of its end tells; where nothing was, it goes as an apply.
fn destroyed(place: &StatePlace, state: &State, at: usize) -> bool {
    let deed = &state.history[at];
    let removed = deed.removed > 0 && (deed.created, deed.changed) == (0, 0);
    let empty = |left: State| left.resources.is_empty() && left.spares.is_empty();
    deed.what == What::Apply
        && deed.complete == Some(true)
        && removed
        && left_by(place, state, at).ok().flatten().is_some_and(empty)
}

fn row(deed: &Deed, what: &str) -> Vec<Cell> {
    let result = match (deed.what, &deed.address) {
        (What::Apply, _) => {
            let counts =
                format!("{} created, {} changed, {} removed", deed.created, deed.changed, deed.removed);
            match deed.complete {
                Some(true) => counts,
                Some(false) => format!("{counts}; not complete"),
                None => format!("{counts}; cut off"),
            }
        }
        (_, Some(address)) => address.to_string(),
        _ => String::new(),
    };
    let plan = deed.plan.as_deref().map_or("", |digest| digest.get(..12).unwrap_or(digest));
    let at = deed.at.get(..19).map_or(deed.at.clone(), |at| format!("{at}Z"));
    [deed.serial.to_string(), clean(&at), clean(&deed.by), what.to_owned(), clean(plan), result]
        .map(Cell::plain)
        .to_vec()
}
