//! How a model runs on machine types: worked out once for all workloads that run it alike.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use rayon::prelude::*;

use super::federation::{self, Member};
use super::job::{Job, Kind as Work, Role, SEQUENCES, Task};
use super::measured;
use super::mixed;
use super::pipeline::{self, Executor};
use super::played::Played;
use super::refuted::Refuted;
use super::training::{self, Trainer};
use crate::catalog::{Accelerator, InstanceType};
use crate::diagnostic::Pointer;
use crate::perf::adapters::Adapters;
use crate::perf::{self, Calibrator, Configuration, EngineSettings, Layout, ServiceCurve};
use crate::placement::Rejection;
use crate::replay::{Limits, limits_of};
use crate::spec::{Engine, EngineName, KvCacheDtype, Quantization};

/// Most machines that one replica spans.
const MOST_MACHINES_PER_REPLICA: u32 = 4;

/// Fewest accelerators of a machine whose replicas may span several.
const LEAST_TO_SPAN: u32 = 4;

/// A replica's speed, and the same at the pessimistic edge of its band.
pub(super) struct Predicted {
    pub curve: ServiceCurve,
    pub slowed: ServiceCurve,
    /// By which every time is longer.
    pub f: f64,
    /// By which the time to the first token is longer still.
    pub g: f64,
    pub engine: EngineSettings,
    pub limits: Limits,
}

/// It under the loads of one workload.
#[derive(Clone)]
pub(super) struct Speed {
    predicted: Arc<Predicted>,
    /// What the replay contradicted.
    pub refuted: Refuted,
    /// Of a batch, the rates that were played.
    pub played: Played,
}

impl Deref for Speed {
    type Target = Predicted;

    fn deref(&self) -> &Predicted {
        &self.predicted
    }
}

/// One way of running the model on a machine type.
#[derive(Clone)]
pub(super) struct Way {
    /// Index into the names of the model's variants.
    pub variant: usize,
    pub layout: Layout,
    /// Index into [`super::table::Table::speeds`] (of a training, [`super::table::Table::trainers`], of a pipeline, [`super::table::Table::executors`], of a federation, [`super::table::Table::members`]), or why it does not run.
    pub speed: Result<usize, Rejection>,
    /// Replicas on one machine; 1 if a replica spans machines.
    pub replicas: u32,
    /// Machines that a replica spans.
    pub span: u32,
    /// On shared machines: the most replicas of a pool on one of them. A `machine` is then one accelerator of such a machine.
    pub most_on_one: Option<u32>,
}

impl Way {
    /// Replicas that are lost with a machine.
    pub fn per_machine(&self) -> u32 {
        self.most_on_one.unwrap_or(self.replicas)
    }
}

/// Of a machine type.
#[derive(Clone, Default)]
pub(super) struct Kind {
    pub ways: Arc<[Way]>,
    /// Ways that do not run, by the rule that rejects them.
    pub refused: BTreeMap<&'static str, u64>,
    /// Candidates that an offering of this type stands for.
    pub candidates: u64,
}

impl Kind {
    pub fn of(ways: Vec<Way>, candidates: u64) -> Self {
        let mut refused = BTreeMap::new();
        for why in ways.iter().filter_map(|way| way.speed.as_ref().err()) {
            *refused.entry(why.constraint).or_insert(0) += 1;
        }
        Kind { ways: ways.into(), refused, candidates }
    }
}

/// The ways of a model on the machine types that somebody may buy.
#[derive(Default)]
pub(super) struct Runs {
    /// By the index of the type.
    pub kinds: Vec<Kind>,
    speeds: Vec<Arc<Predicted>>,
    /// Of a training.
    pub trainers: Arc<[Trainer]>,
    /// Of a pipeline.
    pub executors: Arc<[Executor]>,
    /// Of a federation.
    pub members: Arc<[Member]>,
    /// What [`Way::variant`] counts.
    pub variants: Vec<String>,
}

