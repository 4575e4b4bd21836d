//! A process that applies, one step at a time, as `rhumb apply` and [`rhumb::apply::drive`] do it.

use std::collections::{BTreeSet, VecDeque};

use rhumb::apply::{Effect, Engine, Event, Machine, Options, Survey, Work};
use rhumb::plan::{Action, Desired};
use rhumb::state::{Record, State};
use rhumb_api::{Answer, Call, Reply};

use super::log::{Log, Writer};
use super::stage::{Mark, Plant};
use crate::apply::world::Plan;

/// What a process is told to do.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// To apply a plan as it is, or to refuse it.
    Saved(&'static Plan),
    /// To settle, look, plan and apply.
    Spec(&'static Desired),
}

/// The next thing that a process does to others.
#[derive(Debug)]
pub enum Do {
    Append(Option<u64>, Vec<Record>),
    Send(u64, Call),
}

/// How far a process is in what it was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Settling,
    Looking,
    Recording,
    Applying,
}

pub struct Process {
    name: usize,
    task: Task,
    options: Options,
    plant: Plant,
    writer: Option<Writer>,
    engine: Option<Runs>,
    part: Part,
    pub todo: VecDeque<Do>,
    /// What the machine is told as soon as all of it is done.
    result: Option<Event>,
    finished: Option<bool>,
    pub timers: BTreeSet<(u64, u64)>,
    /// Everything that this process was told and did: it is where it is because of that alone.
    pub trace: Mark,
    pub over: bool,
    /// Grows with every machine: answers to the calls of an earlier one reach nobody.
    pub machines: u32,
    /// What was found by looking.
    pub drift: Vec<String>,
}

