//! Records that were lost: what a version brings back.

use rhumb_api::{ErrorKind, Observed, ProviderError, ResourceKind};
use rhumb_sim::{Rule, Verb, What, World};
use serde_json::Value;

use super::life::{Desk, follows};
use super::process::{begun, quick};
use crate::cli::{rhumb, run};

const LIST: &str = include_str!("../../../src/cli/commands/state/schema.json");

fn serial(desk: &Desk) -> String {
    follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].to_string()
}

fn spec(desk: &Desk, change: impl FnOnce(String) -> String) {
    let path = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let changed = change(text.clone());
    assert_ne!(text, changed);
    std::fs::write(path, changed).expect("written");
}

fn plan(desk: &Desk) -> (String, i32) {
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    (out, code)
}

fn fleets(desk: &Desk) -> Vec<Observed> {
    let all = desk.sim.inventory().into_iter();
    all.filter(|seen| seen.handle.kind == ResourceKind::Fleet).collect()
}

/// What was made since is found in regions of which the version knows nothing, whichever version it is.
#[test]
fn what_was_made_elsewhere_comes_back() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    spec(&desk, |text| {
        text.replace("peak: 12 req/s", "peak: 30 req/s").replace("monthly: 60000", "monthly: 260000")
    });
    let (out, err, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    let regions: std::collections::BTreeSet<String> =
        desk.sim.inventory().into_iter().map(|seen| seen.handle.region).collect();
    assert!(regions.len() > 1, "{regions:?}");
    let (listed, _, _) = desk.here(&["state", "list", "--json"]);
    // With the version that names the other region, and without any.
    for keep in [true, false] {
        desk.lose();
        if !keep {
            let version = format!("rhumb.state.json.version-{}", serial_of(&listed));
            std::fs::remove_file(desk.path().join(version)).expect("removed");
        }
        let out = desk.ok(&["state", "restore", ".", "--to", &first]);
        assert!(out.contains("it is in use from now on"), "{out}");
        let told = follows(LIST, &desk.here(&["state", "list", "--json"]).0);
        assert_eq!(told["resources"].as_array().map(Vec::len), Some(desk.sim.inventory().len()), "{out}");
        let (out, _) = plan(&desk);
        assert!(out.contains("0 to create") && out.contains("0 to remove"), "{out}");
    }
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(plan(&desk).1, 0);
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory(), Vec::new());
}

fn serial_of(listed: &str) -> String {
    serde_json::from_str::<Value>(listed).expect("JSON")["serial"].to_string()
}

/// Until all is known nothing is recorded, so that no apply takes what serves for a stray.
#[test]
fn a_restore_that_is_killed_has_recorded_nothing() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    let fleet = fleets(&desk).remove(0).tags.expect("tagged").address;
    desk.ok(&["apply", ".", "--yes", "--quiet", "--replace", fleet.as_str()]);
    let serves = fleets(&desk).remove(0).handle;
    desk.lose();
    desk.killed_after(Verb::List, None, &["state", "restore", ".", "--to", &first]);
    let there = desk.sim.inventory();
    for args in [&["apply", ".", "--yes", "--quiet"][..], &["plan", ".", "--refresh"], &["refresh", "."]] {
        let (_, err, code) = desk.there(args);
        assert!(code == 1 && err.contains("it was lost. `rhumb state restore --to"), "{args:?}: {err}");
    }
    assert_eq!(desk.sim.inventory(), there, "nothing was made once more");
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(out.contains("it is in use from now on"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(fleets(&desk).into_iter().map(|seen| seen.handle).collect::<Vec<_>>(), [serves]);
    assert_eq!(plan(&desk).1, 0);
    // The version that comes next is a new one.
    let serials = desk.here(&["state", "versions", "--json"]).0;
    assert!(serials.contains(&serial(&desk)), "{serials}");
}

/// The clouds know the name of now.
#[test]
fn a_version_from_before_a_renaming_comes_back_with_the_names_of_now() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    desk.here(&["state", "mv", "services.chat", "services.bot"]);
    spec(&desk, |text| text.replace("services:\n  chat:\n", "services:\n  bot:\n"));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let before: Vec<_> = desk.sim.inventory().into_iter().map(|seen| seen.handle).collect();
    desk.lose();
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(out.contains("services.chat is services.bot by now, as its clouds know."), "{out}");
    let (out, _) = plan(&desk);
    assert!(out.contains("0 to create, 5 to change, 0 to remove") || out.contains("No changes"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory().into_iter().map(|seen| seen.handle).collect::<Vec<_>>(), before);
    assert_eq!(plan(&desk).1, 0);
}

/// Renamed and not yet told, forgotten and restored: what its cloud calls it is not lost on the way.
#[test]
fn what_a_cloud_calls_it_is_restored_too() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    let before: Vec<_> = desk.sim.inventory().into_iter().map(|seen| seen.handle).collect();
    desk.here(&["state", "mv", "services.chat", "services.bot"]);
    desk.here(&["state", "rm", "services.bot/aws/eu-south-2/g7e.2xlarge/on_demand"]);
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(out.contains("is recorded again"), "{out}");
    spec(&desk, |text| text.replace("services:\n  chat:\n", "services:\n  bot:\n"));
    let (out, _) = plan(&desk);
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory().into_iter().map(|seen| seen.handle).collect::<Vec<_>>(), before);
}

