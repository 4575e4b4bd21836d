//! What is checked: a workload of the spec, and the catalogue rows behind each of its pools.

use rhumb_api::{Cloud, Money, Purchase};

use crate::catalog::{Accelerator, Catalog, InstanceType, ModelArch, Offering, Region};
use crate::math;
use crate::perf::adapters::Adapters;
use crate::perf::{self, Configuration, RequestShape, ServiceCurve};
use crate::placement::{Pool, WorkloadPlacement, World};
use crate::spec::{
    AllowDeny, Batch, Engine, EngineName, Federation, KvCacheDtype, Model, NO_MODEL, Pipeline,
    PlacementRules, Profiled, PurchaseRules, Quantization, Service, Spec, Training,
};

use super::Ledger;
use super::day::{self, Day};
use super::fleet::{Part, Parts};
use super::following::{self, Hours};
use super::{measured, rollout, shared};

/// Which sort of workload.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a> {
    Service(&'a Service),
    /// A service with a profile.
    Profiled(&'a Profiled),
    Batch(&'a Batch),
    Training(&'a Training),
    Pipeline(&'a Pipeline),
    /// Of a federation its aggregator, unless it is [`Work::clients`].
    Federation(&'a Federation),
}

/// A workload as the spec asks for it.
#[derive(Clone)]
pub(super) struct Work<'a> {
    pub address: String,
    pub kind: Kind<'a>,
    pub model: &'a Model,
    pub arch: &'a ModelArch,
    pub rules: &'a PlacementRules,
    pub purchase: &'a PurchaseRules,
    /// What answers requests; `None` of a training.
    pub served: Option<Served<'a>>,
    pub confidence: f64,
    /// Whether it is the clients of a federation.
    pub client: bool,
    /// The models that may stand in, in the order of the spec.
    pub smaller: Vec<(&'a Model, &'a ModelArch)>,
    /// Machines of each kind of a pool that a cloud may have besides while they are made anew.
    pub surge: u32,
    /// Whether a month of the peak and the ceiling have nothing of it.
    pub below_the_peak: bool,
}

/// An engine and its requests.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub engine: &'a Engine,
    pub shape: RequestShape,
}

/// The addresses of all workloads of a spec.
pub(super) fn addresses(spec: &Spec) -> Vec<String> {
    let mut services: Vec<&String> = spec.services.keys().chain(spec.profiled.keys()).collect();
    services.sort_unstable();
    let services = services.into_iter().map(|name| format!("services.{name}"));
    let batches = spec.batches.keys().map(|name| format!("batches.{name}"));
    let trainings = spec.trainings.keys().map(|name| format!("trainings.{name}"));
    let pipelines = spec.pipelines.keys().map(|name| format!("pipelines.{name}"));
    let federations = spec.federations.keys().map(|name| format!("federations.{name}"));
    services.chain(batches).chain(trainings).chain(pipelines).chain(federations).collect()
}

impl<'a> Work<'a> {
    /// The workload at `address`; `None` if the spec or the world does not have its model.
    pub fn of(spec: &'a Spec, world: &'a World, address: &str) -> Option<Self> {
        let kind = match address.split_once('.')? {
            ("services", name) => match spec.profiled.get(name) {
                Some(profiled) => Kind::Profiled(profiled),
                None => Kind::Service(spec.services.get(name)?),
            },
            ("batches", name) => Kind::Batch(spec.batches.get(name)?),
            ("trainings", name) => Kind::Training(spec.trainings.get(name)?),
            ("pipelines", name) => Kind::Pipeline(spec.pipelines.get(name)?),
            ("federations", name) => Kind::Federation(spec.federations.get(name)?),
            _ => return None,
        };
        let (model, rules, purchase, served) = match kind {
            Kind::Service(s) => {
                let t = &s.traffic;
                let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
                (Some(&s.model), &s.placement, &s.purchase, Some(Served { engine: &s.engine, shape }))
            }
            Kind::Batch(b) => {
                let shape = RequestShape { input: b.input, output: b.output, prefix_cached: 0.0 };
                (Some(&b.model), &b.placement, &b.purchase, Some(Served { engine: &b.engine, shape }))
            }
            Kind::Training(t) => (Some(&t.model), &t.placement, &t.purchase, None),
            Kind::Pipeline(p) => (None, &p.placement, &p.purchase, None),
            Kind::Profiled(p) => (None, &p.placement, &p.purchase, None),
            Kind::Federation(f) => (None, &f.placement, &f.purchase, None),
        };
        let (model, arch) = match model {
            Some(name) => {
                let model = spec.models.get(name)?;
                (model, world.arch(model)?)
            }
            None => (&*NO_MODEL, &*perf::measured::NO_ARCHITECTURE),
        };
        let named = match kind {
            Kind::Service(s) => s.degrade.iter().flat_map(|d| &d.to).collect(),
            _ => Vec::new(),
        };
        let known = |model: &'a Model| Some((model, world.arch(model)?));
        let smaller = named.into_iter().map(|s| known(spec.models.get(&s.model)?)).collect::<Option<_>>()?;
        Some(Work {
            address: address.to_owned(),
            kind,
            model,
            arch,
            rules,
            purchase,
            served,
            confidence: spec.confidence,
            client: false,
            smaller,
            surge: rollout::surge(spec, address, Cloud::Aws),
            below_the_peak: shared::is_below_the_peak(spec, address),
        })
    }

    /// The clients of a federation, which are at its sites and nowhere else.
    pub fn clients(&self) -> Option<Self> {
        let Kind::Federation(asked) = self.kind else { return None };
        Some(Work { rules: &asked.at_sites, client: true, ..self.clone() })
    }

    /// Machines beside so many of one kind in a cloud, for a while.
    pub fn beside(&self, cloud: Cloud, machines: u32) -> u32 {
        if cloud == Cloud::Site { 0 } else { self.surge.min(machines) }
    }

    /// It with each of the models that may stand in.
    pub fn stand_ins(&self) -> Vec<Self> {
        let with = |(model, arch): &(&'a Model, &'a ModelArch)| Work {
            model,
            arch,
            smaller: Vec::new(),
            ..self.clone()
        };
        self.smaller.iter().map(with).collect()
    }

    /// The members of a federation that a pool is one of, or a service with the model of a pool that stands in; anything else is as it is.
    pub fn of_pool(&self, pool: &Pool) -> Option<Self> {
        if let Some(s) = &pool.stands_in {
            return self.stand_ins().into_iter().find(|work| work.model.name == s.model);
        }
        self.clients().filter(|_| pool.cloud == Cloud::Site)
    }

    /// Whether it is one of machines without accelerators, which others would leave idle.
    pub fn bare(&self) -> bool {
        matches!(self.kind, Kind::Pipeline(_) | Kind::Federation(_)) && !self.client
    }
}

impl Work<'_> {
    /// The tightest objective on the time per token, ms.
    pub fn step_limit_ms(&self) -> Option<f64> {
        match self.kind {
            Kind::Profiled(_)
            | Kind::Batch(_)
            | Kind::Training(_)
            | Kind::Pipeline(_)
            | Kind::Federation(_) => None,
            Kind::Service(s) => {
                let limits = s.slo.tpot.iter().map(|objective| objective.limit_ms);
                limits.fold(None, |least: Option<f64>, limit| Some(least.map_or(limit, |l| l.min(limit))))
            }
        }
    }
}

/// A pool with the rows that it stands on and the curve of its replicas.
pub(super) struct Checked<'a> {
    /// Index into the placement's pools.
    pub index: usize,
    pub pool: &'a Pool,
    pub type_index: usize,
    pub region_index: usize,
    pub region: &'a Region,
    /// Machines, from the counts.
    pub machines: u32,
    /// Spot machines among them.
    pub spot: u32,
    /// Displayed prediction of one replica; `None` if the configuration does not run, and of a training.
    pub engine: Option<Engined>,
    /// Bytes of weights that are copied to one machine.
    pub weights_per_machine: f64,
    pub instance_type: &'a InstanceType,
    /// Seconds that a machine takes to start.
    pub start_up_s: u32,
    /// What it pays of the machines that it shares, dollars an hour, and where their price comes from.
    pub part: Option<&'a Part<'a>>,
    /// The week of such a pool.
    pub day: Day,
    /// The pool in each class of it, the peak last.
    pub hours: Vec<Hours>,
}

impl Checked<'_> {
    /// How many times weights are copied: to each machine, and for each replica where they are shared.
    pub fn copies(&self) -> u32 {
        if self.pool.shared.is_some() { self.pool.replicas } else { self.machines }
    }

    /// Behind a message about a class of hours: which one, if it is not the peak's.
    pub fn when(&self, hours: &Hours) -> String {
        let share = hours.class.part() * 100.0;
        if hours.class.share == day::PEAK { String::new() } else { format!(", in the hours of {share} %") }
    }
}

