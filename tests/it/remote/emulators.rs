//! The same on servers that speak the protocols of the clouds; `tests/state/run` starts them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rhumb::state::remote::{Options, Patience, Place, Remote, Term, prune, read, read_version, versions};
use rhumb::state::{Record, StoreError};

use super::shelf::{Between, Fault, Watched};
use super::{change, open, race};
use crate::apply::process::Sim;
use crate::apply::{asked, kills};
use crate::cli::{rhumb, run};
use crate::journal::{history, states};
use crate::secrets;

/// A place that nobody has used before.
fn place(what: &str) -> (Remote, String) {
    let address = vacant_address(what);
    (at_address(&address), address)
}

/// The address of one.
pub fn vacant_address(what: &str) -> String {
    static PLACES: AtomicU64 = AtomicU64::new(0);
    let base = std::env::var("RHUMB_TEST_REMOTE").expect("tests/state/run names the bucket of an emulator");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{base}/{what}-{}-{}", since.as_micros(), PLACES.fetch_add(1, Ordering::Relaxed))
}

/// What is there.
pub fn at_address(address: &str) -> Remote {
    Place::parse(address).unwrap().connect(&BTreeMap::new()).unwrap()
}

fn watched(remote: &Remote, between: Between) -> (Remote, Arc<Between>) {
    let between = Arc::new(between);
    (remote.clone().behind(|objects| Arc::new(Watched(objects, Arc::clone(&between)))), between)
}

/// Short, and longer than a slow server takes to answer.
fn short() -> Options {
    let (ttl, allowance) = (Duration::from_secs(2), Duration::from_secs(2));
    Options { lease: Some(Term { ttl, allowance, poll: Duration::from_millis(100) }) }
}

#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn a_story() {
    let (remote, address) = place("story");
    assert_eq!(read(&remote), Ok(None));
    let records = history(5, 60);
    let states = states(&records);
    let mut done = 0;
    for (i, n) in [1, 2, 9, 1, 20, 7, 20].into_iter().enumerate() {
        // Each a fresh process with a lost answer somewhere.
        let (faulty, _) = watched(&remote, Between::fault(i as u64 + 2, Fault::Lost));
        let mut store = open(&faulty, &Options::default()).unwrap();
        assert_eq!(store.state(), &states[done]);
        store.append(&records[done..done + n]).unwrap();
        done += n;
        assert_eq!(read(&remote), Ok(Some(states[done].clone())));
        if i % 2 == 1 {
            store.compact().unwrap();
            assert_eq!(read(&remote), Ok(Some(states[done].clone())));
        }
    }
    let serials: Vec<u64> = versions(&remote).unwrap().iter().map(|v| v.serial).collect();
    assert_eq!(serials, [3, 13, 40]);
    assert_eq!(read_version(&remote, 13), Ok(Some(states[13].clone())));
    assert_eq!(prune(&remote, 1).unwrap(), Default::default(), "all is young");
    // Somewhere else is something else.
    let (other, _) = place("other");
    assert_eq!(read(&other), Ok(None));
    let missing = Place { bucket: "rhumb-not-there".to_owned(), ..Place::parse(&address).unwrap() };
    let error = read(&missing.connect(&BTreeMap::new()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("make the bucket or container, or name another one"), "{error}");
    // Azurite's address is that of the environment alone.
    if !address.starts_with("az:") {
        let nobody = BTreeMap::from([("endpoint".to_owned(), "http://127.0.0.1:1".to_owned())]);
        let remote = Place::parse(&address).unwrap().connect(&nobody).unwrap();
        let patience = Patience { all: Duration::ZERO, ..Patience::default() };
        let error = read(&remote.with_patience(patience)).unwrap_err().to_string();
        let refused =
            "/head: cannot read it: Connection refused (os error 111); check the network and the endpoint";
        assert!(error.contains(refused), "{error}");
    }
}

#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn twenty_writers_without_a_lease_lose_nothing() {
    let (remote, _) = place("race");
    race(&vec![remote; 20], &Options { lease: None }).unwrap();
}

#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn a_paused_holder_that_wakes_up_writes_nothing() {
    let (remote, _) = place("zombie");
    let (paused, between) = watched(&remote, Between::default());
    let mut first = open(&paused, &short()).unwrap();
    first.append(&change(1)).unwrap();
    assert!(matches!(open(&remote, &short()).err(), Some(StoreError::Locked { .. })));
    between.stop("");
    let mut second = open(&remote, &short()).unwrap();
    between.go_on();
    assert!(first.append(&change(2)).is_err());
    assert!(first.append(&change(2)).is_err());
    second.append(&change(3)).unwrap();
    drop(first);
    second.append(&change(4)).unwrap();
    second.compact().unwrap();
    assert_eq!(read(&remote).unwrap().as_ref(), Some(second.state()));
    assert_eq!(second.state().serial, 6);
    drop(second);
    // Released: nobody waits.
    let began = Instant::now();
    drop(open(&remote, &short()).unwrap());
    assert!(began.elapsed() < Duration::from_secs(2));
    // The log alone, without a lease that would tell.
    let none = Options { lease: None };
    let mut first = open(&remote, &none).unwrap();
    let mut second = open(&remote, &none).unwrap();
    assert!(matches!(first.append(&change(5)), Err(StoreError::Overtaken { .. })));
    second.append(&change(6)).unwrap();
}

