//! The state file, format version 5: one JSON object.
//!
//! ```json
//! {
//!   "rhumb_state": 5,
//!   "lineage": "6f1c...",
//!   "serial": 12,
//!   "simulated": false,
//!   "resources": [
//!     {
//!       "address": "services.chat/aws/eu-west-1/network",
//!       "kind": "network",
//!       "cloud": "aws",
//!       "region": "eu-west-1",
//!       "id": "vpc-0a1b2c",
//!       "token": "0123456789abcdef0123456789abcdef",
//!       "since": 4,
//!       "doubtful": null,
//!       "complete": false,
//!       "attributes": { "zones": 3 },
//!       "depends_on": [],
//!       "stands_on": {},
//!       "outputs": {},
//!       "files": {}
//!     }
//!   ],
//!   "spares": [{ "address": "...", "why": "replaced", "kind": "fleet", "...": "as above" }],
//!   "open": [{ "token": "...", "address": "...", "call": { "create": {} }, "depends_on": [] }],
//!   "applying": { "plan": "9f86...", "from": 11, "taken": [] },
//!   "forgotten": [{ "cloud": "aws", "region": "eu-west-1", "kind": "fleet", "id": "asg-1" }],
//!   "history": [{ "serial": 1, "what": "apply", "by": "ann@laptop", "at": "2026-01-01T00:00:00Z", "plan": "9f86...", "address": null,
//!                 "created": 1, "changed": 0, "removed": 0, "complete": null }],
//!   "regions": [{ "cloud": "aws", "region": "eu-west-1" }],
//!   "refusals": [{ "cloud": "aws", "region": "eu-west-1", "instance_type": "g6.xlarge", "spot": false, "kind": "capacity",
//!                  "at": "2026-01-01T00:00:00Z" }]
//! }
//! ```
//!
//! Keys that are not listed here are refused: a file that says more than this version knows would lose it
//! with the next write. Version 4 did not know `outputs`, `files` and `refusals`, version 3 neither `regions`, version 2 neither `complete`, `forgotten` and
//! `history`; version 1 knew `lineage`, `serial` and `resources` only, without `token`, `since` and `doubtful`; all are still read, and never
//! written.

mod text;
mod v1;
mod v5;

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{Attr, ResourceAddr};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{State, StateError, StateResource};
pub(super) use text::{Text, serde_message};

/// The version that is written.
const VERSION: u64 = 5;

/// Enough to tell the version, whatever else there is.
#[derive(Deserialize)]
struct Version {
    rhumb_state: u64,
}

/// Reads a state file of any version.
///
/// # Errors
/// Not JSON, another version, an unknown or missing key, an address or an intent twice, a dependency that leads
/// back to itself, an intent that changes nothing or is of another deployment, and in version 1 a dependency
/// that is not in the file; with line and column.
pub fn decode(name: &str, text: &str) -> Result<State, StateError> {
    let text = Text { name, text };
    let version: Version = text.parse()?;
    match version.rhumb_state {
        1 => v1::decode(&text),
        version @ 2..=VERSION => v5::decode(&text, version),
        other => {
            let message = format!("it has version {other}, this rhumb reads versions 1 to {VERSION}");
            let at = text.find("\"rhumb_state\"");
            Err(text.error(at, message, "use the rhumb that wrote it, or a newer one"))
        }
    }
}

/// The text of a state: resources by address, intents by token, keys in the order above, two spaces, a newline
/// at the end. Equal states have equal texts.
pub fn encode(state: &State) -> String {
    let resources = state.resources.iter().map(|(address, entry)| thing(address, None, entry));
    let spares = state.spares.iter().map(|s| thing(&s.address, Some(s.why.as_str()), &s.thing));
    let file = json!({
        "rhumb_state": VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "simulated": state.simulated,
        "resources": resources.collect::<Vec<_>>(),
        "spares": spares.collect::<Vec<_>>(),
        "open": state.open.values().collect::<Vec<_>>(),
        "applying": state.applying,
        "forgotten": state.forgotten,
        "history": state.history,
        "regions": state.regions.iter().map(|(cloud, region)| json!({ "cloud": cloud, "region": region })).collect::<Vec<_>>(),
        "refusals": state.refusals,
    });
    format!("{file:#}\n")
}

fn thing(address: &ResourceAddr, why: Option<&str>, entry: &StateResource) -> Value {
    let resource = &entry.resource;
    let attributes: Map<String, Value> =
        resource.attributes.iter().map(|(k, v)| (k.clone(), value(v))).collect();
    let depends_on: BTreeSet<&str> = entry.depends_on.iter().map(ResourceAddr::as_str).collect();
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("address", json!(address.as_str()));
    if let Some(why) = why {
        put("why", json!(why));
    }
    put("kind", json!(resource.kind.as_str()));
    put("cloud", json!(resource.cloud.as_str()));
    put("region", json!(resource.region));
    put("id", json!(entry.id));
    put("token", json!(entry.token));
    put("since", json!(entry.since));
    put("doubtful", json!(entry.doubtful));
    put("complete", json!(entry.complete));
    put("attributes", Value::Object(attributes));
    put("depends_on", json!(depends_on));
    put("stands_on", json!(entry.stands_on));
    put("outputs", json!(entry.outputs));
    put("files", json!(entry.files));
    Value::Object(object)
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

/// The resources of a file, each address once and no dependency back to itself.
fn checked(
    text: &Text<'_>,
    listed: impl IntoIterator<Item = (ResourceAddr, StateResource)>,
) -> Result<BTreeMap<ResourceAddr, StateResource>, StateError> {
    let mut resources = BTreeMap::new();
    for (address, entry) in listed {
        if resources.insert(address.clone(), entry).is_some() {
            let at = text.values("resources", "address", address.as_str()).nth(1);
            return Err(text.error(at, format!("`{address}` is in it twice"), "keep the one that exists"));
        }
    }
    if let Some(address) = on_a_cycle(&resources) {
        let at = text.values("resources", "address", address.as_str()).next();
        let message = format!("`{address}` depends on itself, directly or through others");
        return Err(text.error(at, message, "restore the file from a copy"));
    }
    Ok(resources)
}

/// The smallest address that is on a cycle or depends on one.
fn on_a_cycle(resources: &BTreeMap<ResourceAddr, StateResource>) -> Option<&ResourceAddr> {
    // What is not there (any more) closes no cycle.
    let there = |d: &&ResourceAddr| resources.contains_key(*d);
    let mut left: BTreeMap<&ResourceAddr, BTreeSet<&ResourceAddr>> =
        resources.iter().map(|(a, entry)| (a, entry.depends_on.iter().filter(there).collect())).collect();
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
