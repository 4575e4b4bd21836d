//! A placed service as something that requests can be played through.

use std::sync::Arc;

use super::arrivals::{Random, Stream, conversations, generate};
use super::engine::Limits;
use super::fleet::{Fleet, Kind, Outcome, Request, Routing, Source, run};
use super::statistics::Sample;
use super::timing::Tabulated;
use crate::perf::adapters::Adapters;
use crate::perf::{self, Configuration, RequestShape, ServiceCurve};
use crate::placement::{Metric, Pool, WorkloadPlacement, World};
use crate::spec::{
    By, Connections, Load, Measured, MeasuredAt, Model, Place, RecordedRequest, Service, Spec,
};

/// The metrics in the order of [`Played::origins`].
pub const METRICS: [Metric; 3] = [Metric::Ttft, Metric::Tpot, Metric::E2e];

/// A pool that can be played.
pub(super) struct PlayedPool {
    pub curve: ServiceCurve,
    slowed: ServiceCurve,
    /// By which the time to the first token is longer still at confidence.
    g: f64,
    limits: Limits,
    pub replicas: u32,
    /// Replicas that go when one machine is not bought; one where services share machines.
    pub on_a_machine: u32,
    pub region: String,
}

/// What is sent to a pool: each request with its origin and network time.
#[derive(Clone, Default)]
struct Sent {
    requests: Vec<Request>,
    from: Vec<(usize, f64)>,
}

/// Where an origin's requests go.
#[derive(Clone, Copy)]
struct Target {
    pool: usize,
    share: f64,
    /// Network time that counts, ms: displayed and at confidence.
    network: (f64, f64),
}

/// A service and its pools.
pub(super) struct Placed<'a> {
    pub service: &'a Service,
    pub pools: Vec<PlayedPool>,
    origins: Vec<Vec<Target>>,
    /// Played in place of the spec's arrivals and lengths.
    pub recorded: Option<Arc<[RecordedRequest]>>,
    /// Its rate, if it is played at its own times and not at the spec's rate.
    pub own_rate: Option<f64>,
}

/// What is played.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Replicas of each pool.
    pub replicas: Vec<u32>,
    /// A region that is lost: its pools are empty and their traffic goes to the origin's others.
    pub without: Option<String>,
    /// A pool, its stand-in, and the share of its requests that this answers.
    pub overflow: Option<(usize, usize, f64)>,
    /// Share of the peak that arrives.
    pub load: f64,
    /// At the pessimistic edge of the prediction instead of the figure.
    pub at_confidence: bool,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    /// Milliseconds of each metric for each origin, network included.
    pub origins: Vec<[Vec<f64>; 3]>,
    pub pools: Vec<PoolUse>,
    /// Requests that found no replica at all.
    pub lost: usize,
}

/// How a pool was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolUse {
    /// Replicas.
    pub replicas: u32,
    /// Requests/s.
    pub rate: f64,
    /// Share of the time in which a replica ran a step.
    pub busy: f64,
    /// Sequences that a replica decoded at once, on average over its busy time.
    pub batch: f64,
    /// Milliseconds that a request waited to be admitted: mean.
    pub queued_ms: f64,
    /// Share of the requests that were preempted.
    pub preempted: f64,
    /// Largest share of the KV cache that running sequences used.
    pub kv: f64,
    /// Share of the prompt tokens that were found in a prefix cache.
    pub hit: f64,
}

/// The curve of a pool's replicas, from what the pool says of itself, the catalogue and the user's own runs, or from the times
/// that the spec states for the model; `step_limit_ms` is the tightest limit on TPOT, at which those runs are compared.
///
/// # Errors
/// In words: a name of the pool that the catalogue does not have, or why it does not run.
pub fn curve_of(
    world: &World,
    model: &Model,
    pool: &Pool,
    shape: &RequestShape,
    step_limit_ms: Option<f64>,
) -> Result<ServiceCurve, String> {
    if let Some(measured) = model.measured() {
        return measured_curve(world, measured, pool);
    }
    let configuration = world.configuration(&model.name, pool)?;
    let alone =
        |c: &Configuration<'_>| Ok(world.calibrator().apply(perf::curve(c, shape)?, c, step_limit_ms));
    perf::adapters::with(&configuration, Adapters::of(model), alone).map_err(|why| why.to_string())
}

