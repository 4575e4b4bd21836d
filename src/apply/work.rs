//! What an apply has to do, and in which order.
//!
//! Capacity may not fall below the promise on the way, so that things of a workload come in phases: what is made and what grows;
//! then where requests go; then what shrinks; then what is removed. A phase begins when the one before it is done, and nothing is taken
//! away before the machines that are to serve answer their health checks. Machines are made in waves, place after place, where a
//! rollout says so: the next wave begins once those of the one before it are healthy. If something failed, what comes after it in any way
//! is not begun: the old machines stay until the new ones serve.

mod names;
mod since;
mod together;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use rhumb_api::{Attr, Resource, ResourceAddr, ResourceKind, Token};

use super::Verb;
use super::back::back;
use crate::plan::{self, Action, Change, Dip, Plan, Rollout, Standby};
use crate::render::Artifact;
use crate::state::{Spared, State, Taken};

/// What is applied.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// SHA-256 of the plan file.
    pub plan: String,
    /// The serial that the plan was made against.
    pub from: Option<u64>,
    /// Every change of the plan, in any order.
    pub changes: &'a [Change],
    /// What the plan lets take the place of what is refused, by pool in the order in which they are taken.
    pub standbys: &'a [Standby],
    /// Whether several pools may be replaced: nothing binds them together.
    pub apart: bool,
    /// The order in which the plan tells its steps: ties are broken by it.
    pub order: &'a [ResourceAddr],
    /// Files that machines get.
    pub artifacts: &'a [Artifact],
    /// How machines of services come and go; one that is not listed in one wave, with [`Rollout::HEALTH_TIMEOUT_S`].
    pub rollouts: &'a [Rollout],
    /// Where old machines go before new ones are made.
    pub dips: &'a [Dip],
}

impl<'a> Work<'a> {
    /// That of a plan whose steps are in this order.
    pub fn of(plan: &'a Plan, order: &'a [ResourceAddr]) -> Self {
        Work {
            plan: plan::file::digest_of(plan),
            from: plan.prior.as_ref().map(|prior| prior.serial),
            changes: &plan.changes,
            standbys: &plan.standbys,
            apart: plan.apart(),
            order,
            artifacts: &plan.artifacts,
            rollouts: &plan.rollouts,
            dips: &plan.dips,
        }
    }
}

