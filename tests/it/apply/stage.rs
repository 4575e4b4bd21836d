//! Stories of applies that can be told again and again: what is there, what is to be, and what is wrong when it is done.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};

use rhumb::plan::{Action, Plan, Standby, file};
use rhumb::state::remote::{Opened, Options, RemoteStore};
use rhumb::state::{Holder, State};
use rhumb_api::{Call, Handle, Order, Reply, Resource, ResourceAddr, Scope, Tags, Token};
use rhumb_sim::{Denial, Event, Stock, Verb, World};

use super::deployment::Region;
use super::process::{Sim, begun, quick, wanted};
use super::wrong::{Kind, Wrong};
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
        change: Some(&[("{ team: support }", "{ team: other }"), ("peak: 12 req/s", "peak: 22 req/s")]),
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
    let (out, err, code) = run(command
        .args(["--parallel", "1", "--at", AT, "--quiet"])
        .env("RHUMB_CLOCK", format!("{AT}T00:00:00Z")));
    assert_eq!(code, 0, "{out}{err}");
}

/// Where a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    File,
    Bucket,
}

/// What clouds make easy or hard for whoever was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clouds {
    /// They know tokens, and a list shows everything.
    Exact,
    /// Tokens are nothing to them, and lists lag behind: for longer than the program needs to begin anew.
    Lagging,
}

impl Clouds {
    fn of(self, world: &World) -> World {
        match self {
            Clouds::Exact => world.clone(),
            Clouds::Lagging => {
                World { deduplicates: false, list_lag_ms: 1_000, call_lag_ms: 200, ..world.clone() }
            }
        }
    }
}

/// A story that is about to be told: its cloud, its state, and a folder with its plan.
pub struct Stage<'a> {
    story: &'a Story,
    scene: &'static Scene,
    pub sim: &'a Sim,
    world: World,
    folder: tempfile::TempDir,
    plan: PathBuf,
    state: PathBuf,
    /// What the cloud had noted before.
    noted: usize,
}

/// A folder that has the plan alone.
fn with_plan(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = folder.path().join("next.plan");
    std::fs::write(&plan, text).expect("written");
    (folder, plan)
}

impl<'a> Stage<'a> {
    pub fn set(story: &'a Story, keeping: Keeping, clouds: Clouds, sim: &'a Sim) -> Self {
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
        let (world, noted) = (clouds.of(&scene.world), sim.log().len());
        sim.set_world(&world);
        Stage { story, scene, sim, world, folder, plan, state, noted }
    }

    pub fn world(&self) -> &World {
        &self.world
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
    pub fn go_on(&self) -> Vec<Wrong> {
        let elsewhere = self.state.to_string_lossy().contains("://").then(|| with_plan(&self.scene.next));
        let plan = elsewhere.as_ref().map_or(&self.plan, |(_, plan)| plan);
        let (out, err, code) = run(&mut patient(self.sim, plan, &self.state));
        // What was cut off after its last record is refused as applied already.
        if code != 0 && !(code == 4 && err.contains("the plan is stale")) {
            return vec![Kind::Manual.is(format!("the next apply ends with {code}: {out}{err}"))];
        }
        if let Some((folder, _)) = elsewhere
            && std::fs::read_dir(folder.path()).expect("listed").count() != 1
        {
            return vec![Kind::Otherwise.is("something of a state in a bucket is in the folder")];
        }
        self.faults()
    }

    /// What is wrong when everything is done.
    pub fn faults(&self) -> Vec<Wrong> {
        let Some(recorded) = self.recorded() else {
            return vec![Kind::Forgotten.is("nothing is recorded")];
        };
        let mut wanted = wanted(&self.scene.made);
        let taken = self.scene.made.standbys.iter().find(|s| {
            self.story.refused && recorded.resources.keys().any(|a| a.parent().as_ref() == Some(&s.by))
        });
        if let Some(taken) = taken {
            wanted.retain(|addr, _| !taken.without.contains(addr));
            let changes = taken.changes.iter();
            wanted.extend(changes.filter_map(|c| Some((c.addr.clone(), c.after.clone()?))));
        }
        let mut wrong = self.sim.wrong_beside(&recorded, &wanted);
        wrong.extend(self.beside_the_plan(taken));
        std::fs::write(self.folder.path().join("deploy.yaml"), &self.scene.spec).expect("written");
        let mut command = rhumb();
        command.current_dir(self.folder.path()).args(["plan", ".", "--detailed-exitcode", "--quiet"]);
        command.args(["--at", AT, "--state"]).arg(&self.state);
        let (out, err, code) = run(command.args(self.story.destroy.then_some("--destroy")));
        if code != 0 {
            wrong.push(Kind::Manual.is(format!("the next plan is not empty: {out}{err}")));
        }
        std::fs::remove_file(self.folder.path().join("deploy.yaml")).expect("removed");
        wrong
    }

    /// Calls that the plan does not ask for, by what the cloud noted of all who sent any.
    fn beside_the_plan(&self, taken: Option<&Standby>) -> Vec<Wrong> {
        let mut asked: BTreeSet<(Verb, &ResourceAddr)> = BTreeSet::new();
        for change in &self.scene.made.changes {
            let verbs: &[Verb] = match change.action {
                Action::Create => &[Verb::Create],
                Action::Update => &[Verb::Update],
                Action::Replace => &[Verb::Create, Verb::Delete],
                Action::Remove => &[Verb::Delete],
                Action::Keep => &[],
            };
            asked.extend(verbs.iter().map(|verb| (*verb, &change.addr)));
        }
        if let Some(taken) = taken {
            // What the first try has made meanwhile is changed, and goes if nothing needs it.
            let changed = taken.changes.iter().map(|change| &change.addr);
            asked.extend(changed.flat_map(|addr| [(Verb::Create, addr), (Verb::Update, addr)]));
            asked.extend(taken.without.iter().map(|addr| (Verb::Delete, addr)));
        }
        let mut beside = BTreeSet::new();
        for entry in self.sim.log().iter().skip(self.noted).filter(|entry| entry.event == Event::Sent) {
            let Some(verb @ (Verb::Create | Verb::Update | Verb::Delete)) = entry.verb else { continue };
            if !entry.address.as_ref().is_some_and(|addr| asked.contains(&(verb, addr))) {
                let of = entry.address.as_ref().map_or("something that never was", ResourceAddr::as_str);
                beside.insert(format!("{} of {of} is not in the plan", verb.as_str()));
            }
        }
        beside.into_iter().map(|what| Kind::Otherwise.is(what)).collect()
    }
}

fn story(name: &str) -> &'static Story {
    STORIES.iter().find(|story| story.name == name).expect("a story")
}

