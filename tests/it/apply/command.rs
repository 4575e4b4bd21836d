//! `rhumb apply` as a person or a script meets it: what it refuses, and that nothing is changed then.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use rhumb_sim::{Denial, Rule, Stock, Verb, What, World};
use serde_json::Value;

use super::process::{Sim, quick, saved};
use crate::cli::{rhumb, run};

fn spec_in(folder: &Path) {
    std::fs::copy("examples/support-chat/deploy.yaml", folder.join("deploy.yaml")).expect("copied");
}

fn apply(sim: &Sim, folder: &Path, more: &[&str]) -> (String, String, i32) {
    let mut command = rhumb();
    command.current_dir(folder).args(["apply", ".", "--simulate", &sim.url, "--quiet"]).args(more);
    run(&mut command)
}

#[test]
fn a_spec_is_applied_once_and_the_next_plan_is_empty() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    spec_in(folder.path());
    let (_, err, code) = apply(&sim, folder.path(), &[]);
    assert_eq!((code, sim.inventory().len()), (1, 0), "the end of input is no yes: {err}");
    assert!(err.contains("nothing was changed"), "{err}");
    let mut child = rhumb();
    child.current_dir(folder.path()).args(["apply", ".", "--simulate", &sim.url, "--quiet"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    child.stdin.take().expect("piped").write_all(b"y\n").expect("written");
    assert_eq!(child.wait_with_output().expect("ended").status.code(), Some(1), "`y` is not `yes`");
    let (out, err, code) = apply(&sim, folder.path(), &["--yes"]);
    assert_eq!((code, sim.inventory().len()), (0, 5), "{out}{err}");
    // 20,863.29 USD a month over 730 hours are planned; load balancers have no known price.
    let per_hour =
        if crate::plans::REDUCED { "" } else { "planned for the mean of all hours: at least 28.58 USD" };
    assert!(
        out.contains(
            "5 created, 0 changed, 0 removed.\nSIMULATED: by what is recorded it would cost now at least "
        ) && out.contains(per_hour),
        "{out}"
    );
    let mut plan = rhumb();
    let (out, _, code) =
        run(plan.current_dir(folder.path()).args(["plan", ".", "--detailed-exitcode", "--quiet"]));
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("0 to create, 0 to change, 0 to remove"), "{out}");
    let (out, _, _) = run(rhumb().current_dir(folder.path()).args(["plan", "."]));
    assert!(out.contains("SIMULATED"), "{out}");
    let (_, err, code) = apply(&sim, folder.path(), &["--yes"]);
    assert_eq!((code, sim.inventory().len()), (0, 5), "{err}");
    #[cfg(unix)]
    for entry in std::fs::read_dir(folder.path()).expect("listed").flatten() {
        use std::os::unix::fs::PermissionsExt as _;
        if entry.file_name().to_string_lossy().contains("state") {
            let mode = entry.metadata().expect("known").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        }
    }
}

#[test]
fn what_cannot_be_applied_is_refused_with_the_reason() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    let state = folder.path().join("state.json");
    let refused = |(out, err, code): (String, String, i32), exit: i32, why: &str| {
        assert_eq!(code, exit, "{out}{err}");
        assert!(format!("{out}{err}").contains(why), "{out}{err}");
        assert_eq!(sim.inventory().len(), 0, "{why}: nothing is changed");
    };
    let on = |more: &[&str]| run(rhumb().arg("apply").arg(&plan).arg("--state").arg(&state).args(more));
    let cloud = if crate::plans::REDUCED { "gcp" } else { "aws" };
    refused(on(&[]), 1, &format!("this build has no adapter for {cloud}: nothing was changed"));
    // What the adapter says that it cannot deploy is not begun.
    let cloud_of = cloud.parse().expect("a cloud");
    sim.reset(&World { instance_types: [(cloud_of, ["none".to_owned()].into())].into(), ..quick() });
    refused(
        on(&["--simulate", &sim.url]),
        1,
        "nothing was changed: what this build cannot deploy: services.chat/",
    );
    sim.reset(&quick());
    refused(on(&["--simulate", "http://127.0.0.1:9"]), 1, "--simulate http://127.0.0.1:9: ");
    refused(on(&["--simulate", "https://127.0.0.1:9"]), 1, "--simulate https://127.0.0.1:9: ");
    refused(run(rhumb().args(["apply", "examples/support-chat", "--json"])), 1, "--yes");
    // Edited: the digest does not fit.
    let text = std::fs::read_to_string(&plan).expect("saved");
    let edited = folder.path().join("edited.plan");
    std::fs::write(&edited, text.replacen("\"count\": ", "\"count\": 1", 1)).expect("written");
    refused(sim.apply(&edited, &state), 1, "the plan was changed after it was saved");
    // A state of real clouds, and one of another deployment that has gone on.
    let real = rhumb::state::State { serial: 7, ..rhumb::state::State::new("real".into(), false) };
    std::fs::write(&state, rhumb::state::file::encode(&real)).expect("written");
    refused(sim.apply(&plan, &state), 1, "it is of real clouds");
    let other = rhumb::state::State { simulated: true, ..real };
    std::fs::write(&state, rhumb::state::file::encode(&other)).expect("written");
    refused(sim.apply(&plan, &state), 4, "now there is a state with serial 7");
    std::fs::write(&state, "{\"rhumb_state\": 99}").expect("written");
    refused(sim.apply(&plan, &state), 1, "this rhumb reads versions 1 to 7");
}

