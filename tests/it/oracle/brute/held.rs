//! Pools with held machines, by plain enumeration, from `src/decisions/0019-held-capacity.md`.

use super::*;

/// A commitment of a machine: how many it has, the code of its limit and where that is, and what one takes of it.
struct Own {
    most: u32,
    until: String,
    limit: (usize, String),
    each: f64,
}

/// Micro-dollars an hour of a held machine on the mean of the planned month; `None` if it may not be used.
fn held_price(world: &World, until: &str, on_demand: Option<i64>) -> Option<i64> {
    let day = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    let left = i64::from((day(until) - day(&world.today)).get_days()) * 24;
    match left {
        ..=0 => None,
        730.. => Some(0),
        _ => on_demand.map(|dear| (dear * (730 - left) + 729).div_euclid(730)),
    }
}

/// Seconds, share and arrivals of a class with the machines, the replicas and the transfer that it has.
struct Hour {
    seconds: i64,
    machines: i64,
    replicas: u32,
    transfer: i64,
}

/// What is held of an instance type in a region.
fn own(spec: &Spec, world: &World, kind: usize, region: usize) -> Vec<Own> {
    let (of, here) = (&world.catalog.instance_types[kind], &world.catalog.regions[region]);
    let mut all = Vec::new();
    for held in spec.held.values() {
        if (held.cloud, &held.region, &held.instance_type) == (here.cloud, &here.id, &of.name) {
            let limit = (region, format!("held:{}", of.name));
            all.push(Own { most: held.count, until: held.until.clone(), limit, each: 1.0 });
        }
    }
    let sold = |o: &&rhumb::catalog::Offering| {
        (o.instance_type, o.region, o.purchase) == (kind, region, Purchase::OnDemand)
    };
    let listed = world.catalog.offerings.iter().find(sold).map(|o| i128::from(o.list_price.micros()));
    for plan in spec.savings.values().filter(|plan| (plan.cloud, plan.cloud) == (here.cloud, of.cloud)) {
        let named = |list: &AllowDeny<String>, name: &String| match list {
            AllowDeny::Any => true,
            AllowDeny::Only(list) => list.contains(name),
            AllowDeny::Not(list) => !list.contains(name),
        };
        let fits = |r: &&PlanRate| named(&r.instance_types, &of.name) && named(&r.regions, &here.id);
        let Some((listed, rate)) = listed.zip(plan.rates.iter().find(fits)) else { continue };
        let each = (listed * i128::from(1_000_000 - rate.discount_ppm) + 999_999) / 1_000_000;
        let most = (i128::from(plan.spend.micros()) / each).min(i128::from(4 * MOST_MACHINES)) as u32;
        let limit = (GLOBAL, format!("held:{}", plan.name));
        all.push(Own { most, until: plan.until.clone(), limit, each: each as f64 / 1e6 });
    }
    all
}

/// A way to pay for the machines of a run.
pub struct Buy {
    /// Micro-dollars of an hour of all, and with spot bought on demand.
    pub hourly: i64,
    pub on_demand: i64,
    /// Spot machines, which are lost.
    pub lost: u32,
    pub held: u32,
    pub quotas: BTreeMap<(usize, String), f64>,
}

/// All ways to pay for so many machines that the quotas allow.
pub fn buys(
    (spec, world): (&Spec, &World),
    rules: &PurchaseRules,
    (kind, region): (usize, usize),
    m: u32,
) -> Vec<Buy> {
    let mut all = Vec::new();
    for s in 0..=most_spot(rules, m) {
        if let Some((hourly, on_demand)) = prices(world, rules, kind, region, m, s) {
            let quotas = quotas(world, rules, kind, region, m, s);
            all.push(Buy { hourly, on_demand, lost: s, held: 0, quotas });
        }
    }
    let dear = price(world, kind, region, Purchase::OnDemand);
    for own in own(spec, world, kind, region).iter().filter(|_| rules.held) {
        let Some(each) = held_price(world, &own.until, dear) else { continue };
        for h in 1..=own.most.min(m) {
            let others = cheapest(world, rules, kind, region);
            if others.is_none() && h < m {
                continue;
            }
            let (base, option) = others.unwrap_or((0, Purchase::OnDemand));
            let hourly = i64::from(m - h) * base + i64::from(h) * each;
            let mut quotas: BTreeMap<(usize, String), f64> = BTreeMap::new();
            for (purchase, n) in [(option, m - h), (Purchase::OnDemand, h)] {
                for (quota, amount) in world.catalog.quotas_for(kind, purchase) {
                    let place = if quota.scope == "global" { GLOBAL } else { region };
                    *quotas.entry((place, quota.code.clone())).or_insert(0.0) += amount * f64::from(n);
                }
            }
            quotas.insert(own.limit.clone(), own.each * f64::from(h));
            all.push(Buy { hourly, on_demand: hourly, lost: 0, held: h, quotas });
        }
    }
    let over = |buy: &Buy| {
        buy.quotas.iter().any(|(k, n)| allowed(spec, world, k).is_some_and(|limit| *n > limit + 1e-9))
    };
    all.retain(|buy| !over(buy));
    all
}

