//! Fits the harness constants of [`rhumb::perf::Harness`]: coordinate descent on the mean absolute
//! logarithmic error of TTFT.

use std::collections::BTreeMap;

use rhumb::perf::Harness;
use rhumb::spec::EngineName;

use super::points::Point;

/// Weight of each point: 1 / root of the size of its group, between equal points and equal groups.
pub fn weights(points: &[&Point]) -> Vec<f64> {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for p in points {
        *sizes.entry(&p.group).or_default() += 1.0;
    }
    points.iter().map(|p| 1.0 / sizes[p.group.as_str()].sqrt()).collect()
}

fn loss(points: &[&Point], weights: &[f64], h: &Harness, tpot: bool) -> f64 {
    let mut sum = 0.0;
    for (p, w) in points.iter().zip(weights) {
        let (a, b) = p.physics.latency(h);
        sum += w * if tpot { (b / p.tpot_s).ln().abs() } else { (a / p.ttft_s).ln().abs() };
    }
    sum / weights.iter().sum::<f64>()
}

fn descend(points: &[&Point], weights: &[f64], mut h: Harness) -> Harness {
    type Field = fn(&mut Harness) -> &mut f64;
    let fields: [(Field, f64); 4] = [
        (|h| &mut h.start_s, 0.02),
        (|h| &mut h.start_per_request_s, 0.001),
        (|h| &mut h.steps, 0.5),
        (|h| &mut h.prefill, 0.3),
    ];
    let mut best = loss(points, weights, &h, false);
    let mut scale = 1.0;
    while scale > 0.01 {
        let mut better = false;
        for (field, step) in &fields {
            for sign in [1.0, -1.0] {
                let mut next = h;
                let value = field(&mut next);
                *value = (*value + sign * scale * step).max(0.0);
                let l = loss(points, weights, &next, false);
                if l < best - 1e-9 {
                    (best, h, better) = (l, next, true);
                }
            }
        }
        if !better {
            scale /= 2.0;
        }
    }
    h
}

/// The fitted constants, one line for each engine and kind of benchmark.
pub fn fit(points: &[Point]) {
    for engine in [EngineName::Vllm, EngineName::Sglang, EngineName::Trtllm] {
        for fixed in [true, false] {
            let chosen: Vec<&Point> =
                points.iter().filter(|p| p.engine == engine && p.fixed == fixed).collect();
            if chosen.is_empty() {
                continue;
            }
            let w = weights(&chosen);
            let h = descend(&chosen, &w, Harness::of(engine, fixed));
            println!(
                "(EngineName::{engine:?}, {fixed}) => h({:.4}, {:.6}, {:.3}, {:.3}, {:.3}, {:.2}), // {} rows, ttft {:.3}, tpot {:.3}",
                h.start_s,
                h.start_per_request_s,
                h.steps,
                h.prefill,
                h.mix,
                h.synchrony,
                chosen.len(),
                loss(&chosen, &w, &h, false),
                loss(&chosen, &w, &h, true),
            );
        }
    }
}
