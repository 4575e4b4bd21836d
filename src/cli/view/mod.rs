//! What people and machines see.

pub mod diagnostics;
pub mod terminal;
