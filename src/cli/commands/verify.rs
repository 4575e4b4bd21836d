//! `rhumb verify`.

mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::cli::planning::{self, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, files, progress};
use crate::replay::{self, Options};
use crate::spec::{self, Spec};

/// Requests of a scenario unless stated.
const REQUESTS: usize = 80_000;
/// Fewest requests from which percentiles mean anything.
const LEAST: usize = 1_000;
/// Most, by memory: about 100 bytes each, several scenarios at once.
const MOST: usize = 20_000_000;

/// Replay a plan's traffic token by token and say which promises hold
///
/// Every service is played as planned, by the predicted figures and at the planned confidence; with each
/// declared failure, in which it must hold as well; with a replica lost that nothing promises; and with one
/// machine fewer in each pool: if every objective still holds, the constraint that buys the machine is named.
/// Exit 3 if a promise does not hold.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Verify this saved plan against the spec, instead of planning afresh
    #[arg(long = "plan", value_name = "FILE")]
    saved: Option<PathBuf>,
    /// Play recorded requests (CSV: time, input_tokens, output_tokens) at their own times in place of the
    /// spec's traffic; SERVICE=FILE if there are several services
    #[arg(long, value_name = "[SERVICE=]FILE")]
    trace: Vec<String>,
    /// Requests of each scenario
    #[arg(long, value_name = "N", default_value_t = REQUESTS, value_parser = requests)]
    requests: usize,
    /// Seed of arrivals and lengths
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    planning: PlanArgs,
}

fn requests(text: &str) -> Result<usize, String> {
    let n: usize = text.replace('_', "").parse().map_err(|_| "write a number of requests".to_owned())?;
    if (LEAST..=MOST).contains(&n) { Ok(n) } else { Err(format!("from {LEAST} to {MOST}")) }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (gathered, plan) = planning::saved_or_new(args.saved.as_deref(), &args.planning, settings)?;
    let input = &gathered.input;
    let traces = traces(&args.trace, &input.spec, settings)?;
    let bar = Mutex::new(progress::count("replaying", settings));
    let found = replay::verify(
        &input.spec,
        &input.world,
        &plan.placement,
        &Options {
            requests: args.requests,
            seed: args.seed,
            traces: &traces,
            progress: &|done, all| {
                if let Ok(bar) = bar.lock() {
                    bar.at(done, all);
                }
            },
        },
    )
    .map_err(Failure::error)?;
    if let Ok(bar) = bar.into_inner() {
        bar.finish();
    }
    if settings.json {
        terminal::print(&format!("{:#}\n", view::json(&found, &input.spec, args.seed)))?;
    } else {
        terminal::print(&view::text(&found, &input.spec, settings))?;
    }
    Ok(if found.passed() { Exit::Done } else { Exit::CheckFailed })
}

/// The recorded requests by service.
fn traces(
    args: &[String],
    spec: &Spec,
    settings: &Settings,
) -> Result<BTreeMap<String, spec::Recorded>, Failure> {
    let names: Vec<&str> = spec.services.keys().map(String::as_str).collect();
    let mut traces = BTreeMap::new();
    for arg in args {
        let (service, file) = match arg.split_once('=') {
            Some((service, file)) => (service, file),
            None => match names.as_slice() {
                [only] => (*only, arg.as_str()),
                _ => {
                    let text = format!(
                        "--trace {arg}: which service? Write SERVICE={arg}; there are {}",
                        names.join(", ")
                    );
                    return Err(Failure::usage(text));
                }
            },
        };
        if spec.profiled.contains_key(service) {
            let text = format!("--trace {arg}: `{service}` has a profile, and nothing of it is replayed");
            return Err(Failure::usage(text));
        }
        if !names.contains(&service) {
            let text =
                format!("--trace {arg}: there is no service `{service}`; there are {}", names.join(", "));
            return Err(Failure::usage(text));
        }
        let text = files::read_text(&settings.dir.join(file))?;
        let recorded = spec::read_trace(file, text.as_bytes())
            .map_err(|p| Failure::error(format!("{}: {}; {}", p.message, p.label, p.help)))?;
        if traces.insert(service.to_owned(), recorded).is_some() {
            return Err(Failure::usage(format!("--trace: two files for {service}")));
        }
    }
    Ok(traces)
}
