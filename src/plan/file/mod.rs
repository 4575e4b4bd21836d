//! A saved plan: JSON, version 1.
//!
//! ```text
//! { "rhumb_plan": 1, "plan": { ... }, "digest": "<sha-256 of both>", "signatures": [ ... ] }
//! ```
//!
//! The digest is taken over the canonical form (keys sorted, no white space) of the file without digest and signatures.
//! It finds damage and careless edits, and anybody can compute it anew; who approved it, its signatures ([`super::Signature`]) say, of
//! which there are none unless somebody signed. Money is a whole
//! number of micro-dollars. Fractions are written with the fewest digits that read back to the same number.

mod changes;
mod fleets;
mod mirror;
mod perf;
mod placement;
mod sound;
mod vocabulary;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Plan, Signature};
use changes::PlanBody;
use mirror::Mirror;

pub use vocabulary::WORDS;

/// The version that this program writes and reads.
pub const VERSION: u64 = 1;

/// Why a text is not a plan file that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFileError {
    /// It is no JSON.
    #[error("{name}:{line}:{column}: not JSON: {message}")]
    Json {
        /// The file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// It is JSON, but no plan.
    #[error("{name}: not a plan of rhumb: {message}")]
    NotAPlan {
        /// The file.
        name: String,
        /// What is missing.
        message: String,
    },
    /// It has a version that this program does not know.
    #[error("{name}: a plan file of version {found}; this rhumb reads version {VERSION}")]
    Version {
        /// The file.
        name: String,
        /// The version in the file.
        found: String,
    },
    /// It is not as it was saved.
    #[error("{name}: the plan was changed after it was saved: its digest is {said}, its content has {found}")]
    Digest {
        /// The file.
        name: String,
        /// What the file says.
        said: String,
        /// What its content gives.
        found: String,
    },
    /// A part of it does not mean anything.
    #[error("{name}:{line}:{column}: {message}")]
    Content {
        /// The file.
        name: String,
        /// Line, from 1; 0 if the fault is not at one place.
        line: usize,
        /// Column, from 1; 0 likewise.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Its parts do not fit together.
    #[error("{name}: {message}")]
    Inconsistent {
        /// The file.
        name: String,
        /// What does not fit.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    rhumb_plan: u64,
    plan: PlanBody,
    digest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Signature>,
}

/// Writes a plan that nobody signed. Equal plans give equal bytes; the text ends with a newline.
pub fn encode(plan: &Plan) -> String {
    encode_signed(plan, Vec::new())
}

/// Writes a plan with the signatures of its digest.
pub fn encode_signed(plan: &Plan, signatures: Vec<Signature>) -> String {
    let mut file = Envelope { rhumb_plan: VERSION, plan: plan.to_file(), digest: String::new(), signatures };
    // Serialising plain structs with text keys cannot fail; an empty digest would be refused on reading.
    file.digest = serde_json::to_value(&file).map(|v| digest(&v)).unwrap_or_default();
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

/// The digest that the file of a plan carries: what an apply calls the plan by.
pub fn digest_of(plan: &Plan) -> String {
    let (digest, signatures) = (String::new(), Vec::new());
    let file = Envelope { rhumb_plan: VERSION, plan: plan.to_file(), digest, signatures };
    serde_json::to_value(&file).map(|v| self::digest(&v)).unwrap_or_default()
}

/// Reads a plan, whoever signed it; `name` is the file's name, for messages.
///
/// # Errors
/// The first thing that is wrong, in this order: it is no JSON, no plan, of another version, changed after it
/// was saved, has unknown or missing or ill-formed parts, or parts that do not fit together.
pub fn decode(name: &str, text: &str) -> Result<Plan, PlanFileError> {
    decode_signed(name, text).map(|(plan, _)| plan)
}

/// As [`decode`], with what is said to be its signatures; nobody has verified them yet.
///
/// # Errors
/// As of [`decode`].
pub fn decode_signed(name: &str, text: &str) -> Result<(Plan, Vec<Signature>), PlanFileError> {
    let name = || name.to_owned();
    let value: Value = serde_json::from_str(text).map_err(|e| PlanFileError::Json {
        name: name(),
        line: e.line(),
        column: e.column(),
        message: without_place(&e),
    })?;
    let no_plan = |message: &str| PlanFileError::NotAPlan { name: name(), message: message.to_owned() };
    let Value::Object(parts) = &value else { return Err(no_plan("it is not an object")) };
    let version = parts.get("rhumb_plan").ok_or_else(|| no_plan("it has no `rhumb_plan`"))?;
    if version.as_u64() != Some(VERSION) {
        return Err(PlanFileError::Version { name: name(), found: version.to_string() });
    }
    let said = parts.get("digest").and_then(Value::as_str).ok_or_else(|| no_plan("it has no `digest`"))?;
    let found = digest(&value);
    if said != found {
        return Err(PlanFileError::Digest { name: name(), said: printable(said), found });
    }
    let file: Envelope = serde_json::from_str(text).map_err(|e| PlanFileError::Content {
        name: name(),
        line: e.line(),
        column: e.column(),
        message: without_place(&e),
    })?;
    let inconsistent = |message| PlanFileError::Inconsistent { name: name(), message };
    let plan = Plan::from_file(file.plan).map_err(|e| inconsistent(printable(&e)))?;
    sound::check(&plan).map_err(|e| inconsistent(printable(&e)))?;
    Ok((plan, file.signatures))
}

/// The message of serde_json without its ` at line L column C`, which is given apart.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    printable(text.strip_suffix(&place).unwrap_or(&text))
}

/// What a file holds may not reach a terminal as a command to it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// SHA-256 of the canonical form of a plan file without digest and signatures.
fn digest(file: &Value) -> String {
    let mut rest = file.clone();
    if let Value::Object(parts) = &mut rest {
        parts.shift_remove("digest");
        parts.shift_remove("signatures");
    }
    sha256(canonical(&rest).as_bytes())
}

/// SHA-256, lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON without white space, keys sorted by their bytes.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                write(text, item);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            let sorted: std::collections::BTreeMap<&String, &Value> = entries.iter().collect();
            text.push('{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(text, item);
            }
            text.push('}');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_sorted_and_keeps_numbers() {
        let value: Value =
            serde_json::from_str(r#"{ "b": [1.0, -0.0, 1e-7, "\u00e9\n"], "a": {"y": null, "x": 1} }"#)
                .unwrap();
        assert_eq!(canonical(&value), r#"{"a":{"x":1,"y":null},"b":[1.0,-0.0,1e-7,"é\n"]}"#);
    }

    #[test]
    fn texts_that_are_no_plan_are_refused_by_kind() {
        let refused = |text: &str| decode("p.json", text).unwrap_err().to_string();
        assert!(refused("{\n  \"a\": ,\n}").starts_with("p.json:2:8: not JSON: expected value"));
        assert!(refused("").starts_with("p.json:1:0: not JSON"));
        assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
        assert_eq!(refused("[]"), "p.json: not a plan of rhumb: it is not an object");
        assert_eq!(refused("{}"), "p.json: not a plan of rhumb: it has no `rhumb_plan`");
        assert_eq!(
            refused(r#"{"rhumb_plan": 2}"#),
            "p.json: a plan file of version 2; this rhumb reads version 1"
        );
        assert_eq!(refused(r#"{"rhumb_plan": 1}"#), "p.json: not a plan of rhumb: it has no `digest`");
        assert!(refused(r#"{"rhumb_plan": 1, "digest": "x"}"#).contains("changed after it was saved"));
        assert!(refused(r#"{"rhumb_plan": 1, "x": 1e999}"#).contains("number out of range"));
    }
}
