//! The typed spec: what a team wrote, with units resolved and defaults filled in.
//!
//! Working types only: they are not serialised. Every part that a later stage may complain about carries the JSON pointer of the place
//! it was read from ([`Pointer`]); [`crate::diagnostic`] turns it into file, line and column.

use std::collections::BTreeMap;

pub use rhumb_api::{Cloud, Money, Purchase};

use crate::diagnostic::Pointer;

/// A whole deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// `name`: lower-case letters, digits and `-`.
    pub name: String,
    /// `labels`, put on every resource.
    pub labels: BTreeMap<String, String>,
    /// `models.NAME`.
    pub models: BTreeMap<String, Model>,
    /// `services.NAME`.
    pub services: BTreeMap<String, Service>,
    /// `services.NAME` with a `profile`; no name is among [`Spec::services`] too.
    pub profiled: BTreeMap<String, super::Profiled>,
    /// `chains.NAME`.
    pub chains: BTreeMap<String, super::Chain>,
    /// `batches.NAME`.
    pub batches: BTreeMap<String, Batch>,
    /// `trainings.NAME`.
    pub trainings: BTreeMap<String, super::Training>,
    /// `pipelines.NAME`.
    pub pipelines: BTreeMap<String, super::Pipeline>,
    /// `federations.NAME`.
    pub federations: BTreeMap<String, super::Federation>,
    /// `budget`.
    pub budget: super::Budget,
    /// `objective`.
    pub objective: super::Goal,
    /// `stability`; `None` = what runs counts for nothing.
    pub stability: Option<super::Stability>,
    /// `confidence`, a fraction in (0, 1): the edge of every prediction's band that is planned for.
    pub confidence: f64,
    /// `providers.CLOUD`; with sites, those of [`Cloud::Site`] are what [`Spec::lower_sites`] makes of them.
    pub providers: BTreeMap<Cloud, ProviderSettings>,
    /// `sites.NAME`.
    pub sites: BTreeMap<String, super::EdgeSite>,
    /// `commitments.NAME` of machines.
    pub held: BTreeMap<String, super::Held>,
    /// `commitments.NAME` of kind `savings-plan`.
    pub savings: BTreeMap<String, super::SavingsPlan>,
    /// `services.NAME.rollout`, by the address of the service.
    pub rollouts: BTreeMap<String, super::Rollout>,
    /// `catalog`: the user's own catalogue files, relative to the spec's folder, in order.
    pub catalog_files: Vec<FileRef>,
    /// `calibration`: the user's own benchmark runs, relative to it.
    pub calibration: Option<FileRef>,
    /// `state`.
    pub state: StateSettings,
}

impl Spec {
    /// The addresses of all workloads: services, batches, trainings, pipelines, federations, each in the order of its name.
    pub fn addresses(&self) -> Vec<String> {
        let mut services: Vec<&String> = self.services.keys().chain(self.profiled.keys()).collect();
        services.sort_unstable();
        let services = services.into_iter().map(|name| format!("services.{name}"));
        let batches = self.batches.keys().map(|name| format!("batches.{name}"));
        let trainings = self.trainings.keys().map(|name| format!("trainings.{name}"));
        let pipelines = self.pipelines.keys().map(|name| format!("pipelines.{name}"));
        let federations = self.federations.keys().map(|name| format!("federations.{name}"));
        services.chain(batches).chain(trainings).chain(pipelines).chain(federations).collect()
    }
}

/// A file that the spec names. Reading it is the caller's job, not the spec's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// The path as written, relative to the spec's folder.
    pub path: String,
    /// Where it was written.
    pub at: Pointer,
}

/// One model and the compressions of it that the planner may choose from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Name in the spec.
    pub name: String,
    /// `source`.
    pub source: ModelSource,
    /// `revision`: a commit of the model repository, passed to the engine.
    pub revision: Option<String>,
    /// `artifacts_at`: where the weights are copied from, if not from the public hub.
    pub artifacts_at: Option<RegionRef>,
    /// `variants.NAME`; never empty (the default is one variant `native`).
    pub variants: BTreeMap<String, Variant>,
    /// `quality`.
    pub quality: Option<QualityFloor>,
    /// `adapters`.
    pub adapters: Option<super::LoraAdapters>,
    /// Where it was written.
    pub at: Pointer,
}

/// Where a model's architecture, or what stands for it, is known from.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelSource {
    /// A model id or alias, resolved to the catalogue's canonical id.
    Known {
        /// As written, for example `Qwen/Qwen3-32B`.
        written: String,
        /// The canonical id of the architecture in the catalogue.
        id: String,
    },
    /// A local Hugging Face `config.json`.
    Config(FileRef),
    /// `measured`: no architecture, but what the team measured.
    Measured(super::Measured),
}

