//! The cheapest count of machines of one candidate, at given prices.

use rhumb_api::Money;

use super::super::day::Class;
use super::field::{Site, Way};
use super::need::{MOST_REPLICAS, Need};
use super::prices::Machine;
use super::service::Beside;
use crate::spec::{PurchaseRules, Survive};

/// A pool of some machines of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// Index into the sites of the field.
    pub site: usize,
    /// Index into the site's ways.
    pub way: usize,
    pub machines: u32,
    pub spot: u32,
    pub replicas: u32,
    /// A month at the prices, over the scale.
    pub priced: i128,
    /// Where it is on shared machines: it is paid for by the accelerators that it takes, and `machines` is the fewest that hold it.
    pub shared: Option<Slots>,
    /// What stands in for what is missing of it in a failure; the price has it.
    pub stand_in: Option<Beside>,
    /// The same pool in the classes of the day below the peak.
    pub lower: Vec<Lower>,
}

/// A pool in a class of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lower {
    pub class: Class,
    pub machines: u32,
    pub spot: u32,
    pub replicas: u32,
    /// Dollars an hour for the responses of its whole load.
    pub responses: Money,
}

/// How replicas are on shared machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    /// Accelerators of a replica, and of a machine.
    pub each: u32,
    pub whole: u32,
    /// Most replicas on one machine.
    pub most: u32,
}

impl Slots {
    /// The fewest machines that `n` replicas are on, by what they take and by the most on one.
    fn machines(self, n: u32) -> u32 {
        let taken = u64::from(n) * u64::from(self.each);
        let full = u32::try_from(taken.div_ceil(u64::from(self.whole.max(1)))).unwrap_or(u32::MAX);
        full.max(n.div_ceil(self.most.max(1)))
    }
}

/// What decides the count of a candidate's machines.
pub(super) struct Asked<'a> {
    pub site: &'a Site,
    pub way: &'a Way,
    pub rules: &'a PurchaseRules,
    pub survive: Survive,
    pub least_replicas: u32,
    pub most_replicas: Option<u32>,
    /// Whether a replay of this speed contradicted the closed form: it is then asked for each count.
    pub doubted: bool,
}

/// What a count of machines costs, in whatever unit the caller compares by.
pub(super) struct Bill<'a> {
    pub machine: Machine,
    /// Machines and replicas to what they cost besides; no less with more of either.
    pub more: &'a dyn Fn(u32, u32) -> i128,
    /// What costs as much need not be exact.
    pub bar: i128,
}

