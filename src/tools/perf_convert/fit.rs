//! Fits the constants of the forward pass and of the benchmarks' harness: Levenberg-Marquardt on the
//! logarithms of TPOT and TTFT under a soft absolute loss, every constant drawn to its prior.

use rhumb::perf::{ClosedLoop, ENGINES, EngineConstants, FORMATS, Harness};
use rhumb::spec::EngineName;

use super::linear::solve;
use super::points::{Point, weights};

/// Scale of a TPOT and of a TTFT error, as logarithms: what is far beyond counts by its size alone.
const SCALES: (f64, f64) = (0.12, 0.30);
/// How strongly constants are drawn to their priors: the errors on left-out models and systems, which
/// `perf_convert fit` prints, fall steeply up to 3 and little beyond.
const PRIOR: f64 = 4.0;

/// A mechanism beside the curves of the kernels, that a fit may have to do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Off {
    Kernels,
    Formats,
    Host,
    Alone,
    Start,
    Gather,
    Shares,
    Cluster,
    Synchrony,
    Drafted,
    Held,
}

impl Off {
    /// With what each one is.
    pub const ALL: [(Off, &'static str); 11] = [
        (Off::Kernels, "factors of each engine on the kernels' curves"),
        (Off::Formats, "factors of expert kernels by precision"),
        (Off::Host, "time of a step on the host"),
        (Off::Alone, "floor of launches under a lone prompt"),
        (Off::Start, "start, start for each request and steps before the first token"),
        (Off::Gather, "prompts held back until other attention ranks have one"),
        (Off::Shares, "fitted shares of others' prompts that a request waits for"),
        (Off::Cluster, "requests that end together come back together"),
        (Off::Synchrony, "waves of equal lengths"),
        (Off::Drafted, "drafted tokens of DeepSeek-R1 rows"),
        (Off::Held, "steps that two published scripts hold a prompt back"),
    ];
}

/// The fitted constants.
#[derive(Clone, Copy, Debug)]
pub struct Physics {
    /// What was left out of the fit, and is of the predictions.
    off: Option<Off>,
    pub engines: [EngineConstants; 3],
    /// By engine, then spread and fixed lengths.
    pub harnesses: [[Harness; 2]; 3],
    /// On experts by precision, in decode and prefill steps.
    pub formats: [[f64; 2]; FORMATS.len()],
}

const PARTS: usize = 8;
/// Parameters of a constant that engines and lengths share: [`shared`].
const SHARED: usize = 1 + 2 + 3 + 6;
const SIZE: usize = 4 * 2 * PARTS + 9 + 12 + 3 + 2 * FORMATS.len() + 3 * SHARED + 2 + 4 + 2 + 1;

/// Prior of every parameter (a logarithm) and its standard deviation.
fn priors() -> ([f64; SIZE], [f64; SIZE]) {
    let (mut mean, mut sd) = ([0.0; SIZE], [0.0; SIZE]);
    let mut at = 0;
    let mut put = |values: &[f64], deviation: f64| {
        for v in values {
            (mean[at], sd[at]) = (v.ln(), deviation);
            at += 1;
        }
    };
    for _ in 0..2 {
        // Of all engines together; prototype: kernels take 0.86 to 0.90 of their curves' time.
        put(&[0.95; PARTS], 0.3);
        put(&[1.0; 3 * PARTS], 0.2);
    }
    put(&[0.14, 0.82, 0.13], 0.5);
    put(&[14.0, 8.5, 0.9], 0.5);
    put(&[1.0, 1.0, 1.0], 0.5);
    put(&[1.0; 6], 0.3);
    put(&[1.0; 6], 0.2);
    // TensorRT-LLM alone balances prompts over attention ranks.
    put(&[2.0, 2.0, 20.0], 0.7);
    put(&[1.0; 2 * FORMATS.len()], 0.2);
    // Start, start for each request, steps: one of all engines, and how lengths, engines and both together differ
    // from it. A pair that few models were measured on borrows from the others.
    for of_all in [20.0, 0.5, 2.0] {
        put(&[of_all], 1.0);
        put(&[1.0; SHARED - 1], 0.5);
    }
    // Lengths that are the same end together.
    put(&[0.4, 2.0], 0.7);
    // Launches of a layer; vLLM compiles its layers to fewer.
    put(&[0.3], 1.0);
    put(&[0.3, 1.0, 1.0], 0.5);
    put(&[0.4, 3.0], 1.0);
    put(&[1.5], 0.3);
    (mean, sd)
}

/// The logarithm of a constant of an engine under lengths, of [`SHARED`] parameters from here on.
fn shared(theta: &[f64], engine: usize, fixed: usize) -> f64 {
    theta[0] + theta[1 + fixed] + theta[3 + engine] + theta[6 + 2 * engine + fixed]
}

fn physics(theta: &[f64; SIZE], off: Option<Off>) -> Physics {
    let mut all = with_all(theta);
    all.off = off;
    let engines = all.engines.iter_mut();
    let harnesses = all.harnesses.iter_mut().flatten();
    match off {
        None | Some(Off::Held) => {}
        Some(Off::Kernels) => engines.for_each(|e| (e.decode, e.prefill) = ([1.0; PARTS], [1.0; PARTS])),
        Some(Off::Formats) => all.formats = [[1.0; 2]; FORMATS.len()],
        Some(Off::Host) => engines.for_each(|e| (e.host_s, e.sequence_s, e.host_prefill_s) = (0.0, 0.0, 0.0)),
        Some(Off::Alone) => engines.for_each(|e| e.layer_s = 0.0),
        Some(Off::Start) => {
            harnesses.for_each(|h| (h.start_s, h.start_per_request_s, h.steps) = (0.0, 0.0, 0.0));
        }
        Some(Off::Gather) => harnesses.for_each(|h| h.gather = 0.0),
        Some(Off::Shares) => harnesses.for_each(|h| (h.prefill, h.mix) = (1.0, 1.0)),
        Some(Off::Cluster) => harnesses.for_each(|h| h.cluster = 0.0),
        Some(Off::Synchrony) => harnesses.for_each(|h| h.synchrony = 0.0),
        Some(Off::Drafted) => engines.for_each(|e| e.drafted = 1.0),
    }
    all
}

fn with_all(theta: &[f64; SIZE]) -> Physics {
    let e = |i: usize| theta[i].exp();
    let side = |engine: usize, from: usize| {
        std::array::from_fn(|part| (theta[from + part] + theta[from + PARTS * (1 + engine) + part]).exp())
    };
    let host = 8 * PARTS;
    let harness = host + 9;
    let gather = harness + 12;
    let formats = gather + 3;
    let start = formats + 2 * FORMATS.len();
    let cluster = start + 3 * SHARED;
    let layer = cluster + 2;
    Physics {
        off: None,
        formats: std::array::from_fn(|f| std::array::from_fn(|s| e(formats + 2 * f + s))),
        engines: std::array::from_fn(|i| EngineConstants {
            decode: side(i, 0),
            prefill: side(i, 4 * PARTS),
            host_s: e(host + i) * 1e-3,
            sequence_s: e(host + 3 + i) * 1e-6,
            host_prefill_s: e(host + 6 + i) * 1e-3,
            layer_s: (theta[layer] + theta[layer + 1 + i]).exp() * 1e-3,
            layer_experts: e(layer + 4),
            layer_mla: e(layer + 5),
            drafted: e(layer + 6),
        }),
        harnesses: std::array::from_fn(|i| {
            std::array::from_fn(|fixed| {
                let k = harness + 2 * i + fixed;
                let of_start = |n: usize| shared(&theta[start + n * SHARED..], i, fixed).exp();
                Harness {
                    start_s: of_start(0) * 1e-3,
                    start_per_request_s: of_start(1) * 1e-3,
                    steps: of_start(2),
                    gather: e(gather + i),
                    prefill: e(k),
                    mix: e(k + 6),
                    cluster: e(cluster + fixed),
                    synchrony: Harness::synchrony(ENGINES[i], fixed == 1),
                }
            })
        }),
    }
}

fn index(engine: EngineName) -> usize {
    ENGINES.iter().position(|e| *e == engine).unwrap_or(0)
}

impl Physics {
    /// TTFT and TPOT by physics alone, seconds.
    pub fn latency(&self, p: &Point) -> (f64, f64) {
        let i = index(p.engine);
        let format = FORMATS.iter().position(|f| f.as_str() == p.precision);
        let [decode, prefill] = format.map_or([1.0; 2], |f| self.formats[f]);
        let hold = if self.off == Some(Off::Held) { 0.0 } else { p.physics.hold };
        ClosedLoop { hold, ..p.physics }
            .latency(&self.engines[i].with_experts(decode, prefill), &self.harnesses[i][usize::from(p.fixed)])
    }

