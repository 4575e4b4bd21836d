//! `rhumb fmt`.

use crate::cli::{Exit, Failure, Settings};

/// Format spec files, or convert them to the other language
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
