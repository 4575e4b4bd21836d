//! A deployment from its first plan to its end, by the commands that people type.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rhumb::state::State;
use rhumb_api::{Attr, Attributes, Observed, Owner, ResourceAddr, ResourceKind};
use rhumb_sim::{Rule, Verb, What, World};
use serde_json::Value;

use super::process::{Sim, begun, quick};
use crate::cli::{rhumb, run};

/// A folder with a spec, and the commands in it.
pub struct Desk {
    pub sim: Sim,
    folder: tempfile::TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy("examples/support-chat/deploy.yaml", folder.path().join("deploy.yaml"))
            .expect("copied");
        Desk { sim: Sim::start(), folder }
    }

    /// Another folder with the same spec and the same clouds.
    fn beside(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::copy(self.path().join("deploy.yaml"), folder.path().join("deploy.yaml")).expect("copied");
        Desk { sim: Sim::at(self.sim.url.clone()), folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn here(&self, args: &[&str]) -> (String, String, i32) {
        run(rhumb().current_dir(self.path()).args(args))
    }

    /// With the simulated cloud.
    pub fn there(&self, args: &[&str]) -> (String, String, i32) {
        run(rhumb().current_dir(self.path()).args(args).args(["--simulate", &self.sim.url]))
    }

    /// Lets its spec say something else.
    fn edit(&self, from: &str, to: &str) {
        let path = self.path().join("deploy.yaml");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).expect("written");
    }

    fn state(&self) -> State {
        rhumb::state::file::decode("pulled", &self.here(&["state", "pull"]).0).expect("a state")
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let (out, err, code) = self.there(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out
    }

    /// Kills a command that the simulated cloud holds after its first call of a kind has had its effect.
    pub fn killed_after(&self, verb: Verb, kind: Option<ResourceKind>, args: &[&str]) {
        let what = What::HoldAfter;
        let hold = Rule { verb: Some(verb), kind, address: None, nth: None, times: Some(1), what };
        self.sim.set_world(&World { rules: vec![hold], ..quick() });
        let mut command = rhumb();
        command.current_dir(self.path()).args(args).args(["--simulate", &self.sim.url]);
        let mut child = begun(&mut command);
        assert!(self.sim.holds(&mut child));
        child.kill().expect("killed");
        child.wait().expect("ended");
        self.sim.set_world(&quick());
    }

    /// State and journal are gone, the versions beside them are not.
    pub fn lose(&self) {
        let mut lost = 0;
        for entry in std::fs::read_dir(self.path()).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("rhumb.state.json") && !name.contains("version") {
                std::fs::remove_file(entry.path()).expect("removed");
                lost += 1;
            }
        }
        assert!(lost > 0);
    }

    fn thing(&self, kind: ResourceKind) -> Observed {
        self.sim.inventory().into_iter().find(|seen| seen.handle.kind == kind).expect("it is there")
    }
}

/// That a text is JSON by a schema, which refuses another name of itself.
pub fn follows(schema: &str, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let faults: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{value}: {faults:?}");
    let mut wrong = value.clone();
    wrong["schema"] = "rhumb.other/1".into();
    assert!(!validator.is_valid(&wrong));
    value
}

const DRIFT: &str = include_str!("../../../src/cli/commands/refresh/schema.json");
const LIST: &str = include_str!("../../../src/cli/commands/state/schema.json");
const HISTORY: &str = include_str!("../../../src/cli/commands/history/schema.json");

