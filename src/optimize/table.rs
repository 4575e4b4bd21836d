//! Machines on sale and ways to run the model on them: what no objective and no load can change.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::job::{Job, Kind, SEQUENCES, Task};
use super::refuted::Refuted;
use super::training::Trainer;
use crate::catalog::{Accelerator, Offering};
use crate::perf::{self, Calibrator, Configuration, EngineSettings, Layout, ServiceCurve};
use crate::placement::Rejection;
use crate::replay::{Limits, limits_of};
use crate::spec::{KvCacheDtype, Purchase, Quantization};

/// Most machines that one replica spans.
pub(super) const MOST_MACHINES_PER_REPLICA: u32 = 4;

/// Fewest accelerators of a machine whose replicas may span several.
const LEAST_TO_SPAN: u32 = 4;

/// A replica's speed, and the same at the pessimistic edge of its band.
#[derive(Clone)]
pub(super) struct Speed {
    pub curve: ServiceCurve,
    pub slowed: ServiceCurve,
    /// By which every time is longer.
    pub f: f64,
    /// By which the time to the first token is longer still.
    pub g: f64,
    pub engine: EngineSettings,
    pub limits: Limits,
    /// What the replay contradicted.
    pub refuted: Refuted,
}

/// One way of running the model on a machine type.
#[derive(Clone)]
pub(super) struct Way {
    /// Index into the names of the model's variants.
    pub variant: usize,
    pub layout: Layout,
    /// Index into [`Table::speeds`] (of a training, [`Table::trainers`]), or why it does not run.
    pub speed: Result<usize, Rejection>,
    /// Replicas on one machine; 1 if a replica spans machines.
    pub replicas: u32,
    /// Machines that a replica spans.
    pub span: u32,
    /// On shared machines: the most replicas of a pool on one of them. A `machine` is then one accelerator of such a machine.
    pub most_on_one: Option<u32>,
}

impl Way {
    /// Replicas that are lost with a machine.
    pub fn per_machine(&self) -> u32 {
        self.most_on_one.unwrap_or(self.replicas)
    }
}

/// A machine type and the ways of using it.
#[derive(Clone)]
pub(super) struct Machine {
    pub index: usize,
    pub rejection: Option<Rejection>,
    /// Never empty if there is no rejection.
    pub ways: Vec<Way>,
    /// Candidates that an offering of this type stands for.
    pub candidates: u64,
    /// Accelerators of a machine, where this stands for a single one of them on shared machines.
    pub slots: Option<u32>,
}

/// A machine type on sale in a region.
#[derive(Clone)]
pub(super) struct Site {
    /// Index into [`Table::machines`].
    pub machine: usize,
    /// Index into the catalogue's regions.
    pub region: usize,
    /// Index of the cheapest allowed offering that is not spot.
    pub base: Option<usize>,
    /// Index of the spot offering, if spot is allowed.
    pub spot: Option<usize>,
    /// Offerings that this site stands for: 1 or 2.
    pub rows: u64,
    /// Offerings that are allowed and dearer than `base`.
    pub dearer: u64,
}

/// Everything on sale that one workload may look at.
#[derive(Clone)]
pub(super) struct Table {
    pub machines: Vec<Machine>,
    pub sites: Vec<Site>,
    pub speeds: Vec<Speed>,
    /// Of a training, in place of speeds.
    pub trainers: Vec<Trainer>,
    /// Candidates rejected before any load was looked at, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// All candidates.
    pub candidates: u64,
    /// Names of the variants, in order.
    pub variants: Vec<String>,
    /// Offerings that a rule of place or purchase forbids, with the rule; for explanations.
    pub forbidden: Vec<(usize, Rejection)>,
}

/// What decides a curve: variant, accelerator, fraction, layout, and for a replica over several
/// machines what lies between them; the bits of the numbers make it an exact key.
type Key = (usize, usize, u64, Layout, u32, u64);

struct Wanted<'a> {
    quantization: Quantization,
    kv_cache: KvCacheDtype,
    accelerator: &'a Accelerator,
    fraction: f64,
    layout: Layout,
    node: u32,
    between: Option<f64>,
}

