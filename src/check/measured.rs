//! Models whose times were measured: what a pool says of its servers against what the spec states.

use super::Ledger;
use super::subject::{self, Engined, GIB, Work};
use crate::catalog::{Accelerator, Evidence, InstanceType};
use crate::perf::{self, EngineSettings, Layout, ServiceCurve};
use crate::placement::Pool;
use crate::spec::{EngineName, Launch, Measured, MeasuredVariant, OnProcessors, Processors};

/// Share of the main memory that servers may have together.
const FOR_SERVERS: f64 = 0.9;

/// A server as the spec states it.
pub(super) struct Launched {
    pub curve: ServiceCurve,
    pub engine: EngineSettings,
    /// Most of them on a machine.
    pub on_a_machine: u32,
    /// vCPUs of one on a machine without accelerators.
    vcpus: Option<u32>,
    /// What is told of it, and the class of it.
    remark: String,
    class: Evidence,
}

/// Whether machines without accelerators may have a server of such a model.
pub(super) fn runs_bare(stated: &Measured) -> bool {
    stated.variants.iter().any(|(_, v)| v.processors.iter().next().is_some())
}

/// How narrow a name of processors is that a machine answers to: larger is narrower.
pub(super) fn narrowness(of: &Processors, on: &InstanceType) -> Option<usize> {
    match of {
        Processors::Architecture(arch) => (*arch == on.arch).then_some(0),
        Processors::Series(cloud, series) => {
            (*cloud == on.cloud && on.series().iter().any(|s| s == series)).then_some(series.len())
        }
        Processors::Type(cloud, name) => (*cloud == on.cloud && *name == on.name).then_some(usize::MAX),
    }
}

/// The server of a variant on a machine type, by the spec alone.
///
/// # Errors
/// In words: what is not stated, or does not fit.
pub(super) fn launched(
    stated: &Measured,
    variant: &str,
    on: &InstanceType,
    accelerator: Option<&Accelerator>,
) -> Result<Launched, String> {
    let found = stated.variants.iter().find(|(name, _)| *name == variant);
    let (_, variant) = found.ok_or("no such variant")?;
    match accelerator {
        Some(accelerator) => with_accelerator(stated, variant, on, accelerator),
        None => on_processors(stated, variant, on),
    }
}

fn with_accelerator(
    stated: &Measured,
    variant: &MeasuredVariant,
    on: &InstanceType,
    accelerator: &Accelerator,
) -> Result<Launched, String> {
    let time = variant.times.iter().find(|(id, _)| **id == accelerator.id);
    let (_, launch) = time.ok_or_else(|| format!("no time on {}", accelerator.id))?;
    let curve =
        perf::measured::curve(launch, variant.memory_bytes, accelerator).map_err(|why| why.to_string())?;
    Ok(Launched {
        curve,
        engine: settings(launch),
        on_a_machine: on.accelerator_count.floor().max(1.0) as u32,
        vcpus: None,
        remark: format!("stated: {}", of_an_item(stated, launch)),
        class: Evidence::Measured,
    })
}

fn on_processors(
    stated: &Measured,
    variant: &MeasuredVariant,
    on: &InstanceType,
) -> Result<Launched, String> {
    if on.accelerator_count > 0.0 {
        return Err(format!("no accelerator of {} is known", on.name));
    }
    let fits = |entry: &(&Processors, &OnProcessors)| narrowness(entry.0, on).is_some();
    let narrowest = variant.processors.iter().filter(fits).max_by_key(|(of, _)| narrowness(of, on));
    let (of, server) = narrowest.ok_or_else(|| format!("no time on {} nor on {}", on.name, on.arch))?;
    let curve = perf::measured::on_processors(&server.launch, variant.memory_bytes, of, on)
        .map_err(|why| why.to_string())?;
    let room = on.memory_gib.unwrap_or(0.0) * GIB * FOR_SERVERS;
    // As many as it takes until the next one lacks vCPUs or memory.
    let mut servers = 0_u32;
    loop {
        let next = f64::from(servers + 1);
        let vcpus = next * f64::from(server.vcpus) <= on.vcpus;
        if !vcpus || next * variant.memory_bytes > room * (1.0 + 1e-9) || servers == u32::from(u16::MAX) {
            break;
        }
        servers += 1;
    }
    if servers == 0 {
        return Err(format!("{} vCPUs a server, {} has {}", server.vcpus, on.name, on.vcpus));
    }
    let (how, class) = match of {
        Processors::Architecture(name) => (format!("stated for {name} and assumed here"), Evidence::Assumed),
        Processors::Series(cloud, name) | Processors::Type(cloud, name) => {
            (format!("stated for {cloud}/{name}"), Evidence::Measured)
        }
    };
    let item = of_an_item(stated, &server.launch);
    let vcpus = if server.vcpus > 1 { format!("{} vCPUs", server.vcpus) } else { "1 vCPU".to_owned() };
    Ok(Launched {
        curve,
        engine: settings(&server.launch),
        on_a_machine: servers,
        vcpus: Some(server.vcpus),
        remark: format!("{how}: {item}, {vcpus} a server"),
        class,
    })
}

