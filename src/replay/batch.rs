//! A batch's run, replayed.

use super::arrivals::{Stream, generate};
use super::fleet::{Fleet, Kind, Routing, Source, run};
use super::placed::{curve_of, limits_of};
use super::statistics::Sample;
use super::timing::Tabulated;
use super::verify::VerifiedBatch;
use crate::perf::RequestShape;
use crate::placement::{WorkloadPlacement, World};
use crate::spec::{Arrivals, Batch, Purchase, Spec};

/// Most items that a replica is given: its rate is steady long before they end.
const ITEMS: usize = 20_000;
/// More work where machines are interrupted, as in planning (assumed).
const INTERRUPTED: f64 = 1.1;

/// Gives one replica its share of the items at once and measures the rate between the first and the last
/// tenth of the answers; what the plan says besides that (start-up, interruptions) is kept.
///
/// # Errors
/// In words: what the placement names and the world does not have.
pub(super) fn verify(
    world: &World,
    spec: &Spec,
    batch: &Batch,
    placed: &WorkloadPlacement,
    seed: u64,
) -> Result<Option<VerifiedBatch>, String> {
    let (Some(planned), Some(pool)) = (&placed.run, placed.pools.first()) else { return Ok(None) };
    let shape = RequestShape { input: batch.input, output: batch.output, prefix_cached: 0.0 };
    let model =
        spec.models.get(&batch.model).ok_or_else(|| format!("there is no model `{}`", batch.model))?;
    let confidence = spec.confidence;
    let curve =
        curve_of(world, model, pool, &shape, None).map_err(|why| format!("{}: {why}", pool.addr.as_str()))?;
    let slowed = curve.slowed(curve.tpot_band.factor(confidence).max(1.0));
    let share = (batch.items / f64::from(pool.replicas.max(1))).max(1.0);
    let items = (share as usize).min(ITEMS);
    let stream = Stream {
        rate: 1.0,
        arrivals: Arrivals::Constant,
        input: batch.input,
        output: batch.output,
        prefix_cached: 0.0,
        recorded: None,
    };
    let mut requests = generate(&stream, items, seed);
    for request in &mut requests {
        request.at_s = 0.0;
    }
    let fleet = Fleet {
        kinds: vec![Kind {
            timing: Tabulated::of(&slowed),
            limits: limits_of(&slowed, &pool.engine, pool.layout),
            replicas: 1,
        }],
        routing: Routing::RoundRobin,
    };
    let played = run(&fleet, &requests, Source::Open, seed);
    let ends = Sample::new(played.outcomes.iter().map(|o| o.e2e_s));
    let (Some(first), Some(last)) = (ends.quantile(0.1), ends.quantile(0.9)) else { return Ok(None) };
    let each = if last > first { 0.8 * items as f64 / (last - first) } else { items as f64 / played.span_s };
    let all = each * f64::from(pool.replicas);
    let spot = pool.machines.iter().any(|m| m.purchase == Purchase::Spot && m.count > 0);
    let more = if spot { INTERRUPTED } else { 1.0 };
    let hours = planned.hours + (batch.items / all - batch.items / planned.items_per_s) / 3600.0 * more;
    Ok(Some(VerifiedBatch {
        address: placed.address.clone(),
        items,
        items_per_s: (planned.items_per_s, all),
        hours: (planned.hours, hours),
        deadline_hours: planned.deadline_hours,
        preempted: played.used.iter().map(|u| u.preempted as f64).sum::<f64>() / items as f64,
    }))
}
