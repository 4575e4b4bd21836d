//! Feeds a machine with what really happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rhumb_api::{Call, Cloud, ErrorKind, Provider, ProviderError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Effect, Engine, Event, Progress, Summary};
use crate::state::Record;

/// Makes records durable.
pub trait Recorder {
    /// Makes records durable, all or a first part of them.
    ///
    /// # Errors
    /// Why not all of them are.
    fn append(&mut self, records: &[Record]) -> Result<(), String>;
}

/// Runs an engine to its end.
///
/// Records of all that happened meanwhile are made durable together: one write to the disk for many resources. `interrupted` turns
/// true when whoever waits wants an end. Runs on the tokio runtime that it is called in.
pub async fn drive(
    machine: &mut dyn Engine,
    recorder: &mut dyn Recorder,
    providers: &BTreeMap<Cloud, Arc<dyn Provider>>,
    mut interrupted: watch::Receiver<bool>,
    tell: &mut dyn FnMut(&Progress),
) -> Summary {
    let mut events = VecDeque::from([Event::Start]);
    let mut under_way: JoinSet<Event> = JoinSet::new();
    let mut asked = false;
    loop {
        let mut records = Vec::new();
        let mut last = None;
        let mut sends = Vec::new();
        let mut finished = None;
        while let Some(event) = events.pop_front() {
            for effect in machine.on(event) {
                match effect {
                    Effect::Write { number, records: more } => {
                        records.extend(more);
                        last = Some(number);
                    }
                    Effect::Send { number, call } => sends.push((number, call)),
                    Effect::Wait { number, ms } => {
                        under_way.spawn(async move {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            Event::Rang(number)
                        });
                    }
                    Effect::Tell(progress) => tell(&progress),
                    Effect::Finish(summary) => finished = Some(summary),
                }
            }
        }
        if let Some(number) = last {
            events.push_back(match recorder.append(&records) {
                Ok(()) => Event::Written(number),
                Err(why) => Event::WriteFailed(why),
            });
        }
        for (number, call) in sends {
            send(&mut under_way, providers, number, *call);
        }
        if let Some(summary) = finished {
            return summary;
        }
        if !events.is_empty() {
            continue;
        }
        tokio::select! {
            biased;
            changed = interrupted.changed(), if !asked => {
                // A sender that is gone will never ask.
                asked = true;
                if changed.is_ok() && *interrupted.borrow() {
                    events.push_back(Event::Interrupted);
                }
            }
            Some(ended) = under_way.join_next() => {
                events.extend(ended.ok());
                while let Some(more) = under_way.try_join_next() {
                    events.extend(more.ok());
                }
            }
            else => {
                // Nothing is under way any more, so that an adapter has ended without an answer.
                let lost = || ProviderError::new(ErrorKind::UnknownOutcome, "the adapter has ended without an answer");
                events.extend(machine.unanswered().into_iter().map(|n| Event::Answered(n, Err(lost()))));
                if events.is_empty() {
                    events.push_back(Event::Interrupted);
                }
            }
        }
    }
}

fn send(
    under_way: &mut JoinSet<Event>,
    providers: &BTreeMap<Cloud, Arc<dyn Provider>>,
    number: u64,
    call: Call,
) {
    match providers.get(&call.cloud()).cloned() {
        Some(provider) => {
            under_way.spawn(async move { Event::Answered(number, provider.call(&call).await) });
        }
        None => {
            let message = format!("nothing here can make calls of {}", call.cloud());
            let error = ProviderError::new(ErrorKind::Denied, message);
            under_way.spawn(async move { Event::Answered(number, Err(error)) });
        }
    }
}
