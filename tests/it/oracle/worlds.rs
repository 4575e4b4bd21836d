//! Small random worlds and specs from a seed: few regions and types, random prices and rules.

mod held;

use std::collections::BTreeMap;

use rhumb::catalog::{Catalog, ModelKind, Offered, Offering};
use rhumb::diagnostic::Pointer;
use rhumb::placement::World;
use rhumb::spec::*;

pub use held::{hold, save};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_4E5B)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A number in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with a probability of `percent`.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    /// `n` different ones of `items`, in their order.
    pub fn some<T: Clone>(&mut self, items: &[T], n: usize) -> Vec<T> {
        let mut left: Vec<usize> = (0..items.len()).collect();
        while left.len() > n {
            let i = self.below(left.len());
            left.remove(i);
        }
        left.into_iter().map(|i| items[i].clone()).collect()
    }
}

fn at() -> Pointer {
    Pointer::root()
}

/// As many replicas as the peak needs, whatever the hour.
pub fn fixed() -> Scaling {
    let mode = ScalingMode::Fixed;
    Scaling { mode, min_replicas: 1, max_replicas: None, to_zero: false, changes: None, vertical: false }
}

/// A world and a spec with one workload.
pub fn case(seed: u64, base: &Catalog) -> (Spec, World) {
    let mut r = Random::new(seed);
    let (world, types, regions) = world(&mut r, base);
    let mut spec = spec(&mut r, &world, &types, &regions);
    spec.services.values_mut().for_each(|service| day(&mut r, service));
    (spec, world)
}

/// Gives some services a day of two to four levels, and lets most of these follow it.
fn day(r: &mut Random, service: &mut Service) {
    if !r.chance(40) {
        return;
    }
    let levels: Vec<u32> =
        (0..1 + r.below(3)).map(|_| r.pick(&[0, 50_000, 200_000, 333_333, 600_000, 900_000])).collect();
    let mut shares = [0; 24];
    let mut level = levels[0];
    for share in &mut shares {
        if r.chance(35) {
            level = r.pick(&levels);
        }
        *share = level;
    }
    let first = r.below(24);
    for hour in 0..1 + r.below(6) {
        shares[(first + hour) % 24] = 1_000_000;
    }
    let weekend = super::weeks::weekend(&shares);
    service.scaling.to_zero = weekend.rests;
    service.traffic.daily =
        Some(Daily { name: None, shares, weekend: weekend.shares, time_zone: "UTC".into(), at: at() });
    if r.chance(75) {
        service.scaling.mode = ScalingMode::Horizontal;
        service.purchase.options = vec![Purchase::OnDemand];
    }
}

/// A world and a spec with two or three services or batches that share quotas and, in some, a budget. `tight` says whether the shared limits
/// are likely to bind.
pub fn together(seed: u64, base: &Catalog) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x70_6765_7468_6572);
    let (world, types, regions) = world(&mut r, base);
    let mut all = spec(&mut r, &world, &types, &regions);
    all.batches.clear();
    all.services.clear();
    all.budget = Budget {
        binds: r.pick(&[BudgetBinds::Expected, BudgetBinds::PeakMonth, BudgetBinds::Ceiling]),
        ..Budget::default()
    };
    all.models.values_mut().for_each(|m| m.quality = None);
    for i in 0..2 + r.below(2) {
        let mut one = spec(&mut r, &world, &types, &regions);
        if let Some(mut batch) = one.batches.remove("b") {
            batch.name = format!("b{i}");
            all.batches.insert(batch.name.clone(), batch);
        }
        let Some(mut service) = one.services.remove("s") else { continue };
        // One block in one region each: what is tested is what they share.
        service.traffic.origins.truncate(1);
        service.traffic.origins[0].share = 1.0;
        service.survive.region = 0;
        service.placement.spread_regions = 1;
        service.scaling = fixed();
        service.name = format!("s{i}");
        day(&mut r, &mut service);
        all.services.insert(service.name.clone(), service);
    }
    all.providers.clear();
    for cloud in [Cloud::Aws, Cloud::Azure, Cloud::Gcp] {
        let mut quotas: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        for kind in types.iter().filter(|t| world.catalog.instance_types[**t].cloud == cloud) {
            for purchase in [Purchase::OnDemand, Purchase::Spot] {
                for (quota, each) in world.catalog.quotas_for(*kind, purchase) {
                    for region in
                        regions.iter().map(|i| &world.catalog.regions[*i]).filter(|x| x.cloud == cloud)
                    {
                        if !r.chance(75) {
                            continue;
                        }
                        let place = if quota.scope == "global" { "global".into() } else { region.id.clone() };
                        let limit = (each * r.range(1.0, 9.0)).floor();
                        quotas.entry(place).or_default().insert(quota.code.clone(), limit);
                    }
                }
            }
        }
        if !quotas.is_empty() {
            all.providers.insert(cloud, ProviderSettings { account: None, discount: 0.0, quotas, at: at() });
        }
    }
    if r.chance(40) {
        let limit = BudgetLimit { limit: Money::from_micros(r.range(4e9, 40e9) as i64), at: at() };
        all.budget.limits.insert(BudgetScope::All, limit);
    }
    (all, world)
}

