//! The machine.

mod calls;
mod health;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Call, Order, ProviderError, Purchase, ResourceAddr, Tags};

use super::token::token;
use super::work::{Job, Jobs, Which, Work, verb};
use super::{Effect, Engine, Event, Options, Progress, Stage, Summary, Verb};
use crate::plan::{Action, Change};
use crate::state::{Intent, Record, Spared, State, StateResource, Taken};

/// Turns events into effects, and holds the state as it will be once all effects are done.
pub struct Machine<'a> {
    work: Option<Work<'a>>,
    /// What is done: the plan's changes with what stands in for what was refused.
    changes: Vec<Change>,
    /// Pools of which machines were refused, and whether these were spot.
    refused: BTreeSet<(ResourceAddr, bool)>,
    /// Something else is to be done once nothing is under way any more.
    turning: bool,
    /// What has failed is not tried again.
    given_up: BTreeSet<ResourceAddr>,
    /// Workloads of which what was made goes again.
    going_back: BTreeSet<String>,
    options: Options,
    state: State,
    jobs: Jobs,
    tasks: Vec<Task>,
    ready: BTreeSet<usize>,
    busy: usize,
    numbers: u64,
    /// Tasks that wait until a write is durable.
    writes: BTreeMap<u64, Option<usize>>,
    calls: BTreeMap<u64, (usize, Ask)>,
    timers: BTreeMap<u64, (usize, Ask)>,
    begin: Option<Record>,
    /// The write of the last record.
    ending: Option<u64>,
    stopping: bool,
    summary: Summary,
    effects: Vec<Effect>,
}

/// A job under way.
struct Task {
    job: Job,
    /// Others that it waits for.
    waits: usize,
    /// One of those that it waited for was not done.
    blocked: Option<String>,
    under: Option<Under>,
    /// Of a look at machines: pauses so far, milliseconds, and looks.
    watched: (u64, u32),
    /// Machines that were healthy when it was looked last.
    healthy: Option<u32>,
    ended: bool,
}

impl Task {
    fn new((job, waits): (Job, usize)) -> Self {
        Task { job, waits, blocked: None, under: None, watched: (0, 0), healthy: None, ended: false }
    }
}

/// An intent under way.
struct Under {
    intent: Intent,
    tries: u32,
    /// How often it was looked at.
    looks: u32,
    paused_ms: u64,
    /// Whether it may have had an effect that was not seen.
    unknown: bool,
    /// What it comes to if the effect is not found either.
    verdict: Option<ProviderError>,
    /// Why the call is to be sent again, which had no effect when it was answered last.
    refused: Option<ProviderError>,
    /// Milliseconds of pauses since it was sent last.
    since_sent_ms: u64,
}

/// What is asked about an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// The call itself.
    Call,
    /// How the thing is.
    Look,
    /// Whether there is a thing of this intent.
    Find,
    /// Whether its machines serve; there is no intent.
    Health,
}

impl<'a> Machine<'a> {
    /// A machine that settles what is open in a state and then does what the plan says; `begin` is the record that says so.
    pub fn new(state: State, work: Work<'a>, begin: Record, options: Options) -> Self {
        let mut state_then = state.clone();
        // What an earlier apply of this plan has taken is kept.
        let _ = state_then.take(&begin);
        let changes = work.changes(&state_then);
        let jobs = Jobs::of(&changes, &work, &state);
        Machine::with(state, Some(work), (changes, jobs), Some(begin), options)
    }

    /// A machine that only finds out what became of the open intents of a state.
    pub fn settling(state: State, options: Options) -> Self {
        let jobs = Jobs::settling(&state);
        Machine::with(state, None, (Vec::new(), jobs), None, options)
    }

    fn with(
        state: State,
        work: Option<Work<'a>>,
        (changes, jobs): (Vec<Change>, Jobs),
        begin: Option<Record>,
        options: Options,
    ) -> Self {
        let (tasks, ready) = tasks(&jobs);
        Machine {
            work,
            changes,
            refused: BTreeSet::new(),
            turning: false,
            given_up: BTreeSet::new(),
            going_back: BTreeSet::new(),
            options,
            state,
            jobs,
            tasks,
            ready,
            busy: 0,
            numbers: 0,
            writes: BTreeMap::new(),
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
            begin,
            ending: None,
            stopping: false,
            summary: Summary::default(),
            effects: Vec::new(),
        }
    }

