//! The coming year by its seasons: what each costs, and whether it can be placed at all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use rhumb_api::{HOURS_PER_MONTH, Money};

use super::{Plan, basis};
use crate::placement::{Ahead, ComingYear, Infeasible, Placement, Stop};
use crate::spec::Spec;
use crate::spec::season::{SpanPeak, USUAL, after};

/// The year that begins with the planning day, up to the same day of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Year {
    /// Its days: 365, or 366.
    pub days: u32,
    /// Its periods in order, each as long as plans are for the same peaks. The first is that of this plan, which holds as long.
    pub periods: Vec<Period>,
    /// What all of them cost, by days; `None` where the cost of one is not known.
    pub expected: Option<Money>,
    /// The same of each budget, in the order of [`Plan::budgets`].
    pub budgets: Vec<YearBudget>,
}

/// A monthly budget over the days of a year.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YearBudget {
    /// So much may be spent in all of them.
    pub limit: Money,
    /// What is spent of it; `None` where that of one period is not known.
    pub figure: Option<Money>,
}

/// Days in a row on which plans are for the same peaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first day, `YYYY-MM-DD`.
    pub from: String,
    /// The last one.
    pub to: String,
    /// How many.
    pub days: u32,
    /// By the address of each service that has seasons.
    pub peaks: BTreeMap<String, SpanPeak>,
    /// What it asks for.
    pub outlook: Outlook,
}

/// What the plan of a period would be, at the prices of the planning day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What it costs; `None` where nothing was placed.
    pub cost: Option<PeriodCost>,
    /// The constraints that cannot hold together, in words; empty where something was placed or nothing is known.
    pub refused: Vec<String>,
    /// Changes of which any one would do, in words.
    pub would_do: Vec<String>,
    /// That nothing cheaper would do is proven, or that nothing does.
    pub proven: bool,
    /// Who ended the search before anything was known.
    pub ended: Option<Stop>,
    /// What a reader must know of it, for example of quotas that nobody has verified.
    pub warnings: Vec<String>,
}

/// What a period costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodCost {
    /// Dollars a month as planned.
    pub expected: Money,
    /// Dollars a month that is all peak.
    pub peak: Money,
    /// Dollars a month at the ceiling.
    pub ceiling: Money,
    /// Machines at the peak.
    pub machines: u32,
    /// What each budget limits, dollars a month, in the order of [`Plan::budgets`].
    pub budgets: Vec<Money>,
}

