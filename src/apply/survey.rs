//! What exists, beside what is recorded.
//!
//! A list of each region shows nearly everything in one call, but may lag behind; so what a list does not show as it is recorded is
//! asked for by itself before anything is said of it. Nothing is changed, so that nothing needs to be recorded beforehand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rhumb_api::{
    Answer, Attr, Attributes, Call, Cloud, ErrorKind, Handle, Observed, Owner, ProviderError, Reply,
    ResourceAddr, Scope, Status, Tags, malformed,
};

use super::{Effect, Engine, Event, Options, Summary};
use crate::state::{Record, State, StateResource};

/// How often something is asked for again that was answered with an error which may pass.
const MOST_TRIES: u32 = 8;
/// How often something is looked at again that is being changed or removed; with pauses up to [`Options::poll_ms`] about a minute.
const MOST_LOOKS: u32 = 30;

/// Looks at everything that a state knows, and for what it does not know.
pub struct Survey<'a> {
    state: &'a State,
    options: Options,
    /// What is recorded, by the clouds' ids.
    known: BTreeMap<Handle, (&'a ResourceAddr, &'a StateResource)>,
    /// What is asked next.
    queue: VecDeque<Asked>,
    calls: BTreeMap<u64, Asked>,
    timers: BTreeMap<u64, Asked>,
    numbers: u64,
    /// What has been found out, by address.
    found: BTreeMap<(ResourceAddr, Handle), Found>,
    /// What was shown of what is recorded.
    seen: BTreeMap<Handle, Observed>,
    unseen: Vec<(String, String)>,
    stopping: bool,
    finished: bool,
}

/// A question and how often it was put.
#[derive(Clone, Debug)]
struct Asked {
    call: Call,
    /// Of something that only a list has shown: what it is tagged with.
    tags: Option<Tags>,
    tries: u32,
    looks: u32,
}

/// What is otherwise than recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Attributes, or what its cloud has given it, differ: it is like this.
    Changed(Attributes, BTreeMap<String, String>),
    /// It is as it was recorded; that was not known after a change that failed.
    Settled,
    /// It is not there any more.
    Vanished,
    /// What has its id by now was made by another deployment, of this lineage: ours is not there any more.
    Others(String),
    /// A run that has ended by itself.
    Completed,
    /// It has failed by itself; in the cloud's words.
    Failed(String),
    /// It has our tags, and no record knows it: it is like this.
    Stray(Tags, Attributes),
}

/// Everything that was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// What is otherwise than recorded, by address and id.
    pub found: BTreeMap<(ResourceAddr, Handle), Found>,
    /// Everything of what is recorded that is there, as its cloud describes it.
    pub seen: BTreeMap<Handle, Observed>,
    /// What could not be looked at, and why.
    pub unseen: Vec<(String, String)>,
    /// Whether it was ended early.
    pub interrupted: bool,
}

impl Drift {
    /// The records that make a state say what was found; none if it says so already.
    pub fn records(&self, by: &str, at: &str) -> Vec<Record> {
        if self.found.is_empty() {
            return Vec::new();
        }
        let mut records = vec![Record::Refresh { by: by.to_owned(), at: at.to_owned() }];
        for ((address, handle), found) in &self.found {
            let (address, id) = (address.clone(), handle.id.clone());
            records.push(match found {
                Found::Changed(attributes, outputs) => {
                    Record::Saw { address, id, attributes: attributes.clone(), outputs: outputs.clone() }
                }
                Found::Settled => Record::Settled { address, id },
                Found::Vanished | Found::Others(_) => Record::Gone { address, id },
                Found::Completed => Record::Completed { address, id },
                Found::Failed(why) => Record::Doubt { address, id, why: why.clone() },
                Found::Stray(tags, attributes) => Record::Stray {
                    address,
                    handle: handle.clone(),
                    token: tags.token.clone(),
                    attributes: attributes.clone(),
                },
            });
        }
        records
    }
}

/// The attributes in which something is otherwise than recorded, by name.
///
/// The number of machines of a fleet that follows its load is moved by others within what the plan lets it: that is no difference.
pub fn differing(recorded: &Attributes, seen: &Attributes) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = recorded.differing(seen).map(str::to_owned).collect();
    if moved_by_load(recorded, seen) {
        names.remove("count");
    }
    names
}

/// Whether both numbers of machines are within the bounds. A recorded one that is not was somebody's doing, and would be recorded for ever if
/// nothing else were a difference.
fn moved_by_load(recorded: &Attributes, seen: &Attributes) -> bool {
    let number = |of: &Attributes, name: &str| match of.get(name) {
        Some(Attr::Int(n)) => Some(*n),
        _ => None,
    };
    let bounds = number(recorded, "min_count").zip(number(recorded, "max_count"));
    let within = |of| bounds.zip(number(of, "count")).is_some_and(|((a, b), n)| (a..=b).contains(&n));
    within(recorded) && within(seen)
}

