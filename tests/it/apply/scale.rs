//! Large deployments: what planning and recording cost when clouds answer at once, and that it grows with what is done and not faster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rhumb::apply::{Effect, Engine as _, Event, Machine, Options, Work};
use rhumb::plan::{self, Desired, Plan};
use rhumb::state::local::{LocalStore, Opened};
use rhumb::state::{Holder, Record, State, disk::RealDisk};
use rhumb_api::{
    Answer, Attributes, Call, Handle, Observed, Order, Reply, Resource, ResourceAddr, Status, Tags, Token,
};

use super::deployment::Region;
use crate::diff::between;

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
                tags,
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
                    tags: Tags { lineage: "any".into(), address, token },
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

/// Applies a plan as `apply::drive` does, with groups of records and a cloud that answers at once.
fn applied(store: &mut LocalStore, plan: &Plan, folder: &std::path::Path) -> Cost {
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
    let journal = folder.join("state.json.journal");
    let length = || std::fs::metadata(&journal).map_or(0, |m| m.len());
    let (began, before) = (Instant::now(), length());
    let mut machine = Machine::new(store.state().clone(), work, begin, Options::new([].into()));
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
            store.append(&records).expect("recorded");
            events.push(Event::Written(number));
        }
        let then = Instant::now();
        events.extend(sends.into_iter().map(|(number, call)| Event::Answered(number, cloud.answer(&call))));
        elsewhere += then.elapsed();
        if let Some(summary) = summary {
            assert!(summary.complete(), "{:?}", summary.failed);
            break;
        }
    }
    Cost { steps: plan.steps.len(), time: began.elapsed() - elsewhere, bytes: length() - before }
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
/// applies it.
#[test]
#[ignore = "a part of ten_thousand_resources"]
fn part() {
    let Ok(told) = std::env::var(PART) else { return };
    let told: Vec<&str> = told.split('|').collect();
    let [part, services, range, folder] = told[..] else { panic!("{told:?}") };
    let folder = std::path::Path::new(folder);
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

/// The figures of `tests/bench/SCALE.md`, where the command is.
#[test]
#[ignore = "figures"]
fn ten_thousand_resources() {
    let mut rows = String::new();
    for services in [20, 200, 2_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let stories = [
            ("create", services, 64),
            ("nothing to do", services, 64),
            ("replace", services, 65),
            ("destroy", 0, 65),
        ];
        for (name, wanted, range) in stories {
            let planned = apart("plan", wanted, range, folder.path());
            let [steps, plan, save, bytes, plan_memory] = planned[..] else { panic!("{planned:?}") };
            let applied = apart("apply", wanted, range, folder.path());
            let [read, apply, journal, apply_memory] = applied[..] else { panic!("{applied:?}") };
            let row = format!(
                "| {} | {name} | {steps} | {plan:.0} | {save:.0} | {bytes:.1} | {plan_memory:.0} | {read:.0} | {apply:.0} | {journal:.0} | {apply_memory:.0} |\n",
                services * 5,
            );
            print!("{row}");
            rows.push_str(&row);
        }
    }
    if let Some(path) = std::env::var_os("RHUMB_SCALE_TABLE") {
        let text = std::fs::read_to_string(&path).expect("the table");
        let (head, _) = text.split_once("|---|").expect("a table");
        let rule = "|---|---|---|---|---|---|---|---|---|---|---|\n";
        std::fs::write(&path, format!("{head}{rule}{rows}")).expect("written");
    }
}
