//! `rhumb scale`.

pub(super) mod view;

use std::sync::Mutex;

use crate::cli::planning::{self, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::explore::{self, Scaling};
use crate::placement::Running;

/// Show how cost grows with traffic, and where another choice becomes the cheapest
///
/// The deployment is planned at each traffic anew. Where two neighbours are placed in unlike ways, the traffic at which the
/// choice flips is searched by bisection. What comes and goes between two alike neighbours may be unseen: how much it could save at
/// most is told, and more traffics are planned where that is most (--refine).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Range of factors on the present traffic
    #[arg(long, value_name = "LOW..HIGH", default_value = "0.1..10", value_parser = range)]
    traffic: (f64, f64),
    /// Scale one workload alone (`chat`, `services.chat`)
    #[arg(long, value_name = "WORKLOAD")]
    workload: Option<String>,
    /// Traffics to plan, evenly spaced by their ratio
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = steps)]
    steps: usize,
    /// Search a flip until it is known this well
    #[arg(long, value_name = "PERCENT", default_value = "1%", value_parser = tolerance)]
    tolerance: f64,
    /// Search each machine more as well, not only other regions, types, precisions, layouts and purchase options
    #[arg(long)]
    counts: bool,
    /// Most traffics to plan besides, where a choice that comes and goes unseen could save most
    #[arg(long, value_name = "N", default_value_t = 12)]
    refine: usize,
    #[command(flatten)]
    planning: PlanArgs,
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let wrong = || "write LOW..HIGH, for example 0.1..10, from 0.001 to 1000".to_owned();
    let (low, high) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.trim().trim_start_matches('x').parse::<f64>().map_err(|_| wrong());
    let (low, high) = (number(low)?, number(high)?);
    if low >= 1e-3 && low < high && high <= 1e3 { Ok((low, high)) } else { Err(wrong()) }
}

fn steps(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (2..=1000).contains(n))
        .ok_or_else(|| "write a number from 2 to 1000".to_owned())
}

fn tolerance(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let wrong = || "write a percentage from 0.01% to 50%".to_owned();
    percent.filter(|p| (0.01..=50.0).contains(p)).map(|p| p / 100.0).ok_or_else(wrong)
}

/// Runs the command.
///
/// # Errors
/// The spec is wrong, or a workload is unknown.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let mut gathered = planning::gather(&args.planning, settings)?;
    // What is asked is what would be best, not whether to move there.
    gathered.input.world.running = Running::default();
    let (spec, world) = (&gathered.input.spec, &gathered.input.world);
    let workload = args.workload.as_ref().map(|w| explore::workload(w, spec)).transpose();
    let asked = Scaling {
        workload: workload.map_err(|why| Failure::usage(format!("--workload: {why}")))?,
        range: args.traffic,
        steps: args.steps,
        tolerance: args.tolerance,
        counts: args.counts,
        refine: args.refine,
    };
    let bar = Mutex::new(progress::count("planning traffics", settings));
    let found = explore::scale(spec, world, &asked, &|done| {
        if let Ok(bar) = bar.lock() {
            bar.at(done as u64, done.max(args.steps) as u64);
        }
    });
    if let Ok(bar) = bar.into_inner() {
        bar.finish();
    }
    let text = if settings.json {
        format!("{:#}\n", view::json(&spec.name, &asked, &found))
    } else {
        view::text(&spec.name, &asked, &found, settings)
    };
    terminal::print(&text)?;
    Ok(Exit::Done)
}
