//! What time it is in a world, and what the schedule of a fleet says of it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use rhumb_api::{Attr, Attributes, ResourceKind};
use serde::{Deserialize, Serialize};

use crate::thing::{number, text};

/// The days as a schedule names them.
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const DAY_S: u32 = 86_400;

/// A moment of the calendar, in files as RFC 3339 writes it; to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

/// Why a text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no moment such as `2026-01-05T00:00:00Z`")]
pub struct MomentError(String);

impl Moment {
    /// Monday, 5 January 2026, 0:00 UTC: no clock changes for two months after it.
    pub const MONDAY: Moment = Moment(1_767_571_200_000);

    /// From RFC 3339, with any offset.
    ///
    /// # Errors
    /// It is something else, or not within the years -9999 to 9999.
    pub fn parse(text: &str) -> Result<Self, MomentError> {
        let moment: Timestamp = text.parse().map_err(|_| MomentError(text.to_owned()))?;
        Ok(Moment(moment.as_millisecond()))
    }

    /// So many milliseconds later; `None` beyond the calendar.
    fn after(self, ms: u64) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.0.checked_add(i64::try_from(ms).ok()?)?).ok()
    }
}

impl TryFrom<String> for Moment {
    type Error = MomentError;
    fn try_from(text: String) -> Result<Self, MomentError> {
        Moment::parse(&text)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        Timestamp::from_millisecond(moment.0).map(|at| at.to_string()).unwrap_or_default()
    }
}

/// How many machines there are from a time of some days on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    at_s: u32,
    count: u32,
    /// Of each day from Monday on, whether it is one of them.
    days: [bool; 7],
}

/// When a fleet has how many machines.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    zone: TimeZone,
    entries: Vec<Entry>,
}

/// What a schedule says at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Machines.
    pub count: u32,
    /// Virtual time of the next entry, milliseconds; `None` beyond the calendar.
    pub next_ms: Option<u64>,
}

impl Schedule {
    /// The schedule among the attributes of a thing of a kind; `None` if it has none, or one without entries.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn of(kind: ResourceKind, attributes: &Attributes) -> Result<Option<Self>, String> {
        if !matches!(kind, ResourceKind::Fleet | ResourceKind::EdgeUnit) {
            return Ok(None);
        }
        let Some(schedule) = attributes.get("schedule") else { return Ok(None) };
        let Attr::List(listed) = schedule else { return Err("`schedule` is a list".to_owned()) };
        let bounds = ["min_count", "count", "max_count"].map(|name| number(attributes, name));
        let [Some(least), Some(planned), Some(most)] = bounds else {
            return Err("`schedule` needs the numbers `min_count`, `count` and `max_count`".to_owned());
        };
        if !(least..=most).contains(&planned) {
            return Err(format!("`count` {planned} is not within {least} and {most}"));
        }
        let name = text(attributes, "time_zone").ok_or("`schedule` needs a `time_zone`")?;
        let zone = TimeZoneDatabase::bundled().get(name);
        let zone = zone.map_err(|_| format!("`time_zone`: there is no `{name}`"))?;
        let mut entries = Vec::new();
        for entry in listed {
            let entry = entry_of(entry)?;
            if !(least..=most).contains(&entry.count) {
                return Err(format!("`schedule`: {} is not within {least} and {most}", entry.count));
            }
            entries.push(entry);
        }
        entries.sort_by_key(|entry| entry.at_s);
        for (i, entry) in entries.iter().enumerate() {
            let same = entries[i + 1..].iter().take_while(|other| other.at_s == entry.at_s);
            if same.into_iter().any(|other| (0..7).any(|day| entry.days[day] && other.days[day])) {
                return Err(format!("`schedule` says two counts at {} s of a day", entry.at_s));
            }
        }
        Ok((!entries.is_empty()).then_some(Schedule { zone, entries }))
    }

    /// What it says `now_ms` after the world's beginning; `None` beyond the calendar.
    pub fn at(&self, begins: Moment, now_ms: u64) -> Option<Said> {
        let now = begins.after(now_ms)?;
        let today = self.zone.to_datetime(now).date();
        // What comes on one day alone comes once in a week, and a clock change may move it past the same time of the next.
        let near = self.around(today, 1);
        let switches = match split(&near, now) {
            (Some(_), Some(_)) => near,
            _ => self.around(today, 8),
        };
        let (last, next) = split(&switches, now);
        let next_ms = next.and_then(|next| {
            let ahead = next.as_millisecond().checked_sub(now.as_millisecond())?;
            now_ms.checked_add(u64::try_from(ahead).ok()?)
        });
        Some(Said { count: last?.1, next_ms })
    }

    /// Its entries from so many days before a date until so many after it, each when it takes effect, ascending.
    fn around(&self, date: Date, days: i64) -> Vec<(Timestamp, u32)> {
        let mut all = Vec::new();
        for day in -days..=days {
            let Ok(date) = date.checked_add(jiff::Span::new().days(day)) else { continue };
            let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
            for entry in self.entries.iter().filter(|entry| entry.days[weekday]) {
                let part = |unit: u32, of: u32| i8::try_from(entry.at_s / unit % of).unwrap_or(0);
                let local = date.at(part(3_600, 24), part(60, 60), part(1, 60), 0);
                if let Ok(at) = self.zone.to_ambiguous_timestamp(local).compatible() {
                    all.push((at, entry.count));
                }
            }
        }
        // What a clock change leaves out comes as if the clock had gone on, and never after what follows it.
        for i in (1..all.len()).rev() {
            all[i - 1].0 = all[i - 1].0.min(all[i].0);
        }
        all
    }
}

