//! Quantities with their units in the text: `500ms`, `12 req/s`, `60%`, `45000 USD/month`, `40M`.

use rhumb_api::Money;
use serde_json::Value;

/// GiB of a GB.
const GB: f64 = 1e9 / 1_073_741_824.0;

/// What a quantity measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A time; read as milliseconds.
    Duration,
    /// Requests per time; read as requests per second.
    Rate,
    /// A share in per cent; read as a fraction.
    Percent,
    /// US dollars a month of 730 hours; read as dollars.
    Monthly,
    /// Tokens, items or requests, written as a number or with `k`, `M`, `G`.
    Count,
    /// Data; read as GiB.
    Data,
    /// Data a second; read as GiB.
    DataRate,
    /// Events per time; read as events per second.
    Events,
    /// What one of many things takes; read as bytes.
    Size,
    /// CO2e a month of 730 hours; read as tonnes.
    Emissions,
    /// US dollars for a tonne of CO2e; read as dollars.
    PerTonne,
    /// US dollars an hour; read as dollars.
    Hourly,
    /// Power; read as watts.
    Power,
    /// CO2e of electricity; read as grams for a kWh.
    Intensity,
    /// Data over time; read as Mbit/s.
    Bandwidth,
    /// A plain number.
    Number,
}

impl Unit {
    /// Every spelling of a unit with its factor to the unit that is read, the preferred one first.
    pub const fn spellings(self) -> &'static [(&'static str, f64)] {
        match self {
            Unit::Duration => &[
                ("ms", 1.0),
                ("s", 1e3),
                ("min", 60e3),
                ("m", 60e3),
                ("h", 3_600e3),
                ("d", 86_400e3),
                ("us", 1e-3),
            ],
            Unit::Rate => &[("req/s", 1.0), ("req/min", 1.0 / 60.0), ("req/h", 1.0 / 3600.0)],
            Unit::Percent => &[("%", 0.01)],
            Unit::Monthly => &[("USD", 1.0), ("USD/month", 1.0)],
            Unit::Count => &[("", 1.0), ("k", 1e3), ("K", 1e3), ("M", 1e6), ("G", 1e9), ("B", 1e9)],
            Unit::Data => &[
                ("GiB", 1.0),
                ("TiB", 1024.0),
                ("MiB", 1.0 / 1024.0),
                ("GB", GB),
                ("TB", 1e3 * GB),
                ("MB", 1e-3 * GB),
            ],
            Unit::DataRate => &[
                ("GiB/s", 1.0),
                ("MiB/s", 1.0 / 1024.0),
                ("GB/s", GB),
                ("MB/s", 1e-3 * GB),
                ("KB/s", 1e-6 * GB),
            ],
            Unit::Events => &[("events/s", 1.0), ("events/min", 1.0 / 60.0), ("events/h", 1.0 / 3600.0)],
            Unit::Size => &[("B", 1.0), ("KB", 1e3), ("KiB", 1024.0), ("MB", 1e6), ("MiB", 1_048_576.0)],
            Unit::Emissions => &[("t/month", 1.0), ("kg/month", 1e-3), ("t", 1.0), ("kg", 1e-3)],
            Unit::PerTonne => &[("USD/t", 1.0)],
            Unit::Hourly => &[("USD/h", 1.0)],
            Unit::Power => &[("W", 1.0), ("kW", 1e3)],
            Unit::Intensity => &[("gCO2e/kWh", 1.0)],
            Unit::Bandwidth => &[("Mbps", 1.0), ("Gbps", 1e3), ("kbps", 1e-3)],
            Unit::Number => &[("", 1.0)],
        }
    }

    /// An example, as a person would write it.
    pub const fn example(self) -> &'static str {
        match self {
            Unit::Duration => "500ms",
            Unit::Rate => "12 req/s",
            Unit::Percent => "60%",
            Unit::Monthly => "45000 USD",
            Unit::Count => "40M",
            Unit::Data => "400GB",
            Unit::DataRate => "6MB/s",
            Unit::Events => "9500 events/s",
            Unit::Size => "1200 B",
            Unit::Emissions => "12 t/month",
            Unit::PerTonne => "90 USD/t",
            Unit::Hourly => "0.9 USD/h",
            Unit::Power => "4200 W",
            Unit::Intensity => "380 gCO2e/kWh",
            Unit::Bandwidth => "100Mbps",
            Unit::Number => "4",
        }
    }

    /// Whether a space stands before its unit.
    const fn is_spaced(self) -> bool {
        matches!(
            self,
            Unit::Rate
                | Unit::Events
                | Unit::Size
                | Unit::Monthly
                | Unit::Emissions
                | Unit::PerTonne
                | Unit::Hourly
                | Unit::Power
                | Unit::Intensity
        )
    }

    /// What it is, for messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Unit::Duration => "a duration",
            Unit::Rate => "a request rate",
            Unit::Percent => "a percentage",
            Unit::Monthly => "a monthly amount in US dollars",
            Unit::Count => "a count",
            Unit::Data => "an amount of data",
            Unit::DataRate => "an amount of data a second",
            Unit::Events => "a rate of events",
            Unit::Size => "a size",
            Unit::Emissions => "a monthly amount of CO2e",
            Unit::PerTonne => "a price of a tonne of CO2e",
            Unit::Hourly => "an hourly price in US dollars",
            Unit::Power => "a power",
            Unit::Intensity => "an amount of CO2e for a kWh",
            Unit::Bandwidth => "a bandwidth",
            Unit::Number => "a number",
        }
    }

    /// The spellings, for messages.
    pub fn list(self) -> String {
        let names: Vec<_> = self.spellings().iter().map(|s| s.0).filter(|s| !s.is_empty()).collect();
        names.join(", ")
    }

    /// The shortest text that reads back as `value`, in the first spelling that leaves a number of at
    /// least 1, or the preferred one.
    pub fn format(self, value: f64) -> String {
        let space = if self.is_spaced() { " " } else { "" };
        match self {
            Unit::Duration => {
                for (name, factor) in [("h", 3_600e3), ("s", 1e3)] {
                    let scaled = value / factor;
                    if scaled >= 1.0 && scaled.fract() == 0.0 {
                        return format!("{scaled}{name}");
                    }
                }
                format!("{value}ms")
            }
            Unit::Percent => format!("{}%", crate::math::round_to(value * 100.0, 9)),
            _ => format!("{value}{space}{}", self.spellings()[0].0),
        }
    }
}

