//! The kill matrix: the real program, killed at every boundary of its calls and of its journal, in every kind of story, with its state in a
//! file and in a bucket.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rhumb_sim::{Rule, Verb, What, World};

use super::process::Sim;
use super::stage::{Keeping, STORIES, Stage, Story};
use super::wire::{Moment, Wire};
use crate::cli::run;

/// What a story is told with: a cloud, and a wire to the bucket if there is one that can be held.
struct Bench {
    sim: Sim,
    wire: Option<Wire>,
}

impl Bench {
    fn new() -> Self {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
        Bench { sim: Sim::start(), wire: endpoint.as_deref().map(Wire::to) }
    }
}

fn ended(child: &mut Child) {
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// The program, and a file of what it says.
fn heard(command: &mut Command) -> (Child, File) {
    let said = tempfile::tempfile().expect("a file");
    let command =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone().expect("the same"));
    (command.spawn().expect("started"), said)
}

/// It came to its end; where it did not, that is no proof that there are no more boundaries.
fn beyond(child: &mut Child, mut said: File) -> Option<Vec<String>> {
    let status = child.wait().expect("ended");
    if status.success() {
        return None;
    }
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).expect("read");
    Some(vec![format!("it ended by itself, {status}: {text}")])
}

/// A kind of boundary, and the side of it.
#[derive(Clone, Debug)]
enum Cut {
    /// SIGKILL while a call is held, before or after its effect.
    Call(Verb, What),
    /// The process ends without flushing anything at an operation of its disk, or that operation fails.
    Disk(&'static str),
    /// SIGKILL while an object of the journal in a bucket is put.
    Put(Moment),
}

impl Cut {
    const DISK: [&str; 5] = ["abort-before", "abort-half", "abort-after", "no-space", "short"];
    const PUTS: [Moment; 3] = [Moment::Before, Moment::After, Moment::Late];
    /// Operations in a row that a failure of a kind may not concern.
    const SPARED: u64 = 6;

    fn calls(verbs: &[Verb]) -> impl Iterator<Item = Cut> {
        verbs.iter().flat_map(|verb| [What::HoldBefore, What::HoldAfter].map(|what| Cut::Call(*verb, what)))
    }

    /// A number up to which most stories have boundaries of the kind.
    const fn usual(&self) -> u64 {
        match self {
            Cut::Call(..) => 5,
            Cut::Disk(_) => 40,
            Cut::Put(_) => 12,
        }
    }

    /// The program is killed at the `nth` of its boundaries of this kind: what was wrong at once, and `None` if it has fewer.
    fn kill(&self, stage: &Stage<'_>, bench: &Bench, nth: u64) -> Option<Vec<String>> {
        let mut wrong = Vec::new();
        match self {
            Cut::Call(verb, what) => {
                let (nth, what) = (Some(nth), what.clone());
                let rule = Rule { nth, verb: Some(*verb), kind: None, address: None, times: Some(1), what };
                bench.sim.set_world(&World { rules: vec![rule], ..stage.world().clone() });
                let (mut child, said) = heard(&mut stage.applying());
                if !bench.sim.holds(&mut child) {
                    return beyond(&mut child, said);
                }
                ended(&mut child);
                if stage.recorded().is_none_or(|state| state.open.is_empty()) {
                    wrong.push("a call was sent before it was recorded".to_owned());
                }
            }
            Cut::Disk(kind) => {
                let (out, err, code) = run(stage.applying().env("RHUMB_DISK_FAULT", format!("{nth}:{kind}")));
                match code {
                    0 => return None,
                    -1 if kind.starts_with("abort") => {}
                    1 if !kind.starts_with("abort") => {}
                    _ => wrong.push(format!("it ended with {code}: {out}{err}")),
                }
            }
            Cut::Put(moment) => {
                let wire = bench.wire.as_ref().expect("a bucket whose endpoint is in AWS_ENDPOINT_URL");
                wire.hold(nth, *moment);
                let (mut child, said) = heard(stage.applying().env("AWS_ENDPOINT_URL", &wire.url));
                let held = wire.holds(&mut child);
                if held {
                    ended(&mut child);
                }
                if *moment != Moment::Late || !held {
                    wire.let_go();
                }
                if !held {
                    return beyond(&mut child, said);
                }
            }
        }
        Some(wrong)
    }

