//! What machines of a site cost, and what limits them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::Money;

use super::day;
use super::job::{self, Job};
use super::table::Site;
use crate::catalog::{Committed, TransferTo};
use crate::spec::{Purchase, RegionRef};

/// Share of spot machines planned to be lost at once where the source says nothing (assumed).
pub const UNKNOWN_INTERRUPTION: f64 = 0.20;

/// What limits the machines of a site by declared quotas: `on * base + spot * spots <= limit`.
#[derive(Clone, Debug)]
pub(super) struct QuotaLimit {
    /// Region id, or `global`.
    pub place: String,
    pub code: String,
    pub base: f64,
    pub spot: f64,
    pub limit: f64,
}

/// Prices and limits of a site. Where machines are held, they stand where spot does elsewhere: they are never interrupted, and
/// no rule but their stock limits them.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub base: Option<Money>,
    pub spot: Option<Money>,
    /// How many are held, where the second kind of machines is held.
    pub held: Option<u32>,
    /// A machine that the ceiling counts for one of spot: on demand, or spot itself where that is dearer, so that no ceiling is below
    /// what is expected to be paid.
    pub on_demand: Option<Money>,
    /// The same as `base` and `spot` without what machines take of limits on the peak.
    pub run_base: Option<Money>,
    pub run_spot: Option<Money>,
    pub interruption: f64,
    pub zones: Option<u32>,
    pub quotas: Arc<[QuotaLimit]>,
    /// Dollars a GiB of weights brought here, if they are brought and the price is known.
    pub weights: Option<Money>,
    /// Dollars to bring the dataset of a training here, for a run; `None` if there is none or the price is not known.
    pub dataset: Option<Money>,
    pub share: f64,
    pub least_base: u32,
    /// Machines of each kind that there may be besides while they are made anew; no more than there are of it.
    pub surge: u32,
    /// What one of these takes of limits, dollars an hour, of each kind.
    pub beside: (Money, Money),
    /// What a dollar of expected cost takes of budgets, over [`PRICE_ONE`].
    pub budget: i128,
}

/// The scale of prices of shared limits.
pub(super) const PRICE_ONE: i128 = 1 << 24;

/// An amount times a price of shared limits, rounded down.
pub(super) fn times(of: Money, price: i128) -> Money {
    let micros = i128::from(of.micros()) * price / PRICE_ONE;
    Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64)
}

impl Terms {
    /// One accelerator of shared machines, which the fleet pays for.
    pub fn of_slot(&self) -> Self {
        Terms {
            base: Some(Money::ZERO),
            run_base: Some(Money::ZERO),
            on_demand: None,
            spot: None,
            held: None,
            run_spot: None,
            quotas: Arc::default(),
            least_base: 0,
            surge: 0,
            ..self.clone()
        }
    }

    /// Reads those of a site's instance type, by its index, from the catalogue.
    pub fn of(job: &Job<'_>, index: usize, site: &Site) -> Self {
        let catalog = &job.world.catalog;
        let region = &catalog.regions[site.region];
        let price = |i: Option<usize>| i.and_then(|i| catalog.offerings.get(i));
        let (base, spot) = (price(site.base), price(site.spot));
        let mut quotas: BTreeMap<(String, String), QuotaLimit> = BTreeMap::new();
        if job.spec.providers.get(&region.cloud).is_some_and(|p| !p.quotas.is_empty()) {
            for (is_spot, offering) in [(false, base), (true, spot)] {
                let Some(offering) = offering else { continue };
                for (quota, each) in catalog.quotas_of(offering) {
                    let place = job::quota_place(quota, &region.id);
                    let Some(limit) = job.declared(region.cloud, place, &quota.code) else { continue };
                    let entry = quotas.entry((place.to_owned(), quota.code.clone())).or_insert(QuotaLimit {
                        place: place.to_owned(),
                        code: quota.code.clone(),
                        base: 0.0,
                        spot: 0.0,
                        limit,
                    });
                    if is_spot { entry.spot += each } else { entry.base += each }
                }
            }
        }
        let here = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let brought = |from: &RegionRef| {
            let from = catalog.region(from.cloud, &from.region)?;
            catalog.transfer_price(from, TransferTo::Region(&here)).map(|p| p.usd_per_gib)
        };
        let stock = |held: &Committed| {
            let limit = quotas.values().find(|q| *q.code == *held.code);
            // A whole number of machines: what a sum of floats may be short of is not one.
            let most = |q: &QuotaLimit| ((q.limit + 1e-9) / held.each).floor();
            limit.map_or(0, |q| most(q).clamp(0.0, f64::from(u32::MAX)) as u32)
        };
        let held = spot.and_then(|o| o.held.as_deref()).map(stock);
        let dataset = job.dataset().and_then(|d| Some(brought(&d.from)?.scale(d.gib)));
        let weights = job.model.artifacts_at.as_ref().and_then(brought);
        Terms {
            base: base.map(|o| o.price),
            spot: spot.map(|o| o.price),
            run_base: base.map(|o| o.price),
            run_spot: spot.map(|o| o.price),
            held,
            on_demand: catalog
                .offering(index, site.region, Purchase::OnDemand)
                .filter(|_| !site.held)
                .map(|o| spot.map_or(o.price, |spot| o.price.max(spot.price))),
            interruption: match site.held {
                true => 0.0,
                false => spot.and_then(|o| o.interruption).unwrap_or(UNKNOWN_INTERRUPTION),
            },
            zones: region.zones,
            quotas: quotas.into_values().collect(),
            weights,
            dataset,
            share: if site.held { 1.0 } else { job.purchase.spot_max_share },
            least_base: if site.held { 0 } else { job.purchase.on_demand_base },
            surge: job.surge(region.cloud),
            beside: (Money::ZERO, Money::ZERO),
            budget: 0,
        }
    }