/// The same with services that mostly share machines, and as little to do that several fit on one.
pub fn sharing(seed: u64, base: &Catalog) -> (Spec, World) {
    let (mut spec, world) = together(seed, base);
    let mut r = Random::new(seed ^ 0x0073_6861_7265);
    spec.batches.clear();
    for service in spec.services.values_mut() {
        service.scaling = fixed();
        service.shares = r.chance(85);
        let less = r.pick(&[0.02, 0.1, 0.3, 1.0]);
        service.traffic.load = match service.traffic.load {
            Load::Rate(rate) => Load::Rate(rate * less),
            Load::Concurrency(clients) => Load::Concurrency((clients * less).ceil()),
        };
    }
    (spec, world)
}

/// Regions that the worlds are made of, by cloud.
const REGIONS: &[(Cloud, &str)] = &[
    (Cloud::Aws, "eu-west-1"),
    (Cloud::Aws, "us-east-1"),
    (Cloud::Aws, "ap-northeast-1"),
    (Cloud::Azure, "westeurope"),
    (Cloud::Azure, "eastus"),
    (Cloud::Gcp, "europe-west4"),
    (Cloud::Gcp, "us-central1"),
    (Cloud::Gcp, "asia-southeast1"),
];

fn world(r: &mut Random, base: &Catalog) -> (World, Vec<usize>, Vec<usize>) {
    let mut catalog = base.clone();
    let known: Vec<usize> = REGIONS.iter().filter_map(|(cloud, id)| catalog.region(*cloud, id)).collect();
    assert!(known.len() >= 6, "the worlds' regions must be in the catalogue");
    let n = 2 + r.below(3);
    let regions = r.some(&known, n);
    // Types on which an 8B model can run, without a fabric between machines.
    let fit: Vec<usize> = (0..catalog.instance_types.len())
        .filter(|i| {
            let t = &catalog.instance_types[*i];
            let a = t.accelerator.map(|a| &catalog.accelerators[a]);
            t.rdma.is_none()
                && [1.0, 2.0, 4.0].contains(&t.accelerator_count)
                && a.is_some_and(|a| a.vendor == "nvidia" && a.perf_id.is_some() && a.memory_gib >= 15.0)
                && regions.iter().any(|region| catalog.regions[*region].cloud == t.cloud)
        })
        .collect();
    let n = 3 + r.below(4);
    let types = r.some(&fit, n);
    let provenance = base.offerings[0].provenance.clone();
    let mut offerings = Vec::new();
    for t in &types {
        let kind = &catalog.instance_types[*t];
        let each = r.range(0.4, 6.0);
        for region in &regions {
            if catalog.regions[*region].cloud != kind.cloud || !r.chance(85) {
                continue;
            }
            let micros = (each * kind.accelerator_count * r.range(0.8, 1.3) * 1e4).round() as i64 * 100;
            let mut offer = |purchase: Purchase, micros: i64, interruption: Option<f64>| {
                offerings.push(Offering {
                    instance_type: *t,
                    region: *region,
                    zone: None,
                    purchase,
                    price: Money::from_micros(micros),
                    list_price: Money::from_micros(micros),
                    offered: if micros % 3 == 0 { Offered::Unknown } else { Offered::Yes },
                    interruption,
                    provenance: provenance.clone(),
                    held: None,
                });
            };
            offer(Purchase::OnDemand, micros, None);
            if r.chance(70) {
                let interruption = r.pick(&[None, Some(0.05), Some(0.10), Some(0.20), Some(0.40)]);
                offer(Purchase::Spot, (micros as f64 * r.range(0.25, 0.9)).round() as i64, interruption);
            }
            if r.chance(40) {
                offer(Purchase::Reserved1y, (micros as f64 * r.range(0.5, 1.1)).round() as i64, None);
            }
        }
    }
    offerings.sort_by_key(|o: &Offering| (o.instance_type, o.region, o.purchase));
    catalog.offerings = offerings;
    let models: Vec<_> = catalog
        .models
        .iter()
        .filter(|m| m.kind == ModelKind::Dense && (1e9..16e9).contains(&m.params) && m.max_context >= 4096)
        .cloned()
        .collect();
    let arch = r.pick(&models);
    let archs = BTreeMap::from([("m".to_owned(), arch)]);
    let calibration = Default::default();
    (
        World {
            catalog,
            archs,
            calibration,
            today: "2026-11-25".into(),
            replay: 0,
            running: Default::default(),
        },
        types,
        regions,
    )
}

