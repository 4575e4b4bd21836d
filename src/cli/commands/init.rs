//! `rhumb init`.

use crate::cli::{Exit, Failure, Settings};

/// Write a commented spec that plans at once
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
