//! `rhumb apply`.

mod view;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rhumb_api::{Cloud, Provider, ResourceAddr};

use crate::apply::{Machine, Options, Recorder, Summary, Work};
use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::state::LocalState;
use crate::cli::stdout::print_error;
use crate::cli::view::terminal;
use crate::cli::watch::{self, SearchArgs};
use crate::cli::{Exit, Failure, Settings, files, load, state};
use crate::optimize::{Standing, Watch};
use crate::plan::{self, Plan, Prior};
use crate::report;
use crate::state::local::{Holder, LocalStore, Opened, StoreError};
use crate::state::{Record, State};
use view::View;

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
    /// Apply to the simulated cloud at this address (`rhumb sim serve`); nothing real is made
    #[arg(long, value_name = "URL")]
    pub simulate: Option<String>,
    /// Apply without asking
    #[arg(long)]
    pub yes: bool,
    /// Most resources to work on at a time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: u16,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    if settings.json && !args.yes && saved(args, settings).is_none() {
        return Err(Failure::usage("--json asks nobody: say --yes, or apply a saved plan"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::error(format!("cannot start: {e}")))?;
    let clouds = Clouds::of(args, &runtime)?;
    match saved(args, settings) {
        Some(path) => of_plan(&path, args, settings, &runtime, &clouds),
        None => of_spec(args, settings, &runtime, &clouds),
    }
}

/// The saved plan that PATH names, if it is one.
fn saved(args: &Args, settings: &Settings) -> Option<PathBuf> {
    let path = &args.planning.spec.path;
    planning::is_plan(&settings.dir.join(path)).then(|| path.clone())
}

/// Who makes what, and what they promise.
struct Clouds {
    providers: BTreeMap<Cloud, Arc<dyn Provider>>,
    simulated: bool,
    options: Options,
}

impl Clouds {
    fn of(args: &Args, runtime: &tokio::runtime::Runtime) -> Result<Self, Failure> {
        let mut providers: BTreeMap<Cloud, Arc<dyn Provider>> = BTreeMap::new();
        if let Some(url) = &args.simulate {
            let client = runtime.block_on(rhumb_sim::Client::connect(url));
            let client = client.map_err(|e| Failure::error(format!("--simulate {url}: {e}")))?;
            let client: Arc<dyn Provider> = Arc::new(client);
            for cloud in client.clouds() {
                providers.insert(*cloud, Arc::clone(&client));
            }
        }
        let guarantees = providers.iter().map(|(cloud, of)| (*cloud, of.guarantees())).collect();
        let options = Options { parallel: usize::from(args.parallel), ..Options::new(guarantees) };
        Ok(Clouds { providers, simulated: args.simulate.is_some(), options })
    }

    /// Nothing is begun that cannot be done.
    fn can(&self, plan: &Plan) -> Result<(), Failure> {
        let changed = plan.changes.iter().filter(|c| c.action != plan::Action::Keep);
        let places = changed.filter_map(|c| c.after.as_ref().or(c.before.as_ref())).map(|r| r.cloud);
        let missing: std::collections::BTreeSet<&str> =
            places.filter(|cloud| !self.providers.contains_key(cloud)).map(Cloud::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        Err(Failure::error(format!(
            "this build has no adapter for {}: nothing was changed; apply to a simulated cloud with --simulate URL (`rhumb sim serve`)",
            missing.join(", ")
        )))
    }

    /// What a simulated cloud made is not of a real one, and the reverse.
    fn fits(&self, state: &State, name: &str) -> Result<(), Failure> {
        match (state.simulated, self.simulated) {
            (true, false) => Err(Failure::error(format!(
                "{name}: it is of a simulated cloud: nothing in it exists; apply with --simulate, or name another state"
            ))),
            (false, true) => Err(Failure::error(format!(
                "{name}: it is of real clouds; a simulated one cannot change them: name another state with --state"
            ))),
            _ => Ok(()),
        }
    }
}

/// A state that is held, or a place for one; with it nobody else can change it.
struct Held {
    opened: Option<Opened>,
    name: String,
}

impl Held {
    fn open(place: &LocalState, settings: &Settings) -> Result<Self, Failure> {
        let holder = Holder { by: who(), at: settings.now.to_string() };
        let opened = LocalStore::open(state::disk()?, &place.path, &place.name, &holder);
        Ok(Held { opened: Some(opened.map_err(store_failure)?), name: place.name.clone() })
    }

