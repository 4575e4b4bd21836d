//! The keys of a federation.

use super::{DURATION, Key, Kind, Names, PLACEMENT, Range, Unit, WORKLOAD_LABELS};

pub(super) static FEDERATION: &[Key] = &[
    Key::new("labels", WORKLOAD_LABELS, "Added to the deployment's labels; the own ones win."),
    Key::new(
        "framework",
        Kind::Choice { values: &["flower"], later: &["nvflare"] },
        "What starts and connects the members.",
    )
    .required(),
    Key::new("image", Kind::Text, "The container image of every member: it has the framework and what is trained.").required(),
    Key::new(
        "command",
        Kind::List(&Kind::Text),
        "What starts the run on the aggregator, whose SuperLink answers at `127.0.0.1:9093`.",
    )
    .required(),
    Key::new(
        "sites",
        Kind::List(&Kind::Site),
        "Sites, each of which may have a client; the name of equal sites means all of them. All that keep `round_deadline` take part.",
    )
    .required(),
    Key::new(
        "min_sites",
        Kind::Whole { min: 1, max: 1000, auto: false },
        "A round counts once so many have answered.",
    )
    .required(),
    Key::new("rounds", Kind::Whole { min: 1, max: 100_000, auto: false }, "Rounds of a run.").required(),
    Key::new(
        "update",
        Kind::Quantity(Unit::Data, Range::POSITIVE),
        "Weights that go to every client in a round, and come back from it.",
    )
    .required(),
    Key::new(
        "local",
        Kind::Map { entry: "ACCELERATOR", names: Names::Any, of: &DURATION },
        "How long a client trains in a round, as you measured it on an accelerator. A client has one.",
    )
    .required(),
    Key::new(
        "aggregate",
        Kind::Map { entry: "PROCESSORS", names: Names::Any, of: &DURATION },
        "How long the aggregator takes for the update of a client, as you measured it: on a series (`aws/m7i`), a type \
         (`aws/m7i.2xlarge`), or all of an architecture (`x86_64`, `arm64`; assumed of what you did not measure). The narrowest counts.",
    )
    .required(),
    Key::new(
        "aggregator_memory",
        Kind::Quantity(Unit::Data, Range::POSITIVE),
        "Main memory that the aggregator needs.",
    )
    .required(),
    Key::new(
        "round_deadline",
        DURATION,
        "A round must end within this time. Sites that would be later take no part; fewer than `min_sites` are no plan.",
    )
    .required(),
    Key::new("schedule", Kind::Cron, "Five cron fields, UTC: `\"0 2 * * 0\"`.").default("one run"),
    Key::new("deadline", DURATION, "A run must end within this time.").default("what its rounds may take"),
    Key::new("placement", Kind::Section(PLACEMENT), "Where the aggregator may be: weights go there, raw data do not."),
    Key::new("after", Kind::List(&Kind::Run), "Runs (`pipelines.NAME`) that must be complete first."),
];
