//! Keys that sign plans and verify who did.

use std::path::Path;

use super::{Exit, Failure, Settings, files};
use crate::plan::{Signature, SigningKey, VerifyingKey};

/// The text of a key: `env:NAME` is a variable of the environment, anything else a file.
fn text(named: &str, settings: &Settings) -> Result<String, Failure> {
    match named.strip_prefix("env:") {
        Some(name) => std::env::var(name)
            .map_err(|_| Failure::error(format!("{named}: the environment has no such variable"))),
        None => files::read_text(&settings.dir.join(Path::new(named))),
    }
}

/// The key that signs.
///
/// # Errors
/// It cannot be read, or is none; what it is is not told.
pub fn signing(named: &str, settings: &Settings) -> Result<SigningKey, Failure> {
    let key = SigningKey::from_pem(&text(named, settings)?);
    key.map_err(|why| Failure::error(format!("{named}: {why}")))
}

/// The keys that must have signed, with what they were named by.
///
/// # Errors
/// One cannot be read, or is none.
pub fn required(named: &[String], settings: &Settings) -> Result<Vec<(String, VerifyingKey)>, Failure> {
    let of = |name: &String| {
        let key = VerifyingKey::from_pem(&text(name, settings)?);
        let key = key.map_err(|why| Failure::error(format!("{name}: {why}")))?;
        Ok((name.clone(), key))
    };
    named.iter().map(of).collect()
}

/// What is planned and done in one go nobody can have signed.
///
/// # Errors
/// Signatures are required; `how` is what makes a plan that can be signed.
pub fn unsigned(required: &[String], how: &str) -> Result<(), Failure> {
    if required.is_empty() {
        return Ok(());
    }
    let text = format!(
        "nobody has signed this: nothing was changed; save the plan with `{how}`, have that signed (`rhumb sign`), and apply it"
    );
    Err(Failure::Message { exit: Exit::Stale, text })
}

/// Whether all who must have signed a plan have.
///
/// # Errors
/// One has not.
pub fn approved(
    plan: &str,
    digest: &str,
    signatures: &[Signature],
    keys: &[(String, VerifyingKey)],
) -> Result<(), Failure> {
    let told = |why| format!("{plan}: {why}; nothing was changed; whoever approves it says `rhumb sign`");
    let refused = |why| Failure::Message { exit: Exit::Stale, text: told(why) };
    unapproved(digest, signatures, keys).map_or(Ok(()), |why| Err(refused(why)))
}

/// Whose signature a plan lacks, in words; `None` if nobody's.
pub fn unapproved(digest: &str, signatures: &[Signature], keys: &[(String, VerifyingKey)]) -> Option<String> {
    let missing: Vec<String> = keys
        .iter()
        .filter(|(_, key)| !key.verifies(digest, signatures))
        .map(|(name, key)| format!("{name} ({})", key.id()))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let by: Vec<&str> = signatures.iter().map(|s| s.key.as_str()).collect();
    let has = match by.is_empty() {
        true => "nobody has signed it".to_owned(),
        false => format!("it says that it is signed by {}", by.join(", ")),
    };
    Some(format!("no valid signature by {}: {has}", missing.join(", ")))
}