impl Model {
    /// What the team measured of it, if that stands in place of an architecture.
    pub fn measured(&self) -> Option<&super::Measured> {
        match &self.source {
            ModelSource::Measured(measured) => Some(measured),
            ModelSource::Known { .. } | ModelSource::Config(_) => None,
        }
    }
}

/// A compression of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Name in the spec.
    pub name: String,
    /// `quantization`.
    pub quantization: Quantization,
    /// `kv_cache_dtype`; `Auto` is the engine's default for the checkpoint.
    pub kv_cache: KvCacheDtype,
    /// `source`: the repository of the compressed checkpoint, if another one.
    pub source: Option<String>,
    /// Where it was written.
    pub at: Pointer,
}

/// How the weights are stored. The names are vLLM's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantization {
    /// As the checkpoint was published.
    Native,
    /// `bf16`, or `fp16` on an accelerator without bf16.
    Bf16,
    /// `fp8`: 8-bit floating point, per tensor.
    Fp8,
    /// `fp8_block`: 8-bit floating point in blocks of 128 (DeepSeek style).
    Fp8Block,
    /// `int8`: 8-bit weights and activations (W8A8).
    Int8,
    /// `awq`/`gptq`/`int4`: 4-bit weights in groups of 128, 16-bit activations.
    Int4,
    /// `mxfp4`.
    Mxfp4,
    /// `nvfp4`.
    Nvfp4,
}

impl Quantization {
    /// The name used in specs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Quantization::Native => "native",
            Quantization::Bf16 => "bf16",
            Quantization::Fp8 => "fp8",
            Quantization::Fp8Block => "fp8_block",
            Quantization::Int8 => "int8",
            Quantization::Int4 => "int4",
            Quantization::Mxfp4 => "mxfp4",
            Quantization::Nvfp4 => "nvfp4",
        }
    }
}

/// How the KV cache is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KvCacheDtype {
    /// The engine's default: 16 bits.
    Auto,
    /// 16 bits.
    Bf16,
    /// 8 bits.
    Fp8,
}

impl KvCacheDtype {
    /// The name used in specs and engines.
    pub const fn as_str(self) -> &'static str {
        match self {
            KvCacheDtype::Auto => "auto",
            KvCacheDtype::Bf16 => "bf16",
            KvCacheDtype::Fp8 => "fp8",
        }
    }
}

/// `quality`: which compressions are good enough.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityFloor {
    /// `keep`: share of the uncompressed score that must be kept, a fraction in (0, 1]; of a measured model `floor`, the
    /// least score itself.
    pub keep: f64,
    /// `benchmark`, lower case.
    pub benchmark: String,
    /// `measured`: the team's own figures, variant name to kept share (a fraction); of a measured model its variants' scores.
    pub measured: BTreeMap<String, f64>,
    /// Where it was written.
    pub at: Pointer,
}

/// An online inference service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Name in the spec; its address is `services.NAME`.
    pub name: String,
    /// Key into [`Spec::models`].
    pub model: String,
    /// `labels` of the deployment and the service's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `use_case`, if a template supplied defaults.
    pub use_case: Option<String>,
    /// `traffic`.
    pub traffic: Traffic,
    /// `slo`.
    pub slo: Slo,
    /// `survive`.
    pub survive: super::Survive,
    /// `during_failure`.
    pub during_failure: super::DuringFailure,
    /// `degrade`.
    pub degrade: Option<super::Degrade>,
    /// `placement`, with the deployment's defaults merged in.
    pub placement: PlacementRules,
    /// `purchase`, with the deployment's defaults merged in.
    pub purchase: PurchaseRules,
    /// `scaling`.
    pub scaling: super::Scaling,
    /// `engine`.
    pub engine: Engine,
    /// `endpoint`.
    pub endpoint: Endpoint,
    /// `share_machines: within-deployment`.
    pub shares: bool,
    /// The service that it is a part of; `None` = it is a whole one.
    pub part_of: Option<super::PartOf>,
    /// Where it was written.
    pub at: Pointer,
}