impl Asked<'_> {
    /// Most replicas that fail at once; `None` if everything does.
    pub fn lost(&self, units: u32, spot: u32) -> Option<u32> {
        let per = self.way.replicas;
        let mut lost = self.survive.replica.max(self.survive.machine.checked_mul(per)?);
        if self.survive.zone > 0 {
            let zones = self.site.zones?.min(units).max(1);
            if zones <= self.survive.zone {
                return None;
            }
            lost = lost.max(units.div_ceil(zones).checked_mul(per)?.checked_mul(self.survive.zone)?);
        }
        if spot > 0 && self.site.held.is_none() {
            let gone = (self.site.interruption * f64::from(spot) - 1e-9).ceil().max(1.0) as u32;
            lost = lost.max(gone.checked_mul(per)?);
        }
        Some(lost)
    }

    fn does(&self, need: &Need<'_>, units: u32, spot: u32, replayed: bool) -> bool {
        let n = units.saturating_mul(self.way.replicas);
        self.lost(units, spot).is_some_and(|lost| need.does(n, lost) && (!replayed || need.replays(n, lost)))
    }

    /// Whether a count without spot does, by the closed form alone or by the replay too.
    pub fn does_without_spot(&self, need: &Need<'_>, machines: u32, replayed: bool) -> bool {
        let n = machines / self.way.span.max(1) * self.way.replicas;
        self.most_replicas.is_none_or(|most| n <= most)
            && self.does(need, machines / self.way.span.max(1), 0, replayed)
    }

    /// Whether the replay lets a count.
    pub fn replays(&self, need: &Need<'_>, machines: u32, spot: u32) -> bool {
        self.does(need, machines / self.way.span.max(1), spot, true)
    }

    /// Spot machines that the rules of purchase and the declared quotas allow among `machines`: the fewest and the most.
    pub fn spots(&self, machines: u32) -> Option<(u32, u32)> {
        let (low, high) = spots(self.site, self.rules, machines);
        within_quotas(self.site, machines, low, high)
    }

    /// The cheapest count, its spot machines and what they cost; `None` if none does.
    pub fn cheapest(&self, need: &Need<'_>, bill: &Bill<'_>) -> Option<(u32, u32, i128)> {
        let machine = bill.machine;
        let fewest = need.fewest?;
        let per = self.way.replicas.max(1);
        if self.survive.zone > 0 && self.site.zones.is_none_or(|zones| zones <= self.survive.zone) {
            return None;
        }
        let cheaper = match (machine.base, machine.spot) {
            (None, Some(_)) if self.site.interruption >= 1.0 => return None,
            (Some(base), Some(spot)) if spots(self.site, self.rules, u32::MAX).1 > 0 => base.min(spot),
            (Some(base), _) => base,
            (None, spot) => spot?,
        };
        let (low, high) = spots(self.site, self.rules, u32::MAX);
        if low > high && self.site.held.is_none() {
            return None;
        }
        let first = fewest.max(self.least_replicas).div_ceil(per).max(1);
        // What no number of replicas carries during a failure, none does of more machines.
        let fails = self.lost(first, u32::from(self.site.base.is_none())) != Some(0);
        if fails && need.left(first.saturating_mul(per)).is_none() {
            return None;
        }
        if self.doubted && need.hopeless() {
            return None;
        }
        let mut best: Option<(u32, u32, i128)> = None;
        for units in first..=MOST_REPLICAS {
            // Held machines are as good as others: what fewer do, more do for no less.
            if self.site.held.is_some() && best.is_some() {
                break;
            }
            let (Some(machines), Some(n)) = (units.checked_mul(self.way.span), units.checked_mul(per)) else {
                break;
            };
            let floor = cheaper * i128::from(machines) + (bill.more)(machines, first.saturating_mul(per));
            if n > MOST_REPLICAS
                || self.most_replicas.is_some_and(|most| n > most)
                || best.is_some_and(|(_, _, b)| floor >= b)
            {
                break;
            }
            // A replay far out, or of what is dearer than is asked about, would change nothing.
            let replayed =
                self.doubted && floor < bill.bar && units <= first.saturating_mul(8).saturating_add(64);
            // What the quotas do not allow of some machines they do not allow of more.
            let Some((low, high)) = self.spots(machines) else { break };
            // What fewer spot machines cannot do, more of them cannot.
            let Some(most) = most(low, high, |spot| self.does(need, units, spot, false)) else { continue };
            // Between the two parts that a quota of both kinds may leave there is nothing.
            let Some(most) = (low..=most).rev().find(|spot| self.site.keeps(machines, *spot)) else {
                continue;
            };
            let more = (bill.more)(machines, n);
            let cost = |spot: u32| {
                let base = machine.base.unwrap_or(0) * i128::from(machines - spot);
                let (on, beside) = self.site.beside(machines, spot);
                let besides = machine.beside.0 * i128::from(on) + machine.beside.1 * i128::from(beside);
                base + machine.spot.unwrap_or(0) * i128::from(spot) + besides + more
            };
            // A replay allows no more than the closed form, so that what is no cheaper by it need not be played.
            if best.is_some_and(|(_, _, b)| cost(low).min(cost(most)) >= b) {
                continue;
            }
            let played = |spot: &u32| !replayed || self.does(need, units, *spot, true);
            let Some(most) = (low..=most).rev().find(played) else { continue };
            // The cost is linear in the spot machines, but for what is there besides, which grows ever less: one of the ends is the least.
            let spot = if cost(low) <= cost(most) { low } else { most };
            if best.is_none_or(|(_, _, b)| cost(spot) < b) {
                best = Some((machines, spot, cost(spot)));
            }
        }
        best
    }
}

