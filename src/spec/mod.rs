//! Text to [`Spec`]: two languages, one tree, one typed model.

mod model;

pub use model::*;

use crate::diagnostic::{Diagnostics, SourceFile, SourceMap};

/// The names that a spec may refer to, handed in so that this module knows no catalogue.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Any known spelling of a model, lower case, to its canonical id.
    pub models: std::collections::BTreeMap<String, String>,
    /// Any known spelling of an accelerator, lower case, to its canonical id.
    pub accelerators: std::collections::BTreeMap<String, String>,
    /// Names that mean several accelerators (`a100`), lower case, to their canonical ids.
    pub accelerator_families: std::collections::BTreeMap<String, Vec<String>>,
    /// All regions.
    pub regions: Vec<RegionRef>,
    /// All jurisdiction tags and country codes, lower case.
    pub jurisdictions: std::collections::BTreeSet<String>,
    /// All country codes that have a known place, upper case.
    pub countries: std::collections::BTreeSet<String>,
    /// All instance types.
    pub instance_types: std::collections::BTreeSet<String>,
}

/// What a spec is read from.
pub struct Sources<'a> {
    /// Spec files, `.yaml`, `.yml` or `.hcl`, sorted by name.
    pub files: Vec<SourceFile>,
    /// Values of variables with a name for where each came from (`--var`, a file, the environment);
    /// a later one wins.
    pub variables: Vec<(String, String, String)>,
    /// The names that the spec may refer to.
    pub vocabulary: &'a Vocabulary,
    /// Reads a file that the spec names, relative to the spec's folder; the error is for people.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

/// A spec and the text that it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The spec.
    pub spec: Spec,
    /// Positions, for diagnostics of later stages.
    pub map: SourceMap,
    /// The merged tree after evaluation, keys sorted: what the spec digest is taken over.
    pub tree: serde_json::Value,
    /// Warnings.
    pub warnings: Diagnostics,
}
