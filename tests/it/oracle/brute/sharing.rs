//! Services that share machines, by plain enumeration, from `src/decisions/0012-machines-that-services-share.md`.

use std::cmp::Reverse;

use rhumb::placement::{Placement, SharedFleet, WorkloadPlacement};

use super::*;

/// A pool on shared machines.
#[derive(Clone, Debug, PartialEq)]
pub struct On {
    /// Instance type, region, purchase option.
    pub fleet: (usize, usize, Purchase),
    /// Accelerators of a replica, replicas, most on one machine, most in a zone.
    pub g: u32,
    pub n: u32,
    pub c: u32,
    pub d: Option<u32>,
    pub addr: String,
}

/// One way to place a service: what it pays by itself, and what it has on shared machines. By the month.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub own: Choice,
    pub on: Vec<On>,
}

/// Every way to serve a service of one origin from one region, on machines of its own or shared ones, without those that another
/// one of the same shape beats.
pub fn plans(spec: &Spec, world: &World, name: &str) -> Vec<Plan> {
    let s = &spec.services[name];
    let own = several::options(spec, world, &format!("services.{name}"));
    let mut all: Vec<Plan> = own.into_iter().map(|own| Plan { own, on: Vec::new() }).collect();
    // Where emissions count, nothing is placed where they are not known.
    all.retain(|plan| plan.own.quotas.values().all(|n| n.is_finite()));
    if !s.shares {
        return all;
    }
    let t = &s.traffic;
    let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
    let ways = ways(spec, world, &s.model, &s.placement, &s.engine, &shape);
    let regions = regions(world, &s.placement);
    let search = Search::new(spec, world, name, &ways, &regions);
    for region in &regions {
        let mut found = search.on_shared(name, *region);
        all.append(&mut found);
    }
    all
}

impl Search<'_> {
    fn on_shared(&self, name: &str, region: usize) -> Vec<Plan> {
        let (catalog, s) = (&self.world.catalog, self.s);
        let origin = &s.traffic.origins[0];
        if !may_hold(&origin.residency, self.world, region) {
            return Vec::new();
        }
        let network = match origin.place {
            Place::Vpc => 0.0,
            _ => {
                let Some(trip) = catalog.round_trip(&origin.place, region) else { return Vec::new() };
                let trips = if s.slo.connections == Connections::New { 3.0 } else { 1.0 };
                let counts = s.slo.measured_at == MeasuredAt::Client;
                if counts { (trip.ms_p90 + s.slo.last_mile_ms) * trips } else { 0.0 }
            }
        };
        let outside = f64::from(u8::from(origin.place != Place::Vpc));
        let mut found: Vec<Plan> = Vec::new();
        for way in self.ways {
            let kind = &catalog.instance_types[way.type_index];
            let slots = kind.accelerator_count as u32;
            let g = slots / way.replicas_per_machine.max(1);
            let cheapest = cheapest(self.world, &s.purchase, way.type_index, region);
            let Some((_, purchase)) = cheapest else { continue };
            let known = carbon::of_shared(self.spec, self.world, (way.type_index, region)).1.is_finite();
            if kind.cloud != catalog.regions[region].cloud || way.replicas_per_machine < 2 || !known {
                continue;
            }
            let most = slots / g;
            for n in 1..=MOST_REPLICAS {
                let rate = self.peak(way, n, 1.0);
                let transfer = self.transfer(region, rate, outside);
                let cost = match &s.traffic.daily {
                    None => transfer,
                    Some(daily) => day::mean(daily, transfer),
                };
                for c in if s.survive.machine > 0 { 1..=most } else { most..=most } {
                    if !self.does_on_shared(way, n, c, region, rate, &[network]) {
                        continue;
                    }
                    let zones = catalog.regions[region].zones.unwrap_or(1).min(n);
                    let on = On {
                        fleet: (way.type_index, region, purchase),
                        g,
                        n,
                        c,
                        d: (s.survive.zone > 0).then(|| n.div_ceil(zones)),
                        addr: format!("services.{name}/"),
                    };
                    let own = Choice {
                        cost: cost * 730,
                        ceiling: transfer * 730,
                        peak: transfer * 730,
                        replicas: n,
                        most_replicas: n,
                        quotas: BTreeMap::new(),
                    };
                    let same = |a: &On| (a.fleet, a.g, a.c) == (on.fleet, g, c);
                    let beats = |p: &Plan| {
                        p.on.iter().any(|a| same(a) && a.n <= n && a.d <= on.d)
                            && p.own.cost <= own.cost
                            && p.own.peak <= own.peak
                    };
                    if !found.iter().any(beats) {
                        found.push(Plan { own, on: vec![on] });
                    }
                }
            }
        }
        found
    }

    fn does_on_shared(&self, way: &Way, n: u32, c: u32, region: usize, rate: f64, net: &[f64]) -> bool {
        let (survive, during) = (self.s.survive, self.s.during_failure);
        let left = |lost: u32| {
            n > lost && self.carries(way, n - lost, rate * during.capacity, during.slo_factor, net)
        };
        if !self.carries(way, n, rate, 1.0, net)
            || survive.replica > 0 && !left(survive.replica)
            || survive.machine > 0 && !left(survive.machine * c)
        {
            return false;
        }
        if survive.zone == 0 {
            return true;
        }
        let Some(zones) = self.world.catalog.regions[region].zones else { return false };
        let z = zones.min(n);
        z > survive.zone && left(survive.zone * n.div_ceil(z))
    }
}

