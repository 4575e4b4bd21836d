//! What a run costs at the least, whatever is bought for it.

use rhumb_api::Money;

use super::Asked;

impl Asked<'_> {
    /// No run of at least `units` groups costs less.
    pub(super) fn least(&self, units: u32) -> Option<Money> {
        let machines = units.checked_mul(self.way.span.max(1))?;
        let hours = self.least_hours(units)?;
        let dataset = self.terms.dataset.unwrap_or(Money::ZERO);
        if let (Some(stock), Some(held)) = (self.terms.held, self.terms.spot) {
            let few = machines.min(stock);
            let rest = match self.terms.base {
                Some(base) if base < held => base.times(i64::from(machines)),
                Some(base) => held.times(i64::from(few)) + base.times(i64::from(machines - few)),
                None if few == machines => held.times(i64::from(few)),
                None => return None,
            };
            let run = (rest - Money::from_micros(2)).max(Money::ZERO).scale(hours) + dataset;
            return Some((run - Money::from_micros(2)).max(Money::ZERO));
        }
        // The share of spot tends to what is allowed as machines grow; no mix is under it.
        let each = match (self.terms.base, self.terms.spot) {
            (Some(base), Some(spot)) if spot < base && self.terms.share > 0.0 => {
                let share = self.terms.share.min(1.0);
                base.scale(1.0 - share) + spot.scale(share)
            }
            (Some(base), _) => base,
            (None, Some(spot)) if self.terms.most_spot(machines) == machines => spot,
            (None, _) => return None,
        };
        let run = (each - Money::from_micros(2)).times(i64::from(machines)).scale(hours);
        Some(run.max(Money::ZERO) + dataset - Money::from_micros(2))
    }
}
