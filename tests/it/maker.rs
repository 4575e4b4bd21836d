//! Makes a placement of one workload by hand, so that the checker can be tested without the optimizer:
//! one pool of a stated size, with every figure derived as the decision says.

use std::collections::BTreeMap;

use rhumb::catalog::{Evidence, TransferTo};
use rhumb::perf::{self, Configuration, EngineSettings, Layout, RequestShape, ServiceCurve};
use rhumb::placement::*;
use rhumb::spec::*;
use rhumb_api::ResourceAddr;

/// Where, on what, and how many machines (the second number: spot).
pub struct Wanted<'a> {
    pub cloud: Cloud,
    pub region: &'a str,
    pub instance_type: &'a str,
    pub variant: &'a str,
    pub machines: (u32, u32),
}

const GIB: f64 = 1_073_741_824.0;

/// A pool and its curve; prices from the world.
fn pool(
    world: &World,
    spec: &Spec,
    (address, model): (&str, &str),
    shape: &RequestShape,
    w: &Wanted<'_>,
) -> (Pool, ServiceCurve, usize) {
    let catalog = &world.catalog;
    let t = catalog.instance_type(w.cloud, w.instance_type).unwrap();
    let region = catalog.region(w.cloud, w.region).unwrap();
    let kind = &catalog.instance_types[t];
    let accelerator = &catalog.accelerators[kind.accelerator.unwrap()];
    let variant = &spec.models[model].variants[w.variant];
    let engine = EngineSettings {
        name: EngineName::Vllm,
        version: (0, 17),
        max_num_seqs: 256,
        max_num_batched_tokens: 8192,
        max_model_len: 8192,
        gpu_memory_utilization: 0.9,
    };
    let layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
    let whole = (kind.accelerator_count as u32).max(1);
    let configuration = Configuration {
        arch: &world.archs[model],
        quantization: variant.quantization,
        kv_cache: variant.kv_cache,
        accelerator,
        fraction: kind.accelerator_count.min(1.0),
        layout,
        accelerators_per_node: whole,
        inter_node_bandwidth: None,
        engine,
    };
    let curve = perf::curve(&configuration, shape).unwrap();
    let (total, spot) = w.machines;
    let bought = [(Purchase::OnDemand, total - spot), (Purchase::Spot, spot)];
    let machines = bought
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(purchase, count)| {
            let o = catalog.offering(t, region, purchase).unwrap();
            PoolMachines {
                purchase,
                count,
                price: o.price,
                list_price: o.list_price,
                provenance: o.provenance.clone(),
                interruption: o.interruption,
            }
        })
        .collect();
    let addr = ["aws", w.region, w.instance_type]
        .iter()
        .fold(ResourceAddr::parse(address).unwrap(), |a, s| a.child(s));
    let f = curve.tpot_band.factor(spec.confidence).max(1.0);
    let pool = Pool {
        addr,
        cloud: w.cloud,
        region: w.region.into(),
        instance_type: w.instance_type.into(),
        accelerator: Some(accelerator.id.clone()),
        accelerators_per_machine: kind.accelerator_count,
        variant: w.variant.into(),
        quantization: variant.quantization,
        kv_cache: variant.kv_cache,
        layout,
        engine,
        replicas_per_machine: whole,
        machines_per_replica: 1,
        replicas: total * whole,
        zones: catalog.regions[region].zones.map_or(1, |z| z.min(total)),
        machines,
        following: None,
        peak_rate: 0.0,
        capacity: 0.0,
        latency: None,
        ttft_factor: f * (curve.ttft_band.factor(spec.confidence) / f).max(1.0),
        tpot_factor: f,
        memory: curve.memory,
        evidence: curve.evidence,
        notes: Vec::new(),
    };
    (pool, curve, region)
}

fn hourly(pool: &Pool) -> Money {
    pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum()
}

fn quotas(world: &World, pool: &Pool) -> Vec<QuotaNeed> {
    let t = world.catalog.instance_type(pool.cloud, &pool.instance_type).unwrap();
    let mut needs: Vec<QuotaNeed> = Vec::new();
    for m in &pool.machines {
        for (quota, each) in world.catalog.quotas_for(t, m.purchase) {
            needs.push(QuotaNeed {
                cloud: pool.cloud,
                region: pool.region.clone(),
                code: quota.code.clone(),
                name: quota.name.clone(),
                unit: "vcpus",
                amount: each * f64::from(m.count),
                declared: None,
                default_new_account: quota.default_new_account,
            });
        }
    }
    needs.sort_by(|a, b| a.code.cmp(&b.code));
    needs
}

/// A pool's address below its workload.
fn below(pool: &Pool) -> &str {
    pool.addr.as_str().split_once('/').unwrap().1
}

