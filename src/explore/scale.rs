//! How cost grows with traffic, and where another choice becomes the cheapest.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use rhumb_api::Money;

use super::compare::NOT_PROVEN;
use super::{Aspect, Choice, change, choices, compare, cost, refusal};
use crate::math;
use crate::optimize;
use crate::placement::{Placement, WorkloadPlacement, World};
use crate::spec::{Goal, Spec};

/// Traffics that are planned at once where most may be unseen.
const AT_ONCE: usize = 4;

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
    /// Most traffics that are planned besides, one after the other where a choice that comes and goes unseen could save most.
    pub refine: usize,
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
    /// Nothing costs less, dollars a month; `None` where that was not proven, or where something else than the bill is minimised.
    pub lower: Option<Money>,
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
    /// From each traffic that was planned to the next, ascending.
    pub spans: Vec<Unseen>,
    /// Deployments that were planned.
    pub planned: usize,
}

/// What may lie between two traffics that were planned, and no traffic between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Unseen {
    /// The lower.
    pub from: f64,
    /// The upper.
    pub to: f64,
    /// Whether the choices of both are unlike: a flip lies between them.
    pub flips: bool,
    /// Dollars a month: what is chosen at the upper does for every traffic between them, and costs at most so much more than the
    /// cheapest there. Zero proves it the cheapest throughout. `None` = not bounded.
    pub most: Option<Money>,
}

/// Plans a deployment at growing traffic.
///
/// Each point is the optimum of its own traffic. Between two neighbours with unlike choices the flips are bisected. Between like ones
/// a choice may come and go unseen, but not for much: what does for the greater traffic does for the less, so that the optimum grows
/// with traffic, and lies between what is proven at the lower and what is chosen at the upper. Where that leaves most, further
/// traffics are planned. `progress` is told how many points are done.
pub fn scale(spec: &Spec, world: &World, asked: &Scaling, progress: &(dyn Fn(usize) + Sync)) -> Scale {
    let done = std::sync::atomic::AtomicUsize::new(0);
    let at = |factor: f64| {
        let mut spec = spec.clone();
        change::traffic(&mut spec, asked.workload.as_deref(), factor);
        optimize::split_chains(&mut spec, world);
        let outcome = match optimize::outline(&spec, world) {
            Ok(placement) => Ok(Scaled {
                cost: cost(&placement),
                lower: lower(&spec, &placement),
                choices: choices(&placement),
                shared: placement.fleets.iter().map(|f| f.count).sum(),
            }),
            Err(why) => Err(refusal(&why)),
        };
        progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1);
        Point { factor, outcome }
    };
    let asked_for = factors(asked);
    let points: Vec<Point> = asked_for.par_iter().map(|factor| at(*factor)).collect();
    let all = refined(bisected(points.clone(), asked, &at), asked, &at);
    let pairs = || all.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    let flips = pairs().flat_map(|(below, above)| {
        let flip =
            |(workload, aspects)| Flip { workload, aspects, below: below.clone(), above: above.clone() };
        unlike(below, above, asked.counts).into_iter().map(flip)
    });
    let spans = pairs().map(|(below, above)| unseen(below, above, asked.counts));
    Scale { flips: flips.collect(), spans: spans.collect(), points, planned: done.into_inner() }
}

/// What is proven of the bill.
fn lower(spec: &Spec, placement: &Placement) -> Option<Money> {
    // A certificate bounds the division that was chosen, and no other.
    if spec.objective != Goal::Cost || placement.divided.is_some() {
        return None;
    }
    let proven = |w: &WorkloadPlacement| w.certificate.lower_bound == w.certificate.optimum;
    match &placement.coupling {
        Some(coupling) => Some(coupling.lower_bound),
        None => placement.workloads.values().all(proven).then(|| cost(placement)),
    }
}

