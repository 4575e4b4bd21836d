//! `traffic.seasons`: days of the year with another peak, and which of them a plan is of (decision 26).

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::Value;

use super::Spec;
use super::leaf::{Read, wrong_type};
use super::units::{Problem, Range, Unit, quantity};
use crate::diagnostic::Pointer;

/// The usual peak, in the unit of [`Season::times`].
pub const USUAL: u32 = 1_000_000;
/// Days before a season by which its machines run, unless stated.
pub const LEAD_DAYS: u32 = 3;
/// The most.
pub const MOST_LEAD_DAYS: u32 = 90;
/// How many times the usual peak there may be in a season, in the unit of [`Season::times`].
const TIMES: (u32, u32) = (USUAL / 100, 100 * USUAL);

/// A first or last day of a season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeasonDay {
    /// `11-20`: month and day of every year. `02-29` may stand in any: what begins then begins on 1 March of other years.
    EachYear(i8, i8),
    /// `2026-11-20`: once.
    Once(Date),
}

/// `seasons.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Season {
    /// Name in the spec.
    pub name: String,
    /// `from`, its first day.
    pub from: SeasonDay,
    /// `to`, its last day; of the same kind as `from`.
    pub to: SeasonDay,
    /// `peak`: that of the season, in millionths of the usual one; 10,000 to 100,000,000.
    pub times: u32,
    /// `lead`: days before its first day from which plans are its own, 0 to [`MOST_LEAD_DAYS`].
    pub lead: u32,
    /// Where it was written.
    pub at: Pointer,
}

impl Season {
    /// Whether a day is in it.
    pub fn has(&self, day: Date) -> bool {
        match (self.from, self.to) {
            (SeasonDay::Once(from), SeasonDay::Once(to)) => from <= day && day <= to,
            (SeasonDay::EachYear(m, d), SeasonDay::EachYear(to_m, to_d)) => {
                let (from, to, at) = ((m, d), (to_m, to_d), (day.month(), day.day()));
                if from <= to { from <= at && at <= to } else { at >= from || at <= to }
            }
            _ => false,
        }
    }

    /// Whether the plan of a day must do for it: the day is in it, or so near before it.
    pub fn counts(&self, day: Date) -> bool {
        (0..=i64::from(self.lead)).any(|n| after(day, n).is_some_and(|day| self.has(day)))
    }
}

/// So many days later; `None` past the end of the calendar.
pub fn after(day: Date, days: i64) -> Option<Date> {
    day.checked_add(days.days()).ok()
}

/// What the plan of a day is for: which season, if any, and its peak in millionths of the usual one. It is the greatest of the
/// peaks of that day and of those that begin within their leads.
pub fn of_day(seasons: &[Season], day: Date) -> (Option<&Season>, u32) {
    let own = seasons.iter().find(|season| season.has(day));
    let mut found = (own, own.map_or(USUAL, |season| season.times));
    // Of equal ones the first: they are in the order of their names.
    for season in seasons {
        if season.times > found.1 && season.counts(day) {
            found = (Some(season), season.times);
        }
    }
    found
}

impl Spec {
    /// The seasons of each service that has some, by its address, in the order of their names.
    pub fn seasons(&self) -> BTreeMap<String, &[Season]> {
        let services = self.services.values().map(|s| (&s.name, &s.traffic.seasons));
        let profiled = self.profiled.values().map(|p| (&p.name, &p.seasons));
        let some = services.chain(profiled).filter(|(_, seasons)| !seasons.is_empty());
        some.map(|(name, seasons)| (format!("services.{name}"), seasons.as_slice())).collect()
    }

    /// Makes the loads of services those that the plan of a day is for. A text that is no day changes nothing.
    pub fn on_day(&mut self, day: &str) {
        let Ok(day) = day.parse::<Date>() else { return };
        for service in self.services.values_mut().filter(|s| !s.traffic.seasons.is_empty()) {
            let (_, times) = of_day(&service.traffic.seasons, day);
            service.traffic.load = service.traffic.usual.scaled(f64::from(times) / f64::from(USUAL));
        }
        for profiled in self.profiled.values_mut().filter(|p| !p.seasons.is_empty()) {
            let (_, times) = of_day(&profiled.seasons, day);
            let exact = u128::from(profiled.usual) * u128::from(times);
            profiled.peak = u64::try_from(exact.div_ceil(u128::from(USUAL))).unwrap_or(u64::MAX);
        }
    }
}

/// Days in a row on which plans are for the same peaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: Date,
    /// How many.
    pub days: u32,
    /// What the plans of the first day are for, by the address of each service that has seasons: see [`of_day`].
    pub peaks: BTreeMap<String, SpanPeak>,
}