/// The curve of a replica and its factors at the planned confidence.
pub(super) struct Engined {
    pub curve: ServiceCurve,
    /// The same replica at the pessimistic edge.
    pub slowed: ServiceCurve,
    /// By which every time is longer.
    pub f: f64,
    /// By which the time to the first token is longer still.
    pub g: f64,
}

impl Engined {
    pub fn new(curve: ServiceCurve, confidence: f64) -> Self {
        let f = curve.tpot_band.factor(confidence).max(1.0);
        let g = (curve.ttft_band.factor(confidence) / f).max(1.0);
        Engined { slowed: curve.slowed(f), curve, f, g }
    }
}

/// The offering of a type in a region, among all raw rows.
pub(super) fn offering(catalog: &Catalog, of: usize, at: usize, purchase: Purchase) -> Option<&Offering> {
    catalog.offerings.iter().find(|o| o.instance_type == of && o.region == at && o.purchase == purchase)
}

/// The cheapest price among `options` in a region, and its option.
pub(super) fn cheapest(
    catalog: &Catalog,
    of: usize,
    at: usize,
    options: &[Purchase],
) -> Option<(Money, Purchase)> {
    options
        .iter()
        .filter(|p| **p != Purchase::Spot)
        .filter_map(|p| offering(catalog, of, at, *p).map(|o| (o.price, *p)))
        .min()
}

