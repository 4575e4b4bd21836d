//! `models.NAME.measured`: a model without an architecture, and what the team measured of it.

use std::collections::BTreeMap;

use rhumb_api::Cloud;
use serde_json::Value;

use super::leaf::{self, Read};
use super::model::{Engine, EngineName};
use super::units::{Problem, Range, Unit, quantity};
use crate::diagnostic::Pointer;

/// Most items of a launch.
pub const MOST_OF_A_LAUNCH: u64 = 4096;
/// Most vCPUs of a server.
pub const MOST_VCPUS: u64 = 1024;

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
    /// `memory`: what a server takes of its accelerator, or of the main memory of a machine without accelerators, bytes.
    pub memory_bytes: f64,
    /// `time` on accelerators, by canonical id; empty only if [`MeasuredVariant::processors`] is not.
    pub times: BTreeMap<String, Launch>,
    /// `time` on processors.
    pub processors: BTreeMap<Processors, OnProcessors>,
}

/// Machines without accelerators that a time is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Processors {
    /// A type, as the cloud writes it.
    Type(Cloud, String),
    /// A series of a cloud, lower case.
    Series(Cloud, String),
    /// All of an architecture: `x86_64` or `arm64`.
    Architecture(String),
}

impl std::fmt::Display for Processors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Processors::Type(cloud, name) | Processors::Series(cloud, name) => write!(f, "{cloud}/{name}"),
            Processors::Architecture(name) => f.write_str(name),
        }
    }
}

