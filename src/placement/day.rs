//! A pool that follows the load of the week (decision 11).

use crate::spec::WEEK_S;

/// How a pool goes through its cycle: a day, where all are alike, or a week from Monday to Sunday.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// IANA name of the time zone of the schedule.
    pub time_zone: String,
    /// Seconds that a machine is started before it is needed (assumed, see [`crate::perf::start_up_s`]).
    pub start_up_s: u32,
    /// Ascending by share; the last one is the peak, as [`super::Pool`] itself says it.
    pub classes: Vec<HourClass>,
    /// When another class begins, ascending; the last one holds past the end of the cycle until the first. Empty where there is
    /// only one class.
    pub schedule: Vec<Switch>,
}

impl Following {
    /// Seconds of the cycle that is told: those of a day or of a week.
    pub fn cycle_s(&self) -> u32 {
        self.classes.iter().fold(0, |sum, class| sum.saturating_add(class.seconds))
    }

    /// How many cycles a week has: 7 of a day, 1 of a week.
    pub fn repeats(&self) -> u32 {
        WEEK_S / self.cycle_s().max(1)
    }

    /// Whether the days of a week differ.
    pub fn is_weekly(&self) -> bool {
        self.cycle_s() > WEEK_S / 7
    }
}

/// The pool at one share of the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourClass {
    /// Millionths of the peak that the pool can then carry.
    pub share: u32,
    /// Seconds of the cycle in which it is so.
    pub seconds: u32,
    /// Engine replicas; none where nothing runs in hours without load.
    pub replicas: u32,
    /// Machines of each entry of [`super::Pool::machines`], in its order.
    pub machines: Vec<u32>,
}

/// The begin of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Seconds after midnight, of Monday where the cycle is a week; local time.
    pub at_s: u32,
    /// Index into [`Following::classes`].
    pub class: usize,
}
