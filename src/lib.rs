//! rhumb plans AI deployments: from a declarative spec to the provably cheapest placement that
//! keeps its promises, on several clouds.
//!
//! # The line
//!
//! ```text
//! text -> spec::load -> Spec
//!      -> graph::compile -> Graph<Unplaced>
//!      -> optimize::place -> Placement, or why not
//!      -> Graph::bind -> Graph<Resource>
//!      -> render::artifacts -> files, hashed
//!      -> plan::between -> Plan
//!      -> apply::Machine -> calls, and the records of them
//! ```
//!
//! [`plan()`] is that line. Everything on it is synchronous and pure: what is not in
//! [`PlanningInput`] cannot influence a plan, and equal inputs give byte-identical plans on any
//! machine and any number of threads. Clock, environment and files live in `cli` and in `state::disk`, and
//! requests to buckets, with the credentials of the environment, in `state::remote`.
//!
//! # Invariants
//!
//! - Unknown is not zero: a missing price, quota or figure is `None` and says so.
//! - Refusal is a value: a losing candidate has a [`placement::Rejection`], a hopeless spec an
//!   [`placement::Infeasible`].
//! - The maker is not the checker: [`check`] never imports [`optimize`].
//! - Transcendental functions go through [`math`]; money is integer micro-dollars.
//!
//! # The map
//!
//! Which module may use which is a table in `tests/it/architecture.rs`; why things are as they are
//! is told in [`decisions`].

// `print!` panics on a closed pipe; `cli::stdout` writes.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod apply;
pub mod calibrate;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod decisions;
pub mod diagnostic;
pub mod experiment;
pub mod explore;
pub mod graph;
pub mod math;
pub mod optimize;
pub mod perf;
pub mod placement;
pub mod plan;
pub mod render;
pub mod replay;
pub mod report;
pub mod spec;
pub mod state;

use optimize::{NoPlacement, Watch};
use placement::{Infeasible, Unfinished, World};

