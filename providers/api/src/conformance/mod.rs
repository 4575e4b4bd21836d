//! Sample orders of every kind of resource, for tests of adapters and of the engine.

mod samples;

pub use samples::{LINEAGE, Place, address, attributes, kinds, order, token};
