//! Percentiles of a replay, for loads that the closed form was not checked for.

use serde_json::{Value, json};

use super::Question;
use super::view::{milliseconds, rounded};
use crate::cli::Settings;
use crate::cli::view::terminal;
use crate::perf::{Configuration, ServiceCurve};
use crate::placement::Metric;
use crate::replay::{Interval, Loaded, Stream, limits_of};
use crate::report::Cell;
use crate::spec::Arrivals;

/// Requests that are played at least: as many as a plan plays.
const REQUESTS: u32 = 20_000;
const QUANTILES: [Option<f64>; 4] = [None, Some(0.5), Some(0.95), Some(0.99)];
const NAMES: [&str; 4] = ["mean", "p50", "p95", "p99"];

/// What a replay says of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// Why the closed form is not to be relied on there.
    outside: &'static str,
    /// Requests that were played.
    requests: usize,
    /// By metric: [`QUANTILES`] in milliseconds, each with half of its 95 % interval.
    rows: Vec<(Metric, Vec<Interval>)>,
}

/// The replay of `rate` requests/s on each of the replicas; `None` where the closed form was checked.
pub fn of(c: &Configuration<'_>, q: &Question<'_>, curve: &ServiceCurve, rate: f64) -> Option<Replayed> {
    let outside = curve.unchecked(rate, q.replicas, Arrivals::Poisson)?;
    let metrics: &[Metric] =
        if q.shape.output.mean > 1.0 { &[Metric::Ttft, Metric::Tpot, Metric::E2e] } else { &[Metric::Ttft] };
    let asked: Vec<(Metric, Option<f64>)> =
        metrics.iter().flat_map(|m| QUANTILES.map(|quantile| (*m, quantile))).collect();
    let loaded = Loaded {
        curve,
        limits: limits_of(curve, &c.engine, c.layout),
        replicas: q.replicas,
        stream: Stream {
            rate: rate * f64::from(q.replicas),
            arrivals: Arrivals::Poisson,
            input: q.shape.input,
            output: q.shape.output,
            prefix_cached: q.shape.prefix_cached,
            recorded: None,
        },
        sessions: None,
        requests: REQUESTS,
    }
    .in_small();
    let found = loaded.figures(&asked);
    let rows = metrics.iter().copied().zip(found.chunks(QUANTILES.len()).map(<[Interval]>::to_vec)).collect();
    Some(Replayed { outside, requests: loaded.plays(), rows })
}

impl Replayed {
    /// The figures, and why they are not those of the closed form.
    pub fn text(&self, settings: &Settings) -> String {
        let heading = format!(
            "the closed form was not checked there ({}); a replay of {} requests says, each with its 95 % interval (the band above comes on top):\n",
            self.outside, self.requests
        );
        let columns: Vec<(&str, bool)> = [("", false)].into_iter().chain(NAMES.map(|n| (n, true))).collect();
        let rows: Vec<Vec<Cell>> = self
            .rows
            .iter()
            .map(|(metric, all)| {
                let cell = |i: &Interval| {
                    Cell::plain(format!("{} +- {}", milliseconds(i.mean), milliseconds(i.half)))
                };
                [Cell::plain(metric.as_str().to_uppercase())]
                    .into_iter()
                    .chain(all.iter().map(cell))
                    .collect()
            })
            .collect();
        terminal::fold(&heading, settings.width) + &terminal::grid(&columns, &rows, settings)
    }

    /// See `replayed` in the schema.
    pub fn json(&self) -> Value {
        let mut value = json!({ "outside": self.outside, "requests": self.requests });
        if let Some(object) = value.as_object_mut() {
            for (metric, all) in &self.rows {
                let each = NAMES.iter().zip(all).flat_map(|(name, i)| {
                    [(format!("{name}_ms"), rounded(i.mean)), (format!("{name}_half_ms"), rounded(i.half))]
                });
                object.insert(metric.as_str().into(), Value::Object(each.collect()));
            }
        }
        value
    }
}
