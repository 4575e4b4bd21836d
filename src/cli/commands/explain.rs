//! `rhumb explain`.

mod why_not;

use crate::cli::planning::{self, NoPlan, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::diagnostic::did_you_mean;
use crate::spec::Spec;
use crate::{optimize, report};

/// Explain a choice: what binds, what lost and why, what one loosened constraint would save
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A workload (`services.chat`) or one of its resources; with --why-not, all workloads if there is none
    #[arg(value_name = "ADDRESS", required_unless_present = "why_not")]
    pub address: Option<String>,
    /// Explain why an instance type was not chosen: `aws/eu-west-1/p5.48xlarge`, `p5.48xlarge`, `aws/p5.48xlarge/spot`
    #[arg(long, value_name = "OFFER")]
    pub why_not: Option<String>,
    /// What to plan.
    #[command(flatten)]
    pub planning: PlanArgs,
}

/// Runs the command.
///
/// # Errors
/// The spec is wrong, nothing can be placed, or the address is unknown.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    if let Some(what) = &args.why_not {
        return why_not::run(args, what, settings);
    }
    let address = args.address.as_deref().unwrap_or_default();
    let gathered = planning::gather(&args.planning, settings)?;
    let whole = &gathered.input.spec;
    if !whole.divides() {
        known(address, &whole.addresses(), whole)?;
    }
    let progress = progress::start("searching placements and loosened constraints", settings);
    let outcome = planning::think(&gathered);
    // Which parts a service has is known once they are placed.
    let spec = match &outcome {
        Ok(plan) => plan.placement.spec_of(whole),
        Err(_) => std::borrow::Cow::Borrowed(whole),
    };
    let spec = &*spec;
    let workload = known(address, &spec.addresses(), spec)?;
    let loosened = optimize::relaxations(spec, &gathered.input.world, workload);
    progress.finish();
    match outcome {
        Ok(plan) => {
            let Some(placed) = plan.placement.workloads.get(workload) else {
                return Err(Failure::error(format!("`{workload}` is not placed")));
            };
            let known = plan.changes.iter().any(|c| c.addr.as_str() == address)
                || placed.pools.iter().any(|p| p.addr.as_str() == address);
            if address != workload && !known {
                let all: Vec<&str> = plan.changes.iter().map(|c| c.addr.as_str()).collect();
                let hint = did_you_mean(address, all.iter().copied())
                    .map_or_else(|| "see `rhumb plan`".to_owned(), |k| format!("did you mean `{k}`?"));
                return Err(Failure::error(format!("`{address}` is not in the plan; {hint}")));
            }
            if settings.json {
                terminal::print(&format!("{}\n", report::json::explain(placed, &loosened)))?;
            } else {
                terminal::print(&terminal::text(&report::explain(placed, &loosened), settings, None))?;
            }
            Ok(Exit::Done)
        }
        Err(NoPlan::Failure(failure)) => Err(failure),
        Err(NoPlan::Infeasible(why)) => {
            if settings.json {
                terminal::print(&format!("{}\n", report::json::infeasible(&spec.name, &why, &gathered.map)))?;
            } else {
                let report = report::infeasible(&spec.name, &why, &gathered.map);
                terminal::print(&terminal::text(&report, settings, None))?;
            }
            Ok(Exit::of(&why))
        }
    }
}

/// The workload that an address is in.
fn known<'a>(address: &'a str, known: &[String], spec: &Spec) -> Result<&'a str, Failure> {
    let workload = address.split('/').next().unwrap_or_default();
    if known.iter().any(|k| k == workload) {
        return Ok(workload);
    }
    let hint = did_you_mean(workload, known.iter().map(String::as_str))
        .map_or_else(|| format!("there are {}", known.join(", ")), |k| format!("did you mean `{k}`?"));
    Err(Failure::error(format!("`{address}` is no workload of {}; {hint}", spec.name)))
}
