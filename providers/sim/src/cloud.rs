//! The cloud from outside: calls are sent, time goes on, answers come.

use std::collections::BTreeMap;

use rhumb_api::{
    Answer, Call, Cloud, ErrorKind, Guarantees, Handle, Observed, Order, Preflight, ProviderError,
    ResourceAddr, ResourceKind, Token, preflight,
};
use serde::{Deserialize, Serialize};

use crate::arrival::Outcome;
use crate::chance::{Chance, Stream};
use crate::log::{CallNo, Entry, Event};
use crate::meter::Meter;
use crate::orders::Course;
use crate::request::{Request, Told};
use crate::thing::Thing;
use crate::world::{Rule, Verb, What, World};

/// A simulated cloud, or rather all of them and the sites.
///
/// Times are milliseconds from an origin of the caller's choosing. Time does not go back: an earlier one counts as
/// the latest that was told. Where chance losses of spot machines or schedules of runs or fleets are on, something
/// always happens next, so that advancing to the end of time does not end.
#[derive(Debug)]
pub struct SimCloud {
    pub(crate) world: World,
    pub(crate) now: u64,
    calls: u64,
    pub(crate) seq: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    pub(crate) flights: BTreeMap<CallNo, Flight>,
    answers: Vec<(CallNo, Answer)>,
    /// Answers to preflights that reached their callers and were not taken yet.
    found: BTreeMap<CallNo, preflight::Answer>,
    /// Per rule: calls that matched, and how often it happened.
    rule_counts: Vec<(u64, u64)>,
    pub(crate) things: BTreeMap<Handle, Thing>,
    pub(crate) gone: BTreeMap<Handle, Ghost>,
    pub(crate) ids: BTreeMap<(Cloud, String, ResourceKind), u64>,
    pub(crate) tokens: BTreeMap<Token, (Option<Order>, Handle)>,
    pub(crate) held: BTreeMap<Pool, u32>,
    pub(crate) buckets: BTreeMap<Cloud, Bucket>,
    pub(crate) log: Vec<Entry>,
    pub(crate) meter: Meter,
}

/// Machines that stock is counted by: cloud, region, type, and whether they are spot machines.
pub(crate) type Pool = (Cloud, String, String, bool);

/// What is left of a thing that is gone: lists show it for a while.
#[derive(Clone, Debug)]
pub(crate) struct Ghost {
    pub observed: Observed,
    pub made_ms: u64,
    pub gone_ms: u64,
}

/// A token bucket's level, in thousandths of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub level_milli: u64,
    pub at_ms: u64,
}

/// What is due.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Arrive(CallNo),
    Reply(CallNo),
    ReplyAgain(CallNo, Answer),
    GiveUp(CallNo),
    Settle(Handle, u64),
    Vanish(Handle, u64),
    RunEnds(Handle),
    RunStarts(Handle),
    SpotMinute(Handle, u64),
    MakeUp(Handle, u64),
    Warm(Handle, u64),
    Switch(Handle, u64),
}

/// On which side of its effect a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It has had none yet.
    Before,
    /// It has had it, and the caller does not know.
    After,
}

/// A call that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Its number.
    pub number: CallNo,
    /// Where it is held.
    pub when: When,
    /// The call.
    pub call: Call,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub request: Request,
    pub address: Option<ResourceAddr>,
    pub token: Option<Token>,
    fault: Option<What>,
    reply_lag: u64,
    /// How long after its reply the same comes again, if it does; none once nobody waits for that.
    again_lag: Option<u64>,
    /// Arrivals to come.
    arrivals: u32,
    reply: Option<Told>,
    held: Option<When>,
    answered: bool,
}

impl SimCloud {
    /// A world in which nothing has been made, at the time 0.
    pub fn new(world: World) -> Self {
        SimCloud {
            rule_counts: vec![(0, 0); world.rules.len()],
            world,
            now: 0,
            calls: 0,
            seq: 0,
            queue: BTreeMap::new(),
            flights: BTreeMap::new(),
            answers: Vec::new(),
            found: BTreeMap::new(),
            things: BTreeMap::new(),
            gone: BTreeMap::new(),
            ids: BTreeMap::new(),
            tokens: BTreeMap::new(),
            held: BTreeMap::new(),
            buckets: BTreeMap::new(),
            log: Vec::new(),
            meter: Meter::default(),
        }
    }

    /// Sends a call. Its answer comes from [`SimCloud::advance`], unless it is held.
    pub fn submit(&mut self, now_ms: u64, call: Call) -> CallNo {
        self.send(now_ms, Request::Call(call))
    }

    /// Asks whether changes would be refused. Its answer comes with [`SimCloud::found`], once time has gone on.
    pub fn ask(&mut self, now_ms: u64, asked: Preflight) -> CallNo {
        self.send(now_ms, Request::Preflight(asked))
    }