fn spec(r: &mut Random, world: &World, types: &[usize], regions: &[usize]) -> Spec {
    let arch = &world.archs["m"];
    let mut variants = BTreeMap::new();
    let mut add = |name: &str, quantization: Quantization, kv_cache: KvCacheDtype| {
        let variant = Variant { name: name.into(), quantization, kv_cache, source: None, at: at() };
        variants.insert(name.to_owned(), variant);
    };
    add("native", Quantization::Native, KvCacheDtype::Auto);
    if r.chance(50) {
        add("fp8", Quantization::Fp8, r.pick(&[KvCacheDtype::Auto, KvCacheDtype::Fp8]));
    }
    if r.chance(30) {
        add("int4", Quantization::Int4, KvCacheDtype::Auto);
    }
    let quality = r.chance(40).then(|| QualityFloor {
        keep: r.range(0.95, 1.0),
        benchmark: "mmlu".into(),
        measured: if r.chance(60) {
            BTreeMap::from([("fp8".into(), r.range(0.95, 1.0))])
        } else {
            BTreeMap::new()
        },
        at: at(),
    });
    let model = Model {
        name: "m".into(),
        source: ModelSource::Known { written: arch.id.clone(), id: arch.id.clone() },
        revision: None,
        artifacts_at: None,
        variants,
        quality,
        adapters: None,
        at: at(),
    };
    let rules = rules(r, world, types, regions);
    let purchase = PurchaseRules {
        options: if r.chance(30) {
            vec![Purchase::OnDemand, Purchase::Reserved1y]
        } else {
            vec![Purchase::OnDemand]
        },
        spot_max_share: r.pick(&[0.0, 0.0, 0.5, 0.29, 0.7, 1.0]),
        on_demand_base: r.pick(&[0, 0, 1, 2]),
        held: true,
        at: at(),
    };
    let engine = Engine {
        name: EngineName::Vllm,
        version: Some("0.17".into()),
        max_model_len: Some(4096),
        max_num_seqs: Some(r.pick(&[32, 128, 256])),
        max_num_batched_tokens: Some(8192),
        tensor_parallel_size: r.pick(&[None, Some(1), Some(2)]),
        pipeline_parallel_size: Some(1),
        data_parallel_size: Some(1),
        enable_expert_parallel: None,
        gpu_memory_utilization: Some(0.9),
        at: at(),
    };
    let (mut services, mut batches) = (BTreeMap::new(), BTreeMap::new());
    if r.chance(85) {
        services.insert("s".to_owned(), service(r, rules, purchase, engine, regions, world));
    } else {
        batches.insert("b".to_owned(), batch(r, rules, purchase, engine));
    }
    let address = if services.is_empty() { "batches.b" } else { "services.s" };
    let mut budget = Budget {
        binds: r.pick(&[BudgetBinds::Expected, BudgetBinds::PeakMonth, BudgetBinds::Ceiling]),
        ..Budget::default()
    };
    if r.chance(25) {
        let limit = BudgetLimit { limit: Money::from_micros(r.range(1e9, 12e9) as i64), at: at() };
        let own = BudgetScope::Workload(address.to_owned());
        budget.limits.insert(if r.chance(50) { own } else { BudgetScope::All }, limit);
    }
    Spec {
        pipelines: BTreeMap::new(),
        profiled: BTreeMap::new(),
        federations: BTreeMap::new(),
        sites: BTreeMap::new(),
        held: BTreeMap::new(),
        savings: BTreeMap::new(),
        rollouts: BTreeMap::new(),
        name: "world".into(),
        labels: BTreeMap::new(),
        models: BTreeMap::from([("m".to_owned(), model)]),
        services,
        chains: BTreeMap::new(),
        batches,
        trainings: BTreeMap::new(),
        budget,
        stability: None,
        objective: Goal::Cost,
        confidence: r.pick(&[0.5, 0.8, 0.9]),
        providers: providers(r, world, types, regions),
        catalog_files: Vec::new(),
        calibration: None,
        state: StateSettings { path: "state.json".into(), remote: None },
    }
}