fn finish(world: &World, address: &str, pool: Pool, cost: Cost, optimum: Money) -> WorkloadPlacement {
    let candidate = CandidateId {
        cloud: pool.cloud,
        region: pool.region.clone(),
        instance_type: pool.instance_type.clone(),
        purchase: Purchase::OnDemand,
        variant: pool.variant.clone(),
        layout: pool.layout,
    };
    let rejection =
        Rejection { constraint: "dearer", reason: "twice the cost".into(), at: None, distance: Some(1.0) };
    WorkloadPlacement {
        address: address.into(),
        quotas: quotas(world, &pool),
        caveats: vec![
            format!("{} may not be there", pool.instance_type),
            format!("{}: no fallback, nothing else was looked at", below(&pool)),
        ],
        fallbacks: vec![Fallbacks { pool: pool.addr.clone(), list: Vec::new() }],
        pools: vec![pool],
        routes: Vec::new(),
        objectives: Vec::new(),
        failures: Vec::new(),
        cost,
        run: None,
        certificate: Certificate {
            family: "one pool".into(),
            candidates: 3,
            rejected: BTreeMap::from([("memory".into(), 1)]),
            bounded: 1,
            evaluated: 1,
            optimum,
            lower_bound: optimum,
            together: false,
        },
        losers: vec![Loser { candidate, machines: Some(9), per_hour: optimum.times(2), rejection }],
        relaxations: Vec::new(),
    }
}

fn line(addr: String, per_hour: Option<Money>) -> CostLine {
    CostLine { what: addr.clone(), addr, per_hour, evidence: Evidence::Listed, provenance: None }
}

/// What the ceiling adds: spot at the on-demand price.
fn dearer(world: &World, pool: &Pool) -> Money {
    let catalog = &world.catalog;
    let t = catalog.instance_type(pool.cloud, &pool.instance_type).unwrap();
    let region = catalog.region(pool.cloud, &pool.region).unwrap();
    let on_demand = catalog.offering(t, region, Purchase::OnDemand).unwrap().price;
    let spot = pool.machines.iter().filter(|m| m.purchase == Purchase::Spot);
    spot.map(|m| (on_demand - m.price).times(i64::from(m.count))).sum()
}

