//! The cheapest placement of a service: over all partitions of its origins into blocks, all numbers of
//! regions that share a block, all candidates and all counts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rhumb_api::Money;

use super::base::{Base, Bases};
use super::couple::{self, Wanted};
use super::day::{Classes, Rest};
use super::degrade::{self, StandIns};
use super::fates::{self, Fates};
use super::job::Job;
use super::load::{self, Demand, PoolLoad};
use super::pool::{Ask, Count, Day, Extra, GIB, Needs, Terms, times};
use super::table::{Speed, Table};
use super::watch::Ends;
use crate::catalog::{Evidence, TransferTo};
use crate::diagnostic::Pointer;
use crate::placement::Rejection;
use crate::spec::{BudgetBinds, PEAK_SHARE, Place, RegionRef, Service};

/// Bytes of a streamed token on the wire (assumed).
const BYTES_PER_TOKEN: f64 = 250.0;

/// Network time between an origin and a region, ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// As it counts in an objective.
    pub shown: f64,
    /// The same at the pessimistic edge.
    pub edge: f64,
    /// Whether it counts or not.
    pub whole: f64,
    pub evidence: Evidence,
}

/// A pool that was chosen: indexes of site and way, and its count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    pub site: usize,
    pub way: usize,
    pub count: Count,
}

/// The pools that serve a block of origins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub origins: Vec<usize>,
    pub pools: Vec<Chosen>,
}

impl Block {
    pub fn cost(&self) -> Money {
        self.pools.iter().map(|p| p.count.cost).sum()
    }

    /// The figure that a budget limits.
    pub fn bound(&self, binds: BudgetBinds) -> Money {
        self.pools.iter().map(|p| p.count.bound(binds)).sum()
    }

    pub fn machines(&self) -> u64 {
        self.all_pools().map(|p| u64::from(p.count.machines)).sum()
    }

    /// Its pools with their stand-ins, whose cost is that of their pools.
    pub fn all_pools(&self) -> impl Iterator<Item = Chosen> + Clone {
        self.pools.iter().flat_map(degrade::with_stand_in)
    }
}

/// Share, regions, network time and speed to what a pool needs.
pub(super) type Remembered<'a> = Arc<Mutex<BTreeMap<(u64, u32, u64, usize), Arc<Needs<'a>>>>>;

/// Origins, regions, site and way to the hours of a pool below the peak.
pub(super) type Rests = Arc<Mutex<BTreeMap<(Vec<usize>, u32, usize, usize), Result<Arc<Rest>, Rejection>>>>;

/// The search for one service.
pub(super) struct Search<'a> {
    pub job: &'a Job<'a>,
    pub table: &'a Table,
    pub service: &'a Service,
    /// Origin and region to network time.
    pub hops: Arc<Vec<Vec<Option<Hop>>>>,
    pub terms: Arc<Vec<Terms>>,
    /// The same at the prices of the catalogue, whatever this search goes by.
    pub own_terms: Arc<Vec<Terms>>,
    /// Region to the price of a GiB to the internet.
    pub internet: Vec<Option<Money>>,
    pub own_internet: Arc<Vec<Option<Money>>>,
    /// What a dollar of responses at the peak takes of budgets on it, over [`super::pool::PRICE_ONE`].
    pub toll: i128,
    /// Whether every hour is priced like the peak.
    pub flat: bool,
    /// Start-up time to the classes of the day.
    pub days: Arc<Mutex<BTreeMap<u32, Arc<Classes>>>>,
    /// Block, regions, site and way to the hours below the peak.
    pub rests: Rests,
    pub fates: Fates,
    pub needs: Remembered<'a>,
    pub stands: degrade::Memory<'a>,
    /// Blocks that were looked at.
    pub known: Bases<'a>,
    /// Monthly limits on this service alone. None where several workloads are placed at once: there they are shared limits.
    pub budgets: Vec<(Money, &'a Pointer)>,
    /// The search under rules over all pools gave up; only [`Search::relaxed`] is proven.
    pub unproven: Cell<bool>,
    /// The optimum without rules over all pools.
    pub relaxed: Cell<Money>,
    /// What some placement is known to cost at the most. With several origins nothing is known of their parts.
    pub known_at: Money,
    /// Who may end it between two rounds of replays.
    pub ends: Option<Ends<'a>>,
}

