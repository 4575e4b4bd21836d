//! From the choice to the placement: every figure that a plan shows.

mod federation;
mod mixed;
mod replayed;
mod rolled;
mod run;
mod stand_in;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use federation::federation;
pub(super) use mixed::mixed;
use replayed::replayed;
use rhumb_api::{Cloud, HOURS_PER_MONTH, Money, ResourceAddr};
pub(super) use run::run;

use super::day::{self, Rest};
use super::job::{self, Job};
use super::load::at_confidence;
use super::pool::{GIB, weights_gib};
use super::service::{Block, Chosen, Search};
use super::sharing;
use super::table::{Speed, Table};
use crate::catalog::{Evidence, Offering, TransferTo};
use crate::perf::{CONTRADICTED, EngineSettings, Latency, MemoryFit};
use crate::placement::{
    Certificate, Cost, CostLine, FailureCheck, HourClass, Metric, ObjectiveCheck, OnShared, Pool,
    PoolMachines, QuotaNeed, Route, WorkloadPlacement,
};
use crate::spec::{BudgetBinds, KvCacheDtype, Origin, Purchase, Quantization, RegionRef, Service};

/// The parts that the placements of all workloads share.
pub(super) struct Draft {
    pub pools: Vec<Pool>,
    pub lines: Vec<CostLine>,
    pub caveats: Vec<String>,
    pub quotas: Vec<QuotaNeed>,
}

/// A pool's address; `None` if the workload's name cannot be part of one, which the spec refuses.
fn address(job: &Job<'_>, cloud: Cloud, region: &str, kind: &str, taken: &[Pool]) -> Option<ResourceAddr> {
    let root = ResourceAddr::parse(job.address.clone()).ok()?;
    let own = root.child(cloud.as_str()).child(region).child(kind);
    let mut addr = own.clone();
    let mut n = 2;
    while taken.iter().any(|p| p.addr == addr) {
        addr = own.child(&n.to_string());
        n += 1;
    }
    Some(addr)
}

/// What runs in a pool.
pub(super) struct Runner {
    quantization: Quantization,
    kv_cache: KvCacheDtype,
    engine: EngineSettings,
    factors: (f64, f64),
    memory: MemoryFit,
    evidence: Evidence,
    notes: Vec<String>,
}

impl Runner {
    fn of(job: &Job<'_>, variant: &str, speed: &Speed) -> Option<Self> {
        let variant = job.model.variants.get(variant)?;
        Some(Runner {
            quantization: variant.quantization,
            kv_cache: variant.kv_cache,
            engine: speed.engine,
            factors: (speed.f * speed.g, speed.f),
            memory: speed.curve.memory,
            evidence: speed.curve.evidence,
            notes: speed.curve.notes.clone(),
        })
    }
}

/// A pool of an engine without its load.
pub(super) fn pool(
    job: &Job<'_>,
    table: &Table,
    chosen: &Chosen,
    speed: &Speed,
    taken: &[Pool],
) -> Option<Pool> {
    let way = &table.machines[table.sites[chosen.site].machine].ways[chosen.way];
    let runner = Runner::of(job, table.variants.get(way.variant)?, speed)?;
    machines(job, table, chosen, runner, taken)
}

