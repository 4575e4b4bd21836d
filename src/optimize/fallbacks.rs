//! What may stand in for each chosen pool, should its machines be refused.
//!
//! A pool's seat is emptied, and everything else stays: the same block of origins over as many regions, the other pools, what
//! all of them take of quotas and budgets. The cheapest ways to fill the seat are found as the pool itself was, by a bound for
//! the order and the closed form for the count, and confirmed by the replay. With spot an offer is told only where it is
//! cheaper than without. Where the cheapest are all spot, or all of the pool's own accelerator, what is out of stock for one may
//! be for all: there the cheapest of another kind is told besides.

mod fleets;
mod left;
mod runs;
mod short;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

pub(super) use fleets::{Sharer, of as of_fleet};
pub(super) use left::Left;
use left::Taken;
use short::{Key, Short};

use super::base::Base;
use super::floors::Floor;
use super::job::Job;
use super::load::Demand;
use super::pool::{Ask, Count, Day, Extra, Needs, QuotaLimit, Terms, weights_gib};
use super::service::{Block, Chosen, Search};
use super::table::Table;
use super::together::Plan;
use super::{build, emission, sharing};
use crate::perf::carbon;
use crate::placement::{
    Fallback, Fallbacks, Placement, Pool, Rejection, SharedFleet, WANTED_FALLBACKS, WorkloadPlacement,
};

/// The fallbacks of a workload's pools, and what has to be told of them.
pub(super) type Found = (Vec<Fallbacks>, Vec<String>);

/// The fallbacks of a workload among `all`, which was built from `plan`.
pub(super) fn of(
    all: &Placement,
    (job, table): (&Job<'_>, &Table),
    search: Option<&Search<'_>>,
    plan: &Plan,
) -> Found {
    let Some(placed) = all.workloads.get(&job.address) else { return Found::default() };
    if placed.mix.is_some() {
        let told = "no stand-ins are looked for of machines that share size classes".to_owned();
        return (Vec::new(), vec![told]);
    }
    if matches!(job.kind, super::Kind::Service(service) if service.degrade.is_some()) {
        let told = "no fallbacks are looked for of a service with `degrade`: another offer of a pool would ask for another stand-in, not \
                    supported yet";
        return (Vec::new(), vec![told.to_owned()]);
    }
    let left = Left::of(all, job);
    match (plan, search, job.kind) {
        (Plan::Service(blocks), Some(search), _) => of_service(search, blocks, (placed, &all.fleets), &left),
        (Plan::Federation(_), ..) => {
            let told =
                "no stand-ins are looked for of the machines of a federation, not supported yet".to_owned();
            (Vec::new(), vec![told])
        }
        (Plan::Run(run), _, super::Kind::Run(own)) => runs::of_batch(job, table, own, run, placed, &left),
        _ => Found::default(),
    }
}

/// A site's terms with what is left of its quotas, with spot or without; `None` if that is not on sale there.
pub(super) fn remaining(terms: &Terms, cloud: Cloud, taken: &Taken, spot: bool) -> Option<Terms> {
    if (spot && terms.most_spot(u32::MAX) == 0) || (!spot && terms.base.is_none()) {
        return None;
    }
    let mut terms = terms.clone();
    if !spot {
        terms.spot = None;
    }
    let declared = if terms.quotas.is_empty() { &mut [] } else { Arc::make_mut(&mut terms.quotas) };
    for q in declared {
        q.limit -= taken.get(&(cloud, q.place.clone(), q.code.clone())).copied().unwrap_or(0.0);
    }
    Some(terms)
}

/// A pool's place in a service, emptied.
pub(super) struct Seat<'s, 'a> {
    search: &'s Search<'a>,
    pub base: Arc<Base<'a>>,
    pub regions: u32,
    own: Chosen,
    /// Regions that are taken.
    pub closed: BTreeSet<usize>,
    least_replicas: u32,
    most_replicas: Option<u32>,
    pub taken: Taken,
    /// The most that it may cost an hour by the figure that budgets bind.
    pub most: Money,
    /// The most that it may emit a month, milligrams.
    carbon: Option<i64>,
    near: Demand<'a>,
    floors: Arc<Vec<Vec<Floor>>>,
    /// Sites by a bound of their cost.
    sites: Vec<(Money, usize)>,
}

fn key<'c>(job: &Job<'c>, table: &Table, cost: Money, c: &Chosen) -> Key<'c> {
    let (catalog, site) = (&job.world.catalog, &table.sites[c.site]);
    let kind = &catalog.instance_types[table.machines[site.machine].index];
    let region = &catalog.regions[site.region];
    (cost, c.count.machines, region.cloud, &region.id, &kind.name, c.count.spot > 0)
}

