//! `rhumb plan`.

use crate::cli::{Exit, Failure, Settings};

/// Plan a spec: choose, price and check a placement
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