/// What the plan of a day is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanPeak {
    /// The season whose peak it is; `None` = the usual one.
    pub season: Option<String>,
    /// Millionths of the usual one.
    pub times: u32,
    /// The season's lead, days; 0 without one.
    pub lead: u32,
}

impl Spec {
    /// The year that begins with a day, up to the same day of the next one, by what its plans are for. Empty if no service has
    /// seasons, or where the calendar ends.
    pub fn year(&self, first: Date) -> Vec<Span> {
        let all = self.seasons();
        let Ok(next) = first.checked_add(1.year()) else { return Vec::new() };
        let days = first.until(next).map_or(0, |span| span.get_days());
        // Services that take them from `defaults` have the same ones.
        let mut kinds: Vec<&[Season]> = Vec::new();
        let mut of: Vec<(&String, usize)> = Vec::new();
        let same = |a: &[Season], b: &[Season]| {
            let key = |s: &Season| (s.name.clone(), s.from, s.to, s.times, s.lead);
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| key(a) == key(b))
        };
        for (address, seasons) in &all {
            let known = kinds.iter().position(|kind| same(kind, seasons));
            of.push((address, known.unwrap_or(kinds.len())));
            if known.is_none() {
                kinds.push(seasons);
            }
        }
        let mut spans: Vec<Span> = Vec::new();
        let mut times: Vec<u32> = Vec::new();
        if all.is_empty() {
            return spans;
        }
        for day in (0..i64::from(days)).filter_map(|n| after(first, n)) {
            let found: Vec<_> = kinds.iter().map(|seasons| of_day(seasons, day)).collect();
            let now: Vec<u32> = found.iter().map(|(_, times)| *times).collect();
            match spans.last_mut().filter(|_| now == times) {
                Some(span) => span.days += 1,
                None => {
                    let peak = |kind: usize| SpanPeak {
                        season: found[kind].0.map(|season| season.name.clone()),
                        times: found[kind].1,
                        lead: found[kind].0.map_or(0, |season| season.lead),
                    };
                    let peaks = of.iter().map(|(address, kind)| ((*address).clone(), peak(*kind))).collect();
                    spans.push(Span { from: day, days: 1, peaks });
                    times = now;
                }
            }
        }
        spans
    }
}

/// A first or last day.
///
/// # Errors
/// No day of a year.
pub fn day(value: &Value) -> Read<SeasonDay> {
    let Value::String(written) = value else { return Err(wrong_type("a day of the year", value, "11-20")) };
    // `parse` also knows times and zones, which would be lost here.
    let dated = |text: &str| text.parse::<Date>().ok().filter(|day| day.to_string() == text);
    if let Some(day) = dated(written) {
        return Ok(SeasonDay::Once(day));
    }
    // A leap year, which has them all.
    dated(&format!("2024-{written}")).map(|day| SeasonDay::EachYear(day.month(), day.day())).ok_or_else(
        || {
            Problem::new(
                "bad-date",
                format!("`{written}` is not a day of the year"),
                "not a day of the year",
                "write month and day, `11-20`, or with the year `2026-11-20` for once",
            )
        },
    )
}

/// `peak`: a factor on the usual one, `4x`, or a percentage of it; in millionths.
///
/// # Errors
/// Neither, or out of range.
pub fn peak(value: &Value) -> Read<u32> {
    let written = match value {
        Value::String(text) => text.trim(),
        other => return Err(wrong_type("a factor on the usual peak", other, "4x")),
    };
    let times = if let Some(number) = written.strip_suffix('x') {
        number.trim_end().parse::<f64>().ok().filter(|n| n.is_finite()).ok_or_else(|| {
            Problem::new(
                "wrong-type",
                format!("`{written}` is not a factor"),
                "not a factor",
                "write how many times the usual peak there is, `4x`, or a part of it, `25%`",
            )
        })?
    } else if written.ends_with('%') {
        quantity(Unit::Percent, Range { max: 1e9, ..Range::NOT_NEGATIVE }, value)?
    } else {
        return Err(Problem::new(
            "missing-unit",
            format!("`{written}` is not a factor on the usual peak"),
            "times what, or a part of what?",
            "write how many times the usual peak there is, `4x`, or a part of it, `25%`",
        ));
    };
    let (least, most) = TIMES;
    let millionths = (times * f64::from(USUAL)).round();
    if millionths < f64::from(least) || millionths > f64::from(most) {
        return Err(Problem::new(
            "out-of-range",
            format!("`{written}` is out of range"),
            "must be from 0.01x to 100x",
            "write how many times the usual peak there is, `4x`, or a part of it, `25%`",
        ));
    }
    Ok(millionths as u32)
}