/// The machines of a pool and what runs there.
fn machines(job: &Job<'_>, table: &Table, chosen: &Chosen, runner: Runner, taken: &[Pool]) -> Option<Pool> {
    let catalog = &job.world.catalog;
    let site = &table.sites[chosen.site];
    let machine = &table.machines[site.machine];
    let (kind, region) = (&catalog.instance_types[machine.index], &catalog.regions[site.region]);
    let way = &machine.ways[chosen.way];
    let count = chosen.count;
    let kinds =
        [(site.base, count.machines - count.spot, count.most_base), (site.spot, count.spot, count.most_spot)];
    let mut machines: Vec<PoolMachines> = kinds
        .into_iter()
        .filter(|(_, _, most)| *most > 0 && way.most_on_one.is_none())
        .filter_map(|(i, n, _)| {
            let offering = catalog.offerings.get(i?)?;
            Some(PoolMachines {
                purchase: offering.purchase,
                count: n,
                price: offering.price,
                list_price: offering.list_price,
                provenance: offering.provenance.clone(),
                interruption: offering.interruption,
                commitment: offering.held.as_ref().map(|held| held.name.to_string()),
            })
        })
        .collect();
    machines.sort_by_key(|m| m.purchase);
    let units = count.machines / way.span.max(1);
    let shared = way.most_on_one.and_then(|most| {
        let fleet = sharing::address(catalog, site.base?)?;
        let most_per_zone = sharing::in_zone(job, region.zones, count.replicas);
        Some(OnShared { fleet, accelerators: way.span, most_per_machine: most, most_per_zone })
    });
    let span = if shared.is_some() { 1 } else { way.span };
    Some(Pool {
        addr: address(job, region.cloud, &region.id, &kind.name, taken)?,
        cloud: region.cloud,
        region: region.id.clone(),
        instance_type: kind.name.clone(),
        accelerator: kind.accelerator.and_then(|a| catalog.accelerators.get(a)).map(|a| a.id.clone()),
        accelerators_per_machine: kind.accelerator_count,
        vcpus_per_replica: super::measured::vcpus(job, table.variants.get(way.variant)?, kind),
        variant: table.variants.get(way.variant)?.clone(),
        quantization: runner.quantization,
        kv_cache: runner.kv_cache,
        layout: way.layout,
        engine: runner.engine,
        replicas_per_machine: if span > 1 { 0 } else { way.per_machine() },
        machines_per_replica: span,
        replicas: count.replicas,
        zones: region.zones.map_or(1, |z| z.min(units).max(1)),
        machines,
        shared,
        stands_in: None,
        following: None,
        peak_rate: 0.0,
        capacity: 0.0,
        latency: None,
        ttft_factor: runner.factors.0,
        tpot_factor: runner.factors.1,
        memory: runner.memory,
        evidence: runner.evidence,
        notes: runner.notes,
    })
}

/// `8 x g6.xlarge on_demand`, or the least and the most of them over the day.
fn what(pool: &Pool, machines: &PoolMachines, counts: &[u32]) -> String {
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let count = match (least, most) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        _ => machines.count.to_string(),
    };
    format!("{count} x {} {}", pool.instance_type, machines.purchase)
}

/// How long a pool runs.
#[derive(Clone, Copy)]
pub(super) enum Runs<'a> {
    /// All hours.
    Always,
    /// This share of them.
    Share(f64),
    /// As the day goes.
    Following(&'a Rest),
}

