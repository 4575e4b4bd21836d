//! A service whose machines were measured by size class (`src/decisions/0020-own-profiles.md`): whole numbers of machines of unlike types, and
//! size classes divided among them, at the least cost.
//!
//! What the rules allow is read from the table like that of any workload; from there on kinds of machines are rows of the profile (`problem`), relaxed
//! (`lp`) and searched (`tree`) in integers. A plan takes of shared limits what its machines take, so that it is a column among those of other workloads
//! ([`Mixed::within`]).

mod lp;
mod problem;
mod tree;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::job::Job;
use super::table::Table;
use super::together::ONE;
use super::ways::{Kind, Way};
use crate::perf::Layout;
use crate::placement::{
    CandidateId, Loser, MixBranch, MixKind, MixLoss, MixPart, MixProof, MixRoute, Rejection, SizeClass,
    SizeMix,
};
use crate::spec::Profiled;
use crate::spec::profile::PARTS;
use problem::{Offer, Problem, Routing, Verdict};
use tree::Nothing;

/// What stands for a variant.
pub(super) const VARIANT: &str = "profile";

/// Numbers of machines at sites, and where the classes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fleet {
    /// Site and machines there, in the order of the sites.
    pub machines: Vec<(usize, u32)>,
    /// A month of them, dollars.
    pub month: Money,
}

impl Fleet {
    pub fn count(&self) -> u64 {
        self.machines.iter().map(|(_, n)| u64::from(*n)).sum()
    }

    /// An hour of them.
    pub fn hour(&self, mixed: &Mixed<'_>) -> Money {
        self.machines.iter().map(|(site, n)| mixed.base(*site).times(i64::from(*n))).sum()
    }
}

/// The search for a service with a profile.
pub(super) struct Mixed<'a> {
    pub job: &'a Job<'a>,
    pub table: &'a Table,
    pub service: &'a Profiled,
    /// Kinds that may be bought: of each the machine's index in the table.
    kinds: Vec<usize>,
    classes: Vec<&'a str>,
    /// A search found nothing and did not prove that there is nothing.
    pub unproven: Cell<bool>,
    /// The first fleet that was found.
    known: RefCell<Option<Fleet>>,
}

/// A price for a month of a machine at each site, over [`ONE`].
type Prices<'s> = &'s dyn Fn(usize) -> i128;

/// Plans nearly as cheap as the cheapest that are looked through, and steps that this may take.
const STEPS: u64 = 2_000_000;

/// Losing kinds that are told.
const TOLD: usize = 8;

/// The ways of a service with a profile: one on each type that is in it.
pub(super) fn runs(job: &Job<'_>, service: &Profiled, wanted: &[bool]) -> Vec<Kind> {
    let way = |cloud: Cloud, name: &str| {
        let known = service.profile.rates.contains_key(&(cloud, name.to_owned()));
        let no = || Rejection {
            constraint: "measured-time",
            reason: format!("`{}` has no row for {cloud}/{name}", service.profile.file.path),
            at: Some(service.profile.file.at.clone()),
            distance: None,
        };
        let layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
        let speed = if known { Ok(0) } else { Err(no()) };
        Way { variant: 0, layout, speed, replicas: 1, span: 1, most_on_one: None }
    };
    let all = job.world.catalog.instance_types.iter().zip(wanted);
    all.map(|(kind, wanted)| Kind::of(wanted.then(|| way(kind.cloud, &kind.name)).into_iter().collect(), 1))
        .collect()
}

impl<'a> Mixed<'a> {
    pub fn new(job: &'a Job<'a>, table: &'a Table, service: &'a Profiled) -> Self {
        let catalog = &job.world.catalog;
        let sold = |machine: usize| {
            table.machines[machine].ways.iter().any(|way| way.speed.is_ok())
                && table.sites.iter().any(|s| s.machine == machine && s.base.is_some())
        };
        let of = |(cloud, name): &(Cloud, String)| {
            let index = catalog.instance_type(*cloud, name)?;
            table.machines.iter().position(|m| m.index == index).filter(|m| sold(*m))
        };
        let kinds = service.profile.rates.keys().filter_map(of).collect();
        let classes = service.classes.keys().map(String::as_str).collect();
        Mixed { job, table, service, kinds, classes, unproven: Cell::new(false), known: RefCell::new(None) }
    }

