//! How often a placement keeps its promises if the predictions are off by as much as is known of them.
//!
//! A world draws, once for each model on each accelerator, where in its band the truth lies: for the time of a token and for that of
//! a first token. All pools of that model on that accelerator are off alike, whatever their precision, region or size. Network times are
//! drawn between their figure and their 90 % edge, spot machines are lost by their monthly interruption rate. Then every pool is played
//! at its share of the peak, and its objectives are compared with their limits.
//!
//! The pools are replayed token by token at [`GRID`] positions in their band and interpolated between them: a thousand worlds cost as
//! much as some thirty replays.

mod played;
mod trained;
mod worlds;

use rhumb_api::Money;

use super::{cost, refusal};
use crate::catalog::Evidence;
use crate::math;
use crate::optimize;
use crate::perf::Band;
use crate::placement::{Metric, Placement, World};
use crate::spec::Spec;
use worlds::{Row, Worlds};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stressing {
    /// Worlds to draw; at least 1.
    pub worlds: u32,
    /// Of the draws.
    pub seed: u64,
    /// Requests of a replay; 0 = the closed forms.
    pub requests: u32,
    /// Of the errors of first tokens with those of tokens, within one model on one accelerator, -1 to 1.
    pub correlation: f64,
}

/// How many worlds of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Worlds in which it holds.
    pub held: u32,
    /// All.
    pub worlds: u32,
}

impl Held {
    /// The share, in [0, 1].
    pub fn share(&self) -> f64 {
        f64::from(self.held) / f64::from(self.worlds.max(1))
    }

    /// The 95 % interval of the share (E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927).
    pub fn interval(&self) -> (f64, f64) {
        let (n, p) = (f64::from(self.worlds.max(1)), self.share());
        let z = math::normal_quantile(0.975);
        let middle = p + z * z / (2.0 * n);
        let half = z * math::sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n));
        let whole = 1.0 + z * z / n;
        (((middle - half) / whole).max(0.0), ((middle + half) / whole).min(1.0))
    }
}

/// A promise of the spec.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An objective for an origin, with every machine there.
    Objective {
        /// Origin name.
        origin: String,
        /// Which latency.
        metric: Metric,
        /// The quantile; `None` is the mean.
        quantile: Option<f64>,
    },
    /// The same while the spot machines that a world loses in a month are all gone at once: `during_failure` of load and limits.
    SpotLost {
        /// Origin name.
        origin: String,
        /// Which latency.
        metric: Metric,
        /// The quantile; `None` is the mean.
        quantile: Option<f64>,
    },
    /// A batch or a training ends in time.
    Deadline,
    /// The month costs no more than the budget: of the workload, of those with a label, or of all.
    Budget {
        /// Name and value of the label.
        label: Option<(String, String)>,
    },
}

/// How often a promise holds. Figures and limit are milliseconds, hours of a deadline, dollars a month of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// The workload; `None` = all, or those of a budget's label.
    pub workload: Option<String>,
    /// What is promised.
    pub what: What,
    /// At most this.
    pub limit: f64,
    /// How often it holds.
    pub held: Held,
    /// The median over the worlds; infinite where a pool is overrun.
    pub median: f64,
    /// The 90th percentile over the worlds.
    pub high: f64,
}

/// A model on an accelerator, whose errors are drawn once.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// The model's architecture.
    pub model: String,
    /// The accelerator.
    pub accelerator: String,
    /// Pools that are off alike.
    pub pools: Vec<String>,
    /// The widest band of a token's time among them.
    pub tpot: Band,
    /// The widest band of a first token's time.
    pub ttft: Band,
    /// Class of the weakest prediction.
    pub evidence: Evidence,
}

/// Spot machines of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// The pool.
    pub pool: String,
    /// How many.
    pub machines: u32,
    /// Share of them that goes in a month.
    pub interruption: f64,
    /// Nobody knows it: [`optimize::UNKNOWN_INTERRUPTION`].
    pub assumed: bool,
}

