//! What users measured themselves, and what it says about predictions near it.
//!
//! A [`Run`] is a fact: configuration, load, and the mean latencies of a benchmark. A [`Calibrator`]
//! compares runs with what is predicted for them without them, and conditions the errors of other
//! predictions on that (`near`). So the correction never goes stale against a newer prediction, narrows
//! a band where and only where runs say something, and leaves the rest alone to the bit.

mod near;
#[cfg(test)]
mod tests;

use super::closed_loop::benchmark_leniently;
use super::ledger::{self, Conditions};
use super::precision::resolve_native;
use super::types::{Band, Configuration, EngineSettings, Layout, RequestShape, ServiceCurve};
use super::{Benchmark, curve};
use crate::catalog::{Accelerator, Evidence, ModelArch};
use crate::math;
use crate::spec::{Arrivals, EngineName, KvCacheDtype, Lengths, Quantization};
use near::{Posterior, Said, Spot};

/// Standard deviation of `ln` of a measurement repeated: the median difference of two repeats of the
/// calibration data is 5 % (TPOT) and 9 % (TTFT), which for a normal error is 0.954 standard deviations.
const NOISE: [f64; 2] = [0.05 / 0.954, 0.09 / 0.954];
/// Added in quadrature to the noise of a time to first token under open-loop arrivals: what the closed
/// forms were off by in their checked range.
const OPEN_LOOP_NOISE: f64 = 0.17;
/// Share of the capacity up to which a time to first token under open-loop arrivals is compared.
const OPEN_LOOP_LOAD: f64 = 0.8;
/// Normal quantile of 0.99: a measurement outside of the band's inner 98 % contradicts it.
const Z99: f64 = 2.326_347_874_040_841;
/// Least share of the variance that runs must explain before a prediction is touched.
const LEAST_EXPLAINED: f64 = 0.01;

/// Which latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Tpot = 0,
    Ttft = 1,
}

/// What of a configuration the tables have not seen; their errors have different things in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Seen = 0,
    NewModel = 1,
    NewAccelerator = 2,
}

/// What was deployed, as far as it decides the speed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deployment {
    /// Id of the architecture.
    pub model: String,
    /// Id of the accelerator.
    pub accelerator: String,
    /// The engine.
    pub engine: EngineName,
    /// Its version, major and minor.
    pub version: (u32, u32),
    /// How a replica is cut.
    pub layout: Layout,
    /// How weights are stored, never `native`.
    pub precision: Quantization,
    /// How the KV cache is stored, never `auto`.
    pub kv_cache: KvCacheDtype,
}

impl Deployment {
    /// That of a configuration.
    pub fn of(c: &Configuration<'_>) -> Self {
        Deployment {
            model: c.arch.id.clone(),
            accelerator: c.accelerator.id.clone(),
            engine: c.engine.name,
            version: c.engine.version,
            layout: c.layout,
            precision: resolve_native(c.arch, c.quantization),
            kv_cache: stored(c.kv_cache),
        }
    }
}

impl std::fmt::Display for Deployment {
    /// `qwen3-32b on h100-sxm-80gb, vllm 0.19, tp2, fp8`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.version;
        write!(f, "{} on {}, {} {major}.{minor}", self.model, self.accelerator, self.engine.as_str())?;
        write!(f, ", {}, {}", self.layout, self.precision.as_str())?;
        if self.kv_cache == KvCacheDtype::Fp8 { f.write_str(", fp8 KV cache") } else { Ok(()) }
    }
}

/// The KV cache's type with `auto` resolved: that of the model, 16 bits.
const fn stored(kv: KvCacheDtype) -> KvCacheDtype {
    match kv {
        KvCacheDtype::Auto => KvCacheDtype::Bf16,
        other => other,
    }
}

/// How requests were sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// A fixed number of requests in flight on the replica.
    Closed {
        /// How many.
        concurrency: f64,
    },
    /// Requests arrive whether or not earlier ones are answered.
    Open {
        /// Requests/s.
        rate: f64,
        /// Requests in flight that were observed, on average.
        in_flight: f64,
        /// Whether gaps are exponential.
        poisson: bool,
    },
}

