//! A check under way: a lineage, its tokens, and short ways of asking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::arrange::{Trouble, Verb};
use super::check::{Done, Stop, ensure};
use super::samples::{SECRET, changed, kinds, lineage, order, token};
use super::{Bench, Place};
use crate::preflight::{self, Preflight, Wanted};
use crate::{
    Answer, Attributes, Call, ErrorKind, Guarantees, Handle, Observed, Order, ProviderError, Reply,
    ResourceKind, Scope, Status, Token,
};

/// The clouds' ids of what was made, by kind.
pub(super) type Ids = BTreeMap<ResourceKind, String>;

pub(super) struct Trial<'a> {
    bench: &'a Bench<'a>,
    /// Of what this check makes.
    pub lineage: String,
    /// Of a stranger.
    pub other_lineage: String,
    pub promised: Guarantees,
    next: AtomicU64,
    made: Mutex<Vec<Handle>>,
    leaks: &'a Mutex<Vec<String>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether things of a kind have machines.
pub(super) const fn has_machines(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::Fleet | ResourceKind::JobRun | ResourceKind::EdgeUnit)
}

/// A call in words.
fn words(call: &Call) -> String {
    match call {
        Call::Create(order) => format!("create of a {}", order.resource.kind),
        Call::Update(handle, _) | Call::Delete(handle) | Call::Read(handle) => {
            format!("{} of {handle}", call.verb())
        }
        Call::List(scope) => format!("list of {}/{}", scope.cloud, scope.region),
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Ok(Reply::One(None)) => "nothing".to_owned(),
        Ok(Reply::One(Some(seen))) => format!("{} ({:?})", seen.handle, seen.status),
        Ok(Reply::Many(all)) => format!("a list of {}", all.len()),
        Err(error) => error.to_string(),
    }
}

impl<'a> Trial<'a> {
    pub fn new(bench: &'a Bench<'a>, first: u64, leaks: &'a Mutex<Vec<String>>) -> Self {
        Trial {
            bench,
            lineage: lineage(first),
            other_lineage: lineage(first + 1),
            promised: bench.provider.guarantees(),
            next: AtomicU64::new(first),
            made: Mutex::new(Vec::new()),
            leaks,
        }
    }

