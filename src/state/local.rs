//! A state on the local disk: a snapshot, a journal behind it, and a lock.
//!
//! For a state file `PATH` there are `PATH.journal`, which continues it, and `PATH.lock`, which is held while someone may write.
//! At the end of an apply the state is kept besides as `PATH.version-SERIAL` ([`MOST_VERSIONS`] of them).
//! Changes are appended to the journal; [`LocalStore::compact`] puts a new snapshot in its place and then a new, empty journal, in this
//! order. So a reader who reads the journal first and the snapshot after it has a snapshot that is at least as new as what the journal
//! continues, at whatever point a writer is or was stopped.

mod versions;

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, MAX_BYTES};
use super::error::legible;
pub use super::error::{Holder, StoreError};
use super::{Record, State, StateError, file, journal};
use versions::MOVED;
pub use versions::{MOST_VERSIONS, moved_back, read_version, versions, was_moved};

/// Length in bytes beyond which a journal is not let grow: a new snapshot is made first.
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Times that a reader looks again when a writer may have changed a file while it was read.
const LOOKS: usize = 8;

/// What is where a state is to be, with the lock taken.
#[expect(clippy::large_enum_variant, reason = "there is one of it, and it is taken apart at once")]
pub enum Opened {
    /// Nothing was ever recorded.
    Nothing(Vacant),
    /// A state.
    Recorded(LocalStore),
}

/// A place for a state, locked, where none is.
pub struct Vacant {
    files: Files,
}

/// A state that can be changed.
pub struct LocalStore {
    files: Files,
    /// What is durable.
    durable: State,
    /// Equal to it but while records are on their way. Both take every record, so that a failure needs no copy of the whole beforehand.
    ahead: State,
    journal: Journal,
    failed: Option<StoreError>,
    torn_bytes: u64,
}

/// What is to be done with the journal before the next record is appended.
#[derive(Clone, Copy, Debug)]
enum Journal {
    /// There is none, or the snapshot has taken over all that it says: a new one takes its place.
    Stale,
    /// It has this many good bytes, and others behind them up to this length.
    Torn(u64, u64),
    /// It has this many bytes.
    Closed(u64),
    /// It has this many bytes, and is ready.
    Ready(u64),
}

struct Files {
    disk: Box<dyn Disk>,
    snapshot: PathBuf,
    journal: PathBuf,
    name: String,
}

/// The state at a path as last recorded, without the lock: a state that was recorded at some moment while this looked. `None` if none
/// ever was. `name` is the path as the user named it.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(disk: &mut dyn Disk, path: &Path, name: &str) -> Result<Option<State>, StateError> {
    let mut last = None;
    for _ in 0..LOOKS {
        let content = Content::read(disk, path, name)?;
        match content.replay(name) {
            Ok((state, _)) => return Ok(state),
            // Twice the same: nobody is writing, so that it is as it is.
            Err(error) if last.as_ref().is_some_and(|(before, _)| *before == content) => return Err(error),
            Err(error) => last = Some((content, error)),
        }
    }
    last.map_or(Ok(None), |(_, error)| Err(error))
}

/// The bytes of a journal and of a snapshot that was read after it.
#[derive(PartialEq, Eq)]
struct Content {
    journal: Option<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
}

impl Content {
    fn read(disk: &mut dyn Disk, path: &Path, name: &str) -> Result<Self, StateError> {
        let mut get = |path: &Path, name: &str| {
            disk.read(path).map_err(|e| StateError {
                name: name.to_owned(),
                place: None,
                message: format!("it cannot be read: {e}"),
                help: Some("name a state file, and check its permissions".to_owned()),
            })
        };
        // In this order: see above.
        let journal = get(&beside(path, "journal"), &format!("{name}.journal"))?;
        let snapshot = get(path, name)?;
        Ok(Content { journal, snapshot })
    }

    fn replay(&self, name: &str) -> Result<(Option<State>, Option<journal::Replayed>), StateError> {
        let snapshot = self.snapshot.as_ref().map(|bytes| decode(name, bytes)).transpose()?;
        let Some(bytes) = &self.journal else {
            return Ok((snapshot, None));
        };
        let mut replayed = journal::replay(&format!("{name}.journal"), bytes, snapshot)?;
        Ok((replayed.state.take(), Some(replayed)))
    }
}

fn decode(name: &str, bytes: &[u8]) -> Result<State, StateError> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let column = String::from_utf8_lossy(before.get(line_start..).unwrap_or_default()).chars().count();
        let line = before.iter().filter(|b| **b == b'\n').count();
        StateError {
            name: name.to_owned(),
            place: Some((line + 1, column + 1)),
            message: "it is not UTF-8 text".to_owned(),
            help: Some("restore it from a copy".to_owned()),
        }
    })?;
    file::decode(name, text.trim_start_matches('\u{feff}'))
}

/// `PATH.suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

