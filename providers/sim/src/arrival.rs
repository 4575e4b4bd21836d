//! A call arrives: is it let in, and what does it ask for.

use rhumb_api::{
    Answer, Call, Cloud, ErrorKind, Handle, Observed, ProviderError, Reply, ResourceKind, Scope, Status,
};

use crate::cloud::{Bucket, SimCloud};
use crate::kinds::check_place;
use crate::log::Event;
use crate::orders::Course;
use crate::request::kind_of;
use crate::world::Verb;

/// What became of a call.
pub(crate) struct Outcome {
    pub answer: Answer,
    pub event: Event,
    pub handle: Option<Handle>,
}

impl Outcome {
    /// It did something to a thing, or found it.
    pub fn of(event: Event, thing: Observed) -> Self {
        Outcome { event, handle: Some(thing.handle.clone()), answer: Ok(Reply::One(Some(thing))) }
    }

    /// There is no thing.
    pub fn nothing() -> Self {
        Outcome { event: Event::Unchanged, handle: None, answer: Ok(Reply::One(None)) }
    }
}

impl From<ProviderError> for Outcome {
    fn from(error: ProviderError) -> Self {
        Outcome { event: Event::Refused(error.clone()), handle: None, answer: Err(error) }
    }
}

impl SimCloud {
    /// The effect of a call that arrives now, and the answer to it.
    pub(crate) fn take(&mut self, call: &Call, injected: Option<ProviderError>, course: Course) -> Outcome {
        let taken = match injected {
            Some(error) => Err(error),
            None => self.let_in(call),
        };
        let done = taken.and_then(|()| match call {
            Call::Create(order) => self.create(order, course),
            Call::Update(handle, order) => self.update(handle, order, course),
            Call::Delete(handle) => self.delete(handle, course),
            Call::Read(handle) => self.read(handle),
            Call::List(scope) => self.list(scope),
        });
        done.unwrap_or_else(Outcome::from)
    }

    /// Throttling, credentials and rights, in this order: a cloud counts what it refuses.
    fn let_in(&mut self, call: &Call) -> Result<(), ProviderError> {
        let cloud = call.cloud();
        self.throttle(cloud)?;
        if self.world.expired.contains(&cloud) {
            return Err(ProviderError::new(ErrorKind::Denied, expired(cloud)));
        }
        match self.withheld(cloud, kind_of(call), Verb::from(call)) {
            Some(message) => Err(ProviderError::new(ErrorKind::Denied, message)),
            None => Ok(()),
        }
    }

    /// Counts a request.
    pub(crate) fn throttle(&mut self, cloud: Cloud) -> Result<(), ProviderError> {
        let Some(rate) = self.world.calls.get(&cloud) else { return Ok(()) };
        let full = u64::from(rate.burst).saturating_mul(1_000);
        let bucket = self.buckets.entry(cloud).or_insert(Bucket { level_milli: full, at_ms: self.now });
        // Calls per second are thousandths of calls per millisecond.
        let gained = self.now.saturating_sub(bucket.at_ms).saturating_mul(u64::from(rate.per_second));
        bucket.level_milli = bucket.level_milli.saturating_add(gained).min(full);
        bucket.at_ms = self.now;
        if bucket.level_milli < 1_000 {
            let wait = (1_000 - bucket.level_milli).div_ceil(u64::from(rate.per_second.max(1)));
            let mut error = ProviderError::new(ErrorKind::Throttled, "too many calls");
            error.retry_after_ms = Some(wait);
            return Err(error);
        }
        bucket.level_milli -= 1_000;
        Ok(())
    }

    /// What the credentials may not do of this, in words, if they may not.
    pub(crate) fn withheld(&self, cloud: Cloud, kind: Option<ResourceKind>, verb: Verb) -> Option<String> {
        let withheld = self.world.denied.iter().any(|denial| denial.withholds(cloud, kind, verb));
        let what = kind.map_or("things", ResourceKind::as_str);
        withheld.then(|| format!("these credentials may not {} {what} on {cloud}", verb.as_str()))
    }

    fn read(&self, handle: &Handle) -> Result<Outcome, ProviderError> {
        check_place(handle.cloud, &handle.region, &self.world)?;
        Ok(match self.things.get(handle) {
            Some(thing) => Outcome::of(Event::Unchanged, thing.observed()),
            None => Outcome::nothing(),
        })
    }

    /// What was made `list_lag_ms` ago and was still there then. What is there is shown as it is now.
    fn list(&self, scope: &Scope) -> Result<Outcome, ProviderError> {
        check_place(scope.cloud, &scope.region, &self.world)?;
        let lag = self.world.list_lag_ms;
        let shown = |made_ms: u64| made_ms.saturating_add(lag) <= self.now;
        let there = self.things.values().filter(|thing| shown(thing.made_ms)).map(|t| t.observed());
        let ghosts = self
            .gone
            .values()
            .filter(|ghost| shown(ghost.made_ms) && self.now < ghost.gone_ms.saturating_add(lag));
        let ghosts = ghosts.map(|g| Observed { status: Status::Deleting, ..g.observed.clone() });
        let mut all: Vec<Observed> = there
            .chain(ghosts)
            .filter(|seen| {
                seen.handle.cloud == scope.cloud
                    && seen.handle.region == scope.region
                    && seen.is_of(&scope.lineage)
                    && scope.token.as_ref().is_none_or(|token| seen.token() == Some(token))
            })
            .collect();
        all.sort_by(|a, b| a.handle.cmp(&b.handle));
        Ok(Outcome { event: Event::Unchanged, handle: None, answer: Ok(Reply::Many(all)) })
    }
}

/// Why credentials are not taken.
pub(crate) fn expired(cloud: Cloud) -> String {
    format!("the credentials for {cloud} have expired")
}
