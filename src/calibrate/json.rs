//! JSON as benchmarks write it: documents, and places in them that a refusal can name.

use serde_json::Value;

use super::{Fault, RUN_AGAIN};

/// The documents of a text: one, or several that were appended.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let mut documents = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        match document {
            Ok(value) => documents.push(value),
            Err(error) => return Err(broken(text, &error)),
        }
    }
    if documents.is_empty() {
        return Err(Fault::new("the file is empty", RUN_AGAIN));
    }
    Ok(documents)
}

fn broken(text: &str, error: &serde_json::Error) -> Fault {
    let place = format!("line {} column {}", error.line(), error.column());
    // Python writes what JSON does not have.
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let from = error.column().saturating_sub(2).min(line.len());
    let rest = line.get(from..).or_else(|| line.get(from.saturating_sub(1)..)).unwrap_or_default();
    if let Some(word) = ["NaN", "Infinity", "-Infinity"].iter().find(|w| rest.trim_start().starts_with(*w)) {
        return Fault::new(
            format!("a figure is not a number ({word}) at {place}"),
            "something was measured over no request: run the benchmark again with requests that succeed",
        );
    }
    if error.is_eof() {
        return Fault::new(format!("the file ends in the middle, at {place}"), RUN_AGAIN);
    }
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    Fault::new(
        format!("not JSON at {place}: {message}"),
        "name the JSON file as the benchmark wrote it; nothing of this file was taken",
    )
}

/// A value and where it is.
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    value: Option<&'v Value>,
    path: String,
}

impl<'v> At<'v> {
    pub fn root(value: &'v Value) -> Self {
        At { value: Some(value), path: String::new() }
    }

    /// What `key` holds.
    pub fn key(&self, key: &str) -> At<'v> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { value: self.value.and_then(|v| v.get(key)), path }
    }

    /// What a path of keys holds.
    pub fn at(&self, path: &[&str]) -> At<'v> {
        path.iter().fold(self.clone(), |at, key| at.key(key))
    }

    pub fn has(&self, key: &str) -> bool {
        self.value.is_some_and(|v| v.get(key).is_some())
    }

    /// Whether it is there and not `null`.
    pub fn is_some(&self) -> bool {
        self.value.is_some_and(|v| !v.is_null())
    }

    pub fn items(&self) -> Vec<At<'v>> {
        let list = self.value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter()
            .enumerate()
            .map(|(i, value)| At { value: Some(value), path: format!("{}[{i}]", self.path) })
            .collect()
    }

    pub fn text(&self) -> Option<&'v str> {
        self.value.and_then(Value::as_str)
    }

    pub fn bool(&self) -> Option<bool> {
        self.value.and_then(Value::as_bool)
    }

    /// Whether it is something that says a thing: no `null`, `false`, 0, empty text, list or map.
    pub fn says_something(&self) -> bool {
        match self.value {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(Value::Number(n)) => n.as_f64() != Some(0.0),
            Some(Value::String(s)) => !s.is_empty(),
            Some(Value::Array(a)) => !a.is_empty(),
            Some(Value::Object(o)) => !o.is_empty(),
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        self.value.and_then(Value::as_f64).filter(|x| x.is_finite())
    }

    /// The entries of a map of scalars as text.
    pub fn texts(&self) -> Vec<(String, String)> {
        let entries = self.value.and_then(Value::as_object);
        entries
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| match value {
                Value::String(s) => Some((key.clone(), s.clone())),
                Value::Number(n) => Some((key.clone(), n.to_string())),
                _ => None,
            })
            .collect()
    }

    /// A number above zero.
    pub fn positive(&self, what: &str) -> Result<f64, Fault> {
        let fix = "run the benchmark again with the version and options that record it, and let it end";
        match self.value {
            None | Some(Value::Null) => Err(Fault::new(format!("`{}` ({what}) is missing", self.path), fix)),
            Some(value) => match self.number() {
                Some(x) if x > 0.0 => Ok(x),
                Some(x) => Err(Fault::new(format!("`{}` ({what}) is {x}", self.path), fix)),
                None => {
                    let shown: String = value.to_string().chars().take(40).collect();
                    Err(Fault::new(format!("`{}` ({what}) is not a number: {shown}", self.path), fix))
                }
            },
        }
    }

    /// A whole number of at least 0.
    pub fn count(&self, what: &str) -> Result<u64, Fault> {
        match self.number() {
            Some(x) if x >= 0.0 && x.fract() == 0.0 && x < 1e15 => Ok(x as u64),
            _ if !self.is_some() => {
                Err(Fault::new(format!("`{}` ({what}) is missing", self.path), RUN_AGAIN))
            }
            _ => Err(Fault::new(format!("`{}` ({what}) is not a whole number", self.path), RUN_AGAIN)),
        }
    }
}
