//! The simulated cloud from outside.

mod bench;
mod strictness;
