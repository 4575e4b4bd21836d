//! Held capacity as rows: what a commitment holds is an offering with a price of its own, and its stock a quota.
//!
//! What is held to the end of the planned month costs nothing more: its price is 0. What ends before is paid as on demand from then on: its
//! price is that part of a month, rounded up to the micro-dollar. What is over by now, or ends with nobody knowing what follows, has no
//! row.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use rhumb_api::{HOURS_PER_MONTH, Money, Purchase};

use super::{Catalog, Offered, Offering, Provenance, Quota, QuotaUnit};
use crate::spec::Held;

/// The source of what a spec says is held.
pub const SOURCE: &str = "user:commitments of the spec";

/// What of a commitment is there in the month from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// To its end.
    Throughout,
    /// This many hours, 1 to 729; from then on its machines are paid as on demand.
    Until(i64),
    /// This many hours, and the catalogue has no on-demand price for what follows: it is not used.
    Unpriced(i64),
    /// It ended on that day or before: it is not used.
    Over,
}

/// Hours from the beginning of `today` to the beginning of `until` (both `YYYY-MM-DD`); `None` if one is no day.
pub fn hours_left(today: &str, until: &str) -> Option<i64> {
    let day = |text: &str| text.parse::<Date>().ok();
    let days = day(until)?.since(day(today)?).ok()?.get_days();
    Some(i64::from(days) * 24)
}

impl Catalog {
    /// What of a commitment is there in the month that begins with `today`.
    pub fn in_force(&self, held: &Held, today: &str) -> InForce {
        match hours_left(today, &held.until) {
            None | Some(..=0) => InForce::Over,
            Some(left) if left >= HOURS_PER_MONTH => InForce::Throughout,
            Some(left) if self.follows(held).is_some() => InForce::Until(left),
            Some(left) => InForce::Unpriced(left),
        }
    }

    /// The on-demand offering of its machines.
    pub fn follows(&self, held: &Held) -> Option<&Offering> {
        let kind = self.instance_type(held.cloud, &held.instance_type)?;
        self.offering(kind, self.region(held.cloud, &held.region)?, Purchase::OnDemand)
    }

    /// Adds what is held in place of what was added before.
    pub fn hold(&mut self, all: &BTreeMap<String, Held>, today: &str) {
        self.offerings.retain(|o| o.purchase != Purchase::Held);
        self.quotas.retain(|q| q.purchase != Purchase::Held);
        // Looked up in rows that are in order, so that what is added comes afterwards.
        let mut rows = Vec::new();
        for held in all.values().filter(|held| held.count > 0) {
            let own = Provenance { source: SOURCE.into(), as_of: Arc::from("") };
            let (price, provenance) = match (self.in_force(held, today), self.follows(held)) {
                (InForce::Throughout, _) => (Money::ZERO, own.clone()),
                (InForce::Until(left), Some(row)) => {
                    let micros = i128::from(row.price.micros()) * i128::from(HOURS_PER_MONTH - left);
                    let up = (micros + i128::from(HOURS_PER_MONTH) - 1) / i128::from(HOURS_PER_MONTH);
                    (Money::from_micros(up as i64), row.provenance.clone())
                }
                _ => continue,
            };
            let kind = self.instance_type(held.cloud, &held.instance_type);
            let (Some(instance_type), Some(region)) = (kind, self.region(held.cloud, &held.region)) else {
                continue;
            };
            rows.push(Offering {
                instance_type,
                region,
                zone: None,
                purchase: Purchase::Held,
                price,
                list_price: price,
                offered: Offered::Yes,
                interruption: None,
                provenance,
            });
            if self.quotas.iter().all(|q| (q.cloud, &q.code) != (held.cloud, &held.code())) {
                self.quotas.push(Quota {
                    cloud: held.cloud,
                    families: held.instance_type.clone(),
                    purchase: Purchase::Held,
                    name: "held by commitments".to_owned(),
                    code: held.code(),
                    unit: QuotaUnit::Machines,
                    scope: "region".to_owned(),
                    default_new_account: None,
                    notes: String::new(),
                    provenance: own,
                });
            }
        }
        self.offerings.extend(rows);
        self.offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
        self.quotas.sort_by(|a, b| (a.cloud, &a.code, a.purchase).cmp(&(b.cloud, &b.code, b.purchase)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_from_one_midnight_to_the_other() {
        assert_eq!(hours_left("2026-11-25", "2026-11-26"), Some(24));
        assert_eq!(hours_left("2026-11-25", "2026-11-25"), Some(0));
        assert_eq!(hours_left("2026-11-25", "2026-11-24"), Some(-24));
        // A leap day, and the end of a year.
        assert_eq!(hours_left("2027-12-31", "2028-03-01"), Some(61 * 24));
        assert_eq!(hours_left("2026-11-25", "someday"), None);
    }
}
