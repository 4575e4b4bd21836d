//! Files: read whole, written atomically.

use std::io::Write;
use std::path::Path;

use super::Failure;

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
    let mut file = builder.tempfile_in(folder).map_err(|e| failed("write here", &e))?;
    file.write_all(content).map_err(|e| failed("write", &e))?;
    file.as_file().sync_all().map_err(|e| failed("write", &e))?;
    file.persist(path).map_err(|e| failed("replace", &e.error))?;
    Ok(())
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
