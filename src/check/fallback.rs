//! Fallbacks: a plan with one of its pools replaced keeps every promise, and costs what it is said to cost.
//!
//! Each is put into its workload in place of the pool, and what comes out is checked as a placement of its own would be; the
//! limits that workloads share are looked at with all others as planned.

mod fleets;

use std::collections::BTreeMap;

use rhumb_api::Money;

use crate::placement::{
    Fallback, Fallbacks, MOST_FALLBACKS, Placement, Pool, WANTED_FALLBACKS, WorkloadPlacement, World,
};
use crate::spec::{BudgetScope, Spec};

use super::fleet::{self, Parts};
use super::ledger::dollars;
use super::subject::{self, Kind, Work};
use super::{Finding, Ledger, batch, bill, carbon, pipeline, profile, rules, serving, shared, training};

/// Promises that a fallback does not repeat, since they follow from its figures: nothing was told, so nothing can be missing.
const NOT_TOLD: [&str; 2] = ["objective-missing", "failure-missing"];

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let parts = fleet::parts(placement);
    for (address, placed) in &placement.workloads {
        let federated = placed.run.as_ref().is_some_and(|run| run.federation.is_some());
        let service = address.strip_prefix("services.").and_then(|name| spec.services.get(name));
        if federated || placed.mix.is_some() || service.is_some_and(|s| s.degrade.is_some()) {
            none(log, placed);
            continue;
        }
        let of: Vec<&str> = placed.fallbacks.iter().map(|f| f.pool.as_str()).collect();
        let own = || placed.pools.iter().enumerate().filter(|(_, p)| p.shared.is_none());
        let pools: Vec<&str> = own().map(|(_, p)| p.addr.as_str()).collect();
        log.same_debug("fallback", address, "the pools that fallbacks are told for", &pools, &of);
        for (fallbacks, (index, _)) in placed.fallbacks.iter().zip(own()) {
            list(log, placed, &placed.pools[index], fallbacks);
            for (k, fallback) in fallbacks.list.iter().enumerate() {
                let at = format!("{}, fallback {}", fallbacks.pool, k + 1);
                one(log, (spec, world, placement, &parts), placed, index, fallback, &at);
            }
        }
    }
    fleets::check(log, spec, world, placement);
}

/// None are looked for where a workload has a profile, where a smaller model may stand in, and for federations, which the plan says.
fn none(log: &mut Ledger, placed: &WorkloadPlacement) {
    let told = placed.fallbacks.iter().map(|f| f.list.len()).sum::<usize>();
    log.hold(told == 0, "fallback", &placed.address, || {
        ("a fallback of what has none".into(), "none".into(), told.to_string())
    });
    let says = |c: &String| ["fallback", "stand-in"].iter().any(|word| c.contains(word));
    log.hold(placed.caveats.iter().any(says), "fallback", &placed.address, || {
        let what = "no fallbacks were looked for, and the plan does not say so";
        (what.into(), "a caveat".into(), "none".into())
    });
}

fn machines(pool: &Pool) -> u32 {
    pool.machines.iter().fold(0, |sum, m| sum.saturating_add(m.count))
}

/// Whether the offers of a list are other ones, in order, and as many as wanted.
fn list(log: &mut Ledger, placed: &WorkloadPlacement, pool: &Pool, fallbacks: &Fallbacks) {
    let address = fallbacks.pool.as_str();
    let list = &fallbacks.list;
    log.hold(list.len() <= MOST_FALLBACKS, "fallback", address, || {
        ("too many fallbacks".into(), format!("at most {MOST_FALLBACKS}"), list.len().to_string())
    });
    let below = address.split_once('/').map_or("", |(_, below)| below);
    let told = |c: &String| c.starts_with(&format!("{below}: ")) && c.contains("fallback");
    log.hold(list.len() >= WANTED_FALLBACKS || placed.caveats.iter().any(told), "fallback", address, || {
        let expected = format!("{WANTED_FALLBACKS}, or a caveat that says why");
        ("too few fallbacks, and the plan does not say so".into(), expected, list.len().to_string())
    });
    for (k, f) in list.iter().enumerate() {
        let (cloud, region, kind, spot) = f.pool.offers();
        let same = (cloud, region, kind) == (pool.cloud, pool.region.as_str(), pool.instance_type.as_str());
        // Where the machines themselves are refused, they are refused as spot as well.
        log.hold(!same || (pool.uses_spot() && !spot), "fallback", address, || {
            let what = format!("fallback {} needs what was refused", k + 1);
            (what, "another region, type or purchase".into(), format!("{cloud}/{region}/{kind}"))
        });
        let twin = list[..k].iter().any(|other| other.pool.offers() == f.pool.offers());
        log.hold(!twin, "fallback", address, || {
            let what = format!("fallback {} needs the same offers as one before", k + 1);
            (what, "another region, type or purchase".into(), format!("{cloud}/{region}/{kind}"))
        });
    }
    let key = |f: &Fallback| (f.more_per_month, machines(&f.pool));
    let ordered =
        list.windows(2).all(|w| (key(&w[0]), w[0].pool.offers()) < (key(&w[1]), w[1].pool.offers()));
    log.hold(ordered, "fallback", address, || {
        let found: Vec<String> = list.iter().map(|f| f.more_per_month.to_string()).collect();
        ("the fallbacks are not in order".into(), "cheapest first".into(), found.join(", "))
    });
}