impl Draft {
    /// Adds the lines, caveats and quotas of a pool.
    pub fn bill(
        &mut self,
        job: &Job<'_>,
        table: &Table,
        chosen: &Chosen,
        pool: &Pool,
        runs: Runs<'_>,
        gib: f64,
    ) {
        let catalog = &job.world.catalog;
        let site = &table.sites[chosen.site];
        let index = table.machines[site.machine].index;
        let (kind, region) = (&catalog.instance_types[index], &catalog.regions[site.region]);
        let contradicted = pool.notes.iter().filter(|note| note.starts_with(CONTRADICTED));
        self.caveats.extend(contradicted.map(|note| format!("{}: {note}", pool.instance_type)));
        for (k, m) in pool.machines.iter().enumerate() {
            let all = m.price.times(i64::from(m.count));
            let of = |class: &HourClass| class.machines.get(k).copied();
            let counts: Vec<u32> = pool.following.iter().flat_map(|f| &f.classes).filter_map(of).collect();
            let hourly = match runs {
                Runs::Always => all,
                Runs::Share(share) => all.scale(share),
                Runs::Following(rest) => {
                    let below = match m.purchase {
                        Purchase::Spot | Purchase::Held => rest.spot_seconds,
                        _ => rest.base_seconds,
                    };
                    let peak = i64::from(rest.classes.peak().seconds) * i64::from(m.count);
                    day::by_seconds(m.price, below + peak)
                }
            };
            self.lines.push(CostLine {
                addr: format!("{}/{}", pool.addr, m.purchase),
                what: what(pool, m, &counts),
                per_hour: Some(hourly),
                evidence: match m.purchase {
                    Purchase::Held => Evidence::Stated,
                    _ if pool.cloud == Cloud::Site || m.provenance.is_own() => Evidence::Stated,
                    _ => Evidence::Listed,
                },
                provenance: Some(m.provenance.clone()),
            });
            let offering = catalog.offering_of(index, site.region, (m.purchase, m.commitment.as_deref()));
            let offered = offering.map(|o| o.offered);
            let unsure = offered.and_then(|o| job::unsure(kind, region, o));
            self.caveats.extend(unsure.filter(|c| !self.caveats.contains(c)));
            if m.purchase == Purchase::Spot
                && catalog.offering(index, site.region, Purchase::OnDemand).is_none()
            {
                let caveat = format!(
                    "{} has no on-demand price in {}/{}: the ceiling counts its spot price there",
                    kind.name, region.cloud, region.id
                );
                self.caveats.extend(Some(caveat).filter(|c| !self.caveats.contains(c)));
            }
            if kind.is_processors_only() && catalog.quotas_for(index, m.purchase).is_empty() {
                let caveat = format!(
                    "which quota {} counts against on {} is not known here: look it up in the account",
                    kind.name, region.cloud
                );
                self.caveats.extend(Some(caveat).filter(|c| !self.caveats.contains(c)));
            }
            let most = counts.into_iter().max().unwrap_or(m.count);
            self.quota(job, offering, pool, most + job.surge(pool.cloud).min(most));
        }
        if let Some(from) = &job.model.artifacts_at
            && gib > 0.0
        {
            let to = RegionRef { cloud: pool.cloud, region: pool.region.clone() };
            let price = catalog
                .region(from.cloud, &from.region)
                .and_then(|i| catalog.transfer_price(i, TransferTo::Region(&to)));
            let amount = gib * f64::from(chosen.count.machines) / HOURS_PER_MONTH as f64;
            let (each, to) = match &pool.shared {
                Some(on) => (gib * f64::from(on.accelerators), format!("{} replicas", pool.replicas)),
                None => (gib, format!("{} machines", chosen.count.machines)),
            };
            self.lines.push(CostLine {
                addr: format!("{}/transfer/weights/{}/{}", job.address, pool.cloud, pool.region),
                what: format!(
                    "{each:.1} GiB of weights from {}/{} to {to}, once a month",
                    from.cloud, from.region
                ),
                per_hour: price.as_ref().map(|p| p.usd_per_gib.scale(amount)),
                evidence: Evidence::Listed,
                provenance: price.map(|p| p.provenance),
            });
        }
    }

    fn quota(&mut self, job: &Job<'_>, offering: Option<&Offering>, pool: &Pool, most: u32) {
        let all = offering.into_iter().flat_map(|o| quotas(job, o, (pool.cloud, &pool.region), most));
        for new in all {
            let same =
                |q: &&mut QuotaNeed| q.cloud == new.cloud && q.region == new.region && q.code == new.code;
            match self.quotas.iter_mut().find(same) {
                Some(known) => known.amount += new.amount,
                None => self.quotas.push(new),
            }
        }
    }

    fn sort(&mut self) {
        self.quotas.sort_by(|a, b| (a.cloud, &a.region, &a.code).cmp(&(b.cloud, &b.region, &b.code)));
    }
}

/// What machines of an offering in a region count against.
pub(super) fn quotas(
    job: &Job<'_>,
    offering: &Offering,
    (cloud, region): (Cloud, &str),
    machines: u32,
) -> Vec<QuotaNeed> {
    let all = job.world.catalog.quotas_of(offering).into_iter();
    all.map(|(quota, each)| {
        let place = job::quota_place(quota, region);
        QuotaNeed {
            cloud,
            region: place.to_owned(),
            code: quota.code.clone(),
            name: quota.name.clone(),
            unit: quota.unit.as_str(),
            amount: each * f64::from(machines),
            default_new_account: quota.default_new_account,
            declared: job.declared(cloud, place, &quota.code),
        }
    })
    .collect()
}