/// What the spec says that a server of the pool takes.
fn measured_curve(world: &World, measured: &Measured, pool: &Pool) -> Result<ServiceCurve, String> {
    let catalog = &world.catalog;
    let variant = measured.variants.get(&pool.variant);
    let Some(id) = pool.accelerator.as_deref() else {
        let kind = catalog
            .instance_type(pool.cloud, &pool.instance_type)
            .and_then(|i| catalog.instance_types.get(i))
            .filter(|kind| kind.is_processors_only());
        let row = kind.zip(variant).and_then(|(kind, v)| Some((kind, v, perf::measured::stated(v, kind)?)));
        let (kind, variant, (of, server)) =
            row.ok_or_else(|| format!("no time of `{}` is stated for {}", pool.variant, pool.instance_type))?;
        return perf::measured::on_processors(&server.launch, variant.memory_bytes, of, kind)
            .map_err(|why| why.to_string());
    };
    let on = catalog.accelerator(id).and_then(|i| catalog.accelerators.get(i));
    let row = variant.and_then(|v| Some((v, v.times.get(id)?))).zip(on);
    let ((variant, launch), on) =
        row.ok_or_else(|| format!("no time of `{}` was measured on {id}", pool.variant))?;
    perf::measured::curve(launch, variant.memory_bytes, on).map_err(|why| why.to_string())
}

/// What bounds the batch of a replica.
pub fn limits_of(curve: &ServiceCurve, engine: &perf::EngineSettings, layout: perf::Layout) -> Limits {
    let lanes = layout.dp.max(1);
    Limits {
        sequences: engine.max_num_seqs.max(1).saturating_mul(lanes),
        kv_tokens: if curve.memory.kv_tokens > 0.0 { curve.memory.kv_tokens } else { f64::MAX },
        step_tokens: f64::from(engine.max_num_batched_tokens.max(1)) * f64::from(lanes),
    }
}

/// Requests of a whole service that are made to find those of a part, at most.
const MOST_OF_THE_WHOLE: usize = 4_000_000;

impl<'a> Placed<'a> {
    /// Takes apart what was placed.
    ///
    /// # Errors
    /// In words: what the plan names and the world does not have.
    pub fn new(
        world: &World,
        spec: &Spec,
        service: &'a Service,
        placed: &WorkloadPlacement,
    ) -> Result<Self, String> {
        let model = |pool: &Pool| {
            let name = pool.stands_in.as_ref().map_or(&service.model, |s| &s.model);
            spec.models.get(name).ok_or_else(|| format!("there is no model `{name}`"))
        };
        let confidence = spec.confidence;
        let t = &service.traffic;
        let shape = RequestShape { input: t.input, output: t.output, prefix_cached: t.prefix_cached };
        let step_limit_ms = service.slo.tpot.iter().map(|o| o.limit_ms).min_by(f64::total_cmp);
        let mut pools = Vec::new();
        for pool in &placed.pools {
            let curve = curve_of(world, model(pool)?, pool, &shape, step_limit_ms)
                .map_err(|why| format!("{}: {why}", pool.addr.as_str()))?;
            let f = curve.tpot_band.factor(confidence).max(1.0);
            let g = (curve.ttft_band.factor(confidence) / f).max(1.0);
            pools.push(PlayedPool {
                slowed: curve.slowed(f),
                g,
                limits: limits_of(&curve, &pool.engine, pool.layout),
                curve,
                replicas: pool.replicas,
                on_a_machine: if pool.shared.is_some() { 1 } else { pool.replicas_per_machine.max(1) },
                region: format!("{}/{}", pool.cloud.as_str(), pool.region),
            });
        }
        let mut origins = Vec::new();
        for origin in &t.origins {
            let mut targets = Vec::new();
            for route in placed.routes.iter().filter(|r| r.origin == origin.name) {
                for (pool, share) in &route.to {
                    let at = placed.pools.get(*pool).ok_or("a route leads to no pool")?;
                    let network = network(world, service, &origin.place, at)
                        .ok_or_else(|| format!("the network time from {} is unknown", origin.name))?;
                    targets.push(Target { pool: *pool, share: *share, network });
                }
            }
            origins.push(targets);
        }
        Ok(Placed { service, pools, origins, recorded: t.recorded.clone(), own_rate: None })
    }

    /// Plays these requests at their own times.
    pub fn record(&mut self, requests: &[RecordedRequest]) {
        self.recorded = Some(requests.into());
        self.own_rate = match requests {
            [first, .., last] if last.at_s > first.at_s => {
                Some((requests.len() - 1) as f64 / (last.at_s - first.at_s))
            }
            _ => None,
        };
    }

