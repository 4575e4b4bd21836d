//! The cheapest placement by plain enumeration, straight from raw rows and the text of
//! `src/decisions/0002-what-a-placement-promises.md`. It shares nothing with `src/optimize` or `src/check`.

pub mod carbon;
mod day;
mod degrade;
mod held;
pub mod profile;
mod run;
pub mod seat;
pub mod several;
pub mod sharing;
pub mod stability;
pub mod training;

use std::cell::RefCell;
use std::collections::BTreeMap;

use rhumb::catalog::TransferTo;
use rhumb::perf::{self, Configuration, EngineSettings, Layout, RequestShape, ServiceCurve};
use rhumb::placement::World;
use rhumb::spec::*;

use carbon::{allowed, over_quota};
use day::round;
pub use run::batch;
use run::each_run;
pub use several::partitions;

/// Most machines of a pool that are tried. Worlds are made so that an optimum with more is rare.
pub const MOST_MACHINES: u32 = 16;

/// Stands for the region of a quota of the whole account.
const GLOBAL: usize = usize::MAX;

/// One way of running the model on one machine type.
struct Way {
    type_index: usize,
    replicas_per_machine: u32,
    curve: ServiceCurve,
    slowed: ServiceCurve,
    limits: rhumb::replay::Limits,
    f: f64,
    g: f64,
    weights_bytes: f64,
}

/// One pool that would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Micro-dollars an hour, with transfers; of a batch and of what is counted together, a month.
    pub cost: i64,
    /// The same with spot bought on demand.
    pub ceiling: i64,
    /// All hours at the load of the peak.
    pub peak: i64,
    replicas: u32,
    /// The most in any hour.
    most_replicas: u32,
    /// Region and code to amount.
    pub quotas: BTreeMap<(usize, String), f64>,
}

impl Choice {
    /// The figure that a budget limits.
    pub fn bound(&self, spec: &Spec) -> i64 {
        match spec.budget.binds {
            BudgetBinds::Expected => self.cost,
            BudgetBinds::PeakMonth => self.peak,
            BudgetBinds::Ceiling => self.ceiling,
        }
    }
}

/// The least cost of a service in micro-dollars an hour; `None` if nothing will do.
pub fn service(spec: &Spec, world: &World, name: &str) -> Option<i64> {
    let s = &spec.services[name];
    let shape = RequestShape {
        input: s.traffic.input,
        output: s.traffic.output,
        prefix_cached: s.traffic.prefix_cached,
    };
    let ways = ways(spec, world, &s.model, &s.placement, &s.engine, &shape);
    let regions = regions(world, &s.placement);
    if regions.len() < s.placement.spread_regions as usize {
        return None;
    }
    let search = Search::new(spec, world, name, &ways, &regions);
    let mut best: Option<i64> = None;
    for partition in partitions(s.traffic.origins.len()) {
        search.blocks(&partition, &mut Vec::new(), &mut BTreeMap::new(), &mut best);
    }
    best
}

/// Whether a limit is on a workload.
fn counted(spec: &Spec, scope: &BudgetScope, address: &str) -> bool {
    let labels = match address.split_once('.').unwrap() {
        ("services", name) => {
            spec.services.get(name).map_or_else(|| &spec.profiled[name].labels, |s| &s.labels)
        }
        ("trainings", name) => &spec.trainings[name].labels,
        (_, name) => &spec.batches[name].labels,
    };
    match scope {
        BudgetScope::All => true,
        BudgetScope::Workload(own) => own == address,
        BudgetScope::Label { key, value } => labels.get(key) == Some(value),
    }
}

/// Monthly limits on one workload, micro-dollars.
fn limits(spec: &Spec, address: &str) -> impl Iterator<Item = i64> + use<> {
    let own: Vec<i64> = spec
        .budget
        .limits
        .iter()
        .filter(|(scope, _)| counted(spec, scope, address))
        .map(|(_, l)| l.limit.micros())
        .collect();
    own.into_iter()
}

fn regions(world: &World, rules: &PlacementRules) -> Vec<usize> {
    let mut used: Vec<usize> = world.catalog.offerings.iter().map(|o| o.region).collect();
    used.sort_unstable();
    used.dedup();
    used.retain(|i| {
        let r = &world.catalog.regions[*i];
        let names = |list: &[String]| {
            list.iter().any(|n| *n == r.id || *n == format!("{}/{}", r.cloud.as_str(), r.id))
        };
        let allowed = match &rules.regions {
            AllowDeny::Any => true,
            AllowDeny::Only(list) => names(list),
            AllowDeny::Not(list) => !names(list),
        };
        allowed && rules.clouds.allows(&r.cloud) && may_hold(&rules.residency, world, *i)
    });
    used
}

