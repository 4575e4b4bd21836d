//! Large deployments: what planning and recording cost when clouds answer at once, and that it grows with what is done and not faster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhumb::apply::{Effect, Engine as _, Event, Machine, Options, Work};
use rhumb::plan::{self, Desired, Plan};
use rhumb::state::local::{LocalStore, Opened};
use rhumb::state::remote::{self, Remote, RemoteStore};
use rhumb::state::{Holder, Record, State, disk::RealDisk};
use rhumb_api::{
    Answer, Attributes, Call, Handle, Observed, Order, Reply, Resource, ResourceAddr, Status, Tags, Token,
};

use super::deployment::Region;
use super::tables::Table;
use crate::diff::between;
use crate::remote::shelf::{Between, Shelf, Watched};

/// Services of five resources each.
fn wanted(services: usize, range: u8) -> Desired {
    let region = |n: usize| Region { range, ..Region::new(&format!("services.s{n:05}"), "eu-west-1") };
    (0..services).flat_map(|n| region(n).wanted()).collect()
}

/// A cloud that does what it is asked at once.
#[derive(Default)]
struct Prompt {
    made: u64,
}

impl Prompt {
    fn answer(&mut self, call: &Call) -> Answer {
        let seen = |handle: Handle, order: &Order| {
            let Order { tags, resource, .. } = order.clone();
            let Resource { attributes, .. } = resource;
            Reply::One(Some(Observed {
                handle,
                tags: Some(tags),
                attributes,
                status: Status::Ready,
                running: None,
                healthy: None,
                outputs: BTreeMap::new(),
            }))
        };
        Ok(match call {
            Call::Create(order) => {
                self.made += 1;
                let Resource { kind, cloud, region, .. } = &order.resource;
                let (cloud, region, id) = (*cloud, region.clone(), format!("{kind}-{:08x}", self.made));
                seen(Handle { cloud, region, kind: *kind, id }, order)
            }
            Call::Update(handle, order) => seen(handle.clone(), order),
            Call::Delete(_) => Reply::One(None),
            // Before something goes, whether machines serve is asked.
            Call::Read(handle) => {
                let token = Token::parse("0".repeat(32)).expect("a token");
                let address = ResourceAddr::parse("services.any").expect("an address");
                Reply::One(Some(Observed {
                    handle: handle.clone(),
                    tags: Some(Tags { lineage: "any".into(), address, token }),
                    attributes: Attributes::default(),
                    status: Status::Ready,
                    running: None,
                    healthy: Some(u32::MAX),
                    outputs: BTreeMap::new(),
                }))
            }
            Call::List(_) => panic!("nothing is unknown: {call:?}"),
        })
    }
}

/// What an apply cost.
struct Cost {
    steps: usize,
    /// From the first event to the last, without the cloud.
    time: Duration,
    /// What was added to the journal.
    bytes: u64,
}

/// Applies a plan as `apply::drive` does, with groups of records and a cloud that answers at once; the time that the cloud took.
fn driven(state: State, plan: &Plan, append: &mut dyn FnMut(&[Record])) -> Duration {
    let order: Vec<_> = plan.steps.iter().map(|step| step.addr.clone()).collect();
    let digest = plan::file::digest_of(plan);
    let from = plan.prior.as_ref().map(|prior| prior.serial);
    let at = "2026-11-25T00:00:00Z".to_owned();
    let begin = Record::Begin { plan: digest.clone(), from, by: "a@b".into(), at };
    let work = Work {
        plan: digest,
        from,
        changes: &plan.changes,
        standbys: &[],
        apart: true,
        order: &order,
        artifacts: &[],
        rollouts: &[],
        dips: &[],
    };
    let mut machine = Machine::new(state, work, begin, Options::new([].into()));
    let mut cloud = Prompt::default();
    let mut events = vec![Event::Start];
    let mut elsewhere = Duration::ZERO;
    loop {
        let (mut records, mut last, mut sends, mut summary) = (Vec::new(), None, Vec::new(), None);
        for effect in std::mem::take(&mut events).into_iter().flat_map(|event| machine.on(event)) {
            match effect {
                Effect::Write { number, records: more } => {
                    records.extend(more);
                    last = Some(number);
                }
                Effect::Send { number, call } => sends.push((number, call)),
                Effect::Finish(end) => summary = Some(end),
                Effect::Wait { .. } => panic!("nothing is waited for"),
                Effect::Tell(_) => {}
            }
        }
        if let Some(number) = last {
            append(&records);
            events.push(Event::Written(number));
        }
        let then = Instant::now();
        events.extend(sends.into_iter().map(|(number, call)| Event::Answered(number, cloud.answer(&call))));
        elsewhere += then.elapsed();
        if let Some(summary) = summary {
            assert!(summary.complete(), "{:?}", summary.failed);
            return elsewhere;
        }
    }
}

