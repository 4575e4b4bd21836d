//! `rhumb preflight`.

mod ask;
mod view;

use std::path::PathBuf;

use rhumb_api::preflight::{Amount, Finding, Verdict};
use rhumb_api::{Cloud, ResourceAddr};

use crate::cli::clouds::{CloudArgs, Clouds};
use crate::cli::load::SpecArgs;
use crate::cli::planning::PlanArgs;
use crate::cli::saved::{self, Basis};
use crate::cli::{Exit, Failure, Settings, files, keys, progress};
use crate::plan::{self, Plan, Standby};
use crate::state::State;
use ask::Question;

/// Ask the clouds of a saved plan whether they would do it: credentials, rights, quotas, types and places, secrets
///
/// Nothing is made, changed or recorded, and no lock is taken. What several changes need of a quota is added up with what is used by now, and
/// what is replaced counts beside what takes its place. Machines that are not there at this moment are a warning, since that changes by the
/// minute; so is whatever is wrong with what may stand in for refused machines. Exits with 3 when something would be refused, with 5 when
/// something could not be found out, with 4 when the plan is stale or not signed by all who must have.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file that `plan --out` wrote
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Set a variable of the spec beside which the plan is; wins over --var-file and RHUMB_VAR_NAME
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub var: Vec<String>,
    /// Read variables from a YAML, JSON or HCL file; wins over RHUMB_VAR_NAME
    #[arg(long = "var-file", value_name = "FILE")]
    pub var_file: Vec<PathBuf>,
    /// Add or override catalogue rows by your own file, as the plan was made
    #[arg(long = "catalog", value_name = "FILE")]
    pub catalog: Vec<PathBuf>,
    /// Compare with this state's file or address instead of the one that the spec names
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Whether the plan may be applied where this public key's owner must have signed it; several: all must have. A file, or env:NAME for a
    /// variable of the environment
    #[arg(long, value_name = "KEY", env = "RHUMB_REQUIRE_SIGNATURE")]
    pub require_signature: Vec<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub clouds: CloudArgs,
}

/// What is shown of one thing that was found.
struct Row<'p> {
    /// The cloud that it is of; none of the plan itself.
    cloud: Option<Cloud>,
    /// What it is needed for, if only where something is refused.
    standby: Option<&'p Standby>,
    about: &'static str,
    verdict: Verdict,
    address: Option<ResourceAddr>,
    region: Option<String>,
    message: String,
    amount: Option<Amount>,
}

/// What a row of the plan itself is about.
const PLAN: &str = "plan";

/// What a row is about that says what this build can make.
const ADAPTER: &str = "adapter";

/// Everything that is shown.
struct Shown<'p> {
    plan: &'p Plan,
    digest: String,
    file: String,
    simulated: bool,
    rows: Vec<Row<'p>>,
}

impl Shown<'_> {
    fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }
}

/// How the command ends: the strongest finding decides.
fn exit(rows: &[Row<'_>]) -> Exit {
    let of = |row: &Row<'_>| match (row.verdict, row.about) {
        (Verdict::Failed, PLAN) => Exit::Stale,
        (Verdict::Failed, _) => Exit::CheckFailed,
        (Verdict::Unknown, _) => Exit::Inconclusive,
        (Verdict::Ok | Verdict::Warning, _) => Exit::Done,
    };
    rows.iter().map(of).fold(Exit::Done, Exit::and)
}

impl<'p> Row<'p> {
    fn new(cloud: Option<Cloud>, about: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        let (standby, address, region, amount) = (None, None, None, None);
        Row { cloud, standby, about, verdict, address, region, message: message.into(), amount }
    }

    fn of(cloud: Cloud, finding: Finding) -> Self {
        Row {
            address: finding.address,
            region: finding.region,
            amount: finding.amount,
            ..Row::new(Some(cloud), finding.about.as_str(), finding.verdict, finding.message)
        }
    }

