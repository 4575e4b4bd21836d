//! Candidates of a service through the week: what each costs with the machines of every class of hours.

use std::collections::BTreeMap;

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::super::day::{self, Class, Day};
use super::super::super::subject;
use super::super::SLACK;
use super::super::field::{Field, Site, Way};
use super::super::need::{Need, Part};
use super::super::pool::{Bill, Lower, Pool, spots};
use super::super::prices::{Costs, Machine, SCALE};
use super::{Group, Search, rank};
use crate::perf;
use crate::placement::World;
use crate::spec::Service;

/// Start-up seconds to the week of pools whose machines take as long.
pub(super) type Days = BTreeMap<u32, Day>;

pub(super) fn days(world: &World, service: &Service, field: &Field) -> Days {
    let of = |site: &Site| -> Vec<u32> {
        field.ways(site).iter().map(|way| ahead(world, service, site, way)).collect()
    };
    field.sites.iter().flat_map(of).map(|ahead| (ahead, Day::of(service, ahead))).collect()
}

/// Seconds that machines are started ahead; where pools do not follow the day nobody asks.
fn ahead(world: &World, service: &Service, site: &Site, way: &Way) -> u32 {
    if day::followed(service).is_none() {
        return 0;
    }
    let network = world.catalog.instance_types[site.instance_type].network_gbps;
    day::whole_seconds(perf::start_up_s(way.weights_gib * subject::GIB, network))
}

/// What a set of candidates needs, made when it is asked for: the class of the day to the need.
pub(super) type Needs<'n> = BTreeMap<u32, Need<'n>>;

impl<'a> Search<'a> {
    /// The classes below the peak, and the peak.
    fn classes(&self, site: &Site, way: &Way) -> (&[Class], Class) {
        let day = self.days.get(&ahead(self.world, self.service, site, way));
        let whole = Class { share: day::PEAK, seconds: day::WEEK, load: 0 };
        day.and_then(|d| d.classes.split_last()).map_or((&[], whole), |(peak, lower)| (lower, *peak))
    }

