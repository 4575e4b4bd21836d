//! A state whose head was removed: the versions and the log say all that it said.

use super::keeping::numbered;
use super::objects::Only;
use super::reading::{HEAD, LOG, VERSIONS, decode, head, log_key, sha256, version_key};
use super::requests::{Put, Remote};
use super::store::refused_put;
use super::text::{Entrance, Head, damage};
use crate::state::{State, StoreError};

/// Puts the head back: of the latest version, and the entries of the log that continue it. `false` if it is there, or if nothing ever was.
///
/// Of what is recorded nothing is lost: entries from the latest version on are never removed, nor any fence. Where nothing continues
/// the version, nobody knows at which number the last writer would go on, as entries in front of a version may have been removed; each of
/// them made the serial grow. So every number that it may believe to be free gets a fence, and the log goes on behind these. Who calls
/// this has the lease.
pub(super) async fn put_back(remote: &Remote) -> Result<bool, StoreError> {
    if head(remote).await?.is_some() {
        return Ok(false);
    }
    let entries = numbered(remote, LOG).await?;
    let version = match numbered(remote, VERSIONS).await?.last() {
        None => None,
        Some((serial, ..)) => {
            let key = version_key(*serial);
            let gone = || damage(remote.name_of(&key), None, "it is gone; it was there a moment ago");
            let object = remote.get(&key).await?.ok_or_else(gone)?;
            Some((decode(remote, &key, &object)?, sha256(&object.bytes)))
        }
    };
    let serial = version.as_ref().map_or(0, |(state, _)| state.serial);
    // The entries that continue it, the last one first; then the one in front of them.
    let (mut first, mut before) = (None, None);
    for (number, ..) in entries.iter().rev() {
        let key = log_key(*number);
        let Some(object) = remote.get(&key).await? else { continue };
        let (entry, records) = Entrance::decode(remote, &key, &object)?;
        if entry.serial < serial {
            before = Some(entry);
            break;
        }
        first = Some((entry, records.is_empty()));
    }
    let (state, digest) = match (version, &first) {
        (Some(version), _) => version,
        (None, Some((entry, _))) => (State::new(entry.lineage.clone(), entry.simulated), sha256(b"")),
        (None, None) => return Ok(false),
    };
    let (next, fence, writer) = match (first, before) {
        // Its own fence comes with it.
        (Some((entry, true)), _) => (entry.number, entry.fence.saturating_sub(1), String::new()),
        (Some((entry, false)), _) => (entry.number, entry.fence, entry.writer),
        (None, before) => {
            let (last, reached, fence, writer) =
                before.map_or((0, 0, 0, String::new()), |e| (e.number, e.serial, e.fence, e.writer));
            let next = last.saturating_add(serial - reached).saturating_add(1);
            for number in last + 1..=next {
                let entry = Entrance::new(&state, number, fence, &writer);
                let key = log_key(number);
                if let Put::Found(None) =
                    remote.put(&key, entry.encode(&[]).as_bytes(), &Only::Absent).await?
                {
                    return Err(refused_put(remote, &key));
                }
            }
            (next + 1, fence, writer)
        }
    };
    let head = Head::new(&state, digest, next, fence, &writer);
    match remote.put(HEAD, head.encode().as_bytes(), &Only::Absent).await? {
        Put::Done(_) => Ok(true),
        // Somebody else, or the store itself, was quicker.
        Put::Found(_) => Ok(false),
    }
}
