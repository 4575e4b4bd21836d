//! `rhumb state restore`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Attr, Call, Cloud, Handle, ResourceAddr};
use serde_json::{Value, json};

use crate::apply::{Drift, Found, Survey};
use crate::catalog::Catalog;
use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::commands::apply::View;
use crate::cli::held::{Held, store_failure, who};
use crate::cli::state::{StateArgs, StatePlace, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, reality};
use crate::state::local::MOST_VERSIONS;
use crate::state::{Record, Returned, Spared, State, StateResource};

/// Record again what an earlier version has and the record has lost, as far as it still exists
///
/// For a state file that was lost or damaged (move what is left of it away), for a bucket whose object `head` is gone, and for things that were left to others by mistake. Nothing that
/// is recorded now is forgotten: what was made since the version has our tags, is found by them and goes on being used. Nothing is made,
/// changed or removed; `rhumb rollback` leads back what exists.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    state: StateArgs,
    /// The version of this serial (`rhumb state versions`); of a bucket whose object `head` is gone, without it that is put back alone
    #[arg(long, value_name = "SERIAL")]
    to: Option<u64>,
    /// Where it is.
    #[command(flatten)]
    clouds: CloudArgs,
}

/// Cloud and region.
type Places = BTreeSet<(Cloud, String)>;

/// What came of it.
#[derive(Default)]
struct Told {
    /// The serial of the version.
    to: Option<u64>,
    /// In use again.
    back: Vec<(ResourceAddr, String)>,
    /// Not there any more.
    gone: Vec<(ResourceAddr, String)>,
    /// There with our tags, and never recorded.
    found: Vec<(ResourceAddr, String)>,
    /// There and left to others, and something else has their address.
    beside: Vec<(ResourceAddr, String)>,
    /// There with our tags, and something else has their address.
    spare: Vec<(ResourceAddr, String)>,
    /// The record was written anew from the version.
    anew: bool,
    /// The head of the bucket was put back.
    head: bool,
    /// Has another name since that version.
    renamed: BTreeMap<ResourceAddr, ResourceAddr>,
    /// Left to others since that version.
    theirs: Vec<(ResourceAddr, String)>,
    /// Where nothing is known to be and it could not be looked, and why.
    unseen: Vec<(String, String)>,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let place = args.state.place(settings)?;
    let clouds = Clouds::of(&args.clouds)?;
    let (mut held, head) = Held::open_without_head(&place, settings)?;
    let mut told = Told { head, ..Told::default() };
    let Some(to) = args.to else {
        if !head {
            return Err(Failure::usage(
                "name the version with --to SERIAL (`rhumb state versions` lists them)",
            ));
        }
        tell(&told, settings)?;
        return Ok(Exit::Done);
    };
    let mut version = match place.version(to) {
        Err(Failure::Message { exit, text }) if head => {
            let text = format!("{}: its object `head` was gone and is there again; {text}", held.name);
            return Err(Failure::Message { exit, text });
        }
        version => version?,
    };
    told.to = Some(to);
    told.anew = held.state().is_none();
    let mut kept = Kept::default();
    if told.anew {
        kept = Kept::of(&place, &version);
        clouds.fits(&version, &held.name)?;
        // What was made since may be anywhere. Nobody else sees a record that does not have it: to them it would be in the way.
        told.theirs = kept.left(&mut version);
        held.try_out(kept.tried(&version));
    }
    let Some(state) = held.state() else { return Ok(Exit::Done) };
    if state.lineage != version.lineage {
        let message =
            format!("the version is of the lineage {}, the record of {}", version.lineage, state.lineage);
        return Err(Failure::error(format!("{}: {message}", held.name)));
    }
    clouds.fits(state, &held.name)?;
    let quiet = reality::silent(settings);
    // Of a version nothing is settled: what was begun then has ended since, and would be done once more.
    if !told.anew {
        reality::settle(&mut held, &quiet, &clouds)?;
    }
    let mut drift = reality::look(&mut held, &quiet, &clouds)?;
    told.unseen = kept.not_needed(&mut drift);
    if told.anew {
        told.renamed = renamed(&held, &drift);
    }
    if !told.renamed.is_empty() {
        held.change_tried(|state| *state = state.called(&told.renamed));
        drift = reality::look(&mut held, &quiet, &clouds)?;
        kept.not_needed(&mut drift);
    }
    reality::record(&drift, &mut held, settings, &clouds)?;
    reality::complete(&drift)?;
    let Some(state) = held.state().cloned() else { return Ok(Exit::Done) };
    let version = version.in_names_of(&state);
    let lost = lost(&state, &version);
    let seen = look(&lost, &mut held, &quiet, &clouds)?;
    let things = returned(&state, &lost, &seen, &mut told);
    if told.anew || !things.is_empty() {
        let mut records = vec![Record::Restore { to, by: who(), at: settings.clock.to_string() }];
        records.extend(things);
        held.store(clouds.simulated)?.append(&records).map_err(store_failure)?;
    }
    held.change_tried(|state| {
        state.regions.clone_from(&kept.places);
        state.regions = state.places();
        // The next version is none of those that are kept.
        state.serial = state.serial.max(kept.latest);
    });
    held.put_tried()?;
    tell(&told, settings)?;
    Ok(Exit::Done)
}

