//! What every adapter has to pass: the same questions to each, and what is wrong with the answers.

mod samples;

pub use samples::{LINEAGE, Place, address, attributes, kinds, order, token};
