//! What the suite found.

use std::fmt;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The law holds.
    Passed,
    /// It does not.
    Failed {
        /// What was asked and what came instead.
        why: String,
    },
    /// It was not asked.
    NotArranged {
        /// What could not be brought about.
        what: String,
    },
}

/// What was found of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the caller said that it cannot be arranged.
    pub listed: bool,
}

impl Finding {
    /// Why this counts as a failure; `None` if it does not. What could be arranged may not be excused, so that lists
    /// of excuses do not outlive their reasons.
    pub fn failure(&self) -> Option<String> {
        match (&self.outcome, self.listed) {
            (Outcome::Passed, false) | (Outcome::NotArranged { .. }, true) => None,
            (Outcome::Failed { why }, _) => Some(why.clone()),
            (Outcome::NotArranged { what }, false) => Some(format!("not arranged, and not listed: {what}")),
            (Outcome::Passed, true) => Some("listed as not arranged, and it was".to_owned()),
        }
    }
}

/// The findings of all checks. Its text is a table with a row per check and the counts below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// What the caller listed as not arranged and is no check.
    pub unknown: Vec<String>,
}

impl Report {
    /// Names and reasons of all failures.
    pub fn failures(&self) -> Vec<(&str, String)> {
        let of = |finding: &Finding| finding.failure().map(|why| (finding.name, why));
        let unknown = self.unknown.iter().map(|name| (name.as_str(), "there is no such check".to_owned()));
        self.findings.iter().filter_map(of).chain(unknown).collect()
    }

    /// Whether the adapter may be relied on.
    pub fn passed(&self) -> bool {
        self.failures().is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
        let (mut passed, mut excused) = (0, 0);
        for finding in &self.findings {
            let (word, more) = match (finding.failure(), &finding.outcome) {
                (Some(why), _) => ("FAILED", format!("{}: {why}", finding.asks)),
                (None, Outcome::NotArranged { what }) => {
                    excused += 1;
                    ("not arranged", format!("{}: {what}", finding.asks))
                }
                (None, _) => {
                    passed += 1;
                    ("passed", finding.asks.to_owned())
                }
            };
            writeln!(f, "{word:<12}  {:<width$}  {more}", finding.name)?;
        }
        for name in &self.unknown {
            writeln!(
                f,
                "{:<12}  {name:<width$}  listed as not arranged, and there is no such check",
                "FAILED"
            )?;
        }
        let failed = self.failures().len();
        write!(f, "{passed} passed, {failed} failed, {excused} not arranged")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &'static str, outcome: Outcome, listed: bool) -> Finding {
        Finding { name, asks: "a law", outcome, listed }
    }

    #[test]
    fn excuses_hold_for_what_was_listed_and_could_not_be_arranged_alone() {
        let not = || Outcome::NotArranged { what: "no quotas here".to_owned() };
        let failed = || Outcome::Failed { why: "it was made".to_owned() };
        let report = Report {
            findings: vec![
                finding("a", Outcome::Passed, false),
                finding("b", Outcome::Passed, true),
                finding("c", not(), true),
                finding("d", not(), false),
                finding("e", failed(), false),
                finding("f", failed(), true),
            ],
            unknown: vec!["g".to_owned()],
        };
        let names: Vec<&str> = report.failures().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "d", "e", "f", "g"]);
        assert!(!report.passed());
        let text = report.to_string();
        assert!(text.ends_with("1 passed, 5 failed, 1 not arranged"), "{text}");
        assert!(text.contains("FAILED        e  a law: it was made"), "{text}");
        let fine = Report { findings: vec![report.findings[0].clone()], unknown: Vec::new() };
        assert!(fine.passed());
    }
}
