//! The options that lost, and what rejected each: first those that look cheaper than the optimum.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rhumb_api::{Cloud, Money};

use super::base::Base;
use super::batch::Found;
use super::job::{Job, Kind};
use super::pool::Terms;
use super::service::Search;
use super::table::{Machine, Site, Table, Way};
use crate::placement::{CandidateId, Loser, Rejection, WorkloadPlacement};
use crate::spec::Stability;

/// Losers that are told.
const MOST: usize = 10;
/// Of one accelerator on one cloud.
const MOST_ALIKE: usize = 2;
/// That look cheaper than the optimum and do not run or are too slow.
const MOST_TEMPTING: usize = 4;
/// That look cheaper and are forbidden.
const MOST_FORBIDDEN: usize = 3;

/// A candidate of a site.
pub(super) fn candidate(
    job: &Job<'_>,
    table: &Table,
    site: &Site,
    way: &Way,
    spot: bool,
) -> Option<CandidateId> {
    let catalog = &job.world.catalog;
    let kind = catalog.instance_types.get(table.machines.get(site.machine)?.index)?;
    let region = catalog.regions.get(site.region)?;
    let offering = if spot { site.spot.or(site.base) } else { site.base.or(site.spot) };
    Some(CandidateId {
        cloud: region.cloud,
        region: region.id.clone(),
        instance_type: kind.name.clone(),
        purchase: catalog.offerings.get(offering?)?.purchase,
        variant: table.variants.get(way.variant)?.clone(),
        layout: way.layout,
    })
}

/// What is left of a list when no accelerator of a cloud may fill it.
struct Diverse<'a> {
    job: &'a Job<'a>,
    seen: Seen,
    kept: Vec<Loser>,
}

/// How many there are already of an accelerator (by its index, if there is one) on a cloud.
type Seen = BTreeMap<Alike, usize>;

type Alike = (Cloud, Option<usize>);

/// Whether there is room for one more, which then is counted.
fn has_room(seen: &mut Seen, key: Alike) -> bool {
    let alike = seen.entry(key).or_insert(0);
    *alike += 1;
    *alike <= MOST_ALIKE
}

impl<'a> Diverse<'a> {
    fn new(job: &'a Job<'a>) -> Self {
        Diverse { job, seen: BTreeMap::new(), kept: Vec::new() }
    }

    fn add(&mut self, losers: impl IntoIterator<Item = Loser>, most: usize) {
        let mut added = 0;
        for loser in losers {
            if added == most || self.kept.len() == MOST {
                return;
            }
            let catalog = &self.job.world.catalog;
            let kind = catalog.instance_type(loser.candidate.cloud, &loser.candidate.instance_type);
            let accelerator = kind.and_then(|i| catalog.instance_types[i].accelerator);
            if has_room(&mut self.seen, (loser.candidate.cloud, accelerator)) {
                added += 1;
                self.kept.push(loser);
            }
        }
    }

    /// Whether these, in their order, leave no room for any other.
    fn is_filled_by(&self, keys: impl Iterator<Item = Alike>) -> bool {
        let mut seen = self.seen.clone();
        let fit = keys.filter(|key| has_room(&mut seen, *key)).take(MOST).count();
        self.kept.len() + fit >= MOST
    }
}

/// `each`: `an hour` or `a run`.
fn dearer(per_hour: Money, optimum: Money, each: &str) -> Rejection {
    let over = per_hour - optimum;
    // What is held costs nothing more: nothing is a share of that.
    let share = (optimum > Money::ZERO).then(|| per_hour.usd() / optimum.usd() - 1.0);
    let reason = if over == Money::ZERO {
        "costs the same; equal costs are decided by machines, cloud, region, type".into()
    } else {
        let percent = share.map_or_else(String::new, |share| format!(" ({:+.0} %)", share * 100.0));
        format!("{over} USD {each} dearer{percent}")
    };
    Rejection { constraint: "dearer", reason, at: None, distance: share }
}

/// The cheapest site of each machine type, by the price of one machine.
fn cheapest_sites(table: &Table, terms: &[Terms]) -> BTreeMap<usize, (Money, usize)> {
    let mut best: BTreeMap<usize, (Money, usize)> = BTreeMap::new();
    for (i, site) in table.sites.iter().enumerate().filter(|(_, site)| !site.held) {
        let Some(price) = terms[i].base.into_iter().chain(terms[i].spot).min() else { continue };
        let entry = best.entry(site.machine).or_insert((price, i));
        if (price, i) < *entry {
            *entry = (price, i);
        }
    }
    best
}

