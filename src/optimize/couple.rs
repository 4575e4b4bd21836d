//! Rules over all pools of a service: number of replicas, spread over regions, declared quotas, budget.
//!
//! The optimum without them is a lower bound; only where it breaks one of them are all pools listed that
//! no other one beats in everything that counts, and searched in depth under rising cost limits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::base::Base;
use super::degrade::with_stand_in;
use super::pool::weights_gib;
use super::service::{Block, Chosen, Search, weight};
use super::table;
use crate::placement::Rejection;
use crate::spec::BudgetBinds;

/// The first rule over the whole service that a choice breaks.
pub(super) fn broken(search: &Search<'_>, blocks: &[Block]) -> Option<Rejection> {
    let s = search.service;
    let job = search.job;
    let pools: Vec<&Chosen> = blocks.iter().flat_map(|b| &b.pools).collect();
    let no = |constraint, reason: String, at, distance| Some(Rejection { constraint, reason, at, distance });
    let regions: BTreeSet<usize> = pools.iter().map(|p| search.table.sites[p.site].region).collect();
    if regions.len() < s.placement.spread_regions as usize {
        let reason = format!("{} regions, {} are asked for", regions.len(), s.placement.spread_regions);
        return no("spread", reason, Some(s.placement.at.join("spread")), None);
    }
    let replicas: u64 = pools.iter().map(|p| u64::from(p.count.replicas)).sum();
    let most_replicas: u64 = pools.iter().map(|p| u64::from(p.count.most_replicas)).sum();
    if replicas < u64::from(s.scaling.min_replicas) {
        let reason = format!("{replicas} replicas, at least {} are asked for", s.scaling.min_replicas);
        return no("min_replicas", reason, Some(s.at.join("scaling")), None);
    }
    if let Some(most) = s.scaling.max_replicas.filter(|most| most_replicas > u64::from(*most)) {
        let reason = format!("{most_replicas} replicas, at most {most} are allowed");
        let over = most_replicas as f64 / f64::from(most.max(1)) - 1.0;
        return no("max_replicas", reason, Some(s.at.join("scaling")), Some(over));
    }
    for ((cloud, place, code), (amount, limit)) in quotas(search, &pools) {
        if amount > limit + 1e-9 {
            let reason = format!("{code} in {cloud}/{place}: {amount} of {limit}");
            let at = job.spec.limit_at(cloud, &place, &code);
            return no("quota", reason, at, Some(amount / limit.max(1e-9) - 1.0));
        }
    }
    let month = bound(search, blocks).per_month();
    for &(limit, at) in &search.budgets {
        if month > limit {
            let reason = format!("{month} USD a month, the budget is {limit}");
            let over = month.usd() / limit.usd().max(1e-9) - 1.0;
            return no("budget", reason, Some(at.clone()), Some(over));
        }
    }
    None
}

/// The hourly figure that budgets limit.
pub(super) fn bound(search: &Search<'_>, blocks: &[Block]) -> Money {
    blocks.iter().map(|b| b.bound(search.job.spec.budget.binds)).sum()
}

/// Cloud, place and code to what is taken and what there is.
fn quotas(search: &Search<'_>, pools: &[&Chosen]) -> BTreeMap<(Cloud, String, String), (f64, f64)> {
    let mut taken: BTreeMap<(Cloud, String, String), (f64, f64)> = BTreeMap::new();
    for p in pools.iter().flat_map(|p| with_stand_in(p)) {
        let cloud = search.job.world.catalog.regions[search.table.sites[p.site].region].cloud;
        for q in search.terms[p.site].quotas.iter() {
            let (base, spot) = p.count.takes();
            let amount = q.base * f64::from(base) + q.spot * f64::from(spot);
            taken.entry((cloud, q.place.clone(), q.code.clone())).or_insert((0.0, q.limit)).0 += amount;
        }
    }
    taken
}