    /// The state with everything that was recorded so far, durable or not.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Begins what can begin, and ends when nothing is left.
    fn go_on(&mut self) {
        if self.turning && self.busy == 0 && !self.stopping {
            self.turn();
        }
        while !self.stopping && !self.turning && self.busy < self.options.parallel.max(1) {
            let Some(task) = self.ready.pop_first() else { break };
            self.begin(task);
        }
        let over = self.busy == 0 && (self.stopping || (self.ready.is_empty() && !self.turning));
        if !over || self.ending.is_some() {
            return;
        }
        let why =
            if self.summary.unrecorded.is_some() { "nothing can be recorded" } else { "it was asked to end" };
        for i in 0..self.tasks.len() {
            if !self.tasks[i].ended {
                self.skip(i, why.to_owned());
            }
        }
        if let Some(work) = &self.work {
            let going = std::mem::take(&mut self.going_back).into_iter();
            (self.summary.went_back, self.summary.not_back) =
                going.partition(|workload| work.is_back(workload, &self.state));
        }
        self.ending = Some(u64::MAX);
        if self.summary.unrecorded.is_some() || self.work.is_none() {
            self.finish();
            return;
        }
        let complete = self.summary.complete();
        self.ending = self.write(Record::End { complete }, None);
    }

    fn finish(&mut self) {
        let summary = std::mem::take(&mut self.summary);
        self.effects.push(Effect::Finish(summary));
    }

    // Records.

    /// Records something; the number of the write. A record that does not fit is a fault of this program: nothing goes on.
    fn write(&mut self, record: Record, task: Option<usize>) -> Option<u64> {
        if let Err(error) = self.state.take(&record) {
            self.unrecorded(error.to_string());
            return None;
        }
        self.numbers += 1;
        let number = self.numbers;
        self.writes.insert(number, task);
        self.effects.push(Effect::Write { number, records: vec![record] });
        Some(number)
    }

    fn written(&mut self, number: u64) {
        let later = self.writes.split_off(&(number + 1));
        let durable = std::mem::replace(&mut self.writes, later);
        for task in durable.into_values().flatten() {
            self.ask(task, Ask::Call);
        }
        if self.ending.is_some_and(|ending| ending <= number) {
            self.ending = Some(u64::MAX);
            self.finish();
        }
    }

    fn unrecorded(&mut self, why: String) {
        if self.summary.unrecorded.is_some() {
            return;
        }
        self.summary.unrecorded = Some(why.clone());
        let waiting: Vec<usize> = std::mem::take(&mut self.writes).into_values().flatten().collect();
        for task in waiting {
            // It was not sent and never will be.
            self.busy -= 1;
            self.skip(task, format!("it could not be recorded: {why}"));
        }
        self.stop("nothing can be recorded");
        if self.ending.is_some() {
            self.ending = Some(u64::MAX);
            self.finish();
        }
    }

    /// Begins nothing any more and waits for nothing that has not been sent.
    fn stop(&mut self, why: &str) {
        self.stopping = true;
        for (task, ask) in std::mem::take(&mut self.timers).into_values() {
            match ask {
                Ask::Health => self.not_begun(task, why),
                _ => self.give_up(task, ask, why.to_owned()),
            }
        }
    }

    // Tasks.

    fn tell(&mut self, task: usize, stage: Stage) {
        if let Some((verb, address)) = self.told(task) {
            self.effects.push(Effect::Tell(Progress { address, verb, stage }));
        }
    }

    fn told(&self, task: usize) -> Option<(Verb, ResourceAddr)> {
        let task = &self.tasks[task];
        match (&task.job, &task.under, &self.work) {
            (_, Some(under), _) => Some((verb(&under.intent.call), under.intent.address.clone())),
            (Job::Settle(token), _, _) => {
                self.state.open.get(token).map(|i| (verb(&i.call), i.address.clone()))
            }
            (Job::Make(at), _, Some(_)) => {
                let change = self.changes.get(*at)?;
                let verb = if change.action == Action::Update { Verb::Update } else { Verb::Create };
                Some((verb, change.addr.clone()))
            }
            (Job::Tell(at), _, Some(_)) => Some((Verb::Update, self.changes.get(*at)?.addr.clone())),
            (Job::Unmake(address, _), _, _) => Some((Verb::Delete, address.clone())),
            (Job::Check(address, _), _, _) => Some((Verb::Check, address.clone())),
            _ => None,
        }
    }

