//! Why an offer was not chosen: every candidate of it, and the one constraint that would have to be looser.

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::{Cloud, Money, Purchase};

use super::batch::Within;
use super::changes::changes;
use super::fallbacks::{Left, Seat, remaining};
use super::federation::Rounds;
use super::job::{Job, Kind, Role, Task, resides};
use super::pool::{Count, Terms};
use super::relax::nearest_step;
use super::service::{Block, Chosen, Search, weight};
use super::sought::Sought;
use super::table::Table;
use super::together::Plan;
use super::{alone, solve};
use crate::placement::{
    Among, Asked, Loosened, Outcome, Placement, Rejection, Relaxation, WhyNot, WorkloadPlacement, World,
};
use crate::spec::Spec;

/// See [`super::why_not()`].
pub(super) fn of(spec: &Spec, world: &World, address: &str, offers: &[usize]) -> Option<WhyNot> {
    let job = Job::of(spec, world, address)?;
    let table = Table::new(&job);
    let sought = Sought::of(&job, &table);
    let solved = alone(&job, &table, &sought, false).ok();
    let mut candidates = match (&sought, job.kind) {
        (Sought::Service(search), _) => {
            let blocks = match &solved {
                Some((_, Plan::Service(blocks))) => blocks.as_slice(),
                _ => &[],
            };
            let places = places(search, blocks);
            each(&job, &table, offers, &|i, w, spot| in_service(search, &places, i, w, spot))
        }
        (Sought::Run(_), Kind::Run(own)) => {
            let runs = Runs::of(&job, &table, own, offers);
            each(&job, &table, offers, &|i, w, spot| runs.outcome(i, w, spot))
        }
        (Sought::Mixed(mixed), _) => each(&job, &table, offers, &|i, _, _| mixed.with_one(i)),
        (Sought::Federation(rounds), _) => in_federation(&job, &table, rounds.as_deref(), offers)?,
        _ => return None,
    };
    candidates.sort_by_key(|c| match c.outcome {
        Outcome::Does { machines, cost } => (0, cost, machines),
        Outcome::Rejected(_) => (1, Money::ZERO, 0),
    });
    let does = candidates.iter().any(|c| matches!(c.outcome, Outcome::Does { .. }));
    let uses = |placed: &WorkloadPlacement| used(world, offers, placed);
    let chosen = solved.as_ref().map_or_else(Vec::new, |(placed, _)| uses(placed));
    let loosened = if chosen.is_empty() { loosened(&job, offers, does) } else { Vec::new() };
    let optimum = solved.map(|(placed, _)| placed.certificate.optimum);
    let each = match job.kind {
        Kind::Service(_) | Kind::Mixed(_) => "an hour",
        Kind::Run(task) if task.stream().is_some() => "a month",
        Kind::Run(_) | Kind::Federation(..) => "a run",
    };
    let among = match job.kind {
        Kind::Mixed(_) => Among::Mix,
        Kind::Federation(..) => Among::Members,
        Kind::Service(_) | Kind::Run(_) => Among::Alike,
    };
    Some(WhyNot {
        address: address.to_owned(),
        each,
        among,
        chosen,
        optimum,
        candidates,
        loosened,
        whole: None,
    })
}

/// Offers at sites as clients of a federation, others as its aggregator.
fn in_federation(
    job: &Job<'_>,
    table: &Table,
    rounds: Option<&Rounds<'_>>,
    offers: &[usize],
) -> Option<Vec<Asked>> {
    let catalog = &job.world.catalog;
    let at_site =
        |o: &usize| catalog.offerings.get(*o).is_some_and(|o| catalog.regions[o.region].cloud == Cloud::Site);
    let (at_sites, elsewhere): (Vec<usize>, Vec<usize>) = offers.iter().partition(|o| at_site(o));
    let answer = |role, i| {
        let Some(rounds) = rounds else {
            return Err(no("infeasible", "no site has a machine for it".into(), Some(job.at.clone())));
        };
        let members = rounds.with_one(job, role, i)?;
        Ok((1 + members.clients.len() as u32, members.run))
    };
    let mut all = each(job, table, &elsewhere, &|i, _, _| answer(Role::Aggregator, i));
    let (clients, of_clients) = (job.clients()?, table.clients.as_deref()?);
    all.extend(each(&clients, of_clients, &at_sites, &|i, _, _| answer(Role::Client, i)));
    Some(all)
}

