//! How a model whose times were measured runs on a machine: as the team says, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::Job;
use super::ways::{Kind, Predicted, Way, does_not_run};
use crate::catalog::{Accelerator, InstanceType};
use crate::perf::{self, Layout, ServiceCurve};
use crate::placement::Rejection;
use crate::replay::limits_of;
use crate::spec::{Launch, Measured, MeasuredVariant, OnProcessors, Processors};

/// A server has one accelerator, or none.
const LAYOUT: Layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };

/// Whether a model runs on machines without accelerators at all.
pub(super) fn on_processors(measured: &Measured) -> bool {
    measured.variants.values().any(|v| !v.processors.is_empty())
}

/// vCPUs of a server of a variant on a machine without accelerators.
pub(super) fn vcpus(job: &Job<'_>, variant: &str, kind: &InstanceType) -> Option<u32> {
    let variant = job.model.measured()?.variants.get(variant).filter(|_| kind.is_processors_only())?;
    perf::measured::stated(variant, kind).map(|(_, server)| server.vcpus)
}

/// Servers that a machine without accelerators holds: by vCPUs, and by the memory that is left to them.
pub(super) fn held(server: &OnProcessors, memory: &perf::MemoryFit, kind: &InstanceType) -> u32 {
    let by_vcpus = (kind.vcpus / f64::from(server.vcpus.max(1))).floor();
    let by_memory = (memory.usable / memory.weights.max(1.0) + 1e-9).floor();
    by_vcpus.min(by_memory).clamp(0.0, f64::from(u16::MAX)) as u32
}

/// The ways on the types that are `wanted`, and the speeds that they have.
pub(super) fn runs(job: &Job<'_>, measured: &Measured, wanted: &[bool]) -> (Vec<Kind>, Vec<Arc<Predicted>>) {
    let catalog = &job.world.catalog;
    let bad: Vec<Option<Rejection>> = job.model.variants.values().map(|v| job.quality(v)).collect();
    let mut speeds: Vec<Arc<Predicted>> = Vec::new();
    // By variant and accelerator: what waits for a server, and what was replayed of it, is the same on all machines that have it.
    let mut known: BTreeMap<(usize, usize), Result<usize, Rejection>> = BTreeMap::new();
    let mut kinds = Vec::with_capacity(catalog.instance_types.len());
    for (kind, wanted) in catalog.instance_types.iter().zip(wanted) {
        let candidates = job.model.variants.len() as u64;
        let mut ways = Vec::new();
        for (v, name) in job.model.variants.keys().enumerate().filter(|_| *wanted) {
            let Some(variant) = measured.variants.get(name) else { continue };
            let mut add = |found: Result<Predicted, Rejection>| {
                found.map(|predicted| {
                    speeds.push(Arc::new(predicted));
                    speeds.len() - 1
                })
            };
            let (speed, replicas) = match kind.accelerator {
                Some(index) => {
                    let on = &catalog.accelerators[index];
                    let speed = match unstated(measured, kind, name, on).or_else(|| bad[v].clone()) {
                        Some(why) => Err(why),
                        None => known
                            .entry((v, index))
                            .or_insert_with(|| add(on_accelerator(measured, variant, name, on)))
                            .clone(),
                    };
                    (speed, (kind.accelerator_count.floor().clamp(1.0, 1024.0)) as u32)
                }
                None => match bad[v].clone().map_or_else(|| bare(measured, name, kind), Err) {
                    Ok((predicted, servers)) => (add(Ok(predicted)), servers),
                    Err(why) => (Err(why), 1),
                },
            };
            let (variant, layout) = (v, LAYOUT);
            ways.push(Way { variant, layout, speed, replicas, span: 1, most_on_one: None });
        }
        kinds.push(Kind::of(ways, candidates));
    }
    (kinds, speeds)
}

fn no(measured: &Measured, constraint: &'static str, reason: String) -> Rejection {
    Rejection { constraint, reason, at: Some(measured.at.join("variants")), distance: None }
}

