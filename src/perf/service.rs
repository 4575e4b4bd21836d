//! From one replica to percentiles under traffic: closed forms (design section 3), checked there
//! against a token-level simulator under Poisson arrivals (TPOT within 3/9/11 %, TTFT within
//! 17/21/22 % at p50/p95/p99 up to 90 % load). Bursty and constant arrivals only change the
//! variability and are rougher.

use super::measured::MOST_CHECKED;
use super::types::{Latency, Percentiles, ServiceCurve};
use crate::math;
use crate::spec::Arrivals;

/// Milliseconds, rounded to microseconds.
pub(super) fn ms(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// A shifted lognormal of this mean and variance (seconds), whose mean is then moved up by `tail` with its
/// median kept.
fn shifted(mean: f64, variance: f64, shift: f64, tail: f64) -> Percentiles {
    let above = mean - shift;
    if !(variance + tail > 0.0 && above > 0.0) {
        return Percentiles { mean: ms(mean), shift: ms(mean), mu: 0.0, sigma: 0.0, wait: None };
    }
    let s2 = math::ln(1.0 + variance / (above * above));
    let moved = if tail > 0.0 { 2.0 * math::ln(1.0 + tail / above) } else { 0.0 };
    Percentiles {
        mean: ms(mean + tail),
        shift: ms(shift),
        mu: math::ln(above * 1e3) - s2 / 2.0,
        sigma: math::sqrt(s2 + moved),
        wait: None,
    }
}

/// The mean of [`shifted`].
fn mean_of(mean: f64, variance: f64, shift: f64, tail: f64) -> f64 {
    let moved = variance + tail > 0.0 && mean - shift > 0.0;
    ms(if moved { mean + tail } else { mean })
}

/// Mean, variance and shift of each latency, seconds.
struct Moments {
    ttft: (f64, f64, f64),
    tpot: (f64, f64, f64),
    e2e: (f64, f64, f64),
    tail: f64,
    batch: f64,
}

/// The most variance that load may add to a shifted lognormal whose mean lies `above` its shift, `grown`
/// of it due to load, without its median falling as load rises (exactly 2 is the limit).
fn most_variance(above: f64, grown: f64) -> f64 {
    1.9 * above * grown.max(0.0)
}

/// Variability of arrivals: squared coefficient of variation of gaps, and peakedness.
pub(super) fn variability(arrivals: Arrivals) -> (f64, f64) {
    match arrivals {
        Arrivals::Poisson => (1.0, 1.0),
        Arrivals::Bursty { cv2 } => (cv2.max(0.0), (1.0 + cv2.max(0.0)) / 2.0),
        Arrivals::Constant => (0.0, 0.5),
    }
}

impl ServiceCurve {
    /// Whether requests only read (encoders).
    fn encodes(&self) -> bool {
        self.shape.output.mean <= 0.0
    }

    /// Latency percentiles at `rate` requests/s per replica in a pool of `replicas`, at the engine,
    /// without the band; `None` if the load is not below the capacity.
    ///
    /// With `lambda` the rate, `o` the mean output and `b` the batch: a step takes
    /// `ITL = alpha / (1 - lambda w - beta lambda o)`, `b = lambda o ITL`. TPOT is a shifted lognormal
    /// around it; TTFT adds to the prompt's own prefill the rest of a running step, the queue of
    /// prompts (Kingman) and the wait for a free slot (Halfin-Whitt). E2E is TTFT and `o` steps,
    /// its variance from both and from the spread of output lengths. No allocation.
    pub fn latency(&self, rate: f64, replicas: u32, arrivals: Arrivals) -> Option<Latency> {
        let capacity = self.saturation_rate();
        if !(rate >= 0.0 && rate < capacity) {
            return None;
        }
        if self.launches {
            Some(self.latency_of_launches(rate, replicas, arrivals))
        } else if self.encodes() {
            self.latency_of_encoder(rate, capacity, arrivals)
        } else {
            self.latency_of_decoder(rate, capacity, replicas, arrivals)
        }
    }

    fn latency_of_decoder(
        &self,
        rate: f64,
        capacity: f64,
        replicas: u32,
        arrivals: Arrivals,
    ) -> Option<Latency> {
        let m = self.moments(rate, replicas, arrivals)?;
        Some(Latency {
            ttft: shifted(m.ttft.0, m.ttft.1, m.ttft.2, m.tail),
            tpot: shifted(m.tpot.0, m.tpot.1, m.tpot.2, 0.0),
            e2e: shifted(m.e2e.0, m.e2e.1, m.e2e.2, m.tail),
            utilization: (rate / capacity).clamp(0.0, 1.0 - f64::EPSILON),
            batch: m.batch,
        })
    }

    /// The mean of [`Latency::e2e`] alone, to the bit, without the cost of the percentiles.
    pub fn mean_e2e(&self, rate: f64, replicas: u32, arrivals: Arrivals) -> Option<f64> {
        let capacity = self.saturation_rate();
        if self.encodes() || !(rate >= 0.0 && rate < capacity) {
            return self.latency(rate, replicas, arrivals).map(|l| l.e2e.mean);
        }
        let m = self.moments(rate, replicas, arrivals)?;
        Some(mean_of(m.e2e.0, m.e2e.1, m.e2e.2, m.tail))
    }

    fn moments(&self, rate: f64, replicas: u32, arrivals: Arrivals) -> Option<Moments> {
        let (gaps, peaked) = variability(arrivals);
        let out = self.shape.output.mean;
        let rho = rate * self.w_s;
        let load = rho + rate * self.beta_s * out;
        if load >= 1.0 {
            return None;
        }
        let n = f64::from(replicas.max(1));
        let itl = self.alpha_s / (1.0 - load);
        let batch = rate * out * itl;
        let idle = 1.0 - rho;

        let gain = (idle / (1.0 - load)).min(5.0);
        let crowd = self.beta_s * self.beta_s / (idle * idle) * 0.6 * batch * peaked / n * gain * gain;
        let stalls = self.w2_s2 * batch / (out * out) * gain * gain;
        let tpot_shift = 0.6 * self.alpha_s;
        let tpot_variance = (crowd + stalls).min(most_variance(itl - tpot_shift, itl - self.alpha_s));

        let busy = batch / (1.0 + batch);
        let rest = busy * itl / 2.0;
        let prompts = self.w2_s2 / (self.w_s * self.w_s).max(f64::MIN_POSITIVE) - 1.0;
        let queue = rate * self.w_s * self.w_s / idle * (gaps + prompts) / 2.0;
        // The spread of waits against that under Poisson arrivals of the same prompts.
        let irregular = (gaps + prompts) / (1.0 + prompts);
        let w3 =
            self.w2_s2 * self.w2_s2 * self.w2_s2 / (self.w_s * self.w_s * self.w_s).max(f64::MIN_POSITIVE);
        // A full engine makes few requests wait long: that part of the wait which most requests see
        // moves the whole distribution, the rest only its tail.
        let (waiting, slots) = self.slot_wait(batch, itl, n, peaked);
        let common = waiting * slots;
        let tail = slots - common;
        let ttft = self.ttft_floor_s + rest + self.beta_s * batch + queue + common;
        let spread = math::sqrt(prompts.max(0.0));
        let ttft_shift = 0.6 * self.ttft_floor_s / (1.0 + 2.0 * spread);
        let waits =
            busy * itl * itl / 12.0 + queue * queue + irregular * rate * w3 / (3.0 * idle) + common * common;
        let ttft_variance = (self.w2_s2 - self.w_s * self.w_s).max(0.0)
            + waits.min(most_variance(ttft - ttft_shift, ttft - self.ttft_floor_s));

        let cv2 = self.shape.output.cv2.max(0.0);
        let e2e = ttft + out * itl;
        let e2e_variance = ttft_variance + out * out * tpot_variance + cv2 * out * out * itl * itl;
        let e2e_shift = ttft_shift + out * tpot_shift / (1.0 + 2.0 * math::sqrt(cv2));
        Some(Moments {
            ttft: (ttft, ttft_variance, ttft_shift),
            tpot: (itl, tpot_variance, tpot_shift),
            e2e: (e2e, e2e_variance, e2e_shift),
            tail,
            batch,
        })
    }

    /// Probability and mean of the wait for one of the pool's slots, by Halfin and Whitt with Hayward's
    /// peakedness.
    fn slot_wait(&self, batch: f64, itl: f64, n: f64, peaked: f64) -> (f64, f64) {
        let slots = n * f64::from(self.max_batch.max(1)) / peaked;
        let used = (batch / f64::from(self.max_batch.max(1))).min(1.0 - 1e-9);
        let beta = (1.0 - used) * math::sqrt(slots);
        // The probability is below 1e-9 beyond.
        if beta > 6.0 {
            return (0.0, 0.0);
        }
        let density = math::exp(-beta * beta / 2.0) / math::sqrt(2.0 * std::f64::consts::PI);
        let wait = 1.0 / (1.0 + beta * math::normal_cdf(beta) / density);
        (wait, wait * self.shape.output.mean * itl / (slots * (1.0 - used)))
    }

    /// Token-budget batching: while a step runs, the next one gathers `n = lambda T(n)` texts; a text waits
    /// half a step if one is running, and near the capacity as in M/D/1 with batches.
    fn latency_of_encoder(&self, rate: f64, capacity: f64, arrivals: Arrivals) -> Option<Latency> {
        let (gaps, _) = variability(arrivals);
        let most = f64::from(self.max_batch.max(1));
        let load = rate / capacity;
        let free = 1.0 - rate * self.beta_s;
        if free <= 0.0 {
            return None;
        }
        let full = self.alpha_s + self.beta_s * most;
        let step =
            (self.alpha_s / free).clamp(self.alpha_s + self.beta_s, full.max(self.alpha_s + self.beta_s));
        let single = self.alpha_s + self.beta_s;
        let busy = (rate * single).min(1.0);
        let texts = self.w2_s2 / (self.w_s * self.w_s).max(f64::MIN_POSITIVE) - 1.0;
        let queue = load / (1.0 - load) * full / (2.0 * most) * (gaps + texts.max(0.0));
        let extra = (self.ttft_floor_s - single).max(0.0);
        let mean = extra + step + busy * step / 2.0 + queue;
        let variance = busy * step * step / 12.0 + queue * queue + single * single * texts.max(0.0);
        let shift = 0.6 * self.ttft_floor_s / (1.0 + 2.0 * math::sqrt(texts.max(0.0)));
        let answered = shifted(mean, variance, shift, 0.0);
        Some(Latency {
            ttft: answered,
            tpot: Percentiles { mean: 0.0, shift: 0.0, mu: 0.0, sigma: 0.0, wait: None },
            e2e: answered,
            utilization: load.clamp(0.0, 1.0 - f64::EPSILON),
            batch: rate * mean,
        })
    }

    /// Why the closed form is outside of the range in which it was checked against the replay; `None` inside.
    ///
    /// How far off it is inside and outside stands in `src/replay/CHECKED.md`.
    pub fn unchecked(&self, rate: f64, replicas: u32, arrivals: Arrivals) -> Option<&'static str> {
        let capacity = self.saturation_rate();
        // The batch that memory allows is counted by mean lengths; what really fits varies, and is preempted.
        let held = f64::from(self.max_batch) * (self.shape.input.mean + self.shape.output.mean / 2.0);
        if matches!(arrivals, Arrivals::Bursty { .. }) {
            Some("bursty arrivals")
        } else if self.launches {
            if replicas > MOST_CHECKED {
                Some("more servers share the load than were checked")
            } else {
                (rate > 0.95 * capacity).then_some("above 95 % of what the replicas can do")
            }
        } else if rate > 0.8 * capacity {
            Some("above 80 % of what the replicas can do")
        } else if self.encodes() {
            None
        } else if capacity * self.w_s > 0.6 {
            Some("prompts take most of the engine's time")
        } else if replicas < 2 {
            Some("a single replica")
        } else if self.memory.kv_tokens > 0.0 && held > 0.8 * self.memory.kv_tokens {
            Some("the KV cache bounds the batch")
        } else {
            None
        }
    }

    /// The same replica with every time `factor` (at least 1) times as long.
    #[must_use]
    pub fn slowed(&self, factor: f64) -> Self {
        let mut slow = self.clone();
        slow.alpha_s *= factor;
        slow.beta_s *= factor;
        slow.w_s *= factor;
        slow.w2_s2 *= factor * factor;
        slow.ttft_floor_s *= factor;
        slow.prompt.per_token_s *= factor;
        slow.prompt.per_pair_s *= factor;
        slow.prompt.before_s *= factor;
        if let Some(steps) = &mut slow.steps {
            steps.stretch(factor);
        }
        for term in slow.decode_terms.iter_mut().chain(&mut slow.prefill_terms) {
            term.ms *= factor;
        }
        slow
    }

    /// Requests/s at which one replica saturates, whatever the latency: the largest batch is always
    /// full, `B / (o (alpha + beta B) + B w)`; an encoder, `B / (alpha + beta B)`.
    pub fn saturation_rate(&self) -> f64 {
        let b = f64::from(self.max_batch.max(1));
        let step = self.alpha_s + self.beta_s * b;
        let time = if self.encodes() { step } else { self.shape.output.mean * step + b * self.w_s };
        if time > 0.0 { b / time } else { 0.0 }
    }

    /// Items/s of one replica fed without pause (batch inference), without the band: throughput
    /// rises with the batch, so the largest is the best.
    pub fn batch_rate(&self) -> f64 {
        self.saturation_rate()
    }
}