#[test]
fn what_others_changed_is_shown_recorded_and_changed_back() {
    let desk = Desk::new();
    let (_, err, code) = desk.there(&["refresh", "."]);
    assert!(code == 1 && err.contains("nothing was ever recorded there"), "{err}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let out = desk.ok(&["refresh", "."]);
    assert_eq!(out, "5 things looked at: all are as recorded.\n");
    let serial = |desk: &Desk| follows(LIST, &desk.here(&["state", "list", "--json"]).0)["serial"].clone();
    let before = serial(&desk);
    // By hand: a count, and a load balancer.
    let (fleet, balancer) = (desk.thing(ResourceKind::Fleet), desk.thing(ResourceKind::LoadBalancer));
    desk.sim.set_attribute(&fleet.handle, "count", Some(Attr::Int(9)));
    desk.sim.vanish(&balancer.handle);
    let Attr::Int(count) = fleet.attributes["count"] else { panic!("no number") };
    let (out, err, code) = desk.there(&["plan", ".", "--refresh-only", "--detailed-exitcode"]);
    assert_eq!(code, 2, "{out}{err}");
    assert!(out.contains(&format!("it was changed by others: count {count} -> 9")), "{out}");
    assert!(out.contains("load_balancer  (lb-") && out.contains("it is not there any more"), "{out}");
    assert!(
        out.ends_with("5 things looked at: 2 are otherwise than recorded; nothing was recorded.\n"),
        "{out}"
    );
    assert_eq!(serial(&desk), before, "looking records nothing");
    let (out, _, _) = desk.there(&["refresh", ".", "--json", "--detailed-exitcode"]);
    let told = follows(DRIFT, &out);
    assert_eq!((told["drift"].as_array().map(Vec::len), &told["recorded"]), (Some(2), &Value::Bool(true)));
    assert_ne!(serial(&desk), before);
    // A plan that was made before is stale by now; the new one leads back.
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("1 to create, 1 to change, 0 to remove"), "{out}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(desk.thing(ResourceKind::Fleet).attributes["count"], Attr::Int(count));
    assert_eq!(desk.ok(&["refresh", "."]), "5 things looked at: all are as recorded.\n");
    // An apply of a spec looks by itself.
    desk.sim.set_attribute(&fleet.handle, "count", Some(Attr::Int(19)));
    let (out, _, _) = desk.there(&["plan", ".", "--refresh", "--quiet"]);
    assert!(out.contains("1 to change, 0 to remove"), "{out}");
    desk.sim.set_attribute(&fleet.handle, "count", Some(Attr::Int(17)));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(desk.thing(ResourceKind::Fleet).attributes["count"], Attr::Int(count));
    let told = follows(HISTORY, &desk.here(&["history", "--json"]).0);
    let whats: Vec<&str> =
        told["history"].as_array().expect("a list").iter().filter_map(|deed| deed["what"].as_str()).collect();
    assert_eq!(whats, ["apply", "refresh", "apply", "refresh", "refresh", "apply"]);
    let (out, _, _) = desk.here(&["history"]);
    assert!(out.contains("5 created, 0 changed, 0 removed"), "{out}");
    assert!(out.contains("1 created, 1 changed, 0 removed"), "{out}");
}

#[test]
fn everything_goes_when_somebody_says_yes_or_approved_it() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, err, code) = desk.there(&["destroy", "."]);
    assert_eq!((code, desk.sim.inventory().len()), (1, 5), "the end of input is no yes: {out}{err}");
    assert!(out.contains("Plan: 0 to create, 0 to change, 5 to remove; nothing is left."), "{out}");
    assert!(err.contains("Destroy all of this of the simulated cloud?"), "{err}");
    // Saved, looked at, checked; a spec that has changed since does not keep it from going.
    let (out, _, code) = desk.here(&["plan", ".", "--destroy", "--out", "end.plan", "--detailed-exitcode"]);
    assert_eq!(code, 2, "{out}");
    let (out, _, _) = desk.here(&["plan", ".", "--destroy", "--json"]);
    let told = follows(include_str!("../../../templates/report/plan.schema.json"), &out);
    assert_eq!((&told["destroy"], told["changes"].as_array().map(Vec::len)), (&Value::Bool(true), Some(5)));
    let (shown, err, code) = desk.here(&["show", "end.plan"]);
    assert_eq!(code, 0, "{err}");
    assert!(shown.contains("Plan to destroy support") && shown.contains("everything is to go"), "{shown}");
    let (out, err, code) = desk.here(&["check", "--plan", "end.plan"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("all hold") && out.contains("no placement is planned"), "{out}");
    let spec = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).expect("read");
    std::fs::write(&spec, text.replace("team: support", "team: other")).expect("written");
    let out = desk.ok(&["apply", "end.plan", "--quiet"]);
    assert!(out.contains("0 created, 0 changed, 5 removed. Nothing is left."), "{out}");
    assert_eq!(desk.sim.inventory().len(), 0);
    let out = desk.ok(&["apply", "end.plan", "--quiet"]);
    assert!(out.contains("this plan was applied by "), "{out}");
    let (out, _, code) = desk.here(&["state", "list"]);
    assert!(code == 0 && out.starts_with("Nothing exists.\n"), "{out}");
    let out = desk.ok(&["destroy", ".", "--yes"]);
    assert!(out.contains("No changes: nothing exists."), "{out}");
    // And it can begin again.
    let out = desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("5 created, 0 changed, 0 removed"), "{out}");
}