/// The values that are allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub min: f64,
    /// Whether the smallest itself is not allowed.
    pub min_open: bool,
    /// Largest.
    pub max: f64,
    /// Whether the largest itself is not allowed.
    pub max_open: bool,
}

impl Range {
    /// More than 0.
    pub const POSITIVE: Range = Range { min: 0.0, min_open: true, max: 1e15, max_open: false };
    /// 0 or more.
    pub const NOT_NEGATIVE: Range = Range { min: 0.0, min_open: false, max: 1e15, max_open: false };
    /// From 0 to 1.
    pub const SHARE: Range = Range { min: 0.0, min_open: false, max: 1.0, max_open: false };
    /// More than 0, at most 1.
    pub const POSITIVE_SHARE: Range = Range { min: 0.0, min_open: true, max: 1.0, max_open: false };
    /// From 0 to below 1.
    pub const PART: Range = Range { min: 0.0, min_open: false, max: 1.0, max_open: true };
    /// Between 0 and 1, neither included.
    pub const OPEN: Range = Range { min: 0.0, min_open: true, max: 1.0, max_open: true };

    /// Whether `x` is allowed.
    pub fn contains(self, x: f64) -> bool {
        let above = if self.min_open { x > self.min } else { x >= self.min };
        let below = if self.max_open { x < self.max } else { x <= self.max };
        above && below
    }

    /// Whether the upper end only keeps numbers within what can be counted with.
    fn is_unlimited(self) -> bool {
        self.max >= 1e15
    }

    /// For messages: `more than 0% and at most 100%`.
    pub fn describe(self, unit: Unit) -> String {
        let low = if self.min_open { "more than" } else { "at least" };
        let high = if self.max_open { "less than" } else { "at most" };
        let text = |x: f64| if x == 0.0 && unit != Unit::Percent { "0".to_owned() } else { unit.format(x) };
        if self.is_unlimited() {
            format!("{low} {}", text(self.min))
        } else {
            format!("{low} {} and {high} {}", text(self.min), text(self.max))
        }
    }
}

/// Why a value is not the quantity that is wanted, with the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// A few words at the caret.
    pub label: String,
    /// What to do.
    pub help: String,
}

impl Problem {
    /// A problem.
    pub fn new(
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Problem { code, message: message.into(), label: label.into(), help: help.into() }
    }
}

