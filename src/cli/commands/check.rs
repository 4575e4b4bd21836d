//! `rhumb check`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::check::{self, Bound, Fact, Proof, Report};
use crate::cli::planning::{self, PlanArgs};
use crate::cli::{Exit, Failure, Settings, stdout};
use crate::report;

/// Check every promise of a plan with the independent checker
///
/// Every promise is derived again from the spec, the catalogue's raw rows and the prediction, without
/// any of the planner's code; and so is the bound: all candidates are made and priced again, so that what
/// is cheaper is found. Exit 3 if a promise does not hold, 4 if a saved plan was made from another spec,
/// catalogue or state, 5 if a fact that the placement needs is missing or too old.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check this saved plan against the spec, instead of planning afresh
    #[arg(long = "plan", value_name = "FILE")]
    saved: Option<PathBuf>,
    /// A machine's price older than this is too old (exit 5); no limit unless stated
    #[arg(long, value_name = "DAYS", value_parser = planning::days)]
    max_age: Option<u32>,
    /// Leave the bound out, which takes longest: whether something is cheaper is then not known
    #[arg(long)]
    fast: bool,
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
    let report = match &plan.rollback {
        Some(back) => {
            let to = gathered.store.version(back.to)?;
            check::rollback(input.prior.as_ref(), Some(&to), &plan)
        }
        None => check::plan(&input.spec, &input.world, input.prior.as_ref(), &plan),
    };
    let report = match plan.of_states() {
        true => report,
        false => {
            let made = crate::made_otherwise(input, &plan).map_err(|e| Failure::error(e.to_string()))?;
            report.and(made)
        }
    };
    let facts = check::facts(&input.world, &plan.placement, args.max_age);
    let of_its_day = check::of_time(&input.spec, &plan.created);
    let proof =
        (!args.fast && !plan.of_states()).then(|| check::prove(&of_its_day, &input.world, &plan.placement));
    let (report, bounds) = match proof {
        Some(Proof { all, workloads, report: own }) => (report.and(own), Some((all, workloads))),
        None => (report, None),
    };
    let shown = Shown { report: &report, facts: &facts, bounds: bounds.as_ref(), destroys: plan.of_states() };
    stdout::print(&if settings.json {
        format!("{:#}\n", shown.to_json())
    } else {
        shown.to_text(settings.quiet)
    })?;
    let kept = if report.passed() { Exit::Done } else { Exit::CheckFailed };
    Ok(kept.and(if facts.is_empty() { Exit::Done } else { Exit::Inconclusive }))
}

/// What a check shows.
struct Shown<'a> {
    report: &'a Report,
    facts: &'a [Fact],
    /// The bound of everything and of each workload; `None` if it was left out.
    bounds: Option<&'a (Bound, Vec<Bound>)>,
    /// Everything is to go.
    destroys: bool,
}

impl Shown<'_> {
    /// Schema `rhumb.check/1`.
    fn to_json(&self) -> Value {
        let findings: Vec<Value> = self
            .report
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
        let bound = self.bounds.map(|(all, each)| {
            let mut value = bound_to_json(all);
            value["workloads"] = each.iter().map(bound_to_json).collect();
            value
        });
        json!({
            "schema": "rhumb.check/1",
            "passed": self.report.passed(),
            "promises": self.report.promises,
            "not_priced": self.report.unpriced,
            "findings": findings,
            "bound": bound,
            "inconclusive": report::json::facts(self.facts),
        })
    }

    fn to_text(&self, quiet: bool) -> String {
        let (report, facts) = (self.report, self.facts);
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
            text += &match self.bounds {
                Some((all, _)) => bound_to_text(all),
                None if self.destroys => {
                    "no placement is planned: there is nothing that could be cheaper\n".to_owned()
                }
                None => "the bound was left out: whether something cheaper does is not known\n".to_owned(),
            };
        }
        text
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn bound_to_json(b: &Bound) -> Value {
    json!({
        "address": b.address,
        "verdict": b.verdict(),
        "usd_per_month": b.bound.map(|m| m.to_string()),
        "cost_usd_per_month": b.cost.to_string(),
        "counted_besides_the_bill": b.counted,
        "gap": b.gap(),
        "candidates": b.candidates,
        "left_out": b.left_out,
    })
}

fn bound_to_text(b: &Bound) -> String {
    let candidates = count(b.candidates, "candidate", "candidates");
    let Some(bound) = b.bound else {
        return format!("no bound could be derived: {}\n", b.left_out.join(", "));
    };
    let why = match b.left_out.as_slice() {
        [] => String::new(),
        rules => format!(" (the bound leaves out {})", rules.join(", ")),
    };
    let counted = match b.counted.as_slice() {
        [] => String::new(),
        all => format!(" (counted: the bill, {})", all.join(", ")),
    };
    format!("bound derived again: {bound} USD/month{counted} over {candidates}; {}{why}\n", b.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Finding;

    #[test]
    fn the_coverage_line_says_what_was_looked_at() {
        let usd = |usd| rhumb_api::Money::from_usd(usd).unwrap();
        let bound = |usd_a_month| Bound {
            address: "deployment".into(),
            cost: usd(1000.0),
            counted: Vec::new(),
            bound: Some(usd(usd_a_month)),
            candidates: 41_213,
            left_out: Vec::new(),
        };
        let mut report = Report { findings: Vec::new(), promises: 12, unpriced: 1 };
        let text = |report: &Report, bound: Option<Bound>, quiet| {
            let bounds = bound.map(|b| (b, Vec::new()));
            Shown { report, facts: &[], bounds: bounds.as_ref(), destroys: false }.to_text(quiet)
        };
        let line = "12 promises checked, all hold; 1 line not priced\n";
        let derived = "bound derived again: 1,000.00 USD/month over 41213 candidates; optimal\n";
        assert_eq!(text(&report, Some(bound(1000.0)), false), format!("{line}{derived}"));
        let near = text(&report, Some(bound(996.0)), false);
        assert!(near.ends_with("996.00 USD/month over 41213 candidates; within 0.4 %\n"), "{near}");
        let priced = Bound { counted: vec!["emissions at their price"], ..bound(1000.0) };
        let told = text(&report, Some(priced), false);
        assert!(
            told.contains("1,000.00 USD/month (counted: the bill, emissions at their price) over"),
            "{told}"
        );
        let near = text(&report, Some(Bound { left_out: vec!["max_replicas"], ..bound(999.99) }), false);
        assert!(near.ends_with("within 0.01 % (the bound leaves out max_replicas)\n"), "{near}");
        assert!(text(&report, None, false).ends_with("something cheaper does is not known\n"));
        assert_eq!(text(&report, None, true), "");
        report.promises = 0;
        assert!(text(&report, None, true).contains("nothing was checked"));
        report.promises = 2;
        report.findings.push(Finding {
            code: "price",
            address: "services.a/x".into(),
            message: "the price is wrong".into(),
            expected: "2".into(),
            found: "1".into(),
        });
        let shown = Shown { report: &report, facts: &[], bounds: None, destroys: false };
        let (text, value) = (shown.to_text(true), shown.to_json());
        assert!(
            text.starts_with("services.a/x: the price is wrong [price]\n  expected 2\n  found    1\n"),
            "{text}"
        );
        assert_eq!(value["findings"][0]["code"], "price");
        assert_eq!((&value["passed"], &value["bound"]), (&json!(false), &Value::Null));
    }
}
