//! Makes a placement of one workload by hand, so that the checker can be tested without the optimizer:
//! one pool of a stated size, with every figure derived as the decision says. A pool that follows the load of the day is made by
//! looking at every second of it and at every count of machines.

use std::collections::BTreeMap;

use rhumb::catalog::{Evidence, TransferTo};
use rhumb::perf::{self, Configuration, EngineSettings, Layout, RequestShape, ServiceCurve, carbon};
use rhumb::placement::*;
use rhumb::spec::*;
use rhumb_api::ResourceAddr;

/// Where, on what, and how many machines (the second number: spot); of a service none means the least that do.
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
    let service = address.strip_prefix("services.").and_then(|name| spec.services.get(name));
    let tp = service.and_then(|s| s.engine.tensor_parallel_size).unwrap_or(1);
    let layout = Layout { tp, pp: 1, dp: 1, ep: 1 };
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
        .map(|(purchase, count)| fleet(world, w, purchase, count))
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
        vcpus_per_replica: None,
        variant: w.variant.into(),
        quantization: variant.quantization,
        kv_cache: variant.kv_cache,
        layout,
        engine,
        replicas_per_machine: whole / tp,
        machines_per_replica: 1,
        replicas: total * (whole / tp),
        zones: catalog.regions[region].zones.map_or(1, |z| z.min(total)),
        machines,
        shared: None,
        stands_in: None,
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

fn fleet(world: &World, w: &Wanted<'_>, purchase: Purchase, count: u32) -> PoolMachines {
    let catalog = &world.catalog;
    let t = catalog.instance_type(w.cloud, w.instance_type).unwrap();
    let o = catalog.offering(t, catalog.region(w.cloud, w.region).unwrap(), purchase).unwrap();
    PoolMachines {
        purchase,
        count,
        price: o.price,
        list_price: o.list_price,
        provenance: o.provenance.clone(),
        interruption: o.interruption,
        commitment: None,
    }
}

/// The hours of what repeats: of a day, or of a week where its days differ.
fn cycle(daily: &Daily) -> Vec<u32> {
    match &daily.weekend {
        None => daily.shares.to_vec(),
        Some(weekend) => {
            let mut hours = Vec::new();
            for day in ["mo", "tu", "we", "th", "fr", "sa", "su"] {
                hours.extend(if day.starts_with('s') { weekend } else { &daily.shares });
            }
            hours
        }
    }
}

/// The shares of a cycle, each with its seconds and what arrives in them (millionths times seconds), and the switches: every
/// second is looked at, and every one of those ahead of it.
fn day(shares: &[u32], ahead: u32) -> (Vec<(u32, u32, u64)>, Vec<(u32, u32)>) {
    let long = shares.len() * 3600;
    let share = |t: u32| shares[t as usize / 3600 % shares.len()];
    let ready: Vec<u32> = (0..long as u32).map(|t| (t..=t + ahead).map(share).max().unwrap()).collect();
    let mut classes: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    let mut switches = Vec::new();
    for t in 0..long {
        let own = classes.entry(ready[t]).or_default();
        *own = (own.0 + 1, own.1 + u64::from(share(t as u32)));
        if ready[(t + long - 1) % long] != ready[t] {
            switches.push((t as u32, ready[t]));
        }
    }
    (classes.into_iter().map(|(share, (seconds, load))| (share, seconds, load)).collect(), switches)
}

/// A quotient, half up.
fn rounded(amount: u128, of: u128) -> Money {
    Money::from_micros(((2 * amount + of) / (2 * of)) as i64)
}

fn hourly(pool: &Pool) -> Money {
    pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum()
}

