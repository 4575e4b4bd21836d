//! How a pipeline runs that is a stream as well.

use rhumb::placement::{PipelineRun, StreamRun};
use rhumb::spec::PipelineEngine;

pub fn run() -> PipelineRun {
    PipelineRun {
        engine: PipelineEngine::Ray,
        cores_per_machine: 7,
        driver_cores: 1,
        shards: 3200,
        waves: 160,
        shard_s: 20.5,
        start_up_s: 212.25,
        stream: Some(StreamRun {
            events_per_s: 9500.5,
            trigger_ms: 2731,
            overhead_s: 0.375,
            batch_s: 1.625,
            fresh_s: 4.356,
            freshness_s: 5.25,
        }),
    }
}