impl<'a> Search<'a> {
    pub fn new(job: &'a Job<'a>, table: &'a Table, service: &'a Service) -> Self {
        let catalog = &job.world.catalog;
        let mut used = vec![false; catalog.regions.len()];
        for site in table.sites.iter() {
            used[site.region] = true;
        }
        let origins = service.traffic.origins.len();
        let hops: Vec<Vec<Option<Hop>>> = (0..origins)
            .map(|o| {
                (0..used.len())
                    .map(|r| if used[r] { load::network(job, service, o, r) } else { None })
                    .collect()
            })
            .collect();
        let internet: Vec<Option<Money>> = (0..used.len())
            .map(|r| {
                if used[r] {
                    catalog.transfer_price(r, TransferTo::Internet).map(|p| p.usd_per_gib)
                } else {
                    None
                }
            })
            .collect();
        let terms = &table.terms;
        Search {
            job,
            table,
            service,
            hops: Arc::new(hops),
            own_terms: Arc::clone(terms),
            terms: Arc::clone(terms),
            own_internet: Arc::new(internet.clone()),
            internet,
            toll: 0,
            flat: false,
            days: Arc::default(),
            rests: Arc::default(),
            fates: Fates::new(table),
            needs: Arc::default(),
            stands: degrade::Memory::default(),
            known: Arc::default(),
            budgets: job.budgets(),
            unproven: Cell::new(false),
            relaxed: Cell::new(Money::ZERO),
            known_at: Money::MAX,
            ends: None,
        }
    }

    /// What a pool of the block carries when `regions` share it.
    pub fn demand(&self, base: &Base<'a>, regions: u32, network_ms: f64) -> Demand<'a> {
        self.demand_at(base, regions, network_ms, 1.0)
    }

    /// The same at a share of the peak.
    fn demand_at(&self, base: &Base<'a>, regions: u32, network_ms: f64, share: f64) -> Demand<'a> {
        let s = self.service;
        let others = regions.saturating_sub(s.survive.region);
        Demand {
            arrivals: s.traffic.arrivals,
            limits: base.limits.clone(),
            network_ms,
            load: load::pool_load(s, base.share * share / f64::from(regions)),
            capacity: s.during_failure.capacity,
            slo_factor: s.during_failure.slo_factor,
            traffic: &s.traffic,
            replay: self.job.world.replay,
            region_loss: (s.survive.region > 0 && others > 0)
                .then(|| s.during_failure.capacity * f64::from(regions) / f64::from(others)),
        }
    }

    /// What a pool of the block needs at a speed.
    pub fn needs(&self, base: &Base<'a>, regions: u32, network_ms: f64, speed: usize) -> Arc<Needs<'a>> {
        self.needs_of(base, regions, network_ms, speed, PEAK_SHARE)
    }

    /// The same at a share of the peak, in millionths.
    pub fn needs_of(
        &self,
        base: &Base<'a>,
        regions: u32,
        network_ms: f64,
        speed: usize,
        share: u32,
    ) -> Arc<Needs<'a>> {
        let share = f64::from(share) / f64::from(PEAK_SHARE);
        let key = ((base.share * share).to_bits(), regions, network_ms.to_bits(), speed);
        let mut all = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let demand = || self.demand_at(base, regions, network_ms, share);
        let new = || Arc::new(Needs::new(demand(), &self.table.speeds[speed]));
        Arc::clone(all.entry(key).or_insert_with(new))
    }

    /// Response bytes to the internet, dollars an hour, for a pool that gets `rate` requests/s at the peak.
    pub fn responses(&self, base: &Base<'_>, region: usize, rate: f64) -> Extra {
        let run = self.sent(base, region, rate, &self.internet);
        let own = |toll| times(self.own_responses(base, region, rate), toll);
        Extra { run, toll: if self.toll == 0 { Money::ZERO } else { own(self.toll) } }
    }

    /// The same at the prices of the catalogue, whatever this search goes by.
    pub fn own_responses(&self, base: &Base<'_>, region: usize, rate: f64) -> Money {
        self.sent(base, region, rate, &self.own_internet)
    }

    fn sent(&self, base: &Base<'_>, region: usize, rate: f64, internet: &[Option<Money>]) -> Money {
        if base.outside <= 0.0 || base.share <= 0.0 {
            return Money::ZERO;
        }
        let bytes =
            rate * base.outside / base.share * 3600.0 * self.service.traffic.output.mean * BYTES_PER_TOKEN;
        internet.get(region).copied().flatten().map_or(Money::ZERO, |p| p.scale(bytes / GIB))
    }

    /// Whether responses to some of these origins leave a region: what is next to the service or at the very site does not.
    pub fn leaves(&self, origins: &[usize], region: usize) -> bool {
        let here = self.job.world.catalog.regions.get(region);
        let all = &self.service.traffic.origins;
        origins.iter().filter_map(|o| all.get(*o)).any(|origin| {
            let is_here =
                |site: &RegionRef| here.is_some_and(|r| (r.cloud, &r.id) == (site.cloud, &site.region));
            origin.place != Place::Vpc && !origin.site().is_some_and(is_here)
        })
    }

    /// Whether response bytes cost something unknown there.
    pub fn unpriced(&self, base: &Base<'_>, region: usize) -> bool {
        self.leaves(&base.origins, region)
            && self.service.traffic.output.mean > 0.0
            && self.internet.get(region).copied().flatten().is_none()
    }

    /// Fewest regions of a block.
    pub fn least_regions(&self) -> u32 {
        self.service.survive.region + 1
    }

    /// Whether a site may have a pool of a block that so many regions share: on shared machines only if no fewer would do.
    pub fn may_share(&self, site: usize, regions: u32) -> bool {
        regions <= self.least_regions() || self.table.slots(site).is_none()
    }

    /// What a pool costs besides machines at the peak, where it does not depend on their number.
    pub fn constant(&self, base: &Base<'_>, demand: &Demand<'_>, region: usize) -> Option<Extra> {
        match demand.load {
            PoolLoad::Rate(rate) => Some(self.responses(base, region, rate)),
            PoolLoad::Clients(_) => None,
        }
    }

    /// What to ask for the machines of a way, given what its pools cost besides.
    pub fn ask<'s>(
        &'s self,
        (site, way): (usize, usize),
        least_replicas: u32,
        extra: &'s dyn Fn(u32) -> Extra,
        day: Day,
    ) -> Option<Ask<'s>> {
        let place = &self.table.sites[site];
        let of = &self.table.machines[place.machine].ways[way];
        Some(Ask {
            stands: self.service.degrade.is_some().then_some((self as &dyn StandIns, place.region)),
            terms: &self.terms[site],
            way: of,
            speed: self.table.speeds.get(*of.speed.as_ref().ok()?)?,
            survive: self.service.survive,
            least_replicas,
            most_replicas: self.service.scaling.max_replicas,
            extra,
            day,
        })
    }

