//! The least that a month of a training's runs can cost, over every machine type, number of machines and share of spot.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::subject::{GIB, Work};
use super::super::team::{self, How, Team};
use super::LeastRun;
use super::closing::{self, Gauge, Plan, Settled, Time};
use super::field::{self, Site};
use super::pool::{lossy, spots, within_quotas};
use super::prices::{Costs, Prices};
use crate::catalog::TransferTo;
use crate::placement::World;
use crate::spec::{RegionRef, Spec, Training};

/// Some machines of a type, as fast as they may train.
struct Way {
    machines: u32,
    how: How,
    tokens_per_s: f64,
}

/// Everything on sale that a training may be put on.
pub(super) struct Field<'a> {
    world: &'a World,
    work: &'a Work<'a>,
    training: &'a Training,
    sites: Vec<Site>,
    /// Instance type to its ways.
    ways: BTreeMap<usize, Vec<Way>>,
    /// Offerings of the catalogue times the numbers of machines of their types.
    pub all: u64,
    /// Those that run on what may be bought.
    pub running: u64,
}

/// Accelerator, its number in a machine, machines, and the networks: they decide the speed.
type Key = (usize, u64, u32, u64, u64);

impl<'a> Field<'a> {
    pub fn of(spec: &Spec, world: &'a World, work: &'a Work<'a>, training: &'a Training) -> Self {
        let catalog = &world.catalog;
        let sizes: Vec<Vec<u32>> =
            catalog.instance_types.iter().map(|kind| team::sizes(kind, training)).collect();
        let of = |kind: usize| sizes.get(kind).map_or(1, |sizes| sizes.len() as u64);
        let all = catalog
            .offerings
            .iter()
            .filter(|o| field::exists_for(work, o))
            .map(|o| of(o.instance_type))
            .sum();
        let sites = field::sites(spec, world, work);
        let mut types: Vec<usize> = sites.iter().map(|s| s.instance_type).collect();
        types.dedup();
        let mut wanted: BTreeMap<Key, (usize, u32)> = BTreeMap::new();
        let bits = |x: Option<f64>| x.map_or(0, f64::to_bits);
        let key = |of: usize, machines: u32| {
            let kind = &catalog.instance_types[of];
            let network = kind.rdma_gbps.filter(|g| *g > 0.0);
            let count = kind.accelerator_count.to_bits();
            (kind.accelerator.unwrap_or_default(), count, machines, bits(network), bits(kind.network_gbps))
        };
        for of in &types {
            for machines in &sizes[*of] {
                wanted.entry(key(*of, *machines)).or_insert((*of, *machines));
            }
        }
        let found: BTreeMap<Key, Option<(How, f64)>> = wanted
            .into_par_iter()
            .map(|(key, (of, machines))| {
                let kind = &catalog.instance_types[of];
                let accelerator = kind.accelerator.and_then(|i| catalog.accelerators.get(i));
                let team =
                    accelerator.map(|accelerator| Team { work, training, kind, accelerator, machines });
                let fastest = team.and_then(|team| {
                    let (how, predicted) = team.fastest()?;
                    Some((how, team.at_confidence(&predicted))).filter(|(_, rate)| *rate > 0.0)
                });
                (key, fastest)
            })
            .collect();
        let mut ways: BTreeMap<usize, Vec<Way>> = BTreeMap::new();
        for of in types {
            for machines in sizes[of].iter().copied() {
                let Some((how, tokens_per_s)) = found.get(&key(of, machines)).copied().flatten() else {
                    continue;
                };
                ways.entry(of).or_default().push(Way { machines, how, tokens_per_s });
            }
        }
        let count = |s: &Site| s.offerings * ways.get(&s.instance_type).map_or(0, |w| w.len() as u64);
        let running = sites.iter().map(count).sum();
        Field { world, work, training, sites, ways, all, running }
    }

    /// The least at these prices; `None` if nothing ends in time. Budgets are left out.
    pub fn least(&self, prices: &Prices) -> Option<LeastRun> {
        let all: Vec<(&Site, &Way)> = self
            .sites
            .iter()
            .flat_map(|site| {
                self.ways.get(&site.instance_type).into_iter().flatten().map(move |way| (site, way))
            })
            .collect();
        let found = all.par_iter().enumerate().filter_map(|(i, (site, way))| {
            let (spot, priced, month) = self.cheapest(site, way, prices)?;
            Some((priced, way.machines, i, spot, month))
        });
        let (priced, _, i, spot, month) = found.min_by_key(|f| (f.0, f.1, f.2))?;
        let (site, way) = all[i];
        Some(LeastRun { priced, counted: month.bound(prices.binds), words: self.words(site, way, spot) })
    }

