//! Network time and rate between places: measured pairs first, a fitted distance model for the
//! rest.
//!
//! - Between two regions: the mean of the two measured directions, leaving out a direction that the
//!   source flags (faster than light, or the two directions disagree). Measured in 2022 over the
//!   internet or the premium tier.
//! - Otherwise: `base + k * 2 * km / 204.19` ms, with `k` fitted per pair of continents (204.19 km/ms
//!   is light in fibre); its pessimistic edge adds the 90th percentile of the fit's absolute error.
//! - A country stands for its catalogue regions (of any cloud, each place once): the mean of their
//!   modelled times, and the farthest one's at the pessimistic edge. A country without a region has
//!   no known place.
//! - Within a region: assumed [`WITHIN_REGION_MS`], or what the user states of a site's own network.
//! - Between a site and elsewhere: by distance; where the user states the round trip of the site's connection, that stands in place of
//!   the model's `base`.

use std::collections::BTreeMap;

use rhumb_api::Cloud;

use super::{Catalog, Evidence, Provenance, Region, RoundTrip};
use crate::math;
use crate::spec::Place;

/// Assumed round trip within a region, ms; twice that at the pessimistic edge.
pub const WITHIN_REGION_MS: f64 = 1.0;

/// Light in fibre, km/ms.
const FIBRE_KM_PER_MS: f64 = 204.19;

/// Mean radius of the Earth (IUGG), km.
const EARTH_RADIUS_KM: f64 = 6371.0;

/// A measured figure from one region to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub from: u16,
    pub to: u16,
    pub value: f64,
    pub flagged: bool,
}

/// The distance model of a pair of continents, in alphabetical order; `any` and `any` for the rest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DistanceModel {
    pub continents: (String, String),
    pub base_ms: f64,
    pub route_factor: f64,
    pub p90_abs_error_ms: f64,
    pub provenance: Provenance,
}

/// Measured pairs and the distance model.
#[derive(Clone, Debug, Default)]
pub struct Network {
    places: BTreeMap<(Cloud, String), u16>,
    round_trips: Vec<Pair>,
    rates: Vec<Pair>,
    models: Vec<DistanceModel>,
    measured: Option<Provenance>,
    sites: BTreeMap<String, SiteNetwork>,
}

/// What the user states of the network of a site.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SiteNetwork {
    /// Round trip within the site, ms.
    pub lan_ms: Option<f64>,
    /// What its connection adds to the distance, ms round trip.
    pub wan_ms: Option<f64>,
    pub provenance: Provenance,
}

/// A measured pair of regions, for display.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredPair {
    /// From.
    pub from: (Cloud, String),
    /// To.
    pub to: (Cloud, String),
    /// Round trip, ms.
    pub ms: f64,
    /// Whether the source flags the figure as implausible.
    pub flagged: bool,
}

impl Network {
    pub(super) fn new(
        places: Vec<(Cloud, String)>,
        mut round_trips: Vec<Pair>,
        mut rates: Vec<Pair>,
        models: Vec<DistanceModel>,
        measured: Option<Provenance>,
    ) -> Self {
        round_trips.sort_by_key(|p| (p.from, p.to));
        rates.sort_by_key(|p| (p.from, p.to));
        let places = places.into_iter().enumerate().map(|(i, place)| (place, i as u16)).collect();
        Network { places, round_trips, rates, models, measured, sites: BTreeMap::new() }
    }

    pub(super) fn add_site(&mut self, name: String, site: SiteNetwork) {
        self.sites.insert(name, site);
    }

    fn site(&self, region: &Region) -> Option<&SiteNetwork> {
        if region.cloud == Cloud::Site { self.sites.get(&region.id) } else { None }
    }

    fn pair(list: &[Pair], from: u16, to: u16) -> Option<Pair> {
        let found = list.binary_search_by_key(&(from, to), |p| (p.from, p.to)).ok()?;
        list.get(found).copied()
    }

    fn place(&self, region: &Region) -> Option<u16> {
        self.places.get(&(region.cloud, region.id.clone())).copied()
    }

    /// Mean of the unflagged measured directions, ms.
    fn measured(&self, a: &Region, b: &Region) -> Option<f64> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        let sound =
            |from, to| Network::pair(&self.round_trips, from, to).filter(|p| !p.flagged).map(|p| p.value);
        match (sound(a, b), sound(b, a)) {
            (Some(there), Some(back)) => Some((there + back) / 2.0),
            (one, other) => one.or(other),
        }
    }

    fn model(&self, a: &str, b: &str) -> Option<&DistanceModel> {
        let (first, second) = if a <= b { (a, b) } else { (b, a) };
        let of = |a: &str, b: &str| self.models.iter().find(|m| m.continents.0 == a && m.continents.1 == b);
        of(first, second).or_else(|| of("any", "any"))
    }

    /// All measured round trips, ordered by place.
    pub fn measured_pairs(&self) -> Vec<MeasuredPair> {
        let names: BTreeMap<u16, &(Cloud, String)> = self.places.iter().map(|(k, v)| (*v, k)).collect();
        let name = |i: u16| names.get(&i).map(|n| (*n).clone());
        let mut pairs: Vec<MeasuredPair> = self
            .round_trips
            .iter()
            .filter_map(|p| {
                Some(MeasuredPair { from: name(p.from)?, to: name(p.to)?, ms: p.value, flagged: p.flagged })
            })
            .collect();
        pairs.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        pairs
    }

    /// Source and date of the measured round trips.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.measured.as_ref()
    }
}