impl Work<'_> {
    /// The changes with what has been taken: those of the plan, but for pools that others stand in for.
    ///
    /// What an earlier try of this apply has made and nothing wants any more is removed.
    pub fn changes(&self, state: &State) -> Vec<Change> {
        self.changes_back(state, &BTreeSet::new())
    }

    /// As [`Work::changes`]; but of these workloads, what was made or changed is led back to what it was before the plan.
    pub(super) fn changes_back(&self, state: &State, going_back: &BTreeSet<String>) -> Vec<Change> {
        let standing_in = self.standing_in(state);
        let mut wanted = together::together(self.changes, &standing_in);
        if !standing_in.is_empty() {
            for change in wanted.values_mut() {
                let other = match self.now(change, state) {
                    Cow::Owned(other) => Some(other),
                    Cow::Borrowed(_) => None,
                };
                if let Some(other) = other {
                    *change = Cow::Owned(other);
                }
            }
        }
        let from = self.from.unwrap_or(0);
        for (addr, thing) in &state.resources {
            if thing.since > from && !wanted.contains_key(addr) {
                let removal = Change {
                    addr: addr.clone(),
                    action: Action::Remove,
                    reasons: vec!["it was made for machines that were refused".to_owned()],
                    before: Some(thing.resource.clone()),
                    after: None,
                    fields: Vec::new(),
                    depends_on: thing.depends_on.clone(),
                };
                wanted.insert(addr, Cow::Owned(removal));
            }
        }
        for workload in going_back {
            wanted.retain(|addr, _| addr.workload() != workload);
            wanted.extend(
                back(self, workload, state).into_iter().map(|(addr, change)| (addr, Cow::Owned(change))),
            );
        }
        wanted.into_values().map(Cow::into_owned).collect()
    }

    /// Whether what was made for a workload goes again when its machines are refused.
    pub(super) fn goes_back(&self, workload: &str) -> bool {
        let stated = self.rollouts.iter().any(|rollout| rollout.workload == workload && rollout.roll_back);
        // What went first for want of room is gone: nothing would serve.
        let gone = self.dips.iter().flat_map(|dip| &dip.first).any(|addr| addr.workload() == workload);
        stated && !gone
    }

    /// What stands in for pools of the plan: of each, what was taken last.
    fn standing_in(&self, state: &State) -> Vec<&Standby> {
        let taken = state.applying.iter().flat_map(|applying| &applying.taken);
        let last: BTreeMap<&ResourceAddr, &Taken> = taken.map(|taken| (&taken.pool, taken)).collect();
        last.values().filter_map(|taken| self.standbys.iter().find(|s| is(s, taken))).collect()
    }

    /// The files of the machines of a launch template, by name.
    pub(super) fn files(&self, addr: &ResourceAddr, state: &State) -> BTreeMap<String, String> {
        let other = self.standing_in(state).into_iter().flat_map(|standby| &standby.artifacts);
        let of_it = self.artifacts.iter().chain(other).filter(|artifact| artifact.addr == *addr);
        of_it.map(|artifact| (artifact.name.clone(), artifact.content.clone())).collect()
    }

    /// The first standby of the pool of some machines that needs nothing of what was refused.
    ///
    /// `taken` is what has been taken so far, `refused` each pool of which machines were refused and whether these were spot.
    pub(super) fn standby(
        &self,
        pool: &ResourceAddr,
        taken: &[Taken],
        refused: &BTreeSet<(ResourceAddr, bool)>,
    ) -> Option<&Standby> {
        // Machines of one that stands in are refused for the pool that it stands in for.
        let own = taken.iter().rev().find(|taken| taken.by == *pool).map_or(pool, |taken| &taken.pool);
        let other = taken.iter().any(|taken| taken.pool != *own);
        if other && !self.apart {
            return None;
        }
        let tried = |s: &Standby| taken.iter().any(|taken| is(s, taken));
        let usable = |s: &&Standby| !refused.contains(&(s.by.clone(), s.spot)) && !tried(s);
        self.standbys.iter().filter(|s| s.pool == *own).find(usable)
    }
}

pub(super) fn is(standby: &Standby, taken: &Taken) -> bool {
    (&standby.pool, &standby.by, standby.spot) == (&taken.pool, &taken.by, taken.spot)
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// To find out what became of an intent.
    Settle(Token),
    /// To make it as the plan wants it; the index of the change.
    Make(usize),
    /// To tell its cloud its new address and change nothing else; the index of the change.
    Tell(usize),
    /// To remove things of an address.
    Unmake(ResourceAddr, Which),
    /// To wait until the machines of an address serve.
    Check(ResourceAddr, Serving),
    /// To wait for what it depends on.
    Phase,
}

/// When machines serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    /// Machines that are planned; `None` of what follows its load: then as many as its cloud has decided on by now.
    pub planned: Option<u32>,
    /// Seconds that it may take.
    pub patience_s: u32,
}

/// Which things of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// What failed or is there twice.
    Useless,
    /// All that is not in use.
    Spare,
    /// All that is not in use, and what was in use before this plan.
    Old,
    /// All.
    All,
}

/// When something is done within its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Make,
    Route,
    Shrink,
    Remove,
}

/// Jobs and what each waits for.
pub(super) struct Jobs {
    graph: DiGraph<Job, ()>,
}

