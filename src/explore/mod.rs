//! Other worlds: what a changed spec or catalogue would lead to, how cost grows with traffic, what latency
//! costs, and how often a placement keeps its promises if the predictions are off by what is known of them.
//!
//! A changed world is a [`Spec`](crate::spec::Spec) and a [`World`](crate::placement::World) like any other: it is placed by the
//! optimizer, whole, coupled limits included. Nothing here chooses anything.

mod change;
mod compare;
mod front;
mod held;
mod scale;
mod select;
mod stress;

pub use change::{Amount, Change, changes, workload};
pub use compare::{Aspect, Choice, Machines, choice, choices, compare, cost, refusal, sites_lost};
pub use front::{Front, Lost, Point as FrontPoint, Sweep, front};
pub use scale::{Flip, Point as ScalePoint, Scale, Scaled, Scaling, Unseen, scale};
pub use select::Selector;
pub use stress::{
    AtConfidence, Drawn, GRID, Held, Promise, REACH, Spot, Stress, Stressing, What, at_confidence, stress,
};
