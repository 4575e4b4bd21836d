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

    /// The part of all time, from 0 to 1, in which the pool has the most of its machines: one fewer at the most is saved then, and at no
    /// other time.
    pub fn at_the_most(&self) -> f64 {
        let machines = |class: &HourClass| class.machines.iter().sum::<u32>();
        let most = self.classes.iter().map(machines).max().unwrap_or(0);
        let there = self.classes.iter().filter(|class| machines(class) == most);
        f64::from(there.map(|class| class.seconds).sum::<u32>()) / f64::from(self.cycle_s().max(1))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a day 6 h with four machines, of one kind or of two, 12 h with three, and 6 h with one.
    #[test]
    fn the_most_machines_are_there_for_a_part_of_the_time() {
        let class = |hours: u32, machines: &[u32]| HourClass {
            share: 0,
            seconds: hours * 3600,
            replicas: 1,
            machines: machines.to_vec(),
        };
        let classes = vec![class(6, &[1, 0]), class(12, &[2, 1]), class(4, &[2, 2]), class(2, &[4, 0])];
        let mut following =
            Following { time_zone: "UTC".into(), start_up_s: 0, classes, schedule: Vec::new() };
        assert_eq!(following.at_the_most(), 0.25);
        following.classes.truncate(1);
        assert_eq!(following.at_the_most(), 1.0);
    }
}
