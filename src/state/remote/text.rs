//! The texts of a remote state, format version 1: lines of JSON behind their checksums, as those of a [journal](crate::state::journal).
//!
//! ```text
//! log/00000000000000000007:
//! 3c1f0e9d8b7a6543 {"rhumb_log":1,"lineage":"6f1c...","simulated":false,"number":7,"fence":3,"writer":"9a0b...","serial":12}
//! a5b4c3d2e1f00918 {"serial":13,"record":{"accepted":{"token":"0123...","id":"i-0a1b"}}}
//! 0918a5b4c3d2e1f0 {"serial":14,"first":13,"record":{"end":{"complete":true}}}
//! head:
//! 8b7a65433c1f0e9d {"rhumb_head":1,"lineage":"6f1c...","simulated":false,"serial":12,"sha256":"9f86...","next":7,"fence":3,"writer":"9a0b..."}
//! lease:
//! e1f00918a5b4c3d2 {"rhumb_lease":1,"holder":"me@here, process 7, since ...","writer":"9a0b...","fence":3,"ttl_ms":30000,"beat":4,"released":false}
//! ```
//!
//! An entry of the log says the serial of the state that it continues. One without records is a fence: the first of a writer. All objects
//! are written as wholes, so that whatever does not match is damage.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::objects::Object;
use super::requests::Remote;
use crate::state::file::serde_message;
use crate::state::journal::{DIGITS, Entry, encode_grouped, line, sound};
use crate::state::{Record, State, StateError};

/// The only version so far, of all of them.
const VERSION: u64 = 1;

/// What to do about damage.
const RESTORE: &str = "the object was changed after it was written; restore it from a copy, or from a version that the bucket keeps";

/// The first line of an entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entrance {
    rhumb_log: u64,
    pub(super) lineage: String,
    pub(super) simulated: bool,
    pub(super) number: u64,
    pub(super) fence: u64,
    pub(super) writer: String,
    pub(super) serial: u64,
}

/// From where the log is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    rhumb_head: u64,
    pub(super) lineage: String,
    pub(super) simulated: bool,
    /// Of the version that the log continues; of serial 0 there is none.
    pub(super) serial: u64,
    /// SHA-256 of the version's text.
    pub(super) sha256: String,
    /// The number in the log that continues it.
    pub(super) next: u64,
    /// The last fence before that.
    pub(super) fence: u64,
    /// Who made that fence.
    pub(super) writer: String,
}

/// Who may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lease {
    rhumb_lease: u64,
    pub(super) holder: String,
    pub(super) writer: String,
    /// Grows by one with every holder, at least.
    pub(super) fence: u64,
    pub(super) ttl_ms: u64,
    /// Grows by one with every sign of life.
    pub(super) beat: u64,
    pub(super) released: bool,
}

impl Entrance {
    /// Of an entry that continues a state.
    pub(super) fn new(state: &State, number: u64, fence: u64, writer: &str) -> Self {
        Entrance {
            rhumb_log: VERSION,
            lineage: state.lineage.clone(),
            simulated: state.simulated,
            number,
            fence,
            writer: writer.to_owned(),
            serial: state.serial,
        }
    }

    /// The text of an entry.
    pub(super) fn encode(&self, records: &[Record]) -> String {
        let mut text = line(&json!(self));
        let first = self.serial + 1;
        for (record, serial) in records.iter().zip(first..) {
            text.push_str(&encode_grouped(first, serial, record));
        }
        text
    }

    /// Reads an entry.
    pub(super) fn decode(
        remote: &Remote,
        key: &str,
        object: &Object,
    ) -> Result<(Self, Vec<Record>), StateError> {
        let mut lines = Lines::new(remote, key, object);
        let json = lines.next()?.ok_or_else(|| lines.error(1, "it is empty"))?;
        let entrance: Entrance = lines.parse(json, "rhumb_log")?;
        let (mut records, mut serial) = (Vec::new(), entrance.serial);
        while let Some(json) = lines.next()? {
            let entry: Entry = serde_json::from_str(json).map_err(|e| lines.json(&e))?;
            serial = serial.saturating_add(1);
            let first = entrance.serial.saturating_add(1);
            if entry.serial != serial || entry.first.unwrap_or(serial) != first {
                let message = format!("serial {} is where serial {serial} should be", entry.serial);
                return Err(lines.error(DIGITS + 2, message));
            }
            records.push(entry.record);
        }
        Ok((entrance, records))
    }
}

