//! `rhumb plan`.

use std::path::PathBuf;

use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, files, progress};
use crate::{plan, report};

/// Plan a spec: choose, price and check a placement
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan.
    #[command(flatten)]
    pub planning: PlanArgs,
    /// Save the plan to this file, for show, check and apply
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let gathered = planning::gather(&args.planning, settings)?;
    let progress = progress::start("searching placements", settings);
    let outcome = planning::think(&gathered);
    progress.finish();
    let plan = match outcome {
        Ok(plan) => plan,
        Err(NoPlan::Failure(failure)) => return Err(failure),
        Err(NoPlan::Infeasible(why)) => {
            let name = &gathered.input.spec.name;
            if settings.json {
                terminal::print(&format!("{}\n", report::json::infeasible(name, &why, &gathered.map)))?;
            } else {
                let report = report::infeasible(name, &why, &gathered.map);
                terminal::print(&terminal::text(&report, settings, None))?;
            }
            return Ok(Exit::Infeasible);
        }
    };
    if let Some(path) = &args.out {
        files::write_atomically(&settings.dir.join(path), plan::file::encode(&plan).as_bytes(), 0o600)?;
    }
    if settings.json {
        terminal::print(&format!("{}\n", report::json::plan(&plan)))?;
    } else {
        terminal::print(&terminal::text(&report::report(&plan), settings, None))?;
    }
    let changes = if args.detailed_exitcode && !plan.steps.is_empty() { Exit::Changes } else { Exit::Done };
    Ok(changes.and(planning::exit_of(&plan)))
}
