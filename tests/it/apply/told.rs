//! What the commands say of a deployment: whose it is, how it is, what it costs, and how an apply ended.

use rhumb_api::{Attr, ErrorKind, Handle, ProviderError, ResourceKind};
use rhumb_sim::{Client, Moment, Rule, Verb, What, World};
use serde_json::Value;

use super::life::Desk;
use super::process::quick;

fn spec(desk: &Desk) -> String {
    std::fs::read_to_string(desk.path().join("deploy.yaml")).expect("read")
}

fn write(desk: &Desk, text: &str) {
    std::fs::write(desk.path().join("deploy.yaml"), text).expect("written");
}

fn handle(desk: &Desk, kind: ResourceKind) -> Handle {
    desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == kind).expect("it is there").handle
}

/// Lets at most so many machines of a fleet answer their health check.
fn healthy(desk: &Desk, handle: &Handle, most: Option<u32>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::connect(&desk.sim.url).await.expect("connected");
        client.control().set_healthy(handle, most).await.expect("set");
    });
}

fn status(desk: &Desk) -> (Value, i32) {
    let (out, err, code) = desk.there(&["status", "--json"]);
    (serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}")), code)
}

fn health(told: &Value, what: &str) -> String {
    let rows = told["resources"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["address"].as_str().is_some_and(|a| a.ends_with(what)));
    row.expect("a row")["health"].as_str().expect("a word").to_owned()
}

#[test]
fn the_state_of_another_deployment_is_not_planned_on() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let own = spec(&desk);
    let other = std::fs::read_to_string("examples/document-rag/deploy.yaml").expect("read");
    write(&desk, &other);
    for args in [&["apply", ".", "--yes", "--quiet"][..], &["plan", ".", "--refresh", "--quiet"]] {
        let (_, err, code) = desk.there(args);
        assert!(
            code == 1 && err.contains("it is the state of the deployment support-chat"),
            "{args:?}: {err}"
        );
    }
    let (_, err, code) = desk.here(&["plan", ".", "--quiet"]);
    assert!(code == 1 && err.contains("say --renamed-from support-chat"), "{err}");
    assert_eq!(desk.sim.inventory().len(), 5, "nothing was removed");
    // The same one under another name.
    write(&desk, &own.replace("name: support-chat", "name: help-desk"));
    let (_, _, code) = desk.here(&["plan", ".", "--quiet"]);
    assert_eq!(code, 1);
    let (out, err, code) = desk.here(&["plan", ".", "--quiet", "--renamed-from", "support-chat"]);
    assert!(code == 0 && out.contains("0 to create, 5 to change, 0 to remove"), "{out}{err}");
    desk.ok(&["apply", ".", "--yes", "--quiet", "--renamed-from", "support-chat"]);
    let (out, err, code) = desk.here(&["plan", ".", "--quiet", "--detailed-exitcode"]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, _, code) = desk.here(&["plan", ".", "--quiet", "--renamed-from", "nobody"]);
    assert_eq!(code, 0, "its own name does");
}

#[test]
fn the_status_tells_of_health_and_of_an_apply_that_is_not_complete() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let fleet = handle(&desk, ResourceKind::Fleet);
    assert_eq!(status(&desk).1, 0);
    healthy(&desk, &fleet, Some(2));
    let (told, code) = status(&desk);
    assert_eq!(
        (code, health(&told, "on_demand").as_str(), &told["well"]),
        (3, "unhealthy", &Value::Bool(false))
    );
    let rows = told["resources"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["kind"] == "fleet").expect("a fleet");
    assert_eq!((row["machines"].as_u64(), row["healthy"].as_u64()), (Some(8), Some(2)), "{row}");
    let (out, _, _) = desk.there(&["status"]);
    assert!(out.contains("2 of its machines answer their health check, it should have 8"), "{out}");
    healthy(&desk, &fleet, None);
    assert_eq!(status(&desk).1, 0);

    let denied =
        What::Error(ProviderError { retry_after_ms: None, ..ProviderError::new(ErrorKind::Denied, "no") });
    let rule = Rule {
        verb: Some(Verb::Create),
        kind: Some(ResourceKind::LoadBalancer),
        address: None,
        nth: None,
        times: None,
        what: denied,
    };
    let desk = Desk::new();
    desk.sim.reset(&World { rules: vec![rule], ..quick() });
    let (out, _, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert!(code == 1 && out.contains("it would cost now "), "{out}");
    let (told, code) = status(&desk);
    assert_eq!((code, told["open_calls"].as_u64()), (3, Some(0)));
    assert!(told["applying"].is_string());
    let (out, _, _) = desk.there(&["status"]);
    assert!(out.contains("is not complete: not all of it is there. Apply again."), "{out}");
    let (out, _, _) = desk.here(&["state", "versions"]);
    assert!(out.contains("not complete"), "{out}");
}