/// Everything that may influence a plan.
#[derive(Clone, Debug)]
pub struct PlanningInput {
    /// The spec.
    pub spec: spec::Spec,
    /// Digest of the spec, see [`plan::spec_digest`].
    pub spec_digest: String,
    /// The catalogue and what else lies outside the spec.
    pub world: World,
    /// What exists; `None` = nothing.
    pub prior: Option<state::State>,
    /// The planning time, RFC 3339, UTC, seconds.
    pub now: String,
    /// Warnings about the spec, for the plan's own list.
    pub warnings: Vec<String>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The spec contradicts itself.
    #[error(transparent)]
    Graph(#[from] graph::GraphError),
    /// No placement keeps the promises, or none was found ([`Infeasible::proven`]).
    #[error("{0}")]
    Infeasible(Box<Infeasible>),
    /// The search was ended before any placement was known.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// A file for the machines cannot be made.
    #[error(transparent)]
    Render(#[from] render::RenderError),
}

/// The whole line: spec to plan.
///
/// # Errors
/// The spec contradicts itself, no placement keeps its promises, or a file cannot be made.
pub fn plan(input: &PlanningInput) -> Result<plan::Plan, PlanError> {
    plan_watched(input, Watch::default())
}

/// As [`plan()`], with a search that goes as far as `watch` lets it.
///
/// # Errors
/// As of [`plan()`], or that the search was ended before any placement was known.
pub fn plan_watched(input: &PlanningInput, watch: Watch<'_>) -> Result<plan::Plan, PlanError> {
    line(input, watch, true)
}

/// As [`plan_watched`], without a look at the seasons to come.
///
/// # Errors
/// As of [`plan_watched`].
pub fn plan_of_day(input: &PlanningInput, watch: Watch<'_>) -> Result<plan::Plan, PlanError> {
    line(input, watch, false)
}

fn line(input: &PlanningInput, watch: Watch<'_>, ahead: bool) -> Result<plan::Plan, PlanError> {
    let whole = graph::compile(&input.spec)?;
    let found = optimize::place_watched(&input.spec, &input.world, watch);
    let mut placement = found.map_err(|why| match why {
        NoPlacement::Infeasible(why) => PlanError::Infeasible(Box::new(why)),
        NoPlacement::Unfinished(why) => PlanError::Unfinished(why),
    })?;
    let spec = placement.spec_of(&input.spec);
    let unplaced = if placement.divided.is_some() { graph::compile(&spec)? } else { whole };
    let bound = unplaced.bind(&spec, &placement);
    let artifacts = render::artifacts(&bound)?;
    let desired = plan::desired(&render::with_hashes(bound, &artifacts));
    plan::complete_bill(&mut placement, &desired);
    let standbys =
        plan::standbys(&unplaced, (&spec, &placement), &desired, &artifacts, input.prior.as_ref())?;
    let mut warnings = input.warnings.clone();
    warnings.extend(plan::warnings(&placement));
    warnings.extend(input.prior.iter().flat_map(plan::warnings_of_state));
    let coming = ahead.then(|| optimize::ahead(&input.spec, &input.world, &placement, watch)).flatten();
    let year = coming.map(|coming| plan::year(&input.spec, &placement, &coming));
    warnings.extend(year.iter().flat_map(plan::Year::warnings));
    let header = plan::Header {
        name: input.spec.name.clone(),
        created: input.now.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        spec_digest: input.spec_digest.clone(),
        catalog_digest: input.world.digest(),
        confidence: input.spec.confidence,
        user_files: input.world.user_files(),
        budgets: plan::budgets(&spec, &placement),
        year,
        standbys,
        rollouts: plan::rollouts(&spec, &desired),
        warnings,
    };
    let plan = plan::between(header, input.prior.as_ref(), &desired, placement, artifacts);
    Ok(plan.without_ended(input.prior.as_ref()).weighed(&input.spec, &input.world.catalog))
}

/// What a plan makes otherwise than its own placement asks for. Its resources and files are made again from spec and placement, as
/// planning makes them: this finds what was edited, not what planning itself gets wrong.
///
/// # Errors
/// The spec contradicts itself, or a file cannot be made.
pub fn made_otherwise(input: &PlanningInput, plan: &plan::Plan) -> Result<check::Report, PlanError> {
    let of_its_day = check::of_time(&input.spec, &plan.created);
    let spec = plan.placement.spec_of(&of_its_day);
    let bound = graph::compile(&spec)?.bind(&spec, &plan.placement);
    let artifacts = render::artifacts(&bound)?;
    let desired = plan::desired(&render::with_hashes(bound, &artifacts));
    let mut report = check::Report::default();
    let mut same = |address: &str, what: String, expected: String, found: String| {
        report.promises += 1;
        if expected != found {
            let address = address.to_owned();
            report.findings.push(check::Finding { code: "plan", address, message: what, expected, found });
        }
    };
    for change in &plan.changes {
        let (Some(after), addr) = (&change.after, change.addr.as_str()) else { continue };
        let Some((wanted, _)) = desired.get(&change.addr) else {
            // Of a run that has ended: it is kept where it was, and nothing is done with it.
            if change.action == plan::Action::Keep {
                continue;
            }
            same(addr, "it is of nothing that was placed".into(), "nothing".into(), "a resource".into());
            continue;
        };
        let place = |r: &rhumb_api::Resource| format!("{} {} {}", r.cloud, r.region, r.kind.as_str());
        same(addr, "where and what it is".into(), place(wanted), place(after));
        let names: std::collections::BTreeSet<&str> =
            wanted.attributes.keys().chain(after.attributes.keys()).collect();
        for name in names {
            let shown =
                |of: &rhumb_api::Attributes| of.get(name).map_or("nothing".into(), |a| format!("{a:?}"));
            same(addr, format!("its {name}"), shown(&wanted.attributes), shown(&after.attributes));
        }
    }
    for file in &plan.artifacts {
        let made = artifacts.iter().find(|made| (&made.addr, &made.name) == (&file.addr, &file.name));
        let text = made.map_or("nothing".into(), |made| made.content.clone());
        same(file.addr.as_str(), format!("the file {}", file.name), text, file.content.clone());
    }
    Ok(report)
}
