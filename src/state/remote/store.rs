//! A remote state that can be changed.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::headless;
use super::lease::{self, Failure, Held, Term};
use super::objects::{Only, Tag};
use super::reading::{HEAD, LOOKS, Reading, head, log_key, sha256, version_key};
use super::requests::{Put, Remote};
use super::text::{Entrance, Head, damage};
use super::worker::Worker;
use crate::state::disk::MAX_BYTES;
use crate::state::{Holder, Record, RecordError, State, StoreError, file};

/// Bytes of the log beyond which a new version is made before the next append.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// Entries of the log beyond which a new version is made before the next append: each is a request to whoever reads.
const MAX_LOG_ENTRIES: u64 = 1000;

/// How long the release of a lease may take when a store is dropped; it runs out otherwise.
const RELEASE: Duration = Duration::from_secs(2);

/// How a state is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the lease is kept; `None` takes none, and nothing but the log keeps writers apart: nothing is lost, and they overtake each
    /// other.
    pub lease: Option<Term>,
}

impl Default for Options {
    fn default() -> Self {
        Options { lease: Some(Term::default()) }
    }
}

/// What is where a state is to be, with the lease taken.
#[expect(clippy::large_enum_variant, reason = "there is one of it, and it is taken apart at once")]
pub enum Opened {
    /// Nothing was ever recorded.
    Nothing(Vacant),
    /// A state.
    Recorded(RemoteStore),
}

/// A place for a state, with the lease taken, where none is.
pub struct Vacant {
    session: Session,
}

/// A state that can be changed.
pub struct RemoteStore {
    session: Session,
    /// What is durable.
    durable: State,
    /// Equal to it but while records are on their way. Both take every record, so that a failure needs no copy of the whole beforehand.
    ahead: State,
    /// The number of the next entry of the log.
    next: u64,
    fence: u64,
    head: Head,
    head_tag: Tag,
    log_bytes: u64,
}

/// A writer: its name, its lease, and the thread on which it talks to the store.
struct Session {
    remote: Remote,
    worker: Worker,
    writer: String,
    held: Option<Arc<Mutex<Held>>>,
    beating: Option<AbortHandle>,
    failure: Failure,
}

impl Session {
    fn begin(remote: &Remote, holder: &Holder, options: &Options) -> Result<Self, StoreError> {
        let mut session = Session {
            remote: remote.clone(),
            worker: Worker::start(remote.name())?,
            writer: name(),
            held: None,
            beating: None,
            failure: Failure::default(),
        };
        if let Some(term) = options.lease {
            let (who, writer) = (holder.describe(), session.writer.clone());
            let held =
                session.call(|remote| async move { lease::take(&remote, &term, who, &writer).await })?;
            let held = Arc::new(Mutex::new(held));
            let keeping = lease::keep(remote.clone(), term, Arc::clone(&held), session.failure.clone());
            session.beating = Some(session.worker.spawn(keeping));
            session.held = Some(held);
        }
        Ok(session)
    }

    fn call<T: Send + 'static, F>(&self, work: impl FnOnce(Remote) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.worker.call(work(self.remote.clone()))
    }

    fn overtaken(&self) -> StoreError {
        StoreError::Overtaken { name: self.remote.name().to_owned() }
    }

    fn sound(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), Err)
    }

    /// What is recorded, behind a fence of this writer.
    fn join(&self) -> Result<Option<Reading>, StoreError> {
        let (writer, held) = (self.writer.clone(), self.held.clone());
        self.call(|remote| async move {
            for _ in 0..LOOKS {
                let Some(mut reading) = Reading::read(&remote).await? else { return Ok(None) };
                fence(&remote, &mut reading, &writer, held.as_deref()).await?;
                // The number may have been free because it is in front of the head and was removed; nobody reads that fence.
                if reading.look_at_head(&remote).await? {
                    return Ok(Some(reading));
                }
            }
            Err(StoreError::Overtaken { name: remote.name().to_owned() })
        })
    }

    fn open(self) -> Result<Opened, StoreError> {
        Ok(match self.join()? {
            None => Opened::Nothing(Vacant { session: self }),
            Some(reading) => Opened::Recorded(self.opened(reading)),
        })
    }

    fn opened(self, reading: Reading) -> RemoteStore {
        let Reading { state, next, fence, head, head_tag, log_bytes, .. } = reading;
        let ahead = state.clone();
        RemoteStore { session: self, durable: state, ahead, next, fence, head, head_tag, log_bytes }
    }
}

