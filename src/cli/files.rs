//! Files: written atomically, also when the command is interrupted.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Exit, Failure};

/// Temporary files of writes under way.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next Ctrl-C only asks to end.
static GENTLE: AtomicBool = AtomicBool::new(false);
/// It has asked.
static ASKED: AtomicBool = AtomicBool::new(false);

/// While it lives, the first Ctrl-C only makes [`interrupted`] true.
pub(super) struct Gentle(());

/// From now on the next Ctrl-C only asks to end.
pub(super) fn end_gently() -> Gentle {
    ASKED.store(false, Ordering::SeqCst);
    GENTLE.store(true, Ordering::SeqCst);
    Gentle(())
}

impl Drop for Gentle {
    fn drop(&mut self) {
        GENTLE.store(false, Ordering::SeqCst);
    }
}

/// Whether Ctrl-C has asked to end.
pub(super) fn interrupted() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// From now on Ctrl-C removes the temporary files of writes under way and ends the process with
/// [`Exit::Interrupted`], unless it only asks to ([`end_gently`]).
pub(super) fn stop_cleanly_when_interrupted() {
    // Without a handler the process still ends, only without the cleaning.
    let _ = ctrlc::set_handler(|| {
        if GENTLE.swap(false, Ordering::SeqCst) {
            ASKED.store(true, Ordering::SeqCst);
            return;
        }
        // Held to the end, so that no further temporary file appears.
        let paths = unfinished();
        for path in paths.iter() {
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(Exit::Interrupted.code());
    });
}

/// Writes a file so that a reader (or a crash) sees the old content or the new, never a part.
///
/// `mode` is the permission bits of a new file on Unix.
///
/// # Errors
/// The folder is not there or cannot be written.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::error(format!("{}: cannot {what}: {error}", path.display()))
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rhumb-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    // Made and noted under one lock: an interruption between the two would leave the file behind.
    let mut file = {
        let mut paths = unfinished();
        let file = builder.tempfile_in(folder).map_err(|e| failed("write here", &e))?;
        paths.insert(file.path().to_owned());
        file
    };
    let temporary = file.path().to_owned();
    let written = file
        .write_all(content)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|e| failed("write", &e))
        .and_then(|()| file.persist(path).map_err(|e| failed("replace", &e.error)));
    unfinished().remove(&temporary);
    written.map(|_| ())
}

/// Largest text file that is read, bytes.
const MAX_TEXT_BYTES: u64 = 256 * 1024 * 1024;

/// Reads a whole text file.
///
/// # Errors
/// It is not there, is no file, is too large, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::error(format!("{}: {why}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|e| failed(&e))?;
    if !metadata.is_file() {
        return Err(failed(&"it is not a file"));
    }
    if metadata.len() > MAX_TEXT_BYTES {
        return Err(failed(&"it is too large"));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_leaves_the_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("plan.json");
        for text in ["old", "new"] {
            write_atomically(&path, text.as_bytes(), 0o600).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
        // A folder cannot be replaced by a file.
        assert!(write_atomically(folder.path(), b"text", 0o600).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
        assert!(unfinished().iter().all(|p| !p.starts_with(folder.path())));
    }
}
