//! Whether a figure keeps its limit.

use super::super::statistics::Interval;

/// Whether an objective was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Yes, beyond the noise of the runs.
    Yes,
    /// The limit lies within the interval of the figure.
    Unsure,
    /// No, beyond the noise of the runs.
    No,
}

impl Kept {
    /// Of a figure that must not exceed a limit. What is too short for an interval is judged by itself: it is the traffic that
    /// was named.
    pub(super) fn of(ms: &Interval, limit_ms: f64) -> Self {
        let noise = if ms.half.is_finite() { ms.half } else { 0.0 };
        if ms.mean + noise <= limit_ms {
            Kept::Yes
        } else if ms.mean - noise > limit_ms {
            Kept::No
        } else {
            Kept::Unsure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_interval_is_judged_by_itself() {
        let of = |mean, half| Kept::of(&Interval { mean, half }, 900.0);
        assert_eq!((of(24_901.0, f64::INFINITY), of(58.0, f64::INFINITY)), (Kept::No, Kept::Yes));
        assert_eq!((of(890.0, 20.0), of(910.0, 20.0)), (Kept::Unsure, Kept::Unsure));
        assert_eq!((of(870.0, 20.0), of(930.0, 20.0)), (Kept::Yes, Kept::No));
    }
}
