//! `rhumb graph`.

use crate::cli::{Exit, Failure, Settings};

/// Print the resource graph as DOT, Mermaid or JSON
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
