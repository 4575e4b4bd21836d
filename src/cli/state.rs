//! The state in a local file.

use std::path::{Path, PathBuf};

use super::{Failure, Settings};
use crate::spec::Spec;
use crate::state::{State, StateError, StateStore, file};

/// Largest state file, bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalState {
    /// Where it is.
    pub path: PathBuf,
    /// As the user named it.
    pub name: String,
}

impl LocalState {
    /// The file that `--state` names, relative to the working folder, or else `state.path` of the spec,
    /// relative to the spec's folder.
    pub fn of(named: Option<&Path>, spec: &Spec, folder: &Path, settings: &Settings) -> Self {
        match named {
            Some(path) => {
                LocalState { path: settings.dir.join(path), name: path.to_string_lossy().into_owned() }
            }
            None => LocalState { path: folder.join(&spec.state.path), name: spec.state.path.clone() },
        }
    }
}

impl StateStore for LocalState {
    fn read(&self) -> Result<Option<State>, StateError> {
        let error = |message: String, help: &str| StateError {
            name: self.name.clone(),
            place: None,
            message,
            help: Some(help.to_owned()),
        };
        let metadata = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error(format!("it cannot be read: {e}"), "check its permissions")),
            Ok(metadata) => metadata,
        };
        if !metadata.is_file() {
            return Err(error("it is not a file".to_owned(), "name a state file"));
        }
        if metadata.len() > MAX_BYTES {
            return Err(error(
                format!("it is larger than {} MiB", MAX_BYTES / 1024 / 1024),
                "name a state file",
            ));
        }
        let bytes = std::fs::read(&self.path)
            .map_err(|e| error(format!("it cannot be read: {e}"), "check its permissions"))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| error("it is not UTF-8 text".to_owned(), "restore it from a copy"))?;
        file::decode(&self.name, text.trim_start_matches('\u{feff}')).map(Some)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure::error(error.to_string())
    }
}
