//! `rhumb man`.

use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};

/// Print the manual page, of the whole or of one command
///
/// Read it with: rhumb man | man -l -
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose page is wanted
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, _settings: &Settings) -> Result<Exit, Failure> {
    let mut root = crate::cli::command();
    root.build();
    let page = match &args.command {
        None => root,
        Some(name) => root
            .get_subcommands()
            .find(|c| c.get_name() == name)
            .cloned()
            .ok_or_else(|| Failure::usage(format!("there is no command `{name}`")))?,
    };
    let mut text = Vec::new();
    let title = args.command.as_ref().map_or_else(|| "rhumb".to_owned(), |name| format!("rhumb-{name}"));
    let man = clap_mangen::Man::new(page).title(title);
    man.render(&mut text).map_err(|e| Failure::error(e.to_string()))?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if args.command.is_none() {
        text.push_str(".SH \"EXIT STATUS\"\n");
        for (_, code, _, meaning) in Exit::TABLE {
            text.push_str(&format!(".TP\n\\fB{code}\\fR\n{meaning}\n"));
        }
    }
    print(&text)?;
    Ok(Exit::Done)
}