    /// The cheapest pools for a block that `regions` regions share, at most `limit` together.
    fn shared(&self, base: &Base<'a>, regions: u32, limit: Money, whole: bool) -> Option<Block> {
        let near = self.demand(base, regions, base.nearest);
        let floors = self.floors(base, regions);
        let mut sites = self.sites(base, &near, &floors, limit);
        sites.retain(|(_, i)| self.may_share(*i, regions));
        let mut sum = Money::ZERO;
        let mut seen: Vec<usize> = Vec::new();
        for (least, i) in &sites {
            let region = self.table.sites[*i].region;
            if !seen.contains(&region) {
                seen.push(region);
                sum += *least;
                if seen.len() == regions as usize {
                    break;
                }
            }
        }
        if seen.len() < regions as usize || sum > limit {
            return None;
        }
        let mut best: BTreeMap<usize, Chosen> = BTreeMap::new();
        let demands: BTreeMap<u64, Demand<'a>> =
            base.network.iter().flatten().map(|ms| (ms.to_bits(), self.demand(base, regions, *ms))).collect();
        for (least, i) in sites {
            let bar = bar(&best, regions).min(limit);
            if least > bar {
                break;
            }
            let site = &self.table.sites[i];
            let Some(ms) = base.network.get(site.region).copied().flatten() else { continue };
            let Some(demand) = demands.get(&ms.to_bits()) else { continue };
            let extra_floor = self.least_extra(base, demand, site.region);
            for floor in &floors[site.machine] {
                let w = floor.way;
                let here = best.get(&site.region).map(|c| c.count);
                let bar = here.map_or(bar, |c| c.cost.min(bar));
                if self.least_cost(i, *floor).is_none_or(|m| m + extra_floor > bar) {
                    // The next ones have no fewer machines; on the mean of a day that is not all that counts.
                    if self.follows().is_some() {
                        continue;
                    }
                    break;
                }
                let way = &self.table.machines[site.machine].ways[w];
                let Ok(speed_index) = way.speed else { continue };
                let least = self.least(base, &near, (site.machine, w)).and_then(|n| self.least_cost(i, n));
                if least.is_none_or(|m| m + extra_floor > bar) {
                    continue;
                }
                let speed = &self.table.speeds[speed_index];
                if speed.refuted.never_keeps(1.0, ms) {
                    self.fates.mark(i, w, &Err("replay"));
                    continue;
                }
                let needs = self.needs(base, regions, ms, speed_index);
                let constant = self.constant(base, demand, site.region);
                let extra =
                    |n: u32| constant.unwrap_or_else(|| self.responses(base, site.region, needs.rate(n)));
                let least = if whole { self.service.scaling.min_replicas } else { 1 };
                let day = match self.day(base, regions, (i, w)) {
                    Ok(day) => day,
                    Err(why) => {
                        self.fates.mark(i, w, &Err(why.constraint));
                        continue;
                    }
                };
                let Some(ask) = self.ask((i, w), least, &extra, day) else { continue };
                match ask.cheapest(&needs, bar) {
                    Ok(found) => {
                        self.fates.mark(i, w, &Ok(()));
                        if let Some(count) = found {
                            // Of one site the first way that costs as little, in whatever order they are looked at.
                            let order = |c: &Chosen| (c.count.rank(), c.way);
                            let new = Chosen { site: i, way: w, count };
                            let better = best.get(&site.region).is_none_or(|b| match b.site == i {
                                true => order(&new) < order(b),
                                false => count.rank() < b.count.rank(),
                            });
                            if better {
                                best.insert(site.region, new);
                            }
                        }
                    }
                    Err(why) => {
                        let name = if why.constraint == "saturated" {
                            demand.missed(speed).map_or("saturated", |r| r.constraint)
                        } else {
                            why.constraint
                        };
                        self.fates.mark(i, w, &Err(name));
                    }
                }
            }
        }
        if best.len() < regions as usize {
            return None;
        }
        let mut order: Vec<(Money, u32, usize)> =
            best.iter().map(|(r, c)| (c.count.cost, c.count.machines, *r)).collect();
        order.sort_unstable();
        let pools: Vec<Chosen> = order.iter().take(regions as usize).map(|(_, _, r)| best[r]).collect();
        let block = Block { origins: base.origins.clone(), pools };
        (block.cost() <= limit).then_some(block)
    }

