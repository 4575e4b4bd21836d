//! Pools that follow the load of a day or a week, looked at second by second, from `src/decisions/0011-the-load-of-a-day.md`.

use super::*;

/// A share of the peak in millionths, the seconds of its pool, and the sum of what arrives in them.
type Class = (u32, i64, i128);

/// Machines of the hours below the peak.
pub struct Below {
    peak: Class,
    /// Seconds with machines that are not spot and that are, in each class.
    counts: Vec<(i64, i64, i64)>,
    transfer: i64,
    replicas: u32,
    dearest: i64,
    ceiling: i64,
}

/// Quotient rounded half up.
pub fn round(a: i128, b: i128) -> i64 {
    ((2 * a + b).div_euclid(2 * b)) as i64
}

/// Seconds of the week, in which everything is counted.
pub const WEEK: i64 = 7 * 86_400;

/// What arrives in an hour of the week, from Monday's first on.
fn share_at(daily: &Daily, hour: u32) -> u32 {
    let (day, hour) = (hour / 24 % 7, hour as usize % 24);
    let weekend = if day >= 5 { daily.weekend.as_ref() } else { None };
    weekend.unwrap_or(&daily.shares)[hour]
}

/// The mean of a week's shares of an amount.
pub fn mean(daily: &Daily, of: i64) -> i64 {
    let sum: i128 = (0..168).map(|hour| i128::from(share_at(daily, hour))).sum();
    round(i128::from(of) * sum, 168_000_000)
}

fn classes(daily: &Daily, start_up: u32) -> Vec<Class> {
    let mut found: BTreeMap<u32, (i64, i128)> = BTreeMap::new();
    for second in 0..WEEK as u32 {
        let hours = second / 3600..=(second + start_up) / 3600;
        let share = hours.map(|h| share_at(daily, h)).max().unwrap();
        let class = found.entry(share).or_default();
        class.0 += 1;
        class.1 += i128::from(share_at(daily, second / 3600));
    }
    found.into_iter().map(|(share, (seconds, arrives))| (share, seconds, arrives)).collect()
}