/// See [`Unseen`].
fn unseen(below: &Point, above: &Point, counts: bool) -> Unseen {
    let most = match (&below.outcome, &above.outcome) {
        (Ok(a), Ok(b)) => a.lower.map(|lower| (b.cost - lower).max(Money::ZERO)),
        // What cannot be placed cannot with more traffic either.
        (Err(why), Err(_)) => (!why.ends_with(NOT_PROVEN)).then_some(Money::ZERO),
        _ => None,
    };
    let flips = !unlike(below, above, counts).is_empty();
    Unseen { from: below.factor, to: above.factor, flips, most }
}

/// Points with others between them until no two neighbours with unlike choices are farther apart than the tolerance.
fn bisected(points: Vec<Point>, asked: &Scaling, at: &(impl Fn(f64) -> Point + Sync)) -> Vec<Point> {
    let between: Vec<Vec<Point>> = points
        .par_windows(2)
        .map(|pair| match pair {
            [below, above] => located(below, above, asked, at),
            _ => Vec::new(),
        })
        .collect();
    let mut all: Vec<Point> = Vec::new();
    for (i, point) in points.into_iter().enumerate() {
        all.push(point);
        all.extend(between.get(i).into_iter().flatten().cloned());
    }
    all
}

/// Points with others between them where most may be unseen; each is followed by a bisection where it is unlike a neighbour.
fn refined(mut all: Vec<Point>, asked: &Scaling, at: &(impl Fn(f64) -> Point + Sync)) -> Vec<Point> {
    let mut left = asked.refine;
    while left > 0 {
        let far = |i: usize| all[i + 1].factor > all[i].factor * (1.0 + asked.tolerance);
        let open = (0..all.len().saturating_sub(1)).filter(|i| far(*i));
        let most = |i: &usize| unseen(&all[*i], &all[*i + 1], asked.counts).most.unwrap_or(Money::ZERO);
        let mut widest: Vec<usize> = open.filter(|i| most(i) > Money::ZERO).collect();
        widest.sort_by_key(|i| (std::cmp::Reverse(most(i)), *i));
        // The same number on any number of threads.
        widest.truncate(AT_ONCE.min(left));
        if widest.is_empty() {
            break;
        }
        left -= widest.len();
        let middle = |i: &usize| at(math::sqrt(all[*i].factor * all[*i + 1].factor));
        let new: Vec<Point> = widest.par_iter().map(middle).collect();
        all.extend(new);
        all.sort_by(|a, b| a.factor.total_cmp(&b.factor));
        all = bisected(all, asked, at);
    }
    all
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

/// What was planned between two points, by bisection of their ratio where they are unlike.
fn located(below: &Point, above: &Point, asked: &Scaling, at: &(impl Fn(f64) -> Point + Sync)) -> Vec<Point> {
    let near = above.factor <= below.factor * (1.0 + asked.tolerance);
    if near || unlike(below, above, asked.counts).is_empty() {
        return Vec::new();
    }
    let middle = at(math::sqrt(below.factor * above.factor));
    let mut found = located(below, &middle, asked, at);
    found.push(middle.clone());
    found.extend(located(&middle, above, asked, at));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: (f64, f64), steps: usize) -> Scaling {
        Scaling { workload: None, range, steps, tolerance: 0.01, counts: false, refine: 0 }
    }

    #[test]
    fn factors_are_even_and_know_the_present() {
        assert_eq!(factors(&asked((0.1, 10.0), 5)), [0.1, 0.3162, 1.0, 3.162, 10.0]);
        assert_eq!(factors(&asked((0.5, 4.0), 4)), [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(factors(&asked((0.5, 3.0), 2)), [0.5, 1.0, 3.0]);
        assert_eq!(factors(&asked((2.0, 3.0), 2)), [2.0, 3.0]);
        assert_eq!(digits(0.001_234_56), 0.001_235);
    }

    fn on(instance_type: &str, machines: u32) -> Choice {
        Choice {
            cloud: rhumb_api::Cloud::Aws,
            region: "r".into(),
            instance_type: instance_type.into(),
            variant: None,
            quantization: crate::spec::Quantization::Bf16,
            layout: crate::perf::Layout { tp: 1, pp: 1, dp: 1, ep: 1 },
            machines: vec![(rhumb_api::Purchase::OnDemand, machines)],
            shared: None,
        }
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
            let choice = on(instance_type, factor as u32 + 1);
            let choices = BTreeMap::from([("services.s".to_owned(), vec![choice])]);
            let cost = Money::from_micros((factor * 1e6) as i64);
            Point { factor, outcome: Ok(Scaled { cost, lower: Some(cost), choices, shared: 0 }) }
        };
        let flips = |asked: &Scaling| -> Vec<Flip> {
            let all = bisected(vec![at(1.0), at(8.0)], asked, &at);
            let unlike = |pair: &[Point]| {
                let found = unlike(&pair[0], &pair[1], asked.counts).into_iter();
                let flip = |(workload, aspects)| Flip {
                    workload,
                    aspects,
                    below: pair[0].clone(),
                    above: pair[1].clone(),
                };
                found.map(flip).collect::<Vec<_>>()
            };
            all.windows(2).flat_map(unlike).collect()
        };
        let found = flips(&asked((1.0, 8.0), 2));
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
        assert_eq!(flips(&counts).len(), 3 + 7);
    }

    /// Between like choices the widest gap of cost is looked into first, until nothing is left or enough was planned.
    #[test]
    fn what_may_be_unseen_is_bounded_and_looked_into() {
        // `b` comes at 3.1 and goes at 3.3: the ends are alike.
        let at = |factor: f64| {
            let instance_type = if (3.1..3.3).contains(&factor) { "b" } else { "a" };
            let choice = on(instance_type, 1);
            let choices = BTreeMap::from([("services.s".to_owned(), vec![choice])]);
            // The cost rises between 2.9 and 3.5 alone.
            let cost = Money::from_micros((factor.clamp(2.9, 3.5) * 1e6) as i64);
            Point { factor, outcome: Ok(Scaled { cost, lower: Some(cost), choices, shared: 0 }) }
        };
        let ends = || vec![at(1.0), at(2.0), at(4.0), at(8.0)];
        let asked = |refine| Scaling { refine, ..asked((1.0, 8.0), 4) };
        let spans = |all: &[Point]| -> Vec<Unseen> {
            all.windows(2).map(|pair| unseen(&pair[0], &pair[1], false)).collect()
        };
        let most = |all: &[Point]| spans(all).iter().filter_map(|s| s.most).max().unwrap();
        let blind = refined(ends(), &asked(0), &at);
        assert_eq!((blind.len(), most(&blind)), (4, Money::from_micros(600_000)));
        assert!(spans(&blind).iter().filter(|s| s.from != 2.0).all(|s| s.most == Some(Money::ZERO)));
        let seen = refined(ends(), &asked(8), &at);
        assert_eq!(spans(&seen).iter().filter(|s| s.flips).count(), 2, "{seen:?}");
        assert!(most(&seen) < Money::from_micros(200_000), "{seen:?}");
        assert!(seen.iter().all(|p| (2.0..=4.0).contains(&p.factor) || p.factor == 1.0 || p.factor == 8.0));
        assert!(seen.is_sorted_by(|a, b| a.factor < b.factor));
        // A refusal that is proven holds for all traffic above.
        let no = |why: &str| Point { factor: 9.0, outcome: Err(why.to_owned()) };
        let above = Point { factor: 10.0, ..no("services.s: quota") };
        assert_eq!(unseen(&no("services.s: quota"), &above, false).most, Some(Money::ZERO));
        assert_eq!(unseen(&no("services.s: quota (not proven)"), &above, false).most, None);
        assert_eq!(unseen(&at(8.0), &no("services.s: quota"), false).most, None);
    }
}