    /// What a machine at a site costs an hour.
    pub fn base(&self, site: usize) -> Money {
        self.table.terms[site].base.unwrap_or(Money::ZERO)
    }

    /// A month at the prices of the bill.
    pub fn billed(&self) -> impl Fn(usize) -> i128 {
        |site| i128::from(self.base(site).micros()) * i128::from(HOURS_PER_MONTH) * ONE
    }

    /// As many machines at a site as the quotas declared there allow by themselves.
    fn most(&self, site: usize) -> u32 {
        let of = |q: &super::pool::QuotaLimit| {
            if q.base > 0.0 { ((q.limit + 1e-9) / q.base).floor().clamp(0.0, 1e9) as u32 } else { u32::MAX }
        };
        self.table.terms[site].quotas.iter().map(of).min().unwrap_or(u32::MAX)
    }

    /// Where a kind of machine may be bought, cheapest first.
    fn offers(&self, machine: usize, prices: Prices<'_>) -> Vec<Offer> {
        let sites = self.table.sites.iter().enumerate();
        let here = sites.filter(|(_, s)| s.machine == machine && s.base.is_some());
        let offer = |(site, _)| Offer { price: prices(site), most: self.most(site), site };
        let mut offers: Vec<Offer> = here.map(offer).filter(|o| o.most > 0).collect();
        offers.sort_by_key(|o| (o.price, o.site));
        offers
    }

    /// The problem at some prices; of machines that any number of cheaper ones stands for, none is kept.
    fn problem(&self, prices: Prices<'_>) -> Problem {
        let (catalog, service) = (&self.job.world.catalog, self.service);
        let rates = |machine: &usize| {
            let kind = &catalog.instance_types[self.table.machines[*machine].index];
            let of = |class: &&str| service.rate(class, kind.cloud, &kind.name).unwrap_or(0);
            self.classes.iter().map(of).collect()
        };
        let offers = |machine: &usize| {
            let mut offers = self.offers(*machine, prices);
            let enough = offers.iter().position(|o| o.most == u32::MAX).map_or(offers.len(), |i| i + 1);
            offers.truncate(enough);
            offers
        };
        Problem {
            demands: self.classes.iter().map(|class| service.demand(class)).collect(),
            rates: self.kinds.iter().map(rates).collect(),
            offers: self.kinds.iter().map(offers).collect(),
            survive: service.survive,
            capacity: service.part_in_failure(),
            // One that is left after the loss of all is none.
            least: service.least_machines.max(if service.survive > 0 { service.survive + 1 } else { 0 }),
            most: service.most_machines,
        }
    }

    fn fleet(&self, problem: &Problem, counts: &[u32]) -> Fleet {
        let mut machines: Vec<(usize, u32)> = Vec::new();
        for (offers, n) in problem.offers.iter().zip(counts) {
            let mut left = *n;
            for offer in offers {
                let taken = left.min(offer.most);
                if taken > 0 {
                    machines.push((offer.site, taken));
                }
                left -= taken;
            }
        }
        machines.sort_unstable();
        let hour: Money = machines.iter().map(|(site, n)| self.base(*site).times(i64::from(*n))).sum();
        Fleet { machines, month: hour.per_month() }
    }

