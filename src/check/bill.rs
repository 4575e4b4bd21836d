//! The bill: every created thing is a line, every line is right, and the totals are their sums; and what a month costs that is
//! all peak, or has all spot bought on demand.

use rhumb_api::{Cloud, HOURS_PER_MONTH, Money, Purchase};

use crate::catalog::{Evidence, TransferTo};
use crate::placement::{CostLine, Pool, PoolMachines, WorkloadPlacement, World};
use crate::spec::{Load, Origin, Place, RegionRef};

use super::Ledger;
use super::following::Hours;
use super::ledger::dollars;
use super::subject::{self, Checked, GIB, Kind, Work};
use super::{day, serving, sites};

/// Bytes of one streamed token (assumed).
const BYTES_PER_TOKEN: f64 = 250.0;
/// Bisections find the same rate within this share.
const SEARCHED: f64 = 1e-6;
const CEILING: &str = "the ceiling of a month";
const PEAK_MONTH: &str = "the cost of a month that is all peak";

pub(super) fn check(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let (address, cost) = (&work.address, &placed.cost);
    let priced: Money = cost.lines.iter().filter_map(|l| l.per_hour).sum();
    for line in cost.lines.iter().filter(|l| l.per_hour.is_none()) {
        let _ = line;
        log.unpriced();
    }
    let incomplete = cost.lines.iter().any(|l| l.per_hour.is_none());
    log.same("cost-sum", address, "whether a line is not priced", &incomplete, &cost.incomplete);
    for line in &cost.lines {
        let own = line.addr == *address || line.addr.starts_with(&format!("{address}/"));
        log.hold(own, "cost-line", &line.addr, || {
            ("a line of another workload".into(), address.clone(), line.addr.clone())
        });
        log.hold(line.per_hour.is_none_or(|m| m >= Money::ZERO), "cost-line", &line.addr, || {
            ("a negative line".into(), "at least 0".into(), line.per_hour.map_or(String::new(), dollars))
        });
    }
    // An hour of a run is its month divided by 730, so a sum of rounded lines may miss it by one each.
    let slack = match work.kind {
        Kind::Service(_) | Kind::Profiled(_) => 0,
        Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => {
            cost.lines.len() as i64 + 1
        }
    };
    log.amount("cost-sum", address, "the cost of an hour", priced, cost.expected_per_hour, slack);
    let month = cost.expected_per_hour.per_month();
    let monthly_slack = if slack == 0 { 0 } else { (slack + 1) * HOURS_PER_MONTH };
    log.amount("cost-sum", address, "the cost of a month", month, cost.expected_per_month, monthly_slack);
    machines(log, work, placed, pools);
    let sent: Vec<Sent> = pools.iter().map(|c| Sent::of(world, work, placed, c)).collect();
    transfers(log, world, work, placed, pools, &sent);
    if follows_a_day(work) {
        let (peak, dearest, slack) = if work.below_the_peak {
            (Money::ZERO, Money::ZERO, 0)
        } else {
            whole_months(world, work, pools, &sent)
        };
        log.amount("peak-month", address, PEAK_MONTH, peak, cost.peak_per_month, slack);
        log.amount("ceiling", address, CEILING, dearest, cost.ceiling_per_month, slack);
    } else {
        log.amount("peak-month", address, PEAK_MONTH, cost.expected_per_month, cost.peak_per_month, 0);
        ceiling(log, world, work, placed, pools);
    }
    for c in pools {
        for m in &c.pool.machines {
            let fleet = format!("{}/{}", c.pool.addr, m.purchase);
            let lines = placed.cost.lines.iter().filter(|l| l.addr == fleet).count();
            log.hold(lines == 1, "cost-line", &fleet, || {
                ("machines without their line of the bill".into(), "1".into(), lines.to_string())
            });
        }
    }
    shared(log, placed, pools);
}