/// The way of a machine type that came nearest, and what rejected it.
fn nearest_way(machine: &Machine, slow: &dyn Fn(usize) -> Option<Rejection>) -> Option<(usize, Rejection)> {
    let mut best: Option<((u8, f64), usize, Rejection)> = None;
    for (w, way) in machine.ways.iter().enumerate() {
        let (rank, why) = match &way.speed {
            Ok(speed) => (0, slow(*speed)?),
            Err(why) => (
                match why.constraint {
                    "memory" => 1,
                    "context" | "quality" => 2,
                    "engine-setting" => 9,
                    _ => 3,
                },
                why.clone(),
            ),
        };
        let key = (rank, why.distance.unwrap_or(f64::INFINITY));
        if best.as_ref().is_none_or(|(k, _, _)| key < *k) {
            best = Some((key, w, why));
        }
    }
    best.map(|(_, w, why)| (w, why))
}

/// Machine types cheaper than `below` whose every way fails before any load is looked at, cheapest machine first.
fn failing(
    job: &Job<'_>,
    table: &Table,
    terms: &[Terms],
    below: Money,
    slow: &dyn Fn(usize) -> Option<Rejection>,
) -> Vec<Loser> {
    let mut list: Vec<(Money, usize, Loser)> = Vec::new();
    for (m, (price, i)) in cheapest_sites(table, terms).into_iter().filter(|(_, (price, _))| *price < below) {
        let machine = &table.machines[m];
        let Some((w, rejection)) = nearest_way(machine, slow) else { continue };
        let spot = terms[i].base.is_none_or(|b| terms[i].spot.is_some_and(|s| s < b));
        let Some(candidate) = candidate(job, table, &table.sites[i], &machine.ways[w], spot) else {
            continue;
        };
        list.push((price, m, Loser { candidate, machines: None, per_hour: price, rejection }));
    }
    list.sort_by_key(|(price, m, _)| (*price, *m));
    list.into_iter().map(|(_, _, loser)| loser).collect()
}

/// Offerings that a rule forbids, cheapest first, each type and rule once. A site that is not meant is no offer.
fn forbidden<'a>(job: &'a Job<'_>, table: &'a Table, below: Money) -> impl Iterator<Item = Loser> + 'a {
    let catalog = &job.world.catalog;
    let cheaper = catalog.offerings.iter().enumerate().filter(|(_, offering)| offering.price < below);
    let mut list: Vec<(Money, usize, &Rejection)> = cheaper
        .filter_map(|(i, offering)| Some((offering.price, i, table.forbidding(job, offering)?)))
        .filter(|(.., why)| !["retired", "engine", "sites"].contains(&why.constraint))
        .collect();
    list.sort_unstable_by_key(|(price, i, _)| (*price, *i));
    let mut seen: BTreeSet<(usize, &'static str)> = BTreeSet::new();
    list.into_iter().filter_map(move |(price, i, why)| {
        let offering = catalog.offerings.get(i)?;
        if !seen.insert((offering.instance_type, why.constraint)) {
            return None;
        }
        let machine = &table.machines[offering.instance_type];
        // Only what would run; of a type that is itself forbidden nothing is known.
        let way = machine.ways.iter().find(|w| w.speed.is_ok())?;
        let kind = &catalog.instance_types[offering.instance_type];
        let region = &catalog.regions[offering.region];
        let variant = table.variants.get(way.variant)?;
        Some(Loser {
            candidate: CandidateId {
                cloud: region.cloud,
                region: region.id.clone(),
                instance_type: kind.name.clone(),
                purchase: offering.purchase,
                variant: variant.clone(),
                layout: way.layout,
            },
            machines: None,
            per_hour: price,
            rejection: why.clone(),
        })
    })
}

/// What lost to a service as it is placed.
pub(super) fn of(search: &Search<'_>, placed: &WorkloadPlacement) -> Vec<Loser> {
    let (optimum, chosen) = (placed.certificate.optimum, super::relax::choices(placed));
    let (job, table) = (search.job, search.table);
    let all: Vec<usize> = (0..search.service.traffic.origins.len()).collect();
    let singles: Vec<Arc<Base<'_>>> = all.iter().map(|o| search.base(&[*o])).collect();
    let slow = |speed: usize| missed(search, &singles, speed);
    let mut kept = Diverse::new(job);
    let tempting: Vec<Loser> = failing(job, table, &search.terms, optimum, &slow);
    kept.add(tempting, MOST_TEMPTING);
    kept.add(forbidden(job, table, optimum), MOST_FORBIDDEN);
    let alone = alone(search, optimum, &chosen, &search.base(&all), &kept);
    kept.add(alone, MOST);
    kept.kept
}