#[test]
fn what_is_recorded_can_be_looked_at_and_left_to_others() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, _, _) = desk.here(&["state", "list"]);
    assert_eq!(out.lines().count(), 7, "{out}");
    assert!(out.contains("SIMULATED") && out.contains("net-00000001"), "{out}");
    let fleet = desk.thing(ResourceKind::Fleet);
    let address = fleet.address().expect("tagged").as_str();
    let (out, _, code) = desk.here(&["state", "show", address]);
    let shown: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, shown["id"].as_str()), (0, Some(fleet.handle.id.as_str())));
    let (pulled, _, _) = desk.here(&["state", "pull"]);
    let state = rhumb::state::file::decode("pulled", &pulled).expect("a state");
    assert_eq!(state.resources.len(), 5);
    let (_, err, code) = desk.here(&["state", "show", &address.replace("on_demand", "on_demad")]);
    assert!(code == 1 && err.contains(&format!("did you mean {address}?")), "{err}");
    let network = desk.thing(ResourceKind::Network).tags.expect("tagged").address;
    let (_, err, code) = desk.here(&["state", "rm", network.as_str()]);
    assert!(code == 1 && err.contains("stands on it"), "{err}");
    let (out, err, code) = desk.here(&["state", "rm", address]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(desk.sim.inventory().len(), 5, "it goes on existing");
    // It is nobody's stray, and the next plan would make another one.
    assert_eq!(desk.ok(&["refresh", "."]), "4 things looked at: all are as recorded.\n");
    let (out, _, _) = desk.here(&["plan", ".", "--quiet"]);
    assert!(out.contains("1 to create, 0 to change, 0 to remove"), "{out}");
    // Taken back by its address and its id.
    let (_, err, code) = desk.there(&["import", address, "asg-77"]);
    assert!(code == 1 && err.contains("there is no fleet asg-77"), "{err}");
    let (_, err, code) = desk.there(&["import", "services.other/x", &fleet.handle.id]);
    assert!(code == 1 && err.contains("the plan has no services.other/x"), "{err}");
    desk.ok(&["import", address, &fleet.handle.id]);
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(desk.sim.inventory().len(), 5);
}

/// What is recorded with its clouds' ids, each after what it stands on.
fn in_order(state: &State) -> Vec<(ResourceAddr, String)> {
    let mut left: Vec<_> = state.resources.iter().collect();
    let mut sorted = Vec::new();
    while !left.is_empty() {
        let stands =
            |needs: &[ResourceAddr]| needs.iter().any(|need| left.iter().any(|(addr, _)| *addr == need));
        let at = left.iter().position(|(_, thing)| !stands(&thing.depends_on)).expect("no circle");
        let (addr, thing) = left.remove(at);
        sorted.push((addr.clone(), thing.id.clone().expect("an id")));
    }
    sorted
}

/// Whose everything is that exists, each once.
fn owners(desk: &Desk) -> BTreeSet<Option<String>> {
    desk.sim.inventory().into_iter().map(|seen| seen.tags.map(|tags| tags.lineage)).collect()
}

/// A state that is lost: everything is taken over from the deployment that it was.
#[test]
fn a_lost_state_is_made_anew_from_what_exists() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let old = desk.state();
    for entry in std::fs::read_dir(desk.path()).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("rhumb.state") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    let (first, thing) = old.resources.first_key_value().expect("one");
    let (_, err, code) = desk.there(&["import", first.as_str(), thing.id.as_deref().expect("an id")]);
    assert!(code == 1 && err.contains(&format!("--lineage {}", old.lineage)), "{err}");
    for (addr, id) in in_order(&old) {
        desk.ok(&["import", addr.as_str(), &id, "--lineage", &old.lineage]);
    }
    assert_eq!(desk.ok(&["refresh", "."]), "5 things looked at: all are as recorded.\n");
    // Nothing differs; whose it is does.
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    assert!(out.contains(&format!("it is taken over from {}", old.lineage)), "{out}");
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory().len(), 0);
}

