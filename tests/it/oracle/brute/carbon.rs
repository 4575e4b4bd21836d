//! What is limited of a choice: declared quotas, and what its machines emit.

use rhumb::perf::carbon;

use super::*;

/// Stands for the region of emissions.
const CARBON: usize = usize::MAX - 1;

fn key() -> (usize, String) {
    (CARBON, "carbon".to_owned())
}

/// Whether emissions are limited or priced.
pub fn counts(spec: &Spec) -> bool {
    spec.budget.carbon.is_some() || spec.objective != Goal::Cost
}

/// A choice with what it emits: `month` makes milligrams of a month of those of a machine's hour. More than there is where
/// they are not known.
pub fn with(
    spec: &Spec,
    world: &World,
    (kind, region): (usize, usize),
    month: impl Fn(i64) -> i64,
    mut choice: Choice,
) -> Choice {
    if counts(spec) {
        let kind = &world.catalog.instance_types[kind];
        let accelerator = kind.accelerator.map(|a| &world.catalog.accelerators[a]);
        let found = carbon::emitter(kind, accelerator, &world.catalog.regions[region]);
        let mg = found.map_or(f64::INFINITY, |e| month(e.mg_per_hour) as f64);
        choice.quotas.insert(key(), mg);
    }
    choice
}

/// Milligrams of a month of a shared machine, micro-dollars that they count for, and what limits them.
pub fn of_shared(spec: &Spec, world: &World, (kind, region): (usize, usize)) -> ((usize, String), f64, i64) {
    if !counts(spec) {
        return (key(), 0.0, 0);
    }
    let kind = &world.catalog.instance_types[kind];
    let accelerator = kind.accelerator.map(|a| &world.catalog.accelerators[a]);
    match carbon::emitter(kind, accelerator, &world.catalog.regions[region]) {
        Ok(e) => (key(), (e.mg_per_hour * 730) as f64, counted(spec, e.mg_per_hour * 730)),
        Err(_) => (key(), f64::INFINITY, i64::MAX / 1024),
    }
}

/// Milligrams of a month.
pub fn emitted(choice: &Choice) -> i64 {
    choice.quotas.get(&key()).map_or(0, |mg| *mg as i64)
}

/// What so many milligrams count for in what is minimised, micro-dollars.
pub fn counted(spec: &Spec, mg: i64) -> i64 {
    let tonne: i128 = match spec.objective {
        Goal::Cost => 0,
        Goal::Priced { per_tonne } => per_tonne.micros().into(),
        Goal::Carbon => 100_000_000_000_000,
    };
    (i128::from(mg) * (tonne * (1 << 24) / 1_000_000_000) / (1 << 24)) as i64
}

/// What is minimised of a choice of a month.
pub fn objective(spec: &Spec, choice: &Choice) -> i64 {
    choice.cost + counted(spec, emitted(choice)) + stability::surcharge(choice)
}

pub fn allowed(spec: &Spec, world: &World, (region, code): &(usize, String)) -> Option<f64> {
    if *region == stability::MOVED {
        return None;
    }
    if *region == CARBON {
        return Some(spec.budget.carbon.as_ref().map_or(f64::MAX, |cap| cap.mg as f64));
    }
    if *region == GLOBAL {
        let mut declared = spec.providers.values().filter_map(|p| p.quotas.get("global")?.get(code));
        return declared.next().copied();
    }
    let r = &world.catalog.regions[*region];
    spec.providers.get(&r.cloud)?.quotas.get(&r.id)?.get(code).copied()
}

pub fn over_quota(
    spec: &Spec,
    world: &World,
    kind: usize,
    region: usize,
    rules: &PurchaseRules,
    m: u32,
    s: u32,
) -> bool {
    quotas(world, rules, kind, region, m, s)
        .iter()
        .any(|(k, n)| allowed(spec, world, k).is_some_and(|l| *n > l))
}
