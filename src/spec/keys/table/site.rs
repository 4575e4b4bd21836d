//! `sites.NAME`.

use super::{Key, Kind, Names};
use crate::spec::units::{Range, Unit};

/// A site.
pub static SITE: &[Key] = &[
    Key::new(
        "count",
        Kind::Whole { min: 1, max: crate::spec::MOST_EQUAL_SITES, auto: false },
        "So many equal sites, `NAME-1` and so on. Services go to them by these names, or by `placement.each_of` to each.",
    )
    .default("one site, by its name"),
    Key::new("location", Kind::Place, "Degrees north and east: `[48.14, 11.58]`.").required(),
    Key::new("country", Kind::Text, "ISO 3166 code of two letters: whose law holds there.").required(),
    Key::new(
        "inventory",
        Kind::Map { entry: "MACHINE", names: Names::Name, of: &Kind::Section(MACHINE) },
        "What stands there. A name means the same hardware at every site.",
    )
    .required(),
    Key::new("cost", HOURLY, "Of a machine in use. Required unless every machine states its own."),
    Key::new(
        "power",
        Kind::Quantity(Unit::Power, Range::POSITIVE),
        "Most that all machines in use may take at full load, by rhumb's model of power or what they state.",
    )
    .default("no cap"),
    Key::new(
        "grid",
        Kind::Quantity(Unit::Intensity, Range { max: 5000.0, ..Range::NOT_NEGATIVE }),
        "What its electricity emits.",
    )
    .default("unknown"),
    Key::new(
        "pue",
        Kind::Quantity(Unit::Number, Range { min: 1.0, min_open: false, max: 5.0, max_open: false }),
        "Power of the room over that of its machines.",
    )
    .default("unknown"),
    Key::new(
        "lan",
        Kind::Quantity(Unit::Duration, Range::NOT_NEGATIVE),
        "Round trip from an origin at the site to its machines.",
    )
    .default("1 ms, planned for as 2 ms (assumed)"),
    Key::new("wan", Kind::Section(WAN), "Its connection to everywhere else."),
];

const HOURLY: Kind = Kind::Quantity(Unit::Hourly, Range { max: 1e6, ..Range::NOT_NEGATIVE });

static MACHINE: &[Key] = &[
    Key::new("accelerator", Kind::Accelerator, "Any known spelling of one accelerator.").required(),
    Key::new("accelerators", Kind::Whole { min: 1, max: 64, auto: false }, "Accelerators of a machine.")
        .default("1"),
    Key::new(
        "count",
        Kind::Whole { min: 1, max: 100_000, auto: false },
        "Machines that stand there: no more are planned.",
    )
    .required(),
    Key::new("vcpus", Kind::Whole { min: 1, max: 10_000, auto: false }, "Virtual CPUs of a machine.")
        .required(),
    Key::new("memory", Kind::Quantity(Unit::Data, Range::POSITIVE), "Main memory of a machine.").required(),
    Key::new("cost", HOURLY, "Of a machine in use. `0 USD/h` may be said, and is never assumed.")
        .default("that of the site"),
    Key::new(
        "power",
        Kind::Quantity(Unit::Power, Range { max: 1e6, ..Range::POSITIVE }),
        "What a machine takes at full load.",
    )
    .default("modelled: board power, 3.5 W a vCPU, 0.392 W a GiB"),
];

static WAN: &[Key] = &[
    Key::new(
        "bandwidth",
        Kind::Quantity(Unit::Bandwidth, Range::POSITIVE),
        "Over which weights come to the site: the plan says how long that takes at least.",
    )
    .default("unknown"),
    Key::new(
        "round_trip",
        Kind::Quantity(Unit::Duration, Range::NOT_NEGATIVE),
        "What the connection itself takes, there and back; the distance to where a packet goes is added.",
    )
    .default("as between regions of clouds, by distance (modelled)"),
];