fn has(wrong: &[Wrong], kind: Kind, what: &str) -> bool {
    wrong.iter().any(|one| one.kind == kind && one.what.contains(what))
}

/// A program that records a change as done and never sends it: its next plan is empty.
#[test]
fn what_is_recorded_and_was_not_done_is_seen() {
    let sim = Sim::start();
    let stage = Stage::set(story("update"), Keeping::File, Clouds::Exact, &sim);
    let mut state = stage.recorded().expect("what was before");
    let mut changed = 0;
    for change in &stage.scene.made.changes {
        if let (Some(thing), Some(after)) = (state.resources.get_mut(&change.addr), &change.after) {
            changed += usize::from(thing.resource != *after);
            Arc::make_mut(thing).resource = after.clone();
        }
    }
    for entry in std::fs::read_dir(stage.folder.path()).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("state.json") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    std::fs::write(&stage.state, rhumb::state::file::encode(&state)).expect("written");
    let wrong = stage.faults();
    assert!(!has(&wrong, Kind::Manual, ""), "its next plan is empty: {wrong:?}");
    for told in ["is not as it is recorded", "is not as it is wanted"] {
        let seen = wrong.iter().filter(|one| one.what.contains(told)).count();
        assert!(changed > 0 && seen == changed, "{told} {seen} {changed}: {wrong:?}");
    }
}

#[test]
fn what_was_not_applied_needs_somebody_and_calls_of_others_are_seen() {
    let sim = Sim::start();
    let stage = Stage::set(story("create"), Keeping::File, Clouds::Exact, &sim);
    assert!(has(&stage.faults(), Kind::Forgotten, "nothing is recorded"));
    sim.set_world(&World { denied: vec![Denial::default()], ..stage.world().clone() });
    assert!(has(&stage.go_on(), Kind::Manual, "the next apply ends with 1"));
    assert!(has(&stage.faults(), Kind::Manual, "the next plan is not empty"));
    sim.set_world(stage.world());
    assert_eq!(stage.go_on(), Vec::<Wrong>::new());
    // A change that changes nothing, of what the plan makes.
    let seen = sim.inventory().pop().expect("something");
    let Handle { kind, cloud, region, .. } = seen.handle.clone();
    let resource = Resource { kind, cloud, region, attributes: seen.attributes };
    let tags = seen.tags.clone().expect("tagged");
    let (address, needs, files) = (tags.address.clone(), [].into(), [].into());
    let _ = sim.ask(&Call::Update(seen.handle, Order { tags, resource, needs, files, takes_over: None }));
    let wrong = stage.faults();
    let told = format!("update of {address} is not in the plan");
    assert!(wrong.len() == 1 && has(&wrong, Kind::Otherwise, &told), "{wrong:?}");
}

/// What the rows of lagging clouds are worth: the same create twice makes two things, and a list shows neither at once.
#[test]
fn a_lagging_cloud_makes_twice_and_does_not_show_it() {
    let sim = Sim::start();
    let (address, (resource, _)) =
        Region::new("services.chat", "eu-west-1").wanted().pop_last().expect("something");
    let token = Token::parse("0".repeat(32)).expect("a token");
    let tags = Tags { lineage: LINEAGE.to_owned(), address, token: token.clone() };
    let (cloud, region) = (resource.cloud, resource.region.clone());
    let list = Call::List(Scope { cloud, region, lineage: LINEAGE.to_owned(), token: Some(token) });
    let create = Call::Create(Order { tags, resource, needs: [].into(), files: [].into(), takes_over: None });
    for (clouds, made, shown) in [(Clouds::Exact, 1, 1), (Clouds::Lagging, 2, 0)] {
        sim.reset(&clouds.of(&quick()));
        for _ in 0..2 {
            assert!(sim.ask(&create).is_ok());
        }
        let Ok(Reply::Many(listed)) = sim.ask(&list) else { panic!("no list") };
        assert_eq!((sim.inventory().len(), listed.len()), (made, shown), "{clouds:?}");
    }
}
