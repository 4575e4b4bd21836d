//! `stability`: what must be gained before something that runs is given up.

use rhumb_api::Money;

use crate::diagnostic::Pointer;

/// `stability`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stability {
    /// `saving`: the part of its cost that a move must save, in millionths, 1 to 999,999.
    pub saving_ppm: u32,
    /// Where it was written.
    pub at: Pointer,
}

/// A whole in millionths.
const WHOLE: i128 = 1_000_000;

impl Stability {
    /// What an hour of a machine that costs `price` counts for more, in a pool that does not run yet: the least above
    /// `price * s / (1 - s)`. With it a machine must cost less than `1 - s` of one that runs to count for less than that one.
    pub fn surcharge(&self, price: Money) -> Money {
        let saving = i128::from(self.saving_ppm).min(WHOLE - 1);
        let more = i128::from(price.micros()) * saving / (WHOLE - saving) + 1;
        Money::from_micros(more.clamp(0, i128::from(i64::MAX / 1024)) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_pays_once_it_saves_that_part() {
        let stability = Stability { saving_ppm: 100_000, at: Pointer::root() };
        let counts = |usd: f64| {
            let price = Money::from_usd(usd).unwrap();
            price + stability.surcharge(price)
        };
        let runs = Money::from_usd(10.0).unwrap();
        assert!(counts(8.999) < runs);
        assert!(counts(9.0) > runs);
        let dear = Stability { saving_ppm: 999_999, ..stability };
        assert_eq!(dear.surcharge(Money::from_micros(3)), Money::from_micros(2_999_998));
    }
}