/// Why a speed is too slow for every origin; `None` if it can serve one.
fn missed<'a>(search: &Search<'a>, singles: &[Arc<Base<'a>>], speed: usize) -> Option<Rejection> {
    let mut first = None;
    for base in singles.iter().filter(|b| b.nearest.is_finite()) {
        let demand = search.demand(base, 1, base.nearest);
        let why = demand.missed(search.table.speeds.get(speed)?)?;
        first.get_or_insert(why);
    }
    first
}

/// Machine types that could serve all origins from one pool, cheapest first: as many as there is room for.
fn alone<'a>(
    search: &Search<'a>,
    optimum: Money,
    chosen: &[CandidateId],
    base: &Base<'a>,
    kept: &Diverse<'_>,
) -> Vec<Loser> {
    let (job, table) = (search.job, search.table);
    let mut list: BTreeMap<(Money, usize), (Alike, Loser)> = BTreeMap::new();
    let near = search.demand(base, 1, base.nearest);
    let floors = search.floors(base, 1);
    let cheapest = cheapest_sites(table, &search.terms).into_iter();
    let mut types: Vec<(Money, usize, usize)> = cheapest
        .filter_map(|(m, (_, i))| {
            let few = if search.follows().is_some() { floors[m].len() } else { 1 };
            let least = floors[m].iter().take(few).filter_map(|floor| search.least_cost(i, *floor)).min()?;
            Some((least, m, i))
        })
        .collect();
    types.sort_unstable();
    for (least, m, i) in types {
        // What is still to come is no cheaper.
        let cheaper = list.range(..(least, 0)).map(|(_, (key, _))| *key);
        if kept.is_filled_by(cheaper) {
            break;
        }
        let site = &table.sites[i];
        let Some(ms) = base.network.get(site.region).copied().flatten() else { continue };
        let mut best: Option<(Money, u32, usize, bool)> = None;
        let dear = |floor, limit: Money| search.least_cost(i, floor).is_none_or(|least| least > limit);
        for floor in &floors[m] {
            let (w, way) = (floor.way, &table.machines[m].ways[floor.way]);
            let Ok(index) = way.speed else { continue };
            let limit = best.map_or(Money::MAX, |b| b.0);
            if dear(*floor, limit) && search.follows().is_none() {
                break;
            }
            if search.least(base, &near, (m, w)).is_none_or(|floor| dear(floor, limit)) {
                continue;
            }
            let needs = search.needs(base, 1, ms, index);
            let extra = |n: u32| search.responses(base, site.region, needs.rate(n));
            let Ok(day) = search.day(base, 1, (i, w)) else { continue };
            let Some(ask) = search.ask((i, w), search.service.scaling.min_replicas, &extra, day) else {
                continue;
            };
            if let Ok(Some(count)) = ask.cheapest(&needs, limit)
                && best.is_none_or(|b| (count.cost, w) < (b.0, b.2))
            {
                best = Some((count.cost, count.machines, w, count.spot == count.machines));
            }
        }
        let Some((cost, machines, w, spot)) = best else { continue };
        let Some(candidate) = candidate(job, table, site, &table.machines[m].ways[w], spot) else { continue };
        let same = |c: &CandidateId| c.cloud == candidate.cloud && c.instance_type == candidate.instance_type;
        if cost < optimum || chosen.iter().any(same) {
            continue;
        }
        let loser = Loser {
            candidate,
            machines: Some(machines),
            per_hour: cost,
            rejection: dearer(cost, optimum, "an hour"),
        };
        let machine = table.machines[m].index;
        let accelerator = job.world.catalog.instance_types[machine].accelerator;
        list.insert((cost, m), ((loser.candidate.cloud, accelerator), loser));
    }
    list.into_values().map(|(_, loser)| loser).collect()
}

/// Those of a batch; costs are of a run.
pub(super) fn of_batch(
    job: &Job<'_>,
    table: &Table,
    found: &Found,
    optimum: Money,
    chosen: &[CandidateId],
) -> Vec<Loser> {
    let mut kept = Diverse::new(job);
    let mut per_type: BTreeMap<usize, Loser> = BTreeMap::new();
    let mut runs: Vec<_> = found.evaluated.values().collect();
    runs.sort_by_key(|r| (r.objective, r.chosen.count.machines, r.chosen.site, r.chosen.way));
    let of = if matches!(job.kind, Kind::Run(task) if task.stream().is_some()) { "a month" } else { "a run" };
    for run in runs {
        let site = &table.sites[run.chosen.site];
        let count = run.chosen.count;
        let way = &table.machines[site.machine].ways[run.chosen.way];
        let Some(candidate) = candidate(job, table, site, way, count.spot == count.machines) else {
            continue;
        };
        let same = |c: &CandidateId| c.cloud == candidate.cloud && c.instance_type == candidate.instance_type;
        if !chosen.iter().any(same) && run.objective >= optimum {
            per_type.entry(site.machine).or_insert_with(|| Loser {
                candidate,
                machines: Some(count.machines),
                per_hour: run.objective,
                rejection: dearer(run.objective, optimum, of),
            });
        }
    }
    let tempting = failing(job, table, &table.terms, Money::MAX, &|_| None);
    kept.add(tempting, MOST_TEMPTING);
    let mut rest: Vec<Loser> = per_type.into_values().collect();
    rest.sort_by_key(|l| l.per_hour);
    kept.add(rest, MOST);
    kept.kept
}

