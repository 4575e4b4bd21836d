//! What was chosen, what it rests on, and what was refused: data only.
//!
//! [`crate::optimize`] makes a [`Placement`] or an [`Infeasible`]; [`crate::check`] re-derives every
//! figure in it from raw rows; [`crate::report`] shows it.

mod chain;
mod commitment;
mod coupling;
mod day;
mod divided;

pub use chain::{ChainPart, ChainSplit};
pub use commitment::Commitment;
pub use coupling::{Coupling, SharedLimit, Stop, Unfinished};
pub use day::{Following, HourClass, Switch};
pub use divided::{DearerDivision, Divided, DividedService, DivisionOption, ServicePart};
mod emission;
mod fallback;
mod federation;
mod held;
mod mix;
mod pipeline;
mod savings;
mod season;
mod shared;
mod sites;
mod stability;
mod stand_in;
mod training;
mod why_not;

use std::collections::BTreeMap;

pub use emission::{Emission, Emissions};
pub use fallback::{Fallback, Fallbacks, MOST_FALLBACKS, WANTED_FALLBACKS};
pub use federation::{FederationClient, FederationRun, LeftOut, names};
pub use held::HeldUse;
pub use mix::{MixBranch, MixKind, MixLoss, MixPart, MixProof, MixRoute, SizeClass, SizeMix};
pub use pipeline::{PipelineRun, StreamRun};
use rhumb_api::{Cloud, Money, Purchase, ResourceAddr};
pub use savings::{Covered, SavingsUse};
pub use season::{Ahead, ComingYear};
use sha2::{Digest, Sha256};
pub use shared::{FleetFallback, Mix, MovedPool, OnShared, SharedFleet, SharedPool};
pub use sites::stand;
pub use stability::{FreeChoice, Kept, KeptWorkload, MachinesAt, Running};
pub use stand_in::StandsIn;
pub use training::TrainingRun;
pub use why_not::{Among, Asked, Loosened, Outcome, Whole, WhyNot};

use crate::catalog::{Catalog, Evidence, ModelArch, Provenance};
use crate::diagnostic::Pointer;
use crate::perf::{self, Calibration, Calibrator, Configuration, EngineSettings, Latency, Layout, MemoryFit};
use crate::spec::{KvCacheDtype, Model, Quantization};

/// Everything outside the spec that may influence a placement.
#[derive(Clone, Debug)]
pub struct World {
    /// The catalogue, with the user's own rows and discounts applied.
    pub catalog: Catalog,
    /// Architecture of each model of the spec that has one, by its name in the spec.
    pub archs: BTreeMap<String, ModelArch>,
    /// The user's own benchmark runs; none if the spec names no file.
    pub calibration: Calibration,
    /// The planning day, `YYYY-MM-DD`.
    pub today: String,
    /// Requests of each replay that a placement must survive; 0 = the closed forms alone decide.
    pub replay: u32,
    /// Where machines of services run already.
    pub running: Running,
}