    /// A block's load in a class.
    fn part_in(&self, part: &Part<'a>, class: &Class) -> Part<'a> {
        Part { share: part.share * class.part(), ..*part }
    }

    /// The fewest replicas of each pool of a part in a class below the peak: its part of those of the service.
    fn fewest_in(&self, part: &Part<'_>) -> u32 {
        let share = part.share / f64::from(part.regions);
        subject::part_up(share, self.service.scaling.min_replicas).max(1)
    }

    /// What a candidate costs at least by what its replicas can carry, and if the load were nothing; `None` if it cannot be bought.
    pub(super) fn at_least(
        &self,
        (s, w): (usize, usize),
        part: &Part<'a>,
        most: f64,
        price: usize,
    ) -> Option<(i128, i128)> {
        let site = &self.field.sites[s];
        let way = &self.field.ways(site)[w];
        let (lower, peak) = self.classes(site, way);
        let machine = self.prices[price].machine(site, self.tolls[price][s], peak.seconds);
        let each = machine.base.into_iter().chain(machine.spot).min()? * i128::from(way.span);
        let units = part.at_least(most).div_ceil(way.replicas.max(1));
        let below = |load: bool| self.below(site, way, lower, part, most, price, load);
        let own = (each * i128::from(units) + below(true), each + below(false));
        let Some((size, whole)) = self.slots(site, way) else { return Some(own) };
        let shared = self.prices[price].shared_machine(site, self.tolls[price][s]);
        let Some(slot) = shared.map(|machine| machine.div_euclid(i128::from(whole))) else {
            return Some(own);
        };
        let on = |n: u32| slot * i128::from(size) * i128::from(n);
        Some((own.0.min(on(part.at_least(most))), own.1.min(on(1))))
    }

    /// Accelerators of a replica and of a machine, where several services may have replicas on it.
    fn slots(&self, site: &Site, way: &Way) -> Option<(u32, u32)> {
        let count = self.world.catalog.instance_types[site.instance_type].accelerator_count;
        let (each, whole) = (way.layout.accelerators(), count.clamp(0.0, 1024.0) as u32);
        let fits = self.shares
            && way.span == 1
            && count.fract() == 0.0
            && each >= 1
            && each < whole
            && site.held.is_none();
        fits.then_some((each, whole))
    }

    /// What the classes below the peak cost at least by what a replica can carry, or if the load were nothing.
    #[allow(clippy::too_many_arguments)]
    fn below(
        &self,
        site: &Site,
        way: &Way,
        lower: &[Class],
        part: &Part<'a>,
        most: f64,
        price: usize,
        load: bool,
    ) -> i128 {
        let spot = site.spot.filter(|_| spots(site, self.work.purchase, u32::MAX).1 > 0);
        let Some(cheaper) = site.base.into_iter().chain(spot).min() else { return 0 };
        let of = |class: &Class| {
            if day::rests(self.service, class) {
                return 0;
            }
            let n = if load { self.part_in(part, class).at_least(most).max(self.fewest_in(part)) } else { 1 };
            let machines = n.div_ceil(way.replicas.max(1)).saturating_mul(way.span);
            self.prices[price].beside(site, cheaper, class.seconds) * i128::from(machines)
        };
        lower.iter().map(of).sum()
    }

    /// The cheapest pool of each region among the candidates of one speed and network time, at each price.
    ///
    /// Where pools follow the day, a candidate that is dearer than is asked about by its peak and what a replica can carry in
    /// the other hours is left at that.
    pub(super) fn group(
        &self,
        set: usize,
        regions: u32,
        ((speed, ms), candidates): &Group,
        doubted: bool,
    ) -> Vec<BTreeMap<usize, Pool>> {
        let block = &self.blocks[set];
        let part = self.part(block, regions, *ms);
        let need = Need::new(part, &self.field.speeds[*speed]);
        let mut found: Vec<BTreeMap<usize, Pool>> = vec![BTreeMap::new(); self.bars.len()];
        if need.fewest.is_none() {
            return found;
        }
        let most = if day::followed(self.service).is_some() {
            part.most_of_a_replica(&self.field.speeds[*speed])
        } else {
            f64::INFINITY
        };
        let mut needs = Needs::new();
        let slack = i128::from(SLACK) * SCALE;
        for (s, w) in candidates {
            let site = &self.field.sites[*s];
            let mut counted = None;
            for (p, found) in found.iter_mut().enumerate() {
                let candidate = (*s, *w);
                let own = self.candidate(set, &part, &need, &mut needs, candidate, p, most, &mut counted);
                let shared = self.on_shared(set, &part, &need, candidate, p, false);
                for mut pool in own.into_iter().chain(shared) {
                    // What is too dear by the closed form is no cheaper by a replay.
                    if doubted && pool.priced <= self.bars[p].saturating_add(slack) {
                        let played = match pool.shared {
                            Some(_) => self.on_shared(set, &part, &need, candidate, p, true),
                            None => self.played(set, &part, &need, &mut needs, &pool, p),
                        };
                        let Some(played) = played else { continue };
                        pool = played;
                    }
                    found
                        .entry(site.region)
                        .and_modify(|b| {
                            if rank(&pool) < rank(b) {
                                *b = pool.clone();
                            }
                        })
                        .or_insert(pool);
                }
            }
        }
        found
    }

    /// The cheapest pool of a candidate by the closed form; `counted` keeps the counts of the classes below the peak, which are the
    /// same at all prices.
    #[allow(clippy::too_many_arguments)]
    fn candidate<'n>(
        &'n self,
        set: usize,
        part: &Part<'n>,
        need: &Need<'_>,
        needs: &mut Needs<'n>,
        (s, w): (usize, usize),
        price: usize,
        most: f64,
        counted: &mut Option<Option<Vec<Lower>>>,
    ) -> Option<Pool> {
        let site = &self.field.sites[s];
        let way = &self.field.ways(site)[w];
        let (lower, _) = self.classes(site, way);
        let mut pool = self.at_peak(set, part, need, (s, w), price, false, self.bars[price])?;
        if lower.is_empty() {
            return Some(pool);
        }
        // What the lines' rounding may make cheaper than the sum of their parts.
        let slack = i128::from(SLACK) * SCALE;
        let below = self.below(site, way, lower, part, most, price, true) - slack;
        if pool.priced + below > self.bars[price].saturating_add(slack) {
            pool.priced += below;
            return Some(pool);
        }
        let mut count = || self.below_the_peak(set, part, (s, w), needs);
        pool.lower.clone_from(counted.get_or_insert_with(&mut count).as_ref()?);
        self.settle(set, part, need, price, false, pool)
    }