    /// The same of what may stand in: nothing depends on it unless something else is refused.
    fn standing_by(self, standby: Option<&'p Standby>) -> Self {
        let verdict = match (standby, self.verdict) {
            (Some(_), Verdict::Failed | Verdict::Unknown) => Verdict::Warning,
            (_, verdict) => verdict,
        };
        Row { standby, verdict, ..self }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let file = args.plan.display().to_string();
    let text = files::read_text(&settings.dir.join(&args.plan))?;
    let required = keys::required(&args.require_signature, settings)?;
    let (plan, signatures) =
        plan::file::decode_signed(&file, &text).map_err(|e| Failure::error(e.to_string()))?;
    let digest = plan::file::digest_of(&plan);
    let clouds = Clouds::of(&args.clouds)?;
    clouds.adapters(&plan)?;
    let basis = Basis::of(&plan, &args.planning(), settings)?;
    let state = basis.place.read()?;
    if let Some(state) = &state {
        clouds.fits(state, &basis.place.name)?;
    }
    let (state, goes_on) = (state.as_ref(), saved::goes_on(&plan, state.as_ref()));
    let mut rows = of_plan(&plan, state, goes_on, &basis.outdated(&plan, state, settings));
    if !required.is_empty() {
        let row = |verdict, message: String| Row::new(None, PLAN, verdict, message);
        rows.push(match keys::unapproved(&digest, &signatures, &required) {
            Some(why) => row(Verdict::Failed, format!("{why}; whoever approves it says `rhumb sign`")),
            None => row(Verdict::Ok, "all who must have signed it have".to_owned()),
        });
    }
    let questions = ask::questions(&plan, state, goes_on);
    let asking = progress::start("asking the clouds", settings);
    let answers = ask::ask_all(&questions, &clouds);
    asking.finish();
    for (question, answer) in questions.iter().zip(answers) {
        let found = of_answer(question, answer, &clouds);
        rows.extend(found.into_iter().map(|row| row.standing_by(question.standby)));
    }
    let shown = Shown { plan: &plan, digest, file, simulated: clouds.simulated, rows };
    view::show(&shown, settings)?;
    Ok(exit(&shown.rows))
}

impl Args {
    fn planning(&self) -> PlanArgs {
        PlanArgs {
            spec: SpecArgs { path: ".".into(), var: self.var.clone(), var_file: self.var_file.clone() },
            catalog: self.catalog.clone(),
            state: self.state.clone(),
            running: None,
            renamed_from: None,
        }
    }
}

/// What is to be said of the plan before anybody is asked.
fn of_plan<'p>(plan: &Plan, state: Option<&State>, goes_on: bool, outdated: &[String]) -> Vec<Row<'p>> {
    let row = |verdict, message: String| Row::new(None, PLAN, verdict, message);
    let stale = |reason: &String| row(Verdict::Failed, format!("{reason}; plan again"));
    let mut rows: Vec<Row<'p>> = outdated.iter().map(stale).collect();
    if rows.is_empty() {
        let fits = match (goes_on, plan.of_states()) {
            (true, _) => "an apply of it was cut off, and the next one goes on with it",
            (false, true) => "it fits the recorded state",
            (false, false) => "it fits the recorded state, the spec and the catalogue",
        };
        rows.push(row(Verdict::Ok, fits.to_owned()));
    }
    let open = state.map_or(0, |state| state.open.len());
    if open > 0 {
        let message = format!(
            "an apply is under way or was cut off: {open} calls have an unknown end, which the next apply finds out first"
        );
        rows.push(row(Verdict::Warning, message));
    }
    rows
}

/// What was found out by a question, and what this build says of it itself.
fn of_answer<'p>(question: &Question<'_>, answer: Option<Vec<Finding>>, clouds: &Clouds) -> Vec<Row<'p>> {
    let cloud = question.asked.cloud;
    let Some(provider) = clouds.providers.get(&cloud) else {
        let message = format!("this build has no adapter for {cloud}");
        return vec![Row::new(Some(cloud), ADAPTER, Verdict::Failed, message)];
    };
    let refused = ask::refusals(question, provider.as_ref());
    let mut rows: Vec<Row<'p>> = Vec::new();
    if refused.is_empty() {
        rows.push(Row::new(Some(cloud), ADAPTER, Verdict::Ok, "this build can make all of it"));
    }
    rows.extend(refused.into_iter().map(|(address, why)| Row {
        address: Some(address),
        ..Row::new(Some(cloud), ADAPTER, Verdict::Failed, why)
    }));
    match answer {
        Some(found) => rows.extend(found.into_iter().map(|finding| Row::of(cloud, finding))),
        None => {
            let message = "the adapter has ended without an answer";
            rows.push(Row::new(Some(cloud), ADAPTER, Verdict::Unknown, message));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(rows: &[(&'static str, Verdict)]) -> Exit {
        let row = |(about, verdict): &(&'static str, Verdict)| Row::new(None, about, *verdict, "");
        exit(&rows.iter().map(row).collect::<Vec<_>>())
    }

    #[test]
    fn the_strongest_finding_decides_the_exit() {
        let (ok, warning) = ((PLAN, Verdict::Ok), ("capacity", Verdict::Warning));
        let (unknown, failed, stale) =
            (("quota", Verdict::Unknown), ("quota", Verdict::Failed), (PLAN, Verdict::Failed));
        assert_eq!(ends(&[ok, warning]), Exit::Done);
        assert_eq!(ends(&[ok, unknown, warning]), Exit::Inconclusive);
        assert_eq!(ends(&[unknown, failed]), Exit::CheckFailed);
        assert_eq!(ends(&[failed, stale, unknown]), Exit::Stale);
    }
}
