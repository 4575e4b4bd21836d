//! The bill: every created thing is a line, every line is right, and the totals are their sums.

use rhumb_api::{HOURS_PER_MONTH, Money, Purchase};

use crate::catalog::TransferTo;
use crate::placement::{CostLine, WorkloadPlacement, World};
use crate::spec::{Load, Place};

use super::Ledger;
use super::ledger::dollars;
use super::subject::{self, Checked, GIB, Kind, Work};

/// Bytes of one streamed token (assumed).
const BYTES_PER_TOKEN: f64 = 250.0;

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
    // An hour of a batch is its month divided by 730, so a sum of rounded lines may miss it by one each.
    let slack = match work.kind {
        Kind::Service(_) => 0,
        Kind::Batch(_) => cost.lines.len() as i64 + 1,
    };
    log.amount("cost-sum", address, "the cost of an hour", priced, cost.expected_per_hour, slack);
    let month = cost.expected_per_hour.per_month();
    let monthly_slack = if slack == 0 { 0 } else { (slack + 1) * HOURS_PER_MONTH };
    log.amount("cost-sum", address, "the cost of a month", month, cost.expected_per_month, monthly_slack);
    machines(log, work, placed, pools);
    transfers(log, world, work, placed, pools);
    ceiling(log, world, work, placed, pools);
    for c in pools {
        for m in &c.pool.machines {
            let fleet = format!("{}/{}", c.pool.addr, m.purchase);
            let lines = placed.cost.lines.iter().filter(|l| l.addr == fleet).count();
            log.hold(lines == 1, "cost-line", &fleet, || {
                ("machines without their line of the bill".into(), "1".into(), lines.to_string())
            });
        }
    }
}

/// Hours of a month in which a workload's machines run, as a share of it.
fn share_of_month(work: &Work<'_>, placed: &WorkloadPlacement) -> f64 {
    match (work.kind, &placed.run) {
        (Kind::Batch(_), Some(run)) => run.hours * run.runs_per_month / HOURS_PER_MONTH as f64,
        _ => 1.0,
    }
}

fn machines(log: &mut Ledger, work: &Work<'_>, placed: &WorkloadPlacement, pools: &[Checked<'_>]) {
    let share = share_of_month(work, placed);
    for c in pools {
        for m in &c.pool.machines {
            let fleet = format!("{}/{}", c.pool.addr, m.purchase);
            let Some(line) = placed.cost.lines.iter().find(|l| l.addr == fleet) else { continue };
            let hourly = m.price.times(i64::from(m.count));
            match (line.per_hour, work.kind) {
                (Some(said), Kind::Service(_)) => {
                    log.amount("cost-line", &fleet, "the cost of the machines", hourly, said, 0);
                }
                (Some(said), Kind::Batch(_)) => {
                    log.amount("cost-line", &fleet, "the cost of the machines", hourly.scale(share), said, 2);
                }
                (None, _) => {
                    log.finding("cost-line", &fleet, "machines without a price", dollars(hourly), "none")
                }
            }
        }
    }
}

/// What moving data costs an hour, for all pools of a workload together; whether a price of it is unknown; and how many
/// amounts were rounded.
fn moved(
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) -> (Money, bool, i64) {
    let (mut derived, mut unknown, mut roundings) = (Money::ZERO, false, 1);
    let mut add = |price: Option<Money>, gib_per_hour: f64| {
        if gib_per_hour > 0.0 {
            match price {
                Some(price) => {
                    derived += price.scale(gib_per_hour);
                    roundings += 1;
                }
                None => unknown = true,
            }
        }
    };
    for c in pools {
        if let Kind::Service(service) = work.kind {
            let to_internet = world.catalog.transfer_price(c.region_index, TransferTo::Internet);
            for origin in service.traffic.origins.iter().filter(|o| o.place != Place::Vpc) {
                let part: f64 = placed
                    .routes
                    .iter()
                    .filter(|r| r.origin == origin.name)
                    .flat_map(|r| &r.to)
                    .filter(|(i, _)| *i == c.index)
                    .map(|(_, share)| share)
                    .sum();
                let rate = match service.traffic.load {
                    Load::Rate(rate) => rate * origin.share * part,
                    Load::Concurrency(_) => c.pool.peak_rate * origin_part(placed, service, c, &origin.name),
                };
                let bytes = rate * 3600.0 * service.traffic.output.mean * BYTES_PER_TOKEN;
                add(to_internet.as_ref().map(|p| p.usd_per_gib), bytes / GIB);
            }
        }
        if let Some(from) = &work.model.artifacts_at {
            let price = world
                .catalog
                .regions
                .iter()
                .position(|r| r.cloud == from.cloud && r.id == from.region)
                .and_then(|i| {
                    let to = crate::spec::RegionRef { cloud: c.pool.cloud, region: c.pool.region.clone() };
                    world.catalog.transfer_price(i, TransferTo::Region(&to))
                });
            let gib = c.weights_per_machine * f64::from(c.machines) / GIB;
            add(price.map(|p| p.usd_per_gib), gib / HOURS_PER_MONTH as f64);
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
) {
    let (derived, unknown, roundings) = moved(world, work, placed, pools);
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

/// What a month costs more with all spot bought on demand.
fn dearer(world: &World, work: &Work<'_>, placed: &WorkloadPlacement, pools: &[Checked<'_>]) -> Money {
    let share = share_of_month(work, placed);
    let mut more = Money::ZERO;
    for c in pools {
        for m in c.pool.machines.iter().filter(|m| m.purchase == Purchase::Spot) {
            let on_demand =
                subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::OnDemand);
            // Spot that is not sold on demand has no ceiling that could be derived: it stays at its price.
            let dearer = on_demand.map_or(Money::ZERO, |o| o.price - m.price);
            more += dearer.times(i64::from(m.count)).per_month().scale(share);
        }
    }
    more
}

/// The bill of a workload by its pools, routes and run alone.
pub(super) struct Derived {
    /// Dollars a month as planned.
    pub expected: Money,
    /// Dollars a month with all spot bought on demand.
    pub ceiling: Money,
    /// By how many micro-dollars a month both may differ from sums that are rounded elsewhere.
    pub roundings: i64,
}

pub(super) fn derived(
    world: &World,
    work: &Work<'_>,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) -> Derived {
    let machines: Money =
        pools.iter().flat_map(|c| &c.pool.machines).map(|m| m.price.times(i64::from(m.count))).sum();
    let (moved, _, roundings) = moved(world, work, placed, pools);
    let expected = machines.per_month().scale(share_of_month(work, placed)) + moved.per_month();
    let ceiling = expected + dearer(world, work, placed, pools);
    Derived { expected, ceiling, roundings: (roundings + 2 * pools.len() as i64 + 2) * HOURS_PER_MONTH }
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
        Kind::Service(_) => 0,
        Kind::Batch(_) => (placed.cost.lines.len() as i64 + 2) * HOURS_PER_MONTH,
    };
    log.amount(
        "ceiling",
        &work.address,
        "the ceiling of a month",
        derived,
        placed.cost.ceiling_per_month,
        slack,
    );
}