/// Whether a site's machines have another accelerator than another site's.
fn differs(job: &Job<'_>, table: &Table, site: usize, own: usize) -> bool {
    let of =
        |i: usize| job.world.catalog.instance_types[table.machines[table.sites[i].machine].index].accelerator;
    of(site) != of(own)
}

/// Why sites have nothing to offer, and how many.
type Why = BTreeMap<&'static str, u32>;

impl<'s, 'a> Seat<'s, 'a> {
    pub fn new(search: &'s Search<'a>, blocks: &[Block], (b, p): (usize, usize), left: &Left) -> Self {
        let (block, s) = (&blocks[b], search.service);
        let base = search.base(&block.origins);
        let regions = block.pools.len() as u32;
        let near = search.demand(&base, regions, base.nearest);
        let floors = search.floors(&base, regions);
        // What is held is for the pools as planned: a market that refuses machines refuses none of these.
        let mut sites = search.sites(&base, &near, &floors, Money::MAX);
        // Shared machines are replaced as a whole, with everything on them.
        let shared = search.table.slots(block.pools[p].site).is_some();
        sites.retain(|(_, i)| !search.table.sites[*i].held && search.table.slots(*i).is_some() == shared);
        let region = |c: &Chosen| search.table.sites[c.site].region;
        let others: Vec<&Chosen> = blocks
            .iter()
            .enumerate()
            .flat_map(|(i, block)| block.pools.iter().enumerate().map(move |(k, c)| ((i, k), c)))
            .filter(|(at, _)| *at != (b, p))
            .map(|(_, c)| c)
            .collect();
        let mut closed: BTreeSet<usize> =
            block.pools.iter().enumerate().filter(|(k, _)| *k != p).map(|(_, c)| region(c)).collect();
        let elsewhere: BTreeSet<usize> = others.iter().map(|c| region(c)).collect();
        if elsewhere.len() < s.placement.spread_regions as usize {
            closed.extend(elsewhere);
        }
        let replicas = others.iter().fold(0_u32, |sum, c| sum.saturating_add(c.count.replicas));
        let most_replicas = others.iter().fold(0_u32, |sum, c| sum.saturating_add(c.count.most_replicas));
        let mut taken = left.taken.clone();
        for c in &others {
            let cloud = search.job.world.catalog.regions[region(c)].cloud;
            for q in search.terms[c.site].quotas.iter() {
                let (base, spot) = c.count.takes();
                let own = q.base * f64::from(base) + q.spot * f64::from(spot);
                *taken.entry((cloud, q.place.clone(), q.code.clone())).or_insert(0.0) += own;
            }
        }
        // What shared machines emit is no pool's.
        let own = |c: &&&Chosen| search.table.slots(c.site).is_none();
        let emitted = |c: &&Chosen| {
            let machine = search.table.machines[search.table.sites[c.site].machine].index;
            let mg = emission::emitter(search.job.world, machine, region(c)).map_or(0, |e| e.mg_per_hour);
            carbon::of_weeks(mg, c.count.seconds)
        };
        let carbon = left.carbon.map(|most| most - others.iter().filter(own).map(emitted).sum::<i64>());
        let hour = left.month.map(|m| Money::from_micros(m.micros().div_euclid(HOURS_PER_MONTH)));
        // No figure that a budget binds is below the expected cost.
        let binds = search.job.spec.budget.binds;
        let spent: Money = others.iter().map(|c| c.count.bound(binds)).sum();
        let most = hour.map_or(Money::MAX, |hour| hour - spent);
        Seat {
            search,
            regions,
            own: block.pools[p],
            closed,
            least_replicas: s.scaling.min_replicas.saturating_sub(replicas).max(1),
            most_replicas: s.scaling.max_replicas.map(|most| most.saturating_sub(most_replicas)),
            taken,
            most,
            carbon,
            near,
            floors,
            sites,
            base,
        }
    }

