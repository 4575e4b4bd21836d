//! How a pipeline runs.

use crate::spec::PipelineEngine;

/// How a pipeline runs.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineRun {
    /// What divides the work.
    pub engine: PipelineEngine,
    /// vCPUs of each machine that have their memory.
    pub cores_per_machine: u32,
    /// Of them all, those of the driver.
    pub driver_cores: u32,
    /// Equal parts of the input, or of a micro-batch of a stream.
    pub shards: u32,
    /// How many of them a vCPU works on one after the other, at the most.
    pub waves: u32,
    /// Seconds of one; of a stream, for what comes in in a second.
    pub shard_s: f64,
    /// Seconds from an order for machines to the first shard (assumed).
    pub start_up_s: f64,
    /// Of a stream: its micro-batches. Then a run is a month.
    pub stream: Option<StreamRun>,
}

/// How a stream is cut into micro-batches.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRun {
    /// Events a second at the peak.
    pub events_per_s: f64,
    /// Milliseconds from the start of a micro-batch to that of the next.
    pub trigger_ms: u64,
    /// Seconds that a micro-batch takes besides its events (stated).
    pub overhead_s: f64,
    /// Seconds that one takes at the peak, on all machines.
    pub batch_s: f64,
    /// How old what was made of an event is at the most then, seconds.
    pub fresh_s: f64,
    /// How old it may be, seconds.
    pub freshness_s: f64,
}
