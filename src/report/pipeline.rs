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

/// What a run takes, or how a stream keeps up.
pub(super) fn line(address: &str, run: &BatchRun, p: &PipelineRun) -> Cell {
    if let Some(s) = &p.stream {
        return Cell::plain(format!(
            "{address}: a micro-batch every {} s (RHUMB_TRIGGER_MS={}) takes {} s at {} events/s, {} of them besides its events; what is \
             made of an event is at most {} s old, {} s allowed.",
            number(s.trigger_ms as f64 / 1e3),
            s.trigger_ms,
            number(s.batch_s),
            number(s.events_per_s),
            number(s.overhead_s),
            number(s.fresh_s),
            number(s.freshness_s),
        ));
    }
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
    let mut value = json!({
        "engine": p.engine.as_str(),
        "cores_per_machine": p.cores_per_machine,
        "driver_cores": p.driver_cores,
        "shards": p.shards,
        "waves": p.waves,
        "shard_s": p.shard_s,
        "start_up_s": p.start_up_s,
    });
    if let Some(s) = &p.stream {
        value["stream"] = json!({
            "events_per_s": s.events_per_s,
            "trigger_ms": s.trigger_ms,
            "overhead_s": s.overhead_s,
            "batch_s": s.batch_s,
            "fresh_s": s.fresh_s,
            "freshness_s": s.freshness_s,
        });
    }
    value
}
