//! `rhumb what-if`.

mod view;

use std::path::PathBuf;

use crate::cli::load::{self, SpecArgs};
use crate::cli::planning::{self, Gathered, NoPlan, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::explore::{self, Change};
use crate::optimize;
use crate::placement::{Infeasible, Running};
use crate::plan::Plan;

/// Plan changed worlds beside the present one
///
/// Each CHANGE is a world of its own; changes joined by commas are made in one world. NAMES are a cloud, region, instance
/// type, series, accelerator or purchase option, joined by `/`, or `all`.
///
///   price:NAMES=x0.8           machines cost other prices (x1.1, +10%, -20%)
///   without:NAMES              machines that are not sold
///   traffic=x2                 more traffic; traffic:WORKLOAD=x2 of one workload
///   quota:CLOUD/REGION/P=+192  another quota, in its own unit (=192 declares one)
///   chat.precision=int4        a workload's model in one precision only
///   chat.slo.ttft_p95=700ms    another value of any key of the spec; null takes it away
///
/// A world in which nothing keeps the promises is a result as well, with its reasons.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A spec file, or a folder whose *.yaml, *.yml and *.hcl files are merged
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// What is different: `price:aws/p5=x0.8`, `without:aws/eu-west-1,traffic=x2`
    #[arg(value_name = "CHANGE", required = true)]
    worlds: Vec<String>,
    /// Set a variable; wins over --var-file and RHUMB_VAR_NAME
    #[arg(long = "var", value_name = "NAME=VALUE")]
    var: Vec<String>,
    /// Read variables from a YAML, JSON or HCL file; wins over RHUMB_VAR_NAME
    #[arg(long = "var-file", value_name = "FILE")]
    var_file: Vec<PathBuf>,
    /// Add or override catalogue rows by your own file, after those that the spec names
    #[arg(long = "catalog", value_name = "FILE")]
    catalog: Vec<PathBuf>,
    /// Take the machines of this saved plan for those that run before the present one (see `stability`)
    #[arg(long, value_name = "PLAN")]
    running: Option<PathBuf>,
}

/// A world and what is planned in it.
struct World {
    /// As typed; `None` = the present one.
    change: Option<String>,
    outcome: Result<Box<Plan>, Box<Infeasible>>,
}

/// Runs the command.
///
/// # Errors
/// The spec or a change is wrong.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let planning = PlanArgs {
        spec: SpecArgs { path: args.path.clone(), var: args.var.clone(), var_file: args.var_file.clone() },
        catalog: args.catalog.clone(),
        state: None,
        running: args.running.clone(),
        renamed_from: None,
    };
    let found = load::load(&planning.spec, &planning.catalog, settings)?;
    let present = planning::gather_found(found.clone(), &planning, settings)?;
    let (spec, catalog) = (&present.input.spec, &present.input.world.catalog);
    // All are read before any is planned: a slip of the keyboard costs no waiting.
    let mut worlds = Vec::new();
    for text in &args.worlds {
        let changes = explore::changes(text, spec, catalog).map_err(Failure::usage)?;
        let mut changed = if changes.iter().any(Change::is_key) {
            let edit = |tree: &mut serde_json::Value| changes.iter().try_for_each(|c| c.edit(tree));
            let other = load::load_edited(&found, edit, &planning.catalog, settings)?;
            planning::gather_found(other, &planning, settings)?
        } else {
            present.clone()
        };
        let input = &mut changed.input;
        changes
            .iter()
            .try_for_each(|c| c.apply(&mut input.spec, &mut input.world))
            .map_err(Failure::error)?;
        optimize::split_chains(&mut input.spec, &input.world);
        worlds.push((Some(text.clone()), changed));
    }
    worlds.insert(0, (None, present.clone()));
    let bar = progress::count("planning worlds", settings);
    let mut planned = Vec::new();
    let all = worlds.len() as u64;
    for (i, (change, mut gathered)) in worlds.into_iter().enumerate() {
        bar.at(i as u64, all);
        // What the present plan places runs by the time that the world changes.
        if let Some(World { outcome: Ok(plan), .. }) = planned.first() {
            gathered.input.world.running =
                Running::of_placement(&plan.placement).of_parts(&gathered.input.spec);
        }
        planned.push(World { change, outcome: outcome(&gathered)? });
    }
    bar.finish();
    let name = &present.input.spec.name;
    let text = if settings.json {
        format!("{:#}\n", view::json(name, &planned, &present.map))
    } else {
        let report = view::report(name, &planned, &present.map);
        terminal::text(&report, settings, None)
    };
    terminal::print(&text)?;
    Ok(Exit::Done)
}

fn outcome(gathered: &Gathered) -> Result<Result<Box<Plan>, Box<Infeasible>>, Failure> {
    match planning::think_of_day(gathered) {
        Ok(plan) => Ok(Ok(Box::new(plan))),
        Err(NoPlan::Infeasible(why)) => Ok(Err(why)),
        Err(NoPlan::Failure(failure)) => Err(failure),
    }
}
