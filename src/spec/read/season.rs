//! `traffic.seasons`.

use jiff::civil::Date;

use super::*;
use crate::spec::season::{self, LEAD_DAYS, Season, SeasonDay};

/// A year of 366 days and one of 365, in which whatever recurs shows.
const YEARS: [i16; 2] = [2027, 2028];

/// Most days of a season.
const MOST_DAYS: i64 = 366;

impl Reader<'_> {
    /// `traffic.seasons`, in the order of their names.
    pub(super) fn seasons(&mut self, at: &At<'_>) -> Vec<Season> {
        let mut found: Vec<Season> = Vec::new();
        for (name, at) in at.entries() {
            let Some(season) = self.one_season(name, &at) else { continue };
            if let Some(other) = found.iter().find(|other| overlap(&season, other)) {
                let first = self.map.span(&other.at, true);
                let problem = Diagnostic::error(
                    "conflicting-keys",
                    format!("the seasons `{name}` and `{}` have days in common", other.name),
                );
                let mut problem = problem.at_key(self.map, &at.pointer).label("whose peak counts?").help(
                    "end one before the other begins; the days of `from` and `to` are part of a season",
                );
                problem.related.extend(first.map(|span| (span, "the other one".to_owned())));
                self.problems.push(problem);
            }
            found.push(season);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        self.useless_seasons(at, &found);
        found
    }

    fn one_season(&mut self, name: &str, at: &At<'_>) -> Option<Season> {
        let to = at.key("to");
        let found = Season {
            name: name.to_owned(),
            from: at.key("from").get(season::day)?,
            to: to.get(season::day)?,
            times: at.key("peak").get(season::peak)?,
            lead: at.key("lead").get(season::lead).unwrap_or(LEAD_DAYS),
            at: at.pointer.clone(),
        };
        let wrong = match (found.from, found.to) {
            (SeasonDay::EachYear(..), SeasonDay::EachYear(..)) => None,
            (SeasonDay::Once(from), SeasonDay::Once(to)) if to < from => Some((
                "it ends before it begins",
                "before its first day",
                "write the first day as `from`, the last one as `to`",
            )),
            (SeasonDay::Once(from), SeasonDay::Once(to)) => {
                season::after(from, MOST_DAYS).filter(|end| to < *end).is_none().then_some((
                    "it is longer than a year",
                    "more than a year later",
                    "write the days of one season; what lasts is another `peak`",
                ))
            }
            _ => Some((
                "one of its days has a year, the other one has none",
                "of every year, or once?",
                "write both with the year, `2026-11-20`, or both without, `11-20`",
            )),
        };
        let Some((why, label, help)) = wrong else { return Some(found) };
        let what = format!("`{}`: {why}", at.pointer.dotted());
        self.report(&to.pointer, false, Problem::new("out-of-range", what, label, help));
        None
    }

    /// Seasons and leads without which every plan would be the same.
    fn useless_seasons(&mut self, at: &At<'_>, all: &[Season]) {
        let years = years(all);
        for (i, season) in all.iter().enumerate() {
            let at = at.key(&season.name);
            let lead = at.key("lead");
            let mut without = all.to_vec();
            without.remove(i);
            let mut sudden = all.to_vec();
            sudden[i].lead = 0;
            let (key, what, help) = if alike(all, &without, &years) {
                let help = "write another `peak`, or remove it";
                (
                    &at,
                    format!("the season `{}` has the peak that there would be without it", season.name),
                    help,
                )
            } else if lead.is_there() && season.lead > 0 && alike(all, &sudden, &years) {
                let help = "a lead prepares for a greater peak than that of the days before: remove it";
                (&lead, format!("nothing is prepared for the season `{}`", season.name), help)
            } else {
                continue;
            };
            if !self.is_copied(&key.pointer) {
                let problem = Diagnostic::warning("useless-key", what).at_key(self.map, &key.pointer);
                self.problems.push(problem.label("changes nothing here").help(help));
            }
        }
    }
}

/// Whether two seasons have a day in common.
fn overlap(a: &Season, b: &Season) -> bool {
    let both = |day: Date| a.has(day) && b.has(day);
    let once = [a, b].into_iter().find_map(|season| match season.from {
        SeasonDay::Once(from) => Some(from),
        SeasonDay::EachYear(..) => None,
    });
    match once {
        Some(from) => (0..MOST_DAYS).filter_map(|n| season::after(from, n)).any(both),
        None => days_of(&YEARS).any(both),
    }
}

/// The years in which seasons may show what they do: one leap year and one that is none, and those of what comes once.
fn years(all: &[Season]) -> Vec<i16> {
    let dated = all.iter().flat_map(|season| [season.from, season.to]).filter_map(|day| match day {
        SeasonDay::Once(day) => Some(day.year()),
        SeasonDay::EachYear(..) => None,
    });
    // A lead may begin in the year before.
    let mut years: Vec<i16> = dated.flat_map(|year| [year - 1, year]).chain(YEARS).collect();
    years.sort_unstable();
    years.dedup();
    years
}

fn days_of(years: &[i16]) -> impl Iterator<Item = Date> {
    let starts = years.iter().filter_map(|year| Date::new(*year, 1, 1).ok());
    starts.flat_map(|first| (0..i64::from(first.days_in_year())).filter_map(move |n| season::after(first, n)))
}

/// Whether all plans of those years have the same peak.
fn alike(a: &[Season], b: &[Season], years: &[i16]) -> bool {
    days_of(years).all(|day| season::of_day(a, day).1 == season::of_day(b, day).1)
}
