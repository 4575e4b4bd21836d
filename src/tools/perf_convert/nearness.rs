//! Fits `nearness.tsv`: what the errors of two left-out points have in common, by what the points have
//! in common.
//!
//! Moments: errors are centred, scaled by their median absolute deviation and cut at three of it; the mean
//! product over pairs that share something is the variance that this something brings. Repeats differ by
//! the noise floor of `SOURCES.md`, which no configuration explains, so shares are of what is left.

use std::collections::BTreeMap;

use super::model::{Kind, LeftOut};

/// Standard deviation of repeats: median differences of 5 % (TPOT) and 9 % (TTFT).
const NOISE: (f64, f64) = (0.05 / 0.954, 0.09 / 0.954);
/// Distances of loads that count as far.
const FAR: f64 = 1.5;
/// Edges of the bins of distance that the scale is fitted to.
const BINS: [f64; 6] = [0.1, 0.5, 0.8, 1.1, 1.5, 2.0];

/// Mean product and number of pairs.
#[derive(Clone, Copy, Default)]
struct Cell {
    sum: f64,
    n: usize,
}

impl Cell {
    fn add(&mut self, x: f64) {
        self.sum += x;
        self.n += 1;
    }

    fn mean(&self) -> f64 {
        if self.n > 0 { self.sum / self.n as f64 } else { 0.0 }
    }
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs.get(xs.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What decides the speed besides model, accelerator, engine and precision.
fn rest<'a>(p: &'a LeftOut<'_>) -> (Vec<&'a str>, u64, bool) {
    let named = |name: &str| p.point.keys.iter().find(|k| k.0.name == name).map_or("", |k| &k.0.values);
    (vec![named("engine+parallelism"), named("engine+class+build")], p.point.gpus.to_bits(), p.point.fixed)
}

/// Lines of the table for one kind.
pub fn lines(kind: Kind, left: &[LeftOut<'_>]) -> Vec<Vec<String>> {
    let points: Vec<&LeftOut<'_>> = left.iter().filter(|p| p.kind == kind).collect();
    let name = Kind::ALL.iter().find(|k| k.0 == kind).map_or("", |k| k.1);
    let mut lines = Vec::new();
    for (metric, noise) in [("tpot", NOISE.0), ("ttft", NOISE.1)] {
        let value = |p: &LeftOut<'_>| if metric == "tpot" { p.tpot } else { p.ttft };
        let centre = median(points.iter().map(|p| value(p)).collect());
        let wide = median(points.iter().map(|p| (value(p) - centre).abs()).collect()) / 0.6745;
        let z: Vec<f64> = points.iter().map(|p| ((value(p) - centre) / wide).clamp(-3.0, 3.0)).collect();
        let variance = z.iter().map(|z| z * z).sum::<f64>() / z.len() as f64;
        let explained = variance - (noise / wide).powi(2);
        let mut cells: BTreeMap<&str, Cell> = BTreeMap::new();
        let mut bins = [Cell::default(); BINS.len() - 1];
        let mut distances = [Cell::default(); BINS.len() - 1];
        for (i, a) in points.iter().enumerate() {
            for (j, b) in points[..i].iter().enumerate() {
                let (p, q) = (a.point, b.point);
                if p.engine != q.engine {
                    continue;
                }
                let shared = match (p.system == q.system, p.model == q.model, p.precision == q.precision) {
                    (false, false, _) => continue,
                    (true, false, _) => "accelerator",
                    (false, true, _) => "model",
                    (true, true, false) => "both",
                    (true, true, true) if rest(a) != rest(b) => "precision",
                    (true, true, true) => {
                        let d = (1..4).map(|v| (p.variables[v] - q.variables[v]).powi(2)).sum::<f64>().sqrt();
                        if let Some(k) = BINS.windows(2).position(|w| w[0] <= d && d < w[1]) {
                            bins[k].add(z[i] * z[j]);
                            distances[k].add(d);
                        }
                        if d < FAR {
                            continue;
                        }
                        "far"
                    }
                };
                cells.entry(shared).or_default().add(z[i] * z[j]);
            }
        }
        let of = |name: &str| {
            let cell = cells.get(name).copied().unwrap_or_default();
            ((cell.mean() / explained).clamp(0.0, 1.0), cell.n)
        };
        let (accelerator, model, both, precision, far) =
            (of("accelerator"), of("model"), of("both"), of("precision"), of("far"));
        let same = far.0.max(precision.0).max(both.0);
        let first = model.0.min(same);
        let second = accelerator.0.min(same - first);
        let pair = (both.0.min(same) - first - second).max(0.0);
        let third = (precision.0.min(same) - first - second - pair).max(0.0);
        let fourth = same - first - second - pair - third;
        // The scale at which the rest of the bins is met best.
        let scale = (10..300)
            .map(|s| f64::from(s) / 100.0)
            .min_by(|a, b| {
                let miss = |scale: f64| {
                    bins.iter()
                        .zip(&distances)
                        .map(|(cell, d)| {
                            let near = (-(d.mean() / scale).powi(2) / 2.0).exp();
                            cell.n as f64 * (cell.mean() / explained - same - (1.0 - same) * near).powi(2)
                        })
                        .sum::<f64>()
                };
                miss(*a).total_cmp(&miss(*b))
            })
            .unwrap_or(1.0);
        let near: usize = bins.iter().map(|b| b.n).sum();
        for (what, value, n) in [
            ("accelerator", second, accelerator.1),
            ("model", first, model.1),
            ("model+accelerator", pair, both.1),
            ("model+accelerator+precision", third, precision.1),
            ("configuration", fourth, far.1),
            ("configuration+load", 1.0 - same, near),
            ("load scale", scale, near),
        ] {
            lines.push(vec![
                metric.to_owned(),
                name.to_owned(),
                what.to_owned(),
                format!("{value:.3}"),
                n.to_string(),
            ]);
        }
    }
    lines
}