impl Runs {
    /// What decides them, in words: equal for workloads that run a model alike.
    ///
    /// The text of all that is read, and not a list of its fields, so that no field can be forgotten.
    pub fn alike(job: &Job<'_>) -> String {
        if let Work::Run(Task::Training(training)) = job.kind {
            return format!("{training:?}");
        }
        if let Work::Run(Task::Pipeline(pipeline)) = job.kind {
            return format!("{pipeline:?}");
        }
        if let Work::Mixed(profiled) = job.kind {
            return format!("{profiled:?}");
        }
        if let Work::Federation(federation, role) = job.kind {
            return format!("{role:?} {federation:?}");
        }
        let pinned = pins(job.engine);
        // Of what is pinned, the place where it is written is told.
        let at = if pinned { job.engine.at.clone() } else { Pointer::root() };
        let engine = Engine { at, ..job.engine.clone() };
        let limit = job.step_limit_ms().filter(|_| !job.world.calibration.runs().is_empty());
        format!("{} {engine:?} {:?} {limit:?}", job.model.name, job.shape)
    }

    /// Those of the types that are `wanted`. Curves are worked out in parallel and collected in order.
    pub fn new(job: &Job<'_>, wanted: &[bool]) -> Self {
        if let Work::Run(Task::Training(training)) = job.kind {
            let (kinds, trainers) = training::runs(job, training, wanted);
            let variants = vec![training.method.as_str().to_owned()];
            return Runs { kinds, trainers, variants, ..Runs::default() };
        }
        if let Work::Run(Task::Pipeline(asked)) = job.kind {
            let (kinds, executors) = pipeline::runs(job, asked, wanted);
            let variants = vec![asked.engine.as_str().to_owned()];
            return Runs { kinds, executors, variants, ..Runs::default() };
        }
        if let Work::Mixed(profiled) = job.kind {
            let kinds = mixed::runs(job, profiled, wanted);
            return Runs { kinds, variants: vec![mixed::VARIANT.to_owned()], ..Runs::default() };
        }
        if let Work::Federation(asked, role) = job.kind {
            let (kinds, members) = federation::runs(job, (asked, role), wanted);
            let variant = if role == Role::Aggregator { "aggregator" } else { "client" };
            return Runs { kinds, members, variants: vec![variant.to_owned()], ..Runs::default() };
        }
        if let Some(stated) = job.model.measured() {
            let (kinds, speeds) = measured::runs(job, stated, wanted);
            let variants = job.model.variants.keys().cloned().collect();
            return Runs { kinds, speeds, variants, ..Runs::default() };
        }
        let catalog = &job.world.catalog;
        let qualities: Vec<Option<Rejection>> = job.model.variants.values().map(|v| job.quality(v)).collect();
        let settings = settings_count(job);
        let mut ask = Ask { job, qualities, keys: BTreeMap::new(), wanted: Vec::new() };
        let mut layouts: BTreeMap<(u32, u32), Vec<Layout>> = BTreeMap::new();
        let mut drafts: Vec<Vec<Draft>> = Vec::with_capacity(catalog.instance_types.len());
        let mut kinds: Vec<Kind> = Vec::with_capacity(catalog.instance_types.len());
        for (kind, wanted) in catalog.instance_types.iter().zip(wanted) {
            let whole = (kind.accelerator_count.floor().clamp(1.0, 1024.0)) as u32;
            let between = kind.rdma_gbps.filter(|g| *g > 0.0).map(|g| g * 1e9 / 8.0 / f64::from(whole));
            let most =
                if between.is_some() && whole >= LEAST_TO_SPAN { MOST_MACHINES_PER_REPLICA } else { 1 };
            let list = layouts.entry((whole, most)).or_insert_with(|| {
                let mut list = perf::layouts(job.arch, whole, most);
                list.retain(|l| l.accelerators() <= whole || l.accelerators().is_multiple_of(whole));
                list
            });
            let candidates = (list.len().max(1) * job.model.variants.len() * settings) as u64;
            kinds.push(Kind { candidates, ..Kind::default() });
            drafts.push(if *wanted { ask.drafts(kind, whole, between, list) } else { Vec::new() });
        }
        let calibrator = job.world.calibrator();
        let found: Vec<Vec<Result<Predicted, Rejection>>> =
            ask.wanted.par_iter().map(|w| speeds_of(job, &calibrator, w)).collect();
        let mut speeds = Vec::new();
        let mut slots: Vec<Vec<Result<usize, Rejection>>> = Vec::new();
        for list in found {
            let mut slot = Vec::new();
            for speed in list {
                slot.push(speed.map(|s| {
                    speeds.push(Arc::new(s));
                    speeds.len() - 1
                }));
            }
            slots.push(slot);
        }
        for (kind, draft) in kinds.iter_mut().zip(drafts) {
            let mut ways = Vec::new();
            draft.into_iter().for_each(|d| d.into_ways(&slots, settings, &mut ways));
            *kind = Kind::of(ways, kind.candidates);
        }
        let variants = job.model.variants.keys().cloned().collect();
        Runs { kinds, speeds, variants, ..Runs::default() }
    }

