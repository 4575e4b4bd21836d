//! Commitments that would pay: their prices, and what they save.

use rhumb_api::{Cloud, Money, Purchase};

use crate::placement::{Commitment, Placement, World};

use super::Ledger;
use super::day::{WEEK, times_a_week};

/// Hours of a month.
const MONTH: f64 = 730.0;

/// Machines of an address that are bought on demand.
struct OnDemand<'p> {
    addr: String,
    /// Cloud, region and type.
    at: (Cloud, &'p str, &'p str),
    price: Money,
    /// Of each machine the share of hours in which it runs.
    runs: Vec<f64>,
}

fn on_demand(placement: &Placement) -> Vec<OnDemand<'_>> {
    let mut found = Vec::new();
    for placed in placement.workloads.values() {
        for pool in &placed.pools {
            for (k, machines) in pool.machines.iter().enumerate() {
                if machines.purchase != Purchase::OnDemand {
                    continue;
                }
                let mut runs = Vec::new();
                match (&pool.following, &placed.run) {
                    (Some(following), _) => {
                        let mut i = 0;
                        loop {
                            let mut seconds = 0;
                            for class in &following.classes {
                                if class.machines.get(k).copied().unwrap_or(0) > i {
                                    seconds += class.seconds;
                                }
                            }
                            if seconds == 0 {
                                break;
                            }
                            runs.push(f64::from(seconds * times_a_week(following)) / f64::from(WEEK));
                            i += 1;
                        }
                    }
                    (None, Some(run)) => {
                        let share = (run.hours * run.runs_per_month / MONTH).min(1.0);
                        runs = vec![share; machines.count as usize];
                    }
                    (None, None) => runs = vec![1.0; machines.count as usize],
                }
                let at = (pool.cloud, pool.region.as_str(), pool.instance_type.as_str());
                let addr = format!("{}/on_demand", pool.addr);
                found.push(OnDemand { addr, at, price: machines.price, runs });
            }
        }
    }
    for fleet in &placement.fleets {
        if fleet.purchase == Purchase::OnDemand {
            let at = (fleet.cloud, fleet.region.as_str(), fleet.instance_type.as_str());
            let runs = vec![1.0; fleet.count as usize];
            found.push(OnDemand { addr: fleet.addr.to_string(), at, price: fleet.price, runs });
        }
    }
    found
}

pub(super) fn check(log: &mut Ledger, world: &World, placement: &Placement) {
    let mut expected = 0;
    for OnDemand { addr, at: (cloud, region, kind), price, runs } in on_demand(placement) {
        let rows = world.catalog.offerings.iter().filter(|o| {
            let (t, r) = (&world.catalog.instance_types[o.instance_type], &world.catalog.regions[o.region]);
            (t.cloud, t.name.as_str(), r.id.as_str()) == (cloud, kind, region) && t.cloud == r.cloud
        });
        for row in rows.filter(|o| matches!(o.purchase, Purchase::Reserved1y | Purchase::Reserved3y)) {
            let (mut machines, mut saved) = (0_u32, 0.0);
            for share in &runs {
                let less = price.usd() * share - row.price.usd();
                if less > 0.5e-6 {
                    machines += 1;
                    saved += less * MONTH;
                }
            }
            if machines == 0 {
                continue;
            }
            expected += 1;
            let told = |c: &&Commitment| c.addr == addr && c.purchase == row.purchase;
            let Some(told) = placement.commitments.iter().find(told) else {
                log.finding(
                    "commitment",
                    &addr,
                    "a commitment that would pay is not told",
                    row.purchase.as_str(),
                    "none",
                );
                continue;
            };
            log.same("commitment", &addr, "the machines of a commitment", &machines, &told.machines);
            log.amount("commitment", &addr, "the price of a commitment", row.price, told.price, 0);
            log.amount("commitment", &addr, "what it is instead of", price, told.instead_of, 0);
            // A product rounded for each machine and hour.
            let rounded = i64::from(machines) * 730 + 1;
            let saved = Money::from_usd(saved).unwrap_or(Money::ZERO);
            log.amount("commitment", &addr, "what a commitment saves", saved, told.saves_per_month, rounded);
        }
    }
    log.same(
        "commitment",
        "deployment",
        "the number of commitments",
        &expected,
        &placement.commitments.len(),
    );
}
