//! `rhumb status`.

mod view;

use rhumb_api::{Attr, Attributes, Money, Observed, Resource, ResourceAddr, ResourceKind, Status};

use super::apply::View;
use super::refresh::of_others;
use crate::apply::{Drift, Found, Survey, differing};
use crate::catalog::Catalog;
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::spend::{self, Cost, Nowhere, Standing, cost, number};
use crate::cli::state::{StateArgs, StatePlace};
use crate::cli::wanted::{Wanted, not_complete};
use crate::cli::{Exit, Failure, Settings, load, reality};
use crate::state::{Deed, State, StateResource};

/// Show how what was deployed is, how much of it runs, and what it costs an hour
///
/// What exists is looked at; nothing is recorded and no lock is taken, so that it can be asked while an apply is under way. Things should be
/// as the last apply left them, whatever a look has recorded since. Exits with 3 when something is not as it should be.
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
    /// As the last apply left it, with the machines that it should have.
    Ready,
    /// Recorded so, and not looked at.
    Recorded,
    /// A run that has ended by itself.
    Complete,
    /// It is being made, changed or removed.
    Changing,
    /// Fewer machines run than should.
    Short,
    /// More machines run than may.
    Over,
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
            Health::Over => "over",
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
    /// Machines that run; those of its peak if nothing was looked at.
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
    /// The last apply, if it was not complete.
    unfinished: Option<&'a Deed>,
    /// What the last apply left is not known any more.
    lost: bool,
    rows: Vec<Row>,
    /// What could not be looked at.
    unseen: Vec<(String, String)>,
}

impl Shown<'_> {
    fn is_well(&self) -> bool {
        self.unseen.is_empty()
            && self.state.open.is_empty()
            && self.state.applying.is_none()
            && self.unfinished.is_none()
            && !self.lost
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
    let wanted = Wanted::of(&place, &state)?;
    let shown = shown(&state, &wanted, drift.as_ref(), &catalog);
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

fn shown<'a>(state: &'a State, wanted: &Wanted, drift: Option<&Drift>, catalog: &Catalog) -> Shown<'a> {
    let mut rows = Vec::new();
    for (addr, thing, standing) in spend::things(state, drift) {
        let found = match standing {
            Standing::Used => {
                let may_wait = may_wait(&thing.resource, state, drift);
                health(&addr, &thing, wanted.attributes(&addr, &thing), drift, may_wait)
            }
            Standing::Spare(why) => {
                (Health::Superfluous, Some(format!("{}: the next apply removes it", why.as_str())))
            }
            Standing::Stray => {
                let why = "it has the tags of this deployment and is in no record";
                (Health::Superfluous, Some(why.to_owned()))
            }
        };
        let should = wanted.attributes(&addr, &thing);
        rows.push(row(&addr, &thing, should, found, drift, catalog));
    }
    rows.extend(wanted.gone(state).map(|(addr, thing)| Row {
        addr: addr.clone(),
        id: thing.id.clone(),
        kind: thing.resource.kind,
        health: Health::Gone,
        why: Some(
            "it is not there any more, which a look has recorded: the next plan makes it anew".to_owned(),
        ),
        machines: spend::count(&thing.resource.attributes).map(|_| 0),
        healthy: None,
        planned: planned(&thing.resource.attributes),
        cost: Cost::Nothing,
    }));
    rows.sort_by(|a, b| {
        (a.health == Health::Superfluous, &a.addr).cmp(&(b.health == Health::Superfluous, &b.addr))
    });
    let unseen = drift.map_or_else(Vec::new, |drift| drift.unseen.clone());
    let lost = matches!(wanted, Wanted::Lost);
    Shown { state, looked: drift.is_some(), unfinished: not_complete(state), lost, rows, unseen }
}

/// Whether a run may be without machines by now: between its hours, or until a run before it is complete.
fn may_wait(run: &Resource, state: &State, drift: Option<&Drift>) -> bool {
    let before = match run.attributes.get("after") {
        Some(Attr::List(names)) => names.as_slice(),
        _ => &[],
    };
    let open = |addr: &ResourceAddr, thing: &StateResource| {
        let ended = spend::seen(thing, drift).is_some_and(|seen| seen.status == Status::Complete);
        let named = |name: &Attr| matches!(name, Attr::Text(name) if addr.workload() == name.as_str());
        thing.resource.kind == ResourceKind::JobRun && before.iter().any(named) && !thing.complete && !ended
    };
    spend::waits(run)
        && (run.attributes.contains_key("schedule")
            || state.resources.iter().any(|(addr, thing)| open(addr, thing)))
}