/// Every pool on shared machines has a line with its part of their price, and nothing else has.
fn shared(log: &mut Ledger, placed: &WorkloadPlacement, pools: &[Checked<'_>]) {
    for c in pools.iter().filter(|c| c.pool.shared.is_some()) {
        let address = format!("{}/shared", c.pool.addr);
        let mut lines = placed.cost.lines.iter().filter(|l| l.addr == address);
        let (Some(line), None) = (lines.next(), lines.next()) else {
            let found = placed.cost.lines.iter().filter(|l| l.addr == address).count();
            log.finding(
                "cost-line",
                &address,
                "a part of shared machines without its line of the bill",
                1,
                found,
            );
            continue;
        };
        // A pool that is in no fleet has no part; that is a finding of the fleets.
        let Some(part) = c.part else { continue };
        match line.per_hour {
            Some(said) => {
                log.amount("cost-line", &address, "the part of shared machines", part.per_hour, said, 0)
            }
            None => {
                log.finding("cost-line", &address, "machines without a price", dollars(part.per_hour), "none")
            }
        }
        let class =
            if part.provenance.source.starts_with("user:") { Evidence::Stated } else { Evidence::Listed };
        log.same_debug("cost-line", &address, "the class of the price", &class, &line.evidence);
        let from = Some(part.provenance);
        log.same_debug("cost-line", &address, "the source of the price", &from, &line.provenance.as_ref());
    }
    for line in placed.cost.lines.iter().filter(|l| l.addr.ends_with("/shared")) {
        let of = |p: &Pool| p.shared.is_some() && line.addr.strip_suffix("/shared") == Some(p.addr.as_str());
        log.hold(placed.pools.iter().any(of), "cost-line", &line.addr, || {
            ("a part of shared machines for no pool on them".into(), "such a pool".into(), "none".into())
        });
    }
}

/// Hours of a month in which a workload's machines run, as a share of it.
fn share_of_month(work: &Work<'_>, placed: &WorkloadPlacement) -> f64 {
    match (work.kind, &placed.run) {
        (Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_), Some(run)) => {
            run.hours * run.runs_per_month / HOURS_PER_MONTH as f64
        }
        _ => 1.0,
    }
}

fn machines(log: &mut Ledger, work: &Work<'_>, placed: &WorkloadPlacement, pools: &[Checked<'_>]) {
    let share = share_of_month(work, placed);
    for c in pools {
        for (entry, m) in c.pool.machines.iter().enumerate() {
            let fleet = format!("{}/{}", c.pool.addr, m.purchase);
            let Some(line) = placed.cost.lines.iter().find(|l| l.addr == fleet) else { continue };
            let hourly = day::averaged(m.price, machine_seconds(c, entry));
            match (line.per_hour, work.kind) {
                (Some(said), Kind::Service(_) | Kind::Profiled(_)) => {
                    log.amount("cost-line", &fleet, "the cost of the machines", hourly, said, 0);
                }
                (
                    Some(said),
                    Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_),
                ) => {
                    log.amount("cost-line", &fleet, "the cost of the machines", hourly.scale(share), said, 2);
                }
                (None, _) => {
                    log.finding("cost-line", &fleet, "machines without a price", dollars(hourly), "none")
                }
            }
        }
    }
}

/// What the responses of a pool cost.
struct Sent {
    /// Dollars an hour of each class at its whole load, the peak last.
    hourly: Vec<Money>,
    /// Dollars an hour, each class by its share of the week.
    averaged: Money,
    /// Amounts that were rounded.
    roundings: i64,
    /// Whether some go where the price is not known.
    unknown: bool,
}

