//! Models whose times were measured: what a pool says of its servers against what the spec states.

use super::Ledger;
use super::subject::{self, Engined, Work};
use crate::catalog::{Accelerator, Evidence, InstanceType};
use crate::perf::{self, EngineSettings, Layout, ServiceCurve};
use crate::placement::Pool;
use crate::spec::{EngineName, Measured};

/// The server of a variant on an accelerator, by the spec alone.
///
/// # Errors
/// In words: what is not stated, or does not fit.
pub(super) fn launched(
    stated: &Measured,
    variant: &str,
    on: &Accelerator,
) -> Result<(ServiceCurve, EngineSettings), String> {
    let found = stated.variants.iter().find(|(name, _)| *name == variant);
    let (_, variant) = found.ok_or("no such variant")?;
    let time = variant.times.iter().find(|(id, _)| **id == on.id);
    let (_, launch) = time.ok_or_else(|| format!("no time on {}", on.id))?;
    let curve = perf::measured::curve(launch, variant.memory_bytes, on).map_err(|why| why.to_string())?;
    let engine = EngineSettings {
        name: EngineName::Own,
        version: (0, 0),
        max_num_seqs: launch.batch,
        max_num_batched_tokens: launch.batch,
        max_model_len: 1,
        gpu_memory_utilization: 1.0,
    };
    Ok((curve, engine))
}

/// Derives the server of a pool again, and holds what the pool says against it.
pub(super) fn server(
    log: &mut Ledger,
    work: &Work<'_>,
    stated: &Measured,
    pool: &Pool,
    on: &InstanceType,
    accelerator: &Accelerator,
) -> Option<Engined> {
    let address = pool.addr.as_str();
    let one = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
    log.same_debug("layout", address, "the accelerators of a server", &one, &pool.layout);
    log.hold(on.accelerator_count >= 1.0, "measured-time", address, || {
        let found = format!("{} of one", on.accelerator_count);
        ("the time is of a whole accelerator".into(), "at least one".into(), found)
    });
    log.hold(["nvidia", "amd"].contains(&accelerator.vendor.as_str()), "engine", address, || {
        ("no such server is started there".into(), "nvidia or amd".into(), accelerator.vendor.clone())
    });
    let (curve, engine) = match launched(stated, &pool.variant, accelerator) {
        Ok(found) => found,
        Err(why) => {
            log.finding("measured-time", address, "nobody measured this", "a time in the spec", why);
            return None;
        }
    };
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
    let ms = crate::math::round_to(1e3 * curve.alpha_s, 6);
    let unit = &stated.unit;
    let remark = if curve.max_batch > 1 {
        format!("stated: {ms} ms for a launch of up to {}, each a {unit}", curve.max_batch)
    } else {
        format!("stated: {ms} ms for a {unit}")
    };
    log.same_debug("figure", address, "what is told of the time", &vec![remark], &pool.notes);
    log.same_debug("figure", address, "the class of the times", &Evidence::Measured, &pool.evidence);
    let engine = Engined::new(curve, work.confidence);
    subject::check_prediction(log, pool, &engine, work.confidence);
    Some(engine)
}
