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
    Key::not_yet("strategy", "How machines of a place change: new ones come before old ones go."),
    Key::not_yet("max_surge", "Machines above the number that is kept up."),
    Key::not_yet("max_unavailable", "Machines that may be missing meanwhile."),
];