    /// What a pool of some way at a site is asked for.
    pub fn ask<R>(
        &self,
        terms: &Terms,
        (i, w): (usize, usize),
        then: impl FnOnce(&Ask<'_>, &Needs<'a>) -> R,
    ) -> Option<R> {
        let search = self.search;
        let site = &search.table.sites[i];
        let way = &search.table.machines[site.machine].ways[w];
        let index = *way.speed.as_ref().ok()?;
        let ms = self.base.network.get(site.region).copied().flatten()?;
        let needs = search.needs(&self.base, self.regions, ms, index);
        let extra = |n: u32| search.responses(&self.base, site.region, needs.rate(n));
        let day = search.day(&self.base, self.regions, (i, w)).ok()?;
        let ask = search.ask((i, w), self.least_replicas, &extra, day)?;
        let ask = Ask { terms, most_replicas: self.most_replicas, ..ask };
        Some(then(&ask, &needs))
    }

    /// The cheapest pools by the closed form, in order, and why other sites have none.
    fn cheapest(&self) -> (Vec<Chosen>, Why) {
        let (job, table) = (self.search.job, self.search.table);
        let mut short = Short::new(job);
        let mut why = Why::new();
        for (least, i) in &self.sites {
            if short.bar(false, true).is_some_and(|bar| *least > bar) {
                break;
            }
            if self.closed.contains(&table.sites[*i].region) {
                *why.entry("region").or_insert(0) += 1;
                continue;
            }
            let other = differs(job, table, *i, self.own.site);
            let mut any = self.is_own(*i);
            let (mut dear, mut first) = (false, None);
            for spot in [false, true] {
                let bar = short.bar(spot, other);
                if bar.is_some_and(|bar| *least > bar) {
                    any = true;
                    continue;
                }
                match self.at(*i, spot, bar.map_or(self.most, |bar| bar.min(self.most))) {
                    Ok(Some(found)) => {
                        any = true;
                        short.offer(key(job, table, found.count.cost, &found), other, found);
                    }
                    Ok(None) if bar.is_some() => any = true,
                    Ok(None) => dear = true,
                    Err(constraint) => first = first.or(Some(constraint)),
                }
            }
            if !any {
                let constraint = if dear && self.most < Money::MAX { "budget" } else { "purchase" };
                let first = first.filter(|_| !dear).unwrap_or(constraint);
                *why.entry(first).or_insert(0) += 1;
            }
        }
        (short.list(|c| differs(job, table, c.site, self.own.site)), why)
    }

    /// Whether a site has the pool's own machines in its own region.
    fn is_own(&self, i: usize) -> bool {
        let (site, own) = (&self.search.table.sites[i], &self.search.table.sites[self.own.site]);
        (site.machine, site.region) == (own.machine, own.region)
    }

