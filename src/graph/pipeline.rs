//! What a launch template says about a pipeline.

use rhumb_api::{Attr, Attributes};

use super::attributes::{Builder, parts};
use super::bind::run_attributes;
use crate::placement::{BatchRun, PipelineRun};
use crate::spec::Pipeline;

/// The attributes of a pipeline's launch template.
pub(super) fn template(common: Builder, pipeline: &Pipeline, run: &PipelineRun) -> Attributes {
    let dataset = pipeline.dataset.as_ref().map(|d| format!("{}/{}", d.from.cloud, d.from.region));
    let command = pipeline.command.iter().map(|word| Attr::from(word.as_str())).collect();
    let chosen = Builder::default()
        .with("engine", run.engine.as_str())
        .with("image", pipeline.image.as_str())
        .with("command", Attr::List(command))
        .number("cores", run.cores_per_machine)
        .number("driver_cores", run.driver_cores)
        .with("memory_bytes_per_core", parts(pipeline.memory_bytes, 1.0))
        .number("shards", run.shards)
        .maybe("trigger_ms", run.stream.as_ref().map(|s| milliseconds(s.trigger_ms)))
        .map();
    common.with("pipeline", chosen).maybe("dataset_at", dataset).finish()
}

/// What its machines do: runs that end, or a stream that is started again whenever it does.
pub(super) fn run(common: Builder, pipeline: &Pipeline, run: Option<&BatchRun>) -> Attributes {
    let stream = run.and_then(|r| r.pipeline.as_ref()?.stream.as_ref());
    match stream {
        Some(stream) => common
            .with("events_per_hour", parts(stream.events_per_s, 3600.0))
            .with("trigger_ms", milliseconds(stream.trigger_ms))
            .with("restart", "always")
            .finish(),
        None => run_attributes(common, pipeline.deadline_s, &pipeline.schedule, &pipeline.after),
    }
}

fn milliseconds(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