/// What the versions that are kept say besides the one that is restored into a lost record.
#[derive(Default)]
struct Kept {
    /// Where any of them says that something is or was.
    places: Places,
    /// All other regions of the same clouds.
    others: Places,
    /// What was left to others since.
    forgotten: BTreeSet<Handle>,
    /// The latest serial.
    latest: u64,
}

impl Kept {
    fn of(place: &StatePlace, version: &State) -> Self {
        let mut places = version.places();
        let mut forgotten = BTreeSet::new();
        let serials = place.versions().unwrap_or_default();
        let latest = serials.last().copied().unwrap_or(0);
        for serial in serials.into_iter().rev().take(MOST_VERSIONS) {
            // One that cannot be read says nothing.
            let other = place.version(serial).ok().filter(|other| other.lineage == version.lineage);
            let Some(other) = other else { continue };
            places.extend(other.places());
            if serial > version.serial {
                forgotten.extend(other.forgotten);
            }
        }
        let clouds: BTreeSet<Cloud> = places.iter().map(|(cloud, _)| *cloud).collect();
        let catalog = Catalog::embedded();
        let all = catalog.regions.iter().filter(|region| clouds.contains(&region.cloud));
        let others =
            all.map(|region| (region.cloud, region.id.clone())).filter(|place| !places.contains(place));
        Kept { others: others.collect(), places, forgotten, latest }
    }

    /// Takes out of a version what was left to others since; gives it.
    fn left(&self, version: &mut State) -> Vec<(ResourceAddr, String)> {
        let theirs =
            |thing: &StateResource| thing.handle().is_some_and(|handle| self.forgotten.contains(&handle));
        version.spares.retain(|spare| !theirs(&spare.thing));
        let mut left = Vec::new();
        version.resources.retain(|address, thing| {
            let theirs = theirs(thing);
            left.extend(thing.id.clone().filter(|_| theirs).map(|id| (address.clone(), id)));
            !theirs
        });
        let forgotten = self.forgotten.iter().cloned().chain(std::mem::take(&mut version.forgotten));
        version.forgotten = forgotten.collect::<BTreeSet<_>>().into_iter().collect();
        left
    }

    /// The version as the record that it may become: what was open then has ended since.
    fn tried(&self, version: &State) -> State {
        let mut state = version.clone();
        state.regions = self.places.union(&self.others).cloned().collect();
        for intent in std::mem::take(&mut state.open).into_values() {
            if let (Call::Update(..), Some(thing)) = (&intent.call, state.resources.get_mut(&intent.address))
            {
                Arc::make_mut(thing).doubtful =
                    Some("what became of a change of it was not known".to_owned());
            }
        }
        state
    }

