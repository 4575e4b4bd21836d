//! Processes that apply plans to a simulated cloud on virtual time, and die.

use std::collections::{BTreeMap, BTreeSet};

use rhumb::apply::{Effect, Engine as _, Event, Machine, Options, Summary, Work};
use rhumb::plan::{Change, Desired, Dip, Rollout, Standby};
use rhumb::render::Artifact;
use rhumb::state::{Record, State};
use rhumb_api::{Cloud, Handle, ResourceAddr};
use rhumb_sim::{CallNo, SimCloud, World};

use super::exact::Deeds;
use super::wrong::differing;
use crate::diff::between;

/// What a process is to apply.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub from: Option<u64>,
    pub changes: Vec<Change>,
    pub standbys: Vec<Standby>,
    pub order: Vec<ResourceAddr>,
    pub rollouts: Vec<Rollout>,
    pub dips: Vec<Dip>,
}

impl Plan {
    /// As `plan::between` decides it.
    pub fn new(name: &str, state: Option<&State>, wanted: &Desired) -> Self {
        let plan = between(state, wanted);
        let order = plan.steps.iter().map(|step| step.addr.clone()).collect();
        let from = state.map(|s| s.serial);
        let (name, changes) = (name.into(), plan.changes);
        Plan { name, from, changes, standbys: Vec::new(), order, rollouts: Vec::new(), dips: Vec::new() }
    }
}

/// When a process dies: at which of its steps, and what of the records of that step is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The step, from 0. A step is one effect that is carried out.
    pub at: u64,
    /// Whether it is carried out.
    pub after: bool,
}

/// How a process ended.
#[derive(Debug)]
pub enum End {
    Died,
    Finished(Summary),
}

/// The cloud, the time, and what is durable.
pub struct Theatre {
    pub cloud: SimCloud,
    pub now: u64,
    pub durable: State,
    pub history: Vec<Record>,
    /// Steps that all processes took.
    pub steps: u64,
    pub options: Options,
    /// Ctrl-C comes at this step.
    pub interrupt_at: Option<u64>,
    /// Writes fail from this step on.
    pub disk_fails_at: Option<u64>,
    /// The disk says that it has kept records that a death loses: those of the last two writes.
    pub forgets: bool,
    /// Files that machines get.
    pub artifacts: Vec<Artifact>,
    /// The fewest healthy machines of all fleets that there were at any time since this was set.
    pub least_healthy: Option<u32>,
    /// What processes decided on and sent.
    deeds: Deeds,
}

impl Theatre {
    pub fn new(world: World) -> Self {
        let cloud = SimCloud::new(world);
        let clouds = [Cloud::Aws, Cloud::Azure, Cloud::Gcp, Cloud::Site];
        let guarantees = clouds.map(|of| (of, cloud.guarantees())).into();
        Theatre {
            cloud,
            now: 0,
            durable: State::new("demo-1".into(), true),
            history: Vec::new(),
            steps: 0,
            options: Options::new(guarantees),
            interrupt_at: None,
            disk_fails_at: None,
            forgets: false,
            artifacts: Vec::new(),
            least_healthy: None,
            deeds: Deeds::default(),
        }
    }

    /// A process that applies a plan until it ends or dies.
    pub fn apply(&mut self, plan: &Plan, death: Option<Death>) -> End {
        let begin = Record::Begin {
            plan: plan.name.clone(),
            from: plan.from,
            by: "a@b".into(),
            at: "2026-11-25T00:00:00Z".into(),
        };
        let work = Work {
            plan: plan.name.clone(),
            from: plan.from,
            changes: &plan.changes,
            standbys: &plan.standbys,
            apart: true,
            order: &plan.order,
            artifacts: &[],
            rollouts: &plan.rollouts,
            dips: &plan.dips,
        };
        let artifacts = std::mem::take(&mut self.artifacts);
        let work = Work { artifacts: &artifacts, ..work };
        let machine = Machine::new(self.durable.clone(), work, begin, self.options.clone());
        let end = self.run(Some(&plan.name), machine, death);
        self.artifacts = artifacts;
        end
    }