impl World {
    /// The user's runs against their predictions.
    pub fn calibrator(&self) -> Calibrator {
        let catalog = &self.catalog;
        Calibrator::new(
            self.calibration.runs(),
            |id| self.archs.values().find(|a| a.id == id).or_else(|| catalog.model(id)),
            |id| catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i)),
        )
    }

    /// The architecture of a model of the spec; one that says nothing of a model whose times were measured.
    pub fn arch(&self, model: &Model) -> Option<&ModelArch> {
        if model.measured().is_some() {
            Some(&perf::measured::NO_ARCHITECTURE)
        } else {
            self.archs.get(&model.name)
        }
    }

    /// One replica of a pool that serves `model` (its name in the spec), on the hardware that the catalogue says
    /// the pool's machines have.
    ///
    /// # Errors
    /// In words: what the pool or the caller names and the world does not have.
    pub fn configuration(&self, model: &str, pool: &Pool) -> Result<Configuration<'_>, String> {
        let catalog = &self.catalog;
        let on = catalog
            .instance_type(pool.cloud, &pool.instance_type)
            .and_then(|i| catalog.instance_types.get(i))
            .ok_or_else(|| format!("{} is not in the catalogue", pool.instance_type))?;
        let accelerator = on
            .accelerator
            .and_then(|i| catalog.accelerators.get(i))
            .filter(|a| Some(&a.id) == pool.accelerator.as_ref())
            .ok_or_else(|| format!("{} has no such accelerator in the catalogue", pool.instance_type))?;
        let arch = self.archs.get(model).ok_or_else(|| format!("`{model}` has no known architecture"))?;
        let whole = (on.accelerator_count.floor() as u32).max(1);
        let spans = pool.machines_per_replica > 1;
        Ok(Configuration {
            arch,
            quantization: pool.quantization,
            kv_cache: pool.kv_cache,
            accelerator,
            fraction: on.accelerator_count.min(1.0),
            layout: pool.layout,
            accelerators_per_node: whole,
            inter_node_bandwidth: on.rdma_gbps.filter(|_| spans).map(|g| g * 1e9 / 8.0 / f64::from(whole)),
            engine: pool.engine,
        })
    }

    /// Digest of the catalogue and of the user's runs, lower-case hexadecimal.
    pub fn digest(&self) -> String {
        let catalog = self.catalog.digest();
        if self.calibration.digest.is_empty() {
            return catalog;
        }
        let both = format!("{catalog}\n{}\n", self.calibration.digest);
        Sha256::digest(both.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The user's own files that were applied, by name.
    pub fn user_files(&self) -> Vec<String> {
        let own = Some(&self.calibration.name).filter(|name| !name.is_empty());
        self.catalog.user_files.iter().chain(own).cloned().collect()
    }
}

/// What was chosen for every workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// Workload address (`services.chat`) to its choice.
    pub workloads: BTreeMap<String, WorkloadPlacement>,
    /// Machines that services share, ordered by address; what they cost is part of the workloads' cost.
    pub fleets: Vec<SharedFleet>,
    /// Bounds that several workloads share and that what was chosen breaks.
    pub joint_violations: Vec<JointViolation>,
    /// What machines emit.
    pub emissions: Emissions,
    /// Chains of services, and the limits of these.
    pub chains: Vec<ChainSplit>,
    /// What machines that are bought on demand would cost for a term, where that pays.
    pub commitments: Vec<Commitment>,
    /// What became of what the team holds, by name.
    pub held: Vec<HeldUse>,
    /// What became of each savings plan of the spec, by name.
    pub savings: Vec<SavingsUse>,
    /// What keeping what runs decided, where the spec asks for it and something runs.
    pub kept: Option<Kept>,
    /// What the workloads share and how it was divided; `None` where their separate optima keep every limit.
    pub coupling: Option<Coupling>,
    /// How services that may be divided are; `None` where none may be. The parts of a divided service are workloads of their own.
    pub divided: Option<Divided>,
}

/// What was chosen for one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadPlacement {
    /// `services.NAME`, `batches.NAME`, `trainings.NAME`, `pipelines.NAME` or `federations.NAME`.
    pub address: String,
    /// Pools, ordered by address.
    pub pools: Vec<Pool>,
    /// What may stand in for each pool, in the order of the pools.
    pub fallbacks: Vec<Fallbacks>,
    /// Which pools serve which origin; empty for a batch.
    pub routes: Vec<Route>,
    /// Every objective against its prediction, at the planned confidence.
    pub objectives: Vec<ObjectiveCheck>,
    /// What is left in each declared failure, and whether it is enough.
    pub failures: Vec<FailureCheck>,
    /// Cost.
    pub cost: Cost,
    /// The run of a batch or a training; `None` for a service.
    pub run: Option<BatchRun>,
    /// How size classes are divided, of a service with a profile; then the rest of serving says nothing.
    pub mix: Option<SizeMix>,
    /// Proof that nothing cheaper would do.
    pub certificate: Certificate,
    /// The cheapest options that lost, cheapest first, and what rejected each.
    pub losers: Vec<Loser>,
    /// What one loosened constraint would save, dearest first.
    pub relaxations: Vec<Relaxation>,
    /// Every quota that the machines count against, ordered by cloud, region and code.
    pub quotas: Vec<QuotaNeed>,
    /// What the plan rests on that is not certain (`offered: unknown`, ...).
    pub caveats: Vec<String>,
}

