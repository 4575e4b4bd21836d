//! What is held: that its rows are what the spec says of it on the planning day, that no more is used than there is, and that the plan
//! says what is used.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::Offering;
use crate::placement::{HeldUse, Placement, Pool, WorkloadPlacement, World};
use crate::spec::{Held, PurchaseRules, Spec};

use super::day::{WEEK, times_a_week};
use super::ledger::dollars;
use super::{Ledger, savings};

/// Hours of the planned month.
const MONTH: i64 = 730;

/// Days from some day long ago to `YYYY-MM-DD`; `None` if it is none.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let long = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before: i64 = long.iter().take(usize::try_from(month - 1).ok()?).sum();
    let years = year - 1;
    Some(years * 365 + years / 4 - years / 100 + years / 400 + before + day)
}

/// The row of an offering of a commitment's machines; of a held one, the commitment's own.
fn row<'w>(world: &'w World, held: &Held, purchase: Purchase) -> Option<&'w Offering> {
    let catalog = &world.catalog;
    catalog.offerings.iter().find(|o| {
        let (kind, region) = (&catalog.instance_types[o.instance_type], &catalog.regions[o.region]);
        let own = o.held.as_ref().is_none_or(|of| *of.name == *held.name);
        own && o.purchase == purchase
            && (kind.cloud, &kind.name) == (held.cloud, &held.instance_type)
            && (region.cloud, &region.id) == (held.cloud, &held.region)
    })
}

/// A commitment on the planning day.
struct Now<'s> {
    held: &'s Held,
    /// Hours of the planned month in which it is held.
    hours: i64,
    /// What an hour of one of its machines costs on the mean of that month; `None` = it may not be used.
    price: Option<Money>,
    /// On demand.
    dear: Option<Money>,
}

fn now<'s>(world: &World, held: &'s Held) -> Now<'s> {
    let dear = row(world, held, Purchase::OnDemand).map(|o| o.price);
    let (hours, price) = left(world, &held.until, dear);
    Now { held, hours, price, dear }
}

/// Hours of the planned month up to a day, and what an hour of a machine costs on the mean of that month that costs `dear` on demand
/// afterwards; `None` = it may not be used.
pub(super) fn left(world: &World, until: &str, dear: Option<Money>) -> (i64, Option<Money>) {
    let left = days(until).zip(days(&world.today)).map_or(0, |(until, today)| (until - today) * 24);
    let hours = left.clamp(0, MONTH);
    let price = match (hours, dear) {
        (0, _) => None,
        (MONTH, _) => Some(Money::ZERO),
        (_, None) => None,
        // Of a month the hours that are left are paid on demand; rounded up.
        (_, Some(dear)) => {
            let over = i128::from(dear.micros()) * i128::from(MONTH - hours);
            let micros = over / i128::from(MONTH) + i128::from(over % i128::from(MONTH) > 0);
            Some(Money::from_micros(micros as i64))
        }
    };
    (hours, price)
}

/// The most held machines of a pool in any hour, and the machine-seconds of a week.
pub(super) fn of_pool(pool: &Pool) -> (u32, i128) {
    let (mut most, mut seconds) = (0, 0);
    for (k, machines) in pool.machines.iter().enumerate().filter(|(_, m)| m.purchase == Purchase::Held) {
        most += machines.count;
        match &pool.following {
            None => seconds += i128::from(machines.count) * i128::from(WEEK),
            Some(following) => {
                for class in &following.classes {
                    let n = class.machines.get(k).copied().unwrap_or(0);
                    most = most.max(n);
                    let week = i128::from(class.seconds) * i128::from(times_a_week(following));
                    seconds += i128::from(n) * week;
                }
            }
        }
    }
    (most, seconds)
}

