//! Whether machines serve.

use rhumb_api::{Answer, Attr, Call, ErrorKind, Observed, Reply, Status};

use super::{Ask, Machine};
use crate::apply::work::Job;
use crate::apply::{Effect, Stage};

impl Machine<'_> {
    /// Asks how the machines of an address are.
    pub(super) fn look(&mut self, task: usize) {
        let Job::Check(address, _) = &self.tasks[task].job else { return };
        let handle = self.state.resources.get(address).and_then(|thing| thing.handle());
        let Some(handle) = handle else {
            return self.fail(task, "it is not in the state, or without an id".to_owned());
        };
        if self.tasks[task].watched == (0, 0) {
            self.tell(task, Stage::Begun);
        }
        self.numbers += 1;
        self.calls.insert(self.numbers, (task, Ask::Health));
        self.effects.push(Effect::Send { number: self.numbers, call: Box::new(Call::Read(handle)) });
    }

    pub(super) fn looked(&mut self, task: usize, answer: Answer) {
        match answer {
            Ok(Reply::One(Some(seen))) => self.judge(task, &seen),
            Ok(Reply::One(None)) => self.fail(task, "it is not there any more".to_owned()),
            Ok(Reply::Many(_)) => self.later(task, "the reply has the wrong form", 0),
            Err(error) => match error.kind {
                ErrorKind::Throttled | ErrorKind::UnknownOutcome | ErrorKind::Conflict => {
                    self.later(task, &error.to_string(), error.retry_after_ms.unwrap_or(0));
                }
                _ => self.fail(task, format!("it cannot be looked at: {error}")),
            },
        }
    }

    fn judge(&mut self, task: usize, seen: &Observed) {
        if let Status::Failed(error) = &seen.status {
            return self.fail(task, format!("it has failed: {error}"));
        }
        let Some(healthy) = seen.healthy else {
            return self.later(task, "its cloud does not say whether its machines serve", 0);
        };
        let Job::Check(_, serving) = &self.tasks[task].job else { return };
        let wanted = serving.planned.unwrap_or(match seen.attributes.get("count") {
            Some(Attr::Int(n)) => u32::try_from(*n).unwrap_or(u32::MAX),
            _ => 0,
        });
        // Half an hour without a word looks like one that hangs.
        if self.tasks[task].healthy.replace(healthy) != Some(healthy) {
            self.tell(task, Stage::Healthy(healthy, wanted));
        }
        if healthy >= wanted && seen.status == Status::Ready {
            return self.end(task, None);
        }
        self.later(task, &format!("{healthy} of {wanted} machines are healthy"), 0);
    }

    /// Looks again, if there is time.
    fn later(&mut self, task: usize, so_far: &str, at_least_ms: u64) {
        let Job::Check(_, serving) = &self.tasks[task].job else { return };
        let patience_ms = u64::from(serving.patience_s) * 1_000;
        if self.stopping {
            return self.not_begun(task, "it was asked to end");
        }
        let (waited, looks) = self.tasks[task].watched;
        if waited >= patience_ms {
            let why = format!("{so_far} after {} s: what serves so far stays", patience_ms / 1_000);
            return self.fail(task, why);
        }
        let doubled = self.options.first_poll_ms.saturating_mul(1 << looks.min(20));
        let ms = doubled.max(at_least_ms).clamp(1, self.options.poll_ms.max(at_least_ms));
        let ms = ms.min(patience_ms - waited).max(1);
        self.tasks[task].watched = (waited.saturating_add(ms), looks + 1);
        self.numbers += 1;
        self.timers.insert(self.numbers, (task, Ask::Health));
        self.effects.push(Effect::Wait { number: self.numbers, ms });
    }
}
