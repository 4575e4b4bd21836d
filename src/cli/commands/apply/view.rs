//! What is told while a plan is applied.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rhumb_api::{ErrorKind, Money};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::apply::{Engine, Progress, Recorder, Stage, Summary, Verb, drive};
use crate::cli::clouds::Clouds;
use crate::cli::spend::Now;
use crate::cli::stdout::{print, print_error};
use crate::cli::{Failure, Settings, files};
use crate::plan::{Action, LeftWhy, Plan, Standby};
use crate::report;
use crate::state::Deed;

/// Name and version of the event stream, one JSON object a line: `src/cli/commands/apply/schema.json`.
const SCHEMA: &str = "rhumb.apply/1";

/// How often it is asked whether somebody wants an end.
const ASK: Duration = Duration::from_millis(50);

/// Tells what happens: lines on standard error and a bar below them on a terminal; with `--json`, a line for each event on standard
/// output.
pub struct View<'s> {
    settings: &'s Settings,
    started: Instant,
    bar: Option<ProgressBar>,
    done: Cell<Counted>,
}

/// How much of what is to be done is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    done: u64,
    of: u64,
}

impl Counted {
    /// Of a plan: what is replaced is made and removed.
    fn of_plan(plan: &Plan) -> Self {
        let both = plan.steps.iter().filter(|step| step.action == Action::Replace).count();
        Counted { done: 0, of: (plan.steps.len() + both + plan.leftovers.len()) as u64 }
    }

    /// After something has happened. What stands in for what was refused, and what an earlier apply left open, comes besides.
    fn after(self, progress: &Progress) -> Self {
        let is_done = matches!(progress.stage, Stage::Done(_)) && progress.verb != Verb::Check;
        let done = self.done + u64::from(is_done);
        Counted { done, of: self.of.max(done) }
    }
}

impl<'s> View<'s> {
    /// One that has told nothing yet.
    pub fn new(settings: &'s Settings) -> Self {
        let shown = std::io::stderr().is_terminal() && !settings.quiet && !settings.json;
        let bar = shown.then(|| {
            let bar = ProgressBar::new(0);
            bar.enable_steady_tick(Duration::from_millis(100));
            let style = ProgressStyle::with_template("{spinner} {pos} of {len} done {wide_bar} {elapsed}");
            style.map_or(bar.clone(), |style| bar.with_style(style))
        });
        View { settings, started: Instant::now(), bar, done: Cell::default() }
    }

    /// Tells that what became of so many calls is looked up.
    pub fn recovering(&mut self, open: usize) {
        self.expect(Counted { done: 0, of: open as u64 });
        self.event(json!({ "event": "recover", "open": open }));
        self.line(&format!(
            "An earlier apply was cut off: {open} calls have an unknown end and are looked up first."
        ));
    }

    /// Tells what is applied.
    pub fn begin(&mut self, plan: &Plan, digest: &str, simulated: bool) {
        let steps = plan.steps.len() + plan.leftovers.len();
        self.expect(Counted::of_plan(plan));
        self.event(json!({
            "event": "begin", "plan": digest, "name": plan.name, "steps": steps, "simulated": simulated,
        }));
        if simulated {
            self.line("SIMULATED: nothing of this exists.");
        }
    }

    /// Tells what will not stand in for refused machines, because nobody here can make it.
    pub fn passed_over(&self, passed: &[(&Standby, String)]) {
        for (Standby { pool, by, .. }, why) in passed {
            self.event(
                json!({ "event": "passed_over", "pool": pool.as_str(), "by": by.as_str(), "why": why }),
            );
            self.line(&format!("{by} will not stand in for {pool}: {why}"));
        }
    }

    /// Tells that all of it was done before.
    pub fn applied(&self, deed: &Deed) {
        self.event(json!({ "event": "applied", "by": deed.by, "at": deed.at, "serial": deed.serial }));
    }

    /// Tells that what exists is looked at.
    pub fn looking(&mut self, things: usize) {
        self.event(json!({ "event": "look", "things": things }));
    }

    fn expect(&self, counted: Counted) {
        self.done.set(counted);
        if let Some(bar) = &self.bar {
            bar.set_length(counted.of);
            bar.set_position(counted.done);
        }
    }

    /// Runs an engine to its end. Ctrl-C asks it to end; a second one ends the process, which loses nothing, since all that was sent
    /// is recorded.
    pub fn drive(&mut self, machine: &mut dyn Engine, store: &mut dyn Recorder, clouds: &Clouds) -> Summary {
        let gentle = files::end_gently();
        let (ask, asked) = watch::channel(false);
        let summary = clouds.runtime.block_on(async {
            let asking = tokio::spawn(async move {
                while !files::interrupted() {
                    tokio::time::sleep(ASK).await;
                }
                let _ = ask.send(true);
            });
            let summary = drive(machine, store, &clouds.providers, asked, &mut |p| self.tell(p)).await;
            asking.abort();
            summary
        });
        drop(gentle);
        summary
    }

