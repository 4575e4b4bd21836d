//! The real binary beside a simulated cloud, and what is wrong after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rhumb::plan::Plan;
use rhumb::state::State;
use rhumb_api::{Answer, Attr, Call, Observed, Provider as _, Resource, ResourceAddr, ResourceKind, Status};
use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Client, Durations, Span, World};
use tokio::runtime::Runtime;

use super::wrong::{Kind, Wrong, differing};
use crate::cli::{rhumb, run};

/// What is to be there.
pub type Wanted = BTreeMap<ResourceAddr, Resource>;

/// What a plan leads to.
pub fn wanted(plan: &Plan) -> Wanted {
    let of = plan.changes.iter().filter_map(|change| Some((change.addr.clone(), change.after.clone()?)));
    of.collect()
}

/// A simulated cloud in a thread of its own, and the wires to it.
pub struct Sim {
    pub url: String,
    pub client: Client,
    runtime: Runtime,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub fn quick() -> World {
    let none = Span { min: 0, max: 0 };
    let durations = Durations { make: none, change: none, remove: none };
    World {
        latency_ms: none,
        list_lag_ms: 0,
        call_lag_ms: 50,
        durations: ResourceKind::ALL.map(|kind| (kind, durations)).into(),
        ..World::default()
    }
}

impl Sim {
    pub fn start() -> Self {
        let (told, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                told.send(listener.local_addr().expect("an address")).expect("heard");
                serve(listener, quick(), Clock::Real { speed: 1 }).await.expect("served");
            });
        });
        Sim::at(format!("http://{}", heard.recv().expect("told")))
    }

    /// One that is served already.
    pub fn at(url: String) -> Self {
        let runtime = runtime();
        let client = runtime.block_on(Client::connect(&url)).expect("connected");
        Sim { url, client, runtime }
    }

    pub fn reset(&self, world: &World) {
        self.runtime.block_on(self.client.control().reset(world)).expect("reset");
    }

    /// Changes the world and nothing of what was made.
    pub fn set_world(&self, world: &World) {
        self.runtime.block_on(self.client.control().set_world(world)).expect("set");
    }

    /// Changes something by hand.
    pub fn set_attribute(&self, handle: &rhumb_api::Handle, name: &str, value: Option<Attr>) {
        let changed = self.client.control();
        self.runtime.block_on(changed.set_attribute(handle, name, value)).expect("changed");
    }

    /// Removes something by hand.
    pub fn vanish(&self, handle: &rhumb_api::Handle) {
        self.runtime.block_on(self.client.control().vanish(handle)).expect("removed");
    }

    pub fn inventory(&self) -> Vec<Observed> {
        self.runtime.block_on(self.client.control().inventory(None)).expect("told")
    }

    /// Puts something there by hand.
    pub fn plant(&self, seen: &Observed) {
        self.runtime.block_on(self.client.control().plant(seen)).expect("planted");
    }

    /// A call of somebody else.
    pub fn ask(&self, call: &Call) -> Answer {
        self.runtime.block_on(self.client.call(call))
    }

    /// Everything that it was asked and that happened.
    pub fn log(&self) -> Vec<rhumb_sim::Entry> {
        self.runtime.block_on(self.client.control().log()).expect("told")
    }

    /// A saved plan is applied in the folder that it is in.
    pub fn applying(&self, plan: &Path, state: &Path) -> Command {
        let mut command = rhumb();
        command.arg("apply").arg(plan).arg("--state").arg(state).args(["--simulate", &self.url]);
        command.current_dir(plan.parent().expect("a folder"));
        command
    }

    pub fn apply(&self, plan: &Path, state: &Path) -> (String, String, i32) {
        run(&mut self.applying(plan, state))
    }

    pub fn begin(&self, plan: &Path, state: &Path) -> Child {
        begun(&mut self.applying(plan, state))
    }

    /// Waits until a call is held; whether one is before `child` has ended.
    pub fn holds(&self, child: &mut Child) -> bool {
        let control = self.client.control();
        loop {
            let held = control.held(Duration::from_millis(100));
            if !self.runtime.block_on(held).expect("told").is_empty() {
                return true;
            }
            if child.try_wait().expect("waited").is_some() {
                return false;
            }
        }
    }

    /// What is wrong after everything was applied.
    fn wrong(&self, state: &Path, wanted: &Wanted) -> Vec<Wrong> {
        let mut disk = rhumb::state::disk::RealDisk::new();
        let recorded = rhumb::state::local::read(&mut disk, state, "state");
        self.wrong_beside(&recorded.expect("readable").expect("a state"), wanted)
    }

    /// The same beside a state that was read: what exists is what is recorded, and is as it is recorded and as it is wanted.
    pub fn wrong_beside(&self, recorded: &State, wanted: &Wanted) -> Vec<Wrong> {
        let there = self.inventory();
        let mut wrong = Vec::new();
        let mut times: BTreeMap<&ResourceAddr, usize> = BTreeMap::new();
        for seen in &there {
            *times.entry(seen.address().expect("tagged")).or_default() += 1;
        }
        let twice = times.iter().filter(|(_, n)| **n > 1);
        wrong.extend(twice.map(|(addr, n)| Kind::Duplicated.is(format!("{addr} is there {n} times"))));
        let left = times.keys().filter(|addr| !wanted.contains_key(**addr));
        wrong.extend(left.map(|addr| Kind::Otherwise.is(format!("{addr} is left"))));
        let missing = wanted.keys().filter(|addr| !times.contains_key(addr));
        wrong.extend(missing.map(|addr| Kind::Forgotten.is(format!("{addr} is missing"))));
        let known: BTreeMap<_, _> = recorded
            .resources
            .iter()
            .filter_map(|(addr, thing)| Some((thing.handle()?, (addr, thing))))
            .collect();
        for seen in &there {
            let Some((addr, thing)) = known.get(&seen.handle) else {
                wrong.push(Kind::Leaked.is(format!("{} is not recorded", seen.handle)));
                continue;
            };
            let told = [("is recorded", Some(&thing.resource)), ("is wanted", wanted.get(*addr))];
            for (told, of) in told {
                let names = of.map_or_else(Vec::new, |of| differing(&of.attributes, &seen.attributes));
                if !names.is_empty() {
                    wrong.push(Kind::Otherwise.is(format!("{addr} is not as it {told}: {names:?}")));
                }
            }
            if Some(*addr) != seen.address() || !matches!(seen.status, Status::Ready | Status::Complete) {
                let (told, status) = (seen.address().expect("tagged"), &seen.status);
                wrong.push(Kind::Otherwise.is(format!("{addr} is {told}, {status:?}")));
            }
        }
        let ids: BTreeSet<_> = there.iter().map(|seen| &seen.handle).collect();
        let gone = known.iter().filter(|(handle, _)| !ids.contains(handle));
        wrong.extend(gone.map(|(handle, (addr, _))| {
            Kind::Forgotten.is(format!("{handle} of {addr} is recorded and not there"))
        }));
        let without = recorded.resources.iter().filter(|(_, thing)| thing.handle().is_none());
        wrong
            .extend(without.map(|(addr, _)| Kind::Otherwise.is(format!("{addr} is recorded without an id"))));
        if !recorded.open.is_empty() || !recorded.spares.is_empty() {
            wrong.push(Kind::Manual.is("the state is not at an end"));
        }
        wrong
    }
}

