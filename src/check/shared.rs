//! Bounds that several workloads share: budgets and quotas.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use crate::catalog::{InstanceType, Offering, Quota, QuotaUnit};
use crate::placement::{Coupling, Placement, QuotaNeed, SharedFleet, SharedLimit, WorkloadPlacement, World};
use crate::spec::{BudgetBinds, BudgetLimit, BudgetScope, By, Slice, Spec};

use super::ledger::dollars;
use super::{Ledger, carbon, fleet, rollout, stability};

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    limits(log, spec, world, placement);
    if let Some(coupling) = &placement.coupling {
        coupled(log, spec, world, placement, coupling);
    }
    let priced = carbon::price(spec, SCALE) > 0;
    log.hold(!priced || placement.coupling.is_some(), "certificate", "deployment", || {
        (
            "emissions are priced, and what was proven leaves them out".into(),
            "a coupling".into(),
            "none".into(),
        )
    });
    let together = placement.workloads.values().filter(|w| w.certificate.together).count();
    let all = if placement.coupling.is_some() { placement.workloads.len() } else { 0 };
    log.same("certificate", "deployment", "the number of workloads proven together", &all, &together);
}

/// Budgets and quotas: what breaks one is told by the placement itself.
pub(super) fn limits(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    budget(log, spec, placement);
    quotas(log, spec, world, placement);
}

/// Multipliers are integers over this.
const SCALE: i128 = 1 << 24;

/// What a cap of emissions is called.
const CARBON: &str = "carbon";

