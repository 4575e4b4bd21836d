//! `rhumb destroy`.

use crate::catalog::Catalog;
use crate::cli::asked::{PartArgs, as_asked};
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::commands::apply::approve;
use crate::cli::held::Held;
use crate::cli::state::StateArgs;
use crate::cli::{Exit, Failure, Settings, keys, load, reality};
use crate::plan::{self, Plan};
use crate::state::State;

/// Remove everything that a deployment owns
///
/// What exists is looked at first, what will go is shown, and it goes when you say yes. Everything that was recorded goes, and what has the tags
/// of the deployment; the state stays, and says so. `rhumb plan --destroy --out` saves the same for somebody else to approve.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
    /// Which part of it.
    #[command(flatten)]
    pub part: PartArgs,
    /// Where it is.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Refuse (exit 4): nobody has signed what is planned and done in one go
    #[arg(long, value_name = "KEY", env = "RHUMB_REQUIRE_SIGNATURE")]
    pub require_signature: Vec<String>,
    /// Destroy without asking
    #[arg(long)]
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
    if settings.json && !args.yes {
        return Err(Failure::usage("--json asks nobody: say --yes"));
    }
    keys::unsigned(&args.require_signature, "rhumb plan --destroy --out")?;
    let place = args.state.place(settings)?;
    let clouds = Clouds::of(&args.clouds)?;
    let mut held = Held::open(&place, settings)?;
    let Some(state) = held.state() else {
        return Err(Failure::error(format!("{}: nothing was ever recorded there", held.name)));
    };
    clouds.fits(state, &held.name)?;
    reality::settle(&mut held, settings, &clouds)?;
    if !args.no_refresh {
        reality::refresh(&mut held, settings, &clouds)?;
    }
    let Some(plan) = held.state().map(|state| removal(state, settings)) else { return Ok(Exit::Done) };
    let plan = as_asked(plan, args.part.asked(), held.state())?;
    // A spec that does not load keeps nothing from being removed.
    let catalog =
        load::load(&args.state.spec, &[], settings).map_or_else(|_| Catalog::embedded(), |l| l.catalog);
    approve(&plan, args.yes, &mut held, settings, &clouds, &catalog)
}

/// The plan by which everything of a state goes.
pub fn removal(state: &State, settings: &Settings) -> Plan {
    plan::destroy(plan::name_of(state), &created(settings), state, plan::warnings_of_state(state))
}

/// The planning time of a plan: seconds, UTC.
pub fn created(settings: &Settings) -> String {
    let now = settings.now.to_string();
    now.split('.').next().unwrap_or(&now).trim_end_matches('Z').to_owned() + "Z"
}