fn order(pools: &mut [Pool]) -> Vec<usize> {
    let mut by: Vec<usize> = (0..pools.len()).collect();
    by.sort_by(|a, b| pools[*a].addr.cmp(&pools[*b].addr));
    let mut place = vec![0; by.len()];
    for (new, old) in by.iter().enumerate() {
        place[*old] = new;
    }
    pools.sort_by(|a, b| a.addr.cmp(&b.addr));
    place
}

/// What a service's choice promises.
pub(super) fn service(search: &Search<'_>, blocks: &[Block], certificate: Certificate) -> WorkloadPlacement {
    let (job, table, service) = (search.job, search.table, search.service);
    let mut draft = Draft { pools: Vec::new(), lines: Vec::new(), caveats: Vec::new(), quotas: Vec::new() };
    let limits = job::limits(service);
    let mut failures: Vec<FailureCheck> = Vec::new();
    let mut routes: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    let mut checks: BTreeMap<(usize, usize), ObjectiveCheck> = BTreeMap::new();
    let mut transfers: Vec<CostLine> = Vec::new();
    for block in blocks {
        let base = search.base(&block.origins);
        let regions = block.pools.len() as u32;
        let mut region_failures: Vec<(f64, f64, u32)> = Vec::new();
        for chosen in &block.pools {
            let Some(speed) = search.speed(chosen) else { continue };
            let site = &table.sites[chosen.site];
            let way = &table.machines[site.machine].ways[chosen.way];
            let Some(ms) = base.network.get(site.region).copied().flatten() else { continue };
            let demand = search.demand(&base, regions, ms);
            let Some(mut pool) = pool(job, table, chosen, speed, &draft.pools) else { continue };
            let n = pool.replicas;
            let elsewhere = chosen.count.stand_in.map_or(0, |s| s.percent);
            pool.peak_rate = demand.rate(speed, n);
            pool.capacity = demand.most(speed, n, 1.0);
            let rate = pool.peak_rate / f64::from(n.max(1));
            pool.latency = speed.curve.latency(rate, n, service.traffic.arrivals);
            let lost = service.survive.replica.max(service.survive.machine).max(service.survive.zone);
            draft.caveats.extend(replayed(job, &demand, speed, &pool, lost));
            let mut fail = |scope: &'static str, count: u32, lost: u32| {
                let left = n.saturating_sub(lost);
                failures.push(FailureCheck {
                    scope,
                    count,
                    at: pool.addr.to_string(),
                    replicas_left: left,
                    required_rate: pool.peak_rate * demand.kept(elsewhere),
                    capacity: if left > 0 { demand.most(speed, left, demand.slo_factor) } else { 0.0 },
                });
            };
            let s = service.survive;
            let per = way.replicas;
            let units = chosen.count.machines / way.span.max(1);
            if s.replica > 0 {
                fail("replica", s.replica, s.replica);
            }
            if s.machine > 0 {
                fail("machine", s.machine, s.machine.saturating_mul(way.per_machine()));
            }
            if s.zone > 0 {
                let zones = pool.zones.max(1);
                fail("zone", s.zone, units.div_ceil(zones).saturating_mul(per).saturating_mul(s.zone));
            }
            if s.wan > 0 && block.origins.iter().any(|o| is_home(service, *o, &pool)) {
                fail("wan", s.wan, 0);
            }
            if chosen.count.spot > 0 && !site.held {
                let interruption = search.terms[chosen.site].interruption;
                let gone = (interruption * f64::from(chosen.count.spot) - 1e-9).ceil().max(1.0) as u32;
                fail("spot", gone, gone.saturating_mul(per));
            }
            if demand.region_loss.is_some() {
                region_failures.push((demand.most(speed, n, demand.slo_factor), pool.peak_rate, n));
            }
            let gib = weights_gib(speed, way);
            draft.caveats.extend(arrival(job, &pool, gib * f64::from(chosen.count.machines)));
            let following = search.following(&base, regions, chosen);
            let rest = following.as_ref().map(|(_, rest)| Arc::clone(rest));
            pool.following = following.map(|(mut following, _)| {
                // A class says the machines of every purchase option that the pool has in any hour.
                let kept = [chosen.count.most_base, chosen.count.most_spot].map(|most| most > 0);
                let spot_first = pool.machines.first().is_some_and(|m| m.purchase == Purchase::Spot);
                for class in &mut following.classes {
                    let mut kinds = class.machines.iter().zip(kept);
                    class.machines = kinds.by_ref().filter(|(_, k)| *k).map(|(n, _)| *n).collect();
                    if spot_first {
                        class.machines.reverse();
                    }
                }
                following
            });
            let runs = rest.as_deref().map_or(Runs::Always, Runs::Following);
            draft.bill(job, table, chosen, &pool, runs, gib);
            if service.traffic.output.mean > 0.0 && search.leaves(&block.origins, site.region) {
                let price = job.world.catalog.transfer_price(site.region, TransferTo::Internet);
                let at_peak = search.own_responses(&base, site.region, pool.peak_rate);
                let amount = match (&service.traffic.daily, &rest) {
                    (_, Some(rest)) => rest.responses + day::arriving(&rest.classes.peak(), at_peak),
                    (Some(daily), None) => day::mean(daily, at_peak),
                    (None, None) => at_peak,
                };
                transfers.push(CostLine {
                    addr: format!("{}/transfer/responses/{}/{}", job.address, pool.cloud, pool.region),
                    what: "responses to users, 250 bytes a token".into(),
                    per_hour: (!search.unpriced(&base, site.region)).then_some(amount),
                    evidence: Evidence::Assumed,
                    provenance: price.map(|p| p.provenance),
                });
            }
            let slow = speed.slowed.latency(rate, n, service.traffic.arrivals);
            for origin in &block.origins {
                let Some(hop) = search.hops[*origin].get(site.region).copied().flatten() else { continue };
                for (l, limit) in limits.iter().enumerate() {
                    let at =
                        slow.as_ref().map_or(f64::INFINITY, |s| at_confidence(speed, s, limit, hop.edge));
                    let network = if limit.metric == Metric::Tpot { 0.0 } else { hop.shown };
                    let shown = pool.latency.as_ref().map_or(f64::INFINITY, |x| figure(x, limit)) + network;
                    let check = ObjectiveCheck {
                        origin: service.traffic.origins[*origin].name.clone(),
                        metric: limit.metric,
                        quantile: limit.quantile,
                        limit_ms: limit.limit_ms,
                        network_ms: network,
                        predicted_ms: shown,
                        at_confidence_ms: at,
                        evidence: speed.curve.evidence,
                    };
                    let worst = checks.get(&(*origin, l)).is_none_or(|old| old.at_confidence_ms < at);
                    if worst {
                        checks.insert((*origin, l), check);
                    }
                }
                let route = routes.entry(*origin).or_default();
                route.0.push(draft.pools.len());
                route.1.push(site.region);
            }
            draft.pools.push(pool.clone());
            draft.stand_in(search, chosen, &demand, &pool);
        }
        let s = service.survive;
        if s.region > 0 && regions > s.region {
            let others = f64::from(regions - s.region);
            // Told for the pool that is the nearest to its limit, as if all were like it.
            let all = service.during_failure.capacity * f64::from(regions);
            let (each, peak) = region_failures
                .iter()
                .map(|(c, peak, _)| (*c, *peak))
                .min_by(|a, b| (a.0 * b.1).total_cmp(&(b.0 * a.1)))
                .unwrap_or((0.0, 0.0));
            let required = all * peak;
            let left = region_failures.iter().map(|(_, _, n)| *n).sum::<u32>()
                - worst(region_failures.iter().map(|(_, _, n)| *n), s.region);
            failures.push(FailureCheck {
                scope: "region",
                count: s.region,
                at: "all".into(),
                replicas_left: left,
                required_rate: required,
                capacity: each * others,
            });
        }
    }
    let place = order(&mut draft.pools);
    let routes = routes
        .into_iter()
        .map(|(origin, (pools, regions))| {
            let even = 1.0 / pools.len().max(1) as f64;
            let mut legs: Vec<(usize, f64, Evidence)> = pools
                .iter()
                .zip(&regions)
                .filter_map(|(p, r)| {
                    let hop = search.hops[origin].get(*r).copied().flatten()?;
                    Some((place[*p], hop.whole, hop.evidence))
                })
                .collect();
            legs.sort_by_key(|(p, _, _)| *p);
            Route {
                origin: service.traffic.origins[origin].name.clone(),
                to: legs.iter().map(|(p, _, _)| (*p, even)).collect(),
                network_ms: legs.iter().map(|(_, ms, _)| *ms).collect(),
                evidence: legs.iter().map(|(_, _, e)| *e).max().unwrap_or(Evidence::Assumed),
            }
        })
        .collect();
    draft.lines.extend(transfers);
    if draft.pools.iter().any(|pool| pool.cloud != Cloud::Site) {
        draft.caveats.extend(rolled::caveats(job));
    }
    if let Some(degrade) =
        service.degrade.as_ref().filter(|_| draft.pools.iter().all(|p| p.stands_in.is_none()))
    {
        let names: Vec<&str> = degrade.to.iter().map(|s| s.model.as_str()).collect();
        draft.caveats.push(format!(
            "`degrade`: nothing stands in: with {} in the same region it would cost no less than to survive without",
            names.join(" or ")
        ));
    }
    let below = job.spec.is_below_the_peak(&job.address);
    let of = |binds| -> Money { blocks.iter().filter(|_| !below).map(|b| b.bound(binds)).sum() };
    let cost = cost(draft.lines.clone(), of(BudgetBinds::PeakMonth), of(BudgetBinds::Ceiling));
    draft.sort();
    WorkloadPlacement {
        address: job.address.clone(),
        pools: draft.pools,
        fallbacks: Vec::new(),
        routes,
        objectives: checks.into_values().collect(),
        failures,
        cost,
        run: None,
        mix: None,
        certificate,
        losers: Vec::new(),
        relaxations: Vec::new(),
        quotas: draft.quotas,
        caveats: draft.caveats,
    }
}