/// Which budget of the spec a limit says that it is; `None` for a quota, for emissions, and for what names two.
pub(super) fn scope_of(limit: &SharedLimit) -> Option<BudgetScope> {
    if limit.code.is_some() || limit.constraint == CARBON {
        return None;
    }
    match (&limit.workload, &limit.label) {
        (None, None) => Some(BudgetScope::All),
        (Some(address), None) => Some(BudgetScope::Workload(address.clone())),
        (None, Some((key, value))) => Some(BudgetScope::Label { key: key.clone(), value: value.clone() }),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a budget counts what a workload costs, by the labels that the spec gives it.
pub(super) fn counts(spec: &Spec, scope: &BudgetScope, address: &str) -> bool {
    let carries = |key: &String, value: &String| {
        let service = spec.services.iter().find(|(name, _)| address.strip_prefix("services.") == Some(name));
        let batch = spec.batches.iter().find(|(name, _)| address.strip_prefix("batches.") == Some(name));
        let training =
            spec.trainings.iter().find(|(name, _)| address.strip_prefix("trainings.") == Some(name));
        let profiled = spec.profiled.iter().find(|(name, _)| address.strip_prefix("services.") == Some(name));
        let labels = service.map(|(_, s)| &s.labels).or(profiled.map(|(_, p)| &p.labels));
        let labels = labels.or(batch.map(|(_, b)| &b.labels));
        let pipeline =
            spec.pipelines.iter().find(|(name, _)| address.strip_prefix("pipelines.") == Some(name));
        let labels = labels.or(training.map(|(_, t)| &t.labels)).or(pipeline.map(|(_, p)| &p.labels));
        let federation =
            spec.federations.iter().find(|(name, _)| address.strip_prefix("federations.") == Some(name));
        let labels = labels.or(federation.map(|(_, f)| &f.labels));
        labels.is_some_and(|own| own.iter().any(|(k, v)| (k, v) == (key, value)))
    };
    match scope {
        BudgetScope::All => true,
        BudgetScope::Workload(own) => {
            let part = spec.services.iter().find(|(name, _)| address.strip_prefix("services.") == Some(name));
            let whole =
                part.and_then(|(_, s)| s.part_of.as_ref()).map(|of| format!("services.{}", of.service.name));
            whole.as_deref().unwrap_or(address) == own
        }
        BudgetScope::Label { key, value } => carries(key, value),
    }
}

/// The budgets that count what a workload costs.
pub(super) fn budgets_on<'s>(spec: &'s Spec, address: &str) -> Vec<(&'s BudgetScope, &'s BudgetLimit)> {
    spec.budget.limits.iter().filter(|(scope, _)| binds_on(spec, scope, address)).collect()
}

/// What is limited and taken, in millionths of a unit or in micro-dollars, and whether the limit is declared at all.
fn amounts(
    spec: &Spec,
    world: &World,
    limit: &SharedLimit,
    placed: &WorkloadPlacement,
) -> Option<(i128, i128)> {
    if limit.constraint == CARBON {
        let cap = i128::from(spec.budget.carbon.as_ref()?.mg);
        return Some((cap, i128::from(carbon::month(world, placed)?)));
    }
    match (limit.cloud, &limit.region, &limit.code) {
        (Some(cloud), Some(place), Some(code)) => {
            let declared = *spec.providers.get(&cloud)?.quotas.get(place)?.get(code)?;
            let own = taken(spec, world, placed)
                .get(&(cloud, place.clone(), code.clone()))
                .map_or(0.0, |(n, _)| *n);
            Some((((declared + 1e-9) * 1e6).round() as i128, (own * 1e6).round() as i128))
        }
        _ => {
            let scope = scope_of(limit)?;
            let own =
                if counts(spec, &scope, &placed.address) { bound_cost(spec, placed).micros() } else { 0 };
            Some((i128::from(spec.budget.limits.get(&scope)?.limit.micros()), i128::from(own)))
        }
    }
}

/// What shared machines take of a limit, in millionths of a unit or in milligrams; what they cost is in the workloads' costs.
fn taken_of(world: &World, limit: &SharedLimit, fleet: &SharedFleet) -> i128 {
    if limit.constraint == CARBON {
        return i128::from(carbon::of_shared(world, fleet).unwrap_or(0)) * i128::from(fleet.count);
    }
    let (Some(cloud), Some(place), Some(code)) = (limit.cloud, &limit.region, &limit.code) else { return 0 };
    let own = taken_by(world, fleet).get(&(cloud, place.clone(), code.clone())).map_or(0.0, |(n, _)| *n);
    (own * 1e6).round() as i128
}

/// What shared machines count for in a month beside their price: by what they emit, and by those who move to them. Each workload's
/// part, rounded up, and the sum.
pub(super) fn counted_of_fleets<'p>(
    spec: &Spec,
    world: &World,
    placement: &'p Placement,
) -> (BTreeMap<&'p str, i128>, Money) {
    let (mut parts, mut sum) = (BTreeMap::new(), 0_i64);
    let price = carbon::price(spec, SCALE);
    let mut divide = |amount: i64, slots: &BTreeMap<&'p str, u64>| {
        let all: u64 = slots.values().sum();
        for (address, own) in slots {
            let part = i128::from(amount) * i128::from(*own);
            let all = i128::from(all.max(1));
            *parts.entry(*address).or_insert(0) += part / all + i128::from(part % all > 0);
        }
    };
    for fleet in &placement.fleets {
        let emitted = if price > 0 { carbon::of_shared(world, fleet).unwrap_or(0) } else { 0 };
        let emitted = i64::try_from(i128::from(emitted) * price / SCALE).unwrap_or(i64::MAX / 1024);
        let emitted = emitted.saturating_mul(i64::from(fleet.count));
        let on = fleet.pools.iter().map(|p| p.workload.as_str());
        divide(emitted, &on.map(|a| (a, fleet::share(placement, fleet, a).0)).collect());
        let (movers, moved) = stability::of_fleet(spec, world, placement, fleet);
        divide(moved, &movers);
        sum = sum.saturating_add(emitted).saturating_add(moved);
    }
    (parts, Money::from_micros(sum))
}

