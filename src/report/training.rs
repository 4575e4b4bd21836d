//! How a training runs.

use serde_json::{Value, json};

use super::{Cell, number};
use crate::placement::{BatchRun, TrainingRun};
use crate::spec::Checkpointing;

/// `lora r16 bf16, fsdp over 16, 4 x 2 sequences each`; a training's variant is its method.
pub(super) fn runs_as(variant: &str, t: &TrainingRun) -> String {
    format!(
        "{variant}{} {}, {} over {}, {} x {} sequences each{}",
        t.rank.map_or_else(String::new, |rank| format!(" r{rank}")),
        t.precision.as_str(),
        t.framework.strategy(t.sharding),
        t.accelerators,
        t.accumulation,
        t.micro_batch,
        if t.checkpointing == Checkpointing::Full { ", recomputed" } else { "" }
    )
}

/// A number of seconds, for people.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{} s", number(s)),
        s if s < 7200.0 => format!("{} min", number(s / 60.0)),
        s => format!("{} h", number(s / 3600.0)),
    }
}

/// What a run takes, and what interrupts it.
pub(super) fn lines(address: &str, run: &BatchRun, t: &TrainingRun) -> [Cell; 2] {
    let most = match t.most_interruptions {
        0 => "no interruption".to_owned(),
        1 => "1 interruption".to_owned(),
        n => format!("{n} interruptions"),
    };
    [
        Cell::plain(format!(
            "{address}: a run of {} steps takes {} h ({} h with {most}) of {} h allowed, {} tokens/s, costs {} USD; {} run{} a month.",
            number(t.steps),
            number(run.hours),
            number(t.late_hours),
            number(run.deadline_hours),
            number(run.items_per_s),
            run.cost_per_run,
            number(run.runs_per_month),
            if run.runs_per_month == 1.0 { "" } else { "s" },
        )),
        Cell::plain(format!(
            "{address}: a checkpoint of {} GiB after each {} of training takes {}; {} interruptions are expected (assumed), {} to start again.",
            number(t.checkpoint_gib),
            time(t.checkpoint_every_s),
            time(t.checkpoint_s),
            crate::math::round_to(t.interruptions, if t.interruptions < 0.1 { 4 } else { 2 }),
            time(t.start_up_s + t.checkpoint_s),
        )),
    ]
}

/// The training for machines.
pub(super) fn json(t: &TrainingRun) -> Value {
    let m = &t.memory;
    json!({
        "framework": t.framework.as_str(),
        "rank": t.rank,
        "precision": t.precision.as_str(),
        "accelerators": t.accelerators,
        "strategy": t.framework.strategy(t.sharding),
        "activation_checkpointing": t.checkpointing.as_str(),
        "sequence_tokens": t.sequence_tokens,
        "micro_batch": t.micro_batch,
        "gradient_accumulation": t.accumulation,
        "steps": t.steps,
        "predicted_tokens_per_s": t.predicted_tokens_per_s,
        "memory_bytes": {
            "device": m.device,
            "weights": m.weights,
            "gradients": m.gradients,
            "optimizer": m.optimizer,
            "gathered": m.gathered,
            "activations": m.activations,
            "logits": m.logits,
            "runtime": m.runtime,
        },
        "start_up_s": t.start_up_s,
        "checkpoint_gib": t.checkpoint_gib,
        "checkpoint_s": t.checkpoint_s,
        "checkpoint_every_s": t.checkpoint_every_s,
        "interruptions": t.interruptions,
        "most_interruptions": t.most_interruptions,
        "late_hours": t.late_hours,
    })
}
