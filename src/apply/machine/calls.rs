//! What is asked about an intent until its outcome is known.

use rhumb_api::{Answer, Call, ErrorKind, Handle, Observed, ProviderError, Reply, Scope, Status, malformed};

use super::{Ask, Machine, Under};
use crate::apply::work::Job;
use crate::apply::{Effect, Stage};
use crate::state::{Failed, Intent, Outcome, Record};

/// How often something whose outcome is unknown is looked up and sent again.
const MOST_UNKNOWN: u32 = 10;
/// How often something is sent again where something else stands in the way: with pauses up to 20 s about three minutes.
const MOST_CONFLICTS: u32 = 15;

impl Machine<'_> {
    pub(super) fn ask(&mut self, task: usize, ask: Ask) {
        if ask == Ask::Health {
            return self.look(task);
        }
        let Some(under) = &mut self.tasks[task].under else { return };
        let intent = &under.intent;
        let call = match ask {
            Ask::Call => {
                under.since_sent_ms = 0;
                Some(intent.call.clone())
            }
            Ask::Look => under.handle().map(Call::Read),
            Ask::Find => match &intent.call {
                Call::Create(order) => Some(Call::List(Scope {
                    cloud: order.resource.cloud,
                    region: order.resource.region.clone(),
                    lineage: order.tags.lineage.clone(),
                    token: Some(intent.token.clone()),
                })),
                _ => None,
            },
            Ask::Health => None,
        };
        let Some(call) = call else { return self.leave(task, "it cannot be looked up".to_owned()) };
        self.numbers += 1;
        self.calls.insert(self.numbers, (task, ask));
        self.effects.push(Effect::Send { number: self.numbers, call: Box::new(call) });
    }

    pub(super) fn pause(&mut self, task: usize, ask: Ask, ms: u64) {
        if ms == 0 {
            return self.ask(task, ask);
        }
        if self.stopping {
            return self.give_up(task, ask, "it was asked to end".to_owned());
        }
        let patience = self.options.patience_ms;
        let Some(under) = &mut self.tasks[task].under else { return };
        under.paused_ms = under.paused_ms.saturating_add(ms);
        under.since_sent_ms = under.since_sent_ms.saturating_add(ms);
        if under.paused_ms > patience {
            return self.give_up(task, ask, format!("it was not over after {} s", patience / 1_000));
        }
        self.numbers += 1;
        self.timers.insert(self.numbers, (task, ask));
        self.effects.push(Effect::Wait { number: self.numbers, ms });
    }

    /// Ends what would be asked again. A call that was refused each time has had no effect and has failed, so that nobody sends it later
    /// for a plan of long ago; of all else it is not known how it ended.
    pub(super) fn give_up(&mut self, task: usize, ask: Ask, why: String) {
        let under = self.tasks[task].under.as_mut();
        let refused = under.filter(|under| ask == Ask::Call && !under.unknown).and_then(|u| u.refused.take());
        let Some(error) = refused else { return self.leave(task, why) };
        let message = format!("{}; {why}", error.message);
        self.failed(task, &ProviderError { message, ..error }, None);
    }

    /// Asks again after a pause that grows.
    fn again(&mut self, task: usize, ask: Ask, error: &ProviderError, at_least_ms: u64) {
        let (pause, longest) = (self.options.pause_ms, self.options.longest_pause_ms);
        let Some(under) = &mut self.tasks[task].under else { return };
        under.tries += 1;
        let doubled = pause.saturating_mul(1 << (under.tries - 1).min(20)).min(longest);
        // Those that were refused together do not come back together.
        let jitter = u64::from(under.intent.token.as_str().as_bytes()[0]) * doubled / 1_024;
        let ms = (doubled + jitter).max(error.retry_after_ms.unwrap_or(0)).max(at_least_ms);
        self.tell(task, Stage::Again { why: error.kind, message: error.message.clone(), in_ms: ms });
        self.pause(task, ask, ms);
    }

    pub(super) fn answered(&mut self, task: usize, ask: Ask, answer: Answer) {
        if ask == Ask::Health {
            return self.looked(task, answer);
        }
        let Some(under) = &self.tasks[task].under else { return };
        let one = match (ask, answer) {
            (Ask::Find, Ok(Reply::Many(found))) => return self.found(task, &found),
            (Ask::Call | Ask::Look, Ok(Reply::One(one))) => Ok(one),
            (_, Err(error)) => Err(error),
            (_, Ok(_)) => Err(malformed(&under.intent.call)),
        };
        let call = &under.intent.call;
        match one {
            Ok(Some(observed)) => self.observed(task, &observed),
            Ok(None) => match (call, ask) {
                (Call::Delete(_), _) => self.outcome(task, Outcome::done()),
                (Call::Create(_), Ask::Call) => {
                    self.failed(task, &gone("it was made and is gone again"), None)
                }
                _ => self.failed(task, &gone("it is gone"), None),
            },
            Err(error) if ask == Ask::Call => self.refused(task, error),
            Err(error) => self.unseen(task, ask, &error),
        }
    }

    /// The call itself was answered with an error.
    fn refused(&mut self, task: usize, error: ProviderError) {
        let Some(under) = &mut self.tasks[task].under else { return };
        let guarantees = self.options.guarantees(under.intent.call.cloud());
        let is_create = matches!(under.intent.call, Call::Create(_));
        let is_delete = matches!(under.intent.call, Call::Delete(_));
        match error.kind {
            ErrorKind::UnknownOutcome if under.tries >= MOST_UNKNOWN => self.leave(task, error.message),
            ErrorKind::UnknownOutcome => {
                under.unknown = true;
                if is_create {
                    return self.again(task, Ask::Find, &error, 0);
                }
                // A late copy of a change must not come after a later change.
                self.again(task, Ask::Call, &error, guarantees.call_lag_ms);
            }
            ErrorKind::Throttled => self.refused_for_now(task, error),
            ErrorKind::Conflict if under.tries < MOST_CONFLICTS => self.refused_for_now(task, error),
            ErrorKind::NotFound if matches!(under.intent.call, Call::Delete(_)) => {
                self.outcome(task, Outcome::done());
            }
            // An earlier copy may have removed it.
            _ if is_delete && under.unknown => {
                under.verdict = Some(error);
                self.pause(task, Ask::Look, guarantees.call_lag_ms);
            }
            // An earlier copy may still come to be: it is looked for once it can be seen if it ever will.
            _ if is_create && under.unknown => {
                under.verdict = Some(error);
                self.pause(task, Ask::Find, guarantees.call_lag_ms + guarantees.list_lag_ms);
            }
            _ => self.failed(task, &error, None),
        }
    }

    /// The call had no effect and is sent again.
    fn refused_for_now(&mut self, task: usize, error: ProviderError) {
        if let Some(under) = &mut self.tasks[task].under {
            under.refused = Some(error.clone());
        }
        self.again(task, Ask::Call, &error, 0);
    }

    /// A look-up was answered with an error.
    fn unseen(&mut self, task: usize, ask: Ask, error: &ProviderError) {
        let tries = self.tasks[task].under.as_ref().map_or(0, |under| under.tries);
        let again = match error.kind {
            ErrorKind::Throttled => true,
            ErrorKind::UnknownOutcome | ErrorKind::Conflict => tries < MOST_UNKNOWN,
            _ => false,
        };
        if again {
            self.again(task, ask, error, 0);
        } else {
            self.leave(task, format!("it cannot be looked up: {error}"));
        }
    }

    fn found(&mut self, task: usize, found: &[Observed]) {
        let Some(under) = &mut self.tasks[task].under else { return };
        let token = under.intent.token.clone();
        let mut own: Vec<&Observed> = found.iter().filter(|o| o.token() == Some(&token)).collect();
        own.sort_by(|a, b| a.handle.cmp(&b.handle));
        if let Some((first, others)) = own.split_first() {
            under.verdict = None;
            for other in others {
                let id = other.handle.id.clone();
                self.write(Record::Extra { token: token.clone(), id }, None);
            }
            if !others.is_empty() {
                self.clean(task);
            }
            return self.observed(task, first);
        }
        if let Some(error) = under.verdict.take() {
            return self.failed(task, &error, None);
        }
        let guarantees = self.options.guarantees(under.intent.call.cloud());
        let wait = if guarantees.deduplicates { 0 } else { guarantees.call_lag_ms + guarantees.list_lag_ms };
        let missing = wait.saturating_sub(under.since_sent_ms);
        let next = if missing > 0 { Ask::Find } else { Ask::Call };
        self.pause(task, next, missing);
    }

    fn observed(&mut self, task: usize, observed: &Observed) {
        let Some(under) = &mut self.tasks[task].under else { return };
        let create = matches!(under.intent.call, Call::Create(_));
        let id = observed.handle.id.clone();
        if create && under.intent.accepted.is_none() {
            under.intent.accepted = Some(id.clone());
            under.tries = 0;
            let token = under.intent.token.clone();
            if self.summary.unrecorded.is_none() {
                self.write(Record::Accepted { token, id: id.clone() }, None);
            }
            self.tell(task, Stage::Accepted(id.clone()));
        }
        let delete = matches!(self.tasks[task].under.as_ref().map(|u| &u.intent.call), Some(Call::Delete(_)));
        // It is there and stays: what was answered last is so.
        if delete && observed.status != Status::Deleting {
            let verdict = self.tasks[task].under.as_mut().and_then(|under| under.verdict.take());
            if let Some(error) = verdict {
                return self.failed(task, &error, None);
            }
        }
        match &observed.status {
            Status::Ready | Status::Complete if !delete => {
                let outputs = observed.outputs.clone();
                self.outcome(task, Outcome::Done { id: create.then_some(id), outputs });
            }
            Status::Failed(error) if !delete => self.failed(task, error, create.then_some(id)),
            _ => {
                // Most things are there at once, machines after minutes.
                let Some(under) = self.tasks[task].under.as_mut() else { return };
                let looks = under.looks.min(20);
                under.looks += 1;
                let ms = self.options.first_poll_ms.saturating_mul(1 << looks);
                self.pause(task, Ask::Look, ms.clamp(1, self.options.poll_ms));
            }
        }
    }

    fn failed(&mut self, task: usize, error: &ProviderError, left: Option<String>) {
        let is_update =
            self.tasks[task].under.as_ref().is_some_and(|u| matches!(u.intent.call, Call::Update(..)));
        let gone = is_update && error.kind == ErrorKind::NotFound;
        let failed = Failed { left, gone, ..Failed::of(error) };
        self.outcome(task, Outcome::Failed(failed));
    }

    /// Records what became of an intent.
    fn outcome(&mut self, task: usize, outcome: Outcome) {
        let Some(under) = &self.tasks[task].under else { return };
        let token = under.intent.token.clone();
        if let Some(why) = self.summary.unrecorded.clone() {
            return self.leave(task, format!("its end could not be recorded: {why}"));
        }
        if self.write(Record::Ended { token, outcome: outcome.clone() }, None).is_none() {
            return self.leave(task, "its end does not fit the state".to_owned());
        }
        match outcome {
            Outcome::Done { id, .. } => self.done(task, id),
            Outcome::Failed(failed) => {
                let why = format!("{}: {}", failed.kind, failed.message);
                if failed.left.is_some() {
                    self.clean(task);
                }
                let refused = matches!(failed.kind, ErrorKind::Capacity | ErrorKind::Quota);
                if matches!(self.tasks[task].job, Job::Settle(_)) {
                    // It is known now: what the plan still wants of it, it does.
                    self.tell(task, Stage::Failed(why));
                    self.end(task, None);
                } else if !(refused && (self.stand_in(task, &why) || self.go_back(task, &why))) {
                    self.fail(task, why);
                }
            }
        }
    }

    fn done(&mut self, task: usize, id: Option<String>) {
        self.tell(task, Stage::Done(id));
        if let Some(told) = self.told(task) {
            self.summary.done.push(told);
        }
        match self.tasks[task].job.clone() {
            // What it needs was taken over first.
            Job::Make(at) if !self.is_of(task, at) => {
                self.tasks[task].under = None;
                match self.stopping {
                    true => self.not_begun(task, "it was asked to end"),
                    false => self.make(task, at),
                }
            }
            Job::Unmake(address, which) => self.unmake(task, &address, which),
            Job::Settle(_) => {
                // What the plan keeps may be what is gone now: on the way back it was to go.
                let removed =
                    self.tasks[task].under.as_ref().is_some_and(|u| matches!(u.intent.call, Call::Delete(_)));
                self.turning |= removed && self.work.is_some();
                self.end(task, None);
            }
            _ => self.end(task, None),
        }
    }

    /// Whether what is under way is what a change is of.
    fn is_of(&self, task: usize, change: usize) -> bool {
        let under = self.tasks[task].under.as_ref().map(|under| &under.intent.address);
        under == self.changes.get(change).map(|change| &change.addr)
    }
}

impl Under {
    pub(super) fn new(intent: Intent) -> Self {
        let (verdict, refused) = (None, None);
        Under { intent, tries: 0, looks: 0, paused_ms: 0, unknown: false, verdict, refused, since_sent_ms: 0 }
    }

    fn handle(&self) -> Option<Handle> {
        match &self.intent.call {
            Call::Create(order) => Some(Handle {
                cloud: order.resource.cloud,
                region: order.resource.region.clone(),
                kind: order.resource.kind,
                id: self.intent.accepted.clone()?,
            }),
            Call::Update(handle, _) | Call::Delete(handle) => Some(handle.clone()),
            Call::Read(_) | Call::List(_) => None,
        }
    }
}

fn gone(message: &str) -> ProviderError {
    ProviderError::new(ErrorKind::NotFound, message)
}
