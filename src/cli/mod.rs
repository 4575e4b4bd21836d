//! Arguments, settings, commands and views: the only place with a clock, an environment and files.
//!
//! Each command is a module of [`commands`] with its own `Args` and a
//! `run(&Args, &Settings) -> Result<Exit, Failure>`; [`run`] parses, runs and turns the outcome
//! into an exit code.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod asked;
pub mod clouds;
pub mod commands;
mod discreet;
mod exit;
mod failure;
mod files;
pub mod held;
mod keys;
pub mod load;
pub mod planning;
pub mod progress;
pub mod reality;
pub mod saved;
mod settings;
pub mod spend;
mod state;
pub mod stdout;
pub mod view;
mod wanted;
pub mod watch;

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
    Preflight(commands::preflight::Args),
    Apply(commands::apply::Args),
    Refresh(commands::refresh::Args),
    Destroy(commands::destroy::Args),
    Import(commands::import::Args),
    Forget(commands::state::Rm),
    State(commands::state::Args),
    Status(commands::status::Args),
    Output(commands::output::Args),
    History(commands::history::Args),
    Rollback(commands::rollback::Args),
    Sign(commands::sign::Args),
    Show(commands::show::Args),
    Check(commands::check::Args),
    Explain(commands::explain::Args),
    WhatIf(commands::what_if::Args),
    Scale(commands::scale::Args),
    Pareto(commands::pareto::Args),
    Stress(commands::stress::Args),
    Graph(commands::graph::Args),
    Validate(commands::validate::Args),
    Verify(commands::verify::Args),
    Fmt(commands::fmt::Args),
    Schema(commands::schema::Args),
    Init(commands::init::Args),
    Catalog(commands::catalog::Args),
    Predict(commands::predict::Args),
    Calibrate(commands::calibrate::Args),
    BenchPlan(commands::bench_plan::Args),
    Completions(commands::completions::Args),
    Sim(commands::sim::Args),
    Man(commands::man::Args),
}

/// The command line of rhumb, for parsing, completions and the man page.
pub fn command() -> clap::Command {
    let mut exits = String::from("Exit status:\n");
    for (_, code, _, meaning) in Exit::TABLE {
        exits.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    Cli::command().after_long_help(exits)
}

/// Parses and runs; returns the process's exit code.
///
/// Usage errors are exit 1, not clap's own 2, which means "changes" here.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    let parsed = command().try_get_matches_from(&args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    let settings = match Settings::resolve(&cli.global) {
        Ok(settings) => settings,
        Err(failure) => return failure.report_before_settings(cli.global.json),
    };
    files::stop_cleanly_when_interrupted();
    let outcome: Result<Exit, Failure> = match &cli.command {
        Command::Plan(args) => commands::plan::run(args, &settings),
        Command::Preflight(args) => commands::preflight::run(args, &settings),
        Command::Apply(args) => commands::apply::run(args, &settings),
        Command::Refresh(args) => commands::refresh::run(args, &settings),
        Command::Destroy(args) => commands::destroy::run(args, &settings),
        Command::Import(args) => commands::import::run(args, &settings),
        Command::Forget(args) => commands::state::remove(args, &settings),
        Command::State(args) => commands::state::run(args, &settings),
        Command::Status(args) => commands::status::run(args, &settings),
        Command::Output(args) => commands::output::run(args, &settings),
        Command::History(args) => commands::history::run(args, &settings),
        Command::Rollback(args) => commands::rollback::run(args, &settings),
        Command::Sim(args) => commands::sim::run(args, &settings),
        Command::Sign(args) => commands::sign::run(args, &settings),
        Command::Show(args) => commands::show::run(args, &settings),
        Command::Check(args) => commands::check::run(args, &settings),
        Command::Explain(args) => commands::explain::run(args, &settings),
        Command::WhatIf(args) => commands::what_if::run(args, &settings),
        Command::Scale(args) => commands::scale::run(args, &settings),
        Command::Stress(args) => commands::stress::run(args, &settings),
        Command::Pareto(args) => commands::pareto::run(args, &settings),
        Command::Graph(args) => commands::graph::run(args, &settings),
        Command::Validate(args) => commands::validate::run(args, &settings),
        Command::Verify(args) => commands::verify::run(args, &settings),
        Command::Fmt(args) => commands::fmt::run(args, &settings),
        Command::Schema(args) => commands::schema::run(args, &settings),
        Command::Init(args) => commands::init::run(args, &settings),
        Command::Catalog(args) => commands::catalog::run(args, &settings),
        Command::Predict(args) => commands::predict::run(args, &settings),
        Command::Calibrate(args) => commands::calibrate::run(args, &settings),
        Command::BenchPlan(args) => commands::bench_plan::run(args, &settings),
        Command::Completions(args) => commands::completions::run(args, &settings),
        Command::Man(args) => commands::man::run(args, &settings),
    };
    match outcome {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(&settings),
    }
}

/// Tells what clap has to say: help and version on standard output, errors as any other.
fn usage(error: &clap::Error, args: &[OsString]) -> i32 {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done.code();
    }
    // Nothing was parsed, so whether JSON is wanted must be looked for.
    let json = args.iter().take_while(|a| *a != "--").any(|a| a == "--json");
    if json {
        let text = error.render().to_string();
        let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
        return Failure::usage(text).report_before_settings(true);
    }
    let _ = error.print();
    Exit::Error.code()
}