    /// Takes out of a look what could not be looked at in regions in which nobody knows of anything: an account may not have all of them.
    fn not_needed(&self, drift: &mut Drift) -> Vec<(String, String)> {
        let name = |(cloud, region): &(Cloud, String)| format!("{cloud}/{region}");
        let names: BTreeSet<String> = self.others.iter().map(name).collect();
        let unseen = std::mem::take(&mut drift.unseen).into_iter();
        let (not_needed, needed) = unseen.partition(|(what, _)| names.contains(what));
        drift.unseen = needed;
        not_needed
    }
}

/// What its clouds know by another name than the version does: it was renamed since, and they were told.
fn renamed(held: &Held, drift: &Drift) -> BTreeMap<ResourceAddr, ResourceAddr> {
    let Some(state) = held.state() else { return BTreeMap::new() };
    let told = |(addr, thing): (&ResourceAddr, &Arc<StateResource>)| {
        let handle = thing.handle()?;
        let tagged = drift.seen.get(&handle)?.address()?;
        // The name that it was to lose is not another one.
        (thing.known_as.get(addr) != Some(tagged)).then_some((handle, tagged))
    };
    state.renamed(&state.resources.iter().filter_map(told).collect())
}

/// What the version has in use and the record has not, by address.
fn lost(state: &State, version: &State) -> BTreeMap<ResourceAddr, Arc<StateResource>> {
    let used =
        |handle: &Handle| state.resources.values().any(|thing| thing.handle().as_ref() == Some(handle));
    // What is recorded as replaced, failed or too many is known, and so is why.
    let known = |handle: &Handle| {
        let of = |spare: &&crate::state::Spare| spare.thing.handle().as_ref() == Some(handle);
        state.spares.iter().find(of).is_some_and(|spare| spare.why != Spared::Stray)
    };
    let is_lost = |thing: &StateResource| thing.handle().is_some_and(|h| !used(&h) && !known(&h));
    let all = version.resources.iter().filter(|(_, thing)| is_lost(thing));
    all.map(|(addr, thing)| (addr.clone(), Arc::clone(thing))).collect()
}

/// What has become of it.
fn look(
    lost: &BTreeMap<ResourceAddr, Arc<StateResource>>,
    held: &mut Held,
    settings: &Settings,
    clouds: &Clouds,
) -> Result<BTreeMap<(ResourceAddr, Handle), Found>, Failure> {
    let Some(state) = held.state() else { return Ok(BTreeMap::new()) };
    let of = State { resources: lost.clone(), ..State::new(state.lineage.clone(), state.simulated) };
    clouds.reach(&of)?;
    let mut survey = Survey::new(&of, clouds.options.clone());
    let store = held.store(clouds.simulated)?;
    let mut view = View::new(settings);
    view.looking(lost.len());
    view.drive(&mut survey, store, clouds);
    view.close();
    let drift = survey.drift();
    if drift.interrupted {
        return Err(Failure::Message {
            exit: Exit::Interrupted,
            text: "it was asked to end: nothing was restored".to_owned(),
        });
    }
    reality::complete(&drift)?;
    Ok(drift.found)
}

