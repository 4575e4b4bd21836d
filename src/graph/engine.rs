//! What a launch template says about model and engine.

use rhumb_api::Attr;

use super::attributes::{Builder, parts};
use crate::placement::Pool;
use crate::spec::{EngineName, LoraAdapters, Measured, Model, ModelSource, Quantization, Variant};

/// Whether the engine itself makes these weights from the published ones while it loads them. vLLM and
/// SGLang round to fp8 (`--quantization fp8`) and change the 16-bit type; everything else needs a
/// checkpoint that was made before.
fn made_at_start(engine: EngineName, q: Quantization) -> bool {
    match q {
        Quantization::Native => false,
        Quantization::Bf16 => true,
        Quantization::Fp8 => matches!(engine, EngineName::Vllm | EngineName::Sglang),
        _ => false,
    }
}

/// The repository that holds the weights of a variant as they are loaded, if one is known.
fn repository<'a>(model: &'a Model, variant: Option<&'a Variant>, pool: &Pool) -> Option<&'a str> {
    if let Some(source) = variant.and_then(|v| v.source.as_deref()) {
        return Some(source);
    }
    let published = pool.quantization == Quantization::Native;
    if !published && !made_at_start(pool.engine.name, pool.quantization) {
        return None;
    }
    match &model.source {
        // A short name is the catalogue's own, a name with an owner is a repository.
        ModelSource::Known { written, .. } if written.contains('/') => Some(written),
        ModelSource::Known { id, .. } => Some(id),
        ModelSource::Config(_) | ModelSource::Measured(_) => None,
    }
}

/// The `model` attribute.
pub(super) fn model(model: &Model, pool: &Pool) -> Attr {
    let variant = model.variants.get(&pool.variant);
    let own = variant.and_then(|v| v.source.as_deref()).is_some();
    let config = match &model.source {
        ModelSource::Config(file) => Some(file.path.as_str()),
        ModelSource::Known { .. } | ModelSource::Measured(_) => None,
    };
    // A revision is a commit of the model's repository; another repository has other commits.
    let revision = if own { None } else { model.revision.as_deref() };
    Builder::default()
        .with("name", model.name.as_str())
        .maybe("repository", repository(model, variant, pool))
        .maybe("config", config)
        .maybe("revision", revision)
        .with("variant", pool.variant.as_str())
        .with("quantization", pool.quantization.as_str())
        .with("kv_cache_dtype", pool.kv_cache.as_str())
        .with("made_at_start", !own && made_at_start(pool.engine.name, pool.quantization))
        .maybe("adapters", model.adapters.as_ref().map(|held| adapters(held, pool)))
        .map()
}

/// The adapters that every replica of a pool holds.
fn adapters(held: &LoraAdapters, pool: &Pool) -> Attr {
    let sources = held.sources.iter().map(|(name, from)| (name.clone(), Attr::from(from.as_str())));
    // What the search found to run takes the rank.
    let rank = LoraAdapters::allocated(pool.engine.name, held.max_rank).unwrap_or(held.max_rank);
    Builder::default().number("max_rank", rank).with("sources", Attr::Map(sources.collect())).map()
}

/// The `server` attribute: that of a model whose times were measured.
pub(super) fn server(model: &Model, measured: &Measured, pool: &Pool) -> Attr {
    let command = measured.command.iter().map(|word| Attr::from(word.as_str())).collect();
    Builder::default()
        .with("name", model.name.as_str())
        .with("variant", pool.variant.as_str())
        .with("image", measured.image.as_str())
        .with("command", Attr::List(command))
        .number("batch", pool.engine.max_num_seqs)
        .maybe("vcpus", pool.vcpus_per_replica.map(i64::from))
        .maybe("memory_bytes", pool.vcpus_per_replica.map(|_| parts(pool.memory.weights, 1.0)))
        .map()
}

/// The `engine` attribute.
pub(super) fn engine(pool: &Pool) -> Attr {
    let settings = &pool.engine;
    let layout = &pool.layout;
    Builder::default()
        .with("name", settings.name.as_str())
        .with("version", format!("{}.{}", settings.version.0, settings.version.1))
        .number("tensor_parallel_size", layout.tp)
        .number("pipeline_parallel_size", layout.pp)
        .number("data_parallel_size", layout.dp)
        .number("expert_parallel_size", layout.ep)
        .number("accelerators_per_replica", layout.accelerators())
        .number("max_model_len", settings.max_model_len)
        .number("max_num_seqs", settings.max_num_seqs)
        .number("max_num_batched_tokens", settings.max_num_batched_tokens)
        .number("gpu_memory_utilization_permille", parts(settings.gpu_memory_utilization, 1000.0))
        .map()
}
