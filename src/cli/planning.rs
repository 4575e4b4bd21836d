//! From what was typed to a plan: gathers everything that may influence it, then thinks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::load::{self, Found, SpecArgs, read_named};
use super::state::StatePlace;
use super::{Exit, Failure, Settings, files};
use crate::catalog::ModelArch;
use crate::diagnostic::{Diagnostic, Diagnostics, Pointer, SourceMap, did_you_mean};
use crate::optimize::{self, Watch};
use crate::placement::{Infeasible, Running, Stop, World};
use crate::plan::{self, Plan};
use crate::render::RenderError;
use crate::spec::{Cloud, ModelSource, Quantization, Service, Spec};
use crate::state::State;
use crate::{PlanError, PlanningInput};

/// Requests of a replay in planning: the intervals of its percentiles are then a few percent wide.
const REPLAY: u32 = 20_000;

/// Which spec, on which catalogue, against which state.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Which spec.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Add or override catalogue rows by your own file, after those that the spec names
    #[arg(long = "catalog", value_name = "FILE")]
    pub catalog: Vec<PathBuf>,
    /// Plan against this state file instead of the one that the spec names
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Take the machines of this saved plan for those that run, instead of what the state says (see `stability`)
    #[arg(long, value_name = "PLAN")]
    pub running: Option<PathBuf>,
    /// The state is of the deployment NAME, which has the name of this spec from now on
    #[arg(long, value_name = "NAME")]
    pub renamed_from: Option<String>,
}

/// Everything that a plan is made from.
#[derive(Clone)]
pub struct Gathered {
    /// What the planner gets.
    pub input: PlanningInput,
    /// Positions in the spec, for refusals.
    pub map: SourceMap,
    /// Where the state is.
    pub store: StatePlace,
}

/// Why there is no plan.
pub enum NoPlan {
    /// Something was wrong before planning.
    Failure(Failure),
    /// Nothing keeps the promises, or nothing was found that does.
    Infeasible(Box<Infeasible>),
}

impl From<NoPlan> for Failure {
    /// For commands that only go on from a plan; `rhumb plan` shows the reasons themselves.
    fn from(why: NoPlan) -> Self {
        match why {
            NoPlan::Failure(failure) => failure,
            NoPlan::Infeasible(why) => {
                let text = format!("{why}; `rhumb plan` says why");
                Failure::Message { exit: Exit::of(&why), text }
            }
        }
    }
}

/// Reads spec, catalogue, models and state.
///
/// # Errors
/// Every problem of the files, with its place.
pub fn gather(args: &PlanArgs, settings: &Settings) -> Result<Gathered, Failure> {
    gather_for(None, args, settings)
}

/// As [`gather`], with the loads of the day that a saved plan was made for.
///
/// # Errors
/// As of [`gather`].
pub fn gather_for(saved: Option<&Plan>, args: &PlanArgs, settings: &Settings) -> Result<Gathered, Failure> {
    let found = load::load(&args.spec, &args.catalog, settings)?;
    gathered(found, args, settings, saved.map(|plan| plan.created.as_str()))
}

/// As [`gather`], but for the state: it need not be there yet, and is handed in by [`Gathered::hold`].
///
/// # Errors
/// As of [`gather`].
pub fn gather_unheld(args: &PlanArgs, settings: &Settings) -> Result<Gathered, Failure> {
    let found = load::load(&args.spec, &args.catalog, settings)?;
    gathered_beside(found, args, settings, None, false)
}

impl Gathered {
    /// Plans against this state from now on; it was gathered without one.
    ///
    /// # Errors
    /// It is of another deployment.
    pub fn hold(&mut self, prior: Option<State>, args: &PlanArgs) -> Result<(), Failure> {
        is_of(&self.input.spec, prior.as_ref(), &self.store, args)?;
        if args.running.is_none() {
            let running = prior.as_ref().map(crate::plan::running).unwrap_or_default();
            self.input.world.running = running.of_parts(&self.input.spec);
        }
        if let Some(state) = &prior {
            withhold(&mut self.input.world, &mut self.input.warnings, state, &self.input.now);
        }
        self.input.prior = prior;
        Ok(())
    }
}

/// Whether a state is of the deployment of a spec: a plan on that of another one would remove all of it.
fn is_of(spec: &Spec, prior: Option<&State>, place: &StatePlace, args: &PlanArgs) -> Result<(), Failure> {
    let Some(state) = prior else { return Ok(()) };
    let mut names = plan::names_of(state).peekable();
    let Some(first) = names.peek().copied() else { return Ok(()) };
    let said = |name: &str| name == spec.name || args.renamed_from.as_deref() == Some(name);
    if names.any(said) {
        return Ok(());
    }
    Err(Failure::error(format!(
        "{}: it is the state of the deployment {first}, and the spec is of {}; name another one (`state.path`, --state), or say --renamed-from {first} if it is the same under another name",
        place.name, spec.name
    )))
}