impl Jobs {
    /// All that leads from a state to what a plan wants.
    pub fn of(changes: &[Change], work: &Work<'_>, state: &State) -> Self {
        let mut build = Build::new(changes, work.order, state);
        build.rollouts = work.rollouts.iter().map(|of| (of.workload.as_str(), of)).collect();
        build.first = work.dips.iter().flat_map(|dip| &dip.first).collect();
        build.settle();
        build.jobs();
        build.needs();
        build.phases();
        build.removals();
        build.dips(work.dips);
        Jobs { graph: build.graph }
    }

    /// Only the open intents of a state.
    pub fn settling(state: &State) -> Self {
        let mut graph = DiGraph::new();
        for token in state.open.keys() {
            graph.add_node(Job::Settle(token.clone()));
        }
        Jobs { graph }
    }

    /// Each job with the number of those that it waits for.
    pub fn all(&self) -> impl Iterator<Item = (Job, usize)> + '_ {
        let waits = |n| self.graph.neighbors_directed(n, Direction::Outgoing).count();
        self.graph.node_indices().map(move |n| (self.graph[n].clone(), waits(n)))
    }

    /// The jobs that wait for one, ascending; one that waits for it twice is there twice.
    pub fn waiting_for(&self, job: usize) -> Vec<usize> {
        let mut found: Vec<usize> = self
            .graph
            .neighbors_directed(NodeIndex::new(job), Direction::Incoming)
            .map(NodeIndex::index)
            .collect();
        found.sort_unstable();
        found
    }
}

/// An edge leads from what waits to what it waits for.
struct Build<'a> {
    changes: &'a [Change],
    order: &'a [ResourceAddr],
    state: &'a State,
    graph: DiGraph<Job, ()>,
    settled: Vec<NodeIndex>,
    make: BTreeMap<&'a ResourceAddr, NodeIndex>,
    /// What is changed after others name it, and has another address by now.
    tell: BTreeMap<&'a ResourceAddr, NodeIndex>,
    unmake: BTreeMap<ResourceAddr, NodeIndex>,
    /// What failed or is there twice.
    clean: BTreeMap<&'a ResourceAddr, NodeIndex>,
    rollouts: BTreeMap<&'a str, &'a Rollout>,
    /// What goes or shrinks before anything is made in its place.
    first: BTreeSet<&'a ResourceAddr>,
}

impl<'a> Build<'a> {
    fn new(changes: &'a [Change], order: &'a [ResourceAddr], state: &'a State) -> Self {
        let (make, unmake, clean) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let tell = BTreeMap::new();
        let (graph, settled) = (DiGraph::new(), Vec::new());
        let (rollouts, first) = (BTreeMap::new(), BTreeSet::new());
        Build { changes, order, state, graph, settled, make, tell, unmake, clean, rollouts, first }
    }

    fn settle(&mut self) {
        for token in self.state.open.keys() {
            let node = self.graph.add_node(Job::Settle(token.clone()));
            self.settled.push(node);
        }
    }

    fn jobs(&mut self) {
        let position: BTreeMap<&ResourceAddr, usize> =
            self.order.iter().enumerate().map(|(i, addr)| (addr, i)).collect();
        let mut order: Vec<usize> = (0..self.changes.len()).collect();
        let key = |i: &usize| {
            let addr = &self.changes[*i].addr;
            (position.get(addr).copied().unwrap_or(usize::MAX), addr)
        };
        order.sort_by(|a, b| key(a).cmp(&key(b)));
        for i in &order {
            let change = &self.changes[*i];
            if matches!(change.action, Action::Create | Action::Update | Action::Replace) {
                let node = self.graph.add_node(Job::Make(*i));
                self.make.insert(&change.addr, node);
                self.telling(*i, node);
            }
        }
        for i in order {
            let change = &self.changes[i];
            if matches!(change.action, Action::Remove | Action::Replace) {
                let which = match change.action {
                    Action::Remove => Which::All,
                    _ if self.first.contains(&change.addr) => Which::Old,
                    _ => Which::Spare,
                };
                self.unmaking(&change.addr, which);
            }
        }
        for spare in &self.state.spares {
            if spare.why == Spared::Replaced {
                self.unmaking(&spare.address, Which::Spare);
            } else if !self.clean.contains_key(&spare.address) {
                // It serves nobody and may hold what its successor needs: it goes at once.
                let node = self.graph.add_node(Job::Unmake(spare.address.clone(), Which::Useless));
                self.clean.insert(&spare.address, node);
            }
        }
        // What an open intent leaves too much of is known once it is settled.
        for intent in self.state.open.values() {
            self.unmaking(&intent.address, Which::Spare);
        }
    }

