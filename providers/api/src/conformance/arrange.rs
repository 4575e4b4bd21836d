//! What an adapter's tests bring about for the suite.

use std::future::Future;
use std::pin::Pin;

use crate::{Call, ErrorKind, Handle};

/// Something that comes about in its time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`Call::Create`].
    Create,
    /// [`Call::Update`].
    Update,
    /// [`Call::Delete`].
    Delete,
    /// [`Call::Read`].
    Read,
    /// [`Call::List`].
    List,
    /// [`crate::Provider::preflight`].
    Preflight,
}

impl From<&Call> for Verb {
    fn from(call: &Call) -> Verb {
        match call {
            Call::Create(_) => Verb::Create,
            Call::Update(..) => Verb::Update,
            Call::Delete(_) => Verb::Delete,
            Call::Read(_) => Verb::Read,
            Call::List(_) => Verb::List,
        }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The cloud has no machines of the place's instance type.
    Capacity,
    /// The account may have no machine more.
    Quota,
    /// The account may have so many machines more in the place's region than it has now.
    QuotaLeaves(u32),
    /// The cloud takes no more calls.
    Throttled,
    /// The same, and it says when to come again, milliseconds from then.
    ThrottledFor(u64),
    /// The credentials may not do it.
    Denied,
    /// The credentials have expired: every call is denied.
    Expired,
    /// The cloud has no such machines as the place's instance type.
    NotOffered,
    /// The secret does not exist that samples name: [`super::SECRET`].
    NoSecret,
    /// Another change is under way, of which the caller knows nothing.
    Conflict,
    /// The request never arrives.
    LostRequest,
    /// It has its effect, and the reply never arrives.
    LostReply,
    /// It has its effect after the caller gave up, and within [`crate::Guarantees::call_lag_ms`] of being sent.
    LateRequest,
    /// It is accepted, and what it began fails afterwards for this reason.
    FailsLater(ErrorKind),
}

/// The double of a cloud, from behind.
pub trait Arrange: Send + Sync {
    /// Lets so many milliseconds of the cloud's time go by.
    fn pause(&self, ms: u64) -> Later<'_, ()>;
    /// From now on until [`Arrange::calm`], every call that does this meets this trouble, as the cloud itself would
    /// bring it about; others may as well.
    ///
    /// An error says what the double cannot do; nothing is changed then.
    fn trouble(&self, what: Trouble, verb: Verb) -> Later<'_, Result<(), String>>;
    /// Takes all tags off a thing, as somebody may do by hand: it is then as what no order made.
    ///
    /// An error says what the double cannot do; nothing is changed then.
    fn untag<'a>(&'a self, handle: &'a Handle) -> Later<'a, Result<(), String>>;
    /// Ends all trouble. What it did to calls that were sent stays.
    fn calm(&self) -> Later<'_, ()>;
}
