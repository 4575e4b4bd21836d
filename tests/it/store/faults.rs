//! Every operation of the store fails in every way, once: what is left is always a state, and never one from before what was promised.

use std::path::Path;
use std::process::{Command, Stdio};

use rhumb::state::disk::{Disk, RealDisk};
use rhumb::state::faulty::{Fault, FaultyDisk, Left, LeftBytes, Moment};
use rhumb::state::local::read;
use rhumb::state::{Record, State};

use super::memory::{Folder, MovingDisk, Omits, WrongDisk};
use super::{PATH, opened};
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
    let mut steps =
        vec![Append(1), Append(3), Reopen, Append(2), Compact, Append(5), Append(1), Reopen, Reopen];
    steps.extend([Append(4), Compact, Compact, Append(1), Reopen, Compact, Append(2), Append(9), Compact]);
    steps.extend([Reopen, Append(1), Append(2), Append(3), Compact, Append(6), Reopen, Append(20)]);
    steps
}

fn faults() -> Vec<Fault> {
    let moments = [Moment::Before, Moment::Half, Moment::After];
    let mut faults = vec![Fault::NoSpace, Fault::Device, Fault::Late, Fault::Short, Fault::Rename];
    for moment in moments {
        faults.push(Fault::Crash(moment));
        for bytes in [LeftBytes::Lost, LeftBytes::Half, LeftBytes::Zeros, LeftBytes::Hole, LeftBytes::Kept] {
            for names in [false, true] {
                faults.push(Fault::PowerCut(moment, Left { bytes, names }));
            }
        }
    }
    faults
}

/// What was promised and what was tried, as numbers of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    promised: usize,
    tried: usize,
}

impl Bounds {
    /// The state is one that may be found.
    fn hold(self, found: Option<&State>, states: &[State]) -> Result<usize, String> {
        let Some(found) = found else {
            // Nothing was promised before the first record, not even that there is a state.
            return if self.promised == 0 { Ok(0) } else { Err(format!("nothing is left of {self:?}")) };
        };
        let serial = found.serial as usize;
        if serial < self.promised || serial > self.tried {
            return Err(format!("serial {serial} is found after {self:?}"));
        }
        if states.get(serial) == Some(found) {
            Ok(serial)
        } else {
            Err(format!("serial {serial} is another"))
        }
    }
}

/// What the runs of a script have in common.
struct Bench<'a> {
    path: &'a Path,
    records: &'a [Record],
    states: &'a [State],
    omits: Omits,
    /// Says every promise to a parent process.
    aloud: bool,
}

/// A run of the script: whether the fault happened, and how many operations there were.
fn run<D: Disk + 'static>(
    bench: &Bench<'_>,
    disk: impl Fn() -> D,
    at: u64,
    fault: Fault,
) -> Result<(bool, u64), String> {
    let Bench { path, records, states, omits, aloud } = bench;
    let mut bounds = Bounds { promised: 0, tried: 0 };
    let (mut operations, mut fired) = (0, false);
    let dead = matches!(fault, Fault::Crash(_) | Fault::PowerCut(..));
    let mut steps = script().into_iter().peekable();
    while steps.peek().is_some() {
        let left = if fired { 0 } else { at.saturating_sub(operations) };
        let faulty = FaultyDisk::new(disk(), left, fault);
        let watch = faulty.watch();
        let store = opened(Box::new(WrongDisk(Box::new(faulty), *omits)), path);
        if let Ok(mut store) = store {
            let mut at = bounds.hold(Some(store.state()), states)?;
            bounds = Bounds { promised: at.max(bounds.promised), tried: at.max(bounds.tried) };
            let mut first = None;
            for step in steps.by_ref() {
                match step {
                    Step::Append(n) => {
                        let group = &records[at..(at + n).min(records.len())];
                        bounds.tried = bounds.tried.max(at + group.len());
                        match store.append(group) {
                            Ok(()) => at += group.len(),
                            Err(_) if !watch.fired() => return Err("an append failed by itself".to_owned()),
                            Err(e) => {
                                assert_eq!(first.get_or_insert(e.clone()), &e, "the first reason");
                                assert_eq!(store.append(&records[at..=at]), Err(e));
                            }
                        }
                        bounds.promised = bounds.promised.max(at);
                        if *aloud {
                            println!("\npromised {at}");
                        }
                    }
                    Step::Compact => match store.compact() {
                        Ok(()) => {}
                        Err(_) if !watch.fired() => return Err("a compaction failed by itself".to_owned()),
                        // Of a dead process every operation fails for itself.
                        Err(_) if dead => {}
                        Err(e) => first = first.or(Some(e)),
                    },
                    Step::Reopen => break,
                }
                assert_eq!(store.state(), &states[at], "what is believed is what was promised");
            }
        } else if !watch.fired() {
            return Err(store.err().unwrap_or_default());
        } else {
            // The next process.
            steps.next();
        }
        operations += watch.operations();
        fired |= watch.fired();
        if fired && dead {
            break;
        }
    }
    recovers(bench, disk, bounds)?;
    Ok((fired, operations))
}

