//! What stands in for the part of a pool that has failed (`src/decisions/0024-a-smaller-model-stands-in.md`).
//!
//! A pool that carries its peak and does not survive by itself may have a pool of a smaller model beside it, in the same region, for what is
//! missing. Sites and prices are those of the service; only the ways to run are of another model ([`super::table::Table::stand_ins`]). So a count of
//! machines comes with its stand-in, and costs as much as both: bounds, budgets and the search for all workloads at once know nothing more of it than
//! what its machines take.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rhumb_api::Money;

use super::job::Limit;
use super::load::{Demand, PoolLoad};
use super::needs::Needs;
use super::pool::{Ask, Count, Terms, weights_gib};
use super::service::{Chosen, Search};
use super::table::Table;
use crate::spec::WEEK_S;

/// A stand-in that was chosen with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Index into the spec's list.
    pub of: usize,
    /// Index into the sites of the service.
    pub site: usize,
    /// Index into the ways of its own table.
    pub way: usize,
    pub machines: u32,
    pub replicas: u32,
    /// Of the requests in a failure, those that it answers.
    pub percent: u32,
}

impl Standing {
    /// Its machines as a pool of the site, at no price.
    pub fn alone(&self) -> Chosen {
        let (machines, replicas) = (self.machines, self.replicas);
        let count = Count {
            machines,
            replicas,
            most_base: machines,
            most_replicas: replicas,
            beside_base: 0,
            beside_spot: 0,
            seconds: i64::from(WEEK_S) * i64::from(machines),
            ..Count::default()
        };
        Chosen { site: self.site, way: self.way, count }
    }
}

/// The machines of a pool, and those of its stand-in.
pub(super) fn with_stand_in(chosen: &Chosen) -> impl Iterator<Item = Chosen> + Clone + use<> {
    let stand_in = chosen.count.stand_in.map(|s| s.alone());
    std::iter::once(*chosen).chain(stand_in)
}

/// One that would do, and its cost.
#[derive(Clone, Copy)]
pub(super) struct Offer {
    pub cost: Money,
    pub standing: Standing,
}

/// Who knows what stands in: a search, of which a pool's count needs no more.
pub(super) trait StandIns {
    /// Those in a region that answer so many requests a second over so much network time, cheapest first; none of them that another one
    /// makes needless.
    fn in_region(&self, region: usize, network_ms: f64, rate: f64) -> Arc<[Offer]>;
}

/// Rate, network time, model and speed to what a pool needs.
type Remembered<'a> = Arc<Mutex<BTreeMap<(u64, u64, usize, usize), Arc<Needs<'a>>>>>;

/// Machines of a type that would do, before their price: the model, the way, machines, and GiB of weights on each.
type Fewest = Vec<(usize, usize, u32, f64)>;

/// Rate and network time to those of each type.
type OfTypes = BTreeMap<(u64, u64), Arc<Vec<Fewest>>>;

/// Region, rate and network time to what is offered.
type Offers = BTreeMap<(usize, u64, u64), Arc<[Offer]>>;

/// What a search remembers of them.
#[derive(Default)]
pub(super) struct Memory<'a> {
    needs: Remembered<'a>,
    fewest: RefCell<OfTypes>,
    /// At this search's prices.
    offers: RefCell<Offers>,
}

impl Memory<'_> {
    /// For the same search at other prices.
    pub fn at_other_prices(&self) -> Self {
        let (needs, fewest) = (Arc::clone(&self.needs), self.fewest.clone());
        Memory { needs, fewest, offers: RefCell::default() }
    }

    /// What a replay contradicted is offered no more.
    pub fn forget(&self) {
        self.fewest.borrow_mut().clear();
        self.offers.borrow_mut().clear();
    }
}

/// Up to so many times the closed form's groups of machines are tried where a replay contradicted some: it is off by less than that wherever it
/// was checked, and what breaks a limit on any number is played for each share of the load.
const FURTHER: u32 = 8;