    /// The cheapest fleet at some prices, the least that any costs at them, and the proof.
    ///
    /// # Errors
    /// What stands in the way, if none does.
    pub fn cheapest(&self, prices: Prices<'_>) -> Result<(Fleet, i128, MixProof), Rejection> {
        let problem = self.problem(prices);
        for (class, name) in self.classes.iter().enumerate() {
            if !problem.rates.iter().zip(&problem.offers).any(|(r, o)| r[class] > 0 && !o.is_empty()) {
                let reason = format!("no machine that may be bought serves the size class `{name}`");
                return Err(self.no("measured-time", reason, self.service.profile.file.at.clone()));
            }
        }
        match tree::cheapest(&problem) {
            Ok(found) => {
                let fleet = self.fleet(&problem, &found.counts);
                self.known.borrow_mut().get_or_insert_with(|| fleet.clone());
                Ok((fleet, found.least, found.proof))
            }
            Err(Nothing::Does) => {
                let reason = "no number of machines that may be bought carries all size classes".to_owned();
                Err(self.no("saturated", reason, self.service.at.clone()))
            }
            // What does, does at any prices; that nothing is cheaper is not known then.
            Err(Nothing::Found) => match self.known.borrow().clone() {
                Some(fleet) => {
                    let leaf = MixBranch { kind: None, at: 0 };
                    Ok((fleet, 0, MixProof { prices: vec![vec![0; self.kinds.len()]], tree: vec![leaf] }))
                }
                None => {
                    self.unproven.set(true);
                    let reason = "no number of machines that carries all size classes was found; that there is none was not proven";
                    Err(self.no("saturated", reason.to_owned(), self.service.at.clone()))
                }
            },
        }
    }

    fn no(&self, constraint: &'static str, reason: String, at: crate::diagnostic::Pointer) -> Rejection {
        Rejection { constraint, reason, at: Some(at), distance: None }
    }

    /// The cheapest by itself, with the least by the hour.
    ///
    /// # Errors
    /// As of [`Mixed::cheapest`]; or a budget that counts it.
    pub fn alone(&self) -> Result<(Fleet, Money, MixProof), Rejection> {
        let (fleet, least, proof) = self.cheapest(&self.billed())?;
        let over =
            self.job.budgets().into_iter().filter(|(limit, _)| fleet.month > *limit).min_by_key(|(l, _)| *l);
        if let Some((limit, at)) = over {
            return Err(Rejection {
                constraint: "budget",
                reason: format!("{} USD a month, the budget is {limit}", fleet.month),
                at: Some(at.clone()),
                distance: Some(fleet.month.usd() / limit.usd().max(1e-9) - 1.0),
            });
        }
        let hour = least.div_euclid(i128::from(HOURS_PER_MONTH) * ONE);
        Ok((fleet, Money::from_micros(hour.clamp(0, i128::from(i64::MAX / 1024)) as i64), proof))
    }

    /// Every fleet that costs at most `limit` at some prices, but for those that hold another one; `None` if they are too many. Of sites with equal
    /// prices and no quotas the first stands for all, unless `apart` tells them apart by what else they take.
    pub fn within(
        &self,
        prices: Prices<'_>,
        apart: &dyn Fn(usize) -> Vec<i64>,
        limit: i128,
        most: usize,
    ) -> Option<Vec<Fleet>> {
        let mut problem = self.problem(prices);
        // Every site that no other one of its kind beats in price and in everything that is shared.
        for (machine, offers) in self.kinds.iter().zip(&mut problem.offers) {
            let mut kept: Vec<(Offer, Vec<i64>)> = Vec::new();
            for offer in self.offers(*machine, prices) {
                let uses = apart(offer.site);
                let beaten = |(other, less): &(Offer, Vec<i64>)| {
                    other.most == u32::MAX && less.iter().zip(&uses).all(|(a, b)| a <= b)
                };
                if !kept.iter().any(beaten) {
                    kept.push((offer, uses));
                }
            }
            *offers = kept.into_iter().map(|(offer, _)| offer).collect();
        }
        Listing::new(self, &problem, limit, most).list()
    }

