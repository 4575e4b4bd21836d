//! Figures of a run, with how sure they are.

use crate::math;

/// Values in ascending order, without those that are not numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// Takes the values.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Sample(sorted)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, ascending.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// The mean; `None` of none.
    pub fn mean(&self) -> Option<f64> {
        mean(&self.0)
    }

    /// The smallest value that at least a share `q` in (0, 1] of them does not exceed; `None` of none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.0.get(rank(self.0.len(), q)).copied()
    }

    /// Share of the values that are at most `limit`; `None` of none.
    pub fn within(&self, limit: f64) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.partition_point(|v| *v <= limit) as f64 / self.0.len() as f64)
    }
}

/// Index of a quantile among so many values in ascending order.
fn rank(count: usize, q: f64) -> usize {
    (q * count as f64 * (1.0 - 1e-12)).ceil().max(1.0) as usize - 1
}

/// The mean of values; `None` of none.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// [`Sample::quantile`] of numbers in any order, which it changes: sorting all takes a tenth of a replay.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    let at = rank(values.len(), q);
    (at < values.len()).then(|| *values.select_nth_unstable_by(at, f64::total_cmp).1)
}

/// `p95`, `mean`.
pub fn percentile(q: Option<f64>) -> String {
    q.map_or("mean".into(), |q| format!("p{}", crate::math::round_to(q * 100.0, 4)))
}

/// A figure from several independent runs and half the width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean of the runs.
    pub mean: f64,
    /// Half the width; infinite from fewer than two runs.
    pub half: f64,
}

impl Interval {
    /// From one value for each run, by Student's t.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        if values.len() < 2 {
            return Interval { mean, half: f64::INFINITY };
        }
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        Interval { mean, half: student(values.len() - 1) * math::sqrt(variance / n) }
    }
}

/// The 97.5th percentile of Student's t, by Hill's expansion from the normal (Algorithm 396, 1970); exact
/// for one and two degrees of freedom, within 0.2 % from three.
fn student(freedom: usize) -> f64 {
    match freedom {
        0 => return f64::INFINITY,
        1 => return 12.706_204_736,
        2 => return 4.302_652_73,
        _ => {}
    }
    let n = freedom as f64;
    let z = math::normal_quantile(0.975);
    let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z);
    let g1 = (z3 + z) / 4.0;
    let g2 = (5.0 * z5 + 16.0 * z3 + 3.0 * z) / 96.0;
    let g3 = (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / 384.0;
    let z9 = z7 * z * z;
    let g4 = (79.0 * z9 + 776.0 * z7 + 1482.0 * z5 - 1920.0 * z3 - 945.0 * z) / 92160.0;
    z + g1 / n + g2 / (n * n) + g3 / (n * n * n) + g4 / (n * n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let s = Sample::new([4.0, f64::NAN, 1.0, 3.0, 2.0]);
        assert_eq!(s.len(), 4);
        assert_eq!(s.quantile(0.5), Some(2.0));
        assert_eq!(s.quantile(0.51), Some(3.0));
        assert_eq!(s.quantile(1.0), Some(4.0));
        assert_eq!(s.within(2.0), Some(0.5));
        assert_eq!(s.mean(), Some(2.5));
        assert_eq!(Sample::new([]).quantile(0.5), None);
        let values: Vec<f64> = (0..997).map(|i| f64::from(i * 389 % 997)).collect();
        for q in [1e-9, 0.5, 0.95, 0.999, 1.0] {
            assert_eq!(quantile(&mut values.clone(), q), Sample::new(values.clone()).quantile(q));
        }
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    /// Against the printed table (Abramowitz and Stegun, 26.10).
    #[test]
    fn students_t_is_that_of_the_table() {
        for (freedom, t) in [(3, 3.182), (4, 2.776), (7, 2.365), (9, 2.262), (30, 2.042)] {
            assert!((student(freedom) / t - 1.0).abs() < 2e-3, "{freedom}: {}", student(freedom));
        }
        let i = Interval::of(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(i.mean, 3.0);
        assert!((i.half - 2.776 * (2.5_f64 / 5.0).sqrt()).abs() < 2e-3);
    }
}
