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

mod canonical;
mod changes;
mod fleets;
mod mirror;
mod perf;
mod placement;
mod sound;
mod vocabulary;

use serde::{Deserialize, Serialize};

use super::{Change, Plan, Signature};
use canonical::{Top, digest};
use changes::PlanBody;
use mirror::{Mirror, Written};

pub(crate) use canonical::{canonical, sha256};
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
    #[error(
        "{name}: a plan file of version {found}; this rhumb reads version {VERSION}; plan again with this one, or use that which saved it"
    )]
    Version {
        /// The file.
        name: String,
        /// The version in the file.
        found: String,
    },
    /// It is not as it was saved.
    #[error(
        "{name}: the plan was changed after it was saved: its digest is {said}, its content has {found}; take the file as it was saved, or plan again"
    )]
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
struct Envelope<P> {
    rhumb_plan: u64,
    plan: P,
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
    // Before the text is there: both at once would be more than the plan itself.
    let (digest, compact) = digested(plan);
    let file = Envelope { rhumb_plan: VERSION, plan: Written(plan), digest, signatures };
    // Room for all of it: a text of megabytes that grows is there twice while it is moved.
    let mut text = Vec::with_capacity(2 * compact);
    // Serialising plain structs with text keys into memory cannot fail; a text that ends early would be refused on reading.
    let _ = serde_json::to_writer_pretty(&mut text, &file);
    text.push(b'\n');
    String::from_utf8(text).unwrap_or_default()
}

/// The digest that the file of a plan carries: what an apply calls the plan by.
pub fn digest_of(plan: &Plan) -> String {
    digested(plan).0
}

/// The digest of a plan, and how long its text is without white space. It is taken from that text: a tree would be the plan several times
/// in memory.
fn digested(plan: &Plan) -> (String, usize) {
    let (unsigned, signatures) = (String::new(), Vec::new());
    let file = Envelope { rhumb_plan: VERSION, plan: Written(plan), digest: unsigned, signatures };
    let text = serde_json::to_string(&file).unwrap_or_default();
    match serde_json::from_str(&text) {
        Ok(Top::Object(parts)) => (digest(&parts), text.len()),
        // As above; an empty digest would be refused on reading.
        _ => (String::new(), text.len()),
    }
}

/// Reads a plan, whoever signed it; `name` is the file's name, for messages.
///
/// # Errors
/// The first thing that is wrong, in this order: it is no JSON, no plan, of another version, changed after it
/// was saved, has unknown or missing or ill-formed parts, or parts that do not fit together.
pub fn decode(name: &str, text: &str) -> Result<Plan, PlanFileError> {
    decode_signed(name, text).map(|(plan, _)| plan)
}

/// Characters of what is no version that are repeated.
const MOST_SHOWN: usize = 40;

/// As [`decode`], with what is said to be its signatures; nobody has verified them yet. They are of [`digest_of`] the plan: of a file that
/// another program wrote, its own digest may be of another text for the same plan.
///
/// # Errors
/// As of [`decode`].
pub fn decode_signed(name: &str, text: &str) -> Result<(Plan, Vec<Signature>), PlanFileError> {
    let name = || name.to_owned();
    let top: Top = serde_json::from_str(text).map_err(|e| PlanFileError::Json {
        name: name(),
        line: e.line(),
        column: e.column(),
        message: without_place(&e),
    })?;
    let no_plan = |message: &str| PlanFileError::NotAPlan { name: name(), message: message.to_owned() };
    let Top::Object(parts) = top else { return Err(no_plan("it is not an object")) };
    let version = parts.get("rhumb_plan").ok_or_else(|| no_plan("it has no `rhumb_plan`"))?;
    let version = version.text();
    if version != VERSION.to_string() {
        let found = printable(&version).chars().take(MOST_SHOWN).collect();
        return Err(PlanFileError::Version { name: name(), found });
    }
    let said = parts.get("digest").and_then(|part| serde_json::from_str::<String>(&part.text()).ok());
    let said = said.ok_or_else(|| no_plan("it has no `digest`"))?;
    let found = digest(&parts);
    if said != found {
        return Err(PlanFileError::Digest { name: name(), said: printable(&said), found });
    }
    drop(parts);
    let file: Envelope<PlanBody> = serde_json::from_str(text).map_err(|e| PlanFileError::Content {
        name: name(),
        line: e.line(),
        column: e.column(),
        message: without_place(&e),
    })?;
    let inconsistent = |message| PlanFileError::Inconsistent { name: name(), message };
    let mut plan = Plan::from_file(file.plan).map_err(|e| inconsistent(printable(&e)))?;
    plan.changes.iter_mut().for_each(Change::share);
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

#[cfg(test)]
mod tests {
    use super::*;

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
            "p.json: a plan file of version 2; this rhumb reads version 1; plan again with this one, or use that which saved it"
        );
        assert_eq!(refused(r#"{"rhumb_plan": 1}"#), "p.json: not a plan of rhumb: it has no `digest`");
        assert!(refused(r#"{"rhumb_plan": 1, "digest": "x"}"#).contains("changed after it was saved"));
        assert!(refused(r#"{"rhumb_plan": 1, "x": 1e999}"#).contains("number out of range"));
    }
}
