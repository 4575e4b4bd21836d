//! What placed machines emit.

use std::collections::BTreeMap;

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money};

use super::batch::Within;
use super::couple::Wanted;
use super::federation::Rounds;
use super::job::{Job, Kind};
use super::pool::PRICE_ONE;
use super::service::{self, Search};
use super::table::Table;
use crate::perf::carbon::{self, Emitter};
use crate::placement::{Emission, Emissions, Pool, SharedFleet, WorkloadPlacement, World};
use crate::spec::{Spec, WEEK_S};

/// Seconds of a week.
const WEEK: i64 = WEEK_S as i64;
/// Milligrams of a tonne.
const TONNE: i128 = 1_000_000_000;

/// What a milligram counts for in what is minimised, micro-dollars over [`PRICE_ONE`].
pub(super) fn price(spec: &Spec) -> i64 {
    let micros = i128::from(spec.objective.per_tonne().micros());
    (micros * PRICE_ONE / TONNE) as i64
}

/// What so many milligrams count for at `price`, rounded down.
pub(super) fn priced(mg: i64, price: i64) -> Money {
    let counted = i128::from(mg) * i128::from(price) / PRICE_ONE;
    Money::from_micros(counted.clamp(0, i128::from(i64::MAX / 1024)) as i64)
}

/// What a machine of a type emits in a region, both by index.
///
/// # Errors
/// In words: what is not known.
pub(super) fn emitter(world: &World, kind: usize, region: usize) -> Result<Emitter, String> {
    let catalog = &world.catalog;
    let kind = &catalog.instance_types[kind];
    let accelerator = kind.accelerator.and_then(|i| catalog.accelerators.get(i));
    carbon::emitter(kind, accelerator, &catalog.regions[region])
}

fn one(
    world: &World,
    (cloud, region, kind): (Cloud, &str, &str),
    month: impl FnOnce(i64) -> i64,
) -> Emission {
    let catalog = &world.catalog;
    let (Some(kind), Some(region)) = (catalog.instance_type(cloud, kind), catalog.region(cloud, region))
    else {
        return Emission { unknown: Some("it is not in the catalogue".into()), ..Emission::default() };
    };
    let at = &catalog.regions[region];
    let found = emitter(world, kind, region);
    let accelerator = catalog.instance_types[kind].accelerator.and_then(|i| catalog.accelerators.get(i));
    let mg = found.as_ref().ok().map(|e| e.mg_per_hour);
    Emission {
        mg_per_month: mg.map(month),
        mg_per_hour: mg,
        watts: carbon::watts(&catalog.instance_types[kind], accelerator).ok(),
        pue: at.pue.as_ref().map(|p| p.ratio),
        pue_of_region: at.pue.as_ref().is_some_and(|p| p.of_region),
        g_per_kwh: at.grid.as_ref().map(|g| g.g_per_kwh),
        year: at.grid.as_ref().and_then(|g| g.year),
        provenance: at.grid.as_ref().map(|g| g.provenance.clone()),
        unknown: found.err(),
    }
}

/// Machine-seconds of a week of a service's pool.
pub(super) fn seconds(pool: &Pool) -> i64 {
    let Some(following) = &pool.following else {
        return WEEK * pool.machines.iter().map(|m| i64::from(m.count)).sum::<i64>();
    };
    let class = |of: &crate::placement::HourClass| {
        i64::from(of.seconds) * of.machines.iter().map(|n| i64::from(*n)).sum::<i64>()
    };
    following.classes.iter().map(class).sum::<i64>() * i64::from(following.repeats())
}

/// What each pool on machines of its own emits, by address.
pub(super) fn of_workload<'p>(
    world: &'p World,
    placed: &'p WorkloadPlacement,
) -> impl Iterator<Item = (String, Emission)> + 'p {
    placed.pools.iter().filter(|pool| pool.shared.is_none()).map(move |pool| {
        let machines: u32 = pool.machines.iter().map(|m| m.count).sum();
        let month = |mg: i64| match &placed.run {
            Some(run) => carbon::of_runs(mg, machines, run.hours, run.runs_per_month),
            None => carbon::of_weeks(mg, seconds(pool)),
        };
        let machine = (pool.cloud, pool.region.as_str(), pool.instance_type.as_str());
        (pool.addr.to_string(), one(world, machine, month))
    })
}

/// Milligrams a month of a workload on machines of its own, as far as they are known.
pub(super) fn sum(world: &World, placed: &WorkloadPlacement) -> i64 {
    of_workload(world, placed).filter_map(|(_, e)| e.mg_per_month).sum()
}

