//! A search that is watched: how far it may go, what is shown of it, and Ctrl-C.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::Value;

use super::{Settings, files};
use crate::optimize::{Standing, Step, Watch};
use crate::placement::Stop;
use crate::spec::units::{Range, Unit, quantity};

/// How far a search goes.
#[derive(Clone, Debug, clap::Args)]
pub struct SearchArgs {
    /// Nodes of the search over all workloads that share a budget or a quota; the same effort gives the same plan
    #[arg(long, value_name = "N", default_value_t = Watch::NODES, value_parser = nodes)]
    pub effort: NonZeroU64,
    /// End the search after this time (30s, 5min) with the best plan so far and its gap, as Ctrl-C does
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub time_limit: Option<Duration>,
}

fn nodes(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "write a whole number of at least 1, for example 2000".to_owned())
}

/// A length of time as it is typed: `30s`, `5min`, `48h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let ms = quantity(Unit::Duration, Range::NOT_NEGATIVE, &Value::from(text))
        .map_err(|p| format!("{}; {}", p.message, p.help))?;
    Duration::try_from_secs_f64(ms / 1e3).map_err(|e| e.to_string())
}

/// Before this a search shows nothing.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
const TICKS: [char; 8] = ['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈'];

/// A search under way. Until it is dropped, Ctrl-C asks it to end instead of ending the process; the second does that.
pub struct Watching {
    began: Instant,
    limit: Option<Duration>,
    shown: Shown,
    told: Mutex<bool>,
    _gentle: files::Gentle,
}

enum Shown {
    Nothing,
    /// The text is drawn by the bar's own ticks.
    Bar(ProgressBar, Arc<Mutex<String>>),
    /// When the last line was written and what it said; with `each`, every change is told at once.
    Lines {
        last: Mutex<(Instant, Standing)>,
        each: bool,
    },
}

/// Begins to watch.
pub fn begin(args: &SearchArgs, settings: &Settings) -> Watching {
    let began = Instant::now();
    let shown = if settings.quiet || (settings.json && settings.verbose == 0) {
        Shown::Nothing
    } else if std::io::stderr().is_terminal() {
        let text = Arc::new(Mutex::new("searching placements".to_owned()));
        let bar = ProgressBar::new_spinner();
        let drawn = text.clone();
        let key = move |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            if state.elapsed() >= QUIET_FOR {
                let tick = TICKS[(state.elapsed().as_millis() / 100) as usize % TICKS.len()];
                let _ = write!(w, "{tick} {}", drawn.lock().unwrap_or_else(PoisonError::into_inner));
            }
        };
        if let Ok(style) = ProgressStyle::with_template("{search}") {
            bar.set_style(style.with_key("search", key));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Shown::Bar(bar, text)
    } else {
        let nothing = Standing { step: Step::Apart { done: 0, all: 0 }, found: None, bound: None };
        Shown::Lines { last: Mutex::new((began, nothing)), each: settings.verbose > 0 }
    };
    Watching { began, limit: args.time_limit, shown, told: Mutex::new(false), _gentle: files::end_gently() }
}

impl Watching {
    /// Shows how far the search is, and answers whether it ends.
    pub fn ask(&self, standing: &Standing) -> Option<Stop> {
        if files::interrupted() {
            self.tell("stopping with the best so far; Ctrl-C again ends at once");
            return Some(Stop::ByHand);
        }
        if self.limit.is_some_and(|limit| self.began.elapsed() >= limit) {
            return Some(Stop::TimeLimit);
        }
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(_, text) => *text.lock().unwrap_or_else(PoisonError::into_inner) = words(standing),
            Shown::Lines { last, each } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let news = *each && !alike(&last.1, standing);
                if news || last.0.elapsed() >= LINE_EVERY {
                    *last = (Instant::now(), *standing);
                    let _ = writeln!(std::io::stderr(), "{}", words(standing));
                }
            }
        }
        None
    }

    /// Says something once.
    fn tell(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *told, true) {
            return;
        }
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar, _) => bar.println(what),
            Shown::Lines { .. } => {
                let _ = writeln!(std::io::stderr(), "{what}");
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Shown::Bar(bar, _) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Whether two say the same but for how far a step is.
fn alike(a: &Standing, b: &Standing) -> bool {
    let kind = |s: &Standing| std::mem::discriminant(&s.step);
    (kind(a), a.found, a.bound) == (kind(b), b.found, b.bound)
}

fn words(s: &Standing) -> String {
    let mut text = match s.step {
        Step::Apart { done, all } => format!("placing workloads by themselves: {done} of {all}"),
        Step::Prices { round } => format!("pricing what is shared, round {}", round + 1),
        Step::Plans => "listing plans".to_owned(),
        Step::Choices { nodes } => format!("comparing choices, node {nodes}"),
        Step::Seasons { done, all } => format!("placing the seasons to come: {done} of {all}"),
        Step::Refusal => "nothing will do; looking for what would".to_owned(),
    };
    if let Some(found) = s.found {
        let _ = write!(text, "; best {found} USD/month");
    }
    if let Some(bound) = s.bound {
        let _ = write!(text, "; nothing below {bound}");
    }
    if let (Some(found), Some(bound)) = (s.found, s.bound) {
        let gap = (found - bound).usd().max(0.0) / found.usd().max(1e-9) * 100.0;
        let _ = write!(text, " (gap {gap:.3} %)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhumb_api::Money;

    #[test]
    fn a_line_says_what_is_known() {
        let usd = |x: i64| Some(Money::from_micros(x * 1_000_000));
        let at = |step, found, bound| words(&Standing { step, found, bound });
        assert_eq!(
            at(Step::Apart { done: 3, all: 50 }, None, None),
            "placing workloads by themselves: 3 of 50"
        );
        assert_eq!(
            at(Step::Prices { round: 0 }, None, usd(900)),
            "pricing what is shared, round 1; nothing below 900.00"
        );
        assert_eq!(
            at(Step::Choices { nodes: 12 }, usd(1000), usd(990)),
            "comparing choices, node 12; best 1,000.00 USD/month; nothing below 990.00 (gap 1.000 %)"
        );
    }

    #[test]
    fn a_step_that_goes_on_is_no_news() {
        let at = |step, bound: i64| Standing { step, found: None, bound: Some(Money::from_micros(bound)) };
        assert!(alike(&at(Step::Choices { nodes: 1 }, 5), &at(Step::Choices { nodes: 9 }, 5)));
        assert!(!alike(&at(Step::Choices { nodes: 1 }, 5), &at(Step::Choices { nodes: 1 }, 6)));
        assert!(!alike(&at(Step::Plans, 5), &at(Step::Choices { nodes: 1 }, 5)));
    }

    #[test]
    fn limits_are_read_with_their_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1.5min"), Ok(Duration::from_secs(90)));
        for wrong in ["30", "-1s", "soon", "1e400s", "3 fortnights"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration("30").unwrap_err().contains("has no unit"));
        assert_eq!(nodes("1"), Ok(NonZeroU64::MIN));
        for wrong in ["0", "-1", "1.5", "many", ""] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }
}
