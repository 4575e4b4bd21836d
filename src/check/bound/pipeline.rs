//! The least that a month of a pipeline's runs can cost, over every machine type, number of machines and share of spot.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::Money;

use super::super::pipeline::Works;
use super::super::stream::{Flow, MONTH};
use super::super::subject::Work;
use super::LeastRun;
use super::closing::{self, Front, Gauge, LOOKS, Plan, Settled, Time};
use super::field::{self, Site};
use super::pool::{least_hour, lossy, spots, within_quotas};
use super::prices::{Costs, Prices, SCALE};
use super::stream;
use crate::catalog::TransferTo;
use crate::placement::World;
use crate::spec::{Pipeline, RegionRef, Spec};

/// Everything on sale that a pipeline may be put on.
pub(super) struct Field<'a> {
    world: &'a World,
    work: &'a Work<'a>,
    pipeline: &'a Pipeline,
    sites: Vec<Site>,
    /// Instance type to what it does.
    works: BTreeMap<usize, Works>,
    /// Offerings of the catalogue.
    pub all: u64,
    /// Those that run on what may be bought.
    pub running: u64,
}

impl<'a> Field<'a> {
    pub fn of(spec: &Spec, world: &'a World, work: &'a Work<'a>, pipeline: &'a Pipeline) -> Self {
        let catalog = &world.catalog;
        let sites = field::sites(spec, world, work);
        let mut works = BTreeMap::new();
        for site in &sites {
            if let Ok(found) = Works::on(pipeline, &catalog.instance_types[site.instance_type]) {
                works.entry(site.instance_type).or_insert(found);
            }
        }
        let run = |s: &&Site| works.contains_key(&s.instance_type);
        let running = sites.iter().filter(run).map(|s| s.offerings).sum();
        Field {
            world,
            work,
            pipeline,
            all: catalog.offerings.iter().filter(|o| field::exists_for(work, o)).count() as u64,
            sites,
            works,
            running,
        }
    }

    /// The least at these prices; `None` if nothing ends in time. Budgets are left out, but of a stream.
    pub fn least(&self, prices: &Prices, budgets: &[Money]) -> Option<LeastRun> {
        let found = self.sites.par_iter().enumerate().filter_map(|(i, site)| {
            let (machines, spot, priced, month) = self.cheapest(site, prices, budgets)?;
            Some((priced, machines, i, spot, month))
        });
        let (priced, machines, i, spot, month) = found.min_by_key(|f| (f.0, f.1, f.2))?;
        let site = &self.sites[i];
        let kind = &self.world.catalog.instance_types[site.instance_type];
        let region = &self.world.catalog.regions[site.region];
        let words = {
            let of = if site.held.is_some() { "held" } else { "spot" };
            format!("{machines} x {}/{}/{}, {spot} of them {of}", region.cloud, region.id, kind.name)
        };
        Some(LeastRun { priced, counted: month.bound(prices.binds), words })
    }

    /// Machines, spot machines among them, a month at the prices, and in dollars.
    fn cheapest(&self, site: &Site, prices: &Prices, budgets: &[Money]) -> Option<(u32, u32, i128, Costs)> {
        let works = self.works.get(&site.instance_type)?;
        if let Some(stream) = &self.pipeline.stream {
            let flow = Flow { stream, works, shards: self.pipeline.shards };
            return stream::cheapest(self.world, (site, self.work.purchase), &flow, (prices, budgets));
        }
        let shards = self.pipeline.shards;
        let runs = self.pipeline.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        let deadline = self.pipeline.deadline_s / 3600.0 * (1.0 + 1e-12);
        let tolls = prices.tolls(self.world, site);
        let read = self.read(site);
        let cheaper = match (site.base, site.spot) {
            (Some(base), Some(spot)) => base.min(spot),
            (base, spot) => base.or(spot)?,
        };
        let mut best: Option<(u32, u32, i128, Costs)> = None;
        // What is too late in one wave is too late.
        let most = (deadline * 3600.0 - works.start_s) / works.shard_s * (1.0 + 1e-9);
        if most < 1.0 {
            return None;
        }
        let fewest = f64::from(shards) / most.floor().min(f64::from(shards)) / f64::from(works.cores);
        let mut machines = (fewest.floor() as u32).saturating_sub(1);
        loop {
            machines += 1;
            let (low, high) = spots(site, self.work.purchase, machines);
            if let Some((low, high)) = within_quotas(site, machines, low, high).filter(|(l, h)| l <= h) {
                // With and without spot a run takes unlike times; among counts of spot the cost is linear.
                for spot in [low, low.max(1), high] {
                    let Some(hours) = works.hours(shards, machines, lossy(site, spot) > 0) else { continue };
                    if spot > high || hours > deadline {
                        continue;
                    }
                    let month = month(site, (machines, spot), hours, runs, read);
                    let toll = tolls.0 * i128::from(machines - spot) + tolls.1 * i128::from(spot);
                    let cost = prices.month(month) + toll + prices.runs(site, machines, hours, runs, true);
                    if best.as_ref().is_none_or(|(_, _, b, _)| cost < *b) {
                        best = Some((machines, spot, cost, month));
                    }
                }
            }
            // In one wave more machines do nothing more.
            if works.waves(shards, machines) == Some(1) {
                return best;
            }
            // Whoever works all the time on all of its vCPUs, the driver's too, is not undercut by more machines that start more often.
            let busy = f64::from(shards) * works.shard_s / f64::from(works.cores);
            let each = (works.start_s * f64::from(machines) + busy) / 3600.0 * runs;
            let floor = (i128::from(cheaper.scale(each).micros()) - 4) * SCALE;
            if best.as_ref().is_some_and(|(_, _, b, _)| floor > *b) {
                return best;
            }
        }
    }

