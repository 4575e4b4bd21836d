//! `rhumb status`.

mod view;

use rhumb_api::{Attr, Handle, Money, Observed, Resource, ResourceAddr, ResourceKind, Status};

use super::apply::View;
use crate::apply::{Drift, Found, Recorder, Survey, differing};
use crate::catalog::Catalog;
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::spend::{self, Cost, cost};
use crate::cli::state::{StateArgs, StatePlace};
use crate::cli::{Exit, Failure, Settings, load, reality};
use crate::state::{Record, State, StateResource};

/// Show how what was deployed is, how much of it runs, and what it costs an hour
///
/// What exists is looked at; nothing is recorded and no lock is taken, so that it can be asked while an apply is under way. Exits with 3 when
/// something is not as it should be.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which deployment.
    #[command(flatten)]
    pub state: StateArgs,
    /// Where to look.
    #[command(flatten)]
    pub clouds: CloudArgs,
    /// Show what is recorded, and look at nothing
    #[arg(long, conflicts_with = "simulate")]
    pub recorded: bool,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    /// As recorded, with the machines that it should have.
    Ready,
    /// Recorded so, and not looked at.
    Recorded,
    /// A run that has ended by itself.
    Complete,
    /// It is being made, changed or removed.
    Changing,
    /// Fewer machines run than should.
    Short,
    /// Fewer machines answer their health check than should.
    Unhealthy,
    /// Of a run that begins by its schedule: it has no machines until then.
    Waiting,
    /// Others have changed it.
    Changed,
    /// It has failed, or its last change has.
    Failed,
    /// It is not there.
    Gone,
    /// It is there and nothing needs it.
    Superfluous,
    /// It could not be looked at.
    Unseen,
}

impl Health {
    const fn as_str(self) -> &'static str {
        match self {
            Health::Ready => "ready",
            Health::Recorded => "recorded",
            Health::Complete => "complete",
            Health::Changing => "changing",
            Health::Short => "short",
            Health::Unhealthy => "unhealthy",
            Health::Waiting => "waiting",
            Health::Changed => "changed",
            Health::Failed => "failed",
            Health::Gone => "gone",
            Health::Superfluous => "superfluous",
            Health::Unseen => "unseen",
        }
    }

    /// Whether it is as it should be.
    const fn is_well(self) -> bool {
        matches!(self, Health::Ready | Health::Recorded | Health::Complete | Health::Waiting)
    }
}

/// A thing, as it is and as it should be.
struct Row {
    addr: ResourceAddr,
    id: Option<String>,
    kind: ResourceKind,
    health: Health,
    /// What is to be said of that.
    why: Option<String>,
    /// Machines that run; those that are recorded if nothing was looked at.
    machines: Option<u32>,
    /// Of them, those that answer their health check as they should; unknown where there is none, and of what was not looked at.
    healthy: Option<u32>,
    /// Fewest and most machines that it should have.
    planned: Option<(u32, u32)>,
    cost: Cost,
}

/// Everything that is shown.
struct Shown<'a> {
    state: &'a State,
    looked: bool,
    rows: Vec<Row>,
    /// What could not be looked at.
    unseen: Vec<(String, String)>,
}

impl Shown<'_> {
    fn is_well(&self) -> bool {
        self.unseen.is_empty()
            && self.state.open.is_empty()
            && self.state.applying.is_none()
            && self.rows.iter().all(|row| row.health.is_well())
    }

    /// Dollars an hour of what has a price.
    fn per_hour(&self) -> Money {
        let known = self.rows.iter().filter_map(|row| match &row.cost {
            Cost::Listed { usd, .. } => Some(*usd),
            _ => None,
        });
        known.sum()
    }

    fn unpriced(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.cost, Cost::Unknown(_))).count()
    }
}

/// A look records nothing.
struct Nowhere;

impl Recorder for Nowhere {
    fn append(&mut self, _: &[Record]) -> Result<(), String> {
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (place, state) = args.state.read(settings)?;
    // Without a spec, the prices are those of the catalogue that the program carries.
    let spec = load::find(&args.state.spec.path, settings).is_ok();
    let catalog = match spec {
        true => load::load(&args.state.spec, &[], settings)?.catalog,
        false => Catalog::embedded(),
    };
    let drift = if args.recorded { None } else { Some(look(&state, &place, args, settings)?) };
    let shown = shown(&state, drift.as_ref(), &catalog);
    view::show(&shown, settings)?;
    Ok(if shown.is_well() { Exit::Done } else { Exit::CheckFailed })
}

fn look(state: &State, place: &StatePlace, args: &Args, settings: &Settings) -> Result<Drift, Failure> {
    let clouds = Clouds::of(&args.clouds)?;
    clouds.fits(state, &place.name)?;
    clouds.reach(state)?;
    let mut survey = Survey::new(state, clouds.options.clone());
    let silent = reality::silent(settings);
    let mut view = View::new(&silent);
    view.drive(&mut survey, &mut Nowhere, &clouds);
    view.close();
    let drift = survey.drift();
    if drift.interrupted {
        let text = "it was asked to end".to_owned();
        return Err(Failure::Message { exit: Exit::Interrupted, text });
    }
    Ok(drift)
}

fn shown<'a>(state: &'a State, drift: Option<&Drift>, catalog: &Catalog) -> Shown<'a> {
    let mut rows = Vec::new();
    for (addr, thing) in &state.resources {
        let (health, why) = health(addr, thing, drift);
        rows.push(row(addr, thing, (health, why), drift, catalog));
    }
    for spare in &state.spares {
        let why = Some(format!("{}: the next apply removes it", spare.why.as_str()));
        rows.push(row(&spare.address, &spare.thing, (Health::Superfluous, why), drift, catalog));
    }
    let strays = drift.iter().flat_map(|drift| &drift.found);
    for ((addr, handle), found) in strays {
        let Found::Stray(_, attributes) = found else { continue };
        let (kind, cloud, region) = (handle.kind, handle.cloud, handle.region.clone());
        let resource = Resource { kind, cloud, region, attributes: attributes.clone() };
        let thing = StateResource { id: Some(handle.id.clone()), ..StateResource::of(resource, Vec::new()) };
        let why = Some("it has the tags of this deployment and is in no record".to_owned());
        rows.push(row(addr, &thing, (Health::Superfluous, why), drift, catalog));
    }
    let unseen = drift.map_or_else(Vec::new, |drift| drift.unseen.clone());
    Shown { state, looked: drift.is_some(), rows, unseen }
}