impl Load {
    /// Requests in flight.
    pub const fn in_flight(&self) -> f64 {
        match self {
            Load::Closed { concurrency } => *concurrency,
            Load::Open { in_flight, .. } => *in_flight,
        }
    }
}

/// A measured mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Milliseconds.
    pub ms: f64,
    /// Standard error of the mean over the mean, from the spread of the requests; 0 = not stated.
    pub error: f64,
}

/// One benchmark run against one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Name of the result file, for people.
    pub file: String,
    /// SHA-256 of the result file, lower-case hexadecimal.
    pub sha256: String,
    /// Which run of that file, from 0.
    pub part: u32,
    /// What wrote it.
    pub tool: String,
    /// `YYYY-MM-DD`; empty if the file does not say it.
    pub date: String,
    /// What was deployed.
    pub deployment: Deployment,
    /// How it was loaded.
    pub load: Load,
    /// Mean prompt, tokens.
    pub input: f64,
    /// Mean answer, tokens.
    pub output: f64,
    /// Whether all requests had equal lengths, if that is known.
    pub fixed_lengths: Option<bool>,
    /// Requests that were answered.
    pub requests: u64,
    /// Mean time to first token.
    pub ttft: Figure,
    /// Mean time per output token after the first.
    pub tpot: Figure,
    /// It contradicts the prediction or another run, and its owner stands by it: it counts for its own
    /// configuration alone.
    pub accepted: bool,
}

impl Run {
    /// What names it: file and part.
    pub fn id(&self) -> (&str, u32) {
        (&self.sha256, self.part)
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |r: &Self| (r.deployment.clone(), r.date.clone(), r.sha256.clone(), r.part);
        let load = self.load.in_flight().total_cmp(&other.load.in_flight());
        self.deployment.cmp(&other.deployment).then(load).then_with(|| key(self).cmp(&key(other)))
    }
}

/// All runs that are known, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// The file that holds them, as the spec names it; empty if there is none.
    pub name: String,
    /// SHA-256 of their canonical form; empty if there is none.
    pub digest: String,
    runs: Vec<Run>,
}

impl Calibration {
    /// Puts runs in order; of those with one [`Run::id`] the first stays.
    pub fn new(name: impl Into<String>, digest: impl Into<String>, mut runs: Vec<Run>) -> Self {
        runs.sort_by(Run::order);
        let mut seen = std::collections::BTreeSet::new();
        runs.retain(|r| seen.insert((r.sha256.clone(), r.part)));
        Calibration { name: name.into(), digest: digest.into(), runs }
    }

    /// The runs, by configuration and load.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}

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
    deviation: f64,
    spread: f64,
    noise: f64,
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
    spot: Option<Spot>,
}

/// Two runs of one configuration under one load that differ by more than repeats do.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// Index of the first among [`Calibrator::compared`].
    pub first: usize,
    /// Index of the second.
    pub second: usize,
    /// `ttft` or `tpot`.
    pub metric: &'static str,
    /// The larger figure over the smaller.
    pub ratio: f64,
    /// Ratio that repeats exceed once in fifty.
    pub limit: f64,
}

/// Both posteriors of a set of runs.
#[derive(Clone, Debug, Default)]
struct Both([Posterior; 2]);

impl Both {
    fn new<'a>(runs: impl Iterator<Item = &'a Compared> + Clone) -> Self {
        let of = |metric: Metric| {
            let said = runs.clone().filter_map(|c| {
                let a = if metric == Metric::Tpot { c.tpot } else { c.ttft }?;
                let spot = c.spot.clone()?;
                Some(Said { spot, spread: a.spread, noise: a.noise, deviation: a.deviation })
            });
            Posterior::new(metric, said.collect())
        };
        Both([of(Metric::Tpot), of(Metric::Ttft)])
    }
}

