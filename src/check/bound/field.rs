//! Everything on sale that a workload may be put on, and every way to run it there: no candidate is left out because another
//! one is better.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::{Cloud, Money, Purchase};

use super::super::measured;
use super::super::subject::{self, Engined, Kind, Served, Work};
use super::super::{carbon, stability};
use crate::catalog::{Accelerator, InstanceType, Offering, TransferTo};
use crate::perf::adapters::Adapters;
use crate::perf::{self, Configuration, EngineSettings, Layout};
use crate::placement::World;
use crate::replay::{Limits, limits_of};
use crate::spec::{AllowDeny, Engine, EngineName, Measured, RegionRef, Spec};

/// Machines that a replica may span, and the fewest accelerators that each of them then has.
const SPAN: (u32, u32) = (4, 4);
/// Sequences at once that are tried where none are stated; a larger one only if memory fills the smaller.
const SEQUENCES: [u32; 3] = [64, 256, 1024];
/// Tokens of a step, and share of memory, where none are stated.
const STEP_TOKENS: u32 = 8192;
const MEMORY_SHARE: f64 = 0.90;
/// Share of spot machines that are lost at once where the source says nothing (assumed).
const INTERRUPTED: f64 = 0.20;

/// A replica that runs.
pub(super) struct Speed {
    pub engine: Engined,
    pub limits: Limits,
    pub sequences: u32,
}

/// A way to run the model on an instance type.
#[derive(Clone)]
pub(super) struct Way {
    pub variant: String,
    pub layout: Layout,
    /// Index into [`Field::speeds`].
    pub speed: usize,
    /// Replicas that a machine, or the machines that one spans, hold.
    pub replicas: u32,
    pub span: u32,
    /// Weights copied to a machine, GiB.
    pub weights_gib: f64,
}

/// A declared quota and what a machine takes of it, bought as planned and as spot.
pub(super) struct Quota {
    pub place: String,
    pub code: String,
    pub base: f64,
    pub spot: f64,
    pub limit: f64,
}

/// An instance type in a region where it may be bought.
pub(super) struct Site {
    pub instance_type: usize,
    pub region: usize,
    /// Dollars an hour by the cheapest allowed option that is not spot.
    pub base: Option<Money>,
    pub spot: Option<Money>,
    /// How many of its machines are held, where these are in the place of spot.
    pub held: Option<u32>,
    /// The commitment that they are of.
    pub commitment: Option<String>,
    pub on_demand: Option<Money>,
    pub interruption: f64,
    pub zones: Option<u32>,
    pub quotas: Vec<Quota>,
    /// Machines of each kind that there may be besides while they are made anew.
    pub surge: u32,
    /// Dollars a GiB of weights brought here; nothing where they are free or of unknown price.
    pub weights: Money,
    /// Milligrams of CO2e that a machine emits in an hour; nothing where emissions do not count.
    pub mg_per_hour: i64,
    /// What an hour of a machine counts for more because none of the kind runs here, micro-dollars.
    pub surcharge: i64,
    /// The same of a machine that services share.
    pub shared_surcharge: i64,
    /// Offerings that it stands for.
    pub offerings: u64,
}

#[derive(Default)]
pub(super) struct Field {
    pub sites: Vec<Site>,
    /// Instance type to its ways.
    pub ways: BTreeMap<usize, Vec<Way>>,
    pub speeds: Vec<Speed>,
    /// Offerings of the catalogue times the ways that their machines divide into, whether they run or not.
    pub all: u64,
    /// Those that run on what may be bought.
    pub running: u64,
}

/// Variant, accelerator, fraction, layout, accelerators side by side, and the link between machines.
type Key = (usize, usize, u64, Layout, u32, u64);

