//! `choices SPEC.yaml`: the choice among the plans of every service as JSON, for other solvers, and what ours says of it.
//!
//! The columns are the checker's (`rhumb::check::choice`), which knows nothing of the optimizer: plans of one pool, by the closed form of
//! capacity, so that ours is planned without replays too.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use rhumb::catalog::Catalog;
use rhumb::diagnostic::SourceFile;
use rhumb::placement::World;
use rhumb::spec::{self, ModelSource, Sources};
use serde_json::json;

/// Seconds of processor time of this process, all threads, user and system; to a hundredth.
fn cpu_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name may hold spaces; the state is the first field after it, times are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    let ticks = |i: usize| fields.split_whitespace().nth(i).and_then(|t| t.parse::<f64>().ok());
    Ok((ticks(11).context("no user time")? + ticks(12).context("no system time")?) / 100.0)
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("choices SPEC.yaml")?;
    let mut catalog = Catalog::embedded();
    let vocabulary = catalog.vocabulary();
    let sources = Sources {
        files: vec![SourceFile { name: path.clone(), text: std::fs::read_to_string(&path)? }],
        variables: Vec::new(),
        vocabulary: &vocabulary,
        read: &|path| Err(format!("{path}: no files are read")),
    };
    let spec = spec::load(&sources).map_err(|d| anyhow!("{:#?}", d.list))?.spec;
    for (cloud, settings) in &spec.providers {
        catalog.apply_discount(*cloud, settings.discount);
    }
    let mut archs = BTreeMap::new();
    for (name, model) in &spec.models {
        let ModelSource::Known { id, .. } = &model.source else { bail!("{name}: no model that is known") };
        archs.insert(name.clone(), catalog.model(id).context("no such model")?.clone());
    }
    let world = World {
        archs,
        catalog,
        calibration: Default::default(),
        today: "2026-11-25".into(),
        replay: 0,
        running: Default::default(),
    };

    let (start, cpu) = (Instant::now(), cpu_s()?);
    let placement = rhumb::optimize::place(&spec, &world).map_err(|why| {
        anyhow!("no placement: {:?}", why.workloads.first().map(|w| (&w.address, &w.conflict)))
    })?;
    let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_s()? - cpu);

    let cost: i64 = placement.workloads.values().map(|w| w.cost.expected_per_month.micros()).sum();
    let coupling = placement.coupling.as_ref();
    let start = Instant::now();
    let choice = rhumb::check::choice(&spec, &world).map_err(|why| anyhow!(why))?;
    let columns_s = start.elapsed().as_secs_f64();
    let services: Vec<_> = choice
        .services
        .iter()
        .map(|(address, plans)| {
            let plans: Vec<_> = plans.iter().map(|c| json!({ "cost": c.cost, "uses": c.uses })).collect();
            json!({ "address": address, "plans": plans })
        })
        .collect();
    let limits: Vec<_> =
        choice.limits.iter().map(|(name, most)| json!({ "name": name, "most": most })).collect();
    let value = json!({
        "limits": limits,
        "services": services,
        "plans": choice.plans,
        "columns_s": columns_s,
        "ours": {
            "cost": cost,
            "bound": coupling.map_or(cost, |c| c.lower_bound.micros()),
            "apart": coupling.map_or(cost, |c| c.apart.micros()),
            "nodes": coupling.map_or(0, |c| c.nodes),
            "binding": coupling.map_or(0, |c| c.limits.len()),
            "single": placement.workloads.values().all(|w| w.pools.len() == 1),
            "wall_s": wall_s,
            "cpu_s": cpu_s,
        },
    });
    println!("{value}");
    Ok(())
}
