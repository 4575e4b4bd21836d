//! `commitments.NAME`.

use super::{Key, Kind};
use crate::spec::units::{Range, Unit};

/// A commitment.
pub static HELD: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice { values: &["reservation", "capacity-block"], later: &["savings-plan", "committed-use"] },
        "What it is. Both are machines of one type in one region, paid whether they run or not.",
    )
    .required(),
    Key::new("cloud", Kind::Cloud, "Whose machines they are.").required(),
    Key::new("region", Kind::Region, "The region that they are in, of that cloud.").required(),
    Key::new("instance_type", Kind::InstanceType, "The type of the machines, as the cloud names it.").required(),
    Key::new(
        "count",
        Kind::Whole { min: 0, max: 100_000, auto: false },
        "How many: all services of the deployment share them.",
    )
    .required(),
    Key::new(
        "until",
        Kind::Date,
        "When it ends. It counts up to the beginning of that day, UTC: what an hour of the last day is worth nobody can plan with.",
    )
    .required(),
    Key::new(
        "cost",
        Kind::Quantity(Unit::Hourly, Range { max: 1e6, ..Range::NOT_NEGATIVE }),
        "What one machine of it costs an hour, used or not. Told beside the bill; nothing is chosen by it.",
    )
    .default("unknown"),
    Key::new(
        "id",
        Kind::Text,
        "The cloud's id of it, for example `cr-0a1b2c3d4e5f67890`: recorded in the fleets that use it.",
    ),
];
