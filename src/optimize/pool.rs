//! The machines of one pool: how many, and how many of them on spot. Integers only, once the replicas
//! that the load needs are known.

use std::sync::Arc;

use rhumb_api::Money;

use super::day::{self, Rest};
use super::degrade::{StandIns, Standing};

use super::load::MOST_REPLICAS;
pub(super) use super::needs::{Needs, weights_gib};
use super::table::{Speed, Way};
pub(super) use super::terms::{PRICE_ONE, QuotaLimit, Terms, times};

use crate::placement::Rejection;
use crate::spec::{BudgetBinds, Daily, Survive, WEEK_S};

/// Bytes of a GiB.
pub(super) const GIB: f64 = 1_073_741_824.0;

/// A number of machines that does the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Machines, spot included.
    pub machines: u32,
    pub spot: u32,
    pub replicas: u32,
    /// The most of each in any hour of the week: not spot, spot, replicas.
    pub most_base: u32,
    pub most_spot: u32,
    pub most_replicas: u32,
    /// Machines beside the most of each kind while they are made anew.
    pub beside_base: u32,
    pub beside_spot: u32,
    /// Machine-seconds of a week.
    pub seconds: i64,
    /// Micro-dollars an hour as expected over the week, transfers included.
    pub cost: Money,
    /// The same if all hours are as dear as the dearest: that of the peak, or where a lower class costs more, that one.
    pub peak: Money,
    /// The same with spot bought on demand, and with the machines that are there besides while a change is rolled out.
    pub ceiling: Money,
    /// What stands in for what is missing of it in a failure; the costs have it.
    pub stand_in: Option<Standing>,
}

impl Count {
    /// The most machines of each kind that count against quotas at once.
    pub fn takes(&self) -> (u32, u32) {
        (self.most_base + self.beside_base, self.most_spot + self.beside_spot)
    }

    /// The figure that a budget limits.
    pub fn bound(&self, binds: BudgetBinds) -> Money {
        match binds {
            BudgetBinds::Expected => self.cost,
            BudgetBinds::PeakMonth => self.peak,
            BudgetBinds::Ceiling => self.ceiling,
        }
    }
}

/// What a pool costs besides machines and weights, dollars an hour at the load of the peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// For what is sent.
    pub run: Money,
    /// For what it takes of budgets that limit the load of the peak.
    pub toll: Money,
}

impl Extra {
    pub fn all(self) -> Money {
        self.run + self.toll
    }
}

/// How a pool goes through the week.
#[derive(Clone, Debug)]
pub(super) enum Day {
    /// The peak in every hour.
    Flat,
    /// As large as the peak asks for in every hour; what is sent follows the load.
    Fixed(Box<Daily>),
    /// As large as each hour asks for.
    Following(Arc<Rest>),
}

/// What a search for the machines of a pool goes by.
pub(super) struct Ask<'a> {
    pub terms: &'a Terms,
    pub way: &'a Way,
    pub speed: &'a Speed,
    pub survive: Survive,
    /// Bounds on the replicas of this pool alone.
    pub least_replicas: u32,
    pub most_replicas: Option<u32>,
    /// Cost besides machines and weights, for a pool of so many replicas.
    pub extra: &'a dyn Fn(u32) -> Extra,
    pub day: Day,
    /// What may stand in, and the pool's region.
    pub stands: Option<(&'a dyn StandIns, usize)>,
}

