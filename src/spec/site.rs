//! `sites`: places of the user's own, and the machines that stand there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};
use serde_json::Value;

use super::{Origin, Place, ProviderSettings, RegionRef, Service, Spec, Vocabulary};
use crate::diagnostic::Pointer;

/// The code of the limit on a site's power, beside those of its machines, which are their names.
pub const POWER: &str = "power";

/// `sites.NAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeSite {
    /// Name in the spec; the id of its region.
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// `country`: ISO 3166 alpha-2, upper case.
    pub country: String,
    /// `inventory.NAME`; never empty.
    pub machines: BTreeMap<String, SiteMachine>,
    /// `power`: most watts of all machines in use at full load; `None` = no cap.
    pub power_watts: Option<f64>,
    /// `grid`: grams of CO2e for a kWh; `None` = unknown.
    pub grid: Option<f64>,
    /// `pue`; `None` = unknown.
    pub pue: Option<f64>,
    /// `lan`: round trip within the site, ms; `None` = assumed as within a region.
    pub lan_ms: Option<f64>,
    /// `wan`.
    pub wan: Wan,
    /// Where it was written.
    pub at: Pointer,
}

/// `wan`: the connection of a site to everywhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wan {
    /// `bandwidth`, Mbit/s; `None` = unknown.
    pub mbps: Option<f64>,
    /// `round_trip`: what the connection adds to the distance, ms; `None` = as between regions.
    pub round_trip_ms: Option<f64>,
}

/// `inventory.NAME`: equal machines of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteMachine {
    /// Its name, which means the same hardware at every site.
    pub name: String,
    /// Canonical id of its accelerators.
    pub accelerator: String,
    /// Accelerators of a machine, at least 1.
    pub accelerators: u32,
    /// How many stand there.
    pub count: u32,
    /// Virtual CPUs.
    pub vcpus: f64,
    /// Main memory, GiB.
    pub memory_gib: f64,
    /// Dollars an hour of a machine in use.
    pub cost: Money,
    /// `power` at full load, watts, if it is stated.
    pub power_watts: Option<f64>,
    /// Where it was written.
    pub at: Pointer,
}

impl SiteMachine {
    /// Whether two are the same hardware.
    pub fn is_like(&self, other: &SiteMachine) -> bool {
        let of =
            |m: &SiteMachine| (m.accelerator.clone(), m.accelerators, m.vcpus, m.memory_gib, m.power_watts);
        of(self) == of(other)
    }
}

impl Spec {
    /// Makes limits of what stands at the sites, as a provider's declared quotas are: the stock of each machine by its name, and the
    /// cap on power as [`POWER`]. From there on they bind whatever quotas bind.
    pub fn lower_sites(&mut self) {
        if self.sites.is_empty() {
            return;
        }
        let mut quotas: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for (name, site) in &self.sites {
            let stock = site.machines.values().map(|m| (m.name.clone(), f64::from(m.count)));
            let power = site.power_watts.map(|watts| (POWER.to_owned(), watts));
            quotas.insert(name.clone(), stock.chain(power).collect());
        }
        let at = Pointer::root().join("sites");
        let settings = ProviderSettings { account: None, discount: 0.0, quotas, at };
        self.providers.insert(Cloud::Site, settings);
    }

    /// Where the declared quotas of a cloud are written, or the sites; `None` if it has none.
    pub fn quotas_at(&self, cloud: Cloud) -> Option<Pointer> {
        let settings = self.providers.get(&cloud)?;
        Some(if cloud == Cloud::Site { settings.at.clone() } else { settings.at.join("quotas") })
    }
}

impl Origin {
    /// The site that it is at.
    pub fn site(&self) -> Option<&RegionRef> {
        match &self.place {
            Place::Region(region) if region.cloud == Cloud::Site => Some(region),
            _ => None,
        }
    }
}

impl Service {
    /// Whether an origin may be served in a region although the connection of its site may fail.
    pub fn reaches(&self, origin: &Origin, cloud: Cloud, region: &str) -> bool {
        let home = origin.site().filter(|_| self.survive.wan > 0);
        home.is_none_or(|home| home.cloud == cloud && home.region == region)
    }
}

/// The names that a spec may refer to, with those of its own sites.
pub(super) fn known<'v>(tree: &Value, vocabulary: &'v Vocabulary) -> Cow<'v, Vocabulary> {
    let Some(sites) = tree.get("sites").and_then(Value::as_object).filter(|sites| !sites.is_empty()) else {
        return Cow::Borrowed(vocabulary);
    };
    let mut all = vocabulary.clone();
    all.sites.extend(sites.keys().cloned());
    let machines = sites.values().filter_map(|site| site.get("inventory")?.as_object());
    all.instance_types.extend(machines.flat_map(|m| m.keys().cloned()));
    Cow::Owned(all)
}