impl LocalStore {
    /// Takes the lock of the state at a path and reads it; changes nothing. `name` is the path as the user named it.
    ///
    /// # Errors
    /// Another process has the lock, or what is there cannot be read.
    pub fn open(
        mut disk: Box<dyn Disk>,
        path: &Path,
        name: &str,
        holder: &Holder,
    ) -> Result<Opened, StoreError> {
        let lock = beside(path, "lock");
        let who = format!("{}\n", holder.describe());
        let taken = disk.lock(&lock, who.as_bytes()).map_err(|e| StoreError::Disk {
            name: format!("{name}.lock"),
            what: "take the lock",
            reason: e.to_string(),
            help: "check that its folder is there and can be written to",
        })?;
        if !taken {
            // Not to be had where a lock also forbids to read.
            let holder = disk.read(&lock).ok().flatten().unwrap_or_default();
            return Err(StoreError::Locked {
                name: name.to_owned(),
                holder: legible(&String::from_utf8_lossy(&holder)),
            });
        }
        let content = Content::read(&mut *disk, path, name)?;
        let (state, replayed) = content.replay(name)?;
        let files = Files {
            disk,
            snapshot: path.to_owned(),
            journal: beside(path, "journal"),
            name: name.to_owned(),
        };
        let Some(durable) = state else {
            return Ok(Opened::Nothing(Vacant { files }));
        };
        let journal = match &replayed {
            Some(r) if r.records > 0 || r.base == Some(durable.serial) => match r.torn_bytes {
                0 => Journal::Closed(r.good_bytes),
                torn => Journal::Torn(r.good_bytes, r.good_bytes + torn),
            },
            _ => Journal::Stale,
        };
        let torn_bytes = replayed.map_or(0, |r| r.torn_bytes);
        let ahead = durable.clone();
        Ok(Opened::Recorded(LocalStore { files, durable, ahead, journal, failed: None, torn_bytes }))
    }

    /// What is recorded. What was appended through this store is durable; what was found is made so by the first append or compaction.
    pub fn state(&self) -> &State {
        &self.durable
    }

    /// Bytes that a write that was cut off had left behind the journal when it was opened.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Records changes, in one write and one sync. They are durable when it returns, all of them.
    ///
    /// # Errors
    /// A record does not fit: nothing was written, and the store goes on. Or the disk failed: some first ones of the records may be
    /// found recorded when the state is opened again, the state here is that before, and every later change fails with the same error.
    /// Or they would make the journal larger than can be read, 256 MiB: nothing was written, and the store goes on.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.sound()?;
        let mut lines = String::new();
        for record in records {
            if let Err(e) = self.ahead.take(record) {
                self.ahead = self.durable.clone();
                return Err(self.refused(&e));
            }
            let first = self.durable.serial + 1;
            lines.push_str(&journal::encode_grouped(first, self.ahead.serial, record));
        }
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(e) = self.make_room(lines.len() as u64) {
            self.ahead = self.durable.clone();
            return Err(e);
        }
        self.write(lines.as_bytes()).map_err(|e| self.fail(e))?;
        for record in records {
            // It was taken once already, by an equal state.
            self.durable.take(record).map_err(|e| self.refused(&e)).map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    /// Puts what is recorded into a new snapshot and begins a new journal behind it.
    ///
    /// # Errors
    /// The disk failed. What is recorded is still so; the store goes on unless it is not known which journal is in place.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.sound()?;
        let text = file::encode(&self.durable);
        if text.len() as u64 > MAX_BYTES {
            let reason = format!("it would be larger than {} MiB", MAX_BYTES / 1024 / 1024);
            return Err(self.files.error(false, "write a snapshot", &io::Error::other(reason)));
        }
        if !matches!(self.journal, Journal::Stale) {
            // What another has written would be gone with the journal.
            self.prepare().map_err(|e| self.fail(e))?;
        }
        self.files.stage(false, text.as_bytes())?;
        self.files.place(false)?;
        self.begin_journal()
    }

    /// Ends it: what was recorded is somewhere else from now on, and is kept here as `PATH.moved`.
    ///
    /// # Errors
    /// The disk failed: it is still recorded here, or not any more; nothing is lost.
    pub fn retire(mut self) -> Result<(), StoreError> {
        self.compact()?;
        let Files { disk, snapshot, journal, .. } = &mut self.files;
        // The journal first: without it the snapshot says all of it.
        let gone = disk.remove(journal).and_then(|()| disk.sync_folder(journal));
        let gone = gone.and_then(|()| disk.rename(snapshot, &beside(snapshot, MOVED)));
        let gone = gone.and_then(|()| disk.sync_folder(snapshot));
        gone.map_err(|e| self.files.error(false, "retire it", &e))
    }

    /// An empty journal behind what is recorded takes the place of the one that is there.
    fn begin_journal(&mut self) -> Result<(), StoreError> {
        let state = &self.durable;
        let header = journal::encode_header(&state.lineage, state.simulated, state.serial);
        self.files.stage(true, header.as_bytes())?;
        // From here on it is not known which of the two is in place, and what is appended to the other would be lost.
        self.files.place(true).map_err(|e| self.fail(e))?;
        self.journal = Journal::Closed(header.len() as u64);
        Ok(())
    }

