//! Ctrl-C at any time of an apply, once or twice: nothing is lost.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rhumb_sim::{Durations, Span, World};

use super::kills::mixed;
use super::process::Sim;
use super::stage::{Keeping, STORIES, Stage};
use crate::cli::rhumb;

/// The simulated cloud as a program of its own.
struct Served {
    program: Child,
    sim: Sim,
}

impl Served {
    fn start() -> Self {
        let mut program = rhumb();
        program.args(["sim", "serve", "--listen", "127.0.0.1:0"]);
        let mut program = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        BufReader::new(program.stdout.take().expect("piped")).read_line(&mut line).expect("told");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("its address");
        Served { program, sim: Sim::at(url.to_owned()) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// One in which every apply of a story takes longer than [`LATEST_MS`]: whatever it does first takes as long.
fn slow(world: &World) -> World {
    let (latency, long) = (Span { min: 10, max: 60 }, Span { min: 250, max: 500 });
    let durations = Durations { make: long, change: long, remove: long };
    let all: BTreeMap<_, _> = world.durations.keys().map(|kind| (*kind, durations)).collect();
    World { latency_ms: latency, durations: all, ..world.clone() }
}

/// The latest time of the first Ctrl-C.
const LATEST_MS: u64 = 1200;

fn interrupt(child: &Child) {
    // The second one may find that it has ended.
    let mut kill = Command::new("kill");
    kill.args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status().expect("sent");
}

/// What is wrong after one of the points, and whether it was cut short at all.
fn point(sim: &Sim, seed: u64) -> (bool, Vec<String>) {
    let story = &STORIES[(seed % STORIES.len() as u64) as usize];
    let at = mixed(seed) % LATEST_MS;
    let again = (mixed(seed + 1000) % 2 == 1).then(|| mixed(seed + 2000) % 400);
    let stage = Stage::set(story, Keeping::File, sim);
    sim.set_world(&slow(stage.world()));
    let mut child = stage.begin();
    std::thread::sleep(Duration::from_millis(at));
    interrupt(&child);
    if let Some(gap) = again {
        std::thread::sleep(Duration::from_millis(gap));
        interrupt(&child);
    }
    let code = child.wait().expect("ended").code();
    let mut wrong = Vec::new();
    // None: it had not begun to listen.
    if !matches!(code, None | Some(0 | 1 | 130)) {
        wrong.push(format!("it ended with {code:?}"));
    }
    let recorded = stage.recorded();
    let known = |seen: &rhumb_api::Observed| {
        recorded.as_ref().is_some_and(|state| {
            let of = |intent: &rhumb::state::Intent| match again {
                None => intent.accepted.as_ref() == Some(&seen.handle.id),
                Some(_) => true,
            };
            state.resources.values().any(|thing| thing.handle().as_ref() == Some(&seen.handle))
                || state.spares.iter().any(|spare| spare.thing.handle().as_ref() == Some(&seen.handle))
                || state.open.get(&seen.tags.token).is_some_and(of)
        })
    };
    let unknown = sim.inventory().into_iter().filter(|seen| !known(seen));
    wrong.extend(unknown.map(|seen| format!("{} is not recorded as what it is", seen.handle)));
    sim.set_world(stage.world());
    wrong.extend(stage.go_on());
    let told = format!("{} at {at} ms, again {again:?} (seed {seed})", story.name);
    (code != Some(0), wrong.into_iter().map(|what| format!("{told}: {what}")).collect())
}

/// `RHUMB_INTERRUPTS=200` tries so many times.
#[test]
fn interrupted_once_or_twice_at_any_time_it_loses_nothing() {
    let points = std::env::var("RHUMB_INTERRUPTS").ok().map_or(12, |n| n.parse().expect("a number"));
    let (next, done) = (AtomicU64::new(0), Mutex::new((0, Vec::new())));
    std::thread::scope(|scope| {
        // They wait most of the time.
        for _ in 0..3 {
            scope.spawn(|| {
                let served = Served::start();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= points {
                        break;
                    }
                    let (cut, wrong) = point(&served.sim, seed);
                    let mut done = done.lock().expect("no other has panicked");
                    done.0 += u64::from(cut);
                    done.1.extend(wrong);
                }
            });
        }
    });
    let (cut, wrong) = done.into_inner().expect("no other has panicked");
    println!("{cut} of {points} were cut short");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(cut > points / 2, "{cut} of {points} were cut short");
}