    /// What is told of a fleet: where classes go as planned and in every loss. `None` if it does not do, which no search returns.
    pub fn mix(&self, fleet: &Fleet, proofs: Vec<MixProof>) -> Option<SizeMix> {
        let problem = self.problem(&self.billed());
        let catalog = &self.job.world.catalog;
        let mut counts = vec![0_u32; self.kinds.len()];
        for (site, n) in &fleet.machines {
            let kind = self.kinds.iter().position(|k| *k == self.table.sites[*site].machine)?;
            counts[kind] += n;
        }
        let Verdict::Does(routing) = problem.carry(&counts, PARTS) else { return None };
        let mut losses = Vec::new();
        each_loss(&counts, self.service.survive, &mut |lost| {
            let left: Vec<u32> = counts.iter().zip(lost).map(|(n, gone)| n - gone).collect();
            let Verdict::Does(routing) = problem.carry(&left, problem.capacity) else { return false };
            let routes = routing.iter().map(|parts| MixRoute { to: parts_of(parts) }).collect();
            losses.push(MixLoss { lost: lost.to_vec(), routes });
            true
        })
        .then_some(())?;
        let kinds = self.kinds.iter().zip(&counts).map(|(machine, n)| {
            let kind = &catalog.instance_types[self.table.machines[*machine].index];
            MixKind { cloud: kind.cloud, instance_type: kind.name.clone(), machines: *n }
        });
        let classes = self.classes.iter().zip(&routing).map(|(name, parts)| SizeClass {
            name: (*name).to_owned(),
            demand: self.service.demand(name),
            to: parts_of(parts),
        });
        Some(SizeMix {
            file: self.service.profile.file.path.clone(),
            sha256: self.service.profile.sha256.clone(),
            kinds: kinds.collect(),
            classes: classes.collect(),
            losses,
            proofs,
        })
    }

    /// The machines and the cost of an hour of the cheapest fleet with at least one machine of a site.
    ///
    /// # Errors
    /// What stands in the way of any.
    pub fn with_one(&self, site: usize) -> Result<(u32, Money), Rejection> {
        let billed = self.billed();
        let mut problem = self.problem(&billed);
        let machine = self.table.sites[site].machine;
        let Some(kind) = self.kinds.iter().position(|k| *k == machine) else {
            let reason = "nothing was measured of it".to_owned();
            return Err(self.no("measured-time", reason, self.service.profile.file.at.clone()));
        };
        if self.most(site) == 0 {
            let reason = "the declared quota is too small for one".to_owned();
            return Err(self.no("quota", reason, self.service.at.clone()));
        }
        // That one is a kind of its own; of the others there is one fewer where their number is limited.
        for offer in problem.offers[kind].iter_mut().filter(|o| o.site == site && o.most < u32::MAX) {
            offer.most -= 1;
        }
        problem.offers[kind].retain(|offer| offer.most > 0);
        problem.rates.push(problem.rates[kind].clone());
        problem.offers.push(vec![Offer { price: billed(site), most: 1, site }]);
        let mut low = vec![0; problem.kinds()];
        low[self.kinds.len()] = 1;
        let found = tree::cheapest_from(&problem, low).map_err(|why| match why {
            Nothing::Does => {
                let reason = "no numbers of machines with one of it carry all size classes".to_owned();
                self.no("saturated", reason, self.service.at.clone())
            }
            Nothing::Found => {
                let reason =
                    "nothing with one of it was found; that there is nothing was not proven".to_owned();
                self.no("saturated", reason, self.service.at.clone())
            }
        })?;
        Ok((found.counts.iter().sum(), self.fleet(&problem, &found.counts).hour(self)))
    }