impl Table {
    /// Reads the catalogue for a job. Curves are worked out in parallel and collected in order.
    pub fn new(job: &Job<'_>) -> Self {
        if let Kind::Run(Task::Training(training)) = job.kind {
            return super::training::table(job, training);
        }
        let catalog = &job.world.catalog;
        let calibrator = job.world.calibrator();
        let variants: Vec<String> = job.model.variants.keys().cloned().collect();
        let qualities: Vec<Option<Rejection>> = job.model.variants.values().map(|v| job.quality(v)).collect();
        let on_sale = on_sale(job);
        let mut keys: BTreeMap<Key, usize> = BTreeMap::new();
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        let mut drafts: Vec<Vec<Draft>> = Vec::new();
        let mut machines: Vec<Machine> = Vec::new();
        let mut layouts: BTreeMap<(u32, u32), Vec<Layout>> = BTreeMap::new();
        for (index, kind) in catalog.instance_types.iter().enumerate() {
            let whole = (kind.accelerator_count.floor().clamp(1.0, 1024.0)) as u32;
            let between = kind.rdma_gbps.filter(|g| *g > 0.0).map(|g| g * 1e9 / 8.0 / f64::from(whole));
            let most =
                if between.is_some() && whole >= LEAST_TO_SPAN { MOST_MACHINES_PER_REPLICA } else { 1 };
            let list = layouts
                .entry((whole, most))
                .or_insert_with(|| {
                    let mut list = perf::layouts(job.arch, whole, most);
                    list.retain(|l| l.accelerators() <= whole || l.accelerators().is_multiple_of(whole));
                    list
                })
                .clone();
            let candidates = (list.len().max(1) * variants.len() * settings_count(job)) as u64;
            let mut draft = Vec::new();
            let rejection = match job.machine(kind) {
                Err(why) => Some(why),
                // Nobody asks how fast a type is that cannot be bought.
                Ok(_) if !on_sale[index] => None,
                Ok(accelerator) => {
                    for (v, variant) in job.model.variants.values().enumerate() {
                        for layout in &list {
                            let spans = layout.accelerators() > whole;
                            if let Some(why) = pinned(job, *layout).or_else(|| qualities[v].clone()) {
                                draft.push(Draft { variant: v, layout: *layout, whole, found: Err(why) });
                                continue;
                            }
                            let fraction = kind.accelerator_count.min(1.0);
                            let node = if spans { whole } else { 0 };
                            let speed = between.filter(|_| spans);
                            let bits = speed.map_or(0, f64::to_bits);
                            let accelerator_index = kind.accelerator.unwrap_or_default();
                            let key = (v, accelerator_index, fraction.to_bits(), *layout, node, bits);
                            let slot = *keys.entry(key).or_insert_with(|| {
                                wanted.push(Wanted {
                                    quantization: variant.quantization,
                                    kv_cache: variant.kv_cache,
                                    accelerator,
                                    fraction,
                                    layout: *layout,
                                    node: if spans { whole } else { layout.accelerators().max(1) },
                                    between: speed,
                                });
                                wanted.len() - 1
                            });
                            draft.push(Draft { variant: v, layout: *layout, whole, found: Ok(slot) });
                        }
                    }
                    None
                }
            };
            drafts.push(draft);
            machines.push(Machine { index, rejection, ways: Vec::new(), candidates, slots: None });
        }
        let found: Vec<Vec<Result<Speed, Rejection>>> =
            wanted.par_iter().map(|w| speeds_of(job, &calibrator, w)).collect();
        let mut speeds = Vec::new();
        let mut slots: Vec<Vec<Result<usize, Rejection>>> = Vec::new();
        for list in found {
            let mut slot = Vec::new();
            for speed in list {
                slot.push(speed.map(|s| {
                    speeds.push(s);
                    speeds.len() - 1
                }));
            }
            slots.push(slot);
        }
        for (machine, draft) in machines.iter_mut().zip(drafts) {
            for d in draft {
                d.into_ways(&slots, settings_count(job), &mut machine.ways);
            }
            if machine.ways.is_empty() && machine.rejection.is_none() && on_sale[machine.index] {
                machine.rejection = Some(Rejection {
                    constraint: "layout",
                    reason: format!("no layout divides {}", job.arch.id),
                    at: None,
                    distance: None,
                });
            }
        }
        let mut table = Table {
            machines,
            sites: Vec::new(),
            speeds,
            trainers: Vec::new(),
            rejected: BTreeMap::new(),
            candidates: 0,
            variants,
            forbidden: Vec::new(),
        };
        table.find_sites(job);
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
            for way in &machine.ways {
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
                table.machines.push(Machine { index, rejection: None, ways, candidates: 0, slots });
                shared.insert(m, table.machines.len() - 1);
            }
        }
        for i in 0..table.sites.len() {
            let site = &table.sites[i];
            if let Some(machine) = shared.get(&site.machine).filter(|_| site.base.is_some()) {
                let (region, base) = (site.region, site.base);
                let site = Site { machine: *machine, region, base, spot: None, rows: 0, dearer: 0 };
                table.sites.push(site);
            }
        }
        table
    }

    /// Accelerators of a machine at a site of shared machines; `None` at others.
    pub fn slots(&self, site: usize) -> Option<u32> {
        self.machines.get(self.sites.get(site)?.machine)?.slots
    }

    /// Finds out where the machines are on sale.
    pub(super) fn find_sites(&mut self, job: &Job<'_>) {
        let catalog = &job.world.catalog;
        let regions: Vec<Option<Rejection>> = catalog.regions.iter().map(|r| job.region(r)).collect();
        let Table { machines, sites, rejected, candidates, forbidden, .. } = self;
        let mut reject = |why: &Rejection, n: u64| {
            match rejected.get_mut(why.constraint) {
                Some(count) => *count += n,
                None => {
                    rejected.insert(why.constraint.to_owned(), n);
                }
            };
        };
        let not_bought = Rejection {
            constraint: "purchase",
            reason: "this purchase option is not allowed".into(),
            at: Some(job.purchase.at.clone()),
            distance: None,
        };
        for (i, offering) in catalog.offerings.iter().enumerate() {
            let Some(machine) = machines.get(offering.instance_type) else { continue };
            let n = machine.candidates;
            *candidates += n;
            let why = machine
                .rejection
                .as_ref()
                .or_else(|| regions.get(offering.region).and_then(Option::as_ref))
                .or_else(|| (!job.buys(offering.purchase)).then_some(&not_bought));
            if let Some(why) = why {
                reject(why, n);
                if machine.rejection.as_ref().is_none_or(|r| r.constraint != "accelerator") {
                    forbidden.push((i, why.clone()));
                }
                continue;
            }
            for way in &machine.ways {
                if let Err(why) = &way.speed {
                    reject(why, 1);
                }
            }
            let same = |s: &&mut Site| s.machine == offering.instance_type && s.region == offering.region;
            if let Some(site) = sites.last_mut().filter(|s| same(s)) {
                site.add(i, offering, &catalog.offerings);
            } else {
                let mut site = Site {
                    machine: offering.instance_type,
                    region: offering.region,
                    base: None,
                    spot: None,
                    rows: 0,
                    dearer: 0,
                };
                site.add(i, offering, &catalog.offerings);
                sites.push(site);
            }
        }
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

/// Which instance types have an offering that the rules of place and purchase allow.
pub(super) fn on_sale(job: &Job<'_>) -> Vec<bool> {
    let catalog = &job.world.catalog;
    let regions: Vec<bool> = catalog.regions.iter().map(|r| job.region(r).is_none()).collect();
    let mut sold = vec![false; catalog.instance_types.len()];
    for o in &catalog.offerings {
        if regions.get(o.region) == Some(&true)
            && job.buys(o.purchase)
            && let Some(slot) = sold.get_mut(o.instance_type)
        {
            *slot = true;
        }
    }
    sold
}

fn settings_count(job: &Job<'_>) -> usize {
    if job.engine.max_num_seqs.is_some() { 1 } else { SEQUENCES.len() }
}

struct Draft {
    variant: usize,
    layout: Layout,
    whole: u32,
    found: Result<usize, Rejection>,
}

impl Draft {
    fn into_ways(self, slots: &[Vec<Result<usize, Rejection>>], settings: usize, ways: &mut Vec<Way>) {
        let size = self.layout.accelerators().max(1);
        let (replicas, span) =
            if size > self.whole { (1, size / self.whole) } else { (self.whole / size, 1) };
        for i in 0..settings {
            let speed = match &self.found {
                Err(why) => Err(why.clone()),
                Ok(slot) => match slots.get(*slot).and_then(|s| s.get(i)) {
                    Some(speed) => speed.clone(),
                    None => continue,
                },
            };
            let (variant, layout) = (self.variant, self.layout);
            ways.push(Way { variant, layout, speed, replicas, span, most_on_one: None });
        }
    }
}

/// Why a layout is not the spec's.
fn pinned(job: &Job<'_>, layout: Layout) -> Option<Rejection> {
    let e = job.engine;
    let expert = job.arch.moe.as_ref().and(e.enable_expert_parallel);
    let agrees = e.tensor_parallel_size.is_none_or(|n| n == layout.tp)
        && e.pipeline_parallel_size.is_none_or(|n| n == layout.pp)
        && e.data_parallel_size.is_none_or(|n| n == layout.dp)
        && expert.is_none_or(|on| on == (layout.ep > 1));
    (!agrees).then(|| Rejection {
        constraint: "engine",
        reason: format!("{layout} is not what the engine's arguments ask for"),
        at: Some(e.at.clone()),
        distance: None,
    })
}

/// The speeds of a configuration under each engine setting, in the order of the settings.
fn speeds_of(job: &Job<'_>, calibrator: &Calibrator, w: &Wanted<'_>) -> Vec<Result<Speed, Rejection>> {
    let sequences: Vec<u32> = job.engine.max_num_seqs.map_or(SEQUENCES.to_vec(), |n| vec![n]);
    let mut filled = true;
    let mut found = Vec::new();
    for n in sequences {
        if !filled {
            found.push(Err(Rejection {
                constraint: "engine-setting",
                reason: format!("memory cannot hold {n} sequences at once, nor the setting below"),
                at: None,
                distance: None,
            }));
            continue;
        }
        let engine = job.settings(n);
        let configuration = Configuration {
            arch: job.arch,
            quantization: w.quantization,
            kv_cache: w.kv_cache,
            accelerator: w.accelerator,
            fraction: w.fraction,
            layout: w.layout,
            accelerators_per_node: w.node,
            inter_node_bandwidth: w.between,
            engine,
        };
        found.push(match perf::curve(&configuration, &job.shape) {
            Err(why) => Err(does_not_run(&why)),
            Ok(curve) => {
                let curve = calibrator.apply(curve, &configuration, job.step_limit_ms());
                filled = curve.memory.max_sequences >= n.saturating_mul(w.layout.dp);
                let f = curve.tpot_band.factor(job.spec.confidence).max(1.0);
                let g = (curve.ttft_band.factor(job.spec.confidence) / f).max(1.0);
                let limits = limits_of(&curve, &engine, w.layout);
                let refuted = Refuted::default();
                Ok(Speed { slowed: curve.slowed(f), curve, f, g, engine, limits, refuted })
            }
        });
    }
    found
}

/// Why a prediction says that something does not run.
pub(super) fn does_not_run(why: &perf::DoesNotFit) -> Rejection {
    Rejection {
        constraint: why.rule(),
        reason: why.to_string(),
        at: None,
        distance: match why {
            perf::DoesNotFit::Memory { needed, available, .. }
            | perf::DoesNotFit::Context { needed, available } => Some(needed / available - 1.0),
            _ => None,
        },
    }
}
