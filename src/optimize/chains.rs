//! The limit of a chain, split over its services so that they cost least.
//!
//! What each service costs by its limit is a staircase of optima, from the loosest limit down to where nothing does; it is worked out at
//! limits that are a [`STEP`] apart. Sums over the steps of a chain are kept if nothing is both faster and cheaper, which is the
//! staircase of the chain (Minkowski's sum).

use std::collections::BTreeMap;

use rayon::prelude::*;
use rhumb_api::{Money, Purchase};

use super::job::Job;
use super::sought::Sought;
use super::table::Table;
use crate::placement::{ChainPart, ChainSplit, World};
use crate::spec::{Chain, Spec};

/// By how much a limit is tightened at least: nobody measures less.
const STEP: f64 = 1.02;

/// Rungs of the ladder of limits: down to a 20,000th.
const RUNGS: u32 = 500;

/// Most sums that are kept; those that are left out cost the split its optimum, never its promise.
const SUMS: usize = 4_096;

/// Limits are told in thousandths of a millisecond.
const GRAIN: f64 = 1e3;

/// The tightest limit at which a service, or a step, costs no more.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    ms: f64,
    cost: Money,
}

/// Optima of a chain's first steps, and what each of these takes.
#[derive(Clone, Debug)]
struct Sum {
    ms: f64,
    cost: Money,
    steps: Vec<f64>,
}

/// Gives every service of a chain the limit at which all services of it cost least, each by itself: nothing that workloads share is
/// looked at, nor emissions; capacity is that of the closed form. Where nothing keeps the chain's limit, its steps share what there is by what each takes at the least, and
/// placing them says why.
pub fn split_chains(spec: &mut Spec, world: &World) {
    let chains: Vec<Chain> = spec.chains.values().cloned().collect();
    if chains.is_empty() {
        return;
    }
    // A replay for each limit would take long; what is chosen is replayed.
    let all = World { replay: 0, ..world.clone() };
    // What is held goes to whoever has most of it, and says nothing of what a tighter limit costs: it counts where nothing else does.
    let mut bought = all.clone();
    bought.catalog.offerings.retain(|offering| offering.purchase != Purchase::Held);
    let holds = bought.catalog.offerings.len() < all.catalog.offerings.len();
    for chain in chains {
        let whole: &Spec = spec;
        let steps = |world: &World| -> Vec<Vec<Point>> {
            let points: Vec<Vec<Vec<Point>>> = chain
                .steps
                .par_iter()
                .map(|step| step.par_iter().map(|service| staircase(whole, world, &chain, service)).collect())
                .collect();
            points.iter().map(|of| at_once(of)).collect()
        };
        let own = steps(&bought);
        let limits = cheapest(&own, chain.left_ms());
        let limits = limits.or_else(|| holds.then(|| cheapest(&steps(&all), chain.left_ms())).flatten());
        let limits = limits
            .or_else(|| fastest(&own, chain.left_ms()))
            .unwrap_or_else(|| vec![chain.equal_ms(); chain.steps.len()]);
        for (step, limit) in chain.steps.iter().zip(limits) {
            step.iter().for_each(|service| chain.set_limit(spec, service, limit));
        }
    }
}

/// The chains of a spec with the limits of their services.
pub(super) fn splits(spec: &Spec) -> Vec<ChainSplit> {
    let of = |chain: &Chain| {
        let limit = |service: &String| ChainPart {
            address: format!("services.{service}"),
            limit_ms: chain.limit_of(spec, service).unwrap_or_else(|| chain.equal_ms()),
        };
        ChainSplit {
            name: chain.name.clone(),
            quantile: chain.quantile,
            limit_ms: chain.limit_ms,
            between_ms: chain.between_ms,
            part_quantile: chain.part_quantile(),
            steps: chain.steps.iter().map(|step| step.iter().map(limit).collect()).collect(),
        }
    };
    spec.chains.values().map(of).collect()
}

