//! The state file, format version 7: one JSON object.
//!
//! ```json
//! {
//!   "rhumb_state": 7,
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
//!       "files": {},
//!       "known_as": {},
//!       "owner": null
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
//! with the next write. Version 6 did not know `owner`, version 5 neither `known_as`, version 4 neither `outputs`, `files` and `refusals`, version 3 neither `regions`,
//! version 2 neither `complete`, `forgotten` and `history`; version 1 knew `lineage`, `serial` and `resources` only, without `token`, `since` and `doubtful`; all are still read, and never
//! written.

mod text;
mod v1;
mod v7;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use rhumb_api::{Attributes, Cloud, Handle, Owner, Resource, ResourceAddr, ResourceKind, Token};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Applying, Deed, Intent, Refusal, Spared, State, StateError, StateResource};
pub(super) use text::{Text, serde_message};

/// The version that is written.
const VERSION: u64 = 7;

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
        version @ 2..=VERSION => v7::decode(&text, version),
        other => {
            let message = format!("it has version {other}, this rhumb reads versions 1 to {VERSION}");
            let at = text.find("\"rhumb_state\"");
            Err(text.error(at, message, super::NEWER))
        }
    }
}

/// The text of a state: resources by address, intents by token, keys in the order above, two spaces, a newline
/// at the end. Equal states have equal texts.
pub fn encode(state: &State) -> String {
    let mut text = Vec::new();
    write(state, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// SHA-256 of [`encode`], lower-case hexadecimal.
pub(super) fn digest(state: &State) -> String {
    let mut hash = Hashed(Sha256::new());
    write(state, &mut hash);
    hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is written, hashed.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to what takes everything: neither memory nor a hash refuses.
fn write(state: &State, mut to: impl Write) {
    let file = Written {
        rhumb_state: VERSION,
        lineage: &state.lineage,
        serial: state.serial,
        simulated: state.simulated,
        resources: state.resources.iter().map(|(address, entry)| Thing::of(address, None, entry)).collect(),
        spares: state.spares.iter().map(|s| Thing::of(&s.address, Some(s.why), &s.thing)).collect(),
        open: state.open.values().collect(),
        applying: state.applying.as_ref(),
        forgotten: &state.forgotten,
        history: &state.history,
        regions: state.regions.iter().map(|(cloud, region)| Place { cloud: *cloud, region }).collect(),
        refusals: &state.refusals,
    };
    let _ = serde_json::to_writer_pretty(&mut to, &file);
    let _ = to.write_all(b"\n");
}

/// The file, its keys in the order in which they are written.
#[derive(Serialize)]
struct Written<'a> {
    rhumb_state: u64,
    lineage: &'a str,
    serial: u64,
    simulated: bool,
    resources: Vec<Thing<'a>>,
    spares: Vec<Thing<'a>>,
    open: Vec<&'a Intent>,
    applying: Option<&'a Applying>,
    forgotten: &'a [Handle],
    history: &'a [Deed],
    regions: Vec<Place<'a>>,
    refusals: &'a [Refusal],
}

#[derive(Serialize)]
struct Place<'a> {
    cloud: Cloud,
    region: &'a str,
}

#[derive(Serialize)]
struct Thing<'a> {
    address: &'a ResourceAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Spared>,
    kind: ResourceKind,
    cloud: Cloud,
    region: &'a str,
    id: Option<&'a str>,
    token: Option<&'a Token>,
    since: u64,
    doubtful: Option<&'a str>,
    complete: bool,
    attributes: &'a Attributes,
    depends_on: BTreeSet<&'a ResourceAddr>,
    stands_on: &'a BTreeMap<ResourceAddr, String>,
    outputs: &'a BTreeMap<String, String>,
    files: &'a BTreeMap<String, String>,
    known_as: &'a BTreeMap<ResourceAddr, ResourceAddr>,
    owner: Option<&'a Owner>,
}

impl<'a> Thing<'a> {
    fn of(address: &'a ResourceAddr, why: Option<Spared>, entry: &'a StateResource) -> Self {
        let Resource { kind, cloud, ref region, ref attributes } = entry.resource;
        Thing {
            address,
            why,
            kind,
            cloud,
            region,
            id: entry.id.as_deref(),
            token: entry.token.as_ref(),
            since: entry.since,
            doubtful: entry.doubtful.as_deref(),
            complete: entry.complete,
            attributes,
            depends_on: entry.depends_on.iter().collect(),
            stands_on: &entry.stands_on,
            outputs: &entry.outputs,
            files: &entry.files,
            known_as: &entry.known_as,
            owner: entry.owner.as_ref(),
        }
    }
}

/// The resources of a file, each address once and no dependency back to itself.
fn checked(
    text: &Text<'_>,
    listed: impl IntoIterator<Item = (ResourceAddr, StateResource)>,
) -> Result<BTreeMap<ResourceAddr, Arc<StateResource>>, StateError> {
    let mut resources = BTreeMap::new();
    for (address, entry) in listed {
        if resources.insert(address.clone(), Arc::new(entry)).is_some() {
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
fn on_a_cycle(resources: &BTreeMap<ResourceAddr, Arc<StateResource>>) -> Option<&ResourceAddr> {
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
