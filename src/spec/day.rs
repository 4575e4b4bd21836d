//! `traffic.daily` and `traffic.weekend`: how the load goes through a day, and through a week.

use serde_json::Value;

use super::leaf::{Read, suggest, wrong_type};
use super::model::Service;
use super::units::{Problem, Range, Unit, quantity};
use crate::diagnostic::Pointer;

/// Hours of a day.
pub const HOURS: usize = 24;
/// Hours of a week, the cycle of every profile (decision 11).
pub const WEEK_HOURS: usize = 7 * HOURS;
/// Seconds of a week.
pub const WEEK_S: u32 = 3600 * WEEK_HOURS as u32;
/// The working days, of which a week begins with the first, Monday.
const WORKING_DAYS: usize = 5;
/// The peak, in the unit of [`Daily::shares`].
pub const PEAK: u32 = 1_000_000;
/// Profiles with a name.
pub const NAMES: [&str; 1] = ["office-hours"];

/// A profile of the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daily {
    /// Name of the profile, if it was not written out: then its shares are a convention (assumed).
    pub name: Option<String>,
    /// Load of each hour from midnight on, in millionths of the peak; the greatest, with those of the weekend, is [`PEAK`].
    pub shares: [u32; HOURS],
    /// `weekend`: the same of Saturday and Sunday; `None` = every day is alike.
    pub weekend: Option<[u32; HOURS]>,
    /// IANA name of the time zone.
    pub time_zone: String,
    /// Where it was written.
    pub at: Pointer,
}

impl Daily {
    /// Load of each hour of the week from Monday's midnight on, in millionths of the peak.
    pub fn week(&self) -> [u32; WEEK_HOURS] {
        std::array::from_fn(|hour| {
            let weekend = self.weekend.as_ref().filter(|_| hour / HOURS >= WORKING_DAYS);
            weekend.unwrap_or(&self.shares)[hour % HOURS]
        })
    }

    /// How many times a week repeats what a plan says of it: a plan tells one of seven days that are alike.
    pub fn repeats(&self) -> u32 {
        if self.weekend.is_some() { 1 } else { 7 }
    }

    /// Whether some hour has no load at all.
    pub fn rests(&self) -> bool {
        self.week().contains(&0)
    }
}

/// How the number of replicas follows the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalingMode {
    /// As many as the peak needs, all day.
    Fixed,
    /// As many as each hour of [`super::Traffic::daily`] needs, started in time (decision 11).
    Horizontal,
}

/// How many replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// `mode`.
    pub mode: ScalingMode,
    /// At least this many engine replicas.
    pub min_replicas: u32,
    /// At most this many engine replicas.
    pub max_replicas: Option<u32>,
    /// `scale_to_zero`: in hours without any load there is none.
    pub to_zero: bool,
    /// Where `vertical` or `hybrid` is written: hours of less load may have other machines (decision 32).
    pub changes: Option<Pointer>,
    /// `vertical`: [`Self::max_replicas`] is [`Self::min_replicas`].
    pub vertical: bool,
}

impl Service {
    /// The profile of the day that its pools follow, if they do.
    pub fn follows(&self) -> Option<&Daily> {
        self.traffic.daily.as_ref().filter(|_| self.scaling.mode == ScalingMode::Horizontal)
    }
}

/// Shares of a named profile, in percent.
fn named(name: &str) -> Option<[u32; HOURS]> {
    match name {
        "office-hours" => Some([
            10, 10, 10, 10, 10, 10, 10, 10, 60, 100, 100, 100, 100, 100, 100, 100, 100, 60, 60, 30, 30, 30,
            10, 10,
        ]),
        _ => None,
    }
}

/// A profile's name, if it has one, and the load of each hour in millionths of the peak.
///
/// # Errors
/// Neither a known name nor 24 shares.
pub fn shares(value: &Value) -> Read<(Option<String>, [u32; HOURS])> {
    const EXPECTED: &str = "a named profile or a list of 24 percentages";
    let list = match value {
        Value::String(word) => {
            let of = named(word).ok_or_else(|| {
                Problem::new(
                    "unknown-value",
                    format!("`{word}` is not a profile of the day"),
                    "unknown value",
                    suggest(word, NAMES, "profiles"),
                )
            })?;
            return Ok((Some(word.clone()), of.map(|percent| percent * (PEAK / 100))));
        }
        Value::Array(list) => list,
        other => return Err(wrong_type(EXPECTED, other, "office-hours")),
    };
    if list.len() != HOURS {
        return Err(Problem::new(
            "wrong-length",
            format!("{} hours, a day has {HOURS}", list.len()),
            "one share for each hour from midnight on",
            "write 24 percentages of the peak, or a named profile such as `office-hours`",
        ));
    }
    let mut shares = [0; HOURS];
    for (share, written) in shares.iter_mut().zip(list) {
        let part = quantity(Unit::Percent, Range::SHARE, written)?;
        *share = (part * f64::from(PEAK)).round() as u32;
    }
    Ok((None, shares))
}

/// `weekend`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weekend {
    /// Load of each hour, in millionths of the peak.
    Shares([u32; HOURS]),
    /// This part of the same hour of a working day.
    Part(f64),
}

