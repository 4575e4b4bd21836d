//! The steady state of a closed loop: a fixed number of requests in flight (design section 2.4).
//!
//! It is what benchmarks measure, so it is how the method is compared with them; user traffic is
//! [`super::ServiceCurve::latency`].

use super::memory;
use super::pass::Pass;
use super::types::{ClosedLoop, Configuration, DoesNotFit, RequestShape};
use crate::spec::EngineName;

/// What a benchmark's client, and the engine's scheduler under it, add to the physics; fitted by
/// `perf_convert fit` on the calibration rows (see `ACCURACY.md`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harness {
    /// Seconds before the first token that no kernel explains: HTTP, tokenizer, scheduler, client.
    pub start_s: f64,
    /// Seconds of that for each request in flight.
    pub start_per_request_s: f64,
    /// Steps that a request waits for its first.
    pub steps: f64,
    /// Share of the prefill work ahead of a request that it waits for.
    pub prefill: f64,
    /// Share of the prefill work of others that a decoding request pays for.
    pub mix: f64,
    /// Wave synchrony of the benchmark: 1 = all requests of a wave arrive and end together.
    pub synchrony: f64,
}

impl Harness {
    /// The constants of an engine under a benchmark with fixed output lengths, or spread ones.
    pub fn of(engine: EngineName, fixed: bool) -> Self {
        let h = |start_s, start_per_request_s, steps, prefill, mix, synchrony| Harness {
            start_s,
            start_per_request_s,
            steps,
            prefill,
            mix,
            synchrony,
        };
        match (engine, fixed) {
            (EngineName::Vllm, true) => h(0.0619, 0.000_625, 0.703, 1.206, 1.0, 0.08),
            (EngineName::Vllm, false) => h(0.0134, 0.000_500, 2.562, 1.005, 1.0, 0.13),
            (EngineName::Sglang, true) => h(0.0, 0.0, 24.73, 0.925, 1.0, 1.0),
            (EngineName::Sglang, false) => h(0.1741, 0.002_781, 0.0, 0.691, 1.0, 0.35),
            (EngineName::Trtllm, true) => h(0.1150, 0.001_156, 2.883, 0.878, 1.0, 0.10),
            (EngineName::Trtllm, false) => h(0.0, 0.0, 13.99, 1.014, 1.0, 0.06),
        }
    }
}

impl ClosedLoop {
    /// TTFT and TPOT, seconds, as a benchmark with this harness would measure them.
    pub fn latency(&self, h: &Harness) -> (f64, f64) {
        let others = (self.batch - 1.0).max(0.0);
        let (t, w, out) = (self.step_s, self.prefill_s, self.output.max(1.0));
        let inflow = self.batch / out * w;
        let tpot = t + (1.0 - h.synchrony / 2.0) * h.mix * others / out * w;
        let rho = inflow / (t + h.mix * inflow);
        let queue = (1.0 - h.synchrony) * rho / (2.0 * (1.0 - rho).max(0.02)) * w;
        let ahead = self.prefill_alone_s + h.synchrony * others / 2.0 * w + queue;
        let served = h.start_s + h.start_per_request_s * self.batch + h.steps * t + h.prefill * ahead;
        let cycle = served + out * tpot;
        (served + self.excess * cycle, tpot)
    }
}

/// As [`super::closed_loop()`].
pub(crate) fn closed_loop(
    c: &Configuration<'_>,
    shape: &RequestShape,
    concurrency: f64,
) -> Result<ClosedLoop, DoesNotFit> {
    let (fit, rank, precision) = memory::fit(c, shape)?;
    let pass = Pass::new(c, rank, precision)?;
    let lanes = rank.dp * rank.pp;
    let held = concurrency.max(1.0).min(f64::from(fit.max_sequences));
    let batch = (held / lanes).max(1.0);
    let input = shape.input.mean.max(1.0);
    let new = ((1.0 - shape.prefix_cached.clamp(0.0, 1.0)) * input).max(1.0);
    let together = (f64::from(c.engine.max_num_batched_tokens) / new).clamp(1.0, (batch / 4.0).max(1.0));
    Ok(ClosedLoop {
        batch,
        excess: (concurrency / held - 1.0).max(0.0),
        step_s: pass.decode(batch, input + shape.output.mean / 2.0).total(),
        prefill_s: pass.prefill(together, input, new).total() / together,
        prefill_alone_s: pass.prefill(1.0, input, new).total(),
        output: shape.output.mean,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::testing::{arch, configuration, gpu, shape};

    const PURE: Harness = Harness {
        start_s: 0.0,
        start_per_request_s: 0.0,
        steps: 0.0,
        prefill: 1.0,
        mix: 1.0,
        synchrony: 1.0,
    };

    #[test]
    fn work_is_conserved() {
        // Every request costs its steps and the prefills that everybody's steps carry:
        // TTFT + o TPOT = o t + B w, whatever the split between the two.
        for (batch, output) in [(1.0, 100.0), (32.0, 250.0), (256.0, 1000.0)] {
            let l = ClosedLoop {
                batch,
                excess: 0.0,
                step_s: 0.02,
                prefill_s: 0.05,
                prefill_alone_s: 0.05,
                output,
            };
            let (ttft, tpot) = l.latency(&PURE);
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
            let now = closed_loop(&c, &shape(1024.0, 256.0), clients)
                .unwrap()
                .latency(&Harness::of(EngineName::Vllm, true));
            assert!(now.0 >= last.0 && now.1 >= last.1, "{clients}: {now:?} after {last:?}");
            last = now;
        }
    }
}
