//! The line from text to placement, for tests.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::diagnostic::SourceFile;
use rhumb::placement::{Infeasible, Placement, World};
use rhumb::spec::{self, ModelSource, Sources, Spec};

/// A spec from YAML text that names no files.
pub fn spec(text: &str, catalog: &Catalog) -> Spec {
    let vocabulary = catalog.vocabulary();
    let sources = Sources {
        files: vec![SourceFile { name: "test.yaml".into(), text: text.into() }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &|path| Err(format!("{path}: tests read no files")),
    };
    match spec::load(&sources) {
        Ok(loaded) => loaded.spec,
        Err(diagnostics) => panic!("{:#?}", diagnostics.list),
    }
}

/// The world of a spec: the catalogue with its discounts, and the architectures of its models.
pub fn world(spec: &Spec, catalog: &Catalog) -> World {
    let mut catalog = catalog.clone();
    for (cloud, settings) in &spec.providers {
        catalog.apply_discount(*cloud, settings.discount);
    }
    let arch = |model: &spec::Model| match &model.source {
        ModelSource::Known { id, .. } => catalog.model(id).unwrap().clone(),
        ModelSource::Config(file) => panic!("{}: tests read no files", file.path),
    };
    let archs: BTreeMap<_, _> = spec.models.iter().map(|(name, m)| (name.clone(), arch(m))).collect();
    World { archs, catalog, calibration: Default::default(), today: "2026-11-25".into(), replay: 0 }
}

/// The placement of a spec.
pub fn place(spec: &Spec, world: &World) -> Result<Placement, Infeasible> {
    rhumb::optimize::place(spec, world)
}
