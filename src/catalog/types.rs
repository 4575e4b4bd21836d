//! The rows of the catalogue. Every row knows its source and its date; `None` means unknown.

use std::sync::Arc;

use rhumb_api::{Cloud, Money, Purchase};

use super::Committed;

/// What stands behind a figure, from the strongest to the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// Measured on the very configuration.
    Measured,
    /// Predicted by a model whose error was measured on configurations of the same class.
    Calibrated,
    /// Read in a published list on a stated date.
    Listed,
    /// Said by the user of what is the user's own.
    Stated,
    /// Predicted by a model that nothing measured stands behind for this class.
    Modelled,
    /// Assumed, because nothing better is known.
    Assumed,
}

impl Evidence {
    /// The word shown to users.
    pub const fn as_str(self) -> &'static str {
        match self {
            Evidence::Measured => "measured",
            Evidence::Calibrated => "calibrated",
            Evidence::Listed => "listed",
            Evidence::Stated => "stated",
            Evidence::Modelled => "modelled",
            Evidence::Assumed => "assumed",
        }
    }
}

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Provenance {
    /// Source id: a row of the `sources` table, `user:FILE` for a user's own file; a listed price with a
    /// discount of a user's file has both, separated by `, `.
    pub source: std::sync::Arc<str>,
    /// The date that the figure was true, `YYYY-MM-DD`; empty if the source states none.
    pub as_of: std::sync::Arc<str>,
}

impl Provenance {
    /// Whether a user's own file says it, and nothing else does.
    pub fn is_own(&self) -> bool {
        self.source.starts_with("user:")
    }
}

/// A source of figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: String,
    /// What was taken from where.
    pub description: String,
    /// Commit or date of the copy.
    pub copy: String,
    /// Its licence, as found.
    pub licence: String,
}

/// An accelerator model, whole card or chip. Rates are dense peaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Accelerator {
    /// Canonical id, for example `h100-sxm-80gb`.
    pub id: String,
    /// `nvidia`, `amd`, `google`, `aws`, ...
    pub vendor: String,
    /// Marketing name.
    pub model: String,
    /// Nominal memory, GiB.
    pub memory_gib: f64,
    /// Memory that the driver reports, bytes; `None` = only the nominal figure is known.
    pub memory_reported_bytes: Option<f64>,
    /// Memory bandwidth, bytes/s.
    pub memory_bandwidth: Option<f64>,
    /// Dense bf16 rate, flop/s; `None` = not supported or unknown.
    pub bf16: Option<f64>,
    /// Dense fp16 rate, flop/s.
    pub fp16: Option<f64>,
    /// Dense fp32 rate, flop/s.
    pub fp32: Option<f64>,
    /// Dense fp8 rate, flop/s.
    pub fp8: Option<f64>,
    /// Dense int8 rate, op/s.
    pub int8: Option<f64>,
    /// Dense fp4 rate, flop/s.
    pub fp4: Option<f64>,
    /// Link between accelerators of a machine: `nvlink4`, `pcie4`, ...
    pub interconnect: Option<String>,
    /// Bytes/s per accelerator, both directions together, as vendors state it.
    pub interconnect_bandwidth: Option<f64>,
    /// Board power, W.
    pub tdp_watts: Option<f64>,
    /// NVIDIA compute capability or AMD gfx name.
    pub compute_capability: Option<String>,
    /// Name of the same accelerator in the performance tables (`h100_sxm`), if it is there.
    pub perf_id: Option<String>,
    /// Remarks of the source.
    pub notes: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}

/// A virtual machine type of a cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceType {
    /// The cloud.
    pub cloud: Cloud,
    /// The cloud's own name; for attached accelerators `machine-type+accelerator:count`.
    pub name: String,
    /// Index into [`super::Catalog::accelerators`]; `None` = a CPU type.
    pub accelerator: Option<usize>,
    /// Accelerators; below 1 for a partition of one.
    pub accelerator_count: f64,
    /// Virtual CPUs.
    pub vcpus: f64,
    /// Main memory, GiB.
    pub memory_gib: Option<f64>,
    /// Local NVMe, GiB; `None` = unknown.
    pub local_nvme_gib: Option<f64>,
    /// Network, Gbit/s.
    pub network_gbps: Option<f64>,
    /// RDMA fabric: `efa`, `infiniband`, `roce`, ...
    pub rdma: Option<String>,
    /// RDMA, Gbit/s.
    pub rdma_gbps: Option<f64>,
    /// `x86_64` or `arm64`.
    pub arch: String,
    /// Of a machine at a site: watts at full load, whole; `None` = not known, and of everything that clouds sell.
    pub full_load_watts: Option<f64>,
    /// `current`, `previous`, `retired`, ...
    pub status: String,
    /// Remarks of the source.
    pub notes: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}