/// `lead`: whole days.
///
/// # Errors
/// No duration, or not of whole days within the range.
pub fn lead(value: &Value) -> Read<u32> {
    let days = quantity(Unit::Duration, Range::NOT_NEGATIVE, value)? / 86_400e3;
    if days.fract() == 0.0 && days <= f64::from(MOST_LEAD_DAYS) {
        return Ok(days as u32);
    }
    Err(Problem::new(
        "out-of-range",
        format!("a lead is of whole days, at most {MOST_LEAD_DAYS}"),
        "not so many whole days",
        "write how long before the season its machines run: `3d`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn date(text: &str) -> Date {
        text.parse().expect("a day")
    }

    fn season(name: &str, from: &str, to: &str, times: u32, lead: u32) -> Season {
        let read = |text: &str| day(&json!(text)).expect("a day");
        Season { name: name.into(), from: read(from), to: read(to), times, lead, at: Pointer::default() }
    }

    #[test]
    fn a_season_may_wrap_the_year_and_have_the_day_that_most_years_lack() {
        let winter = season("winter", "12-20", "01-06", 2 * USUAL, 0);
        for (day, is) in
            [("2026-12-19", false), ("2026-12-20", true), ("2027-01-06", true), ("2027-01-07", false)]
        {
            assert_eq!(winter.has(date(day)), is, "{day}");
        }
        let leap = season("leap", "02-20", "02-29", 2 * USUAL, 0);
        for (day, is) in [("2027-02-28", true), ("2027-03-01", false), ("2028-02-29", true)] {
            assert_eq!(leap.has(date(day)), is, "{day}");
        }
        let march = season("march", "02-29", "03-02", 2 * USUAL, 0);
        assert!(march.has(date("2027-03-01")) && !march.has(date("2027-02-28")));
        let once = season("once", "2026-12-30", "2027-01-02", 2 * USUAL, 0);
        assert!(once.has(date("2027-01-02")) && !once.has(date("2027-12-31")));
    }

    /// A lead prepares for more; for less there is nothing to prepare.
    #[test]
    fn the_plan_of_a_day_is_for_the_greatest_peak_within_the_leads() {
        let all = [
            season("advent", "11-20", "12-27", 4 * USUAL, 3),
            season("quiet", "12-28", "01-10", USUAL / 2, 5),
            season("sales", "01-11", "01-20", 2 * USUAL, 2),
        ];
        let at = |day: &str| {
            let (season, times) = of_day(&all, date(day));
            (season.map(|s| s.name.as_str()), times)
        };
        for (day, is) in [
            ("2026-11-16", (None, USUAL)),
            ("2026-11-17", (Some("advent"), 4 * USUAL)),
            ("2026-12-27", (Some("advent"), 4 * USUAL)),
            ("2026-12-28", (Some("quiet"), USUAL / 2)),
            ("2027-01-08", (Some("quiet"), USUAL / 2)),
            ("2027-01-09", (Some("sales"), 2 * USUAL)),
            ("2027-01-20", (Some("sales"), 2 * USUAL)),
            ("2027-01-21", (None, USUAL)),
        ] {
            assert_eq!(at(day), is, "{day}");
        }
    }

    #[test]
    fn values_have_their_units() {
        assert_eq!((peak(&json!("4x")), peak(&json!("2.5 x"))), (Ok(4 * USUAL), Ok(2_500_000)));
        assert_eq!((peak(&json!("25%")), peak(&json!("400%"))), (Ok(250_000), Ok(4 * USUAL)));
        for (wrong, code) in
            [("4", "missing-unit"), ("fourx", "wrong-type"), ("0x", "out-of-range"), ("101x", "out-of-range")]
        {
            assert_eq!(peak(&json!(wrong)).unwrap_err().code, code, "{wrong}");
        }
        assert!(peak(&json!(4)).is_err());
        assert_eq!((lead(&json!("2d")), lead(&json!("48h")), lead(&json!("0d"))), (Ok(2), Ok(2), Ok(0)));
        for wrong in [json!("36h"), json!("91d"), json!(3), json!("-1d")] {
            assert!(lead(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(day(&json!("02-29")), Ok(SeasonDay::EachYear(2, 29)));
        for wrong in
            [json!("13-01"), json!("02-30"), json!("2027-02-29"), json!("1-5"), json!(11), json!("11-20T00")]
        {
            assert!(day(&wrong).is_err(), "{wrong}");
        }
    }
}
