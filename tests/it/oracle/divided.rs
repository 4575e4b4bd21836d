//! Services in parts, against enumeration, and the laws that hold of them.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::check;
use rhumb::diagnostic::Pointer;
use rhumb::placement::{Placement, World};
use rhumb::spec::*;

use super::brute::{self, several};
use super::proven;
use super::worlds::{self, Random};
use crate::extent::{is_many, one_in};
use crate::line;

/// Worlds with one service.
const ALONE: u64 = 120;

/// Worlds with several.
const TOGETHER: u64 = 200;

/// Worlds in which dividing may pay, of each sort.
const PAYING: u64 = 80;

/// What a part counts for besides its cost, micro-dollars a month: a cent.
pub const CENT: i64 = 10_000;

/// Lets services with prompts of very unlike lengths be divided at one to three of them.
fn divided(seed: u64, mut spec: Spec, world: World) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x0064_6976_6964_6564);
    let context = f64::from(world.archs["m"].max_context);
    for (i, service) in spec.services.values_mut().enumerate() {
        let t = &mut service.traffic;
        if let Load::Concurrency(clients) = t.load {
            t.load = Load::Rate(clients / 10.0);
        }
        if let Load::Rate(rate) = &mut t.load {
            *rate *= r.pick(&[1.0, 3.0, 9.0, 20.0]);
        }
        let mean = r.range(200.0, 2000.0).round();
        let max = (mean * r.pick(&[8.0, 15.0, 30.0])).min(context - t.output.max - 1.0).floor();
        t.input = Lengths { mean, cv2: r.range(1.0, 9.0), p95: mean * 2.0, max };
        service.engine.max_model_len = None;
        service.scaling.max_replicas = None;
        // The second one of several stays whole in some.
        if i > 0 && r.chance(40) {
            continue;
        }
        let mut tokens: Vec<u32> = (0..1 + r.below(3))
            .map(|_| (mean * r.range(0.2, 5.0)) as u32)
            .filter(|n| f64::from(*n) < max * 0.9)
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        if i > 0 {
            tokens.truncate(1);
        }
        t.divide_at =
            (!tokens.is_empty()).then(|| DivideAt { tokens, at: Pointer::root().join("divide_at") });
    }
    (spec, world)
}

/// So many services with a few long prompts, which the cheap machine has no memory for, and a dear one that holds them.
fn paying(seed: u64, services: u64) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x7061_7969_6e67);
    let mut price = |low: f64, high: f64| (r.range(low, high) * 1e4).round() as i64 * 100;
    let catalog = line::on_sale(&[
        ("g6.xlarge", "eu-west-1", Purchase::OnDemand, price(0.3, 0.9)),
        ("g6e.xlarge", "eu-west-1", Purchase::OnDemand, price(3.0, 9.0)),
        ("p5.4xlarge", "eu-west-1", Purchase::OnDemand, price(8.0, 30.0)),
    ]);
    let mut text = "rhumb: 1\nconfidence: 80%\nname: d\nmodels: { m: { source: meta-llama/Llama-3.1-8B-Instruct, variants: { v: { quantization: bf16 } } } }\n".to_owned();
    if services > 1 {
        let (small, large) = (4 * (4 + r.below(20)), 16 * (1 + r.below(4)));
        text += &format!(
            "providers: {{ aws: {{ quotas: {{ eu-west-1: {{ L-DB2E81BA: {small}, L-417A185B: {large} }} }} }} }}\n"
        );
    }
    text += "services:\n";
    for i in 0..services {
        let p50 = 200 + r.below(1_000);
        let p95 = p50 * (3 + r.below(15));
        let max = 20_000 + 1_000 * r.below(90);
        let mut points: Vec<usize> =
            (0..1 + r.below(3)).map(|_| p50 * r.pick(&[1, 2, 3]) + r.below(100)).collect();
        points.sort_unstable();
        points.dedup();
        points.truncate(if services > 1 { 1 } else { 3 });
        let name = if services > 1 { format!("s{i}") } else { "s".to_owned() };
        let rate = r.pick(&[2.0, 5.0, 9.0]);
        let survive = r.pick(&["", "", ", survive: { machine: 1 }"]);
        text += &format!(
            "  {name}: {{ model: m, traffic: {{ peak: {rate} req/s, input_tokens: {{ p50: {p50}, p95: {p95}, max: {max} }}, output_tokens: 150, \
             divide_at: {points:?} }}, slo: {{ ttft: {{ p95: {}s }}, tpot: {{ p95: 150ms }} }}{survive}, \
             engine: {{ version: \"0.17\", args: {{ max_num_seqs: 64, max_num_batched_tokens: 8192, gpu_memory_utilization: 0.9 }} }} }}\n",
            1 + r.below(6)
        );
    }
    let spec = line::spec(&text, &catalog);
    let mut world = line::world(&spec, &catalog);
    world.replay = 0;
    (spec, world)
}

