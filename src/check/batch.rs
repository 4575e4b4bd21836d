//! Batches: a run ends within its deadline and costs what it says.

use rhumb_api::Money;

use crate::perf;
use crate::placement::WorkloadPlacement;
use crate::replay::{Worker, items_of, limits_of};
use crate::spec::Batch;

use super::Ledger;
use super::subject::{Checked, Work};

/// Work done twice because a spot machine went away (assumed).
pub(super) const LOST_WORK: f64 = 1.10;

pub(super) fn check(
    log: &mut Ledger,
    work: &Work<'_>,
    batch: &Batch,
    placed: &WorkloadPlacement,
    (pools, replay): (&[Checked<'_>], u32),
) {
    let address = &work.address;
    log.same("workload", address, "the number of pools of a batch", &1, &placed.pools.len());
    let Some(run) = &placed.run else {
        log.finding("run", address, "a batch without a run", "a run", "none");
        return;
    };
    log.hold(run.training.is_none() && run.pipeline.is_none(), "run", address, || {
        ("a batch that trains or is a pipeline".into(), "neither".into(), "one of them".into())
    });
    let deadline = batch.deadline_s / 3600.0;
    log.near("run", address, "the deadline", deadline, run.deadline_hours, 1e-9);
    let runs = batch.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    log.near("run", address, "the runs of a month", runs, run.runs_per_month, 1e-9);
    let [c] = pools else { return };
    let Some(engine) = &c.engine else { return };
    let rate = engine.curve.batch_rate() / engine.f * f64::from(c.pool.replicas);
    let slowed = engine.curve.slowed(engine.f);
    let worker = Worker { curve: &slowed, limits: limits_of(&slowed, &c.pool.engine, c.pool.layout), batch };
    let rate = rate.min(played(replay, &worker, c.pool.replicas));
    log.near("run", address, "the items a second", rate, run.items_per_s, 1e-6);
    let start = perf::start_up_s(c.weights_per_machine, c.instance_type.network_gbps);
    let seconds =
        if c.spot > 0 { 2.0 * start + LOST_WORK * batch.items / rate } else { start + batch.items / rate };
    let hours = seconds / 3600.0;
    log.near("run", address, "the hours of a run", hours, run.hours, 1e-6);
    log.hold(hours <= deadline * (1.0 + 1e-9), "deadline", address, || {
        ("a run ends too late".into(), format!("at most {deadline} h"), format!("{hours} h"))
    });
    let hourly: Money = c.pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum();
    log.amount("run", address, "the cost of a run", hourly.scale(hours), run.cost_per_run, 2);
}

/// Items a second that so many replicas do by a replay, if what is planned is replayed.
fn played(replay: u32, worker: &Worker<'_>, replicas: u32) -> f64 {
    if replay == 0 {
        return f64::INFINITY;
    }
    let played = worker.played(items_of(worker.batch, replicas)).unwrap_or(f64::MIN_POSITIVE);
    Worker::of_all(worker.batch, replicas, played)
}