/// The optimum under the rules, when the one without them breaks `first`.
///
/// The least that any placement has of what the budget limits settles most budgets at once: above the budget, nothing will
/// do; below it, that placement is one that will, should the search in depth give up.
///
/// # Errors
/// `first`, when nothing keeps all rules.
pub(super) fn mend<'a>(
    search: &Search<'a>,
    bases: &[Arc<Base<'a>>],
    floors: &[Option<Money>],
    relaxed: Money,
    mut first: Rejection,
    wanted: Wanted,
) -> Result<Vec<Block>, Rejection> {
    let budget = search.budgets.iter().map(|(limit, _)| *limit).min();
    let mut incumbent = None;
    let mut rules = Rules { bases, floors, bound: None, most: Money::MAX, wanted };
    if let Some(budget) = budget {
        let most = Money::from_micros(budget.micros().div_euclid(HOURS_PER_MONTH));
        match search.job.spec.budget.binds {
            binds @ (BudgetBinds::Ceiling | BudgetBinds::PeakMonth) => {
                let (dearest, floors) = search.at_bound(binds).optimum(bases);
                if dearest.as_deref().is_some_and(|blocks| weight(blocks).0 > most) {
                    return Err(first);
                }
                rules.bound = Some((most, floors));
                incumbent = dearest
                    .and_then(|blocks| at_own_prices(search, blocks))
                    .filter(|blocks| broken(search, blocks).is_none());
            }
            BudgetBinds::Expected if relaxed > most => return Err(first),
            BudgetBinds::Expected => {}
        }
        rules.most = most;
    }
    if let Some(blocks) = &incumbent {
        if wanted == Wanted::Any {
            return Ok(blocks.clone());
        }
        rules.most = rules.most.min(weight(blocks).0);
    }
    let found = self::search(search, &rules, relaxed);
    if found.is_none() && search.unproven.get() {
        first.reason += "; the search gave up before it had proven that nothing will do";
    }
    // It keeps all rules, whatever the search did not come to.
    found.or(incumbent).ok_or(first)
}

/// A choice made by another figure, with the cost that it really has.
fn at_own_prices<'a>(search: &Search<'a>, mut blocks: Vec<Block>) -> Option<Vec<Block>> {
    for block in &mut blocks {
        let base = search.base(&block.origins);
        let regions = block.pools.len() as u32;
        for chosen in &mut block.pools {
            *chosen = search.own(&base, regions, chosen)?;
        }
    }
    Some(blocks)
}

/// Whether the cheapest placement is wanted, or just one that keeps all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Cheapest,
    Any,
}

/// What bounds a search in depth.
struct Rules<'s, 'a> {
    bases: &'s [Arc<Base<'a>>],
    /// Set of origins to what serving it costs at least.
    floors: &'s [Option<Money>],
    /// An hour's limit on the ceiling or on an hour of the peak, and set of origins to the least of it.
    bound: Option<(Money, Vec<Option<Money>>)>,
    /// No placement that is wanted costs more.
    most: Money,
    wanted: Wanted,
}

/// Cost limits that are tried, as multiples of the optimum without the rules; at last, none.
const LIMITS: [f64; 8] = [1.1, 1.5, 2.5, 6.0, 20.0, 100.0, 1000.0, f64::INFINITY];

/// The optimum under the rules.
fn search<'a>(search: &Search<'a>, rules: &Rules<'_, 'a>, relaxed: Money) -> Option<Vec<Block>> {
    let n = search.service.traffic.origins.len();
    let most = rules.most;
    // An optimum that held machines make for nothing is no measure of what a choice may cost.
    let prices = search.terms.iter().filter(|t| t.held.is_some()).filter_map(|t| t.base);
    let unit = prices.min().map_or(relaxed, |price| relaxed.max(price));
    for factor in LIMITS {
        let limit = if factor.is_finite() { unit.scale(factor).min(most) } else { most };
        let toll = if factor.is_finite() { 0 } else { TOLL };
        let mut deep = Deep { search, rules, limit, best: None, effort: EFFORT, toll, memo: BTreeMap::new() };
        deep.partition((1 << n) - 1, &mut Vec::new());
        if deep.effort == 0 {
            search.unproven.set(true);
        }
        if deep.best.is_some() || deep.effort == 0 {
            return deep.best;
        }
        if limit == most {
            return None;
        }
    }
    None
}

