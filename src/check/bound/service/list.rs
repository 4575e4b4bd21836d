//! Every plan of a service up to a cost: all partitions of its origins, numbers of regions, candidates and counts.

use rayon::prelude::*;
use rhumb_api::Money;

use super::super::need::{MOST_REPLICAS, Need};
use super::super::pool::{Lower, Pool, most};
use super::hours::Needs;
use super::{Block, Group, Least, Search};
use crate::spec::Load;

/// Pools of a block, by region.
type ByRegion = Vec<(usize, Vec<Pool>)>;

/// What a list may hold.
struct Room {
    price: usize,
    /// A month at the price, over the scale.
    most: i128,
    plans: usize,
}

impl<'a> Search<'a> {
    /// Every choice of pools that costs at most so much at a price, by the closed form; `None` if they are more than `plans`, or of
    /// a service whose plans are more than pools of its own: with machines that others share, or with models that stand in.
    ///
    /// Rules over all pools are not asked about ([`Search::breaks`]).
    pub fn list(&self, price: usize, up_to: i128, plans: usize) -> Option<Vec<Least>> {
        if self.shares || !self.stand_ins.is_empty() {
            return None;
        }
        let all = self.blocks.len() - 1;
        // The least of every set of origins, in any number of regions.
        let table = self.table(price);
        let least: Vec<Option<i128>> =
            table.iter().map(|of| of.iter().flatten().map(|l| l.priced).min()).collect();
        let mut found = Vec::new();
        let mut pools: Vec<Vec<ByRegion>> = Vec::new();
        for set in 0..=all {
            let room = least[all ^ set].map(|rest| Room { price, most: up_to - rest, plans });
            pools.push(match room {
                Some(room) if set > 0 => self.pools_of(set, &room)?,
                _ => Vec::new(),
            });
        }
        let fewest = (self.service.survive.region + 1) as usize;
        let mut path = Vec::new();
        let room = Room { price, most: up_to, plans };
        self.choose(all, (&pools, &least, fewest), &room, 0, &mut path, &mut found).then_some(found)
    }