fn quotas(world: &World, pool: &Pool) -> Vec<QuotaNeed> {
    let t = world.catalog.instance_type(pool.cloud, &pool.instance_type).unwrap();
    let mut needs: Vec<QuotaNeed> = Vec::new();
    for (i, m) in pool.machines.iter().enumerate() {
        let classes = pool.following.iter().flat_map(|f| &f.classes);
        let most = classes.map(|c| c.machines[i]).max().unwrap_or(m.count);
        for (quota, each) in world.catalog.quotas_for(t, m.purchase) {
            needs.push(QuotaNeed {
                cloud: pool.cloud,
                region: pool.region.clone(),
                code: quota.code.clone(),
                name: quota.name.clone(),
                unit: "vcpus",
                amount: each * f64::from(most),
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
        mix: None,
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
    let one = Wanted { machines: (1, 0), ..*w };
    let (pool, curve, region) = self::pool(world, spec, (&address, &s.model), &shape, &one);
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
    let losses = |total: u32, spot: u32| -> Vec<(&'static str, u32, u32)> {
        let per = pool.replicas_per_machine;
        let mut lost = Vec::new();
        if s.survive.replica > 0 {
            lost.push(("replica", s.survive.replica, s.survive.replica));
        }
        if s.survive.machine > 0 {
            lost.push(("machine", s.survive.machine, s.survive.machine * per));
        }
        if s.survive.zone > 0 {
            let zones = world.catalog.regions[region].zones.map_or(1, |z| z.min(total));
            lost.push(("zone", s.survive.zone, total.div_ceil(zones) * per * s.survive.zone));
        }
        if spot > 0 {
            let band = fleet(world, w, Purchase::Spot, spot).interruption.unwrap_or(0.2);
            let gone = ((band * f64::from(spot)).ceil() as u32).max(1);
            lost.push(("spot", gone, gone * per));
        }
        lost
    };
    let does = |total: u32, spot: u32, least: u32, rate: f64| {
        let n = total * pool.replicas_per_machine;
        let during = s.during_failure;
        let left = |lost: u32| n > lost && holds(rate * during.capacity, n - lost, during.slo_factor);
        n >= least && holds(rate, n, 1.0) && losses(total, spot).iter().all(|(.., lost)| left(*lost))
    };
    let price = |purchase| fleet(world, w, purchase, 1).price.micros();
    // Every count up to one that is surely enough.
    let least = |rate: f64| {
        let mut best: Option<(i64, u32, u32)> = None;
        for total in 1..=64 {
            for spot in 0..=(s.purchase.spot_max_share * f64::from(total) + 1e-9) as u32 {
                let bought = spot == 0 || total - spot >= s.purchase.on_demand_base;
                if bought && does(total, spot, s.scaling.min_replicas, rate) {
                    let dear = if spot > 0 { i64::from(spot) * price(Purchase::Spot) } else { 0 };
                    let cost = i64::from(total - spot) * price(Purchase::OnDemand) + dear;
                    best = best.min(Some((cost, total, spot))).or(Some((cost, total, spot)));
                }
            }
        }
        let (_, total, spot) = best.expect("64 machines are enough");
        (total, spot)
    };
    let machines = if w.machines.0 > 0 { w.machines } else { least(rate) };
    let one = Wanted { machines, ..*w };
    let (mut made, _, _) = self::pool(world, spec, (&address, &s.model), &shape, &one);
    let kind = &world.catalog.instance_types[world.catalog.instance_type(w.cloud, w.instance_type).unwrap()];
    let start_up_s = perf::start_up_s(pool.memory.weights, kind.network_gbps).ceil() as u32;
    let follows = s.scaling.mode == ScalingMode::Horizontal;
    let repeated = s.traffic.daily.as_ref().map_or(vec![1_000_000; 24], cycle);
    let long = repeated.len() as u32 * 3600;
    let (classes, switches) = match follows {
        true => day(&repeated, start_up_s),
        false => {
            let sum: u64 = repeated.iter().map(|s| u64::from(*s)).sum();
            (vec![(1_000_000, long, sum * 3600)], Vec::new())
        }
    };
    let counts: Vec<(u32, u32)> = classes
        .iter()
        .map(|(share, ..)| match share {
            1_000_000 => machines,
            0 if s.scaling.to_zero => (0, 0),
            _ => least(rate * f64::from(*share) / 1e6),
        })
        .collect();
    if follows {
        let used = |of: fn(&(u32, u32)) -> u32| counts.iter().map(of).max().unwrap() > 0;
        let fleets = [
            (Purchase::OnDemand, machines.0 - machines.1, used(|c| c.0 - c.1)),
            (Purchase::Spot, machines.1, used(|c| c.1)),
        ];
        let fleets = fleets.into_iter().filter(|(.., used)| *used);
        made.machines = fleets.map(|(purchase, n, _)| fleet(world, w, purchase, n)).collect();
        let counted = |(total, spot): &(u32, u32)| {
            let of = |m: &PoolMachines| if m.purchase == Purchase::Spot { *spot } else { total - spot };
            made.machines.iter().map(of).collect()
        };
        let class = |((share, seconds, _), of): (&(u32, u32, u64), &(u32, u32))| HourClass {
            share: *share,
            seconds: *seconds,
            replicas: of.0 * pool.replicas_per_machine,
            machines: counted(of),
        };
        let index = |share: u32| classes.iter().position(|c| c.0 == share).unwrap();
        made.following = Some(Following {
            time_zone: s.traffic.daily.as_ref().unwrap().time_zone.clone(),
            start_up_s,
            classes: classes.iter().zip(&counts).map(class).collect(),
            schedule: switches
                .iter()
                .map(|(at_s, share)| Switch { at_s: *at_s, class: index(*share) })
                .collect(),
        });
    }
    let mut pool = made;
    let n = pool.replicas;
    pool.peak_rate = rate;
    pool.capacity = capacity(n, 1.0);
    pool.latency = curve.latency(rate / f64::from(n), n, arrivals);
    let shown = pool.latency.clone().expect("a load below saturation");
    let edge = slowed.latency(rate / f64::from(n), n, arrivals).expect("a load below saturation");
    let required = rate * s.during_failure.capacity;
    let mut failures = Vec::new();
    for (scope, count, lost) in losses(machines.0, machines.1) {
        failures.push(FailureCheck {
            scope,
            count,
            at: pool.addr.to_string(),
            replicas_left: n - lost,
            required_rate: required,
            capacity: capacity(n - lost, s.during_failure.slo_factor),
        });
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
    let of = |(total, spot): &(u32, u32), m: &PoolMachines| {
        u128::from(if m.purchase == Purchase::Spot { *spot } else { total - spot })
    };
    let averaged = |m: &PoolMachines| {
        let day: u128 = classes.iter().zip(&counts).map(|(c, n)| u128::from(c.1) * of(n, m)).sum();
        rounded(m.price.micros() as u128 * day, u128::from(long))
    };
    let fleets = pool.machines.iter();
    let mut lines: Vec<CostLine> =
        fleets.map(|m| line(format!("{}/{}", pool.addr, m.purchase), Some(averaged(m)))).collect();
    // Every origin that is not next to the service is answered over the internet.
    let gib = rate * 3600.0 * s.traffic.output.mean * 250.0 / GIB;
    let internet = world.catalog.transfer_price(region, TransferTo::Internet).map(|p| p.usd_per_gib);
    let responses = |share: u32| internet.map(|p| p.scale(gib * f64::from(share) / 1e6));
    let sent = |(share, _, load): &(u32, u32, u64)| {
        let whole = responses(*share)?.micros() as u128 * u128::from(*load);
        Some(if *share == 0 { Money::ZERO } else { rounded(whole, u128::from(*share) * u128::from(long)) })
    };
    lines.push(line(format!("{address}/transfer/internet"), classes.iter().map(sent).sum()));
    lines.push(line(format!("{address}/load-balancer"), None));
    let sum: Money = lines.iter().filter_map(|l| l.per_hour).sum();
    let at = |(c, n): (&(u32, u32, u64), &(u32, u32)), price: &dyn Fn(&PoolMachines) -> Money| {
        let machines = pool.machines.iter().map(|m| price(m).times(of(n, m) as i64)).sum::<Money>();
        machines + responses(c.0).unwrap_or(Money::ZERO)
    };
    let on_demand = fleet(world, w, Purchase::OnDemand, 1).price;
    let ceiling = classes.iter().zip(&counts).map(|class| at(class, &|_| on_demand)).max().unwrap();
    let cost = Cost {
        expected_per_hour: sum,
        expected_per_month: sum.per_month(),
        peak_per_month: at((classes.last().unwrap(), counts.last().unwrap()), &|m| m.price).per_month(),
        ceiling_per_month: ceiling.per_month(),
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
        training: None,
        pipeline: None,
        federation: None,
    };
    let optimum = run.cost_per_run;
    WorkloadPlacement { run: Some(run), ..finish(world, &address, pool, cost, optimum) }
}

/// What the machines of a placement emit.
fn emissions_of(world: &World, placement: &Placement) -> Emissions {
    let one = |cloud: Cloud, region: &str, kind: &str, month: &dyn Fn(i64) -> i64| {
        let catalog = &world.catalog;
        let region = &catalog.regions[catalog.region(cloud, region).unwrap()];
        let kind = &catalog.instance_types[catalog.instance_type(cloud, kind).unwrap()];
        let accelerator = kind.accelerator.map(|a| &catalog.accelerators[a]);
        let found = carbon::emitter(kind, accelerator, region);
        let mg = found.as_ref().ok().map(|e| e.mg_per_hour);
        Emission {
            mg_per_month: mg.map(month),
            mg_per_hour: mg,
            watts: carbon::watts(kind, accelerator).ok(),
            pue: region.pue.as_ref().map(|p| p.ratio),
            pue_of_region: region.pue.as_ref().is_some_and(|p| p.of_region),
            g_per_kwh: region.grid.as_ref().map(|g| g.g_per_kwh),
            year: region.grid.as_ref().and_then(|g| g.year),
            provenance: region.grid.as_ref().map(|g| g.provenance.clone()),
            unknown: found.err(),
        }
    };
    let mut machines = BTreeMap::new();
    for placed in placement.workloads.values() {
        for pool in placed.pools.iter().filter(|p| p.shared.is_none()) {
            let count: u32 = pool.machines.iter().map(|m| m.count).sum();
            let whole = i64::from(count) * 604_800;
            let classes = pool.following.as_ref().map(|f| &f.classes);
            let seconds = classes.map_or(whole, |classes| {
                let long: u32 = classes.iter().map(|c| c.seconds).sum();
                let class = |c: &HourClass| i64::from(c.seconds) * i64::from(c.machines.iter().sum::<u32>());
                classes.iter().map(class).sum::<i64>() * i64::from(604_800 / long)
            });
            let month = |mg: i64| match &placed.run {
                Some(run) => carbon::of_runs(mg, count, run.hours, run.runs_per_month),
                None => carbon::of_weeks(mg, seconds),
            };
            machines
                .insert(pool.addr.to_string(), one(pool.cloud, &pool.region, &pool.instance_type, &month));
        }
    }
    for fleet in &placement.fleets {
        let month = |mg: i64| carbon::of_weeks(mg, i64::from(fleet.count) * 604_800);
        machines
            .insert(fleet.addr.to_string(), one(fleet.cloud, &fleet.region, &fleet.instance_type, &month));
    }
    Emissions { machines, cap_mg: None }
}

/// A placement of such choices with what its machines emit.
pub fn placement(
    world: &World,
    workloads: BTreeMap<String, WorkloadPlacement>,
    fleets: Vec<SharedFleet>,
    coupling: Option<Coupling>,
) -> Placement {
    let emissions = Emissions::default();
    let chains = Vec::new();
    let commitments = crate::commitments::of(world, &workloads, &fleets);
    let mut placement = Placement {
        divided: None,
        workloads,
        fleets,
        joint_violations: Vec::new(),
        emissions,
        chains,
        kept: None,
        commitments,
        held: Vec::new(),
        savings: Vec::new(),
        coupling,
    };
    placement.emissions = emissions_of(world, &placement);
    placement
}
