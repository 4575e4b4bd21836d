//! Values that describe a distribution or a rule: lengths, percentiles, arrivals, relaxations.

use serde_json::Value;

use super::leaf::{Read, suggest, wrong_type};
use super::units::{Problem, Range, Unit, quantity};
use super::{Arrivals, Lengths};
use crate::diagnostic::did_you_mean;

/// How requests are spread in time.
///
/// # Errors
/// Another shape.
pub fn arrivals(value: &Value) -> Read<Arrivals> {
    match value {
        Value::String(word) if word == "poisson" => Ok(Arrivals::Poisson),
        Value::String(word) if word == "constant" => Ok(Arrivals::Constant),
        Value::String(word) if word == "bursty" => Err(Problem::new(
            "missing-key",
            "`bursty` needs a measure of burstiness",
            "how bursty?",
            "write `{ bursty: { cv2: 4 } }`: the squared coefficient of variation of the gaps between requests",
        )),
        Value::String(word) => Err(Problem::new(
            "unknown-value",
            format!("`{word}` is not a way of arriving"),
            "unknown value",
            suggest(word, ["poisson", "constant", "bursty"], "values"),
        )),
        Value::Object(map) => {
            let cv2 = map
                .get("bursty")
                .and_then(Value::as_object)
                .filter(|inner| map.len() == 1 && inner.len() == 1 && inner.contains_key("cv2"));
            match cv2.and_then(|inner| inner.get("cv2")) {
                Some(cv2) => {
                    let range = Range { min: 1.0, min_open: true, max: 1000.0, max_open: false };
                    Ok(Arrivals::Bursty { cv2: quantity(Unit::Number, range, cv2)? })
                }
                None => Err(Problem::new(
                    "wrong-type",
                    "expected `poisson`, `constant` or `{ bursty: { cv2: N } }`",
                    "not a way of arriving",
                    "write `{ bursty: { cv2: 4 } }`",
                )),
            }
        }
        other => Err(wrong_type("`poisson`, `constant` or `{ bursty: { cv2: N } }`", other, "poisson")),
    }
}

/// `keep` or `relax 2x`: the factor on every limit.
///
/// # Errors
/// Another text.
pub fn relax(value: &Value) -> Read<f64> {
    let bad = || {
        Problem::new(
            "unknown-value",
            "expected `keep` or `relax` with a factor",
            "not a rule for a failure",
            "write `keep`, or `relax 2x` to allow twice the limits",
        )
    };
    let Value::String(written) = value else {
        return Err(wrong_type("`keep` or `relax 2x`", value, "relax 2x"));
    };
    if written.trim() == "keep" {
        return Ok(1.0);
    }
    let factor =
        written.trim().strip_prefix("relax").and_then(|r| r.trim().strip_suffix('x')).ok_or_else(bad)?;
    let factor: f64 = factor.trim().parse().map_err(|_| bad())?;
    if factor.is_finite() && (1.0..=100.0).contains(&factor) {
        Ok(factor)
    } else {
        Err(Problem::new(
            "out-of-range",
            format!("`{}x` is out of range", factor),
            "must be from 1x to 100x",
            "write a factor from `1x` (keep) to `100x`",
        ))
    }
}

