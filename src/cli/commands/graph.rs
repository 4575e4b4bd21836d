//! `rhumb graph`.

use crate::cli::load::{SpecArgs, load};
use crate::cli::view::diagnostics;
use crate::cli::{Exit, Failure, Settings, stdout};
use crate::diagnostic::Diagnostics;
use crate::graph::draw::{self, Drawn};
use crate::graph::{self, Graph};

/// Print the resource graph as DOT, Mermaid or JSON
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// Language of the output; `json` with --json
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
}

/// A language for graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Graphviz
    Dot,
    /// Mermaid flowchart
    Mermaid,
    /// JSON, schema rhumb.graph/1
    Json,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let found = load(&args.spec, &[], settings)?;
    let spec = &found.loaded.spec;
    let unplaced = graph::compile(spec).map_err(|error| {
        let problem = error.diagnostic(&found.loaded.map);
        Failure::from(Diagnostics::new(found.loaded.map.clone(), vec![problem]))
    })?;
    let format = if settings.json { Format::Json } else { args.format };
    if format != Format::Json {
        diagnostics::print_warnings(&found.loaded.warnings, settings);
    }
    print(&spec.name, &unplaced, format)
}

fn print<N: Drawn>(name: &str, graph: &Graph<N>, format: Format) -> Result<Exit, Failure> {
    let text = match format {
        Format::Dot => draw::dot(name, graph),
        Format::Mermaid => draw::mermaid(graph),
        Format::Json => format!("{:#}\n", draw::json(name, graph)),
    };
    stdout::print(&text)?;
    Ok(Exit::Done)
}