/// A quota that a workload counts against.
#[derive(Clone, Debug, PartialEq)]
pub struct QuotaNeed {
    /// The cloud.
    pub cloud: Cloud,
    /// Region id; `global` for a quota of the whole account.
    pub region: String,
    /// The cloud's code for it.
    pub code: String,
    /// The cloud's name for it.
    pub name: String,
    /// `vcpus`, `gpus`, `chips`, `machines` or `watts`.
    pub unit: &'static str,
    /// How much the workload takes.
    pub amount: f64,
    /// What the spec (or the user's own file) declares; `None` = not verified.
    pub declared: Option<f64>,
    /// What a new account has; `None` = unknown.
    pub default_new_account: Option<f64>,
}

/// A number of equal machines in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// `services.chat/aws/eu-west-1/p5.48xlarge`; the fleets below it add the purchase option.
    pub addr: ResourceAddr,
    /// The cloud.
    pub cloud: Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// Accelerator id; `None` on a CPU type.
    pub accelerator: Option<String>,
    /// Accelerators of one machine (below 1 for a partition).
    pub accelerators_per_machine: f64,
    /// vCPUs of a machine without accelerators that each replica has for itself; `None` on other machines.
    pub vcpus_per_replica: Option<u32>,
    /// Variant name in the spec.
    pub variant: String,
    /// How weights are stored.
    pub quantization: Quantization,
    /// How the KV cache is stored.
    pub kv_cache: KvCacheDtype,
    /// How a replica is cut.
    pub layout: Layout,
    /// Engine settings.
    pub engine: EngineSettings,
    /// Engine replicas on one machine; 0 if a replica spans machines.
    pub replicas_per_machine: u32,
    /// Machines that one replica spans (1 unless it spans several).
    pub machines_per_replica: u32,
    /// Engine replicas.
    pub replicas: u32,
    /// Zones that the machines are spread over evenly.
    pub zones: u32,
    /// How the machines are paid for; at most one entry per purchase option, in its order.
    pub machines: Vec<PoolMachines>,
    /// Where it is, if its machines are shared: then [`Pool::machines`] is empty, and [`Pool::replicas_per_machine`] the most on one.
    pub shared: Option<OnShared>,
    /// What it stands in for; `None` = it serves whatever happens.
    pub stands_in: Option<StandsIn>,
    /// How it follows the load of the day; what else is said of it is its peak. `None` = always at the peak.
    pub following: Option<Following>,
    /// Requests/s sent here at the peak.
    pub peak_rate: f64,
    /// Requests/s that the pool can carry within every objective, at the planned confidence.
    pub capacity: f64,
    /// Predicted latency at the peak rate, without network time and without the band.
    pub latency: Option<Latency>,
    /// Factor at the planned confidence on TTFT.
    pub ttft_factor: f64,
    /// Factor at the planned confidence on TPOT.
    pub tpot_factor: f64,
    /// Where the memory goes.
    pub memory: MemoryFit,
    /// Class of the prediction.
    pub evidence: Evidence,
    /// Remarks of the prediction.
    pub notes: Vec<String>,
}

/// Machines of a pool that are paid for in the same way.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolMachines {
    /// How.
    pub purchase: Purchase,
    /// How many; 0 only where the pool has some of them in other hours.
    pub count: u32,
    /// Dollars an hour for one, after discounts.
    pub price: Money,
    /// Dollars an hour for one as listed.
    pub list_price: Money,
    /// Where the price comes from.
    pub provenance: Provenance,
    /// Spot: upper edge of the monthly interruption frequency that was planned for.
    pub interruption: Option<f64>,
    /// Of held machines, the name of the commitment in the spec; of no others.
    pub commitment: Option<String>,
}

/// An origin and the pools that serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Origin name.
    pub origin: String,
    /// Index into [`WorkloadPlacement::pools`] and the share of the origin's traffic sent there.
    pub to: Vec<(usize, f64)>,
    /// Round trip to each of those pools, ms, `last_mile` and handshakes included; 0 inside a `vpc`.
    pub network_ms: Vec<f64>,
    /// Class of the round trips.
    pub evidence: Evidence,
}

