//! The seam between rhumb's planner and the adapters that talk to clouds.
//!
//! Everything that planner and adapters must agree on lives here and nothing else does: money,
//! names of clouds and purchase options, the neutral resource vocabulary, resource addresses, and
//! the table of what an adapter can do. No SDK type, no clock, no I/O.

mod address;
mod capability;
mod money;
mod resource;

pub use address::{AddressError, ResourceAddr};
pub use capability::{AdapterCapability, Support, capabilities};
pub use money::{HOURS_PER_MONTH, Money, MoneyError};
pub use resource::{Attr, Cloud, Purchase, Resource, ResourceKind};
