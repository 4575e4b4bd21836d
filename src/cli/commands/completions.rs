//! `rhumb completions`.

use clap_complete::Shell;

use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};

/// Print shell completions
///
/// For bash: rhumb completions bash > ~/.local/share/bash-completion/completions/rhumb
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "rhumb", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
