//! What goes where, and whether the promises hold there.

use super::{Block, Cell, Section, Table, Tone, ms, number, percent, quantile};
use crate::perf::Layout;
use crate::placement::{Pool, SharedFleet, WorkloadPlacement};
use crate::plan::Plan;
use crate::spec::EngineName;

/// `tp4`, `tp2 pp2`, `tp8 ep8`.
pub(crate) fn layout(l: Layout) -> String {
    let mut parts = vec![format!("tp{}", l.tp)];
    for (name, size) in [("pp", l.pp), ("dp", l.dp), ("ep", l.ep)] {
        if size > 1 {
            parts.push(format!("{name}{size}"));
        }
    }
    parts.join(" ")
}

/// `fp8 tp2`; of a team's own server its variant, and how many items it takes together: `int8, launches of 8`.
pub(crate) fn precision(pool: &Pool) -> String {
    if pool.engine.name != EngineName::Own {
        return format!("{} {}", pool.quantization.as_str(), layout(pool.layout));
    }
    match pool.engine.max_num_seqs {
        1 => pool.variant.clone(),
        batch => format!("{}, launches of {batch}", pool.variant),
    }
}

/// `2 on_demand + 1 spot p5.48xlarge`; of a pool on shared machines `shared: 3 replicas on 2 of 2 x p5.48xlarge`.
pub(crate) fn machines(pool: &Pool, fleets: &[SharedFleet]) -> String {
    if let Some(on) = &pool.shared {
        let s = if pool.replicas == 1 { "" } else { "s" };
        let fleet = fleets.iter().find(|f| f.addr == on.fleet);
        let place =
            fleet.and_then(|f| Some(format!("{} of {} x ", f.machines_of(f.position(&pool.addr)?), f.count)));
        let place = place.unwrap_or_default();
        return format!("shared: {} replica{s} on {place}{}", pool.replicas, pool.instance_type);
    }
    let parts: Vec<String> = pool.machines.iter().map(|m| format!("{} {}", m.count, m.purchase)).collect();
    format!("{} {}", parts.join(" + "), pool.instance_type)
}

fn accelerator(pool: &Pool, fleets: &[SharedFleet]) -> String {
    let name = pool.accelerator.as_deref().unwrap_or("CPU");
    if let Some(on) = &pool.shared {
        let taken = u64::from(pool.replicas) * u64::from(on.accelerators);
        let fleet = fleets.iter().find(|f| f.addr == on.fleet);
        let all = fleet.map(|f| u64::from(f.count) * u64::from(f.accelerators_per_machine));
        return all.map_or(format!("{taken} {name}"), |all| format!("{taken} of {all} x {name}"));
    }
    if pool.accelerator.is_none() {
        return "none".to_owned();
    }
    let each = pool.accelerators_per_machine;
    if each >= 1.0 { format!("{each:.0} x {name}") } else { format!("{} of {name}", percent(each)) }
}

pub(super) fn placements(plan: &Plan) -> Section {
    let mut table = Table {
        columns: vec![
            ("workload", false),
            ("region", false),
            ("machines", false),
            ("accelerators", false),
            ("runs as", false),
            ("load", true),
        ],
        rows: Vec::new(),
    };
    let mut lines = Vec::new();
    let fleets = &plan.placement.fleets;
    for (address, placed) in &plan.placement.workloads {
        for pool in &placed.pools {
            let training = placed.run.as_ref().and_then(|run| run.training.as_ref());
            let pipeline = placed.run.as_ref().and_then(|run| run.pipeline.as_ref());
            let federation = placed.run.as_ref().and_then(|run| run.federation.as_ref());
            let load = match (&placed.run, training) {
                (Some(_), _) if pipeline.is_some_and(|p| p.stream.is_some()) => {
                    format!("{} of {}/s", number(pool.peak_rate), number(pool.capacity))
                }
                (Some(_), _) if pipeline.is_some() => "pipeline".to_owned(),
                (Some(_), _) if federation.is_some() => "rounds".to_owned(),
                (None, _) if pool.stands_in.is_some() => "in a failure".to_owned(),
                (None, _) => format!("{} of {}/s", number(pool.peak_rate), number(pool.capacity)),
                (Some(_), None) => "batch".to_owned(),
                (Some(_), Some(_)) => "training".to_owned(),
            };
            let runs = training.map_or_else(
                || {
                    let s = if pool.replicas == 1 { "" } else { "s" };
                    format!("{} replica{s}, {}", pool.replicas, precision(pool))
                },
                |t| super::training::runs_as(&pool.variant, t),
            );
            let runs = pipeline.map_or(runs, |p| super::pipeline::runs_as(p, pool));
            let runs = match &pool.stands_in {
                Some(stands_in) => format!("{}: {runs}", stands_in.model),
                None => runs,
            };
            let runs = federation.map_or(runs, |f| super::federation::runs_as(f, pool));
            table.rows.push(vec![
                Cell::plain(address),
                Cell::plain(format!("{}/{}", pool.cloud, pool.region)),
                Cell::plain(machines(pool, fleets)),
                Cell::plain(accelerator(pool, fleets)),
                Cell::plain(runs),
                Cell::plain(load),
            ]);
        }
        if let Some((run, training)) = placed.run.as_ref().and_then(|r| Some((r, r.training.as_ref()?))) {
            lines.extend(super::training::lines(address, run, training));
        } else if let Some((run, p)) = placed.run.as_ref().and_then(|r| Some((r, r.pipeline.as_ref()?))) {
            lines.push(super::pipeline::line(address, run, p));
        } else if let Some((run, f)) = placed.run.as_ref().and_then(|r| Some((r, r.federation.as_ref()?))) {
            lines.extend(super::federation::lines(address, run, f));
        } else if let Some(run) = &placed.run {
            lines.push(Cell::plain(format!(
                "{address}: a run takes {} h of {} h allowed, {} items/s, costs {} USD; {} runs a month.",
                number(run.hours),
                number(run.deadline_hours),
                number(run.items_per_s),
                run.cost_per_run,
                number(run.runs_per_month),
            )));
        }
        lines.extend(routes(address, placed));
    }
    let mut blocks = vec![Block::Table(table)];
    if !lines.is_empty() {
        blocks.push(Block::Lines(lines));
    }
    Section { name: "placements", heading: "Placement".to_owned(), blocks }
}