    /// A process that only settles what is open.
    pub fn settle(&mut self, death: Option<Death>) -> End {
        let machine = Machine::settling(self.durable.clone(), self.options.clone());
        self.run(None, machine, death)
    }

    fn run(&mut self, plan: Option<&str>, mut machine: Machine<'_>, death: Option<Death>) -> End {
        let mut events = std::collections::VecDeque::from([Event::Start]);
        let (mut calls, mut answered) = (BTreeMap::<CallNo, u64>::new(), BTreeMap::<CallNo, u64>::new());
        let mut timers: BTreeSet<(u64, u64)> = BTreeSet::new();
        let (mut own, mut interrupted) = (0, false);
        loop {
            while let Some(event) = events.pop_front() {
                for effect in machine.on(event) {
                    let dies = death.is_some_and(|d| d.at == own);
                    own += 1;
                    self.steps += 1;
                    if dies && death.is_some_and(|d| !d.after) {
                        return self.died();
                    }
                    match effect {
                        Effect::Write { number, records } => {
                            if self.disk_fails_at.is_some_and(|at| own > at) {
                                events.push_back(Event::WriteFailed("no space".into()));
                                continue;
                            }
                            for record in &records {
                                if let Record::Intend(intent) = record {
                                    self.deeds.decide(plan, &self.durable, intent);
                                }
                                self.durable.take(record).expect("a record that fits");
                            }
                            self.history.extend(records);
                            events.push_back(Event::Written(number));
                        }
                        Effect::Send { number, call } => {
                            let changing = call.changes().then(|| (*call).clone());
                            let at_cloud = self.cloud.submit(self.now, *call);
                            if let Some(call) = changing {
                                self.deeds.send(&self.durable, at_cloud, call);
                            }
                            calls.insert(at_cloud, number);
                            let most = self.options.parallel;
                            assert!(calls.len() <= most, "more than {most} calls at a time");
                        }
                        Effect::Wait { number, ms } => {
                            timers.insert((self.now + ms, number));
                        }
                        Effect::Tell(_) => {}
                        Effect::Finish(summary) => {
                            if self.disk_fails_at.is_none() {
                                assert_eq!(*machine.state(), self.durable, "what is held is what is durable");
                            }
                            return End::Finished(summary);
                        }
                    }
                    if dies {
                        return self.died();
                    }
                }
            }
            if !interrupted && self.interrupt_at.is_some_and(|at| own >= at) {
                interrupted = true;
                events.push_back(Event::Interrupted);
                continue;
            }
            let ring = timers.first().map(|(at, _)| *at);
            let next = [ring, self.cloud.next_ms()].into_iter().flatten().min();
            self.now = self.now.max(next.expect("something is under way"));
            let answers = self.cloud.advance(self.now);
            if let Some(least) = self.least_healthy {
                self.least_healthy = Some(least.min(self.healthy()));
            }
            for (n, answer) in answers {
                // An answer may come twice.
                let number = calls.remove(&n).or_else(|| answered.get(&n).copied());
                if let Some(number) = number {
                    answered.insert(n, number);
                    events.push_back(Event::Answered(number, answer));
                }
            }
            while let Some((at, number)) = timers.first().copied().filter(|(at, _)| *at <= self.now) {
                timers.remove(&(at, number));
                events.push_back(Event::Rang(number));
            }
        }
    }

    /// Machines that answer their health check.
    pub fn healthy(&self) -> u32 {
        self.cloud.inventory().iter().filter_map(|seen| seen.healthy).sum()
    }

    fn died(&mut self) -> End {
        if self.forgets {
            let kept = self.history.len().saturating_sub(2);
            self.history.truncate(kept);
            self.durable = State::new(self.durable.lineage.clone(), true);
            for record in &self.history {
                self.durable.take(record).expect("a record that fits");
            }
        }
        End::Died
    }

