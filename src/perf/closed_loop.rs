//! The steady state of a closed loop: a fixed number of requests in flight (design section 2.4).
//!
//! It is what benchmarks measure, so it is how the method is compared with them; user traffic is
//! [`super::ServiceCurve::latency`].

use super::bands::judge;
use super::constants::{EngineConstants, Harness};
use super::ledger::{self, Conditions};
use super::memory;
use super::pass::Pass;
use super::precision;
use super::rank::check_layout;
use super::types::{Band, ClosedLoop, Configuration, DoesNotFit, MemoryFit, RequestShape};
use crate::catalog::Evidence;
use crate::math;
use crate::spec::{KvCacheDtype, Quantization};

impl ClosedLoop {
    /// TTFT and TPOT, seconds, as a benchmark with this harness would measure them, by physics alone.
    pub fn latency(&self, e: &EngineConstants, h: &Harness) -> (f64, f64) {
        let others = (self.batch - 1.0).max(0.0);
        let t = e.step(&self.step, self.batch);
        let w = e.prompt(&self.prefill) / self.together;
        let out = self.output.max(1.0);
        let inflow = self.batch / out * w;
        let tpot = t + (1.0 - h.synchrony / 2.0) * h.mix * others / out * w;
        let rho = inflow / (t + h.mix * inflow);
        let queue = (1.0 - h.synchrony) * rho / (2.0 * (1.0 - rho).max(0.02)) * w;
        let ahead = e.prompt(&self.alone) + h.synchrony * others / 2.0 * w + queue;
        let steps = h.steps + if self.ranks > 1.0 { h.gather } else { 0.0 };
        let served = h.start_s + h.start_per_request_s * self.batch + steps * t + h.prefill * ahead;
        let cycle = served + out * tpot;
        (served + self.excess * cycle, tpot)
    }
}

/// As [`super::closed_loop()`].
pub(crate) fn closed_loop(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
) -> Result<(ClosedLoop, Pass), DoesNotFit> {
    let (fit, rank, precision) = memory::fit(c, shape)?;
    let pass = Pass::new(c, rank, precision)?;
    Ok((steady(c, shape, concurrency, &fit, &pass), pass))
}

/// The same of a configuration that runs whatever the rules say, because somebody measured it: without a
/// check of layout, context and memory, in 16 bits if the engine's precision is not known to run there.
///
/// # Errors
/// A figure that every prediction needs is unknown.
pub(crate) fn leniently(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
) -> Result<(ClosedLoop, Pass, Option<DoesNotFit>), DoesNotFit> {
    // No machine can have measured more ranks than there are experts to put on them.
    let experts = c.arch.moe.as_ref().map_or(1, |m| m.experts);
    if c.layout.ep > experts {
        let reason = format!("ep {} is more than the {experts} experts of {}", c.layout.ep, c.arch.id);
        return Err(DoesNotFit::Layout { reason });
    }
    let layout = check_layout(c).err();
    let (precision, strange) = match precision::resolve(c) {
        Ok(found) => (found, None),
        Err(why) => {
            let plain =
                Configuration { quantization: Quantization::Bf16, kv_cache: KvCacheDtype::Bf16, ..*c };
            (precision::resolve(&plain).map_err(|_| why.clone())?, Some(why))
        }
    };
    let (fit, rank, precision, memory) = memory::divide(c, shape, precision);
    let pass = Pass::new(c, rank, precision)?;
    Ok((steady(c, shape, concurrency, &fit, &pass), pass, strange.or(layout).or(memory)))
}

fn steady(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    fit: &MemoryFit,
    pass: &Pass,
) -> ClosedLoop {
    let lanes = pass.rank.dp * pass.rank.pp;
    let held = concurrency.max(1.0).min(f64::from(fit.max_sequences));
    let batch = (held / lanes).max(1.0);
    let input = shape.input.mean.max(1.0);
    let new = ((1.0 - shape.prefix_cached.clamp(0.0, 1.0)) * input).max(1.0);
    let together = (f64::from(c.engine.max_num_batched_tokens) / new).clamp(1.0, (batch / 4.0).max(1.0));
    let alone = pass.prefill_alone(input, new);
    ClosedLoop {
        batch,
        excess: (concurrency / held - 1.0).max(0.0),
        step: pass.decode_kernels(batch, input + shape.output.mean / 2.0),
        prefill: pass.prefill_kernels(together, input, new),
        alone,
        together,
        output: shape.output.mean,
        ranks: pass.rank.dp,
    }
}

