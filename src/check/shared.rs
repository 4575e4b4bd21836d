//! Bounds that several workloads share: budgets and quotas.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money};

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

/// Cloud, region and code of a quota.
type Key = (Cloud, String, String);

fn taken(world: &World, placed: &WorkloadPlacement) -> BTreeMap<Key, f64> {
    let mut taken = BTreeMap::new();
    let catalog = &world.catalog;
    for pool in &placed.pools {
        let row =
            catalog.instance_types.iter().position(|t| t.cloud == pool.cloud && t.name == pool.instance_type);
        let Some(index) = row else { continue };
        for machines in &pool.machines {
            for (quota, amount) in catalog.quotas_for(index, machines.purchase) {
                let key = (pool.cloud, pool.region.clone(), quota.code.clone());
                *taken.entry(key).or_insert(0.0) += amount * f64::from(machines.count);
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
        for (key, amount) in taken(world, placed) {
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
