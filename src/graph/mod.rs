//! The resource graph: what the spec asks for, and, once placed, what is to exist.
//!
//! [`compile()`] turns a spec into a [`Graph`] of [`Unplaced`] nodes; [`Graph::bind`] adds a placement and
//! gives a graph of [`rhumb_api::Resource`] in the neutral vocabulary. This module alone uses petgraph.
//!
//! An edge points from what needs to what is needed. Nothing that a graph tells depends on the order in
//! which it was built: keys and dependencies are sorted, and [`Graph::order`] breaks every tie by key.
//!
//! The attributes of each kind of resource are listed in [`attributes`].

pub mod attributes;
mod bind;
mod compile;
pub mod draw;
mod engine;
mod federation;
mod following;
mod input;
mod part;
mod pipeline;
mod profile;
mod shared;
mod training;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

pub use compile::{GraphError, compile};
pub use input::INPUT;
pub use shared::mix_address;

/// A directed graph with named nodes; an edge points from what needs to what is needed.
#[derive(Clone, Debug)]
pub struct Graph<N> {
    inner: DiGraph<(String, N), &'static str>,
    index: BTreeMap<String, NodeIndex>,
}

/// A node before anything is chosen. Its key is its dotted place in the spec: `services.chat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// `models.NAME`.
    Model(String),
    /// `services.NAME`.
    Service(String),
    /// `batches.NAME`.
    Batch(String),
    /// `trainings.NAME`.
    Training(String),
    /// `pipelines.NAME`.
    Pipeline(String),
    /// `federations.NAME`.
    Federation(String),
    /// `services.NAME.traffic.origins.NAME`.
    Origin {
        /// The service.
        service: String,
        /// The origin.
        origin: String,
    },
    /// `budget`.
    Budget,
}

impl Unplaced {
    /// What it is, in one word: `model`, `service`, `batch`, `training`, `pipeline`, `federation`, `origin` or `budget`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Unplaced::Model(_) => "model",
            Unplaced::Service(_) => "service",
            Unplaced::Batch(_) => "batch",
            Unplaced::Training(_) => "training",
            Unplaced::Pipeline(_) => "pipeline",
            Unplaced::Federation(_) => "federation",
            Unplaced::Origin { .. } => "origin",
            Unplaced::Budget => "budget",
        }
    }
}

/// An edge: what needs, what is needed, and why in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge<'a> {
    /// Key of what needs.
    pub from: &'a str,
    /// Key of what is needed.
    pub to: &'a str,
    /// Why: `model`, `origin`, `after`, `limits`, `starts_from`, `behind`, `in`, `guarded_by`, `admits`.
    pub label: &'static str,
}

impl<N> Default for Graph<N> {
    fn default() -> Self {
        Graph { inner: DiGraph::new(), index: BTreeMap::new() }
    }
}

impl<N> Graph<N> {
    /// Adds a node; one that is there already under the key is replaced and keeps its edges.
    pub fn add(&mut self, key: impl Into<String>, node: N) {
        let key = key.into();
        if let Some(slot) = self.index.get(&key).and_then(|i| self.inner.node_weight_mut(*i)) {
            slot.1 = node;
            return;
        }
        let index = self.inner.add_node((key.clone(), node));
        self.index.insert(key, index);
    }

    /// Adds an edge from what needs to what is needed, once; says whether both nodes are there.
    pub fn connect(&mut self, from: &str, to: &str, label: &'static str) -> bool {
        let (Some(a), Some(b)) = (self.index.get(from), self.index.get(to)) else { return false };
        let (a, b) = (*a, *b);
        if !self.inner.edges_connecting(a, b).any(|e| *e.weight() == label) {
            self.inner.add_edge(a, b, label);
        }
        true
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// All keys with their nodes, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &N)> {
        self.index.values().filter_map(|i| self.inner.node_weight(*i)).map(|(key, node)| (key.as_str(), node))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The node of a key.
    pub fn get(&self, key: &str) -> Option<&N> {
        self.index.get(key).and_then(|i| self.inner.node_weight(*i)).map(|(_, node)| node)
    }

    /// The node of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut N> {
        let index = self.index.get(key)?;
        self.inner.node_weight_mut(*index).map(|(_, node)| node)
    }

    /// What a node needs directly, sorted, each once; empty for an unknown key.
    pub fn dependencies(&self, key: &str) -> Vec<&str> {
        self.neighbours(key, Direction::Outgoing)
    }

    /// What needs a node directly, sorted, each once; empty for an unknown key.
    pub fn dependents(&self, key: &str) -> Vec<&str> {
        self.neighbours(key, Direction::Incoming)
    }

