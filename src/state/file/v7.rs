//! Version 7: what exists, what is to go, what is under way, what was done, and where; version 6, which did not say whose things are that are to be taken over; version 5, which said nothing of addresses that
//! were renamed; version 4, which said neither what clouds have given
//! things nor which files machines got; version 3, which did not say in which regions something was once ordered; and version 2, which said neither what was done, nor what was left to others, nor which runs have ended.
//!
//! A dependency may name what is not in the file: that it is gone is a fact that was recorded, whoever still
//! depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Attributes, Call, Cloud, Handle, Owner, Resource, ResourceAddr, ResourceKind, Token};
use serde::{Deserialize, Deserializer};

use super::{State, StateError, StateResource, Text, checked};
use crate::state::{Applying, Deed, Intent, Refusal, Spare, Spared};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "rhumb_state")]
    _version: u64,
    lineage: String,
    serial: u64,
    simulated: bool,
    resources: Vec<Entry>,
    spares: Vec<Entry>,
    open: Vec<Intent>,
    applying: Option<Applying>,
    #[serde(default)]
    forgotten: Option<Vec<Handle>>,
    #[serde(default)]
    history: Option<Vec<Deed>>,
    #[serde(default)]
    regions: Option<Vec<Region>>,
    #[serde(default)]
    refusals: Option<Vec<Refusal>>,
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
    /// Of what is to go, and of nothing else.
    #[serde(default)]
    why: Option<Spared>,
    kind: ResourceKind,
    cloud: Cloud,
    region: String,
    id: Option<String>,
    token: Option<Token>,
    since: u64,
    doubtful: Option<String>,
    #[serde(default)]
    complete: Option<bool>,
    attributes: Attributes,
    depends_on: Vec<ResourceAddr>,
    stands_on: BTreeMap<ResourceAddr, String>,
    #[serde(default)]
    outputs: Option<BTreeMap<String, String>>,
    #[serde(default)]
    files: Option<BTreeMap<String, String>>,
    #[serde(default)]
    known_as: Option<BTreeMap<ResourceAddr, ResourceAddr>>,
    #[serde(default, deserialize_with = "said")]
    owner: Option<Option<Owner>>,
}

/// Tells what is said to be nothing from what is not said.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Owner>>, D::Error> {
    Option::deserialize(from).map(Some)
}

pub(super) fn decode(text: &Text<'_>, version: u64) -> Result<State, StateError> {
    let file: File = text.parse()?;
    let all = || file.resources.iter().chain(&file.spares);
    let whys = file.resources.iter().map(|e| ("why", e.why.is_some(), u64::MAX));
    let whys = whys.chain(file.spares.iter().map(|e| ("why", e.why.is_some(), 0)));
    let of_entries = all().flat_map(|e| {
        [
            ("complete", e.complete.is_some(), 3),
            ("outputs", e.outputs.is_some(), 5),
            ("files", e.files.is_some(), 5),
            ("known_as", e.known_as.is_some(), 6),
            ("owner", e.owner.is_some(), 7),
        ]
    });
    let later = [
        ("forgotten", file.forgotten.is_some(), 3),
        ("history", file.history.is_some(), 3),
        ("regions", file.regions.is_some(), 4),
        ("refusals", file.refusals.is_some(), 5),
    ];
    let mut said = whys.chain(of_entries).chain(later);
    if let Some((key, said, _)) = said.find(|(_, said, since)| *said != (version >= *since)) {
        let (message, at) = match said {
            true if key == "why" => (format!("unknown field `{key}` of a resource"), None),
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
    // An address is named by all that stands on it, and held once.
    let known: BTreeSet<ResourceAddr> = file.resources.iter().map(|entry| entry.address.clone()).collect();
    let held = |address: ResourceAddr| known.get(&address).cloned().unwrap_or(address);
    let shared = |mut entry: Entry| {
        entry.depends_on = entry.depends_on.into_iter().map(held).collect();
        entry.stands_on = entry.stands_on.into_iter().map(|(address, id)| (held(address), id)).collect();
        thing(entry)
    };
    let resources = checked(text, file.resources.into_iter().map(shared))?;
    let spares = file.spares.into_iter().filter_map(spare).collect();
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
        refusals: refusals(file.refusals.unwrap_or_default()),
    };
    if version < 4 {
        // They tell only where something is.
        state.regions = state.places();
    }
    Ok(state)
}

/// Sorted, each offer once: the latest.
fn refusals(listed: Vec<Refusal>) -> Vec<Refusal> {
    let key = |r: &Refusal| (r.cloud, r.region.clone(), r.instance_type.clone(), r.spot);
    let each: BTreeMap<_, Refusal> = listed.into_iter().map(|r| (key(&r), r)).collect();
    each.into_values().collect()
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
    let mut depends_on = entry.depends_on;
    depends_on.sort();
    depends_on.dedup();
    let resource =
        Resource { kind: entry.kind, cloud: entry.cloud, region: entry.region, attributes: entry.attributes };
    let thing = StateResource {
        resource,
        id: entry.id,
        token: entry.token,
        since: entry.since,
        doubtful: entry.doubtful,
        complete: entry.complete.unwrap_or(false),
        depends_on,
        stands_on: entry.stands_on,
        outputs: entry.outputs.unwrap_or_default(),
        files: entry.files.unwrap_or_default(),
        known_as: entry.known_as.unwrap_or_default(),
        owner: entry.owner.flatten(),
    };
    (entry.address, thing)
}

fn spare(entry: Entry) -> Option<Spare> {
    let why = entry.why?;
    let (address, thing) = thing(entry);
    Some(Spare { address, thing: Arc::new(thing), why })
}