    /// The cheapest pool at a site, of at most `bar`, with spot or without.
    ///
    /// # Errors
    /// The constraint that rejects all of them, whatever they cost.
    fn at(&self, i: usize, spot: bool, bar: Money) -> Result<Option<Chosen>, &'static str> {
        let search = self.search;
        // Where machines are out of stock, spot is as well.
        let held = search.table.sites[self.own.site].held;
        if self.is_own(i) && (spot || held || self.own.count.spot == 0) {
            return Ok(None);
        }
        // The machines of other hours are chosen with spot where there may be any.
        if search.follows().is_some() && spot != (search.terms[i].most_spot(u32::MAX) > 0) {
            return Err("purchase");
        }
        let site = &search.table.sites[i];
        let cloud = search.job.world.catalog.regions[site.region].cloud;
        let Some(terms) = remaining(&search.terms[i], cloud, &self.taken, spot) else {
            return Err("purchase");
        };
        let extra = search.least_extra(&self.base, &self.near, site.region);
        let (mut best, mut dear, mut why): (Option<Chosen>, _, _) = (None, false, None);
        let emits = self.carbon.map_or(0, |_| {
            let machine = search.table.machines[site.machine].index;
            emission::emitter(search.job.world, machine, site.region).map_or(0, |e| e.mg_per_hour)
        });
        let cost = |floor: Floor| match search.follows() {
            None => terms.least(floor.machines),
            Some(_) => terms.least_over_day(floor.thousandths, floor.machines),
        };
        for floor in &self.floors[site.machine] {
            let w = floor.way;
            let limit = best.map_or(bar, |b| b.count.cost.min(bar));
            if cost(*floor).is_none_or(|m| m + extra > limit) {
                dear = true;
                if search.follows().is_some() {
                    continue;
                }
                break;
            }
            let least = search.least(&self.base, &self.near, (site.machine, w)).and_then(cost);
            if least.is_none_or(|m| m + extra > limit) {
                dear = true;
                continue;
            }
            let binds = search.job.spec.budget.binds;
            let found = self.ask(&terms, (i, w), |ask, needs| match ask.cheapest(needs, limit) {
                Ok(Some(count)) if count.bound(binds) > self.most => Ok(self.under_budget(ask, needs, limit)),
                other => other,
            });
            let within = |c: &Count| {
                let (base, spot) = c.takes();
                let taken = |q: &QuotaLimit| q.base * f64::from(base) + q.spot * f64::from(spot);
                terms.quotas.iter().all(|q| taken(q) <= q.limit + 1e-9)
            };
            match found {
                Some(Ok(Some(count)))
                    if self.carbon.is_some_and(|most| carbon::of_weeks(emits, count.seconds) > most) =>
                {
                    why = why.or(Some("carbon"));
                }
                // What follows the load was asked for with spot where it may have some, and may be too small for any.
                Some(Ok(Some(count)))
                    if (!spot || count.most_spot > 0 || search.follows().is_some()) && within(&count) =>
                {
                    let new = Chosen { site: i, way: w, count };
                    let order = |c: &Chosen| (c.count.cost, c.count.machines, c.way);
                    if best.is_none_or(|b| order(&new) < order(&b)) {
                        best = Some(new);
                    }
                }
                Some(Err(Rejection { constraint, .. })) => why = why.or(Some(constraint)),
                _ => dear = true,
            }
        }
        match (best, why) {
            (None, Some(why)) if !dear => Err(why),
            _ => Ok(best),
        }
    }

    /// The cheapest count that the budget allows: not always the one that is the cheapest as bought, where machines that
    /// are not spot cost less than on demand.
    pub fn under_budget(&self, ask: &Ask<'_>, needs: &Needs<'_>, limit: Money) -> Option<Count> {
        let (first, _) = ask.range(needs).ok()?;
        let gib = weights_gib(ask.speed, ask.way);
        let mut best: Option<Count> = None;
        for units in first..=u32::MAX {
            let machines = units.checked_mul(ask.way.span.max(1))?;
            let low = if ask.terms.base.is_none() { machines } else { 0 };
            let counts: Vec<Count> = (low..=ask.terms.most_spot(machines))
                .filter_map(|spot| ask.count(units, machines, spot, gib))
                .collect();
            let binds = self.search.job.spec.budget.binds;
            let least = counts.iter().map(|c| c.bound(binds)).min();
            let over = self.most_replicas.is_some_and(|most| units.saturating_mul(ask.way.replicas) > most);
            if over || least.is_none_or(|l| l > self.most || l <= Money::ZERO) {
                break;
            }
            for c in counts {
                let bar = best.map_or(limit, |b| b.cost);
                let cheaper = c.cost < bar || (best.is_none() && c.cost <= bar);
                let holds = || ask.does(needs, units, c.spot) && ask.terms.within_quotas(machines, c.spot);
                if cheaper && c.bound(binds) <= self.most && holds() {
                    best = Some(c);
                }
            }
        }
        best
    }

    /// The cheapest pools that the replay confirms as well; what it contradicts is left out, and the others are looked for again.
    fn confirmed(&self) -> (Vec<Chosen>, Why) {
        let mut good: Vec<Chosen> = Vec::new();
        loop {
            let (list, why) = self.cheapest();
            let new: Vec<&Chosen> = list.iter().filter(|c| !good.contains(c)).collect();
            let asked: Vec<_> = new.iter().map(|c| self.replay(c)).collect();
            let holds: Vec<bool> =
                asked.par_iter().map(|replay| replay.as_ref().is_some_and(|r| r())).collect();
            if holds.iter().all(|h| *h) {
                return (list, why);
            }
            self.search.forget_hours();
            good.extend(new.iter().zip(&holds).filter(|(_, h)| **h).map(|(c, _)| **c));
        }
    }

    /// Whether the replay contradicts nothing of a pool, to be worked out on any thread.
    fn replay(&self, chosen: &Chosen) -> Option<impl Fn() -> bool + Sync + use<'s, 'a>> {
        let search = self.search;
        let (terms, survive) = (&search.terms[chosen.site], search.service.survive);
        let (table, site) = (search.table, &search.table.sites[chosen.site]);
        let way = &table.machines[site.machine].ways[chosen.way];
        let index = *way.speed.as_ref().ok()?;
        let ms = self.base.network.get(site.region).copied().flatten()?;
        let needs = search.needs(&self.base, self.regions, ms, index);
        let mut all = search.hours_below(&self.base, self.regions, chosen);
        all.push((needs, chosen.count));
        Some(move || {
            let speed = &table.speeds[index];
            let (least_replicas, most_replicas, extra) = (1, None, &|_| Extra::default());
            let ask = Ask {
                terms,
                way,
                speed,
                survive,
                least_replicas,
                most_replicas,
                extra,
                day: Day::Flat,
                stands: None,
            };
            // All of them, so that what is contradicted is known at once.
            let confirmed = |(needs, count): &(Arc<Needs<'_>>, Count)| {
                ask.confirmed(needs, count.machines / way.span.max(1), count.spot)
            };
            all.iter().filter(|hour| !confirmed(hour)).count() == 0
        })
    }
}