fn routes(address: &str, placed: &WorkloadPlacement) -> Vec<Cell> {
    if placed.pools.iter().filter(|pool| pool.stands_in.is_none()).count() < 2 {
        return Vec::new();
    }
    // A region alone does not tell two pools apart that are in it.
    let name = |pool: &Pool| {
        let of = |p: &Pool| format!("{}/{}", p.cloud, p.region);
        let full = |p: &Pool| format!("{} on {}", of(p), p.instance_type);
        let alike =
            |of: &dyn Fn(&Pool) -> String| placed.pools.iter().filter(|p| of(p) == of(pool)).count() > 1;
        match (alike(&of), alike(&full)) {
            (false, _) => of(pool),
            (true, false) => full(pool),
            (true, true) => pool.addr.to_string(),
        }
    };
    placed
        .routes
        .iter()
        .map(|route| {
            let to: Vec<String> = route
                .to
                .iter()
                .filter_map(|(pool, share)| {
                    let pool = placed.pools.get(*pool)?;
                    Some(format!("{} to {}", percent(*share), name(pool)))
                })
                .collect();
            Cell::plain(format!("{address}: origin {} sends {}.", route.origin, to.join(", ")))
        })
        .collect()
}

pub(super) fn objectives(plan: &Plan) -> Section {
    let mut table = Table {
        columns: vec![
            ("workload", false),
            ("origin", false),
            ("objective", false),
            ("limit", true),
            ("network", true),
            ("predicted", true),
            ("planned for", true),
            ("margin", true),
            ("class", false),
        ],
        rows: Vec::new(),
    };
    for (address, placed) in &plan.placement.workloads {
        for o in &placed.objectives {
            let margin = 1.0 - o.at_confidence_ms / o.limit_ms;
            let tone = if margin < 0.0 { Tone::Bad } else { Tone::Good };
            table.rows.push(vec![
                Cell::plain(address),
                Cell::plain(&o.origin),
                Cell::plain(format!("{} {}", o.metric.as_str(), quantile(o.quantile))),
                Cell::plain(ms(o.limit_ms)),
                Cell::plain(if o.network_ms > 0.0 { ms(o.network_ms) } else { "none".to_owned() }),
                Cell::plain(ms(o.predicted_ms)),
                Cell::plain(ms(o.at_confidence_ms)),
                Cell::tone(percent(margin), tone),
                Cell::plain(o.evidence.as_str()),
            ]);
        }
    }
    let heading = format!("Objectives at the {} edge of each prediction's band", percent(plan.confidence));
    let blocks = if table.rows.is_empty() {
        vec![Block::Lines(vec![Cell::plain("No latency objective is declared.")])]
    } else {
        vec![Block::Table(table)]
    };
    Section { name: "objectives", heading, blocks }
}

pub(super) fn failures(plan: &Plan) -> Option<Section> {
    let mut table = Table {
        columns: vec![
            ("workload", false),
            ("loss of", false),
            ("at", false),
            ("replicas left", true),
            ("must carry", true),
            ("can carry", true),
        ],
        rows: Vec::new(),
    };
    for (address, placed) in &plan.placement.workloads {
        // A stream has no replicas: what is left of it are machines.
        let left = if placed.run.is_some() { " machines" } else { "" };
        for f in &placed.failures {
            let tone = if f.capacity >= f.required_rate { Tone::Good } else { Tone::Bad };
            let at = below(address, &f.at);
            table.rows.push(vec![
                Cell::plain(address),
                Cell::plain(format!("{} {}", f.count, f.scope)),
                Cell::plain(at),
                Cell::plain(format!("{}{left}", f.replicas_left)),
                Cell::plain(format!("{}/s", number(f.required_rate))),
                Cell::tone(format!("{}/s", number(f.capacity)), tone),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let lines: Vec<Cell> =
        plan.placement.workloads.iter().flat_map(|(address, placed)| stand_ins(address, placed)).collect();
    let mut blocks = vec![Block::Table(table)];
    if !lines.is_empty() {
        blocks.push(Block::Lines(lines));
    }
    let heading = "Failures that the placement survives".to_owned();
    Some(Section { name: "failures", heading, blocks })
}

/// An address without that of its workload.
fn below<'t>(workload: &str, address: &'t str) -> &'t str {
    address.strip_prefix(workload).map_or(address, |rest| rest.trim_start_matches('/'))
}

/// What answers in the place of what has failed.
fn stand_ins(address: &str, placed: &WorkloadPlacement) -> Vec<Cell> {
    let told = |pool: &Pool| {
        let s = pool.stands_in.as_ref()?;
        Some(Cell::plain(format!(
            "{address}: in a failure at {} the gateway sends {} % of its requests, {}/s, to {}, which can carry {}/s within the limits of a \
             failure. {} keeps {} of the score (stated). Nothing is sent there otherwise.",
            below(address, s.pool.as_str()),
            s.percent,
            number(s.rate),
            below(address, pool.addr.as_str()),
            number(pool.capacity),
            s.model,
            percent(s.quality),
        )))
    };
    placed.pools.iter().filter_map(told).collect()
}