/// What a service costs at each limit of a ladder whose rungs are a [`STEP`] apart: of each cost the tightest limit.
fn staircase(spec: &Spec, world: &World, chain: &Chain, service: &str) -> Vec<Point> {
    let mut own = spec.clone();
    own.services.retain(|name, _| name == service);
    own.batches.clear();
    own.trainings.clear();
    let address = format!("services.{service}");
    let Some(table) = Job::of(&own, world, &address).map(|job| Table::new(&job)) else { return Vec::new() };
    let ms = |rung: u32| (0..rung).fold(chain.left_ms(), |ms, _| ms / STEP);
    let cost = |rung: u32| {
        let mut own = own.clone();
        chain.set_limit(&mut own, service, ms(rung));
        let job = Job::of(&own, world, &address)?;
        let (placed, _) = super::alone(&job, &table, &Sought::of(&job, &table), false).ok()?;
        Some(placed.cost.expected_per_month)
    };
    rungs(&cost).into_iter().map(|(rung, cost)| Point { ms: ms(rung), cost }).collect()
}

/// The last rung of each cost, down to where there is none. What is no dearer at a tighter limit costs the same in between.
fn rungs(cost: &dyn Fn(u32) -> Option<Money>) -> Vec<(u32, Money)> {
    let mut known: BTreeMap<u32, Money> = BTreeMap::new();
    let Some(loosest) = cost(0) else { return Vec::new() };
    known.insert(0, loosest);
    // In growing strides: far below what is possible a search for nothing takes long.
    let (mut low, mut high) = (0, None);
    let mut stride = 8;
    while high.is_none_or(|high| high - low > 1) {
        let next = high.map_or(low + stride, |high: u32| low.midpoint(high)).min(RUNGS);
        match cost(next).filter(|_| next < RUNGS) {
            Some(found) => {
                known.insert(next, found);
                (low, stride) = (next, stride * 2);
            }
            None => high = Some(next),
        }
    }
    let mut between: Vec<(u32, u32)> = known.keys().copied().zip(known.keys().copied().skip(1)).collect();
    while let Some((low, high)) = between.pop() {
        if high - low < 2 || known.get(&low) == known.get(&high) {
            continue;
        }
        let middle = low.midpoint(high);
        // Refused between two limits that work: the replay contradicts what a tighter one asks for (decision 6).
        let Some(found) = cost(middle) else { continue };
        known.insert(middle, found);
        between.extend([(low, middle), (middle, high)]);
    }
    let last: BTreeMap<Money, u32> = known.into_iter().map(|(rung, cost)| (cost, rung)).collect();
    last.into_iter().map(|(cost, rung)| (rung, cost)).collect()
}

/// Optima of services that are called at once: all are within the limit of the step.
fn at_once(services: &[Vec<Point>]) -> Vec<Point> {
    let mut bounds: Vec<f64> = services.iter().flatten().map(|p| p.ms).collect();
    bounds.sort_by(f64::total_cmp);
    let within = |ms: f64| {
        let least = |of: &Vec<Point>| of.iter().filter(|p| p.ms <= ms).map(|p| p.cost).min();
        Some(Point { ms, cost: services.iter().map(least).sum::<Option<Money>>()? })
    };
    bounds.into_iter().filter_map(within).collect()
}

/// The limit of each step, so that they sum to `most` ms and cost least; what is left over goes to all in proportion.
fn cheapest(steps: &[Vec<Point>], most: f64) -> Option<Vec<f64>> {
    let mut sums = vec![Sum { ms: 0.0, cost: Money::ZERO, steps: Vec::new() }];
    for step in steps {
        let mut all: Vec<Sum> = Vec::with_capacity(sums.len() * step.len());
        for sum in &sums {
            for point in step.iter().filter(|p| sum.ms + p.ms <= most) {
                let steps = sum.steps.iter().copied().chain([point.ms]).collect();
                all.push(Sum { ms: sum.ms + point.ms, cost: sum.cost + point.cost, steps });
            }
        }
        all.sort_by(|a, b| a.ms.total_cmp(&b.ms).then(a.cost.cmp(&b.cost)));
        sums = Vec::new();
        for sum in all {
            if sums.last().is_none_or(|last: &Sum| sum.cost < last.cost) {
                sums.push(sum);
            }
        }
        let each = sums.len().div_ceil(SUMS).max(1);
        sums = sums.into_iter().step_by(each).collect();
    }
    let best = sums.into_iter().min_by(|a, b| a.cost.cmp(&b.cost).then(a.ms.total_cmp(&b.ms)))?;
    let more = most / best.ms.max(f64::MIN_POSITIVE);
    Some(best.steps.iter().map(|ms| (ms * more * GRAIN).floor().max(ms * GRAIN) / GRAIN).collect())
}

