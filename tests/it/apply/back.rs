//! Back to what was: by the plan that follows from two recorded states, on virtual time; and by the commands that people type.

use std::sync::Arc;

use rhumb::check;
use rhumb::plan::{self, Action, Desired, RollbackError};
use rhumb::render::Artifact;
use rhumb::state::State;
use rhumb_api::{Attr, ResourceAddr, ResourceKind};
use rhumb_sim::World;
use serde_json::Value;

use super::deployment::{Region, run};
use super::life::{Desk, follows};
use super::seeds::Dice;
use super::world::{Plan, Theatre};

/// The files of every launch template of what is wanted.
fn files(wanted: &Desired) -> Vec<Artifact> {
    let templates = wanted.iter().filter(|(_, (of, _))| of.kind == ResourceKind::LaunchTemplate);
    let of = |(addr, (of, _)): (&ResourceAddr, &(rhumb_api::Resource, _))| {
        let content = format!("exec {:?}\n", of.attributes["start_script_sha256"]);
        let (name, sha256) = ("start.sh".to_owned(), sha256(&content));
        Artifact { addr: addr.clone(), name, content, sha256 }
    };
    templates.map(of).collect()
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// A deployment by chance: one to three places, each with one or two pools.
fn some(dice: &mut Dice) -> Desired {
    let mut all = Desired::new();
    for region in ["eu-west-1", "eu-west-2", "eu-west-3"] {
        if dice.below(3) == 0 && !all.is_empty() {
            continue;
        }
        let mut of = Region::new("services.chat", region);
        (of.range, of.share) = (64 + dice.below(2) as u8, 1 + dice.below(3) as i64);
        of.pools.clear();
        for instance_type in ["g6e.xlarge", "p5.48xlarge"] {
            if dice.below(2) == 0 || of.pools.is_empty() {
                of.pools.insert(instance_type.into(), (1 + dice.below(4) as i64, 1 + dice.below(3) as u32));
            }
        }
        all.extend(of.wanted());
    }
    all
}

fn applied(theatre: &mut Theatre, name: &str, wanted: &Desired) {
    theatre.artifacts = files(wanted);
    let state = (!theatre.durable.resources.is_empty()).then(|| theatre.durable.clone());
    let plan = Plan { from: Some(theatre.durable.serial), ..Plan::new(name, state.as_ref(), wanted) };
    theatre.converge(&plan);
    assert_eq!(theatre.faults(wanted), Vec::<String>::new(), "{name}");
}

fn back(prior: &State, to: &State) -> Result<plan::Plan, RollbackError> {
    plan::rollback("demo", "2026-11-25T00:00:00Z", prior, to, Vec::new())
}

fn as_it_was(
    state: &State,
) -> Vec<(String, rhumb_api::Resource, std::collections::BTreeMap<String, String>)> {
    let of = |(addr, thing): (&ResourceAddr, &Arc<rhumb::state::StateResource>)| {
        (addr.to_string(), thing.resource.clone(), thing.files.clone())
    };
    state.resources.iter().map(of).collect()
}

#[test]
fn whatever_was_applied_since_a_rollback_leads_back_and_its_checker_agrees() {
    let mut moved = 0;
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut theatre = Theatre::new(World { seed, ..World::default() });
        let (first, second) = (some(&mut dice), some(&mut dice));
        applied(&mut theatre, "first", &first);
        let then = theatre.durable.clone();
        applied(&mut theatre, "second", &second);
        let now = theatre.durable.clone();
        let plan = back(&now, &then).expect("a way back");
        let report = check::rollback(Some(&now), Some(&then), &plan);
        assert!(report.passed() && report.promises > 0, "seed {seed}: {:#?}", report.findings);
        moved += usize::from(!plan.steps.is_empty());
        theatre.artifacts.clone_from(&plan.artifacts);
        let order = plan.steps.iter().map(|step| step.addr.clone()).collect();
        let (from, changes) = (Some(now.serial), plan.changes.clone());
        let of = Plan {
            name: "back".into(),
            from,
            changes,
            standbys: Vec::new(),
            order,
            rollouts: Vec::new(),
            dips: Vec::new(),
        };
        theatre.converge(&of);
        assert_eq!(theatre.faults(&first), Vec::<String>::new(), "seed {seed}");
        assert_eq!(as_it_was(&theatre.durable), as_it_was(&then), "seed {seed}");
        // From there it is no way.
        assert!(back(&theatre.durable, &then).expect("a way").steps.is_empty(), "seed {seed}");
    }
    assert!(moved > 40, "{moved} of 60 led somewhere");
}

