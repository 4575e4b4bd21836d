//! How a pipeline runs.

use serde_json::{Value, json};

use super::{Cell, number};
use crate::placement::{BatchRun, PipelineRun, Pool};

/// `spark, 4 x 8 vCPUs, 1 of them drives`.
pub(super) fn runs_as(p: &PipelineRun, pool: &Pool) -> String {
    let machines: u32 = pool.machines.iter().map(|m| m.count).sum();
    let vcpus = if p.cores_per_machine == 1 { "vCPU" } else { "vCPUs" };
    let drives = if p.driver_cores == 1 { "drives" } else { "drive" };
    format!(
        "{}, {machines} x {} {vcpus}, {} of them {drives}",
        p.engine.as_str(),
        p.cores_per_machine,
        p.driver_cores
    )
}

/// What a run takes.
pub(super) fn line(address: &str, run: &BatchRun, p: &PipelineRun) -> Cell {
    let s = |n: u32| if n == 1 { "" } else { "s" };
    Cell::plain(format!(
        "{address}: a run of {} shard{} of {} s in {} wave{} takes {} h of {} h allowed, costs {} USD; {} run{} a month.",
        p.shards,
        s(p.shards),
        number(p.shard_s),
        p.waves,
        s(p.waves),
        number(run.hours),
        number(run.deadline_hours),
        run.cost_per_run,
        number(run.runs_per_month),
        if run.runs_per_month == 1.0 { "" } else { "s" },
    ))
}

/// The pipeline for machines.
pub(super) fn json(p: &PipelineRun) -> Value {
    json!({
        "engine": p.engine.as_str(),
        "cores_per_machine": p.cores_per_machine,
        "driver_cores": p.driver_cores,
        "shards": p.shards,
        "waves": p.waves,
        "shard_s": p.shard_s,
        "start_up_s": p.start_up_s,
    })
}