/// What the workloads were given together, and that the numbers of the proof add up: the multipliers are not negative, no
/// workload's least is above what its own placement costs with what it takes, and the bound that both give is no higher than
/// the one that is claimed, nor that one than the cost.
fn coupled(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement, c: &Coupling) {
    let at = "deployment";
    let price = carbon::price(spec, SCALE);
    log.same("certificate", at, "the price of emissions", &price, &i128::from(c.carbon_price));
    let counted = |w: &WorkloadPlacement| {
        let mg = if price > 0 { carbon::month(world, w).unwrap_or(0) } else { 0 };
        let emitted = i64::try_from(i128::from(mg) * price / SCALE).unwrap_or(i64::MAX / 1024);
        Money::from_micros(emitted) + stability::month(spec, world, w)
    };
    let (of_fleets, all_fleets) = counted_of_fleets(spec, world, placement);
    let own: Money = placement
        .workloads
        .values()
        .map(|w| {
            let bill = match w.run {
                Some(_) => w.cost.expected_per_month,
                None => w.cost.expected_per_hour.per_month(),
            };
            bill + counted(w)
        })
        .sum();
    log.amount("certificate", at, "the cost of all workloads", own + all_fleets, c.optimum, 800);
    log.hold(c.lower_bound <= c.optimum, "certificate", at, || {
        ("the bound is above the cost".into(), dollars(c.optimum), dollars(c.lower_bound))
    });
    let mut tolls: BTreeMap<&str, i128> = placement.workloads.keys().map(|a| (a.as_str(), 0)).collect();
    let mut budgets: BTreeMap<&str, i128> = BTreeMap::new();
    let mut paid = 0_i128;
    for limit in &c.limits {
        let scope = scope_of(limit);
        let name = match (&limit.code, &scope) {
            (Some(code), _) => code.clone(),
            (None, None) if limit.constraint == CARBON => CARBON.to_owned(),
            (None, None | Some(BudgetScope::All)) => "budget".to_owned(),
            (None, Some(scope)) => format!("budget of {scope}"),
        };
        log.hold(limit.multiplier >= 0, "certificate", at, || {
            (format!("the multiplier of {name}"), "0 or more".into(), limit.multiplier.to_string())
        });
        let (mut declared, mut all) = (None, 0_i128);
        for placed in placement.workloads.values() {
            let Some((there, own)) = amounts(spec, world, limit, placed) else { continue };
            declared = Some(there);
            all += own;
            *tolls.entry(&placed.address).or_default() += own * i128::from(limit.multiplier);
            if scope.as_ref().is_some_and(|scope| counts(spec, scope, &placed.address)) {
                *budgets.entry(&placed.address).or_default() += i128::from(limit.multiplier.max(0));
            }
        }
        for fleet in &placement.fleets {
            let own = taken_of(world, limit, fleet);
            all += own;
            // Whoever is on the machines pays by its accelerators.
            for (address, toll) in &mut tolls {
                let (slots, of) = fleet::share(placement, fleet, address);
                let whole = own * i128::from(limit.multiplier) * i128::from(slots);
                *toll += whole.div_euclid(i128::from(of.max(1))) + i128::from(whole > 0);
            }
        }
        let Some(declared) = declared else {
            log.finding(
                "joint",
                at,
                format!("{name} is not limited by the spec"),
                "a declared limit",
                "none",
            );
            continue;
        };
        paid += declared * i128::from(limit.multiplier);
        log.near("joint", at, &format!("the limit of {name}"), declared as f64 / 1e6, limit.limit, 1e-9);
        log.near("joint", at, &format!("what is taken of {name}"), all as f64 / 1e6, limit.taken, 1e-9);
        log.hold(all <= declared + 800, "joint", at, || {
            (format!("more than there is of {name}"), declared.to_string(), all.to_string())
        });
    }
    let mut sum = 0_i128;
    for (address, placed) in &placement.workloads {
        let own = if placed.run.is_some() {
            placed.cost.expected_per_month
        } else {
            placed.cost.expected_per_hour.per_month()
        };
        let Some(least) = c.least.get(address) else {
            log.finding("certificate", address, "its least cost is not said", "a least cost", "none");
            continue;
        };
        sum += i128::from(least.micros());
        let priced = i128::from((own + counted(placed)).micros())
            + of_fleets.get(address.as_str()).copied().unwrap_or(0)
            + tolls.get(address.as_str()).map_or(0, |t| t.div_euclid(SCALE) + 1);
        // Each part of shared machines was rounded down to the micro-dollar of an hour, and with it what budgets count.
        let parts = placed.pools.iter().filter(|p| p.shared.is_some()).count() as i128;
        let counted = SCALE + budgets.get(address.as_str()).copied().unwrap_or(0);
        let slack = 800 + (parts * i128::from(HOURS_PER_MONTH) * counted).div_euclid(SCALE);
        log.hold(i128::from(least.micros()) <= priced + slack, "certificate", address, || {
            let found = least.micros().to_string();
            ("the least cost is above that of what was chosen".into(), format!("at most {priced}"), found)
        });
    }
    let proven = sum - paid.div_euclid(SCALE) - 1;
    let slack = i128::from(c.optimum.micros()) + 800;
    log.hold(proven <= slack, "certificate", at, || {
        ("the multipliers prove more than the cost".into(), format!("at most {slack}"), proven.to_string())
    });
}

