//! The least that a month of a stream can cost on machines of one type in one region.

use rhumb_api::Money;

use super::super::stream::{Flow, MONTH};
use super::field::Site;
use super::pipeline::month;
use super::pool::{least_hour, lossy, most, spots, within_quotas};
use super::prices::{Costs, Prices, SCALE};
use crate::placement::World;
use crate::spec::PurchaseRules;

/// More machines than anyone has.
const MOST: u32 = 1 << 22;

/// Machines, spot machines among them, a month at the prices, and in dollars; `None` if no number does.
pub(super) fn cheapest(
    world: &World,
    (site, rules): (&Site, &PurchaseRules),
    flow: &Flow<'_>,
    (prices, budgets): (&Prices, &[Money]),
) -> Option<(u32, u32, i128, Costs)> {
    let place = (site.zones, site.interruption);
    let cheaper = site.base.into_iter().chain(site.spot).min()?;
    let fewest = fewest(site, flow)?;
    let tolls = prices.tolls(world, site);
    let mut best: Option<(u32, u32, i128, Costs)> = None;
    for machines in fewest..=MOST {
        let floor = i128::from(cheaper.times(i64::from(machines)).scale(MONTH).micros() - 4) * SCALE;
        if best.as_ref().is_some_and(|(_, _, b, _)| floor > *b) {
            break;
        }
        let (low, high) = spots(site, rules, machines);
        if let Some((low, high)) = within_quotas(site, machines, low, high)
            && let Some(high) = most(low, high, |spot| flow.does(place, machines, lossy(site, spot)))
        {
            // Among counts of spot the cost is linear; which of them a budget allows is another matter.
            let all: Vec<u32> = if budgets.is_empty() { vec![low, high] } else { (low..=high).collect() };
            for spot in all {
                let month = month(site, (machines, spot), MONTH, 1.0, Money::ZERO);
                if budgets.iter().any(|limit| month.bound(prices.binds) > *limit) {
                    continue;
                }
                let toll = tolls.0 * i128::from(machines - spot) + tolls.1 * i128::from(spot);
                let emitted = prices.runs(site, machines, MONTH, 1.0, true);
                let cost = prices.month(month) + toll + emitted + prices.all_month(site, machines);
                if best.as_ref().is_none_or(|(_, _, b, _)| cost < *b) {
                    best = Some((machines, spot, cost, month));
                }
            }
        }
        // With as many spot machines as are allowed, more machines have no fewer of either kind.
        let allowed = lossy(site, spots(site, rules, machines).1);
        if flow.does(place, machines, allowed) || flow.at_once(place, machines, allowed) {
            break;
        }
    }
    best
}

/// The least number above one that does not, up to one that does.
fn least(mut no: u32, mut yes: u32, does: impl Fn(u32) -> bool) -> u32 {
    while yes - no > 1 {
        let middle = no + (yes - no) / 2;
        if does(middle) { yes = middle } else { no = middle }
    }
    yes
}

/// The fewest machines that keep up; `None` if no number does.
fn fewest(site: &Site, flow: &Flow<'_>) -> Option<u32> {
    let place = (site.zones, site.interruption);
    // Where nothing else is sold all is spot; elsewhere none of it is easiest.
    let alone = |machines: u32| if site.base.is_none() { machines } else { 0 };
    let does = |machines: u32| flow.does(place, machines, lossy(site, alone(machines)));
    let mut several = 1;
    while !does(several) {
        if flow.at_once(place, several, lossy(site, alone(several))) || several >= MOST {
            return None;
        }
        several *= 2;
    }
    // The fewest are behind the half of them, which did not.
    Some(least(several / 2, several, does))
}

/// Every number of machines that keeps up and may cost so little, with every number of spot machines, as long as
/// `add` has room.
pub(super) fn each(
    (site, rules): (&Site, &PurchaseRules),
    flow: &Flow<'_>,
    up_to: i128,
    add: &mut impl FnMut(u32, u32) -> bool,
) {
    let place = (site.zones, site.interruption);
    let Some(fewest) = fewest(site, flow) else { return };
    for machines in fewest..=MOST {
        let Some(hour) = least_hour(site, machines) else { return };
        let floor = i128::from(hour.scale(MONTH).micros() - 4) * SCALE;
        if floor > up_to {
            return;
        }
        let (low, high) = spots(site, rules, machines);
        let within = within_quotas(site, machines, low, high);
        let does = |spot: u32| flow.does(place, machines, lossy(site, spot));
        let counts = within.and_then(|(low, high)| Some(low..=most(low, high, does)?));
        if counts.is_some_and(|mut counts| !counts.all(|spot| add(machines, spot))) {
            return;
        }
    }
}
