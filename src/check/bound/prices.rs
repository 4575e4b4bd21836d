//! What is paid for shared limits at the multipliers of a certificate, in integers.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::field::Site;
use crate::placement::{Coupling, World};
use crate::spec::{BudgetBinds, Spec};

/// Multipliers, and everything that is priced at them, are integers over this.
pub(super) const SCALE: i128 = 1 << 24;

/// Prices of what one workload takes.
pub(super) struct Prices {
    /// The sum of the multipliers of its budgets.
    budget: i128,
    /// Whether a budget limits what spot costs on demand.
    ceiling: bool,
    /// Cloud, place and code to a multiplier.
    quotas: BTreeMap<(Cloud, String, String), i128>,
}

/// The price of a machine for a month, over [`SCALE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub base: Option<i128>,
    pub spot: Option<i128>,
}

impl Prices {
    /// Those of `coupling` for a workload; nothing is paid for limits without one. Negative multipliers prove nothing and are
    /// read as none.
    pub fn of(spec: &Spec, coupling: Option<&Coupling>, address: &str) -> Prices {
        let ceiling = spec.budget.binds == BudgetBinds::Ceiling;
        let mut prices = Prices { budget: 0, ceiling, quotas: BTreeMap::new() };
        for limit in coupling.iter().flat_map(|c| &c.limits) {
            let multiplier = i128::from(limit.multiplier.max(0));
            match (limit.cloud, &limit.region, &limit.code) {
                (Some(cloud), Some(place), Some(code)) => {
                    *prices.quotas.entry((cloud, place.clone(), code.clone())).or_insert(0) += multiplier;
                }
                _ if limit.workload.as_deref().is_none_or(|own| own == address) => {
                    prices.budget += multiplier;
                }
                _ => {}
            }
        }
        prices
    }

    /// An amount an hour that a budget counts, for a month.
    pub fn hourly(&self, amount: Money) -> i128 {
        self.month(amount, amount) * i128::from(HOURS_PER_MONTH)
    }

    /// An amount a month, of which budgets count `bound`.
    pub fn month(&self, amount: Money, bound: Money) -> i128 {
        i128::from(amount.micros()) * SCALE + i128::from(bound.micros()) * self.budget
    }

    /// What a budget counts of a batch or a machine that costs `expected`, and `ceiling` if spot is bought on demand.
    pub fn counted(&self, expected: Money, ceiling: Money) -> Money {
        if self.ceiling { ceiling } else { expected }
    }

    /// What a machine takes of quotas, for a month: bought as planned, and as spot.
    pub fn tolls(&self, world: &World, site: &Site) -> (i128, i128) {
        let cloud = world.catalog.regions[site.region].cloud;
        let millionths = |amount: f64| (amount * 1e6).round() as i128;
        site.quotas.iter().fold((0, 0), |(base, spot), q| {
            let key = (cloud, q.place.clone(), q.code.clone());
            let price = self.quotas.get(&key).copied().unwrap_or(0);
            (base + price * millionths(q.base), spot + price * millionths(q.spot))
        })
    }

    /// The price of a service's machine.
    pub fn machine(&self, world: &World, site: &Site) -> Machine {
        let tolls = self.tolls(world, site);
        let hours = i128::from(HOURS_PER_MONTH);
        let spot = site.spot.map(|spot| {
            let counted = self.counted(spot, site.on_demand.unwrap_or(spot));
            self.month(spot, counted) * hours + tolls.1
        });
        Machine { base: site.base.map(|base| self.hourly(base) + tolls.0), spot }
    }
}