fn of_service(
    search: &Search<'_>,
    blocks: &[Block],
    (placed, fleets): (&WorkloadPlacement, &[SharedFleet]),
    left: &Left,
) -> Found {
    let mut lists: BTreeMap<usize, Fallbacks> = BTreeMap::new();
    let mut told = Vec::new();
    for (b, block) in blocks.iter().enumerate() {
        for (p, chosen) in block.pools.iter().enumerate() {
            if search.table.slots(chosen.site).is_some() {
                continue;
            }
            let Some(index) = index_of(search, placed, block, chosen) else { continue };
            let seat = Seat::new(search, blocks, (b, p), left);
            let (found, mut why) = seat.confirmed();
            let mut list: Vec<Fallback> = Vec::new();
            for other in found {
                let mut blocks = blocks.to_vec();
                blocks[b].pools[p] = other;
                let mut built = build::service(search, &blocks, placed.certificate.clone());
                sharing::charge_as_planned(&mut built, fleets);
                let Some(there) = index_of(search, &built, &blocks[b], &other) else { continue };
                if left.allows(search.job, &built) {
                    list.push(fallback(&built, there, placed, index));
                } else {
                    let word = if left.emits(search.job, &built) { "budget" } else { "carbon" };
                    *why.entry(word).or_insert(0) += 1;
                }
            }
            let sites = search.table.sites.iter().enumerate();
            let on_sale = sites.filter(|(i, site)| !site.held && search.table.slots(*i).is_none()).count();
            let slow = (on_sale - seat.sites.len()) as u32;
            let fallbacks = sorted(&placed.pools[index], list);
            if search.follows().is_some() && search.job.may_use_spot() {
                let addr = below(&placed.pools[index]);
                told.push(format!(
                    "{addr}: a pool that follows the day has only fallbacks that may use spot as it does"
                ));
            }
            told.extend(few(&fallbacks, search.table, slow, &why));
            lists.insert(index, fallbacks);
        }
    }
    (lists.into_values().collect(), told)
}

