//! How cost grows with traffic, and where another choice becomes the cheapest.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rhumb_api::Money;

use super::{Aspect, Choice, change, choices, compare, cost, refusal};
use crate::math;
use crate::optimize;
use crate::placement::World;
use crate::spec::Spec;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// The workload whose traffic is scaled, by its address; `None` = all together.
    pub workload: Option<String>,
    /// Smallest and largest factor on its traffic; above 0, ascending.
    pub range: (f64, f64),
    /// Factors that are planned, evenly spaced by their ratio; at least 2. The present traffic joins them.
    pub steps: usize,
    /// How near two factors are between which a flip is told, as a ratio above 0: 0.01 = within 1 %.
    pub tolerance: f64,
    /// Whether another number of machines is a flip as well.
    pub counts: bool,
}

/// The deployment at one traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Times the present traffic.
    pub factor: f64,
    /// What is chosen.
    pub outcome: Outcome,
}

/// What is chosen, or which constraints refuse everything, in words.
pub type Outcome = Result<Scaled, String>;

/// A placement in short.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// Dollars a month.
    pub cost: Money,
    /// By workload.
    pub choices: BTreeMap<String, Vec<Choice>>,
    /// Machines that services share; no workload's choice has them.
    pub shared: u32,
}

impl Scaled {
    /// Machines of all workloads.
    pub fn machines(&self) -> u32 {
        let own: u32 = self.choices.values().flatten().flat_map(|c| &c.machines).map(|m| m.1).sum();
        own + self.shared
    }
}

/// Another choice becomes the cheapest, or nothing keeps the promises any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// The workload; `None` where the whole is refused on one side.
    pub workload: Option<String>,
    /// What differs; empty where one side is refused.
    pub aspects: BTreeSet<Aspect>,
    /// The last factor seen with the old choice.
    pub below: Point,
    /// The first seen with the new one: at most the tolerance above.
    pub above: Point,
}

/// The whole curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// At the factors that were asked for, ascending.
    pub points: Vec<Point>,
    /// Between them, ascending.
    pub flips: Vec<Flip>,
    /// Deployments that were planned.
    pub planned: usize,
}

/// Plans a deployment at growing traffic.
///
/// Each point is the optimum of its own traffic. Between two neighbours with unlike choices the flips are bisected; a choice that
/// comes and goes between two neighbours with like choices is not seen. `progress` is told how many points are done.
pub fn scale(spec: &Spec, world: &World, asked: &Scaling, progress: &(dyn Fn(usize) + Sync)) -> Scale {
    let done = std::sync::atomic::AtomicUsize::new(0);
    let at = |factor: f64| {
        let mut spec = spec.clone();
        change::traffic(&mut spec, asked.workload.as_deref(), factor);
        optimize::split_chains(&mut spec, world);
        let outcome = match optimize::outline(&spec, world) {
            Ok(placement) => Ok(Scaled {
                cost: cost(&placement),
                choices: choices(&placement),
                shared: placement.fleets.iter().map(|f| f.count).sum(),
            }),
            Err(why) => Err(refusal(&why)),
        };
        progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        Point { factor, outcome }
    };
    let points: Vec<Point> = factors(asked).into_par_iter().map(at).collect();
    let between: Vec<Vec<Flip>> =
        points.par_windows(2).map(|pair| located(&pair[0], &pair[1], asked, &at)).collect();
    let flips = between.into_iter().flatten().collect();
    Scale { points, flips, planned: done.into_inner() }
}

