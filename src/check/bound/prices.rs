//! What is paid for shared limits at the multipliers of a certificate, in integers.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::super::day::WEEK;
use super::super::{carbon, shared};
use super::field::Site;
use crate::placement::{Coupling, World};
use crate::spec::{BudgetBinds, Spec};

/// Multipliers, and everything that is priced at them, are integers over this.
pub(super) const SCALE: i128 = 1 << 24;

/// Prices of what one workload takes.
pub(super) struct Prices {
    /// The sum of the multipliers of its budgets.
    budget: i128,
    /// Which figure budgets limit.
    pub binds: BudgetBinds,
    /// Cloud, place and code to a multiplier.
    quotas: BTreeMap<(Cloud, String, String), i128>,
    /// What a milligram counts for: in what is minimised, and for the cap.
    carbon: i128,
    /// Whether everything was placed together, and machines that do not run counted for more.
    together: bool,
}

/// What something costs, by each figure that budgets may limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub expected: Money,
    pub peak: Money,
    pub ceiling: Money,
}

impl Costs {
    /// The same by all of them.
    pub fn same(amount: Money) -> Costs {
        Costs { expected: amount, peak: amount, ceiling: amount }
    }

    /// The figure that a budget limits.
    pub fn bound(&self, binds: BudgetBinds) -> Money {
        match binds {
            BudgetBinds::Expected => self.expected,
            BudgetBinds::PeakMonth => self.peak,
            BudgetBinds::Ceiling => self.ceiling,
        }
    }
}

impl std::ops::Add for Costs {
    type Output = Costs;
    fn add(self, other: Costs) -> Costs {
        Costs {
            expected: self.expected + other.expected,
            peak: self.peak + other.peak,
            ceiling: self.ceiling + other.ceiling,
        }
    }
}

/// The price of a machine for a month, over [`SCALE`], or of what it is compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub base: Option<i128>,
    pub spot: Option<i128>,
    /// One that is there besides for a while, of each kind.
    pub beside: (i128, i128),
}

impl Prices {
    /// Those of `coupling` for a workload; nothing is paid for limits without one. Negative multipliers prove nothing and are
    /// read as none.
    pub fn of(spec: &Spec, coupling: Option<&Coupling>, address: &str) -> Prices {
        let mut prices = Prices {
            budget: 0,
            binds: spec.budget.binds,
            quotas: BTreeMap::new(),
            carbon: 0,
            together: coupling.is_some(),
        };
        if coupling.is_some() {
            prices.carbon = carbon::price(spec, SCALE);
        }
        for limit in coupling.iter().flat_map(|c| &c.limits) {
            let multiplier = i128::from(limit.multiplier.max(0));
            match (limit.cloud, &limit.region, &limit.code) {
                (Some(cloud), Some(place), Some(code)) => {
                    *prices.quotas.entry((cloud, place.clone(), code.clone())).or_insert(0) += multiplier;
                }
                _ if limit.constraint == "carbon" => prices.carbon += multiplier,
                _ => {
                    let scope = shared::scope_of(limit);
                    let counted = scope.is_some_and(|scope| shared::binds_on(spec, &scope, address));
                    prices.budget += if counted { multiplier } else { 0 };
                }
            }
        }
        prices
    }

    /// Costs of an hour, for a month.
    pub fn hourly(&self, costs: Costs) -> i128 {
        self.month(costs) * i128::from(HOURS_PER_MONTH)
    }

    /// Costs of a month.
    pub fn month(&self, costs: Costs) -> i128 {
        i128::from(costs.expected.micros()) * SCALE
            + i128::from(costs.bound(self.binds).micros()) * self.budget
    }

    /// What an hour of a machine counts for beside its price: by what it emits, and because it does not run yet.
    pub fn beside_price(&self, site: &Site) -> i128 {
        self.counted(site, site.surcharge)
    }

    fn counted(&self, site: &Site, surcharge: i64) -> i128 {
        let more = if self.together { SCALE * i128::from(surcharge) } else { 0 };
        self.carbon * i128::from(site.mg_per_hour) + more
    }

    /// The price of a machine for a month of which replicas of a service have accelerators, others the rest.
    pub fn shared_machine(&self, site: &Site, tolls: (i128, i128)) -> Option<i128> {
        let hourly = i128::from(site.base?.micros()) * (SCALE + self.budget);
        Some((hourly + self.counted(site, site.shared_surcharge)) * i128::from(HOURS_PER_MONTH) + tolls.0)
    }

    /// What the machines of a month of runs count for by what they emit; rounded as in a plan, or down.
    pub fn runs(&self, site: &Site, machines: u32, hours: f64, runs: f64, whole: bool) -> i128 {
        self.carbon * carbon::of_runs(site.mg_per_hour, machines, hours, runs, whole)
    }

    /// What machines that are there all month count for because they do not run yet.
    pub fn all_month(&self, site: &Site, machines: u32) -> i128 {
        let more = if self.together { SCALE * i128::from(site.surcharge) } else { 0 };
        more * i128::from(machines) * i128::from(HOURS_PER_MONTH)
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

    /// The price of a service's machine that is paid for so many seconds of the week, takes what it takes of quotas at any time,
    /// and is counted by budgets of the peak as if it was paid for all week.
    pub fn machine(&self, site: &Site, tolls: (i128, i128), seconds: u32) -> Machine {
        let price = |cheap: Money, dear: Money| {
            let (paid, all) = (i128::from(cheap.micros()) * i128::from(seconds), i128::from(WEEK));
            let counted = match self.binds {
                BudgetBinds::Expected => paid,
                BudgetBinds::PeakMonth => i128::from(cheap.micros()) * all,
                BudgetBinds::Ceiling => i128::from(dear.micros()) * all,
            };
            let emitted = self.beside_price(site) * i128::from(seconds);
            ((paid * SCALE + counted * self.budget + emitted) * i128::from(HOURS_PER_MONTH)).div_euclid(all)
        };
        let ceiling = |dear: Option<Money>| {
            self.hourly(Costs { ceiling: dear.unwrap_or(Money::ZERO), ..Costs::same(Money::ZERO) })
        };
        let dear = site.spot.map(|spot| site.on_demand.unwrap_or(spot));
        Machine {
            beside: (ceiling(site.base) + tolls.0, ceiling(dear) + tolls.1),
            base: site.base.map(|base| price(base, base) + tolls.0),
            spot: site.spot.map(|spot| price(spot, site.on_demand.unwrap_or(spot)) + tolls.1),
        }
    }

    /// The price of a machine that is there for so many seconds of the week beside those of the peak.
    pub fn beside(&self, site: &Site, hourly: Money, seconds: u32) -> i128 {
        let counted = if self.binds == BudgetBinds::Expected { self.budget } else { 0 };
        let paid = i128::from(hourly.micros()) * i128::from(seconds) * i128::from(HOURS_PER_MONTH);
        let emitted = self.beside_price(site) * i128::from(seconds) * i128::from(HOURS_PER_MONTH);
        (paid * (SCALE + counted) + emitted).div_euclid(i128::from(WEEK))
    }
}