    /// What each kind would cost by itself, cheapest first: the best single one of each against the mix.
    pub fn losers(&self, fleet: &Fleet) -> Vec<Loser> {
        let optimum = fleet.hour(self);
        let problem = self.problem(&self.billed());
        let catalog = &self.job.world.catalog;
        let mut all = Vec::new();
        for (kind, machine) in self.kinds.iter().enumerate() {
            let Some(first) = problem.offers[kind].first() else { continue };
            let site = &self.table.sites[first.site];
            let Some(offering) = site.base.and_then(|i| catalog.offerings.get(i)) else { continue };
            let (on, region) =
                (&catalog.instance_types[self.table.machines[*machine].index], &catalog.regions[site.region]);
            let candidate = CandidateId {
                cloud: on.cloud,
                region: region.id.clone(),
                instance_type: on.name.clone(),
                purchase: offering.purchase,
                variant: VARIANT.to_owned(),
                layout: Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
            };
            let unserved =
                self.classes.iter().enumerate().find(|(class, _)| problem.rates[kind][*class] == 0);
            if let Some((_, name)) = unserved {
                let reason = format!("by itself: nothing was measured of the size class `{name}` on it");
                let rejection = self.no("measured-time", reason, self.service.profile.file.at.clone());
                all.push(Loser { candidate, machines: None, per_hour: offering.price, rejection });
                continue;
            }
            let only = Problem {
                rates: vec![problem.rates[kind].clone()],
                offers: vec![problem.offers[kind].clone()],
                ..problem.clone()
            };
            let Ok(found) = tree::cheapest(&only) else { continue };
            let per_hour = self.fleet(&only, &found.counts).hour(self);
            if per_hour <= optimum {
                continue;
            }
            let more = crate::math::round_to((per_hour.usd() / optimum.usd().max(1e-9) - 1.0) * 100.0, 1);
            let rejection = Rejection {
                constraint: "dearer",
                reason: format!("by itself: {more} % dearer than the mix"),
                at: None,
                distance: Some(per_hour.usd() / optimum.usd().max(1e-9) - 1.0),
            };
            all.push(Loser { candidate, machines: found.counts.first().copied(), per_hour, rejection });
        }
        all.sort_by(|a, b| {
            let key = |l: &Loser| (l.machines.is_none(), l.per_hour);
            key(a).cmp(&key(b)).then_with(|| a.candidate.instance_type.cmp(&b.candidate.instance_type))
        });
        all.truncate(TOLD);
        all
    }
}

fn parts_of(parts: &[(usize, u64)]) -> Vec<MixPart> {
    parts.iter().map(|(kind, share)| MixPart { kind: *kind as u32, billionths: *share }).collect()
}

/// Visits every way to lose `survive` machines; stops where a visit says no, and says so.
fn each_loss(counts: &[u32], survive: u32, visit: &mut dyn FnMut(&[u32]) -> bool) -> bool {
    fn go(counts: &[u32], lost: &mut Vec<u32>, left: u32, visit: &mut dyn FnMut(&[u32]) -> bool) -> bool {
        let Some(n) = counts.get(lost.len()) else { return left > 0 || visit(lost) };
        for own in 0..=left.min(*n) {
            lost.push(own);
            let goes_on = go(counts, lost, left - own, visit);
            lost.pop();
            if !goes_on {
                return false;
            }
        }
        true
    }
    survive == 0 || go(counts, &mut Vec::new(), survive, visit)
}

/// Fleets within a limit, one after the other.
struct Listing<'s, 'a> {
    mixed: &'s Mixed<'a>,
    problem: &'s Problem,
    /// Kind and place of every offer.
    offers: Vec<(usize, Offer)>,
    limit: i128,
    most: usize,
    steps: u64,
    /// Prices that bound and refute, with what the classes are worth at them.
    known: Vec<(Vec<i128>, i128)>,
    found: Vec<Fleet>,
    /// Kinds' counts to whether they do.
    does: BTreeMap<Vec<u32>, bool>,
}

impl<'s, 'a> Listing<'s, 'a> {
    fn new(mixed: &'s Mixed<'a>, problem: &'s Problem, limit: i128, most: usize) -> Self {
        let offers = problem
            .offers
            .iter()
            .enumerate()
            .flat_map(|(kind, all)| all.iter().map(move |o| (kind, *o)))
            .collect();
        let (found, does) = (Vec::new(), BTreeMap::new());
        Listing { mixed, problem, offers, limit, most, steps: STEPS, known: Vec::new(), found, does }
    }

    fn list(mut self) -> Option<Vec<Fleet>> {
        // The prices that prove the cheapest bound the others as well.
        let cheapest = match tree::cheapest(self.problem) {
            Ok(cheapest) => cheapest,
            Err(Nothing::Does) => return Some(Vec::new()),
            Err(Nothing::Found) => return None,
        };
        for stored in &cheapest.proof.prices {
            let prices: Vec<i128> = stored.iter().map(|p| i128::from(*p) * tree::UNIT).collect();
            let worth = self.problem.worth(&prices, false);
            self.known.push((prices, worth));
        }
        let mut counts = vec![0_u32; self.offers.len()];
        self.go(0, &mut counts, 0)?;
        Some(self.found)
    }

