//! What happened, in order.

use rhumb_api::{Cloud, ErrorKind, Handle, ProviderError, ResourceAddr, ResourceKind, Status, Token};
use serde::{Deserialize, Serialize};

use crate::world::{Verb, What};

/// The number of a call, from 1 in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallNo(pub u64);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, milliseconds of virtual time.
    pub at_ms: u64,
    /// In the course of which call; of none where a thing changed by itself or by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallNo>,
    /// What the call does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// The cloud.
    pub cloud: Cloud,
    /// What the thing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceKind>,
    /// What it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<ResourceAddr>,
    /// The token of the call, or of the thing that changed by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The thing, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// What happened.
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The call was sent.
    Sent,
    /// A fault was decided on for the call; those by chance are told like those by rules.
    Fault(What),
    /// The call is held.
    Held,
    /// A held call was let go on.
    Released,
    /// The caller went away.
    Abandoned,
    /// The call made a thing.
    Made,
    /// The call began to change a thing.
    Changed,
    /// The call began to remove a thing.
    Removed,
    /// The call was taken and changed nothing.
    Unchanged,
    /// The call was refused.
    Refused(ProviderError),
    /// The answer reached the caller: fine, or the kind of the error.
    Answered(Option<ErrorKind>),
    /// The same answer reached the caller a second time.
    AnsweredAgain,
    /// A thing came into a state.
    Became(Status),
    /// A thing has so many machines that cost money from now on.
    Machines(u32),
    /// A thing is gone.
    Gone,
    /// Somebody changed a thing behind the caller's back.
    ByHand,
}
