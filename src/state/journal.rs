//! The text of a journal, format version 1: lines, each behind its checksum.
//!
//! ```text
//! 3c1f0e9d8b7a6543 {"rhumb_journal":1,"lineage":"6f1c...","simulated":false,"base":12}
//! a5b4c3d2e1f00918 {"serial":13,"record":{"accepted":{"token":"0123...","id":"i-0a1b"}}}
//! 0918a5b4c3d2e1f0 {"serial":14,"first":13,"record":{"end":{"complete":true,"at":"2026-01-01T00:00:00Z"}}}
//! ```
//!
//! A checksum is the first 16 hexadecimal digits of SHA-256 of the line's JSON text. A journal continues the snapshot of serial `base`;
//! a later snapshot may have taken over some of its records already.
//!
//! Records that are written together are a group; all but the first of it say the serial of the first.
//!
//! A write that was cut off leaves a last line without its end, or zero bytes where the file had grown and nothing was written, behind
//! which there may be other lines of the same group: blocks are not written in order. That is no damage, because nobody was told yet that
//! the group was recorded. Everything else that does not match is damage and refused.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::file::serde_message;
use super::{Record, State, StateError};

/// The only version so far.
const VERSION: u64 = 1;

/// Hexadecimal digits of a checksum.
pub(super) const DIGITS: usize = 16;

/// Enough to tell the version, whatever else there is.
#[derive(Deserialize)]
struct Version {
    rhumb_journal: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "rhumb_journal")]
    _version: u64,
    lineage: String,
    simulated: bool,
    base: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) serial: u64,
    /// The first serial of its group, if it is not the first itself.
    pub(super) first: Option<u64>,
    pub(super) record: Record,
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The state after the last record; `None` if neither a snapshot nor a whole header is there.
    pub state: Option<State>,
    /// The serial that the journal continues; `None` if its header is not whole.
    pub base: Option<u64>,
    /// Records that the snapshot did not have yet.
    pub records: usize,
    /// Bytes of whole lines, from the start.
    pub good_bytes: u64,
    /// Bytes behind them, left by a write that was cut off.
    pub torn_bytes: u64,
}

/// The first line of a journal that continues the state of serial `base`.
pub fn encode_header(lineage: &str, simulated: bool, base: u64) -> String {
    line(&json!({ "rhumb_journal": VERSION, "lineage": lineage, "simulated": simulated, "base": base }))
}

/// The line of a record alone, which makes a state one of serial `serial`.
pub fn encode_record(serial: u64, record: &Record) -> String {
    line(&json!({ "serial": serial, "record": record }))
}

/// The line of a record that makes a state one of serial `serial` and is written together with those from serial `first` on.
pub fn encode_grouped(first: u64, serial: u64, record: &Record) -> String {
    if first == serial {
        return encode_record(serial, record);
    }
    line(&json!({ "serial": serial, "first": first, "record": record }))
}

/// A line of JSON behind its checksum.
pub(super) fn line(value: &Value) -> String {
    let json = value.to_string();
    format!("{} {json}\n", checksum(json.as_bytes()))
}

fn checksum(json: &[u8]) -> String {
    Sha256::digest(json).iter().take(DIGITS / 2).map(|b| format!("{b:02x}")).collect()
}

/// The state that a snapshot and the journal behind it say.
///
/// # Errors
/// A damaged line, one that this version does not understand, a journal of another deployment or of a later snapshot, a missing record,
/// or one that does not fit; with line and column.
pub fn replay(name: &str, bytes: &[u8], snapshot: Option<State>) -> Result<Replayed, StateError> {
    let mut lines = Lines { name, bytes, at: 0, number: 0, next: None };
    let mut replayed = Replayed { state: snapshot, base: None, records: 0, good_bytes: 0, torn_bytes: 0 };
    if let Some(first) = lines.read()? {
        let header = lines.header(first)?;
        let state = lines.begin(&header, replayed.state.take())?;
        replayed.base = Some(header.base);
        let mut state = state;
        let mut serial = header.base;
        lines.next = serial.checked_add(1);
        while let Some(json) = lines.read()? {
            let entry: Entry = serde_json::from_str(json).map_err(|e| lines.json(&e))?;
            if lines.next != Some(entry.serial) {
                let message = format!("serial {} follows serial {serial}", entry.serial);
                return Err(lines.error(DIGITS + 2, message, RESTORE));
            }
            serial = entry.serial;
            lines.next = serial.checked_add(1);
            if serial > state.serial {
                let refused = |e| lines.error(DIGITS + 2, format!("its record does not fit: {e}"), RESTORE);
                state.take(&entry.record).map_err(refused)?;
                replayed.records += 1;
            }
        }
        replayed.state = Some(state);
    }
    replayed.good_bytes = lines.at as u64;
    replayed.torn_bytes = (bytes.len() - lines.at) as u64;
    Ok(replayed)
}

