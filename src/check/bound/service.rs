//! The least that a service can cost: over every partition of its origins, every number of regions that share a block, and
//! every candidate in each.

mod beside;
mod hours;
mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use rhumb_api::Money;

use super::super::sites;
use super::super::subject::{self, Work};
use super::field::Field;
use super::need::{Need, Part};
use super::pool::{Asked, Lower, Pool};
use super::prices::Prices;
use crate::catalog::TransferTo;
use crate::placement::World;
use crate::spec::{BudgetBinds, Connections, MeasuredAt, Origin, Place, Service};
pub(super) use beside::Beside;
use hours::{Days, days};

/// Bytes of a streamed token (assumed).
const BYTES_PER_TOKEN: f64 = 250.0;
/// Partitions of more origins are not looked at.
pub(super) const MOST_ORIGINS: usize = 8;

/// The least of a service at some prices.
#[derive(Clone, Debug)]
pub(super) struct Least {
    /// A month, over the scale.
    pub priced: i128,
    /// The blocks that cost so little: their origins, and the pools.
    pub blocks: Vec<(usize, Vec<Pool>)>,
}

/// The origins of a block.
struct Block {
    share: f64,
    /// The part of it that comes from outside of the clouds.
    outside: f64,
    /// Region to the longest network time at confidence, ms, where all of its origins may be served.
    network: BTreeMap<usize, f64>,
    groups: Vec<Group>,
}

/// A speed and a network time, and the candidates that have both: each a site and one of its ways.
type Group = ((usize, f64), Vec<(usize, usize)>);

/// For each group and each price, the cheapest pool of each region.
type Evaluated = Vec<Vec<BTreeMap<usize, Pool>>>;

pub(super) struct Search<'a> {
    world: &'a World,
    work: &'a Work<'a>,
    service: &'a Service,
    field: &'a Field,
    /// Of each model that may stand in, at the sites of `field`.
    stand_ins: &'a [Field],
    beside: beside::Known,
    prices: &'a [Prices],
    /// For each price, what costs as much need not be exact.
    bars: Vec<i128>,
    /// Price and site to what a machine takes of quotas, a month.
    tolls: Vec<Vec<(i128, i128)>>,
    days: Days,
    /// Whether its replicas may be on machines that others share.
    shares: bool,
    /// Region to the price of a GiB to the internet.
    internet: Vec<Option<Money>>,
    blocks: Vec<Block>,
    /// Block and regions to what was found.
    known: Mutex<BTreeMap<(usize, u32), Evaluated>>,
    /// Block, regions and speed that a replay contradicted.
    doubted: Mutex<BTreeSet<(usize, u32, usize)>>,
}

impl<'a> Search<'a> {
    /// `None` if there are too many origins.
    pub fn new(
        world: &'a World,
        work: &'a Work<'a>,
        service: &'a Service,
        (field, stand_ins): (&'a Field, &'a [Field]),
        prices: &'a [Prices],
        bars: Vec<i128>,
        shares: bool,
    ) -> Option<Self> {
        let origins = service.traffic.origins.len();
        if origins > MOST_ORIGINS {
            return None;
        }
        let tolls = prices.iter().map(|p| field.sites.iter().map(|s| p.tolls(world, s)).collect()).collect();
        let used: BTreeSet<usize> = field.sites.iter().map(|s| s.region).collect();
        let price = |r: usize| world.catalog.transfer_price(r, TransferTo::Internet).map(|p| p.usd_per_gib);
        let internet = (0..world.catalog.regions.len())
            .map(|r| if used.contains(&r) { price(r) } else { None })
            .collect();
        let blocks = (0..1_usize << origins).map(|set| block(world, service, field, &used, set)).collect();
        Some(Search {
            world,
            work,
            service,
            field,
            stand_ins,
            beside: beside::Known::default(),
            prices,
            bars,
            tolls,
            days: days(world, service, field),
            shares,
            internet,
            blocks,
            known: Mutex::default(),
            doubted: Mutex::default(),
        })
    }

    /// The least at a price by the closed form and the replays so far; `None` if nothing does.
    pub fn least(&self, price: usize) -> Option<Least> {
        self.table(price).pop()?.pop()?
    }

