//! The keys of a pipeline.

use super::{DURATION, Key, Kind, Names, PLACEMENT, PURCHASE, Range, Unit, WORKLOAD_LABELS};

pub(super) static PIPELINE: &[Key] = &[
    Key::new("labels", WORKLOAD_LABELS, "Added to the deployment's labels; the own ones win."),
    Key::new("engine", Kind::Choice { values: &["spark", "ray"], later: &[] }, "What divides the work among machines.")
        .required(),
    Key::new("image", Kind::Text, "The container image that has the engine and the job.").required(),
    Key::new(
        "command",
        Kind::List(&Kind::Text),
        "What starts the job on the first machine. It finds the engine in its environment: `$SPARK_MASTER_URL`, or `$RAY_ADDRESS`.",
    )
    .required(),
    Key::new("input", Kind::Quantity(Unit::Data, Range::POSITIVE), "What a run reads.").required(),
    Key::new(
        "throughput_per_core",
        Kind::Map { entry: "PROCESSORS", names: Names::Any, of: &Kind::Quantity(Unit::DataRate, Range::POSITIVE) },
        "Input that a vCPU works through, as you measured it: on a series (`aws/m7i`), a type (`aws/m7i.2xlarge`), or all of an \
         architecture (`x86_64`, `arm64`; assumed of what you did not measure). The narrowest counts; where there is none, it is not run.",
    )
    .required(),
    Key::new(
        "memory_per_core",
        Kind::Quantity(Unit::Data, Range::POSITIVE),
        "Main memory that a working vCPU needs. A machine works with as many as have it.",
    )
    .required(),
    Key::new(
        "shards",
        Kind::Whole { min: 1, max: 10_000_000, auto: false },
        "Equal parts of the input. A vCPU works on one at a time, so that the last wave of them is counted whole.",
    )
    .default("one for each 128 MiB"),
    Key::new("dataset", Kind::Section(DATASET), "Where the input is, if it is not in every region."),
    Key::new("schedule", Kind::Cron, "Five cron fields, UTC: `\"0 1 * * *\"`.").default("one run"),
    Key::new("deadline", DURATION, "A run must end within this time.").required(),
    Key::new("placement", Kind::Section(PLACEMENT), "Where machines and their data may be."),
    Key::new("purchase", Kind::Section(PURCHASE), "How machines may be paid for."),
    Key::new("after", Kind::List(&Kind::Run), "Batches, trainings, pipelines and federations (`batches.NAME`) whose run must be complete first."),
    Key::not_yet("rate", "Events a second of a stream that never ends."),
    Key::not_yet("freshness", "How old what a stream has made of its events may be."),
];

static DATASET: &[Key] =
    &[Key::new("at", Kind::Region, "Region that it is read from; the transfer is priced.").required()];