impl Field {
    pub fn of(spec: &Spec, world: &World, work: &Work<'_>) -> Field {
        let catalog = &world.catalog;
        let Some(served) = work.served else { return Field::default() };
        if let Some(stated) = work.model.measured() {
            return Field::stated(spec, world, work, stated);
        }
        let settings = settings(&served);
        let mut all = 0;
        let mut layouts: BTreeMap<(u32, u32), Vec<Layout>> = BTreeMap::new();
        let mut cuts: Vec<Vec<Layout>> = Vec::new();
        for kind in &catalog.instance_types {
            let whole = whole(kind);
            let key = (whole, if link(kind, whole).is_some() && whole >= SPAN.1 { SPAN.0 } else { 1 });
            let list = layouts.entry(key).or_insert_with(|| {
                let divides =
                    |l: &Layout| l.accelerators() <= whole || l.accelerators().is_multiple_of(whole);
                perf::layouts(work.arch, key.0, key.1).into_iter().filter(divides).collect()
            });
            cuts.push(list.clone());
        }
        for offering in catalog.offerings.iter().filter(|o| exists_for(work, o)) {
            let Some(cut) = cuts.get(offering.instance_type) else { continue };
            all += (cut.len().max(1) * work.model.variants.len() * settings.len()) as u64;
        }
        let sites = sites(spec, world, work);
        let mut keys: BTreeMap<Key, usize> = BTreeMap::new();
        let mut wanted: Vec<(Configuration<'_>, Key)> = Vec::new();
        let mut drafts: Vec<(usize, Key)> = Vec::new();
        let mut last = None;
        for site in &sites {
            if last.replace(site.instance_type) == Some(site.instance_type) {
                continue;
            }
            let kind = &catalog.instance_types[site.instance_type];
            let Some((index, accelerator)) = accelerator(world, kind) else { continue };
            let whole = whole(kind);
            for (v, variant) in work.model.variants.values().enumerate() {
                if !good_enough(world, work, variant) {
                    continue;
                }
                for layout in cuts[site.instance_type].iter().filter(|l| as_pinned(work, served.engine, l)) {
                    let spans = layout.accelerators() > whole;
                    if spans && served.engine.name == EngineName::Trtllm {
                        continue;
                    }
                    let between = link(kind, whole).filter(|_| spans);
                    let side = if spans { whole } else { layout.accelerators().max(1) };
                    let fraction = kind.accelerator_count.min(1.0);
                    let bits = between.map_or(0, f64::to_bits);
                    let key = (v, index, fraction.to_bits(), *layout, side, bits);
                    drafts.push((site.instance_type, key));
                    keys.entry(key).or_insert_with(|| {
                        let configuration = Configuration {
                            arch: work.arch,
                            quantization: variant.quantization,
                            kv_cache: variant.kv_cache,
                            accelerator,
                            fraction,
                            layout: *layout,
                            accelerators_per_node: side,
                            inter_node_bandwidth: between,
                            engine: settings[0],
                        };
                        wanted.push((configuration, key));
                        wanted.len() - 1
                    });
                }
            }
        }
        let calibrator = world.calibrator();
        let curves: Vec<Vec<Speed>> = wanted
            .par_iter()
            .map(|(configuration, _)| {
                let mut found = Vec::new();
                for engine in &settings {
                    let configuration = Configuration { engine: *engine, ..*configuration };
                    let alone = |c: &Configuration<'_>| {
                        Ok(calibrator.apply(perf::curve(c, &served.shape)?, c, work.step_limit_ms()))
                    };
                    let held = Adapters::of(work.model);
                    let Ok(curve) = perf::adapters::with(&configuration, held, alone) else { continue };
                    let lanes = configuration.layout.dp;
                    let filled = curve.memory.max_sequences >= engine.max_num_seqs.saturating_mul(lanes);
                    let limits = limits_of(&curve, engine, configuration.layout);
                    let engined = Engined::new(curve, work.confidence);
                    found.push(Speed { engine: engined, limits, sequences: engine.max_num_seqs });
                    if !filled {
                        break;
                    }
                }
                found
            })
            .collect();
        let mut speeds = Vec::new();
        let places: Vec<std::ops::Range<usize>> = curves
            .into_iter()
            .map(|own| {
                let from = speeds.len();
                speeds.extend(own);
                from..speeds.len()
            })
            .collect();
        let names: Vec<&String> = work.model.variants.keys().collect();
        let mut ways: BTreeMap<usize, Vec<Way>> = BTreeMap::new();
        for (instance_type, key) in drafts {
            let whole = whole(&catalog.instance_types[instance_type]);
            let (layout, size) = (key.3, key.3.accelerators().max(1));
            let (replicas, span) = if size > whole { (1, size / whole) } else { (whole / size, 1) };
            for speed in places[keys[&key]].clone() {
                let weights = speeds[speed].engine.curve.memory.weights;
                ways.entry(instance_type).or_default().push(Way {
                    variant: names[key.0].clone(),
                    layout,
                    speed,
                    replicas,
                    span,
                    weights_gib: weights * f64::from(size) / f64::from(span) / subject::GIB,
                });
            }
        }
        let count = |s: &Site| s.offerings * ways.get(&s.instance_type).map_or(0, |w| w.len() as u64);
        let running = sites.iter().map(count).sum();
        Field { sites, ways, speeds, all, running }
    }