/// Whether a region is named by a list of ids, plain or as `cloud/region`.
pub(super) fn region_allowed(rule: &AllowDeny<String>, cloud: Cloud, region: &str) -> bool {
    let full = format!("{cloud}/{region}");
    let named = |list: &[String]| list.iter().any(|item| item == region || *item == full);
    match rule {
        AllowDeny::Any => true,
        AllowDeny::Only(list) => named(list),
        AllowDeny::Not(list) => !named(list),
    }
}

/// Whether data may be in a region: any tag or country of the rule will do, none means anywhere.
pub(super) fn resides(rule: &[String], region: &Region) -> bool {
    let country = region.country.to_lowercase();
    rule.is_empty() || rule.iter().any(|tag| *tag == country || region.jurisdictions.contains(tag))
}

/// Looks up the rows behind every pool and predicts its replicas again. Pools without rows are
/// findings and are left out.
pub(super) fn pools<'a>(
    log: &mut Ledger,
    world: &'a World,
    work: &Work<'_>,
    placed: &'a WorkloadPlacement,
    parts: &'a Parts<'a>,
) -> Vec<Checked<'a>> {
    log.hold(!placed.pools.is_empty(), "workload", &work.address, || {
        ("nothing was placed".into(), "at least one pool".into(), "none".into())
    });
    let mut checked = Vec::new();
    for (index, pool) in placed.pools.iter().enumerate() {
        let address = pool.addr.as_str();
        let twin = placed.pools[..index].iter().any(|other| other.addr == pool.addr);
        log.hold(!twin, "address", address, || {
            ("two pools share an address".into(), "its own".into(), address.to_owned())
        });
        let expected = format!("{}/{}/{}/{}", work.address, pool.cloud, pool.region, pool.instance_type);
        let own = address == expected || address.starts_with(&format!("{expected}/"));
        log.hold(own, "address", address, || {
            ("the address does not tell what the pool is".into(), expected.clone(), address.to_owned())
        });
        let clients = work.of_pool(pool);
        if let Some(c) = check_pool(log, world, clients.as_ref().unwrap_or(work), index, pool) {
            let part = pool.shared.as_ref().and_then(|_| parts.get(address));
            checked.push(Checked { part, ..c });
        }
    }
    checked
}