    /// The cheapest pools for a block over all numbers of regions; `None` if all cost more than `limit`.
    fn block(&self, base: &Base<'a>, limit: Money) -> Option<Block> {
        if base.tops.is_empty() {
            return None;
        }
        let whole = base.origins.len() == self.service.traffic.origins.len();
        let mut best: Option<Block> = None;
        let most = base.network.iter().flatten().count().min(1024) as u32;
        let one = self.one_machine(base);
        for regions in self.least_regions()..=most {
            let bar = best.as_ref().map_or(limit, |b| b.cost().min(limit));
            if one.as_ref().is_none_or(|one| one.of(regions) > bar) {
                break;
            }
            if let Some(found) = self.shared(base, regions, bar, whole && regions == 1) {
                let better =
                    best.as_ref().is_none_or(|b| (found.cost(), found.machines()) < (b.cost(), b.machines()));
                if better {
                    best = Some(found);
                }
            }
        }
        best
    }

    /// The optimum, or, if just any placement is wanted, one that may cost more.
    ///
    /// The closed form alone allows whatever it allows together with the replay, so that its optimum, if the
    /// replay confirms it, is the optimum of both. If not, what was contradicted is left out from then on.
    ///
    /// # Errors
    /// What stands in the way, if nothing will do.
    pub fn run(&self, wanted: Wanted) -> Result<Vec<Block>, Rejection> {
        let bases = self.bases()?;
        loop {
            let found = self.by_closed_form(&bases, wanted)?;
            if !self.contradicted(&found) {
                return Ok(found);
            }
            if self.ends.is_some_and(|ends| ends()) {
                let reason = "ended before a replay confirmed a choice".to_owned();
                return Err(Rejection { constraint: ENDED, reason, at: None, distance: None });
            }
        }
    }

    /// Whether the replay contradicts a pool; what it contradicts is left out from now on.
    pub fn contradicted(&self, blocks: &[Block]) -> bool {
        let mut any = false;
        for block in blocks {
            let base = self.base(&block.origins);
            for chosen in &block.pools {
                let site = &self.table.sites[chosen.site];
                let way = &self.table.machines[site.machine].ways[chosen.way];
                let (Ok(index), Some(ms)) = (&way.speed, base.network.get(site.region).copied().flatten())
                else {
                    continue;
                };
                let needs = self.needs(&base, block.pools.len() as u32, ms, *index);
                let extra = |_: u32| Extra::default();
                let Some(ask) = self.ask((chosen.site, chosen.way), 1, &extra, Day::Flat) else { continue };
                if let Some(standing) = &chosen.count.stand_in {
                    any |= !self.confirmed_beside(&ask, &needs, &chosen.count, standing);
                    continue;
                }
                let regions = block.pools.len() as u32;
                let peak = [(needs, chosen.count)];
                for (needs, count) in self.hours_below(&base, regions, chosen).into_iter().chain(peak) {
                    any |= !ask.confirmed(&needs, count.machines / way.span.max(1), count.spot);
                }
            }
        }
        if any {
            self.forget_hours();
            self.stands.forget();
        }
        any
    }

