//! Other addresses for what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Attr, Attributes, ResourceAddr};

use super::RecordError;
use crate::state::{Spare, State, StateResource};

impl State {
    /// Gives everything at or below `from` the address that begins with `to` instead, wherever a record says it.
    ///
    /// Its cloud has the old one in its tags and in the names that its attributes give, and keeps it until the thing is changed: that is
    /// remembered with it, so that it is neither taken for a difference nor forgotten.
    pub(super) fn rename(&mut self, from: &ResourceAddr, to: &ResourceAddr) -> Result<(), RecordError> {
        if !self.open.is_empty() {
            let calls =
                if self.open.len() == 1 { "1 call".to_owned() } else { format!("{} calls", self.open.len()) };
            return Err(RecordError(format!("what became of {calls} is not known; refresh or apply first")));
        }
        let all = || self.resources.keys().chain(self.spares.iter().map(|spare| &spare.address));
        let renamed: BTreeMap<ResourceAddr, ResourceAddr> = all()
            .filter_map(|old| Some((old.clone(), old.moved(from, to)?)))
            .filter(|(old, new)| old != new)
            .collect();
        if renamed.is_empty() {
            return Err(RecordError(format!("nothing of {from} would have another address")));
        }
        // Nothing could tell the two apart afterwards.
        let taken = |old: &&ResourceAddr| old.moved(to, to).is_some() && !renamed.contains_key(*old);
        if let Some(other) = all().find(taken) {
            return Err(RecordError(format!("{to} is there already: {other} is recorded")));
        }
        let names: Names<'_> = renamed.iter().map(|(old, new)| (old.as_str(), (old, new))).collect();
        let anew = |(address, thing): (&ResourceAddr, &Arc<StateResource>)| {
            (now(address, &names), told(address, thing, &names))
        };
        let resources = self.resources.iter().map(anew).collect();
        let before = std::mem::replace(&mut self.resources, resources);
        let spares = self.spares.iter().map(|spare| Spare {
            address: now(&spare.address, &names),
            thing: told(&spare.address, &spare.thing, &names),
            why: spare.why,
        });
        let spares: Vec<Spare> = spares.collect();
        // What others need may have been gone, and its address is that of something else now.
        let circle = renamed
            .values()
            .find(|new| self.resources.get(*new).is_some_and(|t| self.needs(&t.depends_on, new)));
        if let Some(new) = circle.cloned() {
            self.resources = before;
            return Err(RecordError(format!("{new} would depend on itself")));
        }
        self.spares = spares;
        Ok(())
    }
}

/// By the text of the old address: both.
pub(in crate::state) type Names<'a> = BTreeMap<&'a str, (&'a ResourceAddr, &'a ResourceAddr)>;

fn now(old: &ResourceAddr, names: &Names<'_>) -> ResourceAddr {
    names.get(old.as_str()).map_or(old, |(_, new)| new).clone()
}

/// A thing when its own address, or one that it names, is another one from now on.
pub(in crate::state) fn told(
    address: &ResourceAddr,
    thing: &Arc<StateResource>,
    names: &Names<'_>,
) -> Arc<StateResource> {
    let mut said = BTreeSet::from([address.as_str()]);
    texts(&thing.resource.attributes, &mut said);
    said.retain(|text| names.contains_key(text));
    let needed = || thing.depends_on.iter().chain(thing.stands_on.keys());
    if said.is_empty() && !needed().any(|need| names.contains_key(need.as_str())) {
        return Arc::clone(thing);
    }
    let mut new = StateResource::clone(thing);
    new.depends_on = super::each_once(&needed_now(&thing.depends_on, names));
    new.stands_on = thing.stands_on.iter().map(|(old, id)| (now(old, names), id.clone())).collect();
    let others = names.iter().map(|(old, (_, new))| (*old, new.as_str())).collect();
    new.resource.attributes = exchanged(&thing.resource.attributes, &others);
    // Renamed once more, its cloud still knows the first one.
    new.known_as = thing.known_as.iter().map(|(mid, first)| (now(mid, names), first.clone())).collect();
    let anew = said.iter().filter_map(|text| names.get(text));
    let anew = anew.filter(|(old, _)| !thing.known_as.contains_key(*old));
    new.known_as.extend(anew.map(|(old, new)| ((*new).clone(), (*old).clone())));
    new.known_as.retain(|now, first| now != first);
    Arc::new(new)
}

fn needed_now(needs: &[ResourceAddr], names: &Names<'_>) -> Vec<ResourceAddr> {
    needs.iter().map(|need| now(need, names)).collect()
}

/// The texts among values, however deep.
fn texts<'a>(attributes: &'a Attributes, found: &mut BTreeSet<&'a str>) {
    let mut left: Vec<&Attr> = attributes.values().collect();
    while let Some(value) = left.pop() {
        match value {
            Attr::Text(text) => {
                found.insert(text);
            }
            Attr::List(all) => left.extend(all),
            Attr::Map(all) => left.extend(all.values()),
            Attr::Bool(_) | Attr::Int(_) => {}
        }
    }
}

/// Attributes with some texts exchanged for others, however deep.
pub(in crate::state) fn exchanged(attributes: &Attributes, texts: &BTreeMap<&str, &str>) -> Attributes {
    attributes.iter().map(|(name, value)| (name, other(value, texts))).collect()
}

fn other(value: &Attr, texts: &BTreeMap<&str, &str>) -> Attr {
    match value {
        Attr::Text(text) => Attr::Text((*texts.get(text.as_str()).unwrap_or(&text.as_str())).to_owned()),
        Attr::List(all) => Attr::List(all.iter().map(|value| other(value, texts)).collect()),
        Attr::Map(all) => Attr::Map(exchanged(all, texts)),
        Attr::Bool(_) | Attr::Int(_) => value.clone(),
    }
}
