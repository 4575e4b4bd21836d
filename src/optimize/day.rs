//! Pools that follow the load of a week (decision 11): which share of the peak a pool must be ready for at which second, and
//! what the machines of the hours below the peak come to. Days that are alike are a week as well, of which a plan tells one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use rhumb_api::Money;

use super::base::Base;
use super::pool::{Ask, Count, Day, Extra, Needs, Terms, weights_gib};
use super::service::{Chosen, Search};
use super::table::Way;
use crate::perf;
use crate::placement::{Following, HourClass, Rejection, Switch};
use crate::spec::{Daily, PEAK_SHARE, WEEK_HOURS, WEEK_S};

const HOUR: u32 = 3600;

/// A share of the peak that a pool is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    /// Millionths of the peak.
    pub share: u32,
    /// Seconds of the week in which it is so.
    pub seconds: u32,
    /// The sum over these seconds of the share that then arrives, in millionths.
    pub arrives: u64,
}

/// The classes of a start-up time, ascending, and when they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    pub list: Vec<Class>,
    pub schedule: Vec<Switch>,
}

impl Classes {
    /// Those of machines that are started `start_up_s` before they are needed.
    pub fn of(daily: &Daily, start_up_s: u32) -> Self {
        let (whole, part) = ((start_up_s / HOUR) as usize, start_up_s % HOUR);
        let week = daily.week();
        let most = |from: usize, hours: usize| {
            (0..=hours.min(WEEK_HOURS - 1)).map(|k| week[(from + k) % WEEK_HOURS]).max().unwrap_or(0)
        };
        // Each hour until a start-up of what follows begins in it, and from then on.
        let mut stretches: Vec<(u32, u32, u32, u32)> = Vec::with_capacity(2 * WEEK_HOURS);
        for (hour, share) in week.iter().enumerate() {
            let start = hour as u32 * HOUR;
            stretches.push((start, HOUR - part, most(hour, whole), *share));
            if part > 0 {
                stretches.push((start + HOUR - part, part, most(hour, whole + 1), *share));
            }
        }
        let mut classes: BTreeMap<u32, Class> = BTreeMap::new();
        for (_, seconds, share, arrives) in &stretches {
            let class = classes.entry(*share).or_insert(Class { share: *share, seconds: 0, arrives: 0 });
            class.seconds += seconds;
            class.arrives += u64::from(*seconds) * u64::from(*arrives);
        }
        let list: Vec<Class> = classes.into_values().collect();
        let mut before = stretches.last().map_or(0, |s| s.2);
        let mut schedule = Vec::new();
        for (at_s, _, share, _) in stretches {
            if share != before
                && let Ok(class) = list.binary_search_by_key(&share, |c| c.share)
            {
                schedule.push(Switch { at_s, class });
            }
            before = share;
        }
        Classes { list, schedule }
    }

    /// Seconds of the peak.
    pub fn peak(&self) -> Class {
        self.list.last().copied().unwrap_or(Class { share: PEAK_SHARE, seconds: WEEK_S, arrives: 0 })
    }

    /// All below the peak.
    pub fn below(&self) -> &[Class] {
        self.list.split_last().map_or(&[], |(_, below)| below)
    }
}

/// The mean of a week's shares.
pub(super) fn mean(daily: &Daily, of: Money) -> Money {
    let sum: i128 = daily.week().iter().map(|s| i128::from(*s)).sum();
    over(i128::from(of.micros()) * sum, i128::from(PEAK_SHARE) * WEEK_HOURS as i128)
}

/// As many hours as may have a load of their own.
pub(super) fn differ(daily: &Daily) -> i64 {
    daily.shares.len() as i64 * if daily.weekend.is_some() { 2 } else { 1 }
}

/// A quotient, rounded half up.
pub(super) fn over(amount: i128, by: i128) -> Money {
    let micros = (2 * amount + by).div_euclid(2 * by);
    Money::from_micros(micros.clamp(i128::from(i64::MIN / 1024), i128::from(i64::MAX / 1024)) as i64)
}

