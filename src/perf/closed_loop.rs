//! The steady state of a closed loop: a fixed number of requests in flight (design section 2.4).
//!
//! It is what benchmarks measure, so it is how the method is compared with them; user traffic is
//! [`super::ServiceCurve::latency`].

use super::bands::{MeasuredRange, judge};
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
        // A step with drafts gives a sequence several tokens; what a request waits for is whole steps.
        let token = t / if self.drafted { e.drafted } else { 1.0 };
        let w = e.prompt(&self.prefill) / self.together;
        let out = self.output.max(1.0);
        let inflow = self.batch / out * w;
        let tpot = token + (1.0 - h.synchrony / 2.0) * h.mix * others / out * w;
        let rho = inflow / (token + h.mix * inflow);
        let queue = (1.0 - h.synchrony) * rho / (2.0 * (1.0 - rho).max(0.02)) * w;
        // Requests that end together come back together: in a wave all do, else a few.
        let clustered = (1.0 - h.synchrony) * h.cluster * w * others / self.batch;
        let alone = e.alone(e.prompt(&self.alone), self.layers, self.experts, self.mla);
        let ahead = alone + h.synchrony * others / 2.0 * w + queue + clustered;
        let steps = h.steps + if self.ranks > 1.0 { h.gather } else { 0.0 } + self.hold;
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
        layers: pass.rank.layers,
        experts: pass.rank.moe_layers > 0.0,
        mla: pass.rank.mla.is_some(),
        drafted: false,
        hold: 0.0,
    }
}

/// What a benchmark's published scripts set beside lengths and clients. The default is none of it, as for everything
/// but the benchmark's own rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Script {
    /// Whether tokens are drafted.
    pub drafted: bool,
    /// Steps that the scheduler holds a prompt back.
    pub hold: f64,
}

