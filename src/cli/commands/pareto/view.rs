//! A front as table, plot and JSON.

use serde_json::{Value, json};

use crate::cli::Settings;
use crate::cli::commands::scale::view::{choice_json, words};
use crate::cli::view::plot::{Axis, Series, plot};
use crate::cli::view::terminal;
use crate::explore::{Front, FrontPoint, Sweep};
use crate::report::{Block, Cell, Report, Section, Table, Tone, json as report_json, ms, percent, quantile};
use crate::spec::Spec;

pub(super) struct Told<'a> {
    pub name: &'a str,
    pub spec: &'a Spec,
    pub sweep: &'a Sweep,
    pub found: &'a Front,
}

impl Told<'_> {
    fn objective(&self) -> String {
        format!("{} {}", self.sweep.metric.as_str(), quantile(self.sweep.quantile))
    }

    /// The cheapest point within the declared limit: where the present plan is, to within a step.
    fn present(&self) -> Option<usize> {
        let limit = self.sweep.declared(self.spec)?;
        self.found.points.iter().rposition(|p| p.promised_ms <= limit)
    }

    fn table(&self) -> Table {
        let columns = vec![
            ("promised", true),
            ("predicted", true),
            ("class", false),
            ("USD/month", true),
            ("", false),
            ("choice", false),
        ];
        let present = self.present();
        let rows = self.found.points.iter().enumerate().map(|(i, p)| {
            let here = if present == Some(i) { Cell::tone("now", Tone::Good) } else { Cell::plain("") };
            vec![
                Cell::plain(ms(p.promised_ms)),
                Cell::plain(ms(p.predicted_ms)),
                Cell::plain(p.evidence.as_str()),
                Cell::plain(p.cost.to_string()),
                here,
                Cell::plain(words(&p.choice)),
            ]
        });
        Table { rows: rows.collect(), columns }
    }

    fn notes(&self) -> Vec<Cell> {
        let confidence = percent(self.spec.confidence);
        let mut lines = vec![Cell::plain(format!(
            "Promised is the worst origin at the {confidence} edge of the prediction's band, network included; each point is \
             the optimum for that limit."
        ))];
        lines.push(match self.sweep.declared(self.spec) {
            Some(limit) => Cell::plain(format!("The spec asks for {}.", ms(limit))),
            None => Cell::plain("The spec has no such objective."),
        });
        if let Some((limit, why)) = &self.found.refused {
            lines.push(Cell::plain(format!("At {} everything is refused: {why}.", ms(*limit))));
        }
        lines
    }

    /// The report for people.
    pub fn text(&self, settings: &Settings) -> String {
        let points = Section {
            name: "front",
            heading: format!("What {} of services.{} costs", self.objective(), self.sweep.service),
            blocks: vec![Block::Table(self.table()), Block::Lines(self.notes())],
        };
        let report = Report {
            title: format!("Cost and latency of {}", self.name),
            sections: vec![points],
            summary: self.summary(),
        };
        let mut out = terminal::text(&report, settings, None);
        if !settings.quiet && self.found.points.len() > 1 {
            // Between two points the cheaper one is not fast enough: the front is a staircase.
            let mut stairs: Vec<(f64, f64)> = Vec::new();
            for p in &self.found.points {
                let cost = p.cost.usd();
                stairs.extend(stairs.last().map(|(_, before)| (p.promised_ms, *before)));
                stairs.push((p.promised_ms, cost));
            }
            let series = [Series { name: "least cost", points: &stairs, faint: false }];
            let x = format!("{} promised, ms", self.objective());
            // A logarithmic axis of less than a decade has too few round values.
            let decade = |of: fn(&(f64, f64)) -> f64| {
                let values = || stairs.iter().map(of);
                values().fold(0.0, f64::max) >= 10.0 * values().fold(f64::INFINITY, f64::min)
            };
            let x = Axis { name: &x, log: decade(|p| p.0) };
            let y = Axis { name: "USD a month", log: decade(|p| p.1) };
            out.push('\n');
            out.push_str(&plot(x, y, &series, settings));
        }
        out
    }

    fn summary(&self) -> String {
        let points = &self.found.points;
        let Some((fast, slow)) = points.first().zip(points.last()) else { return "No point.".into() };
        format!(
            "{} points from {} at {} USD/month to {} at {} USD/month; {} deployments planned.",
            points.len(),
            ms(fast.promised_ms),
            fast.cost,
            ms(slow.promised_ms),
            slow.cost,
            self.found.planned
        )
    }

    /// Schema `rhumb.pareto/1`: `src/cli/commands/pareto/schema.json`.
    pub fn json(&self) -> Value {
        let present = self.present();
        let point = |(i, p): (usize, &FrontPoint)| {
            json!({
                "limit_ms": p.limit_ms,
                "promised_ms": p.promised_ms,
                "predicted_ms": p.predicted_ms,
                "evidence": p.evidence.as_str(),
                "expected_usd_per_month": report_json::usd(p.cost),
                "present": present == Some(i),
                "choice": choice_json(&p.choice),
            })
        };
        json!({
            "schema": "rhumb.pareto/1",
            "name": self.name,
            "workload": format!("services.{}", self.sweep.service),
            "metric": self.sweep.metric.as_str(),
            "percentile": quantile(self.sweep.quantile),
            "confidence": self.spec.confidence,
            "declared_ms": self.sweep.declared(self.spec),
            "step": self.sweep.step,
            "points": self.found.points.iter().enumerate().map(point).collect::<Vec<_>>(),
            "refused": self.found.refused.as_ref().map(|(limit, why)| json!({ "limit_ms": limit, "refused_by": why })),
            "planned": self.found.planned,
        })
    }
}
