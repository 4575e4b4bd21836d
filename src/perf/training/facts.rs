//! Measured training runs, and the constants fitted on them.
//!
//! `perf_convert training` writes both tables: `training.tsv` from the collected runs, each row with its
//! source and date, `training_fit.tsv` by least squares.

use std::sync::OnceLock;

use super::{Checkpointing, Method, Run, Sharding, TrainingPrecision};
use crate::catalog::{Catalog, ModelArch, ModelKind, Provenance};
use crate::perf::types::Band;
use crate::spec::Quantization;

/// A measured run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The model's name in its source.
    pub model: String,
    /// Its architecture: of the catalogue, or built from the row's dimensions.
    pub arch: ModelArch,
    /// Accelerator of the catalogue.
    pub accelerator: String,
    /// Accelerators.
    pub accelerators: u32,
    /// How it was trained.
    pub method: Method,
    /// What it computed in.
    pub precision: TrainingPrecision,
    /// Tokens of a sequence.
    pub sequence: u32,
    /// Sequences in a micro-batch; `None` = not stated.
    pub micro_batch: Option<u32>,
    /// How state was spread; `None` = not stated.
    pub sharding: Option<Sharding>,
    /// Whether activations were recomputed; `None` = not stated.
    pub checkpointing: Option<Checkpointing>,
    /// Network of a machine, bytes/s for each accelerator.
    pub network: f64,
    /// Measured tokens/s for each accelerator.
    pub tokens_per_s: f64,
    /// Where the row comes from.
    pub source: String,
}

impl Fact {
    /// What was left out at a time when the errors were measured.
    pub fn group(&self) -> String {
        format!("{}|{}|{}", self.model, self.accelerator, self.precision.as_str())
    }

    /// The run, with what its source does not state as the model assumes it: fully sharded,
    /// recomputed, one sequence at a time.
    pub fn run<'a>(&'a self, accelerator: &'a crate::catalog::Accelerator) -> Run<'a> {
        Run {
            arch: &self.arch,
            accelerator,
            accelerators: self.accelerators,
            accelerators_per_node: 8,
            network: Some(self.network),
            method: self.method,
            framework: super::Framework::PyTorch,
            precision: self.precision,
            sequence: self.sequence,
            micro_batch: self.micro_batch.unwrap_or(1),
            sharding: self.sharding.unwrap_or(Sharding::Full),
            checkpointing: self.checkpointing.unwrap_or(Checkpointing::Full),
        }
    }
}

/// A decoder of the MPT family (mosaicml/llm-foundry, `scripts/train/yamls/pretrain/mpt-*.yaml`): full
/// attention, a feed-forward of four times the hidden size without a gate, tied embeddings.
fn mpt(name: &str, layers: u32, hidden: u32, heads: u32, vocab: u32) -> ModelArch {
    let (l, h) = (f64::from(layers), f64::from(hidden));
    let params = l * (12.0 * h * h + 2.0 * h) + h + f64::from(vocab) * h;
    ModelArch {
        id: name.to_owned(),
        kind: ModelKind::Dense,
        params,
        params_active: params,
        layers,
        hidden,
        ffn: hidden.saturating_mul(4),
        gated: false,
        heads,
        kv_heads: heads,
        head_dim: hidden.checked_div(heads).unwrap_or(0),
        mla: None,
        moe: None,
        vocab,
        max_context: 65536,
        native: Quantization::Bf16,
        sliding: None,
        linear_layers: 0,
        sparse_topk: None,
        tied_embeddings: true,
        licence: None,
        provenance: Provenance { source: "llm-foundry".into(), as_of: "".into() },
    }
}

/// All measured runs; a row whose model the catalogue does not hold is left out.
pub fn facts(catalog: &Catalog) -> Vec<Fact> {
    read(include_str!("../data/training.tsv"), catalog)
}

/// Parses the table of runs.
pub fn read(text: &str, catalog: &Catalog) -> Vec<Fact> {
    crate::perf::data::rows(text)
        .filter_map(|c| {
            let cell = |i: usize| c.get(i).copied().unwrap_or("");
            let count = |i: usize| cell(i).parse::<u32>().ok().filter(|n| *n > 0);
            let arch = match cell(1) {
                "" => mpt(cell(0), count(2)?, count(3)?, count(4)?, count(5)?),
                id => catalog.resolve_checkpoint(id)?.0.clone(),
            };
            Some(Fact {
                model: cell(0).to_owned(),
                arch,
                accelerator: cell(6).to_owned(),
                accelerators: count(7)?,
                method: match cell(8) {
                    "lora" => Method::Lora { rank: 16 },
                    _ => Method::Full,
                },
                precision: TrainingPrecision::parse(cell(9))?,
                sequence: count(10)?,
                micro_batch: count(11),
                sharding: Sharding::parse(cell(12)),
                checkpointing: Checkpointing::parse(cell(13)),
                network: cell(14).parse::<f64>().ok()? * 1e9 / 8.0,
                tokens_per_s: cell(15).parse().ok()?,
                source: cell(16).to_owned(),
            })
        })
        .collect()
}

/// The fitted constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Constants {
    /// Times the terms of [`super::Terms`], in the order of [`super::NAMES`].
    pub values: [f64; super::N],
    /// Measured over predicted time of mixture-of-experts models.
    pub experts: f64,
    /// Measured over predicted time of LoRA.
    pub lora: f64,
    /// Of [`super::Class`], in its order.
    pub bands: [Band; 5],
}

/// The constants of the build.
pub fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| parse(include_str!("../data/training_fit.tsv")))
}

/// Parses `name value sigma n_groups`; a name that is missing reads as zero, so that the tests of the
/// build see it.
fn parse(text: &str) -> Constants {
    let find = |name: &str| -> [f64; 3] {
        crate::perf::data::rows(text)
            .find(|c| c.first() == Some(&name))
            .map_or([0.0; 3], |c| [1, 2, 3].map(|i| c.get(i).and_then(|x| x.parse().ok()).unwrap_or(0.0)))
    };
    Constants {
        values: super::NAMES.map(|name| find(name)[0]),
        experts: find("experts")[0],
        lora: find("lora")[0],
        bands: super::Class::ALL.map(|class| {
            let [mu, sigma, groups] = find(&format!("band:{}", class.as_str()));
            Band { mu, sigma, groups: groups as u32 }
        }),
    }
}
