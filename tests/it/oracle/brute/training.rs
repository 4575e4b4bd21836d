//! Every run of a training, by `src/decisions/0013-trainings.md`.

use std::collections::BTreeMap;

use rhumb::catalog::InstanceType;
use rhumb::perf::training::{self, Pace, Run};

use super::*;

const GIB: f64 = 1_073_741_824.0;

/// The least month of a training's runs in micro-dollars; `None` if nothing ends in time.
pub fn training(spec: &Spec, world: &World, name: &str) -> Option<i64> {
    let address = format!("trainings.{name}");
    let mut best: Option<i64> = None;
    each(spec, world, name, &mut |month| {
        if limits(spec, &address).all(|l| month.bound(spec) <= l + 1) {
            best = best.into_iter().chain([month.cost]).min();
        }
    });
    best
}

/// Tokens a second at confidence of the fastest way on `n` machines of a type that fits.
fn fastest(spec: &Spec, world: &World, t: &Training, kind: &InstanceType, n: u32) -> Option<f64> {
    let g = kind.accelerator_count as u32;
    let gbps = match (kind.rdma_gbps, kind.network_gbps) {
        (Some(rdma), _) if rdma > 0.0 => Some(rdma),
        (_, Some(network)) if network > 0.0 => Some(network),
        _ => None,
    };
    if n > 1 && gbps.is_none() {
        return None;
    }
    let numbers: Vec<u32> = if n == 1 { (1..=g).collect() } else { vec![n * g] };
    let mut fastest: Option<f64> = None;
    for d in numbers.into_iter().filter(|d| t.batch_size.is_multiple_of(*d)) {
        for micro_batch in 1..=t.batch_size / d {
            let stated = t.micro_batch.map_or(micro_batch <= 1024, |m| m == micro_batch);
            if !stated || !(t.batch_size / d).is_multiple_of(micro_batch) {
                continue;
            }
            for sharding in [Sharding::None, Sharding::Gradients, Sharding::Full] {
                for checkpointing in [Checkpointing::None, Checkpointing::Full] {
                    let asked = t.sharding.is_none_or(|s| s == sharding)
                        && t.checkpointing.is_none_or(|c| c == checkpointing);
                    let run = Run {
                        arch: &world.archs[&t.model],
                        accelerator: &world.catalog.accelerators[kind.accelerator?],
                        accelerators: d,
                        accelerators_per_node: g,
                        network: gbps.map(|gbps| gbps * 1e9 / 8.0 / f64::from(g)),
                        method: t.method,
                        framework: t.framework,
                        precision: t.precision,
                        sequence: t.sequence_tokens,
                        micro_batch,
                        sharding,
                        checkpointing,
                    };
                    if !asked {
                        continue;
                    }
                    if let Ok(found) = training::predict(&run) {
                        let edge = found.band.factor(1.0 - spec.confidence).min(1.0);
                        let rate = (found.tokens_per_s * edge * 1000.0).round() / 1000.0;
                        fastest = Some(fastest.map_or(rate, |f: f64| f.max(rate)));
                    }
                }
            }
        }
    }
    fastest
}

