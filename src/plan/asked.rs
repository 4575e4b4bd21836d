//! Plans that do a part of what is wanted, or make anew what could stay.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rhumb_api::ResourceAddr;

use super::between::{follow, steps};
use super::standby::following;
use super::{Action, Change, Left, LeftWhy, Plan};
use crate::diagnostic::did_you_mean;
use crate::state::{State, StateResource};

/// What was asked of a plan besides its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What it is for, with all that this requires; everything if empty.
    pub targets: Vec<Pattern>,
    /// What it is not for, with all that requires this.
    pub excludes: Vec<Pattern>,
    /// What is made anew, although it could stay.
    pub replace: Vec<ResourceAddr>,
}

/// Which addresses: an address or the beginning of one, up to a `/`; `*` in a segment stands for any text of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

/// Why a plan cannot be what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    /// Something is named that neither exists nor is wanted.
    #[error("{what} {named}: no resource of the plan has such an address{}", .nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown {
        /// As what it was named.
        what: &'static str,
        /// What was named.
        named: String,
        /// The nearest address that there is.
        nearest: Option<String>,
    },
    /// What does not exist cannot be made anew.
    #[error("--replace {0}: it does not exist yet, or is removed: there is nothing to replace")]
    NothingToReplace(ResourceAddr),
    /// It is asked and excluded.
    #[error("--replace {0}: it is not part of what the plan is for")]
    Elsewhere(ResourceAddr),
}

impl Asked {
    /// Nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.excludes.is_empty() && self.replace.is_empty()
    }
}

