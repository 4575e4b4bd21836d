//! `rhumb show`.

use std::path::PathBuf;

use crate::cli::saved::outdated;
use crate::cli::state::{StatePlace, clean};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, files, planning};
use crate::plan::{Plan, Signature};
use crate::{plan, report};

/// Show a saved plan
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `plan --out` wrote
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// What to show of it
    #[arg(long, value_enum, default_value_t = View::All)]
    pub view: View,
    /// Refuse (exit 4) unless the plan was made against this state file as it is now
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// A part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum View {
    /// Everything that `plan` prints.
    All,
    /// The last line.
    Summary,
    /// What goes where, and what is on machines that services share.
    Placements,
    /// What it costs.
    Cost,
    /// What may stand in for machines that are refused.
    Fallbacks,
    /// Objectives against predictions, and failures.
    Objectives,
    /// What lost.
    Losers,
    /// What will be created, changed, removed.
    Changes,
    /// What it rests on.
    Basis,
    /// Quotas that it needs.
    Quotas,
    /// The files that machines get.
    Artifacts,
}

/// Runs the command.
///
/// # Errors
/// The plan cannot be read, or the state has moved on.
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let name = args.plan.display().to_string();
    let text = files::read_text(&settings.dir.join(&args.plan))?;
    let (plan, signatures) =
        plan::file::decode_signed(&name, &text).map_err(|e| Failure::error(e.to_string()))?;
    // What a plan says about itself is shown whenever; whether it may still be applied is asked with a state.
    if let Some(path) = &args.state {
        let store = StatePlace::named(path, settings)?;
        let now = planning::read_state(&store)?;
        let reasons = outdated(&plan, now.as_ref(), (&plan.spec_digest, &plan.catalog_digest), settings);
        if !reasons.is_empty() {
            return Err(Failure::Message {
                exit: Exit::Stale,
                text: format!("{name}: the plan is stale: {}; plan again", reasons.join("; ")),
            });
        }
    }
    if settings.json {
        terminal::print(&format!("{}\n", report::json::plan(&plan)))?;
        return Ok(Exit::Done);
    }
    if args.view == View::Artifacts {
        let mut out = String::new();
        for a in &plan.artifacts {
            out.push_str(&format!("# {} {} sha256 {}\n{}\n", a.addr, a.name, a.sha256, a.content));
        }
        terminal::print(&out)?;
        return Ok(Exit::Done);
    }
    let only: Option<&[&str]> = match args.view {
        View::All => None,
        View::Summary | View::Artifacts => Some(&[]),
        View::Placements => Some(&["joint", "placements", "fleets"]),
        View::Cost => Some(&["cost", "seasons"]),
        View::Fallbacks => Some(&["fallbacks"]),
        View::Objectives => Some(&["objectives", "failures"]),
        View::Losers => Some(&["losers"]),
        View::Changes => Some(&["changes"]),
        View::Basis => Some(&["basis", "caveats"]),
        View::Quotas => Some(&["quotas"]),
    };
    let report = match args.view {
        View::Fallbacks => report::all_fallbacks(&plan),
        _ => report::report(&plan),
    };
    let mut out = terminal::text(&report, settings, only);
    if matches!(args.view, View::All | View::Summary) {
        out.push_str(&signers(&plan, &signatures));
    }
    terminal::print(&out)?;
    Ok(Exit::Done)
}

/// Who has signed a plan, by keys: whose these are, whoever reads it has to know.
fn signers(plan: &Plan, signatures: &[Signature]) -> String {
    if signatures.is_empty() {
        return String::new();
    }
    let digest = plan::file::digest_of(plan);
    let of = |signature: &Signature| match signature.holds(&digest) {
        true => format!("Signed by {}.\n", clean(&signature.key)),
        false => format!("NOT signed by {}, though the file says so.\n", clean(&signature.key)),
    };
    signatures.iter().map(of).collect()
}
