//! Random small worlds with one or two sites and a cloud, in which two services share stock and power: everything that there is to choose,
//! by enumeration. It shares the closed form of a server and the catalogue's network times with the planner, and nothing else.

use std::collections::BTreeMap;

use rhumb::check;
use rhumb::perf::{self, ServiceCurve};
use rhumb::placement::World;
use rhumb::replay::Random;
use rhumb::spec::{Load, ModelSource, Place, Service, Spec};
use rhumb_api::{Cloud, Purchase};

use crate::extent::{is_many, one_in};
use crate::faults::told;
use crate::line;

/// What a plan of a service takes: machines by site and name.
type Use = BTreeMap<(String, String), u32>;

/// The cheapest of each use.
type Plans = BTreeMap<Use, i64>;

/// One way to have a pool: where, what it costs, and what it takes.
type Option_ = (i64, Option<((String, String), u32)>);

/// Pools of one region for a share of a service, and a network time, ms.
fn in_region(
    spec: &Spec,
    world: &World,
    service: &Service,
    region: usize,
    share: f64,
    ms: f64,
) -> Vec<Option_> {
    let catalog = &world.catalog;
    let ModelSource::Measured(measured) = &spec.models[&service.model].source else { return Vec::new() };
    let Load::Rate(rate) = service.traffic.load else { return Vec::new() };
    let rate = rate * share;
    let keeps = |curve: &ServiceCurve, n: u32| {
        let holds =
            |l: perf::Latency| service.slo.e2e.iter().all(|o| l.e2e.at(o.quantile) + ms <= o.limit_ms);
        n > 0 && curve.latency(rate / f64::from(n), n, service.traffic.arrivals).is_some_and(holds)
    };
    let mut found = Vec::new();
    for offer in catalog.offerings.iter().filter(|o| o.region == region) {
        let kind = &catalog.instance_types[offer.instance_type];
        let Some(on) = kind.accelerator.map(|a| &catalog.accelerators[a]) else { continue };
        let each = kind.accelerator_count as u32;
        for variant in measured.variants.values() {
            let Some(launch) = variant.times.get(&on.id) else { continue };
            let Ok(curve) = perf::measured::curve(launch, variant.memory_bytes, on) else { continue };
            let machines = (1..=40_u32).find(|m| {
                let n = m * each;
                let left = n.saturating_sub(service.survive.machine * each);
                keeps(&curve, n) && (service.survive.machine == 0 || keeps(&curve, left))
            });
            let Some(machines) = machines else { continue };
            let here = &catalog.regions[region];
            let taken = (here.cloud == Cloud::Site).then(|| ((here.id.clone(), kind.name.clone()), machines));
            found.push((offer.price.micros() * i64::from(machines), taken));
        }
    }
    found
}

fn add(plans: &Plans, options: &[Option_]) -> Plans {
    let mut more = Plans::new();
    for (used, cost) in plans {
        for (price, taken) in options {
            let mut used = used.clone();
            if let Some((what, n)) = taken {
                *used.entry(what.clone()).or_insert(0) += n;
            }
            let cost = cost + price;
            more.entry(used).and_modify(|c| *c = (*c).min(cost)).or_insert(cost);
        }
    }
    more
}

/// Where a service may be at all, from its own words.
fn places(world: &World, service: &Service) -> Vec<usize> {
    let catalog = &world.catalog;
    let mut all: Vec<usize> = catalog.offerings.iter().map(|o| o.region).collect();
    all.sort_unstable();
    all.dedup();
    let may = |r: &usize| {
        let region = &catalog.regions[*r];
        match region.cloud {
            Cloud::Site => service.placement.sites.contains(&region.id),
            cloud => service.placement.clouds.allows(&cloud),
        }
    };
    all.into_iter().filter(may).collect()
}

