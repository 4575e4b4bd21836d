//! What machines cost.

use std::collections::BTreeMap;

use rhumb_api::{Money, ResourceAddr};
use serde::{Deserialize, Serialize};

/// Milliseconds of an hour.
const HOUR_MS: i128 = 3_600_000;

/// What was spent up to a moment.
///
/// A machine costs its price by the millisecond from the moment at which the call that ordered it was accepted
/// until it is gone, lost or no longer needed: a thing that is `Pending` or `Deleting` costs what it holds, and one
/// that failed costs what there is of it. Amounts are exact and rounded to a micro-dollar once, half up, so that
/// parts may add up to a few micro-dollars less or more than the total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    /// For all machines that have a price.
    pub total: Money,
    /// The same by the address that machines were made for, of those that are tagged with one.
    pub by_address: BTreeMap<ResourceAddr, Money>,
    /// Milliseconds of machines, with those that have no price.
    pub machine_ms: u64,
    /// Milliseconds of machines that have no price.
    pub unpriced_machine_ms: u64,
}

impl Bill {
    /// Hours of machines, with those that have no price; for display.
    pub fn machine_hours(&self) -> f64 {
        self.machine_ms as f64 / HOUR_MS as f64
    }

    /// Hours of machines that have no price; for display.
    pub fn unpriced_machine_hours(&self) -> f64 {
        self.unpriced_machine_ms as f64 / HOUR_MS as f64
    }
}

/// Adds up what machines cost.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Micro-dollars per hour times milliseconds: exact.
    spent: BTreeMap<Option<ResourceAddr>, i128>,
    machine_ms: u64,
    unpriced_machine_ms: u64,
}

impl Meter {
    /// Adds so many machines for so long.
    pub fn add(&mut self, address: Option<&ResourceAddr>, machines: u32, ms: u64, per_hour: Option<Money>) {
        if machines == 0 || ms == 0 {
            return;
        }
        let machine_ms = ms.saturating_mul(u64::from(machines));
        self.machine_ms = self.machine_ms.saturating_add(machine_ms);
        match per_hour {
            Some(price) => {
                let spent = self.spent.entry(address.cloned()).or_default();
                *spent = spent.saturating_add(i128::from(machine_ms) * i128::from(price.micros()));
            }
            None => self.unpriced_machine_ms = self.unpriced_machine_ms.saturating_add(machine_ms),
        }
    }

    /// What it comes to.
    pub fn bill(&self) -> Bill {
        Bill {
            total: money(self.spent.values().fold(0, |sum, part| sum.saturating_add(*part))),
            by_address: self
                .spent
                .iter()
                .filter_map(|(addr, part)| Some((addr.clone()?, money(*part))))
                .collect(),
            machine_ms: self.machine_ms,
            unpriced_machine_ms: self.unpriced_machine_ms,
        }
    }
}

fn money(spent: i128) -> Money {
    let micros = spent.saturating_add(HOUR_MS / 2).div_euclid(HOUR_MS);
    Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_a_cent_is_rounded_once_and_what_has_no_price_is_told() {
        let mut meter = Meter::default();
        let address = ResourceAddr::parse("a/b").unwrap();
        for _ in 0..3 {
            meter.add(Some(&address), 1, 1, Some(Money::from_micros(1_200_000)));
        }
        meter.add(Some(&address), 2, 1_800_000, None);
        let bill = meter.bill();
        assert_eq!(bill.total.micros(), 1);
        assert_eq!(bill.by_address[&address].micros(), 1);
        assert_eq!(bill.machine_ms, 3_600_003);
        assert_eq!(bill.unpriced_machine_ms, 3_600_000);
    }
}
