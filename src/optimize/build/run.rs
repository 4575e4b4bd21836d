//! What the choice for a batch or a training promises.

use rhumb_api::{HOURS_PER_MONTH, Money};

use super::super::batch::{self, Run};
use super::super::job::{Job, Task};
use super::super::pipeline::{DRIVER, Executor};
use super::super::pool::Terms;
use super::super::pool::weights_gib;
use super::super::stream::{Flow, Loss};
use super::super::table::Table;
use super::super::training::Trainer;
use super::{Draft, Runner, Runs, machines, pool};
use crate::catalog::{Evidence, TransferTo};
use crate::perf::MemoryFit;
use crate::placement::{
    BatchRun, Certificate, Cost, CostLine, FailureCheck, PipelineRun, Pool, StreamRun, TrainingRun,
    WorkloadPlacement,
};
use crate::spec::{KvCacheDtype, Method, Pipeline, Purchase, Quantization, RegionRef, Training};

/// What the choice for a batch or a training promises.
pub(in crate::optimize) fn run(
    job: &Job<'_>,
    table: &Table,
    task: Task<'_>,
    run: &Run,
    certificate: Certificate,
) -> Option<WorkloadPlacement> {
    let site = table.sites.get(run.chosen.site)?;
    let way = table.machines.get(site.machine)?.ways.get(run.chosen.way)?;
    let speed = *way.speed.as_ref().ok()?;
    let runs = task.runs();
    let month = run.hours * runs / HOURS_PER_MONTH as f64;
    let mut draft = Draft { pools: Vec::new(), lines: Vec::new(), caveats: Vec::new(), quotas: Vec::new() };
    let (mut failures, mut streams) = (Vec::new(), None);
    let (mut pool, items, weights_gib, how) = match task {
        Task::Batch(batch) => {
            let speed = table.speeds.get(speed)?;
            let pool = pool(job, table, &run.chosen, speed, &[])?;
            (pool, batch.items, weights_gib(speed, way), (None, None))
        }
        Task::Training(training) => {
            let trainer = table.trainers.get(speed)?;
            let pool = machines(job, table, &run.chosen, trains(job, training.method, trainer), &[])?;
            let how = (Some(training_run(training, trainer, run)?), None);
            (pool, training.tokens(), trainer.weights_gib, how)
        }
        Task::Pipeline(pipeline) => {
            let executor = table.executors.get(speed)?;
            let mut pool = machines(job, table, &run.chosen, works(executor), &[])?;
            pool.vcpus_per_replica = Some(executor.cores);
            let mut how = pipeline_run(pipeline, executor, run);
            let flow = pipeline.stream.as_ref().map(|stream| Flow { pipeline, stream, executor });
            if let Some(flow) = flow {
                let count = run.chosen.count;
                let terms = table.terms.get(run.chosen.site)?;
                let trigger_ms = flow.trigger(terms, count.machines, count.spot)?;
                how.stream = Some(stream_run(flow, count.machines, trigger_ms)?);
                streams = Some((flow, trigger_ms));
                pool.notes.push(overhead(flow));
                failures = survived(flow, terms, run, trigger_ms, &pool)?;
                draft.caveats.extend(resting_on(flow, &pool, !failures.is_empty()));
            }
            (pool, f64::from(pipeline.shards), 0.0, (None, Some(how)))
        }
    };
    draft.caveats.extend(batch::replayed(job, table, task, run));
    let seconds = task.deadline() * 3600.0;
    pool.peak_rate = if seconds > 0.0 { items / seconds } else { 0.0 };
    pool.capacity = run.items_per_s;
    if let Some((flow, trigger_ms)) = streams {
        pool.peak_rate = flow.stream.events_per_s;
        pool.capacity = flow.capacity(run.chosen.count.machines, trigger_ms);
    }
    draft.bill(job, table, &run.chosen, &pool, Runs::Share(month), weights_gib);
    draft.dataset(job, &pool, runs);
    let lines = std::mem::take(&mut draft.lines);
    let expected_per_hour: Money = lines.iter().filter_map(|l| l.per_hour).sum();
    let expected = run.run.scale(runs) + run.copying;
    let dearer: Money = pool
        .machines
        .iter()
        .filter(|m| m.purchase == Purchase::Spot)
        .filter_map(|m| {
            let machine = table.machines.get(site.machine)?;
            let od = job.world.catalog.offering(machine.index, site.region, Purchase::OnDemand)?;
            Some((od.price - m.price).max(Money::ZERO).times(i64::from(m.count)))
        })
        .sum();
    let cost = Cost {
        expected_per_hour,
        expected_per_month: expected,
        peak_per_month: expected,
        ceiling_per_month: expected + dearer.scale(run.hours * runs),
        incomplete: lines.iter().any(|l| l.per_hour.is_none()),
        lines,
    };
    draft.sort();
    draft.pools.push(pool);
    Some(WorkloadPlacement {
        address: job.address.clone(),
        pools: draft.pools,
        fallbacks: Vec::new(),
        routes: Vec::new(),
        objectives: Vec::new(),
        failures,
        cost,
        run: Some(BatchRun {
            hours: run.hours,
            deadline_hours: task.deadline(),
            items_per_s: run.items_per_s,
            runs_per_month: runs,
            cost_per_run: run.run,
            training: how.0,
            pipeline: how.1,
            federation: None,
        }),
        mix: None,
        certificate,
        losers: Vec::new(),
        relaxations: Vec::new(),
        quotas: draft.quotas,
        caveats: draft.caveats,
    })
}