    pub fn place(&self) -> &'a Place {
        self.bench.place
    }

    pub fn bench(&self) -> &'a Bench<'a> {
        self.bench
    }

    pub fn kinds(&self) -> &'static [ResourceKind] {
        kinds(self.bench.place)
    }

    /// The kinds of the place that have machines.
    pub fn machine_kinds(&self) -> impl Iterator<Item = ResourceKind> {
        self.kinds().iter().copied().filter(|kind| has_machines(*kind))
    }

    pub async fn pause(&self, ms: u64) {
        self.bench.arrange.pause(ms).await;
    }

    /// Until lists show what there is.
    pub async fn list_lag(&self) {
        self.pause(self.promised.list_lag_ms).await;
    }

    /// Until a call without reply has had its effect, if ever, and lists show it.
    pub async fn all_lags(&self) {
        self.pause(self.promised.call_lag_ms + self.promised.list_lag_ms).await;
    }

    pub async fn trouble(&self, what: Trouble, verb: Verb) -> Done {
        let arranged = self.bench.arrange.trouble(what, verb).await;
        arranged.map_err(|why| Stop::NotArranged(format!("{what:?} of {verb:?}: {why}")))
    }

    pub async fn calm(&self) {
        self.bench.arrange.calm().await;
    }

    /// The pauses between two looks at something that is on its way.
    pub fn pauses(&self) -> impl Iterator<Item = u64> + use<> {
        let patience = self.bench.patience;
        let of = move |n: u32| patience.first_ms.saturating_mul(1 << n.min(20)).min(patience.longest_ms);
        (0..patience.looks).map(of)
    }

    /// Sends a call once.
    pub async fn call(&self, call: &Call) -> Answer {
        let answer = self.bench.provider.call(call).await;
        let text = format!("{answer:?}");
        self.hear(&words(call), &text);
        let mut made = lock(&self.made);
        let mut note = |seen: &Observed| {
            if !made.contains(&seen.handle) {
                made.push(seen.handle.clone());
            }
        };
        match (&answer, call) {
            (Ok(Reply::One(Some(seen))), Call::Create(_)) => note(seen),
            // An adapter that lists others' things must not lead to their removal.
            (Ok(Reply::Many(all)), _) => {
                let ours = |seen: &&Observed| seen.is_of(&self.lineage) || seen.is_of(&self.other_lineage);
                all.iter().filter(ours).for_each(note);
            }
            _ => {}
        }
        drop(made);
        answer
    }

    /// Asks once what would be refused.
    pub async fn preflight(&self, wanted: &[Wanted]) -> preflight::Answer {
        let answer = self.bench.provider.preflight(&self.asked(wanted)).await;
        self.hear("preflight", &format!("{answer:?}"));
        answer
    }

    /// What is asked of changes.
    pub fn asked(&self, wanted: &[Wanted]) -> Preflight {
        let lineage = Some(self.lineage.clone());
        Preflight { cloud: self.bench.place.cloud, lineage, wanted: wanted.to_vec() }
    }

    /// What is found about changes.
    pub async fn found(&self, wanted: &[Wanted]) -> Result<Vec<preflight::Finding>, Stop> {
        let answer = self.preflight(wanted).await;
        answer.map_err(|error| Stop::Failed(format!("a preflight was answered with {error}")))
    }

    /// Takes note of a secret in what the adapter says.
    pub fn hear(&self, of: &str, text: &str) {
        if self.bench.secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret)) {
            lock(self.leaks).push(of.to_owned());
        }
    }

    /// Where secrets were heard, in this check and those before it.
    pub fn leaks(&self) -> Vec<String> {
        lock(self.leaks).clone()
    }

    /// Sends a call until nothing else stands in its way any more.
    pub async fn patiently(&self, call: &Call) -> Answer {
        let mut answer = self.call(call).await;
        for ms in self.pauses() {
            match &answer {
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::Throttled) => {}
                _ => break,
            }
            self.pause(ms).await;
            answer = self.call(call).await;
        }
        answer
    }

    /// The thing that a call is answered with, or that there is none.
    pub async fn one(&self, call: &Call) -> Result<Option<Observed>, Stop> {
        match self.patiently(call).await {
            Ok(Reply::One(seen)) => Ok(seen),
            other => Err(Stop::Failed(format!("{} was answered with {}", words(call), told(&other)))),
        }
    }

    /// The thing that a call is answered with.
    pub async fn some(&self, call: &Call) -> Result<Observed, Stop> {
        let seen = self.one(call).await?;
        seen.ok_or_else(|| Stop::Failed(format!("{} was answered with nothing", words(call))))
    }

    /// The error of this kind that a call is answered with.
    pub async fn error(&self, call: &Call, kind: ErrorKind) -> Result<ProviderError, Stop> {
        match self.call(call).await {
            Err(error) if error.kind == kind => Ok(error),
            other => {
                Err(Stop::Failed(format!("{} was answered with {}, not {kind}", words(call), told(&other))))
            }
        }
    }

    /// As a read tells it.
    pub async fn read(&self, handle: &Handle) -> Result<Option<Observed>, Stop> {
        self.one(&Call::Read(handle.clone())).await
    }

    /// As it is once it is neither being made nor changed nor removed; `None` once it is gone.
    pub async fn settled(&self, handle: &Handle) -> Result<Option<Observed>, Stop> {
        let mut pauses = self.pauses();
        loop {
            let seen = self.read(handle).await?;
            match seen.as_ref().map(|seen| &seen.status) {
                Some(Status::Pending | Status::Deleting) => {}
                _ => return Ok(seen),
            }
            let Some(ms) = pauses.next() else {
                let status = seen.map(|seen| seen.status);
                return Err(Stop::Failed(format!("{handle} stays {status:?}")));
            };
            self.pause(ms).await;
        }
    }

    /// As it is once it is as ordered, or has run.
    pub async fn ready(&self, handle: &Handle) -> Result<Observed, Stop> {
        let Some(seen) = self.settled(handle).await? else {
            return Err(Stop::Failed(format!("{handle} is gone")));
        };
        ensure!(matches!(seen.status, Status::Ready | Status::Complete), "{handle} is {:?}", seen.status);
        Ok(seen)
    }

    /// Waits until all machines of a thing answer their health check.
    pub async fn healthy(&self, handle: &Handle) -> Done {
        let mut pauses = self.pauses();
        loop {
            let seen = self.ready(handle).await?;
            if seen.healthy.is_some() && seen.healthy == seen.running {
                return Ok(());
            }
            let Some(ms) = pauses.next() else {
                let (healthy, running) = (seen.healthy, seen.running);
                return Err(Stop::Failed(format!(
                    "of {handle} {running:?} machines run, and {healthy:?} stay healthy"
                )));
            };
            self.pause(ms).await;
        }
    }

    /// A run as it is once it is complete.
    pub async fn completed(&self, handle: &Handle) -> Result<Observed, Stop> {
        let mut pauses = self.pauses();
        loop {
            let seen = self.ready(handle).await?;
            if seen.status == Status::Complete {
                return Ok(seen);
            }
            let Some(ms) = pauses.next() else {
                return Err(Stop::Failed(format!("{handle} does not end by itself")));
            };
            self.pause(ms).await;
        }
    }

    pub fn token(&self) -> Token {
        token(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The sample of a kind, by an intent of its own.
    pub fn order(&self, kind: ResourceKind, ids: &Ids) -> Order {
        let mut order = order(self.bench.place, kind, self.token(), ids);
        order.tags.lineage.clone_from(&self.lineage);
        order
    }

    /// The same with other attributes, as far as they can change.
    pub fn changed(&self, kind: ResourceKind, ids: &Ids) -> Order {
        let mut order = self.order(kind, ids);
        order.resource.attributes = changed(self.bench.place, kind);
        order
    }

    /// Samples that name the secret, of each kind of the place that can.
    pub fn with_secrets(&self, ids: &Ids) -> Vec<Order> {
        let names =
            [(ResourceKind::LaunchTemplate, "api_keys"), (ResourceKind::LoadBalancer, "tls_certificate")];
        let here = names.into_iter().filter(|(kind, _)| self.kinds().contains(kind));
        let with = |(kind, name): (ResourceKind, &str)| {
            let mut order = self.order(kind, ids);
            order.resource.attributes.insert(name, SECRET.into());
            order
        };
        here.map(with).collect()
    }

    /// Makes the thing of an order and waits until it is there.
    pub async fn make(&self, order: &Order) -> Result<Observed, Stop> {
        let seen = self.some(&Call::Create(order.clone())).await?;
        self.ready(&seen.handle).await
    }

    /// Makes a sample.
    pub async fn sample(&self, kind: ResourceKind, ids: &Ids) -> Result<(Order, Observed), Stop> {
        let order = self.order(kind, ids);
        let seen = self.make(&order).await?;
        Ok((order, seen))
    }

    /// Makes everything that samples stand on.
    pub async fn ground(&self) -> Result<Ids, Stop> {
        let mut ids = Ids::new();
        for kind in self.kinds().iter().filter(|kind| !has_machines(**kind)) {
            let (_, seen) = self.sample(*kind, &ids).await?;
            ids.insert(*kind, seen.handle.id);
        }
        Ok(ids)
    }

    /// Removes a thing and waits until it is gone.
    pub async fn remove(&self, handle: &Handle) -> Done {
        self.one(&Call::Delete(handle.clone())).await?;
        let left = self.settled(handle).await?;
        ensure!(left.is_none(), "{handle} was removed and is {:?}", left.map(|left| left.status));
        Ok(())
    }

    /// Everything of this check, or what an intent made.
    pub async fn list(&self, token: Option<&Token>) -> Result<Vec<Observed>, Stop> {
        self.list_of(&self.lineage, &self.bench.place.region, token).await
    }

    pub async fn list_of(
        &self,
        lineage: &str,
        region: &str,
        token: Option<&Token>,
    ) -> Result<Vec<Observed>, Stop> {
        let call = Call::List(self.scope(lineage, region, token));
        match self.patiently(&call).await {
            Ok(Reply::Many(all)) => Ok(all),
            other => Err(Stop::Failed(format!("{} was answered with {}", words(&call), told(&other)))),
        }
    }

    pub fn scope(&self, lineage: &str, region: &str, token: Option<&Token>) -> Scope {
        let (region, lineage) = (region.to_owned(), lineage.to_owned());
        Scope { cloud: self.bench.place.cloud, region, lineage, token: token.cloned() }
    }

    /// That an intent made so many things, once lists show them.
    pub async fn made_by(&self, token: &Token, number: usize) -> Result<Vec<Observed>, Stop> {
        self.list_lag().await;
        let all = self.list(Some(token)).await?;
        ensure!(all.len() == number, "there are {} things of one intent, not {number}", all.len());
        Ok(all)
    }

    /// That a thing is as it was, whatever its run did meanwhile.
    pub async fn unchanged(&self, was: &Observed) -> Done {
        let now = self.ready(&was.handle).await?;
        ensure!(now.tags == was.tags, "the tags of {} have changed", was.handle);
        same_attributes(&was.attributes, &now.attributes, &was.handle)
    }

    /// Removes what was made as well as it can: how well removals work is asked by checks of their own.
    pub async fn clear(&self) {
        let mut left = std::mem::take(&mut *lock(&self.made));
        left.reverse();
        for _ in 0..3 {
            let mut stays = Vec::new();
            for handle in left {
                let gone = self.remove(&handle).await;
                if gone.is_err() {
                    stays.push(handle);
                }
            }
            left = stays;
            if left.is_empty() {
                return;
            }
        }
    }
}

/// The token of what has tags.
pub(super) fn token_of(seen: &Observed) -> Result<&Token, Stop> {
    seen.token().ok_or_else(|| Stop::Failed(format!("{} has no tags", seen.handle)))
}

/// That a thing has the attributes that it should have, and no others.
pub(super) fn same_attributes(wanted: &Attributes, has: &Attributes, of: &Handle) -> Done {
    for (name, value) in wanted {
        let is = has.get(name);
        ensure!(is == Some(value), "`{name}` of {of} is {is:?}, not {value:?}");
    }
    let more = has.keys().find(|name| !wanted.contains_key(name));
    ensure!(more.is_none(), "{of} has {more:?}, which was not ordered");
    Ok(())
}
