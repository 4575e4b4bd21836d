//! Where promises are counted and broken ones are written down.

use std::fmt::Display;

use rhumb_api::Money;

use super::{Finding, Report};

/// Counts promises and collects findings.
#[derive(Debug, Default)]
pub struct Ledger {
    findings: Vec<Finding>,
    promises: u64,
    unpriced: u64,
}

impl Ledger {
    /// A broken promise.
    pub fn finding(
        &mut self,
        code: &'static str,
        address: &str,
        message: impl Into<String>,
        expected: impl Display,
        found: impl Display,
    ) {
        debug_assert!(super::CODES.iter().any(|(known, _)| *known == code), "{code}");
        self.promises += 1;
        self.findings.push(Finding {
            code,
            address: address.to_owned(),
            message: message.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }

    /// A promise: broken unless `holds`. The texts are made only when it is.
    pub fn hold(
        &mut self,
        holds: bool,
        code: &'static str,
        address: &str,
        texts: impl FnOnce() -> (String, String, String),
    ) {
        if holds {
            self.promises += 1;
        } else {
            let (message, expected, found) = texts();
            self.finding(code, address, message, expected, found);
        }
    }

    /// A promise that a value is as derived.
    pub fn same<T: PartialEq + Display + ?Sized>(
        &mut self,
        code: &'static str,
        address: &str,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        self.hold(expected == found, code, address, || {
            (format!("{what} is wrong"), expected.to_string(), found.to_string())
        });
    }

    /// As [`Ledger::same`] for values that have no text of their own.
    pub fn same_debug<T: PartialEq + std::fmt::Debug>(
        &mut self,
        code: &'static str,
        address: &str,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        self.hold(expected == found, code, address, || {
            (format!("{what} is wrong"), format!("{expected:?}"), format!("{found:?}"))
        });
    }

    /// A promise that a figure is as derived, within a share `tolerance` of it (and 1e-6 of its unit,
    /// for figures near zero). A figure that is no number is never as derived.
    pub fn near(
        &mut self,
        code: &'static str,
        address: &str,
        what: &str,
        expected: f64,
        found: f64,
        tolerance: f64,
    ) {
        let close = (expected - found).abs() <= expected.abs() * tolerance + 1e-6;
        self.hold(close, code, address, || (format!("{what} is wrong"), figure(expected), figure(found)));
    }

    /// A promise that an amount is as derived, but for the rounding of `roundings` products to a
    /// micro-dollar each.
    pub fn amount(
        &mut self,
        code: &'static str,
        address: &str,
        what: &str,
        expected: Money,
        found: Money,
        roundings: i64,
    ) {
        let close = (expected - found).micros().saturating_abs() <= roundings;
        self.hold(close, code, address, || (format!("{what} is wrong"), dollars(expected), dollars(found)));
    }

    /// A line of the bill without a price.
    pub fn unpriced(&mut self) {
        self.unpriced += 1;
    }

    /// Takes over what another one counted, and its findings as `tell` tells them.
    pub fn absorb(&mut self, other: Ledger, tell: impl Fn(Finding) -> Option<Finding>) {
        self.promises += other.promises;
        self.findings.extend(other.findings.into_iter().filter_map(tell));
    }

    /// What was checked and found, in a fixed order.
    pub fn report(self) -> Report {
        let mut findings = self.findings;
        findings.sort_by(|a, b| {
            (&a.address, a.code, &a.message, &a.expected, &a.found).cmp(&(
                &b.address,
                b.code,
                &b.message,
                &b.expected,
                &b.found,
            ))
        });
        findings.dedup();
        Report { findings, promises: self.promises, unpriced: self.unpriced }
    }
}

/// An amount with all its digits, so that a difference of a micro-dollar can be seen.
pub fn dollars(amount: Money) -> String {
    let micros = amount.micros();
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    format!("{sign}{}.{:06} USD", magnitude / 1_000_000, magnitude % 1_000_000)
}

/// A figure, as short as it can be read back.
pub fn figure(x: f64) -> String {
    format!("{x}")
}