    /// The cheapest number of spot machines, with a month of it at the prices and in dollars.
    fn cheapest(&self, site: &Site, way: &Way, prices: &Prices) -> Option<(u32, i128, Costs)> {
        let catalog = &self.world.catalog;
        let kind = &catalog.instance_types[site.instance_type];
        let accelerator = catalog.accelerators.get(kind.accelerator?)?;
        let machines = way.machines;
        let team = Team { work: self.work, training: self.training, kind, accelerator, machines };
        let (low, high) = spots(site, self.work.purchase, machines);
        let (low, high) = within_quotas(site, machines, low, high)?;
        let tolls = prices.tolls(self.world, site);
        let mut best: Option<(u32, i128, Costs)> = None;
        // Each spot machine more interrupts the run more often, so that the cost is no straight line.
        for spot in low..=high {
            // Held are all of its machines or none.
            if site.held.is_some() && spot != 0 && spot != machines {
                continue;
            }
            let Some(hours) = self.in_time(&team, way, lossy(site, spot), site.interruption) else {
                continue;
            };
            let month = self.month(site, machines, spot, hours);
            let toll = tolls.0 * i128::from(machines - spot) + tolls.1 * i128::from(spot);
            let runs = self.training.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
            let emitted = prices.runs(site, machines, hours, runs, true);
            let priced = prices.month(month) + toll + emitted;
            if best.is_none_or(|(_, b, _)| priced < b) {
                best = Some((spot, priced, month));
            }
        }
        best
    }

    /// Hours of a run that is in time, as they are expected.
    fn in_time(&self, team: &Team<'_>, way: &Way, spot: u32, interruption: f64) -> Option<f64> {
        let deadline = self.training.deadline_s * (1.0 + 1e-12);
        let pace = team.pace(way.tokens_per_s, spot, interruption);
        let duration = pace.duration(self.work.confidence).filter(|d| d.late_s <= deadline)?;
        Some(duration.expected_s / 3600.0)
    }

    fn month(&self, site: &Site, machines: u32, spot: u32, hours: f64) -> Costs {
        let runs = self.training.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        let base = site.base.unwrap_or(Money::ZERO).times(i64::from(machines - spot));
        let cheap = site.spot.unwrap_or(Money::ZERO);
        let dear = site.on_demand.unwrap_or(cheap);
        let run = (base + cheap.times(i64::from(spot))).scale(hours) + self.dataset(site);
        let gib = 2.0 * self.work.arch.params / GIB * f64::from(machines) / HOURS_PER_MONTH as f64;
        let month = run.scale(runs) + site.weights.scale(gib).times(HOURS_PER_MONTH);
        let ceiling = month + (dear - cheap).times(i64::from(spot)).scale(hours * runs);
        Costs { ceiling, ..Costs::same(month) }
    }

    /// What the dataset costs to bring once; nothing where the price is not known.
    fn dataset(&self, site: &Site) -> Money {
        let catalog = &self.world.catalog;
        let Some(dataset) = &self.training.dataset else { return Money::ZERO };
        let here = &catalog.regions[site.region];
        let to = RegionRef { cloud: here.cloud, region: here.id.clone() };
        let from = catalog.region(dataset.from.cloud, &dataset.from.region);
        let price = from.and_then(|from| catalog.transfer_price(from, TransferTo::Region(&to)));
        price.map_or(Money::ZERO, |p| p.usd_per_gib.scale(dataset.gib))
    }

    fn words(&self, site: &Site, way: &Way, spot: u32) -> String {
        let catalog = &self.world.catalog;
        let (kind, region) = (&catalog.instance_types[site.instance_type], &catalog.regions[site.region]);
        let of = if site.held.is_some() { "held" } else { "spot" };
        let spot = if spot > 0 { format!(" ({spot} of them {of})") } else { String::new() };
        let How { accelerators, sharding, checkpointing, micro_batch } = way.how;
        format!(
            "{} x {}/{}/{}{spot}, {} on {accelerators} accelerators, activation checkpointing {}, micro-batches of {micro_batch}",
            way.machines,
            region.cloud,
            region.id,
            kind.name,
            sharding.strategy(),
            checkpointing.as_str()
        )
    }
}

/// The plans of a training.
pub(super) struct Wholes<'a> {
    pub field: &'a Field<'a>,
    pub gauge: Gauge<'a>,
}

impl closing::Wholes for Wholes<'_> {
    fn list(&self, up_to: i128, plans: usize) -> Option<Vec<Plan>> {
        let field = self.field;
        let catalog = &field.world.catalog;
        let runs = field.training.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        let mut found = Vec::new();
        for (s, site) in field.sites.iter().enumerate() {
            let kind = &catalog.instance_types[site.instance_type];
            let accelerator = kind.accelerator.and_then(|a| catalog.accelerators.get(a));
            let ways = field.ways.get(&site.instance_type).into_iter().flatten();
            for (w, way) in ways.enumerate() {
                let (Some(accelerator), machines) = (accelerator, way.machines) else { continue };
                let team = Team { work: field.work, training: field.training, kind, accelerator, machines };
                let (low, high) = spots(site, field.work.purchase, machines);
                let Some((low, high)) = within_quotas(site, machines, low, high) else { continue };
                for spot in low..=high {
                    // Held are all of its machines or none.
                    if site.held.is_some() && spot != 0 && spot != machines {
                        continue;
                    }
                    let hours = field.in_time(&team, way, lossy(site, spot), site.interruption);
                    let Some(hours) = hours else { continue };
                    let month = field.month(site, machines, spot, hours);
                    let (counts, time) = ((machines, spot), Time { hours, runs, all_month: false });
                    let plan = self.gauge.plan(site, (s, w), counts, time, month);
                    found.extend(plan.filter(|plan| plan.within(up_to)));
                    if found.len() > plans {
                        return None;
                    }
                }
            }
        }
        Some(found)
    }

    fn settle(&self, _: &Plan) -> Settled {
        Settled::Holds
    }
}