/// `price` for so many machine-seconds of a week, dollars an hour.
pub(super) fn by_seconds(price: Money, seconds: i64) -> Money {
    over(i128::from(price.micros()) * i128::from(seconds), i128::from(WEEK_S))
}

/// Responses of a class as a part of an hour of the whole week, if an hour at the class's own load costs `of`.
pub(super) fn arriving(class: &Class, of: Money) -> Money {
    if class.share == 0 {
        return Money::ZERO;
    }
    over(i128::from(of.micros()) * i128::from(class.arrives), i128::from(class.share) * i128::from(WEEK_S))
}

/// A pool's hours below the peak. They depend on nothing that is chosen for the peak, nor on prices of shared limits; but where machines
/// are held, each hour uses those that the peak has first ([`Rest::with`]).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rest {
    pub classes: Arc<Classes>,
    /// Of each class below the peak.
    pub counts: Vec<Count>,
    /// Machine-seconds of a week below the peak: not spot, and spot.
    pub base_seconds: i64,
    pub spot_seconds: i64,
    /// The most machines of a kind in these hours.
    pub most_base: u32,
    pub most_spot: u32,
    pub most_replicas: u32,
    /// Response bytes of these hours, dollars an hour of the whole week.
    pub responses: Money,
    /// The dearest hour.
    pub dearest: Money,
    /// The dearest hour with spot bought on demand.
    pub ceiling: Money,
    /// Of a site with held machines; then what is said of them is said with as many as are held.
    pub held: Option<HeldHours>,
}

/// What an hour costs where machines are held.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldHours {
    stock: u32,
    /// Of a machine that is not held, if there is one.
    base: Option<Money>,
    /// Of a held one.
    price: Money,
    /// Responses of an hour of each class below the peak.
    responses: Vec<Money>,
}

impl Rest {
    /// The hours of a pool that has so many held machines at the peak: each uses those first. `None` if one of them needs others, and
    /// none can be bought. Where nothing is held, all is as it was chosen.
    pub fn with(&self, held: u32) -> Option<Cow<'_, Rest>> {
        let Some(hours) = &self.held else { return Some(Cow::Borrowed(self)) };
        if held == hours.stock {
            return self.held_does().then_some(Cow::Borrowed(self));
        }
        let rest = self.split(hours.clone(), held);
        rest.held_does().then_some(Cow::Owned(rest))
    }

    /// Whether what is not held can be bought.
    fn held_does(&self) -> bool {
        self.most_base == 0 || self.held.as_ref().is_none_or(|hours| hours.base.is_some())
    }

    /// The hours as they cost least at some prices.
    pub fn least(&self, terms: &Terms) -> Cow<'_, Rest> {
        match (&self.held, terms.run_base, terms.run_spot) {
            (Some(hours), Some(base), Some(held)) if held > base => Cow::Owned(self.split(hours.clone(), 0)),
            _ => Cow::Borrowed(self),
        }
    }

    /// The same hours with so many of the machines held.
    fn split(&self, hours: HeldHours, held: u32) -> Rest {
        let mut rest = Rest {
            counts: self.counts.clone(),
            classes: Arc::clone(&self.classes),
            responses: self.responses,
            most_replicas: self.most_replicas,
            base_seconds: 0,
            spot_seconds: 0,
            most_base: 0,
            most_spot: 0,
            dearest: Money::ZERO,
            ceiling: Money::ZERO,
            held: None,
        };
        for ((class, count), responses) in
            self.classes.below().iter().zip(&mut rest.counts).zip(&hours.responses)
        {
            count.spot = count.machines.min(held);
            let on = count.machines - count.spot;
            let seconds = i64::from(class.seconds);
            rest.base_seconds += seconds * i64::from(on);
            rest.spot_seconds += seconds * i64::from(count.spot);
            rest.most_base = rest.most_base.max(on);
            rest.most_spot = rest.most_spot.max(count.spot);
            let price = hours.base.unwrap_or(Money::ZERO).times(i64::from(on))
                + hours.price.times(i64::from(count.spot))
                + *responses;
            rest.dearest = rest.dearest.max(price);
            rest.ceiling = rest.ceiling.max(price);
        }
        rest.held = Some(hours);
        rest
    }
}

