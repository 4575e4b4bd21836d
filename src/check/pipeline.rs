//! Pipelines: a run ends within its deadline, on machines that do what the spec states of them.

use rhumb_api::{Money, Purchase};

use crate::catalog::{Evidence, InstanceType};
use crate::perf;
use crate::placement::{WorkloadPlacement, World};
use crate::spec::{EngineName, Pipeline, Processors};

use super::Ledger;
use super::batch::LOST_WORK;
use super::measured;
use super::stream;
use super::subject::{self, Checked, GIB, Work};
use super::team;

/// vCPUs of the driver, of all.
const DRIVER: u32 = 1;
/// Share of the main memory that the engine may have.
const FOR_THE_ENGINE: f64 = 0.9;

/// What a machine of a type does for a pipeline, by the spec alone.
pub(super) struct Works {
    pub cores: u32,
    pub shard_s: f64,
    pub start_s: f64,
    room: f64,
    class: Evidence,
    remark: String,
}

impl Works {
    /// # Errors
    /// In words: what is not stated, or lacks memory.
    pub fn on(pipeline: &Pipeline, kind: &InstanceType) -> Result<Works, String> {
        let stated = |of: &&Processors| measured::narrowness(of, kind).is_some();
        let of = pipeline.throughput.keys().filter(stated).max_by_key(|of| measured::narrowness(of, kind));
        let (of, rate) = of
            .and_then(|of| pipeline.throughput.get_key_value(of))
            .ok_or_else(|| format!("no rate on {} nor on {}", kind.name, kind.arch))?;
        let gib = kind.memory_gib.filter(|gib| *gib > 0.0).ok_or("an unknown memory")?;
        let room = gib * GIB * FOR_THE_ENGINE;
        let mut cores = 0_u32;
        while f64::from(cores + 1) <= kind.vcpus
            && f64::from(cores + 1) * pipeline.memory_bytes <= room * (1.0 + 1e-9)
            && cores < u32::from(u16::MAX)
        {
            cores += 1;
        }
        if cores == 0 {
            return Err(format!("no vCPU of {} has its memory", kind.name));
        }
        let (how, class) = match of {
            Processors::Architecture(name) => {
                (format!("stated for {name} and assumed here"), Evidence::Assumed)
            }
            Processors::Series(cloud, name) | Processors::Type(cloud, name) => {
                (format!("stated for {cloud}/{name}"), Evidence::Measured)
            }
        };
        let through = perf::start_up::storage_rate(kind.network_gbps) / GIB / f64::from(cores);
        let slower = through < *rate;
        let mb = crate::math::round_to(rate * GIB / 1e6, 6);
        let bound = if slower { ", of which the network lets less through" } else { "" };
        let each = if slower { through } else { *rate };
        Ok(Works {
            cores,
            shard_s: pipeline.input_gib / f64::from(pipeline.shards) / each,
            start_s: perf::start_up_s(0.0, kind.network_gbps),
            room,
            class,
            remark: format!("{how}: {mb} MB/s a vCPU{bound}"),
        })
    }

    /// How many shards a vCPU does one after the other; `None` if there is only the driver.
    pub fn waves(&self, shards: u32, machines: u32) -> Option<u64> {
        let working = u64::from(machines) * u64::from(self.cores);
        let working = working.checked_sub(u64::from(DRIVER)).filter(|n| *n > 0)?;
        let (full, rest) = (u64::from(shards) / working, u64::from(shards) % working);
        Some(full + u64::from(rest > 0))
    }

    /// Hours of a run; a stream's are the caller's.
    pub fn hours(&self, shards: u32, machines: u32, spot: bool) -> Option<f64> {
        let work = self.waves(shards, machines)? as f64 * self.shard_s;
        let seconds = if spot { 2.0 * self.start_s + LOST_WORK * work } else { self.start_s + work };
        Some(seconds / 3600.0)
    }
}

