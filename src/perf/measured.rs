//! Models whose times the team measured: no prediction, only what waits for a server.
//!
//! A server takes up to `B` waiting items together; such a launch takes `T` seconds, however many items are in it. Items come
//! to `N` servers by least outstanding requests, in turn among equals. With `lambda` items/s a server, `a = lambda T` come to it
//! in a launch and `rho = a / B` is its load. What an item waits before its launch has two parts:
//!
//! - A share `u` of the items finds every server busy. Had those that find it so gone away, that share would be Erlang's
//!   loss `E(N, N a)`; but a server that finds something waiting at the end of a launch starts again, and only with a
//!   probability `P0` it finds nothing: `u = E / (E + (1 - E) P0)`. With `B = 1`, `P0 = 1 - rho` makes it Erlang's delay formula. With
//!   one server and no bound on the launch, `P0 = exp(-a)` makes it exact (arrivals see time averages). In between: in the time of
//!   a launch fewer than `N` items come, and the launches are not full. Such an item waits for the rest of a launch: up to its
//!   whole, evenly; up to the `N`-th part of it where servers end one after the other and few items wait.
//! - Where a share `g` of those finds more waiting than the next launches take (Halfin and Whitt's limit for `N B` places; one server
//!   of one item: `rho`), it waits on, for an exponential time: what waits falls off as in a queue with constant service,
//!   `exp(-theta n)` for `n` items, `rho (exp(theta) - 1) = theta` (Crommelin 1932; Tijms, "A First Course in Stochastic Models",
//!   2003, section 9.6). The mean is thus `T / (theta N B)`; other arrivals than Poisson's stretch it by their squared coefficient
//!   of variation (Allen and Cunneen).
//!
//! Both are added at the same quantile. How far off this is stands in `src/perf/measured/CHECKED.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::memory::reported_bytes;
use super::service::{ms, variability};
use super::types::{
    Band, DoesNotFit, EngineSettings, Latency, MemoryFit, Percentiles, PromptTime, RequestShape,
    ServiceCurve, Wait,
};
use crate::catalog::{Accelerator, Evidence, InstanceType, ModelArch, ModelKind, Provenance};
use crate::math;
use crate::spec::{
    Arrivals, EngineName, Launch, Lengths, MeasuredVariant, OnProcessors, Processors, Quantization,
};

/// More servers than these have the loss of so many: fewer than one item in a thousand of theirs finds all of them busy
/// at nine tenths of the load.
const MOST_SERVERS: u32 = 512;

/// Most servers that the closed form was held against the replay with.
pub(super) const MOST_CHECKED: u32 = 256;

/// Makers of the accelerators that a team's own server is started on.
pub const VENDORS: [&str; 2] = ["nvidia", "amd"];

/// What is known of the architecture of such a model: nothing. Only code that serves all models alike sees it.
pub static NO_ARCHITECTURE: LazyLock<ModelArch> = LazyLock::new(|| ModelArch {
    id: String::new(),
    kind: ModelKind::Encoder,
    params: 0.0,
    params_active: 0.0,
    layers: 0,
    hidden: 0,
    ffn: 0,
    gated: false,
    heads: 0,
    kv_heads: 0,
    head_dim: 0,
    mla: None,
    moe: None,
    vocab: 0,
    max_context: 0,
    native: Quantization::Native,
    sliding: None,
    linear_layers: 0,
    sparse_topk: None,
    tied_embeddings: false,
    licence: None,
    provenance: Provenance { source: "".into(), as_of: "".into() },
});

/// The settings of a server that takes up to `batch` items together: an item is one token of one sequence.
pub fn settings(batch: u32) -> EngineSettings {
    EngineSettings {
        name: EngineName::Own,
        version: super::default_version(EngineName::Own),
        max_num_seqs: batch.max(1),
        max_num_batched_tokens: batch.max(1),
        max_model_len: 1,
        gpu_memory_utilization: 1.0,
    }
}

/// Share of the main memory that servers on processors may have together: the rest is the operating system's and that of
/// whatever starts containers (assumed). Of vCPUs nothing is kept back: times are stated of servers that leave none free.
pub const SHARE_OF_MAIN_MEMORY: f64 = 0.9;

