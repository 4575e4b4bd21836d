//! The machines of one pool: how many, and how many of them on spot. Integers only, once the replicas
//! that the load needs are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhumb_api::Money;

use super::day::{self, Rest};
use super::degrade::{StandIns, Standing};
use super::job::{self, Job};
use super::load::MOST_REPLICAS;
pub(super) use super::needs::{Needs, weights_gib};
use super::table::{Site, Speed, Way};
use crate::catalog::{Committed, TransferTo};
use crate::placement::Rejection;
use crate::spec::{BudgetBinds, Daily, Purchase, RegionRef, Survive, WEEK_S};

/// Bytes of a GiB.
pub(super) const GIB: f64 = 1_073_741_824.0;

/// Share of spot machines planned to be lost at once where the source says nothing (assumed).
pub const UNKNOWN_INTERRUPTION: f64 = 0.20;

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
    /// Machine-seconds of a week.
    pub seconds: i64,
    /// Micro-dollars an hour as expected over the week, transfers included.
    pub cost: Money,
    /// The same if all hours are as dear as the dearest: that of the peak, or where a lower class costs more, that one.
    pub peak: Money,
    /// The same with spot bought on demand.
    pub ceiling: Money,
    /// What stands in for what is missing of it in a failure; the costs have it.
    pub stand_in: Option<Standing>,
}

impl Count {
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

/// What limits the machines of a site by declared quotas: `on * base + spot * spots <= limit`.
#[derive(Clone, Debug)]
pub(super) struct QuotaLimit {
    /// Region id, or `global`.
    pub place: String,
    pub code: String,
    pub base: f64,
    pub spot: f64,
    pub limit: f64,
}

/// Prices and limits of a site. Where machines are held, they stand where spot does elsewhere: they are never interrupted, and
/// no rule but their stock limits them.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub base: Option<Money>,
    pub spot: Option<Money>,
    /// How many are held, where the second kind of machines is held.
    pub held: Option<u32>,
    /// A machine that the ceiling counts for one of spot: on demand, or spot itself where that is dearer, so that no ceiling is below
    /// what is expected to be paid.
    pub on_demand: Option<Money>,
    /// The same as `base` and `spot` without what machines take of limits on the peak.
    pub run_base: Option<Money>,
    pub run_spot: Option<Money>,
    pub interruption: f64,
    pub zones: Option<u32>,
    pub quotas: Arc<[QuotaLimit]>,
    /// Dollars a GiB of weights brought here, if they are brought and the price is known.
    pub weights: Option<Money>,
    /// Dollars to bring the dataset of a training here, for a run; `None` if there is none or the price is not known.
    pub dataset: Option<Money>,
    pub share: f64,
    pub least_base: u32,
    /// What a dollar of expected cost takes of budgets, over [`PRICE_ONE`].
    pub budget: i128,
}

/// The scale of prices of shared limits.
pub(super) const PRICE_ONE: i128 = 1 << 24;

/// An amount times a price of shared limits, rounded down.
pub(super) fn times(of: Money, price: i128) -> Money {
    let micros = i128::from(of.micros()) * price / PRICE_ONE;
    Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64)
}

impl Terms {
    /// One accelerator of shared machines, which the fleet pays for.
    pub fn of_slot(&self) -> Self {
        Terms {
            base: Some(Money::ZERO),
            run_base: Some(Money::ZERO),
            on_demand: None,
            spot: None,
            held: None,
            run_spot: None,
            quotas: Arc::default(),
            least_base: 0,
            ..self.clone()
        }
    }