/// A nightly run has no machines by day: that is as it should be, and costs nothing then.
#[test]
fn a_run_that_waits_for_its_hour_is_well() {
    let desk = Desk::new();
    write(&desk, &std::fs::read_to_string("examples/nightly-embedding/deploy.yaml").expect("read"));
    let (out, err, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    let run = desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == ResourceKind::JobRun);
    let run = run.expect("a run");
    let (told, code) = status(&desk);
    if run.running == Some(0) {
        let row = told["resources"].as_array().expect("rows").iter().find(|row| row["kind"] == "job_run");
        assert_eq!((code, &row.expect("a row")["health"]), (0, &"waiting".into()), "{told}");
    } else {
        assert_eq!(code, 0, "{told}");
    }
}

/// What an apply says that it costs is what the status says: of machines that are there all the time, of those that follow their load, of a
/// run that is under way, and where it failed.
#[test]
fn an_apply_tells_what_it_costs_now_as_the_status_does() {
    for (example, by) in
        [("support-chat", "record"), ("retail-assistant", "look"), ("nightly-embedding", "look")]
    {
        let desk = Desk::new();
        desk.sim.reset(&peak());
        write(&desk, &std::fs::read_to_string(format!("examples/{example}/deploy.yaml")).expect("read"));
        let out = desk.ok(&["apply", ".", "--yes", "--json"]);
        let end: Value =
            out.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().expect("events");
        let (told, _) = status(&desk);
        // To the cent, as money is told.
        let close = |a: &Value, b: &Value| {
            let said: f64 = a.as_str().expect("a text").parse().expect("a number");
            (said - b.as_f64().expect("a number")).abs() < 0.006
        };
        assert!(close(&end["usd_per_hour_now"], &told["usd_per_hour"]), "{example}: {end} {told}");
        assert_eq!(end["unpriced_now"], told["unpriced"], "{example}");
        assert_eq!(end["now_by"].as_str(), Some(by), "{example}");
        assert!(told["usd_per_hour"].as_f64() > Some(0.1), "{example}: machines run: {told}");
        if example == "nightly-embedding" {
            let (out, _, _) = desk.here(&["status", "--recorded"]);
            assert!(out.contains("an hour at its peak, with every run under way"), "{out}");
        }
    }
}

/// Monday evening, when all customers are awake.
fn peak() -> World {
    World { begins: Moment::parse("2026-01-05T17:30:00Z").expect("a moment"), ..quick() }
}

/// What a fleet that follows its load may have at least is no measure of what it should have at the peak.
#[test]
fn a_fleet_that_follows_its_load_is_measured_by_what_it_should_have_now() {
    let desk = Desk::new();
    desk.sim.reset(&peak());
    write(&desk, &std::fs::read_to_string("examples/retail-assistant/deploy.yaml").expect("read"));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let row = |told: &Value| {
        let rows = told["resources"].as_array().expect("rows").iter();
        rows.max_by_key(|row| row["planned_machines"]["most"].as_u64()).expect("a row").clone()
    };
    let (told, code) = status(&desk);
    let fleet = row(&told);
    let (least, running) = (fleet["planned_machines"]["least"].as_u64(), fleet["machines"].as_u64());
    assert!(code == 0 && least < running, "{fleet}");
    let all = desk.sim.inventory().into_iter();
    let handle = all.map(|seen| seen.handle).find(|handle| fleet["id"] == handle.id.as_str()).expect("there");
    healthy(&desk, &handle, least.and_then(|least| u32::try_from(least).ok()));
    let (told, code) = status(&desk);
    let now = row(&told);
    assert_eq!((code, &now["health"], now["healthy"].as_u64()), (3, &"unhealthy".into(), least), "{now}");
    assert!(now["why"].as_str().is_some_and(|why| why.ends_with(" by now")), "{now}");
}