/// The curve of a server with one whole accelerator, of which it takes `memory_bytes`.
///
/// # Errors
/// The accelerator has less memory.
pub fn curve(launch: &Launch, memory_bytes: f64, on: &Accelerator) -> Result<ServiceCurve, DoesNotFit> {
    let device = reported_bytes(on);
    if memory_bytes > device {
        let reason = format!("so much is stated for a server; that is what {} has", on.id);
        return Err(DoesNotFit::Memory { needed: memory_bytes, available: device, reason });
    }
    Ok(server(launch, memory_bytes, (device, device), Evidence::Measured))
}

/// Of what is stated for processors what counts on a machine: of its type, else of the narrowest series, else of its architecture.
pub fn narrowest<'m, T>(
    stated: &'m BTreeMap<Processors, T>,
    kind: &InstanceType,
) -> Option<(&'m Processors, &'m T)> {
    let series = kind.series().into_iter().rev().map(|series| Processors::Series(kind.cloud, series));
    let own = Processors::Type(kind.cloud, kind.name.clone());
    let names = std::iter::once(own).chain(series).chain([Processors::Architecture(kind.arch.clone())]);
    names.into_iter().find_map(|name| stated.get_key_value(&name))
}

/// The time of a variant that counts on a machine without accelerators.
pub fn stated<'m>(
    variant: &'m MeasuredVariant,
    kind: &InstanceType,
) -> Option<(&'m Processors, &'m OnProcessors)> {
    narrowest(&variant.processors, kind)
}

/// The class of what is stated for processors, on any of them.
pub fn class(of: &Processors) -> Evidence {
    match of {
        Processors::Architecture(_) => Evidence::Assumed,
        Processors::Type(..) | Processors::Series(..) => Evidence::Measured,
    }
}

/// The curve of a server on processors, which takes `memory_bytes` of a machine's main memory, by a time of `of`. A time of an
/// architecture was measured on some machine of it, and is assumed of the others.
///
/// # Errors
/// The machine has less memory, or it is not known how much.
pub fn on_processors(
    launch: &Launch,
    memory_bytes: f64,
    of: &Processors,
    machine: &InstanceType,
) -> Result<ServiceCurve, DoesNotFit> {
    let Some(gib) = machine.memory_gib.filter(|gib| *gib > 0.0) else {
        return Err(DoesNotFit::Unknown { reason: format!("the memory of {}", machine.name) });
    };
    let device = gib * 1_073_741_824.0;
    let available = device * SHARE_OF_MAIN_MEMORY;
    if memory_bytes > available {
        let reason = format!("so much is stated for a server; {} leaves that to servers", machine.name);
        return Err(DoesNotFit::Memory { needed: memory_bytes, available, reason });
    }
    Ok(server(launch, memory_bytes, (device, available), class(of)))
}

fn server(
    launch: &Launch,
    memory_bytes: f64,
    (device, usable): (f64, f64),
    evidence: Evidence,
) -> ServiceCurve {
    let (one, none) = (tokens(1.0), tokens(0.0));
    let batch = launch.batch.max(1);
    let each = launch.takes_s / f64::from(batch);
    let exact = Band { mu: 0.0, sigma: 0.0, groups: 1 };
    ServiceCurve {
        alpha_s: launch.takes_s,
        beta_s: 0.0,
        w_s: each,
        w2_s2: each * each,
        ttft_floor_s: launch.takes_s,
        prompt: PromptTime { per_token_s: 0.0, per_pair_s: 0.0, before_s: 0.0 },
        steps: None,
        max_batch: batch,
        shape: RequestShape { input: one, output: none, prefix_cached: 0.0 },
        memory: MemoryFit {
            device,
            usable,
            weights: memory_bytes,
            overhead: 0.0,
            kv_cache: 0.0,
            kv_per_token: 0.0,
            kv_tokens: 0.0,
            max_sequences: batch,
        },
        ttft_band: exact,
        tpot_band: exact,
        evidence,
        notes: Vec::new(),
        decode_terms: Vec::new(),
        prefill_terms: Vec::new(),
        launches: true,
    }
}

fn tokens(mean: f64) -> Lengths {
    Lengths { mean, cv2: 0.0, p95: mean, max: mean }
}