    fn neighbours(&self, key: &str, direction: Direction) -> Vec<&str> {
        let Some(index) = self.index.get(key) else { return Vec::new() };
        let mut found: Vec<&str> =
            self.inner.neighbors_directed(*index, direction).map(|i| self.key(i)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn key(&self, index: NodeIndex) -> &str {
        self.inner.node_weight(index).map_or("", |(key, _)| key.as_str())
    }

    /// All edges, sorted.
    pub fn edges(&self) -> Vec<Edge<'_>> {
        self.edges_where(|_| true)
    }

    /// The edges of one label, sorted.
    pub fn edges_of(&self, label: &str) -> Vec<Edge<'_>> {
        self.edges_where(|of| of == label)
    }

    fn edges_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<Edge<'_>> {
        let mut edges: Vec<Edge<'_>> = self
            .inner
            .edge_references()
            .filter(|e| wanted(e.weight()))
            .map(|e| Edge { from: self.key(e.source()), to: self.key(e.target()), label: e.weight() })
            .collect();
        edges.sort_unstable();
        edges
    }

    /// Keys in an order in which everything comes after what it needs; of several that could come next,
    /// the smallest does (Kahn's algorithm). What is on a cycle, or needs it, is left out.
    pub fn order(&self) -> Vec<&str> {
        let mut waiting: BTreeMap<&str, usize> =
            self.keys().map(|key| (key, self.dependencies(key).len())).collect();
        let mut ready: BinaryHeap<Reverse<&str>> =
            waiting.iter().filter(|(_, n)| **n == 0).map(|(key, _)| Reverse(*key)).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse(key)) = ready.pop() {
            order.push(key);
            for dependent in self.dependents(key) {
                if let Some(left) = waiting.get_mut(dependent) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(Reverse(dependent));
                    }
                }
            }
        }
        order
    }

    /// A cycle, from its smallest key back to it: `a, b, a`; `None` if there is none. Always the same one
    /// for the same nodes and edges.
    pub fn cycle(&self) -> Option<Vec<&str>> {
        let done: std::collections::BTreeSet<&str> = self.order().into_iter().collect();
        let mut at = self.keys().find(|key| !done.contains(key))?;
        // Whatever Kahn's algorithm leaves over needs something else that it leaves over.
        let mut path: Vec<&str> = Vec::new();
        let mut position: BTreeMap<&str, usize> = BTreeMap::new();
        let start = loop {
            if let Some(start) = position.get(at) {
                break *start;
            }
            position.insert(at, path.len());
            path.push(at);
            at = self.dependencies(at).into_iter().find(|d| !done.contains(d))?;
        };
        let mut cycle = path.split_off(start);
        let smallest = cycle.iter().enumerate().min_by_key(|(_, key)| **key).map_or(0, |(i, _)| i);
        cycle.rotate_left(smallest);
        cycle.extend(cycle.first().copied());
        Some(cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: &[&str], edges: &[(&str, &str)]) -> Graph<()> {
        let mut graph = Graph::default();
        for node in nodes {
            graph.add(*node, ());
        }
        for (from, to) in edges {
            assert!(graph.connect(from, to, "after"));
        }
        graph
    }

    #[test]
    fn order_is_by_need_then_by_name_whatever_the_order_of_insertion() {
        let edges = [("b", "z"), ("a", "z"), ("c", "a"), ("c", "a")];
        let one = graph(&["a", "b", "c", "z", "m"], &edges);
        let mut reversed = edges;
        reversed.reverse();
        let other = graph(&["m", "z", "c", "b", "a"], &reversed);
        for g in [&one, &other] {
            assert_eq!(g.order(), ["m", "z", "a", "b", "c"]);
            assert_eq!(g.dependencies("c"), ["a"]);
            assert_eq!(g.dependents("z"), ["a", "b"]);
            assert_eq!(g.edges().len(), 3);
            assert_eq!(g.cycle(), None);
        }
        assert_eq!(one.edges(), other.edges());
    }

    #[test]
    fn a_cycle_begins_with_its_smallest_key() {
        let g =
            graph(&["a", "b", "c", "d", "e"], &[("d", "c"), ("c", "b"), ("b", "d"), ("a", "d"), ("a", "e")]);
        assert_eq!(g.order(), ["e"]);
        assert_eq!(g.cycle().unwrap(), ["b", "d", "c", "b"]);
        assert_eq!(graph(&["a"], &[("a", "a")]).cycle().unwrap(), ["a", "a"]);
    }

    #[test]
    fn edges_to_nowhere_are_refused() {
        let mut g = graph(&["a"], &[]);
        assert!(!g.connect("a", "b", "after"));
        assert!(g.dependencies("nobody").is_empty() && g.get("nobody").is_none());
    }
}