/// What a JSON value is, for messages.
pub fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Splits `12 req/s` into its number and its unit; `None` if it does not start with a number.
fn split(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut end = 0;
    if matches!(bytes.first(), Some(b'+' | b'-')) {
        end = 1;
    }
    let digits = end;
    while matches!(bytes.get(end), Some(b'0'..=b'9' | b'.' | b'_')) {
        end += 1;
    }
    if !bytes[digits..end].iter().any(u8::is_ascii_digit) {
        return None;
    }
    // An exponent only if digits follow: `2e3`, but `2 each` has none.
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let mut tail = end + 1;
        if matches!(bytes.get(tail), Some(b'+' | b'-')) {
            tail += 1;
        }
        let first = tail;
        while matches!(bytes.get(tail), Some(b'0'..=b'9')) {
            tail += 1;
        }
        if tail > first {
            end = tail;
        }
    }
    Some((&text[..end], text[end..].trim()))
}

fn number(text: &str) -> Option<f64> {
    text.replace('_', "").parse().ok()
}

/// Reads a quantity in the unit that [`Unit`] documents.
///
/// # Errors
/// Another type, no unit, a wrong unit, not finite, out of range: each with the fix.
pub fn quantity(unit: Unit, range: Range, value: &Value) -> Result<f64, Problem> {
    let (written, amount) = match value {
        Value::Number(n) => {
            let plain = n.as_f64().unwrap_or(f64::NAN);
            if !matches!(unit, Unit::Count | Unit::Number) {
                let suggestion = unit.spellings()[0].0;
                let fixed = match unit {
                    Unit::Percent if plain > 0.0 && plain <= 1.0 => unit.format(plain),
                    _ if unit.is_spaced() => format!("{n} {suggestion}"),
                    Unit::Duration => format!("{n}ms` or `{n}s"),
                    _ => format!("{n}{suggestion}"),
                };
                return Err(Problem::new(
                    "missing-unit",
                    format!("`{n}` has no unit"),
                    "which unit?",
                    format!("write `{fixed}`; units of {}: {}", unit.noun(), unit.list()),
                ));
            }
            (n.to_string(), plain)
        }
        Value::String(text) => (text.clone(), parse_text(unit, text)?),
        other => return Err(wrong_type(unit, other)),
    };
    if !amount.is_finite() {
        return Err(Problem::new(
            "not-finite",
            format!("`{written}` is not a finite number"),
            "not finite",
            format!("write {}, for example `{}`", unit.noun(), unit.example()),
        ));
    }
    if amount > range.max && range.is_unlimited() {
        let most = unit.format(range.max);
        return Err(Problem::new(
            "out-of-range",
            format!("`{written}` is out of range"),
            format!("must be at most {most}"),
            format!("write {}, for example `{}`", unit.noun(), unit.example()),
        ));
    }
    if !range.contains(amount) {
        return Err(Problem::new(
            "out-of-range",
            format!("`{written}` is out of range"),
            format!("must be {}", range.describe(unit)),
            format!("write a value that is {}", range.describe(unit)),
        ));
    }
    Ok(amount)
}

fn wrong_type(unit: Unit, value: &Value) -> Problem {
    Problem::new(
        "wrong-type",
        format!("expected {}, found {}", unit.noun(), describe(value)),
        format!("expected {}", unit.noun()),
        format!("write {}, for example `{}`", unit.noun(), unit.example()),
    )
}