/// What a look has recorded is no measure of how things should be: a look in a pipeline may not silence whoever watches.
#[test]
fn a_look_does_not_make_it_well() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let fleet = handle(&desk, ResourceKind::Fleet);
    desk.sim.set_attribute(&fleet, "count", Some(Attr::Int(2)));
    desk.ok(&["refresh", "."]);
    let (told, code) = status(&desk);
    let row =
        told["resources"].as_array().expect("rows").iter().find(|row| row["kind"] == "fleet").expect("one");
    assert_eq!(
        (code, &row["health"], &row["planned_machines"]["least"]),
        (3, &"changed".into(), &8.into()),
        "{row}"
    );
    let (out, _, code) = desk.here(&["status", "--recorded"]);
    assert!(code == 3 && out.contains("others have changed count, which a look has recorded"), "{out}");
    desk.sim.vanish(&fleet);
    desk.ok(&["refresh", "."]);
    let (told, code) = status(&desk);
    assert_eq!((code, health(&told, "on_demand").as_str(), &told["well"]), (3, "gone", &Value::Bool(false)));
    // Planned back, it is well.
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(status(&desk).1, 0);
    // Left to others, it is nothing that should be there.
    desk.sim.set_attribute(&handle(&desk, ResourceKind::Fleet), "count", Some(Attr::Int(3)));
    desk.ok(&["refresh", "."]);
    let address = desk.sim.inventory().into_iter().find(|seen| seen.handle.kind == ResourceKind::Fleet);
    let address = address.and_then(|seen| seen.address().cloned()).expect("tagged");
    let (out, err, code) = desk.here(&["forget", address.as_str()]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(status(&desk).1, 0);
}

/// Where nothing says how the last apply left it, nobody says that it is well; an apply that finds all as planned ends that.
#[test]
fn what_cannot_be_measured_is_not_well() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let fleet = handle(&desk, ResourceKind::Fleet);
    for count in [2, 8] {
        desk.sim.set_attribute(&fleet, "count", Some(Attr::Int(count)));
        desk.ok(&["refresh", "."]);
    }
    assert_eq!(status(&desk).1, 0, "it is as the apply left it");
    for entry in std::fs::read_dir(desk.path()).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().contains("version-") {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    let (told, code) = status(&desk);
    assert_eq!((code, &told["last_apply_lost"], &told["well"]), (3, &Value::Bool(true), &Value::Bool(false)));
    let (out, _, _) = desk.there(&["status"]);
    assert!(out.contains("nobody can tell whether all is as it should be. Apply again"), "{out}");
    let out = desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("0 created, 0 changed, 0 removed"), "{out}");
    assert_eq!(status(&desk).1, 0);
}

