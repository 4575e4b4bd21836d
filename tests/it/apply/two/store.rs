//! That [`Log`] says what the real store says.

use std::sync::Arc;

use rhumb::state::remote::{Opened, Options, Remote, RemoteStore, Vacant, read};
use rhumb::state::{Holder, Record, State, StoreError};

use super::log::{Log, Refused, Rule, Writer};
use crate::apply::deployment::addr;
use crate::remote::shelf::Shelf;

const LINEAGE: &str = "demo-1";

/// What one of two writers does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Open(usize),
    Append(usize, usize),
    /// A record that does not fit is among those that are appended.
    Misfit(usize),
}

/// What somebody hears: refusals as the log words them.
type Heard = Result<(), &'static str>;

fn records(number: usize, many: usize) -> Vec<Record> {
    let begin = |i: usize| Record::Begin {
        plan: format!("{number} {i}"),
        from: None,
        by: "me@here".to_owned(),
        at: "2026-11-25T00:00:00Z".to_owned(),
    };
    (0..many).map(begin).collect()
}

fn misfit() -> Vec<Record> {
    vec![
        records(0, 1).remove(0),
        Record::Took(rhumb::state::Taken {
            pool: addr("services.s/a"),
            by: addr("services.s/b"),
            spot: false,
        }),
        Record::Accepted { token: rhumb_api::Token::parse("0".repeat(32)).unwrap(), id: "i".to_owned() },
    ]
}

fn of_log(ops: &[Op], rule: Rule) -> (Vec<Heard>, State) {
    let mut log = Log::new(State::new(LINEAGE.to_owned(), true), rule);
    let mut writers: [Option<Writer>; 2] = [None, None];
    let mut heard = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        let (who, records) = match *op {
            Op::Open(who) => {
                writers[who] = Some(log.open(who));
                continue;
            }
            Op::Append(who, many) => (who, records(number, many)),
            Op::Misfit(who) => (who, misfit()),
        };
        let Some(writer) = &mut writers[who] else { continue };
        heard.push(log.append(writer, &records).map_err(|why| match why {
            Refused::Overtaken => "overtaken",
            Refused::Misfit(_) => "misfit",
        }));
        heard.push(if writer.state == log.state { Ok(()) } else { Err("behind") });
    }
    (heard, log.state)
}

fn of_store(ops: &[Op]) -> (Vec<Heard>, State) {
    let remote = Remote::new(Arc::new(Shelf::new()), "p", "s3://bucket/p");
    let holder = Holder { by: "me@here".to_owned(), at: "2026-11-25T00:00:00Z".to_owned() };
    // Without the lease, nothing but the log keeps them apart.
    let open = || RemoteStore::open(&remote, &holder, &Options { lease: None }).unwrap();
    if let Opened::Nothing(vacant) = open() {
        drop(Vacant::create(vacant, LINEAGE.to_owned(), true).unwrap());
    }
    let mut writers: [Option<RemoteStore>; 2] = [None, None];
    let mut heard = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        let (who, records) = match *op {
            Op::Open(who) => {
                let Opened::Recorded(store) = open() else { panic!("it was made") };
                writers[who] = Some(store);
                continue;
            }
            Op::Append(who, many) => (who, records(number, many)),
            Op::Misfit(who) => (who, misfit()),
        };
        let Some(store) = &mut writers[who] else { continue };
        heard.push(store.append(&records).map_err(|why| match why {
            StoreError::Overtaken { .. } => "overtaken",
            StoreError::Refused { .. } => "misfit",
            other => panic!("{other}"),
        }));
        let durable = read(&remote).unwrap().unwrap();
        heard.push(if *store.state() == durable { Ok(()) } else { Err("behind") });
    }
    (heard, read(&remote).unwrap().unwrap())
}

/// Every list of so many operations of two writers.
fn lists(length: usize) -> Vec<Vec<Op>> {
    let every = [0, 1].map(|who| [Op::Open(who), Op::Append(who, 1), Op::Append(who, 2), Op::Misfit(who)]);
    let every = every.concat();
    let mut all: Vec<Vec<Op>> = vec![vec![Op::Open(0)]];
    for _ in 0..length {
        all = all.iter().flat_map(|ops| every.iter().map(|op| [ops.as_slice(), &[*op]].concat())).collect();
    }
    all
}

/// Every three of eight operations behind the first opening.
#[test]
fn the_log_says_what_the_store_says() {
    let (mut overtaken, mut misfits) = (0, 0);
    for ops in lists(3) {
        let (log, store) = (of_log(&ops, Rule::Fenced), of_store(&ops));
        assert_eq!(log, store, "{ops:?}");
        overtaken += log.0.iter().filter(|heard| **heard == Err("overtaken")).count();
        misfits += log.0.iter().filter(|heard| **heard == Err("misfit")).count();
    }
    // By hand: behind the first opening, of the second writer's opening and the first one's append there are 3 in 3 places, each with
    // at least 2 sizes and 8 third operations.
    assert!(overtaken >= 32 && misfits >= 32, "{overtaken} {misfits}");
}

/// A log that lets an overtaken writer write is told from the store.
#[test]
fn other_logs_say_otherwise() {
    let ops = [Op::Open(0), Op::Append(0, 1), Op::Open(1), Op::Append(0, 1), Op::Append(1, 1)];
    for rule in [Rule::NoFence, Rule::Anywhere] {
        assert_ne!(of_log(&ops, rule), of_store(&ops), "{rule:?}");
    }
}
