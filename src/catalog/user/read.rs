//! Values of the user's file, each problem with its place.

use rhumb_api::{Cloud, Money};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Pointer, SourceMap, did_you_mean};

/// Collects problems.
pub struct Reader<'a> {
    /// The text.
    pub map: &'a SourceMap,
    /// Problems so far.
    pub problems: Vec<Diagnostic>,
}

/// An object of the file and where it stands.
#[derive(Clone)]
pub struct Entry<'v> {
    /// Its members.
    pub members: &'v Map<String, Value>,
    /// Its place.
    pub at: Pointer,
}

impl<'v> Entry<'v> {
    /// A member that is not `null`.
    pub fn get(&self, key: &str) -> Option<&'v Value> {
        self.members.get(key).filter(|v| !v.is_null())
    }
}

impl Reader<'_> {
    /// Reports a problem at a value.
    pub fn problem(&mut self, code: &'static str, at: &Pointer, message: String, help: &str) {
        let diagnostic = Diagnostic::error(code, message).at(self.map, at);
        self.problems.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// Reports every key that is not `known`.
    pub fn only(&mut self, entry: &Entry<'_>, known: &[&str]) {
        for key in entry.members.keys().filter(|k| !known.contains(&k.as_str())) {
            let help = match did_you_mean(key, known.iter().copied()) {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => format!("known keys here: {}", known.join(", ")),
            };
            let place = entry.at.join(key);
            let message = format!("unknown key `{key}`");
            self.problems.push(Diagnostic::error("unknown-key", message).at_key(self.map, &place).help(help));
        }
    }

    /// The objects of a list.
    pub fn entries<'v>(&mut self, root: &Entry<'v>, key: &str) -> Vec<Entry<'v>> {
        let at = root.at.join(key);
        match root.get(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .filter_map(|(i, item)| match item {
                    Value::Object(members) => Some(Entry { members, at: at.join(i) }),
                    _ => {
                        self.problem("wrong-type", &at.join(i), format!("an entry of `{key}` is a map"), "");
                        None
                    }
                })
                .collect(),
            Some(_) => {
                self.problem("wrong-type", &at, format!("`{key}` is a list"), "put `- ` before each entry");
                Vec::new()
            }
        }
    }

    /// Text, if it is there.
    pub fn text<'v>(&mut self, entry: &Entry<'v>, key: &str) -> Option<&'v str> {
        match entry.get(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            _ => {
                self.problem("wrong-type", &entry.at.join(key), format!("`{key}` is a text"), "");
                None
            }
        }
    }

    /// Text that must be there.
    pub fn needed<'v>(&mut self, entry: &Entry<'v>, key: &str) -> Option<&'v str> {
        if entry.get(key).is_none() {
            self.missing(entry, key);
            return None;
        }
        self.text(entry, key)
    }

    /// Reports a missing key.
    pub fn missing(&mut self, entry: &Entry<'_>, key: &str) {
        self.problem("missing-key", &entry.at, format!("`{key}` is missing"), "");
    }

    /// A number of a range, if it is there.
    pub fn number(&mut self, entry: &Entry<'_>, key: &str, range: (f64, f64)) -> Option<f64> {
        let value = entry.get(key)?;
        match value.as_f64() {
            Some(number) if (range.0..=range.1).contains(&number) => Some(number),
            _ => {
                let (low, high) = range;
                let limits = if high.is_finite() {
                    format!("from {low} to {high}")
                } else {
                    format!("of at least {low}")
                };
                let message = format!("`{key}` is a number {limits}, not {value}");
                self.problem("wrong-value", &entry.at.join(key), message, "");
                None
            }
        }
    }

    /// Dollars, if they are there.
    pub fn money(&mut self, entry: &Entry<'_>, key: &str) -> Option<Money> {
        let number = self.number(entry, key, (0.0, 1e9))?;
        Money::from_usd(number).ok()
    }

    /// One of some words, if it is there.
    pub fn word<'k>(&mut self, entry: &Entry<'_>, key: &str, known: &[&'k str]) -> Option<&'k str> {
        let at = entry.at.join(key);
        // `offered: yes` may reach us as a truth value.
        let written = match entry.get(key)? {
            Value::Bool(true) => "yes",
            Value::String(text) => text.as_str(),
            _ => "",
        };
        let found = known.iter().copied().find(|k| *k == written);
        if found.is_none() {
            self.unknown_name(&at, key, written, known.iter().copied());
        }
        found
    }

    /// Reports a name that is not known.
    pub fn unknown_name<'k>(
        &mut self,
        at: &Pointer,
        what: &str,
        written: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.collect();
        let help = match did_you_mean(written, known.iter().copied()) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None if known.len() <= 12 => format!("known are: {}", known.join(", ")),
            None => String::new(),
        };
        self.problem("unknown-name", at, format!("{what} `{written}` is not known"), &help);
    }

    /// The cloud that every entry needs.
    pub fn cloud(&mut self, entry: &Entry<'_>) -> Option<Cloud> {
        if entry.get("cloud").is_none() {
            self.missing(entry, "cloud");
            return None;
        }
        let word = self.word(entry, "cloud", &Cloud::ALL.map(Cloud::as_str))?;
        super::super::packed::cloud(word)
    }
}