/// A service with a rate in one pool.
pub fn service(spec: &Spec, world: &World, name: &str, w: &Wanted<'_>) -> WorkloadPlacement {
    let s = &spec.services[name];
    let Load::Rate(rate) = s.traffic.load else { panic!("a rate") };
    let address = format!("services.{name}");
    let shape = RequestShape {
        input: s.traffic.input,
        output: s.traffic.output,
        prefix_cached: s.traffic.prefix_cached,
    };
    let (mut pool, curve, region) = pool(world, spec, (&address, &s.model), &shape, w);
    let (f, g) = (pool.tpot_factor, pool.ttft_factor / pool.tpot_factor);
    let slowed = curve.slowed(f);
    let arrivals = s.traffic.arrivals;
    let networks: Vec<(f64, f64)> = s
        .traffic
        .origins
        .iter()
        .map(|o| match world.catalog.round_trip(&o.place, region) {
            _ if o.place == Place::Vpc => (0.0, 0.0),
            trip => trip.map(|t| (t.ms + s.slo.last_mile_ms, t.ms_p90 + s.slo.last_mile_ms)).unwrap(),
        })
        .collect();
    let holds = |total: f64, n: u32, factor: f64| {
        slowed.latency(total / f64::from(n), n, arrivals).is_some_and(|l| {
            networks.iter().all(|(_, net)| {
                s.slo.ttft.iter().all(|o| l.ttft.at(o.quantile) * g + net <= o.limit_ms * factor)
                    && s.slo.tpot.iter().all(|o| l.tpot.at(o.quantile) <= o.limit_ms * factor)
            })
        })
    };
    let capacity = |n: u32, factor: f64| {
        let (mut low, mut high) = (0.0, slowed.saturation_rate() * f64::from(n));
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if holds(middle, n, factor) { low = middle } else { high = middle }
        }
        low
    };
    let n = pool.replicas;
    pool.peak_rate = rate;
    pool.capacity = capacity(n, 1.0);
    pool.latency = curve.latency(rate / f64::from(n), n, arrivals);
    let shown = pool.latency.clone().expect("a load below saturation");
    let edge = slowed.latency(rate / f64::from(n), n, arrivals).expect("a load below saturation");
    let required = rate * s.during_failure.capacity;
    let mut failures = Vec::new();
    let mut fail = |scope: &'static str, count: u32, lost: u32| {
        failures.push(FailureCheck {
            scope,
            count,
            at: pool.addr.to_string(),
            replicas_left: n - lost,
            required_rate: required,
            capacity: capacity(n - lost, s.during_failure.slo_factor),
        });
    };
    let (total, spot) = w.machines;
    if s.survive.replica > 0 {
        fail("replica", s.survive.replica, s.survive.replica);
    }
    if s.survive.machine > 0 {
        fail("machine", s.survive.machine, s.survive.machine * pool.replicas_per_machine);
    }
    if s.survive.zone > 0 {
        fail("zone", s.survive.zone, total.div_ceil(pool.zones) * pool.replicas_per_machine * s.survive.zone);
    }
    if spot > 0 {
        let row = pool.machines.iter().find(|m| m.purchase == Purchase::Spot).unwrap();
        let lost = ((row.interruption.unwrap_or(0.2) * f64::from(spot)).ceil() as u32).max(1);
        fail("spot", lost, lost * pool.replicas_per_machine);
    }
    let mut objectives = Vec::new();
    for (origin, (ms, ms_p90)) in s.traffic.origins.iter().zip(&networks) {
        let mut add = |metric, o: &Objective, shown: f64, edge: f64, network_ms| {
            objectives.push(ObjectiveCheck {
                origin: origin.name.clone(),
                metric,
                quantile: o.quantile,
                limit_ms: o.limit_ms,
                network_ms,
                predicted_ms: shown,
                at_confidence_ms: edge,
                evidence: pool.evidence,
            });
        };
        for o in &s.slo.ttft {
            add(Metric::Ttft, o, shown.ttft.at(o.quantile) + ms, edge.ttft.at(o.quantile) * g + ms_p90, *ms);
        }
        for o in &s.slo.tpot {
            add(Metric::Tpot, o, shown.tpot.at(o.quantile), edge.tpot.at(o.quantile), 0.0);
        }
    }
    let mut lines: Vec<CostLine> = pool
        .machines
        .iter()
        .map(|m| line(format!("{}/{}", pool.addr, m.purchase), Some(m.price.times(i64::from(m.count)))))
        .collect();
    let bytes = rate * 3600.0 * s.traffic.output.mean * 250.0;
    let price = world.catalog.transfer_price(region, TransferTo::Internet).map(|p| p.usd_per_gib);
    lines.push(line(format!("{address}/transfer/internet"), price.map(|p| p.scale(bytes / GIB))));
    lines.push(line(format!("{address}/load-balancer"), None));
    let sum: Money = lines.iter().filter_map(|l| l.per_hour).sum();
    let cost = Cost {
        expected_per_hour: sum,
        expected_per_month: sum.per_month(),
        peak_per_month: sum.per_month(),
        ceiling_per_month: (sum + dearer(world, &pool)).per_month(),
        incomplete: true,
        lines,
    };
    let mut placed = finish(world, &address, pool, cost, sum);
    placed.failures = failures;
    placed.objectives = objectives;
    placed.routes = s
        .traffic
        .origins
        .iter()
        .zip(networks)
        .map(|(o, (ms, _))| Route {
            origin: o.name.clone(),
            to: vec![(0, 1.0)],
            network_ms: vec![ms],
            evidence: Evidence::Modelled,
        })
        .collect();
    placed
}

/// A batch in one pool.
pub fn batch(spec: &Spec, world: &World, name: &str, w: &Wanted<'_>) -> WorkloadPlacement {
    let b = &spec.batches[name];
    let address = format!("batches.{name}");
    let shape = RequestShape { input: b.input, output: b.output, prefix_cached: 0.0 };
    let (pool, curve, _) = pool(world, spec, (&address, &b.model), &shape, w);
    let kind = &world.catalog.instance_types[world.catalog.instance_type(w.cloud, w.instance_type).unwrap()];
    let start = perf::start_up_s(pool.memory.weights, kind.network_gbps);
    let rate = curve.batch_rate() / pool.tpot_factor * f64::from(pool.replicas);
    let seconds = if w.machines.1 > 0 { 2.0 * start + 1.1 * b.items / rate } else { start + b.items / rate };
    let hours = seconds / 3600.0;
    let runs = b.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    let month = |m: Money| m.scale(hours * runs);
    let lines: Vec<CostLine> = pool
        .machines
        .iter()
        .map(|m| {
            let per_hour = m.price.times(i64::from(m.count)).scale(hours * runs / 730.0);
            line(format!("{}/{}", pool.addr, m.purchase), Some(per_hour))
        })
        .collect();
    let cost = Cost {
        expected_per_hour: hourly(&pool).scale(hours * runs / 730.0),
        expected_per_month: month(hourly(&pool)),
        peak_per_month: month(hourly(&pool)),
        ceiling_per_month: month(hourly(&pool) + dearer(world, &pool)),
        incomplete: false,
        lines,
    };
    let run = BatchRun {
        hours,
        deadline_hours: b.deadline_s / 3600.0,
        items_per_s: rate,
        runs_per_month: runs,
        cost_per_run: hourly(&pool).scale(hours),
    };
    let optimum = run.cost_per_run;
    WorkloadPlacement { run: Some(run), ..finish(world, &address, pool, cost, optimum) }
}
