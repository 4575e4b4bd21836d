//! `models.NAME`.

use super::measured::{MEASURED, QUALITY};
use super::{Key, Kind, Names};

pub(super) static MODEL: &[Key] = &[
    Key::new(
        "source",
        Kind::ModelSource,
        "A known model id or alias such as `Qwen/Qwen3-32B`, or the path of a Hugging Face `config.json`. Required unless `measured` is there.",
    ),
    Key::new(
        "measured",
        Kind::Section(MEASURED),
        "In place of `source`: any other model, by what your own server of it takes for an item on an accelerator or on processors.",
    ),
    Key::new("revision", Kind::Text, "Commit or tag of the model repository; passed to the engine."),
    Key::new(
        "artifacts_at",
        Kind::Region,
        "Region that the weights are copied from, if not from the public hub; the transfer is priced.",
    ),
    Key::new(
        "variants",
        Kind::Map { entry: "VARIANT", names: Names::Loose, of: &Kind::Section(VARIANT) },
        "Compressions that the planner may choose from.",
    )
    .default("one variant `native`: the checkpoint as published"),
    Key::new("quality", Kind::Section(QUALITY), "Which compressions are good enough."),
    Key::new(
        "adapters",
        Kind::Section(ADAPTERS),
        "LoRA adapters on it: every replica holds all of them, and services share them as one pool.",
    ),
];

static ADAPTERS: &[Key] = &[
    Key::new("max_rank", Kind::Whole { min: 1, max: 512, auto: false }, "The largest rank among them.")
        .required(),
    Key::new(
        "sources",
        Kind::Map { entry: "ADAPTER", names: Names::Loose, of: &Kind::Text },
        "By the name that requests go by, the repository that the engine loads the adapter from.",
    )
    .required(),
];

static VARIANT: &[Key] = &[
    Key::new(
        "quantization",
        Kind::Choice {
            values: &["native", "bf16", "fp8", "fp8_block", "int8", "int4", "awq", "gptq", "mxfp4", "nvfp4"],
            later: &[],
        },
        "How the weights are stored; `awq`, `gptq` and `int4` are 4-bit weights in groups of 128.",
    )
    .default("the variant's own name if it is one of these, else `native`"),
    Key::new(
        "kv_cache_dtype",
        Kind::Choice { values: &["auto", "bf16", "fp8"], later: &[] },
        "How the KV cache is stored.",
    )
    .default("auto"),
    Key::new("source", Kind::Text, "Repository of the compressed checkpoint, if it is another one."),
];