/// How long what machines at a site load takes to come there.
fn arrival(job: &Job<'_>, pool: &Pool, gib: f64) -> Option<String> {
    let site = job.spec.sites.get(&pool.region).filter(|_| pool.cloud == Cloud::Site)?;
    let mbps = site.wan.mbps?;
    let minutes = gib * GIB * 8.0 / (mbps * 1e6) / 60.0;
    Some(format!(
        "site/{}: {:.1} GiB of weights come over its connection of {mbps} Mbps, which takes at least {:.1} min",
        pool.region, gib, minutes
    ))
}

/// Whether an origin is at the site that a pool is at.
fn is_home(service: &Service, origin: usize, pool: &Pool) -> bool {
    let home = service.traffic.origins.get(origin).and_then(Origin::site);
    home.is_some_and(|home| (home.cloud, &home.region) == (pool.cloud, &pool.region))
}

/// The sum of the `k` largest.
fn worst(of: impl Iterator<Item = u32>, k: u32) -> u32 {
    let mut all: Vec<u32> = of.collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.iter().take(k as usize).sum()
}

fn figure(l: &Latency, limit: &job::Limit<'_>) -> f64 {
    match limit.metric {
        Metric::Ttft => l.ttft.at(limit.quantile),
        Metric::Tpot => l.tpot.at(limit.quantile),
        Metric::E2e => l.e2e.at(limit.quantile),
    }
}

fn cost(lines: Vec<CostLine>, peak_per_hour: Money, ceiling_per_hour: Money) -> Cost {
    let expected: Money = lines.iter().filter_map(|l| l.per_hour).sum();
    Cost {
        expected_per_hour: expected,
        expected_per_month: expected.per_month(),
        peak_per_month: peak_per_hour.per_month(),
        ceiling_per_month: ceiling_per_hour.per_month(),
        incomplete: lines.iter().any(|l| l.per_hour.is_none()),
        lines,
    }
}
