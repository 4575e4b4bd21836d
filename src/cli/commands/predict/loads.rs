//! One replica at every number of requests in flight, as a table and as a plot.

use serde_json::{Value, json};

use super::view::{milliseconds, per_second, rounded};
use super::{Question, edges};
use crate::catalog::Evidence;
use crate::cli::Settings;
use crate::cli::view::plot::{Axis, Series, plot};
use crate::cli::view::terminal;
use crate::perf::{
    Band, CONTRADICTED, Conditions, Configuration, DoesNotFit, MeasuredRange, ServiceCurve, benchmark,
};
use crate::report::{Cell, Tone};

/// A mean time with the 10th and 90th percentile of where the truth lies, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    mean: f64,
    lo: f64,
    hi: f64,
}

impl Span {
    fn new(mean: f64, band: &Band) -> Self {
        let (lo, hi) = edges(mean, band);
        Span { mean, lo, hi }
    }

    /// The mean, and the interval in one unit.
    fn cells(&self) -> [Cell; 2] {
        let (scale, unit) = if self.hi >= 1.0 { (1.0, "s") } else { (1e3, "ms") };
        let short = |s: f64| match s * scale {
            x if x >= 100.0 => format!("{x:.0}"),
            x if x >= 10.0 => format!("{x:.1}"),
            x => format!("{x:.2}"),
        };
        let interval = format!("{}-{} {unit}", short(self.lo), short(self.hi));
        [Cell::plain(milliseconds(self.mean * 1e3)), Cell::plain(interval)]
    }

    fn json(&self) -> Value {
        let ms = |s: f64| rounded(s * 1e3);
        json!({ "mean_ms": ms(self.mean), "lo_ms": ms(self.lo), "hi_ms": ms(self.hi) })
    }
}

/// One replica with a fixed number of requests in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// On the replica.
    pub(super) in_flight: f64,
    /// To the first token, or to the answer where nothing is generated.
    ttft: Span,
    /// Where a second token is generated.
    tpot: Option<Span>,
    requests_per_s: f64,
    /// Generated tokens/s of one accelerator; read ones where nothing is generated.
    tokens_per_s: f64,
    /// Beyond what was measured.
    extrapolated: bool,
    evidence: Evidence,
    /// What a reader should know.
    notes: Vec<String>,
}

/// 1, 2, 4, ... and the most that fits.
fn counts(most: u32) -> impl Iterator<Item = u32> {
    (0..31).map(|i| 1 << i).take_while(move |n| *n < most).chain([most.max(1)])
}

/// The loads of one replica from one request to as many as run at once.
///
/// # Errors
/// As of [`benchmark`].
pub fn of(c: &Configuration<'_>, q: &Question<'_>, curve: &ServiceCurve) -> Result<Vec<Load>, DoesNotFit> {
    counts(curve.max_batch).map(|n| at(c, q, curve, f64::from(n))).collect()
}

/// One replica with so many requests in flight; at least 1.
///
/// Decoders as a benchmark with fixed lengths would measure them; encoders by their step over that many texts, as many
/// steps after each other as they need.
///
/// # Errors
/// As of [`benchmark`].
pub fn at(
    c: &Configuration<'_>,
    q: &Question<'_>,
    curve: &ServiceCurve,
    clients: f64,
) -> Result<Load, DoesNotFit> {
    let gpus = f64::from(c.layout.accelerators());
    let lanes = f64::from(c.layout.dp) * f64::from(c.layout.pp);
    let (input, output) = (q.shape.input.mean, q.shape.output.mean);
    let conditions = Conditions { fixed_lengths: Some(true), build: None };
    let (ttft, tpot, cycle, evidence, notes) = if output > 0.0 {
        let b = benchmark(c, &q.shape, clients, &conditions)?;
        let b = q.calibrator.apply_to_benchmark(b, c, &q.shape, clients);
        // The first token is in the time to it.
        let more = (output - 1.0).max(0.0);
        let tpot = Some(Span::new(b.tpot_s, &b.tpot_band)).filter(|_| more > 0.0);
        (Span::new(b.ttft_s, &b.ttft_band), tpot, b.ttft_s + more * b.tpot_s, b.evidence, b.notes)
    } else {
        let most = f64::from(curve.max_batch.max(1));
        let step = (curve.alpha_s + curve.beta_s * clients.min(most)) * (clients / most).max(1.0);
        (Span::new(step, &curve.ttft_band), None, step, curve.evidence, curve.notes.clone())
    };
    Ok(Load {
        in_flight: clients,
        ttft,
        tpot,
        requests_per_s: clients / cycle,
        tokens_per_s: clients / cycle * if output > 0.0 { output } else { input } / gpus,
        extrapolated: MeasuredRange::beyond(&q.shape).is_some() || clients / lanes > MeasuredRange::CLIENTS,
        evidence,
        notes,
    })
}