fn health(
    addr: &ResourceAddr,
    thing: &StateResource,
    should: &Attributes,
    drift: Option<&Drift>,
    may_wait: bool,
) -> (Health, Option<String>) {
    let doubt = thing.doubtful.clone();
    let changed = |now: &Attributes, by: &str| {
        let names: Vec<String> = differing(should, now).into_iter().collect();
        (!names.is_empty())
            .then(|| (Health::Changed, Some(format!("others have changed {}{by}", names.join(", ")))))
    };
    let Some(drift) = drift else {
        let changed = changed(&thing.resource.attributes, ", which a look has recorded");
        return match (thing.complete, doubt) {
            (true, _) => (Health::Complete, None),
            (false, Some(why)) => (Health::Failed, Some(why)),
            (false, None) => changed.unwrap_or((Health::Recorded, None)),
        };
    };
    let found = thing.handle().and_then(|handle| drift.found.get(&(addr.clone(), handle)));
    match found {
        Some(Found::Vanished) => return (Health::Gone, Some("it is not there any more".to_owned())),
        Some(Found::Others(lineage)) => return (Health::Gone, Some(of_others(lineage))),
        Some(Found::Failed(why)) => return (Health::Failed, Some(why.clone())),
        Some(Found::Completed) => return (Health::Complete, None),
        Some(Found::Changed(..) | Found::Settled | Found::Stray(..)) | None => {}
    }
    let seen = spend::seen(thing, Some(drift));
    let ready = seen.filter(|seen| matches!(seen.status, Status::Ready | Status::Complete));
    if let Some(changed) = ready.and_then(|seen| changed(&seen.attributes, "")) {
        return changed;
    }
    if thing.complete {
        return (Health::Complete, None);
    }
    let Some(seen) = seen else { return (Health::Unseen, None) };
    match &seen.status {
        Status::Pending | Status::Deleting => return (Health::Changing, None),
        Status::Complete => return (Health::Complete, None),
        Status::Failed(why) => return (Health::Failed, Some(why.to_string())),
        Status::Ready => {}
    }
    if may_wait && seen.running == Some(0) && doubt.is_none() {
        return (Health::Waiting, None);
    }
    match (capacity(should, seen), doubt.filter(|_| !matches!(found, Some(Found::Settled)))) {
        (Some(wrong), _) => wrong,
        (None, Some(why)) => (Health::Failed, Some(why)),
        (None, None) => (Health::Ready, None),
    }
}

/// What is wrong with the machines of something that is ready. A fleet that follows its load should have as many as its cloud has decided on
/// by now, as a rollout waits for; what it may have at least is no measure of that.
fn capacity(should: &Attributes, seen: &Observed) -> Option<(Health, Option<String>)> {
    let (least, most) = planned(should)?;
    let due = if least < most {
        spend::count(&seen.attributes).map_or(least, |n| n.clamp(least, most))
    } else {
        least
    };
    let running = seen.running?;
    let by_now = if least < due { " by now" } else { "" };
    if running < due {
        return Some((
            Health::Short,
            Some(format!("{running} of its machines run, it should have {due}{by_now}")),
        ));
    }
    if running > most {
        return Some((Health::Over, Some(format!("{running} of its machines run, it may have {most}"))));
    }
    let healthy = seen.healthy.filter(|healthy| *healthy < due)?;
    let why = format!("{healthy} of its machines answer their health check, it should have {due}{by_now}");
    Some((Health::Unhealthy, Some(why)))
}

/// The fewest and the most machines that something should have; `None` of what has none.
fn planned(of: &Attributes) -> Option<(u32, u32)> {
    let count = spend::count(of)?;
    Some((number(of, "min_count").unwrap_or(count), number(of, "max_count").unwrap_or(count)))
}

fn row(
    addr: &ResourceAddr,
    thing: &StateResource,
    should: &Attributes,
    (health, why): (Health, Option<String>),
    drift: Option<&Drift>,
    catalog: &Catalog,
) -> Row {
    let machines = spend::machines(addr, thing, drift);
    Row {
        addr: addr.clone(),
        id: thing.id.clone(),
        kind: thing.resource.kind,
        health,
        why,
        machines,
        healthy: spend::seen(thing, drift).and_then(|seen| seen.healthy),
        planned: planned(should).filter(|_| health != Health::Complete),
        cost: cost(&thing.resource, machines, catalog),
    }
}

#[cfg(test)]
mod tests {
    use rhumb_api::{Attr, Cloud, Handle};

    use super::*;

    /// What is said of a fleet that should have `count` machines, or from `least` to `most` of them.
    fn said(should: [i64; 3], running: u32, healthy: u32, due: i64) -> Option<Health> {
        let with = |count| {
            let names = ["min_count", "count", "max_count"];
            let numbers = [should[0], count, should[2]];
            names
                .into_iter()
                .zip(numbers)
                .map(|(name, n)| (name.to_owned(), Attr::Int(n)))
                .collect::<Attributes>()
        };
        let handle = Handle {
            cloud: Cloud::Aws,
            region: "eu-west-1".into(),
            kind: ResourceKind::Fleet,
            id: "a".into(),
        };
        let seen = Observed {
            handle,
            tags: None,
            attributes: with(due),
            status: Status::Ready,
            running: Some(running),
            healthy: Some(healthy),
            outputs: std::collections::BTreeMap::new(),
        };
        capacity(&with(should[1]), &seen).map(|(health, _)| health)
    }

    #[test]
    fn machines_are_measured_by_what_is_wanted_now() {
        // Of a fleet that has as many at all hours, what is planned.
        assert_eq!(said([8, 8, 8], 8, 8, 8), None);
        assert_eq!(said([8, 8, 8], 7, 7, 7), Some(Health::Short));
        assert_eq!(said([8, 8, 8], 8, 2, 8), Some(Health::Unhealthy));
        assert_eq!(said([8, 8, 8], 9, 9, 9), Some(Health::Over));
        // Of one that follows its load, what its cloud has decided on.
        assert_eq!(said([2, 8, 8], 8, 2, 8), Some(Health::Unhealthy));
        assert_eq!(said([2, 8, 8], 3, 3, 8), Some(Health::Short));
        assert_eq!(said([2, 8, 8], 2, 2, 2), None);
        assert_eq!(said([2, 8, 8], 8, 2, 2), None, "they are on their way out");
        assert_eq!(said([2, 8, 8], 9, 9, 8), Some(Health::Over));
        assert_eq!(said([2, 8, 8], 1, 1, 1), Some(Health::Short), "somebody took them");
        assert_eq!(said([0, 8, 8], 0, 0, 0), None);
        assert_eq!(said([0, 8, 8], 8, 0, 8), Some(Health::Unhealthy));
    }
}