    /// Reads those of a site's instance type, by its index, from the catalogue.
    pub fn of(job: &Job<'_>, index: usize, site: &Site) -> Self {
        let catalog = &job.world.catalog;
        let region = &catalog.regions[site.region];
        let price = |i: Option<usize>| i.and_then(|i| catalog.offerings.get(i));
        let (base, spot) = (price(site.base), price(site.spot));
        let mut quotas: BTreeMap<(String, String), QuotaLimit> = BTreeMap::new();
        if job.spec.providers.get(&region.cloud).is_some_and(|p| !p.quotas.is_empty()) {
            for (is_spot, offering) in [(false, base), (true, spot)] {
                let Some(offering) = offering else { continue };
                for (quota, each) in catalog.quotas_of(offering) {
                    let place = job::quota_place(quota, &region.id);
                    let Some(limit) = job.declared(region.cloud, place, &quota.code) else { continue };
                    let entry = quotas.entry((place.to_owned(), quota.code.clone())).or_insert(QuotaLimit {
                        place: place.to_owned(),
                        code: quota.code.clone(),
                        base: 0.0,
                        spot: 0.0,
                        limit,
                    });
                    if is_spot { entry.spot += each } else { entry.base += each }
                }
            }
        }
        let here = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let brought = |from: &RegionRef| {
            let from = catalog.region(from.cloud, &from.region)?;
            catalog.transfer_price(from, TransferTo::Region(&here)).map(|p| p.usd_per_gib)
        };
        let stock = |held: &Committed| {
            let limit = quotas.values().find(|q| *q.code == *held.code);
            // A whole number of machines: what a sum of floats may be short of is not one.
            let most = |q: &QuotaLimit| ((q.limit + 1e-9) / held.each).floor();
            limit.map_or(0, |q| most(q).clamp(0.0, f64::from(u32::MAX)) as u32)
        };
        let held = spot.and_then(|o| o.held.as_deref()).map(stock);
        let dataset = job.dataset().and_then(|d| Some(brought(&d.from)?.scale(d.gib)));
        let weights = job.model.artifacts_at.as_ref().and_then(brought);
        Terms {
            base: base.map(|o| o.price),
            spot: spot.map(|o| o.price),
            run_base: base.map(|o| o.price),
            run_spot: spot.map(|o| o.price),
            held,
            on_demand: catalog
                .offering(index, site.region, Purchase::OnDemand)
                .filter(|_| !site.held)
                .map(|o| spot.map_or(o.price, |spot| o.price.max(spot.price))),
            interruption: match site.held {
                true => 0.0,
                false => spot.and_then(|o| o.interruption).unwrap_or(UNKNOWN_INTERRUPTION),
            },
            zones: region.zones,
            quotas: quotas.into_values().collect(),
            weights,
            dataset,
            share: if site.held { 1.0 } else { job.purchase.spot_max_share },
            least_base: if site.held { 0 } else { job.purchase.on_demand_base },
            budget: 0,
        }
    }

    /// Most spot machines among `machines` by the spec's rules.
    pub fn most_spot(&self, machines: u32) -> u32 {
        if self.spot.is_none() {
            return 0;
        }
        let by_share = (self.share * f64::from(machines) + 1e-9).floor().max(0.0) as u32;
        let most = by_share.min(machines).min(machines.saturating_sub(self.least_base));
        self.held.map_or(most, |stock| most.min(stock))
    }

    /// Machines alone cost at least this, whatever the mix; `None` if they cannot be bought.
    pub fn least(&self, machines: u32) -> Option<Money> {
        let spot = self.most_spot(machines);
        match (self.base, self.spot) {
            (Some(base), Some(cheap)) if cheap < base => Some(mix(base, cheap, machines, spot)),
            (Some(base), _) => Some(base.times(i64::from(machines))),
            (None, Some(cheap)) if spot == machines => Some(cheap.times(i64::from(machines))),
            (None, _) => None,
        }
    }

    /// The same over the week of a pool that follows the load: `thousandths` of machines on the mean, `machines` at the peak.
    pub fn least_over_day(&self, thousandths: u64, machines: u32) -> Option<Money> {
        if let Some(stock) = self.held {
            return self.least_over_day_held(thousandths, machines, stock);
        }
        let run = day::least_of_one(self, self.run_base, self.run_spot)?;
        let toll = |all: Option<Money>, run: Option<Money>| all.zip(run).map(|(all, run)| all - run);
        let tolls = [toll(self.base, self.run_base), toll(self.spot, self.run_spot)];
        let toll = tolls.into_iter().flatten().min().unwrap_or(Money::ZERO);
        let micros = i128::from(run.micros()) * i128::from(thousandths) / 1000;
        let run = Money::from_micros(micros.clamp(0, i128::from(i64::MAX / 1024)) as i64);
        Some(run + toll.times(i64::from(machines)))
    }