impl Head {
    pub(super) fn new(state: &State, sha256: String, next: u64, fence: u64, writer: &str) -> Self {
        Head {
            rhumb_head: VERSION,
            lineage: state.lineage.clone(),
            simulated: state.simulated,
            serial: state.serial,
            sha256,
            next,
            fence,
            writer: writer.to_owned(),
        }
    }

    pub(super) fn encode(&self) -> String {
        line(&json!(self))
    }

    pub(super) fn decode(remote: &Remote, key: &str, object: &Object) -> Result<Self, StateError> {
        Lines::new(remote, key, object).only("rhumb_head")
    }
}

impl Lease {
    pub(super) fn new(holder: String, writer: String, fence: u64, ttl_ms: u64) -> Self {
        Lease { rhumb_lease: VERSION, holder, writer, fence, ttl_ms, beat: 0, released: false }
    }

    pub(super) fn encode(&self) -> String {
        line(&json!(self))
    }

    pub(super) fn decode(remote: &Remote, key: &str, object: &Object) -> Result<Self, StateError> {
        Lines::new(remote, key, object).only("rhumb_lease")
    }
}

/// The lines of an object.
struct Lines<'a> {
    name: String,
    left: &'a [u8],
    /// The last line that was read, counted from 1.
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(remote: &Remote, key: &str, object: &'a Object) -> Self {
        Lines { name: remote.name_of(key), left: &object.bytes, number: 0 }
    }

    /// The JSON text of the next line.
    fn next(&mut self) -> Result<Option<&'a str>, StateError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let end = self.left.iter().position(|b| *b == b'\n');
        let Some((line, rest)) = end.and_then(|end| Some((self.left.get(..end)?, self.left.get(end + 1..)?)))
        else {
            return Err(self.error(1, "the line has no end"));
        };
        self.left = rest;
        sound(line).map(Some).ok_or_else(|| self.error(1, "its checksum does not match the line"))
    }

    /// The only line of an object.
    fn only<T: for<'de> Deserialize<'de>>(mut self, key: &str) -> Result<T, StateError> {
        let json = self.next()?.ok_or_else(|| self.error(1, "it is empty"))?;
        let value = self.parse(json, key)?;
        if self.next()?.is_some() {
            return Err(self.error(1, "there is more than one line"));
        }
        Ok(value)
    }

    /// A line whose version is at `key`.
    fn parse<T: for<'de> Deserialize<'de>>(&self, json: &str, key: &str) -> Result<T, StateError> {
        let value: serde_json::Value = serde_json::from_str(json).map_err(|e| self.json(&e))?;
        match value.get(key).and_then(serde_json::Value::as_u64) {
            Some(VERSION) => serde_json::from_str(json).map_err(|e| self.json(&e)),
            Some(other) => {
                let message = format!("it has version {other}, this rhumb reads version {VERSION}");
                let error = self.error(DIGITS + 2, message);
                Err(StateError { help: Some(crate::state::NEWER.to_owned()), ..error })
            }
            None => Err(self.error(DIGITS + 2, format!("it is another object: there is no `{key}`"))),
        }
    }

    fn error(&self, column: usize, message: impl Into<String>) -> StateError {
        damage(self.name.clone(), Some((self.number.max(1), column)), message)
    }

    fn json(&self, error: &serde_json::Error) -> StateError {
        let help = "use the rhumb that wrote it, or restore the object from a copy".to_owned();
        let at = self.error(DIGITS + 1 + error.column().max(1), serde_message(error));
        StateError { help: Some(help), ..at }
    }
}

/// What is recorded does not fit together.
pub(super) fn damage(name: String, place: Option<(usize, usize)>, message: impl Into<String>) -> StateError {
    StateError { name, place, message: message.into(), help: Some(RESTORE.to_owned()) }
}