#[test]
fn each_planted_fault_of_a_rollback_is_found() {
    let mut theatre = Theatre::new(World { seed: 1, ..World::default() });
    let small = Region::new("services.chat", "eu-west-1");
    let mut grown = small.clone();
    grown.pools.insert("g6e.xlarge".into(), (4, 2));
    applied(&mut theatre, "first", &small.wanted());
    let then = theatre.durable.clone();
    applied(&mut theatre, "second", &grown.wanted());
    let now = theatre.durable.clone();
    let right = back(&now, &then).expect("a way back");
    assert!(check::rollback(Some(&now), Some(&then), &right).passed());
    #[rustfmt::skip]
    let faults: &[(&str, fn(&mut plan::Plan))] = &[
        ("it is not led back", |p| change(p, |c| { c.after.as_mut().expect("wanted").attributes.insert("count", Attr::Int(3)); })),
        ("it is not led back", |p| change(p, |c| { c.after.clone_from(&c.before); c.action = Action::Keep; c.fields.clear(); c.reasons.clear(); })),
        ("another file", |p| { p.artifacts[0].content = "exec other\n".into(); p.artifacts[0].sha256 = sha256("exec other\n"); }),
        ("the hash of the file", |p| p.artifacts[0].content.push('x')),
        ("the serial that it leads back to", |p| p.rollback.as_mut().expect("one").to += 1),
        ("the state that it leads back to", |p| p.rollback.as_mut().expect("one").digest = "0".repeat(64)),
        ("a change without a step", |p| { p.steps.pop(); }),
        ("something is budgeted", |p| p.budgets.push(budget())),
        ("does not mention", |p| { p.changes.remove(0); }),
        ("the serial", |p| p.prior.as_mut().expect("one").serial += 1),
    ];
    for (words, plant) in faults {
        let mut wrong = right.clone();
        plant(&mut wrong);
        assert_ne!(wrong, right, "{words}: the fault is planted");
        let found = check::rollback(Some(&now), Some(&then), &wrong).findings;
        assert!(found.iter().any(|f| f.message.contains(words)), "{words}: {found:#?}");
    }
}

fn change(plan: &mut plan::Plan, how: impl Fn(&mut plan::Change)) {
    let fleet = |c: &&mut plan::Change| c.after.as_ref().is_some_and(|r| r.kind == ResourceKind::Fleet);
    how(plan.changes.iter_mut().find(fleet).expect("a fleet"));
}

fn budget() -> plan::BudgetLine {
    let (limit, figure) = (rhumb_api::Money::ZERO, rhumb_api::Money::ZERO);
    plan::BudgetLine { workload: None, label: None, limit, binds: "expected".into(), figure }
}

#[test]
fn runs_that_end_are_left_alone_and_what_is_not_known_is_not_guessed() {
    let mut theatre = Theatre::new(World { seed: 1, ..World::default() });
    let service = Region::new("services.chat", "eu-west-1").wanted();
    let with = |name: &str| -> Desired {
        service.clone().into_iter().chain(run(name, "g2-standard-4", 1)).collect()
    };
    applied(&mut theatre, "first", &with("nightly"));
    let then = theatre.durable.clone();
    applied(&mut theatre, "second", &with("other"));
    let now = theatre.durable.clone();
    let plan = back(&now, &then).expect("a way back");
    assert!(plan.steps.is_empty(), "neither run again nor ended: {:?}", plan.steps);
    let keeps = |name: &str| plan.changes.iter().any(|c| c.addr.workload() == format!("batches.{name}"));
    assert!(keeps("other") && !keeps("nightly"));
    // A version of an older rhumb.
    let mut older = then.clone();
    for thing in older.resources.values_mut() {
        Arc::make_mut(thing).files.clear();
    }
    assert!(back(&now, &older).is_ok(), "nothing of it is to be started");
    let nothing = State { resources: Default::default(), ..now.clone() };
    assert!(matches!(back(&nothing, &older), Err(RollbackError::NoFiles(_))));
    let other = State { lineage: "another".into(), ..then.clone() };
    assert!(matches!(back(&now, &other), Err(RollbackError::Elsewhere(..))));
    let real = State { simulated: false, ..then };
    assert_eq!(back(&now, &real), Err(RollbackError::Simulated));
}

