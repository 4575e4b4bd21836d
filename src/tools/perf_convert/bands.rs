//! Fits `bands.tsv`: for every class of configurations how far measurements lie from predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rhumb::perf::Harness;
use rhumb::spec::{EngineName, Quantization};

use super::points::{self, Point};
use super::{Outcome, table};

/// Classes with fewer groups than this keep an assumed width.
const FEWEST: usize = 3;

/// A class: model class, engine, accelerator family.
pub type Key = (&'static str, EngineName, &'static str);

/// `ln(measured / predicted)` of a point: TTFT, TPOT.
pub fn residual(p: &Point) -> (f64, f64) {
    let (ttft, tpot) = p.physics.latency(&Harness::of(p.engine, p.fixed));
    ((p.ttft_s / ttft).ln(), (p.tpot_s / tpot).ln())
}

/// The points of each class.
pub fn classes(points: &[Point]) -> BTreeMap<Key, Vec<&Point>> {
    let mut by: BTreeMap<Key, Vec<&Point>> = BTreeMap::new();
    for p in points {
        by.entry((p.class, p.engine, p.family)).or_default().push(p);
    }
    by
}

/// Residuals with weights between equal points and equal groups.
fn weighted(points: &[&Point], ttft: bool) -> Vec<(f64, f64)> {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for p in points {
        *sizes.entry(&p.group).or_default() += 1.0;
    }
    let mut all: Vec<(f64, f64)> = points
        .iter()
        .map(|p| {
            let r = residual(p);
            (if ttft { r.0 } else { r.1 }, 1.0 / sizes[p.group.as_str()].sqrt())
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all
}

fn quantile(sorted: &[(f64, f64)], q: f64) -> f64 {
    let total: f64 = sorted.iter().map(|x| x.1).sum();
    let mut sum = 0.0;
    for (value, weight) in sorted {
        sum += weight;
        if sum >= q * total {
            return *value;
        }
    }
    sorted.last().map_or(0.0, |x| x.0)
}

/// Median and a width that covers the upper 80th and 90th percentiles and, below, the 20th; wider
/// when there are few groups.
pub fn band(points: &[&Point], ttft: bool) -> (f64, f64, usize) {
    let sorted = weighted(points, ttft);
    let groups = points.iter().map(|p| p.group.as_str()).collect::<BTreeSet<_>>().len();
    let mu = quantile(&sorted, 0.5);
    let widths = [
        (quantile(&sorted, 0.8) - mu) / 0.8416,
        (quantile(&sorted, 0.9) - mu) / 1.2816,
        (mu - quantile(&sorted, 0.2)) / 0.8416,
    ];
    let sigma = widths.into_iter().fold(0.10, f64::max) * (1.0 + 1.0 / groups as f64);
    (mu, sigma, groups)
}

/// Share of points at most at the 80 % edge of a band fitted without their group.
pub fn coverage(points: &[&Point], ttft: bool) -> f64 {
    let groups: BTreeSet<&str> = points.iter().map(|p| p.group.as_str()).collect();
    let mut inside = 0.0;
    for group in groups {
        let (own, others): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|p| p.group == group);
        let (mu, sigma, _) = band(&others, ttft);
        inside += own
            .iter()
            .filter(|p| {
                let r = residual(p);
                (if ttft { r.0 } else { r.1 }) <= mu + 0.8416 * sigma
            })
            .count() as f64;
    }
    inside / points.len() as f64
}

fn name(q: Quantization) -> &'static str {
    match q {
        Quantization::Native | Quantization::Bf16 => "bf16",
        Quantization::Fp8 => "fp8",
        Quantization::Fp8Block => "fp8_block",
        Quantization::Int8 => "int8",
        Quantization::Int4 => "int4",
        Quantization::Mxfp4 => "mxfp4",
        Quantization::Nvfp4 => "nvfp4",
    }
}

/// Writes the table.
pub fn write(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = rhumb::catalog::Catalog::embedded();
    let (points, _) = points::load(dir, &catalog)?;
    let mut lines = Vec::new();
    for ((class, engine, family), points) in classes(&points) {
        let systems: BTreeSet<&str> = points.iter().map(|p| p.system.as_str()).collect();
        let precisions: BTreeSet<&str> = points.iter().map(|p| name(p.precision)).collect();
        let parallel: BTreeSet<&str> = points
            .iter()
            .flat_map(|p| [("tp", p.layout.tp), ("ep", p.layout.ep), ("dp", p.layout.dp)])
            .filter(|(_, n)| *n > 1)
            .map(|(name, _)| name)
            .collect();
        for (metric, ttft) in [("ttft", true), ("tpot", false)] {
            let (mu, sigma, groups) = band(&points, ttft);
            if groups < FEWEST {
                continue;
            }
            lines.push(vec![
                class.to_owned(),
                engine.as_str().to_owned(),
                family.to_owned(),
                metric.to_owned(),
                format!("{mu:.4}"),
                format!("{sigma:.4}"),
                points.len().to_string(),
                groups.to_string(),
                systems.iter().copied().collect::<Vec<_>>().join(" "),
                precisions.iter().copied().collect::<Vec<_>>().join(" "),
                parallel.iter().copied().collect::<Vec<_>>().join(" "),
                "aiconfigurator-silicon-sample".to_owned(),
                date.to_owned(),
                revision.to_owned(),
            ]);
        }
    }
    table(
        "bands.tsv",
        &[
            "class",
            "engine",
            "family",
            "metric",
            "mu",
            "sigma",
            "n_rows",
            "n_groups",
            "systems",
            "precisions",
            "parallel",
            "source",
            "as_of",
            "revision",
        ],
        lines,
    )
}