/// What became of a placement in many worlds.
#[derive(Clone, Debug, PartialEq)]
pub struct Stress {
    /// By workload and origin, as the spec has them; budgets last.
    pub promises: Vec<Promise>,
    /// All promises but those of lost spot machines hold at once.
    pub all: Held,
    /// What was drawn.
    pub drawn: Vec<Drawn>,
    /// Spot machines of services.
    pub spot: Vec<Spot>,
    /// Pools of batches with spot machines: in every world a run starts twice and does a part of its work again, as planned
    /// ([`optimize::LOST_WORK`]).
    pub interrupted: Vec<String>,
    /// Pools of trainings: in every world they are as fast as drawn, and interrupted at the planned rate.
    pub trained: Vec<String>,
    /// Services with a profile and streams: what was measured has no band, and every world has it alike.
    pub measured: Vec<String>,
    /// Pools of streams with spot machines: planned for the loss of as many as may be gone at once, and in no world is one drawn.
    pub hedged: Vec<String>,
}

/// Positions in the band at which a pool is replayed, from -[`REACH`] to [`REACH`] standard deviations. A world beyond is taken
/// to be at the end: one in 2,000 on either side.
pub const GRID: usize = 29;

/// See [`GRID`].
pub const REACH: f64 = 3.5;

/// Plays a placement in many worlds. Equal inputs give equal results on any number of threads.
///
/// # Errors
/// In words: what the placement names and the world or the spec does not have.
pub fn stress(
    spec: &Spec,
    world: &World,
    placement: &Placement,
    asked: &Stressing,
) -> Result<Stress, String> {
    let spec = &*placement.spec_of(spec);
    let asked = Stressing { worlds: asked.worlds.max(1), ..*asked };
    let mut worlds = Worlds::new(spec, world, &asked);
    for (address, placed) in &placement.workloads {
        match address.split_once('.') {
            Some(("services", name)) if spec.profiled.contains_key(name) => worlds.profiled(address, placed),
            Some(("services", name)) => {
                let service =
                    spec.services.get(name).ok_or_else(|| format!("{address} is not in the spec"))?;
                worlds.service(address, service, placed)?;
            }
            Some(("batches", name)) => {
                let batch = spec.batches.get(name).ok_or_else(|| format!("{address} is not in the spec"))?;
                worlds.batch(address, batch, placed)?;
            }
            Some(("trainings", name)) => {
                let training =
                    spec.trainings.get(name).ok_or_else(|| format!("{address} is not in the spec"))?;
                worlds.training(address, training, placed)?;
            }
            Some(("pipelines", name)) => {
                let pipeline =
                    spec.pipelines.get(name).ok_or_else(|| format!("{address} is not in the spec"))?;
                worlds.pipeline(address, pipeline, placed)?;
            }
            Some(("federations", _)) => worlds.federation(address, placed)?,
            _ => return Err(format!("{address} is no workload")),
        }
    }
    worlds.budgets();
    let promised = |r: &&Row| !matches!(r.what, What::SpotLost { .. });
    let all = |i: &usize| worlds.rows.iter().filter(promised).all(|r| r.holds(*i));
    let held = (0..asked.worlds as usize).filter(all).count() as u32;
    Ok(Stress {
        all: Held { held, worlds: asked.worlds },
        promises: worlds.rows.into_iter().map(Row::told).collect(),
        drawn: worlds.drawn.into_values().collect(),
        spot: worlds.spot,
        interrupted: worlds.interrupted,
        trained: worlds.trained,
        measured: worlds.measured,
        hedged: worlds.hedged,
    })
}

/// The plan of another confidence, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AtConfidence {
    /// Planned for.
    pub confidence: f64,
    /// Dollars a month and the stress, or which constraints refuse everything.
    pub outcome: Result<(Money, Stress), String>,
}

/// Plans a spec at another confidence and plays that plan.
///
/// # Errors
/// As of [`stress`].
pub fn at_confidence(
    spec: &Spec,
    world: &World,
    confidence: f64,
    asked: &Stressing,
) -> Result<AtConfidence, String> {
    let mut spec = Spec { confidence, ..spec.clone() };
    optimize::split_chains(&mut spec, world);
    let outcome = match optimize::outline(&spec, world) {
        Ok(placement) => Ok((cost(&placement), stress(&spec, world, &placement, asked)?)),
        Err(why) => Err(refusal(&why)),
    };
    Ok(AtConfidence { confidence, outcome })
}
