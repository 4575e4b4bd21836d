//! One cloud, one log, two processes, and everything that may happen next.

use std::collections::BTreeSet;
use std::fmt::{self, Debug, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};

use rhumb::apply::{Event, Options};
use rhumb::plan::{Action, Desired};
use rhumb::state::{Record, State};
use rhumb_api::{Answer, Call, Cloud, ErrorKind, Guarantees, ProviderError, ResourceKind};
use rhumb_sim::{Durations, SimCloud, Span, World};

use super::log::{Log, Rule};
use super::process::{Do, Kept, Process, Task};
use crate::apply::world::Plan;

/// What something is told apart by: 128 bits of all that it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64, u64);

impl Mark {
    pub fn of(what: &impl Debug) -> Mark {
        Mark::default().and(what)
    }

    pub fn and(self, what: &impl Debug) -> Mark {
        let mut halves = Halves(DefaultHasher::new(), DefaultHasher::new());
        (1, self).hash(&mut halves.0);
        (2, self).hash(&mut halves.1);
        write!(halves, "{what:?}").expect("nothing is written");
        Mark(halves.0.finish(), halves.1.finish())
    }
}

struct Halves(DefaultHasher, DefaultHasher);

impl fmt::Write for Halves {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        self.1.write(text.as_bytes());
        Ok(())
    }
}

/// A planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    None,
    /// The log keeps writers apart by another rule.
    Log(Rule),
    /// What is to be recorded is recorded after what is to be sent is sent.
    SendsFirst,
    /// What is open is looked up, and whatever the cloud answers is taken for nothing.
    LooksNowhere,
    /// What is open is looked up, and sent again without waiting for what may still come.
    WaitsForNothing,
    /// A list lags behind for longer than the cloud has promised.
    ListsLate,
    /// A call takes longer than the cloud has promised.
    CallsLate,
    /// Who comes last applies the plan and looks at nothing besides.
    NoLook,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    pub name: &'static str,
    pub before: &'static Desired,
    /// What both processes are told.
    pub tasks: [Task; 2],
    pub after: &'static Desired,
    pub deduplicates: bool,
    pub parallel: usize,
    /// How many processes may be killed.
    pub crashes: u8,
    /// How many calls may come to nothing.
    pub losses: u8,
    pub plant: Plant,
}

/// One thing that may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The second process opens the state: the first one has been overtaken from now on.
    Open(usize),
    /// A process does what it has to do next: it appends to the log, or sends a call.
    Step(usize),
    /// A call has its effect, or sees what there is.
    Land(usize),
    /// A call never arrives, and its caller is told that nobody knows.
    Lose(usize),
    /// A process is told answers (by their place in the net) and timers (by their number), in this order.
    Wake(usize, Vec<Told>),
    /// A process is killed.
    Crash(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Answer(u64),
    Timer(u64),
}

/// A call between a process and the cloud.
struct Sent {
    owner: usize,
    machine: u32,
    number: u64,
    call: Call,
    /// When it has had its effect at the latest: none of what changes nothing.
    until: Option<u64>,
    answer: Option<(Answer, Mark)>,
}

/// How it ended.
#[derive(Debug, Default)]
pub struct Found {
    pub wrong: Vec<String>,
    /// Things that were removed because no record knew them.
    pub strays: usize,
    /// Whether somebody sent something after it had been overtaken.
    pub zombie: bool,
}

pub struct Stage {
    story: Story,
    cloud: SimCloud,
    now: u64,
    log: Log,
    pub processes: [Process; 2],
    net: Vec<Sent>,
    crashes: u8,
    losses: u8,
    zombie: bool,
    /// What must not be, whatever comes after it.
    wrong: Vec<String>,
    /// Every call that was recorded before it was sent.
    intended: BTreeSet<Mark>,
    log_mark: Mark,
    /// Of all calls that changed something, and when: what the cloud is depends on nothing else.
    cloud_mark: Mark,
}

const LIST_LAG_MS: u64 = 5_000;
const CALL_LAG_MS: u64 = 60_000;

fn world(story: &Story) -> World {
    let span = |ms| Span { min: ms, max: ms };
    // A look at once sees it under way, one after a pause sees it done.
    let slow = Durations { make: span(50), change: span(50), remove: span(50) };
    World {
        deduplicates: story.deduplicates,
        list_lag_ms: LIST_LAG_MS * if story.plant == Plant::ListsLate { 100 } else { 1 },
        call_lag_ms: CALL_LAG_MS,
        latency_ms: span(0),
        durations: ResourceKind::ALL.into_iter().map(|kind| (kind, slow)).collect(),
        ..World::default()
    }
}

