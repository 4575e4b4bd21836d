//! The keys of a chain.

use super::{Key, Kind, Range, Unit};

pub(super) static CHAIN: &[Key] = &[
    Key::new(
        "steps",
        Kind::List(&Kind::Step),
        "The services, one after the other; those of a list are called at once: `[embed, [rank, filter]]`.",
    )
    .required(),
    Key::new("slo", Kind::Section(SLO), "How long all of it may take.").required(),
    Key::new(
        "between",
        Kind::Quantity(Unit::Duration, Range::NOT_NEGATIVE),
        "What passes between and beside the calls: your own code.",
    )
    .default("0ms"),
];

static SLO: &[Key] = &[Key::new(
    "e2e",
    Kind::Objectives,
    "One percentile and its limit, from the first call to the last answer. It is split over the services, so that they cost least.",
)
.required()];
