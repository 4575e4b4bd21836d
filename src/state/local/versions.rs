//! A local state as it was at the end of earlier applies: `PATH.version-SERIAL` beside it, each a whole state file.

use std::io;
use std::path::{Path, PathBuf};

use super::{LocalStore, beside, decode};
use crate::state::disk::Disk;
use crate::state::{State, StateError, StoreError, file};

/// Versions that are kept; with one more, the oldest goes.
pub const MOST_VERSIONS: usize = 20;

const SUFFIX: &str = "version-";

/// What is behind the name of a file whose state is recorded elsewhere by now.
pub(super) const MOVED: &str = "moved";

/// Whether the state at a path was moved to another place ([`LocalStore::retire`]).
///
/// # Errors
/// Its folder cannot be read.
pub fn was_moved(disk: &mut dyn Disk, path: &Path) -> io::Result<bool> {
    let moved = beside(path, MOVED);
    Ok(disk.beside(path)?.iter().any(|name| moved.file_name().is_some_and(|own| own == name.as_str())))
}

impl LocalStore {
    /// Keeps what is recorded as a version.
    ///
    /// # Errors
    /// The disk failed. What is recorded is still so, and the version is there as a whole or not at all.
    pub fn keep(&mut self) -> Result<(), StoreError> {
        self.sound()?;
        let text = file::encode(&self.durable);
        let files = &mut self.files;
        let version = at(&files.snapshot, self.durable.serial);
        let temporary = beside(&files.snapshot, "version.tmp");
        let kept = put(&mut *files.disk, &temporary, &version, text.as_bytes());
        kept.map_err(|e| files.error(false, "keep a version of it", &e))?;
        let all = serials(&mut *files.disk, &files.snapshot)
            .map_err(|e| files.error(false, "list its versions", &e))?;
        let too_many = all.len().saturating_sub(MOST_VERSIONS);
        for serial in all.into_iter().take(too_many) {
            let gone = files.disk.remove(&at(&files.snapshot, serial));
            gone.map_err(|e| files.error(false, "remove an old version of it", &e))?;
        }
        Ok(())
    }
}

fn put(disk: &mut dyn Disk, temporary: &Path, version: &Path, bytes: &[u8]) -> io::Result<()> {
    let made = disk.make(temporary, bytes).and_then(|()| disk.sync(temporary));
    let placed = made.and_then(|()| disk.rename(temporary, version));
    if placed.is_err() {
        let _ = disk.remove(temporary);
    }
    placed.and_then(|()| disk.sync_folder(version))
}

fn at(path: &Path, serial: u64) -> PathBuf {
    beside(path, &format!("{SUFFIX}{serial}"))
}

/// Serials of the versions that are there, ascending.
fn serials(disk: &mut dyn Disk, path: &Path) -> io::Result<Vec<u64>> {
    let own = format!("{}.{SUFFIX}", path.file_name().unwrap_or_default().to_string_lossy());
    let names = disk.beside(path)?;
    let mut all: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix(&own)?.parse().ok()).collect();
    all.sort_unstable();
    Ok(all)
}

/// Puts what [`was_moved`] sees out of the way, once something is recorded at the path again: `PATH.moved-SERIAL` is nothing but a copy.
///
/// # Errors
/// Those of the operating system.
pub fn moved_back(disk: &mut dyn Disk, path: &Path, serial: u64) -> io::Result<()> {
    if !was_moved(disk, path)? {
        return Ok(());
    }
    disk.rename(&beside(path, MOVED), &beside(path, &format!("{MOVED}-{serial}")))?;
    disk.sync_folder(path)
}

/// The serials of the versions that are kept of the state at a path, ascending. `name` is the path as the user named it.
///
/// # Errors
/// Its folder cannot be read.
pub fn versions(disk: &mut dyn Disk, path: &Path, name: &str) -> Result<Vec<u64>, StateError> {
    serials(disk, path).map_err(|e| unreadable(name, &e))
}

/// The state at a path as it was at a serial; `None` if that version is not kept.
///
/// # Errors
/// It is there and cannot be read.
pub fn read_version(
    disk: &mut dyn Disk,
    path: &Path,
    name: &str,
    serial: u64,
) -> Result<Option<State>, StateError> {
    let own = format!("{name}.{SUFFIX}{serial}");
    let bytes = disk.read(&at(path, serial)).map_err(|e| unreadable(&own, &e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let state = decode(&own, &bytes)?;
    if state.serial != serial {
        let message = format!("it is of serial {}", state.serial);
        return Err(StateError { name: own, place: None, message, help: Some("it was renamed".to_owned()) });
    }
    Ok(Some(state))
}

fn unreadable(name: &str, error: &io::Error) -> StateError {
    StateError {
        name: name.to_owned(),
        place: None,
        message: format!("it cannot be read: {error}"),
        help: Some("check its permissions".to_owned()),
    }
}