    fn begin(&mut self, task: usize) {
        self.busy += 1;
        match self.tasks[task].job.clone() {
            Job::Phase => self.end(task, None),
            Job::Settle(token) => match self.state.open.get(&token).cloned() {
                Some(intent) => self.settle(task, intent),
                None => self.end(task, None),
            },
            Job::Make(change) => self.make(task, change),
            Job::Tell(change) => self.tell_name(task, change),
            Job::Unmake(address, which) => self.unmake(task, &address, which),
            Job::Check(..) if self.options.ignore_health => self.end(task, None),
            Job::Check(..) => self.look(task),
        }
    }

    /// Finds out what became of an intent of an earlier apply. Its call may still be under way.
    fn settle(&mut self, task: usize, intent: Intent) {
        let guarantees = self.options.guarantees(intent.call.cloud());
        let (ask, pause) = match (&intent.call, &intent.accepted) {
            (Call::Create(_), Some(_)) => (Ask::Look, 0),
            (Call::Create(_), None) if guarantees.deduplicates => (Ask::Find, 0),
            (Call::Create(_), None) => (Ask::Find, guarantees.call_lag_ms + guarantees.list_lag_ms),
            // A late copy of it must not come after a later change.
            (Call::Update(..), _) => (Ask::Call, guarantees.call_lag_ms),
            _ => (Ask::Call, 0),
        };
        let mut under = Under::new(intent);
        under.unknown = true;
        self.tasks[task].under = Some(under);
        self.tell(task, Stage::Recovered);
        self.pause(task, ask, pause);
    }

    fn make(&mut self, task: usize, change: usize) {
        let Some(work) = &self.work else { return self.end(task, None) };
        let Some(change) = self.changes.get(change).cloned() else { return self.end(task, None) };
        if self.given_up.contains(&change.addr) {
            return self.end(task, Some(format!("{} failed", change.addr)));
        }
        let Some(after) = &change.after else { return self.end(task, None) };
        let from = work.from.unwrap_or(0);
        let there = self.state.resources.get(&change.addr);
        let is_so = |thing: &Arc<StateResource>| {
            let as_told = thing.doubtful.is_none() && !thing.is_to_be_told();
            let as_told = as_told && thing.stands_on_old(&self.state.resources).is_none();
            thing.since > from && thing.resource == *after && as_told
        };
        // Of this plan, by an apply of it that was cut off.
        if there.is_some_and(is_so) {
            return self.end(task, None);
        }
        if let Some(first) = self.foreign(&change.depends_on) {
            return self.take_over(task, first);
        }
        let handle = there.map(|thing| thing.handle());
        let takes_over = there.and_then(|thing| thing.owner.clone());
        let verb = if change.action == Action::Update { Verb::Update } else { Verb::Create };
        let token = token(&self.state.lineage, self.state.serial, &work.plan, verb, &change.addr);
        let mut needs = BTreeMap::new();
        for need in &change.depends_on {
            let id = self.state.resources.get(need).and_then(|thing| thing.id.clone());
            let Some(id) = id else {
                let why = format!("{need}, which it needs, has no id in the state");
                return self.fail(task, why);
            };
            needs.insert(need.clone(), id);
        }
        let tags =
            Tags { lineage: self.state.lineage.clone(), address: change.addr.clone(), token: token.clone() };
        let files = work.files(&change.addr, &self.state);
        let order = Order { tags, resource: after.clone(), needs, files, takes_over: None };
        let call = match (change.action, handle) {
            (Action::Update, Some(Some(handle))) => Call::Update(handle, Order { takes_over, ..order }),
            (Action::Update, _) => {
                return self.fail(task, "it is not in the state, or without an id".to_owned());
            }
            (Action::Create, Some(_)) => {
                return self.fail(task, "it exists, otherwise than the plan wants it".to_owned());
            }
            _ => Call::Create(order),
        };
        let depends_on = change.depends_on.clone();
        let intent = Intent { token, address: change.addr.clone(), call, depends_on, accepted: None };
        self.intend(task, intent);
    }

