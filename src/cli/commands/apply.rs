//! `rhumb apply`.

mod view;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use rhumb_api::ResourceAddr;

use crate::apply::{Machine, Summary, Work};
use crate::catalog::Catalog;
use crate::cli::asked::{AskedArgs, as_asked};
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::held::{Held, store_failure, who};
use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::saved::Basis;
use crate::cli::spend::Now;
use crate::cli::state::clean;
use crate::cli::stdout::{print, print_error};
use crate::cli::view::terminal;
use crate::cli::watch::{self, SearchArgs};
use crate::cli::{Exit, Failure, Settings, files, keys, reality};
use crate::optimize::{Standing, Watch};
use crate::plan::{self, LeftWhy, Plan, VerifyingKey};
use crate::report;
use crate::state::{Deed, Record, State, Taken, What};
pub use view::View;

/// Make what a plan says, exactly that, each thing once
///
/// PATH is a plan that `rhumb plan --out` saved, which is applied as it is or refused with the reason; or a spec, which is planned, shown
/// and applied when you say yes. What an earlier apply left unfinished, however it ended, is found and finished first.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to plan; PATH may be a saved plan.
    #[command(flatten)]
    pub planning: PlanArgs,
    /// How far to search.
    #[command(flatten)]
    pub search: SearchArgs,
    /// Of a spec: what is asked besides.
    #[command(flatten)]
    pub asked: AskedArgs,
    /// Where to.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Refuse (exit 4) a saved plan that this public key's owner has not signed, and every spec; several: all must have. A file, or
    /// env:NAME for a variable of the environment
    #[arg(long, value_name = "KEY", env = "RHUMB_REQUIRE_SIGNATURE")]
    pub require_signature: Vec<String>,
    /// Apply without asking
    #[arg(long)]
    pub yes: bool,
    /// Let what serves so far go although what takes its place does not answer its health checks
    #[arg(long)]
    pub ignore_health: bool,
    /// Of a spec: plan from what is recorded, without looking first at what exists
    #[arg(long)]
    pub no_refresh: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    if settings.json && !args.yes && saved(args, settings).is_none() {
        return Err(Failure::usage("--json asks nobody: say --yes, or apply a saved plan"));
    }
    if saved(args, settings).is_some() && !args.asked.asked().is_empty() {
        return Err(Failure::usage(
            "a saved plan is applied as it is: say --target, --exclude and --replace to `rhumb plan`",
        ));
    }
    let required = keys::required(&args.require_signature, settings)?;
    if saved(args, settings).is_none() {
        keys::unsigned(&args.require_signature, "rhumb plan --out")?;
    }
    let mut clouds = Clouds::of(&args.clouds)?;
    clouds.options.ignore_health = args.ignore_health;
    match saved(args, settings) {
        Some(path) => of_plan(&path, &required, args, settings, &clouds),
        None => of_spec(args, settings, &clouds),
    }
}

/// The saved plan that PATH names, if it is one.
fn saved(args: &Args, settings: &Settings) -> Option<PathBuf> {
    let path = &args.planning.spec.path;
    planning::is_plan(&settings.dir.join(path)).then(|| path.clone())
}

/// Applies a saved plan as it is.
fn of_plan(
    path: &Path,
    required: &[(String, VerifyingKey)],
    args: &Args,
    settings: &Settings,
    clouds: &Clouds,
) -> Result<Exit, Failure> {
    let name = path.display().to_string();
    let text = files::read_text(&settings.dir.join(path))?;
    let (mut plan, signatures) =
        plan::file::decode_signed(&name, &text).map_err(|e| Failure::error(e.to_string()))?;
    let digest = plan::file::digest_of(&plan);
    drop(text);
    keys::approved(&name, &digest, &signatures, required)?;
    let basis = Basis::of(&plan, &args.planning, settings)?;
    clouds.can(&plan)?;
    let mut held = Held::open(&basis.place, settings)?;
    if let Some(state) = held.state() {
        clouds.fits(state, &held.name)?;
        plan.share(state);
    }
    if let Some(deed) = held.state().and_then(|state| done_before(&digest, state)) {
        let told = format!(
            "{name}: this plan was applied by {} at {}: nothing is left to do.\n",
            clean(&deed.by),
            clean(&deed.at)
        );
        if settings.json {
            let mut view = View::new(settings);
            view.applied(deed);
            let now = held.state().map(|state| Now::recorded(state, &basis.catalog));
            view.end(&plan, &Summary::default(), now)?;
        } else {
            print(&told)?;
        }
        return Ok(Exit::Done);
    }
    let reasons = basis.outdated(&plan, held.state(), settings);
    if !reasons.is_empty() {
        let text = format!("{name}: the plan is stale: {}; plan again", reasons.join("; "));
        return Err(Failure::Message { exit: Exit::Stale, text });
    }
    execute(&plan, &mut held, settings, clouds, &basis.catalog)
}

/// The apply of a plan that was the last deed and did all of it.
fn done_before<'s>(plan: &str, state: &'s State) -> Option<&'s Deed> {
    let last = state.history.last()?;
    let of_plan = last.what == What::Apply && last.plan.as_deref() == Some(plan);
    (of_plan && last.complete == Some(true)).then_some(last)
}