/// As [`gather`], from a spec that has been read.
///
/// # Errors
/// As of [`gather`].
pub fn gather_found(found: Found, args: &PlanArgs, settings: &Settings) -> Result<Gathered, Failure> {
    gathered(found, args, settings, None)
}

fn gathered(
    found: Found,
    args: &PlanArgs,
    settings: &Settings,
    saved: Option<&str>,
) -> Result<Gathered, Failure> {
    gathered_beside(found, args, settings, saved, true)
}

/// With the state that is recorded, or without any.
fn gathered_beside(
    found: Found,
    args: &PlanArgs,
    settings: &Settings,
    saved: Option<&str>,
    recorded: bool,
) -> Result<Gathered, Failure> {
    let Found { loaded, catalog, calibration, folder } = found;
    let archs = architectures(&loaded.spec, &loaded.map, &catalog, &folder)?;
    let store = StatePlace::of(args.state.as_deref(), &loaded.spec, &folder, settings)?;
    let prior = if recorded { read_state(&store)? } else { None };
    if recorded && prior.is_none() && args.state.is_some() {
        return Err(Failure::error(format!("--state {}: nothing is recorded there", store.name)));
    }
    if saved.is_none() {
        is_of(&loaded.spec, prior.as_ref(), &store, args)?;
    }
    let now = settings.now.to_string();
    let created = now.split('.').next().unwrap_or(&now).trim_end_matches('Z').to_owned() + "Z";
    let today = created.get(..10).unwrap_or_default().to_owned();
    // A saved plan is looked at with what was known when it was made.
    let planned = saved.unwrap_or(&created).to_owned();
    let mut warnings: Vec<String> = loaded.warnings.list.iter().map(|w| w.message.clone()).collect();
    let running = running(args, &loaded.spec, &prior, settings)?;
    let mut world = World { catalog, archs, calibration, today, replay: REPLAY, running };
    if let Some(state) = &prior {
        withhold(&mut world, &mut warnings, state, &planned);
    }
    if let Err(unknown) = world.hold(&loaded.spec) {
        let problem = |(at, why): (Pointer, String)| {
            Diagnostic::error("unknown-instance-type", why)
                .at(&loaded.map, &at)
                .label("of another cloud")
                .help("`rhumb catalog instances` lists them by cloud")
        };
        return Err(Diagnostics::new(loaded.map.clone(), unknown.into_iter().map(problem).collect()).into());
    }
    warnings.extend(unknown_quotas(&loaded.spec, &world));
    let mut spec = loaded.spec;
    spec.on_day(saved.and_then(|at| at.get(..10)).unwrap_or(&world.today));
    optimize::split_chains(&mut spec, &world);
    let input = PlanningInput {
        spec,
        spec_digest: crate::plan::spec_digest(&loaded.tree, &loaded.named),
        world,
        prior,
        now: created,
        warnings,
    };
    Ok(Gathered { input, map: loaded.map, store })
}

/// Declared quotas that no machine of the catalogue counts against: they bind nothing, whatever was meant.
fn unknown_quotas(spec: &Spec, world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for (cloud, settings) in spec.providers.iter().filter(|(cloud, _)| **cloud != Cloud::Site) {
        let known = || world.catalog.quotas.iter().filter(|q| q.cloud == *cloud).map(|q| q.code.as_str());
        for (region, codes) in &settings.quotas {
            for code in codes.keys().filter(|code| known().all(|k| k != code.as_str())) {
                let hint = did_you_mean(code, known()).map_or_else(
                    || "`rhumb catalog quotas` lists the codes".to_owned(),
                    |k| format!("did you mean `{k}`?"),
                );
                found.push(format!("providers.{cloud}.quotas.{region}: no machine counts against `{code}`, it binds nothing; {hint}"));
            }
        }
    }
    found
}

/// What a cloud has refused lately is not on sale there.
fn withhold(world: &mut World, warnings: &mut Vec<String>, state: &State, now: &str) {
    for (refusal, runs) in plan::refused(state, now) {
        if !runs {
            world.catalog.withhold(refusal.cloud, &refusal.region, &refusal.instance_type, refusal.spot);
        }
        warnings.push(plan::refused_in_words(refusal, runs));
    }
}