    /// Takes the answer to a preflight, once.
    pub fn found(&mut self, n: CallNo) -> Option<preflight::Answer> {
        self.found.remove(&n)
    }

    fn send(&mut self, now_ms: u64, request: Request) -> CallNo {
        self.run_until(now_ms);
        self.calls += 1;
        let n = CallNo(self.calls);
        let mut chance = Chance::new(self.world.seed, Stream::Call, n.0);
        let there = chance.within(self.world.latency_ms);
        let back = chance.within(self.world.latency_ms);
        let (address, token) = self.about(&request);
        let fault = self.rule_for(&request, address.as_ref());
        let fault = fault.or_else(|| self.chance_for(&request, there, back, &mut chance));
        let (mut arrivals, mut again_lag) = (vec![there], None);
        match &fault {
            Some(What::DropRequest) => arrivals.clear(),
            Some(What::Delay(ms)) => arrivals = vec![there.saturating_add(*ms)],
            // Before the reply of the first leaves: a call that was answered is over.
            Some(What::Duplicate) => {
                arrivals.push(there.saturating_add(chance.below(back.saturating_add(1))))
            }
            Some(What::DuplicateReply) => again_lag = Some(chance.within(self.world.latency_ms)),
            _ => {}
        }
        let flight = Flight {
            request,
            address,
            token,
            fault: fault.clone(),
            reply_lag: match &fault {
                Some(What::DelayReply(ms)) => back.saturating_add(*ms),
                _ => back,
            },
            again_lag,
            arrivals: u32::try_from(arrivals.len()).unwrap_or(0),
            reply: None,
            held: None,
            answered: false,
        };
        self.flights.insert(n, flight);
        self.note_call(n, None, Event::Sent);
        for lag in arrivals {
            self.after(lag, Happening::Arrive(n));
        }
        // Who holds a call wants to see its caller wait.
        if !matches!(fault, Some(What::HoldBefore | What::HoldAfter)) {
            self.after(self.world.timeout_ms, Happening::GiveUp(n));
        }
        if let Some(fault) = fault {
            self.note_call(n, None, Event::Fault(fault));
        }
        n
    }

    /// Lets time go on, and returns the answers that reached their callers since the last time, in that order: of a call the same twice where
    /// its reply is doubled, unless it was abandoned meanwhile.
    pub fn advance(&mut self, now_ms: u64) -> Vec<(CallNo, Answer)> {
        self.run_until(now_ms);
        std::mem::take(&mut self.answers)
    }

    /// When something happens next; `None` if nothing does until a call is sent or a held one is released.
    pub fn next_ms(&self) -> Option<u64> {
        if !self.answers.is_empty() {
            return Some(self.now);
        }
        self.queue.keys().next().map(|(due, _)| *due)
    }

    /// The latest time that was told.
    pub fn now_ms(&self) -> u64 {
        self.now
    }

    /// What it promises.
    pub fn guarantees(&self) -> Guarantees {
        self.world.guarantees()
    }

    /// The world as it is configured now.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// All that happened.
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// What there is in truth, by handle, whatever lists show.
    pub fn inventory(&self) -> Vec<Observed> {
        self.things.values().map(Thing::observed).collect()
    }

    /// The calls that are held, by number.
    pub fn held(&self) -> Vec<Held> {
        let of = |(n, flight): (&CallNo, &Flight)| match &flight.request {
            Request::Call(call) => flight.held.map(|when| Held { number: *n, when, call: call.clone() }),
            Request::Preflight(_) => None,
        };
        self.flights.iter().filter_map(of).collect()
    }

    /// Lets a held call go on; whether it was held. It has its effect now, or its reply leaves now.
    pub fn release(&mut self, n: CallNo) -> bool {
        let Some(flight) = self.flights.get_mut(&n) else { return false };
        let Some(when) = flight.held.take() else { return false };
        let lag = flight.reply_lag;
        flight.fault = None;
        self.note_call(n, None, Event::Released);
        match when {
            When::Before => {
                if let Some(flight) = self.flights.get_mut(&n) {
                    flight.arrivals = 1;
                }
                self.after(0, Happening::Arrive(n));
            }
            When::After => self.after(lag, Happening::Reply(n)),
        }
        true
    }

    /// The caller of a call went away, or has its answer: nobody waits for one, or for the same again. A call that is held before its effect
    /// never has one; one that is on its way still arrives.
    pub fn abandon(&mut self, n: CallNo) {
        self.found.remove(&n);
        self.no_more(n);
        let Some(flight) = self.flights.get_mut(&n) else { return };
        if !flight.answered {
            flight.answered = true;
            flight.held = None;
            self.note_call(n, None, Event::Abandoned);
        }
        self.land(n);
    }