/// What all machines emit, by the address of their pool or fleet.
pub(super) fn all(
    spec: &Spec,
    world: &World,
    workloads: &BTreeMap<String, WorkloadPlacement>,
    fleets: &[SharedFleet],
) -> Emissions {
    let shared = fleets.iter().map(|fleet| {
        let machine = (fleet.cloud, fleet.region.as_str(), fleet.instance_type.as_str());
        let month = |mg: i64| carbon::of_weeks(mg, WEEK * i64::from(fleet.count));
        (fleet.addr.to_string(), one(world, machine, month))
    });
    let machines = workloads.values().flat_map(|placed| of_workload(world, placed)).chain(shared).collect();
    Emissions { machines, cap_mg: spec.budget.carbon.as_ref().map(|cap| cap.mg) }
}

/// Milligrams a month of a shared machine of a type in a region, both by index; nothing where they are not known.
pub(super) fn of_shared(world: &World, kind: usize, region: usize) -> i64 {
    emitter(world, kind, region).map_or(0, |e| carbon::of_weeks(e.mg_per_hour, WEEK))
}

/// What a workload emits at the least, milligrams a month, whatever it costs; rounded down. `None` if it cannot be placed.
pub(super) fn least(spec: &Spec, world: &World, address: &str) -> Option<i64> {
    let mut free = spec.clone();
    free.budget.limits.clear();
    let job = Job::of(&free, world, address)?;
    let table = Table::new(&job);
    let mg = |site: usize| {
        let site = &table.sites[site];
        emitter(world, table.machines[site.machine].index, site.region).map_or(0, |e| e.mg_per_hour)
    };
    match job.kind {
        Kind::Service(service) => {
            // Accelerators of shared machines emit their part.
            let sharing = service.shares && spec.services.values().filter(|s| s.shares).count() > 1;
            let wide = sharing.then(|| table.with_shared(&job, service.survive.machine > 0));
            let table = wide.as_ref().unwrap_or(&table);
            let mg = |site: usize| {
                let at = &table.sites[site];
                let whole = emitter(world, table.machines[at.machine].index, at.region);
                whole.map_or(0, |e| e.mg_per_hour) / i64::from(table.slots(site).unwrap_or(1).max(1))
            };
            // The search for the cheapest, where an hour of a machine costs what it emits and all else nothing.
            let search = Search::new(&job, table, service).at(
                |site, terms| {
                    let each = Some(Money::from_micros(mg(site)));
                    (terms.base, terms.run_base) = (terms.base.and(each), terms.run_base.and(each));
                    (terms.spot, terms.run_spot) = (terms.spot.and(each), terms.run_spot.and(each));
                    (terms.weights, terms.budget) = (None, -PRICE_ONE);
                },
                -PRICE_ONE,
                0,
            );
            let blocks = search.run(Wanted::Cheapest).ok()?;
            let hour = if search.unproven.get() { search.relaxed.get() } else { service::weight(&blocks).0 };
            // A milligram an hour for each of a few pools is lost in rounding.
            Some((hour.micros() - 8).max(0).saturating_mul(HOURS_PER_MONTH))
        }
        Kind::Mixed(profiled) => {
            // The same search, where a month of a machine costs what it emits.
            let mixed = super::mixed::Mixed::new(&job, &table, profiled);
            let hours = i128::from(HOURS_PER_MONTH) * super::together::ONE;
            let (_, least, _) = mixed.cheapest(&|site| i128::from(mg(site)) * hours).ok()?;
            Some(least.div_euclid(super::together::ONE).clamp(0, i128::from(i64::MAX / 1024)) as i64)
        }
        Kind::Federation(asked, _) => {
            let rounds = Rounds::of(&job, &table, asked)?;
            let first = table.sites.len();
            let of_client = |site: usize| {
                let site = &rounds.clients.sites[site];
                let machine = rounds.clients.machines[site.machine].index;
                emitter(world, machine, site.region).map_or(0, |e| e.mg_per_hour)
            };
            let toll = |i: usize| {
                let mg = if i < first { mg(i) } else { of_client(i - first) };
                (0, i128::from(mg) * PRICE_ONE)
            };
            let mut best: Option<i64> = None;
            // Where money counts nothing a milligram is what is minimised; a second of each member is left to rounding.
            rounds.each(false, (0, &toll), i128::MAX, &mut |members| {
                let runs = asked.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
                let each = members.clients.iter().map(|c| of_client(c.site)).chain([mg(members.aggregator)]);
                let all = each.map(|mg| carbon::of_runs(mg, 1, members.hours, runs)).sum();
                best = best.into_iter().chain([all]).min();
                best.map_or(i128::MAX, |best| i128::from(best) * PRICE_ONE)
            });
            best
        }
        Kind::Run(task) => {
            let mut best: Option<i64> = None;
            let runs = Within { job: &job, table: &table, task, terms: &table.terms };
            runs.each(&|_| (0, 0, 0), i128::MAX, &mut |found| {
                let machines = found.run.chosen.count.machines;
                let mg = carbon::of_runs(mg(found.run.chosen.site), machines, found.run.hours, task.runs());
                best = best.into_iter().chain([mg]).min();
                i128::MAX
            });
            best
        }
    }
}