/// The pools of a placement that use one of the offers.
fn used(world: &World, offers: &[usize], placed: &WorkloadPlacement) -> Vec<rhumb_api::ResourceAddr> {
    let catalog = &world.catalog;
    let takes = |pool: &&crate::placement::Pool| {
        offers.iter().filter_map(|o| catalog.offerings.get(*o)).any(|o| {
            let (kind, region) = (&catalog.instance_types[o.instance_type], &catalog.regions[o.region]);
            (pool.cloud, &pool.region, &pool.instance_type) == (region.cloud, &region.id, &kind.name)
                && pool.machines.iter().any(|m| m.purchase == o.purchase)
        })
    };
    placed.pools.iter().filter(takes).map(|p| p.addr.clone()).collect()
}

fn no(constraint: &'static str, reason: String, at: Option<crate::diagnostic::Pointer>) -> Rejection {
    Rejection { constraint, reason, at, distance: None }
}

type Answer = Result<(u32, Money), Rejection>;

/// Every candidate of some offers; `outcome` answers for a site, a way and spot.
fn each(
    job: &Job<'_>,
    table: &Table,
    offers: &[usize],
    outcome: &dyn Fn(usize, usize, bool) -> Answer,
) -> Vec<Asked> {
    let catalog = &job.world.catalog;
    let mut all = Vec::new();
    for offer in offers {
        let Some(offering) = catalog.offerings.get(*offer) else { continue };
        // What is held is not on sale: the plan says how much of it is used.
        if offering.purchase == Purchase::Held {
            continue;
        }
        let (kind, region) =
            (&catalog.instance_types[offering.instance_type], &catalog.regions[offering.region]);
        let machine = &table.machines[offering.instance_type];
        let asked = |variant, layout, outcome| Asked {
            cloud: region.cloud,
            region: region.id.clone(),
            instance_type: kind.name.clone(),
            purchase: offering.purchase,
            variant,
            layout,
            outcome,
        };
        let spot = offering.purchase == Purchase::Spot;
        let site = table
            .sites
            .iter()
            .position(|s| s.machine == offering.instance_type && s.region == offering.region && !s.held);
        let not_bought = || {
            let key = if spot { "spot_max_share" } else { "options" };
            let reason = format!("{} machines are not allowed", offering.purchase);
            (!job.buys(offering.purchase)).then(|| no("purchase", reason, Some(job.purchase.at.join(key))))
        };
        let cheaper = || {
            let base = catalog.offerings.get(table.sites[site?].base?)?;
            let reason =
                format!("{} costs {} USD/h there, this {}", base.purchase, base.price, offering.price);
            (!spot && base.purchase != offering.purchase).then(|| no("price", reason, None))
        };
        let rule = machine
            .rejection
            .as_deref()
            .cloned()
            .or_else(|| job.region(region))
            .or_else(not_bought)
            .or_else(cheaper);
        let (None, Some(site)) = (&rule, site) else {
            let why = rule.unwrap_or_else(|| no("unknown", "not on sale for this workload".into(), None));
            all.push(asked(None, None, Outcome::Rejected(why)));
            continue;
        };
        let mut best: BTreeMap<(usize, crate::perf::Layout), Answer> = BTreeMap::new();
        for (w, way) in machine.ways.iter().enumerate() {
            let answer = match &way.speed {
                Ok(_) => outcome(site, w, spot),
                Err(why) => Err(why.clone()),
            };
            // Of the engine's settings the one that does, else the first that says why not.
            let better = match (&answer, best.get(&(way.variant, way.layout))) {
                (_, None) | (Ok(_), Some(Err(_))) => true,
                (Ok(new), Some(Ok(old))) => (new.1, new.0) < (old.1, old.0),
                (Err(_), Some(_)) => false,
            };
            if better {
                best.insert((way.variant, way.layout), answer);
            }
        }
        for ((variant, layout), answer) in best {
            let outcome = match answer {
                Ok((machines, cost)) => Outcome::Does { machines, cost },
                Err(why) => Outcome::Rejected(why),
            };
            all.push(asked(table.variants.get(variant).cloned(), Some(layout), outcome));
        }
    }
    all
}