fn options(story: &Story) -> Options {
    let waits = story.plant != Plant::WaitsForNothing;
    let (list_lag_ms, call_lag_ms) = if waits { (LIST_LAG_MS, CALL_LAG_MS) } else { (0, 0) };
    let promised = Guarantees { deduplicates: story.deduplicates, list_lag_ms, call_lag_ms };
    let clouds = [Cloud::Aws, Cloud::Azure, Cloud::Gcp, Cloud::Site];
    Options { parallel: story.parallel, ..Options::new(clouds.map(|cloud| (cloud, promised)).into()) }
}

fn changes_nothing(call: &Call) -> bool {
    matches!(call, Call::Read(_) | Call::List(_))
}

impl Stage {
    /// What was there before is there, and the first process has opened the state.
    pub fn new(story: &Story, kept: &mut Kept) -> Self {
        let rule = if let Plant::Log(rule) = story.plant { rule } else { Rule::Fenced };
        let process = |name: usize| Process::new(name, story.tasks[name], options(story), story.plant);
        let mut stage = Stage {
            story: *story,
            cloud: SimCloud::new(world(story)),
            now: 0,
            log: Log::new(State::new("demo-1".into(), true), Rule::Fenced),
            processes: [process(0), process(1)],
            net: Vec::new(),
            crashes: story.crashes,
            losses: story.losses,
            zombie: false,
            wrong: Vec::new(),
            intended: BTreeSet::new(),
            log_mark: Mark::default(),
            cloud_mark: Mark::default(),
        };
        if !story.before.is_empty() {
            let before = Process::new(2, Task::Spec(story.before), options(story), Plant::None);
            stage.alone(before, kept);
            // Nothing of it is seen in lists any more that is not there.
            stage.now += LIST_LAG_MS;
        }
        stage.log = Log::new(stage.log.state.clone(), rule);
        stage.open(0, kept);
        stage
    }

    /// What the state says before the story begins.
    pub fn recorded(&self) -> &State {
        &self.log.state
    }

    fn open(&mut self, p: usize, kept: &mut Kept) {
        let process = &mut self.processes[p];
        process.open(&mut self.log, self.log_mark, self.now, kept);
        self.log_mark = self.log_mark.and(&("open", p));
        self.send_looks(p);
    }

    /// What only looks is on its way as soon as it can be: nobody sees that before it arrives, and when it does is another choice.
    fn send_looks(&mut self, p: usize) {
        while let Some(Do::Send(_, call)) = self.processes[p].todo.front()
            && changes_nothing(call)
        {
            let Some(Do::Send(number, call)) = self.processes[p].todo.pop_front() else { return };
            self.send(p, number, call);
        }
    }

    fn send(&mut self, owner: usize, number: u64, call: Call) {
        let until = (!changes_nothing(&call)).then_some(self.now + CALL_LAG_MS);
        let machine = self.processes[owner].machines;
        self.net.push(Sent { owner, machine, number, call, until, answer: None });
    }

    /// Everything that may happen next, in an order that depends on nothing else.
    pub fn choices(&self) -> Vec<Choice> {
        let mut all = Vec::new();
        let mut alive = 0;
        for (p, process) in self.processes.iter().enumerate() {
            if process.over {
                continue;
            }
            alive += 1;
            if !process.opened() {
                all.push(Choice::Open(p));
                continue;
            }
            if process.waits() {
                all.extend(self.orders(p).into_iter().map(|told| Choice::Wake(p, told)));
            } else {
                all.push(Choice::Step(p));
            }
        }
        for (at, sent) in self.net.iter().enumerate().filter(|(_, sent)| sent.answer.is_none()) {
            all.push(Choice::Land(at));
            if self.losses > 0 && sent.until.is_some() {
                all.push(Choice::Lose(at));
            }
        }
        if self.crashes > 0 && alive > 0 {
            let alive = |p: &usize| self.processes[*p].opened() && !self.processes[*p].over;
            all.extend([0, 1].into_iter().filter(alive).map(Choice::Crash));
        }
        all
    }