fn architectures(
    spec: &Spec,
    map: &SourceMap,
    catalog: &crate::catalog::Catalog,
    folder: &std::path::Path,
) -> Result<BTreeMap<String, ModelArch>, Failure> {
    let mut archs = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, model) in &spec.models {
        let at = model.at.join("source");
        match &model.source {
            ModelSource::Known { written, id } => match catalog.checkpoint(written) {
                Some(arch) => {
                    let published = catalog.model(id).is_some_and(|base| base.native == arch.native);
                    let others = model.variants.values().filter(|v| {
                        !published && v.source.is_none() && v.quantization != Quantization::Native
                    });
                    let trained = spec.trainings.values().filter(|t| !published && t.model == *name);
                    problems.extend(trained.map(|t| {
                        let stored = arch.native.as_str();
                        Diagnostic::error(
                            "compressed-source",
                            format!("`{written}` is stored as {stored}: training begins with the uncompressed weights"),
                        )
                        .at(map, &t.at.join("model"))
                        .help(format!("train a model whose source is `{id}`"))
                    }));
                    problems.extend(others.map(|v| {
                        let (stored, asked) = (arch.native.as_str(), v.quantization.as_str());
                        Diagnostic::error(
                            "compressed-source",
                            format!("`{written}` is stored as {stored}: nothing is made of it, {asked} neither"),
                        )
                        .at(map, &v.at)
                        .help(format!(
                            "leave `quantization` away for what is stored; for others name `{id}` as the model's source, or a `source` of the variant's own"
                        ))
                    }));
                    archs.insert(name.clone(), arch);
                }
                None => problems.push(
                    Diagnostic::error(
                        "unknown-model",
                        format!("the architecture of `{written}` is not known"),
                    )
                    .at(map, &at)
                    .help("name a local config.json of it instead"),
                ),
            },
            // It has none.
            ModelSource::Measured(_) => {}
            ModelSource::Config(file) => {
                let arch = read_named(folder, &file.path)
                    .and_then(|bytes| ModelArch::from_hf_config(&file.path, &bytes));
                match arch {
                    Ok(arch) => {
                        archs.insert(name.clone(), arch);
                    }
                    Err(error) => problems.push(
                        Diagnostic::error("bad-config", format!("`{}`: {error}", file.path))
                            .at(map, &file.at)
                            .help("it must be the config.json of a supported model"),
                    ),
                }
            }
        }
    }
    if problems.is_empty() { Ok(archs) } else { Err(Diagnostics::new(map.clone(), problems).into()) }
}

/// What runs: what a saved plan placed, if one is named, else what the state says.
fn running(
    args: &PlanArgs,
    spec: &Spec,
    prior: &Option<State>,
    settings: &Settings,
) -> Result<Running, Failure> {
    let Some(path) = &args.running else {
        return Ok(prior.as_ref().map(crate::plan::running).unwrap_or_default().of_parts(spec));
    };
    let text = files::read_text(&settings.dir.join(path))?;
    let plan = plan::file::decode(&path.display().to_string(), &text);
    let plan = plan.map_err(|e| Failure::error(format!("--running {e}")))?;
    let running = Running::of_placement(&plan.placement).of_parts(spec);
    if spec.stability.is_none() {
        return Err(Failure::usage("--running changes nothing: the spec has no `stability`"));
    }
    if !spec.addresses().iter().any(|address| running.of(address).is_some()) {
        let text = format!("--running {}: it places none of the services of {}", path.display(), spec.name);
        return Err(Failure::usage(text));
    }
    Ok(running)
}

/// Reads a state file; `None` if there is none.
///
/// # Errors
/// It cannot be read or is no state.
pub fn read_state(store: &StatePlace) -> Result<Option<State>, Failure> {
    store.read()
}

/// Thinks.
///
/// # Errors
/// The reasons why there is no plan.
pub fn think(gathered: &Gathered) -> Result<Plan, NoPlan> {
    think_watched(gathered, Watch::default())
}

/// As [`think`], as far as `watch` lets it.
///
/// # Errors
/// As of [`think`], or that the search was ended before any placement was known.
pub fn think_watched(gathered: &Gathered, watch: Watch<'_>) -> Result<Plan, NoPlan> {
    outcome(gathered, crate::plan_watched(&gathered.input, watch))
}

/// As [`think`], of the planning day alone: the seasons to come are not looked at.
///
/// # Errors
/// As of [`think`].
pub fn think_of_day(gathered: &Gathered) -> Result<Plan, NoPlan> {
    outcome(gathered, crate::plan_of_day(&gathered.input, Watch::default()))
}