impl Asked<'_> {
    /// Most replicas on shared machines that fail at once; `None` if everything does.
    fn lost_of(&self, slots: Slots, n: u32) -> Option<u32> {
        let lost = self.survive.replica.max(self.survive.machine.checked_mul(slots.most)?);
        let zone = if self.survive.zone > 0 { self.per_zone(n)?.checked_mul(self.survive.zone)? } else { 0 };
        Some(lost.max(zone))
    }

    /// Most of `n` replicas in one zone; `None` if no zone is left when those that may have failed.
    fn per_zone(&self, n: u32) -> Option<u32> {
        let zones = self.site.zones?.min(n).max(1);
        (zones > self.survive.zone).then(|| n.div_ceil(zones))
    }

    fn does_on(&self, need: &Need<'_>, slots: Slots, n: u32, replayed: bool) -> bool {
        self.lost_of(slots, n).is_some_and(|lost| need.does(n, lost) && (!replayed || need.replays(n, lost)))
    }

    /// Whether the replay lets a number of replicas on shared machines.
    pub fn replays_on(&self, need: &Need<'_>, slots: Slots, n: u32) -> bool {
        self.does_on(need, slots, n, true)
    }

    /// The fewest machines that `n` replicas are on, whoever else is there.
    fn machines_of(&self, slots: Slots, n: u32) -> u32 {
        let in_zones = if self.survive.zone > 0 { self.per_zone(n).map_or(0, |d| n.div_ceil(d)) } else { 0 };
        slots.machines(n).max(in_zones)
    }

    /// The fewest replicas that do on shared machines (each more costs no less), how they are there, and the fewest machines
    /// that hold them; `cost` is what so many cost. `None` if no number does.
    ///
    /// Fewer on a machine never costs more here, since accelerators are paid for and not machines; more are tried where the
    /// declared quotas do not have so many machines.
    pub fn fewest_on(
        &self,
        need: &Need<'_>,
        (each, whole): (u32, u32),
        cost: &dyn Fn(u32) -> i128,
        bar: i128,
    ) -> Option<(u32, Slots, u32)> {
        let first = need.fewest?.max(self.least_replicas).max(1);
        if self.survive.zone > 0 && self.site.zones.is_none_or(|zones| zones <= self.survive.zone) {
            return None;
        }
        let most = whole / each.max(1);
        let choices = if self.survive.machine > 0 { 1..=most } else { most..=most };
        let survive = self.survive;
        if survive.replica.max(survive.machine).max(survive.zone) > 0 && need.left(first).is_none() {
            return None;
        }
        for n in first..=MOST_REPLICAS {
            // Of more replicas as many machines at least; not so where zones make it more.
            let least = within_quotas(self.site, Slots { each, whole, most }.machines(n), 0, 0);
            if self.most_replicas.is_some_and(|most| n > most) || least.is_none() {
                return None;
            }
            let replayed = self.doubted && cost(n) < bar && n <= first.saturating_mul(8).saturating_add(64);
            let fits = |slots: &Slots| {
                let machines = self.machines_of(*slots, n);
                within_quotas(self.site, machines, 0, 0).is_some() && self.does_on(need, *slots, n, replayed)
            };
            let chosen = choices.clone().map(|most| Slots { each, whole, most }).find(fits);
            if let Some(slots) = chosen {
                return Some((n, slots, self.machines_of(slots, n)));
            }
        }
        None
    }
}

/// What so many machines cost in an hour at the least, with as many held ones as there are; `None` if they cannot be had.
pub(super) fn least_hour(site: &Site, machines: u32) -> Option<Money> {
    let all = |price: Money, n: u32| price.times(i64::from(n));
    match (site.base, site.spot, site.held) {
        (Some(base), Some(held), Some(stock)) if held < base => {
            let few = machines.min(stock);
            Some(all(held, few) + all(base, machines - few))
        }
        (None, Some(held), Some(stock)) => (machines <= stock).then(|| all(held, machines)),
        (Some(base), Some(spot), None) => Some(all(base.min(spot), machines)),
        (Some(base), ..) => Some(all(base, machines)),
        (None, spot, _) => Some(all(spot?, machines)),
    }
}

/// Machines that may be lost among so many spot or held ones.
pub(super) fn lossy(site: &Site, spot: u32) -> u32 {
    if site.held.is_some() { 0 } else { spot }
}

/// The fewest and the most spot machines by the rules of purchase.
pub(super) fn spots(site: &Site, rules: &PurchaseRules, machines: u32) -> (u32, u32) {
    let low = if site.base.is_none() { machines } else { 0 };
    if site.spot.is_none() {
        return (low, 0);
    }
    if let Some(stock) = site.held {
        return (low, stock.min(machines));
    }
    let share = (rules.spot_max_share * f64::from(machines) + 1e-9).floor().max(0.0) as u32;
    (low, share.min(machines).min(machines.saturating_sub(rules.on_demand_base)))
}

/// Those of them that the declared quotas allow: `None` if there are none.
pub(super) fn within_quotas(site: &Site, machines: u32, low: u32, high: u32) -> Option<(u32, u32)> {
    if low > high {
        return None;
    }
    if site.surge > 0 {
        let keeps = |spot: &u32| site.keeps(machines, *spot);
        return Some(((low..=high).find(keeps)?, (low..=high).rev().find(keeps)?));
    }
    let (mut low, mut high) = (f64::from(low), f64::from(high));
    for q in &site.quotas {
        // base * (machines - spot) + spot_each * spot <= limit
        let (each, room) = (q.spot - q.base, q.limit + 1e-9 - q.base * f64::from(machines));
        if each > 0.0 {
            high = high.min((room / each + 1e-9).floor());
        } else if each < 0.0 {
            low = low.max((room / each - 1e-9).ceil());
        } else if room < 0.0 {
            return None;
        }
    }
    (low <= high && high >= 0.0).then_some((low as u32, high as u32))
}

/// The largest number in a range for which `holds`, which is lost as numbers grow.
pub(super) fn most(low: u32, high: u32, holds: impl Fn(u32) -> bool) -> Option<u32> {
    if holds(high) {
        return Some(high);
    }
    if low == high || !holds(low) {
        return None;
    }
    let (mut yes, mut no) = (low, high);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(middle) { yes = middle } else { no = middle }
    }
    Some(yes)
}
