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
    Key::new("input", Kind::Quantity(Unit::Data, Range::POSITIVE), "What a run reads. It and `deadline` are required, unless it is a stream."),
    Key::new(
        "rate",
        Kind::Quantity(Unit::Events, Range::POSITIVE),
        "Events that come in at the peak, of a stream that never ends: in the place of `input`, `deadline`, `schedule` and `dataset`.",
    ),
    Key::new("event_size", Kind::Quantity(Unit::Size, Range::POSITIVE), "What an event of a stream takes. Required of a stream."),
    Key::new(
        "freshness",
        DURATION,
        "How old what a stream has made of an event may be: it waits for its micro-batch, and for that to be worked through. Required of a stream.",
    ),
    Key::new(
        "batch_overhead",
        DURATION,
        "What a micro-batch of a stream takes besides its events, as you measured it: planning, commits, the checkpoint. Required of a stream.",
    ),
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
        "Equal parts of the input; of a stream the partitions of its source, required there. A vCPU works on one at a time, so that the last wave of them is counted whole.",
    )
    .default("one for each 128 MiB"),
    Key::new("dataset", Kind::Section(DATASET), "Where the input is, if it is not in every region."),
    Key::new("schedule", Kind::Cron, "Five cron fields, UTC: `\"0 1 * * *\"`.").default("one run"),
    Key::new("deadline", DURATION, "A run must end within this time."),
    Key::new("survive", Kind::Section(STREAM_SURVIVE), "What of a stream may fail, one scope at a time, while `during_failure` holds."),
    Key::new("during_failure", Kind::Section(STREAM_DURING_FAILURE), "What must still hold of a stream during a failure."),
    Key::new("placement", Kind::Section(PLACEMENT), "Where machines and their data may be."),
    Key::new("purchase", Kind::Section(PURCHASE), "How machines may be paid for."),
    Key::new("after", Kind::List(&Kind::Run), "Batches, trainings, pipelines and federations (`batches.NAME`) whose run must be complete first."),
];

static STREAM_SURVIVE: &[Key] = &[
    Key::new("machine", Kind::Whole { min: 0, max: 1000, auto: false }, "Machines that may fail.")
        .default("0"),
    Key::new("zone", Kind::Whole { min: 0, max: 10, auto: false }, "Zones of the region that may fail.")
        .default("0"),
    Key::not_yet("region", "Regions that may fail."),
];

static STREAM_DURING_FAILURE: &[Key] = &[
    Key::new(
        "capacity",
        Kind::Quantity(Unit::Percent, Range::POSITIVE_SHARE),
        "Share of the peak that what is left keeps up with, as fresh as ever.",
    )
    .default("100%"),
    Key::not_yet("slo", "By how much it may be less fresh."),
];

static DATASET: &[Key] =
    &[Key::new("at", Kind::Region, "Region that it is read from; the transfer is priced.").required()];