/// The last that took effect by now, and when the first after it does.
fn split(switches: &[(Timestamp, u32)], now: Timestamp) -> (Option<(Timestamp, u32)>, Option<Timestamp>) {
    let passed = switches.partition_point(|(at, _)| *at <= now);
    let last = passed.checked_sub(1).and_then(|last| switches.get(last)).copied();
    (last, switches.get(passed).map(|(at, _)| *at))
}

fn entry_of(entry: &Attr) -> Result<Entry, String> {
    let Attr::Map(entry) = entry else { return Err("`schedule` is a list of maps".to_owned()) };
    if let Some(name) = entry.keys().find(|name| !["at_s", "count", "days"].contains(name)) {
        return Err(format!("`schedule` has no `{name}`"));
    }
    let at_s = number(entry, "at_s").filter(|at_s| *at_s < DAY_S);
    let at_s = at_s.ok_or("`at_s` of a `schedule` are seconds of a day")?;
    let count = number(entry, "count").ok_or("`count` of a `schedule` is a number of machines")?;
    let mut days = [!entry.contains_key("days"); 7];
    match entry.get("days") {
        None => {}
        Some(Attr::List(named)) if !named.is_empty() => {
            for name in named {
                let known = DAYS.iter().position(|day| *name == Attr::from(*day));
                days[known.ok_or("`days` of a `schedule` are `monday` to `sunday`")?] = true;
            }
        }
        Some(_) => return Err("`days` of a `schedule` is a list of days".to_owned()),
    }
    Ok(Entry { at_s, count, days })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a day, machines, and days.
    type Stated<'a> = (u32, i64, &'a [&'a str]);

    fn schedule(zone: &str, entries: &[Stated<'_>]) -> Result<Option<Schedule>, String> {
        let entry = |(at_s, count, days): &Stated<'_>| {
            let mut entry = Attributes::default();
            entry.insert("at_s", Attr::Int(i64::from(*at_s)));
            entry.insert("count", Attr::Int(*count));
            if !days.is_empty() {
                entry.insert("days", Attr::List(days.iter().map(|day| Attr::from(*day)).collect()));
            }
            Attr::Map(entry)
        };
        let mut attributes = Attributes::default();
        attributes.insert("schedule", Attr::List(entries.iter().map(entry).collect()));
        attributes.insert("time_zone", zone.into());
        for (name, n) in [("min_count", 0), ("count", 9), ("max_count", 9)] {
            attributes.insert(name, Attr::Int(n));
        }
        Schedule::of(ResourceKind::Fleet, &attributes)
    }

    const HOUR_MS: u64 = 3_600_000;

    /// What holds at each hour after a moment.
    fn hours(schedule: &Schedule, from: &str, hours: u64) -> Vec<u32> {
        let begins = Moment::parse(from).unwrap();
        (0..hours).map(|hour| schedule.at(begins, hour * HOUR_MS).unwrap().count).collect()
    }

    #[test]
    fn moments_are_written_as_they_are_read() {
        assert_eq!(String::from(Moment::MONDAY), "2026-01-05T00:00:00Z");
        assert_eq!(Moment::parse("2026-01-05T01:00:00+01:00"), Ok(Moment::MONDAY));
        for bad in ["", "2026-01-05", "2026-01-05T00:00:00", "monday"] {
            assert!(Moment::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Moment::MONDAY.after(u64::MAX), None);
    }

    #[test]
    fn an_entry_holds_until_the_next_one_by_its_own_clock() {
        let berlin = schedule("Europe/Berlin", &[(2 * 3_600, 3, &[]), (4 * 3_600, 5, &[])]).unwrap().unwrap();
        assert_eq!(hours(&berlin, "2026-01-05T00:00:00Z", 5), [5, 3, 3, 5, 5]);
        let said = berlin.at(Moment::MONDAY, 0).unwrap();
        assert_eq!(said.next_ms, Some(HOUR_MS));
        // Once a week: what holds before Monday's entry is that of a week ago.
        let weekly = schedule("UTC", &[(3_600, 2, &["monday"])]).unwrap().unwrap();
        assert_eq!(weekly.at(Moment::MONDAY, 0), Some(Said { count: 2, next_ms: Some(HOUR_MS) }));
        let next_ms = Some((7 * 24 + 1) * HOUR_MS);
        assert_eq!(weekly.at(Moment::MONDAY, HOUR_MS), Some(Said { count: 2, next_ms }));
        assert_eq!(weekly.at(Moment::MONDAY, u64::MAX), None);
    }

    /// In Berlin the hour from 2 is left out on 29 March 2026, and comes twice on 25 October.
    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_moves_an_entry_once() {
        let entries: [Stated<'_>; 3] = [(3_600, 1, &[]), (2 * 3_600 + 1_800, 2, &[]), (3 * 3_600, 3, &[])];
        let berlin = schedule("Europe/Berlin", &entries).unwrap().unwrap();
        // 0:00, 1:00, 3:00, 4:00 by the clock there.
        assert_eq!(hours(&berlin, "2026-03-28T23:00:00Z", 4), [3, 1, 3, 3]);
        // 0:00, 1:00, 2:00, 2:00 again, 3:00.
        assert_eq!(hours(&berlin, "2026-10-24T22:00:00Z", 5), [3, 1, 1, 2, 3]);
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        let cases: [(&str, &[Stated<'_>], &str); 5] = [
            ("Europe/Berlim", &[(0, 1, &[])], "there is no `Europe/Berlim`"),
            ("UTC", &[(86_400, 1, &[])], "seconds of a day"),
            ("UTC", &[(0, 10, &[])], "10 is not within 0 and 9"),
            ("UTC", &[(0, 1, &["Montag"])], "`monday` to `sunday`"),
            ("UTC", &[(0, 1, &[]), (0, 2, &["sunday"])], "two counts at 0 s"),
        ];
        for (zone, entries, words) in cases {
            let why = schedule(zone, entries).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        assert!(schedule("UTC", &[]).unwrap().is_none());
        assert!(schedule("UTC", &[(0, 1, &["monday"]), (0, 2, &["sunday"])]).unwrap().is_some());
    }
}