fn parse_text(unit: Unit, text: &str) -> Result<f64, Problem> {
    let trimmed = text.trim();
    let Some((digits, suffix)) = split(trimmed) else {
        let lower = trimmed.trim_start_matches(['+', '-', '.']).to_lowercase();
        if matches!(lower.as_str(), "nan" | "inf" | "infinity") {
            return Ok(f64::NAN);
        }
        return Err(Problem::new(
            "not-a-quantity",
            format!("`{text}` is not {}", unit.noun()),
            format!("expected {}", unit.noun()),
            format!("write {}, for example `{}`", unit.noun(), unit.example()),
        ));
    };
    let amount = number(digits).ok_or_else(|| {
        Problem::new(
            "not-a-quantity",
            format!("`{digits}` is not a number"),
            "not a number",
            format!("write {}, for example `{}`", unit.noun(), unit.example()),
        )
    })?;
    if let Some((_, factor)) = unit.spellings().iter().find(|s| s.0 == suffix) {
        return Ok(match unit {
            // Read as a decimal, so that 99.4% is 0.994 and not the nearest neighbour of 99.4 / 100.
            Unit::Percent => number(&format!("{digits}e-2")).unwrap_or(amount / 100.0),
            Unit::Rate | Unit::Events if *factor < 1.0 => amount / (1.0 / factor).round(),
            _ => amount * factor,
        });
    }
    let best = unit.spellings()[0].0;
    let space = if unit.is_spaced() { " " } else { "" };
    if suffix.is_empty() {
        return Err(Problem::new(
            "missing-unit",
            format!("`{text}` has no unit"),
            "which unit?",
            format!("write `{digits}{space}{best}`; units of {}: {}", unit.noun(), unit.list()),
        ));
    }
    let nearest = match suffix.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "msec" | "millis" | "milliseconds" | "millisecond" => Some("ms"),
        "minute" | "minutes" | "mins" => Some("min"),
        "hour" | "hours" | "hr" | "hrs" => Some("h"),
        "day" | "days" => Some("d"),
        "rps" | "qps" | "/s" | "requests/s" | "req/sec" | "requests/second" => Some("req/s"),
        "rpm" | "/min" | "requests/min" | "requests/minute" => Some("req/min"),
        "percent" | "pct" => Some("%"),
        "$" | "dollars" | "usd" => Some("USD"),
        "$/month" | "usd/month" | "usd/mo" => Some("USD/month"),
        "tonnes" | "tons" | "t/mo" | "tco2" | "tco2e" => Some("t/month"),
        "$/t" | "usd/tonne" | "usd/ton" | "usd/tco2e" => Some("USD/t"),
        "usd/hour" | "usd/hr" | "$/h" | "$/hour" => Some("USD/h"),
        "watt" | "watts" => Some("W"),
        "g/kwh" | "gco2/kwh" => Some("gCO2e/kWh"),
        "mbit/s" | "mb/s" => Some("Mbps"),
        "gbit/s" | "gb/s" => Some("Gbps"),
        other => unit.spellings().iter().map(|s| s.0).find(|s| !s.is_empty() && s.to_lowercase() == other),
    }
    .filter(|n| unit.spellings().iter().any(|s| s.0 == *n));
    let units = unit.list();
    let help = match (nearest, units.is_empty()) {
        (None, _) if unit == Unit::Count => format!("write `{digits}`, or with a factor: {units}"),
        (Some(n), _) => format!("write `{digits}{space}{n}`; units of {}: {units}", unit.noun()),
        (None, false) => format!("units of {}: {units}; for example `{}`", unit.noun(), unit.example()),
        (None, true) => format!("write a plain number, for example `{}`", unit.example()),
    };
    Err(Problem::new(
        "wrong-unit",
        format!("`{suffix}` is not a unit of {}", unit.noun()),
        format!("expected {}", unit.noun()),
        help,
    ))
}

/// Reads a monthly amount exactly.
///
/// # Errors
/// As [`quantity`].
pub fn money(value: &Value) -> Result<Money, Problem> {
    dollars(Unit::Monthly, Range::POSITIVE, value)
}

/// Reads an hourly price exactly; nothing may be said to cost nothing.
///
/// # Errors
/// As [`quantity`].
pub fn hourly(value: &Value) -> Result<Money, Problem> {
    dollars(Unit::Hourly, Range { max: 1e6, ..Range::NOT_NEGATIVE }, value)
}

fn dollars(unit: Unit, range: Range, value: &Value) -> Result<Money, Problem> {
    let dollars = quantity(unit, range, value)?;
    let exact = value.as_str().and_then(|t| split(t.trim())).map(|(digits, _)| digits.replace('_', ""));
    let parsed = exact.and_then(|digits| Money::parse_usd(digits.trim_start_matches('+')).ok());
    parsed.map_or_else(
        || {
            Money::from_usd(dollars).map_err(|_| {
                Problem::new(
                    "out-of-range",
                    format!("`{dollars}` dollars are out of range"),
                    "too large",
                    "write an amount below 9.2e12 USD",
                )
            })
        },
        Ok,
    )
}