    fn state(&self) -> Option<&State> {
        match &self.opened {
            Some(Opened::Recorded(store)) => Some(store.state()),
            _ => None,
        }
    }

    /// The store, made if there was none.
    fn store(&mut self, simulated: bool) -> Result<&mut LocalStore, Failure> {
        if let Some(Opened::Nothing(vacant)) = self.opened.take_if(|o| matches!(o, Opened::Nothing(_))) {
            let made = vacant.create(lineage(), simulated).map_err(store_failure)?;
            self.opened = Some(Opened::Recorded(made));
        }
        match &mut self.opened {
            Some(Opened::Recorded(store)) => Ok(store),
            _ => Err(Failure::error(format!("{}: it could not be made", self.name))),
        }
    }
}

fn store_failure(error: StoreError) -> Failure {
    let exit = if matches!(error, StoreError::Locked { .. }) { Exit::Stale } else { Exit::Error };
    Failure::Message { exit, text: error.to_string() }
}

/// A name that no other deployment has: 128 bits from the operating system's source of random keys.
fn lineage() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// Who applies, as the environment says.
fn who() -> String {
    let of = |names: &[&str]| names.iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
    let user = of(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(|| "someone".to_owned());
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|n| n.trim().to_owned());
    let host = of(&["HOSTNAME", "COMPUTERNAME"]).or(named).unwrap_or_else(|| "somewhere".to_owned());
    format!("{user}@{host}").chars().filter(|c| !c.is_control()).collect()
}

impl Recorder for LocalStore {
    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        LocalStore::append(self, records).map_err(|e| e.to_string())
    }
}

/// Applies a saved plan as it is.
fn of_plan(
    path: &Path,
    args: &Args,
    settings: &Settings,
    runtime: &tokio::runtime::Runtime,
    clouds: &Clouds,
) -> Result<Exit, Failure> {
    let name = path.display().to_string();
    let text = files::read_text(&settings.dir.join(path))?;
    let plan = plan::file::decode(&name, &text).map_err(|e| Failure::error(e.to_string()))?;
    let digest = plan::file::digest_of(&plan);
    // Beside the spec that it was made from, it is compared with that; elsewhere, with the state that is named.
    let mut planning = args.planning.clone();
    planning.spec.path = PathBuf::from(".");
    let named = planning.state.take().map(|path| LocalState::named(&path, settings));
    let (place, spec_digest, catalog_digest) = match named {
        Some(place) if load::find(&planning.spec.path, settings).is_err() => {
            (place, plan.spec_digest.clone(), plan.catalog_digest.clone())
        }
        named => {
            let beside = planning::gather_for(Some(&plan), &planning, settings)?;
            (named.unwrap_or(beside.store), beside.input.spec_digest, beside.input.world.digest())
        }
    };
    clouds.can(&plan)?;
    let mut held = Held::open(&place, settings)?;
    if let Some(state) = held.state() {
        clouds.fits(state, &held.name)?;
    }
    let goes_on = held.state().and_then(|state| state.applying.as_ref()).is_some_and(|a| a.plan == digest);
    let mut reasons =
        if goes_on { Vec::new() } else { plan.stale_against(held.state(), &spec_digest, &catalog_digest) };
    let today = settings.now.to_string();
    reasons.extend(plan.expired_on(today.get(..10).unwrap_or_default()));
    if !reasons.is_empty() {
        let text = format!("{name}: the plan is stale: {}; plan again", reasons.join("; "));
        return Err(Failure::Message { exit: Exit::Stale, text });
    }
    execute(&plan, &digest, &mut held, settings, runtime, clouds)
}

