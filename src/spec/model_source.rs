//! `models.NAME.source`: a known name, or the path of a `config.json`.

use serde_json::Value;

use super::Vocabulary;
use super::leaf::Read;
use super::units::{Problem, describe};
use crate::diagnostic::did_you_mean;

/// What a source is, before its place is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The canonical id of a known model.
    Known(String),
    /// A path.
    Config(String),
}

/// Reads a source: a text that ends in `.json` is a path, anything else a name.
///
/// # Errors
/// Not a known name.
pub fn read(vocabulary: &Vocabulary, value: &Value) -> Read<Source> {
    let Value::String(written) = value else {
        return Err(Problem::new(
            "wrong-type",
            format!("expected the name of a model, found {}", describe(value)),
            "expected a name",
            "write a model id such as `Qwen/Qwen3-32B`, or the path of a `config.json`",
        ));
    };
    if written.ends_with(".json") {
        return super::leaf::path(value).map(Source::Config);
    }
    let lower = written.to_lowercase();
    if let Some(id) = vocabulary.models.get(&lower) {
        return Ok(Source::Known(id.clone()));
    }
    let looks_like_a_path = written.starts_with("./") || written.starts_with("../");
    let help = if looks_like_a_path {
        "name the `config.json` itself, for example `./model/config.json`".to_owned()
    } else {
        nearest(vocabulary, &lower).map_or_else(
            || {
                "give the path of the model's `config.json` instead; known models are in `rhumb catalog`"
                    .to_owned()
            },
            |id| format!("did you mean `{id}`? Or give the path of the model's `config.json`"),
        )
    };
    Err(Problem::new("unknown-model", format!("unknown model `{written}`"), "unknown model", help))
}

/// The canonical id of the nearest known name; a name with and without its owner is the same distance.
fn nearest<'a>(vocabulary: &'a Vocabulary, lower: &str) -> Option<&'a str> {
    let known = || vocabulary.models.keys().map(String::as_str);
    let near = did_you_mean(lower, known()).or_else(|| {
        let bare = lower.rsplit('/').next().unwrap_or(lower);
        did_you_mean(bare, known().map(|k| k.rsplit('/').next().unwrap_or(k)))
    })?;
    vocabulary
        .models
        .iter()
        .find(|(k, _)| k.as_str() == near || k.rsplit('/').next() == Some(near))
        .map(|(_, id)| id.as_str())
}