/// A healthy disk afterwards: it is readable, with and without the lock, within bounds, and all the rest can follow.
fn recovers<D: Disk + 'static>(
    bench: &Bench<'_>,
    disk: impl Fn() -> D,
    bounds: Bounds,
) -> Result<(), String> {
    let Bench { path, records, states, .. } = bench;
    let found = read(&mut disk(), path, "s.json").map_err(|e| e.to_string())?;
    let at = bounds.hold(found.as_ref(), states)?;
    let mut store = opened(Box::new(disk()), path)?;
    if found.is_some_and(|found| found != *store.state()) {
        return Err("it reads otherwise without the lock".to_owned());
    }
    store.append(&records[at..]).map_err(|e| e.to_string())?;
    drop(store);
    let mut store = opened(Box::new(disk()), path)?;
    store.compact().map_err(|e| e.to_string())?;
    drop(store);
    let last = read(&mut disk(), path, "s.json").map_err(|e| e.to_string())?;
    if last.as_ref() == states.last() { Ok(()) } else { Err("it does not go on".to_owned()) }
}

/// Every fault at every operation: the points at which one happened, and what went wrong.
fn sweep(part: OneIn, omits: Omits) -> (u64, Vec<String>) {
    let records = history(7, 60);
    let states = states(&records);
    let bench = Bench { path: Path::new(PATH), records: &records, states: &states, omits, aloud: false };
    let (mut points, mut wrong) = (0, Vec::new());
    for (row, fault) in faults().into_iter().enumerate() {
        for at in part.numbers(row) {
            let folder = Folder::default();
            match run(&bench, || folder.disk(), at, fault) {
                Ok((true, _)) => points += 1,
                Ok((false, operations)) if operations < at => break,
                Ok((false, _)) => {}
                Err(e) => {
                    points += 1;
                    wrong.push(format!("{fault:?} at operation {at}: {e}"));
                }
            }
        }
    }
    (points, wrong)
}