/// A look puts an end to an apply that was not complete, and not to what is missing.
#[test]
fn a_look_does_not_complete_an_apply() {
    let desk = Desk::new();
    let what = What::Error(ProviderError::new(ErrorKind::Denied, "no"));
    let (verb, kind) = (Some(Verb::Create), Some(ResourceKind::Fleet));
    let rule = Rule { verb, kind, address: None, nth: None, times: None, what };
    desk.sim.reset(&World { rules: vec![rule], ..quick() });
    let (_, _, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(code, 1);
    desk.sim.set_attribute(&handle(&desk, ResourceKind::Network), "zones", Some(Attr::Int(9)));
    desk.ok(&["refresh", "."]);
    desk.sim.set_attribute(&handle(&desk, ResourceKind::Network), "zones", Some(Attr::Int(9)));
    let (told, code) = status(&desk);
    assert!(code == 3 && told["applying"].is_string(), "{told}");
}

/// What has the ids of an old record was made by another deployment since: nobody changes or removes it.
#[test]
fn things_of_another_deployment_under_the_same_ids_are_not_ours() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let path = desk.path().join("rhumb.state.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let state = rhumb::state::file::decode("state", &text).expect("a state");
    std::fs::write(&path, text.replace(&state.lineage, "another-one")).expect("written");
    std::fs::remove_file(desk.path().join("rhumb.state.json.journal")).expect("removed");
    let (out, _, code) = desk.there(&["refresh", ".", "--dry-run", "--detailed-exitcode"]);
    let said = format!("what has its id is of another deployment (lineage {})", state.lineage);
    assert!(code == 2 && out.matches(&said).count() == 5, "{out}");
    assert_eq!(health(&status(&desk).0, "on_demand"), "gone");
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    assert_eq!(desk.sim.inventory().len(), 5, "nothing of theirs was removed");
}

/// An apply after which nothing is left is told by its name, also once others came after it.
#[test]
fn a_destruction_is_told_as_one() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    desk.ok(&["destroy", ".", "--yes", "--quiet"]);
    let whats = || -> Vec<String> {
        let told: Value = serde_json::from_str(&desk.here(&["history", "--json"]).0).expect("JSON");
        let all = told["history"].as_array().expect("deeds").iter();
        all.map(|deed| deed["what"].as_str().expect("a word").to_owned()).collect()
    };
    assert_eq!(whats(), ["apply", "destroy"]);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert_eq!(whats(), ["apply", "destroy", "apply"]);
    let (out, _, _) = desk.here(&["history"]);
    assert_eq!(out.matches(" destroy ").count(), 1, "{out}");
}

/// An apply that was cut off before its end, and whose calls all came through, is recorded as ended by the next one.
#[test]
fn what_was_cut_off_and_is_as_planned_gets_its_end() {
    let desk = Desk::new();
    desk.here(&["plan", ".", "--out", "first.plan", "--quiet"]);
    // The last call is held after its effect; its process is killed.
    desk.killed_after(Verb::Create, Some(ResourceKind::Fleet), &["apply", "first.plan", "--quiet"]);
    let out = desk.ok(&["apply", ".", "--yes", "--quiet"]);
    assert!(out.contains("0 to create") && out.contains("0 created, 0 changed, 0 removed"), "{out}");
    let (out, _, _) = desk.here(&["history", "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let last = told["history"].as_array().and_then(|all| all.last()).expect("a deed").clone();
    assert_eq!((&last["what"], &last["complete"]), (&"apply".into(), &Value::Bool(true)));
    let (out, _, _) = desk.here(&["state", "versions", "--json"]);
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["versions"].as_array().map(Vec::len), Some(1), "{out}");
    // And then there is nothing to record any more.
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    let (out, _, _) = desk.here(&["history", "--json"]);
    let again: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        again["serial"],
        serde_json::from_str::<Value>(&desk.here(&["state", "list", "--json"]).0).expect("JSON")["serial"]
    );
    assert_eq!(again["history"].as_array().and_then(|all| all.last()), Some(&last));
}

/// A pipeline that runs its last step once more is told so, and nothing happens.
#[test]
fn a_plan_that_was_applied_is_applied() {
    let desk = Desk::new();
    desk.here(&["plan", ".", "--out", "first.plan", "--quiet"]);
    desk.ok(&["apply", "first.plan", "--quiet"]);
    let calls = desk.sim.log().len();
    let out = desk.ok(&["apply", "first.plan", "--quiet"]);
    assert!(out.contains("this plan was applied by ") && out.contains("nothing is left to do"), "{out}");
    assert_eq!(desk.sim.log().len(), calls, "nobody was asked");
    // What came after it makes it stale.
    write(&desk, &spec(&desk).replace("team: support", "team: other"));
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    write(&desk, &spec(&desk).replace("team: other", "team: support"));
    let (_, err, code) = desk.there(&["apply", "first.plan", "--quiet"]);
    assert!(code == 4 && err.contains("stale"), "{err}");
}

