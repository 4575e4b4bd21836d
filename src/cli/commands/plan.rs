//! `rhumb plan`.

use std::path::PathBuf;

use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::watch::{self, SearchArgs};
use crate::cli::{Exit, Failure, Settings, files};
use crate::optimize::{Standing, Watch};
use crate::{check, plan, report};

/// Plan a spec: choose, price and check a placement
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan.
    #[command(flatten)]
    pub planning: PlanArgs,
    /// How far to search.
    #[command(flatten)]
    pub search: SearchArgs,
    /// Save the plan to this file, for show, check and apply
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 when there are changes
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Exit with 5 when a fact that the placement needs is missing, or a machine's price is older than this
    #[arg(long, value_name = "DAYS", value_parser = planning::days)]
    pub max_age: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let gathered = planning::gather(&args.planning, settings)?;
    let watching = watch::begin(&args.search, settings);
    let ask = |standing: &Standing| watching.ask(standing);
    let outcome = planning::think_watched(&gathered, Watch { nodes: args.search.effort, ask: Some(&ask) });
    drop(watching);
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
            return Ok(Exit::of(&why));
        }
    };
    if let Some(path) = &args.out {
        files::write_atomically(&settings.dir.join(path), plan::file::encode(&plan).as_bytes(), 0o600)?;
    }
    let facts = args.max_age.map(|limit| check::facts(&gathered.input.world, &plan.placement, Some(limit)));
    if settings.json {
        let mut value = report::json::plan(&plan);
        if let Some(facts) = &facts {
            value["inconclusive"] = report::json::facts(facts);
        }
        terminal::print(&format!("{value}\n"))?;
    } else {
        let mut report = report::report(&plan);
        report.sections.extend(report::facts(facts.as_deref().unwrap_or_default()));
        terminal::print(&terminal::text(&report, settings, None))?;
    }
    let nothing = plan.steps.is_empty() && plan.leftovers.is_empty();
    let changes = if args.detailed_exitcode && !nothing { Exit::Changes } else { Exit::Done };
    let known = if facts.is_some_and(|f| !f.is_empty()) { Exit::Inconclusive } else { Exit::Done };
    Ok(changes.and(known).and(planning::exit_of(&plan)))
}
