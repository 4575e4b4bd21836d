//! Streams by enumeration: random specs, and every choice for them by formulas of their own, with every trigger in whole milliseconds.

use rhumb::catalog::InstanceType;
use rhumb::perf;
use rhumb::placement::World;
use rhumb::spec::{Pipeline, Processors, Spec, Stream};
use rhumb_api::Purchase;

use crate::pipeline_worlds::{Way, mixes, stock};

/// What some machines of a type are to a stream.
struct Machines<'a> {
    stream: &'a Stream,
    shards: u32,
    cores: u32,
    /// Bytes a second of a vCPU.
    rate: f64,
}

impl Machines<'_> {
    /// Whether so many of them work through a share of the events of so many milliseconds in time.
    fn does(&self, n: u32, share: f64, ms: u32) -> bool {
        let Some(working) = (n * self.cores).checked_sub(1).filter(|n| *n > 0) else { return false };
        let interval = f64::from(ms) / 1000.0;
        let shard =
            self.stream.events_per_s * share * interval * self.stream.event_bytes / f64::from(self.shards);
        let rounds = (1..).find(|rounds| rounds * working >= self.shards).unwrap_or(1);
        let batch = self.stream.overhead_s + f64::from(rounds) * shard / self.rate;
        batch <= interval * (1.0 + 1e-10) && interval + batch <= self.stream.freshness_s * (1.0 + 1e-10)
    }

    /// Whether some trigger does for all of these: machines, and the share of the peak.
    fn some(&self, parts: &[(u32, f64)]) -> bool {
        let most = (self.stream.freshness_s * 1000.0) as u32;
        (1..=most).any(|ms| parts.iter().all(|(n, share)| self.does(*n, *share, ms)))
    }
}

/// Machines that are left when the fullest of some zones fail: each machine goes to the emptiest.
fn without_zones(machines: u32, zones: u32, failing: u32) -> u32 {
    let mut of = vec![0_u32; zones as usize];
    for _ in 0..machines {
        let least = (0..of.len()).min_by_key(|i| of[*i]).unwrap();
        of[least] += 1;
    }
    of.sort_unstable();
    of.iter().take(of.len().saturating_sub(failing as usize)).sum()
}

/// Every choice for a stream: type, region, machines, spot; `None` if it is none.
pub fn options(spec: &Spec, world: &World, p: &Pipeline) -> Option<Vec<Way>> {
    let stream = p.stream.as_ref()?;
    let catalog = &world.catalog;
    let mut found = Vec::new();
    let mut sites: Vec<(usize, usize)> =
        catalog.offerings.iter().map(|o| (o.instance_type, o.region)).collect();
    sites.dedup();
    for (t, r) in sites {
        let kind: &InstanceType = &catalog.instance_types[t];
        let offer = |purchase| {
            catalog.offerings.iter().find(|o| (o.instance_type, o.region, o.purchase) == (t, r, purchase))
        };
        if kind.accelerator_count > 0.0 {
            continue;
        }
        let name = format!("{}/{}", kind.cloud, kind.name);
        let rate = |wanted: &dyn Fn(&Processors) -> bool| {
            p.throughput.iter().find(|(of, _)| wanted(of)).map(|(_, gib)| *gib * 1_073_741_824.0)
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
        let read = perf::start_up::storage_rate(kind.network_gbps) / f64::from(cores);
        let machines = Machines { stream, shards: p.shards, cores, rate: rate.min(read) };
        let (base, spot) = (offer(Purchase::OnDemand), offer(Purchase::Spot));
        for n in 1..=(p.shards + 1).div_ceil(cores) * 2 + 4 {
            let most = (p.purchase.spot_max_share * f64::from(n) + 1e-9) as u32;
            let most = if spot.is_some() { most.min(n.saturating_sub(p.purchase.on_demand_base)) } else { 0 };
            let own = stock(spec, world, (t, r)).min(n);
            for (spots, held) in mixes(most, own) {
                if base.is_none() && spots + held < n {
                    continue;
                }
                let mut parts = vec![(n, 1.0)];
                if stream.machines > 0 {
                    parts.push((n.saturating_sub(stream.machines), stream.capacity));
                }
                if stream.zones > 0 {
                    let zones = catalog.regions[r].zones.unwrap_or(1).min(n);
                    parts.push((without_zones(n, zones, stream.zones), stream.capacity));
                }
                if spots > 0 {
                    let gone = spot.and_then(|o| o.interruption).unwrap_or(0.2) * f64::from(spots);
                    parts.push((n - (gone - 1e-9).ceil().max(1.0) as u32, stream.capacity));
                }
                if !machines.some(&parts) {
                    continue;
                }
                let price = |o: Option<&rhumb::catalog::Offering>| o.map_or(0, |o| o.price.micros());
                let (base, spot) = (price(base), price(spot));
                let month = 730 * (base * i64::from(n - spots - held) + spot * i64::from(spots));
                let dear = 730 * (base.max(spot) - spot) * i64::from(spots);
                let vcpus = f64::from(n - spots) * kind.vcpus;
                found.push(Way { month, ceiling: month + dear, vcpus: (r, vcpus), held: ((t, r), held) });
            }
        }
    }
    Some(found)
}

/// The text of one with random figures.
pub fn stream(name: &str, below: &mut dyn FnMut(f64) -> i64) -> String {
    let mut rates = Vec::new();
    for processors in ["aws/m7i", "aws/m7i.2xlarge", "aws/c7i", "x86_64", "arm64"] {
        if below(2.0) == 0 {
            rates.push(format!("{processors}: {}MB/s", 1 + below(60.0)));
        }
    }
    if rates.is_empty() {
        rates.push("x86_64: 7MB/s".into());
    }
    let survive = match below(4.0) {
        0 => format!("    survive: {{ machine: {} }}\n", 1 + below(2.0)),
        1 => "    survive: { zone: 1 }\n".into(),
        2 => "    survive: { machine: 1, zone: 1 }\n".into(),
        _ => String::new(),
    };
    let during = if survive.is_empty() || below(2.0) == 0 {
        String::new()
    } else {
        format!("    during_failure: {{ capacity: {}% }}\n", 30 + below(70.0))
    };
    format!(
        "  {name}:
    engine: spark
    image: x
    command: [run]
    rate: {} events/s
    event_size: {} B
    freshness: {}ms
    batch_overhead: {}ms
    shards: {}
    throughput_per_core: {{ {} }}
    memory_per_core: {}GiB
{survive}{during}    purchase: {{ spot_max_share: {}%, on_demand_base: {} }}
",
        1000 + below(60_000.0),
        200 + below(3000.0),
        600 + below(2400.0),
        20 + below(260.0),
        2 + below(30.0),
        rates.join(", "),
        1 + below(9.0),
        [0, 40, 100][below(3.0) as usize],
        below(2.0),
    )
}
