//! All plans of a service that cost no more than a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use rhumb_api::Money;

use super::super::base::Base;
use super::super::couple;
use super::super::degrade::with_stand_in;
use super::super::floors::Floor;
use super::super::pool::{Count, weights_gib};
use super::super::service::{Block, Chosen, Search};
use super::super::sharing::Item;
use super::super::stability;
use super::Effort;
use super::quotas::Quotas;
use crate::perf::carbon;
use crate::spec::BudgetBinds;

/// Every choice of blocks that costs at most `limit` an hour in `search`, at the prices of `own`, without most of those that
/// are worse in everything than another; `None` if more than `effort` pools
/// and combinations of them would have to be looked at.
pub fn plans<'a>(
    (search, own): (&Search<'a>, &Search<'a>),
    bases: &[Arc<Base<'a>>],
    counted: Counted<'_>,
    limit: Money,
    most: Option<Money>,
    effort: Effort,
) -> Option<Vec<Vec<Block>>> {
    let n = search.service.traffic.origins.len();
    // With one origin there is no rest whose least is asked for.
    let floors = if n > 1 { search.optimum(bases).1 } else { vec![None; 1 << n] };
    let mut all = All {
        search,
        own,
        bases,
        counted,
        floors,
        limit,
        found: Vec::new(),
        effort: effort.pools,
        most,
        lists: BTreeMap::new(),
    };
    let whole = all.partition((1 << n) - 1, limit, &mut Vec::new());
    // Most of what was asked for a list is never asked for again, and of thousands of workloads it is too much to keep.
    search.needs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    whole.map(|()| all.found)
}

/// What counts beside the bill.
#[derive(Clone, Copy)]
pub struct Counted<'s> {
    /// Each site's quotas: row, what a machine takes of it, and a spot machine.
    pub sites: &'s Quotas,
    /// Milligrams that a machine of each site emits an hour; empty where emissions do not count.
    pub emits: &'s [i64],
    /// What an hour of a machine of each site counts for more, micro-dollars; empty where nothing does.
    pub surcharges: &'s [i64],
}

/// A pool with its cost at the prices of the search and at its own.
#[derive(Clone)]
struct Priced {
    cost: Money,
    own: Chosen,
    /// What it takes of each row, ascending; and, as the last two, how it is spread on shared machines.
    uses: Vec<(usize, i64)>,
}

struct All<'s, 'a> {
    search: &'s Search<'a>,
    own: &'s Search<'a>,
    bases: &'s [Arc<Base<'a>>],
    counted: Counted<'s>,
    /// Set of origins to what serving them costs at least.
    floors: Vec<Option<Money>>,
    limit: Money,
    found: Vec<Vec<Block>>,
    effort: u64,
    /// What nothing may cost without shared machines.
    most: Option<Money>,
    /// Block and regions to the pools of each region.
    lists: BTreeMap<(usize, u32), Arc<Vec<Vec<Priced>>>>,
}

/// Pools that take nothing of what is shared, each the cheapest of its region: as many of them as a block has regions beat
/// whatever costs more, and one of them is always free.
struct Free {
    regions: usize,
    binds: BudgetBinds,
    /// Region to the cost at own prices, with what a budget limits, and at the prices of the search.
    cheapest: BTreeMap<usize, (Money, Money)>,
    /// What beats all that costs more at both prices.
    bar: Option<(Money, Money)>,
    /// Whether nothing but costs is compared, see [`All::beats`].
    applies: bool,
}

impl Free {
    fn new(own: &Search<'_>, regions: u32) -> Self {
        let s = own.service;
        let by_cost = s.scaling.max_replicas.is_none() && s.scaling.min_replicas <= 1;
        Free {
            regions: regions as usize,
            binds: own.job.spec.budget.binds,
            cheapest: BTreeMap::new(),
            bar: None,
            applies: by_cost && s.placement.spread_regions <= 1 && s.traffic.daily.is_none(),
        }
    }

    fn meet(&mut self, region: usize, pool: &Priced) {
        if !self.applies || !pool.uses.is_empty() {
            return;
        }
        let own = pool.own.count.cost.max(pool.own.count.bound(self.binds));
        let new = (own, pool.cost);
        if self.bar.is_some_and(|bar| own >= bar.0) {
            return;
        }
        let known = self.cheapest.entry(region).or_insert(new);
        *known = new.min(*known);
        let mut all: Vec<(Money, Money)> = self.cheapest.values().copied().collect();
        all.sort_unstable();
        let fill = all.get(..self.regions);
        self.bar =
            fill.and_then(|all| Some((all.iter().map(|f| f.0).max()?, all.iter().map(|f| f.1).max()?)));
    }