/// Hours, or what is shorter in its own unit: a deadline of seconds is not told as one of 0.00 h.
pub fn hours(h: f64) -> String {
    let seconds = h * 3600.0;
    let rounded = if seconds >= 10.0 { seconds.round() * 1e3 } else { (seconds * 1e3).round() };
    if h < 0.1 { Unit::Duration.format(rounded) } else { format!("{h:.2} h") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(unit: Unit, text: &str) -> Result<f64, Problem> {
        quantity(unit, Range::NOT_NEGATIVE, &json!(text))
    }

    #[test]
    fn units_are_read() {
        assert_eq!(read(Unit::Duration, "500ms"), Ok(500.0));
        assert_eq!(read(Unit::Duration, "1.5 s"), Ok(1500.0));
        assert_eq!(read(Unit::Duration, "6h"), Ok(21_600_000.0));
        assert_eq!(read(Unit::Rate, "12 req/s"), Ok(12.0));
        assert_eq!(read(Unit::Rate, "90req/min"), Ok(1.5));
        assert_eq!(read(Unit::Percent, "99.4%"), Ok(0.994));
        assert_eq!(read(Unit::Count, "40M"), Ok(40e6));
        assert_eq!(read(Unit::Data, "2TiB"), Ok(2048.0));
        assert_eq!(read(Unit::Data, "1073741824GB"), Ok(1e9));
        assert_eq!(read(Unit::DataRate, "1024MiB/s"), Ok(1.0));
        assert_eq!(read(Unit::DataRate, "1073741824GB/s"), Ok(1e9));
        assert_eq!(read(Unit::Events, "570000 events/min"), Ok(9500.0));
        assert_eq!(read(Unit::Size, "1.2KB"), Ok(1200.0));
        assert_eq!(read(Unit::Size, "1 KiB"), Ok(1024.0));
        assert_eq!(read(Unit::Count, "1_000"), Ok(1000.0));
        assert_eq!(read(Unit::Emissions, "750 kg/month"), Ok(0.75));
        assert_eq!(read(Unit::Emissions, "12 t"), Ok(12.0));
        assert_eq!(read(Unit::PerTonne, "90 USD/t"), Ok(90.0));
        assert_eq!(quantity(Unit::Count, Range::POSITIVE, &json!(350)), Ok(350.0));
        assert_eq!(money(&json!("45000.50 USD/month")), Ok(Money::from_micros(45_000_500_000)));
    }

    #[test]
    fn wrong_units_name_the_fix() {
        let problem = read(Unit::Duration, "5 sec").unwrap_err();
        assert_eq!(problem.code, "wrong-unit");
        assert!(problem.help.starts_with("write `5s`"), "{}", problem.help);
        let problem = quantity(Unit::Duration, Range::POSITIVE, &json!(500)).unwrap_err();
        assert_eq!(problem.code, "missing-unit");
        assert!(problem.help.starts_with("write `500ms` or `500s`"), "{}", problem.help);
        let problem = quantity(Unit::Percent, Range::SHARE, &json!(0.6)).unwrap_err();
        assert!(problem.help.starts_with("write `60%`"), "{}", problem.help);
        assert_eq!(read(Unit::Rate, "-1 req/s").unwrap_err().code, "out-of-range");
        assert_eq!(
            [2.5, 0.1, 0.05, 10.0 / 3600.0, 0.5 / 3600.0].map(hours),
            ["2.50 h", "0.10 h", "180s", "10s", "500ms"]
        );
        let problem = read(Unit::Rate, "1e30 req/s").unwrap_err();
        assert_eq!(
            (problem.code, &*problem.label),
            ("out-of-range", "must be at most 1000000000000000 req/s")
        );
        assert_eq!(read(Unit::Rate, "NaN").unwrap_err().code, "not-finite");
        assert_eq!(read(Unit::Rate, "1e999 req/s").unwrap_err().code, "not-finite");
        assert_eq!(read(Unit::Duration, "soon").unwrap_err().code, "not-a-quantity");
        assert_eq!(read(Unit::Duration, "1.2.3s").unwrap_err().code, "not-a-quantity");
        assert_eq!(read(Unit::Duration, "10 €").unwrap_err().code, "wrong-unit");
    }

    proptest! {
        #[test]
        fn what_is_formatted_reads_back(
            x in 0.001f64..1e9,
            unit in prop::sample::select(vec![
                Unit::Duration, Unit::Rate, Unit::Percent, Unit::Monthly, Unit::Count, Unit::Data, Unit::DataRate, Unit::Number,
                Unit::Emissions, Unit::PerTonne, Unit::Hourly, Unit::Power, Unit::Intensity, Unit::Bandwidth, Unit::Events, Unit::Size,
            ]),
        ) {
            let text = unit.format(x);
            let back = quantity(unit, Range::NOT_NEGATIVE, &json!(text));
            prop_assert!(back.as_ref().is_ok_and(|b| (b - x).abs() <= 1e-9 * x.max(1.0)), "{text} {back:?}");
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            for unit in [Unit::Duration, Unit::Rate, Unit::Percent, Unit::Monthly, Unit::Count, Unit::Data, Unit::DataRate, Unit::Events, Unit::Size] {
                let _ = quantity(unit, Range::POSITIVE, &json!(text));
            }
        }
    }
}
