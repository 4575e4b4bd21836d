//! What is recorded: the version that the head names, and the entries of the log that continue it.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::objects::{Object, Tag};
use super::requests::Remote;
use super::text::{Entrance, Head, damage};
use crate::state::{State, StateError, StoreError, file};

/// The object that says where to begin.
pub(super) const HEAD: &str = "head";

/// Folder of the entries of the log.
pub(super) const LOG: &str = "log";

/// Folder of the versions.
pub(super) const VERSIONS: &str = "versions";

/// Entries that are asked for at a time.
const AHEAD: usize = 8;

/// Times that a reader begins again because what it reads is being removed.
pub(super) const LOOKS: usize = 8;

/// The key of an entry of the log.
pub(super) fn log_key(number: u64) -> String {
    format!("{LOG}/{number:020}")
}

/// The key of a version.
pub(super) fn version_key(serial: u64) -> String {
    format!("{VERSIONS}/{serial:020}")
}

/// SHA-256 of a text, lower-case hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A state, and where the log goes on behind it.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) state: State,
    /// The number of the next entry.
    pub(super) next: u64,
    /// The last fence.
    pub(super) fence: u64,
    /// Who made it.
    pub(super) writer: String,
    pub(super) head: Head,
    pub(super) head_tag: Tag,
    /// Bytes of the entries since the version.
    pub(super) log_bytes: u64,
}

impl Reading {
    /// What is recorded now; `None` if nothing ever was.
    pub(super) async fn read(remote: &Remote) -> Result<Option<Self>, StoreError> {
        let mut wrong = "";
        for _ in 0..LOOKS {
            let Some((head, head_tag)) = head(remote).await? else {
                if vacant(remote).await? {
                    return Ok(None);
                }
                // Or it was made just now.
                wrong = "it is not there, and a log or versions beside it are: `rhumb state restore` puts it back";
                continue;
            };
            wrong = "it names a version or an entry of the log that is not there";
            let Some(state) = version_of(remote, &head).await? else { continue };
            let mut reading = Reading {
                state,
                next: head.next,
                fence: head.fence,
                writer: head.writer.clone(),
                head,
                head_tag,
                log_bytes: 0,
            };
            reading.follow(remote).await?;
            // An entry that is not there ends the log only if it was not removed: those in front of the head are.
            if reading.look_at_head(remote).await? {
                return Ok(Some(reading));
            }
        }
        Err(damage(remote.name_of(HEAD), None, wrong).into())
    }

    /// Reads the head again; `false` if it is beyond what was read.
    pub(super) async fn look_at_head(&mut self, remote: &Remote) -> Result<bool, StoreError> {
        let Some((head, tag)) = head(remote).await? else {
            let message = "it is gone; it was there a moment ago";
            return Err(damage(remote.name_of(HEAD), None, message).into());
        };
        (self.head, self.head_tag) = (head, tag);
        Ok(self.head.next <= self.next)
    }

    /// Applies the entries of the log up to the first that is not there.
    pub(super) async fn follow(&mut self, remote: &Remote) -> Result<(), StoreError> {
        // Few at first: most often there is none.
        let (mut asked, mut number, mut width) = (VecDeque::new(), self.next, 1);
        loop {
            while asked.len() < width {
                let remote = remote.clone();
                let key = log_key(number);
                asked.push_back(Asked(tokio::spawn(async move { remote.get(&key).await })));
                number += 1;
            }
            let Some(mut first) = asked.pop_front() else { return Ok(()) };
            let got = (&mut first.0).await.map_err(|e| StoreError::Remote {
                name: remote.name_of(&log_key(self.next)),
                what: "read it",
                reason: e.to_string(),
                help: "start again",
            })?;
            let Some(object) = got? else { return Ok(()) };
            self.apply(remote, &object)?;
            width = (width * 2).min(AHEAD);
        }
    }

    /// Applies the next entry of the log.
    pub(super) fn apply(&mut self, remote: &Remote, object: &Object) -> Result<(), StateError> {
        let key = log_key(self.next);
        let (entry, records) = Entrance::decode(remote, &key, object)?;
        let wrong = |message: String| Err(damage(remote.name_of(&key), Some((1, 1)), message));
        if entry.lineage != self.state.lineage || entry.simulated != self.state.simulated {
            return wrong("it is of another deployment than the head".to_owned());
        }
        if entry.number != self.next {
            return wrong(format!("it is entry {} in the place of entry {}", entry.number, self.next));
        }
        if entry.serial != self.state.serial {
            return wrong(format!(
                "it continues serial {}, behind serial {}",
                entry.serial, self.state.serial
            ));
        }
        let fits = match records.is_empty() {
            true => entry.fence > self.fence,
            false => entry.fence == self.fence && entry.writer == self.writer,
        };
        if !fits {
            return wrong(format!("it is behind fence {}, which is not its writer's", self.fence));
        }
        for (record, at) in records.iter().zip(2..) {
            let misfit =
                |e| damage(remote.name_of(&key), Some((at, 1)), format!("its record does not fit: {e}"));
            self.state.take(record).map_err(misfit)?;
        }
        self.next += 1;
        self.fence = entry.fence;
        self.writer = entry.writer;
        self.log_bytes += object.bytes.len() as u64;
        Ok(())
    }
}

/// A request that ends with whoever asked.
struct Asked(JoinHandle<Result<Option<Object>, StoreError>>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn head(remote: &Remote) -> Result<Option<(Head, Tag)>, StoreError> {
    let Some(object) = remote.get(HEAD).await? else { return Ok(None) };
    Ok(Some((Head::decode(remote, HEAD, &object)?, object.tag)))
}

/// Whether nothing was ever recorded: where there is no head, nothing else is either.
async fn vacant(remote: &Remote) -> Result<bool, StoreError> {
    Ok(remote.list(LOG).await?.is_empty() && remote.list(VERSIONS).await?.is_empty())
}

/// The state that a head begins with; `None` if its version is not there (any more).
async fn version_of(remote: &Remote, head: &Head) -> Result<Option<State>, StoreError> {
    if head.serial == 0 {
        return Ok(Some(State::new(head.lineage.clone(), head.simulated)));
    }
    let key = version_key(head.serial);
    let Some(object) = remote.get(&key).await? else { return Ok(None) };
    if sha256(&object.bytes) != head.sha256 {
        let message = "it is not the one that the head names: its SHA-256 differs";
        return Err(damage(remote.name_of(&key), None, message).into());
    }
    let state = decode(remote, &key, &object)?;
    let same = state.lineage == head.lineage && state.simulated == head.simulated;
    if !same || state.serial != head.serial {
        return Err(damage(remote.name_of(&key), None, "it is of another deployment than the head").into());
    }
    Ok(Some(state))
}

/// The state that a version says.
pub(super) fn decode(remote: &Remote, key: &str, object: &Object) -> Result<State, StateError> {
    let name = remote.name_of(key);
    let text = std::str::from_utf8(&object.bytes);
    let text = text.map_err(|_| damage(name.clone(), None, "it is not UTF-8 text"))?;
    file::decode(&name, text)
}
