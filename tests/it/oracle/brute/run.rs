//! Every run of a batch.

use rhumb::replay::{Worker, items_of};

use super::*;

/// The least cost of one run of a batch in micro-dollars; `None` if nothing ends in time.
pub fn batch(spec: &Spec, world: &World, name: &str) -> Option<i64> {
    let best = std::cell::Cell::new(None);
    // A replay makes nothing cheaper: what is no cheaper by the closed form need not be played, which takes long.
    each_run(spec, world, name, &|run| best.get().is_none_or(|b| run < b), &mut |run, month| {
        let bound = month.bound(spec);
        if limits(spec, &format!("batches.{name}")).all(|l| bound <= l + 1) {
            best.set(best.get().into_iter().chain([run]).min());
        }
    });
    best.get()
}

/// Visits every run of a batch that ends in time within the quotas: its cost, and what a month of them costs and takes. Where runs are
/// replayed, those that are `wanted` at their cost by the closed form.
pub fn each_run(
    spec: &Spec,
    world: &World,
    name: &str,
    wanted: &dyn Fn(i64) -> bool,
    visit: &mut dyn FnMut(i64, Choice),
) {
    let b = &spec.batches[name];
    let shape = RequestShape { input: b.input, output: b.output, prefix_cached: 0.0 };
    for way in ways(spec, world, &b.model, &b.placement, &b.engine, &shape) {
        let kind = &world.catalog.instance_types[way.type_index];
        let start = perf::start_up_s(way.weights_bytes, kind.network_gbps);
        for region in regions(world, &b.placement) {
            if world.catalog.regions[region].cloud != kind.cloud {
                continue;
            }
            for m in 1..=4 * MOST_MACHINES {
                for buy in held::buys((spec, world), &b.purchase, (way.type_index, region), m) {
                    let (hourly, on_demand, s) = (buy.hourly, buy.on_demand, buy.lost);
                    let replicas = m * way.replicas_per_machine;
                    let seconds_at = |rate: f64| {
                        let work = b.items / (rate * f64::from(replicas));
                        if s > 0 { 2.0 * start + 1.1 * work } else { start + work }
                    };
                    let of = |price: i64, seconds: f64| price as f64 * seconds / 3600.0;
                    let closed = way.curve.batch_rate() / way.f;
                    let mut seconds = seconds_at(closed);
                    if world.replay > 0 {
                        if seconds > b.deadline_s || !wanted(of(hourly, seconds).floor() as i64) {
                            continue;
                        }
                        let worker = Worker { curve: &way.slowed, limits: way.limits, batch: b };
                        // All at once, each in its turn: a replica has as many as the others, or one more.
                        let each = items_of(b, replicas);
                        let played = worker.played(each).unwrap_or(0.0);
                        let whole = (b.items / f64::from(replicas)).ceil() <= f64::from(each);
                        let all = if whole {
                            f64::from(each) / played
                        } else {
                            b.items / (played * f64::from(replicas))
                        };
                        let work = if s > 0 { 2.0 * start + 1.1 * all } else { start + all };
                        seconds = seconds.max(work);
                    }
                    if seconds > b.deadline_s {
                        continue;
                    }
                    let runs = b.schedule.as_ref().map_or(1.0, |s| s.runs_per_month);
                    let of = |price: i64| of(price, seconds);
                    let month = Choice {
                        cost: (of(hourly) * runs) as i64,
                        ceiling: (of(on_demand) * runs) as i64,
                        peak: (of(hourly) * runs) as i64,
                        replicas,
                        most_replicas: replicas,
                        quotas: buy.quotas,
                    };
                    let of_month = |mg: i64| perf::carbon::of_runs(mg, m, seconds / 3600.0, runs);
                    let month = carbon::with(spec, world, (way.type_index, region), of_month, month);
                    if over_cap(spec, world, &month) {
                        continue;
                    }
                    visit(of(hourly).round() as i64, month);
                }
            }
        }
    }
}

/// Whether a choice by itself emits more than it may, or nobody knows how much.
fn over_cap(spec: &Spec, world: &World, choice: &Choice) -> bool {
    choice.quotas.iter().any(|(k, n)| allowed(spec, world, k).is_some_and(|most| *n > most))
}
