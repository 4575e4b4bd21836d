//! `rhumb schema`.

use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings};
use crate::spec::{keys, schema};

/// Print the JSON Schema of a spec, or the meaning of one key
///
/// Without PATH, a JSON Schema (2020-12) for editors and validators. With PATH, say
/// services.slo.ttft: type, unit, default and meaning of that key, and the keys below it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A key, as a path with dots; names of entries may be left out
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Print the reference of all keys as Markdown
    #[arg(long, conflicts_with = "path")]
    markdown: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    match &args.path {
        None if args.markdown => print(&schema::reference())?,
        None => print(&format!("{:#}\n", schema::json_schema()))?,
        Some(path) => {
            let text = schema::explain(path, settings.width).map_err(Failure::usage)?;
            match keys::find(path) {
                Ok(key) if settings.json && !key.not_yet => {
                    print(&format!("{:#}\n", schema::key_schema(key)))?
                }
                _ => print(&text)?,
            }
        }
    }
    Ok(Exit::Done)
}