/// The share of prompts of more than `above` and up to `to` tokens, and their lengths: the lognormal by its definition, summed up.
fn conditional(all: &Lengths, above: f64, to: f64) -> (f64, Lengths) {
    let sigma = (1.0 + all.cv2).ln().sqrt();
    let mu = all.mean.ln() - sigma * sigma / 2.0;
    let z = |x: f64| (x.ln() - mu) / sigma;
    let reach = 8.5 + 2.0 * sigma;
    let (low, high) = (if above > 0.0 { z(above) } else { -8.5 }, if to < all.max { z(to) } else { reach });
    let steps = 12_000;
    let each = (high - low) / f64::from(steps);
    let (mut share, mut first, mut second) = (0.0, 0.0, 0.0);
    // Simpson's rule.
    for i in 0..=steps {
        let at = low + each * f64::from(i);
        let weight = if i == 0 || i == steps {
            1.0
        } else if i % 2 == 1 {
            4.0
        } else {
            2.0
        };
        let w = weight * each / 3.0 * (-at * at / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let x = (mu + sigma * at).exp();
        share += w;
        first += w * x;
        second += w * x * x;
    }
    let max = to.min(all.max);
    let mean = (first / share).min(max);
    let cv2 = (second / share / (mean * mean) - 1.0).max(0.0);
    (share, Lengths { mean, cv2, p95: max, max })
}

/// Every way to divide a service: the parts, each a service of its own by the name of the whole and its place.
fn ways(service: &Service) -> Vec<Vec<Service>> {
    let undivided =
        |s: &Service| Service { traffic: Traffic { divide_at: None, ..s.traffic.clone() }, ..s.clone() };
    let Some(divide) = &service.traffic.divide_at else { return vec![vec![undivided(service)]] };
    let mut all = Vec::new();
    for bits in 0..1_u32 << divide.tokens.len() {
        let points: Vec<f64> = divide
            .tokens
            .iter()
            .enumerate()
            .filter(|(i, _)| bits & 1 << i != 0)
            .map(|(_, n)| f64::from(*n))
            .collect();
        if points.is_empty() {
            all.push(vec![undivided(service)]);
            continue;
        }
        let edges: Vec<f64> = [vec![0.0], points, vec![f64::INFINITY]].concat();
        let parts = edges.windows(2).enumerate().map(|(i, edge)| {
            let (share, input) = conditional(&service.traffic.input, edge[0], edge[1]);
            let mut part = undivided(service);
            part.name = format!("{}p{i}", service.name);
            part.labels.insert("whole".into(), service.name.clone());
            part.traffic.input = input;
            if let Load::Rate(rate) = &mut part.traffic.load {
                *rate *= share;
            }
            part.traffic.arrivals = match part.traffic.arrivals {
                Arrivals::Bursty { cv2 } => Arrivals::Bursty { cv2: 1.0 + share * (cv2 - 1.0) },
                Arrivals::Constant => Arrivals::Bursty { cv2: 1.0 - share },
                Arrivals::Poisson => Arrivals::Poisson,
            };
            (share, part)
        });
        let parts: Vec<(f64, Service)> = parts.collect();
        if parts.iter().all(|(share, _)| *share >= 1e-6) {
            all.push(parts.into_iter().map(|(_, part)| part).collect());
        }
    }
    all
}

/// The spec with these services, what was limited of a whole limited of all with its label.
pub fn with(spec: &Spec, services: Vec<Service>) -> Spec {
    let mut spec = spec.clone();
    spec.services = services.into_iter().map(|s| (s.name.clone(), s)).collect();
    let limits = std::mem::take(&mut spec.budget.limits);
    for (scope, limit) in limits {
        let scope = match scope {
            BudgetScope::Workload(address)
                if spec.services.values().any(|s| {
                    s.labels.get("whole").map(|w| format!("services.{w}")) == Some(address.clone())
                }) =>
            {
                let value = address.trim_start_matches("services.").to_owned();
                BudgetScope::Label { key: "whole".into(), value }
            }
            other => other,
        };
        spec.budget.limits.insert(scope, limit);
    }
    spec
}

/// The least that parts cost a month, each by itself, with a cent for each; `None` if one of them cannot be placed.
pub fn alone(spec: &Spec, world: &World, parts: Vec<Service>) -> Option<i64> {
    let cents = CENT * parts.len() as i64;
    let each = parts.into_iter().map(|part| {
        let name = part.name.clone();
        Some(brute::service(&with(spec, vec![part]), world, &name)? * 730)
    });
    Some(each.sum::<Option<i64>>()? + cents)
}

/// The least that everything counts for, a month, over all ways to serve every service, with a cent for each part of those that `may` be served
/// in parts.
pub fn truth(
    spec: &Spec,
    world: &World,
    ways: fn(&Service) -> Vec<Vec<Service>>,
    may: fn(&Service) -> bool,
    options: fn(&Spec, &World, &str) -> Vec<brute::Choice>,
) -> Option<i64> {
    let mut combined: Vec<Vec<Service>> = vec![Vec::new()];
    for service in spec.services.values() {
        let ways = ways(service);
        let with =
            |so_far: &Vec<Service>| ways.iter().map(|w| [so_far.as_slice(), w].concat()).collect::<Vec<_>>();
        combined = combined.iter().flat_map(with).collect();
    }
    // Every part once, whatever else is divided.
    let mut known: BTreeMap<String, Vec<brute::Choice>> = BTreeMap::new();
    let mut truth: Option<i64> = None;
    for services in combined {
        let part = |s: &&Service| may(&spec.services[s.labels.get("whole").unwrap_or(&s.name)]);
        let cents: i64 = CENT * services.iter().filter(part).count() as i64;
        let one = with(spec, services);
        let addresses: Vec<String> = one.services.keys().map(|name| format!("services.{name}")).collect();
        let all = |address: &String| {
            let t = &one.services[address.trim_start_matches("services.")].traffic;
            let key = format!("{address} {:?} {:?} {:?}", t.input, t.load, t.daily);
            known.entry(key).or_insert_with(|| options(&one, world, address)).clone()
        };
        let choices: Vec<Vec<brute::Choice>> = addresses.iter().map(all).collect();
        let Some(cost) = several::together(&one, world, &addresses, &choices) else { continue };
        truth = Some(truth.map_or(cost + cents, |known| known.min(cost + cents)));
    }
    truth
}

pub fn told(seed: u64, spec: &Spec, world: &World, placement: &Placement) -> String {
    let findings = check::placement(spec, world, placement);
    let line = |f: &check::Finding| {
        format!("world {seed}: {} {}: {} ({} / {})\n", f.address, f.code, f.message, f.expected, f.found)
    };
    findings.iter().map(line).collect()
}

/// What a placement costs a month, each part of what may be divided a cent more, and whether a pool is larger than what enumeration tries.
pub fn counted(placement: &Placement) -> (i64, bool) {
    let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
    let parts: usize =
        placement.divided.iter().flat_map(|d| d.services.values()).map(|s| s.parts.len()).sum();
    let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
    let mut pools = placement.workloads.values().flat_map(|w| &w.pools);
    (cost + CENT * parts as i64, pools.any(|p| machines(p) > brute::MOST_MACHINES))
}

pub fn parts(placement: &Placement) -> usize {
    placement.divided.iter().flat_map(|d| d.services.values()).filter(|s| !s.at.is_empty()).count()
}

#[test]
fn the_division_is_the_cheapest_by_enumeration() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut used, mut more, mut whole, mut refused, mut exact) =
        (String::new(), 0, 0, 0, 0, 0, 0);
    let part = one_in(16, 2);
    for seed in part.seeds(0..ALONE).chain(part.seeds(ALONE..ALONE + PAYING)) {
        let (mut spec, world) = if seed < ALONE {
            let (spec, world) = worlds::case(seed, &base);
            if spec.services.is_empty() {
                continue;
            }
            divided(seed, spec, world)
        } else {
            paying(seed, 1)
        };
        // Both are shared by the parts: that is the other test's matter.
        spec.budget.limits.clear();
        spec.providers.clear();
        if !spec.divides() {
            continue;
        }
        let found = line::place(&spec, &world);
        if found.as_ref().is_ok_and(|p| counted(p).1) {
            continue;
        }
        let least = |parts| alone(&spec, &world, parts);
        let truth = ways(&spec.services["s"]).into_iter().filter_map(least).min();
        let Ok(placement) = found else {
            refused += 1;
            if truth.is_some() {
                faults += &format!("world {seed}: refused, enumeration {truth:?}\n");
            }
            continue;
        };
        let cost = counted(&placement).0;
        if truth.is_none_or(|truth| (truth - cost).abs() > 16 * 730) {
            faults += &format!("world {seed}: {cost}, enumeration {truth:?}\n");
            continue;
        }
        all += 1;
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &told(seed, &spec, &world, &placement);
        let n = placement.workloads.len();
        used += u64::from(n > 1);
        more += u64::from(n > 2);
        whole += u64::from(n == 1);
        // Whoever may divide pays no more, at more points no more again, and where nobody sends a prompt nothing happens.
        let at = |tokens: Vec<u32>| {
            let mut other = spec.clone();
            other.services.values_mut().for_each(|s| {
                s.traffic.divide_at =
                    (!tokens.is_empty()).then(|| DivideAt { tokens: tokens.clone(), at: Pointer::root() });
            });
            rhumb::optimize::outline(&other, &world)
        };
        let service = &spec.services["s"];
        let tokens = service.traffic.divide_at.as_ref().unwrap().tokens.clone();
        let cents = |p: &Result<Placement, _>| p.as_ref().map_or(i64::MAX, |p| counted(p).0);
        let undivided = at(Vec::new());
        let without = undivided.as_ref().map_or(i64::MAX, |p| counted(p).0 + CENT);
        let first = cents(&at(tokens[..1].to_vec()));
        if cost > first || first > without {
            faults += &format!("world {seed}: {cost} at all, {first} at one, {without} undivided\n");
        }
        if (n > 1) != (cost < without) {
            faults += &format!("world {seed}: {n} parts for {cost}, undivided {without}\n");
        }
        let nobody = at(vec![service.traffic.input.max as u32 + 1]);
        let same = |a: &Placement, b: &Placement| {
            a.workloads
                .iter()
                .map(|(k, w)| (k, &w.pools, &w.cost))
                .eq(b.workloads.iter().map(|(k, w)| (k, &w.pools, &w.cost)))
        };
        if let (Ok(a), Ok(b)) = (&nobody, &undivided)
            && !same(a, b)
        {
            faults += &format!("world {seed}: divided where nobody is, it differs\n");
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{used} of {all} divided, {more} in more than two, {whole} whole, {refused} refused, {exact} exact"
    );
    assert!(used >= part.of(5) && whole > part.of(12), "{seen}");
    assert!(refused > 5 && exact * 10 > all * 8 || !is_many(), "{seen}");
}