    pub(crate) fn set_rules_and_counts(&mut self, rules: Vec<Rule>) {
        self.rule_counts = vec![(0, 0); rules.len()];
        self.world.rules = rules;
    }

    /// Puts something into the future, after what is due at that time already.
    pub(crate) fn after(&mut self, lag_ms: u64, what: Happening) {
        self.seq += 1;
        self.queue.insert((self.now.saturating_add(lag_ms), self.seq), what);
    }

    pub(crate) fn run_until(&mut self, now_ms: u64) {
        while let Some(entry) = self.queue.first_entry() {
            let due = entry.key().0;
            if due > now_ms {
                break;
            }
            let what = entry.remove();
            self.now = self.now.max(due);
            self.happen(what);
        }
        self.now = self.now.max(now_ms);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive(n) => self.arrive(n),
            Happening::Reply(n) => {
                let Some(flight) = self.flights.get_mut(&n) else { return };
                let (reply, again_lag) = (flight.reply.take(), flight.again_lag);
                match (&reply, again_lag) {
                    (Some(Told::Call(answer)), Some(lag)) => {
                        self.after(lag, Happening::ReplyAgain(n, answer.clone()));
                    }
                    _ => drop(self.no_more(n)),
                }
                if let Some(reply) = reply {
                    self.answer(n, reply);
                }
            }
            Happening::ReplyAgain(n, answer) => self.answer_again(n, answer),
            Happening::GiveUp(n) => {
                let message = format!("no reply within {} ms", self.world.timeout_ms);
                let error = ProviderError::new(ErrorKind::UnknownOutcome, message);
                let waits = self.flights.get(&n).filter(|flight| !flight.answered);
                if let Some(told) = waits.map(|flight| flight.request.refused(error)) {
                    self.no_more(n);
                    self.answer(n, told);
                }
            }
            Happening::Settle(handle, generation) => self.settle(&handle, generation),
            Happening::Vanish(handle, generation) => self.removed(&handle, generation),
            Happening::RunEnds(handle) => self.run_ends(&handle),
            Happening::RunStarts(handle) => self.run_starts(&handle),
            Happening::SpotMinute(handle, generation) => self.spot_minute(&handle, generation),
            Happening::MakeUp(handle, generation) => self.make_up(&handle, generation),
            Happening::Warm(handle, generation) => self.warm(&handle, generation),
            Happening::Switch(handle, n) => self.switch(&handle, n),
        }
    }

    fn arrive(&mut self, n: CallNo) {
        let Some(flight) = self.flights.get_mut(&n) else { return };
        flight.arrivals = flight.arrivals.saturating_sub(1);
        if flight.fault == Some(What::HoldBefore) {
            flight.held = Some(When::Before);
            self.note_call(n, None, Event::Held);
            return;
        }
        let (request, fault, first) = (flight.request.clone(), flight.fault.clone(), flight.reply.is_none());
        let injected = match &fault {
            Some(What::Error(error)) => Some(error.clone()),
            _ => None,
        };
        let fails = match &fault {
            Some(What::FailLater(error)) => Some(error.clone()),
            _ => None,
        };
        let course = Course { fails, sick: fault == Some(What::Sick) };
        let (told, handle, event) = match &request {
            Request::Call(call) => {
                let Outcome { answer, event, handle } = self.take(call, injected, course);
                (Told::Call(answer), handle, event)
            }
            Request::Preflight(asked) => {
                let answer = self.look_ahead(asked, injected);
                let event = answer.as_ref().err().map_or(Event::Unchanged, |e| Event::Refused(e.clone()));
                (Told::Preflight(answer), None, event)
            }
        };
        self.note_call(n, handle, event);
        let Some(flight) = self.flights.get_mut(&n) else { return };
        let lag = flight.reply_lag;
        if flight.answered {
            self.land(n);
            return;
        }
        if !first {
            return;
        }
        flight.reply = Some(told);
        match fault {
            Some(What::DropReply) => {}
            Some(What::HoldAfter) => {
                flight.held = Some(When::After);
                self.note_call(n, None, Event::Held);
            }
            _ => self.after(lag, Happening::Reply(n)),
        }
    }

    fn answer(&mut self, n: CallNo, told: Told) {
        let Some(flight) = self.flights.get_mut(&n) else { return };
        if flight.answered {
            return;
        }
        flight.answered = true;
        self.note_call(n, None, Event::Answered(told.error()));
        match told {
            Told::Call(answer) => self.answers.push((n, answer)),
            Told::Preflight(answer) => drop(self.found.insert(n, answer)),
        }
        self.land(n);
    }

    fn answer_again(&mut self, n: CallNo, answer: Answer) {
        if self.no_more(n) {
            self.note_call(n, None, Event::AnsweredAgain);
            self.answers.push((n, answer));
            self.land(n);
        }
    }

    /// A reply does not come a second time; whether it would have.
    fn no_more(&mut self, n: CallNo) -> bool {
        self.flights.get_mut(&n).is_some_and(|flight| flight.again_lag.take().is_some())
    }

    /// A call that was answered is over once nothing of it is under way.
    fn land(&mut self, n: CallNo) {
        if self.flights.get(&n).is_some_and(|f| f.answered && f.arrivals == 0 && f.again_lag.is_none()) {
            self.flights.remove(&n);
        }
    }

    /// What a call is about: address and token of its order, or of the thing that it names.
    fn about(&self, request: &Request) -> (Option<ResourceAddr>, Option<Token>) {
        let Request::Call(call) = request else { return (None, None) };
        match call {
            Call::Create(order) | Call::Update(_, order) => {
                (Some(order.tags.address.clone()), Some(order.tags.token.clone()))
            }
            Call::Delete(handle) | Call::Read(handle) => {
                let there = self.things.get(handle).map(|thing| &thing.tags);
                let tags = there.or_else(|| self.gone.get(handle).map(|ghost| &ghost.observed.tags));
                let tags = tags.and_then(Option::as_ref);
                (tags.map(|t| t.address.clone()), tags.map(|t| t.token.clone()))
            }
            Call::List(scope) => (None, scope.token.clone()),
        }
    }

    fn rule_for(&mut self, request: &Request, address: Option<&ResourceAddr>) -> Option<What> {
        let (verb, kind) = (request.verb(), request.kind());
        let holds = |what: &What| matches!(what, What::HoldBefore | What::HoldAfter);
        let mut happens = None;
        for (rule, (matched, happened)) in self.world.rules.iter().zip(&mut self.rule_counts) {
            let fits = rule.verb.is_none_or(|v| v == verb)
                && rule.kind.is_none_or(|k| Some(k) == kind)
                && rule.address.as_ref().is_none_or(|a| Some(a) == address)
                && !(verb == Verb::Preflight && holds(&rule.what));
            if !fits {
                continue;
            }
            *matched += 1;
            let due = rule.nth.is_none_or(|nth| *matched >= nth)
                && rule.times.is_none_or(|times| *happened < times);
            if due && happens.is_none() {
                *happened += 1;
                happens = Some(rule.what.clone());
            }
        }
        happens
    }

    fn chance_for(&self, request: &Request, there: u64, back: u64, chance: &mut Chance) -> Option<What> {
        let faults = &self.world.faults;
        let mut left = chance.below(1_000_000);
        let mut hit = |ppm: u32| {
            let hit = left < u64::from(ppm);
            left = left.saturating_sub(u64::from(ppm));
            hit
        };
        if hit(faults.request_lost_ppm) {
            return Some(What::DropRequest);
        }
        if hit(faults.reply_lost_ppm) {
            return Some(What::DropReply);
        }
        if hit(faults.request_late_ppm) {
            let most = self.world.call_lag_ms.saturating_sub(there);
            return Some(What::Delay(chance.below(most.saturating_add(1))));
        }
        if hit(faults.request_duplicated_ppm) {
            return Some(What::Duplicate);
        }
        for (kind, ppm) in &faults.errors_ppm {
            if hit(*ppm) {
                let mut error = ProviderError::new(*kind, "by chance");
                error.retry_after_ms = (*kind == ErrorKind::Throttled).then_some(1_000);
                return Some(What::Error(error));
            }
        }
        if request.changes() && hit(faults.fails_later_ppm) {
            return Some(What::FailLater(ProviderError::new(ErrorKind::Capacity, "by chance, later")));
        }
        // After all others, so that these decide what they did before there were any.
        if hit(faults.reply_late_ppm) {
            let most = self.world.call_lag_ms.saturating_sub(there.saturating_add(back));
            return Some(What::DelayReply(chance.below(most.saturating_add(1))));
        }
        if hit(faults.reply_duplicated_ppm) {
            return Some(What::DuplicateReply);
        }
        None
    }

    pub(crate) fn note_call(&mut self, n: CallNo, handle: Option<Handle>, event: Event) {
        let Some(flight) = self.flights.get(&n) else { return };
        let named = match &flight.request {
            Request::Call(Call::Update(handle, _) | Call::Delete(handle) | Call::Read(handle)) => {
                Some(handle.clone())
            }
            Request::Call(Call::Create(_) | Call::List(_)) | Request::Preflight(_) => None,
        };
        let entry = Entry {
            at_ms: self.now,
            call: Some(n),
            verb: Some(flight.request.verb()),
            cloud: flight.request.cloud(),
            kind: flight.request.kind(),
            address: flight.address.clone(),
            token: flight.token.clone(),
            handle: handle.or(named),
            event,
        };
        self.log.push(entry);
    }
}
