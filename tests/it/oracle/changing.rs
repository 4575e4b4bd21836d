//! Services whose machines may be others in hours of less load, against enumeration: every load at which they could change, the hours up
//! to it and those above it two services of their own.

use rhumb::catalog::Catalog;
use rhumb::diagnostic::Pointer;
use rhumb::placement::World;
use rhumb::spec::*;

use super::brute::{self, several};
use super::divided::{self, CENT, alone, counted, parts, told};
use super::proven;
use super::worlds::{self, Random};
use crate::extent::{is_many, one_in};
use crate::line;

const ALONE: u64 = 140;
const TOGETHER: u64 = 60;

/// Worlds of two services for which a small machine does at night, within quotas and budgets.
const PAYING: u64 = 100;

/// A day of long stretches at a few levels, and a weekend in some.
fn day(r: &mut Random) -> Daily {
    let levels = [0, 30_000, 125_000, 333_333, 700_000];
    let mut stretch = |peak: bool| {
        let mut level = r.pick(&levels);
        let mut shares: [u32; 24] = std::array::from_fn(|_| {
            if r.chance(20) {
                level = r.pick(&levels);
            }
            level
        });
        let (first, hours) = (r.below(24), 2 + r.below(8));
        for hour in 0..hours {
            if peak {
                shares[(first + hour) % 24] = 1_000_000;
            }
        }
        shares
    };
    let (shares, weekend) = (stretch(true), stretch(false));
    let weekend = Some(weekend).filter(|_| r.chance(40));
    Daily { name: None, shares, weekend, time_zone: "UTC".into(), at: Pointer::root() }
}

/// Two services on a small machine and a large one, of which the quotas have few.
fn paying(seed: u64) -> (Spec, World) {
    let mut r = Random::new(seed ^ 0x6e69_6768_7473);
    let mut price = |low: f64, high: f64| (r.range(low, high) * 1e4).round() as i64 * 100;
    let catalog = line::on_sale(&[
        ("g6.xlarge", "eu-west-1", Purchase::OnDemand, price(0.5, 1.5)),
        ("p5.4xlarge", "eu-west-1", Purchase::OnDemand, price(3.0, 14.0)),
    ]);
    let (small, large) = (4 * (2 + r.below(14)), 16 * (1 + r.below(4)));
    let mut text = format!(
        "rhumb: 1\nname: d\nmodels: {{ m: {{ source: meta-llama/Llama-3.1-8B-Instruct, variants: {{ v: {{ quantization: bf16 }} }} }} }}\n\
         providers: {{ aws: {{ quotas: {{ eu-west-1: {{ L-DB2E81BA: {small}, L-417A185B: {large} }} }} }} }}\n"
    );
    if r.chance(60) {
        let binds = r.pick(&["expected", "peak_month", "ceiling", "ceiling"]);
        text += &format!("budget: {{ binds: {binds}, monthly: {} USD }}\n", 2_000 + 500 * r.below(30));
    }
    text += "services:\n";
    for i in 0..2 {
        let rate = r.pick(&[0.5, 1.5, 4.0]);
        let survive = r.pick(&["", "", ", survive: { machine: 1 }"]);
        text += &format!(
            "  s{i}: {{ model: m, traffic: {{ peak: {rate} req/s, input_tokens: 700, output_tokens: 200 }}, \
             slo: {{ ttft: {{ p95: 4s }}, tpot: {{ p95: 150ms }} }}{survive}, scaling: {{ mode: fixed }}, \
             engine: {{ version: \"0.17\", args: {{ max_num_seqs: 64, max_num_batched_tokens: 8192, gpu_memory_utilization: 0.9 }} }} }}\n"
        );
    }
    let spec = line::spec(&text, &catalog);
    let mut world = line::world(&spec, &catalog);
    world.replay = 0;
    (spec, world)
}

/// Gives it a day, more load, and other machines in other hours.
fn changing(r: &mut Random, service: &mut Service, factors: &[f64], vertical: usize) {
    let factor = r.pick(factors);
    service.traffic.load = service.traffic.load.scaled(factor);
    service.traffic.daily = Some(day(r));
    let scaling = &mut service.scaling;
    scaling.mode = ScalingMode::Horizontal;
    scaling.to_zero = r.chance(40);
    scaling.changes = Some(Pointer::root().join("mode"));
    scaling.max_replicas = None;
    if r.chance(vertical) {
        scaling.min_replicas = r.pick(&[1, 2, 3]);
        scaling.max_replicas = Some(scaling.min_replicas);
    }
    service.purchase.options = vec![Purchase::OnDemand];
}