/// Whatever is planned as of another time is done now.
#[test]
fn the_record_has_the_time_of_the_clock() {
    let desk = Desk::new();
    desk.ok(&["apply", ".", "--yes", "--quiet", "--at", "2031-06-01"]);
    let (out, _, _) = desk.here(&["history"]);
    assert!(!out.contains("2031"), "{out}");
}

/// The events of an apply about the fleets of a workload in a cloud: stage by stage, with their place among all events.
fn of_fleet(out: &str, workload: &str, cloud: &str) -> Vec<(usize, String)> {
    let events = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let is = |event: &Value| {
        let addr = event["address"].as_str().unwrap_or_default();
        addr.starts_with(&format!("{workload}/{cloud}/")) && addr.ends_with("/on_demand")
    };
    let stage = |event: Value| event["stage"].as_str().expect("a word").to_owned();
    events.enumerate().filter(|(_, event)| is(event)).map(|(at, event)| (at, stage(event))).collect()
}

/// By the spec of an example: one cloud first, the other once its machines serve; and where they do not, the other stays as it is.
#[test]
fn waves_follow_one_another() {
    let desk = Desk::new();
    let of = std::fs::read_to_string("examples/fraud-scoring/deploy.yaml").expect("read");
    write(&desk, &of);
    desk.ok(&["apply", ".", "--yes", "--quiet"]);
    write(&desk, &of.replace("fraud/trees:3", "fraud/trees:4"));
    let out = desk.ok(&["apply", ".", "--yes", "--json"]);
    let both = ["aws", "gcp"].map(|cloud| of_fleet(&out, "services.trees", cloud));
    // Nothing waits for the last one.
    let healthy = both.iter().filter(|events| events.iter().any(|(_, stage)| stage == "healthy")).count();
    assert_eq!(healthy, 1, "{both:?}");
    let spans = both.map(|events| (events.first().expect("some").0, events.last().expect("some").0));
    assert!(spans[0].1 < spans[1].0 || spans[1].1 < spans[0].0, "one after the other: {spans:?}");
    // New machines that do not serve.
    let images = |desk: &Desk| -> Vec<String> {
        let all = desk.sim.inventory().into_iter();
        let of = all.filter(|seen| seen.address().expect("tagged").as_str().starts_with("services.trees/"));
        of.filter_map(|seen| Some(format!("{:?}", seen.attributes.get("server")?))).collect()
    };
    let now = images(&desk);
    assert!(now.len() == 2 && now.iter().all(|image| image.contains("trees:4")), "{now:?}");
    let sick = |verb| Rule {
        verb: Some(verb),
        kind: Some(ResourceKind::Fleet),
        address: None,
        nth: None,
        times: None,
        what: What::Sick,
    };
    let gcp = |desk: &Desk| {
        let all = desk.sim.inventory().into_iter();
        let is = |seen: &rhumb_api::Observed| {
            seen.handle.kind == ResourceKind::Fleet && seen.handle.cloud == rhumb_api::Cloud::Gcp
        };
        all.filter(is).collect::<Vec<_>>()
    };
    let before = gcp(&desk);
    desk.sim.set_world(&World { rules: vec![sick(Verb::Create), sick(Verb::Update)], ..quick() });
    write(&desk, &of.replace("fraud/trees:3", "fraud/trees:5"));
    let (out, err, code) = desk.there(&["apply", ".", "--yes", "--quiet"]);
    assert!(code == 1 && out.contains("a new machine did not become healthy"), "{out}{err}");
    assert!(out.contains("Not begun: update services.trees/gcp/"), "{out}");
    assert_eq!(gcp(&desk), before, "the other cloud's machines are as they were");
}
