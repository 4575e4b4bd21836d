//! What machines emit (decision 14).

use std::collections::BTreeMap;

use crate::catalog::Provenance;

/// What all machines emit, and what they may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emissions {
    /// By the address of their pool or shared fleet.
    pub machines: BTreeMap<String, Emission>,
    /// The cap of the spec, milligrams of CO2e a month.
    pub cap_mg: Option<i64>,
}

impl Emissions {
    /// Milligrams of CO2e a month, as far as they are known.
    pub fn known(&self) -> i64 {
        self.machines.values().filter_map(|e| e.mg_per_month).fold(0, i64::saturating_add)
    }

    /// Whether all of them are known.
    pub fn complete(&self) -> bool {
        self.machines.values().all(|e| e.mg_per_month.is_some())
    }
}

/// What the machines of a pool, or of a shared fleet, emit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Emission {
    /// Milligrams of CO2e a month as expected; `None` = unknown.
    pub mg_per_month: Option<i64>,
    /// Milligrams of an hour of one machine; `None` = unknown.
    pub mg_per_hour: Option<i64>,
    /// Watts of one machine; modelled. `None` = unknown.
    pub watts: Option<f64>,
    /// Power of the data centre over that of its machines; `None` = unknown.
    pub pue: Option<f64>,
    /// Whether that is the region's own, or the mean of its cloud (assumed).
    pub pue_of_region: bool,
    /// Grams of CO2e for a kWh of the region's grid; `None` = unknown.
    pub g_per_kwh: Option<f64>,
    /// The year that it is the mean of; `None` = not stated.
    pub year: Option<u32>,
    /// Where the intensity comes from.
    pub provenance: Option<Provenance>,
    /// In words: what is not known.
    pub unknown: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan file may state anything.
    #[test]
    fn a_sum_beyond_what_a_number_holds_stays_at_its_end() {
        let most = Emission { mg_per_month: Some(i64::MAX), ..Emission::default() };
        let machines = [("a".to_owned(), most.clone()), ("b".to_owned(), most)].into();
        assert_eq!(Emissions { machines, cap_mg: Some(-1) }.known(), i64::MAX);
    }
}