fn seen<'d>(thing: &StateResource, drift: Option<&'d Drift>) -> Option<&'d Observed> {
    drift?.seen.get(&thing.handle()?)
}

fn health(addr: &ResourceAddr, thing: &StateResource, drift: Option<&Drift>) -> (Health, Option<String>) {
    let doubt = thing.doubtful.clone();
    let Some(drift) = drift else {
        return match (thing.complete, doubt) {
            (true, _) => (Health::Complete, None),
            (false, Some(why)) => (Health::Failed, Some(why)),
            (false, None) => (Health::Recorded, None),
        };
    };
    let found = thing.handle().and_then(|handle: Handle| drift.found.get(&(addr.clone(), handle)));
    match found {
        Some(Found::Vanished) => return (Health::Gone, Some("it is not there any more".to_owned())),
        Some(Found::Failed(why)) => return (Health::Failed, Some(why.clone())),
        Some(Found::Completed) => return (Health::Complete, None),
        Some(Found::Changed(now, _)) => {
            let names: Vec<String> = differing(&thing.resource.attributes, now).into_iter().collect();
            // What its cloud gave it may be another.
            if !names.is_empty() {
                return (Health::Changed, Some(format!("others have changed {}", names.join(", "))));
            }
        }
        Some(Found::Settled | Found::Stray(..)) | None => {}
    }
    if thing.complete {
        return (Health::Complete, None);
    }
    let Some(seen) = seen(thing, Some(drift)) else { return (Health::Unseen, None) };
    match &seen.status {
        Status::Pending | Status::Deleting => return (Health::Changing, None),
        Status::Complete => return (Health::Complete, None),
        Status::Failed(why) => return (Health::Failed, Some(why.to_string())),
        Status::Ready => {}
    }
    if spend::waits(&thing.resource) && seen.running == Some(0) && doubt.is_none() {
        return (Health::Waiting, None);
    }
    let least = planned(&thing.resource).map(|(least, _)| least);
    match (seen.running.zip(least), seen.healthy.zip(least)) {
        (Some((running, least)), _) if running < least => (Health::Short, None),
        (_, Some((healthy, least))) if healthy < least => {
            let why = format!("{healthy} of its machines answer their health check, it should have {least}");
            (Health::Unhealthy, Some(why))
        }
        _ => match doubt.filter(|_| !matches!(found, Some(Found::Settled))) {
            Some(why) => (Health::Failed, Some(why)),
            None => (Health::Ready, None),
        },
    }
}

/// The fewest and the most machines that something should have; `None` of what has none.
fn planned(resource: &Resource) -> Option<(u32, u32)> {
    let number = |name: &str| match resource.attributes.get(name) {
        Some(Attr::Int(n)) => u32::try_from(*n).ok(),
        _ => None,
    };
    let count = number("count")?;
    Some((number("min_count").unwrap_or(count), number("max_count").unwrap_or(count)))
}

fn row(
    addr: &ResourceAddr,
    thing: &StateResource,
    (health, why): (Health, Option<String>),
    drift: Option<&Drift>,
    catalog: &Catalog,
) -> Row {
    let planned = planned(&thing.resource).filter(|_| health != Health::Complete);
    let counted = match thing.resource.attributes.get("count") {
        Some(Attr::Int(n)) => u32::try_from(*n).ok(),
        _ => None,
    };
    let machines = match (health, drift) {
        (Health::Complete | Health::Gone, _) => counted.map(|_| 0),
        (_, Some(_)) => seen(thing, drift).and_then(|seen| seen.running),
        (_, None) => counted,
    };
    let healthy = seen(thing, drift).and_then(|seen| seen.healthy);
    let cost = match health {
        Health::Complete | Health::Gone | Health::Waiting => Cost::Nothing,
        _ => cost(&thing.resource, machines, catalog),
    };
    Row {
        addr: addr.clone(),
        id: thing.id.clone(),
        kind: thing.resource.kind,
        health,
        why,
        machines,
        healthy,
        planned,
        cost,
    }
}
