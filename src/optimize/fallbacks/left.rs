//! What other workloads leave of quotas, budgets and the cap of carbon.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use super::super::job::Job;
use super::super::{deployment, emission};
use crate::placement::{Placement, WorkloadPlacement};
use crate::spec::{BudgetLimit, BudgetScope};

/// Cloud, place (region or `global`) and code of a declared quota to what is taken of it.
pub type Taken = BTreeMap<(Cloud, String, String), f64>;

/// What the other workloads leave.
pub struct Left {
    pub taken: Taken,
    /// Dollars a month that the workload may cost, by the figure that budgets bind.
    pub month: Option<Money>,
    /// Milligrams a month that it may emit.
    /// Of what is expected to be spent, dollars a month.
    pub expected: Option<Money>,
    pub carbon: Option<i64>,
}

impl Left {
    pub fn of(all: &Placement, job: &Job<'_>) -> Self {
        let mut taken = Taken::new();
        let others = || all.workloads.values().filter(|w| w.address != job.address);
        let quotas = others().map(|w| &w.quotas).chain(all.fleets.iter().map(|f| &f.quotas)).flatten();
        for q in quotas.filter(|q| q.declared.is_some()) {
            *taken.entry((q.cloud, q.region.clone(), q.code.clone())).or_insert(0.0) += q.amount;
        }
        let binding = |(scope, _): &(&BudgetScope, &BudgetLimit)| scope.binds(job.spec, &job.address);
        let left = job.spec.budgets_of(&job.address).filter(binding).map(|(scope, budget)| {
            let counted = others().filter(|w| scope.covers(job.spec, &w.address));
            budget.limit - counted.map(|w| deployment::limited(job.spec, w)).sum::<Money>()
        });
        // Of lower hours the ceiling has nothing: what is expected of all must be within the limit too.
        let expected = job.spec.budgets_of(&job.address).map(|(scope, budget)| {
            let counted = others().filter(|w| scope.covers(job.spec, &w.address));
            budget.limit - counted.map(|w| w.cost.expected_per_month).sum::<Money>()
        });
        let expected = expected.min();
        let carbon = job.spec.budget.carbon.as_ref().map(|cap| {
            let shared = all.fleets.iter().filter_map(|f| all.emissions.machines.get(f.addr.as_str()));
            let shared: i64 = shared.filter_map(|e| e.mg_per_month).sum();
            cap.mg - shared - others().map(|w| emission::sum(job.world, w)).sum::<i64>()
        });
        Left { taken, month: left.min(), expected, carbon }
    }

    /// Whether a placement keeps budgets and cap.
    pub fn allows(&self, job: &Job<'_>, placed: &WorkloadPlacement) -> bool {
        self.month.is_none_or(|most| deployment::limited(job.spec, placed) <= most)
            && self.expected.is_none_or(|most| placed.cost.expected_per_month <= most)
            && self.emits(job, placed)
    }

    /// Whether it keeps what the cap leaves of emissions.
    pub fn emits(&self, job: &Job<'_>, placed: &WorkloadPlacement) -> bool {
        self.carbon.is_none_or(|most| emission::sum(job.world, placed) <= most)
    }
}