/// Picks of a pool under one cost limit. Beyond, the bound that is proven is the optimum without the rules.
const EFFORT: u64 = 400_000;

/// What a way that is looked at takes from the effort where no cost limit keeps their number small.
const TOLL: u64 = 4;

struct Deep<'s, 'a> {
    search: &'s Search<'a>,
    rules: &'s Rules<'s, 'a>,
    limit: Money,
    best: Option<Vec<Block>>,
    /// Pools that may still be picked before the search gives up.
    effort: u64,
    toll: u64,
    /// Block, regions, region to the pools worth having, cheapest first.
    memo: BTreeMap<(usize, u32, usize), Vec<Chosen>>,
}

impl Deep<'_, '_> {
    fn bar(&self) -> Money {
        self.best.as_ref().map_or(self.limit, |b| weight(b).0)
    }

    /// What the origins of `mask` cost at least.
    fn floor(&self, mask: usize) -> Money {
        self.rules.floors.get(mask).copied().flatten().filter(|_| mask > 0).unwrap_or(Money::ZERO)
    }

    /// Whether a choice would leave too little of that limit for what is left to choose:
    /// `more` pools from `others` for this block, and all of `rest`.
    fn too_high(
        &self,
        chosen: &[Block],
        mine: &[Chosen],
        others: &[Vec<Chosen>],
        more: usize,
        rest: usize,
    ) -> bool {
        let Some((most, floors)) = &self.rules.bound else { return false };
        let binds = self.search.job.spec.budget.binds;
        let so_far: Money =
            chosen.iter().map(|b| b.bound(binds)).chain(mine.iter().map(|c| c.count.bound(binds))).sum();
        let left = floors.get(rest).copied().flatten().filter(|_| rest > 0).unwrap_or(Money::ZERO);
        let mut least: Vec<Money> =
            others.iter().filter_map(|l| l.iter().map(|c| c.count.bound(binds)).min()).collect();
        least.sort_unstable();
        so_far + least.into_iter().take(more).sum() + left > *most
    }

    /// Whether the search need not go on.
    fn over(&self) -> bool {
        self.effort == 0 || (self.rules.wanted == Wanted::Any && self.best.is_some())
    }

    fn partition(&mut self, left: usize, chosen: &mut Vec<Block>) {
        if left == 0 {
            if broken(self.search, chosen).is_none()
                && self.best.as_ref().is_none_or(|b| weight(chosen) < weight(b))
                && weight(chosen).0 <= self.limit
            {
                self.best = Some(chosen.clone());
            }
            return;
        }
        let lowest = left & left.wrapping_neg();
        let mut block = left;
        while block > 0 {
            if block & lowest != 0 {
                self.regions(block, left ^ block, chosen);
            }
            block = (block - 1) & left;
        }
    }