/// Puts a fence where the log ends.
async fn fence(
    remote: &Remote,
    reading: &mut Reading,
    writer: &str,
    held: Option<&Mutex<Held>>,
) -> Result<(), StoreError> {
    loop {
        let number = match held {
            None => reading.fence.saturating_add(1),
            Some(held) => {
                let mut held = held.lock().await;
                if held.fence() <= reading.fence {
                    // To put the lease again shows that it is still this writer's: one who was paused here and has lost it meanwhile
                    // does not stand in the way of who has it.
                    lease::raise(remote, &mut held, reading.fence).await?;
                }
                held.fence()
            }
        };
        let entry = Entrance::new(&reading.state, reading.next, number, writer);
        let key = log_key(reading.next);
        match remote.put(&key, entry.encode(&[]).as_bytes(), &Only::Absent).await? {
            Put::Done(_) => {
                reading.fence = number;
                reading.writer = writer.to_owned();
                reading.next += 1;
                return Ok(());
            }
            Put::Found(Some(found)) => {
                reading.apply(remote, &found)?;
                reading.follow(remote).await?;
            }
            Put::Found(None) => return Err(refused_put(remote, &key)),
        }
    }
}

/// The store says over and over that something is there, and that it is not.
pub(super) fn refused_put(remote: &Remote, key: &str) -> StoreError {
    StoreError::Remote {
        name: remote.name_of(key),
        what: "write it",
        reason: "the store says that it is there already, and that it is not".to_owned(),
        help: "see that no other is at work and start again",
    }
}

fn too_large(remote: &Remote, key: &str) -> StoreError {
    StoreError::Remote {
        name: remote.name_of(key),
        what: "write it",
        reason: format!("it would be larger than {} MiB", MAX_BYTES / 1024 / 1024),
        help: "divide the deployment",
    }
}

/// A name that no other writer has: 128 bits from the operating system's source of random keys.
fn name() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(beating) = self.beating.take() {
            beating.abort();
        }
        if let Some(held) = self.held.take() {
            // The next one need not wait until it runs out.
            let _ = self.call(|remote| async move {
                let release = async { lease::release(&remote, &mut *held.lock().await).await };
                timeout(RELEASE, release).await.unwrap_or(Ok(()))
            });
        }
    }
}

impl RemoteStore {
    /// Takes the lease of the state at a place, waits for one that may have run out, puts a fence and reads what is recorded.
    ///
    /// # Errors
    /// Another process has the lease, what is there cannot be read, or the store does not answer.
    pub fn open(remote: &Remote, holder: &Holder, options: &Options) -> Result<Opened, StoreError> {
        Session::begin(remote, holder, options)?.open()
    }

    /// As [`RemoteStore::open`]; a head that was removed is put back first, and then `true` comes with it.
    ///
    /// # Errors
    /// As of [`RemoteStore::open`].
    pub fn open_without_head(
        remote: &Remote,
        holder: &Holder,
        options: &Options,
    ) -> Result<(Opened, bool), StoreError> {
        let session = Session::begin(remote, holder, options)?;
        let put_back = session.call(|remote| async move { headless::put_back(&remote).await })?;
        Ok((session.open()?, put_back))
    }

    /// What is recorded. All of it is durable.
    pub fn state(&self) -> &State {
        &self.durable
    }

    /// Records changes, in one object. They are durable when it returns, all of them.
    ///
    /// # Errors
    /// A record does not fit: nothing was written, and the store goes on. Or the store did not answer: all of the records or none may be
    /// found recorded when the state is opened again. Or another writer has overtaken this one: none is recorded. In both cases the state
    /// here is that before, and every later change fails with the same error. Or they are larger than can be read, 256 MiB: nothing was
    /// written, and the store goes on.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.session.sound()?;
        for record in records {
            if let Err(e) = self.ahead.take(record) {
                self.ahead = self.durable.clone();
                return Err(self.refused(&e));
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let entry = Entrance::new(&self.durable, self.next, self.fence, &self.session.writer);
        let text = entry.encode(records);
        if let Err(e) = self.make_room(text.len() as u64) {
            self.ahead = self.durable.clone();
            return Err(e);
        }
        let length = text.len() as u64;
        self.write(text).map_err(|e| self.fail(e))?;
        for record in records {
            // It was taken once already, by an equal state.
            self.durable.take(record).map_err(|e| self.refused(&e)).map_err(|e| self.fail(e))?;
        }
        self.next += 1;
        self.log_bytes += length;
        Ok(())
    }

    /// Puts the next entry of the log.
    fn write(&self, text: String) -> Result<(), StoreError> {
        let (key, overtaken) = (log_key(self.next), self.session.overtaken());
        self.session.call(|remote| async move {
            match remote.put(&key, text.as_bytes(), &Only::Absent).await? {
                Put::Done(_) => Ok(()),
                Put::Found(Some(_)) => Err(overtaken),
                Put::Found(None) => Err(refused_put(&remote, &key)),
            }
        })
    }

    /// Makes a version if the log is long, so that it can be read.
    fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        if bytes > MAX_BYTES - MAX_LOG_BYTES {
            return Err(too_large(&self.session.remote, &log_key(self.next)));
        }
        let long = self.next - self.head.next > MAX_LOG_ENTRIES || self.log_bytes > MAX_LOG_BYTES;
        if long { self.compact() } else { Ok(()) }
    }