/// The factors to plan: evenly spaced by their ratio, of four digits, the present traffic among them.
fn factors(asked: &Scaling) -> Vec<f64> {
    let (low, high) = asked.range;
    let steps = asked.steps.max(2);
    let mut all: Vec<f64> = (0..steps)
        .map(|i| {
            let share = i as f64 / (steps - 1) as f64;
            digits(low * math::exp(share * math::ln(high / low)))
        })
        .collect();
    all[0] = low;
    all[steps - 1] = high;
    if low < 1.0 && high > 1.0 {
        all.push(1.0);
    }
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Four significant digits.
fn digits(x: f64) -> f64 {
    let mut places = 3;
    let mut scaled = x;
    while scaled < 1.0 && places < 12 {
        scaled *= 10.0;
        places += 1;
    }
    while scaled >= 10.0 && places > 0 {
        scaled /= 10.0;
        places -= 1;
    }
    math::round_to(x, places)
}

/// What differs that counts as a flip, by workload; `None` where one side is refused.
fn unlike(below: &Point, above: &Point, counts: bool) -> Vec<(Option<String>, BTreeSet<Aspect>)> {
    match (&below.outcome, &above.outcome) {
        (Err(_), Err(_)) => Vec::new(),
        (Ok(a), Ok(b)) => {
            let none = Vec::new();
            let pairs = a.choices.iter().map(|(w, c)| (w, compare(c, b.choices.get(w).unwrap_or(&none))));
            pairs
                .filter(|(_, aspects)| aspects.iter().any(|x| counts || *x != Aspect::Count))
                .map(|(w, aspects)| (Some(w.clone()), aspects))
                .collect()
        }
        _ => vec![(None, BTreeSet::new())],
    }
}

/// The flips between two points, by bisection of their ratio.
fn located(below: &Point, above: &Point, asked: &Scaling, at: &(impl Fn(f64) -> Point + Sync)) -> Vec<Flip> {
    let found = unlike(below, above, asked.counts);
    if found.is_empty() {
        return Vec::new();
    }
    if above.factor <= below.factor * (1.0 + asked.tolerance) {
        let flip =
            |(workload, aspects)| Flip { workload, aspects, below: below.clone(), above: above.clone() };
        return found.into_iter().map(flip).collect();
    }
    let middle = at(math::sqrt(below.factor * above.factor));
    let mut flips = located(below, &middle, asked, at);
    flips.extend(located(&middle, above, asked, at));
    flips
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: (f64, f64), steps: usize) -> Scaling {
        Scaling { workload: None, range, steps, tolerance: 0.01, counts: false }
    }

    #[test]
    fn factors_are_even_and_know_the_present() {
        assert_eq!(factors(&asked((0.1, 10.0), 5)), [0.1, 0.3162, 1.0, 3.162, 10.0]);
        assert_eq!(factors(&asked((0.5, 4.0), 4)), [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(factors(&asked((0.5, 3.0), 2)), [0.5, 1.0, 3.0]);
        assert_eq!(factors(&asked((2.0, 3.0), 2)), [2.0, 3.0]);
        assert_eq!(digits(0.001_234_56), 0.001_235);
    }

    /// A choice that flips at 2.5, and twice more between 5 and 6: each is found within 1 %, in order.
    #[test]
    fn flips_are_bisected() {
        let at = |factor: f64| {
            let instance_type = match factor {
                f if f < 2.5 => "a",
                f if f < 5.1 => "b",
                f if f < 5.7 => "c",
                _ => "d",
            };
            let choice = Choice {
                cloud: rhumb_api::Cloud::Aws,
                region: "r".into(),
                instance_type: instance_type.into(),
                variant: None,
                quantization: crate::spec::Quantization::Bf16,
                layout: crate::perf::Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
                machines: vec![(rhumb_api::Purchase::OnDemand, factor as u32 + 1)],
                shared: None,
            };
            let choices = BTreeMap::from([("services.s".to_owned(), vec![choice])]);
            Point { factor, outcome: Ok(Scaled { cost: Money::ZERO, choices, shared: 0 }) }
        };
        let found = located(&at(1.0), &at(8.0), &asked((1.0, 8.0), 2), &at);
        let names = |f: &Flip| {
            let of = |p: &Point| p.outcome.as_ref().unwrap().choices["services.s"][0].instance_type.clone();
            (of(&f.below), of(&f.above))
        };
        let pairs: Vec<(String, String)> = found.iter().map(names).collect();
        assert_eq!(pairs, [("a", "b"), ("b", "c"), ("c", "d")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        for (flip, truth) in found.iter().zip([2.5, 5.1, 5.7]) {
            assert!(flip.below.factor < truth && flip.above.factor >= truth, "{truth}: {flip:?}");
            assert!(flip.above.factor <= flip.below.factor * 1.01);
            assert!(flip.aspects.contains(&Aspect::Type));
        }
        // With counts, each machine more is one, too: 7 whole numbers are passed, two of them near a flip of their own.
        let counts = Scaling { counts: true, ..asked((1.0, 8.0), 2) };
        assert_eq!(located(&at(1.0), &at(8.0), &counts, &at).len(), 3 + 7);
    }
}