impl Search<'_> {
    /// Every pool of a way in a region that has a held machine, or one that a savings plan covers.
    pub fn of_held(&self, way: &Way, region: usize, of: (f64, f64, usize), network: &[f64]) -> Vec<Choice> {
        if !self.s.purchase.held {
            return Vec::new();
        }
        let all = own(self.spec, self.world, way.type_index, region);
        all.iter().flat_map(|own| self.of_one(own, way, region, of, network)).collect()
    }

    fn of_one(
        &self,
        own: &Own,
        way: &Way,
        region: usize,
        (share, outside, r): (f64, f64, usize),
        network: &[f64],
    ) -> Vec<Choice> {
        let catalog = &self.world.catalog;
        let dear = price(self.world, way.type_index, region, Purchase::OnDemand);
        let Some(each) = held_price(self.world, &own.until, dear) else { return Vec::new() };
        let base = cheapest(self.world, &self.s.purchase, way.type_index, region);
        let (classes, sent) = match self.hours(way, region, (share, outside, r), network, base) {
            Some(hours) => hours,
            None => return Vec::new(),
        };
        let mut found = Vec::new();
        for m in 1..=MOST_MACHINES {
            let n = m * way.replicas_per_machine;
            let rate = self.peak(way, n, share / r as f64);
            let others = r as f64 - f64::from(self.s.survive.region);
            let region_load = (self.s.survive.region > 0)
                .then(|| self.s.during_failure.capacity * rate * r as f64 / others);
            if !self.does(way, m, 0, region, rate, region_load, network) {
                continue;
            }
            let transfer = self.transfer(region, rate, outside / share);
            for h in 1..=own.most.min(m) {
                let other = base.map_or(0, |b| b.0);
                let hour = |machines: i64| {
                    let held = machines.min(i64::from(h));
                    ((machines - held) * other + held * each, machines - held, held)
                };
                let most = classes.iter().map(|c| c.machines).max().unwrap_or(0).max(i64::from(m));
                if base.is_none() && most > i64::from(h) {
                    continue;
                }
                let (flat, on, of_own) = hour(i64::from(m));
                let all = || classes.iter().map(|c| (c.seconds, hour(c.machines), c.transfer));
                let peak_seconds = day::WEEK - classes.iter().map(|c| c.seconds).sum::<i64>();
                let line = |price: i64, of: &dyn Fn((i64, i64, i64)) -> i64, at_peak: i64| {
                    let seconds = all().map(|(s, h, _)| s * of(h)).sum::<i64>() + peak_seconds * at_peak;
                    round(i128::from(price) * i128::from(seconds), i128::from(day::WEEK))
                };
                let moved = sent + self.sent_at_peak(way, transfer);
                let most_on = all().map(|(_, h, _)| h.1).max().unwrap_or(0).max(on);
                let most_own = all().map(|(_, h, _)| h.2).max().unwrap_or(0).max(of_own);
                let dearest = all().map(|(_, h, t)| h.0 + t).max().unwrap_or(0).max(flat + transfer);
                let mut quotas: BTreeMap<(usize, String), f64> = BTreeMap::new();
                let counted =
                    base.map(|(_, p)| (p, most_on)).into_iter().chain([(Purchase::OnDemand, most_own)]);
                for (purchase, count) in counted {
                    for (quota, each) in catalog.quotas_for(way.type_index, purchase) {
                        let place = if quota.scope == "global" { GLOBAL } else { region };
                        *quotas.entry((place, quota.code.clone())).or_insert(0.0) += each * count as f64;
                    }
                }
                quotas.insert(own.limit.clone(), own.each * most_own as f64);
                let choice = Choice {
                    cost: line(other, &|h| h.1, on) + line(each, &|h| h.2, of_own) + moved,
                    ceiling: dearest,
                    peak: dearest,
                    replicas: n,
                    most_replicas: classes.iter().map(|c| c.replicas).max().unwrap_or(0).max(n),
                    quotas: quotas
                        .into_iter()
                        .filter(|(k, _)| allowed(self.spec, self.world, k).is_some())
                        .collect(),
                };
                let seconds =
                    classes.iter().map(|c| c.seconds * c.machines).sum::<i64>() + peak_seconds * i64::from(m);
                let month = |mg: i64| perf::carbon::of_weeks(mg, seconds);
                found.push(carbon::with(self.spec, self.world, (way.type_index, region), month, choice));
            }
        }
        found
    }

    /// The hours below the peak, and what they send; `None` if one of them cannot be served.
    fn hours(
        &self,
        way: &Way,
        region: usize,
        (share, outside, r): (f64, f64, usize),
        network: &[f64],
        base: Option<(i64, Purchase)>,
    ) -> Option<(Vec<Hour>, i64)> {
        let (mut all, mut sent) = (Vec::new(), 0);
        let least = (f64::from(self.s.scaling.min_replicas) * share / r as f64 - 1e-9).ceil().max(1.0) as u32;
        for (part, seconds, arrives) in self.lower_classes(way) {
            if part == 0 && self.s.scaling.to_zero {
                all.push(Hour { seconds, machines: 0, replicas: 0, transfer: 0 });
                continue;
            }
            let of = f64::from(part) / 1e6;
            let hour = (1..=MOST_MACHINES).find_map(|m| {
                let n = m * way.replicas_per_machine;
                if n < least || self.s.scaling.max_replicas.is_some_and(|most| n > most) {
                    return None;
                }
                let rate = self.peak(way, n, share * of / r as f64);
                let others = r as f64 - f64::from(self.s.survive.region);
                let load = (self.s.survive.region > 0)
                    .then(|| self.s.during_failure.capacity * rate * r as f64 / others);
                let rules = &self.s.purchase;
                let over =
                    base.is_some() && over_quota(self.spec, self.world, way.type_index, region, rules, m, 0);
                let does = !over && self.does(way, m, 0, region, rate, load, network);
                let transfer = self.transfer(region, rate, outside / share);
                does.then_some(Hour { seconds, machines: i64::from(m), replicas: n, transfer })
            })?;
            if part > 0 {
                sent += round(i128::from(hour.transfer) * arrives, i128::from(part) * i128::from(day::WEEK));
            }
            all.push(hour);
        }
        Some((all, sent))
    }
}