/// Which latency an objective limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Time to first token.
    Ttft,
    /// Time per output token.
    Tpot,
    /// End to end.
    E2e,
}

impl Metric {
    /// The name used in specs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Metric::Ttft => "ttft",
            Metric::Tpot => "tpot",
            Metric::E2e => "e2e",
        }
    }
}

/// An objective against its prediction, for the worst pool that serves an origin.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveCheck {
    /// Origin name.
    pub origin: String,
    /// Which latency.
    pub metric: Metric,
    /// The quantile; `None` is the mean.
    pub quantile: Option<f64>,
    /// The limit, ms.
    pub limit_ms: f64,
    /// Network part of the prediction, ms.
    pub network_ms: f64,
    /// The prediction with network, ms, without the band.
    pub predicted_ms: f64,
    /// The same at the planned confidence; this one is at most the limit.
    pub at_confidence_ms: f64,
    /// Class of the prediction.
    pub evidence: Evidence,
}

/// A declared failure and what is left.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureCheck {
    /// `replica`, `machine`, `zone`, `region` or `spot`.
    pub scope: &'static str,
    /// How many of them fail.
    pub count: u32,
    /// Where: a pool address, or `all` for a region.
    pub at: String,
    /// Replicas left there (or in the other regions).
    pub replicas_left: u32,
    /// Requests/s that must still be carried.
    pub required_rate: f64,
    /// Requests/s that can be carried within the (relaxed) objectives.
    pub capacity: f64,
}

/// A line of the bill.
#[derive(Clone, Debug, PartialEq)]
pub struct CostLine {
    /// What: a resource address or `services.chat/transfer/...`.
    pub addr: String,
    /// In words: `3 x p5.48xlarge on_demand`.
    pub what: String,
    /// Dollars an hour; `None` = not priced.
    pub per_hour: Option<Money>,
    /// Class of the figure.
    pub evidence: Evidence,
    /// Where the figure comes from.
    pub provenance: Option<Provenance>,
}

/// What a workload costs. All sums leave out lines that are not priced: they read "at least".
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The bill, machines first.
    pub lines: Vec<CostLine>,
    /// Dollars an hour as planned; for a batch, its month divided by 730.
    pub expected_per_hour: Money,
    /// Dollars a month of 730 hours as planned.
    pub expected_per_month: Money,
    /// Dollars a month if every hour has the load of the peak.
    pub peak_per_month: Money,
    /// Dollars a month if every pool is at its largest and all spot is bought on demand.
    pub ceiling_per_month: Money,
    /// Whether a line is not priced.
    pub incomplete: bool,
}

/// The run of a batch or a training.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRun {
    /// Hours of one run at the planned confidence, start-up and expected interruptions included: those that are paid.
    pub hours: f64,
    /// The deadline, hours.
    pub deadline_hours: f64,
    /// Items (of a training: tokens, of a pipeline: shards, of a stream: events, of a federation: updates) a second, all machines, at the planned confidence.
    pub items_per_s: f64,
    /// Runs a month.
    pub runs_per_month: f64,
    /// Dollars for one run.
    pub cost_per_run: Money,
    /// How a training runs; then a pool's engine, KV cache and the rest of serving say nothing.
    pub training: Option<TrainingRun>,
    /// How a pipeline runs; then the rest of serving says nothing either.
    pub pipeline: Option<PipelineRun>,
    /// How a federation runs; then the rest of serving says nothing either.
    pub federation: Option<FederationRun>,
}

/// Proof by exhaustion.
///
/// Every candidate was either rejected by a named constraint, or bounded from below at a cost not
/// under the optimum's, or evaluated and found not cheaper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The family of placements over which the optimum is proven, in words.
    pub family: String,
    /// Candidates in all.
    pub candidates: u64,
    /// Rejected, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Left out because their lower bound was not under the optimum.
    pub bounded: u64,
    /// Evaluated in full.
    pub evaluated: u64,
    /// The optimum, micro-dollars an hour (a batch: a run).
    pub optimum: Money,
    /// The lower bound; equal to the optimum when the proof is complete.
    pub lower_bound: Money,
    /// Chosen together with the other workloads: the proof is [`Placement::coupling`], and the lower bound is the optimum
    /// that this one would have by itself.
    pub together: bool,
}

