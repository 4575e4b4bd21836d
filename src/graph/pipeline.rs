//! What a launch template says about a pipeline.

use rhumb_api::Attr;

use super::attributes::{Attributes, Builder, parts};
use crate::placement::PipelineRun;
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
        .map();
    common.with("pipeline", chosen).maybe("dataset_at", dataset).finish()
}
