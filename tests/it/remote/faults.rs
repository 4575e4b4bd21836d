//! Every request of a story fails in every way, once: what was promised is there, and nothing else than whole groups in their order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rhumb::state::remote::{Patience, Remote, RemoteStore, read};
use rhumb::state::{Record, State};

use super::shelf::{Between, Fault, Ignores, Shelf, Watched};
use super::{at, opened, options};
use crate::extent::{OneIn, one_in};
use crate::journal::{history, states};

#[derive(Clone, Copy)]
enum Step {
    Append(usize),
    Compact,
    Reopen,
}

/// The script of every run: groups of all sizes, compactions of much, little and nothing, and other processes.
fn script() -> Vec<Step> {
    use Step::{Append, Compact, Reopen};
    let mut steps = vec![Append(1), Append(3), Reopen, Append(2), Compact, Append(5), Append(1), Reopen];
    steps.extend([Reopen, Append(4), Compact, Compact, Append(1), Reopen, Compact, Append(9), Reopen]);
    steps
}

/// What was promised and what was tried, as numbers of records, and where groups end.
struct Bounds {
    promised: usize,
    tried: usize,
    ends: BTreeSet<usize>,
}

impl Bounds {
    fn hold(&mut self, found: Option<&State>, states: &[State]) -> Result<usize, String> {
        let Some(found) = found else {
            return if self.promised == 0 { Ok(0) } else { Err("nothing is left".to_owned()) };
        };
        let serial = found.serial as usize;
        if serial < self.promised || serial > self.tried || !self.ends.contains(&serial) {
            return Err(format!("serial {serial} is found after {} to {}", self.promised, self.tried));
        }
        if states.get(serial) != Some(found) {
            return Err(format!("serial {serial} is another"));
        }
        self.promised = serial;
        Ok(serial)
    }
}

/// How long the processes of a run wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Once, and not again.
    Once,
    /// Until it is answered.
    Again,
}

impl Waits {
    fn patience(self) -> Patience {
        let all = if self == Waits::Once { Duration::ZERO } else { Duration::from_secs(60) };
        Patience { all, each: Duration::from_millis(25), pause: Duration::from_millis(1) }
    }
}

struct Bench<'a> {
    records: &'a [Record],
    states: &'a [State],
    waits: Waits,
}

/// A process that works through steps until one is to reopen.
fn process(
    bench: &Bench<'_>,
    remote: &Remote,
    between: &Between,
    fault: Fault,
    bounds: &mut Bounds,
    steps: &mut dyn Iterator<Item = Step>,
) -> Result<(), String> {
    let masked = bench.waits == Waits::Again && !fault.crashes() && fault != Fault::Denied;
    let mut store = match opened(remote) {
        Ok(store) => store,
        Err(e) if !between.fired() || masked => return Err(e),
        // The next process.
        Err(_) => {
            while steps.next().is_some_and(|step| !matches!(step, Step::Reopen)) {}
            return Ok(());
        }
    };
    let mut at = bounds.hold(Some(store.state()), bench.states)?;
    let mut first = None;
    for step in steps {
        match step {
            Step::Append(n) => {
                let group = &bench.records[at..at + n];
                bounds.tried = bounds.tried.max(at + n);
                bounds.ends.insert(at + n);
                match store.append(group) {
                    Ok(()) => at += n,
                    Err(e) if !between.fired() || masked => return Err(format!("it fails by itself: {e}")),
                    Err(e) => assert_eq!(first.get_or_insert(e.clone()), &e, "the first reason"),
                }
                bounds.promised = bounds.promised.max(at);
            }
            Step::Compact => match store.compact() {
                Ok(()) => {}
                Err(e) if !between.fired() || masked => return Err(format!("it fails by itself: {e}")),
                Err(_) => {}
            },
            Step::Reopen => break,
        }
        if store.state() != &bench.states[at] {
            return Err("what is believed is not what was promised".to_owned());
        }
    }
    Ok(())
}

/// Whether the fault happened.
fn run(bench: &Bench<'_>, shelf: &Shelf, number: u64, fault: Fault) -> Result<bool, String> {
    let mut bounds = Bounds { promised: 0, tried: 0, ends: [0].into() };
    let mut steps = script().into_iter().peekable();
    let (mut before, mut fired) = (0, false);
    while steps.peek().is_some() {
        let left = if fired { 0 } else { number.saturating_sub(before) };
        let between = Arc::new(Between::fault(left, fault));
        let remote = at(Arc::new(Watched(Arc::new(shelf.clone()), Arc::clone(&between))));
        let remote = remote.with_patience(bench.waits.patience());
        process(bench, &remote, &between, fault, &mut bounds, &mut steps)?;
        before += between.requests();
        fired |= between.fired();
        // Whatever lease was left has run out.
        shelf.pass(Duration::from_secs(60));
        if between.fired() && fault.crashes() {
            break;
        }
    }
    // A healthy store afterwards: what is there is within bounds, and all the rest can follow.
    let remote = at(Arc::new(shelf.clone()));
    let found = read(&remote).map_err(|e| e.to_string())?;
    let from = bounds.hold(found.as_ref(), bench.states)?;
    let mut store = opened(&remote)?;
    if found.is_some_and(|found| found != *store.state()) {
        return Err("it reads otherwise without the lease".to_owned());
    }
    let then = |store: &mut RemoteStore| {
        store.append(&bench.records[from..])?;
        store.compact()
    };
    then(&mut store).map_err(|e| e.to_string())?;
    drop(store);
    let last = read(&remote).map_err(|e| e.to_string())?;
    if last.as_ref() == bench.states.last() { Ok(fired) } else { Err("it does not go on".to_owned()) }
}

/// Every fault at every request: the points at which one happened, and what went wrong.
fn sweep(part: OneIn, ignores: Ignores, waits: Waits) -> (u64, Vec<String>) {
    let records = history(7, 40);
    let states = states(&records);
    let bench = Bench { records: &records, states: &states, waits };
    let (mut points, mut wrong) = (0, Vec::new());
    for (row, fault) in Fault::ALL.into_iter().enumerate() {
        for number in part.numbers(row) {
            match run(&bench, &Shelf::that(ignores), number, fault) {
                Ok(true) => points += 1,
                Ok(false) => break,
                Err(e) => {
                    points += 1;
                    wrong.push(format!("{fault:?} of request {number}: {e}"));
                    if wrong.len() > 20 {
                        return (points, wrong);
                    }
                }
            }
        }
    }
    (points, wrong)
}

#[test]
fn every_fault_of_every_request_leaves_what_was_promised() {
    let part = one_in(10, 1);
    let (points, wrong) = sweep(part, Ignores::Nothing, Waits::Once);
    assert!(wrong.is_empty(), "{} of {points}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(points > part.of(500), "{points}");
}

#[test]
fn no_request_that_fails_once_is_noticed() {
    let part = one_in(10, 1);
    let (points, wrong) = sweep(part, Ignores::Nothing, Waits::Again);
    assert!(wrong.is_empty(), "{} of {points}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(points > part.of(500), "{points}");
}

#[test]
fn the_sweep_sees_a_store_that_does_not_keep_what_it_says() {
    let (_, wrong) = sweep(one_in(2, 1), Ignores::Puts, Waits::Once);
    assert!(wrong.iter().any(|w| w.contains(" is found after ")), "{wrong:?}");
}

#[test]
fn the_options_of_the_sweep_have_no_sign_of_life() {
    // Or which request is which would depend on the time.
    assert!(options().lease.unwrap().ttl > Duration::from_secs(20));
}
