//! Physics and ledger together, fitted on any subset of the points; leave-out tests.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rhumb::perf::{Key, Residual};

use super::fit::{Off, Physics};
use super::linear::solve;
use super::points::{Point, weights};

/// Strength of the ledger's ridge: with 10, `perf_convert fit` printed 5.9 / 20 and 17.9 / 63 % on left-out
/// groups, with 20 6.5 / 21 and 18.3 / 65 % (2026-11-27, where 5 had 5.3 / 17 and 15.9 / 55 %).
const RIDGE: f64 = 5.0;
/// Beyond this residual (a logarithm) a point counts by its size alone: TPOT, TTFT.
const ROBUST: (f64, f64) = (0.1, 0.2);

/// A fitted model.
pub struct Model {
    pub physics: Physics,
    pub ledger: BTreeMap<Key, (Residual, usize)>,
}

/// Which part of a configuration is new to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Seen,
    NewModel,
    NewAccelerator,
}

impl Kind {
    pub const ALL: [(Kind, &'static str); 3] =
        [(Kind::Seen, "seen"), (Kind::NewModel, "new-model"), (Kind::NewAccelerator, "new-accelerator")];
}

impl Model {
    pub fn fit(points: &[&Point]) -> Self {
        Self::without(points, None)
    }

    /// The same without a mechanism, if one is named.
    fn without(points: &[&Point], off: Option<Off>) -> Self {
        let physics = Physics::fit(points, off);
        let residuals: Vec<(f64, f64)> = points.iter().map(|p| physics.residual(p)).collect();
        let mut columns: BTreeMap<Key, (usize, f64, usize)> = BTreeMap::new();
        let mut size = 0;
        for p in points {
            for (key, penalty) in &p.keys {
                let entry = columns.entry(key.clone()).or_insert_with(|| {
                    let at = size;
                    size += if key.slopes { 6 } else { 1 };
                    (at, *penalty, 0)
                });
                entry.2 += 1;
            }
        }
        let mut penalties = vec![0.0; size];
        for (key, (at, penalty, _)) in &columns {
            for slot in 0..if key.slopes { 6 } else { 1 } {
                penalties[at + slot] = RIDGE * penalty * penalty;
            }
        }
        let rows: Vec<Vec<(usize, f64)>> = points
            .iter()
            .map(|p| {
                p.keys
                    .iter()
                    .flat_map(|(key, _)| {
                        let at = columns[key].0;
                        let v = p.variables;
                        if key.slopes {
                            (0..6).map(|s| (at + s, v[s + 1])).collect::<Vec<_>>()
                        } else {
                            vec![(at, 1.0)]
                        }
                    })
                    .collect()
            })
            .collect();
        let w = weights(points);
        let tpot = ridge(&rows, &residuals.iter().map(|r| r.1).collect::<Vec<_>>(), &w, &penalties, ROBUST.0);
        let ttft = ridge(&rows, &residuals.iter().map(|r| r.0).collect::<Vec<_>>(), &w, &penalties, ROBUST.1);
        let ledger = columns
            .into_iter()
            .map(|(key, (at, _, n))| {
                let side = |x: &[f64]| -> [f64; 7] {
                    std::array::from_fn(|i| match (key.slopes, i) {
                        (true, 0) | (false, 1..) => 0.0,
                        (true, i) => x[at + i - 1],
                        (false, _) => x[at],
                    })
                };
                let residual = Residual { tpot: side(&tpot), ttft: side(&ttft) };
                (key, (residual, n))
            })
            .collect();
        Model { physics, ledger }
    }

    /// What is new about a point.
    pub fn kind(&self, p: &Point) -> Kind {
        let ran =
            |name: &str| p.keys.iter().any(|(key, _)| key.name == name && self.ledger.contains_key(key));
        match (ran("model+engine"), ran("engine+accelerator")) {
            (_, false) => Kind::NewAccelerator,
            (false, true) => Kind::NewModel,
            (true, true) => Kind::Seen,
        }
    }

    /// `ln(measured / predicted)` of TTFT and TPOT.
    pub fn residual(&self, p: &Point) -> (f64, f64) {
        let (mut ttft, mut tpot) = self.physics.residual(p);
        if self.kind(p) == Kind::Seen {
            for (key, _) in &p.keys {
                if let Some((r, _)) = self.ledger.get(key) {
                    let (a, b) = r.at(&p.variables);
                    ttft -= a;
                    tpot -= b;
                }
            }
        }
        (ttft, tpot)
    }
}

/// Ridge regression under a soft absolute loss, by reweighting.
fn ridge(rows: &[Vec<(usize, f64)>], y: &[f64], w: &[f64], penalties: &[f64], scale: f64) -> Vec<f64> {
    let n = penalties.len();
    let mut robust = w.to_vec();
    let mut x = vec![0.0; n];
    for _ in 0..10 {
        let mut a = vec![vec![0.0; n]; n];
        let mut b = vec![0.0; n];
        for (i, p) in penalties.iter().enumerate() {
            a[i][i] = *p;
        }
        for ((row, y), w) in rows.iter().zip(y).zip(&robust) {
            for (i, u) in row {
                b[*i] += w * u * y;
                for (j, v) in row {
                    a[*i][*j] += w * u * v;
                }
            }
        }
        let Some(found) = solve(a, &b) else { break };
        x = found;
        for (((row, y), w), robust) in rows.iter().zip(y).zip(w).zip(robust.iter_mut()) {
            let left = y - row.iter().map(|(i, u)| x[*i] * u).sum::<f64>();
            *robust = w / (1.0 + (left / scale).powi(2)).sqrt();
        }
    }
    x
}

/// A point that a model did not see: what was new about it, and `ln(measured / predicted)`.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut<'a> {
    pub point: &'a Point,
    pub kind: Kind,
    pub ttft: f64,
    pub tpot: f64,
    /// The same without the ledger.
    pub physics: (f64, f64),
}

/// Fits on all but one fold at a time and looks at that one. `fold` names the fold of a point.
pub fn leave_out<'a, F: Ord + Send>(
    points: &[&'a Point],
    fold: impl Fn(&Point) -> F + Sync,
) -> Vec<LeftOut<'a>> {
    leave_out_without(points, fold, None)
}

/// The same without a mechanism, if one is named.
pub fn leave_out_without<'a, F: Ord + Send>(
    points: &[&'a Point],
    fold: impl Fn(&Point) -> F + Sync,
    off: Option<Off>,
) -> Vec<LeftOut<'a>> {
    let folds: BTreeSet<F> = points.iter().map(|p| fold(p)).collect();
    let of_fold = |f: F| {
        let (own, others): (Vec<&Point>, Vec<&Point>) = points.iter().copied().partition(|p| fold(p) == f);
        let model = Model::without(&others, off);
        let left = |point| {
            let (ttft, tpot) = model.residual(point);
            let physics = model.physics.residual(point);
            LeftOut { point, kind: model.kind(point), ttft, tpot, physics }
        };
        own.into_iter().map(left).collect::<Vec<_>>()
    };
    let mut out: Vec<LeftOut<'a>> = folds.into_par_iter().flat_map_iter(of_fold).collect();
    out.sort_by(|a, b| a.point.id.cmp(&b.point.id));
    out
}

/// One of ten folds of a group of configurations, by a hash of its name.
pub fn tenth(p: &Point) -> u64 {
    p.group.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
        % 10
}