#[test]
fn an_applied_plan_is_not_applied_again_and_a_held_state_is_waited_for() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    let state = folder.path().join("state.json");
    let hold = Rule {
        nth: Some(1),
        verb: Some(Verb::Create),
        kind: None,
        address: None,
        times: Some(1),
        what: What::HoldAfter,
    };
    sim.reset(&World { rules: vec![hold], ..quick() });
    let mut first = sim.begin(&plan, &state);
    assert!(sim.holds(&mut first));
    let (_, err, code) = sim.apply(&plan, &state);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("it is in use by") && err.contains("process"), "{err}");
    first.kill().expect("killed");
    first.wait().expect("ended");
    std::fs::copy("examples/support-chat/deploy.yaml", folder.path().join("deploy.yaml")).expect("copied");
    let (out, _, _) = run(rhumb().current_dir(folder.path()).args(["plan", ".", "--state"]).arg(&state));
    assert!(out.contains("how 1 of its calls ended is not known"), "{out}");
    std::fs::remove_file(folder.path().join("deploy.yaml")).expect("removed");
    let (out, err, code) = sim.apply(&plan, &state);
    assert_eq!(code, 0, "the lock went with its process: {out}{err}");
    assert!(err.contains("was cut off, looking it up"), "{err}");
    let (out, err, code) = sim.apply(&plan, &state);
    assert_eq!((code, sim.inventory().len()), (0, 5), "{err}");
    assert!(out.contains("this plan was applied by "), "{out}");
}

#[test]
fn refused_machines_are_made_up_for_by_the_plans_own_fallback() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    let state = folder.path().join("state.json");
    let text = std::fs::read_to_string(&plan).expect("saved");
    let made = rhumb::plan::file::decode("p", &text).expect("a plan");
    let first = made.standbys.first().expect("a fallback");
    let pool = made.placement.workloads["services.chat"].pools[0].clone();
    let none = Stock {
        cloud: pool.cloud,
        region: pool.region.clone(),
        instance_type: pool.instance_type.clone(),
        spot: false,
        machines: Some(0),
    };
    sim.reset(&World { stock: vec![none], ..quick() });
    let (out, err, code) = sim.apply(&plan, &state);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("{} stands in, as planned", first.by)), "{out}");
    let more = format!("what stands in costs {} USD a month more", first.more_per_month);
    assert!(out.contains(&more) && !out.contains("USD an hour now, as planned"), "{out}");
    let addresses: Vec<String> =
        sim.inventory().iter().map(|t| t.address().expect("tagged").to_string()).collect();
    assert!(addresses.iter().any(|a| a.starts_with(first.by.as_str())), "{addresses:?}");
    assert!(!addresses.iter().any(|a| a.starts_with(pool.addr.as_str())), "{addresses:?}");
    // Nothing is left of what was begun for the machines that were refused.
    let wanted = made.changes.len() - first.without.len()
        + first.changes.iter().filter(|c| !made.changes.iter().any(|m| m.addr == c.addr)).count();
    assert_eq!(addresses.len(), wanted, "{addresses:?}");
}

