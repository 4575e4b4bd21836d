//! `rhumb catalog`.

use crate::cli::{Exit, Failure, Settings};

/// Look into the catalogue
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
