//! What people and machines see.

pub mod diagnostics;
pub mod plot;
pub mod terminal;