/// Corrects predictions by runs.
#[derive(Clone, Debug, Default)]
pub struct Calibrator {
    compared: Vec<Compared>,
    general: Both,
    /// Configurations with runs that their owner stands by against all else: nothing but their own runs
    /// counts for them, and nowhere else do those count.
    apart: Vec<(Deployment, Both)>,
}

/// What changes about one metric of a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    /// `ln` of the factor on the figure.
    shift: f64,
    band: Band,
    /// Share of the error's variance that runs explain, in [0, 1].
    explained: f64,
}

impl Calibrator {
    /// Compares all runs whose model and accelerator are known here.
    pub fn new<'a>(
        runs: &[Run],
        arch: impl Fn(&str) -> Option<&'a ModelArch>,
        accelerator: impl Fn(&str) -> Option<&'a Accelerator>,
    ) -> Self {
        let compared: Vec<Compared> = runs
            .iter()
            .filter_map(|run| {
                let d = &run.deployment;
                Some(compare(run, arch(&d.model)?, accelerator(&d.accelerator)?))
            })
            .collect();
        let mut own: Vec<Deployment> =
            compared.iter().filter(|c| c.run.accepted).map(|c| c.run.deployment.clone()).collect();
        own.sort();
        own.dedup();
        let apart = own
            .into_iter()
            .map(|d| {
                let both = Both::new(compared.iter().filter(|c| c.run.deployment == d));
                (d, both)
            })
            .collect();
        let general = Both::new(compared.iter().filter(|c| !c.run.accepted));
        Calibrator { compared, general, apart }
    }

    /// The runs against their predictions, in the order of the calibration.
    pub fn compared(&self) -> &[Compared] {
        &self.compared
    }

    /// Pairs of runs that contradict each other.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        for (second, b) in self.compared.iter().enumerate() {
            for (first, a) in self.compared[..second].iter().enumerate() {
                let same = a.run.deployment == b.run.deployment
                    && close(a.run.load.in_flight(), b.run.load.in_flight())
                    && matches!(
                        (a.run.load, b.run.load),
                        (Load::Closed { .. }, Load::Closed { .. }) | (Load::Open { .. }, Load::Open { .. })
                    )
                    && close(a.run.input, b.run.input)
                    && close(a.run.output, b.run.output);
                if !same {
                    continue;
                }
                for (metric, x, y) in [("tpot", a.tpot, b.tpot), ("ttft", a.ttft, b.ttft)] {
                    let (Some(x), Some(y)) = (x, y) else { continue };
                    let limit = math::exp(Z99 * math::sqrt(x.noise * x.noise + y.noise * y.noise));
                    let ratio = x.measured_ms.max(y.measured_ms) / x.measured_ms.min(y.measured_ms);
                    if ratio > limit {
                        found.push(Disagreement { first, second, metric, ratio, limit });
                    }
                }
            }
        }
        found
    }

    /// The curve of a configuration as the runs near it correct it; unchanged if there are none.
    ///
    /// Engine times are stretched by the correction of the time per output token. A time to first token
    /// that was measured longer than predicted moves its band; one that was measured shorter narrows it,
    /// but never makes prompts quicker than the engine's times, because what a benchmark's client adds is
    /// not what a user's does.
    ///
    /// Errors differ between loads, so the curve is judged where it will be used: at the batch whose steps
    /// take `step_limit_ms` (the largest batch if there is no limit) and at a quarter of it, and the wider
    /// band stands.
    #[must_use]
    pub fn apply(
        &self,
        curve: ServiceCurve,
        c: &Configuration<'_>,
        step_limit_ms: Option<f64>,
    ) -> ServiceCurve {
        if self.compared.is_empty() || curve.shape.output.mean <= 0.0 {
            return curve;
        }
        let lanes = f64::from(c.layout.dp.max(1));
        let most = batch_within(&curve, step_limit_ms);
        let loads = [most / 4.0, most].map(|b| (b / lanes).max(1.0));
        let shape = curve.shape;
        let Some((tpot, ttft)) = self.changes(c, &shape, &loads, curve.tpot_band, curve.ttft_band) else {
            return curve;
        };
        let before = curve.tpot_band;
        let mut found = curve.slowed(math::exp(tpot.shift));
        found.tpot_band = tpot.band;
        // The figure of the first token moves with the engine's times; the band says the rest.
        found.ttft_band = Band { mu: ttft.band.mu + ttft.shift - tpot.shift, ..ttft.band };
        let note = self.note(c, &tpot, before);
        if self.of_this(c).next().is_some() {
            found.evidence = Evidence::Calibrated;
        }
        found.notes.insert(0, note);
        found
    }

    /// A benchmark's prediction as the runs near it correct it; unchanged if there are none.
    #[must_use]
    pub fn apply_to_benchmark(
        &self,
        found: Benchmark,
        c: &Configuration<'_>,
        shape: &RequestShape,
        concurrency: f64,
    ) -> Benchmark {
        let clients = concurrency / f64::from(c.layout.dp.max(1));
        let Some((tpot, ttft)) = self.changes(c, shape, &[clients], found.tpot_band, found.ttft_band) else {
            return found;
        };
        let mut notes = found.notes;
        notes.insert(0, self.note(c, &tpot, found.tpot_band));
        let own = self.of_this(c).next().is_some();
        Benchmark {
            ttft_s: found.ttft_s * math::exp(ttft.shift),
            tpot_s: found.tpot_s * math::exp(tpot.shift),
            ttft_band: ttft.band,
            tpot_band: tpot.band,
            evidence: if own { Evidence::Calibrated } else { found.evidence },
            notes,
        }
    }

    /// The runs of a configuration itself.
    fn of_this(&self, c: &Configuration<'_>) -> impl Iterator<Item = &Compared> {
        let d = Deployment::of(c);
        self.compared.iter().filter(move |r| r.spot.is_some() && r.run.deployment == d)
    }

    /// Runs that a plan with this configuration stands on although they contradict its prediction.
    pub fn accepted(&self, c: &Configuration<'_>) -> Vec<&Run> {
        self.of_this(c).map(|r| &r.run).filter(|r| r.accepted).collect()
    }

    /// What changes about TPOT and TTFT, if anything.
    fn changes(
        &self,
        c: &Configuration<'_>,
        shape: &RequestShape,
        clients: &[f64],
        tpot: Band,
        ttft: Band,
    ) -> Option<(Change, Change)> {
        let deployment = Deployment::of(c);
        let both = match self.apart.iter().find(|a| a.0 == deployment) {
            Some((_, own)) => own,
            None => &self.general,
        };
        let kind = kind(c);
        let spots: Vec<Spot> = clients
            .iter()
            .map(|n| Spot {
                deployment: deployment.clone(),
                kind,
                load: load(*n, shape.input.mean, shape.output.mean),
            })
            .collect();
        let change = |metric: Metric, band: Band| {
            let (spread, noise) = split(band.sigma, metric);
            let found: Vec<(f64, f64)> =
                spots.iter().map(|s| both.0[metric as usize].at(metric, s, spread)).collect();
            let n = found.len().max(1) as f64;
            let mean = found.iter().map(|f| f.0).sum::<f64>() / n;
            // Corrections that differ between the loads are themselves a doubt.
            let apart = found.iter().map(|f| (f.0 - mean) * (f.0 - mean)).sum::<f64>() / n;
            let prior = spread * spread;
            let left = (found.iter().map(|f| f.1).fold(0.0, f64::max) + apart).min(prior);
            let explained = if prior > 0.0 { 1.0 - left / prior } else { 0.0 };
            Change {
                shift: mean + explained * band.mu,
                band: Band {
                    mu: (1.0 - explained) * band.mu,
                    sigma: math::sqrt(left + noise * noise),
                    groups: band.groups,
                },
                explained,
            }
        };
        let (tpot, ttft) = (change(Metric::Tpot, tpot), change(Metric::Ttft, ttft));
        (tpot.explained.max(ttft.explained) >= LEAST_EXPLAINED).then_some((tpot, ttft))
    }

    /// `calibrated from 3 runs of 2026-11-20 to 2026-11-24: ...`.
    fn note(&self, c: &Configuration<'_>, tpot: &Change, before: Band) -> String {
        let deployment = Deployment::of(c);
        let own: Vec<&Compared> = self.of_this(c).collect();
        let near: Vec<&Compared> = if own.is_empty() {
            let d = &deployment;
            let near = |r: &&Compared| {
                let o = &r.run.deployment;
                !r.run.accepted
                    && o.engine == d.engine
                    && (o.model == d.model || o.accelerator == d.accelerator)
            };
            self.compared.iter().filter(near).collect()
        } else {
            own.clone()
        };
        let mut dates: Vec<&str> =
            near.iter().map(|r| r.run.date.as_str()).filter(|d| !d.is_empty()).collect();
        dates.sort_unstable();
        let when = match (dates.first(), dates.last()) {
            (Some(a), Some(b)) if a == b => format!(" of {a}"),
            (Some(a), Some(b)) => format!(" of {a} to {b}"),
            _ => String::new(),
        };
        let n = near.len();
        let runs = if n == 1 { "run" } else { "runs" };
        let what = if own.is_empty() { " of near configurations" } else { "" };
        let width = |b: Band| (math::exp(1.281_551_565_544_600_4 * b.sigma) - 1.0) * 100.0;
        format!(
            "calibrated from {n} {runs}{when}{what}: tokens take {:+.0} % of what is predicted without them, \
             9 of 10 within {:.0} % above it instead of {:.0} %",
            (math::exp(tpot.shift) - 1.0) * 100.0,
            width(tpot.band),
            width(before),
        )
    }
}