impl<'a> Search<'a> {
    /// What a stand-in of a model needs at a speed: it answers `rate` requests/s, and nothing of it fails.
    fn stand_in_needs(&self, (of, index): (usize, usize), network_ms: f64, rate: f64) -> Arc<Needs<'a>> {
        let key = (rate.to_bits(), network_ms.to_bits(), of, index);
        let mut all = self.stands.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let table: &'a Table = self.table;
        let new =
            || Arc::new(Needs::new(self.in_failure(network_ms, rate), &table.stand_ins[of].speeds[index]));
        Arc::clone(all.entry(key).or_insert_with(new))
    }

    /// What a stand-in has to carry: its limits are those of a failure.
    pub fn in_failure(&self, network_ms: f64, rate: f64) -> Demand<'a> {
        let s = self.service;
        let factor = s.during_failure.slo_factor;
        let relaxed = |limit: Limit<'a>| Limit { limit_ms: limit.limit_ms * factor, ..limit };
        Demand {
            arrivals: s.traffic.arrivals,
            limits: super::job::limits(s).into_iter().map(relaxed).collect(),
            network_ms,
            load: PoolLoad::Rate(rate),
            capacity: 1.0,
            slo_factor: 1.0,
            region_loss: None,
            traffic: &s.traffic,
            replay: self.job.world.replay,
        }
    }

    /// The speed of a stand-in, and the table that has it.
    pub fn standing(&self, standing: &Standing) -> Option<(usize, &'a Table)> {
        let table: &'a Table = self.table.stand_ins.get(standing.of)?;
        let machine = self.table.sites.get(standing.site)?.machine;
        let index = *table.machines.get(machine)?.ways.get(standing.way)?.speed.as_ref().ok()?;
        Some((index, table))
    }

    /// Whether the replay contradicts neither a pool that carries `needs` nor its stand-in. All is played, so that what is contradicted is
    /// known at once.
    pub fn confirmed_beside(
        &self,
        ask: &Ask<'_>,
        needs: &Needs<'a>,
        count: &Count,
        standing: &Standing,
    ) -> bool {
        let lost = ask.lost(count.machines / ask.way.span.max(1), 0).unwrap_or(0);
        let own = needs.replays_beside(count.replicas, lost, standing.percent);
        let rate = needs.elsewhere(count.replicas, standing.percent);
        let stand_in = self.standing(standing).is_some_and(|(index, _)| {
            let needs = self.stand_in_needs((standing.of, index), needs.network_ms(), rate);
            needs.replays(standing.replicas, 0)
        });
        own && stand_in
    }

    /// A count with the stand-in that it was chosen with, at the prices of this search.
    pub fn with_standing(&self, count: Count, standing: Standing) -> Option<Count> {
        let (index, table) = self.standing(&standing)?;
        let way = &table.machines[self.table.sites[standing.site].machine].ways[standing.way];
        let gib = weights_gib(&table.speeds[index], way);
        let cost = cost(&self.terms[standing.site], standing.machines, gib)?;
        Some(count.beside(Offer { cost, standing }))
    }

    /// The fewest machines of each type that carry a rate: those of the way with the fewest, and of others where fewer weights are copied.
    fn fewest(&self, network_ms: f64, rate: f64) -> Arc<Vec<Fewest>> {
        let key = (rate.to_bits(), network_ms.to_bits());
        if let Some(known) = self.stands.fewest.borrow().get(&key) {
            return Arc::clone(known);
        }
        let mut found: Vec<Fewest> = vec![Vec::new(); self.table.machines.len()];
        for (of, table) in self.table.stand_ins.iter().enumerate() {
            let needs: Vec<Arc<Needs<'a>>> =
                (0..table.speeds.len()).map(|i| self.stand_in_needs((of, i), network_ms, rate)).collect();
            for (machine, found) in table.machines.iter().zip(&mut found) {
                for (w, way) in machine.ways.iter().enumerate() {
                    let Ok(index) = way.speed else { continue };
                    let Some(least) = needs[index].replicas else { continue };
                    let first = least.div_ceil(way.replicas.max(1)).max(1);
                    let mut tried = first..=first.saturating_mul(FURTHER);
                    let does =
                        |units: &u32| !needs[index].known_not_to(units.saturating_mul(way.replicas), 0);
                    let Some(machines) = tried.find(does).and_then(|n| n.checked_mul(way.span.max(1))) else {
                        continue;
                    };
                    let gib = weights_gib(&table.speeds[index], way);
                    let copied = |(_, _, n, gib): &(usize, usize, u32, f64)| gib * f64::from(*n);
                    let new = (of, w, machines, gib);
                    let beats = |a: &(usize, usize, u32, f64), b: &(usize, usize, u32, f64)| {
                        a.2 <= b.2 && copied(a) <= copied(b)
                    };
                    if !found.iter().any(|other| beats(other, &new)) {
                        found.retain(|other| !beats(&new, other));
                        found.push(new);
                    }
                }
            }
        }
        let found = Arc::new(found);
        self.stands.fewest.borrow_mut().insert(key, Arc::clone(&found));
        found
    }

    fn new_offers(&self, region: usize, network_ms: f64, rate: f64) -> Vec<Offer> {
        let fewest = self.fewest(network_ms, rate);
        let mut all: Vec<(Offer, Money)> = Vec::new();
        for (i, site) in self.table.sites.iter().enumerate().filter(|(_, s)| s.region == region && !s.held) {
            let (terms, own) = (&self.terms[i], &self.own_terms[i]);
            for (of, w, machines, gib) in fewest.get(site.machine).into_iter().flatten() {
                let way = &self.table.stand_ins[*of].machines[site.machine].ways[*w];
                let replicas = machines / way.span.max(1) * way.replicas;
                let standing =
                    Standing { of: *of, site: i, way: *w, machines: *machines, replicas, percent: 0 };
                let (Some(cost), Some(own)) = (cost(terms, *machines, *gib), cost(own, *machines, *gib))
                else {
                    continue;
                };
                if terms.within_quotas(*machines, 0) {
                    all.push((Offer { cost, standing }, own));
                }
            }
        }
        let order = |o: &Offer| (o.cost, o.standing.of, o.standing.machines, o.standing.site, o.standing.way);
        all.sort_by_key(|(offer, _)| order(offer));
        // What takes nothing that is shared makes all that is no cheaper needless.
        let spec = self.job.spec;
        let counted = spec.carbon_at().is_some() || spec.stability.is_some();
        let takes = |o: &Offer| counted || !self.terms[o.standing.site].quotas.is_empty();
        let mut kept: Vec<(Offer, Money)> = Vec::new();
        for (offer, own) in all {
            let needless = |(other, less): &(Offer, Money)| {
                let same = other.standing.site == offer.standing.site
                    && other.standing.machines <= offer.standing.machines;
                *less <= own && (same || !takes(other))
            };
            if !kept.iter().any(needless) {
                kept.push((offer, own));
            }
        }
        kept.into_iter().map(|(offer, _)| offer).collect()
    }
}

