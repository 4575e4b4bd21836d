//! Machines that were refused and are not planned on again for a while.

use jiff::{SignedDuration, Timestamp};

use crate::state::{Refusal, State, offer};

/// Hours for which what was refused is not planned on again. Nobody publishes how long machines stay out of stock; assumed.
pub const REFUSED_HOURS: i64 = 24;

/// What was refused lately, and whether it is planned on all the same; `now` is the planning time, RFC 3339.
///
/// Machines of a type that run there already are not moved away for more of them being refused.
pub fn refused<'s>(state: &'s State, now: &str) -> Vec<(&'s Refusal, bool)> {
    let Ok(now) = now.parse::<Timestamp>() else { return Vec::new() };
    let lately = |refusal: &&Refusal| {
        let at = refusal.at.parse::<Timestamp>();
        at.is_ok_and(|at| now.duration_since(at) < SignedDuration::from_hours(REFUSED_HOURS))
    };
    let runs = |refusal: &Refusal| {
        state.resources.values().any(|thing| {
            let of = &thing.resource;
            (of.cloud, &of.region) == (refusal.cloud, &refusal.region)
                && offer(of) == Some((refusal.instance_type.as_str(), refusal.spot))
                && !thing.complete
        })
    };
    state.refusals.iter().filter(lately).map(|refusal| (refusal, runs(refusal))).collect()
}

/// A refusal, for the one who reads a plan.
pub fn in_words(refusal: &Refusal, runs: bool) -> String {
    let Refusal { cloud, region, instance_type, spot, kind, at } = refusal;
    let bought = if *spot { "as spot" } else { "on demand" };
    let at = at.get(..16).map_or_else(|| at.clone(), |at| format!("{at}Z"));
    let then = match runs {
        true => "some run there, so they are planned on all the same".to_owned(),
        false => format!(
            "they are not planned on for {REFUSED_HOURS} hours after that (`rhumb state retry` ends it)"
        ),
    };
    format!("{instance_type} {bought} in {cloud}/{region} was refused ({kind}) to the apply of {at}: {then}")
}
