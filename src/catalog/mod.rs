//! What there is, where, and at what price: frozen facts with source and date on every row.

mod arch;
mod committed;
mod held;
mod hf;
mod holes;
mod load;
mod names;
mod network;
mod packed;
mod quota;
// The build script and the converter use the rest of it.
#[allow(dead_code)]
mod schema;
mod series;
mod sites;
mod transfer;
mod types;
mod user;

pub use committed::Committed;
pub use held::{InForce, SOURCE as SOURCE_OF_HELD, hours_left};
pub use holes::KNOWN_HOLES;
pub use names::{Names, Resolved};
pub use network::{MeasuredPair, Network, WITHIN_REGION_MS, distance_km};
pub use sites::{FullLoad, SOURCE as SOURCE_OF_SITES};
pub use transfer::{Transfer, TransferKind};
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
    /// Their texts, for [`Catalog::digest`].
    pub user_texts: Vec<String>,
    /// Sources that were left out when this program was built.
    pub excluded_sources: Vec<String>,
    /// Measured round trips and the distance model.
    pub network: Network,
    /// Prices of moving data.
    pub transfer: Vec<Transfer>,
    /// The alias table.
    pub names: Names,
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
        load::load(packed::PACKED)
    }

    /// SHA-256 of what the program carries and of the user's files, in hexadecimal. Figures that are
    /// equal give equal digests; a discount of the spec is not part of it.
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(packed::PACKED);
        for text in &self.user_texts {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The offerings of an instance type (index), sorted by region and purchase.
    pub fn offerings_of(&self, instance_type: usize) -> &[Offering] {
        let start = self.offerings.partition_point(|o| o.instance_type < instance_type);
        let end = self.offerings.partition_point(|o| o.instance_type <= instance_type);
        self.offerings.get(start..end).unwrap_or_default()
    }

    /// The offering of an instance type in a region (indexes), bought so.
    pub fn offering(
        &self,
        instance_type: usize,
        region: usize,
        purchase: rhumb_api::Purchase,
    ) -> Option<&Offering> {
        let of_type = self.offerings_of(instance_type);
        let found = of_type.binary_search_by_key(&(region, purchase), |o| (o.region, o.purchase)).ok()?;
        of_type.get(found)
    }

    /// The instance type (index) that machines of a resource are of, and how they are paid for; `None` of what has no machines, and of
    /// types that are not known.
    pub fn machines_of(&self, resource: &rhumb_api::Resource) -> Option<(usize, rhumb_api::Purchase)> {
        use rhumb_api::{Attr, Purchase};
        let text = |name: &str| match resource.attributes.get(name) {
            Some(Attr::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let kind = self.instance_type(resource.cloud, text("instance_type")?)?;
        let bought = text("purchase")?;
        let all = Purchase::ALL.into_iter().chain([Purchase::Held]);
        Some((kind, all.into_iter().find(|purchase| purchase.as_str() == bought)?))
    }

    /// The offering that machines of a resource are of; of held ones that of their commitment.
    pub fn offered(&self, resource: &rhumb_api::Resource) -> Option<&Offering> {
        let (kind, purchase) = self.machines_of(resource)?;
        let commitment = match resource.attributes.get("commitment") {
            Some(rhumb_api::Attr::Text(name)) => Some(name.as_str()),
            _ => None,
        };
        self.offering_of(kind, self.region(resource.cloud, &resource.region)?, (purchase, commitment))
    }

    /// Takes offers of an instance type in a region off the list: those of spot machines, or all others that are on sale.
    pub fn withhold(&mut self, cloud: rhumb_api::Cloud, region: &str, instance_type: &str, spot: bool) {
        let Some(at) = self.instance_type(cloud, instance_type).zip(self.region(cloud, region)) else {
            return;
        };
        self.offerings.retain(|o| {
            (o.instance_type, o.region) != at
                || (o.purchase == rhumb_api::Purchase::Spot) != spot
                || o.purchase == rhumb_api::Purchase::Held
        });
    }

    /// Takes `discount` (a fraction) off every price of a cloud but spot and the user's own prices; on
    /// top of a discount of the user's file.
    pub fn apply_discount(&mut self, cloud: rhumb_api::Cloud, discount: f64) {
        for offering in &mut self.offerings {
            let of_cloud = self.instance_types.get(offering.instance_type).is_some_and(|t| t.cloud == cloud);
            if of_cloud && offering.purchase != rhumb_api::Purchase::Spot && !offering.is_own() {
                offering.price = offering.price.scale(1.0 - discount);
            }
        }
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
}

impl Offering {
    /// Whether the price is the user's own, from which no discount is taken.
    pub fn is_own(&self) -> bool {
        self.provenance.is_own()
    }
}
