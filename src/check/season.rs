//! Seasons: what the day of a plan asks for, and what it says of the year that begins with it (decision 26).
//!
//! Days are counted here, by the rules of the calendar; the spec's own way to tell of a day what it is in is not used. What the
//! seasons to come cost is taken from the plan: nothing of their placements is in it. That the days, sums and refusals are told as
//! they are is derived again.

use std::collections::{BTreeMap, BTreeSet};

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::Ledger;
use super::ledger::dollars;
use crate::plan::{Outlook, Plan, Year};
use crate::spec::{Load, Season, SeasonDay, Spec};

/// The usual peak in the unit of a season's.
const WHOLE: u32 = 1_000_000;

/// Year, month, day.
type Civil = (i64, i64, i64);

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_long(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the first of the first year to a day; a month may have fewer days than it is asked for: then it is the next one's first.
fn number((year, month, day): Civil) -> i64 {
    let before: i64 = (1..month).map(|m| month_long(year, m)).sum();
    let years = year - 1;
    years * 365 + years / 4 - years / 100 + years / 400 + before + day
}

fn civil(text: &str) -> Option<Civil> {
    let parts: Vec<i64> = text.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = parts.as_slice() else { return None };
    let is = (1..=12).contains(month) && (1..=month_long(*year, *month)).contains(day);
    is.then_some((*year, *month, *day))
}

fn text(mut n: i64, near: i64) -> String {
    let mut year = near;
    while n < number((year, 1, 1)) {
        year -= 1;
    }
    while n >= number((year + 1, 1, 1)) {
        year += 1;
    }
    n -= number((year, 1, 1));
    let mut month = 1;
    while n >= month_long(year, month) {
        n -= month_long(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", n + 1)
}

/// First and last days of a season, as far as they may matter in a year and the next.
fn spans(season: &Season, year: i64) -> Vec<(i64, i64)> {
    let of = |day: SeasonDay, year: i64| match day {
        SeasonDay::Once(date) => (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())),
        SeasonDay::EachYear(month, day) => (year, i64::from(month), i64::from(day)),
    };
    if let SeasonDay::Once(_) = season.from {
        return vec![(number(of(season.from, year)), number(of(season.to, year)))];
    }
    (year - 1..=year + 2)
        .map(|year| {
            let (from, to) = (of(season.from, year), of(season.to, year));
            let to = if (from.1, from.2) <= (to.1, to.2) { to } else { (year + 1, to.1, to.2) };
            // A last day that the year lacks is the last that it has.
            let last = number((to.0, to.1, to.2.min(month_long(to.0, to.1))));
            (number(from), last)
        })
        .collect()
}

/// What the plan of a day is for: season, its peak, its lead.
type Peak = (Option<String>, u32, u32);

fn peak(seasons: &[Season], n: i64, year: i64) -> Peak {
    let mut own: Peak = (None, WHOLE, 0);
    let mut ahead: BTreeSet<(std::cmp::Reverse<u32>, &str, u32)> = BTreeSet::new();
    for season in seasons {
        for (first, last) in spans(season, year) {
            if first <= n && n <= last {
                own = (Some(season.name.clone()), season.times, season.lead);
            } else if first > n && first - i64::from(season.lead) <= n {
                ahead.insert((std::cmp::Reverse(season.times), &season.name, season.lead));
            }
        }
    }
    match ahead.first() {
        Some((std::cmp::Reverse(times), name, lead)) if *times > own.1 => {
            (Some((*name).to_owned()), *times, *lead)
        }
        _ => own,
    }
}

/// All seasons, by the address of the service.
fn all(spec: &Spec) -> BTreeMap<String, &Vec<Season>> {
    let mut all = BTreeMap::new();
    for (name, service) in &spec.services {
        all.insert(format!("services.{name}"), &service.traffic.seasons);
    }
    for (name, profiled) in &spec.profiled {
        all.insert(format!("services.{name}"), &profiled.seasons);
    }
    all.retain(|_, seasons| !seasons.is_empty());
    all
}

/// A spec with the loads that a plan of a time (RFC 3339) is for, whatever loads it came with.
pub fn of_time(spec: &Spec, created: &str) -> Spec {
    let mut spec = spec.clone();
    let Some(day) = created.get(..10).and_then(civil) else { return spec };
    let n = number(day);
    for service in spec.services.values_mut() {
        if service.traffic.seasons.is_empty() {
            continue;
        }
        let (_, times, _) = peak(&service.traffic.seasons, n, day.0);
        let part = f64::from(times) / 1e6;
        service.traffic.load = match service.traffic.usual {
            Load::Rate(usual) => Load::Rate(usual * part),
            Load::Concurrency(usual) => Load::Concurrency(usual * part),
        };
    }
    for profiled in spec.profiled.values_mut() {
        if profiled.seasons.is_empty() {
            continue;
        }
        let (_, times, _) = peak(&profiled.seasons, n, day.0);
        let exact = u128::from(profiled.usual) * u128::from(times);
        let whole = u128::from(WHOLE);
        profiled.peak = (exact / whole + u128::from(exact % whole > 0)).min(u128::from(u64::MAX)) as u64;
    }
    spec
}

/// Dollars of days at so much a month, rounded half up.
fn of_days(parts: &[(u32, Money)]) -> Money {
    let mut hours: i128 = 0;
    for (days, month) in parts {
        hours += i128::from(month.micros()) * i128::from(*days) * 24;
    }
    let month = i128::from(HOURS_PER_MONTH);
    let (whole, rest) = (hours.div_euclid(month), hours.rem_euclid(month));
    Money::from_micros((whole + i128::from(2 * rest >= month)) as i64)
}

/// `spec` has the loads of the plan's day.
pub(super) fn check(log: &mut Ledger, spec: &Spec, plan: &Plan) {
    let all = all(spec);
    let Some(year) = plan.year.as_ref().filter(|_| !all.is_empty()) else {
        let (asked, told) = (!all.is_empty(), plan.year.is_some());
        log.same("season", "plan", "whether the coming year is told", &asked, &told);
        return;
    };
    let Some(today) = plan.created.get(..10).and_then(civil) else {
        log.finding("season", "plan", "the day of the plan is none", "a day", &plan.created);
        return;
    };
    days(log, &all, today, year);
    sums(log, spec, plan, year);
    let mut seen: Vec<(Vec<u32>, &Outlook)> = Vec::new();
    for (i, period) in year.periods.iter().enumerate() {
        let (at, told) = (period.from.as_str(), &period.outlook);
        let ways = [told.cost.is_some(), !told.refused.is_empty(), told.ended.is_some()];
        log.hold(ways.iter().filter(|way| **way).count() == 1, "season", at, || {
            let expected = "a cost, a refusal or an end of the search";
            ("what became of it is not told once".into(), expected.into(), format!("{ways:?}"))
        });
        let why = told.refused.join("; ");
        log.hold(why.is_empty() || plan.warnings.iter().any(|w| w.contains(&why)), "season", at, || {
            ("it was refused and the plan does not warn of it".into(), "a warning".into(), "none".into())
        });
        // What is held may end between two periods that are otherwise alike.
        let key: Vec<u32> = period.peaks.values().map(|peak| peak.times).collect();
        let committed = !spec.held.is_empty() || !spec.savings.is_empty();
        let same = seen.iter().find(|(known, _)| *known == key);
        if let Some((_, other)) = same.filter(|_| !committed) {
            let money = |o: &Outlook| o.cost.as_ref().map(|cost| dollars(cost.expected));
            log.same_debug("season", at, "the cost of the same peaks", &money(other), &money(told));
        }
        seen.push((key, told));
        if i > 0 {
            continue;
        }
        let figures = told.cost.as_ref().map(|c| [c.expected, c.peak, c.ceiling].map(dollars));
        let costs = || plan.placement.workloads.values().map(|w| &w.cost);
        let sums: [Money; 3] = [
            costs().map(|c| c.expected_per_month).sum(),
            costs().map(|c| c.peak_per_month).sum(),
            costs().map(|c| c.ceiling_per_month).sum(),
        ];
        log.same_debug("season", at, "what the plan itself costs", &Some(sums.map(dollars)), &figures);
    }
}

/// Days and peaks.
fn days(log: &mut Ledger, all: &BTreeMap<String, &Vec<Season>>, today: Civil, year: &Year) {
    let (first, same) =
        (number(today), (today.0 + 1, today.1, today.2.min(month_long(today.0 + 1, today.1))));
    let next = number(same);
    let mut derived: Vec<(i64, Vec<Peak>)> = Vec::new();
    for n in first..next {
        // The year by which recurring seasons are laid out reaches far enough for the days after it begins.
        let peaks: Vec<Peak> = all.values().map(|seasons| peak(seasons, n, today.0)).collect();
        let times = |peaks: &[Peak]| peaks.iter().map(|p| p.1).collect::<Vec<u32>>();
        if derived.last().is_none_or(|(_, before)| times(before) != times(&peaks)) {
            derived.push((n, peaks));
        }
    }
    let ends = derived.iter().skip(1).map(|(from, _)| *from).chain([next]);
    let line =
        |from: &str, to: &str, days: i64, peaks: String| format!("{from} to {to}, {days} days: {peaks}");
    let words = |address: &str, season: &Option<String>, times: u32, lead: u32| {
        let name = season.as_deref().unwrap_or("usual");
        format!("{address} {name} {times} {lead}; ")
    };
    let expected: Vec<String> = derived
        .iter()
        .zip(ends)
        .map(|((from, peaks), end)| {
            let peaks: String = all
                .keys()
                .zip(peaks)
                .map(|(address, (name, times, lead))| words(address, name, *times, *lead))
                .collect();
            line(&text(*from, today.0), &text(end - 1, today.0), end - from, peaks)
        })
        .collect();
    let found: Vec<String> = year
        .periods
        .iter()
        .map(|p| {
            let peaks: String = p
                .peaks
                .iter()
                .map(|(address, peak)| words(address, &peak.season, peak.times, peak.lead))
                .collect();
            line(&p.from, &p.to, i64::from(p.days), peaks)
        })
        .collect();
    log.same("season", "plan", "the number of periods of the year", &expected.len(), &found.len());
    for (expected, found) in expected.iter().zip(&found) {
        log.same("season", "plan", "a period of the year", expected, found);
    }
    log.same("season", "plan", "the days of the year", &(next - first), &i64::from(year.days));
}

/// What the year costs, and what of its budgets.
fn sums(log: &mut Ledger, spec: &Spec, plan: &Plan, year: &Year) {
    let shown = |money: Option<Money>| money.map_or("unknown".to_owned(), dollars);
    let of = |figure: &dyn Fn(&crate::plan::PeriodCost) -> Option<Money>| {
        let mut parts = Vec::new();
        for period in &year.periods {
            parts.push((period.days, figure(period.outlook.cost.as_ref()?)?));
        }
        Some(of_days(&parts))
    };
    let expected = of(&|cost| Some(cost.expected));
    log.same("season", "plan", "what the year costs", &shown(expected), &shown(year.expected));
    log.same("season", "budget", "the budgets of the year", &spec.budget.limits.len(), &year.budgets.len());
    for (i, (line, told)) in plan.budgets.iter().zip(&year.budgets).enumerate() {
        let limit = of_days(&[(year.days, line.limit)]);
        log.same("season", "budget", "a budget over the year", &dollars(limit), &dollars(told.limit));
        let figure = of(&|cost| cost.budgets.get(i).copied());
        log.same("season", "budget", "what a budget limits of the year", &shown(figure), &shown(told.figure));
        let own = year.periods.first().and_then(|p| p.outlook.cost.as_ref()?.budgets.get(i).copied());
        let what = "what a budget limits of the plan itself";
        log.same("season", "budget", what, &shown(Some(line.figure)), &shown(own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let of = |text: &str| number(civil(text).expect("a day"));
        assert_eq!(of("2028-03-01") - of("2027-12-31"), 61);
        assert_eq!(of("2100-03-01") - of("2099-12-31"), 60);
        assert_eq!(number((2027, 2, 29)), of("2027-03-01"));
        for day in ["2026-11-25", "2027-01-01", "2028-02-29", "2028-12-31"] {
            assert_eq!(text(of(day), 2026), day);
        }
        assert_eq!((civil("2027-02-29"), civil("today")), (None, None));
    }
}
