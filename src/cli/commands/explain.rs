//! `rhumb explain`.

use crate::cli::{Exit, Failure, Settings};

/// Explain a choice: what binds, what lost and why, what one relaxation would save
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