impl Load {
    /// What a benchmark with this load measures, as a paragraph; on `replicas` replicas that are alike.
    pub fn told(&self, replicas: f64, batch: Option<f64>, known: &[String]) -> String {
        let span = |s: &Span| {
            let [mean, interval] = s.cells();
            format!("{} ({} in 80 %)", mean.text, interval.text)
        };
        let kind = if batch.is_some() {
            "closed loop, as in a benchmark with equal lengths"
        } else {
            "a step of that many texts"
        };
        let first = if batch.is_some() { "mean TTFT" } else { "answer" };
        let mut out = format!(
            "{} requests in flight ({kind}): {first} {}",
            self.in_flight * replicas,
            span(&self.ttft)
        );
        if let Some(tpot) = &self.tpot {
            out += &format!(", mean TPOT {}", span(tpot));
        }
        out += &format!(
            ", {} requests/s; class: {}",
            per_second(self.requests_per_s * replicas),
            self.evidence.as_str()
        );
        if let Some(batch) = batch {
            out += &format!("; {batch:.0} decoded together on a rank");
        }
        for note in self.notes.iter().filter(|n| !known.contains(n)) {
            out += &format!("\nnote: {note}");
        }
        out
    }

    /// See `load` in the schema.
    pub fn told_json(&self, replicas: f64, batch: Option<f64>) -> Value {
        let mut value = json!({
            "concurrency": self.in_flight * replicas,
            "ttft_mean_ms": rounded(self.ttft.mean * 1e3), "ttft_lo_ms": rounded(self.ttft.lo * 1e3), "ttft_hi_ms": rounded(self.ttft.hi * 1e3),
            "requests_per_s": rounded(self.requests_per_s * replicas),
            "class": self.evidence.as_str(),
            "notes": self.notes,
        });
        if let Some(object) = value.as_object_mut() {
            if let Some(t) = &self.tpot {
                let all = [("tpot_mean_ms", t.mean), ("tpot_lo_ms", t.lo), ("tpot_hi_ms", t.hi)];
                object.extend(all.map(|(name, s)| (name.to_owned(), rounded(s * 1e3))));
            }
            object.extend(batch.map(|b| ("batch_per_rank".to_owned(), rounded(b))));
        }
        value
    }
}

/// The most requests/s of any load.
fn most(loads: &[Load]) -> f64 {
    loads.iter().map(|l| l.requests_per_s).fold(0.0, f64::max)
}

