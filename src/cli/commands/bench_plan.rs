//! `rhumb bench-plan`.

use serde_json::{Value, json};

use crate::cli::planning::{self, PlanArgs};
use crate::cli::stdout::print;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::experiment::{self, Valued};

/// Print the few benchmark runs whose results would save the most
///
/// For the option that the plan chooses and the nearest that lose, the spec is planned again as if a run of
/// it had come out at five quantiles of what is predicted. A run is proposed if the month is expected to
/// become cheaper by more than the run costs; each comes with the commands that make it and record it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Most runs to propose
    #[arg(long, value_name = "N", default_value_t = 3)]
    most: usize,
    /// What to plan.
    #[command(flatten)]
    planning: PlanArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let gathered = planning::gather(&args.planning, settings)?;
    let progress = progress::start("searching placements", settings);
    let thought = planning::think(&gathered);
    progress.finish();
    let plan = thought?;
    let (spec, world) = (&gathered.input.spec, &gathered.input.world);
    let (candidates, skipped) = experiment::candidates(spec, world, &plan.placement);
    let progress = progress::start("planning again under supposed results", settings);
    let valued: Vec<Valued> =
        candidates.into_iter().map(|c| experiment::value(spec, world, &plan.placement, c)).collect();
    progress.finish();
    let looked_at = valued.len();
    let mut worth = experiment::worthwhile(valued.clone());
    let left = worth.split_off(worth.len().min(args.most));
    let text = if settings.json {
        format!("{:#}\n", to_json(&worth, &valued, &skipped))
    } else {
        to_text(&worth, looked_at, left.len(), &skipped, settings.quiet)
    };
    print(&text)?;
    Ok(Exit::Done)
}

fn levels(v: &Valued) -> String {
    let levels: Vec<String> = v.candidate.levels.iter().map(u32::to_string).collect();
    levels.join(", ")
}

fn to_text(worth: &[Valued], looked_at: usize, left: usize, skipped: &[String], quiet: bool) -> String {
    let mut text = String::new();
    for (i, v) in worth.iter().enumerate() {
        let c = &v.candidate;
        let status = if c.chosen { "the plan's choice" } else { "lost by now" };
        text += &format!("{}. {} for {} ({status})\n", i + 1, c.deployment, c.workload);
        text += &format!(
            "   {} requests in flight, {} + {} tokens, on {} x {} in {}/{}\n",
            levels(v),
            c.input,
            c.output,
            c.machines,
            c.pool.instance_type,
            c.pool.cloud,
            c.pool.region,
        );
        text += &format!(
            "   costs {:.2} USD (modelled: {:.1} h at {} USD/h, listed by {}, {})\n",
            c.cost().usd(),
            c.hours,
            c.price,
            c.provenance.source,
            if c.provenance.as_of.is_empty() { "undated" } else { &c.provenance.as_of },
        );
        text += &format!(
            "   saves {:.0} USD a month of {:.0} (modelled, mean over {} supposed results)\n",
            v.saving,
            v.now.usd(),
            v.outcomes.len(),
        );
        for o in &v.outcomes {
            let cost = o
                .per_month
                .map_or("nothing keeps the promises".to_owned(), |m| format!("{:.0} USD a month", m.usd()));
            text += &format!("     if tokens take {:.2} times what is predicted: {cost}\n", o.ratio);
        }
        match &v.commands {
            Ok(commands) => {
                for (what, block) in [
                    ("start", &commands.serve),
                    ("measure", &commands.bench),
                    ("record", &commands.calibrate),
                ] {
                    text += &format!("   {what}:\n");
                    for line in block.lines() {
                        text += &format!("     {line}\n");
                    }
                }
            }
            Err(why) => text += &format!("   no commands: {why}\n"),
        }
    }
    if !worth.is_empty() && !quiet {
        text += &format!("{}\n", crate::perf::start_up::STATED);
    }
    if worth.is_empty() {
        text += &format!("no run is worth its price: {looked_at} were looked at\n");
    } else if left > 0 && !quiet {
        text += &format!("{left} more would save less; --most shows them\n");
    }
    for why in skipped.iter().filter(|_| !quiet) {
        text += &format!("not looked at: {why}\n");
    }
    text
}

/// Schema `rhumb.bench-plan/1`.
fn to_json(worth: &[Valued], all: &[Valued], skipped: &[String]) -> Value {
    let value = |v: &Valued| {
        let c = &v.candidate;
        let outcomes: Vec<Value> = v
            .outcomes
            .iter()
            .map(|o| json!({ "quantile": o.quantile, "ratio": o.ratio, "usd_per_month": o.per_month.map(|m| m.usd()) }))
            .collect();
        json!({
            "workload": c.workload,
            "deployment": c.deployment.to_string(),
            "chosen": c.chosen,
            "cloud": c.pool.cloud.as_str(),
            "region": c.pool.region,
            "instance_type": c.pool.instance_type,
            "machines": c.machines,
            "in_flight": c.levels,
            "input_tokens": c.input,
            "output_tokens": c.output,
            "hours": c.hours,
            "usd_per_hour": c.price.usd(),
            "price_source": c.provenance.source.to_string(),
            "price_as_of": c.provenance.as_of.to_string(),
            "cost_usd": c.cost().usd(),
            "usd_per_month_now": v.now.usd(),
            "saving_usd_per_month": v.saving,
            "net_usd": v.net(),
            "outcomes": outcomes,
            "commands": v.commands.as_ref().ok().map(|k| json!({
                "serve": k.serve, "bench": k.bench, "calibrate": k.calibrate,
            })),
        })
    };
    json!({
        "schema": "rhumb.bench-plan/1",
        "runs": worth.iter().map(value).collect::<Vec<_>>(),
        "looked_at": all.iter().map(value).collect::<Vec<_>>(),
        "not_looked_at": skipped,
    })
}
