//! One alias table: every spelling of a model, an accelerator or a precision to one id.

use std::collections::{BTreeMap, BTreeSet};

use super::{Accelerator, Catalog, ModelArch, ModelKind};
use crate::spec::{Processors, Quantization, RegionRef, Vocabulary};

/// What a spelling stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// Something in the catalogue.
    Known {
        /// Its canonical id.
        id: String,
        /// For a model: how this checkpoint is compressed, if other than the base architecture's.
        quantization: Option<Quantization>,
    },
    /// Several accelerators (`a100`).
    Family(Vec<String>),
    /// Something that the data files name and the catalogue does not hold.
    NotInCatalogue(String),
}

/// The spellings.
#[derive(Clone, Debug, Default)]
pub struct Names {
    models: BTreeMap<String, Resolved>,
    accelerators: BTreeMap<String, Resolved>,
    precisions: BTreeMap<String, Resolved>,
}

/// A precision's name in the tables.
pub(super) fn quantization(text: &str) -> Option<Quantization> {
    Some(match text {
        "native" => Quantization::Native,
        "bf16" => Quantization::Bf16,
        "fp8" => Quantization::Fp8,
        "fp8_block" => Quantization::Fp8Block,
        "int8" => Quantization::Int8,
        "int4" => Quantization::Int4,
        "mxfp4" => Quantization::Mxfp4,
        "nvfp4" => Quantization::Nvfp4,
        _ => return None,
    })
}

impl Names {
    /// From rows of kind, alias (lower case), id, whether the catalogue holds it, quantization.
    pub(super) fn new<'a>(rows: impl Iterator<Item = (&'a str, String, String, bool, &'a str)>) -> Self {
        let mut names = Names::default();
        for (kind, alias, id, catalogued, compression) in rows {
            let resolved = match (kind, catalogued) {
                ("accelerator-family", _) => Resolved::Family(id.split(' ').map(str::to_owned).collect()),
                (_, true) => Resolved::Known { id, quantization: quantization(compression) },
                (_, false) => Resolved::NotInCatalogue(id),
            };
            let map = match kind {
                "model" => &mut names.models,
                "accelerator" | "accelerator-family" => &mut names.accelerators,
                "precision" => &mut names.precisions,
                _ => continue,
            };
            map.insert(alias, resolved);
        }
        names
    }

    /// Adds the canonical ids themselves, and of models the part after the organisation where it
    /// names one model only.
    pub(super) fn add_canonical(&mut self, models: &[ModelArch], accelerators: &[Accelerator]) {
        let known = |id: &str| Resolved::Known { id: id.to_owned(), quantization: None };
        for resolved in self.accelerators.values_mut() {
            if let Resolved::Family(ids) = resolved {
                ids.retain(|id| accelerators.binary_search_by(|a| a.id.as_str().cmp(id)).is_ok());
            }
        }
        for accelerator in accelerators {
            self.accelerators.entry(accelerator.id.to_lowercase()).or_insert_with(|| known(&accelerator.id));
        }
        let mut short: BTreeMap<String, Option<&str>> = BTreeMap::new();
        for model in models {
            self.models.insert(model.id.to_lowercase(), known(&model.id));
            if let Some((_, name)) = model.id.split_once('/') {
                short
                    .entry(name.to_lowercase())
                    .and_modify(|id| *id = None)
                    .or_insert(Some(model.id.as_str()));
            }
        }
        for (name, id) in short {
            if let Some(id) = id {
                self.models.entry(name).or_insert_with(|| known(id));
            }
        }
        // The same for checkpoints of an organisation: `qwen3-32b-awq`.
        let mut short: BTreeMap<String, Option<Resolved>> = BTreeMap::new();
        for (alias, resolved) in &self.models {
            if let Some((_, name)) = alias.split_once('/') {
                short
                    .entry(name.to_owned())
                    .and_modify(|known| {
                        if known.as_ref() != Some(resolved) {
                            *known = None;
                        }
                    })
                    .or_insert_with(|| Some(resolved.clone()));
            }
        }
        for (name, resolved) in short {
            if let Some(resolved) = resolved {
                self.models.entry(name).or_insert(resolved);
            }
        }
    }

    /// A model's spelling, in any case.
    pub fn model(&self, name: &str) -> Option<&Resolved> {
        self.models.get(&name.to_lowercase())
    }

    /// An accelerator's spelling, in any case.
    pub fn accelerator(&self, name: &str) -> Option<&Resolved> {
        self.accelerators.get(&name.to_lowercase())
    }

    /// A precision's spelling, in any case.
    pub fn precision(&self, name: &str) -> Option<&Resolved> {
        self.precisions.get(&name.to_lowercase())
    }
}