fn may_hold(residency: &[String], world: &World, region: usize) -> bool {
    let r = &world.catalog.regions[region];
    residency.is_empty()
        || residency.iter().any(|tag| r.jurisdictions.contains(tag) || r.country.to_lowercase() == *tag)
}

fn ways(
    spec: &Spec,
    world: &World,
    model: &str,
    rules: &PlacementRules,
    engine: &Engine,
    shape: &RequestShape,
) -> Vec<Way> {
    let (catalog, arch, declared) = (&world.catalog, &world.archs[model], &spec.models[model]);
    let mut types: Vec<usize> = catalog.offerings.iter().map(|o| o.instance_type).collect();
    types.sort_unstable();
    types.dedup();
    let mut ways = Vec::new();
    for type_index in types {
        let kind = &catalog.instance_types[type_index];
        let Some(accelerator) = kind.accelerator.map(|i| &catalog.accelerators[i]) else { continue };
        let on_sale = kind.status == "current" || kind.status.starts_with("previous");
        if !on_sale || !rules.instance_types.allows(&kind.name) || !rules.accelerators.allows(&accelerator.id)
        {
            continue;
        }
        let whole = (kind.accelerator_count as u32).max(1);
        for variant in declared.variants.values() {
            if !good_enough(world, declared, &arch.id, arch.native, variant) {
                continue;
            }
            for layout in perf::layouts(arch, whole, 1) {
                if !pinned(engine, layout) || layout.accelerators() > whole {
                    continue;
                }
                let configuration = Configuration {
                    arch,
                    quantization: variant.quantization,
                    kv_cache: variant.kv_cache,
                    accelerator,
                    fraction: kind.accelerator_count.min(1.0),
                    layout,
                    accelerators_per_node: whole,
                    inter_node_bandwidth: None,
                    engine: settings(engine, shape),
                };
                let Ok(curve) = perf::curve(&configuration, shape) else { continue };
                let f = curve.tpot_band.factor(spec.confidence).max(1.0);
                let g = (curve.ttft_band.factor(spec.confidence) / f).max(1.0);
                ways.push(Way {
                    limits: rhumb::replay::limits_of(&curve, &settings(engine, shape), layout),
                    type_index,
                    replicas_per_machine: whole / layout.accelerators(),
                    weights_bytes: curve.memory.weights * f64::from(layout.accelerators()),
                    slowed: curve.slowed(f),
                    curve,
                    f,
                    g,
                });
            }
        }
    }
    ways
}

/// The worlds state every setting, so that there is nothing to choose here; but for a context of the longest request.
fn settings(engine: &Engine, shape: &RequestShape) -> EngineSettings {
    let longest = (shape.input.max + shape.output.max).ceil() as u32;
    let version = engine.version.as_deref().unwrap();
    let (major, minor) = version.split_once('.').unwrap();
    EngineSettings {
        name: engine.name,
        version: (major.parse().unwrap(), minor.parse().unwrap()),
        max_num_seqs: engine.max_num_seqs.unwrap(),
        max_num_batched_tokens: engine.max_num_batched_tokens.unwrap(),
        max_model_len: engine.max_model_len.unwrap_or(longest),
        gpu_memory_utilization: engine.gpu_memory_utilization.unwrap(),
    }
}

fn pinned(engine: &Engine, layout: Layout) -> bool {
    engine.tensor_parallel_size.is_none_or(|n| n == layout.tp)
        && engine.pipeline_parallel_size.is_none_or(|n| n == layout.pp)
        && engine.data_parallel_size.is_none_or(|n| n == layout.dp)
        && engine.enable_expert_parallel.is_none_or(|e| e == (layout.ep > 1))
}

fn good_enough(world: &World, model: &Model, id: &str, native: Quantization, variant: &Variant) -> bool {
    let Some(floor) = &model.quality else { return true };
    if variant.quantization == Quantization::Native || variant.quantization == native {
        return true;
    }
    if let Some(own) = floor.measured.get(&variant.name) {
        return *own >= floor.keep;
    }
    let mut lowest: Option<f64> = None;
    for row in &world.catalog.quality {
        if row.model == id && row.quantization == variant.quantization && row.benchmark == floor.benchmark {
            lowest = Some(lowest.map_or(row.recovery, |l: f64| l.min(row.recovery)));
        }
    }
    lowest.is_some_and(|l| l >= floor.keep)
}

fn most_spot(rules: &PurchaseRules, machines: u32) -> u32 {
    let share = (rules.spot_max_share * f64::from(machines) + 1e-9).floor() as u32;
    share.min(machines.saturating_sub(rules.on_demand_base))
}

