//! The keys of a model whose times were measured, and those of what is good enough.

use super::{Key, Kind, Names, Range, Unit};

pub(super) static MEASURED: &[Key] = &[
    Key::new("unit", Kind::Name, "What an item is called in text: `frame`, `study`, `event`.").default("item"),
    Key::new(
        "image",
        Kind::Text,
        "The container image that serves it. It listens on `$RHUMB_PORT`, answers 200 on `/health` once it is ready, takes an item \
         a request, has one accelerator or `$RHUMB_VCPUS` vCPUs, and finds in its environment what was chosen (`RHUMB_VARIANT`, `RHUMB_BATCH`, ...).",
    )
    .required(),
    Key::new("command", Kind::List(&Kind::Text), "What the container runs.").default("what the image says"),
    Key::new(
        "variants",
        Kind::Map { entry: "VARIANT", names: Names::Loose, of: &Kind::Section(VARIANT) },
        "Builds of it that the planner may choose from.",
    )
    .required(),
];

static VARIANT: &[Key] = &[
    Key::new(
        "quality",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Its score. Required if the model has a `quality.floor`.",
    ),
    Key::new(
        "memory",
        Kind::Quantity(Unit::Data, Range::POSITIVE),
        "What a server of it takes of its accelerator's memory, or on processors of the main memory, at the most.",
    )
    .required(),
    Key::new(
        "time",
        Kind::Map { entry: "DEVICE", names: Names::Any, of: &Kind::Launch },
        "What you measured on one whole accelerator of each kind: the time of an item, or `{ batch: 8, takes: 22ms }` for a server that \
         takes up to 8 waiting items together, which then take 22 ms however many they are. On machines without accelerators: \
         of a series (`aws/m7i`), a type (`aws/m7i.2xlarge`), or all of an architecture (`x86_64`, `arm64`, which also says that the \
         image runs there; assumed of what you did not measure), the narrowest counts; `{ vcpus: 2, takes: 1.1ms }` for a server with \
         that many vCPUs (1 if not stated). Taken as always that long: write a high percentile if it varies. Where there is no time, \
         it is not run.",
    )
    .required(),
];

pub(super) static QUALITY: &[Key] = &[
    Key::new(
        "keep",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Share of the uncompressed model's score that must be kept. Required unless the model is `measured`.",
    ),
    Key::new(
        "floor",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Least score of a variant of a `measured` model, whose variants state their own (`measured.variants.VARIANT.quality`).",
    ),
    Key::new("benchmark", Kind::Text, "Benchmark that the score is of, for example `mmlu`.").required(),
    Key::new(
        "measured",
        Kind::Map {
            entry: "VARIANT",
            names: Names::Loose,
            of: &Kind::Quantity(Unit::Percent, Range { min: 0.0, min_open: true, max: 2.0, max_open: false }),
        },
        "Your own figures: variant to the share of the score that it keeps. They win over the catalogue's.",
    ),
];