    /// The blocks that origins may form, by the set of their origins.
    ///
    /// # Errors
    /// If there are too many origins to look at all partitions.
    pub fn bases(&self) -> Result<Vec<Arc<Base<'a>>>, Rejection> {
        let n = self.service.traffic.origins.len();
        if n > MOST_ORIGINS {
            return Err(Rejection {
                constraint: "origins",
                reason: format!("{n} origins; at most {MOST_ORIGINS} are planned exactly"),
                at: Some(self.service.traffic.at.clone()),
                distance: Some(n as f64 / MOST_ORIGINS as f64 - 1.0),
            });
        }
        Ok((0..1_usize << n).map(|mask| self.base(&members(mask, n))).collect())
    }

    /// The optimum by the closed form alone.
    ///
    /// # Errors
    /// What stands in the way, if nothing will do.
    pub fn by_closed_form(&self, bases: &[Arc<Base<'a>>], wanted: Wanted) -> Result<Vec<Block>, Rejection> {
        let (found, floors) = self.optimum(bases);
        let Some(found) = found else {
            return Err(fates::hopeless(self));
        };
        self.relaxed.set(weight(&found).0);
        let Some(first) = couple::broken(self, &found) else { return Ok(found) };
        couple::mend(self, bases, &floors, weight(&found).0, first, wanted)
    }

    /// The optimum without rules over all pools, and for each set of origins the least that serving it costs.
    pub fn optimum(&self, bases: &[Arc<Base<'a>>]) -> (Option<Vec<Block>>, Vec<Option<Money>>) {
        let n = self.service.traffic.origins.len();
        let mut best: Vec<Option<Vec<Block>>> = vec![None; 1 << n];
        best[0] = Some(Vec::new());
        // Blocks that cost more than the best way to cut them smaller are in no optimum.
        let mut floors: Vec<Option<Money>> = vec![None; 1 << n];
        for mask in 1..1_usize << n {
            let lowest = mask & mask.wrapping_neg();
            let mut cut: Option<Vec<Block>> = None;
            let mut part = (mask - 1) & mask;
            while part > 0 {
                if part & lowest != 0
                    && let (Some(a), Some(b)) = (&best[part], &best[mask ^ part])
                {
                    let both: Vec<Block> = a.iter().chain(b).cloned().collect();
                    if cut.as_ref().is_none_or(|c| weight(&both) < weight(c)) {
                        cut = Some(both);
                    }
                }
                part = (part - 1) & mask;
            }
            let known = if n == 1 { self.known_at } else { Money::MAX };
            let limit = cut.as_ref().map_or(known, |c| weight(c).0);
            let own = self.block(&bases[mask], limit).map(|b| vec![b]);
            floors[mask] = own.as_ref().map(|b| weight(b).0).or(cut.as_ref().map(|_| limit));
            best[mask] = match (own, cut) {
                (Some(own), Some(cut)) => Some(if weight(&own) <= weight(&cut) { own } else { cut }),
                (own, cut) => own.or(cut),
            };
        }
        (best.pop().flatten(), floors)
    }

    /// The speed behind a choice.
    pub fn speed(&self, chosen: &Chosen) -> Option<&'a Speed> {
        let site = self.table.sites.get(chosen.site)?;
        let way = self.table.machines.get(site.machine)?.ways.get(chosen.way)?;
        self.table.speeds.get(*way.speed.as_ref().ok()?)
    }
}

/// The constraint of a search that was ended: nothing is known to stand in the way.
pub(super) const ENDED: &str = "ended";

/// More origins than this make too many partitions.
pub(super) const MOST_ORIGINS: usize = 8;

fn members(mask: usize, n: usize) -> Vec<usize> {
    (0..n).filter(|i| mask >> i & 1 == 1).collect()
}

/// Cost, then machines, then pools.
pub(super) fn weight(blocks: &[Block]) -> (Money, u64, usize) {
    (
        blocks.iter().map(Block::cost).sum(),
        blocks.iter().map(Block::machines).sum(),
        blocks.iter().map(|b| b.pools.len()).sum(),
    )
}

/// What a region's pool must not cost more than to be among the `regions` cheapest.
fn bar(best: &BTreeMap<usize, Chosen>, regions: u32) -> Money {
    let mut costs: Vec<Money> = best.values().map(|c| c.count.cost).collect();
    costs.sort_unstable();
    costs.get((regions as usize).saturating_sub(1)).copied().unwrap_or(Money::MAX)
}
