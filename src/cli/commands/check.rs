//! `rhumb check`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::check::{self, Fact, Report};
use crate::cli::planning::{self, PlanArgs};
use crate::cli::{Exit, Failure, Settings, stdout};
use crate::report;

/// Check every promise of a plan with the independent checker
///
/// Every promise is derived again from the spec, the catalogue's raw rows and the prediction, without
/// any of the planner's code. Exit 3 if one does not hold, 4 if a saved plan was made from another spec,
/// catalogue or state, 5 if a fact that the placement needs is missing or too old.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check this saved plan against the spec, instead of planning afresh
    #[arg(long = "plan", value_name = "FILE")]
    saved: Option<PathBuf>,
    /// A machine's price older than this is too old (exit 5); no limit unless stated
    #[arg(long, value_name = "DAYS", value_parser = planning::days)]
    max_age: Option<u32>,
    #[command(flatten)]
    planning: PlanArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (gathered, plan) = planning::saved_or_new(args.saved.as_deref(), &args.planning, settings)?;
    let input = &gathered.input;
    let report = check::plan(&input.spec, &input.world, input.prior.as_ref(), &plan);
    let facts = check::facts(&input.world, &plan.placement, args.max_age);
    show(&report, &facts, settings)?;
    let kept = if report.passed() { Exit::Done } else { Exit::CheckFailed };
    Ok(kept.and(if facts.is_empty() { Exit::Done } else { Exit::Inconclusive }))
}

fn show(report: &Report, facts: &[Fact], settings: &Settings) -> Result<(), Failure> {
    let text = if settings.json {
        format!("{:#}\n", to_json(report, facts))
    } else {
        to_text(report, facts, settings.quiet)
    };
    stdout::print(&text)
}

/// Schema `rhumb.check/1`.
fn to_json(report: &Report, facts: &[Fact]) -> Value {
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|f| {
            json!({
                "code": f.code,
                "address": f.address,
                "message": f.message,
                "expected": f.expected,
                "found": f.found,
            })
        })
        .collect();
    json!({
        "schema": "rhumb.check/1",
        "passed": report.passed(),
        "promises": report.promises,
        "not_priced": report.unpriced,
        "findings": findings,
        "inconclusive": report::json::facts(facts),
    })
}

fn to_text(report: &Report, facts: &[Fact], quiet: bool) -> String {
    let mut text = String::new();
    for f in &report.findings {
        text += &format!("{}: {} [{}]\n", f.address, f.message, f.code);
        text += &format!("  expected {}\n  found    {}\n", f.expected, f.found);
    }
    for f in facts {
        text += &format!("{}: {} [{} {}]\n", f.address, f.message, f.fact, f.lack.as_str());
        if let Some(source) = &f.source {
            let date = f.as_of.as_deref().map_or("undated".to_owned(), |d| format!("of {d}"));
            text += &format!("  source {source}, {date}\n");
        }
        text += &format!("  fix    {}\n", f.fix);
    }
    let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let broken = report.findings.len() as u64;
    let outcome = match (report.promises, broken) {
        (0, _) => "nothing was checked, so nothing is known".to_owned(),
        (_, 0) => "all hold".to_owned(),
        (_, n) => format!("{} not hold", count(n, "does", "do")),
    };
    if !quiet || broken > 0 || report.promises == 0 || !facts.is_empty() {
        let promises = count(report.promises, "promise", "promises");
        let lines = count(report.unpriced, "line", "lines");
        let facts = match facts.len() as u64 {
            0 => String::new(),
            n => format!("; inconclusive: {} missing or too old", count(n, "fact is", "facts are")),
        };
        text += &format!("{promises} checked, {outcome}; {lines} not priced{facts}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;

    #[test]
    fn the_coverage_line_says_what_was_looked_at() {
        let mut report = Report { findings: Vec::new(), promises: 12, unpriced: 1 };
        assert_eq!(to_text(&report, &[], false), "12 promises checked, all hold; 1 line not priced\n");
        assert_eq!(to_text(&report, &[], true), "");
        report.promises = 0;
        assert!(to_text(&report, &[], true).contains("nothing was checked"));
        report.promises = 2;
        report.findings.push(Finding {
            code: "price",
            address: "services.a/x".into(),
            message: "the price is wrong".into(),
            expected: "2".into(),
            found: "1".into(),
        });
        let text = to_text(&report, &[], true);
        assert!(
            text.starts_with("services.a/x: the price is wrong [price]\n  expected 2\n  found    1\n"),
            "{text}"
        );
        assert_eq!(to_json(&report, &[])["findings"][0]["code"], "price");
        assert_eq!(to_json(&report, &[])["passed"], false);
    }
}