/// A process that nobody talks to.
pub fn begun(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

/// A saved plan in a folder without a spec, and the addresses that it makes.
pub fn saved(folder: &Path) -> (std::path::PathBuf, BTreeSet<String>) {
    static TEXT: OnceLock<String> = OnceLock::new();
    let plan = folder.join("chat.plan");
    let text = TEXT.get_or_init(|| {
        let (_, err, code) = run(rhumb().args(["plan", "examples/support-chat", "--out"]).arg(&plan));
        assert_eq!(code, 0, "{err}");
        std::fs::read_to_string(&plan).expect("saved")
    });
    std::fs::write(&plan, text).expect("written");
    let made = rhumb::plan::file::decode("chat.plan", text).expect("a plan");
    (plan, made.changes.iter().map(|change| change.addr.to_string()).collect())
}

/// What is checked after a kill is seen where it is wrong.
#[test]
fn what_is_left_missing_there_twice_or_otherwise_is_seen() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    let text = std::fs::read_to_string(&plan).expect("saved");
    let wanted = wanted(&rhumb::plan::file::decode("chat.plan", &text).expect("a plan"));
    let state = folder.path().join("state.json");
    let (out, err, code) = sim.apply(&plan, &state);
    assert_eq!(code, 0, "{out}{err}");
    let seen = |wanted: &Wanted| sim.wrong(&state, wanted);
    assert_eq!(seen(&wanted), Vec::<Wrong>::new());
    let one = |wanted: &Wanted, kind: Kind, what: &str| {
        let wrong = seen(wanted);
        assert!(wrong.iter().any(|w| w.kind == kind && w.what.contains(what)), "{what}: {wrong:?}");
    };
    // An attribute of each thing in turn, by hand.
    for thing in sim.inventory() {
        for (name, was) in thing.attributes.iter() {
            sim.set_attribute(&thing.handle, name, Some("by hand".into()));
            let told: Vec<String> = seen(&wanted).into_iter().map(|w| w.what).collect();
            let of = |told: &str| {
                format!("{} is not as it {told}: [\"{name}\"]", thing.address().expect("tagged"))
            };
            assert_eq!(told, [of("is recorded"), of("is wanted")]);
            sim.set_attribute(&thing.handle, name, Some(was.clone()));
        }
    }
    assert_eq!(seen(&wanted), Vec::<Wrong>::new());
    // The plan wants something else than was recorded and made.
    let mut other = wanted.clone();
    let first = other.values_mut().next().expect("something");
    first.attributes.insert("workload", "services.other".into());
    one(&other, Kind::Otherwise, "is not as it is wanted");
    let gone = other.pop_last().expect("something").0;
    one(&other, Kind::Otherwise, &format!("{gone} is left"));
    let mut second = sim.inventory().pop().expect("something");
    second.handle.id.push('x');
    sim.plant(&second);
    one(&wanted, Kind::Duplicated, "is there 2 times");
    one(&wanted, Kind::Leaked, "is not recorded");
    for gone in sim.inventory() {
        sim.vanish(&gone.handle);
    }
    one(&wanted, Kind::Forgotten, "is missing");
    one(&wanted, Kind::Forgotten, "is recorded and not there");
}
