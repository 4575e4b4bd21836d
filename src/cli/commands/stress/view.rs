//! What became of a plan in many worlds, as text and as JSON.

use rhumb_api::Money;
use serde_json::{Value, json};

use crate::cli::Settings;
use crate::cli::view::plot::{Axis, Series, plot};
use crate::cli::view::terminal;
use crate::explore::{AtConfidence, Held, Promise, REACH, Stress, Stressing, What};
use crate::math::round_to;
use crate::perf::Band;
use crate::report::{
    Block, Cell, Report, Section, Table, Tone, json as report_json, ms, number, percent, quantile,
};

pub(super) struct Told<'a> {
    pub name: &'a str,
    pub confidence: f64,
    pub asked: &'a Stressing,
    pub found: &'a Stress,
    pub curve: &'a [AtConfidence],
}

/// `93.1 %`.
fn share(held: &Held) -> String {
    format!("{:.1} %", held.share() * 100.0)
}

/// `91.4 to 94.5 %`.
fn interval(held: &Held) -> String {
    let (low, high) = held.interval();
    format!("{:.1} to {:.1} %", low * 100.0, high * 100.0)
}

/// Against what was planned for: worse beyond chance is bad.
fn tone(held: &Held, confidence: f64) -> Tone {
    let (low, high) = held.interval();
    if low >= confidence {
        Tone::Good
    } else if high < confidence {
        Tone::Bad
    } else {
        Tone::Warn
    }
}

fn words(what: &What) -> (String, String) {
    match what {
        What::Objective { origin, metric, quantile: q } => {
            (origin.clone(), format!("{} {}", metric.as_str(), quantile(*q)))
        }
        What::SpotLost { origin, metric, quantile: q } => {
            (origin.clone(), format!("{} {}, spot lost", metric.as_str(), quantile(*q)))
        }
        What::Deadline => (String::new(), "deadline".into()),
        What::Budget { .. } => (String::new(), "budget".into()),
    }
}

/// In the unit of the promise; a pool that is overrun has none.
fn figure(what: &What, value: f64) -> String {
    if !value.is_finite() {
        return "overrun".into();
    }
    match what {
        What::Objective { .. } | What::SpotLost { .. } => ms(value),
        What::Deadline => format!("{} h", number(value)),
        What::Budget { .. } => Money::from_usd(value).map_or_else(|_| number(value), |m| format!("{m} USD")),
    }
}

fn factor(band: &Band, z: f64) -> String {
    format!("x{}", round_to(crate::math::exp(band.mu + band.sigma * z), 2))
}