    /// Columns of the table: boundary, and when.
    fn told(&self) -> String {
        match self {
            Cut::Call(verb, What::HoldBefore) => format!("call: {verb:?} | before its effect"),
            Cut::Call(verb, _) => format!("call: {verb:?} | after its effect"),
            Cut::Disk("abort-before") => "journal: file operation | before it".to_owned(),
            Cut::Disk("abort-half") => "journal: file operation | half of it is written".to_owned(),
            Cut::Disk("abort-after") => "journal: file operation | after it".to_owned(),
            Cut::Disk(fails) => format!("journal: file operation | not killed, it fails: {fails}"),
            Cut::Put(Moment::Before) => "journal: put of an object | before it".to_owned(),
            Cut::Put(Moment::After) => "journal: put of an object | after it".to_owned(),
            Cut::Put(Moment::Late) => "journal: put of an object | it arrives when all is over".to_owned(),
        }
    }
}

/// A row of the matrix.
#[derive(Clone, Debug)]
struct Row {
    story: usize,
    keeping: Keeping,
    cut: Cut,
}

/// Which points of a row are tried.
#[derive(Clone, Copy, Debug)]
enum Points {
    All,
    /// One, another one for each seed.
    One(u64),
}

impl Row {
    /// How many points there were, and what was wrong.
    fn run(&self, bench: &Bench, which: Points) -> (u64, Vec<String>) {
        let (mut points, mut wrong, mut spared) = (0, Vec::new(), 0);
        let first = match which {
            Points::All => 1,
            Points::One(seed) => 1 + mixed(seed) % self.cut.usual(),
        };
        for nth in first.. {
            let stage = Stage::set(&STORIES[self.story], self.keeping, &bench.sim);
            if let Some(mut more) = self.cut.kill(&stage, bench, nth) {
                (points, spared) = (points + 1, 0);
                more.extend(stage.go_on());
                if let (Cut::Put(Moment::Late), Some(wire)) = (&self.cut, &bench.wire) {
                    wire.let_go();
                    more.extend(stage.faults());
                }
                let name = STORIES[self.story].name;
                wrong.extend(
                    more.into_iter().map(|w| format!("{name} {:?} {:?} {nth}: {w}", self.keeping, self.cut)),
                );
            } else {
                spared += 1;
                if !matches!(self.cut, Cut::Disk("no-space" | "short")) || spared == Cut::SPARED {
                    break;
                }
            }
            // What goes wrong again and again has said enough.
            if matches!(which, Points::One(_)) || wrong.len() > 20 {
                break;
            }
        }
        (points, wrong)
    }
}

/// Neighbouring seeds are far from each other.
pub fn mixed(seed: u64) -> u64 {
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// Runs the rows on so many clouds at once; the table, its points, and what was wrong.
fn matrix(rows: &[Row], clouds: usize, sample: bool) -> (BTreeMap<usize, String>, u64, Vec<String>) {
    let next = AtomicUsize::new(0);
    let all = Mutex::new((BTreeMap::new(), 0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..clouds {
            scope.spawn(|| {
                let bench = Bench::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { break };
                    let which = if sample { Points::One(at as u64) } else { Points::All };
                    let (points, wrong) = row.run(&bench, which);
                    let (table, sum, faults) = &mut *all.lock().expect("no other has panicked");
                    if points > 0 {
                        let state = if row.keeping == Keeping::File { "local" } else { "S3" };
                        let story = STORIES[row.story].name;
                        let told = format!(
                            "| {story} | {state} | {} | {points} | {} |",
                            row.cut.told(),
                            wrong.len()
                        );
                        println!("{told}");
                        table.insert(at, told);
                    }
                    *sum += points;
                    faults.extend(wrong);
                }
            });
        }
    });
    all.into_inner().expect("no other has panicked")
}

fn rows(keeping: Keeping, cuts: impl Fn(&Story) -> Vec<Cut>) -> Vec<Row> {
    let of = |(story, told)| cuts(told).into_iter().map(move |cut| Row { story, keeping, cut });
    STORIES.iter().enumerate().flat_map(of).collect()
}

fn disk() -> impl Iterator<Item = Cut> {
    Cut::DISK.map(Cut::Disk).into_iter()
}

fn puts() -> impl Iterator<Item = Cut> {
    Cut::PUTS.map(Cut::Put).into_iter()
}

#[test]
fn killed_at_a_sample_of_the_boundaries_of_every_story_it_goes_on() {
    let rows = rows(Keeping::File, |story| Cut::calls(story.verbs).chain(disk()).collect());
    let (table, points, wrong) = matrix(&rows, 4, true);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table:#?}");
    assert!(points as usize > rows.len() / 2, "{points}\n{table:#?}");
}

/// Some calls, and some puts where the wire leads to the bucket; how many points there were.
pub fn sample_in_the_bucket() -> u64 {
    let wired = std::env::var_os("AWS_ENDPOINT_URL").is_some();
    let cuts = |story: &Story| Cut::calls(&story.verbs[..1]).chain(puts().filter(|_| wired)).collect();
    let rows: Vec<Row> = rows(Keeping::Bucket, cuts).into_iter().step_by(4).collect();
    let (table, points, wrong) = matrix(&rows, 3, true);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table:#?}");
    points
}

/// The whole matrix; its table is in tests/bench/KILLS.md.
#[test]
#[ignore = "a quarter of an hour, and it needs an emulator: tests/state/run --kills tests/bench/KILLS.md"]
fn the_whole_kill_matrix() {
    let verbs = [Verb::Create, Verb::Update, Verb::Delete];
    let mut local = rows(Keeping::File, |_| Cut::calls(&verbs).chain(disk()).collect());
    let mut remote = rows(Keeping::Bucket, |_| Cut::calls(&verbs).chain(puts()).collect());
    // A part of it, for whoever looks for the cause of something: `RHUMB_KILLS_ONLY=S3/move,S3/replace`; no table is written then.
    let only = std::env::var("RHUMB_KILLS_ONLY").ok();
    if let Some(only) = &only {
        let named = |state: &str, row: &Row| {
            only.split(',').any(|one| one == format!("{state}/{}", STORIES[row.story].name))
        };
        local.retain(|row| named("local", row));
        remote.retain(|row| named("S3", row));
    }
    // Those in the bucket wait for leases most of the time.
    let (local, remote) = std::thread::scope(|scope| {
        let remote = scope.spawn(|| matrix(&remote, 6, false));
        (matrix(&local, 5, false), remote.join().expect("not panicked"))
    });
    let wrong: Vec<String> = local.2.into_iter().chain(remote.2).collect();
    let lines: Vec<String> = local.0.into_values().chain(remote.0.into_values()).collect();
    let table = format!(
        "| story | state | boundary | killed | points | wrong |\n|---|---|---|---|---|---|\n{}\n\n{} points.\n",
        lines.join("\n"),
        local.1 + remote.1
    );
    if let Some(path) = std::env::var_os("RHUMB_KILLS_TABLE").filter(|_| only.is_none()) {
        let head = std::fs::read_to_string(&path).unwrap_or_default();
        let head = head.split("\n| story").next().unwrap_or_default().trim_end();
        std::fs::write(&path, format!("{head}\n\n{table}")).expect("written");
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
    assert!(only.is_some() || local.1 + remote.1 >= 1000, "{table}");
}
