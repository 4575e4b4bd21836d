//! Records that people put right: other addresses, and what was lost.

use std::collections::BTreeSet;

use rhumb_api::{Attr, Handle, ResourceKind};
use serde_json::Value;

use super::life::{Desk, follows};

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
    let network = "services.chat/aws/eu-south-2/network";
    let (_, err, code) = desk.here(&["state", "mv", network, "services.chat/aws/eu-south-2/firewall"]);
    assert!(code == 1 && err.contains("firewall is recorded already"), "{err}");
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
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(handles(&desk), before, "nothing was made anew");
    let tagged = |seen: &rhumb_api::Observed| seen.tags.address.workload() == "services.bot";
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
    let firewall = "services.chat/aws/eu-south-2/firewall";
    for (from, to) in
        [(firewall, "services.chat/wall"), ("services.chat", "services.bot"), ("services.bot/wall", firewall)]
    {
        let (out, err, code) = desk.here(&["state", "mv", from, to]);
        assert_eq!(code, 0, "{from}: {out}{err}");
        assert_eq!(desk.ok(&["refresh", "."]), "5 things looked at: all are as recorded.\n", "{from}");
    }
    // A rest of the old name is there.
    let (_, err, code) =
        desk.here(&["state", "mv", "services.bot/aws", "services.chat/aws/eu-south-2/firewall/x"]);
    assert_eq!(code, 0, "{err}");
    desk.here(&["state", "mv", "services.chat/aws/eu-south-2/firewall/x", "services.chat/aws"]);
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
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
    let address = fleet.expect("a fleet").tags.address;
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
    assert!(code == 1 && err.contains("If it is damaged: move"), "{err}");
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
