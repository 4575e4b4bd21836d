//! What a cloud answers when it does not do what it was asked, told by what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a call failed, by what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// There are no such machines at the moment: take the next fallback.
    Capacity,
    /// A quota of the account would be exceeded: take a fallback that does not need it.
    Quota,
    /// Too many calls: the same again later.
    Throttled,
    /// The credentials may not do this: a person has to act.
    Denied,
    /// Something else stands in the way (what depends on it, another change under way): the same again when that is over.
    Conflict,
    /// What is named is not there.
    NotFound,
    /// The cloud does not understand what it was asked; the same again would fail the same way.
    Invalid,
    /// It may have happened and may not have (time-out, reset connection, lost reply): look it up before anything else.
    UnknownOutcome,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [ErrorKind; 8] = [
        ErrorKind::Capacity,
        ErrorKind::Quota,
        ErrorKind::Throttled,
        ErrorKind::Denied,
        ErrorKind::Conflict,
        ErrorKind::NotFound,
        ErrorKind::Invalid,
        ErrorKind::UnknownOutcome,
    ];

    /// The name used in journals, event streams and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Capacity => "capacity",
            ErrorKind::Quota => "quota",
            ErrorKind::Throttled => "throttled",
            ErrorKind::Denied => "denied",
            ErrorKind::Conflict => "conflict",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Invalid => "invalid",
            ErrorKind::UnknownOutcome => "unknown_outcome",
        }
    }

    /// Whether the call certainly had no effect.
    pub const fn without_effect(self) -> bool {
        !matches!(self, ErrorKind::UnknownOutcome)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{kind}: {message}")]
pub struct ProviderError {
    /// What to do next.
    pub kind: ErrorKind,
    /// In the cloud's words, without credentials.
    pub message: String,
    /// The cloud's own advice when to try again, milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ProviderError {
    /// An error without advice.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ProviderError { kind, message: message.into(), retry_after_ms: None }
    }
}