    fn unmaking(&mut self, address: &ResourceAddr, which: Which) {
        if let Some(node) = self.unmake.get(address) {
            if let Job::Unmake(_, there) = &mut self.graph[*node] {
                *there = which.max(*there);
            }
            return;
        }
        let node = self.graph.add_node(Job::Unmake(address.clone(), which));
        self.unmake.insert(address.clone(), node);
    }

    /// What is made waits for what it needs.
    fn needs(&mut self) {
        let changes: BTreeMap<&ResourceAddr, &Change> =
            self.changes.iter().map(|change| (&change.addr, change)).collect();
        for change in self.changes {
            let Some(node) = self.make.get(&change.addr).copied() else { continue };
            self.names(change, &changes);
            let needed: BTreeSet<&ResourceAddr> = change.depends_on.iter().collect();
            for need in needed {
                // What is there already and changes in a later phase is not waited for: it would wait for this in turn.
                let later = changes.get(need).is_some_and(|other| self.phase(other) > self.phase(change));
                if let Some(other) = self.make.get(need).filter(|other| **other != node && !later) {
                    self.graph.add_edge(node, *other, ());
                }
            }
            for settled in &self.settled {
                self.graph.add_edge(node, *settled, ());
            }
        }
    }

    /// What is removed waits until nothing that is recorded stands on it any more, and until its successor is there.
    fn removals(&mut self) {
        let mut stands_on: BTreeMap<&ResourceAddr, BTreeSet<&ResourceAddr>> = BTreeMap::new();
        let recorded = self.state.resources.iter();
        let spares = self.state.spares.iter().map(|spare| (&spare.address, &spare.thing));
        for (addr, thing) in recorded.chain(spares) {
            for need in thing.depends_on.iter().filter(|need| *need != addr) {
                stands_on.entry(need).or_default().insert(addr);
            }
        }
        let own = self.unmake.iter().map(|(addr, node)| (addr.clone(), *node, true));
        let clean = self.clean.iter().map(|(addr, node)| ((*addr).clone(), *node, false));
        let all: Vec<(ResourceAddr, NodeIndex, bool)> = own.chain(clean).collect();
        for (addr, node, waits) in &all {
            let successor = self.make.get(addr).copied().filter(|_| *waits && !self.first.contains(addr));
            let on_it = stands_on.get(addr).into_iter().flatten().filter(|_| *waits);
            let others = on_it.flat_map(|other| {
                let clean = self.clean.get(*other).copied();
                [self.make.get(other).copied(), self.unmake.get(*other).copied(), clean].into_iter().flatten()
            });
            let before: BTreeSet<NodeIndex> =
                successor.into_iter().chain(others).chain(self.settled.iter().copied()).collect();
            for other in before.into_iter().filter(|other| other != node) {
                self.graph.add_edge(*node, other, ());
            }
        }
    }

