//! A saved plan beside what it was made from.

use std::path::PathBuf;

use super::planning::{self, PlanArgs};
use super::state::StatePlace;
use super::{Failure, Settings, load};
use crate::catalog::Catalog;
use crate::plan::Plan;
use crate::state::State;

/// What a saved plan is compared with before it is applied.
pub struct Basis {
    /// Where the state is.
    pub place: StatePlace,
    /// The catalogue as it is now; without a spec, that which the program carries.
    pub catalog: Catalog,
    spec_digest: String,
    catalog_digest: String,
}

impl Basis {
    /// Beside the spec that it was made from, that spec and the catalogue as they are now; elsewhere, the state that is named
    /// alone. The path of the spec in `planning` is not looked at.
    ///
    /// # Errors
    /// The spec is wrong, or no state is named and no spec is there.
    pub fn of(plan: &Plan, planning: &PlanArgs, settings: &Settings) -> Result<Self, Failure> {
        let mut planning = planning.clone();
        planning.spec.path = PathBuf::from(".");
        let named = planning.state.take().map(|path| StatePlace::named(&path, settings)).transpose()?;
        match named {
            Some(place) if plan.of_states() || load::find(&planning.spec.path, settings).is_err() => {
                Ok(Basis {
                    place,
                    catalog: Catalog::embedded(),
                    spec_digest: plan.spec_digest.clone(),
                    catalog_digest: plan.catalog_digest.clone(),
                })
            }
            named => {
                let beside = planning::gather_for(Some(plan), &planning, settings)?;
                Ok(Basis {
                    place: named.unwrap_or(beside.store),
                    spec_digest: beside.input.spec_digest,
                    catalog_digest: beside.input.world.digest(),
                    catalog: beside.input.world.catalog,
                })
            }
        }
    }

    /// Why the plan must not be applied, in words; empty if it may. One whose own apply was cut off goes on.
    pub fn outdated(&self, plan: &Plan, state: Option<&State>, settings: &Settings) -> Vec<String> {
        outdated(plan, state, (&self.spec_digest, &self.catalog_digest), settings)
    }
}

/// As [`Basis::outdated`], beside the digests of a spec and of a catalogue.
pub fn outdated(
    plan: &Plan,
    state: Option<&State>,
    (spec, catalog): (&str, &str),
    settings: &Settings,
) -> Vec<String> {
    let begun = goes_on(plan, state);
    let mut reasons = if begun { Vec::new() } else { plan.stale_against(state, spec, catalog) };
    reasons.extend(untimely(plan, settings, begun));
    reasons
}

/// Why a plan must not be applied now, whatever has changed: it was for a time that is over, or is still to come. What was `begun` in time
/// is finished after it.
fn untimely(plan: &Plan, settings: &Settings, begun: bool) -> Vec<String> {
    let over = plan.untimely(settings.now.max(settings.clock)).or_else(|| plan.untimely(settings.now));
    let today = settings.now.to_string();
    let expired = plan.expired_on(today.get(..10).unwrap_or_default());
    over.filter(|_| !begun).into_iter().chain(expired).collect()
}

/// Whether an apply of this very plan was cut off.
pub fn goes_on(plan: &Plan, state: Option<&State>) -> bool {
    let applying = state.and_then(|state| state.applying.as_ref());
    applying.is_some_and(|applying| applying.plan == crate::plan::file::digest_of(plan))
}