/// Which of a placement's pools stands for a choice: the one in its region that serves the block's first origin.
fn index_of(
    search: &Search<'_>,
    placed: &WorkloadPlacement,
    block: &Block,
    chosen: &Chosen,
) -> Option<usize> {
    let region = &search.job.world.catalog.regions[search.table.sites[chosen.site].region];
    let origin = &search.service.traffic.origins.get(*block.origins.first()?)?.name;
    let route = placed.routes.iter().find(|r| r.origin == *origin)?;
    let here =
        |i: &usize| placed.pools.get(*i).is_some_and(|p| (p.cloud, &p.region) == (region.cloud, &region.id));
    route.to.iter().map(|(i, _)| *i).find(here)
}

/// What stands `there` in what was built, in place of the pool at `index` of what is placed: its order may be another one.
fn fallback(built: &WorkloadPlacement, there: usize, placed: &WorkloadPlacement, index: usize) -> Fallback {
    let mut pool = built.pools[there].clone();
    // The other pools keep the addresses that they have, whatever they are called beside it.
    let others = || placed.pools.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, p)| &p.addr);
    let own = pool.addr.clone();
    for n in 2..=placed.pools.len() + 1 {
        if others().all(|addr| *addr != pool.addr) {
            break;
        }
        pool.addr = own.child(&n.to_string());
    }
    let of_others = |caveat: &String| {
        placed.pools.iter().any(|p| p.addr != pool.addr && caveat.starts_with(&format!("{}:", below(p))))
    };
    let new = |c: &&String| !placed.caveats.contains(c) && !of_others(c);
    Fallback {
        more_per_month: built.cost.expected_per_month - placed.cost.expected_per_month,
        ceiling_per_month: built.cost.ceiling_per_month,
        run: built.run.clone(),
        caveats: built.caveats.iter().filter(new).cloned().collect(),
        pool,
    }
}

/// A pool's address below its workload.
fn below(pool: &Pool) -> &str {
    pool.addr.as_str().split_once('/').map_or("", |(_, below)| below)
}

fn sorted(pool: &Pool, mut list: Vec<Fallback>) -> Fallbacks {
    let machines = |f: &Fallback| f.pool.machines.iter().map(|m| m.count).sum::<u32>();
    list.sort_by(|a, b| {
        (a.more_per_month, machines(a), a.pool.offers()).cmp(&(
            b.more_per_month,
            machines(b),
            b.pool.offers(),
        ))
    });
    Fallbacks { pool: pool.addr.clone(), list }
}

/// What is told where there are fewer fallbacks than wanted.
fn few(found: &Fallbacks, table: &Table, slow: u32, why: &Why) -> Option<String> {
    let n = found.list.len();
    if n >= WANTED_FALLBACKS {
        return None;
    }
    let more = [("slow", slow), ("forbidden", table.forbidden)];
    let reasons = reasons(why.iter().map(|(c, n)| (*c, *n)).chain(more));
    let addr = found.pool.as_str().split_once('/').map_or("", |(_, below)| below);
    let count =
        if n == 0 { "no fallback".to_owned() } else { format!("{n} of {WANTED_FALLBACKS} fallbacks") };
    Some(format!("{addr}: {count}; other offers: {reasons}"))
}

/// Why other offers are no fallbacks, and of how many each is true.
fn reasons(why: impl Iterator<Item = (&'static str, u32)>) -> String {
    let of = |constraint: &str, n: u32| match constraint {
        "region" => format!("{n} in regions that the same origins or `spread` need for another pool"),
        "budget" => format!("{n} over the budget"),
        "carbon" => format!("{n} over the cap of carbon"),
        "quota" => format!("{n} over a declared quota"),
        "slow" => format!("{n} too slow, too small or too far"),
        "forbidden" => format!("{n} forbidden by a rule of the spec"),
        "together" => format!("{n} that not all of them can use"),
        other => format!("{n} by {other}"),
    };
    let parts: Vec<String> = why.filter(|(_, n)| *n > 0).map(|(c, n)| of(c, n)).collect();
    if parts.is_empty() { "nothing else is on sale".to_owned() } else { parts.join(", ") }
}