/// Most replicas of a pool on shared machines that are tried.
pub const MOST_REPLICAS: u32 = 20;

/// Machines that hold pools by the rule.
pub fn machines(world: &World, pools: &[&On]) -> u32 {
    let mut pools = pools.to_vec();
    pools.sort_by_key(|p| (Reverse(p.g), p.addr.clone()));
    let (kind, region, _) = pools[0].fleet;
    let slots = world.catalog.instance_types[kind].accelerator_count as u32;
    let zones = world.catalog.regions[region].zones.unwrap_or(1);
    'machines: for machines in 1.. {
        let z = zones.min(machines);
        let mut free = vec![slots; machines as usize];
        for pool in &pools {
            let mut own = vec![0; machines as usize];
            for _ in 0..pool.n {
                let mut best: Option<usize> = None;
                for m in 0..machines as usize {
                    let here = (0..machines as usize).filter(|o| o % z as usize == m % z as usize);
                    let in_zone: u32 = here.map(|o| own[o]).sum();
                    let fits = free[m] >= pool.g && own[m] < pool.c && pool.d.is_none_or(|d| in_zone < d);
                    if fits && best.is_none_or(|b| free[m] < free[b]) {
                        best = Some(m);
                    }
                }
                let Some(m) = best else { continue 'machines };
                own[m] += 1;
                free[m] -= pool.g;
            }
        }
        return machines;
    }
    unreachable!()
}

/// What a placement has on a fleet.
pub fn on(world: &World, placement: &Placement, fleet: &SharedFleet) -> Vec<On> {
    let kind = world.catalog.instance_type(fleet.cloud, &fleet.instance_type).unwrap();
    let region = world.catalog.region(fleet.cloud, &fleet.region).unwrap();
    let of = |entry: &rhumb::placement::SharedPool| {
        let pools = &placement.workloads[&entry.workload].pools;
        let pool = pools.iter().find(|p| p.addr == entry.addr).unwrap();
        let on = pool.shared.as_ref().unwrap();
        On {
            fleet: (kind, region, fleet.purchase),
            g: on.accelerators,
            n: pool.replicas,
            c: on.most_per_machine,
            d: on.most_per_zone,
            addr: format!("{}/", entry.workload),
        }
    };
    fleet.pools.iter().map(of).collect()
}

/// The least that one plan of each workload costs together within quotas and the budget, micro-dollars a month.
pub fn together(spec: &Spec, world: &World, plans: &[Vec<Plan>]) -> Option<i64> {
    let mut best = None;
    combine(spec, world, plans, &mut Vec::new(), &mut best);
    best
}

fn fleets<'p>(chosen: &[&'p Plan]) -> BTreeMap<(usize, usize, Purchase), Vec<&'p On>> {
    let mut fleets: BTreeMap<_, Vec<&On>> = BTreeMap::new();
    for on in chosen.iter().flat_map(|p| &p.on) {
        fleets.entry(on.fleet).or_default().push(on);
    }
    fleets
}

