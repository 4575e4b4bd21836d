//! Trainings (decision 13): a run is done as the spec says, fits, is as fast as it says, ends within its deadline and costs what
//! it says.

use rhumb_api::{Money, Purchase};

use crate::perf::Layout;
use crate::perf::training as model;
use crate::placement::{BatchRun, TrainingRun, WorkloadPlacement, World};
use crate::spec::{KvCacheDtype, Method, Quantization, Training};

use super::subject::{self, Checked, GIB, Work};
use super::team::{self, How, Team};
use super::{Ledger, bill};

pub(super) fn check(
    log: &mut Ledger,
    world: &World,
    work: &Work<'_>,
    training: &Training,
    placed: &WorkloadPlacement,
    pools: &[Checked<'_>],
) {
    let address = &work.address;
    log.same("workload", address, "the number of pools of a training", &1, &placed.pools.len());
    log.hold(placed.routes.is_empty() && placed.objectives.is_empty(), "run", address, || {
        ("a training serves nobody".into(), "no traffic".into(), "routes or objectives".into())
    });
    let said = placed.run.as_ref().and_then(|run| Some((run, run.training.as_ref()?)));
    let Some((run, trains)) = said else {
        log.finding("run", address, "a training without a run", "a run that trains", "none");
        return;
    };
    log.near("run", address, "the deadline", training.deadline_s / 3600.0, run.deadline_hours, 1e-9);
    let runs = training.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
    log.near("run", address, "the runs of a month", runs, run.runs_per_month, 1e-9);
    asked(log, address, training, trains);
    let [c] = pools else { return };
    let Some(accelerator) = c.instance_type.accelerator.and_then(|i| world.catalog.accelerators.get(i))
    else {
        return;
    };
    let team = Team { work, training, kind: c.instance_type, accelerator, machines: c.machines };
    machines(log, c, &team, trains);
    pool(log, c, training, trains);
    let how = How {
        accelerators: trains.accelerators,
        sharding: trains.sharding,
        checkpointing: trains.checkpointing,
        micro_batch: trains.micro_batch,
    };
    let Some(tokens_per_s) = speed(log, &team, c, how, trains) else { return };
    log.near("run", address, "the tokens a second at confidence", tokens_per_s, run.items_per_s, 1e-9);
    log.near(
        "run",
        address,
        "the tokens a second that the pool reaches",
        tokens_per_s,
        c.pool.capacity,
        1e-9,
    );
    time(log, world, &team, c, (run, trains), tokens_per_s);
}

/// What the spec states is so.
fn asked(log: &mut Ledger, address: &str, asked: &Training, said: &TrainingRun) {
    log.same("training", address, "the framework", asked.framework.as_str(), said.framework.as_str());
    log.same_debug("training", address, "the rank of adapters", &asked.method.rank(), &said.rank);
    log.same_debug("training", address, "the precision", &asked.precision, &said.precision);
    let length = (&asked.sequence_tokens, &said.sequence_tokens);
    log.same("training", address, "the tokens of a sequence", length.0, length.1);
    if let Some(sharding) = asked.sharding {
        log.same("training", address, "the strategy", sharding.strategy(), said.sharding.strategy());
    }
    if let Some(checkpointing) = asked.checkpointing {
        let said = said.checkpointing.as_str();
        log.same("training", address, "the activation checkpointing", checkpointing.as_str(), said);
    }
    if let Some(micro_batch) = asked.micro_batch {
        log.same("training", address, "the micro-batch", &micro_batch, &said.micro_batch);
    }
    let parts = [said.micro_batch, said.accumulation, said.accelerators];
    let product = parts.iter().try_fold(1_u32, |all, n| all.checked_mul(*n));
    log.hold(product == Some(asked.batch_size), "training", address, || {
        let found = format!("{} x {} x {}", parts[0], parts[1], parts[2]);
        (
            "micro-batch, accumulation and accelerators do not make up a step".into(),
            asked.batch_size.to_string(),
            found,
        )
    });
    let step = f64::from(asked.batch_size) * f64::from(asked.sequence_tokens);
    let steps = (asked.dataset_tokens * asked.epochs / step).ceil().max(1.0);
    log.near("run", address, "the steps of a run", steps, said.steps, 0.0);
}

/// As many equal machines as the family allows, and the accelerators of theirs that train.
fn machines(log: &mut Ledger, c: &Checked<'_>, team: &Team<'_>, said: &TrainingRun) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    log.hold(team::whole(c.instance_type).is_some(), "layout", address, || {
        let found = c.instance_type.accelerator_count.to_string();
        ("a training on a part of an accelerator".into(), "whole accelerators".into(), found)
    });
    log.hold((1..=team::MOST_MACHINES).contains(&c.machines), "layout", address, || {
        let most = format!("1 to {}", team::MOST_MACHINES);
        ("no such number of machines trains together".into(), most, c.machines.to_string())
    });
    let may = team.accelerators();
    log.hold(may.contains(&said.accelerators), "layout", address, || {
        let found = format!("{} on {} machines", said.accelerators, c.machines);
        ("these accelerators do not divide a step".into(), format!("one of {may:?}"), found)
    });
    log.same("layout", address, "the machines that train together", &c.machines, &pool.machines_per_replica);
    log.same("layout", address, "how often the training runs at once", &1, &pool.replicas);
    let on_one = u32::from(c.machines == 1);
    log.same("layout", address, "the runs on a machine", &on_one, &pool.replicas_per_machine);
    let layout = Layout { tp: 1, pp: 1, dp: said.accelerators, ep: 1 };
    log.same_debug("layout", address, "the layout", &layout, &pool.layout);
    log.hold(pool.shared.is_none(), "sharing", address, || {
        ("a training on shared machines".into(), "machines of its own".into(), "shared ones".into())
    });
}

