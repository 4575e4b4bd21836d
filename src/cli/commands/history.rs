//! `rhumb history`.

use serde_json::json;

use crate::cli::state::{StateArgs, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings};
use crate::report::Cell;
use crate::state::{Deed, What};

/// Name and version of the output: `src/cli/commands/history/schema.json`.
const SCHEMA: &str = "rhumb.history/1";

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
    let (_, state) = args.state.read(settings)?;
    if settings.json {
        let value = json!({ "schema": SCHEMA, "lineage": state.lineage, "serial": state.serial, "history": state.history });
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
    let rows: Vec<Vec<Cell>> = state.history.iter().map(row).collect();
    terminal::print(&terminal::grid(&columns, &rows, &settings.for_lists()))?;
    Ok(Exit::Done)
}

fn row(deed: &Deed) -> Vec<Cell> {
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
    [deed.serial.to_string(), clean(&at), clean(&deed.by), deed.what.as_str().to_owned(), clean(plan), result]
        .map(Cell::plain)
        .to_vec()
}