/// Why nothing that was stated says how a variant runs on an accelerator of machines of a type.
fn unstated(measured: &Measured, kind: &InstanceType, variant: &str, on: &Accelerator) -> Option<Rejection> {
    if !measured.variants.get(variant).is_some_and(|v| v.times.contains_key(&on.id)) {
        let reason = format!("no time of `{variant}` was measured on {}", on.id);
        return Some(no(measured, "measured-time", reason));
    }
    if kind.accelerator_count < 1.0 {
        let reason =
            format!("the time of `{variant}` was measured on a whole {}, not on a part of one", on.id);
        return Some(no(measured, "measured-time", reason));
    }
    if !perf::measured::VENDORS.contains(&on.vendor.as_str()) {
        let vendors = perf::measured::VENDORS.join(" and ");
        return Some(no(
            measured,
            "engine",
            format!("a team's own server is started on accelerators of {vendors}"),
        ));
    }
    None
}

/// The speed of a server with an accelerator.
fn on_accelerator(
    measured: &Measured,
    variant: &MeasuredVariant,
    name: &str,
    on: &Accelerator,
) -> Result<Predicted, Rejection> {
    let Some(launch) = variant.times.get(&on.id) else {
        let reason = format!("no time of `{name}` was measured on {}", on.id);
        return Err(no(measured, "measured-time", reason));
    };
    let curve = perf::measured::curve(launch, variant.memory_bytes, on).map_err(|why| does_not_run(&why))?;
    Ok(speed(curve, launch, format!("stated: {}", words(measured, launch))))
}

/// The speed of a server on a machine without accelerators, and how many of them it holds.
fn bare(measured: &Measured, name: &str, kind: &InstanceType) -> Result<(Predicted, u32), Rejection> {
    let variant = measured.variants.get(name);
    let Some((variant, (of, server))) = variant.and_then(|v| Some((v, perf::measured::stated(v, kind)?)))
    else {
        let reason = format!(
            "no time of `{name}` was measured on {}/{} or stated for {}",
            kind.cloud, kind.name, kind.arch
        );
        return Err(no(measured, "measured-time", reason));
    };
    if f64::from(server.vcpus) > kind.vcpus {
        let reason =
            format!("a server of `{name}` has {} vCPUs, {} has {}", server.vcpus, kind.name, kind.vcpus);
        let distance = Some(f64::from(server.vcpus) / kind.vcpus.max(1.0) - 1.0);
        return Err(Rejection { distance, ..no(measured, "vcpus", reason) });
    }
    let launch = &server.launch;
    let curve = perf::measured::on_processors(launch, variant.memory_bytes, of, kind)
        .map_err(|why| does_not_run(&why))?;
    let servers = held(server, &curve.memory, kind);
    let how = match of {
        Processors::Architecture(arch) => format!("stated for {arch} and assumed here"),
        Processors::Type(..) | Processors::Series(..) => format!("stated for {of}"),
    };
    let s = if server.vcpus == 1 { "" } else { "s" };
    let note = format!("{how}: {}, {} vCPU{s} a server", words(measured, launch), server.vcpus);
    Ok((speed(curve, launch, note), servers))
}

/// `6.1 ms for a frame`.
fn words(measured: &Measured, launch: &Launch) -> String {
    let ms = crate::math::round_to(launch.takes_s * 1e3, 6);
    match launch.batch {
        1 => format!("{ms} ms for a {}", measured.unit),
        n => format!("{ms} ms for a launch of up to {n}, each a {}", measured.unit),
    }
}

/// There is no band, so that no confidence changes it.
fn speed(mut curve: ServiceCurve, launch: &Launch, note: String) -> Predicted {
    curve.notes.push(note);
    let engine = perf::measured::settings(launch.batch);
    let limits = limits_of(&curve, &engine, LAYOUT);
    Predicted { slowed: curve.clone(), curve, f: 1.0, g: 1.0, engine, limits }
}
