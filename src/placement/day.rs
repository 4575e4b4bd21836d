//! A pool that follows the load of the day (decision 11).

/// How a pool goes through the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// IANA name of the time zone of the schedule.
    pub time_zone: String,
    /// Seconds that a machine is started before it is needed (assumed, see [`crate::perf::start_up_s`]).
    pub start_up_s: u32,
    /// Ascending by share; the last one is the peak, as [`super::Pool`] itself says it.
    pub classes: Vec<HourClass>,
    /// When another class begins, ascending; the last one holds past midnight until the first. Empty where there is only one
    /// class.
    pub schedule: Vec<Switch>,
}

/// The pool at one share of the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourClass {
    /// Millionths of the peak that the pool can then carry.
    pub share: u32,
    /// Seconds of the 86,400 in which it is so.
    pub seconds: u32,
    /// Engine replicas.
    pub replicas: u32,
    /// Machines of each entry of [`super::Pool::machines`], in its order.
    pub machines: Vec<u32>,
}

/// The begin of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Seconds after midnight, local time.
    pub at_s: u32,
    /// Index into [`Following::classes`].
    pub class: usize,
}