impl Pattern {
    /// # Errors
    /// It is empty, or has an empty segment.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.split('/').any(str::is_empty) {
            return Err(format!("`{text}` is not an address: a segment is empty"));
        }
        Ok(Pattern(text.to_owned()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an address is one of those.
    pub fn matches(&self, addr: &ResourceAddr) -> bool {
        let mut segments = addr.as_str().split('/');
        self.0.split('/').all(|wanted| segments.next().is_some_and(|segment| fits(wanted, segment)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a segment is as wanted; `*` stands for any text.
fn fits(wanted: &str, segment: &str) -> bool {
    let Some((first, rest)) = wanted.split_once('*') else { return wanted == segment };
    let Some(mut left) = segment.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        let Some(at) = left.find(piece) else { return false };
        left = left.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

impl Plan {
    /// The same plan as it was asked for; `prior` is the state that it was made against.
    ///
    /// What is made anew takes along what stands in it. What is left out stays as it is recorded and is told in [`Plan::left`]. A plan for
    /// some resources also does what these require: what they need is made, what they are removed from under is moved or
    /// removed, and what must be told of a new one is told. A plan without some leaves out what requires these.
    ///
    /// # Errors
    /// Something that was asked names nothing, or what does not exist is to be made anew.
    pub fn asked(mut self, asked: Asked, prior: Option<&State>) -> Result<Plan, AskedError> {
        if asked.is_empty() {
            return Ok(self);
        }
        let patterns = asked.targets.iter().map(|p| ("--target", p));
        for (what, pattern) in patterns.chain(asked.excludes.iter().map(|p| ("--exclude", p))) {
            if !self.changes.iter().any(|c| pattern.matches(&c.addr)) {
                return Err(self.unknown(what, pattern.as_str()));
            }
        }
        let none = BTreeMap::new();
        let existing = prior.map_or(&none, |state| &state.resources);
        self.replace(&asked.replace, prior, existing)?;
        let left = self.left_out(&asked, existing);
        if let Some(addr) = asked.replace.iter().find(|addr| left.contains(addr)) {
            return Err(AskedError::Elsewhere(addr.clone()));
        }
        let touched = |addr: &ResourceAddr| left.contains(addr) || asked.replace.contains(addr);
        self.standbys.retain(|s| !s.changes.iter().map(|change| &change.addr).chain(&s.without).any(touched));
        self.artifacts.retain(|artifact| !left.contains(&artifact.addr));
        for change in std::mem::take(&mut self.changes) {
            if left.contains(&change.addr) {
                self.changes
                    .extend(existing.get(&change.addr).map(|thing| Change::kept(&change.addr, thing)));
                self.left.push(Left { change, why: LeftWhy::Asked });
            } else {
                self.changes.push(change);
            }
        }
        self.left.sort_by(|a, b| a.change.addr.cmp(&b.change.addr));
        self.steps.retain(|step| !left.contains(&step.addr));
        self.asked = asked;
        Ok(self)
    }

    fn unknown(&self, what: &'static str, named: &str) -> AskedError {
        let nearest = did_you_mean(named, self.changes.iter().map(|c| c.addr.as_str()));
        AskedError::Unknown { what, named: named.to_owned(), nearest: nearest.map(str::to_owned) }
    }

    /// Makes things anew that could stay.
    fn replace(
        &mut self,
        addrs: &[ResourceAddr],
        prior: Option<&State>,
        existing: &BTreeMap<ResourceAddr, Arc<StateResource>>,
    ) -> Result<(), AskedError> {
        for addr in addrs {
            let Ok(at) = self.changes.binary_search_by(|c| c.addr.cmp(addr)) else {
                return Err(self.unknown("--replace", addr.as_str()));
            };
            let Some(change) = self.changes.get_mut(at) else { continue };
            match change.action {
                Action::Create | Action::Remove => {
                    return Err(AskedError::NothingToReplace(addr.clone()));
                }
                Action::Replace => {}
                Action::Update | Action::Keep => {
                    change.action = Action::Replace;
                    change.reasons.push(
                        "its replacement was asked for: the new one is made before the old one is removed"
                            .into(),
                    );
                }
            }
        }
        if addrs.is_empty() {
            return Ok(());
        }
        let owned: Vec<(ResourceAddr, Change)> =
            std::mem::take(&mut self.changes).into_iter().map(|c| (c.addr.clone(), c)).collect();
        let mut changes = BTreeMap::new();
        for (addr, change) in &owned {
            changes.insert(addr, change.clone());
        }
        let order = follow(&mut changes, prior);
        self.steps = steps(&changes, &order, existing);
        self.changes = changes.into_values().collect();
        self.standbys = following(std::mem::take(&mut self.standbys), &self.changes, prior);
        Ok(())
    }

    /// What is not done of what the plan would do.
    fn left_out(
        &self,
        asked: &Asked,
        existing: &BTreeMap<ResourceAddr, Arc<StateResource>>,
    ) -> BTreeSet<ResourceAddr> {
        let named = |patterns: &[Pattern], addr: &ResourceAddr| patterns.iter().any(|p| p.matches(addr));
        let done = |change: &&Change| change.action != Action::Keep;
        let links = requirements(&self.changes, existing);
        let mut left: BTreeSet<ResourceAddr> = BTreeSet::new();
        if !asked.targets.is_empty() {
            let start = self.changes.iter().filter(done).filter(|c| named(&asked.targets, &c.addr));
            let kept = reached(start.map(|c| &c.addr), &links);
            let rest = self.changes.iter().filter(done).filter(|c| !kept.contains(&c.addr));
            left.extend(rest.map(|c| c.addr.clone()));
        }
        if !asked.excludes.is_empty() {
            let mut back: BTreeMap<&ResourceAddr, BTreeSet<&ResourceAddr>> = BTreeMap::new();
            for (addr, required) in &links {
                for other in required {
                    back.entry(other).or_default().insert(addr);
                }
            }
            let start = self.changes.iter().filter(done).filter(|c| named(&asked.excludes, &c.addr));
            left.extend(reached(start.map(|c| &c.addr), &back).into_iter().cloned());
        }
        left
    }
}

type Links<'a> = BTreeMap<&'a ResourceAddr, BTreeSet<&'a ResourceAddr>>;

/// What cannot be done without what else.
fn requirements<'a>(
    changes: &'a [Change],
    existing: &'a BTreeMap<ResourceAddr, Arc<StateResource>>,
) -> Links<'a> {
    let done: BTreeMap<&ResourceAddr, &Change> =
        changes.iter().filter(|c| c.action != Action::Keep).map(|c| (&c.addr, c)).collect();
    let mut links = Links::new();
    for change in done.values() {
        let needs = change.depends_on.iter().filter_map(|need| done.get(need));
        for need in needs {
            if change.action != Action::Remove && need.action != Action::Remove {
                links.entry(&change.addr).or_default().insert(&need.addr);
            }
        }
        // What an old thing stands under can be removed only once nothing stands on it any more.
        let recorded = existing.get(&change.addr).map_or(&[][..], |thing| &thing.depends_on);
        for old in recorded.iter().filter_map(|need| done.get(need)) {
            if matches!(old.action, Action::Remove | Action::Replace) {
                links.entry(&old.addr).or_default().insert(&change.addr);
            }
        }
    }
    links
}

/// All that is led to, the beginnings with it.
fn reached<'a>(
    from: impl Iterator<Item = &'a ResourceAddr>,
    links: &Links<'a>,
) -> BTreeSet<&'a ResourceAddr> {
    let mut found: BTreeSet<&ResourceAddr> = BTreeSet::new();
    let mut open: Vec<&ResourceAddr> = from.collect();
    while let Some(addr) = open.pop() {
        if found.insert(addr) {
            open.extend(links.get(addr).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, addr: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&ResourceAddr::parse(addr).unwrap())
    }

    #[test]
    fn a_pattern_is_a_beginning_by_segments() {
        let fleet = "services.chat/aws/eu-west-1/p5.48xlarge/spot";
        for pattern in [
            fleet,
            "services.chat",
            "services.*",
            "*",
            "*/aws",
            "services.chat/*/eu-*-1",
            "services.chat/aws/*/p5*xl*e",
        ] {
            assert!(matches(pattern, fleet), "{pattern}");
        }
        for pattern in [
            "services.cha",
            "services.chat/aws/eu-west",
            "services.chat/*/us-*",
            "services.chat/aws/eu-west-1/p5.48xlarge/spot/more",
            "services.chat/aws/*/p5*p5*",
            "**x",
        ] {
            assert!(!matches(pattern, fleet), "{pattern}");
        }
        assert!(Pattern::parse("").is_err() && Pattern::parse("a//b").is_err());
    }
}
