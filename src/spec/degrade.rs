//! `degrade`: smaller models that stand in while machines of a service have failed (`src/decisions/0024-a-smaller-model-stands-in.md`).

use crate::diagnostic::Pointer;

/// `services.NAME.degrade`.
#[derive(Clone, Debug, PartialEq)]
pub struct Degrade {
    /// `to`: never empty, each once, in the order in which equally cheap ones are taken.
    pub to: Vec<Smaller>,
    /// `keep`: the least share of the model's score that will do, a fraction in (0, 1].
    pub keep: f64,
    /// Where it was written.
    pub at: Pointer,
}

/// A model that may stand in.
#[derive(Clone, Debug, PartialEq)]
pub struct Smaller {
    /// Key into [`super::Spec::models`]; it has one variant.
    pub model: String,
    /// `quality`: the share of the service's model's score that it keeps, a fraction in (0, 2], as the team measured it; at least
    /// [`Degrade::keep`].
    pub quality: f64,
    /// Where it was written.
    pub at: Pointer,
}