/// What a trainer is in the words of a pool.
fn trains(job: &Job<'_>, method: Method, trainer: &Trainer) -> Runner {
    let m = &trainer.memory;
    let weights = m.weights + m.gradients + m.optimizer;
    Runner {
        quantization: method.stored(),
        kv_cache: KvCacheDtype::Auto,
        engine: job.settings(1),
        factors: (1.0, 1.0),
        memory: MemoryFit {
            device: m.device,
            usable: m.device,
            weights,
            overhead: m.needed() - weights,
            kv_cache: 0.0,
            kv_per_token: 0.0,
            kv_tokens: 0.0,
            max_sequences: trainer.micro_batch,
        },
        evidence: trainer.evidence,
        notes: trainer.notes.clone(),
    }
}

/// What does the work of a pipeline, in the words of a pool.
fn works(executor: &Executor) -> Runner {
    let (device, usable, taken) = executor.memory;
    Runner {
        quantization: Quantization::Native,
        kv_cache: KvCacheDtype::Auto,
        engine: crate::perf::measured::settings(1),
        factors: (1.0, 1.0),
        memory: MemoryFit {
            device,
            usable,
            weights: 0.0,
            overhead: taken,
            kv_cache: 0.0,
            kv_per_token: 0.0,
            kv_tokens: 0.0,
            max_sequences: executor.cores,
        },
        evidence: executor.evidence,
        notes: vec![executor.note.clone()],
    }
}

fn pipeline_run(pipeline: &Pipeline, executor: &Executor, run: &Run) -> PipelineRun {
    let working = run.chosen.count.machines * executor.cores - DRIVER;
    PipelineRun {
        engine: pipeline.engine,
        cores_per_machine: executor.cores,
        driver_cores: DRIVER,
        shards: pipeline.shards,
        waves: pipeline.shards.div_ceil(working.max(1)),
        shard_s: executor.shard_s,
        start_up_s: executor.start_s,
        stream: None,
    }
}

fn stream_run(flow: Flow<'_>, machines: u32, trigger_ms: u64) -> Option<StreamRun> {
    let batch_s = flow.batch_s(machines, trigger_ms)?;
    Some(StreamRun {
        events_per_s: flow.stream.events_per_s,
        trigger_ms,
        overhead_s: flow.stream.overhead_s,
        batch_s,
        fresh_s: trigger_ms as f64 / 1e3 + batch_s,
        freshness_s: flow.stream.freshness_s,
    })
}

