//! What a training may run on: for each machine type and number of machines the fastest way that fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::job::Job;
use super::pool::GIB;
use super::ways::{Kind, Way};
use crate::catalog::{Accelerator, Evidence, InstanceType};
use crate::math::round_to;
use crate::perf::training::{self, Checkpointing, Free, Pace, Run, Sharding, TrainingMemory};
use crate::perf::{self, Layout};
use crate::placement::Rejection;
use crate::spec::Training;

/// Most machines that train together.
const MOST_MACHINES: u32 = 64;

/// What a number of machines of a type does.
#[derive(Clone, Debug)]
pub(super) struct Trainer {
    /// Accelerators that train: of a single machine some may stay idle, if they do not divide a step.
    pub accelerators: u32,
    pub sharding: Sharding,
    pub checkpointing: Checkpointing,
    pub micro_batch: u32,
    /// Of all, as predicted.
    pub predicted_tokens_per_s: f64,
    /// Of all, at the planned confidence.
    pub tokens_per_s: f64,
    pub memory: TrainingMemory,
    pub evidence: Evidence,
    pub notes: Vec<String>,
    /// That each machine reads before it starts.
    pub weights_gib: f64,
    pub checkpoint_gib: f64,
    /// Seconds until the first step.
    pub start_s: f64,
    /// Seconds to write a checkpoint: every machine writes its part.
    pub checkpoint_s: f64,
    /// Interruptions an hour without the loss of spot machines.
    failures_per_hour: f64,
}

impl Trainer {
    /// With so many losses of spot machines an hour.
    pub fn pace(&self, training: &Training, lost_per_hour: f64) -> Pace {
        Pace {
            work_s: training.tokens() / self.tokens_per_s,
            start_s: self.start_s,
            checkpoint_s: self.checkpoint_s,
            interruptions_per_hour: self.failures_per_hour + lost_per_hour,
            every_s: training.checkpoint_every_s,
        }
    }
}

/// What decides a trainer, and whoever has it.
type Key = (usize, u32, u32, u64, u64);

struct Wanted<'a> {
    accelerator: &'a Accelerator,
    whole: u32,
    machines: u32,
    /// Between machines, bytes/s for each accelerator.
    between: Option<f64>,
    network_gbps: Option<f64>,
}

/// The ways of a training on the machine types that are `wanted`, and what does it there.
pub(super) fn runs(job: &Job<'_>, training: &Training, wanted: &[bool]) -> (Vec<Kind>, Arc<[Trainer]>) {
    let catalog = &job.world.catalog;
    let mut keys: BTreeMap<Key, usize> = BTreeMap::new();
    let mut asked: Vec<Wanted<'_>> = Vec::new();
    let mut drafts: Vec<Vec<(u32, usize)>> = Vec::with_capacity(wanted.len());
    for (kind, wanted) in catalog.instance_types.iter().zip(wanted) {
        let whole = whole(kind);
        let index = kind.accelerator.unwrap_or_default();
        let Some(accelerator) = catalog.accelerators.get(index).filter(|_| *wanted) else {
            drafts.push(Vec::new());
            continue;
        };
        // Without a network of their own for this, machines talk over the common one.
        let known = |g: &f64| *g > 0.0;
        let gbps = kind.rdma_gbps.filter(known).or(kind.network_gbps.filter(known));
        let between = gbps.map(|g| g * 1e9 / 8.0 / f64::from(whole));
        let bits = |x: Option<f64>| x.map_or(0, f64::to_bits);
        let slot = |machines| {
            let key = (index, whole, machines, bits(between), bits(kind.network_gbps));
            let slot = *keys.entry(key).or_insert_with(|| {
                asked.push(Wanted { accelerator, whole, machines, between, network_gbps: kind.network_gbps });
                asked.len() - 1
            });
            (machines, slot)
        };
        drafts.push(counts(whole, training.batch_size).map(slot).collect());
    }
    let found: Vec<Result<Trainer, Rejection>> =
        asked.par_iter().map(|w| trainer(job, training, w)).collect();
    let mut trainers = Vec::new();
    let mut slots = Vec::new();
    for (trainer, w) in found.into_iter().zip(&asked) {
        let accelerators = trainer.as_ref().map_or(w.whole * w.machines, |t| t.accelerators);
        let layout = Layout { tp: 1, pp: 1, dp: accelerators, ep: 1 };
        let speed = trainer.map(|t| {
            trainers.push(t);
            trainers.len() - 1
        });
        slots.push((layout, speed));
    }
    let kinds = catalog.instance_types.iter().zip(drafts).map(|(kind, draft)| {
        let way = |(span, slot): (u32, usize)| {
            let (layout, speed) = slots.get(slot)?.clone();
            Some(Way { variant: 0, layout, speed, replicas: 1, span, most_on_one: None })
        };
        let candidates = counts(whole(kind), training.batch_size).count().max(1) as u64;
        Kind::of(draft.into_iter().filter_map(way).collect(), candidates)
    });
    (kinds.collect(), trainers.into())
}

