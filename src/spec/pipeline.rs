//! Data pipelines on processors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Dataset, Model, ModelSource, PlacementRules, Processors, PurchaseRules, Schedule};
use crate::diagnostic::Pointer;

/// Most shards of an input.
pub const MOST_SHARDS: u32 = 10_000_000;

/// Data that is worked through with a deadline, or as they come.
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
    /// `input` of a run, or of a second of a stream at its peak; GiB, above 0.
    pub input_gib: f64,
    /// `throughput_per_core`, GiB a second of a vCPU; never empty.
    pub throughput: BTreeMap<Processors, f64>,
    /// `memory_per_core`, bytes, above 0.
    pub memory_bytes: f64,
    /// `shards`, at least 1: of a run, or of every micro-batch of a stream.
    pub shards: u32,
    /// `dataset`: where the input is; all of it is read in a run.
    pub dataset: Option<Dataset>,
    /// `schedule`: five cron fields, UTC; `None` = run once.
    pub schedule: Option<Schedule>,
    /// `deadline` of one run, seconds; of a stream, which never ends, the hours of a month.
    pub deadline_s: f64,
    /// What makes it a stream; `None` = it has runs.
    pub stream: Option<Stream>,
    /// `placement`.
    pub placement: PlacementRules,
    /// `purchase`.
    pub purchase: PurchaseRules,
    /// `after`: workloads whose run must be complete before this one starts, each with its place.
    pub after: Vec<(String, Pointer)>,
    /// Where it was written.
    pub at: Pointer,
}

/// Seconds of a month of 730 hours: a stream is there in all of them.
pub const STREAM_S: f64 = 730.0 * 3600.0;

/// A stream: what comes in never ends, and is worked through in micro-batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stream {
    /// `rate` at the peak, events a second, above 0.
    pub events_per_s: f64,
    /// `event_size`, bytes, above 0.
    pub event_bytes: f64,
    /// `freshness`: how old what was made of an event may be, seconds, above 0.
    pub freshness_s: f64,
    /// `batch_overhead`: what a micro-batch takes besides its events, seconds, above 0.
    pub overhead_s: f64,
    /// `survive.machine`: machines that may fail.
    pub machines: u32,
    /// `survive.zone`: zones that may fail.
    pub zones: u32,
    /// `during_failure.capacity`: share of the peak that what is left still keeps up with, a fraction in (0, 1].
    pub capacity: f64,
}

impl Pipeline {
    /// Makes its stream `factor` times as busy: as many shards get more events each.
    pub fn busier(&mut self, factor: f64) {
        if let Some(stream) = &mut self.stream {
            stream.events_per_s *= factor;
            self.input_gib *= factor;
        }
    }
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
