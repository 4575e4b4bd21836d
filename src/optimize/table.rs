//! Machines on sale and ways to run the model on them: what no objective and no load can change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::federation::Member;
use super::job::Job;
use super::pipeline::Executor;
use super::pool::Terms;
use super::training::Trainer;
use super::ways::{Kind, Runs};
pub(super) use super::ways::{Speed, Way};
use crate::catalog::Offering;
use crate::placement::Rejection;
use crate::spec::Purchase;

/// A machine type and the ways of using it.
#[derive(Clone)]
pub(super) struct Machine {
    pub index: usize,
    pub rejection: Option<Arc<Rejection>>,
    /// Never empty if there is no rejection.
    pub ways: Arc<[Way]>,
    /// Candidates that an offering of this type stands for.
    pub candidates: u64,
    /// Accelerators of a machine, where this stands for a single one of them on shared machines.
    pub slots: Option<u32>,
}

/// A machine type on sale in a region.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    /// Index into [`Table::machines`].
    pub machine: usize,
    /// Index into the catalogue's regions.
    pub region: usize,
    /// Index of the cheapest allowed offering that is not spot.
    pub base: Option<usize>,
    /// Index of the spot offering, if spot is allowed; where `held`, of the held one.
    pub spot: Option<usize>,
    /// Whether its machines beside `base` are held and not spot. What is on sale is another site of the same machine and region.
    pub held: bool,
    /// Offerings that this site stands for: 1 or 2.
    pub rows: u64,
    /// Offerings that are allowed and dearer than `base`.
    pub dearer: u64,
}

/// Everything on sale that one workload may look at.
#[derive(Clone)]
pub(super) struct Table {
    pub machines: Vec<Machine>,
    pub sites: Arc<Vec<Site>>,
    /// Of each site.
    pub terms: Arc<Vec<Terms>>,
    pub speeds: Vec<Speed>,
    /// Of a training, in place of speeds.
    pub trainers: Arc<[Trainer]>,
    /// Of a pipeline, in place of speeds.
    pub executors: Arc<[Executor]>,
    /// Of a federation, in place of speeds.
    pub members: Arc<[Member]>,
    /// What the clients of a federation may look at; this is then its aggregator's. Candidates here are those of both.
    pub clients: Option<Arc<Table>>,
    /// Of each model that may stand in for this one, at the same sites and terms. Its candidates are none of the service's own.
    pub stand_ins: Vec<Table>,
    /// Candidates rejected before any load was looked at, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// All candidates.
    pub candidates: u64,
    /// Names of the variants, in order.
    pub variants: Vec<String>,
    /// How many offerings a rule of place or purchase forbids, see [`Table::forbidding`].
    pub forbidden: u32,
    /// Of each region of the catalogue, why it may not be used.
    regions: Vec<Option<Arc<Rejection>>>,
    /// Why an offering may not be bought.
    not_bought: Arc<Rejection>,
}

impl Table {
    /// Reads the catalogue for a job.
    pub fn new(job: &Job<'_>) -> Self {
        let sold = Sold::to(job);
        let runs = Runs::new(job, &sold.wanted);
        Table::of(job, sold, &runs, &Shared::default())
    }