    /// Set of origins, and regions up to as many as are asked for, to the least.
    fn table(&self, price: usize) -> Vec<Vec<Option<Least>>> {
        let all = self.blocks.len() - 1;
        let spread = (self.service.placement.spread_regions.max(1)) as usize;
        let mut shared: Vec<Vec<(u32, Vec<Pool>)>> = vec![Vec::new()];
        let mut table: Vec<Vec<Option<Least>>> = vec![vec![None; spread + 1]; all + 1];
        table[0][0] = Some(Least { priced: 0, blocks: Vec::new() });
        for set in 1..=all {
            shared.push(self.shared(set, price, spread));
            let first = set & set.wrapping_neg();
            let parts = (1..=set).filter(|part| part & !set == 0 && part & first != 0);
            for (part, (regions, pools)) in parts.flat_map(|p| shared[p].iter().map(move |s| (p, s))) {
                let own: i128 = pools.iter().map(|p| p.priced).sum();
                for k in 0..=spread {
                    let Some(rest) = &table[set ^ part][k] else { continue };
                    let (priced, k) = (rest.priced + own, (k + *regions as usize).min(spread));
                    if table[set][k].as_ref().is_none_or(|known| priced < known.priced) {
                        let mut blocks = rest.blocks.clone();
                        blocks.push((part, pools.clone()));
                        table[set][k] = Some(Least { priced, blocks });
                    }
                }
            }
        }
        table
    }

    /// The cheapest pools of a block for each number of regions that may be worth it.
    fn shared(&self, set: usize, price: usize, spread: usize) -> Vec<(u32, Vec<Pool>)> {
        let block = &self.blocks[set];
        let mut found: Vec<(u32, Vec<Pool>)> = Vec::new();
        let (Some(near), least) = (nearest(block), self.service.survive.region + 1) else { return found };
        let part = |regions| Part { network_ms: near, ..self.part(block, regions, near) };
        let most: Vec<f64> = self.field.speeds.par_iter().map(|s| part(1).most_of_a_replica(s)).collect();
        let mut best: Option<i128> = None;
        for regions in least..=block.network.len() as u32 {
            let Some(floor) = self.floor(block, &part(regions), &most, price) else { break };
            // More regions cost at least a machine each.
            if best.is_some_and(|b| floor.1 >= b) && regions as usize > spread {
                break;
            }
            if best.is_some_and(|b| floor.0 >= b) && regions as usize > spread {
                continue;
            }
            let Some(pools) = self.cheapest(set, regions, price) else { continue };
            let cost: i128 = pools.iter().map(|p| p.priced).sum();
            best = Some(best.map_or(cost, |b| b.min(cost)));
            found.push((regions, pools));
        }
        found
    }