/// Lengths in tokens: a number, `{ mean, cv2 }` or `{ p50, p95 }`, with an optional `max`.
///
/// Two percentiles fix a lognormal distribution: `mu = ln p50`, `sigma = ln(p95/p50) / z95`, mean
/// `exp(mu + sigma^2/2)`, squared coefficient of variation `exp(sigma^2) - 1`. A mean alone is a fixed
/// length; with `cv2` it fixes a lognormal by the same formulas. `max` is the 99.9th percentile unless
/// stated.
///
/// # Errors
/// Another shape, or percentiles that are not in order.
pub fn lengths(zero: bool, value: &Value) -> Read<Lengths> {
    use crate::math::{exp, ln, normal_quantile, sqrt};
    let range = if zero { Range::NOT_NEGATIVE } else { Range::POSITIVE };
    let range = Range { max: 1e8, ..range };
    let fixed = |n: f64| Lengths { mean: n, cv2: 0.0, p95: n, max: n.ceil() };
    let help = "write a number, `{ p50: 600, p95: 2800 }` or `{ mean: 800, cv2: 1.5 }`";
    let Value::Object(map) = value else {
        return match value {
            Value::Number(_) | Value::String(_) => quantity(Unit::Count, range, value).map(fixed),
            other => Err(wrong_type("lengths in tokens", other, "{ p50: 600, p95: 2800 }")),
        };
    };
    const KEYS: [&str; 5] = ["p50", "p95", "mean", "cv2", "max"];
    if let Some(unknown) = map.keys().find(|k| !KEYS.contains(&k.as_str())) {
        return Err(Problem::new(
            "unknown-key",
            format!("unknown key `{unknown}` of lengths"),
            "unknown key",
            did_you_mean(unknown, KEYS).map_or_else(|| help.to_owned(), |k| format!("did you mean `{k}`?")),
        ));
    }
    let tokens = |key: &str| map.get(key).map(|v| quantity(Unit::Count, range, v)).transpose();
    let (p50, p95, mean, max) = (tokens("p50")?, tokens("p95")?, tokens("mean")?, tokens("max")?);
    let cv2 = map
        .get("cv2")
        .map(|v| quantity(Unit::Number, Range { max: 100.0, ..Range::NOT_NEGATIVE }, v))
        .transpose()?;
    let z95 = normal_quantile(0.95);
    let z999 = normal_quantile(0.999);
    let lognormal = |mu: f64, sigma: f64, mean: f64| Lengths {
        mean,
        cv2: exp(sigma * sigma) - 1.0,
        p95: exp(mu + z95 * sigma),
        max: exp(mu + z999 * sigma).ceil(),
    };
    let mut read = match (p50, p95, mean, cv2) {
        (Some(p50), Some(p95), None, None) => {
            if p95 < p50 || p50 <= 0.0 {
                return Err(Problem::new(
                    "percentiles-out-of-order",
                    "the 95th percentile is below the 50th",
                    "p50 must be above 0 and p95 at least p50",
                    "swap the two, or correct one",
                ));
            }
            let sigma = ln(p95 / p50) / z95;
            let mean = exp(ln(p50) + sigma * sigma / 2.0);
            if sigma == 0.0 { fixed(p50) } else { Lengths { p95, ..lognormal(ln(p50), sigma, mean) } }
        }
        (None, None, Some(mean), None) => fixed(mean),
        (None, None, Some(mean), Some(cv2)) if mean > 0.0 && cv2 > 0.0 => {
            let sigma = sqrt(ln(1.0 + cv2));
            Lengths { cv2, ..lognormal(ln(mean) - sigma * sigma / 2.0, sigma, mean) }
        }
        (None, None, Some(mean), Some(_)) => fixed(mean),
        // The lognormal of this mean and tail: the smaller root of `sigma^2 / 2 - z sigma + ln(p95 / mean) = 0`.
        (None, Some(p95), Some(mean), None) => {
            let over = if mean > 0.0 { ln(p95 / mean) } else { f64::NAN };
            if !(over >= 0.0 && over < z95 * z95 / 2.0) {
                return Err(Problem::new(
                    "percentiles-out-of-order",
                    "no lognormal has this mean and this 95th percentile",
                    "p95 must be from 1 to 3.8 times the mean",
                    "correct one of the two, write `p50` with `p95`, or name a trace",
                ));
            }
            let sigma = z95 - sqrt(z95 * z95 - 2.0 * over);
            if sigma == 0.0 {
                fixed(mean)
            } else {
                Lengths { p95, ..lognormal(ln(mean) - sigma * sigma / 2.0, sigma, mean) }
            }
        }
        _ => {
            return Err(Problem::new(
                "incomplete-lengths",
                "these keys do not fix a distribution of lengths",
                "`p50` with `p95`, `mean` with `p95`, or `mean` with or without `cv2`",
                help,
            ));
        }
    };
    if let Some(max) = max {
        if max < read.p95 {
            return Err(Problem::new(
                "percentiles-out-of-order",
                format!("`max` is below the 95th percentile ({:.0})", read.p95),
                "must be at least the 95th percentile",
                "raise `max`, or leave it out: it is the 99.9th percentile then",
            ));
        }
        read.max = max.ceil();
    }
    Ok(read)
}

/// A quantile's name: `p95`, `p99.9`, `mean` (which is `None`).
///
/// # Errors
/// Another name.
pub fn quantile(name: &str) -> Read<Option<f64>> {
    if name == "mean" {
        return Ok(None);
    }
    let digits = name.strip_prefix('p').filter(|d| d.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    match digits.and_then(|d| d.parse::<f64>().ok()).filter(|p| (1.0..=99.99).contains(p)) {
        Some(percent) => Ok(Some(crate::math::round_to(percent / 100.0, 6))),
        None => Err(Problem::new(
            "unknown-key",
            format!("`{name}` is not a percentile"),
            "not a percentile",
            "write `p95`, any of `p1` to `p99.99`, or `mean`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// By hand: `sigma = 1.6449 - sqrt(2.7055 - 2 ln 3) = 0.9319`, so that the median is
    /// `800 exp(-0.4342) = 518` and `518 exp(1.6449 * 0.9319) = 2400`.
    #[test]
    fn a_mean_and_a_tail_make_a_lognormal() {
        let read = lengths(false, &json!({ "mean": 800, "p95": 2400 })).unwrap();
        assert_eq!((read.mean, read.p95), (800.0, 2400.0));
        assert!((read.cv2 - (0.9319_f64 * 0.9319).exp_m1()).abs() < 1e-3, "{read:?}");
        let same = lengths(false, &json!({ "mean": 800, "cv2": read.cv2 })).unwrap();
        assert!((same.p95 - 2400.0).abs() < 1e-6 && same.max == read.max, "{same:?}");
        assert_eq!(lengths(false, &json!({ "mean": 800, "p95": 800 })).unwrap().cv2, 0.0);
        for p95 in [700, 3200] {
            let bad = lengths(false, &json!({ "mean": 800, "p95": p95 })).unwrap_err();
            assert_eq!(bad.code, "percentiles-out-of-order", "{p95}");
        }
    }
}
