//! What exists, as last recorded. Format version 1 is defined in [`mod@file`]; this is the working type.

pub mod file;

use std::collections::BTreeMap;
use std::fmt;

use rhumb_api::{Resource, ResourceAddr};
use sha2::{Digest, Sha256};

/// Everything that a deployment owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Made once per deployment; two states of one lineage are comparable.
    pub lineage: String,
    /// Grows by one with every change.
    pub serial: u64,
    /// What exists.
    pub resources: BTreeMap<ResourceAddr, StateResource>,
}

/// One thing that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateResource {
    /// As it was made.
    pub resource: Resource,
    /// The cloud's own id for it.
    pub id: Option<String>,
    /// What must exist as long as it does.
    pub depends_on: Vec<ResourceAddr>,
}

impl State {
    /// SHA-256 of [`file::encode`], lower-case hexadecimal: equal for equal states, however their files
    /// were written.
    pub fn digest(&self) -> String {
        Sha256::digest(file::encode(self).as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Where states are kept.
pub trait StateStore {
    /// The state as last recorded; `None` if none ever was.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self) -> Result<Option<State>, StateError>;
}

/// Why a state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    /// The file, as the user named it.
    pub name: String,
    /// Line and column, counted from 1, if it is about a place in the text.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl std::error::Error for StateError {}
