//! Which benchmark runs are worth their price.
//!
//! A run is worth what the plan becomes cheaper by knowing its result. For the option that was chosen and
//! for the nearest that lost, a run is supposed to come out at a few quantiles of what is predicted for it;
//! each supposed result joins the calibration, and the workload is placed again. The saving is the cost of
//! today less the mean of those costs: the expected value of sample information.
//!
//! The levels of load of one sweep are supposed to be off alike, and its two latencies too; a result under
//! which nothing keeps the promises is counted at today's cost, since nobody buys that.

mod commands;

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::{InstanceType, Provenance};
use crate::optimize;
use crate::perf::{
    self, Calibration, Calibrator, Conditions, Deployment, Figure, Load, RequestShape, Run, batch_within,
};
use crate::placement::{Loser, Placement, Pool, WorkloadPlacement, World};
use crate::spec::{Lengths, Spec};

pub use commands::Commands;

/// The quantiles that a result is supposed to come out at: the middles of five equal parts.
pub const QUANTILES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// Losing options that are looked at for each workload.
const LOSERS: usize = 4;

/// Requests of each level for every one in flight, after as many as are in flight to warm up. Ten rounds
/// are what InferenceX sends.
const ROUNDS: u32 = 10;

/// Constraints that a measurement can lift.
const MEASURABLE: [&str; 5] = ["dearer", "ttft", "tpot", "e2e", "deadline"];

/// A run that could be made.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// `services.NAME` or `batches.NAME`.
    pub workload: String,
    /// The pool as the plan would deploy it there.
    pub pool: Pool,
    /// What would be measured.
    pub deployment: Deployment,
    /// Whether the plan has chosen it.
    pub chosen: bool,
    /// Requests in flight on one replica, ascending.
    pub levels: Vec<u32>,
    /// Prompt tokens, the mean of the traffic.
    pub input: u32,
    /// Generated tokens, likewise.
    pub output: u32,
    /// Machines, start-up and all levels, hours at the pessimistic edge.
    pub hours: f64,
    /// Machines that the replica takes.
    pub machines: u32,
    /// Dollars an hour for one machine, on demand.
    pub price: Money,
    /// Where the price comes from.
    pub provenance: Provenance,
}

impl Candidate {
    /// What the run costs.
    pub fn cost(&self) -> Money {
        self.price.scale(f64::from(self.machines) * self.hours)
    }
}

/// What the workload would cost if the run came out at a quantile.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The quantile.
    pub quantile: f64,
    /// Measured times over predicted ones.
    pub ratio: f64,
    /// Dollars a month; `None` if nothing would keep the promises.
    pub per_month: Option<Money>,
}

/// A run and what it is worth.
#[derive(Clone, Debug)]
pub struct Valued {
    /// The run.
    pub candidate: Candidate,
    /// Dollars a month today.
    pub now: Money,
    /// What may come of it.
    pub outcomes: Vec<Outcome>,
    /// Dollars a month that are expected to be saved; below zero if knowing more would cost more.
    pub saving: f64,
    /// How to make it; `None` for an engine that cannot be started so.
    pub commands: Result<Commands, String>,
}

impl Valued {
    /// Expected saving of a month less the price of the run, dollars.
    pub fn net(&self) -> f64 {
        self.saving - self.candidate.cost().usd()
    }
}

/// The runs that could be made for a plan, and those that nothing can be said of.
pub fn candidates(spec: &Spec, world: &World, placement: &Placement) -> (Vec<Candidate>, Vec<String>) {
    let spec = &*placement.spec_of(spec);
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    let calibrator = world.calibrator();
    for (address, placed) in &placement.workloads {
        let Some(workload) = Workload::of(spec, address) else { continue };
        if workload.model.measured().is_some() {
            skipped.push(format!("{address}: its times are measured already"));
            continue;
        }
        if workload.shape.output.mean <= 0.0 {
            skipped.push(format!("{address}: its model only reads, and no benchmark of that is understood"));
            continue;
        }
        // A stand-in is of another model, and answers a few hours a year.
        let own = placed.pools.iter().filter(|p| p.stands_in.is_none());
        let mut pools: Vec<(Pool, bool)> = own.map(|p| (p.clone(), true)).collect();
        let losers = placed.losers.iter().filter(|l| MEASURABLE.contains(&l.rejection.constraint));
        pools.extend(losers.filter_map(|l| Some((as_pool(world, &workload, placed, l)?, false))));
        let mut seen: Vec<Deployment> = Vec::new();
        for (pool, chosen) in pools {
            let what = format!("{address} on {} in {}/{}", pool.instance_type, pool.cloud, pool.region);
            match candidate(world, &calibrator, &workload, pool, chosen) {
                Ok(c) if seen.contains(&c.deployment) => {}
                Ok(_) if seen.len() > LOSERS => {}
                Ok(c) => {
                    seen.push(c.deployment.clone());
                    found.push(c);
                }
                Err(why) => skipped.push(format!("{what}: {why}")),
            }
        }
    }
    (found, skipped)
}