const HISTORY: &str = include_str!("../../../src/cli/commands/history/schema.json");
const EVENTS: &str = include_str!("../../../src/cli/commands/apply/schema.json");
const OUTPUT: &str = include_str!("../../../src/cli/commands/output/schema.json");
const PLAN: &str = include_str!("../../../templates/report/plan.schema.json");

#[test]
fn somebody_goes_back_and_finds_where_it_is() {
    let desk = Desk::new();
    let (_, err, code) = desk.here(&["output"]);
    assert!(code == 1 && err.contains("nothing was ever recorded there"), "{err}");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let told = follows(OUTPUT, &desk.here(&["output", "--json"]).0);
    let url = told["endpoints"][0]["url"].as_str().expect("an address").to_owned();
    assert!(url.starts_with("http") && url.ends_with(".invalid"), "{url}");
    assert_eq!(
        (told["endpoints"].as_array().map(Vec::len), told["resources"].as_array().map(Vec::len)),
        (Some(1), Some(5))
    );
    assert_eq!(desk.here(&["output", "--urls"]).0, format!("{url}\n"));
    let (out, _, _) = desk.here(&["output", "--of", "services.chat"]);
    assert!(out.contains(&url) && out.contains("net-00000001") && out.contains("SIMULATED"), "{out}");
    let (_, err, code) = desk.here(&["output", "--of", "services.other"]);
    assert!(code == 1 && err.contains("nothing of services.other is recorded"), "{err}");
    // A version at the end of each apply.
    let versions = |desk: &Desk| -> Vec<u64> {
        let told: Value = serde_json::from_str(&desk.here(&["state", "versions", "--json"]).0).expect("JSON");
        told["versions"].as_array().expect("a list").iter().filter_map(|v| v["serial"].as_u64()).collect()
    };
    let first = versions(&desk)[0];
    let spec = desk.path().join("deploy.yaml");
    let text = std::fs::read_to_string(&spec).expect("read");
    let changed = text.replace("{ team: support }", "{ team: other }");
    assert_ne!(text, changed);
    std::fs::write(&spec, changed.replace("peak: 12 req/s", "peak: 22 req/s")).expect("written");
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(versions(&desk).len(), 2);
    let (out, _, _) = desk.here(&["state", "versions"]);
    assert!(out.contains(&first.to_string()) && out.lines().count() == 3, "{out}");
    let at = |serial: &str| desk.here(&["state", "pull", "--serial", serial]).0;
    let then = rhumb::state::file::decode("then", &at(&first.to_string())).expect("a state");
    // To where there is nothing.
    let (_, err, code) = desk.there(&["rollback", "--to", "9999"]);
    assert!(code == 1 && err.contains("there is no version of serial 9999; kept are"), "{err}");
    // The end of input is no yes.
    let to = first.to_string();
    let (out, err, code) = desk.there(&["rollback", "--to", &to]);
    assert!(code == 1 && err.contains("you did not say yes"), "{out}{err}");
    assert!(
        out.contains(&format!("back to serial {to}")) && out.contains("the spec stays as it is"),
        "{out}"
    );
    assert!(out.contains("USD an hour") && out.contains("count"), "{out}");
    // Saved, looked at, checked, applied once.
    let out = desk.ok(&["rollback", "--to", &to, "--out", "back.plan", "--json"]);
    let told = follows(PLAN, &out);
    assert_eq!(told["rollback_to"].as_u64(), Some(first));
    let (out, err, code) = desk.here(&["check", "--plan", "back.plan"]);
    assert!(code == 0 && out.contains("all hold"), "{out}{err}");
    let (out, _, _) = desk.here(&["show", "back.plan"]);
    assert!(out.contains(&format!("back to serial {to}")), "{out}");
    // Who approves it signs it, as any other plan.
    std::fs::write(desk.path().join("key.pem"), super::asked::PRIVATE).expect("written");
    std::fs::write(desk.path().join("key.pub"), super::asked::PUBLIC).expect("written");
    let signed = ["rollback", "--to", &to, "--out", "signed.plan", "--sign", "key.pem", "--quiet"];
    desk.ok(&signed);
    let verified = ["preflight", "signed.plan", "--require-signature", "key.pub"];
    assert!(desk.ok(&verified).contains("all who must have signed it have"));
    let (_, err, code) = desk.there(&["rollback", "--to", &to, "--yes", "--require-signature", "env:KEY"]);
    assert!(code == 4 && err.contains("rhumb rollback --out"), "{err}");
    let out = desk.ok(&["apply", "back.plan", "--quiet"]);
    assert!(out.contains("It is as it was."), "{out}");
    let out = desk.ok(&["apply", "back.plan", "--quiet"]);
    assert!(out.contains("this plan was applied by "), "{out}");
    let (pulled, _, _) = desk.here(&["state", "pull"]);
    let now = rhumb::state::file::decode("now", &pulled).expect("a state");
    assert_eq!(as_it_was(&now), as_it_was(&then));
    assert!(now.resources.values().any(|thing| !thing.files.is_empty()));
    // With the spec of then there is nothing to do; with the other one the plan leads forward again.
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 2, "{out}");
    std::fs::write(&spec, text).expect("written");
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    // Only so many versions stay.
    let kept = rhumb::state::local::MOST_VERSIONS;
    let mut disk = rhumb::state::disk::RealDisk::new();
    let path = desk.path().join("rhumb.state.json");
    assert!(path.exists());
    for serial in 1_000..1_000 + kept as u64 {
        std::fs::write(desk.path().join(format!("rhumb.state.json.version-{serial}")), &pulled)
            .expect("written");
    }
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    let left = rhumb::state::local::versions(&mut disk, &path, "state").expect("listed");
    assert_eq!(left.len(), kept);
    assert!(left.iter().all(|serial| *serial >= 1_000), "the oldest went: {left:?}");
    let (_, err, code) = desk.here(&["state", "pull", "--serial", "1000"]);
    assert!(code == 1 && err.contains("it is of serial"), "a version that was renamed is told: {err}");
}