/// What is to be recorded of something that is otherwise: what is no difference stays as it was planned.
fn as_seen(recorded: &Attributes, mut seen: Attributes) -> Attributes {
    if let Some(count) = recorded.get("count").filter(|_| moved_by_load(recorded, &seen)) {
        seen.insert("count", count.clone());
    }
    seen
}

/// Whether something is otherwise than recorded.
fn differs(recorded: &StateResource, seen: &Observed) -> bool {
    recorded.outputs != seen.outputs || !differing(&recorded.resource.attributes, &seen.attributes).is_empty()
}

impl<'a> Survey<'a> {
    /// Of everything that a state says.
    pub fn new(state: &'a State, options: Options) -> Self {
        let used = state.resources.iter();
        let all = used.chain(state.spares.iter().map(|spare| (&spare.address, &spare.thing)));
        let known = all.filter_map(|(addr, thing)| Some((thing.handle()?, (addr, &**thing)))).collect();
        let list = |(cloud, region): (Cloud, String)| {
            Asked::new(Call::List(Scope { cloud, region, lineage: state.lineage.clone(), token: None }))
        };
        Survey {
            state,
            options,
            known,
            queue: state.places().into_iter().map(list).collect(),
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
            numbers: 0,
            found: BTreeMap::new(),
            seen: BTreeMap::new(),
            unseen: Vec::new(),
            stopping: false,
            finished: false,
        }
    }

    /// What was found, once it has finished.
    pub fn drift(self) -> Drift {
        let mut unseen = self.unseen;
        unseen.sort();
        Drift { found: self.found, seen: self.seen, unseen, interrupted: self.stopping }
    }

    fn answered(&mut self, asked: Asked, answer: Answer, effects: &mut Vec<Effect>) {
        match (&asked.call, answer) {
            (Call::List(scope), Ok(Reply::Many(listed))) => {
                let scope = scope.clone();
                self.listed(&scope, listed);
            }
            (Call::Read(handle), Ok(Reply::One(seen))) => {
                let handle = handle.clone();
                self.read(asked, &handle, seen, effects);
            }
            (call, Ok(_)) => {
                let error = malformed(call);
                self.failed(asked, &error, effects);
            }
            (_, Err(error)) => self.failed(asked, &error, effects),
        }
    }

    fn listed(&mut self, scope: &Scope, listed: Vec<Observed>) {
        let mut shown = BTreeSet::new();
        for mut seen in listed {
            // A cloud that shows the things of others does not make them ours.
            if !seen.is_of(&self.state.lineage) {
                continue;
            }
            shown.insert(seen.handle.clone());
            self.in_our_words(&mut seen);
            let as_recorded = self.known.get(&seen.handle).is_some_and(|(_, thing)| {
                let done =
                    seen.status == Status::Ready || (seen.status == Status::Complete && thing.complete);
                done && thing.doubtful.is_none() && !differs(thing, &seen)
            });
            if as_recorded {
                self.seen.insert(seen.handle.clone(), seen);
            } else {
                let tags = seen.tags.filter(|_| !self.known.contains_key(&seen.handle));
                self.queue.push_back(Asked { tags, ..Asked::new(Call::Read(seen.handle)) });
            }
        }
        let here = |handle: &&Handle| handle.cloud == scope.cloud && handle.region == scope.region;
        let missing = self.known.keys().filter(here).filter(|handle| !shown.contains(*handle));
        self.queue.extend(missing.map(|handle| Asked::new(Call::Read(handle.clone()))));
    }

    fn in_our_words(&self, seen: &mut Observed) {
        if let Some((_, thing)) = self.known.get(&seen.handle) {
            seen.attributes = thing.in_our_words(std::mem::take(&mut seen.attributes));
        }
    }