    /// Those of all jobs, in their order; `None` if it was ended before. How a model runs is worked out once for all jobs that run it
    /// alike.
    pub fn all(jobs: &[Job<'_>], stops: &(dyn Fn() -> bool + Sync)) -> Option<Vec<Self>> {
        let go = || (!stops()).then_some(());
        let sold: Vec<Sold> =
            jobs.par_iter().map(|job| go().map(|()| Sold::to(job))).collect::<Option<_>>()?;
        let mut alike: BTreeMap<String, usize> = BTreeMap::new();
        let mut groups: Vec<(usize, Vec<bool>)> = Vec::new();
        let mut group_of = Vec::with_capacity(jobs.len());
        for (i, (job, sold)) in jobs.iter().zip(&sold).enumerate() {
            let g = *alike.entry(Runs::alike(job)).or_insert_with(|| {
                groups.push((i, vec![false; sold.wanted.len()]));
                groups.len() - 1
            });
            groups[g].1.iter_mut().zip(&sold.wanted).for_each(|(any, own)| *any |= own);
            group_of.push(g);
        }
        let runs: Vec<Runs> = groups
            .par_iter()
            .map(|(first, wanted)| go().map(|()| Runs::new(&jobs[*first], wanted)))
            .collect::<Option<_>>()?;
        let shared = Shared::default();
        let of = |((job, sold), g): ((&Job<'_>, Sold), usize)| {
            go().map(|()| Table::of(job, sold, &runs[g], &shared))
        };
        jobs.par_iter().zip(sold).zip(group_of).map(of).collect()
    }

    fn of(job: &Job<'_>, sold: Sold, runs: &Runs, shared: &Shared) -> Self {
        let mut machines: Vec<Machine> = Vec::with_capacity(runs.kinds.len());
        for (index, (kind, rejection)) in runs.kinds.iter().zip(sold.rejections).enumerate() {
            let ways = if sold.wanted[index] { Arc::clone(&kind.ways) } else { Arc::default() };
            let none = || Rejection {
                constraint: "layout",
                reason: format!("no layout divides {}", job.arch.id),
                at: None,
                distance: None,
            };
            let rejection = rejection.or_else(|| sold.wanted[index].then(none).filter(|_| ways.is_empty()));
            let rejection = rejection.map(Arc::new);
            machines.push(Machine { index, rejection, ways, candidates: kind.candidates, slots: None });
        }
        let mut table = Table {
            machines,
            sites: Arc::default(),
            terms: Arc::default(),
            speeds: runs.speeds(),
            trainers: Arc::clone(&runs.trainers),
            executors: Arc::clone(&runs.executors),
            members: Arc::clone(&runs.members),
            clients: job.clients().map(|clients| Arc::new(Table::new(&clients))),
            stand_ins: job.stand_ins().iter().map(Table::new).collect(),
            rejected: BTreeMap::new(),
            candidates: 0,
            variants: runs.variants.clone(),
            forbidden: 0,
            regions: sold.regions,
            not_bought: Arc::new(Rejection {
                constraint: "purchase",
                reason: "this purchase option is not allowed".into(),
                at: Some(job.purchase.at.clone()),
                distance: None,
            }),
        };
        let sites = table.find_sites(job, &runs.kinds);
        (table.sites, table.terms) = shared.of(job, sites);
        for stand_in in &mut table.stand_ins {
            (stand_in.sites, stand_in.terms) = (Arc::clone(&table.sites), Arc::clone(&table.terms));
        }
        if let Some(clients) = &table.clients {
            table.candidates += clients.candidates;
            for (why, n) in &clients.rejected {
                *table.rejected.entry(why.clone()).or_insert(0) += n;
            }
        }
        table
    }

    /// It together with the accelerators of shared machines (decision 12), behind everything else: there one accelerator is a
    /// machine, and a replica spans several. A pool may have as many replicas on one machine as fit, or, where a machine may
    /// fail, fewer.
    pub fn with_shared(&self, job: &Job<'_>, may_fail: bool) -> Self {
        let mut table = self.clone();
        let catalog = &job.world.catalog;
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        for m in 0..table.machines.len() {
            let machine = &table.machines[m];
            let count = catalog.instance_types[machine.index].accelerator_count;
            let slots = count as u32;
            if machine.rejection.is_some() || slots < 2 || f64::from(slots) != count {
                continue;
            }
            let mut ways = Vec::new();
            for way in machine.ways.iter() {
                let size = way.layout.accelerators().max(1);
                if way.span > 1 || size >= slots || way.speed.is_err() {
                    continue;
                }
                let most = slots / size;
                for cap in if may_fail { 1..=most } else { most..=most } {
                    ways.push(Way {
                        variant: way.variant,
                        layout: way.layout,
                        speed: way.speed.clone(),
                        replicas: 1,
                        span: size,
                        most_on_one: Some(cap),
                    });
                }
            }
            if !ways.is_empty() {
                let index = machine.index;
                let slots = Some(slots);
                let ways = ways.into();
                table.machines.push(Machine { index, rejection: None, ways, candidates: 0, slots });
                shared.insert(m, table.machines.len() - 1);
            }
        }
        for site in self.sites.iter() {
            if let Some(machine) = shared.get(&site.machine).filter(|_| site.base.is_some() && !site.held) {
                let (region, base) = (site.region, site.base);
                let site =
                    Site { machine: *machine, region, base, spot: None, held: false, rows: 0, dearer: 0 };
                let index = table.machines[*machine].index;
                Arc::make_mut(&mut table.terms).push(Terms::of(job, index, &site).of_slot());
                Arc::make_mut(&mut table.sites).push(site);
            }
        }
        table
    }

    /// Accelerators of a machine at a site of shared machines; `None` at others.
    pub fn slots(&self, site: usize) -> Option<u32> {
        self.machines.get(self.sites.get(site)?.machine)?.slots
    }

    /// What the machines of a site do in a federation; `None` if they do nothing.
    pub fn member(&self, site: usize) -> Option<&Member> {
        let way = self.machines.get(self.sites.get(site)?.machine)?.ways.first()?;
        self.members.get(*way.speed.as_ref().ok()?)
    }

    /// The rule that an offering breaks.
    pub fn against(&self, job: &Job<'_>, offering: &Offering) -> Option<&Arc<Rejection>> {
        let of_machine = self.machines.get(offering.instance_type).and_then(|m| m.rejection.as_ref());
        of_machine
            .or_else(|| self.regions.get(offering.region).and_then(Option::as_ref))
            .or_else(|| (!job.buys(offering.purchase)).then_some(&self.not_bought))
    }

    /// The rule of place or purchase that forbids an offering. Nobody asks why a machine without an accelerator that is meant is not used.
    pub fn forbidding(&self, job: &Job<'_>, offering: &Offering) -> Option<&Rejection> {
        // Of many thousands of offerings, for each of thousands of workloads, it is told on request.
        if offering.purchase == Purchase::Held && !job.buys(Purchase::Held) {
            return None;
        }
        let machine = self.machines.get(offering.instance_type)?;
        let meant = machine.rejection.as_ref().is_none_or(|r| r.constraint != "accelerator");
        self.against(job, offering).filter(|_| meant).map(Arc::as_ref)
    }

    fn find_sites(&mut self, job: &Job<'_>, kinds: &[Kind]) -> Vec<Site> {
        let catalog = &job.world.catalog;
        let mut sites: Vec<Site> = Vec::new();
        let (mut rejected, mut candidates, mut forbidden) = (BTreeMap::new(), 0, 0);
        let mut reject = |constraint: &str, n: u64| {
            match rejected.get_mut(constraint) {
                Some(count) => *count += n,
                None => {
                    rejected.insert(constraint.to_owned(), n);
                }
            };
        };
        for (i, offering) in catalog.offerings.iter().enumerate() {
            let Some(machine) = self.machines.get(offering.instance_type) else { continue };
            if offering.purchase == Purchase::Held && !job.buys(Purchase::Held) {
                continue;
            }
            let n = machine.candidates;
            candidates += n;
            if let Some(why) = self.against(job, offering) {
                reject(why.constraint, n);
                forbidden += u32::from(self.forbidding(job, offering).is_some());
                continue;
            }
            for (constraint, n) in &kinds[offering.instance_type].refused {
                reject(constraint, *n);
            }
            let same = |s: &&mut Site| s.machine == offering.instance_type && s.region == offering.region;
            if offering.purchase == Purchase::Held {
                // It is the last of its machine and region. What it has not enough of is bought as what is not spot there.
                let base = sites.last_mut().filter(same).and_then(|s| s.base);
                let (machine, region) = (offering.instance_type, offering.region);
                sites.push(Site { machine, region, base, spot: Some(i), held: true, rows: 1, dearer: 0 });
            } else if let Some(site) = sites.last_mut().filter(|s| same(s)) {
                site.add(i, offering, &catalog.offerings);
            } else {
                let mut site = Site {
                    machine: offering.instance_type,
                    region: offering.region,
                    base: None,
                    spot: None,
                    held: false,
                    rows: 0,
                    dearer: 0,
                };
                site.add(i, offering, &catalog.offerings);
                sites.push(site);
            }
        }
        (self.rejected, self.candidates, self.forbidden) = (rejected, candidates, forbidden);
        sites
    }
}

/// Sites and their terms, each once for all jobs that buy by the same rules.
#[derive(Default)]
struct Shared(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// With a number for each.
    sites: BTreeMap<Arc<Vec<Site>>, usize>,
    /// By that number, and what else decides them in words.
    terms: BTreeMap<(usize, String), Arc<Vec<Terms>>>,
}

impl Shared {
    fn of(&self, job: &Job<'_>, sites: Vec<Site>) -> (Arc<Vec<Site>>, Arc<Vec<Terms>>) {
        let (rules, from) = (job.purchase, &job.model.artifacts_at);
        let (share, base, surge) =
            (rules.spot_max_share, rules.on_demand_base, job.surge(rhumb_api::Cloud::Aws));
        let words = format!("{share} {base} {surge} {from:?} {:?}", job.dataset());
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sites, key) = {
            let mut known = known();
            let new = (Arc::new(sites), known.sites.len());
            let (sites, number) = known.sites.get_key_value(&new.0).map_or(new, |(s, n)| (Arc::clone(s), *n));
            known.sites.entry(Arc::clone(&sites)).or_insert(number);
            (sites, (number, words))
        };
        let terms = known().terms.get(&key).map(Arc::clone);
        let terms = terms.unwrap_or_else(|| {
            let new = Arc::new(sites.iter().map(|site| Terms::of(job, site.machine, site)).collect());
            Arc::clone(known().terms.entry(key).or_insert(new))
        });
        (sites, terms)
    }
}

impl Site {
    fn add(&mut self, i: usize, offering: &Offering, all: &[Offering]) {
        if offering.purchase == Purchase::Spot {
            self.spot = Some(i);
            self.rows += 1;
            return;
        }
        match self.base.and_then(|b| all.get(b)) {
            Some(base) if (base.price, base.purchase) <= (offering.price, offering.purchase) => {
                self.dearer += 1
            }
            Some(_) => {
                self.base = Some(i);
                self.dearer += 1;
            }
            None => {
                self.base = Some(i);
                self.rows += 1;
            }
        }
    }
}

/// What the rules of place and purchase leave of the catalogue.
struct Sold {
    /// Of each region, why it may not be used.
    regions: Vec<Option<Arc<Rejection>>>,
    /// Of each instance type, why it may not be used.
    rejections: Vec<Option<Rejection>>,
    /// Whether it may be used and has an offering that may be bought: nobody asks how fast another one is.
    wanted: Vec<bool>,
}

impl Sold {
    fn to(job: &Job<'_>) -> Self {
        let catalog = &job.world.catalog;
        let regions: Vec<Option<Arc<Rejection>>> =
            catalog.regions.iter().map(|r| job.region(r).map(Arc::new)).collect();
        let rejections: Vec<Option<Rejection>> =
            catalog.instance_types.iter().map(|kind| job.machine(kind)).collect();
        let mut wanted = vec![false; rejections.len()];
        for o in &catalog.offerings {
            if regions.get(o.region).is_some_and(Option::is_none)
                && job.buys(o.purchase)
                && let Some(slot) = wanted.get_mut(o.instance_type)
            {
                *slot = rejections[o.instance_type].is_none();
            }
        }
        Sold { regions, rejections, wanted }
    }
}
