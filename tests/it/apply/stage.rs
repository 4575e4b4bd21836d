//! Stories of applies that can be told again and again: what is there, what is to be, and what is wrong when it is done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

use rhumb::plan::{Plan, file};
use rhumb::state::remote::{Opened, Options, RemoteStore};
use rhumb::state::{Holder, State};
use rhumb_sim::{Stock, Verb, World};

use super::process::{Sim, begun, quick};
use crate::cli::{rhumb, run};

/// What is there, and what is to be.
pub struct Story {
    pub name: &'static str,
    /// The example.
    example: &'static str,
    /// Pieces of the spec that are exchanged after it was applied once; none if nothing is there before.
    change: Option<&'static [(&'static str, &'static str)]>,
    /// Everything goes.
    destroy: bool,
    /// The machines of the first pool are refused.
    refused: bool,
    /// The kinds of calls that it makes.
    pub verbs: &'static [Verb],
}

const CHAT: &str = "examples/support-chat/deploy.yaml";

pub const STORIES: &[Story] = &[
    Story {
        name: "create",
        example: CHAT,
        change: None,
        destroy: false,
        refused: false,
        verbs: &[Verb::Create],
    },
    Story {
        name: "update",
        example: CHAT,
        change: Some(&[("{ team: support }", "{ team: other }"), ("peak: 12 req/s", "peak: 20 req/s")]),
        destroy: false,
        refused: false,
        verbs: &[Verb::Update],
    },
    Story {
        name: "replace",
        example: CHAT,
        change: Some(&[(
            "budget:",
            "providers: { aws: { profile: prod }, gcp: { project: prod }, azure: { subscription: prod } }\n\nbudget:",
        )]),
        destroy: false,
        refused: false,
        verbs: &[Verb::Create, Verb::Delete],
    },
    Story {
        name: "move",
        example: CHAT,
        change: Some(&[
            ("    survive:", "    placement: { clouds: [azure] }\n    survive:"),
            ("60000", "160000"),
        ]),
        destroy: false,
        refused: false,
        verbs: &[Verb::Create, Verb::Delete],
    },
    Story {
        name: "destroy",
        example: CHAT,
        change: Some(&[]),
        destroy: true,
        refused: false,
        verbs: &[Verb::Delete],
    },
    Story {
        name: "fallback",
        example: CHAT,
        change: None,
        destroy: false,
        refused: true,
        verbs: &[Verb::Create, Verb::Delete],
    },
    Story {
        name: "batch run",
        example: "examples/nightly-embedding/deploy.yaml",
        change: None,
        destroy: false,
        refused: false,
        verbs: &[Verb::Create],
    },
];

/// What the first plan of a story is made against: the same in each run, so that it is made once.
const LINEAGE: &str = "kills";
/// The time of everything that comes before the kill.
const AT: &str = "2026-11-25";

/// A story as it is before it is told.
struct Scene {
    /// The spec that the plan was made of.
    spec: String,
    /// Leads to what is there before.
    first: Option<String>,
    next: String,
    made: Plan,
    world: World,
}

impl Scene {
    fn new(story: &Story, sim: &Sim) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut spec = std::fs::read_to_string(story.example).expect("an example");
        let planned = |spec: &str, more: &[&str]| {
            std::fs::write(path("deploy.yaml"), spec).expect("written");
            let mut command = rhumb();
            command.current_dir(folder.path()).args([
                "plan",
                ".",
                "--out",
                "made.plan",
                "--at",
                AT,
                "--quiet",
            ]);
            let (out, err, code) = run(command.args(more));
            assert_eq!(code, 0, "{}: {out}{err}", story.name);
            std::fs::read_to_string(path("made.plan")).expect("saved")
        };
        let (mut first, mut with) = (None, vec![]);
        if let Some(change) = story.change {
            sim.reset(&quick());
            lay(&path("state.json"));
            with.extend(["--state", "state.json"]);
            first = Some(planned(&spec, &with));
            std::fs::remove_file(path("deploy.yaml")).expect("removed");
            before(sim, &path("made.plan"), &path("state.json"));
            for (from, to) in change {
                assert!(spec.contains(from), "{}: {from}", story.name);
                spec = spec.replacen(from, to, 1);
            }
        }
        if story.destroy {
            with.push("--destroy");
        }
        let next = planned(&spec, &with);
        let made = file::decode("next.plan", &next).expect("a plan");
        assert!(!made.steps.is_empty(), "{}: something is to be done", story.name);
        let mut world = quick();
        if story.refused {
            let standby = made.standbys.first().expect("something that stands in");
            let parts: Vec<&str> = standby.pool.as_str().split('/').collect();
            let (cloud, region, instance_type) =
                (parts[1].parse().expect("a cloud"), parts[2].into(), parts[3].into());
            world.stock.push(Stock { cloud, region, instance_type, spot: false, machines: Some(0) });
        }
        Scene { spec, first, next, made, world }
    }

    /// The same for all who tell it.
    fn of(story: &Story, sim: &Sim) -> &'static Scene {
        static SCENES: [OnceLock<Scene>; STORIES.len()] = [const { OnceLock::new() }; STORIES.len()];
        let at = STORIES.iter().position(|of| of.name == story.name).expect("a story");
        SCENES[at].get_or_init(|| Scene::new(story, sim))
    }
}

