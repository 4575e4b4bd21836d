//! What stores of a state have in common: who holds one, and why one does not do what it was asked.

use super::StateError;

/// Why a store does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What is recorded cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StateError),
    /// Another process may write to it.
    #[error("{name}: it is in use by {holder}; wait until that has ended")]
    Locked {
        /// The state, as the user named it.
        name: String,
        /// Who has it, as that process says: user and host, process, since when.
        holder: String,
    },
    /// A file operation failed.
    #[error("{name}: cannot {what}: {reason}; {help}")]
    Disk {
        /// The file, as the user named it.
        name: String,
        /// The operation.
        what: &'static str,
        /// In the words of the operating system.
        reason: String,
        /// What to do about it.
        help: &'static str,
    },
    /// A request to a remote store failed.
    #[error("{name}: cannot {what}: {reason}; {help}")]
    Remote {
        /// The object, behind the state as the user named it.
        name: String,
        /// The operation.
        what: &'static str,
        /// In the words of the store, without addresses of requests and without anything that signs them.
        reason: String,
        /// What to do about it.
        help: &'static str,
    },
    /// Someone has written to the journal in spite of the lock, or has taken over a lease that had run out. It is left as it is.
    #[error("{name}: another process has written to it; see that no other is at work and start again")]
    Overtaken {
        /// The journal, as the user named the state.
        name: String,
    },
    /// A record does not fit what is recorded. Nothing was written.
    #[error("{name}: a record does not fit: {reason}")]
    Refused {
        /// The state, as the user named it.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Who takes the lock or the lease, for others to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// User and host, as the environment says.
    pub by: String,
    /// When, RFC 3339, UTC.
    pub at: String,
}

impl Holder {
    /// Who it is, of this process.
    pub(super) fn describe(&self) -> String {
        format!("{}, process {}, since {}", self.by, std::process::id(), self.at)
    }
}

/// What a lock or a lease says of its holder, safe to show.
pub(super) fn legible(holder: &str) -> String {
    let line = holder.lines().next().unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    if line.is_empty() { "another process".to_owned() } else { line }
}