#[test]
fn events_are_lines_of_json_and_failures_are_told() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    let state = folder.path().join("state.json");
    let denied = Denial { cloud: None, kind: Some(rhumb_api::ResourceKind::LoadBalancer), verb: None };
    sim.reset(&World { denied: vec![denied], ..quick() });
    let on = || {
        run(rhumb().arg("apply").arg(&plan).arg("--state").arg(&state).args([
            "--simulate",
            &sim.url,
            "--json",
        ]))
    };
    let (out, _, code) = on();
    assert_eq!(code, 1, "{out}");
    // People are told who can say what else is missing.
    let (told, err, code) = sim.apply(&plan, &state);
    assert!(code == 1 && told.contains("`rhumb preflight PLAN` asks for every right"), "{told}{err}");
    let events: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    follow_the_schema(&events);
    assert_eq!(events[0]["event"], "begin");
    let end = events.last().expect("an end");
    assert_eq!((end["event"].as_str(), end["complete"].as_bool()), (Some("end"), Some(false)));
    let failed = end["failed"][0]["address"].as_str().expect("what failed");
    assert!(failed.ends_with("load_balancer"), "{end}");
    assert!(end["skipped"][0]["address"].as_str().is_some_and(|a| a.ends_with("on_demand")), "{end}");
    sim.set_world(&quick());
    let (out, err, code) = on();
    assert_eq!((code, sim.inventory().len()), (0, 5), "{out}{err}");
    let more: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    follow_the_schema(&more);
    assert_eq!(more.last().map(|end| &end["complete"]), Some(&Value::Bool(true)));
}

fn follow_the_schema(events: &[Value]) {
    let schema = include_str!("../../../src/cli/commands/apply/schema.json");
    let validator =
        jsonschema::draft202012::new(&serde_json::from_str(schema).expect("JSON")).expect("a schema");
    for event in events {
        let faults: Vec<String> = validator.iter_errors(event).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{event}: {faults:?}");
        let mut wrong = event.clone();
        wrong["event"] = "begun".into();
        assert!(!validator.is_valid(&wrong), "{wrong}");
        let mut wrong = event.clone();
        wrong["note"] = 1.into();
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

/// The first Ctrl-C ends it as soon as what was sent is recorded; nothing is lost.
#[cfg(unix)]
#[test]
fn an_interrupted_apply_goes_on_where_it_was() {
    let (sim, folder) = (Sim::start(), tempfile::tempdir().expect("a folder"));
    let (plan, _) = saved(folder.path());
    for twice in [false, true] {
        let state = folder.path().join(format!("state-{twice}.json"));
        let long = rhumb_sim::Span { min: 600_000, max: 600_000 };
        let mut slow = quick();
        slow.durations.entry(rhumb_api::ResourceKind::Firewall).and_modify(|of| of.make = long);
        sim.reset(&slow);
        let mut child = sim.begin(&plan, &state);
        // The firewall was accepted and will take ten minutes.
        while sim.inventory().len() < 2 {
            assert!(child.try_wait().expect("waited").is_none(), "it is under way");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let interrupt = || {
            let id = child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("sent").success());
        };
        interrupt();
        if twice {
            interrupt();
        }
        let code = child.wait().expect("ended").code();
        assert_eq!(code, Some(130));
        let mut disk = rhumb::state::disk::RealDisk::new();
        let left = rhumb::state::local::read(&mut disk, &state, "state").expect("readable").expect("there");
        assert_eq!(
            (left.resources.len(), left.open.len()),
            (1, 1),
            "the network is there, the firewall accepted"
        );
        let accepted = left.open.values().next().and_then(|intent| intent.accepted.clone());
        assert_eq!(accepted.as_deref(), Some("fw-00000001"));
        // What was accepted becomes ready in its time; a world in which that is now is one with another clock.
        let fast = rhumb_sim::Span { min: 0, max: 0 };
        let mut soon = quick();
        soon.durations.entry(rhumb_api::ResourceKind::Firewall).and_modify(|of| of.make = fast);
        sim.set_world(&soon);
        assert_eq!(sim.inventory().len(), 2);
    }
}
