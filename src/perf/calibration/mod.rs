//! What users measured themselves, and what it says about predictions near it.
//!
//! A [`Run`] is a fact: configuration, load, and the mean latencies of a benchmark. A [`Calibrator`]
//! compares runs with what is predicted for them without them, and conditions the errors of other
//! predictions on that (`near`). So the correction never goes stale against a newer prediction, narrows
//! a band where and only where runs say something, and leaves the rest alone to the bit.

mod compare;
mod near;
mod run;
#[cfg(test)]
mod tests;

pub use compare::{Against, Compared};
pub use run::{Calibration, Deployment, Figure, Load, Run};

use super::Benchmark;
use super::closed_loop::{Script, benchmark_leniently};
use super::ledger::Conditions;
use super::types::{Band, Configuration, RequestShape, ServiceCurve};
use crate::catalog::{Accelerator, Evidence, ModelArch};
use crate::math;
use compare::{Z99, compare, configuration, kind, load, shape_of, split};
use near::{Posterior, Said, Spot};

/// Least share of the variance that runs must explain before a prediction is touched.
const LEAST_EXPLAINED: f64 = 0.01;

/// How the note of a prediction begins whose configuration has a recorded contradiction.
pub const CONTRADICTED: &str = "accepted contradiction";

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
            let mut curve = curve;
            curve.notes.extend(self.contradictions(c, "near that load figures follow it, and these do not"));
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
        found.notes.extend(self.contradictions(c, "these figures follow it"));
        found
    }

    /// A benchmark's prediction as the runs near it correct it; unchanged if there are none.
    ///
    /// Under the very load of a run that its owner stands by, the figure is what was measured: between that
    /// and a prediction that cannot be right with it, nothing is the better for being averaged.
    #[must_use]
    pub fn apply_to_benchmark(
        &self,
        found: Benchmark,
        c: &Configuration<'_>,
        shape: &RequestShape,
        concurrency: f64,
    ) -> Benchmark {
        let clients = concurrency / f64::from(c.layout.dp.max(1));
        let Some((mut tpot, mut ttft)) = self.changes(c, shape, &[clients], found.tpot_band, found.ttft_band)
        else {
            return found;
        };
        let here = self.measured(c, shape, concurrency);
        if let Some((measured_ttft_s, measured_tpot_s)) = here {
            tpot.shift = math::ln(measured_tpot_s / found.tpot_s);
            ttft.shift = math::ln(measured_ttft_s / found.ttft_s);
            (tpot.band.mu, ttft.band.mu) = (0.0, 0.0);
        }
        let mut notes = found.notes;
        notes.insert(0, self.note(c, &tpot, found.tpot_band));
        let follows = if here.is_some() { "this is what was measured" } else { "this figure follows it" };
        notes.extend(self.contradictions(c, follows));
        let own = self.of_this(c).next().is_some();
        Benchmark {
            ttft_s: found.ttft_s * math::exp(ttft.shift),
            tpot_s: found.tpot_s * math::exp(tpot.shift),
            ttft_band: ttft.band,
            tpot_band: tpot.band,
            evidence: match here {
                Some(_) => Evidence::Measured,
                None if own => Evidence::Calibrated,
                None => found.evidence,
            },
            notes,
        }
    }

    /// TTFT and TPOT, seconds, as the runs of a configuration measured them under this load, in the
    /// geometric mean, if its owner stands by one of them.
    fn measured(&self, c: &Configuration<'_>, shape: &RequestShape, concurrency: f64) -> Option<(f64, f64)> {
        // Counts that differ by less are written alike; a prompt's mean is rarely whole.
        let equal = |a: f64, b: f64| (a - b).abs() <= 0.01 * a.max(b);
        let same = |r: &&Compared| {
            matches!(r.run.load, Load::Closed { concurrency: held } if equal(held, concurrency))
                && equal(r.run.input, shape.input.mean)
                && equal(r.run.output, shape.output.mean)
                && shape.prefix_cached <= 0.0
        };
        let here: Vec<&Run> = self.of_this(c).filter(same).map(|r| &r.run).collect();
        here.iter().any(|r| r.accepted).then(|| {
            let mean = |ms: fn(&Run) -> f64| {
                math::exp(here.iter().map(|r| math::ln(ms(r) / 1e3)).sum::<f64>() / here.len() as f64)
            };
            (mean(|r| r.ttft.ms), mean(|r| r.tpot.ms))
        })
    }

    /// A note for each run of a configuration that its owner stands by: which, how far off, and how what is
    /// noted relates to it.
    fn contradictions(&self, c: &Configuration<'_>, follows: &str) -> Vec<String> {
        let accepted = self.of_this(c).filter(|r| r.run.accepted);
        let note = |r: &Compared| {
            let off = |name: &str, a: Option<Against>| {
                a.map(|a| format!("{name} {:.2} times", a.measured_ms / a.predicted_ms))
            };
            let off: Vec<String> = [off("TPOT", r.tpot), off("TTFT", r.ttft)].into_iter().flatten().collect();
            let Run { file, date, load, input, output, .. } = &r.run;
            let date = if date.is_empty() { "undated" } else { date };
            format!(
                "{CONTRADICTED}: the run {file} ({date}; {load}, {input:.0} + {output:.0} tokens) measured {} what is \
                 predicted without it; {follows}",
                off.join(" and ")
            )
        };
        accepted.map(note).collect()
    }

    /// What a run is expected to measure, whatever it says it did: mean of TTFT and TPOT, ms, each with its
    /// band; `None` if it cannot be predicted.
    pub fn expected(
        &self,
        run: &Run,
        arch: &ModelArch,
        accelerator: &Accelerator,
    ) -> Option<((f64, Band), (f64, Band))> {
        let c = configuration(run, arch, accelerator);
        let conditions = Conditions { fixed_lengths: run.fixed_lengths, build: None };
        let clients = run.load.in_flight();
        let found = benchmark_leniently(&c, &shape_of(run), clients, &conditions, Script::default()).ok()?;
        let found = self.apply_to_benchmark(found, &c, &shape_of(run), clients);
        Some(((found.ttft_s * 1e3, found.ttft_band), (found.tpot_s * 1e3, found.tpot_band)))
    }

    /// The runs of a configuration itself.
    fn of_this(&self, c: &Configuration<'_>) -> impl Iterator<Item = &Compared> {
        let d = Deployment::of(c);
        self.compared.iter().filter(move |r| r.spot.is_some() && r.run.deployment == d)
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
            let speaks = |r: &&Compared| {
                let Some(there) = r.spot.as_ref().filter(|_| !r.run.accepted) else { return false };
                let here = Spot { deployment: deployment.clone(), kind: kind(c), load: there.load };
                [Metric::Tpot, Metric::Ttft].iter().any(|m| there.correlation(&here, *m) > 0.01)
            };
            self.compared.iter().filter(speaks).collect()
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
            "calibrated from {n} {runs}{when}{what}: tokens take {:.0} % of what is predicted without them, \
             9 of 10 within {:.0} % above it instead of {:.0} %",
            math::exp(tpot.shift) * 100.0,
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
