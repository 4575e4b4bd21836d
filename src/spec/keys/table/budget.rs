//! The keys of `budget` and `stability`.

use super::{Key, Kind, Names, Range, Unit};

pub(super) static BUDGET: &[Key] = &[
    Key::new("monthly", Kind::Quantity(Unit::Monthly, Range::POSITIVE), "Limit for everything, a month of 730 hours."),
    Key::new(
        "per",
        Kind::Map {
            entry: "ADDRESS",
            names: Names::Address,
            of: &Kind::Quantity(Unit::Monthly, Range::POSITIVE),
        },
        "Limits of single workloads: `services.chat: 30000 USD`.",
    ),
    Key::new(
        "by_label",
        Kind::Map {
            entry: "LABEL",
            names: Names::Any,
            of: &Kind::Map {
                entry: "VALUE",
                names: Names::Any,
                of: &Kind::Quantity(Unit::Monthly, Range::POSITIVE),
            },
        },
        "Limits of all workloads together that carry a label: `team: { search: 20000 USD }`.",
    ),
    Key::new(
        "carbon",
        Kind::Quantity(Unit::Emissions, Range::POSITIVE),
        "Limit on what everything emits, a month of 730 expected hours: machines, by the mean intensity of their region's grid.",
    ),
    Key::new(
        "binds",
        Kind::Choice { values: &["expected", "peak_month", "ceiling"], later: &[] },
        "Which figure is limited: the expected cost, a month that is all peak, or every pool at its largest with spot lost to on-demand.",
    )
    .default("ceiling"),
];

pub(super) static STABILITY: &[Key] = &[Key::new(
    "saving",
    Kind::Quantity(Unit::Percent, Range::OPEN),
    "What a service's machines of another type or in another region must cost less than those that run, before they replace them.",
)
.required()];
