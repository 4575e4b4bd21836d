//! `rhumb rollback`.

use std::path::PathBuf;
use std::time::Duration;

use super::destroy::created;
use super::plan::{save, valid_for};
use crate::catalog::Catalog;
use crate::cli::asked::{PartArgs, as_asked};
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::commands::apply::approve;
use crate::cli::held::Held;
use crate::cli::state::{StateArgs, StatePlace};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, keys, load, reality, spend, watch};
use crate::plan::{self, Plan, SigningKey};
use crate::report;
use crate::state::{State, What};

/// Lead a deployment back to what it was at the end of an earlier apply
///
/// The plan for it follows from what was recorded then and what is recorded now; it is shown and applied when you say yes, or saved with
/// --out for somebody else to approve. The spec stays as it is: change it back too, or the next plan leads forward again. Runs that end by
/// themselves are left as they are. `rhumb state versions` lists what there is to go back to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
    /// To the version of this serial
    #[arg(long, value_name = "SERIAL", required = true)]
    pub to: u64,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// Save the plan to this file and apply nothing
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Sign the saved plan with this private key: a file, or env:NAME for a variable of the environment (see `rhumb sign`)
    #[arg(long, value_name = "KEY", requires = "out")]
    pub sign: Option<String>,
    /// Let the saved plan be applied for this long and no longer (48h)
    #[arg(long, value_name = "DURATION", requires = "out", value_parser = watch::duration)]
    pub valid_for: Option<Duration>,
    /// Where it is.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Refuse (exit 4) without --out: nobody has signed what is planned and done in one go
    #[arg(long, value_name = "KEY", env = "RHUMB_REQUIRE_SIGNATURE")]
    pub require_signature: Vec<String>,
    /// Go back without asking
    #[arg(long, conflicts_with = "out")]
    pub yes: bool,
    /// Go by what is recorded, without looking first at what exists
    #[arg(long)]
    pub no_refresh: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    if args.out.is_none() && settings.json && !args.yes {
        return Err(Failure::usage("--json asks nobody: say --yes, or save the plan with --out"));
    }
    let key = args.sign.as_ref().map(|named| keys::signing(named, settings)).transpose()?;
    if args.out.is_none() {
        keys::unsigned(&args.require_signature, "rhumb rollback --out")?;
    }
    let place = args.state.place(settings)?;
    let to = place.version(args.to)?;
    if args.out.is_some() && args.no_refresh {
        let (_, state) = args.state.read(settings)?;
        let plan = valid_for(led_back(&state, &to, &place, args, settings)?, args.valid_for)?;
        return saved(&plan, args, key.as_ref(), settings);
    }
    let clouds = Clouds::of(&args.clouds)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    clouds.fits(state, &held.name)?;
    let looking = if args.out.is_some() { reality::silent(settings) } else { settings.clone() };
    reality::settle(&mut held, &looking, &clouds)?;
    if !args.no_refresh {
        reality::refresh(&mut held, &looking, &clouds)?;
    }
    let Some(state) = held.state().cloned() else { return Ok(Exit::Done) };
    let plan = valid_for(led_back(&state, &to, &place, args, settings)?, args.valid_for)?;
    if args.out.is_some() {
        return saved(&plan, args, key.as_ref(), settings);
    }
    approve(&plan, args.yes, &mut held, settings, &clouds, &catalog(args, settings)?)
}

fn saved(plan: &Plan, args: &Args, key: Option<&SigningKey>, settings: &Settings) -> Result<Exit, Failure> {
    save(plan, args.out.as_ref(), key, settings)?;
    if settings.json {
        terminal::print(&format!("{}\n", report::json::plan(plan)))?;
    } else {
        terminal::print(&terminal::text(&report::report(plan), settings, None))?;
    }
    Ok(Exit::Done)
}

fn catalog(args: &Args, settings: &Settings) -> Result<Catalog, Failure> {
    let spec = args.state.state.is_none() || load::find(&args.state.spec.path, settings).is_ok();
    Ok(match spec {
        true => load::load(&args.state.spec, &[], settings)?.catalog,
        false => Catalog::embedded(),
    })
}

/// The plan, with what a person must know before it is approved.
fn led_back(
    state: &State,
    to: &State,
    place: &StatePlace,
    args: &Args,
    settings: &Settings,
) -> Result<Plan, Failure> {
    let catalog = catalog(args, settings)?;
    let machines = |state: &State| spend::in_words(state.resources.values().map(|t| &t.resource), &catalog);
    let mut warnings = plan::warnings_of_state(state);
    warnings.push(format!(
        "this leads back to what was at serial {}: nobody has planned it anew, so promises, budgets and quotas were not looked at",
        to.serial
    ));
    if let Some(deed) = to.history.iter().rev().find(|deed| deed.what == What::Apply)
        && deed.complete != Some(true)
    {
        warnings.push(format!(
            "the apply that serial {} is the end of was not complete: it leads back to a half of it",
            to.serial
        ));
    }
    warnings.push(format!("machines as recorded now: {}; then: {}", machines(state), machines(to)));
    warnings
        .push("the spec stays as it is: change it back too, or the next plan leads forward again".to_owned());
    let left: Vec<&str> = to
        .resources
        .iter()
        .filter(|(_, thing)| thing.handle().is_some_and(|h| state.forgotten.binary_search(&h).is_ok()))
        .map(|(addr, _)| addr.as_str())
        .collect();
    if !left.is_empty() {
        warnings.push(format!(
            "{}: it was left to others since and goes on existing; another one is made",
            left.join(", ")
        ));
    }
    let name = plan::name_of(if state.resources.is_empty() { to } else { state });
    let plan = plan::rollback(name, &created(settings), state, to, warnings);
    let plan = plan.map_err(|why| Failure::error(format!("{}: serial {}: {why}", place.name, args.to)))?;
    as_asked(plan, args.part.asked(), Some(state))
}