/// The largest batch whose steps stay within a limit.
pub fn batch_within(curve: &ServiceCurve, step_limit_ms: Option<f64>) -> f64 {
    let most = f64::from(curve.max_batch.max(1));
    match step_limit_ms {
        Some(limit) if curve.beta_s > 0.0 => ((limit / 1e3 - curve.alpha_s) / curve.beta_s).clamp(1.0, most),
        _ => most,
    }
}

/// Within a twentieth of each other.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.05 * a.max(b)
}

/// The coordinates of a load.
fn load(clients: f64, input: f64, output: f64) -> [f64; 3] {
    [math::ln(clients.max(1.0)), math::ln(input.max(1.0)), math::ln(output.max(1.0))]
}

/// A band's width as the error that a configuration keeps, and the noise of measuring it.
fn split(sigma: f64, metric: Metric) -> (f64, f64) {
    let noise = NOISE[metric as usize].min(sigma);
    (math::sqrt((sigma * sigma - noise * noise).max(0.0)), noise)
}

fn kind(c: &Configuration<'_>) -> Kind {
    let measured = ledger::measured(c, &Conditions::default());
    match (measured.model, measured.accelerator) {
        (true, true) => Kind::Seen,
        (false, true) => Kind::NewModel,
        (_, false) => Kind::NewAccelerator,
    }
}

/// The configuration that a run is taken to have had: engine defaults where its file says nothing.
fn configuration<'a>(run: &Run, arch: &'a ModelArch, accelerator: &'a Accelerator) -> Configuration<'a> {
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

fn compare(run: &Run, arch: &ModelArch, accelerator: &Accelerator) -> Compared {
    let c = configuration(run, arch, accelerator);
    let fixed = |mean: f64| Lengths { mean, cv2: 0.0, p95: mean, max: mean };
    let shape = RequestShape { input: fixed(run.input), output: fixed(run.output), prefix_cached: 0.0 };
    let clients = run.load.in_flight();
    let conditions = Conditions { fixed_lengths: run.fixed_lengths, build: None };
    let mut compared = Compared { run: run.clone(), tpot: None, ttft: None, notes: Vec::new(), spot: None };
    let found = match benchmark_leniently(&c, &shape, clients, &conditions) {
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
        noise: math::sqrt(noise.max(NOISE[metric as usize]).powi(2) + sampled),
    }
}