impl Ask<'_> {
    /// Most replicas that fail at once, for `units` groups; `None` if nothing can be left.
    pub fn lost(&self, units: u32, spot: u32) -> Option<u32> {
        let per = self.way.replicas;
        let zones = self.terms.zones.map_or(1, |z| z.min(units).max(1));
        let mut most = self.survive.replica;
        most = most.max(self.survive.machine.checked_mul(self.way.per_machine())?);
        if self.survive.zone > 0 {
            if self.terms.zones.is_none() || zones <= self.survive.zone {
                return None;
            }
            most = most.max(units.div_ceil(zones).checked_mul(per)?.checked_mul(self.survive.zone)?);
        }
        if spot > 0 && self.terms.held.is_none() {
            let gone = (self.terms.interruption * f64::from(spot) - 1e-9).ceil().max(1.0) as u32;
            most = most.max(gone.checked_mul(per)?);
        }
        Some(most)
    }

    /// Whether `units` groups of machines of which `spot` machines are spot do the job.
    pub fn does(&self, needs: &Needs<'_>, units: u32, spot: u32) -> bool {
        let Some(least) = needs.replicas else { return false };
        let Some(n) = units.checked_mul(self.way.replicas) else { return false };
        if n < least {
            return false;
        }
        let Some(lost) = self.lost(units, spot) else { return false };
        let left = lost == 0 || (n > lost && needs.left(n).is_some_and(|left| n - lost >= left));
        left && !needs.known_not_to(n, lost)
    }

    /// Whether the replay contradicts nothing of a count that does by the closed form.
    pub fn confirmed(&self, needs: &Needs<'_>, units: u32, spot: u32) -> bool {
        let lost = self.lost(units, spot).unwrap_or(0);
        needs.replays(units.saturating_mul(self.way.replicas), lost)
    }

    /// Fewest groups that could do, and a number that does if any does.
    pub fn range(&self, needs: &Needs<'_>) -> Result<(u32, u32), Rejection> {
        let per = f64::from(self.way.replicas);
        let no = |constraint, reason: String| Rejection { constraint, reason, at: None, distance: None };
        let Some(least) = needs.replicas else {
            return Err(no("saturated", "no number of replicas carries the load within the limits".into()));
        };
        if needs.hopeless() {
            let why = "a replay of requests that have a replica each breaks a limit, and so does any number of replicas";
            return Err(no("replay", why.into()));
        }
        let s = self.survive;
        if s.zone > 0 && self.terms.zones.is_none_or(|z| z <= s.zone) {
            let zones = self.terms.zones.map_or("an unknown number of".into(), |z| z.to_string());
            return Err(no("survive", format!("{zones} zones, {} may fail", s.zone)));
        }
        let only_spot = self.terms.base.is_none();
        if only_spot && (self.terms.most_spot(1) < 1 || self.terms.interruption >= 1.0) {
            let reason = if self.terms.interruption >= 1.0 {
                "all machines would be spot, and all may be interrupted in a month"
            } else {
                "sold as spot only, and not all machines may be spot"
            };
            return Err(no("purchase", reason.into()));
        }
        let first = least.max(self.least_replicas).div_ceil(self.way.replicas.max(1)).max(1);
        let left = needs.left(MOST_REPLICAS).or_else(|| needs.left(least)).unwrap_or(least);
        let zone_share =
            if s.zone > 0 { f64::from(s.zone) / f64::from(self.terms.zones.unwrap_or(1)) } else { 0.0 };
        let spot_share = if only_spot { self.terms.interruption } else { 0.0 };
        let margin = f64::from(s.replica)
            + f64::from(s.machine) * f64::from(self.way.per_machine())
            + f64::from(s.zone + 2) * per;
        let enough = (f64::from(left.max(least)) + margin) / per;
        let enough = enough / (1.0 - zone_share) / (1.0 - spot_share) + f64::from(s.zone + 1) + 2.0;
        // The closed form is off by less than that wherever it was checked.
        let more = if self.speed.refuted.any() { 8.0 } else { 1.0 };
        let last = first.max((enough * more).ceil().clamp(1.0, f64::from(MOST_REPLICAS)) as u32);
        Ok((first, last))
    }

    /// The cheapest number of machines that costs no more than `limit`.
    ///
    /// # Errors
    /// What rejects the pool, if no number does whatever the cost; `Ok(None)` if all cost more.
    pub fn cheapest(&self, needs: &Needs<'_>, limit: Money) -> Result<Option<Count>, Rejection> {
        let (first, last) = self.range(needs)?;
        let gib = weights_gib(self.speed, self.way);
        let mut best: Option<Count> = None;
        let (mut too_many, mut over_quota, mut dear) = (false, false, false);
        for units in first..=u32::MAX {
            let Some(machines) = units.checked_mul(self.way.span.max(1)) else { break };
            let n = units.saturating_mul(self.way.replicas);
            if self.most_replicas.is_some_and(|most| n > most) {
                too_many = true;
                break;
            }
            if !self.terms.any_within_quotas(machines) {
                over_quota = true;
                break;
            }
            let Some(floor) = self.terms.least(machines) else { break };
            let floor = self.floor(floor, n) + self.terms.copying(gib, machines);
            let floor = floor + self.terms.least_beside(machines);
            let bar = best.map_or(limit, |b| b.cost.min(limit));
            if floor > bar || best.is_some_and(|b| floor == b.cost && b.stand_in.is_none()) {
                dear = true;
                break;
            }
            if best.is_none() && units > last {
                break;
            }
            let mut take = |count: Count| {
                let better = best.is_none_or(|b| count.rank() < b.rank());
                if better && count.cost <= limit {
                    best = Some(count);
                } else if count.cost > limit {
                    dear = true;
                }
            };
            let Some(spot) = self.spot_of(needs, units, machines, &mut over_quota) else {
                self.stand_ins(needs, units, machines, gib).into_iter().take(1).for_each(take);
                continue;
            };
            // Other hours have as many held machines as the peak, and the first machines of a kind have others besides: then the cheapest
            // number is not always the one at the end.
            let all = self.terms.held.is_some() && matches!(self.day, Day::Following(_))
                || self.terms.surge > 0 && self.terms.spot.is_some();
            let within = |spot: &u32| self.terms.within_quotas(machines, *spot);
            let most = if all { self.terms.most_spot(machines) + 1 } else { 0 };
            let does = |spot: &u32| self.does(needs, units, *spot);
            let others = (0..most).filter(|n| *n != spot).filter(within).filter(does);
            for spot in std::iter::once(spot).chain(others) {
                self.count(units, machines, spot, gib).into_iter().for_each(&mut take);
            }
        }
        if best.is_some() || dear {
            return Ok(best);
        }
        let (constraint, reason) = if too_many {
            ("max_replicas", "more replicas than allowed would be needed".to_owned())
        } else if over_quota {
            let codes: Vec<String> =
                self.terms.quotas.iter().map(|q| format!("{} of {}", q.code, q.limit)).collect();
            ("quota", format!("the declared quota {} is too small", codes.join(", ")))
        } else if self.speed.refuted.any() {
            ("replay", "a replay breaks a limit at every number of machines that could do".to_owned())
        } else {
            ("survive", "too little is left when machines fail or are interrupted".to_owned())
        };
        Err(Rejection { constraint, reason, at: None, distance: None })
    }

    /// What a pool costs over the week at least, copies apart, if its machines cost at least `least` at the peak.
    pub fn floor(&self, least: Money, replicas: u32) -> Money {
        let extra = (self.extra)(replicas);
        match &self.day {
            Day::Flat => least + extra.all(),
            Day::Fixed(daily) => least + day::mean(daily, extra.run) + extra.toll,
            Day::Following(rest) => {
                let peak = rest.classes.peak();
                let rest = rest.least(self.terms);
                let machines = i128::from(least.micros()) * i128::from(peak.seconds) / i128::from(WEEK_S);
                let below = |price: Option<Money>, seconds| {
                    price.map_or(Money::ZERO, |p| day::by_seconds(p, seconds))
                };
                // Rounded once where it is rounded twice here.
                Money::from_micros(machines as i64 - 2)
                    + below(self.terms.run_base, rest.base_seconds)
                    + below(self.terms.run_spot, rest.spot_seconds)
                    + self.terms.priced(rest.responses)
                    + day::arriving(&peak, extra.run)
                    + extra.toll
            }
        }
    }

    /// The cost of a number.
    pub fn count(&self, units: u32, machines: u32, spot: u32, gib: f64) -> Option<Count> {
        let (price, dearest) = self.terms.price(machines, spot)?;
        let replicas = units * self.way.replicas;
        let extra = (self.extra)(replicas);
        let copies = self.terms.copying(gib, machines);
        let on = machines - spot;
        let (more, more_spot) = self.terms.beside(on, spot);
        let (each, each_spot) = self.terms.beside;
        let beside = each.times(i64::from(more)) + each_spot.times(i64::from(more_spot));
        let peak = price + copies + extra.all();
        let ceiling = dearest + copies + extra.all();
        let mut count = Count {
            machines,
            spot,
            replicas,
            most_base: on,
            most_spot: spot,
            most_replicas: replicas,
            beside_base: 0,
            beside_spot: 0,
            seconds: i64::from(machines) * i64::from(WEEK_S),
            cost: peak + beside,
            peak,
            ceiling,
            stand_in: None,
        };
        match &self.day {
            Day::Flat => {}
            Day::Fixed(daily) => {
                count.cost = price + copies + day::mean(daily, extra.run) + extra.toll + beside;
            }
            Day::Following(rest) => {
                let at_peak = rest.classes.peak();
                let rest = rest.with(spot)?;
                let seconds = i64::from(at_peak.seconds);
                let line = |price: Option<Money>, below: i64, machines: u32| {
                    price.map_or(Money::ZERO, |p| day::by_seconds(p, below + seconds * i64::from(machines)))
                };
                let run = |price: Option<Money>, machines: u32| {
                    price.map_or(Money::ZERO, |p| p.times(i64::from(machines)))
                };
                let tolls = price - run(self.terms.run_base, on) - run(self.terms.run_spot, spot);
                count.cost = line(self.terms.run_base, rest.base_seconds, on)
                    + line(self.terms.run_spot, rest.spot_seconds, spot)
                    + tolls
                    + beside
                    + copies
                    + self.terms.priced(rest.responses)
                    + day::arriving(&at_peak, extra.run)
                    + extra.toll;
                count.peak = peak.max(rest.dearest);
                count.seconds = rest.base_seconds + rest.spot_seconds + seconds * i64::from(machines);
                count.ceiling = ceiling.max(rest.ceiling);
                count.most_base = on.max(rest.most_base);
                count.most_spot = spot.max(rest.most_spot);
                count.most_replicas = replicas.max(rest.most_replicas);
            }
        }
        (count.beside_base, count.beside_spot) = self.terms.beside(count.most_base, count.most_spot);
        let (_, dear) = self.terms.price(count.beside_base + count.beside_spot, count.beside_spot)?;
        count.ceiling += dear;
        Some(count)
    }

    /// The cheapest number of spot machines among `machines` that does.
    pub fn spot_of(&self, needs: &Needs<'_>, units: u32, machines: u32, quota: &mut bool) -> Option<u32> {
        let most = self.terms.most_spot(machines);
        let least = if self.terms.base.is_none() { machines } else { 0 };
        if least > most {
            return None;
        }
        let cheap = match (self.terms.base, self.terms.spot) {
            (Some(base), Some(spot)) => spot < base,
            _ => true,
        };
        let mut tried = |spot: u32| {
            let does = self.does(needs, units, spot);
            let within = self.terms.within_quotas(machines, spot);
            *quota |= does && !within;
            does && within
        };
        if cheap { (least..=most).rev().find(|s| tried(*s)) } else { (least..=most).find(|s| tried(*s)) }
    }
}
