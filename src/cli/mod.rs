//! Arguments, settings, commands and views: the only place with a clock, an environment and files.
//!
//! Each command is a module of [`commands`] with its own `Args` and a
//! `run(&Args, &Settings) -> Result<Exit, Failure>`; [`run`] parses, runs and turns the outcome
//! into an exit code.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod commands;
mod exit;
mod failure;
mod files;
pub mod load;
pub mod planning;
pub mod progress;
mod settings;
pub mod state;
pub mod stdout;
pub mod view;

pub use exit::Exit;
pub use failure::Failure;
pub use settings::{GlobalArgs, Settings};

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// The provably cheapest placement of AI models on several clouds that keeps your promises.
#[derive(Debug, Parser)]
#[command(name = "rhumb", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// One variant per command; the doc comment of its `Args` is its help.
#[derive(Debug, Subcommand)]
enum Command {
    Plan(commands::plan::Args),
    Show(commands::show::Args),
    Check(commands::check::Args),
    Explain(commands::explain::Args),
    Graph(commands::graph::Args),
    Validate(commands::validate::Args),
    Fmt(commands::fmt::Args),
    Schema(commands::schema::Args),
    Init(commands::init::Args),
    Catalog(commands::catalog::Args),
    Predict(commands::predict::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// The command line of rhumb, for completions and the man page.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses and runs; returns the process's exit code.
///
/// Usage errors are exit 1, not clap's own 2, which means "changes" here.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Error } else { Exit::Done };
            let _ = error.print();
            return code.code();
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return Exit::Error.code();
        }
    };
    let settings = match Settings::resolve(&cli.global) {
        Ok(settings) => settings,
        Err(failure) => return failure.report_without_settings(),
    };
    let outcome: Result<Exit, Failure> = match &cli.command {
        Command::Plan(args) => commands::plan::run(args, &settings),
        Command::Show(args) => commands::show::run(args, &settings),
        Command::Check(args) => commands::check::run(args, &settings),
        Command::Explain(args) => commands::explain::run(args, &settings),
        Command::Graph(args) => commands::graph::run(args, &settings),
        Command::Validate(args) => commands::validate::run(args, &settings),
        Command::Fmt(args) => commands::fmt::run(args, &settings),
        Command::Schema(args) => commands::schema::run(args, &settings),
        Command::Init(args) => commands::init::run(args, &settings),
        Command::Catalog(args) => commands::catalog::run(args, &settings),
        Command::Predict(args) => commands::predict::run(args, &settings),
        Command::Completions(args) => commands::completions::run(args, &settings),
        Command::Man(args) => commands::man::run(args, &settings),
    };
    match outcome {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(&settings),
    }
}
