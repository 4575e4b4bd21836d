//! How much a run says about another configuration and another load: a Gaussian process on
//! `ln(measured / predicted)`.
//!
//! What a prediction is off by is taken as a sum of independent effects, each shared by the
//! configurations that have something in common: the engine on an accelerator, the model on an engine,
//! both together, with the precision, with everything, and with a load near by. Their shares of the
//! variance are the table `nearness.tsv`, which `perf_convert nearness` estimates from what was left out
//! of the fit. A sum of effects is a valid covariance whatever the shares are, and nothing in common is
//! exactly nothing.

use std::sync::OnceLock;

use super::{Deployment, Kind, Metric};
use crate::math;

/// What two configurations of one engine may share, from the widest to the narrowest.
pub(super) const SHARED: [&str; 6] = [
    "accelerator",
    "model",
    "model+accelerator",
    "model+accelerator+precision",
    "configuration",
    "configuration+load",
];

/// Shares of the variance, and how far a load is near.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Nearness {
    /// In the order of [`SHARED`]; their sum is 1.
    pub share: [f64; 6],
    /// Distance in the logarithms of clients and lengths at which the last share has fallen to 0.61.
    pub scale: f64,
}

const KINDS: [(&str, Kind); 3] =
    [("seen", Kind::Seen), ("new-model", Kind::NewModel), ("new-accelerator", Kind::NewAccelerator)];

/// The table by metric and kind.
pub(super) fn nearness(metric: Metric, kind: Kind) -> &'static Nearness {
    static TABLE: OnceLock<[[Nearness; 3]; 2]> = OnceLock::new();
    let table = TABLE.get_or_init(|| parse(include_str!("../data/nearness.tsv")));
    &table[metric as usize][kind as usize]
}

fn parse(text: &str) -> [[Nearness; 3]; 2] {
    let mut table = [[Nearness::default(); 3]; 2];
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [metric, kind, name, value, ..] = cells[..] else { continue };
        let metric = if metric == "ttft" { Metric::Ttft } else { Metric::Tpot };
        let kind = KINDS.iter().find(|k| k.0 == kind).map(|k| k.1);
        let (Some(kind), Ok(value)) = (kind, value.parse::<f64>()) else { continue };
        let row = &mut table[metric as usize][kind as usize];
        match name {
            "load scale" => row.scale = value,
            _ => {
                if let Some(i) = SHARED.iter().position(|s| *s == name) {
                    row.share[i] = value;
                }
            }
        }
    }
    table
}

/// A configuration under a load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spot {
    pub deployment: Deployment,
    pub kind: Kind,
    /// Logarithms of the clients of each attention rank, and of the mean prompt and answer.
    pub load: [f64; 3],
}

impl Spot {
    /// Correlation of the errors at two spots, in [0, 1].
    pub fn correlation(&self, other: &Self, metric: Metric) -> f64 {
        let (a, b) = (&self.deployment, &other.deployment);
        if a.engine != b.engine {
            return 0.0;
        }
        let accelerator = a.accelerator == b.accelerator;
        let model = a.model == b.model;
        let both = accelerator && model;
        let precision = both && a.precision == b.precision;
        let same = precision && a == b;
        let (p, q) = (nearness(metric, self.kind), nearness(metric, other.kind));
        // One scale for a pair, or the sum would be no covariance.
        let scale = nearness(metric, Kind::Seen).scale;
        let squared: f64 = self.load.iter().zip(&other.load).map(|(x, y)| (x - y) * (x - y)).sum();
        let near = if same { math::exp(-squared / (2.0 * scale * scale)) } else { 0.0 };
        let common = [accelerator, model, both, precision, same].map(f64::from);
        let wide: f64 = (0..5).map(|i| common[i] * math::sqrt(p.share[i] * q.share[i])).sum();
        wide + near * math::sqrt(p.share[5] * q.share[5])
    }
}

/// What one run says: how far it lies from the prediction, in the logarithm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub spot: Spot,
    /// Standard deviation of the prediction's own error there.
    pub spread: f64,
    /// Standard deviation of a measurement.
    pub noise: f64,
    /// `ln(measured / predicted)` less the mean of the band.
    pub deviation: f64,
}

/// What all runs say together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Posterior {
    said: Vec<Said>,
    /// Lower triangle of the root of the covariance of what was said.
    root: Vec<Vec<f64>>,
    /// Covariance to the power -1 times the deviations.
    weights: Vec<f64>,
}

impl Posterior {
    /// Conditions on what was said. The order does not matter beyond rounding; callers keep it fixed.
    pub fn new(metric: Metric, said: Vec<Said>) -> Self {
        let n = said.len();
        let mut root: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            let mut row = Vec::with_capacity(i + 1);
            for j in 0..=i {
                let (a, b) = (&said[i], &said[j]);
                let mut sum = a.spread * b.spread * a.spot.correlation(&b.spot, metric);
                if i == j {
                    sum += a.noise * a.noise;
                    for x in &row {
                        sum -= x * x;
                    }
                    // Noise keeps it positive but for rounding.
                    row.push(math::sqrt(sum.max(1e-12)));
                } else {
                    let other: &Vec<f64> = &root[j];
                    for k in 0..j {
                        sum -= row[k] * other[k];
                    }
                    row.push(sum / other[j]);
                }
            }
            root.push(row);
        }
        let mut weights: Vec<f64> = said.iter().map(|s| s.deviation).collect();
        forward(&root, &mut weights);
        for i in (0..n).rev() {
            let mut x = weights[i];
            for j in i + 1..n {
                x -= root[j][i] * weights[j];
            }
            weights[i] = x / root[i][i];
        }
        Posterior { said, root, weights }
    }

    /// Mean and variance of the deviation at a spot whose error has the standard deviation `spread`
    /// before any run; the variance is never more than its square.
    pub fn at(&self, metric: Metric, spot: &Spot, spread: f64) -> (f64, f64) {
        let mut with: Vec<f64> =
            self.said.iter().map(|s| spread * s.spread * s.spot.correlation(spot, metric)).collect();
        let mean = with.iter().zip(&self.weights).map(|(k, w)| k * w).sum();
        forward(&self.root, &mut with);
        let explained: f64 = with.iter().map(|x| x * x).sum();
        (mean, (spread * spread - explained).max(0.0))
    }
}

/// Solves with the lower triangle in place.
fn forward(root: &[Vec<f64>], x: &mut [f64]) {
    for i in 0..x.len() {
        let mut y = x[i];
        for j in 0..i {
            y -= root[i][j] * x[j];
        }
        x[i] = y / root[i][i];
    }
}