/// What another deployment made is imported, changed, and this one's from then on.
#[test]
fn what_another_deployment_left_is_taken_over_with_the_next_apply() {
    let theirs = Desk::new();
    theirs.ok(&["apply", ".", "--yes", "--quiet"]);
    let (old, ours) = (theirs.state(), theirs.beside());
    ours.edit("peak: 12 req/s", "peak: 20 req/s");
    for (addr, id) in in_order(&old) {
        ours.ok(&["import", addr.as_str(), &id, "--lineage", &old.lineage]);
    }
    let owner = Owner::Lineage(old.lineage.clone());
    assert!(ours.state().resources.values().all(|thing| thing.owner.as_ref() == Some(&owner)));
    let out = ours.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    let state = ours.state();
    assert_eq!(owners(&ours), [Some(state.lineage.clone())].into());
    for seen in ours.sim.inventory() {
        let thing = &state.resources[seen.address().expect("tagged")];
        assert_eq!((thing.token.as_ref(), &thing.owner), (seen.token(), &None), "{seen:?}");
    }
    assert_ne!(ours.thing(ResourceKind::Fleet).attributes["count"], Attr::Int(0));
    let (out, _, code) = ours.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    let (out, _, _) = theirs.there(&["refresh", ".", "--dry-run"]);
    let said = format!("what has its id is of another deployment (lineage {})", state.lineage);
    assert_eq!(out.matches(&said).count(), 5, "{out}");
}

/// The same under another name: what names other things by the addresses of that deployment is meant by ours.
#[test]
fn what_is_taken_over_may_have_another_name() {
    let theirs = Desk::new();
    theirs.ok(&["apply", ".", "--yes", "--quiet"]);
    let (old, ours) = (theirs.state(), theirs.beside());
    ours.edit("  chat:\n    model", "  desk:\n    model");
    for (addr, id) in in_order(&old) {
        let addr = addr.as_str().replace("services.chat", "services.desk");
        ours.ok(&["import", &addr, &id, "--lineage", &old.lineage]);
    }
    let (out, _, _) = ours.there(&["refresh", ".", "--dry-run"]);
    assert_eq!(out, "5 things looked at: all are as recorded.\n");
    let out = ours.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    assert_eq!(owners(&ours), [Some(ours.state().lineage)].into());
    let (out, _, code) = ours.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
}

/// What was made by hand names by ids what it stands on, and has no tags until it is taken over.
#[test]
fn what_nobody_ordered_is_taken_over_when_somebody_says_so() {
    let made = Desk::new();
    made.ok(&["apply", ".", "--yes", "--quiet"]);
    let (old, there) = (made.state(), made.sim.inventory());
    let ids: BTreeMap<&str, String> = old
        .resources
        .iter()
        .map(|(addr, thing)| (addr.as_str(), format!("{}-by-hand", thing.id.as_deref().expect("an id"))))
        .collect();
    let word = |value: &Attr| match value {
        Attr::Text(text) => ids.get(text.as_str()).map_or_else(|| value.clone(), |id| id.as_str().into()),
        other => other.clone(),
    };
    let desk = Desk::new();
    for mut seen in there {
        let tags = seen.tags.take().expect("tagged");
        seen.handle.id.clone_from(&ids[tags.address.as_str()]);
        let attributes: Attributes =
            seen.attributes.iter().map(|(name, value)| (name, word(value))).collect();
        seen.attributes = attributes;
        desk.sim.plant(&seen);
    }
    assert!(desk.thing(ResourceKind::Fleet).attributes != made.thing(ResourceKind::Fleet).attributes);
    for (addr, _) in in_order(&old) {
        let (addr, id) = (addr.as_str(), ids[addr.as_str()].as_str());
        let (_, err, code) = desk.there(&["import", addr, id]);
        assert!(code == 1 && err.contains("it has no tags") && err.contains("--untagged"), "{err}");
        desk.ok(&["import", addr, id, "--untagged"]);
    }
    let (out, _, _) = desk.there(&["refresh", ".", "--dry-run"]);
    assert_eq!(out, "5 things looked at: all are as recorded.\n");
    let (out, _, _) = desk.here(&["plan", "."]);
    assert!(out.contains("it is taken over from nobody"), "{out}");
    assert!(out.contains("0 to create, 5 to change, 0 to remove"), "{out}");
    // What was ours in its cloud when the apply was cut off is so in the record with the next one.
    let balancer = Some(ResourceKind::LoadBalancer);
    desk.killed_after(Verb::Update, balancer, &["apply", ".", "--yes", "--quiet"]);
    assert_eq!(owners(&desk).len(), 2);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(owners(&desk), [Some(desk.state().lineage)].into());
    let (out, _, code) = desk.there(&["plan", ".", "--refresh", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
}