/// Whether a workload has the lower hours of a service whose machines change with the load, and neither spot machines nor any besides:
/// then a month of the peak and the ceiling have nothing of it.
pub(super) fn is_below_the_peak(spec: &Spec, address: &str) -> bool {
    let name = address.strip_prefix("services.").unwrap_or_default();
    let Some((service, of)) = spec.services.get(name).and_then(|s| Some((s, s.part_of.as_ref()?))) else {
        return false;
    };
    let whole = format!("services.{}", of.service.name);
    let lower = matches!(of.slice, Slice { by: By::Load, to: Some(_), .. });
    let besides = spec.rollouts.get(&whole).is_some_and(|rollout| rollout.rolling.is_some());
    lower && service.purchase.spot_max_share == 0.0 && !besides
}

/// Whether what a budget limits of a workload is anything.
pub(super) fn binds_on(spec: &Spec, scope: &BudgetScope, address: &str) -> bool {
    let expected = spec.budget.binds == BudgetBinds::Expected;
    counts(spec, scope, address) && (expected || !is_below_the_peak(spec, address))
}

/// What a budget is compared with: the sum of what it limits of the workloads that it counts, and no less than what is expected of them.
pub(super) fn figure(spec: &Spec, scope: &BudgetScope, placement: &Placement) -> Money {
    let (mut limited, mut expected) = (Money::ZERO, Money::ZERO);
    for placed in placement.workloads.values().filter(|w| counts(spec, scope, &w.address)) {
        limited += bound_cost(spec, placed);
        expected += placed.cost.expected_per_month;
    }
    limited.max(expected)
}

pub(super) fn bound_cost(spec: &Spec, placed: &WorkloadPlacement) -> Money {
    match spec.budget.binds {
        BudgetBinds::Expected => placed.cost.expected_per_month,
        BudgetBinds::PeakMonth => placed.cost.peak_per_month,
        BudgetBinds::Ceiling => placed.cost.ceiling_per_month,
    }
}

fn reported(placement: &Placement, constraint: &str) -> bool {
    placement.joint_violations.iter().any(|v| v.constraint == constraint)
}

fn budget(log: &mut Ledger, spec: &Spec, placement: &Placement) {
    let said = reported(placement, "budget");
    let mut over = Vec::new();
    for (scope, budget) in &spec.budget.limits {
        let cost = figure(spec, scope, placement);
        match scope {
            BudgetScope::Workload(address) => {
                log.hold(cost <= budget.limit, "budget", address, || {
                    ("over its budget".into(), format!("at most {}", dollars(budget.limit)), dollars(cost))
                });
            }
            _ if cost > budget.limit => over.push((scope, budget.limit, cost)),
            _ => {}
        }
    }
    for (scope, limit, cost) in &over {
        log.hold(said, "joint", "budget", || {
            let what = match scope {
                BudgetScope::All => "the budget of all workloads together".into(),
                _ => format!("the budget of {scope}"),
            };
            (what, dollars(*limit), format!("{}, not reported", dollars(*cost)))
        });
    }
    log.hold(!over.is_empty() || !said, "joint", "budget", || {
        let what = "a budget of several workloads is kept";
        (what.into(), "no report".into(), "reported as broken".into())
    });
}