    /// Makes a version of what is recorded and lets the head name it, so that the log need not be read up to there.
    ///
    /// # Errors
    /// The store did not answer: what is recorded is still so, and the store goes on. Or another writer has overtaken this one.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.session.sound()?;
        if self.head.next == self.next {
            return Ok(());
        }
        let text = file::encode(&self.durable);
        if text.len() as u64 > MAX_BYTES {
            return Err(too_large(&self.session.remote, &version_key(self.durable.serial)));
        }
        let digest = sha256(text.as_bytes());
        let new = Head::new(&self.durable, digest, self.next, self.fence, &self.session.writer);
        let (mut tag, head, overtaken) = (self.head_tag.clone(), new.clone(), self.session.overtaken());
        let compacted = self.session.call(|remote| async move {
            // Of serial 0 there is none: the head says all of it.
            if head.serial > 0 {
                let key = version_key(head.serial);
                if let Put::Found(_) = remote.put(&key, text.as_bytes(), &Only::Absent).await? {
                    let message = "another version of the same serial is there";
                    return Err(damage(remote.name_of(&key), None, message).into());
                }
            }
            for _ in 0..LOOKS {
                match remote.put(HEAD, head.encode().as_bytes(), &Only::Unchanged(tag)).await? {
                    Put::Done(tag) => return Ok(tag),
                    Put::Found(_) => {}
                }
                // Who was overtaken by this writer may have let it name an earlier point, and nobody else may.
                match self::head(&remote).await? {
                    Some((now, its)) if now.next < head.next && now.lineage == head.lineage => tag = its,
                    _ => return Err(overtaken),
                }
            }
            Err(overtaken)
        });
        match compacted {
            Ok(tag) => {
                (self.head, self.head_tag, self.log_bytes) = (new, tag, 0);
                Ok(())
            }
            Err(e @ StoreError::Overtaken { .. }) => Err(self.fail(e)),
            Err(e) => Err(e),
        }
    }

    /// Every later change fails with this error: what is recorded is not known.
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.ahead = self.durable.clone();
        self.session.failure.set(error)
    }

    fn refused(&self, error: &RecordError) -> StoreError {
        StoreError::Refused { name: self.session.remote.name().to_owned(), reason: error.to_string() }
    }
}

impl Vacant {
    /// Records a state of nothing, of serial 0.
    ///
    /// # Errors
    /// Another process has recorded one meanwhile. Or the store did not answer; it may be found recorded when the place is opened again.
    pub fn create(self, lineage: String, simulated: bool) -> Result<RemoteStore, StoreError> {
        self.put(State::new(lineage, simulated))
    }

    /// Records a state that was recorded elsewhere until now.
    ///
    /// # Errors
    /// As of [`Vacant::create`]; also that it is larger than can be read, 256 MiB.
    pub fn put(self, state: State) -> Result<RemoteStore, StoreError> {
        self.session.sound()?;
        let text = file::encode(&state);
        if text.len() as u64 > MAX_BYTES {
            return Err(too_large(&self.session.remote, &version_key(state.serial)));
        }
        let head = Head::new(&state, sha256(text.as_bytes()), 1, 0, &self.session.writer);
        let overtaken = self.session.overtaken();
        let serial = state.serial;
        self.session.call(|remote| async move {
            // Of serial 0 there is none: the head says all of it.
            if serial > 0 {
                let key = version_key(serial);
                if let Put::Found(Some(found)) = remote.put(&key, text.as_bytes(), &Only::Absent).await?
                    && found.bytes != text.as_bytes()
                {
                    let message = "another version of the same serial is there";
                    return Err(damage(remote.name_of(&key), None, message).into());
                }
            }
            match remote.put(HEAD, head.encode().as_bytes(), &Only::Absent).await? {
                Put::Done(_) => Ok(()),
                Put::Found(_) => Err(overtaken),
            }
        })?;
        let reading = self.session.join()?;
        let reading = reading.filter(|r| r.state == state).ok_or_else(|| self.session.overtaken())?;
        Ok(self.session.opened(reading))
    }
}