/// The loads as a table, and unless the user wants it quiet a plot; notes that are `known` are not told again.
pub fn text(loads: &[Load], known: &[String], settings: &Settings) -> String {
    let generates = loads.iter().any(|l| l.tpot.is_some());
    let mut columns =
        vec![("in flight", true), (if generates { "TTFT" } else { "answer" }, true), ("80 % band", true)];
    if generates {
        columns.extend([("TPOT", true), ("80 % band", true)]);
    }
    columns.extend([("tokens/s GPU", true), ("requests/s", true), ("load", true)]);
    let most = most(loads);
    let rows: Vec<Vec<Cell>> = loads
        .iter()
        .map(|l| {
            let tone = if l.extrapolated { Tone::Warn } else { Tone::Plain };
            let mark = if l.extrapolated { "* " } else { "" };
            let mut row = vec![Cell::tone(format!("{mark}{}", l.in_flight), tone)];
            row.extend(l.ttft.cells());
            row.extend(l.tpot.iter().flat_map(Span::cells));
            row.push(Cell::plain(per_second(l.tokens_per_s)));
            row.push(Cell::plain(per_second(l.requests_per_s)));
            row.push(Cell::plain(format!("{:.0} %", l.requests_per_s / most * 100.0)));
            row
        })
        .collect();
    let kind = if generates {
        "means, closed loop as in a benchmark with equal lengths"
    } else {
        "a step of that many texts"
    };
    let heading = format!("\none replica by requests in flight ({kind}), with the 80 % interval\n");
    let mut out = terminal::fold(&heading, settings.width);
    out.push_str(&terminal::table(&columns, &rows, settings));
    if loads.iter().any(|l| l.extrapolated) {
        out.push_str("* extrapolated: beyond what was measured\n");
    }
    for load in loads {
        let own = load.notes.iter().filter(|n| n.starts_with(CONTRADICTED) && !known.contains(n));
        for note in own {
            out.push_str(&terminal::fold(
                &format!("note: {} in flight: {note}\n", load.in_flight),
                settings.width,
            ));
        }
    }
    if !settings.quiet && loads.len() > 1 {
        out.push('\n');
        out.push_str(&drawing(loads, settings));
    }
    out
}

/// Latency against load: the time of a token (of an answer, where nothing is generated) and its interval.
fn drawing(loads: &[Load], settings: &Settings) -> String {
    let generates = loads.iter().any(|l| l.tpot.is_some());
    let curve = |pick: fn(&Span) -> f64| -> Vec<(f64, f64)> {
        let point = |l: &Load| (l.in_flight, pick(l.tpot.as_ref().unwrap_or(&l.ttft)) * 1e3);
        loads.iter().map(point).collect()
    };
    let (mean, lo, hi) = (curve(|s| s.mean), curve(|s| s.lo), curve(|s| s.hi));
    let name = if generates { "TPOT, mean" } else { "answer" };
    let edge = |points| Series { name: "80 % interval", points, faint: true };
    let series = [Series { name, points: &mean, faint: false }, edge(&lo), edge(&hi)];
    let y = Axis { name: if generates { "TPOT, ms" } else { "answer, ms" }, log: false };
    plot(Axis { name: "requests in flight on one replica", log: true }, y, &series, settings)
}

/// The loads, see `loads` in the schema.
pub fn json(loads: &[Load]) -> Value {
    let most = most(loads);
    loads
        .iter()
        .map(|l| {
            let mut value = json!({
                "in_flight": l.in_flight as u32,
                "ttft": l.ttft.json(),
                "tokens_per_s_per_accelerator": rounded(l.tokens_per_s),
                "requests_per_s": rounded(l.requests_per_s),
                "share_of_most": rounded(l.requests_per_s / most),
                "extrapolated": l.extrapolated,
                "class": l.evidence.as_str(),
                "notes": l.notes,
            });
            if let (Some(tpot), Some(object)) = (&l.tpot, value.as_object_mut()) {
                object.insert("tpot".into(), tpot.json());
            }
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_double_up_to_the_most() {
        let all = |most| super::counts(most).collect::<Vec<_>>();
        assert_eq!(all(0), [1]);
        assert_eq!(all(1), [1]);
        assert_eq!(all(8), [1, 2, 4, 8]);
        assert_eq!(all(11), [1, 2, 4, 8, 11]);
    }
}