/// What was refused is not planned on again until somebody says so, so that the plan after a fallback is empty.
#[test]
fn what_was_refused_is_not_asked_for_again_at_once() {
    let desk = Desk::new();
    let out = desk.here(&["plan", ".", "--json"]).0;
    let planned: Value = serde_json::from_str(&out).expect("JSON");
    let fleet = |plan: &Value| -> Value {
        let changes = plan["changes"].as_array().expect("a list");
        changes.iter().find(|c| c["kind"] == "fleet" && c["after"].is_object()).expect("a fleet").clone()
    };
    let first = fleet(&planned);
    let text = |of: &Value, name: &str| of["after"][name].as_str().expect("a text").to_owned();
    let stock = rhumb_sim::Stock {
        cloud: place(&first, 1).parse().expect("a cloud"),
        region: place(&first, 2),
        instance_type: text(&first, "instance_type"),
        spot: text(&first, "purchase") == "spot",
        machines: Some(0),
    };
    desk.sim.set_world(&World { stock: vec![stock.clone()], ..super::process::quick() });
    let out = desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("Refused: machines of"), "{out}");
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode"]);
    assert_eq!(code, 0, "{out}");
    let told = format!(
        "{} on demand in {}/{} was refused (capacity)",
        stock.instance_type, stock.cloud, stock.region
    );
    assert!(out.contains(&told) && out.contains("`rhumb state retry` ends it"), "{out}");
    // The checker knows of it.
    let (_, err, code) = desk.here(&["plan", ".", "--out", "same.plan", "--quiet"]);
    assert_eq!(code, 0, "{err}");
    let (out, err, code) = desk.here(&["check", "--plan", "same.plan"]);
    assert!(code == 0 && out.contains("all hold"), "{out}{err}");
    let retried = desk.here(&["state", "retry", "."]).0;
    assert!(retried.contains("is planned on again"), "{retried}");
    let told = follows(HISTORY, &desk.here(&["history", "--json"]).0);
    assert_eq!(told["history"].as_array().and_then(|all| all.last()).expect("one")["what"], "retry");
    assert_eq!(desk.here(&["state", "retry", "."]).0, "Nothing is recorded that was refused.\n");
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode", "--json"]);
    let again: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, text(&fleet(&again), "instance_type")), (2, stock.instance_type.clone()));
    // There are some again: they are made, and the refusal is over.
    desk.sim.set_world(&super::process::quick());
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, _, code) = desk.here(&["plan", ".", "--detailed-exitcode"]);
    assert!(code == 0 && !out.contains("was refused"), "{out}");
}