/// A region of a cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// The cloud.
    pub cloud: Cloud,
    /// The cloud's own id.
    pub id: String,
    /// City or area.
    pub location: String,
    /// ISO 3166 alpha-2 code, upper case; empty if unknown.
    pub country: String,
    /// `europe`, `north-america`, ...
    pub continent: String,
    /// Lower-case tags such as `eu`, `de`, `us`, `us-gov`.
    pub jurisdictions: Vec<String>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Availability zones; a region without any is one failure domain and has 1. `None` = unknown.
    pub zones: Option<u32>,
    /// What its electricity emits; `None` = unknown.
    pub grid: Option<Grid>,
    /// Power of the data centre over that of its machines; `None` = unknown.
    pub pue: Option<Pue>,
    /// Remarks of the source.
    pub notes: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}

/// What the electricity of a region emits: the mean of a year, by location.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Grams of CO2e for a kWh, 0 or more.
    pub g_per_kwh: f64,
    /// The year that it is the mean of; `None` = the source does not say.
    pub year: Option<u32>,
    /// Where the figure comes from.
    pub provenance: Provenance,
}

/// Power of a data centre over that of its machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Pue {
    /// The ratio, 1 or more.
    pub ratio: f64,
    /// Whether it is the region's own; else it is the mean of its cloud.
    pub of_region: bool,
    /// Where the figure comes from.
    pub provenance: Provenance,
}

/// Whether an instance type can be had in a region. A price row alone is no promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offered {
    /// The source lists only what can be had.
    Yes,
    /// Priced, but the source also prices what is not deployed.
    Unknown,
}

/// A price of an instance type in a region (the cheapest zone where zones differ).
#[derive(Clone, Debug, PartialEq)]
pub struct Offering {
    /// Index into [`super::Catalog::instance_types`].
    pub instance_type: usize,
    /// Index into [`super::Catalog::regions`].
    pub region: usize,
    /// The zones that have this price, if zones are priced apart.
    pub zone: Option<String>,
    /// How it is paid for.
    pub purchase: Purchase,
    /// Dollars an hour for the whole machine, after the user's discounts.
    pub price: Money,
    /// Dollars an hour as listed.
    pub list_price: Money,
    /// Whether it can be had.
    pub offered: Offered,
    /// Spot only: upper edge of the monthly interruption frequency, a fraction; 1 where the source says
    /// only `>20%`; `None` = unknown.
    pub interruption: Option<f64>,
    /// Where the price comes from.
    pub provenance: Provenance,
    /// Of a held machine, what holds it; of no other.
    pub held: Option<Arc<Committed>>,
}

/// A limit that clouds put on what an account may run at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// The cloud.
    pub cloud: Cloud,
    /// Families or types that count against it, as in the source (space separated).
    pub families: String,
    /// The purchase it applies to.
    pub purchase: Purchase,
    /// The cloud's name for it.
    pub name: String,
    /// The cloud's code for it.
    pub code: String,
    /// What is counted.
    pub unit: QuotaUnit,
    /// `region` or `global`.
    pub scope: String,
    /// What a new account has; `None` = unknown.
    pub default_new_account: Option<f64>,
    /// Remarks of the source.
    pub notes: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaUnit {
    /// Virtual CPUs.
    Vcpus,
    /// Accelerators.
    Gpus,
    /// TPU chips.
    Chips,
    /// Machines: what stands at a site, or is held.
    Machines,
    /// Watts of machines at full load.
    Watts,
    /// Dollars an hour that a savings plan covers.
    UsdPerHour,
}