impl Search<'_> {
    fn follows(&self) -> Option<&Daily> {
        self.s.traffic.daily.as_ref().filter(|_| self.s.scaling.mode == ScalingMode::Horizontal)
    }

    /// The hours of a way below the peak; `Err` if one of them cannot be served.
    pub fn below(
        &self,
        way: &Way,
        region: usize,
        (share, outside, r): (f64, f64, usize),
        network: &[f64],
    ) -> Result<Option<Below>, ()> {
        let Some(daily) = self.follows() else { return Ok(None) };
        let kind = &self.world.catalog.instance_types[way.type_index];
        let start_up = perf::start_up_s(way.weights_bytes, kind.network_gbps).ceil() as u32;
        let mut days = self.days.borrow_mut();
        let list = days.entry(start_up).or_insert_with(|| classes(daily, start_up));
        let (peak, lower) = list.split_last().unwrap();
        let mut below =
            Below { peak: *peak, counts: Vec::new(), transfer: 0, replicas: 0, dearest: 0, ceiling: 0 };
        let least = (f64::from(self.s.scaling.min_replicas) * share / r as f64 - 1e-9).ceil().max(1.0) as u32;
        for (part, seconds, arrives) in lower {
            if *part == 0 && self.s.scaling.to_zero {
                below.counts.push((*seconds, 0, 0));
                continue;
            }
            let of = f64::from(*part) / 1e6;
            let mut best: Option<(i128, u32, u32, i64, (i64, i64), u32)> = None;
            for m in 1..=MOST_MACHINES {
                let n = m * way.replicas_per_machine;
                if n < least || self.s.scaling.max_replicas.is_some_and(|most| n > most) {
                    continue;
                }
                let rate = self.peak(way, n, share * of / r as f64);
                let others = r as f64 - f64::from(self.s.survive.region);
                let region_load = (self.s.survive.region > 0)
                    .then(|| self.s.during_failure.capacity * rate * r as f64 / others);
                let transfer = self.transfer(region, rate, outside / share);
                let sent = if *part == 0 { 0 } else { i128::from(transfer) * arrives / i128::from(*part) };
                for spot in (0..=most_spot(&self.s.purchase, m)).rev() {
                    let Some((price, ceiling)) =
                        prices(self.world, &self.s.purchase, way.type_index, region, m, spot)
                    else {
                        continue;
                    };
                    let cost = i128::from(price) * i128::from(*seconds) + sent;
                    if best.as_ref().is_some_and(|b| b.0 <= cost)
                        || over_quota(
                            self.spec,
                            self.world,
                            way.type_index,
                            region,
                            &self.s.purchase,
                            m,
                            spot,
                        )
                    {
                        continue;
                    }
                    if self.does(way, m, spot, region, rate, region_load, network) {
                        best = Some((cost, m, spot, transfer, (price, ceiling), n));
                    }
                }
            }
            let (_, m, spot, transfer, (price, ceiling), n) = best.ok_or(())?;
            below.counts.push((*seconds, i64::from(m - spot), i64::from(spot)));
            if *part > 0 {
                below.transfer += round(i128::from(transfer) * arrives, i128::from(*part) * i128::from(WEEK));
            }
            below.replicas = below.replicas.max(n);
            below.dearest = below.dearest.max(price + transfer);
            below.ceiling = below.ceiling.max(ceiling + transfer);
        }
        Ok(Some(below))
    }

    /// The classes below the peak of a pool that follows the day.
    pub fn lower_classes(&self, way: &Way) -> Vec<(u32, i64, i128)> {
        let Some(daily) = self.follows() else { return Vec::new() };
        let kind = &self.world.catalog.instance_types[way.type_index];
        let start_up = perf::start_up_s(way.weights_bytes, kind.network_gbps).ceil() as u32;
        let mut days = self.days.borrow_mut();
        let list = days.entry(start_up).or_insert_with(|| classes(daily, start_up));
        list.split_last().unwrap().1.to_vec()
    }

    /// What the hours of the peak send, dollars an hour of the whole day; of a pool that does not follow it, all hours.
    pub fn sent_at_peak(&self, way: &Way, transfer: i64) -> i64 {
        let Some(daily) = &self.s.traffic.daily else { return transfer };
        if self.follows().is_none() {
            return mean(daily, transfer);
        }
        let kind = &self.world.catalog.instance_types[way.type_index];
        let start_up = perf::start_up_s(way.weights_bytes, kind.network_gbps).ceil() as u32;
        let mut days = self.days.borrow_mut();
        let (peak, _, arrives) =
            *days.entry(start_up).or_insert_with(|| classes(daily, start_up)).last().unwrap();
        round(i128::from(transfer) * arrives, i128::from(peak) * i128::from(WEEK))
    }

    /// Response bytes of a pool, micro-dollars an hour.
    pub fn transfer(&self, region: usize, rate: f64, outside: f64) -> i64 {
        let bytes = rate * outside * 3600.0 * self.s.traffic.output.mean * 250.0;
        let price = self.world.catalog.transfer_price(region, TransferTo::Internet);
        price.map_or(0, |p| (p.usd_per_gib.micros() as f64 * bytes / 1_073_741_824.0).round() as i64)
    }

    /// What a pool costs, counts for and emits, given its machines at the peak; `transfer` is that of the peak.
    pub fn over_day(
        &self,
        at: (usize, usize),
        count: (u32, u32),
        below: Option<&Below>,
        transfer: i64,
        flat: Choice,
    ) -> Choice {
        let lower = |b: &Below| b.counts.iter().map(|c| c.0 * (c.1 + c.2)).sum::<i64>();
        let seconds = i64::from(count.0) * below.map_or(WEEK, |b| b.peak.1) + below.map_or(0, lower);
        let choice = self.of_day(at, count, below, transfer, flat);
        let (on, spot) = (count.0 - count.1, count.1);
        let most = |of: fn(&(i64, i64, i64)) -> i64, at_peak: u32| {
            below.iter().flat_map(|b| &b.counts).map(of).fold(i64::from(at_peak), i64::max) as u32
        };
        let choice = self.rolling(at, (most(|c| c.1, on), most(|c| c.2, spot)), choice);
        let month = |mg: i64| perf::carbon::of_weeks(mg, seconds);
        let choice = super::stability::with((self.spec, self.world), &self.address, at, month, choice);
        super::carbon::with(self.spec, self.world, at, month, choice)
    }

    /// With the machines that are there besides while a change is rolled out, of so many that are not spot and of spot.
    fn rolling(&self, (kind, region): (usize, usize), (on, spot): (u32, u32), choice: Choice) -> Choice {
        let stated = self.spec.rollouts.get(&self.address).and_then(|rollout| rollout.rolling);
        let Some(surge) = stated.map(|rolling| rolling.surge) else { return choice };
        let (more, more_spot) = (surge.min(on), surge.min(spot));
        let rules = &self.s.purchase;
        let (_, beside) = prices(self.world, rules, kind, region, more + more_spot, more_spot).unwrap();
        let (on, spot) = (on + more, spot + more_spot);
        let taken = quotas(self.world, rules, kind, region, on + spot, spot).into_iter();
        Choice {
            ceiling: choice.ceiling + beside,
            quotas: taken.filter(|(k, _)| allowed(self.spec, self.world, k).is_some()).collect(),
            ..choice
        }
    }

    fn of_day(
        &self,
        (kind, region): (usize, usize),
        (m, spot): (u32, u32),
        below: Option<&Below>,
        transfer: i64,
        flat: Choice,
    ) -> Choice {
        let Some(daily) = &self.s.traffic.daily else { return flat };
        let Some(below) = below else {
            return Choice { cost: flat.cost - transfer + mean(daily, transfer), ..flat };
        };
        let (_, seconds, arrives) = below.peak;
        let (on, spot) = (i64::from(m - spot), i64::from(spot));
        let base = cheapest(self.world, &self.s.purchase, kind, region).map_or(0, |c| c.0);
        let spot_price = price(self.world, kind, region, Purchase::Spot).unwrap_or(0);
        let line = |price: i64, of: &dyn Fn(&(i64, i64, i64)) -> i64, at_peak: i64| {
            let machine_seconds = below.counts.iter().map(|c| c.0 * of(c)).sum::<i64>() + seconds * at_peak;
            round(i128::from(price) * i128::from(machine_seconds), i128::from(WEEK))
        };
        let cost = line(base, &|c| c.1, on)
            + line(spot_price, &|c| c.2, spot)
            + below.transfer
            + round(i128::from(transfer) * arrives, i128::from(below.peak.0) * i128::from(WEEK));
        let most_on = below.counts.iter().map(|c| c.1).max().unwrap_or(0).max(on) as u32;
        let most_spot = below.counts.iter().map(|c| c.2).max().unwrap_or(0).max(spot) as u32;
        Choice {
            cost,
            peak: flat.peak.max(below.dearest),
            ceiling: flat.ceiling.max(below.ceiling),
            most_replicas: flat.replicas.max(below.replicas),
            quotas: quotas(self.world, &self.s.purchase, kind, region, most_on + most_spot, most_spot)
                .into_iter()
                .filter(|(k, _)| allowed(self.spec, self.world, k).is_some())
                .collect(),
            ..flat
        }
    }
}