/// How much work arrives, in the busiest hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// How much, on the day that is planned for ([`Spec::on_day`]).
    pub load: super::Load,
    /// How much outside any season, as written.
    pub usual: super::Load,
    /// `seasons`, in the order of their names, of which no two have a day in common.
    pub seasons: Vec<super::Season>,
    /// `trace`: the CSV that load and lengths were taken from.
    pub trace: Option<FileRef>,
    /// The requests of the trace's busiest hour.
    pub recorded: Option<std::sync::Arc<[super::RecordedRequest]>>,
    /// Tokens in a prompt.
    pub input: super::Lengths,
    /// Tokens generated for a request; 0 for an embedding or classification model.
    pub output: super::Lengths,
    /// `sessions`: `load` is then their number, `input` the whole prompt, `prefix_cached` what was said before.
    pub sessions: Option<super::Sessions>,
    /// `prefix_cached`: share of prompt tokens found in the prefix cache, a fraction in [0, 1).
    pub prefix_cached: f64,
    /// `arrivals`.
    pub arrivals: super::Arrivals,
    /// `daily`, with its `weekend` and `time_zone`; `None` = the peak all day.
    pub daily: Option<super::Daily>,
    /// `divide_at`; `None` = one part serves all.
    pub divide_at: Option<super::DivideAt>,
    /// `origins`; never empty. Without any, there is one named `any` next to the service.
    pub origins: Vec<Origin>,
    /// Where it was written.
    pub at: Pointer,
}

/// A group of users in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Name in the spec.
    pub name: String,
    /// `at`.
    pub place: Place,
    /// `share` of the service's traffic, a fraction; the shares of a service sum to 1.
    pub share: f64,
    /// `residency` of this origin's data; empty = only the service's own rule.
    pub residency: Vec<String>,
    /// Where it was written.
    pub at: Pointer,
}

/// Where something is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Next to the service, whichever region that is: no network time (`vpc`, or no origin at all).
    Vpc,
    /// ISO 3166 alpha-2 code, upper case.
    Country(String),
    /// A region of a cloud.
    Region(RegionRef),
    /// Degrees.
    Coordinates {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
    },
}

/// A region of a cloud, `aws/eu-west-1` in text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionRef {
    /// The cloud.
    pub cloud: Cloud,
    /// The cloud's own region id.
    pub region: String,
}

/// Service-level objectives. A percentile is over the requests of the busiest hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Time to first token.
    pub ttft: Vec<Objective>,
    /// Time per output token after the first, per request.
    pub tpot: Vec<Objective>,
    /// End to end.
    pub e2e: Vec<Objective>,
    /// `measured_at`.
    pub measured_at: MeasuredAt,
    /// `last_mile`: the user's own access network, ms round trip (0 unless stated).
    pub last_mile_ms: f64,
    /// `connections`.
    pub connections: Connections,
    /// Where it was written.
    pub at: Pointer,
}

/// One objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// The quantile, a fraction such as 0.95; `None` is the mean.
    pub quantile: Option<f64>,
    /// At most this many milliseconds.
    pub limit_ms: f64,
    /// Where it was written.
    pub at: Pointer,
}

/// Where latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuredAt {
    /// At the user: network included.
    Client,
    /// At the gateway: network left out.
    Gateway,
    /// At the engine: network left out.
    Engine,
}

/// Whether a request finds a warm connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One round trip.
    Warm,
    /// TCP and TLS 1.3 handshakes first: three round trips.
    New,
}

/// Where things may be put.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlacementRules {
    /// `residency`: jurisdiction tags or country codes, lower case, any of which will do; empty = anywhere.
    pub residency: Vec<String>,
    /// `clouds`.
    pub clouds: AllowDeny<Cloud>,
    /// `regions`, as region ids (`eu-west-1`) or `cloud/region`.
    pub regions: AllowDeny<String>,
    /// `accelerators`, as canonical accelerator ids.
    pub accelerators: AllowDeny<String>,
    /// `instance_types`.
    pub instance_types: AllowDeny<String>,
    /// `sites`: where replicas may be besides the regions that the other rules leave; names in [`Spec::sites`].
    pub sites: Vec<String>,
    /// `spread.regions`: at least this many regions (1 unless stated).
    pub spread_regions: u32,
    /// Where it was written.
    pub at: Pointer,
}

/// `any`, a list of what is allowed, or `{ not: [...] }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowDeny<T> {
    /// Everything.
    #[default]
    Any,
    /// Only these.
    Only(Vec<T>),
    /// Everything but these.
    Not(Vec<T>),
}

impl<T: PartialEq> AllowDeny<T> {
    /// Whether `item` is allowed.
    pub fn allows(&self, item: &T) -> bool {
        match self {
            AllowDeny::Any => true,
            AllowDeny::Only(list) => list.contains(item),
            AllowDeny::Not(list) => !list.contains(item),
        }
    }
}

