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
use super::stage::{Clouds, Keeping, STORIES, Stage, Story};
use super::tables::Table;
use super::wire::{Moment, Wire};
use super::wrong::{Kind, Wrong};
use crate::cli::run;
use crate::extent::one_in;

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
fn beyond(child: &mut Child, mut said: File) -> Option<Vec<Wrong>> {
    let status = child.wait().expect("ended");
    if status.success() {
        return None;
    }
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).expect("read");
    Some(vec![Kind::Otherwise.is(format!("it ended by itself, {status}: {text}"))])
}

/// What happens to the program at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// SIGKILL.
    Killed,
    /// Nothing is written any more, and it tells so.
    Failed,
}

/// A kind of boundary, and the side of it.
#[derive(Clone, Debug)]
enum Cut {
    /// SIGKILL while a call is held, before or after its effect.
    Call(Verb, What),
    /// SIGKILL at an operation of the disk, or that operation fails.
    Disk(&'static str),
    /// SIGKILL while an object of the journal in a bucket is put.
    Put(Moment),
}

impl Cut {
    const DISK: [&str; 5] = ["kill-before", "kill-half", "kill-after", "no-space", "short"];
    const PUTS: [Moment; 3] = [Moment::Before, Moment::After, Moment::Late];
    /// Operations in a row that a failure of a kind may not concern.
    const SPARED: u64 = 6;