    fn part(&self, block: &Block, regions: u32, network_ms: f64) -> Part<'a> {
        let (service, replay) = (self.service, self.world.replay);
        Part { service, share: block.share, regions, network_ms, replay }
    }

    /// What `regions` regions cost at least by what a replica can carry, and if the load were nothing; `None` if there are
    /// not so many.
    fn floor(&self, block: &Block, part: &Part<'a>, most: &[f64], price: usize) -> Option<(i128, i128)> {
        let mut loaded: BTreeMap<usize, i128> = BTreeMap::new();
        let mut alone: BTreeMap<usize, i128> = BTreeMap::new();
        for ((speed, _), candidates) in &block.groups {
            if most[*speed] <= 0.0 {
                continue;
            }
            for (s, w) in candidates {
                let region = self.field.sites[*s].region;
                let (with_load, without) = self.at_least((*s, *w), part, most[*speed], price)?;
                for (costs, cost) in [(&mut loaded, with_load), (&mut alone, without)] {
                    costs.entry(region).and_modify(|c| *c = cost.min(*c)).or_insert(cost);
                }
            }
        }
        let sum = |costs: BTreeMap<usize, i128>| {
            let mut costs: Vec<i128> = costs.into_values().collect();
            costs.sort_unstable();
            (costs.len() >= part.regions as usize).then(|| costs.iter().take(part.regions as usize).sum())
        };
        Some((sum(loaded)?, sum(alone)?))
    }

    /// The cheapest pools in as many different regions.
    fn cheapest(&self, set: usize, regions: u32, price: usize) -> Option<Vec<Pool>> {
        let key = (set, regions);
        let mut known = lock(&self.known);
        let known = known.entry(key).or_insert_with(|| {
            let groups = &self.blocks[set].groups;
            groups.par_iter().map(|group| self.group(set, regions, group, false)).collect()
        });
        let mut best: BTreeMap<usize, Pool> = BTreeMap::new();
        for (region, pool) in known.iter().filter_map(|g| g.get(price)).flatten() {
            best.entry(*region)
                .and_modify(|b| {
                    if rank(pool) < rank(b) {
                        *b = pool.clone();
                    }
                })
                .or_insert_with(|| pool.clone());
        }
        let mut pools: Vec<Pool> = best.into_values().collect();
        pools.sort_by_key(rank);
        pools.truncate(regions as usize);
        (pools.len() == regions as usize).then_some(pools)
    }

    fn asked(&self, set: usize, regions: u32, (s, w): (usize, usize), doubted: bool) -> Asked<'_> {
        let (site, scaling) = (&self.field.sites[s], &self.service.scaling);
        // One pool for all origins is the whole service.
        let all = set == self.blocks.len() - 1;
        let whole = regions == 1 && all;
        // Every other pool has a replica at the least, and so has one of other origins.
        let others = regions.saturating_sub(1) + u32::from(!all);
        Asked {
            site,
            way: &self.field.ways(site)[w],
            rules: self.work.purchase,
            survive: self.service.survive,
            least_replicas: if whole { scaling.min_replicas } else { 1 },
            most_replicas: scaling.max_replicas.map(|most| most.saturating_sub(others)),
            doubted,
        }
    }

    /// Dollars an hour for the responses of a pool that gets `rate` requests/s.
    fn responses(&self, block: &Block, region: usize, rate: f64) -> Money {
        if block.outside <= 0.0 || block.share <= 0.0 {
            return Money::ZERO;
        }
        let tokens = self.service.traffic.output.mean;
        let bytes = rate * block.outside / block.share * 3600.0 * tokens * BYTES_PER_TOKEN;
        self.internet[region].map_or(Money::ZERO, |price| price.scale(bytes / subject::GIB))
    }

    /// Replays the pools of a choice. What a replay contradicts is looked at again, count by count.
    ///
    /// `Some(true)` if all of them hold, `Some(false)` if the least is to be asked for again, and `None` if that was done
    /// before, which settles nothing.
    pub fn replayed(&self, least: &Least) -> Option<bool> {
        let mut refused: BTreeSet<(usize, u32, usize)> = BTreeSet::new();
        for (set, pools) in &least.blocks {
            let regions = pools.len() as u32;
            for pool in pools {
                if !self.pool_replays(*set, regions, pool) {
                    let site = &self.field.sites[pool.site];
                    refused.insert((*set, regions, self.field.ways(site)[pool.way].speed));
                }
            }
        }
        let all = refused.is_empty();
        for key in refused {
            if !lock(&self.doubted).insert(key) {
                return None;
            }
            let (set, regions, speed) = key;
            let groups: Vec<_> =
                self.blocks[set].groups.iter().enumerate().filter(|(_, ((s, _), _))| *s == speed).collect();
            let found: Vec<_> =
                groups.par_iter().map(|(i, group)| (*i, self.group(set, regions, group, true))).collect();
            let mut known = lock(&self.known);
            let known = known.get_mut(&(set, regions))?;
            for (i, found) in found {
                known[i] = found;
            }
        }
        Some(all)
    }

    /// Every choice of one pool for all origins, with the fewest machines of its candidate; without spot.
    pub fn single(&self) -> Vec<Least> {
        let set = self.blocks.len() - 1;
        let block = &self.blocks[set];
        let of = |((speed, ms), candidates): &Group| -> Vec<Pool> {
            let part = self.part(block, 1, *ms);
            let need = Need::new(part, &self.field.speeds[*speed]);
            // By the price of machines alone the fewest are the cheapest.
            let pool =
                |(s, w): &(usize, usize)| self.at_peak(set, &part, &need, (*s, *w), 0, false, i128::MAX);
            candidates.iter().filter_map(pool).collect()
        };
        let pools: Vec<Vec<Pool>> = block.groups.par_iter().map(of).collect();
        let least = |pool: Pool| Least { priced: pool.priced, blocks: vec![(set, vec![pool])] };
        pools.into_iter().flatten().map(least).collect()
    }

    /// The rules over all pools that a choice breaks: they are in no bound.
    pub fn breaks(&self, least: &Least, limits: &[Money], binds: BudgetBinds) -> Vec<&'static str> {
        let pools: Vec<&Pool> = least.blocks.iter().flat_map(|(_, pools)| pools).collect();
        let mut broken = Vec::new();
        let replicas: u64 = pools.iter().map(|p| u64::from(p.replicas)).sum();
        let most = |p: &&Pool| p.lower.iter().map(|of| of.replicas).fold(p.replicas, u32::max);
        let highest: u64 = pools.iter().map(|p| u64::from(most(p))).sum();
        let scaling = &self.service.scaling;
        if replicas < u64::from(scaling.min_replicas) {
            broken.push("min_replicas");
        }
        if scaling.max_replicas.is_some_and(|most| highest > u64::from(most)) {
            broken.push("max_replicas");
        }
        let regions: BTreeSet<usize> = pools.iter().map(|p| self.field.sites[p.site].region).collect();
        if regions.len() < self.service.placement.spread_regions as usize {
            broken.push("spread");
        }
        let mut taken: BTreeMap<(String, &str, &str), (f64, f64)> = BTreeMap::new();
        for beside in pools.iter().filter_map(|pool| pool.stand_in.as_ref()) {
            let site = &self.field.sites[beside.site];
            let cloud = self.world.catalog.regions[site.region].cloud.to_string();
            for q in &site.quotas {
                let amount = q.base * f64::from(beside.machines);
                taken.entry((cloud.clone(), &q.place, &q.code)).or_insert((0.0, q.limit)).0 += amount;
            }
        }
        for pool in &pools {
            let site = &self.field.sites[pool.site];
            let cloud = self.world.catalog.regions[site.region].cloud.to_string();
            for q in &site.quotas {
                let classes = || pool.lower.iter().map(|of| (of.machines, of.spot));
                let base = classes().map(|(m, s)| m - s).fold(pool.machines - pool.spot, u32::max);
                let spot = classes().map(|(_, s)| s).fold(pool.spot, u32::max);
                let (on, beside) = site.beside(base + spot, spot);
                let amount = q.base * f64::from(base + on) + q.spot * f64::from(spot + beside);
                taken.entry((cloud.clone(), &q.place, &q.code)).or_insert((0.0, q.limit)).0 += amount;
            }
        }
        if taken.values().any(|(amount, limit)| *amount > limit + 1e-9) {
            broken.push("quota");
        }
        let month = self.cost(least, binds).per_month();
        if limits.iter().any(|limit| month > *limit) {
            broken.push("budget");
        }
        broken
    }

    /// Whether a pool has more machines of a purchase in other hours than at its peak: what these take of shared limits is not priced.
    pub fn rises(least: &Least) -> bool {
        let more = |pool: &Pool, of: &Lower| {
            of.spot > pool.spot || of.machines - of.spot > pool.machines - pool.spot
        };
        let mut pools = least.blocks.iter().flat_map(|(_, pools)| pools);
        pools.any(|pool| pool.lower.iter().any(|of| more(pool, of)))
    }

    /// What a choice costs an hour, by a figure that budgets may limit.
    pub fn cost(&self, least: &Least, by: BudgetBinds) -> Money {
        least.blocks.iter().map(|(set, pools)| self.costs_of(*set, pools).bound(by)).sum()
    }

    /// A choice in words.
    pub fn words(&self, least: &Least) -> String {
        let pools = least.blocks.iter().flat_map(|(_, pools)| pools);
        let stand_in = |beside: &Beside| {
            let kind = self.field.sites[beside.site].instance_type;
            let kind = &self.world.catalog.instance_types[kind].name;
            format!(" with {} x {kind} that answer {} % in a failure", beside.machines, beside.percent)
        };
        let of = |p: &Pool| {
            words(self.world, self.field, p) + &p.stand_in.as_ref().map_or(String::new(), stand_in)
        };
        pools.map(of).collect::<Vec<_>>().join(" + ")
    }
}

