//! Prices of moving data.

use rhumb_api::{Cloud, Money};

use super::{Catalog, Provenance, Region, TransferPrice, TransferTo};

/// Where the data of a transfer price goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// The public internet, other clouds included.
    Internet,
    /// Another region of the same cloud.
    OtherRegion,
    /// Another zone of the same region.
    OtherZone,
    /// Into the cloud.
    Ingress,
}

impl TransferKind {
    /// The word of the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransferKind::Internet => "internet",
            TransferKind::OtherRegion => "same_cloud_other_region",
            TransferKind::OtherZone => "same_region_other_zone",
            TransferKind::Ingress => "ingress",
        }
    }
}

/// A row of the table of transfer prices.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The cloud.
    pub cloud: Cloud,
    /// The region that it is from; empty if `from_scope` says where.
    pub from_region: String,
    /// `any`, or a continent.
    pub from_scope: String,
    /// Where to.
    pub kind: TransferKind,
    /// The region that it goes to; empty if `to_scope` says where.
    pub to_region: String,
    /// `any`, a continent, or `other continent`.
    pub to_scope: String,
    /// The tier starts after this much in a month, TiB.
    pub tier_min_tib: Option<f64>,
    /// The tier ends here, TiB.
    pub tier_max_tib: Option<f64>,
    /// Dollars a GiB.
    pub usd_per_gib: Money,
    /// Remarks of the source.
    pub notes: String,
    /// Where the row comes from.
    pub provenance: Provenance,
}

impl Catalog {
    /// The price of moving data out of a region (index), first paid tier; `None` = unknown.
    ///
    /// To another cloud it is the price to the internet; within a region it is free (between an
    /// object store and machines; traffic between zones is priced by the table's own rows).
    pub fn transfer_price(&self, from_region: usize, to: TransferTo<'_>) -> Option<TransferPrice> {
        let from = self.regions.get(from_region)?;
        let row = match to {
            TransferTo::Internet => self.to_internet(from),
            TransferTo::Region(to) if to.cloud != from.cloud => self.to_internet(from),
            TransferTo::Region(to) => {
                let to = self.regions.get(self.region(to.cloud, &to.region)?)?;
                if to.id == from.id {
                    self.transfer.iter().find(|t| t.cloud == from.cloud && t.kind == TransferKind::Ingress)
                } else {
                    self.to_region(from, to)
                }
            }
        }?;
        Some(TransferPrice { usd_per_gib: row.usd_per_gib, provenance: row.provenance.clone() })
    }

    fn to_internet(&self, from: &Region) -> Option<&Transfer> {
        self.transfer
            .iter()
            .filter(|t| t.cloud == from.cloud && t.kind == TransferKind::Internet && t.is_from(from))
            // Google prices China and Australia apart; the rest of the world is the general case.
            .filter(|t| t.to_scope == "any" || t.to_scope.starts_with("worldwide"))
            .min_by(|a, b| a.tier_min_tib.unwrap_or(0.0).total_cmp(&b.tier_min_tib.unwrap_or(0.0)))
    }

    /// The most specific row: a pair of regions, then a pair of continents, then "other continent";
    /// of several equally specific ones the dearest.
    fn to_region(&self, from: &Region, to: &Region) -> Option<&Transfer> {
        self.transfer
            .iter()
            .filter(|t| t.cloud == from.cloud && t.kind == TransferKind::OtherRegion)
            .filter_map(|t| Some((t.specificity(from, to)?, t)))
            .max_by_key(|(specificity, t)| (*specificity, t.usd_per_gib))
            .map(|(_, t)| t)
    }
}

/// Whether a scope such as `oceania or indonesia` covers a region.
fn covers(scope: &str, region: &Region) -> bool {
    scope.split(" or ").any(|part| {
        part == "any" || part == region.continent || (part == "indonesia" && region.country == "ID")
    })
}

impl Transfer {
    fn is_from(&self, region: &Region) -> bool {
        if self.from_region.is_empty() {
            covers(&self.from_scope, region)
        } else {
            self.from_region == region.id
        }
    }

    fn specificity(&self, from: &Region, to: &Region) -> Option<u8> {
        if !self.to_region.is_empty() {
            return (self.from_region == from.id && self.to_region == to.id).then_some(3);
        }
        if self.to_scope == "other continent" {
            let applies = from.continent != to.continent;
            let two_way = self.notes.contains("both directions") && covers(&self.from_scope, to);
            return (applies && (self.is_from(from) || two_way)).then_some(1);
        }
        (self.is_from(from) && covers(&self.to_scope, to)).then_some(2)
    }
}
