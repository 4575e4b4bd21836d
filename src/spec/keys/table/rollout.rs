//! `rollout` of a service.

use super::{DURATION, Key, Kind};

/// How a change of machines is rolled out.
pub static ROLLOUT: &[Key] = &[
    Key::new(
        "waves",
        Kind::List(&Kind::Whole { min: 1, max: 10_000, auto: false }),
        "How many places (regions, sites) have changed after each wave, ascending: `[1, 3]` changes one place, then two more, then all others; those with the fewest machines first. A wave begins once the machines of the one before it answer their health checks; until all do, nothing that serves goes.",
    )
    .default("all places at once"),
    Key::new(
        "health_timeout",
        DURATION,
        "How long machines may take until they answer their health checks, at most a day. After that the rollout stops, and what served so far stays.",
    )
    .default("30m"),
    Key::new(
        "on_refusal",
        Kind::Choice { values: &["keep", "roll_back"], later: &[] },
        "What becomes of what an apply has made for the service when machines are refused and nothing that may stand in is left: it is kept for the next plan, or goes again, and what served so far serves as before.",
    )
    .default("keep"),
    Key::new(
        "strategy",
        Kind::Choice { values: &["rolling"], later: &[] },
        "How the machines of a fleet are made anew when what they start changes: `rolling`, some at a time. A fleet of another instance type, region or purchase is made whole before the old one goes, whatever is written here.",
    )
    .default("rolling"),
    Key::new(
        "max_surge",
        Kind::Whole { min: 0, max: 1000, auto: false },
        "Machines of each fleet that there may be beside those that are kept up while they are made anew. They count against quotas, and in the ceiling of the cost. Machines at sites are those that stand there.",
    )
    .default("1 with `max_unavailable`; without both as the cloud does it"),
    Key::new(
        "max_unavailable",
        Kind::Whole { min: 0, max: 1000, auto: false },
        "Machines of each fleet that may be missing meanwhile; what `survive` covers does not break the objectives.",
    )
    .default("0 with `max_surge`; without both as the cloud does it"),
];
