//! `rhumb plan`.

use std::path::PathBuf;
use std::time::Duration;

use super::{destroy, refresh};
use crate::cli::asked::{AskedArgs, as_asked};
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::held::Held;
use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::state::StateArgs;
use crate::cli::view::terminal;
use crate::cli::watch::{self, SearchArgs};
use crate::cli::{Exit, Failure, Settings, files, keys, reality};
use crate::optimize::{Standing, Watch};
use crate::plan::{self, Plan, SigningKey};
use crate::{check, report};

/// Plan a spec: choose, price and check a placement
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan.
    #[command(flatten)]
    pub planning: PlanArgs,
    /// How far to search.
    #[command(flatten)]
    pub search: SearchArgs,
    /// What is asked besides.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Save the plan to this file, for show, check and apply
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sign the saved plan with this private key: a file, or env:NAME for a variable of the environment (see `rhumb sign`)
    #[arg(long, value_name = "KEY", requires = "out")]
    pub sign: Option<String>,
    /// Let the saved plan be applied for this long and no longer (48h)
    #[arg(long, value_name = "DURATION", requires = "out", value_parser = watch::duration)]
    pub valid_for: Option<Duration>,
    /// Where to look, with --refresh or --refresh-only.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Look first at what exists, and record what is otherwise than recorded
    #[arg(long)]
    pub refresh: bool,
    /// Show what is otherwise than recorded, and plan nothing
    #[arg(long, conflicts_with_all = ["refresh", "destroy", "out", "max_age", "target", "exclude", "replace"])]
    pub refresh_only: bool,
    /// Plan that everything goes
    #[arg(long, conflicts_with_all = ["max_age", "replace"])]
    pub destroy: bool,
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
    // A key that is none is told of before the search, not after it.
    let key = args.sign.as_ref().map(|named| keys::signing(named, settings)).transpose()?;
    if args.clouds.simulate.is_some() && !args.refresh && !args.refresh_only {
        return Err(Failure::usage("--simulate changes nothing here without --refresh or --refresh-only"));
    }
    if args.refresh_only {
        return refresh::run(&only_looking(args), settings);
    }
    if args.destroy {
        return of_destruction(args, key.as_ref(), settings);
    }
    let gathered = match args.refresh {
        false => planning::gather(&args.planning, settings)?,
        true => {
            let mut gathered = planning::gather_unheld(&args.planning, settings)?;
            let clouds = Clouds::of(&args.clouds)?;
            let mut held = Held::open(&gathered.store, settings)?;
            reality::refresh(&mut held, &reality::silent(settings), &clouds)?;
            gathered.hold(held.state().cloned(), &args.planning)?;
            gathered
        }
    };
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
    let plan = as_asked(plan, args.asked.asked(), gathered.input.prior.as_ref())?;
    let plan = plan.weighed(&gathered.input.spec, &gathered.input.world.catalog);
    let plan = valid_for(plan, args.valid_for)?;
    save(&plan, args.out.as_ref(), key.as_ref(), settings)?;
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
    let changes = if args.detailed_exitcode && changes(&plan) { Exit::Changes } else { Exit::Done };
    let known = if facts.is_some_and(|f| !f.is_empty()) { Exit::Inconclusive } else { Exit::Done };
    Ok(changes.and(known).and(planning::exit_of(&plan)))
}

/// Saves a plan where that was asked for, signed if that was.
///
/// # Errors
/// The file cannot be written.
pub fn save(
    plan: &Plan,
    out: Option<&PathBuf>,
    key: Option<&SigningKey>,
    settings: &Settings,
) -> Result<(), Failure> {
    let Some(path) = out else { return Ok(()) };
    let signatures = key.map(|key| key.sign(&plan::file::digest_of(plan)));
    let text = plan::file::encode_signed(plan, signatures.into_iter().collect());
    files::write_atomically(&settings.dir.join(path), text.as_bytes(), 0o600)
}

/// The plan with the end of the time for which it may be applied.
///
/// # Errors
/// The end is beyond what a calendar has.
pub fn valid_for(plan: Plan, valid_for: Option<Duration>) -> Result<Plan, Failure> {
    let Some(length) = valid_for else { return Ok(plan) };
    let made: Option<jiff::Timestamp> = plan.created.parse().ok();
    let until = made.and_then(|made| made.checked_add(length).ok());
    let until = until.ok_or_else(|| Failure::usage("--valid-for: there is no such day"))?;
    Ok(Plan { valid_until: Some(seconds(until)), ..plan })
}

fn seconds(at: jiff::Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

fn changes(plan: &Plan) -> bool {
    !plan.steps.is_empty() || !plan.leftovers.is_empty()
}

/// The same question, to the command that asks nothing else.
fn only_looking(args: &Args) -> refresh::Args {
    let state = StateArgs { spec: args.planning.spec.clone(), state: args.planning.state.clone() };
    let clouds = args.clouds.clone();
    refresh::Args { state, clouds, dry_run: true, detailed_exitcode: args.detailed_exitcode }
}

/// The plan by which everything goes.
fn of_destruction(args: &Args, key: Option<&SigningKey>, settings: &Settings) -> Result<Exit, Failure> {
    let place = StateArgs { spec: args.planning.spec.clone(), state: args.planning.state.clone() };
    let state = if args.refresh {
        let clouds = Clouds::of(&args.clouds)?;
        let mut held = Held::open(&place.place(settings)?, settings)?;
        reality::refresh(&mut held, &reality::silent(settings), &clouds)?;
        held.state().cloned()
    } else {
        Some(place.read(settings)?.1)
    };
    let Some(state) = state else {
        return Err(Failure::error("nothing was ever recorded there: there is nothing to destroy"));
    };
    let plan = as_asked(destroy::removal(&state, settings), args.asked.asked(), Some(&state))?;
    let plan = valid_for(plan, args.valid_for)?;
    save(&plan, args.out.as_ref(), key, settings)?;
    if settings.json {
        terminal::print(&format!("{}\n", report::json::plan(&plan)))?;
    } else {
        terminal::print(&terminal::text(&report::report(&plan), settings, None))?;
    }
    Ok(if args.detailed_exitcode && changes(&plan) { Exit::Changes } else { Exit::Done })
}
