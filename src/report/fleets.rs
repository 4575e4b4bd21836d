//! Machines that services share.

use serde_json::{Value, json};

use super::json::{quota, usd};
use super::{Block, Cell, Section, Table, carbon, number};
use crate::graph::mix_address;
use crate::placement::{Coupling, Mix, Placement, Pool, SharedFleet};
use crate::plan::Plan;

/// Accelerators of a mix's machine that are taken.
fn taken(placement: &Placement, fleet: &SharedFleet, mix: &Mix) -> u64 {
    let each = fleet.pools.iter().zip(&mix.replicas).map(|(shared, n)| {
        let pool = pool(placement, fleet, &shared.workload, shared.addr.as_str());
        u64::from(*n) * pool.and_then(|p| p.shared.as_ref()).map_or(0, |on| u64::from(on.accelerators))
    });
    each.sum()
}

fn pool<'a>(placement: &'a Placement, fleet: &SharedFleet, workload: &str, addr: &str) -> Option<&'a Pool> {
    let pools = &placement.workloads.get(workload)?.pools;
    pools
        .iter()
        .find(|p| p.addr.as_str() == addr && p.shared.as_ref().is_some_and(|on| on.fleet == fleet.addr))
}

/// Taken and all accelerators of a fleet.
fn accelerators(placement: &Placement, fleet: &SharedFleet) -> (u64, u64) {
    let taken = fleet.mixes.iter().map(|m| taken(placement, fleet, m) * m.machines.len() as u64).sum();
    (taken, u64::from(fleet.count) * u64::from(fleet.accelerators_per_machine))
}

/// `2 services.chat + 1 services.search`; a pool's place where a service has several on the machines.
fn contents(fleet: &SharedFleet, mix: &Mix) -> String {
    let on = fleet.pools.iter().zip(&mix.replicas).filter(|(_, n)| **n > 0);
    let told = on.map(|(pool, n)| {
        let one = fleet.pools.iter().filter(|p| p.workload == pool.workload).count() == 1;
        format!("{n} {}", if one { pool.workload.as_str() } else { pool.addr.as_str() })
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(" + ") }
}

/// What sharing saved, where all workloads were placed together; `counted` if more than the bill was minimised.
pub(super) fn saved(c: &Coupling, counted: bool) -> Option<String> {
    let more = c.apart - c.optimum;
    let cost = if counted { "count for" } else { "cost" };
    (more > rhumb_api::Money::ZERO)
        .then(|| format!("placed apart they would {cost} {} USD/month, {more} more", c.apart))
}

/// Nothing if no machine is shared.
pub(super) fn fleets(plan: &Plan) -> Option<Section> {
    let placement = &plan.placement;
    let mut blocks = Vec::new();
    for fleet in &placement.fleets {
        let (taken_of_all, all) = accelerators(placement, fleet);
        let name = fleet.accelerator.as_deref().unwrap_or("accelerators");
        let class = match &*fleet.provenance.as_of {
            "" => "listed".to_owned(),
            date => format!("listed {date}"),
        };
        let mut lines = vec![Cell::plain(format!(
            "{} {} {} in {}/{}: {} USD/h each, {} USD/month in all ({class}); {taken_of_all} of {all} {name} are taken, {} free.",
            fleet.count,
            fleet.purchase,
            fleet.instance_type,
            fleet.cloud,
            fleet.region,
            fleet.price,
            fleet.price.times(i64::from(fleet.count)).per_month(),
            all.saturating_sub(taken_of_all),
        ))];
        let quotas: Vec<String> =
            fleet.quotas.iter().map(|q| format!("{} {} of {}", number(q.amount), q.unit, q.code)).collect();
        if !quotas.is_empty() {
            lines.push(Cell::plain(format!("Quotas, counted once for all services: {}.", quotas.join(", "))));
        }
        blocks.push(Block::Lines(lines));
        let row = |mix: &Mix| {
            let taken = taken(placement, fleet, mix);
            let free = u64::from(fleet.accelerators_per_machine).saturating_sub(taken);
            let cells = [mix.machines.len() as u64, taken, free].map(|n| Cell::plain(n.to_string()));
            let [machines, taken, free] = cells;
            vec![machines, Cell::plain(contents(fleet, mix)), taken, free]
        };
        blocks.push(Block::Table(Table {
            columns: vec![("machines", true), ("replicas on each", false), ("taken", true), ("free", true)],
            rows: fleet.mixes.iter().map(row).collect(),
        }));
    }
    // Where a gram is counted as 100 USD nobody pays such sums.
    let coupling = placement.coupling.as_ref().filter(|c| !carbon::only(c));
    let counted = |c: &Coupling| c.carbon_price > 0 || placement.kept.is_some();
    if let Some(words) = coupling.and_then(|c| saved(c, counted(c))) {
        blocks.push(Block::Lines(vec![Cell::plain(format!("All workloads: {words}."))]));
    }
    (!placement.fleets.is_empty()).then(|| Section {
        name: "fleets",
        heading: "Shared machines".to_owned(),
        blocks,
    })
}

/// The shared machines for machines.
pub(super) fn json(placement: &Placement) -> Value {
    let fleet = |f: &SharedFleet| {
        let (taken_of_all, all) = accelerators(placement, f);
        let pools: Vec<Value> = f
            .pools
            .iter()
            .map(|p| {
                json!({
                    "workload": p.workload,
                    "address": p.addr.as_str(),
                    "replicas": p.replicas,
                    "usd_per_hour": usd(p.per_hour),
                })
            })
            .collect();
        let mixes: Vec<Value> = f
            .mixes
            .iter()
            .map(|m| {
                json!({
                    "address": mix_address(f, m).as_str(),
                    "machines": m.machines,
                    "replicas": m.replicas,
                    "accelerators_taken": taken(placement, f, m),
                })
            })
            .collect();
        json!({
            "address": f.addr.as_str(),
            "cloud": f.cloud.as_str(),
            "region": f.region,
            "instance_type": f.instance_type,
            "accelerator": f.accelerator,
            "accelerators_per_machine": f.accelerators_per_machine,
            "purchase": f.purchase.as_str(),
            "count": f.count,
            "zones": f.zones,
            "usd_per_hour_each": usd(f.price),
            "list_usd_per_hour_each": usd(f.list_price),
            "source": &*f.provenance.source,
            "as_of": &*f.provenance.as_of,
            "accelerators": all,
            "accelerators_taken": taken_of_all,
            "pools": pools,
            "mixes": mixes,
            "quotas": f.quotas.iter().map(quota).collect::<Vec<_>>(),
            "caveats": f.caveats,
            "fallbacks": f.fallbacks.iter().map(super::fallbacks::of_fleet).collect::<Vec<_>>(),
        })
    };
    placement.fleets.iter().map(fleet).collect()
}