/// A place that a pool could take in a service, and what everything else costs.
struct Place<'s, 'a> {
    seat: Seat<'s, 'a>,
    rest: Money,
}

/// All origins at once, and each pool of the optimum.
fn places<'s, 'a>(search: &'s Search<'a>, blocks: &[Block]) -> Vec<Place<'s, 'a>> {
    let left = Left::of(&Placement::default(), search.job);
    let mut places = Vec::new();
    let service = search.service;
    let regions = search.least_regions();
    if !search.table.sites.is_empty()
        && (blocks.is_empty() || (regions == 1 && service.placement.spread_regions <= 1))
    {
        let count = Count::default();
        let nobody = Chosen { site: 0, way: 0, count };
        let origins = (0..service.traffic.origins.len()).collect();
        let block = Block { origins, pools: vec![nobody; regions as usize] };
        let mut seat = Seat::new(search, &[block], (0, 0), &left);
        seat.closed.clear();
        places.push(Place { seat, rest: Money::ZERO });
    }
    let all = weight(blocks).0;
    for (b, block) in blocks.iter().enumerate() {
        for (p, chosen) in block.pools.iter().enumerate() {
            places.push(Place {
                seat: Seat::new(search, blocks, (b, p), &left),
                rest: all - chosen.count.cost,
            });
        }
    }
    places
}

/// The cheapest of the places of a service that a candidate could take.
fn in_service<'a>(search: &Search<'a>, places: &[Place<'_, 'a>], i: usize, w: usize, spot: bool) -> Answer {
    let answers = places.iter().map(|place| {
        let count = in_place(search, &place.seat, i, w, spot)?;
        Ok((count.machines, place.rest + count.cost))
    });
    let mut first: Option<Rejection> = None;
    let mut best: Option<(u32, Money)> = None;
    for answer in answers {
        match answer {
            Ok(found) => best = Some(best.map_or(found, |b| if found.1 < b.1 { found } else { b })),
            Err(why) => first = first.or(Some(why)),
        }
    }
    best.ok_or_else(|| first.unwrap_or_else(|| no("infeasible", "there is no place for it".into(), None)))
}