    /// The speeds for one workload.
    pub fn speeds(&self) -> Vec<Speed> {
        let new = |p: &Arc<Predicted>| Speed {
            predicted: Arc::clone(p),
            refuted: Refuted::default(),
            played: Played::default(),
        };
        self.speeds.iter().map(new).collect()
    }
}

/// Curves that are to be worked out, each once.
struct Ask<'j, 'a> {
    job: &'j Job<'a>,
    /// Of each variant, why it may not be used.
    qualities: Vec<Option<Rejection>>,
    keys: BTreeMap<Key, usize>,
    wanted: Vec<Wanted<'a>>,
}

impl<'a> Ask<'_, 'a> {
    fn drafts(
        &mut self,
        kind: &InstanceType,
        whole: u32,
        between: Option<f64>,
        list: &[Layout],
    ) -> Vec<Draft> {
        let job = self.job;
        let index = kind.accelerator.unwrap_or_default();
        let Some(accelerator) = job.world.catalog.accelerators.get(index) else { return Vec::new() };
        let mut draft = Vec::new();
        for (v, variant) in job.model.variants.values().enumerate() {
            for layout in list {
                let spans = layout.accelerators() > whole;
                let unfit = pinned(job, *layout)
                    .or_else(|| spans.then(|| cannot_span(job)).flatten())
                    .or_else(|| self.qualities[v].clone());
                if let Some(why) = unfit {
                    draft.push(Draft { variant: v, layout: *layout, whole, found: Err(why) });
                    continue;
                }
                let fraction = kind.accelerator_count.min(1.0);
                let node = if spans { whole } else { 0 };
                let speed = between.filter(|_| spans);
                let bits = speed.map_or(0, f64::to_bits);
                let key = (v, index, fraction.to_bits(), *layout, node, bits);
                let wanted = &mut self.wanted;
                let slot = *self.keys.entry(key).or_insert_with(|| {
                    wanted.push(Wanted {
                        quantization: variant.quantization,
                        kv_cache: variant.kv_cache,
                        accelerator,
                        fraction,
                        layout: *layout,
                        node: if spans { whole } else { layout.accelerators().max(1) },
                        between: speed,
                    });
                    wanted.len() - 1
                });
                draft.push(Draft { variant: v, layout: *layout, whole, found: Ok(slot) });
            }
        }
        draft
    }
}

/// What decides a curve: variant, accelerator, fraction, layout, and for a replica over several
/// machines what lies between them; the bits of the numbers make it an exact key.
type Key = (usize, usize, u64, Layout, u32, u64);

struct Wanted<'a> {
    quantization: Quantization,
    kv_cache: KvCacheDtype,
    accelerator: &'a Accelerator,
    fraction: f64,
    layout: Layout,
    node: u32,
    between: Option<f64>,
}

fn settings_count(job: &Job<'_>) -> usize {
    if job.engine.max_num_seqs.is_some() { 1 } else { SEQUENCES.len() }
}

struct Draft {
    variant: usize,
    layout: Layout,
    whole: u32,
    found: Result<usize, Rejection>,
}