pub(super) fn check(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    pipeline: &Pipeline,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let address = &work.address;
    log.same("workload", address, "the number of pools of a pipeline", &1, &placed.pools.len());
    let said = placed.run.as_ref().and_then(|run| Some((run, run.pipeline.as_ref()?)));
    let Some((run, how)) = said else {
        log.finding("run", address, "a pipeline without its run", "a run", "none");
        return;
    };
    log.hold(run.training.is_none(), "run", address, || {
        ("a pipeline that trains".into(), "no training".into(), "a training".into())
    });
    let asked = pipeline.stream.as_ref();
    let deadline = asked.map_or(pipeline.deadline_s / 3600.0, |_| stream::MONTH);
    log.near("run", address, "the deadline", deadline, run.deadline_hours, 1e-9);
    let runs = pipeline.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    log.near("run", address, "the runs of a month", runs, run.runs_per_month, 1e-9);
    let [c] = pools else { return };
    let on = c.pool.addr.as_str();
    let works = match Works::on(pipeline, c.instance_type) {
        Ok(works) => works,
        Err(why) => {
            log.finding("measured-time", on, "nobody measured this", "a rate in the spec", why);
            return;
        }
    };
    machine(log, pipeline, c, &works);
    log.same_debug("run", address, "the engine", &pipeline.engine, &how.engine);
    log.same("run", address, "the shards", &pipeline.shards, &how.shards);
    log.same("run", address, "the vCPUs of a machine", &works.cores, &how.cores_per_machine);
    log.same("run", address, "the vCPUs of the driver", &DRIVER, &how.driver_cores);
    log.near("run", address, "the time of a shard", works.shard_s, how.shard_s, 1e-9);
    log.near("run", address, "the start", works.start_s, how.start_up_s, 1e-9);
    log.hold(asked.is_some() == how.stream.is_some(), "run", address, || {
        let word = |stream: bool| if stream { "a stream" } else { "runs" };
        ("what it is".into(), word(asked.is_some()).into(), word(how.stream.is_some()).into())
    });
    let hours = match asked {
        Some(_) => Some(stream::MONTH),
        None => works.hours(pipeline.shards, c.machines, c.spot > 0),
    };
    let derived = works.waves(pipeline.shards, c.machines).zip(hours);
    let Some((waves, hours)) = derived else {
        log.finding("run", address, "nobody works beside the driver", "a vCPU more", c.machines);
        return;
    };
    log.same("run", address, "the waves", &waves, &u64::from(how.waves));
    log.near("run", address, "the hours of a run", hours, run.hours, 1e-6);
    if let Some(asked) = asked {
        let flow = stream::Flow { stream: asked, works: &works, shards: pipeline.shards };
        let row = subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::Spot);
        let lost = row.and_then(|row| row.interruption).unwrap_or(team::INTERRUPTED);
        stream::check(log, &flow, placed, how, c, (c.region.zones, lost));
        log.near("run", address, "the events a second", asked.events_per_s, run.items_per_s, 1e-9);
    } else {
        let working = f64::from(c.machines) * f64::from(works.cores) - f64::from(DRIVER);
        log.near("run", address, "the shards a second", working / works.shard_s, run.items_per_s, 1e-6);
    }
    log.hold(hours <= deadline * (1.0 + 1e-9), "deadline", address, || {
        ("a run ends too late".into(), format!("at most {deadline} h"), format!("{hours} h"))
    });
    let hourly: Money = c.pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum();
    let read = pipeline.dataset.as_ref().and_then(|d| {
        let price = super::bill::brought(world, &d.from, c)?;
        Some(price.scale(d.gib))
    });
    let reads = pipeline.dataset.as_ref().is_some_and(|d| d.gib > 0.0);
    log.hold(!reads || read.is_some(), "price", address, || {
        ("what reading the input costs there is not known".into(), "a known price".into(), "none".into())
    });
    let whole = hourly.scale(hours) + read.unwrap_or(Money::ZERO);
    log.amount("run", address, "the cost of a run", whole, run.cost_per_run, 4);
}

/// What the pool says of a machine.
fn machine(log: &mut Ledger, pipeline: &Pipeline, c: &Checked<'_>, works: &Works) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    log.same("layout", address, "engines on a machine", &1, &pool.replicas_per_machine);
    log.same("layout", address, "machines of an engine", &1, &pool.machines_per_replica);
    log.same("layout", address, "accelerators", &1, &pool.layout.accelerators());
    log.same_debug("engine", address, "the vCPUs of a machine", &Some(works.cores), &pool.vcpus_per_replica);
    log.same_debug("engine", address, "the program", &EngineName::Own, &pool.engine.name);
    log.same("variant", address, "the engine", pipeline.engine.as_str(), pool.variant.as_str());
    let remarks = [works.remark.clone()].into_iter().chain(pipeline.stream.as_ref().map(stream::remark));
    let remarks: Vec<String> = remarks.collect();
    log.same_debug("figure", address, "what is told of the rate", &remarks, &pool.notes);
    log.same_debug("figure", address, "the class of the rate", &works.class, &pool.evidence);
    let taken = f64::from(works.cores) * pipeline.memory_bytes;
    let device = c.instance_type.memory_gib.unwrap_or(0.0) * GIB;
    for (what, derived, said) in [
        ("main memory", device, pool.memory.device),
        ("memory that is left to it", works.room, pool.memory.usable),
        ("memory that it takes", taken, pool.memory.overhead),
        ("weights", 0.0, pool.memory.weights),
        ("memory for the KV cache", 0.0, pool.memory.kv_cache),
    ] {
        log.near("memory", address, what, derived, said, 1e-9);
    }
    if pipeline.stream.is_some() {
        return;
    }
    let rate = f64::from(pipeline.shards) / pipeline.deadline_s;
    log.near("run", address, "the shards a second that are needed", rate, pool.peak_rate, 1e-6);
}