/// What a workload may buy; `None` where nothing is ever held.
fn rules<'s>(spec: &'s Spec, address: &str) -> Option<&'s PurchaseRules> {
    let (kind, name) = address.split_once('.')?;
    match kind {
        "services" => spec.services.get(name).map(|s| &s.purchase),
        "batches" => spec.batches.get(name).map(|b| &b.purchase),
        "trainings" => spec.trainings.get(name).map(|t| &t.purchase),
        "pipelines" => spec.pipelines.get(name).map(|p| &p.purchase),
        _ => None,
    }
}

/// Of machine-seconds of a week those of the mean one in which runs are there.
pub(super) fn of_runs(placed: &WorkloadPlacement, seconds: i128) -> i128 {
    match &placed.run {
        None => seconds,
        Some(run) => {
            let share = (run.hours * run.runs_per_month / MONTH as f64).min(1.0);
            (seconds as f64 * share).round() as i128
        }
    }
}

/// A commitment's name, cloud, region and type.
type Place<'p> = (&'p str, Cloud, &'p str, &'p str);

pub(super) fn check(log: &mut Ledger, spec: &Spec, world: &World, placement: &Placement) {
    rows(log, spec, world);
    savings::check(log, spec, world, placement);
    let mut used: BTreeMap<Place<'_>, (u32, i128)> = BTreeMap::new();
    for placed in placement.workloads.values() {
        for fallback in placed.fallbacks.iter().flat_map(|f| &f.list) {
            let (most, _) = of_pool(&fallback.pool);
            log.hold(most == 0, "held", fallback.pool.addr.as_str(), || {
                ("a fallback takes held machines".into(), "none".into(), most.to_string())
            });
        }
        for pool in &placed.pools {
            let (most, seconds) = of_pool(pool);
            let seconds = of_runs(placed, seconds);
            if !pool.machines.iter().any(|m| m.purchase == Purchase::Held) {
                continue;
            }
            named(log, pool);
            let may = rules(spec, &placed.address).is_some_and(|rules| rules.held);
            log.hold(may, "held", pool.addr.as_str(), || {
                ("held machines where none may be used".into(), "none".into(), most.to_string())
            });
            hours(log, pool);
            let whole = !placed.address.starts_with("trainings.") || pool.machines.len() == 1;
            log.hold(whole, "held", pool.addr.as_str(), || {
                let what = "a training on held machines and on others";
                (what.into(), "all of one kind".into(), pool.machines.len().to_string())
            });
            let name = pool.machines.iter().find_map(|m| m.commitment.as_deref()).unwrap_or_default();
            if spec.savings.contains_key(name) {
                continue;
            }
            let all = used.entry((name, pool.cloud, &pool.region, &pool.instance_type)).or_default();
            *all = (all.0 + most, all.1 + seconds);
        }
    }
    for (place, (n, _)) in &used {
        let now = spec.held.values().map(|held| now(world, held));
        let there = |now: &Now<'_>| place_of(now.held) == *place;
        let stock =
            now.filter(|now| there(now) && now.price.is_some()).map(|now| now.held.count).sum::<u32>();
        let at = format!("{}/{}/{}", place.1, place.2, place.3);
        log.hold(*n <= stock, "held", &at, || {
            ("more held machines are used than are held".into(), format!("at most {stock}"), n.to_string())
        });
    }
    let names: Vec<&String> = spec.held.keys().collect();
    let told: Vec<&String> = placement.held.iter().map(|h| &h.name).collect();
    log.same_debug("held", "commitments", "the commitments that are told", &names, &told);
    for (held, told) in spec.held.values().zip(&placement.held) {
        let at = format!("commitments.{}", held.name);
        let now = now(world, held);
        let (n, seconds) = used.get(&place_of(held)).copied().unwrap_or_default();
        let rises = now.dear.map(|dear| {
            let micros = i128::from(dear.micros()) * seconds * i128::from(now.hours) / i128::from(WEEK);
            Money::from_micros(micros as i64)
        });
        let derived = HeldUse {
            name: held.name.clone(),
            kind: held.kind,
            cloud: held.cloud,
            region: held.region.clone(),
            instance_type: held.instance_type.clone(),
            count: held.count,
            used: n,
            until: held.until.clone(),
            hours: now.hours as u32,
            usable: now.price.is_some(),
            cost: held.cost,
            id: held.id.clone(),
            rises_per_month: rises,
        };
        log.same("held", &at, "the machines that are used", &derived.used, &told.used);
        log.same_debug("held", &at, "what is told of it", &derived, told);
    }
}