/// Every plan for a block of origins: any set of regions that share it evenly.
fn of_block(spec: &Spec, world: &World, service: &Service, block: &[usize]) -> Plans {
    let places = places(world, service);
    let share: f64 = block.iter().map(|o| service.traffic.origins[*o].share).sum();
    let time = |region: usize| -> Option<f64> {
        let mut most: f64 = 0.0;
        for o in block {
            let origin = &service.traffic.origins[*o];
            if let Place::Region(home) = &origin.place {
                let here = &world.catalog.regions[region];
                if service.survive.wan > 0 && (here.cloud, &here.id) != (home.cloud, &home.region) {
                    return None;
                }
            }
            most = most.max(world.catalog.round_trip(&origin.place, region)?.ms_p90);
        }
        Some(most)
    };
    let mut all = Plans::new();
    for set in 1_u32..1 << places.len() {
        let chosen: Vec<usize> = (0..places.len()).filter(|i| set >> i & 1 == 1).map(|i| places[i]).collect();
        let part = share / chosen.len() as f64;
        let mut plans = Plans::from([(Use::new(), 0)]);
        for region in &chosen {
            let options = match time(*region) {
                Some(ms) => in_region(spec, world, service, *region, part, ms),
                None => Vec::new(),
            };
            plans = add(&plans, &options);
        }
        for (used, cost) in plans {
            all.entry(used).and_modify(|c| *c = (*c).min(cost)).or_insert(cost);
        }
    }
    all
}

fn both(a: &Plans, b: &Plans) -> Plans {
    let mut all = Plans::new();
    for (used, cost) in a {
        for (other, more) in b {
            let mut used = used.clone();
            for (what, n) in other {
                *used.entry(what.clone()).or_insert(0) += n;
            }
            let cost = cost + more;
            all.entry(used).and_modify(|c| *c = (*c).min(cost)).or_insert(cost);
        }
    }
    all
}

fn of_service(spec: &Spec, world: &World, service: &Service) -> Plans {
    let n = service.traffic.origins.len();
    let mut all = of_block(spec, world, service, &(0..n).collect::<Vec<_>>());
    if n == 2 {
        let apart = both(&of_block(spec, world, service, &[0]), &of_block(spec, world, service, &[1]));
        for (used, cost) in apart {
            all.entry(used).and_modify(|c| *c = (*c).min(cost)).or_insert(cost);
        }
    }
    all
}

/// Watts of a machine, from what is written.
fn watts(spec: &Spec, world: &World, site: &str, machine: &str) -> f64 {
    let m = &spec.sites[site].machines[machine];
    let on = &world.catalog.accelerators[world.catalog.accelerator(&m.accelerator).unwrap()];
    let boards = on.tdp_watts.unwrap() * f64::from(m.accelerators);
    m.power_watts.unwrap_or((boards + 3.5 * m.vcpus + 0.392 * m.memory_gib).ceil())
}

fn enumerated(spec: &Spec, world: &World) -> Option<i64> {
    let within = |used: &Use| {
        let stock = used.iter().all(|((site, machine), n)| *n <= spec.sites[site].machines[machine].count);
        let mut power: BTreeMap<&str, f64> = BTreeMap::new();
        for ((site, machine), n) in used {
            *power.entry(site).or_default() += f64::from(*n) * watts(spec, world, site, machine);
        }
        stock
            && power.iter().all(|(site, w)| spec.sites[*site].power_watts.is_none_or(|cap| *w <= cap + 1e-9))
    };
    let mut all = Plans::from([(Use::new(), 0)]);
    for service in spec.services.values() {
        let mut own = of_service(spec, world, service);
        own.retain(|used, _| within(used));
        all = both(&all, &own);
        all.retain(|used, _| within(used));
    }
    all.into_values().min()
}

