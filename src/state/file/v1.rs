//! Version 1: resources only.

use std::collections::BTreeSet;

use rhumb_api::{Attributes, Cloud, Resource, ResourceAddr, ResourceKind};
use serde::Deserialize;

use super::{State, StateError, StateResource, Text, checked};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "rhumb_state")]
    _version: u64,
    lineage: String,
    serial: u64,
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: ResourceAddr,
    kind: ResourceKind,
    cloud: Cloud,
    region: String,
    #[serde(default)]
    id: Option<String>,
    attributes: Attributes,
    #[serde(default)]
    depends_on: Vec<ResourceAddr>,
}

/// A state of a real cloud in which everything has been as it is since its serial.
pub(super) fn decode(text: &Text<'_>) -> Result<State, StateError> {
    let file: File = text.parse()?;
    let serial = file.serial;
    let listed: BTreeSet<ResourceAddr> = file.resources.iter().map(|e| e.address.clone()).collect();
    let missing = file.resources.iter().find_map(|e| {
        e.depends_on.iter().find(|needed| !listed.contains(*needed)).map(|needed| (&e.address, needed))
    });
    let missing = missing.map(|(address, needed)| {
        let message = format!("`{address}` depends on `{needed}`, which is not in it");
        text.error(text.dependency(needed.as_str()), message, "restore the file from a copy")
    });
    let resources = checked(text, file.resources.into_iter().map(|e| migrated(e, serial)))?;
    match missing {
        Some(error) => Err(error),
        None => {
            let mut state = State { serial, resources, ..State::new(file.lineage, false) };
            state.regions = state.places();
            Ok(state)
        }
    }
}

fn migrated(entry: Entry, since: u64) -> (ResourceAddr, StateResource) {
    let Entry { address, kind, cloud, region, id, attributes, mut depends_on } = entry;
    depends_on.sort();
    depends_on.dedup();
    let resource = Resource { kind, cloud, region, attributes };
    (address, StateResource { id, since, ..StateResource::of(resource, depends_on) })
}