/// A pool in words.
pub(super) fn words(world: &World, field: &Field, pool: &Pool) -> String {
    let site = &field.sites[pool.site];
    let way = &field.ways(site)[pool.way];
    let (kind, region) =
        (&world.catalog.instance_types[site.instance_type], &world.catalog.regions[site.region]);
    if let Some(slots) = pool.shared {
        let (sequences, each) = (field.speeds[way.speed].sequences, slots.each);
        return format!(
            "{} replicas on {each} of {} accelerators each of shared {}/{}/{}, {} {}, {sequences} sequences",
            pool.replicas, slots.whole, region.cloud, region.id, kind.name, way.variant, way.layout
        );
    }
    let kind_of = if site.held.is_some() { "held" } else { "spot" };
    let spot = if pool.spot > 0 { format!(" ({} of them {kind_of})", pool.spot) } else { String::new() };
    let lower = |of: &Lower| format!("; {} in the hours of {} %", of.machines, of.class.part() * 100.0);
    let lower: String = pool.lower.iter().rev().map(lower).collect();
    format!(
        "{} x {}/{}/{}{spot}, {} {}, {} sequences{lower}",
        pool.machines,
        region.cloud,
        region.id,
        kind.name,
        way.variant,
        way.layout,
        field.speeds[way.speed].sequences
    )
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rank(pool: &Pool) -> (i128, u32, usize, usize) {
    (pool.priced, pool.machines, pool.site, pool.way)
}

fn nearest(block: &Block) -> Option<f64> {
    block.network.values().copied().min_by(f64::total_cmp)
}

fn block(world: &World, service: &Service, field: &Field, used: &BTreeSet<usize>, set: usize) -> Block {
    let all = service.traffic.origins.iter().enumerate();
    let origins: Vec<&Origin> = all.filter(|(i, _)| set >> i & 1 == 1).map(|(_, o)| o).collect();
    let mut network = BTreeMap::new();
    for region in used.iter().filter(|_| !origins.is_empty()) {
        let row = &world.catalog.regions[*region];
        let times: Option<Vec<f64>> = origins
            .iter()
            .map(|o| {
                let may = subject::resides(&o.residency, row) && !sites::cut_off(service, o, row);
                may.then(|| time(world, service, o, *region))?
            })
            .collect();
        if let Some(times) = times {
            network.insert(*region, times.into_iter().fold(0.0, f64::max));
        }
    }
    let mut groups: BTreeMap<(usize, u64), Vec<(usize, usize)>> = BTreeMap::new();
    for (s, site) in field.sites.iter().enumerate() {
        let Some(ms) = network.get(&site.region) else { continue };
        for (w, way) in field.ways(site).iter().enumerate() {
            groups.entry((way.speed, ms.to_bits())).or_default().push((s, w));
        }
    }
    let outside = origins.iter().filter(|o| o.place != Place::Vpc).map(|o| o.share).sum();
    let groups = groups.into_iter().map(|((s, ms), list)| ((s, f64::from_bits(ms)), list)).collect();
    Block { share: origins.iter().map(|o| o.share).sum(), outside, network, groups }
}

/// Network time from an origin as it counts in an objective at confidence, ms; `None` if it is unknown.
fn time(world: &World, service: &Service, origin: &Origin, region: usize) -> Option<f64> {
    if origin.place == Place::Vpc {
        return Some(0.0);
    }
    let trip = world.catalog.round_trip(&origin.place, region)?;
    let trips = match service.slo.connections {
        Connections::Warm => 1.0,
        Connections::New => 3.0,
    };
    let counts = service.slo.measured_at == MeasuredAt::Client;
    Some(if counts { (trip.ms_p90 + service.slo.last_mile_ms) * trips } else { 0.0 })
}
