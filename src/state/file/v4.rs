//! Version 4: what exists, what is to go, what is under way, what was done, and where; version 3, which did not say in which regions something
//! was once ordered; and version 2, which said neither what was done, nor what was left to others, nor which runs have ended.
//!
//! A dependency may name what is not in the file: that it is gone is a fact that was recorded, whoever still
//! depends on it.

use std::collections::BTreeMap;

use rhumb_api::{Attr, Call, Cloud, Handle, Resource, ResourceAddr, ResourceKind, Token};
use serde::Deserialize;

use super::{State, StateError, StateResource, Text, VERSION, checked};
use crate::state::{Applying, Deed, Intent, Spare, Spared};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "rhumb_state")]
    _version: u64,
    lineage: String,
    serial: u64,
    simulated: bool,
    resources: Vec<Entry>,
    spares: Vec<SpareEntry>,
    open: Vec<Intent>,
    applying: Option<Applying>,
    #[serde(default)]
    forgotten: Option<Vec<Handle>>,
    #[serde(default)]
    history: Option<Vec<Deed>>,
    #[serde(default)]
    regions: Option<Vec<Region>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Region {
    cloud: Cloud,
    region: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: ResourceAddr,
    kind: ResourceKind,
    cloud: Cloud,
    region: String,
    id: Option<String>,
    token: Option<Token>,
    since: u64,
    doubtful: Option<String>,
    #[serde(default)]
    complete: Option<bool>,
    attributes: BTreeMap<String, Attr>,
    depends_on: Vec<ResourceAddr>,
    stands_on: BTreeMap<ResourceAddr, String>,
}

/// An [`Entry`] and why it is to go; spelt out because serde cannot both flatten and refuse unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpareEntry {
    address: ResourceAddr,
    why: Spared,
    kind: ResourceKind,
    cloud: Cloud,
    region: String,
    id: Option<String>,
    token: Option<Token>,
    since: u64,
    doubtful: Option<String>,
    #[serde(default)]
    complete: Option<bool>,
    attributes: BTreeMap<String, Attr>,
    depends_on: Vec<ResourceAddr>,
    stands_on: BTreeMap<ResourceAddr, String>,
}

pub(super) fn decode(text: &Text<'_>, version: u64) -> Result<State, StateError> {
    let file: File = text.parse()?;
    let complete = file.resources.iter().map(|e| e.complete).chain(file.spares.iter().map(|e| e.complete));
    let later = [
        ("forgotten", file.forgotten.is_some(), 3),
        ("history", file.history.is_some(), 3),
        ("regions", file.regions.is_some(), 4),
    ];
    let mut said = complete.map(|said| ("complete", said.is_some(), 3)).chain(later);
    if let Some((key, said, _)) = said.find(|(_, said, since)| *said != (version >= *since)) {
        let (message, at) = match said {
            true => (format!("unknown field `{key}` in version {version}"), text.find(&format!("\"{key}\""))),
            false => (format!("missing field `{key}`"), None),
        };
        return Err(text.error(
            at.or(Some(0)),
            message,
            "the file is written by rhumb; restore it from a copy",
        ));
    }
    let mut forgotten = file.forgotten.unwrap_or_default();
    forgotten.sort();
    forgotten.dedup();
    let resources = checked(text, file.resources.into_iter().map(thing))?;
    let spares = file.spares.into_iter().map(spare).collect();
    let mut open = BTreeMap::new();
    for intent in file.open {
        let token = intent.token.clone();
        let at = |nth| text.values("open", "token", token.as_str()).nth(nth);
        if let Some((message, help)) = wrong(&intent, &file.lineage) {
            return Err(text.error(at(0), message, help));
        }
        if open.insert(token.clone(), intent).is_some() {
            // A create says its token in its tags too, so that the second mention may be of the same intent.
            let again = text.values("open", "token", token.as_str()).last();
            let message = format!("the intent {token} is in it twice");
            return Err(text.error(again, message, "restore the file from a copy"));
        }
    }
    let regions = file.regions.unwrap_or_default().into_iter().map(|of| (of.cloud, of.region)).collect();
    let mut state = State {
        lineage: file.lineage,
        serial: file.serial,
        simulated: file.simulated,
        resources,
        spares,
        open,
        applying: file.applying,
        forgotten,
        history: file.history.unwrap_or_default(),
        regions,
    };
    if version < VERSION {
        // They tell only where something is.
        state.regions = state.places();
    }
    Ok(state)
}

/// What is wrong with an intent by itself, and what to do about it.
fn wrong(intent: &Intent, lineage: &str) -> Option<(String, &'static str)> {
    let restore = "restore the file from a copy";
    let (token, address) = (&intent.token, &intent.address);
    match &intent.call {
        Call::Create(order) if order.tags.lineage != lineage => {
            let message = format!("the intent {token} of `{address}` is of another deployment");
            Some((message, "two states were mixed; restore the file from a copy"))
        }
        Call::Create(order) if order.tags.token != *token => {
            Some((format!("the intent {token} of `{address}` would be tagged with another token"), restore))
        }
        Call::Create(_) => None,
        Call::Update(..) | Call::Delete(_) if intent.accepted.is_some() => {
            Some((format!("the intent {token} of `{address}` makes nothing that could be accepted"), restore))
        }
        Call::Update(..) | Call::Delete(_) => None,
        Call::Read(_) | Call::List(_) => {
            Some((format!("the intent {token} of `{address}` changes nothing"), restore))
        }
    }
}

fn thing(entry: Entry) -> (ResourceAddr, StateResource) {
    let Entry {
        address,
        kind,
        cloud,
        region,
        id,
        token,
        since,
        doubtful,
        complete,
        attributes,
        mut depends_on,
        stands_on,
    } = entry;
    depends_on.sort();
    depends_on.dedup();
    let resource = Resource { kind, cloud, region, attributes };
    let complete = complete.unwrap_or(false);
    (address, StateResource { resource, id, token, since, doubtful, complete, depends_on, stands_on })
}

fn spare(entry: SpareEntry) -> Spare {
    let why = entry.why;
    let (address, thing) = thing(Entry {
        address: entry.address,
        kind: entry.kind,
        cloud: entry.cloud,
        region: entry.region,
        id: entry.id,
        token: entry.token,
        since: entry.since,
        doubtful: entry.doubtful,
        complete: entry.complete,
        attributes: entry.attributes,
        depends_on: entry.depends_on,
        stands_on: entry.stands_on,
    });
    Spare { address, thing: Box::new(thing), why }
}
