//! Machines that train together (decision 13): every way in which they may, and how long a run then takes.

use crate::catalog::{Accelerator, InstanceType};
use crate::perf;
use crate::perf::training::{self, Pace, Run};
use crate::spec::{Checkpointing, Sharding, Training};

use super::subject::{self, GIB, Work};

/// Most machines of a team.
pub(super) const MOST_MACHINES: u32 = 64;
/// Most sequences of a micro-batch that nobody states.
const MOST_SEQUENCES: u32 = 1024;
/// Share of spot machines that are lost in a month where the source says nothing (assumed).
pub(super) const INTERRUPTED: f64 = 0.20;

/// Some machines of a type.
#[derive(Clone, Copy)]
pub(super) struct Team<'a> {
    pub work: &'a Work<'a>,
    pub training: &'a Training,
    pub kind: &'a InstanceType,
    pub accelerator: &'a Accelerator,
    pub machines: u32,
}

/// How a team trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct How {
    pub accelerators: u32,
    pub sharding: Sharding,
    pub checkpointing: Checkpointing,
    pub micro_batch: u32,
}

/// Accelerators of a machine, if they are whole.
pub(super) fn whole(kind: &InstanceType) -> Option<u32> {
    let count = kind.accelerator_count;
    (count.fract() == 0.0 && (1.0..=1024.0).contains(&count)).then_some(count as u32)
}

/// Numbers of machines of a type that the family has: all of their accelerators divide a step, or it is one machine.
pub(super) fn sizes(kind: &InstanceType, training: &Training) -> Vec<u32> {
    let all = |n: u32| whole(kind).and_then(|g| g.checked_mul(n));
    let divides = |n: u32| all(n).is_some_and(|all| training.batch_size.is_multiple_of(all));
    (1..=MOST_MACHINES).filter(|n| *n == 1 || divides(*n)).collect()
}

impl<'a> Team<'a> {
    /// Between machines, bytes/s for each accelerator.
    fn network(&self) -> Option<f64> {
        let known = |gbps: &f64| *gbps > 0.0;
        let gbps = self.kind.rdma_gbps.filter(known).or(self.kind.network_gbps.filter(known))?;
        Some(gbps * 1e9 / 8.0 / f64::from(whole(self.kind)?))
    }

    /// What it does in one way; `None` if accelerators are not whole.
    pub fn run(&self, how: How) -> Option<Run<'a>> {
        Some(Run {
            arch: self.work.arch,
            accelerator: self.accelerator,
            accelerators: how.accelerators,
            accelerators_per_node: whole(self.kind)?,
            network: self.network(),
            method: self.training.method,
            framework: self.training.framework,
            precision: self.training.precision,
            sequence: self.training.sequence_tokens,
            micro_batch: how.micro_batch,
            sharding: how.sharding,
            checkpointing: how.checkpointing,
        })
    }

    /// Numbers of accelerators that may train.
    pub fn accelerators(&self) -> Vec<u32> {
        let Some(all) = whole(self.kind).and_then(|g| g.checked_mul(self.machines)) else {
            return Vec::new();
        };
        let fewest = if self.machines == 1 { 1 } else { all };
        (fewest..=all).filter(|n| self.training.batch_size.is_multiple_of(*n)).collect()
    }

    /// Every way that the spec leaves open, the ones that win a tie first.
    fn ways(&self) -> impl Iterator<Item = How> {
        let t = self.training;
        let open = move |how: &How| {
            t.sharding.is_none_or(|s| s == how.sharding)
                && t.checkpointing.is_none_or(|c| c == how.checkpointing)
        };
        let sizes = move |accelerators: u32| {
            let each = t.batch_size / accelerators;
            let stated = t.micro_batch.filter(|m| *m > 0 && each.is_multiple_of(*m));
            let any = (1..=each.min(MOST_SEQUENCES)).rev().filter(move |m| each.is_multiple_of(*m));
            let any = any.filter(move |_| t.micro_batch.is_none());
            stated.into_iter().chain(any)
        };
        self.accelerators().into_iter().flat_map(move |accelerators| {
            Sharding::ALL.into_iter().flat_map(move |sharding| {
                Checkpointing::ALL.into_iter().flat_map(move |checkpointing| {
                    sizes(accelerators)
                        .map(move |micro_batch| How { accelerators, sharding, checkpointing, micro_batch })
                        .filter(open)
                })
            })
        })
    }

    /// The fastest way that fits, and its tokens a second; `None` if nothing runs.
    pub fn fastest(&self) -> Option<(How, training::Training)> {
        let mut best: Option<(How, training::Training)> = None;
        for how in self.ways() {
            let run = self.run(how)?;
            let memory = training::memory(&run);
            if memory.needed() > memory.device {
                continue;
            }
            let Ok(found) = training::predict(&run) else { continue };
            if best.as_ref().is_none_or(|(_, b)| found.tokens_per_s > b.tokens_per_s) {
                best = Some((how, found));
            }
        }
        best
    }

    /// Of a prediction, what is reached at the planned confidence.
    pub fn at_confidence(&self, predicted: &training::Training) -> f64 {
        let edge = predicted.band.factor(1.0 - self.work.confidence).min(1.0);
        subject::thousandth(predicted.tokens_per_s * edge)
    }

    fn rate(&self) -> f64 {
        perf::start_up::storage_rate(self.kind.network_gbps)
    }

    /// Seconds until the first step.
    pub fn start_s(&self) -> f64 {
        let weights = perf::start_up_s(2.0 * self.work.arch.params, self.kind.network_gbps);
        let dataset = self.training.dataset.as_ref().map_or(0.0, |d| d.gib * GIB);
        weights + dataset / (f64::from(self.machines) * self.rate())
    }

    /// Bytes of a checkpoint.
    pub fn checkpoint(&self) -> f64 {
        training::checkpoint_bytes(self.work.arch, self.training.method)
    }

    /// Seconds to write one.
    pub fn checkpoint_s(&self) -> f64 {
        self.checkpoint() / (f64::from(self.machines) * self.rate())
    }

    /// Interruptions an hour, with so many spot machines of which this share is lost in a month.
    pub fn interruptions(&self, spot: u32, lost: f64) -> f64 {
        let accelerators = self.kind.accelerator_count * f64::from(self.machines);
        accelerators * training::FAILURES_PER_ACCELERATOR_HOUR
            + f64::from(spot) * training::lost_per_hour(lost)
    }

    /// How a run goes at a speed.
    pub fn pace(&self, tokens_per_s: f64, spot: u32, lost: f64) -> Pace {
        Pace {
            work_s: self.training.tokens() / tokens_per_s,
            start_s: self.start_s(),
            checkpoint_s: self.checkpoint_s(),
            interruptions_per_hour: self.interruptions(spot, lost),
            every_s: self.training.checkpoint_every_s,
        }
    }
}