/// Checks the workload with a fallback in place of the pool at `index`.
fn one(
    log: &mut Ledger,
    (spec, world, placement, parts): (&Spec, &World, &Placement, &Parts<'_>),
    placed: &WorkloadPlacement,
    index: usize,
    fallback: &Fallback,
    at: &str,
) {
    let Some(work) = Work::of(spec, world, &placed.address) else { return };
    let mut other = placed.clone();
    other.pools[index] = fallback.pool.clone();
    other.run.clone_from(&fallback.run);
    other.objectives.clear();
    other.failures.clear();
    other.caveats.extend(fallback.caveats.iter().cloned());
    if let Kind::Service(service) = work.kind {
        serving::routed_again(world, service, &mut other);
    }
    let mut own = Ledger::default();
    let pools = subject::pools(&mut own, world, &work, &other, parts);
    rules::check(&mut own, spec, world, &work, &other, &pools);
    match work.kind {
        Kind::Service(service) => serving::check(&mut own, world, &work, service, &other, &pools),
        Kind::Batch(batch) => batch::check(&mut own, &work, batch, &other, (&pools, world.replay)),
        Kind::Training(asked) => training::check(&mut own, world, &work, asked, &other, &pools),
        Kind::Profiled(asked) => profile::check(&mut own, &work, asked, &other, &pools),
        Kind::Pipeline(asked) => pipeline::check(&mut own, world, &work, asked, &other, &pools),
        Kind::Federation(_) => return,
    }
    log.absorb(own, |f| {
        let message = if f.address == fallback.pool.addr.as_str() {
            f.message
        } else {
            format!("{}: {}", f.address, f.message)
        };
        (!NOT_TOLD.contains(&f.code)).then(|| Finding { address: at.to_owned(), message, ..f })
    });
    let bill = bill::derived(world, &work, &other, &pools);
    let more = bill.expected - placed.cost.expected_per_month;
    log.amount(
        "fallback",
        at,
        "what it costs more in a month",
        more,
        fallback.more_per_month,
        bill.roundings,
    );
    log.amount(
        "ceiling",
        at,
        "the ceiling of a month",
        bill.ceiling,
        fallback.ceiling_per_month,
        bill.roundings,
    );
    other.cost.expected_per_month = bill.expected;
    other.cost.peak_per_month = bill.peak;
    other.cost.ceiling_per_month = bill.ceiling;
    limits(log, (spec, world, placement), &other, bill.roundings, at);
    carbon::fits(log, (spec, world, placement), &other, at);
}

/// Budgets and quotas, with all other workloads as planned.
fn limits(
    log: &mut Ledger,
    (spec, world, placement): (&Spec, &World, &Placement),
    other: &WorkloadPlacement,
    roundings: i64,
    at: &str,
) {
    let own = shared::bound_cost(spec, other) - Money::from_micros(roundings);
    let rest = || placement.workloads.values().filter(|w| w.address != other.address);
    let expected = other.cost.expected_per_month - Money::from_micros(roundings);
    for (scope, budget) in &spec.budget.limits {
        if !shared::counts(spec, scope, &other.address) {
            continue;
        }
        let counted = || rest().filter(|w| shared::counts(spec, scope, &w.address));
        let limited = own + counted().map(|w| shared::bound_cost(spec, w)).sum::<Money>();
        let cost = limited.max(expected + counted().map(|w| w.cost.expected_per_month).sum::<Money>());
        log.hold(cost <= budget.limit, "budget", at, || {
            let what = match scope {
                BudgetScope::All => "over the budget".into(),
                BudgetScope::Workload(_) => "over its workload's budget".into(),
                BudgetScope::Label { .. } => format!("over the budget of {scope}"),
            };
            (what, format!("at most {}", dollars(budget.limit)), dollars(cost))
        });
    }
    let mut taken: BTreeMap<_, f64> = BTreeMap::new();
    for placed in rest().chain([other]) {
        for (key, (amount, _)) in shared::taken(spec, world, placed) {
            *taken.entry(key).or_insert(0.0) += amount;
        }
    }
    for (key, (amount, _)) in placement.fleets.iter().flat_map(|f| shared::taken_by(world, f)) {
        *taken.entry(key).or_insert(0.0) += amount;
    }
    for (key, _) in shared::taken(spec, world, other) {
        let declared = spec.providers.get(&key.0).and_then(|p| p.quotas.get(&key.1)?.get(&key.2));
        let Some(limit) = declared else { continue };
        let amount = taken.get(&key).copied().unwrap_or(0.0);
        log.hold(amount <= limit + 1e-9, "quota", at, || {
            let what = format!("over quota {} of {}/{}", key.2, key.0, key.1);
            (what, format!("at most {limit}"), amount.to_string())
        });
    }
}