impl Sent {
    fn of(world: &World, work: &Work<'_>, placed: &WorkloadPlacement, c: &Checked<'_>) -> Sent {
        let mut sent = Sent { hourly: Vec::new(), averaged: Money::ZERO, roundings: 0, unknown: false };
        let Kind::Service(service) = work.kind else { return sent };
        let price = world.catalog.transfer_price(c.region_index, TransferTo::Internet).map(|p| p.usd_per_gib);
        let part = |origin: &Origin| -> f64 {
            let routes = placed.routes.iter().filter(|r| r.origin == origin.name);
            routes.flat_map(|r| &r.to).filter(|(i, _)| *i == c.index).map(|(_, share)| share).sum()
        };
        let origins = &service.traffic.origins;
        let share = serving::share(service, placed, c);
        for hours in &c.hours {
            let is_peak = hours.class.share == day::PEAK;
            let all = match (&c.engine, &service.traffic.load) {
                (Some(engine), Load::Concurrency(_)) if !is_peak => {
                    serving::at(engine, service, share, hours)
                }
                _ => c.pool.peak_rate,
            };
            let mut hourly = Money::ZERO;
            let leaves = |o: &&Origin| o.place != Place::Vpc && !sites::is_at(o, c.region);
            for origin in origins.iter().filter(leaves) {
                let rate = match service.traffic.load {
                    Load::Rate(rate) => rate * hours.class.part() * origin.share * part(origin),
                    Load::Concurrency(_) => all * origin_part(placed, service, c, &origin.name),
                };
                let gib = rate * 3600.0 * service.traffic.output.mean * BYTES_PER_TOKEN / GIB;
                match price {
                    Some(price) if gib > 0.0 => {
                        hourly += price.scale(gib);
                        sent.roundings += 1;
                    }
                    None if gib > 0.0 => sent.unknown = true,
                    _ => {}
                }
            }
            sent.averaged += hours.class.responses(hourly);
            sent.roundings += i64::from(service.traffic.daily.is_some());
            sent.hourly.push(hourly);
        }
        sent
    }

    /// By how much two ways to get at the amounts may differ: their roundings, and the bisection for what clients send.
    fn slack(&self, work: &Work<'_>, amount: Money) -> i64 {
        let searched = match work.kind {
            Kind::Service(s)
                if s.traffic.daily.is_some() && matches!(s.traffic.load, Load::Concurrency(_)) =>
            {
                SEARCHED
            }
            _ => 0.0,
        };
        self.roundings + amount.scale(searched).micros()
    }
}

/// What moving data costs an hour, for all pools of a workload together; whether a price of it is unknown; and how many
/// amounts were rounded.
fn moved(world: &World, work: &Work<'_>, pools: &[Checked<'_>], sent: &[Sent]) -> (Money, bool, i64) {
    let mut derived: Money = sent.iter().map(|s| s.averaged).sum();
    let mut unknown = sent.iter().any(|s| s.unknown);
    let mut roundings = 1 + sent.iter().map(|s| s.slack(work, s.averaged)).sum::<i64>();
    for c in pools {
        let Some((price, gib)) = weights(world, work, c) else { continue };
        match price {
            Some(price) if gib > 0.0 => {
                derived += price.scale(gib);
                roundings += 1;
            }
            None if gib > 0.0 => unknown = true,
            _ => {}
        }
    }
    let read = match work.kind {
        Kind::Training(training) => training.dataset.as_ref().map(|d| (d, training.schedule.as_ref())),
        Kind::Pipeline(pipeline) => pipeline.dataset.as_ref().map(|d| (d, pipeline.schedule.as_ref())),
        Kind::Service(_) | Kind::Profiled(_) | Kind::Batch(_) | Kind::Federation(_) => None,
    };
    if let Kind::Federation(asked) = work.kind {
        let clients = pools.iter().filter(|c| c.pool.cloud == Cloud::Site).count() as f64;
        let gib = asked.update_gib * clients * f64::from(asked.rounds);
        let runs = asked.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
        for c in pools.iter().filter(|c| c.pool.cloud != Cloud::Site) {
            match world.catalog.transfer_price(c.region_index, TransferTo::Internet) {
                Some(price) => derived += price.usd_per_gib.scale(gib * runs / HOURS_PER_MONTH as f64),
                None => unknown = true,
            }
            roundings += 2 + runs as i64;
        }
        // What sites send has no price.
        unknown |= clients > 0.0;
    }
    if let Some((dataset, schedule)) = read {
        let runs = schedule.map_or(1.0, |s| s.runs_per_month);
        for c in pools {
            match brought(world, &dataset.from, c) {
                Some(price) => {
                    derived += price.scale(dataset.gib * runs / HOURS_PER_MONTH as f64);
                    roundings += 2 + runs as i64;
                }
                None if dataset.gib > 0.0 => unknown = true,
                None => {}
            }
        }
    }
    (derived, unknown, roundings)
}

