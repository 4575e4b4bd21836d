//! Pipelines by enumeration: random specs, and every choice for them by formulas of their own.

use std::collections::BTreeMap;

use rhumb::catalog::{InstanceType, TransferTo};
use rhumb::perf;
use rhumb::placement::World;
use rhumb::spec::{Pipeline, Processors, RegionRef, Spec};
use rhumb_api::{Cloud, Purchase};

/// A month of one choice: micro-dollars as expected and at the ceiling, vCPUs of on-demand machines in a region, and machines.
pub struct Way {
    pub month: i64,
    pub ceiling: i64,
    pub vcpus: (usize, f64),
    /// Machines among them that are held.
    pub held: (Site, u32),
}

/// Instance type and region.
pub type Site = (usize, usize);

/// How many machines are held there, to the end of the month at least.
pub fn stock(spec: &Spec, world: &World, (t, r): Site) -> u32 {
    let (kind, region) = (&world.catalog.instance_types[t], &world.catalog.regions[r]);
    let here = |h: &&rhumb::spec::Held| (&h.instance_type, &h.region) == (&kind.name, &region.id);
    spec.held.values().filter(here).map(|h| h.count).sum()
}

/// Spot machines and held ones among so many: never both.
pub fn mixes(spots: u32, held: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..=spots).map(|n| (n, 0)).chain((1..=held).map(|n| (0, n)))
}

/// Every choice that ends in time, with formulas of its own: type, region, machines, spot.
fn options(spec: &Spec, world: &World, p: &Pipeline) -> Vec<Way> {
    let catalog = &world.catalog;
    let runs = p.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    let mut found = Vec::new();
    let mut sites: Vec<(usize, usize)> =
        catalog.offerings.iter().map(|o| (o.instance_type, o.region)).collect();
    sites.dedup();
    for (t, r) in sites {
        let kind: &InstanceType = &catalog.instance_types[t];
        let price = |purchase| {
            let of =
                |o: &&rhumb::catalog::Offering| (o.instance_type, o.region, o.purchase) == (t, r, purchase);
            catalog.offerings.iter().find(of).map(|o| o.price.micros())
        };
        if kind.accelerator_count > 0.0 {
            continue;
        }
        let name = format!("{}/{}", kind.cloud, kind.name);
        let rate = |wanted: &dyn Fn(&Processors) -> bool| {
            p.throughput.iter().find(|(of, _)| wanted(of)).map(|(_, gib)| *gib)
        };
        let rate = rate(&|of| matches!(of, Processors::Type(..)) && of.to_string() == name)
            .or_else(|| {
                rate(&|of| matches!(of, Processors::Series(..)) && name.starts_with(&format!("{of}.")))
            })
            .or_else(|| rate(&|of| of.to_string() == kind.arch));
        let (Some(rate), Some(memory)) = (rate, kind.memory_gib) else { continue };
        let cores = (memory * 0.9 * 1_073_741_824.0 / p.memory_bytes + 1e-9).min(kind.vcpus) as u32;
        if cores == 0 {
            continue;
        }
        let read = perf::start_up::storage_rate(kind.network_gbps) / 1_073_741_824.0 / f64::from(cores);
        let shard = p.input_gib / f64::from(p.shards) / rate.min(read);
        let start = perf::start_up_s(0.0, kind.network_gbps);
        let region = &catalog.regions[r];
        let to = RegionRef { cloud: region.cloud, region: region.id.clone() };
        let moved = p.dataset.as_ref().map_or(0.0, |d| {
            let from = catalog.region(d.from.cloud, &d.from.region).unwrap();
            let price = catalog.transfer_price(from, TransferTo::Region(&to));
            price.map_or(0.0, |t| t.usd_per_gib.usd() * d.gib * 1e6)
        });
        let (base, spot) = (price(Purchase::OnDemand), price(Purchase::Spot));
        for machines in 1..=(p.shards + 1).div_ceil(cores).max(1) + 2 {
            if machines * cores < 2 {
                continue;
            }
            let waves = p.shards.div_ceil(machines * cores - 1);
            let most = (p.purchase.spot_max_share * f64::from(machines) + 1e-9) as u32;
            let most =
                if spot.is_some() { most.min(machines.saturating_sub(p.purchase.on_demand_base)) } else { 0 };
            let own = stock(spec, world, (t, r)).min(machines);
            for (spots, held) in mixes(most, own) {
                if base.is_none() && spots + held < machines {
                    continue;
                }
                let work = f64::from(waves) * shard;
                let seconds = if spots > 0 { 2.0 * start + 1.1 * work } else { start + work };
                if seconds > p.deadline_s * (1.0 + 1e-12) {
                    continue;
                }
                let hours = seconds / 3600.0;
                let (base, spot) = (base.unwrap_or(0), spot.unwrap_or(0));
                let hourly = base * i64::from(machines - spots - held) + spot * i64::from(spots);
                let month = (hourly as f64 * hours + moved) * runs;
                let dear = (base.max(spot) - spot) as f64 * f64::from(spots) * hours * runs;
                let vcpus = f64::from(machines - spots) * kind.vcpus;
                found.push(Way {
                    month: month as i64,
                    ceiling: (month + dear) as i64,
                    vcpus: (r, vcpus),
                    held: ((t, r), held),
                });
            }
        }
    }
    found
}