/// The same on a state in a file.
fn applied(store: &mut LocalStore, plan: &Plan, folder: &std::path::Path) -> Cost {
    let journal = folder.join("state.json.journal");
    let length = || std::fs::metadata(&journal).map_or(0, |m| m.len());
    let (began, before) = (Instant::now(), length());
    let state = store.state().clone();
    let elsewhere = driven(state, plan, &mut |records| store.append(records).expect("recorded"));
    Cost { steps: plan.steps.len(), time: began.elapsed() - elsewhere, bytes: length() - before }
}

/// Requests to a store of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Requests {
    /// Groups of records, each durable before the calls that they are about.
    groups: u64,
    /// All, from taking the lease to letting it go: the head, the log, the lease, a version.
    all: u64,
}

/// What it takes to make so many services, to make them anew, and to remove them, each by a process of its own.
fn requests(services: usize) -> [Requests; 3] {
    let between_us = Arc::new(Between::default());
    let objects = Watched(Arc::new(Shelf::new()), Arc::clone(&between_us));
    let remote = Remote::new(Arc::new(objects), "p", "s3://acme/state");
    let holder = Holder { by: "a@b".into(), at: "2026-11-25T00:00:00Z".into() };
    let stories = [wanted(services, 64), wanted(services, 65), Desired::new()];
    stories.map(|wanted| {
        let before = between_us.requests();
        let opened = RemoteStore::open(&remote, &holder, &remote::Options::default()).expect("opened");
        let mut store = match opened {
            remote::Opened::Recorded(store) => store,
            remote::Opened::Nothing(vacant) => vacant.create("0123456789abcdef".into(), true).expect("made"),
        };
        let state = store.state().clone();
        let prior = Some(&state).filter(|state| state.serial > 0);
        let plan = between(prior, &wanted);
        let mut groups = 0;
        driven(state.clone(), &plan, &mut |records| {
            groups += 1;
            store.append(records).expect("recorded");
        });
        store.compact().expect("a version");
        drop(store);
        Requests { groups, all: between_us.requests() - before }
    })
}

/// As many things as are under way at once share a request, however many there are; the rest is the same for a thousand as for ten.
#[test]
fn requests_grow_with_groups_of_what_is_done() {
    let (few, many) = (requests(20), requests(200));
    for (few, many) in few.into_iter().zip(many) {
        assert!(few.all - few.groups < 20, "{few:?}");
        assert!(many.all - many.groups < 20, "{many:?}");
        assert!(many.groups < 11 * few.groups, "{few:?} {many:?}");
    }
    // Of 1,000 things, ten at a time: what was recorded of one group and what is about to be done in the next go together.
    assert!(many[0].all < 400, "{many:?}");
}

fn store(folder: &std::path::Path) -> LocalStore {
    let holder = Holder { by: "a@b".into(), at: "2026-11-25T00:00:00Z".into() };
    let path = folder.join("state.json");
    match LocalStore::open(Box::new(RealDisk::new()), &path, "state.json", &holder).expect("opened") {
        Opened::Nothing(vacant) => vacant.create("0123456789abcdef".into(), true).expect("made"),
        Opened::Recorded(store) => store,
    }
}

/// The bytes of the journal for each step of making so many services, of making them anew, and of removing them.
fn bytes_a_step(services: usize) -> [f64; 3] {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let stories = [wanted(services, 64), wanted(services, 65), Desired::new()];
    stories.map(|wanted| {
        let prior = Some(store.state().clone()).filter(|state: &State| state.serial > 0);
        let cost = applied(&mut store, &between(prior.as_ref(), &wanted), folder.path());
        cost.bytes as f64 / cost.steps as f64
    })
}

