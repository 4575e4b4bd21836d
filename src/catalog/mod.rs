//! What there is, where, and at what price: frozen facts with source and date on every row.

mod types;

pub use types::*;

/// The catalogue.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Sorted by id.
    pub accelerators: Vec<Accelerator>,
    /// Sorted by cloud and name.
    pub instance_types: Vec<InstanceType>,
    /// Sorted by cloud and id.
    pub regions: Vec<Region>,
    /// Sorted by instance type, region, purchase.
    pub offerings: Vec<Offering>,
    /// Sorted by cloud, code.
    pub quotas: Vec<Quota>,
    /// Sorted by id.
    pub models: Vec<ModelArch>,
    /// Sorted by model, quantization, benchmark.
    pub quality: Vec<QualityRow>,
    /// Sorted by id.
    pub sources: Vec<Source>,
    /// The user's own files that changed it, in order.
    pub user_files: Vec<String>,
}

/// Where data goes to or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferTo<'a> {
    /// The public internet.
    Internet,
    /// Another region (or the same).
    Region(&'a crate::spec::RegionRef),
}

impl Catalog {
    /// The catalogue that this build carries.
    pub fn embedded() -> Self {
        todo!()
    }

    /// The names that a spec may refer to.
    pub fn vocabulary(&self) -> crate::spec::Vocabulary {
        todo!()
    }

    /// Adds or overrides rows by a user's own file (YAML).
    ///
    /// # Errors
    /// Every problem of the file, with its place.
    pub fn apply_user_file(
        &mut self,
        _name: &str,
        _text: &str,
    ) -> Result<(), crate::diagnostic::Diagnostics> {
        todo!()
    }

    /// Takes `discount` (a fraction) off every price of a cloud but spot.
    pub fn apply_discount(&mut self, _cloud: rhumb_api::Cloud, _discount: f64) {
        todo!()
    }

    /// Index of an accelerator by canonical id.
    pub fn accelerator(&self, id: &str) -> Option<usize> {
        self.accelerators.binary_search_by(|a| a.id.as_str().cmp(id)).ok()
    }

    /// Index of an instance type.
    pub fn instance_type(&self, cloud: rhumb_api::Cloud, name: &str) -> Option<usize> {
        self.instance_types.binary_search_by(|t| (t.cloud, t.name.as_str()).cmp(&(cloud, name))).ok()
    }

    /// Index of a region.
    pub fn region(&self, cloud: rhumb_api::Cloud, id: &str) -> Option<usize> {
        self.regions.binary_search_by(|r| (r.cloud, r.id.as_str()).cmp(&(cloud, id))).ok()
    }

    /// A model by canonical id.
    pub fn model(&self, id: &str) -> Option<&ModelArch> {
        self.models.binary_search_by(|m| m.id.as_str().cmp(id)).ok().map(|i| &self.models[i])
    }

    /// One round trip from a place to a region (index): measured, else modelled; `None` if the
    /// place or the region has no position.
    pub fn round_trip(&self, _from: &crate::spec::Place, _region: usize) -> Option<RoundTrip> {
        todo!()
    }

    /// The price of moving data out of a region (index), first paid tier; `None` = unknown.
    pub fn transfer_price(&self, _from_region: usize, _to: TransferTo<'_>) -> Option<TransferPrice> {
        todo!()
    }

    /// The quotas that one machine of an instance type (index) counts against when bought so, and
    /// how much of each it takes, in the quota's own unit.
    pub fn quotas_for(&self, _instance_type: usize, _purchase: rhumb_api::Purchase) -> Vec<(&Quota, f64)> {
        todo!()
    }
}

impl ModelArch {
    /// Reads a Hugging Face `config.json`.
    ///
    /// # Errors
    /// What is missing or not understood, for people.
    pub fn from_hf_config(_id: &str, _json: &[u8]) -> Result<Self, String> {
        todo!()
    }
}
