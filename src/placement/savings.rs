//! What savings plans cover of what is placed.

use std::collections::BTreeMap;

use rhumb_api::{Money, Purchase};

use super::{Placement, Pool, World};
use crate::catalog::InForce;
use crate::spec::{SavingsPlan, Spec, WEEK_S};

/// Machines of one type in one region that a savings plan covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// How many, at the peak of each workload.
    pub machines: u32,
    /// Dollars of the plan that an hour of one takes.
    pub rate: Money,
}

/// What became of a savings plan.
#[derive(Clone, Debug, PartialEq)]
pub struct SavingsUse {
    /// Its name in the spec.
    pub name: String,
    /// The cloud.
    pub cloud: rhumb_api::Cloud,
    /// Dollars that are promised of each hour.
    pub spend: Money,
    /// What it covers, by region and type.
    pub covered: Vec<Covered>,
    /// Dollars of it that are used in the mean hour, rounded down.
    pub mean: Money,
    /// The day, `YYYY-MM-DD`, up to which it is there.
    pub until: String,
    /// Hours of the planned month in which it is there, 0 to 730.
    pub hours: u32,
    /// What the cloud calls it; `None` = not stated.
    pub id: Option<String>,
    /// Dollars that what is covered would cost more on demand all month than planned.
    pub rises_per_month: Money,
}

impl SavingsUse {
    /// Dollars of an hour that are used, at the peak of each workload.
    pub fn used(&self) -> Money {
        self.covered.iter().map(|of| of.rate.times(i64::from(of.machines))).sum()
    }

    /// Dollars of an hour that nothing uses, whatever the hour.
    pub fn unused(&self) -> Money {
        self.spend - self.used()
    }

    /// Machines that it covers, at the peak of each workload.
    pub fn machines(&self) -> u32 {
        self.covered.iter().map(|of| of.machines).sum()
    }

    /// Dollars a month of it, used or not: of the hours in which it is there.
    pub fn sunk_per_month(&self) -> Money {
        self.spend.times(i64::from(self.hours))
    }
}

impl Placement {
    /// What became of each savings plan of the spec, by name.
    pub fn savings(&self, spec: &Spec, world: &World) -> Vec<SavingsUse> {
        let of = |plan: &SavingsPlan| {
            let force = InForce::of(&plan.until, &world.today, true);
            let mut covered: BTreeMap<(&str, &str), Covered> = BTreeMap::new();
            let (mut mean, mut rises) = (0_i128, 0_i128);
            for (placed, pool) in self.workloads.values().flat_map(|w| w.pools.iter().map(move |p| (w, p))) {
                let own = |m: &&super::PoolMachines| m.commitment.as_ref() == Some(&plan.name);
                if !pool.machines.iter().any(|m| own(&m)) {
                    continue;
                }
                let Some((listed, dear)) = on_demand(world, pool) else { continue };
                let rate = plan.rate(&pool.instance_type, &pool.region, listed).unwrap_or(Money::ZERO);
                let entry = covered.entry((&pool.region, &pool.instance_type)).or_insert_with(|| Covered {
                    region: pool.region.clone(),
                    instance_type: pool.instance_type.clone(),
                    machines: 0,
                    rate,
                });
                entry.machines += pool.most_held();
                mean += i128::from(rate.micros()) * i128::from(placed.held_seconds(pool));
                rises += i128::from(dear.micros()) * i128::from(placed.held_seconds(pool));
            }
            let week = i128::from(WEEK_S);
            let money =
                |micros: i128| Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64);
            SavingsUse {
                name: plan.name.clone(),
                cloud: plan.cloud,
                spend: plan.spend,
                covered: covered.into_values().collect(),
                mean: money(mean / week),
                until: plan.until.clone(),
                hours: force.hours() as u32,
                id: plan.id.clone(),
                rises_per_month: money(rises * i128::from(force.hours()) / week),
            }
        };
        spec.savings.values().map(of).collect()
    }
}

/// What a machine of a pool costs on demand, as listed and after discounts.
fn on_demand(world: &World, pool: &Pool) -> Option<(Money, Money)> {
    let catalog = &world.catalog;
    let kind = catalog.instance_type(pool.cloud, &pool.instance_type)?;
    let row = catalog.offering(kind, catalog.region(pool.cloud, &pool.region)?, Purchase::OnDemand)?;
    Some((row.list_price, row.price))
}
