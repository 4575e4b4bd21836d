//! `rhumb predict`.

use crate::cli::{Exit, Failure, Settings};

/// Predict how a model runs on an accelerator
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(_args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    todo!()
}