impl QuotaUnit {
    /// The word of plans and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            QuotaUnit::Vcpus => "vcpus",
            QuotaUnit::Gpus => "gpus",
            QuotaUnit::Chips => "chips",
            QuotaUnit::Machines => "machines",
            QuotaUnit::Watts => "watts",
            QuotaUnit::UsdPerHour => "usd_per_hour",
        }
    }
}

/// Network time between two places, one round trip.
#[derive(Clone, Debug, PartialEq)]
pub struct RoundTrip {
    /// Milliseconds.
    pub ms: f64,
    /// Milliseconds at the pessimistic edge (90th percentile of the model's error; the measured value itself).
    pub ms_p90: f64,
    /// Measured, modelled or assumed.
    pub evidence: Evidence,
    /// Where the figure comes from.
    pub provenance: Provenance,
}

/// A price of moving data.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferPrice {
    /// Dollars a GiB.
    pub usd_per_gib: Money,
    /// Where the figure comes from.
    pub provenance: Provenance,
}

/// The class of a model, which decides how it is run and predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelKind {
    /// A decoder without experts.
    Dense,
    /// A decoder with experts.
    Moe,
    /// A model that turns a text into a vector.
    Embedding,
    /// Another encoder (classifier, reranker).
    Encoder,
}

/// The architecture of a model: everything that memory and speed follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelArch {
    /// Canonical id, for example `Qwen/Qwen3-32B`; the file's path for a local config.
    pub id: String,
    /// Class.
    pub kind: ModelKind,
    /// Parameters, computed from the architecture.
    pub params: f64,
    /// Parameters active per token, computed from the architecture.
    pub params_active: f64,
    /// Layers.
    pub layers: u32,
    /// Hidden size.
    pub hidden: u32,
    /// Feed-forward size of the dense layers (0 if every layer has experts).
    pub ffn: u32,
    /// Whether the feed-forward has a gate (three matrices, not two).
    pub gated: bool,
    /// Attention heads.
    pub heads: u32,
    /// Key/value heads.
    pub kv_heads: u32,
    /// Head dimension.
    pub head_dim: u32,
    /// Multi-head latent attention, if the model has it.
    pub mla: Option<Mla>,
    /// Experts, if the model has them.
    pub moe: Option<Moe>,
    /// Vocabulary.
    pub vocab: u32,
    /// Longest context, tokens.
    pub max_context: u32,
    /// How the checkpoint is published.
    pub native: crate::spec::Quantization,
    /// Sliding window and the number of layers that have it.
    pub sliding: Option<(u32, u32)>,
    /// Layers with linear attention (no KV cache that grows).
    pub linear_layers: u32,
    /// Sparse attention reads only this many tokens.
    pub sparse_topk: Option<u32>,
    /// Whether input and output embeddings share one matrix.
    pub tied_embeddings: bool,
    /// Licence of the weights, as stated by their publisher.
    pub licence: Option<String>,
    /// Where the facts come from.
    pub provenance: Provenance,
}

/// Multi-head latent attention (DeepSeek).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mla {
    /// Rank of the compressed KV.
    pub kv_lora_rank: u32,
    /// Rank of the compressed query; 0 = not compressed.
    pub q_lora_rank: u32,
    /// Rotary part of a head.
    pub qk_rope_head_dim: u32,
    /// Other part of a head.
    pub qk_nope_head_dim: u32,
    /// Value part of a head.
    pub v_head_dim: u32,
}

/// Mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moe {
    /// Routed experts.
    pub experts: u32,
    /// Experts a token goes to.
    pub per_token: u32,
    /// Shared experts.
    pub shared: u32,
    /// Size of an expert.
    pub intermediate: u32,
    /// Layers without experts.
    pub dense_layers: u32,
}

/// How much of a model's score a compression kept.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityRow {
    /// Canonical model id.
    pub model: String,
    /// The compression.
    pub quantization: crate::spec::Quantization,
    /// Benchmark, lower case.
    pub benchmark: String,
    /// Kept share of the uncompressed score, a fraction.
    pub recovery: f64,
    /// `measured by the quantizer`, `model card`, ...
    pub kind: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}
