//! The state in a local file.

use std::path::{Path, PathBuf};

use super::{Failure, Settings};
use crate::spec::Spec;
use crate::state::disk::{Disk, RealDisk};
#[cfg(debug_assertions)]
use crate::state::faulty::{Fault, FaultyDisk, Moment};
use crate::state::{State, StateError, StateStore, local};

/// A state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalState {
    /// Where it is.
    pub path: PathBuf,
    /// As the user named it.
    pub name: String,
}

impl LocalState {
    /// The file of a path as the user wrote it, relative to the working folder.
    pub fn named(path: &Path, settings: &Settings) -> Self {
        LocalState { path: settings.dir.join(path), name: path.to_string_lossy().into_owned() }
    }

    /// The file that `--state` names, relative to the working folder, or else `state.path` of the spec,
    /// relative to the spec's folder.
    pub fn of(named: Option<&Path>, spec: &Spec, folder: &Path, settings: &Settings) -> Self {
        match named {
            Some(path) => LocalState::named(path, settings),
            None => LocalState { path: folder.join(&spec.state.path), name: spec.state.path.clone() },
        }
    }
}

impl StateStore for LocalState {
    fn read(&self) -> Result<Option<State>, StateError> {
        local::read(&mut RealDisk::new(), &self.path, &self.name)
    }
}

/// The disk that states are written to.
///
/// In a build with debug assertions, `RHUMB_DISK_FAULT=N:KIND` makes the Nth file operation of it fail, so that tests can end a real process
/// between any two of them: `abort-before`, `abort-half`, `abort-after`, `no-space`, `device`, `short`, `rename`.
///
/// # Errors
/// The variable is set and says nothing that is known.
pub fn disk() -> Result<Box<dyn Disk>, Failure> {
    let real = RealDisk::new();
    #[cfg(debug_assertions)]
    if let Some(text) = std::env::var("RHUMB_DISK_FAULT").ok().filter(|text| !text.is_empty()) {
        let (at, fault) =
            fault(&text).ok_or_else(|| Failure::usage(format!("RHUMB_DISK_FAULT={text}: unknown")))?;
        return Ok(Box::new(FaultyDisk::new(real, at, fault)));
    }
    Ok(Box::new(real))
}

#[cfg(debug_assertions)]
fn fault(text: &str) -> Option<(u64, Fault)> {
    let (at, kind) = text.split_once(':')?;
    let fault = match kind {
        "abort-before" => Fault::Abort(Moment::Before),
        "abort-half" => Fault::Abort(Moment::Half),
        "abort-after" => Fault::Abort(Moment::After),
        "no-space" => Fault::NoSpace,
        "device" => Fault::Device,
        "short" => Fault::Short,
        "rename" => Fault::Rename,
        _ => return None,
    };
    Some((at.parse().ok()?, fault))
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure::error(error.to_string())
    }
}
