//! Cron schedules: five fields, UTC.

use serde_json::Value;

use super::Schedule;
use super::leaf::Read;
use super::units::{Problem, describe};

/// Days of the months of four years, one of them a leap year: 1461.
const CYCLE_DAYS: u32 = 1461;
/// Seven of them, 28 years, hold every combination of date and weekday of the Julian calendar.
const CYCLES: u32 = 7;

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, names: &[] },
    Field { name: "hour", min: 0, max: 23, names: &[] },
    Field { name: "day of the month", min: 1, max: 31, names: &[] },
    Field {
        name: "month",
        min: 1,
        max: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field {
        name: "day of the week",
        min: 0,
        max: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Reads a schedule and counts its runs.
///
/// Fields may be `*`, numbers, names, ranges, lists and steps. As in every cron, when both day fields
/// are restricted, either will do. Runs a month are the runs of 28 years, in which every combination
/// of date and weekday occurs, spread over months of 730 hours.
///
/// # Errors
/// Not five fields, or a field that is out of range.
pub fn parse(value: &Value) -> Read<Schedule> {
    let Value::String(text) = value else {
        return Err(Problem::new(
            "wrong-type",
            format!("expected a schedule, found {}", describe(value)),
            "expected five cron fields",
            "write five fields in quotes, for example `\"0 1 * * *\"`: every night at 01:00 UTC",
        ));
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        let help = match text.trim() {
            "@hourly" => "write `0 * * * *`".to_owned(),
            "@daily" | "@midnight" => "write `0 0 * * *`".to_owned(),
            "@weekly" => "write `0 0 * * 0`".to_owned(),
            "@monthly" => "write `0 0 1 * *`".to_owned(),
            "@yearly" | "@annually" => "write `0 0 1 1 *`".to_owned(),
            _ => "write minute, hour, day of the month, month, day of the week, for example `0 1 * * *`"
                .to_owned(),
        };
        return Err(Problem::new(
            "bad-schedule",
            format!("`{text}` is not a schedule of five fields"),
            format!("{} field{}", fields.len(), if fields.len() == 1 { "" } else { "s" }),
            help,
        ));
    }
    let mut sets = [0u64; 5];
    for ((set, field), written) in sets.iter_mut().zip(&FIELDS).zip(&fields) {
        *set = read_field(field, written)?;
    }
    // 7 is Sunday as well.
    if sets[4] & (1 << 7) != 0 {
        sets[4] |= 1;
    }
    let runs_per_day = f64::from(sets[0].count_ones()) * f64::from(sets[1].count_ones());
    let restricted = |i: usize| !fields[i].starts_with('*');
    let days = matching_days(&sets, restricted(2), restricted(4));
    if days == 0 {
        return Err(Problem::new(
            "bad-schedule",
            format!("`{text}` never runs"),
            "no such day",
            "choose a day that the month has",
        ));
    }
    let hours = f64::from(CYCLE_DAYS * CYCLES) * 24.0;
    let runs_per_month = f64::from(days) * runs_per_day / hours * rhumb_api::HOURS_PER_MONTH as f64;
    Ok(Schedule { cron: fields.join(" "), runs_per_month })
}

/// Days of 28 years on which a schedule runs.
fn matching_days(sets: &[u64; 5], day_restricted: bool, weekday_restricted: bool) -> u32 {
    let mut weekday = 4; // 1 January 1970 was a Thursday; any start gives the same sum over 28 years.
    let mut days = 0;
    for year in 0..4 * CYCLES {
        let february = if year % 4 == 2 { 29 } else { 28 };
        for (month, length) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate()
        {
            for day in 1..=length {
                let on_date = sets[2] & (1 << day) != 0;
                let on_weekday = sets[4] & (1 << weekday) != 0;
                let on_day = match (day_restricted, weekday_restricted) {
                    (true, true) => on_date || on_weekday,
                    _ => on_date && on_weekday,
                };
                if on_day && sets[3] & (1 << (month + 1)) != 0 {
                    days += 1;
                }
                weekday = (weekday + 1) % 7;
            }
        }
    }
    days
}

fn read_field(field: &Field, written: &str) -> Read<u64> {
    let bad = |part: &str, why: &str| {
        Problem::new(
            "bad-schedule",
            format!("`{part}` is not a {} of a schedule", field.name),
            format!("{}: {why}", field.name),
            format!(
                "write `*`, numbers from {} to {}, ranges `1-5`, lists `1,15` or steps `*/10`",
                field.min, field.max
            ),
        )
    };
    let number = |text: &str| -> Option<u32> {
        let lower = text.to_lowercase();
        if let Some(i) = field.names.iter().position(|n| *n == lower) {
            return Some(i as u32 + field.min);
        }
        if text.len() > 2 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().filter(|n| (field.min..=field.max).contains(n))
    };
    let mut set = 0u64;
    for part in written.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step: u32 = step
                    .parse()
                    .ok()
                    .filter(|s| *s > 0)
                    .ok_or_else(|| bad(part, "a step is a number from 1"))?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let (from, to) = if range == "*" {
            (field.min, field.max.min(if field.max == 7 { 6 } else { field.max }))
        } else if let Some((from, to)) = range.split_once('-') {
            match (number(from), number(to)) {
                (Some(from), Some(to)) if from <= to => (from, to),
                _ => return Err(bad(part, "not a range")),
            }
        } else {
            let from = number(range).ok_or_else(|| bad(part, "out of range"))?;
            (from, if step.is_some() { field.max } else { from })
        };
        let mut at = from;
        while at <= to {
            set |= 1 << at;
            at = at.saturating_add(step.unwrap_or(1));
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn runs(text: &str) -> f64 {
        parse(&json!(text)).unwrap().runs_per_month
    }

    #[test]
    fn runs_are_counted_over_months_of_730_hours() {
        let day = 730.0 / 24.0;
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(runs("0 1 * * *"), day);
        near(runs("*/10 * * * *"), 730.0 * 6.0);
        near(runs("0 9-17 * * *"), 9.0 * day);
        near(runs("0 1 * * mon-fri"), 5.0 * day / 7.0);
        near(runs("0 1 * * 0"), day / 7.0);
        near(runs("0 1 * * 7"), day / 7.0);
        near(runs("15,45 0 * * *"), 2.0 * day);
        near(runs("0 0 1 * *"), 12.0 * 4.0 / 1461.0 * day);
        near(runs("0 0 29 feb *"), 1.0 / 1461.0 * day);
        // Either day field will do when both are restricted.
        let either = runs("0 0 1 * mon");
        assert!(either > runs("0 0 * * mon") && either < runs("0 0 * * mon") + runs("0 0 1 * *"));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "0 0 31 2 *",
            "a * * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "@daily",
        ] {
            assert_eq!(parse(&json!(text)).unwrap_err().code, "bad-schedule", "{text}");
        }
    }
}