fn overhead(flow: Flow<'_>) -> String {
    format!("{} s of a micro-batch besides its events, as stated and assumed here", flow.stream.overhead_s)
}

/// What is left in each failure that a stream survives.
fn survived(
    flow: Flow<'_>,
    terms: &Terms,
    run: &Run,
    trigger_ms: u64,
    pool: &Pool,
) -> Option<Vec<FailureCheck>> {
    let count = run.chosen.count;
    let losses = flow.losses(terms, count.machines, count.spot)?;
    let of = |loss: Loss| {
        let left = count.machines - loss.machines;
        FailureCheck {
            scope: loss.scope,
            count: loss.count,
            at: pool.addr.to_string(),
            replicas_left: left,
            required_rate: flow.stream.events_per_s * flow.stream.capacity,
            capacity: flow.capacity(left, trigger_ms),
        }
    };
    Some(losses.into_iter().map(of).collect())
}

/// What a reader must know of a stream.
fn resting_on(flow: Flow<'_>, pool: &Pool, fails: bool) -> Vec<String> {
    let mut all = vec![
        "what checkpoints take of a storage, and the source of events, are not priced: both are yours"
            .to_owned(),
    ];
    if fails {
        all.push(format!(
            "the driver is on one machine of {}: when that one is lost nothing is worked on until another has started, about {:.0} s, \
             and what came in meanwhile is late",
            pool.instance_type, flow.executor.start_s
        ));
    }
    all
}

fn training_run(training: &Training, trainer: &Trainer, run: &Run) -> Option<TrainingRun> {
    let duration = run.training?;
    let each = trainer.accelerators.max(1) * trainer.micro_batch.max(1);
    Some(TrainingRun {
        framework: training.framework,
        rank: training.method.rank(),
        precision: training.precision,
        accelerators: trainer.accelerators,
        sharding: trainer.sharding,
        checkpointing: trainer.checkpointing,
        sequence_tokens: training.sequence_tokens,
        micro_batch: trainer.micro_batch,
        accumulation: training.batch_size / each,
        steps: training.steps(),
        predicted_tokens_per_s: trainer.predicted_tokens_per_s,
        memory: trainer.memory,
        start_up_s: trainer.start_s,
        checkpoint_gib: trainer.checkpoint_gib,
        checkpoint_s: trainer.checkpoint_s,
        checkpoint_every_s: duration.every_s,
        interruptions: duration.interruptions,
        most_interruptions: duration.most_interruptions,
        late_hours: run.late,
    })
}

impl Draft {
    /// Adds the line of the dataset of a training or a pipeline.
    fn dataset(&mut self, job: &Job<'_>, pool: &Pool, runs: f64) {
        let Some(dataset) = job.dataset() else { return };
        let (catalog, from) = (&job.world.catalog, &dataset.from);
        let to = RegionRef { cloud: pool.cloud, region: pool.region.clone() };
        let price = catalog
            .region(from.cloud, &from.region)
            .and_then(|i| catalog.transfer_price(i, TransferTo::Region(&to)));
        let month = |p: &crate::catalog::TransferPrice| p.usd_per_gib.scale(dataset.gib).scale(runs);
        self.lines.push(CostLine {
            addr: format!("{}/transfer/dataset/{}/{}", job.address, pool.cloud, pool.region),
            what: format!(
                "{:.1} GiB of dataset from {}/{}, for each run",
                dataset.gib, from.cloud, from.region
            ),
            per_hour: price.as_ref().map(|p| month(p).scale(1.0 / HOURS_PER_MONTH as f64)),
            evidence: Evidence::Listed,
            provenance: price.map(|p| p.provenance),
        });
    }
}
