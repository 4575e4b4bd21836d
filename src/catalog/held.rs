//! Held capacity as rows: what a commitment holds is an offering with a price of its own, and its stock a quota; so is every machine that
//! a savings plan may cover, and what it covers.
//!
//! What is held to the end of the planned month costs nothing more: its price is 0. What ends before is paid as on demand from then on: its
//! price is that part of a month, rounded up to the micro-dollar. What is over by now, or ends with nobody knowing what follows, has no
//! row.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use rhumb_api::{HOURS_PER_MONTH, Money, Purchase};

use super::{Catalog, Committed, Offered, Offering, Provenance, Quota, QuotaUnit};
use crate::spec::{EVERYWHERE, Held, SavingsPlan};

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
        InForce::of(&held.until, today, self.follows(held).is_some())
    }

    /// The on-demand offering of its machines.
    pub fn follows(&self, held: &Held) -> Option<&Offering> {
        let kind = self.instance_type(held.cloud, &held.instance_type)?;
        self.offering(kind, self.region(held.cloud, &held.region)?, Purchase::OnDemand)
    }

    /// Adds what is held in place of what was added before.
    pub fn hold(
        &mut self,
        held: &BTreeMap<String, Held>,
        savings: &BTreeMap<String, SavingsPlan>,
        today: &str,
    ) {
        self.offerings.retain(|o| o.purchase != Purchase::Held);
        self.quotas.retain(|q| q.purchase != Purchase::Held);
        // Looked up in rows that are in order, so that what is added comes afterwards.
        let mut rows: Vec<Offering> =
            held.values().filter_map(|held| self.of_machines(held, today)).collect();
        rows.extend(savings.values().flat_map(|plan| self.of_savings(plan, today)));
        let limits = held.values().filter(|held| held.count > 0).map(|held| {
            let (unit, scope) = (QuotaUnit::Machines, "region");
            (held.cloud, held.code(), held.instance_type.clone(), unit, scope, "held by commitments")
        });
        let limits = limits.chain(savings.values().map(|plan| {
            let (unit, scope) = (QuotaUnit::UsdPerHour, EVERYWHERE);
            (plan.cloud, plan.code(), String::new(), unit, scope, "covered by a savings plan")
        }));
        for (cloud, code, families, unit, scope, name) in limits {
            if self.quotas.iter().all(|q| (q.cloud, &q.code) != (cloud, &code)) {
                self.quotas.push(Quota {
                    cloud,
                    families,
                    purchase: Purchase::Held,
                    name: name.to_owned(),
                    code,
                    unit,
                    scope: scope.to_owned(),
                    default_new_account: None,
                    notes: String::new(),
                    provenance: own(),
                });
            }
        }
        self.offerings.extend(rows);
        self.offerings.sort_by_key(|o| (o.instance_type, o.region, o.purchase));
        self.quotas.sort_by(|a, b| (a.cloud, &a.code, a.purchase).cmp(&(b.cloud, &b.code, b.purchase)));
    }

    /// The row of machines; `None` if they are not used.
    fn of_machines(&self, held: &Held, today: &str) -> Option<Offering> {
        let follows = self.follows(held);
        let (price, provenance) = self.in_force(held, today).price(follows)?;
        let kind = self.instance_type(held.cloud, &held.instance_type);
        let committed = Committed {
            name: Arc::from(held.name.as_str()),
            code: Arc::from(held.code()),
            each: 1.0,
            machines: true,
        };
        (held.count > 0).then_some(Offering {
            instance_type: kind?,
            region: self.region(held.cloud, &held.region)?,
            zone: None,
            purchase: Purchase::Held,
            price,
            list_price: price,
            offered: Offered::Yes,
            interruption: None,
            provenance,
            held: Some(Arc::new(committed)),
        })
    }

    /// The rows of what a savings plan covers: of each on-demand offering that has a rate.
    fn of_savings(&self, plan: &SavingsPlan, today: &str) -> Vec<Offering> {
        let force = InForce::of(&plan.until, today, true);
        let (name, code): (Arc<str>, Arc<str>) = (Arc::from(plan.name.as_str()), Arc::from(plan.code()));
        let of = |offer: &Offering| {
            let (kind, region) = (&self.instance_types[offer.instance_type], &self.regions[offer.region]);
            let rate = plan.rate(&kind.name, &region.id, offer.list_price)?;
            let (price, provenance) = force.price(Some(offer))?;
            let (name, code) = (Arc::clone(&name), Arc::clone(&code));
            Some(Offering {
                purchase: Purchase::Held,
                price,
                list_price: price,
                provenance,
                held: Some(Arc::new(Committed { name, code, each: rate.usd(), machines: false })),
                ..offer.clone()
            })
        };
        let of_cloud = |o: &&Offering| {
            o.purchase == Purchase::OnDemand
                && self.instance_types.get(o.instance_type).is_some_and(|kind| kind.cloud == plan.cloud)
        };
        let all = self.offerings.iter().filter(of_cloud).filter_map(of);
        if plan.spend > Money::ZERO { all.collect() } else { Vec::new() }
    }
}

fn own() -> Provenance {
    Provenance { source: SOURCE.into(), as_of: Arc::from("") }
}

impl InForce {
    /// What of something that ends at `until` is there in the month that begins with `today`; `priced` if it is known what follows.
    pub fn of(until: &str, today: &str, priced: bool) -> Self {
        match hours_left(today, until) {
            None | Some(..=0) => InForce::Over,
            Some(left) if left >= HOURS_PER_MONTH => InForce::Throughout,
            Some(left) if priced => InForce::Until(left),
            Some(left) => InForce::Unpriced(left),
        }
    }

    /// Hours of the month in which it is there, 0 to 730.
    pub fn hours(self) -> i64 {
        match self {
            InForce::Throughout => HOURS_PER_MONTH,
            InForce::Until(left) | InForce::Unpriced(left) => left,
            InForce::Over => 0,
        }
    }

    /// Whether it is used.
    pub fn is_usable(self) -> bool {
        matches!(self, InForce::Throughout | InForce::Until(_))
    }

    /// What an hour of a machine costs on the mean of the month, and where that comes from; `None` if it is not used.
    fn price(self, follows: Option<&Offering>) -> Option<(Money, Provenance)> {
        match (self, follows) {
            (InForce::Throughout, _) => Some((Money::ZERO, own())),
            (InForce::Until(left), Some(row)) => {
                let micros = i128::from(row.price.micros()) * i128::from(HOURS_PER_MONTH - left);
                let up = (micros + i128::from(HOURS_PER_MONTH) - 1) / i128::from(HOURS_PER_MONTH);
                Some((Money::from_micros(up as i64), row.provenance.clone()))
            }
            _ => None,
        }
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