impl Told<'_> {
    fn promises(&self) -> Table {
        let columns = vec![
            ("workload", false),
            ("origin", false),
            ("promise", false),
            ("limit", true),
            ("median world", true),
            ("9th of 10", true),
            ("holds in", true),
            ("95 % interval", true),
        ];
        let rows = self.found.promises.iter().map(|p| {
            let (origin, promise) = words(&p.what);
            vec![
                Cell::plain(whose(p)),
                Cell::plain(origin),
                Cell::plain(promise),
                Cell::plain(figure(&p.what, p.limit)),
                Cell::plain(figure(&p.what, p.median)),
                Cell::plain(figure(&p.what, p.high)),
                Cell::tone(share(&p.held), tone(&p.held, self.confidence)),
                Cell::plain(interval(&p.held)),
            ]
        });
        let mut rows: Vec<Vec<Cell>> = rows.collect();
        let blank = || Cell::plain("");
        rows.push(vec![
            Cell::plain("all"),
            blank(),
            Cell::plain("everything at once"),
            blank(),
            blank(),
            blank(),
            Cell::plain(share(&self.found.all)),
            Cell::plain(interval(&self.found.all)),
        ]);
        Table { columns, rows }
    }

    fn drawn(&self) -> Vec<Block> {
        let columns = vec![
            ("model", false),
            ("accelerator", false),
            ("pools", true),
            ("token", true),
            ("first token", true),
            ("class", false),
        ];
        let rows = self.found.drawn.iter().map(|d| {
            let known = |b: &&Band| b.sigma > 0.0 || b.groups > 0;
            let band = |b: &Band| {
                Some(b)
                    .filter(known)
                    .map_or("-".to_owned(), |b| format!("{} to {}", factor(b, -1.0), factor(b, 1.0)))
            };
            vec![
                Cell::plain(&d.model),
                Cell::plain(&d.accelerator),
                Cell::plain(d.pools.len().to_string()),
                Cell::plain(band(&d.tpot)),
                Cell::plain(band(&d.ttft)),
                Cell::plain(d.evidence.as_str()),
            ]
        });
        let mut lines = vec![Cell::plain(
            "Times against their prediction, one standard deviation to each side; all pools of a model on an accelerator are off alike.",
        )];
        lines.push(Cell::plain(if self.asked.correlation == 0.0 {
            "First tokens and tokens err apart from each other (assumed; --correlation).".to_owned()
        } else {
            format!(
                "Errors of first tokens and tokens go together by {} (as stated).",
                self.asked.correlation
            )
        }));
        lines.push(Cell::plain(if self.asked.requests == 0 {
            "Pools by the closed forms.".to_owned()
        } else {
            format!(
                "Pools replayed at {} speeds up to {REACH} standard deviations, {} requests each, interpolated between.",
                crate::explore::GRID, self.asked.requests
            )
        }));
        for s in &self.found.spot {
            let basis =
                if s.assumed { "assumed: nobody publishes it" } else { "upper edge of the published band" };
            lines.push(Cell::plain(format!(
                "{}: each of {} spot machines is lost with {} a month ({basis}), all at the same time.",
                s.pool,
                s.machines,
                percent(s.interruption)
            )));
        }
        for pool in &self.found.interrupted {
            lines.push(Cell::plain(format!(
                "{pool}: in every world its run starts twice and does {} of its work again, as it is planned with spot (assumed).",
                percent(crate::optimize::LOST_WORK - 1.0)
            )));
        }
        for pool in &self.found.trained {
            lines.push(Cell::plain(format!(
                "{pool}: in every world its run is interrupted at random, at the planned rate of lost spot machines and of failures (assumed)."
            )));
        }
        for address in &self.found.measured {
            lines.push(Cell::plain(format!(
                "{address}: its machines were measured by you, and every world has them so; nothing of it is drawn, only its cost is counted."
            )));
        }
        for pool in &self.found.hedged {
            lines.push(Cell::plain(format!(
                "{pool}: as it was planned, what is left keeps up when as many spot machines as may be gone at once are; in no world is one drawn."
            )));
        }
        let none =
            self.found.spot.is_empty() && self.found.interrupted.is_empty() && self.found.hedged.is_empty();
        if none && self.found.trained.is_empty() {
            lines.push(Cell::plain("No spot machines: none can be lost."));
        }
        let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
        blocks.push(Block::Lines(lines));
        blocks
    }

    fn curve(&self) -> Table {
        let columns = vec![
            ("confidence", true),
            ("USD/month", true),
            ("everything holds", true),
            ("95 % interval", true),
            ("weakest promise", true),
            ("of", false),
        ];
        let rows = self.curve.iter().map(|c| {
            let mut row = vec![Cell::plain(percent(c.confidence))];
            match &c.outcome {
                Ok((cost, stress)) => {
                    let weakest = weakest(stress);
                    row.extend([
                        Cell::plain(cost.to_string()),
                        Cell::plain(share(&stress.all)),
                        Cell::plain(interval(&stress.all)),
                        Cell::plain(weakest.map_or_else(String::new, |w| share(&w.held))),
                        Cell::plain(weakest.map_or_else(String::new, named)),
                    ]);
                }
                Err(why) => row.extend([
                    Cell::tone("refused", Tone::Bad),
                    Cell::plain(""),
                    Cell::plain(""),
                    Cell::plain(""),
                    Cell::plain(why),
                ]),
            }
            row
        });
        Table { rows: rows.collect(), columns }
    }

    /// The report for people.
    pub fn text(&self, settings: &Settings) -> String {
        let mut sections = vec![
            Section {
                name: "promises",
                heading: format!("Promises in {} worlds", self.asked.worlds),
                blocks: vec![Block::Table(self.promises())],
            },
            Section { name: "drawn", heading: "What was drawn".into(), blocks: self.drawn() },
        ];
        if !self.curve.is_empty() {
            sections.push(Section {
                name: "curve",
                heading: "Planned at other confidences".into(),
                blocks: vec![Block::Table(self.curve())],
            });
        }
        let report = Report { title: format!("Stress of {}", self.name), sections, summary: self.summary() };
        let mut out = terminal::text(&report, settings, None);
        if !settings.quiet && !self.curve.is_empty() {
            let points = |of: &dyn Fn(&Stress) -> Option<f64>| -> Vec<(f64, f64)> {
                let of =
                    |c: &AtConfidence| Some((c.confidence * 100.0, of(&c.outcome.as_ref().ok()?.1)? * 100.0));
                self.curve.iter().filter_map(of).collect()
            };
            let all = points(&|s| Some(s.all.share()));
            let weak = points(&|s| weakest(s).map(|w| w.held.share()));
            let equal: Vec<(f64, f64)> =
                self.curve.iter().map(|c| (c.confidence * 100.0, c.confidence * 100.0)).collect();
            let series = [
                Series { name: "everything at once", points: &all, faint: false },
                Series { name: "weakest promise", points: &weak, faint: false },
                Series { name: "the confidence itself", points: &equal, faint: true },
            ];
            let x = Axis { name: "confidence that is planned for, %", log: false };
            let y = Axis { name: "worlds in which it holds, %", log: false };
            out.push('\n');
            out.push_str(&plot(x, y, &series, settings));
        }
        out
    }

    fn summary(&self) -> String {
        let held = &self.found.all;
        let planned = percent(self.confidence);
        let mut text = format!(
            "Planned at {planned}: everything holds at once in {} of {} worlds ({})",
            share(held),
            held.worlds,
            interval(held)
        );
        if let Some(w) = weakest(self.found) {
            text += &format!("; the weakest promise is {}, which holds in {}", named(w), share(&w.held));
        }
        text + "."
    }

    /// Schema `rhumb.stress/1`: `src/cli/commands/stress/schema.json`.
    pub fn json(&self) -> Value {
        let curve: Vec<Value> = self
            .curve
            .iter()
            .map(|c| match &c.outcome {
                Ok((cost, stress)) => json!({
                    "confidence": c.confidence,
                    "feasible": true,
                    "expected_usd_per_month": report_json::usd(*cost),
                    "all": held(&stress.all),
                    "promises": stress.promises.iter().map(promise).collect::<Vec<_>>(),
                }),
                Err(why) => json!({ "confidence": c.confidence, "feasible": false, "refused_by": why }),
            })
            .collect();
        let band = |b: &Band| json!({ "mu": b.mu, "sigma": b.sigma, "groups": b.groups });
        json!({
            "schema": "rhumb.stress/1",
            "name": self.name,
            "confidence": self.confidence,
            "worlds": self.asked.worlds,
            "seed": self.asked.seed,
            "requests": self.asked.requests,
            "correlation": self.asked.correlation,
            "promises": self.found.promises.iter().map(promise).collect::<Vec<_>>(),
            "all": held(&self.found.all),
            "drawn": self.found.drawn.iter().map(|d| json!({
                "model": d.model,
                "accelerator": d.accelerator,
                "pools": d.pools,
                "tpot_band": band(&d.tpot),
                "ttft_band": band(&d.ttft),
                "evidence": d.evidence.as_str(),
            })).collect::<Vec<_>>(),
            "spot": self.found.spot.iter().map(|s| json!({
                "pool": s.pool,
                "machines": s.machines,
                "interruption_per_month": s.interruption,
                "evidence": if s.assumed { "assumed" } else { "listed" },
            })).collect::<Vec<_>>(),
            "interrupted": self.found.interrupted,
            "trained": self.found.trained,
            "measured": self.found.measured,
            "hedged": self.found.hedged,
            "curve": curve,
        })
    }
}

