//! The state file, format version 1: one JSON object.
//!
//! ```json
//! {
//!   "rhumb_state": 1,
//!   "lineage": "6f1c...",
//!   "serial": 12,
//!   "resources": [
//!     {
//!       "address": "services.chat/aws/eu-west-1/network",
//!       "kind": "network",
//!       "cloud": "aws",
//!       "region": "eu-west-1",
//!       "id": "vpc-0a1b2c",
//!       "attributes": { "zones": 3 },
//!       "depends_on": []
//!     }
//!   ]
//! }
//! ```
//!
//! Keys that are not listed here are refused: a file that says more than this version knows would lose it
//! with the next write.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, Cloud, Resource, ResourceAddr, ResourceKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{State, StateError, StateResource};

/// The only version so far.
const VERSION: u64 = 1;

/// Enough to tell the version, whatever else there is.
#[derive(Deserialize)]
struct Version {
    rhumb_state: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileV1 {
    #[serde(rename = "rhumb_state")]
    _version: u64,
    lineage: String,
    serial: u64,
    resources: Vec<ResourceV1>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceV1 {
    address: ResourceAddr,
    kind: ResourceKind,
    cloud: Cloud,
    region: String,
    #[serde(default)]
    id: Option<String>,
    attributes: BTreeMap<String, Attr>,
    #[serde(default)]
    depends_on: Vec<ResourceAddr>,
}

/// Reads a state file.
///
/// # Errors
/// Not JSON, another version, an unknown or missing key, an address twice, or a dependency that is not in
/// the file or leads back to itself; with line and column.
pub fn decode(name: &str, text: &str) -> Result<State, StateError> {
    let error = |place: Option<(usize, usize)>, message: String, help: Option<&str>| StateError {
        name: name.to_owned(),
        place,
        message,
        help: help.map(str::to_owned),
    };
    let json = |e: &serde_json::Error| {
        let place = (e.line() > 0).then(|| (e.line(), e.column().max(1)));
        // serde_json ends its message with the place, which is told apart here.
        let full = e.to_string();
        let message = full.split(" at line ").next().unwrap_or(&full);
        // What the file holds may not reach a terminal as a command to it.
        let message = message.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        error(place, message, Some("the file is written by rhumb; restore it from a copy"))
    };
    let version: Version = serde_json::from_str(text).map_err(|e| json(&e))?;
    if version.rhumb_state != VERSION {
        let message = format!("it has version {}, this rhumb reads version {VERSION}", version.rhumb_state);
        let at = locate(text, "\"rhumb_state\"").next().map(|at| place_of(text, at));
        return Err(error(at, message, Some("use the rhumb that wrote it, or a newer one")));
    }
    let file: FileV1 = serde_json::from_str(text).map_err(|e| json(&e))?;
    let mut resources = BTreeMap::new();
    for r in file.resources {
        let ResourceV1 { address, kind, cloud, region, id, attributes, depends_on } = r;
        let resource = Resource { kind, cloud, region, attributes };
        let entry = StateResource { resource, id, depends_on };
        if resources.insert(address.clone(), entry).is_some() {
            let at = addresses(text, &address).nth(1).map(|at| place_of(text, at));
            let message = format!("`{address}` is in it twice");
            return Err(error(at, message, Some("keep the one that exists")));
        }
    }
    for (address, entry) in &resources {
        if let Some(missing) = entry.depends_on.iter().find(|d| !resources.contains_key(*d)) {
            let at = dependency(text, missing).map(|at| place_of(text, at));
            let message = format!("`{address}` depends on `{missing}`, which is not in it");
            return Err(error(at, message, Some("restore the file from a copy")));
        }
    }
    if let Some(address) = on_a_cycle(&resources) {
        let at = addresses(text, address).next().map(|at| place_of(text, at));
        let message = format!("`{address}` depends on itself, directly or through others");
        return Err(error(at, message, Some("restore the file from a copy")));
    }
    Ok(State { lineage: file.lineage, serial: file.serial, resources })
}

/// The text of a state: resources by address, keys in the order above, two spaces, a newline at the end.
/// Equal states have equal texts.
pub fn encode(state: &State) -> String {
    let resources: Vec<Value> = state
        .resources
        .iter()
        .map(|(address, entry)| {
            let attributes: Map<String, Value> =
                entry.resource.attributes.iter().map(|(k, v)| (k.clone(), value(v))).collect();
            let depends_on: BTreeSet<&str> = entry.depends_on.iter().map(ResourceAddr::as_str).collect();
            json!({
                "address": address.as_str(),
                "kind": entry.resource.kind.as_str(),
                "cloud": entry.resource.cloud.as_str(),
                "region": entry.resource.region,
                "id": entry.id,
                "attributes": attributes,
                "depends_on": depends_on,
            })
        })
        .collect();
    let file = json!({
        "rhumb_state": VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "resources": resources,
    });
    format!("{file:#}\n")
}

fn value(attr: &Attr) -> Value {
    match attr {
        Attr::Bool(b) => Value::Bool(*b),
        Attr::Int(n) => Value::from(*n),
        Attr::Text(text) => Value::String(text.clone()),
        Attr::List(items) => Value::Array(items.iter().map(value).collect()),
        Attr::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.clone(), value(v))).collect()),
    }
}

/// The smallest address that is on a cycle or depends on one.
fn on_a_cycle(resources: &BTreeMap<ResourceAddr, StateResource>) -> Option<&ResourceAddr> {
    let mut left: BTreeMap<&ResourceAddr, BTreeSet<&ResourceAddr>> =
        resources.iter().map(|(address, entry)| (address, entry.depends_on.iter().collect())).collect();
    let mut dependents: BTreeMap<&ResourceAddr, Vec<&ResourceAddr>> = BTreeMap::new();
    for (address, needed) in &left {
        for other in needed {
            dependents.entry(other).or_default().push(address);
        }
    }
    let mut ready: Vec<&ResourceAddr> =
        left.iter().filter(|(_, needed)| needed.is_empty()).map(|(address, _)| *address).collect();
    while let Some(address) = ready.pop() {
        left.remove(address);
        for dependent in dependents.get(address).into_iter().flatten() {
            if let Some(needed) = left.get_mut(dependent) {
                needed.remove(address);
                if needed.is_empty() {
                    ready.push(dependent);
                }
            }
        }
    }
    left.keys().next().copied()
}

/// Byte offsets of a token.
fn locate<'a>(text: &'a str, token: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(token).map(|(at, _)| at)
}

/// Byte offsets of the values of `"address"` keys that are this address.
fn addresses<'a>(text: &'a str, address: &ResourceAddr) -> impl Iterator<Item = usize> + 'a {
    let wanted = format!("\"{address}\"");
    locate(text, "\"address\"").filter_map(move |at| {
        let rest = text.get(at + "\"address\"".len()..)?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        rest.starts_with(&wanted).then(|| text.len() - rest.len())
    })
}

/// Byte offset of an address in a list of dependencies.
fn dependency(text: &str, address: &ResourceAddr) -> Option<usize> {
    let wanted = format!("\"{address}\"");
    locate(text, "\"depends_on\"").find_map(|at| {
        let rest = text.get(at..)?;
        let list = rest.get(..rest.find(']').unwrap_or(rest.len()))?;
        list.find(&wanted).map(|inside| at + inside)
    })
}

fn place_of(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