/// What a benchmark measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    /// Mean time to first token, seconds.
    pub ttft_s: f64,
    /// Mean time per output token, seconds.
    pub tpot_s: f64,
    /// Band of the first.
    pub ttft_band: Band,
    /// Band of the second.
    pub tpot_band: Band,
    /// Calibrated or modelled.
    pub evidence: Evidence,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// As [`super::benchmark()`].
pub(crate) fn benchmark(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    conditions: &Conditions<'_>,
) -> Result<Benchmark, DoesNotFit> {
    let (found, pass) = closed_loop(c, shape, concurrency)?;
    Ok(corrected(c, shape, concurrency, conditions, &found, &pass))
}

/// The same of a configuration that runs whatever the rules say.
///
/// # Errors
/// A figure that every prediction needs is unknown.
pub(crate) fn benchmark_leniently(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    conditions: &Conditions<'_>,
) -> Result<Benchmark, DoesNotFit> {
    let (found, pass, refused) = leniently(c, shape, concurrency)?;
    let mut benchmark = corrected(c, shape, concurrency, conditions, &found, &pass);
    if let Some(why) = refused {
        benchmark.evidence = Evidence::Modelled;
        benchmark.notes.push(format!("predicted although it should not run: {why}"));
    }
    Ok(benchmark)
}

/// Physics times the ledger's corrections, with its band.
fn corrected(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    conditions: &Conditions<'_>,
    found: &ClosedLoop,
    pass: &Pass,
) -> Benchmark {
    let harness = Harness::of(c.engine.name, conditions.fixed_lengths.unwrap_or(false));
    let (ttft, tpot) = found.latency(&EngineConstants::of(c.engine.name, pass.quantization()), &harness);
    let measured = ledger::measured(c, conditions);
    let clients = concurrency / f64::from(c.layout.dp.max(1));
    let gpus = f64::from(c.layout.accelerators());
    let at = ledger::variables(clients, shape.input.mean, shape.output.mean, gpus);
    let (more_ttft, more_tpot) = measured.residual.at(&at);
    let judged = judge(c, &measured, pass.quantization(), pass.own_curves, shape);
    // A band that is assumed and does not lie around the physics (AMD) says where the truth is expected.
    let centred = |seconds: f64, band: Band| match band.groups {
        0 => (seconds * math::exp(band.mu), Band { mu: 0.0, ..band }),
        _ => (seconds, band),
    };
    let (ttft_s, ttft_band) = centred(ttft * math::exp(more_ttft), judged.ttft);
    let (tpot_s, tpot_band) = centred(tpot * math::exp(more_tpot), judged.tpot);
    Benchmark { ttft_s, tpot_s, ttft_band, tpot_band, evidence: judged.evidence, notes: judged.notes }
}

/// Seconds to hand the KV cache of a prompt to the replica that decodes, beside its bytes over the network
/// (assumed).
const HAND_OVER_S: f64 = 0.02;