/// Dollars of days that cost so much a month of 730 hours each, rounded half up.
fn of_days<'a>(parts: impl Iterator<Item = (u32, &'a Money)>) -> Money {
    let hours = parts.map(|(days, month)| i128::from(month.micros()) * i128::from(days) * 24).sum::<i128>();
    let month = i128::from(HOURS_PER_MONTH);
    let rounded = (2 * hours + month).div_euclid(2 * month);
    Money::from_micros(rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

/// The year of a plan, given what was placed for its day and for the others.
pub fn year(spec: &Spec, placement: &Placement, coming: &ComingYear) -> Year {
    let outlook = |n: usize| match n.checked_sub(1).and_then(|n| coming.found.get(n)) {
        // Those are the plan's own.
        None => placed(spec, placement),
        Some(Ahead::Placed(other)) => {
            let warnings = basis::warnings_beside(other, Some(placement));
            Outlook { warnings, ..placed(spec, other) }
        }
        Some(Ahead::Refused(why)) => refused(why),
        Some(Ahead::Ended(by)) => Outlook { ended: Some(*by), ..unknown() },
    };
    let periods: Vec<Period> = coming
        .spans
        .iter()
        .map(|(span, outcome)| Period {
            from: span.from.to_string(),
            to: after(span.from, i64::from(span.days) - 1).unwrap_or(span.from).to_string(),
            days: span.days,
            peaks: span.peaks.clone(),
            outlook: outlook(*outcome),
        })
        .collect();
    let days = periods.iter().map(|p| p.days).sum();
    let sum = |of: &dyn Fn(&PeriodCost) -> Option<&Money>| {
        let parts: Option<Vec<(u32, &Money)>> =
            periods.iter().map(|p| Some((p.days, of(p.outlook.cost.as_ref()?)?))).collect();
        parts.map(|parts| of_days(parts.into_iter()))
    };
    let expected = sum(&|cost| Some(&cost.expected));
    let budgets = spec.budget.limits.values().enumerate().map(|(i, budget)| YearBudget {
        limit: of_days([(days, &budget.limit)].into_iter()),
        figure: sum(&|cost| cost.budgets.get(i)),
    });
    let budgets = budgets.collect();
    Year { days, periods, expected, budgets }
}

fn unknown() -> Outlook {
    let (refused, would_do, warnings) = (Vec::new(), Vec::new(), Vec::new());
    Outlook { cost: None, refused, would_do, proven: false, ended: None, warnings }
}

fn placed(spec: &Spec, placement: &Placement) -> Outlook {
    let costs = || placement.workloads.values().map(|w| &w.cost);
    let own = placement.workloads.values().flat_map(|w| &w.pools).flat_map(|p| &p.machines).map(|m| m.count);
    let shared = placement.fleets.iter().map(|f| f.count);
    let of_each = |w: &crate::placement::WorkloadPlacement| {
        w.certificate.together || w.certificate.lower_bound == w.certificate.optimum
    };
    let together = placement.coupling.as_ref().is_none_or(|c| c.lower_bound == c.optimum);
    let divided = placement.divided.as_ref().is_none_or(|d| d.lower_bound >= placement.counted());
    let parted = placement.spec_of(spec);
    Outlook {
        cost: Some(PeriodCost {
            expected: costs().map(|c| c.expected_per_month).sum(),
            peak: costs().map(|c| c.peak_per_month).sum(),
            ceiling: costs().map(|c| c.ceiling_per_month).sum(),
            machines: own.chain(shared).sum(),
            budgets: basis::budgets(&parted, placement).into_iter().map(|line| line.figure).collect(),
        }),
        proven: together && divided && placement.workloads.values().all(of_each),
        ..unknown()
    }
}

fn refused(why: &Infeasible) -> Outlook {
    let conflict = why
        .workloads
        .iter()
        .flat_map(|w| w.conflict.iter().map(|r| format!("{}: {}: {}", w.address, r.constraint, r.reason)));
    let mut refused: Vec<String> = conflict.collect();
    if refused.is_empty() {
        refused.push(why.to_string());
    }
    // Each is a change that makes that one workload possible.
    let one = if let [one] = why.workloads.as_slice() { one.relaxations.as_slice() } else { &[] };
    let would_do =
        one.iter().map(|r| format!("{} (then {} USD a month)", r.change, r.cost_per_month)).collect();
    Outlook { refused, would_do, proven: why.proven, ..unknown() }
}

impl Period {
    /// The seasons whose peaks it has, each with its peak; `usual` where it has none.
    pub fn name(&self) -> String {
        let named = self.peaks.values().filter_map(|p| Some((p.season.as_deref()?, p.times)));
        let named: BTreeSet<(&str, u32)> = named.collect();
        if named.is_empty() {
            return "usual".to_owned();
        }
        let words: Vec<String> =
            named.into_iter().map(|(name, times)| format!("{name} {}", factor(times))).collect();
        words.join(", ")
    }
}

/// `4x`.
fn factor(times: u32) -> String {
    format!("{}x", f64::from(times) / f64::from(USUAL))
}

impl Year {
    /// What a reader of the plan must know of the seasons to come: each outcome once, with the first period that has it.
    pub fn warnings(&self) -> Vec<String> {
        let mut told: Vec<&Outlook> = Vec::new();
        let mut warnings = Vec::new();
        for period in self.periods.iter().skip(1) {
            let outlook = &period.outlook;
            if told.contains(&outlook) {
                continue;
            }
            told.push(outlook);
            let what = format!("the season from {} ({})", period.from, period.name());
            if !outlook.refused.is_empty() {
                let sure = if outlook.proven {
                    "cannot be placed"
                } else {
                    "was not placed (not proven impossible)"
                };
                let would = match outlook.would_do.as_slice() {
                    [] => String::new(),
                    all => format!("; any one of these would do: {}", all.join("; ")),
                };
                warnings.push(format!("{what} {sure}: {}{would}", outlook.refused.join("; ")));
            }
            warnings.extend(outlook.warnings.iter().map(|warning| format!("{what}: {warning}")));
        }
        warnings
    }

    /// The first day for which the plan is none any more; `None` if it is for all of the year.
    pub fn expires(&self) -> Option<&str> {
        self.periods.get(1).map(|next| next.from.as_str())
    }
}

impl Plan {
    /// Why the plan must not be applied on a day (`YYYY-MM-DD`) any more although nothing has changed; `None` if it still holds.
    pub fn expired_on(&self, day: &str) -> Option<String> {
        let year = self.year.as_ref()?;
        let day: Date = day.parse().ok()?;
        let next =
            year.periods.get(1).filter(|next| next.from.parse::<Date>().is_ok_and(|from| from <= day))?;
        let (from, to) = (&next.from, year.periods.first().map_or("", |own| own.to.as_str()));
        Some(format!(
            "it was for the days up to {to}; since {from} the peak is another one ({})",
            next.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 730 USD a month are one an hour; half a micro-dollar is rounded up.
    #[test]
    fn days_cost_their_part_of_a_month() {
        let usd = |x: i64| Money::from_micros(x * 1_000_000);
        assert_eq!(of_days([(10, &usd(730)), (355, &usd(1460))].into_iter()), usd(240 + 2 * 355 * 24));
        let odd = Money::from_micros(365);
        // 365 x 24 / 730 = 12 for a day; 1 micro-dollar a month is 24 / 730 of one.
        assert_eq!(of_days([(1, &odd)].into_iter()), Money::from_micros(12));
        assert_eq!(of_days([(15, &Money::from_micros(1))].into_iter()), Money::ZERO);
        assert_eq!(of_days([(16, &Money::from_micros(1))].into_iter()), Money::from_micros(1));
    }
}
