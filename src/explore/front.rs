//! What latency costs: the front of cost and one latency objective, each point an optimum.

use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_api::Money;

use super::{Choice, choice, cost, refusal};
use crate::catalog::Evidence;
use crate::math;
use crate::optimize;
use crate::placement::{Metric, WorkloadPlacement, World};
use crate::spec::{Objective, Service, Spec};

/// Which objective is swept.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The service, by its name.
    pub service: String,
    /// Which latency.
    pub metric: Metric,
    /// The quantile; `None` is the mean.
    pub quantile: Option<f64>,
    /// Between limits that are nearer than this (0.05 = 5 %) nothing is looked for; above 0.
    pub step: f64,
}

/// A point of the front.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The limit that it was planned with, ms; `None` = without one.
    pub limit_ms: Option<f64>,
    /// What it promises: the worst origin at the planned confidence, ms, network included.
    pub promised_ms: f64,
    /// The prediction for that origin, ms.
    pub predicted_ms: f64,
    /// Class of the prediction.
    pub evidence: Evidence,
    /// Dollars a month of the whole deployment.
    pub cost: Money,
    /// What is chosen for the service.
    pub choice: Vec<Choice>,
}

/// Why there is no front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The constraints in words.
    pub why: String,
    /// Nothing keeps the other promises; otherwise nothing was found.
    pub proven: bool,
}

/// The front.
#[derive(Clone, Debug, PartialEq)]
pub struct Front {
    /// No other point is both cheaper and faster; the fastest first.
    pub points: Vec<Point>,
    /// A limit, ms, under which nothing keeps the promises, and why; within the step of the fastest point.
    pub refused: Option<(f64, String)>,
    /// Deployments that were planned.
    pub planned: usize,
}

impl Sweep {
    /// The objective to sweep where none is named: p95 of the first token if the service promises it, else its first promise, else
    /// that one although nobody promised it.
    pub fn of(name: &str, service: &Service, step: f64) -> Self {
        let slo = &service.slo;
        let p95 = slo.ttft.iter().find(|o| o.quantile == Some(0.95));
        let first = [(Metric::Ttft, &slo.ttft), (Metric::E2e, &slo.e2e), (Metric::Tpot, &slo.tpot)]
            .into_iter()
            .find_map(|(metric, list)| Some((metric, list.first()?.quantile)));
        let (metric, quantile) = match p95 {
            Some(o) => (Metric::Ttft, o.quantile),
            None => first.unwrap_or((Metric::Ttft, Some(0.95))),
        };
        Sweep { service: name.to_owned(), metric, quantile, step }
    }

    /// The limit that the spec has for it, ms.
    pub fn declared(&self, spec: &Spec) -> Option<f64> {
        let slo = &spec.services.get(&self.service)?.slo;
        let list = match self.metric {
            Metric::Ttft => &slo.ttft,
            Metric::Tpot => &slo.tpot,
            Metric::E2e => &slo.e2e,
        };
        list.iter().find(|o| o.quantile == self.quantile).map(|o| o.limit_ms)
    }

    fn limited(&self, spec: &Spec, limit_ms: f64) -> Spec {
        let mut spec = spec.clone();
        if let Some(service) = spec.services.get_mut(&self.service) {
            let at = service.slo.at.clone();
            let list = match self.metric {
                Metric::Ttft => &mut service.slo.ttft,
                Metric::Tpot => &mut service.slo.tpot,
                Metric::E2e => &mut service.slo.e2e,
            };
            match list.iter_mut().find(|o| o.quantile == self.quantile) {
                Some(objective) => objective.limit_ms = limit_ms,
                None => list.push(Objective { quantile: self.quantile, limit_ms, at }),
            }
        }
        spec
    }
}

/// A limit that nothing reaches, ms.
const NONE: f64 = 1e12;

/// The fastest limit that is tried, ms: no network and no accelerator answers sooner.
const FASTEST: f64 = 0.01;

