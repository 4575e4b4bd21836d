//! `rhumb validate`.

use crate::cli::load::{SpecArgs, load};
use crate::cli::stdout::print;
use crate::cli::view::diagnostics;
use crate::cli::{Exit, Failure, Settings};
use crate::diagnostic::Diagnostics;
use crate::graph;

/// Check a spec without planning it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let found = load(&args.spec, &[], settings)?;
    let spec = &found.loaded.spec;
    graph::compile(spec).map_err(|error| {
        let map = &found.loaded.map;
        Diagnostics::new(map.clone(), vec![error.diagnostic(map)])
    })?;
    if settings.json {
        print(&format!("{:#}\n", diagnostics::json(&found.loaded.warnings)))?;
        return Ok(Exit::Done);
    }
    diagnostics::print_warnings(&found.loaded.warnings, settings);
    if !settings.quiet {
        let plural = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let trainings = match spec.trainings.len() {
            0 => String::new(),
            n => format!(", {}", plural(n, "training", "trainings")),
        };
        let pipelines = match spec.pipelines.len() {
            0 => String::new(),
            n => format!(", {}", plural(n, "pipeline", "pipelines")),
        };
        let federations = match spec.federations.len() {
            0 => String::new(),
            n => format!(", {}", plural(n, "federation", "federations")),
        };
        print(&format!(
            "{} is valid: {}, {}, {}{trainings}{pipelines}{federations}\n",
            spec.name,
            plural(spec.models.len(), "model", "models"),
            plural(spec.services.len() + spec.profiled.len(), "service", "services"),
            plural(spec.batches.len(), "batch", "batches"),
        ))?;
    }
    Ok(Exit::Done)
}