    /// The same with a stock of held machines: in no hour there are more of them.
    fn least_over_day_held(&self, thousandths: u64, machines: u32, stock: u32) -> Option<Money> {
        let cheap = self.run_spot?;
        let few = thousandths.min(u64::from(stock) * 1000);
        let more = thousandths - few;
        let (of_few, of_more) = match self.run_base {
            Some(base) => (cheap.min(base), base),
            None if machines <= stock => (cheap, Money::ZERO),
            None => return None,
        };
        let part = |price: Money, n: u64| i128::from(price.micros()) * i128::from(n) / 1000;
        let run = part(of_few, few) + part(of_more, more);
        let run = Money::from_micros(run.clamp(0, i128::from(i64::MAX / 1024)) as i64);
        let toll = |all: Option<Money>, run: Option<Money>| all.zip(run).map(|(all, run)| all - run);
        let tolls = [toll(self.base, self.run_base), toll(self.spot, self.run_spot)];
        let toll = tolls.into_iter().flatten().min().unwrap_or(Money::ZERO);
        Some(run + toll.times(i64::from(machines)))
    }

    /// Whether the declared quotas allow it.
    pub fn within_quotas(&self, machines: u32, spot: u32) -> bool {
        self.quotas
            .iter()
            .all(|q| q.base * f64::from(machines - spot) + q.spot * f64::from(spot) <= q.limit + 1e-9)
    }

    /// Whether the declared quotas allow `machines` in any mix that the rules of purchase allow. What they do not allow of some
    /// number they do not allow of more.
    pub fn any_within_quotas(&self, machines: u32) -> bool {
        let low = if self.base.is_none() { machines } else { 0 };
        let high = self.most_spot(machines);
        if self.quotas.is_empty() {
            return true;
        }
        // Each quota bounds the spot machines on one side: what is allowed is an interval, which has one of its ends.
        let (mut from, mut to) = (f64::from(low), f64::from(high));
        for q in self.quotas.iter() {
            let (each, left) = (q.spot - q.base, q.limit - q.base * f64::from(machines));
            if each > 0.0 {
                to = to.min((left / each).floor());
            } else if each < 0.0 {
                from = from.max((left / each).ceil());
            }
        }
        // A division rounds: its neighbours are asked as well.
        [from, to].into_iter().any(|end| {
            let near = end.clamp(0.0, f64::from(u32::MAX)) as u32;
            (near.saturating_sub(1)..=near.saturating_add(1))
                .any(|spot| (low..=high).contains(&spot) && self.within_quotas(machines, spot))
        })
    }

    /// Hourly price of machines and the same with spot bought on demand.
    pub fn price(&self, machines: u32, spot: u32) -> Option<(Money, Money)> {
        let base = if machines > spot { self.base?.times(i64::from(machines - spot)) } else { Money::ZERO };
        if spot == 0 {
            return Some((base, base));
        }
        let cheap = self.spot?;
        let dear = self.on_demand.unwrap_or(cheap);
        Some((base + cheap.times(i64::from(spot)), base + dear.times(i64::from(spot))))
    }

    /// Whether fewer spot machines among as many may mean a lower ceiling at a higher cost.
    pub fn trades_off(&self) -> bool {
        matches!((self.base, self.spot), (Some(base), Some(spot)) if spot < base && self.on_demand.is_some_and(|dear| dear > base))
    }

    /// Dollars with what a budget on expected cost makes of them.
    pub fn priced(&self, of: Money) -> Money {
        times(of, PRICE_ONE + self.budget)
    }

    /// Weights copied to machines, as dollars an hour.
    pub fn copying(&self, gib_per_machine: f64, machines: u32) -> Money {
        self.weights.map_or(Money::ZERO, |p| {
            p.scale(gib_per_machine * f64::from(machines) / rhumb_api::HOURS_PER_MONTH as f64)
        })
    }
}

fn mix(base: Money, spot: Money, machines: u32, spots: u32) -> Money {
    base.times(i64::from(machines - spots)) + spot.times(i64::from(spots))
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
            // Other hours have as many held machines as the peak: then the cheapest number is not always one of the ends.
            let all = self.terms.held.is_some() && matches!(self.day, Day::Following(_));
            let within = |spot: &u32| self.terms.within_quotas(machines, *spot);
            let most = if all { self.terms.most_spot(machines) + 1 } else { 0 };
            let others = (0..most).filter(|n| *n != spot).filter(within);
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
        let peak = price + copies + extra.all();
        let ceiling = dearest + copies + extra.all();
        let mut count = Count {
            machines,
            spot,
            replicas,
            most_base: on,
            most_spot: spot,
            most_replicas: replicas,
            seconds: i64::from(machines) * i64::from(WEEK_S),
            cost: peak,
            peak,
            ceiling,
            stand_in: None,
        };
        match &self.day {
            Day::Flat => {}
            Day::Fixed(daily) => count.cost = price + copies + day::mean(daily, extra.run) + extra.toll,
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