fn price(world: &World, kind: usize, region: usize, purchase: Purchase) -> Option<i64> {
    let offerings = &world.catalog.offerings;
    offerings
        .iter()
        .find(|o| o.instance_type == kind && o.region == region && o.purchase == purchase)
        .map(|o| o.price.micros())
}

fn cheapest(world: &World, rules: &PurchaseRules, kind: usize, region: usize) -> Option<(i64, Purchase)> {
    rules.options.iter().filter_map(|p| price(world, kind, region, *p).map(|c| (c, *p))).min()
}

/// Hourly price of `m` machines of which `s` are spot, and the same with spot bought on demand.
fn prices(
    world: &World,
    rules: &PurchaseRules,
    kind: usize,
    region: usize,
    m: u32,
    s: u32,
) -> Option<(i64, i64)> {
    let (m, s) = (i64::from(m), i64::from(s));
    let others = if m > s { cheapest(world, rules, kind, region)?.0 } else { 0 };
    if s == 0 {
        return Some((m * others, m * others));
    }
    let spot = price(world, kind, region, Purchase::Spot)?;
    // Spot that is not sold on demand has no ceiling but its own price.
    let on_demand = price(world, kind, region, Purchase::OnDemand).unwrap_or(spot);
    Some(((m - s) * others + s * spot, (m - s) * others + s * on_demand.max(spot)))
}

fn quotas(
    world: &World,
    rules: &PurchaseRules,
    kind: usize,
    region: usize,
    m: u32,
    s: u32,
) -> BTreeMap<(usize, String), f64> {
    let mut taken = BTreeMap::new();
    let others = cheapest(world, rules, kind, region).map(|(_, p)| (p, m - s));
    for (purchase, count) in others.into_iter().chain([(Purchase::Spot, s)]) {
        for (quota, each) in world.catalog.quotas_for(kind, purchase) {
            let place = if quota.scope == "global" { GLOBAL } else { region };
            *taken.entry((place, quota.code.clone())).or_insert(0.0) += each * f64::from(count);
        }
    }
    taken
}

type Memo = BTreeMap<(Vec<usize>, usize, usize), Vec<Choice>>;

struct Search<'a> {
    spec: &'a Spec,
    world: &'a World,
    s: &'a Service,
    address: String,
    ways: &'a [Way],
    regions: &'a [usize],
    /// Start-up time to the classes of the day.
    days: RefCell<BTreeMap<u32, Vec<(u32, i64, i128)>>>,
    /// Ways of the models that may stand in.
    smaller: std::cell::OnceCell<Vec<Way>>,
}

impl<'a> Search<'a> {
    fn new(spec: &'a Spec, world: &'a World, name: &str, ways: &'a [Way], regions: &'a [usize]) -> Self {
        let (s, address) = (&spec.services[name], format!("services.{name}"));
        let (days, smaller) = Default::default();
        Search { spec, world, s, address, ways, regions, days, smaller }
    }
}

