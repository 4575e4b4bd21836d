//! Writes `src/perf/ABLATION.md`: what each mechanism of the prediction buys.

use std::fmt::Write as _;
use std::path::Path;

use rhumb::catalog::Catalog;

use super::Outcome;
use super::fit::Off;
use super::model::{LeftOut, leave_out_without, tenth};
use super::points::{self, Point};
use super::report::error;

const HEAD: &str = "\
Each row is fitted again without one mechanism, everything else having taken up what it could, and judged on points that
the fit did not see: median / 90th percentile of the absolute error in percent, as in `ACCURACY.md`. A mechanism earns its
place where the figures rise without it, on the rows or systems that it is about; one that buys nothing here is kept only where
physics says so.
";

/// Writes the page.
pub fn write(dir: &Path, date: &str, revision: &str) -> Outcome<()> {
    let catalog = Catalog::embedded();
    let points = points::load(dir, &catalog)?;
    let all: Vec<&Point> = points.iter().collect();
    let mut out = format!(
        "# What each mechanism buys\n\nWritten by `perf_convert ablate` on {date} at revision {revision}. Do not edit by hand.\n\n{HEAD}\n"
    );
    writeln!(
        out,
        "| without | groups TPOT % | groups TTFT % | models TPOT % | models TTFT % | systems TPOT % | systems TTFT % |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let both = |left: &[LeftOut<'_>], ledger: bool| {
        let of = |pick: fn(&LeftOut<'_>) -> f64| error(left.iter().map(pick).collect());
        if ledger {
            format!("{} | {}", of(|l| l.tpot), of(|l| l.ttft))
        } else {
            format!("{} | {}", of(|l| l.physics.1), of(|l| l.physics.0))
        }
    };
    let mut row = |name: &str, off: Option<Off>, ledger: bool| -> Outcome<()> {
        let groups = leave_out_without(&all, tenth, off);
        let models = leave_out_without(&all, |p| p.model.clone(), off);
        let systems = leave_out_without(&all, |p| p.system.clone(), off);
        let [groups, models, systems] = [groups, models, systems].map(|left| both(&left, ledger));
        let line = format!("| {name} | {groups} | {models} | {systems} |");
        println!("{line}");
        writeln!(out, "{line}")?;
        Ok(())
    };
    row("nothing", None, true)?;
    row("the ledger of residuals", None, false)?;
    for (off, name) in Off::ALL {
        row(name, Some(off), true)?;
    }
    std::fs::write("src/perf/ABLATION.md", &out)?;
    Ok(())
}