fn rules(r: &mut Random, world: &World, types: &[usize], regions: &[usize]) -> PlacementRules {
    let catalog = &world.catalog;
    let region = &catalog.regions[r.pick(regions)];
    let kind = &catalog.instance_types[r.pick(types)];
    let accelerator = kind.accelerator.map(|a| catalog.accelerators[a].id.clone()).unwrap_or_default();
    let mut rules = PlacementRules { spread_regions: 1, at: at(), ..PlacementRules::default() };
    match r.below(12) {
        0 => rules.clouds = AllowDeny::Only(vec![region.cloud]),
        1 => rules.clouds = AllowDeny::Not(vec![region.cloud]),
        2 => rules.regions = AllowDeny::Only(vec![region.id.clone()]),
        3 => rules.regions = AllowDeny::Not(vec![format!("{}/{}", region.cloud.as_str(), region.id)]),
        4 => rules.accelerators = AllowDeny::Not(vec![accelerator]),
        5 => rules.instance_types = AllowDeny::Not(vec![kind.name.clone()]),
        6 => rules.residency = vec![r.pick(&["eu", "us", "jp"]).to_owned()],
        7 => rules.residency = vec![region.country.to_lowercase()],
        8 => rules.spread_regions = 2,
        _ => {}
    }
    rules
}

fn providers(
    r: &mut Random,
    world: &World,
    types: &[usize],
    regions: &[usize],
) -> BTreeMap<Cloud, ProviderSettings> {
    let mut providers = BTreeMap::new();
    if !r.chance(25) {
        return providers;
    }
    let kind = r.pick(types);
    let cloud = world.catalog.instance_types[kind].cloud;
    let mut quotas: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for purchase in [Purchase::OnDemand, Purchase::Spot] {
        for (quota, each) in world.catalog.quotas_for(kind, purchase) {
            if quota.scope == "global" {
                quotas.entry("global".into()).or_default().insert(quota.code.clone(), 3.0 * each);
                continue;
            }
            for region in
                regions.iter().map(|i| &world.catalog.regions[*i]).filter(|region| region.cloud == cloud)
            {
                let limit = (each * r.range(0.0, 6.0)).floor();
                quotas.entry(region.id.clone()).or_default().insert(quota.code.clone(), limit);
            }
        }
    }
    providers.insert(cloud, ProviderSettings { account: None, discount: 0.0, quotas, at: at() });
    providers
}

fn lengths(r: &mut Random, low: f64, high: f64) -> Lengths {
    let mean = r.range(low, high).round();
    if r.chance(30) {
        return Lengths { mean, cv2: 0.0, p95: mean, max: mean };
    }
    Lengths { mean, cv2: r.range(0.2, 1.2), p95: mean * 2.6, max: (mean * 4.0).min(1900.0) }
}

fn objective(quantile: Option<f64>, limit_ms: f64) -> Vec<Objective> {
    vec![Objective { quantile, limit_ms, at: at() }]
}

