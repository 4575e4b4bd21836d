//! The keys of a training.

use super::{DURATION, Key, Kind, PLACEMENT, PURCHASE, Range, Unit, WORKLOAD_LABELS};

pub(super) static TRAINING: &[Key] = &[
    Key::new("model", Kind::Model, "A name in `models`: what is trained.").required(),
    Key::new("labels", WORKLOAD_LABELS, "Added to the deployment's labels; the own ones win."),
    Key::new(
        "method",
        Kind::Choice { values: &["full", "lora", "qlora"], later: &[] },
        "Every parameter, or low-rank adapters on a frozen base (`qlora`: held in 4 bits).",
    )
    .required(),
    Key::new("rank", Kind::Whole { min: 1, max: 4096, auto: false }, "Rank of the adapters of `lora` and `qlora`.")
        .default("16"),
    Key::new(
        "precision",
        Kind::Choice { values: &["bf16", "fp8"], later: &[] },
        "What matrix products compute in; master weights and optimizer (Adam) have 32 bits.",
    )
    .default("bf16"),
    Key::new("dataset_tokens", Kind::Quantity(Unit::Count, Range::POSITIVE), "Tokens of one pass over the dataset.")
        .required(),
    Key::new("epochs", Kind::Quantity(Unit::Number, Range::POSITIVE), "Passes over the dataset.").default("1"),
    Key::new("sequence_tokens", Kind::Whole { min: 1, max: 1 << 24, auto: false }, "Tokens of a sequence.")
        .default("2048"),
    Key::new(
        "batch_size",
        Kind::Whole { min: 1, max: 1 << 20, auto: false },
        "Sequences of an optimizer step, all accelerators together. It decides what is learnt: the planner never changes it, \
         and only uses numbers of accelerators that divide it.",
    )
    .required(),
    Key::new(
        "micro_batch",
        Kind::Whole { min: 1, max: 1 << 20, auto: true },
        "Sequences that an accelerator computes at a time.",
    )
    .default("auto: the fastest that fits"),
    Key::new(
        "framework",
        Kind::Choice { values: &["pytorch", "tensorflow"], later: &[] },
        "What trains.",
    )
    .default("pytorch"),
    Key::new(
        "strategy",
        Kind::Choice { values: &["auto", "ddp", "zero2", "fsdp", "multi-worker"], later: &["parameter-server"] },
        "What is spread over accelerators: nothing (`ddp`; of TensorFlow `multi-worker`), gradients and optimizer (`zero2`), all (`fsdp`).",
    )
    .default("auto: the fastest that fits"),
    Key::new(
        "activation_checkpointing",
        Kind::Choice { values: &["auto", "none", "full"], later: &[] },
        "Whether activations are computed again in the backward pass, which saves memory.",
    )
    .default("auto: the faster that fits"),
    Key::new(
        "checkpoint_every",
        DURATION,
        "Training between two checkpoints. Without it, what loses least at the rate of interruptions (Young and Daly).",
    ),
    Key::new("dataset", Kind::Section(DATASET), "Where the dataset is, if the machines copy it from there."),
    Key::new(
        "command",
        Kind::List(&Kind::Text),
        "The training script and its arguments: `torchrun` (of TensorFlow `python3`) starts it on every machine. It finds what was chosen in its \
         environment (`RHUMB_STRATEGY`, `RHUMB_MICRO_BATCH`, ...).",
    )
    .required(),
    Key::new("schedule", Kind::Cron, "Five cron fields, UTC: `\"0 1 * * 6\"`.").default("one run"),
    Key::new("deadline", DURATION, "A run must end within this time.").required(),
    Key::new("placement", Kind::Section(PLACEMENT), "Where machines and their data may be."),
    Key::new("purchase", Kind::Section(PURCHASE), "How machines may be paid for."),
    Key::new("after", Kind::List(&Kind::Run), "Batches, trainings, pipelines and federations (`pipelines.NAME`) whose run must be complete first."),
];

static DATASET: &[Key] = &[
    Key::new("at", Kind::Region, "Region that it is copied from; the transfer is priced.").required(),
    Key::new("size", Kind::Quantity(Unit::Data, Range::POSITIVE), "How much is copied for a run.").required(),
];