/// Cloud, region (`global` for a quota of the whole account) and code of a quota.
pub(super) type Key = (Cloud, String, String);

/// How much of each quota a workload takes, with the quota's row: the most machines of each purchase option that a pool has at
/// any time, and those that are there besides while they are made anew.
pub(super) fn taken<'a>(
    spec: &Spec,
    world: &'a World,
    placed: &WorkloadPlacement,
) -> BTreeMap<Key, (f64, &'a Quota)> {
    let mut taken = BTreeMap::new();
    let catalog = &world.catalog;
    for pool in &placed.pools {
        let row =
            catalog.instance_types.iter().position(|t| t.cloud == pool.cloud && t.name == pool.instance_type);
        let Some(index) = row else { continue };
        for (entry, machines) in pool.machines.iter().enumerate() {
            let classes = pool.following.iter().flat_map(|f| &f.classes);
            let most = classes.filter_map(|c| c.machines.get(entry)).fold(machines.count, |m, n| m.max(*n));
            let most = most + rollout::surge(spec, pool.addr.workload(), pool.cloud).min(most);
            let own = |o: &&Offering| {
                let region = &catalog.regions[o.region];
                (o.instance_type, o.purchase) == (index, machines.purchase)
                    && (region.cloud, &region.id) == (pool.cloud, &pool.region)
                    && o.held.as_ref().map(|of| &*of.name) == machines.commitment.as_deref()
            };
            let row = catalog.offerings.iter().find(own);
            for (quota, amount) in row.into_iter().flat_map(|row| catalog.quotas_of(row)) {
                let place = if quota.scope == "global" { "global" } else { &pool.region };
                let key = (pool.cloud, place.to_owned(), quota.code.clone());
                taken.entry(key).or_insert((0.0, quota)).0 += amount * f64::from(most);
            }
        }
    }
    taken
}

/// How much of each quota shared machines take.
pub(super) fn taken_by<'a>(world: &'a World, fleet: &SharedFleet) -> BTreeMap<Key, (f64, &'a Quota)> {
    let catalog = &world.catalog;
    let row = |t: &InstanceType| t.cloud == fleet.cloud && t.name == fleet.instance_type;
    let Some(index) = catalog.instance_types.iter().position(row) else { return BTreeMap::new() };
    let of = |(quota, amount): (&'a Quota, f64)| {
        let place = if quota.scope == "global" { "global" } else { &fleet.region };
        ((fleet.cloud, place.to_owned(), quota.code.clone()), (amount * f64::from(fleet.count), quota))
    };
    catalog.quotas_for(index, fleet.purchase).into_iter().map(of).collect()
}

fn quotas(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let declared = |(cloud, region, code): &Key| -> Option<f64> {
        spec.providers.get(cloud)?.quotas.get(region)?.get(code).copied()
    };
    let mut together: BTreeMap<Key, f64> = BTreeMap::new();
    let workloads = placement.workloads.iter();
    let listed = workloads.map(|(address, w)| (address.as_str(), taken(spec, world, w), &w.quotas));
    // Shared machines count once: in no workload's list, but in their own.
    let fleets = placement.fleets.iter().map(|f| (f.addr.as_str(), taken_by(world, f), &f.quotas));
    for (address, taken, needs) in listed.chain(fleets) {
        let told: Vec<Key> = needs.iter().map(|q| (q.cloud, q.region.clone(), q.code.clone())).collect();
        log.same_debug(
            "quota",
            address,
            "the quotas that are needed",
            &taken.keys().cloned().collect(),
            &told,
        );
        for (key, (amount, row)) in taken {
            let same = |q: &&QuotaNeed| (q.cloud, &q.region, &q.code) == (key.0, &key.1, &key.2);
            if let Some(need) = needs.iter().find(same) {
                let unit = match row.unit {
                    QuotaUnit::Vcpus => "vcpus",
                    QuotaUnit::Gpus => "gpus",
                    QuotaUnit::Chips => "chips",
                    QuotaUnit::Machines => "machines",
                    QuotaUnit::Watts => "watts",
                    QuotaUnit::UsdPerHour => "usd_per_hour",
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