/// A state in which nothing is.
fn lay(state: &Path) {
    if let Some(address) = state.to_str().filter(|text| text.contains("://")) {
        let remote = crate::remote::at_address(address);
        let holder = Holder { by: "kills".to_owned(), at: "2026-11-25T00:00:00Z".to_owned() };
        match RemoteStore::open(&remote, &holder, &Options { lease: None }).expect("opened") {
            Opened::Nothing(vacant) => drop(vacant.create(LINEAGE.to_owned(), true).expect("laid")),
            Opened::Recorded(_) => panic!("{address}: somebody was there"),
        }
    } else {
        let text = rhumb::state::file::encode(&State::new(LINEAGE.to_owned(), true));
        std::fs::write(state, text).expect("written");
    }
}

/// The lease is short of who is killed, so that its end need not be waited for long; a slow bucket ends nobody else.
fn patient(sim: &Sim, plan: &Path, state: &Path) -> Command {
    let mut command = sim.applying(plan, state);
    command.env_remove("RHUMB_LEASE_MS");
    command
}

/// One thing after another, so that the state is the same each time.
fn before(sim: &Sim, plan: &Path, state: &Path) {
    let mut command = patient(sim, plan, state);
    let (out, err, code) = run(command.args(["--parallel", "1", "--at", AT, "--quiet"]));
    assert_eq!(code, 0, "{out}{err}");
}

/// Where a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    File,
    Bucket,
}

/// A story that is about to be told: its cloud, its state, and a folder with its plan.
pub struct Stage<'a> {
    story: &'a Story,
    scene: &'static Scene,
    pub sim: &'a Sim,
    folder: tempfile::TempDir,
    plan: PathBuf,
    state: PathBuf,
}

/// A folder that has the plan alone.
fn with_plan(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("next.plan");
    std::fs::write(&plan, text).expect("written");
    (folder, plan)
}

impl<'a> Stage<'a> {
    pub fn set(story: &'a Story, keeping: Keeping, sim: &'a Sim) -> Self {
        let scene = Scene::of(story, sim);
        sim.reset(&quick());
        let (folder, plan) = with_plan(&scene.next);
        let state = match keeping {
            Keeping::File => folder.path().join("state.json"),
            Keeping::Bucket => crate::remote::vacant_address("kill").into(),
        };
        if let Some(first) = &scene.first {
            let (_folder, plan) = with_plan(first);
            lay(&state);
            before(sim, &plan, &state);
        }
        sim.set_world(&scene.world);
        Stage { story, scene, sim, folder, plan, state }
    }

    pub fn world(&self) -> &World {
        &self.scene.world
    }

    pub fn begin(&self) -> Child {
        begun(&mut self.applying())
    }

    /// The program that tells it.
    pub fn applying(&self) -> Command {
        self.sim.applying(&self.plan, &self.state)
    }

    /// What is recorded, as the program tells it.
    pub fn recorded(&self) -> Option<State> {
        let (out, err, code) = run(rhumb().args(["state", "pull", "--state"]).arg(&self.state));
        if code == 0 {
            return Some(rhumb::state::file::decode("pulled", &out).expect("a state"));
        }
        assert!(err.contains("nothing was ever recorded there") || err.contains("is not there"), "{err}");
        None
    }

    /// Somebody applies the same plan who knows nothing of what happened; of a bucket, on another machine.
    pub fn go_on(&self) -> Vec<String> {
        let elsewhere = self.state.to_string_lossy().contains("://").then(|| with_plan(&self.scene.next));
        let plan = elsewhere.as_ref().map_or(&self.plan, |(_, plan)| plan);
        let (out, err, code) = run(&mut patient(self.sim, plan, &self.state));
        // What was cut off after its last record is refused as applied already.
        if code != 0 && !(code == 4 && err.contains("the plan is stale")) {
            return vec![format!("the next apply ends with {code}: {out}{err}")];
        }
        if let Some((folder, _)) = elsewhere
            && std::fs::read_dir(folder.path()).expect("listed").count() != 1
        {
            return vec!["something of a state in a bucket is in the folder".to_owned()];
        }
        self.faults()
    }

    /// What is wrong when everything is done.
    pub fn faults(&self) -> Vec<String> {
        let Some(recorded) = self.recorded() else { return vec!["nothing is recorded".to_owned()] };
        let Plan { changes, standbys, .. } = &self.scene.made;
        let mut wanted: BTreeSet<String> =
            changes.iter().filter(|c| c.after.is_some()).map(|c| c.addr.to_string()).collect();
        let taken = standbys.iter().find(|s| {
            self.story.refused && recorded.resources.keys().any(|a| a.parent().as_ref() == Some(&s.by))
        });
        if let Some(taken) = taken {
            wanted.retain(|addr| !taken.without.iter().any(|gone| gone.as_str() == addr));
            wanted.extend(taken.changes.iter().map(|c| c.addr.to_string()));
        }
        let mut wrong = self.sim.wrong_beside(&recorded, &wanted);
        std::fs::write(self.folder.path().join("deploy.yaml"), &self.scene.spec).expect("written");
        let mut command = rhumb();
        command.current_dir(self.folder.path()).args(["plan", ".", "--detailed-exitcode", "--quiet"]);
        command.args(["--at", AT, "--state"]).arg(&self.state);
        let (out, err, code) = run(command.args(self.story.destroy.then_some("--destroy")));
        if code != 0 {
            wrong.push(format!("the next plan is not empty: {out}{err}"));
        }
        std::fs::remove_file(self.folder.path().join("deploy.yaml")).expect("removed");
        wrong
    }
}