/// Parts of `most` ms in proportion to what each step takes at the least.
fn fastest(steps: &[Vec<Point>], most: f64) -> Option<Vec<f64>> {
    let least = |of: &Vec<Point>| of.iter().map(|p| p.ms).reduce(f64::min);
    let each: Vec<f64> = steps.iter().map(least).collect::<Option<_>>()?;
    let more = most / each.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    Some(each.iter().map(|ms| (ms * more * GRAIN).floor() / GRAIN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, i64)]) -> Vec<Point> {
        of.iter().map(|(ms, usd)| Point { ms: *ms, cost: Money::from_micros(usd * 1_000_000) }).collect()
    }

    #[test]
    fn the_dearer_service_gets_more_of_the_time() {
        let (embed, rank) = (points(&[(40.0, 10), (10.0, 12)]), points(&[(90.0, 100), (50.0, 300)]));
        // 40 + 90 are too much; 10 + 90 cost 112, 40 + 50 cost 310.
        let limits = cheapest(&[embed.clone(), rank.clone()], 120.0).unwrap();
        assert_eq!(limits, [12.0, 108.0]);
        assert_eq!(cheapest(&[embed.clone(), rank.clone()], 130.0).unwrap(), [40.0, 90.0]);
        assert_eq!(cheapest(&[embed.clone(), rank.clone()], 59.0), None);
        assert_eq!(fastest(&[embed, rank], 30.0).unwrap(), [5.0, 25.0]);
    }

    /// 10 USD down to the 40th rung, 25 to the 57th, 90 to the 60th.
    #[test]
    fn each_stair_is_found_to_its_last_rung() {
        let tried = std::cell::RefCell::new(Vec::new());
        let cost = |rung: u32| {
            tried.borrow_mut().push(rung);
            let usd = [(40, 10), (57, 25), (60, 90)].into_iter().find(|(last, _)| rung <= *last)?.1;
            Some(Money::from_micros(usd * 1_000_000))
        };
        let found: Vec<(u32, i64)> =
            rungs(&cost).into_iter().map(|(rung, cost)| (rung, cost.micros() / 1_000_000)).collect();
        assert_eq!(found, [(40, 10), (57, 25), (60, 90)]);
        let mut tried = tried.into_inner();
        assert!(tried.len() < 30, "{tried:?}");
        tried.sort_unstable();
        assert!(tried.windows(2).all(|pair| pair[0] < pair[1]), "twice: {tried:?}");
        assert_eq!(rungs(&|_| None), []);
    }

    #[test]
    fn what_is_called_at_once_is_as_slow_as_its_slowest() {
        let step = at_once(&[points(&[(40.0, 10), (10.0, 12)]), points(&[(30.0, 5)])]);
        assert_eq!(step, points(&[(30.0, 17), (40.0, 15)]));
        assert!(at_once(&[points(&[(40.0, 10)]), Vec::new()]).is_empty());
    }

    #[test]
    fn no_limit_is_below_what_was_promised() {
        let limits = cheapest(&[points(&[(10.000_4, 1)]), points(&[(20.000_4, 1)])], 30.000_8).unwrap();
        assert!(limits[0] >= 10.000_4 && limits[1] >= 20.000_4, "{limits:?}");
        assert!(limits.iter().sum::<f64>() <= 30.000_8 + 1e-9, "{limits:?}");
    }
}
