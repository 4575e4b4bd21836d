//! What a run works on: its identity, beside its address.

use rhumb_api::Attr;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::spec::{Dataset, ModelSource, Spec};
use rhumb_api::Attributes;

/// The attribute that holds it.
pub const INPUT: &str = "input_sha256";

/// The attributes of a run with the SHA-256 of what it works on and what it does with that.
///
/// Where it runs, on what, how fast and until when is no part of it: a run that has ended is not run again because it would be cheaper
/// elsewhere by now. Neither are estimates of how long its texts are. A stream has no end and no such identity.
pub(super) fn identified(mut attributes: Attributes, spec: &Spec, address: &str) -> Attributes {
    if attributes.contains_key("restart") {
        return attributes;
    }
    if let Some(input) = input(spec, address) {
        let digest = Sha256::digest(input.to_string().as_bytes());
        let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        attributes.insert(INPUT, Attr::Text(text));
    }
    attributes
}

fn input(spec: &Spec, address: &str) -> Option<Value> {
    let (kind, name) = address.split_once('.')?;
    Some(match kind {
        "batches" => {
            let batch = spec.batches.get(name)?;
            json!({ "model": model(spec, &batch.model), "items": batch.items })
        }
        "trainings" => {
            let training = spec.trainings.get(name)?;
            json!({
                "model": model(spec, &training.model),
                "method": training.method.as_str(),
                "rank": training.method.rank(),
                "dataset": dataset(training.dataset.as_ref()),
                "dataset_tokens": training.dataset_tokens,
                "epochs": training.epochs,
                "sequence_tokens": training.sequence_tokens,
                "batch_size": training.batch_size,
                "command": training.command,
            })
        }
        "pipelines" => {
            let pipeline = spec.pipelines.get(name)?;
            json!({
                "engine": pipeline.engine.as_str(),
                "image": pipeline.image,
                "command": pipeline.command,
                "dataset": dataset(pipeline.dataset.as_ref()),
                "input_gib": pipeline.input_gib,
            })
        }
        "federations" => {
            let federation = spec.federations.get(name)?;
            json!({
                "image": federation.image,
                "command": federation.command,
                "sites": federation.sites,
                "min_sites": federation.min_sites,
                "rounds": federation.rounds,
            })
        }
        _ => return None,
    })
}

fn dataset(dataset: Option<&Dataset>) -> Value {
    dataset.map_or(Value::Null, |d| json!(format!("{}/{}", d.from.cloud, d.from.region)))
}

fn model(spec: &Spec, name: &str) -> Value {
    let Some(model) = spec.models.get(name) else { return Value::Null };
    let source = match &model.source {
        // Another repository has other weights, be it of the same model.
        ModelSource::Known { written, id } => json!(if written.contains('/') { written } else { id }),
        ModelSource::Config(file) => json!({ "config": file.path }),
        ModelSource::Measured(measured) => {
            json!({ "image": measured.image, "command": measured.command })
        }
    };
    json!({ "source": source, "revision": model.revision })
}