    /// Adds every choice for the origins of a set to those on the path; whether there was room for all.
    fn choose(
        &self,
        set: usize,
        of: (&[Vec<ByRegion>], &[Option<i128>], usize),
        room: &Room,
        cost: i128,
        path: &mut Vec<(usize, Vec<Pool>)>,
        found: &mut Vec<Least>,
    ) -> bool {
        let (pools, least, fewest) = of;
        if set == 0 {
            found.push(Least { priced: cost, blocks: path.clone() });
            return found.len() <= room.plans;
        }
        let first = set & set.wrapping_neg();
        for part in (1..=set).filter(|part| part & !set == 0 && part & first != 0) {
            let Some(rest) = least[set ^ part] else { continue };
            for (k, by_region) in pools[part].iter().enumerate() {
                let mut chosen = Vec::new();
                let regions = fewest + k;
                let most = room.most - cost - rest;
                if !in_regions(by_region, regions, most, room.plans, &mut Vec::new(), &mut chosen) {
                    return false;
                }
                for some in chosen {
                    let own: i128 = some.iter().map(|p: &Pool| p.priced).sum();
                    path.push((part, some));
                    let went = self.choose(set ^ part, of, room, cost + own, path, found);
                    path.pop();
                    if !went {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// For each number of regions, from the fewest on, the pools of every region that may be in a choice; `None` if they are too many.
    fn pools_of(&self, set: usize, room: &Room) -> Option<Vec<ByRegion>> {
        let block = &self.blocks[set];
        let fewest = self.service.survive.region + 1;
        let mut all = Vec::new();
        for regions in fewest..=block.network.len() as u32 {
            // What as many regions cost at least, each the least of the cheapest.
            let Some(cheapest) = self.cheapest(set, regions, room.price) else {
                all.push(Vec::new());
                continue;
            };
            let others: i128 = cheapest.iter().take(regions as usize - 1).map(|p| p.priced).sum();
            let here = Room { most: room.most - others, ..*room };
            let lists: Vec<Option<Vec<Pool>>> = block
                .groups
                .par_iter()
                .map(|group| self.pools_of_group(set, regions, group, &here))
                .collect();
            let mut by_region: ByRegion = block.network.keys().map(|region| (*region, Vec::new())).collect();
            let mut count = 0;
            for list in lists {
                let list = list?;
                count += list.len();
                if count > room.plans {
                    return None;
                }
                for pool in list {
                    let region = self.field.sites[pool.site].region;
                    let of = by_region.iter_mut().find(|(r, _)| *r == region);
                    of.into_iter().for_each(|(_, pools)| pools.push(pool.clone()));
                }
            }
            by_region.retain(|(_, pools)| !pools.is_empty());
            for (_, pools) in &mut by_region {
                pools.sort_by_key(|p| (p.priced, p.site, p.way, p.machines, p.spot));
            }
            // Each further region has at least a machine: once nothing is left, more regions have nothing either.
            let none = by_region.is_empty();
            all.push(by_region);
            if none && cheapest.iter().map(|p| p.priced).sum::<i128>() > room.most {
                let alone: Option<i128> = self.alone(set, regions + 1, room.price);
                if alone.is_none_or(|alone| alone > room.most) {
                    break;
                }
            }
        }
        Some(all)
    }

    /// What so many regions cost at least if the load were nothing.
    fn alone(&self, set: usize, regions: u32, price: usize) -> Option<i128> {
        let block = &self.blocks[set];
        let near = super::nearest(block)?;
        let part = self.part(block, regions, near);
        let most: Vec<f64> = self.field.speeds.par_iter().map(|s| part.most_of_a_replica(s)).collect();
        self.floor(block, &part, &most, price).map(|(_, alone)| alone)
    }

    /// Every pool of the candidates of one speed and network time within the room; `None` if they are too many.
    fn pools_of_group(
        &self,
        set: usize,
        regions: u32,
        ((speed, ms), candidates): &Group,
        room: &Room,
    ) -> Option<Vec<Pool>> {
        let block = &self.blocks[set];
        let part = self.part(block, regions, *ms);
        let need = Need::new(part, &self.field.speeds[*speed]);
        let Some(fewest) = need.fewest else { return Some(Vec::new()) };
        let mut needs = Needs::new();
        let mut found = Vec::new();
        for (s, w) in candidates {
            let asked = self.asked(set, regions, (*s, *w), false);
            let (site, per, span) = (asked.site, asked.way.replicas.max(1), asked.way.span.max(1));
            let first = fewest.max(asked.least_replicas).div_ceil(per).max(1);
            let mut lower: Option<Vec<Lower>> = None;
            for units in first..=MOST_REPLICAS {
                let (Some(machines), Some(replicas)) = (units.checked_mul(span), units.checked_mul(per))
                else {
                    break;
                };
                if replicas > MOST_REPLICAS || asked.most_replicas.is_some_and(|most| replicas > most) {
                    break;
                }
                let empty = Pool {
                    site: *s,
                    way: *w,
                    machines,
                    spot: 0,
                    replicas,
                    priced: 0,
                    shared: None,
                    stand_in: None,
                    lower: Vec::new(),
                };
                if self.at_the_least(room.price, &empty) > room.most {
                    break;
                }
                let Some((low, high)) = asked.spots(machines) else { break };
                let does = |spot: u32| asked.lost(units, spot).is_some_and(|lost| need.does(replicas, lost));
                let Some(high) = most(low, high, does) else {
                    // What no number of replicas carries during a failure, none does of more machines.
                    if asked.lost(units, low) != Some(0) && need.left(replicas).is_none() {
                        break;
                    }
                    continue;
                };
                if lower.is_none() {
                    let Some(of) = self.below_the_peak(set, &part, (*s, *w), &mut needs) else { break };
                    lower = Some(of);
                }
                let lower = lower.as_deref().unwrap_or_default();
                for spot in low..=high {
                    let Some(mut pool) = with_lower(&empty, spot, lower, site) else { continue };
                    pool.priced = self.priced(room.price, self.sent(block, regions, &pool), &pool);
                    if pool.priced <= room.most {
                        found.push(pool);
                    }
                    if found.len() > room.plans {
                        return None;
                    }
                }
            }
        }
        Some(found)
    }

    /// What a pool pays for what it takes more of limits in other hours than at its peak.
    fn more_in_other_hours(&self, price: usize, responses: Money, pool: &Pool) -> i128 {
        if pool.lower.is_empty() {
            return 0;
        }
        let hourly = |dearest| self.prices[price].hourly(self.costs(pool, responses, dearest));
        let (base, spot) = (pool.machines - pool.spot, pool.spot);
        let most = |of: fn(&Lower) -> u32, peak: u32| pool.lower.iter().map(of).fold(peak, u32::max);
        let tolls = self.tolls[price][pool.site];
        let (most_base, most_spot) = (most(|of| of.machines - of.spot, base), most(|of| of.spot, spot));
        // With what is there besides of both.
        let surge = self.field.sites[pool.site].surge;
        let all = |n: u32| i128::from(n) + i128::from(surge.min(n));
        hourly(true) - hourly(false)
            + tolls.0 * (all(most_base) - all(base))
            + tolls.1 * (all(most_spot) - all(spot))
    }

    /// What a choice costs at all prices, with all that it takes of limits in any hour.
    pub fn gauged(&self, plan: &Least) -> Vec<i128> {
        let at = |price: usize| -> i128 {
            let of = |set: usize, pools: &[Pool]| -> i128 {
                let block = &self.blocks[set];
                let regions = pools.len() as u32;
                let of = |p: &Pool| {
                    let responses = self.sent(block, regions, p);
                    self.priced(price, responses, p) + self.more_in_other_hours(price, responses, p)
                };
                pools.iter().map(of).sum()
            };
            plan.blocks.iter().map(|(set, pools)| of(*set, pools)).sum()
        };
        (0..self.prices.len()).map(at).collect()
    }

    /// The cheapest choice at a price that breaks no rule over all pools and that replays let be, if it costs at most so much:
    /// `Some(None)` if none does, and `None` if they are too many to list.
    pub fn least_within(
        &self,
        price: usize,
        up_to: i128,
        plans: usize,
        keeps: impl Fn(&Least) -> bool,
    ) -> Option<Option<Least>> {
        let mut all = self.list(price, up_to, plans)?;
        all.retain(keeps);
        all.sort_by_key(|plan| plan.priced);
        Some(all.into_iter().find(|plan| self.holds(plan)))
    }

    /// Whether a replay lets every pool of a choice be what it is.
    pub fn holds(&self, plan: &Least) -> bool {
        let of = |set: usize, pools: &[Pool]| {
            pools.iter().all(|pool| self.pool_replays(set, pools.len() as u32, pool))
        };
        plan.blocks.iter().all(|(set, pools)| of(*set, pools))
    }

    /// Dollars an hour for the responses of a pool of a block in so many regions.
    pub(super) fn sent(&self, block: &Block, regions: u32, pool: &Pool) -> Money {
        let site = &self.field.sites[pool.site];
        let speed = &self.field.speeds[self.field.ways(site)[pool.way].speed];
        let ms = block.network.get(&site.region).copied().unwrap_or(0.0);
        let part = self.part(block, regions, ms);
        let rate = match self.service.traffic.load {
            Load::Rate(rate) => rate * block.share / f64::from(regions),
            Load::Concurrency(_) => Need::new(part, speed).rate(pool.replicas),
        };
        self.responses(block, site.region, rate)
    }
}

/// A pool with so many spot or held machines, and with its other hours: those use the held machines that the peak has first.
fn with_lower(pool: &Pool, spot: u32, lower: &[Lower], site: &super::super::field::Site) -> Option<Pool> {
    let mut pool = Pool { spot, lower: lower.to_vec(), ..pool.clone() };
    if site.held.is_some() {
        pool.lower.iter_mut().for_each(|of| of.spot = of.machines.min(spot));
        if site.base.is_none() && pool.lower.iter().any(|of| of.spot < of.machines) {
            return None;
        }
    }
    Some(pool)
}

/// Adds every choice of a pool in each of `more` further regions, in the order of the regions; whether there was room for all.
fn in_regions(
    by_region: &[(usize, Vec<Pool>)],
    more: usize,
    most: i128,
    plans: usize,
    path: &mut Vec<Pool>,
    found: &mut Vec<Vec<Pool>>,
) -> bool {
    if more == 0 {
        found.push(path.clone());
        return found.len() <= plans;
    }
    for (at, (_, pools)) in by_region.iter().enumerate() {
        let after = &by_region[at + 1..];
        let mut cheapest: Vec<i128> = after.iter().filter_map(|(_, p)| p.first()).map(|p| p.priced).collect();
        if cheapest.len() + 1 < more {
            break;
        }
        cheapest.sort_unstable();
        let rest: i128 = cheapest.iter().take(more - 1).sum();
        for pool in pools {
            if pool.priced + rest > most {
                break;
            }
            path.push(pool.clone());
            let went = in_regions(after, more - 1, most - pool.priced, plans, path, found);
            path.pop();
            if !went {
                return false;
            }
        }
    }
    true
}
