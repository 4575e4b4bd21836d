//! What is asked of a plan besides its spec.

use rhumb_api::ResourceAddr;

use super::Failure;
use crate::plan::{self, Asked, AskedError, Pattern, Plan};
use crate::state::State;

/// Which part of the whole.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PartArgs {
    /// Do this alone, with what it requires: an address of the plan or the beginning of one, `*` for any text of a segment
    #[arg(long, value_name = "ADDRESS", conflicts_with = "exclude", value_parser = Pattern::parse)]
    pub target: Vec<Pattern>,
    /// Leave this out, with what requires it
    #[arg(long, value_name = "ADDRESS", value_parser = Pattern::parse)]
    pub exclude: Vec<Pattern>,
}

/// Which part, and what is made anew.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AskedArgs {
    /// Which part.
    #[command(flatten)]
    pub part: PartArgs,
    /// Make this anew although it could stay; the old one goes once the new one serves
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub replace: Vec<ResourceAddr>,
}

fn address(text: &str) -> Result<ResourceAddr, String> {
    ResourceAddr::parse(text).map_err(|e| e.to_string())
}

impl PartArgs {
    /// The same with nothing made anew.
    pub fn asked(&self) -> Asked {
        Asked { targets: self.target.clone(), excludes: self.exclude.clone(), replace: Vec::new() }
    }
}

impl AskedArgs {
    /// What is asked.
    pub fn asked(&self) -> Asked {
        Asked { replace: self.replace.clone(), ..self.part.asked() }
    }
}

/// A plan as it was asked for, if it does nothing that is prevented.
///
/// # Errors
/// What was asked does not fit the plan, or it would remove what is to be kept.
pub fn as_asked(plan: Plan, asked: Asked, prior: Option<&State>) -> Result<Plan, Failure> {
    let plan = plan.asked(asked, prior).map_err(|why: AskedError| Failure::usage(why.to_string()))?;
    let kept: Vec<&str> =
        plan::prevented(&plan.changes, &plan.changes).into_iter().map(ResourceAddr::as_str).collect();
    if kept.is_empty() {
        return Ok(plan);
    }
    Err(Failure::error(format!(
        "{}: the plan would remove or replace it, and its workload was made with `endpoint.prevent_destroy: true`; write `false` and apply that first, leave it out with --exclude, or change what moves it",
        kept.join(", ")
    )))
}
