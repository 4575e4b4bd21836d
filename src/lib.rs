//! rhumb plans AI deployments: from a declarative spec to the provably cheapest placement that
//! keeps its promises, on several clouds.
//!
//! # The line
//!
//! ```text
//! text -> spec::load -> Spec
//!      -> graph::compile -> Graph<Unplaced>
//!      -> optimize::place -> Placement, or why not
//!      -> Graph::bind -> Graph<Resource>
//!      -> render::artifacts -> files, hashed
//!      -> plan::between -> Plan
//! ```
//!
//! [`plan`] is that line. Everything on it is synchronous and pure: what is not in
//! [`PlanningInput`] cannot influence a plan, and equal inputs give byte-identical plans on any
//! machine and any number of threads. Clock, environment and files live in `cli`.
//!
//! # Invariants
//!
//! - Unknown is not zero: a missing price, quota or figure is `None` and says so.
//! - Refusal is a value: a losing candidate has a [`placement::Rejection`], a hopeless spec an
//!   [`placement::Infeasible`].
//! - The maker is not the checker: [`check`] never imports [`optimize`].
//! - Transcendental functions go through [`math`]; money is integer micro-dollars.
//!
//! # The map
//!
//! Which module may use which is a table in `tests/it/architecture.rs`; why things are as they are
//! is told in [`decisions`].

pub mod catalog;
pub mod check;
pub mod cli;
pub mod decisions;
pub mod diagnostic;
pub mod graph;
pub mod math;
pub mod optimize;
pub mod perf;
pub mod placement;
pub mod plan;
pub mod render;
pub mod report;
pub mod spec;
pub mod state;