fn in_place<'a>(
    search: &Search<'a>,
    seat: &Seat<'_, 'a>,
    i: usize,
    w: usize,
    spot: bool,
) -> Result<Count, Rejection> {
    let (job, service) = (search.job, search.service);
    let site = &search.table.sites[i];
    let region = &job.world.catalog.regions[site.region];
    let name = format!("{}/{}", region.cloud, region.id);
    if seat.closed.contains(&site.region) {
        let reason = format!("another pool of the same origins, or of `spread`, is in {name}");
        return Err(no("spread", reason, Some(service.placement.at.clone())));
    }
    let Some(ms) = seat.base.network.get(site.region).copied().flatten() else {
        let origins = seat.base.origins.iter().filter_map(|o| service.traffic.origins.get(*o));
        for origin in origins {
            if !resides(&origin.residency, region) {
                let reason = format!("data of `{}` stays in {}", origin.name, origin.residency.join(" or "));
                return Err(no("residency", reason, Some(origin.at.join("residency"))));
            }
            if !service.reaches(origin, region.cloud, &region.id) {
                let reason = format!("`{}` is served at its site although the connection fails", origin.name);
                return Err(no("wan", reason, Some(service.at.join("survive").join("wan"))));
            }
        }
        return Err(no("unknown", format!("the network time to {name} is not known"), None));
    };
    let way = &search.table.machines[site.machine].ways[w];
    let index = way.speed.clone()?;
    let demand = search.demand(&seat.base, seat.regions, ms);
    if let Some(why) = demand.missed(&search.table.speeds[index]) {
        return Err(why);
    }
    let Some(terms) = remaining(&search.terms[i], region.cloud, &seat.taken, spot) else {
        let at = job.purchase.at.join("spot_max_share");
        return Err(no("spot", "too few machines may be spot for one of them".into(), Some(at)));
    };
    let binds = job.spec.budget.binds;
    let found = seat.ask(&terms, (i, w), |ask, needs| match ask.cheapest(needs, Money::MAX) {
        Ok(Some(count)) if count.bound(binds) > seat.most => {
            Ok(seat.under_budget(ask, needs, Money::MAX).or(Some(count)))
        }
        other => other,
    });
    let count = match found {
        Some(Ok(Some(count))) => count,
        Some(Err(mut why)) => {
            why.at = why.at.or_else(|| match why.constraint {
                "survive" => Some(service.at.join("survive")),
                "max_replicas" => Some(service.at.join("scaling")),
                "quota" => job.spec.quotas_at(region.cloud),
                "purchase" => Some(job.purchase.at.clone()),
                _ => None,
            });
            return Err(why);
        }
        _ => return Err(no("infeasible", "no number of machines does".into(), None)),
    };
    if spot && count.spot == 0 {
        return Err(no(
            "spot",
            "what it needs in reserve for lost machines costs more than it saves".into(),
            None,
        ));
    }
    let takes = count.bound(binds);
    if takes > seat.most {
        let (left, limit) = (seat.most, job.budgets().into_iter().min_by_key(|(l, _)| *l));
        let reason = format!(
            "{} machines cost {} USD a month, the budget leaves {}",
            count.machines,
            takes.per_month(),
            left.per_month()
        );
        return Err(Rejection {
            constraint: "budget",
            reason,
            at: limit.map(|(_, at)| at.clone()),
            distance: Some(takes.usd() / left.usd().max(1e-9) - 1.0),
        });
    }
    Ok(count)
}

/// The runs of a batch or a training on some sites.
struct Runs<'s> {
    task: Task<'s>,
    /// Site, way and spot to machines and what a run costs.
    best: BTreeMap<(usize, usize, bool), (u32, Money)>,
    over: BTreeMap<(usize, usize, bool), Rejection>,
    quota: Option<crate::diagnostic::Pointer>,
    limited: Vec<bool>,
}

impl<'s> Runs<'s> {
    fn of(job: &Job<'_>, table: &Table, task: Task<'s>, offers: &[usize]) -> Self {
        let catalog = &job.world.catalog;
        let asked = |site: &super::table::Site| {
            offers
                .iter()
                .filter_map(|o| catalog.offerings.get(*o))
                .any(|o| (o.instance_type, o.region) == (site.machine, site.region))
        };
        let mut terms: Vec<Terms> = table.terms.to_vec();
        for (terms, _) in terms.iter_mut().zip(table.sites.iter()).filter(|(_, site)| !asked(site)) {
            (terms.base, terms.spot) = (None, None);
        }
        let limit = job.budgets().into_iter().min_by_key(|(l, _)| *l);
        let ceiling = job.spec.budget.binds == crate::spec::BudgetBinds::Ceiling;
        let mut best: BTreeMap<(usize, usize, bool), (u32, Money)> = BTreeMap::new();
        let mut over = BTreeMap::new();
        let within = Within { job, table, task, terms: &terms };
        within.each(&|_| (0, 0, 0), i128::MAX, &mut |priced| {
            let c = priced.run.chosen;
            let key = (c.site, c.way, c.count.spot > 0);
            let month = if ceiling { priced.ceiling } else { priced.month };
            match limit.filter(|(limit, _)| month > *limit) {
                Some((limit, at)) => {
                    let distance = Some(month.usd() / limit.usd().max(1e-9) - 1.0);
                    let reason = format!("{month} USD a month, the budget is {limit}");
                    over.entry(key).or_insert(Rejection {
                        constraint: "budget",
                        reason,
                        at: Some(at.clone()),
                        distance,
                    });
                }
                None => {
                    let new = (c.count.machines, priced.run.objective);
                    let entry = best.entry(key).or_insert(new);
                    if (new.1, new.0) < (entry.1, entry.0) {
                        *entry = new;
                    }
                }
            }
            i128::MAX
        });
        let declared = job.spec.providers.iter().find(|(_, p)| p.declares());
        let quota = declared.and_then(|(cloud, _)| job.spec.quotas_at(*cloud));
        let limited = terms.iter().map(|t| !t.quotas.is_empty()).collect();
        Runs { task, best, over, quota, limited }
    }