    /// Of a model whose times were measured: a way for each variant that is good enough, on every machine.
    fn stated(spec: &Spec, world: &World, work: &Work<'_>, stated: &Measured) -> Field {
        let catalog = &world.catalog;
        let sites = sites(spec, world, work);
        let (mut speeds, mut ways): (Vec<Speed>, BTreeMap<usize, Vec<Way>>) = Default::default();
        // Types of one accelerator have one server, and with it what was replayed of it.
        let mut servers: BTreeMap<(String, usize), usize> = BTreeMap::new();
        for (type_index, kind) in catalog.instance_types.iter().enumerate() {
            if !sites.iter().any(|s| s.instance_type == type_index) {
                continue;
            }
            let on = accelerator(world, kind).map(|(_, a)| a);
            let whole = on.is_none_or(|a| {
                kind.accelerator_count >= 1.0 && ["nvidia", "amd"].contains(&a.vendor.as_str())
            });
            for variant in work.model.variants.values().filter(|v| good_enough(world, work, v)) {
                let server = measured::launched(stated, &variant.name, kind, on).ok();
                let Some(server) = server.filter(|_| whole) else { continue };
                let layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
                let weights_gib = server.curve.memory.weights / subject::GIB;
                let replicas = server.on_a_machine;
                let mut add = || {
                    speeds.push(Speed {
                        limits: limits_of(&server.curve, &server.engine, layout),
                        sequences: server.engine.max_num_seqs,
                        engine: Engined::new(server.curve.clone(), work.confidence),
                    });
                    speeds.len() - 1
                };
                let speed = match kind.accelerator {
                    Some(index) => *servers.entry((variant.name.clone(), index)).or_insert_with(add),
                    None => add(),
                };
                let variant = variant.name.clone();
                let way = Way { variant, layout, speed, replicas, span: 1, weights_gib };
                ways.entry(type_index).or_default().push(way);
            }
        }
        let all = catalog.offerings.iter().filter(|o| exists_for(work, o)).count() as u64
            * work.model.variants.len() as u64;
        let count = |s: &Site| s.offerings * ways.get(&s.instance_type).map_or(0, |w| w.len() as u64);
        let running = sites.iter().map(count).sum();
        Field { sites, ways, speeds, all, running }
    }

    /// The ways of a site.
    pub fn ways(&self, site: &Site) -> &[Way] {
        self.ways.get(&site.instance_type).map_or(&[], Vec::as_slice)
    }
}

