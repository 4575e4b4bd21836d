//! Savings plans: that what they cover has the rates of the spec on the planning day, that no more is covered than is promised to be
//! spent, and that the plan says what is covered. Amounts are added up in whole micro-dollars.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::Offering;
use crate::placement::{Covered, Placement, SavingsUse, World};
use crate::spec::{AllowDeny, SavingsPlan, Spec};

use super::Ledger;
use super::day::WEEK;
use super::held::{left, of_pool, of_runs};
use super::ledger::dollars;

/// Millionths.
const WHOLE: i128 = 1_000_000;

/// What an hour of a machine takes of a plan by its price on demand as listed, micro-dollars; `None` = it is not covered.
fn rate(plan: &SavingsPlan, (cloud, kind, region): (Cloud, &str, &str), listed: Money) -> Option<i64> {
    if cloud != plan.cloud {
        return None;
    }
    let within = |rule: &AllowDeny<String>, name: &str| match rule {
        AllowDeny::Any => true,
        AllowDeny::Only(list) => list.iter().any(|own| own == name),
        AllowDeny::Not(list) => list.iter().all(|own| own != name),
    };
    for rate in &plan.rates {
        if within(&rate.instance_types, kind) && within(&rate.regions, region) {
            let over = i128::from(listed.micros()) * (WHOLE - i128::from(rate.discount_ppm));
            let micros = over / WHOLE + i128::from(over % WHOLE > 0);
            return Some((micros as i64).max(1));
        }
    }
    None
}

fn place<'w>(world: &'w World, row: &Offering) -> (Cloud, &'w str, &'w str) {
    let kind = &world.catalog.instance_types[row.instance_type];
    (kind.cloud, &kind.name, &world.catalog.regions[row.region].id)
}

/// Every row of what may be covered; adds the limits of the plans to `limits`, and says how many rows there are.
pub(super) fn rows(
    log: &mut Ledger,
    spec: &Spec,
    world: &World,
    limits: &mut BTreeMap<String, f64>,
) -> usize {
    let mut all = 0;
    for plan in spec.savings.values() {
        limits.insert(format!("{}/global/held:{}", plan.cloud, plan.name), plan.spend.usd());
        let own = |o: &Offering| o.held.as_ref().is_some_and(|of| *of.name == *plan.name);
        let mut told: BTreeMap<(usize, usize), &Offering> = BTreeMap::new();
        for row in world.catalog.offerings.iter().filter(|o| o.purchase == Purchase::Held && own(o)) {
            told.insert((row.instance_type, row.region), row);
        }
        for row in world.catalog.offerings.iter().filter(|o| o.purchase == Purchase::OnDemand) {
            let at = place(world, row);
            let (_, price) = left(world, &plan.until, Some(row.price));
            let derived = rate(plan, at, row.list_price).zip(price).filter(|_| plan.spend > Money::ZERO);
            all += usize::from(derived.is_some());
            let row = told.get(&(row.instance_type, row.region));
            let said = row.map(|o| (o.held.as_ref().map_or(0.0, |of| of.each), o.price));
            let same = match (derived, said) {
                (None, None) => true,
                (Some((rate, price)), Some((each, said))) => {
                    price == said && (each * 1e6).round() == rate as f64
                }
                _ => false,
            };
            log.hold(same, "savings", &format!("commitments.{}", plan.name), || {
                let derived = derived.map(|(rate, price)| (Money::from_micros(rate).usd(), dollars(price)));
                let said = said.map(|(each, price)| (each, dollars(price)));
                let what = format!("the rate and the price of {} in {}", at.1, at.2);
                (what, format!("{derived:?}"), format!("{said:?}"))
            });
        }
    }
    all
}

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    let names: Vec<&String> = spec.savings.keys().collect();
    let told: Vec<&String> = placement.savings.iter().map(|s| &s.name).collect();
    log.same_debug("savings", "commitments", "the savings plans that are told", &names, &told);
    for (plan, told) in spec.savings.values().zip(&placement.savings) {
        let at = format!("commitments.{}", plan.name);
        let mut covered: BTreeMap<(String, String), Covered> = BTreeMap::new();
        let (mut taken, mut weekly, mut dear) = (0_i128, 0_i128, 0_i128);
        let (hours, usable) = left(world, &plan.until, Some(Money::ZERO));
        for (placed, pool) in placement.workloads.values().flat_map(|w| w.pools.iter().map(move |p| (w, p))) {
            if !pool.machines.iter().any(|m| m.commitment.as_ref() == Some(&plan.name)) {
                continue;
            }
            let here = (pool.cloud, pool.instance_type.as_str(), pool.region.as_str());
            let row = world
                .catalog
                .offerings
                .iter()
                .find(|o| o.purchase == Purchase::OnDemand && place(world, o) == here);
            let rate = row.and_then(|row| rate(plan, here, row.list_price)).filter(|_| usable.is_some());
            let (Some(row), Some(rate)) = (row, rate) else {
                log.finding(
                    "savings",
                    pool.addr.as_str(),
                    "a machine that the plan does not cover",
                    "a rate",
                    "none",
                );
                continue;
            };
            let (most, seconds) = of_pool(pool);
            let seconds = of_runs(placed, seconds);
            let key = (pool.region.clone(), pool.instance_type.clone());
            let entry = covered.entry(key).or_insert_with(|| Covered {
                region: pool.region.clone(),
                instance_type: pool.instance_type.clone(),
                machines: 0,
                rate: Money::from_micros(rate),
            });
            entry.machines += most;
            taken += i128::from(rate) * i128::from(most);
            weekly += i128::from(rate) * seconds;
            dear += i128::from(row.price.micros()) * seconds;
        }
        let spend = i128::from(plan.spend.micros());
        log.hold(taken <= spend, "savings", &at, || {
            ("more is covered than is promised to be spent".into(), spend.to_string(), taken.to_string())
        });
        let derived = SavingsUse {
            name: plan.name.clone(),
            cloud: plan.cloud,
            spend: plan.spend,
            covered: covered.into_values().collect(),
            mean: Money::from_micros((weekly / i128::from(WEEK)) as i64),
            until: plan.until.clone(),
            hours: hours as u32,
            id: plan.id.clone(),
            rises_per_month: Money::from_micros((dear * i128::from(hours) / i128::from(WEEK)) as i64),
        };
        log.same_debug("savings", &at, "what is told of it", &derived, told);
    }
}
