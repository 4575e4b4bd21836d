//! The kill matrix: the real program, killed while each of its calls is under way, in every kind of story.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rhumb::plan::{Plan, file};
use rhumb_sim::{Rule, Stock, Verb, What, World};

use super::process::{Sim, quick};
use crate::cli::{rhumb, run};

/// What is there, and what is to be.
struct Story {
    name: &'static str,
    /// The example.
    example: &'static str,
    /// Pieces of the spec that are exchanged after it was applied once; none if nothing is there before.
    change: Option<&'static [(&'static str, &'static str)]>,
    /// Everything goes.
    destroy: bool,
    /// The machines of the first pool are refused.
    refused: bool,
}

const CHAT: &str = "examples/support-chat/deploy.yaml";

const STORIES: &[Story] = &[
    Story { name: "create", example: CHAT, change: None, destroy: false, refused: false },
    Story {
        name: "update",
        example: CHAT,
        change: Some(&[("{ team: support }", "{ team: other }"), ("peak: 12 req/s", "peak: 20 req/s")]),
        destroy: false,
        refused: false,
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
    },
    Story { name: "destroy", example: CHAT, change: Some(&[]), destroy: true, refused: false },
    Story { name: "fallback", example: CHAT, change: None, destroy: false, refused: true },
    Story {
        name: "batch run",
        example: "examples/nightly-embedding/deploy.yaml",
        change: None,
        destroy: false,
        refused: false,
    },
];

/// A story that is about to be told: a folder with spec, state and plan.
struct Stage {
    folder: tempfile::TempDir,
    plan: PathBuf,
    state: PathBuf,
    made: Plan,
    world: World,
}

impl Stage {
    fn set(story: &Story, sim: &Sim) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (spec, state, plan) = (
            folder.path().join("deploy.yaml"),
            folder.path().join("state.json"),
            folder.path().join("next.plan"),
        );
        let mut text = std::fs::read_to_string(story.example).expect("an example");
        std::fs::write(&spec, &text).expect("written");
        let mut world = quick();
        sim.reset(&world);
        let here = |args: &[&str]| {
            let mut command = rhumb();
            command.current_dir(folder.path()).args(args).args(["--state", "state.json", "--quiet"]);
            run(&mut command)
        };
        let mut planning = vec!["plan", ".", "--out", "next.plan"];
        if let Some(change) = story.change {
            let (out, err, code) = here(&["apply", ".", "--yes", "--simulate", &sim.url]);
            assert_eq!(code, 0, "{}: {out}{err}", story.name);
            for (from, to) in change {
                assert!(text.contains(from), "{}: {from}", story.name);
                text = text.replacen(from, to, 1);
            }
            std::fs::write(&spec, &text).expect("written");
        }
        if story.destroy {
            planning.push("--destroy");
        }
        // A state that is named must be there.
        let (out, err, code) = match story.change {
            Some(_) => here(&planning),
            None => run(rhumb().current_dir(folder.path()).args(&planning)),
        };
        assert_eq!(code, 0, "{}: {out}{err}", story.name);
        let made =
            file::decode("next.plan", &std::fs::read_to_string(&plan).expect("saved")).expect("a plan");
        assert!(!made.steps.is_empty(), "{}: something is to be done", story.name);
        if story.refused {
            let standby = made.standbys.first().expect("something that stands in");
            let parts: Vec<&str> = standby.pool.as_str().split('/').collect();
            let (cloud, region, instance_type) =
                (parts[1].parse().expect("a cloud"), parts[2].into(), parts[3].into());
            world.stock.push(Stock { cloud, region, instance_type, spot: false, machines: Some(0) });
            sim.set_world(&world);
        }
        Stage { folder, plan, state, made, world }
    }

    /// Goes on until it is done, and tells what is wrong then.
    fn end(&self, story: &Story, sim: &Sim) -> Vec<String> {
        let mut last = String::new();
        let done = (0..3).any(|_| {
            let (out, err, code) = sim.apply(&self.plan, &self.state, None);
            last = format!("exit {code}: {out}{err}");
            // What was cut off after its last record is refused as applied already.
            code == 0 || (code == 4 && err.contains("the plan is stale"))
        });
        if !done {
            return vec![last];
        }
        let recorded =
            rhumb::state::local::read(&mut rhumb::state::disk::RealDisk::new(), &self.state, "state");
        let recorded = recorded.expect("readable").expect("a state");
        let mut wanted: BTreeSet<String> =
            self.made.changes.iter().filter(|c| c.after.is_some()).map(|c| c.addr.to_string()).collect();
        for taken in self
            .made
            .standbys
            .iter()
            .filter(|s| {
                story.refused && recorded.resources.keys().any(|a| a.parent().as_ref() == Some(&s.by))
            })
            .take(1)
        {
            wanted.retain(|addr| !taken.without.iter().any(|gone| gone.as_str() == addr));
            wanted.extend(taken.changes.iter().map(|c| c.addr.to_string()));
        }
        let mut wrong = sim.wrong_beside(&recorded, &wanted);
        if !story.refused && !story.destroy {
            let (out, err, code) = run(rhumb().current_dir(self.folder.path()).args([
                "plan",
                ".",
                "--state",
                "state.json",
                "--detailed-exitcode",
                "--quiet",
            ]));
            if code != 0 {
                wrong.push(format!("the next plan is not empty: {out}{err}"));
            }
        }
        wrong
    }
}