#[test]
fn every_fault_at_every_operation_leaves_what_was_promised() {
    let part = one_in(10, 1);
    let (points, wrong) = sweep(part, Omits::Nothing);
    assert!(wrong.is_empty(), "{} of {points}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(points > part.of(2500), "{points}");
}

#[test]
fn the_sweep_sees_a_disk_that_omits_to_sync() {
    for (omits, what) in [(Omits::Sync, "is found after"), (Omits::SyncFolder, "is found after")] {
        let (_, wrong) = sweep(one_in(12, 1), omits);
        assert!(wrong.iter().any(|w| w.contains(what) && w.starts_with("PowerCut")), "{wrong:?}");
        assert!(wrong.iter().all(|w| w.starts_with("PowerCut")), "{wrong:?}");
    }
}

#[test]
fn the_disk_of_the_system_keeps_what_was_promised_too() {
    let records = history(7, 60);
    let states = states(&records);
    let lost = Left { bytes: LeftBytes::Lost, names: false };
    let mut points = 0;
    for fault in [Fault::Late, Fault::Short, Fault::PowerCut(Moment::After, lost)] {
        for at in (1..110).step_by(13) {
            let folder = tempfile::tempdir().unwrap();
            let path = &folder.path().join("s.json");
            let bench =
                Bench { path, records: &records, states: &states, omits: Omits::Nothing, aloud: false };
            let (fired, _) =
                run(&bench, RealDisk::new, at, fault).unwrap_or_else(|e| panic!("{fault:?} {at}: {e}"));
            points += usize::from(fired);
        }
    }
    assert!(points > 15, "{points}");
}

/// Ends by itself before, in or after an operation, if a parent process asks for it.
#[test]
fn child_that_aborts() {
    let Ok(asked) = std::env::var("RHUMB_TEST_ABORT") else { return };
    let (path, at) = asked.split_once('@').unwrap();
    let at: u64 = at.parse().unwrap();
    let moment = [Moment::Before, Moment::Half, Moment::After][at as usize % 3];
    let records = history(7, 60);
    let states = states(&records);
    let path = Path::new(path);
    let bench = Bench { path, records: &records, states: &states, omits: Omits::Nothing, aloud: true };
    run(&bench, RealDisk::new, at, Fault::Abort(moment)).unwrap();
}

#[test]
fn a_process_that_really_ends_leaves_what_was_promised() {
    let records = history(7, 60);
    let states = states(&records);
    for at in [2, 5, 11, 16, 24, 30, 37, 43, 50, 60, 71, 79] {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("s.json");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::faults::child_that_aborts", "--nocapture"])
            .env("RHUMB_TEST_ABORT", format!("{}@{at}", path.display()))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(!child.status.success(), "it ends at operation {at}");
        let said = String::from_utf8(child.stdout).unwrap();
        let promised =
            said.lines().filter_map(|l| l.strip_prefix("promised ")).filter_map(|n| n.parse().ok());
        let bounds = Bounds { promised: promised.max().unwrap_or(0), tried: records.len() };
        let bench = Bench { path, records: &records, states: &states, omits: Omits::Nothing, aloud: false };
        recovers(&bench, RealDisk::new, bounds).unwrap_or_else(|e| panic!("operation {at}: {e}"));
    }
}

#[test]
fn a_reader_without_the_lock_always_reads_a_state() {
    let records = history(7, 60);
    let states = states(&records);
    let bench = Bench {
        path: Path::new(PATH),
        records: &records,
        states: &states,
        omits: Omits::Nothing,
        aloud: false,
    };
    let folder = Folder::watched();
    run(&bench, || folder.disk(), 0, Fault::Device).unwrap();
    let seen = folder.seen();
    let (mut compared, mut reversed) = (0, 0);
    for first in 0..seen.len() {
        let mut before = 0;
        for second in first..seen.len() {
            let mixed = |times: [usize; 2]| {
                let mut disk = MovingDisk { seen: &seen, times: &times, reads: 0 };
                read(&mut disk, Path::new(PATH), "s.json")
            };
            // The journal first: whatever happens before the snapshot is read, it is a state, and a reader never goes back.
            if let Some(state) = mixed([first, second]).unwrap_or_else(|e| panic!("{first}, {second}: {e}")) {
                assert_eq!(state, states[state.serial as usize]);
                assert!(state.serial >= before);
                before = state.serial;
            }
            compared += 1;
            // The snapshot first would not do.
            reversed += usize::from(mixed([second, first]).is_err());
        }
    }
    assert!(compared > 900 && reversed > 100, "{compared} {reversed}");
}

#[test]
fn a_reader_looks_again_while_a_writer_changes_what_it_reads() {
    let records = history(7, 3);
    let states = states(&records);
    let folder = Folder::watched();
    opened(Box::new(folder.disk()), Path::new(PATH)).unwrap().append(&records).unwrap();
    let seen = folder.seen();
    let whole = seen.last().unwrap().clone();
    // Half of it as it was before another process cut off a torn write, half of it as it was after the next.
    let mut mixed = whole.clone();
    mixed.get_mut(Path::new("s.json.journal")).unwrap()[200] ^= 1;
    let seen = [mixed, whole];
    let at =
        |times: &[usize]| read(&mut MovingDisk { seen: &seen, times, reads: 0 }, Path::new(PATH), "s.json");
    assert!(at(&[0]).is_err());
    assert_eq!(at(&[0, 0, 1, 1]), Ok(states.last().cloned()));
}