    fn ending(&self) -> Ending {
        match self {
            Cut::Call(..) | Cut::Put(_) => Ending::Killed,
            Cut::Disk(kind) if kind.starts_with("kill") => Ending::Killed,
            Cut::Disk(_) => Ending::Failed,
        }
    }

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
    fn kill(&self, stage: &Stage<'_>, bench: &Bench, nth: u64) -> Option<Vec<Wrong>> {
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
                    wrong.push(Kind::Otherwise.is("a call was sent before it was recorded"));
                }
            }
            Cut::Disk(kind) => {
                let (out, err, code) = run(stage.applying().env("RHUMB_DISK_FAULT", format!("{nth}:{kind}")));
                match (code, self.ending()) {
                    (0, _) => return None,
                    (-1, Ending::Killed) | (1, Ending::Failed) => {}
                    _ => wrong.push(Kind::Otherwise.is(format!("it ended with {code}: {out}{err}"))),
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
            Cut::Disk("kill-before") => "journal: file operation | before it".to_owned(),
            Cut::Disk("kill-half") => "journal: file operation | half of it is written".to_owned(),
            Cut::Disk("kill-after") => "journal: file operation | after it".to_owned(),
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
    clouds: Clouds,
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
    fn run(&self, bench: &Bench, which: Points) -> (u64, Vec<Wrong>) {
        let (mut points, mut wrong, mut spared) = (0, Vec::new(), 0);
        let first = match which {
            Points::All => 1,
            Points::One(seed) => 1 + mixed(seed) % self.cut.usual(),
        };
        for nth in first.. {
            let stage = Stage::set(&STORIES[self.story], self.keeping, self.clouds, &bench.sim);
            if let Some(mut more) = self.cut.kill(&stage, bench, nth) {
                (points, spared) = (points + 1, 0);
                more.extend(stage.go_on());
                if let (Cut::Put(Moment::Late), Some(wire)) = (&self.cut, &bench.wire) {
                    wire.let_go();
                    more.extend(stage.faults());
                }
                let at = format!("{} {:?} {nth}", self.named(), self.cut);
                wrong.extend(more.into_iter().map(|w| w.kind.is(format!("{at}: {}", w.what))));
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

impl Row {
    fn state(&self) -> &'static str {
        if self.keeping == Keeping::File { "local" } else { "S3" }
    }

    fn named(&self) -> String {
        let clouds = if self.clouds == Clouds::Exact { "" } else { "/lagging" };
        format!("{}/{}{clouds}", self.state(), STORIES[self.story].name)
    }

    /// A line of the table.
    fn told(&self, points: u64, wrong: &[Wrong]) -> String {
        let clouds = if self.clouds == Clouds::Exact { "tokens" } else { "no tokens, lists lag" };
        let (story, cut) = (STORIES[self.story].name, self.cut.told());
        format!("| {story} | {} | {clouds} | {cut} | {points} | {} |", self.state(), Kind::row(wrong))
    }
}

/// Neighbouring seeds are far from each other.
pub fn mixed(seed: u64) -> u64 {
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 29)
}

/// What came of some rows.
#[derive(Default)]
struct Told {
    /// By the places of the rows.
    lines: BTreeMap<usize, String>,
    points: BTreeMap<Ending, u64>,
    wrong: Vec<Wrong>,
}

impl Told {
    fn points(&self, endings: &[Ending]) -> u64 {
        endings.iter().filter_map(|ending| self.points.get(ending)).sum()
    }

    /// Processes that are dead at their point; one of which a write failed is not.
    fn died(&self) -> u64 {
        self.points(&[Ending::Killed])
    }

    fn all(&self) -> u64 {
        self.points.values().sum()
    }

    fn and(mut self, other: Told) -> Told {
        let after = self.lines.last_key_value().map_or(0, |(at, _)| at + 1);
        self.lines.extend(other.lines.into_iter().map(|(at, line)| (after + at, line)));
        for (ending, points) in other.points {
            *self.points.entry(ending).or_default() += points;
        }
        self.wrong.extend(other.wrong);
        self
    }

    fn in_words(&self) -> String {
        format!(
            "{} points: {} processes got SIGKILL, {} writes failed. Of all of them: {}.",
            self.all(),
            self.died(),
            self.points(&[Ending::Failed]),
            Kind::told(&self.wrong)
        )
    }

    fn table(&self) -> String {
        let lines: Vec<&str> = self.lines.values().map(String::as_str).collect();
        let head = format!("| story | state | cloud | boundary | when | points | {} |", Kind::head());
        let columns = head.matches(" | ").count() + 1;
        format!("{head}\n|{}\n{}\n", "---|".repeat(columns), lines.join("\n"))
    }
}

/// Runs the rows on so many clouds at once.
fn matrix(rows: &[Row], clouds: usize, sample: bool) -> Told {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Told::default());
    std::thread::scope(|scope| {
        for _ in 0..clouds {
            scope.spawn(|| {
                let bench = Bench::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(at) else { break };
                    let which = if sample { Points::One(at as u64) } else { Points::All };
                    let (points, wrong) = row.run(&bench, which);
                    let mut all = all.lock().expect("no other has panicked");
                    if points > 0 {
                        let told = row.told(points, &wrong);
                        println!("{told}");
                        all.lines.insert(at, told);
                        *all.points.entry(row.cut.ending()).or_default() += points;
                    }
                    all.wrong.extend(wrong);
                }
            });
        }
    });
    all.into_inner().expect("no other has panicked")
}

fn rows(keeping: Keeping, clouds: Clouds, cuts: impl Fn(&Story) -> Vec<Cut>) -> Vec<Row> {
    let of = |(story, told)| cuts(told).into_iter().map(move |cut| Row { story, keeping, clouds, cut });
    STORIES.iter().enumerate().flat_map(of).collect()
}

/// In files, those stories beside clouds that make it hard as well in which something is made.
fn in_files(calls: impl Fn(&Story) -> Vec<Verb>) -> Vec<Row> {
    let cuts = |story: &Story| -> Vec<Cut> { Cut::calls(&calls(story)).chain(disk()).collect() };
    let hard = |story: &Story| if HARD.contains(&story.name) { cuts(story) } else { Vec::new() };
    let (all, hard) = (rows(Keeping::File, Clouds::Exact, cuts), rows(Keeping::File, Clouds::Lagging, hard));
    all.into_iter().chain(hard).collect()
}

/// Stories that are told beside lagging clouds too: what is made is what such a cloud may make twice.
const HARD: [&str; 3] = ["create", "replace", "fallback"];

fn disk() -> impl Iterator<Item = Cut> {
    Cut::DISK.map(Cut::Disk).into_iter()
}

fn puts() -> impl Iterator<Item = Cut> {
    Cut::PUTS.map(Cut::Put).into_iter()
}

#[test]
fn killed_at_a_sample_of_the_boundaries_of_every_story_it_goes_on() {
    // Of every story, every boundary and every cloud.
    let strata =
        |row: &Row| [STORIES[row.story].name.to_owned(), row.cut.told(), format!("{:?}", row.clouds)];
    let rows = one_in(30, 1).cases(in_files(|story| story.verbs.to_vec()), strata);
    let told = matrix(&rows, 4, true);
    assert!(told.wrong.is_empty(), "{:#?}\n{}", told.wrong, told.table());
    assert!(told.all() as usize > rows.len() / 2, "{}\n{}", told.in_words(), told.table());
}

/// Some calls, and some puts where the wire leads to the bucket; how many points there were.
pub fn sample_in_the_bucket() -> u64 {
    let wired = std::env::var_os("AWS_ENDPOINT_URL").is_some();
    let cuts = |story: &Story| Cut::calls(&story.verbs[..1]).chain(puts().filter(|_| wired)).collect();
    let rows: Vec<Row> = rows(Keeping::Bucket, Clouds::Exact, cuts).into_iter().step_by(4).collect();
    let told = matrix(&rows, 3, true);
    assert!(told.wrong.is_empty(), "{:#?}\n{}", told.wrong, told.table());
    told.all()
}

/// The whole matrix; its table is in tests/bench/KILLS.md.
#[test]
#[ignore = "half an hour, and it needs an emulator: tests/state/run --kills tests/bench/KILLS.md"]
fn the_whole_kill_matrix() {
    let verbs = [Verb::Create, Verb::Update, Verb::Delete];
    let mut local = in_files(|_| verbs.to_vec());
    let mut remote = rows(Keeping::Bucket, Clouds::Exact, |_| Cut::calls(&verbs).chain(puts()).collect());
    // A part of it, for whoever looks for the cause of something: `RHUMB_KILLS_ONLY=S3/move,local/create/lagging`; no table is written
    // then.
    let only = std::env::var("RHUMB_KILLS_ONLY").ok();
    if let Some(only) = &only {
        let named = |row: &Row| only.split(',').any(|one| one == row.named());
        local.retain(named);
        remote.retain(named);
    }
    let table = if only.is_none() { Table::named_by("RHUMB_KILLS_TABLE") } else { None };
    // Those in the bucket wait for leases most of the time.
    let (local, remote) = std::thread::scope(|scope| {
        let remote = scope.spawn(|| matrix(&remote, 6, false));
        (matrix(&local, 5, false), remote.join().expect("not panicked"))
    });
    let told = local.and(remote);
    if let Some(table) = table {
        table.write(&told.in_words(), &told.table());
    }
    assert!(told.wrong.is_empty(), "{:#?}\n{}", told.wrong, told.table());
    assert!(only.is_some() || told.died() >= 1000, "{}", told.in_words());
}

/// Points are counted by what happened to the program, and only those at which it died are deaths.
#[test]
fn a_write_that_fails_is_no_death() {
    let mut told = Told::default();
    for (n, cut) in [Cut::Call(Verb::Create, What::HoldBefore), Cut::Put(Moment::Late)]
        .into_iter()
        .chain(disk())
        .enumerate()
    {
        *told.points.entry(cut.ending()).or_default() += 10_u64.pow(n as u32);
        told.lines.insert(n, cut.told());
    }
    assert_eq!(told.points(&[Ending::Failed]), 1_100_000);
    assert_eq!((told.died(), told.all()), (11_111, 1_111_111));
    let other = Told { wrong: vec![Kind::Leaked.is("something")], ..Told::default() };
    let row = Row { story: 0, keeping: Keeping::File, clouds: Clouds::Lagging, cut: Cut::Disk("short") };
    let told = told.and(Told { lines: [(0, row.told(3, &other.wrong))].into(), ..other });
    assert_eq!(told.lines.len(), 8);
    assert_eq!(
        told.lines[&7].matches(" | ").count(),
        told.table().lines().next().expect("a head").matches(" | ").count()
    );
    assert!(told.in_words().contains("leaked 1, duplicated 0"), "{}", told.in_words());
}