    fn regions(&mut self, block: usize, rest: usize, chosen: &mut Vec<Block>) {
        let base = &self.rules.bases[block];
        let places: Vec<usize> = {
            let mut used: BTreeSet<usize> = BTreeSet::new();
            for s in self.search.table.sites.iter() {
                if base.network.get(s.region).copied().flatten().is_some() {
                    used.insert(s.region);
                }
            }
            used.into_iter().collect()
        };
        let Some(one) = self.search.one_machine(base) else { return };
        let so_far = weight(chosen).0 + if rest > 0 { self.floor(rest).min(self.limit) } else { Money::ZERO };
        let replicas = self.search.service.scaling.max_replicas.unwrap_or(u32::MAX);
        if self.over() {
            return;
        }
        for regions in self.search.least_regions()..=(places.len() as u32).min(replicas) {
            let least = one.of(regions);
            if least == Money::MAX || so_far + least > self.bar() {
                break;
            }
            for place in &places {
                if !self.memo.contains_key(&(block, regions, *place)) {
                    let list = self.pools(block, regions, *place);
                    self.memo.insert((block, regions, *place), list);
                }
            }
            let lists: Vec<Vec<Chosen>> = places
                .iter()
                .map(|p| self.memo.get(&(block, regions, *p)).cloned().unwrap_or_default())
                .filter(|l| !l.is_empty())
                .collect();
            let mut mine = Vec::new();
            self.pick(&lists, 0, regions as usize, block, rest, &mut mine, chosen);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn pick(
        &mut self,
        lists: &[Vec<Chosen>],
        from: usize,
        wanted: usize,
        block: usize,
        rest: usize,
        mine: &mut Vec<Chosen>,
        chosen: &mut Vec<Block>,
    ) {
        if wanted == 0 {
            chosen.push(Block { origins: self.rules.bases[block].origins.clone(), pools: mine.clone() });
            self.partition(rest, chosen);
            chosen.pop();
            return;
        }
        let so_far = weight(chosen).0 + mine.iter().map(|c| c.count.cost).sum() + self.floor(rest);
        for i in from..lists.len() {
            if lists.len() - i < wanted {
                break;
            }
            let mut others: Vec<Money> = lists[i + 1..].iter().map(|l| l[0].count.cost).collect();
            others.sort_unstable();
            let least: Money = others.iter().take(wanted - 1).copied().sum();
            for choice in &lists[i] {
                let total = so_far + choice.count.cost + least;
                if total > self.bar() {
                    break;
                }
                if self.over() {
                    return;
                }
                self.effort -= 1;
                let placed = |c: &Chosen| u64::from(c.count.most_replicas);
                let replicas: u64 = chosen.iter().flat_map(|b| &b.pools).chain(mine.iter()).map(placed).sum();
                let more = replicas + placed(choice) + (wanted - 1) as u64;
                if self.search.service.scaling.max_replicas.is_some_and(|m| more > u64::from(m)) {
                    continue;
                }
                mine.push(*choice);
                if self.too_high(chosen, mine, &lists[i + 1..], wanted - 1, rest) {
                    mine.pop();
                    continue;
                }
                self.pick(lists, i + 1, wanted - 1, block, rest, mine, chosen);
                mine.pop();
            }
        }
    }

    /// Every pool of a region for the block that no other one beats, cheapest first.
    fn pools(&mut self, block: usize, regions: u32, region: usize) -> Vec<Chosen> {
        let (search, base) = (self.search, &self.rules.bases[block]);
        let s = search.service;
        let mut found: Vec<Chosen> = Vec::new();
        let Some(ms) = base.network.get(region).copied().flatten() else { return found };
        let counted = s.scaling.min_replicas > 1;
        let here = |(i, s): &(usize, &table::Site)| s.region == region && search.may_share(*i, regions);
        for (i, site) in search.table.sites.iter().enumerate().filter(here) {
            let terms = &search.terms[i];
            for (w, way) in search.table.machines[site.machine].ways.iter().enumerate() {
                let Ok(index) = way.speed else { continue };
                self.effort = self.effort.saturating_sub(self.toll);
                if self.effort == 0 {
                    return found;
                }
                let near = search.demand(base, regions, ms);
                let least = search.follows().and(search.least(base, &near, (site.machine, w)));
                if least.is_some_and(|f| search.least_cost(i, f).is_none_or(|m| m > self.limit)) {
                    continue;
                }
                let needs = search.needs(base, regions, ms, index);
                let extra = |n: u32| search.responses(base, region, needs.rate(n));
                let Ok(day) = search.day(base, regions, (i, w)) else { continue };
                let Some(ask) = search.ask((i, w), 1, &extra, day) else { continue };
                if terms.least(way.span.max(1)).is_none_or(|m| ask.floor(m, way.replicas) > self.limit) {
                    continue;
                }
                let Ok((first, last)) = ask.range(&needs) else { continue };
                let gib = weights_gib(ask.speed, way);
                let more = s.scaling.min_replicas.div_ceil(way.replicas.max(1));
                // With on-demand machines alone some number does; more only matter for their replicas or
                // where a share of them may be spot, until all of them at their cheapest cost as much.
                // A quota of one purchase option may be spared by more machines of the other, until as many
                // as may be are spot.
                let mut done: Option<Money> = None;
                let mut full = terms.quotas.is_empty() || terms.spot.is_none();
                for units in first..=u32::MAX {
                    let Some(machines) = units.checked_mul(way.span.max(1)) else { break };
                    let Some(floor) = terms.least(machines) else { break };
                    let n = units.saturating_mul(way.replicas);
                    let floor = ask.floor(floor, n) + terms.copying(gib, machines);
                    let spared = full || units > last.saturating_mul(4).saturating_add(16);
                    let enough = done.is_some_and(|d| floor >= d) && spared && (!counted || units > more);
                    // What no number up to `last` does, none does.
                    let hopeless = done.is_none() && units > last;
                    if floor > self.limit || enough || hopeless || !terms.any_within_quotas(machines) {
                        break;
                    }
                    if s.scaling.max_replicas.is_some_and(|m| units.saturating_mul(way.replicas) > m) {
                        break;
                    }
                    let low = if terms.base.is_none() { machines } else { 0 };
                    // Which of them are spot only matters beside the cost where what a budget limits or a quota binds.
                    let any = !terms.quotas.is_empty()
                        || (self.rules.bound.is_some() && terms.trades_off())
                        || terms.pays_besides();
                    let only = if any { None } else { ask.spot_of(&needs, units, machines, &mut false) };
                    let spots: Vec<u32> = match only {
                        Some(spot) => vec![spot],
                        None if any => (low..=terms.most_spot(machines)).collect(),
                        None => Vec::new(),
                    };
                    let beside = ask.stand_ins(&needs, units, machines, gib);
                    for count in beside.into_iter().filter(|count| count.cost <= self.limit) {
                        let binds = search.job.spec.budget.binds;
                        let high =
                            self.rules.bound.as_ref().is_some_and(|(most, _)| count.bound(binds) > *most);
                        if !high {
                            self.keep(&mut found, Chosen { site: i, way: w, count });
                        }
                    }
                    for spot in spots {
                        if !terms.within_quotas(machines, spot) || !ask.does(&needs, units, spot) {
                            continue;
                        }
                        let Some(count) = ask.count(units, machines, spot, gib) else { continue };
                        if spot == low || !any {
                            done.get_or_insert(count.cost);
                        }
                        full |= spot == terms.most_spot(machines);
                        let binds = search.job.spec.budget.binds;
                        let high =
                            self.rules.bound.as_ref().is_some_and(|(most, _)| count.bound(binds) > *most);
                        if count.cost > self.limit || high {
                            continue;
                        }
                        self.keep(&mut found, Chosen { site: i, way: w, count });
                    }
                }
            }
        }
        found.sort_by_key(|c| (c.count.rank(), c.site, c.way));
        found
    }

    /// Adds a pool to those that no other one beats.
    fn keep(&self, found: &mut Vec<Chosen>, new: Chosen) {
        if !found.iter().any(|old| self.beats(old, &new)) {
            found.retain(|old| !self.beats(&new, old));
            found.push(new);
        }
    }

    /// Whether `a` is as good as `b` in everything that counts.
    fn beats(&self, a: &Chosen, b: &Chosen) -> bool {
        let scaling = &self.search.service.scaling;
        let bound = |c: &Chosen| c.count.bound(self.search.job.spec.budget.binds);
        let fewer = scaling.max_replicas.is_none() || a.count.most_replicas <= b.count.most_replicas;
        let more = scaling.min_replicas <= 1 || a.count.replicas >= b.count.replicas;
        let cheaper =
            a.count.cost < b.count.cost || a.count.cost == b.count.cost && !a.count.beside_a_spare(&b.count);
        if !(fewer && more && cheaper && bound(a) <= bound(b)) {
            return false;
        }
        let (of_a, of_b) = (quotas(self.search, &[a]), quotas(self.search, &[b]));
        of_a.iter().all(|(k, (n, _))| *n <= of_b.get(k).map_or(0.0, |(m, _)| *m))
    }
}