/// What a candidate is worth: the workload is placed again under every supposed result.
pub fn value(spec: &Spec, world: &World, placement: &Placement, candidate: Candidate) -> Valued {
    let spec = &*placement.spec_of(spec);
    let address = candidate.workload.as_str();
    let now = placement.workloads.get(address).map_or(Money::from_micros(0), |w| w.cost.expected_per_month);
    let calibrator = world.calibrator();
    let mut outcomes = Vec::new();
    for quantile in QUANTILES {
        let z = crate::math::normal_quantile(quantile);
        let Some((runs, ratio)) = supposed(world, &calibrator, &candidate, z) else { continue };
        let all: Vec<Run> = world.calibration.runs().iter().cloned().chain(runs).collect();
        let then = World { calibration: Calibration::new("", "", all), ..world.clone() };
        let per_month = optimize::cheapest(spec, &then, address).map(|w| w.cost.expected_per_month);
        outcomes.push(Outcome { quantile, ratio, per_month });
    }
    let n = outcomes.len().max(1) as f64;
    let mean = outcomes.iter().map(|o| o.per_month.unwrap_or(now).usd()).sum::<f64>() / n;
    let saving = if outcomes.is_empty() { 0.0 } else { now.usd() - mean };
    let commands = commands::of(spec, placement, &candidate);
    Valued { candidate, now, outcomes, saving, commands }
}

/// The runs that are worth more than they cost, the most first.
pub fn worthwhile(mut all: Vec<Valued>) -> Vec<Valued> {
    all.retain(|v| v.saving > 0.0 && v.net() > 0.0);
    all.sort_by(|a, b| {
        b.net().total_cmp(&a.net()).then_with(|| a.candidate.deployment.cmp(&b.candidate.deployment))
    });
    all
}

/// A workload of the spec, as far as its runs need it.
struct Workload<'a> {
    address: String,
    model: &'a crate::spec::Model,
    shape: RequestShape,
    step_limit_ms: Option<f64>,
}

impl<'a> Workload<'a> {
    fn of(spec: &'a Spec, address: &str) -> Option<Self> {
        let (model, shape, step_limit_ms) = match address.split_once('.')? {
            ("services", name) => {
                let s = spec.services.get(name)?;
                let t = &s.traffic;
                let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
                (&s.model, shape, s.slo.tpot.iter().map(|o| o.limit_ms).min_by(f64::total_cmp))
            }
            ("batches", name) => {
                let b = spec.batches.get(name)?;
                (&b.model, RequestShape { input: b.input, output: b.output, prefix_cached: 0.0 }, None)
            }
            _ => return None,
        };
        Some(Workload { address: address.to_owned(), model: spec.models.get(model)?, shape, step_limit_ms })
    }
}

fn instance_type<'a>(world: &'a World, cloud: Cloud, name: &str) -> Option<&'a InstanceType> {
    world.catalog.instance_type(cloud, name).map(|i| &world.catalog.instance_types[i])
}

/// The pool that a losing option would have been.
fn as_pool(
    world: &World,
    workload: &Workload<'_>,
    placed: &WorkloadPlacement,
    loser: &Loser,
) -> Option<Pool> {
    let like = placed.pools.iter().find(|p| p.stands_in.is_none())?;
    let id = &loser.candidate;
    let kind = instance_type(world, id.cloud, &id.instance_type)?;
    let variant = workload.model.variants.get(&id.variant)?;
    let whole = (kind.accelerator_count.floor() as u32).max(1);
    let size = id.layout.accelerators().max(1);
    let root = rhumb_api::ResourceAddr::parse(workload.address.clone()).ok()?;
    let addr = root.child(id.cloud.as_str()).child(&id.region).child(&id.instance_type);
    Some(Pool {
        addr,
        cloud: id.cloud,
        region: id.region.clone(),
        instance_type: id.instance_type.clone(),
        accelerator: kind.accelerator.and_then(|i| world.catalog.accelerators.get(i)).map(|a| a.id.clone()),
        accelerators_per_machine: kind.accelerator_count,
        variant: id.variant.clone(),
        quantization: variant.quantization,
        kv_cache: variant.kv_cache,
        layout: id.layout,
        replicas_per_machine: if size > whole { 0 } else { whole / size },
        machines_per_replica: size.div_ceil(whole),
        ..like.clone()
    })
}

