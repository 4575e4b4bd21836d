//! `rhumb check`.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::catalog::ModelArch;
use crate::check::{self, Report};
use crate::cli::load::{Found, SpecArgs, load, read_named};
use crate::cli::view::diagnostics;
use crate::cli::{Exit, Failure, Settings};
use crate::optimize;
use crate::placement::{Infeasible, World};
use crate::spec::ModelSource;

/// Plan a spec and check every promise with the independent checker
///
/// Every promise is derived again from the spec, the catalogue's raw rows and the prediction, without
/// any of the planner's code. Exit 3 if one does not hold.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let found = load(&args.spec, &[], settings)?;
    diagnostics::print_warnings(&found.loaded.warnings, settings);
    let world = world(&found, settings)?;
    let placement = optimize::place(&found.loaded.spec, &world).map_err(|why| refused(&why))?;
    let report = check::inspect(&found.loaded.spec, &world, &placement);
    show(&report, settings);
    Ok(if report.passed() { Exit::Done } else { Exit::CheckFailed })
}

/// The world of a spec: its catalogue, and the architecture of each of its models.
fn world(found: &Found, settings: &Settings) -> Result<World, Failure> {
    let mut archs = BTreeMap::new();
    for (name, model) in &found.loaded.spec.models {
        let arch =
            match &model.source {
                ModelSource::Known { id, .. } => found.catalog.model(id).cloned().ok_or_else(|| {
                    Failure::error(format!("models.{name}: `{id}` is not in the catalogue"))
                })?,
                ModelSource::Config(file) => {
                    let problem = |e: String| Failure::error(format!("models.{name}: {}: {e}", file.path));
                    let bytes = read_named(&found.folder, &file.path).map_err(problem)?;
                    ModelArch::from_hf_config(&file.path, &bytes).map_err(problem)?
                }
            };
        archs.insert(name.clone(), arch);
    }
    let today = settings.now.to_string().chars().take(10).collect();
    Ok(World { catalog: found.catalog.clone(), archs, today })
}

fn refused(why: &Infeasible) -> Failure {
    let names: Vec<&str> = why.workloads.iter().map(|w| w.address.as_str()).collect();
    let text = format!("no placement keeps the promises of {}; `rhumb plan` says why", names.join(", "));
    Failure::Message { exit: Exit::Infeasible, text }
}

fn show(report: &Report, settings: &Settings) {
    let text =
        if settings.json { format!("{:#}\n", to_json(report)) } else { to_text(report, settings.quiet) };

    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Schema `rhumb.check/1`.
fn to_json(report: &Report) -> Value {
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
    })
}

fn to_text(report: &Report, quiet: bool) -> String {
    let mut text = String::new();
    for f in &report.findings {
        text += &format!("{}: {} [{}]\n", f.address, f.message, f.code);
        text += &format!("  expected {}\n  found    {}\n", f.expected, f.found);
    }
    let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let broken = report.findings.len() as u64;
    let outcome = match (report.promises, broken) {
        (0, _) => "nothing was checked, so nothing is known".to_owned(),
        (_, 0) => "all hold".to_owned(),
        (_, n) => format!("{} not hold", count(n, "does", "do")),
    };
    if !quiet || broken > 0 || report.promises == 0 {
        let promises = count(report.promises, "promise", "promises");
        let lines = count(report.unpriced, "line", "lines");
        text += &format!("{promises} checked, {outcome}; {lines} not priced\n");
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
        assert_eq!(to_text(&report, false), "12 promises checked, all hold; 1 line not priced\n");
        assert_eq!(to_text(&report, true), "");
        report.promises = 0;
        assert!(to_text(&report, true).contains("nothing was checked"));
        report.promises = 2;
        report.findings.push(Finding {
            code: "price",
            address: "services.a/x".into(),
            message: "the price is wrong".into(),
            expected: "2".into(),
            found: "1".into(),
        });
        let text = to_text(&report, true);
        assert!(
            text.starts_with("services.a/x: the price is wrong [price]\n  expected 2\n  found    1\n"),
            "{text}"
        );
        assert_eq!(to_json(&report)["findings"][0]["code"], "price");
        assert_eq!(to_json(&report)["passed"], false);
    }
}