/// One row of the matrix: story, verb, when; points, and what was wrong.
type Row = (String, u64, Vec<String>);

fn held(story: &Story, sim: &Sim, verb: Verb, what: &What, stride: u64, first: u64) -> Row {
    let (mut points, mut wrong, mut nth) = (0, Vec::new(), first);
    loop {
        let stage = Stage::set(story, sim);
        let rule = Rule {
            nth: Some(nth),
            verb: Some(verb),
            kind: None,
            address: None,
            times: Some(1),
            what: what.clone(),
        };
        sim.set_world(&World { rules: vec![rule], ..stage.world.clone() });
        let mut child = sim.begin(&stage.plan, &stage.state);
        if !sim.holds(&mut child) {
            break;
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        points += 1;
        wrong.extend(
            stage.end(story, sim).into_iter().map(|w| format!("{} {verb:?} {what:?} {nth}: {w}", story.name)),
        );
        nth += stride;
    }
    let when = if *what == What::HoldBefore { "before" } else { "after" };
    (format!("{} | {verb:?} | {when} its effect", story.name), points, wrong)
}

fn matrix(stride: u64) -> (String, u64, Vec<String>) {
    let sim = Sim::start();
    let (mut table, mut all, mut wrong) = (BTreeMap::new(), 0, Vec::new());
    let mut first = 0;
    for (at, story) in STORIES.iter().enumerate() {
        for verb in [Verb::Create, Verb::Update, Verb::Delete] {
            for what in [What::HoldBefore, What::HoldAfter] {
                // A sample takes other calls in each row.
                first = first % stride + 1;
                let (row, points, more) = held(story, &sim, verb, &what, stride, first);
                all += points;
                if points > 0 {
                    table.insert((at, row), (points, more.len()));
                }
                wrong.extend(more);
            }
        }
    }
    let mut text = String::from("| story | call | killed | points | wrong |\n|---|---|---|---|---|\n");
    for ((_, row), (points, wrong)) in table {
        text.push_str(&format!("| {row} | {points} | {wrong} |\n"));
    }
    (text, all, wrong)
}

#[test]
fn killed_at_a_sample_of_the_calls_of_every_story_it_goes_on() {
    let (table, points, wrong) = matrix(6);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
    assert!(points >= 10, "{points}\n{table}");
}

/// The whole matrix; its table is in tests/bench/KILLS.md.
#[test]
#[ignore = "minutes: RHUMB_KILLS_TABLE=tests/bench/KILLS.md cargo test --test it the_whole_kill_matrix -- --ignored"]
fn the_whole_kill_matrix() {
    let (table, points, wrong) = matrix(1);
    assert!(wrong.is_empty(), "{wrong:#?}\n{table}");
    if let Some(path) = std::env::var_os("RHUMB_KILLS_TABLE") {
        let head = std::fs::read_to_string(&path).unwrap_or_default();
        let head = head.split("\n| story").next().unwrap_or_default().trim_end().to_owned();
        std::fs::write(Path::new(&path), format!("{head}\n\n{table}\n{points} points.\n")).expect("written");
    }
}