/// The promise that holds least often.
fn weakest(stress: &Stress) -> Option<&Promise> {
    stress.promises.iter().min_by_key(|p| p.held.held)
}

/// The workload, the label of several, or `all`.
fn whose(p: &Promise) -> String {
    match (&p.workload, &p.what) {
        (Some(workload), _) => workload.clone(),
        (None, What::Budget { label: Some((key, value)) }) => format!("{key}={value}"),
        (None, _) => "all".to_owned(),
    }
}

fn named(p: &Promise) -> String {
    let (origin, promise) = words(&p.what);
    let workload = whose(p);
    if origin.is_empty() {
        format!("{promise} of {workload}")
    } else {
        format!("{promise} of {workload} from {origin}")
    }
}

fn held(h: &Held) -> Value {
    let (low, high) = h.interval();
    json!({ "held": h.held, "worlds": h.worlds, "share": h.share(), "low": low, "high": high })
}

fn promise(p: &Promise) -> Value {
    let (kind, origin, metric, q) = match &p.what {
        What::Objective { origin, metric, quantile: q } => {
            ("objective", Some(origin), Some(metric), Some(*q))
        }
        What::SpotLost { origin, metric, quantile: q } => ("spot-lost", Some(origin), Some(metric), Some(*q)),
        What::Deadline => ("deadline", None, None, None),
        What::Budget { .. } => ("budget", None, None, None),
    };
    let unit = match &p.what {
        What::Objective { .. } | What::SpotLost { .. } => "ms",
        What::Deadline => "h",
        What::Budget { .. } => "usd_per_month",
    };
    let label = match &p.what {
        What::Budget { label: Some((key, value)) } => json!({ "key": key, "value": value }),
        _ => Value::Null,
    };
    let finite = |x: f64| if x.is_finite() { json!(x) } else { Value::Null };
    json!({
        "workload": p.workload,
        "label": label,
        "kind": kind,
        "origin": origin,
        "metric": metric.map(|m| m.as_str()),
        "percentile": q.map(quantile),
        "unit": unit,
        "limit": p.limit,
        "median": finite(p.median),
        "p90": finite(p.high),
        "holds": held(&p.held),
    })
}
