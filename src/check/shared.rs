//! Bounds that several workloads share: budgets and quotas.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

use crate::catalog::{Quota, QuotaUnit};
use crate::placement::{Placement, WorkloadPlacement, World};
use crate::spec::{BudgetBinds, Spec};

use super::Ledger;
use super::ledger::dollars;

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    budget(log, spec, placement);
    quotas(log, spec, world, placement);
}

fn bound_cost(spec: &Spec, placed: &WorkloadPlacement) -> Money {
    match spec.budget.binds {
        BudgetBinds::Expected | BudgetBinds::PeakMonth => placed.cost.expected_per_month,
        BudgetBinds::Ceiling => placed.cost.ceiling_per_month,
    }
}

fn reported(placement: &Placement, constraint: &str) -> bool {
    placement.joint_violations.iter().any(|v| v.constraint == constraint)
}

fn budget(log: &mut Ledger, spec: &Spec, placement: &Placement) {
    for (address, limit) in &spec.budget.per {
        let Some(placed) = placement.workloads.get(address) else { continue };
        let cost = bound_cost(spec, placed);
        log.hold(cost <= limit.limit, "budget", address, || {
            ("over its budget".into(), format!("at most {}", dollars(limit.limit)), dollars(cost))
        });
    }
    let total: Money = placement.workloads.values().map(|w| bound_cost(spec, w)).sum();
    let broken = spec.budget.monthly.as_ref().is_some_and(|b| total > b.limit);
    let said = reported(placement, "budget");
    log.hold(broken == said, "joint", "budget", || {
        let limit = spec.budget.monthly.as_ref().map_or("no limit".into(), |b| dollars(b.limit));
        let found =
            format!("{}, {}", dollars(total), if said { "reported as broken" } else { "not reported" });
        ("the budget of all workloads together".into(), limit, found)
    });
}

/// Cloud, region (`global` for a quota of the whole account) and code of a quota.
type Key = (Cloud, String, String);

/// How much of each quota a workload takes, with the quota's row.
fn taken<'a>(world: &'a World, placed: &WorkloadPlacement) -> BTreeMap<Key, (f64, &'a Quota)> {
    let mut taken = BTreeMap::new();
    let catalog = &world.catalog;
    for pool in &placed.pools {
        let row =
            catalog.instance_types.iter().position(|t| t.cloud == pool.cloud && t.name == pool.instance_type);
        let Some(index) = row else { continue };
        for machines in &pool.machines {
            for (quota, amount) in catalog.quotas_for(index, machines.purchase) {
                let place = if quota.scope == "global" { "global" } else { &pool.region };
                let key = (pool.cloud, place.to_owned(), quota.code.clone());
                taken.entry(key).or_insert((0.0, quota)).0 += amount * f64::from(machines.count);
            }
        }
    }
    taken
}

fn quotas(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let declared = |(cloud, region, code): &Key| -> Option<f64> {
        spec.providers.get(cloud)?.quotas.get(region)?.get(code).copied()
    };
    let mut together: BTreeMap<Key, f64> = BTreeMap::new();
    for (address, placed) in &placement.workloads {
        let taken = taken(world, placed);
        let told: Vec<Key> =
            placed.quotas.iter().map(|q| (q.cloud, q.region.clone(), q.code.clone())).collect();
        log.same_debug(
            "quota",
            address,
            "the quotas that are needed",
            &taken.keys().cloned().collect(),
            &told,
        );
        for (key, (amount, row)) in taken {
            if let Some(need) =
                placed.quotas.iter().find(|q| (q.cloud, &q.region, &q.code) == (key.0, &key.1, &key.2))
            {
                let unit = match row.unit {
                    QuotaUnit::Vcpus => "vcpus",
                    QuotaUnit::Gpus => "gpus",
                    QuotaUnit::Chips => "chips",
                };
                log.same("quota", address, &format!("the unit of {}", key.2), unit, need.unit);
                log.near("quota", address, &format!("the amount of {}", key.2), amount, need.amount, 1e-9);
                // Without a file of the user's own, only the spec declares.
                if world.catalog.user_files.is_empty() {
                    let what = format!("what is declared for {}", key.2);
                    log.same_debug("quota", address, &what, &declared(&key), &need.declared);
                    let what = format!("what a new account has of {}", key.2);
                    log.same_debug(
                        "quota",
                        address,
                        &what,
                        &row.default_new_account,
                        &need.default_new_account,
                    );
                }
            }
            if let Some(limit) = declared(&key) {
                log.hold(amount <= limit + 1e-9, "quota", address, || {
                    let what = format!("over quota {} of {}/{}", key.2, key.0, key.1);
                    (what, format!("at most {limit}"), amount.to_string())
                });
            }
            *together.entry(key).or_insert(0.0) += amount;
        }
    }
    let over: Vec<&Key> = together
        .iter()
        .filter(|(k, amount)| declared(k).is_some_and(|l| **amount > l + 1e-9))
        .map(|(k, _)| k)
        .collect();
    let said = reported(placement, "quota");
    log.hold(over.is_empty() != said, "joint", "quotas", || {
        let expected =
            if over.is_empty() { "no violation".to_owned() } else { format!("a violation of {over:?}") };
        (
            "the quotas of all workloads together".into(),
            expected,
            if said { "reported" } else { "none" }.into(),
        )
    });
}
