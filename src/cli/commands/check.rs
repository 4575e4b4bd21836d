//! `rhumb check`.

use crate::cli::{Exit, Failure, Settings};

/// Check a saved plan, or a fresh plan of a spec, with the independent checker
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
