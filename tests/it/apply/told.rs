//! What the commands say of a deployment: whose it is, how it is, what it costs, and how an apply ended.

use rhumb_api::{ErrorKind, Handle, ProviderError, ResourceKind};
use rhumb_sim::{Client, Rule, Verb, What, World};
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
    assert!(out.contains("it would cost now 0.00 USD an hour"), "{out}");
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

/// What an apply says that it costs is what the status says.
#[test]
fn an_apply_tells_what_it_costs_now_as_the_status_does() {
    let desk = Desk::new();
    let out = desk.ok(&["apply", ".", "--yes", "--json"]);
    let end: Value =
        out.lines().filter_map(|line| serde_json::from_str(line).ok()).next_back().expect("events");
    let (told, _) = status(&desk);
    // To the cent, as money is told.
    let close = |a: &Value, b: &Value| {
        let said: f64 = a.as_str().expect("a text").parse().expect("a number");
        (said - b.as_f64().expect("a number")).abs() < 0.006
    };
    assert!(close(&end["usd_per_hour_now"], &told["usd_per_hour"]), "{end} {told}");
    assert_eq!(end["unpriced_now"], told["unpriced"]);
    assert_eq!(end["unpriced_now"].as_u64(), Some(1), "the load balancer");
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
        let of = all.filter(|seen| seen.tags.address.as_str().starts_with("services.trees/"));
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