    fn unmake(&mut self, task: usize, address: &ResourceAddr, which: Which) {
        let spares = self.state.spares.iter().filter(|spare| spare.address == *address);
        let spares = spares.filter(|spare| which > Which::Useless || spare.why != Spared::Replaced);
        // Two jobs may work on one address: each takes what the other has not taken.
        let deleting = |thing: &Arc<StateResource>| {
            let handle = thing.handle();
            let mut open = self.state.open.values();
            open.any(|intent| matches!(&intent.call, Call::Delete(of) if Some(of) == handle.as_ref()))
        };
        let mut spares = spares.filter(|spare| !deleting(&spare.thing));
        let from = self.work.as_ref().and_then(|work| work.from).unwrap_or(0);
        let goes = |thing: &StateResource| match which {
            Which::All => true,
            // A removal that failed is recorded later than the plan.
            Which::Old => thing.since <= from || thing.doubtful.is_some(),
            Which::Useless | Which::Spare => false,
        };
        let own = self.state.resources.get(address).filter(|thing| goes(thing) && !deleting(thing));
        let Some(thing) = spares.next().map(|spare| &spare.thing).or(own) else {
            return self.end(task, None);
        };
        if self.stopping {
            return self.not_begun(task, "it was asked to end");
        }
        let Some(handle) = thing.handle() else {
            return self.fail(task, "the state has no id of it".to_owned());
        };
        let plan = self.work.as_ref().map_or("", |work| work.plan.as_str());
        let token = token(&self.state.lineage, self.state.serial, plan, Verb::Delete, address);
        let intent = Intent {
            token,
            address: address.clone(),
            call: Call::Delete(handle),
            depends_on: thing.depends_on.clone(),
            accepted: None,
        };
        self.intend(task, intent);
    }

    fn intend(&mut self, task: usize, intent: Intent) {
        self.tasks[task].under = Some(Under::new(intent.clone()));
        self.tell(task, Stage::Begun);
        self.write(Record::Intend(intent), Some(task));
    }

    fn end(&mut self, task: usize, blocks: Option<String>) {
        self.busy -= 1;
        self.over(task, blocks);
    }

    /// Marks a task as ended, and what waits for it; what waits for something that was not done is not begun.
    fn over(&mut self, task: usize, blocks: Option<String>) {
        let mut open = vec![(task, blocks)];
        while let Some((task, blocks)) = open.pop() {
            if std::mem::replace(&mut self.tasks[task].ended, true) {
                continue;
            }
            for waiting in self.jobs.waiting_for(task) {
                let other = &mut self.tasks[waiting];
                other.waits = other.waits.saturating_sub(1);
                if other.blocked.is_none() {
                    other.blocked.clone_from(&blocks);
                }
                if other.waits > 0 || other.ended {
                    continue;
                }
                match other.blocked.clone() {
                    None => {
                        self.ready.insert(waiting);
                    }
                    Some(why) => {
                        self.note_skipped(waiting, why.clone());
                        open.push((waiting, Some(why)));
                    }
                }
            }
        }
    }

    fn skip(&mut self, task: usize, why: String) {
        self.note_skipped(task, why);
        self.tasks[task].ended = true;
        self.ready.remove(&task);
    }

    fn note_skipped(&mut self, task: usize, why: String) {
        // What needs nothing to be done is not missed.
        if let Job::Unmake(address, Which::Useless | Which::Spare) = &self.tasks[task].job
            && !self.state.spares.iter().any(|spare| spare.address == *address)
            && !self.replaces(address)
        {
            return;
        }
        if let Some((verb, address)) = self.told(task) {
            self.tell(task, Stage::Skipped(why.clone()));
            self.summary.skipped.push((verb, address, why));
        }
    }

    fn replaces(&self, address: &ResourceAddr) -> bool {
        self.changes.iter().any(|change| change.action == Action::Replace && change.addr == *address)
    }

    /// Ends what has changed nothing and will not now.
    fn not_begun(&mut self, task: usize, why: &str) {
        self.note_skipped(task, why.to_owned());
        self.end(task, Some(why.to_owned()));
    }

    fn fail(&mut self, task: usize, why: String) {
        self.tell(task, Stage::Failed(why.clone()));
        let Some((verb, address)) = self.told(task) else { return self.end(task, Some(why)) };
        self.end(task, Some(format!("{} {address} failed", verb.as_str())));
        self.given_up.insert(address.clone());
        self.summary.failed.push((verb, address, why));
    }

