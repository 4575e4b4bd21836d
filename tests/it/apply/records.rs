//! Records that people put right: other addresses, and what was lost.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Handle, ResourceKind};
use rhumb_sim::Verb;
use serde_json::Value;

use super::life::{Desk, follows};
use crate::extent::one_in;

const LIST: &str = include_str!("../../../src/cli/commands/state/schema.json");
const HISTORY: &str = include_str!("../../../src/cli/commands/history/schema.json");

fn handles(desk: &Desk) -> BTreeSet<Handle> {
    desk.sim.inventory().into_iter().map(|seen| seen.handle).collect()
}

fn called(desk: &Desk, from: &str, to: &str) {
    let spec = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).expect("read");
    let named = |name: &str| format!("services:\n  {name}:\n");
    assert!(text.contains(&named(from)), "{text}");
    std::fs::write(&spec, text.replace(&named(from), &named(to))).expect("written");
}

#[test]
fn a_service_is_renamed_where_it_stands() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet", "--parallel", "1"]);
    let before = handles(&desk);
    let (_, err, code) = desk.here(&["state", "mv", "services.chatt", "services.bot"]);
    assert!(code == 1 && err.contains("did you mean services.chat?"), "{err}");
    for (to, why) in [
        ("batches.chat", "it is of another kind"),
        ("services", "it is no workload"),
        ("services.chat/aws/x", "it is no workload"),
        ("services.chat", "it has this address already"),
    ] {
        let (_, err, code) = desk.here(&["state", "mv", "services.chat", to]);
        assert!(code == 1 && err.contains(why), "{to}: {err}");
    }
    desk.here(&["plan", ".", "--out", "before.plan", "--quiet"]);
    let (out, err, code) = desk.here(&["state", "mv", "services.chat", "services.bot", "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, told["renamed"].as_array().map(Vec::len)), (0, Some(5)), "{out}{err}");
    let (_, err, code) = desk.there(&["apply", "before.plan", "--quiet"]);
    assert!(code == 4 && err.contains("stale"), "{err}");
    // What the clouds call by its old name is no difference, and no stray.
    assert_eq!(desk.ok(&["refresh", "."]), "5 things looked at: all are as recorded.\n");
    let (out, _, _) = desk.here(&["state", "list"]);
    assert!(out.contains("its cloud knows it as services.chat/aws/eu-south-2/network"), "{out}");
    called(&desk, "chat", "bot");
    let (out, _, _) = desk.here(&["plan", ".", "--quiet"]);
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    // What a person changes meanwhile is seen, and nothing else.
    let fleet = before.iter().find(|handle| handle.kind == ResourceKind::Fleet).expect("a fleet");
    desk.sim.set_attribute(fleet, "count", Some(Attr::Int(19)));
    let (out, _, _) = desk.there(&["refresh", ".", "--dry-run"]);
    assert!(out.contains("count 8 -> 19") && out.contains("1 is otherwise than recorded"), "{out}");
    desk.sim.set_attribute(fleet, "count", Some(Attr::Int(8)));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(handles(&desk), before, "nothing was made anew");
    let tagged = |seen: &rhumb_api::Observed| seen.address().expect("tagged").workload() == "services.bot";
    assert!(desk.sim.inventory().iter().all(tagged));
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    let (out, _, _) = desk.here(&["state", "list"]);
    assert!(!out.contains("services.chat"), "{out}");
    let told = follows(HISTORY, &desk.here(&["history", "--json"]).0);
    assert_eq!(told["history"][1]["what"], "rename");
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert!(desk.sim.inventory().is_empty());
}

#[test]
fn renamed_there_and_back_is_nothing() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    for names in ["services.chat", "services.bot", "services.talk", "services.chat"].windows(2) {
        let (out, err, code) = desk.here(&["state", "mv", names[0], names[1]]);
        assert_eq!(code, 0, "{names:?}: {out}{err}");
        assert_eq!(desk.ok(&["refresh", "."]), "5 things looked at: all are as recorded.\n", "{names:?}");
    }
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
}

/// Whatever else changes with the name: fewer machines, more of them, other ones, routing.
#[test]
fn a_service_is_renamed_and_changed_at_once() {
    let changes = [
        ("peak: 12 req/s", "peak: 6 req/s"),
        ("peak: 12 req/s", "peak: 22 req/s"),
        ("team: support", "team: other"),
        ("share: 60%", "share: 70%"),
    ];
    for (from, to) in one_in(4, 1).cases(changes, |_| [()]) {
        let desk = Desk::new();
        desk.ok(&["apply", ".", "--yes", "--quiet"]);
        desk.here(&["state", "mv", "services.chat", "services.bot"]);
        called(&desk, "chat", "bot");
        let spec = desk.path().join("deploy.yaml");
        let text = std::fs::read_to_string(&spec).expect("read").replace("monthly: 60000", "monthly: 160000");
        let text = if from.starts_with("share") { text.replace("share: 40%", "share: 30%") } else { text };
        assert!(text.contains(from));
        std::fs::write(&spec, text.replace(from, to)).expect("written");
        desk.ok(&["apply", ".", "--yes", "--quiet"]);
        let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
        assert_eq!(code, 0, "{to}: {out}");
        let told = follows(LIST, &desk.here(&["state", "list", "--json"]).0);
        assert_eq!(Some(desk.sim.inventory().len()), told["resources"].as_array().map(Vec::len), "{to}");
    }
}