    fn phases(&mut self) {
        let groups = groups(self.changes);
        let mut members: BTreeMap<(usize, Phase), Vec<NodeIndex>> = BTreeMap::new();
        let mut serving: BTreeMap<usize, Vec<&'a Change>> = BTreeMap::new();
        for change in self.changes {
            let group = groups.get(change.addr.workload()).copied().unwrap_or(0);
            let first = self.first.contains(&change.addr);
            if change.after.as_ref().is_some_and(serves) {
                serving.entry(group).or_default().push(change);
            }
            // What goes first waits for nothing.
            if first && change.action != Action::Replace {
                continue;
            }
            if let Some(node) = self.make.get(&change.addr) {
                members.entry((group, self.phase(change))).or_default().push(*node);
            }
            if let Some(node) = self.unmake.get(&change.addr).filter(|_| !first) {
                members.entry((group, Phase::Remove)).or_default().push(*node);
            }
        }
        // Of addresses that the plan knows nothing of, only what was replaced has to wait, and its successor serves already.
        let count = groups.values().max().map_or(0, |most| most + 1);
        for group in 0..count {
            let of = |phase| members.get(&(group, phase)).cloned().unwrap_or_default();
            let made = of(Phase::Make);
            let checks = serving.get(&group).map_or(&[][..], Vec::as_slice);
            let takes = [Phase::Route, Phase::Shrink, Phase::Remove].iter().any(|p| !of(*p).is_empty());
            let mut before = self.waves(&made, checks, takes);
            for phase in [Phase::Route, Phase::Shrink, Phase::Remove] {
                let here = of(phase);
                self.gate(&before, &here);
                before.extend(here);
            }
        }
    }

    /// Lets new machines wait until the old ones are gone, where there is no room for both.
    fn dips(&mut self, dips: &[Dip]) {
        for dip in dips {
            let of = |nodes: &BTreeMap<ResourceAddr, NodeIndex>| -> Vec<NodeIndex> {
                dip.first.iter().filter_map(|addr| nodes.get(addr).copied()).collect()
            };
            let replaced: BTreeSet<&ResourceAddr> = dip.then.iter().collect();
            let shrunk = dip.first.iter().filter(|addr| !replaced.contains(addr));
            let mut gone: Vec<NodeIndex> = shrunk.filter_map(|addr| self.make.get(addr).copied()).collect();
            gone.extend(of(&self.unmake));
            let made: Vec<NodeIndex> =
                dip.then.iter().filter_map(|addr| self.make.get(addr).copied()).collect();
            self.gate(&gone, &made);
        }
    }

    /// What these are waits until those are done.
    fn gate(&mut self, those: &[NodeIndex], these: &[NodeIndex]) {
        if those.is_empty() || these.is_empty() {
            return;
        }
        let gate = self.graph.add_node(Job::Phase);
        for node in those {
            self.graph.add_edge(gate, *node, ());
        }
        for node in these {
            self.graph.add_edge(*node, gate, ());
        }
    }