fn candidate(
    world: &World,
    calibrator: &Calibrator,
    workload: &Workload<'_>,
    pool: Pool,
    chosen: bool,
) -> Result<Candidate, String> {
    let c = world.configuration(&workload.model.name, &pool)?;
    let curve = perf::curve(&c, &workload.shape).map_err(|why| why.to_string())?;
    let curve = calibrator.apply(curve, &c, workload.step_limit_ms);
    let most = batch_within(&curve, workload.step_limit_ms);
    let mut levels: Vec<u32> = [most / 4.0, most / 2.0, most].map(|b| b.round().max(1.0) as u32).to_vec();
    levels.dedup();
    let (price, provenance) = on_demand(world, &pool).ok_or("nobody lists an on-demand price for it")?;
    let machines = pool.machines_per_replica.max(1);
    let per_machine = curve.memory.weights * f64::from(pool.layout.accelerators()) / f64::from(machines);
    let network = instance_type(world, pool.cloud, &pool.instance_type).and_then(|t| t.network_gbps);
    let mut seconds = perf::start_up_s(per_machine, network);
    for level in &levels {
        let found = perf::benchmark(&c, &sent(&workload.shape), f64::from(*level), &CONDITIONS)
            .map_err(|why| why.to_string())?;
        let found = calibrator.apply_to_benchmark(found, &c, &sent(&workload.shape), f64::from(*level));
        let each = found.ttft_s * found.ttft_band.factor(0.9).max(1.0)
            + workload.shape.output.mean * found.tpot_s * found.tpot_band.factor(0.9).max(1.0);
        seconds += f64::from(ROUNDS + 1) * each;
    }
    Ok(Candidate {
        workload: workload.address.clone(),
        deployment: Deployment::of(&c),
        chosen,
        levels,
        input: workload.shape.input.mean.round().max(1.0) as u32,
        output: workload.shape.output.mean.round().max(1.0) as u32,
        hours: seconds / 3600.0,
        machines,
        price,
        provenance,
        pool,
    })
}

/// How the command that is proposed measures: equal lengths, a released version.
const CONDITIONS: Conditions<'static> = Conditions { fixed_lengths: Some(true), build: None };

/// The shape that the command sends: every request as long as the traffic's mean.
fn sent(shape: &RequestShape) -> RequestShape {
    let fixed = |mean: f64| Lengths { mean, cv2: 0.0, p95: mean, max: mean };
    RequestShape {
        input: fixed(shape.input.mean.round().max(1.0)),
        output: fixed(shape.output.mean.round().max(1.0)),
        prefix_cached: 0.0,
    }
}

fn on_demand(world: &World, pool: &Pool) -> Option<(Money, Provenance)> {
    let catalog = &world.catalog;
    let kind = catalog.instance_type(pool.cloud, &pool.instance_type)?;
    let region = catalog.regions.iter().position(|r| r.cloud == pool.cloud && r.id == pool.region)?;
    let all = catalog.offerings.iter().filter(|o| o.instance_type == kind && o.region == region);
    let listed = all.filter(|o| o.purchase == Purchase::OnDemand).min_by_key(|o| o.price)?;
    Some((listed.price, listed.provenance.clone()))
}

/// The runs of a candidate if every figure came out `z` standard deviations off, and by which factor the
/// time per token then is what is predicted.
fn supposed(
    world: &World,
    calibrator: &Calibrator,
    candidate: &Candidate,
    z: f64,
) -> Option<(Vec<Run>, f64)> {
    let catalog = &world.catalog;
    let d = &candidate.deployment;
    let arch = world.archs.values().find(|a| a.id == d.model).or_else(|| catalog.model(&d.model))?;
    let accelerator = catalog.accelerator(&d.accelerator).and_then(|i| catalog.accelerators.get(i))?;
    let mut ratio = 1.0;
    let runs: Option<Vec<Run>> = candidate
        .levels
        .iter()
        .enumerate()
        .map(|(part, level)| {
            let mut run = Run {
                file: "supposed".into(),
                // No file has this digest, so it cannot be taken for one that was recorded.
                sha256: format!("{:064}", part),
                part: part as u32,
                tool: "supposed".into(),
                date: world.today.clone(),
                deployment: d.clone(),
                load: Load::Closed { concurrency: f64::from(*level) },
                input: f64::from(candidate.input),
                output: f64::from(candidate.output),
                fixed_lengths: Some(true),
                requests: u64::from(*level * ROUNDS),
                ttft: Figure { ms: 1.0, error: 0.0 },
                tpot: Figure { ms: 1.0, error: 0.0 },
                accepted: false,
            };
            let (ttft, tpot) = calibrator.expected(&run, arch, accelerator)?;
            run.ttft.ms = ttft.0 * ttft.1.factor(crate::math::normal_cdf(z));
            run.tpot.ms = tpot.0 * tpot.1.factor(crate::math::normal_cdf(z));
            ratio = run.tpot.ms / tpot.0;
            Some(run)
        })
        .collect();
    Some((runs?, ratio))
}