impl Weekend {
    /// Load of each hour, if that of a working day is such.
    pub fn beside(self, daily: &[u32; HOURS]) -> [u32; HOURS] {
        match self {
            Weekend::Shares(shares) => shares,
            Weekend::Part(part) => daily.map(|share| (part * f64::from(share)).round() as u32),
        }
    }
}

/// Reads `weekend`: a profile, or a percentage.
///
/// # Errors
/// Neither a known name, nor 24 shares, nor a percentage.
pub fn weekend(value: &Value) -> Read<Weekend> {
    match value {
        Value::Array(_) => shares(value).map(|(_, shares)| Weekend::Shares(shares)),
        Value::String(word) if !word.contains('%') => {
            shares(value).map(|(_, shares)| Weekend::Shares(shares))
        }
        other => quantity(Unit::Percent, Range::SHARE, other).map(Weekend::Part),
    }
}

/// That no hour has the peak.
pub fn without_peak() -> Problem {
    Problem::new(
        "out-of-range",
        "no hour has the peak",
        "the greatest share must be 100%",
        "shares are of the peak: write 100% for the busiest hour and scale the others to it",
    )
}

/// The name of a time zone as the database spells it.
///
/// # Errors
/// The database, which is part of the program, does not have it.
pub fn time_zone(value: &Value) -> Read<String> {
    let Value::String(name) = value else {
        return Err(wrong_type("the IANA name of a time zone", value, "Europe/Berlin"));
    };
    let known = jiff::tz::TimeZoneDatabase::bundled();
    let zone = known.get(name).ok();
    let spelled = zone.as_ref().and_then(jiff::tz::TimeZone::iana_name).map(str::to_owned);
    spelled.ok_or_else(|| {
        let all: Vec<String> = known.available().map(|n| n.to_string()).collect();
        Problem::new(
            "unknown-value",
            format!("`{name}` is not a time zone"),
            "unknown time zone",
            suggest(name, all.iter().map(String::as_str), "time zones"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_profile_has_24_shares_of_which_one_is_the_peak() {
        let (name, of) = shares(&json!("office-hours")).expect("known");
        assert_eq!(
            (name.as_deref(), of[0], of[8], of[9], of[16], of[17], of[21], of[22]),
            (Some("office-hours"), 100_000, 600_000, PEAK, PEAK, 600_000, 300_000, 100_000)
        );
        let mut list = vec![json!("25%"); HOURS];
        list[3] = json!("100%");
        list[4] = json!("0%");
        let (name, of) = shares(&json!(list)).expect("24 shares");
        assert_eq!((name, of[2], of[3], of[4]), (None, 250_000, PEAK, 0));
        list.pop();
        assert_eq!(shares(&json!(list)).unwrap_err().code, "wrong-length");
        assert_eq!(shares(&json!("office-hour")).unwrap_err().code, "unknown-value");
        assert_eq!(shares(&json!(3)).unwrap_err().code, "wrong-type");
        list.push(json!(0.5));
        assert!(shares(&json!(list)).is_err(), "a share without its unit");
    }

    #[test]
    fn a_week_has_five_days_and_a_weekend() {
        let mut daily = Daily {
            name: None,
            shares: std::array::from_fn(|hour| 10_000 * hour as u32),
            weekend: None,
            time_zone: "UTC".into(),
            at: Pointer::default(),
        };
        assert_eq!(daily.week().chunks(HOURS).filter(|day| *day == daily.shares).count(), 7);
        assert_eq!((daily.repeats(), daily.rests()), (7, true));
        daily.shares[0] = PEAK;
        let half = weekend(&json!("50%")).expect("a part").beside(&daily.shares);
        assert_eq!((half[0], half[3]), (500_000, 15_000));
        daily.weekend = Some(half);
        let week = daily.week();
        assert_eq!((week[4 * 24 + 23], week[5 * 24], week[6 * 24 + 23]), (230_000, 500_000, 115_000));
        assert_eq!((daily.repeats(), daily.rests()), (1, false));
        let named = weekend(&json!("office-hours")).expect("a name").beside(&daily.shares);
        assert_eq!((named[0], named[9]), (100_000, PEAK));
        assert_eq!(weekend(&json!(vec![json!("0%"); 24])).expect("a list").beside(&named), [0; 24]);
        assert_eq!(weekend(&json!("120%")).unwrap_err().code, "out-of-range");
        assert_eq!(weekend(&json!("quiet")).unwrap_err().code, "unknown-value");
        assert_eq!(weekend(&json!(vec![json!("5%"); 23])).unwrap_err().code, "wrong-length");
        assert!(weekend(&json!(0.2)).is_err(), "a part without its unit");
    }

    #[test]
    fn time_zones_come_from_the_database() {
        assert_eq!(time_zone(&json!("europe/berlin")).expect("known"), "Europe/Berlin");
        assert_eq!(time_zone(&json!("UTC")).expect("known"), "UTC");
        let problem = time_zone(&json!("Europe/Berlim")).unwrap_err();
        assert!(format!("{problem:?}").contains("Europe/Berlin"), "{problem:?}");
    }
}
