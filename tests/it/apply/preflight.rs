//! `rhumb preflight` as a person or a script meets it: the real binary beside a simulated cloud.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use rhumb::plan::Plan;
use rhumb_api::{Attr, Cloud, ErrorKind, ProviderError, ResourceKind};
use rhumb_sim::{Denial, Quota, Rate, Rule, Stock, Verb, What, World};
use serde_json::Value;

use super::life::{Desk, follows};
use super::process::quick;
use crate::cli::{rhumb, run};
use crate::extent::pick;

const SCHEMA: &str = include_str!("../../../src/cli/commands/preflight/schema.json");
const FLEET: &str = "services.chat/aws/eu-south-2/g7e.2xlarge/on_demand";

/// Of a service that anybody can reach.
const PUBLIC: &str =
    "endpoint: { exposure: public, tls_certificate: \"env:TLS_CERTIFICATE\", api_keys: \"env:API_KEYS\" }";

/// The plan of a spec, saved beside it; planned once for all who ask for the same.
fn planned(desk: &Desk, spec: &str) -> Plan {
    static PLANS: [OnceLock<(String, String)>; 3] = [const { OnceLock::new() }; 3];
    std::fs::write(desk.path().join("deploy.yaml"), spec).expect("written");
    let fresh = || {
        let (_, err, code) = desk.here(&["plan", ".", "--quiet", "--out", "a.plan"]);
        assert_eq!(code, 0, "{err}");
        let text = std::fs::read_to_string(desk.path().join("a.plan")).expect("saved");
        (spec.to_owned(), text)
    };
    let known = PLANS.iter().map(|place| place.get_or_init(fresh)).find(|(of, _)| of == spec);
    let (_, text) = known.expect("three specs at most");
    std::fs::write(desk.path().join("a.plan"), text).expect("written");
    rhumb::plan::file::decode("a.plan", text).expect("a plan")
}

fn private() -> String {
    std::fs::read_to_string("examples/support-chat/deploy.yaml").expect("an example")
}

fn public() -> String {
    let text = private();
    let of_all = text.replace("endpoint: { exposure: private }", PUBLIC);
    assert_ne!(text, of_all);
    of_all
}

/// Two services of the same machines.
fn twice() -> String {
    let text = private();
    let (head, rest) = text.split_once("services:\n").expect("services");
    let (service, tail) = rest.split_once("\nbudget:").expect("a budget");
    let second = service.replacen("  chat:\n", "  talk:\n", 1);
    format!("{head}services:\n{service}{second}\nbudget:{}", tail.replace("60000", "160000"))
}

/// What is said as JSON, by its schema, with the exit.
fn told(desk: &Desk) -> (Value, i32) {
    let (out, err, code) = desk.there(&["preflight", "a.plan", "--json"]);
    assert!(err.is_empty(), "{err}");
    let value = follows(SCHEMA, &out);
    assert_eq!(value["passed"], Value::Bool(code == 0));
    (value, code)
}

/// What is said to people, in a window so wide that nothing is wrapped.
fn shown(desk: &Desk, more: &[&str]) -> String {
    let mut command = rhumb();
    command.current_dir(desk.path()).args(["preflight", "a.plan", "--simulate", &desk.sim.url]);
    run(command.args(more).env("COLUMNS", "400")).0
}

/// What was found with this verdict that the plan itself needs: what it is about, and in which words.
fn with(value: &Value, verdict: &str) -> Vec<(String, String)> {
    let findings = value["findings"].as_array().expect("a list").iter();
    let ours = findings.filter(|f| f["verdict"] == verdict && f["stands_in"].is_null());
    let word = |f: &Value, name: &str| f[name].as_str().expect("a text").to_owned();
    ours.map(|f| (word(f, "about"), word(f, "message"))).collect()
}

fn failed(desk: &Desk, world: &World) -> Vec<(String, String)> {
    desk.sim.set_world(world);
    let (value, code) = told(desk);
    assert_eq!(code, 3, "{value}");
    with(&value, "failed")
}

