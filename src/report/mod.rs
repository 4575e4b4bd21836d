//! What people read of a plan: one document model, made here, drawn by `cli`.
//!
//! A [`Report`] is sections of tables and lines, without widths or colours; [`json`] is the same plan
//! for machines. Nothing is computed here that a plan does not hold.

mod basis;
mod carbon;
mod chains;
mod changes;
mod choice;
mod commitments;
mod cost;
mod divided;
mod equal;
mod fallbacks;
mod fleets;
mod held;
mod hours;
mod infeasible;
pub mod json;
mod week;

mod federation;
mod pipeline;
mod placements;
mod profile;
mod savings;
mod seasons;
mod shared;
mod stability;
mod training;
mod why_not;

pub use basis::facts;
pub use choice::explain;
pub use fallbacks::all_fallbacks;
pub use infeasible::infeasible;
pub(crate) use placements::{layout, machines, precision};
pub use why_not::{json as why_not_json, why_not};

use crate::plan::Plan;

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One line: what this is.
    pub title: String,
    /// In reading order.
    pub sections: Vec<Section>,
    /// One line: what a person must know if they read nothing else.
    pub summary: String,
}

/// A titled part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name by which it can be asked for alone.
    pub name: &'static str,
    /// Heading.
    pub heading: String,
    /// Content.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A table.
    Table(Table),
    /// Lines of text, wrapped to the width.
    Lines(Vec<Line>),
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Headings; `true` = numbers, set flush right.
    pub columns: Vec<(&'static str, bool)>,
    /// Rows, each with a cell per column.
    pub rows: Vec<Vec<Cell>>,
}

/// A text and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text, no line breaks.
    pub text: String,
    /// How it is to be taken.
    pub tone: Tone,
}

/// A line of text.
pub type Line = Cell;

/// How a text is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Kept promises, creations.
    Good,
    /// Look at this.
    Warn,
    /// Broken promises, removals.
    Bad,
    /// Less important.
    Dim,
}

impl Cell {
    /// A plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Cell { text: text.into(), tone: Tone::Plain }
    }

    /// A text with a tone.
    pub fn tone(text: impl Into<String>, tone: Tone) -> Self {
        Cell { text: text.into(), tone }
    }
}

/// When it was made, and how long it may be applied.
fn times(plan: &Plan) -> String {
    let until = plan.valid_until.as_ref().map_or_else(String::new, |until| format!(", valid until {until}"));
    format!("made {}{until}", plan.created)
}

/// The report of a plan.
pub fn report(plan: &Plan) -> Report {
    if plan.of_states() {
        let mut sections = vec![changes::changes(plan)];
        sections.extend(basis::caveats(plan));
        return Report {
            title: match &plan.rollback {
                Some(back) => {
                    format!("Plan to lead {} back to serial {}, {}", plan.name, back.to, times(plan))
                }
                None => format!("Plan to destroy {}, {}", plan.name, times(plan)),
            },
            sections,
            summary: changes::summary(plan),
        };
    }
    let mut sections = Vec::new();
    sections.extend(changes::joint(plan));
    sections.extend(shared::shared(plan));
    sections.extend(stability::stability(plan));
    sections.push(placements::placements(plan));
    sections.extend(profile::classes(plan));
    sections.extend(fleets::fleets(plan));
    sections.extend(hours::hours(plan));
    sections.push(placements::objectives(plan));
    sections.extend(divided::divided(plan));
    sections.extend(chains::chains(plan));
    sections.extend(placements::failures(plan));
    sections.push(cost::cost(plan));
    sections.extend(seasons::seasons(plan));
    sections.extend(held::held(plan));
    sections.extend(commitments::commitments(plan));
    sections.extend(carbon::carbon(plan));
    sections.extend(fallbacks::fallbacks(plan));
    sections.push(choice::losers(plan));
    sections.push(changes::changes(plan));
    sections.push(basis::basis(plan));
    sections.extend(basis::quotas(plan));
    sections.extend(basis::caveats(plan));
    Report {
        title: format!("Plan for {}, {}", plan.name, times(plan)),
        sections: equal::told_once(plan, sections),
        summary: changes::summary(plan),
    }
}

/// Milliseconds, for people: three significant digits, seconds from 10,000 ms.
pub(crate) fn ms(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.1} s", value / 1000.0)
    } else if value >= 100.0 {
        format!("{value:.0} ms")
    } else if value >= 10.0 {
        format!("{value:.1} ms")
    } else {
        format!("{value:.2} ms")
    }
}

/// A quantile as people write it: `p95`, `p99.9`, `mean`.
pub(crate) fn quantile(q: Option<f64>) -> String {
    match q {
        None => "mean".to_owned(),
        Some(q) => {
            let percent = crate::math::round_to(q * 100.0, 3);
            format!("p{percent}")
        }
    }
}

/// A fraction as a percentage without decimals.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction * 100.0)
}

/// A number with as many decimals as its size needs.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Dollars an hour of everything that a plan has a price for, at its expected load.
pub fn per_hour(plan: &Plan) -> rhumb_api::Money {
    cost::totals(plan).per_hour
}

/// The same in words: `at least` where a line has no price; `None` of a plan that places nothing.
pub fn planned_per_hour(plan: &Plan) -> Option<String> {
    let totals = cost::totals(plan);
    let places = !plan.of_states() && !plan.placement.workloads.is_empty();
    places.then(|| format!("{}{} USD", totals.at_least, totals.per_hour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(ms(12_345.0), "12.3 s");
        assert_eq!(ms(523.4), "523 ms");
        assert_eq!(ms(9.876), "9.88 ms");
        assert_eq!(quantile(Some(0.95)), "p95");
        assert_eq!(quantile(Some(0.999)), "p99.9");
        assert_eq!(quantile(None), "mean");
        assert_eq!(percent(0.6), "60 %");
    }
}
