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
