//! The seam between rhumb's planner and the adapters that talk to clouds.
//!
//! Everything that planner, engine and adapters must agree on lives here and nothing else does: money,
//! names of clouds and purchase options, the neutral resource vocabulary, resource addresses, calls and their errors,
//! what is asked before them, and the table of what an adapter can do. No SDK type, no clock, no I/O. The feature `conformance` adds what every
//! adapter has to pass.

mod address;
mod attributes;
mod call;
mod capability;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod money;
pub mod preflight;
mod provider;
mod resource;

pub use address::{AddressError, ResourceAddr};
pub use attributes::Attributes;
pub use call::{
    Answer, Call, Handle, Observed, Order, Owner, Reply, Scope, Status, Tags, Token, TokenError, outputs,
};
pub use capability::{Among, Capability, Uses, covered, uncovered};
pub use error::{ErrorKind, ProviderError};
pub use money::{HOURS_PER_MONTH, Money, MoneyError};
pub use preflight::Preflight;
pub use provider::{Answering, Guarantees, Provider, malformed};
pub use resource::{Attr, Cloud, Purchase, Resource, ResourceKind};
