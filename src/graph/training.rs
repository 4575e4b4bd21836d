//! What a launch template says about a training.

use rhumb_api::{Attr, Attributes};

use super::attributes::{Builder, parts};
use crate::placement::{Pool, TrainingRun};
use crate::spec::{Checkpointing, Model, ModelSource, Training};

/// The attributes of a training's launch template.
pub(super) fn template(
    common: Builder,
    pool: &Pool,
    (model, training): (&Model, &Training),
    run: &TrainingRun,
) -> Attributes {
    let machines = i64::from(pool.machines_per_replica.max(1));
    let dataset = training.dataset.as_ref().map(|d| format!("{}/{}", d.from.cloud, d.from.region));
    let command = training.command.iter().map(|word| Attr::from(word.as_str())).collect();
    let chosen = Builder::default()
        .with("method", training.method.as_str())
        .maybe("rank", run.rank.map(i64::from))
        .with("precision", run.precision.as_str())
        .with("framework", training.framework.as_str())
        .with("strategy", training.framework.strategy(run.sharding))
        .with("activation_checkpointing", run.checkpointing == Checkpointing::Full)
        .number("processes_per_machine", i64::from(run.accelerators) / machines)
        .number("sequence_tokens", run.sequence_tokens)
        .number("micro_batch", run.micro_batch)
        .number("gradient_accumulation", run.accumulation)
        .with("steps", parts(run.steps, 1.0))
        .with("checkpoint_every_s", parts(run.checkpoint_every_s, 1.0))
        .with("command", Attr::List(command))
        .map();
    common.with("model", base(model)).with("training", chosen).maybe("dataset_at", dataset).finish()
}

/// The model that training starts from.
fn base(model: &Model) -> Attr {
    let (repository, config) = match &model.source {
        // A short name is the catalogue's own, a name with an owner is a repository.
        ModelSource::Known { written, .. } if written.contains('/') => (Some(written), None),
        ModelSource::Known { id, .. } => (Some(id), None),
        ModelSource::Config(file) => (None, Some(&file.path)),
        // A spec that trains one is refused.
        ModelSource::Measured(_) => (None, None),
    };
    Builder::default()
        .with("name", model.name.as_str())
        .maybe("repository", repository.map(String::as_str))
        .maybe("config", config.map(String::as_str))
        .maybe("revision", model.revision.as_deref())
        .map()
}