fn outcome(gathered: &Gathered, found: Result<Plan, PlanError>) -> Result<Plan, NoPlan> {
    found.map_err(|error| match error {
        PlanError::Infeasible(why) => NoPlan::Infeasible(why),
        PlanError::Unfinished(why) => {
            let (exit, help) = match why.by {
                Stop::TimeLimit => (Exit::Unfinished, "; give it more time with --time-limit"),
                Stop::ByHand => (Exit::Interrupted, ""),
            };
            let text = format!("{why}; whether there is one is not known{help}");
            NoPlan::Failure(Failure::Message { exit, text })
        }
        PlanError::Graph(error) => {
            let problem = error.diagnostic(&gathered.map);
            NoPlan::Failure(Diagnostics::new(gathered.map.clone(), vec![problem]).into())
        }
        PlanError::Render(RenderError::Unsupported { addr, reason, fix }) => {
            let problem = engine_problem(&gathered.input.spec, &gathered.map, &addr, reason, fix);
            NoPlan::Failure(Diagnostics::new(gathered.map.clone(), vec![problem]).into())
        }
        PlanError::Render(error) => NoPlan::Failure(Failure::error(error.to_string())),
    })
}

/// Whether a path is a saved plan, as far as its first lines tell.
pub fn is_plan(path: &Path) -> bool {
    path.is_file()
        && files::read_text(path).is_ok_and(|t| {
            t.trim_start().starts_with('{') && t.get(..200).unwrap_or(&t).contains("\"rhumb_plan\"")
        })
}

/// The plan to look at: a saved one (`saved`, or a PATH that holds one, its spec then being in the folder of
/// work) with what it must still fit, or a new one.
///
/// # Errors
/// The plan is stale or no plan, the spec is wrong, or nothing can be placed.
pub fn saved_or_new(
    saved: Option<&Path>,
    planning: &PlanArgs,
    settings: &Settings,
) -> Result<(Gathered, Plan), Failure> {
    let mut planning = planning.clone();
    let saved = match saved {
        Some(path) => Some(path.to_owned()),
        None => {
            let path = planning.spec.path.clone();
            let full = settings.dir.join(&path);
            is_plan(&full).then(|| {
                planning.spec.path = PathBuf::from(".");
                path
            })
        }
    };
    let Some(path) = saved else {
        let gathered = gather(&planning, settings)?;
        let plan = think(&gathered)?;
        return Ok((gathered, plan));
    };
    let name = path.display().to_string();
    let text = files::read_text(&settings.dir.join(&path))?;
    let plan = plan::file::decode(&name, &text).map_err(|e| Failure::error(e.to_string()))?;
    let gathered = gather_for(Some(&plan), &planning, settings)?;
    let input = &gathered.input;
    let mut reasons = plan.stale_against(input.prior.as_ref(), &input.spec_digest, &input.world.digest());
    reasons.extend(plan.expired_on(&input.world.today));
    if reasons.is_empty() {
        return Ok((gathered, plan));
    }
    let text = format!("{name}: the plan is stale: {}; plan again", reasons.join("; "));
    Err(Failure::Message { exit: Exit::Stale, text })
}

/// A number of days, with or without the unit: `180`, `180d`.
///
/// # Errors
/// It is none; for people.
pub fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| digits).ok_or_else(|| "write a number of days, for example 180".to_owned())
}

/// What was chosen for a launch template cannot be started by its workload's engine.
fn engine_problem(spec: &Spec, map: &SourceMap, addr: &str, reason: String, fix: String) -> Diagnostic {
    let workload = addr.split('/').next().unwrap_or_default();
    let (kind, name) = workload.split_once('.').unwrap_or_default();
    let engine = match kind {
        "services" => {
            let whole = |s: &&Service| spec.addresses_of_parts(s).contains(workload);
            let service = spec.services.get(name).or_else(|| spec.services.values().find(whole));
            service.map(|s| &s.engine.at)
        }
        _ => spec.batches.get(name).map(|b| &b.engine.at),
    };
    let problem = Diagnostic::error("engine", format!("{addr}: {reason}"));
    let problem = match engine {
        Some(at) => problem.at(map, &at.join("name")).label("cannot do this"),
        None => problem,
    };
    problem.help(fix)
}

/// How a finished plan ends a command: a shared limit that is broken is infeasible.
pub fn exit_of(plan: &Plan) -> Exit {
    if plan.placement.joint_violations.is_empty() { Exit::Done } else { Exit::Infeasible }
}
