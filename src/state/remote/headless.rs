//! A state whose head was removed: the versions and the log say all that it said.

use super::keeping::numbered;
use super::objects::Only;
use super::reading::{HEAD, LOG, LOOKS, VERSIONS, decode, head, log_key, sha256, version_key};
use super::requests::{Put, Remote};
use super::store::refused_put;
use super::text::{Entrance, Head, damage};
use crate::state::{State, StoreError};

/// Puts the head back: of the latest version, and the entries of the log that continue it. `false` if it is there, or if nothing ever was.
///
/// Of what is recorded nothing is lost: entries from the latest version on are never removed, nor any fence. Where nothing continues
/// the version, nobody knows at which number the last writer would go on, as entries in front of a version may have been removed; each of
/// them made the serial grow. So every number that it may believe to be free gets a fence, and the log goes on behind these; where it was
/// quicker, what it wrote continues the version. Cut off anywhere, the same is done again. Who calls this has the lease.
pub(super) async fn put_back(remote: &Remote) -> Result<bool, StoreError> {
    for _ in 0..LOOKS {
        if head(remote).await?.is_some() {
            return Ok(false);
        }
        let Some(log) = Log::read(remote).await? else { return Ok(false) };
        let (next, fence, writer) = match &log.first {
            Some(entry) => (entry.number, entry.fence, entry.writer.as_str()),
            None => match log.fenced(remote).await? {
                Some((next, fence)) => (next, fence, ""),
                None => continue,
            },
        };
        let head = Head::new(&log.state, log.sha256, next, fence, writer);
        match remote.put(HEAD, head.encode().as_bytes(), &Only::Absent).await? {
            Put::Done(_) => return Ok(true),
            // Somebody else, or the store itself, was quicker.
            Put::Found(_) => return Ok(false),
        }
    }
    Err(refused_put(remote, HEAD))
}

/// The latest version, and what of the log matters to it.
struct Log {
    state: State,
    sha256: String,
    /// The first entry with records that continue it.
    first: Option<Entrance>,
    /// The last entry in front of it that is there: its number, and the serial that it continues.
    before: (u64, u64),
    /// The last number, and the greatest fence.
    last: u64,
    fence: u64,
}

impl Log {
    /// `None` if nothing ever was.
    async fn read(remote: &Remote) -> Result<Option<Self>, StoreError> {
        let entries = numbered(remote, LOG).await?;
        let mut version = None;
        if let Some((serial, ..)) = numbered(remote, VERSIONS).await?.last() {
            let key = version_key(*serial);
            let gone = || damage(remote.name_of(&key), None, "it is gone; it was there a moment ago");
            let object = remote.get(&key).await?.ok_or_else(gone)?;
            version = Some((decode(remote, &key, &object)?, sha256(&object.bytes)));
        }
        let serial = version.as_ref().map_or(0, |(state, _)| state.serial);
        let (mut first, mut any, mut before, mut fence) = (None, None, (0, 0), 0);
        for (number, ..) in entries.iter().rev() {
            let key = log_key(*number);
            let Some(object) = remote.get(&key).await? else { continue };
            let (entry, records) = Entrance::decode(remote, &key, &object)?;
            fence = entry.fence.max(fence);
            any = Some((entry.lineage.clone(), entry.simulated));
            if entry.serial < serial {
                before = (entry.number, entry.serial);
                break;
            }
            if !records.is_empty() {
                first = Some(entry);
            }
        }
        let of_nothing = || any.map(|(lineage, simulated)| (State::new(lineage, simulated), sha256(b"")));
        let Some((state, sha256)) = version.or_else(of_nothing) else { return Ok(None) };
        let last = entries.last().map_or(0, |(number, ..)| *number);
        Ok(Some(Log { state, sha256, first, before, last, fence }))
    }

    /// Puts a fence at every number at which the last writer may go on; where the log goes on then, and the last fence. `None` if it has
    /// written something meanwhile.
    async fn fenced(&self, remote: &Remote) -> Result<Option<(u64, u64)>, StoreError> {
        let (at, reached) = self.before;
        let end = at.saturating_add(self.state.serial.saturating_sub(reached)).saturating_add(1);
        let mut fence = self.fence;
        for number in at + 1..=end {
            let key = log_key(number);
            let entry = Entrance::new(&self.state, number, fence + 1, "");
            match remote.put(&key, entry.encode(&[]).as_bytes(), &Only::Absent).await? {
                Put::Done(_) => fence += 1,
                Put::Found(None) => return Err(refused_put(remote, &key)),
                Put::Found(Some(found)) if Entrance::decode(remote, &key, &found)?.1.is_empty() => {}
                Put::Found(Some(_)) => return Ok(None),
            }
        }
        Ok(Some((end.max(self.last) + 1, fence)))
    }
}
