//! Chains: the split of a limit against every split of a grid.

use rhumb::catalog::Catalog;
use rhumb::optimize;
use rhumb::placement::World;
use rhumb::spec::{Chain, Load, Objective, Spec};
use rhumb_api::Money;

use super::{brute, line, worlds};
use crate::extent::{is_many, one_in};
use rhumb::diagnostic::Pointer;

/// Worlds that are tried.
const WORLDS: u64 = 240;
/// Parts of a limit that the grid divides it into.
const PARTS: u32 = 24;
/// Nothing is looked for between limits that are nearer.
const STEP: f64 = 1.02;

/// Two services, one after the other or both at once, with a limit for both.
fn case(seed: u64, base: &Catalog) -> Option<(Spec, World, Chain)> {
    let (mut spec, world) = worlds::together(seed, base);
    spec.batches.clear();
    spec.providers.clear();
    spec.budget.limits.clear();
    let names: Vec<String> = spec.services.keys().take(2).cloned().collect();
    spec.services.retain(|name, _| names.contains(name));
    let [a, b] = names.as_slice() else { return None };
    let at = Pointer::root().join("chains").join("c");
    let steps = if seed.is_multiple_of(3) {
        vec![vec![a.clone(), b.clone()]]
    } else {
        vec![vec![a.clone()], vec![b.clone()]]
    };
    // From what is out of reach to what nobody notices.
    let limit_ms = 400.0 * f64::from(1 << (seed % 11));
    let (name, quantile) = ("c".to_owned(), 0.9);
    let chain = Chain { name, steps, between_ms: 3.0, quantile, limit_ms, at };
    for service in spec.services.values_mut() {
        service.scaling = worlds::fixed();
        // Tight limits ask for many machines, and mixes of these with spot take long to try.
        service.purchase.spot_max_share = 0.0;
        service.traffic.load = match service.traffic.load {
            Load::Rate(rate) => Load::Rate(rate.min(4.0)),
            Load::Concurrency(clients) => Load::Concurrency(clients.min(8.0)),
        };
        (service.slo.ttft, service.slo.tpot) = (Vec::new(), Vec::new());
        let quantile = Some(chain.part_quantile());
        service.slo.e2e = vec![Objective { quantile, limit_ms: chain.equal_ms(), at: chain.at.clone() }];
    }
    spec.chains.insert("c".to_owned(), chain.clone());
    Some((spec, world, chain))
}

/// The least that both cost at any split of `most` ms on the grid, micro-dollars an hour.
fn on_a_grid(spec: &Spec, world: &World, chain: &Chain, most: f64) -> Option<i64> {
    let at = |service: &str, limit: f64| {
        let mut spec = spec.clone();
        spec.services.get_mut(service)?.slo.e2e[0].limit_ms = limit;
        brute::service(&spec, world, service)
    };
    let names: Vec<&str> = chain.services().collect();
    let both = |a: f64, b: f64| Some(at(names[0], a)? + at(names[1], b)?);
    if chain.steps.len() == 1 {
        return both(most, most);
    }
    let part = |i: u32| most * f64::from(i) / f64::from(PARTS);
    (1..PARTS).filter_map(|i| both(part(i), most - part(i))).min()
}

#[test]
fn no_split_of_a_grid_costs_less() {
    let base = Catalog::embedded();
    let (mut faults, mut split, mut uneven, mut refused, mut dearer) = (String::new(), 0, 0, 0, 0);
    let part = one_in(10, 1);
    for seed in part.seeds(0..WORLDS) {
        let Some((equal, world, chain)) = case(seed, &base) else { continue };
        let mut spec = equal.clone();
        optimize::split_chains(&mut spec, &world);
        let limits: Vec<f64> = chain.services().map(|s| spec.services[s].slo.e2e[0].limit_ms).collect();
        let whole = if chain.steps.len() == 1 { limits[0].max(limits[1]) } else { limits[0] + limits[1] };
        if whole > chain.limit_ms - 3.0 + 1e-6 {
            faults += &format!("world {seed}: {limits:?} are more than {} less 3\n", chain.limit_ms);
        }
        let cost = |spec: &Spec| {
            let placed = line::place(spec, &world).ok()?;
            let large = |p: &rhumb::placement::Pool| {
                p.machines.iter().map(|m| m.count).sum::<u32>() > brute::MOST_MACHINES
            };
            let beyond = placed.workloads.values().any(|w| w.pools.iter().any(large));
            let cost: Money = placed.workloads.values().map(|w| w.cost.expected_per_hour).sum();
            (!beyond).then_some(cost.micros())
        };
        // What is within a step of the limit, the search does not look for.
        let truth = on_a_grid(&equal, &world, &chain, chain.left_ms() / STEP);
        match (cost(&spec), truth) {
            (Some(own), Some(truth)) if own > truth + 16 => {
                faults += &format!("world {seed}: {own} at {limits:?}, the grid has {truth}\n");
            }
            (Some(own), _) => {
                split += 1;
                uneven += u64::from((limits[0] / limits[1] - 1.0).abs() > 0.2);
                dearer += u64::from(cost(&equal).is_none_or(|equal| equal > own + 16));
            }
            (None, Some(truth)) if line::place(&spec, &world).is_err() => {
                faults += &format!("world {seed}: refused at {limits:?}, the grid has {truth}\n");
            }
            (None, _) => refused += 1,
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(
        split > part.of(40) && (uneven > 20 && refused > 5 && dearer > 5 || !is_many()),
        "{split} split, {uneven} unevenly, {refused} refused, equal parts cost more in {dearer}"
    );
}