/// A name that is there, or that no spec can have, is nobody's new name; and two that are told in turn know each other.
#[test]
fn names_are_apart_and_told_in_turn() {
    let desk = Desk::new();
    let one = std::fs::read_to_string(desk.path().join("deploy.yaml")).expect("read");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    for (to, why) in [
        ("services.Chat", "no spec can have a workload of this name"),
        ("services.c_d", "no spec can have a workload of this name"),
        ("machines.shared", "it is no workload"),
    ] {
        let (_, err, code) = desk.here(&["state", "mv", "services.chat", to]);
        assert!(code == 1 && err.contains(why), "{to}: {err}");
    }
    // Fewer machines, so that the fleet is told first too, and a load balancer that takes its time.
    let slow = rhumb_sim::Durations {
        change: rhumb_sim::Span { min: 1_500, max: 1_500 },
        ..quick().durations[&ResourceKind::LoadBalancer]
    };
    let mut world = quick();
    world.durations.insert(ResourceKind::LoadBalancer, slow);
    desk.sim.set_world(&world);
    desk.here(&["state", "mv", "services.chat", "services.bot"]);
    spec(&desk, |_| {
        one.replace("services:\n  chat:\n", "services:\n  bot:\n").replace("peak: 12 req/s", "peak: 6 req/s")
    });
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(plan(&desk).1, 0);
}

#[test]
fn two_workloads_do_not_become_one() {
    let desk = Desk::new();
    spec(&desk, |_| std::fs::read_to_string("examples/shared-quota/deploy.yaml").expect("read"));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (_, err, code) = desk.here(&["state", "mv", "services.answer", "services.draft"]);
    assert!(code == 1 && err.contains("services.draft is there already"), "{err}");
    assert_eq!(plan(&desk).1, 0);
}