fn service(
    r: &mut Random,
    placement: PlacementRules,
    purchase: PurchaseRules,
    engine: Engine,
    regions: &[usize],
    world: &World,
) -> Service {
    let quantile = r.pick(&[None, Some(0.5), Some(0.95), Some(0.99)]);
    let max_replicas = r.chance(15).then(|| 1 + r.below(8) as u32);
    let mut slo = Slo {
        ttft: Vec::new(),
        tpot: Vec::new(),
        e2e: Vec::new(),
        measured_at: r.pick(&[MeasuredAt::Client, MeasuredAt::Client, MeasuredAt::Gateway]),
        last_mile_ms: r.pick(&[0.0, 20.0]),
        connections: r.pick(&[Connections::Warm, Connections::New]),
        at: at(),
    };
    if r.chance(80) {
        slo.ttft = objective(quantile, r.range(400.0, 4000.0).round());
    }
    if r.chance(80) {
        slo.tpot = objective(r.pick(&[None, Some(0.95)]), r.range(30.0, 200.0).round());
    }
    if r.chance(30) {
        slo.e2e = objective(Some(0.95), r.range(6e3, 40e3).round());
    }
    let load = if r.chance(30) {
        Load::Concurrency(r.range(2.0, 60.0).round())
    } else {
        Load::Rate(r.range(0.2, 12.0))
    };
    let mut survive = Survive::default();
    if matches!(load, Load::Concurrency(_)) && r.chance(30) {
        // Regions whose pools are unlike are the hard case of a load in flight.
        survive.region = 1;
    }
    match r.below(10) {
        0 | 1 => survive.replica = 1,
        2 => survive.machine = 1,
        3 => survive.zone = 1,
        4 => survive.region = 1,
        5 => survive = Survive { replica: 1, machine: 0, zone: 1, region: 0, wan: 0 },
        _ => {}
    }
    Service {
        name: "s".into(),
        model: "m".into(),
        labels: BTreeMap::new(),
        use_case: None,
        traffic: Traffic {
            usual: load.clone(),
            load,
            seasons: Vec::new(),
            trace: None,
            recorded: None,
            sessions: None,
            input: lengths(r, 100.0, 900.0),
            output: lengths(r, 40.0, 400.0),
            prefix_cached: r.pick(&[0.0, 0.3]),
            arrivals: r.pick(&[
                Arrivals::Poisson,
                Arrivals::Poisson,
                Arrivals::Constant,
                Arrivals::Bursty { cv2: 3.0 },
            ]),
            daily: None,
            divide_at: None,
            origins: origins(r, regions, world),
            at: at(),
        },
        slo,
        survive,
        during_failure: DuringFailure {
            capacity: r.pick(&[1.0, 1.0, 0.5]),
            slo_factor: r.pick(&[1.0, 1.0, 2.0]),
        },
        degrade: None,
        placement,
        purchase,
        scaling: Scaling {
            mode: ScalingMode::Fixed,
            min_replicas: r.pick(&[1, 1, 1, 2, 5]),
            max_replicas,
            to_zero: false,
            changes: None,
            vertical: false,
        },
        engine,
        endpoint: Endpoint {
            exposure: Exposure::Private,
            tls_certificate: None,
            api_keys: None,
            prevent_destroy: false,
            at: at(),
        },
        shares: false,
        part_of: None,
        at: at(),
    }
}

fn origins(r: &mut Random, regions: &[usize], world: &World) -> Vec<Origin> {
    let n = 1 + r.below(3);
    let mut left = 1.0;
    (0..n)
        .map(|i| {
            let share = if i + 1 == n { left } else { (left * r.range(0.2, 0.8) * 100.0).round() / 100.0 };
            left -= share;
            let region = &world.catalog.regions[r.pick(regions)];
            let place = match r.below(4) {
                0 => Place::Vpc,
                1 => Place::Region(RegionRef { cloud: region.cloud, region: region.id.clone() }),
                2 => Place::Coordinates { latitude: r.range(-40.0, 60.0), longitude: r.range(-120.0, 140.0) },
                _ => Place::Country(r.pick(&["DE", "US", "JP", "IE"]).to_owned()),
            };
            let residency = if r.chance(15) { vec![r.pick(&["eu", "us"]).to_owned()] } else { Vec::new() };
            Origin { name: format!("o{i}"), place, share, residency, at: at() }
        })
        .collect()
}

fn batch(r: &mut Random, placement: PlacementRules, purchase: PurchaseRules, engine: Engine) -> Batch {
    let runs = r.pick(&[None, Some(30.416_666_666_666_668), Some(4.0)]);
    Batch {
        name: "b".into(),
        model: "m".into(),
        labels: BTreeMap::new(),
        items: r.range(1e4, 2e6).round(),
        input: lengths(r, 100.0, 900.0),
        output: lengths(r, 10.0, 200.0),
        schedule: runs.map(|runs_per_month| Schedule { cron: "0 1 * * *".into(), runs_per_month }),
        deadline_s: r.range(1800.0, 12.0 * 3600.0).round(),
        placement: PlacementRules { spread_regions: 1, ..placement },
        purchase,
        engine,
        after: Vec::new(),
        at: at(),
    }
}