impl<'a> Search<'a> {
    /// Whether pools follow the load.
    pub fn follows(&self) -> Option<&'a Daily> {
        self.service.follows().filter(|_| !self.flat)
    }

    /// Seconds that a machine of a way is started before it is needed.
    fn start_up_s(&self, machine: usize, way: &Way) -> Option<u32> {
        let speed = self.table.speeds.get(*way.speed.as_ref().ok()?)?;
        let kind = &self.job.world.catalog.instance_types[self.table.machines[machine].index];
        let bytes = weights_gib(speed, way) * super::pool::GIB;
        Some(perf::start_up_s(bytes, kind.network_gbps).ceil().clamp(0.0, f64::from(u32::MAX)) as u32)
    }

    /// Whether nothing runs in a class of hours.
    pub fn rests_in(&self, class: &Class) -> bool {
        class.share == 0 && self.service.scaling.to_zero
    }

    /// Seconds of a week in which nothing runs at the most, however soon machines start.
    pub fn may_rest_s(&self, daily: &Daily) -> u32 {
        let hours = daily.week().iter().filter(|share| **share == 0).count() as u32;
        if self.service.scaling.to_zero { hours * HOUR } else { 0 }
    }

    /// The classes of a way, if its pools follow the load.
    pub fn classes(&self, machine: usize, way: &Way) -> Option<Arc<Classes>> {
        let daily = self.follows()?;
        let start_up_s = self.start_up_s(machine, way)?;
        let mut known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Classes::of(daily, start_up_s));
        Some(Arc::clone(known.entry(start_up_s).or_insert_with(new)))
    }

    /// How a pool goes through the week.
    ///
    /// # Errors
    /// What stands in the way of an hour below the peak.
    pub fn day(&self, base: &Base<'a>, regions: u32, (site, way): (usize, usize)) -> Result<Day, Rejection> {
        let Some(daily) = &self.service.traffic.daily else { return Ok(Day::Flat) };
        if self.flat {
            return Ok(Day::Flat);
        }
        let machine = self.table.sites[site].machine;
        let of = &self.table.machines[machine].ways[way];
        let Some(classes) = self.classes(machine, of) else { return Ok(Day::Fixed(Box::new(daily.clone()))) };
        let key = (base.origins.clone(), regions, site, way);
        let known = self.rests.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return known.map(Day::Following);
        }
        let rest = self.rest(base, regions, (site, way), classes).map(Arc::new);
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).insert(key, rest.clone());
        rest.map(Day::Following)
    }

    fn rest(
        &self,
        base: &Base<'a>,
        regions: u32,
        (site, way): (usize, usize),
        classes: Arc<Classes>,
    ) -> Result<Rest, Rejection> {
        let place = &self.table.sites[site];
        let of = &self.table.machines[place.machine].ways[way];
        let none = |why: &str| Rejection {
            constraint: "infeasible",
            reason: why.to_owned(),
            at: None,
            distance: None,
        };
        let index = of.speed.clone()?;
        let ms = base.network.get(place.region).copied().flatten().ok_or_else(|| none("no route"))?;
        let terms = &self.own_terms[site];
        // How many machines an hour needs does not depend on which of them are held: these are never interrupted.
        let held = terms.held.zip(terms.spot);
        let any = held.map(|(_, price)| Terms {
            base: terms.base.or(Some(price)),
            spot: None,
            held: None,
            quotas: terms.quotas.iter().filter(|q| q.base > 0.0).cloned().collect(),
            ..terms.clone()
        });
        let mut hours =
            held.map(|(stock, price)| HeldHours { stock, base: terms.base, price, responses: Vec::new() });
        let terms = any.as_ref().unwrap_or(terms);
        // Its part of what the service has at least, so that all pools together have it in every hour.
        let part = f64::from(self.service.scaling.min_replicas) * base.share / f64::from(regions);
        let least_replicas = (part - 1e-9).ceil().max(1.0) as u32;
        let mut rest = Rest {
            counts: Vec::new(),
            base_seconds: 0,
            spot_seconds: 0,
            most_base: 0,
            most_spot: 0,
            most_replicas: 0,
            responses: Money::ZERO,
            dearest: Money::ZERO,
            ceiling: Money::ZERO,
            classes: Arc::clone(&classes),
            held: None,
        };
        for class in classes.below() {
            if self.rests_in(class) {
                rest.counts.push(Count::default());
                if let Some(hours) = &mut hours {
                    hours.responses.push(Money::ZERO);
                }
                continue;
            }
            let needs = self.needs_of(base, regions, ms, index, class.share);
            // Of an hour of the class, not of the week.
            let responses = |n: u32| self.own_responses(base, place.region, needs.rate(n));
            let extra = |n: u32| Extra {
                run: arriving(class, responses(n)).scale(f64::from(WEEK_S) / f64::from(class.seconds)),
                toll: Money::ZERO,
            };
            let ask = Ask {
                terms,
                way: of,
                speed: &self.table.speeds[index],
                survive: self.service.survive,
                least_replicas,
                most_replicas: self.service.scaling.max_replicas,
                extra: &extra,
                day: Day::Flat,
                stands: None,
            };
            let count = ask.cheapest(&needs, Money::MAX)?.ok_or_else(|| none("no number of machines"))?;
            let (price, ceiling) =
                terms.price(count.machines, count.spot).ok_or_else(|| none("not for sale"))?;
            let seconds = i64::from(class.seconds);
            let on = count.machines - count.spot;
            rest.base_seconds += seconds * i64::from(on);
            rest.spot_seconds += seconds * i64::from(count.spot);
            rest.most_base = rest.most_base.max(on);
            rest.most_spot = rest.most_spot.max(count.spot);
            rest.most_replicas = rest.most_replicas.max(count.replicas);
            rest.responses += arriving(class, responses(count.replicas));
            rest.dearest = rest.dearest.max(price + responses(count.replicas));
            rest.ceiling = rest.ceiling.max(ceiling + responses(count.replicas));
            rest.counts.push(count);
            if let Some(hours) = &mut hours {
                hours.responses.push(responses(count.replicas));
            }
        }
        Ok(match hours {
            Some(hours) => {
                let stock = hours.stock;
                rest.split(hours, stock)
            }
            None => rest,
        })
    }

    /// Forgets what hours need: a replay contradicted one of them.
    pub fn forget_hours(&self) {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the hours below the peak need, and what they have; nothing of those in which nothing runs.
    pub fn hours_below(
        &self,
        base: &Base<'a>,
        regions: u32,
        chosen: &Chosen,
    ) -> Vec<(Arc<Needs<'a>>, Count)> {
        let Ok(Day::Following(rest)) = self.day(base, regions, (chosen.site, chosen.way)) else {
            return Vec::new();
        };
        let site = &self.table.sites[chosen.site];
        let way = &self.table.machines[site.machine].ways[chosen.way];
        let (Ok(index), Some(ms)) = (&way.speed, base.network.get(site.region).copied().flatten()) else {
            return Vec::new();
        };
        let Some(rest) = rest.with(chosen.count.spot) else { return Vec::new() };
        let needs = |share| self.needs_of(base, regions, ms, *index, share);
        let hours = rest.classes.below().iter().zip(&rest.counts).filter(|(c, _)| !self.rests_in(c));
        hours.map(|(c, count)| (needs(c.share), *count)).collect()
    }

    /// What a plan says of it.
    pub fn following(
        &self,
        base: &Base<'a>,
        regions: u32,
        chosen: &Chosen,
    ) -> Option<(Following, Arc<Rest>)> {
        let Ok(Day::Following(rest)) = self.day(base, regions, (chosen.site, chosen.way)) else {
            return None;
        };
        let rest = match rest.with(chosen.count.spot)? {
            Cow::Borrowed(_) => Arc::clone(&rest),
            Cow::Owned(rest) => Arc::new(rest),
        };
        let machine = self.table.sites[chosen.site].machine;
        let way = &self.table.machines[machine].ways[chosen.way];
        let counts = rest.counts.iter().copied().chain([chosen.count]);
        let daily = self.service.traffic.daily.as_ref()?;
        let repeats = daily.repeats();
        let classes = rest
            .classes
            .list
            .iter()
            .zip(counts)
            .map(|(class, count)| HourClass {
                share: class.share,
                seconds: class.seconds / repeats,
                replicas: count.replicas,
                machines: vec![count.machines - count.spot, count.spot],
            })
            .collect();
        let following = Following {
            time_zone: daily.time_zone.clone(),
            start_up_s: self.start_up_s(machine, way)?,
            classes,
            schedule: rest.classes.schedule.iter().filter(|s| s.at_s < WEEK_S / repeats).copied().collect(),
        };
        Some((following, rest))
    }
}