/// How lines are cut is free.
fn transfers(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
    sent: &[Sent],
) {
    let (derived, unknown, roundings) = moved(world, work, pools, sent);
    let prefix = format!("{}/transfer", work.address);
    let lines: Vec<&CostLine> = placed.cost.lines.iter().filter(|l| l.addr.starts_with(&prefix)).collect();
    let said: Money = lines.iter().filter_map(|l| l.per_hour).sum();
    log.amount(
        "cost-line",
        &prefix,
        "the cost of moving data",
        derived,
        said,
        roundings + lines.len() as i64,
    );
    let blank = lines.iter().any(|l| l.per_hour.is_none());
    log.hold(blank || !unknown, "cost-line", &prefix, || {
        (
            "a transfer of unknown price is not listed".into(),
            "a line that is not priced".into(),
            "none".into(),
        )
    });
}

/// Weights that are copied to a pool's machines: the price of a GiB, and GiB an hour on the average of a month.
fn weights(world: &World, work: &Work<'_>, c: &Checked<'_>) -> Option<(Option<Money>, f64)> {
    let price = brought(world, work.model.artifacts_at.as_ref()?, c);
    let gib = c.weights_per_machine * f64::from(c.copies()) / GIB;
    Some((price, gib / HOURS_PER_MONTH as f64))
}

/// The price of a GiB that is brought to a pool from a region; `None` if it is unknown.
pub(super) fn brought(world: &World, from: &RegionRef, c: &Checked<'_>) -> Option<Money> {
    let regions = &world.catalog.regions;
    let at = regions.iter().position(|r| r.cloud == from.cloud && r.id == from.region)?;
    let to = RegionRef { cloud: c.pool.cloud, region: c.pool.region.clone() };
    Some(world.catalog.transfer_price(at, TransferTo::Region(&to))?.usd_per_gib)
}

/// The share of a pool's traffic that comes from an origin.
fn origin_part(
    placed: &WorkloadPlacement,
    service: &crate::spec::Service,
    c: &Checked<'_>,
    origin: &str,
) -> f64 {
    let (mut own, mut all) = (0.0, 0.0);
    for route in &placed.routes {
        let share = service.traffic.origins.iter().find(|o| o.name == route.origin).map_or(0.0, |o| o.share);
        let part: f64 = route.to.iter().filter(|(i, _)| *i == c.index).map(|(_, s)| s * share).sum();
        all += part;
        if route.origin == origin {
            own += part;
        }
    }
    if all > 0.0 { own / all } else { 0.0 }
}

/// A month of the dearest class of each pool, and the same with all spot bought on demand where that is dearer.
fn whole_months(world: &World, work: &Work<'_>, pools: &[Checked<'_>], sent: &[Sent]) -> (Money, Money, i64) {
    let (mut peak, mut ceiling, mut roundings) = (Money::ZERO, Money::ZERO, 1);
    for (c, sent) in pools.iter().zip(sent) {
        let on_demand = subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::OnDemand);
        let copied = weights(world, work, c).and_then(|(price, gib)| Some(price?.scale(gib)));
        let hour = |(hours, responses): (&Hours, &Money), dear: bool| -> Money {
            let machines = c.pool.machines.iter().zip(&hours.of).map(|(m, n)| {
                let spot = m.purchase == Purchase::Spot;
                let price = on_demand.filter(|_| spot && dear).map_or(m.price, |o| o.price.max(m.price));
                price.times(i64::from(*n))
            });
            machines.sum::<Money>() + part(c) + *responses + copied.unwrap_or(Money::ZERO)
        };
        let classes = || c.hours.iter().zip(&sent.hourly);
        let own = classes().next_back().map_or(Money::ZERO, |class| hour(class, false));
        peak += classes().map(|class| hour(class, false)).max().unwrap_or(own);
        ceiling += classes().map(|class| hour(class, true)).max().unwrap_or(own) + beside(world, work, c);
        let most = sent.hourly.iter().copied().max().unwrap_or(Money::ZERO);
        roundings += 1 + sent.slack(work, most);
    }
    (peak.per_month(), ceiling.per_month(), roundings * HOURS_PER_MONTH)
}

