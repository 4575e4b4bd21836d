//! What may stand in for shared machines: all pools on them move together to shared machines of another type or region.
//!
//! A refused fleet leaves every pool on it without machines at once, so that one after the other is no answer: what each of them
//! would pay elsewhere depends on who comes along. Each pool takes the fewest accelerators that carry its load there, and of as many
//! those that need the fewest machines; how many machines that makes, the rule of decision 12 says.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::super::deployment::joint;
use super::super::job::Job;
use super::super::service::{Block, Chosen, Search};
use super::super::sharing::{self, Item};
use super::super::{build, emission};
use super::left::{Left, Taken};
use super::{Seat, Why, below, index_of, reasons};
use crate::placement::{
    FleetFallback, MovedPool, Placement, SharedFleet, WANTED_FALLBACKS, WorkloadPlacement,
};

/// A service with pools on shared machines.
pub(in super::super) struct Sharer<'s, 'a> {
    pub search: &'s Search<'a>,
    pub blocks: &'s [Block],
    /// It without its parts of shared machines on the bill.
    pub bare: &'s WorkloadPlacement,
}

/// A pool of a fleet: whose, and its place in the choice.
struct Mover<'s, 'a> {
    sharer: usize,
    at: (usize, usize),
    /// Index of the pool in its workload.
    index: usize,
    seat: Seat<'s, 'a>,
    /// Offering to the site of its shared machines.
    sites: BTreeMap<usize, usize>,
}

/// An offering that all pools of a fleet may move to, and a bound of what that costs more.
struct Offer {
    least: Money,
    offering: usize,
    differs: bool,
}

/// What fallbacks are put in order by.
type Key = (Money, u32, Cloud, String, String);

/// The fallbacks of a fleet, and what is told where there are few.
pub(in super::super) fn of(
    fleet: &SharedFleet,
    sharers: &[Sharer<'_, '_>],
    jobs: &[Job<'_>],
    all: &Placement,
) -> (Vec<FleetFallback>, Option<String>) {
    let Some(moving) = Moving::of(fleet, sharers, jobs, all) else { return (Vec::new(), None) };
    let (offers, mut why) = moving.offers();
    let mut offers = offers.into_iter().peekable();
    let mut found: BTreeMap<Key, (FleetFallback, Vec<Chosen>, Offer)> = BTreeMap::new();
    let mut good: Vec<FleetFallback> = Vec::new();
    let mut other = false;
    let full = |good: &Vec<FleetFallback>| good.len() >= WANTED_FALLBACKS;
    while !full(&good) || !other {
        let settled =
            found.first_key_value().is_some_and(|(key, _)| offers.peek().is_none_or(|o| key.0 < o.least));
        if settled {
            let Some((_, (fallback, chosen, offer))) = found.pop_first() else { break };
            if full(&good) && !offer.differs {
                continue;
            }
            if moving.confirmed(&chosen) {
                other |= offer.differs;
                good.push(fallback);
                continue;
            }
            // What was played is known now: a pool that it contradicts takes more.
            match moving.to(&offer) {
                Ok((fallback, more)) if more != chosen => {
                    found.insert(key(&fallback), (fallback, more, offer));
                }
                Ok(_) => *why.entry("slow").or_insert(0) += 1,
                Err(constraint) => *why.entry(constraint).or_insert(0) += 1,
            }
        } else if let Some(offer) = offers.next() {
            if full(&good) && !offer.differs {
                continue;
            }
            match moving.to(&offer) {
                Ok((fallback, chosen)) => {
                    found.insert(key(&fallback), (fallback, chosen, offer));
                }
                Err(constraint) => *why.entry(constraint).or_insert(0) += 1,
            }
        } else {
            break;
        }
    }
    let told = (good.len() < WANTED_FALLBACKS).then(|| {
        let n = good.len();
        let count =
            if n == 0 { "no fallback".to_owned() } else { format!("{n} of {WANTED_FALLBACKS} fallbacks") };
        format!(
            "{count} that all its pools can move to; other offers: {}",
            reasons(why.iter().map(|(c, n)| (*c, *n)))
        )
    });
    (good, told)
}

fn key(fallback: &FleetFallback) -> Key {
    let f = &fallback.fleet;
    (fallback.more_per_month, f.count, f.cloud, f.region.clone(), f.instance_type.clone())
}

struct Moving<'s, 'a> {
    fleet: &'s SharedFleet,
    sharers: &'s [Sharer<'s, 'a>],
    jobs: &'s [Job<'s>],
    all: &'s Placement,
    /// In the order of the fleet's pools.
    movers: Vec<Mover<'s, 'a>>,
}