    fn read(&mut self, asked: Asked, handle: &Handle, seen: Option<Observed>, effects: &mut Vec<Effect>) {
        let known = self.known.get(handle).copied();
        let Some(mut seen) = seen else {
            // A run that has ended may be cleared away.
            if let Some((addr, _)) = known.filter(|(_, thing)| !thing.complete) {
                self.found.insert((addr.clone(), handle.clone()), Found::Vanished);
            }
            return;
        };
        // Where names are ids, another deployment may have made its own thing of a name that was free again. What is to be taken over has the
        // tags of whoever it is recorded to be of; older versions did not record whose.
        if let Some((addr, _)) = known.filter(|(_, thing)| {
            let recorded = |lineage: &str| match &thing.owner {
                Some(owner) => *owner == Owner::Lineage(lineage.to_owned()),
                None => thing.token.is_none(),
            };
            let theirs = |tags: &Tags| tags.lineage != self.state.lineage && !recorded(&tags.lineage);
            seen.tags.as_ref().is_some_and(theirs)
        }) {
            let theirs = seen.tags.map(|tags| tags.lineage).unwrap_or_default();
            self.found.insert((addr.clone(), handle.clone()), Found::Others(theirs));
            return;
        }
        self.in_our_words(&mut seen);
        if matches!(seen.status, Status::Pending | Status::Deleting) && asked.looks < MOST_LOOKS {
            let ms = self.options.first_poll_ms.saturating_mul(1 << asked.looks.min(20));
            let asked = Asked { looks: asked.looks + 1, ..asked };
            return self.wait(asked, ms.clamp(1, self.options.poll_ms), effects);
        }
        let Some((addr, thing)) = known else {
            // What an intent may have made is found by what settles it; what was left to others is theirs.
            let ours = |tags: &Tags| {
                !self.state.open.contains_key(&tags.token)
                    && self.state.forgotten.binary_search(handle).is_err()
            };
            if let Some(tags) = asked.tags.filter(ours) {
                let key = (tags.address.clone(), handle.clone());
                self.found.insert(key, Found::Stray(tags, seen.attributes));
            }
            return;
        };
        self.seen.insert(handle.clone(), seen.clone());
        let differs = differs(thing, &seen);
        let in_use = self.state.resources.get(addr).and_then(|thing| thing.handle()).as_ref() == Some(handle);
        let found = match seen.status {
            // It is removed whatever it is like.
            _ if !in_use => return,
            Status::Pending | Status::Deleting => {
                let doing = if seen.status == Status::Pending { "changed" } else { "removed" };
                return self.unseen.push((addr.to_string(), format!("it is being {doing} by somebody else")));
            }
            Status::Failed(error) => {
                let why = format!("{}: {}", error.kind, error.message);
                if thing.doubtful.as_ref() == Some(&why) && !differs {
                    return;
                }
                Found::Failed(why)
            }
            Status::Complete if !thing.complete => Found::Completed,
            _ if differs => {
                Found::Changed(as_seen(&thing.resource.attributes, seen.attributes), seen.outputs)
            }
            _ if thing.doubtful.is_some() => Found::Settled,
            _ => return,
        };
        self.found.insert((addr.clone(), handle.clone()), found);
    }

    fn failed(&mut self, asked: Asked, error: &ProviderError, effects: &mut Vec<Effect>) {
        let passes = match error.kind {
            ErrorKind::Throttled => true,
            ErrorKind::UnknownOutcome | ErrorKind::Conflict => asked.tries < MOST_TRIES,
            _ => false,
        };
        if passes {
            let doubled = self.options.pause_ms.saturating_mul(1 << asked.tries.min(20));
            let ms = doubled.min(self.options.longest_pause_ms).max(error.retry_after_ms.unwrap_or(0));
            let asked = Asked { tries: asked.tries + 1, ..asked };
            return self.wait(asked, ms.max(1), effects);
        }
        let what = match &asked.call {
            Call::List(scope) => format!("{}/{}", scope.cloud, scope.region),
            Call::Read(handle) => {
                self.known.get(handle).map_or(handle.to_string(), |(addr, _)| addr.to_string())
            }
            call => call.verb().to_owned(),
        };
        self.unseen.push((what, error.to_string()));
    }

    fn wait(&mut self, asked: Asked, ms: u64, effects: &mut Vec<Effect>) {
        self.numbers += 1;
        self.timers.insert(self.numbers, asked);
        effects.push(Effect::Wait { number: self.numbers, ms });
    }
}

impl Engine for Survey<'_> {
    fn on(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Answered(number, answer) => {
                if let Some(asked) = self.calls.remove(&number) {
                    self.answered(asked, answer, &mut effects);
                }
            }
            Event::Rang(number) => {
                let asked = self.timers.remove(&number);
                self.queue.extend(asked);
            }
            Event::Interrupted => {
                self.stopping = true;
                self.timers.clear();
            }
            Event::Start | Event::Written(_) | Event::WriteFailed(_) => {}
        }
        while !self.stopping && self.calls.len() < self.options.parallel.max(1) {
            let Some(asked) = self.queue.pop_front() else { break };
            self.numbers += 1;
            effects.push(Effect::Send { number: self.numbers, call: Box::new(asked.call.clone()) });
            self.calls.insert(self.numbers, asked);
        }
        let idle = self.calls.is_empty() && self.timers.is_empty();
        if idle && (self.stopping || self.queue.is_empty()) && !self.finished {
            self.finished = true;
            effects.push(Effect::Finish(Summary::default()));
        }
        effects
    }

    fn unanswered(&self) -> Vec<u64> {
        self.calls.keys().copied().collect()
    }
}

impl Asked {
    fn new(call: Call) -> Self {
        Asked { call, tags: None, tries: 0, looks: 0 }
    }
}