    /// What a process may be told next: every order of some of what is ready, for a driver takes whatever has come.
    fn orders(&self, p: usize) -> Vec<Vec<Told>> {
        let process = &self.processes[p];
        let mine = |sent: &&Sent| sent.owner == p && sent.answer.is_some();
        let mut ready: Vec<Told> = self.net.iter().filter(mine).map(|s| Told::Answer(s.number)).collect();
        if let Some((due, _)) = process.timers.first() {
            // Time goes no further than the last moment of a call that is still on its way.
            let then = self.now.max(*due);
            let late =
                self.net.iter().any(|s| s.answer.is_none() && s.until.is_some_and(|until| until < then));
            if !late || self.story.plant == Plant::CallsLate {
                let rings = process.timers.iter().take_while(|(due, _)| *due <= then);
                ready.extend(rings.map(|(_, number)| Told::Timer(*number)));
            }
        }
        let mut all: Vec<Vec<Told>> = Vec::new();
        let mut last: Vec<Vec<Told>> = vec![Vec::new()];
        for _ in 0..ready.len() {
            let with = |some: &Vec<Told>| {
                let rest = ready.iter().filter(|told| !some.contains(told));
                rest.map(|told| [some.as_slice(), &[*told]].concat()).collect::<Vec<_>>()
            };
            last = last.iter().flat_map(with).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    pub fn take(&mut self, choice: &Choice, kept: &mut Kept) {
        match choice {
            Choice::Open(p) => self.open(*p, kept),
            Choice::Step(p) => {
                let puts = match self.processes[*p].todo.front() {
                    Some(Do::Append(_, records)) => records.clone(),
                    _ => Vec::new(),
                };
                let before = self.log.entries.len();
                let sent = self.processes[*p].step(&mut self.log, self.now, kept);
                let overtaken = *p == 0 && self.processes[1].opened();
                if self.log.entries.len() > before {
                    self.log_mark = self.log_mark.and(&(*p, &puts));
                    let calls = puts.iter().filter_map(|record| match record {
                        Record::Intend(intent) => Some(Mark::of(&intent.call)),
                        _ => None,
                    });
                    self.intended.extend(calls);
                    if overtaken {
                        self.wrong.push("an overtaken process has written".to_owned());
                    }
                }
                if let Some((number, call)) = sent {
                    self.zombie |= overtaken;
                    if !self.intended.contains(&Mark::of(&call)) {
                        self.wrong.push("a call is sent that is not recorded".to_owned());
                    }
                    self.send(*p, number, call);
                }
                self.send_looks(*p);
            }
            Choice::Land(at) => self.land(*at),
            Choice::Lose(at) => {
                self.losses -= 1;
                let lost = ProviderError::new(ErrorKind::UnknownOutcome, "it was lost");
                self.net[*at].answer = Some((Err(lost), Mark::of(&"lost")));
            }
            Choice::Wake(p, told) => {
                let events = told.iter().map(|told| self.event(*p, *told)).collect();
                self.processes[*p].wake(events, self.now, kept);
                self.send_looks(*p);
            }
            Choice::Crash(p) => {
                self.crashes -= 1;
                self.processes[*p].crash();
            }
        }
        // Answers to nobody: what only looked is over, what changes something still does.
        let processes = &self.processes;
        self.net.retain(|sent| {
            let waited_for = processes[sent.owner].machines == sent.machine;
            waited_for || (sent.answer.is_none() && sent.until.is_some())
        });
    }

    fn land(&mut self, at: usize) {
        let sent = &mut self.net[at];
        let n = self.cloud.submit(self.now, sent.call.clone());
        let answer = self.cloud.advance(self.now).into_iter().find(|(of, _)| *of == n);
        let (_, answer) = answer.expect("there is no way to go");
        let answer = self.processes[sent.owner].takes(&sent.call, answer);
        if sent.until.is_some() {
            self.cloud_mark = self.cloud_mark.and(&(self.now, &sent.call));
        }
        let mark = Mark::of(&answer);
        sent.answer = Some((answer, mark));
    }

    fn event(&mut self, p: usize, told: Told) -> (Event, Mark) {
        match told {
            Told::Answer(number) => {
                let mine = |sent: &Sent| sent.owner == p && sent.number == number;
                let at = self.net.iter().position(mine).expect("it was sent");
                let sent = self.net.remove(at);
                let (answer, mark) = sent.answer.expect("it was answered");
                (Event::Answered(number, answer), mark.and(&number))
            }
            Told::Timer(number) => {
                let timers = &mut self.processes[p].timers;
                let timer = *timers.iter().find(|(_, n)| *n == number).expect("it was set");
                timers.remove(&timer);
                self.now = self.now.max(timer.0);
                self.cloud.advance(self.now);
                (Event::Rang(number), Mark::of(&("rang", number)))
            }
        }
    }

    /// Everything that what happens next depends on.
    pub fn mark(&self) -> Mark {
        let process = |p: &Process| (p.trace, p.opened(), p.over, p.todo.len(), p.timers.clone());
        let mut net: Vec<_> = self
            .net
            .iter()
            .map(|s| (s.owner, s.machine, s.number, s.until, s.answer.as_ref().map(|(_, mark)| *mark)))
            .collect();
        net.sort_unstable();
        let budget = (self.crashes, self.losses, self.zombie, &self.wrong);
        let all = (self.now, self.log_mark, self.cloud_mark, budget);
        Mark::of(&(process(&self.processes[0]), process(&self.processes[1]), net, all))
    }

    /// Runs a process that nothing disturbs to its end; what it found by looking. All that it is told follows from how it begins.
    fn alone(&mut self, mut process: Process, kept: &mut Kept) -> Vec<String> {
        process.trace = self.log_mark.and(&self.cloud_mark).and(&self.now);
        process.open(&mut self.log, Mark::of(&"alone"), self.now, kept);
        let mut answers: Vec<(Event, Mark)> = Vec::new();
        while !process.over {
            if !process.todo.is_empty() {
                if let Some((number, call)) = process.step(&mut self.log, self.now, kept) {
                    let n = self.cloud.submit(self.now, call.clone());
                    let answer = self.cloud.advance(self.now).into_iter().find(|(of, _)| *of == n);
                    let answer = process.takes(&call, answer.expect("there is no way to go").1);
                    answers.push((Event::Answered(number, answer), Mark::default()));
                }
                continue;
            }
            if answers.is_empty() {
                let Some((due, number)) = process.timers.pop_first() else { break };
                self.now = self.now.max(due);
                self.cloud.advance(self.now);
                answers.push((Event::Rang(number), Mark::default()));
            }
            process.wake(std::mem::take(&mut answers), self.now, kept);
        }
        process.drift
    }

    /// What a third process finds and leaves, once nothing is under way any more.
    ///
    /// It goes on with the plan at once if it was cut off. Then the lags that the cloud has promised pass, for until then a list need
    /// not show what a process made that sent it after it had been overtaken; then it settles, looks, plans and applies what is wanted.
    pub fn ending(mut self, kept: &mut Kept) -> Found {
        let wrong = std::mem::take(&mut self.wrong);
        let mut found = Found { wrong, zombie: self.zombie, strays: 0 };
        let plant = match self.story.plant {
            plant @ (Plant::LooksNowhere | Plant::SendsFirst) => plant,
            _ => Plant::None,
        };
        let (story, options) = (self.story, options(&self.story));
        let third = |task| Process::new(2, task, options.clone(), plant);
        if let Task::Saved(_) = story.tasks[1] {
            self.alone(third(story.tasks[1]), kept);
        }
        if story.plant != Plant::NoLook {
            self.now += CALL_LAG_MS + LIST_LAG_MS;
            self.cloud.advance(self.now);
            let drift = self.alone(third(Task::Spec(story.after)), kept);
            found.strays = drift.iter().filter(|what| what.contains("Stray")).count();
            // Only who was overtaken may leave something that is not recorded, and only where tokens are nothing to the cloud.
            if !self.zombie && !drift.is_empty() {
                found.wrong.push(format!("otherwise than recorded without a zombie: {}", drift.join("; ")));
            }
            if story.deduplicates && found.strays > 0 {
                found.wrong.push(format!("there twice in spite of tokens: {}", drift.join("; ")));
            }
        }
        self.now += CALL_LAG_MS + LIST_LAG_MS;
        self.cloud.advance(self.now);
        self.faults(&mut found.wrong);
        found
    }

    fn faults(&self, wrong: &mut Vec<String>) {
        let state = &self.log.state;
        wrong.extend(self.log.damage.iter().map(|why| format!("the log does not fit together: {why}")));
        let there = self.cloud.inventory();
        for seen in &there {
            let known = state.resources.get(seen.address().expect("tagged")).and_then(|thing| thing.handle());
            if known.as_ref() != Some(&seen.handle) {
                wrong.push(format!("leaked: {} of {}", seen.handle.id, seen.address().expect("tagged")));
            }
        }
        for (addr, (want, _)) in self.story.after {
            let of = there.iter().filter(|seen| seen.address() == Some(addr)).collect::<Vec<_>>();
            if of.len() != 1 {
                wrong.push(format!("{addr} is there {} times", of.len()));
            }
            if of.iter().any(|seen| seen.attributes != want.attributes) {
                wrong.push(format!("{addr} is not as it was wanted"));
            }
        }
        if there.iter().any(|seen| !self.story.after.contains_key(seen.address().expect("tagged"))) {
            wrong.push("something is there that nobody wants".to_owned());
        }
        for (addr, thing) in &state.resources {
            if !there.iter().any(|seen| Some(&seen.handle) == thing.handle().as_ref()) {
                wrong.push(format!("forgotten: {addr} is recorded and not there"));
            }
        }
        if !state.open.is_empty() {
            wrong.push(format!("{} intents are open", state.open.len()));
        }
        let again = Plan::new("again", (state.serial > 0).then_some(state), self.story.after);
        if !state.spares.is_empty() || again.changes.iter().any(|change| change.action != Action::Keep) {
            wrong.push("the next plan is not empty".to_owned());
        }
    }
}