#[test]
fn with_shared_limits_the_division_is_the_cheapest_as_well() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut coupled, mut used, mut both, mut tried, mut refused, mut exact) =
        (String::new(), 0, 0, 0, 0, 0, 0, 0);
    let (mut undecided, mut stays) = (0, 0);
    let part = one_in(35, 2);
    for seed in part.seeds(0..TOGETHER).chain(part.seeds(TOGETHER..TOGETHER + PAYING)) {
        let (mut spec, mut world) = if seed < TOGETHER {
            let (mut spec, world) = worlds::together(seed, &base);
            spec.batches.clear();
            while spec.services.len() > 2 {
                spec.services.pop_last();
            }
            divided(seed, spec, world)
        } else {
            paying(seed, 2)
        };
        if !spec.divides() {
            continue;
        }
        let mut r = Random::new(seed ^ 0x7275_6e73);
        if seed >= TOGETHER && r.chance(40) {
            let once = ["", "-to-500", "-above-3000", "-200-to-400"];
            super::changing::running(&mut r, &mut spec, &mut world, (&once, &["p0", "p1"]));
        }
        if seed % 3 == 0
            && let Some((_, limit)) = spec.budget.limits.pop_first()
            && let Some(name) = spec.services.keys().next()
        {
            spec.budget.limits.insert(BudgetScope::Workload(format!("services.{name}")), limit);
        }
        let found = line::place(&spec, &world);
        if found.as_ref().is_ok_and(|p| counted(p).1) {
            continue;
        }
        let may = |whole: &Service| whole.traffic.divide_at.is_some();
        let truth = truth(&spec, &world, ways, may, several::options);
        let placement = match found {
            Ok(placement) => placement,
            Err(why) => {
                refused += 1;
                undecided += u64::from(truth.is_some() && !why.proven);
                if truth.is_some() && why.proven {
                    faults += &format!("world {seed}: refused, enumeration {truth:?}\n");
                }
                continue;
            }
        };
        let cost = counted(&placement).0 + brute::stability::of(&spec, &world, &placement);
        stays += placement.kept.iter().flat_map(|k| k.workloads.values()).filter(|w| w.is_kept()).count();
        if truth.is_none_or(|truth| (truth - cost).abs() > 24 * 730) {
            faults += &format!("world {seed}: {cost}, enumeration {truth:?}\n");
            continue;
        }
        all += 1;
        coupled += u64::from(placement.coupling.is_some());
        used += u64::from(placement.coupling.is_some() && parts(&placement) > 0);
        both += u64::from(parts(&placement) > 1);
        tried += placement.divided.as_ref().map_or(0, |d| d.dearer.len());
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &told(seed, &spec, &world, &placement);
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert_eq!(undecided, 0, "refused without a proof, against enumeration");
    let seen = format!(
        "{all} placed, {coupled} coupled and {used} of them divided, {both} with both divided, {tried} others tried, {refused} refused, {exact} exact, {stays} kept"
    );
    assert!(all > part.of(20), "{seen}");
    let rare = used > 0 && tried > 5 && refused > 5 && stays > 5;
    assert!(coupled > 2 && rare && exact * 10 > all * 6 || !is_many(), "{seen}");
}