/// The least that all pipelines together cost a month within the total budget and the quota of standard machines of each region.
pub fn enumerated(spec: &Spec, world: &World) -> Option<i64> {
    let limit = spec.budget.limits.values().next().map_or(i64::MAX / 4, |b| b.limit.micros());
    let ceiling = spec.budget.binds == rhumb::spec::BudgetBinds::Ceiling;
    let catalog = &world.catalog;
    let quota = |region: usize| {
        let declared =
            spec.providers.get(&Cloud::Aws).and_then(|p| p.quotas.get(&catalog.regions[region].id));
        declared.and_then(|q| q.get("L-1216C47A")).copied().unwrap_or(f64::INFINITY)
    };
    let all: Vec<Vec<Way>> = spec
        .pipelines
        .values()
        .map(|p| crate::stream_worlds::options(spec, world, p).unwrap_or_else(|| options(spec, world, p)))
        .collect();
    let fits = |chosen: &[&Way]| {
        let counted: i64 = chosen.iter().map(|o| if ceiling { o.ceiling } else { o.month }).sum();
        let mut taken: BTreeMap<usize, f64> = BTreeMap::new();
        chosen.iter().for_each(|o| *taken.entry(o.vcpus.0).or_default() += o.vcpus.1);
        // Millions of pairs are looked at, most of them where nothing is held.
        let held = spec.held.is_empty() || {
            let mut own: BTreeMap<Site, u32> = BTreeMap::new();
            chosen.iter().for_each(|o| *own.entry(o.held.0).or_default() += o.held.1);
            own.iter().all(|(site, n)| *n <= stock(spec, world, *site))
        };
        held && counted <= limit && taken.iter().all(|(r, v)| *v <= quota(*r) + 1e-9)
    };
    let mut best: Option<i64> = None;
    for a in &all[0] {
        match all.get(1) {
            None if fits(&[a]) => best = Some(best.map_or(a.month, |b| b.min(a.month))),
            None => {}
            Some(second) => {
                for b in second {
                    let month = a.month + b.month;
                    if best.is_none_or(|best| month < best) && fits(&[a, b]) {
                        best = Some(month);
                    }
                }
            }
        }
    }
    best
}

/// The text of one with random figures.
pub fn pipeline(name: &str, below: &mut dyn FnMut(f64) -> i64) -> String {
    let mut rates = Vec::new();
    for processors in ["aws/m7i", "aws/m7i.2xlarge", "aws/c7i", "x86_64", "arm64"] {
        if below(2.0) == 0 {
            rates.push(format!("{processors}: {}MB/s", 1 + below(60.0)));
        }
    }
    if rates.is_empty() {
        rates.push("x86_64: 7MB/s".into());
    }
    let shards = match below(3.0) {
        0 => String::new(),
        1 => format!("    shards: {}\n", 1 + below(12.0)),
        _ => format!("    shards: {}\n", 20 + below(300.0)),
    };
    let dataset = if below(3.0) == 0 { "    dataset: { at: aws/eu-west-1 }\n" } else { "" };
    let schedule = if below(2.0) == 0 { "    schedule: \"0 1 * * *\"\n" } else { "" };
    format!(
        "  {name}:
    engine: {}
    image: x
    command: [run]
    input: {}GB
    throughput_per_core: {{ {} }}
    memory_per_core: {}GiB
{shards}{dataset}{schedule}    deadline: {}min
    purchase: {{ spot_max_share: {}%, on_demand_base: {} }}
",
        ["spark", "ray"][below(2.0) as usize],
        5 + below(60.0),
        rates.join(", "),
        1 + below(9.0),
        6 + below(90.0),
        [0, 40, 100][below(3.0) as usize],
        below(2.0),
    )
}