/// Plans a spec, shows it, asks, and applies it.
fn of_spec(
    args: &Args,
    settings: &Settings,
    runtime: &tokio::runtime::Runtime,
    clouds: &Clouds,
) -> Result<Exit, Failure> {
    let mut gathered = planning::gather_unheld(&args.planning, settings)?;
    let mut held = Held::open(&gathered.store, settings)?;
    if let Some(state) = held.state() {
        clouds.fits(state, &held.name)?;
    }
    settle(&mut held, settings, runtime, clouds)?;
    gathered.hold(held.state().cloned(), &args.planning);
    let watching = watch::begin(&args.search, settings);
    let ask = |standing: &Standing| watching.ask(standing);
    let outcome = planning::think_watched(&gathered, Watch { nodes: args.search.effort, ask: Some(&ask) });
    drop(watching);
    let plan = outcome.map_err(|why: NoPlan| Failure::from(why))?;
    if planning::exit_of(&plan) != Exit::Done {
        return Err(Failure::Message {
            exit: planning::exit_of(&plan),
            text: "the plan breaks a limit that workloads share; `rhumb plan` says which".to_owned(),
        });
    }
    if !settings.json {
        terminal::print(&terminal::text(&report::report(&plan), settings, None))?;
    }
    clouds.can(&plan)?;
    if plan.steps.is_empty() && plan.leftovers.is_empty() {
        if settings.json {
            View::new(settings).end(&plan, &Summary::default())?;
        }
        return Ok(Exit::Done);
    }
    if !args.yes && !agreed(clouds.simulated)? {
        return Err(Failure::error("nothing was changed: you did not say yes"));
    }
    let digest = plan::file::digest_of(&plan);
    execute(&plan, &digest, &mut held, settings, runtime, clouds)
}

/// Asks; only the word `yes` agrees, and the end of input does not.
fn agreed(simulated: bool) -> Result<bool, Failure> {
    let where_to = if simulated { " to the simulated cloud" } else { "" };
    print_error(&format!("\nApply this plan{where_to}? Only `yes` is taken for it: "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|e| Failure::error(format!("nothing was changed: your answer cannot be read: {e}")))?;
    if !std::io::stdin().is_terminal() {
        print_error("\n");
    }
    Ok(line.trim_end_matches(['\n', '\r']) == "yes")
}

/// Finds out what became of what an earlier apply left open.
fn settle(
    held: &mut Held,
    settings: &Settings,
    runtime: &tokio::runtime::Runtime,
    clouds: &Clouds,
) -> Result<(), Failure> {
    let Some(state) = held.state().filter(|state| !state.open.is_empty()) else { return Ok(()) };
    let machine = Machine::settling(state.clone(), clouds.options.clone());
    let store = held.store(clouds.simulated)?;
    let mut view = View::new(settings);
    view.recovering(machine.state().open.len());
    let summary = view.drive(runtime, machine, store, clouds);
    view.close();
    if summary.left.is_empty() && summary.unrecorded.is_none() {
        return Ok(());
    }
    let open: Vec<String> =
        summary.left.iter().map(|(verb, addr, why)| format!("{} {addr}: {why}", verb.as_str())).collect();
    let why = summary.unrecorded.unwrap_or_else(|| open.join("; "));
    Err(Failure::error(format!("what an earlier apply began is not known to have ended: {why}; apply again")))
}

/// Applies a plan.
fn execute(
    plan: &Plan,
    digest: &str,
    held: &mut Held,
    settings: &Settings,
    runtime: &tokio::runtime::Runtime,
    clouds: &Clouds,
) -> Result<Exit, Failure> {
    let order: Vec<ResourceAddr> = plan.steps.iter().map(|step| step.addr.clone()).collect();
    let from = plan.prior.as_ref().map(|prior: &Prior| prior.serial);
    let work = Work {
        plan: digest.to_owned(),
        from,
        changes: &plan.changes,
        standbys: &plan.standbys,
        apart: plan.budgets.is_empty() && plan.placement.coupling.is_none(),
        order: &order,
        artifacts: &plan.artifacts,
    };
    let store = held.store(clouds.simulated)?;
    let begin = Record::Begin { plan: digest.to_owned(), from, by: who(), at: settings.now.to_string() };
    let machine = Machine::new(store.state().clone(), work, begin, clouds.options.clone());
    let mut view = View::new(settings);
    view.begin(plan, digest, clouds.simulated);
    let summary = view.drive(runtime, machine, store, clouds);
    // What is durable is durable without it: it makes the next reading short.
    let compacted = if summary.unrecorded.is_none() { store.compact() } else { Ok(()) };
    view.end(plan, &summary)?;
    compacted.map_err(store_failure)?;
    Ok(if summary.complete() { Exit::Done } else { Exit::Error })
}