/// What a pool that serves nobody says in the words of one that does.
fn pool(log: &mut Ledger, c: &Checked<'_>, training: &Training, said: &TrainingRun) {
    let (pool, address) = (c.pool, c.pool.addr.as_str());
    log.same("variant", address, "the variant", training.method.as_str(), &pool.variant);
    let packed = matches!(training.method, Method::QLora { .. });
    let stored = (if packed { Quantization::Int4 } else { Quantization::Bf16 }, KvCacheDtype::Auto);
    log.same_debug(
        "variant",
        address,
        "how weights are stored",
        &stored,
        &(pool.quantization, pool.kv_cache),
    );
    let rate = training.tokens() / training.deadline_s;
    log.near("figure", address, "the tokens a second until the deadline", rate, pool.peak_rate, 1e-9);
    log.hold(pool.latency.is_none(), "figure", address, || {
        ("a latency of what answers nobody".into(), "none".into(), "a latency".into())
    });
    let m = &said.memory;
    let at_rest = m.weights + m.gradients + m.optimizer;
    let rest = m.gathered + m.activations + m.logits + m.runtime;
    let p = &pool.memory;
    for (what, derived, said) in [
        ("device memory", m.device, p.device),
        ("memory for weights, gradients and optimizer", at_rest, p.weights),
        ("all other memory", rest, p.overhead),
        ("memory for the KV cache", 0.0, p.kv_cache),
    ] {
        log.near("memory", address, what, derived, said, 1e-9);
    }
}