/// A server on processors.
#[derive(Clone, Debug, PartialEq)]
pub struct OnProcessors {
    /// `vcpus` that it has for itself, at least 1.
    pub vcpus: u32,
    /// What it does with them.
    pub launch: Launch,
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

/// A time: of one item, or `{ batch: 8, takes: 22ms }` of a launch of up to so many; on processors with the `vcpus` of a server, of
/// which nothing may be said.
///
/// # Errors
/// Another type, a key that is not one of these, a number or a time that is none.
pub fn launch(value: &Value) -> Read<(Launch, Option<u32>)> {
    const HELP: &str =
        "a launch has `batch` and `takes`, on processors also `vcpus`: `{ batch: 8, takes: 22ms }`";
    let takes = |v: &Value| quantity(Unit::Duration, Range::POSITIVE, v).map(|ms| ms / 1e3);
    let Value::Object(keys) = value else {
        if !value.is_string() {
            return Err(leaf::wrong_type("a time, or a launch", value, "6.1ms"));
        }
        return Ok((Launch { batch: 1, takes_s: takes(value)? }, None));
    };
    if let Some(other) = keys.keys().find(|key| !matches!(key.as_str(), "batch" | "takes" | "vcpus")) {
        let what = format!("unknown key `{other}` of a launch");
        return Err(Problem::new("unknown-key", what, "unknown key", HELP));
    }
    let missing = |key: &str| {
        let what = format!("a launch needs the key `{key}`");
        Problem::new("missing-key", what, format!("`{key}` is missing"), HELP)
    };
    let number = |key: &str, most| {
        let whole = |v| Ok(leaf::whole(1, most, false, v)?.unwrap_or(1) as u32);
        keys.get(key).map(whole).transpose()
    };
    let (batch, vcpus) = (number("batch", MOST_OF_A_LAUNCH)?, number("vcpus", MOST_VCPUS)?);
    let batch = if vcpus.is_none() { batch.ok_or_else(|| missing("batch"))? } else { batch.unwrap_or(1) };
    let takes_s = takes(keys.get("takes").ok_or_else(|| missing("takes"))?)?;
    Ok((Launch { batch, takes_s }, vcpus))
}

/// What a time is of.
pub enum Device {
    /// An accelerator, by its canonical id.
    Accelerator(String),
    /// Machines without accelerators.
    Processors(Processors),
}

/// What a name among times means.
///
/// # Errors
/// It is not known, or means several accelerators.
pub fn device(vocabulary: &super::Vocabulary, name: &str) -> Read<Device> {
    if let Some(known) = vocabulary.processors.get(&name.to_lowercase()) {
        return Ok(Device::Processors(known.clone()));
    }
    if name.contains('/') {
        return Err(unknown_processors(vocabulary, name));
    }
    let ids = match leaf::accelerators(vocabulary, &Value::String(name.to_owned())) {
        Ok(ids) => ids,
        Err(unknown) => return Err(named_processors(vocabulary, name).unwrap_or(unknown)),
    };
    match <[String; 1]>::try_from(ids) {
        Ok([one]) => Ok(Device::Accelerator(one)),
        Err(ids) => Err(Problem::new(
            "ambiguous-accelerator",
            format!("`{name}` is several accelerators, and a time is measured on one"),
            "which one?",
            format!("write one of {}", ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")),
        )),
    }
}

/// A name with a cloud that no machines without accelerators have.
fn unknown_processors(vocabulary: &super::Vocabulary, name: &str) -> Problem {
    let kind = name.split_once('/').map_or(name, |(_, kind)| kind);
    if vocabulary.instance_types.iter().any(|t| t.eq_ignore_ascii_case(kind)) {
        return Problem::new(
            "unknown-instance-type",
            format!("`{name}` is no machine without accelerators of that cloud"),
            "not processors alone",
            "for a machine with accelerators write the time of one of them: `l4: 6.1ms`",
        );
    }
    let known = vocabulary.processors.keys().map(String::as_str);
    let help = crate::diagnostic::did_you_mean(&name.to_lowercase(), known).map_or_else(
        || "write a series, a type or an architecture: `aws/m7i`, `aws/m7i.2xlarge`, `x86_64`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Problem::new(
        "unknown-instance-type",
        format!("no cloud has machines without accelerators called `{name}`"),
        "unknown series or type",
        help,
    )
}

/// What is wrong with a name that means processors, if it does.
fn named_processors(vocabulary: &super::Vocabulary, name: &str) -> Option<Problem> {
    let lower = name.to_lowercase();
    let help = match lower.as_str() {
        "cpu" | "cpus" => {
            "write which: `x86_64` or `arm64`, or what you measured it on: `aws/m7i`".to_owned()
        }
        "amd64" | "x86" | "x64" => "write `x86_64`".to_owned(),
        "aarch64" | "arm" => "write `arm64`".to_owned(),
        _ => {
            let ends = |known: &&String| known.split_once('/').is_some_and(|(_, kind)| kind == lower);
            format!("write `{}`", vocabulary.processors.keys().find(ends)?)
        }
    };
    let what = format!("`{name}` does not say which processors");
    Some(Problem::new("ambiguous-processors", what, "which ones?", help))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_or_a_launch() {
        let read = |v| launch(&v).unwrap();
        assert_eq!(read(json!("4ms")), (Launch { batch: 1, takes_s: 0.004 }, None));
        let eight = Launch { batch: 8, takes_s: 0.022 };
        assert_eq!(read(json!({ "batch": 8, "takes": "22ms" })), (eight.clone(), None));
        assert_eq!(read(json!({ "vcpus": 2, "batch": 8, "takes": "22ms" })), (eight, Some(2)));
        assert_eq!(
            read(json!({ "vcpus": 1, "takes": "4ms" })),
            (Launch { batch: 1, takes_s: 0.004 }, Some(1))
        );
        for (bad, code) in [
            (json!("0ms"), "out-of-range"),
            (json!("-3ms"), "out-of-range"),
            (json!(6), "wrong-type"),
            (json!({ "batch": 0, "takes": "1ms" }), "out-of-range"),
            (json!({ "batch": 5000, "takes": "1ms" }), "out-of-range"),
            (json!({ "batch": 8 }), "missing-key"),
            (json!({ "takes": "1ms" }), "missing-key"),
            (json!({ "vcpus": 2 }), "missing-key"),
            (json!({ "vcpus": 0, "takes": "1ms" }), "out-of-range"),
            (json!({ "vcpus": 1.5, "takes": "1ms" }), "out-of-range"),
            (json!({ "batch": 8, "takes": "1ms", "cv": 1 }), "unknown-key"),
        ] {
            assert_eq!(launch(&bad).unwrap_err().code, code, "{bad}");
        }
    }
}