/// Visits every run that ends in time within the quotas: what a month of them costs and takes.
pub fn each(spec: &Spec, world: &World, name: &str, visit: &mut dyn FnMut(Choice)) {
    let t = &spec.trainings[name];
    let (catalog, params) = (&world.catalog, world.archs[&t.model].params);
    let trained = training::checkpoint_bytes(&world.archs[&t.model], t.method);
    let artifacts = spec.models[&t.model].artifacts_at.as_ref();
    let runs = t.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    let steps = (t.dataset_tokens * t.epochs / f64::from(t.batch_size * t.sequence_tokens)).ceil().max(1.0);
    let tokens = steps * f64::from(t.batch_size * t.sequence_tokens);
    let mut types: Vec<usize> = catalog.offerings.iter().map(|o| o.instance_type).collect();
    types.sort_unstable();
    types.dedup();
    for index in types {
        let kind = &catalog.instance_types[index];
        let id = kind.accelerator.map(|a| &catalog.accelerators[a].id);
        if !id.is_some_and(|id| t.placement.accelerators.allows(id))
            || !t.placement.instance_types.allows(&kind.name)
            || kind.accelerator_count.fract() != 0.0
        {
            continue;
        }
        let g = kind.accelerator_count as u32;
        let storage = (kind.network_gbps.filter(|g| *g > 0.0).unwrap_or(10.0) * 1e8).min(1e9);
        for n in (1..=64).filter(|n| *n == 1 || t.batch_size.is_multiple_of(n * g)) {
            let Some(rate) = fastest(spec, world, t, kind, n) else { continue };
            let dataset = t.dataset.as_ref().map_or(0.0, |d| d.gib * GIB);
            let all = storage * f64::from(n);
            for region in regions(world, &t.placement) {
                if catalog.regions[region].cloud != kind.cloud {
                    continue;
                }
                let buys = held::buys((spec, world), &t.purchase, (index, region), n);
                for buy in buys.into_iter().filter(|buy| buy.held == 0 || buy.held == n) {
                    let (hourly, on_demand, s) = (buy.hourly, buy.on_demand, buy.lost);
                    let row = catalog
                        .offerings
                        .iter()
                        .find(|o| (o.instance_type, o.region, o.purchase) == (index, region, Purchase::Spot));
                    let p = row.and_then(|o| o.interruption).unwrap_or(0.20);
                    let pace = Pace {
                        work_s: tokens / rate,
                        start_s: perf::start_up_s(2.0 * params, kind.network_gbps) + dataset / all,
                        checkpoint_s: trained / all,
                        interruptions_per_hour: f64::from(n * g) * 419.0 / (54.0 * 24.0 * 16384.0)
                            - f64::from(s) * (1.0 - p).ln() / 730.0,
                        every_s: t.checkpoint_every_s,
                    };
                    let Some(d) = pace.duration(spec.confidence).filter(|d| d.late_s <= t.deadline_s) else {
                        continue;
                    };
                    let brought = |from: &RegionRef, gib: f64| {
                        let here = &catalog.regions[region];
                        let to = RegionRef { cloud: here.cloud, region: here.id.clone() };
                        let from = catalog.region(from.cloud, &from.region).unwrap();
                        let price = catalog.transfer_price(from, TransferTo::Region(&to));
                        price.map_or(0.0, |p| p.usd_per_gib.micros() as f64 * gib)
                    };
                    let priced = |from: &RegionRef| {
                        let here = &catalog.regions[region];
                        let to = RegionRef { cloud: here.cloud, region: here.id.clone() };
                        let from = catalog.region(from.cloud, &from.region).unwrap();
                        catalog.transfer_price(from, TransferTo::Region(&to)).is_some()
                    };
                    // What nobody knows the price of is not bought.
                    if t.dataset.as_ref().is_some_and(|d| d.gib > 0.0 && !priced(&d.from)) {
                        continue;
                    }
                    let copies = artifacts.map_or(0.0, |at| brought(at, 2.0 * params / GIB * f64::from(n)));
                    let data = t.dataset.as_ref().map_or(0.0, |d| brought(&d.from, d.gib));
                    let hours = d.expected_s / 3600.0;
                    let month = |price: i64| ((price as f64 * hours + data) * runs + copies).round() as i64;
                    visit(Choice {
                        cost: month(hourly),
                        ceiling: month(on_demand),
                        peak: month(hourly),
                        replicas: 1,
                        most_replicas: 1,
                        quotas: buy.quotas,
                    });
                }
            }
        }
    }
}

/// Runs that no other one beats in cost, ceiling and all quotas.
pub fn options(spec: &Spec, world: &World, name: &str) -> Vec<Choice> {
    let mut all: Vec<Choice> = Vec::new();
    each(spec, world, name, &mut |month| {
        let less = |a: &BTreeMap<(usize, String), f64>, b: &BTreeMap<(usize, String), f64>| {
            a.iter().all(|(key, n)| *n <= 0.0 || b.get(key).is_some_and(|m| n <= m))
        };
        let beats =
            |a: &Choice, b: &Choice| a.cost <= b.cost && a.ceiling <= b.ceiling && less(&a.quotas, &b.quotas);
        if !all.iter().any(|other| beats(other, &month)) {
            all.retain(|other| !beats(&month, other));
            all.push(month);
        }
    });
    all
}