    /// Whether a pool of a site that costs at least `least`, and `own` at own prices, is beaten.
    fn beats(&self, least: Option<Money>, own: Option<Money>) -> bool {
        // Of a day there is no bar: ways are in the order of both costs.
        matches!((self.bar, least, own), (Some(bar), Some(least), Some(own)) if own > bar.0 && least > bar.1)
    }
}

impl<'a> All<'_, 'a> {
    fn spend(&mut self, n: u64) -> Option<()> {
        self.effort = self.effort.checked_sub(n)?;
        Some(())
    }

    fn partition(&mut self, left: usize, money: Money, chosen: &mut Vec<Block>) -> Option<()> {
        if left == 0 {
            self.spend(1)?;
            if couple::broken(self.own, chosen).is_none() {
                self.found.push(chosen.clone());
            }
            return Some(());
        }
        let lowest = left & left.wrapping_neg();
        let mut block = left;
        while block > 0 {
            if block & lowest != 0 {
                self.regions(block, left ^ block, money, chosen)?;
            }
            block = (block - 1) & left;
        }
        Some(())
    }

    fn regions(&mut self, block: usize, rest: usize, money: Money, chosen: &mut Vec<Block>) -> Option<()> {
        let base = &self.bases[block];
        let floor = if rest == 0 { Some(Money::ZERO) } else { self.floors.get(rest).copied().flatten() };
        let (Some(floor_of_rest), Some(one)) = (floor, self.search.one_machine(base)) else {
            return Some(());
        };
        let left = money - floor_of_rest;
        if base.tops.is_empty() || left < Money::ZERO {
            return Some(());
        }
        let places = base.network.iter().flatten().count().min(1024) as u32;
        for regions in self.search.least_regions()..=places {
            if one.of(regions) > left {
                break;
            }
            // The most that is left for this block in any partition, so that the list serves all of them.
            let others = self.floors.len() - 1 - block;
            let floor = if others == 0 { Money::ZERO } else { self.floors[others].unwrap_or(Money::ZERO) };
            if !self.lists.contains_key(&(block, regions)) {
                let lists = self.pools(block, regions, self.limit - floor)?;
                self.lists.insert((block, regions), Arc::new(lists));
            }
            let lists = self.lists.get(&(block, regions)).cloned().unwrap_or_default();
            self.pick(
                &lists,
                0,
                regions as usize,
                (block, rest),
                (left, floor_of_rest),
                &mut Vec::new(),
                chosen,
            )?;
        }
        Some(())
    }

    #[allow(clippy::too_many_arguments)]
    fn pick(
        &mut self,
        lists: &[Vec<Priced>],
        from: usize,
        wanted: usize,
        (block, rest): (usize, usize),
        (left, of_rest): (Money, Money),
        mine: &mut Vec<Chosen>,
        chosen: &mut Vec<Block>,
    ) -> Option<()> {
        if wanted == 0 {
            chosen.push(Block { origins: self.bases[block].origins.clone(), pools: mine.clone() });
            self.partition(rest, left + of_rest, chosen)?;
            chosen.pop();
            return Some(());
        }
        for i in from..lists.len() {
            if lists.len() - i < wanted {
                break;
            }
            let mut others = Vec::new();
            if wanted > 1 {
                others.extend(lists[i + 1..].iter().map(|l| l[0].cost));
                others.sort_unstable();
            }
            let least: Money = others.iter().take(wanted - 1).copied().sum();
            for choice in &lists[i] {
                if choice.cost + least > left {
                    break;
                }
                let blocks = chosen.iter().map(Block::cost);
                let own = blocks.chain(mine.iter().chain([&choice.own]).map(|p| p.count.cost)).sum::<Money>();
                if self.most.is_some_and(|most| own > most) {
                    continue;
                }
                self.spend(1)?;
                mine.push(choice.own);
                let left = (left - choice.cost, of_rest);
                self.pick(lists, i + 1, wanted - 1, (block, rest), left, mine, chosen)?;
                mine.pop();
            }
        }
        Some(())
    }

    /// The pools of each region that may be part of a block under `limit`, cheapest first.
    fn pools(&mut self, block: usize, regions: u32, limit: Money) -> Option<Vec<Vec<Priced>>> {
        let (search, base) = (self.search, &self.bases[block]);
        let near = search.demand(base, regions, base.nearest);
        let floors = search.floors(base, regions);
        let mut found: BTreeMap<usize, Vec<Priced>> = BTreeMap::new();
        let mut free = Free::new(self.own, regions);
        for (_, i) in search.sites(base, &near, &floors, limit) {
            if !search.may_share(i, regions) {
                continue;
            }
            let site = &search.table.sites[i];
            let own_extra = self.own.least_extra(base, &near, site.region);
            let Some(ms) = base.network.get(site.region).copied().flatten() else { continue };
            let terms = &search.terms[i];
            let floor_extra = search.least_extra(base, &near, site.region);
            for floor in &floors[site.machine] {
                let w = floor.way;
                if search.least_cost(i, *floor).is_none_or(|m| m + floor_extra > limit) {
                    if search.follows().is_some() {
                        continue;
                    }
                    break;
                }
                let way = &search.table.machines[site.machine].ways[w];
                let Ok(index) = way.speed else { continue };
                let beaten = |floor: Floor| {
                    let least = search.least_cost(i, floor).map(|m| m + floor_extra);
                    let own = self.own.least_cost(i, floor).map(|m| m + own_extra);
                    free.beats(least, own)
                };
                if beaten(*floor) {
                    break;
                }
                let Some(least) = search.least(base, &near, (site.machine, w)) else { continue };
                if search.least_cost(i, least).is_none_or(|m| m + floor_extra > limit) || beaten(least) {
                    continue;
                }
                let needs = search.needs(base, regions, ms, index);
                let constant = search.constant(base, &near, site.region);
                let extra =
                    |n: u32| constant.unwrap_or_else(|| search.responses(base, site.region, needs.rate(n)));
                let Ok(day) = search.day(base, regions, (i, w)) else { continue };
                let Some(ask) = search.ask((i, w), 1, &extra, day) else { continue };
                let Ok((first, last)) = ask.range(&needs) else { continue };
                let gib = weights_gib(ask.speed, way);
                let (mut any, mut enough) = (false, false);
                for units in first..=u32::MAX {
                    let Some(machines) = units.checked_mul(way.span.max(1)) else { break };
                    let n = units.saturating_mul(way.replicas);
                    let Some(floor) = terms.least(machines) else { break };
                    let over = ask.floor(floor, n) + terms.copying(gib, machines) > limit;
                    // What no number up to `last` does, none does; and where nothing is paid, no number is too dear.
                    let hopeless =
                        (!any && units > last) || units > last.saturating_mul(4).saturating_add(64);
                    if over
                        || enough
                        || hopeless
                        || !terms.any_within_quotas(machines)
                        || ask.most_replicas.is_some_and(|most| n > most)
                    {
                        break;
                    }
                    let low = if terms.base.is_none() { machines } else { 0 };
                    let take =
                        |all: &Self, count: Count, free: &mut Free, found: &mut BTreeMap<_, Vec<Priced>>| {
                            if count.cost <= limit
                                && let Some(own) =
                                    all.own.own(base, regions, &Chosen { site: i, way: w, count })
                                && all.most.is_none_or(|most| own.count.cost <= most)
                            {
                                let priced = Priced { cost: count.cost, own, uses: all.uses(&own) };
                                free.meet(site.region, &priced);
                                found.entry(site.region).or_default().push(priced);
                            }
                        };
                    let beside = ask.stand_ins(&needs, units, machines, gib);
                    let looked_at = beside.len() as u64;
                    beside.into_iter().for_each(|count| take(self, count, &mut free, &mut found));
                    self.effort = self.effort.checked_sub(looked_at)?;
                    any |= looked_at > 0;
                    for spot in low..=terms.most_spot(machines) {
                        self.effort = self.effort.checked_sub(1)?;
                        if !terms.within_quotas(machines, spot) || !ask.does(&needs, units, spot) {
                            continue;
                        }
                        any = true;
                        // Without spot a larger pool costs and takes more of everything.
                        // or where machines are held: of these a larger pool needs no fewer of anything.
                        let alike = terms.spot.is_none() || terms.held.is_some();
                        enough |= alike && n >= search.service.scaling.min_replicas;
                        let count = ask.count(units, machines, spot, gib);
                        count.into_iter().for_each(|count| take(self, count, &mut free, &mut found));
                    }
                }
            }
        }
        let mut lists: Vec<Vec<Priced>> = found.into_values().collect();
        for list in &mut lists {
            let of = |c: &Priced| (c.own.count.rank().1, c.own.count.stand_in.is_some());
            list.sort_by_key(|c| (c.cost, of(c), c.own.site, c.own.way, c.own.count.spot));
            self.thin(list);
        }
        self.thin_regions(&mut lists, regions as usize);
        Some(lists)
    }

    /// What a pool and its stand-in take of declared quotas, and emit.
    fn uses(&self, c: &Chosen) -> Vec<(usize, i64)> {
        if c.count.stand_in.is_none() {
            return self.own_uses(c);
        }
        let mut uses: BTreeMap<usize, i64> = BTreeMap::new();
        for (row, n) in with_stand_in(c).flat_map(|c| self.own_uses(&c)) {
            *uses.entry(row).or_insert(0) += n;
        }
        uses.into_iter().collect()
    }

    fn own_uses(&self, c: &Chosen) -> Vec<(usize, i64)> {
        let (on, spot) = c.count.takes();
        let (on, spot) = (i64::from(on), i64::from(spot));
        let taken =
            self.counted.sites.at(c.site).iter().map(|(row, base, spots)| (*row, base * on + spots * spot));
        // What needs more shared machines, or larger gaps on them, fits in fewer places.
        let item = Item::of(self.search, c);
        let spread = item.map_or([0, 0], |i| [i64::from(i.needs()), i64::from(i.size)]);
        let spread = spread.into_iter().enumerate().map(|(k, n)| (usize::MAX - 1 + k, n));
        let emits = self.counted.emits.get(c.site);
        let emitted = emits.map(|mg| (usize::MAX - 2, carbon::of_weeks(*mg, c.count.seconds)));
        let surcharge = self.counted.surcharges.get(c.site);
        let more = surcharge.map(|each| (usize::MAX - 3, stability::month(*each, c.count.seconds)));
        taken.chain(more).chain(emitted).chain(spread).filter(|(_, n)| *n > 0).collect()
    }

    /// Whether `a` is as good as `b` in everything that a rule or a shared limit counts.
    fn beats(&self, a: &Priced, b: &Priced) -> bool {
        let (cost, of_a, of_b) = (a.cost <= b.cost, &a.uses, &b.uses);
        let (a, b) = (&a.own, &b.own);
        let scaling = &self.search.service.scaling;
        let bound = |c: &Chosen| c.count.bound(self.search.job.spec.budget.binds);
        let fewer = scaling.max_replicas.is_none() || a.count.most_replicas <= b.count.most_replicas;
        let more = scaling.min_replicas <= 1 || a.count.replicas >= b.count.replicas;
        let rank = |c: &Chosen| (c.count.rank().0, c.count.rank().1);
        let cheaper = rank(a) < rank(b) || rank(a) == rank(b) && !a.count.beside_a_spare(&b.count);
        if !(fewer && more && cost && cheaper && bound(a) <= bound(b)) {
            return false;
        }
        let of = |row: usize| of_b.binary_search_by_key(&row, |(r, _)| *r).map_or(0, |i| of_b[i].1);
        of_a.iter().all(|(row, n)| *n <= of(*row))
    }

    fn thin(&self, list: &mut Vec<Priced>) {
        let mut kept: Vec<Priced> = Vec::new();
        for c in list.drain(..) {
            if !kept.iter().any(|k| self.beats(k, &c)) {
                kept.push(c);
            }
        }
        *list = kept;
    }

    /// Drops pools that as many other regions beat as the block has: one of those is always free. Where a rule counts
    /// regions nothing is dropped.
    fn thin_regions(&self, lists: &mut Vec<Vec<Priced>>, regions: usize) {
        if self.search.service.placement.spread_regions > 1 {
            return;
        }
        let all = lists.clone();
        for (i, list) in lists.iter_mut().enumerate() {
            list.retain(|c| {
                let mut better: BTreeSet<usize> = BTreeSet::new();
                for (j, other) in all.iter().enumerate().filter(|(j, _)| *j != i) {
                    // Of equals the earlier region stays.
                    if other.iter().any(|o| self.beats(o, c) && (j < i || !self.beats(c, o))) {
                        better.insert(j);
                        if better.len() >= regions {
                            return false;
                        }
                    }
                }
                true
            });
        }
        lists.retain(|list| !list.is_empty());
    }
}