/// Where a workload may buy machines that it may use.
pub(super) fn sites(spec: &Spec, world: &World, work: &Work<'_>) -> Vec<Site> {
    let catalog = &world.catalog;
    let usable: Vec<bool> =
        catalog.instance_types.iter().map(|kind| usable(work, world, kind).is_some()).collect();
    let regions: Vec<bool> =
        catalog.regions.iter().map(|r| may_be_in(work, r) && data_comes(work, world, r)).collect();
    let mut sites: BTreeMap<(usize, usize, Option<&str>), Site> = BTreeMap::new();
    for offering in &catalog.offerings {
        if usable.get(offering.instance_type) != Some(&true)
            || regions.get(offering.region) != Some(&true)
            || !bought(work, offering)
        {
            continue;
        }
        let emits = carbon::of_machine(world, offering.instance_type, offering.region);
        if carbon::counts(spec) && emits.is_none() {
            continue;
        }
        let commitment = offering.held.as_ref().map(|of| &*of.name);
        let site = sites
            .entry((offering.instance_type, offering.region, commitment))
            .or_insert_with(|| Site::new(world, work, offering));
        if offering.purchase == Purchase::Held {
            site.hold(spec, world, work, offering);
        } else {
            site.add(offering);
        }
        site.mg_per_hour = emits.filter(|_| carbon::counts(spec)).unwrap_or(0);
        let at = (offering.instance_type, offering.region);
        site.surcharge = stability::of_machine(spec, world, &work.address, at);
        if matches!(work.kind, Kind::Service(service) if service.shares) {
            site.shared_surcharge = stability::of_shared(spec, world, &work.address, at);
        }
    }
    let mut sites: Vec<Site> = sites.into_values().collect();
    for site in &mut sites {
        site.quotas = quotas(spec, world, work, site);
    }
    sites
}

impl Site {
    /// Whether the declared quotas allow so many machines, and spot machines among them, with what is there besides.
    pub fn keeps(&self, machines: u32, spot: u32) -> bool {
        let (on, beside) = self.beside(machines, spot);
        let taken = |q: &Quota| q.base * f64::from(machines - spot + on) + q.spot * f64::from(spot + beside);
        self.quotas.iter().all(|q| taken(q) <= q.limit + 1e-9)
    }

    /// Machines that there are besides, of those that are not spot and of spot, while so many are made anew.
    pub fn beside(&self, machines: u32, spot: u32) -> (u32, u32) {
        (self.surge.min(machines - spot), self.surge.min(spot))
    }

    fn new(world: &World, work: &Work<'_>, offering: &Offering) -> Site {
        let catalog = &world.catalog;
        let region = &catalog.regions[offering.region];
        let to = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let from = work.model.artifacts_at.as_ref().and_then(|from| catalog.region(from.cloud, &from.region));
        let weights = from.and_then(|from| catalog.transfer_price(from, TransferTo::Region(&to)));
        Site {
            instance_type: offering.instance_type,
            region: offering.region,
            base: None,
            spot: None,
            held: None,
            commitment: None,
            on_demand: catalog
                .offering(offering.instance_type, offering.region, Purchase::OnDemand)
                .map(|o| o.price),
            interruption: INTERRUPTED,
            zones: region.zones,
            quotas: Vec::new(),
            surge: work.beside(region.cloud, u32::MAX),
            weights: weights.map_or(Money::ZERO, |t| t.usd_per_gib),
            mg_per_hour: 0,
            surcharge: 0,
            shared_surcharge: 0,
            offerings: 0,
        }
    }

    /// Held machines in the place of spot, beside what is bought there as anywhere: nothing takes them away, and none cost more than they do.
    fn hold(&mut self, spec: &Spec, world: &World, work: &Work<'_>, offering: &Offering) {
        let catalog = &world.catalog;
        let name = offering.held.as_ref().map_or("", |of| &of.name);
        let machines = spec.held.get(name).map(|held| held.count);
        // As many of one kind as the promise pays for; all kinds together, its quota says.
        let covered = spec.savings.get(name).map(|plan| {
            let each = offering.held.as_ref().map_or(0, |of| (of.each * 1e6).round() as i64);
            u32::try_from(plan.spend.micros() / each.max(1)).unwrap_or(u32::MAX)
        });
        self.offerings = 1;
        self.held = Some(machines.or(covered).unwrap_or(0));
        self.commitment = Some(name.to_owned());
        self.spot = Some(offering.price);
        self.on_demand = None;
        self.interruption = 0.0;
        let options = &work.purchase.options;
        self.base = subject::cheapest(catalog, offering.instance_type, offering.region, options).map(|b| b.0);
    }

    fn add(&mut self, offering: &Offering) {
        self.offerings += 1;
        if offering.purchase == Purchase::Spot {
            self.spot = Some(offering.price);
            // Spot that is dearer than on demand is not made cheaper by its loss.
            self.on_demand = self.on_demand.map(|dear| dear.max(offering.price));
            self.interruption = offering.interruption.unwrap_or(INTERRUPTED);
        } else {
            self.base = Some(self.base.map_or(offering.price, |base| base.min(offering.price)));
        }
    }
}

