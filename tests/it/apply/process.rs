//! The real binary beside a simulated cloud, and what is wrong after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rhumb::state::State;
use rhumb_api::{Observed, ResourceKind};
use rhumb_sim::server::{Clock, serve};
use rhumb_sim::{Client, Durations, Span, World};
use tokio::runtime::Runtime;

use crate::cli::{rhumb, run};

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
    pub fn set_attribute(&self, handle: &rhumb_api::Handle, name: &str, value: Option<rhumb_api::Attr>) {
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
    fn wrong(&self, state: &Path, expected: &BTreeSet<String>) -> Vec<String> {
        let mut disk = rhumb::state::disk::RealDisk::new();
        let recorded = rhumb::state::local::read(&mut disk, state, "state");
        self.wrong_beside(&recorded.expect("readable").expect("a state"), expected)
    }

    /// The same beside a state that was read.
    pub fn wrong_beside(&self, recorded: &State, expected: &BTreeSet<String>) -> Vec<String> {
        let there = self.inventory();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for thing in &there {
            *seen.entry(thing.tags.address.to_string()).or_default() += 1;
        }
        let mut wrong: Vec<String> =
            seen.iter().filter(|(_, n)| **n > 1).map(|(a, n)| format!("{a} is there {n} times")).collect();
        let addresses: BTreeSet<String> = seen.into_keys().collect();
        wrong.extend(addresses.difference(expected).map(|a| format!("{a} is left")));
        wrong.extend(expected.difference(&addresses).map(|a| format!("{a} is missing")));
        let ids: BTreeSet<_> = recorded.resources.values().filter_map(|thing| thing.handle()).collect();
        wrong.extend(
            there
                .iter()
                .filter(|t| !ids.contains(&t.handle))
                .map(|t| format!("{} is not recorded", t.handle)),
        );
        if ids.len() != there.len() || !recorded.open.is_empty() || !recorded.spares.is_empty() {
            wrong.push("the state is not at an end".into());
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
    let plan = folder.join("chat.plan");
    let (_, err, code) = run(rhumb().args(["plan", "examples/support-chat", "--out"]).arg(&plan));
    assert_eq!(code, 0, "{err}");
    let text = std::fs::read_to_string(&plan).expect("saved");
    let made = rhumb::plan::file::decode("chat.plan", &text).expect("a plan");
    (plan, made.changes.iter().map(|change| change.addr.to_string()).collect())
}

/// What is checked after a kill is seen where it is wrong.
#[test]
fn what_is_left_missing_or_there_twice_is_seen() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, expected) = saved(folder.path());
    let state = folder.path().join("state.json");
    let (out, err, code) = sim.apply(&plan, &state);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(sim.wrong(&state, &expected), Vec::<String>::new());
    let control = sim.client.control();
    let mut second = sim.inventory().pop().expect("something");
    second.handle.id.push('x');
    sim.runtime.block_on(control.plant(&second)).expect("planted");
    let wrong = sim.wrong(&state, &expected).join("\n");
    assert!(wrong.contains("is there 2 times") && wrong.contains("is not recorded"), "{wrong}");
    for gone in sim.inventory() {
        sim.runtime.block_on(control.vanish(&gone.handle)).expect("gone");
    }
    let wrong = sim.wrong(&state, &expected).join("\n");
    assert!(wrong.contains("is missing") && wrong.contains("not at an end"), "{wrong}");
}