    fn outcome(&self, i: usize, w: usize, spot: bool) -> Answer {
        let key = (i, w, spot);
        if let Some(found) = self.best.get(&key) {
            return Ok(*found);
        }
        if let Some(why) = self.over.get(&key) {
            return Err(why.clone());
        }
        if self.limited.get(i) == Some(&true) {
            let does = if self.task.stream().is_some() { "keeps up" } else { "ends in time" };
            let reason = format!("no number of machines within the declared quota {does}");
            return Err(no("quota", reason, self.quota.clone()));
        }
        let reason = match self.task.stream() {
            Some(s) => format!("no number of machines keeps up and is fresher than {} s", s.freshness_s),
            None => format!("no number of machines ends within {} h", self.task.deadline()),
        };
        let limit = self.task.limit();
        Err(no(limit, reason, Some(self.task.at().join(limit))))
    }
}

/// Which single constraint, if it were looser, would make the offers possible, or chosen.
fn loosened(job: &Job<'_>, offers: &[usize], does: bool) -> Vec<Loosened> {
    let mut only = job.world.clone();
    let catalog = &job.world.catalog;
    // What only one member of a federation can be: that of one site, or the aggregator.
    let place = |o: &crate::catalog::Offering| {
        let region = &catalog.regions[o.region];
        (region.cloud == Cloud::Site).then_some(o.region)
    };
    let meant: Vec<_> = offers.iter().filter_map(|o| catalog.offerings.get(*o)).map(place).collect();
    let others = matches!(job.kind, Kind::Federation(..));
    let stays = |(i, o): &(usize, &crate::catalog::Offering)| {
        offers.contains(i) || others && !meant.contains(&place(o))
    };
    only.catalog.offerings =
        catalog.offerings.iter().enumerate().filter(stays).map(|(_, o)| o.clone()).collect();
    let Some(restricted) = Job::of(job.spec, &only, &job.address) else { return Vec::new() };
    let all = changes(job);
    let chosen = |spec: &Spec| {
        let placed = solve(spec, job.world, &job.address).ok()?;
        let pool = used(job.world, offers, &placed);
        let pool = placed.pools.iter().find(|p| pool.first() == Some(&p.addr))?;
        Some((placed.cost.expected_per_month, pool.candidate()))
    };
    let mut found: Vec<Loosened> = all
        .par_iter()
        .filter_map(|change| {
            let relaxation = |words: &str, cost, choice| Relaxation {
                constraint: change.constraint,
                at: Some(change.at.clone()),
                change: words.to_owned(),
                cost_per_month: cost,
                saves_per_month: None,
                choice: Some(choice),
            };
            for step in &change.coarse {
                if let Some((cost, choice)) = chosen(&change.applied(job.spec, &job.address, step)) {
                    return Some(Loosened { change: relaxation(&step.words, cost, choice), chosen: true });
                }
            }
            if does {
                return None;
            }
            let (step, works) = nearest_step(&restricted, change, &|| false)?;
            let change = relaxation(&step.words, works.cost, works.choice);
            Some(Loosened { change, chosen: false })
        })
        .collect();
    found.sort_by(|a, b| {
        let key = |l: &Loosened| (!l.chosen, l.change.cost_per_month);
        key(a).cmp(&key(b)).then_with(|| a.change.change.cmp(&b.change.change))
    });
    found
}