fn check_pool<'a>(
    log: &mut Ledger,
    world: &'a World,
    work: &Work<'_>,
    index: usize,
    pool: &'a Pool,
) -> Option<Checked<'a>> {
    let catalog = &world.catalog;
    let address = pool.addr.as_str();
    let row = |t: &InstanceType| t.cloud == pool.cloud && t.name == pool.instance_type;
    let Some(type_index) = catalog.instance_types.iter().position(row) else {
        log.finding(
            "instance-type",
            address,
            "no such instance type",
            "a catalogue row",
            &pool.instance_type,
        );
        return None;
    };
    let row = |r: &Region| r.cloud == pool.cloud && r.id == pool.region;
    let Some(region_index) = catalog.regions.iter().position(row) else {
        log.finding("region", address, "no such region", "a catalogue row", &pool.region);
        return None;
    };
    let instance_type = &catalog.instance_types[type_index];
    let accelerator = instance_type.accelerator.and_then(|i| catalog.accelerators.get(i));
    let pipeline = work.bare();
    let whole = matches!(work.kind, Kind::Profiled(_));
    let bare =
        instance_type.accelerator_count == 0.0 && (pipeline || whole || work.model.measured().is_some());
    if accelerator.is_none() && !bare {
        log.finding("instance-type", address, "the type has no accelerator", "an accelerator", "none");
        return None;
    }
    log.same(
        "instance-type",
        address,
        "the accelerator",
        accelerator.map_or("none", |a| a.id.as_str()),
        pool.accelerator.as_deref().unwrap_or("none"),
    );
    let status = instance_type.status.as_str();
    log.hold(status == "current" || status.starts_with("previous"), "instance-type", address, || {
        ("the type is no longer sold to everyone".into(), "current or previous".into(), status.to_owned())
    });
    let count = instance_type.accelerator_count;
    log.near(
        "instance-type",
        address,
        "the number of accelerators",
        count,
        pool.accelerators_per_machine,
        0.0,
    );
    log.hold(!pipeline || accelerator.is_none(), "instance-type", address, || {
        let found = instance_type.name.clone();
        ("it leaves its accelerators idle".into(), "a machine without any".into(), found)
    });
    if work.model.measured().is_none() && !pipeline {
        log.same_debug("engine", address, "the vCPUs of a replica", &None, &pool.vcpus_per_replica);
    }
    let engine = match work.model.measured() {
        Some(stated) => measured::server(log, work, stated, pool, instance_type, accelerator),
        None => work
            .served
            .zip(accelerator)
            .and_then(|(served, on)| check_engine(log, world, work, served, pool, instance_type, on)),
    };
    let of = |spot: bool| {
        pool.machines.iter().filter(|m| (m.purchase == Purchase::Spot) == spot).map(|m| m.count).sum::<u32>()
    };
    let weights = engine.as_ref().map_or(pool.memory.weights, |e| e.curve.memory.weights);
    let weights_per_machine = match work.kind {
        // A training starts from the 16-bit weights on every machine.
        Kind::Training(_) => 2.0 * work.arch.params,
        _ => weights * f64::from(pool.layout.accelerators()) / f64::from(pool.machines_per_replica.max(1)),
    };
    let start_up_s = day::whole_seconds(perf::start_up_s(weights_per_machine, instance_type.network_gbps));
    let day = match work.kind {
        Kind::Service(service) => Day::of(service, start_up_s),
        Kind::Profiled(_) | Kind::Batch(_) | Kind::Training(_) | Kind::Pipeline(_) | Kind::Federation(_) => {
            Day::whole()
        }
    };
    Some(Checked {
        index,
        pool,
        type_index,
        region_index,
        region: &catalog.regions[region_index],
        machines: of(false) + of(true),
        spot: of(true),
        engine,
        weights_per_machine,
        instance_type,
        start_up_s,
        part: None,
        hours: following::hours(pool, &day),
        day,
    })
}

/// Predicts a replica of an engine again.
fn check_engine(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    served: Served<'_>,
    pool: &Pool,
    on: &InstanceType,
    accelerator: &Accelerator,
) -> Option<Engined> {
    let configuration = configuration(work, pool, on, accelerator);
    let held = Adapters::of(work.model);
    check_memory(log, (&served.shape, held), pool, &configuration);
    let alone = |c: &Configuration<'_>| {
        Ok(world.calibrator().apply(perf::curve(c, &served.shape)?, c, work.step_limit_ms()))
    };
    match perf::adapters::with(&configuration, held, alone) {
        Ok(curve) => {
            let engine = Engined::new(curve, work.confidence);
            check_prediction(log, pool, &engine, work.confidence);
            Some(engine)
        }
        Err(why) => {
            log.finding(
                "does-not-fit",
                pool.addr.as_str(),
                "the configuration does not run",
                "a prediction",
                format!("{why:?}"),
            );
            None
        }
    }
}

/// What the pool says of itself, on the hardware that the catalogue says it has.
fn configuration<'a>(
    work: &'a Work<'_>,
    pool: &Pool,
    on: &InstanceType,
    accelerator: &'a Accelerator,
) -> Configuration<'a> {
    let whole = (on.accelerator_count.floor() as u32).max(1);
    let spans = pool.machines_per_replica > 1;
    Configuration {
        arch: work.arch,
        quantization: pool.quantization,
        kv_cache: pool.kv_cache,
        accelerator,
        fraction: on.accelerator_count.min(1.0),
        layout: pool.layout,
        accelerators_per_node: whole,
        inter_node_bandwidth: on.rdma_gbps.filter(|_| spans).map(|gbps| gbps * 1e9 / 8.0 / f64::from(whole)),
        engine: pool.engine,
    }
}

