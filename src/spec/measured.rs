//! `models.NAME.measured`: a model without an architecture, and what the team measured of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::leaf::{self, Read};
use super::model::{Engine, EngineName};
use super::units::{Problem, Range, Unit, quantity};
use crate::diagnostic::Pointer;

/// Most items of a launch.
pub const MOST_OF_A_LAUNCH: u64 = 4096;

/// What the team says of a model whose times it measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// `unit`: what an item is called, for text alone.
    pub unit: String,
    /// `image`: the container image that serves it.
    pub image: String,
    /// `command`: what the container runs, if not what its image says.
    pub command: Vec<String>,
    /// `variants`, by name; never empty.
    pub variants: BTreeMap<String, MeasuredVariant>,
    /// Where it was written.
    pub at: Pointer,
}

/// A variant of such a model.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredVariant {
    /// `memory`: what a server takes of its accelerator, bytes.
    pub memory_bytes: f64,
    /// `time`, by the canonical id of the accelerator; never empty.
    pub times: BTreeMap<String, Launch>,
}

/// What one server does at once, and how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// `batch`: most items that it takes together, at least 1.
    pub batch: u32,
    /// `takes`, seconds, above 0: however many items there are.
    pub takes_s: f64,
}

impl Engine {
    /// That of a measured model: its own image, which may use the whole accelerator.
    pub(super) fn own(at: &Pointer) -> Self {
        Engine { gpu_memory_utilization: Some(1.0), ..Engine::unstated(EngineName::Own, at.clone()) }
    }

    /// One of which nothing is stated.
    pub(crate) fn unstated(name: EngineName, at: Pointer) -> Self {
        Engine {
            name,
            version: None,
            max_model_len: None,
            max_num_seqs: None,
            max_num_batched_tokens: None,
            tensor_parallel_size: None,
            pipeline_parallel_size: None,
            data_parallel_size: None,
            enable_expert_parallel: None,
            gpu_memory_utilization: None,
            at,
        }
    }
}

/// A time: of one item, or `{ batch: 8, takes: 22ms }` of a launch of up to so many.
///
/// # Errors
/// Another type, a key that is not one of these, a batch or a time that is none.
pub fn launch(value: &Value) -> Read<Launch> {
    let takes = |v: &Value| quantity(Unit::Duration, Range::POSITIVE, v).map(|ms| ms / 1e3);
    let Value::Object(keys) = value else {
        if !value.is_string() {
            return Err(leaf::wrong_type("a time, or a launch", value, "6.1ms"));
        }
        return Ok(Launch { batch: 1, takes_s: takes(value)? });
    };
    if let Some(other) = keys.keys().find(|key| !matches!(key.as_str(), "batch" | "takes")) {
        return Err(Problem::new(
            "unknown-key",
            format!("unknown key `{other}` of a launch"),
            "unknown key",
            "a launch has `batch` and `takes`: `{ batch: 8, takes: 22ms }`",
        ));
    }
    let missing = |key: &str| {
        Problem::new(
            "missing-key",
            format!("a launch needs the key `{key}`"),
            format!("`{key}` is missing"),
            "a launch has `batch` and `takes`: `{ batch: 8, takes: 22ms }`",
        )
    };
    let batch = leaf::whole(1, MOST_OF_A_LAUNCH, false, keys.get("batch").ok_or_else(|| missing("batch"))?)?;
    let takes_s = takes(keys.get("takes").ok_or_else(|| missing("takes"))?)?;
    Ok(Launch { batch: batch.unwrap_or(1) as u32, takes_s })
}

/// The one accelerator that a time is of, by its canonical id.
///
/// # Errors
/// It is not known, or the name means several.
pub fn device(vocabulary: &super::Vocabulary, name: &str) -> Read<String> {
    let ids = leaf::accelerators(vocabulary, &Value::String(name.to_owned()))?;
    match <[String; 1]>::try_from(ids) {
        Ok([one]) => Ok(one),
        Err(ids) => Err(Problem::new(
            "ambiguous-accelerator",
            format!("`{name}` is several accelerators, and a time is measured on one"),
            "which one?",
            format!("write one of {}", ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_or_a_launch() {
        assert_eq!(launch(&json!("4ms")).unwrap(), Launch { batch: 1, takes_s: 0.004 });
        assert_eq!(
            launch(&json!({ "batch": 8, "takes": "22ms" })).unwrap(),
            Launch { batch: 8, takes_s: 0.022 }
        );
        for (bad, code) in [
            (json!("0ms"), "out-of-range"),
            (json!("-3ms"), "out-of-range"),
            (json!(6), "wrong-type"),
            (json!({ "batch": 0, "takes": "1ms" }), "out-of-range"),
            (json!({ "batch": 5000, "takes": "1ms" }), "out-of-range"),
            (json!({ "batch": 8 }), "missing-key"),
            (json!({ "takes": "1ms" }), "missing-key"),
            (json!({ "batch": 8, "takes": "1ms", "cv": 1 }), "unknown-key"),
        ] {
            assert_eq!(launch(&bad).unwrap_err().code, code, "{bad}");
        }
    }
}