impl Search<'_> {
    /// Every way to serve the blocks that are left, given the pools chosen so far.
    fn blocks(
        &self,
        left: &[Vec<usize>],
        chosen: &mut Vec<(usize, Choice)>,
        memo: &mut Memo,
        best: &mut Option<i64>,
    ) {
        let Some((block, rest)) = left.split_first() else {
            if let Some(cost) = self.judge(chosen) {
                *best = Some(best.map_or(cost, |b| b.min(cost)));
            }
            return;
        };
        let least = self.s.survive.region as usize + 1;
        for subset in 1_u32..1 << self.regions.len() {
            let r = subset.count_ones() as usize;
            if r >= least {
                let picked: Vec<usize> = (0..self.regions.len())
                    .filter(|i| subset >> i & 1 == 1)
                    .map(|i| self.regions[i])
                    .collect();
                self.pools(block, r, &picked, rest, chosen, memo, best);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn pools(
        &self,
        block: &[usize],
        r: usize,
        left: &[usize],
        rest: &[Vec<usize>],
        chosen: &mut Vec<(usize, Choice)>,
        memo: &mut Memo,
        best: &mut Option<i64>,
    ) {
        let Some((region, others)) = left.split_first() else {
            return self.blocks(rest, chosen, memo, best);
        };
        for needed in left {
            let key = (block.to_vec(), r, *needed);
            if !memo.contains_key(&key) {
                memo.insert(key.clone(), self.choices(block, r, *needed));
            }
        }
        let options = |region: usize| &memo[&(block.to_vec(), r, region)];
        // What the other regions of this block cost at least; none if one of them cannot serve it.
        let Some(least) = others.iter().map(|o| options(*o).first().map(|c| c.cost)).sum::<Option<i64>>()
        else {
            return;
        };
        let so_far: i64 = chosen.iter().map(|(_, c)| c.cost).sum();
        for choice in options(*region).clone() {
            if best.is_some_and(|b| so_far + choice.cost + least >= b) {
                break;
            }
            chosen.push((*region, choice));
            if self.within(chosen) {
                self.pools(block, r, others, rest, chosen, memo, best);
            }
            chosen.pop();
        }
    }

    /// Whether what is chosen so far takes no more than there is. More pools only take more.
    fn within(&self, chosen: &[(usize, Choice)]) -> bool {
        let replicas: u32 = chosen.iter().map(|(_, c)| c.most_replicas).sum();
        let mut taken: BTreeMap<&(usize, String), f64> = BTreeMap::new();
        for (_, c) in chosen {
            for (key, n) in &c.quotas {
                *taken.entry(key).or_insert(0.0) += n;
            }
        }
        let bound: i64 = chosen.iter().map(|(_, c)| c.bound(self.spec)).sum();
        self.s.scaling.max_replicas.is_none_or(|max| replicas <= max)
            && taken.iter().all(|(k, n)| allowed(self.spec, self.world, k).is_none_or(|l| *n <= l))
            && limits(self.spec, &self.address).all(|l| bound * 730 <= l)
    }

    /// The cost of a complete choice, if every rule over the whole service holds.
    fn judge(&self, chosen: &[(usize, Choice)]) -> Option<i64> {
        let mut regions: Vec<usize> = chosen.iter().map(|(r, _)| *r).collect();
        regions.sort_unstable();
        regions.dedup();
        let replicas: u32 = chosen.iter().map(|(_, c)| c.replicas).sum();
        let holds = regions.len() >= self.s.placement.spread_regions as usize
            && replicas >= self.s.scaling.min_replicas
            && self.within(chosen);
        holds.then(|| chosen.iter().map(|(_, c)| c.cost).sum())
    }

    /// Every pool in a region that serves `block` together with `r - 1` other regions, without those
    /// that another one beats in all that counts.
    fn choices(&self, block: &[usize], r: usize, region: usize) -> Vec<Choice> {
        let (catalog, s) = (&self.world.catalog, self.s);
        let here = &catalog.regions[region];
        let mut network = Vec::new();
        for o in block {
            let origin = &s.traffic.origins[*o];
            if !may_hold(&origin.residency, self.world, region) {
                return Vec::new();
            }
            if origin.place == Place::Vpc {
                network.push(0.0);
                continue;
            }
            let Some(trip) = catalog.round_trip(&origin.place, region) else { return Vec::new() };
            let trips = if s.slo.connections == Connections::New { 3.0 } else { 1.0 };
            let counts = s.slo.measured_at == MeasuredAt::Client;
            network.push(if counts { (trip.ms_p90 + s.slo.last_mile_ms) * trips } else { 0.0 });
        }
        let share: f64 = block.iter().map(|o| s.traffic.origins[*o].share).sum();
        let outside: f64 = block
            .iter()
            .map(|o| &s.traffic.origins[*o])
            .filter(|o| o.place != Place::Vpc)
            .map(|o| o.share)
            .sum();
        let others = r as f64 - f64::from(s.survive.region);
        let mut found: Vec<Choice> = Vec::new();
        for way in self.ways.iter().filter(|w| catalog.instance_types[w.type_index].cloud == here.cloud) {
            for choice in self.of_held(way, region, (share, outside, r), &network) {
                if !found.iter().any(|other| self.beats(other, &choice)) {
                    found.retain(|other| !self.beats(&choice, other));
                    found.push(choice);
                }
            }
            for choice in self.with_stand_in(way, region, (share, outside, r), &network) {
                if !found.iter().any(|other| self.beats(other, &choice)) {
                    found.retain(|other| !self.beats(&choice, other));
                    found.push(choice);
                }
            }
            let Ok(below) = self.below(way, region, (share, outside, r), &network) else { continue };
            for m in 1..=MOST_MACHINES {
                let rate = self.peak(way, m * way.replicas_per_machine, share / r as f64);
                let region_load =
                    (s.survive.region > 0).then(|| s.during_failure.capacity * rate * r as f64 / others);
                let transfer = self.transfer(region, rate, outside / share);
                for spot in 0..=most_spot(&s.purchase, m) {
                    let kind = way.type_index;
                    let Some((cost, ceiling)) = prices(self.world, &s.purchase, kind, region, m, spot) else {
                        continue;
                    };
                    let choice = Choice {
                        cost: cost + transfer,
                        ceiling: ceiling + transfer,
                        peak: cost + transfer,
                        replicas: m * way.replicas_per_machine,
                        most_replicas: m * way.replicas_per_machine,
                        quotas: quotas(self.world, &s.purchase, kind, region, m, spot)
                            .into_iter()
                            .filter(|(k, _)| allowed(self.spec, self.world, k).is_some())
                            .collect(),
                    };
                    let choice = self.over_day((kind, region), (m, spot), below.as_ref(), transfer, choice);
                    let beaten = found.iter().any(|other| self.beats(other, &choice));
                    if !beaten && self.does(way, m, spot, region, rate, region_load, &network) {
                        found.retain(|other| !self.beats(&choice, other));
                        found.push(choice);
                    }
                }
            }
        }
        found.sort_by_key(|c| c.cost);
        found
    }

    /// Requests/s of a pool of `n` replicas with `share` of the load: of a rate that share; of requests in
    /// flight the rate at which so many are in flight, by the displayed prediction.
    fn peak(&self, way: &Way, n: u32, share: f64) -> f64 {
        let clients = match self.s.traffic.load {
            Load::Rate(rate) => return rate * share,
            Load::Concurrency(clients) => clients * share,
        };
        let in_flight = |rate: f64| {
            way.curve
                .latency(rate / f64::from(n), n, self.s.traffic.arrivals)
                .map_or(f64::INFINITY, |l| rate * l.e2e.mean / 1e3)
        };
        let (mut low, mut high) = (0.0, way.curve.saturation_rate() * f64::from(n));
        for _ in 0..36 {
            let middle = (low + high) / 2.0;
            if in_flight(middle) <= clients { low = middle } else { high = middle }
        }
        low
    }

    fn beats(&self, a: &Choice, b: &Choice) -> bool {
        let counted = self.s.scaling.max_replicas.is_some() || self.s.scaling.min_replicas > 1;
        a.cost <= b.cost
            && (a.bound(self.spec) <= b.bound(self.spec) || limits(self.spec, &self.address).next().is_none())
            && (!counted || (a.replicas, a.most_replicas) == (b.replicas, b.most_replicas))
            && a.quotas.iter().all(|(k, n)| b.quotas.get(k).is_some_and(|other| n <= other))
    }

    /// Whether a pool does its work, whole and after each declared failure.
    #[allow(clippy::too_many_arguments)]
    fn does(
        &self,
        way: &Way,
        m: u32,
        spot: u32,
        region: usize,
        rate: f64,
        region_load: Option<f64>,
        network: &[f64],
    ) -> bool {
        let (survive, during) = (self.s.survive, self.s.during_failure);
        let (per, n) = (way.replicas_per_machine, m * way.replicas_per_machine);
        if !self.carries(way, n, rate, 1.0, network) {
            return false;
        }
        let reduced = rate * during.capacity;
        let left = |lost: u32| n > lost && self.carries(way, n - lost, reduced, during.slo_factor, network);
        if survive.replica > 0 && !left(survive.replica)
            || survive.machine > 0 && !left(survive.machine * per)
        {
            return false;
        }
        if survive.zone > 0 {
            let Some(zones) = self.world.catalog.regions[region].zones else { return false };
            let z = zones.min(m);
            if z <= survive.zone || !left(survive.zone * m.div_ceil(z) * per) {
                return false;
            }
        }
        if let Some(load) = region_load
            && !self.carries(way, n, load, during.slo_factor, network)
        {
            return false;
        }
        if spot > 0 {
            let row = self.world.catalog.offerings.iter().find(|o| {
                o.instance_type == way.type_index && o.region == region && o.purchase == Purchase::Spot
            });
            let p = row.and_then(|o| o.interruption).unwrap_or(0.20);
            let lost = ((p * f64::from(spot) - 1e-9).ceil() as u32).max(1);
            if !left(lost * per) {
                return false;
            }
        }
        true
    }

    fn carries(&self, way: &Way, n: u32, total: f64, factor: f64, network: &[f64]) -> bool {
        let slo = &self.s.slo;
        let Some(l) = way.slowed.latency(total / f64::from(n), n, self.s.traffic.arrivals) else {
            return false;
        };
        network.iter().all(|net| {
            slo.ttft.iter().all(|o| l.ttft.at(o.quantile) * way.g + net <= o.limit_ms * factor)
                && slo.tpot.iter().all(|o| l.tpot.at(o.quantile) <= o.limit_ms * factor)
                && slo.e2e.iter().all(|o| l.e2e.at(o.quantile) * way.g + net <= o.limit_ms * factor)
        })
    }
}
