//! Ctrl-C at any time of an apply, once or twice: nothing is lost.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rhumb::state::{Intent, State};
use rhumb_api::{Observed, ResourceKind, Token};
use rhumb_sim::{Durations, Span, World};

use super::kills::mixed;
use super::process::Sim;
use super::stage::{Clouds, Keeping, STORIES, Stage};
use super::tables::Table;
use super::wrong::{Kind, Wrong};
use crate::cli::rhumb;
use crate::extent::pick;

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

/// What is there, after Ctrl-C, that the record does not know as what it is.
fn unknown(sim: &Sim, recorded: Option<&State>, again: bool) -> Vec<Wrong> {
    let known = |seen: &Observed| {
        recorded.is_some_and(|state| {
            // Who is asked once waits for the answers to what was sent.
            let of = |intent: &Intent| again || intent.accepted.as_ref() == Some(&seen.handle.id);
            state.resources.values().any(|thing| thing.handle().as_ref() == Some(&seen.handle))
                || state.spares.iter().any(|spare| spare.thing.handle().as_ref() == Some(&seen.handle))
                || state.open.get(seen.token().expect("tagged")).is_some_and(of)
        })
    };
    let unknown = sim.inventory().into_iter().filter(|seen| !known(seen));
    unknown.map(|seen| Kind::Leaked.is(format!("{} is not recorded as what it is", seen.handle))).collect()
}

/// What came of a point.
struct Point {
    story: usize,
    twice: bool,
    /// It was cut short at all.
    cut: bool,
    wrong: Vec<Wrong>,
}

/// One point. Something may happen behind everybody's back once the program has ended.
fn point(sim: &Sim, seed: u64, meanwhile: impl FnOnce(&Sim)) -> Point {
    let story = (seed % STORIES.len() as u64) as usize;
    let at = mixed(seed) % LATEST_MS;
    let again = (mixed(seed + 1000) % 2 == 1).then(|| mixed(seed + 2000) % 400);
    let stage = Stage::set(&STORIES[story], Keeping::File, Clouds::Exact, sim);
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
        wrong.push(Kind::Otherwise.is(format!("it ended with {code:?}")));
    }
    meanwhile(sim);
    wrong.extend(unknown(sim, stage.recorded().as_ref(), again.is_some()));
    sim.set_world(stage.world());
    wrong.extend(stage.go_on());
    let told = format!("{} at {at} ms, again {again:?} (seed {seed})", STORIES[story].name);
    let wrong = wrong.into_iter().map(|w| w.kind.is(format!("{told}: {}", w.what))).collect();
    Point { story, twice: again.is_some(), cut: code != Some(0), wrong }
}

/// So many points, on so many clouds at once: they wait most of the time.
fn tried(points: u64, clouds: usize) -> Vec<Point> {
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..clouds {
            scope.spawn(|| {
                let served = Served::start();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= points {
                        break;
                    }
                    let point = point(&served.sim, seed, |_| {});
                    done.lock().expect("no other has panicked").push(point);
                }
            });
        }
    });
    done.into_inner().expect("no other has panicked")
}

