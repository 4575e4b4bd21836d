//! What the seasons to come ask for.

use super::{Infeasible, Placement, Stop};
use crate::spec::season::Span;

/// The year that begins with the planning day.
#[derive(Clone, Debug, PartialEq)]
pub struct ComingYear {
    /// Its days by what plans are for on them, and which of the outcomes they have; the first is the plan's own, with the outcome 0.
    pub spans: Vec<(Span, usize)>,
    /// What was found for each set of peaks other than the plan's own: that of the outcome `n` is at `n - 1`.
    pub found: Vec<Ahead>,
}

/// A season to come.
#[derive(Clone, Debug, PartialEq)]
pub enum Ahead {
    /// Its cheapest placement, at the prices of the planning day.
    Placed(Box<Placement>),
    /// Nothing keeps the promises then, or nothing was found that does.
    Refused(Infeasible),
    /// The search was ended before anything was known.
    Ended(Stop),
}
