//! What people and machines see.

pub mod diagnostics;