fn whole(kind: &InstanceType) -> u32 {
    kind.accelerator_count.floor().clamp(1.0, 1024.0) as u32
}

/// Bytes/s between machines for an accelerator.
fn link(kind: &InstanceType, whole: u32) -> Option<f64> {
    kind.rdma_gbps.filter(|gbps| *gbps > 0.0).map(|gbps| gbps * 1e9 / 8.0 / f64::from(whole))
}

fn accelerator<'a>(world: &'a World, kind: &InstanceType) -> Option<(usize, &'a Accelerator)> {
    let index = kind.accelerator?;
    Some((index, world.catalog.accelerators.get(index)?))
}

/// Whether an instance type is sold to everyone, allowed by the spec, and one that engines publish images for.
fn usable(work: &Work<'_>, world: &World, kind: &InstanceType) -> Option<()> {
    let rules = work.rules;
    let sold = kind.status == "current" || kind.status.starts_with("previous");
    let named = (kind.cloud == Cloud::Site || rules.clouds.allows(&kind.cloud))
        && rules.instance_types.allows(&kind.name);
    if work.bare() {
        let bare = kind.accelerator.is_none() && kind.accelerator_count == 0.0;
        return (bare && sold && named).then_some(());
    }
    let Some((_, accelerator)) = accelerator(world, kind) else {
        let may_lack =
            matches!(work.kind, Kind::Profiled(_)) || work.model.measured().is_some_and(measured::runs_bare);
        let bare = kind.accelerator_count == 0.0 && may_lack;
        let listed = matches!(rules.accelerators, AllowDeny::Only(_));
        return (bare && sold && named && !listed).then_some(());
    };
    let allowed = named && rules.accelerators.allows(&accelerator.id);
    // What was measured somewhere runs there.
    if matches!(work.kind, Kind::Profiled(_)) {
        return (allowed && sold).then_some(());
    }
    let capability = accelerator.compute_capability.as_deref().unwrap_or_default();
    let major: u32 = capability.split('.').next().and_then(|m| m.parse().ok()).unwrap_or(0);
    (allowed && sold && (kind.arch != "arm64" || major >= 9)).then_some(())
}

/// Whether what a run reads has a known price to there.
fn data_comes(work: &Work<'_>, world: &World, region: &crate::catalog::Region) -> bool {
    let read = match work.kind {
        Kind::Training(training) => training.dataset.as_ref(),
        Kind::Pipeline(pipeline) => pipeline.dataset.as_ref(),
        Kind::Federation(_) if !work.client => {
            let here =
                world.catalog.regions.iter().position(|r| (r.cloud, &r.id) == (region.cloud, &region.id));
            return here.is_some_and(|at| world.catalog.transfer_price(at, TransferTo::Internet).is_some());
        }
        Kind::Service(_) | Kind::Profiled(_) | Kind::Batch(_) | Kind::Federation(_) => None,
    };
    let Some(read) = read.filter(|read| read.gib > 0.0) else { return true };
    let to = RegionRef { cloud: region.cloud, region: region.id.clone() };
    let mut regions = world.catalog.regions.iter();
    let from = regions.position(|r| (r.cloud, &r.id) == (read.from.cloud, &read.from.region));
    from.is_some_and(|from| world.catalog.transfer_price(from, TransferTo::Region(&to)).is_some())
}

fn may_be_in(work: &Work<'_>, region: &crate::catalog::Region) -> bool {
    let named = match region.cloud {
        Cloud::Site => work.rules.sites.contains(&region.id),
        cloud => {
            work.rules.clouds.allows(&cloud)
                && subject::region_allowed(&work.rules.regions, cloud, &region.id)
        }
    };
    named && subject::resides(&work.rules.residency, region)
}

/// Whether an offering is one for a workload at all: who has what is held says so.
pub(super) fn exists_for(work: &Work<'_>, offering: &Offering) -> bool {
    let may = !matches!(work.kind, Kind::Federation(_) | Kind::Profiled(_));
    offering.purchase != Purchase::Held || work.purchase.held && may
}