    /// Makes the journal ready, and sees that nobody else has written to it; its length in bytes.
    fn prepare(&mut self) -> Result<u64, StoreError> {
        if matches!(self.journal, Journal::Stale) {
            self.begin_journal()?;
        }
        let files = &mut self.files;
        let (good, length) = match self.journal {
            Journal::Torn(good, length) => (good, length),
            Journal::Closed(good) | Journal::Ready(good) => (good, good),
            Journal::Stale => (0, 0),
        };
        let found = match self.journal {
            Journal::Ready(_) => files.disk.length(&files.journal),
            _ => files.disk.open(&files.journal),
        };
        if found.map_err(|e| files.error(true, "open it", &e))? != length {
            return Err(StoreError::Overtaken { name: format!("{}.journal", files.name) });
        }
        if length > good {
            files.cut(good).map_err(|e| files.error(true, "cut off a torn write", &e))?;
        } else if !matches!(self.journal, Journal::Ready(_)) {
            // A process that was killed may have left lines that it had not synced: what follows them may not be durable before them.
            files.disk.sync(&files.journal).map_err(|e| files.error(true, "sync it", &e))?;
        }
        self.journal = Journal::Ready(good);
        Ok(good)
    }

    /// A journal can grow by so many bytes and still be read.
    fn make_room(&mut self, bytes: u64) -> Result<(), StoreError> {
        let length = match self.journal {
            Journal::Stale => 0,
            Journal::Torn(good, _) | Journal::Closed(good) | Journal::Ready(good) => good,
        };
        if length > MAX_JOURNAL_BYTES {
            self.compact()?;
        }
        if bytes > MAX_BYTES - MAX_JOURNAL_BYTES {
            let reason = format!("it would be larger than {} MiB", MAX_BYTES / 1024 / 1024);
            return Err(self.files.error(true, "append to it", &io::Error::other(reason)));
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), StoreError> {
        let good = self.prepare()?;
        let files = &mut self.files;
        let written = files.disk.append(&files.journal, lines);
        let written = written.and_then(|()| files.disk.sync(&files.journal));
        if let Err(e) = written {
            let error = files.error(true, "append to it", &e);
            // Nobody was told that it is recorded. If this fails too, the next who opens it finds whole lines or cuts them off.
            let _ = files.cut(good);
            return Err(error);
        }
        self.journal = Journal::Ready(good + lines.len() as u64);
        Ok(())
    }

    fn sound(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Every later change fails with this error: what the disk holds is not known.
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.ahead = self.durable.clone();
        self.failed.get_or_insert(error).clone()
    }

    fn refused(&self, error: &super::RecordError) -> StoreError {
        StoreError::Refused { name: self.files.name.clone(), reason: error.to_string() }
    }
}

impl Vacant {
    /// Records a state of nothing, of serial 0.
    ///
    /// # Errors
    /// The disk failed; it may be found recorded when the place is opened again.
    pub fn create(self, lineage: String, simulated: bool) -> Result<LocalStore, StoreError> {
        self.put(State::new(lineage, simulated))
    }

    /// Records a state that was recorded elsewhere until now.
    ///
    /// # Errors
    /// As of [`Vacant::create`].
    pub fn put(self, state: State) -> Result<LocalStore, StoreError> {
        let begins = state.serial == 0;
        let mut store = LocalStore {
            files: self.files,
            durable: state.clone(),
            ahead: state,
            journal: Journal::Stale,
            failed: None,
            torn_bytes: 0,
        };
        if begins {
            store.begin_journal()?
        } else {
            store.compact()?
        }
        Ok(store)
    }
}

impl Files {
    fn path(&self, journal: bool) -> &Path {
        if journal { &self.journal } else { &self.snapshot }
    }

    fn error(&self, journal: bool, what: &'static str, error: &io::Error) -> StoreError {
        let help = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make space and start again",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "check its permissions",
            _ => "check the disk and start again",
        };
        let name = if journal { format!("{}.journal", self.name) } else { self.name.clone() };
        StoreError::Disk { name, what, reason: error.to_string(), help }
    }

    /// Writes what is to take the place of a file, durably.
    fn stage(&mut self, journal: bool, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = beside(self.path(journal), "tmp");
        let made = self.disk.make(&temporary, bytes).and_then(|()| self.disk.sync(&temporary));
        made.map_err(|e| {
            // What is left of it is in nobody's way: the next one takes its name.
            let _ = self.disk.remove(&temporary);
            self.error(journal, "write beside it", &e)
        })
    }

    /// Lets what was staged take its place, durably.
    fn place(&mut self, journal: bool) -> Result<(), StoreError> {
        let to = self.path(journal).to_owned();
        let placed = self.disk.rename(&beside(&to, "tmp"), &to).and_then(|()| self.disk.sync_folder(&to));
        placed.map_err(|e| self.error(journal, "replace it", &e))
    }

    /// Cuts the journal to a length in bytes, durably.
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.truncate(&self.journal, length)?;
        self.disk.sync(&self.journal)
    }
}