/// A candidate without a count.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateId {
    /// Cloud.
    pub cloud: Cloud,
    /// Region id.
    pub region: String,
    /// Instance type.
    pub instance_type: String,
    /// Purchase option of the machines that are not spot, or spot.
    pub purchase: Purchase,
    /// Variant name.
    pub variant: String,
    /// How a replica is cut.
    pub layout: Layout,
}

/// An option that lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Loser {
    /// Which.
    pub candidate: CandidateId,
    /// Machines it would need, if it could do the job.
    pub machines: Option<u32>,
    /// Dollars an hour it would cost, if it could do the job; otherwise of one machine.
    pub per_hour: Money,
    /// What rejected it.
    pub rejection: Rejection,
}

/// The constraint that rejected a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// Stable name: `memory`, `precision`, `ttft`, `tpot`, `e2e`, `residency`, `accelerators`,
    /// `regions`, `clouds`, `instance-types`, `purchase`, `quality`, `quota`, `budget`, `survive`,
    /// `deadline`, `unknown`, `dearer`, ...
    pub constraint: &'static str,
    /// In words, with numbers.
    pub reason: String,
    /// Where the constraint was written, if it was.
    pub at: Option<Pointer>,
    /// How far from feasible: `needed / allowed - 1` for quantities, `None` for yes/no rules.
    pub distance: Option<f64>,
}

/// A loosened constraint and what it brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Relaxation {
    /// Stable name of the constraint, as in [`Rejection::constraint`].
    pub constraint: &'static str,
    /// Where it was written.
    pub at: Option<Pointer>,
    /// What to write instead, in words with its number: `ttft p95 700ms instead of 500ms`.
    pub change: String,
    /// Dollars a month with the change.
    pub cost_per_month: Money,
    /// Saved against the present plan; `None` when there is no present plan.
    pub saves_per_month: Option<Money>,
    /// The option that would be chosen; `None` where several workloads change.
    pub choice: Option<CandidateId>,
}

/// A bound that the separate optima break together.
#[derive(Clone, Debug, PartialEq)]
pub struct JointViolation {
    /// `budget` or `quota`.
    pub constraint: &'static str,
    /// In words, with numbers and the workloads concerned.
    pub reason: String,
    /// Where it was written.
    pub at: Option<Pointer>,
}

/// Why there is no placement.
#[derive(Clone, Debug, PartialEq)]
pub struct Infeasible {
    /// The workloads that cannot be placed.
    pub workloads: Vec<InfeasibleWorkload>,
    /// There is no placement; otherwise the search found none and did not prove that there is none.
    pub proven: bool,
}

impl WorkloadPlacement {
    /// Whether its machines are there all the time: those of a service or a stream, and of no run that ends.
    pub fn stays(&self) -> bool {
        let stream = |run: &BatchRun| run.pipeline.as_ref().is_some_and(|p| p.stream.is_some());
        self.run.as_ref().is_none_or(stream)
    }
}

impl std::fmt::Display for Infeasible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.workloads.iter().map(|w| w.address.as_str()).collect();
        let names = names.join(", ");
        match self.proven {
            true => write!(f, "no placement keeps the promises of {names}"),
            false => write!(
                f,
                "no placement that keeps the promises of {names} was found, and it was not proven that there is none"
            ),
        }
    }
}

/// One workload that cannot be placed.
#[derive(Clone, Debug, PartialEq)]
pub struct InfeasibleWorkload {
    /// `services.NAME`, `batches.NAME`, `trainings.NAME`, `pipelines.NAME` or `federations.NAME`.
    pub address: String,
    /// Constraints that cannot hold together. Taking any one away would make it feasible, unless
    /// [`InfeasibleWorkload::relaxations`] has none for it.
    pub conflict: Vec<Rejection>,
    /// The nearest change of each single constraint that would work.
    pub relaxations: Vec<Relaxation>,
    /// Who ended the look for a smallest conflict and for changes before it was done.
    pub ended: Option<Stop>,
    /// The candidate nearest to feasible and what it lacks.
    pub nearest: Option<Loser>,
    /// Candidates rejected, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Candidates in all.
    pub candidates: u64,
}