/// Versions from before a renaming are read with the names of now.
#[test]
fn what_was_renamed_is_led_back_and_restored_where_it_stands() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let before = handles(&desk);
    let serial = follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].to_string();
    desk.here(&["state", "mv", "services.chat", "services.bot"]);
    called(&desk, "chat", "bot");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, err, code) =
        desk.here(&["rollback", ".", "--to", &serial, "--no-refresh", "--out", "back.plan", "--quiet"]);
    assert!(code == 0 && out.contains("0 to create, 5 to change, 0 to remove"), "{out}{err}");
    let fleet = "services.bot/aws/eu-south-2/g7e.2xlarge/on_demand";
    desk.here(&["state", "rm", fleet]);
    let out = desk.ok(&["state", "restore", ".", "--to", &serial]);
    assert!(out.contains(fleet) && out.contains("is recorded again"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(handles(&desk), before);
}

/// A replacement was under way when the file was lost: what is new is in use, and what is old goes once that serves.
#[test]
fn a_file_lost_amid_a_replacement_is_restored_with_both() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let serial = follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].to_string();
    let fleet = "services.chat/aws/eu-south-2/g7e.2xlarge/on_demand";
    let anew = ["apply", ".", "--yes", "--quiet", "--replace", fleet];
    desk.killed_after(Verb::Create, Some(ResourceKind::Fleet), &anew);
    assert_eq!(desk.sim.inventory().len(), 6);
    desk.lose();
    let out = desk.ok(&["state", "restore", ".", "--to", &serial]);
    assert!(out.contains("it is in use from now on"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let there = desk.sim.inventory();
    assert_eq!(there.len(), 5);
    let left = there.iter().find(|seen| seen.handle.kind == ResourceKind::Fleet).expect("a fleet");
    assert_eq!(left.handle.id, "fleet-00000002");
}

/// What was left to others by mistake comes back as it was.
#[test]
fn what_the_record_has_lost_is_restored() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let serial = follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].to_string();
    let (out, err, code) = desk.there(&["state", "restore", ".", "--to", &serial]);
    assert!(code == 0 && out.starts_with("Nothing that is there"), "{out}{err}");
    let fleet = desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == ResourceKind::Fleet);
    let address = fleet.expect("a fleet").tags.expect("tagged").address;
    desk.here(&["state", "rm", address.as_str()]);
    let (_, err, code) = desk.there(&["state", "restore", ".", "--to", "3"]);
    assert!(code == 1 && err.contains("there is no version of serial 3; kept are"), "{err}");
    let (out, err, code) = desk.there(&["state", "restore", ".", "--to", &serial, "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(told["restored"][0]["address"], address.as_str());
    assert_eq!(
        (told["gone"].as_array().map(Vec::len), told["restored"].as_array().map(Vec::len)),
        (Some(0), Some(1))
    );
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    let told = follows(HISTORY, &desk.here(&["history", "--json"]).0);
    assert_eq!(told["history"][2]["what"], "restore");
}

/// The file is gone: what was made since the version has our tags.
#[test]
fn a_lost_file_is_restored_with_what_was_made_since() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let serial = follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].to_string();
    let balancer =
        desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == ResourceKind::LoadBalancer);
    desk.sim.vanish(&balancer.expect("one").handle);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let before = handles(&desk);
    let (listed, _, _) = desk.here(&["state", "list", "--json"]);
    let entries = std::fs::read_dir(desk.path()).expect("listed").flatten();
    let names: Vec<_> = entries.map(|entry| entry.path()).collect();
    let state =
        names.iter().find(|path| path.extension().is_some_and(|e| e == "journal")).expect("a journal");
    let state = state.with_extension("");
    // Damaged, it says what to do.
    std::fs::write(&state, "{").expect("written");
    let (_, err, code) = desk.there(&["state", "restore", ".", "--to", &serial]);
    assert!(code == 1 && err.contains("versions of it lie beside") && err.contains(".journal away"), "{err}");
    std::fs::remove_file(&state).expect("removed");
    std::fs::remove_file(format!("{}.journal", state.display())).expect("removed");
    let (out, err, code) = desk.there(&["state", "restore", ".", "--to", &serial]);
    assert!(code == 0 && out.contains("1 thing is recorded again"), "{out}{err}");
    assert!(out.contains("load_balancer"), "{out}");
    let (again, _, _) = desk.here(&["state", "list", "--json"]);
    let ids = |text: &str| -> BTreeSet<String> {
        let told: Value = serde_json::from_str(text).expect("JSON");
        let all = told["resources"].as_array().cloned().unwrap_or_default();
        all.iter().map(|row| format!("{} {}", row["address"], row["id"])).collect()
    };
    assert_eq!(ids(&again), ids(&listed));
    // The version knows the fleet behind the load balancer of that time: it is told of the one that is there.
    let (out, _, _) = desk.there(&["plan", ".", "--refresh", "--quiet"]);
    assert!(out.contains("0 to create, 1 to change, 0 to remove"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(handles(&desk), before);
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert!(desk.sim.inventory().is_empty());
}

/// Machines that several services share have their names in what cannot change: that is said, and they are made anew.
#[test]
fn a_service_that_shares_machines_is_renamed_with_a_word() {
    let desk = Desk::new();
    let spec = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string("examples/shared-machines/deploy.yaml").expect("read");
    std::fs::write(&spec, &text).expect("written");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let name = text
        .lines()
        .skip_while(|line| *line != "services:")
        .nth(1)
        .and_then(|line| line.trim().strip_suffix(':'))
        .expect("a service");
    let (out, err, code) =
        desk.here(&["state", "mv", &format!("services.{name}"), &format!("services.{name}2"), "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert!(told["made_anew"].as_array().is_some_and(|all| !all.is_empty()), "{out}");
    std::fs::write(&spec, text.replace(&format!("\n  {name}:\n"), &format!("\n  {name}2:\n")))
        .expect("written");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
}