impl<'s, 'a> Moving<'s, 'a> {
    fn of(
        fleet: &'s SharedFleet,
        sharers: &'s [Sharer<'s, 'a>],
        jobs: &'s [Job<'s>],
        all: &'s Placement,
    ) -> Option<Self> {
        let nothing = Left { taken: Taken::new(), month: None, expected: None, carbon: None };
        let mut movers = Vec::with_capacity(fleet.pools.len());
        for entry in &fleet.pools {
            let sharer = sharers.iter().position(|s| s.bare.address == entry.workload)?;
            let Sharer { search, blocks, bare } = &sharers[sharer];
            let index = bare.pools.iter().position(|p| p.addr == entry.addr)?;
            let places =
                blocks.iter().enumerate().flat_map(|(b, block)| (0..block.pools.len()).map(move |p| (b, p)));
            let at = places.into_iter().find(|(b, p)| {
                let chosen = &blocks[*b].pools[*p];
                search.table.slots(chosen.site).is_some()
                    && index_of(search, bare, &blocks[*b], chosen) == Some(index)
            })?;
            let seat = Seat::new(search, blocks, at, &nothing);
            let open =
                seat.sites.iter().filter(|(_, i)| !seat.closed.contains(&search.table.sites[*i].region));
            let sites = open.filter_map(|(_, i)| Some((search.table.sites[*i].base?, *i))).collect();
            movers.push(Mover { sharer, at, index, seat, sites });
        }
        Some(Moving { fleet, sharers, jobs, all, movers })
    }

    /// What may be moved to, by a bound of what it costs more, and how many offerings not all of the pools can use.
    fn offers(&self) -> (Vec<Offer>, Why) {
        let Some(first) = self.movers.first() else { return Default::default() };
        let catalog = &self.jobs[0].world.catalog;
        let every: BTreeSet<usize> = self.movers.iter().flat_map(|m| m.sites.keys().copied()).collect();
        let mut why = Why::new();
        // What the moved ones pay now at the most: with nothing of it left a move saves no more.
        let movers: BTreeSet<usize> = self.movers.iter().map(|m| m.sharer).collect();
        let bare: Money = movers.iter().map(|s| self.sharers[*s].bare.cost.expected_per_month).sum();
        let saved = self.fleet.price.times(i64::from(self.fleet.count)).per_month() + bare;
        let mut offers = Vec::new();
        for offering in every {
            let row = &catalog.offerings[offering];
            let (kind, region) = (&catalog.instance_types[row.instance_type], &catalog.regions[row.region]);
            let place = (region.cloud, &region.id, &kind.name);
            if place == (self.fleet.cloud, &self.fleet.region, &self.fleet.instance_type) {
                continue;
            }
            if self.movers.iter().any(|m| !m.sites.contains_key(&offering)) {
                *why.entry("together").or_insert(0) += 1;
                continue;
            }
            let slots =
                self.movers.iter().map(|m| m.least_slots(self.sharers, offering)).sum::<Option<u64>>();
            let Some(slots) = slots else {
                *why.entry("slow").or_insert(0) += 1;
                continue;
            };
            // What is planned there already may have room.
            let there = self.all.fleets.iter().any(|f| (f.cloud, &f.region, &f.instance_type) == place);
            let whole = i128::from(row.price.micros()) * i128::from(slots) * i128::from(HOURS_PER_MONTH);
            let least = if there { 0 } else { whole / i128::from((kind.accelerator_count as u64).max(1)) };
            let least = Money::from_micros(i64::try_from(least).unwrap_or(i64::MAX / 1024)) - saved;
            let own = self.sharers[first.sharer].search.table.sites[first.seat.own.site].base;
            let accelerator =
                |i: usize| catalog.instance_types[catalog.offerings[i].instance_type].accelerator;
            offers.push(Offer {
                least,
                offering,
                differs: own.map(accelerator) != Some(accelerator(offering)),
            });
        }
        offers.sort_by_key(|o| (o.least, o.offering));
        (offers, why)
    }

    /// Moves all pools to an offering.
    ///
    /// # Errors
    /// The constraint that stands against it.
    fn to(&self, offer: &Offer) -> Result<(FleetFallback, Vec<Chosen>), &'static str> {
        let mut blocks: BTreeMap<usize, Vec<Block>> = BTreeMap::new();
        let mut chosen = Vec::with_capacity(self.movers.len());
        for mover in &self.movers {
            let there = mover.fewest(self.sharers, offer.offering)?;
            let own =
                blocks.entry(mover.sharer).or_insert_with(|| self.sharers[mover.sharer].blocks.to_vec());
            own[mover.at.0].pools[mover.at.1] = there;
            chosen.push(there);
        }
        let mut sharing: BTreeMap<String, WorkloadPlacement> =
            self.sharers.iter().map(|s| (s.bare.address.clone(), s.bare.clone())).collect();
        let mut caveats = Vec::new();
        for (sharer, blocks) in &blocks {
            let built = self.built(*sharer, blocks)?;
            let planned = self.all.workloads.get(&built.address).ok_or("unknown")?;
            caveats.extend(built.caveats.iter().filter(|c| !planned.caveats.contains(c)).cloned());
            sharing.insert(built.address.clone(), built);
        }
        let fleets = sharing::fleets(self.jobs, &mut sharing);
        let catalog = &self.jobs[0].world.catalog;
        let addr = sharing::address(catalog, offer.offering).ok_or("unknown")?;
        let fleet = fleets.iter().find(|f| f.addr == addr).ok_or("packing")?.clone();
        let known = |caveat: &&String| !self.all.fleets.iter().any(|f| f.caveats.contains(caveat));
        caveats.extend(fleet.caveats.iter().filter(known).cloned());
        let month = |all: &BTreeMap<String, WorkloadPlacement>| {
            let own = self.sharers.iter().filter_map(|s| all.get(&s.bare.address));
            own.map(|w| w.cost.expected_per_month).sum::<Money>()
        };
        let more_per_month = month(&sharing) - month(&self.all.workloads);
        let moved = self.movers.iter().map(|m| {
            let from = &self.sharers[m.sharer].bare;
            let pool = sharing[&from.address].pools[m.index].clone();
            MovedPool { workload: from.address.clone(), from: from.pools[m.index].addr.clone(), pool }
        });
        let moved = moved.collect();
        let (spec, world) = (self.jobs[0].spec, self.jobs[0].world);
        let mut workloads = self.all.workloads.clone();
        workloads.extend(sharing);
        let emissions = emission::all(spec, world, &workloads, &fleets);
        match joint(spec, &workloads, &fleets, &emissions).first() {
            Some(broken) => Err(broken.constraint),
            None => Ok((FleetFallback { fleet, moved, more_per_month, caveats }, chosen)),
        }
    }

    /// A workload with its pools elsewhere, in the order and under the addresses that they have where they stay.
    fn built(&self, sharer: usize, blocks: &[Block]) -> Result<WorkloadPlacement, &'static str> {
        let Sharer { search, blocks: planned, bare } = &self.sharers[sharer];
        let service = search.service;
        let mut built = build::service(search, blocks, bare.certificate.clone());
        let mut pools = Vec::with_capacity(bare.pools.len());
        let mut old: Vec<Option<usize>> = vec![None; built.pools.len()];
        for (index, pool) in bare.pools.iter().enumerate() {
            let place = planned.iter().enumerate().find_map(|(b, block)| {
                let p = block.pools.iter().position(|c| index_of(search, bare, block, c) == Some(index))?;
                Some((b, p))
            });
            let (b, p) = place.ok_or("unknown")?;
            let there = index_of(search, &built, &blocks[b], &blocks[b].pools[p]).ok_or("unknown")?;
            old[there] = Some(index);
            let mut own = built.pools[there].clone();
            if blocks[b].pools[p] == planned[b].pools[p] {
                own.addr = pool.addr.clone();
            }
            pools.push(own);
        }
        let stays: Vec<_> = bare.pools.iter().map(|p| p.addr.clone()).collect();
        for i in 0..pools.len() {
            let own = pools[i].addr.clone();
            for n in 2..=2 * pools.len() + 1 {
                let taken = |k: usize, other: &rhumb_api::ResourceAddr| k != i && *other == pools[i].addr;
                let here = pools.iter().enumerate().any(|(k, p)| taken(k, &p.addr));
                let planned = stays.iter().enumerate().any(|(k, addr)| taken(k, addr));
                if pools[i].addr == stays[i] || !(here || planned) {
                    break;
                }
                pools[i].addr = own.child(&n.to_string());
            }
        }
        for route in &mut built.routes {
            for (to, _) in &mut route.to {
                *to = old.get(*to).copied().flatten().ok_or("unknown")?;
            }
        }
        built.pools = pools;
        let regions: BTreeSet<_> = built.pools.iter().map(|p| (p.cloud, &p.region)).collect();
        if regions.len() < service.placement.spread_regions as usize {
            return Err("region");
        }
        let replicas = built.pools.iter().fold(0_u32, |sum, p| sum.saturating_add(p.replicas));
        let most = service.scaling.max_replicas.unwrap_or(u32::MAX);
        if !(service.scaling.min_replicas..=most).contains(&replicas) {
            return Err("replicas");
        }
        let addr = |caveat: &String| bare.pools.iter().any(|p| caveat.starts_with(&format!("{}:", below(p))));
        built.caveats.retain(|caveat| !addr(caveat));
        Ok(built)
    }

    /// Whether the replay contradicts none of the pools.
    fn confirmed(&self, chosen: &[Chosen]) -> bool {
        let asked: Vec<_> = self.movers.iter().zip(chosen).map(|(m, c)| m.seat.replay(c)).collect();
        // All of them, so that what is contradicted is known at once.
        asked.par_iter().filter(|replay| !replay.as_ref().is_some_and(|holds| holds())).count() == 0
    }
}