fn world(below: &mut dyn FnMut(f64) -> i64) -> String {
    let sites = 1 + below(2.0);
    let mut text = String::from("rhumb: 1\nname: worlds\nmodels:\n");
    for model in ["a", "b"] {
        text += &format!(
            "  {model}:\n    measured:\n      image: x\n      variants:\n        v: {{ memory: 2GiB, time: {{ l4: {}ms, l40s: {}ms }} }}\n",
            2 + below(12.0),
            1 + below(8.0),
        );
    }
    text += "sites:\n";
    for site in 0..sites {
        let cap =
            if below(2.0) == 0 { format!("    power: {} W\n", 200 + below(1800.0)) } else { String::new() };
        text += &format!(
            "  s{site}:\n    location: [{}, {}]\n    country: DE\n    cost: 0.{} USD/h\n    wan: {{ round_trip: {}ms }}\n{cap}    inventory:\n      small: {{ accelerator: l4, count: {}, vcpus: 16, memory: 64GiB }}\n",
            47 + below(6.0),
            7 + below(6.0),
            1 + below(9.0),
            below(40.0),
            1 + below(7.0),
        );
        if below(2.0) == 0 {
            text += &format!(
                "      big: {{ accelerator: l40s, accelerators: 2, count: {}, vcpus: 32, memory: 128GiB, cost: 1.{} USD/h }}\n",
                1 + below(3.0),
                below(9.0),
            );
        }
    }
    text += "services:\n";
    for model in ["a", "b"] {
        let all = if sites == 2 { "s0, s1" } else { "s0" };
        let clouds = if below(3.0) > 0 { ", clouds: [aws]" } else { "" };
        let home = below(sites as f64);
        let wan = below(2.0);
        let origins = if below(2.0) == 0 {
            format!("line: {{ at: sites.s{home} }}")
        } else {
            let share = 10 + 10 * below(8.0);
            let other =
                if sites == 2 && below(2.0) == 0 { format!("sites.s{}", 1 - home) } else { "DE".into() };
            format!(
                "line: {{ at: sites.s{home}, share: {share}% }}, more: {{ at: {other}, share: {}% }}",
                100 - share
            )
        };
        text += &format!(
            "  {model}:\n    model: {model}\n    traffic: {{ peak: {} req/s, origins: {{ {origins} }} }}\n    slo: {{ e2e: {{ p{}: {}ms }} }}\n    survive: {{ machine: {}, wan: {wan} }}\n    placement: {{ sites: [{all}]{clouds} }}\n",
            20 + below(500.0),
            [50, 95, 99][below(3.0) as usize],
            12 + below(70.0),
            below(2.0),
        );
    }
    text
}

#[test]
fn nothing_is_cheaper() {
    let mut random = Random::new(11, "sites");
    let mut below = |n: f64| (random.uniform() * n) as i64;
    let (mut feasible, mut refused, mut coupled, mut mixed, mut exact) = (0, 0, 0, 0, 0);
    let part = one_in(8, 1);
    for case in 0..300 {
        let price = 300_000 + below(1_500_000.0);
        let catalog = line::on_sale(&[("g6.xlarge", "eu-central-1", Purchase::OnDemand, price)]);
        let text = world(&mut below);
        if !part.has(case) {
            continue;
        }
        let spec = line::spec(&text, &catalog);
        let there = line::world(&spec, &catalog);
        let found = line::place(&spec, &there);
        let cost = |p: &rhumb::placement::Placement| -> i64 {
            p.workloads.values().map(|w| w.cost.expected_per_hour.micros()).sum()
        };
        assert_eq!(
            found.as_ref().ok().map(cost),
            enumerated(&spec, &there),
            "case {case}, cloud {price}:\n{text}"
        );
        let Ok(placement) = found else {
            refused += 1;
            continue;
        };
        feasible += 1;
        coupled += u64::from(placement.coupling.is_some());
        let clouds = || placement.workloads.values().flat_map(|w| &w.pools).map(|p| p.cloud);
        mixed += u64::from(clouds().any(|c| c == Cloud::Site) && clouds().any(|c| c != Cloud::Site));
        let proof = check::prove(&spec, &there, &placement);
        assert!(proof.report.passed(), "case {case}:\n{}\n{text}", told(&proof.report.findings));
        let findings = check::placement(&spec, &there, &placement);
        assert!(findings.is_empty(), "case {case}:\n{}\n{text}", told(&findings));
        let bound = proof.all.bound.expect("everything is known");
        assert!(bound <= proof.all.cost, "case {case}: {bound} above {}\n{text}", proof.all.cost);
        exact += u64::from(proof.all.verdict() == "optimal");
    }
    assert!(
        feasible > part.of(90)
            && refused > part.of(30)
            && mixed > part.of(25)
            && exact * 10 > feasible * 8
            && (coupled > 15 || !is_many()),
        "{feasible} {refused} {coupled} {mixed} {exact}"
    );
}