/// A thing costs the journal as much in a large deployment as in a small one.
#[test]
fn the_journal_grows_with_what_is_done() {
    let (few, many) = (bytes_a_step(10), bytes_a_step(60));
    for (few, many) in few.into_iter().zip(many) {
        assert!(few > 100.0 && (many / few - 1.0).abs() < 0.1, "{few} {many}");
    }
}

/// The most memory that this process ever had, bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse().map_or(0, |kib: u64| kib * 1_024)
}

/// What a process of its own is told, and where it leaves its figures.
const PART: &str = "RHUMB_SCALE_PART";

/// One process of [`ten_thousand_resources`]: `plan` makes a plan of what is recorded and wanted and saves it, `apply` reads it and
/// applies it, `idle` does nothing.
#[test]
#[ignore = "a part of ten_thousand_resources"]
fn part() {
    let Ok(told) = std::env::var(PART) else { return };
    let told: Vec<&str> = told.split('|').collect();
    let [part, services, range, folder] = told[..] else { panic!("{told:?}") };
    let folder = std::path::Path::new(folder);
    if part == "idle" {
        return std::fs::write(folder.join("figures"), (peak() as f64 / 1e6).to_string()).expect("left");
    }
    let mut store = store(folder);
    let file = folder.join("a.plan");
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let figures = if part == "plan" {
        let services: usize = services.parse().expect("a number");
        let wanted = wanted(services, range.parse().expect("a number"));
        let prior = Some(store.state()).filter(|state| state.serial > 0);
        let began = Instant::now();
        let plan = between(prior, &wanted);
        let planned = began.elapsed();
        drop(wanted);
        let began = Instant::now();
        let text = plan::file::encode(&plan);
        std::fs::write(&file, &text).expect("saved");
        let bytes = text.len() as f64 / 1e6;
        vec![plan.steps.len() as f64, milliseconds(planned), milliseconds(began.elapsed()), bytes]
    } else {
        let began = Instant::now();
        let text = std::fs::read_to_string(&file).expect("a file");
        let mut plan = plan::file::decode("a.plan", &text).expect("a plan");
        drop(text);
        plan.share(store.state());
        let read = began.elapsed();
        let cost = applied(&mut store, &plan, folder);
        store.compact().expect("a snapshot");
        let each = if cost.steps == 0 { 0.0 } else { cost.bytes as f64 / cost.steps as f64 };
        vec![milliseconds(read), milliseconds(cost.time), each]
    };
    let figures = figures.into_iter().chain([peak() as f64 / 1e6]).map(|f| f.to_string());
    std::fs::write(folder.join("figures"), figures.collect::<Vec<_>>().join(" ")).expect("left");
}

/// The figures of a process of its own.
fn apart(part: &str, services: usize, range: u8, folder: &std::path::Path) -> Vec<f64> {
    let told = format!("{part}|{services}|{range}|{}", folder.display());
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "apply::scale::part", "--ignored", "--quiet"])
        .env(PART, told)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("a process");
    assert!(status.success(), "{part} of {services}");
    let figures = std::fs::read_to_string(folder.join("figures")).expect("figures");
    figures.split(' ').map(|figure| figure.parse().expect("a figure")).collect()
}

/// A row of the table.
struct Row {
    resources: usize,
    story: &'static str,
    steps: f64,
    plan_ms: f64,
    save_ms: f64,
    file_mb: f64,
    plan_mb: f64,
    read_ms: f64,
    apply_ms: f64,
    journal: f64,
    apply_mb: f64,
}

const HEAD: &str = "| resources | story | steps | plan ms | save ms | file MB | plan MB | read ms | apply ms | journal bytes a step | apply MB |
|---|---|---|---|---|---|---|---|---|---|---|
";

impl Row {
    fn told(&self) -> String {
        let Row { resources, story, steps, plan_ms, save_ms, file_mb, plan_mb, .. } = self;
        let Row { read_ms, apply_ms, journal, apply_mb, .. } = self;
        format!(
            "| {resources} | {story} | {steps} | {plan_ms:.0} | {save_ms:.0} | {file_mb:.1} | {plan_mb:.0} | {read_ms:.0} | {apply_ms:.0} | {journal:.0} | {apply_mb:.0} |\n"
        )
    }
}

