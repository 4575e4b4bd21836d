//! `rhumb stress`.

mod view;

use crate::cli::planning::{self, PlanArgs};
use crate::cli::view::terminal;
use crate::cli::{Exit, Failure, Settings, progress};
use crate::explore::{self, Stressing};

/// Confidences of the curve.
const CONFIDENCES: [f64; 7] = [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95];

/// Play a plan in many worlds drawn from the bands of its predictions
///
/// In every world each model is on each accelerator as fast as a draw from the band of its prediction says, network times and
/// lost spot machines are drawn as well, and the pools are replayed at their peak. Told is the share of the worlds in which each
/// objective, deadline and budget holds, with its 95 % interval. Confidence and budget of the plan are not changed by it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Worlds to draw
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    worlds: u32,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Requests of each replay; 0 = the closed forms alone
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    requests: u32,
    /// How the errors of first tokens go with those of tokens, from -1 to 1 (nobody has measured it)
    #[arg(long, value_name = "R", default_value_t = 0.0, allow_negative_numbers = true, value_parser = correlation)]
    correlation: f64,
    /// Plan the spec at several confidences as well, and stress each of these plans
    #[arg(long)]
    curve: bool,
    #[command(flatten)]
    planning: PlanArgs,
}

fn correlation(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|r| (-1.0..=1.0).contains(r))
        .ok_or_else(|| "write a number from -1 to 1".to_owned())
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &Args, settings: &Settings) -> Result<Exit, Failure> {
    let (gathered, plan) = planning::saved_or_new(None, &args.planning, settings)?;
    let (spec, world) = (&gathered.input.spec, &gathered.input.world);
    let asked = Stressing {
        worlds: args.worlds,
        seed: args.seed,
        requests: args.requests,
        correlation: args.correlation,
    };
    let spinner = progress::start("playing worlds", settings);
    let found = explore::stress(spec, world, &plan.placement, &asked).map_err(Failure::error)?;
    spinner.finish();
    let mut curve = Vec::new();
    if args.curve {
        let bar = progress::count("planning at other confidences", settings);
        for (i, confidence) in CONFIDENCES.into_iter().enumerate() {
            bar.at(i as u64, CONFIDENCES.len() as u64);
            curve.push(explore::at_confidence(spec, world, confidence, &asked).map_err(Failure::error)?);
        }
        bar.finish();
    }
    let told = view::Told {
        name: &spec.name,
        confidence: spec.confidence,
        asked: &asked,
        found: &found,
        curve: &curve,
    };
    let text = if settings.json { format!("{:#}\n", told.json()) } else { told.text(settings) };
    terminal::print(&text)?;
    Ok(Exit::Done)
}