#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn what_a_thousand_resources_cost() {
    let (remote, _) = place("cost");
    let (remote, between) = watched(&remote, Between::default());
    let mut store = open(&remote, &Options::default()).unwrap();
    let records: Vec<Record> = (0..1000).flat_map(change).collect();
    let (requests, began) = (between.requests(), Instant::now());
    for group in records.chunks(20) {
        store.append(group).unwrap();
    }
    let (appended, took) = (between.requests() - requests, began.elapsed());
    let again = (between.requests(), Instant::now());
    assert_eq!(read(&remote).unwrap().as_ref(), Some(store.state()));
    let (looked, reading) = (between.requests() - again.0, again.1.elapsed());
    println!(
        "1000 resources in groups of 20 records: {appended} requests in {} ms; to read them {looked} in {} ms",
        took.as_millis(),
        reading.as_millis()
    );
}

/// The real binary is killed, and its folder is gone with it: the next one, elsewhere, knows all of it.
#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn a_killed_apply_goes_on_from_an_empty_folder() {
    let points = kills::sample_in_the_bucket();
    println!("killed at {points} points, nothing leaked, doubled or forgotten");
    assert!(points > 2, "{points}");
}

/// Every object of a state, as it is.
fn all_of(remote: &Remote, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _ = remote.clone().behind(|objects| {
        for folder in ["", "/log", "/versions"] {
            for listed in runtime.block_on(objects.list(&format!("{prefix}{folder}"))).unwrap() {
                let object = runtime.block_on(objects.get(&listed.key)).unwrap().unwrap();
                all.insert(listed.key, object.bytes);
            }
        }
        objects
    });
    all
}

#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn no_secret_is_in_the_bucket() {
    let (remote, address) = place("secrets");
    let prefix = Place::parse(&address).unwrap().prefix;
    secrets::searched_in_the_bucket(&address, || all_of(&remote, &prefix));
}