fn of_an_item(stated: &Measured, launch: &Launch) -> String {
    let ms = crate::math::round_to(1e3 * launch.takes_s, 6);
    let unit = &stated.unit;
    if launch.batch > 1 {
        format!("{ms} ms for a launch of up to {}, each a {unit}", launch.batch)
    } else {
        format!("{ms} ms for a {unit}")
    }
}

fn settings(launch: &Launch) -> EngineSettings {
    EngineSettings {
        name: EngineName::Own,
        version: (0, 0),
        max_num_seqs: launch.batch,
        max_num_batched_tokens: launch.batch,
        max_model_len: 1,
        gpu_memory_utilization: 1.0,
    }
}

/// Derives the server of a pool again, and holds what the pool says against it.
pub(super) fn server(
    log: &mut Ledger,
    work: &Work<'_>,
    stated: &Measured,
    pool: &Pool,
    on: &InstanceType,
    accelerator: Option<&Accelerator>,
) -> Option<Engined> {
    let address = pool.addr.as_str();
    let one = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
    log.same_debug("layout", address, "the accelerators of a server", &one, &pool.layout);
    if let Some(accelerator) = accelerator {
        log.hold(on.accelerator_count >= 1.0, "measured-time", address, || {
            let found = format!("{} of one", on.accelerator_count);
            ("the time is of a whole accelerator".into(), "at least one".into(), found)
        });
        log.hold(["nvidia", "amd"].contains(&accelerator.vendor.as_str()), "engine", address, || {
            ("no such server is started there".into(), "nvidia or amd".into(), accelerator.vendor.clone())
        });
    }
    let launched = match launched(stated, &pool.variant, on, accelerator) {
        Ok(found) => found,
        Err(why) => {
            log.finding("measured-time", address, "nobody measured this", "a time in the spec", why);
            return None;
        }
    };
    let Launched { curve, engine, on_a_machine, vcpus, remark, class } = launched;
    let fits = (1..=on_a_machine).contains(&pool.replicas_per_machine);
    log.hold(fits && pool.machines_per_replica == 1, "layout", address, || {
        let found = format!("{} on {} machines", pool.replicas_per_machine, pool.machines_per_replica);
        ("the servers do not fit the machine".into(), format!("at most {on_a_machine} on one"), found)
    });
    log.same_debug("engine", address, "the vCPUs of a server", &vcpus, &pool.vcpus_per_replica);
    log.same_debug("engine", address, "the server's settings", &engine, &pool.engine);
    let (derived, said) = (&curve.memory, &pool.memory);
    for (what, derived, said) in [
        ("device memory", derived.device, said.device),
        ("usable memory", derived.usable, said.usable),
        ("memory for the server", derived.weights, said.weights),
        ("memory for overhead", derived.overhead, said.overhead),
        ("memory for the KV cache", derived.kv_cache, said.kv_cache),
        ("KV bytes of a token", derived.kv_per_token, said.kv_per_token),
        ("tokens in the KV cache", derived.kv_tokens, said.kv_tokens),
    ] {
        log.near("memory", address, what, derived, said, 1e-9);
    }
    log.same("memory", address, "the most items at once", &derived.max_sequences, &said.max_sequences);
    let room = derived.weights <= derived.device * (1.0 + 1e-9);
    log.hold(room, "memory", address, || {
        ("the server does not fit".into(), derived.device.to_string(), derived.weights.to_string())
    });
    log.same_debug("figure", address, "what is told of the time", &vec![remark], &pool.notes);
    log.same_debug("figure", address, "the class of the times", &class, &pool.evidence);
    let engine = Engined::new(curve, work.confidence);
    subject::check_prediction(log, pool, &engine, work.confidence);
    Some(engine)
}