    /// What is left of the cost at the least, from an offer on, under each of the known prices.
    fn out_of_reach(&self, from: usize, counts: &[u32], cost: i128) -> bool {
        self.known.iter().any(|(prices, worth)| {
            let there: i128 = self.offers[..from]
                .iter()
                .zip(counts)
                .map(|((kind, _), n)| prices[*kind].saturating_mul(i128::from(*n)))
                .fold(0, i128::saturating_add);
            // Of what is worth more than it costs as many as there are, or can be paid.
            let mut gain = 0_i128;
            for (kind, offer) in &self.offers[from..] {
                let each = prices[*kind].saturating_sub(offer.price).max(0);
                let paid =
                    self.limit.saturating_sub(cost).max(0).checked_div(offer.price).unwrap_or(i128::MAX);
                gain = gain.saturating_add(each.saturating_mul(i128::from(offer.most).min(paid)));
            }
            cost.saturating_add(worth.saturating_sub(there)).saturating_sub(gain) > self.limit
        })
    }

    fn go(&mut self, from: usize, counts: &mut Vec<u32>, cost: i128) -> Option<()> {
        self.steps = self.steps.checked_sub(1)?;
        if cost > self.limit || self.out_of_reach(from, counts, cost) {
            return Some(());
        }
        let kinds = self.kinds(counts);
        let total = kinds.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        if self.problem.most.is_some_and(|most| total > most) {
            return Some(());
        }
        if total >= self.problem.least && self.does(&kinds) {
            let mut machines: Vec<(usize, u32)> = self
                .offers
                .iter()
                .zip(counts.iter())
                .filter(|(_, n)| **n > 0)
                .map(|((_, o), n)| (o.site, *n))
                .collect();
            machines.sort_unstable();
            let hour: Money =
                machines.iter().map(|(site, n)| self.mixed.base(*site).times(i64::from(*n))).sum();
            self.found.push(Fleet { machines, month: hour.per_month() });
            // Whatever holds it takes no less of anything.
            return (self.found.len() <= self.most).then_some(());
        }
        let Some((_, offer)) = self.offers.get(from).copied() else { return Some(()) };
        // All of one offer are chosen before the next is looked at.
        for n in 0..=offer.most {
            let own = cost.saturating_add(offer.price.saturating_mul(i128::from(n)));
            if own > self.limit {
                break;
            }
            counts[from] = n;
            self.go(from + 1, counts, own)?;
            // Where these do without any later one, more of them hold what was found.
            let kinds = self.kinds(counts);
            let enough = kinds.iter().fold(0_u32, |sum, n| sum.saturating_add(*n)) >= self.problem.least;
            if enough && self.does(&kinds) {
                break;
            }
            // An offer that is free would never end.
            if offer.price == 0 && n > 1_000_000 {
                return None;
            }
        }
        counts[from] = 0;
        Some(())
    }

    fn kinds(&self, counts: &[u32]) -> Vec<u32> {
        let mut kinds = vec![0_u32; self.problem.kinds()];
        for ((kind, _), n) in self.offers.iter().zip(counts) {
            kinds[*kind] = kinds[*kind].saturating_add(*n);
        }
        kinds
    }

    fn does(&mut self, kinds: &[u32]) -> bool {
        if let Some(known) = self.does.get(kinds) {
            return *known;
        }
        let fixed = problem::Span { low: kinds.to_vec(), high: kinds.to_vec() };
        let refuted = self.known.iter().any(|(prices, _)| self.problem.refuted(prices, &fixed));
        let mut against = Vec::new();
        let does = !refuted
            && match self.problem.carry(kinds, PARTS) {
                Verdict::Does(_) => self.problem.survives(kinds, &mut against),
                Verdict::DoesNot(prices) => {
                    against.push(prices);
                    false
                }
                Verdict::Unclear => false,
            };
        self.does.insert(kinds.to_vec(), does);
        does
    }
}

/// The parts of a plan that are told by pool: of each kind its share of every class.
pub(super) fn routing(mix: &SizeMix) -> Routing {
    mix.classes.iter().map(|c| c.to.iter().map(|p| (p.kind as usize, p.billionths)).collect()).collect()
}

#[cfg(test)]
mod tests;