/// Memory and speed of what is said; tokens a second at confidence, if it runs.
fn speed(log: &mut Ledger, team: &Team<'_>, c: &Checked<'_>, how: How, said: &TrainingRun) -> Option<f64> {
    let address = c.pool.addr.as_str();
    let run = team.run(how)?;
    let (m, s) = (model::memory(&run), &said.memory);
    for (what, derived, said) in [
        ("device memory", m.device, s.device),
        ("memory for weights", m.weights, s.weights),
        ("memory for gradients", m.gradients, s.gradients),
        ("memory for the optimizer", m.optimizer, s.optimizer),
        ("memory for gathered layers", m.gathered, s.gathered),
        ("memory for activations", m.activations, s.activations),
        ("memory for scores", m.logits, s.logits),
        ("memory for the framework", m.runtime, s.runtime),
    ] {
        log.near("memory", address, what, derived, said, 1e-9);
    }
    log.hold(m.needed() <= m.device, "does-not-fit", address, || {
        ("the training does not fit".into(), format!("{} bytes", m.device), format!("{} bytes", m.needed()))
    });
    let predicted = match model::predict(&run) {
        Ok(predicted) => predicted,
        Err(why) => {
            log.finding("does-not-fit", address, "the training does not run", "a prediction", why);
            return None;
        }
    };
    let what = "the tokens a second as predicted";
    log.near("figure", address, what, predicted.tokens_per_s, said.predicted_tokens_per_s, 1e-9);
    log.same_debug("figure", address, "the class of the prediction", &predicted.evidence, &c.pool.evidence);
    let told = predicted.notes.iter().all(|note| c.pool.notes.contains(note));
    log.hold(told, "figure", address, || {
        ("remarks of the prediction are not told".into(), predicted.notes.join("; "), c.pool.notes.join("; "))
    });
    let fastest = team.fastest().map(|(how, _)| how);
    log.hold(fastest == Some(how), "training", address, || {
        let derived = fastest.map_or("none".into(), |how| format!("{how:?}"));
        ("not the fastest way that fits".into(), derived, format!("{how:?}"))
    });
    Some(team.at_confidence(&predicted))
}

/// Start, checkpoints, interruptions, hours and what they cost.
fn time(
    log: &mut Ledger,
    world: &World,
    team: &Team<'_>,
    c: &Checked<'_>,
    (run, said): (&BatchRun, &TrainingRun),
    tokens_per_s: f64,
) {
    let address = &team.work.address;
    let row = subject::offering(&world.catalog, c.type_index, c.region_index, Purchase::Spot);
    let lost = row.and_then(|row| row.interruption).unwrap_or(team::INTERRUPTED);
    let pace = team.pace(tokens_per_s, c.spot, lost);
    log.near("run", address, "the seconds until the first step", pace.start_s, said.start_up_s, 1e-9);
    log.near("run", address, "the GiB of a checkpoint", team.checkpoint() / GIB, said.checkpoint_gib, 1e-9);
    log.near("run", address, "the seconds to write one", pace.checkpoint_s, said.checkpoint_s, 1e-9);
    let Some(duration) = pace.duration(team.work.confidence) else {
        log.finding("run", address, "a run that may not end", "one that loses less than half", "a run");
        return;
    };
    let every = pace.every_s();
    log.near("run", address, "the seconds between two checkpoints", every, said.checkpoint_every_s, 1e-9);
    let expected = duration.interruptions;
    log.near("run", address, "the interruptions that are expected", expected, said.interruptions, 1e-9);
    log.same(
        "run",
        address,
        "the interruptions at confidence",
        &duration.most_interruptions,
        &said.most_interruptions,
    );
    let hours = duration.expected_s / 3600.0;
    log.near("run", address, "the hours of a run", hours, run.hours, 1e-9);
    let late = duration.late_s / 3600.0;
    log.near("run", address, "the hours at confidence", late, said.late_hours, 1e-9);
    let deadline = team.training.deadline_s / 3600.0;
    log.hold(late <= deadline * (1.0 + 1e-9), "deadline", address, || {
        ("a run ends too late".into(), format!("at most {deadline} h"), format!("{late} h"))
    });
    let hourly: Money = c.pool.machines.iter().map(|m| m.price.times(i64::from(m.count))).sum();
    let dataset =
        team.training.dataset.as_ref().and_then(|d| Some(bill::brought(world, &d.from, c)?.scale(d.gib)));
    let reads = team.training.dataset.as_ref().is_some_and(|d| d.gib > 0.0);
    log.hold(!reads || dataset.is_some(), "price", &c.pool.addr.to_string(), || {
        ("what reading the dataset costs there is not known".into(), "a known price".into(), "none".into())
    });
    let cost = hourly.scale(hours) + dataset.unwrap_or(Money::ZERO);
    log.amount("run", address, "the cost of a run", cost, run.cost_per_run, 2);
}