/// How many were cut short; panics if anything was wrong.
fn cut_short(all: &[Point]) -> usize {
    let wrong: Vec<&Wrong> = all.iter().flat_map(|point| &point.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    all.iter().filter(|point| point.cut).count()
}

/// `RHUMB_INTERRUPTS=200` tries so many times.
#[test]
fn interrupted_once_or_twice_at_any_time_it_loses_nothing() {
    let points =
        std::env::var("RHUMB_INTERRUPTS").ok().map_or(pick(3, 12, 12), |n| n.parse().expect("a number"));
    let all = tried(points, 3);
    let cut = cut_short(&all);
    println!("{cut} of {points} were cut short");
    assert!(cut > all.len() / 2, "{cut} of {points} were cut short");
}

/// Points of the table.
const TOLD: u64 = 700;

/// The table of `tests/it/apply/INTERRUPTS.md`, where the command is.
#[test]
#[ignore = "a quarter of an hour"]
fn interrupted_at_hundreds_of_times() {
    let table = Table::named_by("RHUMB_INTERRUPTS_TABLE");
    let all = tried(TOLD, 5);
    let mut rows = format!("| story | Ctrl-C | points | cut short | {} |\n", Kind::head());
    rows.push_str(&format!("|{}\n", "---|".repeat(4 + Kind::ALL.len())));
    for (story, twice) in (0..STORIES.len()).flat_map(|story| [(story, false), (story, true)]) {
        let here: Vec<&Point> =
            all.iter().filter(|point| (point.story, point.twice) == (story, twice)).collect();
        let wrong: Vec<Wrong> = here.iter().flat_map(|point| point.wrong.iter().cloned()).collect();
        let (name, times) = (STORIES[story].name, if twice { "twice" } else { "once" });
        let (points, cut) = (here.len(), here.iter().filter(|point| point.cut).count());
        rows.push_str(&format!("| {name} | {times} | {points} | {cut} | {} |\n", Kind::row(&wrong)));
    }
    print!("{rows}");
    let cut = all.iter().filter(|point| point.cut).count();
    if let Some(table) = table {
        let wrong: Vec<Wrong> = all.iter().flat_map(|point| point.wrong.iter().cloned()).collect();
        let told = format!("{} points, {cut} of them cut short: {}.", all.len(), Kind::told(&wrong));
        table.write(&told, &rows);
    }
    assert_eq!(cut_short(&all), cut);
    assert!(all.len() >= 500 && cut >= 300, "{cut} of {}", all.len());
}

/// What somebody does meanwhile is seen: what goes, what is changed, and what is there that nobody recorded.
#[test]
fn what_happens_meanwhile_is_seen() {
    let served = Served::start();
    // Everything of it is there before it begins.
    let updated = STORIES.iter().position(|story| story.name == "update").expect("a story") as u64;
    let fleet = |sim: &Sim| {
        let all = sim.inventory();
        all.into_iter().find(|seen| seen.handle.kind == ResourceKind::Fleet).expect("a fleet")
    };
    let seen = |what: &dyn Fn(&Sim), told: &[&[Kind]]| {
        let wrong = point(&served.sim, updated, |sim| what(sim)).wrong;
        for kinds in told {
            assert!(wrong.iter().any(|w| kinds.contains(&w.kind)), "{kinds:?}: {wrong:?}");
        }
    };
    assert!(point(&served.sim, updated, |_| {}).wrong.is_empty());
    // Whoever goes on is told that it is gone, or does not look and believes that it is there.
    let gone = |sim: &Sim| sim.vanish(&fleet(sim).handle);
    seen(&gone, &[&[Kind::Manual, Kind::Forgotten]]);
    let other = |sim: &Sim| {
        let mut other = fleet(sim);
        other.handle.id.push('x');
        other.tags.as_mut().expect("tagged").token = Token::parse("0".repeat(32)).expect("a token");
        sim.plant(&other);
    };
    seen(&other, &[&[Kind::Leaked], &[Kind::Duplicated]]);
    // What is made is changed by nobody afterwards; there must be something by then.
    let hit = std::cell::Cell::new(false);
    let changed = |sim: &Sim| {
        if let Some(made) = sim.inventory().pop() {
            sim.set_attribute(&made.handle, "workload", Some("services.other".into()));
            hit.set(true);
        }
    };
    let creating = (0..).step_by(STORIES.len()).filter(|seed| mixed(*seed) % LATEST_MS > LATEST_MS / 2);
    for seed in creating.take(20) {
        let wrong = point(&served.sim, seed, changed).wrong;
        if hit.get() {
            let told = |w: &Wrong| w.kind == Kind::Otherwise && w.what.contains("is not as it is wanted");
            assert!(wrong.iter().any(told), "{wrong:?}");
            break;
        }
    }
    assert!(hit.get(), "nothing was made in time");
}
