//! The optimizer against brute force, on several hundred small random worlds.

mod brute;
mod worlds;

use rhumb::catalog::Catalog;
use rhumb::placement::{Placement, World};
use rhumb::spec::Spec;

/// Worlds that are tried.
const WORLDS: u64 = 300;

/// What an optimizer answered for a world with one workload: the cost that it claims to be the least
/// (a service: micro-dollars an hour; a batch: a run), and whether a pool is larger than what brute force tries.
struct Answer {
    cost: Option<i64>,
    beyond: bool,
}

fn ask(spec: &Spec, world: &World) -> (Answer, Option<Placement>) {
    let Ok(placement) = place(spec, world) else {
        return (Answer { cost: None, beyond: false }, None);
    };
    let placed = placement.workloads.values().next().unwrap();
    let cost = match &placed.run {
        Some(run) => run.cost_per_run,
        None => placed.cost.expected_per_hour,
    };
    let most = if placed.run.is_some() { 4 * brute::MOST_MACHINES } else { brute::MOST_MACHINES };
    let machines = |p: &rhumb::placement::Pool| p.machines.iter().map(|m| m.count).sum::<u32>();
    let beyond = placed.pools.iter().any(|p| machines(p) > most);
    // A budget for everything that one workload breaks is as good as no placement.
    let broken = !placement.joint_violations.is_empty();
    (Answer { cost: (!broken).then_some(cost.micros()), beyond }, Some(placement))
}

fn brute(spec: &Spec, world: &World) -> Option<i64> {
    match spec.services.keys().next() {
        Some(name) => brute::service(spec, world, name),
        None => brute::batch(spec, world, spec.batches.keys().next()?),
    }
}

/// Whether two answers agree: both infeasible, or costs equal but for the rounding of a few products.
fn agree(answer: Option<i64>, truth: Option<i64>) -> bool {
    match (answer, truth) {
        (None, None) => true,
        (Some(a), Some(b)) => (a - b).abs() <= 8,
        _ => false,
    }
}