fn bought(work: &Work<'_>, offering: &Offering) -> bool {
    match offering.purchase {
        Purchase::Spot => work.purchase.spot_max_share > 0.0,
        Purchase::Held => exists_for(work, offering),
        other => work.purchase.options.contains(&other),
    }
}

fn good_enough(world: &World, work: &Work<'_>, variant: &crate::spec::Variant) -> bool {
    let Some(floor) = &work.model.quality else { return true };
    work.model.measured().is_none() && subject::is_native(variant.quantization, work.arch)
        || super::super::rules::kept(world, work, variant, &floor.benchmark).is_some_and(|k| k >= floor.keep)
}

fn as_pinned(work: &Work<'_>, e: &Engine, layout: &Layout) -> bool {
    let pinned = [
        (e.tensor_parallel_size, layout.tp),
        (e.pipeline_parallel_size, layout.pp),
        (e.data_parallel_size, layout.dp),
    ];
    let experts = work.arch.moe.as_ref().and(e.enable_expert_parallel);
    pinned.iter().all(|(asked, is)| asked.is_none_or(|n| n == *is))
        && experts.is_none_or(|on| on == (layout.ep > 1))
}

fn settings(served: &Served<'_>) -> Vec<EngineSettings> {
    let e = served.engine;
    let stated = e.version.as_deref().and_then(|text| {
        let mut numbers = text.trim_start_matches('v').split('.').map(|n| n.parse().ok());
        Some((numbers.next()??, numbers.next().unwrap_or(Some(0))?))
    });
    let longest = (served.shape.input.max + served.shape.output.max).ceil().clamp(1.0, 1e9) as u32;
    let of = |max_num_seqs: u32| EngineSettings {
        name: e.name,
        version: stated.unwrap_or(perf::default_version(e.name)),
        max_num_seqs,
        max_num_batched_tokens: e.max_num_batched_tokens.unwrap_or(STEP_TOKENS),
        max_model_len: e.max_model_len.unwrap_or(longest),
        gpu_memory_utilization: e.gpu_memory_utilization.unwrap_or(MEMORY_SHARE),
    };
    e.max_num_seqs.map_or(SEQUENCES.map(of).to_vec(), |n| vec![of(n)])
}

/// The declared quotas of a site.
fn quotas(spec: &Spec, world: &World, work: &Work<'_>, site: &Site) -> Vec<Quota> {
    let catalog = &world.catalog;
    let region = &catalog.regions[site.region];
    let Some(declared) = spec.providers.get(&region.cloud).map(|p| &p.quotas).filter(|q| !q.is_empty())
    else {
        return Vec::new();
    };
    let options = &work.purchase.options;
    let base = subject::cheapest(catalog, site.instance_type, site.region, options).map(|(_, p)| p);
    let spot = site.spot.map(|_| if site.held.is_some() { Purchase::Held } else { Purchase::Spot });
    let mut found: BTreeMap<(String, String), Quota> = BTreeMap::new();
    for purchase in base.into_iter().chain(spot) {
        let row = catalog.offerings.iter().find(|o| {
            let held = o.held.as_ref().map(|of| &*of.name);
            (o.instance_type, o.region, o.purchase) == (site.instance_type, site.region, purchase)
                && (purchase != Purchase::Held || held == site.commitment.as_deref())
        });
        for (quota, each) in row.into_iter().flat_map(|row| catalog.quotas_of(row)) {
            let place = if quota.scope == "global" { "global" } else { &region.id };
            let Some(limit) = declared.get(place).and_then(|of| of.get(&quota.code)) else { continue };
            let (place, code) = (place.to_owned(), quota.code.clone());
            let entry = found.entry((place.clone(), code.clone())).or_insert(Quota {
                place,
                code,
                base: 0.0,
                spot: 0.0,
                limit: *limit,
            });
            match purchase {
                Purchase::Spot | Purchase::Held => entry.spot += each,
                _ => entry.base += each,
            }
        }
    }
    found.into_values().collect()
}