/// The candidate that comes nearest to serving, if none does.
pub(super) fn nearest(search: &Search<'_>) -> Option<Loser> {
    let all = search.service.traffic.origins.len();
    let singles: Vec<Arc<Base<'_>>> = (0..all).map(|o| search.base(&[o])).collect();
    let slow = |speed: usize| missed(search, &singles, speed);
    nearest_of(failing(search.job, search.table, &search.terms, Money::MAX, &slow))
}

/// The same for a batch.
pub(super) fn nearest_of_batch(job: &Job<'_>, table: &Table) -> Option<Loser> {
    nearest_of(failing(job, table, &table.terms, Money::MAX, &|_| None))
}

fn nearest_of(losers: Vec<Loser>) -> Option<Loser> {
    losers.into_iter().min_by(|a, b| {
        let far = |l: &Loser| l.rejection.distance.unwrap_or(f64::INFINITY);
        far(a).total_cmp(&far(b)).then(a.per_hour.cmp(&b.per_hour))
    })
}

/// What a workload would have got by itself, where the limits that it shares gave it something else.
pub(super) fn crowded_out(
    apart: &WorkloadPlacement,
    together: &WorkloadPlacement,
    emissions_priced: bool,
    keeps: Option<&Stability>,
) -> Vec<Loser> {
    let chosen = super::relax::choices(together);
    let machines = apart.pools.iter().flat_map(|p| &p.machines);
    let shares = together.pools.iter().any(|p| p.shared.is_some());
    let reason: String = if shares {
        SHARED.into()
    } else if let Some(stability) = keeps {
        format!("the cheapest if nothing ran; {}", kept(stability))
    } else if emissions_priced {
        "the cheapest by its bill; with what it emits and what all workloads share, another one counts for less".into()
    } else {
        "the cheapest by itself; what all workloads share is worth more elsewhere".into()
    };
    let constraint = if keeps.is_some() && !shares { "stability" } else { "shared" };
    super::relax::choices(apart)
        .into_iter()
        .zip(machines)
        .filter(|(candidate, _)| !chosen.contains(candidate))
        .map(|(candidate, m)| Loser {
            candidate,
            machines: Some(m.count),
            per_hour: m.price.times(i64::from(m.count)),
            rejection: Rejection { constraint, reason: reason.clone(), at: None, distance: None },
        })
        .collect()
}

/// Of a workload on shared machines, what costs less than its part of them by itself did not lose for being dearer.
pub(super) fn against_shared(placed: &mut WorkloadPlacement) {
    if placed.pools.iter().all(|pool| pool.shared.is_none()) {
        return;
    }
    let own = placed.cost.expected_per_hour;
    for loser in placed.losers.iter_mut().filter(|l| l.rejection.constraint == "dearer" && l.per_hour <= own)
    {
        loser.rejection.constraint = "shared";
        loser.rejection.reason = SHARED.into();
    }
}

/// Why the best on own machines lost.
const SHARED: &str = "on machines of its own; all services together cost less where they share some";

fn kept(stability: &Stability) -> String {
    let percent = crate::math::round_to(f64::from(stability.saving_ppm) / 1e4, 4);
    format!("what runs is kept unless a move saves more than {percent} %")
}

/// Where what runs is kept, what costs less than it did not lose for being dearer.
pub(super) fn against_kept(placed: &mut WorkloadPlacement, stability: &Stability) {
    let optimum = placed.certificate.optimum;
    let each = if placed.run.is_some() { "a month" } else { "an hour" };
    let cheaper = |l: &&mut Loser| l.rejection.constraint == "dearer" && l.per_hour < optimum;
    for loser in placed.losers.iter_mut().filter(cheaper) {
        let less = optimum - loser.per_hour;
        let share = less.usd() / optimum.usd().max(1e-9) * 100.0;
        loser.rejection = Rejection {
            constraint: "stability",
            reason: format!("{less} USD {each} cheaper ({share:.1} %); {}", kept(stability)),
            at: Some(stability.at.clone()),
            distance: None,
        };
    }
}
