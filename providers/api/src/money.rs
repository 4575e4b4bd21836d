//! Money as an integer number of micro-dollars.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

use serde::{Deserialize, Serialize};

/// Hours in a billing month, by convention of the three clouds' own calculators.
pub const HOURS_PER_MONTH: i64 = 730;

/// An amount of US dollars, in micro-dollars (1e-6 USD).
///
/// Integers make sums independent of their order, so that a plan is byte-identical on every
/// machine. The range is about plus or minus 9.2 million million dollars; arithmetic saturates at
/// its ends, which are far outside any bill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Money(i64);

/// Why a text or a number is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("`{0}` is not a decimal number")]
    NotANumber(String),
    /// More than about 9.2e12 dollars.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
}

impl Money {
    /// No money at all. Never use it for an unknown price: that is `None`.
    pub const ZERO: Money = Money(0);
    /// The largest amount.
    pub const MAX: Money = Money(i64::MAX);

    /// From micro-dollars.
    pub const fn from_micros(micros: i64) -> Self {
        Money(micros)
    }

    /// In micro-dollars.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// From a finite number of dollars, rounded half away from zero to a micro-dollar.
    ///
    /// # Errors
    /// The amount is not finite or out of range.
    pub fn from_usd(usd: f64) -> Result<Self, MoneyError> {
        let micros = (usd * 1e6).round();
        if !micros.is_finite() || micros.abs() >= 9.2e18 {
            return Err(MoneyError::OutOfRange(usd.to_string()));
        }
        Ok(Money(micros as i64))
    }

    /// From a decimal text such as `12.29`, exactly; digits beyond a micro-dollar are rounded half up.
    ///
    /// # Errors
    /// The text is not a decimal number or is out of range.
    pub fn parse_usd(text: &str) -> Result<Self, MoneyError> {
        let bad = || MoneyError::NotANumber(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(bad());
        }
        let mut micros: i64 = 0;
        let mut push = |digit: u8| -> Result<(), MoneyError> {
            micros = micros
                .checked_mul(10)
                .and_then(|m| m.checked_add(i64::from(digit - b'0')))
                .ok_or_else(|| MoneyError::OutOfRange(text.to_owned()))?;
            Ok(())
        };
        for digit in whole.bytes() {
            push(digit)?;
        }
        for place in 0..6 {
            push(fraction.as_bytes().get(place).copied().unwrap_or(b'0'))?;
        }
        if fraction.as_bytes().get(6).is_some_and(|d| *d >= b'5') {
            micros = micros.checked_add(1).ok_or_else(|| MoneyError::OutOfRange(text.to_owned()))?;
        }
        Ok(Money(if negative { -micros } else { micros }))
    }

    /// In dollars, for display and for ratios only; never add the results up.
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `self` times a whole number, saturating.
    pub const fn times(self, n: i64) -> Self {
        Money(self.0.saturating_mul(n))
    }

    /// `self` times a finite factor, rounded half away from zero to a micro-dollar, saturating.
    pub fn scale(self, factor: f64) -> Self {
        Money((self.0 as f64 * factor).round() as i64)
    }

    /// An hourly amount as a monthly one (730 hours).
    pub const fn per_month(self) -> Self {
        self.times(HOURS_PER_MONTH)
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(self.0.saturating_neg())
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(iter: I) -> Money {
        iter.fold(Money::ZERO, Add::add)
    }
}

/// Dollars with thousands separators and two decimals, or four below one cent: `1,234.50`, `0.0012`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let places: u32 = if magnitude != 0 && magnitude < 10_000 { 4 } else { 2 };
        let unit = 10_u64.pow(6 - places);
        let rounded = (magnitude + unit / 2) / unit;
        let scale = 10_u64.pow(places);
        let whole = (rounded / scale).to_string();
        let mut grouped = String::new();
        for (i, c) in whole.chars().enumerate() {
            if i > 0 && (whole.len() - i).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(c);
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}{grouped}.{:0width$}", rounded % scale, width = places as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly() {
        assert_eq!(Money::parse_usd("55.04").unwrap().micros(), 55_040_000);
        assert_eq!(Money::parse_usd("0.0000015").unwrap().micros(), 2);
        assert_eq!(Money::parse_usd("-3").unwrap().micros(), -3_000_000);
        assert_eq!(Money::parse_usd(".5").unwrap().micros(), 500_000);
        for bad in ["", ".", "-", "1e3", "NaN", "1.2.3", "1,000"] {
            assert!(Money::parse_usd(bad).is_err(), "{bad}");
        }
        assert!(Money::parse_usd("99999999999999999").is_err());
    }

    #[test]
    fn display_groups_thousands_and_keeps_small_amounts_visible() {
        assert_eq!(Money::from_micros(1_234_567_890_000).to_string(), "1,234,567.89");
        assert_eq!(Money::from_micros(1_200).to_string(), "0.0012");
        assert_eq!(Money::from_micros(-999_995_000).to_string(), "-1,000.00");
        assert_eq!(Money::ZERO.to_string(), "0.00");
    }

    #[test]
    fn sums_saturate() {
        assert_eq!(Money::MAX + Money::from_micros(1), Money::MAX);
        assert_eq!(Money::from_micros(10).per_month().micros(), 7_300);
    }
}
