//! `rhumb schema`.

use crate::cli::{Exit, Failure, Settings};

/// Print the JSON Schema of the spec, or the meaning of one key
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