/// Accelerators of a machine; 0 if it has a part of one.
fn whole(kind: &InstanceType) -> u32 {
    let whole = kind.accelerator_count.floor().clamp(0.0, 1024.0);
    if whole == kind.accelerator_count { whole as u32 } else { 0 }
}

/// Numbers of machines whose accelerators divide a step; one machine always, unless it has no whole accelerator.
fn counts(whole: u32, batch: u32) -> impl Iterator<Item = u32> {
    (1..=MOST_MACHINES).filter(move |n| {
        whole > 0 && (*n == 1 || whole.checked_mul(*n).is_some_and(|all| batch.is_multiple_of(all)))
    })
}

fn no(constraint: &'static str, reason: String) -> Rejection {
    Rejection { constraint, reason, at: None, distance: None }
}

/// The fastest of what `w` may do; on a single machine of any number of its accelerators that divides a step.
fn trainer(job: &Job<'_>, training: &Training, w: &Wanted<'_>) -> Result<Trainer, Rejection> {
    let fewest = if w.machines == 1 { 1 } else { w.whole * w.machines };
    let mut best: Option<(training::Training, Run<'_>)> = None;
    let mut why = None;
    for accelerators in (fewest..=w.whole * w.machines).filter(|n| training.batch_size.is_multiple_of(*n)) {
        let base = Run {
            arch: job.arch,
            accelerator: w.accelerator,
            accelerators,
            accelerators_per_node: w.whole,
            network: w.between,
            method: training.method,
            framework: training.framework,
            precision: training.precision,
            sequence: training.sequence_tokens,
            micro_batch: 1,
            sharding: Sharding::None,
            checkpointing: Checkpointing::None,
        };
        let free = Free {
            micro_batch: training.micro_batch,
            sharding: training.sharding,
            checkpointing: training.checkpointing,
        };
        let found = training::fastest(&base, training.batch_size, free)
            .and_then(|run| Ok((training::predict(&run)?, run)));
        match found {
            Ok(found) if best.as_ref().is_none_or(|b| found.0.tokens_per_s > b.0.tokens_per_s) => {
                best = Some(found);
            }
            Ok(_) => {}
            Err(e) => why = Some(e),
        }
    }
    let Some((predicted, run)) = best else {
        return Err(match why {
            Some(why) => super::ways::does_not_run(&why),
            None => no("layout", format!("no number of accelerators of {} divides a step", w.accelerator.id)),
        });
    };
    // At the pessimistic edge: so much is reached with the probability asked for.
    let edge = predicted.band.factor(1.0 - job.spec.confidence).min(1.0);
    let tokens_per_s = round_to(predicted.tokens_per_s * edge, 3);
    if tokens_per_s <= 0.0 {
        return Err(no("unknown", format!("no speed is known on {}", w.accelerator.id)));
    }
    let weights = 2.0 * job.arch.params;
    let checkpoint = training::checkpoint_bytes(job.arch, training.method);
    let (machines, rate) = (f64::from(w.machines), perf::start_up::storage_rate(w.network_gbps));
    let dataset = training.dataset.as_ref().map_or(0.0, |d| d.gib * GIB);
    Ok(Trainer {
        accelerators: run.accelerators,
        sharding: run.sharding,
        checkpointing: run.checkpointing,
        micro_batch: run.micro_batch,
        predicted_tokens_per_s: predicted.tokens_per_s,
        tokens_per_s,
        memory: predicted.memory,
        evidence: predicted.evidence,
        notes: predicted.notes,
        weights_gib: weights / GIB,
        checkpoint_gib: checkpoint / GIB,
        start_s: perf::start_up_s(weights, w.network_gbps) + dataset / machines / rate,
        checkpoint_s: checkpoint / machines / rate,
        failures_per_hour: f64::from(w.whole * w.machines) * training::FAILURES_PER_ACCELERATOR_HOUR,
    })
}