    /// As planned.
    pub fn as_planned(&self) -> Setting {
        Setting {
            replicas: self.pools.iter().map(|p| p.replicas).collect(),
            without: None,
            overflow: None,
            load: 1.0,
            at_confidence: true,
        }
    }

    /// Where an origin's requests go in a setting: pool, share, network time.
    fn targets(&self, origin: usize, setting: &Setting) -> Vec<(usize, f64, f64)> {
        let alive = |t: &Target| {
            setting.replicas.get(t.pool).is_some_and(|n| *n > 0)
                && setting.without.as_ref().is_none_or(|r| *r != self.pools[t.pool].region)
        };
        let divided = |t: &Target| match setting.overflow {
            Some((pool, stand_in, part)) if pool == t.pool => [(pool, 1.0 - part), (stand_in, part)]
                .map(|(pool, part)| Target { pool, share: t.share * part, ..*t })
                .into(),
            _ => vec![*t],
        };
        let all = self.origins[origin].iter().flat_map(divided);
        let left: Vec<Target> = all.filter(|t| t.share > 0.0 && alive(t)).collect();
        let whole: f64 = left.iter().map(|t| t.share).sum();
        left.into_iter()
            .map(|t| {
                let network = if setting.at_confidence { t.network.1 } else { t.network.0 };
                (t.pool, t.share / whole, network)
            })
            .collect()
    }

    /// Plays `count` requests.
    pub fn play(&self, setting: &Setting, count: usize, seed: u64) -> Played {
        let t = &self.service.traffic;
        let targets: Vec<Vec<(usize, f64, f64)>> =
            (0..t.origins.len()).map(|o| self.targets(o, setting)).collect();
        let (rate, clients) = match t.load {
            _ if self.own_rate.is_some() => (self.own_rate.unwrap_or(1.0) * setting.load, None),
            Load::Rate(rate) => (rate * setting.load, None),
            Load::Concurrency(clients) => (1.0, Some(clients * setting.load)),
        };
        let stream = Stream {
            rate,
            arrivals: t.arrivals,
            input: t.input,
            output: t.output,
            prefix_cached: t.prefix_cached,
            recorded: self.recorded.as_deref(),
        };
        // What nothing is sent to, as a stand-in while nothing fails, is there nonetheless.
        let there =
            |(p, n): (&PlayedPool, &u32)| if setting.without.as_ref() == Some(&p.region) { 0 } else { *n };
        let idle = self.pools.iter().zip(&setting.replicas).map(there);
        let idle = idle.map(|replicas| PoolUse { replicas, ..PoolUse::default() }).collect();
        let mut played = Played { origins: vec![Default::default(); t.origins.len()], pools: idle, lost: 0 };
        let mut to: Vec<Sent> = vec![Sent::default(); self.pools.len()];
        let mut choice = Random::new(seed, "origins");
        let users = clients.map_or(1, |c| (c.round() as u32).max(1));
        let (requests, together) = match &t.sessions {
            None => (self.sent(&stream, count, seed), 1),
            Some(s) => {
                let count = count.max(5 * users as usize * s.turns as usize);
                (conversations(s, &t.output, t.input.max, users, count, seed), s.turns.max(1) as usize)
            }
        };
        let all = requests.len();
        for one in requests.chunks(together) {
            let origin = pick(choice.uniform(), t.origins.iter().map(|o| o.share));
            let at = choice.uniform();
            match targets.get(origin).filter(|t| !t.is_empty()) {
                None => played.lost += one.len(),
                Some(list) => {
                    let (pool, _, network) = list[pick(at, list.iter().map(|t| t.1))];
                    to[pool].requests.extend_from_slice(one);
                    to[pool].from.extend(one.iter().map(|_| (origin, network)));
                }
            }
        }
        for (i, Sent { requests, from }) in to.iter().enumerate() {
            if requests.is_empty() {
                continue;
            }
            let here =
                clients.map_or(1.0, |c| c * requests.len() as f64 / all as f64).round().max(1.0) as u32;
            let source = match (&t.sessions, clients) {
                (Some(s), _) => Source::Sessions { users: here, turns: s.turns, think_s: s.think_s },
                (None, Some(_)) => Source::Closed { clients: here },
                (None, None) => Source::Open,
            };
            let outcomes = self.through(i, setting, requests, source, seed, &mut played.pools[i]);
            // The fleet starts empty: what it does before it is filled is no steady state.
            let skipped = if self.recorded.is_some() { 0 } else { requests.len() / 5 };
            let g = if setting.at_confidence { self.pools[i].g } else { 1.0 };
            for (o, (origin, network)) in outcomes.iter().zip(from).skip(skipped) {
                let [ttft, tpot, e2e] = &mut played.origins[*origin];
                ttft.push(o.ttft_s * 1e3 * g + network);
                tpot.push(o.tpot_s * 1e3);
                e2e.push(o.e2e_s * 1e3 * g + network);
            }
        }
        played
    }

