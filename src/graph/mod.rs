//! The resource graph: what the spec asks for, and, once placed, what is to exist.
//!
//! [`compile`] turns a spec into a [`Graph`] of [`Unplaced`] nodes; [`Graph::bind`] adds a placement and
//! gives a graph of [`rhumb_api::Resource`] in the neutral vocabulary. This module alone uses petgraph.

use std::collections::BTreeMap;

use petgraph::graph::{DiGraph, NodeIndex};

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