    fn tell(&self, progress: &Progress) {
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        self.event(event(progress, elapsed_ms));
        self.expect(self.done.get().after(progress));
        if let Some(text) = words(progress) {
            self.line(&format!("{:>7.1} s  {text}", elapsed_ms as f64 / 1_000.0));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None if self.settings.quiet || self.settings.json => {}
            None => print_error(&format!("{text}\n")),
        }
    }

    fn event(&self, mut event: Value) {
        if self.settings.json {
            event["schema"] = SCHEMA.into();
            // A reader that is gone does not stop what was approved.
            let _ = print(&format!("{event}\n"));
        }
    }

    /// Ends the bar.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Tells how it ended.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn end(&mut self, plan: &Plan, summary: &Summary, now: Option<Now>) -> Result<(), Failure> {
        self.close();
        let elapsed = self.started.elapsed();
        let list = |entries: &[(Verb, rhumb_api::ResourceAddr, String)]| -> Vec<Value> {
            let of = |(verb, addr, why): &(Verb, rhumb_api::ResourceAddr, String)| json!({ "verb": verb.as_str(), "address": addr.as_str(), "why": why });
            entries.iter().map(of).collect()
        };
        let count = |verb: Verb| summary.done.iter().filter(|(v, _)| *v == verb).count();
        let (made, changed, removed) = (count(Verb::Create), count(Verb::Update), count(Verb::Delete));
        self.event(json!({
            "event": "end",
            "complete": summary.complete(),
            "interrupted": summary.interrupted,
            "created": made, "changed": changed, "removed": removed,
            "failed": list(&summary.failed),
            "skipped": list(&summary.skipped),
            "left": list(&summary.left),
            "taken": summary.taken.iter()
                .map(|(pool, by, why)| json!({ "pool": pool.as_str(), "by": by.as_str(), "why": why }))
                .collect::<Vec<_>>(),
            "went_back": summary.went_back,
            "not_back": summary.not_back,
            "unrecorded": summary.unrecorded,
            "planned_per_hour": report::per_hour(plan).to_string(),
            "usd_per_hour_now": now.as_ref().map(|now| now.sum.usd.to_string()),
            "unpriced_now": now.as_ref().map(|now| now.sum.unpriced),
            "now_by": now.as_ref().map(|now| now.by.as_str()),
            "elapsed_ms": elapsed.as_millis() as u64,
        }));
        if self.settings.json {
            return Ok(());
        }
        let mut text = String::new();
        let back = |pool: &rhumb_api::ResourceAddr| summary.went_back.iter().any(|of| of == pool.workload());
        for (pool, by, why) in summary.taken.iter().filter(|(pool, ..)| !back(pool)) {
            text.push_str(&format!("Refused: machines of {pool} ({why}); {by} stands in, as planned.\n"));
        }
        for (what, entries) in
            [("Failed", &summary.failed), ("Not known", &summary.left), ("Not begun", &summary.skipped)]
        {
            for (verb, addr, why) in entries {
                text.push_str(&format!("{what}: {} {addr}: {why}\n", verb.as_str()));
            }
        }
        let denied = format!("{}: ", ErrorKind::Denied);
        if summary.failed.iter().any(|(.., why)| why.starts_with(&denied)) {
            text.push_str("Who asks may not do all of it: `rhumb preflight PLAN` asks for every right of a saved plan and makes nothing.\n");
        }
        for workload in &summary.went_back {
            text.push_str(&format!(
                "{workload}: machines were refused, and so was all that may stand in: what was made went again, and what served so far serves as before.\n"
            ));
        }
        for workload in &summary.not_back {
            text.push_str(&format!(
                "{workload}: machines were refused, and so was all that may stand in: what was made was to go again, and not all of it did. Apply again, or plan.\n"
            ));
        }
        let counts = format!("{made} created, {changed} changed, {removed} removed");
        let seconds = elapsed.as_secs_f64();
        let left = plan.left.iter().filter(|left| left.why == LeftWhy::Asked).count();
        text.push_str(&match &summary.unrecorded {
            Some(why) => format!("Ended: {counts}; nothing more could be recorded: {why}. Apply again: what was sent is found.\n"),
            None if summary.complete() && left > 0 => {
                format!("Applied in {seconds:.1} s: {counts}. Left out of the whole, as asked: {left}.\n")
            }
            None if summary.complete() && plan.destroy => {
                format!("Destroyed in {seconds:.1} s: {counts}. Nothing is left.\n")
            }
            None if summary.complete() && plan.rollback.is_some() => {
                format!("Applied in {seconds:.1} s: {counts}. It is as it was.\n")
            }
            None if summary.complete() => {
                format!("Applied in {seconds:.1} s: {counts}.\n")
            }
            None if summary.interrupted => {
                format!("Ended as asked after {seconds:.1} s: {counts}. Everything is recorded; apply again to go on.\n")
            }
            None => format!("Ended after {seconds:.1} s: {counts}. Everything is recorded; apply again to go on.\n"),
        });
        if let Some(now) = now.filter(|_| !plan.destroy || !summary.complete()) {
            text.push_str(&now.in_words());
            if let Some(planned) = report::planned_per_hour(plan) {
                text.push_str(&format!("; planned for the mean of all hours: {planned}"));
            }
            if let Some(more) = stand_ins(plan, summary) {
                text.push_str(&format!("; what stands in costs {more} USD a month more than that"));
            }
            text.push_str(".\n");
        }
        print(&text)
    }
}