enum Runs {
    Machine(Box<Machine<'static>>),
    Survey(Box<Survey<'static>>),
}

/// States and plans that live as long as the tests: few of them differ.
#[derive(Default)]
pub struct Kept {
    states: Vec<(Mark, &'static State)>,
    plans: Vec<(Mark, &'static Plan)>,
}

fn kept<T>(of: &mut Vec<(Mark, &'static T)>, key: Mark, make: impl FnOnce() -> T) -> &'static T {
    match of.binary_search_by_key(&key, |(key, _)| *key) {
        Ok(at) => of[at].1,
        Err(at) => {
            let made: &'static T = Box::leak(Box::new(make()));
            of.insert(at, (key, made));
            made
        }
    }
}

impl Process {
    pub fn new(name: usize, task: Task, options: Options, plant: Plant) -> Self {
        Process {
            name,
            task,
            options,
            plant,
            writer: None,
            engine: None,
            part: Part::Settling,
            todo: VecDeque::new(),
            result: None,
            finished: None,
            timers: BTreeSet::new(),
            trace: Mark::default(),
            over: false,
            machines: 0,
            drift: Vec::new(),
        }
    }

    pub fn opened(&self) -> bool {
        self.writer.is_some()
    }

    /// Nothing is left but to wait.
    pub fn waits(&self) -> bool {
        self.opened() && !self.over && self.todo.is_empty()
    }

    pub fn open(&mut self, log: &mut Log, mark: Mark, now: u64, kept: &mut Kept) {
        self.trace = self.trace.and(&mark);
        let writer = self.writer.insert(log.open(self.name));
        match self.task {
            Task::Saved(plan) => {
                let state = &writer.state;
                let goes_on = state.applying.as_ref().is_some_and(|applying| applying.plan == plan.name);
                if goes_on || state.serial == plan.from.unwrap_or(0) { self.apply(plan) } else { self.end() }
            }
            Task::Spec(_) if writer.state.open.is_empty() => self.look(kept),
            Task::Spec(_) => {
                let machine = Machine::settling(writer.state.clone(), self.options.clone());
                self.run(Runs::Machine(Box::new(machine)), Part::Settling);
            }
        }
        self.go_on(now, kept);
    }

    fn end(&mut self) {
        self.over = true;
        self.machines += 1;
        self.engine = None;
        self.timers.clear();
    }

    fn run(&mut self, engine: Runs, part: Part) {
        (self.engine, self.part) = (Some(engine), part);
        self.machines += 1;
        self.timers.clear();
        self.result = Some(Event::Start);
    }

    fn state(&self) -> &State {
        &self.writer.as_ref().expect("it is open").state
    }

    fn apply(&mut self, plan: &'static Plan) {
        let (by, at) = (format!("process {}", self.name), "2026-11-25T00:00:00Z".to_owned());
        let begin = Record::Begin { plan: plan.name.clone(), from: plan.from, by, at };
        let work = Work {
            plan: plan.name.clone(),
            from: plan.from,
            changes: &plan.changes,
            standbys: &plan.standbys,
            apart: true,
            order: &plan.order,
            artifacts: &[],
            rollouts: &[],
            dips: &[],
        };
        let machine = Machine::new(self.state().clone(), work, begin, self.options.clone());
        self.run(Runs::Machine(Box::new(machine)), Part::Applying);
    }

    fn look(&mut self, kept_: &mut Kept) {
        let state = self.state().clone();
        let state = kept(&mut kept_.states, self.trace, || state);
        let survey = Survey::new(state, self.options.clone());
        self.run(Runs::Survey(Box::new(survey)), Part::Looking);
    }

    fn plan(&mut self, kept_: &mut Kept) {
        let Task::Spec(wanted) = self.task else { return self.end() };
        let state = self.state();
        let name = format!("of process {} at {}", self.name, state.serial);
        let plan = kept(&mut kept_.plans, self.trace, || {
            Plan::new(&name, (state.serial > 0).then_some(state), wanted)
        });
        let changes = plan.changes.iter().any(|change| change.action != Action::Keep);
        if changes || !state.spares.is_empty() { self.apply(plan) } else { self.end() }
    }

    /// Does what no other can see: as long as the machine has something to say without being told more by others.
    fn go_on(&mut self, now: u64, kept: &mut Kept) {
        while self.todo.is_empty() && !self.over {
            if let Some(sound) = self.finished.take() {
                self.result = None;
                self.next(sound, kept);
            } else if let Some(event) = self.result.take() {
                self.turn(vec![event], now);
            } else {
                return;
            }
        }
    }

    /// One part has ended.
    fn next(&mut self, sound: bool, kept: &mut Kept) {
        match (self.part, self.engine.take()) {
            (Part::Settling, _) if sound => self.look(kept),
            (Part::Looking, Some(Runs::Survey(survey))) => {
                let drift = survey.drift();
                self.drift =
                    drift.found.iter().map(|((addr, _), found)| format!("{addr}: {found:?}")).collect();
                let records = drift.records(&format!("process {}", self.name), "2026-11-25T00:00:00Z");
                self.part = Part::Recording;
                if !drift.unseen.is_empty() {
                    self.end();
                } else if records.is_empty() {
                    self.plan(kept);
                } else {
                    self.todo.push_back(Do::Append(None, records));
                }
            }
            (Part::Recording, _) if sound => self.plan(kept),
            _ => self.end(),
        }
    }

    /// Tells the machine what happened. As the driver does, records of all of it go together, then what is sent.
    pub fn turn(&mut self, events: Vec<Event>, now: u64) {
        let (mut records, mut last, mut sends) = (Vec::new(), None, VecDeque::new());
        let mut events = VecDeque::from(events);
        while let Some(event) = events.pop_front() {
            let effects = match self.engine.as_mut() {
                Some(Runs::Machine(machine)) => machine.on(event),
                Some(Runs::Survey(survey)) => survey.on(event),
                None => return,
            };
            for effect in effects {
                match effect {
                    Effect::Write { number, records: more } => {
                        records.extend(more);
                        last = Some(number);
                        if self.plant == Plant::SendsFirst {
                            events.push_back(Event::Written(number));
                        }
                    }
                    Effect::Send { number, call } => sends.push_back(Do::Send(number, *call)),
                    Effect::Wait { number, ms } => {
                        self.timers.insert((now + ms, number));
                    }
                    Effect::Tell(_) => {}
                    Effect::Finish(summary) => {
                        self.finished = Some(summary.left.is_empty() && summary.unrecorded.is_none());
                    }
                }
            }
        }
        let append = last.map(|number| Do::Append(Some(number), records));
        if self.plant == Plant::SendsFirst {
            self.todo.extend(sends.into_iter().chain(append));
        } else {
            self.todo.extend(append.into_iter().chain(sends));
        }
    }

    /// Tells what came from outside, and goes on.
    pub fn wake(&mut self, events: Vec<(Event, Mark)>, now: u64, kept: &mut Kept) {
        for (_, mark) in &events {
            self.trace = self.trace.and(mark);
        }
        self.trace = self.trace.and(&"turn");
        self.turn(events.into_iter().map(|(event, _)| event).collect(), now);
        self.go_on(now, kept);
    }

    /// Does the first thing that is to be done; the call, if it is one.
    pub fn step(&mut self, log: &mut Log, now: u64, kept: &mut Kept) -> Option<(u64, Call)> {
        let done = self.todo.pop_front()?;
        let sent = match done {
            Do::Send(number, call) => {
                self.trace = self.trace.and(&"sent");
                Some((number, call))
            }
            Do::Append(number, records) => {
                let writer = self.writer.as_mut().expect("it is open");
                let put = log.append(writer, &records).map_err(|e| format!("{e:?}"));
                self.trace = self.trace.and(&put);
                match (number, put) {
                    (Some(number), Ok(())) => self.result = Some(Event::Written(number)),
                    (Some(_), Err(why)) => self.result = Some(Event::WriteFailed(why)),
                    (None, put) => self.finished = Some(put.is_ok()),
                }
                None
            }
        };
        self.go_on(now, kept);
        sent
    }

    pub fn crash(&mut self) {
        self.trace = self.trace.and(&"crash");
        self.todo.clear();
        self.end();
    }

    /// What this process takes for the answer to a call.
    pub fn takes(&self, call: &Call, answer: Answer) -> Answer {
        match (self.plant, call) {
            (Plant::LooksNowhere, Call::List(_)) => Ok(Reply::Many(Vec::new())),
            _ => answer,
        }
    }
}