fn place_of(held: &Held) -> Place<'_> {
    (&held.name, held.cloud, &held.region, &held.instance_type)
}

/// Held machines are of a commitment, and no others are.
fn named(log: &mut Ledger, pool: &Pool) {
    for machines in &pool.machines {
        let held = machines.purchase == Purchase::Held;
        log.hold(held == machines.commitment.is_some(), "held", pool.addr.as_str(), || {
            let expected = if held { "a commitment" } else { "none" };
            let what = "machines name a commitment where they are of none, or none where they are held";
            (what.into(), expected.into(), format!("{:?}", machines.commitment))
        });
    }
}

/// Every row of what is held, and its stock.
fn rows(log: &mut Ledger, spec: &Spec, world: &World) {
    let mut priced = 0;
    let mut stock: BTreeMap<String, f64> = BTreeMap::new();
    for held in spec.held.values() {
        let at = format!("commitments.{}", held.name);
        let derived = now(world, held).price.filter(|_| held.count > 0);
        let said = row(world, held, Purchase::Held).map(|o| o.price);
        priced += usize::from(derived.is_some());
        log.same_debug("held", &at, "the price of a machine", &derived.map(dollars), &said.map(dollars));
        stock.insert(
            format!("{}/{}/held:{}", held.cloud, held.region, held.instance_type),
            f64::from(held.count),
        );
        let each = row(world, held, Purchase::Held).and_then(|o| o.held.as_ref()).map(|of| of.each);
        log.same_debug("held", &at, "what a machine takes of it", &derived.map(|_| 1.0), &each);
    }
    priced += savings::rows(log, spec, world, &mut stock);
    let said = world.catalog.offerings.iter().filter(|o| o.purchase == Purchase::Held).count();
    log.same("held", "commitments", "the number of prices", &priced, &said);
    let mut declared: BTreeMap<String, f64> = BTreeMap::new();
    for (cloud, settings) in &spec.providers {
        for (region, codes) in &settings.quotas {
            let own = codes.iter().filter(|(code, _)| code.starts_with("held:"));
            declared.extend(own.map(|(code, n)| (format!("{cloud}/{region}/{code}"), *n)));
        }
    }
    log.same_debug("held", "commitments", "what limits the machines in use", &stock, &declared);
}

/// Every hour uses the held machines that the peak has first.
fn hours(log: &mut Ledger, pool: &Pool) {
    let Some(following) = &pool.following else { return };
    let Some(k) = pool.machines.iter().position(|m| m.purchase == Purchase::Held) else { return };
    let most = pool.machines[k].count;
    for class in &following.classes {
        let (all, own) = (class.machines.iter().sum::<u32>(), class.machines.get(k).copied().unwrap_or(0));
        log.hold(own == most.min(all), "held", pool.addr.as_str(), || {
            let what =
                format!("others run while held machines stand idle, at a share of {} ppm", class.share);
            (what, most.min(all).to_string(), own.to_string())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn days_are_those_of_the_calendar() {
        let between = |a: &str, b: &str| days(b).unwrap() - days(a).unwrap();
        assert_eq!(between("2026-11-25", "2026-12-25"), 30);
        assert_eq!(between("2027-12-31", "2028-03-01"), 61);
        assert_eq!(between("2099-12-31", "2100-03-01"), 60);
        assert_eq!(between("1999-12-31", "2000-03-01"), 61);
        assert_eq!(days("tomorrow"), None);
    }
}
