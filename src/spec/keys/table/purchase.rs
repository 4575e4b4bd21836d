//! `purchase` of a workload.

use super::{Key, Kind};
use crate::spec::units::{Range, Unit};

/// How machines may be paid for.
pub static PURCHASE: &[Key] = &[
    Key::new(
        "options",
        Kind::List(&Kind::Choice { values: &["on_demand", "reserved_1y", "reserved_3y"], later: &[] }),
        "How machines that are not spot may be paid for; the cheapest is taken.",
    )
    .default("[on_demand]"),
    Key::new(
        "spot_max_share",
        Kind::Quantity(Unit::Percent, Range::SHARE),
        "Largest share of a pool's machines that may be spot.",
    )
    .default("0%"),
    Key::new(
        "on_demand_base",
        Kind::Whole { min: 0, max: 10_000, auto: false },
        "At least this many machines of a pool are not spot.",
    )
    .default("0"),
    Key::new(
        "commitments",
        Kind::Choice { values: &["existing", "none"], later: &[] },
        "Whether what the top level's `commitments` hold may be used. Federations leave it alone.",
    )
    .default("existing"),
];