/// What was begun in time is finished after it, by `apply` and by `show`.
#[test]
fn an_apply_that_was_begun_in_time_is_finished() {
    let desk = Desk::new();
    let (out, err, code) = desk.here(&["plan", ".", "--out", "a.plan", "--quiet", "--valid-for", "1h"]);
    assert_eq!(code, 0, "{out}{err}");
    desk.killed_after(Verb::Create, Some(ResourceKind::Fleet), &["apply", "a.plan", "--quiet"]);
    let later = |args: &[&str]| {
        let in_two_hours = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
        run(rhumb().current_dir(desk.path()).args(args).env("RHUMB_CLOCK", in_two_hours.to_string()))
    };
    let (out, err, code) = later(&["show", "a.plan", "--state", "rhumb.state.json"]);
    assert_eq!(code, 0, "{out}{err}");
    let (out, err, code) = later(&["apply", "a.plan", "--quiet", "--simulate", &desk.sim.url]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(plan(&desk).1, 0);
    // One that was not begun is not.
    let desk = Desk::new();
    desk.here(&["plan", ".", "--out", "a.plan", "--quiet", "--valid-for", "1h"]);
    let in_two_hours = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let mut late = rhumb();
    late.current_dir(desk.path()).args(["apply", "a.plan", "--quiet", "--simulate", &desk.sim.url]);
    let (_, err, code) = run(late.env("RHUMB_CLOCK", in_two_hours.to_string()));
    assert!(code == 4 && err.matches("it was valid until").count() == 1, "{err}");
}

/// What a version says was begun has ended since, and is not done once more.
#[test]
fn what_was_open_then_is_not_done_again() {
    let desk = Desk::new();
    let more = |text: String, peak: &str| {
        text.replace("peak: 12 req/s", &format!("peak: {peak} req/s"))
            .replace("monthly: 60000", "monthly: 160000")
    };
    let first = std::fs::read_to_string(desk.path().join("deploy.yaml")).expect("read");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    spec(&desk, |text| more(text, "14"));
    let unknown = Rule {
        verb: Some(Verb::Update),
        kind: None,
        address: None,
        nth: None,
        times: None,
        what: What::Error(ProviderError::new(ErrorKind::UnknownOutcome, "no answer")),
    };
    desk.sim.set_world(&World { rules: vec![unknown], ..quick() });
    let before = desk.sim.log().len();
    let mut command = rhumb();
    command.current_dir(desk.path()).args(["apply", ".", "--yes", "--quiet", "--simulate", &desk.sim.url]);
    let mut child = begun(&mut command);
    while desk.sim.log().len() < before + 16 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("sent").success());
    child.wait().expect("ended");
    desk.sim.set_world(&quick());
    let then = serial(&desk);
    let version = desk.path().join(format!("rhumb.state.json.version-{then}"));
    let version: Value =
        serde_json::from_str(&std::fs::read_to_string(version).expect("kept")).expect("JSON");
    let open = version["open"].as_array().cloned().unwrap_or_default();
    assert!(open.iter().any(|intent| intent["call"].get("update").is_some()), "{open:?}");
    spec(&desk, |_| more(first, "22"));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let serves = fleets(&desk);
    desk.lose();
    desk.ok(&["state", "restore", ".", "--to", &then]);
    assert_eq!(fleets(&desk), serves, "nothing was changed");
    assert!(plan(&desk).0.contains("0 to create"), "{}", plan(&desk).0);
}

/// What was left to others after the version is theirs.
#[test]
fn what_was_left_to_others_since_stays_theirs() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    let theirs = fleets(&desk).remove(0);
    desk.here(&["state", "rm", theirs.address().expect("tagged").as_str()]);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(fleets(&desk).len(), 2);
    desk.lose();
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(out.contains(&format!("({}) was left to others since", theirs.handle.id)), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(fleets(&desk).len(), 2, "it goes on existing");
    assert_eq!(plan(&desk).1, 0);
}

/// A region in which nobody knows of anything may refuse to be looked at; one in which something is may not.
#[test]
fn regions_that_an_account_does_not_have_are_told() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    let only = |region: &str| {
        let regions = [(rhumb_api::Cloud::Aws, [region.to_owned()].into())].into();
        desk.sim.set_world(&World { regions, ..quick() });
    };
    desk.lose();
    only("us-east-1");
    let (_, err, code) = desk.there(&["state", "restore", ".", "--to", &first]);
    assert!(code == 1 && err.contains("not everything could be looked at: aws/eu-south-2"), "{err}");
    only("eu-south-2");
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(
        out.contains("aws/us-east-1 could not be looked at, and nobody knows of anything there"),
        "{out}"
    );
    assert_eq!(plan(&desk).1, 0);
}

/// Names that go round.
#[test]
fn names_that_were_exchanged_come_back_exchanged() {
    let desk = Desk::new();
    let of = std::fs::read_to_string("examples/shared-quota/deploy.yaml").expect("read");
    spec(&desk, |_| of.clone());
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let first = serial(&desk);
    let before = desk.sim.inventory().len();
    for names in [
        ["services.draft", "services.x"],
        ["services.answer", "services.draft"],
        ["services.x", "services.answer"],
    ] {
        let (out, err, code) = desk.here(&["state", "mv", names[0], names[1]]);
        assert_eq!(code, 0, "{out}{err}");
    }
    let exchanged = of.replace("draft", "\u{0}").replace("answer", "draft").replace('\u{0}', "answer");
    spec(&desk, |_| exchanged);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    desk.lose();
    let out = desk.ok(&["state", "restore", ".", "--to", &first]);
    assert!(
        out.contains("services.answer is services.draft by now")
            && out.contains("services.draft is services.answer by now"),
        "{out}"
    );
    let (out, _) = plan(&desk);
    assert!(out.contains("0 to create") && out.contains("0 to remove"), "{out}");
    assert_eq!(desk.sim.inventory().len(), before);
}