fn combine<'p>(
    spec: &Spec,
    world: &World,
    left: &'p [Vec<Plan>],
    chosen: &mut Vec<&'p Plan>,
    best: &mut Option<i64>,
) {
    let own: i64 = chosen.iter().map(|p| carbon::objective(spec, &p.own)).sum();
    let mut bound: i64 = chosen.iter().map(|p| p.own.bound(spec)).sum();
    let mut taken: BTreeMap<(usize, String), f64> = BTreeMap::new();
    for (key, n) in chosen.iter().flat_map(|p| &p.own.quotas) {
        *taken.entry(key.clone()).or_insert(0.0) += n;
    }
    let mut cost = own;
    for ((kind, region, purchase), pools) in fleets(chosen) {
        let slots = world.catalog.instance_types[kind].accelerator_count as u32;
        // More pools need at least as many accelerators; what the rule makes of them is known at the end.
        let m = match left.is_empty() {
            true => machines(world, &pools),
            false => pools.iter().map(|p| p.g * p.n).sum::<u32>().div_ceil(slots),
        };
        let month = price(world, kind, region, purchase).unwrap() * 730 * i64::from(m);
        cost += month;
        bound += month;
        let (emitted, mg, counted) = carbon::of_shared(spec, world, (kind, region));
        cost = cost.saturating_add(counted.saturating_mul(i64::from(m)));
        *taken.entry(emitted).or_insert(0.0) += mg * f64::from(m);
        // Who moves is known now, but not how many machines they will need.
        if left.is_empty() {
            cost += stability::of_fleet(spec, world, (kind, region), &pools);
        }
        for (quota, each) in world.catalog.quotas_for(kind, purchase) {
            let place = if quota.scope == "global" { GLOBAL } else { region };
            *taken.entry((place, quota.code.clone())).or_insert(0.0) += each * f64::from(m);
        }
    }
    let limit = spec.budget.limits.get(&BudgetScope::All).map(|b| b.limit.micros());
    if taken.iter().any(|(k, n)| allowed(spec, world, k).is_some_and(|l| *n > l))
        || limit.is_some_and(|l| bound > l)
        || best.is_some_and(|b| cost >= b)
    {
        return;
    }
    let Some((first, rest)) = left.split_first() else {
        *best = Some(cost);
        return;
    };
    for plan in first {
        chosen.push(plan);
        combine(spec, world, rest, chosen, best);
        chosen.pop();
    }
}

/// What all services of a shared fleet cost more on shared machines of the offering where that is least, micro-dollars a month, by
/// decision 10: each with the fewest accelerators, of as many with those that need the fewest machines. Where several ways take as
/// many, the least and the most of what they cost. `None` if they may move to none.
pub fn elsewhere(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    fleet: &SharedFleet,
    plans: &BTreeMap<String, Vec<Plan>>,
) -> Option<(i64, i64)> {
    let own = (&fleet.instance_type, &fleet.region);
    let mut found: Option<(i64, i64)> = None;
    let mut offers: Vec<(usize, usize, Purchase)> = Vec::new();
    for on in plans.values().flatten().flat_map(|p| &p.on) {
        let place = (&world.catalog.instance_types[on.fleet.0].name, &world.catalog.regions[on.fleet.1].id);
        if !offers.contains(&on.fleet) && place != own {
            offers.push(on.fleet);
        }
    }
    for offer in offers {
        let mut best: Vec<Vec<&Plan>> = Vec::new();
        for entry in &fleet.pools {
            let key = |p: &&Plan| {
                let on = &p.on[0];
                let zones = on.d.map_or(0, |d| on.n.div_ceil(d));
                (on.g * on.n, on.n.div_ceil(on.c).max(zones))
            };
            let here =
                plans[&entry.workload].iter().filter(|p| p.on.first().is_some_and(|on| on.fleet == offer));
            let least = here.clone().map(|p| key(&p)).min();
            best.push(here.filter(|p| Some(key(p)) == least).collect());
        }
        let mut ways: Vec<Vec<&Plan>> = vec![Vec::new()];
        for of in &best {
            ways = ways.iter().flat_map(|way| of.iter().map(|p| [way.as_slice(), &[*p]].concat())).collect();
        }
        let costs: Vec<Option<i64>> =
            ways.iter().map(|way| moved(spec, world, placement, fleet, offer, way)).collect();
        let Some(least) = costs.iter().flatten().min() else { continue };
        // One that a limit forbids may be the one that is looked at.
        let most = if costs.contains(&None) { i64::MAX } else { *costs.iter().flatten().max()? };
        found = Some(found.map_or((*least, most), |(a, b)| (a.min(*least), b.min(most))));
    }
    found
}