    /// Applies a plan, again and again, until it is done; how often it took. Nobody does anything else in between.
    pub fn converge(&mut self, plan: &Plan) -> u32 {
        for times in 1..=20 {
            if let End::Finished(summary) = self.apply(plan, None)
                && summary.complete()
            {
                return times;
            }
        }
        panic!("it does not end: {:#?}", self.durable.open);
    }

    /// Lets all that is under way in the cloud come to rest.
    pub fn rest(&mut self) {
        for _ in 0..100_000 {
            // Runs that repeat never come to rest: an hour of peace is enough.
            let Some(next) = self.cloud.next_ms().filter(|next| *next < self.now + 3_600_000) else { return };
            self.now = self.now.max(next);
            self.cloud.advance(self.now);
        }
    }

    /// Things that no record knows, and records of things that are not there.
    pub fn strays(&self) -> Vec<String> {
        let there: BTreeMap<Handle, _> =
            self.cloud.inventory().into_iter().map(|o| (o.handle.clone(), o)).collect();
        let known = self.known();
        let mut wrong = Vec::new();
        for (handle, seen) in &there {
            match known.get(handle) {
                None => wrong.push(format!("leaked: {handle} of {:?}", seen.address())),
                Some(addr) if Some(*addr) != seen.address() => {
                    wrong.push(format!("{handle}: of another address"))
                }
                Some(_) => {}
            }
        }
        wrong.extend(
            known
                .iter()
                .filter(|(handle, _)| !there.contains_key(handle))
                .map(|(handle, addr)| format!("forgotten: {handle} of {addr} is recorded and not there")),
        );
        wrong
    }

    /// What is in use, by the cloud's own ids.
    fn known(&self) -> BTreeMap<Handle, &ResourceAddr> {
        let all = self.durable.resources.iter();
        all.filter_map(|(addr, thing)| Some((thing.handle()?, addr))).collect()
    }

    /// What is wrong: strays, what is not as it was wanted, and two of one.
    pub fn faults(&self, wanted: &Desired) -> Vec<String> {
        let mut wrong = self.strays();
        let known = self.known();
        for seen in self.cloud.inventory() {
            if let Some(addr) = known.get(&seen.handle)
                && let Some((want, _)) = wanted.get(*addr)
                && !differing(&want.attributes, &seen.attributes).is_empty()
            {
                wrong.push(format!("{addr} is not as it was wanted"));
            }
        }
        let missing = wanted.keys().filter(|addr| !self.durable.resources.contains_key(*addr));
        wrong.extend(missing.map(|addr| format!("{addr} was not made")));
        let more = self.durable.resources.keys().filter(|addr| !wanted.contains_key(*addr));
        wrong.extend(more.map(|addr| format!("{addr} was not removed")));
        if !self.durable.open.is_empty() || !self.durable.spares.is_empty() || self.durable.applying.is_some()
        {
            wrong.push(format!(
                "not at an end: {} open, {} spare, applying {:?}",
                self.durable.open.len(),
                self.durable.spares.len(),
                self.durable.applying
            ));
        }
        let mut again = State::new(self.durable.lineage.clone(), true);
        for record in &self.history {
            again.take(record).expect("the history fits");
        }
        if again != self.durable {
            wrong.push("the history does not lead to the state".into());
        }
        wrong
    }

    /// Calls that change something, other than those that the plans ask for, or not as they ask for them.
    pub fn unplanned(&self, plans: &[&Plan]) -> Vec<String> {
        self.deeds.unplanned(self.cloud.log(), plans)
    }

    /// Creates that made something, by token: each at most once.
    pub fn made_twice(&self) -> Vec<String> {
        let mut made: BTreeMap<_, u32> = BTreeMap::new();
        for seen in self.cloud.inventory() {
            *made.entry(seen.tags.expect("tagged").token).or_default() += 1;
        }
        made.into_iter().filter(|(_, n)| *n > 1).map(|(token, n)| format!("{token}: {n} things")).collect()
    }
}
