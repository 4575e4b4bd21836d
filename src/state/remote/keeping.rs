//! What is recorded and was before, for readers, who need no lease; and what of it is kept.

use super::reading::{LOG, Reading, VERSIONS, decode, head, log_key, version_key};
use super::requests::Remote;
use super::text::{Entrance, damage};
use super::worker::Worker;
use crate::state::{State, StoreError};

/// Milliseconds for which nothing is removed: whoever began to read before then has ended.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// A state that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its serial.
    pub serial: u64,
    /// When it was put by the store's clock, milliseconds since 1970.
    pub at: i64,
    /// The bytes of its text.
    pub bytes: u64,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Versions.
    pub versions: usize,
    /// Entries of the log.
    pub entries: usize,
}

/// The state as last recorded, without the lease: one that was recorded at some moment while this looked. `None` if none ever was.
///
/// # Errors
/// It is there and cannot be read, or the store does not answer.
pub fn read(remote: &Remote) -> Result<Option<State>, StoreError> {
    let remote = remote.clone();
    let worker = Worker::start(remote.name())?;
    worker.call(async move { Ok(Reading::read(&remote).await?.map(|reading| reading.state)) })
}

/// The versions that are kept, by serial. What was recorded since the last one is in the log, and no version yet.
///
/// # Errors
/// The store does not answer.
pub fn versions(remote: &Remote) -> Result<Vec<Version>, StoreError> {
    let remote = remote.clone();
    let worker = Worker::start(remote.name())?;
    worker.call(async move { listed(&remote).await })
}

/// The state of a version; `None` if it is not kept.
///
/// # Errors
/// It is there and cannot be read, or the store does not answer.
pub fn read_version(remote: &Remote, serial: u64) -> Result<Option<State>, StoreError> {
    let remote = remote.clone();
    let worker = Worker::start(remote.name())?;
    worker.call(async move {
        let key = version_key(serial);
        let Some(object) = remote.get(&key).await? else { return Ok(None) };
        let state = decode(&remote, &key, &object)?;
        if state.serial != serial {
            let message = format!("it is of serial {}", state.serial);
            return Err(damage(remote.name_of(&key), None, message).into());
        }
        Ok(Some(state))
    })
}

/// Removes all but the newest `keep` versions, and the entries of the log in front of the head; neither that version which the head names,
/// nor what is less than 24 hours old by the store's clock, nor any fence: who was paused finds it, however much later. It needs no lease.
///
/// # Errors
/// The store does not answer, or what is there cannot be read. Some may be removed then.
pub fn prune(remote: &Remote, keep: usize) -> Result<Pruned, StoreError> {
    let remote = remote.clone();
    let worker = Worker::start(remote.name())?;
    worker.call(async move {
        let mut pruned = Pruned::default();
        // The head first: it only moves on, so that what is in front of it now is in front of it for good.
        let Some((head, _)) = head(&remote).await? else { return Ok(pruned) };
        let old = remote.now("prune").await?.saturating_sub(KEPT_MS);
        let versions = listed(&remote).await?;
        let too_many = versions.len().saturating_sub(keep);
        for version in versions.iter().take(too_many) {
            if version.at < old && version.serial < head.serial {
                remote.delete(&version_key(version.serial)).await?;
                pruned.versions += 1;
            }
        }
        for (number, at, _) in numbered(&remote, LOG).await? {
            let key = log_key(number);
            if at >= old || number >= head.next {
                continue;
            }
            let Some(object) = remote.get(&key).await? else { continue };
            if !Entrance::decode(&remote, &key, &object)?.1.is_empty() {
                remote.delete(&key).await?;
                pruned.entries += 1;
            }
        }
        Ok(pruned)
    })
}

async fn listed(remote: &Remote) -> Result<Vec<Version>, StoreError> {
    let of = |(serial, at, bytes)| Version { serial, at, bytes };
    Ok(numbered(remote, VERSIONS).await?.into_iter().map(of).collect())
}

/// The objects of a folder by number: number, time, bytes. What has no number is not ours.
pub(super) async fn numbered(remote: &Remote, folder: &str) -> Result<Vec<(u64, i64, u64)>, StoreError> {
    let listed = remote.list(folder).await?;
    let number = |key: &str| key.rsplit('/').next()?.parse().ok();
    let mut all: Vec<(u64, i64, u64)> =
        listed.iter().filter_map(|l| Some((number(&l.key)?, l.at, l.size))).collect();
    all.sort_unstable();
    Ok(all)
}