/// Plans a deployment at every limit of one objective that makes a difference of a step.
///
/// By the method of epsilon constraints (Y. Haimes, L. Lasdon, D. Wismer, 1971): the loosest and the tightest limit that works, then between
/// any two points of unlike cost the limit in the middle of their ratio. What is found is optimal for its limit; a point that another
/// one beats in both is left out.
///
/// # Errors
/// Nothing keeps the other promises even without this limit, or nothing was found that does.
pub fn front(
    spec: &Spec,
    world: &World,
    sweep: &Sweep,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Front, Lost> {
    let planned = AtomicUsize::new(0);
    let address = format!("services.{}", sweep.service);
    let at = |limit_ms: f64| -> Result<Point, Lost> {
        let limited = sweep.limited(spec, limit_ms);
        let found = optimize::outline(&limited, world);
        progress(planned.fetch_add(1, Ordering::Relaxed) + 1);
        let placement = found.map_err(|why| Lost { why: refusal(&why), proven: why.proven })?;
        let lost = || Lost { why: format!("{address} is not placed"), proven: true };
        // Each part of a service keeps its promises by itself: the slowest says what the whole promises.
        let parts = placement.workloads.values().filter(|w| placement.whole_of(&w.address) == address);
        let placed: Vec<&WorkloadPlacement> = parts.collect();
        let worst = placed
            .iter()
            .flat_map(|w| &w.objectives)
            .filter(|o| (o.metric, o.quantile) == (sweep.metric, sweep.quantile))
            .max_by(|a, b| a.at_confidence_ms.total_cmp(&b.at_confidence_ms))
            .ok_or_else(lost)?;
        Ok(Point {
            limit_ms: (limit_ms < NONE).then_some(limit_ms),
            promised_ms: worst.at_confidence_ms,
            predicted_ms: worst.predicted_ms,
            evidence: worst.evidence,
            cost: cost(&placement),
            choice: placed.into_iter().flat_map(choice).collect(),
        })
    };
    let loosest = at(NONE)?;
    let nearer = 1.0 + sweep.step;
    let (mut low, mut refused) = (FASTEST, None);
    let mut tightest = loosest.clone();
    while tightest.promised_ms > low * nearer {
        let middle = math::sqrt(low * tightest.promised_ms);
        match at(middle) {
            Ok(point) => tightest = point,
            Err(why) => {
                low = middle;
                refused = Some((middle, why.why));
            }
        }
    }
    let mut points = between((&tightest, tightest.promised_ms), &loosest, nearer, &at);
    points.extend([tightest, loosest]);
    Ok(Front { points: undominated(points), refused, planned: planned.into_inner() })
}

/// Points between two, by bisection of their ratio; `known` is the loosest limit that is known to lead to the fast one. Where both
/// cost the same the faster one beats all.
fn between(
    (fast, known): (&Point, f64),
    slow: &Point,
    nearer: f64,
    at: &(impl Fn(f64) -> Result<Point, Lost> + Sync),
) -> Vec<Point> {
    if fast.cost == slow.cost || slow.promised_ms <= known * nearer {
        return Vec::new();
    }
    let middle = math::sqrt(known * slow.promised_ms);
    // Refused between two limits that work: the replay contradicts what a tighter one asks for (decision 6).
    let Ok(point) = at(middle) else { return Vec::new() };
    let (mut all, more) = rayon::join(
        || between((fast, known), &point, nearer, at),
        || between((&point, middle), slow, nearer, at),
    );
    all.push(point);
    all.extend(more);
    all
}

/// Without points that another one beats in cost or latency and not in the other; the fastest first.
fn undominated(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.promised_ms.total_cmp(&b.promised_ms).then(a.cost.cmp(&b.cost)));
    let mut kept: Vec<Point> = Vec::new();
    for point in points {
        if kept.last().is_none_or(|last| point.cost < last.cost) {
            kept.push(point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(promised_ms: f64, usd: i64) -> Point {
        Point {
            limit_ms: None,
            promised_ms,
            predicted_ms: promised_ms,
            evidence: Evidence::Modelled,
            cost: Money::from_micros(usd * 1_000_000),
            choice: Vec::new(),
        }
    }

    #[test]
    fn what_is_beaten_in_both_is_left_out() {
        let all = vec![
            point(100.0, 9),
            point(50.0, 9),
            point(200.0, 4),
            point(150.0, 5),
            point(160.0, 6),
            point(50.0, 11),
        ];
        let kept: Vec<(f64, i64)> =
            undominated(all).iter().map(|p| (p.promised_ms, p.cost.micros() / 1_000_000)).collect();
        assert_eq!(kept, [(50.0, 9), (150.0, 5), (200.0, 4)]);
    }

    /// Machines of 10, 40 and 90 USD that promise 900, 300 and 100 ms: each is found, and no limit is tried twice.
    #[test]
    fn each_step_of_a_staircase_is_found() {
        let tried = std::sync::Mutex::new(Vec::new());
        let at = |limit: f64| {
            tried.lock().unwrap().push(limit);
            let steps = [(900.0, 10), (300.0, 40), (100.0, 90)];
            let found = steps.iter().find(|(ms, _)| *ms <= limit).map(|(ms, usd)| point(*ms, *usd));
            found.ok_or_else(|| Lost { why: "ttft".to_owned(), proven: true })
        };
        let found = between((&point(100.0, 90), 100.0), &point(900.0, 10), 1.05, &at);
        let front = undominated(found.into_iter().chain([point(100.0, 90), point(900.0, 10)]).collect());
        assert_eq!(front.iter().map(|p| p.promised_ms).collect::<Vec<_>>(), [100.0, 300.0, 900.0]);
        let tried = tried.into_inner().unwrap();
        assert!(tried.len() < 20, "{tried:?}");
    }
}
