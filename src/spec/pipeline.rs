//! Data pipelines on processors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Dataset, Model, ModelSource, PlacementRules, Processors, PurchaseRules, Schedule};
use crate::diagnostic::Pointer;

/// Most shards of an input.
pub const MOST_SHARDS: u32 = 10_000_000;

/// Data that is worked through with a deadline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Name in the spec; its address is `pipelines.NAME`.
    pub name: String,
    /// `labels` of the deployment and the pipeline's own, merged.
    pub labels: BTreeMap<String, String>,
    /// `engine`.
    pub engine: PipelineEngine,
    /// `image`: the container image of every machine.
    pub image: String,
    /// `command`: what starts the job.
    pub command: Vec<String>,
    /// `input` of a run, GiB, above 0.
    pub input_gib: f64,
    /// `throughput_per_core`, GiB a second of a vCPU; never empty.
    pub throughput: BTreeMap<Processors, f64>,
    /// `memory_per_core`, bytes, above 0.
    pub memory_bytes: f64,
    /// `shards`, at least 1.
    pub shards: u32,
    /// `dataset`: where the input is; all of it is read in a run.
    pub dataset: Option<Dataset>,
    /// `schedule`: five cron fields, UTC; `None` = run once.
    pub schedule: Option<Schedule>,
    /// `deadline` of one run, seconds.
    pub deadline_s: f64,
    /// `placement`.
    pub placement: PlacementRules,
    /// `purchase`.
    pub purchase: PurchaseRules,
    /// `after`: workloads whose run must be complete before this one starts, each with its place.
    pub after: Vec<(String, Pointer)>,
    /// Where it was written.
    pub at: Pointer,
}

/// What divides the work of a pipeline among machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineEngine {
    /// Apache Spark, standalone.
    Spark,
    /// Ray.
    Ray,
}

impl PipelineEngine {
    /// The name used in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            PipelineEngine::Spark => "spark",
            PipelineEngine::Ray => "ray",
        }
    }

    /// One by its name.
    pub fn parse(name: &str) -> Option<Self> {
        [PipelineEngine::Spark, PipelineEngine::Ray].into_iter().find(|e| e.as_str() == name)
    }
}

/// The model of a pipeline: none. Only code that serves all workloads alike sees it.
pub static NO_MODEL: LazyLock<Model> = LazyLock::new(|| Model {
    name: String::new(),
    revision: None,
    artifacts_at: None,
    variants: BTreeMap::new(),
    quality: None,
    adapters: None,
    at: Pointer::root(),
    source: ModelSource::Known { id: String::new(), written: String::new() },
});
