//! Decisions, not only errors: which measured configuration a method would have bought.

use std::collections::BTreeMap;

use rhumb::catalog::Catalog;
use rhumb::spec::Purchase;

use super::bands::{Fitted, of};
use super::model::LeftOut;
use super::quantile;

/// Objectives that are tried on every model and lengths: TTFT and TPOT means, ms.
const OBJECTIVES: [(f64, f64); 8] = [
    (300.0, 10.0),
    (500.0, 15.0),
    (1000.0, 15.0),
    (1000.0, 25.0),
    (2000.0, 25.0),
    (2000.0, 40.0),
    (4000.0, 60.0),
    (10_000.0, 100.0),
];

/// What a method says of a point: TTFT and TPOT as it expects them, and at its pessimistic edge.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub ttft: f64,
    pub tpot: f64,
    pub ttft_edge: f64,
    pub tpot_edge: f64,
}

/// How a method's choices turned out.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Questions for which a measured configuration does it.
    pub questions: usize,
    /// Questions that the method answered.
    pub answered: usize,
    /// Answers that meet the objectives in the measurement.
    pub held: usize,
    /// Of those, how much dearer than the cheapest that does.
    pub dearer: Vec<f64>,
}

/// Cheapest on-demand price of one accelerator of each system, dollars an hour.
pub fn prices(catalog: &Catalog) -> BTreeMap<String, f64> {
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    for o in catalog.offerings.iter().filter(|o| o.purchase == Purchase::OnDemand) {
        let Some(t) = catalog.instance_types.get(o.instance_type) else { continue };
        let Some(index) = t.accelerator else { continue };
        let Some(system) = catalog.accelerators.get(index).and_then(|a| a.perf_id.clone()) else { continue };
        let each = o.price.usd() / t.accelerator_count.max(1.0);
        let best = found.entry(system).or_insert(f64::INFINITY);
        *best = best.min(each);
    }
    found
}

/// Asks a method every question and judges its answers by the measurement.
pub fn score(
    left: &[LeftOut<'_>],
    prices: &BTreeMap<String, f64>,
    say: impl Fn(&LeftOut<'_>) -> Option<Said>,
) -> Score {
    let mut by: BTreeMap<(&str, u64, u64), Vec<&LeftOut<'_>>> = BTreeMap::new();
    for l in left.iter().filter(|l| prices.contains_key(&l.point.system)) {
        by.entry((&l.point.model, l.point.isl as u64, l.point.osl as u64)).or_default().push(l);
    }
    // Dollars for a million generated tokens at this TTFT and TPOT.
    let cost = |l: &LeftOut<'_>, ttft: f64, tpot: f64| {
        let p = l.point;
        let rate = p.concurrency / (ttft + p.osl * tpot);
        prices[&p.system] * p.gpus / 3600.0 / (rate * p.osl) * 1e6
    };
    let mut score = Score::default();
    for points in by.values().filter(|p| p.len() >= 5) {
        for (ttft, tpot) in OBJECTIVES {
            let (ttft, tpot) = (ttft / 1e3, tpot / 1e3);
            let holds = |l: &LeftOut<'_>| l.point.ttft_s <= ttft && l.point.tpot_s <= tpot;
            let measured = |l: &LeftOut<'_>| cost(l, l.point.ttft_s, l.point.tpot_s);
            let best = points.iter().filter(|l| holds(l)).map(|l| measured(l)).min_by(|a, b| a.total_cmp(b));
            let Some(best) = best else { continue };
            score.questions += 1;
            let choice = points
                .iter()
                .filter_map(|l| say(l).map(|s| (l, s)))
                .filter(|(_, s)| s.ttft_edge <= ttft && s.tpot_edge <= tpot)
                .min_by(|(a, s), (b, t)| cost(a, s.ttft, s.tpot).total_cmp(&cost(b, t.ttft, t.tpot)));
            let Some((choice, _)) = choice else { continue };
            score.answered += 1;
            if holds(choice) {
                score.held += 1;
                score.dearer.push(measured(choice) / best - 1.0);
            }
        }
    }
    score
}

/// What this method says of a left-out point at a confidence.
pub fn ours(l: &LeftOut<'_>, bands: &[Fitted], confidence: f64) -> Option<Said> {
    let ttft = l.point.ttft_s / l.ttft.exp();
    let tpot = l.point.tpot_s / l.tpot.exp();
    let edge = |x: f64, is_ttft: bool| {
        let b = of(bands, l, is_ttft)?;
        Some(x * rhumb::perf::Band { mu: b.mu, sigma: b.sigma, groups: 0 }.factor(confidence).max(1.0))
    };
    Some(Said { ttft, tpot, ttft_edge: edge(ttft, true)?, tpot_edge: edge(tpot, false)? })
}

/// What another method says, which has no bands; `margin` stretches its figures.
pub fn other(said: (Option<f64>, Option<f64>), margin: f64) -> Option<Said> {
    let (ttft, tpot) = (said.0?, said.1?);
    Some(Said { ttft, tpot, ttft_edge: ttft * margin, tpot_edge: tpot * margin })
}

impl Score {
    /// Cells of a table: questions, answered, held %, median and 90th percentile of the extra cost %.
    pub fn cells(&self) -> String {
        let held = 100.0 * self.held as f64 / self.answered.max(1) as f64;
        let dearer = |q| 100.0 * quantile(self.dearer.clone(), q);
        format!(
            "{} | {} | {held:.0} % | {:.0} % | {:.0} % |",
            self.questions,
            self.answered,
            dearer(0.5),
            dearer(0.9)
        )
    }
}
