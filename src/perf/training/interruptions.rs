//! How long a run takes that writes checkpoints and is interrupted.
//!
//! A run stands still as soon as one of its machines does. It then waits for another machine, reads the last checkpoint and does
//! again what came after it. Interruptions come at a constant rate; checkpoints are written every
//! `sqrt(2 * (seconds to write one) * (mean seconds between interruptions))` of training (Young, CACM 17(9), 1974, and Daly; as stated
//! in HAL hal-02514107), unless the spec says otherwise.

use crate::math;

/// Interruptions that are no loss of a spot machine, for each accelerator and hour: 419 in 54 days on 16,384 H100 (the training of
/// Llama 3 405B, as reported by Data Center Dynamics, 2024-07-29).
pub const FAILURES_PER_ACCELERATOR_HOUR: f64 = 419.0 / (54.0 * 24.0 * 16384.0);

/// Least training between two checkpoints that is chosen, seconds (assumed).
const LEAST_S: f64 = 60.0;

/// Expected interruptions of a run above which it is no plan: it may not end.
const MOST_EXPECTED: f64 = 500.0;

/// Share of the time that may be lost to interruptions: with more, the estimate, which takes one at a time, is none.
const MOST_LOST: f64 = 0.5;

/// Losses of a spot machine an hour, from the share of machines that are lost in a month of 730 hours, in [0, 1): a constant rate is
/// assumed.
pub fn lost_per_hour(monthly_share: f64) -> f64 {
    -math::ln(1.0 - monthly_share.clamp(0.0, 0.999)) / 730.0
}

/// What decides how long a run takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds of training alone.
    pub work_s: f64,
    /// Seconds from an order for machines to the first step; again after each interruption.
    pub start_s: f64,
    /// Seconds that training stands while a checkpoint is written; as many to read one.
    pub checkpoint_s: f64,
    /// Interruptions an hour of all machines.
    pub interruptions_per_hour: f64,
    /// Seconds of training between two checkpoints; `None` = the best.
    pub every_s: Option<f64>,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duration {
    /// Seconds of training between two checkpoints.
    pub every_s: f64,
    /// Seconds that are expected.
    pub expected_s: f64,
    /// Interruptions that are expected.
    pub interruptions: f64,
    /// Interruptions that are not exceeded with the probability asked for.
    pub most_interruptions: u32,
    /// Seconds with that many, each at the end of an interval; never less than what is expected.
    pub late_s: f64,
}

impl Pace {
    /// Seconds of training between two checkpoints: of the best, at least a minute and the time to write one.
    pub fn every_s(&self) -> f64 {
        let rate = self.interruptions_per_hour / 3600.0;
        let least = LEAST_S.max(self.checkpoint_s);
        let best = if rate > 0.0 { math::sqrt(2.0 * self.checkpoint_s / rate) } else { f64::INFINITY };
        self.every_s.unwrap_or(best.max(least)).min(self.work_s)
    }

    /// Checkpoints of so many seconds of training: one at the end of each interval, the last and shorter one included.
    pub fn checkpoints(&self, work_s: f64) -> f64 {
        let every_s = self.every_s();
        if every_s > 0.0 { (work_s / every_s * (1.0 - 1e-12)).ceil() } else { 0.0 }
    }

    /// The run, with the interruptions that are not exceeded with the probability `confidence`; `None` if half of it or more
    /// would be lost, so that it may not end.
    pub fn duration(&self, confidence: f64) -> Option<Duration> {
        let rate = self.interruptions_per_hour.max(0.0) / 3600.0;
        let every_s = self.every_s();
        let training = self.work_s + self.checkpoints(self.work_s) * self.checkpoint_s;
        let again = self.start_s + self.checkpoint_s;
        let lost = rate * (again + (every_s + self.checkpoint_s) / 2.0);
        if !training.is_finite() || lost > MOST_LOST {
            return None;
        }
        let running = training / (1.0 - lost);
        let interruptions = rate * running;
        let most = most(interruptions, confidence)?;
        let late = training + f64::from(most) * (again + every_s + self.checkpoint_s);
        Some(Duration {
            every_s,
            expected_s: self.start_s + running,
            interruptions,
            most_interruptions: most,
            late_s: self.start_s + late.max(running),
        })
    }
}

