//! What was recorded under other addresses.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Handle, ResourceAddr};

use super::{Spare, State, StateResource, record};

impl State {
    /// What is called otherwise by the addresses of `today`, and how: beginnings of addresses, which all below them have in common.
    pub fn renamed(&self, today: &BTreeMap<Handle, &ResourceAddr>) -> BTreeMap<ResourceAddr, ResourceAddr> {
        let mut renamed: BTreeMap<ResourceAddr, ResourceAddr> = BTreeMap::new();
        for (then, thing) in &self.resources {
            let addr = thing.handle().and_then(|handle| today.get(&handle).copied());
            if let Some((from, to)) = addr.and_then(|addr| beginnings(then, addr)) {
                renamed.entry(from).or_insert(to);
            }
        }
        renamed
    }

    /// The same with the addresses that things have in a later state of the deployment. What both have, by its cloud's id, tells what was
    /// renamed since; what is there no more would have been renamed with it.
    #[must_use]
    pub fn in_names_of(&self, now: &State) -> State {
        let used = now.resources.iter().filter_map(|(addr, thing)| Some((thing.handle()?, addr)));
        self.called(&self.renamed(&used.collect()))
    }

    /// The same with other beginnings of addresses, all of them at once.
    #[must_use]
    pub fn called(&self, renamed: &BTreeMap<ResourceAddr, ResourceAddr>) -> State {
        let other = |addr: &ResourceAddr| renamed.iter().rev().find_map(|(from, to)| addr.moved(from, to));
        let there = self.resources.keys().chain(self.spares.iter().map(|spare| &spare.address));
        let all: BTreeMap<ResourceAddr, ResourceAddr> =
            there.filter_map(|old| Some((old.clone(), other(old)?))).collect();
        let taken = |new: &ResourceAddr| self.resources.contains_key(new) && !all.contains_key(new);
        if all.is_empty() || all.values().any(taken) {
            return self.clone();
        }
        let names: record::Names<'_> = all.iter().map(|(old, new)| (old.as_str(), (old, new))).collect();
        let told = |(addr, thing): (&ResourceAddr, &Arc<StateResource>)| {
            (all.get(addr).unwrap_or(addr).clone(), record::told(addr, thing, &names))
        };
        let spare = |spare: &Spare| {
            let (address, thing) = told((&spare.address, &spare.thing));
            Spare { address, thing, why: spare.why }
        };
        let spares = self.spares.iter().map(spare).collect();
        State { resources: self.resources.iter().map(told).collect(), spares, ..self.clone() }
    }
}

/// What two addresses begin with before they go on alike; `None` if they are the same.
fn beginnings(then: &ResourceAddr, now: &ResourceAddr) -> Option<(ResourceAddr, ResourceAddr)> {
    let (mut a, mut b) = (then.clone(), now.clone());
    if a == b {
        return None;
    }
    while let (Some((above_a, last_a)), Some((above_b, last_b))) =
        (a.as_str().rsplit_once('/'), b.as_str().rsplit_once('/'))
    {
        if last_a != last_b {
            break;
        }
        let above = (ResourceAddr::parse(above_a).ok()?, ResourceAddr::parse(above_b).ok()?);
        (a, b) = above;
    }
    Some((a, b))
}
