//! Batches: a run ends within its deadline and costs what it says.

use rhumb_api::Money;

use crate::perf;
use crate::placement::WorkloadPlacement;
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
    pools: &[Checked<'_>],
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