/// The quantile of a Poisson distribution; `None` where its mean is too great.
fn most(mean: f64, confidence: f64) -> Option<u32> {
    if mean > MOST_EXPECTED {
        return None;
    }
    let mut term = math::exp(-mean);
    let (mut sum, mut n) = (term, 0_u32);
    while sum < confidence && n < 10_000 {
        n += 1;
        term *= mean / f64::from(n);
        sum += term;
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Pace = Pace {
        work_s: 86_400.0,
        start_s: 300.0,
        checkpoint_s: 50.0,
        interruptions_per_hour: 0.0,
        every_s: None,
    };

    #[test]
    fn without_interruptions_one_checkpoint_is_written_at_the_end() {
        let d = DAY.duration(0.9).unwrap();
        assert_eq!((d.every_s, d.expected_s, d.late_s), (86_400.0, 86_750.0, 86_750.0));
        assert_eq!((d.interruptions, d.most_interruptions), (0.0, 0));
    }

    /// By hand: every 5 hours, so that sqrt(2 * 50 * 18000) = 1341.64 s lie between two; 64.4 intervals have 65 checkpoints, and
    /// 86400 + 65 * 50 = 89650 s are training and writing; an interruption costs 350 + 1391.64 / 2 = 1045.82 s, so 5.81 % of the time are lost.
    #[test]
    fn an_interruption_every_five_hours_by_hand() {
        let d = Pace { interruptions_per_hour: 0.2, ..DAY }.duration(0.9).unwrap();
        assert!((d.every_s - 1341.6408).abs() < 1e-3, "{d:?}");
        assert!((d.expected_s - (300.0 + 89_650.0 / (1.0 - 1045.8204 / 18_000.0))).abs() < 0.1, "{d:?}");
        assert!((d.interruptions - 5.288).abs() < 1e-3, "{d:?}");
        // Of a Poisson distribution of mean 5.288, 0.835 are at most 7 and 0.912 at most 8.
        assert_eq!(d.most_interruptions, 8);
        assert!((d.late_s - (300.0 + 89_650.0 + 8.0 * (350.0 + 1391.6408))).abs() < 0.1, "{d:?}");
    }

    #[test]
    fn more_interruptions_never_make_a_run_shorter() {
        for every_s in [None, Some(600.0)] {
            let mut before = 0.0;
            for i in 0..60 {
                let pace = Pace { interruptions_per_hour: f64::from(i) * 0.05, every_s, ..DAY };
                let Some(d) = pace.duration(0.8) else { continue };
                assert!(d.expected_s >= before && d.late_s >= d.expected_s, "{i}: {d:?}");
                before = d.expected_s;
            }
        }
    }

    #[test]
    fn a_run_that_loses_most_of_its_time_is_none() {
        assert_eq!(Pace { interruptions_per_hour: 10.0, ..DAY }.duration(0.8), None);
        assert_eq!(Pace { work_s: f64::INFINITY, ..DAY }.duration(0.8), None);
    }

    /// No interval is better than the chosen one by more than the formula's first order.
    #[test]
    fn the_chosen_interval_is_about_the_best() {
        let pace = Pace { interruptions_per_hour: 0.2, ..DAY };
        let chosen = pace.duration(0.8).unwrap().expected_s;
        for every in (100..6000).step_by(100) {
            let other = Pace { every_s: Some(f64::from(every)), ..pace }.duration(0.8).unwrap().expected_s;
            assert!(chosen < other * 1.002, "{every}: {other} against {chosen}");
        }
    }

    #[test]
    fn twenty_per_cent_a_month_by_hand() {
        assert!((lost_per_hour(0.2) - 0.223_143_55 / 730.0).abs() < 1e-9);
        assert_eq!(lost_per_hour(0.0), 0.0);
        assert!((FAILURES_PER_ACCELERATOR_HOUR - 1.973e-5).abs() < 1e-8);
    }
}
