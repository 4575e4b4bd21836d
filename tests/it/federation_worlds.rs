//! Federations by enumeration: random specs, and every choice of members by formulas of their own.

use rhumb::catalog::TransferTo;
use rhumb::placement::World;
use rhumb::spec::{Federation, Processors, Spec};
use rhumb_api::{Cloud, Purchase};

/// A choice: micro-dollars of a month, and the machines taken at sites as (site, type).
pub struct Way {
    pub month: f64,
    pub taken: Vec<(String, String)>,
}

/// Seconds for an update on a type: that of the type, else of its series, else of its architecture.
fn aggregates(f: &Federation, name: &str, arch: &str) -> Option<f64> {
    let find = |wanted: &dyn Fn(&Processors) -> bool| {
        f.aggregate_s.iter().find(|(of, _)| wanted(of)).map(|(_, s)| *s)
    };
    find(&|of| matches!(of, Processors::Type(..)) && of.to_string() == name)
        .or_else(|| find(&|of| matches!(of, Processors::Series(..)) && name.starts_with(&format!("{of}."))))
        .or_else(|| find(&|of| of.to_string() == arch))
}

/// Every choice that keeps the deadline with as many sites as can; none if these are fewer than must answer.
pub fn options(spec: &Spec, world: &World, f: &Federation) -> Vec<Way> {
    let catalog = &world.catalog;
    let runs = f.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    let n = f.sites.len() as f64;
    // Of each aggregator what it costs an hour and a client in a run, when it starts, and who keeps the deadline: the round, price and type.
    type Kinds = Vec<(String, Vec<(f64, f64, String)>)>;
    let mut all: Vec<(f64, f64, f64, Kinds)> = Vec::new();
    for offer in catalog.offerings.iter().filter(|o| o.purchase == Purchase::OnDemand) {
        let kind = &catalog.instance_types[offer.instance_type];
        let (Some(memory), Some(gbps)) = (kind.memory_gib, kind.network_gbps) else { continue };
        if kind.cloud == Cloud::Site
            || kind.accelerator_count > 0.0
            || memory * 0.9 * 1_073_741_824.0 < f.memory_bytes
        {
            continue;
        }
        let Some(each) = aggregates(f, &format!("{}/{}", kind.cloud, kind.name), &kind.arch) else {
            continue;
        };
        let sends =
            catalog.transfer_price(offer.region, TransferTo::Internet).unwrap().usd_per_gib.usd() * 1e6;
        // 120 s to boot, 10 GB of image, 60 s; a site's machine as of 10 Gbit/s.
        let start = |gbps: f64| 180.0 + 10e9 / (gbps * 1e9 / 8.0 * 0.8).min(1e9);
        let start = start(gbps).max(start(10.0));
        let limit =
            f.deadline_s.map_or(f64::INFINITY, |d| (d - start) / f64::from(f.rounds)).min(f.round_deadline_s);
        let mut taking: Kinds = Vec::new();
        for name in &f.sites {
            let site = &spec.sites[name];
            let Some(mbps) = site.wan.mbps else { continue };
            let mbit = f.update_gib * 1_073_741_824.0 * 8.0 / 1e6;
            let both_ways = 2.0 * mbit / mbps.min(gbps * 800.0 / n);
            let mut kinds = Vec::new();
            for machine in site.machines.values() {
                let Some(local) = f.local_s.get(&machine.accelerator) else { continue };
                let at = catalog.instance_type(Cloud::Site, &machine.name).unwrap();
                if site
                    .power_watts
                    .is_some_and(|cap| catalog.instance_types[at].full_load_watts.unwrap() > cap)
                {
                    continue;
                }
                let round = both_ways + local + n * each;
                if round <= limit * (1.0 + 1e-12) {
                    kinds.push((round, machine.cost.micros() as f64, machine.name.clone()));
                }
            }
            if !kinds.is_empty() {
                taking.push((name.clone(), kinds));
            }
        }
        all.push((offer.price.micros() as f64, sends, start, taking));
    }
    let most = all.iter().map(|a| a.3.len()).max().unwrap_or(0);
    if most < f.min_sites as usize {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (price, sends, start, taking) in all.iter().filter(|a| a.3.len() == most) {
        let choices: usize = taking.iter().map(|(_, kinds)| kinds.len()).product();
        for mut choice in 0..choices {
            let (mut hourly, mut longest, mut taken) = (*price, 0.0_f64, Vec::new());
            for (site, kinds) in taking {
                let (round, cost, name) = &kinds[choice % kinds.len()];
                choice /= kinds.len();
                hourly += cost;
                longest = longest.max(*round);
                taken.push((site.clone(), name.clone()));
            }
            let hours = (start + f64::from(f.rounds) * longest) / 3600.0;
            let sent = f.update_gib * most as f64 * f64::from(f.rounds) * sends;
            found.push(Way { month: (hourly * hours + sent) * runs, taken });
        }
    }
    found
}

/// The least that all federations together cost within the total budget and what stands at the sites.
pub fn enumerated(spec: &Spec, world: &World) -> Option<f64> {
    let limit = spec.budget.limits.values().next().map_or(f64::INFINITY, |b| b.limit.micros() as f64);
    let all: Vec<Vec<Way>> = spec.federations.values().map(|f| options(spec, world, f)).collect();
    let fits = |chosen: &[&Way]| {
        let taken: Vec<&(String, String)> = chosen.iter().flat_map(|w| &w.taken).collect();
        let stock = taken.iter().all(|t| {
            let there = spec.sites[&t.0].machines[&t.1].count as usize;
            taken.iter().filter(|other| other == &t).count() <= there
        });
        let watts = |site: &str| -> f64 {
            let of = |(_, kind): &&&(String, String)| {
                let at = world.catalog.instance_type(Cloud::Site, kind).unwrap();
                world.catalog.instance_types[at].full_load_watts.unwrap()
            };
            taken.iter().filter(|t| t.0 == site).map(|t| of(&t)).sum()
        };
        let power = spec.sites.values().all(|s| s.power_watts.is_none_or(|cap| watts(&s.name) <= cap + 1e-9));
        stock && power && chosen.iter().map(|w| w.month).sum::<f64>() <= limit
    };
    let mut best: Option<f64> = None;
    let mut see = |chosen: &[&Way]| {
        let month = chosen.iter().map(|w| w.month).sum();
        if best.is_none_or(|b| month < b) && fits(chosen) {
            best = Some(month);
        }
    };
    for a in &all[0] {
        match all.get(1) {
            None => see(&[a]),
            Some(second) => second.iter().for_each(|b| see(&[a, b])),
        }
    }
    best
}

/// Sites with random connections and machines.
pub fn sites(below: &mut dyn FnMut(f64) -> i64) -> String {
    let mut text = "sites:\n".to_owned();
    for name in ["a", "b", "c"] {
        let bandwidth = [20, 50, 200, 1000][below(4.0) as usize];
        let wan = if below(8.0) == 0 {
            String::new()
        } else {
            format!("    wan: {{ bandwidth: {bandwidth}Mbps }}\n")
        };
        let power =
            if below(5.0) == 0 { format!("    power: {} W\n", 100 + below(400.0)) } else { String::new() };
        let mut machines = vec![format!(
            "l4-node: {{ accelerator: l4, count: {}, vcpus: 16, memory: 64GiB, cost: 0.{:02} USD/h }}",
            1 + below(2.0),
            10 + below(80.0)
        )];
        if below(2.0) == 0 {
            machines.push(format!(
                "t4-node: {{ accelerator: t4, count: {}, vcpus: 8, memory: 32GiB, cost: 0.{:02} USD/h }}",
                1 + below(2.0),
                2 + below(60.0)
            ));
        }
        text += &format!(
            "  {name}:\n    location: [48, 11]\n    country: DE\n    inventory: {{ {} }}\n{wan}{power}",
            machines.join(", ")
        );
    }
    text
}

/// The text of one with random figures.
pub fn federation(name: &str, below: &mut dyn FnMut(f64) -> i64) -> String {
    let aggregate =
        ["x86_64: 4s", "aws/m7i: 2s, x86_64: 9s", "aws/m7i.large: 30s, x86_64: 1s", "arm64: 3s, x86_64: 20s"];
    let local = [format!("l4: {}min", 5 + below(20.0)), format!("l4: 10min, t4: {}min", 6 + below(30.0))];
    let local = &local[below(2.0) as usize];
    let deadline =
        if below(3.0) == 0 { format!("    deadline: {}h\n", 4 + below(10.0)) } else { String::new() };
    let schedule = if below(2.0) == 0 { "    schedule: \"0 2 * * 0\"\n" } else { "" };
    format!(
        "  {name}:
    framework: flower
    image: x
    command: [run]
    sites: [a, b, c]
    min_sites: {}
    rounds: {}
    update: {}MB
    local: {{ {local} }}
    aggregate: {{ {} }}
    aggregator_memory: {}GiB
    round_deadline: {}min
{deadline}{schedule}",
        1 + below(2.0),
        1 + below(30.0),
        20 + below(2000.0),
        aggregate[below(4.0) as usize],
        1 + below(12.0),
        10 + below(30.0),
    )
}