    /// Whether something stands in for machines that were refused.
    fn stand_in(&mut self, task: usize, why: &str) -> bool {
        let (Job::Make(at), Some(work)) = (&self.tasks[task].job, &self.work) else { return false };
        let Some(change) = self.changes.get(*at) else { return false };
        let Some(after) = &change.after else { return false };
        let spot = after.attributes.get("purchase") == Some(&Purchase::Spot.as_str().into());
        let Some(pool) = change.addr.parent() else { return false };
        self.refused.insert((pool.clone(), spot));
        let taken = self.state.applying.as_ref().map_or(&[][..], |applying| &applying.taken);
        let Some(standby) = work.standby(&pool, taken, &self.refused) else { return false };
        let more_per_month = standby.more_per_month;
        let taken = Taken { pool: standby.pool.clone(), by: standby.by.clone(), spot: standby.spot };
        self.tell(task, Stage::Replaced { why: why.to_owned(), by: taken.by.clone(), more_per_month });
        self.summary.taken.push((taken.pool.clone(), taken.by.clone(), why.to_owned()));
        self.write(Record::Took(taken), None);
        self.turning = true;
        // What waits for it is decided anew.
        self.tasks[task].ended = true;
        self.busy -= 1;
        true
    }

    /// Does what is to be done now instead of what was to be done before.
    fn turn(&mut self) {
        self.turning = false;
        self.put_back();
        let Some(work) = &self.work else { return };
        self.changes = work.changes_back(&self.state, &self.going_back);
        self.jobs = Jobs::of(&self.changes, work, &self.state);
        (self.tasks, self.ready) = tasks(&self.jobs);
        // What was skipped for what was refused may be done now.
        self.summary.skipped.clear();
    }

    /// Whether what was made for the workload of machines that were refused goes again. It has failed all the same.
    fn go_back(&mut self, task: usize, why: &str) -> bool {
        let (Job::Make(at), Some(work)) = (&self.tasks[task].job, &self.work) else { return false };
        let Some(address) = self.changes.get(*at).map(|change| change.addr.clone()) else { return false };
        if !work.goes_back(address.workload()) || self.going_back.contains(address.workload()) {
            return false;
        }
        self.going_back.insert(address.workload().to_owned());
        self.fail(task, why.to_owned());
        // What failed on the way there is led back like all else.
        self.given_up.retain(|failed| failed.workload() != address.workload());
        self.turning = true;
        true
    }

    /// What was replaced of workloads that go back is in use again: it has served all the time.
    fn put_back(&mut self) {
        let Some(work) = &self.work else { return };
        for record in work.undoing(&self.going_back, &self.state) {
            self.write(record, None);
        }
    }

    /// Ends with an open intent.
    fn leave(&mut self, task: usize, why: String) {
        self.tell(task, Stage::Left(why.clone()));
        let Some((verb, address)) = self.told(task) else { return self.end(task, Some(why)) };
        self.end(task, Some(format!("how the {} of {address} ended is not known", verb.as_str())));
        self.summary.left.push((verb, address, why));
    }

    /// What an intent left besides what it was to leave is removed in the same apply.
    fn clean(&mut self, task: usize) {
        let Some(under) = &self.tasks[task].under else { return };
        let job = Job::Unmake(under.intent.address.clone(), Which::Useless);
        if self.work.is_some() {
            self.ready.insert(self.tasks.len());
            self.tasks.push(Task::new((job, 0)));
        }
    }
}

impl Engine for Machine<'_> {
    fn unanswered(&self) -> Vec<u64> {
        self.calls.keys().copied().collect()
    }

    fn on(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Start => {
                if let Some(begin) = self.begin.take() {
                    self.write(begin, None);
                }
            }
            Event::Written(number) => self.written(number),
            Event::WriteFailed(why) => self.unrecorded(why),
            Event::Answered(number, answer) => {
                if let Some((task, ask)) = self.calls.remove(&number) {
                    self.answered(task, ask, answer);
                }
            }
            Event::Rang(number) => {
                if let Some((task, ask)) = self.timers.remove(&number) {
                    self.ask(task, ask);
                }
            }
            Event::Interrupted => {
                self.summary.interrupted = true;
                self.stop("it was asked to end");
            }
        }
        self.go_on();
        std::mem::take(&mut self.effects)
    }
}

/// The tasks of some jobs, and those that wait for nothing.
fn tasks(jobs: &Jobs) -> (Vec<Task>, BTreeSet<usize>) {
    let tasks: Vec<Task> = jobs.all().map(Task::new).collect();
    let ready = (0..tasks.len()).filter(|i| tasks[*i].waits == 0).collect();
    (tasks, ready)
}