fn levels(daily: &Daily) -> Vec<u32> {
    let mut all: Vec<u32> = daily.shares.iter().chain(daily.weekend.iter().flatten()).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Every way to serve it: whole, or in the hours up to a load and those above.
fn ways(service: &Service) -> Vec<Vec<Service>> {
    let mut plain = service.clone();
    let changes = plain.scaling.changes.take().is_some();
    let mut all = vec![vec![plain.clone()]];
    let daily = service.traffic.daily.clone().unwrap();
    for level in levels(&daily).into_iter().filter(|l| changes && *l > 0 && *l < 1_000_000) {
        let part = |name: &str, top: u32, of: &dyn Fn(u32) -> u32| {
            let mut part = plain.clone();
            part.name = format!("{}{name}", service.name);
            part.labels.insert("whole".into(), service.name.clone());
            part.traffic.load = part.traffic.load.scaled(f64::from(top) / 1e6);
            let mut own = daily.clone();
            own.shares = own.shares.map(of);
            own.weekend = own.weekend.map(|weekend| weekend.map(of));
            part.traffic.daily = Some(own);
            part.scaling.to_zero = true;
            part
        };
        // A share of the part's own peak, a millionth of it more rather than less; an idle hour has a replica unless it need not.
        let idle = u32::from(!service.scaling.to_zero);
        let low = |share: u32| match share {
            0 => idle,
            share if share <= level => (f64::from(share) * 1e6 / f64::from(level) - 1e-9).ceil() as u32,
            _ => 0,
        };
        let high = |share: u32| if share > level { share } else { 0 };
        all.push(vec![part("lo", level, &low), part("hi", 1_000_000, &high)]);
    }
    all
}

#[test]
fn no_other_load_to_change_at_is_cheaper_by_enumeration() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut changed, mut fixed, mut refused, mut exact) =
        (String::new(), 0, 0, 0, 0, 0);
    let part = one_in(28, 2);
    for seed in part.seeds(0..ALONE) {
        let (mut spec, world) = worlds::case(seed + 40_000, &base);
        let Some(service) = spec.services.values_mut().next() else { continue };
        let mut r = Random::new(seed ^ 0x6368_616e_6765);
        changing(&mut r, service, &[1.0, 2.0, 5.0, 12.0], 30);
        let vertical = service.scaling.max_replicas.is_some();
        spec.budget.limits.clear();
        spec.providers.clear();
        if levels(spec.services["s"].traffic.daily.as_ref().unwrap()).iter().all(|l| *l % 1_000_000 == 0) {
            continue;
        }
        let found = line::place(&spec, &world);
        if found.as_ref().is_ok_and(|p| counted(p).1) {
            continue;
        }
        let least = |parts| alone(&spec, &world, parts);
        let costs: Vec<Option<i64>> = ways(&spec.services["s"]).into_iter().map(least).collect();
        let truth = costs.iter().flatten().min().copied();
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
        changed += u64::from(n > 1);
        fixed += u64::from(n > 1 && vertical);
        // Whoever may change them pays no more than who may not.
        let undivided = costs[0].unwrap_or(i64::MAX);
        if cost > undivided.saturating_add(16 * 730) {
            faults += &format!("world {seed}: {cost}, and {undivided} with the same machines in all hours\n");
        }
        if vertical {
            let most = spec.services["s"].scaling.min_replicas;
            for w in placement.workloads.values() {
                let in_hours = w.pools.iter().flat_map(|p| &p.following).flat_map(|f| &f.classes);
                let wrong = in_hours.filter(|c| c.share > 0 && c.replicas > most).count();
                if wrong > 0 {
                    faults += &format!("world {seed}: {}: more replicas than {most}\n", w.address);
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen =
        format!("{changed} of {all} change, {fixed} of them vertical, {refused} refused, {exact} exact");
    assert!(all > part.of(10), "{seen}");
    assert!(changed > 5 && fixed > 1 && all - changed > 5 && refused > 2 || !is_many(), "{seen}");
    assert!(exact * 10 > all * 8 || !is_many(), "{seen}");
}

#[test]
fn with_shared_limits_no_other_load_is_cheaper_either() {
    let base = Catalog::embedded();
    let (mut faults, mut all, mut coupled, mut changed, mut refused, mut exact) =
        (String::new(), 0, 0, 0, 0, 0);
    let (mut kept, mut moved) = (0, 0);
    let part = one_in(32, 2);
    for seed in part.seeds(0..TOGETHER).chain(part.seeds(TOGETHER..TOGETHER + PAYING)) {
        let (mut spec, mut world) =
            if seed < TOGETHER { worlds::together(seed + 70_000, &base) } else { paying(seed) };
        spec.batches.clear();
        while spec.services.len() > 2 {
            spec.services.pop_last();
        }
        let mut r = Random::new(seed ^ 0x746f_6765);
        for (i, service) in spec.services.values_mut().enumerate() {
            changing(&mut r, service, if seed < TOGETHER { &[0.5, 1.0] } else { &[1.0] }, 10);
            if i > 0 && r.chance(50) {
                service.scaling.changes = None;
            }
        }
        let flat =
            |s: &Service| levels(s.traffic.daily.as_ref().unwrap()).iter().all(|l| *l % 1_000_000 == 0);
        if spec.services.is_empty() || spec.services.values().any(flat) {
            continue;
        }
        if seed >= TOGETHER && r.chance(50) {
            let once = ["", "-to-12-5pct", "-above-70pct", "-to-99pct"];
            running(&mut r, &mut spec, &mut world, (&once, &["lo", "hi"]));
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
        let may = |whole: &Service| whole.scaling.changes.is_some();
        let truth = |spec: &Spec| divided::truth(spec, &world, ways, may, options);
        let least = truth(&spec);
        let placement = match found {
            Ok(placement) => placement,
            Err(why) => {
                refused += 1;
                if least.is_some() {
                    faults += &format!("world {seed}: refused ({}), enumeration {least:?}\n", why.proven);
                }
                continue;
            }
        };
        let cost = counted(&placement).0 + brute::stability::of(&spec, &world, &placement);
        if least.is_none_or(|truth| (truth - cost).abs() > 24 * 730) {
            faults += &format!("world {seed}: {cost}, enumeration {least:?}\n");
            continue;
        }
        all += 1;
        if let Some(told) = &placement.kept {
            let nothing = Spec { stability: None, ..spec.clone() };
            let free = truth(&nothing).unwrap();
            let parts = 2 * CENT * spec.services.len() as i64;
            let off = free - told.free.unwrap().micros();
            if !(-24 * 730..=24 * 730 + parts).contains(&off) {
                faults += &format!("world {seed}: a free choice is {free}, told {:?}\n", told.free);
            }
            kept += told.workloads.values().filter(|w| w.is_kept()).count();
            moved += told.workloads.values().filter(|w| !w.is_kept()).count();
        }
        coupled += u64::from(placement.coupling.is_some());
        changed += u64::from(placement.coupling.is_some() && parts(&placement) > 0);
        exact += u64::from(proven(seed, &spec, &world, &placement, &mut faults));
        faults += &told(seed, &spec, &world, &placement);
    }
    assert!(faults.is_empty(), "\n{faults}");
    let seen = format!(
        "{all} placed, {coupled} coupled and {changed} of them change, {refused} refused, {exact} exact, {kept} kept, {moved} moved"
    );
    assert!(all > part.of(20), "{seen}");
    let rare = changed > 1 && refused > 5 && kept > 5 && moved > 2;
    assert!(coupled > 5 && rare && exact * 10 > all * 6 || !is_many(), "{seen}");
}

/// Every choice of a service. Of lower hours without spot, a month that is all peak and the ceiling have nothing.
fn options(one: &Spec, world: &World, address: &str) -> Vec<brute::Choice> {
    let name = address.trim_start_matches("services.");
    if !name.ends_with("lo") || one.services[name].purchase.spot_max_share > 0.0 {
        return several::options(one, world, address);
    }
    let mut free = one.clone();
    free.budget.limits.clear();
    let mut all = several::options(&free, world, address);
    all.iter_mut().for_each(|c| (c.peak, c.ceiling) = (0, 0));
    all
}

/// Lets machines of some services run, whole or of a part that they may have or had `once`, and asks a move to save something. `parts`: the ends
/// of the names that enumeration gives to parts.
pub fn running(
    r: &mut Random,
    spec: &mut Spec,
    world: &mut World,
    (once, parts): (&[&'static str], &[&str]),
) {
    let saving_ppm = r.pick(&[10_000, 100_000, 300_000, 700_000]);
    spec.stability = Some(Stability { saving_ppm, at: Pointer::root().join("stability") });
    for name in spec.services.keys() {
        for _ in 0..r.below(3) {
            let offer = r.pick(&world.catalog.offerings);
            let (kind, region) =
                (&world.catalog.instance_types[offer.instance_type], &world.catalog.regions[offer.region]);
            let part = r.pick(once);
            world.running.add(&format!("services.{name}{part}"), region.cloud, &region.id, &kind.name);
        }
    }
    world.running = std::mem::take(&mut world.running).of_parts(spec);
    for name in spec.services.keys() {
        // Under the names that the parts have here.
        let Some(places) = world.running.of(&format!("services.{name}")).cloned() else { continue };
        for part in parts {
            world.running.0.insert(format!("services.{name}{part}"), places.clone());
        }
    }
}
