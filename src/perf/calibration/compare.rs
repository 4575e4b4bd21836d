//! A run against what is predicted for it without any run.

use super::near::Spot;
use super::{Figure, Kind, Load, Metric, Run};
use crate::catalog::{Accelerator, ModelArch};
use crate::math;
use crate::perf::closed_loop::{Script, benchmark_leniently};
use crate::perf::curve;
use crate::perf::ledger::{self, Conditions};
use crate::perf::types::{Band, Configuration, EngineSettings, RequestShape};
use crate::spec::{Arrivals, Lengths};

/// Standard deviation of `ln` of a measurement repeated: the median difference of two repeats of the
/// calibration data is 5 % (TPOT) and 9 % (TTFT), which for a normal error is 0.954 standard deviations.
pub(super) const NOISE: [f64; 2] = [0.05 / 0.954, 0.09 / 0.954];
/// Added in quadrature to the noise of a time to first token under open-loop arrivals: what the closed
/// forms were off by in their checked range.
const OPEN_LOOP_NOISE: f64 = 0.17;
/// Share of the capacity up to which a time to first token under open-loop arrivals is compared.
const OPEN_LOOP_LOAD: f64 = 0.8;
/// Normal quantile of 0.99: a measurement outside of the band's inner 98 % contradicts it.
pub(super) const Z99: f64 = 2.326_347_874_040_841;
/// A measured figure against what is predicted without any run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// Measured mean, ms.
    pub measured_ms: f64,
    /// Predicted mean, ms.
    pub predicted_ms: f64,
    /// Between this and `high_ms` it lies with probability 0.98, ms.
    pub low_ms: f64,
    /// See `low_ms`.
    pub high_ms: f64,
    /// `ln(measured / predicted)` less the mean of the band.
    pub(super) deviation: f64,
    pub(super) spread: f64,
    pub(super) noise: f64,
}

impl Against {
    /// Whether the measurement is so far from the prediction that one of them must be wrong.
    pub fn contradicts(&self) -> bool {
        !(self.low_ms <= self.measured_ms && self.measured_ms <= self.high_ms)
    }
}

/// A run against its prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The run.
    pub run: Run,
    /// TPOT; `None` if it cannot be compared.
    pub tpot: Option<Against>,
    /// TTFT; `None` if it cannot be compared.
    pub ttft: Option<Against>,
    /// Why something cannot be compared, and what the prediction assumes.
    pub notes: Vec<String>,
    pub(super) spot: Option<Spot>,
}

/// The coordinates of a load.
pub(super) fn load(clients: f64, input: f64, output: f64) -> [f64; 3] {
    [math::ln(clients.max(1.0)), math::ln(input.max(1.0)), math::ln(output.max(1.0))]
}

/// A band's width as the error that a configuration keeps, and the noise of measuring it.
pub(super) fn split(sigma: f64, metric: Metric) -> (f64, f64) {
    let noise = NOISE[metric as usize].min(sigma);
    (math::sqrt((sigma * sigma - noise * noise).max(0.0)), noise)
}

pub(super) fn kind(c: &Configuration<'_>) -> Kind {
    let measured = ledger::measured(c, &Conditions::default());
    match (measured.model, measured.accelerator) {
        (true, true) => Kind::Seen,
        (false, true) => Kind::NewModel,
        (_, false) => Kind::NewAccelerator,
    }
}

/// The configuration that a run is taken to have had: engine defaults where its file says nothing.
pub(super) fn configuration<'a>(
    run: &Run,
    arch: &'a ModelArch,
    accelerator: &'a Accelerator,
) -> Configuration<'a> {
    let d = &run.deployment;
    Configuration {
        arch,
        quantization: d.precision,
        kv_cache: d.kv_cache,
        accelerator,
        fraction: 1.0,
        layout: d.layout,
        // An NVL72 rack is one domain; elsewhere 400 Gbit/s of RDMA between machines of eight (assumed).
        accelerators_per_node: if matches!(accelerator.perf_id.as_deref(), Some("gb200" | "gb300")) {
            72
        } else {
            8
        },
        inter_node_bandwidth: Some(50e9),
        engine: EngineSettings {
            name: d.engine,
            version: d.version,
            max_num_seqs: 1024,
            max_num_batched_tokens: 8192,
            max_model_len: (run.input + run.output).clamp(1.0, f64::from(u32::MAX)) as u32,
            gpu_memory_utilization: 0.90,
        },
    }
}

/// The requests of a run, all of its mean lengths.
pub(super) fn shape_of(run: &Run) -> RequestShape {
    let fixed = |mean: f64| Lengths { mean, cv2: 0.0, p95: mean, max: mean };
    RequestShape { input: fixed(run.input), output: fixed(run.output), prefix_cached: 0.0 }
}

pub(super) fn compare(run: &Run, arch: &ModelArch, accelerator: &Accelerator) -> Compared {
    let c = configuration(run, arch, accelerator);
    let shape = shape_of(run);
    let clients = run.load.in_flight();
    let conditions = Conditions { fixed_lengths: run.fixed_lengths, build: None };
    let mut compared = Compared { run: run.clone(), tpot: None, ttft: None, notes: Vec::new(), spot: None };
    let found = match benchmark_leniently(&c, &shape, clients, &conditions, Script::default()) {
        Ok(found) => found,
        Err(why) => {
            compared.notes.push(format!("cannot be predicted, so it corrects nothing: {why}"));
            return compared;
        }
    };
    compared.notes.extend(found.notes.iter().cloned());
    compared.spot = Some(Spot {
        deployment: run.deployment.clone(),
        kind: kind(&c),
        load: load(clients / f64::from(c.layout.dp.max(1)), run.input, run.output),
    });
    compared.tpot = Some(against(run.tpot, found.tpot_s * 1e3, found.tpot_band, Metric::Tpot, 0.0));
    match run.load {
        Load::Closed { .. } => {
            compared.ttft = Some(against(run.ttft, found.ttft_s * 1e3, found.ttft_band, Metric::Ttft, 0.0));
        }
        Load::Open { rate, poisson, .. } => {
            let latency = curve(&c, &shape)
                .ok()
                .and_then(|curve| Some((curve.latency(rate, 1, Arrivals::Poisson)?, curve.ttft_band)))
                .filter(|(l, _)| poisson && l.utilization <= OPEN_LOOP_LOAD);
            match latency {
                Some((l, band)) => {
                    let extra = OPEN_LOOP_NOISE;
                    compared.ttft = Some(against(run.ttft, l.ttft.mean, band, Metric::Ttft, extra));
                }
                None => compared.notes.push(
                    "its time to first token is not compared: a queue near or over the predicted capacity, or \
                     arrivals that are not Poisson"
                        .into(),
                ),
            }
        }
    }
    compared
}

fn against(figure: Figure, predicted_ms: f64, band: Band, metric: Metric, extra: f64) -> Against {
    let (spread, noise) = split(band.sigma, metric);
    let sampled = figure.error * figure.error + extra * extra;
    let width = Z99 * math::sqrt(band.sigma * band.sigma + sampled);
    Against {
        measured_ms: figure.ms,
        predicted_ms,
        low_ms: predicted_ms * math::exp(band.mu - width),
        high_ms: predicted_ms * math::exp(band.mu + width),
        deviation: math::ln(figure.ms / predicted_ms) - band.mu,
        spread,
        // A band narrower than repeats differ still cannot make a run surer than a repeat.
        noise: {
            let repeat = noise.max(NOISE[metric as usize]);
            math::sqrt(repeat * repeat + sampled)
        },
    }
}