/// What to do about damage.
const RESTORE: &str =
    "the file was changed after it was written; restore it and the state file from copies of one time";

/// The lines of a journal.
struct Lines<'a> {
    name: &'a str,
    bytes: &'a [u8],
    /// Where the whole lines so far end.
    at: usize,
    /// The last of them, counted from 1.
    number: usize,
    /// The serial of the next record; none in front of the first.
    next: Option<u64>,
}

impl<'a> Lines<'a> {
    /// The JSON text of the next line; `None` where the whole lines end.
    fn read(&mut self) -> Result<Option<&'a str>, StateError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let end = rest.iter().position(|b| *b == b'\n');
        let whole = end.and_then(|end| rest.get(..end));
        if let Some((line, json)) = whole.and_then(|line| Some((line, sound(line)?))) {
            self.at += line.len() + 1;
            return Ok(Some(json));
        }
        let behind = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        let zeros = whole.unwrap_or(rest).contains(&0);
        // A header is put in its place as a whole file: only one that was never finished can be short, and none has zeros.
        let torn = if self.number == 1 { end.is_none() && !zeros } else { end.is_none() || zeros };
        if torn && behind.split(|b| *b == b'\n').filter_map(sound).all(|json| self.is_of_the_same_group(json))
        {
            return Ok(None);
        }
        let message = match whole {
            Some(line) if line.get(DIGITS) == Some(&b' ') => "its checksum does not match the line",
            Some(_) => "the line does not begin with a checksum",
            None => "the line has no end",
        };
        Err(self.error(1, message.to_owned(), RESTORE))
    }

    /// Whether a line was written together with the one that is next.
    fn is_of_the_same_group(&self, json: &str) -> bool {
        let entry = serde_json::from_str::<Entry>(json);
        entry.is_ok_and(|entry| entry.first.is_some_and(|first| Some(first) <= self.next))
    }

    fn header(&self, json: &str) -> Result<Header, StateError> {
        let version: Version = serde_json::from_str(json).map_err(|e| self.json(&e))?;
        if version.rhumb_journal != VERSION {
            let message = format!(
                "the journal has version {}, this rhumb reads version {VERSION}",
                version.rhumb_journal
            );
            return Err(self.error(DIGITS + 2, message, super::NEWER));
        }
        serde_json::from_str(json).map_err(|e| self.json(&e))
    }

    /// The state that the journal continues.
    fn begin(&self, header: &Header, snapshot: Option<State>) -> Result<State, StateError> {
        let Header { lineage, simulated, base, .. } = header;
        let error = |message: String, help: &str| Err(self.error(DIGITS + 2, message, help));
        match snapshot {
            None if *base == 0 => Ok(State::new(lineage.clone(), *simulated)),
            None => error(
                format!("the journal continues serial {base}, and the state file is not there"),
                "restore the state file from a copy",
            ),
            Some(state) if state.lineage != *lineage => error(
                "the journal is of another deployment than the state file".to_owned(),
                "put the two files together that belong together; their `lineage` is the same",
            ),
            Some(state) if state.simulated != *simulated => error(
                "of the journal and the state file one is of a simulated cloud".to_owned(),
                "put the two files together that belong together; their `simulated` is the same",
            ),
            Some(state) if state.serial < *base => error(
                format!(
                    "the journal continues serial {base}, and the state file has serial {}",
                    state.serial
                ),
                "restore the newer state file",
            ),
            Some(state) => Ok(state),
        }
    }

    /// An error about a column of the current line.
    fn error(&self, column: usize, message: String, help: &str) -> StateError {
        let place = Some((self.number, column));
        StateError { name: self.name.to_owned(), place, message, help: Some(help.to_owned()) }
    }

    fn json(&self, error: &serde_json::Error) -> StateError {
        let help = "use the rhumb that wrote it, or restore the file from a copy";
        self.error(DIGITS + 1 + error.column().max(1), serde_message(error), help)
    }
}

/// The JSON text of a line whose checksum matches.
pub(super) fn sound(line: &[u8]) -> Option<&str> {
    let (sum, json) = line.split_at_checked(DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| std::str::from_utf8(json).ok())?
}