/// How capacity may be paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct PurchaseRules {
    /// `options`: allowed purchase options other than spot, which `spot_max_share` governs; on-demand only unless stated.
    pub options: Vec<Purchase>,
    /// `spot_max_share`: largest share of a pool's machines that may be spot, a fraction (0 unless stated).
    pub spot_max_share: f64,
    /// `on_demand_base`: at least this many machines of a pool that are not spot.
    pub on_demand_base: u32,
    /// `commitments`: whether what is held may be used; never by a federation or a service with a profile.
    pub held: bool,
    /// Where it was written.
    pub at: Pointer,
}

/// `engine`.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// `name`.
    pub name: EngineName,
    /// `version`, for example `0.17`.
    pub version: Option<String>,
    /// `args.max_model_len` in tokens; `None` = as long as the traffic needs.
    pub max_model_len: Option<u32>,
    /// `args.max_num_seqs`; `None` = the planner chooses.
    pub max_num_seqs: Option<u32>,
    /// `args.max_num_batched_tokens`; `None` = the engine's default.
    pub max_num_batched_tokens: Option<u32>,
    /// `args.tensor_parallel_size`; `None` = the planner chooses.
    pub tensor_parallel_size: Option<u32>,
    /// `args.pipeline_parallel_size`; `None` = the planner chooses.
    pub pipeline_parallel_size: Option<u32>,
    /// `args.data_parallel_size`; `None` = the planner chooses.
    pub data_parallel_size: Option<u32>,
    /// `args.enable_expert_parallel`; `None` = the planner chooses.
    pub enable_expert_parallel: Option<bool>,
    /// `args.gpu_memory_utilization`, a fraction; `None` = 0.90.
    pub gpu_memory_utilization: Option<f64>,
    /// Where it was written.
    pub at: Pointer,
}

/// A serving engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineName {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM.
    Trtllm,
    /// The team's own server of a measured model: nothing is predicted for it.
    Own,
}

impl EngineName {
    /// The name used in specs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            EngineName::Vllm => "vllm",
            EngineName::Sglang => "sglang",
            EngineName::Trtllm => "trtllm",
            EngineName::Own => "own",
        }
    }
}

/// `endpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `exposure`.
    pub exposure: Exposure,
    /// `tls_certificate`: a reference to the certificate, never the certificate; required if public.
    pub tls_certificate: Option<String>,
    /// `api_keys`: a reference to the secret that holds the keys, never the keys; required if public.
    pub api_keys: Option<String>,
    /// `prevent_destroy`: where clients reach it may not be removed or replaced.
    pub prevent_destroy: bool,
    /// Where it was written.
    pub at: Pointer,
}

/// Who can reach an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Only from the deployment's own network.
    Private,
    /// From the internet.
    Public,
}

/// A job over many items with a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Name in the spec; its address is `batches.NAME`.
    pub name: String,
    /// Key into [`Spec::models`].
    pub model: String,
    /// `labels` of the deployment and the batch's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `items` in one run.
    pub items: f64,
    /// Tokens of an item.
    pub input: super::Lengths,
    /// Tokens generated for an item; 0 for an embedding model.
    pub output: super::Lengths,
    /// `schedule`: five cron fields, UTC; `None` = run once.
    pub schedule: Option<Schedule>,
    /// `deadline` of one run, seconds.
    pub deadline_s: f64,
    /// `placement`.
    pub placement: PlacementRules,
    /// `purchase`.
    pub purchase: PurchaseRules,
    /// `engine`.
    pub engine: Engine,
    /// `after`: workloads whose run must be complete before this one starts, each with its place.
    pub after: Vec<(String, Pointer)>,
    /// Where it was written.
    pub at: Pointer,
}

/// A cron schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The five fields as written.
    pub cron: String,
    /// Runs in a month of 730 hours, computed from the fields.
    pub runs_per_month: f64,
}

/// `providers.CLOUD`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// `profile`, `subscription` or `project`: which account; recorded in the plan for its adapter.
    pub account: Option<String>,
    /// `discount` on all list prices but spot, a fraction (0 unless stated).
    pub discount: f64,
    /// `quotas`: region id to quota code to amount in the quota's own unit.
    pub quotas: BTreeMap<String, BTreeMap<String, f64>>,
    /// Where it was written.
    pub at: Pointer,
}

/// `state`: where what exists is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// Path of the local state file, relative to the spec's folder.
    pub path: String,
    /// The bucket that it is in instead.
    pub remote: Option<super::RemoteState>,
}