/// What it costs more to have the pools of a fleet as `way` says, with everything else as planned; `None` if a limit forbids it.
fn moved(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    fleet: &SharedFleet,
    (kind, region, purchase): (usize, usize, Purchase),
    way: &[&Plan],
) -> Option<i64> {
    let bare = |address: &str| {
        let parts = placement.fleets.iter().flat_map(|f| &f.pools).filter(|p| p.workload == address);
        parts.map(|p| p.per_hour.micros() * 730).sum::<i64>()
    };
    let cost = |w: &WorkloadPlacement| w.cost.expected_per_month.micros() - bare(&w.address);
    let bound = |w: &WorkloadPlacement| {
        let of = match spec.budget.binds {
            rhumb::spec::BudgetBinds::Expected => w.cost.expected_per_month,
            rhumb::spec::BudgetBinds::PeakMonth => w.cost.peak_per_month,
            rhumb::spec::BudgetBinds::Ceiling => w.cost.ceiling_per_month,
        };
        of.micros() - bare(&w.address)
    };
    let (name, place) = (&world.catalog.instance_types[kind].name, &world.catalog.regions[region].id);
    let mut fleets = placement.fleets.iter();
    let there = fleets.find(|f| (&f.instance_type, &f.region, f.purchase) == (name, place, purchase));
    let already: Vec<On> = there.iter().flat_map(|f| on(world, placement, f)).collect();
    let on: Vec<&On> = already.iter().chain(way.iter().flat_map(|p| &p.on)).collect();
    let count = machines(world, &on);
    let price = price(world, kind, region, purchase)?;
    let stays = |f: &&SharedFleet| f.addr != fleet.addr && there.is_none_or(|t| t.addr != f.addr);
    let month = |f: &SharedFleet| f.price.micros() * 730 * i64::from(f.count);
    let fleets: i64 =
        placement.fleets.iter().filter(stays).map(month).sum::<i64>() + price * 730 * i64::from(count);
    let moves = |address: &str| fleet.pools.iter().any(|p| p.workload == address);
    let others = || placement.workloads.values().filter(|w| !moves(&w.address));
    let all: i64 = others().map(cost).sum::<i64>() + way.iter().map(|p| p.own.cost).sum::<i64>() + fleets;
    let bound: i64 =
        others().map(bound).sum::<i64>() + way.iter().map(|p| p.own.bound(spec)).sum::<i64>() + fleets;
    let mut taken: BTreeMap<(usize, String), f64> = BTreeMap::new();
    let needs = placement.workloads.values().flat_map(|w| &w.quotas);
    let needs = needs.chain(placement.fleets.iter().filter(stays).flat_map(|f| &f.quotas));
    for q in needs {
        let at = world.catalog.region(q.cloud, &q.region).unwrap_or(GLOBAL);
        *taken.entry((at, q.code.clone())).or_insert(0.0) += q.amount;
    }
    for (quota, each) in world.catalog.quotas_for(kind, purchase) {
        let at = if quota.scope == "global" { GLOBAL } else { region };
        *taken.entry((at, quota.code.clone())).or_insert(0.0) += each * f64::from(count);
    }
    let stay = placement.fleets.iter().filter(stays);
    let of = |f: &SharedFleet| {
        let at = (
            world.catalog.instance_type(f.cloud, &f.instance_type).unwrap(),
            world.catalog.region(f.cloud, &f.region).unwrap(),
        );
        carbon::of_shared(spec, world, at).1 * f64::from(f.count)
    };
    let (emitted, mg, _) = carbon::of_shared(spec, world, (kind, region));
    let own = |w: &WorkloadPlacement| -> f64 {
        let own = w.pools.iter().filter_map(|p| placement.emissions.machines.get(p.addr.as_str()));
        own.map(|e| e.mg_per_month.unwrap() as f64).sum()
    };
    if carbon::counts(spec) {
        let there = others().map(own).sum::<f64>() + stay.map(of).sum::<f64>();
        taken.insert(emitted, there + mg * f64::from(count));
    }
    let limit = spec.budget.limits.get(&BudgetScope::All).map(|b| b.limit.micros());
    let over = taken.iter().any(|(k, n)| allowed(spec, world, k).is_some_and(|l| *n > l + 1e-9));
    let planned: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
    (!over && limit.is_none_or(|l| bound <= l)).then_some(all - planned)
}
