//! A batch's run, replayed.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rayon::prelude::*;

use super::arrivals::{Stream, generate};
use super::capacity::{lengths, replica};
use super::engine::Limits;
use super::fleet::{Fleet, Kind, Routing, Source, run};
use super::placed::{curve_of, limits_of};
use super::statistics::Sample;
use super::timing::Tabulated;
use super::verify::VerifiedBatch;
use crate::perf::{RequestShape, ServiceCurve};
use crate::placement::{WorkloadPlacement, World};
use crate::spec::{Arrivals, Batch, Purchase, Spec};

/// Most items that a replica is given: its rate is steady long before they end.
pub const ITEMS: u32 = 20_000;
/// Times that a planned rate is played.
const SEEDS: u64 = 3;
/// More work where machines are interrupted, as in planning (assumed).
const INTERRUPTED: f64 = 1.1;

/// A replica of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Worker<'a> {
    /// At the edge of the prediction that is asked about.
    pub curve: &'a ServiceCurve,
    /// What bounds its batches.
    pub limits: Limits,
    /// Whose items.
    pub batch: &'a Batch,
}

/// What a replica did with its items.
struct Played {
    /// Items a second.
    rate: f64,
    /// Sequences that were preempted.
    preempted: f64,
}

/// Items of the replica that has the most; beyond [`ITEMS`] one more than that, whatever they are.
pub fn items_of(batch: &Batch, replicas: u32) -> u32 {
    (batch.items / f64::from(replicas.max(1))).ceil().clamp(1.0, f64::from(ITEMS + 1)) as u32
}

/// Rates that were played, by all that they follow from.
static KNOWN: Mutex<BTreeMap<Vec<u64>, Option<f64>>> = Mutex::new(BTreeMap::new());
/// Most of them that are remembered: some hundred bytes each.
const REMEMBERED: usize = 10_000;

impl Worker<'_> {
    /// What so many items are replayed to (see [`Worker::of_all`]), the slowest of a few replays; `None` if none ends.
    pub fn played(&self, items: u32) -> Option<f64> {
        let mut key = replica(self.curve, self.limits);
        key.extend(lengths(&self.batch.input).into_iter().chain(lengths(&self.batch.output)));
        key.push(u64::from(items));
        if let Some(known) = KNOWN.lock().ok().and_then(|k| k.get(&key).copied()) {
            return known;
        }
        let rate = self.least(items);
        if let Ok(mut known) = KNOWN.lock() {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(key, rate);
        }
        rate
    }

    fn least(&self, items: u32) -> Option<f64> {
        let all: Vec<Option<Played>> =
            (1..=SEEDS).into_par_iter().map(|seed| self.play(items, seed)).collect();
        let rates = all.into_iter().map(|p| p.map(|p| p.rate)).collect::<Option<Vec<f64>>>()?;
        rates.into_iter().reduce(f64::min)
    }

    /// Items a second of so many replicas, if the one with the most items was replayed to `played`: where that was its whole share, all
    /// are done when it is, however many had none.
    pub fn of_all(batch: &Batch, replicas: u32, played: f64) -> f64 {
        match items_of(batch, replicas) {
            items if items > ITEMS => played * f64::from(replicas),
            items => played * (batch.items / f64::from(items)),
        }
    }

    /// Items a second of a replica: of a whole share from the first prompt to the last answer, of more between the first and the last
    /// tenth of the answers of as many as are played.
    fn play(&self, items: u32, seed: u64) -> Option<Played> {
        let whole = items <= ITEMS;
        let items = items.min(ITEMS);
        let stream = Stream {
            rate: 1.0,
            arrivals: Arrivals::Constant,
            input: self.batch.input,
            output: self.batch.output,
            prefix_cached: 0.0,
            recorded: None,
        };
        let mut requests = generate(&stream, items as usize, seed);
        for request in &mut requests {
            request.at_s = 0.0;
        }
        let fleet = Fleet {
            kinds: vec![Kind { timing: Tabulated::of(self.curve), limits: self.limits, replicas: 1 }],
            routing: Routing::RoundRobin,
        };
        let played = run(&fleet, &requests, Source::Open, seed);
        let ends = Sample::new(played.outcomes.iter().map(|o| o.e2e_s));
        let (first, last) = (ends.quantile(0.1)?, ends.quantile(0.9)?);
        let items = f64::from(items);
        let steady = !whole && last > first;
        let rate = if steady { 0.8 * items / (last - first) } else { items / played.span_s };
        Some(Played { rate, preempted: played.used.iter().map(|u| u.preempted as f64).sum() })
    }
}

/// Gives one replica its share of the items and measures its rate; what the plan says besides that (start-up, interruptions) is kept.
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
    let items = items_of(batch, pool.replicas);
    let worker = Worker { curve: &slowed, limits: limits_of(&slowed, &pool.engine, pool.layout), batch };
    let Some(played) = worker.play(items, seed) else { return Ok(None) };
    let all = Worker::of_all(batch, pool.replicas, played.rate);
    let spot = pool.machines.iter().any(|m| m.purchase == Purchase::Spot && m.count > 0);
    let more = if spot { INTERRUPTED } else { 1.0 };
    let hours = planned.hours + (batch.items / all - batch.items / planned.items_per_s) / 3600.0 * more;
    Ok(Some(VerifiedBatch {
        address: placed.address.clone(),
        items: items.min(ITEMS) as usize,
        items_per_s: (planned.items_per_s, all),
        hours: (planned.hours, hours),
        deadline_hours: planned.deadline_hours,
        preempted: played.preempted / f64::from(items.min(ITEMS)),
    }))
}