impl Mover<'_, '_> {
    /// Accelerators that it takes there at the least; `None` if nothing carries its load.
    fn least_slots(&self, sharers: &[Sharer<'_, '_>], offering: usize) -> Option<u64> {
        let machine = sharers[self.sharer].search.table.sites[*self.sites.get(&offering)?].machine;
        self.seat.floors[machine].iter().map(|floor| u64::from(floor.machines)).min()
    }

    /// The pool there that takes the fewest accelerators; of as many, the one that needs the fewest machines.
    ///
    /// # Errors
    /// The constraint that rejects all of them.
    fn fewest(&self, sharers: &[Sharer<'_, '_>], offering: usize) -> Result<Chosen, &'static str> {
        let search = sharers[self.sharer].search;
        let site = *self.sites.get(&offering).ok_or("together")?;
        let terms = &search.own_terms[site];
        let machine = search.table.sites[site].machine;
        let (mut best, mut why): (Option<(u64, u32, usize, Chosen)>, _) = (None, "slow");
        for floor in &self.seat.floors[machine] {
            if best.as_ref().is_some_and(|b| u64::from(floor.machines) > b.0) {
                continue;
            }
            let found = self.seat.ask(terms, (site, floor.way), |ask, needs| ask.cheapest(needs, Money::MAX));
            match found {
                Some(Ok(Some(count))) => {
                    let chosen = Chosen { site, way: floor.way, count };
                    let Some(item) = Item::of(search, &chosen) else { continue };
                    let new = (item.slots(), item.needs(), floor.way, chosen);
                    if best.as_ref().is_none_or(|b| (new.0, new.1, new.2) < (b.0, b.1, b.2)) {
                        best = Some(new);
                    }
                }
                Some(Err(rejection)) => why = rejection.constraint,
                _ => {}
            }
        }
        best.map(|b| b.3).ok_or(why)
    }
}