/// Great-circle distance, km, of two points in degrees (haversine).
pub fn distance_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let radians = std::f64::consts::PI / 180.0;
    let (lat_a, lat_b) = (from.0 * radians, to.0 * radians);
    let half_lat = math::sin((lat_b - lat_a) / 2.0);
    let half_lon = math::sin((to.1 - from.1) * radians / 2.0);
    let a = half_lat * half_lat + math::cos(lat_a) * math::cos(lat_b) * half_lon * half_lon;
    2.0 * EARTH_RADIUS_KM * math::asin(math::sqrt(a.clamp(0.0, 1.0)))
}

impl Region {
    /// Degrees north and east, if known.
    pub fn position(&self) -> Option<(f64, f64)> {
        self.latitude.zip(self.longitude)
    }
}

impl Catalog {
    /// One round trip from a place to a region (index): measured, else modelled; `None` if the
    /// place or the region has no position.
    pub fn round_trip(&self, from: &Place, region: usize) -> Option<RoundTrip> {
        let to = self.regions.get(region)?;
        match from {
            Place::Vpc => Some(assumed(0.0, 0.0)),
            Place::Region(named) => {
                let from = self.regions.get(self.region(named.cloud, &named.region)?)?;
                self.between(from, to)
            }
            Place::Coordinates { latitude, longitude } => {
                let here = (*latitude, *longitude);
                self.modelled(here, self.continent_of(here)?, None, to)
            }
            Place::Country(code) => self.country_round_trip(code, to),
        }
    }

    fn between(&self, from: &Region, to: &Region) -> Option<RoundTrip> {
        if (from.cloud, &from.id) == (to.cloud, &to.id) {
            if let Some((site, ms)) = self.network.site(to).and_then(|s| Some((s, s.lan_ms?))) {
                let (evidence, provenance) = (Evidence::Stated, site.provenance.clone());
                return Some(RoundTrip { ms, ms_p90: ms, evidence, provenance });
            }
            return Some(assumed(WITHIN_REGION_MS, 2.0 * WITHIN_REGION_MS));
        }
        if let (Some(ms), Some(provenance)) = (self.network.measured(from, to), self.network.provenance()) {
            let provenance = provenance.clone();
            return Some(RoundTrip { ms, ms_p90: ms, evidence: Evidence::Measured, provenance });
        }
        self.modelled(from.position()?, &from.continent, self.network.site(from), to)
    }

    fn modelled(
        &self,
        from: (f64, f64),
        continent: &str,
        leaves: Option<&SiteNetwork>,
        to: &Region,
    ) -> Option<RoundTrip> {
        let model = self.network.model(continent, &to.continent)?;
        let light = 2.0 * distance_km(from, to.position()?) / FIBRE_KM_PER_MS;
        let stated: Vec<f64> =
            leaves.into_iter().chain(self.network.site(to)).filter_map(|site| site.wan_ms).collect();
        let base = if stated.is_empty() { model.base_ms } else { stated.iter().sum() };
        let ms = base + model.route_factor * light;
        Some(RoundTrip {
            ms,
            ms_p90: ms + model.p90_abs_error_ms,
            evidence: Evidence::Modelled,
            provenance: model.provenance.clone(),
        })
    }

    fn country_round_trip(&self, code: &str, to: &Region) -> Option<RoundTrip> {
        let mut stand_ins: Vec<_> = self
            .regions
            .iter()
            .filter(|r| r.cloud != Cloud::Site && r.country.eq_ignore_ascii_case(code))
            .filter_map(|r| {
                // Clouds that are in one town count once: a tenth of a degree is about 11 km.
                let (lat, lon) = r.position()?;
                Some(((lat * 10.0).round() as i64, (lon * 10.0).round() as i64, r))
            })
            .collect();
        stand_ins.sort_by_key(|(lat, lon, _)| (*lat, *lon));
        stand_ins.dedup_by_key(|(lat, lon, _)| (*lat, *lon));
        let trips: Vec<RoundTrip> = stand_ins
            .iter()
            .filter_map(|(_, _, r)| self.modelled(r.position()?, &r.continent, None, to))
            .collect();
        let mean = trips.iter().map(|t| t.ms).sum::<f64>() / trips.len() as f64;
        let farthest = trips.iter().map(|t| t.ms_p90).fold(0.0, f64::max);
        let first = trips.into_iter().next()?;
        Some(RoundTrip { ms: mean, ms_p90: farthest, ..first })
    }

    /// The continent of the region nearest to a point.
    pub(super) fn continent_of(&self, point: (f64, f64)) -> Option<&str> {
        self.regions
            .iter()
            .filter_map(|r| Some((distance_km(point, r.position()?), r.continent.as_str())))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, continent)| continent)
    }

    /// Measured rate of data from one region to another (indexes) over 64 TCP connections between
    /// 32-vCPU machines, Gbit/s.
    pub fn transfer_rate_gbps(&self, from: usize, to: usize) -> Option<f64> {
        let from = self.network.place(self.regions.get(from)?)?;
        let to = self.network.place(self.regions.get(to)?)?;
        Network::pair(&self.network.rates, from, to).map(|p| p.value)
    }
}

fn assumed(ms: f64, ms_p90: f64) -> RoundTrip {
    let provenance = Provenance { source: "rhumb".into(), as_of: "2026-11-25".into() };
    RoundTrip { ms, ms_p90, evidence: Evidence::Assumed, provenance }
}