    /// Lets machines be made in waves and looks whether they serve, before the next wave and, if something is taken away after
    /// them, before that; gives all that this has to wait for.
    fn waves(&mut self, made: &[NodeIndex], serving: &[&'a Change], takes: bool) -> Vec<NodeIndex> {
        let mut waves: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
        for change in serving {
            waves.entry(self.wave(change)).or_default().push(change);
        }
        let last = waves.keys().next_back().copied();
        let mut all = made.to_vec();
        let mut before: Vec<NodeIndex> = Vec::new();
        for (wave, changes) in waves {
            let machines: Vec<NodeIndex> = changes
                .iter()
                .filter(|change| self.phase(change) == Phase::Make)
                .filter_map(|change| self.make.get(&change.addr).copied())
                .collect();
            self.gate(&before, &machines);
            // What stays as it is has to serve before something goes; a wave waits for those before it alone.
            let looked_at = |change: &&&Change| takes || self.make.contains_key(&change.addr);
            let checked: Vec<&&Change> = changes.iter().filter(looked_at).collect();
            if !takes && Some(wave) == last {
                continue;
            }
            let mut checks = Vec::new();
            for change in checked {
                let job = Job::Check(change.addr.clone(), self.serving(change));
                let node = self.graph.add_node(job);
                if let Some(make) = self.make.get(&change.addr).filter(|_| self.phase(change) == Phase::Make)
                {
                    self.graph.add_edge(node, *make, ());
                }
                for settled in &self.settled {
                    self.graph.add_edge(node, *settled, ());
                }
                checks.push(node);
            }
            before.extend(&checks);
            all.extend(checks);
        }
        all
    }

    /// The wave of what serves, counted from 0.
    fn wave(&self, change: &Change) -> usize {
        let place = change.after.as_ref().map(|after| (after.cloud, after.region.as_str()));
        let rollout = self.rollouts.get(change.addr.workload());
        rollout.zip(place).and_then(|(of, place)| of.wave(place)).unwrap_or(0)
    }

    /// When the machines of a change serve.
    fn serving(&self, change: &Change) -> Serving {
        let rollout = self.rollouts.get(change.addr.workload());
        let patience_s = rollout.map_or(Rollout::HEALTH_TIMEOUT_S, |of| of.health_timeout_s);
        let follows = |after: &&Resource| after.attributes.contains_key("max_count");
        let planned = change.after.as_ref().filter(|after| !follows(after)).and_then(count);
        Serving { planned: planned.and_then(|n| u32::try_from(n).ok()), patience_s }
    }

    /// What is not known to be as recorded is made good before anything is built on it.
    fn phase(&self, change: &Change) -> Phase {
        let recorded = self.state.resources.get(&change.addr);
        if recorded.is_some_and(|thing| thing.doubtful.is_some()) { Phase::Make } else { phase(change) }
    }
}

/// Workloads that have to do with each other, by number: what needs something of another one, and all where machines are shared,
/// since a service may move onto them from machines of its own.
fn groups(changes: &[Change]) -> BTreeMap<&str, usize> {
    let shared = changes.iter().any(|c| c.addr.workload() == plan::SHARED);
    let mut parent: BTreeMap<&str, &str> =
        changes.iter().map(|c| (c.addr.workload(), c.addr.workload())).collect();
    fn root<'a>(parent: &BTreeMap<&'a str, &'a str>, mut of: &'a str) -> &'a str {
        while let Some(up) = parent.get(of).filter(|up| **up != of) {
            of = up;
        }
        of
    }
    let first = changes.first().map(|c| c.addr.workload());
    for change in changes {
        let own = change.addr.workload();
        let others = change.depends_on.iter().map(ResourceAddr::workload);
        for other in others.chain(first.filter(|_| shared)) {
            let (a, b) = (root(&parent, own), root(&parent, other));
            if a != b && parent.contains_key(b) {
                parent.insert(a, b);
            }
        }
    }
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let roots: BTreeMap<&str, &str> = parent.keys().map(|of| (*of, root(&parent, of))).collect();
    for root in roots.values() {
        let next = numbers.len();
        numbers.entry(root).or_insert(next);
    }
    roots.into_iter().filter_map(|(of, root)| Some((of, *numbers.get(root)?))).collect()
}

/// Whether something answers requests with machines that are asked how they are.
fn serves(resource: &Resource) -> bool {
    matches!(resource.kind, ResourceKind::Fleet | ResourceKind::EdgeUnit)
        && resource.attributes.contains_key("health_check_path")
        && count(resource).is_none_or(|n| n > 0)
}

fn phase(change: &Change) -> Phase {
    let (Action::Update, Some(before), Some(after)) = (change.action, &change.before, &change.after) else {
        return Phase::Make;
    };
    match after.kind {
        // Requests go to new machines once these are there.
        ResourceKind::LoadBalancer => Phase::Route,
        _ if count(after) < count(before) => Phase::Shrink,
        _ => Phase::Make,
    }
}

fn count(resource: &Resource) -> Option<i64> {
    match resource.attributes.get("count") {
        Some(Attr::Int(count)) => Some(*count),
        _ => None,
    }
}

/// What a call that changes something does.
pub(super) fn verb(call: &rhumb_api::Call) -> Verb {
    match call {
        rhumb_api::Call::Update(..) => Verb::Update,
        rhumb_api::Call::Delete(_) => Verb::Delete,
        _ => Verb::Create,
    }
}
