//! The one trait that an adapter implements.

use std::future::Future;
use std::pin::Pin;

use crate::call::{Answer, Call};
use crate::preflight::{self, Preflight};
use crate::{Capability, Cloud, ErrorKind, ProviderError, Resource};

/// What a cloud promises about its calls; what an engine has to make up for where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// A create with a token that was seen before makes nothing new, for as long as the deployment lives.
    pub deduplicates: bool,
    /// A list shows what was made so long ago, milliseconds.
    pub list_lag_ms: u64,
    /// A call whose reply did not come within this time, milliseconds, has had its effect or never will.
    pub call_lag_ms: u64,
}

/// An answer that will come.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// An adapter: translates calls into a cloud's words, and its answers back.
///
/// It keeps no state of its own, looks at no clock, starts no task, and repeats nothing by itself: what a call did is
/// known to the engine or is asked for by it. A reply that did not come is [`ErrorKind::UnknownOutcome`], whatever
/// the reason.
///
/// What it promises beyond these types is asked of every adapter by the suite in `rhumb_api::conformance` (feature
/// `conformance`), law by law.
pub trait Provider: Send + Sync {
    /// The clouds that it answers for.
    fn clouds(&self) -> &[Cloud];
    /// Whether nothing that it makes exists.
    fn simulated(&self) -> bool;
    /// What it promises.
    fn guarantees(&self) -> Guarantees;
    /// What it can deploy, in rows for each of its clouds. [`Provider::can`] refuses whatever these do not cover.
    fn capabilities(&self) -> &[Capability];
    /// Whether it can deploy a resource, without asking anybody: what it refuses here, a create of it answers with
    /// [`ErrorKind::Invalid`], and nothing else for the resource's own sake.
    ///
    /// # Errors
    /// What of it cannot be deployed and why, in words for the one who wrote the spec.
    fn can(&self, resource: &Resource) -> Result<(), String>;
    /// Finds out whether changes would be refused, by the law of [`crate::preflight`]; it makes, changes and removes nothing.
    fn preflight<'a>(&'a self, asked: &'a Preflight) -> preflight::Answering<'a>;
    /// Sends a call. Its answer is of the call's form: [`crate::Reply::Many`] to a list, else [`crate::Reply::One`].
    fn call<'a>(&'a self, call: &'a Call) -> Answering<'a>;
}

/// The answer to a call whose reply has the form of another one's.
pub fn malformed(call: &Call) -> ProviderError {
    ProviderError::new(ErrorKind::UnknownOutcome, format!("the reply to {} has the wrong form", call.verb()))
}
