//! One pool of a placed service, everything else as it is, by plain enumeration.

use rhumb::placement::{Pool, WorkloadPlacement};

use super::*;

/// The least that the pool at `index` could cost in `elsewhere`, micro-dollars an hour, carrying what it carries now; `None` if
/// nothing would do. What it costs now comes second.
pub fn seat(
    spec: &Spec,
    world: &World,
    elsewhere: &World,
    (name, placed): (&str, &WorkloadPlacement),
    index: usize,
) -> (Option<i64>, i64) {
    let s = &spec.services[name];
    let t = &s.traffic;
    let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
    let ways = ways(spec, elsewhere, &s.model, &s.placement, &s.engine, &shape);
    let regions = regions(elsewhere, &s.placement);
    let search = Search::new(spec, elsewhere, name, &ways, &regions);
    let mine = |r: &&rhumb::placement::Route| r.to.iter().any(|(i, _)| *i == index);
    let routes: Vec<_> = placed.routes.iter().filter(mine).collect();
    let block: Vec<usize> = t
        .origins
        .iter()
        .enumerate()
        .filter(|(_, o)| routes.iter().any(|r| r.origin == o.name))
        .map(|(i, _)| i)
        .collect();
    let shared: Vec<usize> = routes[0].to.iter().map(|(i, _)| *i).collect();
    let region = |p: &Pool| world.catalog.region(p.cloud, &p.region).unwrap();
    // What the others take: all costs are told of the first of them.
    let own = now(&placed.pools[index], placed);
    let more = |p: &Pool| -> i64 {
        let kind = world.catalog.instance_type(p.cloud, &p.instance_type).unwrap();
        let spot = p.machines.iter().filter(|m| m.purchase == Purchase::Spot);
        spot.map(|m| {
            let od = price(world, kind, region(p), Purchase::OnDemand).unwrap_or(m.price.micros());
            (od - m.price.micros()) * i64::from(m.count)
        })
        .sum()
    };
    let mut others: Vec<(usize, Choice)> = Vec::new();
    for (_, p) in placed.pools.iter().enumerate().filter(|(i, _)| *i != index) {
        let cost = if others.is_empty() { placed.cost.expected_per_hour.micros() - own } else { 0 };
        let kind = world.catalog.instance_type(p.cloud, &p.instance_type).unwrap();
        let mut taken = BTreeMap::new();
        for m in &p.machines {
            for (quota, each) in world.catalog.quotas_for(kind, m.purchase) {
                let place = if quota.scope == "global" { GLOBAL } else { region(p) };
                *taken.entry((place, quota.code.clone())).or_insert(0.0) += each * f64::from(m.count);
            }
        }
        let ceiling = cost + more(p);
        let (replicas, most_replicas, peak) = (p.replicas, p.replicas, cost);
        others.push((region(p), Choice { cost, ceiling, peak, replicas, most_replicas, quotas: taken }));
    }
    let closed: Vec<usize> =
        shared.iter().filter(|i| **i != index).map(|i| region(&placed.pools[*i])).collect();
    let mut best: Option<i64> = None;
    for region in regions.iter().filter(|r| !closed.contains(r)) {
        for choice in search.choices(&block, shared.len(), *region) {
            let cost = choice.cost;
            let all: Vec<(usize, Choice)> = others.iter().cloned().chain([(*region, choice)]).collect();
            if search.judge(&all).is_some() {
                best = Some(best.map_or(cost, |b| b.min(cost)));
            }
        }
    }
    (best, own)
}

/// What a pool costs an hour by the lines of the bill, transfers from its region included.
fn now(pool: &Pool, placed: &WorkloadPlacement) -> i64 {
    let here = format!("/{}/{}", pool.cloud, pool.region);
    let of = |addr: &str| {
        addr.starts_with(&format!("{}/", pool.addr)) || (addr.contains("/transfer/") && addr.ends_with(&here))
    };
    let lines = placed.cost.lines.iter().filter(|l| of(&l.addr));
    lines.filter_map(|l| l.per_hour).map(|m| m.micros()).sum()
}