/// Erlang's loss of `servers` that are offered `load`, and the probability that fewer than `servers` items come while that
/// many are expected.
fn loss(servers: u32, load: f64) -> (f64, f64) {
    let (mut lost, mut log) = (1.0, -load);
    for k in 1..=servers {
        let k = f64::from(k);
        lost = load * lost / (k + load * lost);
        log += math::ln(load / k);
    }
    // The probabilities of up to `servers` items, each over the last of them, sum to the inverse of the loss.
    let last = math::exp(log);
    let fewer = if lost > 1e-300 { (last / lost - last).clamp(0.0, 1.0) } else { 1.0 };
    (lost, fewer)
}

/// The root above 0 of `load (exp(theta) - 1) = theta`, for a load in (0, 1).
fn decay(load: f64) -> f64 {
    // Above it the left side is larger; it is below 2 ln(1 / load) + 2, and Newton's steps come down to it.
    let mut theta = 2.0 * math::ln(1.0 / load) + 2.0;
    for _ in 0..60 {
        let e = load * math::exp(theta);
        let step = (e - load - theta) / (e - 1.0);
        theta -= step;
        if step.abs() <= 1e-13 * theta {
            break;
        }
    }
    theta.max(f64::MIN_POSITIVE)
}

impl ServiceCurve {
    /// As [`ServiceCurve::latency`], of launches; `rate` is below the capacity.
    pub(super) fn latency_of_launches(&self, rate: f64, replicas: u32, arrivals: Arrivals) -> Latency {
        let takes = self.alpha_s;
        let (servers, batch) = (replicas.max(1), self.max_batch.max(1));
        let n = f64::from(servers);
        let places = n * f64::from(batch);
        let each = rate * takes;
        let load = each / f64::from(batch);
        let (gaps, _) = variability(arrivals);
        let wait = if load > 0.0 && (gaps > 0.0 || batch > 1) {
            let beta = (1.0 - load) * math::sqrt(places);
            let longer = if places == 1.0 {
                load
            } else if beta > 6.0 {
                // Below 1e-9.
                0.0
            } else {
                let density = math::exp(-beta * beta / 2.0) / math::sqrt(2.0 * std::f64::consts::PI);
                1.0 / (1.0 + beta * math::normal_cdf(beta) / density)
            };
            let counted = servers.min(MOST_SERVERS);
            let (lost, fewer) = loss(counted, f64::from(counted) * each);
            let nothing = if batch == 1 {
                1.0 - load
            } else {
                // More servers never make it worse for the same load of each.
                fewer.max(math::exp(-each)) * (1.0 - longer)
            };
            let apart = if batch == 1 { 1.0 } else { (1.0 - each).max(0.0) };
            Wait {
                share: lost / (lost + (1.0 - lost) * nothing),
                whole_ms: 2e3 * takes / (2.0 + (n - 1.0) * apart),
                longer,
                longer_ms: 1e3 * takes / (decay(load) * places) * gaps,
            }
        } else {
            Wait { share: 0.0, whole_ms: 0.0, longer: 0.0, longer_ms: 0.0 }
        };
        let mean = takes + wait.mean() / 1e3;
        let answered =
            Percentiles { mean: ms(mean), shift: ms(takes), mu: 0.0, sigma: 0.0, wait: Some(wait) };
        Latency {
            ttft: answered,
            tpot: Percentiles { mean: 0.0, shift: 0.0, mu: 0.0, sigma: 0.0, wait: None },
            e2e: answered,
            utilization: load.clamp(0.0, 1.0 - f64::EPSILON),
            batch: rate * mean,
        }
    }
}

impl Wait {
    /// Mean, ms.
    pub fn mean(&self) -> f64 {
        self.share * (self.whole_ms / 2.0 + self.longer * self.longer_ms)
    }

    /// The value at a quantile in (0, 1), ms.
    pub fn at(&self, quantile: f64) -> f64 {
        let above = 1.0 - quantile;
        if above >= self.share {
            return 0.0;
        }
        let longer = self.share * self.longer / above;
        let tail = if longer > 1.0 { self.longer_ms * math::ln(longer) } else { 0.0 };
        self.whole_ms * (1.0 - above / self.share) + tail
    }
}

#[cfg(test)]
mod tests;