    /// `ln(measured / predicted)` of TTFT and TPOT.
    pub fn residual(&self, p: &Point) -> (f64, f64) {
        let (ttft, tpot) = self.latency(p);
        ((p.ttft_s / ttft).ln(), (p.tpot_s / tpot).ln())
    }

    /// Fits all constants on these points, without a mechanism if one is named.
    pub fn fit(points: &[&Point], off: Option<Off>) -> Self {
        let w: Vec<f64> = weights(points).into_iter().map(f64::sqrt).collect();
        let (mean, sd) = priors();
        let residuals = |theta: &[f64; SIZE]| -> Vec<f64> {
            let model = physics(theta, off);
            let mut out = Vec::with_capacity(2 * points.len());
            for (p, w) in points.iter().zip(&w) {
                let (ttft, tpot) = model.residual(p);
                out.push(w * tpot / SCALES.0);
                out.push(w * ttft / SCALES.1);
            }
            out
        };
        let loss = |r: &[f64], theta: &[f64; SIZE]| -> f64 {
            let data: f64 = r.iter().map(|x| 2.0 * ((1.0 + x * x).sqrt() - 1.0)).sum();
            let prior: f64 = (0..SIZE).map(|j| (PRIOR * (theta[j] - mean[j]) / sd[j]).powi(2)).sum();
            data + prior
        };
        let mut theta = mean;
        let mut r = residuals(&theta);
        let mut best = loss(&r, &theta);
        let mut damping = 1e-2;
        for _ in 0..40 {
            let h = 1e-4;
            let columns: Vec<Vec<f64>> = (0..SIZE)
                .map(|j| {
                    let mut next = theta;
                    next[j] += h;
                    residuals(&next).iter().zip(&r).map(|(a, b)| (a - b) / h).collect()
                })
                .collect();
            let robust: Vec<f64> = r.iter().map(|x| 1.0 / (1.0 + x * x).sqrt()).collect();
            let mut a = vec![vec![0.0; SIZE]; SIZE];
            let mut b = vec![0.0; SIZE];
            for i in 0..SIZE {
                for j in 0..=i {
                    let s: f64 =
                        columns[i].iter().zip(&columns[j]).zip(&robust).map(|((x, y), w)| x * y * w).sum();
                    a[i][j] = s;
                    a[j][i] = s;
                }
                b[i] = -columns[i].iter().zip(&r).zip(&robust).map(|((x, y), w)| x * y * w).sum::<f64>();
                let pull = (PRIOR / sd[i]).powi(2);
                a[i][i] += pull;
                b[i] -= pull * (theta[i] - mean[i]);
            }
            let mut moved = false;
            for _ in 0..6 {
                let mut damped = a.clone();
                for (i, row) in damped.iter_mut().enumerate() {
                    row[i] *= 1.0 + damping;
                }
                let Some(step) = solve(damped, &b) else { break };
                let mut next = theta;
                for (t, s) in next.iter_mut().zip(&step) {
                    *t += s.clamp(-1.0, 1.0);
                }
                let tried = residuals(&next);
                let l = loss(&tried, &next);
                if l < best {
                    moved = best - l > 1e-6 * best;
                    (theta, r, best) = (next, tried, l);
                    damping = (damping / 3.0).max(1e-6);
                    break;
                }
                damping *= 4.0;
            }
            if !moved {
                break;
            }
        }
        physics(&theta, off)
    }