/// Prefill and decode on replicas of their own: `(replica, requests in flight on it)` that decode, and
/// `(replica, requests in flight over the prefillers, prompts in a step)` that prefill.
///
/// Decoding is a step without prompts in it. The prefillers are a closed queue: requests that are not
/// decoding wait there, so with `w` the time of a prompt on one of them, `c` requests for each and `d` the time
/// that a request decodes, the time to first token is at least `w` and at least `c w - d` (the bottleneck
/// bound of a closed network). Not validated to better than the table of `ACCURACY.md`.
///
/// # Errors
/// A figure that every prediction needs is unknown.
pub(crate) fn disaggregated(
    decode: (&Configuration<'_>, f64),
    prefill: (&Configuration<'_>, f64, f64),
    shape: &RequestShape,
    conditions: &Conditions<'_>,
) -> Result<Benchmark, DoesNotFit> {
    let (c, held) = decode;
    let (prompts, waiting, together) = prefill;
    let harness = Harness::of(c.engine.name, conditions.fixed_lengths.unwrap_or(false));
    let (found, pass, refused) = leniently(c, shape, held)?;
    let engine = EngineConstants::of(c.engine.name, pass.quantization());
    let (_, front, _) = leniently(prompts, shape, 1.0)?;
    let tpot = engine.step(&found.step, found.batch);
    let input = shape.input.mean.max(1.0);
    let lanes = front.rank.dp * front.rank.pp;
    let step = engine.prompt(&front.prefill_kernels(together.max(1.0), input, input));
    let each = step / together.max(1.0) / lanes;
    let alone = engine.prompt(&front.prefill_kernels(1.0, input, input));
    let link = c.inter_node_bandwidth.unwrap_or(50e9);
    let transfer = HAND_OVER_S + pass.rank.kv_bytes(pass.precision(), input) / link;
    let decoding = found.output.max(1.0) * tpot;
    let queue = (waiting * each - decoding).max(alone);
    let ttft = harness.start_s + transfer + harness.steps.min(3.0) * tpot + queue;
    let measured = ledger::measured(c, conditions);
    let mut judged = judge(c, &measured, pass.quantization(), pass.own_curves, shape);
    judged.notes.push("disaggregated: the queue of the prefillers is a bound, not a fit".into());
    if let Some(why) = refused {
        judged.notes.push(format!("predicted although it should not run: {why}"));
    }
    let wide = |band: Band, sigma: f64| Band { mu: 0.0, sigma: sigma.max(band.sigma), groups: 0 };
    Ok(Benchmark {
        ttft_s: ttft,
        tpot_s: tpot,
        ttft_band: wide(judged.ttft, 2.0),
        tpot_band: wide(judged.tpot, 0.7),
        evidence: Evidence::Modelled,
        notes: judged.notes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::testing::{arch, configuration, gpu, shape};
    use crate::spec::EngineName;

    const PURE: Harness = Harness {
        start_s: 0.0,
        start_per_request_s: 0.0,
        steps: 0.0,
        gather: 0.0,
        prefill: 1.0,
        mix: 1.0,
        synchrony: 1.0,
    };

    #[test]
    fn work_is_conserved() {
        // Every request costs its steps and the prefills that everybody's steps carry:
        // TTFT + o TPOT = o t + B w, whatever the split between the two.
        let pure = EngineConstants {
            decode: [1.0; 8],
            prefill: [1.0; 8],
            host_s: 0.0,
            sequence_s: 0.0,
            host_prefill_s: 0.0,
        };
        let parts = |seconds| super::super::Parts { attention: seconds, ..Default::default() };
        for (batch, output) in [(1.0, 100.0), (32.0, 250.0), (256.0, 1000.0)] {
            let l = ClosedLoop {
                batch,
                excess: 0.0,
                step: parts(0.02),
                prefill: parts(0.1),
                alone: parts(0.05),
                together: 2.0,
                output,
                ranks: 1.0,
            };
            let (ttft, tpot) = l.latency(&pure, &PURE);
            let law = output * 0.02 + batch * 0.05;
            assert!((ttft + output * tpot - law).abs() < 1e-9 * law);
        }
    }

    #[test]
    fn more_clients_are_never_faster_for_each() {
        let (a, g) = (arch("llama-3.1-70b"), gpu("h100"));
        let c = configuration(&a, &g, 8);
        let mut last = (0.0, 0.0);
        for clients in [1.0, 2.0, 8.0, 32.0, 128.0, 1024.0] {
            let now = closed_loop(&c, &shape(1024.0, 256.0), clients).unwrap().0.latency(
                &EngineConstants::of(EngineName::Vllm, Quantization::Bf16),
                &Harness::of(EngineName::Vllm, true),
            );
            assert!(now.0 >= last.0 && now.1 >= last.1, "{clients}: {now:?} after {last:?}");
            last = now;
        }
    }
}
