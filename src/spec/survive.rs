//! `survive` and `during_failure`.

/// What may fail, one scope at a time, while `during_failure` still holds. 0 = nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survive {
    /// Engine replicas.
    pub replica: u32,
    /// Machines, with every replica on them.
    pub machine: u32,
    /// Zones of a region.
    pub zone: u32,
    /// Regions.
    pub region: u32,
    /// Connections of a site: at most its one.
    pub wan: u32,
}

/// What must still hold during a failure of a declared scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DuringFailure {
    /// `capacity`: share of the peak rate, a fraction in (0, 1].
    pub capacity: f64,
    /// `slo`: every limit is multiplied by this (1 = keep).
    pub slo_factor: f64,
}