impl Draft {
    fn into_ways(self, slots: &[Vec<Result<usize, Rejection>>], settings: usize, ways: &mut Vec<Way>) {
        let size = self.layout.accelerators().max(1);
        let (replicas, span) =
            if size > self.whole { (1, size / self.whole) } else { (self.whole / size, 1) };
        for i in 0..settings {
            let speed = match &self.found {
                Err(why) => Err(why.clone()),
                Ok(slot) => match slots.get(*slot).and_then(|s| s.get(i)) {
                    Some(speed) => speed.clone(),
                    None => continue,
                },
            };
            let (variant, layout) = (self.variant, self.layout);
            ways.push(Way { variant, layout, speed, replicas, span, most_on_one: None });
        }
    }
}

/// Whether the spec says how replicas are cut.
fn pins(e: &Engine) -> bool {
    let sizes = [e.tensor_parallel_size, e.pipeline_parallel_size, e.data_parallel_size];
    sizes.iter().any(Option::is_some) || e.enable_expert_parallel.is_some()
}

/// Why a layout is not the spec's.
fn pinned(job: &Job<'_>, layout: Layout) -> Option<Rejection> {
    let e = job.engine;
    let expert = job.arch.moe.as_ref().and(e.enable_expert_parallel);
    let agrees = e.tensor_parallel_size.is_none_or(|n| n == layout.tp)
        && e.pipeline_parallel_size.is_none_or(|n| n == layout.pp)
        && e.data_parallel_size.is_none_or(|n| n == layout.dp)
        && expert.is_none_or(|on| on == (layout.ep > 1));
    (!agrees).then(|| Rejection {
        constraint: "engine",
        reason: format!("{layout} is not what the engine's arguments ask for"),
        at: Some(e.at.clone()),
        distance: None,
    })
}

/// What is chosen must also be deployed: a way that the engine's own server has no start for is none.
fn cannot_span(job: &Job<'_>) -> Option<Rejection> {
    (job.engine.name == EngineName::Trtllm).then(|| Rejection {
        constraint: "launcher",
        reason: "TensorRT-LLM spans machines only under an MPI launcher, which is not rendered".to_owned(),
        at: Some(job.engine.at.clone()),
        distance: None,
    })
}

/// The speeds of a configuration under each engine setting, in the order of the settings.
fn speeds_of(job: &Job<'_>, calibrator: &Calibrator, w: &Wanted<'_>) -> Vec<Result<Predicted, Rejection>> {
    let sequences: Vec<u32> = job.engine.max_num_seqs.map_or(SEQUENCES.to_vec(), |n| vec![n]);
    let mut filled = true;
    let mut found = Vec::new();
    for n in sequences {
        if !filled {
            found.push(Err(Rejection {
                constraint: "engine-setting",
                reason: format!("memory cannot hold {n} sequences at once, nor the setting below"),
                at: None,
                distance: None,
            }));
            continue;
        }
        let engine = job.settings(n);
        let configuration = Configuration {
            arch: job.arch,
            quantization: w.quantization,
            kv_cache: w.kv_cache,
            accelerator: w.accelerator,
            fraction: w.fraction,
            layout: w.layout,
            accelerators_per_node: w.node,
            inter_node_bandwidth: w.between,
            engine,
        };
        let held = Adapters::of(job.model);
        let curve = perf::adapters::with(&configuration, held, |c| {
            Ok(calibrator.apply(perf::curve(c, &job.shape)?, c, job.step_limit_ms()))
        });
        found.push(match curve {
            Err(why) => Err(does_not_run(&why)),
            Ok(curve) => {
                filled = curve.memory.max_sequences >= n.saturating_mul(w.layout.dp);
                let f = curve.tpot_band.factor(job.spec.confidence).max(1.0);
                let g = (curve.ttft_band.factor(job.spec.confidence) / f).max(1.0);
                let limits = limits_of(&curve, &engine, w.layout);
                Ok(Predicted { slowed: curve.slowed(f), curve, f, g, engine, limits })
            }
        });
    }
    found
}

/// Why a prediction says that something does not run.
pub(super) fn does_not_run(why: &perf::DoesNotFit) -> Rejection {
    Rejection {
        constraint: why.rule(),
        reason: why.to_string(),
        at: None,
        distance: match why {
            perf::DoesNotFit::Memory { needed, available, .. }
            | perf::DoesNotFit::Context { needed, available } => Some(needed / available - 1.0),
            _ => None,
        },
    }
}