    /// Most spot machines among `machines` by the spec's rules.
    pub fn most_spot(&self, machines: u32) -> u32 {
        if self.spot.is_none() {
            return 0;
        }
        let by_share = (self.share * f64::from(machines) + 1e-9).floor().max(0.0) as u32;
        let most = by_share.min(machines).min(machines.saturating_sub(self.least_base));
        self.held.map_or(most, |stock| most.min(stock))
    }

    /// Machines alone cost at least this, whatever the mix; `None` if they cannot be bought.
    pub fn least(&self, machines: u32) -> Option<Money> {
        let spot = self.most_spot(machines);
        match (self.base, self.spot) {
            (Some(base), Some(cheap)) if cheap < base => Some(mix(base, cheap, machines, spot)),
            (Some(base), _) => Some(base.times(i64::from(machines))),
            (None, Some(cheap)) if spot == machines => Some(cheap.times(i64::from(machines))),
            (None, _) => None,
        }
    }

    /// The same over the week of a pool that follows the load: `thousandths` of machines on the mean, `machines` at the peak.
    pub fn least_over_day(&self, thousandths: u64, machines: u32) -> Option<Money> {
        if let Some(stock) = self.held {
            return self.least_over_day_held(thousandths, machines, stock);
        }
        let run = day::least_of_one(self, self.run_base, self.run_spot)?;
        let toll = |all: Option<Money>, run: Option<Money>| all.zip(run).map(|(all, run)| all - run);
        let tolls = [toll(self.base, self.run_base), toll(self.spot, self.run_spot)];
        let toll = tolls.into_iter().flatten().min().unwrap_or(Money::ZERO);
        let micros = i128::from(run.micros()) * i128::from(thousandths) / 1000;
        let run = Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64);
        Some(run + toll.times(i64::from(machines)))
    }

    /// The same with a stock of held machines: in no hour there are more of them.
    fn least_over_day_held(&self, thousandths: u64, machines: u32, stock: u32) -> Option<Money> {
        let cheap = self.run_spot?;
        let few = thousandths.min(u64::from(stock) * 1000);
        let more = thousandths - few;
        let (of_few, of_more) = match self.run_base {
            Some(base) => (cheap.min(base), base),
            None if machines <= stock => (cheap, Money::ZERO),
            None => return None,
        };
        let part = |price: Money, n: u64| i128::from(price.micros()) * i128::from(n) / 1000;
        let run = part(of_few, few) + part(of_more, more);
        let run = Money::from_micros(run.clamp(0, i128::from(i64::MAX / 1024)) as i64);
        let toll = |all: Option<Money>, run: Option<Money>| all.zip(run).map(|(all, run)| all - run);
        let tolls = [toll(self.base, self.run_base), toll(self.spot, self.run_spot)];
        let toll = tolls.into_iter().flatten().min().unwrap_or(Money::ZERO);
        Some(run + toll.times(i64::from(machines)))
    }

    /// Machines of each kind that there are besides while so many are made anew.
    pub fn beside(&self, on: u32, spot: u32) -> (u32, u32) {
        (self.surge.min(on), self.surge.min(spot))
    }

    /// Whether the declared quotas allow it, with what there is besides for a while.
    pub fn within_quotas(&self, machines: u32, spot: u32) -> bool {
        let on = machines - spot;
        let (more, more_spot) = self.beside(on, spot);
        self.quotas
            .iter()
            .all(|q| q.base * f64::from(on + more) + q.spot * f64::from(spot + more_spot) <= q.limit + 1e-9)
    }

    /// Whether the declared quotas allow `machines` in any mix that the rules of purchase allow. What they do not allow of some
    /// number they do not allow of more.
    pub fn any_within_quotas(&self, machines: u32) -> bool {
        let low = if self.base.is_none() { machines } else { 0 };
        let high = self.most_spot(machines);
        if self.quotas.is_empty() {
            return true;
        }
        if self.surge > 0 {
            // The first few machines of a kind take more than those after them: what is allowed may be in two parts.
            return (low..=high).any(|spot| self.within_quotas(machines, spot));
        }
        // Each quota bounds the spot machines on one side: what is allowed is an interval, which has one of its ends.
        let (mut from, mut to) = (f64::from(low), f64::from(high));
        for q in self.quotas.iter() {
            let (each, left) = (q.spot - q.base, q.limit - q.base * f64::from(machines));
            if each > 0.0 {
                to = to.min((left / each).floor());
            } else if each < 0.0 {
                from = from.max((left / each).ceil());
            }
        }
        // A division rounds: its neighbours are asked as well.
        [from, to].into_iter().any(|end| {
            let near = end.clamp(0.0, f64::from(u32::MAX)) as u32;
            (near.saturating_sub(1)..=near.saturating_add(1))
                .any(|spot| (low..=high).contains(&spot) && self.within_quotas(machines, spot))
        })
    }

    /// Hourly price of machines and the same with spot bought on demand.
    pub fn price(&self, machines: u32, spot: u32) -> Option<(Money, Money)> {
        let base = if machines > spot { self.base?.times(i64::from(machines - spot)) } else { Money::ZERO };
        if spot == 0 {
            return Some((base, base));
        }
        let cheap = self.spot?;
        let dear = self.on_demand.unwrap_or(cheap);
        Some((base + cheap.times(i64::from(spot)), base + dear.times(i64::from(spot))))
    }

    /// Whether fewer spot machines among as many may mean a lower ceiling at a higher cost: what is bought on demand in their place is
    /// dearer, or of one kind of machines fewer are there besides than of two.
    pub fn trades_off(&self) -> bool {
        let dearer = |base, spot| spot < base && self.on_demand.is_some_and(|dear| dear > base);
        matches!((self.base, self.spot), (Some(base), Some(spot)) if self.surge > 0 || dearer(base, spot))
    }

    /// Whether what is there besides is paid for by what it takes of limits, so that it is not the same which kind it is of.
    pub fn pays_besides(&self) -> bool {
        self.spot.is_some() && self.surge > 0 && self.beside != (Money::ZERO, Money::ZERO)
    }

    /// What machines that are there besides so many cost at the least, whatever the mix.
    pub fn least_beside(&self, machines: u32) -> Money {
        let (each, each_spot) = self.beside;
        let cheaper = match (self.base, self.spot) {
            (Some(_), Some(_)) => each.min(each_spot),
            (Some(_), None) => each,
            (None, _) => each_spot,
        };
        cheaper.times(i64::from(self.surge.min(machines)))
    }

    /// Dollars with what a budget on expected cost makes of them.
    pub fn priced(&self, of: Money) -> Money {
        times(of, PRICE_ONE + self.budget)
    }

    /// Weights copied to machines, as dollars an hour.
    pub fn copying(&self, gib_per_machine: f64, machines: u32) -> Money {
        self.weights.map_or(Money::ZERO, |p| {
            p.scale(gib_per_machine * f64::from(machines) / rhumb_api::HOURS_PER_MONTH as f64)
        })
    }
}

fn mix(base: Money, spot: Money, machines: u32, spots: u32) -> Money {
    base.times(i64::from(machines - spots)) + spot.times(i64::from(spots))
}
