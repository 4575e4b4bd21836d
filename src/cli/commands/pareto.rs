//! `rhumb pareto`.

mod view;

use std::sync::Mutex;

use crate::cli::planning::{self, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::explore::{self, Sweep};
use crate::placement::{Metric, Running};
use crate::spec::Spec;

/// Show what latency costs: the cheapest deployment for each limit of one objective
///
/// Each point is the optimum for its limit, all other promises kept; points that another one beats in cost and latency are left
/// out. The present plan is marked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The service whose objective is swept; needed if there are several
    #[arg(long, value_name = "SERVICE")]
    workload: Option<String>,
    /// The objective: ttft.p95 if it is promised, else the service's first
    #[arg(long, value_name = "METRIC.PERCENTILE", value_parser = objective)]
    objective: Option<(Metric, Option<f64>)>,
    /// Between limits that are nearer to each other nothing is looked for
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = step)]
    step: f64,
    #[command(flatten)]
    planning: PlanArgs,
}

fn objective(text: &str) -> Result<(Metric, Option<f64>), String> {
    let wrong = || "write ttft, tpot or e2e and a percentile: ttft.p95, tpot.p99.9, e2e.mean".to_owned();
    let (metric, quantile) = text.split_once(['.', '_']).ok_or_else(wrong)?;
    let metric = [Metric::Ttft, Metric::Tpot, Metric::E2e].into_iter().find(|m| m.as_str() == metric);
    let quantile = match quantile {
        "mean" => None,
        text => {
            let percent: f64 = text.strip_prefix('p').and_then(|t| t.parse().ok()).ok_or_else(wrong)?;
            if !(percent > 0.0 && percent < 100.0) {
                return Err(wrong());
            }
            Some(crate::math::round_to(percent / 100.0, 9))
        }
    };
    Ok((metric.ok_or_else(wrong)?, quantile))
}

fn step(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let wrong = || "write a percentage from 0.1% to 100%".to_owned();
    percent.filter(|p| (0.1..=100.0).contains(p)).map(|p| p / 100.0).ok_or_else(wrong)
}

fn service(written: Option<&String>, spec: &Spec) -> Result<String, String> {
    let names: Vec<&str> = spec.services.keys().map(String::as_str).collect();
    let Some(written) = written else {
        return match names.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] if !spec.profiled.is_empty() => {
                Err(format!("services of {} have profiles, which say nothing of latencies", spec.name))
            }
            [] => Err(format!("{} has no service, and only services promise latencies", spec.name)),
            many => Err(format!("--workload: which service? There are {}", many.join(", "))),
        };
    };
    let address = explore::workload(written, spec).map_err(|why| format!("--workload: {why}"))?;
    let name = address.strip_prefix("services.").map(str::to_owned);
    if name.as_ref().is_some_and(|name| spec.profiled.contains_key(name)) {
        return Err(format!("--workload: {address} has a profile, which says nothing of latencies"));
    }
    name.ok_or_else(|| format!("--workload: {address} promises no latency, only services do"))
}

/// Runs the command.
///
/// # Errors
/// The spec is wrong, the service is unknown, or nothing can be placed.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let mut gathered = planning::gather(&args.planning, settings)?;
    // What is asked is what would be best, not whether to move there.
    gathered.input.world.running = Running::default();
    let (spec, world) = (&gathered.input.spec, &gathered.input.world);
    let name = service(args.workload.as_ref(), spec).map_err(Failure::usage)?;
    let own =
        spec.services.get(&name).ok_or_else(|| Failure::usage(format!("there is no service `{name}`")))?;
    let sweep = Sweep::of(&name, own, args.step);
    let sweep = match args.objective {
        Some((metric, quantile)) => Sweep { metric, quantile, ..sweep },
        None => sweep,
    };
    let bar = Mutex::new(progress::count("planning limits", settings));
    let found = explore::front(spec, world, &sweep, &|done| {
        if let Ok(bar) = bar.lock() {
            bar.at(done as u64, done as u64 + 1);
        }
    });
    if let Ok(bar) = bar.into_inner() {
        bar.finish();
    }
    let found = found.map_err(|why| Failure::Message {
        exit: if why.proven { Exit::Infeasible } else { Exit::Unfinished },
        text: format!(
            "even without this limit no placement was found that keeps the promises: {}; `rhumb plan` says more",
            why.why
        ),
    })?;
    let told = view::Told { name: &spec.name, spec, sweep: &sweep, found: &found };
    let text = if settings.json { format!("{:#}\n", told.json()) } else { told.text(settings) };
    terminal::print(&text)?;
    Ok(Exit::Done)
}
