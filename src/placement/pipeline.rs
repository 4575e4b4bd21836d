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
    /// Equal parts of the input.
    pub shards: u32,
    /// How many of them a vCPU works on one after the other, at the most.
    pub waves: u32,
    /// Seconds of one.
    pub shard_s: f64,
    /// Seconds from an order for machines to the first shard (assumed).
    pub start_up_s: f64,
}