impl Resolved {
    /// The canonical id, if it is one thing that the catalogue holds.
    pub fn id(&self) -> Option<&str> {
        match self {
            Resolved::Known { id, .. } => Some(id),
            Resolved::Family(_) | Resolved::NotInCatalogue(_) => None,
        }
    }
}

impl Catalog {
    /// The canonical id of a model's spelling, in any case.
    pub fn resolve_model(&self, name: &str) -> Option<&str> {
        self.names.model(name).and_then(Resolved::id)
    }

    /// How the checkpoint of that name is compressed: its own quantization where the name says one,
    /// else its base's.
    pub fn resolve_checkpoint(&self, name: &str) -> Option<(&ModelArch, Quantization)> {
        match self.names.model(name)? {
            Resolved::Known { id, quantization } => {
                let arch = self.model(id)?;
                Some((arch, quantization.unwrap_or(arch.native)))
            }
            Resolved::Family(_) | Resolved::NotInCatalogue(_) => None,
        }
    }

    /// The architecture of the checkpoint of that name, its own quantization as the native one.
    pub fn checkpoint(&self, name: &str) -> Option<ModelArch> {
        let (arch, native) = self.resolve_checkpoint(name)?;
        Some(ModelArch { native, ..arch.clone() })
    }

    /// The canonical id of an accelerator's spelling, in any case; `None` for a family as well.
    pub fn resolve_accelerator(&self, name: &str) -> Option<&str> {
        self.names.accelerator(name).and_then(Resolved::id)
    }

    /// The quantization behind a spelling in the data files, in any case.
    pub fn resolve_precision(&self, name: &str) -> Option<Quantization> {
        self.names.precision(name).and_then(Resolved::id).and_then(quantization)
    }

    /// The names that a spec may refer to.
    pub fn vocabulary(&self) -> Vocabulary {
        let known = |map: &BTreeMap<String, Resolved>| -> BTreeMap<String, String> {
            map.iter().filter_map(|(k, v)| v.id().map(|id| (k.clone(), id.to_owned()))).collect()
        };
        let families = self.names.accelerators.iter().filter_map(|(name, resolved)| match resolved {
            Resolved::Family(ids) => Some((name.clone(), ids.clone())),
            _ => None,
        });
        let countries = |r: &super::Region| !r.country.is_empty() && r.latitude.is_some();
        let mut jurisdictions: BTreeSet<String> =
            self.regions.iter().flat_map(|r| r.jurisdictions.iter().cloned()).collect();
        jurisdictions.extend(self.regions.iter().map(|r| r.country.to_lowercase()));
        jurisdictions.remove("");
        Vocabulary {
            sites: BTreeSet::new(),
            models: known(&self.names.models),
            generators: self
                .models
                .iter()
                .filter(|m| matches!(m.kind, ModelKind::Dense | ModelKind::Moe))
                .map(|m| m.id.clone())
                .collect(),
            accelerators: known(&self.names.accelerators),
            accelerator_families: families.collect(),
            regions: self
                .regions
                .iter()
                .map(|r| RegionRef { cloud: r.cloud, region: r.id.clone() })
                .collect(),
            jurisdictions,
            countries: self.regions.iter().filter(|r| countries(r)).map(|r| r.country.clone()).collect(),
            instance_types: self.instance_types.iter().map(|t| t.name.clone()).collect(),
            machines: self.instance_types.iter().map(|t| (t.cloud, t.name.clone())).collect(),
            processors: self.processors(),
        }
    }

    /// What machines without accelerators are called: their types, series and architectures.
    fn processors(&self) -> BTreeMap<String, Processors> {
        let mut names = BTreeMap::new();
        for kind in self.instance_types.iter().filter(|t| t.is_processors_only()) {
            let (cloud, arch) = (kind.cloud, kind.arch.clone());
            names.insert(arch.clone(), Processors::Architecture(arch));
            for series in kind.series() {
                names.insert(format!("{cloud}/{series}"), Processors::Series(cloud, series));
            }
            let full = format!("{cloud}/{}", kind.name.to_lowercase());
            names.insert(full, Processors::Type(cloud, kind.name.clone()));
        }
        names
    }
}
