//! Requests that are made again when the store does not answer, with errors that say which object they are about.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::objects::{Doing, Listed, Object, Objects, Only, Tag, Trouble, TroubleKind};
use crate::state::StoreError;

/// How long a store is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Since the first try of a request; after it, none is begun.
    pub all: Duration,
    /// Of each try.
    pub each: Duration,
    /// The pause after the first try that failed; each is twice as long as the one before it.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            all: Duration::from_secs(20),
            each: Duration::from_secs(30),
            pause: Duration::from_millis(100),
        }
    }
}

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A prefix in a bucket: where a state is, or is to be.
#[derive(Clone)]
pub struct Remote {
    objects: Arc<dyn Objects>,
    prefix: String,
    name: String,
    patience: Patience,
}

/// What became of a put under a condition.
pub(super) enum Put {
    /// It is there.
    Done(Tag),
    /// The condition does not hold: this is there.
    Found(Option<Object>),
}

impl Remote {
    /// A prefix, without a slash at its end, among objects. `name` is the place as the user named it.
    pub fn new(objects: Arc<dyn Objects>, prefix: &str, name: &str) -> Self {
        let patience = Patience::default();
        Remote { objects, prefix: prefix.to_owned(), name: name.to_owned(), patience }
    }

    /// The same, waited for otherwise.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Remote { patience, ..self }
    }

    /// The same, with something between it and the store.
    #[must_use]
    pub fn behind(self, between: impl FnOnce(Arc<dyn Objects>) -> Arc<dyn Objects>) -> Self {
        Remote { objects: between(self.objects), ..self }
    }

    /// The place, as the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An object of it, for messages.
    pub(super) fn name_of(&self, key: &str) -> String {
        format!("{}/{key}", self.name.trim_end_matches('/'))
    }

    fn path(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    fn error(&self, key: &str, what: &'static str, trouble: Trouble) -> StoreError {
        let name = self.name_of(key);
        StoreError::Remote { name, what, reason: trouble.reason, help: trouble.kind.help() }
    }

    /// Tries until it is answered.
    async fn tried<'a, T>(
        &'a self,
        pauses: &mut Pauses,
        request: impl Fn() -> Doing<'a, T>,
    ) -> Result<T, Trouble> {
        loop {
            let trouble = match timeout(self.patience.each, request()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(trouble)) => trouble,
                Err(_) => {
                    let reason = format!("no answer within {} ms", self.patience.each.as_millis());
                    Trouble { reason, kind: TroubleKind::Unreachable }
                }
            };
            if trouble.kind != TroubleKind::Unreachable || !pauses.pause().await {
                return Err(trouble);
            }
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let path = self.path(key);
        let got = self.tried(&mut Pauses::new(self.patience), || self.objects.get(&path)).await;
        got.map_err(|trouble| self.error(key, "read it", trouble))
    }

    /// Puts an object if the condition holds. A put whose answer was lost is made again and finds itself there: so nothing that is put
    /// under a condition may be equal to what another puts, nor to what was there before.
    pub(super) async fn put(&self, key: &str, bytes: &[u8], only: &Only) -> Result<Put, StoreError> {
        let path = self.path(key);
        let mut pauses = Pauses::new(self.patience);
        loop {
            let put = self.tried(&mut pauses, || self.objects.put(&path, bytes.to_vec(), only.clone())).await;
            if let Some(tag) = put.map_err(|trouble| self.error(key, "write it", trouble))? {
                return Ok(Put::Done(tag));
            }
            match self.get(key).await? {
                Some(found) if found.bytes == bytes => return Ok(Put::Done(found.tag)),
                // Some stores answer so as well when another put was under way that then failed.
                None if *only == Only::Absent && pauses.pause().await => {}
                found => return Ok(Put::Found(found)),
            }
        }
    }

    pub(super) async fn list(&self, under: &str) -> Result<Vec<Listed>, StoreError> {
        let path = self.path(under);
        let listed = self.tried(&mut Pauses::new(self.patience), || self.objects.list(&path)).await;
        listed.map_err(|trouble| self.error(under, "list it", trouble))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key);
        let deleted = self.tried(&mut Pauses::new(self.patience), || self.objects.delete(&path)).await;
        deleted.map_err(|trouble| self.error(key, "remove it", trouble))
    }

    /// What time it is by the store's clock, milliseconds since 1970: that of an object which is put for this.
    pub(super) async fn now(&self, by: &str) -> Result<i64, StoreError> {
        let path = self.path(CLOCK);
        let put = || self.objects.put(&path, format!("{by}\n").into_bytes(), Only::Always);
        let put = self.tried(&mut Pauses::new(self.patience), put).await;
        put.map_err(|trouble| self.error(CLOCK, "write it", trouble))?;
        let clock = self.get(CLOCK).await?;
        let gone = || Trouble { reason: "it is gone".to_owned(), kind: TroubleKind::Other };
        clock.map(|c| c.at).ok_or_else(|| self.error(CLOCK, "read it", gone()))
    }
}

/// The object whose time is the store's.
const CLOCK: &str = "clock";

/// The pauses between the tries of one request.
struct Pauses {
    until: Instant,
    next: Duration,
}

impl Pauses {
    fn new(patience: Patience) -> Self {
        Pauses { until: Instant::now() + patience.all, next: patience.pause }
    }

    /// Waits for the next try; `false` if there is none.
    async fn pause(&mut self) -> bool {
        if Instant::now() + self.next >= self.until {
            return false;
        }
        sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        true
    }
}
