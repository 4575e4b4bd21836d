//! `rhumb graph`.

use crate::cli::load;
use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::view::{diagnostics, terminal};
use crate::cli::{Exit, Failure, Settings, stdout};
use crate::diagnostic::{Diagnostics, SourceMap};
use crate::graph::draw::{self, Drawn};
use crate::graph::{self, Graph, GraphError, Unplaced};
use crate::spec::Spec;
use crate::{render, report};

/// Print the resource graph as DOT, Mermaid or JSON
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    planning: PlanArgs,
    /// Language of the output; `json` with --json
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
    /// Plan first, and print the resources that are to exist
    #[arg(long)]
    resources: bool,
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
    let format = if settings.json { Format::Json } else { args.format };
    if args.resources {
        return resources(args, format, settings);
    }
    let found = load::load(&args.planning.spec, &args.planning.catalog, settings)?;
    let unplaced = compiled(&found.loaded.spec, &found.loaded.map)?;
    if format != Format::Json {
        diagnostics::print_warnings(&found.loaded.warnings, settings);
    }
    print(&found.loaded.spec.name, &unplaced, format)
}

fn resources(args: &Args, format: Format, settings: &Settings) -> Result<Exit, Failure> {
    let gathered = planning::gather(&args.planning, settings)?;
    let spec = &gathered.input.spec;
    let plan = match planning::think(&gathered) {
        Ok(plan) => plan,
        Err(NoPlan::Failure(failure)) => return Err(failure),
        Err(NoPlan::Infeasible(why)) => {
            let text = if settings.json {
                format!("{}\n", report::json::infeasible(&spec.name, &why, &gathered.map))
            } else {
                terminal::text(&report::infeasible(&spec.name, &why, &gathered.map), settings, None)
            };
            stdout::print(&text)?;
            return Ok(Exit::of(&why));
        }
    };
    let bound = compiled(spec, &gathered.map)?.bind(spec, &plan.placement);
    print(&spec.name, &render::with_hashes(bound, &plan.artifacts), format)
}

fn compiled(spec: &Spec, map: &SourceMap) -> Result<Graph<Unplaced>, Failure> {
    graph::compile(spec)
        .map_err(|error: GraphError| Diagnostics::new(map.clone(), vec![error.diagnostic(map)]).into())
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