fn check_memory(
    log: &mut Ledger,
    (shape, held): (&RequestShape, Option<Adapters>),
    pool: &Pool,
    configuration: &Configuration<'_>,
) {
    let address = pool.addr.as_str();
    let fit = match perf::adapters::fit(configuration, held, shape) {
        Ok(fit) => fit,
        Err(why) => {
            log.finding("does-not-fit", address, "the model does not fit", "room", format!("{why:?}"));
            return;
        }
    };
    let said = &pool.memory;
    for (what, derived, said) in [
        ("device memory", fit.device, said.device),
        ("usable memory", fit.usable, said.usable),
        ("memory for weights", fit.weights, said.weights),
        ("memory for overhead", fit.overhead, said.overhead),
        ("memory for the KV cache", fit.kv_cache, said.kv_cache),
        ("KV bytes of a token", fit.kv_per_token, said.kv_per_token),
        ("tokens in the KV cache", fit.kv_tokens, said.kv_tokens),
    ] {
        log.near("memory", address, what, derived, said, 1e-9);
    }
    log.same("memory", address, "the most sequences at once", &fit.max_sequences, &said.max_sequences);
    log.hold(
        pool.machines_per_replica <= 1 || pool.engine.name != EngineName::Trtllm,
        "does-not-fit",
        address,
        || {
            let one = "a machine for each replica".to_owned();
            (
                "TensorRT-LLM's own server does not span machines".into(),
                one,
                pool.machines_per_replica.to_string(),
            )
        },
    );
    let taken = fit.weights + fit.overhead + fit.kv_cache;
    log.hold(taken <= fit.usable * (1.0 + 1e-9) && fit.usable <= fit.device, "memory", address, || {
        ("the parts take more than there is".into(), fit.usable.to_string(), taken.to_string())
    });
}

pub(super) fn check_prediction(log: &mut Ledger, pool: &Pool, engine: &Engined, confidence: f64) {
    let address = pool.addr.as_str();
    let curve = &engine.curve;
    log.same_debug("figure", address, "the class of the prediction", &curve.evidence, &pool.evidence);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs();
    // Both the band's own factor and the one that is planned for (never below 1) are read as right.
    let ttft = curve.ttft_band.factor(confidence);
    let planned = engine.f * engine.g;
    log.hold(close(ttft, pool.ttft_factor) || close(planned, pool.ttft_factor), "figure", address, || {
        ("the factor on TTFT is wrong".into(), planned.to_string(), pool.ttft_factor.to_string())
    });
    let tpot = curve.tpot_band.factor(confidence);
    log.hold(close(tpot, pool.tpot_factor) || close(engine.f, pool.tpot_factor), "figure", address, || {
        ("the factor on TPOT is wrong".into(), engine.f.to_string(), pool.tpot_factor.to_string())
    });
}

/// Zones that a pool's machines can be spread over: `None` if the number of the region's is unknown.
pub(super) fn zones(c: &Checked<'_>, replicas: u32) -> Option<u32> {
    let by_replica = c.pool.machines_per_replica > 1 || c.pool.shared.is_some();
    let units = if by_replica { replicas } else { c.machines };
    c.region.zones.map(|z| z.min(units).max(1))
}

/// Bytes in a GiB.
pub(super) const GIB: f64 = 1_073_741_824.0;

/// Whether a variant is stored as the checkpoint was published.
pub(super) fn is_native(quantization: Quantization, arch: &ModelArch) -> bool {
    quantization == Quantization::Native || quantization == arch.native
}

/// Whether a pool stores the KV cache as a variant says.
pub(super) fn kv_cache_agrees(asked: KvCacheDtype, said: KvCacheDtype) -> bool {
    asked == said || matches!((asked, said), (KvCacheDtype::Auto, KvCacheDtype::Bf16))
}

/// The largest `x` in `[0, high]` for which `holds`, to a relative 1e-9; 0 if there is none.
/// `holds` must be monotone: true below some point and false above it.
pub(super) fn largest(high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, high);
    if high.is_nan() || high <= 0.0 || high.is_infinite() {
        return 0.0;
    }
    if holds(high) {
        return high;
    }
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if high - low <= high * 1e-9 {
            break;
        }
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// `ceil(share * n)` without the last bit of a product that should have been whole.
pub(super) fn part_up(share: f64, n: u32) -> u32 {
    (share * f64::from(n) - 1e-9).ceil().max(0.0) as u32
}

/// `floor(share * n)`, likewise.
pub(super) fn part_down(share: f64, n: u32) -> u32 {
    (share * f64::from(n) + 1e-9).floor().max(0.0) as u32
}

/// A figure rounded as predictions are (thousandths).
pub(super) fn thousandth(x: f64) -> f64 {
    math::round_to(x, 3)
}
