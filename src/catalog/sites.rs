//! The sites of a spec as rows: each is a region of the cloud `site`, what stands there are its instance types, its stock and its cap on
//! power are quotas.
//!
//! Machines of one name are one type, wherever they stand. Their only price is that of `on_demand`: a machine of the user's own costs what
//! the user says while it is in use, is never interrupted and is committed to nothing. Rows have the source [`SOURCE`], from which no
//! discount is taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::{Cloud, Purchase};

use super::network::SiteNetwork;
use super::{
    Accelerator, Catalog, Grid, InstanceType, Offered, Offering, Provenance, Pue, Quota, QuotaUnit, Region,
};
use crate::spec::{EdgeSite, POWER, SiteMachine};

/// The source of what a spec says of sites.
pub const SOURCE: &str = "user:sites of the spec";

/// Watts of a machine at full load: type and accelerator; `None` = not known.
pub type FullLoad<'a> = &'a dyn Fn(&InstanceType, Option<&Accelerator>) -> Option<f64>;

impl Catalog {
    /// Adds the sites of a spec behind all other rows, where the order of clouds has them. A second call changes nothing.
    ///
    /// `full_load` is asked for a machine whose power the spec does not state.
    pub fn add_sites(&mut self, sites: &BTreeMap<String, EdgeSite>, full_load: FullLoad<'_>) {
        if self.regions.iter().any(|r| r.cloud == Cloud::Site) {
            return;
        }
        let own = Provenance { source: SOURCE.into(), as_of: Arc::from("") };
        let mut kinds: BTreeMap<&str, &SiteMachine> = BTreeMap::new();
        for machine in sites.values().flat_map(|site| site.machines.values()) {
            kinds.entry(&machine.name).or_insert(machine);
        }
        for machine in kinds.values() {
            let kind = self.site_machine(machine, &own, full_load);
            self.instance_types.push(kind);
            self.quotas.push(limit(&machine.name, QuotaUnit::Machines, &own));
        }
        if !kinds.is_empty() {
            self.quotas.push(limit(POWER, QuotaUnit::Watts, &own));
        }
        self.quotas.sort_by(|a, b| (a.cloud, &a.code, a.purchase).cmp(&(b.cloud, &b.code, b.purchase)));
        for (name, site) in sites {
            let region = self.site_region(name, site, &own);
            self.regions.push(region);
            self.network.add_site(
                name.clone(),
                SiteNetwork { lan_ms: site.lan_ms, wan_ms: site.wan.round_trip_ms, provenance: own.clone() },
            );
        }
        for name in kinds.keys() {
            for (id, site) in sites {
                let found = site.machines.get(*name).and_then(|machine| {
                    Some((machine, self.instance_type(Cloud::Site, name)?, self.region(Cloud::Site, id)?))
                });
                let Some((machine, instance_type, region)) = found else { continue };
                self.offerings.push(Offering {
                    instance_type,
                    region,
                    zone: None,
                    purchase: Purchase::OnDemand,
                    price: machine.cost,
                    list_price: machine.cost,
                    offered: Offered::Yes,
                    interruption: None,
                    provenance: own.clone(),
                    held: None,
                });
            }
        }
    }

    fn site_machine(&self, machine: &SiteMachine, own: &Provenance, full_load: FullLoad<'_>) -> InstanceType {
        let accelerator = self.accelerator(&machine.accelerator);
        let mut kind = InstanceType {
            cloud: Cloud::Site,
            name: machine.name.clone(),
            accelerator,
            accelerator_count: f64::from(machine.accelerators),
            vcpus: machine.vcpus,
            memory_gib: Some(machine.memory_gib),
            local_nvme_gib: None,
            network_gbps: None,
            rdma: None,
            rdma_gbps: None,
            arch: "x86_64".to_owned(),
            full_load_watts: machine.power_watts,
            status: "current".to_owned(),
            notes: String::new(),
            provenance: own.clone(),
        };
        let on = accelerator.and_then(|i| self.accelerators.get(i));
        kind.full_load_watts = kind.full_load_watts.or_else(|| full_load(&kind, on)).map(f64::ceil);
        kind
    }

    fn site_region(&self, name: &str, site: &EdgeSite, own: &Provenance) -> Region {
        // What holds for every region of the country holds for the site.
        let clouds = || self.regions.iter().filter(|r| r.cloud != Cloud::Site);
        let mut same = clouds().filter(|r| r.country == site.country);
        let continent = match same.clone().next() {
            Some(region) => region.continent.clone(),
            None => self.continent_of((site.latitude, site.longitude)).unwrap_or_default().to_owned(),
        };
        let jurisdictions = match same.next() {
            None => jurisdictions_of(&site.country),
            Some(first) => {
                let everywhere = |tag: &&String| same.clone().all(|r| r.jurisdictions.contains(tag));
                first.jurisdictions.iter().filter(everywhere).cloned().collect()
            }
        };
        Region {
            cloud: Cloud::Site,
            id: name.to_owned(),
            location: name.to_owned(),
            country: site.country.clone(),
            continent,
            jurisdictions,
            latitude: Some(site.latitude),
            longitude: Some(site.longitude),
            // One room: what takes it takes all of it.
            zones: Some(1),
            grid: site.grid.map(|g_per_kwh| Grid { g_per_kwh, year: None, provenance: own.clone() }),
            pue: site.pue.map(|ratio| Pue { ratio, of_region: true, provenance: own.clone() }),
            notes: String::new(),
            provenance: own.clone(),
        }
    }
}

fn limit(code: &str, unit: QuotaUnit, own: &Provenance) -> Quota {
    Quota {
        cloud: Cloud::Site,
        families: if unit == QuotaUnit::Watts { String::new() } else { code.to_owned() },
        purchase: Purchase::OnDemand,
        name: if unit == QuotaUnit::Watts { "power at full load" } else { "stock" }.to_owned(),
        code: code.to_owned(),
        unit,
        scope: "region".to_owned(),
        default_new_account: None,
        notes: String::new(),
        provenance: own.clone(),
    }
}

/// Members of the European Union in which no cloud of the catalogue has a region (ISO 3166 codes).
const EU_WITHOUT_REGION: [&str; 15] =
    ["BG", "CY", "CZ", "EE", "GR", "HR", "HU", "LT", "LU", "LV", "MT", "PT", "RO", "SI", "SK"];

/// Jurisdictions of a country in which there is no region to ask.
fn jurisdictions_of(country: &str) -> Vec<String> {
    let eu: &[&str] = if EU_WITHOUT_REGION.contains(&country) { &["eu", "eea", "gdpr"] } else { &[] };
    std::iter::once(country.to_lowercase()).chain(eu.iter().map(|tag| (*tag).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_the_union_are_in_it_with_and_without_a_region() {
        let catalog = Catalog::embedded();
        let with = catalog.regions.iter().filter(|r| r.jurisdictions.iter().any(|tag| tag == "eu"));
        let with: std::collections::BTreeSet<&str> = with.map(|r| r.country.as_str()).collect();
        assert!(EU_WITHOUT_REGION.iter().all(|country| !with.contains(country)));
        assert_eq!(with.len() + EU_WITHOUT_REGION.len(), 27, "{with:?}");
        assert_eq!(jurisdictions_of("CZ"), ["cz", "eu", "eea", "gdpr"]);
        assert_eq!(jurisdictions_of("CH"), ["ch"]);
    }
}