    /// Lines of `constants.tsv`: engine, group, name, value, rows.
    pub fn lines(&self, points: &[&Point]) -> Vec<Vec<String>> {
        let mut lines = Vec::new();
        for (i, engine) in ENGINES.iter().enumerate() {
            let of = |fixed: Option<bool>| {
                points
                    .iter()
                    .filter(|p| p.engine == *engine && fixed.is_none_or(|f| f == p.fixed))
                    .count()
                    .to_string()
            };
            let mut put = |group: &str, name: &str, value: f64, n: String| {
                lines.push(vec![engine.as_str().into(), group.into(), name.into(), format!("{value:.5}"), n]);
            };
            let c = &self.engines[i];
            for (part, name) in rhumb::perf::Parts::NAMES.iter().enumerate() {
                put("decode", name, c.decode[part], of(None));
                put("prefill", name, c.prefill[part], of(None));
            }
            put("host", "step_ms", c.host_s * 1e3, of(None));
            put("host", "sequence_us", c.sequence_s * 1e6, of(None));
            put("host", "prefill_ms", c.host_prefill_s * 1e3, of(None));
            put("host", "gather_steps", self.harnesses[i][0].gather, of(None));
            put("host", "layer_ms", c.layer_s * 1e3, of(None));
            for (fixed, group) in [(false, "harness-spread"), (true, "harness-fixed")] {
                let h = &self.harnesses[i][usize::from(fixed)];
                put(group, "start_ms", h.start_s * 1e3, of(Some(fixed)));
                put(group, "start_per_request_ms", h.start_per_request_s * 1e3, of(Some(fixed)));
                put(group, "steps", h.steps, of(Some(fixed)));
                put(group, "prefill", h.prefill, of(Some(fixed)));
                put(group, "mix", h.mix, of(Some(fixed)));
                put(group, "cluster", h.cluster, of(Some(fixed)));
            }
        }
        let of_all = |pick: fn(&Point) -> bool| points.iter().filter(|p| pick(p)).count().to_string();
        let e = &self.engines[0];
        for (group, name, value, n) in [
            ("layer", "experts", e.layer_experts, of_all(|p| p.physics.experts)),
            ("layer", "mla", e.layer_mla, of_all(|p| p.physics.mla)),
            ("drafted", "tokens", e.drafted, of_all(|p| p.physics.drafted)),
        ] {
            lines.push(["*", group, name, &format!("{value:.5}"), &n].map(str::to_owned).to_vec());
        }
        for (format, factors) in FORMATS.iter().zip(&self.formats) {
            let n = points.iter().filter(|p| p.class != "dense" && p.precision == format.as_str()).count();
            for (side, value) in ["experts-decode", "experts-prefill"].iter().zip(factors) {
                lines.push(
                    ["*", side, format.as_str(), &format!("{value:.5}"), &n.to_string()]
                        .map(str::to_owned)
                        .to_vec(),
                );
            }
        }
        lines
    }
}