/// Machines of the fleets of a plan, by address.
fn fleets(plan: &Plan) -> BTreeMap<String, u32> {
    let count = |resource: &rhumb_api::Resource| match resource.attributes.get("count") {
        Some(Attr::Int(n)) => u32::try_from(*n).expect("few"),
        _ => 0,
    };
    let fleets = plan.changes.iter().filter_map(|change| Some((change, change.after.as_ref()?)));
    let fleets = fleets.filter(|(_, after)| after.kind == ResourceKind::Fleet);
    fleets.map(|(change, after)| (change.addr.to_string(), count(after))).collect()
}

fn quota(machines: u32) -> World {
    let of_region =
        Quota { cloud: Cloud::Aws, region: "eu-south-2".into(), type_prefix: None, spot: None, machines };
    World { quotas: vec![of_region], ..quick() }
}

fn rule(what: What, times: Option<u64>) -> World {
    let of = Rule { nth: None, verb: Some(Verb::Preflight), kind: None, address: None, times, what };
    World { rules: vec![of], timeout_ms: 50, ..quick() }
}

/// Every file of a folder with what is in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("listed");
        let text = std::fs::read(entry.path()).expect("read");
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    std::fs::read_dir(folder).expect("listed").map(of).collect()
}

#[test]
fn a_plan_that_nothing_stands_in_the_way_of_passes_and_nothing_is_changed() {
    let desk = Desk::new();
    planned(&desk, &public());
    let before = files(desk.path());
    let (value, code) = told(&desk);
    assert_eq!(code, 0, "{value}");
    assert_eq!(
        (with(&value, "failed"), with(&value, "unknown"), with(&value, "warning")),
        (vec![], vec![], vec![])
    );
    let abouts: std::collections::BTreeSet<String> =
        with(&value, "ok").into_iter().map(|(about, _)| about).collect();
    let all = ["adapter", "capacity", "credentials", "offering", "permission", "plan", "quota", "secret"];
    assert_eq!(Vec::from_iter(abouts), all);
    let (out, err, code) = desk.there(&["preflight", "a.plan"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("Preflight of support-chat on the simulated cloud\n"), "{out}");
    for words in ["\nPlan\n", "\naws\n", "secret", "2 secrets", "5 resources", "\nIf machines are refused\n"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(out.contains("nothing is in the way of the plan at this moment: 0 failed, 0 unknown"), "{out}");
    let full = shown(&desk, &["-v"]);
    assert!(full.contains("create fleet") && full.contains("`env:API_KEYS` exists"), "{full}");
    let (short, _, _) = desk.there(&["preflight", "a.plan", "--quiet"]);
    assert_eq!(short.lines().count(), 1, "{short}");
    assert!(short.ends_with("nothing was changed.\n"), "{short}");
    let mut colourful = rhumb();
    colourful.current_dir(desk.path()).args(["preflight", "a.plan", "--simulate", &desk.sim.url]);
    assert!(run(colourful.env("CLICOLOR_FORCE", "1")).0.contains('\u{1b}'));
    assert!(!run(colourful.env("NO_COLOR", "1")).0.contains('\u{1b}'));
    // It was asked and nothing else, and nothing is recorded.
    assert!(desk.sim.inventory().is_empty());
    assert!(desk.sim.log().iter().all(|entry| entry.verb == Some(Verb::Preflight)));
    assert_eq!(files(desk.path()), before);
    // And so it is done.
    desk.ok(&["apply", "a.plan", "--quiet"]);
}

#[test]
fn each_thing_that_would_be_refused_is_found_and_named() {
    let desk = Desk::new();
    planned(&desk, &public());
    let one = |about: &str, message: &str| vec![(about.to_owned(), message.to_owned())];
    let expired = World { expired: [Cloud::Aws].into(), ..quick() };
    assert_eq!(failed(&desk, &expired), one("credentials", "the credentials for aws have expired"));
    let (out, err, code) = desk.there(&["apply", "a.plan", "--quiet"]);
    assert!(code == 1 && desk.sim.inventory().is_empty(), "{out}{err}");
    let denial = Denial { kind: Some(ResourceKind::Fleet), verb: Some(Verb::Create), cloud: None };
    let denied = World { denied: vec![denial], ..quick() };
    let may_not = "these credentials may not create fleet on aws";
    assert_eq!(failed(&desk, &denied), one("permission", may_not));
    let regions = [(Cloud::Aws, ["eu-west-1".to_owned()].into())].into();
    let elsewhere = failed(&desk, &World { regions, ..quick() });
    assert_eq!(elsewhere.iter().filter(|(about, _)| about == "offering").count(), 5, "{elsewhere:?}");
    assert_eq!(elsewhere.iter().filter(|(about, _)| about == "adapter").count(), 5, "{elsewhere:?}");
    assert!(elsewhere.iter().all(|(_, why)| why == "aws has no region `eu-south-2`"), "{elsewhere:?}");
    let instance_types = [(Cloud::Aws, ["g6.xlarge".to_owned()].into())].into();
    let no_type = failed(&desk, &World { instance_types, ..quick() });
    assert!(no_type.contains(&one("offering", "aws has no instance type `g7e.2xlarge`")[0]), "{no_type:?}");
    let (none, some) = (World { secrets: Some([].into()), ..quick() }, ["env:API_KEYS".to_owned()]);
    assert_eq!(failed(&desk, &none).len(), 2);
    let world = World { secrets: Some(some.into()), ..quick() };
    assert_eq!(failed(&desk, &world), one("secret", "there is no secret `env:TLS_CERTIFICATE`"));
    let (out, _, code) = desk.there(&["preflight", "a.plan"]);
    assert!(
        code == 3 && out.contains("FAILED") && out.contains("the plan would be refused in part"),
        "{out}"
    );
    assert!(desk.sim.inventory().is_empty());
    assert!(
        desk.sim.log().iter().all(|e| matches!(e.verb, Some(Verb::Preflight | Verb::Create | Verb::Read)))
    );
    // The cloud keeps its word: the load balancer is refused.
    let (out, err, code) = desk.there(&["apply", "a.plan", "--quiet"]);
    assert!(
        code == 1 && format!("{out}{err}").contains("there is no secret `env:TLS_CERTIFICATE`"),
        "{out}{err}"
    );
}

#[test]
fn quotas_are_for_all_of_it_together_and_machines_are_no_promise() {
    let desk = Desk::new();
    let counts = fleets(&planned(&desk, &twice()));
    let all: u32 = counts.values().sum();
    assert!(counts.len() == 2 && counts.keys().all(|addr| addr.contains("/aws/eu-south-2/")), "{counts:?}");
    assert!(counts.values().all(|count| *count < all), "each of them fits");
    let found = failed(&desk, &quota(all - 1));
    let words = format!("{all} more exceed the quota of {} machines, of which {} are left", all - 1, all - 1);
    assert_eq!(found, [("quota".to_owned(), words)]);
    desk.sim.set_world(&quota(all));
    let (value, code) = told(&desk);
    assert_eq!(code, 0, "{value}");
    let limited = |f: &&Value| f["about"] == "quota" && f["stands_in"].is_null();
    let amount = &value["findings"].as_array().expect("a list").iter().find(limited).expect("one")["amount"];
    assert_eq!(*amount, serde_json::json!({ "unit": "machines", "needed": all, "available": all }));
    // Fewer machines than that at this moment: told, and no reason to refuse it.
    let (cloud, region, name) = (Cloud::Aws, "eu-south-2".to_owned(), "g7e.2xlarge".to_owned());
    let stock = Stock { cloud, region, instance_type: name, spot: false, machines: Some(1) };
    desk.sim.set_world(&World { stock: vec![stock], ..quick() });
    let (value, code) = told(&desk);
    let warned = with(&value, "warning");
    assert!(code == 0 && warned.len() == 1, "{value}");
    assert_eq!(warned[0].0, "capacity");
    assert!(warned[0].1.contains(&format!("there are 1 g7e.2xlarge, and {all} are needed")), "{warned:?}");
}

#[test]
fn what_is_replaced_counts_beside_what_takes_its_place() {
    let desk = Desk::new();
    let count = fleets(&planned(&desk, &private()))[FLEET];
    desk.ok(&["apply", "a.plan", "--quiet"]);
    let (value, code) = told(&desk);
    assert_eq!(code, 4, "it was applied: {value}");
    let stale = with(&value, "failed");
    assert!(stale.len() == 1 && stale[0].0 == "plan" && stale[0].1.ends_with("; plan again"), "{stale:?}");
    let (_, err, code) = desk.here(&["plan", ".", "--replace", FLEET, "--out", "a.plan"]);
    assert_eq!(code, 0, "{err}");
    let found = failed(&desk, &quota(2 * count - 1));
    let words = format!(
        "{count} more exceed the quota of {} machines, of which {} are left",
        2 * count - 1,
        count - 1
    );
    assert_eq!(found, [("quota".to_owned(), words)]);
    desk.sim.set_world(&quota(2 * count));
    assert_eq!(told(&desk).1, 0);
    // The right to remove the old one is asked for as well, and what is stale is worse than what is refused.
    let denial = Denial { kind: Some(ResourceKind::Fleet), verb: Some(Verb::Delete), cloud: None };
    let denied = failed(&desk, &World { denied: vec![denial], ..quick() });
    assert_eq!(denied[0].1, "these credentials may not delete fleet on aws");
    let spec = private().replace("team: support", "team: other");
    std::fs::write(desk.path().join("deploy.yaml"), spec).expect("written");
    let (value, code) = told(&desk);
    assert_eq!((code, with(&value, "failed").len()), (4, 2), "{value}");
    let (out, _, _) = desk.there(&["preflight", "a.plan", "--quiet"]);
    assert!(out.starts_with("Preflight: the plan is stale: 2 failed, "), "{out}");
}

#[test]
fn what_goes_first_gives_back_what_it_has() {
    let desk = Desk::new();
    let count = fleets(&planned(&desk, &private()))[FLEET];
    desk.ok(&["apply", "a.plan", "--quiet"]);
    let (_, err, code) = desk.here(&["plan", ".", "--replace", FLEET, "--out", "a.plan"]);
    assert_eq!(code, 0, "{err}");
    let path = desk.path().join("a.plan");
    let text = std::fs::read_to_string(&path).expect("saved");
    let mut plan = rhumb::plan::file::decode("a.plan", &text).expect("a plan");
    let fleet = rhumb_api::ResourceAddr::parse(FLEET).expect("an address");
    plan.dips = vec![rhumb::plan::Dip {
        cloud: Cloud::Aws,
        place: "eu-south-2".into(),
        code: "L-DB2E81BA".into(),
        unit: "vcpus".into(),
        limit: 64.0,
        needed: 128.0,
        first: vec![fleet.clone()],
        then: vec![fleet],
        machines: count,
        left: 0,
    }];
    std::fs::write(&path, rhumb::plan::file::encode(&plan)).expect("written");
    assert_eq!(failed(&desk, &quota(count - 1)).len(), 1);
    desk.sim.set_world(&quota(count));
    let (value, code) = told(&desk);
    assert_eq!(code, 0, "{value}");
    desk.ok(&["apply", "a.plan", "--quiet"]);
}

#[test]
fn what_may_stand_in_is_asked_about_and_decides_nothing() {
    let desk = Desk::new();
    let plan = planned(&desk, &private());
    let on_gcp = plan.standbys.iter().filter(|s| s.by.as_str().contains("/gcp/")).count();
    assert!(on_gcp > 0 && plan.standbys.len() > on_gcp, "it may stand in on two clouds");
    let denial =
        Denial { cloud: Some(Cloud::Gcp), kind: Some(ResourceKind::Fleet), verb: Some(Verb::Create) };
    desk.sim.set_world(&World { denied: vec![denial], ..quick() });
    let (value, code) = told(&desk);
    assert_eq!((code, with(&value, "warning")), (0, vec![]), "{value}");
    let findings = value["findings"].as_array().expect("a list");
    let warned: Vec<&Value> = findings.iter().filter(|f| f["verdict"] == "warning").collect();
    assert_eq!(warned.len(), on_gcp, "{warned:?}");
    assert_eq!(warned[0]["stands_in"]["pool"], "services.chat/aws/eu-south-2/g7e.2xlarge");
    assert!(warned.iter().all(|f| f["message"] == "these credentials may not create fleet on gcp"));
    let out = shown(&desk, &[]);
    assert!(out.contains("warning") && out.contains("nothing is in its way"), "{out}");
    // Each is counted by itself: what it would take the place of needs nothing then.
    let most = plan.standbys.iter().flat_map(|s| &s.changes).filter_map(|c| c.after.as_ref());
    let most = most.filter(|r| r.region == "eu-south-2").map(|r| r.attributes.get("count").cloned());
    let most = most.flatten().max().expect("a fleet");
    let own = fleets(&plan)[FLEET];
    let Attr::Int(most) = most else { panic!("{most:?}") };
    desk.sim.set_world(&quota(own.max(u32::try_from(most).expect("few"))));
    let (value, _) = told(&desk);
    assert!(value["findings"].as_array().expect("a list").iter().all(|f| f["verdict"] == "ok"), "{value}");
}

#[test]
fn what_is_not_answered_is_asked_again_and_then_unknown() {
    let desk = Desk::new();
    planned(&desk, &private());
    let unknown = |world: &World| {
        desk.sim.set_world(world);
        let (value, code) = told(&desk);
        assert_eq!((code, with(&value, "failed")), (5, vec![]), "{value}");
        with(&value, "unknown")
    };
    // Each is waited for.
    let both = [What::DropRequest, What::DropReply];
    for what in pick(&both[..1], &both, &both).iter().cloned() {
        let found = unknown(&rule(what.clone(), None));
        let abouts: Vec<&str> = found.iter().map(|(about, _)| about.as_str()).collect();
        assert_eq!(abouts, ["credentials", "permission", "offering", "quota", "capacity"]);
        assert!(found[0].1.starts_with("the cloud could not be asked: unknown_outcome: "), "{found:?}");
        // Lost once is not lost for ever.
        desk.sim.set_world(&rule(what, Some(2)));
        assert_eq!(told(&desk).1, 0);
    }
    let never = World { calls: [(Cloud::Aws, Rate { per_second: 100, burst: 0 })].into(), ..quick() };
    assert!(unknown(&never)[0].1.ends_with("throttled: too many calls"));
    let slow = World { calls: [(Cloud::Aws, Rate { per_second: 20, burst: 1 })].into(), ..quick() };
    desk.sim.set_world(&slow);
    assert_eq!(told(&desk).1, 0, "it is asked again when the cloud says");
    let (out, _, _) = {
        desk.sim.set_world(&never);
        desk.there(&["preflight", "a.plan"])
    };
    assert!(out.contains("UNKNOWN") && out.contains("not everything could be found out"), "{out}");
    // A right that is missing to ask at all is nothing that is known about the plan.
    let denial = Denial { verb: Some(Verb::Preflight), ..Denial::default() };
    assert!(unknown(&World { denied: vec![denial], ..quick() })[0].1.contains("denied: "));
}

#[test]
fn it_needs_no_lock_and_goes_on_with_an_apply_that_was_cut_off() {
    let desk = Desk::new();
    let plan = planned(&desk, &private());
    let hold = Rule {
        nth: None,
        verb: Some(Verb::Create),
        kind: Some(ResourceKind::Fleet),
        address: None,
        times: Some(1),
        what: What::HoldAfter,
    };
    let count = fleets(&plan)[FLEET];
    desk.sim.set_world(&World { rules: vec![hold], ..quick() });
    let mut apply = rhumb();
    apply.current_dir(desk.path()).args(["apply", "a.plan", "--simulate", &desk.sim.url]);
    let mut child = super::process::begun(&mut apply);
    assert!(desk.sim.holds(&mut child));
    let (value, code) = told(&desk);
    assert_eq!(code, 0, "{value}");
    let warned = with(&value, "warning");
    assert!(warned.len() == 1 && warned[0].1.contains("1 calls have an unknown end"), "{warned:?}");
    assert!(with(&value, "ok").iter().any(|(_, why)| why.contains("the next one goes on with it")));
    // What is made by now is not asked about again.
    let resources = with(&value, "ok").into_iter().filter(|(about, _)| about == "offering").count();
    assert_eq!(resources, 1, "the fleet alone: {value}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    // What is not known to exist is counted once more: too careful, never too little.
    assert_eq!(failed(&desk, &quota(2 * count - 1)).len(), 1);
    desk.sim.set_world(&quick());
    desk.ok(&["apply", "a.plan", "--quiet"]);
}

#[test]
fn what_was_taken_for_refused_machines_is_asked_about_in_their_place() {
    let desk = Desk::new();
    let plan = planned(&desk, &private());
    let (pool, by) = (plan.standbys[0].pool.as_str(), &plan.standbys[0].by);
    let name = |pool: &str| pool.rsplit('/').next().expect("a type").to_owned();
    let (cloud, region) = (Cloud::Aws, "eu-south-2".to_owned());
    let none = Stock { cloud, region, instance_type: name(pool), spot: false, machines: Some(0) };
    // What stands in is not made either, so that the apply is not at its end.
    let later = Rule {
        nth: None,
        verb: Some(Verb::Create),
        kind: Some(ResourceKind::Fleet),
        address: Some(by.child("on_demand")),
        times: None,
        what: What::Error(ProviderError::new(ErrorKind::Denied, "by appointment")),
    };
    desk.sim.set_world(&World { stock: vec![none], rules: vec![later], ..quick() });
    let (out, err, code) = desk.there(&["apply", "a.plan", "--quiet"]);
    assert!(code == 1 && out.contains("stands in, as planned"), "{out}{err}");
    let of_type = |pool: &str| {
        let mut world = quota(0);
        world.quotas[0].type_prefix = Some(name(pool));
        world
    };
    desk.sim.set_world(&of_type(pool));
    let (value, code) = told(&desk);
    assert_eq!(code, 0, "{value}");
    assert_eq!(failed(&desk, &of_type(by.as_str())).len(), 1);
    desk.sim.set_world(&quick());
    desk.ok(&["apply", "a.plan", "--quiet"]);
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_reason() {
    let desk = Desk::new();
    planned(&desk, &private());
    let refused = |(out, err, code): (String, String, i32), why: &str| {
        assert!(code == 1 && err.contains(why), "{why}: {code} {out}{err}");
        assert!(desk.sim.log().is_empty(), "nobody was asked");
    };
    refused(desk.here(&["preflight", "a.plan"]), "this build has no adapter for aws: nothing was changed");
    refused(desk.here(&["preflight"]), "PLAN");
    refused(desk.there(&["preflight", "deploy.yaml"]), "deploy.yaml");
    refused(desk.there(&["preflight", "no.plan"]), "no.plan");
    let real = rhumb::state::State { serial: 7, ..rhumb::state::State::new("real".into(), false) };
    std::fs::write(desk.path().join("real.json"), rhumb::state::file::encode(&real)).expect("written");
    refused(desk.there(&["preflight", "a.plan", "--state", "real.json"]), "it is of real clouds");
    let (out, _, code) = desk.here(&["preflight", "a.plan", "--json"]);
    let error: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, error["schema"].as_str()), (1, Some("rhumb.error/1")));
}

#[test]
fn references_are_told_and_secrets_are_not() {
    let desk = Desk::new();
    planned(&desk, &public());
    let canary = "cAnArY/preflight+Zq9";
    let said = |more: &[&str]| {
        let mut command = rhumb();
        command
            .current_dir(desk.path())
            .args(["preflight", "a.plan", "--simulate", &desk.sim.url])
            .args(more);
        command.env("COLUMNS", "400");
        for name in ["API_KEYS", "TLS_CERTIFICATE", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"] {
            command.env(name, canary);
        }
        let (out, err, _) = run(&mut command);
        assert!(!format!("{out}{err}").contains("cAnArY"), "{out}{err}");
        out
    };
    desk.sim.set_world(&World { secrets: Some([].into()), ..quick() });
    for more in [&[][..], &["--json"], &["-v"]] {
        assert!(said(more).contains("there is no secret `env:API_KEYS`"), "{more:?}");
    }
    // A cloud that repeats what it was given.
    let error = ProviderError::new(ErrorKind::Invalid, format!("{canary} is not a key"));
    desk.sim.set_world(&rule(What::Error(error), None));
    for more in [&[][..], &["--json"]] {
        let words: Vec<String> = said(more).split_whitespace().map(str::to_owned).collect();
        assert!(words.join(" ").contains("(the value of "), "{words:?}");
    }
}