/// A segment of an address.
fn place(change: &Value, nth: usize) -> String {
    change["address"].as_str().and_then(|addr| addr.split('/').nth(nth)).expect("a segment").to_owned()
}

#[test]
fn a_state_moves_with_everything_that_it_says() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let pulled = desk.here(&["state", "pull"]).0;
    let (_, err, code) = desk.here(&["state", "move", "--to", "rhumb.state.json", "."]);
    assert!(code == 1 && err.contains("it is there already"), "{err}");
    let (out, err, code) = desk.here(&["state", "move", "--to", "elsewhere.json", "."]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("5 things") && out.contains("Let the spec name the new place"), "{out}");
    assert_eq!(desk.here(&["state", "pull", "--state", "elsewhere.json"]).0, pulled);
    // Nothing is made once more where it was.
    for args in [&["state", "list"][..], &["plan", "."]] {
        let (_, err, code) = desk.here(args);
        assert!(code == 1 && err.contains("the state was moved to another place"), "{err}");
    }
    assert!(desk.path().join("rhumb.state.json.moved").exists());
    let (out, _, code) =
        desk.here(&["plan", ".", "--state", "elsewhere.json", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    let out = desk.ok(&["apply", ".", "--yes", "--quiet", "--state", "elsewhere.json"]);
    assert!(out.contains("0 to create, 0 to change, 0 to remove"), "{out}");
    // Not onto something else; and one that was cut off before the old file was renamed goes on.
    let (_, err, code) = desk.here(&["state", "move", "--to", "third.json", "."]);
    assert!(code == 1 && err.contains("the state was moved to another place"), "{err}");
    std::fs::rename(desk.path().join("rhumb.state.json.moved"), desk.path().join("rhumb.state.json"))
        .expect("back");
    let (_, err, code) = desk.here(&["state", "move", "--to", "elsewhere.json", "."]);
    assert_eq!(code, 0, "{err}");
    let other = rhumb::state::file::encode(&State::new("another".into(), true));
    std::fs::write(desk.path().join("third.json"), other).expect("written");
    let (_, err, code) =
        desk.here(&["state", "move", "--to", "third.json", ".", "--state", "elsewhere.json"]);
    assert!(code == 1 && err.contains("something else is recorded there"), "{err}");
    assert_eq!(desk.here(&["state", "pull", "--state", "elsewhere.json"]).0, pulled, "it stays");
    // And back: then it is there again, and was not moved.
    let (out, err, code) =
        desk.here(&["state", "move", "--to", "rhumb.state.json", ".", "--state", "elsewhere.json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(desk.here(&["state", "pull"]).0, pulled);
    assert!(!desk.path().join("rhumb.state.json.moved").exists());
    std::fs::remove_file(desk.path().join("rhumb.state.json")).expect("lost");
    let _ = std::fs::remove_file(desk.path().join("rhumb.state.json.journal"));
    let (_, err, code) = desk.here(&["plan", "."]);
    assert!(code == 1 && err.contains("it was lost"), "{err}");
}

#[test]
fn events_of_health_follow_the_schema() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let fleet =
        desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == ResourceKind::Fleet).expect("one");
    let address = fleet.address().expect("tagged").as_str();
    let out = desk.ok(&["apply", ".", "--yes", "--json", "--replace", address]);
    let events: Vec<Value> = out.lines().map(|line| follows(EVENTS, line)).collect();
    let health = events.iter().find(|event| event["stage"] == "healthy").expect("an event");
    assert_eq!((&health["verb"], health["address"].as_str()), (&Value::from("check"), Some(address)));
    assert_eq!(health["healthy"], health["wanted"]);
    let at = |what: &dyn Fn(&&Value) -> bool| events.iter().position(|event| what(&event)).expect("told");
    let gone = at(&|event| event["verb"] == "delete" && event["stage"] == "begun");
    assert!(at(&|event| event["stage"] == "healthy") < gone, "it serves before the old one goes");
}