/// Plans a spec, shows it, asks, and applies it.
fn of_spec(args: &Args, settings: &Settings, clouds: &Clouds) -> Result<Exit, Failure> {
    let mut gathered = planning::gather_unheld(&args.planning, settings)?;
    let mut held = Held::open(&gathered.store, settings)?;
    if let Some(state) = held.state() {
        clouds.fits(state, &held.name)?;
    }
    reality::settle(&mut held, settings, clouds)?;
    if !args.no_refresh {
        reality::refresh(&mut held, settings, clouds)?;
    }
    gathered.hold(held.state().cloned(), &args.planning)?;
    let watching = watch::begin(&args.search, settings);
    let ask = |standing: &Standing| watching.ask(standing);
    let outcome = planning::think_watched(&gathered, Watch { nodes: args.search.effort, ask: Some(&ask) });
    drop(watching);
    // Whoever is asked may take the best so far; nobody is asked with --yes.
    if args.yes && files::interrupted() {
        return Err(interrupted());
    }
    let plan = outcome.map_err(|why: NoPlan| Failure::from(why))?;
    if planning::exit_of(&plan) != Exit::Done {
        return Err(Failure::Message {
            exit: planning::exit_of(&plan),
            text: "the plan breaks a limit that workloads share; `rhumb plan` says which".to_owned(),
        });
    }
    let plan = as_asked(plan, args.asked.asked(), held.state())?;
    let plan = plan.weighed(&gathered.input.spec, &gathered.input.world.catalog);
    approve(&plan, args.yes, &mut held, settings, clouds, &gathered.input.world.catalog)
}

/// Shows a plan, asks, and applies it.
///
/// # Errors
/// See [`Failure`]; also that nobody said yes.
pub fn approve(
    plan: &Plan,
    yes: bool,
    held: &mut Held,
    settings: &Settings,
    clouds: &Clouds,
    catalog: &Catalog,
) -> Result<Exit, Failure> {
    if !settings.json {
        terminal::print(&terminal::text(&report::report(plan), settings, None))?;
    }
    clouds.can(plan)?;
    let nothing = plan.steps.is_empty() && plan.leftovers.is_empty();
    // What an apply that was cut off began is as planned by now, or what a look has found is planned so by now: that is recorded as an apply
    // that had nothing to do.
    let cut_off = held.state().is_some_and(|state| state.applying.is_some());
    let whole = plan.left.iter().all(|left| left.why != LeftWhy::Asked);
    if nothing && !cut_off && !(whole && held.is_unlike_the_last_apply()?) {
        if settings.json {
            let now = held.state().map(|state| Now::of(state, clouds, catalog));
            View::new(settings).end(plan, &Summary::default(), now)?;
        }
        return Ok(Exit::Done);
    }
    if !yes && !nothing && !agreed(plan, clouds.simulated)? {
        return Err(Failure::error("nothing was changed: you did not say yes"));
    }
    execute(plan, held, settings, clouds, catalog)
}

/// Asks; only the word `yes` agrees, and the end of input does not.
fn agreed(plan: &Plan, simulated: bool) -> Result<bool, Failure> {
    let (ask, to, of) = match plan.destroy {
        true => ("Destroy all of this", "", " of the simulated cloud"),
        false => ("Apply this plan", " to the simulated cloud", ""),
    };
    let where_to = if simulated { format!("{to}{of}") } else { String::new() };
    print_error(&format!("\n{ask}{where_to}? Only `yes` is taken for it: "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|e| Failure::error(format!("nothing was changed: your answer cannot be read: {e}")))?;
    if !std::io::stdin().is_terminal() {
        print_error("\n");
    }
    Ok(line.trim_end_matches(['\n', '\r']) == "yes")
}

/// That somebody asked to end before anything was changed.
fn interrupted() -> Failure {
    Failure::Message { exit: Exit::Interrupted, text: "it was asked to end: nothing was changed".to_owned() }
}

/// Applies a plan.
fn execute(
    plan: &Plan,
    held: &mut Held,
    settings: &Settings,
    clouds: &Clouds,
    catalog: &Catalog,
) -> Result<Exit, Failure> {
    let order: Vec<ResourceAddr> = plan.steps.iter().map(|step| step.addr.clone()).collect();
    let (standbys, passed) = clouds.able(&plan.standbys);
    let work = Work { standbys: &standbys, ..Work::of(plan, &order) };
    let (digest, from) = (work.plan.clone(), work.from);
    let store = held.store(clouds.simulated)?;
    let begin = Record::Begin { plan: digest.clone(), from, by: who(), at: settings.clock.to_string() };
    let earlier = taken_before(&digest, store.state());
    let mut machine = Machine::new(store.state().clone(), work, begin, clouds.options.clone());
    let mut view = View::new(settings);
    view.begin(plan, &digest, clouds.simulated);
    view.passed_over(&passed);
    let mut summary = view.drive(&mut machine, store, clouds);
    summary.taken.splice(0..0, earlier);
    // What is durable is durable without it: it makes the next reading short.
    let compacted = if summary.unrecorded.is_none() { store.compact() } else { Ok(()) };
    // What was applied is told, also to whoever interrupts the look at it.
    let gentle = files::end_gently();
    let now = match summary.interrupted {
        false => Now::after(&summary, store.state(), clouds, catalog),
        true => Now::recorded(store.state(), catalog),
    };
    view.end(plan, &summary, Some(now))?;
    drop(gentle);
    compacted.map_err(store_failure)?;
    Ok(match () {
        () if summary.complete() => Exit::Done,
        () if summary.interrupted => Exit::Interrupted,
        () => Exit::Error,
    })
}

/// What an apply of the same plan that was cut off had taken in the place of what was refused.
fn taken_before(plan: &str, state: &State) -> Vec<(ResourceAddr, ResourceAddr, String)> {
    let applying = state.applying.as_ref().filter(|applying| applying.plan == plan);
    let taken = applying.map_or(&[][..], |applying| &applying.taken);
    let told = |t: &Taken| (t.pool.clone(), t.by.clone(), "before this apply was cut off".to_owned());
    taken.iter().map(told).collect()
}