    /// The counts of the classes below the peak, by the closed form.
    pub(super) fn below_the_peak<'n>(
        &'n self,
        set: usize,
        part: &Part<'n>,
        (s, w): (usize, usize),
        needs: &mut Needs<'n>,
    ) -> Option<Vec<Lower>> {
        let site = &self.field.sites[s];
        let (lower, _) = self.classes(site, &self.field.ways(site)[w]);
        lower.iter().map(|class| self.lower(set, part, (s, w), class, false, needs)).collect()
    }

    /// What the machines of a pool's peak cost at least, of the cheapest kind that is bought there.
    pub(super) fn at_the_least(&self, price: usize, pool: &Pool) -> i128 {
        let site = &self.field.sites[pool.site];
        let (_, peak) = self.classes(site, &self.field.ways(site)[pool.way]);
        let machine = self.prices[price].machine(site, self.tolls[price][pool.site], peak.seconds);
        let cheaper = machine.base.into_iter().chain(machine.spot).min().unwrap_or(0);
        // No more are held than there are.
        let few = site.held.map_or(pool.machines, |stock| stock.min(pool.machines));
        let others = machine.base.unwrap_or(i128::MAX / 8 / i128::from(pool.machines.max(1)));
        cheaper * i128::from(few) + others * i128::from(pool.machines - few)
    }

    /// A pool whose machines are counted in every class, with its price. Of held machines it has as many as make it the cheapest: each
    /// class uses those that the peak has first. Where a lower class needs more machines than the peak does, a larger peak may have more
    /// of them to lend.
    fn settle(
        &self,
        set: usize,
        part: &Part<'_>,
        need: &Need<'_>,
        price: usize,
        replayed: bool,
        mut pool: Pool,
    ) -> Option<Pool> {
        let site = &self.field.sites[pool.site];
        let block = &self.blocks[set];
        if site.held.is_none() {
            pool.priced =
                self.priced(price, self.responses(block, site.region, need.rate(pool.replicas)), &pool);
            return Some(pool);
        }
        let asked = self.asked(set, part.regions, (pool.site, pool.way), false);
        let with = |machines: u32, held: u32| {
            let replicas = machines / asked.way.span.max(1) * asked.way.replicas;
            let mut pool = Pool { machines, spot: held, replicas, ..pool.clone() };
            pool.lower.iter_mut().for_each(|of| of.spot = of.machines.min(held));
            if site.base.is_none() && pool.lower.iter().any(|of| of.spot < of.machines) {
                return None;
            }
            pool.priced = self.priced(price, self.responses(block, site.region, need.rate(replicas)), &pool);
            Some(pool)
        };
        let most = pool.lower.iter().map(|of| of.machines).fold(pool.machines, u32::max);
        let mut best: Option<Pool> = None;
        for machines in (pool.machines..=most).step_by(asked.way.span.max(1) as usize) {
            if machines > pool.machines && !asked.does_without_spot(need, machines, replayed) {
                continue;
            }
            let Some((low, high)) = asked.spots(machines) else { break };
            let here = (low..=high).filter_map(|held| with(machines, held));
            best = best.into_iter().chain(here).min_by_key(|pool| pool.priced);
        }
        best
    }

    /// The cheapest pool of a candidate that a replay lets be, given the one by the closed form. It is left where it has become
    /// dearer than is asked about.
    fn played<'n>(
        &'n self,
        set: usize,
        part: &Part<'n>,
        need: &Need<'_>,
        needs: &mut Needs<'n>,
        by_form: &Pool,
        price: usize,
    ) -> Option<Pool> {
        let (s, w) = (by_form.site, by_form.way);
        let site = &self.field.sites[s];
        if by_form.lower.is_empty() {
            return self.at_peak(set, part, need, (s, w), price, true, self.bars[price]);
        }
        let (slack, prices) = (i128::from(SLACK) * SCALE, &self.prices[price]);
        let bar = self.bars[price].saturating_add(slack);
        let beside = |of: &Lower| {
            let each =
                |hourly: Option<Money>| prices.beside(site, hourly.unwrap_or_default(), of.class.seconds);
            if site.held.is_some() {
                let least = site.base.into_iter().chain(site.spot).min();
                return each(least) * i128::from(of.machines);
            }
            each(site.base) * i128::from(of.machines - of.spot) + each(site.spot) * i128::from(of.spot)
        };
        let below = by_form.lower.iter().map(beside).sum::<i128>() - slack;
        let mut pool = self.at_peak(set, part, need, (s, w), price, true, bar.saturating_sub(below))?;
        let mut floor = pool.priced + below;
        let mut lower = Vec::new();
        for of in by_form.lower.iter().rev() {
            if floor > bar {
                pool.priced = floor;
                return Some(pool);
            }
            let played = self.lower(set, part, (s, w), &of.class, true, needs)?;
            floor += beside(&played) - beside(of);
            lower.push(played);
        }
        lower.reverse();
        pool.lower = lower;
        self.settle(set, part, need, price, true, pool)
    }

    /// The count of the peak that is cheapest, paid for as long as the peak lasts.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn at_peak(
        &self,
        set: usize,
        part: &Part<'a>,
        need: &Need<'_>,
        (s, w): (usize, usize),
        price: usize,
        doubted: bool,
        bar: i128,
    ) -> Option<Pool> {
        let block = &self.blocks[set];
        let asked = self.asked(set, part.regions, (s, w), doubted);
        let (site, way, prices) = (asked.site, asked.way, &self.prices[price]);
        let (_, peak) = self.classes(site, way);
        let more = |machines: u32, n: u32| {
            let responses = self.responses(block, site.region, need.rate(n));
            let expected = peak.responses(responses);
            prices.hourly(
                Costs { expected, ..Costs::same(responses) } + Costs::same(copied(site, way, machines)),
            )
        };
        let machine = prices.machine(site, self.tolls[price][s], peak.seconds);
        let bill = Bill { machine, more: &more, bar };
        let own = asked.cheapest(need, &bill);
        let than = own.map(|(_, _, priced)| priced);
        if let Some(both) = self.with_stand_in((&asked, &bill), part, need, (s, w), price, than) {
            return Some(both);
        }
        let (machines, spot, priced) = own?;
        let replicas = machines / way.span.max(1) * way.replicas;
        let (shared, stand_in, lower) = (None, None, Vec::new());
        Some(Pool { site: s, way: w, machines, spot, replicas, priced, shared, stand_in, lower })
    }

    /// The fewest replicas on shared machines that do, at the price of the accelerators that they take.
    ///
    /// No placement has them for less: an accelerator costs at least its part, rounded down, of the machine with what that takes
    /// of limits, since no more are taken than there are.
    fn on_shared(
        &self,
        set: usize,
        part: &Part<'a>,
        need: &Need<'_>,
        (s, w): (usize, usize),
        price: usize,
        doubted: bool,
    ) -> Option<Pool> {
        let block = &self.blocks[set];
        let asked = self.asked(set, part.regions, (s, w), doubted);
        let (site, way, prices) = (asked.site, asked.way, &self.prices[price]);
        let (each, whole) = self.slots(site, way)?;
        let machine = prices.shared_machine(site, self.tolls[price][s])?;
        let slot = machine.div_euclid(i128::from(whole));
        let (_, peak) = self.classes(site, way);
        let cost = |n: u32| {
            let responses = self.responses(block, site.region, need.rate(n));
            let expected = peak.responses(responses);
            let copied = Costs::same(copied(site, way, n));
            let besides = prices.hourly(Costs { expected, ..Costs::same(responses) } + copied);
            slot * i128::from(each) * i128::from(n) + besides
        };
        let (n, slots, machines) = asked.fewest_on(need, (each, whole), &cost, self.bars[price])?;
        let shared = Some(slots);
        Some(Pool {
            site: s,
            way: w,
            machines,
            spot: 0,
            replicas: n,
            priced: cost(n),
            shared,
            stand_in: None,
            lower: Vec::new(),
        })
    }

    /// The count of a class below the peak that is the cheapest by itself.
    fn lower<'n>(
        &'n self,
        set: usize,
        part: &Part<'n>,
        (s, w): (usize, usize),
        class: &Class,
        played: bool,
        needs: &mut Needs<'n>,
    ) -> Option<Lower> {
        if day::rests(self.service, class) {
            return Some(Lower { class: *class, machines: 0, spot: 0, replicas: 0, responses: Money::ZERO });
        }
        let block = &self.blocks[set];
        let mut asked = self.asked(set, part.regions, (s, w), played);
        asked.least_replicas = self.fewest_in(part);
        let (site, way) = (asked.site, asked.way);
        let speed = &self.field.speeds[way.speed];
        let need = needs.entry(class.share).or_insert_with(|| Need::new(self.part_in(part, class), speed));
        let responses = |n: u32| self.responses(block, site.region, need.rate(n));
        // Both over the class's share, of which its load is a multiple: so all is whole.
        let seconds = i128::from(class.seconds) * i128::from(class.share.max(1));
        let price = |hourly: Money| i128::from(hourly.micros()) * seconds;
        let more = |_: u32, n: u32| i128::from(responses(n).micros()) * i128::from(class.load);
        let machine = Machine { base: site.base.map(price), spot: site.spot.map(price), beside: (0, 0) };
        let bill = Bill { machine, more: &more, bar: i128::MAX };
        let (machines, spot, _) = asked.cheapest(need, &bill)?;
        let replicas = machines / way.span.max(1) * way.replicas;
        Some(Lower { class: *class, machines, spot, replicas, responses: responses(replicas) })
    }

    /// A pool with all of its hours, at a price. What budgets count of months that are all one class is that of the peak.
    pub(super) fn priced(&self, price: usize, responses: Money, pool: &Pool) -> i128 {
        let site = &self.field.sites[pool.site];
        let tolls = self.tolls[price][pool.site];
        let (_, peak) = self.classes(site, &self.field.ways(site)[pool.way]);
        let (on, spot) = site.beside(pool.machines, pool.spot);
        let at_peak = i128::from(peak.seconds) * i128::from(pool.machines);
        let below = pool.lower.iter().map(|of| i128::from(of.class.seconds) * i128::from(of.machines));
        let seconds = at_peak + below.sum::<i128>();
        let emitted = self.prices[price].beside_price(site) * seconds * i128::from(HOURS_PER_MONTH);
        self.prices[price].hourly(self.costs(pool, responses, false))
            + emitted.div_euclid(i128::from(day::WEEK))
            + tolls.0 * i128::from(pool.machines - pool.spot + on)
            + tolls.1 * i128::from(pool.spot + spot)
    }

    /// What a pool costs an hour with such responses at its peak; what is counted of a month that is all peak and of the ceiling is that
    /// of the peak, or of its dearest class.
    pub(super) fn costs(&self, pool: &Pool, responses: Money, dearest: bool) -> Costs {
        let site = &self.field.sites[pool.site];
        let way = &self.field.ways(site)[pool.way];
        let (_, class) = self.classes(site, way);
        let base = site.base.unwrap_or(Money::ZERO);
        if let Some(slots) = pool.shared {
            let taken = i64::from(slots.each) * i64::from(pool.replicas);
            let part = Money::from_micros(base.times(taken).micros() / i64::from(slots.whole.max(1)));
            let besides = Costs { expected: class.responses(responses), ..Costs::same(responses) };
            return Costs::same(part + copied(site, way, pool.replicas)) + besides;
        }
        let cheap = site.spot.unwrap_or(Money::ZERO);
        let dear = site.on_demand.unwrap_or(cheap);
        let (machines, spot, replicas) = (pool.machines, pool.spot, pool.replicas);
        let peak = Lower { class, machines, spot, replicas, responses };
        let hour = |of: &Lower, spot: Money| {
            base.times(i64::from(of.machines - of.spot)) + spot.times(i64::from(of.spot)) + of.responses
        };
        let (mut on_base, mut on_spot, mut sent) = (0_u64, 0_u64, Money::ZERO);
        let (mut most, mut ceiling) = (hour(&peak, cheap), hour(&peak, dear));
        for of in pool.lower.iter().chain([&peak]) {
            on_base += u64::from(of.class.seconds) * u64::from(of.machines - of.spot);
            on_spot += u64::from(of.class.seconds) * u64::from(of.spot);
            sent += of.class.responses(of.responses);
            if dearest {
                most = most.max(hour(of, cheap));
                ceiling = ceiling.max(hour(of, dear));
            }
        }
        let hours = || pool.lower.iter().filter(|_| dearest).chain([&peak]);
        let most_base = hours().map(|of| of.machines - of.spot).max().unwrap_or(0);
        let most_spot = hours().map(|of| of.spot).max().unwrap_or(0);
        let (more, more_spot) = site.beside(most_base + most_spot, most_spot);
        ceiling += base.times(i64::from(more)) + dear.times(i64::from(more_spot));
        let expected = day::averaged(base, on_base) + day::averaged(cheap, on_spot) + sent;
        Costs { expected, peak: most, ceiling } + Costs::same(copied(site, way, machines))
    }

    /// What the pools of a block cost an hour.
    pub(super) fn costs_of(&self, set: usize, pools: &[Pool]) -> Costs {
        let block = &self.blocks[set];
        let of = |pool: &Pool| {
            let responses = self.sent(block, pools.len() as u32, pool);
            let beside = pool.stand_in.as_ref().map_or(Money::ZERO, |b| self.cost_of(b));
            self.costs(pool, responses, true) + Costs::same(beside)
        };
        pools.iter().map(of).fold(Costs::same(Money::ZERO), |sum, costs| sum + costs)
    }

    /// Whether the replay lets a pool be what it is, at all hours.
    pub(super) fn pool_replays(&self, set: usize, regions: u32, pool: &Pool) -> bool {
        let block = &self.blocks[set];
        let site = &self.field.sites[pool.site];
        let speed = &self.field.speeds[self.field.ways(site)[pool.way].speed];
        let ms = block.network.get(&site.region).copied().unwrap_or(f64::INFINITY);
        let part = self.part(block, regions, ms);
        let asked = self.asked(set, regions, (pool.site, pool.way), true);
        if let Some(slots) = pool.shared {
            return asked.replays_on(&Need::new(part, speed), slots, pool.replicas);
        }
        if let Some(beside) = &pool.stand_in {
            let lost = asked.lost(pool.machines / asked.way.span.max(1), 0).unwrap_or(0);
            return self.both_replay(&part, &Need::new(part, speed), pool, beside, lost);
        }
        asked.replays(&Need::new(part, speed), pool.machines, pool.spot)
            && pool.lower.iter().filter(|of| !day::rests(self.service, &of.class)).all(|of| {
                let need = Need::new(self.part_in(&part, &of.class), speed);
                asked.replays(&need, of.machines, of.spot)
            })
    }
}

/// Dollars an hour for the weights that are copied to machines once a month.
fn copied(site: &Site, way: &Way, machines: u32) -> Money {
    site.weights.scale(way.weights_gib * f64::from(machines) / HOURS_PER_MONTH as f64)
}