impl ClosedLoop {
    /// The same under a benchmark's script.
    pub(crate) const fn under(mut self, script: Script) -> Self {
        (self.drafted, self.hold) = (script.drafted, script.hold);
        self
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

/// The same of a configuration that runs whatever the rules say, under a benchmark's script.
///
/// # Errors
/// A figure that every prediction needs is unknown.
pub(crate) fn benchmark_leniently(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
    conditions: &Conditions<'_>,
    script: Script,
) -> Result<Benchmark, DoesNotFit> {
    let (found, pass, refused) = leniently(c, shape, concurrency)?;
    let found = found.under(script);
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
    let mut judged = judge(c, &measured, pass.quantization(), pass.own_curves, shape);
    if clients > MeasuredRange::CLIENTS {
        let most = MeasuredRange::CLIENTS;
        judged.widen(format!(
            "extrapolated: {clients:.0} requests in flight on an attention rank, {most:.0} were measured"
        ));
    }
    let slower = judged.slower;
    let (ttft_s, tpot_s) = (ttft * math::exp(more_ttft + slower), tpot * math::exp(more_tpot + slower));
    let (ttft_band, tpot_band) = (judged.ttft, judged.tpot);
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
    let slower = math::exp(judged.slower);
    Ok(Benchmark {
        ttft_s: ttft * slower,
        tpot_s: tpot * slower,
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
        cluster: 1.0,
        synchrony: 1.0,
    };

    const KERNELS: EngineConstants = EngineConstants {
        decode: [1.0; 8],
        prefill: [1.0; 8],
        host_s: 0.0,
        sequence_s: 0.0,
        host_prefill_s: 0.0,
        layer_s: 0.0,
        layer_experts: 0.0,
        layer_mla: 0.0,
        drafted: 1.5,
    };

    fn parts(seconds: f64) -> super::super::Parts {
        super::super::Parts { attention: seconds, ..Default::default() }
    }

    fn in_flight(batch: f64, output: f64) -> ClosedLoop {
        ClosedLoop {
            batch,
            excess: 0.0,
            step: parts(0.02),
            prefill: parts(0.1),
            alone: parts(0.05),
            together: 2.0,
            output,
            ranks: 1.0,
            layers: 80.0,
            experts: false,
            mla: false,
            drafted: false,
            hold: 0.0,
        }
    }

    #[test]
    fn work_is_conserved() {
        // Every request costs its steps and the prefills that everybody's steps carry:
        // TTFT + o TPOT = o t + B w, whatever the split between the two.
        for (batch, output) in [(1.0, 100.0), (32.0, 250.0), (256.0, 1000.0)] {
            let (ttft, tpot) = in_flight(batch, output).latency(&KERNELS, &PURE);
            let law = output * 0.02 + batch * 0.05;
            assert!((ttft + output * tpot - law).abs() < 1e-9 * law);
        }
    }

    #[test]
    fn drafts_shorten_tokens_and_not_the_steps_that_are_waited_for() {
        let plain = in_flight(1.0, 250.0);
        let drafting = plain.under(Script { drafted: true, hold: 0.0 });
        let h = Harness { steps: 4.0, ..PURE };
        let (ttft, tpot) = plain.latency(&KERNELS, &h);
        let (drafted_ttft, drafted_tpot) = drafting.latency(&KERNELS, &h);
        assert!((tpot / drafted_tpot - 1.5).abs() < 1e-12);
        assert_eq!((ttft, drafted_ttft), (0.13, 0.13));
        // Others' prompts cost what they cost, drafts or not; only the queue sees that requests come back sooner.
        let h = Harness { synchrony: 0.1, ..h };
        let plain = in_flight(32.0, 250.0);
        let (ttft, tpot) = plain.latency(&KERNELS, &h);
        let (drafted_ttft, drafted_tpot) =
            plain.under(Script { drafted: true, hold: 0.0 }).latency(&KERNELS, &h);
        assert!((tpot - drafted_tpot - 0.02 / 3.0).abs() < 1e-12);
        assert!(drafted_ttft >= ttft);
    }

    #[test]
    fn a_hold_is_whole_steps() {
        for batch in [1.0, 64.0] {
            let plain = in_flight(batch, 250.0);
            for drafted in [false, true] {
                let (ttft, tpot) = plain.under(Script { drafted, hold: 0.0 }).latency(&KERNELS, &PURE);
                let held = plain.under(Script { drafted, hold: 15.0 }).latency(&KERNELS, &PURE);
                assert!((held.0 - ttft - 15.0 * 0.02).abs() < 1e-9 && held.1 == tpot);
            }
        }
    }

    #[test]
    fn clusters_are_of_others_and_a_wave_has_none_beside_itself() {
        let more = |batch: f64, synchrony: f64| {
            let of = |cluster: f64| {
                in_flight(batch, 250.0).latency(&KERNELS, &Harness { cluster, synchrony, ..PURE })
            };
            assert_eq!(of(2.0).1, of(0.0).1);
            of(2.0).0 - of(0.0).0
        };
        assert_eq!((more(1.0, 0.1), more(64.0, 1.0)), (0.0, 0.0));
        // Two prompts of 50 ms, but for the share that comes in waves and for the request's own.
        assert!((more(64.0, 0.1) - 0.9 * 2.0 * 0.05 * 63.0 / 64.0).abs() < 1e-9);
        assert!(more(2.0, 0.1) < more(64.0, 0.1));
    }

    #[test]
    fn a_prompt_alone_waits_for_its_launches() {
        let launching = EngineConstants { layer_s: 1e-3, layer_experts: 0.5, layer_mla: 2.0, ..KERNELS };
        let dense = in_flight(1.0, 250.0);
        let mixture = ClosedLoop { experts: true, ..dense };
        let latent = ClosedLoop { mla: true, ..mixture };
        let ttft = |l: &ClosedLoop| l.latency(&launching, &PURE).0;
        assert!((0.08..0.13).contains(&ttft(&dense)));
        assert!(ttft(&dense) < ttft(&mixture) && ttft(&mixture) < ttft(&latent));
        assert!((ttft(&latent) - 0.28).abs() < 1e-3);
        assert_eq!(dense.latency(&launching, &PURE).1, dense.latency(&KERNELS, &PURE).1);
        // What many pay for is the prompts that share steps: the floor is under the request's own alone.
        let many = in_flight(64.0, 250.0);
        let more = many.latency(&launching, &PURE).0 - many.latency(&KERNELS, &PURE).0;
        assert!((more - (ttft(&dense) - 0.05)).abs() < 1e-9);
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
