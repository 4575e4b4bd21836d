//! New addresses, told before they are used.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;
use rhumb_api::ResourceAddr;

use super::{Build, Job, Phase};
use crate::plan::{Action, Change};

impl Build<'_> {
    /// What is changed only after others name it, as a load balancer after the machines behind it, is told its new address first.
    pub(super) fn telling(&mut self, at: usize, node: NodeIndex) {
        let Some(change) = self.changes.get(at) else { return };
        let renamed = self.state.resources.get(&change.addr).is_some_and(|thing| !thing.known_as.is_empty());
        if renamed && change.action == Action::Update && self.phase(change) != Phase::Make {
            let first = self.graph.add_node(Job::Tell(at));
            self.graph.add_edge(node, first, ());
            self.tell.insert(&change.addr, first);
        }
    }

    /// What names something by its new address waits until its cloud knows that.
    pub(super) fn names(&mut self, change: &Change, changes: &BTreeMap<&ResourceAddr, &Change>) {
        let told = self.tell.get(&change.addr).copied();
        let node = self.make.get(&change.addr).copied();
        let mut waits: Vec<(NodeIndex, NodeIndex)> = Vec::new();
        for need in &change.depends_on {
            let before = self.tell.get(need).copied().filter(|_| told.is_none());
            waits.extend(node.zip(before));
            waits.extend(told.zip(self.tell.get(need).copied()));
            // It is told itself once its cloud knows what it names.
            let made =
                changes.get(need).filter(|other| self.phase(other) == Phase::Make).and(self.make.get(need));
            waits.extend(told.zip(made.copied()));
        }
        waits.extend(self.settled.iter().filter_map(|settled| told.map(|told| (told, *settled))));
        for (waiting, before) in waits {
            self.graph.add_edge(waiting, before, ());
        }
    }
}