/// A life without a file: the spec names the bucket, and the commands find it there.
#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn the_commands_find_the_state_that_the_spec_names() {
    let sim = Sim::start();
    let (_, address) = place("life");
    let (scheme, rest) = address.split_once("://").unwrap();
    let (bucket, key) = rest.split_once('/').unwrap();
    let backend = match scheme {
        "s3" => "s3",
        "gs" => "gcs",
        _ => "azblob",
    };
    let text = std::fs::read_to_string("examples/support-chat/deploy.yaml").unwrap();
    let text = format!("{text}\nstate: {{ backend: {backend}, bucket: {bucket}, key: {key} }}\n");
    let on = |args: &[&str]| {
        // Each from a folder of its own.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("deploy.yaml"), &text).unwrap();
        let done = run(rhumb().current_dir(folder.path()).args(args));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{args:?} left a file");
        done
    };
    let there = ["--simulate", sim.url.as_str()];
    let (out, err, code) = on(&["state", "list"]);
    assert!(code == 1 && err.contains(&format!("{address}: nothing was ever recorded there")), "{out}{err}");
    let (out, err, code) = on(&[&["apply", ".", "--yes", "--quiet"][..], &there].concat());
    assert_eq!((code, sim.inventory().len()), (0, 5), "{out}{err}");
    let (out, err, code) = on(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}{err}");
    let (out, err, _) = on(&["state", "list"]);
    assert!(out.contains("net-00000001") && out.contains("SIMULATED"), "{out}{err}");
    let (out, err, code) = on(&["state", "versions", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let serial = value["versions"][0]["serial"].to_string();
    assert!(code == 0 && value["versions"].as_array().unwrap().len() == 1, "{out}{err}");
    let (out, err, code) = on(&["state", "pull", "--serial", &serial]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(rhumb::state::file::decode("pulled", &out).unwrap().resources.len(), 5);
    let (_, err, code) = on(&["state", "pull", "--serial", "999"]);
    assert!(code == 1 && err.contains("there is no version of serial 999"), "{err}");
    let (out, err, code) = on(&[&["destroy", ".", "--yes", "--quiet"][..], &there].concat());
    assert_eq!((code, sim.inventory().len()), (0, 0), "{out}{err}");
    let (out, _, _) = on(&["history"]);
    assert!(out.contains("5 created") && out.contains("5 removed"), "{out}");
    // One that was in a file moves there.
    let desk = tempfile::tempdir().unwrap();
    std::fs::copy("examples/support-chat/deploy.yaml", desk.path().join("deploy.yaml")).unwrap();
    let here = |args: &[&str]| run(rhumb().current_dir(desk.path()).args(args));
    let (out, err, code) = here(&[&["apply", ".", "--yes", "--quiet"][..], &there].concat());
    assert_eq!(code, 0, "{out}{err}");
    let pulled = here(&["state", "pull"]).0;
    let (_, second) = place("moved");
    let (out, err, code) = here(&["state", "move", "--to", &second, "."]);
    assert!(code == 0 && out.contains("5 things"), "{out}{err}");
    assert_eq!(here(&["state", "pull", "--state", &second]).0, pulled);
    let (out, err, code) =
        here(&[&["apply", ".", "--yes", "--quiet", "--state", &second][..], &there].concat());
    assert!(code == 0 && out.contains("0 to create, 0 to change, 0 to remove"), "{out}{err}");
    let (out, err, code) =
        here(&[&["destroy", ".", "--yes", "--quiet", "--state", &second][..], &there].concat());
    assert_eq!((code, sim.inventory().len()), (0, 0), "{out}{err}");
    let (_, err, code) = here(&["state", "move", "--to", "back.json", "--state", &second]);
    assert!(code == 1 && err.contains("it is in a bucket"), "{err}");
}

/// From the plan to the end, as people live it: approved, killed in the middle, gone on with from an empty folder, drifted, led back,
/// removed.
#[test]
#[ignore = "needs an emulator: tests/state/run"]
fn a_whole_life() {
    let (_, address) = place("life");
    let sim = Sim::start();
    let saved = tempfile::tempdir().unwrap();
    let (plan, private, public) =
        (saved.path().join("life.plan"), saved.path().join("key.pem"), saved.path().join("key.pub"));
    std::fs::write(&private, asked::PRIVATE).unwrap();
    std::fs::write(&public, asked::PUBLIC).unwrap();
    let spec = std::fs::read_to_string("examples/support-chat/deploy.yaml").unwrap();
    let place = Place::parse(&address).unwrap();
    // Each step in a folder that has the spec alone, as a runner has it.
    let runner = || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("deploy.yaml"), &spec).unwrap();
        folder
    };
    let step = |args: &[&str]| {
        let folder = runner();
        let mut command = rhumb();
        command.current_dir(folder.path()).args(args).args(["--state", &address]);
        let (out, err, code) = run(&mut command);
        let left = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "{args:?} leaves nothing in {}", place);
        (out + &err, code)
    };
    let path = |of: &std::path::Path| of.to_str().unwrap().to_owned();
    let (plan, private, public) = (path(&plan), path(&private), path(&public));
    let there = ["--simulate", &sim.url];
    // Nothing is recorded yet, and `--state` of a plan wants something there.
    let folder = runner();
    let (out, err, code) = run(rhumb()
        .current_dir(folder.path())
        .args(["plan", ".", "--quiet", "--out", &plan, "--sign", &private]));
    assert_eq!(code, 0, "{out}{err}");
    let hold = rhumb_sim::Rule {
        verb: Some(rhumb_sim::Verb::Create),
        kind: Some(rhumb_api::ResourceKind::LoadBalancer),
        address: None,
        nth: None,
        times: Some(1),
        what: rhumb_sim::What::HoldAfter,
    };
    sim.reset(&rhumb_sim::World { rules: vec![hold], ..crate::apply::process::quick() });
    let apply = ["apply", &plan, "--require-signature", &public, "--quiet"];
    let mut first = rhumb();
    first.current_dir(folder.path()).args(apply).args(there).args(["--state", &address]);
    let mut first = crate::apply::process::begun(&mut first);
    assert!(sim.holds(&mut first), "it is under way");
    first.kill().unwrap();
    first.wait().unwrap();
    folder.close().unwrap();
    let (out, code) = step(&[&apply[..], &there].concat());
    assert!(code == 0 && sim.inventory().len() == 5, "{out}");
    let fleet =
        sim.inventory().into_iter().find(|seen| seen.handle.kind == rhumb_api::ResourceKind::Fleet).unwrap();
    sim.set_attribute(&fleet.handle, "count", Some(rhumb_api::Attr::Int(5)));
    let (out, code) = step(&[&["plan", ".", "--refresh-only", "--detailed-exitcode"][..], &there].concat());
    assert!(code == 2 && out.contains("count 8 -> 5"), "{out}");
    let (out, code) = step(&[&["apply", ".", "--yes", "--quiet"][..], &there].concat());
    assert!(code == 0 && out.contains("0 created, 1 changed, 0 removed"), "{out}");
    let (out, code) = step(&["plan", ".", "--detailed-exitcode", "--quiet"]);
    assert_eq!(code, 0, "{out}");
    let (out, code) = step(&[&["status"][..], &there].concat());
    assert!(code == 0 && out.contains("5 of 5 things"), "{out}");
    let (out, code) = step(&[&["destroy", ".", "--yes", "--quiet"][..], &there].concat());
    assert!(code == 0 && sim.inventory().is_empty(), "{out}");
    let (out, _) = step(&["history"]);
    let deeds = |what: &str| out.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    assert!(deeds("  apply  ").len() == 3 && deeds("  apply  ")[0].contains("cut off"), "{out}");
    assert!(deeds("  destroy  ").len() == 1 && deeds("  destroy  ")[0].contains("5 removed"), "{out}");
}
