//! What a pipeline may run on: of each machine type without accelerators the vCPUs that have their memory.

use std::sync::Arc;

use super::job::Job;
use super::pool::GIB;
use super::ways::{Kind, Way};
use crate::catalog::{Evidence, InstanceType};
use crate::perf::{self, Layout};
use crate::placement::Rejection;
use crate::spec::{Pipeline, Processors};

/// vCPUs, with their memory, of the driver, which is on one of the machines.
pub(super) const DRIVER: u32 = 1;

/// What a machine of a type does.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    /// vCPUs of it that work.
    pub cores: u32,
    /// Seconds that one of them takes for a shard.
    pub shard_s: f64,
    /// Seconds until it works.
    pub start_s: f64,
    /// Main memory, bytes: all of it, what is left to the engine, and what its vCPUs take.
    pub memory: (f64, f64, f64),
    pub evidence: Evidence,
    pub note: String,
}

impl Executor {
    /// vCPUs that work on so many machines; none if there is only the driver.
    fn working(&self, machines: u32) -> u32 {
        machines.saturating_mul(self.cores).saturating_sub(DRIVER)
    }

    /// Seconds of all shards on so many machines, the last wave whole; `None` if nobody works.
    pub fn work_s(&self, pipeline: &Pipeline, machines: u32) -> Option<f64> {
        let working = self.working(machines);
        (working > 0).then(|| f64::from(pipeline.shards.div_ceil(working)) * self.shard_s)
    }

    /// No number of machines that is at least this one works for less, times its number.
    pub fn least_s(&self, pipeline: &Pipeline, machines: u32) -> f64 {
        let each = f64::from(machines) * f64::from(self.cores);
        self.shard_s * (f64::from(pipeline.shards) / each).max(1.0)
    }

    /// Shards a second.
    pub fn rate(&self, machines: u32) -> f64 {
        f64::from(self.working(machines)) / self.shard_s
    }

    /// The fewest machines that may do all shards in so many seconds.
    pub fn fewest(&self, pipeline: &Pipeline, seconds: f64) -> Option<u32> {
        let waves = (seconds / self.shard_s * (1.0 + 1e-9)).floor();
        if waves.is_nan() || waves < 1.0 {
            return None;
        }
        let working = f64::from(pipeline.shards) / waves.min(f64::from(pipeline.shards));
        let cores = (working * (1.0 - 1e-12)).ceil().max(1.0) as u32;
        Some(cores.saturating_add(DRIVER).div_ceil(self.cores))
    }

    /// The fewest machines that do all shards in fewer waves than so many.
    pub fn next(&self, pipeline: &Pipeline, machines: u32) -> u32 {
        let least = machines.saturating_add(1);
        let waves = pipeline.shards.div_ceil(self.working(machines).max(1));
        let working = pipeline.shards.div_ceil(waves.saturating_sub(1).max(1));
        let next = if self.working(machines) == 0 {
            least
        } else {
            working.saturating_add(DRIVER).div_ceil(self.cores)
        };
        next.max(least)
    }

    /// So many machines do all shards in one wave: more of them do nothing more.
    pub fn enough(&self, pipeline: &Pipeline) -> u32 {
        pipeline.shards.saturating_add(DRIVER).div_ceil(self.cores)
    }
}

/// The ways of a pipeline on the machine types that are `wanted`, and what does it there.
pub(super) fn runs(job: &Job<'_>, pipeline: &Pipeline, wanted: &[bool]) -> (Vec<Kind>, Arc<[Executor]>) {
    let mut executors = Vec::new();
    let kinds = job.world.catalog.instance_types.iter().zip(wanted).map(|(kind, wanted)| {
        let way = || {
            let speed = executor(pipeline, kind).map(|e| {
                executors.push(e);
                executors.len() - 1
            });
            let layout = Layout { tp: 1, pp: 1, dp: 1, ep: 1 };
            Way { variant: 0, layout, speed, replicas: 1, span: 1, most_on_one: None }
        };
        Kind::of(wanted.then(way).into_iter().collect(), 1)
    });
    let kinds = kinds.collect();
    (kinds, executors.into())
}

fn executor(pipeline: &Pipeline, kind: &InstanceType) -> Result<Executor, Rejection> {
    let no = |constraint, reason: String, key: &str| {
        Err(Rejection { constraint, reason, at: Some(pipeline.at.join(key)), distance: None })
    };
    let Some((of, gib_per_s)) = perf::measured::narrowest(&pipeline.throughput, kind) else {
        let reason =
            format!("no rate was measured on {}/{} or stated for {}", kind.cloud, kind.name, kind.arch);
        return no("measured-time", reason, "throughput_per_core");
    };
    let Some(gib) = kind.memory_gib.filter(|gib| *gib > 0.0) else {
        return no("unknown", format!("the memory of {}", kind.name), "memory_per_core");
    };
    let usable = gib * GIB * perf::measured::SHARE_OF_MAIN_MEMORY;
    let fit = (usable / pipeline.memory_bytes + 1e-9).floor();
    let cores = fit.min(kind.vcpus.floor()).clamp(0.0, f64::from(u16::MAX)) as u32;
    if cores == 0 {
        let needs = pipeline.memory_bytes / GIB;
        let reason = format!("a vCPU needs {needs} GiB, {} leaves {:.1}", kind.name, usable / GIB);
        return no("memory", reason, "memory_per_core");
    }
    // All of a machine's vCPUs together read no faster than it does.
    let read = perf::start_up::storage_rate(kind.network_gbps) / GIB / f64::from(cores);
    let how = match of {
        Processors::Architecture(arch) => format!("stated for {arch} and assumed here"),
        Processors::Type(..) | Processors::Series(..) => format!("stated for {of}"),
    };
    let mb = crate::math::round_to(gib_per_s * GIB / 1e6, 6);
    let bound = if read < *gib_per_s { ", of which the network lets less through" } else { "" };
    Ok(Executor {
        cores,
        shard_s: pipeline.input_gib / f64::from(pipeline.shards) / gib_per_s.min(read),
        start_s: perf::start_up_s(0.0, kind.network_gbps),
        memory: (gib * GIB, usable, f64::from(cores) * pipeline.memory_bytes),
        evidence: perf::measured::class(of),
        note: format!("{how}: {mb} MB/s a vCPU{bound}"),
    })
}