/// Machines by the hour and the weights that are copied to them.
fn cost(terms: &Terms, machines: u32, gib: f64) -> Option<Money> {
    Some(terms.price(machines, 0)?.0 + terms.copying(gib, machines))
}

impl StandIns for Search<'_> {
    fn in_region(&self, region: usize, network_ms: f64, rate: f64) -> Arc<[Offer]> {
        let key = (region, rate.to_bits(), network_ms.to_bits());
        if let Some(known) = self.stands.offers.borrow().get(&key) {
            return Arc::clone(known);
        }
        let found: Arc<[Offer]> = self.new_offers(region, network_ms, rate).into();
        self.stands.offers.borrow_mut().insert(key, Arc::clone(&found));
        found
    }
}

impl Count {
    /// Of equally cheap ones that with fewer machines is taken, and of those the one that survives by itself.
    pub fn rank(&self) -> (Money, u32, bool) {
        let beside = self.stand_in.map_or(0, |s| s.machines);
        (self.cost, self.machines.saturating_add(beside), self.stand_in.is_some())
    }

    /// Whether it has a stand-in and the other survives by itself.
    pub fn beside_a_spare(&self, other: &Self) -> bool {
        self.stand_in.is_some() && other.stand_in.is_none()
    }

    /// It with a stand-in.
    fn beside(self, offer: Offer) -> Self {
        Count {
            cost: self.cost + offer.cost,
            peak: self.peak + offer.cost,
            ceiling: self.ceiling + offer.cost,
            stand_in: Some(offer.standing),
            ..self
        }
    }
}

impl Ask<'_> {
    /// The costs of a number of machines that carries the peak and does not survive by itself, with each stand-in that is worth a look: cheapest
    /// first. None where nothing may stand in, or need not.
    pub fn stand_ins(&self, needs: &Needs<'_>, units: u32, machines: u32, gib: f64) -> Vec<Count> {
        let Some((known, region)) = self.stands else { return Vec::new() };
        let (Some(n), Some(lost)) = (units.checked_mul(self.way.replicas), self.lost(units, 0)) else {
            return Vec::new();
        };
        if !needs.carries_peak(n) || !self.terms.within_quotas(machines, 0) {
            return Vec::new();
        }
        let percent = needs.overflow(n, lost);
        let Some(own) = self.count(units, machines, 0, gib).filter(|_| percent > 0) else {
            return Vec::new();
        };
        let offers = known.in_region(region, needs.network_ms(), needs.elsewhere(n, percent));
        let beside = |o: &Offer| own.beside(Offer { standing: Standing { percent, ..o.standing }, ..*o });
        offers.iter().map(beside).collect()
    }
}