/// An hour of the machines that a pool has besides while they are made anew, with spot bought on demand where that is dearer.
fn beside(world: &World, work: &Work<'_>, c: &Checked<'_>) -> Money {
    let on_demand = subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::OnDemand);
    let of = |(k, m): (usize, &PoolMachines)| {
        let most = c.hours.iter().filter_map(|hours| hours.of.get(k)).copied().fold(m.count, u32::max);
        let spot = m.purchase == Purchase::Spot;
        let price = on_demand.filter(|_| spot).map_or(m.price, |o| o.price.max(m.price));
        price.times(i64::from(work.beside(c.pool.cloud, most)))
    };
    c.pool.machines.iter().enumerate().map(of).sum()
}

/// What a month costs more with all spot bought on demand where that is dearer, and with the machines that are there besides.
fn dearer(world: &World, work: &Work<'_>, placed: &WorkloadPlacement, pools: &[Checked<'_>]) -> Money {
    let share = share_of_month(work, placed);
    let mut more = Money::ZERO;
    for c in pools {
        for m in c.pool.machines.iter().filter(|m| m.purchase == Purchase::Spot) {
            let on_demand =
                subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::OnDemand);
            // Spot that is not sold on demand has no ceiling that could be derived: it stays at its price.
            let dearer = on_demand.map_or(Money::ZERO, |o| (o.price - m.price).max(Money::ZERO));
            more += dearer.times(i64::from(m.count)).per_month().scale(share);
        }
        more += beside(world, work, c).per_month();
    }
    more
}

/// The bill of a workload by its pools, routes and run alone.
pub(super) struct Derived {
    /// Dollars a month as planned.
    pub expected: Money,
    /// Dollars a month that is all peak.
    pub peak: Money,
    /// Dollars a month with all spot bought on demand.
    pub ceiling: Money,
    /// By how many micro-dollars a month these may differ from sums that are rounded elsewhere.
    pub roundings: i64,
}

pub(super) fn derived(
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) -> Derived {
    let sent: Vec<Sent> = pools.iter().map(|c| Sent::of(world, work, placed, c)).collect();
    let fleets = pools.iter().flat_map(|c| c.pool.machines.iter().enumerate().map(move |(k, m)| (c, k, m)));
    let machines = fleets.map(|(c, k, m)| day::averaged(m.price, machine_seconds(c, k))).sum::<Money>()
        + pools.iter().map(part).sum::<Money>();
    let (moved, _, roundings) = moved(world, work, pools, &sent);
    let expected = machines.per_month().scale(share_of_month(work, placed)) + moved.per_month();
    let rounded = (roundings + 2 * pools.len() as i64 + 2) * HOURS_PER_MONTH;
    if work.below_the_peak {
        return Derived { expected, peak: Money::ZERO, ceiling: Money::ZERO, roundings: rounded };
    }
    if follows_a_day(work) {
        let (peak, ceiling, more) = whole_months(world, work, pools, &sent);
        return Derived { expected, peak, ceiling, roundings: rounded + more };
    }
    let ceiling = expected + dearer(world, work, placed, pools);
    Derived { expected, peak: expected, ceiling, roundings: rounded }
}

/// What a pool pays of the machines that it shares, dollars an hour.
fn part(c: &Checked<'_>) -> Money {
    c.part.map_or(Money::ZERO, |part| part.per_hour)
}

/// Machine-seconds of a week of a pool's entry.
fn machine_seconds(c: &Checked<'_>, entry: usize) -> u64 {
    let count = |h: &Hours| u64::from(h.of.get(entry).copied().unwrap_or(0));
    c.hours.iter().map(|h| u64::from(h.class.seconds) * count(h)).sum()
}

fn follows_a_day(work: &Work<'_>) -> bool {
    matches!(work.kind, Kind::Service(service) if service.traffic.daily.is_some())
}

fn ceiling(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let derived = placed.cost.expected_per_month + dearer(world, work, placed, pools);
    let slack = match work.kind {
        Kind::Service(_) | Kind::Profiled(_) => 0,
        Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => {
            (placed.cost.lines.len() as i64 + 2) * HOURS_PER_MONTH
        }
    };
    log.amount("ceiling", &work.address, CEILING, derived, placed.cost.ceiling_per_month, slack);
}
