//! `commitments.NAME`.

use super::{Key, Kind};
use crate::spec::units::{Range, Unit};

/// A commitment.
pub static HELD: &[Key] = &[
    Key::new(
        "kind",
        Kind::Choice { values: &["reservation", "capacity-block", "savings-plan"], later: &["committed-use"] },
        "What it is. The first two are machines of one type in one region, paid whether they run or not; a savings plan (Google: a \
         flexible committed-use discount) is a promise to spend so much an hour, which covers machines up to that.",
    )
    .required(),
    Key::new("cloud", Kind::Cloud, "Whose machines they are.").required(),
    Key::new("region", Kind::Region, "The region that they are in, of that cloud. Of machines; required there."),
    Key::new("instance_type", Kind::InstanceType, "The type of the machines, as the cloud names it. Of machines; required there."),
    Key::new(
        "count",
        Kind::Whole { min: 0, max: 100_000, auto: false },
        "How many: all of the deployment share them. Of machines; required there.",
    ),
    Key::new(
        "spend",
        Kind::Quantity(Unit::Hourly, Range { max: 1e6, ..Range::NOT_NEGATIVE }),
        "What is promised of each hour, and left for this deployment: machines are covered up to that, and cost nothing more. Of a savings \
         plan; required there.",
    ),
    Key::new(
        "rates",
        Kind::List(&Kind::Section(RATE)),
        "What an hour of a machine takes of `spend`. The first that fits it counts; what none fits is not covered. Of a savings plan; required there.",
    ),
    Key::new(
        "until",
        Kind::Date,
        "When it ends. It counts up to the beginning of that day, UTC: what an hour of the last day is worth nobody can plan with.",
    )
    .required(),
    Key::new(
        "cost",
        Kind::Quantity(Unit::Hourly, Range { max: 1e6, ..Range::NOT_NEGATIVE }),
        "What one machine of it costs an hour, used or not. Told beside the bill; nothing is chosen by it. Of machines.",
    )
    .default("unknown"),
    Key::new(
        "id",
        Kind::Text,
        "The cloud's id of it, for example `cr-0a1b2c3d4e5f67890`: recorded in the fleets that use it.",
    ),
];

/// An entry of `rates`.
static RATE: &[Key] = &[
    Key::new(
        "discount",
        Kind::Quantity(Unit::Percent, Range::PART),
        "How much less than its list price on demand a machine takes.",
    )
    .required(),
    Key::new("instance_types", Kind::AllowDeny(&Kind::InstanceType), "The types that it is for.")
        .default("any"),
    Key::new("regions", Kind::AllowDeny(&Kind::Region), "The regions of the cloud that it is for.")
        .default("any"),
];
