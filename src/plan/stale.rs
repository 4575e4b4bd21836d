//! Whether a plan still holds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Plan, Prior};
use crate::state::State;

impl Prior {
    /// What a plan remembers of the state that it was made against.
    pub fn of(state: &State) -> Self {
        Prior {
            lineage: state.lineage.clone(),
            serial: state.serial,
            digest: state.digest(),
            simulated: state.simulated,
        }
    }
}

/// SHA-256 of a spec's evaluated tree (`Loaded::tree`): JSON without white space, keys sorted; behind it, if the spec names files that are
/// part of what it says (`Loaded::named`), a line and the same of those.
pub fn spec_digest(tree: &serde_json::Value, named: &BTreeMap<String, String>) -> String {
    let mut text = super::file::canonical(tree);
    if !named.is_empty() {
        text.push('\n');
        text.push_str(&super::file::canonical(&serde_json::json!(named)));
    }
    super::file::sha256(text.as_bytes())
}

/// Minutes that clocks of machines may differ before a plan of one is refused by another; assumed: clocks that are kept differ by less.
const SKEW_MINUTES: i64 = 5;

impl Plan {
    /// Why the plan must not be applied at a time, though nothing has changed: it has a limit, or it was made later than it is now.
    pub fn untimely(&self, now: Timestamp) -> Option<String> {
        let ended = self
            .valid_until
            .as_ref()
            .filter(|until| until.parse::<Timestamp>().is_ok_and(|until| now > until));
        if let Some(until) = ended {
            return Some(format!("it was valid until {until}"));
        }
        let ahead = |made: &Timestamp| made.duration_since(now) > SignedDuration::from_mins(SKEW_MINUTES);
        self.created.parse().ok().filter(ahead).map(|made: Timestamp| {
            format!("it was made at {made}, which is still to come: the clock of this machine is wrong, or that of the one which planned, or it was planned as of a later time (--at)")
        })
    }

    /// Why the plan must not be applied any more, in words; empty if it still holds.
    ///
    /// `prior` is the state as it is now, the digests are those of the spec and the catalogue as they are
    /// now.
    pub fn stale_against(
        &self,
        prior: Option<&State>,
        spec_digest: &str,
        catalog_digest: &str,
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        match (&self.prior, prior) {
            (None, None) => {}
            // The name was recorded, and nothing else: an apply was cut off before it began.
            (None, Some(now)) if now.serial == 0 => {}
            (None, Some(now)) => reasons.push(format!(
                "the plan was made when nothing existed; now there is a state with serial {}",
                now.serial
            )),
            (Some(then), None) => reasons.push(format!(
                "the plan was made against a state with serial {}; now there is none",
                then.serial
            )),
            (Some(then), Some(now)) => reasons.extend(moved(then, now)),
        }
        if self.of_states() {
            return reasons;
        }
        if self.spec_digest != spec_digest {
            reasons.push(
                "the spec, or a file that it names, has changed since the plan was made, or its variables have other values: \
                 what was given with --var, --var-file or in RHUMB_VAR_NAME has to be given again"
                    .to_owned(),
            );
        }
        if self.catalog_digest != catalog_digest {
            reasons.push(
                "the catalogue, a file of your own rows or your calibration has changed since the plan was made".to_owned(),
            );
        }
        reasons
    }
}

fn moved(then: &Prior, now: &State) -> Option<String> {
    if then.lineage != now.lineage {
        return Some(format!(
            "the plan was made for another deployment: its state has the lineage {}, this one {}",
            then.lineage, now.lineage
        ));
    }
    if then.serial != now.serial {
        return Some(format!(
            "the state has changed since the plan was made: serial {} then, {} now",
            then.serial, now.serial
        ));
    }
    (then.digest != now.digest()).then(|| {
        format!("the state has changed since the plan was made, although its serial is still {}", now.serial)
    })
}
