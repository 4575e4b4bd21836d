//! Places in the text of a state file.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::StateError;

/// A file's text with the name that the user gave it.
pub(in crate::state) struct Text<'a> {
    pub(in crate::state) name: &'a str,
    pub(in crate::state) text: &'a str,
}

impl<'a> Text<'a> {
    /// The whole text as JSON.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        serde_json::from_str(self.text).map_err(|e| StateError {
            name: self.name.to_owned(),
            place: (e.line() > 0).then(|| (e.line(), e.column().max(1))),
            message: serde_message(&e),
            help: Some("the file is written by rhumb; restore it from a copy".to_owned()),
        })
    }

    /// An error about the place at a byte offset.
    pub(in crate::state) fn error(&self, at: Option<usize>, message: String, help: &str) -> StateError {
        StateError {
            name: self.name.to_owned(),
            place: at.map(|at| self.place(at)),
            message,
            help: Some(help.to_owned()),
        }
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Byte offset of a piece of text.
    pub(super) fn find(&self, wanted: &str) -> Option<usize> {
        self.text.find(wanted)
    }

    /// Byte offsets of the values of keys `key` that are the text `value`, inside one key of the file.
    ///
    /// `value` holds nothing that JSON would escape.
    pub(super) fn values(
        &self,
        section: &str,
        key: &str,
        value: &str,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let range = self.section(section);
        let start = range.start;
        let text: &'a str = &self.text[range];
        let (key, value) = (format!("\"{key}\""), format!("\"{value}\""));
        let keys: Vec<usize> = text.match_indices(&key).map(|(at, _)| at + key.len()).collect();
        keys.into_iter().filter_map(move |at| {
            let rest = text.get(at..)?.trim_start().strip_prefix(':')?.trim_start();
            rest.starts_with(&value).then(|| start + text.len() - rest.len())
        })
    }

    /// Byte offset of an address in a list of dependencies.
    pub(super) fn dependency(&self, address: &str) -> Option<usize> {
        let wanted = format!("\"{address}\"");
        self.text.match_indices("\"depends_on\"").find_map(|(at, _)| {
            let rest = self.text.get(at..)?;
            let list = rest.get(..rest.find(']').unwrap_or(rest.len()))?;
            list.find(&wanted).map(|inside| at + inside)
        })
    }

    /// Where a key of the outermost object and its value are; all of the text if the key is not spelt plainly.
    fn section(&self, key: &str) -> Range<usize> {
        let bytes = self.text.as_bytes();
        let (mut depth, mut at) = (0_usize, 0);
        let (mut start, mut is_key) = (None, true);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let end = string_end(bytes, at);
                    if depth == 1 && is_key {
                        if let Some(start) = start {
                            return start..at;
                        }
                        if self.text.get(at + 1..end.saturating_sub(1)) == Some(key) {
                            start = Some(at);
                        }
                        is_key = false;
                    }
                    at = end;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' if depth == 1 => is_key = true,
                _ => {}
            }
            at += 1;
        }
        start.unwrap_or(0)..self.text.len()
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What serde has to say, without the place that it ends with and safe to show.
pub(in crate::state) fn serde_message(error: &serde_json::Error) -> String {
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    // What the file holds may not reach a terminal as a command to it.
    message.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