    /// The requests of a stream; of a part of a service those that the whole's stream sends it.
    fn sent(&self, stream: &Stream<'_>, count: usize, seed: u64) -> Vec<Request> {
        let Some(of) =
            self.service.part_of.as_ref().filter(|of| of.slice.by == By::Prompts && self.recorded.is_none())
        else {
            return generate(stream, count, seed);
        };
        let t = &of.service.traffic;
        let whole = Stream {
            rate: stream.rate / of.share,
            arrivals: t.arrivals,
            input: t.input,
            output: t.output,
            prefix_cached: t.prefix_cached,
            recorded: None,
        };
        let all = libm::ceil(count as f64 / of.share * 1.2) as usize + 100;
        let mut own = generate(&whole, all.min(MOST_OF_THE_WHOLE), seed);
        own.retain(|request| of.slice.takes(request.input));
        own.truncate(count);
        own
    }

    fn through(
        &self,
        pool: usize,
        setting: &Setting,
        requests: &[Request],
        source: Source,
        seed: u64,
        used: &mut PoolUse,
    ) -> Vec<Outcome> {
        let p = &self.pools[pool];
        let curve = if setting.at_confidence { &p.slowed } else { &p.curve };
        let replicas = setting.replicas[pool];
        let fleet = Fleet {
            kinds: vec![Kind { timing: Tabulated::of(curve), limits: p.limits, replicas }],
            routing: match source {
                Source::Sessions { .. } => Routing::Sticky,
                Source::Open | Source::Closed { .. } => Routing::LeastOutstanding,
            },
        };
        let run = run(&fleet, requests, source, seed);
        let all = f64::from(replicas) * run.span_s;
        let sum = |f: fn(&super::fleet::Use) -> f64| run.used.iter().map(f).sum::<f64>();
        let busy = sum(|u| u.busy_s);
        *used = PoolUse {
            replicas,
            rate: arriving(&run.outcomes),
            busy: busy / all,
            batch: sum(|u| u.sequence_s) / busy,
            queued_ms: 1e3 * Sample::new(run.outcomes.iter().map(|o| o.queued_s)).mean().unwrap_or(0.0),
            preempted: sum(|u| u.preempted as f64) / requests.len() as f64,
            hit: {
                let found: f64 =
                    run.outcomes.iter().zip(requests).map(|(o, r)| o.hit * f64::from(r.input)).sum();
                found / requests.iter().map(|r| f64::from(r.input)).sum::<f64>()
            },
            kv: run.used.iter().map(|u| u.most_tokens).fold(0.0, f64::max) / p.limits.kv_tokens,
        };
        run.outcomes
    }
}

/// Requests/s, from the first sent to the last.
fn arriving(outcomes: &[Outcome]) -> f64 {
    let sent = || outcomes.iter().map(|o| o.at_s);
    let span = sent().fold(0.0, f64::max) - sent().fold(f64::INFINITY, f64::min);
    if span > 0.0 { (outcomes.len() - 1) as f64 / span } else { 0.0 }
}

/// The index that a number in (0, 1) falls on among shares.
fn pick(at: f64, shares: impl Iterator<Item = f64> + Clone) -> usize {
    let whole: f64 = shares.clone().sum();
    let mut left = at * whole;
    let mut last = 0;
    for (i, share) in shares.enumerate() {
        last = i;
        if left < share {
            return i;
        }
        left -= share;
    }
    last
}

/// Network time that counts in an objective, ms: displayed and at confidence; `None` if it is unknown.
fn network(world: &World, service: &Service, place: &Place, pool: &Pool) -> Option<(f64, f64)> {
    if *place == Place::Vpc || service.slo.measured_at != MeasuredAt::Client {
        return Some((0.0, 0.0));
    }
    let region = world.catalog.regions.iter().position(|r| r.cloud == pool.cloud && r.id == pool.region)?;
    let trip = world.catalog.round_trip(place, region)?;
    let trips = match service.slo.connections {
        Connections::Warm => 1.0,
        Connections::New => 3.0,
    };
    let whole = |ms: f64| (ms + service.slo.last_mile_ms) * trips;
    Some((whole(trip.ms), whole(trip.ms_p90)))
}