    /// What a run pays for reading its input there.
    fn read(&self, site: &Site) -> Money {
        let region = &self.world.catalog.regions[site.region];
        let to = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let price = self.pipeline.dataset.as_ref().and_then(|d| {
            let from = self.world.catalog.region(d.from.cloud, &d.from.region)?;
            Some(self.world.catalog.transfer_price(from, TransferTo::Region(&to))?.usd_per_gib.scale(d.gib))
        });
        price.unwrap_or(Money::ZERO)
    }
}

pub(super) fn month(site: &Site, (machines, spot): (u32, u32), hours: f64, runs: f64, read: Money) -> Costs {
    let base = site.base.unwrap_or(Money::ZERO).times(i64::from(machines - spot));
    let cheap = site.spot.unwrap_or(Money::ZERO);
    let dear = site.on_demand.unwrap_or(cheap);
    let month = (base + cheap.times(i64::from(spot))).scale(hours) + read;
    let month = month.scale(runs);
    let ceiling = month + (dear - cheap).times(i64::from(spot)).scale(hours * runs);
    Costs { ceiling, ..Costs::same(month) }
}

/// The plans of a pipeline.
pub(super) struct Wholes<'a> {
    pub field: &'a Field<'a>,
    pub gauge: Gauge<'a>,
}

impl closing::Wholes for Wholes<'_> {
    fn list(&self, up_to: i128, plans: usize) -> Option<Vec<Plan>> {
        let field = self.field;
        let (mut all, mut looks) = (Vec::new(), 0);
        for (s, site) in field.sites.iter().enumerate() {
            let Some(works) = field.works.get(&site.instance_type) else { continue };
            let mut found = Front::default();
            let count = all.len();
            let mut add = |machines: u32, spot: u32, time: Time| {
                looks += 1;
                let read = if time.all_month { Money::ZERO } else { field.read(site) };
                let month = month(site, (machines, spot), time.hours, time.runs, read);
                let plan = self.gauge.plan(site, (s, 0), (machines, spot), time, month);
                plan.filter(|plan| plan.within(up_to)).into_iter().for_each(|plan| found.add(plan));
                count + found.len() + looks / LOOKS <= plans
            };
            match &field.pipeline.stream {
                Some(stream) => {
                    let flow = Flow { stream, works, shards: field.pipeline.shards };
                    let at = (site, field.work.purchase);
                    let time = Time { hours: MONTH, runs: 1.0, all_month: true };
                    stream::each(at, &flow, up_to, &mut |machines, spot| add(machines, spot, time));
                }
                None => self.each(site, works, up_to, &mut add),
            }
            all.extend(found.into_plans());
            if all.len() + looks / LOOKS > plans {
                return None;
            }
        }
        Some(all)
    }

    fn settle(&self, _: &Plan) -> Settled {
        Settled::Holds
    }
}

impl Wholes<'_> {
    /// Every number of machines of a type that is in time and may cost so little, with every number of spot machines, its hours and runs.
    fn each(&self, site: &Site, works: &Works, up_to: i128, add: &mut impl FnMut(u32, u32, Time) -> bool) {
        let field = self.field;
        let shards = field.pipeline.shards;
        let runs = field.pipeline.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        let deadline = field.pipeline.deadline_s / 3600.0 * (1.0 + 1e-12);
        for machines in 1..=shards {
            let (low, high) = spots(site, field.work.purchase, machines);
            let within = within_quotas(site, machines, low, high).filter(|(low, high)| low <= high);
            for spot in within.into_iter().flat_map(|(low, high)| low..=high) {
                let hours = works.hours(shards, machines, lossy(site, spot) > 0).filter(|h| *h <= deadline);
                let time = hours.map(|hours| Time { hours, runs, all_month: false });
                if time.is_some_and(|time| !add(machines, spot, time)) {
                    return;
                }
            }
            let busy = f64::from(shards) * works.shard_s / f64::from(works.cores);
            let each = (works.start_s * f64::from(machines) + busy) / 3600.0 / f64::from(machines) * runs;
            let Some(hour) = least_hour(site, machines) else { return };
            let floor = (i128::from(hour.scale(each).micros()) - 4) * SCALE;
            // In one wave more machines do nothing more.
            if works.waves(shards, machines) == Some(1) || floor > up_to {
                return;
            }
        }
    }
}