/// What stands in for refused machines costs more than these, USD a month; `None` if nothing does.
fn stand_ins(plan: &Plan, summary: &Summary) -> Option<Money> {
    let stays = |pool: &rhumb_api::ResourceAddr| !summary.went_back.iter().any(|of| of == pool.workload());
    let taken = summary.taken.iter().filter(|(pool, ..)| stays(pool));
    let last: BTreeMap<_, _> = taken.map(|(pool, by, _)| (pool, by)).collect();
    let more = last.iter().filter_map(|(pool, by)| {
        plan.standbys.iter().find(|s| s.pool == **pool && s.by == **by).map(|s| s.more_per_month)
    });
    (!last.is_empty()).then(|| more.sum())
}

fn event(progress: &Progress, elapsed_ms: u64) -> Value {
    let mut event = json!({
        "event": "resource",
        "address": progress.address.as_str(),
        "verb": progress.verb.as_str(),
        "elapsed_ms": elapsed_ms,
    });
    let (stage, more) = match &progress.stage {
        Stage::Begun => ("begun", json!({})),
        Stage::Recovered => ("recovered", json!({})),
        Stage::Accepted(id) => ("accepted", json!({ "id": id })),
        Stage::Again { why, message, in_ms } => {
            ("again", json!({ "why": why.as_str(), "message": message, "in_ms": in_ms }))
        }
        Stage::Healthy(healthy, wanted) => ("healthy", json!({ "healthy": healthy, "wanted": wanted })),
        Stage::Done(id) => ("done", json!({ "id": id })),
        Stage::Replaced { why, by, more_per_month } => (
            "replaced",
            json!({ "why": why, "by": by.as_str(), "more_per_month": more_per_month.to_string() }),
        ),
        Stage::Failed(why) => ("failed", json!({ "why": why })),
        Stage::Skipped(why) => ("skipped", json!({ "why": why })),
        Stage::Left(why) => ("left", json!({ "why": why })),
    };
    event["stage"] = stage.into();
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    event
}

/// A line for people; what is told at the end is not told twice.
fn words(progress: &Progress) -> Option<String> {
    let address = &progress.address;
    let (doing, done) = match progress.verb {
        Verb::Create => ("creating", "created"),
        Verb::Update => ("changing", "changed"),
        Verb::Delete => ("removing", "removed"),
        Verb::Check => ("looking whether its machines serve", "healthy"),
    };
    match &progress.stage {
        Stage::Begun => Some(format!("{address}: {doing}")),
        Stage::Recovered => Some(format!("{address}: {doing} was cut off, looking it up")),
        Stage::Accepted(_) | Stage::Skipped(_) => None,
        Stage::Again { why, message, in_ms } => {
            Some(format!("{address}: {why}: {message}; again in {:.1} s", *in_ms as f64 / 1_000.0))
        }
        Stage::Healthy(healthy, wanted) => {
            Some(format!("{address}: {healthy} of {wanted} machines are healthy"))
        }
        Stage::Done(Some(id)) => Some(format!("{address}: {done} ({id})")),
        Stage::Done(None) => Some(format!("{address}: {done}")),
        Stage::Replaced { why, by, more_per_month } => {
            Some(format!("{address}: {why}; {by} stands in, {more_per_month} USD a month more"))
        }
        Stage::Failed(why) => Some(format!("{address}: {doing} FAILED: {why}")),
        Stage::Left(why) => Some(format!("{address}: {doing}, end not known: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use rhumb_api::ResourceAddr;

    use super::*;

    #[test]
    fn no_more_is_done_than_there_is_to_do() {
        let address = ResourceAddr::parse("services.chat/x").expect("an address");
        let mut counted = Counted { done: 0, of: 2 };
        let said = |verb, stage| Progress { address: address.clone(), verb, stage };
        let all = [
            (said(Verb::Create, Stage::Begun), (0, 2)),
            (said(Verb::Create, Stage::Done(None)), (1, 2)),
            (said(Verb::Check, Stage::Done(None)), (1, 2)),
            (said(Verb::Delete, Stage::Done(None)), (2, 2)),
            // What stands in for something comes besides.
            (said(Verb::Create, Stage::Done(None)), (3, 3)),
        ];
        for (progress, (done, of)) in all {
            counted = counted.after(&progress);
            assert_eq!(counted, Counted { done, of });
        }
    }
}