/// The records of what is in use again: first what the version has, then what was made since. Where the record was written `anew`, what was
/// made since has taken the place of what the version has there: an apply was cut off between the two.
fn returned(
    state: &State,
    lost: &BTreeMap<ResourceAddr, Arc<StateResource>>,
    found: &BTreeMap<(ResourceAddr, Handle), Found>,
    told: &mut Told,
) -> Vec<Record> {
    let anew = told.anew;
    let mut back: BTreeMap<ResourceAddr, Returned> = BTreeMap::new();
    for (address, thing) in lost {
        let (Some(mut again), Some(handle)) = (Returned::of(thing), thing.handle()) else { continue };
        let named = (address.clone(), handle.id.clone());
        match found.get(&(address.clone(), handle)) {
            Some(Found::Vanished | Found::Others(_)) => {
                told.gone.push(named);
                continue;
            }
            Some(Found::Changed(attributes, outputs)) => {
                again.resource.attributes.clone_from(attributes);
                again.outputs.clone_from(outputs);
            }
            Some(Found::Completed) => again.complete = true,
            Some(Found::Settled | Found::Failed(_) | Found::Stray(..)) | None => {}
        }
        if state.resources.contains_key(address) {
            told.beside.push(named);
        } else {
            told.back.push(named);
            back.insert(address.clone(), again);
        }
    }
    let of_version = |handle: &Option<Handle>| lost.values().any(|thing| thing.handle() == *handle);
    for spare in state.spares.iter().filter(|spare| spare.why == Spared::Stray) {
        let (address, Some(mut again)) = (&spare.address, Returned::of(&spare.thing)) else { continue };
        if of_version(&spare.thing.handle()) {
            continue;
        }
        let named = (address.clone(), again.id.clone());
        if back.contains_key(address) || (!anew && state.resources.contains_key(address)) {
            told.spare.push(named);
            continue;
        }
        // What it needs, it names.
        let names = spare.thing.resource.attributes.values().filter_map(|value| match value {
            Attr::Text(text) => ResourceAddr::parse(text.as_str()).ok(),
            _ => None,
        });
        again.depends_on = names.collect();
        told.found.push(named);
        back.insert(address.clone(), again);
    }
    // Of those, what is there: a name of something else, as that of a workload, is no need.
    let all: BTreeSet<ResourceAddr> = back.keys().chain(state.resources.keys()).cloned().collect();
    for again in back.values_mut() {
        again.depends_on.retain(|need| all.contains(need));
        again.stands_on.retain(|need, _| all.contains(need));
    }
    let record = |(address, again)| Record::Return { address, thing: Box::new(again) };
    back.into_iter().map(record).collect()
}

fn tell(told: &Told, settings: &Settings) -> Result<(), Failure> {
    if settings.json {
        let of = |all: &[(ResourceAddr, String)]| -> Vec<Value> {
            all.iter().map(|(address, id)| json!({ "address": address, "id": id })).collect()
        };
        let text = json!({
            "schema": "rhumb.state_restore/1", "to": told.to, "anew": told.anew, "head": told.head, "renamed": told.renamed, "theirs": of(&told.theirs), "unseen": told.unseen, "restored": of(&told.back),
            "found": of(&told.found), "gone": of(&told.gone), "beside": of(&told.beside), "spare": of(&told.spare),
        });
        return terminal::print(&format!("{text}\n"));
    }
    let mut text = String::new();
    if told.head {
        text.push_str(
            "The bucket's object `head` was gone and is there again: nothing that was recorded is lost.\n",
        );
    }
    for (from, to) in &told.renamed {
        let (from, to) = (clean(from.as_str()), clean(to.as_str()));
        text.push_str(&format!("{from} is {to} by now, as its clouds know.\n"));
    }
    let Some(to) = told.to else { return terminal::print(&text) };
    if told.anew {
        text.push_str(&format!("The record was written anew from serial {to}, and beside what exists.\n"));
    }
    for (all, what) in [
        (&told.back, "is recorded again"),
        (&told.found, "has our tags and was in no record: it is in use from now on"),
        (&told.gone, "is not there any more"),
        (&told.theirs, "was left to others since"),
        (&told.beside, "is there, and something else has its address: left to others as it was"),
        (&told.spare, "is there, and something else has its address: the next apply removes it"),
    ] {
        for (address, id) in all {
            text.push_str(&format!("{} ({}) {what}\n", clean(address.as_str()), clean(id)));
        }
    }
    for (place, why) in &told.unseen {
        text.push_str(&format!(
            "{place} could not be looked at, and nobody knows of anything there: {}\n",
            clean(why)
        ));
    }
    text.push_str(&match told.back.len() + told.found.len() {
        0 if told.anew => "Nothing was made, changed or removed; plan to see what differs from the spec.\n".to_owned(),
        0 => format!("Nothing that is there and was recorded at serial {to} was lost.\n"),
        1 => "1 thing is recorded again. Nothing was made, changed or removed; plan to see what differs from the spec.\n".to_owned(),
        n => format!("{n} things are recorded again. Nothing was made, changed or removed; plan to see what differs from the spec.\n"),
    });
    terminal::print(&text)
}