/// What the largest of these deployments cost at most, beside what is asked for.
fn in_words(rows: &[Row], idle_mb: f64) -> String {
    let resources = rows.iter().map(|row| row.resources).max().unwrap_or(0);
    let most = |of: &dyn Fn(&Row) -> f64| {
        rows.iter().filter(|row| row.resources == resources).map(of).fold(0.0, f64::max)
    };
    let beside = |most: f64, below: f64| if most < below { "met" } else { "missed" };
    let (plan_ms, plan_mb) = (most(&|row| row.plan_ms), most(&|row| row.plan_mb));
    let (apply_ms, apply_mb) = (most(&|row| row.apply_ms), most(&|row| row.apply_mb));
    format!(
        "At {resources} resources planning takes at most {plan_ms:.0} ms (below 1,000: {}) and {plan_mb:.0} MB (below 100: {}), applying \
         {apply_ms:.0} ms (below 5,000: {}) and {apply_mb:.0} MB; a process of this program that does nothing has {idle_mb:.0} MB.",
        beside(plan_ms, 1e3),
        beside(plan_mb, 100.0),
        beside(apply_ms, 5e3)
    )
}

/// The figures of `tests/bench/SCALE.md`, where the command is.
#[test]
#[ignore = "figures"]
fn ten_thousand_resources() {
    let table = Table::named_by("RHUMB_SCALE_TABLE");
    let mut rows = Vec::new();
    for services in [20, 200, 2_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let stories = [
            ("create", services, 64),
            ("nothing to do", services, 64),
            ("replace", services, 65),
            ("destroy", 0, 65),
        ];
        for (story, wanted, range) in stories {
            let planned = apart("plan", wanted, range, folder.path());
            let [steps, plan_ms, save_ms, file_mb, plan_mb] = planned[..] else { panic!("{planned:?}") };
            let applied = apart("apply", wanted, range, folder.path());
            let [read_ms, apply_ms, journal, apply_mb] = applied[..] else { panic!("{applied:?}") };
            let resources = services * 5;
            let row = Row {
                resources,
                story,
                steps,
                plan_ms,
                save_ms,
                file_mb,
                plan_mb,
                read_ms,
                apply_ms,
                journal,
                apply_mb,
            };
            print!("{}", row.told());
            rows.push(row);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let idle = apart("idle", 0, 64, folder.path());
    let [made, anew, gone] = requests(200);
    let told = format!(
        "{} On a state in a bucket, applying 1,000 resources takes {} requests to make them, {} to make them anew and {} to remove them, of which {}, {} and {} are groups of records.",
        in_words(&rows, idle[0]),
        made.all,
        anew.all,
        gone.all,
        made.groups,
        anew.groups,
        gone.groups
    );
    println!("{told}");
    if let Some(table) = table {
        table.write(&told, &format!("{HEAD}{}", rows.iter().map(Row::told).collect::<String>()));
    }
}

/// The words are of the largest deployment, and say so where it takes too much.
#[test]
fn what_the_largest_takes_is_told() {
    let row = |resources, ms, mb| Row {
        resources,
        story: "create",
        steps: 5.0,
        plan_ms: ms,
        save_ms: 1.0,
        file_mb: 1.0,
        plan_mb: mb,
        read_ms: 1.0,
        apply_ms: 10.0 * ms,
        journal: 1.0,
        apply_mb: mb,
    };
    let told = in_words(&[row(5, 9e9, 9e9), row(10, 20.0, 101.0), row(10, 400.0, 30.0)], 23.0);
    assert!(told.starts_with("At 10 resources planning takes at most 400 ms (below 1,000: met)"), "{told}");
    assert!(told.contains("101 MB (below 100: missed), applying 4000 ms (below 5,000: met)"), "{told}");
    let columns = |line: &str| line.matches('|').count();
    assert!(HEAD.lines().all(|line| columns(line) == columns(&row(5, 1.0, 1.0).told())));
}