/// No machine of a site costs less than this, whatever the mix.
pub(super) fn least_of_one(terms: &Terms, base: Option<Money>, spot: Option<Money>) -> Option<Money> {
    match (base, spot) {
        (Some(base), Some(spot)) if spot < base && terms.share > 0.0 => {
            Some(Money::from_micros(base.micros() - (base - spot).scale(terms.share.min(1.0)).micros() - 1))
        }
        (Some(base), _) => Some(base),
        (None, spot) => spot.filter(|_| terms.share > 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(shares: [u32; 24], weekend: Option<[u32; 24]>) -> Daily {
        Daily { name: None, shares, weekend, time_zone: "UTC".into(), at: Default::default() }
    }

    /// As the decision says it, second by second.
    fn slow(daily: &Daily, ahead: u32) -> Classes {
        let week = daily.week();
        let share = |t: u32| week[(t % WEEK_S / HOUR) as usize];
        let ready: Vec<u32> = (0..WEEK_S)
            .map(|t| (t / HOUR..=(t + ahead) / HOUR).map(|h| share(h * HOUR)).max().unwrap())
            .collect();
        let mut classes: BTreeMap<u32, Class> = BTreeMap::new();
        for (t, own) in ready.iter().enumerate() {
            let class = classes.entry(*own).or_insert(Class { share: *own, seconds: 0, arrives: 0 });
            class.seconds += 1;
            class.arrives += u64::from(share(t as u32));
        }
        let list: Vec<Class> = classes.into_values().collect();
        let index = |share: u32| list.iter().position(|c| c.share == share).unwrap();
        let before = |t: u32| ready[((t + WEEK_S - 1) % WEEK_S) as usize];
        let switches = (0..WEEK_S).filter(|t| before(*t) != ready[*t as usize]);
        let schedule = switches.map(|at_s| Switch { at_s, class: index(ready[at_s as usize]) }).collect();
        Classes { list, schedule }
    }

    fn random() -> impl FnMut(u64) -> u64 {
        let mut state = 5_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        }
    }

    #[test]
    fn classes_agree_with_every_second_of_a_week() {
        let mut next = random();
        for ahead in [0, 1, 258, 3_600, 5_401, 30_000] {
            let mut day = |levels| std::array::from_fn(|_| 100_000 * next(levels) as u32);
            let profile = daily(day(11), Some(day(4)));
            assert_eq!(Classes::of(&profile, ahead), slow(&profile, ahead), "{profile:?} {ahead}");
        }
    }

    #[test]
    fn days_that_are_alike_are_a_seventh_of_a_week() {
        let mut next = random();
        for ahead in [0, 90, 3_599, 3_600, 7_201, 90_000] {
            let shares = std::array::from_fn(|_| 250_000 * next(5) as u32);
            let week = Classes::of(&daily(shares, None), ahead);
            assert_eq!(week, Classes::of(&daily(shares, Some(shares)), ahead));
            assert!(week.list.iter().all(|c| c.seconds % 7 == 0 && c.arrives % 7 == 0), "{week:?}");
            let first: Vec<Switch> = week.schedule.iter().copied().filter(|s| s.at_s < WEEK_S / 7).collect();
            let days = (0..7).flat_map(|d| first.iter().map(move |s| (s.at_s + d * WEEK_S / 7, s.class)));
            assert!(days.eq(week.schedule.iter().map(|s| (s.at_s, s.class))), "{week:?}");
        }
    }
}
